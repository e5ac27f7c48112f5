//! Rows: a page by keyset, counts, one row, and what refers to it.

use sqlx::{Row as _, postgres::PgRow};

use super::{
    Binds, BrowseError, Organization, Snapshot, all_of, refused,
    relation::{Column, ForeignKey, Kind, Relation, Table},
    scoped, seen,
};
use crate::{
    Error,
    sql::{Definition, Fixed, Ident, List, Literal, Statement, render},
};

/// Rows on a page.
pub const PAGE_ROWS: usize = 50;

/// Letters of a value that a page shows; a row shows [`ROW_LETTERS_MAX`].
const PAGE_LETTERS_MAX: usize = 200;
/// The same where a row has no page of its own.
const KEYLESS_LETTERS_MAX: usize = 4_000;
/// Letters of a value that a row shows.
pub(super) const ROW_LETTERS_MAX: usize = 1_000_000;
/// Letters of a label.
const LABEL_LETTERS_MAX: usize = 60;
/// Letters of a sort value that a [`Position`] carries.
const POSITION_LETTERS_MAX: usize = 500;
/// Rows are counted one by one up to here; more are estimated.
const COUNT_MAX: i64 = 10_000;
/// Tables up to this size are counted even without an index that helps: 64 MiB are read in a moment.
const COUNT_BYTES_MAX: i64 = 64 << 20;
/// Columns that a relation without a key is ordered by.
const KEYLESS_ORDER_MAX: usize = 16;

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value's text holds the given text, in letters of any case.
    Contains,
    /// Equal, as the column's type sees it.
    Equal,
    /// Greater, as the column's type is ordered.
    Greater,
    /// Less.
    Less,
    /// NULL.
    IsNull,
    /// Anything but NULL.
    IsNotNull,
}

impl Operator {
    /// Whether it compares with a value.
    pub fn takes_value(self) -> bool {
        !matches!(self, Operator::IsNull | Operator::IsNotNull)
    }
}

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The column's name.
    pub column: String,
    /// How it compares.
    pub operator: Operator,
    /// With what; without meaning where the operator takes no value.
    pub value: String,
}

/// What the rows are sorted by first; the key follows. NULL comes after everything, as PostgreSQL has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The column's name.
    pub column: String,
    /// From the greatest to the least.
    pub descending: bool,
}

/// One column's part of a [`Position`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// NULL.
    Null,
    /// This value.
    Value(String),
    /// The value that the row of this key has: it is too long to be carried.
    OfRow,
}

/// A row's place in the order: the sort column's part (unless it is part of the key), then the key's.
pub type Position = Vec<Edge>;

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// At the first row.
    #[default]
    First,
    /// Behind this row.
    After(Position),
    /// So that it ends before this row.
    Before(Position),
    /// Behind so many rows, in a relation without a key.
    Offset(u64),
}

/// Which rows of a table, in which order, from where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// The order; without it that of the key.
    pub sort: Option<Sort>,
    /// Where the page starts.
    pub start: Start,
}

/// A value on its way to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its text; `None` is NULL.
    pub text: Option<String>,
    /// Whether there is more of it.
    pub is_cut: bool,
    /// What the row that it refers to is called.
    pub label: Option<String>,
}

/// A row on a page.
#[derive(Debug, Clone)]
pub struct Line {
    /// One cell a column.
    pub cells: Vec<Cell>,
    /// The key's values, whole; empty where there is no key.
    pub key: Vec<String>,
}

/// A page of rows.
#[derive(Debug, Clone)]
pub struct Page {
    /// At most [`PAGE_ROWS`].
    pub lines: Vec<Line>,
    /// Where the page before this starts, if there is one.
    pub previous: Option<Start>,
    /// Where the next page starts, if there is one.
    pub next: Option<Start>,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Counted.
    Exactly(i64),
    /// Estimated.
    About(i64),
}

/// The rows of one table that refer to a row.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// By which key.
    pub key: ForeignKey,
    /// The referring columns' values.
    pub filters: Vec<Filter>,
    /// How many; `None` where counting would read a large table through, for want of an index.
    pub count: Option<Count>,
}

/// A row, whole.
#[derive(Debug, Clone)]
pub struct Row {
    /// One cell a column.
    pub cells: Vec<Cell>,
    /// Whether other rows have the same values, so that this is only the first of them.
    pub has_others: bool,
    /// What refers to it, of the tables that are seen here.
    pub referrers: Vec<Referrer>,
}

pub(super) async fn page(snapshot: &mut Snapshot, table: &Table, view: &View) -> Result<Page, Error> {
    let mut page = read_page(snapshot, table, view).await?;
    if matches!(view.start, Start::Before(_)) && page.previous.is_none() {
        // Rows were removed meanwhile: the first page, whole.
        page = read_page(snapshot, table, &View { start: Start::First, ..view.clone() }).await?;
    }
    Ok(page)
}

pub(super) async fn count(
    snapshot: &mut Snapshot,
    table: &Table,
    filters: &[Filter],
) -> Result<Count, Error> {
    if filters.is_empty()
        && snapshot.organization.is_none()
        && let Some(rows) = table.relation.rows_estimate.filter(|rows| *rows > COUNT_MAX)
    {
        return Ok(Count::About(rows));
    }
    let mut binds = Binds::default();
    let conditions = conditions(snapshot, table, filters, &mut binds).await?;
    let condition = all_of(conditions);
    if is_small(&table.relation) {
        let statement = render(
            "SELECT count(*) FROM ({rows}) AS counted",
            &[("rows", &counted(&table.relation, &condition))],
        );
        let rows: i64 = binds
            .clone()
            .query(&statement)
            .fetch_one(&mut *snapshot.tx)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| refused("count the rows", error))?;
        if rows <= COUNT_MAX {
            return Ok(Count::Exactly(rows));
        }
    }
    estimate(snapshot, &table.relation, &condition, binds).await
}

pub(super) async fn counts(snapshot: &mut Snapshot) -> Result<Vec<Option<Count>>, Error> {
    let relations = snapshot.relations.clone();
    let mut counts = vec![None; relations.len()];
    let mut to_estimate = Vec::new();
    let mut binds = Binds::default();
    let mut parts = Vec::new();
    for (index, relation) in relations.iter().enumerate() {
        if !relation.is_readable || matches!(relation.kind, Kind::View | Kind::Foreign) {
            continue;
        }
        match relation.rows_estimate.filter(|rows| *rows > COUNT_MAX) {
            Some(rows) if snapshot.organization.is_none() => counts[index] = Some(Count::About(rows)),
            _ if is_small(relation) => {
                let condition = all_of(scoped(relation, snapshot.organization.as_ref(), "t", &mut binds));
                parts.push(render(
                    "SELECT {index}::int8, (SELECT count(*) FROM ({rows}) AS counted)",
                    &[("index", &Literal::new(&index.to_string())), ("rows", &counted(relation, &condition))],
                ));
            }
            _ => to_estimate.push(index),
        }
    }
    if let Some(statement) = union_all(parts) {
        let rows = binds
            .query(&statement)
            .fetch_all(&mut *snapshot.tx)
            .await
            .map_err(|error| refused("count the rows", error))?;
        for row in rows {
            let (index, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let Ok(index) = usize::try_from(index) else { continue };
            match counts.get_mut(index) {
                Some(count) if rows <= COUNT_MAX => *count = Some(Count::Exactly(rows)),
                _ => to_estimate.push(index),
            }
        }
    }
    for index in to_estimate {
        let relation = &relations[index];
        let mut binds = Binds::default();
        let condition = all_of(scoped(relation, snapshot.organization.as_ref(), "t", &mut binds));
        counts[index] = Some(estimate(snapshot, relation, &condition, binds).await?);
    }
    Ok(counts)
}

pub(super) async fn row(
    snapshot: &mut Snapshot,
    table: &Table,
    values: &[(String, String)],
) -> Result<Row, Error> {
    if values.is_empty() {
        return Err(BrowseError::NoRow(table.relation.name.plain()).into());
    }
    let filters: Vec<Filter> = values
        .iter()
        .map(|(column, value)| Filter {
            column: column.clone(),
            operator: Operator::Equal,
            value: value.clone(),
        })
        .collect();
    let mut binds = Binds::default();
    let conditions = conditions(snapshot, table, &filters, &mut binds).await?;
    let mut cells = cells(table, ROW_LETTERS_MAX, true);
    let labels = labels(snapshot, table, &mut binds);
    cells.extend(labels.iter().map(|(_, label)| label.clone()));
    let statement = render(
        include_str!("page.sql"),
        &[
            ("cells", &List(cells)),
            ("columns", &List(columns(table))),
            ("relation", &table.relation.name),
            ("conditions", &all_of(conditions)),
            ("order", &Fixed("")),
            ("limit", &Fixed("2")),
            ("offset", &Fixed("0")),
        ],
    );
    let rows = binds
        .query(&statement)
        .fetch_all(&mut *snapshot.tx)
        .await
        .map_err(|error| refused("read the row", error))?;
    let Some(found) = rows.first() else {
        return Err(BrowseError::NoRow(table.relation.name.plain()).into());
    };
    let cells = read_cells(found, table, ROW_LETTERS_MAX, &labels)?;
    let referrers = if rows.len() == 1 { referrers(snapshot, table, &cells).await? } else { Vec::new() };
    Ok(Row { cells, has_others: rows.len() > 1, referrers })
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
    let keyed = !table.key.is_empty();
    let letters = if keyed { PAGE_LETTERS_MAX } else { KEYLESS_LETTERS_MAX };
    let mut cells = cells(table, letters, false);
    let labels = labels(snapshot, table, &mut binds);
    cells.extend(labels.iter().map(|(_, label)| label.clone()));
    let key_at = cells.len();
    cells.extend(table.key.iter().map(|column| text_of("t", column)));
    let sort = order.first().filter(|column| keyed && !table.is_key(column));
    cells.extend(sort.map(|column| left(text_of("t", column), POSITION_LETTERS_MAX + 1)));
    let offset = binds.value(&offset.to_string(), &Definition::from_catalog("pg_catalog.int8".into()));
    let statement = render(
        include_str!("page.sql"),
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
    let position = |row: &PgRow| -> Result<Position, Error> {
        let mut edges = Vec::new();
        if sort.is_some() {
            let value: Option<String> = row.try_get(key_at + table.key.len())?;
            edges.push(match value {
                None => Edge::Null,
                Some(value) if value.chars().count() > POSITION_LETTERS_MAX => Edge::OfRow,
                Some(value) => Edge::Value(value),
            });
        }
        // In the order's sequence: a sort column that is part of the key comes first.
        for column in order.iter().skip(usize::from(sort.is_some())) {
            let place = table.key.iter().position(|key| key.name == column.name).unwrap_or_default();
            edges.push(Edge::Value(row.try_get(key_at + place)?));
        }
        Ok(edges)
    };
    let (has_previous, has_next) = match view.start {
        Start::First => (false, more),
        Start::After(_) => (true, more),
        Start::Before(_) => (more, true),
        Start::Offset(rows) => (rows > 0, more),
    };
    let (previous, next) = match (rows.first(), rows.last()) {
        _ if !keyed => {
            let at = if let Start::Offset(rows) = view.start { rows } else { 0 };
            let page = PAGE_ROWS as u64;
            let back = if at > page { Start::Offset(at - page) } else { Start::First };
            (has_previous.then_some(back), has_next.then_some(Start::Offset(at.saturating_add(page))))
        }
        (Some(first), Some(last)) => (
            has_previous.then(|| position(first)).transpose()?.map(Start::Before),
            has_next.then(|| position(last)).transpose()?.map(Start::After),
        ),
        _ => (None, None),
    };
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = (0..table.key.len()).map(|place| row.try_get(key_at + place)).collect::<Result<_, _>>()?;
        lines.push(Line { cells: read_cells(row, table, letters, &labels)?, key });
    }
    Ok(Page { lines, previous, next })
}

/// The organization's condition and the filters', each value checked first, so that a refusal can name it.
async fn conditions(
    snapshot: &mut Snapshot,
    table: &Table,
    filters: &[Filter],
    binds: &mut Binds,
) -> Result<Vec<Statement>, Error> {
    let mut conditions = Vec::from_iter(scoped(&table.relation, snapshot.organization.as_ref(), "t", binds));
    for filter in filters {
        let column = column(table, &filter.column)?;
        let seen = seen("t", &column.name);
        conditions.push(match (filter.operator, &column.order) {
            (Operator::IsNull, _) => render("{column} IS NULL", &[("column", &seen)]),
            (Operator::IsNotNull, _) => render("{column} IS NOT NULL", &[("column", &seen)]),
            (Operator::Contains, _) => {
                check_value(snapshot, column, &text_type(), &filter.value).await?;
                let pattern = binds.text(&containing(&filter.value));
                // A nondeterministic collation knows no substrings.
                render(
                    r#"({text} COLLATE pg_catalog."default") OPERATOR(pg_catalog.~~*) {pattern}"#,
                    &[("text", &text_of("t", column)), ("pattern", &pattern)],
                )
            }
            (Operator::Equal, None) => {
                check_value(snapshot, column, &text_type(), &filter.value).await?;
                let value = binds.text(&filter.value);
                render(
                    "{text} OPERATOR(pg_catalog.=) {value}",
                    &[("text", &text_of("t", column)), ("value", &value)],
                )
            }
            (Operator::Greater | Operator::Less, None) => return Err(no_order(column)),
            (operator, Some(order)) => {
                check_value(snapshot, column, &column.base_type, &filter.value).await?;
                let value = binds.value(&filter.value, &column.base_type);
                let operator = match operator {
                    Operator::Greater => &order.greater,
                    Operator::Less => &order.less,
                    _ => &order.equal,
                };
                compare(&seen, operator, &value)
            }
        });
    }
    Ok(conditions)
}

/// Whether the type's input function takes `value`. The transaction is over when it does not.
async fn check_value(
    snapshot: &mut Snapshot,
    column: &Column,
    type_name: &Definition,
    value: &str,
) -> Result<(), Error> {
    let mut binds = Binds::default();
    let cast = binds.value(value, type_name);
    let statement = render("SELECT {cast} IS NULL", &[("cast", &cast)]);
    match binds.query(&statement).fetch_one(&mut *snapshot.tx).await {
        Ok(_) => Ok(()),
        Err(error) => match error.as_database_error() {
            Some(said) => Err(BrowseError::Value {
                column: column.name.as_str().to_owned(),
                type_name: column.type_name.clone(),
                value: value.to_owned(),
                reason: said.message().to_owned(),
            }
            .into()),
            None => Err(refused("check the filter", error)),
        },
    }
}

/// A position comes from a link, which a person may have edited.
async fn check_position(
    snapshot: &mut Snapshot,
    table: &Table,
    order: &[&Column],
    position: &Position,
) -> Result<(), Error> {
    let wrong = || BrowseError::Changed("the page's place does not fit the table".into());
    if table.key.is_empty() || position.len() != order.len() {
        return Err(wrong().into());
    }
    for (index, (column, edge)) in order.iter().zip(position).enumerate() {
        match edge {
            Edge::Value(value) => check_value(snapshot, column, &column.base_type, value).await?,
            Edge::Null | Edge::OfRow if index == 0 && !table.is_key(column) => {}
            _ => return Err(wrong().into()),
        }
    }
    Ok(())
}

/// The columns that put the rows in an order without ties, where there is a key.
fn ordering<'t>(table: &'t Table, sort: Option<&Sort>) -> Result<Vec<&'t Column>, Error> {
    let mut order = Vec::new();
    if let Some(sort) = sort {
        let column = column(table, &sort.column)?;
        if !column.is_ordered() {
            return Err(no_order(column));
        }
        order.push(column);
    }
    let rest: Vec<&Column> = if table.key.is_empty() {
        table.columns.iter().filter(|column| column.is_ordered()).take(KEYLESS_ORDER_MAX).collect()
    } else {
        table.key.iter().collect()
    };
    let sorted = order.first().map(|column| column.name.clone());
    order.extend(rest.into_iter().filter(|column| Some(&column.name) != sorted.as_ref()));
    Ok(order)
}

fn order_by(order: &[&Column], descending: bool) -> Statement {
    if order.is_empty() {
        return render("", &[]);
    }
    let direction = Fixed(if descending { "DESC" } else { "ASC" });
    let columns = order
        .iter()
        .map(|column| {
            render("{column} {direction}", &[("column", &seen("t", &column.name)), ("direction", &direction)])
        })
        .collect();
    render("ORDER BY {columns}", &[("columns", &List(columns))])
}

/// The condition that a row comes behind `position`, columns compared one after the other. NULL is the greatest
/// value, as in PostgreSQL's default orders (NULLS LAST ascending, NULLS FIRST descending), so that an index
/// serves both directions.
fn beyond(
    table: &Table,
    order: &[&Column],
    position: &Position,
    descending: bool,
    binds: &mut Binds,
) -> Statement {
    let mut behind: Option<Statement> = None;
    let mut bound = None;
    for (index, (column, edge)) in order.iter().zip(position).enumerate().rev() {
        let Some(operators) = &column.order else { continue };
        let seen = seen("t", &column.name);
        let is_null = render("{column} IS NULL", &[("column", &seen)]);
        let (strict, same) = match value_of(table, column, position, edge, binds) {
            None if descending => (render("{column} IS NOT NULL", &[("column", &seen)]), is_null),
            None => (render("false", &[]), is_null),
            Some(value) => {
                let (farther, not_nearer) = if descending {
                    (&operators.less, &operators.less_equal)
                } else {
                    (&operators.greater, &operators.greater_equal)
                };
                let mut strict = compare(&seen, farther, &value);
                if !descending && !column.not_null {
                    strict = render("({strict} OR {null})", &[("strict", &strict), ("null", &is_null)]);
                } else if index == 0 {
                    // Implied by the rest; gives an index on this column its starting point.
                    bound = Some(compare(&seen, not_nearer, &value));
                }
                (strict, compare(&seen, &operators.equal, &value))
            }
        };
        behind = Some(match behind {
            None => strict,
            Some(behind) => render(
                "({strict} OR ({same} AND {behind}))",
                &[("strict", &strict), ("same", &same), ("behind", &behind)],
            ),
        });
    }
    all_of(bound.into_iter().chain(behind))
}

fn value_of(
    table: &Table,
    column: &Column,
    position: &Position,
    edge: &Edge,
    binds: &mut Binds,
) -> Option<Statement> {
    match edge {
        Edge::Null => None,
        Edge::Value(value) => Some(binds.value(value, &column.base_type)),
        Edge::OfRow => {
            // Only ever the sort column's; the key's parts follow it, checked to be values.
            let key = table.key.iter().zip(position.iter().skip(1)).filter_map(|(key, edge)| match edge {
                Edge::Value(value) => {
                    let value = binds.value(value, &key.base_type);
                    key.order.as_ref().map(|order| compare(&seen("r", &key.name), &order.equal, &value))
                }
                _ => None,
            });
            let key = all_of(key.collect::<Vec<_>>());
            Some(render(
                "(SELECT {column} FROM {relation} AS r WHERE {key})",
                &[("column", &seen("r", &column.name)), ("relation", &table.relation.name), ("key", &key)],
            ))
        }
    }
}

fn compare(left: &Statement, operator: &Definition, right: &Statement) -> Statement {
    render("{left} {operator} {right}", &[("left", left), ("operator", operator), ("right", right)])
}

fn column<'t>(table: &'t Table, name: &str) -> Result<&'t Column, Error> {
    table.column(name).filter(|column| column.is_readable).ok_or_else(|| {
        BrowseError::NoColumn { table: table.relation.name.plain(), column: name.to_owned() }.into()
    })
}

fn no_order(column: &Column) -> Error {
    BrowseError::NoOrder { column: column.name.as_str().to_owned(), type_name: column.type_name.clone() }
        .into()
}

fn text_type() -> Definition {
    Definition::from_catalog("pg_catalog.text".into())
}

/// A LIKE pattern for texts that hold `part`.
fn containing(part: &str) -> String {
    let escaped = part.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{escaped}%")
}

fn text_of(alias: &'static str, column: &Column) -> Statement {
    render("{column}::text", &[("column", &seen(alias, &column.name))])
}

fn left(text: Statement, letters: usize) -> Statement {
    render(
        "pg_catalog.left({text}, {letters})",
        &[("text", &text), ("letters", &Literal::new(&letters.to_string()))],
    )
}

/// What the inner query hands on: the readable columns, and a row's place where that is the key.
fn columns(table: &Table) -> Vec<Statement> {
    let place = table.is_keyed_by_place().then(|| table.key.iter()).into_iter().flatten();
    let readable = table.columns.iter().filter(|column| column.is_readable);
    readable.chain(place).map(|column| seen("t", &column.name)).collect()
}

/// Each column's text, one letter longer than shown, so that a cut is seen.
fn cells(table: &Table, letters: usize, pretty: bool) -> Vec<Statement> {
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
fn labels(snapshot: &Snapshot, table: &Table, binds: &mut Binds) -> Vec<(usize, Statement)> {
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

fn read_cells(
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

/// What refers to the row of these cells, counted where that is cheap.
async fn referrers(snapshot: &mut Snapshot, table: &Table, cells: &[Cell]) -> Result<Vec<Referrer>, Error> {
    let mut referrers: Vec<Referrer> = Vec::new();
    let mut binds = Binds::default();
    let mut parts = Vec::new();
    for key in &table.referrers {
        let Some(from) = snapshot.relation(&key.from) else { continue };
        let Some(values) = values_of(table, &key.to_columns, cells) else { continue };
        if is_small(from) || key.is_indexed {
            let condition = refers(from, snapshot.organization.as_ref(), key, table, &values, &mut binds);
            parts.push(render(
                "SELECT {index}::int8, (SELECT count(*) FROM ({rows}) AS counted)",
                &[
                    ("index", &Literal::new(&referrers.len().to_string())),
                    ("rows", &counted(from, &condition)),
                ],
            ));
        }
        let filters = key.from_columns.iter().zip(values).map(|(column, value)| Filter {
            column: column.as_str().to_owned(),
            operator: Operator::Equal,
            value,
        });
        referrers.push(Referrer { key: key.clone(), filters: filters.collect(), count: None });
    }
    if let Some(statement) = union_all(parts) {
        let rows = binds
            .query(&statement)
            .fetch_all(&mut *snapshot.tx)
            .await
            .map_err(|error| refused("count the referring rows", error))?;
        for row in rows {
            let (index, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let count = if rows <= COUNT_MAX { Count::Exactly(rows) } else { Count::About(rows) };
            if let Some(referrer) = usize::try_from(index).ok().and_then(|index| referrers.get_mut(index)) {
                referrer.count = Some(count);
            }
        }
    }
    Ok(referrers)
}

/// The whole values of `names`; `None` where one is NULL or cut, so that nothing can refer to it.
fn values_of(table: &Table, names: &[Ident], cells: &[Cell]) -> Option<Vec<String>> {
    names
        .iter()
        .map(|name| {
            let place = table.columns.iter().position(|column| column.name == *name)?;
            cells.get(place).filter(|cell| !cell.is_cut)?.text.clone()
        })
        .collect()
}

/// The condition that a row of `from` refers by `key` to the row of `table` with these values.
fn refers(
    from: &Relation,
    organization: Option<&Organization>,
    key: &ForeignKey,
    table: &Table,
    values: &[String],
    binds: &mut Binds,
) -> Statement {
    let mut conditions = Vec::from_iter(scoped(from, organization, "t", binds));
    let columns = key.to_columns.iter().zip(&key.from_columns).zip(&key.equal).zip(values);
    for (((to, from), operator), value) in columns {
        if let Some(to) = table.column(to.as_str()) {
            let value = binds.value(value, &to.base_type);
            conditions.push(compare(&value, operator, &seen("t", from)));
        }
    }
    all_of(conditions)
}

fn is_small(relation: &Relation) -> bool {
    let stored = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::MaterializedView);
    stored && relation.heap_bytes <= COUNT_BYTES_MAX
}

/// The rows to count, and one more than are counted.
fn counted(relation: &Relation, condition: &Statement) -> Statement {
    render(
        "SELECT FROM {relation} AS t WHERE {condition} LIMIT {limit}",
        &[
            ("relation", &relation.name),
            ("condition", condition),
            ("limit", &Literal::new(&(COUNT_MAX + 1).to_string())),
        ],
    )
}

fn union_all(parts: Vec<Statement>) -> Option<Statement> {
    parts.into_iter().reduce(|all, part| render("{all} UNION ALL {part}", &[("all", &all), ("part", &part)]))
}

/// The planner's estimate.
async fn estimate(
    snapshot: &mut Snapshot,
    relation: &Relation,
    condition: &Statement,
    binds: Binds,
) -> Result<Count, Error> {
    let statement = render(
        "EXPLAIN (FORMAT JSON) SELECT FROM {relation} AS t WHERE {condition}",
        &[("relation", &relation.name), ("condition", condition)],
    );
    let plan: serde_json::Value = binds
        .query(&statement)
        .fetch_one(&mut *snapshot.tx)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| refused("estimate the rows", error))?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_i64);
    Ok(Count::About(rows.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_searched_as_it_is_written() {
        assert_eq!(containing(r"50%_a\b"), r"%50\%\_a\\b%");
    }
}
