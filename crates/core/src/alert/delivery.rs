//! Trying to reach a channel, again where that may help, for a bounded time.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

/// The pause before the second attempt; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that a server can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Attempts for a message, as long as the channel answers.
const ATTEMPTS: u32 = 3;

/// One attempt.
pub(super) type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// Why an attempt failed. Never holds an address, a key, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refusal {
    text: String,
    /// Whether another attempt may help.
    may_pass: bool,
    /// When to try again, if the channel said so.
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Another attempt may help.
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), may_pass: true, retry_after: None }
    }

    /// No other attempt will do better.
    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self { text: text.into(), may_pass: false, retry_after: None }
    }

    /// No answer came in time.
    pub(super) fn timeout(timeout: Duration) -> Self {
        let timeout = Duration::from_millis(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        Self::passing(format!("gave no answer within {}", humantime::format_duration(timeout)))
    }

    /// How long to wait before the next attempt, if the channel does not say: `pause`.
    fn wait(&self, pause: Duration) -> Duration {
        self.retry_after.unwrap_or(pause).min(PAUSE_MAX)
    }

    /// Another attempt may help, but not before `pause`.
    pub(super) fn retry_after(self, pause: Option<Duration>) -> Self {
        Self { retry_after: pause, ..self }
    }
}

/// How long one channel is tried in one run.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Duration,
    give_up_after: Duration,
    deadline: Instant,
    attempts: u32,
}

impl Patience {
    /// Each attempt may take `timeout`, all of them together `give_up_after` from now.
    pub(super) fn new(timeout: Duration, give_up_after: Duration) -> Self {
        let deadline = Instant::now() + give_up_after;
        Self { timeout, give_up_after, deadline, attempts: ATTEMPTS }
    }

    /// Makes attempts until one succeeds, the failure is lasting, or the time is over. A channel that failed is tried
    /// only once for each later message.
    ///
    /// # Errors
    /// The last attempt's refusal.
    pub(super) async fn persist<'a>(
        &mut self,
        attempt: impl Fn(Duration) -> Attempt<'a>,
    ) -> Result<(), Refusal> {
        let mut pause = PAUSE;
        for remaining in (0..self.attempts).rev() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let timeout = self.timeout.min(left);
            // The channel keeps the time itself; this holds where a resolver or a proxy does not let it.
            let result = timeout_at(Instant::now() + timeout, attempt(timeout)).await;
            let refusal = match result.unwrap_or_else(|_| Err(Refusal::timeout(timeout))) {
                Ok(()) => {
                    self.attempts = ATTEMPTS;
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            self.attempts = 1;
            let wait = refusal.wait(pause);
            if remaining == 0 || !refusal.may_pass || Instant::now() + wait >= self.deadline {
                return Err(refusal);
            }
            sleep(wait).await;
            pause *= 2;
        }
        let given_up = humantime::format_duration(self.give_up_after);
        Err(Refusal::lasting(format!("was given up: it took {given_up} in this run already")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Lets `patience` meet a channel that gives one of `answers` an attempt (none: silence), and counts.
    async fn persist(
        patience: &mut Patience,
        answers: &[Option<Result<(), Refusal>>],
    ) -> (Result<(), Refusal>, u32) {
        let count = AtomicU32::new(0);
        let result = patience
            .persist(|_| {
                let answer = answers[count.fetch_add(1, Ordering::Relaxed) as usize].clone();
                Box::pin(async move {
                    match answer {
                        Some(answer) => answer,
                        None => std::future::pending().await,
                    }
                })
            })
            .await;
        (result, count.into_inner())
    }

    fn busy() -> Option<Result<(), Refusal>> {
        Some(Err(Refusal::passing("busy").retry_after(Some(Duration::ZERO))))
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let mut patience = Patience::new(60 * SECOND, 60 * SECOND);
        assert_eq!(persist(&mut patience, &[busy(), busy(), Some(Ok(()))]).await, (Ok(()), 3));
        assert_eq!(persist(&mut patience, &[busy(), busy(), busy()]).await.1, 3);
        // Once it failed, it gets one attempt a message, until it answers again.
        assert_eq!(persist(&mut patience, &[busy()]).await.1, 1);
        assert_eq!(persist(&mut patience, &[Some(Ok(()))]).await, (Ok(()), 1));
        let gone = || Err(Refusal::lasting("gone"));
        assert_eq!(persist(&mut patience, &[busy(), Some(gone())]).await, (gone(), 2));
    }

    #[tokio::test]
    async fn a_channel_that_took_all_of_its_time_is_given_up() {
        let mut patience = Patience::new(60 * SECOND, SECOND / 10);
        // The attempt itself gets no longer than what is left, and there is no time for a second one.
        let (result, count) = persist(&mut patience, &[None]).await;
        assert!(result.unwrap_err().to_string().starts_with("gave no answer within "));
        assert_eq!(count, 1);
        let (result, count) = persist(&mut patience, &[]).await;
        assert_eq!(result.unwrap_err().to_string(), "was given up: it took 100ms in this run already");
        assert_eq!(count, 0);
    }

    #[test]
    fn a_channel_cannot_ask_for_a_pause_without_end() {
        let busy = Refusal::passing("busy");
        assert_eq!(busy.wait(PAUSE), PAUSE);
        assert_eq!(busy.clone().retry_after(Some(SECOND)).wait(PAUSE), SECOND);
        assert_eq!(busy.retry_after(Some(3600 * SECOND)).wait(PAUSE), PAUSE_MAX);
    }
}
