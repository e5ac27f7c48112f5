//! Which backups are looked at: the newest of a source, or a file that was named.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Backup, BackupError, BackupSource, Finding, reading::Reader, source, wal::WalState};

/// Which backups to read.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this source's newest.
    pub source: Option<String>,
    /// This file or folder instead of the sources'.
    pub file: Option<PathBuf>,
    /// Where what a drill restores is kept, a folder that is new or empty; none: it goes away.
    pub keep: Option<PathBuf>,
}

impl Scope {
    /// Checks that one backup is looked at, of the `chosen` sources.
    pub(super) fn require_one(&self, chosen: &[BackupSource]) -> Result<(), BackupError> {
        if self.file.is_some() || chosen.len() == 1 {
            return Ok(());
        }
        Err(BackupError::KeepsOne(chosen.iter().map(|source| source.name.clone()).collect()))
    }
}

/// The newest backup of `source`, what is wrong with the source, and the archive of WAL behind it.
pub(super) async fn newest(
    reader: &Reader<'_>,
    source: &BackupSource,
) -> (Option<Backup>, Vec<Finding>, Option<WalState>) {
    let mut listing = source::list(reader, source).await;
    let newest = (!listing.backups.is_empty()).then(|| listing.backups.swap_remove(0));
    if newest.is_none() && listing.problems.is_empty() {
        listing.problems.push(source::nothing_found(source));
    }
    (newest, listing.problems, listing.wal)
}

/// Looks at a file or folder that was named.
pub(super) async fn look_at(reader: &Reader<'_>, file: &Path) -> Result<Backup, Finding> {
    let path = file.to_path_buf();
    // Absolute, for programs that run in a folder of their own.
    let look = move |_: &Arc<_>| path.canonicalize().and_then(|path| source::inspect(&path));
    let shown = file.display();
    match reader.looking(look).await {
        Ok(Ok(Some(mut backup))) => {
            source::require_key(reader, None, &mut backup);
            Ok(backup)
        }
        Ok(Ok(None)) => Err(Finding::critical(
            "format",
            format!("{shown} is neither a dump's file nor a directory dump nor a base backup"),
        )),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(Finding::critical("listing", format!("{shown} does not exist")))
        }
        Ok(Err(error)) => Err(Finding::unknown("listing", format!("{shown} can't be read: {error}"))),
        Err(lost) => Err(Finding::unknown("listing", format!("{shown} {lost}"))),
    }
}
