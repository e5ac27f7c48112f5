//! What Stockfoil itself keeps of an organization: findings, checkpoints, closed periods, what was moved.

use sqlx::PgConnection;

use super::super::archive::{Kind, TableCount};
use crate::{Error, catalog, db::Context as _, history::RunId, model::Model, org_id::OrgId};

/// A table of Stockfoil's own, and the statement that deletes organization `$1`'s rows of it.
type Record = (&'static str, &'static str);

/// Closed periods first: without them no entry that goes is taken for one that was changed later.
pub(super) const CLOSED: Record =
    ("stockfoil.closing_balance", "DELETE FROM stockfoil.closing_balance WHERE org_id = $1");

/// The others.
const RECORDS: [Record; 8] = [
    ("stockfoil.balance_queue", "DELETE FROM stockfoil.balance_queue WHERE org = $1::text::{org.type}"),
    ("stockfoil.dirty_key", "DELETE FROM stockfoil.dirty_key WHERE org = $1::text::{org.type}"),
    ("stockfoil.checkpoint_sum", "DELETE FROM stockfoil.checkpoint_sum WHERE org = $1::text::{org.type}"),
    ("stockfoil.checkpoint_total", "DELETE FROM stockfoil.checkpoint_total WHERE org = $1::text::{org.type}"),
    ("stockfoil.finding", "DELETE FROM stockfoil.finding WHERE org_id = $1"),
    ("stockfoil.backfill", "DELETE FROM stockfoil.backfill WHERE org_id = $1"),
    ("stockfoil.move", "DELETE FROM stockfoil.move WHERE $1 IN (to_org, from_org)"),
    (
        "stockfoil.alert_state",
        "DELETE FROM stockfoil.alert_state WHERE source = 'reconcile-balances' AND key = 'balances/' || $1",
    ),
];

/// Deletes the rows of `record`, where there is such a table.
pub(super) async fn delete_one(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    (table, statement): Record,
) -> Result<Option<TableCount>, Error> {
    if !catalog::is_there(connection, table).await? {
        return Ok(None);
    }
    let deleted = sqlx::query(model.render(statement).sql())
        .bind(org)
        .execute(connection)
        .await
        .context(format!("delete the rows of {table}"))?;
    let rows = deleted.rows_affected();
    Ok((rows > 0).then(|| TableCount { table: table.to_owned(), kind: Kind::Record, rows, digest: None }))
}

/// Deletes the organization's rows of every table of Stockfoil's own, and leaves of the records of earlier runs its id alone.
pub(super) async fn delete(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    run: RunId,
) -> Result<Vec<TableCount>, Error> {
    let mut deleted = Vec::new();
    for record in RECORDS {
        deleted.extend(delete_one(connection, model, org, record).await?);
    }
    sqlx::query(include_str!("scrub.sql"))
        .bind(org)
        .bind(run)
        .execute(connection)
        .await
        .context("leave the id alone in the records of earlier runs")?;
    Ok(deleted)
}
