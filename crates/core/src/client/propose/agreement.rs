//! What is proposed for the ledger, tested: its sums against the balances that some table has, with every meaning that the
//! kinds of entries can have; and where nothing can be tested, what either reading would give.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ledger::{Agreement, Ledger, Readings, TELLING_KEYS},
    postings::{Effect, Posting, Term},
    shape::{Shape, shape},
    survey::{Survey, is_number, primary_key, target},
    words,
};
use crate::{
    Error,
    client::schema::{Column, Table},
    sql::{Fixed, Fragment, Ident, List, Statement, render},
};

/// So many keys are compared.
const KEYS: i64 = 500;

/// With more kinds not every meaning is tried.
const KINDS_TRIED_MAX: usize = 7;

/// A table's column that may hold balances, by a key that the ledger has too.
struct Candidate<'t> {
    table: &'t Table,
    quantity: &'t Column,
    /// The columns of the key, each beside the ledger's of the same meaning.
    item: &'t Column,
    location: Option<&'t Column>,
    lot: Option<&'t Column>,
}

/// Sums by kind of one key, and its balance; whole numbers of the same smallest part.
struct Compared {
    key: String,
    balance: i128,
    sums: Vec<i128>,
}

/// Tests `ledger` against every table that may hold its balances, gives its kinds the meaning that agrees best, and says so.
pub(super) async fn test(survey: &Survey<'_>, ledger: &mut Ledger) -> Result<(), Error> {
    let mut best: Option<(Agreement, Vec<Meaning>)> = None;
    for candidate in candidates(survey, ledger).await? {
        let Some(compared) = compare(survey, ledger, &candidate).await? else {
            let what = candidate.table.name.plain();
            ledger
                .reasons
                .push(format!("the sums were not compared with {what}: that takes over half a minute"));
            continue;
        };
        // Few keys agree with some meaning of many kinds by chance.
        let kinds = ledger.signs.kinds.as_ref().map_or(0, |kinds| kinds.effects.len());
        if compared.len() < TELLING_KEYS + kinds {
            continue;
        }
        let (factors, agreement) = agree(ledger, &candidate, &compared);
        let share = |agreement: &Agreement| (agreement.agreeing * 1_000 / agreement.keys, agreement.keys);
        if best.as_ref().is_none_or(|(known, _)| share(&agreement) > share(known)) {
            best = Some((agreement, factors));
        }
    }
    let Some((agreement, factors)) = best else { return Ok(()) };
    let Agreement { table, quantity, keys, agreeing, .. } = &agreement;
    let told = format!("{agreeing} of {keys} keys have in {table}.{quantity} what these entries add up to");
    if agreement.holds() {
        if let Some(kinds) = &mut ledger.signs.kinds {
            for (effect, meaning) in kinds.effects.iter_mut().zip(factors) {
                effect.factor = meaning.factor;
                effect.is_known |= meaning.is_told;
            }
        }
        let effects = ledger.signs.kinds.iter().flat_map(|kinds| &kinds.effects);
        if effects.into_iter().all(|effect| effect.is_known) {
            ledger.signs.guess = None;
        }
    }
    ledger.reasons.push(told);
    ledger.agreement = Some(agreement);
    Ok(())
}

/// What the two readings of a guess would give.
pub(super) async fn readings(survey: &Survey<'_>, ledger: &Ledger) -> Result<Option<Readings>, Error> {
    let Some(reason) = ledger.signs.guess.clone() else { return Ok(None) };
    let sql = render(
        include_str!("readings.sql"),
        &[("table", &ledger.table), ("signed_entries", &entries(ledger, Keyed::all(ledger)))],
    );
    let rows: Vec<Line> = survey
        .within(&sql, super::survey::SAMPLE_ROWS, "add up the entries of some keys")
        .await?
        .unwrap_or_default();
    let kinds =
        ledger.signs.kinds.as_ref().filter(|kinds| kinds.effects.iter().any(|effect| !effect.is_known));
    let readings = match kinds {
        Some(kinds) if kinds.effects.iter().any(|effect| !effect.is_known && effect.factor == 0) => {
            ["they change nothing".to_owned(), "they add".to_owned()]
        }
        Some(_) => ["they add".to_owned(), "they take away".to_owned()],
        None => ["every entry adds".to_owned(), "an entry says how much there is from then on".to_owned()],
    };
    let mut keys: BTreeMap<String, (Option<Decimal>, Option<Decimal>)> = BTreeMap::new();
    for Line { key, kind, sum, other: last } in rows {
        let sum = sum.as_deref().and_then(Decimal::parse);
        let is_unknown = kinds.is_some_and(|kinds| {
            kinds.effects.iter().any(|effect| !effect.is_known && Some(&effect.value) == kind.as_ref())
        });
        let factor = factor(ledger, kind.as_deref());
        let both = keys.entry(key.join(", ")).or_insert((Some(Decimal::ZERO), Some(Decimal::ZERO)));
        let with = |total: Option<Decimal>, factor: i8| total?.plus(sum?, factor);
        *both = if kinds.is_some() {
            (
                with(both.0, factor),
                with(
                    both.1,
                    match (is_unknown, factor) {
                        (true, 0) => 1,
                        (true, factor) => -factor,
                        (false, factor) => factor,
                    },
                ),
            )
        } else {
            (with(both.0, factor), last.as_deref().and_then(Decimal::parse))
        };
    }
    let text = |value: Option<Decimal>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let keys = keys.into_iter().map(|(key, (one, other))| (key, text(one), text(other))).collect();
    Ok(Some(Readings { reason, readings, keys }))
}

fn factor(ledger: &Ledger, kind: Option<&str>) -> i8 {
    let effects = ledger.signs.kinds.iter().flat_map(|kinds| &kinds.effects);
    let mut of_kind = effects.filter(|effect| Some(effect.value.as_str()) == kind);
    of_kind.next().map_or(1, |effect| effect.factor)
}

/// Tables of balances, and columns of the items themselves.
async fn candidates<'t>(survey: &'t Survey<'_>, ledger: &Ledger) -> Result<Vec<Candidate<'t>>, Error> {
    let mut found = Vec::new();
    for table in survey.tables.iter().filter(|table| table.name != ledger.table) {
        if ledger.items.as_ref() == Some(&table.name) {
            let [key] = primary_key(table) else { continue };
            let Some(item) = table.column(key) else { continue };
            let is_two = ledger.postings.len() > 1;
            let kept = quantities(table).filter(|column| {
                !is_two
                    && (words::has(column.name.as_str(), words::BALANCE)
                        || words::has(column.name.as_str(), words::QUANTITY))
            });
            found.extend(kept.map(|quantity| Candidate { table, quantity, item, location: None, lot: None }));
            continue;
        }
        let Some(shape): Option<Shape<'t>> = shape(survey, table).await? else { continue };
        if shape.refers(shape.item) != ledger.items.as_ref() {
            continue;
        }
        let has_location =
            !matches!(ledger.postings.first(), None | Some(Posting { location: Term::Nothing, .. }));
        let location = shape.locations.first().copied().filter(|_| has_location);
        // What moves between two places changes no sum of an item.
        if ledger.postings.len() > 1 && location.is_none() {
            continue;
        }
        let lot = shape.lot.filter(|_| ledger.lot.is_some());
        let item = shape.item;
        found.extend(quantities(table).map(|quantity| Candidate { table, quantity, item, location, lot }));
    }
    Ok(found)
}

fn quantities(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|column| {
        is_number(&column.resolved)
            && !column.identity
            && !primary_key(table).contains(&column.name)
            && target(table, column).is_none()
            && !words::has(column.name.as_str(), words::NO_QUANTITY)
    })
}

/// A key, a kind, and two numbers as PostgreSQL prints them.
#[derive(sqlx::FromRow)]
struct Line {
    key: Vec<String>,
    kind: Option<String>,
    sum: Option<String>,
    /// The balance, or the last quantity.
    other: Option<String>,
}

/// What is known of a key: its balance, and its sums by kind.
type Sums = (Option<Decimal>, Vec<Option<Decimal>>);

/// Which parts of a key are compared.
#[derive(Clone, Copy)]
struct Keyed {
    location: bool,
    lot: bool,
}

impl Keyed {
    fn all(ledger: &Ledger) -> Self {
        Self { location: true, lot: ledger.lot.is_some() }
    }
}

/// The ledger's entries as rows of a key, a kind and a quantity whose sign is not yet that of its kind.
fn entries(ledger: &Ledger, keyed: Keyed) -> Statement {
    let kind: Statement = match &ledger.signs.kinds {
        Some(kinds) => render("t.{column}::text", &[("column", &kinds.column)]),
        None => render("NULL::text", &[]),
    };
    let mut parts: Vec<Statement> = Vec::new();
    for (place, posting) in ledger.postings.iter().enumerate() {
        let mut key = vec![text(&ledger.item)];
        if let Term::Column(location) = &posting.location
            && keyed.location
        {
            key.push(text(location));
        }
        key.extend(ledger.lot.iter().filter(|_| keyed.lot).map(text));
        let sign: &dyn Fragment = if place == 0 { &Fixed("") } else { &Fixed("-") };
        let fragments: [(&str, &dyn Fragment); 6] = [
            ("key", &List(key)),
            ("kind", &kind),
            ("sign", sign),
            ("amount", &ledger.signs.amount),
            ("table", &ledger.table),
            ("counts", &ledger.base.clone().unwrap_or_else(|| render("true", &[]))),
        ];
        parts.push(render(
            "SELECT ARRAY[{key}] AS key, {kind} AS kind, {sign}({amount})::numeric AS quantity FROM {table} AS t WHERE {counts}",
            &fragments,
        ));
    }
    let both = |one, other| render("{one} UNION ALL {other}", &[("one", &one), ("other", &other)]);
    parts
        .into_iter()
        .reduce(both)
        .unwrap_or_else(|| render("SELECT NULL::text[] AS key, NULL::text AS kind, 0 AS quantity", &[]))
}

fn text(column: &Ident) -> Statement {
    render("coalesce({column}::text, '')", &[("column", column)])
}

/// The balances of some keys beside their sums; none where that takes too long.
async fn compare(
    survey: &Survey<'_>,
    ledger: &Ledger,
    candidate: &Candidate<'_>,
) -> Result<Option<Vec<Compared>>, Error> {
    let mut kept = vec![text(&candidate.item.name)];
    kept.extend(candidate.location.map(|column| text(&column.name)));
    kept.extend(candidate.lot.map(|column| text(&column.name)));
    let keyed = Keyed { location: candidate.location.is_some(), lot: candidate.lot.is_some() };
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("kept_key", &List(kept)),
        ("kept_quantity", &candidate.quantity.name),
        ("kept_table", &candidate.table.name),
        ("signed_entries", &entries(ledger, keyed)),
    ];
    let sql = render(include_str!("agreement.sql"), &fragments);
    let what = format!("compare the ledger with {}", candidate.table.name.plain());
    let rows: Option<Vec<Line>> = survey.within(&sql, KEYS, &what).await?;
    let Some(rows) = rows else { return Ok(None) };
    let mut found: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    let count = ledger.signs.kinds.as_ref().map_or(0, |kinds| kinds.effects.len());
    for Line { key, kind, sum, other: balance } in rows {
        let balance = balance.as_deref().and_then(Decimal::parse);
        let entry = found.entry(key).or_insert_with(|| (balance, vec![Some(Decimal::ZERO); count + 1]));
        let Some(sum) = sum else { continue };
        let effects = ledger.signs.kinds.iter().flat_map(|kinds| &kinds.effects);
        // Those of no kind are last.
        let place = effects
            .map(|effect| &effect.value)
            .position(|value| Some(value) == kind.as_ref())
            .unwrap_or(count);
        entry.1[place] = entry.1[place].and_then(|total| total.plus(Decimal::parse(&sum)?, 1));
    }
    Ok(Some(found.into_iter().filter_map(|(key, (balance, sums))| compared(&key, balance?, &sums)).collect()))
}

/// The same in whole numbers of the same part; none where there is nothing to compare, or the numbers are too large.
fn compared(key: &[String], balance: Decimal, sums: &[Option<Decimal>]) -> Option<Compared> {
    let sums: Vec<Decimal> = sums.iter().copied().collect::<Option<_>>()?;
    let scale = sums.iter().map(|sum| sum.scale).chain([balance.scale]).max()?;
    let whole = |number: &Decimal| number.at(scale);
    let balance = whole(&balance)?;
    let sums: Vec<i128> = sums.iter().map(whole).collect::<Option<_>>()?;
    let is_empty = balance == 0 && sums.iter().all(|sum| *sum == 0);
    (!is_empty).then(|| Compared { key: key.join(", "), balance, sums })
}

/// What a kind does to a quantity, and whether as many keys agree with nothing else: of a kind that no key has entries of,
/// balances tell nothing.
struct Meaning {
    factor: i8,
    is_told: bool,
}

/// What the kinds would have to mean for most keys to agree; of equals what their names say.
fn agree(ledger: &Ledger, candidate: &Candidate<'_>, compared: &[Compared]) -> (Vec<Meaning>, Agreement) {
    let effects: &[Effect] = ledger.signs.kinds.as_ref().map_or(&[], |kinds| &kinds.effects);
    let named: Vec<i8> = effects.iter().map(|effect| effect.factor).collect();
    let agreeing = |factors: &[i8]| compared.iter().filter(|compared| compared.agrees(factors)).count();
    let mut best = (agreeing(&named), 0, named.clone());
    // Of each kind, the meanings with which so many agree.
    let mut equals: Vec<BTreeSet<i8>> = vec![BTreeSet::new(); effects.len()];
    if effects.len() <= KINDS_TRIED_MAX {
        let all = u32::try_from(effects.len()).map_or(0, |count| 3_usize.pow(count));
        for number in 0..all {
            let factors: Vec<i8> = (0..effects.len())
                .map(|place| [1, -1, 0][number / 3_usize.pow(u32::try_from(place).unwrap_or(0)) % 3])
                .collect();
            let differing = factors.iter().zip(&named).filter(|(found, named)| found != named).count();
            let count = agreeing(&factors);
            if count > best.0 {
                equals.iter_mut().for_each(BTreeSet::clear);
            }
            if count >= best.0 {
                for (equals, factor) in equals.iter_mut().zip(&factors) {
                    equals.insert(*factor);
                }
            }
            if count > best.0 || count == best.0 && differing < best.1 {
                best = (count, differing, factors);
            }
        }
    }
    let (count, _, factors) = best;
    let differing = compared.iter().filter(|compared| !compared.agrees(&factors)).take(3);
    let agreement = Agreement {
        table: candidate.table.name.plain(),
        quantity: candidate.quantity.name.as_str().to_owned(),
        keys: compared.len(),
        agreeing: count,
        differing: differing.map(|compared| compared.key.clone()).collect(),
        source: (candidate.table.name.clone(), candidate.quantity.name.clone()),
    };
    let meanings = factors
        .into_iter()
        .zip(equals)
        .map(|(factor, equals)| Meaning { factor, is_told: equals.len() == 1 });
    (meanings.collect(), agreement)
}

impl Compared {
    /// Whether the sums of kinds that mean so much come to the balance; entries of no kind add.
    fn agrees(&self, factors: &[i8]) -> bool {
        let factors = factors.iter().copied().chain([1]);
        let sum =
            self.sums.iter().zip(factors).try_fold(0_i128, |total, (sum, factor)| {
                total.checked_add(sum.checked_mul(i128::from(factor))?)
            });
        sum == Some(self.balance)
    }
}

/// A number of at most 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    const ZERO: Self = Self { digits: 0, scale: 0 };

    /// Reads what PostgreSQL prints of a numeric; none for what is no number or has more digits.
    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{part}").parse().ok()?;
        Some(Self { digits, scale: u32::try_from(part.len()).ok()? })
    }

    /// In whole numbers of so small a part.
    fn at(&self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn plus(self, other: Self, factor: i8) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let other = other.at(scale)?.checked_mul(i128::from(factor))?;
        Some(Self { digits: self.at(scale)?.checked_add(other)?, scale })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.scale as usize + 1;
        let digits = format!("{:0width$}", self.digits.unsigned_abs());
        let (whole, part) = digits.split_at(digits.len() - self.scale as usize);
        let part = part.trim_end_matches('0');
        let sign = if self.digits < 0 { "-" } else { "" };
        if part.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{part}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        let number = |text| Decimal::parse(text).unwrap();
        assert_eq!(number("12.50").plus(number("-0.5"), 1).unwrap().to_string(), "12");
        assert_eq!(number("-0.05").to_string(), "-0.05");
        assert_eq!(number("1").plus(number("0.001"), -1).unwrap().to_string(), "0.999");
        assert_eq!(number("10").at(2), Some(1_000));
        for text in ["NaN", "Infinity", "", "1e5", "99999999999999999999999999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(
            number("1")
                .plus(number("100000000000000000000000000000000000000"), 1)
                .unwrap()
                .plus(number("100000000000000000000000000000000000000"), 1),
            None
        );
    }
}
