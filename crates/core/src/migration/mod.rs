//! Taking a live single-tenant database to many tenants: versioned SQL files, and online steps that the catalog
//! knows to be done or not.

pub mod all;
pub mod balance;
mod change;
mod default_org;
pub mod fill;
mod index;
pub(crate) mod isolation;
pub mod org;
pub mod preflight;
pub(crate) mod resolution;
mod rollback;
pub mod runner;
pub mod step;
pub mod versioned;

pub(crate) use runner::prepare;

use std::path::PathBuf;

use sqlx::PgConnection;

use crate::{Error, Failure, model::Model, sql::QualifiedName};

/// Why a migration could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// An applied file's text is not what was applied.
    #[error(
        "migration {file} was changed after it was applied; restore its text, and put the change into a new migration (db-migrate --name)"
    )]
    Changed {
        /// The file.
        file: String,
    },
    /// The database knows a version that no file has.
    #[error(
        "the database has migration {version} ({description}), which no file here has; use the release that has it"
    )]
    Unknown {
        /// The version.
        version: i64,
        /// Its description.
        description: String,
    },
    /// Some of the default inventory's tables are there, and some are not.
    #[error(
        "database {database:?} has {there} but not {missing}: neither empty nor the default inventory; migrate an empty database, or record what is there with --baseline {version}"
    )]
    HalfInventory {
        /// The database.
        database: String,
        /// Tables that are there.
        there: String,
        /// Tables that are not.
        missing: String,
        /// The version to record.
        version: i64,
    },
    /// `--baseline` names a version that no file has.
    #[error("no migration has version {0}; db-migrate --status lists them")]
    NoSuchVersion(i64),
    /// A name for a new migration that can't be a file's.
    #[error("{0:?} can't be a migration's name; use lower-case letters, digits and _")]
    BadName(String),
    /// The folder of migrations can't be read or written.
    #[error("migration folder {folder}: {reason}; check the path and its permissions")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The default organization's id does not hold.
    #[error("the default organization's id: {0}")]
    DefaultOrganization(String),
    /// Something stands in the way.
    #[error("nothing was changed, since {}", listed(.0))]
    InTheWay(Vec<preflight::Finding>),
    /// There is no such thing to accept.
    #[error("--accept {0:?} is nothing that can be accepted; give {acceptable}", acceptable = preflight::ACCEPTABLE.join(" or "))]
    NotAcceptable(String),
    /// Isolation is a part of finalizing.
    #[error("--isolate goes with --finalize, or with --rollback to take only isolation back")]
    IsolateAlone,
    /// Others were in the way of a step for too long.
    #[error(
        "{step}: waited {seconds} s for {blockers}; nothing of this step was changed, run again when they have ended, or give a longer --lock-wait"
    )]
    LockWait {
        /// The step.
        step: String,
        /// How long, in seconds.
        seconds: u64,
        /// Who.
        blockers: String,
    },
    /// The default can't be ended before the migration is over.
    #[error("migrate-org is not over ({step}); run it without --finalize first")]
    NotMigrated {
        /// What is missing.
        step: String,
    },
    /// There is nothing to put the schema back from.
    #[error(
        "database {database:?} does not remember its schema before migrate-org (stockfoil.change is empty), so it can't be put back; restore a backup instead"
    )]
    NothingRemembered {
        /// The database.
        database: String,
    },
    /// A step's statements ran, and the catalog does not show it to be done.
    #[error(
        "{step}: its statements ran, but the catalog does not show it done; look for another session that changes the schema, then run again"
    )]
    NotDone {
        /// The step.
        step: String,
    },
    /// The ledger does not say whose an entry is.
    #[error("{table} has no organizations yet; run migrate-org first")]
    NoOrganizations {
        /// The ledger.
        table: String,
    },
    /// Another table has the balances' name.
    #[error("there is a table {table} already, and it is another one ({how}); rename it, then run again")]
    OtherBalances {
        /// The table.
        table: String,
        /// What it lacks.
        how: String,
    },
}

/// The unique keys of `table` that `migrate-org` replaced, each with whether one of the same definition that begins
/// with the organization is there and whole.
///
/// # Errors
/// Database errors.
pub(crate) async fn replaced_keys(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
) -> Result<Vec<(String, bool)>, Error> {
    // Definitions were noted as they are printed with this setting.
    runner::prepare(session).await?;
    let mut keys = Vec::new();
    for change in change::of(session, org::COMMAND).await? {
        let before: Option<change::UniqueKeyBefore> = match change.kind {
            change::Kind::UniqueKey if change.table == *table => change.before()?,
            _ => None,
        };
        if let Some(before) = before {
            let binds = [
                table.to_string(),
                model.org_column.as_str().to_owned(),
                before.tail,
                String::new(),
                "valid".to_owned(),
                "unique".to_owned(),
            ];
            let goal = step::Goal::new(include_str!("goals/index.sql"), binds);
            keys.push((change.name, goal.is_met(session).await?));
        }
    }
    Ok(keys)
}

/// One finding in one sentence, several in a list.
fn listed(findings: &[preflight::Finding]) -> String {
    match findings {
        [finding] => finding.to_string(),
        findings => {
            let lines: Vec<String> = findings.iter().map(|finding| format!("\n  - {finding}")).collect();
            format!("{} things stand in the way:{}", findings.len(), lines.concat())
        }
    }
}

impl MigrationError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            MigrationError::NoSuchVersion(_)
            | MigrationError::BadName(_)
            | MigrationError::NotAcceptable(_)
            | MigrationError::IsolateAlone
            | MigrationError::DefaultOrganization(_) => Failure::Usage,
            _ => Failure::Work,
        }
    }
}
