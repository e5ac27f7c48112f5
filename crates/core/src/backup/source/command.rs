//! Any program that tells of backups in the JSON that docs/backup-and-recovery.md describes: snapshots of a managed
//! service, tools that are not known here.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::payload;
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format,
        listing::Listing,
        reading::{Reader, Reading},
        restored::{Place, Restored},
        tool,
    },
    progress::Silent,
    throwaway::Program,
};

/// What the program of `list` writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    backups: Vec<Entry>,
    /// When WAL was archived last.
    #[serde(default)]
    last_wal_at: Option<DateTime<Utc>>,
    /// What is wrong, a sentence each.
    #[serde(default)]
    problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    started_at: DateTime<Utc>,
    #[serde(default)]
    finished_at: Option<DateTime<Utc>>,
    size_bytes: u64,
    status: EntryStatus,
    #[serde(default)]
    kind: Kind,
    /// The backups without which this one is none.
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    database: Option<String>,
    #[serde(default)]
    server_version: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryStatus {
    Ok,
    Running,
    Failed,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Full,
    Differential,
    Incremental,
}

/// What the program of `verify` writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    status: VerdictStatus,
    /// Whether every byte was compared with a checksum made with the backup.
    #[serde(default)]
    checksummed: bool,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictStatus {
    Ok,
    Damaged,
}

/// Finds the backups that the program tells of.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let (program, args) = program(reader, source, &source.list, "", Path::new(""));
    let listed: Listed = tool::json(&program, args, &Silent).await?;
    let mut listing = Listing::default();
    let names: Vec<String> = listed.backups.iter().map(|entry| entry.name.clone()).collect();
    for entry in listed.backups {
        let format = match entry.kind {
            Kind::Full => Format::Full,
            Kind::Differential => Format::Differential,
            Kind::Incremental => Format::Incremental,
        };
        // One under way is not there yet.
        if entry.status == EntryStatus::Running {
            continue;
        }
        let mut backup = Backup::of_tool(entry.name, Some(format), entry.size_bytes, entry.started_at);
        backup.modified_at = entry.finished_at.unwrap_or(entry.started_at);
        backup.database = entry.database;
        backup.server_version = entry.server_version;
        if entry.size_bytes == 0 {
            backup.find("size", "is empty (0 bytes)");
        }
        if entry.status == EntryStatus::Failed {
            let why = entry.message.map(|message| format!(": {message}")).unwrap_or_default();
            backup.find("status", format!("failed{why}"));
        }
        for needed in entry.needs.iter().filter(|needed| !names.contains(needed)) {
            backup.find("chain", format!("needs the backup {needed}, which is gone"));
        }
        listing.backups.push(backup);
    }
    listing.problems.extend(listed.problems.into_iter().map(|text| Finding::critical("status", text)));
    listing.archived_until(source, listed.last_wal_at, Utc::now());
    Ok(listing)
}

/// Has the program read the backup, or restores it here and reads what comes.
pub(super) async fn read(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    if source.verify.is_empty() {
        return read_restored(reader, source, backup).await.unwrap_or_else(Reading::of);
    }
    let (program, args) = program(reader, source, &source.verify, &backup.name, Path::new(""));
    let verdict =
        tool::json::<Verdict>(&program.within(reader.config.backup.timeout), args, reader.progress).await;
    match verdict {
        Err(finding) => Reading::of(finding),
        Ok(Verdict { status: VerdictStatus::Ok, checksummed, message }) => Reading {
            is_checksummed: checksummed,
            notes: message.into_iter().collect(),
            ..Reading::default()
        },
        Ok(Verdict { message, .. }) => {
            let why = message.map(|message| format!(": {message}")).unwrap_or_default();
            Reading::of(Finding::critical("read", format!("is damaged{why}")))
        }
    }
}

async fn read_restored(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Reading, Finding> {
    let folder = reader.scratch()?;
    folder.require_room(backup.size_bytes)?;
    let files = folder.path().join("files");
    std::fs::create_dir(&files)
        .map_err(|error| Finding::unknown("drill", format!("{} can't be made: {error}", files.display())))?;
    fetch(reader, source, backup, &files).await?;
    payload::read(reader, source, backup, &files).await
}

/// Has the program restore the backup, and makes a database of what comes.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Restored, Finding> {
    let files = place.scratch("files")?;
    fetch(reader, source, backup, &files).await?;
    payload::restore(reader, place, source, backup, &files).await
}

async fn fetch(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
    files: &Path,
) -> Result<(), Finding> {
    if source.restore.is_empty() {
        let text =
            format!("can't be looked at any deeper: set verify or restore of source {:?}", source.name);
        return Err(Finding::unknown("restore", text));
    }
    let (program, args) = program(reader, source, &source.restore, &backup.name, files);
    let ran = program.within(reader.config.backup.timeout).text(args, reader.progress).await?;
    tool::restored(ran)
}

/// The program of `words`, with the places in its arguments filled in.
fn program(
    reader: &Reader<'_>,
    source: &BackupSource,
    words: &[String],
    backup: &str,
    folder: &Path,
) -> (Program, Vec<String>) {
    let (name, args) = words.split_first().map_or(("", &[][..]), |(name, args)| (name.as_str(), args));
    let folder = folder.to_string_lossy();
    let fill = |word: &String| word.replace("{backup}", backup).replace("{folder}", &folder);
    (tool::of_source(reader.config.backup, source, name), args.iter().map(fill).collect())
}
