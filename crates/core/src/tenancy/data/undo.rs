//! Putting back what a run gave to another organization.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    ByOrganization, Conflict, DataError, Graph, TableMoves, Transfer, by_table, closure, conflicts,
    graph::refers, needs_one_transaction, transfer,
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    progress::Progress,
    report::{Outcome, Report},
    sql::{Fragment, Literal, Statement, render},
    tenancy::{require, require_moves},
};

/// A run to take back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The command that it is of, whose run this one is too.
    pub command: &'static str,
    /// The run.
    pub run: i64,
    /// Only say what would be put back.
    pub dry_run: bool,
    /// How many rows must go back; with any other number, none does.
    pub expect: Option<u64>,
}

/// A row that is no longer where the run put it, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: String,
    /// Whose it is; none where it is gone.
    pub org_id: Option<String>,
}

/// Rows that refer to rows that would go back, and are not the run's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InTheWay {
    /// The table.
    pub table: String,
    /// The table that they refer to.
    pub referred: String,
    /// How many.
    pub rows: i64,
}

/// What was put back, or would be.
#[derive(Debug, Serialize)]
pub struct Undone {
    /// The command.
    pub command: &'static str,
    /// The run that is taken back.
    pub undone_run: i64,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// This run; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// Whether rows were put back.
    pub applied: bool,
    /// Why nothing can be put back, if so.
    pub stopped: Option<String>,
    /// How many rows, of all tables.
    pub rows: u64,
    /// The tables of which rows go back; their copies are those that are deleted.
    pub tables: Vec<TableMoves>,
    /// How many copies stay, since rows refer to them.
    pub copies_kept: u64,
    /// Rows that are no longer where the run put them, and stay.
    pub elsewhere: Vec<Elsewhere>,
    /// Rows that can't go back, because a key of theirs is taken there.
    pub conflicts: Vec<Conflict>,
    /// Rows that refer to those that would go back.
    pub in_the_way: Vec<InTheWay>,
}

impl Undone {
    /// What to ask before it is done; none where nothing would be.
    pub fn question(&self) -> Option<String> {
        let Self { rows, undone_run, .. } = self;
        self.stopped.is_none().then(|| format!("{rows} rows that run {undone_run} moved go back; go on?"))
    }
}

impl Report for Undone {
    const SCHEMA: &'static str = "stockfoil.undo/1";

    fn outcome(&self) -> Outcome {
        let is_whole = self.stopped.is_none() && self.elsewhere.is_empty() && self.copies_kept == 0;
        if is_whole { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Puts back what a run gave to another organization, as far as it is still there, or says what would be put back.
///
/// Each record of the run goes back in a transaction of its own. May be killed at any moment and run again.
///
/// # Errors
/// [`DataError`] for a run that there is not, or that was put back; another run that holds the lock, and what the
/// database refuses.
pub fn undo<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    request: &'a Undo,
    progress: &'a dyn Progress,
) -> Task<'a, Undone> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
        require_moves(db).await?;
        db.require_direct().await?;
        if !request.dry_run {
            db.require_writable()?;
        }
        let _lock = match request.dry_run {
            true => None,
            false => Some(db.run_lock(Duration::ZERO, progress).await?),
        };
        let mut session = db.session().await?;
        check(&mut session, request).await?;
        let graph = Graph::read(&mut session, model).await?;
        let is_atomic = needs_one_transaction(&graph)?;
        progress.begin("look at what the run moved", None);
        let mut work =
            Work { model, graph: &graph, request, progress, done: vec![(0, 0); graph.tables.len()] };
        let (mut report, records) = work.look(&mut session).await?;
        progress.finish();
        if request.dry_run || report.stopped.is_some() {
            return Ok(report);
        }
        let run = history::start(&mut session, request.command).await?;
        history::note(&mut session, run, &serde_json::json!({ "undo": request.run })).await?;
        report.run_id = Some(run);
        let result = match is_atomic {
            false => work.put_back(&mut session, run, &records, report).await,
            true => {
                let mut transaction = session.begin().await?;
                transaction
                    .execute("SET CONSTRAINTS ALL DEFERRED")
                    .await
                    .context("defer the foreign keys")?;
                let report = work.put_back(&mut transaction, run, &records, report).await;
                match report {
                    Ok(report) => match transaction.commit().await.context("put back what was moved") {
                        Ok(()) => Ok(report),
                        Err(error) => Err(error.into()),
                    },
                    Err(error) => Err(error),
                }
            }
        };
        let mut other = db.session().await?;
        history::finish(&mut other, run, result, |report| {
            serde_json::json!({
                "undo": request.run, "rows": report.rows, "tables": report.tables,
                "copies_kept": report.copies_kept, "elsewhere": report.elsewhere.len(),
            })
        })
        .await
    })
}

/// Refuses a run that there is not, that is another command's, or that was put back.
async fn check(session: &mut PgConnection, request: &Undo) -> Result<(), Error> {
    let found: Option<(String, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT r.command, count(m.id), count(m.undone_run), max(m.undone_run)
         FROM stockfoil.run AS r LEFT JOIN stockfoil.move AS m ON m.run_id = r.id WHERE r.id = $1 GROUP BY r.command",
    )
    .bind(request.run)
    .fetch_optional(session)
    .await
    .context("look for the run")?;
    let run = request.run;
    match found {
        None => Err(DataError::NoSuchRun(run).into()),
        Some((command, ..)) if command != request.command => {
            Err(DataError::OtherCommand { run, command }.into())
        }
        Some((_, 0, ..)) => Err(DataError::NoSuchRun(run).into()),
        Some((_, all, undone, Some(by))) if all == undone => Err(DataError::UndoneAlready { run, by }.into()),
        Some(_) => Ok(()),
    }
}

/// A record of the run.
#[derive(Debug)]
struct Moved {
    place: usize,
    id: i64,
    from: Option<String>,
    to: String,
    /// The numbers of its rows among those put aside; none where none of them is left.
    rows: Option<(i64, i64)>,
}

struct Work<'a> {
    model: &'a Model,
    graph: &'a Graph,
    request: &'a Undo,
    progress: &'a dyn Progress,
    /// By table: rows put back, and copies deleted.
    done: Vec<(u64, u64)>,
}

impl Work<'_> {
    /// What goes back, and what keeps it from that.
    async fn look(&mut self, session: &mut PgConnection) -> Result<(Undone, Vec<Moved>), Error> {
        let Self { model, graph, request, .. } = *self;
        closure::create_tables(session, model, graph).await?;
        let mut elsewhere = Vec::new();
        let mut records = Vec::new();
        let mut found = Vec::new();
        let mut orgs: BTreeSet<String> = BTreeSet::new();
        for (place, table) in graph.tables.iter().enumerate() {
            if table.key.is_empty() {
                continue;
            }
            let name = table.name.plain();
            let rows: Vec<(i64, Option<String>, String)> = sqlx::query_as(
                "SELECT id, from_org, to_org FROM stockfoil.move
                 WHERE run_id = $1 AND copies IS NULL AND undone_run IS NULL AND schema_name = $2 AND table_name = $3 ORDER BY id",
            )
            .bind(request.run)
            .bind(table.name.schema.as_str())
            .bind(table.name.name.as_str())
            .fetch_all(&mut *session)
            .await
            .context("read what the run moved")?;
            if rows.is_empty() {
                continue;
            }
            let keys = table.key_from("i.id");
            let more: [(&str, &dyn Fragment); 1] = [("keys_from_id", &keys)];
            let put_aside = graph.of_table(model, place, include_str!("put_back.sql"), &more);
            sqlx::query(put_aside.sql())
                .persistent(false)
                .bind(request.run)
                .bind(table.name.schema.as_str())
                .bind(table.name.name.as_str())
                .execute(&mut *session)
                .await
                .context(format!("look for the rows of {name}"))?;
            let text = table.closure_text("c");
            let statement =
                graph.of_table(model, place, include_str!("elsewhere.sql"), &[("c.key_text", &text)]);
            let others: Vec<(String, Option<String>)> = sqlx::query_as(statement.sql())
                .persistent(false)
                .fetch_all(&mut *session)
                .await
                .context(format!("look where the rows of {name} are"))?;
            let drop = graph.of_table(
                model,
                place,
                "DELETE FROM {closure} AS c WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {t.is_c} AND t.{org}::text = c.org)",
                &[],
            );
            sqlx::query(drop.sql())
                .persistent(false)
                .execute(&mut *session)
                .await
                .context("leave out what is elsewhere")?;
            elsewhere.extend(others.into_iter().map(|(key, org_id)| Elsewhere {
                table: name.clone(),
                key,
                org_id,
            }));
            let mut by_org: ByOrganization<Vec<i64>> = ByOrganization::new();
            for (id, from, to) in rows {
                by_org.entry(from.clone()).or_default().push(id);
                orgs.insert(to.clone());
                records.push(Moved { place, id, from, to, rows: None });
            }
            for (org, ids) in by_org {
                let Some(org) = org else { continue };
                let ids = Literal::new(&format!(
                    "{{{}}}",
                    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                ));
                let arrives = render("c.move_id = ANY ({ids}::bigint[])", &[("ids", &ids)]);
                found.extend(conflicts(session, model, graph, place, &arrives, &org).await?);
            }
            let mut last = 0;
            for org in &orgs {
                // A run has one organization that gets; its records say so each.
                last = transfer::number(session, model, graph, place, org).await?.max(last);
            }
            self.done[place].0 = last.unsigned_abs();
            let ranges = graph.of_table(
                model,
                place,
                "SELECT move_id, min(n), max(n) FROM {closure} WHERE n IS NOT NULL GROUP BY 1",
                &[],
            );
            let ranges: Vec<(i64, i64, i64)> = sqlx::query_as(ranges.sql())
                .persistent(false)
                .fetch_all(&mut *session)
                .await
                .context("number the rows")?;
            for (id, first, last) in ranges {
                if let Some(record) = records.iter_mut().find(|record| record.id == id) {
                    record.rows = Some((first, last));
                }
            }
        }
        let mut in_the_way = Vec::new();
        for org in &orgs {
            in_the_way.extend(self.left_behind(session, org).await?);
        }
        let rows = self.done.iter().map(|(rows, _)| rows).sum();
        let stopped = match request.expect {
            Some(expect) if expect != rows => {
                Some(format!("--expect says {expect}, but {rows} rows would go back"))
            }
            _ if !in_the_way.is_empty() => Some(format!(
                "rows that are not of run {} refer to its rows; move them first, or undo the run that moved them",
                request.run
            )),
            _ if !found.is_empty() => {
                Some(format!("{} of them can't go back, because a key of theirs is taken", found.len()))
            }
            _ => None,
        };
        let report = Undone {
            command: request.command,
            undone_run: request.run,
            dry_run: request.dry_run,
            run_id: None,
            applied: false,
            stopped,
            rows,
            tables: by_table(graph, &self.done),
            copies_kept: 0,
            elsewhere,
            conflicts: found,
            in_the_way,
        };
        Ok((report, records))
    }

    /// Rows of `org` that refer to rows that go back, and are not among these.
    async fn left_behind(&self, session: &mut PgConnection, org: &str) -> Result<Vec<InTheWay>, Error> {
        let Self { model, graph, .. } = *self;
        let mut found = Vec::new();
        for edge in graph.belongings() {
            let (child, parent) = (&graph.tables[edge.child], &graph.tables[edge.parent]);
            if self.done[edge.parent].0 == 0 || child.key.is_empty() {
                continue;
            }
            let statement = graph.of_edge(model, edge, include_str!("left_behind.sql"), &[]);
            let rows: i64 = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(org)
                .fetch_one(&mut *session)
                .await
                .context("look for rows that would be left behind")?;
            if rows > 0 {
                found.push(InTheWay { table: child.name.plain(), referred: parent.name.plain(), rows });
            }
        }
        Ok(found)
    }

    async fn put_back(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        records: &[Moved],
        mut report: Undone,
    ) -> Result<Undone, Error> {
        let Self { model, graph, progress, .. } = *self;
        self.done.fill((0, 0));
        let copied = self.originals(session).await?;
        transfer::prepare(session, model, graph).await?;
        progress.begin("put rows back", Some(report.rows));
        for record in records {
            let to = record.from.as_deref();
            let transfer = Transfer::new(model, graph, record.place, Some(&record.to), to, &copied);
            let (first, last) = record.rows.unwrap_or((1, 0));
            self.done[record.place].0 +=
                transfer.put_back(session, (first, last), record.id, run, progress).await?;
        }
        progress.finish();
        report.copies_kept = self.drop_copies(session, run, &copied).await?;
        transfer::unprepare(session).await?;
        report.applied = true;
        report.rows = self.done.iter().map(|(rows, _)| rows).sum();
        report.tables = by_table(graph, &self.done);
        Ok(report)
    }

    /// Puts aside which row each copy is one of, for the tables that have copies where the rows are now.
    async fn originals(&self, session: &mut PgConnection) -> Result<BTreeSet<usize>, Error> {
        let Self { model, graph, request, .. } = *self;
        let mut copied = BTreeSet::new();
        for (place, table) in graph.tables.iter().enumerate() {
            let [(key, key_type)] = table.key.as_slice() else { continue };
            closure::create_copies(session, model, graph, place).await?;
            let more: [(&str, &dyn Fragment); 2] = [("table_key", key), ("table_key_type", key_type)];
            let statement = graph.of_table(model, place, include_str!("originals.sql"), &more);
            let rows = sqlx::query(statement.sql())
                .persistent(false)
                .bind(request.run)
                .bind(table.name.schema.as_str())
                .bind(table.name.name.as_str())
                .execute(&mut *session)
                .await
                .context("look for what was copied")?
                .rows_affected();
            if rows > 0 {
                copied.insert(place);
            }
        }
        Ok(copied)
    }

    /// Deletes the run's copies that nothing refers to, and returns how many stay.
    async fn drop_copies(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        copied: &BTreeSet<usize>,
    ) -> Result<u64, Error> {
        let Self { model, graph, request, .. } = *self;
        let mut kept = 0;
        let mut order = closure::parents_first(graph, copied);
        order.reverse();
        for place in order {
            let table = &graph.tables[place];
            let context = || format!("delete copies in {}", table.name.plain());
            let records: Vec<(i64, String, Vec<String>)> = sqlx::query_as(
                "SELECT id, to_org, copies FROM stockfoil.move
                 WHERE run_id = $1 AND copies IS NOT NULL AND undone_run IS NULL AND schema_name = $2 AND table_name = $3 ORDER BY id",
            )
            .bind(request.run)
            .bind(table.name.schema.as_str())
            .bind(table.name.name.as_str())
            .fetch_all(&mut *session)
            .await
            .context(context())?;
            let (keys, is_c, is_used) = (table.key_from("i.id"), table.is("p", "c"), self.is_used(place));
            let more: [(&str, &dyn Fragment); 3] =
                [("keys_from_id", &keys), ("p.is_c", &is_c), ("is_used", &is_used)];
            let drop = graph.of_table(model, place, include_str!("drop_copies.sql"), &more);
            let of_balances = graph.from_outside.iter().filter(|reference| {
                reference.parent == place && reference.child_table == model.balances.table
            });
            let sweep: Vec<Statement> = of_balances
                .map(|reference| {
                    let refers = refers("u", &reference.columns);
                    let more: [(&str, &dyn Fragment); 4] = [
                        ("keys_from_id", &keys),
                        ("p.is_c", &is_c),
                        ("is_used", &is_used),
                        ("u.refers_p", &refers),
                    ];
                    graph.of_table(model, place, include_str!("drop_balances.sql"), &more)
                })
                .collect();
            for (id, org, copies) in records {
                let mut transaction = session.begin().await?;
                for sweep in &sweep {
                    sqlx::query(sweep.sql())
                        .persistent(false)
                        .bind(&copies)
                        .bind(&org)
                        .execute(&mut *transaction)
                        .await
                        .context(context())?;
                }
                let (dropped, all): (i64, i32) = sqlx::query_as(drop.sql())
                    .persistent(false)
                    .bind(&copies)
                    .bind(&org)
                    .fetch_one(&mut *transaction)
                    .await
                    .context(context())?;
                super::super::moves::mark_undone(&mut transaction, id, run).await?;
                transaction.commit().await.context(context())?;
                self.done[place].1 += dropped.unsigned_abs();
                kept += (i64::from(all) - dropped).unsigned_abs();
            }
        }
        Ok(kept)
    }

    /// That a row of any table, but for balances of zero, refers to the row `p`.
    fn is_used(&self, place: usize) -> Statement {
        let Self { graph, .. } = *self;
        let inside = graph
            .edges
            .iter()
            .filter(|edge| edge.parent == place)
            .map(|edge| (&graph.tables[edge.child].name, &edge.columns));
        let outside = graph
            .from_outside
            .iter()
            .filter(|reference| reference.parent == place)
            .map(|reference| (&reference.child_table, &reference.columns));
        let balances = &self.model.balances;
        let each = inside.chain(outside).map(|(table, columns)| {
            let refers = refers("u", columns);
            // A balance of zero is what is left of entries that are gone.
            let counts = match *table == balances.table {
                true => render(" AND u.{quantity} <> 0", &[("quantity", &balances.quantity)]),
                false => render("", &[]),
            };
            render(
                "EXISTS (SELECT FROM {table} AS u WHERE {refers}{counts})",
                &[("table", table), ("refers", &refers), ("counts", &counts)],
            )
        });
        let each: Vec<Statement> = std::iter::once(render("false", &[])).chain(each).collect();
        crate::model::joined(&each, " OR ")
    }
}
