//! The kinds of sources: finding their backups, reading one to its end, and getting one back.

mod bare;
mod barman;
pub(super) mod basebackup;
mod bundle;
mod command;
pub(super) mod dump;
mod files;
mod payload;
mod pgbackrest;
mod restic;
mod s3;
mod walg;
mod wrapped;

use std::sync::Arc;

pub(super) use files::inspect_named as inspect;
pub(super) use s3::fetch;
pub(super) use wrapped::require_key;

use super::{
    Backup, BackupKind, BackupSource, Finding,
    listing::Listing,
    reading::{Reader, Reading},
    restored::{Place, Restored},
};
use crate::progress::meter::Meter;

/// Looks at `source`, for as long as it answers.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Listing {
    let listing = match source.kind {
        BackupKind::Dump | BackupKind::Basebackup => Ok(files::list(reader, source).await),
        BackupKind::Pgbackrest => pgbackrest::list(reader, source).await,
        BackupKind::Barman => barman::list(reader, source).await,
        BackupKind::Walg => walg::list(reader, source).await,
        BackupKind::Restic => restic::list(reader, source).await,
        BackupKind::Command => command::list(reader, source).await,
        BackupKind::S3 => s3::list(reader, source).await,
    };
    let mut listing = listing.unwrap_or_else(Listing::failed);
    for backup in &mut listing.backups {
        backup.require_size(source.min_size);
    }
    listing.backups.sort_by_key(|backup| std::cmp::Reverse((backup.started_at, backup.modified_at)));
    listing
}

/// Reads `backup` to its last byte; `source` is none for a file that was named.
pub(super) async fn read(reader: &Reader<'_>, source: Option<&BackupSource>, backup: &Backup) -> Reading {
    match (source, &backup.path) {
        (_, Some(path)) => files::read(reader, source, backup, path).await,
        (Some(source), None) => match source.kind {
            BackupKind::Pgbackrest => pgbackrest::read(reader, source, backup).await,
            BackupKind::Barman => barman::read(reader, source, backup).await,
            BackupKind::Walg => walg::read(reader, source, backup).await,
            BackupKind::Restic => restic::read(reader, source, backup).await,
            BackupKind::Command => command::read(reader, source, backup).await,
            BackupKind::Dump | BackupKind::Basebackup | BackupKind::S3 => Reading::of(no_file()),
        },
        (None, None) => Reading::of(no_file()),
    }
}

/// Restores `backup` to `place`, or as a dump that is still to be loaded.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
) -> Result<Restored, Finding> {
    match (source, &backup.path) {
        (_, Some(path)) => files::restore(reader, place, source, backup, path).await,
        (Some(source), None) => match source.kind {
            BackupKind::Pgbackrest => pgbackrest::restore(reader, place, source, backup).await,
            BackupKind::Barman => barman::restore(reader, place, source, backup).await,
            BackupKind::Walg => walg::restore(reader, place, source, backup).await,
            BackupKind::Restic => restic::restore(reader, place, source, backup).await,
            BackupKind::Command => command::restore(reader, place, source, backup).await,
            BackupKind::Dump | BackupKind::Basebackup | BackupKind::S3 => Err(no_file()),
        },
        (None, None) => Err(no_file()),
    }
}

/// What the archive of `source` lacks from where `backup` begins on, where that is not looked at with the listing.
pub(super) async fn wal_faults(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Vec<Finding> {
    let (BackupKind::Basebackup, Some(path)) = (source.kind, backup.path.clone()) else { return Vec::new() };
    let owned = source.clone();
    let look = move |_: &Arc<Meter>| basebackup::wal_faults(&owned, &path);
    reader.looking(look).await.unwrap_or_default()
}

/// The extensions that `backup` makes, where its table of contents tells.
pub(super) async fn extensions(reader: &Reader<'_>, backup: &Backup) -> Option<Vec<String>> {
    let (path, format) = (backup.path.clone()?, backup.format?);
    let compression = backup.compression;
    reader.looking(move |meter| dump::extensions(&path, format, compression, meter)).await.ok()?
}

fn no_file() -> Finding {
    Finding::unknown("read", "is no file that could be read")
}

/// The finding for a source in which there is nothing.
pub(super) fn nothing_found(source: &BackupSource) -> Finding {
    let place = source.place();
    Finding::critical(
        "listing",
        match (&source.pattern, source.kind) {
            (Some(pattern), BackupKind::Dump | BackupKind::Basebackup | BackupKind::S3) => {
                format!("no backup: nothing in {place} matches {pattern}")
            }
            (None, BackupKind::Dump) => format!("no backup: nothing in {place} looks like a dump"),
            (None, BackupKind::Basebackup) => {
                format!("no backup: nothing in {place} looks like a base backup")
            }
            _ => format!("no backup: {place} has none"),
        },
    )
}
