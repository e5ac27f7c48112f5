use stockfoil_core::{
    balance::{
        backfill::BackfillReport,
        reconcile::{Counts, Listed, ReconcileReport},
    },
    ledger::{Kind, Quantity},
};

use crate::{Mark, Page, Print};

/// How many differences a person is shown; JSON and `stockfoil.finding` hold more.
const SHOWN_MAX: usize = 20;

impl Print for BackfillReport {
    fn print(&self, page: &mut Page) {
        let Self { rows, not_a_number, compare_ms, repair_ms, verify_ms, .. } = self;
        if self.dry_run {
            page.line(format!(
                "{} organizations: {rows} balances would be written; nothing was changed",
                self.organizations
            ));
        } else {
            let keys = self.keys.unwrap_or_default();
            page.line(format!("{} organizations, {keys} balances: {rows} written", self.organizations));
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
                format!(
                    "{not_a_number} keys hold entries that are no numbers; reconcile-balances names them"
                ),
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
        for (kind, count, meaning) in [
            (Kind::Small, small, "below the tolerance"),
            (Kind::Large, large, "the tolerance or more"),
            (Kind::Orphan, orphan, "a balance without ledger entries"),
            (Kind::Missing, missing, "ledger entries without a balance"),
            (Kind::NotANumber, not_a_number, "an entry that is no number: correct it in the ledger"),
        ] {
            if count > 0 {
                let mark = if kind == Kind::Small { Mark::Warning } else { Mark::Bad };
                page.marked(mark, format!("{count} {kind} ({meaning})"));
            }
        }
        let would = if self.dry_run { "would be " } else { "" };
        if self.repaired > 0 {
            page.marked(Mark::Good, format!("{} {would}corrected", self.repaired));
        }
        if self.pruned > 0 {
            page.marked(Mark::Good, format!("{} empty balances {would}removed", self.pruned));
        } else if empty > 0 {
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
        page.table(
            ["kind", "org", "item", "location", "lot", "ledger", "balance", "drift", ""],
            self.listed.iter().take(SHOWN_MAX).map(row),
        );
        if self.listed.len() > SHOWN_MAX || total > self.listed.len() as u64 {
            page.line(format!(
                "and {} more; --format json lists them",
                total - (SHOWN_MAX.min(self.listed.len())) as u64
            ));
        }
        for listed in self.listed.iter().take(SHOWN_MAX).filter(|listed| !listed.newest_entries.is_empty()) {
            page.line(format!("newest entries of {}:", listed.discrepancy.key));
            for entry in &listed.newest_entries {
                page.line(format!("  {}  {}  {}", entry.created_at, text(entry.quantity.as_ref()), entry.id));
            }
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
        if self.unresolved > 0 {
            match self.last_clean {
                Some(time) => page.line(format!("the last clean run ended {time}")),
                None => page.line("no run has ended clean before"),
            }
            page.line(
                "find the cause, then correct the balances from the ledger: reconcile-balances --fix-large",
            );
        } else if total == 0 {
            page.marked(Mark::Good, "ledger and balances match");
        }
    }
}

fn row(listed: &Listed) -> [String; 9] {
    let discrepancy = &listed.discrepancy;
    let key = &discrepancy.key;
    [
        listed.kind.to_string(),
        key.org_id.to_string(),
        key.item_id.clone(),
        key.location_id.clone(),
        key.lot_id.clone().unwrap_or_else(|| "-".into()),
        text(discrepancy.ledger_qty.as_ref()),
        text(discrepancy.balance_qty.as_ref()),
        listed.drift.to_string(),
        if listed.repaired { "corrected".into() } else { String::new() },
    ]
}

fn text(quantity: Option<&Quantity>) -> String {
    quantity.map_or_else(|| "-".into(), ToString::to_string)
}
