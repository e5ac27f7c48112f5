//! The backup among files that a tool brought back: a dump or a base backup, somewhere below a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{bare, dump, files, wrapped};
use crate::backup::{
    Backup, BackupSource, Finding,
    reading::{Reader, Reading},
    restored::{Place, Restored},
    seal,
};

/// Reads the backup below `folder` to its end.
pub(super) async fn read(
    reader: &Reader<'_>,
    source: &BackupSource,
    folder: &Path,
) -> Result<Reading, Finding> {
    let (path, mut backup) = find(reader, folder).await?;
    wrapped::require_key(reader, Some(source), &mut backup);
    let of = Some(source).filter(|_| backup.is_wrapped());
    let mut reading = files::read(reader, of, &backup, &path).await;
    reading.findings.splice(0..0, backup.findings);
    reading.notes.insert(0, format!("holds {}", backup.name));
    Ok(reading)
}

/// Gives the backup below `folder` to the drill.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    folder: &Path,
) -> Result<Restored, Finding> {
    let (path, backup) = find(reader, folder).await?;
    let of = Some(source).filter(|_| backup.is_wrapped());
    match backup.findings.first() {
        Some(finding) => Err(finding.clone()),
        None => files::restore(reader, place, of, &backup, &path).await,
    }
}

async fn find(reader: &Reader<'_>, folder: &Path) -> Result<(PathBuf, Backup), Finding> {
    let folder = folder.to_path_buf();
    let found = reader
        .blocking(move |_| {
            let mut found = Vec::new();
            collect(&folder, &mut found).map(|()| found)
        })
        .await?;
    let found = found.map_err(|error| Finding::unknown("restore", format!("can't be looked at: {error}")))?;
    let newest = found.into_iter().max_by_key(|(_, backup)| backup.started_at);
    newest.ok_or_else(|| Finding::critical("restore", "holds neither a dump nor a base backup"))
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Backup)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_symlink() || seal::is_seal(&path) {
            continue;
        }
        match bare::inspect(&path, None)? {
            Some(backup) if backup.is_physical() || dump::looks_like_one(&backup) => {
                found.push((path, backup))
            }
            _ if kind.is_dir() => collect(&path, found)?,
            _ => {}
        }
    }
    Ok(())
}
