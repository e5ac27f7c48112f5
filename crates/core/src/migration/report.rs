//! What a migration reports.

use serde::Serialize;

use super::{
    finding::Finding,
    step::{StepReport, strongest_lock},
};
use crate::{
    model::Model,
    report::{Outcome, Report},
};

/// What inserts still relied on a table's default organization.
#[derive(Debug, Clone, Serialize)]
pub struct DefaultUse {
    /// The table.
    pub table: String,
    /// How many rows were inserted without an organization.
    pub inserts: i64,
    /// Since when they are counted.
    pub since: Option<chrono::DateTime<chrono::Utc>>,
}

impl std::fmt::Display for DefaultUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, inserts, since } = self;
        write!(f, "{table}: {inserts} inserts named no organization")?;
        match since {
            Some(since) => write!(f, " since {}", since.format("%Y-%m-%d %H:%M:%S UTC")),
            None => Ok(()),
        }
    }
}

/// What a migration did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct MigrationReport {
    /// Which migration.
    pub command: &'static str,
    /// Whether it was taken back.
    pub rollback: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What stands in the way, in a dry run; a real one is refused.
    pub obstacles: Vec<Finding>,
    /// What the operator should know, though it stands in nobody's way.
    pub warnings: Vec<String>,
    /// Steps that the catalog showed to be done before.
    pub done_before: usize,
    /// Steps done by this run, or pending in a dry run.
    pub steps: Vec<StepReport>,
    /// Inserts that relied on the default organization, where that is ended.
    pub default_uses: Vec<DefaultUse>,
    /// The indexes that kept lookups by replaced keys fast, where those are ended, and how often each was used.
    pub lookup_uses: Vec<LookupUse>,
}

impl MigrationReport {
    /// The strongest lock that one of the steps takes.
    pub fn strongest_lock(&self) -> &'static str {
        strongest_lock(&self.steps)
    }
}

impl Report for MigrationReport {
    const SCHEMA: &'static str = "stockfoil.migration/2";

    fn outcome(&self) -> Outcome {
        if self.obstacles.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}

/// How often an index was used that kept lookups by a replaced key fast, told when it is about to go.
#[derive(Debug, Clone, Serialize)]
pub struct LookupUse {
    /// The table.
    pub table: String,
    /// The index.
    pub index: String,
    /// Its columns, as PostgreSQL prints them.
    pub columns: String,
    /// How many scans went by it on this server; a standby counts its own.
    pub scans: i64,
    /// Since when they are counted.
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// The last of them, where the server keeps that (PostgreSQL 16 and newer).
    pub last: Option<chrono::DateTime<chrono::Utc>>,
    /// Its size in bytes, with its partitions'.
    pub bytes: i64,
    /// The foreign keys that find their rows by it alone, for which it stays.
    pub kept_for: Option<String>,
}

impl std::fmt::Display for LookupUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, index, columns, scans, .. } = self;
        if let Some(keys) = &self.kept_for {
            return write!(
                f,
                "{table}: {index} ({columns}) stays, since rows are found by it alone for {keys}"
            );
        }
        let time = |time: &chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        write!(f, "{table}: {scans} lookups went by {index} ({columns})")?;
        if let Some(since) = &self.since {
            write!(f, " since {}", time(since))?;
        }
        match &self.last {
            Some(last) => write!(f, ", the last at {}", time(last)),
            None => Ok(()),
        }
    }
}

impl LookupUse {
    /// What the operator should know before it goes: statements that still use it, and how they can go on without.
    pub(super) fn warning(&self, model: &Model) -> Option<String> {
        let Self { table, index, columns, scans, .. } = self;
        (*scans > 0 && self.kept_for.is_none()).then(|| {
            format!(
                "lookups of {table} by ({columns}) alone used {index}, and read the whole table once it is gone: let them name the organization too (WHERE {} = ... AND ...)",
                model.org_column.as_str()
            )
        })
    }
}
