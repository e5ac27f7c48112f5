//! What replicates this server is not left far behind: a batch or the build of an index begins when it has caught up.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use super::Runner;
use crate::{
    Error,
    db::{Context as _, DbError},
    migration::{error::MigrationError, step::Step},
};

/// How often a replica that is behind is looked at again, and how far apart remembered positions are at least.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far the replicas are behind, in time.
///
/// The server's own `replay_lag` stands still where a replica does. So this remembers when WAL was where, and a replica is as
/// far behind as the oldest position that it has not replayed is old.
pub(super) struct Replicas {
    /// Beyond which is waited; not looked at without.
    max_lag: Option<Duration>,
    /// Positions of WAL, in bytes, and when it was there; oldest first.
    written: VecDeque<(i64, Instant)>,
    /// Whether one was connected when last looked; not known before.
    is_connected: Option<bool>,
}

/// Where WAL is, and whom that reached least.
#[derive(sqlx::FromRow)]
struct Position {
    written: i64,
    replayed: Option<i64>,
    replica: Option<String>,
}

impl Replicas {
    /// Those of this server, where a lag is given that they may have.
    ///
    /// # Errors
    /// [`MigrationError::LagHidden`] where the role may not see them; database errors.
    pub(super) async fn of(session: &mut PgConnection, max_lag: Option<Duration>) -> Result<Self, Error> {
        if max_lag.is_some() {
            let may_see: bool = sqlx::query_scalar("SELECT pg_has_role('pg_read_all_stats', 'USAGE')")
                .fetch_one(session)
                .await
                .context("ask whether replicas may be seen")?;
            if !may_see {
                return Err(MigrationError::LagHidden.into());
            }
        }
        Ok(Self { max_lag, written: VecDeque::new(), is_connected: None })
    }

    /// Which replica is further behind than it may be, and how far; `note` is told once that there is none to look at.
    async fn behind(
        &mut self,
        session: &mut PgConnection,
        max_lag: Duration,
        note: impl FnOnce(&str),
    ) -> Result<Option<(String, Duration)>, DbError> {
        let position: Position = sqlx::query_as(include_str!("replicas.sql"))
            .fetch_one(session)
            .await
            .context("look how far the replicas are")?;
        if let Some(said) = self.absence(&position) {
            note(said);
        }
        Ok(self.lag(&position, Instant::now()).filter(|(_, lag)| *lag > max_lag))
    }

    /// What to say of there being nothing to look at, once.
    fn absence(&mut self, position: &Position) -> Option<&'static str> {
        let is_connected = position.replayed.is_some();
        match self.is_connected.replace(is_connected) {
            _ if is_connected => None,
            None => Some("no replica is connected: --max-replica-lag holds nothing back"),
            Some(true) => Some(
                "the last replica is gone: --max-replica-lag holds nothing back until one is connected again",
            ),
            Some(false) => None,
        }
    }

    fn lag(&mut self, position: &Position, now: Instant) -> Option<(String, Duration)> {
        let newest = self.written.back();
        if newest.is_none_or(|(bytes, at)| *bytes < position.written && now.duration_since(*at) >= LOOK_EVERY)
        {
            self.written.push_back((position.written, now));
        }
        let replayed = position.replayed?;
        while self.written.front().is_some_and(|(bytes, _)| *bytes <= replayed) {
            self.written.pop_front();
        }
        let (_, since) = self.written.front()?;
        let replica = position.replica.clone().unwrap_or_default();
        Some((replica, now.duration_since(*since)))
    }
}

impl Runner<'_> {
    /// Waits until no replica is further behind than it may be, without holding anything.
    pub(super) async fn wait_for_replicas(&mut self, step: &Step) -> Result<(), Error> {
        let Some(max_lag) = self.replicas.max_lag else { return Ok(()) };
        let mut is_said = false;
        while let Some((replica, lag)) =
            self.replicas.behind(self.session, max_lag, |said| self.progress.note(said)).await?
        {
            if !std::mem::replace(&mut is_said, true) {
                self.progress.note(&format!(
                    "{}: waiting for replica {replica}, which is {:.1} s behind",
                    step.title,
                    lag.as_secs_f64()
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_as_far_behind_as_what_it_has_not_replayed_is_old() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut replicas = Replicas { max_lag: None, written: VecDeque::new(), is_connected: None };
        let mut lag = |written, replayed, ms| {
            let position = Position { written, replayed, replica: Some("r".to_owned()) };
            replicas.lag(&position, at(ms)).map(|(_, lag)| lag.as_millis())
        };
        assert_eq!(lag(100, Some(100), 0), None);
        assert_eq!(lag(200, Some(100), 200), Some(0));
        assert_eq!(lag(300, Some(100), 500), Some(300));
        // What stands still falls behind, though nothing more is written.
        assert_eq!(lag(300, Some(100), 900), Some(700));
        assert_eq!(lag(300, Some(200), 1000), Some(500));
        assert_eq!(lag(300, Some(300), 1100), None);
        // Nobody replicates.
        assert_eq!(lag(400, None, 1300), None);
    }

    #[test]
    fn that_there_is_no_replica_is_said_once() {
        let mut replicas = Replicas { max_lag: None, written: VecDeque::new(), is_connected: None };
        let mut said = |replayed| {
            let position = Position { written: 100, replayed, replica: None };
            replicas.absence(&position).map(|said| said.split(':').next().unwrap())
        };
        assert_eq!(said(None), Some("no replica is connected"));
        assert_eq!(said(None), None);
        assert_eq!(said(Some(90)), None);
        assert_eq!(said(None), Some("the last replica is gone"));
        assert_eq!(said(None), None);
    }
}
