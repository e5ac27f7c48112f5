//! restic: snapshots of files, which hold dumps or base backups.
//!
//! A snapshot may be young and what is in it old, where the dump failed and restic saved yesterday's again: so a
//! backup is as old as the newest dump or base backup in it, by what its files are called. What lies beside them, such as
//! the seal that was written anew, makes it no younger.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::payload::{self, Kind};
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
    path: PathBuf,
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
            note_files(source, &mut backup, &text)?;
        }
        listing.backups.push(backup);
    }
    Ok(listing)
}

/// Files of a snapshot.
#[derive(Default)]
struct Files {
    count: usize,
    size_bytes: u64,
    newest: Option<DateTime<Utc>>,
}

impl Files {
    fn add(&mut self, node: &Node) {
        self.count += 1;
        self.size_bytes += node.size;
        self.newest = self.newest.max(node.mtime);
    }
}

/// Notes what the files of a snapshot, as `restic ls` tells them, say of the backup in it.
fn note_files(source: &BackupSource, backup: &mut Backup, told: &str) -> Result<(), Finding> {
    let (mut backups, mut unknown, mut all) = (Files::default(), Files::default(), Files::default());
    for line in told.lines() {
        let node: Node = serde_json::from_str(line).map_err(|error| {
            Finding::unknown("tool", format!("restic wrote what is not its JSON: {error}"))
        })?;
        if node.kind != "file" {
            continue;
        }
        all.add(&node);
        match Kind::of(source, &node.path) {
            Kind::Backup => backups.add(&node),
            Kind::Unknown => unknown.add(&node),
            Kind::Beside => {}
        }
    }
    backup.size_bytes = all.size_bytes;
    if all.count == 0 {
        backup.find("size", "holds no file");
    } else if all.size_bytes == 0 {
        backup.find("size", "holds only empty files (0 bytes)");
    } else if let (Some(pattern), 0) = (&source.pattern, backups.count) {
        backup.find("size", format!("holds no file that matches {pattern}"));
    } else if backups.count > 0 && backups.size_bytes == 0 {
        backup.find("size", "holds only empty backups (0 bytes)");
    }
    if let Some(newest) = backups.newest.or(unknown.newest).or(all.newest) {
        backup.started_at = backup.started_at.min(newest);
    }
    Ok(())
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
        let mut reading = payload::read(reader, source, backup, &files).await?;
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
    payload::restore(reader, place, source, backup, &files).await
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
