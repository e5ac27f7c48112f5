//! By how much an entry changes which places: where it takes its sign from, and its two ends where it moves stock.

use super::{
    shape::{Shape, TELLING_ROWS},
    survey::{Survey, is_float, is_key},
    words,
};
use crate::{
    Error,
    client::schema::{Column, Table},
    sql::{Ident, Literal, Statement, render},
};

/// A column, an expression over the row, or nothing.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Column(Ident),
    Sql(Statement),
    Nothing,
}

/// One place that an entry changes, and by how much.
#[derive(Debug)]
pub(super) struct Posting {
    pub(super) location: Term,
    pub(super) quantity: Term,
}

/// Where an entry takes its sign from.
pub(super) enum Ends<'t> {
    One { location: Option<&'t Column>, sign: Sign<'t> },
    Two { from: &'t Column, to: &'t Column },
}

impl Ends<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Ends::One { .. } => 1,
            Ends::Two { .. } => 2,
        }
    }
}

pub(super) enum Sign<'t> {
    Own,
    Column { column: &'t Column, outs: Vec<String> },
}

pub(super) async fn postings<'t>(
    survey: &Survey<'_>,
    shape: &Shape<'t>,
    say: &mut impl FnMut(i32, String),
) -> Result<Ends<'t>, Error> {
    let (table, quantity) = (shape.table, shape.quantity);
    let location = shape.locations.first().copied();
    let numbers = survey.numbers(table, quantity).await?;
    let name = quantity.name.as_str();
    if numbers.any_negative {
        let least = numbers.least.unwrap_or_default();
        let greatest = numbers.greatest.unwrap_or_default();
        say(4, format!("{name} is signed: {least} to {greatest} in {} rows looked at", numbers.rows));
        return Ok(Ends::One { location, sign: Sign::Own });
    }
    if let Some((from, to)) = ends(shape) {
        let (source, destination) = (from.name.as_str(), to.name.as_str());
        say(3, format!("{name} is never negative, and an entry moves it from {source} to {destination}"));
        return Ok(Ends::Two { from, to });
    }
    if let Some((column, outs)) = direction(survey, table).await? {
        let direction = column.name.as_str();
        say(3, format!("{name} is never negative, and {direction} says which way it goes"));
        return Ok(Ends::One { location, sign: Sign::Column { column, outs } });
    }
    if numbers.rows >= TELLING_ROWS {
        say(-3, format!("{name} is never negative, and nothing was found that says which way it goes"));
    }
    Ok(Ends::One { location, sign: Sign::Own })
}

/// The place that an entry takes from and the one that it gives to, where there are two of a kind.
fn ends<'t>(shape: &Shape<'t>) -> Option<(&'t Column, &'t Column)> {
    let [first, second, ..] = *shape.locations else { return None };
    if shape.refers(first) != shape.refers(second) {
        return None;
    }
    let is = |column: &Column, what| words::has(column.name.as_str(), what);
    let (from, to) =
        if is(second, words::TO) || is(first, words::FROM) { (first, second) } else { (second, first) };
    let told = is(to, words::TO) || is(from, words::FROM);
    let contradicted = is(to, words::FROM) || is(from, words::TO);
    (told && !contradicted).then_some((from, to))
}

/// A column whose every value means in or out, with the values that mean out.
async fn direction<'t>(
    survey: &Survey<'_>,
    table: &'t Table,
) -> Result<Option<(&'t Column, Vec<String>)>, Error> {
    for column in &table.columns {
        if !words::has(column.name.as_str(), words::DIRECTION) || !is_key(&column.resolved) {
            continue;
        }
        let values = survey.values(table, column).await?;
        let means = |value: &String, list: &[&str]| list.contains(&value.trim().to_lowercase().as_str());
        let (outs, others): (Vec<String>, Vec<String>) =
            values.into_iter().partition(|value| means(value, words::OUT));
        if !outs.is_empty() && others.iter().all(|value| means(value, words::IN)) {
            return Ok(Some((column, outs)));
        }
    }
    Ok(None)
}

pub(super) fn postings_of(ends: Ends<'_>, quantity: &Column) -> Vec<Posting> {
    let column = |column: &Column| Term::Column(column.name.clone());
    let plain = if is_float(&quantity.resolved) {
        // Floating point can't be summed exactly; each value has an exact decimal.
        Term::Sql(render("{quantity}::numeric", &[("quantity", &quantity.name)]))
    } else {
        column(quantity)
    };
    let amount: Statement = match &plain {
        Term::Sql(sql) => sql.clone(),
        _ => render("{quantity}", &[("quantity", &quantity.name)]),
    };
    match ends {
        Ends::One { location, sign } => {
            let quantity = match sign {
                Sign::Own => plain,
                Sign::Column { column, outs } => {
                    let is_out = any_of(column, &outs);
                    Term::Sql(render(
                        "CASE WHEN {is_out} THEN -{amount} ELSE {amount} END",
                        &[("is_out", &is_out), ("amount", &amount)],
                    ))
                }
            };
            vec![Posting { location: location.map_or(Term::Nothing, column), quantity }]
        }
        Ends::Two { from, to } => vec![
            Posting { location: column(to), quantity: plain },
            Posting {
                location: column(from),
                quantity: Term::Sql(render("-{amount}", &[("amount", &amount)])),
            },
        ],
    }
}

/// `column = 'a' OR column = 'b'`: with IN, an enum's values would be compared through an array.
fn any_of(column: &Column, values: &[String]) -> Statement {
    let mut whole: Option<Statement> = None;
    for value in values {
        let literal = Literal::new(value);
        let one = render("{column} = {value}", &[("column", &column.name), ("value", &literal)]);
        whole = Some(match whole {
            None => one,
            Some(rest) => render("{rest} OR {one}", &[("rest", &rest), ("one", &one)]),
        });
    }
    whole.unwrap_or_else(|| render("false", &[]))
}
