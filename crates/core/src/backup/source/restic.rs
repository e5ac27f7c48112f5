//! restic: snapshots of files, which hold dumps or base backups.
//!
//! A snapshot may be young and what is in it old, where the dump failed and restic saved yesterday's again: so a
//! backup is as old as the newest file in it.

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
    settings::Secret,
    throwaway::Program,
};

/// The files of so many snapshots are looked at; of the others nothing but their time is known.
const LOOKED_AT_MAX: usize = 8;

#[derive(Deserialize)]
struct Snapshot {
    time: DateTime<Utc>,
    id: String,
    short_id: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    mtime: Option<DateTime<Utc>>,
}

fn program(reader: &Reader<'_>, source: &BackupSource) -> Program {
    let program = tool::of_source(reader.config.backup, source, "restic");
    // Not as an argument: a URL may hold a password, and everybody sees the arguments of a process.
    let repository = source.repository.iter();
    let repository = repository.map(|place| ("RESTIC_REPOSITORY".to_owned(), Secret::new(place.as_str())));
    program
        .and_environment(repository.collect())
        // Looking needs no lock, and a repository may be read-only.
        .with_args(["--no-lock", "--quiet"])
}

/// Finds the snapshots of the repository.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let program = program(reader, source);
    let mut args = vec!["snapshots", "--json"];
    if let Some(tag) = &source.tag {
        args.extend(["--tag", tag]);
    }
    let snapshots: Option<Vec<Snapshot>> = tool::json(&program, args, &Silent).await?;
    let mut snapshots = snapshots.unwrap_or_default();
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.time));
    let mut listing = Listing::default();
    for (at, Snapshot { time, id, short_id }) in snapshots.into_iter().enumerate() {
        let name = short_id.unwrap_or_else(|| id.chars().take(8).collect());
        let mut backup = Backup::of_tool(name, Some(Format::Snapshot), 0, time);
        if at < LOOKED_AT_MAX {
            let text = program.text(["ls", "--json", &id], &Silent).await?.whole()?;
            let mut files = 0;
            let mut newest: Option<DateTime<Utc>> = None;
            for line in text.lines() {
                let node: Node = serde_json::from_str(line).map_err(|error| {
                    Finding::unknown("tool", format!("restic wrote what is not its JSON: {error}"))
                })?;
                if node.kind == "file" {
                    files += 1;
                    backup.size_bytes += node.size;
                    newest = newest.max(node.mtime);
                }
            }
            if files == 0 {
                backup.find("size", "holds no file");
            } else if backup.size_bytes == 0 {
                backup.find("size", "holds only empty files (0 bytes)");
            }
            if let Some(newest) = newest {
                backup.started_at = time.min(newest);
            }
        }
        listing.backups.push(backup);
    }
    Ok(listing)
}

/// Restores the snapshot, which checks each block of it, and reads the backup in it to its end.
pub(super) async fn read(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    let result = async {
        let program = program(reader, source).within(reader.config.backup.timeout);
        let ran = program.text(["check"], reader.progress).await?;
        if let Some(complaint) = ran.complaint() {
            return Err(Finding::critical("read", format!("restic check found damage: {complaint}")));
        }
        let folder = reader.scratch()?;
        folder.require_room(backup.size_bytes)?;
        let files = folder.path().join("files");
        fetch(reader, source, backup, &files).await?;
        let mut reading = payload::read(reader, source, &files).await?;
        reading.is_checksummed = true;
        reading.notes.push("every block was compared with its checksum (restic restore)".into());
        Ok(reading)
    };
    result.await.unwrap_or_else(Reading::of)
}

/// Restores the snapshot, and from what was in it the backup.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Restored, Finding> {
    let files = place.scratch("files")?;
    fetch(reader, source, backup, &files).await?;
    payload::restore(reader, place, source, &files).await
}

async fn fetch(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
    target: &std::path::Path,
) -> Result<(), Finding> {
    let target = target.to_string_lossy();
    let args = ["restore", backup.name.as_str(), "--target", &*target];
    let program = program(reader, source).within(reader.config.backup.timeout);
    let ran = program.text(args, reader.progress).await?;
    tool::restored(ran)
}
