//! Whether the ledger has room for what it is to get.

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    migration::finding::Finding,
    model::{Model, TX},
};

/// That the ledger has not room for every column that it is to get: a dropped one counts, and no copy of the schema has those.
pub(super) async fn columns_max(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Option<Finding>, DbError> {
    let mut wanted = vec![model.org_column.as_str()];
    wanted.extend(model.ledger.is_incremental.then_some(TX));
    let lacks: Option<i64> = sqlx::query_scalar(include_str!("columns_max.sql"))
        .bind(model.ledger.table.to_string())
        .bind(wanted)
        .fetch_optional(session)
        .await
        .context("count the ledger's columns")?;
    Ok(lacks.map(|lacks| Finding {
        check: "columns_max",
        object: model.ledger.table.plain(),
        detail: format!(
            "has had so many columns of the 1600 that a table may have, those that were dropped counted, that it takes no {lacks} more"
        ),
        remedy: "copy its rows into a new table, in which the dropped columns don't count".into(),
    }))
}
