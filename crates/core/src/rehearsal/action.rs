//! What is tried: by whom, and how.

use crate::sql::{Ident, Statement};

/// What is tried.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// In words, such as `INSERT into items`.
    pub(super) what: String,
    pub(super) kind: Kind,
    /// Who does it; none: the copy's superuser.
    pub(super) role: Option<Ident>,
    /// Ways to do it. The first that works counts.
    pub(super) ways: Vec<Vec<Action>>,
}

/// What a trial is of: some fail afterwards because the migration means them to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An INSERT, which names no organization where there was no column for one.
    Insert,
    /// ON CONFLICT by a key.
    OnConflict,
    /// COPY without a list of columns.
    CopyByPosition,
    /// A read of the table of balances that the application has, or an INSERT into it; the migration fills that.
    Balance,
    /// An UPDATE; one that is about no row was not tried.
    Update,
    /// Once more with other values; where that did not work before, the first time tells of it.
    Further,
    /// Anything else.
    Other,
}

/// One thing that is done.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// A statement.
    Run(Statement),
    /// A query of one column, whose values count.
    Ask(Statement),
    /// COPY of what the second statement, another COPY, prints.
    Copy(Statement, Statement),
    /// Plans a statement that is inside of a function: `make` makes another function that does nothing else, and `call` calls that.
    Plan {
        /// What makes it.
        make: Statement,
        /// What calls it.
        call: Statement,
        /// What is planned, for a message.
        statement: Statement,
    },
}

impl Trial {
    /// As whom, behind what it is.
    pub(super) fn by(&self) -> String {
        self.role.as_ref().map_or_else(String::new, |role| format!(" as {}", role.as_str()))
    }
}
