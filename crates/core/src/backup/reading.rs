//! Reading a backup to its last byte: what every kind of source has at hand for it, and what it comes to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Backup, Configured, Finding};
use crate::{
    db::Db,
    progress::{
        Progress, Silent,
        meter::{Lost, Meter, run_blocking},
    },
    throwaway::{Folder, Owner},
};

/// A dump holds nothing of transactions that were under way when it began; none of them is expected to be older.
pub(super) const TRANSACTION_MAX: TimeDelta = TimeDelta::minutes(5);

/// What is at hand for reading backups.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) config: Configured<'a>,
    /// The database that is configured, where it answers.
    pub(super) production: Option<&'a Db>,
    /// Where what a drill restores is kept; none: it goes away.
    pub(super) keep: Option<&'a Path>,
    pub(super) progress: &'a dyn Progress,
}

/// What is known of a table from a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableContents {
    /// Whether the dump defines the table.
    pub(super) is_defined: bool,
    /// Whether its rows are in its partitions.
    pub(super) is_partitioned: bool,
    /// Whether the dump has a part for its rows, even if there are none.
    pub(super) has_data: bool,
    /// How many rows, where they were counted: those of COPY.
    pub(super) rows: Option<u64>,
    /// Whether there is a row, by COPY or by INSERT.
    pub(super) has_rows: bool,
    /// The tables that its rows are rows of as well: whose partition it is, or from which it inherits.
    pub(super) parents: BTreeSet<(String, String)>,
}

/// What a dump makes beside tables: each as the kind (`INDEX`) that pg_dump calls it, its schema and its name.
pub(super) type Objects = BTreeSet<(String, String, String)>;

/// Whose rows a dump holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// The organizations in their table; none where their rows were not read.
    pub(super) organizations: Option<BTreeSet<String>>,
    /// The ledger's entries by organization; none where not all of them tell.
    pub(super) entries: Option<BTreeMap<String, u64>>,
    /// Those from before any transaction that the backup may lack, by day as well; none where not all of them tell.
    pub(super) days: Option<EntryDays>,
    /// The last transaction of which there is an entry.
    pub(super) last_transaction: Option<i64>,
    /// The newest time of an entry.
    pub(super) newest: Option<DateTime<Utc>>,
}

/// How many entries there are, by organization and by day in UTC.
pub(super) type EntryDays = BTreeMap<String, BTreeMap<NaiveDate, u64>>;

/// A page of zeros in a table, before one that is older than the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// The file, below the data folder.
    pub(super) file: String,
    /// The page's number in its table.
    pub(super) page: u32,
}

/// The holes in a base backup, with what tells production whether something was there.
#[derive(Debug, Default)]
pub(super) struct Holes {
    pub(super) pages: Vec<Hole>,
    /// The identifier of the cluster.
    pub(super) system: Option<u64>,
    /// Transactions before this one had ended when the last checkpoint began that the backup knows.
    pub(super) ended_before: Option<u32>,
    /// Whether that is the one with which it began itself.
    pub(super) is_exact: bool,
}

/// Tables by schema and name.
pub(super) type Contents = BTreeMap<(String, String), TableContents>;

/// What was read out of a backup.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The tables of a dump.
    pub(super) contents: Contents,
    /// What a dump makes beside them.
    pub(super) objects: Objects,
    /// Whose rows it holds.
    pub(super) owners: Owners,
    /// The pages of a base backup in which something may be missing.
    pub(super) holes: Holes,
    /// Whether every byte was compared with a checksum that was made with the backup.
    pub(super) is_checksummed: bool,
    /// What lay in a backup that is encrypted, in parts or in a tar.
    pub(super) inner: Option<Backup>,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

impl Reading {
    /// A reading that came to nothing else.
    pub(super) fn of(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

impl Reader<'_> {
    /// Runs a quick look in a blocking thread for as long as it gets on.
    pub(super) async fn looking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        run_blocking(&Silent, self.config.backup.stall_timeout, work).await
    }

    /// A private folder for what must be laid down to be read.
    pub(super) fn scratch(&self) -> Result<Folder, Finding> {
        Ok(Folder::create(&self.config.backup.throwaway(), &Owner::Caller)?)
    }

    /// Runs `work` in a blocking thread for as long as it gets on.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
    ) -> Result<T, Finding> {
        run_blocking(self.progress, self.config.backup.stall_timeout, work)
            .await
            .map_err(|lost| Finding::unknown("read", format!("reading it {lost}")))
    }
}
