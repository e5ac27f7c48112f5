//! The pages, as HTML.

mod overview;
mod row;
mod table;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use stockfoil_core::{
    browse::{Cell, Count, Group, Kind, ORGANIZATIONS_LISTED_MAX, Relation, Snapshot, Table, View},
    db::ServerFacts,
};

use crate::address::Root;

pub(crate) use overview::overview;
pub(crate) use row::row;
pub(crate) use table::table;

/// What every page shows around its own content.
pub(crate) struct Shell<'a> {
    pub(crate) root: &'a Root,
    pub(crate) facts: &'a ServerFacts,
    pub(crate) snapshot: &'a Snapshot,
}

impl Shell<'_> {
    /// The organization's id, for links.
    fn org(&self) -> Option<&str> {
        self.snapshot.organization().map(|organization| organization.id.as_str())
    }

    /// Whether `name` can be followed to.
    fn is_open(&self, name: &stockfoil_core::sql::QualifiedName) -> bool {
        self.snapshot.relations().iter().any(|relation| relation.name == *name && relation.is_readable)
    }

    /// The whole page. `trail` leads to it, `fields` are what the organization switch keeps of its address.
    fn page(&self, page: &Frame<'_>, content: &Markup) -> Markup {
        let organization = self.snapshot.organization();
        document(
            self.root,
            &format!("{} · {}", page.title, self.facts.database),
            &html! {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    a.brand href=(self.root.overview(self.org())) { (mark()) span { "Stockfoil" } " " span.thin { "studio" } }
                    p.place {
                        span.database { (self.facts.database) }
                        span.badge title="Every page is read in a read-only transaction" { "read-only" }
                    }
                    (self.switch(page))
                }
                @if let Some(organization) = organization {
                    p.scope {
                        span { "You see what " strong { (organization.name) } " sees." }
                        " "
                        a href=(page.all_organizations) { "Show all organizations" }
                    }
                }
                div.frame {
                    nav.tables aria-label="Tables" { (self.tables(page.table)) }
                    main #main tabindex="-1" {
                        @if !page.trail.is_empty() {
                            nav.trail aria-label="Breadcrumb" {
                                ol { @for (text, link) in page.trail { li { a href=(link) { (text) } } } }
                            }
                        }
                        (content)
                    }
                }
            },
        )
    }

    fn switch(&self, page: &Frame<'_>) -> Markup {
        let Some(organizations) = self.snapshot.organizations() else { return html! {} };
        let org = self.org();
        html! {
            form.switch method="get" action=(page.path) role="search" aria-label="Organization" {
                @for (name, value) in &page.fields { input type="hidden" name=(name) value=(value); }
                label for="org" { "Organization" }
                @if organizations.len() > ORGANIZATIONS_LISTED_MAX {
                    input #org name="org" value=[org] placeholder="all; type an id" autocomplete="off" spellcheck="false";
                } @else {
                    select #org name="org" {
                        option value="" selected[org.is_none()] { "All organizations" }
                        @for organization in organizations {
                            option value=(organization.id) selected[org == Some(&organization.id)] { (organization.name) }
                        }
                    }
                }
                button { "Show" }
            }
        }
    }

    fn tables(&self, current: Option<&Relation>) -> Markup {
        html! {
            @for (group, title) in GROUPS {
                @let relations: Vec<&Relation> = self.snapshot.relations().iter().filter(|relation| relation.group == group).collect();
                @if !relations.is_empty() {
                    h2 { (title) }
                    ul {
                        @for relation in relations {
                            @let is_current = current.is_some_and(|current| current.name == relation.name);
                            li {
                                @if relation.is_readable {
                                    a href=(self.root.table(&relation.name, self.org(), &View::default())) aria-current=[is_current.then_some("page")] { (relation.name.plain()) }
                                } @else {
                                    span.denied title="This role may not read it" { (relation.name.plain()) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a page tells its frame.
pub(crate) struct Frame<'a> {
    title: &'a str,
    /// The table that the page is about.
    table: Option<&'a Relation>,
    /// What leads here: texts and links.
    trail: &'a [(String, String)],
    /// Where the organization switch sends to, and what it keeps.
    path: String,
    fields: Vec<(&'static str, String)>,
    /// The same page for all organizations.
    all_organizations: String,
}

/// The page behind the link from the terminal: goes on by itself.
pub(crate) fn opened(root: &Root) -> Markup {
    let overview = root.overview(None);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(root, "Stockfoil studio"))
                meta http-equiv="refresh" content={ "0;url=" (overview) };
            }
            body.alone { main { (mark()) h1 { "Opening the studio" } p { a.button href=(overview) { "Continue" } } } }
        }
    }
}

/// The page for who has no session.
pub(crate) fn closed(root: &Root) -> Markup {
    document(
        root,
        "Stockfoil studio",
        &html! {
            main.alone {
                (mark())
                h1 { "This studio is closed to you" }
                p { "Open the link that " code { "db-studio" } " printed. It opens once, for one browser; for another one start the studio again." }
                p { a href=(root.overview(None)) { "I have opened it here before" } }
            }
        },
    )
}

/// A page that only says what went wrong.
pub(crate) fn refusal(root: &Root, title: &str, text: &str) -> Markup {
    document(
        root,
        title,
        &html! {
            main.alone {
                (mark())
                h1 { (title) }
                p { (sentence(text)) }
                p { a.button href=(root.overview(None)) { "List of tables" } }
            }
        },
    )
}

/// The groups of tables, with their headings.
const GROUPS: [(Group, &str); 2] = [(Group::Inventory, "Inventory"), (Group::Stockfoil, "Stockfoil’s own")];

fn document(root: &Root, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(root, title)) }
            body { (body) }
        }
    }
}

fn head(root: &Root, title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) }
        link rel="stylesheet" href=(root.style());
    }
}

/// The product's mark: sheets of foil.
fn mark() -> Markup {
    PreEscaped(
        r#"<svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path class="m3" d="M12 11.5 22 16l-10 5L2 16z"/><path class="m2" d="M12 7 22 11.5l-10 5-10-5z"/><path class="m1" d="M12 2.5 22 7l-10 5L2 7z"/></svg>"#.to_owned(),
    )
}

/// A value. Where `link` is given it leads there.
fn value(cell: &Cell, link: Option<&str>) -> Markup {
    let text = match cell.text.as_deref() {
        None => return html! { span.null { "NULL" } },
        Some("") => html! { span.blank { "empty text" } },
        Some(text) => html! { (text) @if cell.is_cut { span.cut { "…" } } },
    };
    match (link, &cell.label) {
        (None, _) => text,
        (Some(link), None) => html! { a.reference href=(link) { (text) } },
        (Some(link), Some(label)) => {
            html! { a.reference href=(link) { span.label { (label) } " " span.id { (text) } } }
        }
    }
}

/// Where the cells' foreign key over the column at `index` leads.
fn follow(shell: &Shell<'_>, table: &Table, cells: &[Cell], index: usize) -> Option<String> {
    let key = table.reference(table.columns.get(index)?)?;
    if !shell.is_open(&key.to) {
        return None;
    }
    let whole = |name: &stockfoil_core::sql::Ident| {
        let place = table.columns.iter().position(|column| column.name == *name)?;
        let cell = cells.get(place)?;
        if cell.is_cut { None } else { cell.text.as_deref() }
    };
    let values: Option<Vec<&str>> = key.from_columns.iter().map(whole).collect();
    let pairs = key.to_columns.iter().map(|column| column.as_str()).zip(values?);
    Some(shell.root.row(&key.to, shell.org(), pairs))
}

fn kind(relation: &Relation) -> Option<&'static str> {
    match relation.kind {
        Kind::Table => None,
        Kind::Partitioned => Some("partitioned"),
        Kind::View => Some("view"),
        Kind::MaterializedView => Some("materialized view"),
        Kind::Foreign => Some("foreign table"),
    }
}

fn rows(count: Count) -> String {
    match count {
        Count::Exactly(rows) => thousands(rows),
        Count::About(rows) => format!("≈ {}", thousands(rows)),
    }
}

/// `1234567` as `1,234,567`.
fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a unit, as PostgreSQL counts them (1 kB = 1024 bytes), with one decimal below ten.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut tenths, mut unit) = (i128::from(bytes.max(0)) * 10, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    match (unit, tenths) {
        (0, _) => format!("{} bytes", tenths / 10),
        (_, 100..) => format!("{} {}", (tenths + 5) / 10, UNITS[unit]),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1234567, "-1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 kB"),
            (10 << 10, "10 kB"),
            (1536, "1.5 kB"),
            (45_088_768, "43 MB"),
            (3 << 30, "3.0 GB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
