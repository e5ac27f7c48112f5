//! Incremental comparison: its cost follows new entries, not history.
//!
//! A checkpoint seals the entries below a watermark, the oldest transaction that was under way when it moved. Below it no
//! transaction can still be running, so nothing can be committed there any more; ids and times give no such promise,
//! since a slow transaction commits below them later. Updates and deletes mark their keys, whatever the entries' age:
//! marks for those below the watermark alone would race with its move. What a key's entries add up to is then its sealed
//! sum and the entries from the watermark on, or for a marked key all of its entries. One snapshot serves the comparison
//! and the next seal.
//!
//! Most runs find nothing, so first one number for each organization is compared, a hash total: each quantity times a
//! weight made of its key, added up. Totals are linear: that of what is sealed moves by what is sealed next, so the sealed
//! sums need not be read. Where a total differs, the organization's keys are compared one by one; what is told and
//! repaired is summed from all of their entries.
//!
//! A weight is PostgreSQL's 64-bit hash of the key (`hashtextextended`). An error that is independent of it passes with
//! a chance of about one in 2^63. That is a guard against errors, not against somebody who computes balances to fit; nor
//! is a zero balance too many or too few in any total. Both are found when keys are compared: in the organization's
//! turn, or when every key is asked for.
//!
//! What changes the ledger without its triggers seeing it is found by summing sealed history again, in turns.

use futures_util::future::join;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::difference::{self, Differences};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    mapping::KeptBy,
    model::Model,
    sql::{Fragment, Literal, Statement, render},
    tenancy::OrgId,
};

/// How often a comparison is begun again when the seal collides with a schema change or another session.
const ATTEMPTS_MAX: u32 = 3;

/// Above so many rows a key the sealed sums are folded into one row each. They are read for marked keys and where a total
/// differs only; history that is read again in seven turns is folded by that.
const SEALED_ROWS_PER_KEY_MAX: i64 = 8;

/// Up to so many marked keys are summed again one by one.
const MARKED_KEYS_MAX: i64 = 100_000;

/// Up to so many keys that differ are looked up one by one by the key index.
const SUSPECTS_MAX: i64 = 1000;

/// New entries lie together, and the index of transactions finds them. The planner can't know: where most entries have no
/// transaction, its statistics say nothing of their order, and it would read the whole ledger. What it holds of costs is
/// then worth nothing for the rest of the statement either, which is best grouped by hashing.
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off;
     SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_sort = off";

/// Takes [`BY_INDEX`] back.
const BY_ANY_PLAN: &str = "SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_indexscan TO DEFAULT;
     SET LOCAL enable_indexonlyscan TO DEFAULT; SET LOCAL enable_sort TO DEFAULT";

/// Whether an entry is of nothing that is summed again. A weight stands for its key: no join is needed, which could be
/// planned badly where scans are told which index to take.
const IS_CLEAN: &str = "n.org NOT IN (SELECT t.org FROM pg_temp.stockfoil_turn AS t)
    AND {key.weight} NOT IN (SELECT d.weight FROM pg_temp.stockfoil_dirty AS d)";

/// What a comparison reads of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What is new, and what is to be summed again.
    New,
    /// Every entry.
    Full,
    /// Every entry, and all of them are sealed anew, whatever was sealed before.
    Anew,
}

/// How a comparison may use the checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// What to read, where the checkpoint lets it choose.
    pub(super) extent: Extent,
    /// Compare every key, though no total differs: zero balances without entries are wanted.
    pub(super) every_key: bool,
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
    /// So many keys had an update or a delete that reading everything costs less.
    ManyMarks,
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
            Self::ManyMarks => "too many keys changed to sum them one by one",
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
    /// How many balances there are, where they were counted.
    pub(super) balances: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Checkpoint {
    watermark: Option<i64>,
    system_identifier: Option<String>,
    round: Option<i32>,
    next: i64,
    this_system: String,
    is_all_marked: bool,
    sealed_rows: i64,
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

/// Whether entries say which transaction made them, and triggers mark what changes.
pub(super) fn is_possible(model: &Model) -> bool {
    model.ledger.is_incremental && model.balances.kept_by == KeptBy::Triggers
}

/// Compares all organizations, from the checkpoint where there is one, and seals what can be sealed.
///
/// `session` holds the run lock, and every part of the balances is intact. `reader` reads beside it, on a server with
/// cores to spare in the time that sealing takes anyway.
pub(super) async fn compare(
    session: &mut PgConnection,
    reader: &mut PgConnection,
    model: &Model,
    plan: Plan,
) -> Result<Compared, Error> {
    let mut attempt = 1;
    loop {
        match compare_once(session, reader, model, plan).await {
            Err(error) if attempt < ATTEMPTS_MAX && is_collision(&error) => attempt += 1,
            result => return result,
        }
    }
}

fn is_collision(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("40001" | "40P01"))
}

async fn compare_once(
    session: &mut PgConnection,
    reader: &mut PgConnection,
    model: &Model,
    plan: Plan,
) -> Result<Compared, Error> {
    let ledger_file = difference::prepare(session, model).await?;
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let checkpoint: Checkpoint = sqlx::query_as(include_str!("checkpoint/read.sql"))
        .bind(model.ledger.table.to_string())
        .fetch_one(&mut *transaction)
        .await
        .context("read the checkpoint")?;
    let round = checkpoint.round.unwrap_or(0);
    let anew = (plan.extent == Extent::Anew).then_some(FullReason::Asked);
    let reason = checkpoint.unusable().or(anew);
    let mut compared = match reason {
        Some(reason) => rebuild(&mut transaction, model, &checkpoint, reason, ledger_file).await?,
        None => advance(&mut transaction, reader, model, &checkpoint, plan, ledger_file).await?,
    };
    // Only a run that read its part of history gives the turn to the next.
    let is_turn_over = plan.rounds > 0 && reason.is_none() && compared.full != Some(FullReason::ManyMarks);
    let round = if is_turn_over { round.checked_add(1).unwrap_or(0) } else { round };
    sqlx::query(include_str!("checkpoint/move.sql"))
        .bind(model.ledger.table.to_string())
        .bind(checkpoint.next)
        .bind(&checkpoint.this_system)
        .bind(round)
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
    let next = Literal::new(&checkpoint.next.to_string());
    let seal = model.render_with(include_str!("checkpoint/seal_all.sql"), &[("next", &next)]);
    transaction.execute(seal.sql()).await.context("sum the ledger up to the watermark")?;
    put_pending_aside(transaction, model, &[("next", &next)]).await?;
    let difference = difference::of(model, &model.render(include_str!("checkpoint/sealed_sums.sql")));
    let differences = Differences::put_aside(transaction, model, &difference, None, ledger_file).await?;
    replace(transaction, model).await?;
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    Ok(Compared {
        differences,
        full: Some(reason),
        marked_keys: 0,
        verified_organizations: 0,
        changed_history: Vec::new(),
        balances: None,
    })
}

/// Exactly the marks of this snapshot; what is marked meanwhile stays for the next run.
const FORGET_MARKS: &str = "DELETE FROM stockfoil.dirty_key";

/// Replaces the sealed sums by those that were put aside.
async fn replace(transaction: &mut Transaction<'_, Postgres>, model: &Model) -> Result<(), Error> {
    transaction.execute(include_str!("checkpoint/replace.sql")).await.context("replace the sealed sums")?;
    recount(transaction, model, None).await
}

/// Makes the totals of `orgs`, or of all organizations, those of the sealed sums.
async fn recount(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    orgs: Option<&[OrgId]>,
) -> Result<(), Error> {
    for template in [include_str!("checkpoint/forget_totals.sql"), include_str!("checkpoint/recount.sql")] {
        sqlx::query(model.render(template).sql())
            .bind(orgs)
            .execute(&mut **transaction)
            .await
            .context("count the totals of the sealed sums again")?;
    }
    Ok(())
}

/// What was sealed of an organization, and what is not sealed yet, as hash totals; and how many rows that made.
#[derive(sqlx::FromRow)]
struct EntryTotal {
    org: String,
    sealed: String,
    pending: String,
    rows: i64,
}

/// How many balances an organization has, and their hash total, negated.
#[derive(sqlx::FromRow)]
struct BalanceTotal {
    org: String,
    balances: i64,
    total: String,
}

/// Compares from the checkpoint, or in full where that was asked for, and moves it.
async fn advance(
    transaction: &mut Transaction<'_, Postgres>,
    reader: &mut PgConnection,
    model: &Model,
    checkpoint: &Checkpoint,
    plan: Plan,
    ledger_file: String,
) -> Result<Compared, Error> {
    let is_full = plan.extent == Extent::Full;
    let number = |number: i64| Literal::new(&number.to_string());
    let (watermark, next) = (number(checkpoint.watermark.unwrap_or(0)), number(checkpoint.next));
    let (round, rounds) = (number(checkpoint.round.unwrap_or(0).into()), number(plan.rounds.into()));
    let more: [(&str, &dyn Fragment); 4] =
        [("watermark", &watermark), ("next", &next), ("round", &round), ("rounds", &rounds)];
    let marked_keys = put_aside(transaction, &model.render(include_str!("checkpoint/dirty.sql"))).await?;
    if marked_keys > MARKED_KEYS_MAX {
        return rebuild(transaction, model, checkpoint, FullReason::ManyMarks, ledger_file).await;
    }
    let turns =
        put_aside(transaction, &model.render_with(include_str!("checkpoint/turn.sql"), &more)).await?;
    let is_again = marked_keys > 0 || turns > 0;
    let is_clean = match is_again {
        true => model.render(IS_CLEAN),
        false => render("true", &[]),
    };
    let new = [more.as_slice(), &[("is_clean", &is_clean)]].concat();
    let new = model.render_with(include_str!("checkpoint/new.sql"), &new);
    let new = [more.as_slice(), &[("new", &new)]].concat();

    // Where nothing is summed again, what is new can be read in another session as well.
    let snapshot: String = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(&mut **transaction)
        .await
        .context("share the snapshot")?;
    let mut reader = read_at(reader, &snapshot).await?;
    let seal = async {
        let mut changed_history = Vec::new();
        let mut totals = Vec::new();
        if is_again {
            changed_history = sum_again(transaction, model, plan, turns, &more).await?;
            totals = reseal(transaction, model).await?;
        }
        transaction.execute(sqlx::raw_sql(BY_INDEX)).await.context("seal the new entries")?;
        let seal = model.render_with(include_str!("checkpoint/seal.sql"), &new);
        transaction.execute(seal.sql()).await.context("seal the new entries")?;
        if is_again {
            totals.extend(new_totals(transaction, model, &new).await?);
        }
        transaction.execute(sqlx::raw_sql(BY_ANY_PLAN)).await.context("seal the new entries")?;
        Ok::<_, Error>((changed_history, totals))
    };
    let read = async {
        let balances = if is_full { Vec::new() } else { balance_totals(&mut reader, model).await? };
        let mut totals = Vec::new();
        if !is_again {
            reader.execute(sqlx::raw_sql(BY_INDEX)).await.context("sum the new entries")?;
            totals = new_totals(&mut reader, model, &new).await?;
        }
        Ok::<_, Error>((balances, totals))
    };
    // Both to their end: what is left under way spoils the connection's next statement.
    let (sealed, read) = join(seal, read).await;
    let ((changed_history, mut totals), (balances, new_totals)) = (sealed?, read?);
    reader.rollback().await.context("end the reading")?;
    totals.extend(new_totals);
    add(transaction, model, &totals).await?;

    let mut count = None;
    let mut orgs = None;
    transaction.execute(NO_SUSPECT).await.context("compare sealed sums and balances")?;
    let is_known = if is_full {
        weigh(transaction, model).await?
    } else {
        let balances_count = balances.iter().map(|total| total.balances).sum();
        count = Some(balances_count);
        let doubtful = doubtful(transaction, model, plan, totals, balances).await?;
        let is_known = suspect(transaction, model, &doubtful, &more).await?;
        orgs = Some(doubtful);
        if checkpoint.sealed_rows > SEALED_ROWS_PER_KEY_MAX * (balances_count + 1) {
            transaction.execute(include_str!("checkpoint/fold.sql")).await.context("fold the sealed sums")?;
            replace(transaction, model).await?;
        }
        is_known
    };
    let difference = match is_known {
        true => model.render(include_str!("checkpoint/confirm.sql")),
        false => difference::statement(model),
    };
    let differences =
        Differences::put_aside(transaction, model, &difference, orgs.as_deref(), ledger_file).await?;
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    let doubtful = match is_full {
        true => include_str!("checkpoint/mark_different.sql"),
        false => include_str!("checkpoint/mark_unconfirmed.sql"),
    };
    transaction.execute(doubtful).await.context("mark the keys whose sealed sums may be wrong")?;
    Ok(Compared {
        differences,
        full: is_full.then_some(FullReason::Asked),
        marked_keys,
        verified_organizations: turns,
        changed_history,
        balances: count,
    })
}

/// Makes a temporary table, and says how many rows it has.
async fn put_aside(transaction: &mut Transaction<'_, Postgres>, statement: &Statement) -> Result<i64, Error> {
    let made = transaction.execute(statement.sql()).await.context("look which keys to sum again")?;
    Ok(i64::try_from(made.rows_affected()).unwrap_or(i64::MAX))
}

/// Begins a transaction that sees what `snapshot` saw.
async fn read_at<'a>(
    reader: &'a mut PgConnection,
    snapshot: &str,
) -> Result<Transaction<'a, Postgres>, Error> {
    difference::set_up(reader).await?;
    let mut transaction =
        reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.context("read beside")?;
    let statement = render("SET TRANSACTION SNAPSHOT {snapshot}", &[("snapshot", &Literal::new(snapshot))]);
    transaction.execute(statement.sql()).await.context("share the snapshot")?;
    Ok(transaction)
}

/// Puts aside what can't be sealed yet.
async fn put_pending_aside(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    more: &[(&str, &dyn Fragment)],
) -> Result<(), Error> {
    let pending = model.render_with(include_str!("checkpoint/pending.sql"), more);
    transaction.execute(sqlx::raw_sql(BY_INDEX)).await.context("read the entries above the watermark")?;
    transaction.execute(pending.sql()).await.context("read the entries above the watermark")?;
    transaction.execute(sqlx::raw_sql(BY_ANY_PLAN)).await.context("read the entries above the watermark")?;
    Ok(())
}

/// Sums marked keys and the organizations whose turn it is again. Which keys' history changed without a mark.
async fn sum_again(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    plan: Plan,
    turns: i64,
    more: &[(&str, &dyn Fragment)],
) -> Result<Vec<(BalanceKey, Option<Quantity>, Option<Quantity>)>, Error> {
    transaction
        .execute(sqlx::raw_sql("ANALYZE pg_temp.stockfoil_dirty; ANALYZE pg_temp.stockfoil_turn"))
        .await
        .context("look which keys to sum again")?;
    put_aside(transaction, &model.render_with(include_str!("checkpoint/again.sql"), more)).await?;
    if turns == 0 {
        return Ok(Vec::new());
    }
    let changed = model.render(include_str!("checkpoint/changed_history.sql"));
    let rows: Vec<HistoryRow> = sqlx::query_as(changed.sql())
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await
        .context("compare sealed history with the ledger")?;
    record_history(transaction, plan.run, &rows).await?;
    rows.into_iter().map(HistoryRow::read).collect()
}

/// Forgets what was sealed of what is summed again, and seals it whole. What that does to the totals.
async fn reseal(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
) -> Result<Vec<EntryTotal>, Error> {
    let mut totals = Vec::new();
    for template in [include_str!("checkpoint/unseal.sql"), include_str!("checkpoint/seal_again.sql")] {
        let rows: Vec<EntryTotal> = sqlx::query_as(model.render(template).sql())
            .persistent(false)
            .fetch_all(&mut **transaction)
            .await
            .context("seal the keys that changed again")?;
        totals.extend(rows);
    }
    Ok(totals)
}

/// What the new entries of each organization come to.
async fn new_totals(
    session: &mut PgConnection,
    model: &Model,
    new: &[(&str, &dyn Fragment)],
) -> Result<Vec<EntryTotal>, Error> {
    let statement = model.render_with(include_str!("checkpoint/new_total.sql"), new);
    let totals = sqlx::query_as(statement.sql()).persistent(false).fetch_all(session).await;
    Ok(totals.context("sum the new entries")?)
}

/// What the balances of each organization come to.
async fn balance_totals(session: &mut PgConnection, model: &Model) -> Result<Vec<BalanceTotal>, Error> {
    let statement = model.render(include_str!("checkpoint/balance_total.sql"));
    let totals = sqlx::query_as(statement.sql()).persistent(false).fetch_all(session).await;
    Ok(totals.context("sum the balances")?)
}

/// Adds what was sealed to the totals.
async fn add(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    totals: &[EntryTotal],
) -> Result<(), Error> {
    sqlx::query(model.render(include_str!("checkpoint/total.sql")).sql())
        .persistent(false)
        .bind(totals.iter().map(|total| total.org.as_str()).collect::<Vec<_>>())
        .bind(totals.iter().map(|total| total.sealed.as_str()).collect::<Vec<_>>())
        .bind(totals.iter().map(|total| total.rows).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await
        .context("move the totals")?;
    // Of an organization that has nothing sealed any more nothing is left here.
    transaction
        .execute("DELETE FROM stockfoil.checkpoint_total WHERE sealed_rows = 0")
        .await
        .context("move the totals")?;
    Ok(())
}

/// The organizations whose keys are to be compared.
async fn doubtful(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    plan: Plan,
    totals: Vec<EntryTotal>,
    balances: Vec<BalanceTotal>,
) -> Result<Vec<OrgId>, Error> {
    let pending = totals.into_iter().map(|total| (total.org, total.pending));
    let balances = balances.into_iter().map(|total| (total.org, total.total));
    let (orgs, totals): (Vec<_>, Vec<_>) = pending.chain(balances).unzip();
    let doubtful = sqlx::query_scalar(model.render(include_str!("checkpoint/doubtful.sql")).sql())
        .persistent(false)
        .bind(orgs)
        .bind(totals)
        .bind(plan.every_key)
        .fetch_all(&mut **transaction)
        .await;
    Ok(doubtful.context("compare the totals of ledger and balances")?)
}

/// A table for suspect keys, without any.
const NO_SUSPECT: &str = "CREATE TEMPORARY TABLE stockfoil_suspect ON COMMIT DROP AS
     SELECT org, item, location, lot FROM pg_temp.stockfoil_dirty WHERE false";

/// Compares all entries with all balances, by weight, and puts the keys that differ aside. Whether it could: not where keys
/// have entries and no balance, nor where it is quicker to read all once more than to look them up.
async fn weigh(transaction: &mut Transaction<'_, Postgres>, model: &Model) -> Result<bool, Error> {
    put_aside(transaction, &model.render(include_str!("checkpoint/weigh.sql"))).await?;
    let (weights, missing): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE balances = 0) FROM pg_temp.stockfoil_weight")
            .fetch_one(&mut **transaction)
            .await
            .context("compare ledger and balances")?;
    if missing > 0 || !are_few(model, weights) {
        return Ok(false);
    }
    if weights > 0 {
        let suspect = model.render(include_str!("checkpoint/suspect_weights.sql"));
        transaction.execute(suspect.sql()).await.context("look which balances differ")?;
    }
    Ok(true)
}

/// Whether so many keys are best looked up one by one.
fn are_few(model: &Model, keys: i64) -> bool {
    keys == 0 || model.ledger.key_index && keys <= SUSPECTS_MAX
}

/// Compares the keys of the doubtful organizations, puts those aside that differ, and makes the organizations' totals those
/// of their sealed sums. Whether the keys are few enough to be looked up.
async fn suspect(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    orgs: &[OrgId],
    more: &[(&str, &dyn Fragment)],
) -> Result<bool, Error> {
    if orgs.is_empty() {
        return Ok(true);
    }
    put_pending_aside(transaction, model, more).await?;
    let suspect = model.render(include_str!("checkpoint/suspect.sql"));
    let suspects = sqlx::query(suspect.sql())
        .persistent(false)
        .bind(orgs)
        .execute(&mut **transaction)
        .await
        .context("compare sealed sums and balances")?
        .rows_affected();
    recount(transaction, model, Some(orgs)).await?;
    Ok(are_few(model, i64::try_from(suspects).unwrap_or(i64::MAX)))
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
