//! The tables of organizations and of their API keys, one statement an object.

use super::OrgId;
use crate::{
    model::Model,
    sql::{Literal, Statement},
};

/// Creates the table of organizations.
pub fn create_organizations(model: &Model) -> Statement {
    model.render(include_str!("create_organizations.sql"))
}

/// Creates the table of API keys' hashes; the table of organizations is there.
pub fn create_api_keys(model: &Model) -> Statement {
    model.render(include_str!("create_api_keys.sql"))
}

/// Inserts the organization that existing rows are given to; one that is there already is left as it is.
pub fn insert_default(model: &Model, id: &OrgId, name: &str) -> Statement {
    model.render_with(
        include_str!("insert_default.sql"),
        &[("id", &Literal::new(id.as_str())), ("name", &Literal::new(name))],
    )
}
