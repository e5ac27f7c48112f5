//! What is said of rows that moved, or would.

use serde::Serialize;

use super::{super::moves::Graph, closure::Shared, conflicts::Conflict};
use crate::{
    history::RunId,
    org_id::OrgId,
    report::{Outcome, Report},
};

/// What moves of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableMoves {
    /// The table.
    pub table: String,
    /// How many rows move.
    pub rows: u64,
    /// How many shared rows are copied.
    pub copies: u64,
}

/// What moved, or would.
#[derive(Debug, Clone, Serialize)]
pub struct DataAssigned {
    /// Where to.
    pub org_id: OrgId,
    /// Where from.
    pub from: OrgId,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The run in `stockfoil.run`, by which it can be taken back; none where nothing was moved.
    pub run_id: Option<RunId>,
    /// Whether an earlier run that was killed was gone on with.
    pub resumed: bool,
    /// Whether rows were moved.
    pub applied: bool,
    /// Why nothing, or nothing more, can move, if so.
    pub stopped: Option<String>,
    /// How many rows, of all tables.
    pub rows: u64,
    /// The tables of which rows move.
    pub tables: Vec<TableMoves>,
    /// How many rows of an adopted table of balances went with their entries.
    pub balance_rows: u64,
    /// How many rows there were to move at last, which had arrived meanwhile.
    pub left: u64,
    /// How often what belongs there was looked for.
    pub passes: u32,
    /// Rows that both sides use, by the tables whose rows use them.
    pub shared: Vec<Shared>,
    /// Rows that can't arrive.
    pub conflicts: Vec<Conflict>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl DataAssigned {
    /// What to ask before it is done; none where nothing would be.
    pub fn question(&self) -> Option<String> {
        let Self { rows, org_id, from, .. } = self;
        let tables: Vec<String> = self
            .tables
            .iter()
            .map(|TableMoves { table, rows, copies }| match copies {
                0 => format!("{rows} of {table}"),
                copies => format!("{rows} of {table} and {copies} copies"),
            })
            .collect();
        let tables = tables.join(", ");
        (self.stopped.is_none() && !tables.is_empty())
            .then(|| format!("{rows} rows ({tables}) move from {from} to {org_id}; go on?"))
    }
}

impl Report for DataAssigned {
    const SCHEMA: &'static str = "stockfoil.data-assign/1";

    fn outcome(&self) -> Outcome {
        if self.stopped.is_some() || self.left > 0 { Outcome::Findings } else { Outcome::Clean }
    }
}

/// What moves, by table, where `rows` has a place for each table: rows and copies.
pub(super) fn by_table(graph: &Graph, rows: &[(u64, u64)]) -> Vec<TableMoves> {
    let tables = graph.tables.iter().zip(rows).filter(|(_, count)| **count != (0, 0));
    tables
        .map(|(table, (rows, copies))| TableMoves { table: table.name.plain(), rows: *rows, copies: *copies })
        .collect()
}
