//! Reading a dump to its last byte, and comparing its tables with those that it should hold.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use super::{
    DataFile, FILTERED, TAR_BLOCK_BYTES, TOC_FILE,
    archive::{self, ArchiveError, Entry, Place, Toc},
    data_files, data_text,
    expected::{check_rows, compare},
    objects::{self, toc_contents},
    script,
    statements::Foreign,
    table_key,
    tally::{Tally, Watched},
};
use crate::{
    backup::{
        Backup, BackupSource, Compression, Finding, Format, Status, error_text, file_name,
        reading::{Contents, Owners, Reader, Reading},
        tool::PgRestore,
    },
    progress::meter::Meter,
    throwaway::{Feed, Ran},
};

/// A table of contents in a tar may have so many bytes; a database of a million tables stays below it.
const TOC_BYTES_MAX: u64 = 1 << 31;

/// Reads the dump at `path` to its end, and compares its tables with the inventory's.
pub(in crate::backup) async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    path: &Path,
    backup: &Backup,
) -> Reading {
    let mut reading = match backup.format {
        Some(Format::Plain) => read_plain(reader, path, backup).await,
        Some(Format::Custom) => read_custom(reader, path, backup).await,
        Some(Format::Tar) => {
            let (owned, compression) = (path.to_path_buf(), backup.compression);
            let tally = Tally::new(Watched::of(reader.config.mapping, backup));
            let walked = reader.blocking(move |meter| walk_tar(&owned, compression, tally, meter)).await;
            read_files(reader, path, backup, walked).await
        }
        Some(Format::Directory) => {
            let owned = path.to_path_buf();
            let tally = Tally::new(Watched::of(reader.config.mapping, backup));
            let walked = reader.blocking(move |meter| walk_directory(&owned, tally, meter)).await;
            read_files(reader, path, backup, walked).await
        }
        // Its format was found wanting already.
        _ => return Reading::default(),
    };
    if reading.findings.iter().all(|finding| finding.status < Status::Unknown) {
        reading.findings.extend(compare(&reading.contents, reader.config.mapping, source));
    }
    let is_whole = reading.findings.iter().all(|finding| finding.status < Status::Unknown);
    if is_whole && !source.is_some_and(|source| source.expect_empty) {
        reading.findings.extend(check_rows(&reading.contents, reader.config.mapping));
    }
    if is_whole {
        reading.findings.extend(objects::check_sequences(&reading.objects, source));
    }
    if is_whole && !objects::has_keys(&reading.objects) {
        let text = "holds no key and no index: it was made without its last section (--section=post-data), and no application can use what is restored of it";
        reading.findings.push(Finding::critical("contents", text));
    }
    reading
}

/// What a dump's statements name that must be there before it is loaded.
#[derive(Debug)]
pub(in crate::backup) struct Named {
    /// The roles, public and the like aside; some may be none, since SQL is read line by line.
    pub(in crate::backup) roles: BTreeSet<String>,
    /// Whether it is of a whole cluster, and makes its roles and databases itself.
    pub(in crate::backup) is_cluster: bool,
}

/// Reads what the dump at `path` names.
///
/// # Errors
/// When the dump can't be read.
pub(in crate::backup) async fn named(
    reader: &Reader<'_>,
    path: &Path,
    backup: &Backup,
) -> Result<Named, Finding> {
    let script = if backup.format == Some(Format::Plain) {
        let (path, compression) = (path.to_path_buf(), backup.compression);
        let read = reader
            .blocking(move |meter| script::read_script(compression.reader(meter.read(File::open(&path)?))?));
        read.await?.map_err(|error| unreadable(&error))?
    } else {
        let (file, feed) = how_to_give(path, backup.compression);
        let pg_restore = pg_restore(reader, backup).await?.schema_only();
        take_output(pg_restore.script(file, feed, reader.progress, script::read_script).await?)?
    };
    Ok(Named { roles: script.roles, is_cluster: script.is_cluster })
}

/// The words for what psql would stop at.
fn no_sql(foreign: &Foreign) -> String {
    format!(
        "holds what is no SQL, where psql stops: line {} begins with {:?}; make it anew with pg_dump --file, and keep the messages of programs out of it (2> into a file of its own)",
        foreign.line, foreign.text
    )
}

async fn read_plain(reader: &Reader<'_>, path: &Path, backup: &Backup) -> Reading {
    let compression = backup.compression;
    let (path, watched) = (path.to_path_buf(), Watched::of(reader.config.mapping, backup));
    let read = reader.blocking(move |meter| {
        let file = meter.read(File::open(&path)?);
        script::read_script_of(compression.reader(file)?, watched)
    });
    match read.await {
        Err(finding) => Reading::of(finding),
        Ok(Err(error)) => Reading::of(unreadable(&error)),
        Ok(Ok(script)) => {
            let mut findings = Vec::new();
            if let Some((table, rows)) = &script.open_copy {
                let text = format!("ends inside the data of {table}, after {rows} rows");
                findings.push(Finding::critical("read", text));
            } else if !script.is_complete {
                let text = format!("ends without its last line, {:?}", script::DUMP_END);
                findings.push(Finding::critical("read", text));
            }
            if let Some(foreign) = &script.foreign {
                findings.push(Finding::critical("read", no_sql(foreign)));
            }
            if script.is_filtered {
                findings.push(Finding::critical("contents", FILTERED));
            }
            let notes = vec!["read to its end as SQL".into()];
            Reading {
                contents: script.contents,
                objects: script.objects,
                owners: script.owners,
                findings,
                notes,
                ..Reading::default()
            }
        }
    }
}

/// Reads a custom dump through pg_restore, which decompresses and checks each block, as SQL.
async fn read_custom(reader: &Reader<'_>, path: &Path, backup: &Backup) -> Reading {
    let (owned, compression) = (path.to_path_buf(), backup.compression);
    let toc = reader.blocking(move |meter| {
        let file = meter.read(File::open(&owned)?);
        archive::read_toc(compression.reader(file)?)
    });
    let toc = match toc.await {
        Err(finding) => return Reading::of(finding),
        Ok(Err(error)) => return Reading::of(archive_finding(&error)),
        Ok(Ok(toc)) => toc,
    };
    let (file, feed) = how_to_give(path, compression);
    let ran = match pg_restore(reader, backup).await {
        Ok(pg_restore) => {
            let watched = Watched::of(reader.config.mapping, backup);
            let read = |output| script::read_script_of(output, watched);
            pg_restore.script(file, feed, reader.progress, read).await
        }
        Err(finding) => Err(finding),
    };
    let script = match ran.and_then(take_output) {
        Ok(script) => script,
        Err(finding) => return Reading::of(finding),
    };
    let mut deep = Reading {
        contents: toc_contents(&toc),
        objects: objects::of_toc(&toc),
        owners: script.owners,
        ..Reading::default()
    };
    if !script.is_complete {
        deep.findings.push(Finding::critical("read", "what pg_restore makes of it is not whole"));
    }
    for entry in toc.entries.iter().filter(|entry| entry.kind == "TABLE DATA") {
        let key = table_key(entry);
        let rows = script.contents.get(&key).and_then(|table| table.rows);
        if entry.has_data && entry.is_copy && rows.is_none() {
            let text = format!("{} did not come out of pg_restore whole", data_text(entry));
            deep.findings.push(Finding::critical("read", text));
        }
        let has_rows = script.contents.get(&key).is_some_and(|table| table.has_rows);
        let table = deep.contents.entry(key).or_default();
        (table.rows, table.has_rows) = (rows, has_rows);
    }
    deep.notes.push(format!("read to its end through pg_restore, {} entries", toc.entries.len()));
    deep
}

/// Has pg_restore look at a dump whose files were all read here.
async fn read_files(
    reader: &Reader<'_>,
    path: &Path,
    backup: &Backup,
    walked: Result<Result<Walked, Finding>, Finding>,
) -> Reading {
    let walked = match walked {
        Err(finding) | Ok(Err(finding)) => return Reading::of(finding),
        Ok(Ok(walked)) => walked,
    };
    let mut deep = Reading {
        contents: toc_contents(&walked.toc),
        objects: objects::of_toc(&walked.toc),
        owners: walked.owners,
        findings: walked.findings,
        ..Reading::default()
    };
    for (key, rows) in walked.rows {
        let table = deep.contents.entry(key).or_default();
        (table.rows, table.has_rows) = (Some(rows), rows > 0);
    }
    for key in walked.inserted {
        deep.contents.entry(key).or_default().has_rows = true;
    }
    if !deep.findings.is_empty() {
        return deep;
    }
    let (file, feed) = how_to_give(path, backup.compression);
    let count = walked.toc.entries.len();
    let ran = match pg_restore(reader, backup).await {
        Ok(pg_restore) => pg_restore.count_entries(file, feed, reader.progress).await,
        Err(finding) => Err(finding),
    };
    match ran.and_then(take_output) {
        Err(finding) => deep.findings.push(finding),
        Ok(Some(listed)) if listed == count => {
            deep.notes.push(format!("every file read to its end; pg_restore lists the same {count} entries"));
        }
        Ok(listed) => {
            let listed = listed.map_or_else(|| "no".to_owned(), |listed| listed.to_string());
            let text = format!("pg_restore lists {listed} entries, but its table of contents has {count}");
            deep.findings.push(Finding::critical("read", text));
        }
    }
    deep
}

/// The `pg_restore` that takes `backup`.
async fn pg_restore(reader: &Reader<'_>, backup: &Backup) -> Result<PgRestore, Finding> {
    PgRestore::choose(reader.config.backup, backup.needs, reader.progress).await
}

/// pg_restore reads a file itself, and what is compressed as a whole from a pipe.
pub(in crate::backup) fn how_to_give(path: &Path, compression: Compression) -> (Option<&Path>, Option<Feed>) {
    if compression == Compression::None {
        return (Some(path), None);
    }
    let path = path.to_path_buf();
    let feed: Feed = Box::new(move |meter| compression.reader(meter.read(File::open(path)?)));
    (None, Some(feed))
}

/// What pg_restore gave, where everything about its run says that it is the whole.
fn take_output<T>(ran: Ran<T>) -> Result<T, Finding> {
    if let Err(error) = &ran.fed {
        return Err(unreadable(error));
    }
    if let Some(complaint) = ran.complaint() {
        return Err(Finding::critical("read", format!("pg_restore can't read it: {complaint}")));
    }
    ran.output
        .map_err(|error| Finding::unknown("tool", format!("pg_restore's output can't be read: {error}")))
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::critical("read", format!("can't be read to its end: {}", error_text(error)))
}

fn archive_finding(error: &ArchiveError) -> Finding {
    match error {
        ArchiveError::Version(_) => Finding::unknown("read", error.to_string()),
        _ => Finding::critical("read", error.to_string()),
    }
}

/// A dump whose data lies in files beside the table of contents, all read.
struct Walked {
    toc: Toc,
    rows: Vec<((String, String), u64)>,
    /// The tables with rows in the form of INSERT statements.
    inserted: Vec<(String, String)>,
    owners: Owners,
    findings: Vec<Finding>,
}

/// Reads every file of a directory dump to its end.
fn walk_directory(folder: &Path, mut tally: Tally, meter: &Arc<Meter>) -> Result<Walked, Finding> {
    let read_toc = || -> Result<Toc, ArchiveError> {
        archive::read_toc(io::BufReader::new(meter.read(File::open(folder.join(TOC_FILE))?)))
    };
    let toc = read_toc().map_err(|error| archive_finding(&error))?;
    let (files, findings) = data_files(folder, &toc).map_err(|error| unreadable(&error))?;
    let contents = toc_contents(&toc);
    let (rows, inserted) = (Vec::new(), Vec::new());
    let mut walked = Walked { toc, rows, inserted, owners: Owners::default(), findings };
    for DataFile { path, what, table, copy, inserts } in files {
        let mut read = || -> io::Result<Option<u64>> {
            let mut file = File::open(&path)?;
            let mut head = Vec::new();
            (&mut file).take(8).read_to_end(&mut head)?;
            // pg_dump names its compression; the content of an uncompressed large object may look like anything.
            let is_plain = path.extension().is_none_or(|end| end == "dat" || end == "toc");
            let compression = if is_plain { Compression::None } else { Compression::of(&head) };
            if !is_plain && compression == Compression::None {
                return Err(io::Error::other("it is not compressed as its name says"));
            }
            let mut source = compression.reader(io::Cursor::new(head).chain(meter.read(file)))?;
            if let Some(table) = &table {
                tally.begin(table, &contents, copy.trim_end());
                script::read_copy_data(source, &mut tally)
            } else if let Some(table) = &inserts {
                tally.inserted(table, &contents);
                // What is no row is empty lines.
                script::has_text(source).map(|has_text| has_text.then_some(1))
            } else {
                io::copy(&mut source, &mut io::sink()).map(|_| None)
            }
        };
        match (read(), table) {
            (Ok(Some(_)), None) => walked.inserted.extend(inserts),
            (Err(error), _) => walked.findings.push(Finding::critical(
                "read",
                format!("{what} can't be read to its end ({}): {}", file_name(&path), error_text(&error)),
            )),
            (Ok(Some(rows)), Some(key)) => walked.rows.push((key, rows)),
            (Ok(None), Some(_)) => walked.findings.push(no_end(&what, &file_name(&path))),
            (Ok(_), None) => {}
        }
    }
    walked.owners = tally.finish();
    Ok(walked)
}

/// Reads every member of a tar to its end, and looks for what its table of contents promises.
fn walk_tar(
    path: &Path,
    compression: Compression,
    mut tally: Tally,
    meter: &Arc<Meter>,
) -> Result<Walked, Finding> {
    let cut_off = || Finding::critical("read", "is cut off: a tar's end is missing");
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        _ => unreadable(&error),
    };
    let open = || compression.reader(meter.read(File::open(path)?));
    let mut source = open().map_err(failed)?;
    let (mut toc, mut contents) = (None::<Toc>, Contents::new());
    let (mut rows, mut inserted) = (Vec::new(), Vec::new());
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    loop {
        let mut header = tar::Header::new_old();
        source.read_exact(header.as_mut_bytes()).map_err(failed)?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            source.read_exact(header.as_mut_bytes()).map_err(failed)?;
            break;
        }
        let (name, size) = member(&header)?;
        let mut data = (&mut source).take(size);
        let entry = toc.as_ref().and_then(|toc| {
            let entry = toc.entries.iter().find(|entry| entry.place == Place::File(name.clone()))?;
            let copy = entry.is_copy.then(|| entry.copy.clone());
            (entry.kind == "TABLE DATA").then(|| (table_key(entry), data_text(entry), copy))
        });
        if name == TOC_FILE && size <= TOC_BYTES_MAX {
            let mut text = Vec::new();
            data.read_to_end(&mut text).map_err(failed)?;
            let read = archive::read_toc(&text[..]).map_err(|error| archive_finding(&error))?;
            contents = toc_contents(&read);
            toc = Some(read);
        } else if let Some((key, _, None)) = entry {
            tally.inserted(&key, &contents);
            if script::has_text(&mut data).map_err(failed)? {
                inserted.push(key);
            }
        } else if let Some((key, what, Some(copy))) = entry {
            tally.begin(&key, &contents, copy.trim_end());
            match script::read_copy_data(&mut data, &mut tally).map_err(failed)? {
                Some(count) => rows.push((key, count)),
                None => findings.push(no_end(&what, &name)),
            }
        }
        // Whatever is left of it; less than promised is the end of the file.
        io::copy(&mut data, &mut io::sink()).map_err(failed)?;
        let padding = size.next_multiple_of(TAR_BLOCK_BYTES) - size;
        let padded = io::copy(&mut (&mut source).take(padding), &mut io::sink()).map_err(failed)?;
        if padded < padding {
            return Err(cut_off());
        }
        seen.push(name);
    }
    io::copy(&mut source, &mut io::sink()).map_err(failed)?;
    let toc = toc.ok_or_else(|| Finding::critical("read", "holds no toc.dat"))?;
    findings.extend(missing_members(&toc, &seen));
    Ok(Walked { toc, rows, inserted, owners: tally.finish(), findings })
}

/// What the table of contents promises and is not among the members `seen` of a tar.
fn missing_members(toc: &Toc, seen: &[String]) -> Vec<Finding> {
    let is_missing = |entry: &&Entry| match &entry.place {
        // Large objects are listed under a name of their own.
        _ if entry.kind.starts_with("BLOB") => {
            !seen.iter().any(|name| name.starts_with("blobs") && name.ends_with(".toc"))
        }
        Place::File(name) => !seen.contains(name),
        _ => false,
    };
    let missing = toc.entries.iter().filter(|entry| entry.has_data).filter(is_missing);
    missing.map(|entry| Finding::critical("read", format!("{} is missing", data_text(entry)))).collect()
}

/// A member's name and size, where its header holds.
fn member(header: &tar::Header) -> Result<(String, u64), Finding> {
    let damaged = || Finding::critical("read", "is damaged: the header of a tar member does not hold");
    // The checksum counts its own field as spaces.
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    if header.cksum().map_err(|_| damaged())? != sum {
        return Err(damaged());
    }
    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    let size = header.entry_size().map_err(|_| damaged())?;
    // More than any file system holds; the sums below stay in range.
    if size > 1 << 62 { Err(damaged()) } else { Ok((name, size)) }
}

fn no_end(what: &str, file: &str) -> Finding {
    Finding::critical("read", format!("{what} is cut off: {file} lacks the mark of its end"))
}
