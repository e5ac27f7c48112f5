//! The drill: a backup is restored into a throwaway cluster and proven there, as it would have to be after a
//! disaster. Every link in it that leads out of the cluster's folder is refused.

mod fetch;
mod load;
mod proof;
mod recovery;

use std::{fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    Backup, BackupSource, Compression, Finding, Format, duration_text,
    reading::Reader,
    restored::{Place, Recovery, Restored},
    seal::{self, Seal},
    source,
};
use crate::{
    report::{Clock, Phase},
    throwaway::{self, Cluster, Confinement, Folder, Owner, Recovering, ServerPrograms},
};
use fetch::Service;
pub use proof::{DatabaseProof, ReconcileProof, TableCount};
use recovery::Beginning;
pub use recovery::RecoveryEnd;

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
    /// Where the recovery of a cluster ended; none of a dump.
    pub recovery: Option<RecoveryEnd>,
    /// When the newest restored entry of the ledger was made.
    pub newest_entry_at: Option<DateTime<Utc>>,
    /// The recovery point: how long before the drill that was, in seconds.
    pub rpo_seconds: Option<u64>,
    /// What was proven of each database that holds the inventory.
    pub databases: Vec<DatabaseProof>,
}

impl Drill {
    /// Whether the restored data is of the cluster `system`, as far as the backup tells; a dump is of none.
    pub(super) fn is_of(&self, system: Option<&str>, backup: &Backup) -> bool {
        let of = |database: &DatabaseProof| database.system_identifier.as_deref() == system;
        !backup.is_physical_or_tools() || (system.is_some() && self.databases.iter().any(of))
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
    reader.progress.begin(&format!("restore {}", backup.name), None);
    let settings = reader.config.backup.throwaway();
    let owner = Owner::of_cluster(&settings)?;
    let folder = prepare(reader, &settings, &owner, backup, drilled).await?;
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
    let programs = programs_for(reader, &settings, &place, &restored).await?;
    let mut server = Cluster::new(&settings, programs, &folder, owner.clone());
    let recovery = bring_up(reader, &place, &mut server, restored, clock, drilled).await?;
    let rto_ms = clock.total_ms();

    let databases = proof::prove(reader, source, &restored_backup, seal, &server, clock, drilled).await?;
    server.stop().await?;
    let newest_entry_at = databases.iter().filter_map(|database| database.newest_entry_at).max();
    let lost = newest_entry_at.map(|newest| (started_at - newest).max(TimeDelta::zero()));
    drilled.findings.extend(source.and_then(|source| check_rpo(source, lost)));
    drilled.drill = Some(Drill {
        rto_ms,
        total_ms: clock.total_ms(),
        phases: std::mem::take(&mut clock.phases),
        recovery,
        newest_entry_at,
        rpo_seconds: lost.map(|lost| lost.num_seconds().unsigned_abs()),
        databases,
    });
    Ok(())
}

/// Makes the folder of the drill, where there is room for one and the kernel keeps a server inside of it.
async fn prepare(
    reader: &Reader<'_>,
    settings: &throwaway::Settings,
    owner: &Owner,
    backup: &Backup,
    drilled: &mut Drilled,
) -> Result<Folder, Finding> {
    let prepared = reader
        .blocking({
            let (settings, owner, needed) = (settings.clone(), owner.clone(), room_needed(backup));
            move |meter| {
                let left = throwaway::remove_left(&settings, &owner);
                meter.add(1);
                let folder = Folder::create(&settings, &owner)?;
                folder.require_room(needed)?;
                Ok::<_, Finding>((left, folder))
            }
        })
        .await?;
    let (left, folder) = prepared?;
    drilled.notes.extend(left);
    if settings.is_confined {
        Confinement::server(folder.path()).require(settings.names)?;
    }
    Ok(folder)
}

/// The server's programs that what was restored asks for.
async fn programs_for(
    reader: &Reader<'_>,
    settings: &throwaway::Settings,
    place: &Place<'_>,
    restored: &Restored,
) -> Result<ServerPrograms, Finding> {
    let (version, at_least) = match restored {
        Restored::Dump(_, dump) => (None, dump_version(dump)),
        Restored::Data(_) => {
            refuse_links(&place.data(), place.folder.path())?;
            (Some(data_version(&place.data())?), 0)
        }
    };
    Ok(ServerPrograms::find(settings, version, at_least, reader.progress).await?)
}

/// Starts the server on what was restored; says where its recovery ended, where there was one.
async fn bring_up(
    reader: &Reader<'_>,
    place: &Place<'_>,
    server: &mut Cluster<'_>,
    restored: Restored,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<Option<RecoveryEnd>, Finding> {
    match restored {
        Restored::Dump(path, dump) => {
            server.init(reader.progress).await?;
            server.start(None, reader.progress).await?;
            clock.lap("start");
            load::load(reader, server, &path, &dump, &mut drilled.notes).await?;
            clock.lap("load");
            Ok(None)
        }
        Restored::Data(recovery) => {
            clock.lap("restore");
            let end = recover(reader, place, server, &recovery, drilled).await?;
            clock.lap("recover");
            Ok(Some(end))
        }
    }
}

/// Holds what was lost against what `source` allows.
fn check_rpo(source: &BackupSource, lost: Option<TimeDelta>) -> Option<Finding> {
    let limit = source.max_rpo?;
    let text = match lost.and_then(|lost| lost.to_std().ok()) {
        Some(lost) if lost <= limit => return None,
        Some(lost) => format!(
            "the newest restored entry is {} old, more than max_rpo ({})",
            duration_text(lost),
            duration_text(limit)
        ),
        None => "no entry was restored, so max_rpo can't hold".to_owned(),
    };
    Some(Finding::critical("rpo", text))
}

/// Recovers the cluster in the drill's data folder as far as its archive goes.
async fn recover(
    reader: &Reader<'_>,
    place: &Place<'_>,
    server: &mut Cluster<'_>,
    recovery: &Recovery,
    drilled: &mut Drilled,
) -> Result<RecoveryEnd, Finding> {
    place.give(place.folder.path())?;
    let beginning = Beginning::of(&place.data(), recovery);
    let mut service = Service::open(place.folder, place.owner, recovery.supply.clone())?;
    let recovering =
        Recovering { restore_command: service.command(), service: Box::pin(service.serve(reader.progress)) };
    let started = server.start(Some(recovering), reader.progress).await;
    drilled.findings.append(&mut service.findings);
    started?;
    let (end, finding) =
        beginning.ended(&place.data(), &server.log(), recovery, &place.scratch("end")?).await?;
    drilled.findings.extend(finding);
    Ok(end)
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
