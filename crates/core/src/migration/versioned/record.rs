//! Which versions are applied. Stockfoil's own are recorded in `stockfoil.migration`; those of an operator's folder where
//! sqlx looks for them. Earlier releases recorded both there, and an application's migrator that finds a version which it
//! has no file of refuses to start: so Stockfoil's are moved out, once.

use std::collections::BTreeMap;

use sqlx::{
    Connection as _, PgConnection,
    migrate::{Migrate as _, Migration},
};

use super::{super::privileges, SQLX_TABLE, files, migrate_error};
use crate::{
    catalog,
    db::{self, Context as _, DbError, sqlstate},
    progress::Progress,
    sql::{Ident, QualifiedName, render},
};

/// What makes the table of Stockfoil's own versions; holds when it is there already.
const TABLE: &str = include_str!("../../../../../migrations/20260108000000_applied_versions.up.sql");

/// An applied version.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) description: String,
    pub(super) checksum: Vec<u8>,
    /// Whether its file was run; not where it was only recorded.
    pub(super) was_run: bool,
    /// Whether it came to its end. PostgreSQL takes an unfinished one back; other migrators may have noted one.
    pub(super) success: bool,
}

/// Stockfoil's own applied versions.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) records: BTreeMap<i64, Record>,
    /// The tables of sqlx that an earlier release recorded some of them in, and that still have them.
    pub(super) shared: Vec<QualifiedName>,
}

type SharedRow = (i64, String, Vec<u8>, i64, bool);

/// Reads Stockfoil's own applied versions, wherever they are recorded. Changes nothing, so it serves a standby, a restored
/// backup and a role that may only read.
///
/// # Errors
/// Database errors.
pub(super) async fn own(session: &mut PgConnection) -> Result<Own, DbError> {
    let mut own = Own::default();
    let (readable, closed): (Vec<_>, Vec<_>) =
        shared_tables(session).await?.into_iter().partition(|(_, is_readable)| *is_readable);
    // These first: whatever a run moves meanwhile is found where it went.
    for (table, _) in readable {
        own.take_shared(session, table).await?;
    }
    if is_there(session).await? {
        let rows: Vec<(i64, String, Vec<u8>, bool)> = sqlx::query_as(
            "SELECT version, description, checksum, duration_ms IS NOT NULL FROM stockfoil.migration",
        )
        .fetch_all(&mut *session)
        .await
        .context("read the applied versions in stockfoil.migration")?;
        own.records.extend(rows.into_iter().map(|(version, description, checksum, was_run)| {
            (version, Record { description, checksum, was_run, success: true })
        }));
    }
    // Where records are found, a table that this role may not read is an application's; else they may be in it.
    for (table, _) in closed {
        if own.records.is_empty() {
            own.take_shared(session, table).await?;
        }
    }
    Ok(own)
}

impl Own {
    async fn take_shared(&mut self, session: &mut PgConnection, table: QualifiedName) -> Result<(), DbError> {
        let (ours, _) = divide(shared_rows(session, &table).await?);
        if !ours.is_empty() {
            self.shared.push(table);
            self.records.extend(ours);
        }
        Ok(())
    }
}

/// Reads the applied versions of an operator's folder: what sqlx's table holds beside Stockfoil's own.
///
/// # Errors
/// Database errors.
pub(super) async fn of_folder(session: &mut PgConnection) -> Result<BTreeMap<i64, Record>, DbError> {
    match visible(session).await? {
        Some(table) => Ok(divide(shared_rows(session, &table).await?).1),
        None => Ok(BTreeMap::new()),
    }
}

/// The newest applied version of Stockfoil's own or of the application's sqlx.
///
/// # Errors
/// Database errors.
pub(super) async fn head(session: &mut PgConnection) -> Result<Option<i64>, DbError> {
    let own = own(session).await?.records;
    let theirs = of_folder(session).await?;
    Ok(own.keys().chain(theirs.keys()).max().copied())
}

/// Makes `stockfoil.migration`, and moves what an earlier release recorded elsewhere into it. What of a table of sqlx is
/// an application's stays as it is; a table that then is empty goes, unless something depends on it or it is another
/// role's. All of a table moves or nothing. It waits for others without being waited for.
///
/// # Errors
/// Database errors.
pub(super) async fn settle(session: &mut PgConnection, progress: &dyn Progress) -> Result<(), DbError> {
    if !is_there(session).await? {
        let has_schema: bool = sqlx::query_scalar("SELECT to_regnamespace('stockfoil') IS NOT NULL")
            .fetch_one(&mut *session)
            .await
            .context("look for schema stockfoil")?;
        let making = "make stockfoil.migration";
        let mut transaction = session.begin().await.context(making)?;
        let there = privileges::there(&mut transaction).await.context(making)?;
        // IF NOT EXISTS asks for the right to make one even where it is there.
        if !has_schema {
            sqlx::query("CREATE SCHEMA stockfoil").execute(&mut *transaction).await.context(making)?;
        }
        sqlx::raw_sql(TABLE).execute(&mut *transaction).await.context(making)?;
        privileges::close(&mut transaction, &there, &[]).await.context(making)?;
        transaction.commit().await.context(making)?;
    }
    let shared = own(session).await?.shared;
    if shared.is_empty() {
        return Ok(());
    }
    let mut is_said = false;
    while let Err(error) = move_all(session, &shared).await {
        if !matches!(&error, DbError::Statement { cause, .. } if db::gave_way(cause)) {
            return Err(error);
        }
        if !std::mem::replace(&mut is_said, true) {
            progress.note(&format!("waiting for others to leave {}", shared[0].plain()));
        }
        tokio::time::sleep(db::jittered(500, 500)).await;
    }
    Ok(())
}

/// Drops what [`settle`] made where the first version after it failed: a table without a record, and the schema where nothing
/// else is in it.
///
/// # Errors
/// Database errors.
pub(super) async fn drop_empty(session: &mut PgConnection, progress: &dyn Progress) -> Result<(), DbError> {
    let is_empty: bool = sqlx::query_scalar(include_str!("begun.sql"))
        .fetch_one(&mut *session)
        .await
        .context("look whether anything is recorded")?;
    if !is_empty {
        return Ok(());
    }
    let dropping = "drop schema stockfoil, in which nothing is recorded";
    let mut transaction = session.begin().await.context(dropping)?;
    sqlx::raw_sql("LOCK TABLE stockfoil.migration IN ACCESS EXCLUSIVE MODE NOWAIT")
        .execute(&mut *transaction)
        .await
        .context(dropping)?;
    let has_rows: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM stockfoil.migration)")
        .fetch_one(&mut *transaction)
        .await
        .context(dropping)?;
    if !has_rows {
        sqlx::raw_sql("DROP TABLE stockfoil.migration; DROP SCHEMA stockfoil")
            .execute(&mut *transaction)
            .await
            .context(dropping)?;
        transaction.commit().await.context(dropping)?;
        progress.note("dropped schema stockfoil, in which nothing was recorded");
    }
    Ok(())
}

/// Runs `file` and records it; what it makes in Stockfoil's schema is closed in the same transaction.
///
/// # Errors
/// Database errors.
pub(super) async fn apply(session: &mut PgConnection, file: &Migration) -> Result<(), DbError> {
    let applying = || format!("apply migration {}", file.version);
    let mut transaction = session.begin().await.context(applying())?;
    let there = privileges::there(&mut transaction).await.context(applying())?;
    sqlx::raw_sql(file.sql.clone()).execute(&mut *transaction).await.context(applying())?;
    privileges::close(&mut transaction, &there, &[]).await.context(applying())?;
    insert(&mut transaction, file, true).await?;
    transaction.commit().await.context(applying())
}

/// Records `file` without running it.
///
/// # Errors
/// Database errors.
pub(super) async fn baseline(session: &mut PgConnection, file: &Migration) -> Result<(), DbError> {
    insert(session, file, false).await
}

async fn insert(session: &mut PgConnection, file: &Migration, was_run: bool) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO stockfoil.migration (version, description, checksum, recorded_by, duration_ms)
         VALUES ($1, $2, $3, session_user,
                 CASE WHEN $4 THEN (extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000)::bigint END)",
    )
    .bind(file.version)
    .bind(&*file.description)
    .bind(&*file.checksum)
    .bind(was_run)
    .execute(session)
    .await
    .context(format!("record migration {}", file.version))?;
    Ok(())
}

async fn is_there(session: &mut PgConnection) -> Result<bool, DbError> {
    catalog::is_there(session, "stockfoil.migration").await
}

/// The tables of sqlx, each with whether this role may read it.
async fn shared_tables(session: &mut PgConnection) -> Result<Vec<(QualifiedName, bool)>, DbError> {
    let schemas: Vec<(String, bool)> = sqlx::query_as(include_str!("shared.sql"))
        .fetch_all(session)
        .await
        .context("look for tables of sqlx")?;
    let table = |(schema, is_readable)| {
        // A name from the catalog is one.
        let schema = Ident::new(schema).ok()?;
        Some((QualifiedName::new(schema, Ident::fixed(SQLX_TABLE)), is_readable))
    };
    Ok(schemas.into_iter().filter_map(table).collect())
}

/// The table that sqlx finds: the one of its name on the search path.
pub(super) async fn visible(session: &mut PgConnection) -> Result<Option<QualifiedName>, DbError> {
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass($1)",
    )
    .bind(SQLX_TABLE)
    .fetch_optional(session)
    .await
    .context("look for the table of sqlx")?;
    Ok(schema
        .and_then(|schema| Ident::new(schema).ok())
        .map(|schema| QualifiedName::new(schema, Ident::fixed(SQLX_TABLE))))
}

async fn shared_rows(session: &mut PgConnection, table: &QualifiedName) -> Result<Vec<SharedRow>, DbError> {
    let statement = render(
        "SELECT version, description, checksum, execution_time, success FROM {table}",
        &[("table", table)],
    );
    match sqlx::query_as(statement.sql()).fetch_all(session).await {
        // A run that moved its rows has dropped it just now.
        Err(error) if sqlstate(&error).as_deref() == Some("42P01") => Ok(Vec::new()),
        rows => rows.context(format!("read the applied versions in {}", table.plain())),
    }
}

/// Stockfoil's own records among `rows`, and the others. A version is Stockfoil's by its number and its name or text: the
/// number alone may be an application's.
fn divide(rows: Vec<SharedRow>) -> (BTreeMap<i64, Record>, BTreeMap<i64, Record>) {
    let (mut ours, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (version, description, checksum, execution_time, success) in rows {
        let is_ours = files::embedded(version)
            .is_some_and(|file| *file.description == *description || *file.checksum == *checksum);
        let records = if is_ours { &mut ours } else { &mut others };
        // sqlx has no time of a version that was recorded and not run.
        let record = Record { description, checksum, was_run: execution_time >= 0, success };
        records.insert(version, record);
    }
    (ours, others)
}

async fn move_all(session: &mut PgConnection, shared: &[QualifiedName]) -> Result<(), DbError> {
    let moving = "move Stockfoil's versions into stockfoil.migration";
    sqlx::query("SET lock_timeout = '100ms'").execute(&mut *session).await.context(moving)?;
    // An application's migrator takes the same lock: none looks at a table that is half moved or gone.
    session.lock().await.map_err(migrate_error)?;
    let mut moved = Ok(());
    for table in shared {
        moved = move_rows(session, table).await;
        if moved.is_err() {
            break;
        }
    }
    session.unlock().await.map_err(migrate_error)?;
    sqlx::query("RESET lock_timeout").execute(session).await.context(moving)?;
    moved
}

async fn move_rows(session: &mut PgConnection, table: &QualifiedName) -> Result<(), DbError> {
    let moving = || format!("move Stockfoil's versions out of {}", table.plain());
    let versions: Vec<i64> = divide(shared_rows(session, table).await?).0.into_keys().collect();
    let mut transaction = session.begin().await.context(moving())?;
    let moves = render(
        "WITH moved AS (DELETE FROM {table} WHERE version = ANY ($1) RETURNING *)
         INSERT INTO stockfoil.migration (version, description, checksum, recorded_at, recorded_by, duration_ms)
         SELECT version, description, checksum, installed_on, NULL, CASE WHEN execution_time >= 0 THEN execution_time / 1000000 END
         FROM moved
         ON CONFLICT (version) DO NOTHING",
        &[("table", table)],
    );
    sqlx::query(moves.sql()).bind(versions).execute(&mut *transaction).await.context(moving())?;
    drop_if_empty(&mut transaction, table).await?;
    transaction.commit().await.context(moving())
}

/// Drops a table that nothing is left in, where this role made it and nothing depends on it.
async fn drop_if_empty(transaction: &mut PgConnection, table: &QualifiedName) -> Result<(), DbError> {
    let dropping = || format!("drop {}, which is empty", table.plain());
    let empty = render(
        "SELECT NOT EXISTS (SELECT FROM {table})
            AND EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
                        WHERE c.oid = to_regclass($1) AND r.rolname = current_user)",
        &[("table", table)],
    );
    let name = table.to_string();
    let is_empty = async |session: &mut PgConnection| {
        let look = sqlx::query_scalar::<_, bool>(empty.sql()).bind(&name);
        look.fetch_one(session).await.context(dropping())
    };
    if !is_empty(&mut *transaction).await? {
        return Ok(());
    }
    let mut savepoint = transaction.begin().await.context(dropping())?;
    let lock = render("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", &[("table", table)]);
    sqlx::query(lock.sql()).execute(&mut *savepoint).await.context(dropping())?;
    if !is_empty(&mut savepoint).await? {
        return savepoint.rollback().await.context(dropping());
    }
    let drop = render("DROP TABLE {table}", &[("table", table)]);
    match sqlx::query(drop.sql()).execute(&mut *savepoint).await {
        Ok(_) => savepoint.commit().await.context(dropping()),
        // Something of somebody else depends on it.
        Err(error) if sqlstate(&error).as_deref() == Some("2BP01") => {
            savepoint.rollback().await.context(dropping())
        }
        Err(error) => Err(error).context(dropping()),
    }
}
