//! The drill: a backup is restored into a throwaway cluster and proven there, as it would have to be after a
//! disaster.
//!
//! A private folder of mode 0700, a server without TCP and with a configuration of its own ([`cluster`]), every link
//! that leads out of the folder refused, every program with an end. What a killed drill left is removed by the next.

mod cluster;
mod folder;
mod proof;

pub(super) use cluster::{Recovery, ServerPrograms};
pub(super) use folder::{Folder, Owner, size_below};

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    Backup, Compression, Finding, Format, duration_text,
    reading::Reader,
    seal::{self, Seal},
    source::{self, dump},
    tool::{self, PgRestore},
};
use crate::config::BackupSource;
use cluster::Throwaway;
pub use proof::{DatabaseProof, ReconcileProof, TableCount};

/// The database that a dump is loaded into.
const LOADED: &str = "restored";

/// A restored backup of so many bytes is expected from one byte of a compressed dump.
const EXPANSION_COMPRESSED: u64 = 20;

/// And so many from one byte of a dump that is not: rows take more room in tables, and indexes come to them.
const EXPANSION_PLAIN: u64 = 3;

/// What a drill showed.
#[derive(Debug, Clone, Serialize)]
pub struct Drill {
    /// What was done, in order, with the time that each took.
    pub phases: Vec<Phase>,
    /// The recovery time: until the restored database could be used, in milliseconds.
    pub rto_ms: u64,
    /// All of the drill, the proofs included, in milliseconds.
    pub total_ms: u64,
    /// When the newest restored entry of the ledger was made.
    pub newest_entry_at: Option<DateTime<Utc>>,
    /// The recovery point: how long before the drill that was, in seconds.
    pub rpo_seconds: Option<u64>,
    /// What was proven of each database that holds the inventory.
    pub databases: Vec<DatabaseProof>,
}

/// A part of a drill.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// What was done: `prepare`, `restore`, `recover`, and so on.
    pub name: &'static str,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What a source made of a backup in the folder of a drill.
#[derive(Debug)]
pub(super) enum Restored {
    /// A dump, still to be loaded.
    Dump(PathBuf, Backup),
    /// A cluster's data in the folder `data`, still to be recovered.
    Data(Recovery),
}

/// Where a source puts what it restores.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    owner: &'a Owner,
}

impl Place<'_> {
    /// The data folder of the throwaway cluster.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives `path` to whom the cluster runs as.
    pub(super) fn give(&self, path: &Path) -> Result<(), Finding> {
        self.owner.take(path).map_err(|error| {
            Finding::unknown("drill", format!("{} can't be given away: {error}", path.display()))
        })
    }

    /// Makes the folder `path`, for nobody else.
    pub(super) fn make(&self, path: &Path) -> Result<(), Finding> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| Finding::unknown("drill", format!("{} can't be made: {error}", path.display())))
    }

    /// A folder for whatever else a source needs.
    pub(super) fn scratch(&self, name: &str) -> Result<PathBuf, Finding> {
        let path = self.folder.path().join(name);
        self.make(&path)?;
        Ok(path)
    }
}

/// What came of a drill: the report, where it came so far, and what is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Drilled {
    pub(super) drill: Option<Drill>,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

/// Restores `backup` of `source` (none for a file that was named), and proves what is restored against `seal`.
pub(super) async fn run(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    seal: Option<&Seal>,
) -> Drilled {
    let mut drilled = Drilled::default();
    let mut clock = Clock::default();
    match attempt(reader, source, backup, seal, &mut clock, &mut drilled).await {
        Ok(()) => {}
        Err(finding) => drilled.findings.push(finding),
    }
    drilled
}

async fn attempt(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    seal: Option<&Seal>,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<(), Finding> {
    let config = reader.config;
    reader.progress.begin(&format!("restore {}", backup.name), None);
    let parent = config.drill_folder();
    let owner = Owner::of_cluster(&config.backup.drill_user)?;
    let prepared = reader
        .blocking({
            let (parent, owner, needed) = (parent.clone(), owner.clone(), room_needed(backup));
            let reserve = config.backup.drill_reserve;
            move |meter| {
                let left = folder::remove_left(&parent, &owner);
                meter.add(1);
                let folder = Folder::create(&parent, &owner, reserve)?;
                folder.require_room(needed)?;
                Ok::<_, Finding>((left, folder))
            }
        })
        .await?;
    let (left, folder) = prepared?;
    drilled.notes.extend(left);
    let started_at = Utc::now();
    clock.lap("prepare");

    let place = Place { folder: &folder, owner: &owner };
    let restored = source::restore(reader, &place, source, backup).await?;
    // A dump that a tool brought back may have its seal beside it.
    let own_seal = match (&restored, seal) {
        (Restored::Dump(_, dump), None) => seal::read(None, dump)?,
        _ => None,
    };
    let seal = seal.or(own_seal.as_ref());
    let restored_backup = match &restored {
        Restored::Dump(_, dump) => dump.clone(),
        Restored::Data(_) => backup.clone(),
    };
    let (version, at_least, recovery) = match &restored {
        Restored::Dump(_, dump) => (None, dump_version(dump), Recovery::default()),
        Restored::Data(recovery) => {
            refuse_links(&place.data(), folder.path())?;
            (Some(data_version(&place.data())?), 0, recovery.clone())
        }
    };
    let programs = ServerPrograms::find(config, version, at_least, reader.progress).await?;
    let mut server = Throwaway::new(config, programs, &folder, owner.clone());
    match restored {
        Restored::Dump(path, dump) => {
            server.init(reader.progress).await?;
            server.start(&recovery, reader.progress).await?;
            clock.lap("start");
            load(reader, &server, &path, &dump).await?;
            clock.lap("load");
        }
        Restored::Data(_) => {
            clock.lap("restore");
            place.give(folder.path())?;
            server.start(&recovery, reader.progress).await?;
            clock.lap("recover");
        }
    }
    let rto_ms = clock.total_ms();

    let databases = proof::prove(reader, source, &restored_backup, seal, &server, clock, drilled).await?;
    server.stop().await?;
    let newest_entry_at = databases.iter().filter_map(|database| database.newest_entry_at).max();
    let lost = newest_entry_at.map(|newest| (started_at - newest).max(TimeDelta::zero()));
    if let Some(limit) = source.and_then(|source| source.max_rpo) {
        match lost.and_then(|lost| lost.to_std().ok()) {
            Some(lost) if lost <= limit => {}
            Some(lost) => drilled.findings.push(Finding::critical(
                "rpo",
                format!(
                    "the newest restored entry is {} old, more than max_rpo ({})",
                    duration_text(lost),
                    duration_text(limit)
                ),
            )),
            None => drilled
                .findings
                .push(Finding::critical("rpo", "no entry was restored, so max_rpo can't hold")),
        }
    }
    drilled.drill = Some(Drill {
        rto_ms,
        total_ms: clock.total_ms(),
        phases: std::mem::take(&mut clock.phases),
        newest_entry_at,
        rpo_seconds: lost.map(|lost| lost.num_seconds().unsigned_abs()),
        databases,
    });
    Ok(())
}

/// Loads a dump into the running server.
async fn load(
    reader: &Reader<'_>,
    server: &Throwaway<'_>,
    path: &Path,
    dump: &Backup,
) -> Result<(), Finding> {
    let named = dump::named(reader, path, dump).await?;
    let refused =
        |what: &str, words: String| Finding::critical("load", format!("{what} refused it: {words}"));
    let mut database = "postgres";
    if !named.is_cluster {
        database = LOADED;
        proof::make_database(reader.config, server, LOADED, &named.roles).await?;
    }
    let limit = reader.config.backup.timeout;
    let (file, feed) = dump::how_to_give(path, dump.compression);
    if dump.format != Some(Format::Plain) {
        let pg_restore = PgRestore::of(reader.config).within(limit);
        let ran = pg_restore.load(server.connection(database), file, feed, reader.progress).await?;
        return match ran.complaint() {
            Some(complaint) => Err(refused("pg_restore", complaint)),
            None => Ok(()),
        };
    }
    let (owned, compression) = (path.to_path_buf(), dump.compression);
    // Always through a pipe: the server's user need not be able to read the dump.
    let feed: tool::Feed = Box::new(move |meter| compression.reader(meter.read(fs::File::open(owned)?)));
    let mut args = server.connection(database);
    args.extend(
        ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"].map(OsString::from),
    );
    let psql = server.program("psql").within(limit);
    let ran = psql.run(args, Some(feed), reader.progress, tool::drain).await?;
    match ran.complaint() {
        Some(complaint) => Err(refused("psql", complaint)),
        None => Ok(()),
    }
}

/// How much room a drill of `backup` is expected to take, in bytes.
fn room_needed(backup: &Backup) -> u64 {
    let is_compressed = backup.compression != Compression::None
        || matches!(backup.format, Some(Format::Custom | Format::Directory));
    let factor = match (is_compressed, backup.is_dump()) {
        (true, _) => EXPANSION_COMPRESSED,
        (false, true) => EXPANSION_PLAIN,
        // The data, and the WAL of its recovery.
        (false, false) => 2,
    };
    backup.size_bytes.saturating_mul(factor)
}

/// The major version of the server that a dump is of; 0 when it does not say.
fn dump_version(dump: &Backup) -> u32 {
    let version = dump.server_version.as_deref().unwrap_or_default();
    version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// The major version of the server whose data lies in `data`.
fn data_version(data: &Path) -> Result<u32, Finding> {
    let text = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    text.trim().parse().map_err(|_| {
        Finding::critical("restore", "what was restored is no data folder: it has no PG_VERSION that holds")
    })
}

/// Refuses links below `path` that lead out of `folder`: a server would write to where they lead.
fn refuse_links(path: &Path, folder: &Path) -> Result<(), Finding> {
    let failed = |path: &Path, error: std::io::Error| {
        Finding::unknown("drill", format!("{} can't be looked at: {error}", path.display()))
    };
    for entry in fs::read_dir(path).map_err(|error| failed(path, error))? {
        let entry = entry.map_err(|error| failed(path, error))?;
        let (kind, path) = (entry.file_type().map_err(|error| failed(path, error))?, entry.path());
        if kind.is_symlink() {
            let target = path.canonicalize();
            if !target.as_ref().is_ok_and(|target| target.starts_with(folder)) {
                let leads = fs::read_link(&path).unwrap_or_default();
                let text = format!(
                    "holds a link that leads out of the drill's folder, so no server is started on it: {} to {}",
                    path.strip_prefix(folder).unwrap_or(&path).display(),
                    leads.display()
                );
                return Err(Finding::unknown("drill", text));
            }
        } else if kind.is_dir() {
            refuse_links(&path, folder)?;
        }
    }
    Ok(())
}

/// Times the phases of a drill.
#[derive(Debug)]
struct Clock {
    started: Instant,
    lap: Instant,
    phases: Vec<Phase>,
}

impl Default for Clock {
    fn default() -> Self {
        let now = Instant::now();
        Self { started: now, lap: now, phases: Vec::new() }
    }
}

impl Clock {
    /// Ends a phase, and begins the next.
    fn lap(&mut self, name: &'static str) {
        self.phases.push(Phase { name, duration_ms: millis(self.lap) });
        self.lap = Instant::now();
    }

    fn total_ms(&self) -> u64 {
        millis(self.started)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
