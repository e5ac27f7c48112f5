//! Reads one key's parts of the story in one snapshot.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::report::{PastFinding, RunningEntry, Sealed};
use crate::{
    Error,
    balance::{checkpoint, reconcile::quantity},
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    model::Model,
    sql::{Fixed, Fragment, Statement},
    timestamp::Timestamp,
};

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

#[derive(sqlx::FromRow)]
pub(super) struct AgreedRow {
    pub(super) run_id: RunId,
    started_at: DateTime<Utc>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    transactions: Option<String>,
    is_here: bool,
    pub(super) has_mended: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct SumsRow {
    pub(super) entries: i64,
    pub(super) ledger_qty: Option<String>,
    pub(super) counted_qty: String,
    pub(super) not_a_number: i64,
    pub(super) new_entries: i64,
    pub(super) new_qty: String,
    pub(super) balance_qty: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct EntryRow {
    id: String,
    quantity: Option<String>,
    created_at: Option<Timestamp>,
    is_new: Option<bool>,
    pub(super) before: String,
    counted: String,
}

impl EntryRow {
    pub(super) fn read(self) -> Result<RunningEntry, Error> {
        let Self { id, created_at, is_new, .. } = self;
        let (quantity, balance) = (quantity(self.quantity)?, number(self.counted)?);
        Ok(RunningEntry { id, quantity, created_at, is_new, balance })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct SealedRow {
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
    pub(super) fn read(self) -> Result<Sealed, Error> {
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
pub(super) struct FindingRow {
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
    entry_id: Option<String>,
    reason: Option<String>,
}

impl FindingRow {
    pub(super) fn read(self) -> Result<PastFinding, Error> {
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
            entry_id: self.entry_id,
            reason: self.reason,
        })
    }
}

/// Reads one key's parts of the story in one snapshot.
pub(super) struct Reader<'a, 'c> {
    pub(super) transaction: &'a mut Transaction<'c, Postgres>,
    pub(super) model: &'a Model,
    pub(super) key: &'a BalanceKey,
    /// Whether entries say which transaction made them.
    pub(super) has_tx: bool,
}

/// Binds the key to `$1` to `$4`.
macro_rules! bind_key {
    ($query:expr, $key:expr) => {
        $query.bind(&$key.org_id).bind(&$key.item_id).bind(&$key.location_id).bind(&$key.lot_id)
    };
}

impl Reader<'_, '_> {
    pub(super) async fn last_agreed(&mut self) -> Result<Option<AgreedRow>, Error> {
        let query = bind_key!(sqlx::query_as(include_str!("last_agreed.sql")), self.key);
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
        let entries = self.model.render_with(include_str!("key_entries.sql"), &places);
        self.model.render_with(template, &[("key_entries", &entries)])
    }

    /// What tells new entries from old ones: the transactions that were over, else the time.
    fn since<'s>(&self, agreed: Option<&'s AgreedRow>) -> (Option<&'s str>, Option<DateTime<Utc>>) {
        let transactions = agreed
            .filter(|agreed| self.has_tx && agreed.is_here)
            .and_then(|agreed| agreed.transactions.as_deref());
        (transactions, agreed.filter(|_| transactions.is_none()).map(|agreed| agreed.started_at))
    }

    pub(super) async fn sums(&mut self, agreed: Option<&AgreedRow>) -> Result<SumsRow, Error> {
        let statement = self.telling_new(include_str!("sums.sql"));
        let (transactions, time) = self.since(agreed);
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key).bind(transactions).bind(time);
        Ok(query.fetch_one(&mut **self.transaction).await.context("compare both sides of the key")?)
    }

    pub(super) async fn entries(
        &mut self,
        agreed: Option<&AgreedRow>,
        count: u32,
    ) -> Result<Vec<EntryRow>, Error> {
        let statement = self.telling_new(include_str!("entries.sql"));
        let (transactions, time) = self.since(agreed);
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key).bind(transactions).bind(time);
        let rows = query.bind(i64::from(count)).fetch_all(&mut **self.transaction).await;
        Ok(rows.context("read the key's entries")?)
    }

    pub(super) async fn sealed(&mut self) -> Result<Option<SealedRow>, Error> {
        let statement = self.model.render(include_str!("sealed.sql"));
        let query = bind_key!(sqlx::query_as(statement.sql()), self.key);
        let query = query.bind(self.model.ledger.table.to_string()).bind(checkpoint::mapping(self.model));
        Ok(query.fetch_optional(&mut **self.transaction).await.context("read what was sealed of the key")?)
    }

    pub(super) async fn findings(&mut self) -> Result<Vec<FindingRow>, Error> {
        let query = bind_key!(sqlx::query_as(include_str!("findings.sql")), self.key);
        let rows = query.bind(FINDINGS_MAX).fetch_all(&mut **self.transaction).await;
        Ok(rows.context("read the key's findings")?)
    }
}

/// A quantity that is never absent.
pub(super) fn number(text: String) -> Result<Quantity, Error> {
    Ok(quantity(Some(text))?.unwrap_or_else(Quantity::zero))
}
