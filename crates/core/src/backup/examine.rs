//! The thorough look at one backup: every byte of it is read, or it is restored and proven.

use std::path::Path;

use serde::Serialize;

use super::{
    Backup, BackupSource, Depth, Finding, Format, Status,
    drill::{self, Drill},
    hearing::{Asked, Look, Witnesses},
    listing::Extent,
    reading::{Owners, Reader},
    rpo::{self, Restorable, Rpo},
    seal::{self, Checked, Seal},
    source,
    wal::WalState,
    witness::{Witness, holes},
    worst,
};

/// What to say where a look can't ask production about the rows of a backup.
const UNHEARD: &str = "production was not asked which rows it should hold: of what is no dump, a drill alone (--restore) shows them";

/// What the look at one backup found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Its source; none for a file that was named.
    pub source: Option<String>,
    /// How deep the look was.
    pub depth: Depth,
    /// The worst of the findings.
    pub status: Status,
    /// What it is; none when there is no backup to look at.
    pub backup: Option<Backup>,
    /// Whether every byte was compared with a checksum that was made with the backup, and is right. Without that, a
    /// silent change of a byte can't be excluded.
    pub is_sealed: bool,
    /// The archive of WAL behind it, where there is one.
    pub wal: Option<WalState>,
    /// What a restore would lose now; none where production was not heard.
    pub rpo: Option<Rpo>,
    /// Which of its witnesses were heard.
    pub witnesses: Witnesses,
    /// The tables with their rows, as they were read from a dump.
    pub tables: Vec<TableRows>,
    /// What the drill showed; none where there was none, or it did not come to its end.
    pub drill: Option<Drill>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What was looked at, and what this look can't show.
    pub notes: Vec<String>,
    /// The depth to which the look got.
    #[serde(skip)]
    pub(super) reached: Depth,
    /// What was heard of production.
    #[serde(skip)]
    pub(super) asked: Asked,
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

/// Looks at one backup as deep as `depth` says; `findings` are those of its source.
pub(super) async fn examine(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: Option<Backup>,
    mut findings: Vec<Finding>,
    depth: Depth,
) -> Verified {
    let mut verified = Verified {
        source: source.map(|source| source.name.clone()),
        depth,
        status: Status::Ok,
        backup: None,
        is_sealed: false,
        wal: None,
        rpo: None,
        witnesses: Witnesses::none(),
        tables: Vec::new(),
        drill: None,
        findings: Vec::new(),
        notes: Vec::new(),
        reached: Depth::Quick,
        asked: Asked::default(),
    };
    if let Some(backup) = backup {
        findings.extend(backup.findings.iter().cloned());
        if depth > Depth::Quick {
            bring_and_read(reader, source, &backup, &mut verified, &mut findings, depth).await;
        }
        verified.backup.get_or_insert(backup);
    }
    verified.status = worst(&findings);
    verified.findings = findings;
    verified.witnesses = verified.look().heard(source);
    verified
}

/// Reads the backup, after it was brought here where it is in object storage; what it says itself is told of it then.
async fn bring_and_read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
    depth: Depth,
) {
    let quick = findings.len();
    // What is empty there is empty here.
    if backup.format == Some(Format::Object) && backup.size_bytes == 0 {
        return;
    }
    match source::fetch(reader, source, backup).await {
        Ok(None) => {
            let inner = read(reader, source, backup, verified, findings, depth).await;
            verified.backup = inner.map(|inner| backup.clone().told_by(&inner));
        }
        Ok(Some(fetched)) => {
            findings.extend(fetched.findings);
            verified.notes.extend(fetched.notes);
            stamp(findings, quick, Depth::Full);
            let inner = read(reader, source, &fetched.backup, verified, findings, depth).await;
            // The folder in which it was read goes away.
            let told = Backup { name: backup.name.clone(), path: None, twin: None, ..fetched.backup };
            verified.backup = Some(match inner {
                Some(inner) => told.told_by(&inner),
                None => told,
            });
        }
        Err(finding) => {
            findings.push(finding);
            stamp(findings, quick, Depth::Full);
        }
    }
}

/// Reads the backup, and restores it where `depth` says so; says what lay in it, where it is something else around a backup.
async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
    depth: Depth,
) -> Option<Backup> {
    reader.progress.begin(&format!("read {}", backup.name), Some(backup.size_bytes));
    let quick = findings.len();
    let seal = hold_against_seal(reader, source, backup, verified, findings).await;
    // What is known to be broken is not given to programs: a tar that is cut off makes pg_restore spin for ever.
    let is_readable = !backup.findings.iter().any(|finding| finding.check != "size");
    let (mut witness, mut inner) = (None, None);
    if is_readable {
        (witness, inner) = read_whole(reader, source, backup, verified, findings).await;
    }
    if !verified.is_sealed {
        let text = "not sealed (no seal beside it): silent change of a byte can't be excluded";
        verified.notes.push(text.to_owned());
    }
    if source.is_some() && backup.path.is_some() && backup.is_dump() && backup.extent == Extent::Database {
        verified.notes.push(match &backup.globals {
            Some(globals) => format!("roles and tablespaces are in {globals}, beside it"),
            None => "no dump of roles and tablespaces lies beside it (pg_dumpall --globals-only)".to_owned(),
        });
        if let (Some(Ok(heard)), Some(globals)) = (&witness, &backup.globals) {
            findings.extend(hold_globals_against(reader, heard, backup, globals).await);
        }
    }
    stamp(findings, quick, Depth::Full);
    if depth == Depth::Restore {
        if worst(findings) >= Status::Unknown {
            let text = "not restored, since what is above must be mended first".to_owned();
            verified.notes.push(text);
        } else {
            let full = findings.len();
            if witness.is_none() {
                let of = inner.as_ref().unwrap_or(backup);
                let (production, mapping) = (reader.production, reader.config.mapping);
                witness = Some(Witness::hear(production, mapping, of, &Owners::default()).await);
            }
            let heard = witness.as_ref().and_then(|witness| witness.as_ref().ok());
            let is_witnessed =
                restore(reader, source, backup, (seal.as_ref(), heard), verified, findings).await;
            if heard.is_some() && verified.drill.is_some() && !is_witnessed {
                let reason = "it is of another cluster or database than what was restored";
                witness = Some(Err(reason.to_owned()));
            }
            stamp(findings, full, Depth::Restore);
        }
    }
    let is_dump = inner.as_ref().unwrap_or(backup).is_dump();
    verified.asked.content = witness.as_ref().map(|witness| match witness {
        Ok(heard) => Ok(heard.untold()),
        Err(reason) => Err(reason.clone()),
    });
    verified.notes.extend(match witness {
        Some(Ok(heard)) => Some(heard.note()),
        Some(Err(reason)) => Some(format!("production was not heard: {reason}")),
        None if is_dump || !is_readable => None,
        None => Some(UNHEARD.to_owned()),
    });
    inner
}

/// Whether the roles and tablespaces of production are in the dump `globals` of them, which lies beside the backup.
async fn hold_globals_against(
    reader: &Reader<'_>,
    witness: &Witness,
    backup: &Backup,
    globals: &str,
) -> Option<Finding> {
    let path = backup.path.as_ref()?.with_file_name(globals);
    let read = reader.blocking(move |_| source::dump::globals(&path)).await;
    match read {
        Err(finding) => Some(finding),
        Ok(Err(error)) => {
            Some(Finding::unknown("read", format!("{globals}, beside it, can't be read: {error}")))
        }
        Ok(Ok(found)) => witness.judge_globals(backup, globals, &found),
    }
}

/// Reads the seal of the backup, where it has one, and compares the files with it.
async fn hold_against_seal(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
) -> Option<Seal> {
    let seal = match seal::read(source, backup) {
        Ok(seal) => seal,
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    // The checksum of one part says nothing of the others.
    let path = backup.path.as_ref().filter(|_| backup.format != Some(Format::Parts));
    if let Some(path) = path {
        match check_seal(reader, path, seal.clone()).await {
            Checked::Absent => {}
            Checked::Holds(by) => {
                verified.is_sealed = true;
                verified.notes.push(format!("sealed: every byte is as {by} says"));
            }
            Checked::Broken(finding) => findings.push(finding),
        }
    }
    seal
}

/// Reads the backup to its end, and asks production what it should hold, where its tables can be told. Says what lay in it
/// as well.
async fn read_whole(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
) -> (Option<Result<Witness, String>>, Option<Backup>) {
    let mut reading = source::read(reader, source, backup).await;
    verified.is_sealed |= reading.is_checksummed;
    findings.append(&mut reading.findings);
    verified.notes.append(&mut reading.notes);
    // An empty file is no format, and was not read.
    if backup.path.is_none() || backup.format.is_some() {
        verified.reached = Depth::Full;
    }
    let backup = reading.inner.as_ref().unwrap_or(backup);
    let (found, notes) = holes::judge(reader, backup, &reading.holes, reading.is_checksummed).await;
    findings.extend(found);
    verified.notes.extend(notes);
    let mut witness = None;
    if !reading.contents.is_empty() {
        let (production, mapping) = (reader.production, reader.config.mapping);
        witness = Some(Witness::hear(production, mapping, backup, &reading.owners).await);
    }
    if let Some(Ok(heard)) = &witness {
        findings.extend(heard.judge(backup, &reading, source, &mut verified.notes));
    }
    verified.tables = reading
        .contents
        .into_iter()
        .filter(|(_, table)| table.has_data)
        .map(|((schema, name), table)| TableRows { schema, name, rows: table.rows })
        .collect();
    (witness, reading.inner)
}

/// Restores the backup and proves it; whether production was held against it.
async fn restore(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    (seal, witness): (Option<&Seal>, Option<&Witness>),
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
) -> bool {
    let drilled = drill::run(reader, source, backup, seal, witness).await;
    // What was seen of it when it was read is seen again when it is restored.
    let known: Vec<String> = findings.iter().map(|finding| finding.text.clone()).collect();
    findings.extend(drilled.findings.into_iter().filter(|finding| !known.contains(&finding.text)));
    verified.notes.extend(drilled.notes);
    verified.drill = drilled.drill;
    if verified.drill.is_some() {
        verified.reached = Depth::Restore;
    } else if worst(findings) < Status::Unknown {
        findings.push(Finding::unknown("drill", "the drill did not come to its end"));
    }
    drilled.is_witnessed
}

/// Notes that the findings behind the first `known` were made at `depth`.
fn stamp(findings: &mut [Finding], known: usize, depth: Depth) {
    for finding in &mut findings[known..] {
        finding.depth = depth;
    }
}

async fn check_seal(reader: &Reader<'_>, path: &Path, seal: Option<Seal>) -> Checked {
    let path = path.to_path_buf();
    match reader.blocking(move |meter| seal::check(&path, seal.as_ref(), meter)).await {
        Ok(checked) => checked,
        Err(finding) => Checked::Broken(finding),
    }
}

impl Verified {
    /// What the look showed, in a few words.
    pub fn verdict(&self) -> String {
        let read = match (self.depth, self.drill.is_some(), self.is_sealed) {
            (Depth::Quick, ..) => "looked at",
            (_, true, true) => "verified and restored",
            (_, true, false) => "restored",
            (_, false, true) => "verified",
            (_, false, false) => "read to its end",
        };
        match self.status {
            Status::Ok if self.is_sealed => read.to_owned(),
            Status::Ok => format!("{read}, nothing wrong found"),
            Status::Warning if self.is_sealed || self.depth == Depth::Quick => "worth a look".to_owned(),
            Status::Warning => format!("{read}, worth a look"),
            Status::Critical => "not to be relied on".to_owned(),
            Status::Unknown => "not judged".to_owned(),
        }
    }

    fn look(&self) -> Look<'_> {
        Look {
            depth: self.reached,
            has_backup: self.backup.is_some(),
            is_sealed: self.is_sealed,
            has_archive: self.wal.is_some(),
            findings: &self.findings,
            asked: &self.asked,
        }
    }

    /// Asks production what a restore of it would lose; nothing of one that was found not to come back.
    pub(super) async fn ask_rpo(&mut self, reader: &Reader<'_>, source: &BackupSource) {
        self.try_rpo(reader, source).await;
        self.witnesses = self.look().heard(Some(source));
    }

    async fn try_rpo(&mut self, reader: &Reader<'_>, source: &BackupSource) {
        let is_bad = |found: &Finding| found.depth > Depth::Quick && found.status >= Status::Unknown;
        let is_doubtful = self.findings.iter().any(is_bad);
        let good = |backup: &&Backup| backup.findings.is_empty() && !is_doubtful;
        let Some(backup) = self.backup.as_ref().filter(good) else { return };
        let database = backup.database.as_deref();
        let (started_at, wal, limit) = (backup.started_at, self.wal.as_ref(), source.max_rpo);
        match rpo::ask(reader, &Restorable { started_at, database, wal, limit }).await {
            Ok((rpo, findings)) => {
                self.rpo = Some(rpo);
                self.asked.rpo = Some(Ok(()));
                self.findings.extend(findings);
            }
            Err(reason) => {
                self.notes
                    .push(format!("what a restore would lose now is not known of production: {reason}"));
                self.asked.rpo = Some(Err(reason));
            }
        }
    }

    /// What to call it.
    pub fn title(&self) -> String {
        title(self.source.as_deref(), self.backup.as_ref())
    }
}

/// What to call a backup of `source`.
pub(super) fn title(source: Option<&str>, backup: Option<&Backup>) -> String {
    match (source, backup) {
        (Some(source), Some(backup)) => format!("{source}: {}", backup.name),
        (Some(name), None) => name.to_owned(),
        (None, Some(backup)) => backup.place(),
        (None, None) => "the file".into(),
    }
}
