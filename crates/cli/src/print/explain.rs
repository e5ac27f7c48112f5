use stockfoil_core::{
    balance::explain::{ExplainReport, NewEntries, PastFinding, RunningEntry},
    ledger::{Discrepancy, Kind},
};

use super::{
    balances::{TIME, side, time},
    counted,
};
use crate::{Mark, Page, Print};

impl Print for ExplainReport {
    fn print(&self, page: &mut Page) {
        let Discrepancy { key, ledger_qty, balance_qty } = &self.discrepancy;
        page.heading(&self.key);
        let lot = key.lot_id.as_ref().map_or_else(|| ", no lot".to_owned(), |lot| format!(", lot {lot}"));
        let place = if key.location_id.is_empty() {
            String::new()
        } else {
            format!(", location {}", key.location_id)
        };
        page.line(format!("organization {}, item {}{place}{lot}", key.org_id, key.item_id));
        let sides = format!(
            "ledger {}, balance {}",
            side(ledger_qty, "has no entry"),
            side(balance_qty, "is missing")
        );
        match self.agrees() {
            true => page.marked(Mark::Good, format!("{sides}: they agree")),
            false => page.marked(
                if self.kind == Kind::Small { Mark::Warning } else { Mark::Bad },
                format!("{}: {sides}, drift {}, tolerance {}", self.kind, self.drift, self.tolerance),
            ),
        }
        for clue in &self.clues {
            page.marked(Mark::Bad, clue);
        }
        for part in &self.broken_parts {
            page.marked(Mark::Bad, format!("{} {} {}", part.kind, part.name, part.state));
        }
        since(page, self);
        entries(page, self);
        page.table(
            ["finding", "kind", "seen by runs", "ledger", "balance", "sealed", "end"],
            self.findings.iter().map(finding),
        );
    }
}

/// When both sides last agreed, and what changed since.
fn since(page: &mut Page, report: &ExplainReport) {
    match &report.last_agreed {
        Some(agreed) => page.line(format!(
            "they last agreed in run {}{}{}",
            agreed.run_id.0,
            agreed.at.map(|at| format!(", {}", time(&at))).unwrap_or_default(),
            if agreed.has_mended { ", which corrected the balance" } else { "" }
        )),
        None => page.line("no run that is on record saw them agree"),
    }
    if let Some(NewEntries { entries, quantity }) = &report.new_entries {
        page.line(format!("new since: {}, together {quantity}", entries_of(*entries)));
    }
    if let Some(sealed) = &report.sealed {
        let marks = match sealed.marks {
            0 => "none was updated or deleted through the triggers since".to_owned(),
            marks => format!("{} of updates or deletes since", counted(marks, "mark")),
        };
        page.line(format!(
            "sealed by run {}, {}: {}, together {}; now {}, together {}; {marks}",
            sealed.run_id.0,
            time(&sealed.at),
            entries_of(sealed.sealed_entries),
            sealed.sealed_qty,
            entries_of(sealed.ledger_entries),
            sealed.ledger_qty
        ));
    }
}

fn entries(page: &mut Page, report: &ExplainReport) {
    let opening = report.opening.iter().map(|opening| {
        let before = format!("{} before", opening.entries);
        [before, String::new(), String::new(), opening.balance.to_string(), String::new()]
    });
    let shown = report.entries.iter().map(|entry: &RunningEntry| {
        [
            entry.id.clone(),
            entry.created_at.map(|at| at.format(TIME)).unwrap_or_default(),
            side(&entry.quantity, "none"),
            entry.balance.to_string(),
            if entry.is_new == Some(true) { "new".to_owned() } else { String::new() },
        ]
    });
    page.table(["entry", "time", "quantity", "balance", ""], opening.chain(shown));
}

fn finding(finding: &PastFinding) -> [String; 7] {
    let runs = match finding.opened_run == finding.last_run {
        true => finding.opened_run.0.to_string(),
        false => format!("{} to {}", finding.opened_run.0, finding.last_run.0),
    };
    let end = match (finding.closed_run, finding.repaired) {
        (Some(run), _) if finding.entry_id.is_some() => format!(
            "fixed by entry {} of run {}: {}",
            finding.entry_id.as_deref().unwrap_or_default(),
            run.0,
            finding.reason.as_deref().unwrap_or_default()
        ),
        (Some(run), true) => format!("corrected, closed by run {}", run.0),
        (Some(run), false) => format!("closed by run {}", run.0),
        (None, true) => "corrected".to_owned(),
        (None, false) => "open".to_owned(),
    };
    [
        finding.id.to_string(),
        finding.kind.clone(),
        runs,
        side(&finding.ledger_qty, "-"),
        side(&finding.balance_qty, "-"),
        side(&finding.sealed_qty, "-"),
        end,
    ]
}

fn entries_of(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}
