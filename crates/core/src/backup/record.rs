//! Recording a check in `stockfoil.run`, where a database is at hand. No check fails for want of one.

use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    Error,
    db::Db,
    history::Settings,
    history::{self, RunId},
    report::Report,
};

/// A run that is being recorded, or not.
pub(super) struct Record(Option<(PgConnection, RunId)>);

impl Record {
    /// Records that `command` begins, if `db` can take it.
    pub(super) async fn start(db: Option<&Db>, command: &'static str) -> Self {
        let Some(db) = db else { return Self(None) };
        Self(start(db, command).await.unwrap_or_else(|error| {
            not_recorded(&error);
            None
        }))
    }

    /// The run's number in `stockfoil.run`.
    pub(super) fn run_id(&self) -> Option<RunId> {
        self.0.as_ref().map(|(_, run)| *run)
    }

    /// Records how the run ended, and removes what is older than `history` keeps.
    pub(super) async fn finish<R: Report>(self, history: &Settings, report: &R, summary: Value) {
        let Some((mut session, run)) = self.0 else { return };
        if let Err(error) = history::finish(&mut session, run, Ok(report), |_| summary).await {
            not_recorded(&error);
        }
        history::prune(&mut session, history).await;
    }
}

async fn start(db: &Db, command: &'static str) -> Result<Option<(PgConnection, RunId)>, Error> {
    if db.facts().read_only {
        return Ok(None);
    }
    let mut session = db.session().await?;
    if !history::is_there(&mut session).await? {
        return Ok(None);
    }
    let run = history::start(&mut session, command).await?;
    Ok(Some((session, run)))
}

fn not_recorded(error: &Error) {
    log::warn!("this run is not recorded in stockfoil.run: {error}");
}
