//! Writing everything of an organization to a file: `org-export`.

mod shared;

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    super::{TenancyError, organization, require},
    archive::{Digest, FORMAT, Header, Kind, TableCount, Writer},
    whole::{EXACT, Whole},
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    report::{Outcome, Report},
};

/// How many rows are told as progress at once.
const ROWS_TOLD: u64 = 10_000;

/// What was written.
#[derive(Debug, Serialize)]
pub struct OrgExported {
    /// The organization.
    pub org_id: OrgId,
    /// The file.
    pub file: PathBuf,
    /// The database that it is of.
    pub database: String,
    /// The time of the snapshot, as the file has it.
    pub snapshot_at: String,
    /// The tables, those that others refer to first.
    pub tables: Vec<TableCount>,
    /// How many rows, of all of them.
    pub rows: u64,
    /// The length of the file.
    pub bytes: u64,
    /// SHA-256 of all of its lines but the last, which holds it.
    pub sha256: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for OrgExported {
    const SCHEMA: &'static str = "stockfoil.org-export/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }
}

/// Writes all that is `org`'s, and the rows of tables without organizations that it refers to, to the file `out`.
///
/// All of it is of one snapshot, and nobody waits for it. Values are texts that PostgreSQL reads as what they were. The file
/// appears under its name when it is whole.
///
/// # Errors
/// [`TenancyError::UnknownOrganization`], [`TenancyError::NotMigrated`]; [`LifeError::Write`](super::LifeError::Write); database errors.
pub fn export<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    org: OrgId,
    out: &'a Path,
    progress: &'a dyn Progress,
) -> Task<'a, OrgExported> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
        let mut session = db.session().await?;
        session.execute(EXACT).await.context("set up the session")?;
        // Names of types and objects are then printed with their schemas.
        session.execute("SET search_path = ''").await.context("set up the session")?;
        let whole = Whole::read(&mut session, model).await?;
        shared::create_tables(&mut session, &whole).await?;
        let mut snapshot = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if organization::find(&mut snapshot, model, &org).await?.is_none() {
            return Err(TenancyError::UnknownOrganization(org).into());
        }
        let header = header(&mut snapshot, model, &whole, &org).await?;
        let mut warnings = left_out(&mut snapshot, model, &whole, &org).await?;
        if model.balances.has_queue {
            warnings.push("deltas that are queued for balances are not in the file; balances come from the ledger where it is brought in".into());
        }
        shared::find(&mut snapshot, model, &whole, &org).await?;
        let mut writer = Writer::begin(out, &header).map_err(TenancyError::from)?;
        for (place, table) in whole.tables.iter().enumerate() {
            progress.begin(&format!("write rows of {}", table.name.plain()), None);
            writer.section(place, table.name.plain()).map_err(TenancyError::from)?;
            rows(&mut snapshot, model, &whole, place, &org, &mut writer, progress).await?;
            progress.finish();
        }
        let (totals, bytes, sha256) = writer.end().map_err(TenancyError::from)?;
        Ok(OrgExported {
            org_id: org,
            file: out.to_path_buf(),
            database: header.database,
            snapshot_at: header.snapshot_at,
            rows: totals.iter().map(|total| total.rows).sum(),
            tables: counts(&whole, &totals),
            bytes,
            sha256,
            warnings,
        })
    })
}

async fn header(
    snapshot: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<Header, Error> {
    let (database, server_version, snapshot_at): (String, String, String) = sqlx::query_as(
        "SELECT current_database()::text, current_setting('server_version'),
                to_char(transaction_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    )
    .fetch_one(snapshot)
    .await
    .context("ask the server for its version")?;
    Ok(Header {
        format: FORMAT.to_owned(),
        database,
        org_id: org.as_str().to_owned(),
        org_type: model.org_type.name().to_owned(),
        server_version,
        snapshot_at,
        tables: whole.tables.iter().map(super::whole::Table::header).collect(),
    })
}

/// Rows that refer to the organization's, and say of no organization that they are its own.
async fn left_out(
    snapshot: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for edge in whole.referring_from_outside() {
        let count = whole.of_edge(
            model,
            edge,
            "SELECT count(*) FROM {child} AS c JOIN {parent} AS p ON {c.refers_p} WHERE p.{p.org} = $1::text::{org.type}",
            &[],
        );
        let rows: i64 = sqlx::query_scalar(count.sql())
            .persistent(false)
            .bind(org)
            .fetch_one(&mut *snapshot)
            .await
            .context(format!("count the rows of {}", edge.child_table.plain()))?;
        if rows > 0 {
            warnings.push(format!(
                "{rows} rows of {} refer to it by {} and are left out, since they say of no organization that they are its own; name the table in [tenancy] tables and run migrate-org",
                edge.child_table.plain(),
                edge.name
            ));
        }
    }
    Ok(warnings)
}

/// Writes the rows of the table at `place`, in the order of their keys.
async fn rows(
    snapshot: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    place: usize,
    org: &OrgId,
    writer: &mut Writer,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let table = &whole.tables[place];
    let context = || format!("read the rows of {}", table.name.plain());
    let statement = match table.kind {
        Kind::Shared => {
            let found = shared::name(place);
            table.render(
                model,
                "SELECT {values} FROM {table} AS t JOIN {found} AS f ON t.tableoid = f.relation AND t.ctid = f.place{in_order}",
                &[("found", &found)],
            )
        }
        _ => table.render(model, "SELECT {values} FROM {table} AS t WHERE {is_own}{in_order}", &[]),
    };
    let query = sqlx::query_scalar::<_, String>(statement.sql()).persistent(false);
    let mut rows = match table.kind {
        Kind::Shared => query.fetch(snapshot),
        _ => query.bind(org).fetch(snapshot),
    };
    let mut untold = 0;
    while let Some(row) = rows.try_next().await.context(context())? {
        writer.row(&row).map_err(TenancyError::from)?;
        untold += 1;
        if untold == ROWS_TOLD {
            progress.advance(untold);
            untold = 0;
        }
    }
    progress.advance(untold);
    Ok(())
}

fn counts(whole: &Whole, totals: &[Digest]) -> Vec<TableCount> {
    let tables = whole.tables.iter().zip(totals);
    tables
        .map(|(table, total)| TableCount {
            table: table.name.plain(),
            kind: table.kind,
            rows: total.rows,
            digest: Some(total.text()),
        })
        .collect()
}
