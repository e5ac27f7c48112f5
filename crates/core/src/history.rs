//! What ran and what it found: `stockfoil.run` and `stockfoil.finding`.

mod by;

pub use by::{Reason, signed};

use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    release,
    report::{Outcome, Report},
    rows::stockfoil::run,
    sql::{Fixed, render},
};

/// So many old rows go in one statement.
const PRUNE_ROWS: i64 = 10_000;

/// `[history]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many days runs and closed findings are kept; 0: for ever.
    pub keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 400 }
    }
}

/// A run's number in `stockfoil.run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct RunId(pub i64);

/// What a run changed among the findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Differences that no open finding spoke of.
    pub opened: u64,
    /// Differences that an open finding spoke of already.
    pub seen_again: u64,
    /// Open findings whose difference is gone.
    pub closed: u64,
}

/// Records that `command` begins, where the records are this release's.
///
/// # Errors
/// When they are another's, or the record can't be written.
pub async fn start(connection: &mut PgConnection, command: &'static str) -> Result<RunId, Error> {
    release::require(connection).await?;
    Ok(start_migration(connection, command).await?)
}

/// Records that `command` begins, which may be the one that makes the records this release's.
///
/// # Errors
/// When the record can't be written.
pub async fn start_migration(connection: &mut PgConnection, command: &'static str) -> Result<RunId, DbError> {
    let statement = render(
        "INSERT INTO stockfoil.run (command, summary) VALUES ($1, jsonb_build_object('by', ({by}))) RETURNING id",
        &[("by", &Fixed(by::BY))],
    );
    sqlx::query_scalar(statement.sql())
        .bind(command)
        .fetch_one(connection)
        .await
        .context("record the run in stockfoil.run")
}

/// Records how `run` ended, with its report's numbers or its error, and passes the result on.
///
/// A run that could not be recorded has failed, whatever it did: its absence would be read as "did not run".
///
/// # Errors
/// The run's own error, else that the record can't be written.
pub async fn finish<R: Report>(
    connection: &mut PgConnection,
    run: RunId,
    result: Result<R, Error>,
    summary: impl FnOnce(&R) -> serde_json::Value,
) -> Result<R, Error> {
    let recorded = match &result {
        Ok(report) => end(connection, run, report.outcome(), &summary(report)).await,
        Err(error) => record_end(connection, run, "failed", &json!({ "error": error.to_string() })).await,
    };
    let report = result?;
    recorded?;
    Ok(report)
}

/// Records that `run` did its work, with its numbers.
///
/// # Errors
/// When the record can't be written.
pub async fn end(
    connection: &mut PgConnection,
    run: RunId,
    outcome: Outcome,
    summary: &serde_json::Value,
) -> Result<(), DbError> {
    let outcome = match outcome {
        Outcome::Clean => "clean",
        Outcome::Findings => "findings",
    };
    record_end(connection, run, outcome, summary).await
}

async fn record_end(
    connection: &mut PgConnection,
    run: RunId,
    outcome: &str,
    summary: &serde_json::Value,
) -> Result<(), DbError> {
    let statement = render(
        "UPDATE stockfoil.run SET finished_at = clock_timestamp(), outcome = $2, summary = $3 || jsonb_build_object('by', ({by})) WHERE id = $1",
        &[("by", &Fixed(by::BY))],
    );
    sqlx::query(statement.sql())
        .bind(run)
        .bind(outcome)
        .bind(summary)
        .execute(connection)
        .await
        .context("record the end of the run in stockfoil.run")?;
    Ok(())
}

/// The run of `command` that ended clean last; none when none did.
///
/// # Errors
/// When the records can't be read.
pub async fn last_clean(
    connection: &mut PgConnection,
    command: &'static str,
) -> Result<Option<run::Row>, DbError> {
    let statement = render(
        "SELECT {columns} FROM stockfoil.run WHERE command = $1 AND outcome = 'clean' ORDER BY finished_at DESC NULLS LAST LIMIT 1",
        &[("columns", &Fixed(run::COLUMNS))],
    );
    sqlx::query_as(statement.sql())
        .bind(command)
        .fetch_optional(connection)
        .await
        .context("look for the last clean run")
}

/// Removes runs and closed findings that are older than `history` keeps them, in short statements. What an open finding
/// speaks of stays, and so does the last clean run of each command.
///
/// That they can't be removed is said in the log and is no failure of the run that asks.
pub async fn prune(connection: &mut PgConnection, history: &Settings) {
    if history.keep_days == 0 {
        return;
    }
    let before = Utc::now() - TimeDelta::days(i64::from(history.keep_days));
    // Findings first: a run stays as long as a finding speaks of it.
    for statement in [include_str!("history/prune_findings.sql"), include_str!("history/prune_runs.sql")] {
        loop {
            let pruned = sqlx::query(statement).bind(before).bind(PRUNE_ROWS).execute(&mut *connection).await;
            match pruned.context("remove old records") {
                Ok(pruned) if pruned.rows_affected() < PRUNE_ROWS.unsigned_abs() => break,
                Ok(_) => {}
                Err(error) => {
                    log::warn!("records older than [history] keep_days stay: {error}");
                    return;
                }
            }
        }
    }
}

/// Whether the database keeps records.
///
/// # Errors
/// When the catalog can't be read.
pub async fn is_there(connection: &mut PgConnection) -> Result<bool, DbError> {
    catalog::is_there(connection, "stockfoil.run").await
}

/// Records how far `run` is, so that one that is killed shows it.
///
/// # Errors
/// When the record can't be written.
pub async fn note(
    connection: &mut PgConnection,
    run: RunId,
    summary: &serde_json::Value,
) -> Result<(), DbError> {
    sqlx::query("UPDATE stockfoil.run SET summary = summary || $2 WHERE id = $1")
        .bind(run)
        .bind(summary)
        .execute(connection)
        .await
        .context("record the run's progress in stockfoil.run")?;
    Ok(())
}
