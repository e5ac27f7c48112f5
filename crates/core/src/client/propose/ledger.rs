//! Which table is the ledger.

use std::cmp::Reverse;

use serde::Serialize;

use super::{
    Known,
    postings::{Ends, Kinds, Posting, Signs, postings, postings_of},
    shape::{Shape, TELLING_ROWS, best, is_stockfoils, shape},
    survey::{Survey, is_key, is_time},
    words,
};
use crate::{
    Error,
    client::schema::{Column, Table, Type},
    sql::{Ident, Literal, QualifiedName, Statement, render},
};

/// A table with fewer points is no ledger.
const POINTS_MIN: i32 = 6;

/// Fewer keys with anything to compare say nothing.
pub(super) const TELLING_KEYS: usize = 3;

/// How the proposed sums and the balances of a table agree.
#[derive(Debug, Clone, Serialize)]
pub struct Agreement {
    /// The table with the balances.
    pub table: String,
    /// Its column.
    pub quantity: String,
    /// How many keys were compared.
    pub keys: usize,
    /// For how many of them sum and balance are the same.
    pub agreeing: usize,
    /// Some of the others.
    pub differing: Vec<String>,
    #[serde(skip)]
    pub(super) source: (QualifiedName, Ident),
}

impl Agreement {
    /// Whether so many keys agree that the proposal is right: balances are off now and then, which is why somebody needs this.
    pub(super) fn holds(&self) -> bool {
        self.keys >= TELLING_KEYS && self.agreeing * 10 >= self.keys * 9
    }
}

/// What entries add up to for a key, under two readings.
#[derive(Debug, Clone, Serialize)]
pub struct Readings {
    /// Why there are two.
    pub reason: String,
    /// What the proposal takes for true, and what it could be instead.
    pub readings: [String; 2],
    /// Some keys, each with its sum by either.
    pub keys: Vec<(String, String, String)>,
}

/// The likely ledger.
pub(super) struct Ledger {
    pub(super) table: QualifiedName,
    pub(super) id: Vec<Ident>,
    pub(super) item: Ident,
    /// What the item refers to.
    pub(super) items: Option<QualifiedName>,
    pub(super) lot: Option<Ident>,
    pub(super) created_at: Option<Ident>,
    /// Which entries count.
    pub(super) counts: Option<Statement>,
    /// The same without what their kinds say.
    pub(super) base: Option<Statement>,
    /// One, or one an end of a move.
    pub(super) postings: Vec<Posting>,
    pub(super) signs: Signs,
    /// How its sums and somebody's balances agree.
    pub(super) agreement: Option<Agreement>,
    /// What its sums would be by another reading, where the sign is a guess.
    pub(super) readings: Option<Readings>,
    pub(super) points: i32,
    pub(super) reasons: Vec<String>,
}

/// The likely ledger with what it was seen by.
pub(super) struct Found<'t> {
    pub(super) ledger: Ledger,
    shape: Shape<'t>,
    ends: Ends<'t>,
}

impl Found<'_> {
    /// The ledger, whose entries change what their kinds mean.
    pub(super) fn settled(self) -> Ledger {
        let Self { mut ledger, shape, ends } = self;
        ledger.postings = postings_of(&ends, &ledger.signs, shape.quantity, shape.pair.is_some());
        let aside = ledger.signs.kinds.as_ref().and_then(Kinds::condition);
        let both = |rest, next| render("({rest}) AND ({next})", &[("rest", &rest), ("next", &next)]);
        ledger.counts = ledger.base.clone().into_iter().chain(aside).reduce(both);
        ledger
    }
}

/// The likely ledger, and the tables that were nearly it with their points.
pub(super) async fn find<'t>(
    survey: &'t Survey<'_>,
    known: &Known,
) -> Result<(Option<Found<'t>>, Vec<(String, i32)>), Error> {
    let mut judged = Vec::new();
    for table in &survey.tables {
        let is_other = known.ledger.as_deref().is_some_and(|name| !Known::means(name, &table.name));
        let is_balances = known.balances.as_deref().is_some_and(|name| Known::means(name, &table.name));
        if is_stockfoils(table) || is_other || is_balances {
            continue;
        }
        if let Some(shape) = shape(survey, table).await? {
            judged.push(judge(survey, shape).await?);
        }
    }
    judged.sort_by_key(|Found { ledger, .. }| {
        (Reverse(ledger.points), Reverse(survey.statistics(&ledger.table).rows))
    });
    let others = |rest: &[Found<'_>]| {
        rest.iter().map(|Found { ledger, .. }| (ledger.table.plain(), ledger.points)).collect()
    };
    let is_likely =
        judged.first().is_some_and(|found| found.ledger.points >= POINTS_MIN || known.ledger.is_some());
    if is_likely {
        let first = judged.remove(0);
        return Ok((Some(first), others(&judged)));
    }
    Ok((None, others(&judged)))
}

async fn judge<'t>(survey: &Survey<'_>, shape: Shape<'t>) -> Result<Found<'t>, Error> {
    let (table, quantity) = (shape.table, shape.quantity);
    let mut points = 0;
    let mut reasons = Vec::new();
    let mut say = |worth: i32, reason: String| {
        points += worth;
        reasons.push(format!("{worth:+} {reason}"));
    };
    judge_names(&shape, &mut say);
    let (ends, signs) = postings(survey, &shape, &mut say).await?;

    judge_use(survey, &shape, ends.len(), &mut say).await?;
    let created_at = created_at(table);
    if let Some(created_at) = created_at {
        say(1, format!("{} says when", created_at.name.as_str()));
    }
    let base = counts(survey, table, &mut reasons).await?;
    reasons.extend(id_remark(table));
    let ledger = Ledger {
        table: table.name.clone(),
        id: id(table, shape.item),
        item: shape.item.name.clone(),
        items: shape.refers(shape.item).cloned(),
        lot: shape.lot.map(|column| column.name.clone()),
        created_at: created_at.map(|column| column.name.clone()),
        counts: base.clone(),
        base,
        postings: postings_of(&ends, &signs, quantity, shape.pair.is_some()),
        signs,
        agreement: None,
        readings: None,
        points,
        reasons,
    };
    Ok(Found { ledger, shape, ends })
}

/// What the names of the table and of its columns say.
fn judge_names(shape: &Shape<'_>, say: &mut impl FnMut(i32, String)) {
    let name = shape.table.name.name.as_str();
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
}

/// What the rows say, whose entries change `places` places each, and how they came about.
async fn judge_use(
    survey: &Survey<'_>,
    shape: &Shape<'_>,
    places: usize,
    say: &mut impl FnMut(i32, String),
) -> Result<(), Error> {
    let table = shape.table;
    let mut key = vec![shape.item];
    key.extend(shape.locations.iter().take(places));
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
    Ok(())
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
                .split(' ')
                .find_map(|word| values.iter().find(|value| value.to_lowercase() == word));
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
