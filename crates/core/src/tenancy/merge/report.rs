//! What is said of an organization that became a part of another, or would.

use serde::Serialize;
use sqlx::PgConnection;

use super::{
    super::data::{Conflict, DataAssigned, Shared, TableMoves},
    Merge,
};
use crate::{
    db::{Context as _, DbError},
    history::RunId,
    model::Model,
    org_id::OrgId,
    report::{Outcome, Report},
};

/// What moved, or would.
#[derive(Debug, Clone, Serialize)]
pub struct OrgMerged {
    /// The organization that ends.
    pub from_org_id: OrgId,
    /// The organization that gets everything.
    pub into_org_id: OrgId,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The run in `stockfoil.run`, by which it can be taken back; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// Whether an earlier run that was killed was gone on with.
    pub resumed: bool,
    /// Whether anything was changed.
    pub applied: bool,
    /// Why nothing, or nothing more, can move, if so.
    pub stopped: Option<String>,
    /// How many rows, of all tables.
    pub rows: u64,
    /// The tables of which rows move.
    pub tables: Vec<TableMoves>,
    /// How many rows of an adopted table of balances went with their entries.
    pub balance_rows: u64,
    /// What becomes of the API keys: `revoke` or `move`.
    pub keys: &'static str,
    /// How many API keys that are about.
    pub api_keys: i64,
    /// Their ids, once that is done.
    pub key_ids: Vec<String>,
    /// Whether the organization that ends is inactive.
    pub deactivated: bool,
    /// How many rows there were to move at last, which had arrived meanwhile.
    pub left: u64,
    /// Rows that others use too, by the tables whose rows use them.
    pub shared: Vec<Shared>,
    /// Rows that can't arrive.
    pub conflicts: Vec<Conflict>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl OrgMerged {
    pub(super) fn new(merge: &Merge, plan: DataAssigned) -> Self {
        let stopped = match plan.shared.is_empty() {
            true => plan.stopped,
            false => Some(format!(
                "rows of other organizations than {} and {} refer to its rows; let them refer to rows of their own first",
                merge.from, merge.into
            )),
        };
        Self {
            from_org_id: merge.from.clone(),
            into_org_id: merge.into.clone(),
            dry_run: merge.dry_run,
            run_id: None,
            resumed: false,
            applied: false,
            stopped,
            rows: plan.rows,
            tables: plan.tables,
            balance_rows: plan.balance_rows,
            keys: merge.keys.as_str(),
            api_keys: 0,
            key_ids: Vec::new(),
            deactivated: false,
            left: plan.left,
            shared: plan.shared,
            conflicts: plan.conflicts,
            warnings: plan.warnings,
        }
    }

    /// Takes what moved from the records, which those of a run that was killed are among.
    pub(super) async fn count(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        run: RunId,
    ) -> Result<(), DbError> {
        let rows = by_table(session, model, run).await?;
        let sum = |balances: bool| {
            let rows = rows.iter().filter(|(_, is_balances, _)| *is_balances == balances);
            rows.map(|(.., rows)| rows.unsigned_abs()).sum()
        };
        (self.rows, self.balance_rows) = (sum(false), sum(true));
        let moves = rows.iter().filter(|(_, is_balances, _)| !is_balances);
        let moves = moves.map(|(table, _, rows)| TableMoves {
            table: table.clone(),
            rows: rows.unsigned_abs(),
            copies: 0,
        });
        self.tables = moves.collect();
        Ok(())
    }

    /// What to ask before it is done; none where nothing would be.
    pub fn question(&self) -> Option<String> {
        let Self { rows, from_org_id, into_org_id, api_keys, .. } = self;
        let keys = match self.keys {
            "move" => "lead there from then on",
            _ => "are revoked",
        };
        let is_over = self.deactivated && (*rows, *api_keys) == (0, 0);
        (self.stopped.is_none() && !is_over).then(|| {
            format!("{rows} rows move from {from_org_id} to {into_org_id}, {api_keys} API keys {keys}, and {from_org_id} is deactivated; go on?")
        })
    }
}

/// How many rows a run has moved.
pub(super) async fn moved(session: &mut PgConnection, model: &Model, run: RunId) -> Result<u64, DbError> {
    let rows = by_table(session, model, run).await?;
    Ok(rows.iter().filter(|(_, is_balances, _)| !is_balances).map(|(.., rows)| rows.unsigned_abs()).sum())
}

/// What a run has moved: the table, whether it is that of the balances, and how many rows.
async fn by_table(
    session: &mut PgConnection,
    model: &Model,
    run: RunId,
) -> Result<Vec<(String, bool, i64)>, DbError> {
    sqlx::query_as(include_str!("moved.sql"))
        .bind(run)
        .bind(model.balances.table.schema.as_str())
        .bind(model.balances.table.name.as_str())
        .fetch_all(session)
        .await
        .context("count what has moved")
}

impl Report for OrgMerged {
    const SCHEMA: &'static str = "stockfoil.org-merge/1";

    fn outcome(&self) -> Outcome {
        if self.stopped.is_some() || self.left > 0 { Outcome::Findings } else { Outcome::Clean }
    }
}
