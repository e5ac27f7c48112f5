//! What a reconciliation came to: its outcome, and its numbers for monitoring.

use chrono::Utc;

use super::{Counts, ReconcileReport};
use crate::{
    ledger::Kind,
    report::{Metric, Outcome, Report},
};

impl Report for ReconcileReport {
    const SCHEMA: &'static str = "stockfoil.reconcile/1";

    fn outcome(&self) -> Outcome {
        let is_clean = self.unresolved == 0
            && self.changed_history == 0
            && self.open_history == 0
            && self.negative.unwrap_or_default() == 0
            && self.backdated.unwrap_or_default() == 0
            && self.closed.as_ref().is_none_or(|closed| closed.is_comparable)
            && self.closing.as_ref().is_none_or(|closing| closing.not_closed.is_none())
            && self.broken_parts.is_empty()
            && self.not_backfilled.is_empty();
        if is_clean { Outcome::Clean } else { Outcome::Findings }
    }

    fn metrics(&self) -> Vec<Metric> {
        let Counts { small, large, orphan, missing, not_a_number, empty } = self.differences;
        let gauge =
            |name, help, value: u64| Metric { name, help, labels: Vec::new(), value: value.to_string() };
        let kinds = [
            (Kind::Small, small),
            (Kind::Large, large),
            (Kind::Orphan, orphan),
            (Kind::Missing, missing),
            (Kind::NotANumber, not_a_number),
        ];
        let mut metrics: Vec<Metric> = kinds
            .into_iter()
            .map(|(kind, value)| Metric {
                name: "stockfoil_reconcile_differences",
                help: "Keys whose balance was not the sum of their ledger entries, by kind.",
                labels: vec![("kind", kind.to_string())],
                value: value.to_string(),
            })
            .collect();
        let empty = empty.map(|empty| {
            gauge("stockfoil_reconcile_empty_balances", "Balances of zero whose key has no entry.", empty)
        });
        metrics.extend(empty);
        metrics.extend(self.negative.map(|negative| {
            gauge("stockfoil_reconcile_negative", "Balances below zero where none may be.", negative)
        }));
        let backdated = "Keys whose entries in a closed period are not those that were closed.";
        metrics.extend(self.backdated.map(|keys| gauge("stockfoil_reconcile_backdated", backdated, keys)));
        metrics.extend([
            gauge("stockfoil_reconcile_balances", "Balances that were compared.", self.balances),
            gauge("stockfoil_reconcile_repaired", "Differences that the run mended.", self.repaired),
            gauge(
                "stockfoil_reconcile_unresolved",
                "Differences and changed history that a person must look at.",
                self.unresolved + self.open_history,
            ),
            gauge(
                "stockfoil_reconcile_changed_history",
                "Keys whose sealed entries were changed without the triggers seeing it.",
                self.changed_history,
            ),
            gauge(
                "stockfoil_reconcile_not_backfilled",
                "Organizations that were never backfilled.",
                self.not_backfilled.len() as u64,
            ),
            gauge(
                "stockfoil_reconcile_broken_parts",
                "Balance functions and triggers that are not as they should be.",
                self.broken_parts.len() as u64,
            ),
            Metric {
                name: "stockfoil_reconcile_last_run_timestamp_seconds",
                help: "When the comparison ended.",
                labels: Vec::new(),
                value: Utc::now().timestamp().to_string(),
            },
        ]);
        metrics
    }
}
