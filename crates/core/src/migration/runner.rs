//! Runs steps under the lock discipline: look first, ask for a lock only briefly, step back and try again.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{
    MigrationError,
    step::{Run, Step, StepReport},
};
use crate::{
    Error, catalog,
    db::{Context as _, Db, DbError, sqlstate},
    progress::Progress,
    report::{Outcome, Report},
    sql::{QualifiedName, render},
};

/// How long a statement may stand in a lock's queue, where everybody who comes after it waits too.
const LOCK_TIMEOUT: &str = "100ms";
/// The same against autovacuum, where deadlock_timeout (1 s by default) must pass before it yields.
const LOCK_TIMEOUT_AUTOVACUUM: &str = "1500ms";
/// A transaction younger than this is not worth waiting for before asking.
const BLOCKER_AGE_MS: i64 = 500;
/// How often an older one is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a migration did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct MigrationReport {
    /// Which migration.
    pub command: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Steps that the catalog showed to be done before.
    pub done_before: usize,
    /// Steps done by this run, or pending in a dry run.
    pub steps: Vec<StepReport>,
}

impl Report for MigrationReport {
    const SCHEMA: &'static str = "stockfoil.migration/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }
}

/// What running `steps` would do, without doing it.
///
/// # Errors
/// Database errors.
pub(super) async fn plan(
    session: &mut PgConnection,
    command: &'static str,
    steps: Vec<Step>,
) -> Result<MigrationReport, Error> {
    let (steps, done_before) = pending(session, steps).await?;
    let steps = describe(session, &steps).await?;
    Ok(MigrationReport { command, dry_run: true, done_before, steps })
}

/// The steps that the catalog does not show to be done, and the number of those that it does.
async fn pending(connection: &mut PgConnection, steps: Vec<Step>) -> Result<(Vec<Step>, usize), DbError> {
    let total = steps.len();
    let mut pending = Vec::new();
    for step in steps {
        if !step.goal.is_met(connection).await? {
            pending.push(step);
        }
    }
    let done = total - pending.len();
    Ok((pending, done))
}

async fn describe(connection: &mut PgConnection, steps: &[Step]) -> Result<Vec<StepReport>, DbError> {
    let mut reports = Vec::with_capacity(steps.len());
    for step in steps {
        reports.push(report(connection, step, None).await?);
    }
    Ok(reports)
}

/// Runs those of `steps` that the catalog does not show to be done, in order; each is checked again after it.
///
/// # Errors
/// The first step's that fails; those before it stay done.
pub(super) async fn run(
    db: &Db,
    command: &'static str,
    steps: &[Step],
    progress: &dyn Progress,
) -> Result<MigrationReport, Error> {
    let mut session = session(db).await?;
    let mut reports = Vec::with_capacity(steps.len());
    progress.begin("migration steps", Some(steps.len() as u64));
    for step in steps {
        // Asked only now: a step may undo what an earlier one needed for a while.
        if step.goal.is_met(&mut session).await? {
            progress.advance(1);
            continue;
        }
        let started = Instant::now();
        log::info!("{}", step.title);
        match step.run {
            Run::Short => short(&mut session, step, progress).await?,
            Run::Scan => scan(&mut session, step).await?,
            Run::Concurrent => concurrent(&mut session, step, progress).await?,
            Run::Batches => batches(&mut session, step).await?,
        }
        if !step.goal.is_met(&mut session).await? {
            return Err(MigrationError::NotDone { step: step.title.clone() }.into());
        }
        reports.push(report(&mut session, step, Some(started.elapsed())).await?);
        progress.advance(1);
    }
    progress.finish();
    let done_before = steps.len() - reports.len();
    Ok(MigrationReport { command, dry_run: false, done_before, steps: reports })
}

async fn session(db: &Db) -> Result<PgConnection, Error> {
    let mut session = db.session().await?;
    // A pooler in transaction mode gives each transaction another server process: session settings, advisory
    // locks and CREATE INDEX CONCURRENTLY can't be relied on there.
    let mut pids = Vec::new();
    for _ in 0..2 {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut session)
            .await
            .context("look for a pooler")?;
        pids.push(pid);
    }
    if pids.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(MigrationError::Pooler.into());
    }
    // Only a superuser may; without it autovacuum takes its second to yield.
    match sqlx::query("SET deadlock_timeout = '50ms'").execute(&mut session).await {
        Err(error) if sqlstate(&error).as_deref() != Some("42501") => Err(DbError::from(error).into()),
        _ => Ok(session),
    }
}

async fn report(
    connection: &mut PgConnection,
    step: &Step,
    duration: Option<Duration>,
) -> Result<StepReport, DbError> {
    let rows_estimate = match (step.scans, step.tables.first()) {
        (true, Some(table)) => catalog::row_estimate(connection, table).await?,
        _ => None,
    };
    Ok(StepReport {
        title: step.title.clone(),
        tables: step.tables.iter().map(QualifiedName::plain).collect(),
        lock: step.lock.name(),
        scans: step.scans,
        rows_estimate,
        sql: step.statements.iter().map(ToString::to_string).collect(),
        duration_ms: duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// One short transaction, tried until its lock is had.
async fn short(session: &mut PgConnection, step: &Step, progress: &dyn Progress) -> Result<(), DbError> {
    loop {
        let autovacuum =
            if step.lock.blocks_rows() { wait_for_blockers(session, step, progress).await? } else { false };
        match try_short(session, step, autovacuum).await {
            Ok(()) => return Ok(()),
            Err(error) => match sqlstate(&error).as_deref() {
                Some("55P03" | "40P01") => {
                    progress.note(&format!("{}: the lock was not free, trying again", step.title));
                    tokio::time::sleep(jittered()).await;
                }
                _ => return Err(DbError::Statement { context: step.title.clone(), cause: error }),
            },
        }
    }
}

async fn try_short(session: &mut PgConnection, step: &Step, autovacuum: bool) -> Result<(), sqlx::Error> {
    let mut transaction = session.begin().await?;
    let timeout = if autovacuum { LOCK_TIMEOUT_AUTOVACUUM } else { LOCK_TIMEOUT };
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(timeout)
        .execute(&mut *transaction)
        .await?;
    for statement in &step.statements {
        sqlx::raw_sql(statement.sql()).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Waits, without queuing for anything, until no old transaction holds a lock on the step's tables. Returns
/// whether only autovacuum is left in the way.
async fn wait_for_blockers(
    session: &mut PgConnection,
    step: &Step,
    progress: &dyn Progress,
) -> Result<bool, DbError> {
    let tables: Vec<String> = step.tables.iter().map(ToString::to_string).collect();
    let mut said = Vec::new();
    loop {
        let blockers: Vec<(i32, bool, String)> = sqlx::query_as(include_str!("blockers.sql"))
            .bind(&tables)
            .bind(BLOCKER_AGE_MS)
            .fetch_all(&mut *session)
            .await
            .context("look for transactions in the way")?;
        let people: Vec<_> = blockers.iter().filter(|(_, autovacuum, _)| !autovacuum).collect();
        if people.is_empty() {
            return Ok(!blockers.is_empty());
        }
        for (pid, _, description) in people {
            if !said.contains(pid) {
                said.push(*pid);
                progress.note(&format!("{}: waiting for {description}", step.title));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn scan(session: &mut PgConnection, step: &Step) -> Result<(), DbError> {
    for statement in &step.statements {
        sqlx::raw_sql(statement.sql()).execute(&mut *session).await.context(step.title.clone())?;
    }
    Ok(())
}

async fn concurrent(session: &mut PgConnection, step: &Step, progress: &dyn Progress) -> Result<(), DbError> {
    if let Some(index) = &step.leftover {
        let invalid: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT (indisvalid AND indisready))",
        )
        .bind(index.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for an index left over from a killed build")?;
        if invalid {
            progress.note(&format!("{}: removing the INVALID index that an earlier build left", step.title));
            let drop = render("DROP INDEX CONCURRENTLY {index}", &[("index", index)]);
            sqlx::raw_sql(drop.sql()).execute(&mut *session).await.context(step.title.clone())?;
        }
    }
    for statement in &step.statements {
        sqlx::raw_sql(statement.sql()).execute(&mut *session).await.context(step.title.clone())?;
    }
    Ok(())
}

async fn batches(session: &mut PgConnection, step: &Step) -> Result<(), DbError> {
    let Some((batch, rest)) = step.statements.split_first() else { return Ok(()) };
    while step.query(batch).execute(&mut *session).await.context(step.title.clone())?.rows_affected() > 0 {}
    for statement in rest {
        sqlx::raw_sql(statement.sql()).execute(&mut *session).await.context(step.title.clone())?;
    }
    Ok(())
}

/// 1 to 2 s, so that two waiters do not come back together.
fn jittered() -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    Duration::from_millis(1000 + u64::from(nanos % 1000))
}
