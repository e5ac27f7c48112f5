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
        let is_text = key_type == KeyType::Text;
        if is_text {
            facts.push(format!("CHECK (({lot_name} <> ''::text))"));
        }
        let column = if is_text { "{name} {type} CHECK ({name} <> '')" } else { "{name} {type}" };
        columns.push(render(column, &fragments));
        let text = if is_text { lot_name } else { format!("({lot_name})::text") };
        if balances.computes_lot_key {
            let computed = match is_text {
                true => "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}, '')) STORED",
                false => "{key} text NOT NULL GENERATED ALWAYS AS (coalesce({name}::text, '')) STORED",
            };
            columns.push(render(computed, &fragments));
            facts.push(fact(lot_key, &format!("text not null COALESCE({text}, ''::text)")));
        } else {
            columns.push(render("{key} text NOT NULL DEFAULT ''", &fragments));
            columns.push(lot_key_check(model));
            facts.push(fact(lot_key, "text not null"));
            facts.push(format!("CHECK (({} = COALESCE({text}, ''::text)))", printed(lot_key)));
        }
    }
    columns
}

/// The name of what keeps `lot_key` to the lot.
fn lot_key_check_name(model: &Model) -> Ident {
    Ident::joined(&[model.balances.table.name.as_str(), "lot_key_check"])
}

/// What keeps `lot_key` to the lot, where there are lots; no lot is an empty text there. The database does not compute it: a
/// generated column in a primary key is sent to no subscriber before PostgreSQL 18, which then stops at the first update,
/// and from then on is refused with the update itself.
fn lot_key_check(model: &Model) -> Statement {
    let (Some(lot), Some(key)) = (&model.balances.lot, &model.balances.lot_key) else {
        return render("", &[]);
    };
    let check = match model.ledger.key.lot {
        Some(KeyType::Text) => "CONSTRAINT {constraint} CHECK ({key} = coalesce({lot}, ''))",
        _ => "CONSTRAINT {constraint} CHECK ({key} = coalesce({lot}::text, ''))",
    };
    render(check, &[("constraint", &lot_key_check_name(model)), ("key", key), ("lot", &lot.name)])
}

/// What lets the database no longer compute `lot_key`, as it did in tables of earlier releases: in one transaction with the
/// functions that write it. The first is at once; the second holds nobody up.
pub(crate) fn write_lot_key(model: &Model) -> Option<[Statement; 2]> {
    let key = model.balances.lot_key.as_ref().filter(|_| !model.balances.computes_lot_key)?;
    let check = lot_key_check(model);
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("balances", &model.balances.table),
        ("key", key),
        ("check", &check),
        ("constraint", &lot_key_check_name(model)),
    ];
    Some([
        render(
            "ALTER TABLE {balances} ALTER COLUMN {key} DROP EXPRESSION, ALTER COLUMN {key} SET DEFAULT '', ADD {check} NOT VALID",
            &fragments,
        ),
        render("ALTER TABLE {balances} VALIDATE CONSTRAINT {constraint}", &fragments),
    ])
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
    let counted = model.balances.counted.as_ref();
    let only = match counted {
        Some(counted) => render(" WHERE {counted}", &[("counted", &counted.alone)]),
        None => render("", &[]),
    };
    let fragments: [(&str, &dyn Fragment); 3] =
        [("columns", &List(columns.clone())), ("nulls", &nulls), ("only", &only)];
    let definition = render("({columns}){nulls}{only}", &fragments);
    let unique = if model.balances.lot.is_some() { "unique, nulls not distinct" } else { "unique" };
    index(
        Ident::joined(&[table.name.as_str(), "balance_key"]),
        table,
        Fixed("UNIQUE "),
        (Fixed("btree"), definition),
        ["btree".to_owned(), unique.to_owned(), columns.len().to_string()]
            .into_iter()
            .chain(names)
            .chain([counted.map(|counted| counted.printed.clone()).unwrap_or_default()])
            .collect(),
    )
}

/// A name as the facts of a table hold it: without quotes, see `inspect.sql`.
fn printed(ident: &Ident) -> String {
    ident.as_str().replace('"', "")
}
