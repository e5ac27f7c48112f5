//! The quick look at every source, and what is expected of it: age, count, size.

mod judge;

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, json};

use super::{
    Backup, BackupKind, BackupSource, Configured, Depth, Finding, Status,
    earlier::{self, Earlier},
    examine::examine,
    hearing::{Asked, Look, Witnesses},
    no_undecided,
    proven::{self, Proof},
    reading::Reader,
    record::Record,
    rpo::{self, Restorable, Rpo},
    source,
    wal::WalState,
    worst,
};
use crate::{
    Error, Task,
    alert::{self, Alert, Deliveries, Round},
    db::Db,
    history::RunId,
    progress::Progress,
    report::{Metric, Outcome, Plugin, PluginNumber, Report},
};
use judge::judge;

/// The command, as `stockfoil.run` and alerts name it.
const COMMAND: &str = "monitor-backups";

/// What a quick look at every source found.
#[derive(Debug, Serialize)]
pub struct MonitorReport {
    /// The run in `stockfoil.run`; none where no database took the record.
    pub run_id: Option<RunId>,
    /// When it was looked.
    pub checked_at: DateTime<Utc>,
    /// How deep the look at the newest backups was.
    pub depth: Depth,
    /// Every source, in the order of the configuration.
    pub sources: Vec<SourceState>,
    /// The alerts, one a source that is not well, and what became of them.
    pub alerts: Deliveries,
    /// Every source that is configured, looked at or not.
    #[serde(skip)]
    configured: Vec<String>,
    /// When the newest backup of each source began that a drill proved, where this run drilled.
    #[serde(skip)]
    proven: BTreeMap<String, DateTime<Utc>>,
}

/// How one source stands.
#[derive(Debug, Serialize)]
pub struct SourceState {
    /// Its name.
    pub name: String,
    /// What kind of backup it holds.
    pub kind: BackupKind,
    /// Where its backups are, in words.
    pub place: String,
    /// The folder, where it is one.
    pub path: Option<PathBuf>,
    /// Which entries of it were looked at.
    pub pattern: Option<String>,
    /// The worst of the findings.
    pub status: Status,
    /// How it stands, in one sentence.
    pub summary: String,
    /// How many backups are there.
    pub count: usize,
    /// How many of them show no fault.
    pub good_count: usize,
    /// When the newest good backup began.
    pub last_good_at: Option<DateTime<Utc>>,
    /// The backup that began last, good or not.
    pub newest: Option<Backup>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// The archive of WAL behind the backups, where there is one.
    pub wal: Option<WalState>,
    /// What a restore would lose now; none where production was not heard.
    pub rpo: Option<Rpo>,
    /// Which witnesses of its newest backup were heard.
    pub witnesses: Witnesses,
    /// What a look deeper than quick was at, and what it can't show; also whether production was heard.
    pub notes: Vec<String>,
    /// What a deeper look proved.
    #[serde(skip)]
    proof: Option<Proof>,
    /// What was heard of production.
    #[serde(skip)]
    asked: Asked,
    /// When the last WAL was archived, where the source has an archive that tells.
    #[serde(skip)]
    archive_end_at: Option<DateTime<Utc>>,
    /// The depth to which the look got.
    #[serde(skip)]
    reached: Depth,
    /// Whether every byte of the newest was compared with a checksum that was made with it.
    #[serde(skip)]
    is_sealed: bool,
    /// So many good backups should be there.
    #[serde(skip)]
    min_count: usize,
    /// Beyond this age, in seconds, a warning is given.
    #[serde(skip)]
    warn_age_seconds: u64,
    /// And beyond this one it is critical.
    #[serde(skip)]
    max_age_seconds: u64,
}

/// Looks at the configured sources, all or the one named `only`, and sends alerts for those that are not well. The
/// newest backup of each is looked at as deep as `depth` says. Where `db` is at hand, the run is recorded there.
///
/// # Errors
/// When no source is configured, or none of that name. What a source lacks is a finding; ask
/// [`MonitorReport::require`] for the rest.
pub fn monitor<'a>(
    config: Configured<'a>,
    db: Option<&'a Db>,
    only: Option<&'a str>,
    depth: Depth,
    progress: &'a dyn Progress,
) -> Task<'a, MonitorReport> {
    Box::pin(async move {
        let sources = config.backup.choose(only)?;
        let record = Record::start(db, COMMAND).await;
        let now = Utc::now();
        let reader = Reader { config, production: db, keep: None, progress };
        let earlier = Earlier::recall(config.alerts, db, COMMAND).await;
        progress.begin("look at backups", Some(sources.len() as u64));
        let mut states = Vec::new();
        for source in sources {
            let mut state = judge(source, source::list(&reader, source).await, now);
            if depth > Depth::Quick && state.newest.is_some() {
                state.deepen(&reader, source, depth).await;
            }
            state.ask_rpo(&reader, source).await;
            state.hear(source);
            state.add(earlier.findings(&source.name, state.reached));
            states.push(state);
            progress.advance(1);
        }
        progress.finish();
        let run_id = record.run_id();
        let run = run_id.map(|run| run.0);
        let of = |state: &SourceState| {
            let open = earlier.alerts(&state.name, state.reached, run);
            state.alerts(run).into_iter().chain(open).collect::<Vec<_>>()
        };
        let alerts: Vec<Alert> = states.iter().flat_map(of).collect();
        let is_gone = |key: &str| only.is_none() && earlier::is_gone(config.backup, key);
        let is_read =
            |key: &str| states.iter().any(|state| earlier::is_looked_at(key, &state.name, state.reached));
        let round = Round {
            source: COMMAND,
            alerts: &alerts,
            looked_at: &|key| is_gone(key) || is_read(key),
            on_end: &|key| earlier::gone_text(config.backup, key),
            run_id: run_id.map(|run| run.0),
        };
        let alerts = alert::send(config.alerts, db, round).await;
        let configured = config.backup.source.iter().map(|source| source.name.clone()).collect();
        let proofs: Vec<Proof> = states.iter_mut().filter_map(|state| state.proof.take()).collect();
        let proven = match depth {
            Depth::Restore => proven::last_proven(db, &proofs).await,
            _ => BTreeMap::new(),
        };
        let report =
            MonitorReport { run_id, checked_at: now, depth, sources: states, alerts, configured, proven };
        let statuses = report.sources.iter().map(|source| (source.name.clone(), json!(source.status)));
        let mut summary = json!({ "depth": depth, "sources": statuses.collect::<Map<_, _>>() });
        if depth > Depth::Quick {
            summary["proofs"] = json!(proofs);
        }
        record.finish(config.history, &report, summary).await;
        Ok(report)
    })
}

impl MonitorReport {
    /// Checks that every source could be judged, and that critical alerts reached somebody. To be asked when the
    /// report is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`](super::BackupError::Undecided), or the alert that was not delivered.
    pub fn require(&self) -> Result<(), Error> {
        self.alerts.require()?;
        no_undecided(
            self.sources
                .iter()
                .flat_map(|source| source.findings.iter().map(move |finding| (source.name.clone(), finding))),
        )
    }
}

impl Report for MonitorReport {
    const SCHEMA: &'static str = "stockfoil.monitor-backups/1";

    fn outcome(&self) -> Outcome {
        let all_well = self.sources.iter().all(|source| source.status == Status::Ok);
        if all_well && !self.sources.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }

    fn metrics(&self) -> Vec<Metric> {
        let gauge = |name, help, value: fn(&SourceState) -> String| {
            self.sources.iter().map(move |source| Metric {
                name,
                help,
                labels: vec![("source", source.name.clone())],
                value: value(source),
            })
        };
        let known: Vec<_> = self
            .sources
            .iter()
            .filter_map(|source| Some((source.name.as_str(), source.rpo.as_ref()?)))
            .collect();
        gauge(
            "stockfoil_backup_last_success_timestamp_seconds",
            "When the newest good backup began, in Unix time; 0 when there is none.",
            |source| source.last_good_at.map_or(0, |at| at.timestamp()).to_string(),
        )
        .chain(gauge("stockfoil_backup_good_backups", "How many good backups are there.", |source| {
            source.good_count.to_string()
        }))
        .chain(gauge(
            "stockfoil_backup_newest_size_bytes",
            "Size of the newest backup; 0 when there is none.",
            |source| source.newest.as_ref().map_or(0, |backup| backup.size_bytes).to_string(),
        ))
        .chain(gauge(
            "stockfoil_backup_status",
            "How the source stands: 0 ok, 1 warning, 2 critical, 3 unknown.",
            |source| source.status.number().to_string(),
        ))
        .chain(self.sources.iter().filter_map(|source| {
            Some(Metric {
                name: "stockfoil_backup_archive_end_timestamp_seconds",
                help: "When the last WAL was archived, in Unix time.",
                labels: vec![("source", source.name.clone())],
                value: source.archive_end_at?.timestamp().to_string(),
            })
        }))
        .chain(rpo::metrics(&known))
        .chain(proven::metrics(&self.proven))
        .collect()
    }

    fn kept_sources(&self) -> Vec<String> {
        self.configured.clone()
    }

    fn plugin(&self) -> Option<Plugin> {
        let status = self.sources.iter().map(|source| source.status).max().unwrap_or(Status::Unknown);
        let worst = self.sources.iter().filter(|source| source.status == status);
        let summary: Vec<String> =
            worst.map(|source| format!("{}: {}", source.name, source.summary)).collect();
        let details = self.sources.iter().flat_map(|source| {
            let of = |finding: &Finding| format!("{} {}: {}", finding.status, source.name, finding.text);
            source.findings.iter().map(of).collect::<Vec<_>>()
        });
        Some(Plugin {
            service: "BACKUPS",
            state: status.plugin_state(),
            summary: summary.join("; "),
            details: details.collect(),
            numbers: self.sources.iter().flat_map(|source| source.numbers(self.checked_at)).collect(),
        })
    }
}

impl SourceState {
    /// Looks at the newest backup as deep as `depth` says, and adds what is found.
    async fn deepen(&mut self, reader: &Reader<'_>, source: &BackupSource, depth: Depth) {
        let Some(newest) = self.newest.clone() else { return };
        let quick = newest.findings.len();
        let verified = examine(reader, Some(source), Some(newest.clone()), Vec::new(), depth).await;
        self.proof = Proof::of(&verified);
        let found = verified.findings.into_iter().skip(quick).map(|finding| Finding {
            text: format!("the newest backup, {}, {}", newest.name, finding.text),
            ..finding
        });
        let found: Vec<Finding> = found.collect();
        self.reached = verified.reached;
        self.is_sealed = verified.is_sealed;
        self.asked = verified.asked;
        self.notes.extend(verified.notes);
        let told = verified.backup.map_or_else(|| newest.clone(), |told| newest.clone().told_by(&told));
        if self.last_good_at == Some(newest.started_at) {
            self.last_good_at = Some(told.started_at);
            if verified.status >= Status::Unknown {
                // Which of the earlier ones is good, nobody has looked.
                self.last_good_at = None;
                self.good_count = self.good_count.saturating_sub(1);
            }
        }
        self.newest = Some(told);
        self.add(found);
    }

    /// Asks production what a restore of the newest good backup would lose.
    async fn ask_rpo(&mut self, reader: &Reader<'_>, source: &BackupSource) {
        let Some(started_at) = self.last_good_at else { return };
        let database = self.newest.as_ref().and_then(|newest| newest.database.as_deref());
        let of = Restorable { started_at, database, wal: self.wal.as_ref(), limit: source.max_rpo };
        match rpo::ask(reader, &of).await {
            Ok((rpo, findings)) => {
                self.rpo = Some(rpo);
                self.asked.rpo = Some(Ok(()));
                self.add(findings);
            }
            Err(reason) => {
                self.notes
                    .push(format!("what a restore would lose now is not known of production: {reason}"));
                self.asked.rpo = Some(Err(reason));
            }
        }
    }

    /// Says which witnesses were heard.
    fn hear(&mut self, source: &BackupSource) {
        self.witnesses = Look {
            depth: self.reached,
            has_backup: self.newest.is_some(),
            is_sealed: self.is_sealed,
            has_archive: self.wal.is_some(),
            findings: &self.findings,
            asked: &self.asked,
        }
        .heard(Some(source));
    }

    /// Adds findings, and holds the worst of them for how the source stands.
    fn add(&mut self, found: Vec<Finding>) {
        self.findings.extend(found);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
        let status = worst(&self.findings);
        if status > self.status
            && let Some(finding) = self.findings.first()
        {
            self.summary = finding.text.clone();
        }
        self.status = status;
    }

    /// Age, size and count, as plugins give numbers.
    fn numbers(&self, now: DateTime<Utc>) -> Vec<PluginNumber> {
        let number = |what: &str, value, unit, warning: String, critical: String| PluginNumber {
            label: format!("{} {what}", self.name),
            value,
            unit,
            warning,
            critical,
        };
        let mut numbers =
            vec![number("count", self.good_count as u64, "", format!("{}:", self.min_count), String::new())];
        if let Some(at) = self.last_good_at {
            let age = (now - at).num_seconds().max(0).unsigned_abs();
            let (warning, critical) = (self.warn_age_seconds.to_string(), self.max_age_seconds.to_string());
            numbers.push(number("age", age, "s", warning, critical));
        }
        if let Some(newest) = &self.newest {
            numbers.push(number("size", newest.size_bytes, "B", String::new(), String::new()));
        }
        numbers.extend(self.rpo.iter().flat_map(|rpo| rpo.numbers(&self.name)));
        numbers
    }

    /// The alerts for what this run found, one a depth.
    fn alerts(&self, run_id: Option<i64>) -> Vec<Alert> {
        let alert = |(depth, status, findings): (Depth, Status, Vec<&Finding>)| {
            let severity = status.severity()?;
            // They are in the order of their weight.
            let summary = findings.first().map_or(self.summary.as_str(), |finding| finding.text.as_str());
            let others =
                findings.iter().skip(1).map(|finding| format!("{}: {}", finding.status, finding.text));
            let seen = format!("{} of {} backups in {} are good", self.good_count, self.count, self.place);
            Some(Alert {
                source: COMMAND,
                severity,
                key: earlier::key(&self.name, depth),
                summary: format!("backup source {}: {summary}", self.name),
                details: others.chain([seen]).collect(),
                run_id,
            })
        };
        earlier::by_depth(&self.findings).into_iter().filter_map(alert).collect()
    }
}
