//! The list of tables.

use maud::{Markup, html};
use stockfoil_core::browse::{Count, Relation, View};

use super::{Frame, GROUPS, Shell, kind, rows, size};

/// Widest bar, in units of its own drawing.
const BAR: i64 = 100;

/// All tables; `counts` are those of the snapshot's relations.
pub(crate) fn overview(shell: &Shell<'_>, counts: &[Option<Count>]) -> Markup {
    let relations = shell.snapshot.relations();
    let largest = relations.iter().map(|relation| relation.bytes).max().unwrap_or_default().max(1);
    let total: i64 = relations.iter().map(|relation| relation.bytes).sum();
    let content = html! {
        h1 { (shell.facts.database) }
        p.facts {
            span { "PostgreSQL " (shell.facts.version) }
            span { "at " code { (shell.facts.place) } }
            span { "as " code { (shell.facts.role) } }
            @if shell.snapshot.organization().is_none() { span { (size(total)) " in " (relations.len()) " tables" } }
            @if shell.facts.read_only { span { "standby or read-only session" } }
        }
        @if relations.is_empty() {
            p.nothing {
                @if shell.snapshot.organization().is_some() { "No table has an organization column yet; migrate-org adds it." }
                @else { "This database has no tables yet; db-migrate creates the default inventory." }
            }
        }
        @for (group, title) in GROUPS {
            @let members: Vec<(&Relation, &Option<Count>)> = relations.iter().zip(counts).filter(|(relation, _)| relation.group == group).collect();
            @if !members.is_empty() {
                section {
                    h2 { (title) }
                    div.grid.list.overview tabindex="0" role="region" aria-label=(title) {
                        table {
                            thead { tr { th scope="col" { "Table" } th.number scope="col" { "Rows" } th.number scope="col" { "Size" } th.share scope="col" { span.unseen { "Share" } } th.about scope="col" { "About" } } }
                            tbody { @for (relation, count) in members { (line(shell, relation, *count, largest)) } }
                        }
                    }
                }
            }
        }
        @let outside = shell.snapshot.outside();
        @if !outside.is_empty() {
            p.note {
                "Not shown, since no organization’s: "
                @for (index, relation) in outside.iter().enumerate() { @if index > 0 { ", " } code { (relation.name.plain()) } }
                "."
            }
        }
    };
    let frame = Frame {
        title: "Tables",
        table: None,
        trail: &[],
        path: shell.root.overview(None),
        fields: Vec::new(),
        all_organizations: shell.root.overview(None),
    };
    shell.page(&frame, &content)
}

fn line(shell: &Shell<'_>, relation: &Relation, count: Option<Count>, largest: i64) -> Markup {
    let share = i128::from(relation.bytes) * i128::from(BAR) / i128::from(largest);
    html! {
        tr {
            th scope="row" {
                @if relation.is_readable { a href=(shell.root.table(&relation.name, shell.org(), &View::default())) { (relation.name.plain()) } }
                @else { span.denied { (relation.name.plain()) } }
            }
            td.number { @if let Some(count) = count { (rows(count)) } @else { span.faint { "–" } } }
            td.number { @if relation.bytes > 0 { (size(relation.bytes)) } @else { span.faint { "–" } } }
            td.share { svg.bar viewBox="0 0 100 6" width="100" height="6" preserveAspectRatio="none" aria-hidden="true" { rect width=(share) height="6" rx="1" {} } }
            td.about {
                @if let Some(kind) = kind(relation) { span.tag { (kind) } " " }
                @if !relation.is_readable { span.tag { "no permission" } " " }
                @if !relation.is_scoped() && shell.snapshot.organizations().is_some() { span.tag title="It has no organization column, so it is shown under no organization" { "not by organization" } " " }
                @if let Some(comment) = &relation.comment { (comment) }
            }
        }
    }
}
