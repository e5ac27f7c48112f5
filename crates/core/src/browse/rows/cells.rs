//! A row's cells: the columns' texts, and what the rows that they refer to are called.

use sqlx::{Row as _, postgres::PgRow};

use super::{
    Cell,
    value::{compare, left, text_of},
};
use crate::{
    Error,
    browse::{
        Binds, Snapshot,
        relation::{Column, Table},
        scoped, seen,
    },
    sql::{Ident, Statement, all_of, render},
};

/// Letters of a label.
const LABEL_LETTERS_MAX: usize = 60;

/// What the inner query hands on: the readable columns, and a row's place where that is the key.
pub(super) fn columns(table: &Table) -> Vec<Statement> {
    let place = table.is_keyed_by_place().then(|| table.key.iter()).into_iter().flatten();
    let readable = table.columns.iter().filter(|column| column.is_readable);
    readable.chain(place).map(|column| seen("t", &column.name)).collect()
}

/// Each column's text, one letter longer than shown, so that a cut is seen.
pub(super) fn cells(table: &Table, letters: usize, pretty: bool) -> Vec<Statement> {
    let cell = |column: &Column| match column {
        column if !column.is_readable => render("NULL::text", &[]),
        column if pretty && column.is_json => {
            let pretty =
                render("pg_catalog.jsonb_pretty({column}::jsonb)", &[("column", &seen("t", &column.name))]);
            // json, unlike jsonb, keeps what was written; its layout is the writer's.
            let text = if column.type_name == "json" { text_of("t", column) } else { pretty };
            left(text, letters + 1)
        }
        column => left(text_of("t", column), letters + 1),
    };
    table.columns.iter().map(cell).collect()
}

/// For each column with a foreign key whose target is seen here, the query for what the target is called.
pub(super) fn labels(snapshot: &Snapshot, table: &Table, binds: &mut Binds) -> Vec<(usize, Statement)> {
    let mut labels = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let Some(key) = table.reference(column) else { continue };
        let (Some(label), Some(target)) = (&key.label, snapshot.relation(&key.to)) else { continue };
        let readable = |name: &Ident| table.column(name.as_str()).is_some_and(|column| column.is_readable);
        if !key.from_columns.iter().all(readable) {
            continue;
        }
        let pairs = key.to_columns.iter().zip(&key.from_columns).zip(&key.equal);
        let matches = pairs.map(|((to, from), operator)| compare(&seen("r", to), operator, &seen("t", from)));
        let matches: Vec<Statement> =
            matches.chain(scoped(target, snapshot.organization.as_ref(), "r", binds)).collect();
        let name = render("{label}::text", &[("label", &seen("r", label))]);
        labels.push((
            index,
            render(
                "(SELECT {name} FROM {target} AS r WHERE {matches} LIMIT 1)",
                &[
                    ("name", &left(name, LABEL_LETTERS_MAX)),
                    ("target", &key.to),
                    ("matches", &all_of(matches)),
                ],
            ),
        ));
    }
    labels
}

pub(super) fn read_cells(
    row: &PgRow,
    table: &Table,
    letters: usize,
    labels: &[(usize, Statement)],
) -> Result<Vec<Cell>, Error> {
    let mut cells = Vec::with_capacity(table.columns.len());
    for index in 0..table.columns.len() {
        let mut text: Option<String> = row.try_get(index)?;
        let mut is_cut = false;
        if let Some(text) = &mut text
            && let Some((end, _)) = text.char_indices().nth(letters)
        {
            text.truncate(end);
            is_cut = true;
        }
        cells.push(Cell { text, is_cut, label: None });
    }
    for (place, (index, _)) in labels.iter().enumerate() {
        cells[*index].label = row.try_get(table.columns.len() + place)?;
    }
    Ok(cells)
}
