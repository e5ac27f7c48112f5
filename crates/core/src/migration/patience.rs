//! How long a migration waits for others: for a run, for a step's locks, and before it tries again.

use std::time::Duration;

use crate::db;

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

impl Patience {
    /// As long as `wait`, where a person gives that.
    pub fn of(wait: Option<LockWait>) -> Self {
        Self { lock_wait: wait.map(|wait| wait.0) }
    }
}

/// How long a step that did not get its lock steps back: 1 to 2 s.
pub(super) fn jittered() -> Duration {
    db::jittered(1000, 1000)
}
