//! Closed periods: what was entered into them later, and closing one.

use serde::Serialize;
use sqlx::PgConnection;

use super::{Entry, LISTED_MAX, Work, quantity};
use crate::{
    Error,
    balance::{
        BalanceError, Kind as Part, Until, checkpoint,
        closing::{self, Changed, Closing, GonePartition, Keys},
    },
    db::{Context as _, Db},
    history::RunId,
    ledger::{BalanceKey, Quantity},
    timestamp::Timestamp,
};

/// For how many keys, and how many, the entries are looked up that were made later.
const LOOKED_UP_MAX: usize = 20;
const ENTRIES_MAX: i64 = 5;

/// What is to be closed: a person asks for it, or the configuration says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Entries before it are closed.
    pub until: Until,
    /// Close what was entered into closed periods with it.
    pub accept_backdated: bool,
    /// Whether `[reconcile] closed_before` says so: then what is closed already, or to come, is no mistake.
    pub is_configured: bool,
}

/// A key whose entries in a closed period are not those that were closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backdated {
    /// Its parts.
    #[serde(flatten)]
    pub balance_key: BalanceKey,
    /// The key as `--explain` takes it.
    pub key: String,
    /// What the closed entries add up to now; none where there are none any more.
    pub ledger_qty: Option<Quantity>,
    /// What they added up to when they were closed; none where there were none.
    pub closed_qty: Option<Quantity>,
    /// The first entries that were made later; none where entries were changed or removed, and for all but the first keys.
    pub entries: Vec<Entry>,
}

impl Backdated {
    /// It in words.
    pub fn sentence(&self) -> String {
        let side = |quantity: &Option<Quantity>| {
            quantity.as_ref().map_or_else(|| "nothing".into(), ToString::to_string)
        };
        let entries = self.entries.iter().map(|entry| {
            let at = entry.created_at.map_or_else(String::new, |at| format!(" of {at}"));
            format!(", entry {}{at}: {}", entry.id, side(&entry.quantity))
        });
        let entries: String = entries.collect();
        format!("{}: now {}, closed {}{entries}", self.key, side(&self.ledger_qty), side(&self.closed_qty))
    }

    /// What a person does about it.
    pub const REMEDY: &'static str = "find out who entered or changed it (reconcile-balances --explain KEY): correct it with an entry of the present time and take it back, \
         or let it stand and close again with --accept-backdated";
}

/// What is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClosedPeriod {
    /// Entries before it are closed.
    pub closed_before: Until,
    /// Whether it was closed under the present mapping; else what was entered later can't be told.
    pub is_comparable: bool,
}

/// What this run closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewClosing {
    /// Entries before it are to be closed.
    pub closed_before: Until,
    /// Its number in `stockfoil.closing`; none where it was not closed.
    pub id: Option<i64>,
    /// How many keys had entries before it.
    pub keys: u64,
    /// How many entries they had.
    pub entries: u64,
    /// Why it was not closed.
    pub not_closed: Option<String>,
}

impl Work<'_> {
    /// Looks what is closed, and whether what is to be closed can be.
    pub(super) async fn prepare_closing(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        if self.options.closed_periods {
            self.closing = Closing::newest(session, self.model).await?;
        }
        // Without the transactions of entries, nothing is known of them.
        let has_tx = checkpoint::is_possible(self.model)
            && !self.report.broken_parts.iter().any(|part| part.kind == Part::Column.as_str());
        self.report.closed = self.closing.as_ref().map(|closing| ClosedPeriod {
            closed_before: Until(closing.closed_before),
            is_comparable: closing.is_same_mapping && has_tx,
        });
        self.close = self.to_close();
        let Some(Close { until, is_configured, .. }) = self.close else { return Ok(()) };
        let refused = |why: String| -> Result<(), Error> {
            Err(BalanceError::NoClosing { ledger: self.model.ledger.table.plain(), until, why }.into())
        };
        if self.model.ledger.created_at.is_none() {
            return refused(
                "it does not say when an entry was made; write [ledger] created_at in stockfoil.toml".into(),
            );
        }
        if !has_tx {
            return refused("its entries don't say which transaction made them; let [ledger] incremental be true, the triggers keep the balances, and run migrate-balance".into());
        }
        let (is_over, now): (bool, Timestamp) =
            sqlx::query_as("SELECT $1 <= clock_timestamp(), clock_timestamp()")
                .bind(until.0)
                .fetch_one(session)
                .await
                .context("ask the server for its time")?;
        if !is_over && !is_configured {
            return refused(format!(
                "that is yet to come: the server's clock says {now}; close a period that is over"
            ));
        }
        match &self.report.closed {
            Some(closed) if until.0 < closed.closed_before.0 => {
                let before = closed.closed_before;
                refused(format!("it is closed before {before} already; close that again, or a later period"))
            }
            _ => Ok(()),
        }
    }

    /// Looks which keys have other entries in the closed period than those that were closed: all keys of the organizations that
    /// are compared. With a run, that records them.
    pub(super) async fn look_at_closed(
        &mut self,
        session: &mut PgConnection,
        run: Option<RunId>,
    ) -> Result<(), Error> {
        if !self.report.closed.as_ref().is_some_and(|closed| closed.is_comparable) {
            return Ok(());
        }
        let Some(closing) = &self.closing else { return Ok(()) };
        let keys = Keys::All(self.orgs.as_deref());
        let changed = closing.changed(session, self.model, keys, run).await?;
        self.list_backdated(session, changed).await
    }

    /// Looks whether closed entries went with a partition. The keys that lack some are held then: nothing corrects them, since their
    /// balances may hold what the ledger has lost. After the comparison's snapshot, which a partition may just have left.
    pub(super) async fn hold_gone(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        self.held.clear();
        self.report.gone_partitions.clear();
        let Some(closing) = self.closing.as_ref().filter(|_| !self.changed.is_empty()) else { return Ok(()) };
        let gone: Vec<GonePartition> = closing.gone(session, self.model).await?;
        if !gone.is_empty() {
            self.held = self.changed.iter().cloned().collect();
            self.report.gone_partitions = gone;
        }
        Ok(())
    }

    /// Lists them, the first with the entries that were made later.
    pub(super) async fn list_backdated(
        &mut self,
        session: &mut PgConnection,
        changed: Vec<Changed>,
    ) -> Result<(), Error> {
        let Some(closing) = &self.closing else { return Ok(()) };
        self.report.backdated = Some(changed.len() as u64);
        self.changed = changed.iter().map(Changed::key).collect();
        self.report.listed_backdated.clear();
        for (place, changed) in changed.into_iter().take(LISTED_MAX).enumerate() {
            let balance_key = changed.key();
            let late = match place < LOOKED_UP_MAX {
                true => closing.late_entries(session, self.model, &balance_key, ENTRIES_MAX).await?,
                false => Vec::new(),
            };
            let entry = |(id, text, created_at)| Ok(Entry { id, quantity: quantity(text)?, created_at });
            self.report.listed_backdated.push(Backdated {
                key: balance_key.to_string(),
                balance_key,
                ledger_qty: quantity(changed.ledger_qty)?,
                closed_qty: quantity(changed.closed_qty)?,
                entries: late.into_iter().map(entry).collect::<Result<_, Error>>()?,
            });
        }
        Ok(())
    }

    /// Closes what is to be closed, unless something must be looked at first.
    pub(super) async fn close(
        &mut self,
        db: &Db,
        session: &mut PgConnection,
        run: RunId,
    ) -> Result<(), Error> {
        let Some(close) = self.close else { return Ok(()) };
        let is_over: bool = sqlx::query_scalar("SELECT $1 <= clock_timestamp()")
            .bind(close.until.0)
            .fetch_one(&mut *session)
            .await
            .context("ask the server for its time")?;
        let not_closed = match is_over {
            true => self.open_questions(close),
            false => Some("that is yet to come by the server's clock".to_owned()),
        };
        let closed = match &not_closed {
            Some(_) => None,
            None => {
                self.progress.begin("close the ledger", None);
                let role = &db.facts().role;
                Some(closing::close(session, self.model, run, close.until, role).await?)
            }
        };
        if closed.is_some() {
            // What was accepted is closed with the rest.
            self.report.findings.closed += self.report.backdated.take().unwrap_or_default();
            self.report.backdated = Some(0);
            self.report.listed_backdated.clear();
            self.report.closed = Some(ClosedPeriod { closed_before: close.until, is_comparable: true });
        }
        self.report.closing = Some(NewClosing {
            closed_before: close.until,
            id: closed.as_ref().map(|closed| closed.id),
            keys: closed.as_ref().map_or(0, |closed| closed.keys.unsigned_abs()),
            entries: closed.as_ref().map_or(0, |closed| closed.entries.unsigned_abs()),
            not_closed,
        });
        Ok(())
    }

    /// What is to be closed: what a person asks for, or what the configuration says and is not closed yet. A run that compares a part,
    /// or changes nothing, is not the one to close.
    fn to_close(&self) -> Option<Close> {
        let closed = self.report.closed.as_ref().map(|closed| closed.closed_before.0);
        let is_whole = self.options.orgs.is_empty() && !self.options.dry_run;
        let configured = self
            .options
            .closed_before
            .filter(|until| is_whole && closed.is_none_or(|closed| closed < until.0));
        self.options.close.or(configured.map(|until| Close {
            until,
            accept_backdated: false,
            is_configured: true,
        }))
    }

    /// What stands in the way of closing.
    fn open_questions(&self, close: Close) -> Option<String> {
        let report = &self.report;
        let backdated = report.backdated.unwrap_or_default();
        if report.unresolved > 0 {
            Some(format!("{} differences are open; correct them first", report.unresolved))
        } else if report.open_history > 0 {
            Some(format!(
                "old entries of {} keys were changed without the triggers seeing it; look at them first",
                report.open_history
            ))
        } else if !report.broken_parts.is_empty() {
            Some("parts of the balances are not as they should be; run migrate-balance first".to_owned())
        } else if !report.not_backfilled.is_empty() {
            Some("organizations were never backfilled; run backfill-balances first".to_owned())
        } else if backdated > 0 && !close.accept_backdated {
            Some(format!(
                "closed entries of {backdated} keys were changed; take that back, or let it stand with --accept-backdated"
            ))
        } else {
            None
        }
    }
}
