use stockfoil_core::client::{Generated, Proposal, State};

use crate::{Mark, Page, Print};

impl Print for Generated {
    fn print(&self, page: &mut Page) {
        if let Some(source) = &self.source {
            page.line(source.trim_end_matches('\n'));
        }
        let Some(path) = &self.path else { return };
        let path = path.display();
        let (tables, enums) = (self.tables, self.enums);
        let remedy = format!("run db-generate --lang {} --out {path}", self.language);
        match self.state {
            State::Returned => {}
            State::Written => {
                page.marked(Mark::Good, format_args!("{path}: written; {tables} tables, {enums} enums"));
            }
            State::Current => {
                page.marked(Mark::Good, format_args!("{path}: current; {tables} tables, {enums} enums"));
            }
            State::Stale => {
                let line = self.first_difference.unwrap_or(1);
                page.marked(Mark::Bad, format_args!("{path}: stale from line {line}; {remedy}"));
            }
            State::Missing => page.marked(Mark::Bad, format_args!("{path}: missing; {remedy}")),
        }
    }
}

impl Print for Proposal {
    fn print(&self, page: &mut Page) {
        if let Some(source) = &self.source {
            page.line(source.trim_end_matches('\n'));
        }
        let Some(path) = &self.path else { return };
        let (path, tables) = (path.display(), self.tables.len());
        if let Some(reason) = &self.refused {
            page.marked(
                Mark::Bad,
                format_args!("{path}: written, but every command would refuse it: {reason}"),
            );
            return;
        }
        if let Some(organizations) = &self.organizations {
            let (table, reasons) = (&organizations.table, organizations.reasons.join("; "));
            let told =
                format_args!("{path}: written, but {table} seems to hold organizations already: {reasons}");
            page.marked(Mark::Bad, told);
            return;
        }
        match (&self.ledger, &self.guess) {
            (Some(ledger), Some(guess)) => {
                let (ledger, reason) = (&ledger.table, &guess.reason);
                page.marked(
                    Mark::Bad,
                    format_args!("{path}: written; ledger {ledger}, but the sign is a guess: {reason}"),
                );
                let [one, other] = &guess.readings;
                for (key, first, second) in &guess.keys {
                    page.line(format_args!("    {key}: {first} if {one}, {second} if {other}"));
                }
            }
            (Some(ledger), None) => {
                let ledger = &ledger.table;
                page.marked(
                    Mark::Good,
                    format_args!(
                        "{path}: written; {tables} tables, ledger {ledger}; read its reasons before use"
                    ),
                );
            }
            (None, _) => page.marked(
                Mark::Bad,
                format_args!(
                    "{path}: written, but no table is likely enough to be the ledger; name it there"
                ),
            ),
        }
    }
}
