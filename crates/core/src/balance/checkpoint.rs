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
//! What changes the ledger without its triggers seeing it is found by summing sealed history again, in turns. Where the
//! catalog shows that it may have happened (another table or file, a trigger that was switched off and on), everything is
//! read and sealed anew, see [`origin`]. A key that a run saw differ is summed again and compared until one finds it right.

mod again;
mod full_reason;
mod new_entries;
mod origin;
mod outside;
mod rebuild;
mod suspects;
mod totals;

pub use full_reason::FullReason;
pub(super) use origin::mapping;
pub(super) use outside::{note_corrected, note_differences};

use futures_util::future::join;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::{
    closing::{Changed, Closing, Keys},
    difference::{self, Differences},
};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    model::{KeptBy, Model},
    sql::{Fragment, Literal, Statement, render},
};
use again::{Dirty, reseal, sum_again};
use new_entries::{BY_ANY_PLAN, BY_INDEX, IS_CLEAN};
use origin::{Checkpoint, Origin};
use rebuild::{Anew, rebuild};
use totals::{BalanceTotal, EntryTotal, recount};

/// How often a comparison is begun again when the seal collides with a schema change or another session.
const ATTEMPTS_MAX: u32 = 3;

/// Above so many rows a key the sealed sums are folded into one row each. They are read for marked keys and where a total
/// differs only; history that is read again in seven turns is folded by that.
const SEALED_ROWS_PER_KEY_MAX: i64 = 8;

/// Up to so many marked keys are summed again one by one.
const MARKED_KEYS_MAX: i64 = 100_000;

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
    /// The keys whose closed entries were changed; none where nothing is closed, or that can't be told.
    pub(super) backdated: Option<Vec<Changed>>,
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
    let origin = Origin::now(session, model).await?;
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let checkpoint = Checkpoint::read(&mut transaction, model).await?;
    let round = checkpoint.round.unwrap_or(0);
    let anew = (plan.extent == Extent::Anew).then_some(FullReason::Asked);
    let reason = checkpoint.unusable(&mut transaction, model, &origin).await?.or(anew);
    let mut compared = match reason {
        Some(reason) => {
            let is_same = checkpoint.is_of_same_tables(&origin);
            let anew = Anew { reason, run: plan.run, is_same };
            rebuild(&mut transaction, model, &checkpoint, anew, ledger_file).await?
        }
        None => advance(&mut transaction, reader, model, &checkpoint, plan, ledger_file).await?,
    };
    let is_full = compared.full.is_some();
    compared.backdated = backdated(&mut transaction, model, &checkpoint, is_full, plan.run).await?;
    // Only a run that read its part of history gives the turn to the next.
    let is_turn_over = plan.rounds > 0 && reason.is_none() && compared.full != Some(FullReason::ManyMarks);
    let round = if is_turn_over { round.checked_add(1).unwrap_or(0) } else { round };
    sqlx::query(include_str!("checkpoint/move.sql"))
        .bind(model.ledger.table.to_string())
        .bind(checkpoint.next)
        .bind(&checkpoint.this_system)
        .bind(round)
        .bind(plan.run)
        .bind(mapping(model))
        .bind(&origin.sources)
        .bind(&origin.keepers)
        .execute(&mut *transaction)
        .await
        .context("move the checkpoint")?;
    transaction.commit().await.context("move the checkpoint")?;
    compared.differences.index(session).await?;
    Ok(compared)
}

/// The keys whose closed entries were changed, which is recorded in the transaction that takes the marks away: no later run
/// could find them. Where new entries alone were read, no others than those that are marked or have new entries can be.
async fn backdated(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    checkpoint: &Checkpoint,
    is_full: bool,
    run: RunId,
) -> Result<Option<Vec<Changed>>, Error> {
    let closing = Closing::newest(transaction, model).await?.filter(|closing| closing.is_same_mapping);
    let Some(closing) = closing else { return Ok(None) };
    let keys = if is_full {
        Keys::All(None)
    } else {
        let watermark = Literal::new(&checkpoint.watermark.unwrap_or(0).to_string());
        transaction.execute(sqlx::raw_sql(BY_INDEX)).await.context("look at the closed entries")?;
        closing.put_aside(transaction, model, &watermark).await?;
        transaction.execute(sqlx::raw_sql(BY_ANY_PLAN)).await.context("look at the closed entries")?;
        Keys::PutAside
    };
    Ok(Some(closing.changed(transaction, model, keys, Some(run)).await?))
}

/// Exactly the marks of this snapshot; what is marked meanwhile stays for the next run.
const FORGET_MARKS: &str = "DELETE FROM stockfoil.dirty_key";

/// Replaces the sealed sums by those that were put aside.
async fn replace(transaction: &mut Transaction<'_, Postgres>, model: &Model) -> Result<(), Error> {
    transaction.execute(include_str!("checkpoint/replace.sql")).await.context("replace the sealed sums")?;
    recount(transaction, model, None).await
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
    let dirty = Dirty::put_aside(transaction, model).await?;
    if dirty.keys > MARKED_KEYS_MAX {
        let anew = Anew { reason: FullReason::ManyMarks, run: plan.run, is_same: true };
        return rebuild(transaction, model, checkpoint, anew, ledger_file).await;
    }
    let turns =
        put_aside(transaction, &model.render_with(include_str!("checkpoint/turn.sql"), &more)).await?;
    let read = seal(transaction, reader, model, plan, (&dirty, turns), &more).await?;
    totals::add(transaction, model, &read.totals).await?;
    let changed_history = read.changed_history;

    transaction.execute(suspects::NO_SUSPECT).await.context("compare sealed sums and balances")?;
    let (is_known, orgs, balances) = if is_full {
        (suspects::weigh(transaction, model).await?, None, None)
    } else {
        let balances = read.balances.iter().map(|total| total.balances).sum();
        let doubtful =
            totals::doubtful(transaction, model, plan.every_key, read.totals, read.balances).await?;
        let is_known = suspects::suspect(transaction, model, &doubtful, &more).await?;
        if checkpoint.sealed_rows > SEALED_ROWS_PER_KEY_MAX * (balances + 1) {
            transaction.execute(include_str!("checkpoint/fold.sql")).await.context("fold the sealed sums")?;
            replace(transaction, model).await?;
        }
        (is_known, Some(doubtful), Some(balances))
    };
    let difference = if is_known { difference::confirm(model) } else { difference::statement(model) };
    let differences =
        Differences::put_aside(transaction, model, &difference, orgs.as_deref(), ledger_file).await?;
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    // What is seen from the checkpoint to differ is looked up, and has an open finding.
    let doubtful = match is_full {
        true => include_str!("checkpoint/mark_different.sql"),
        false => include_str!("checkpoint/mark_unconfirmed.sql"),
    };
    sqlx::query(doubtful)
        .bind(plan.run)
        .execute(&mut **transaction)
        .await
        .context("mark the keys whose sealed sums may be wrong")?;
    Ok(Compared {
        differences,
        full: is_full.then_some(FullReason::Asked),
        marked_keys: dirty.marked,
        verified_organizations: turns,
        changed_history,
        balances,
        backdated: None,
    })
}

/// What was read while the new entries were sealed.
struct Read {
    changed_history: Vec<(BalanceKey, Option<Quantity>, Option<Quantity>)>,
    totals: Vec<EntryTotal>,
    /// None where every balance is compared anyway.
    balances: Vec<BalanceTotal>,
}

/// Seals the new entries, and sums anew what is to be summed again; `reader` reads the totals meanwhile.
async fn seal(
    transaction: &mut Transaction<'_, Postgres>,
    reader: &mut PgConnection,
    model: &Model,
    plan: Plan,
    (dirty, turns): (&Dirty, i64),
    more: &[(&str, &dyn Fragment)],
) -> Result<Read, Error> {
    let is_again = dirty.keys > 0 || turns > 0;
    let is_clean = match is_again {
        true => model.render(IS_CLEAN),
        false => render("true", &[]),
    };
    let new = [more, &[("is_clean", &is_clean)]].concat();
    let new = model.render_with(include_str!("checkpoint/new.sql"), &new);
    let new = [more, &[("new", &new)]].concat();

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
            let is_compared = turns > 0 || dirty.known > 0;
            changed_history = sum_again(transaction, model, plan, is_compared, more).await?;
            totals = reseal(transaction, model).await?;
        }
        transaction.execute(sqlx::raw_sql(BY_INDEX)).await.context("seal the new entries")?;
        let seal = model.render_with(include_str!("checkpoint/seal.sql"), &new);
        transaction.execute(seal.sql()).await.context("seal the new entries")?;
        if is_again {
            totals.extend(totals::of_new_entries(transaction, model, &new).await?);
        }
        transaction.execute(sqlx::raw_sql(BY_ANY_PLAN)).await.context("seal the new entries")?;
        Ok::<_, Error>((changed_history, totals))
    };
    let read = async {
        let balances = match plan.extent {
            Extent::Full => Vec::new(),
            _ => totals::of_balances(&mut reader, model).await?,
        };
        let mut totals = Vec::new();
        if !is_again {
            reader.execute(sqlx::raw_sql(BY_INDEX)).await.context("sum the new entries")?;
            totals = totals::of_new_entries(&mut reader, model, &new).await?;
        }
        Ok::<_, Error>((balances, totals))
    };
    // Both to their end: what is left under way spoils the connection's next statement.
    let (sealed, read) = join(seal, read).await;
    let ((changed_history, mut totals), (balances, new_totals)) = (sealed?, read?);
    reader.rollback().await.context("end the reading")?;
    totals.extend(new_totals);
    Ok(Read { changed_history, totals, balances })
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
