//! Why a migration could not be done.

use std::path::PathBuf;

use super::finding::{self, Finding};
use crate::Failure;

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
    /// Another migrator began a version and did not end it.
    #[error(
        "migration {version} ({description}) was begun and not ended by another migrator; look at what it left, mend it, and set its success or delete it there"
    )]
    Unfinished {
        /// The version.
        version: i64,
        /// Its description.
        description: String,
    },
    /// A file of the folder would be run otherwise than it is meant, or passed over.
    #[error("{place}: {what}; nothing was run")]
    ForeignFile {
        /// The file, and the line that shows it.
        place: String,
        /// What it is, and what to do about it.
        what: String,
    },
    /// A file ran, and an index that it names is invalid.
    #[error(
        "migration {version} ran, but the index {index} that it names is invalid, as a build that failed leaves it, so the file was not recorded; DROP INDEX CONCURRENTLY {index}, mend what made the build fail, and run it again"
    )]
    InvalidIndex {
        /// The version.
        version: i64,
        /// The index, qualified and quoted.
        index: String,
    },
    /// Another tool notes that it ran pending files of the folder.
    #[error(
        "{tables} says that another tool ran {files}{unfinished}; leave the folder to it, or record what it ran ({flags}), or give a file another version and name if it is another one"
    )]
    RunByOthers {
        /// The other tool's tables.
        tables: String,
        /// The files.
        files: String,
        /// What it began and did not end, if anything.
        unfinished: String,
        /// What records them.
        flags: String,
    },
    /// What another tool may have noted can't be read.
    #[error(
        "another tool may have noted in {tables} that it ran the pending files, and this role can't read all of it; let it ({next}), or run as a role that can"
    )]
    UnreadRecords {
        /// The other tool's tables.
        tables: String,
        /// What lets the role read them.
        next: String,
    },
    /// The application has a schema of the name of Stockfoil's.
    #[error(
        "the schema stockfoil is the application's own, and has {objects}; rename it: Stockfoil's functions and records are in a schema of that name"
    )]
    OtherSchema {
        /// What is in it.
        objects: String,
    },
    /// `--baseline` names a version of Stockfoil's own whose record alone would be no truth.
    #[error(
        "{file} is Stockfoil's own and makes what is missing; leave it to db-migrate, which keeps what is there"
    )]
    NoBaseline {
        /// The file.
        file: String,
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
    /// The default inventory's tables are in a schema where the mapping does not look for them.
    #[error(
        "database {database:?} has {tables}, and none of them where the mapping looks: an empty inventory beside them would be taken for them; name their schema in `schemas` of a mapping (db-generate --config proposes one), or migrate an empty database"
    )]
    InventoryElsewhere {
        /// The database.
        database: String,
        /// The tables, with their schemas.
        tables: String,
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
    InTheWay(Vec<Finding>),
    /// There is no such thing to accept.
    #[error("--accept {0:?} is nothing that can be accepted; give {acceptable}", acceptable = finding::ACCEPTABLE.join(" or "))]
    NotAcceptable(String),
    /// The file of a plan can't be used.
    #[error("{file} is no plan of migrate-org: {reason}; make one with --plan-out")]
    NoPlan {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A plan says all that is asked for.
    #[error(
        "--plan runs what its file says; leave out the flags that say what to do, or make a plan of them (--plan-out)"
    )]
    PlanAlone,
    /// Something else would be done than what was planned.
    #[error(
        "nothing was changed, since the database is not what it was when the plan was made: the step {step:?} {how}; make a plan anew (--plan-out), read it, and run that"
    )]
    OtherPlan {
        /// The first step that is not as planned.
        step: String,
        /// What is the matter with it.
        how: &'static str,
    },
    /// No step has the title that `--until` gives.
    #[error("there is no step {until:?}, or several begin so; {hint}")]
    NoStep {
        /// What was given.
        until: String,
        /// What to give.
        hint: String,
    },
    /// `--only` names no tenant table.
    #[error("{table:?} is no tenant table of the mapping; {hint}")]
    NoTenantTable {
        /// What was given.
        table: String,
        /// What to give.
        hint: String,
    },
    /// `--only` is of the way there.
    #[error("--only goes with expanding and with --contract; --finalize and --rollback are of all tables")]
    OnlyForward,
    /// Isolation is a part of finalizing.
    #[error("--isolate goes with --finalize, or with --rollback to take only isolation back")]
    IsolateAlone,
    /// Others were in the way of a step for too long.
    #[error(
        "{step}: waited {seconds} s for {blockers}; run again when they have ended, which goes on from here, or give a longer --lock-wait"
    )]
    LockWait {
        /// The step.
        step: String,
        /// How long, in seconds.
        seconds: u64,
        /// Who.
        blockers: String,
    },
    /// The role sees no replicas.
    #[error(
        "--max-replica-lag needs to see how far replicas are; GRANT pg_read_all_stats (or pg_monitor) to this role, or leave it out"
    )]
    LagHidden,
    /// The default can't be ended before the migration is over.
    #[error("migrate-org is not over ({step}); run migrate-org --contract first")]
    NotMigrated {
        /// What is missing.
        step: String,
    },
    /// Rows that a fill left as they were, though the server refused nothing.
    #[error(
        "rows of {tables} keep no organization, though it was given to them: {}; let it pass an UPDATE of that column, or disable it (ALTER TABLE ... DISABLE TRIGGER) while this runs, and run it again, which goes on from here",
        match keepers.as_slice() {
            [] => "something keeps them as they are".to_owned(),
            keepers => format!("look at {}", keepers.join(", ")),
        }
    )]
    NotFilled {
        /// The tables.
        tables: String,
        /// The triggers that may keep them.
        keepers: Vec<String>,
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
    /// The balances were made under another mapping.
    #[error(
        "{table} was made for another mapping ({how}); put the mapping back as it was, or run migrate-balance --rollback --yes, then migrate-balance and backfill-balances, which compute its rows again"
    )]
    BalancesOfAnotherMapping {
        /// The table.
        table: String,
        /// What it lacks.
        how: String,
    },
}

impl MigrationError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            MigrationError::NoSuchVersion(_)
            | MigrationError::NoBaseline { .. }
            | MigrationError::ForeignFile { .. }
            | MigrationError::RunByOthers { .. }
            | MigrationError::BadName(_)
            | MigrationError::NotAcceptable(_)
            | MigrationError::IsolateAlone
            | MigrationError::OnlyForward
            | MigrationError::PlanAlone
            | MigrationError::NoPlan { .. }
            | MigrationError::NoStep { .. }
            | MigrationError::NoTenantTable { .. }
            | MigrationError::DefaultOrganization(_) => Failure::Usage,
            _ => Failure::Work,
        }
    }
}

/// One finding in one sentence, several in a list.
fn listed(findings: &[Finding]) -> String {
    match findings {
        [finding] => finding.to_string(),
        findings => {
            let lines: Vec<String> = findings.iter().map(|finding| format!("\n  - {finding}")).collect();
            format!("{} things stand in the way:{}", findings.len(), lines.concat())
        }
    }
}
