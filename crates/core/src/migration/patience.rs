//! How long a migration waits for others: for a run, for a step's locks, and before it tries again.

use std::time::Duration;

use crate::db;

/// How long a run waits for another one's lock: longer than a server process needs to notice that its client was
/// killed.
pub(super) const RUN_LOCK_WAIT: Duration = Duration::from_secs(10);

/// A time that a person gives, such as `30s` or `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|error| format!("{text:?} is no time ({error}); give one such as 30s or 5m"))
    }
}

/// How the steps are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// How long one step may wait for other sessions; without end where it is not said.
    pub lock_wait: Option<Duration>,
    /// How long a step may stand in a lock's queue at a time, where everybody who comes after it waits too.
    pub lock_timeout: Option<Duration>,
    /// How long a step may stand in queues in all, beyond its `lock_timeout`, once that has not sufficed many times.
    pub lock_budget: Option<Duration>,
    /// How far a standby may be behind when a batch or the build of an index begins.
    pub max_replica_lag: Option<Duration>,
}

/// How long a step that did not get its lock steps back: 1 to 2 s.
pub(super) fn jittered() -> Duration {
    db::jittered(1000, 1000)
}
