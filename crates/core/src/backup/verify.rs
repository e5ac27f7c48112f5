//! The thorough look at a backup: every byte is read, or the backup is restored and proven.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, json};

use super::{
    Backup, BackupError, Depth, Finding, Status,
    drill::{self, Drill},
    figures, no_undecided, policy,
    reading::Reader,
    record::Record,
    seal::{self, Checked, Seal},
    source, worst,
};
use crate::{
    Error, Task,
    alert::{self, Alert, Deliveries, Round},
    config::{BackupSource, Config, nearest},
    db::Db,
    history::RunId,
    mapping::Mapping,
    model::Model,
    progress::Progress,
    report::{Metric, Outcome, Plugin, PluginNumber, Report},
};

/// The command, as `stockfoil.run` names it.
const COMMAND: &str = "verify-backup";

/// A dump holds nothing of transactions that were under way when it began; none of them is expected to be older.
const TRANSACTION_MAX: TimeDelta = TimeDelta::minutes(5);

/// Which backups to read.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this source's newest.
    pub source: Option<String>,
    /// This file or folder instead of the sources'.
    pub file: Option<PathBuf>,
}

/// What the look at some backups found.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// The run in `stockfoil.run`; none where no database took the record.
    pub run_id: Option<RunId>,
    /// When it began.
    pub checked_at: DateTime<Utc>,
    /// How deep the look was.
    pub depth: Depth,
    /// The newest backup of each source, or the file that was named.
    pub backups: Vec<Verified>,
    /// The alerts, one a source whose newest backup is not well, and what became of them.
    pub alerts: Deliveries,
}

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

/// What sealing some backups came to.
#[derive(Debug, Serialize)]
pub struct SealReport {
    /// The backups, each the newest of its source, or the file that was named.
    pub backups: Vec<Sealed>,
}

/// A backup that was sealed, or not.
#[derive(Debug, Serialize)]
pub struct Sealed {
    /// What it is called.
    pub title: String,
    /// Where its seal is; none when it was not sealed.
    pub seal: Option<PathBuf>,
    /// How many entries of the ledger were sealed; none when it was not sealed, or where no entry tells its time.
    pub entries: Option<u64>,
    /// Before when they were made.
    pub entries_before: Option<DateTime<Utc>>,
    /// Why it was not sealed.
    pub findings: Vec<Finding>,
}

/// Looks at the backups in `scope` as deep as `depth` says. Where `db` is at hand, the run is recorded there.
///
/// # Errors
/// When no source is configured, or none of that name. What a backup lacks is a finding; ask
/// [`VerifyReport::require`] for the rest.
pub fn verify<'a>(
    config: &'a Config,
    db: Option<&'a Db>,
    mapping: &'a Mapping,
    scope: &'a Scope,
    depth: Depth,
    progress: &'a dyn Progress,
) -> Task<'a, VerifyReport> {
    Box::pin(async move {
        let checked_at = Utc::now();
        let chosen = if scope.file.is_some() { Vec::new() } else { choose(config, scope.source.as_deref())? };
        let record = Record::start(db, COMMAND).await;
        let reader = Reader { config, mapping, progress };
        let mut backups = Vec::new();
        if let Some(file) = &scope.file {
            backups.push(match look_at(&reader, file).await {
                Ok(backup) => examine(&reader, None, Some(backup), Vec::new(), depth).await,
                Err(finding) => examine(&reader, None, None, vec![finding], depth).await,
            });
        }
        for source in &chosen {
            let (newest, problems) = newest(&reader, source).await;
            backups.push(examine(&reader, Some(source), newest, problems, depth).await);
        }
        progress.finish();
        let run_id = record.run_id();
        let alerts = tell(config, db, run_id, &backups).await;
        let report = VerifyReport { run_id, checked_at, depth, backups, alerts };
        let statuses = report.backups.iter().map(|backup| (backup.title(), json!(backup.status)));
        let summary = json!({ "depth": depth, "backups": statuses.collect::<Map<_, _>>() });
        record.finish(&config.history, &report, summary).await;
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

/// Seals the backups in `scope`: writes down the checksums of their files and what `db`, which they are of, holds.
///
/// # Errors
/// When no source is configured, or none of that name, and when the database refuses. A backup that can't be sealed
/// is a finding.
pub fn seal<'a>(
    config: &'a Config,
    db: &'a Db,
    mapping: &'a Mapping,
    scope: &'a Scope,
    progress: &'a dyn Progress,
) -> Task<'a, SealReport> {
    Box::pin(async move {
        let chosen = if scope.file.is_some() { Vec::new() } else { choose(config, scope.source.as_deref())? };
        let model = mapping.resolve(db).await?;
        let reader = Reader { config, mapping, progress };
        let mut backups = Vec::new();
        if let Some(file) = &scope.file {
            backups.push(match look_at(&reader, file).await {
                Ok(backup) => seal_one(&reader, db, &model, None, Some(backup), Vec::new()).await?,
                Err(finding) => seal_one(&reader, db, &model, None, None, vec![finding]).await?,
            });
        }
        for source in &chosen {
            let (newest, problems) = newest(&reader, source).await;
            backups.push(seal_one(&reader, db, &model, Some(source), newest, problems).await?);
        }
        progress.finish();
        Ok(SealReport { backups })
    })
}

/// The sources to look at: all, or the one of this name.
pub(super) fn choose(config: &Config, name: Option<&str>) -> Result<Vec<BackupSource>, Error> {
    let mut sources = config.backup_sources()?;
    let Some(name) = name else { return Ok(sources) };
    match sources.iter().position(|source| source.name == name) {
        Some(at) => Ok(vec![sources.swap_remove(at)]),
        None => Err(unknown_source(name, sources.iter().map(|source| source.name.as_str())).into()),
    }
}

fn unknown_source<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> BackupError {
    let remedy = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    BackupError::UnknownSource { name: name.to_owned(), remedy }
}

/// The newest backup of `source`, and what is wrong with the source.
async fn newest(reader: &Reader<'_>, source: &BackupSource) -> (Option<Backup>, Vec<Finding>) {
    let mut listing = source::list(reader, source).await;
    let newest = (!listing.backups.is_empty()).then(|| listing.backups.swap_remove(0));
    if newest.is_none() && listing.problems.is_empty() {
        listing.problems.push(source::nothing_found(source));
    }
    (newest, listing.problems)
}

/// Looks at a file or folder that was named.
async fn look_at(reader: &Reader<'_>, file: &Path) -> Result<Backup, Finding> {
    let path = file.to_path_buf();
    // Absolute, for programs that run in a folder of their own.
    let look = move |_: &Arc<_>| path.canonicalize().and_then(|path| source::inspect(&path, None));
    let shown = file.display();
    match reader.looking(look).await {
        Ok(Ok(Some(backup))) => Ok(backup),
        Ok(Ok(None)) => Err(Finding::critical(
            "format",
            format!("{shown} is neither a dump's file nor a directory dump nor a base backup"),
        )),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(Finding::critical("listing", format!("{shown} does not exist")))
        }
        Ok(Err(error)) => Err(Finding::unknown("listing", format!("{shown} can't be read: {error}"))),
        Err(lost) => Err(Finding::unknown("listing", format!("{shown} {lost}"))),
    }
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
    // What is known to be broken is not given to programs: a tar that is cut off makes pg_restore spin for ever.
    let is_readable = !backup.findings.iter().any(|finding| finding.check != "size");
    if is_readable {
        let reading = source::read(reader, source, backup).await;
        verified.is_sealed |= reading.is_checksummed;
        findings.extend(reading.findings);
        verified.notes.extend(reading.notes);
        verified.tables = reading
            .contents
            .into_iter()
            .filter(|(_, table)| table.has_data)
            .map(|((schema, name), table)| TableRows { schema, name, rows: table.rows })
            .collect();
    }
    if !verified.is_sealed {
        let text = "not sealed (no seal beside it): silent change of a byte can't be excluded";
        verified.notes.push(text.to_owned());
    }
    if depth == Depth::Restore {
        if worst(findings) >= Status::Critical {
            let text = "not restored, since what is above must be mended first".to_owned();
            verified.notes.push(text);
            return;
        }
        let drilled = drill::run(reader, source, backup, seal.as_ref()).await;
        findings.extend(drilled.findings);
        verified.notes.extend(drilled.notes);
        verified.drill = drilled.drill;
        if verified.drill.is_none() && worst(findings) < Status::Critical {
            findings.push(Finding::unknown("drill", "the drill did not come to its end"));
        }
    }
}

async fn check_seal(reader: &Reader<'_>, path: &Path, seal: Option<Seal>) -> Checked {
    let path = path.to_path_buf();
    match reader.blocking(move |meter| seal::check(&path, seal.as_ref(), meter)).await {
        Ok(checked) => checked,
        Err(finding) => Checked::Broken(finding),
    }
}

async fn seal_one(
    reader: &Reader<'_>,
    db: &Db,
    model: &Model,
    source: Option<&BackupSource>,
    backup: Option<Backup>,
    mut findings: Vec<Finding>,
) -> Result<Sealed, Error> {
    let title = title(source.map(|source| source.name.as_str()), backup.as_ref());
    let mut sealed = Sealed { title, seal: None, entries: None, entries_before: None, findings: Vec::new() };
    if let Some(backup) = backup {
        findings.extend(backup.findings.iter().cloned());
        if findings.is_empty() {
            reader.progress.begin(&format!("seal {}", backup.name), Some(backup.size_bytes));
            let mut session = db.session().await?;
            let settled = figures::settled(&mut session).await?;
            // A cluster's backup is recovered past its end; a dump ends where it began.
            let before =
                if backup.is_dump() { settled.min(backup.started_at - TRANSACTION_MAX) } else { settled };
            let figures = figures::read(&mut session, model, before).await?;
            let entries = figures.entries.clone();
            let owned = source.cloned();
            let write = move |meter: &Arc<_>| seal::write(owned.as_ref(), &backup, figures, meter);
            match reader.blocking(write).await.and_then(|written| written) {
                Ok(place) => {
                    sealed.seal = Some(place);
                    sealed.entries = entries.as_ref().map(|entries| entries.count);
                    sealed.entries_before = entries.map(|entries| entries.before);
                }
                Err(finding) => findings.push(finding),
            }
        }
    }
    sealed.findings = findings;
    Ok(sealed)
}

fn title(source: Option<&str>, backup: Option<&Backup>) -> String {
    match (source, backup) {
        (Some(source), Some(backup)) => format!("{source}: {}", backup.name),
        (Some(name), None) => name.to_owned(),
        (None, Some(backup)) => backup.place(),
        (None, None) => "the file".into(),
    }
}

impl VerifyReport {
    /// Checks that every backup could be judged, and that critical alerts reached somebody. To be asked when the report
    /// is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`], or the alert that was not delivered.
    pub fn require(&self) -> Result<(), Error> {
        self.alerts.require()?;
        no_undecided(
            self.backups
                .iter()
                .flat_map(|backup| backup.findings.iter().map(move |finding| (backup.title(), finding))),
        )
    }
}

impl SealReport {
    /// Checks that every backup could be read. To be asked when the report is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`].
    pub fn require(&self) -> Result<(), Error> {
        no_undecided(
            self.backups.iter().flat_map(|backup| {
                backup.findings.iter().map(move |finding| (backup.title.clone(), finding))
            }),
        )
    }
}

impl Report for SealReport {
    const SCHEMA: &'static str = "stockfoil.seal-backup/1";

    fn outcome(&self) -> Outcome {
        let all_sealed =
            self.backups.iter().all(|backup| backup.seal.is_some() && backup.findings.is_empty());
        if all_sealed && !self.backups.is_empty() { Outcome::Clean } else { Outcome::Findings }
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
                Some(backup) if verified.status == Status::Ok && verified.depth > Depth::Quick => {
                    backup.started_at.timestamp().to_string()
                }
                _ => "0".into(),
            },
        )
        .chain(gauge(
            "stockfoil_backup_read_status",
            "What looking at the newest backup showed: 0 ok, 1 warning, 2 critical, 3 unknown.",
            |verified| (verified.status as u8).to_string(),
        ))
        .chain(self.drill_metrics())
        .collect()
    }

    fn plugin(&self) -> Option<Plugin> {
        let status = self.backups.iter().map(|backup| backup.status).max().unwrap_or(Status::Unknown);
        let words = |verified: &Verified| {
            let of = |finding: &Finding| format!("{}: {}", verified.title(), finding.text);
            let finding = verified.findings.iter().max_by_key(|finding| finding.status);
            finding.map_or_else(|| format!("{}: nothing wrong found", verified.title()), of)
        };
        let worst = self.backups.iter().filter(|backup| backup.status == status);
        let details = self.backups.iter().flat_map(|verified| {
            let of = |finding: &Finding| format!("{} {}: {}", finding.status, verified.title(), finding.text);
            verified.findings.iter().map(of).collect::<Vec<_>>()
        });
        let numbers = self.backups.iter().filter_map(|verified| {
            let drill = verified.drill.as_ref()?;
            Some(PluginNumber {
                label: format!("{} rto", verified.source.as_deref().unwrap_or("file")),
                value: drill.rto_ms,
                unit: "ms",
                warning: String::new(),
                critical: String::new(),
            })
        });
        Some(Plugin {
            service: "BACKUP VERIFICATION",
            state: status.plugin_state(),
            summary: worst.map(words).collect::<Vec<_>>().join("; "),
            details: details.collect(),
            numbers: numbers.collect(),
        })
    }
}

impl VerifyReport {
    /// The numbers of drills.
    fn drill_metrics(&self) -> impl Iterator<Item = Metric> {
        let gauge = |name, help, value: fn(&Verified, &Drill) -> Option<String>| {
            let drilled =
                self.backups.iter().filter_map(|verified| Some((verified, verified.drill.as_ref()?)));
            drilled.filter_map(move |(verified, drill)| {
                Some(Metric {
                    name,
                    help,
                    labels: vec![("source", verified.source.clone().unwrap_or_default())],
                    value: value(verified, drill)?,
                })
            })
        };
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        gauge(
            "stockfoil_backup_restored_timestamp_seconds",
            "When the restored backup began, in Unix time, if the drill found nothing wrong; else 0.",
            |verified, _| {
                let at = verified.backup.as_ref().map_or(0, |backup| backup.started_at.timestamp());
                Some(if verified.status == Status::Ok { at } else { 0 }.to_string())
            },
        )
        .chain(gauge(
            "stockfoil_backup_restored_entry_timestamp_seconds",
            "When the newest restored entry of the ledger was made, in Unix time.",
            |_, drill| drill.newest_entry_at.map(|at| at.timestamp().to_string()),
        ))
        .chain(self.backups.iter().filter_map(move |verified| {
            Some(Metric {
                name: "stockfoil_backup_recovery_duration_seconds",
                help: "How long it took until the restored database could be used.",
                labels: vec![("source", verified.source.clone().unwrap_or_default())],
                value: seconds(verified.drill.as_ref()?.rto_ms),
            })
        }))
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
