//! Versioned SQL files, applied by sqlx's migrator into its own table, so that `sqlx migrate info` agrees.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::Utc;
use serde::Serialize;
use sqlx::{
    PgConnection,
    migrate::{Migrate, MigrateError, Migration, Migrator},
};

use super::{MigrationError, runner::RUN_LOCK_WAIT};
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    mapping::Mapping,
    progress::Progress,
    report::{Outcome, Report},
};

/// The files that every binary carries.
static EMBEDDED: Migrator = sqlx::migrate!("../../migrations");

/// The version that creates the default inventory; recorded and never run where the tables are there.
pub const DEFAULT_INVENTORY: i64 = 20_260_101_000_000;

/// sqlx's table of applied versions.
const TABLE: &str = "_sqlx_migrations";

/// What to do with the pending files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Apply them.
    Apply,
    /// Say which would be applied; change nothing.
    DryRun,
    /// Say how things stand; what is pending or changed is a finding.
    Status,
    /// Record everything up to this version as applied, without running it.
    Baseline(i64),
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied by an earlier run.
    Applied,
    /// Applied by this run.
    AppliedNow,
    /// Recorded by this run without being run, since what it makes was there.
    Baselined,
    /// Not applied.
    Pending,
    /// Taken back by this run.
    TakenBack,
    /// Applied, and its file was changed since.
    Changed,
    /// Applied, and no file has it.
    Unknown,
}

/// One version.
#[derive(Debug, Clone, Serialize)]
pub struct Version {
    /// The number in front of the file's name: a time stamp.
    pub version: i64,
    /// The rest of the file's name.
    pub description: String,
    /// Where it stands.
    pub state: State,
}

/// How the versioned migrations stand after a run.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// Whether only the state was asked for.
    pub status: bool,
    /// Every version, oldest first.
    pub versions: Vec<Version>,
}

impl Versions {
    /// How many are in `state`.
    pub fn count(&self, state: State) -> usize {
        self.versions.iter().filter(|version| version.state == state).count()
    }
}

impl Report for Versions {
    const SCHEMA: &'static str = "stockfoil.db_migrate/1";

    fn outcome(&self) -> Outcome {
        let settled = |version: &Version| {
            matches!(version.state, State::Applied | State::AppliedNow | State::Baselined)
        };
        if self.status && !self.versions.iter().all(settled) { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Brings the database up to date with the embedded files and those of `folder`.
///
/// Each file is one transaction with its record, so a killed run goes on where it was. A database that already
/// has the default inventory's tables gets that file recorded, not run.
///
/// # Errors
/// [`MigrationError`] for a changed or unknown applied version, and database errors.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    folder: Option<&'a Path>,
    mode: Mode,
    progress: &'a dyn Progress,
) -> Task<'a, Versions> {
    Box::pin(async move {
        let files = files(folder).await?;
        if let Mode::Baseline(version) = mode
            && !files.contains_key(&version)
        {
            return Err(MigrationError::NoSuchVersion(version).into());
        }
        let mut session = db.session().await?;
        if mode != Mode::Status {
            check_mapping(db, &mut session, mapping).await?;
        }
        if matches!(mode, Mode::Status | Mode::DryRun) {
            let mut versions = states(&mut session, &files).await?;
            if mode == Mode::DryRun {
                refuse_drift(&versions)?;
                if has_inventory(db, &mut session, mapping, &versions).await? {
                    set(&mut versions, DEFAULT_INVENTORY, State::Baselined);
                }
            }
            return Ok(Versions { dry_run: mode == Mode::DryRun, status: mode == Mode::Status, versions });
        }

        db.require_writable()?;
        let _lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        // The same lock that `sqlx migrate run` takes.
        session.lock().await.map_err(migrate_error)?;
        session.ensure_migrations_table(TABLE).await.map_err(migrate_error)?;
        let mut versions = states(&mut session, &files).await?;
        refuse_drift(&versions)?;
        let baselined = match mode {
            Mode::Baseline(version) => version,
            _ if has_inventory(db, &mut session, mapping, &versions).await? => DEFAULT_INVENTORY,
            _ => 0,
        };
        let pending = versions.iter().filter(|version| version.state == State::Pending).count();
        progress.begin("migrations", Some(pending as u64));
        for version in versions.iter_mut().filter(|version| version.state == State::Pending) {
            let Some(file) = files.get(&version.version) else { continue };
            if version.version <= baselined {
                session.skip(TABLE, file).await.map_err(migrate_error)?;
                version.state = State::Baselined;
            } else if matches!(mode, Mode::Apply) {
                session.apply(TABLE, file).await.map_err(migrate_error)?;
                version.state = State::AppliedNow;
            }
            progress.advance(1);
        }
        progress.finish();
        session.unlock().await.map_err(migrate_error)?;
        Ok(Versions { dry_run: false, status: false, versions })
    })
}

/// Takes Stockfoil's own versions back, the last first. The inventory's tables stay: a version that only recorded them
/// is forgotten, one that made them stays applied. Files of `folder` stay applied too.
///
/// # Errors
/// Database errors; each version is one transaction with its record.
pub(super) async fn take_back(
    db: &Db,
    folder: Option<&Path>,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Versions, Error> {
    let files = files(folder).await?;
    let mut session = db.session().await?;
    let mut versions = states(&mut session, &files).await?;
    versions.retain(|version| matches!(version.state, State::Applied | State::Changed));
    let down = |wanted: &Version| {
        EMBEDDED.iter().find(|file| file.migration_type.is_down_migration() && file.version == wanted.version)
    };
    if dry_run || versions.is_empty() {
        return Ok(Versions { dry_run, status: false, versions });
    }
    let _lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
    session.lock().await.map_err(migrate_error)?;
    for version in versions.iter_mut().rev() {
        if version.version != DEFAULT_INVENTORY {
            let Some(file) = down(version) else { continue };
            session.revert(TABLE, file).await.map_err(migrate_error)?;
            version.state = State::TakenBack;
            continue;
        }
        // A version that was recorded and not run has no time.
        let forgotten = sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1 AND execution_time < 0")
            .bind(version.version)
            .execute(&mut session)
            .await
            .context("forget the inventory's version")?;
        if forgotten.rows_affected() > 0 {
            version.state = State::TakenBack;
        }
    }
    let empty: bool = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM _sqlx_migrations)")
        .fetch_one(&mut session)
        .await
        .context("look for applied migrations")?;
    if empty {
        sqlx::query("DROP TABLE _sqlx_migrations")
            .execute(&mut session)
            .await
            .context("drop the table of applied migrations")?;
    }
    session.unlock().await.map_err(migrate_error)?;
    Ok(Versions { dry_run: false, status: false, versions })
}

/// Writes an empty pair of files, `<now>_<name>.up.sql` and `.down.sql`, into `folder`, and returns their paths.
///
/// # Errors
/// [`MigrationError::BadName`], and [`MigrationError::Folder`] when they can't be written.
pub fn create(folder: &Path, name: &str) -> Result<[PathBuf; 2], Error> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(MigrationError::BadName(name.to_owned()).into());
    }
    let failed =
        |error: std::io::Error| MigrationError::Folder { folder: folder.into(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let stem = format!("{}_{name}", Utc::now().format("%Y%m%d%H%M%S"));
    let paths = ["up", "down"].map(|direction| folder.join(format!("{stem}.{direction}.sql")));
    for path in &paths {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(path).map_err(failed)?;
        std::io::Write::write_all(&mut file, b"-- Locks: \n").map_err(failed)?;
    }
    Ok(paths)
}

/// The embedded files and those of `folder`, by version; one version must have one text.
async fn files(folder: Option<&Path>) -> Result<BTreeMap<i64, Migration>, Error> {
    let up = |migration: &&Migration| !migration.migration_type.is_down_migration();
    let mut files: BTreeMap<i64, Migration> =
        EMBEDDED.iter().filter(up).map(|migration| (migration.version, migration.clone())).collect();
    let Some(folder) = folder else { return Ok(files) };
    let found = Migrator::new(folder)
        .await
        .map_err(|error| MigrationError::Folder { folder: folder.into(), reason: error.to_string() })?;
    for migration in found.iter().filter(up) {
        match files.get(&migration.version) {
            Some(embedded) if embedded.checksum != migration.checksum => {
                return Err(MigrationError::Changed {
                    file: file_name(migration.version, &migration.description),
                }
                .into());
            }
            Some(_) => {}
            None => {
                files.insert(migration.version, migration.clone());
            }
        }
    }
    Ok(files)
}

async fn states(
    session: &mut PgConnection,
    files: &BTreeMap<i64, Migration>,
) -> Result<Vec<Version>, DbError> {
    let recorded: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *session)
        .await
        .context("look for applied migrations")?;
    let applied: Vec<(i64, String, Vec<u8>)> = if recorded {
        sqlx::query_as(
            "SELECT version, description, checksum FROM _sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&mut *session)
        .await
        .context("read the applied migrations")?
    } else {
        Vec::new()
    };
    let mut versions: BTreeMap<i64, Version> = files
        .values()
        .map(|file| {
            let version = Version {
                version: file.version,
                description: file.description.to_string(),
                state: State::Pending,
            };
            (file.version, version)
        })
        .collect();
    for (version, description, checksum) in applied {
        let state = match files.get(&version) {
            None => State::Unknown,
            Some(file) if *file.checksum != *checksum => State::Changed,
            Some(_) => State::Applied,
        };
        versions.insert(version, Version { version, description, state });
    }
    Ok(versions.into_values().collect())
}

fn refuse_drift(versions: &[Version]) -> Result<(), MigrationError> {
    for Version { version, description, state } in versions {
        match state {
            State::Changed => return Err(MigrationError::Changed { file: file_name(*version, description) }),
            State::Unknown => {
                return Err(MigrationError::Unknown { version: *version, description: description.clone() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a mapping that does not hold, unless its tables are those that the first version is about to make.
async fn check_mapping(db: &Db, session: &mut PgConnection, mapping: &Mapping) -> Result<(), Error> {
    let tables = mapping.look_for_tenant_tables(session).await?;
    let are_there = tables.iter().all(|(_, found)| *found);
    if are_there || !mapping.has_default_tables() {
        mapping.resolve(db).await?;
    }
    Ok(())
}

/// Whether the default inventory's file is pending while its tables are there.
async fn has_inventory(
    db: &Db,
    session: &mut PgConnection,
    mapping: &Mapping,
    versions: &[Version],
) -> Result<bool, Error> {
    if !versions.iter().any(|version| version.version == DEFAULT_INVENTORY && version.state == State::Pending)
    {
        return Ok(false);
    }
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for (table, found) in mapping.look_for_tenant_tables(session).await? {
        if found { there.push(table.plain()) } else { missing.push(table.plain()) }
    }
    match (there.is_empty(), missing.is_empty()) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(MigrationError::HalfInventory {
            database: db.facts().database.clone(),
            there: there.join(", "),
            missing: missing.join(", "),
            version: DEFAULT_INVENTORY,
        }
        .into()),
    }
}

fn set(versions: &mut [Version], which: i64, state: State) {
    for version in versions.iter_mut().filter(|version| version.version == which) {
        version.state = state;
    }
}

fn file_name(version: i64, description: &str) -> String {
    format!("{version}_{}.up.sql", description.replace(' ', "_"))
}

fn migrate_error(error: MigrateError) -> DbError {
    match error {
        MigrateError::Execute(cause) => DbError::Statement { context: "record a migration".into(), cause },
        MigrateError::ExecuteMigration(cause, version) => {
            DbError::Statement { context: format!("apply migration {version}"), cause }
        }
        other => DbError::Query(sqlx::Error::Migrate(Box::new(other))),
    }
}
