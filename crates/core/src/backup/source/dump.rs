//! What pg_dump writes: which format a file or folder is of, and the marks that show at a glance whether it is whole.

mod archive;
mod expected;
mod objects;
mod parents;
mod read;
mod restrict;
mod script;
mod statements;
mod tally;
mod times;

pub(in crate::backup) use expected::no_rows;
pub(in crate::backup) use read::{how_to_give, named, read};
pub(in crate::backup) use restrict::Restricted;

use std::{
    fs::{self, File, Metadata},
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Local, Utc};

use super::{
    basebackup,
    bundle::{self, TAR_BLOCK_BYTES},
};
use crate::backup::{
    Backup, Compression, Finding, Format, compression,
    encryption::{self, Encryption},
    error_text, file_name,
    listing::{Extent, major},
    reading::Objects,
    start,
};
use crate::progress::meter::Meter;
use archive::{ArchiveError, Container, Entry, Header, Place, Toc};

/// So much of a file's beginning tells its format.
const HEAD_BYTES: usize = 1 << 16;

/// A dump of roles and tablespaces is shorter.
const GLOBALS_BYTES_MAX: u64 = 1 << 24;

/// So much of a plain dump's end holds its last lines.
const TAIL_BYTES: u64 = 1 << 10;

/// The name of the table of contents in a directory and in a tar.
const TOC_FILE: &str = "toc.dat";

/// What is wrong with a dump that `--enable-row-security` was given for.
const FILTERED: &str = "was made under row-level security (SET row_security = on): it holds no more rows than its role could see; make it as a role with BYPASSRLS and without --enable-row-security";

/// What pg_dump calls keys and indexes.
const KEYS: [&str; 3] = ["CONSTRAINT", "INDEX", "FK CONSTRAINT"];

/// Endings by which a file is taken for a backup even when its content says nothing (when it is empty, say).
const SUFFIXES: [&str; 10] = ["dump", "dmp", "backup", "bak", "custom", "pgdump", "pgc", "tar", "tgz", "sql"];

/// Whether `backup` should be taken for a dump where no pattern says so.
pub(super) fn looks_like_one(backup: &Backup) -> bool {
    match backup.format {
        // Anything may be encrypted.
        Some(Format::Encrypted) => is_called_like_one(&backup.name),
        Some(_) => true,
        None => {
            let name = backup.name.to_lowercase();
            let name = compression::SUFFIXES.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            has_suffix(name)
        }
    }
}

/// Whether a file called `name`, compressed and encrypted in whatever order, is called like a dump.
pub(super) fn is_called_like_one(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut name = lower.as_str();
    let ends = || compression::SUFFIXES.iter().chain(&encryption::SUFFIXES);
    while let Some(shorter) = ends().find_map(|end| name.strip_suffix(end)) {
        name = shorter;
    }
    has_suffix(name)
}

fn has_suffix(name: &str) -> bool {
    SUFFIXES.contains(&name.rsplit_once('.').map_or("", |(_, suffix)| suffix))
}

fn note_header(backup: &mut Backup, header: &Header, modified_at: DateTime<Utc>) {
    let start = start::from_header(&Local, header.created, header.daylight_saving, modified_at);
    (backup.started_at, backup.started_from) = (start.at, start.from);
    backup.database = Some(header.database.clone());
    backup.server_version = Some(header.server_version.clone());
    backup.needs = major(&header.server_version).max(major(&header.made_by));
}

fn note_error(backup: &mut Backup, error: &ArchiveError) {
    backup.findings.push(match error {
        ArchiveError::Io(_) | ArchiveError::Version(_) => Finding::unknown("format", error.to_string()),
        _ => Finding::critical("format", error.to_string()),
    });
}

/// The extensions that the dump at `path` makes; none where its table of contents does not tell.
pub(super) fn extensions(
    path: &Path,
    format: Format,
    compression: Compression,
    meter: &Arc<Meter>,
) -> Option<Vec<String>> {
    let path = match format {
        Format::Custom => path.to_path_buf(),
        Format::Directory => path.join(TOC_FILE),
        _ => return None,
    };
    let source = compression.reader(meter.read(File::open(path).ok()?)).ok()?;
    let entries = archive::read_toc(source).ok()?.entries;
    Some(entries.into_iter().filter(|entry| entry.kind == "EXTENSION").map(|entry| entry.name).collect())
}

/// Looks at a file or folder; none for what can't be a backup (a folder of other things, a socket).
///
/// # Errors
/// When it can't be read.
pub(in crate::backup) fn inspect(path: &Path) -> io::Result<Option<Backup>> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        inspect_folder(path)
    } else if metadata.is_file() {
        inspect_file(path, &metadata).map(Some)
    } else {
        Ok(None)
    }
}

/// What a dump of roles and tablespaces makes.
///
/// # Errors
/// When it can't be read.
pub(in crate::backup) fn globals(path: &Path) -> io::Result<Objects> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let script = script::read_script(Compression::of(&head).reader(File::open(path)?)?)?;
    Ok(script.objects)
}

/// One of the files of a directory dump that hold data.
#[derive(Debug, Clone)]
struct DataFile {
    path: PathBuf,
    /// What it holds, for a person.
    what: String,
    /// The table, where it holds the COPY data of one.
    table: Option<(String, String)>,
    /// The statement that reads it.
    copy: String,
    /// The table, where it holds INSERT statements for one.
    inserts: Option<(String, String)>,
}

/// The files that `toc` names in `folder`, and what is missing of them.
///
/// # Errors
/// When the folder or a list of large objects can't be read.
fn data_files(folder: &Path, toc: &Toc) -> io::Result<(Vec<DataFile>, Vec<Finding>)> {
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    let mut add = |name: &str, what: String, copy: &str, table, inserts| match stored(folder, name) {
        Some(path) => {
            files.push(DataFile { path: path.clone(), what, table, copy: copy.to_owned(), inserts });
            Some(path)
        }
        None => {
            findings.push(Finding::critical("format", format!("{what} is missing: no file {name}")));
            None
        }
    };
    for entry in &toc.entries {
        let Place::File(name) = &entry.place else { continue };
        let table = (entry.kind == "TABLE DATA" && entry.is_copy).then(|| table_key(entry));
        let inserts = (entry.kind == "TABLE DATA" && !entry.is_copy).then(|| table_key(entry));
        let Some(path) = add(name, data_text(entry), &entry.copy, table, inserts) else { continue };
        if entry.kind.starts_with("BLOB") {
            for blob in fs::read_to_string(path)?.lines() {
                let (oid, name) = blob.split_once(' ').unwrap_or(("?", blob));
                add(name, format!("the large object {oid}"), "", None, None);
            }
        }
    }
    Ok((files, findings))
}

/// The schema and name of the table that `entry` is about, as pg_dump's comments spell them.
fn table_key(entry: &Entry) -> (String, String) {
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    (line(&entry.schema), line(&entry.name))
}

/// `entry`'s data, for a person.
fn data_text(entry: &Entry) -> String {
    match entry.kind.as_str() {
        "TABLE DATA" => format!("the data of {}.{}", entry.schema, entry.name),
        kind if kind.starts_with("BLOB") => "the list of large objects".to_owned(),
        kind => format!("the data of {kind} {}", entry.name),
    }
}

/// The file `name`, or `name` with a compression's suffix.
fn stored(folder: &Path, name: &str) -> Option<PathBuf> {
    // A name with a folder in it would lead out of the dump.
    if name.contains('/') {
        return None;
    }
    ["", ".gz", ".zst", ".lz4"]
        .iter()
        .map(|suffix| folder.join(format!("{name}{suffix}")))
        .find(|path| path.is_file())
}

fn inspect_folder(path: &Path) -> io::Result<Option<Backup>> {
    let (mut size_bytes, mut modified_at) = (0, DateTime::UNIX_EPOCH);
    let (mut has_toc, mut has_data) = (false, false);
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        has_toc |= name == TOC_FILE;
        has_data |= name.split_once(".dat").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        size_bytes += metadata.len();
        modified_at = modified_at.max(modified(&metadata)?);
    }
    if !has_toc && !has_data {
        return Ok(None);
    }
    let mut backup = Backup::of_path(path, size_bytes, modified_at);
    backup.format = Some(Format::Directory);
    if !has_toc {
        backup.find("format", "has no toc.dat, which pg_dump writes last: it did not end");
        return Ok(Some(backup));
    }
    let file = File::open(path.join(TOC_FILE))?;
    let written = modified(&file.metadata()?)?;
    match archive::read_toc(BufReader::new(file)) {
        Err(error) => note_error(&mut backup, &error),
        Ok(toc) => {
            note_header(&mut backup, &toc.header, written);
            let (files, missing) = data_files(path, &toc)?;
            backup.findings.extend(missing);
            for DataFile { path, what, table, .. } in files {
                // Even the file of an empty table holds the mark of its end.
                if path.metadata()?.len() == 0
                    && (table.is_some() || path.extension().is_some_and(|end| end != "dat"))
                {
                    backup.find("format", format!("{what} is empty (0 bytes): {}", file_name(&path)));
                }
            }
        }
    }
    Ok(Some(backup))
}

fn inspect_file(path: &Path, metadata: &Metadata) -> io::Result<Backup> {
    let modified_at = modified(metadata)?;
    let mut backup = Backup::of_path(path, metadata.len(), modified_at);
    if metadata.len() == 0 {
        backup.find("size", "is empty (0 bytes)");
        return Ok(backup);
    }
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut start)?;
    backup.compression = Compression::of(&start);
    backup.encryption = Encryption::of(&start);
    if backup.encryption.is_some() {
        note_encrypted(&mut backup);
        return Ok(backup);
    }
    let head = match backup.compression {
        Compression::None => start,
        _ => decompressed_head(&mut backup, &mut file)?,
    };
    backup.format = format_of(&head);
    if backup.format == Some(Format::Plain) {
        note_script(&mut backup, &head, &mut file)?;
    }
    if script::is_filtered_at(&head) {
        backup.find("contents", FILTERED);
    }
    if backup.format.is_none() {
        note_wrapped(&mut backup, &head);
    }
    match backup.format {
        None if backup.findings.is_empty() => {
            backup.find(
                "format",
                "its content is of none of pg_dump's formats (custom, directory, tar, plain)",
            );
        }
        Some(Format::Custom) => match archive::read_header(&head[..]) {
            Err(error) => note_error(&mut backup, &error),
            Ok(header) => {
                note_header(&mut backup, &header, modified_at);
                if header.container == Container::Files {
                    backup.find(
                        "format",
                        "is the table of contents of a directory or tar dump, without its data",
                    );
                } else if backup.compression == Compression::None {
                    check_custom(&mut backup, file)?;
                }
            }
        },
        Some(Format::Tar) => check_tar(&mut backup, file, &head)?,
        Some(Format::Plain) if backup.compression == Compression::None => check_end(&mut backup, file)?,
        // A folder's make is known elsewhere; what a compressed script holds only reading it tells.
        _ => {}
    }
    Ok(backup)
}

/// Finds a script of statements without the line that `pg_dump` writes last.
fn check_end(backup: &mut Backup, mut file: File) -> io::Result<()> {
    let from = backup.size_bytes.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    if ![script::DUMP_END, script::CLUSTER_END].iter().any(|end| tail.contains(end)) {
        backup.find("format", format!("lacks its last line, {:?}", script::DUMP_END));
    }
    Ok(())
}

/// Notes in what a dump or a base backup lies, where the `head` of what is none by itself shows it.
fn note_wrapped(backup: &mut Backup, head: &[u8]) {
    let modified_at = backup.modified_at;
    if let Some(format) = bundle::inside(head) {
        backup.format = Some(format);
        if format == Format::ClusterTar
            && let Some(label) = bundle::label_in(head)
        {
            basebackup::note_label(backup, &label, modified_at);
        }
    } else if backup.compression == Compression::None {
        backup.encryption = Encryption::by_name(&backup.name);
        if backup.encryption.is_some() {
            note_encrypted(backup);
        }
    }
}

/// Notes that what is in it can't be told. A name is all that tells a dump of roles from one with data.
fn note_encrypted(backup: &mut Backup) {
    backup.format = Some(Format::Encrypted);
    let name = backup.name.to_lowercase();
    if ["globals", "roles"].iter().any(|word| name.contains(word)) {
        backup.extent = Extent::Globals;
    }
}

/// The beginning of what a compressed file holds.
fn decompressed_head(backup: &mut Backup, file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    let mut source = backup.compression.reader(&*file)?.take(HEAD_BYTES as u64);
    // What could be read before an error tells the format all the same.
    if let Err(error) = source.read_to_end(&mut head) {
        backup.find("format", format!("can't be decompressed: {}", error_text(&error)));
    }
    Ok(head)
}

/// Notes what the `head` of a plain dump says of it: versions, when it began, and of how much it is.
fn note_script(backup: &mut Backup, head: &[u8], file: &mut File) -> io::Result<()> {
    let (of, by) = script::versions(head);
    backup.needs = [&of, &by].into_iter().flatten().map(|version| major(version)).max().unwrap_or(0);
    backup.server_version = of;
    if let Some((started, is_utc)) = script::started(head) {
        let start = if is_utc {
            start::from_header(&Utc, started, false, backup.modified_at)
        } else {
            start::from_header(&Local, started, false, backup.modified_at)
        };
        (backup.started_at, backup.started_from) = (start.at, start.from);
    }
    if script::begins_with_cluster(head) {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        // Of what can't be read to there, more is said elsewhere.
        let _ = backup.compression.reader(&*file)?.take(GLOBALS_BYTES_MAX).read_to_end(&mut text);
        backup.extent = if script::is_globals(&text) { Extent::Globals } else { Extent::Cluster };
    }
    Ok(())
}

fn check_custom(backup: &mut Backup, mut file: File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    match archive::read_toc(BufReader::new(file)) {
        Err(error) => note_error(backup, &error),
        Ok(toc) => {
            let cut_off = toc.entries.iter().filter(|entry| entry.has_data).find(|entry| match entry.place {
                Place::Offset(offset) => offset >= backup.size_bytes,
                _ => toc.bytes >= backup.size_bytes,
            });
            if let Some(entry) = cut_off {
                backup.find("format", format!("is cut off: it ends before {}", data_text(entry)));
            }
        }
    }
    Ok(())
}

fn check_tar(backup: &mut Backup, mut file: File, head: &[u8]) -> io::Result<()> {
    match archive::read_header(head.get(TAR_BLOCK_BYTES as usize..).unwrap_or_default()) {
        Err(error) => note_error(backup, &error),
        Ok(header) => note_header(backup, &header, backup.modified_at),
    }
    if backup.compression == Compression::None {
        let end = 2 * TAR_BLOCK_BYTES;
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(backup.size_bytes.saturating_sub(end)))?;
        file.read_to_end(&mut tail)?;
        if !backup.size_bytes.is_multiple_of(TAR_BLOCK_BYTES)
            || tail.len() as u64 != end
            || tail.iter().any(|byte| *byte != 0)
        {
            backup.find("format", "is cut off: a tar's end is missing");
        }
    }
    Ok(())
}

fn format_of(head: &[u8]) -> Option<Format> {
    let text = &head[..head.len().min(4096)];
    let begins = |line: &str| memchr::memmem::find(text, line.as_bytes()).is_some();
    if head.starts_with(archive::MAGIC) {
        Some(Format::Custom)
    } else if head.get(257..262) == Some(b"ustar".as_slice()) && head.starts_with(b"toc.dat\0") {
        Some(Format::Tar)
    } else if begins(script::DUMP_BEGIN) || begins(script::CLUSTER_BEGIN) {
        Some(Format::Plain)
    } else {
        None
    }
}

pub(super) fn modified(metadata: &Metadata) -> io::Result<DateTime<Utc>> {
    metadata.modified().map(DateTime::from)
}
