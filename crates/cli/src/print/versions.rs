use stockfoil_core::migration::versioned::{State, Versions};

use crate::{Mark, Page, Print};

impl Print for Versions {
    fn print(&self, page: &mut Page) {
        page.table(
            ["version", "migration", "state"],
            self.versions.iter().map(|version| {
                [
                    version.version.to_string(),
                    version.description.clone(),
                    word(version.state, self.by_name).into(),
                ]
            }),
        );
        for table in &self.shared {
            page.line(format!(
                "versions of Stockfoil's own are recorded in {table}, which is sqlx's; db-migrate moves them into stockfoil.migration"
            ));
        }
        for warning in &self.warnings {
            page.marked(Mark::Warning, warning);
        }
        if let Some(obstacle) = &self.in_the_way {
            page.line(format!("in the way: {obstacle}"));
        }
        let (now, baselined) = (self.count(State::AppliedNow), self.count(State::Baselined));
        let pending = self.count(State::Pending) + self.count(State::ToRecord);
        if !self.status && !self.dry_run {
            page.line(format!("{now} applied, {baselined} recorded as a baseline"));
        }
        match (self.status || self.dry_run, pending) {
            (_, 1..) => page.line(format!("{pending} pending; db-migrate applies them")),
            (true, 0) => page.line("nothing is pending"),
            (false, 0) => {}
        }
    }
}

fn word(state: State, by_name: bool) -> &'static str {
    match state {
        State::Applied => "applied",
        State::Recorded => "recorded earlier, not run",
        State::AppliedNow => "applied now",
        State::ToRecord => "would be recorded: its tables are there",
        State::Baselined if by_name => {
            "recorded as --baseline says, not run: nobody looked for what it makes"
        }
        State::Baselined => "recorded, not run: its tables are there",
        State::TakenBack => "taken back",
        State::Forgotten => "forgotten; its tables stay",
        State::Pending => "pending",
        State::Changed => "CHANGED since it was applied",
        State::Unknown => "UNKNOWN: no file has it",
        State::Unfinished => "UNFINISHED: another migrator began it",
    }
}
