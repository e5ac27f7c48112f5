use stockfoil_core::migration::versioned::{State, Versions};

use crate::{Page, Print};

impl Print for Versions {
    fn print(&self, page: &mut Page) {
        page.table(
            ["version", "migration", "state"],
            self.versions.iter().map(|version| {
                [
                    version.version.to_string(),
                    version.description.clone(),
                    word(version.state, self.dry_run).into(),
                ]
            }),
        );
        let (now, baselined, pending) =
            (self.count(State::AppliedNow), self.count(State::Baselined), self.count(State::Pending));
        match (self.status || self.dry_run, pending) {
            (false, _) => page.line(format!("{now} applied, {baselined} recorded as a baseline")),
            (true, 0) => page.line("nothing is pending"),
            (true, _) => page.line(format!("{pending} pending; db-migrate applies them")),
        }
    }
}

fn word(state: State, dry_run: bool) -> &'static str {
    match state {
        State::Applied => "applied",
        State::AppliedNow => "applied now",
        State::Baselined if dry_run => "would be recorded: its tables are there",
        State::Baselined => "recorded, not run: its tables are there",
        State::TakenBack => "taken back",
        State::Pending => "pending",
        State::Changed => "CHANGED since it was applied",
        State::Unknown => "UNKNOWN: no file has it",
    }
}
