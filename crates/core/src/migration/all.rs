//! `migrate-all`: everything in order, stopping at the first part that does not hold.
//!
//! Each part knows from the database what is done, so a run that was stopped goes on when it is run again.

use std::path::Path;

use serde::Serialize;

use super::{
    balance, org,
    runner::MigrationReport,
    versioned::{self, Mode, Versions},
};
use crate::{
    Task,
    balance::backfill::{self, BackfillReport},
    config::Config,
    db::Db,
    mapping::Mapping,
    progress::Progress,
    report::{Outcome, Report},
    validate::{self, Scope, Validation},
};

/// What the whole sequence did; a part that it did not come to is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Sequence {
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

impl Report for Sequence {
    const SCHEMA: &'static str = "stockfoil.migrate_all/1";

    fn outcome(&self) -> Outcome {
        let clean = |outcome: Option<Outcome>| outcome == Some(Outcome::Clean);
        let done = clean(self.checked.as_ref().map(Report::outcome))
            && clean(self.backfill.as_ref().map(Report::outcome));
        if self.dry_run || done { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Runs the sequence; with `dry_run` it only says what it would do.
///
/// # Errors
/// The first part's that can't do its work. Checks that fail are no error: the sequence ends there, with findings.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    config: &'a Config,
    folder: Option<&'a Path>,
    dry_run: bool,
    progress: &'a dyn Progress,
) -> Task<'a, Sequence> {
    Box::pin(async move {
        let mode = if dry_run { Mode::DryRun } else { Mode::Apply };
        let versions = versioned::run(db, mapping, folder, mode, progress).await?;
        let mut sequence = Sequence {
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
                sequence.organizations = Some(org::plan(db, mapping, config).await?);
                sequence.balances = Some(balance::plan(db, mapping).await?);
            }
            return Ok(sequence);
        }
        sequence.organizations = Some(org::run(db, mapping, config, progress).await?);
        let checked = validate::run(db, mapping, config, folder, Scope::Organizations, progress).await?;
        let holds = checked.outcome() == Outcome::Clean;
        sequence.organizations_checked = Some(checked);
        if !holds {
            return Ok(sequence);
        }
        sequence.balances = Some(balance::run(db, mapping, progress).await?);
        sequence.backfill = Some(backfill::run(db, mapping, &backfill::Options::default(), progress).await?);
        sequence.checked = Some(validate::run(db, mapping, config, folder, Scope::All, progress).await?);
        Ok(sequence)
    })
}
