//! What of a table could speak of stock: of what, where, of which lot, and how much.

use super::{
    survey::{Survey, is_integer, is_key, is_number, primary_key, target},
    words::{self, Way},
};
use crate::{
    Error,
    client::schema::{Column, Table},
    mapping::Mapping,
    sql::QualifiedName,
};

/// A table of fewer rows says nothing by them.
pub(super) const TELLING_ROWS: i64 = 20;

/// The columns by which a table could speak of stock.
pub(super) struct Shape<'t> {
    pub(super) table: &'t Table,
    pub(super) item: &'t Column,
    /// The closest place first.
    pub(super) locations: Vec<&'t Column>,
    pub(super) lot: Option<&'t Column>,
    pub(super) quantity: &'t Column,
    /// How much comes and how much goes, where each has a column.
    pub(super) pair: Option<(&'t Column, &'t Column)>,
    /// Whether it is the ledger of the default inventory, whose quantities are signed.
    pub(super) is_default: bool,
}

impl Shape<'_> {
    /// What `column` refers to, for comparing two tables.
    pub(super) fn refers(&self, column: &Column) -> Option<&QualifiedName> {
        target(self.table, column).map(|key| &key.table)
    }
}

/// Whether Stockfoil's own migration made this table of balances.
pub(super) fn is_stockfoils(table: &Table) -> bool {
    let keys = table.keys.iter().filter(|key| key.is_primary);
    keys.flat_map(|key| &key.columns).any(|column| column.as_str() == "lot_key")
}

pub(super) async fn shape<'t>(survey: &Survey<'_>, table: &'t Table) -> Result<Option<Shape<'t>>, Error> {
    let Some(item) = item(table) else { return Ok(None) };
    let pair = pair(table);
    let quantity = match pair {
        Some((comes, _)) => comes,
        None => match quantity(survey, table).await? {
            Some(quantity) => quantity,
            None => return Ok(None),
        },
    };
    let mut places = Vec::new();
    for column in locations(table, item) {
        if survey.is_filled(table, column).await? {
            places.push(column);
        }
    }
    let lot = match lot(table, item) {
        Some(lot) if survey.is_filled(table, lot).await? => Some(lot),
        _ => None,
    };
    let is_default = table.name == Mapping::default().ledger() && quantity.name.as_str() == "qty_canonical";
    Ok(Some(Shape { table, item, locations: places, lot, quantity, pair, is_default }))
}

/// Two numbers whose names differ in nothing but the way.
fn pair(table: &Table) -> Option<(&Column, &Column)> {
    let numbers = || table.columns.iter().filter(|column| is_number(&column.resolved) && !column.generated);
    numbers().find_map(|comes| {
        let (stem, way) = words::stem_and_way(comes.name.as_str())?;
        if way != Way::In {
            return None;
        }
        let goes = numbers().find(|goes| {
            words::stem_and_way(goes.name.as_str()).is_some_and(|(of, way)| of == stem && way == Way::Out)
        })?;
        let is_quantity =
            stem.is_empty() || words::has(&stem, words::QUANTITY) || words::has(&stem, words::STOCK);
        (is_quantity && !words::has(&stem, words::NO_QUANTITY)).then_some((comes, goes))
    })
}

fn item(table: &Table) -> Option<&Column> {
    best(table, |column| {
        let by_name = words::find(column.name.as_str(), words::ITEM);
        let refers = target(table, column)
            .is_some_and(|key| key.table != table.name && words::has(key.table.name.as_str(), words::ITEM));
        (by_name.is_some() && is_key(&column.resolved) && !is_own_key(table, column) || refers)
            .then(|| (!refers, by_name.unwrap_or(usize::MAX)))
    })
}

fn locations<'t>(table: &'t Table, item: &Column) -> Vec<&'t Column> {
    let mut found: Vec<(bool, usize, &Column)> = table
        .columns
        .iter()
        .filter(|column| column.name != item.name && is_key(&column.resolved) && !is_own_key(table, column))
        .filter_map(|column| {
            let refers = target(table, column)
                .filter(|key| key.table != table.name)
                .and_then(|key| words::find(key.table.name.as_str(), words::LOCATION));
            let by_name = words::find(column.name.as_str(), words::LOCATION);
            refers.or(by_name).map(|rank| (refers.is_none(), rank, column))
        })
        .collect();
    found.sort_by_key(|(by_name_only, rank, _)| (*by_name_only, *rank));
    found.into_iter().map(|(_, _, column)| column).collect()
}

fn lot<'t>(table: &'t Table, item: &Column) -> Option<&'t Column> {
    best(table, |column| {
        let by_name = words::find(column.name.as_str(), words::LOT);
        let refers = target(table, column).is_some_and(|key| words::has(key.table.name.as_str(), words::LOT));
        ((by_name.is_some() || refers)
            && column.name != item.name
            && is_key(&column.resolved)
            && !is_own_key(table, column))
        // What the database computes is the cleaner form of what was typed in.
        .then_some((!refers, !column.generated))
    })
}

async fn quantity<'t>(survey: &Survey<'_>, table: &'t Table) -> Result<Option<&'t Column>, Error> {
    let numbers = || {
        table.columns.iter().filter(|column| {
            is_number(&column.resolved)
                && !column.identity
                && !is_own_key(table, column)
                && !table.foreign_keys.iter().any(|key| key.columns.contains(&column.name))
                && !words::has(column.name.as_str(), words::NO_QUANTITY)
        })
    };
    let named = numbers()
        .filter_map(|column| Some((words::find(column.name.as_str(), words::QUANTITY)?, column)))
        .min_by_key(|(rank, column)| (*rank, !column.generated));
    if let Some((_, column)) = named {
        return Ok(Some(column));
    }
    for column in numbers().filter(|column| !is_integer(&column.resolved)) {
        if survey.numbers(table, column).await?.any_negative {
            return Ok(Some(column));
        }
    }
    Ok(None)
}

/// Whether a column is the table's key alone, and so names the row and nothing else.
fn is_own_key(table: &Table, column: &Column) -> bool {
    primary_key(table) == [column.name.clone()]
}

/// The column with the least rank; the first of equals.
pub(super) fn best<R: Ord>(table: &Table, rank: impl Fn(&Column) -> Option<R>) -> Option<&Column> {
    table
        .columns
        .iter()
        .filter_map(|column| Some((rank(column)?, column)))
        .min_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, column)| column)
}
