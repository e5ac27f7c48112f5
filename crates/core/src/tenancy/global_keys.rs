//! Keys that stay unique across organizations when the unique keys have become keys per organization.
//!
//! PostgreSQL has no key per organization for an exclusion constraint that is there, and a primary key stays what rows are
//! referred to by. Where people give the values, one organization's keep another from using them.

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    model::Model,
};

/// A key that stays unique across organizations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GlobalKey {
    /// `table.name`, as `global_keys` takes it.
    pub(crate) name: String,
    /// What kind of key it is.
    pub(crate) kind: String,
}

/// What an operator who knows of a key says of it.
pub(crate) const REMEDY: &str =
    "put the organization into it, or name it in [tenancy] global_keys where that is meant";

impl GlobalKey {
    /// What it means for a second organization.
    pub(crate) fn meaning(&self) -> String {
        format!(
            "is {}, and stays as it is: two organizations can't use the same values, and one learns that another has them",
            self.kind
        )
    }
}

impl std::fmt::Display for GlobalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}; {REMEDY}", self.name, self.meaning())
    }
}

/// Those of the tenant tables, but for the ones that the operator knows of; and the names of the configuration that none
/// has.
///
/// # Errors
/// Database errors.
pub(crate) async fn unknown(
    connection: &mut PgConnection,
    model: &Model,
) -> Result<(Vec<GlobalKey>, Vec<String>), DbError> {
    let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("global_keys.sql"))
        .bind(tables)
        .bind(model.org_column.as_str())
        .fetch_all(connection)
        .await
        .context("look for keys that stay unique across organizations")?;
    let known = &model.global_keys;
    let none = known.iter().filter(|name| !rows.iter().any(|(key, _)| key == *name)).cloned().collect();
    let keys = rows.into_iter().filter(|(name, _)| !known.contains(name));
    Ok((keys.map(|(name, kind)| GlobalKey { name, kind }).collect(), none))
}
