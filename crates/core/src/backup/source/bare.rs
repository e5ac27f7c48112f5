//! Backups in files that lie in nothing else: looking at one, and reading it to its end.

use std::{io, path::Path};

use super::{basebackup, dump};
use crate::backup::{
    Backup, BackupKind, BackupSource, Format,
    reading::{Reader, Reading},
};

/// Looks at a file or folder; none for what is no backup of `kind` (of any kind, where that is none).
///
/// # Errors
/// When it can't be read.
pub(super) fn inspect(path: &Path, kind: Option<BackupKind>) -> io::Result<Option<Backup>> {
    if kind != Some(BackupKind::Dump)
        && let Some(backup) = basebackup::inspect(path)?
    {
        return Ok(Some(backup));
    }
    let found =
        if kind == Some(BackupKind::Basebackup) && path.is_dir() { None } else { dump::inspect(path)? };
    let is_of_kind = |backup: &Backup| {
        kind != Some(BackupKind::Basebackup)
            || matches!(backup.format, Some(Format::ClusterTar | Format::Encrypted))
    };
    Ok(found.filter(is_of_kind))
}

/// Reads what is wrapped in nothing to its last byte.
pub(super) async fn read(
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
