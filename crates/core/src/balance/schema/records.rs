//! What reconciliation keeps for itself: its checkpoint, and the ledger's column that tells entries apart by age.

use super::{Kind, Object, SCHEMA, index::index};
use crate::{
    model::{Model, TX},
    org_id::KeyType,
    sql::{Fixed, Ident, QualifiedName, Statement, render},
};

/// The tables in which reconciliation keeps what it sealed, and the ledger's column.
pub(super) fn records(model: &Model) -> Vec<Object> {
    let key = model.ledger.key;
    let type_of = |key_type: Option<KeyType>| key_type.unwrap_or(KeyType::Text).name();
    let parts = [
        ("org", model.org_type.name()),
        ("item", key.item.name()),
        ("location", type_of(key.location)),
        ("lot", type_of(key.lot)),
    ];
    vec![checkpoint(model), sums(model, &parts), totals(model), dirty_keys(model, &parts), column(model)]
}

fn record(name: &'static str, create: Vec<Statement>, drop: &'static str, facts: Vec<String>) -> Object {
    Object {
        kind: Kind::Record,
        name: Ident::fixed(name),
        table: Some(QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name))),
        create,
        drop: Some(render(drop, &[])),
        function: String::new(),
        index: None,
        facts,
    }
}

fn checkpoint(model: &Model) -> Object {
    record(
        "checkpoint",
        vec![
            render(include_str!("../checkpoint/checkpoint_table.sql"), &[]),
            render(
                "ALTER TABLE stockfoil.checkpoint ADD COLUMN IF NOT EXISTS mapping text,
                     ADD COLUMN IF NOT EXISTS sources text[], ADD COLUMN IF NOT EXISTS keepers text[]",
                &[],
            ),
            model.render(include_str!("../checkpoint/forget_other_keys.sql")),
        ],
        "DROP TABLE IF EXISTS stockfoil.checkpoint",
        vec![
            "ledger text not null".into(),
            "watermark bigint not null".into(),
            "mapping text".into(),
            "sources text[]".into(),
            "keepers text[]".into(),
            "PRIMARY KEY (ledger)".into(),
        ],
    )
}

/// `parts` are the columns of a key, with their types.
fn sums(model: &Model, parts: &[(&str, &str)]) -> Object {
    let not_null = |(name, type_name): &(&str, &str)| match *name {
        "lot" => format!("{name} {type_name}"),
        _ => format!("{name} {type_name} not null"),
    };
    record(
        "checkpoint_sum",
        vec![
            model.render(include_str!("../checkpoint/checkpoint_sum_table.sql")),
            // It has no key, and what a publication of all tables publishes must be told apart to be deleted.
            render("ALTER TABLE stockfoil.checkpoint_sum REPLICA IDENTITY FULL", &[]),
            // An empty table of sums goes with no checkpoint: the next run seals again.
            render("DELETE FROM stockfoil.checkpoint", &[]),
            // What held the sums before, one row a key.
            render("DROP TABLE IF EXISTS stockfoil.checkpoint_key", &[]),
        ],
        "DROP TABLE IF EXISTS stockfoil.checkpoint_sum, stockfoil.checkpoint_key",
        parts.iter().map(not_null).collect(),
    )
}

fn totals(model: &Model) -> Object {
    record(
        "checkpoint_total",
        vec![
            model.render(include_str!("../checkpoint/checkpoint_total_table.sql")),
            // Without totals the sums are no checkpoint either.
            render("DELETE FROM stockfoil.checkpoint", &[]),
        ],
        "DROP TABLE IF EXISTS stockfoil.checkpoint_total",
        vec![
            format!("org {} not null", model.org_type.name()),
            "hash_total numeric not null".into(),
            "sealed_rows bigint not null".into(),
            "PRIMARY KEY (org)".into(),
        ],
    )
}

fn dirty_keys(model: &Model, parts: &[(&str, &str)]) -> Object {
    record(
        "dirty_key",
        vec![
            render("CREATE SEQUENCE IF NOT EXISTS stockfoil.dirty_key_id_seq", &[]),
            model.render(include_str!("../checkpoint/dirty_key_table.sql")),
            render("ALTER TABLE stockfoil.dirty_key ADD COLUMN IF NOT EXISTS run_id bigint", &[]),
            render("ALTER SEQUENCE stockfoil.dirty_key_id_seq OWNED BY stockfoil.dirty_key.id", &[]),
        ],
        "DROP TABLE IF EXISTS stockfoil.dirty_key",
        parts
            .iter()
            .map(|(name, type_name)| format!("{name} {type_name}"))
            .chain(["run_id bigint".to_owned()])
            .collect(),
    )
}

fn column(model: &Model) -> Object {
    Object {
        kind: Kind::Column,
        name: Ident::fixed(TX),
        table: Some(model.ledger.table.clone()),
        // The default comes after the column, so that rows that are there stay without and nothing is rewritten.
        create: vec![
            model.render("ALTER TABLE {ledger} ADD COLUMN IF NOT EXISTS stockfoil_tx bigint"),
            model.render("ALTER TABLE {ledger} ALTER COLUMN stockfoil_tx SET DEFAULT pg_current_xact_id()::text::bigint"),
        ],
        drop: Some(model.render("ALTER TABLE {ledger} DROP COLUMN IF EXISTS stockfoil_tx")),
        function: String::new(),
        index: None,
        facts: vec!["bigint ((pg_current_xact_id())::text)::bigint".into()],
    }
}

/// Finds the entries above a watermark: they lie together, at the ledger's end.
pub(super) fn tx_index(model: &Model) -> Object {
    let table = &model.ledger.table;
    index(
        Ident::joined(&[table.name.as_str(), TX, "idx"]),
        table,
        Fixed(""),
        (Fixed("brin"), render("(stockfoil_tx) WITH (pages_per_range = 32, autosummarize = on)", &[])),
        vec!["brin".into(), String::new(), "1".into(), TX.into(), String::new()],
    )
}
