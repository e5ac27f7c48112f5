use chrono::{DateTime, Utc};
use stockfoil_core::{
    balance::{
        backfill::BackfillReport,
        reconcile::{Counts, Listed, ReconcileReport},
    },
    ledger::{Discrepancy, Kind, Quantity},
};

use super::alerts;
use crate::{Mark, Page, Print};

/// How many differences a person is shown; JSON and `stockfoil.finding` hold more.
const SHOWN_MAX: usize = 20;

impl Print for BackfillReport {
    fn print(&self, page: &mut Page) {
        let Self { rows, not_a_number, compare_ms, repair_ms, verify_ms, .. } = self;
        if self.dry_run {
            page.line(format!(
                "{}: {} would be written; nothing was changed",
                count(self.organizations, "organization"),
                count(*rows, "balance")
            ));
        } else {
            let keys = self.keys.unwrap_or_default();
            page.line(format!(
                "{}, {}: {rows} written",
                count(self.organizations, "organization"),
                count(keys, "balance")
            ));
            let lacking = self.still_lacking.unwrap_or_default();
            if lacking == 0 {
                page.marked(
                    Mark::Good,
                    format!("verified: all {keys} balances are the sum of their ledger entries"),
                );
            } else {
                page.marked(
                    Mark::Bad,
                    format!(
                        "{lacking} balances are not the sum of their entries, though just repaired: something writes the ledger without its triggers"
                    ),
                );
            }
            let total_ms = compare_ms + repair_ms + verify_ms;
            page.line(format!(
                "{} keys/s: compared in {compare_ms} ms, written in {repair_ms} ms, verified in {verify_ms} ms",
                keys * 1000 / total_ms.max(1)
            ));
        }
        if *not_a_number > 0 {
            page.marked(
                Mark::Bad,
                format!("{not_a_number} keys hold what is no number; reconcile-balances names them"),
            );
        }
    }
}

impl Print for ReconcileReport {
    fn print(&self, page: &mut Page) {
        let Counts { small, large, orphan, missing, not_a_number, empty } = self.differences;
        let total = small + large + orphan + missing + not_a_number;
        page.line(format!(
            "{} balances compared in {} ms, tolerance {}: {total} differ",
            self.balances, self.compare_ms, self.tolerance
        ));
        page.line(match self.full {
            Some(reason) => format!("every entry was read: {}", reason.as_str()),
            None => format!(
                "new entries were read, those of {} that changed, and the whole history of {}",
                count(self.marked_keys, "key"),
                count(self.verified_organizations, "organization")
            ),
        });
        for (kind, count, meaning) in [
            (Kind::Small, small, "below the tolerance"),
            (Kind::Large, large, "the tolerance or more"),
            (Kind::Orphan, orphan, "a balance without ledger entries"),
            (Kind::Missing, missing, "ledger entries without a balance"),
            (
                Kind::NotANumber,
                not_a_number,
                "an entry or a balance that is no number: correct it where it stands",
            ),
        ] {
            if count > 0 {
                let mark =
                    if self.unresolved == 0 || kind == Kind::Small { Mark::Warning } else { Mark::Bad };
                page.marked(mark, format!("{count} {kind} ({meaning})"));
            }
        }
        if self.changed_history > 0 {
            page.marked(
                Mark::Bad,
                format!(
                    "old entries of {} were changed without the triggers seeing it",
                    count(self.changed_history, "key")
                ),
            );
            for history in self.listed_history.iter().take(SHOWN_MAX) {
                page.line(format!(
                    "      {}: now {}, sealed {}",
                    history.key,
                    side(&history.ledger_qty, "nothing"),
                    side(&history.sealed_qty, "nothing")
                ));
            }
        }
        let would = if self.dry_run { "would be " } else { "" };
        if self.repaired > 0 {
            page.marked(Mark::Good, format!("{} {would}corrected", self.repaired));
        }
        if self.pruned > 0 {
            page.marked(Mark::Good, format!("{} empty balances {would}removed", self.pruned));
        } else if let Some(empty @ 1..) = empty {
            page.marked(
                Mark::Plain,
                format!(
                    "{empty} balances are zero and their keys have no entry; --prune-orphans removes them"
                ),
            );
        }
        if self.findings.closed > 0 {
            page.marked(
                Mark::Good,
                format!("{} findings of earlier runs are gone, and closed", self.findings.closed),
            );
        }
        for listed in self.listed.iter().take(SHOWN_MAX) {
            difference(page, listed, would);
        }
        let shown = SHOWN_MAX.min(self.listed.len()) as u64;
        if total > shown {
            page.line(format!("and {} more; --format json and stockfoil.finding have them", total - shown));
        }
        for part in &self.broken_parts {
            page.marked(
                Mark::Bad,
                format!(
                    "{} {} {}; run migrate-balance, then backfill-balances",
                    part.kind, part.name, part.state
                ),
            );
        }
        for org in &self.not_backfilled {
            page.marked(
                Mark::Bad,
                format!("organization {org} was never backfilled; run backfill-balances --org {org}"),
            );
        }
        if let Some(history) = self.listed_history.first() {
            page.line(format!(
                "to see the entries of a key: reconcile-balances --explain {}",
                self.listed.first().map_or_else(|| history.key.to_string(), |listed| listed.key.clone())
            ));
        } else if let Some(listed) = self.listed.first() {
            page.line(format!("to see the entries of a key: reconcile-balances --explain {}", listed.key));
        }
        if self.unresolved > 0 {
            match self.last_clean {
                Some(at) => page.line(format!("the last clean run ended {}", time(&at))),
                None => page.line("no run has ended clean before"),
            }
            page.line(
                "find the cause, then correct the balances from the ledger: reconcile-balances --fix-large",
            );
        } else if total == 0 {
            page.marked(Mark::Good, "ledger and balances match");
        }
        alerts::print(page, &self.alerts);
    }
}

/// Several lines, since ids are long and people copy them.
fn difference(page: &mut Page, listed: &Listed, would: &str) {
    let Discrepancy { ledger_qty, balance_qty, .. } = &listed.discrepancy;
    page.line(format!(
        "{}: ledger {}, balance {}, drift {}{}",
        listed.kind,
        side(ledger_qty, "has no entry"),
        side(balance_qty, "is missing"),
        listed.drift,
        if listed.repaired { format!(", {would}corrected") } else { String::new() }
    ));
    page.line(format!("      {}", listed.key));
    for entry in &listed.newest_entries {
        page.line(format!(
            "      entry{}: {} ({})",
            entry.created_at.map(|at| format!(" of {}", time(&at))).unwrap_or_default(),
            side(&entry.quantity, "no quantity"),
            entry.id
        ));
    }
}

pub(super) fn side(quantity: &Option<Quantity>, none: &str) -> String {
    quantity.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
}

pub(super) fn time(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
