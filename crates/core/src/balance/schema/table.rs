//! The table of balances, and what finds one balance in it.

use super::{Kind, Object, index::index};
use crate::{
    model::{Model, conflict, joined},
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, List, Statement, render},
};

/// The table.
pub(super) fn table(model: &Model) -> Object {
    let balances = &model.balances;
    let object = Object {
        kind: Kind::Table,
        name: balances.table.name.clone(),
        table: Some(balances.table.clone()),
        create: Vec::new(),
        drop: None,
        function: String::new(),
        index: None,
        facts: Vec::new(),
    };
    if balances.is_adopted {
        return object;
    }
    let (org, quantity) = (&model.org_column, &balances.quantity);
    let mut facts = vec![
        fact(org, &format!("{} not null", model.org_type.name())),
        fact(&balances.item.name, &format!("{} not null", model.ledger.key.item.name())),
    ];
    let place_and_lot = place_and_lot(model, &mut facts);
    facts.push(fact(quantity, "numeric not null"));
    let last = last(model, &mut facts);
    let line = |columns: &[Statement]| match columns {
        [] => render("", &[]),
        columns => render("{columns},\n    ", &[("columns", &joined(columns, ",\n    "))]),
    };
    let lot = balances.lot_key.as_ref();
    let key_names = [Some(org), Some(&balances.item.name), balances.location.as_ref().map(|c| &c.name), lot];
    let key_names: Vec<String> = key_names.into_iter().flatten().map(printed).collect();
    facts.push(format!("PRIMARY KEY ({})", key_names.join(", ")));
    let name = printed(quantity);
    facts.push(format!("CHECK ((({name} > '-Infinity'::numeric) AND ({name} < 'Infinity'::numeric)))"));
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("item", &balances.item.name),
        ("place_and_lot", &line(&place_and_lot)),
        ("last", &line(&last)),
        ("key", &List(conflict(model))),
    ];
    Object {
        create: vec![model.render_with(include_str!("../table.sql"), &fragments)],
        drop: Some(model.render("DROP TABLE IF EXISTS {balances}")),
        facts,
        ..object
    }
}

/// What the catalog shows of a column.
fn fact(name: &Ident, rest: &str) -> String {
    format!("{} {rest}", name.as_str())
}

/// The columns of the location and the lot, where there are any; `facts` gets what the catalog shows of them.
fn place_and_lot(model: &Model, facts: &mut Vec<String>) -> Vec<Statement> {
    let (balances, key) = (&model.balances, model.ledger.key);
    let mut columns = Vec::new();
    if let (Some(location), Some(key_type)) = (&balances.location, key.location) {
        let fragments: [(&str, &dyn Fragment); 2] =
            [("name", &location.name), ("type", &Fixed(key_type.name()))];
        columns.push(render("{name} {type} NOT NULL", &fragments));
        facts.push(fact(&location.name, &format!("{} not null", key_type.name())));
    }
    if let (Some(lot), Some(lot_key), Some(key_type)) = (&balances.lot, &balances.lot_key, key.lot) {
        let fragments: [(&str, &dyn Fragment); 3] =
            [("name", &lot.name), ("key", lot_key), ("type", &Fixed(key_type.name()))];
        let lot_name = printed(&lot.name);
        facts.push(fact(&lot.name, key_type.name()));
        if key_type == KeyType::Text {
            columns.push(render("{name} {type} CHECK ({name} <> '')", &fragments));
            columns.push(render(
                "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}, '')) STORED",
                &fragments,
            ));
            facts.push(fact(lot_key, &format!("text not null COALESCE({lot_name}, ''::text)")));
            facts.push(format!("CHECK (({lot_name} <> ''::text))"));
        } else {
            columns.push(render("{name} {type}", &fragments));
            columns.push(render(
                "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}::text, '')) STORED",
                &fragments,
            ));
            facts.push(fact(lot_key, &format!("text not null COALESCE(({lot_name})::text, ''::text)")));
        }
    }
    columns
}

/// The columns that say what a balance counted last, and when; `facts` gets what the catalog shows of them.
fn last(model: &Model, facts: &mut Vec<String>) -> Vec<Statement> {
    let balances = &model.balances;
    let mut columns = Vec::new();
    if let Some(name) = &balances.last_ledger_id {
        columns.push(render("{name} text", &[("name", name)]));
        facts.push(fact(name, "text"));
    }
    if let Some(name) = &balances.last_updated {
        columns.push(render("{name} timestamptz NOT NULL DEFAULT statement_timestamp()", &[("name", name)]));
        facts.push(fact(name, "timestamp with time zone not null"));
    }
    columns
}

/// The unique key that an adopted table's balances are found by: two balances without a lot are one.
pub(super) fn unique_key(model: &Model) -> Object {
    let table = &model.balances.table;
    let columns = conflict(model);
    let names = columns.iter().map(|column| column.as_str().to_owned());
    let nulls = render(if model.balances.lot.is_some() { " NULLS NOT DISTINCT" } else { "" }, &[]);
    let definition = render("({columns}){nulls}", &[("columns", &List(columns.clone())), ("nulls", &nulls)]);
    let unique = if model.balances.lot.is_some() { "unique, nulls not distinct" } else { "unique" };
    index(
        Ident::joined(&[table.name.as_str(), "balance_key"]),
        table,
        Fixed("UNIQUE "),
        (Fixed("btree"), definition),
        ["btree".to_owned(), unique.to_owned(), columns.len().to_string()]
            .into_iter()
            .chain(names)
            .chain([String::new()])
            .collect(),
    )
}

/// A name as the facts of a table hold it: without quotes, see `inspect.sql`.
fn printed(ident: &Ident) -> String {
    ident.as_str().replace('"', "")
}
