//! What was proven of backups over time, as an auditor asks: when, of which backup, how deep, in how long.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Answer, Depth, Status, examine::Verified};
use crate::{
    Task,
    db::{Context as _, Db},
    history,
    report::{Metric, Outcome, Report},
};

/// So many runs are told.
const RUNS_MAX: i64 = 1_000;

/// So many letters of what a question gave are kept.
const FOUND_LETTERS_MAX: usize = 500;

/// What one run proved of one backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proof {
    /// The backup's source; none for a file that was named.
    pub source: Option<String>,
    /// What it is called.
    pub backup: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How deep the look got.
    pub depth: Depth,
    /// What came of it.
    pub status: Status,
    /// Whether every byte was compared with a checksum that was made with the backup.
    pub is_sealed: bool,
    /// How long a recovery took, in milliseconds; none without a drill.
    pub rto_ms: Option<u64>,
    /// How old the newest restored entry was, in seconds.
    pub rpo_seconds: Option<u64>,
    /// Rows by database and table, as a drill counted them.
    pub rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// How many `[[backup.check]]` gave what they should, and how many there were.
    pub checks_passed: usize,
    /// See above.
    pub checks: usize,
    /// What each of them gave, by database; records of earlier releases have none.
    #[serde(default)]
    pub answers: BTreeMap<String, Vec<Answer>>,
    /// When the run began; filled in from its record.
    #[serde(default)]
    pub checked_at: Option<DateTime<Utc>>,
    /// The run in `stockfoil.run`; filled in from its record.
    #[serde(default)]
    pub run_id: Option<i64>,
}

impl Proof {
    /// What a look showed; none where there was no backup.
    pub(super) fn of(verified: &Verified) -> Option<Self> {
        let backup = verified.backup.as_ref()?;
        let databases = verified.drill.iter().flat_map(|drill| &drill.databases);
        let asked = databases.clone().filter(|database| !database.checks.is_empty());
        let answers: BTreeMap<String, Vec<Answer>> = asked
            .map(|database| (database.name.clone(), database.checks.iter().map(shortened).collect()))
            .collect();
        let all = || answers.values().flatten();
        let rows = databases.map(|database| {
            let tables = database.tables.iter().map(|table| (table.name.clone(), table.rows));
            (database.name.clone(), tables.collect())
        });
        Some(Self {
            source: verified.source.clone(),
            backup: backup.name.clone(),
            started_at: backup.started_at,
            depth: verified.reached,
            status: verified.status,
            is_sealed: verified.is_sealed,
            rto_ms: verified.drill.as_ref().map(|drill| drill.rto_ms),
            rpo_seconds: verified.drill.as_ref().and_then(|drill| drill.rpo_seconds),
            rows: rows.collect(),
            checks_passed: all().filter(|answer| answer.passed).count(),
            checks: all().count(),
            answers,
            checked_at: None,
            run_id: None,
        })
    }
}

/// An answer as it is kept.
fn shortened(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    if let Some((end, _)) = answer.found.char_indices().nth(FOUND_LETTERS_MAX) {
        answer.found.truncate(end);
        answer.found.push_str("...");
    }
    answer
}

/// When the newest backup of each source began that a drill proved, in this run, which proved `now`, or in those that `db`
/// has records of.
pub(super) async fn last_proven(db: Option<&Db>, now: &[Proof]) -> BTreeMap<String, DateTime<Utc>> {
    let earlier = match db {
        Some(db) => proven(db, None).await.map(|report| report.proofs).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut last = BTreeMap::new();
    for proof in earlier.iter().chain(now) {
        let Some(source) = proof.source.clone().filter(|_| proof.depth == Depth::Restore) else { continue };
        if proof.status < Status::Unknown {
            let at = last.entry(source).or_insert(proof.started_at);
            *at = proof.started_at.max(*at);
        }
    }
    last
}

/// What [`last_proven`] tells, as gauges.
pub(super) fn metrics(last: &BTreeMap<String, DateTime<Utc>>) -> impl Iterator<Item = Metric> {
    last.iter().map(|(source, at)| Metric {
        name: "stockfoil_backup_last_proven_timestamp_seconds",
        help: "When the newest backup began that a drill proved, in Unix time.",
        labels: vec![("source", source.clone())],
        value: at.timestamp().to_string(),
    })
}

/// What was proven over time, the newest first.
#[derive(Debug, Serialize)]
pub struct ProvenReport {
    /// One a backup and run.
    pub proofs: Vec<Proof>,
}

impl Report for ProvenReport {
    const SCHEMA: &'static str = "stockfoil.backup-history/1";

    fn outcome(&self) -> Outcome {
        // No evidence is never OK.
        if self.proofs.is_empty() { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Reads from `db` what the runs that looked into backups proved, of the source `only` where one is given.
///
/// # Errors
/// When there are no records, or they can't be read.
pub fn proven<'a>(db: &'a Db, only: Option<&'a str>) -> Task<'a, ProvenReport> {
    Box::pin(async move {
        let mut session = db.session().await?;
        if !history::is_there(&mut session).await? {
            return Err(super::BackupError::NoRecords.into());
        }
        let runs: Vec<(i64, DateTime<Utc>, serde_json::Value)> =
            sqlx::query_as(include_str!("proven/runs.sql"))
                .bind(RUNS_MAX)
                .fetch_all(&mut session)
                .await
                .context("read what was proven of backups")?;
        let mut proofs = Vec::new();
        for (run, at, of_run) in runs {
            // Records of another release are none that can be told.
            let of_run: Vec<Proof> = serde_json::from_value(of_run).unwrap_or_default();
            let of_source = |proof: &Proof| only.is_none_or(|only| proof.source.as_deref() == Some(only));
            proofs.extend(of_run.into_iter().filter(of_source).map(|proof| Proof {
                checked_at: Some(at),
                run_id: Some(run),
                ..proof
            }));
        }
        Ok(ProvenReport { proofs })
    })
}
