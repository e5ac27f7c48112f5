//! The full look at a backup: every byte is read, and what it holds is compared with what it should hold.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, json};

use super::{
    Backup, BackupError, Compression, Finding, Format, Status,
    archive::{self, ArchiveError, Place, Toc},
    dump::{self, DataFile, TAR_BLOCK_BYTES, TOC_FILE, data_text, error_text, file_name, table_key},
    meter::{Meter, run_blocking},
    policy,
    record::Record,
    script::{self, Contents, TableContents},
    seal::{self, Seal},
    tool::{Feed, PgRestore, Ran, ToolError},
    worst,
};
use crate::{
    Error, Task,
    alert::{self, Alert, Deliveries, Round},
    config::{Config, nearest},
    db::Db,
    history::RunId,
    mapping::Mapping,
    progress::Progress,
    report::{Metric, Outcome, Report},
};

/// The command, as `stockfoil.run` names it.
const COMMAND: &str = "verify-backup";

/// A table of contents in a tar may have so many bytes; a database of a million tables stays below it.
const TOC_BYTES_MAX: u64 = 1 << 31;

/// Which backups to read.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this source's newest.
    pub source: Option<String>,
    /// This file or folder instead of the sources'.
    pub file: Option<PathBuf>,
}

/// What a full look found.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// The run in `stockfoil.run`; none where no database took the record.
    pub run_id: Option<RunId>,
    /// When it began.
    pub checked_at: DateTime<Utc>,
    /// The newest backup of each source, or the file that was named.
    pub backups: Vec<Verified>,
    /// The alerts, one a source whose newest backup is not well, and what became of them.
    pub alerts: Deliveries,
}

/// What a full look at one backup found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Its source; none for a file that was named.
    pub source: Option<String>,
    /// The worst of the findings.
    pub status: Status,
    /// What it is; none when there is no backup to look at.
    pub backup: Option<Backup>,
    /// Whether its SHA-256 was compared and is right. Without that, a silent change of a byte can't be excluded.
    pub is_sealed: bool,
    /// The tables with their rows.
    pub tables: Vec<TableRows>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What was looked at, and what this look can't show.
    pub notes: Vec<String>,
}

/// A table in a backup.
#[derive(Debug, Serialize)]
pub struct TableRows {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// How many rows were read; none where they were not counted (INSERT statements).
    pub rows: Option<u64>,
}

/// Reads the backups in `scope` to their last byte, and compares their tables with those of `model`. Where `db` is at
/// hand, the run is recorded there.
///
/// # Errors
/// When no source is configured, or none of that name. What a backup lacks is a finding; ask
/// [`VerifyReport::require`] for the rest.
pub fn verify<'a>(
    config: &'a Config,
    db: Option<&'a Db>,
    mapping: &'a Mapping,
    scope: &'a Scope,
    progress: &'a dyn Progress,
) -> Task<'a, VerifyReport> {
    Box::pin(async move {
        let checked_at = Utc::now();
        let chosen = match (&scope.file, &scope.source) {
            (Some(_), _) => Vec::new(),
            (None, None) => config.backup_sources()?,
            (None, Some(name)) => {
                let sources = config.backup_sources()?;
                match sources.iter().find(|source| source.name == *name) {
                    Some(source) => vec![source.clone()],
                    None => {
                        return Err(
                            unknown_source(name, sources.iter().map(|source| source.name.as_str())).into()
                        );
                    }
                }
            }
        };
        let record = Record::start(db, COMMAND).await;
        let reader = Reader { config, mapping, progress, pg_restore: PgRestore::of(config) };
        let mut backups = Vec::new();
        if let Some(file) = &scope.file {
            backups.push(reader.read_file(file).await);
        }
        for source in &chosen {
            let mut listing = policy::list(config, source).await;
            let newest = (!listing.backups.is_empty()).then(|| listing.backups.swap_remove(0));
            if newest.is_none() && listing.problems.is_empty() {
                listing.problems.push(policy::nothing_found(source));
            }
            backups.push(reader.read(Some(source.name.clone()), newest, listing.problems).await);
        }
        progress.finish();
        let run_id = record.run_id();
        let alerts = tell(config, db, run_id, &backups).await;
        let report = VerifyReport { run_id, checked_at, backups, alerts };
        let statuses = report.backups.iter().map(|backup| (backup.title(), json!(backup.status)));
        record.finish(&config.history, &report, json!({ "backups": statuses.collect::<Map<_, _>>() })).await;
        Ok(report)
    })
}

/// Alerts for sources whose newest backup is not well, and tells what is over. A file that a person named alerts nobody.
async fn tell(config: &Config, db: Option<&Db>, run_id: Option<RunId>, backups: &[Verified]) -> Deliveries {
    let run_id = run_id.map(|run| run.0);
    let key = |verified: &Verified| verified.source.as_deref().map(policy::alert_key);
    let alert = |verified: &Verified| {
        Some(Alert {
            source: COMMAND,
            severity: verified.status.severity()?,
            key: key(verified)?,
            summary: format!("backup {} is {}", verified.title(), verified.verdict()),
            details: verified
                .findings
                .iter()
                .map(|finding| format!("{}: {}", finding.status, finding.text))
                .collect(),
            run_id,
        })
    };
    let alerts: Vec<Alert> = backups.iter().filter_map(alert).collect();
    let looked_at = |name: &str| backups.iter().any(|verified| key(verified).as_deref() == Some(name));
    if backups.iter().all(|verified| verified.source.is_none()) {
        return Deliveries::default();
    }
    alert::send(&config.alerts, db, Round { source: COMMAND, alerts: &alerts, looked_at: &looked_at, run_id })
        .await
}

fn unknown_source<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> BackupError {
    let remedy = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    BackupError::UnknownSource { name: name.to_owned(), remedy }
}

impl VerifyReport {
    /// Checks that every backup could be judged, and that critical alerts reached somebody. To be asked when the report
    /// is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`], or the alert that was not delivered.
    pub fn require(&self) -> Result<(), Error> {
        self.alerts.require()?;
        let undecided = self.backups.iter().flat_map(|backup| {
            let findings = backup.findings.iter().filter(|finding| finding.status == Status::Unknown);
            findings.map(|finding| format!("{}: {}", backup.title(), finding.text))
        });
        let undecided: Vec<String> = undecided.collect();
        if undecided.is_empty() { Ok(()) } else { Err(BackupError::Undecided(undecided).into()) }
    }
}

impl Report for VerifyReport {
    const SCHEMA: &'static str = "stockfoil.verify-backup/1";

    fn outcome(&self) -> Outcome {
        let all_well =
            self.backups.iter().all(|backup| backup.status == Status::Ok && backup.backup.is_some());
        if all_well && !self.backups.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }

    fn metrics(&self) -> Vec<Metric> {
        let gauge = |name, help, value: fn(&Verified) -> String| {
            self.backups.iter().map(move |backup| Metric {
                name,
                help,
                labels: vec![("source", backup.source.clone().unwrap_or_default())],
                value: value(backup),
            })
        };
        gauge(
            "stockfoil_backup_read_whole_timestamp_seconds",
            "When the newest backup began, in Unix time, if it was read to its end without a finding; else 0.",
            |verified| match &verified.backup {
                Some(backup) if verified.status == Status::Ok => backup.started_at.timestamp().to_string(),
                _ => "0".into(),
            },
        )
        .chain(gauge(
            "stockfoil_backup_read_status",
            "What reading the newest backup showed: 0 ok, 1 warning, 2 critical, 3 unknown.",
            |verified| (verified.status as u8).to_string(),
        ))
        .collect()
    }
}

impl Verified {
    /// What reading it showed, in a few words.
    pub fn verdict(&self) -> &'static str {
        match (self.status, self.is_sealed) {
            (Status::Ok, true) => "verified",
            (Status::Ok, false) => "read to its end, nothing wrong found",
            (Status::Warning, _) => "read to its end, worth a look",
            (Status::Critical, _) => "not to be relied on",
            (Status::Unknown, _) => "not judged",
        }
    }

    /// What to call it.
    pub fn title(&self) -> String {
        match (&self.source, &self.backup) {
            (Some(source), Some(backup)) => format!("{source}: {}", backup.name()),
            (Some(name), None) => name.clone(),
            (None, Some(backup)) => backup.path.display().to_string(),
            (None, None) => "the file".into(),
        }
    }
}

struct Reader<'a> {
    config: &'a Config,
    mapping: &'a Mapping,
    progress: &'a dyn Progress,
    pg_restore: PgRestore,
}

/// What was read out of a backup.
#[derive(Debug, Default)]
struct Deep {
    contents: Contents,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

impl Deep {
    fn of(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

impl Reader<'_> {
    async fn read_file(&self, file: &Path) -> Verified {
        let path = file.to_path_buf();
        // Absolute, for pg_restore, which runs in a folder of its own.
        let look = move |_: &Arc<Meter>| path.canonicalize().and_then(|path| dump::inspect(&path));
        let shown = file.display();
        let problem = match run_blocking(self.progress, self.config.backup.stall_timeout, look).await {
            Ok(Ok(Some(backup))) => return self.read(None, Some(backup), Vec::new()).await,
            Ok(Ok(None)) => {
                Finding::critical("format", format!("{shown} is neither a dump's file nor a directory dump"))
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Finding::critical("listing", format!("{shown} does not exist"))
            }
            Ok(Err(error)) => Finding::unknown("listing", format!("{shown} can't be read: {error}")),
            Err(lost) => Finding::unknown("listing", format!("{shown} {lost}")),
        };
        self.read(None, None, vec![problem]).await
    }

    async fn read(
        &self,
        source: Option<String>,
        backup: Option<Backup>,
        mut findings: Vec<Finding>,
    ) -> Verified {
        let mut verified = Verified {
            source,
            status: Status::Ok,
            backup: None,
            is_sealed: false,
            tables: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
        };
        if let Some(backup) = backup {
            findings.extend(backup.findings.iter().cloned());
            self.progress.begin(&format!("read {}", backup.name()), Some(backup.size_bytes));
            match self.check_seal(&backup).await {
                Seal::Absent => verified.notes.push(
                    "not sealed (no .sha256 file beside it): silent change of a byte can't be excluded"
                        .into(),
                ),
                Seal::Holds => {
                    verified.is_sealed = true;
                    verified.notes.push("sealed: every byte is as its .sha256 file says".into());
                }
                Seal::Broken(finding) => findings.push(finding),
            }
            // What is known to be broken is not given to pg_restore: a tar that is cut off makes it spin for ever.
            let is_readable = !backup.findings.iter().any(|finding| finding.check != "size");
            if let (Some(format), true) = (backup.format, is_readable) {
                let deep = self.read_deep(&backup, format).await;
                findings.extend(deep.findings);
                verified.notes.extend(deep.notes);
                if findings.iter().all(|finding| finding.status < Status::Critical) {
                    findings.extend(compare(&deep.contents, self.mapping));
                }
                verified.tables = deep
                    .contents
                    .into_iter()
                    .filter(|(_, table)| table.has_data)
                    .map(|((schema, name), table)| TableRows { schema, name, rows: table.rows })
                    .collect();
            }
            verified.backup = Some(backup);
        }
        verified.status = worst(&findings);
        verified.findings = findings;
        verified
    }

    async fn check_seal(&self, backup: &Backup) -> Seal {
        let path = backup.path.clone();
        match self.blocking(move |meter| seal::check(&path, meter)).await {
            Ok(seal) => seal,
            Err(finding) => Seal::Broken(finding),
        }
    }

    async fn read_deep(&self, backup: &Backup, format: Format) -> Deep {
        match format {
            Format::Plain => self.read_plain(backup).await,
            Format::Custom => self.read_custom(backup).await,
            Format::Tar => {
                let (path, compression) = (backup.path.clone(), backup.compression);
                let walked = self.blocking(move |meter| walk_tar(&path, compression, meter)).await;
                self.read_files(backup, walked).await
            }
            Format::Directory => {
                let path = backup.path.clone();
                let walked = self.blocking(move |meter| walk_directory(&path, meter)).await;
                self.read_files(backup, walked).await
            }
        }
    }

    async fn read_plain(&self, backup: &Backup) -> Deep {
        let (path, compression) = (backup.path.clone(), backup.compression);
        let read = self.blocking(move |meter| {
            let file = meter.read(File::open(&path)?);
            script::read_script(compression.reader(file)?)
        });
        match read.await {
            Err(finding) => Deep::of(finding),
            Ok(Err(error)) => Deep::of(unreadable(&error)),
            Ok(Ok(script)) => {
                let mut findings = Vec::new();
                if let Some((table, rows)) = &script.open_copy {
                    let text = format!("ends inside the data of {table}, after {rows} rows");
                    findings.push(Finding::critical("read", text));
                } else if !script.is_complete {
                    let text = format!("ends without its last line, {:?}", script::DUMP_END);
                    findings.push(Finding::critical("read", text));
                }
                let notes = vec!["read to its end as SQL".into()];
                Deep { contents: script.contents, findings, notes }
            }
        }
    }

    /// Reads a custom dump through pg_restore, which decompresses and checks each block, as SQL.
    async fn read_custom(&self, backup: &Backup) -> Deep {
        let (path, compression) = (backup.path.clone(), backup.compression);
        let toc = self.blocking(move |meter| {
            let file = meter.read(File::open(&path)?);
            archive::read_toc(compression.reader(file)?)
        });
        let toc = match toc.await {
            Err(finding) => return Deep::of(finding),
            Ok(Err(error)) => return Deep::of(archive_finding(&error)),
            Ok(Ok(toc)) => toc,
        };
        let (file, feed) = how_to_give(backup);
        let ran = self.pg_restore.script(file, feed, self.progress, script::read_script).await;
        let script = match take_output(ran) {
            Ok(script) => script,
            Err(finding) => return Deep::of(finding),
        };
        let mut deep = Deep { contents: toc_contents(&toc), ..Deep::default() };
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
            deep.contents.entry(key).or_default().rows = rows;
        }
        deep.notes.push(format!("read to its end through pg_restore, {} entries", toc.entries.len()));
        deep
    }

    /// Has pg_restore look at a dump whose files were all read here.
    async fn read_files(&self, backup: &Backup, walked: Result<Result<Walked, Finding>, Finding>) -> Deep {
        let walked = match walked {
            Err(finding) | Ok(Err(finding)) => return Deep::of(finding),
            Ok(Ok(walked)) => walked,
        };
        let mut deep =
            Deep { contents: toc_contents(&walked.toc), findings: walked.findings, notes: Vec::new() };
        for (key, rows) in walked.rows {
            deep.contents.entry(key).or_default().rows = Some(rows);
        }
        if !deep.findings.is_empty() {
            return deep;
        }
        let (file, feed) = how_to_give(backup);
        let count = walked.toc.entries.len();
        match take_output(self.pg_restore.count_entries(file, feed, self.progress).await) {
            Err(finding) => deep.findings.push(finding),
            Ok(Some(listed)) if listed == count => {
                deep.notes
                    .push(format!("every file read to its end; pg_restore lists the same {count} entries"));
            }
            Ok(listed) => {
                let listed = listed.map_or_else(|| "no".to_owned(), |listed| listed.to_string());
                let text =
                    format!("pg_restore lists {listed} entries, but its table of contents has {count}");
                deep.findings.push(Finding::critical("read", text));
            }
        }
        deep
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
    ) -> Result<T, Finding> {
        run_blocking(self.progress, self.config.backup.stall_timeout, work)
            .await
            .map_err(|lost| Finding::unknown("read", format!("reading it {lost}")))
    }
}

/// pg_restore reads a file itself, and what is compressed as a whole from a pipe.
fn how_to_give(backup: &Backup) -> (Option<&Path>, Option<Feed>) {
    if backup.compression == Compression::None {
        return (Some(&backup.path), None);
    }
    let (path, compression) = (backup.path.clone(), backup.compression);
    let feed: Feed = Box::new(move |meter| compression.reader(meter.read(File::open(path)?)));
    (None, Some(feed))
}

/// What pg_restore gave, where everything about its run says that it is the whole.
fn take_output<T>(ran: Result<Ran<T>, ToolError>) -> Result<T, Finding> {
    let ran = ran.map_err(|error| Finding::unknown("tool", error.to_string()))?;
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
    findings: Vec<Finding>,
}

/// Reads every file of a directory dump to its end.
fn walk_directory(folder: &Path, meter: &Arc<Meter>) -> Result<Walked, Finding> {
    let read_toc = || -> Result<Toc, ArchiveError> {
        archive::read_toc(io::BufReader::new(meter.read(File::open(folder.join(TOC_FILE))?)))
    };
    let toc = read_toc().map_err(|error| archive_finding(&error))?;
    let (files, findings) = dump::data_files(folder, &toc).map_err(|error| unreadable(&error))?;
    let mut walked = Walked { toc, rows: Vec::new(), findings };
    for DataFile { path, what, table } in files {
        let read = || -> io::Result<Option<u64>> {
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
            if table.is_some() {
                script::read_copy_data(source)
            } else {
                io::copy(&mut source, &mut io::sink()).map(|_| None)
            }
        };
        match (read(), table) {
            (Err(error), _) => walked.findings.push(Finding::critical(
                "read",
                format!("{what} can't be read to its end ({}): {}", file_name(&path), error_text(&error)),
            )),
            (Ok(Some(rows)), Some(key)) => walked.rows.push((key, rows)),
            (Ok(None), Some(_)) => walked.findings.push(no_end(&what, &file_name(&path))),
            (Ok(_), None) => {}
        }
    }
    Ok(walked)
}

/// Reads every member of a tar to its end, and looks for what its table of contents promises.
fn walk_tar(path: &Path, compression: Compression, meter: &Arc<Meter>) -> Result<Walked, Finding> {
    let cut_off = || Finding::critical("read", "is cut off: a tar's end is missing");
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        _ => unreadable(&error),
    };
    let open = || compression.reader(meter.read(File::open(path)?));
    let mut source = open().map_err(failed)?;
    let mut toc: Option<Toc> = None;
    let mut rows = Vec::new();
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
        let table = toc.as_ref().and_then(|toc| {
            let entry = toc.entries.iter().find(|entry| entry.place == Place::File(name.clone()))?;
            (entry.kind == "TABLE DATA" && entry.is_copy).then(|| (table_key(entry), data_text(entry)))
        });
        if name == TOC_FILE && size <= TOC_BYTES_MAX {
            let mut text = Vec::new();
            data.read_to_end(&mut text).map_err(failed)?;
            toc = Some(archive::read_toc(&text[..]).map_err(|error| archive_finding(&error))?);
        } else if let Some((key, what)) = table {
            match script::read_copy_data(&mut data).map_err(failed)? {
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
    for entry in toc.entries.iter().filter(|entry| entry.has_data) {
        let is_there = match &entry.place {
            // Large objects are listed under a name of their own.
            _ if entry.kind.starts_with("BLOB") => {
                seen.iter().any(|name| name.starts_with("blobs") && name.ends_with(".toc"))
            }
            Place::File(name) => seen.contains(name),
            _ => true,
        };
        if !is_there {
            findings.push(Finding::critical("read", format!("{} is missing", data_text(entry))));
        }
    }
    Ok(Walked { toc, rows, findings })
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

/// The tables in a table of contents.
fn toc_contents(toc: &Toc) -> Contents {
    let mut contents = Contents::new();
    for entry in &toc.entries {
        match entry.kind.as_str() {
            "TABLE" => {
                let table = contents.entry(table_key(entry)).or_default();
                table.is_defined = true;
                table.is_partitioned = entry.definition.lines().any(|line| line.starts_with("PARTITION BY "));
            }
            "TABLE DATA" if entry.has_data => contents.entry(table_key(entry)).or_default().has_data = true,
            _ => {}
        }
    }
    contents
}

/// Compares a dump's tables with those of the model: each defined, each with its data; and no other without.
fn compare(contents: &Contents, mapping: &Mapping) -> Vec<Finding> {
    let lacks_data = |table: &TableContents| table.is_defined && !table.is_partitioned && !table.has_data;
    if !contents.values().any(|table| table.has_data) {
        let text = match contents.len() {
            0 => "holds no table at all".to_owned(),
            count => format!("holds the schema only: {count} tables and no data"),
        };
        return vec![Finding::critical("contents", text)];
    }
    let (mut absent, mut undefined, mut without) = (Vec::new(), Vec::new(), Vec::new());
    let mut others = Vec::new();
    let expected = |key: &(String, String)| {
        mapping
            .tenant_tables()
            .iter()
            .any(|table| table.schema.as_str() == key.0 && table.name.as_str() == key.1)
    };
    for table in &mapping.tenant_tables() {
        let key = (table.schema.as_str().to_owned(), table.name.as_str().to_owned());
        match contents.get(&key) {
            None => absent.push(table.plain()),
            Some(found) if !found.is_defined => undefined.push(table.plain()),
            Some(found) if lacks_data(found) => without.push(table.plain()),
            Some(_) => {}
        }
    }
    for (key, table) in contents.iter().filter(|(key, _)| !expected(key)) {
        if lacks_data(table) {
            others.push(format!("{}.{}", key.0, key.1));
        }
    }
    let critical = |names: Vec<String>, text: &str| {
        (!names.is_empty()).then(|| Finding::critical("contents", format!("{text}: {}", names.join(", "))))
    };
    let mut findings: Vec<Finding> = [
        critical(absent, "lacks tables of the inventory"),
        critical(undefined, "holds data without the definition of its table"),
        critical(without, "was made without the data of"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !others.is_empty() {
        findings.push(Finding::warning(
            "contents",
            format!("was made without the data of {}", others.join(", ")),
        ));
    }
    findings
}
