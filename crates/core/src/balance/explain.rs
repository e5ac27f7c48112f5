//! One key explained: its entries with the running balance, when ledger and balance last agreed, and what changed since.

mod reader;
mod report;

use sqlx::{Connection as _, PgConnection};

use crate::{
    Error, Task,
    balance::{
        BalanceError, Kind as Part, check_tolerance, not_backfilled, open,
        reconcile::{BrokenPart, quantity},
    },
    db::{Context as _, Db, sqlstate},
    ledger::{BalanceKey, Discrepancy, Quantity},
    mapping::Mapping,
    model::{KeptBy, Model},
    org_id::{KeyType, OrgId},
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
        let model = &mapping.resolve(db).await?;
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

/// What is said of a key that nothing is known of: `otherwise`, but where its location was perhaps left out.
pub(super) fn unknown(model: &Model, key: &BalanceKey, otherwise: BalanceError) -> BalanceError {
    let lacks_location = key.location_id.is_empty() && model.ledger.key.location.is_some();
    if lacks_location { of_other_form(model, key) } else { otherwise }
}

fn of_other_form(model: &Model, key: &BalanceKey) -> BalanceError {
    let types = model.ledger.key;
    let has = |there: bool, part: &'static str| if there { part } else { "" };
    BalanceError::KeyOfOtherForm {
        key: key.to_string(),
        form: format!(
            "ORGANIZATION/ITEM{}{}",
            has(types.location.is_some(), "/LOCATION"),
            has(types.lot.is_some(), "[/LOT]")
        ),
    }
}

/// The key with each part in the one form in which the database prints it.
pub(super) async fn own_key(
    session: &mut PgConnection,
    model: &Model,
    key: &BalanceKey,
) -> Result<BalanceKey, Error> {
    let types = model.ledger.key;
    let wanted = || of_other_form(model, key);
    let has_form = match types.location {
        // Only a text can be empty.
        Some(location) => location == KeyType::Text || !key.location_id.is_empty(),
        None => key.location_id.is_empty(),
    };
    if !has_form || (key.lot_id.is_some() && types.lot.is_none()) {
        return Err(wanted().into());
    }
    let statement = model.render(
        "SELECT $1::text::{org.type}::text, $2::text::{item.type}::text, $3::text::{location.type}::text,
                $4::text::{lot.type}::text",
    );
    let read = sqlx::query_as::<_, (OrgId, String, String, Option<String>)>(statement.sql())
        .bind(&key.org_id)
        .bind(&key.item_id)
        .bind(&key.location_id)
        .bind(&key.lot_id)
        .fetch_one(session)
        .await;
    // Text that is no value of the part's type, or out of its range.
    if let Err(error) = &read
        && matches!(sqlstate(error).as_deref(), Some("22P02" | "22003"))
    {
        return Err(wanted().into());
    }
    let (org_id, item_id, location_id, lot_id) = read.context("read the key")?;
    Ok(BalanceKey { org_id, item_id, location_id, lot_id })
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
