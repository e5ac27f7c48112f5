//! Reading a base backup to its last byte, with the WAL that it needs.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    ops::Range,
    path::Path,
    sync::Arc,
};

use super::{
    LABEL, MANIFEST,
    checksums::{self, Layout, Pages, Watch},
    first_segment,
    manifest::Manifest,
    own_wal, tar_files,
};
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format, error_text, file_name,
        reading::{Holes, Reader, Reading},
        wal::{self, Archive, page_note},
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
    // In an incremental one there are parts of files.
    if backup.format == Some(Format::DataFolder) && backup.begun.from.is_none() {
        let is_bare = !reading.is_checksummed;
        match read_pages(reader, backup, path, is_bare).await {
            Ok(pages) => reading.look_at(pages),
            Err(finding) => reading.findings.push(finding),
        }
    }
    for parent in &backup.parents {
        let Some(path) = &parent.path else { continue };
        let mut own = Reading::default();
        let result = match parent.format {
            Some(Format::DataTar) => read_tar(reader, source, parent, path, &mut own).await,
            _ => read_folder(reader, source, parent, path, &mut own).await,
        };
        let is_folder = parent.format == Some(Format::DataFolder) && parent.begun.from.is_none();
        let pages = match is_folder {
            true => read_pages(reader, parent, path, false).await.map_or_else(Some, |seen| seen.damage),
            false => None,
        };
        let found = own.findings.into_iter().chain(result.err()).chain(pages);
        reading.findings.extend(found.map(|finding| Finding {
            text: format!("builds on {}, which {}", parent.name, finding.text),
            ..finding
        }));
        reading.is_checksummed &= own.is_checksummed;
        reading.notes.push(format!("builds on {}, which was read as well", parent.name));
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
        reading.findings.push(no_manifest(format!("{bytes} bytes")));
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

/// What was seen of a cluster's pages.
#[derive(Debug, Default)]
pub(in crate::backup::source) struct PagesSeen {
    note: Option<String>,
    damage: Option<Finding>,
    holes: Holes,
}

impl Reading {
    /// Takes over what was seen of pages.
    pub(in crate::backup::source) fn look_at(&mut self, seen: PagesSeen) {
        self.notes.extend(seen.note);
        self.findings.extend(seen.damage);
        self.holes = seen.holes;
    }
}

impl PagesSeen {
    /// Of `pages`, in the cluster of which `told` is pg_controldata's report, and `label` the backup's.
    fn of(pages: Pages, layout: Layout, told: &str, label: &str) -> Self {
        let value = |text: &'_ str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let checkpoint = value(told, "Latest checkpoint location:");
        let (note, damage) = match pages.judge() {
            _ if !layout.has_checksums => (None, None),
            Ok(note) => (Some(note), None),
            Err(damage) => (None, Some(damage)),
        };
        let number = |name: &str| value(told, name)?.parse().ok();
        let ended_before =
            number("Latest checkpoint's oldestActiveXID:").and_then(|xid| u32::try_from(xid).ok());
        let holes = Holes {
            pages: pages.holes,
            system: number("Database system identifier:"),
            ended_before: ended_before.filter(|xid| *xid > 0),
            is_exact: checkpoint.is_some() && checkpoint == value(label, "CHECKPOINT LOCATION:"),
        };
        Self { note, damage, holes }
    }
}

/// Looks at the pages of the data folder at `path`: whether they are as their checksums say, where the cluster has them, and
/// which are empty though they should not be. One that is all as its manifest says (not `is_bare`) and has none is not read again.
async fn read_pages(
    reader: &Reader<'_>,
    backup: &Backup,
    path: &Path,
    is_bare: bool,
) -> Result<PagesSeen, Finding> {
    check_pages(reader, &programs_of(reader, backup).await?, path, is_bare).await
}

/// The same of a data folder that a tool brought back. Where this machine has no programs of its version, that is told alone:
/// the tool needs none.
pub(in crate::backup::source) async fn read_pages_of(
    reader: &Reader<'_>,
    data: &Path,
) -> Result<PagesSeen, Finding> {
    let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default().trim().parse().ok();
    match ServerPrograms::find(&reader.config.backup.throwaway(), version, 0, reader.progress).await {
        Ok(programs) => check_pages(reader, &programs, data, true).await,
        Err(error) => {
            let reason = Finding::from(error).text;
            let note = Some(format!("its pages were not looked at: {reason}"));
            Ok(PagesSeen { note, ..PagesSeen::default() })
        }
    }
}

async fn check_pages(
    reader: &Reader<'_>,
    programs: &ServerPrograms,
    path: &Path,
    is_bare: bool,
) -> Result<PagesSeen, Finding> {
    let controldata = programs.program("pg_controldata");
    let told = controldata.text([path], reader.progress).await?.whole()?;
    let layout = Layout::told(&told).filter(|layout| layout.has_checksums || is_bare);
    let Some(layout) = layout else { return Ok(PagesSeen::default()) };
    let owned = path.to_path_buf();
    let read = move |meter: &Arc<Meter>| -> io::Result<(Pages, String)> {
        let label = fs::read_to_string(owned.join(LABEL))?;
        Ok((checksums::check(&owned, layout, &meanwhile(&label, &owned)?, meter)?, label))
    };
    let (pages, label) = reader.blocking(read).await?.map_err(|error| unreadable(&error))?;
    Ok(PagesSeen::of(pages, layout, &told, &label))
}

/// The WAL that was written while the backup at `path` was made, from where its `label` says.
fn meanwhile(label: &str, path: &Path) -> io::Result<Range<u64>> {
    let start = label.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "));
    match start.and_then(|line| wal::lsn_of(line.split(' ').next()?)) {
        Some(start) => Ok(start..written_until(path)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{LABEL} tells no place in WAL"))),
    }
}

/// Judges the pages that came by: the cluster's pg_control, which tells whether they have checksums, came last.
async fn judge_pages(
    reader: &Reader<'_>,
    programs: &ServerPrograms,
    path: &Path,
    (mut watch, label): (Watch, &str),
) -> Result<PagesSeen, Finding> {
    if watch.control.is_empty() {
        return Err(Finding::critical("format", format!("its tar files have no {}", checksums::CONTROL)));
    }
    let folder = reader.scratch()?;
    let data = folder.path().join("control");
    let write = || {
        fs::create_dir_all(data.join("global"))?;
        fs::write(data.join(checksums::CONTROL), &watch.control)
    };
    write().map_err(|error| {
        Finding::unknown("drill", format!("{} can't be written: {error}", data.display()))
    })?;
    let told = programs.program("pg_controldata").text([&data], reader.progress).await?.whole()?;
    let Some(layout) = Layout::told(&told) else { return Ok(PagesSeen::default()) };
    if !layout.is_like(watch.layout) {
        // It was built otherwise, so they come by once more.
        let (owned, meanwhile) = (path.to_path_buf(), watch.meanwhile);
        let again = move |meter: &Arc<Meter>| -> Result<Watch, Finding> {
            let mut watch = Watch::new(layout, meanwhile);
            let parts = tar_files::Parts::look(&owned).map_err(|error| unreadable(&error))?;
            parts.verify(None, Some(&mut watch), meter)?;
            Ok(watch)
        };
        watch = reader.blocking(again).await??;
    }
    Ok(PagesSeen::of(watch.pages, layout, &told, label))
}

/// The place in WAL up to which pages were written while the backup at `path` was made: where the WAL that makes it whole ends;
/// the end of all where that lies elsewhere and nothing tells.
fn written_until(path: &Path) -> u64 {
    let manifest = fs::read(path.join(MANIFEST)).ok().and_then(|text| Manifest::parse(&text).ok());
    let told = manifest.iter().flat_map(|manifest| &manifest.wal_ranges);
    let told = told.filter_map(|range| wal::lsn_of(&range.end)).max();
    let held = || {
        let own = own_wal(path)?;
        let last = own.segments.keys().map(|segment| segment.number).max()?;
        Some(last.saturating_add(1).saturating_mul(own.segment_bytes))
    };
    told.or_else(held).unwrap_or(u64::MAX)
}

fn no_manifest(read: String) -> Finding {
    Finding::warning(
        "read",
        format!(
            "has no backup_manifest: {read} were read, and there is nothing to compare them with; make it without --no-manifest"
        ),
    )
}

/// What pg_verifybackup found; its exit status alone is not believed.
fn judge_verifybackup(ran: &Ran<String>) -> Result<(), Finding> {
    match ran.complaint() {
        // What crashes says nothing of what it read.
        Some(complaint) if complaint.starts_with("signal: ") => {
            return Err(Finding::unknown("tool", format!("pg_verifybackup crashed ({complaint})")));
        }
        Some(complaint) => return Err(Finding::critical("read", format!("pg_verifybackup: {complaint}"))),
        None => {}
    }
    if !ran.output.as_ref().is_ok_and(|output| output.contains(VERIFIED)) {
        let text = "pg_verifybackup ended well but did not say that it verified anything";
        return Err(Finding::unknown("tool", text));
    }
    Ok(())
}

/// Reads the tar files that a tool keeps in `folder`. Their WAL lies elsewhere, and is the tool's.
pub(in crate::backup::source) async fn read_tar_of(reader: &Reader<'_>, folder: &Path) -> Reading {
    let mut reading = Reading::default();
    let read = async {
        let owned = folder.to_path_buf();
        let found = reader.blocking(move |_| super::inspect(&owned)).await?;
        let found = found.map_err(|error| unreadable(&error))?;
        let found = found.filter(|backup| backup.format == Some(Format::DataTar));
        let none = || Finding::critical("read", "its tar files are no base backup");
        read_tar_files(reader, &found.ok_or_else(none)?, folder, &mut reading).await
    };
    if let Err(finding) = read.await {
        reading.findings.push(finding);
    }
    reading
}

async fn read_tar(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
    reading: &mut Reading,
) -> Result<(), Finding> {
    let Some(manifest) = read_tar_files(reader, backup, path, reading).await? else { return Ok(()) };
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

/// Reads the tar files of the backup at `path`, all but its WAL; gives its manifest, where there is one.
async fn read_tar_files(
    reader: &Reader<'_>,
    backup: &Backup,
    path: &Path,
    reading: &mut Reading,
) -> Result<Option<Manifest>, Finding> {
    let owned = path.to_path_buf();
    // In an incremental one there are parts of files.
    let has_pages = backup.begun.from.is_none();
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
            let label = parts.head(LABEL).map_err(|error| unreadable(&error))?.unwrap_or_default();
            let mut watch = match has_pages {
                true => {
                    let meanwhile = meanwhile(&label, &owned).map_err(|error| unreadable(&error))?;
                    Some(Watch::new(Layout::USUAL, meanwhile))
                }
                false => None,
            };
            let files = parts.verify(manifest.as_ref(), watch.as_mut(), meter)?;
            Ok((manifest, files, watch, label))
        })
        .await?;
    let (manifest, files, watch, label) = read?;
    let programs = programs_of(reader, backup).await?;
    if let Some(watch) = watch {
        match judge_pages(reader, &programs, path, (watch, &label)).await {
            Ok(pages) => reading.look_at(pages),
            Err(finding) => reading.findings.push(finding),
        }
    }
    let Some(manifest) = manifest else {
        reading.findings.push(no_manifest(format!("{files} files")));
        return Ok(None);
    };
    reading.is_checksummed = manifest.has_checksums();
    reading.notes.push(format!("all {files} files in its tar files are as its backup_manifest says"));
    Ok(Some(manifest))
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
        Ok(Some(page_note(count)))
    };
    reader.blocking(read).await?
}

/// Refuses a data folder whose links to tablespaces lead nowhere.
fn require_tablespaces(path: &Path) -> Result<(), Finding> {
    let Ok(links) = fs::read_dir(path.join("pg_tblspc")) else { return Ok(()) };
    for link in links {
        let link = link.map_err(|error| unreadable(&error))?.path();
        let place = fs::read_link(&link).unwrap_or_else(|_| link.clone());
        let why = match fs::read_dir(&link).map(Iterator::count) {
            // Every tablespace holds a folder of its version, whether anything is in it or not.
            Ok(0) => "it is empty",
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "nothing is there",
            Err(_) => "it is no folder",
        };
        let text = format!("lacks the tablespace {} at {}: {why}", file_name(&link), place.display());
        return Err(Finding::critical("read", text));
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
