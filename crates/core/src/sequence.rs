//! `migrate-all`: everything in order, stopping at the first part that does not hold.
//!
//! Each part knows from the database what is done, so a run that was stopped goes on when it is run again.

use std::path::Path;

use serde::Serialize;

use crate::{
    Task,
    balance::backfill::{self, BackfillReport},
    db::Db,
    mapping::Mapping,
    migration::{
        MigrationError, balance, online, org,
        report::MigrationReport,
        versioned::{self, Mode, Versions},
    },
    progress::{Progress, Silent},
    report::{Outcome, Report},
    tenancy,
    validate::{self, Scope, Validation},
};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// More migrations beside the embedded ones.
    pub folder: Option<&'a Path>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Back to the schema as it was before Stockfoil.
    pub rollback: bool,
    /// What migrate-org is asked for.
    pub organizations: org::Request,
}

/// What the whole sequence did; a part that it did not come to is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Sequence {
    /// Whether it was taken back.
    pub rollback: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The versioned migrations.
    pub versions: Versions,
    /// `migrate-org`.
    pub organizations: Option<MigrationReport>,
    /// `validate-migration`, after `migrate-org`.
    pub organizations_checked: Option<Validation>,
    /// `migrate-balance`.
    pub balances: Option<MigrationReport>,
    /// `backfill-balances`.
    pub backfill: Option<BackfillReport>,
    /// `validate-migration`, at the end.
    pub checked: Option<Validation>,
}

impl Sequence {
    /// The parts that run steps, those that were come to.
    pub fn migrations(&self) -> Vec<&MigrationReport> {
        self.organizations.iter().chain(&self.balances).collect()
    }
}

impl Report for Sequence {
    const SCHEMA: &'static str = "stockfoil.migrate_all/1";

    fn outcome(&self) -> Outcome {
        let clean = |outcome: Option<Outcome>| outcome == Some(Outcome::Clean);
        if self.rollback {
            // What stands in the way of a plan is a finding of it.
            let parts = [&self.balances, &self.organizations];
            let found = parts.into_iter().flatten().any(|part| part.outcome() == Outcome::Findings);
            return if found { Outcome::Findings } else { Outcome::Clean };
        }
        let is_found = |part: &MigrationReport| part.outcome() == Outcome::Findings;
        if self.migrations().into_iter().any(is_found) {
            return Outcome::Findings;
        }
        let done = clean(self.checked.as_ref().map(Report::outcome))
            && clean(self.backfill.as_ref().map(Report::outcome));
        if self.dry_run || done { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Runs the sequence; with `dry_run` it only says what it would do, and with `rollback` it takes it back.
///
/// # Errors
/// The first part's that can't do its work. Checks that fail are no error: the sequence ends there, with findings.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    settings: &'a tenancy::Settings,
    request: &'a Request<'a>,
    progress: &'a dyn Progress,
) -> Task<'a, Sequence> {
    Box::pin(async move {
        request.organizations.check()?;
        if request.rollback {
            return back(db, mapping, settings, request, progress).await;
        }
        let &Request { folder, dry_run, .. } = request;
        if !dry_run {
            db.require_writable()?;
            db.require_direct().await?;
        }
        if let Ok(model) = mapping.resolve(db).await {
            let session = &mut db.session().await?;
            org::check_default(session, &model, settings, &request.organizations).await?;
        }
        let balances = balance::Request { rollback: false, patience: request.organizations.patience };
        if !dry_run {
            require_way(db, mapping, settings, request, balances).await?;
        }
        let mode = if dry_run { Mode::DryRun } else { Mode::Apply };
        let versions = versioned::run(db, mapping, folder, mode, progress).await?;
        let mut sequence = Sequence {
            rollback: false,
            dry_run,
            versions,
            organizations: None,
            organizations_checked: None,
            balances: None,
            backfill: None,
            checked: None,
        };
        if dry_run {
            // Before the inventory is there, nothing can be said of its tables.
            if mapping.resolve(db).await.is_ok() {
                sequence.organizations =
                    Some(org::plan(db, mapping, settings, &request.organizations).await?);
                sequence.balances = Some(balance::plan(db, mapping, balances).await?);
            }
            return Ok(sequence);
        }
        sequence.organizations =
            Some(org::run(db, mapping, settings, &request.organizations, progress).await?);
        let checked = validate::run(db, mapping, settings, folder, Scope::Organizations, progress).await?;
        let holds = checked.outcome() == Outcome::Clean;
        sequence.organizations_checked = Some(checked);
        if !holds {
            return Ok(sequence);
        }
        sequence.balances = Some(balance::run(db, mapping, balances, progress).await?);
        sequence.backfill = Some(backfill::run(db, mapping, &backfill::Options::default(), progress).await?);
        sequence.checked = Some(validate::run(db, mapping, settings, folder, Scope::All, progress).await?);
        Ok(sequence)
    })
}

/// Says what stands in the way of any part before the first change of the first, which is Stockfoil's own versions.
async fn require_way(
    db: &Db,
    mapping: &Mapping,
    settings: &tenancy::Settings,
    request: &Request<'_>,
    balances: balance::Request,
) -> Result<(), crate::Error> {
    if mapping.resolve(db).await.is_err() {
        return Ok(());
    }
    let versions = versioned::run(db, mapping, request.folder, Mode::DryRun, &Silent).await?;
    if versions.in_the_way.is_some() {
        return Ok(());
    }
    let before = org::plan(db, mapping, settings, &request.organizations).await?;
    let plan = balance::plan(db, mapping, balances).await?;
    let obstacles: Vec<_> = before.obstacles.into_iter().chain(plan.obstacles).collect();
    if obstacles.is_empty() { Ok(()) } else { Err(MigrationError::InTheWay(obstacles).into()) }
}

/// The sequence taken back: balances, organizations, Stockfoil's own versioned migrations. The inventory's tables stay,
/// whoever made them.
async fn back(
    db: &Db,
    mapping: &Mapping,
    settings: &tenancy::Settings,
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<Sequence, crate::Error> {
    if let Some(folder) = request.folder {
        versioned::check_folder(folder)?;
    }
    // What it could not take back is said before the first change.
    versioned::take_back(db, true, progress).await?;
    let balances = balance::Request { rollback: true, patience: request.organizations.patience };
    let organizations = org::Request { direction: org::Direction::Rollback, ..request.organizations.clone() };
    let [balances_plan, plan] = online::plan_back(db, mapping, settings, &request.organizations).await?;
    let (balances_report, organizations_report) = if request.dry_run {
        (balances_plan, plan)
    } else {
        // All of it is said before the first change of the first part.
        let obstacles: Vec<_> = balances_plan.obstacles.into_iter().chain(plan.obstacles).collect();
        if !obstacles.is_empty() {
            return Err(MigrationError::InTheWay(obstacles).into());
        }
        (
            balance::run(db, mapping, balances, progress).await?,
            org::run(db, mapping, settings, &organizations, progress).await?,
        )
    };
    let versions = versioned::take_back(db, request.dry_run, progress).await?;
    Ok(Sequence {
        rollback: true,
        dry_run: request.dry_run,
        versions,
        organizations: Some(organizations_report),
        organizations_checked: None,
        balances: Some(balances_report),
        backfill: None,
        checked: None,
    })
}
