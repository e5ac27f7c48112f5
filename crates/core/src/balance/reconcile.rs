//! Reconciliation: every balance is compared with its entries, and what differs is mended or told.

mod alerts;
mod broken;
mod by_entry;
mod closed;
mod look_up;
mod negative;
mod options;
mod outcome;
mod read_back;
mod report;
mod scope;
mod snapshot;

pub use broken::{Breakage, BrokenPart};
pub use by_entry::{ByEntry, Correction, Entered};
pub use closed::{Backdated, Close, ClosedPeriod, NewClosing};
pub use negative::NegativeBalance;
pub use options::Options;
pub use report::{ChangedHistory, Counts, Entry, LISTED_MAX, Listed, ReconcileReport, Unresolved};
pub use snapshot::Snapshot;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use by_entry::Entering;
use scope::scope;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use crate::{
    Error, Task, alert,
    balance::{
        BalanceError,
        backfill::TOO_LARGE,
        checkpoint::{self, Extent, FullReason},
        closing::Closing,
        difference::{self, ATTEMPTS_MAX, Differences, Repair},
        not_migrated, open, queue,
    },
    db::{Context as _, Db},
    history::{self, Findings, RunId},
    ledger::{BalanceKey, Discrepancy, Kind, Quantity, QuantityError},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    release,
    sql::QualifiedName,
};

/// The command, as `stockfoil.run` and alerts name it.
pub(super) const COMMAND: &str = "reconcile-balances";

/// What is said where a comparison is of a ledger that is there no more.
const LEDGER_REPLACED: &str = "the ledger was truncated or rewritten meanwhile; comparing again";

/// Compares every balance with its entries in one snapshot, mends small differences, and reports the others.
///
/// # Errors
/// When the tolerance is none, the table is missing, an organization is not there, nothing was ever backfilled,
/// another run holds the lock, or the database refuses. That an alert reached nobody is no error here: ask
/// [`Deliveries::require`](crate::alert::Deliveries::require) when the report is printed.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    alerts: &'a alert::Settings,
    history: &'a history::Settings,
    options: &'a Options,
    progress: &'a dyn Progress,
) -> Task<'a, ReconcileReport> {
    Box::pin(async move {
        options.check()?;
        let model = &mapping.resolve(db).await?;
        let bounded = model.bounded();
        let (mut session, broken) = open(db, model, &options.orgs).await?;
        let (orgs, not_backfilled) = match scope(&mut session, model, options).await {
            // Triggers that were there are a finding; those that never were are a migration to be finished.
            Err(Error::Balance(BalanceError::NeverBackfilled(_))) if !broken.is_empty() => {
                return Err(not_migrated(db, &broken));
            }
            scope => scope?,
        };
        let mut report = ReconcileReport::new(options);
        report.note_parts(model, broken, not_backfilled);
        let uncovered = super::uncovered_partitions(&mut session, model).await?;
        report.uncovered_partitions = uncovered.iter().map(QualifiedName::plain).collect();
        let last_clean = history::last_clean(&mut session, COMMAND).await?;
        report.last_clean = last_clean.and_then(|run| run.finished_at);
        let mut work = Work::new(model, options, orgs, progress, report);
        work.prepare_entering(db, &mut session).await?;
        work.prepare_closing(&mut session).await?;
        if options.dry_run {
            let mut looked = work.only_look(&mut session).await;
            if looked.as_ref().is_err_and(Error::overflowed) {
                work.bound(&bounded);
                looked = work.only_look(&mut session).await;
            }
            return looked.map(|()| work.report);
        }
        db.require_writable()?;
        release::require(&mut session).await?;
        let mut lock = db.run_lock(Duration::ZERO, progress).await?;
        queue::require_as_read(db, &mut session, model).await?;
        let run = history::start(&mut session, COMMAND).await?;
        let mut mended = work.mend(db, lock.session(), &mut session, run).await;
        if mended.as_ref().is_err_and(Error::overflowed) {
            work.bound(&bounded);
            mended = work.mend(db, lock.session(), &mut session, run).await;
        }
        // Nobody need wait for a channel that is slow.
        lock.release().await;
        let result = match mended {
            Ok(()) => {
                work.tell(db, alerts).await;
                Ok(work.report)
            }
            Err(error) => Err(error),
        };
        let result = history::finish(&mut session, run, result, ReconcileReport::summary).await;
        history::prune(&mut session, history).await;
        result
    })
}

/// A row of `list.sql` and `look.sql`: number, organization, item, location, lot, both quantities.
///
/// A balance that something else wrote may lack a part of its key.
type Row = (i64, OrgId, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

struct Work<'a> {
    model: &'a Model,
    options: &'a Options,
    orgs: Option<Vec<OrgId>>,
    progress: &'a dyn Progress,
    report: ReconcileReport,
    /// Whether the comparison uses the checkpoint, and moves it.
    is_sealed: bool,
    /// How many balances the comparison counted, if it did.
    balances: Option<i64>,
    /// What is to be entered into the ledger, where that was asked for.
    entering: Option<Entering>,
    /// The newest closing, if anything was closed.
    closing: Option<Closing>,
    /// What this run is to close.
    close: Option<Close>,
    /// The keys whose closed entries are others, as they were seen last.
    changed: Vec<BalanceKey>,
    /// Those of them that nothing corrects: what they lack went with a closed partition.
    held: HashSet<BalanceKey>,
}

impl<'a> Work<'a> {
    fn new(
        model: &'a Model,
        options: &'a Options,
        orgs: Option<Vec<OrgId>>,
        progress: &'a dyn Progress,
        mut report: ReconcileReport,
    ) -> Self {
        report.compared = orgs.clone();
        let mut work = Self {
            model,
            options,
            orgs,
            progress,
            report,
            is_sealed: false,
            balances: None,
            entering: None,
            closing: None,
            close: None,
            changed: Vec::new(),
            held: HashSet::new(),
        };
        work.is_sealed = work.may_seal();
        work
    }
}

impl<'a> Work<'a> {
    /// Starts again, by a model under which no sum overflows.
    fn bound(&mut self, bounded: &'a Model) {
        self.progress.note(TOO_LARGE);
        self.model = bounded;
        self.forget_differences();
    }

    /// Whether all of the ledger is compared, by triggers that mark what changes; else says why not.
    fn may_seal(&mut self) -> bool {
        let reason = if !checkpoint::is_possible(self.model) {
            FullReason::NotIncremental
        } else if self.orgs.is_some() || self.options.dry_run {
            FullReason::Partial
        } else if !self.report.broken_parts.is_empty() {
            FullReason::BrokenParts
        } else if !self.report.uncovered_partitions.is_empty() {
            FullReason::UncoveredPartitions
        } else {
            return true;
        };
        self.report.full = Some(reason);
        false
    }

    /// Compares all organizations with the ledger.
    async fn compare(
        &mut self,
        session: &mut PgConnection,
        reader: &mut PgConnection,
        run: RunId,
    ) -> Result<Differences, Error> {
        if !self.is_sealed {
            let differences = Differences::collect(session, self.model, self.orgs.as_deref()).await?;
            let is_intact = self.report.broken_parts.is_empty();
            checkpoint::note_differences(session, self.model, run, is_intact).await?;
            self.look_at_closed(reader, Some(run)).await?;
            return Ok(differences);
        }
        let plan = checkpoint::Plan {
            extent: if self.options.full { Extent::Full } else { Extent::New },
            every_key: self.options.prune_orphans,
            rounds: self.rounds(session).await?,
            run,
        };
        let compared = checkpoint::compare(session, reader, self.model, plan).await?;
        self.report.full = compared.full;
        self.balances = compared.balances;
        self.report.marked_keys = compared.marked_keys.unsigned_abs();
        self.report.verified_organizations = compared.verified_organizations.unsigned_abs();
        // What an attempt before saw is sealed as it is now, and this one can't see it any more.
        self.report.changed_history += compared.changed_history.len() as u64;
        let room = LISTED_MAX.saturating_sub(self.report.listed_history.len());
        let listed = compared.changed_history.into_iter().take(room).map(ChangedHistory::from);
        self.report.listed_history.extend(listed);
        if let Some(backdated) = compared.backdated {
            self.list_backdated(reader, backdated).await?;
        }
        Ok(compared.differences)
    }

    /// In how many runs all of the history is read again: in this one where any was changed, since what changed that may have changed
    /// more.
    async fn rounds(&self, session: &mut PgConnection) -> Result<u32, Error> {
        let (_, open) = open_history(session, None).await?;
        Ok(if open > 0 { 1 } else { self.options.history_runs })
    }

    /// Looks at everything, and changes nothing.
    async fn only_look(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        difference::set_up(session).await?;
        self.look_at_closed(session, None).await?;
        self.hold_gone(session).await?;
        self.look(session).await?;
        (self.report.open_history, self.report.open_history_of_all) =
            open_history(session, self.orgs.as_deref()).await?;
        self.look_below_zero(session, None).await
    }

    /// Compares, and changes nothing.
    async fn look(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        self.progress.begin("compare ledger and balances", None);
        self.report.differences.empty = Some(0);
        let started = Instant::now();
        let difference = difference::statement(self.model);
        let statement = self.model.render_with(include_str!("look.sql"), &[("difference", &difference)]);
        let mut rows = sqlx::query_as(statement.sql()).bind(self.orgs.clone()).fetch(&mut *session);
        while let Some(row) = rows.try_next().await.context("compare ledger and balances")? {
            self.classify(row)?;
        }
        drop(rows);
        self.report.compare_ms = millis(started);
        self.look_what_to_enter(session).await?;
        self.look_up(session).await?;
        self.report.repaired = self.report.repairable;
        if self.prunes() {
            self.report.pruned = self.report.differences.empty.unwrap_or_default();
        }
        self.progress.finish();
        Ok(())
    }

    /// Compares, records what differs, and mends what may be mended.
    async fn mend(
        &mut self,
        db: &Db,
        session: &mut PgConnection,
        reader: &mut PgConnection,
        run: RunId,
    ) -> Result<(), Error> {
        self.report.run_id = Some(run);
        difference::set_up(session).await?;
        self.report.folded_deltas += queue::fold(session, self.model, self.progress).await?;
        for _ in 0..ATTEMPTS_MAX {
            self.forget_differences();
            self.progress.begin("compare ledger and balances", None);
            let started = Instant::now();
            self.report.snapshot = Some(Snapshot::now(session).await?);
            let mut differences = self.compare(session, reader, run).await?;
            self.report.compare_ms = millis(started);
            if !differences.are_of_this_ledger(session, self.model).await? {
                self.progress.note(LEDGER_REPLACED);
                continue;
            }
            let is_every_key = self.report.full.is_some() || self.options.prune_orphans;
            self.report.differences.empty = is_every_key.then_some(0);
            self.hold_gone(session).await?;
            self.mark(session, &mut differences).await?;
            self.try_entries(session).await?;
            self.record(session, run).await?;

            self.progress.begin("repair balances", Some(differences.to_repair.unsigned_abs()));
            match differences.repair(session, self.model, self.options.batch_rows, self.progress).await? {
                Repair::Done { refused, .. } => {
                    // What was refused still differs when it is read again.
                    self.report.repaired = differences.to_repair.unsigned_abs();
                    self.read_back(session, &mut differences, &refused).await?;
                    self.enter(session, run).await?;
                    self.look_up(session).await?;
                    self.look_below_zero(session, Some(run)).await?;
                    self.close(db, session, run).await?;
                    return self.finish(session, run, &differences).await;
                }
                Repair::LedgerReplaced => self.progress.note(LEDGER_REPLACED),
            }
        }
        Err(BalanceError::LedgerReplaced(ATTEMPTS_MAX).into())
    }

    /// Forgets the differences, for a new comparison.
    fn forget_differences(&mut self) {
        self.report.forget_differences();
        if let Some(entering) = &mut self.entering {
            entering.forget();
        }
    }

    /// Notes one difference in the report. What it is (none for an empty row), and whether to repair it.
    fn classify(&mut self, row: Row) -> Result<(Option<Kind>, bool), Error> {
        // What has no key is no other row's balance either: nothing can be added to it.
        let is_whole = row.2.is_some() && row.3.is_some();
        let (n, discrepancy) = both_sides(row)?;
        if discrepancy.is_empty_row() {
            if let Some(empty) = &mut self.report.differences.empty {
                *empty += 1;
            }
            return Ok((None, false));
        }
        let kind = discrepancy.classify(&self.options.tolerance);
        if self.held.contains(&discrepancy.key) {
            self.report.hold(kind, discrepancy);
            return Ok((Some(kind), false));
        }
        let entering = self.entering.as_mut().filter(|_| is_whole);
        if entering.is_some_and(|e| e.takes(n, kind, &discrepancy, &self.options.tolerance)) {
            self.report.count(kind);
            return Ok((Some(kind), false));
        }
        let asked = self.options.fix_large && matches!(kind, Kind::Large | Kind::Missing | Kind::Orphan);
        let is_writable = discrepancy.balance_qty.is_some() || self.model.balances.makes_rows;
        let repair =
            is_whole && is_writable && (asked || discrepancy.is_mended_unasked(&self.options.tolerance));
        self.report.add(kind, discrepancy, is_whole, repair);
        Ok((Some(kind), repair))
    }

    /// Classifies what was put aside, and marks what to repair.
    async fn mark(&mut self, session: &mut PgConnection, differences: &mut Differences) -> Result<(), Error> {
        let (mut numbers, mut kinds, mut repairs) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = sqlx::query_as(include_str!("list.sql")).fetch(&mut *session);
        while let Some(row) = rows.try_next().await.context("read the differences")? {
            let row: Row = row;
            numbers.push(row.0);
            let (kind, repair) = self.classify(row)?;
            kinds.push(kind.map(Kind::as_str));
            repairs.push(repair);
        }
        drop(rows);
        if numbers.is_empty() {
            return Ok(());
        }
        sqlx::query(include_str!("mark.sql"))
            .bind(numbers)
            .bind(kinds)
            .bind(repairs)
            .execute(&mut *session)
            .await
            .context("mark the differences")?;
        differences.count(session).await?;
        Ok(())
    }

    /// Opens, carries on and closes findings.
    async fn record(&mut self, session: &mut PgConnection, run: RunId) -> Result<(), Error> {
        sqlx::query(include_str!("record_findings.sql"))
            .bind(run)
            .execute(&mut *session)
            .await
            .context("record the findings")?;
        let close = self.model.render(include_str!("close_findings.sql"));
        sqlx::query(close.sql())
            .bind(run)
            .bind(self.orgs.clone())
            .execute(&mut *session)
            .await
            .context("close the findings that are gone")?;
        let (opened, seen_again, closed): (i64, i64, i64) =
            sqlx::query_as(include_str!("count_findings.sql"))
                .bind(run)
                .fetch_one(&mut *session)
                .await
                .context("count the findings")?;
        self.report.findings = Findings {
            opened: opened.unsigned_abs(),
            seen_again: seen_again.unsigned_abs(),
            closed: closed.unsigned_abs(),
        };
        (self.report.open_history, self.report.open_history_of_all) =
            open_history(session, self.orgs.as_deref()).await?;
        Ok(())
    }

    /// Whether empty rows go. Those of an adopted table are the application's, which keeps more in them than a quantity.
    fn prunes(&self) -> bool {
        self.options.prune_orphans && !self.model.balances.is_adopted
    }

    /// Records what was repaired, and removes empty rows where that was asked for.
    async fn finish(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        differences: &Differences,
    ) -> Result<(), Error> {
        if self.report.repaired > 0 {
            sqlx::query(include_str!("mark_repaired.sql"))
                .bind(run)
                .execute(&mut *session)
                .await
                .context("record what was repaired")?;
        }
        if self.prunes() {
            let prune = self.model.render(include_str!("prune.sql"));
            let mut first = 1;
            while first <= differences.rows {
                let last = first + i64::from(self.options.batch_rows) - 1;
                let pruned = sqlx::query(prune.sql())
                    .bind(first)
                    .bind(last)
                    .execute(&mut *session)
                    .await
                    .context("remove empty balances")?;
                self.report.pruned += pruned.rows_affected();
                first = last + 1;
            }
        }
        self.progress.finish();
        Ok(())
    }
}

/// The number of a difference, and what it is.
fn both_sides(
    (n, org_id, item_id, location_id, lot_id, ledger_qty, balance_qty): Row,
) -> Result<(i64, Discrepancy), Error> {
    let (item_id, location_id) = (item_id.unwrap_or_default(), location_id.unwrap_or_default());
    let key = BalanceKey { org_id, item_id, location_id, lot_id };
    let (ledger_qty, balance_qty) = (quantity(ledger_qty)?, quantity(balance_qty)?);
    Ok((n, Discrepancy { key, ledger_qty, balance_qty }))
}

pub(super) fn quantity(text: Option<String>) -> Result<Option<Quantity>, Error> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error: QuantityError| sqlx::Error::decode(error).into())
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How many findings of changed history are open: of these organizations (none: all), and of all.
async fn open_history(session: &mut PgConnection, orgs: Option<&[OrgId]>) -> Result<(u64, u64), Error> {
    let (of_these, of_all): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE $1::text[] IS NULL OR org_id = ANY ($1)), count(*)
         FROM stockfoil.finding WHERE closed_run IS NULL AND kind = 'changed_history'",
    )
    .bind(orgs)
    .fetch_one(session)
    .await
    .context("count the open findings of changed history")?;
    Ok((of_these.unsigned_abs(), of_all.unsigned_abs()))
}
