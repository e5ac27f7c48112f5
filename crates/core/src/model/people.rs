//! People, and the organizations that they are in.

use crate::sql::{Ident, QualifiedName, Statement};

/// The table of people and its columns.
#[derive(Debug, Clone)]
pub struct Users {
    /// The table.
    pub table: QualifiedName,
    /// A user's primary key.
    pub id: Ident,
    /// The key's text.
    pub id_text: Statement,
    /// The address that a user is known by.
    pub email: Statement,
}

/// The table of who is in which organization.
#[derive(Debug, Clone)]
pub struct Memberships {
    /// The table.
    pub table: QualifiedName,
    /// What refers to a user's id.
    pub user: Ident,
    /// What refers to an organization's id.
    pub organization: Ident,
}
