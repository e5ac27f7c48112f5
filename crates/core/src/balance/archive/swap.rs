//! The partition and its replacement change places, in one short transaction that waits for nobody long.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    Place, Stand, Work,
    replacement::{BOUNDS, FENCE, Replacement},
    sums::{Sums, of_table},
};
use crate::{
    Error,
    balance::uncovered_partitions,
    db::{Context as _, DbError, gave_way, jittered, pause_after_giving_way},
    model::Model,
    sql::{Fixed, Fragment, Ident, QualifiedName, Statement, render},
};

const SWAP: &str = "let the partition and its replacement change places";

/// How long it stands in the queue of a lock, where everybody who comes after it waits too; below every time after which the
/// server looks for deadlocks.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '100ms'";

/// How often it asks for the locks before writers of the partition are let go on for a while.
const ASKS_MAX: u32 = 5;

/// After so many attempts somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 10;

/// How it ended.
#[derive(Debug)]
pub(super) enum Swapped {
    /// The replacement is the partition.
    Done {
        /// What the table with the old entries is called; none where there is none.
        archived_as: Option<QualifiedName>,
    },
    /// The partition has other entries than were brought forward; nothing was changed.
    Changed,
}

impl Work<'_> {
    /// Lets them change places, however often that has to be tried.
    pub(super) async fn swap(&mut self, replacement: &Replacement, sums: &Sums) -> Result<Swapped, Error> {
        let mut attempts: u32 = 0;
        loop {
            let who = match self.in_the_way(replacement).await? {
                Some(who) => who,
                None => match self.try_swap(replacement, sums).await? {
                    Some(swapped) => return Ok(swapped),
                    // Such as a prepared transaction, which is no session's.
                    None => "others who hold the ledger".to_owned(),
                },
            };
            attempts += 1;
            if attempts % TELL_AFTER_ATTEMPTS == 1 {
                self.progress.note(&format!("waiting for {who}"));
            }
            tokio::time::sleep(jittered(300, 300)).await;
        }
    }

    /// Who would have to be waited for. Looked at first, since nobody is to queue behind this.
    async fn in_the_way(&mut self, replacement: &Replacement) -> Result<Option<String>, Error> {
        let tables = [Some(&self.model.ledger.table), replacement.default.as_ref(), self.standing()];
        let tables: Vec<String> = tables.into_iter().flatten().map(ToString::to_string).collect();
        let who = sqlx::query_scalar(include_str!("in_the_way.sql"))
            .bind(tables)
            .bind(&replacement.filled)
            .fetch_optional(&mut *self.session)
            .await;
        Ok(who.context("look who holds the ledger")?)
    }

    /// The table of the partition's name, where there is one.
    fn standing(&self) -> Option<&QualifiedName> {
        matches!(self.place.stand, Stand::Attached | Stand::Detached).then_some(&self.place.table)
    }

    /// Tries it; none where others hold what it needs.
    async fn try_swap(&mut self, replacement: &Replacement, sums: &Sums) -> Result<Option<Swapped>, Error> {
        let archived_as = match self.standing() {
            Some(_) => Some(self.place.free_name(self.session, "archived").await?),
            None => None,
        };
        let triggers = self.own_triggers().await?;
        let change = self.change(replacement, archived_as.as_ref(), &triggers);
        let is_attached = matches!(self.place.stand, Stand::Attached);
        let mut transaction =
            self.session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await.context(SWAP)?;
        let connection: &mut PgConnection = &mut transaction;
        connection.execute(LOCK_TIMEOUT).await.context(SWAP)?;
        if is_attached {
            match hold(connection, self.model, &self.place.table).await? {
                Held::AsSummed => {}
                held => {
                    transaction.rollback().await.context(SWAP)?;
                    return Ok((held == Held::Changed).then_some(Swapped::Changed));
                }
            }
        }
        if !ask(connection, &change).await? {
            transaction.rollback().await.context(SWAP)?;
            return Ok(None);
        }
        let why = match bring_closing(connection, self.closing.id, sums).await? {
            None => uncovered(connection, self.model, &self.place.table).await?,
            why => why,
        };
        if let Some(why) = why {
            transaction.rollback().await.context(SWAP)?;
            return Err(self.refused(why));
        }
        let ended = Ended { place: &self.place, archived_as: archived_as.as_ref(), sums };
        ended.record(connection, self.model, (replacement.record, self.closing.id)).await?;
        transaction.commit().await.context(SWAP)?;
        Ok(Some(Swapped::Done { archived_as }))
    }

    /// The triggers of the balances that the table of the partition's name has, and which are of no use when it is archived.
    async fn own_triggers(&mut self) -> Result<Vec<Ident>, Error> {
        if self.standing().is_none() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = sqlx::query_scalar(include_str!("own_triggers.sql"))
            .bind(self.place.like_oid)
            .fetch_all(&mut *self.session)
            .await
            .context(SWAP)?;
        Ok(names.into_iter().map(Ident::new).collect::<Result<_, _>>()?)
    }

    /// The statements that change places.
    fn change(
        &self,
        replacement: &Replacement,
        archived_as: Option<&QualifiedName>,
        triggers: &[Ident],
    ) -> Vec<Statement> {
        let (ledger, table) = (&self.model.ledger.table, &self.place.table);
        let mut statements = Vec::new();
        let mut add = |template: &'static str, more: &[(&str, &dyn Fragment)]| {
            let own: [(&str, &dyn Fragment); 4] = [
                ("ledger", ledger),
                ("partition", table),
                ("name", &table.name),
                ("bounds", &self.place.bounds),
            ];
            statements.push(render(template, &[&own, more].concat()));
        };
        if matches!(self.place.stand, Stand::Attached) {
            add("ALTER TABLE {ledger} DETACH PARTITION {partition}", &[]);
        }
        for trigger in triggers {
            add("DROP TRIGGER {trigger} ON {partition}", &[("trigger", trigger)]);
        }
        if let Some(archived_as) = archived_as {
            add("ALTER TABLE {partition} RENAME TO {archived}", &[("archived", &archived_as.name)]);
        }
        add("ALTER TABLE {replacement} RENAME TO {name}", &[("replacement", &replacement.table)]);
        add("ALTER TABLE {ledger} ATTACH PARTITION {partition} {bounds}", &[]);
        add("ALTER TABLE {partition} DROP CONSTRAINT {check}", &[("check", &Fixed(BOUNDS))]);
        if let Some(default) = &replacement.default {
            let fragments: [(&str, &dyn Fragment); 2] = [("default", default), ("fence", &Fixed(FENCE))];
            add("ALTER TABLE {default} DROP CONSTRAINT {fence}", &fragments);
        }
        statements
    }
}

/// How a partition was found when its writers were to be kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    AsSummed,
    Changed,
    /// Others hold it.
    Not,
}

/// Keeps writers of `table` out, so that what is read of it stays so, and reads it once more. Others go on.
async fn hold(connection: &mut PgConnection, model: &Model, table: &QualifiedName) -> Result<Held, Error> {
    let hold = render("LOCK TABLE {table} IN SHARE MODE", &[("table", table)]);
    match connection.execute(hold.sql()).await {
        Err(error) if gave_way(&error) => return Ok(Held::Not),
        held => held.context(SWAP)?,
    };
    let is_same = of_table(model, include_str!("is_same.sql"), table);
    let is_same: bool =
        sqlx::query_scalar(is_same.sql()).persistent(false).fetch_one(connection).await.context(SWAP)?;
    Ok(if is_same { Held::AsSummed } else { Held::Changed })
}

/// What is recorded of an archive that is done.
struct Ended<'a> {
    place: &'a Place,
    archived_as: Option<&'a QualifiedName>,
    sums: &'a Sums,
}

impl Ended<'_> {
    async fn record(
        &self,
        connection: &mut PgConnection,
        model: &Model,
        (record, closing): (i64, i64),
    ) -> Result<(), Error> {
        let is_attached = matches!(self.place.stand, Stand::Attached);
        sqlx::query(include_str!("record.sql"))
            .bind(record)
            .bind(closing)
            .bind(self.place.table.schema.as_str())
            .bind(self.place.table.name.as_str())
            .bind(self.archived_as.map(QualifiedName::plain))
            .bind(self.sums.keys)
            .bind(self.sums.entries)
            .bind(self.sums.to_write)
            .bind(is_attached.then_some(self.place.like_oid))
            .bind(model.ledger.table.to_string())
            .execute(connection)
            .await
            .context(SWAP)?;
        Ok(())
    }
}

/// Runs `change`, asking for its locks some times; whether it got them.
async fn ask(connection: &mut PgConnection, change: &[Statement]) -> Result<bool, Error> {
    for ask in 1..=ASKS_MAX {
        connection.execute("SAVEPOINT places").await.context(SWAP)?;
        let mut result = Ok(());
        for statement in change {
            result = connection.execute(statement.sql()).await.map(|_| ());
            if result.is_err() {
                break;
            }
        }
        match result {
            Ok(()) => return Ok(true),
            Err(error) if gave_way(&error) => {
                connection.execute("ROLLBACK TO SAVEPOINT places").await.context(SWAP)?;
                if ask < ASKS_MAX {
                    tokio::time::sleep(pause_after_giving_way()).await;
                }
            }
            Err(cause) => return Err(DbError::Statement { context: SWAP.to_owned(), cause }.into()),
        }
    }
    Ok(false)
}

/// Makes the closing one of the new entries. Why it can't be one of them.
async fn bring_closing(
    connection: &mut PgConnection,
    closing: i64,
    sums: &Sums,
) -> Result<Option<String>, Error> {
    let brought: i64 = sqlx::query_scalar(include_str!("bring_closing.sql"))
        .persistent(false)
        .bind(closing)
        .fetch_one(&mut *connection)
        .await
        .context("bring the closing forward")?;
    if brought != sums.keys {
        return Ok(Some(format!(
            "closing {closing} has other balances of {} of its keys than their entries add up to; close again first",
            sums.keys - brought
        )));
    }
    sqlx::query("DELETE FROM stockfoil.closing_balance WHERE closing_id = $1 AND entries = 0")
        .bind(closing)
        .execute(connection)
        .await
        .context("bring the closing forward")?;
    Ok(None)
}

/// Whether the new partition lacks what counts its entries, in words.
async fn uncovered(
    connection: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
) -> Result<Option<String>, Error> {
    let mut model = model.clone();
    model.ledger.partitions = vec![table.clone()];
    let uncovered = uncovered_partitions(connection, &model).await?;
    Ok((!uncovered.is_empty())
        .then(|| "the table in its place would have no triggers of the balances; run migrate-balance".into()))
}
