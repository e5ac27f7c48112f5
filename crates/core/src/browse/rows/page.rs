//! A page of rows by keyset.

use sqlx::{Row as _, postgres::PgRow};

use super::{
    Edge, Line, PAGE_ROWS, Page, Position, Start, View,
    cells::{cells, columns, labels, read_cells},
    condition::conditions,
    order::{beyond, check_position, order_by, ordering},
    value::{left, text_of},
};
use crate::{
    Error,
    browse::{
        Binds, Snapshot, refused,
        relation::{Column, Table},
    },
    sql::{Definition, List, Literal, Statement, all_of, render},
};

/// Letters of a value that a page shows; a row shows [`ROW_LETTERS_MAX`].
const PAGE_LETTERS_MAX: usize = 200;
/// The same where a row has no page of its own.
const KEYLESS_LETTERS_MAX: usize = 4_000;
/// Letters of a sort value that a [`Position`] carries.
const POSITION_LETTERS_MAX: usize = 500;

pub(in crate::browse) async fn page(
    snapshot: &mut Snapshot,
    table: &Table,
    view: &View,
) -> Result<Page, Error> {
    let mut page = read_page(snapshot, table, view).await?;
    if matches!(view.start, Start::Before(_)) && page.previous.is_none() {
        // Rows were removed meanwhile: the first page, whole.
        page = read_page(snapshot, table, &View { start: Start::First, ..view.clone() }).await?;
    }
    Ok(page)
}

async fn read_page(snapshot: &mut Snapshot, table: &Table, view: &View) -> Result<Page, Error> {
    let order = ordering(table, view.sort.as_ref())?;
    let descending = view.sort.as_ref().is_some_and(|sort| sort.descending);
    let backwards = matches!(view.start, Start::Before(_));
    let mut binds = Binds::default();
    let mut conditions = conditions(snapshot, table, &view.filters, &mut binds).await?;
    let mut offset = 0;
    match &view.start {
        Start::First => {}
        Start::Offset(rows) => offset = *rows,
        Start::After(position) | Start::Before(position) => {
            check_position(snapshot, table, &order, position).await?;
            conditions.push(beyond(table, &order, position, descending != backwards, &mut binds));
        }
    }
    let letters = if table.key.is_empty() { KEYLESS_LETTERS_MAX } else { PAGE_LETTERS_MAX };
    let mut cells = cells(table, letters, false);
    let labels = labels(snapshot, table, &mut binds);
    cells.extend(labels.iter().map(|(_, label)| label.clone()));
    let places = Places::behind(cells.len(), table, &order);
    cells.extend(places.cells());
    let offset = binds.value(&offset.to_string(), &Definition::from_catalog("pg_catalog.int8".into()));
    let statement = render(
        include_str!("../page.sql"),
        &[
            ("cells", &List(cells)),
            ("columns", &List(columns(table))),
            ("relation", &table.relation.name),
            ("conditions", &all_of(conditions)),
            ("order", &order_by(&order, descending != backwards)),
            ("limit", &Literal::new(&(PAGE_ROWS + 1).to_string())),
            ("offset", &offset),
        ],
    );
    let mut rows = binds
        .query(&statement)
        .fetch_all(&mut *snapshot.tx)
        .await
        .map_err(|error| refused("read the rows", error))?;
    let more = rows.len() > PAGE_ROWS;
    rows.truncate(PAGE_ROWS);
    if backwards {
        rows.reverse();
    }
    let (previous, next) = places.neighbours(&view.start, &rows, more)?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        lines.push(Line { cells: read_cells(row, table, letters, &labels)?, key: places.key(row)? });
    }
    Ok(Page { lines, previous, next })
}

/// Where in a row of a page the whole values stand that its place in the order is made of.
struct Places<'t> {
    table: &'t Table,
    order: &'t [&'t Column],
    /// What the rows are sorted by first, unless it is part of the key. Its value stands behind the key's.
    sort: Option<&'t Column>,
    /// Where the key's values begin.
    key_at: usize,
}

impl<'t> Places<'t> {
    /// The places behind so many cells.
    fn behind(cells: usize, table: &'t Table, order: &'t [&'t Column]) -> Self {
        let is_keyed = !table.key.is_empty();
        let sort = order.first().copied().filter(|column| is_keyed && !table.is_key(column));
        Self { table, order, sort, key_at: cells }
    }

    /// The cells that the values are read from.
    fn cells(&self) -> impl Iterator<Item = Statement> {
        let key = self.table.key.iter().map(|column| text_of("t", column));
        key.chain(self.sort.map(|column| left(text_of("t", column), POSITION_LETTERS_MAX + 1)))
    }

    fn key(&self, row: &PgRow) -> Result<Vec<String>, Error> {
        let places = 0..self.table.key.len();
        Ok(places.map(|place| row.try_get(self.key_at + place)).collect::<Result<_, _>>()?)
    }

    fn position(&self, row: &PgRow) -> Result<Position, Error> {
        let mut edges = Vec::new();
        if self.sort.is_some() {
            let value: Option<String> = row.try_get(self.key_at + self.table.key.len())?;
            edges.push(match value {
                None => Edge::Null,
                Some(value) if value.chars().count() > POSITION_LETTERS_MAX => Edge::OfRow,
                Some(value) => Edge::Value(value),
            });
        }
        // In the order's sequence: a sort column that is part of the key comes first.
        for column in self.order.iter().skip(usize::from(self.sort.is_some())) {
            let place = self.table.key.iter().position(|key| key.name == column.name).unwrap_or_default();
            edges.push(Edge::Value(row.try_get(self.key_at + place)?));
        }
        Ok(edges)
    }

    /// Where the pages before and behind `rows` start; `more`: whether there are more rows in the direction read.
    fn neighbours(
        &self,
        start: &Start,
        rows: &[PgRow],
        more: bool,
    ) -> Result<(Option<Start>, Option<Start>), Error> {
        let (has_previous, has_next) = match start {
            Start::First => (false, more),
            Start::After(_) => (true, more),
            Start::Before(_) => (more, true),
            Start::Offset(rows) => (*rows > 0, more),
        };
        Ok(match (rows.first(), rows.last()) {
            _ if self.table.key.is_empty() => {
                let at = if let Start::Offset(rows) = start { *rows } else { 0 };
                let page = PAGE_ROWS as u64;
                let back = if at > page { Start::Offset(at - page) } else { Start::First };
                (has_previous.then_some(back), has_next.then_some(Start::Offset(at.saturating_add(page))))
            }
            (Some(first), Some(last)) => (
                has_previous.then(|| self.position(first)).transpose()?.map(Start::Before),
                has_next.then(|| self.position(last)).transpose()?.map(Start::After),
            ),
            _ => (None, None),
        })
    }
}
