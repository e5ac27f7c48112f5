//! The quick look at every source, and what is expected of it: age, count, size.

use std::{collections::BTreeSet, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, json};

use super::{
    Backup, Depth, Finding, Status, age_text, duration_text, listing::Listing, no_undecided, reading::Reader,
    record::Record, size_text, source, verify, worst,
};
use crate::{
    Error, Task,
    alert::{self, Alert, Deliveries, Round},
    config::{BackupKind, BackupSource, Config},
    db::Db,
    history::RunId,
    mapping::Mapping,
    progress::Progress,
    report::{Metric, Outcome, Plugin, PluginNumber, Report},
};

/// The command, as `stockfoil.run` and alerts name it.
const COMMAND: &str = "monitor-backups";

/// Against so many earlier backups the newest one's size is held.
const MEDIAN_OF: usize = 7;

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
    config: &'a Config,
    db: Option<&'a Db>,
    mapping: &'a Mapping,
    only: Option<&'a str>,
    depth: Depth,
    progress: &'a dyn Progress,
) -> Task<'a, MonitorReport> {
    Box::pin(async move {
        let sources = verify::choose(config, only)?;
        let record = Record::start(db, COMMAND).await;
        let now = Utc::now();
        let reader = Reader { config, mapping, progress };
        progress.begin("look at backups", Some(sources.len() as u64));
        let mut states = Vec::new();
        for source in &sources {
            let mut state = judge(source, source::list(&reader, source).await, now);
            if depth > Depth::Quick && state.newest.is_some() {
                state.deepen(&reader, source, depth).await;
            }
            states.push(state);
            progress.advance(1);
        }
        progress.finish();
        let run_id = record.run_id();
        let alerts: Vec<Alert> = states.iter().filter_map(|state| state.alert(run_id)).collect();
        let looked_at = |key: &str| states.iter().any(|state| state.key() == key);
        let round = Round {
            source: COMMAND,
            alerts: &alerts,
            looked_at: &looked_at,
            run_id: run_id.map(|run| run.0),
        };
        let alerts = alert::send(&config.alerts, db, round).await;
        let report = MonitorReport { run_id, checked_at: now, depth, sources: states, alerts };
        let statuses = report.sources.iter().map(|source| (source.name.clone(), json!(source.status)));
        let summary = json!({ "depth": depth, "sources": statuses.collect::<Map<_, _>>() });
        record.finish(&config.history, &report, summary).await;
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
            |source| (source.status as u8).to_string(),
        ))
        .collect()
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
    /// Names the problem that this source is not well.
    fn key(&self) -> String {
        alert_key(&self.name)
    }

    /// Looks at the newest backup as deep as `depth` says, and adds what is found.
    async fn deepen(&mut self, reader: &Reader<'_>, source: &BackupSource, depth: Depth) {
        let Some(newest) = &self.newest else { return };
        let quick = newest.findings.len();
        let verified = verify::examine(reader, Some(source), Some(newest.clone()), Vec::new(), depth).await;
        let found = verified.findings.into_iter().skip(quick).map(|finding| Finding {
            text: format!("the newest backup, {}, {}", newest.name, finding.text),
            ..finding
        });
        self.findings.extend(found);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
        if verified.status >= Status::Critical && self.last_good_at == Some(newest.started_at) {
            // Which of the earlier ones is good, nobody has looked.
            self.last_good_at = None;
            self.good_count = self.good_count.saturating_sub(1);
        }
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
        numbers
    }

    fn alert(&self, run_id: Option<RunId>) -> Option<Alert> {
        let severity = self.status.severity()?;
        let others = self.findings.iter().filter(|finding| !self.summary.ends_with(&finding.text));
        let details = others.map(|finding| format!("{}: {}", finding.status, finding.text));
        let seen = format!("{} of {} backups in {} are good", self.good_count, self.count, self.place);
        Some(Alert {
            source: COMMAND,
            severity,
            key: self.key(),
            summary: format!("backup source {}: {}", self.name, self.summary),
            details: details.chain([seen]).collect(),
            run_id: run_id.map(|run| run.0),
        })
    }
}

/// Names the problem that the backups of the source `name` are not well.
pub(super) fn alert_key(name: &str) -> String {
    format!("backup/{name}")
}

/// Holds what was found against what is expected of `source`.
fn judge(source: &BackupSource, listing: Listing, now: DateTime<Utc>) -> SourceState {
    let Listing { backups, problems: mut findings } = listing;
    if backups.is_empty() && findings.is_empty() {
        findings.push(source::nothing_found(source));
    }
    let tolerated = TimeDelta::from_std(source.future_tolerance).unwrap_or(TimeDelta::zero());
    let is_future = |backup: &&Backup| backup.started_at.max(backup.modified_at) > now + tolerated;
    for backup in backups.iter().filter(is_future) {
        let at = backup.started_at.max(backup.modified_at).format("%Y-%m-%d %H:%M UTC");
        findings.push(Finding::critical("future", format!("{} is from the future ({at})", backup.name)));
    }
    if let Some(newest) = backups.first() {
        findings.extend(newest.findings.iter().map(|finding| Finding {
            text: format!("the newest backup, {}, {}", newest.name, finding.text),
            ..finding.clone()
        }));
    }
    let good: Vec<&Backup> =
        backups.iter().filter(|backup| backup.findings.is_empty() && !is_future(backup)).collect();
    match good.first() {
        Some(last) => {
            findings.extend(check_age(source, last, now));
            if good.len() < source.min_count {
                let text =
                    format!("{} good backups, fewer than min_count ({})", good.len(), source.min_count);
                findings.push(Finding::warning("count", text));
            }
        }
        None if !backups.is_empty() => {
            findings.push(Finding::critical("count", format!("none of {} backups is good", backups.len())));
        }
        None => {}
    }
    findings.extend(check_mixed(&good));
    let drop = check_drop(source, &good);
    // A backup that lost a third of its size is not one to rely on.
    let last_good = if drop.is_some() { good.get(1) } else { good.first() };
    let last_good_at = last_good.map(|backup| backup.started_at);
    findings.extend(drop);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));

    let summary = match (findings.first(), good.first()) {
        (Some(finding), _) => finding.text.clone(),
        (None, Some(last)) => format!(
            "{} good backups; the newest, {} ({}), began {} ago",
            good.len(),
            last.name,
            size_text(last.size_bytes),
            age_text(last.started_at, now)
        ),
        // Without a finding there is a good backup.
        (None, None) => "no backup".into(),
    };
    SourceState {
        name: source.name.clone(),
        kind: source.kind,
        place: source.place(),
        path: (!source.path.as_os_str().is_empty()).then(|| source.path.clone()),
        pattern: source.pattern.clone(),
        status: worst(&findings),
        summary,
        count: backups.len(),
        good_count: good.len(),
        last_good_at,
        newest: backups.into_iter().next(),
        findings,
        min_count: source.min_count,
        warn_age_seconds: source.warn_age().as_secs(),
        max_age_seconds: source.max_age.as_secs(),
    }
}

fn check_age(source: &BackupSource, last: &Backup, now: DateTime<Utc>) -> Option<Finding> {
    // A start in the tolerated future is no age at all.
    let age = (now - last.started_at).to_std().unwrap_or_default();
    let text = |limit_name, limit| {
        format!(
            "the newest good backup, {}, began {} ago, more than {limit_name} ({})",
            last.name,
            duration_text(age),
            duration_text(limit)
        )
    };
    if age > source.max_age {
        Some(Finding::critical("age", text("max_age", source.max_age)))
    } else if age > source.warn_age() {
        Some(Finding::warning("age", text("warn_age", source.warn_age())))
    } else {
        None
    }
}

/// Where the dumps of several databases lie together, one that stopped would hide behind the others.
fn check_mixed(good: &[&Backup]) -> Option<Finding> {
    let databases: BTreeSet<&str> = good.iter().filter_map(|backup| backup.database.as_deref()).collect();
    (databases.len() > 1).then(|| {
        let names: Vec<&str> = databases.into_iter().collect();
        let text = format!(
            "holds backups of several databases ({}); give each a source with its pattern",
            names.join(", ")
        );
        Finding::warning("mixed", text)
    })
}

/// Holds the newest good backup's size against the median of the good ones of the same make before it: never
/// against bad ones, so that an empty file can't become the measure.
fn check_drop(source: &BackupSource, good: &[&Backup]) -> Option<Finding> {
    let (newest, earlier) = good.split_first()?;
    let mut sizes: Vec<u64> = earlier
        .iter()
        .filter(|backup| (backup.format, backup.compression) == (newest.format, newest.compression))
        .map(|backup| backup.size_bytes)
        .take(MEDIAN_OF)
        .collect();
    sizes.sort_unstable();
    let median = *sizes.get(sizes.len() / 2)?;
    let is_smaller =
        u128::from(newest.size_bytes) * 100 < u128::from(median) * u128::from(100 - source.max_drop_pct);
    is_smaller.then(|| {
        let drop = 100 - u128::from(newest.size_bytes) * 100 / u128::from(median);
        Finding::critical(
            "drop",
            format!(
                "{} ({}) is {drop} % smaller than the median of the {} good backups before it ({}), more than max_drop_pct ({} %)",
                newest.name,
                size_text(newest.size_bytes),
                sizes.len(),
                size_text(median),
                source.max_drop_pct
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Format, *};

    fn now() -> DateTime<Utc> {
        "2026-02-01T03:00:00Z".parse().unwrap()
    }

    fn backup(minutes_old: i64, size_bytes: u64) -> Backup {
        let started_at = now() - TimeDelta::minutes(minutes_old);
        Backup::of_tool(format!("{minutes_old}.dump"), Some(Format::Custom), size_bytes, started_at)
    }

    fn bad(minutes_old: i64) -> Backup {
        Backup { findings: vec![Finding::critical("size", "is empty (0 bytes)")], ..backup(minutes_old, 0) }
    }

    fn source() -> BackupSource {
        BackupSource { min_count: 1, ..BackupSource::dumps("nightly", "/b") }
    }

    fn checks(backups: Vec<Backup>) -> Vec<(Status, &'static str)> {
        let state = judge(&source(), Listing { backups, problems: Vec::new() }, now());
        state.findings.iter().map(|finding| (finding.status, finding.check)).collect()
    }

    #[test]
    fn age_counts_to_the_minute() {
        use Status::{Critical, Warning};
        assert_eq!(checks(vec![backup(24 * 60 + 30, 9)]), []);
        assert_eq!(checks(vec![backup(24 * 60 + 31, 9)]), [(Warning, "age")]);
        assert_eq!(checks(vec![backup(24 * 60 + 59, 9)]), [(Warning, "age")]);
        assert_eq!(checks(vec![backup(25 * 60, 9)]), [(Warning, "age")]);
        assert_eq!(checks(vec![backup(25 * 60 + 1, 9)]), [(Critical, "age")]);
        assert_eq!(checks(vec![backup(-5, 9)]), []);
        assert_eq!(checks(vec![backup(-6, 9)]), [(Critical, "future"), (Critical, "count")]);
    }

    #[test]
    fn a_bad_backup_never_becomes_the_measure() {
        use Status::Critical;
        assert_eq!(checks(vec![bad(1), bad(1441)]), [(Critical, "size"), (Critical, "count")]);
        assert_eq!(checks(vec![bad(1), backup(60, 9)]), [(Critical, "size")]);
        assert_eq!(checks(vec![backup(1, 50), bad(60), bad(120), backup(180, 100)]), [(Critical, "drop")]);
        assert_eq!(checks(vec![backup(1, 70), bad(60), backup(120, 100), backup(180, 100)]), []);
        assert_eq!(checks(vec![backup(1, 69), backup(120, 100), backup(180, 100)]), [(Critical, "drop")]);
    }

    #[test]
    fn databases_do_not_hide_behind_each_other() {
        let of = |name: &str, backup| Backup { database: Some(name.into()), ..backup };
        assert_eq!(checks(vec![of("a", backup(1, 9)), of("a", backup(9, 9))]), []);
        let mixed = [(Status::Warning, "mixed")];
        assert_eq!(checks(vec![of("a", backup(1, 9)), of("b", backup(9, 9))]), mixed);
    }

    #[test]
    fn no_evidence_is_never_ok() {
        assert_eq!(checks(vec![]), [(Status::Critical, "listing")]);
        let report = MonitorReport {
            run_id: None,
            checked_at: now(),
            depth: Depth::Quick,
            sources: vec![],
            alerts: Deliveries::default(),
        };
        assert_eq!(report.outcome(), Outcome::Findings);
        let problems = vec![Finding::unknown("folder", "can't be read")];
        let state = judge(&source(), Listing { backups: vec![backup(1, 9)], problems }, now());
        let report = MonitorReport { sources: vec![state], ..report };
        assert!(report.require().unwrap_err().to_string().contains("can't be read"));
    }

    #[test]
    fn the_last_success_is_a_time_and_never_a_suspicious_backup() {
        let listing = Listing { backups: vec![backup(1, 50), backup(60, 100)], problems: Vec::new() };
        assert_eq!(judge(&source(), listing, now()).last_good_at, Some(now() - TimeDelta::minutes(60)));
    }
}
