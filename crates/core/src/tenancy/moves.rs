//! Rows that change their organization: what refers to what, what a move must leave alone, and its record, `stockfoil.move`.

mod error;
mod graph;
pub(super) mod guard;

use sqlx::PgConnection;

pub use error::DataError;
pub(super) use graph::{Edge, Graph, Table, refers};

use crate::{
    Error,
    db::{Context as _, DbError},
    history::RunId,
    sql::QualifiedName,
};

/// Makes the transaction organization `org`'s, or nobody's, for the application's own triggers.
pub(super) async fn as_organization(connection: &mut PgConnection, org: Option<&str>) -> Result<(), DbError> {
    sqlx::query("SELECT set_config('app.org_id', coalesce($1, ''), true)")
        .bind(org)
        .execute(connection)
        .await
        .context("set the organization")?;
    Ok(())
}

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

/// What becomes of `result` where `run` failed after some of its work was committed: the error says how much that is, and what
/// comes `next`.
pub(super) async fn partial<R>(
    connection: &mut PgConnection,
    run: RunId,
    result: Result<R, Error>,
    next: impl FnOnce() -> String,
) -> Result<R, Error> {
    let Err(cause) = result else { return result };
    let counted: Result<(i64, i64, i64), sqlx::Error> =
        sqlx::query_as(include_str!("moves/committed.sql")).bind(run).fetch_one(connection).await;
    // What can't be counted is no reason to hide why the run failed.
    let (moved, copied, back) = counted.unwrap_or_default();
    let parts = [(moved, "moved"), (copied, "copied"), (back, "put back")];
    let done: Vec<String> = parts
        .iter()
        .filter(|(rows, _)| *rows > 0)
        .map(|(rows, what)| format!("{rows} rows were {what}"))
        .collect();
    if done.is_empty() {
        return Err(cause);
    }
    Err(DataError::Partial { run: run.0, rows: done.join(" and "), next: next(), cause: Box::new(cause) }
        .into())
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
