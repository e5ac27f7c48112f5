//! The files: those that every binary carries, and those of an operator's folder, read as sqlx reads them once nothing in
//! it is another tool's or would be passed over.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sqlx::migrate::{Migration, Migrator};

use super::{
    doubt,
    foreign::{self, Fault},
};
use crate::{Error, migration::error::MigrationError, release::VERSIONS};

/// Folders in folders are looked into so deep.
const DEPTH_MAX: usize = 8;

/// The files that go forward, by version: Stockfoil's own, and the operator's where a folder was given.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) own: BTreeMap<i64, Migration>,
    pub(super) folder: Option<Folder>,
}

/// An operator's folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) files: BTreeMap<i64, Migration>,
    /// What the files are called.
    pub(super) names: BTreeMap<i64, String>,
    doubts: BTreeMap<i64, Doubt>,
}

impl Folder {
    /// Why the file of `version` is not to be run, where it was not run already.
    pub(super) fn doubt(&self, version: i64) -> Option<MigrationError> {
        let Doubt { place, what } = self.doubts.get(&version)?.clone();
        Some(MigrationError::ForeignFile { place, what })
    }
}

/// Where and what it is that keeps a file from being run.
#[derive(Debug, Clone)]
struct Doubt {
    place: String,
    what: String,
}

/// What a look through a folder found: the files that go forward, and those of them that are not to be run.
#[derive(Debug, Default)]
struct Checked {
    names: BTreeMap<i64, String>,
    doubts: BTreeMap<i64, Doubt>,
}

/// The embedded files, and those of `folder`. Stockfoil's own files in it are embedded ones.
///
/// # Errors
/// [`MigrationError::ForeignFile`] for the first file that sqlx would not run as it is meant, and
/// [`MigrationError::Folder`].
pub(super) async fn read(folder: Option<&Path>) -> Result<Files, Error> {
    let up = |file: &&Migration| file.migration_type.is_up_migration();
    let own = VERSIONS.iter().filter(up).map(|file| (file.version, file.clone())).collect();
    let Some(folder) = folder else { return Ok(Files { own, folder: None }) };
    let Checked { names, doubts } = look_through(folder)?;
    let found = Migrator::new(folder)
        .await
        .map_err(|error| MigrationError::Folder { folder: folder.into(), reason: error.to_string() })?;
    let theirs = found.iter().filter(up).filter(|file| !is_own(file.version, &file.checksum));
    let files = theirs.map(|file| (file.version, file.clone())).collect();
    Ok(Files { own, folder: Some(Folder { files, names, doubts }) })
}

/// The embedded file of `version` that goes forward.
pub(super) fn embedded(version: i64) -> Option<&'static Migration> {
    VERSIONS.iter().find(|file| file.migration_type.is_up_migration() && file.version == version)
}

/// The embedded file of `version` that goes back.
pub(super) fn down(version: i64) -> Option<&'static Migration> {
    VERSIONS.iter().find(|file| file.migration_type.is_down_migration() && file.version == version)
}

fn is_own(version: i64, checksum: &[u8]) -> bool {
    embedded(version).is_some_and(|file| *file.checksum == *checksum)
}

/// Whether `folder` has SQL of anybody but Stockfoil.
pub(super) fn has_others_sql(folder: &Path) -> bool {
    let mut files = Vec::new();
    if collect(folder, Path::new(""), 0, &mut files).is_err() {
        return folder.is_dir();
    }
    files.iter().any(|file| {
        let name = file.to_string_lossy();
        // Tests of Stockfoil's own lie in a folder beside them.
        let is_ours = VERSIONS.iter().any(|own| {
            let stem = format!("{}_{}", own.version, own.description.replace(' ', "_"));
            let stem_in_tests = format!("tests/{stem}.sql");
            *name == *stem_in_tests || *name == *format!("{stem}{}", own.migration_type.suffix())
        });
        name.to_ascii_lowercase().ends_with(".sql") && !is_ours
    })
}

/// Refuses a folder with a file that sqlx would run otherwise than it is meant, or pass over.
pub(super) fn check(folder: &Path) -> Result<(), MigrationError> {
    look_through(folder).map(|_| ())
}

fn look_through(folder: &Path) -> Result<Checked, MigrationError> {
    let unreadable =
        |reason: std::io::Error| MigrationError::Folder { folder: folder.into(), reason: reason.to_string() };
    let mut files = Vec::new();
    collect(folder, Path::new(""), 0, &mut files).map_err(unreadable)?;
    files.sort();
    // By version and direction.
    let mut seen: BTreeMap<(i64, bool), PathBuf> = BTreeMap::new();
    let mut checked = Checked::default();
    for file in &files {
        let place = |fault: &Fault| match fault.line {
            Some(line) => format!("{}:{line}", folder.join(file).display()),
            None => folder.join(file).display().to_string(),
        };
        let foreign = |fault: Fault| MigrationError::ForeignFile { place: place(&fault), what: fault.what };
        let Some(name) = foreign::name(file).map_err(foreign)? else { continue };
        let text = std::fs::read(folder.join(file)).map_err(unreadable)?;
        let text = String::from_utf8(text).map_err(|_| foreign(Fault::not_text()))?;
        if let Some(fault) = foreign::text(&text) {
            return Err(foreign(fault));
        }
        if let Some(other) = seen.insert((name.version, name.is_down), file.clone()) {
            return Err(foreign(Fault::twice(name.version, &other)));
        }
        if name.is_down {
            continue;
        }
        let called = file.to_string_lossy().into_owned();
        if let Some(fault) = doubt::doubt(&called, &text) {
            checked.doubts.insert(name.version, Doubt { place: place(&fault), what: fault.what });
        }
        checked.names.insert(name.version, called);
    }
    for ((version, is_down), file) in &seen {
        if *is_down && !seen.contains_key(&(*version, false)) {
            return Err(MigrationError::ForeignFile {
                place: folder.join(file).display().to_string(),
                what: Fault::without_up().what,
            });
        }
    }
    Ok(checked)
}

/// The files below `folder`, relative to it; not those of hidden folders.
fn collect(folder: &Path, below: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        // A link is what it leads to, as for sqlx.
        let is_folder = std::fs::metadata(entry.path())?.is_dir();
        if !is_folder {
            files.push(path);
        } else if depth < DEPTH_MAX && !entry.file_name().to_string_lossy().starts_with('.') {
            collect(folder, &path, depth + 1, files)?;
        }
    }
    Ok(())
}
