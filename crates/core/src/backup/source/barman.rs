//! Barman. It says OK where there are no backups at all, and lists WAL from its own records: so backups are counted
//! here, and the files are looked for on the disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::basebackup;
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format,
        listing::Listing,
        reading::{Reader, Reading},
        restored::{Place, Recovery, Restored, Supply},
        tool,
        wal::{Archive, Begin, Segment, page_note},
    },
    progress::Silent,
    throwaway::Program,
};

/// What the archived WAL is called.
const ARCHIVE: &str = "Barman's archive";

/// What `barman verify-backup` says when all is well.
const VERIFIED: &str = "successfully verified";

#[derive(Deserialize)]
struct Entry {
    backup_id: String,
    status: String,
    #[serde(default)]
    end_time_timestamp: Option<String>,
    #[serde(default)]
    size_bytes: u64,
}

#[derive(Deserialize)]
struct Shown {
    base_backup_information: Base,
    #[serde(default)]
    postgresql_version: Option<u32>,
    #[serde(default)]
    tablespaces: Vec<Tablespace>,
}

#[derive(Deserialize)]
struct Base {
    begin_time_timestamp: String,
    begin_wal: String,
}

#[derive(Deserialize)]
struct Tablespace {
    name: String,
}

#[derive(Deserialize)]
struct Check {
    status: String,
    #[serde(default)]
    hint: String,
}

fn program(reader: &Reader<'_>, source: &BackupSource) -> Program {
    let program = tool::of_source(reader.config.backup, source, "barman");
    match &source.config_file {
        Some(file) => program.with_args(["-c".into(), file.clone()]),
        None => program,
    }
}

fn server(source: &BackupSource) -> &str {
    source.server.as_deref().unwrap_or_default()
}

/// Finds the backups of the server.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let mut listing = Listing::default();
    let entries: Vec<Entry> = ask(reader, source, &["list-backup", server(source)]).await?;
    for entry in &entries {
        let ended = entry.end_time_timestamp.as_deref().and_then(seconds);
        // Of the newest its start is asked below; of the others nothing counts but their order.
        let at = ended.or_else(|| started_by_id(&entry.backup_id)).unwrap_or(DateTime::UNIX_EPOCH);
        let mut backup = Backup::of_tool(entry.backup_id.clone(), Some(Format::Full), entry.size_bytes, at);
        match entry.status.as_str() {
            "DONE" => {}
            "WAITING_FOR_WALS" => backup.find("status", "waits for the WAL that makes it whole"),
            status => backup.find("status", format!("has the status {status}, not DONE")),
        }
        listing.backups.push(backup);
    }
    listing.backups.sort_by_key(|backup| std::cmp::Reverse(backup.started_at));
    if let Some(newest) = listing.backups.first_mut()
        && newest.findings.is_empty()
    {
        let shown = show(reader, source, &newest.name).await?;
        let base = &shown.base_backup_information;
        newest.started_at = seconds(&base.begin_time_timestamp)
            .ok_or_else(|| Finding::unknown("tool", "barman tells of an impossible time"))?;
        newest.server_version = shown.postgresql_version.map(|version| (version / 10_000).to_string());
        let (name, base) = (newest.name.clone(), base.begin_wal.clone());
        let archive = archive_of(reader, source, &name).await?;
        let first = Segment::parse(&base, archive.segment_bytes)
            .ok_or_else(|| Finding::unknown("tool", "barman tells of WAL by a name that is none"))?;
        newest.findings.extend(archive.faults(Path::new(ARCHIVE), first, None));
        listing.archived_until(source, archive.newest_at, Utc::now());
        listing.wal = Some(archive.holdings(Path::new(ARCHIVE)).state(&[Begin::bare(&name, first)], &[]));
    }
    listing.problems.extend(checks(reader, source).await?);
    Ok(listing)
}

/// The archived WAL from the start of the backup `id` on.
async fn archive_of(reader: &Reader<'_>, source: &BackupSource, id: &str) -> Result<Archive, Finding> {
    let args = ["list-files", "--target", "wal", server(source), id];
    let text = program(reader, source).text(args, &Silent).await?.whole()?;
    let paths: Vec<PathBuf> = text.lines().map(|line| line.trim().into()).collect();
    reader
        .looking(move |meter| {
            meter.add(1);
            // It lists what it once recorded.
            Archive::of(paths.into_iter().filter(|path| path.exists()).collect())
        })
        .await
        .map_err(|lost| Finding::unknown("wal", format!("looking at {ARCHIVE} {lost}")))
}

/// What `barman check` finds wrong. It also asks the server, which may be down; so nothing here is critical.
async fn checks(reader: &Reader<'_>, source: &BackupSource) -> Result<Vec<Finding>, Finding> {
    // Its exit status is 1 where a check fails, and it writes its report all the same.
    let ran = program(reader, source).text(["-f", "json", "check", server(source)], &Silent).await?;
    let text = ran.output.unwrap_or_default();
    let report: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|error| {
        Finding::unknown("tool", format!("barman check wrote what is not its JSON: {error}"))
    })?;
    let checks: BTreeMap<String, Check> = report
        .get(server(source))
        .cloned()
        .and_then(|value| serde_json::from_value(value).ok())
        .ok_or_else(|| Finding::unknown("tool", "barman check does not speak of the server"))?;
    let failed = checks.iter().filter(|(_, check)| check.status != "OK");
    Ok(failed
        .map(|(name, check)| {
            let hint = if check.hint.is_empty() { String::new() } else { format!(": {}", check.hint) };
            Finding::warning("status", format!("barman check: {name} {}{hint}", check.status.to_lowercase()))
        })
        .collect())
}

async fn show(reader: &Reader<'_>, source: &BackupSource, id: &str) -> Result<Shown, Finding> {
    ask(reader, source, &["show-backup", server(source), id]).await
}

/// What Barman answers for the server, in JSON.
async fn ask<T: serde::de::DeserializeOwned>(
    reader: &Reader<'_>,
    source: &BackupSource,
    args: &[&str],
) -> Result<T, Finding> {
    let args = ["-f", "json"].iter().chain(args).copied();
    let mut answer: BTreeMap<String, Value> = tool::json(&program(reader, source), args, &Silent).await?;
    let server = server(source);
    let Some(value) = answer.remove(server) else {
        return Err(Finding::critical("listing", format!("Barman does not know the server {server}")));
    };
    serde_json::from_value(value)
        .map_err(|error| Finding::unknown("tool", format!("barman wrote what is not its JSON: {error}")))
}

/// Has Barman compare every file with the backup's manifest, or compares them here where they lie in tar files
/// (`backup_compression`), and reads the archived WAL behind it.
pub(super) async fn read(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    let mut reading = match tar_folder(reader, source, backup).await {
        // What Barman asks knows no tar files.
        Ok(Some(folder)) => basebackup::read_tar_of(reader, &folder).await,
        Ok(None) => verify(reader, source, backup).await,
        Err(finding) => Reading::of(finding),
    };
    match read_archive(reader, source, backup).await {
        Ok(count) => reading.notes.push(page_note(count)),
        Err(finding) => reading.findings.push(finding),
    }
    reading
}

/// The folder with the backup's tar files; none where its files lie as they are.
async fn tar_folder(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Option<PathBuf>, Finding> {
    let args = ["list-files", "--target", "data", server(source), &backup.name];
    let text = program(reader, source).text(args, &Silent).await?.whole()?;
    let is_tar =
        |path: &&Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("base.tar"));
    let found = text.lines().map(|line| Path::new(line.trim())).find(is_tar);
    Ok(found.and_then(Path::parent).map(Path::to_path_buf))
}

/// Reads each archived segment from the backup's first on.
async fn read_archive(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Result<usize, Finding> {
    let base = show(reader, source, &backup.name).await?.base_backup_information;
    let archive = archive_of(reader, source, &backup.name).await?;
    let first = Segment::parse(&base.begin_wal, archive.segment_bytes)
        .ok_or_else(|| Finding::unknown("tool", "barman tells of WAL by a name that is none"))?;
    reader.blocking(move |meter| archive.check(first, None, meter)).await?
}

async fn verify(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    let program = program(reader, source).within(reader.config.backup.timeout);
    let ran = match program.text(["verify-backup", server(source), &backup.name], reader.progress).await {
        Ok(ran) => ran,
        Err(error) => return Reading::of(error.into()),
    };
    let said = ran.output.as_ref().map_or("", String::as_str);
    match ran.complaint() {
        None if said.contains(VERIFIED) => Reading {
            is_checksummed: true,
            notes: vec!["every file is as its manifest says (barman verify-backup)".into()],
            ..Reading::default()
        },
        None => {
            let text = "barman verify-backup ended well but did not say that it verified anything; a backup by rsync needs barman generate-manifest first";
            Reading::of(Finding::unknown("tool", text))
        }
        Some(complaint) => {
            let line = said.lines().find(|line| line.contains("error")).map_or(complaint.as_str(), str::trim);
            Reading::of(Finding::critical("read", format!("barman verify-backup found damage: {line}")))
        }
    }
}

/// Has Barman restore the backup with all WAL that it has.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Restored, Finding> {
    let shown = show(reader, source, &backup.name).await?;
    let (data, tablespaces) = (place.data(), place.scratch("tablespaces")?);
    place.make(&data)?;
    // Run by root, Barman becomes its own user, who must be the cluster's.
    place.give(&data)?;
    place.give(&tablespaces)?;
    // Where a compressed backup is laid down on its way.
    let staging = place.scratch("staging")?;
    place.give(&staging)?;
    let mut args: Vec<String> = vec!["recover".into(), "--no-get-wal".into()];
    args.extend(["--recovery-staging-path".into(), staging.display().to_string()]);
    for Tablespace { name } in &shown.tablespaces {
        args.push("--tablespace".into());
        args.push(format!("{name}:{}", tablespaces.join(name).display()));
    }
    args.extend([server(source).to_owned(), backup.name.clone(), data.display().to_string()]);
    let program = program(reader, source).within(reader.config.backup.timeout);
    tool::restored(program.text(args, reader.progress).await?)?;
    let archive = archive_of(reader, source, &backup.name).await?;
    let holdings = Some(archive.holdings(Path::new(ARCHIVE)));
    Ok(Restored::Data(Recovery { supply: Supply::Folder(Arc::new(archive)), holdings }))
}

fn seconds(text: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(text.parse().ok()?, 0)
}

/// `20260131T020000`, for the order of backups that tell nothing else.
fn started_by_id(id: &str) -> Option<DateTime<Utc>> {
    chrono::NaiveDateTime::parse_from_str(id, "%Y%m%dT%H%M%S").ok().map(|time| time.and_utc())
}
