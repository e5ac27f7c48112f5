//! Which table is the ledger, and which one holds its balances.

use std::cmp::Reverse;

use super::{
    survey::{Survey, is_float, is_integer, is_key, is_number, is_time, primary_key, target},
    words,
};
use crate::{
    Error,
    client::schema::{Column, Table, Type},
    sql::{Ident, Literal, QualifiedName, Statement, render},
};

/// A table with fewer points is no ledger.
const POINTS_MIN: i32 = 6;

/// A table of fewer rows says nothing by them.
const TELLING_ROWS: i64 = 20;

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

/// The likely ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) table: QualifiedName,
    pub(super) id: Vec<Ident>,
    pub(super) item: Ident,
    /// What the item refers to.
    pub(super) items: Option<QualifiedName>,
    pub(super) lot: Option<Ident>,
    pub(super) created_at: Option<Ident>,
    pub(super) counts: Option<Statement>,
    /// One, or one an end of a move.
    pub(super) postings: Vec<Posting>,
    pub(super) points: i32,
    pub(super) reasons: Vec<String>,
}

/// The likely table of balances.
#[derive(Debug)]
pub(super) struct Balances {
    pub(super) table: QualifiedName,
    pub(super) item: Ident,
    pub(super) location: Option<Ident>,
    pub(super) lot: Option<Ident>,
    pub(super) quantity: Ident,
    pub(super) last_updated: Option<Ident>,
    pub(super) reasons: Vec<String>,
}

/// The columns by which a table could speak of stock.
struct Shape<'t> {
    table: &'t Table,
    item: &'t Column,
    /// The closest place first.
    locations: Vec<&'t Column>,
    lot: Option<&'t Column>,
    quantity: &'t Column,
}

impl Shape<'_> {
    /// What `column` refers to, for comparing two tables.
    fn refers(&self, column: &Column) -> Option<&QualifiedName> {
        target(self.table, column).map(|key| &key.table)
    }
}

/// The likely ledger, and the tables that were nearly it with their points.
pub(super) async fn find(survey: &Survey<'_>) -> Result<(Option<Ledger>, Vec<(String, i32)>), Error> {
    let mut ledgers = Vec::new();
    for table in &survey.tables {
        if is_stockfoils(table) {
            continue;
        }
        if let Some(shape) = shape(survey, table).await? {
            ledgers.push(judge(survey, &shape).await?);
        }
    }
    ledgers.sort_by_key(|ledger| (Reverse(ledger.points), Reverse(survey.statistics(&ledger.table).rows)));
    let mut ledgers = ledgers.into_iter();
    let first = ledgers.next();
    let others = ledgers.map(|ledger| (ledger.table.plain(), ledger.points));
    match first {
        Some(ledger) if ledger.points >= POINTS_MIN => Ok((Some(ledger), others.collect())),
        Some(ledger) => {
            Ok((None, [(ledger.table.plain(), ledger.points)].into_iter().chain(others).collect()))
        }
        None => Ok((None, Vec::new())),
    }
}

/// Whether Stockfoil's own migration made this table of balances.
pub(super) fn is_stockfoils(table: &Table) -> bool {
    table.columns.iter().any(|column| column.generated && column.name.as_str() == "lot_key")
}

async fn shape<'t>(survey: &Survey<'_>, table: &'t Table) -> Result<Option<Shape<'t>>, Error> {
    let Some(item) = item(table) else { return Ok(None) };
    let Some(quantity) = quantity(survey, table).await? else { return Ok(None) };
    Ok(Some(Shape { table, item, locations: locations(table, item), lot: lot(table, item), quantity }))
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

async fn judge(survey: &Survey<'_>, shape: &Shape<'_>) -> Result<Ledger, Error> {
    let (table, quantity) = (shape.table, shape.quantity);
    let mut points = 0;
    let mut reasons = Vec::new();
    let mut say = |worth: i32, reason: String| {
        points += worth;
        reasons.push(format!("{worth:+} {reason}"));
    };
    let name = table.name.name.as_str();
    if words::has(name, words::LEDGER) {
        say(3, "its name is one of a ledger".into());
    }
    if words::has(name, words::STOCK) {
        say(1, "its name speaks of stock".into());
    }
    if words::has(name, words::NO_LEDGER) {
        say(-3, "its name is one of something else".into());
    }
    let item = shape.item.name.as_str();
    match shape.refers(shape.item) {
        Some(items) => say(3, format!("{item} refers to {}", items.plain())),
        None => say(1, format!("{item} names an item, though it refers to no table")),
    }
    if let Some(location) = shape.locations.first() {
        say(2, format!("{} says where", location.name.as_str()));
    }
    if let Some(lot) = shape.lot {
        say(1, format!("{} says which lot", lot.name.as_str()));
    }
    let postings = postings(survey, shape, &mut say).await?;

    let mut key = vec![shape.item];
    key.extend(shape.locations.iter().take(postings.len()));
    key.extend(shape.lot);
    let (rows, keys) = survey.keys(table, &key).await?;
    if rows >= TELLING_ROWS && keys == rows {
        say(-6, format!("each of its keys stands once in {rows} rows, as balances do"));
    } else if rows >= TELLING_ROWS && keys * 5 < rows * 4 {
        say(2, format!("{rows} rows looked at have {keys} keys: many entries for one key"));
    }
    let statistics = survey.statistics(&table.name);
    let (inserts, changes) = (statistics.inserts, statistics.updates + statistics.deletes);
    let grown = format!(
        "{inserts} inserts, {} updates and {} deletes since the statistics began",
        statistics.updates, statistics.deletes
    );
    if inserts >= TELLING_ROWS && changes * 10 <= inserts {
        say(3, format!("it grows and is hardly ever changed: {grown}"));
    } else if changes > inserts && changes >= TELLING_ROWS {
        say(-3, format!("it is changed more than it grows: {grown}"));
    }
    let created_at = created_at(table);
    if let Some(created_at) = created_at {
        say(1, format!("{} says when", created_at.name.as_str()));
    }
    let counts = counts(survey, table, &mut reasons).await?;
    reasons.extend(id_remark(table));
    Ok(Ledger {
        table: table.name.clone(),
        id: id(table, shape.item),
        item: shape.item.name.clone(),
        items: shape.refers(shape.item).cloned(),
        lot: shape.lot.map(|column| column.name.clone()),
        created_at: created_at.map(|column| column.name.clone()),
        counts,
        postings: postings_of(postings, quantity),
        points,
        reasons,
    })
}

/// Where an entry takes its sign from.
enum Ends<'t> {
    One { location: Option<&'t Column>, sign: Sign<'t> },
    Two { from: &'t Column, to: &'t Column },
}

impl Ends<'_> {
    fn len(&self) -> usize {
        match self {
            Ends::One { .. } => 1,
            Ends::Two { .. } => 2,
        }
    }
}

enum Sign<'t> {
    Own,
    Column { column: &'t Column, outs: Vec<String> },
}

async fn postings<'t>(
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

fn postings_of(ends: Ends<'_>, quantity: &Column) -> Vec<Posting> {
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

/// Which entries count, where not all of them do.
async fn counts(
    survey: &Survey<'_>,
    table: &Table,
    reasons: &mut Vec<String>,
) -> Result<Option<Statement>, Error> {
    let mut conditions: Vec<Statement> = Vec::new();
    for column in &table.columns {
        let name = column.name.as_str();
        if words::has(name, words::STATE) && is_key(&column.resolved) {
            let values = survey.values(table, column).await?;
            let done = words::COUNTS
                .iter()
                .find_map(|word| values.iter().find(|value| value.to_lowercase() == *word));
            if let Some(done) = done.filter(|_| values.len() > 1) {
                let literal = Literal::new(done);
                conditions
                    .push(render("{column} = {value}", &[("column", &column.name), ("value", &literal)]));
                reasons.push(format!("{name} is one of {}; only {done} counts", values.join(", ")));
            }
        } else if words::has(name, words::TAKEN_BACK) {
            let condition: &'static str = match column.resolved.kind {
                Type::Bool => "{column} IS NOT TRUE",
                _ if is_time(&column.resolved) && column.nullable => "{column} IS NULL",
                _ => continue,
            };
            conditions.push(render(condition, &[("column", &column.name)]));
            reasons.push(format!("{name} takes an entry back"));
        }
    }
    let both = |rest, next| render("({rest}) AND ({next})", &[("rest", &rest), ("next", &next)]);
    Ok(conditions.into_iter().reduce(both))
}

fn created_at(table: &Table) -> Option<&Column> {
    best(table, |column| {
        let name = column.name.as_str();
        let rank = words::find(name, words::MADE)?;
        (is_time(&column.resolved)
            && !words::has(name, words::NOT_MADE)
            && !words::has(name, words::TAKEN_BACK))
        .then_some((column.nullable, rank))
    })
}

/// The entry's key: the primary key, else a unique one, else what is called so.
fn id(table: &Table, item: &Column) -> Vec<Ident> {
    if let Some(key) = table.keys.first() {
        return key.columns.clone();
    }
    let named = table.columns.iter().find(|column| column.name.as_str().eq_ignore_ascii_case("id"));
    vec![named.unwrap_or(item).name.clone()]
}

fn id_remark(table: &Table) -> Option<String> {
    table.keys.is_empty().then(|| {
        "it has no key that tells one entry from another; correct `id`, and think of giving it a primary key".into()
    })
}

/// The likely table of balances of `ledger`, and the tables that looked like one with why they are none.
pub(super) async fn balances(
    survey: &Survey<'_>,
    ledger: &Ledger,
) -> Result<(Option<Balances>, Vec<String>), Error> {
    let mut found: Vec<(i32, Balances)> = Vec::new();
    let mut refused = Vec::new();
    for table in survey.tables.iter().filter(|table| table.name != ledger.table) {
        let Some(shape) = shape(survey, table).await? else { continue };
        if is_stockfoils(table) || shape.refers(shape.item) != ledger.items.as_ref() {
            continue;
        }
        let has_location =
            !matches!(ledger.postings.first(), None | Some(Posting { location: Term::Nothing, .. }));
        let location = shape.locations.first().copied().filter(|_| has_location);
        if has_location && location.is_none() {
            continue;
        }
        let name = table.name.plain();
        if ledger.lot.is_some() && shape.lot.is_none() {
            refused.push(format!("{name} has no lot, which the ledger has"));
            continue;
        }
        let lot = shape.lot.filter(|_| ledger.lot.is_some());
        let key: Vec<&Column> = [Some(shape.item), location, lot].into_iter().flatten().collect();
        let columns: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
        let (mut points, mut reasons) = (0, Vec::new());
        let unique = table.keys.iter().any(|unique| {
            unique.columns.len() <= key.len()
                && unique.columns.iter().all(|name| key.iter().any(|column| column.name == *name))
        });
        let (rows, keys) = survey.keys(table, &key).await?;
        if unique {
            points += 4;
            reasons.push(format!("a unique key of it is over {}", columns.join(", ")));
        } else if rows >= TELLING_ROWS && rows == keys {
            points += 3;
            reasons.push(format!("each {} stands once in {rows} rows looked at", columns.join(", ")));
        } else if rows > keys {
            refused.push(format!("{name} has {rows} rows for {keys} keys of {}", columns.join(", ")));
            continue;
        }
        if words::has(table.name.name.as_str(), words::BALANCE) {
            points += 2;
            reasons.push("its name is one of balances".into());
        }
        let quantity = shape.quantity;
        reasons.push(format!("{} is how many", quantity.name.as_str()));
        if !is_number(&quantity.resolved) || is_float(&quantity.resolved) || quantity.generated {
            refused.push(format!(
                "{name}.{} is {}, which can't be kept exactly",
                quantity.name.as_str(),
                quantity.declared
            ));
            continue;
        }
        let last_updated = table.columns.iter().find(|column| {
            is_time(&column.resolved)
                && !column.generated
                && words::has(column.name.as_str(), &["updated", "modified", "write", "changed"])
        });
        let balances = Balances {
            table: table.name.clone(),
            item: shape.item.name.clone(),
            location: location.map(|column| column.name.clone()),
            lot: lot.map(|column| column.name.clone()),
            quantity: quantity.name.clone(),
            last_updated: last_updated.map(|column| column.name.clone()),
            reasons,
        };
        if points >= 3 {
            found.push((points, balances));
        }
    }
    let best = found.into_iter().max_by_key(|(points, _)| *points);
    Ok((best.map(|(_, balances)| balances), refused))
}

/// Whether a column is the table's key alone, and so names the row and nothing else.
fn is_own_key(table: &Table, column: &Column) -> bool {
    primary_key(table) == [column.name.clone()]
}

/// The column with the least rank; the first of equals.
fn best<R: Ord>(table: &Table, rank: impl Fn(&Column) -> Option<R>) -> Option<&Column> {
    table
        .columns
        .iter()
        .filter_map(|column| Some((rank(column)?, column)))
        .min_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, column)| column)
}
