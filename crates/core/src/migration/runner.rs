//! Runs steps under the lock discipline: look first, ask for a lock only briefly, step back and try again.

mod blockers;
mod description;
mod failed;
mod filling;
mod long;
mod recorder;
mod replicas;
mod short;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use self::{description::describe, failed::Failed, recorder::Recorder, replicas::Replicas};
use super::{
    error::MigrationError,
    fill::Fill,
    finding::Finding,
    patience::Patience,
    report::{DefaultUse, LookupUse, MigrationReport, TableReport},
    step::{Run, Step, StepReport},
};
use crate::{
    Error, catalog,
    db::{Context as _, Db, DbError, PLAN_ONCE, sqlstate},
    progress::Progress,
    sql::Ident,
};

/// When an autovacuum in the way is told to yield, where that may be set.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(10);

/// What is to be run, under which name.
#[derive(Debug)]
pub(super) struct Task {
    /// The command, as the report and `stockfoil.run` name it.
    pub(super) command: &'static str,
    /// Whether the command is taken back.
    pub(super) rollback: bool,
    /// What stands in the way.
    pub(super) obstacles: Vec<Finding>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
    /// The steps, in order.
    pub(super) steps: Vec<Step>,
    /// Whose everything is that is made in Stockfoil's schema, where the database is isolated already.
    pub(super) operations: Option<Ident>,
    /// Unique keys that reach across organizations and stay, though they could go: `table.key` each.
    pub(super) contract_pending: Vec<String>,
    /// Inserts that relied on the default organization.
    pub(super) default_uses: Vec<DefaultUse>,
    /// How often the indexes were used that keep lookups by replaced keys fast.
    pub(super) lookup_uses: Vec<LookupUse>,
}

impl Task {
    /// `steps` of `command`, with nothing in the way.
    pub(super) fn new(command: &'static str, steps: Vec<Step>) -> Self {
        Self {
            command,
            rollback: false,
            obstacles: Vec::new(),
            warnings: Vec::new(),
            contract_pending: Vec::new(),
            steps,
            operations: None,
            default_uses: Vec::new(),
            lookup_uses: Vec::new(),
        }
    }

    async fn report(
        self,
        session: &mut PgConnection,
        dry_run: bool,
        steps: Vec<StepReport>,
    ) -> Result<MigrationReport, Error> {
        let named = self.steps.iter().flat_map(|step| &step.tables);
        let roots: HashMap<String, String> = catalog::roots(session, named).await?;
        let done_before = self.steps.len() - steps.len();
        Ok(MigrationReport {
            tables: TableReport::of(&steps, &roots),
            command: self.command,
            rollback: self.rollback,
            dry_run,
            obstacles: self.obstacles,
            warnings: self.warnings,
            contract_pending: self.contract_pending,
            done_before,
            steps,
            default_uses: self.default_uses,
            lookup_uses: self.lookup_uses,
        })
    }
}

/// Makes `session` one that steps are planned and run in: names and definitions mean the same whatever the role's own
/// settings are.
///
/// # Errors
/// Database errors.
pub(crate) async fn prepare(session: &mut PgConnection) -> Result<(), DbError> {
    sqlx::raw_sql(
        "SET search_path = pg_catalog, pg_temp; SET default_transaction_isolation = 'read committed';
         SET default_transaction_read_only = off; SET row_security = off; SET default_tablespace = ''",
    )
    .execute(&mut *session)
    .await
    .context("prepare the session")?;
    sqlx::query(PLAN_ONCE).execute(session).await.context("prepare the session")?;
    Ok(())
}

/// What running `task` would do, without doing it.
///
/// # Errors
/// Database errors.
pub(super) async fn plan(session: &mut PgConnection, task: Task) -> Result<MigrationReport, Error> {
    let pending = pending(session, &task).await?;
    task.report(session, true, pending).await
}

/// The steps of `task` that the catalog does not show to be done.
///
/// # Errors
/// Database errors.
pub(super) async fn pending(session: &mut PgConnection, task: &Task) -> Result<Vec<StepReport>, Error> {
    let mut reports = Vec::new();
    for step in &task.steps {
        if !step.goal.is_met(session).await? {
            reports.push(describe(session, step).await?);
        }
    }
    Ok(reports)
}

/// Runs those steps of `task` that the catalog does not show to be done, in order; each is checked again after it, and
/// its time written to `stockfoil.run`.
///
/// # Errors
/// The first step's that fails; those before it stay done.
pub(super) async fn run(
    db: &Db,
    session: &mut PgConnection,
    task: Task,
    patience: Patience,
    progress: &dyn Progress,
) -> Result<MigrationReport, Error> {
    if !task.obstacles.is_empty() {
        return Err(MigrationError::InTheWay(task.obstacles).into());
    }
    let mut runner = Runner::new(db, session, &task, patience, progress).await?;
    let result = runner.steps(&task.steps).await;
    let Runner { session, recorder, reports, .. } = runner;
    let result = match result {
        Ok(()) => task.report(session, false, reports).await,
        Err(error) => Err(error),
    };
    recorder.finish(session, result).await
}

struct Runner<'a> {
    db: &'a Db,
    session: &'a mut PgConnection,
    pid: i32,
    /// Whether deadlock_timeout could be lowered, so that autovacuum yields within [`short::LOCK_TIMEOUT`].
    is_quick: bool,
    patience: Patience,
    progress: &'a dyn Progress,
    recorder: Recorder,
    reports: Vec<StepReport>,
    /// How long the current step has waited for others.
    waited: Duration,
    /// When transactions were first seen in the way, by their virtual ids.
    seen: HashMap<String, Instant>,
    replicas: Replicas,
    operations: Option<Ident>,
}

impl<'a> Runner<'a> {
    async fn new(
        db: &'a Db,
        session: &'a mut PgConnection,
        task: &Task,
        patience: Patience,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        // Below the lock timeout, so that an autovacuum in the way is told to yield before the lock is given up. Only a
        // superuser may; without it autovacuum takes its second to yield.
        let quick = sqlx::query("SELECT set_config('deadlock_timeout', $1, false)")
            .bind(setting(DEADLOCK_TIMEOUT))
            .execute(&mut *session)
            .await;
        let is_quick = match quick {
            Ok(_) => true,
            Err(error) if sqlstate(&error).as_deref() == Some("42501") => false,
            Err(error) => return Err(DbError::from(error).into()),
        };
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *session)
            .await
            .context("ask for the session's pid")?;
        let recorder = Recorder::new(task.command);
        let replicas = Replicas::of(session, patience.max_replica_lag).await?;
        Ok(Self {
            db,
            session,
            pid,
            is_quick,
            patience,
            progress,
            recorder,
            reports: Vec::new(),
            waited: Duration::ZERO,
            seen: HashMap::new(),
            replicas,
            operations: task.operations.clone(),
        })
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<(), Error> {
        for (number, step) in steps.iter().enumerate() {
            // Asked only now: a step may undo what an earlier one needed for a while.
            if step.goal.is_met(self.session).await? {
                continue;
            }
            let position = format!("step {} of {}: {}", number + 1, steps.len(), step.title);
            log::info!("{position}");
            let rows = self.rows(step).await?;
            self.progress.step(&position, rows.and_then(|rows| u64::try_from(rows).ok()));
            let started = Instant::now();
            self.waited = Duration::ZERO;
            self.step(step).await?;
            if !step.goal.is_met(self.session).await? {
                return Err(MigrationError::NotDone { step: step.title.clone() }.into());
            }
            let mut report = describe(self.session, step).await?;
            report.duration_ms = Some(millis(started.elapsed()));
            report.waited_ms = Some(millis(self.waited));
            self.recorder.step(self.session, &report).await?;
            self.reports.push(report);
        }
        self.progress.finish();
        Ok(())
    }

    /// The rows that a step goes through one batch after the other, for its progress.
    async fn rows(&mut self, step: &Step) -> Result<Option<i64>, DbError> {
        match (&step.run, step.tables.last()) {
            (Run::Fill(_) | Run::Refill(_), Some(table)) => {
                Ok(catalog::size(self.session, table).await?.and_then(|size| size.rows))
            }
            _ => Ok(None),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Error> {
        match &step.run {
            Run::Short => Ok(self.short(step).await?),
            Run::Concurrent => {
                self.wait_for_replicas(step).await?;
                Ok(self.concurrent(step).await?)
            }
            Run::Scan => Ok(self.scan(step).await?),
            Run::Fill(fill) => {
                self.fill(step, fill, false).await?;
                Ok(self.short(step).await?)
            }
            Run::Refill(fill) => self.refill(step, fill).await,
        }
    }

    /// Checks that every row is filled, and fills those that are not.
    async fn refill(&mut self, step: &Step, fill: &Fill) -> Result<(), Error> {
        let mut is_hopeless = false;
        loop {
            match self.scan(step).await {
                // A writer that names no organization put a row behind the fill before the check was there.
                Err(Failed::Statement(error)) if is_check(sqlstate(&error).as_deref()) && !is_hopeless => {
                    is_hopeless = match self.fill(step, fill, true).await {
                        // None can come any more, so what a whole fill leaves no other will fill.
                        Ok(filled) => filled == 0,
                        // The check holds for an update that leaves the row as it was, too.
                        Err(error) if is_check(error.sqlstate().as_deref()) => true,
                        Err(error) => return Err(error),
                    };
                }
                Err(Failed::Statement(error)) if is_check(sqlstate(&error).as_deref()) => {
                    return Err(self.unfilled(fill).await?);
                }
                result => return Ok(result?),
            }
        }
    }
}

/// Whether a row does not satisfy a check.
fn is_check(sqlstate: Option<&str>) -> bool {
    sqlstate == Some("23514")
}

/// `time` as a server setting.
fn setting(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
