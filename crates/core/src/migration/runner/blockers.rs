//! Whoever holds a lock in a step's way: looked for and waited for without queuing, so that nobody waits behind us.

use std::time::{Duration, Instant};

use super::{Runner, failed::Failed};
use crate::{db::Context as _, migration::step::Step, progress::Progress};

/// A transaction older than this is waited for, however long it lasts, and named.
const BLOCKER_AGE: Duration = Duration::from_millis(500);
/// How often an older one, or a long statement, is looked at again.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// One that is younger and older than this may be at the beginning of a long one: it is let pass too, since every writer
/// that comes after us would wait for us behind it.
const YOUNG_BLOCKER_AGE: Duration = Duration::from_millis(20);
/// For so long. Then only older ones count: on a table that is never free of younger ones we would wait for ever.
const YOUNG_BLOCKERS_FOR: Duration = Duration::from_secs(3);

impl Runner<'_> {
    /// Waits, without queuing for anything, until no old transaction holds a lock that the step's own conflicts with.
    /// Returns whether an autovacuum that will yield is left in the way; until `peace_until` it waits for that too.
    pub(super) async fn wait_for_blockers(
        &mut self,
        step: &Step,
        peace_until: Option<Instant>,
    ) -> Result<bool, Failed> {
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
                    say_once(self.progress, step, &mut said, &blocker.description);
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
    pub(super) async fn wait(
        &mut self,
        step: &Step,
        time: Duration,
        blockers: &[String],
    ) -> Result<(), Failed> {
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
}

/// A transaction that holds a lock in the way.
#[derive(sqlx::FromRow)]
struct Blocker {
    virtualtransaction: String,
    /// How old it is, where that is known.
    age_ms: Option<i64>,
    yields: bool,
    description: String,
}

/// Says that the step waits for a transaction, unless that was `said`.
pub(super) fn say_once(progress: &dyn Progress, step: &Step, said: &mut Vec<String>, description: &str) {
    // Who it is, without its age.
    let who = description.split(" (").next().unwrap_or(description);
    if !said.iter().any(|one| one == who) {
        said.push(who.to_owned());
        progress.note(&format!("{}: waiting for {description}", step.title));
    }
}
