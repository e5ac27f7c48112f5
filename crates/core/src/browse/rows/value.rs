//! Values in SQL: as text, and compared.

use crate::{
    browse::{relation::Column, seen},
    sql::{Definition, Literal, Statement, render},
};

pub(super) fn compare(left: &Statement, operator: &Definition, right: &Statement) -> Statement {
    render("{left} {operator} {right}", &[("left", left), ("operator", operator), ("right", right)])
}

pub(super) fn text_type() -> Definition {
    Definition::from_catalog("pg_catalog.text".into())
}

pub(super) fn text_of(alias: &'static str, column: &Column) -> Statement {
    render("{column}::text", &[("column", &seen(alias, &column.name))])
}

pub(super) fn left(text: Statement, letters: usize) -> Statement {
    render(
        "pg_catalog.left({text}, {letters})",
        &[("text", &text), ("letters", &Literal::new(&letters.to_string()))],
    )
}
