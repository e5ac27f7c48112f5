//! Migrations: rehearsed, shown, asked about, run.

use stockfoil_core::{
    Error,
    config::Config,
    db::Db,
    migration::{online::Online, report::MigrationReport},
    rehearsal,
    report::{Outcome, Report as _},
};

use super::Context;
use crate::{How, RunError};

/// So many of what could not be tried are named before a run.
const NOT_PROBED_MAX: usize = 5;

impl Context {
    /// Rehearses a migration on a copy, and emits the report.
    ///
    /// # Errors
    /// As [`rehearsal::run`].
    pub async fn rehearse(
        &self,
        db: &Db,
        migration: rehearsal::Migration,
        sample: u32,
    ) -> Result<Outcome, RunError> {
        let Config { mapping, tenancy, backup, .. } = &self.config;
        let request = rehearsal::Request { migration, sample };
        self.emit(&rehearsal::run(db, mapping, tenancy, backup, &request, &self.talk).await?)
    }

    /// Rehearses what a run is about to change, with so many rows of each tenant table; not at all with none. Returns the
    /// outcome of a rehearsal that found something in the way, which is emitted; nothing where the run may go on.
    ///
    /// # Errors
    /// As [`rehearsal::before`]; where this machine can't rehearse, a person decides, as by [`confirm`](Self::confirm).
    pub async fn rehearse_first(
        &self,
        db: &Db,
        migration: rehearsal::Migration,
        rows: Option<u32>,
    ) -> Result<Option<Outcome>, RunError> {
        let Some(sample) = rows else { return Ok(None) };
        let Config { mapping, tenancy, backup, .. } = &self.config;
        let request = rehearsal::Request { migration, sample };
        match rehearsal::before(db, mapping, tenancy, backup, &request, &self.talk).await {
            Ok(None) => Ok(None),
            Ok(Some(report)) if report.outcome() == Outcome::Clean => {
                let lacks = report.not_rehearsed.iter().map(|part| format!("not rehearsed: {part}"));
                self.warn(&lacks.collect::<Vec<_>>());
                self.say(report.summary());
                let not_probed = &report.probes.not_probed;
                for probe in not_probed.iter().take(NOT_PROBED_MAX) {
                    self.say(format!("not tried: {probe}"));
                }
                if !report.will_fail.is_empty() || not_probed.len() > NOT_PROBED_MAX {
                    self.say("--rehearse lists what means a change and what could not be tried");
                }
                Ok(None)
            }
            Ok(Some(report)) => {
                self.emit(&report)?;
                self.say("mend what stands in the way; --no-rehearsal goes on in spite of it");
                Ok(Some(Outcome::Findings))
            }
            Err(Error::Rehearsal(error)) if self.is_interactive() => {
                self.say(error.to_string());
                self.confirm("go on without a rehearsal?").await.map(|()| None)
            }
            Err(Error::Rehearsal(error)) => Err(RunError::Usage(format!(
                "{error}; nobody to ask, so nothing was changed: give --no-rehearsal to go on without"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Rehearses, shows or runs a migration, and emits the report; where it `asks`, a person decides before the first
    /// change.
    ///
    /// # Errors
    /// As [`Online::plan`], [`Online::run`], [`rehearsal::run`] and [`confirm`](Self::confirm).
    pub async fn migrate(&self, migration: Online, how: How, asks: bool) -> Result<Outcome, RunError> {
        let db = self.connect().await?;
        let Config { mapping, tenancy, .. } = &self.config;
        match how {
            How::Rehearse { sample } => {
                return self.rehearse(&db, rehearsal::Migration::Online(migration), sample).await;
            }
            How::DryRun => return self.emit(&migration.plan(&db, mapping, tenancy).await?),
            How::Run { rehearses } => {
                if asks {
                    let plan = migration.plan(&db, mapping, tenancy).await?;
                    self.approve(&db, &[&plan]).await?;
                }
                let rehearsed = rehearsal::Migration::Online(migration.clone());
                if let Some(found) = self.rehearse_first(&db, rehearsed, rehearses).await? {
                    return Ok(found);
                }
            }
        }
        let report = migration.run(&db, mapping, tenancy, &self.talk).await?;
        self.warn(&report.warnings);
        self.emit(&report)
    }

    /// Shows on standard error what a migration will do, and asks; nothing to do needs no answer.
    ///
    /// # Errors
    /// As [`confirm`](Self::confirm).
    pub async fn approve(&self, db: &Db, plans: &[&MigrationReport]) -> Result<(), RunError> {
        let mut steps = 0;
        for plan in plans {
            if !plan.obstacles.is_empty() {
                // The run itself will refuse, and say all of it.
                return Ok(());
            }
            for used in &plan.default_uses {
                self.say(used.to_string());
            }
            for used in &plan.lookup_uses {
                self.say(used.to_string());
            }
            self.warn(&plan.warnings);
            for step in &plan.steps {
                steps += 1;
                self.say(format!("{steps:>4}. {}", step.title));
            }
        }
        if steps == 0 {
            return Ok(());
        }
        self.confirm(&format!("{steps} steps change the schema of {}; go on?", db.facts())).await
    }
}
