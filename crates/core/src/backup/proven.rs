//! What was proven of backups over time, as an auditor asks: when, of which backup, how deep, in how long.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Depth, Status, examine::Verified};
use crate::{
    Task,
    db::{Context as _, Db},
    history,
    report::{Outcome, Report},
};

/// So many runs are told.
const RUNS_MAX: i64 = 1_000;

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
        let answers: Vec<bool> =
            databases.clone().flat_map(|database| &database.checks).map(|answer| answer.passed).collect();
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
            checks_passed: answers.iter().filter(|passed| **passed).count(),
            checks: answers.len(),
            checked_at: None,
            run_id: None,
        })
    }
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

/// Reads from `db` what the runs of `verify-backup` proved, of the source `only` where one is given.
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
