//! The drill: a backup is restored into a throwaway cluster and proven there, as it would have to be after a
//! disaster. Every link in it that leads out of the cluster's folder is refused.

mod answers;
mod fetch;
mod kept;
mod load;
mod machine;
mod pages;
mod proof;
mod recovery;

use std::{fs, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Backup, BackupSource, Compression, Finding, Format, duration_text,
    listing::major,
    reading::{Owners, Reader},
    restored::{Place, Recovery, Restored},
    seal::{self, Seal},
    source,
    witness::Witness,
};
use crate::{
    report::{Clock, Phase},
    throwaway::{self, Cluster, Confinement, Folder, Owner, Recovering, ServerPrograms},
};
pub use answers::Answer;
use fetch::Service;
pub(super) use kept::require_place;
pub use kept::{KeptCluster, KeptDatabase};
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
    /// When the newest restored entry of the ledger was made; of several inventories, in the one where it is oldest.
    pub newest_entry_at: Option<DateTime<Utc>>,
    /// The recovery point: how long before the drill that was, in seconds.
    pub rpo_seconds: Option<u64>,
    /// What was proven of each database that holds the inventory.
    pub databases: Vec<DatabaseProof>,
    /// What was kept of it; none where nothing was to be.
    pub kept: Option<KeptCluster>,
}

/// What came of a drill: the report, where it came so far, and what is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Drilled {
    pub(super) drill: Option<Drill>,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
    /// Whether production, where it was heard, was held against a database that is its own.
    pub(super) is_witnessed: bool,
}

/// Restores `backup` of `source` (none for a file that was named), and proves what is restored against `seal` and
/// production, the `witness`.
pub(super) async fn run(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    seal: Option<&Seal>,
    witness: Option<&Witness>,
) -> Drilled {
    let mut drilled = Drilled::default();
    let mut clock = Clock::default();
    let asked = Asked { source, backup, seal, witness };
    match attempt(reader, asked, &mut clock, &mut drilled).await {
        Ok(()) => {}
        Err(finding) => drilled.findings.push(finding),
    }
    drilled
}

/// What a drill is asked to restore, and by what to judge it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    source: Option<&'a BackupSource>,
    backup: &'a Backup,
    seal: Option<&'a Seal>,
    witness: Option<&'a Witness>,
}

async fn attempt(
    reader: &Reader<'_>,
    Asked { source, backup, seal, witness }: Asked<'_>,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<(), Finding> {
    reader.progress.begin(&format!("restore {}", backup.name), None);
    let mut settings = reader.config.backup.throwaway();
    if let Some(folder) = reader.keep {
        settings.parent = folder.to_path_buf();
        settings.names.parent = kept::FLAG;
    }
    let owner = Owner::of_cluster(&settings)?;
    let folder = prepare(reader, &settings, &owner, backup, drilled).await?;
    let started_at = Utc::now();
    clock.lap("prepare");

    let place = Place::new(&folder, &owner);
    let restored = source::restore(reader, &place, source, backup).await?;
    drilled.findings.extend(place.told());
    // A dump that a tool brought back may have its seal beside it.
    let own_seal = match (&restored, seal) {
        (Restored::Dump(_, dump), None) => seal::read(None, dump)?,
        _ => None,
    };
    let seal = seal.or(own_seal.as_ref());
    let restored_backup = match &restored {
        Restored::Dump(_, dump) => dump.clone(),
        // What was read of it told when it began.
        Restored::Data(_) => Backup {
            started_at: witness.map_or(backup.started_at, |witness| witness.as_of),
            ..backup.clone()
        },
    };
    let of_own = hear_again(reader, &restored_backup, witness, drilled).await;
    let witness = of_own.as_ref().or(witness.filter(|witness| witness.is_as_of(&restored_backup)));
    let programs = programs_for(reader, &settings, &place, &restored).await?;
    let mut server = Cluster::new(&settings, programs, &folder, owner.clone());
    let subject = Subject { source, backup: &restored_backup, seal, witness, started_at };
    let drill = up_and_proven(reader, &place, &subject, &mut server, restored, clock, drilled).await;
    let mut drill = drill.map_err(|finding| machine::own(finding, &server.log()))?;
    if let Some(parent) = reader.keep {
        let kept = server.keep(reader.progress).await?;
        let commands = KeptCluster::of(parent, &server, kept, &drill.databases);
        drop(server);
        folder.keep()?;
        drill.kept = Some(commands);
    }
    drilled.drill = Some(drill);
    Ok(())
}

/// Asks production once more where what lay in a tool's backup began at another time than that for which it was heard.
async fn hear_again(
    reader: &Reader<'_>,
    restored: &Backup,
    witness: Option<&Witness>,
    drilled: &mut Drilled,
) -> Option<Witness> {
    witness.filter(|witness| !witness.is_as_of(restored))?;
    match Witness::hear(reader.production, reader.config.mapping, restored, &Owners::default()).await {
        Ok(witness) => Some(witness),
        Err(reason) => {
            drilled.notes.push(format!("production was not held against what was restored: {reason}"));
            None
        }
    }
}

/// What is restored, and what it is held against.
struct Subject<'a> {
    source: Option<&'a BackupSource>,
    /// The backup itself, or the dump that a tool brought back.
    backup: &'a Backup,
    seal: Option<&'a Seal>,
    /// Production, where it was heard.
    witness: Option<&'a Witness>,
    /// When the drill began.
    started_at: DateTime<Utc>,
}

/// Brings the server up on what was restored, and proves it there.
async fn up_and_proven(
    reader: &Reader<'_>,
    place: &Place<'_>,
    subject: &Subject<'_>,
    server: &mut Cluster<'_>,
    restored: Restored,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<Drill, Finding> {
    let recovery = bring_up(reader, place, server, restored, clock, drilled).await?;
    let rto_ms = clock.total_ms();
    let databases = proof::prove(reader, subject, server, clock, drilled).await?;
    server.stop().await?;
    if let Some(source) = subject.source {
        drilled.findings.extend(databases.iter().filter_map(|database| check_rpo(source, database)));
    }
    // Of several inventories, the one of which most would be lost counts.
    let oldest = databases.iter().min_by_key(|database| database.newest_entry_at);
    Ok(Drill {
        rto_ms,
        total_ms: clock.total_ms(),
        phases: std::mem::take(&mut clock.phases),
        recovery,
        newest_entry_at: oldest.and_then(|database| database.newest_entry_at),
        rpo_seconds: oldest.and_then(|database| database.rpo_seconds),
        databases,
        kept: None,
    })
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
        Restored::Dump(_, dump) => return programs_for_dump(reader, settings, dump).await,
        Restored::Data(_) => {
            refuse_links(&place.data(), place.folder.path())?;
            (Some(data_version(&place.data())?), 0)
        }
    };
    Ok(ServerPrograms::find(settings, version, at_least, reader.progress).await?)
}

/// The server's programs that a drill of `backup` would take; none where only what is restored tells.
pub(super) async fn programs_needed(
    reader: &Reader<'_>,
    backup: &Backup,
) -> Result<Option<ServerPrograms>, Finding> {
    let settings = reader.config.backup.throwaway();
    if backup.is_dump() {
        return programs_for_dump(reader, &settings, backup).await.map(Some);
    }
    match major(backup.server_version.as_deref().unwrap_or_default()) {
        0 => Ok(None),
        version => Ok(Some(ServerPrograms::find(&settings, Some(version), 0, reader.progress).await?)),
    }
}

/// Those of the version that wrote the dump, or newer; where there are none, of that of the dump's server, which may do.
async fn programs_for_dump(
    reader: &Reader<'_>,
    settings: &throwaway::Settings,
    dump: &Backup,
) -> Result<ServerPrograms, Finding> {
    let of_server = major(dump.server_version.as_deref().unwrap_or_default());
    let found = ServerPrograms::find(settings, None, dump.needs, reader.progress).await;
    if found.is_err() && of_server < dump.needs {
        return Ok(ServerPrograms::find(settings, None, of_server, reader.progress).await?);
    }
    Ok(found?)
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

/// Holds what was lost of `database` against what `source` allows.
fn check_rpo(source: &BackupSource, database: &DatabaseProof) -> Option<Finding> {
    let limit = source.max_rpo?;
    let text = match database.rpo_seconds.map(Duration::from_secs) {
        Some(lost) if lost <= limit => return None,
        Some(lost) => format!(
            "the newest restored entry is {} old, more than max_rpo ({})",
            duration_text(lost),
            duration_text(limit)
        ),
        None => "no entry was restored, so max_rpo can't hold".to_owned(),
    };
    Some(Finding::critical("rpo", format!("{}{text}", database.whose)))
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
pub(super) fn room_needed(backup: &Backup) -> u64 {
    let is_compressed = backup.compression != Compression::None
        || matches!(backup.format, Some(Format::Custom | Format::Directory));
    let factor = match (is_compressed, backup.is_dump()) {
        // What is in it asks for its own when it is known.
        _ if backup.is_wrapped() => 2,
        (true, _) => EXPANSION_COMPRESSED,
        (false, true) => EXPANSION_PLAIN,
        // The data, and the WAL of its recovery.
        (false, false) => 2,
    };
    backup.size_bytes.saturating_mul(factor)
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
