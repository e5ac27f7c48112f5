//! What stands in columns instead of what people wrote there, where an organization is copied for trying something out.

use std::str::FromStr;

use sqlx::PgConnection;

use super::{
    super::{super::TenancyError, LifeError},
    fit::{Arrival, Way},
    staging::run,
};
use crate::{
    Error,
    model::Model,
    sql::{List, Literal, Statement, render},
};

/// A column, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    table: String,
    column: String,
    rule: Rule,
}

/// What stands there: other values for other rows, so that they stay unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Nothing.
    Null,
    /// `masked-1`, `masked-2` and so on.
    Text,
    /// `masked-1@example.invalid` and so on, which no mail gets to.
    Email,
}

impl FromStr for Mask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "{text:?} is no mask; give such as users.email=email, where the rule is null, text or email"
            )
        };
        let (place, rule) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (table, column) = place.rsplit_once('.').ok_or_else(wrong)?;
        let rule = match rule {
            "null" => Rule::Null,
            "text" => Rule::Text,
            "email" => Rule::Email,
            _ => return Err(wrong()),
        };
        Ok(Self { table: table.to_owned(), column: column.to_owned(), rule })
    }
}

/// Puts the masks over the rows that were put aside.
pub(super) async fn put(
    session: &mut PgConnection,
    model: &Model,
    arrivals: &[Arrival],
    masks: &[Mask],
) -> Result<(), Error> {
    for mask in masks {
        let statement = statement(model, arrivals, mask).ok_or_else(|| {
            TenancyError::from(LifeError::NoMask { table: mask.table.clone(), column: mask.column.clone() })
        })?;
        run(session, &statement, &format!("mask {}.{}", mask.table, mask.column)).await?;
    }
    Ok(())
}

/// The statement that puts `mask` over its column; none where the file has no such column, or it tells whose a row is or which.
fn statement(model: &Model, arrivals: &[Arrival], mask: &Mask) -> Option<Statement> {
    let is_meant =
        |arrival: &&Arrival| arrival.way == Way::Insert && arrival.table.name.plain() == mask.table;
    let arrival = arrivals.iter().find(is_meant)?;
    let (column, type_name) = arrival.table.columns.iter().find(|(name, _)| name.as_str() == mask.column)?;
    if arrival.table.key.contains(column) || arrival.table.org.as_ref() == Some(column) {
        return None;
    }
    let suffix = match mask.rule {
        Rule::Null => {
            return Some(arrival.render(
                model,
                "UPDATE {staging} SET {column} = NULL",
                &[("column", column)],
            ));
        }
        Rule::Text => Literal::new(""),
        Rule::Email => Literal::new("@example.invalid"),
    };
    let key = match arrival.table.key.is_empty() {
        true => List(vec![render("m.ctid", &[])]),
        false => List(arrival.table.key.iter().map(|key| render("m.{key}", &[("key", key)])).collect()),
    };
    Some(arrival.render(
        model,
        "UPDATE {staging} AS s SET {column} = ('masked-' || numbered.n::text || {suffix})::{type}
         FROM (SELECT m.ctid AS place, row_number() OVER (ORDER BY {key}) AS n FROM {staging} AS m) AS numbered
         WHERE s.ctid = numbered.place AND s.{column} IS NOT NULL",
        &[("column", column), ("suffix", &suffix), ("type", type_name), ("key", &key)],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_names_table_column_and_rule() {
        let mask = Mask { table: "sales.users".into(), column: "email".into(), rule: Rule::Email };
        assert_eq!("sales.users.email=email".parse(), Ok(mask));
        for text in ["", "users", "users.email", "email=null", "users.email=", "users.email=noise"] {
            assert!(text.parse::<Mask>().unwrap_err().contains("is no mask"), "{text}");
        }
    }
}
