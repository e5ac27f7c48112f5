//! Foreign keys that are there and don't hold.

use sqlx::PgConnection;

use super::Checks;
use crate::{
    Error,
    db::{Context as _, DbError},
    migration::isolation,
    model::Model,
};

/// The foreign keys between `tables` that name the organization and are not asked of every row: each with what was found
/// and what mends it.
pub(super) async fn unenforced(
    session: &mut PgConnection,
    model: &Model,
    tables: &[String],
) -> Result<Vec<(String, String, String)>, DbError> {
    sqlx::query_as(include_str!("unenforced.sql"))
        .bind(tables)
        .bind([model.org_column.as_str(), "org_id"])
        .fetch_all(session)
        .await
        .context("look whether the foreign keys hold")
}

impl Checks {
    /// Those that pair the organizations of two tables; what refers to the organizations alone is judged with its table.
    pub(super) async fn enforced(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        let guarded = isolation::guarded(session, model).await?;
        let tables = guarded.iter().filter(|guarded| guarded.table != model.organizations);
        let tables: Vec<String> = tables.map(|guarded| guarded.table.to_string()).collect();
        for (key, evidence, remedy) in unenforced(session, model, &tables).await? {
            self.add("foreign_key", key.replace(" public.", " "), false, evidence, &remedy);
        }
        Ok(())
    }
}
