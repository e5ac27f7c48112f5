//! The thorough look at backups: every byte is read, or they are restored and proven.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, json};

use super::{
    Configured, Depth, Finding, Status,
    drill::{self, Drill},
    earlier::{self, Earlier},
    examine::{Verified, examine},
    no_undecided,
    proven::{self, Proof},
    reading::Reader,
    record::Record,
    rpo,
    scope::{Scope, look_at, newest},
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

/// The command, as `stockfoil.run` names it.
const COMMAND: &str = "verify-backup";

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
    /// Every source that is configured, looked at or not.
    #[serde(skip)]
    configured: Vec<String>,
    /// When the newest backup of each source began that a drill proved, as far as this run and the records tell.
    #[serde(skip)]
    proven: BTreeMap<String, DateTime<Utc>>,
}

/// Looks at the backups in `scope` as deep as `depth` says. Where `db` is at hand, the run is recorded there.
///
/// # Errors
/// When no source is configured, or none of that name. What a backup lacks is a finding; ask
/// [`VerifyReport::require`] for the rest.
pub fn verify<'a>(
    config: Configured<'a>,
    db: Option<&'a Db>,
    scope: &'a Scope,
    depth: Depth,
    progress: &'a dyn Progress,
) -> Task<'a, VerifyReport> {
    Box::pin(async move {
        let checked_at = Utc::now();
        let chosen =
            if scope.file.is_some() { &[] } else { config.backup.choose(scope.source.as_deref())? };
        if let Some(folder) = &scope.keep {
            scope.require_one(chosen)?;
            drill::require_place(folder, &config.backup.throwaway())?;
        }
        let record = Record::start(db, COMMAND).await;
        let reader = Reader { config, production: db, keep: scope.keep.as_deref(), progress };
        let earlier = Earlier::recall(config.alerts, db, COMMAND).await;
        let mut backups = Vec::new();
        if let Some(file) = &scope.file {
            backups.push(match look_at(&reader, file).await {
                Ok(backup) => examine(&reader, None, Some(backup), Vec::new(), depth).await,
                Err(finding) => examine(&reader, None, None, vec![finding], depth).await,
            });
        }
        for source in chosen {
            let (newest, problems, wal) = newest(&reader, source).await;
            let mut verified = examine(&reader, Some(source), newest, problems, depth).await;
            verified.wal = wal;
            verified.ask_rpo(&reader, source).await;
            verified.findings.extend(earlier.findings(&source.name, verified.reached));
            verified.status = worst(&verified.findings);
            backups.push(verified);
        }
        progress.finish();
        let run_id = record.run_id();
        let alerts = tell(config, db, run_id, &backups, &earlier, scope).await;
        let configured = config.backup.source.iter().map(|source| source.name.clone()).collect();
        let proofs: Vec<Proof> = backups.iter().filter_map(Proof::of).collect();
        let proven = proven::last_proven(db, &proofs).await;
        let report = VerifyReport { run_id, checked_at, depth, backups, alerts, configured, proven };
        let statuses = report.backups.iter().map(|backup| (backup.title(), json!(backup.status)));
        let summary = json!({ "depth": depth, "backups": statuses.collect::<Map<_, _>>(), "proofs": proofs });
        record.finish(config.history, &report, summary).await;
        Ok(report)
    })
}

/// Alerts for sources whose newest backup is not well, and tells what is over. A file that a person named alerts nobody.
async fn tell(
    config: Configured<'_>,
    db: Option<&Db>,
    run_id: Option<RunId>,
    backups: &[Verified],
    earlier: &Earlier,
    scope: &Scope,
) -> Deliveries {
    if backups.iter().all(|verified| verified.source.is_none()) {
        return Deliveries::default();
    }
    let run_id = run_id.map(|run| run.0);
    let mut alerts = Vec::new();
    for verified in backups {
        let Some(source) = &verified.source else { continue };
        for (depth, status, findings) in earlier::by_depth(&verified.findings) {
            let Some(severity) = status.severity() else { continue };
            let details = findings.iter().map(|finding| format!("{}: {}", finding.status, finding.text));
            alerts.push(Alert {
                source: COMMAND,
                severity,
                key: earlier::key(source, depth),
                summary: format!("backup {} is {}", verified.title(), verified.verdict()),
                details: details.collect(),
                run_id,
            });
        }
        alerts.extend(earlier.alerts(source, verified.reached, run_id));
    }
    let is_read = |verified: &Verified, key: &str| {
        let source = verified.source.as_deref();
        source.is_some_and(|source| earlier::is_looked_at(key, source, verified.reached))
    };
    let is_gone = |key: &str| scope.source.is_none() && earlier::is_gone(config.backup, key);
    let round = Round {
        source: COMMAND,
        alerts: &alerts,
        looked_at: &|key| is_gone(key) || backups.iter().any(|verified| is_read(verified, key)),
        on_end: &|key| earlier::gone_text(config.backup, key),
        run_id,
    };
    alert::send(config.alerts, db, round).await
}

impl VerifyReport {
    /// Checks that every backup could be judged, and that critical alerts reached somebody. To be asked when the report
    /// is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`](super::BackupError::Undecided), or the alert that was not delivered.
    pub fn require(&self) -> Result<(), Error> {
        self.alerts.require()?;
        no_undecided(
            self.backups
                .iter()
                .flat_map(|backup| backup.findings.iter().map(move |finding| (backup.title(), finding))),
        )
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
            // A glance measures nothing of what a reading shows.
            let read = self.backups.iter().filter(|backup| backup.depth > Depth::Quick);
            read.map(move |backup| Metric {
                name,
                help,
                labels: vec![("source", backup.source.clone().unwrap_or_default())],
                value: value(backup),
            })
        };
        let known: Vec<_> = self
            .backups
            .iter()
            .filter_map(|verified| Some((verified.source.as_deref()?, verified.rpo.as_ref()?)))
            .collect();
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
            "What looking at the newest backup showed: 0 ok, 1 warning, 2 critical, 3 unknown.",
            |verified| verified.status.number().to_string(),
        ))
        .chain(self.drill_metrics())
        .chain(rpo::metrics(&known))
        .collect()
    }

    fn kept_sources(&self) -> Vec<String> {
        self.configured.clone()
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
        let numbers = self.backups.iter().flat_map(|verified| {
            let name = verified.source.as_deref().unwrap_or("file");
            let drill = verified.drill.as_ref().map(|drill| PluginNumber {
                label: format!("{name} rto"),
                value: drill.rto_ms,
                unit: "ms",
                warning: String::new(),
                critical: String::new(),
            });
            let lost = verified.rpo.iter().flat_map(|rpo| rpo.numbers(name)).collect::<Vec<_>>();
            drill.into_iter().chain(lost)
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
        let gauge = |name, help, value: fn(&Verified, Option<&Drill>) -> Option<String>| {
            let drilled = self.backups.iter().filter(|verified| verified.depth == Depth::Restore);
            drilled.filter_map(move |verified| {
                Some(Metric {
                    name,
                    help,
                    labels: vec![("source", verified.source.clone().unwrap_or_default())],
                    value: value(verified, verified.drill.as_ref())?,
                })
            })
        };
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        gauge(
            "stockfoil_backup_restored_timestamp_seconds",
            "When the restored backup began, in Unix time, if the drill found nothing wrong; else 0.",
            |verified, drill| {
                let at = verified.backup.as_ref().map_or(0, |backup| backup.started_at.timestamp());
                Some(if verified.status == Status::Ok && drill.is_some() { at } else { 0 }.to_string())
            },
        )
        .chain(gauge(
            "stockfoil_backup_restored_entry_timestamp_seconds",
            "When the newest restored entry of the ledger was made, in Unix time.",
            |_, drill| drill?.newest_entry_at.map(|at| at.timestamp().to_string()),
        ))
        .chain(gauge(
            "stockfoil_backup_rpo_seconds",
            "How old the newest restored entry of the ledger was when the drill began.",
            |_, drill| drill?.rpo_seconds.map(|seconds| seconds.to_string()),
        ))
        .chain(proven::metrics(&self.proven))
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
