//! Base backups: a data folder or tar files of one, as pg_basebackup writes them, with the WAL that makes them whole.

mod checksums;
mod manifest;
mod read;
mod restore;
mod tar_files;

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use chrono::{DateTime, Local, NaiveDateTime, Utc};

use super::bundle;
use crate::backup::{
    Backup, BackupSource, Finding, Format, error_text,
    listing::Listing,
    start,
    wal::{self, Archive, Begin, Segment},
};
use manifest::Manifest;
pub(super) use read::{read, read_pages_of, read_tar_of};
pub(super) use restore::restore;

/// The file that tells where recovery begins. Without it a server starts as after a crash, and takes what it finds.
const LABEL: &str = "backup_label";

/// The file that lists all files.
const MANIFEST: &str = "backup_manifest";

/// The file without which nothing in the folder is a cluster's.
const CONTROL: &str = "global/pg_control";

/// How many files are named in a finding.
const NAMED_MAX: usize = 3;

/// Looks at a folder; none for what is no base backup.
///
/// # Errors
/// When it can't be read.
pub(super) fn inspect(path: &Path) -> io::Result<Option<Backup>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let format = if path.join("PG_VERSION").is_file() && path.join("global").is_dir() {
        Format::DataFolder
    } else if tar_files::base(path)?.is_some() {
        Format::DataTar
    } else {
        return Ok(None);
    };
    let written = newest_write(path)?;
    let mut backup = Backup::of_path(path, size_below(path)?, written);
    backup.format = Some(format);
    if path.join("postmaster.pid").exists() {
        backup.find("format", "is the data folder of a server, and no backup: it has a postmaster.pid");
    }
    let manifest = read_manifest(path, &mut backup)?;
    match format {
        Format::DataTar => {
            let parts = tar_files::Parts::look(path)?;
            backup.compression = parts.compression()?;
            match parts.head(LABEL) {
                Ok(Some(label)) => note_label(&mut backup, &label, written),
                Ok(None) => backup.find("format", no_label()),
                Err(error) => {
                    backup.find("format", format!("base.tar can't be read: {}", error_text(&error)))
                }
            }
            if let Ok(Some(version)) = parts.head("PG_VERSION") {
                backup.server_version = Some(version.trim().to_owned());
            }
        }
        _ => {
            backup.server_version = Some(fs::read_to_string(path.join("PG_VERSION"))?.trim().to_owned());
            if !path.join(CONTROL).is_file() {
                backup.find("format", format!("has no {CONTROL}, without which no server starts"));
            }
            match fs::read_to_string(path.join(LABEL)) {
                Ok(label) => note_label(&mut backup, &label, written),
                Err(error) if error.kind() == io::ErrorKind::NotFound => backup.find("format", no_label()),
                Err(error) => return Err(error),
            }
            if let Some(manifest) = &manifest {
                check_sizes(path, manifest, &mut backup);
            }
        }
    }
    Ok(Some(backup))
}

/// Checks that `data` is a data folder, as far as a glance tells.
pub(super) fn is_data_folder(data: &Path) -> Result<(), Finding> {
    let is_there = |name: &str| data.join(name).exists();
    match ["PG_VERSION", CONTROL, LABEL].iter().find(|name| !is_there(name)) {
        None => Ok(()),
        Some(name) => {
            Err(Finding::critical("read", format!("what was fetched is no base backup: it has no {name}")))
        }
    }
}

/// Looks at the WAL that the backups of `listing` need, in them and in the source's archive.
pub(super) fn check_wal(source: &BackupSource, listing: &mut Listing, now: DateTime<Utc>) {
    let archive = match &source.wal_path {
        None => None,
        Some(folder) => match Archive::look(folder) {
            Ok(archive) => Some(archive),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = format!("the folder of the WAL, {}, does not exist", folder.display());
                listing.problems.push(Finding::critical("wal", text));
                None
            }
            Err(error) => {
                let text = format!("the folder of the WAL, {}, can't be read: {error}", folder.display());
                listing.problems.push(Finding::unknown("wal", text));
                None
            }
        },
    };
    for backup in &mut listing.backups {
        let Some(path) = backup.path.clone() else { continue };
        if let Some(finding) = lacking_wal(&path, archive.as_ref()) {
            backup.findings.push(finding);
        }
    }
    let Some(archive) = archive else { return };
    listing.archived_until(source, archive.newest_at, now);
    let Some(place) = &source.wal_path else { return };
    if archive.is_empty {
        let text = format!(
            "the folder of the WAL, {}, is empty: it is not mounted, or nothing was ever archived there",
            place.display()
        );
        listing.problems.push(Finding::unknown("wal", text));
        return;
    }
    let first = |backup: &Backup| first_segment(backup.path.as_deref()?, archive.segment_bytes);
    let own = |backup: &Backup| {
        let own = own_wal(backup.path.as_deref()?)?;
        Some(own.segments.into_keys().collect::<Vec<Segment>>())
    };
    let begin =
        |backup: &Backup| Some(Begin::with(&backup.name, first(backup)?, &own(backup).unwrap_or_default()));
    let begins: Vec<Begin> = listing.backups.iter().filter_map(begin).collect();
    let newest = listing.backups.iter().max_by_key(|backup| backup.started_at);
    let own: Vec<Segment> = newest.and_then(own).unwrap_or_default();
    if let Some(first) = newest.and_then(first) {
        listing.problems.extend(archive.faults(place, first, Some(&own)));
    }
    listing.wal = Some(archive.holdings(place).state(&begins, &own));
}

/// What is missing in the source's archive from where the backup at `path` begins on.
pub(super) fn wal_faults(source: &BackupSource, path: &Path) -> Vec<Finding> {
    let Some(place) = &source.wal_path else { return Vec::new() };
    // That the folder can't be read is said with the listing.
    let Ok(archive) = Archive::look(place) else { return Vec::new() };
    let Some(first) = first_segment(path, archive.segment_bytes) else { return Vec::new() };
    let own = own_wal(path).map(|own| own.segments.into_keys().collect::<Vec<Segment>>());
    archive.holdings(place).faults(first, Some(&own.unwrap_or_default()))
}

/// The finding for WAL without which the backup is not whole, and that is nowhere.
fn lacking_wal(path: &Path, archive: Option<&Archive>) -> Option<Finding> {
    let manifest = Manifest::parse(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
    let own = own_wal(path)?;
    let bytes = own.segment_bytes;
    let mut lacking = Vec::new();
    for range in &manifest.wal_ranges {
        let first = Segment::of_lsn(range.timeline, &range.start, bytes)?;
        let last = Segment::of_lsn(range.timeline, &range.end, bytes)?;
        let end = wal::lsn_of(&range.end)?;
        let missing = own.lacking(first, last).into_iter();
        lacking.extend(missing.filter(|segment| archive.is_none_or(|archive| !archive.holds(*segment, end))));
    }
    wal::missing_finding(&lacking, bytes, "it and in the archive")
}

/// The WAL inside a backup; none where only a thorough look can tell.
fn own_wal(path: &Path) -> Option<Archive> {
    let folder = path.join("pg_wal");
    if folder.is_dir() {
        return Archive::look(&folder).ok();
    }
    // In a tar it is read at depth full.
    let parts = tar_files::Parts::look(path).ok()?;
    parts.wal.is_none().then(Archive::empty)
}

fn read_manifest(path: &Path, backup: &mut Backup) -> io::Result<Option<Manifest>> {
    match fs::read(path.join(MANIFEST)) {
        Ok(text) => match Manifest::parse(&text) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(reason) => {
                backup.find("format", format!("{MANIFEST} {reason}"));
                Ok(None)
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Compares the sizes of the files with those of the manifest.
fn check_sizes(path: &Path, manifest: &Manifest, backup: &mut Backup) {
    let mut wrong = Vec::new();
    for (name, facts) in &manifest.files {
        match path.join(name).metadata() {
            Ok(metadata) if metadata.len() == facts.size => {}
            Ok(metadata) => wrong.push(format!("{name} has {} bytes, not {}", metadata.len(), facts.size)),
            Err(_) => wrong.push(format!("{name} is missing")),
        }
    }
    if !wrong.is_empty() {
        let named = wrong.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        backup.find("format", format!("{} files are not as {MANIFEST} says: {named}", wrong.len()));
    }
}

fn no_label() -> String {
    format!(
        "has no {LABEL}: a server would start on it as after a crash, without the WAL that makes it whole"
    )
}

/// Notes of which backups each incremental one of `backups` is made, and finds what is missing of them.
pub(super) fn link_parents(backups: &mut [Backup]) {
    let all = backups.to_vec();
    for backup in backups.iter_mut() {
        let mut next = backup.begun.from;
        while let Some(from) = next {
            let parent = all.iter().find(|other| other.begun.at == Some(from) && other.is_physical());
            // One that builds on itself would go round for ever.
            let Some(parent) = parent.filter(|_| backup.parents.len() < all.len()) else {
                let text = format!(
                    "is incremental, and the base backup on which it builds, begun at {}, is gone",
                    wal::lsn_text(from)
                );
                backup.findings.push(Finding::critical("chain", text));
                break;
            };
            if let Some(finding) = parent.findings.first() {
                let text = format!("builds on {}, which {}", parent.name, finding.text);
                backup.findings.push(Finding { text, check: "chain", ..finding.clone() });
            }
            backup.parents.insert(0, parent.clone());
            next = parent.begun.from;
        }
    }
}

/// The place in WAL that the label's line tells which begins with `words`.
fn place_in(label: &str, words: &str) -> Option<u64> {
    let rest = label.lines().find_map(|line| line.strip_prefix(words))?;
    wal::lsn_of(rest.trim().split(' ').next()?)
}

/// Notes when the backup began, as its label says: `START TIME: 2026-01-31 02:00:00 UTC`.
pub(super) fn note_label(backup: &mut Backup, label: &str, written: DateTime<Utc>) {
    backup.begun.at = place_in(label, "START WAL LOCATION: ");
    backup.begun.from = place_in(label, "INCREMENTAL FROM LSN: ");
    let Some(text) = label.lines().find_map(|line| line.strip_prefix("START TIME: ")) else {
        return backup.find("format", format!("{LABEL} does not say when it began"));
    };
    let (time, zone) = text.trim().rsplit_once(' ').unwrap_or((text.trim(), ""));
    let Ok(time) = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S") else {
        return backup.find("format", format!("{LABEL} does not say when it began"));
    };
    let start = if matches!(zone, "UTC" | "GMT" | "Z") {
        start::from_header(&Utc, time, false, written)
    } else {
        start::from_header(&Local, time, zone.ends_with("ST") && zone.len() > 3, written)
    };
    (backup.started_at, backup.started_from) = (start.at, start.from);
}

/// The segment in which recovery begins, as the label says: `(file 000000010000000000000002)`.
pub(in crate::backup) fn first_segment(path: &Path, segment_bytes: u64) -> Option<Segment> {
    Segment::parse(&label_segment(path)?, segment_bytes)
}

/// Its name.
pub(super) fn label_segment(path: &Path) -> Option<String> {
    let label = match fs::read_to_string(path.join(LABEL)) {
        Ok(label) => label,
        Err(_) if path.is_file() => bundle::label(path)?,
        Err(_) => tar_files::Parts::look(path).ok()?.head(LABEL).ok()??,
    };
    let name = label.lines().next()?.split("(file ").nth(1)?.trim_end_matches(')');
    Some(name.to_owned())
}

/// When the newest file of the folder was written.
fn newest_write(path: &Path) -> io::Result<DateTime<Utc>> {
    let mut newest = DateTime::UNIX_EPOCH;
    for entry in fs::read_dir(path)? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            newest = newest.max(DateTime::from(metadata.modified()?));
        }
    }
    Ok(newest)
}

/// The size of all files at or below `path`, in bytes. Links are not followed.
pub(crate) fn size_below(path: &Path) -> io::Result<u64> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.size());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += size_below(&entry?.path())?;
    }
    Ok(bytes)
}
