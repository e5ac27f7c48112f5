//! One key explained: its entries with the running balance, when ledger and balance last agreed, and what changed since.

mod reader;
mod report;

use sqlx::Connection as _;

use crate::{
    Error, Task,
    balance::{
        BalanceError, Kind as Part, check_tolerance,
        key::{own_key, unknown},
        not_backfilled, open,
        reconcile::{BrokenPart, quantity},
    },
    db::Db,
    ledger::{BalanceKey, Discrepancy, Quantity},
    mapping::Mapping,
    model::{KeptBy, Model},
    settings::ConfigError,
    tenancy::named,
};
use reader::{EntryRow, FindingRow, Reader, SealedRow, number};
pub use report::{Agreement, Clue, ExplainReport, NewEntries, Opening, PastFinding, RunningEntry, Sealed};

/// How many entries are shown, unless said otherwise.
pub const ENTRIES: u32 = 20;

/// What to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The key.
    pub key: BalanceKey,
    /// How many of the newest entries to show; those before them are an opening balance.
    pub entries: u32,
    /// A difference whose absolute value is below this is small. In the item's canonical unit.
    pub tolerance: Quantity,
}

impl Options {
    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// When the tolerance is negative or not a number.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_tolerance("--tolerance", &self.tolerance)
    }
}

/// Reads what is known of one key, in one snapshot. Changes nothing, and works on a standby.
///
/// # Errors
/// When the key can't be one of this ledger or nothing is known of it, its organization is not there, the tables are
/// missing, or the database refuses.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, options: &'a Options) -> Task<'a, ExplainReport> {
    Box::pin(async move {
        options.check()?;
        let model = mapping.resolve(db).await?;
        match told(db, &model, options).await {
            Err(error) if error.overflowed() => told(db, &model.bounded(), options).await,
            told => told,
        }
    })
}

fn told<'a>(db: &'a Db, model: &'a Model, options: &'a Options) -> Task<'a, ExplainReport> {
    Box::pin(async move {
        let (mut session, broken) = open(db, model, &[]).await?;
        let key = named::with_id(&mut session, model, &options.key).await?;
        let key = own_key(&mut session, model, &key).await?;
        let is_backfilled = !not_backfilled(&mut session, model).await?.contains(&key.org_id);
        let is_kept = model.ledger.is_incremental && model.balances.kept_by == KeptBy::Triggers;
        let has_tx = is_kept && !broken.iter().any(|(kind, ..)| *kind == Part::Column);
        let has_checkpoint = has_tx && !broken.iter().any(|(kind, ..)| *kind == Part::Record);
        let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let mut reader = Reader { transaction: &mut transaction, model, key: &key, has_tx };
        let agreed = reader.last_agreed().await?;
        let sums = reader.sums(agreed.as_ref()).await?;
        let entries = reader.entries(agreed.as_ref(), options.entries).await?;
        let sealed = if has_checkpoint { reader.sealed().await? } else { None };
        let findings = reader.findings().await?;
        if sums.entries == 0 && sums.balance_qty.is_none() && findings.is_empty() {
            return Err(unknown(model, &key, BalanceError::UnknownKey(key.to_string())).into());
        }
        let counted_qty = number(sums.counted_qty)?;
        let opening = opening(sums.entries, &entries, &counted_qty)?;
        let new_qty = number(sums.new_qty)?;
        let new_entries = agreed
            .is_some()
            .then(|| NewEntries { entries: sums.new_entries.unsigned_abs(), quantity: new_qty })
            .filter(|_| has_tx || model.ledger.created_at.is_some());
        let discrepancy = Discrepancy {
            key,
            ledger_qty: quantity(sums.ledger_qty)?,
            balance_qty: quantity(sums.balance_qty)?,
        };
        let mut report = ExplainReport {
            key: discrepancy.key.to_string(),
            kind: discrepancy.classify(&options.tolerance),
            drift: discrepancy.drift(),
            discrepancy,
            counted_qty,
            tolerance: options.tolerance.clone(),
            entries_total: sums.entries.unsigned_abs(),
            opening,
            entries: entries.into_iter().map(EntryRow::read).collect::<Result<_, Error>>()?,
            last_agreed: agreed.map(|row| Agreement {
                run_id: row.run_id,
                at: row.finished_at,
                has_mended: row.has_mended,
            }),
            new_entries,
            sealed: sealed.map(SealedRow::read).transpose()?,
            findings: findings.into_iter().map(FindingRow::read).collect::<Result<_, Error>>()?,
            broken_parts: broken.into_iter().map(BrokenPart::from).collect(),
            clues: Vec::new(),
        };
        report.find_clues(is_backfilled, sums.not_a_number > 0);
        Ok(report)
    })
}

/// What came before the listed entries.
fn opening(total: i64, listed: &[EntryRow], counted: &Quantity) -> Result<Option<Opening>, Error> {
    let before = total.unsigned_abs() - listed.len() as u64;
    let balance = match listed.first() {
        Some(first) => number(first.before.clone())?,
        None => counted.clone(),
    };
    Ok((before > 0).then_some(Opening { entries: before, balance }))
}
