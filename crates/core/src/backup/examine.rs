//! The thorough look at one backup: every byte of it is read, or it is restored and proven.

use std::path::Path;

use serde::Serialize;

use super::{
    Backup, BackupSource, Depth, Finding, Status,
    drill::{self, Drill},
    reading::Reader,
    seal::{self, Checked, Seal},
    source,
    witness::Witness,
    worst,
};

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
        tables: Vec::new(),
        drill: None,
        findings: Vec::new(),
        notes: Vec::new(),
        reached: Depth::Quick,
    };
    if let Some(backup) = backup {
        findings.extend(backup.findings.iter().cloned());
        if depth > Depth::Quick {
            read(reader, source, &backup, &mut verified, &mut findings, depth).await;
        }
        verified.backup = Some(backup);
    }
    verified.status = worst(&findings);
    verified.findings = findings;
    verified
}

async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
    depth: Depth,
) {
    reader.progress.begin(&format!("read {}", backup.name), Some(backup.size_bytes));
    let quick = findings.len();
    let seal = hold_against_seal(reader, source, backup, verified, findings).await;
    // What is known to be broken is not given to programs: a tar that is cut off makes pg_restore spin for ever.
    let is_readable = !backup.findings.iter().any(|finding| finding.check != "size");
    let mut witness = None;
    if is_readable {
        witness = read_whole(reader, source, backup, verified, findings).await;
    }
    stamp(findings, quick, Depth::Full);
    if !verified.is_sealed {
        let text = "not sealed (no seal beside it): silent change of a byte can't be excluded";
        verified.notes.push(text.to_owned());
    }
    if depth == Depth::Restore {
        if worst(findings) >= Status::Critical {
            let text = "not restored, since what is above must be mended first".to_owned();
            verified.notes.push(text);
        } else {
            let full = findings.len();
            restore(reader, source, backup, seal.as_ref(), verified, findings).await;
            if witness.is_none() {
                witness = Some(Witness::hear(reader.production, reader.config.mapping, backup).await);
            }
            if let (Some(Ok(heard)), Some(drill)) = (&witness, &verified.drill)
                && drill.is_of(heard.system_identifier.as_deref(), backup)
            {
                findings.extend(heard.judge_newest(backup, drill.newest_entry_at));
                findings.extend(heard.judge_tables(reader.production, backup, drill).await);
            }
            stamp(findings, full, Depth::Restore);
        }
    }
    verified.notes.extend(witness.map(|witness| match witness {
        Ok(heard) => heard.note(),
        Err(reason) => format!("production was not heard: {reason}"),
    }));
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
    if let Some(path) = &backup.path {
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

/// Reads the backup to its end, and asks production what it should hold, where its tables can be told.
async fn read_whole(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
) -> Option<Result<Witness, String>> {
    let reading = source::read(reader, source, backup).await;
    verified.is_sealed |= reading.is_checksummed;
    findings.extend(reading.findings);
    verified.notes.extend(reading.notes);
    // An empty file is no format, and was not read.
    if backup.path.is_none() || backup.format.is_some() {
        verified.reached = Depth::Full;
    }
    let mut witness = None;
    if !reading.contents.is_empty() {
        witness = Some(Witness::hear(reader.production, reader.config.mapping, backup).await);
    }
    if let Some(Ok(heard)) = &witness {
        findings.extend(heard.judge(backup, &reading.contents, source));
    }
    verified.tables = reading
        .contents
        .into_iter()
        .filter(|(_, table)| table.has_data)
        .map(|((schema, name), table)| TableRows { schema, name, rows: table.rows })
        .collect();
    witness
}

/// Restores the backup and proves it.
async fn restore(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    seal: Option<&Seal>,
    verified: &mut Verified,
    findings: &mut Vec<Finding>,
) {
    let drilled = drill::run(reader, source, backup, seal).await;
    findings.extend(drilled.findings);
    verified.notes.extend(drilled.notes);
    verified.drill = drilled.drill;
    if verified.drill.is_some() {
        verified.reached = Depth::Restore;
    } else if worst(findings) < Status::Critical {
        findings.push(Finding::unknown("drill", "the drill did not come to its end"));
    }
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
