//! Migrations: rehearsed, shown, asked about, run.

use std::path::Path;

use stockfoil_core::{
    Error,
    config::Config,
    db::Db,
    migration::{online::Online, org, report::MigrationReport, request::Plan},
    rehearsal,
    report::{Outcome, Report as _},
    sequence,
};

use super::{Context, pretty};
use crate::{How, Page, Print as _, Rehearse, RunError};

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
        asked: Rehearse,
    ) -> Result<Outcome, RunError> {
        let Config { mapping, tenancy, backup, .. } = &self.config;
        let request = request(migration, asked)?;
        self.emit(&rehearsal::run(db, mapping, tenancy, backup, &request, &self.talk).await?)
    }

    /// Rehearses what a run is about to change, as it is asked for; not at all with none. Returns the
    /// outcome of a rehearsal that found something in the way, which is emitted; nothing where the run may go on.
    ///
    /// # Errors
    /// As [`rehearsal::before`]; where this machine can't rehearse, a person decides, as by [`confirm`](Self::confirm).
    pub async fn rehearse_first(
        &self,
        db: &Db,
        migration: rehearsal::Migration,
        asked: Option<Rehearse>,
    ) -> Result<Option<Outcome>, RunError> {
        let Some(asked) = asked else { return Ok(None) };
        let Config { mapping, tenancy, backup, .. } = &self.config;
        let request = request(migration, asked)?;
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
            How::Rehearse(asked) => {
                return self.rehearse(&db, rehearsal::Migration::Online(migration), asked).await;
            }
            How::DryRun => return self.emit(&migration.plan(&db, mapping, tenancy).await?),
            How::Run { rehearses } => {
                if migration.is_planned() {
                    // Read and approved; what differs from it is said before anything is played through.
                    let _ = migration.plan(&db, mapping, tenancy).await?;
                } else if asks {
                    let plan = migration.plan(&db, mapping, tenancy).await?;
                    self.approve(&db, &[&plan]).await?;
                }
                let rehearsed = rehearsal::Migration::Online(migration.unplanned());
                if let Some(found) = self.rehearse_first(&db, rehearsed, rehearses).await? {
                    return Ok(found);
                }
            }
        }
        let report = migration.run(&db, mapping, tenancy, &self.talk).await?;
        self.warn(&report.warnings);
        self.emit(&report)
    }

    /// `migrate-org`: as [`migrate`](Self::migrate), or shows the plan and writes it to `plan_out`, for `--plan` to run.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate) and [`Request::check`](org::Request::check); when the file can't be written.
    pub async fn migrate_org(
        &self,
        request: org::Request,
        how: How,
        plan_out: Option<&Path>,
        yes: bool,
    ) -> Result<Outcome, RunError> {
        request.check()?;
        let Some(file) = plan_out else {
            let asks = !yes && (request.destroys() || self.is_interactive());
            return self.migrate(Online::Organizations(request), how, asks).await;
        };
        if !matches!(how, How::DryRun | How::Run { rehearses: Some(_) }) {
            let words = "--plan-out changes nothing and plays nothing through; leave out --rehearse and --no-rehearsal";
            return Err(RunError::Usage(words.to_owned()));
        }
        let db = self.connect().await?;
        let Config { mapping, tenancy, .. } = &self.config;
        let report = org::plan(&db, mapping, tenancy, &request).await?;
        let outcome = self.emit(&report)?;
        if outcome == Outcome::Clean {
            let plan = pretty(&Plan::new(&db.facts().database, &request, &report))?;
            self.write_file(file, &|out| out.write_all(plan.as_bytes()))?;
            self.say(format!("{} --plan {} runs exactly this, or nothing", self.name, file.display()));
        } else {
            self.say(format!("{} was not written, since something stands in the way", file.display()));
        }
        Ok(outcome)
    }

    /// Rehearses, shows or runs the whole sequence, and emits the report; where it `asks`, a person decides before the
    /// first change.
    ///
    /// # Errors
    /// As [`sequence::run`], [`rehearsal::run`] and [`confirm`](Self::confirm).
    pub async fn migrate_all(
        &self,
        mut request: sequence::Request<'_>,
        how: How,
        asks: bool,
    ) -> Result<Outcome, RunError> {
        request.organizations.check()?;
        let db = self.connect().await?;
        let Config { mapping, tenancy, .. } = &self.config;
        let migration = rehearsal::Migration::All {
            organizations: request.organizations.clone(),
            folder: request.folder.map(Into::into),
            is_back: request.rollback,
        };
        if let How::Rehearse(asked) = how {
            // The way back is a part of every rehearsal.
            return self.rehearse(&db, migration, asked).await;
        }
        request.dry_run = how == How::DryRun;
        if asks && !request.dry_run {
            request.dry_run = true;
            let plan = sequence::run(&db, mapping, tenancy, &request, &self.talk).await?;
            self.approve(&db, &plan.migrations()).await?;
            request.dry_run = false;
        }
        if let How::Run { rehearses } = how
            && let Some(found) = self.rehearse_first(&db, migration, rehearses).await?
        {
            return Ok(found);
        }
        let report = sequence::run(&db, mapping, tenancy, &request, &self.talk).await?;
        self.warn(report.migrations().into_iter().flat_map(|part| &part.warnings));
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
            steps += plan.steps.len();
            self.warn(&plan.warnings);
            let mut page = Page::new(self.common.verbose);
            MigrationReport { warnings: Vec::new(), ..(*plan).clone() }.print(&mut page);
            self.say(page.into_text().trim_end());
        }
        if steps == 0 {
            return Ok(());
        }
        self.confirm(&format!("{steps} steps change the schema of {}; go on?", db.facts())).await
    }
}

/// What a rehearsal is asked for.
///
/// # Errors
/// [`RunError::Usage`] for one that would make or drop roles of a server that is not its own.
fn request(migration: rehearsal::Migration, asked: Rehearse) -> Result<rehearsal::Request, RunError> {
    if asked.place.is_some() && migration.isolates() {
        return Err(RunError::Usage(
            "--isolate makes and drops roles, which are the whole server's, so it is not rehearsed in a database that was given; leave out --rehearse-in, which rehearses it in a throwaway cluster".into(),
        ));
    }
    Ok(rehearsal::Request { migration, sample: asked.sample, place: asked.place })
}
