//! Why rows could not be given to an organization, or back.

use super::super::{TenancyError, condition::ConditionError};
use crate::{Error, Failure, org_id::OrgId};

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
    /// Nobody is merged.
    #[error(
        "say which organization becomes a part of which: org-merge FROM INTO, or take a run back by --undo"
    )]
    NoMerge,
    /// An organization is to become a part of itself.
    #[error("{0} can't become a part of itself; name two organizations")]
    MergedWithItself(OrgId),
    /// The default organization takes what names none, and can't end.
    #[error(
        "{0} is the default organization, which takes what names none, and can't become a part of another; move its people and data (users-assign, data-assign), or merge the other one into it"
    )]
    MergedDefault(OrgId),
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
    #[error(
        "{0} holds people, who are moved by users-assign, or with the rows that refer to them by --with-people"
    )]
    People(String),
    /// The database has no people among the tenant-scoped tables.
    #[error("the mapping names no tenant-scoped table of people; name it in [tenancy.users] first")]
    NoPeople,
    /// A table has no primary key.
    #[error("table {0} has no primary key, so what moves can't be remembered; give it one")]
    NoKey(String),
    /// Rows that were named are not there.
    #[error(
        "{table} has no row {} in {from} or {to}; nothing was changed, correct the list of ids", crate::tenancy::listed(.ids)
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
        "{rows} rows of {table} mention people outside {org}, which the foreign key {key} forbids; nothing was changed: let them move together (--with-people), move those people first (users-assign), or set its column to NULL in these rows"
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
    /// Rows refer to rows of an adopted table of balances that go with their entries.
    #[error(
        "{rows} refer to rows of {balances} that go to {org} with their entries, and would stay behind; nothing was changed: select them too (--rows), or move them first"
    )]
    LeftBehind {
        /// How many of which tables.
        rows: String,
        /// The table of balances.
        balances: String,
        /// The organization that gets.
        org: String,
    },
    /// Rows of an adopted table of balances and rows that they refer to would be of two organizations.
    #[error(
        "rows of {balances} and rows that they refer to would be of two organizations, {from} and {to}: {rows}; nothing was changed: select what lets both go or both stay, or set the column that refers to NULL in these rows"
    )]
    Apart {
        /// How many, by which foreign keys.
        rows: String,
        /// The table of balances.
        balances: String,
        /// The organization that gives.
        from: String,
        /// The organization that gets.
        to: String,
    },
    /// Rows that nobody asked for would have got another organization.
    #[error(
        "moving rows of {table} changed whose other rows of {others} are, or deleted some: a trigger, a rule or a foreign key with ON UPDATE took them along; those rows were left as they were, end it for this run, or move those rows with these"
    )]
    Carried {
        /// The table whose rows move.
        table: String,
        /// The tables whose rows went along.
        others: String,
    },
    /// Rows beside those that move were written, which only one snapshot can show to be as they were.
    #[error(
        "moving rows of {0} wrote other rows too, and whether these kept their organization was not compared; run it again"
    )]
    Uncompared(String),
    /// Each time that what a move writes was compared, somebody else had written it meanwhile.
    #[error(
        "moving rows of {0} writes other rows too, and others wrote those each time that they were compared; nothing more was moved, run it again when less is written"
    )]
    Overtaken(String),
    /// A run ended in the middle.
    #[error("run {run} ended in the middle; {rows} by then, which stay so: {next}")]
    Partial {
        /// The run.
        run: i64,
        /// What had become of how many rows.
        rows: String,
        /// What the operator can do.
        next: String,
        /// Why it ended.
        #[source]
        cause: Box<Error>,
    },
    /// The server does not say what a transaction writes.
    #[error(
        "the server does not count what is written (track_counts is off), so nothing shows what a move takes along; let a superuser turn it on, or run this as one"
    )]
    NotCounted,
    /// The run's records are not of primary keys.
    #[error(
        "run {run} recorded people by {column}, which is not their primary key, so who they were can't be told for sure; nothing was changed, move them back by users-assign --org-id"
    )]
    OtherKeys {
        /// The run.
        run: i64,
        /// The column.
        column: String,
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
            Self::Partial { cause, .. } => cause.failure(),
            Self::NoKey(_)
            | Self::NotDeferrable { .. }
            | Self::Mentions { .. }
            | Self::LeftBehind { .. }
            | Self::Apart { .. }
            | Self::Carried { .. }
            | Self::Uncompared(_)
            | Self::Overtaken(_)
            | Self::NotCounted
            | Self::OtherKeys { .. } => Failure::Work,
            _ => Failure::Usage,
        }
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        TenancyError::Data(error).into()
    }
}
