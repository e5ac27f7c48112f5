//! Taking a live single-tenant database to many tenants: versioned SQL files, and online steps that the catalog
//! knows to be done or not.

pub mod all;
pub mod balance;
pub mod org;
pub mod runner;
pub mod step;
pub mod versioned;

use std::path::PathBuf;

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
    /// The organization's column is there with another type.
    #[error(
        "{table}.{column} has type {found}, not {wanted}; rename it, convert it, or say so in stockfoil.toml (tenancy.org_type), before migrating"
    )]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The mapping's.
        wanted: &'static str,
    },
    /// A unique key is not valid.
    #[error(
        "unique index {key} of {table} is INVALID; finish or drop it (DROP INDEX CONCURRENTLY), then migrate"
    )]
    InvalidKey {
        /// The table.
        table: String,
        /// The index.
        key: String,
    },
    /// A foreign key refers to a unique key that has to go.
    #[error(
        "unique key {key} of {table} must become one per organization, but foreign keys refer to it: {by}; point them at the primary key first"
    )]
    KeyReferenced {
        /// The table.
        table: String,
        /// The key.
        key: String,
        /// The foreign keys.
        by: String,
    },
    /// A unique key that has to go is the replica identity.
    #[error(
        "unique key {key} of {table} is its replica identity; give the table another (ALTER TABLE ... REPLICA IDENTITY DEFAULT) first"
    )]
    ReplicaIdentity {
        /// The table.
        table: String,
        /// The key.
        key: String,
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
    /// The connection goes through a pooler in transaction mode.
    #[error("the connection goes through a pooler in transaction mode; connect to the server itself")]
    Pooler,
}

impl MigrationError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            MigrationError::NoSuchVersion(_)
            | MigrationError::BadName(_)
            | MigrationError::DefaultOrganization(_) => Failure::Usage,
            _ => Failure::Work,
        }
    }
}
