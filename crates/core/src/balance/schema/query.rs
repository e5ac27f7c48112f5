//! The functions that tell balances at a time, to whoever may read the ledger.

use super::{Kind, Object, SCHEMA, trigger::styles};
use crate::{
    balance::sums_at::{has_lot, location, of_key, sums},
    model::Model,
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// Their names, which no other function in the schema has.
pub const QUERIES: [&str; 2] = ["balance_at", "balances_at"];

/// How the types of the key print.
struct Types {
    org: &'static str,
    item: &'static str,
    location: &'static str,
    lot: &'static str,
}

/// Both functions.
pub(super) fn queries(model: &Model) -> Vec<Object> {
    let key = model.ledger.key;
    let name_of = |key_type: Option<KeyType>| key_type.unwrap_or(KeyType::Text).name();
    let types = Types {
        org: model.org_type.name(),
        item: key.item.name(),
        location: name_of(key.location),
        lot: name_of(key.lot),
    };
    let [balance_at, balances_at] = QUERIES;
    vec![one_key(balance_at, model, &types), organization(balances_at, model, &types)]
}

fn one_key(name: &'static str, model: &Model, types: &Types) -> Object {
    let (place, is_lot, at) = (location(model), has_lot(model), Fixed("$5"));
    let values: [&dyn Fragment; 4] = [&Fixed("$1"), &Fixed("$2"), &place, &Fixed("$4")];
    let of_lot = sums(model, &of_key(model, values, true), &at);
    let of_none = sums(model, &of_key(model, values, false), &at);
    let Types { org, item, location, lot } = types;
    let signature = format!(
        "(org {org}, item {item}, location {location}, lot {lot}, as_of timestamp with time zone) returns numeric"
    );
    let fragments: [(&str, &dyn Fragment); 3] =
        [("has_lot", &is_lot), ("sums_of_lot", &of_lot), ("sums_of_none", &of_none)];
    query(name, include_str!("../as_of/balance_at.sql"), model, &signature, "stable", &fragments)
}

fn organization(name: &'static str, model: &Model, types: &Types) -> Object {
    let sums = sums(model, &Fixed("e.org = $1"), &Fixed("$2"));
    let Types { org, item, location, lot } = types;
    let signature = format!(
        "(org {org}, as_of timestamp with time zone) returns TABLE(item {item}, location {location}, lot {lot}, quantity numeric)"
    );
    let template = include_str!("../as_of/balances_at.sql");
    query(name, template, model, &signature, "stable strict", &[("sums_at", &sums)])
}

fn query(
    name: &'static str,
    template: &'static str,
    model: &Model,
    signature: &str,
    volatility: &str,
    more: &[(&str, &dyn Fragment)],
) -> Object {
    let qualified = QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name));
    let (styles, printed) = styles(model);
    let own: [(&str, &dyn Fragment); 2] = [("function", &qualified), ("styles", &styles)];
    let fragments = [&own, more].concat();
    let routine = model.routine(template, &fragments);
    let others: [(&str, &dyn Fragment); 2] =
        [("name_text", &Literal::new(name)), ("signature", &Literal::new(signature))];
    let drop_others: Statement = render(include_str!("../as_of/drop_others.sql"), &others);
    let revoke = render("REVOKE ALL ON ROUTINE {function} FROM PUBLIC", &own);
    Object {
        kind: Kind::Query,
        name: qualified.name.clone(),
        table: None,
        create: vec![drop_others, routine.create, revoke],
        drop: Some(render("DROP ROUTINE IF EXISTS {function}", &own)),
        function: String::new(),
        index: None,
        facts: vec![
            "plpgsql".to_owned(),
            format!("search_path=pg_catalog, pg_temp; TimeZone=UTC{printed}"),
            String::new(),
            routine.body,
            format!("{signature} {volatility}"),
            String::new(),
        ],
    }
}
