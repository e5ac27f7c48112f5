//! What a source should be like, and what it is: age, count, size.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::SourceState;
use crate::backup::{
    Backup, BackupSource, Depth, Finding, Status, age_text, duration_text,
    hearing::{Asked, Witnesses},
    listing::Listing,
    size_text, source, worst,
};

/// Against so many earlier backups the newest one's size is held.
const MEDIAN_OF: usize = 7;

/// Holds what was found against what is expected of `source`.
pub(super) fn judge(source: &BackupSource, listing: Listing, now: DateTime<Utc>) -> SourceState {
    let Listing { backups, problems: mut findings, wal, archive_end_at } = listing;
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
    findings.extend(check_good(source, &good, &backups, now));
    findings.extend(check_mixed(&good));
    let drop = check_drop(source, &good);
    // A backup that lost a third of its size is not one to rely on.
    let last_good = if drop.is_some() { good.get(1) } else { good.first() };
    let last_good_at = last_good.map(|backup| backup.started_at);
    findings.extend(drop);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
    SourceState {
        name: source.name.clone(),
        kind: source.kind,
        place: source.place(),
        path: (!source.path.as_os_str().is_empty()).then(|| source.path.clone()),
        pattern: source.pattern.clone(),
        status: worst(&findings),
        summary: summary(&findings, &good, now),
        count: backups.len(),
        good_count: good.len(),
        last_good_at,
        newest: backups.into_iter().next(),
        findings,
        wal,
        rpo: None,
        witnesses: Witnesses::none(),
        notes: Vec::new(),
        proof: None,
        asked: Asked::default(),
        archive_end_at,
        reached: Depth::Quick,
        is_sealed: false,
        min_count: source.min_count,
        warn_age_seconds: source.warn_age().as_secs(),
        max_age_seconds: source.max_age.as_secs(),
    }
}

/// How a source stands, in one sentence; `findings` are in the order of their weight.
fn summary(findings: &[Finding], good: &[&Backup], now: DateTime<Utc>) -> String {
    match (findings.first(), good.first()) {
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
    }
}

/// Whether the last of the good backups is young enough, and whether they are as many as there should be.
fn check_good(
    source: &BackupSource,
    good: &[&Backup],
    backups: &[Backup],
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let count = backups.len();
    let Some(last) = good.first() else {
        let is_unknown = |backup: &Backup| worst(&backup.findings) == Status::Unknown;
        let none_good = || match backups.iter().all(is_unknown) {
            true => {
                Finding::unknown("count", format!("of none of {count} backups it is known that it is good"))
            }
            false => Finding::critical("count", format!("none of {count} backups is good")),
        };
        return (count > 0).then(none_good).into_iter().collect();
    };
    let too_few = || {
        let text = format!("{} good backups, fewer than min_count ({})", good.len(), source.min_count);
        Finding::warning("count", text)
    };
    check_age(source, last, now).into_iter().chain((good.len() < source.min_count).then(too_few)).collect()
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
        .filter(|backup| {
            let make = |backup: &Backup| (backup.format, backup.compression, backup.begun.from.is_some());
            make(backup) == make(newest)
        })
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        alert::Deliveries,
        backup::{Format, policy::MonitorReport},
        report::{Outcome, Report as _},
    };

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
        let state = judge(&source(), Listing { backups, ..Listing::default() }, now());
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
        let dark = Backup { findings: vec![Finding::unknown("format", "is encrypted")], ..backup(1, 9) };
        let unknown = [(Status::Unknown, "format"), (Status::Unknown, "count")];
        assert_eq!(checks(vec![dark.clone()]), unknown);
        assert_eq!(checks(vec![dark, bad(60)]), [(Critical, "count"), (Status::Unknown, "format")]);
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
            configured: vec![],
            alerts: Deliveries::default(),
            proven: BTreeMap::new(),
        };
        assert_eq!(report.outcome(), Outcome::Findings);
        let problems = vec![Finding::unknown("folder", "can't be read")];
        let state =
            judge(&source(), Listing { backups: vec![backup(1, 9)], problems, ..Listing::default() }, now());
        let report = MonitorReport { sources: vec![state], ..report };
        assert!(report.require().unwrap_err().to_string().contains("can't be read"));
    }

    #[test]
    fn the_last_success_is_a_time_and_never_a_suspicious_backup() {
        let listing = Listing { backups: vec![backup(1, 50), backup(60, 100)], ..Listing::default() };
        assert_eq!(judge(&source(), listing, now()).last_good_at, Some(now() - TimeDelta::minutes(60)));
    }
}
