//! The order of rows, and what comes behind a place in it.

use super::{
    Edge, Position, Sort,
    condition::{check_value, column, no_order},
    value::compare,
};
use crate::{
    Error,
    browse::{
        Binds, BrowseError, Snapshot,
        relation::{Column, Table},
        seen,
    },
    sql::{Fixed, List, Statement, all_of, render},
};

/// Columns that a relation without a key is ordered by.
const KEYLESS_ORDER_MAX: usize = 16;

/// The columns that put the rows in an order without ties, where there is a key.
pub(super) fn ordering<'t>(table: &'t Table, sort: Option<&Sort>) -> Result<Vec<&'t Column>, Error> {
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

pub(super) fn order_by(order: &[&Column], descending: bool) -> Statement {
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
pub(super) fn beyond(
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

pub(super) fn value_of(
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

/// A position comes from a link, which a person may have edited.
pub(super) async fn check_position(
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
