//! A step that may last, outside a transaction: meanwhile it is watched how far it is and whom it waits for.

use sqlx::PgConnection;

use super::{
    Runner,
    blockers::{LOOK_EVERY, say_once},
    failed::Failed,
};
use crate::{
    db::{Context as _, DbError, gave_way},
    migration::{patience::jittered, step::Step},
    progress::Progress,
    sql::{Statement, render},
};

impl Runner<'_> {
    pub(super) async fn scan(&mut self, step: &Step) -> Result<(), Failed> {
        for statement in step.remember.iter().chain(&step.statements) {
            self.watched(step, statement).await?;
        }
        Ok(())
    }

    pub(super) async fn concurrent(&mut self, step: &Step) -> Result<(), Failed> {
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
        let mut watch = Watch::default();
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

/// Where a long statement is.
#[derive(sqlx::FromRow)]
struct Seen {
    phase: String,
    done: Option<i64>,
    total: Option<i64>,
    blockers: Vec<String>,
}

/// The progress of one long statement.
#[derive(Default)]
pub(super) struct Watch {
    phase: String,
    done: i64,
}

impl Watch {
    /// Looks once; returns whom the statement waits for.
    pub(super) async fn look(
        &mut self,
        watcher: &mut PgConnection,
        pid: i32,
        step: &Step,
        progress: &dyn Progress,
        said: &mut Vec<String>,
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
            say_once(progress, step, said, description);
        }
        Ok(blockers)
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
