use std::collections::BTreeMap;

use stockfoil_core::{
    report::{Outcome, Report as _},
    tenancy::{
        api_key::ApiKey,
        data::{Conflict, DataAssigned, Shared, TableMoves, Undone},
        ending::KeysEnding,
        keys::KeySummary,
        merge::OrgMerged,
        organization::{OrgCreated, OrgList},
        subdomain::Subdomain,
        update::{Changed, OrgUpdated},
        usage::OrgUsage,
        users::{Move, UsersAssigned},
    },
    timestamp::Timestamp,
};

use super::{Print, counted};
use crate::{Mark, Page};

/// How many rows a person is shown; JSON has them all.
pub(super) const ROWS_MAX: usize = 20;

impl Print for OrgCreated {
    fn print(&self, page: &mut Page) {
        let Self { id, name, subdomain, is_active, api_key_id, api_key, api_key_expires_at, .. } = self;
        page.marked(Mark::Good, format!("organization {id} created"));
        organization(page, name, subdomain.as_ref().map(Subdomain::as_str), *is_active);
        if let Some(id) = api_key_id {
            new_key(page, id, api_key.as_ref());
        }
        described(page, self.api_key_label.as_deref(), self.api_key_scopes.as_deref());
        if let Some(end) = api_key_expires_at {
            page.line(format!("      key ends   {}", minute((*end).into())));
        }
    }
}

impl Print for OrgUpdated {
    fn print(&self, page: &mut Page) {
        let Self { id, name, subdomain, is_active, changed, api_key_id, api_key, .. } = self;
        let done = match self.run_id {
            Some(_) => "changed",
            None => "is as it was",
        };
        page.marked(Mark::Good, format!("organization {id} {done}"));
        organization(page, name, subdomain.as_deref(), *is_active);
        for Changed { field, from, .. } in changed {
            page.line(format!("      {field} was {}", visible(&from.to_string())));
        }
        if let Some(id) = api_key_id {
            new_key(page, id, api_key.as_ref());
        }
        if let Some(key) = &self.described_key {
            page.line(format!("      described  {key}"));
        }
        for (what, keys) in [("ending", &self.ended_keys), ("revoked", &self.revoked_keys)] {
            if !keys.is_empty() {
                page.line(format!("      {what:<10} {}", keys.join(", ")));
            }
        }
        page.table(
            ["KEY", "STATE", "CREATED", "EXPIRES", "REVOKED", "LAST USED"],
            self.keys.iter().map(|key| {
                let KeySummary { key_id, state, created_at, expires_at, revoked_at, last_used_on, .. } = key;
                [
                    visible(key_id),
                    state.as_str().into(),
                    minute(*created_at),
                    expires_at.map_or_else(|| "never".into(), minute),
                    revoked_at.map_or_else(|| "-".into(), minute),
                    last_used_on.clone().unwrap_or_else(|| "never".into()),
                ]
            }),
        );
        let is_described = |key: &&KeySummary| key.label.is_some() || key.scopes.is_some();
        page.table(
            ["KEY", "LABEL", "SCOPES"],
            self.keys.iter().filter(is_described).map(|key| {
                let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), visible);
                [visible(&key.key_id), text(&key.label), text(&key.scopes)]
            }),
        );
    }
}

/// What is said of a key, a line each.
fn described(page: &mut Page, label: Option<&str>, scopes: Option<&str>) {
    for (what, text) in [("key label", label), ("key scopes", scopes)] {
        if let Some(text) = text {
            page.line(format!("      {what:<10} {}", visible(text)));
        }
    }
}

/// What is known of an organization, a line each.
fn organization(page: &mut Page, name: &str, subdomain: Option<&str>, is_active: bool) {
    page.line(format!("      name       {}", visible(name)));
    page.line(format!("      subdomain  {}", subdomain.map_or_else(|| "none".into(), visible)));
    page.line(format!("      active     {}", yes_or_no(is_active)));
}

/// A key that is new: the one time that it is shown, where it was made here.
fn new_key(page: &mut Page, id: &str, key: Option<&ApiKey>) {
    page.line(format!("      key id     {id}"));
    match key.map(ApiKey::expose) {
        Some(key) => {
            page.line(format!("      API key    {key}"));
            page.line("                 store it now: it can't be shown again");
        }
        None => page.line("      API key    as given"),
    }
}

/// A time to the minute; what is shown is UTC.
fn minute(time: Timestamp) -> String {
    time.format("%Y-%m-%d %H:%M")
}

impl Print for KeysEnding {
    fn print(&self, page: &mut Page) {
        page.table(
            ["ORGANIZATION", "NAME", "KEY", "ENDS", "LAST USED", "FOLLOWED"],
            self.keys.iter().map(|key| {
                [
                    visible(key.org_id.as_str()),
                    visible(&key.org_name),
                    visible(&key.key_id),
                    minute(key.expires_at),
                    key.last_used_on.clone().unwrap_or_else(|| "-".into()),
                    yes_or_no(key.is_followed).into(),
                ]
            }),
        );
        if self.keys.is_empty() {
            page.line("no API key of an active organization ends in that time");
        }
    }
}

impl Print for OrgUsage {
    fn print(&self, page: &mut Page) {
        let recent = format!("{} DAYS", self.days);
        page.table(
            ["ID", "NAME", "ENTRIES", &recent, "ROWS", "SIZE", "LAST ENTRY", "LIVE KEYS", "LAST KEY USE"],
            self.organizations.iter().map(|org| {
                [
                    visible(org.id.as_str()),
                    visible(&org.name),
                    org.entries.to_string(),
                    org.days.iter().map(|day| day.entries).sum::<i64>().to_string(),
                    org.rows.to_string(),
                    format!("{} kB", org.bytes / 1024),
                    org.last_write.map_or_else(|| "-".into(), |at| at.format("%Y-%m-%d %H:%M")),
                    org.live_keys.to_string(),
                    org.last_key_use.clone().unwrap_or_else(|| "-".into()),
                ]
            }),
        );
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
                    org.created_at.format("%Y-%m-%d"),
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
        let Self { org_id, dry_run, run_id, stopped, users, organizations, already_there, conflicts, .. } =
            self;
        let moved = match (users.len(), *dry_run || stopped.is_some()) {
            (0, _) => format!("no user to move to {org_id}"),
            (count, true) => format!("{} would move to {org_id}{}", counted(count, "user"), origins(users)),
            (count, false) => format!("{} moved to {org_id}{}", counted(count, "user"), origins(users)),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, moved);
        page.table(
            ["ORGANIZATION", "USERS BEFORE", "AFTER"],
            organizations.iter().map(|members| {
                let org = members.org_id.as_deref().map_or_else(|| "none".into(), visible);
                [org, members.before.to_string(), members.after.to_string()]
            }),
        );
        if let Some(run) = run_id {
            page.line(format!("      run {0}; users-assign --undo {0} puts them back", run.0));
        }
        if *already_there > 0 {
            page.line(format!("      {} already there", counted(*already_there, "user")));
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

impl Print for DataAssigned {
    fn print(&self, page: &mut Page) {
        let Self { org_id, from, rows, stopped, left, .. } = self;
        let counted = if *rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        let moved = match (self.tables.is_empty(), self.applied) {
            (true, _) => format!("nothing to move from {from} to {org_id}"),
            (false, false) => format!("{counted} would move from {from} to {org_id}"),
            (false, true) => format!("{counted} moved from {from} to {org_id}"),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, moved);
        if let Some(reason) = stopped {
            let what = if self.applied { "nothing more was changed" } else { "nothing was changed" };
            page.line(format!("      {what}: {reason}"));
        }
        if *left > 0 {
            page.line(format!(
                "      {left} rows have arrived meanwhile and are left; run again when the application writes for {org_id}"
            ));
        }
        moves(page, &self.tables, "COPIES");
        balance_rows(page, self.balance_rows);
        if let Some(run) = self.run_id.filter(|_| self.applied) {
            page.line(format!("      run {0}; data-assign --undo {0} puts them back", run.0));
        }
        shared(page, &self.shared);
        taken(page, &self.conflicts, "CAN'T MOVE");
    }
}

impl Print for OrgMerged {
    fn print(&self, page: &mut Page) {
        let Self { from_org_id: from, into_org_id: into, rows, left, api_keys, .. } = self;
        let counted = if *rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        let moved = match (*rows, self.applied) {
            (0, _) => format!("nothing to move from {from} to {into}"),
            (_, true) => format!("{counted} of {from} moved to {into}"),
            (_, false) => format!("{counted} of {from} would move to {into}"),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, moved);
        if let Some(reason) = &self.stopped {
            let what = if self.applied { "nothing more was changed" } else { "nothing was changed" };
            page.line(format!("      {what}: {reason}"));
        }
        if *left > 0 {
            page.line(format!(
                "      {left} rows have arrived meanwhile and are left; run again when nobody writes for {from}"
            ));
        }
        moves(page, &self.tables, "COPIES");
        balance_rows(page, self.balance_rows);
        let (done, would) = match self.keys {
            "move" => (format!("lead to {into}"), format!("would lead to {into}")),
            _ => ("are revoked".to_owned(), "would be revoked".to_owned()),
        };
        match self.applied && self.deactivated {
            true => {
                page.line(format!("      {from} is inactive; {} API keys of it {done}", self.key_ids.len()))
            }
            false => page.line(format!("      {api_keys} API keys of it {would}")),
        }
        if let Some(run) = self.run_id.filter(|_| *rows > 0) {
            page.line(format!("      run {0}; org-merge --undo {0} puts all of it back", run.0));
        }
        shared(page, &self.shared);
        page.table(
            ["CAN'T MOVE", "TABLE", "ROW", "KEY", "ROW OF THE OTHER"],
            self.conflicts.iter().take(ROWS_MAX).map(|row| {
                let (own, other) = (visible(&row.key), visible(&row.other_key));
                [visible(&row.label), row.table.clone(), own, visible(&row.unique_key), other]
            }),
        );
        more(page, self.conflicts.len());
    }
}

/// Rows that more than one side uses.
fn shared(page: &mut Page, rows: &[Shared]) {
    page.table(
        ["SHARED", "TABLE", "KEY", "USED BY", "MOVING", "STAYING"],
        rows.iter().take(ROWS_MAX).map(|row| {
            let (moving, staying) = (row.moving.to_string(), row.staying.to_string());
            [visible(&row.label), row.table.clone(), visible(&row.key), row.used_by.clone(), moving, staying]
        }),
    );
    more(page, rows.len());
}

/// Rows of the application's own balances, which go with the last of their entries.
fn balance_rows(page: &mut Page, rows: u64) {
    if rows > 0 {
        page.line(format!("      {rows} rows of the balances with their entries"));
    }
}

impl Print for Undone {
    fn print(&self, page: &mut Page) {
        let Self { undone_run, rows, stopped, copies_kept, .. } = self;
        let counted = if *rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        let moved = match self.applied {
            true => format!("{counted} of run {undone_run} put back"),
            false => format!("{counted} of run {undone_run} would go back"),
        };
        let mark = if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad };
        page.marked(mark, moved);
        if let Some(reason) = stopped {
            page.line(format!("      nothing was changed: {reason}"));
        }
        if *copies_kept > 0 {
            page.line(format!("      {copies_kept} copies stay, since rows refer to them"));
        }
        moves(page, &self.tables, "COPIES DELETED");
        balance_rows(page, self.balance_rows);
        page.table(
            ["STAYS", "TABLE", "NOW IN"],
            self.elsewhere.iter().take(ROWS_MAX).map(|row| {
                let org = row.org_id.as_deref().map_or_else(|| "gone".into(), visible);
                [visible(&row.key), row.table.clone(), org]
            }),
        );
        more(page, self.elsewhere.len());
        page.table(
            ["IN THE WAY", "REFERS TO", "ROWS"],
            self.in_the_way.iter().map(|row| [row.table.clone(), row.referred.clone(), row.rows.to_string()]),
        );
        taken(page, &self.conflicts, "CAN'T GO BACK");
    }
}

fn moves(page: &mut Page, tables: &[TableMoves], copies: &str) {
    page.table(
        ["TABLE", "ROWS", copies],
        tables.iter().map(|moved| [moved.table.clone(), moved.rows.to_string(), moved.copies.to_string()]),
    );
}

fn taken(page: &mut Page, conflicts: &[Conflict], heading: &str) {
    page.table(
        [heading, "TABLE", "KEY", "TAKEN BY"],
        conflicts.iter().take(ROWS_MAX).map(|row| {
            [visible(&row.label), row.table.clone(), visible(&row.unique_key), visible(&row.other_key)]
        }),
    );
    more(page, conflicts.len());
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A count, or nothing where there is nothing to count.
fn count(rows: Option<i64>) -> String {
    rows.map(|rows| rows.to_string()).unwrap_or_default()
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

pub(super) fn more(page: &mut Page, rows: usize) {
    if rows > ROWS_MAX {
        page.line(format!("... and {} more; --format json lists them all", rows - ROWS_MAX));
    }
}

/// A text from the application's tables, which must not steer the terminal.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}
