//! A row's page: every column, and what refers to the row.

use maud::{Markup, html};
use stockfoil_core::browse::{Referrer, Row, Table, View};

use super::{Frame, Shell, follow, rows, value};

/// The row whose columns hold `values`.
pub(crate) fn row(shell: &Shell<'_>, table: &Table, values: &[(String, String)], row: &Row) -> Markup {
    let relation = &table.relation;
    let name = relation.name.plain();
    let title = title(table, row, values);
    let content = html! {
        h1 { (title) }
        @if row.has_others {
            p.notice { "Several rows have these values; this is one of them." }
        }
        dl.record {
            @for (index, (column, cell)) in table.columns.iter().zip(&row.cells).enumerate() {
                div {
                    dt {
                        span.name { (column.name.as_str()) }
                        span.type { @if table.is_key(column) { abbr title="Part of the key" { "key" } " " } (column.type_name) }
                    }
                    dd.json[column.is_json] {
                        @if column.is_readable { (value(cell, follow(shell, table, &row.cells, index).as_deref())) }
                        @else { span.denied { "no permission" } }
                        @if cell.is_cut { p.note { "Only the beginning is shown; the whole is longer than a page should be." } }
                    }
                }
            }
        }
        @if !row.referrers.is_empty() {
            section {
                h2 { "Referred to by" }
                ul.referrers { @for referrer in &row.referrers { li { (referrer_line(shell, referrer)) } } }
            }
        }
    };
    let pairs: Vec<(&str, &str)> =
        values.iter().map(|(column, value)| (column.as_str(), value.as_str())).collect();
    let fields = pairs
        .iter()
        .flat_map(|(column, value)| [("col", (*column).to_owned()), ("val", (*value).to_owned())]);
    let frame = Frame {
        title: &format!("{title} · {name}"),
        table: Some(relation),
        trail: &[
            ("Tables".into(), shell.root.overview(shell.org())),
            (name.clone(), shell.root.table(&relation.name, shell.org(), &View::default())),
        ],
        path: shell.root.row(&relation.name, None, []),
        fields: fields.collect(),
        all_organizations: shell.root.row(&relation.name, None, pairs.iter().copied()),
    };
    shell.page(&frame, &content)
}

/// The row's name where it has one, else its key.
fn title(table: &Table, row: &Row, values: &[(String, String)]) -> String {
    let named = table.columns.iter().zip(&row.cells).find(|(column, _)| column.name.as_str() == "name");
    match named.and_then(|(_, cell)| cell.text.clone()).filter(|name| !name.trim().is_empty()) {
        Some(name) => name.chars().take(100).collect(),
        None => {
            let values: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
            values.join(", ").chars().take(200).collect()
        }
    }
}

fn referrer_line(shell: &Shell<'_>, referrer: &Referrer) -> Markup {
    let key = &referrer.key;
    let columns: Vec<&str> = key.from_columns.iter().map(|column| column.as_str()).collect();
    let view = View { filters: referrer.filters.clone(), ..View::default() };
    html! {
        a href=(shell.root.table(&key.from, shell.org(), &view)) { (key.from.plain()) }
        " " span.faint { "by " (columns.join(", ")) }
        span.count {
            @match referrer.count {
                Some(count) => (rows(count)),
                None => { span.faint title="Without an index, counting would read the whole table" { "not counted" } }
            }
        }
    }
}
