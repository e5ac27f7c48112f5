//! Which table holds the balances of a ledger.

use super::{
    Known,
    ledger::Ledger,
    postings::{Posting, Term},
    shape::{TELLING_ROWS, is_stockfoils, shape},
    survey::{Survey, is_float, is_number, is_time},
    words,
};
use crate::{
    Error,
    client::schema::{Column, Table},
    sql::{Ident, QualifiedName},
};

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

/// The likely table of balances of `ledger`, and the tables that looked like one with why they are none.
pub(super) async fn find(
    survey: &Survey<'_>,
    ledger: &Ledger,
    known: &Known,
) -> Result<(Option<Balances>, Vec<String>), Error> {
    let mut found: Vec<(i32, Balances)> = Vec::new();
    let mut refused = Vec::new();
    for table in survey.tables.iter().filter(|table| table.name != ledger.table) {
        if known.balances.as_deref().is_some_and(|name| !Known::means(name, &table.name)) {
            continue;
        }
        match of_table(survey, ledger, table).await? {
            Ok(Some((points, balances))) if points >= 3 || known.balances.is_some() => {
                found.push((points, balances));
            }
            Ok(_) => {}
            Err(reason) => refused.push(reason),
        }
    }
    let best = found.into_iter().max_by_key(|(points, _)| *points);
    Ok((best.map(|(_, balances)| balances), refused))
}

/// What speaks for a table as the balances of `ledger`, where anything does; the inner error is why it is none in spite of its looks.
async fn of_table(
    survey: &Survey<'_>,
    ledger: &Ledger,
    table: &Table,
) -> Result<Result<Option<(i32, Balances)>, String>, Error> {
    let Some(shape) = shape(survey, table).await? else { return Ok(Ok(None)) };
    if is_stockfoils(table) || shape.refers(shape.item) != ledger.items.as_ref() {
        return Ok(Ok(None));
    }
    let has_location =
        !matches!(ledger.postings.first(), None | Some(Posting { location: Term::Nothing, .. }));
    let location = shape.locations.first().copied().filter(|_| has_location);
    if has_location && location.is_none() {
        return Ok(Ok(None));
    }
    let name = table.name.plain();
    if ledger.lot.is_some() && shape.lot.is_none() {
        return Ok(Err(format!("{name} has no lot, which the ledger has")));
    }
    let lot = shape.lot.filter(|_| ledger.lot.is_some());
    let key: Vec<&Column> = [Some(shape.item), location, lot].into_iter().flatten().collect();
    let (mut points, mut reasons) = match judge(survey, table, &key).await? {
        Ok(judged) => judged,
        Err(reason) => return Ok(Err(reason)),
    };
    let tested = ledger.agreement.as_ref().filter(|tested| tested.source.0 == table.name);
    let quantity = tested.and_then(|tested| table.column(&tested.source.1)).unwrap_or(shape.quantity);
    reasons.push(format!("{} is how many", quantity.name.as_str()));
    if let Some(tested) = tested.filter(|tested| tested.holds()) {
        points += 5;
        reasons.push(format!("{} of {} keys agree with the ledger's sums", tested.agreeing, tested.keys));
    }
    if !is_number(&quantity.resolved) || is_float(&quantity.resolved) || quantity.generated {
        let (column, declared) = (quantity.name.as_str(), &quantity.declared);
        return Ok(Err(format!("{name}.{column} is {declared}, which can't be kept exactly")));
    }
    let last_updated = table.columns.iter().find(|column| {
        is_time(&column.resolved)
            && !column.generated
            && words::has(column.name.as_str(), "updated modified write changed")
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
    Ok(Ok(Some((points, balances))))
}

/// How much speaks for balances by `key` in `table`, and what; or why they are none.
async fn judge(
    survey: &Survey<'_>,
    table: &Table,
    key: &[&Column],
) -> Result<Result<(i32, Vec<String>), String>, Error> {
    let columns: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
    let (mut points, mut reasons) = (0, Vec::new());
    let unique = table.keys.iter().any(|unique| {
        unique.columns.len() <= key.len()
            && unique.columns.iter().all(|name| key.iter().any(|column| column.name == *name))
    });
    let (rows, keys) = survey.keys(table, key).await?;
    if unique {
        points += 4;
        reasons.push(format!("a unique key of it is over {}", columns.join(", ")));
    } else if rows >= TELLING_ROWS && rows == keys {
        points += 3;
        reasons.push(format!("each {} stands once in {rows} rows looked at", columns.join(", ")));
    } else if rows > keys {
        let name = table.name.plain();
        return Ok(Err(format!("{name} has {rows} rows for {keys} keys of {}", columns.join(", "))));
    }
    if words::has(table.name.name.as_str(), words::BALANCE) {
        points += 2;
        reasons.push("its name is one of balances".into());
    }
    Ok(Ok((points, reasons)))
}
