//! A folder in one tar: a directory dump, or a cluster's data, as `pg_basebackup -D -` and `tar` write them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use tar::{Archive as Tar, EntryType};

use crate::{
    backup::{Compression, Finding, Format, compression::SUFFIXES, error_text, file_name},
    progress::meter::Meter,
};

/// The unit in which a tar is written; it ends with two of zeros.
pub(in crate::backup) const TAR_BLOCK_BYTES: u64 = 512;

/// So much of a file's beginning holds the label, which pg_basebackup writes first.
const HEAD_BYTES: u64 = 1 << 16;

/// Folders that only a cluster's data has.
const OF_A_CLUSTER: [&str; 4] = ["global", "pg_wal", "pg_xact", "pg_multixact"];

/// Files that only a cluster's data has at its top.
const FILES_OF_A_CLUSTER: [&str; 3] = ["PG_VERSION", "backup_label", "backup_manifest"];

/// What kind of folder is in the tar that begins with `head`; none where it is no tar, or of something else.
pub(super) fn inside(head: &[u8]) -> Option<Format> {
    members(head).into_iter().find_map(|(name, _)| {
        let last = name.rsplit('/').next().unwrap_or_default();
        let number = last.split_once(".dat").map(|(number, _)| number);
        if last == "toc.dat" || number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            return Some(Format::DirectoryTar);
        }
        let is_of_cluster = FILES_OF_A_CLUSTER.contains(&last)
            || last.starts_with("base.tar")
            || name.split('/').any(|part| OF_A_CLUSTER.contains(&part));
        is_of_cluster.then_some(Format::ClusterTar)
    })
}

/// The `backup_label` in the tar that begins with `head`, where it is among the first files.
pub(super) fn label_in(head: &[u8]) -> Option<String> {
    let mut members = members(head).into_iter();
    let (_, data) = members.find(|(name, _)| name.rsplit('/').next() == Some("backup_label"))?;
    Some(String::from_utf8_lossy(data).into_owned())
}

/// The `backup_label` in the tar at `path`, where it is among the first files.
pub(super) fn label(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    open(path, &Arc::default()).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    label_in(&head)
}

/// The members of a tar as far as its `head` shows them, each with its data or the beginning of it.
fn members(head: &[u8]) -> Vec<(String, &[u8])> {
    let block = TAR_BLOCK_BYTES as usize;
    let mut members = Vec::new();
    let mut left = head;
    while let Some((header, data)) = left.split_at_checked(block) {
        let mut parsed = tar::Header::new_old();
        parsed.as_mut_bytes().copy_from_slice(header);
        if header[257..262] != *b"ustar" {
            break;
        }
        let Ok(size) = parsed.entry_size() else { break };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        members.push((
            String::from_utf8_lossy(&parsed.path_bytes()).into_owned(),
            &data[..size.min(data.len())],
        ));
        left = data.get(size.saturating_add(block - 1) / block * block..).unwrap_or_default();
    }
    members
}

/// Unpacks the tar at `path` below `folder`; where in it the dump or the cluster's data lies.
pub(super) fn unpack(path: &Path, folder: &Path, meter: &Arc<Meter>) -> Result<PathBuf, Finding> {
    let cut_off = |error: io::Error| {
        Finding::critical("read", format!("can't be unpacked to its end: {}", error_text(&error)))
    };
    let folder = &folder.join(bare_name(&file_name(path)));
    fs::create_dir_all(folder)
        .map_err(|error| Finding::unknown("drill", format!("can't be unpacked: {error}")))?;
    let mut tar = Tar::new(Ending { source: open(path, meter).map_err(cut_off)?, block: Vec::new() });
    for entry in tar.entries().map_err(cut_off)? {
        let mut entry = entry.map_err(cut_off)?;
        // Links, and names that lead out of the folder, are left out.
        if matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Directory) {
            entry.unpack_in(folder).map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => {
                    Finding::unknown("drill", format!("can't be unpacked: {error}"))
                }
                _ => cut_off(error),
            })?;
        }
    }
    let mut source = tar.into_inner();
    io::copy(&mut source, &mut io::sink()).map_err(cut_off)?;
    if source.block.len() < TAR_BLOCK_BYTES as usize || source.block.iter().any(|byte| *byte != 0) {
        return Err(Finding::critical("read", "is cut off: a tar's end is missing"));
    }
    let nothing =
        || Finding::critical("format", "is a tar that holds neither a directory dump nor a base backup");
    top(folder).map_err(cut_off)?.ok_or_else(nothing)
}

/// The name of a tar without what says so.
fn bare_name(name: &str) -> &str {
    let name = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    name.strip_suffix(".tar").or_else(|| name.strip_suffix(".tgz")).unwrap_or(name)
}

/// The folder, at or below `folder`, that is the dump's or the cluster's.
fn top(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path);
        if ["toc.dat", "PG_VERSION"].contains(&name.as_str()) || name.starts_with("base.tar") {
            return Ok(Some(folder.to_path_buf()));
        }
        if path.is_dir() {
            folders.push(path);
        }
    }
    for below in folders {
        if let Some(found) = top(&below)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn open(path: &Path, meter: &Arc<Meter>) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Compression::of(&head).reader(meter.read(File::open(path)?))
}

/// Remembers the last block that was read: a tar that is whole ends with zeros.
struct Ending<R> {
    source: R,
    block: Vec<u8>,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.block.extend_from_slice(&buffer[..read]);
        let before = self.block.len().saturating_sub(TAR_BLOCK_BYTES as usize);
        self.block.drain(..before);
        Ok(read)
    }
}
