//! What a migration reports.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{
    finding::Finding,
    step::{Effect, StepReport, Work, strongest_lock},
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
    /// Unique keys that reach across organizations and stay until `--contract`, `table.key` each.
    pub contract_pending: Vec<String>,
    /// The same steps, summed up by table.
    pub tables: Vec<TableReport>,
    /// Inserts that relied on the default organization, where that is ended.
    pub default_uses: Vec<DefaultUse>,
    /// The indexes that kept lookups by replaced keys fast, where those are ended, and how often each was used.
    pub lookup_uses: Vec<LookupUse>,
}

impl MigrationReport {
    /// The strongest lock that one of the steps takes.
    pub fn strongest_lock(&self) -> &'static str {
        strongest_lock(self.steps.iter())
    }
}

/// What the steps of one table come to, its partitions' included.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The table; empty for what is of no table, such as a function.
    pub table: String,
    /// How many steps.
    pub steps: usize,
    /// The strongest lock that one of them takes.
    pub strongest_lock: &'static str,
    /// About how many rows the fills go through.
    pub rows_filled: i64,
    /// How many indexes are built.
    pub indexes: usize,
    /// The unique keys that go.
    pub keys_ended: Vec<String>,
    /// The keys whose lookups go by another index, and the indexes whose lookups end.
    pub lookups_changed: Vec<String>,
    /// How long they take, or took: in milliseconds, in a plan beside what they wait.
    pub duration_ms: i64,
}

impl TableReport {
    /// Sums up `steps` by their tables, in the order in which each comes first; `root` is the table that a partition is
    /// of.
    pub(super) fn of(steps: &[StepReport], root: &HashMap<String, String>) -> Vec<Self> {
        let table = |step: &StepReport| {
            let table = step.tables.last().cloned().unwrap_or_default();
            root.get(&table).cloned().unwrap_or(table)
        };
        let mut tables: Vec<(String, Vec<&StepReport>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for step in steps {
            let table = table(step);
            let place = *places.entry(table.clone()).or_insert_with(|| {
                tables.push((table, Vec::new()));
                tables.len() - 1
            });
            tables[place].1.push(step);
        }
        tables.into_iter().map(|(table, steps)| Self::sum(table, &steps)).collect()
    }

    fn sum(table: String, steps: &[&StepReport]) -> Self {
        let effects = || steps.iter().filter_map(|step| step.effect.as_ref());
        let duration = |step: &&StepReport| match step.duration_ms {
            Some(duration) => i64::try_from(duration).unwrap_or(i64::MAX),
            None => step.estimate_ms.unwrap_or(0),
        };
        Self {
            table,
            steps: steps.len(),
            strongest_lock: strongest_lock(steps.iter().copied()),
            rows_filled: steps
                .iter()
                .filter(|step| step.work == Work::Fill)
                .filter_map(|step| step.rows_estimate)
                .sum(),
            indexes: steps.iter().filter(|step| step.work == Work::Index).count(),
            keys_ended: effects()
                .filter_map(|effect| match effect {
                    Effect::EndsKey(key) => Some(key.clone()),
                    Effect::MovesLookup(_) | Effect::EndsLookup(_) => None,
                })
                .collect(),
            lookups_changed: effects()
                .filter_map(|effect| match effect {
                    Effect::MovesLookup(key) | Effect::EndsLookup(key) => Some(key),
                    Effect::EndsKey(_) => None,
                })
                // Each partition builds its part of the index.
                .collect::<BTreeSet<_>>()
                .into_iter()
                .cloned()
                .collect(),
            duration_ms: steps.iter().map(duration).fold(0, i64::saturating_add),
        }
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
