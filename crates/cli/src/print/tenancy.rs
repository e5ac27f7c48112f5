use std::collections::BTreeMap;

use stockfoil_core::{
    report::{Outcome, Report as _},
    tenancy::{
        api_key::ApiKey,
        organization::{OrgCreated, OrgList},
        users::{Move, UsersAssigned},
    },
};

use super::Print;
use crate::{Mark, Page};

/// How many rows a person is shown; JSON has them all.
const ROWS_MAX: usize = 20;

impl Print for OrgCreated {
    fn print(&self, page: &mut Page) {
        let Self { id, name, subdomain, is_active, api_key_id, api_key, .. } = self;
        page.marked(Mark::Good, format!("organization {id} created"));
        page.line(format!("      name       {name}"));
        page.line(format!("      subdomain  {}", subdomain.as_ref().map_or("none", |label| label.as_str())));
        page.line(format!("      active     {}", yes_or_no(*is_active)));
        page.line(format!("      key id     {api_key_id}"));
        match api_key.as_ref().map(ApiKey::expose) {
            Some(key) => {
                page.line(format!("      API key    {key}"));
                page.line("                 store it now: it can't be shown again");
            }
            None => page.line("      API key    as given"),
        }
    }
}

impl Print for OrgList {
    fn print(&self, page: &mut Page) {
        page.table(
            ["ID", "NAME", "SUBDOMAIN", "ACTIVE", "USERS", "ITEMS", "CREATED"],
            self.organizations.iter().map(|org| {
                [
                    visible(org.id.as_str()),
                    visible(&org.name),
                    org.subdomain.as_deref().map_or_else(|| "-".into(), visible),
                    yes_or_no(org.is_active).into(),
                    count(org.users),
                    count(org.items),
                    org.created_at.format("%Y-%m-%d").to_string(),
                ]
            }),
        );
        if self.organizations.is_empty() {
            page.line(if self.active_only { "no active organization" } else { "no organization" });
        }
    }
}

impl Print for UsersAssigned {
    fn print(&self, page: &mut Page) {
        let Self { org_id, dry_run, stopped, users, already_there, conflicts, .. } = self;
        let moved = match (users.len(), *dry_run || stopped.is_some()) {
            (0, _) => format!("no user to move to {org_id}"),
            (count, true) => format!("{} would move to {org_id}{}", counted(count), origins(users)),
            (count, false) => format!("{} moved to {org_id}{}", counted(count), origins(users)),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, moved);
        if *already_there > 0 {
            page.line(format!("      {} already there", counted(*already_there)));
        }
        if let Some(reason) = stopped {
            page.line(format!("      nothing was changed: {reason}"));
        }
        page.table(
            ["CAN'T MOVE", "EMAIL", "KEY", "TAKEN BY"],
            conflicts.iter().take(ROWS_MAX).map(|user| {
                let email = user.email.as_deref().map_or_else(|| "-".into(), visible);
                [visible(&user.user_id), email, visible(&user.key), visible(&user.other_user_id)]
            }),
        );
        more(page, conflicts.len());
        page.table(
            ["USER", "EMAIL", "FROM"],
            users.iter().take(ROWS_MAX).map(|user| {
                let email = user.email.as_deref().map_or_else(|| "-".into(), visible);
                [visible(&user.user_id), email, user.from.as_deref().map_or_else(|| "-".into(), visible)]
            }),
        );
        more(page, users.len());
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A count, or nothing where there is nothing to count.
fn count(rows: Option<i64>) -> String {
    rows.map(|rows| rows.to_string()).unwrap_or_default()
}

fn counted(users: usize) -> String {
    format!("{users} {}", if users == 1 { "user" } else { "users" })
}

/// How many come from where, the most first.
fn origins(users: &[Move]) -> String {
    let mut origins: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users {
        *origins.entry(user.from.as_deref().unwrap_or("no organization")).or_default() += 1;
    }
    let mut origins: Vec<_> = origins.into_iter().collect();
    origins.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let from: Vec<String> =
        origins.iter().map(|(from, count)| format!("{count} from {}", visible(from))).collect();
    format!(": {}", from.join(", "))
}

fn more(page: &mut Page, rows: usize) {
    if rows > ROWS_MAX {
        page.line(format!("... and {} more; --format json lists them all", rows - ROWS_MAX));
    }
}

/// A text from the application's tables, which must not steer the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}
