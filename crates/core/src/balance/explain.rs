//! One key explained: its entries with the running balance, when ledger and balance last agreed, and what changed since.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::{
    Error, Task,
    balance::{
        BalanceError, Kind as Part, check_organizations, not_backfilled, open,
        reconcile::{BrokenPart, quantity},
    },
    config::{ConfigError, check_tolerance},
    db::{Context as _, Db, sqlstate},
    history::RunId,
    ledger::{BalanceKey, Discrepancy, Kind, Quantity},
    mapping::{KeptBy, Mapping},
    model::Model,
    report::{Outcome, Report},
    sql::{Fixed, Fragment, Statement},
    tenancy::OrgId,
};

/// How many entries are shown, unless said otherwise.
pub const ENTRIES: u32 = 20;

/// How many findings are shown.
const FINDINGS_MAX: i64 = 20;

/// Which entries are new since a comparison, by the transactions that were over then, else by their time.
const IS_NEW_BY_TX: Fixed = Fixed(
    "CASE WHEN $5::text IS NOT NULL THEN coalesce(NOT pg_visible_in_snapshot(e.tx::text::xid8, $5::text::pg_snapshot), false)
          WHEN $6::timestamptz IS NOT NULL THEN e.created_at::timestamptz > $6 END",
);
const IS_NEW_BY_TIME: Fixed = Fixed(
    "CASE WHEN $5::text IS NULL AND $6::timestamptz IS NOT NULL THEN e.created_at::timestamptz > $6 END",
);

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

/// What came before the entries that are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// How many entries.
    pub entries: u64,
    /// What those that are numbers add up to.
    pub balance: Quantity,
}

/// An entry with the running balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningEntry {
    /// Its id.
    pub id: String,
    /// Its quantity; none where it has none. What is no number is not counted.
    pub quantity: Option<Quantity>,
    /// When it was made, where the ledger says.
    pub created_at: Option<DateTime<Utc>>,
    /// Whether it is new since ledger and balance last agreed; none where nobody can tell.
    pub is_new: Option<bool>,
    /// What the entries up to this one add up to.
    pub balance: Quantity,
}

/// The comparison that last left nothing to say of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// The run in `stockfoil.run`.
    pub run_id: RunId,
    /// When it ended.
    pub at: Option<DateTime<Utc>>,
    /// Whether it saw a difference and mended it.
    pub has_mended: bool,
}

/// Entries that are new since ledger and balance last agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewEntries {
    /// How many; by the transactions of that comparison, where the ledger says which made an entry, else by their time.
    pub entries: u64,
    /// What those that are numbers add up to.
    pub quantity: Quantity,
}

/// What the checkpoint holds of the key, beside the same entries as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// The run that moved the checkpoint last.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
    /// What the entries below its watermark added up to when they were sealed.
    pub sealed_qty: Quantity,
    /// How many there were.
    pub sealed_entries: u64,
    /// What they add up to now.
    pub ledger_qty: Quantity,
    /// How many there are.
    pub ledger_entries: u64,
    /// Whether they are others, or other quantities, changes that cancel out included.
    pub differs: bool,
    /// How many marks say that entries of the key were updated or deleted since, or that the ledger was emptied.
    pub marks: u64,
}

/// A finding of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastFinding {
    /// Its number in `stockfoil.finding`.
    pub id: i64,
    /// Its kind.
    pub kind: String,
    /// The run that saw it first.
    pub opened_run: RunId,
    /// When.
    pub opened_at: DateTime<Utc>,
    /// The run that saw it last.
    pub last_run: RunId,
    /// The run that no longer saw it; none while it is open.
    pub closed_run: Option<RunId>,
    /// When.
    pub closed_at: Option<DateTime<Utc>>,
    /// The ledger's side.
    pub ledger_qty: Option<Quantity>,
    /// The balance.
    pub balance_qty: Option<Quantity>,
    /// What was sealed, of a finding of changed history.
    pub sealed_qty: Option<Quantity>,
    /// Whether the last run corrected the balance.
    pub repaired: bool,
}

/// Something that may be the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clue {
    /// The organization's balances were never backfilled.
    NotBackfilled,
    /// Triggers, functions or tables of the balances are not as they should be.
    BrokenParts,
    /// An entry is no number.
    NotANumber,
    /// Sealed entries were changed, and no mark says so.
    ChangedHistory,
    /// The balance lacks exactly what is new, or one new entry.
    NewEntriesNotCounted,
    /// Old entries are as they were sealed, and what is new is not what the balance lacks.
    BalanceWritten,
}

impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotBackfilled => "the organization's balances were never backfilled; run backfill-balances",
            Self::BrokenParts => {
                "parts of the balances are not as they should be, so entries may go uncounted; run migrate-balance, then backfill-balances"
            }
            Self::NotANumber => "an entry is no number, and no balance counts it; correct it in the ledger",
            Self::ChangedHistory => {
                "old entries were changed without the triggers seeing it: look for sessions that disabled triggers or wrote as a replica"
            }
            Self::NewEntriesNotCounted => {
                "the balance lacks exactly what is new since they last agreed, or one entry of it: the triggers did not see it"
            }
            Self::BalanceWritten => {
                "old entries are as they were sealed, and what is new is not what the balance lacks: look for what else writes the balance"
            }
        })
    }
}

/// What is known of one key.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainReport {
    /// The key, as commands take it.
    pub key: String,
    /// What the difference is; none where they agree.
    pub kind: Kind,
    /// Both sides.
    #[serde(flatten)]
    pub discrepancy: Discrepancy,
    /// The ledger's side minus the balance.
    pub drift: Quantity,
    /// What the entries that are numbers add up to, which is what the balance should be.
    pub counted_qty: Quantity,
    /// What counts as small.
    pub tolerance: Quantity,
    /// How many entries the key has.
    pub entries_total: u64,
    /// Those before the ones that are listed; none where all are.
    pub opening: Option<Opening>,
    /// The newest entries, oldest first.
    pub entries: Vec<RunningEntry>,
    /// When ledger and balance last agreed, as far as the records go back.
    pub last_agreed: Option<Agreement>,
    /// What is new since; none where nobody can tell.
    pub new_entries: Option<NewEntries>,
    /// What the checkpoint holds of the key; none where there is no checkpoint of this cluster.
    pub sealed: Option<Sealed>,
    /// The newest findings of the key, the newest first.
    pub findings: Vec<PastFinding>,
    /// Functions and triggers that are not as they should be.
    pub broken_parts: Vec<BrokenPart>,
    /// What may be the cause of a difference.
    pub clues: Vec<Clue>,
}

impl ExplainReport {
    /// Whether ledger and balance agree; a row of zero for a key without entries is in order.
    pub fn agrees(&self) -> bool {
        self.kind == Kind::None || self.discrepancy.is_empty_row()
    }

    fn find_clues(&mut self, is_backfilled: bool, not_a_number: bool) {
        let drift =
            self.counted_qty.minus(self.discrepancy.balance_qty.as_ref().unwrap_or(&Quantity::zero()));
        let is_as_sealed = self.sealed.as_ref().is_some_and(|sealed| !sealed.differs && sealed.marks == 0);
        let has_changed = self.sealed.as_ref().is_some_and(|sealed| sealed.differs && sealed.marks == 0);
        let new = self.new_entries.as_ref();
        let is_drift = |quantity: &Quantity| quantity.minus(&drift).is_zero();
        let mut each = self.entries.iter().filter(|entry| entry.is_new == Some(true));
        let is_uncounted = new.is_some_and(|new| new.entries > 0 && is_drift(&new.quantity))
            || each.any(|entry| entry.quantity.as_ref().is_some_and(is_drift));
        let differs = !self.agrees() && !drift.is_zero();
        self.clues = [
            (!is_backfilled, Clue::NotBackfilled),
            (!self.broken_parts.is_empty(), Clue::BrokenParts),
            (not_a_number, Clue::NotANumber),
            (has_changed, Clue::ChangedHistory),
            (differs && is_uncounted, Clue::NewEntriesNotCounted),
            (differs && is_as_sealed && new.is_some() && !is_uncounted, Clue::BalanceWritten),
        ]
        .into_iter()
        .filter_map(|(holds, clue)| holds.then_some(clue))
        .collect();
    }
}

impl Report for ExplainReport {
    const SCHEMA: &'static str = "stockfoil.explain/1";

    fn outcome(&self) -> Outcome {
        if self.agrees() && self.clues.is_empty() { Outcome::Clean } else { Outcome::Findings }
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
        let key = own_key(&mut session, model, &options.key).await?;
        check_organizations(&mut session, model, std::slice::from_ref(&key.org_id)).await?;
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
            return Err(BalanceError::UnknownKey(key.to_string()).into());
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

/// The key with each part in the one form in which the database prints it.
async fn own_key(session: &mut PgConnection, model: &Model, key: &BalanceKey) -> Result<BalanceKey, Error> {
    let types = model.ledger.key;
    let has = |there: bool, part: &'static str| if there { part } else { "" };
    let wanted = || BalanceError::KeyOfOtherForm {
        key: key.to_string(),
        form: format!(
            "ORGANIZATION/ITEM{}{}",
            has(types.location.is_some(), "/LOCATION"),
            has(types.lot.is_some(), "[/LOT]")
        ),
    };
    if key.location_id.is_empty() == types.location.is_some() || (key.lot_id.is_some() && types.lot.is_none())
    {
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

#[derive(sqlx::FromRow)]
struct AgreedRow {
    run_id: RunId,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    transactions: Option<String>,
    is_here: bool,
    has_mended: bool,
}

#[derive(sqlx::FromRow)]
struct SumsRow {
    entries: i64,
    ledger_qty: Option<String>,
    counted_qty: String,
    not_a_number: i64,
    new_entries: i64,
    new_qty: String,
    balance_qty: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: String,
    quantity: Option<String>,
    created_at: Option<DateTime<Utc>>,
    is_new: Option<bool>,
    before: String,
    counted: String,
}

impl EntryRow {
    fn read(self) -> Result<RunningEntry, Error> {
        let Self { id, created_at, is_new, .. } = self;
        let (quantity, balance) = (quantity(self.quantity)?, number(self.counted)?);
        Ok(RunningEntry { id, quantity, created_at, is_new, balance })
    }
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    run_id: RunId,
    sealed_at: DateTime<Utc>,
    sealed_qty: String,
    sealed_entries: i64,
    ledger_qty: String,
    ledger_entries: i64,
    differs: bool,
    marks: i64,
}

impl SealedRow {
    fn read(self) -> Result<Sealed, Error> {
        Ok(Sealed {
            run_id: self.run_id,
            at: self.sealed_at,
            sealed_qty: number(self.sealed_qty)?,
            sealed_entries: self.sealed_entries.unsigned_abs(),
            ledger_qty: number(self.ledger_qty)?,
            ledger_entries: self.ledger_entries.unsigned_abs(),
            differs: self.differs,
            marks: self.marks.unsigned_abs(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct FindingRow {
    id: i64,
    kind: String,
    opened_run: RunId,
    opened_at: DateTime<Utc>,
    last_run: RunId,
    closed_run: Option<RunId>,
    closed_at: Option<DateTime<Utc>>,
    ledger_qty: Option<String>,
    balance_qty: Option<String>,
    sealed_qty: Option<String>,
    repaired: bool,
}

impl FindingRow {
    fn read(self) -> Result<PastFinding, Error> {
        let Self { id, kind, opened_run, opened_at, last_run, closed_run, closed_at, repaired, .. } = self;
        Ok(PastFinding {
            id,
            kind,
            opened_run,
            opened_at,
            last_run,
            closed_run,
            closed_at,
            ledger_qty: quantity(self.ledger_qty)?,
            balance_qty: quantity(self.balance_qty)?,
            sealed_qty: quantity(self.sealed_qty)?,
            repaired,
        })
    }
}

/// Reads one key's parts of the story in one snapshot.
struct Reader<'a, 'c> {
    transaction: &'a mut Transaction<'c, Postgres>,
    model: &'a Model,
    key: &'a BalanceKey,
    /// Whether entries say which transaction made them.
    has_tx: bool,
}

/// Binds the key to `$1` to `$4`.
macro_rules! bind_key {
    ($query:expr, $key:expr) => {
        $query.bind(&$key.org_id).bind(&$key.item_id).bind(&$key.location_id).bind(&$key.lot_id)
    };
}

impl Reader<'_, '_> {
    async fn last_agreed(&mut self) -> Result<Option<AgreedRow>, Error> {
        let query = bind_key!(sqlx::query_as(include_str!("explain/last_agreed.sql")), self.key);
        Ok(query.fetch_optional(&mut **self.transaction).await.context("look when they last agreed")?)
    }

    /// A statement that tells new entries from old ones.
    fn telling_new(&self, template: &'static str) -> Statement {
        let postings = match self.has_tx {
            true => self.model.tx_entries(&self.model.ledger.table),
            false => self.model.entries(&self.model.ledger.table),
        };
        let is_new = if self.has_tx { IS_NEW_BY_TX } else { IS_NEW_BY_TIME };
        let places: [(&str, &dyn Fragment); 2] = [("postings", &postings), ("is_new", &is_new)];
        let entries = self.model.render_with(include_str!("explain/key_entries.sql"), &places);
        self.model.render_with(template, &[("key_entries", &entries)])
    }

    /// What tells new entries from old ones: the transactions that were over, else the time.
    fn since<'s>(&self, agreed: Option<&'s AgreedRow>) -> (Option<&'s str>, Option<DateTime<Utc>>) {
        let transactions = agreed
            .filter(|agreed| self.has_tx && agreed.is_here)
            .and_then(|agreed| agreed.transactions.as_deref());
        (transactions, agreed.filter(|_| transactions.is_none()).map(|agreed| agreed.started_at))
    }

    async fn sums(&mut self, agreed: Option<&AgreedRow>) -> Result<SumsRow, Error> {
        let statement = self.telling_new(include_str!("explain/sums.sql"));
        let (transactions, time) = self.since(agreed);
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key).bind(transactions).bind(time);
        Ok(query.fetch_one(&mut **self.transaction).await.context("compare both sides of the key")?)
    }

    async fn entries(&mut self, agreed: Option<&AgreedRow>, count: u32) -> Result<Vec<EntryRow>, Error> {
        let statement = self.telling_new(include_str!("explain/entries.sql"));
        let (transactions, time) = self.since(agreed);
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key).bind(transactions).bind(time);
        let rows = query.bind(i64::from(count)).fetch_all(&mut **self.transaction).await;
        Ok(rows.context("read the key's entries")?)
    }

    async fn sealed(&mut self) -> Result<Option<SealedRow>, Error> {
        let statement = self.model.render(include_str!("explain/sealed.sql"));
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key);
        let query = query.bind(self.model.ledger.table.to_string());
        Ok(query.fetch_optional(&mut **self.transaction).await.context("read what was sealed of the key")?)
    }

    async fn findings(&mut self) -> Result<Vec<FindingRow>, Error> {
        let query = bind_key!(sqlx::query_as(include_str!("explain/findings.sql")), self.key);
        let rows = query.bind(FINDINGS_MAX).fetch_all(&mut **self.transaction).await;
        Ok(rows.context("read the key's findings")?)
    }
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

/// A quantity that is never absent.
fn number(text: String) -> Result<Quantity, Error> {
    Ok(quantity(Some(text))?.unwrap_or_else(Quantity::zero))
}
