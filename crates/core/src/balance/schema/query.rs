//! The functions that tell balances, as they are and at a time, to whoever may read them, and the ledger.

use super::{Kind, Object, SCHEMA, trigger::styles};
use crate::{
    balance::sums_at::{has_lot, location, of_key, sums},
    model::{Hot, Model},
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// Their names, which no other function in the schema has.
pub const QUERIES: [&str; 4] = ["balance", "balances", "balance_at", "balances_at"];

/// How the types of the key print.
struct Types {
    org: &'static str,
    item: &'static str,
    location: &'static str,
    lot: &'static str,
}

impl Types {
    fn of(model: &Model) -> Self {
        let key = model.ledger.key;
        let name_of = |key_type: Option<KeyType>| key_type.unwrap_or(KeyType::Text).name();
        Self {
            org: model.org_type.name(),
            item: key.item.name(),
            location: name_of(key.location),
            lot: name_of(key.lot),
        }
    }
}

/// Those that tell balances as they are.
pub(super) fn present(model: &Model) -> Vec<Object> {
    let types = Types::of(model);
    let [balance, balances, ..] = QUERIES;
    // What they read is what is configured, which they are made together with.
    let mut model = model.clone();
    model.balances.has_queue = model.balances.hot == Hot::Queue;
    vec![one_balance(balance, &model, &types), all_balances(balances, &model, &types)]
}

/// Those that tell balances at a time.
pub(super) fn timed(model: &Model) -> Vec<Object> {
    let types = Types::of(model);
    let [.., balance_at, balances_at] = QUERIES;
    vec![one_key(balance_at, model, &types), organization(balances_at, model, &types)]
}

fn one_balance(name: &'static str, model: &Model, types: &Types) -> Object {
    let queued = match model.balances.has_queue {
        true => model.render(
            "\n            UNION ALL\n            SELECT q.delta FROM stockfoil.balance_queue AS q WHERE {q.is_d}",
        ),
        false => render("", &[]),
    };
    let a_lot = Fixed(match model.ledger.key.lot {
        Some(KeyType::Text) => "nullif($4, '')",
        Some(_) => "$4",
        None => "NULL::text",
    });
    let place = location(model);
    let Types { org, item, location, lot } = types;
    let signature = format!("(org {org}, item {item}, location {location}, lot {lot}) returns numeric");
    let fragments: [(&str, &dyn Fragment); 3] = [("place", &place), ("a_lot", &a_lot), ("queued", &queued)];
    query(name, include_str!("../queue/balance.sql"), model, &signature, "stable", &fragments)
}

fn all_balances(name: &'static str, model: &Model, types: &Types) -> Object {
    let Types { org, item, location, lot } = types;
    let signature =
        format!("(org {org}) returns TABLE(item {item}, location {location}, lot {lot}, quantity numeric)");
    query(name, include_str!("../queue/balances.sql"), model, &signature, "stable strict", &[])
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
