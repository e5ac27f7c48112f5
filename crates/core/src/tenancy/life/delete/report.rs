//! What is said of an organization that goes: its certificate.

use serde::Serialize;

use super::super::{super::organization::Stored, archive::TableCount};
use crate::{
    history::RunId,
    org_id::OrgId,
    report::{Outcome, Report},
};

/// How it stands with the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was deactivated, and may be deleted later.
    Deactivated,
    /// It is inactive, and its time has not come.
    Waiting,
    /// It is gone.
    Deleted,
    /// It would be deactivated.
    WouldDeactivate,
    /// It would be deleted.
    WouldDelete,
}

/// What became of an organization, or would. Of one that is deleted it is the certificate: what was deleted, and no content.
#[derive(Debug, Clone, Serialize)]
pub struct OrgDeleted {
    /// The organization.
    pub org_id: OrgId,
    /// Its subdomain, which nobody else gets for a while.
    pub subdomain: Option<String>,
    /// How it stands with it.
    pub state: State,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The database.
    pub database: Option<String>,
    /// Who deleted it: the role, and whom the session had logged in as.
    pub role: Option<String>,
    /// See `role`.
    pub session_user: Option<String>,
    /// When it was deleted.
    pub deleted_at: Option<String>,
    /// When it may be deleted, where it is not.
    pub deletable_at: Option<String>,
    /// The record of it in `stockfoil.run`; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// Whether an earlier run that was killed was gone on with.
    pub resumed: bool,
    /// How many rows of the tables, but for Stockfoil's own records.
    pub rows: u64,
    /// What was deleted of each table, or would be.
    pub tables: Vec<TableCount>,
    /// What stands in the way of deleting it.
    pub in_the_way: Vec<String>,
}

impl OrgDeleted {
    pub(super) fn new(found: &Stored, in_the_way: Vec<String>, dry_run: bool) -> Self {
        Self {
            org_id: found.id.clone(),
            subdomain: found.subdomain.clone(),
            state: State::Waiting,
            dry_run,
            database: None,
            role: None,
            session_user: None,
            deleted_at: None,
            deletable_at: None,
            run_id: None,
            resumed: false,
            rows: 0,
            tables: Vec::new(),
            in_the_way,
        }
    }

    pub(super) fn set_tables(&mut self, tables: Vec<TableCount>) {
        self.rows = tables
            .iter()
            .filter(|count| count.kind != super::super::Kind::Record)
            .map(|count| count.rows)
            .sum();
        self.tables = tables;
    }

    /// What to ask before it is done; none where nothing would be deleted.
    pub fn question(&self) -> Option<String> {
        let Self { org_id, rows, .. } = self;
        (self.state == State::WouldDelete && self.in_the_way.is_empty())
            .then(|| format!("organization {org_id} and its {rows} rows are deleted for ever; go on?"))
    }
}

impl Report for OrgDeleted {
    const SCHEMA: &'static str = "stockfoil.org-delete/1";

    fn outcome(&self) -> Outcome {
        if self.in_the_way.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}
