//! Versioned SQL files: Stockfoil's own, recorded in `stockfoil.migration`, and those of an operator's folder, which are
//! sqlx's and recorded where sqlx looks for them, so that `sqlx migrate info` agrees.
//!
//! What stands and what a run would do is one value, made by `plan`: a status shows it, a dry run shows it, and a run
//! carries it out.

mod doubt;
mod files;
mod foreign;
mod others;
mod plan;
mod record;
mod text;
mod theirs;

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection, migrate::MigrateError};

use self::{
    files::Files,
    plan::{Plan, drift, is_due, plan, stand},
    theirs::Sqlx,
};
use super::{error::MigrationError, patience::RUN_LOCK_WAIT};
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    mapping::Mapping,
    progress::Progress,
    report::{Outcome, Report},
};

/// The version that creates the default inventory; recorded and never run where the tables are there.
pub const DEFAULT_INVENTORY: i64 = 20_260_101_000_000;

/// The folder that other tools and sqlx take without being told. Stockfoil only mentions it.
pub const UNTOLD_FOLDER: &str = "migrations";

/// sqlx's table of applied versions.
const SQLX_TABLE: &str = "_sqlx_migrations";

/// `[migrations]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A folder of sqlx's files to apply beside Stockfoil's own; relative to the working folder.
    pub folder: Option<PathBuf>,
}

/// What to do with the pending files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Apply them.
    Apply,
    /// Say which would be applied; change nothing.
    DryRun,
    /// Say how things stand; what is pending or changed is a finding.
    Status,
    /// Record exactly these versions as applied, without running them. Others stay as they are.
    Baseline(Vec<i64>),
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied by an earlier run.
    Applied,
    /// Recorded by an earlier run without being run.
    Recorded,
    /// Applied by this run.
    AppliedNow,
    /// Recorded by this run without being run, since what it makes was there or somebody said so.
    Baselined,
    /// Not applied; a run applies it.
    Pending,
    /// Not applied; a run records it without running it, since what it makes is there.
    ToRecord,
    /// Taken back by this run.
    TakenBack,
    /// Forgotten by this run; what it made stays.
    Forgotten,
    /// Applied, and its file was changed since.
    Changed,
    /// Applied, and no file has it.
    Unknown,
    /// Begun by another migrator, and never ended.
    Unfinished,
}

/// Whose file a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Stockfoil's own.
    Stockfoil,
    /// The operator's, of the folder.
    Folder,
}

/// One version.
#[derive(Debug, Clone, Serialize)]
pub struct Version {
    /// The number in front of the file's name: a time stamp.
    pub version: i64,
    /// The rest of the file's name.
    pub description: String,
    /// Whose file it is.
    pub origin: Origin,
    /// Where it stands.
    pub state: State,
}

/// How the versioned migrations stand after a run, or before one.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// Whether only the state was asked for.
    pub status: bool,
    /// Whether what was recorded without being run was named by somebody, and not looked for.
    #[serde(skip)]
    pub by_name: bool,
    /// Every version, oldest first.
    pub versions: Vec<Version>,
    /// Tables of sqlx in which an earlier release recorded versions of Stockfoil's own; a run moves them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// What the operator should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What keeps a run from its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_the_way: Option<String>,
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
        let is_settled = |version: &Version| matches!(version.state, State::Applied | State::Recorded);
        if self.status && !self.versions.iter().all(is_settled) { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Brings the database up to date with the embedded files and those of `folder`, in the order of their versions.
///
/// Each file is one transaction with its record, so a killed run goes on where it was. A database that already
/// has the default inventory's tables gets that file recorded, not run, and no other.
///
/// # Errors
/// [`MigrationError`] for a folder with a file that is not sqlx's, before anything is looked at, and for a changed or
/// unknown applied version; database errors.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    folder: Option<&'a Path>,
    mode: Mode,
    progress: &'a dyn Progress,
) -> Task<'a, Versions> {
    Box::pin(async move {
        let files = files::read(folder).await?;
        let mut session = db.session().await?;
        if mode != Mode::Status {
            check_mapping(db, &mut session, mapping).await?;
        }
        if matches!(mode, Mode::Status | Mode::DryRun) {
            let plan = plan(db, &mut session, mapping, &files, &mode).await?;
            return Ok(match mode {
                Mode::Status => plan.report(false, true),
                _ => plan.unobstructed()?.report(true, false),
            });
        }
        db.require_writable()?;
        let _lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        let mut due = plan(db, &mut session, mapping, &files, &mode).await?.unobstructed()?;
        record::settle(&mut session, progress).await?;
        due.shared.clear();
        let mut theirs = None;
        if due.has_due(Origin::Folder, &mode) {
            theirs = Some(Sqlx::lock(db, progress).await?);
            // Whoever held the lock may have run some of them.
            due = plan(db, &mut session, mapping, &files, &mode).await?.unobstructed()?;
        }
        carry_out(&mut session, &mut due, &files, &mode, theirs, progress).await?;
        let by_name = matches!(mode, Mode::Baseline(_));
        Ok(Versions { by_name, ..due.report(false, false) })
    })
}

/// Checks, without a database, that what lies in `folder` can be run as it is meant.
///
/// # Errors
/// [`MigrationError::ForeignFile`] and [`MigrationError::Folder`].
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    Ok(files::check(folder)?)
}

/// Whether the folder [`UNTOLD_FOLDER`] lies in the working folder with SQL that is not Stockfoil's own: somebody may take
/// it to be run.
pub fn has_untold_folder() -> bool {
    let folder = Path::new(UNTOLD_FOLDER);
    folder.is_dir() && files::has_others_sql(folder)
}

/// Takes Stockfoil's own versions back, all in one transaction. The inventory's tables stay, whoever made them, and so do
/// the versions of an operator's folder.
///
/// # Errors
/// [`MigrationError::Unknown`] for a version of a newer release, whose way back is not here; database errors.
pub(crate) async fn take_back(db: &Db, dry_run: bool, progress: &dyn Progress) -> Result<Versions, Error> {
    let files = files::read(None).await?;
    let mut session = db.session().await?;
    let own = record::own(&mut session).await?;
    let mut versions = stand(Origin::Stockfoil, &files.own, &own.records);
    versions.retain(|version| version.state != State::Pending);
    let mut plan = Plan { versions, shared: own.shared, obstacle: None, warnings: Vec::new() };
    if let Some(unknown) = plan.versions.iter().find(|version| version.state == State::Unknown) {
        return Err(drift(unknown).into());
    }
    if dry_run {
        return Ok(plan.report(dry_run, false));
    }
    if plan.versions.is_empty() {
        record::drop_empty(&mut session, progress).await?;
        return Ok(plan.report(false, false));
    }
    let _lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
    record::settle(&mut session, progress).await?;
    plan.shared.clear();
    let taking = "take Stockfoil's own versions back";
    let mut transaction = session.begin().await.context(taking)?;
    // It lies in the schema that one of them made, and knows of nothing that is left.
    sqlx::query("DROP TABLE stockfoil.migration").execute(&mut *transaction).await.context(taking)?;
    for version in plan.versions.iter_mut().rev() {
        version.state = State::Forgotten;
        if version.version == DEFAULT_INVENTORY {
            continue;
        }
        let Some(file) = files::down(version.version) else { continue };
        let context = || format!("take migration {} back", version.version);
        sqlx::raw_sql(file.sql.clone()).execute(&mut *transaction).await.context(context())?;
        version.state = State::TakenBack;
    }
    // The version that drops the schema may never have come to be.
    let is_left: bool = sqlx::query_scalar(include_str!("versioned/left.sql"))
        .fetch_one(&mut *transaction)
        .await
        .context(taking)?;
    if is_left {
        sqlx::query("DROP SCHEMA stockfoil").execute(&mut *transaction).await.context(taking)?;
    }
    transaction.commit().await.context(taking)?;
    Ok(plan.report(false, false))
}

/// Whether `version` of Stockfoil's own is applied.
///
/// # Errors
/// Database errors.
pub(super) async fn is_applied(session: &mut PgConnection, version: i64) -> Result<bool, DbError> {
    Ok(record::own(session).await?.records.contains_key(&version))
}

/// The newest applied version, of Stockfoil's own or of the sqlx table on the search path.
///
/// # Errors
/// Database errors.
pub(crate) async fn head(session: &mut PgConnection) -> Result<Option<i64>, DbError> {
    record::head(session).await
}

/// Writes an empty pair of files, `<now>_<name>.up.sql` and `.down.sql`, into `folder`, and returns their paths.
///
/// # Errors
/// [`MigrationError::BadName`], what [`check_folder`] refuses, and [`MigrationError::Folder`] when they can't be written.
pub fn create(folder: &Path, name: &str) -> Result<[PathBuf; 2], Error> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(MigrationError::BadName(name.to_owned()).into());
    }
    let failed =
        |error: std::io::Error| MigrationError::Folder { folder: folder.into(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(failed)?;
    check_folder(folder)?;
    let stem = format!("{}_{name}", Utc::now().format("%Y%m%d%H%M%S"));
    let paths = ["up", "down"].map(|direction| folder.join(format!("{stem}.{direction}.sql")));
    for path in &paths {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(path).map_err(failed)?;
        std::io::Write::write_all(&mut file, b"-- Locks: \n").map_err(failed)?;
    }
    Ok(paths)
}

/// Carries the plan out, and marks in it what was done. `theirs` is there where files of the folder are due.
async fn carry_out(
    session: &mut PgConnection,
    plan: &mut Plan,
    files: &Files,
    mode: &Mode,
    mut theirs: Option<Sqlx>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let due = plan.versions.iter().filter(|version| is_due(version, mode)).count();
    progress.begin("migrations", Some(due as u64));
    for version in plan.versions.iter_mut().filter(|version| is_due(version, mode)) {
        let is_baseline = version.state == State::ToRecord;
        match version.origin {
            Origin::Stockfoil => {
                let Some(file) = files.own.get(&version.version) else { continue };
                if is_baseline {
                    record::baseline(session, file).await?;
                } else {
                    record::apply(session, file).await?;
                }
            }
            Origin::Folder => {
                let file = files.folder.as_ref().and_then(|folder| folder.files.get(&version.version));
                let (Some(file), Some(sqlx)) = (file, &mut theirs) else { continue };
                sqlx.take(file, is_baseline).await?;
            }
        }
        version.state = if is_baseline { State::Baselined } else { State::AppliedNow };
        progress.advance(1);
    }
    if let Some(sqlx) = theirs {
        sqlx.close().await?;
    }
    progress.finish();
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

fn migrate_error(error: MigrateError) -> DbError {
    match error {
        MigrateError::Execute(cause) => DbError::Statement { context: "record a migration".into(), cause },
        MigrateError::ExecuteMigration(cause, version) => {
            DbError::Statement { context: format!("apply migration {version}"), cause }
        }
        other => DbError::Query(sqlx::Error::Migrate(Box::new(other))),
    }
}
