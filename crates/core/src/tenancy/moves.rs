//! The record of rows that were given to another organization: `stockfoil.move`.

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    history::RunId,
    sql::QualifiedName,
};

/// Records that `run` gave the rows of `table` with these keys to `to`.
pub(super) async fn record(
    connection: &mut PgConnection,
    run: RunId,
    table: &QualifiedName,
    from: Option<&str>,
    to: Option<&str>,
    keys: &[String],
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(run)
    .bind(table.schema.as_str())
    .bind(table.name.as_str())
    .bind(from)
    .bind(to)
    .bind(keys)
    .execute(connection)
    .await
    .context("record the moved rows in stockfoil.move")?;
    Ok(())
}

/// Records that `run` put back what the record `id` says.
pub(super) async fn mark_undone(connection: &mut PgConnection, id: i64, run: RunId) -> Result<(), DbError> {
    sqlx::query("UPDATE stockfoil.move SET undone_run = $2 WHERE id = $1")
        .bind(id)
        .bind(run)
        .execute(connection)
        .await
        .context("record what was put back in stockfoil.move")?;
    Ok(())
}
