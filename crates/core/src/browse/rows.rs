//! Rows: a page by keyset, counts, one row, and what refers to it.

mod cells;
mod condition;
mod count;
mod order;
mod page;
mod row;
mod value;

use super::relation::ForeignKey;

pub(super) use count::{count, counts};
pub(super) use page::page;
pub(super) use row::row;

/// Rows on a page.
pub const PAGE_ROWS: usize = 50;

/// Letters of a value that a row shows.
pub(super) const ROW_LETTERS_MAX: usize = 1_000_000;

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
