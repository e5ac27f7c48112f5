//! Which rows: the organization's condition and the filters'.

use super::{
    Filter, Operator,
    value::{compare, text_of, text_type},
};
use crate::{
    Error,
    browse::{
        Binds, BrowseError, Snapshot, refused,
        relation::{Column, Table},
        scoped, seen,
    },
    sql::{Definition, Statement, render},
};

/// The organization's condition and the filters', each value checked first, so that a refusal can name it.
pub(super) async fn conditions(
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
pub(super) async fn check_value(
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

pub(super) fn column<'t>(table: &'t Table, name: &str) -> Result<&'t Column, Error> {
    table.column(name).filter(|column| column.is_readable).ok_or_else(|| {
        BrowseError::NoColumn { table: table.relation.name.plain(), column: name.to_owned() }.into()
    })
}

pub(super) fn no_order(column: &Column) -> Error {
    BrowseError::NoOrder { column: column.name.as_str().to_owned(), type_name: column.type_name.clone() }
        .into()
}

/// A LIKE pattern for texts that hold `part`.
pub(super) fn containing(part: &str) -> String {
    let escaped = part.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_searched_as_it_is_written() {
        assert_eq!(containing(r"50%_a\b"), r"%50\%\_a\\b%");
    }
}
