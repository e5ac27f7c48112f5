//! Giving rows that were put aside to another organization: in batches, each a short transaction with its record.

use std::collections::BTreeSet;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    super::moves::{
        self, DataError, Graph,
        guard::{self, Balances, Sight},
    },
    copies::repointed,
};
use crate::{
    Error,
    db::{Context as _, give_way, pause_after_giving_way},
    history::RunId,
    model::{KeptBy, Model, joined},
    progress::Progress,
    sql::{Fixed, Fragment, Ident, List, Statement, render},
};

/// After so many attempts at one batch somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// So often a batch of a larger transaction is tried: who holds its rows may wait for what that transaction holds, and is to get
/// that before the server looks for a deadlock, after a second.
const ATTEMPTS_WITHIN_MAX: u32 = 2;

/// So often a batch is tried in one snapshot when others write what it writes.
const OVERTAKEN_MAX: u32 = 50;

/// What becomes of a batch's keys in the records.
#[derive(Debug, Clone, Copy)]
enum Record {
    /// A record of their own, of this run.
    Made(RunId),
    /// The record with this number is undone by this run.
    Undone(i64, RunId),
}

/// What has become of the attempts at one batch.
#[derive(Debug)]
struct Patience {
    sight: Sight,
    attempts: u32,
    overtaken: u32,
}

/// The rows of one table, put aside and numbered.
pub(super) struct Transfer<'a> {
    model: &'a Model,
    graph: &'a Graph,
    place: usize,
    from: Option<&'a str>,
    to: Option<&'a str>,
    /// What the larger transaction sees that a batch is a part of, if it is; what is deferred stays so then.
    within: Option<Sight>,
    statements: Statements,
}

/// How a batch moves.
enum Statements {
    /// In one statement; triggers keep the balances.
    Plain(Statement),
    /// The application keeps the balances, so they are moved beside the entries.
    Ledger { hold: Statement, take: Statement, give: Statement, moving: Statement, keys: Statement },
}

/// Makes the session ready to move rows, giving way to writers.
pub(super) async fn prepare(session: &mut PgConnection, model: &Model, graph: &Graph) -> Result<(), Error> {
    give_way(session).await?;
    // The rows of a batch are looked up one by one; a hash join would read the whole table for each batch.
    session
        .execute(
            "SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_custom_plan",
        )
        .await
        .context("set up the session")?;
    if model.balances.kept_by == KeptBy::Application
        && let Some(place) = graph.place(&model.ledger.table)
    {
        let named = graph.tables[place].named_key_of("t");
        let create = graph.of_table(
            model,
            place,
            "CREATE TEMPORARY TABLE IF NOT EXISTS stockfoil_batch AS SELECT {named_keys} FROM {table} AS t WHERE false",
            &[("named_keys", &named)],
        );
        sqlx::query(create.sql()).persistent(false).execute(session).await.context("set up the session")?;
    }
    Ok(())
}

/// Undoes what [`prepare`] set, for statements over whole tables.
pub(super) async fn unprepare(session: &mut PgConnection) -> Result<(), Error> {
    session
        .execute("RESET lock_timeout; RESET enable_hashjoin; RESET enable_mergejoin; RESET plan_cache_mode")
        .await
        .context("set up the session")?;
    Ok(())
}

/// Numbers the rows put aside of one table that are `orgs`', and returns how many there are.
pub(super) async fn number(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    place: usize,
    orgs: &[&str],
) -> Result<i64, Error> {
    let table = &graph.tables[place];
    let context = || format!("number the rows of {}", table.name.plain());
    let (named, keys) = (table.named_key_of("t"), table.closure_keys("c"));
    let (r_is_c, s_is_c) = (table.same_keys("r", "c"), table.same_keys("s", "c"));
    let parts = match model.ledger.postings.first() {
        Some(posting) if table.name == model.ledger.table => {
            let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
            terms.into_iter().flatten().map(|term| term.sql.clone()).collect()
        }
        _ => Vec::new(),
    };
    let part = |at: usize| Ident::joined(&["part", &at.to_string()]);
    let selected = parts
        .iter()
        .enumerate()
        .map(|(at, term)| render(", {term} AS {part}", &[("term", term), ("part", &part(at))]));
    let selected = joined(&selected.collect::<Vec<_>>(), "");
    let order = (0..parts.len()).map(|at| render("s.{part}", &[("part", &part(at))]));
    let order = List(order.chain(keys.0.iter().cloned()).collect());
    let more: [(&str, &dyn Fragment); 6] = [
        ("named_keys", &named),
        ("numbered_keys", &keys),
        ("number_parts", &selected),
        ("number_order", &order),
        ("r.is_c", &r_is_c),
        ("s.is_c", &s_is_c),
    ];
    let statement = graph.of_table(model, place, include_str!("number.sql"), &more);
    let rows = sqlx::query(statement.sql())
        .persistent(false)
        .bind(orgs)
        .execute(&mut *session)
        .await
        .context(context())?
        .rows_affected();
    for template in ["CREATE INDEX IF NOT EXISTS {index} ON {closure} (n)", "ANALYZE {closure}"] {
        let index = Ident::joined(&[table.closure.name.as_str(), "n"]);
        let statement = graph.of_table(model, place, template, &[("index", &index)]);
        sqlx::query(statement.sql()).persistent(false).execute(&mut *session).await.context(context())?;
    }
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        model: &'a Model,
        graph: &'a Graph,
        place: usize,
        from: Option<&'a str>,
        to: Option<&'a str>,
        copied: &BTreeSet<usize>,
    ) -> Self {
        let table = &graph.tables[place];
        let repoint = repointed(graph, place, copied);
        let repoint: Vec<Statement> = repoint
            .iter()
            .map(|(column, value)| render(", {column} = {value}", &[("column", column), ("value", value)]))
            .collect();
        let repoint = joined(&repoint, "");
        let of = |template, more: &[(&str, &dyn Fragment)]| {
            let mut fragments: Vec<(&str, &dyn Fragment)> = vec![("repoint", &repoint)];
            fragments.extend_from_slice(more);
            graph.of_table(model, place, template, &fragments)
        };
        let keeps_balances =
            table.name == model.ledger.table && model.balances.kept_by == KeptBy::Application;
        let statements = if keeps_balances {
            let held = of(
                "(SELECT t.* FROM {table} AS t JOIN pg_temp.stockfoil_batch AS c ON {t.is_c}) AS held",
                &[],
            );
            let entries = model.entries(&held);
            let count = |sign| {
                of(include_str!("count_in.sql"), &[("sign", &Fixed(sign)), ("batch_entries", &entries)])
            };
            let key = table.closure_text("c");
            Statements::Ledger {
                hold: of(include_str!("hold.sql"), &[]),
                take: count("-"),
                give: count(""),
                moving: of(include_str!("move_held.sql"), &[]),
                keys: render(
                    "SELECT coalesce(array_agg({key}), '{}') FROM pg_temp.stockfoil_batch AS c",
                    &[("key", &key)],
                ),
            }
        } else {
            Statements::Plain(of(include_str!("move.sql"), &[]))
        };
        Self { model, graph, place, from, to, within: None, statements }
    }

    /// The same, within a transaction in which constraints are deferred and which sees so much, if there is one.
    pub(super) fn within(self, within: Option<Sight>) -> Self {
        Self { within, ..self }
    }

    /// Moves the rows numbered `first` to `last`, `batch_rows` at a time, and returns how many moved.
    pub(super) async fn run(
        &self,
        session: &mut PgConnection,
        (first, last): (i64, i64),
        batch_rows: u32,
        run: RunId,
        progress: &dyn Progress,
    ) -> Result<u64, Error> {
        let record = Record::Made(run);
        let rows_max = i64::from(batch_rows);
        let (mut moved, mut next, mut rows) = (0, first, rows_max);
        let mut patience = self.patience();
        while next <= last {
            let end = last.min(next + rows - 1);
            match self.batch(session, next, end, record, patience.sight).await {
                Ok(count) => {
                    moved += count;
                    progress.advance(count);
                    next = end + 1;
                    rows = (rows * 2).min(rows_max);
                    (patience.attempts, patience.overtaken) = (0, 0);
                }
                Err(error) => {
                    if self.go_on_after(error, &mut patience, progress).await? {
                        rows = (rows / 2).max(1);
                    }
                }
            }
        }
        Ok(moved)
    }

    /// Puts the rows of one record back, which are numbered `first` to `last`, all at once, so that the record is undone as
    /// a whole; returns how many went.
    pub(super) async fn put_back(
        &self,
        session: &mut PgConnection,
        (first, last): (i64, i64),
        record: i64,
        run: RunId,
        progress: &dyn Progress,
    ) -> Result<u64, Error> {
        let mut patience = self.patience();
        loop {
            match self.batch(session, first, last, Record::Undone(record, run), patience.sight).await {
                Ok(count) => {
                    progress.advance(count);
                    return Ok(count);
                }
                Err(error) => self.go_on_after(error, &mut patience, progress).await?,
            };
        }
    }

    fn patience(&self) -> Patience {
        Patience { sight: self.within.unwrap_or(Sight::Counting), attempts: 0, overtaken: 0 }
    }

    /// Passes on an error after which another attempt is of no use; says whether fewer rows have a better chance.
    async fn go_on_after(
        &self,
        error: Error,
        patience: &mut Patience,
        progress: &dyn Progress,
    ) -> Result<bool, Error> {
        if error.gave_way() && (self.within.is_none() || patience.attempts < ATTEMPTS_WITHIN_MAX) {
            self.wait(&mut patience.attempts, progress).await;
            return Ok(true);
        }
        if self.within.is_some() {
            return Err(error);
        }
        if guard::must_compare(&error) && patience.sight == Sight::Counting {
            patience.sight = Sight::Comparing;
            return Ok(false);
        }
        if !guard::was_overtaken(&error) {
            return Err(error);
        }
        patience.overtaken += 1;
        if patience.overtaken >= OVERTAKEN_MAX {
            return Err(DataError::Overtaken(self.graph.tables[self.place].name.plain()).into());
        }
        self.wait(&mut patience.attempts, progress).await;
        Ok(true)
    }

    /// Waits after giving way, and says so now and then.
    async fn wait(&self, attempts: &mut u32, progress: &dyn Progress) {
        *attempts += 1;
        if attempts.is_multiple_of(TELL_AFTER_ATTEMPTS) {
            let table = self.graph.tables[self.place].name.plain();
            progress.note(&format!("waiting for a writer that holds rows of {table}"));
        }
        tokio::time::sleep(pause_after_giving_way()).await;
    }

    async fn batch(
        &self,
        session: &mut PgConnection,
        first: i64,
        last: i64,
        record: Record,
        sight: Sight,
    ) -> Result<u64, Error> {
        let table = &self.graph.tables[self.place].name;
        let context = || format!("move rows of {}", table.plain());
        let mut transaction = match self.within {
            Some(_) => session.begin().await?,
            None => session.begin_with(sight.begin()).await?,
        };
        moves::as_organization(&mut transaction, self.to).await?;
        let keys = self.give(&mut transaction, first, last, sight).await?;
        match record {
            Record::Made(run) if !keys.is_empty() => {
                moves::record(&mut transaction, run, table, self.from, self.to, &keys).await?;
            }
            Record::Made(_) => {}
            Record::Undone(record, run) => {
                moves::mark_undone(&mut transaction, record, run).await?;
            }
        }
        transaction.commit().await.context(context())?;
        Ok(keys.len() as u64)
    }

    /// Moves the rows numbered `first` to `last`, and no others, and returns their keys.
    async fn give(
        &self,
        connection: &mut PgConnection,
        first: i64,
        last: i64,
        sight: Sight,
    ) -> Result<Vec<String>, Error> {
        let Self { model, graph, .. } = *self;
        let table = &graph.tables[self.place].name;
        let mut attempt = connection.begin().await?;
        let before = guard::written(&mut attempt, model, Balances::beside(model, table)).await?;
        let keys = self.update(&mut attempt, first, last).await?;
        let touched = before.beyond(&mut attempt, model, &[(table, keys.len())]).await?;
        if touched.is_empty() {
            attempt.commit().await?;
            return Ok(keys);
        }
        sight.require_comparing(table)?;
        attempt.rollback().await?;
        let others = guard::others(connection, model, graph, &touched, table, &keys).await?;
        let keys = self.update(connection, first, last).await?;
        let after = guard::others(connection, model, graph, &touched, table, &keys).await?;
        others.require(&after, table)?;
        Ok(keys)
    }

    async fn update(
        &self,
        connection: &mut PgConnection,
        first: i64,
        last: i64,
    ) -> Result<Vec<String>, Error> {
        let context = || format!("move rows of {}", self.graph.tables[self.place].name.plain());
        let keys: Vec<String> = match &self.statements {
            Statements::Plain(statement) => sqlx::query_scalar(statement.sql())
                .bind(first)
                .bind(last)
                .bind(self.from)
                .bind(self.to)
                .fetch_one(&mut *connection)
                .await
                .context(context())?,
            Statements::Ledger { hold, take, give, moving, keys } => {
                connection.execute("DELETE FROM pg_temp.stockfoil_batch").await.context(context())?;
                sqlx::query(hold.sql())
                    .bind(first)
                    .bind(last)
                    .bind(self.from)
                    .execute(&mut *connection)
                    .await
                    .context(context())?;
                connection.execute(take.sql()).await.context(context())?;
                sqlx::query(moving.sql()).bind(self.to).execute(&mut *connection).await.context(context())?;
                connection.execute(give.sql()).await.context(context())?;
                sqlx::query_scalar(keys.sql()).fetch_one(&mut *connection).await.context(context())?
            }
        };
        if self.within.is_none() {
            guard::settle(connection).await?;
        }
        Ok(keys)
    }
}
