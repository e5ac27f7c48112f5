//! What is entered to see whether it is counted: entries like those that are there, in and out.

use sqlx::PgConnection;

use crate::{
    Error,
    db::Context as _,
    example::{New, Row, Table},
    ledger::{BalanceKey, Quantity, QuantityError},
    model::Model,
    org_id::OrgId,
    sql::{Fixed, Fragment, Ident, List, render},
};

/// Of so many organizations entries are examples, and so many of each.
const ORGANIZATIONS_MAX: i64 = 5;
const ENTRIES_MAX: i64 = 20;

/// So many keys are looked at for one that has no balance.
const FREE_MAX: usize = 500;

/// What is entered.
pub(super) struct Entry {
    pub(super) org: OrgId,
    /// The keys that it moves.
    pub(super) keys: Vec<BalanceKey>,
    /// The values of the ledger's columns.
    pub(super) row: Row,
    /// The same with the opposite quantity, where the mapping says how that is written.
    pub(super) reverse: Option<Row>,
    /// Whether its key has no balance.
    pub(super) is_new: bool,
    /// Whether it takes something away from a key.
    pub(super) takes: bool,
}

/// An entry that is there, as it would be if it were made once more, and once more after that.
struct Example {
    first: Row,
    second: Row,
    postings: Vec<(BalanceKey, Quantity)>,
}

/// A row of `examples.sql`.
type Posted = (Row, Row, OrgId, String, String, Option<String>, Option<String>);

/// The places of the columns that an entry of one key is made of.
struct Plain {
    quantity: usize,
    location: Option<usize>,
}

/// The entries to make, one for each key, that of a key without a balance first.
pub(super) async fn entries(
    session: &mut PgConnection,
    model: &Model,
    table: &Table,
) -> Result<Vec<Entry>, Error> {
    let examples = read(session, model, table).await?;
    let plain = Plain::of(model, table);
    let mut entries: Vec<Entry> = Vec::new();
    if let Some(plain) = &plain {
        entries.extend(free(session, model, plain, &examples).await?);
    }
    for example in &examples {
        let keys: Vec<BalanceKey> = example.postings.iter().map(|(key, _)| key.clone()).collect();
        let counts = example.postings.iter().any(|(_, quantity)| quantity.is_finite() && !quantity.is_zero());
        if counts && entries.iter().all(|entry| entry.keys != keys) {
            entries.push(entry(example, keys, plain.as_ref()));
        }
    }
    Ok(entries)
}

async fn read(session: &mut PgConnection, model: &Model, table: &Table) -> Result<Vec<Example>, Error> {
    let of_t = |name: &Ident| render("t.{name}", &[("name", name)]);
    let ids = List(model.ledger.id.columns.iter().map(of_t).collect::<Vec<_>>());
    let id = match ids.0.len() {
        1 => "({ids})::text",
        _ => "ROW({ids})::text",
    };
    let id = render(id, &[("ids", &ids)]);
    let of_examples = model.entries(&Fixed("example"));
    let (first, second) = (table.values(Some(New::Behind)), table.values(Some(New::Before)));
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("example.id", &id),
        ("example.entries", &of_examples),
        ("example.first", &first),
        ("example.second", &second),
    ];
    let statement = model.render_with(include_str!("examples.sql"), &fragments);
    let rows: Vec<Posted> = sqlx::query_as(statement.sql())
        .persistent(false)
        .bind(ORGANIZATIONS_MAX)
        .bind(ENTRIES_MAX)
        .fetch_all(session)
        .await
        .context(format!("read entries of {}", model.ledger.table.plain()))?;
    let mut examples: Vec<Example> = Vec::new();
    for (first, second, org_id, item_id, location_id, lot_id, quantity) in rows {
        let key = BalanceKey { org_id, item_id, location_id, lot_id };
        let quantity = quantity.map_or(Ok(Quantity::NotANumber), |text| text.parse());
        let posting = (key, quantity.map_err(|error: QuantityError| sqlx::Error::decode(error))?);
        match examples.last_mut() {
            Some(last) if last.first == first => last.postings.push(posting),
            _ => examples.push(Example { first, second, postings: vec![posting] }),
        }
    }
    Ok(examples)
}

impl Plain {
    /// None where an entry is of several keys, or its quantity is no column.
    fn of(model: &Model, table: &Table) -> Option<Self> {
        let [posting] = model.ledger.postings.as_slice() else { return None };
        let place = |name: &Ident| table.columns.iter().position(|column| column.name == *name);
        let quantity = place(posting.quantity.column.as_ref()?)?;
        let location = posting.location.as_ref().and_then(|term| term.column.as_ref());
        Some(Self { quantity, location: location.and_then(place) })
    }

    /// `row` with this quantity.
    fn with(&self, row: &Row, quantity: String) -> Row {
        let mut row = row.clone();
        row[self.quantity] = Some(quantity);
        row
    }
}

/// The entry that is like `example`, of `keys`.
fn entry(example: &Example, keys: Vec<BalanceKey>, plain: Option<&Plain>) -> Entry {
    let org = example.postings[0].0.org_id.clone();
    let Some(plain) = plain else {
        let takes = example.postings.iter().any(|(_, quantity)| quantity.is_negative());
        return Entry { org, keys, row: example.first.clone(), reverse: None, is_new: false, takes };
    };
    // In first, so that a table that refuses a quantity below zero is asked for none.
    let text = example.postings[0].1.to_string();
    let quantity = match text.trim_start_matches('-') {
        "0" => "1",
        quantity => quantity,
    };
    Entry {
        org,
        keys,
        row: plain.with(&example.first, quantity.to_owned()),
        reverse: Some(plain.with(&example.second, format!("-{quantity}"))),
        is_new: false,
        takes: false,
    }
}

/// An entry of an item at a location, both of one organization's entries, where it has no balance; none where each has one.
async fn free(
    session: &mut PgConnection,
    model: &Model,
    plain: &Plain,
    examples: &[Example],
) -> Result<Option<Entry>, Error> {
    let Some(location) = plain.location else { return Ok(None) };
    let mut found: Vec<(BalanceKey, usize, usize)> = Vec::new();
    for (one, of) in examples.iter().enumerate() {
        let key = &of.postings[0].0;
        for (other, at) in examples.iter().enumerate() {
            let there = &at.postings[0].0;
            let is_number = of.postings[0].1.is_finite();
            if found.len() < FREE_MAX
                && is_number
                && there.org_id == key.org_id
                && there.location_id != key.location_id
                && found.iter().all(|(known, ..)| {
                    known.item_id != key.item_id
                        || known.location_id != there.location_id
                        || known.lot_id != key.lot_id
                        || known.org_id != key.org_id
                })
            {
                found.push((
                    BalanceKey { location_id: there.location_id.clone(), ..key.clone() },
                    one,
                    other,
                ));
            }
        }
    }
    let place: Option<i64> = sqlx::query_scalar(model.render(include_str!("free.sql")).sql())
        .persistent(false)
        .bind(found.iter().map(|(key, ..)| key.org_id.as_str()).collect::<Vec<_>>())
        .bind(found.iter().map(|(key, ..)| key.item_id.as_str()).collect::<Vec<_>>())
        .bind(found.iter().map(|(key, ..)| key.location_id.as_str()).collect::<Vec<_>>())
        .bind(found.iter().map(|(key, ..)| key.lot_id.clone()).collect::<Vec<_>>())
        .fetch_optional(session)
        .await
        .context("look for a key without a balance")?;
    let place = place.and_then(|place| usize::try_from(place).ok()).and_then(|place| place.checked_sub(1));
    Ok(place.and_then(|place| found.get(place)).map(|(key, one, other)| {
        let value = examples[*other].first[location].clone();
        let moved = |row: &Row| {
            let mut row = row.clone();
            row[location].clone_from(&value);
            row
        };
        let example = &examples[*one];
        let moved = Example {
            first: moved(&example.first),
            second: moved(&example.second),
            postings: vec![(key.clone(), example.postings[0].1.clone())],
        };
        Entry { is_new: true, ..entry(&moved, vec![key.clone()], Some(plain)) }
    }))
}
