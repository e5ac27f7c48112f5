//! Runs steps under the lock discipline: look first, ask for a lock only briefly, step back and try again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{
    MigrationError,
    preflight::Finding,
    step::{Lock, Run, Step, StepReport, Work},
};
use crate::{
    Error, catalog,
    db::{self, Context as _, Db, DbError, gave_way, sqlstate},
    history,
    progress::Progress,
    report::{Outcome, Report},
    sql::{QualifiedName, Statement, render},
};

/// How long a statement may stand in a lock's queue, where everybody who comes after it waits too: at a step's first
/// attempt, twice as long at each that follows, up to the longest.
const LOCK_TIMEOUT_FIRST: Duration = Duration::from_millis(25);
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// The same against autovacuum, where deadlock_timeout (1 s by default) must pass before it yields.
const LOCK_TIMEOUT_AUTOVACUUM: Duration = Duration::from_millis(1500);
/// When an autovacuum in the way is told to yield, where that may be set.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(10);
/// How long an autovacuum that did not yield is left in peace.
const AUTOVACUUM_PEACE: Duration = Duration::from_secs(10);
/// A transaction older than this is waited for, however long it lasts, and named.
const BLOCKER_AGE: Duration = Duration::from_millis(500);
/// How often an older one, or a long statement, is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// One that is younger and older than this may be at the beginning of a long one: it is let pass too, since every writer
/// that comes after us would wait for us behind it.
const YOUNG_BLOCKER_AGE: Duration = Duration::from_millis(20);
/// For so long. Then only older ones count: on a table that is never free of younger ones we would wait for ever.
const YOUNG_BLOCKERS_FOR: Duration = Duration::from_secs(3);
/// How long a run waits for another one's lock: longer than a server process needs to notice that its client was
/// killed.
pub(super) const RUN_LOCK_WAIT: Duration = Duration::from_secs(10);

/// A time that a person gives, such as `30s` or `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockWait(pub Duration);

impl std::str::FromStr for LockWait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|error| format!("{text:?} is no time ({error}); give one such as 30s or 5m"))
    }
}

/// How the steps are run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// How long one step may wait for other sessions; without end where it is not said.
    pub lock_wait: Option<Duration>,
}

/// What inserts still relied on a table's default organization.
#[derive(Debug, Clone, Serialize)]
pub struct DefaultUse {
    /// The table.
    pub table: String,
    /// How many rows were inserted without an organization.
    pub inserts: i64,
    /// Since when they are counted.
    pub since: Option<chrono::DateTime<chrono::Utc>>,
}

impl std::fmt::Display for DefaultUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, inserts, since } = self;
        write!(f, "{table}: {inserts} inserts named no organization")?;
        match since {
            Some(since) => write!(f, " since {}", since.format("%Y-%m-%d %H:%M:%S UTC")),
            None => Ok(()),
        }
    }
}

/// What a migration did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct MigrationReport {
    /// Which migration.
    pub command: &'static str,
    /// Whether it was taken back.
    pub rollback: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What stands in the way, in a dry run; a real one is refused.
    pub obstacles: Vec<Finding>,
    /// What the operator should know, though it stands in nobody's way.
    pub warnings: Vec<String>,
    /// Steps that the catalog showed to be done before.
    pub done_before: usize,
    /// Steps done by this run, or pending in a dry run.
    pub steps: Vec<StepReport>,
    /// Inserts that relied on the default organization, where that is ended.
    pub default_uses: Vec<DefaultUse>,
}

impl Report for MigrationReport {
    const SCHEMA: &'static str = "stockfoil.migration/2";

    fn outcome(&self) -> Outcome {
        if self.obstacles.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}

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
    /// Inserts that relied on the default organization.
    pub(super) default_uses: Vec<DefaultUse>,
}

impl Task {
    /// `steps` of `command`, with nothing in the way.
    pub(super) fn new(command: &'static str, steps: Vec<Step>) -> Self {
        Self {
            command,
            rollback: false,
            obstacles: Vec::new(),
            warnings: Vec::new(),
            steps,
            default_uses: Vec::new(),
        }
    }

    fn report(self, dry_run: bool, done_before: usize, steps: Vec<StepReport>) -> MigrationReport {
        MigrationReport {
            command: self.command,
            rollback: self.rollback,
            dry_run,
            obstacles: self.obstacles,
            warnings: self.warnings,
            done_before,
            steps,
            default_uses: self.default_uses,
        }
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
    .execute(session)
    .await
    .context("prepare the session")?;
    Ok(())
}

/// What running `task` would do, without doing it.
///
/// # Errors
/// Database errors.
pub(super) async fn plan(session: &mut PgConnection, task: Task) -> Result<MigrationReport, Error> {
    let mut reports = Vec::new();
    for step in &task.steps {
        if !step.goal.is_met(session).await? {
            reports.push(describe(session, step).await?);
        }
    }
    let done_before = task.steps.len() - reports.len();
    Ok(task.report(true, done_before, reports))
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
    let mut runner = Runner::new(db, session, task.command, patience, progress).await?;
    let result = runner.steps(&task.steps).await;
    let Runner { session, recorder, reports, .. } = runner;
    let total = task.steps.len();
    let result = result.map(|()| {
        let done_before = total - reports.len();
        task.report(false, done_before, reports)
    });
    recorder.finish(session, result).await
}

struct Runner<'a> {
    db: &'a Db,
    session: &'a mut PgConnection,
    pid: i32,
    /// Whether deadlock_timeout could be lowered, so that autovacuum yields within [`LOCK_TIMEOUT`].
    is_quick: bool,
    patience: Patience,
    progress: &'a dyn Progress,
    recorder: Recorder,
    reports: Vec<StepReport>,
    /// How long the current step has waited for others.
    waited: Duration,
    /// When transactions were first seen in the way, by their virtual ids.
    seen: HashMap<String, Instant>,
}

impl<'a> Runner<'a> {
    async fn new(
        db: &'a Db,
        session: &'a mut PgConnection,
        command: &'static str,
        patience: Patience,
        progress: &'a dyn Progress,
    ) -> Result<Self, DbError> {
        // Below the lock timeout, so that an autovacuum in the way is told to yield before the lock is given up. Only a
        // superuser may; without it autovacuum takes its second to yield.
        let quick = sqlx::query("SELECT set_config('deadlock_timeout', $1, false)")
            .bind(setting(DEADLOCK_TIMEOUT))
            .execute(&mut *session)
            .await;
        let is_quick = match quick {
            Ok(_) => true,
            Err(error) if sqlstate(&error).as_deref() == Some("42501") => false,
            Err(error) => return Err(error.into()),
        };
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *session)
            .await
            .context("ask for the session's pid")?;
        let recorder = Recorder { command, run: None, steps: Vec::new() };
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
            self.progress.begin(&position, rows.and_then(|rows| u64::try_from(rows).ok()));
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
            Run::Concurrent => Ok(self.concurrent(step).await?),
            Run::Scan => Ok(self.scan(step).await?),
            Run::Fill(fill) => {
                fill.run(self.session, &step.title, false, self.progress).await?;
                Ok(self.short(step).await?)
            }
            Run::Refill(fill) => loop {
                match self.scan(step).await {
                    // A writer that names no organization put a row behind the fill before the check was there.
                    Err(Failed::Statement(error)) if sqlstate(&error).as_deref() == Some("23514") => {
                        fill.run(self.session, &step.title, true, self.progress).await?;
                    }
                    result => return Ok(result?),
                }
            },
        }
    }

    /// One short transaction, tried until its lock is had.
    async fn short(&mut self, step: &Step) -> Result<(), Failed> {
        // Against an autovacuum that needs its second to yield there is one attempt; if that fails it is waited for,
        // for a while.
        let mut peace_until = None;
        let mut patience = LOCK_TIMEOUT_FIRST;
        loop {
            let yielding = self.wait_for_blockers(step, peace_until).await?;
            let timeout = match (yielding, self.is_quick) {
                (true, false) => {
                    peace_until = Some(Instant::now() + AUTOVACUUM_PEACE);
                    LOCK_TIMEOUT_AUTOVACUUM
                }
                (true, true) => LOCK_TIMEOUT,
                (false, _) => patience,
            };
            match self.try_short(step, timeout).await {
                Ok(()) => return Ok(()),
                Err(error) if gave_way(&error) => {
                    patience = (patience * 2).min(LOCK_TIMEOUT);
                    self.progress.note(&format!("{}: the lock was not free, trying again", step.title));
                    self.wait(step, jittered(), &[]).await?;
                }
                Err(error) => return Err(Failed::of(step, error)),
            }
        }
    }

    async fn try_short(&mut self, step: &Step, timeout: Duration) -> Result<(), sqlx::Error> {
        let mut transaction = self.session.begin().await?;
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(setting(timeout))
            .execute(&mut *transaction)
            .await?;
        for statement in step.remember.iter().chain(&step.statements) {
            sqlx::raw_sql(statement.sql()).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Waits, without queuing for anything, until no old transaction holds a lock that the step's own conflicts with.
    /// Returns whether an autovacuum that will yield is left in the way; until `peace_until` it waits for that too.
    async fn wait_for_blockers(&mut self, step: &Step, peace_until: Option<Instant>) -> Result<bool, Failed> {
        if !step.lock.blocks_rows() {
            return Ok(false);
        }
        let tables: Vec<String> = step.tables.iter().map(ToString::to_string).collect();
        let mut said = Vec::new();
        let began = Instant::now();
        let mut is_first_look = true;
        loop {
            let mut blockers: Vec<Blocker> = sqlx::query_as(include_str!("blockers.sql"))
                .bind(&tables)
                .bind(step.lock.conflicts())
                .fetch_all(&mut *self.session)
                .await
                .context("look for transactions in the way")?;
            let has_young = blockers.iter().any(|blocker| !self.is_old(blocker, BLOCKER_AGE));
            if has_young && std::mem::take(&mut is_first_look) {
                tokio::time::sleep(YOUNG_BLOCKER_AGE).await;
                continue;
            }
            let age = if began.elapsed() < YOUNG_BLOCKERS_FOR { YOUNG_BLOCKER_AGE } else { BLOCKER_AGE };
            blockers.retain(|blocker| self.is_old(blocker, age));
            let at_peace = peace_until.is_some_and(|until| Instant::now() < until);
            let waiting: Vec<_> = blockers.iter().filter(|blocker| !blocker.yields || at_peace).collect();
            if waiting.is_empty() {
                return Ok(!blockers.is_empty());
            }
            let names: Vec<String> = waiting.iter().map(|blocker| blocker.description.clone()).collect();
            let mut pause = YOUNG_BLOCKER_AGE;
            for blocker in waiting {
                if self.is_old(blocker, BLOCKER_AGE) {
                    pause = LOOK_EVERY;
                    say_once(self.progress, step, &mut said, blocker.pid, &blocker.description);
                }
            }
            self.wait(step, pause, &names).await?;
        }
    }

    /// Whether a transaction is of an `age` worth waiting for; where its age is hidden, it is as old as it was seen for.
    fn is_old(&mut self, blocker: &Blocker, age: Duration) -> bool {
        let now = Instant::now();
        let seen = self.seen.entry(blocker.virtualtransaction.clone()).or_insert(now);
        let known =
            blocker.age_ms.map_or(Duration::ZERO, |ms| Duration::from_millis(ms.try_into().unwrap_or(0)));
        known.max(now.duration_since(*seen)) >= age
    }

    /// Waits for others, but no longer than the operator has patience.
    async fn wait(&mut self, step: &Step, time: Duration, blockers: &[String]) -> Result<(), Failed> {
        if self.patience.lock_wait.is_some_and(|patience| self.waited >= patience) {
            return Err(Failed::NoPatience(step.title.clone(), self.waited, blockers.join(", ")));
        }
        let time = match self.patience.lock_wait {
            Some(patience) => time.min(patience.saturating_sub(self.waited)),
            None => time,
        };
        tokio::time::sleep(time).await;
        self.waited += time;
        Ok(())
    }

    async fn scan(&mut self, step: &Step) -> Result<(), Failed> {
        for statement in step.remember.iter().chain(&step.statements) {
            self.watched(step, statement).await?;
        }
        Ok(())
    }

    async fn concurrent(&mut self, step: &Step) -> Result<(), Failed> {
        for statement in &step.remember {
            sqlx::raw_sql(statement.sql())
                .execute(&mut *self.session)
                .await
                .map_err(|error| Failed::of(step, error))?;
        }
        self.remove_leftover(step).await?;
        for statement in &step.statements {
            self.watched(step, statement).await?;
        }
        Ok(())
    }

    async fn remove_leftover(&mut self, step: &Step) -> Result<(), Failed> {
        let Some(index) = &step.leftover else { return Ok(()) };
        let invalid: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT (indisvalid AND indisready))",
        )
        .bind(index.to_string())
        .fetch_one(&mut *self.session)
        .await
        .context("look for an index left over from a killed build")?;
        if invalid {
            let note = "removing the INVALID index that an earlier build left";
            self.progress.note(&format!("{}: {note}", step.title));
            let drop = render("DROP INDEX CONCURRENTLY {index}", &[("index", index)]);
            self.watched(step, &drop).await?;
        }
        Ok(())
    }

    /// Runs a statement that may last, and meanwhile says how far it is and whom it waits for.
    async fn watched(&mut self, step: &Step, statement: &Statement) -> Result<(), Failed> {
        let mut watcher = self.db.session().await?;
        let mut said = Vec::new();
        let mut watch = Watch { phase: String::new(), done: 0 };
        loop {
            let result = {
                let work = sqlx::raw_sql(statement.sql()).execute(&mut *self.session);
                tokio::pin!(work);
                loop {
                    tokio::select! {
                        result = &mut work => break result,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                    let blockers = watch.look(&mut watcher, self.pid, step, self.progress, &mut said).await?;
                    if blockers.is_empty() {
                        continue;
                    }
                    self.waited += LOOK_EVERY;
                    if self.patience.lock_wait.is_some_and(|patience| self.waited >= patience) {
                        cancel(&mut watcher, self.pid).await?;
                        // Whatever it says now: it was told to stop.
                        let _ = work.await;
                        let blockers = blockers.join(", ");
                        return Err(Failed::NoPatience(step.title.clone(), self.waited, blockers));
                    }
                }
            };
            match result {
                Ok(_) => return Ok(()),
                // A deadlock with a session that takes its locks in another order: the statement did nothing that a
                // second attempt could not do again, but for an index that it left INVALID.
                Err(error) if gave_way(&error) => {
                    self.progress.note(&format!("{}: the lock was not free, trying again", step.title));
                    self.wait(step, jittered(), &[]).await?;
                    if let Some(index) = &step.leftover {
                        let drop = render("DROP INDEX CONCURRENTLY IF EXISTS {index}", &[("index", index)]);
                        sqlx::raw_sql(drop.sql())
                            .execute(&mut *self.session)
                            .await
                            .map_err(|error| Failed::of(step, error))?;
                    }
                }
                Err(error) => return Err(Failed::of(step, error)),
            }
        }
    }
}

/// A transaction that holds a lock in the way.
#[derive(sqlx::FromRow)]
struct Blocker {
    pid: i32,
    virtualtransaction: String,
    /// How old it is, where that is known.
    age_ms: Option<i64>,
    yields: bool,
    description: String,
}

/// Where a long statement is.
#[derive(sqlx::FromRow)]
struct Seen {
    phase: String,
    done: Option<i64>,
    total: Option<i64>,
    blockers: Vec<String>,
}

/// The progress of one long statement.
struct Watch {
    phase: String,
    done: i64,
}

impl Watch {
    /// Looks once; returns whom the statement waits for.
    async fn look(
        &mut self,
        watcher: &mut PgConnection,
        pid: i32,
        step: &Step,
        progress: &dyn Progress,
        said: &mut Vec<i32>,
    ) -> Result<Vec<String>, DbError> {
        let seen: Option<Seen> = sqlx::query_as(include_str!("watch.sql"))
            .bind(pid)
            .fetch_optional(watcher)
            .await
            .context("look how far the statement is")?;
        let Some(Seen { phase, done, total, blockers }) = seen else { return Ok(Vec::new()) };
        if phase != self.phase {
            self.done = 0;
            let total = total.and_then(|total| u64::try_from(total).ok()).filter(|total| *total > 0);
            progress.begin(&format!("{}: {phase}", step.title), total);
            self.phase = phase;
        }
        let done = done.unwrap_or(0);
        progress.advance(u64::try_from(done - self.done).unwrap_or(0));
        self.done = self.done.max(done);
        for description in &blockers {
            let blocker = description.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).unwrap_or(0);
            say_once(progress, step, said, blocker, description);
        }
        Ok(blockers)
    }
}

fn say_once(progress: &dyn Progress, step: &Step, said: &mut Vec<i32>, pid: i32, description: &str) {
    if !said.contains(&pid) {
        said.push(pid);
        progress.note(&format!("{}: waiting for {description}", step.title));
    }
}

async fn cancel(watcher: &mut PgConnection, pid: i32) -> Result<(), DbError> {
    sqlx::query("SELECT pg_cancel_backend($1)")
        .bind(pid)
        .execute(watcher)
        .await
        .context("cancel the statement that waits")?;
    Ok(())
}

/// Why a step did not come about.
enum Failed {
    /// Its statement failed.
    Statement(sqlx::Error),
    /// Its statement failed, and what it was.
    Db(DbError),
    /// Others were in the way for too long.
    NoPatience(String, Duration, String),
}

impl Failed {
    fn of(step: &Step, error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            Some("23514") => Self::Statement(error),
            _ => Self::Db(DbError::Statement { context: step.title.clone(), cause: error }),
        }
    }
}

impl From<DbError> for Failed {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Statement(error) => DbError::Query(error).into(),
            Failed::Db(error) => error.into(),
            Failed::NoPatience(step, waited, blockers) => {
                let blockers = if blockers.is_empty() { "short transactions".to_owned() } else { blockers };
                MigrationError::LockWait { step, seconds: waited.as_secs(), blockers }.into()
            }
        }
    }
}

/// Writes what is done to `stockfoil.run`, as soon as that is there and for as long as it is.
struct Recorder {
    command: &'static str,
    run: Option<history::RunId>,
    steps: Vec<serde_json::Value>,
}

impl Recorder {
    async fn step(&mut self, session: &mut PgConnection, report: &StepReport) -> Result<(), DbError> {
        self.steps.push(serde_json::json!({
            "title": report.title, "duration_ms": report.duration_ms, "waited_ms": report.waited_ms,
        }));
        if !history::is_there(session).await? {
            return Ok(());
        }
        let run = match self.run {
            Some(run) => run,
            None => *self.run.insert(history::start(session, self.command).await?),
        };
        history::note(session, run, &serde_json::json!({ "steps": self.steps })).await
    }

    async fn finish(
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

async fn describe(connection: &mut PgConnection, step: &Step) -> Result<StepReport, Error> {
    let size = match (step.work, step.tables.last()) {
        (Work::Catalog, _) | (_, None) => None,
        (_, Some(table)) => catalog::size(connection, table).await?,
    };
    let mut statements = step.statements.clone();
    if let Run::Fill(fill) = &step.run {
        let batches = fill.sample(connection).await?;
        statements = batches.into_iter().chain(statements).collect();
    }
    Ok(StepReport {
        title: step.title.clone(),
        tables: step.tables.iter().map(QualifiedName::plain).collect(),
        lock: step.lock.name(),
        work: step.work,
        rows_estimate: size.and_then(|size| size.rows),
        estimate_ms: Some(estimate_ms(step, size)),
        sql: statements.iter().map(ToString::to_string).collect(),
        duration_ms: None,
        waited_ms: None,
    })
}

/// About how long a step lasts once it has its lock: what two slow cores do, so that it is rarely longer.
fn estimate_ms(step: &Step, size: Option<catalog::Size>) -> i64 {
    const BYTES_PER_MS: i64 = 200_000;
    const SCANNED_ROWS_PER_MS: i64 = 1_500;
    const INDEXED_ROWS_PER_MS: i64 = 300;
    const FILLED_ROWS_PER_MS: i64 = 30;
    let short = if step.lock == Lock::None { 1 } else { 10 };
    let Some(size) = size else { return short };
    // A table that was never analyzed: rows of a hundred bytes.
    let rows = size.rows.unwrap_or(size.bytes / 100);
    short
        + match step.work {
            Work::Catalog => 0,
            Work::Read => (size.bytes / BYTES_PER_MS).max(rows / SCANNED_ROWS_PER_MS),
            // The heap is read twice, and the index's order is made once.
            Work::Index => 2 * size.bytes / BYTES_PER_MS + rows / INDEXED_ROWS_PER_MS,
            Work::Fill => size.bytes / BYTES_PER_MS + rows / FILLED_ROWS_PER_MS,
        }
}

/// `time` as a server setting.
fn setting(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// 1 to 2 s.
pub(super) fn jittered() -> Duration {
    db::jittered(1000, 1000)
}
