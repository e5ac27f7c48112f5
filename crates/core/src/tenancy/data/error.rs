//! Why rows could not be given to an organization, or back.

use super::{
    super::{OrgId, TenancyError},
    ConditionError,
};
use crate::{Error, Failure};

/// Why rows could not be given to an organization.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A condition does not hold.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A condition's literal is no value of its column.
    #[error("a value of the selection does not fit its column ({0}); correct it")]
    Literal(String),
    /// Nothing is selected.
    #[error("say what to move by --locations, --items, --rows or --ids-file, or take a run back by --undo")]
    NoSelection,
    /// Nobody gets the rows.
    #[error("say whose the rows become by --org-id, or take a run back by --undo")]
    NoOrganization,
    /// `--rows` does not say which table.
    #[error("{0:?} does not say of which table; write such as: count_sheets where status = \"draft\"")]
    NoTable(String),
    /// A batch can't have no rows.
    #[error("a batch of 0 rows does nothing; give --batch-rows 1 or more")]
    EmptyBatch,
    /// There is nothing to move.
    #[error("--from and --org-id are both {0}; name two organizations")]
    SameOrganization(OrgId),
    /// A table is not tenant-scoped, or not there.
    #[error("there is no tenant-scoped table {table:?}{}", .nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name:?}?")))]
    UnknownTable {
        /// The name that was given.
        table: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
    /// Several tables have the name.
    #[error("several tenant-scoped tables are called {0:?}; write its schema before it")]
    AmbiguousTable(String),
    /// The ledger does not say where a flag's table is.
    #[error(
        "the ledger refers to no table of {what} by a foreign key, so {flag} can't be used; name the table by --rows"
    )]
    NoSuchParent {
        /// Items or locations.
        what: &'static str,
        /// The flag.
        flag: &'static str,
    },
    /// People are moved otherwise.
    #[error("{0} holds people, who are moved by users-assign")]
    People(String),
    /// A table has no primary key.
    #[error("table {0} has no primary key, so what moves can't be remembered; give it one")]
    NoKey(String),
    /// Rows that were named are not there.
    #[error(
        "{table} has no row {} in {from} or {to}; nothing was changed, correct the list of ids", super::super::listed(.ids)
    )]
    UnknownRows {
        /// The table.
        table: String,
        /// The organization that gives.
        from: OrgId,
        /// The organization that gets.
        to: OrgId,
        /// The ids.
        ids: Vec<String>,
    },
    /// Rows of a table can't be copied.
    #[error("rows of {table} can't be copied: {reason}; select other rows, so that none of them is shared")]
    NotCopyable {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// A foreign key does not let related rows be of two organizations, not even within a transaction.
    #[error(
        "foreign key {key} of {table} holds the organization and is not deferrable, so related rows can't move one after the other; make it deferrable (ALTER TABLE ... ALTER CONSTRAINT ... DEFERRABLE), then run again"
    )]
    NotDeferrable {
        /// The foreign key.
        key: String,
        /// Its table.
        table: String,
    },
    /// A foreign key does not let a row of the organization mention somebody of another one.
    #[error(
        "{rows} rows of {table} mention people outside {org}, which the foreign key {key} forbids; nothing was changed: move those people first (users-assign), or set its column to NULL in these rows"
    )]
    Mentions {
        /// How many.
        rows: i64,
        /// The table.
        table: String,
        /// The organization.
        org: OrgId,
        /// The foreign key.
        key: String,
    },
    /// There is no such run.
    #[error(
        "there is no run {0} that gave rows to another organization; stockfoil.move lists those that did"
    )]
    NoSuchRun(i64),
    /// The run is another command's.
    #[error("run {run} is one of {command}; undo it by that command")]
    OtherCommand {
        /// The run.
        run: i64,
        /// Its command.
        command: String,
    },
    /// The run was taken back.
    #[error("run {run} was put back already, by run {by}; there is nothing left to undo")]
    UndoneAlready {
        /// The run.
        run: i64,
        /// The run that did.
        by: i64,
    },
}

impl DataError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            Self::NoKey(_) | Self::NotDeferrable { .. } | Self::Mentions { .. } => Failure::Work,
            _ => Failure::Usage,
        }
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        TenancyError::Data(error).into()
    }
}
