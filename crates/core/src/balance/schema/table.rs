//! The table of balances, and what finds one balance in it.

use super::{Kind, Object, index::index};
use crate::{
    model::{KeyType, Model, conflict, joined},
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
        index: None,
        facts: Vec::new(),
    };
    if balances.is_adopted {
        return object;
    }
    let key = model.ledger.key;
    let (org, quantity) = (&model.org_column, &balances.quantity);
    let column = |name: &Ident, rest: &str| format!("{} {rest}", name.as_str());
    let key_column = |name: &Ident, key_type: KeyType| column(name, &format!("{} not null", key_type.name()));
    let mut columns = Vec::new();
    let mut facts = vec![key_column(org, model.org_type), key_column(&balances.item.name, key.item)];
    if let (Some(location), Some(key_type)) = (&balances.location, key.location) {
        let fragments: [(&str, &dyn Fragment); 2] =
            [("name", &location.name), ("type", &Fixed(key_type.name()))];
        columns.push(render("{name} {type} NOT NULL", &fragments));
        facts.push(key_column(&location.name, key_type));
    }
    if let (Some(lot), Some(lot_key), Some(key_type)) = (&balances.lot, &balances.lot_key, key.lot) {
        let fragments: [(&str, &dyn Fragment); 3] =
            [("name", &lot.name), ("key", lot_key), ("type", &Fixed(key_type.name()))];
        let lot_name = printed(&lot.name);
        facts.push(column(&lot.name, key_type.name()));
        if key_type == KeyType::Text {
            columns.push(render("{name} {type} CHECK ({name} <> '')", &fragments));
            columns.push(render(
                "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}, '')) STORED",
                &fragments,
            ));
            facts.push(column(lot_key, &format!("text not null COALESCE({lot_name}, ''::text)")));
            facts.push(format!("CHECK (({lot_name} <> ''::text))"));
        } else {
            columns.push(render("{name} {type}", &fragments));
            columns.push(render(
                "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}::text, '')) STORED",
                &fragments,
            ));
            facts.push(column(lot_key, &format!("text not null COALESCE(({lot_name})::text, ''::text)")));
        }
    }
    facts.push(column(quantity, "numeric not null"));
    let mut last = Vec::new();
    if let Some(name) = &balances.last_ledger_id {
        last.push(render("{name} text", &[("name", name)]));
        facts.push(column(name, "text"));
    }
    if let Some(name) = &balances.last_updated {
        last.push(render("{name} timestamptz NOT NULL DEFAULT statement_timestamp()", &[("name", name)]));
        facts.push(column(name, "timestamp with time zone not null"));
    }
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
        ("place_and_lot", &line(&columns)),
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
        [unique.to_owned(), columns.len().to_string()]
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
