//! A step of one short transaction: it asks for its lock only briefly, steps back, and tries again.

use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::{Runner, failed::Failed, setting};
use crate::{
    db::gave_way,
    migration::{
        operations,
        patience::{Patience, jittered},
        privileges,
        step::{Lock, Step},
    },
    sql::{Definition, Fixed, Statement, render},
};

/// How long a step may stand in a lock's queue, where everybody who comes after it waits too: at its first attempt, twice
/// as long at each that follows, up to the longest.
const LOCK_TIMEOUT_FIRST: Duration = Duration::from_millis(25);
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// So many attempts fail before the budget for longer ones is touched.
const ATTEMPTS: u32 = 4;
/// The longest of those: below deadlock_timeout (1 s by default), after which a writer behind us may be the one to fail.
const LOCK_TIMEOUT_BUDGETED: Duration = Duration::from_millis(900);
/// The same against autovacuum, where deadlock_timeout (1 s by default) must pass before it yields.
const LOCK_TIMEOUT_AUTOVACUUM: Duration = Duration::from_millis(1500);
/// What is left for a later statement of a step at least: its lock is as good as always free, or one that it has.
const SHORTEST: Duration = Duration::from_millis(10);
/// How long an autovacuum that did not yield is left in peace.
const AUTOVACUUM_PEACE: Duration = Duration::from_secs(10);

impl Runner<'_> {
    /// One short transaction, tried until its lock is had.
    pub(super) async fn short(&mut self, step: &Step) -> Result<(), Failed> {
        // Against an autovacuum that needs its second to yield there is one attempt; if that fails it is waited for,
        // for a while.
        let mut peace_until = None;
        let mut queue = Queue::new(&self.patience);
        loop {
            let yielding = self.wait_for_blockers(step, peace_until).await?;
            let timeout = match (yielding, self.is_quick) {
                (true, false) => {
                    peace_until = Some(Instant::now() + AUTOVACUUM_PEACE);
                    LOCK_TIMEOUT_AUTOVACUUM
                }
                (true, true) => queue.longest,
                (false, _) => queue.timeout(),
            };
            let asked = Instant::now();
            match self.try_short(step, timeout, queue.order()).await {
                Ok(()) => return Ok(()),
                Err(error) if gave_way(&error) => {
                    queue.failed(asked.elapsed());
                    let next = match queue.timeout() {
                        timeout if timeout > queue.longest => {
                            format!(", next for up to {} ms of its budget", timeout.as_millis())
                        }
                        _ => String::new(),
                    };
                    self.progress.note(&format!("{}: the lock was not free, trying again{next}", step.title));
                    self.wait(step, jittered(), &[]).await?;
                }
                Err(error) => return Err(Failed::of(step, error)),
            }
        }
    }

    /// One attempt, which stands in queues for `timeout` in all.
    async fn try_short(&mut self, step: &Step, timeout: Duration, order: Order) -> Result<(), sqlx::Error> {
        let until = Instant::now() + timeout;
        let mut transaction = self.session.begin().await?;
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(setting(timeout))
            .execute(&mut *transaction)
            .await?;
        let there = privileges::there(&mut transaction).await?;
        let busy = match order {
            Order::QuietFirst => None,
            Order::BusyFirst => lock_busy(step),
        };
        for statement in busy.iter().chain(&step.remember).chain(&step.statements) {
            // What the first has locked is locked while a second one waits.
            let left = until.saturating_duration_since(Instant::now()).max(SHORTEST);
            let left = Definition::number(usize::try_from(left.as_millis()).unwrap_or(usize::MAX));
            let within = render(
                "SET LOCAL lock_timeout = {left}; {statement}",
                &[("left", &left), ("statement", statement)],
            );
            sqlx::raw_sql(within.sql()).execute(&mut *transaction).await?;
        }
        privileges::close(&mut transaction, &there, &step.makes).await?;
        if let Some(operations) = &self.operations {
            operations::hand_over(&mut transaction, &there, &step.makes, operations).await?;
        }
        for grant in &step.grants {
            sqlx::raw_sql(grant.sql()).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}

/// Which of two tables an attempt locks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The busy one is locked for the shortest time. While writers of it go on to the quiet one (for their foreign key),
    /// one always waits for us there, and holds what we wait for.
    QuietFirst,
    /// Writers that hold the busy one come to their end, and others wait for it.
    BusyFirst,
}

/// What locks the last of several tables of a step before the others.
fn lock_busy(step: &Step) -> Option<Statement> {
    let [_, .., busy] = step.tables.as_slice() else { return None };
    if step.lock == Lock::None {
        return None;
    }
    let mode = Fixed(step.lock.name());
    Some(render("LOCK TABLE {busy} IN {mode} MODE", &[("busy", busy), ("mode", &mode)]))
}

/// How long a step stands in a lock's queue, from attempt to attempt.
struct Queue {
    next: Duration,
    /// Without the budget.
    longest: Duration,
    budget: Duration,
    failed: u32,
}

impl Queue {
    fn new(patience: &Patience) -> Self {
        let longest = patience.lock_timeout.unwrap_or(LOCK_TIMEOUT);
        let budget = patience.lock_budget.unwrap_or_default();
        Self { next: LOCK_TIMEOUT_FIRST.min(longest), longest, budget, failed: 0 }
    }

    /// Of the next attempt.
    fn timeout(&self) -> Duration {
        let budgeted =
            if self.failed < ATTEMPTS { Duration::ZERO } else { self.budget.min(LOCK_TIMEOUT_BUDGETED) };
        self.next.min(self.longest.max(budgeted))
    }

    /// Of the next attempt: each in turn, so that neither kind of writer keeps the step from its end.
    fn order(&self) -> Order {
        if self.failed.is_multiple_of(2) { Order::QuietFirst } else { Order::BusyFirst }
    }

    /// An attempt stood in queues for `stood` in vain.
    fn failed(&mut self, stood: Duration) {
        let timeout = self.timeout();
        if timeout > self.longest {
            self.budget = self.budget.saturating_sub(stood);
        }
        self.failed += 1;
        self.next = timeout * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(patience: &Patience, attempts: usize) -> Vec<u128> {
        let mut queue = Queue::new(patience);
        let mut seen = Vec::new();
        for _ in 0..attempts {
            let timeout = queue.timeout();
            seen.push(timeout.as_millis());
            queue.failed(timeout);
        }
        seen
    }

    #[test]
    fn attempts_grow_to_the_timeout_and_past_it_only_within_the_budget() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let plain = Patience::default();
        assert_eq!(timeouts(&plain, 10), [25, 50, 100, 100, 100, 100, 100, 100, 100, 100]);
        let short = Patience { lock_timeout: ms(10), ..plain };
        assert_eq!(timeouts(&short, 3), [10, 10, 10]);
        let long = Patience { lock_timeout: ms(150), ..plain };
        assert_eq!(timeouts(&long, 5), [25, 50, 100, 150, 150]);
        let budgeted = Patience { lock_budget: ms(2000), ..plain };
        // 200 + 400 + 800 are spent; then what is left of it.
        assert_eq!(timeouts(&budgeted, 9), [25, 50, 100, 100, 200, 400, 800, 600, 100]);
    }
}
