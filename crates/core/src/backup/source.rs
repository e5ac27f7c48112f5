//! Finding the backups of a source.

use std::{collections::BTreeMap, io, path::PathBuf};

use glob::{MatchOptions, Pattern};

use super::{Backup, Finding, dump, meter::Meter, seal};
use crate::config::{BackupKind, BackupSource};

/// What a look at a source found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The backups, the one that began last first.
    pub(super) backups: Vec<Backup>,
    /// Why the list may not be all.
    pub(super) problems: Vec<Finding>,
}

/// Looks at `source`; `meter` counts the entries. Blocks.
pub(super) fn list(source: &BackupSource, meter: &Meter) -> Listing {
    let mut listing = Listing::default();
    let paths = match find(source, &mut listing.problems) {
        Ok(paths) => paths,
        Err(finding) => {
            listing.problems.push(finding);
            return listing;
        }
    };
    let BackupKind::Dump = source.kind;
    for path in paths {
        meter.add(1);
        match dump::inspect(&path) {
            Ok(Some(backup)) if source.pattern.is_some() || backup.looks_like_one() => {
                listing.backups.push(backup);
            }
            Ok(_) => {}
            // It was removed while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => listing
                .problems
                .push(Finding::unknown("listing", format!("{} can't be read: {error}", path.display()))),
        }
    }
    for backup in &mut listing.backups {
        backup.require_size(source.min_size);
    }
    listing.backups.sort_by_key(|backup| std::cmp::Reverse((backup.started_at, backup.modified_at)));
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
            Ok(path) if path.as_os_str().to_string_lossy().ends_with(seal::SUFFIX) => {}
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
