//! A step of one short transaction: it asks for its lock only briefly, steps back, and tries again.

use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::{Runner, failed::Failed, setting};
use crate::{
    db::gave_way,
    migration::{patience::jittered, privileges, step::Step},
};

/// How long a statement may stand in a lock's queue, where everybody who comes after it waits too: at a step's first
/// attempt, twice as long at each that follows, up to the longest.
const LOCK_TIMEOUT_FIRST: Duration = Duration::from_millis(25);
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// The same against autovacuum, where deadlock_timeout (1 s by default) must pass before it yields.
const LOCK_TIMEOUT_AUTOVACUUM: Duration = Duration::from_millis(1500);
/// How long an autovacuum that did not yield is left in peace.
const AUTOVACUUM_PEACE: Duration = Duration::from_secs(10);

impl Runner<'_> {
    /// One short transaction, tried until its lock is had.
    pub(super) async fn short(&mut self, step: &Step) -> Result<(), Failed> {
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
        let there = privileges::there(&mut transaction).await?;
        for statement in step.remember.iter().chain(&step.statements) {
            sqlx::raw_sql(statement.sql()).execute(&mut *transaction).await?;
        }
        privileges::close(&mut transaction, &there, &step.makes).await?;
        for grant in &step.grants {
            sqlx::raw_sql(grant.sql()).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}
