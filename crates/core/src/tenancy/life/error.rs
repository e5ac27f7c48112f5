//! Why an organization could not be written to a file, deleted, or brought in.

use std::path::PathBuf;

use super::super::listed;
use crate::{Failure, org_id::OrgId};

/// Why an organization could not be written to a file, deleted, or brought in.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// A file can't be written.
    #[error("{} can't be written: {source}; nothing stands there that was not there before, check the folder and the disk", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The default organization takes what names none, and can't go.
    #[error(
        "{0} is the default organization, which takes what names none, and can't be deleted; move its people and data (users-assign, data-assign)"
    )]
    DefaultOrganization(OrgId),
    /// Something stands in the way of a deletion.
    #[error("organization {org} can't be deleted: {}; nothing of it was deleted, and what to do stands with each", listed(.reasons))]
    InTheWay {
        /// The organization.
        org: OrgId,
        /// What, one by one.
        reasons: Vec<String>,
    },
    /// A deletion would change rows that are not the organization's.
    #[error(
        "deleting rows of {table} changes rows that are not organization {org}'s, in {others}; that batch was taken back: end the trigger, rule or foreign key that does, then run again, which goes on"
    )]
    Carried {
        /// The organization.
        org: OrgId,
        /// The table.
        table: String,
        /// Where other rows would have changed.
        others: String,
    },
    /// The database kept rows that it was told to delete.
    #[error(
        "the database deleted {deleted} of {chosen} rows of {table} without an error; look for triggers, rules and policies on it, then run again, which goes on"
    )]
    NotDeleted {
        /// The table.
        table: String,
        /// How many it deleted.
        deleted: u64,
        /// How many it was told to delete.
        chosen: u64,
    },
    /// Rows of the organization keep coming.
    #[error(
        "somebody goes on writing rows of organization {org} (rows of {table} came while it was deleted); end that, then run again, which goes on"
    )]
    StillWritten {
        /// The organization.
        org: OrgId,
        /// Where.
        table: String,
    },
    /// A file can't be read.
    #[error("{} can't be read: {source}; correct the path, or its rights", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error(
        "{}, line {line}, {reason}; the file is not what org-export wrote, nothing was changed: take another copy of it", .path.display()
    )]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// Where that is seen.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A value of the file is none of its column here.
    #[error("a value of {table} in the file does not fit its column here ({reason}); nothing was changed")]
    Value {
        /// The table.
        table: String,
        /// What the server says.
        reason: String,
    },
    /// The database holds other rows than it was given.
    #[error(
        "the database made other rows of {table} than it was given ({what}); nothing was changed: look for triggers and rules on it, and where they may, name the columns by --accept-changed TABLE.COLUMN"
    )]
    NotAsGiven {
        /// The table.
        table: String,
        /// What is different.
        what: String,
    },
    /// A mask is of no column that may be masked.
    #[error(
        "the file brings no column {column} into table {table} that may be masked; nothing was changed: correct --mask, and leave keys and the organization's column out"
    )]
    NoMask {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Nobody kept the balances.
    #[error(
        "{keys} balances of organization {org} are not what its entries add up to, so the ledger's triggers do not keep them; nothing was changed: run migrate-balance and validate-migration first"
    )]
    BalancesNotKept {
        /// The organization.
        org: OrgId,
        /// How many.
        keys: i64,
    },
    /// A batch of nothing.
    #[error("a batch of 0 rows does nothing; give --batch-rows 1 or more")]
    EmptyBatch,
}

impl LifeError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            Self::DefaultOrganization(_)
            | Self::NoMask { .. }
            | Self::EmptyBatch
            | Self::Read { .. }
            | Self::NotWhole { .. } => Failure::Usage,
            _ => Failure::Work,
        }
    }
}
