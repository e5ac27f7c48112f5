//! The record of a run.

use sqlx::PgConnection;

use crate::{
    Error,
    db::DbError,
    history,
    migration::{report::MigrationReport, step::StepReport},
};

/// Writes what is done to `stockfoil.run`, as soon as that is there and for as long as it is.
pub(super) struct Recorder {
    command: &'static str,
    run: Option<history::RunId>,
    steps: Vec<serde_json::Value>,
}

impl Recorder {
    pub(super) fn new(command: &'static str) -> Self {
        Self { command, run: None, steps: Vec::new() }
    }

    pub(super) async fn step(
        &mut self,
        session: &mut PgConnection,
        report: &StepReport,
    ) -> Result<(), DbError> {
        self.steps.push(serde_json::json!({
            "title": report.title, "duration_ms": report.duration_ms, "waited_ms": report.waited_ms,
        }));
        if !history::is_there(session).await? {
            return Ok(());
        }
        let run = match self.run {
            Some(run) => run,
            None => *self.run.insert(history::start_migration(session, self.command).await?),
        };
        // All of them are written once, at the end: a row that grew with each step would leave a table of its former selves.
        let so_far = serde_json::json!({ "steps_done": self.steps.len(), "last_step": self.steps.last() });
        history::note(session, run, &so_far).await
    }

    pub(super) async fn finish(
        self,
        session: &mut PgConnection,
        result: Result<MigrationReport, Error>,
    ) -> Result<MigrationReport, Error> {
        match self.run {
            // A server that is gone can't say; the error that tells so is the one to pass on.
            Some(run) if history::is_there(session).await.unwrap_or(result.is_ok()) => {
                let steps = self.steps;
                history::finish(session, run, result, |_| serde_json::json!({ "steps": steps })).await
            }
            _ => result,
        }
    }
}
