//! What an archive did, or would do.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Closing, Place, Stand, Sums};
use crate::{
    history::RunId,
    report::{Outcome, Report},
    sql::QualifiedName,
    timestamp::Timestamp,
};

/// What an archive takes, the strongest lock first, and how long.
const LOCKS: [&str; 4] = [
    "ACCESS EXCLUSIVE on the ledger, the partition and the default partition, while the two change places: asked for 100 ms at a time",
    "SHARE ROW EXCLUSIVE on the tables that foreign keys of the partition refer to, while they are added to the new table",
    "SHARE on the partition, which stops its own writers, while its entries are read once more",
    "SHARE UPDATE EXCLUSIVE on the default partition, which stops no writer, while it is looked through for the partition's rows",
];

/// What an archive did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// Whether it only looked.
    pub dry_run: bool,
    /// The run in `stockfoil.run`; none in a dry run, and where there was nothing to do.
    pub run_id: Option<RunId>,
    /// The partition.
    pub partition: String,
    /// Where it stood: `attached`, `detached`, `dropped`, or `archived` before.
    pub was: &'static str,
    /// Its bounds.
    pub bounds: String,
    /// The table that has its entries now, which is the operator's to dump and drop; none where there is none.
    pub archived_as: Option<String>,
    /// Entries before it are closed; none where there was nothing to do.
    pub closed_before: Option<DateTime<Utc>>,
    /// The time of its newest entry, which the new ones have.
    pub newest_at: Option<Timestamp>,
    /// How many keys it had.
    pub keys: u64,
    /// How many entries.
    pub entries: u64,
    /// How many entries stand for them: one a key whose sum is not zero.
    pub brought_forward: u64,
    /// What each of these has in further columns.
    pub columns: BTreeMap<String, String>,
    /// The locks, the strongest first.
    pub locks: Vec<&'static str>,
    /// How the archived table is dumped and dropped.
    pub next_steps: Vec<String>,
}

impl ArchiveReport {
    /// Nothing is left to be done.
    pub(super) fn of_archived(place: &Place, archived_as: Option<String>, dry_run: bool) -> Self {
        Self {
            dry_run,
            run_id: None,
            partition: place.plain(),
            was: place.stand.word(),
            bounds: place.bounds.to_string(),
            archived_as,
            closed_before: None,
            newest_at: None,
            keys: 0,
            entries: 0,
            brought_forward: 0,
            columns: BTreeMap::new(),
            locks: Vec::new(),
            next_steps: Vec::new(),
        }
    }

    /// What is to be done.
    pub(super) fn of_sums(place: &Place, closing: &Closing, sums: &Sums) -> Self {
        Self {
            closed_before: Some(closing.closed_before),
            newest_at: sums.newest_at,
            keys: sums.keys.unsigned_abs(),
            entries: sums.entries.unsigned_abs(),
            brought_forward: sums.to_write.unsigned_abs(),
            locks: LOCKS.to_vec(),
            ..Self::of_archived(place, None, true)
        }
    }

    /// It was done.
    pub(super) fn is_done(&mut self, run: RunId, archived_as: Option<QualifiedName>) {
        (self.dry_run, self.run_id) = (false, Some(run));
        if let Some(table) = &archived_as {
            let name = table.name.as_str();
            self.next_steps = vec![
                format!("pg_dump --format=custom --table='{table}' --file={name}.dump \"$DATABASE_URL\""),
                format!("psql \"$DATABASE_URL\" --command='DROP TABLE {table}'"),
            ];
        }
        self.archived_as = archived_as.map(|table| table.plain());
    }
}

impl Stand {
    fn word(&self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Dropped => "dropped",
            Self::Archived { .. } => "archived",
        }
    }
}

impl Report for ArchiveReport {
    const SCHEMA: &'static str = "stockfoil.archive/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }
}
