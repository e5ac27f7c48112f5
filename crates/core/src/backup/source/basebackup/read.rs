//! Reading a base backup to its last byte, with the WAL that it needs.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
};

use super::{MANIFEST, first_segment, manifest::Manifest, tar_files};
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format, error_text, file_name,
        reading::{Reader, Reading},
        wal::Archive,
    },
    progress::meter::Meter,
    throwaway::{Folder, Owner, Ran, ServerPrograms},
};

/// What pg_verifybackup says when all is well.
const VERIFIED: &str = "successfully verified";

/// Reads the backup at `path` to its last byte.
pub(in crate::backup::source) async fn read(
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
    match read_archive(reader, source, path).await {
        Ok(note) => reading.notes.extend(note),
        Err(finding) => reading.findings.push(finding),
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
        let owned = path.to_path_buf();
        reader.blocking(move |_| require_tablespaces(&owned)).await??;
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
    let verify = programs.program("pg_verifybackup").within(reader.config.backup.timeout);
    let ran = verify.text(args, reader.progress).await?;
    judge_verifybackup(&ran)?;
    reading.is_checksummed = manifest.has_checksums();
    let text = "every file is as its backup_manifest says, and its WAL is whole (pg_verifybackup)";
    reading.notes.push(text.to_owned());
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
        let waldump = programs.program("pg_waldump").within(reader.config.backup.timeout);
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
    Ok(ServerPrograms::find(&reader.config.backup.throwaway(), version, 0, reader.progress).await?)
}

/// Puts the WAL that the backup needs in one folder, where its pg_wal does not hold it: out of a tar, or of the
/// archive. None where its pg_wal is looked at as it is.
async fn needed_wal(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    path: &Path,
    tar_manifest: Option<&Manifest>,
) -> Result<Option<Folder>, Finding> {
    let settings = reader.config.backup.throwaway();
    let wal_path = source.and_then(|source| source.wal_path.clone());
    let (path, is_tar) = (path.to_path_buf(), tar_manifest.is_some());
    let stage = move |meter: &Arc<Meter>| -> Result<Option<Folder>, Finding> {
        if !is_tar {
            let own = Archive::look(&path.join("pg_wal")).map_err(|error| unreadable(&error))?;
            if !own.segments.is_empty() || wal_path.is_none() {
                return Ok(None);
            }
        }
        let folder = Folder::create(&settings, &Owner::Caller)?;
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

/// The identifier of the cluster whose data lies in `data`: what pg_control begins with.
fn system_identifier(data: &Path) -> Option<u64> {
    let head = fs::read(data.join("global/pg_control")).ok()?;
    Some(u64::from_le_bytes(head.get(..8)?.try_into().ok()?))
}

/// Reads the archived WAL that a recovery of the backup at `path` needs, to its end.
async fn read_archive(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    path: &Path,
) -> Result<Option<String>, Finding> {
    let Some(place) = source.and_then(|source| source.wal_path.clone()) else { return Ok(None) };
    let path = path.to_path_buf();
    let read = move |meter: &Arc<Meter>| -> Result<Option<String>, Finding> {
        let archive = Archive::look(&place).map_err(|error| unreadable(&error))?;
        let Some(first) = first_segment(&path, archive.segment_bytes) else { return Ok(None) };
        let count = archive.check(first, system_identifier(&path), meter)?;
        Ok(Some(format!("the pages of {count} archived segments of WAL are what their names say")))
    };
    reader.blocking(read).await?
}

/// Refuses a data folder whose links to tablespaces lead nowhere.
fn require_tablespaces(path: &Path) -> Result<(), Finding> {
    let Ok(links) = fs::read_dir(path.join("pg_tblspc")) else { return Ok(()) };
    for link in links {
        let link = link.map_err(|error| unreadable(&error))?.path();
        if fs::metadata(&link).is_err() {
            let place = fs::read_link(&link).unwrap_or_default();
            let text =
                format!("lacks the tablespace {}: nothing is at {}", file_name(&link), place.display());
            return Err(Finding::critical("read", text));
        }
    }
    Ok(())
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
