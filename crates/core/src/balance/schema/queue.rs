//! The queue's table.

use super::{Kind, Object, SCHEMA};
use crate::{
    balance::queue,
    model::Model,
    org_id::KeyType,
    sql::{Ident, QualifiedName},
};

/// The table, which is folded before it is dropped.
pub(super) fn queue(model: &Model) -> Object {
    let key = model.ledger.key;
    let name_of = |key_type: Option<KeyType>| key_type.unwrap_or(KeyType::Text).name();
    let name = Ident::fixed("balance_queue");
    Object {
        kind: Kind::Record,
        table: Some(QualifiedName::new(Ident::fixed(SCHEMA), name.clone())),
        name,
        create: vec![
            model.render(include_str!("../queue/table.sql")),
            model.render("CREATE INDEX IF NOT EXISTS balance_queue_key ON stockfoil.balance_queue (org, item, location, lot_key)"),
            model.render("ALTER TABLE stockfoil.balance_queue REPLICA IDENTITY FULL"),
        ],
        drop: Some(queue::drop(model)),
        function: String::new(),
        index: None,
        facts: vec![
            format!("org {} not null", model.org_type.name()),
            format!("item {} not null", key.item.name()),
            format!("location {} not null", name_of(key.location)),
            format!("lot {}", name_of(key.lot)),
            "lot_key text not null".to_owned(),
            "delta numeric not null".to_owned(),
        ],
    }
}
