//! The end of an organization: it is deactivated, and after a while deleted, with a certificate: `org-delete`.

mod batches;
mod circle;
mod finish;
mod obstacles;
mod records;
mod report;

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection as _, PgConnection};

pub use self::report::{OrgDeleted, State};
use super::{
    super::{TenancyError, default_organization, keys::Span, organization, organization::Stored, require},
    LifeError,
    archive::{Digest, TableCount},
    whole::{EXACT, Table, Whole},
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    report::Outcome,
};
use batches::Work;

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "org-delete";

/// How many rows are deleted in one transaction, unless said otherwise.
pub const BATCH_ROWS: u32 = 1000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// The organization.
    pub org: OrgId,
    /// The default organization, as the configuration has it.
    pub default_org: String,
    /// After how long it may be deleted, where that is said.
    pub after: Option<Span>,
    /// That it is deleted whatever was said before.
    pub now: bool,
    /// How many rows are deleted in one transaction.
    pub batch_rows: u32,
    /// Only to say what would happen.
    pub dry_run: bool,
}

/// What comes next for an organization.
enum Next {
    Deactivate,
    Wait { deletable_at: String },
    Delete,
}

/// Deactivates an organization and records when it may be deleted; once that time has come, or when it is asked for, deletes
/// everything that is its own and records what that was.
///
/// Rows go in batches, each a short transaction that gives way to writers; killed at any moment, the same command goes on.
/// No row of another organization is changed.
///
/// # Errors
/// [`LifeError`]; [`TenancyError::UnknownOrganization`], [`TenancyError::NotMigrated`]; another run that holds the lock;
/// what the database refuses.
pub fn delete<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    deletion: &'a Deletion,
    progress: &'a dyn Progress,
) -> Task<'a, OrgDeleted> {
    Box::pin(async move {
        if deletion.batch_rows == 0 {
            return Err(TenancyError::from(LifeError::EmptyBatch).into());
        }
        let model = &mapping.resolve(db).await?;
        require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
        db.require_direct().await?;
        let _lock = match deletion.dry_run {
            true => None,
            false => {
                db.require_writable()?;
                Some(db.run_lock(Duration::ZERO, progress).await?)
            }
        };
        let mut session = db.session().await?;
        sqlx::raw_sql(EXACT).execute(&mut session).await.context("set up the session")?;
        let org = &deletion.org;
        let Some(found) = organization::find(&mut session, model, org).await? else {
            return Err(TenancyError::UnknownOrganization(org.clone()).into());
        };
        refuse_default(&mut session, model, deletion).await?;
        let whole = Whole::read(&mut session, model).await?;
        let is_read_only = db.facts().read_only;
        let in_the_way = obstacles::find(&mut session, model, &whole, org, is_read_only).await?;
        let next = next(&mut session, deletion, &found).await?;
        let mut report = OrgDeleted::new(&found, in_the_way, deletion.dry_run);
        match next {
            Next::Wait { deletable_at } => {
                report.deletable_at = Some(deletable_at);
                Ok(report)
            }
            Next::Deactivate => deactivate(&mut session, model, deletion, &found, report).await,
            Next::Delete if deletion.dry_run => {
                report.state = State::WouldDelete;
                report.set_tables(count(&mut session, model, &whole, org).await?);
                Ok(report)
            }
            Next::Delete if !report.in_the_way.is_empty() => {
                let (org, reasons) = (org.clone(), report.in_the_way);
                Err(TenancyError::from(LifeError::InTheWay { org, reasons }).into())
            }
            Next::Delete => {
                let (run, resumed) = begin(&mut session, model, org).await?;
                (report.run_id, report.resumed) = (Some(run), resumed.is_some());
                let (deleted, records) = resumed.unwrap_or_default();
                let batch_rows = deletion.batch_rows;
                let mut work =
                    Work { model, whole: &whole, org, run, batch_rows, deleted, records, progress };
                let ended = finish::run(&mut session, db, &mut work, report).await;
                if let Err(error) = &ended {
                    // The run is not over: the same command goes on with it.
                    let mut note = work.note();
                    note["error"] = error.to_string().into();
                    history::note(&mut *db.acquire().await?, run, &note).await?;
                }
                ended
            }
        }
    })
}

async fn refuse_default(session: &mut PgConnection, model: &Model, deletion: &Deletion) -> Result<(), Error> {
    let known = default_organization::known(session, model).await?;
    let defaults = known.into_iter().map(|(id, _)| id).chain([deletion.default_org.clone()]);
    for default in defaults {
        if OrgId::of(model.org_type, &default).as_ref() == Ok(&deletion.org) {
            return Err(TenancyError::from(LifeError::DefaultOrganization(deletion.org.clone())).into());
        }
    }
    Ok(())
}

/// What comes next: what is asked for, and what was said before.
async fn next(session: &mut PgConnection, deletion: &Deletion, found: &Stored) -> Result<Next, Error> {
    if deletion.now {
        return Ok(Next::Delete);
    }
    let due: Option<(String, bool)> = sqlx::query_as(include_str!("delete/due.sql"))
        .bind(&deletion.org)
        .fetch_optional(session)
        .await
        .context("look when the organization may be deleted")?;
    Ok(match due {
        _ if deletion.after.is_some() || found.is_active => Next::Deactivate,
        None => Next::Deactivate,
        Some((_, true)) => Next::Delete,
        Some((deletable_at, false)) => Next::Wait { deletable_at },
    })
}

/// Deactivates the organization, and records when it may be deleted.
async fn deactivate(
    session: &mut PgConnection,
    model: &Model,
    deletion: &Deletion,
    found: &Stored,
    mut report: OrgDeleted,
) -> Result<OrgDeleted, Error> {
    let after = deletion.after.unwrap_or(Span::days(30));
    let deletable_at: String = sqlx::query_scalar(
        "SELECT to_char((now() + $1 * interval '1 second') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .bind(after.seconds())
    .fetch_one(&mut *session)
    .await
    .context("reckon when the organization may be deleted")?;
    report.deletable_at = Some(deletable_at);
    if deletion.dry_run {
        report.state = State::WouldDeactivate;
        return Ok(report);
    }
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    set_inactive(&mut transaction, model, &deletion.org).await?;
    let run = history::start(&mut transaction, COMMAND).await?;
    let summary = serde_json::json!({
        "org_id": deletion.org, "deletable_at": report.deletable_at, "was_active": found.is_active,
    });
    history::end(&mut transaction, run, Outcome::Clean, &summary).await?;
    transaction.commit().await.context("deactivate the organization")?;
    (report.state, report.run_id) = (State::Deactivated, Some(run));
    Ok(report)
}

async fn set_inactive(transaction: &mut PgConnection, model: &Model, org: &OrgId) -> Result<(), Error> {
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    let statement = model.render(
        "UPDATE {organizations} SET is_active = false, updated_at = now() WHERE id = $1::text::{org.type} AND is_active",
    );
    let result = sqlx::query(statement.sql()).bind(org).execute(transaction).await;
    match result.context("deactivate the organization").map_err(Error::from) {
        Err(error) if error.gave_way() => Err(TenancyError::OrganizationLocked(org.clone()).into()),
        result => result.map(|_| ()),
    }
}

/// What a killed run had deleted: of the tables, and of Stockfoil's own records.
type Deleted = (BTreeMap<String, Digest>, Vec<TableCount>);

/// The run that was killed, with what it had deleted; else a new one, whose organization is inactive from now on.
async fn begin(
    session: &mut PgConnection,
    model: &Model,
    org: &OrgId,
) -> Result<(RunId, Option<Deleted>), Error> {
    let unfinished: Option<(RunId, serde_json::Value)> = sqlx::query_as(
        "SELECT id, summary FROM stockfoil.run
         WHERE command = $1 AND finished_at IS NULL AND summary ->> 'org_id' = $2 AND summary ? 'deleted'
         ORDER BY id DESC LIMIT 1",
    )
    .bind(COMMAND)
    .bind(org)
    .fetch_optional(&mut *session)
    .await
    .context("look for a run to go on with")?;
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    set_inactive(&mut transaction, model, org).await?;
    let begun = match unfinished {
        Some((run, summary)) => (run, Some(remembered(&summary))),
        None => {
            let run = history::start(&mut transaction, COMMAND).await?;
            let summary = serde_json::json!({ "org_id": org, "deleted": {}, "records": [] });
            history::note(&mut transaction, run, &summary).await?;
            (run, None)
        }
    };
    transaction.commit().await.context("begin to delete the organization")?;
    Ok(begun)
}

/// What the record of a run that was killed says.
fn remembered(summary: &serde_json::Value) -> Deleted {
    let tables = summary["deleted"].as_object().into_iter().flatten();
    let digest = |count: &serde_json::Value| Digest::of(count[0].as_u64()?, count[1].as_str()?);
    let tables = tables.filter_map(|(table, count)| Some((table.clone(), digest(count)?)));
    let records = serde_json::from_value(summary["records"].clone()).unwrap_or_default();
    (tables.collect(), records)
}

/// How many rows there are of each table.
async fn count(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<Vec<TableCount>, Error> {
    let mut counts = Vec::new();
    for table in whole.tables.iter().filter(|table| table.org.is_some()) {
        let Table { name, kind, .. } = table;
        let statement = table.render(model, "SELECT count(*) FROM {table} AS t WHERE {is_own}", &[]);
        let rows: i64 = sqlx::query_scalar(statement.sql())
            .persistent(false)
            .bind(org)
            .fetch_one(&mut *session)
            .await
            .context(format!("count the rows of {}", name.plain()))?;
        let rows = u64::try_from(rows).unwrap_or(0);
        counts.push(TableCount { table: name.plain(), kind: *kind, rows, digest: None });
    }
    Ok(counts)
}
