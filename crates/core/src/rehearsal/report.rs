//! What a rehearsal reports.

use serde::Serialize;

use crate::{
    migration::{finding::Finding, step::StepReport},
    report::{Outcome, Phase, Report},
};

/// What a rehearsal showed. Nothing was changed.
#[derive(Debug, Clone, Serialize)]
pub struct Rehearsal {
    /// Which migration.
    pub command: &'static str,
    /// Where the copy was: in a throwaway cluster, or in a database that was given.
    pub place: String,
    /// What would stop the migration, or break what applications do.
    pub obstacles: Vec<Finding>,
    /// What fails afterwards because the migration means it to, such as ON CONFLICT by a key that goes.
    pub will_fail: Vec<Finding>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// What was not rehearsed, and why.
    pub not_rehearsed: Vec<String>,
    /// What applications do, tried before and after.
    pub probes: ProbeCounts,
    /// Lookups by an old unique key, where they find another index afterwards, or none.
    pub lookups: Vec<LookupChange>,
    /// Objects that a rollback does not lead back to what they were.
    pub schema_differences: Vec<String>,
    /// The steps of the migration, each with the time that it took on the copy.
    pub steps: Vec<StepReport>,
    /// The rows that were taken along.
    pub rows: u64,
    /// The parts of the rehearsal, in order: `copy`, `try_before`, `migrate`, `try_after`, `rollback`, `migrate_again`, and
    /// `contract` after an expansion.
    pub phases: Vec<Phase>,
}

impl Rehearsal {
    /// The report of a rehearsal of `command` in `place` that has just begun.
    pub(super) fn of(command: &'static str, place: String) -> Self {
        Self {
            command,
            place,
            obstacles: Vec::new(),
            will_fail: Vec::new(),
            warnings: Vec::new(),
            not_rehearsed: Vec::new(),
            probes: ProbeCounts::default(),
            lookups: Vec::new(),
            schema_differences: Vec::new(),
            steps: Vec::new(),
            rows: 0,
            phases: Vec::new(),
        }
    }
}

impl Rehearsal {
    /// What was rehearsed, in a line.
    pub fn summary(&self) -> String {
        format!(
            "{} rehearsed on a copy with {} rows in {}: {} steps, {} of {} things that applications do work as before, {} mean a change to an application, {} could not be tried",
            self.command,
            self.rows,
            self.place,
            self.steps.len(),
            self.probes.same,
            self.probes.tried,
            self.will_fail.len(),
            self.probes.not_probed.len()
        )
    }
}

impl Report for Rehearsal {
    const SCHEMA: &'static str = "stockfoil.rehearsal/1";

    fn outcome(&self) -> Outcome {
        if self.obstacles.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}

/// How what applications do was tried.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProbeCounts {
    /// Tried before and after the migration.
    pub tried: usize,
    /// Did the same both times.
    pub same: usize,
    /// What could not be tried, since it failed before the migration too; each with the reason.
    pub not_probed: Vec<String>,
}

/// A lookup by an old unique key that finds another index after the migration, or none.
#[derive(Debug, Clone, Serialize)]
pub struct LookupChange {
    /// The table.
    pub table: String,
    /// The columns.
    pub columns: String,
    /// The index that it went by.
    pub before: String,
    /// The one that it goes by afterwards; none: it reads the whole table.
    pub after: Option<String>,
    /// Where it reads the whole table: what that means in the database itself.
    pub cost: Option<LookupCost>,
}

impl LookupChange {
    /// What an operator should know of a lookup that has no index any more.
    pub(super) fn warning(&self) -> Option<String> {
        if self.after.is_some() {
            return None;
        }
        let cost = self.cost.as_ref().map_or_else(String::new, |cost| {
            format!(
                "; by this database's statistics that costs {:.2} now and {:.2} then",
                cost.before, cost.after
            )
        });
        Some(format!(
            "lookups of {} by ({}) went by {} and read the whole table afterwards{cost}",
            self.table, self.columns, self.before
        ))
    }
}

/// What the planner reckons a lookup to cost, by the statistics of the database that is to be migrated, in its own unit:
/// a page read in sequence is 1.
#[derive(Debug, Clone, Serialize)]
pub struct LookupCost {
    /// With the indexes that there are.
    pub before: f64,
    /// Without any.
    pub after: f64,
}
