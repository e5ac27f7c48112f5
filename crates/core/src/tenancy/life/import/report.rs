//! What is said of an organization that was brought in.

use std::path::PathBuf;

use serde::Serialize;

use super::super::archive::TableCount;
use crate::{
    history::RunId,
    org_id::OrgId,
    report::{Outcome, Report},
};

/// What keeps an organization from being brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// What is wrong with it.
    pub what: String,
    /// How many rows it is about; none where it is about the table.
    pub rows: Option<i64>,
    /// One of them.
    pub example: Option<String>,
}

impl Conflict {
    /// About the table.
    pub(super) fn of(table: &str, what: String) -> Self {
        Self { table: table.to_owned(), what, rows: None, example: None }
    }
}

/// What was brought in, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct OrgImported {
    /// The organization, as it is called here.
    pub org_id: OrgId,
    /// As it was called where it comes from.
    pub from_org_id: String,
    /// The file.
    pub file: PathBuf,
    /// The database that it comes from, and the time of its snapshot.
    pub from_database: String,
    /// See `from_database`.
    pub snapshot_at: String,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// Whether it was brought in: all of it, or nothing.
    pub applied: bool,
    /// The record of it in `stockfoil.run`; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// How many rows.
    pub rows: u64,
    /// Of each table, what was brought in, or would be.
    pub tables: Vec<TableCount>,
    /// What keeps it from being brought in: all of that.
    pub conflicts: Vec<Conflict>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for OrgImported {
    const SCHEMA: &'static str = "stockfoil.org-import/1";

    fn outcome(&self) -> Outcome {
        if self.conflicts.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}
