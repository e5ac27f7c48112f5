//! What a restore would lose now: production's newest entries and its WAL behind what the backups and the archive have.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    Finding, duration_text, figures,
    reading::Reader,
    wal::{WalState, lsn_of},
};
use crate::{
    Error,
    db::Db,
    mapping::Mapping,
    report::{Metric, PluginNumber},
};

/// A statement may take so long; production has other work.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '20s'";

/// What a restore would lose now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rpo {
    /// Up to when it brings back what was entered: the newest backup's start, or when the last WAL was archived.
    pub reaches: DateTime<Utc>,
    /// When the newest entry of the ledger was made that it brings back, by what production has.
    pub newest_entry_at: Option<DateTime<Utc>>,
    /// How old that is, in seconds.
    pub entry_age_seconds: Option<u64>,
    /// How many entries production has since; none where they don't tell when they were made.
    pub lost_entries: Option<u64>,
    /// Where production's WAL is now.
    pub production_wal_at: Option<String>,
    /// How many bytes of WAL the archive does not have yet; none without an archive.
    pub lost_wal_bytes: Option<u64>,
    /// How old that entry may be.
    #[serde(skip)]
    limit: Option<Duration>,
}

/// The gauges: name, help, value where it is known.
type Gauge = (&'static str, &'static str, fn(&Rpo) -> Option<String>);

const GAUGES: [Gauge; 5] = [
    (
        "stockfoil_backup_reaches_timestamp_seconds",
        "Up to when a restore now would bring back what was entered, in Unix time.",
        |rpo| Some(rpo.reaches.timestamp().to_string()),
    ),
    (
        "stockfoil_backup_reaches_entry_timestamp_seconds",
        "When the newest entry of the ledger was made that a restore now would bring back, in Unix time.",
        |rpo| rpo.newest_entry_at.map(|at| at.timestamp().to_string()),
    ),
    ("stockfoil_backup_rpo_now_seconds", "How old that entry was when production was asked.", |rpo| {
        rpo.entry_age_seconds.map(|seconds| seconds.to_string())
    }),
    ("stockfoil_backup_lost_entries", "How many entries of the ledger a restore now would lose.", |rpo| {
        rpo.lost_entries.map(|count| count.to_string())
    }),
    ("stockfoil_backup_lost_wal_bytes", "How much WAL the archive did not have yet.", |rpo| {
        rpo.lost_wal_bytes.map(|bytes| bytes.to_string())
    }),
];

/// What is known of each source, as gauges.
pub(super) fn metrics(known: &[(&str, &Rpo)]) -> Vec<Metric> {
    let of = |(name, help, value): Gauge| {
        known.iter().filter_map(move |(source, rpo)| {
            let labels = vec![("source", (*source).to_owned())];
            Some(Metric { name, help, labels, value: value(rpo)? })
        })
    };
    GAUGES.into_iter().flat_map(of).collect()
}

impl Rpo {
    /// As plugins give numbers of the source `name`.
    pub(super) fn numbers(&self, name: &str) -> Vec<PluginNumber> {
        let number = |what: &str, value: Option<u64>, unit, critical: String| {
            let label = format!("{name} {what}");
            value.map(|value| PluginNumber { label, value, unit, warning: String::new(), critical })
        };
        let limit = self.limit.map(|limit| limit.as_secs().to_string()).unwrap_or_default();
        [
            number("rpo", self.entry_age_seconds, "s", limit),
            number("lost entries", self.lost_entries, "", String::new()),
            number("lost WAL", self.lost_wal_bytes, "B", String::new()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Holds what would be lost against what the source allows. Where nothing came since, nothing would be.
    fn judge(&self) -> Option<Finding> {
        let limit = self.limit.filter(|_| self.lost_entries.is_some_and(|count| count > 0))?;
        let text = match self.entry_age_seconds.map(Duration::from_secs) {
            Some(age) if age <= limit => return None,
            Some(age) => format!(
                "the newest entry that a restore now would bring back is {} old, more than max_rpo ({}), and {} came since",
                duration_text(age),
                duration_text(limit),
                self.lost_entries.unwrap_or_default()
            ),
            None => "a restore now would bring back no entry, so max_rpo can't hold".to_owned(),
        };
        Some(Finding::critical("rpo", text))
    }
}

/// What is to be restored: when it began, of which database it says it is, the archive behind it, and what may be lost.
pub(super) struct Restorable<'a> {
    pub(super) started_at: DateTime<Utc>,
    pub(super) database: Option<&'a str>,
    pub(super) wal: Option<&'a WalState>,
    pub(super) limit: Option<Duration>,
}

/// What a restore would lose now, with what is wrong or strange about it.
///
/// # Errors
/// Why that is not known.
pub(super) async fn ask(reader: &Reader<'_>, of: &Restorable<'_>) -> Result<(Rpo, Vec<Finding>), String> {
    let Some(db) = reader.production else {
        return Err("no database is configured, or it does not answer".to_owned());
    };
    if let Some(database) = of.database.filter(|database| *database != db.facts().database) {
        return Err(format!("it is the database {}, and the backup is of {database}", db.facts().database));
    }
    look(db, reader.config.mapping, of).await.map_err(|error| error.to_string())?
}

async fn look(
    db: &Db,
    mapping: &Mapping,
    of: &Restorable<'_>,
) -> Result<Result<(Rpo, Vec<Finding>), String>, Error> {
    let model = mapping.resolve(db).await?;
    let mut session = db.session().await?;
    sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
    let system = figures::system_identifier(&mut session).await?;
    if let (Some(system), Some(archive)) = (&system, of.wal.and_then(|wal| wal.system))
        && *system != archive.to_string()
    {
        return Ok(Err(format!("it is the cluster {system}, and the archived WAL is of {archive}")));
    }
    let (place, is_recovering): (Option<String>, bool) =
        sqlx::query_as(include_str!("rpo/place.sql")).fetch_one(&mut session).await?;
    let archived_at = of.wal.and_then(|wal| wal.archived_at);
    let reaches = archived_at.map_or(of.started_at, |at| at.max(of.started_at));
    let mut rpo = Rpo {
        reaches,
        newest_entry_at: None,
        entry_age_seconds: None,
        lost_entries: None,
        production_wal_at: place.clone(),
        lost_wal_bytes: None,
        limit: of.limit,
    };
    if let Some(created_at) = &model.ledger.created_at {
        let statement = model.render_with(include_str!("rpo/lost.sql"), &[("created_at", created_at)]);
        let (newest, lost): (Option<DateTime<Utc>>, i64) =
            sqlx::query_as(statement.sql()).bind(reaches).fetch_one(&mut session).await?;
        let age = newest.map(|newest| (Utc::now() - newest).max(TimeDelta::zero()).num_seconds());
        (rpo.newest_entry_at, rpo.entry_age_seconds) = (newest, age.map(i64::unsigned_abs));
        rpo.lost_entries = Some(lost.unsigned_abs());
    }
    let end = of.wal.and_then(WalState::end);
    let mut findings: Vec<Finding> = rpo.judge().into_iter().collect();
    if let (Some(end), Some(now)) = (end, place.as_deref().and_then(lsn_of)) {
        rpo.lost_wal_bytes = Some(now.saturating_sub(end));
        // A segment is archived when it is full, or was left for the next.
        if end > now && !is_recovering {
            let text = format!(
                "the archived WAL goes on to {}, and production's is at {}: production was restored to a time before, or it is another cluster's",
                super::wal::lsn_text(end),
                super::wal::lsn_text(now)
            );
            findings.push(Finding::warning("wal", text));
        }
    }
    Ok(Ok((rpo, findings)))
}
