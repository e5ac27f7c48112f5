//! Backups that are files or folders: dumps and base backups in a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Utc;
use glob::{MatchOptions, Pattern};

use super::{
    bare, basebackup, dump,
    wrapped::{self, Lot},
};
use crate::{
    backup::{
        Backup, BackupKind, BackupSource, Finding, Format, file_name,
        listing::{Extent, Listing},
        reading::{Reader, Reading},
        restored::{Place, Restored},
        seal,
    },
    progress::meter::Meter,
};

/// Finds the backups in the folder of `source`.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Listing {
    let owned = source.clone();
    match reader.looking(move |meter| look(&owned, meter)).await {
        Ok(mut listing) => {
            for backup in &mut listing.backups {
                wrapped::require_key(reader, Some(source), backup);
                require_kind(source, backup);
            }
            listing
        }
        Err(lost) => {
            let text = format!("the folder {} {lost}", source.path.display());
            Listing::failed(Finding::unknown("folder", text))
        }
    }
}

/// Finds that a base backup is no dump.
fn require_kind(source: &BackupSource, backup: &mut Backup) {
    if source.kind == BackupKind::Dump && backup.format == Some(Format::ClusterTar) {
        let text = "is a base backup in a tar; give it a source of kind \"basebackup\", which recovers it with its WAL";
        backup.findings.push(Finding::unknown("format", text));
    }
}

/// Looks at a file or folder that was named, or at all parts where it is one of several.
///
/// # Errors
/// When it can't be read.
pub(in crate::backup) fn inspect_named(path: &Path) -> io::Result<Option<Backup>> {
    if let Some(series) = wrapped::around(path)? {
        return series.inspect();
    }
    let found = bare::inspect(path, None)?;
    match found {
        Some(backup) if backup.begun.from.is_some() => {
            let mut backups = vec![backup];
            for entry in path.parent().into_iter().flat_map(std::fs::read_dir).flatten() {
                let beside = entry?.path();
                if beside != path {
                    backups.extend(basebackup::inspect(&beside)?);
                }
            }
            basebackup::link_parents(&mut backups);
            Ok(backups.into_iter().next())
        }
        found => Ok(found),
    }
}

/// Reads the file or folder at `path` to its last byte.
pub(in crate::backup) async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Reading {
    let mut reading = if backup.is_wrapped() {
        wrapped::read(reader, source, backup, path).await
    } else {
        bare::read(reader, source, backup, path).await
    };
    if let Some(twin) = backup.twin.clone().filter(|_| !backup.is_physical()) {
        let (owned, name) = (path.to_path_buf(), file_name(&twin));
        let same = reader.blocking(move |meter| are_same(&owned, &twin, meter)).await;
        // That the other one can't be read is of no weight here.
        if matches!(same, Ok(Ok(true))) {
            let text =
                format!("has the same bytes as {name}: it is a copy of it, or nothing changed in between");
            reading.findings.push(Finding::warning("copy", text));
        }
    }
    reading
}

/// Restores the file or folder at `path`: copies a base backup, leaves a dump where it is.
pub(in crate::backup) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Result<Restored, Finding> {
    if backup.is_wrapped() {
        let inner =
            wrapped::unwrap(reader, source, backup, path, (place.folder, &place.scratch("unwrapped")?))
                .await?;
        return match inner.backup.findings.first() {
            Some(finding) => Err(finding.clone()),
            None if inner.backup.is_physical() => {
                basebackup::restore(reader, place, source, &inner.backup, &inner.path).await
            }
            None => Ok(Restored::Dump(inner.path, inner.backup)),
        };
    }
    if backup.is_physical() {
        basebackup::restore(reader, place, source, backup, path).await
    } else {
        Ok(Restored::Dump(path.to_path_buf(), backup.clone()))
    }
}

fn look(source: &BackupSource, meter: &Arc<Meter>) -> Listing {
    let mut listing = Listing::default();
    let paths = match find(source, &mut listing.problems) {
        Ok(paths) => paths,
        Err(finding) => return Listing::failed(finding),
    };
    let mut globals = None;
    for lot in wrapped::lots(paths) {
        meter.add(1);
        let (path, found) = match &lot {
            Lot::One(path) => (path.as_path(), bare::inspect(path, Some(source.kind))),
            Lot::Series(series) => (series.first(), series.inspect()),
        };
        match found {
            Ok(Some(backup)) if backup.extent == Extent::Globals => globals = Some(backup.name),
            Ok(Some(backup)) if is_meant(source, &backup) => listing.backups.push(backup),
            Ok(None) if source.pattern.is_some() && source.kind == BackupKind::Basebackup => {
                let text = format!("{} matches the pattern but is no base backup", path.display());
                listing.problems.push(Finding::critical("listing", text));
            }
            Ok(_) => {}
            // It was removed while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => listing
                .problems
                .push(Finding::unknown("listing", format!("{} can't be read: {error}", path.display()))),
        }
    }
    note_twin(&mut listing.backups);
    for backup in &mut listing.backups {
        backup.globals = globals.clone();
    }
    if source.kind == BackupKind::Basebackup {
        basebackup::link_parents(&mut listing.backups);
        basebackup::check_wal(source, &mut listing, Utc::now());
    }
    listing
}

/// Whether what was found is one of the backups of `source`.
fn is_meant(source: &BackupSource, backup: &Backup) -> bool {
    let is_decrypted = backup.format == Some(Format::Encrypted) && !source.decrypt.is_empty();
    source.pattern.is_some() || is_decrypted || backup.is_physical() || dump::looks_like_one(backup)
}

/// How patterns are read.
pub(super) const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // Programs write to a hidden name and rename: such a file is not there yet.
    require_literal_leading_dot: true,
};

/// What a file system keeps for itself.
const LOST_AND_FOUND: &str = "lost+found";

/// What programs call a file or folder that they have not finished.
const UNFINISHED: [&str; 8] =
    [".partial", ".part", ".tmp", ".temp", ".filepart", ".incomplete", ".inprogress", ".crdownload"];

/// Whether what lies at `path` is not there yet, or is no business of backups.
pub(super) fn is_passed_over(path: &Path, source: &BackupSource) -> bool {
    let name = file_name(path).to_lowercase();
    let pattern = source.pattern.as_deref().unwrap_or_default().to_lowercase();
    let is_unfinished = UNFINISHED.iter().any(|end| name.ends_with(end) && !pattern.ends_with(end));
    is_unfinished || name == LOST_AND_FOUND
}

/// The entries of the folder that match, each once however many links lead to it.
fn find(source: &BackupSource, problems: &mut Vec<Finding>) -> Result<Vec<PathBuf>, Finding> {
    let folder = source.path.display();
    match source.path.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Finding::critical("folder", format!("{folder} is not a folder"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(Finding::critical("folder", format!("the folder {folder} does not exist")));
        }
        Err(error) => {
            return Err(Finding::unknown("folder", format!("the folder {folder} can't be read: {error}")));
        }
    }
    let Some(base) = source.path.to_str() else {
        return Err(Finding::unknown("folder", format!("the folder's name {folder} is not UTF-8")));
    };
    let pattern = format!("{}/{}", Pattern::escape(base), source.pattern.as_deref().unwrap_or("*"));
    let matches = glob::glob_with(&pattern, MATCHING)
        .map_err(|error| Finding::unknown("listing", format!("{pattern} is not a pattern: {error}")))?;
    let mut found = BTreeMap::new();
    for path in matches {
        match path {
            Ok(path) if seal::is_seal(&path) || is_passed_over(&path, source) => {}
            // A link to nothing has no canonical path, and is no backup.
            Ok(path) => {
                if let Ok(real) = path.canonicalize() {
                    found.insert(real, ());
                }
            }
            // Nobody but root may look into it.
            Err(error) if file_name(error.path()) == LOST_AND_FOUND => {}
            Err(error) => problems.push(Finding::unknown(
                "listing",
                format!("{} can't be read: {}", error.path().display(), error.error()),
            )),
        }
    }
    // A hard link is the same file again.
    let mut seen = BTreeSet::new();
    let is_first = |path: &PathBuf| match path.metadata() {
        Ok(metadata) => seen.insert((metadata.dev(), metadata.ino())),
        Err(_) => true,
    };
    Ok(found.into_keys().filter(is_first).collect())
}

/// Notes for the newest file which earlier one has as many bytes: it may be a copy of it.
fn note_twin(backups: &mut [Backup]) {
    let order = |backup: &Backup| (backup.started_at, backup.modified_at);
    let Some(newest) = (0..backups.len()).max_by_key(|at| order(&backups[*at])) else { return };
    let is_twin = |backup: &&Backup| {
        let one = &backups[newest];
        (backup.size_bytes, backup.format, backup.compression)
            == (one.size_bytes, one.format, one.compression)
            && backup.path != one.path
    };
    let is_file = backups[newest].path.as_ref().is_some_and(|path| path.is_file());
    let twin = backups.iter().filter(is_twin).max_by_key(|backup| order(backup));
    backups[newest].twin = twin.and_then(|twin| twin.path.clone()).filter(|_| is_file);
}

/// Whether two files have the same bytes.
fn are_same(one: &Path, other: &Path, meter: &Arc<Meter>) -> io::Result<bool> {
    let open =
        |path: &Path| Ok::<_, io::Error>(BufReader::with_capacity(1 << 17, meter.read(File::open(path)?)));
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 || left[..count] != right[..count] {
            return Ok(left.len() == right.len() && count == 0);
        }
        one.consume(count);
        other.consume(count);
    }
}
