//! The triggers on the ledger that keep the balances, and their functions.

use super::{Kind, Object, SCHEMA};
use crate::{
    model::Model,
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, render},
};

/// A trigger's event: its word, the bits of `pg_trigger.tgtype` for its statement trigger, its transition tables.
struct Event {
    word: &'static str,
    function: &'static str,
    template: &'static str,
    /// What marks the keys that are not as they were sealed.
    mark: &'static str,
    tgtype: u8,
    old: &'static str,
    new: &'static str,
    create: &'static str,
}

const EVENTS: [Event; 4] = [
    Event {
        word: "insert",
        function: "balance_on_insert",
        template: include_str!("../on_insert.sql"),
        mark: include_str!("../checkpoint/mark_new.sql"),
        tgtype: 4,
        old: "",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "update",
        function: "balance_on_update",
        template: include_str!("../on_update.sql"),
        mark: include_str!("../checkpoint/mark_changed.sql"),
        tgtype: 16,
        old: "old_rows",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "delete",
        function: "balance_on_delete",
        template: include_str!("../on_delete.sql"),
        mark: include_str!("../checkpoint/mark_old.sql"),
        tgtype: 8,
        old: "old_rows",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "truncate",
        function: "balance_on_truncate",
        template: include_str!("../on_truncate.sql"),
        mark: include_str!("../checkpoint/mark_all.sql"),
        tgtype: 32,
        old: "",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
];

/// On a partitioned ledger each partition's entries are taken before it is emptied.
const TRUNCATE_PARTITION: Event = Event {
    word: "truncate",
    function: "balance_on_truncate",
    template: include_str!("../on_truncate_partition.sql"),
    mark: include_str!("../checkpoint/mark_all.sql"),
    tgtype: 34,
    old: "",
    new: "",
    create: "CREATE OR REPLACE TRIGGER {trigger} BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
};

/// What tells a row that replication applied: such a session fires only triggers that are enabled always.
const IS_REPLICATED: &str = "(current_setting('session_replication_role'::text) = 'replica'::text)";

/// The row that a row trigger is called for, after its change and before.
const NEW_ROW: Fixed = Fixed("(SELECT NEW.* WHERE TG_OP <> 'DELETE') AS new_rows");
const OLD_ROW: Fixed = Fixed("(SELECT OLD.* WHERE TG_OP <> 'INSERT') AS old_rows");

/// The functions and triggers that keep the balances, whatever their ledger is written by.
pub(super) fn kept(model: &Model) -> (Vec<Object>, Vec<Object>) {
    let whole = if model.ledger.is_partitioned { &EVENTS[..3] } else { &EVENTS[..] };
    let events = whole.iter().chain(model.ledger.is_partitioned.then_some(&TRUNCATE_PARTITION));
    let mut functions =
        vec![function("balance_refuse", include_str!("../refuse.sql"), "plpgsql", model, &[])];
    let mut triggers = Vec::new();
    for event in events {
        functions.push(event_function(event, model));
        // Replication fires a statement trigger for TRUNCATE and for no other change.
        let is_always = model.ledger.is_replicated && event.word == "truncate";
        triggers.extend(model.ledger.tables().map(|table| trigger(event, table, is_always)));
    }
    (functions, triggers)
}

/// The function and the triggers for rows that replication applied. Created on the ledger, the trigger comes to its
/// partitions by itself.
pub(super) fn replicated(model: &Model) -> (Object, Vec<Object>) {
    const FUNCTION: &str = "balance_on_replicated";
    let tx_entries = model.tx_entries(&NEW_ROW);
    let (new, old) = (model.entries(&NEW_ROW), model.entries(&OLD_ROW));
    let row: [(&str, &dyn Fragment); 3] =
        [("new_entries", &new), ("old_entries", &old), ("new_tx_entries", &tx_entries)];
    let moved = model.render_with(include_str!("../moved_entries.sql"), &row);
    let (mark_new, mark_changed) = (
        model.render_with(include_str!("../checkpoint/mark_new.sql"), &row),
        model.render_with(include_str!("../checkpoint/mark_changed.sql"), &row),
    );
    let mark = match model.ledger.is_incremental {
        true => render(
            "    IF TG_OP = 'INSERT' THEN\n{new}    ELSE\n{changed}    END IF;\n",
            &[("new", &mark_new), ("changed", &mark_changed)],
        ),
        false => render("", &[]),
    };
    let function = function(
        FUNCTION,
        include_str!("../on_replicated.sql"),
        DEFINER,
        model,
        &[("mark", &mark), ("moved_entries", &moved)],
    );
    let name = Ident::joined(&[model.ledger.table.name.as_str(), "balance_replicated"]);
    let triggers = model.ledger.tables().map(|table| {
        let fragments: [(&str, &dyn Fragment); 4] = [
            ("trigger", &name),
            ("table", table),
            ("function", &function_name(FUNCTION)),
            ("is_replicated", &Fixed(IS_REPLICATED)),
        ];
        let is_root = *table == model.ledger.table;
        let create = [
            "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW WHEN ({is_replicated}) EXECUTE FUNCTION {function}()",
            "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}",
        ];
        let drop = "DROP TRIGGER IF EXISTS {trigger} ON {table}";
        Object {
            kind: Kind::Trigger,
            name: name.clone(),
            table: Some(table.clone()),
            create: create.iter().filter(|_| is_root).map(|sql| render(sql, &fragments)).collect(),
            drop: is_root.then(|| render(drop, &fragments)),
            index: None,
            facts: vec![
                // AFTER ROW INSERT, DELETE, UPDATE.
                (1 + 4 + 8 + 16).to_string(),
                format!("{SCHEMA}.{FUNCTION}"),
                String::new(),
                String::new(),
                format!("when {IS_REPLICATED}"),
                ALWAYS.to_owned(),
            ],
        }
    });
    let triggers = triggers.collect();
    (function, triggers)
}

/// What the catalog says of a trigger that replication fires too.
const ALWAYS: &str = "enabled always";

/// The language and the rights of a function that writes balances.
const DEFINER: &str = "plpgsql security definer";

fn function_name(name: &'static str) -> QualifiedName {
    QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name))
}

fn event_function(event: &Event, model: &Model) -> Object {
    let refuse = function_name("balance_refuse");
    let mark = if model.ledger.is_incremental { model.render(event.mark) } else { render("", &[]) };
    let moved = model.render(include_str!("../moved_entries.sql"));
    let old = model.entries(&Fixed("old_rows"));
    let take = model.render_with(include_str!("../take.sql"), &[("taken_entries", &old)]);
    let (take_text, marker) = take_partition(model);
    let fragments: [(&str, &dyn Fragment); 6] = [
        ("refuse", &refuse),
        ("mark", &mark),
        ("moved_entries", &moved),
        ("take", &take),
        ("take_text", &take_text),
        ("marker", &marker),
    ];
    function(event.function, event.template, DEFINER, model, &fragments)
}

fn function(
    name: &'static str,
    template: &'static str,
    language: &str,
    model: &Model,
    more: &[(&str, &dyn Fragment)],
) -> Object {
    let qualified = function_name(name);
    let own: [(&str, &dyn Fragment); 1] = [("function", &qualified)];
    let fragments = [&own, more].concat();
    let routine = model.routine(template, &fragments);
    // A trigger function that anybody could attach to a table of his own would write balances for him.
    let revoke = render("REVOKE ALL ON ROUTINE {function} FROM PUBLIC", &fragments);
    Object {
        kind: Kind::Function,
        name: qualified.name.clone(),
        table: None,
        create: vec![routine.create, revoke],
        drop: Some(render("DROP ROUTINE IF EXISTS {function}", &fragments)),
        index: None,
        facts: vec![
            language.to_owned(),
            "search_path=pg_catalog, pg_temp".into(),
            String::new(),
            routine.body,
        ],
    }
}

/// The statement that takes a partition's entries from their balances, with a marker for the partition's name.
fn take_partition(model: &Model) -> (Literal, Literal) {
    const MARKERS: [&str; 3] = ["@partition@", "@the_partition@", "@the_partition_that_is_emptied@"];
    let mapped = model.entries(&model.ledger.table);
    let marker = MARKERS.into_iter().find(|marker| !mapped.as_str().contains(marker)).unwrap_or(MARKERS[0]);
    let source = match marker {
        "@partition@" => "ONLY @partition@",
        "@the_partition@" => "ONLY @the_partition@",
        _ => "ONLY @the_partition_that_is_emptied@",
    };
    let entries = model.entries(&Fixed(source));
    let take = model.render_with(include_str!("../take.sql"), &[("taken_entries", &entries)]);
    (Literal::new(take.as_str()), Literal::new(marker))
}

fn trigger(event: &Event, table: &QualifiedName, is_always: bool) -> Object {
    let name = Ident::joined(&[table.name.as_str(), "balance", event.word]);
    let function = function_name(event.function);
    let fragments: [(&str, &dyn Fragment); 3] =
        [("trigger", &name), ("function", &function), ("table", table)];
    let mut create = vec![render(event.create, &fragments)];
    if is_always {
        create.push(render("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}", &fragments));
    }
    Object {
        kind: Kind::Trigger,
        create,
        drop: Some(render("DROP TRIGGER IF EXISTS {trigger} ON {table}", &fragments)),
        table: Some(table.clone()),
        index: None,
        facts: vec![
            event.tgtype.to_string(),
            format!("{SCHEMA}.{}", event.function),
            event.old.to_owned(),
            event.new.to_owned(),
            String::new(),
            if is_always { ALWAYS.to_owned() } else { String::new() },
        ],
        name,
    }
}
