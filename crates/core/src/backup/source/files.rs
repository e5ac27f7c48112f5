//! Backups that are files or folders: dumps and base backups in a folder.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Utc;
use glob::{MatchOptions, Pattern};

use super::{basebackup, dump};
use crate::{
    backup::{
        Backup, BackupKind, BackupSource, Finding,
        listing::Listing,
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
        Ok(listing) => listing,
        Err(lost) => {
            let text = format!("the folder {} {lost}", source.path.display());
            Listing::failed(Finding::unknown("folder", text))
        }
    }
}

/// Looks at a file or folder; none for what is no backup of `kind` (of any kind, where that is none).
///
/// # Errors
/// When it can't be read.
pub(in crate::backup) fn inspect(path: &Path, kind: Option<BackupKind>) -> io::Result<Option<Backup>> {
    if kind != Some(BackupKind::Dump)
        && let Some(backup) = basebackup::inspect(path)?
    {
        return Ok(Some(backup));
    }
    if kind == Some(BackupKind::Basebackup) { Ok(None) } else { dump::inspect(path) }
}

/// Reads the file or folder at `path` to its last byte.
pub(in crate::backup) async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Reading {
    if backup.is_physical() {
        basebackup::read(reader, source, backup, path).await
    } else {
        dump::read(reader, source, path, backup).await
    }
}

/// Restores the file or folder at `path`: copies a base backup, leaves a dump where it is.
pub(in crate::backup) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Result<Restored, Finding> {
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
    for path in paths {
        meter.add(1);
        match inspect(&path, Some(source.kind)) {
            Ok(Some(backup))
                if source.pattern.is_some() || backup.is_physical() || dump::looks_like_one(&backup) =>
            {
                listing.backups.push(backup);
            }
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
    if source.kind == BackupKind::Basebackup {
        basebackup::check_wal(source, &mut listing, Utc::now());
    }
    listing
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
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        // Programs write to a hidden name and rename: such a file is not there yet.
        require_literal_leading_dot: true,
    };
    let matches = glob::glob_with(&pattern, options)
        .map_err(|error| Finding::unknown("listing", format!("{pattern} is not a pattern: {error}")))?;
    let mut found = BTreeMap::new();
    for path in matches {
        match path {
            Ok(path) if seal::is_seal(&path) => {}
            // A link to nothing has no canonical path, and is no backup.
            Ok(path) => {
                if let Ok(real) = path.canonicalize() {
                    found.insert(real, ());
                }
            }
            Err(error) => problems.push(Finding::unknown(
                "listing",
                format!("{} can't be read: {}", error.path().display(), error.error()),
            )),
        }
    }
    Ok(found.into_keys().collect())
}
