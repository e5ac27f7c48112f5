//! Base backups: a data folder or tar files of one, as pg_basebackup writes them, with the WAL that makes them whole.

mod manifest;
mod tar_files;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Local, NaiveDateTime, Utc};

use super::wal::{self, Archive, Segment};
use crate::{
    backup::{
        Backup, Finding, Format,
        drill::{Folder, Owner, Place, Recovery, Restored, ServerPrograms, size_below},
        error_text, file_name,
        listing::Listing,
        meter::Meter,
        reading::{Reader, Reading},
        start,
        tool::Ran,
    },
    config::BackupSource,
};
use manifest::Manifest;

/// The file that tells where recovery begins. Without it a server starts as after a crash, and takes what it finds.
const LABEL: &str = "backup_label";

/// The file that lists all files.
const MANIFEST: &str = "backup_manifest";

/// How many files are named in a finding.
const NAMED_MAX: usize = 3;

/// What pg_verifybackup says when all is well.
const VERIFIED: &str = "successfully verified";

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
    match ["PG_VERSION", "global/pg_control", LABEL].iter().find(|name| !is_there(name)) {
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
    listing.problems.extend(wal::age_finding(source, archive.newest_at, now));
    let newest = listing.backups.iter().max_by_key(|backup| backup.started_at);
    if let Some(first) =
        newest.and_then(|backup| first_segment(backup.path.as_deref()?, archive.segment_bytes))
    {
        let segments: Vec<Segment> = archive.segments.keys().copied().collect();
        // Where the archive begins after the backup's own WAL, only the backup tells.
        if segments.iter().any(|segment| segment.number >= first.number) {
            let begins =
                segments.iter().map(|segment| segment.number).filter(|number| *number >= first.number).min();
            let first = Segment { number: begins.unwrap_or(first.number), ..first };
            let missing = wal::missing(&segments, first);
            let of = source.wal_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            listing.problems.extend(wal::missing_finding(&missing, archive.segment_bytes, &of));
        }
    }
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
        let missing = own.lacking(first, last).into_iter();
        lacking.extend(
            missing.filter(|segment| archive.is_none_or(|archive| !archive.segments.contains_key(segment))),
        );
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

/// Reads the backup at `path` to its last byte.
pub(super) async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Reading {
    let mut reading = Reading::default();
    let result = match backup.format {
        Some(Format::DataTar) => read_tar(reader, source, backup, path, &mut reading).await,
        _ => read_folder(reader, source, backup, path, &mut reading).await,
    };
    if let Err(finding) = result {
        reading.findings.push(finding);
    }
    reading
}

async fn read_folder(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
    reading: &mut Reading,
) -> Result<(), Finding> {
    let owned = path.to_path_buf();
    let manifest = reader.blocking(move |_| fs::read(owned.join(MANIFEST))).await?;
    let Ok(manifest) = manifest.map(|text| Manifest::parse(&text)) else {
        let owned = path.to_path_buf();
        let bytes = reader.blocking(move |meter| read_all(&owned, meter)).await?;
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        reading.notes.push(format!(
            "has no backup_manifest: {bytes} bytes were read, and there is nothing to compare them with"
        ));
        return Ok(());
    };
    let manifest = manifest.map_err(|reason| Finding::critical("format", format!("{MANIFEST} {reason}")))?;
    let programs = programs_of(reader, backup).await?;
    let mut args: Vec<OsString> = vec!["--exit-on-error".into()];
    let staged = needed_wal(reader, source, path, None).await?;
    if let Some(staged) = &staged {
        args.push(format!("--wal-directory={}", staged.path().join("wal").display()).into());
    }
    args.push(path.into());
    let verify = programs.program(reader.config, "pg_verifybackup").within(reader.config.backup.timeout);
    let ran = verify.text(args, reader.progress).await?;
    judge_verifybackup(&ran)?;
    reading.is_checksummed = manifest.has_checksums();
    reading.notes.push(format!(
        "every file is as its backup_manifest says, and its WAL is whole ({})",
        "pg_verifybackup"
    ));
    Ok(())
}

/// What pg_verifybackup found; its exit status alone is not believed.
fn judge_verifybackup(ran: &Ran<String>) -> Result<(), Finding> {
    if let Some(complaint) = ran.complaint() {
        return Err(Finding::critical("read", format!("pg_verifybackup: {complaint}")));
    }
    if !ran.output.as_ref().is_ok_and(|output| output.contains(VERIFIED)) {
        let text = "pg_verifybackup ended well but did not say that it verified anything";
        return Err(Finding::unknown("tool", text));
    }
    Ok(())
}

async fn read_tar(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
    reading: &mut Reading,
) -> Result<(), Finding> {
    let owned = path.to_path_buf();
    let read = reader
        .blocking(move |meter| -> Result<_, Finding> {
            let manifest = match fs::read(owned.join(MANIFEST)) {
                Ok(text) => Some(
                    Manifest::parse(&text)
                        .map_err(|reason| Finding::critical("format", format!("{MANIFEST} {reason}")))?,
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(unreadable(&error)),
            };
            let parts = tar_files::Parts::look(&owned).map_err(|error| unreadable(&error))?;
            let files = parts.verify(manifest.as_ref(), meter)?;
            Ok((manifest, files))
        })
        .await?;
    let (manifest, files) = read?;
    let Some(manifest) = manifest else {
        reading.notes.push(format!(
            "has no backup_manifest: {files} files were read, and there is nothing to compare them with"
        ));
        return Ok(());
    };
    reading.is_checksummed = manifest.has_checksums();
    reading.notes.push(format!("all {files} files in its tar files are as its backup_manifest says"));
    let programs = programs_of(reader, backup).await?;
    let Some(staged) = needed_wal(reader, source, path, Some(&manifest)).await? else { return Ok(()) };
    for range in &manifest.wal_ranges {
        let mut args: Vec<OsString> = ["--quiet", "--start", &range.start, "--end", &range.end, "--timeline"]
            .map(OsString::from)
            .into();
        args.push(range.timeline.to_string().into());
        args.push(format!("--path={}", staged.path().join("wal").display()).into());
        let waldump = programs.program(reader.config, "pg_waldump").within(reader.config.backup.timeout);
        if let Some(complaint) = waldump.text(args, reader.progress).await?.complaint() {
            return Err(Finding::critical("wal", format!("its WAL is missing or damaged: {complaint}")));
        }
    }
    reading.notes.push("its WAL is whole (pg_waldump)".into());
    Ok(())
}

async fn programs_of(reader: &Reader<'_>, backup: &Backup) -> Result<ServerPrograms, Finding> {
    let version = backup.server_version.as_deref().and_then(|version| version.parse().ok());
    if version.is_none() {
        return Err(Finding::critical("format", "its PG_VERSION does not hold"));
    }
    ServerPrograms::find(reader.config, version, 0, reader.progress).await
}

/// Puts the WAL that the backup needs in one folder, where its pg_wal does not hold it: out of a tar, or of the
/// archive. None where its pg_wal is looked at as it is.
async fn needed_wal(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    path: &Path,
    tar_manifest: Option<&Manifest>,
) -> Result<Option<Folder>, Finding> {
    let (parent, reserve) = (reader.config.drill_folder(), reader.config.backup.drill_reserve);
    let wal_path = source.and_then(|source| source.wal_path.clone());
    let (path, is_tar) = (path.to_path_buf(), tar_manifest.is_some());
    let stage = move |meter: &Arc<Meter>| -> Result<Option<Folder>, Finding> {
        if !is_tar {
            let own = Archive::look(&path.join("pg_wal")).map_err(|error| unreadable(&error))?;
            if !own.segments.is_empty() || wal_path.is_none() {
                return Ok(None);
            }
        }
        let folder = Folder::create(&parent, &Owner::Caller, reserve)?;
        let wal = folder.path().join("wal");
        fs::create_dir(&wal).map_err(|error| unreadable(&error))?;
        let parts = tar_files::Parts::look(&path).map_err(|error| unreadable(&error))?;
        if let Some(tar) = &parts.wal {
            tar_files::extract(tar, &wal, meter).map_err(|error| unreadable(&error))?;
        }
        if let Some(archive) = &wal_path {
            let archive = Archive::look(archive).map_err(|error| unreadable(&error))?;
            if let Some(first) = first_segment(&path, archive.segment_bytes) {
                folder.require_room(archive.bytes_from(first))?;
                archive.stage(first, &wal, meter).map_err(|error| {
                    Finding::critical("wal", format!("WAL can't be read to its end: {}", error_text(&error)))
                })?;
            }
        }
        Ok(Some(folder))
    };
    reader.blocking(stage).await?
}

/// Copies or unpacks the backup at `path` to the drill's data folder, and stages the WAL of its archive.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Result<Restored, Finding> {
    let (data, tablespaces, wal) = (place.data(), place.scratch("tablespaces")?, place.scratch("wal")?);
    // Links to other folders of the source are the backup's own tablespaces.
    let bounds = source.map_or(path, |source| source.path.as_path()).to_path_buf();
    let wal_path = source.and_then(|source| source.wal_path.clone());
    let (path, format) = (path.to_path_buf(), backup.format);
    let staged = wal.clone();
    let bytes = reader
        .blocking(move |meter| -> Result<u64, Finding> {
            let failed = |error: io::Error| {
                Finding::unknown("restore", format!("can't be copied: {}", error_text(&error)))
            };
            if format == Some(Format::DataTar) {
                let parts = tar_files::Parts::look(&path).map_err(failed)?;
                parts.unpack(&data, &tablespaces, meter).map_err(failed)?;
            } else {
                let bounds = bounds.canonicalize().map_err(failed)?;
                copy_data(&path, &data, &tablespaces, &bounds, meter)?;
            }
            fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            let Some(archive) = wal_path else { return Ok(0) };
            let archive = Archive::look(&archive).map_err(failed)?;
            let Some(first) = first_segment(&data, archive.segment_bytes) else { return Ok(0) };
            archive.stage(first, &wal, meter).map_err(failed)?;
            Ok(archive.bytes_from(first))
        })
        .await??;
    place.give(&staged)?;
    if bytes == 0 {
        return Ok(Restored::Data(Recovery::default()));
    }
    let restore_command = Some(format!("cp \"{}/%f\" \"%p\"", staged.display()));
    Ok(Restored::Data(Recovery { restore_command, ..Recovery::default() }))
}

/// Copies a data folder; links to tablespaces inside of `bounds` become folders of the drill.
fn copy_data(
    from: &Path,
    to: &Path,
    tablespaces: &Path,
    bounds: &Path,
    meter: &Arc<Meter>,
) -> Result<(), Finding> {
    let failed =
        |error: io::Error| Finding::unknown("restore", format!("can't be copied: {}", error_text(&error)));
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (kind, source, target) =
            (entry.file_type().map_err(failed)?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_data(&source, &target, tablespaces, bounds, meter)?;
        } else if kind.is_symlink() {
            let real = source.canonicalize().unwrap_or_default();
            if !real.is_dir() || !real.starts_with(bounds) {
                let leads = fs::read_link(&source).unwrap_or_default();
                let text = format!(
                    "holds a link that leads out of the backups' folder, maybe to a live server's data: {} to {}; make the backup with --tablespace-mapping into that folder, or as tar",
                    source.display(),
                    leads.display()
                );
                return Err(Finding::unknown("restore", text));
            }
            let copy = tablespaces.join(entry.file_name());
            copy_data(&real, &copy, tablespaces, bounds, meter)?;
            std::os::unix::fs::symlink(&copy, &target).map_err(failed)?;
        } else if kind.is_file() {
            meter.add(fs::copy(&source, &target).map_err(failed)?);
        }
    }
    Ok(())
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

/// Notes when the backup began, as its label says: `START TIME: 2026-01-31 02:00:00 UTC`.
fn note_label(backup: &mut Backup, label: &str, written: DateTime<Utc>) {
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
fn first_segment(path: &Path, segment_bytes: u64) -> Option<Segment> {
    let label = match fs::read_to_string(path.join(LABEL)) {
        Ok(label) => label,
        Err(_) => tar_files::Parts::look(path).ok()?.head(LABEL).ok()??,
    };
    let name = label.lines().next()?.split("(file ").nth(1)?.trim_end_matches(')');
    Segment::parse(name, segment_bytes)
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

/// Reads every file below `path`, and counts the bytes.
fn read_all(path: &Path, meter: &Arc<Meter>) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            bytes += read_all(&entry.path(), meter)?;
        } else if entry.file_type()?.is_file() {
            bytes += io::copy(&mut meter.read(File::open(entry.path())?), &mut io::sink())?;
        }
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::critical("read", format!("can't be read to its end: {}", error_text(error)))
}
