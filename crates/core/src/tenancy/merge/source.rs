//! The organization that ends: its keys, its deactivation, and who still writes for it.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::{
    super::{TenancyError, moves::as_organization},
    Keys, Merge, closings,
};
use crate::{
    Error, catalog, db::Context as _, history::RunId, model::Model, org_id::OrgId, progress::Progress,
    sql::Fragment,
};

/// How long transactions that asked for the organization before are waited for.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How often they are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many keys it has that are not revoked.
pub(super) async fn live_keys(session: &mut PgConnection, model: &Model, from: &OrgId) -> Result<i64, Error> {
    let count = model
        .render("SELECT count(*) FROM {api_keys} WHERE org_id = $1::text::{org.type} AND revoked_at IS NULL");
    let keys = sqlx::query_scalar(count.sql()).bind(from).fetch_one(session).await;
    Ok(keys.context("count the API keys")?)
}

/// What the operator should know before: what does not move.
pub(super) async fn warnings(
    session: &mut PgConnection,
    model: &Model,
    from: &OrgId,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let organizations = std::slice::from_ref(&model.organizations);
    for reference in catalog::references(session, organizations).await? {
        let table = &reference.child_table;
        let is_known = model.tenant_tables.contains(table) || *table == model.api_keys;
        if is_known || *table == model.balances.table || table.schema.as_str() == "stockfoil" {
            continue;
        }
        let [(column, _)] = reference.columns.as_slice() else { continue };
        let more: [(&str, &dyn Fragment); 2] = [("child", table), ("column", column)];
        let count = model
            .render_with("SELECT count(*) FROM {child} AS c WHERE c.{column} = $1::text::{org.type}", &more);
        let rows: i64 = sqlx::query_scalar(count.sql())
            .persistent(false)
            .bind(from)
            .fetch_one(&mut *session)
            .await
            .context(format!("count the rows of {}", table.plain()))?;
        if rows > 0 {
            let (table, key) = (table.plain(), reference.name.as_str());
            warnings.push(format!(
                "{rows} rows of {table} (foreign key {key}) name {from} and stay, since that table is not tenant-scoped; name it in [tenancy] tables and run migrate-org, or give them to the other organization yourself"
            ));
        }
    }
    Ok(warnings)
}

/// Deactivates the organization, revokes or moves its keys, gives away what was closed, and records all that, in one
/// transaction.
pub(super) async fn end(
    session: &mut PgConnection,
    model: &Model,
    merge: &Merge,
    run: RunId,
) -> Result<(), Error> {
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    match end_in(&mut transaction, model, merge, run).await {
        Err(error) if error.gave_way() => {
            return Err(TenancyError::OrganizationLocked(merge.from.clone()).into());
        }
        ended => ended?,
    }
    transaction.commit().await.context("deactivate the organization")?;
    Ok(())
}

async fn end_in(
    transaction: &mut PgConnection,
    model: &Model,
    merge: &Merge,
    run: RunId,
) -> Result<(), Error> {
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    as_organization(transaction, Some(merge.from.as_str())).await?;
    let deactivate = model.render(
        "UPDATE {organizations} SET is_active = false, updated_at = now() WHERE id = $1::text::{org.type} AND is_active",
    );
    sqlx::query(deactivate.sql())
        .bind(&merge.from)
        .execute(&mut *transaction)
        .await
        .context("deactivate the organization")?;
    let keys = match merge.keys {
        Keys::Revoke => model.render(
            "UPDATE {api_keys} SET revoked_at = now() WHERE org_id = $1::text::{org.type} AND revoked_at IS NULL AND $2::text IS NOT NULL
             RETURNING key_id",
        ),
        Keys::Move => model.render(
            "UPDATE {api_keys} SET org_id = $2::text::{org.type} WHERE org_id = $1::text::{org.type} AND revoked_at IS NULL
             RETURNING key_id",
        ),
    };
    let keys: Vec<String> = sqlx::query_scalar(keys.sql())
        .bind(&merge.from)
        .bind(&merge.into)
        .fetch_all(&mut *transaction)
        .await
        .context("end the API keys")?;
    closings::give(transaction, merge, run).await?;
    sqlx::query(
        "UPDATE stockfoil.run SET summary = jsonb_set(summary, '{key_ids}', coalesce(summary -> 'key_ids', '[]') || to_jsonb($2::text[])) WHERE id = $1",
    )
    .bind(run)
    .bind(keys)
    .execute(transaction)
    .await
    .context("record the API keys in stockfoil.run")?;
    Ok(())
}

/// Waits until transactions are over that may have found the organization active; says so where they go on for long.
pub(super) async fn wait(
    session: &mut PgConnection,
    model: &Model,
    from: &OrgId,
    progress: &dyn Progress,
) -> Result<Option<String>, Error> {
    let organizations = model.organizations.to_string();
    let mut before: Vec<String> = sqlx::query_scalar(include_str!("readers.sql"))
        .bind(&organizations)
        .fetch_all(&mut *session)
        .await
        .context("look for transactions that read the organization")?;
    let since = Instant::now();
    if !before.is_empty() {
        let transactions = before.len();
        progress
            .note(&format!("waiting for {transactions} transactions that read {from} while it was active"));
    }
    while !before.is_empty() && since.elapsed() < WAIT_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        before = sqlx::query_scalar(
            "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE virtualtransaction = ANY ($1)",
        )
        .bind(&before)
        .fetch_all(&mut *session)
        .await
        .context("look for transactions that read the organization")?;
    }
    Ok(still_open(before.len(), from))
}

/// Whether transactions are open that read organizations before this one was deactivated, where it is; says so.
pub(super) async fn open(
    session: &mut PgConnection,
    model: &Model,
    from: &OrgId,
) -> Result<Option<String>, Error> {
    let open: i64 = sqlx::query_scalar(model.render(include_str!("open.sql")).sql())
        .bind(model.organizations.to_string())
        .bind(from)
        .fetch_one(session)
        .await
        .context("look for transactions that read the organization")?;
    Ok(still_open(usize::try_from(open).unwrap_or(usize::MAX), from))
}

fn still_open(transactions: usize, from: &OrgId) -> Option<String> {
    (transactions > 0).then(|| {
        format!(
            "{transactions} transactions that began before {from} was deactivated are still open, and may write rows of it; run this again when they have ended"
        )
    })
}

/// How it stood with the organization before a run.
#[derive(sqlx::FromRow)]
struct Before {
    from_org: String,
    into_org: String,
    was_active: bool,
    /// Whether its keys were revoked, and did not go with its rows.
    revoked: bool,
    key_ids: serde_json::Value,
}

/// Makes the organization active again and gives it back its keys, as they were before `run`; once, by the run `by`, since what
/// is revoked or deactivated afterwards is so for another reason.
pub(super) async fn restore(
    session: &mut PgConnection,
    model: &Model,
    run: i64,
    by: RunId,
) -> Result<(), Error> {
    let found: Option<Before> = sqlx::query_as(
        "SELECT summary -> 'merge' ->> 'from' AS from_org, summary -> 'merge' ->> 'into' AS into_org,
                (summary ->> 'was_active')::boolean AS was_active, summary -> 'merge' ->> 'keys' = 'revoke' AS revoked,
                summary -> 'key_ids' AS key_ids
         FROM stockfoil.run WHERE id = $1 AND command = 'org-merge' AND summary ? 'merge' AND NOT summary ? 'restored_by'",
    )
    .bind(run)
    .fetch_optional(&mut *session)
    .await
    .context("read the record of the run")?;
    let Some(Before { from_org: from, into_org: into, was_active, revoked, key_ids }) = found else {
        return Ok(());
    };
    let keys: Vec<String> = serde_json::from_value(key_ids).unwrap_or_default();
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    as_organization(&mut transaction, Some(&from)).await?;
    if was_active {
        let activate = model.render(
            "UPDATE {organizations} SET is_active = true, updated_at = now() WHERE id = $1::text::{org.type} AND NOT is_active",
        );
        sqlx::query(activate.sql())
            .bind(&from)
            .execute(&mut *transaction)
            .await
            .context("activate the organization")?;
    }
    let back = model.render(
        "UPDATE {api_keys} SET org_id = $1::text::{org.type}, revoked_at = CASE WHEN $4 THEN NULL ELSE revoked_at END
         WHERE key_id = ANY ($3) AND org_id IN ($1::text::{org.type}, $2::text::{org.type})",
    );
    sqlx::query(back.sql())
        .bind(&from)
        .bind(&into)
        .bind(keys)
        .bind(revoked)
        .execute(&mut *transaction)
        .await
        .context("give the API keys back")?;
    sqlx::query("UPDATE stockfoil.run SET summary = summary || jsonb_build_object('restored_by', $2::bigint) WHERE id = $1")
        .bind(run)
        .bind(by)
        .execute(&mut *transaction)
        .await
        .context("record that the merge was taken back")?;
    transaction.commit().await.context("give the organization back what it had")?;
    Ok(())
}
