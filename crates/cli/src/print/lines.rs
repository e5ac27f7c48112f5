//! What became of files that ask for many things at once.

use stockfoil_core::{
    report::{Outcome, Report as _},
    tenancy::{
        api_key::ApiKey,
        lines::Mistake,
        organization::file::{Made, OrgsCreated, Shown},
        users::{Members, file::PeopleAssigned},
    },
};

use super::{
    Print, counted,
    tenancy::{ROWS_MAX, more, visible},
};
use crate::{Mark, Page};

impl Print for OrgsCreated {
    fn print(&self, page: &mut Page) {
        let Self { applied, made, present, mistakes, .. } = self;
        let is_done = *applied || (!self.dry_run && made.is_empty() && mistakes.is_empty());
        let done = format!(
            "{} {}",
            counted(made.len(), "organization"),
            if is_done { "made" } else { "would be made" }
        );
        let there = match present.len() {
            0 => String::new(),
            1 => ", 1 was there already".to_owned(),
            count => format!(", {count} were there already"),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, format!("{done}{there}"));
        wrong(page, mistakes);
        page.table(
            ["ORGANIZATION", "LINE", "NAME", "SUBDOMAIN", "KEY", "LABEL", "SCOPES"],
            made.iter().map(|made| {
                let [id, line, name, subdomain] = shown(&made.organization);
                let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), visible);
                let Made { api_key_id, api_key_label, api_key_scopes, .. } = made;
                [id, line, name, subdomain, text(api_key_id), text(api_key_label), text(api_key_scopes)]
            }),
        );
        page.table(["THERE ALREADY", "LINE", "NAME", "SUBDOMAIN"], present.iter().take(ROWS_MAX).map(shown));
        more(page, present.len());
        keys(page, made);
    }
}

impl Print for PeopleAssigned {
    fn print(&self, page: &mut Page) {
        let Self {
            applied, run_id, stopped, users, organizations, already_there, conflicts, mistakes, ..
        } = self;
        let there = match already_there {
            0 => String::new(),
            count => format!(", {} already there", counted(*count, "user")),
        };
        let moved = match users.len() {
            0 => "no user to move".to_owned(),
            count => format!("{} {}", counted(count, "user"), if *applied { "moved" } else { "would move" }),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, format!("{moved}{there}"));
        if let Some(run) = run_id {
            page.line(format!("      run {0}; users-assign --undo {0} puts them back", run.0));
        }
        if let Some(reason) = stopped.as_ref().filter(|_| mistakes.is_empty()) {
            page.line(format!("      nothing was changed: {reason}"));
        }
        wrong(page, mistakes);
        page.table(
            ["ORGANIZATION", "USERS BEFORE", "AFTER"],
            organizations.iter().map(|Members { org_id, before, after }| {
                let org = org_id.as_deref().map_or_else(|| "none".into(), visible);
                [org, before.to_string(), after.to_string()]
            }),
        );
        let email = |email: &Option<String>| email.as_deref().map_or_else(|| "-".into(), visible);
        page.table(
            ["CAN'T MOVE", "EMAIL", "TO", "KEY", "TAKEN BY"],
            conflicts.iter().take(ROWS_MAX).map(|at| {
                let user = &at.conflict;
                let (to, key) = (visible(at.to.as_str()), visible(&user.key));
                [visible(&user.user_id), email(&user.email), to, key, visible(&user.other_user_id)]
            }),
        );
        more(page, conflicts.len());
        page.table(
            ["USER", "EMAIL", "FROM", "TO"],
            users.iter().take(ROWS_MAX).map(|user| {
                let from = user.from.as_deref().map_or_else(|| "-".into(), visible);
                [visible(&user.user_id), email(&user.email), from, visible(user.to.as_str())]
            }),
        );
        more(page, users.len());
    }
}

/// Keys that are new, each on a line of its own, which no table breaks.
fn keys(page: &mut Page, made: &[Made]) {
    let key = |made: &Made| made.api_key.as_ref().map(ApiKey::expose).map(str::to_owned);
    let keys: Vec<(&Made, String)> = made.iter().filter_map(|made| Some((made, key(made)?))).collect();
    if keys.is_empty() {
        return;
    }
    page.heading(format!(
        "{}, which can't be shown again: store {}",
        counted(keys.len(), "API key"),
        if keys.len() == 1 { "it" } else { "them" }
    ));
    for (Made { organization, .. }, key) in keys {
        let id = organization.id.as_ref().map_or_else(|| "-".into(), |id| visible(id.as_str()));
        page.line(format!("{id} {key}"));
    }
}

/// What names an organization, its id first: that column is never broken.
fn shown(shown: &Shown) -> [String; 4] {
    let Shown { line, id, name, subdomain } = shown;
    let id = id.as_ref().map_or_else(|| "-".into(), |id| visible(id.as_str()));
    [id, line.to_string(), visible(name), subdomain.as_deref().map_or_else(|| "-".into(), visible)]
}

/// What is wrong with a file, every line of it.
fn wrong(page: &mut Page, mistakes: &[Mistake]) {
    if mistakes.is_empty() {
        return;
    }
    page.line(format!("      nothing was changed: {} in the file", counted(mistakes.len(), "mistake")));
    for Mistake { line, what } in mistakes {
        page.line(format!("      line {line}: {}", visible(what)));
    }
}
