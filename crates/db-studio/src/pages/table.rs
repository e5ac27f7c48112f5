//! A table's page: filters, rows, columns, keys.

use maud::{Markup, html};
use stockfoil_core::browse::{
    Column, Count, Filter, ForeignKey, Kind, Line, Operator, Page, Sort, Start, Table, View,
};

use super::{Frame, Shell, follow, kind, rows, size, value};
use crate::address::{self, OPERATORS};

/// The table's page; `shown` is the rows with their count, or why there are none.
pub(crate) fn table(
    shell: &Shell<'_>,
    table: &Table,
    view: &View,
    shown: Result<(Page, Count), String>,
) -> Markup {
    let relation = &table.relation;
    let name = relation.name.plain();
    let content = html! {
        h1 { (name) }
        @if let Some(comment) = &relation.comment { p.comment { (comment) } }
        p.facts {
            @if let Ok((_, count)) = &shown {
                span { strong { (rows(*count)) } @if *count == Count::Exactly(1) { " row" } @else { " rows" } @if !view.filters.is_empty() { " found" } }
            }
            @if relation.bytes > 0 { span { (size(relation.bytes)) @if shell.org().is_some() { " with all organizations" } } }
            @if let Some(kind) = kind(relation) { span { (kind) } }
        }
        @if relation.has_row_security && shell.org().is_none() {
            p.notice { "Row-level security holds this role back: choose an organization to see its rows." }
        }
        (filters(shell, table, view))
        @match &shown {
            Err(reason) => { p.notice.wrong role="alert" { (super::sentence(reason)) } }
            Ok((page, _)) => { (grid(shell, table, view, page)) }
        }
        (structure(shell, table))
    };
    let everywhere = View { start: Start::First, ..view.clone() };
    let frame = Frame {
        title: &name,
        table: Some(relation),
        trail: &[("Tables".into(), shell.root.overview(shell.org()))],
        path: shell.root.table(&relation.name, None, &View::default()),
        fields: address::pairs(view),
        all_organizations: shell.root.table(&relation.name, None, &everywhere),
    };
    shell.page(&frame, &content)
}

fn filters(shell: &Shell<'_>, table: &Table, view: &View) -> Markup {
    let name = &table.relation.name;
    let without = |index: usize| {
        let mut view = View { start: Start::First, ..view.clone() };
        view.filters.remove(index);
        shell.root.table(name, shell.org(), &view)
    };
    html! {
        form.filters method="get" action=(shell.root.table(name, None, &View::default())) role="search" aria-label="Filter" {
            @if let Some(org) = shell.org() { input type="hidden" name="org" value=(org); }
            @for (name, value) in address::pairs(view) { input type="hidden" name=(name) value=(value); }
            label.unseen for="col" { "Column" }
            select #col name="col" {
                @for column in table.columns.iter().filter(|column| column.is_readable) { option value=(column.name.as_str()) { (column.name.as_str()) } }
            }
            label.unseen for="op" { "Comparison" }
            select #op name="op" { @for operator in OPERATORS { option value=(address::word(operator)) { (words(operator)) } } }
            label.unseen for="val" { "Value" }
            input #val name="val" type="text" placeholder="value" autocomplete="off" spellcheck="false" autocapitalize="off";
            button { "Filter" }
        }
        @if !view.filters.is_empty() {
            ul.chips aria-label="Filters" {
                @for (index, filter) in view.filters.iter().enumerate() {
                    li { (describe(filter)) a href=(without(index)) aria-label={ "Remove the filter on " (filter.column) } { "×" } }
                }
                @if view.filters.len() > 1 { li.clear { a href=(shell.root.table(name, shell.org(), &View { sort: view.sort.clone(), ..View::default() })) { "Remove all" } } }
            }
        }
    }
}

fn grid(shell: &Shell<'_>, table: &Table, view: &View, page: &Page) -> Markup {
    let name = &table.relation.name;
    let wide = table.key.is_empty();
    html! {
        @if page.lines.is_empty() {
            p.nothing {
                @if view.filters.is_empty() && view.start == Start::First { "No rows" @if shell.org().is_some() { " of this organization" } "." }
                @else { "No row passes here. " a href=(shell.root.table(name, shell.org(), &View::default())) { "Show all rows" } }
            }
        } @else {
            div.grid.rows.wide[wide] tabindex="0" role="region" aria-label={ "Rows of " (name.plain()) } {
                table {
                    thead {
                        tr {
                            @if !table.key.is_empty() { th.open scope="col" { span.unseen { "Row" } } }
                            @for column in &table.columns { (heading(shell, table, view, column)) }
                        }
                    }
                    tbody { @for line in &page.lines { (row(shell, table, line)) } }
                }
            }
        }
        nav.pager aria-label="Pages" {
            @match &page.previous {
                Some(start) => { a.button rel="prev" href=(at(shell, table, view, start)) { "← Previous" } }
                None => { span.button.off { "← Previous" } }
            }
            @match &page.next {
                Some(start) => { a.button rel="next" href=(at(shell, table, view, start)) { "Next →" } }
                None => { span.button.off { "Next →" } }
            }
            @if view.start != Start::First { a href=(at(shell, table, view, &Start::First)) { "First page" } }
            span.faint { (page.lines.len()) @if page.lines.len() == 1 { " row" } @else { " rows" } " on this page" }
        }
    }
}

fn heading(shell: &Shell<'_>, table: &Table, view: &View, column: &Column) -> Markup {
    let name = column.name.as_str();
    let current = view.sort.as_ref().filter(|sort| sort.column == name);
    let (order, arrow) = match current {
        None => (None, ""),
        Some(Sort { descending: false, .. }) => (Some("ascending"), " ↑"),
        Some(Sort { descending: true, .. }) => (Some("descending"), " ↓"),
    };
    // Up, down, and back to the key's order.
    let next = match current {
        None => Some(Sort { column: name.to_owned(), descending: false }),
        Some(Sort { descending: false, .. }) => Some(Sort { column: name.to_owned(), descending: true }),
        Some(_) => None,
    };
    html! {
        th.number[column.is_number] scope="col" aria-sort=[order] title=[column.comment.as_deref()] {
            @if column.is_ordered() {
                a href=(at(shell, table, &View { sort: next, ..view.clone() }, &Start::First)) { (name) (arrow) }
            } @else { span { (name) } }
            span.type {
                @if table.is_key(column) { abbr title="Part of the key" { "key" } " " }
                (column.type_name)
            }
        }
    }
}

fn row(shell: &Shell<'_>, table: &Table, line: &Line) -> Markup {
    let key = table.key.iter().map(|column| column.name.as_str()).zip(line.key.iter().map(String::as_str));
    html! {
        tr {
            @if !table.key.is_empty() {
                td.open { a href=(shell.root.row(&table.relation.name, shell.org(), key)) aria-label={ "Open row " (line.key.join(", ")) } { "›" } }
            }
            @for (index, (column, cell)) in table.columns.iter().zip(&line.cells).enumerate() {
                td.key[table.is_key(column)].number[column.is_number] {
                    @if column.is_readable { (value(cell, follow(shell, table, &line.cells, index).as_deref())) }
                    @else { span.denied { "no permission" } }
                }
            }
        }
    }
}

fn structure(shell: &Shell<'_>, table: &Table) -> Markup {
    let keyed = match table.relation.kind {
        _ if table.is_keyed_by_place() => {
            "No key names a row of this table; links to rows hold until the row is changed."
        }
        Kind::View | Kind::Foreign => "",
        _ if table.key.is_empty() => "No key names a row of this table.",
        _ => "",
    };
    html! {
        details.structure {
            summary { "Columns and keys" }
            @if !keyed.is_empty() { p.note { (keyed) } }
            div.grid.list tabindex="0" role="region" aria-label="Columns" {
                table {
                    thead { tr { th scope="col" { "Column" } th scope="col" { "Type" } th scope="col" { "Default" } th scope="col" { "Refers to" } th scope="col" { "About" } } }
                    tbody {
                        @for column in &table.columns {
                            tr {
                                th scope="row" { (column.name.as_str()) @if table.is_key(column) { " " span.tag { "key" } } }
                                td { code { (column.type_name) } @if column.not_null { " " span.faint { "not null" } } }
                                td { @if let Some(text) = &column.default_value { code { (text) } } }
                                td { @if let Some(key) = table.reference(column) { (linked(shell, &key.to)) " " span.faint { "(" (names(&key.to_columns)) ")" } } }
                                td.about { @if let Some(comment) = &column.comment { (comment) } }
                            }
                        }
                    }
                }
            }
            @if !table.referrers.is_empty() {
                h2 { "Referred to by" }
                ul.referrers { @for key in &table.referrers { li { (referrer(shell, key)) } } }
            }
        }
    }
}

fn referrer(shell: &Shell<'_>, key: &ForeignKey) -> Markup {
    html! { (linked(shell, &key.from)) " " span.faint { "by " (names(&key.from_columns)) } }
}

fn linked(shell: &Shell<'_>, name: &stockfoil_core::sql::QualifiedName) -> Markup {
    html! {
        @if shell.is_open(name) { a href=(shell.root.table(name, shell.org(), &View::default())) { (name.plain()) } }
        @else { (name.plain()) }
    }
}

fn names(columns: &[stockfoil_core::sql::Ident]) -> String {
    columns.iter().map(|column| column.as_str()).collect::<Vec<_>>().join(", ")
}

fn at(shell: &Shell<'_>, table: &Table, view: &View, start: &Start) -> String {
    shell.root.table(&table.relation.name, shell.org(), &View { start: start.clone(), ..view.clone() })
}

fn describe(filter: &Filter) -> Markup {
    html! {
        strong { (filter.column) } " " (words(filter.operator))
        @if filter.operator.takes_value() {
            " "
            @if filter.value.is_empty() { span.blank { "empty text" } } @else { code { (filter.value) } }
        }
    }
}

fn words(operator: Operator) -> &'static str {
    match operator {
        Operator::Contains => "contains",
        Operator::Equal => "equals",
        Operator::Greater => "is greater than",
        Operator::Less => "is less than",
        Operator::IsNull => "is NULL",
        Operator::IsNotNull => "is not NULL",
    }
}
