//! SQL over the ledger: queries of postings, and the parts of an entry under the alias of such a query.

use super::{Model, Posting, Term, bounded, fixed, joined};
use crate::{
    org_id::KeyType,
    sql::{Fragment, Ident, List, Statement, render},
};

impl Model {
    pub(super) fn postings(&self, source: &dyn Fragment, tx: Option<&Ident>) -> Statement {
        let ledger = &self.ledger;
        let columns = List(ledger.id.columns.clone());
        let id = match ledger.id.columns.as_slice() {
            [_] => render("{columns}", &[("columns", &columns)]),
            _ => render("ROW({columns})", &[("columns", &columns)]),
        };
        let created_at = ledger.created_at.clone().unwrap_or_else(|| fixed("NULL::timestamptz"));
        let tx_column = match tx {
            Some(tx) => render(", {tx} AS tx", &[("tx", tx)]),
            None => fixed(""),
        };
        let uniform = |part: fn(&Posting) -> Option<&Term>| Uniform::of(&ledger.postings, part);
        let (items, locations, lots) = (
            uniform(|posting| Some(&posting.item)),
            uniform(|posting| posting.location.as_ref()),
            uniform(|posting| posting.lot.as_ref()),
        );
        let queries = ledger.postings.iter().map(|posting| {
            let item = items.select(Some(&posting.item), "NULL::text");
            let location = locations.select(posting.location.as_ref(), "''::text");
            let lot = lots.select(posting.lot.as_ref(), "NULL::text");
            let quantity = match posting.quantity.type_name.starts_with("numeric") {
                true => posting.quantity.sql.clone(),
                false => render("({quantity})::numeric", &[("quantity", &posting.quantity.sql)]),
            };
            let quantity = if self.is_bounded { bounded(&quantity) } else { quantity };
            let mut conditions: Vec<Statement> = ledger.filter.iter().cloned().collect();
            let key = [Some(&posting.item), posting.location.as_ref()];
            for term in key.into_iter().flatten().filter(|term| term.is_nullable) {
                conditions.push(render("{term} IS NOT NULL", &[("term", &term.sql)]));
            }
            let counts = match conditions.as_slice() {
                [] => fixed(""),
                conditions => {
                    let all = joined(conditions, " AND ");
                    render(" WHERE {all}", &[("all", &all)])
                }
            };
            render(
                "SELECT {org} AS org, {item} AS item, {location} AS location, {lot} AS lot, {quantity} AS quantity, {id} AS id, {created_at} AS created_at{tx} FROM {source}{counts}",
                &[
                    ("org", &self.org_column),
                    ("item", &item),
                    ("location", &location),
                    ("lot", &lot),
                    ("quantity", &quantity),
                    ("id", &id),
                    ("created_at", &created_at),
                    ("tx", &tx_column),
                    ("source", source),
                    ("counts", &counts),
                ],
            )
        });
        joined(&queries.collect::<Vec<_>>(), "\nUNION ALL\n")
    }
}

/// A part of the key over all postings: one type, or text where they differ.
struct Uniform {
    /// Whether each posting's term is made text where it is selected, since they are of different types.
    is_cast: bool,
    /// Whether the selected value is of a type that balances keep.
    is_kept: bool,
}

impl Uniform {
    fn of(postings: &[Posting], part: fn(&Posting) -> Option<&Term>) -> Self {
        let mut types = postings.iter().filter_map(part).map(|term| term.type_name.as_str());
        let first = types.next();
        let is_cast = types.any(|other| Some(other) != first);
        Self { is_cast, is_kept: is_cast || first.is_none_or(|first| KeyType::of(first).is_some()) }
    }

    fn select(&self, term: Option<&Term>, absent: &'static str) -> Statement {
        match term {
            None => fixed(absent),
            Some(term) if self.is_cast => render("({term})::text", &[("term", &term.sql)]),
            Some(term) => term.sql.clone(),
        }
    }
}

/// SQL over the alias `e` of a query of entries.
pub(super) struct EntrySql {
    pub(super) group: Statement,
    pub(super) item: Statement,
    pub(super) location: Statement,
    pub(super) lot: Statement,
    /// The lot as the ledger's own columns have it: an empty one is what it is.
    pub(super) own_lot: Statement,
    pub(super) id: Statement,
    pub(super) last_id: Statement,
    pub(super) hash: Statement,
}

impl EntrySql {
    /// The part of this name in templates.
    pub(super) fn fragment(&self, name: &str) -> Option<Box<dyn Fragment>> {
        let statement = match name {
            "e.group" => &self.group,
            "e.item" => &self.item,
            "e.location" => &self.location,
            "e.lot" => &self.lot,
            "e.own_lot" => &self.own_lot,
            "e.id" => &self.id,
            "e.last_id" => &self.last_id,
            "e.hash" => &self.hash,
            _ => return None,
        };
        Some(Box::new(statement.clone()))
    }
}

/// Of 64 bits, and signed; as text, so that both sides agree whatever the types of their columns; and never NULL, though a
/// balance that something else wrote may lack a part of its key.
pub(super) const KEY_WEIGHT: &str = "hashtextextended(org::text COLLATE \"C\", hashtextextended(coalesce(item::text, '') COLLATE \"C\", \
     hashtextextended(coalesce(location::text, '') COLLATE \"C\", hashtextextended(coalesce(lot::text, '') COLLATE \"C\", 0))))";

impl EntrySql {
    pub(super) fn of(model: &Model) -> Self {
        let ledger = &model.ledger;
        let value = |name: &'static str, part: fn(&Posting) -> Option<&Term>| {
            let name = fixed(name);
            match Uniform::of(&ledger.postings, part).is_kept {
                true => name,
                false => render("{name}::text", &[("name", &name)]),
            }
        };
        let lot = value("e.lot", |posting| posting.lot.as_ref());
        let mut group = vec![fixed("e.org"), fixed("e.item")];
        group.extend(ledger.key.location.map(|_| fixed("e.location")));
        group.extend(ledger.key.lot.map(|_| fixed("e.lot")));
        Self {
            group: joined(&group, ", "),
            item: value("e.item", |posting| Some(&posting.item)),
            // Without locations or lots there is nothing to group by, and one value for all.
            location: match ledger.key.location {
                Some(_) => value("e.location", |posting| posting.location.as_ref()),
                None => fixed("''::text"),
            },
            lot: match ledger.key.lot {
                Some(KeyType::Text) => render("nullif({lot}, '')", &[("lot", &lot)]),
                Some(_) => lot.clone(),
                None => fixed("NULL::text"),
            },
            own_lot: if ledger.key.lot.is_some() { lot } else { fixed("NULL::text") },
            id: fixed("e.id::text"),
            // The hash of a numeric leaves its sign out.
            hash: fixed(
                "hashtextextended(e.id::text, coalesce(hash_numeric_extended(e.quantity, (e.quantity < 0)::int), 2))",
            ),
            last_id: fixed(match ledger.id.key_type {
                Some(KeyType::Smallint | KeyType::Integer | KeyType::Bigint) => "max(e.id)::text",
                Some(KeyType::Text) => "max(e.id COLLATE \"C\")",
                _ => "max(e.id::text COLLATE \"C\")",
            }),
        }
    }
}
