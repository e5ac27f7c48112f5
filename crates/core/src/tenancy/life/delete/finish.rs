//! The rows in passes, and at last, in one transaction, the organization itself with its keys, Stockfoil's records of it, and
//! the certificate.

use sqlx::{Connection as _, PgConnection};

use super::{
    super::{
        super::{TenancyError, moves::as_organization},
        LifeError,
        archive::Kind,
        whole::{Table, Whole},
    },
    OrgDeleted, State,
    batches::{PASSES_MAX, Work},
    records,
};
use crate::{
    Error,
    db::{Context as _, Db, pause_after_giving_way},
    history,
    model::Model,
    org_id::OrgId,
    report::Report as _,
};

/// So often the last transaction is tried when others hold what it needs.
const ATTEMPTS_MAX: u32 = 100;

/// Deletes everything, and says what that was.
pub(super) async fn run(
    session: &mut PgConnection,
    db: &Db,
    work: &mut Work<'_>,
    report: OrgDeleted,
) -> Result<OrgDeleted, Error> {
    // Without its closed periods no entry that goes is taken for one that was changed later.
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let closed = records::delete_one(&mut transaction, work.model, work.org, records::CLOSED).await?;
    work.records.extend(closed);
    history::note(&mut transaction, work.run, &work.note()).await?;
    transaction.commit().await.context("delete the closed periods")?;
    let mut left = String::new();
    for pass in 1..=PASSES_MAX {
        match work.pass(session).await {
            // Rows have come that refer to those that go.
            Err(error) if is_referred(&error) && pass < PASSES_MAX => continue,
            passed => passed?,
        }
        work.progress.begin("delete the organization itself", None);
        match last(session, db, work, report.clone()).await? {
            Ok(report) => {
                work.progress.finish();
                return Ok(report);
            }
            Err(table) => left = table,
        }
    }
    Err(TenancyError::from(LifeError::StillWritten { org: work.org.clone(), table: left }).into())
}

/// Whether a row could not go since another one refers to it.
fn is_referred(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("23503" | "23001"))
}

/// The last transaction; the table that has got rows meanwhile where it can't be.
async fn last(
    session: &mut PgConnection,
    db: &Db,
    work: &mut Work<'_>,
    report: OrgDeleted,
) -> Result<Result<OrgDeleted, String>, Error> {
    let (deleted, records) = (work.deleted.clone(), work.records.clone());
    let mut attempts = 0;
    loop {
        match attempt(session, db, work, report.clone()).await {
            Err(error) if error.gave_way() && attempts < ATTEMPTS_MAX => {
                (work.deleted, work.records) = (deleted.clone(), records.clone());
                attempts += 1;
                tokio::time::sleep(pause_after_giving_way()).await;
            }
            ended => return ended,
        }
    }
}

async fn attempt(
    session: &mut PgConnection,
    db: &Db,
    work: &mut Work<'_>,
    mut report: OrgDeleted,
) -> Result<Result<OrgDeleted, String>, Error> {
    let (model, whole, org) = (work.model, work.whole, work.org);
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    as_organization(&mut transaction, Some(org.as_str())).await?;
    // From here on no row can come that says that it is the organization's.
    let hold = model.render("SELECT FROM {organizations} WHERE id = $1::text::{org.type} FOR UPDATE");
    sqlx::query(hold.sql()).bind(org).execute(&mut *transaction).await.context("hold the organization")?;
    if let Some(table) = with_rows(&mut transaction, model, whole, org).await? {
        return Ok(Err(table));
    }
    if let Some(table) = referring(&mut transaction, model, whole, org).await? {
        return Ok(Err(table));
    }
    for kind in [Kind::ApiKeys, Kind::Organization] {
        for table in whole.tables.iter().filter(|table| table.kind == kind) {
            if kind == Kind::Organization {
                let more = records::delete(&mut transaction, model, org, work.run).await?;
                work.records.extend(more);
            }
            own_rows(&mut transaction, work, table).await?;
        }
    }
    (report.state, report.database) = (State::Deleted, Some(db.facts().database.clone()));
    report.set_tables(work.counts());
    let (role, session_user, deleted_at): (String, String, String) = sqlx::query_as(
        "SELECT current_user::text, session_user::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    )
    .fetch_one(&mut *transaction)
    .await
    .context("ask who deletes the organization")?;
    (report.role, report.session_user, report.deleted_at) =
        (Some(role), Some(session_user), Some(deleted_at));
    history::end(&mut transaction, work.run, report.outcome(), &serde_json::json!(report)).await?;
    transaction.commit().await.context("delete the organization")?;
    Ok(Ok(report))
}

/// The first table that has rows of the organization again.
async fn with_rows(
    transaction: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    for table in whole.tables.iter().filter(|table| matches!(table.kind, Kind::Tenant | Kind::Balances)) {
        let any = table.render(model, "SELECT EXISTS (SELECT FROM {table} AS t WHERE {is_own})", &[]);
        let has_rows: bool = sqlx::query_scalar(any.sql())
            .persistent(false)
            .bind(org)
            .fetch_one(&mut *transaction)
            .await
            .context(format!("look for rows of {}", table.name.plain()))?;
        if has_rows {
            return Ok(Some(table.name.plain()));
        }
    }
    Ok(None)
}

/// The first table beside those whose rows refer to the organization.
async fn referring(
    transaction: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    let onto = |place: usize| whole.tables[place].kind == Kind::Organization;
    let outside = whole
        .referring_from_outside()
        .filter(|edge| onto(edge.parent) && edge.child_table.schema.as_str() != "stockfoil");
    for edge in outside {
        let any = whole.of_edge(
            model,
            edge,
            "SELECT EXISTS (SELECT FROM {child} AS c JOIN {parent} AS p ON {c.refers_p} WHERE p.{p.org} = $1::text::{org.type})",
            &[],
        );
        let table = edge.child_table.plain();
        let is_referred: bool = sqlx::query_scalar(any.sql())
            .persistent(false)
            .bind(org)
            .fetch_one(&mut *transaction)
            .await
            .context(format!("look for rows of {table}"))?;
        if is_referred {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Deletes the organization's rows of `table`, and counts them.
async fn own_rows(transaction: &mut PgConnection, work: &mut Work<'_>, table: &Table) -> Result<(), Error> {
    let statement =
        table.render(work.model, "DELETE FROM {table} AS t WHERE {is_own} RETURNING {values}", &[]);
    let rows: Vec<String> = sqlx::query_scalar(statement.sql())
        .persistent(false)
        .bind(work.org)
        .fetch_all(transaction)
        .await
        .context(format!("delete the rows of {}", table.name.plain()))?;
    let digest = work.deleted.entry(table.name.plain()).or_default();
    rows.iter().for_each(|row| digest.add(row));
    Ok(())
}
