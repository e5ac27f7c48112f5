//! Rows that can't arrive in an organization, because it has one of the same key.

use serde::Serialize;
use sqlx::PgConnection;

use super::super::{moves::Graph, unique::KeyParts};
use crate::{
    Error,
    db::Context as _,
    model::Model,
    sql::{Fragment, Statement},
};

/// A row that can't arrive, because another one has the same key there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: String,
    /// What a person knows it by.
    pub label: String,
    /// The unique constraint or index.
    pub unique_key: String,
    /// The primary key of the row that has it.
    pub other_key: String,
}

/// The rows of a table that `arrives` says to come to `org`, and can't.
pub(super) async fn find(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    place: usize,
    arrives: &Statement,
    org: &str,
) -> Result<Vec<Conflict>, Error> {
    let table = &graph.tables[place];
    let label = table.label(model, "t");
    let mut found = Vec::new();
    for key in table.unique_keys.iter().filter(|key| key.has_column(&model.org_column)) {
        let parts = KeyParts::of(model, key);
        let (moved, other) = (parts.of_row("moved"), parts.of_row("other"));
        let more: [(&str, &dyn Fragment); 7] = [
            ("t.label", &label),
            ("unique", &parts.selected),
            ("arrives", arrives),
            ("predicate", &parts.predicate),
            ("moved", &moved),
            ("other", &other),
            ("same", &parts.same),
        ];
        let statement = graph.of_table(model, place, include_str!("conflicts.sql"), &more);
        let rows: Vec<(String, String, String)> = sqlx::query_as(statement.sql())
            .persistent(false)
            .bind(org)
            .fetch_all(&mut *session)
            .await
            .context(format!("look for rows that share the key {}", key.name.as_str()))?;
        found.extend(rows.into_iter().map(|(row, label, other_key)| Conflict {
            table: table.name.plain(),
            key: row,
            label,
            unique_key: key.name.as_str().to_owned(),
            other_key,
        }));
    }
    Ok(found)
}
