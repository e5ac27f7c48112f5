use chrono::{DateTime, Utc};
use stockfoil_core::{
    balance::{
        GonePartition,
        backfill::BackfillReport,
        reconcile::{
            Backdated, Breakage, Correction, Counts, Entered, Listed, NegativeBalance, ReconcileReport,
        },
    },
    ledger::{Discrepancy, Kind, Quantity},
};

use super::{alerts, counted};
use crate::{Mark, Page, Print};

/// How many differences a person is shown; JSON and `stockfoil.finding` hold more.
const SHOWN_MAX: usize = 20;

impl Print for BackfillReport {
    fn print(&self, page: &mut Page) {
        let Self { rows, not_a_number, compare_ms, repair_ms, verify_ms, .. } = self;
        if self.dry_run {
            page.line(format!(
                "{}: {} would be written; nothing was changed",
                counted(self.organizations, "organization"),
                counted(*rows, "balance")
            ));
        } else {
            let keys = self.keys.unwrap_or_default();
            page.line(format!(
                "{}, {}: {rows} written",
                counted(self.organizations, "organization"),
                counted(keys, "balance")
            ));
            let lacking = self.still_lacking.unwrap_or_default();
            if lacking == 0 {
                page.marked(
                    Mark::Good,
                    format!("verified: all {keys} balances are the sum of their ledger entries"),
                );
            } else {
                let why = match self.left_alone {
                    0 => {
                        "though just repaired: something writes the ledger without its triggers, or a trigger, a rule or a type changes what is written to the balances"
                    }
                    _ => "most or all of them since they were left alone",
                };
                page.marked(Mark::Bad, format!("{lacking} balances are not the sum of their entries, {why}"));
                for key in self.lacking_keys.iter().filter(|key| !self.refused.iter().any(|r| r.key == **key))
                {
                    page.line(format!("      {key}"));
                }
                for refused in &self.refused {
                    page.line(format!("      {} could not be written: {}", refused.key, refused.error));
                }
            }
            let total_ms = compare_ms + repair_ms + verify_ms;
            page.line(format!(
                "{} keys/s: compared in {compare_ms} ms, written in {repair_ms} ms, verified in {verify_ms} ms",
                keys * 1000 / total_ms.max(1)
            ));
        }
        gone(page, &self.gone_partitions, true);
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
        let Counts { small, large, orphan, missing, not_a_number, .. } = self.differences;
        let total = small + large + orphan + missing + not_a_number;
        page.line(format!(
            "{} balances compared in {} ms, tolerance {}: {total} differ",
            self.balances, self.compare_ms, self.tolerance
        ));
        page.line(match self.full {
            Some(reason) => format!("every entry was read: {}", reason.as_str()),
            None => format!(
                "new entries were read, those of {} that changed, and the whole history of {}",
                counted(self.marked_keys, "key"),
                counted(self.verified_organizations, "organization")
            ),
        });
        kinds(page, self);
        gone(page, &self.gone_partitions, self.unresolved == 0);
        changed_history(page, self);
        negative(page, self);
        closed(page, self);
        let would = if self.dry_run { "would be " } else { "" };
        mended(page, self, would);
        if let Some(correction) = &self.correction {
            entered(page, correction, would);
        }
        for listed in self.listed.iter().take(SHOWN_MAX) {
            difference(page, listed, would);
        }
        let shown = SHOWN_MAX.min(self.listed.len()) as u64;
        if total > shown {
            page.line(format!("and {} more; --format json and stockfoil.finding have them", total - shown));
        }
        unfinished(page, self);
        next_steps(page, self, total);
        alerts::print(page, &self.alerts);
    }
}

/// Closed partitions that are gone, and what to do, where nothing else says so.
fn gone(page: &mut Page, gone: &[GonePartition], says_what_to_do: bool) {
    if gone.is_empty() {
        return;
    }
    page.marked(Mark::Bad, GonePartition::sentence(gone));
    if says_what_to_do {
        page.line(GonePartition::remedy(gone));
    }
}

/// How many differences there are of each kind.
fn kinds(page: &mut Page, report: &ReconcileReport) {
    let Counts { small, large, orphan, missing, not_a_number, .. } = report.differences;
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
            let mark = if report.unresolved == 0 || kind == Kind::Small { Mark::Warning } else { Mark::Bad };
            page.marked(mark, format!("{count} {kind} ({meaning})"));
        }
    }
}

fn changed_history(page: &mut Page, report: &ReconcileReport) {
    let (seen, open) = (report.changed_history, report.open_history);
    if seen > 0 {
        let keys = counted(seen, "key");
        page.marked(Mark::Bad, format!("old entries of {keys} were changed without the triggers seeing it"));
    }
    if open > seen {
        page.marked(
            Mark::Bad,
            format!(
                "{} of changed old entries open, of earlier runs: the next run of all organizations reads all of the history",
                counted(open - seen, "finding")
            ),
        );
    }
    for history in report.listed_history.iter().take(SHOWN_MAX) {
        page.line(format!(
            "      {}: now {}, sealed {}",
            history.key,
            side(&history.ledger_qty, "nothing"),
            side(&history.sealed_qty, "nothing")
        ));
    }
}

/// The balances below zero, where none may be.
fn negative(page: &mut Page, report: &ReconcileReport) {
    let Some(number @ 1..) = report.negative else { return };
    page.marked(Mark::Bad, format!("{} below zero", counted(number, "balance")));
    for negative in report.listed_negative.iter().take(SHOWN_MAX) {
        page.line(format!("      {}: {}", negative.key, negative.balance_qty));
    }
    page.line(NegativeBalance::REMEDY);
}

/// What is closed, what was entered into it later, and what this run closed.
fn closed(page: &mut Page, report: &ReconcileReport) {
    if let Some(closed) = report.closed.as_ref().filter(|closed| !closed.is_comparable) {
        page.marked(
            Mark::Bad,
            format!(
                "entries before {} were closed under another mapping: what was entered into them later can't be told; close them again",
                closed.closed_before
            ),
        );
    }
    if let Some(number @ 1..) = report.backdated {
        page.marked(
            Mark::Bad,
            format!("closed entries of {} were changed, or others made beside them", counted(number, "key")),
        );
        for backdated in report.listed_backdated.iter().take(SHOWN_MAX) {
            page.line(format!("      {}", backdated.sentence()));
        }
        if report.gone_partitions.is_empty() {
            page.line(Backdated::REMEDY);
        }
    }
    if let Some(closing) = &report.closing {
        match &closing.not_closed {
            Some(why) => {
                page.marked(Mark::Bad, format!("not closed before {}: {why}", closing.closed_before))
            }
            None => page.marked(
                Mark::Good,
                format!(
                    "closed before {}: {}, {} entries",
                    closing.closed_before,
                    counted(closing.keys, "key"),
                    closing.entries
                ),
            ),
        }
    }
}

/// What this run, or time, put right.
fn mended(page: &mut Page, report: &ReconcileReport, would: &str) {
    if report.repaired > 0 {
        page.marked(Mark::Good, format!("{} {would}corrected", report.repaired));
    }
    if report.pruned > 0 {
        page.marked(Mark::Good, format!("{} empty balances {would}removed", report.pruned));
    } else if let Some(empty @ 1..) = report.differences.empty {
        let what = match &report.adopted {
            Some(table) => format!("{table} is the application's table, so they stay"),
            None => "--prune-orphans removes them".to_owned(),
        };
        page.marked(Mark::Plain, format!("{empty} balances are zero and their keys have no entry; {what}"));
    }
    if report.findings.closed > 0 {
        page.marked(
            Mark::Good,
            format!("{} findings of earlier runs are gone, and closed", report.findings.closed),
        );
    }
}

/// What was entered into the ledger.
fn entered(page: &mut Page, correction: &Correction, would: &str) {
    let Correction { reason, role, columns, entered, entries } = correction;
    if *entered == 0 {
        page.marked(Mark::Plain, format!("nothing {would}entered into the ledger"));
        return;
    }
    page.marked(
        Mark::Good,
        format!("{} {would}entered into the ledger by {role}: {reason}", counted(*entered, "difference")),
    );
    let columns: Vec<_> = columns.iter().map(|(name, text)| format!("{name} = {text}")).collect();
    if !columns.is_empty() {
        page.line(format!("      each entry has {}", columns.join(", ")));
    }
    for Entered { kind, discrepancy, key, quantity, entry_id } in entries.iter().take(SHOWN_MAX) {
        let Discrepancy { ledger_qty, balance_qty, .. } = discrepancy;
        page.line(format!(
            "{kind}: ledger {}, balance {}: an entry of {quantity}{}",
            side(ledger_qty, "has no entry"),
            side(balance_qty, "is missing"),
            entry_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"))
        ));
        page.line(format!("      {key}"));
    }
}

/// What a migration or a backfill has still to do.
fn unfinished(page: &mut Page, report: &ReconcileReport) {
    let breakage = Breakage::of(&report.broken_parts);
    for part in &report.broken_parts {
        let remedy = match breakage {
            Some(Breakage::Uncounted) => format!("; {}", Breakage::Uncounted.remedy()),
            _ => String::new(),
        };
        page.marked(Mark::Bad, format!("{} {} {}{remedy}", part.kind, part.name, part.state));
    }
    if breakage == Some(Breakage::OtherFunctions) {
        page.line(Breakage::OtherFunctions.remedy());
    }
    let uncovered = &report.uncovered_partitions;
    if !uncovered.is_empty() {
        page.marked(
            Mark::Warning,
            format!(
                "{} partitions without triggers of their own ({}): what is written straight into them is not counted; run migrate-balance",
                uncovered.len(),
                uncovered.join(", ")
            ),
        );
    }
    for org in &report.not_backfilled {
        page.marked(
            Mark::Bad,
            format!("organization {org} was never backfilled; run backfill-balances --org {org}"),
        );
    }
}

/// What a person does next; `total`: how many differences there are.
fn next_steps(page: &mut Page, report: &ReconcileReport, total: u64) {
    let listed = report.listed.iter().find(|listed| !listed.is_keyless).map(|listed| listed.key.clone());
    let history = || report.listed_history.first().map(|history| history.key.to_string());
    if let Some(key) = listed.or_else(history) {
        page.line(format!("to see the entries of a key: reconcile-balances --explain {key}"));
    }
    if report.unresolved > 0 {
        match report.last_clean {
            Some(at) => page.line(format!("the last clean run ended {}", time(&at))),
            None => page.line("no run has ended clean before"),
        }
        for step in report.next_steps(&report.to_look_at()) {
            page.line(step);
        }
    } else if total == 0 {
        page.marked(Mark::Good, "ledger and balances match");
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
    if let Some(error) = &listed.repair_error {
        page.line(format!("      it could not be corrected: {error}"));
    } else if listed.still_differs {
        page.line("      it was corrected, and read again it still differs: look for a trigger, a rule or a column's type that");
        page.line("      changes what is written, and correct the row itself");
    }
    if listed.is_held {
        page.line("      left alone: closed entries of its key went with a partition");
    }
    if let Some(why) = &listed.not_entered {
        page.line(format!("      it was not entered into the ledger: {why}"));
    }
    if let Some(error) = &listed.entries_error {
        page.line(format!("      its newest entries can't be told: {error}"));
    }
    page.line(format!("      {}", listed.key));
    for entry in &listed.newest_entries {
        page.line(format!(
            "      entry{}: {} ({})",
            entry.created_at.map(|at| format!(" of {}", at.format(TIME))).unwrap_or_default(),
            side(&entry.quantity, "no quantity"),
            entry.id
        ));
    }
}

pub(super) fn side(quantity: &Option<Quantity>, none: &str) -> String {
    quantity.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
}

/// How times are shown.
pub(super) const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

pub(super) fn time(at: &DateTime<Utc>) -> String {
    at.format(TIME).to_string()
}
