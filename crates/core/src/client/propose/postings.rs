//! By how much an entry changes which places: where it takes its sign from, and its two ends where it moves stock.

use super::{
    shape::{Shape, TELLING_ROWS},
    survey::{Survey, is_float, is_key, target},
    words::{self, Way},
};
use crate::{
    Error,
    client::schema::{Column, Table, Type},
    sql::{Definition, Ident, Literal, Statement, render},
};

/// A column with more different values says nothing of kinds.
const KINDS_MAX: usize = 16;

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

/// Which places an entry changes.
pub(super) enum Ends<'t> {
    One { location: Option<&'t Column> },
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

/// A column that says of what kind an entry is, with what each of its values does to a quantity.
#[derive(Debug)]
pub(super) struct Kinds {
    pub(super) column: Ident,
    pub(super) nullable: bool,
    pub(super) effects: Vec<Effect>,
}

/// What entries of one kind do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) value: String,
    /// Adds (1), takes away (-1), or does nothing (0).
    pub(super) factor: i8,
    /// Whether its name says so, or the balances.
    pub(super) is_known: bool,
}

/// Where entries get their sign from.
pub(super) struct Signs {
    /// The quantity as a number, by itself.
    pub(super) amount: Statement,
    pub(super) kinds: Option<Kinds>,
    /// Why the sign is a guess; none where something says it.
    pub(super) guess: Option<String>,
}

pub(super) async fn postings<'t>(
    survey: &Survey<'_>,
    shape: &Shape<'t>,
    say: &mut impl FnMut(i32, String),
) -> Result<(Ends<'t>, Signs), Error> {
    let (table, quantity) = (shape.table, shape.quantity);
    let one = Ends::One { location: shape.locations.first().copied() };
    let name = quantity.name.as_str();
    if let Some((comes, goes)) = &shape.pair {
        let (comes_name, goes_name) = (comes.name.as_str(), goes.name.as_str());
        say(4, format!("{comes_name} says how much comes, and {goes_name} how much goes"));
        let amount = render(
            "(coalesce({comes}, 0) - coalesce({goes}, 0))",
            &[("comes", &number(comes)), ("goes", &number(goes))],
        );
        return Ok((one, Signs { amount, kinds: None, guess: None }));
    }
    let numbers = survey.numbers(table, quantity).await?;
    let amount = number(quantity);
    if shape.is_default {
        say(3, format!("{name} is signed in the default inventory"));
        return Ok((one, Signs { amount, kinds: None, guess: None }));
    }
    let mut kinds = kinds(survey, table).await?;
    if numbers.any_negative {
        let least = numbers.least.unwrap_or_default();
        let greatest = numbers.greatest.unwrap_or_default();
        say(4, format!("{name} is signed: {least} to {greatest} in {} rows looked at", numbers.rows));
        let guess = kinds.as_mut().and_then(Kinds::of_signed);
        return Ok((one, Signs { amount, kinds, guess }));
    }
    if let Some((from, to)) = ends(shape) {
        let (source, destination) = (from.name.as_str(), to.name.as_str());
        say(3, format!("{name} is never negative, and an entry moves it from {source} to {destination}"));
        return Ok((Ends::Two { from, to }, Signs { amount, kinds: None, guess: None }));
    }
    let guess = match &kinds {
        Some(kinds) if kinds.effects.iter().any(|effect| effect.factor < 0) => {
            let direction = kinds.column.as_str();
            say(3, format!("{name} is never negative, and {direction} says which way it goes"));
            let unknown: Vec<&str> = kinds
                .effects
                .iter()
                .filter(|effect| !effect.is_known)
                .map(|effect| effect.value.as_str())
                .collect();
            (!unknown.is_empty()).then(|| {
                format!("which way {} goes is not known where {direction} is {}", name, unknown.join(", "))
            })
        }
        _ if numbers.rows >= TELLING_ROWS => {
            say(-3, format!("{name} is never negative, and nothing was found that says which way it goes"));
            Some(format!("{name} is never negative, and nothing says which way it goes"))
        }
        _ => Some(format!("there are too few rows that would show which way {name} goes")),
    };
    Ok((one, Signs { amount, kinds, guess }))
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

/// The column that says of what kind an entry is: one that is called so, or one whose values say which way an entry
/// goes. An enum's values are all that it may have, in use or not.
async fn kinds(survey: &Survey<'_>, table: &Table) -> Result<Option<Kinds>, Error> {
    let mut best: Option<(usize, Kinds)> = None;
    for column in &table.columns {
        let is_named = words::has(column.name.as_str(), words::DIRECTION);
        let is_text = matches!(column.resolved.kind, Type::Text | Type::Char | Type::Enum(_));
        if !(is_named && is_key(&column.resolved) || is_text) || target(table, column).is_some() {
            continue;
        }
        let values = match &column.resolved.kind {
            Type::Enum(name) => survey.labels(name),
            _ => survey.values(table, column).await?,
        };
        if values.is_empty() || values.len() > KINDS_MAX {
            continue;
        }
        let effects: Vec<Effect> = values
            .into_iter()
            .map(|value| {
                let way = words::way(&value);
                let factor = match way {
                    Some(Way::Out) => -1,
                    Some(Way::Aside) => 0,
                    Some(Way::In) | None => 1,
                };
                Effect { value, factor, is_known: way.is_some() }
            })
            .collect();
        let known = effects.iter().filter(|effect| effect.is_known).count();
        let rank = 2 * known + usize::from(is_named);
        let is_any = known > 0 || is_named;
        if is_any && best.as_ref().is_none_or(|(least, _)| rank > *least) {
            let kinds = Kinds { column: column.name.clone(), nullable: column.nullable, effects };
            best = Some((rank, kinds));
        }
    }
    Ok(best.map(|(_, kinds)| kinds))
}

/// A number for a sum: floating point can't be summed exactly; each value has an exact decimal.
fn number(column: &Column) -> Statement {
    let cast: &'static str = if is_float(&column.resolved) { "{column}::numeric" } else { "{column}" };
    render(cast, &[("column", &column.name)])
}

impl Kinds {
    /// Gives the kinds of signed entries their meaning: what is signed adds, whatever it is called; what only promises does nothing,
    /// unless balances say otherwise. Why that is a guess, where it is one.
    fn of_signed(&mut self) -> Option<String> {
        let mut promises = Vec::new();
        for effect in &mut self.effects {
            let is_aside = words::way(&effect.value) == Some(Way::Aside);
            if is_aside {
                promises.push(effect.value.clone());
            }
            effect.factor = if is_aside { 0 } else { 1 };
            effect.is_known = !is_aside;
        }
        (!promises.is_empty()).then(|| {
            format!("whether entries change what lies there is not known of {}", promises.join(", "))
        })
    }

    fn values(&self, factor: i8) -> Option<Statement> {
        let values: Vec<&str> = self
            .effects
            .iter()
            .filter(|effect| effect.factor == factor)
            .map(|effect| effect.value.as_str())
            .collect();
        (!values.is_empty()).then(|| any_of(&self.column, &values))
    }

    /// Which entries change anything, where not all do.
    pub(super) fn condition(&self) -> Option<Statement> {
        let aside = self.values(0)?;
        let whole: &'static str = if self.nullable { "({aside}) IS NOT TRUE" } else { "NOT ({aside})" };
        Some(render(whole, &[("aside", &aside)]))
    }
}

/// What entries change, and by how much. Arithmetic on a numeric forgets its digits, which its sums have and a table of
/// balances may be declared with: they are said again.
pub(super) fn postings_of(ends: &Ends<'_>, signs: &Signs, quantity: &Column, is_pair: bool) -> Vec<Posting> {
    let column = |column: &Column| Term::Column(column.name.clone());
    let sql = |sql: Statement| {
        Term::Sql(if quantity.declared.starts_with("numeric(") {
            let declared = Definition::from_catalog(quantity.declared.clone());
            render("({sql})::{declared}", &[("sql", &sql), ("declared", &declared)])
        } else {
            sql
        })
    };
    let amount = &signs.amount;
    let is_plain = !is_pair && !is_float(&quantity.resolved);
    let plain = || if is_plain { column(quantity) } else { sql(amount.clone()) };
    match ends {
        Ends::One { location } => {
            let quantity = match signs.kinds.as_ref().and_then(|kinds| kinds.values(-1)) {
                None => plain(),
                Some(is_out) => sql(render(
                    "CASE WHEN {is_out} THEN -{amount} ELSE {amount} END",
                    &[("is_out", &is_out), ("amount", amount)],
                )),
            };
            vec![Posting { location: location.map_or(Term::Nothing, column), quantity }]
        }
        Ends::Two { from, to } => vec![
            Posting { location: column(to), quantity: plain() },
            Posting { location: column(from), quantity: sql(render("-{amount}", &[("amount", amount)])) },
        ],
    }
}

/// `column = 'a' OR column = 'b'`: with IN, an enum's values would be compared through an array.
fn any_of(column: &Ident, values: &[&str]) -> Statement {
    let mut whole: Option<Statement> = None;
    for value in values {
        let literal = Literal::new(value);
        let one = render("{column} = {value}", &[("column", column), ("value", &literal)]);
        whole = Some(match whole {
            None => one,
            Some(rest) => render("{rest} OR {one}", &[("rest", &rest), ("one", &one)]),
        });
    }
    whole.unwrap_or_else(|| render("false", &[]))
}
