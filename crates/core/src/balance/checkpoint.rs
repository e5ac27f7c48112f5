//! Incremental comparison: its cost follows new entries, not history.
//!
//! A checkpoint holds, by key, the sum of all entries below a watermark: the oldest transaction that was under way
//! when it was sealed. Below it no transaction can still be running, so nothing can be committed there any more; ids
//! and times give no such promise, since a slow transaction commits below them later. Updates and deletes mark their
//! keys, whatever the entries' age: marks for those below the watermark alone would race with its move. What a key's
//! entries add up to is then its sealed sum and the entries from the watermark on, or for a marked key all of its
//! entries. One snapshot serves the comparison and the next seal.
//!
//! What changes the ledger without its triggers seeing it is found by summing sealed history again, in turns.

use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::difference::{self, Differences};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    model::Model,
    sql::{Fragment, Literal},
    tenancy::OrgId,
};

/// How often a comparison is begun again when the seal collides with a schema change or another session.
const ATTEMPTS_MAX: u32 = 3;

/// Above so many rows a key the sealed sums are folded into one row each. Reading a row more costs each run about what
/// folding costs once.
const SEALED_ROWS_PER_KEY_MAX: i64 = 4;

/// How a comparison may use the checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Read every entry.
    pub(super) full: bool,
    /// In how many runs the whole sealed history is summed again; 0: never.
    pub(super) rounds: u32,
    /// The run that compares.
    pub(super) run: RunId,
}

/// Why every entry was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FullReason {
    /// It was asked for.
    Asked,
    /// The ledger does not say which transaction made an entry (`[ledger] incremental = false`).
    NotIncremental,
    /// Only some organizations are compared, or nothing may be changed.
    Partial,
    /// A trigger, function or table of the balances is not as it should be, so changes may have gone unmarked.
    BrokenParts,
    /// Nothing was sealed yet.
    NoCheckpoint,
    /// The checkpoint is of another cluster, whose transactions were counted otherwise: a dump was restored.
    OtherCluster,
    /// The ledger was truncated.
    Truncated,
}

impl FullReason {
    /// Why, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "it was asked for",
            Self::NotIncremental => "[ledger] incremental is false",
            Self::Partial => "only a part was compared, or nothing was to be changed",
            Self::BrokenParts => "parts of the balances are not as they should be",
            Self::NoCheckpoint => "nothing was sealed yet",
            Self::OtherCluster => "the checkpoint is of another cluster",
            Self::Truncated => "the ledger was truncated",
        }
    }
}

/// What a comparison found, and how it came by it.
#[derive(Debug)]
pub(super) struct Compared {
    /// The differences, put aside in the session.
    pub(super) differences: Differences,
    /// Why every entry was read; none when only new ones were.
    pub(super) full: Option<FullReason>,
    /// How many keys were marked.
    pub(super) marked_keys: i64,
    /// How many organizations' whole history was summed again.
    pub(super) verified_organizations: i64,
    /// The keys whose sealed entries were changed without the triggers seeing it, with their sum now and as sealed.
    pub(super) changed_history: Vec<(BalanceKey, Option<Quantity>, Option<Quantity>)>,
}

#[derive(sqlx::FromRow)]
struct Checkpoint {
    watermark: Option<i64>,
    system_identifier: Option<String>,
    round: Option<i32>,
    next: i64,
    this_system: String,
    is_all_marked: bool,
}

impl Checkpoint {
    /// Why it can't be built on.
    fn unusable(&self) -> Option<FullReason> {
        match &self.system_identifier {
            None => Some(FullReason::NoCheckpoint),
            Some(system) if *system != self.this_system => Some(FullReason::OtherCluster),
            Some(_) if self.is_all_marked => Some(FullReason::Truncated),
            Some(_) => None,
        }
    }
}

/// Compares all organizations, from the checkpoint where there is one, and seals what can be sealed.
///
/// The caller holds the run lock, and every part of the balances is intact.
pub(super) async fn compare(
    session: &mut PgConnection,
    model: &Model,
    plan: Plan,
) -> Result<Compared, Error> {
    let mut attempt = 1;
    loop {
        match compare_once(session, model, plan).await {
            Err(error) if attempt < ATTEMPTS_MAX && is_collision(&error) => attempt += 1,
            result => return result,
        }
    }
}

fn is_collision(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("40001" | "40P01"))
}

async fn compare_once(session: &mut PgConnection, model: &Model, plan: Plan) -> Result<Compared, Error> {
    let ledger_file = difference::prepare(session, model).await?;
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let checkpoint: Checkpoint = sqlx::query_as(include_str!("checkpoint/read.sql"))
        .bind(model.ledger.table.to_string())
        .fetch_one(&mut *transaction)
        .await
        .context("read the checkpoint")?;
    let round = checkpoint.round.unwrap_or(0);
    let mut compared = match checkpoint.unusable() {
        Some(reason) => rebuild(&mut transaction, model, &checkpoint, reason, ledger_file).await?,
        None => advance(&mut transaction, model, &checkpoint, round, plan, ledger_file).await?,
    };
    sqlx::query(include_str!("checkpoint/move.sql"))
        .bind(model.ledger.table.to_string())
        .bind(checkpoint.next)
        .bind(&checkpoint.this_system)
        .bind(if round == i32::MAX { 0 } else { round + 1 })
        .bind(plan.run)
        .execute(&mut *transaction)
        .await
        .context("move the checkpoint")?;
    transaction.commit().await.context("move the checkpoint")?;
    compared.differences.index(session).await?;
    Ok(compared)
}

/// Reads every entry, and seals all of them.
async fn rebuild(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    checkpoint: &Checkpoint,
    reason: FullReason,
    ledger_file: String,
) -> Result<Compared, Error> {
    let difference = difference::statement(model);
    let differences = Differences::put_aside(transaction, model, &difference, None, ledger_file).await?;
    let next = Literal::new(&checkpoint.next.to_string());
    let seal = model.render_with(include_str!("checkpoint/seal_all.sql"), &[("next", &next)]);
    transaction.execute(seal.sql()).await.context("sum the ledger up to the watermark")?;
    replace(transaction).await?;
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    Ok(Compared {
        differences,
        full: Some(reason),
        marked_keys: 0,
        verified_organizations: 0,
        changed_history: Vec::new(),
    })
}

/// Exactly the marks of this snapshot; what is marked meanwhile stays for the next run.
const FORGET_MARKS: &str = "DELETE FROM stockfoil.dirty_key";

/// Replaces the sealed sums by those that were put aside.
async fn replace(transaction: &mut Transaction<'_, Postgres>) -> Result<(), Error> {
    transaction.execute(include_str!("checkpoint/replace.sql")).await.context("replace the sealed sums")?;
    transaction.execute("ANALYZE stockfoil.checkpoint_sum").await.context("replace the sealed sums")?;
    Ok(())
}

/// What is to be summed again, and how much is sealed.
#[derive(sqlx::FromRow)]
struct Extent {
    marked_keys: i64,
    turns: i64,
    sealed_rows: i64,
    balances: i64,
}

/// Compares from the checkpoint, or in full where that was asked for, and moves it.
async fn advance(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    checkpoint: &Checkpoint,
    round: i32,
    plan: Plan,
    ledger_file: String,
) -> Result<Compared, Error> {
    let number = |number: i64| Literal::new(&number.to_string());
    let (watermark, next) = (number(checkpoint.watermark.unwrap_or(0)), number(checkpoint.next));
    let (round, rounds) = (number(round.into()), number(plan.rounds.into()));
    let more: [(&str, &dyn Fragment); 4] =
        [("watermark", &watermark), ("next", &next), ("round", &round), ("rounds", &rounds)];
    for template in [include_str!("checkpoint/dirty.sql"), include_str!("checkpoint/turn.sql")] {
        let statement = model.render_with(template, &more);
        transaction.execute(statement.sql()).await.context("look which keys to sum again")?;
    }
    transaction
        .execute(sqlx::raw_sql("ANALYZE pg_temp.stockfoil_dirty; ANALYZE pg_temp.stockfoil_turn"))
        .await
        .context("look which keys to sum again")?;
    let extent = model.render(include_str!("checkpoint/extent.sql"));
    let extent: Extent = sqlx::query_as(extent.sql())
        .fetch_one(&mut **transaction)
        .await
        .context("count the keys to sum again")?;
    let sum = model.render_with(include_str!("checkpoint/sum.sql"), &more);
    transaction.execute(sum.sql()).await.context("sum the new entries")?;
    let difference = if plan.full {
        difference::statement(model)
    } else {
        let suspect = model.render(include_str!("checkpoint/suspect.sql"));
        transaction.execute(suspect.sql()).await.context("compare sealed sums and balances")?;
        model.render(include_str!("checkpoint/confirm.sql"))
    };
    let differences = Differences::put_aside(transaction, model, &difference, None, ledger_file).await?;
    let mut changed_history = Vec::new();
    if extent.turns > 0 {
        let changed = model.render(include_str!("checkpoint/changed_history.sql"));
        let rows: Vec<HistoryRow> = sqlx::query_as(changed.sql())
            .persistent(false)
            .fetch_all(&mut **transaction)
            .await
            .context("compare sealed history with the ledger")?;
        record_history(transaction, plan.run, &rows).await?;
        changed_history = rows.into_iter().map(HistoryRow::read).collect::<Result<_, Error>>()?;
    }
    if extent.turns > 0 || extent.marked_keys > 0 {
        transaction
            .execute(include_str!("checkpoint/unseal.sql"))
            .await
            .context("forget the sums of keys that changed")?;
    }
    transaction.execute(include_str!("checkpoint/seal.sql")).await.context("seal the new entries")?;
    if extent.sealed_rows > SEALED_ROWS_PER_KEY_MAX * (extent.balances + 1) {
        transaction.execute(include_str!("checkpoint/fold.sql")).await.context("fold the sealed sums")?;
        replace(transaction).await?;
    }
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    let doubtful = match plan.full {
        true => include_str!("checkpoint/mark_different.sql"),
        false => include_str!("checkpoint/mark_unconfirmed.sql"),
    };
    transaction.execute(doubtful).await.context("mark the keys whose sealed sums may be wrong")?;
    Ok(Compared {
        differences,
        full: plan.full.then_some(FullReason::Asked),
        marked_keys: extent.marked_keys,
        verified_organizations: extent.turns,
        changed_history,
    })
}

/// Opens and carries on the findings of changed history, and closes those of the organizations whose history was read
/// again without seeing them. In the transaction that seals it as it is now: no later run could find it.
async fn record_history(
    transaction: &mut Transaction<'_, Postgres>,
    run: RunId,
    rows: &[HistoryRow],
) -> Result<(), Error> {
    let column = |part: fn(&HistoryRow) -> Option<String>| rows.iter().map(part).collect::<Vec<_>>();
    sqlx::query(include_str!("record_history.sql"))
        .bind(run)
        .bind(column(|row| Some(row.0.to_string())))
        .bind(column(|row| Some(row.1.clone())))
        .bind(column(|row| Some(row.2.clone())))
        .bind(column(|row| row.3.clone()))
        .bind(column(|row| row.4.clone()))
        .bind(column(|row| row.5.clone()))
        .execute(&mut **transaction)
        .await
        .context("record the changes of history")?;
    sqlx::query(include_str!("close_history.sql"))
        .bind(run)
        .execute(&mut **transaction)
        .await
        .context("close the findings of changed history that are gone")?;
    Ok(())
}

/// A row of `changed_history.sql`.
#[derive(sqlx::FromRow)]
struct HistoryRow(OrgId, String, String, Option<String>, Option<String>, Option<String>);

impl HistoryRow {
    fn read(self) -> Result<(BalanceKey, Option<Quantity>, Option<Quantity>), Error> {
        let Self(org_id, item_id, location_id, lot_id, now, sealed) = self;
        let quantity =
            |text: Option<String>| text.map(|text| text.parse()).transpose().map_err(sqlx::Error::decode);
        Ok((BalanceKey { org_id, item_id, location_id, lot_id }, quantity(now)?, quantity(sealed)?))
    }
}
