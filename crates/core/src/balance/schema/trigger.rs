//! The triggers on the ledger that keep the balances, and their functions.

use std::collections::{HashMap, hash_map::Entry};

use sqlx::PgConnection;

use super::{Kind, Object, SCHEMA};
use crate::{
    db::Context as _,
    model::{Hot, Model},
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// A trigger's event: its word, the bits of `pg_trigger.tgtype` for its statement trigger, its transition tables.
struct Event {
    word: &'static str,
    function: &'static str,
    template: &'static str,
    /// What removes from the balances, where the template asks for it.
    remove: &'static str,
    /// What marks the keys that are not as they were sealed.
    mark: &'static str,
    tgtype: u8,
    old: &'static str,
    new: &'static str,
    create: &'static str,
}

const EVENTS: [Event; 3] = [
    Event {
        word: "insert",
        function: "balance_on_insert",
        template: include_str!("../on_insert.sql"),
        remove: "",
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
        remove: "",
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
        template: include_str!("../on_removal.sql"),
        remove: "{take}",
        mark: include_str!("../checkpoint/mark_old.sql"),
        tgtype: 8,
        old: "old_rows",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
];

/// An empty ledger has no balances.
const TRUNCATE: Event = Event {
    word: "truncate",
    function: "balance_on_truncate",
    template: include_str!("../on_removal.sql"),
    remove: "    DELETE FROM {balances}",
    mark: include_str!("../checkpoint/mark_all.sql"),
    tgtype: 32,
    old: "",
    new: "",
    create: "CREATE OR REPLACE TRIGGER {trigger} AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
};

/// The rows of an adopted table are the application's, which keeps more in them than a quantity: they stay.
const TRUNCATE_ADOPTED: Event = Event {
    remove: "    UPDATE {balances} SET {balances.set_empty} WHERE {balances.quantity} IS DISTINCT FROM 0{balances.and}",
    ..TRUNCATE
};

/// What is queued is of entries that are gone.
const TRUNCATE_QUEUED: Event =
    Event { remove: "    DELETE FROM stockfoil.balance_queue;\n    DELETE FROM {balances}", ..TRUNCATE };

/// On a partitioned ledger each partition's entries are taken before it is emptied.
const TRUNCATE_PARTITION: Event = Event {
    template: include_str!("../on_truncate_partition.sql"),
    remove: "",
    tgtype: 34,
    create: "CREATE OR REPLACE TRIGGER {trigger} BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    ..TRUNCATE
};

/// What tells a row that replication applied: such a session fires only triggers that are enabled always.
const IS_REPLICATED: &str = "(current_setting('session_replication_role'::text) = 'replica'::text)";

/// The row that a row trigger is called for, after its change and before.
const NEW_ROW: Fixed = Fixed("(SELECT NEW.* WHERE TG_OP <> 'DELETE') AS new_rows");
const OLD_ROW: Fixed = Fixed("(SELECT OLD.* WHERE TG_OP <> 'INSERT') AS old_rows");

/// The functions and triggers that keep the balances, whatever their ledger is written by.
pub(super) fn kept(model: &Model, names: &TriggerNames) -> (Vec<Object>, Vec<Object>) {
    let truncate = if model.ledger.is_partitioned {
        &TRUNCATE_PARTITION
    } else if model.balances.hot == Hot::Queue {
        &TRUNCATE_QUEUED
    } else if model.balances.is_adopted {
        &TRUNCATE_ADOPTED
    } else {
        &TRUNCATE
    };
    let refuse = function("balance_refuse", include_str!("../refuse.sql"), ["plpgsql", REFUSE], model, &[]);
    let mut functions = vec![refuse];
    let mut triggers = Vec::new();
    for event in EVENTS.iter().chain([truncate]) {
        functions.push(event_function(event, model));
        // Replication fires a statement trigger for TRUNCATE and for no other change.
        let is_always = model.ledger.is_replicated && event.word == "truncate";
        triggers.extend(model.ledger.tables().map(|table| trigger(event, table, is_always, names)));
    }
    (functions, triggers)
}

/// The function and the triggers for rows that replication applied. Created on the ledger, the trigger comes to its
/// partitions by itself.
pub(super) fn replicated(model: &Model, names: &TriggerNames) -> (Object, Vec<Object>) {
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
        [DEFINER, TRIGGER],
        model,
        &[("mark", &mark), ("moved_entries", &moved)],
    );
    let name = Ident::joined(&[model.ledger.table.name.as_str(), "balance_replicated"]);
    let triggers = model.ledger.tables().map(|table| {
        let fragments: [(&str, &dyn Fragment); 4] = [
            ("trigger", &names.of(table, FUNCTION, &name)),
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
            function: FUNCTION.to_owned(),
            index: None,
            facts: vec![
                // AFTER ROW INSERT, DELETE, UPDATE.
                (1 + 4 + 8 + 16).to_string(),
                format!("{SCHEMA}.{FUNCTION}"),
                String::new(),
                String::new(),
                format!("when {IS_REPLICATED}"),
                ALWAYS.to_owned(),
                String::new(),
            ],
        }
    });
    let triggers = triggers.collect();
    (function, triggers)
}

/// A trigger of a ledger's table, or of another table that calls a function of the balances'.
#[derive(Debug, Clone)]
pub struct FoundTrigger {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: Ident,
    /// The balances' function that it calls; none where it is the application's.
    function: Option<String>,
    /// Whether the table is the ledger or one of its partitions.
    is_of_ledger: bool,
}

impl FoundTrigger {
    /// Whether it calls a function of the balances'.
    #[must_use]
    pub const fn is_of_balances(&self) -> bool {
        self.function.is_some()
    }
}

/// What the triggers are called: as they are where they are there, whatever their tables are called now, and by a name
/// that nothing else has where they are not.
#[derive(Debug, Clone, Default)]
pub struct TriggerNames {
    /// By table and function.
    there: HashMap<(String, String), Ident>,
    /// By table, the names of the application's own.
    taken: Vec<(String, Ident)>,
}

impl TriggerNames {
    /// The names on the ledger of `model`, and the triggers that are of no use: on tables that are none of its partitions
    /// any more, or a second time on one of them.
    pub fn of_found(found: Vec<FoundTrigger>) -> (Self, Vec<FoundTrigger>) {
        let (mut names, mut useless) = (Self::default(), Vec::new());
        for trigger in found {
            let table = trigger.table.to_string();
            match &trigger.function {
                None => names.taken.push((table, trigger.name)),
                Some(_) if !trigger.is_of_ledger => useless.push(trigger),
                Some(function) => match names.there.entry((table, function.clone())) {
                    Entry::Occupied(_) => useless.push(trigger),
                    Entry::Vacant(place) => {
                        place.insert(trigger.name);
                    }
                },
            }
        }
        (names, useless)
    }

    fn of(&self, table: &QualifiedName, function: &str, wanted: &Ident) -> Ident {
        let table = table.to_string();
        if let Some(name) = self.there.get(&(table.clone(), function.to_owned())) {
            return name.clone();
        }
        let others = self.there.iter().map(|((of, _), name)| (of, name));
        let others: Vec<(&String, &Ident)> =
            self.taken.iter().map(|(of, name)| (of, name)).chain(others).collect();
        let is_free = |name: &Ident| !others.iter().any(|(of, other)| **of == table && *other == name);
        let numbered = (1..=others.len()).map(|n| Ident::joined(&[wanted.as_str(), &n.to_string()]));
        std::iter::once(wanted.clone()).chain(numbered).find(is_free).unwrap_or_else(|| wanted.clone())
    }
}

/// The triggers of the ledger's tables, and those of any table that call a function of the balances'.
///
/// # Errors
/// When the catalog can't be read.
pub async fn triggers(
    connection: &mut PgConnection,
    model: &Model,
) -> Result<Vec<FoundTrigger>, crate::Error> {
    let tables: Vec<String> = model.ledger.tables().map(ToString::to_string).collect();
    let rows: Vec<(String, String, String, Option<String>, bool)> =
        sqlx::query_as(include_str!("../triggers.sql"))
            .bind(tables)
            .fetch_all(connection)
            .await
            .context("look at the ledger's triggers")?;
    let found = |(schema, table, name, function, is_of_ledger): (String, String, String, _, _)| {
        let table = QualifiedName::new(Ident::new(schema)?, Ident::new(table)?);
        Ok(FoundTrigger { table, name: Ident::new(name)?, function, is_of_ledger })
    };
    rows.into_iter().map(found).collect()
}

/// What the catalog says of a trigger that replication fires too.
const ALWAYS: &str = "enabled always";

/// The language and the rights of a function that writes balances.
const DEFINER: &str = "plpgsql security definer";

/// What the catalog says of how a trigger's function is called.
const TRIGGER: &str = "() returns trigger";

/// The same of what refuses a quantity.
const REFUSE: &str =
    "(quantity numeric, org text, item text, location text, lot text) returns numeric immutable";

fn function_name(name: &'static str) -> QualifiedName {
    QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name))
}

fn event_function(event: &Event, model: &Model) -> Object {
    let refuse = function_name("balance_refuse");
    let mark = if model.ledger.is_incremental { model.render(event.mark) } else { render("", &[]) };
    let moved = model.render(include_str!("../moved_entries.sql"));
    let uncarried = uncarried(model);
    let (net, of_s) =
        if model.balances.is_adopted { (", sum(e.direction) AS net", " s.net,") } else { ("", "") };
    let (net, of_s) = (Fixed(net), Fixed(of_s));
    let old = model.entries(&Fixed("old_rows"));
    let remove = model.render_with(event.remove, &[("take", &taking(model, &old))]);
    let (take_text, marker) = take_partition(model);
    let left_alone = left_alone(event, model);
    let fragments: [(&str, &dyn Fragment); 10] = [
        ("left_alone", &left_alone),
        ("refuse", &refuse),
        ("mark", &mark),
        ("moved_entries", &moved),
        ("uncarried", &uncarried),
        ("net", &net),
        ("s.net", &of_s),
        ("remove", &remove),
        ("take_text", &take_text),
        ("marker", &marker),
    ];
    function(event.function, event.template, [DEFINER, TRIGGER], model, &fragments)
}

fn function(
    name: &'static str,
    template: &'static str,
    [language, signature]: [&str; 2],
    model: &Model,
    more: &[(&str, &dyn Fragment)],
) -> Object {
    let qualified = function_name(name);
    let (pinned, settings) = pinned(model);
    let own: [(&str, &dyn Fragment); 2] = [("function", &qualified), ("pinned", &pinned)];
    let fragments = [&own, more].concat();
    let settings = if signature == TRIGGER { settings.as_str() } else { "" };
    let routine = model.routine(template, &fragments);
    // A trigger function that anybody could attach to a table of his own would write balances for him.
    let revoke = render("REVOKE ALL ON ROUTINE {function} FROM PUBLIC", &fragments);
    Object {
        kind: Kind::Function,
        name: qualified.name.clone(),
        table: None,
        create: vec![routine.create, revoke],
        drop: Some(render("DROP ROUTINE IF EXISTS {function}", &fragments)),
        function: String::new(),
        index: None,
        facts: vec![
            language.to_owned(),
            format!("search_path=pg_catalog, pg_temp{settings}"),
            String::new(),
            routine.body,
            signature.to_owned(),
            String::new(),
        ],
    }
}

/// The settings of a session on which the text of a part of the key may depend beside its time zone, or what an expression
/// gives, as a clause and as the catalog prints them; none where nothing depends on any. PostgreSQL takes the text of a
/// number in floating point and of bytes for the same in each session, so that such an expression may be
/// indexed, though it is not.
pub(super) fn styles(model: &Model) -> (Fixed, &'static str) {
    match (model.ledger.has_key_of_session(), model.ledger.has_expression()) {
        (true, _) => (
            Fixed(
                " SET \"DateStyle\" = 'ISO, MDY' SET \"IntervalStyle\" = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1",
            ),
            "; DateStyle=ISO, MDY; IntervalStyle=postgres; bytea_output=hex; extra_float_digits=1",
        ),
        (false, true) => (
            Fixed(" SET bytea_output = 'hex' SET extra_float_digits = 1"),
            "; bytea_output=hex; extra_float_digits=1",
        ),
        (false, false) => (Fixed(""), ""),
    }
}

/// The same with the time zone, for a trigger's function: where nothing depends on them, the triggers of an adopted table run
/// under the writer's. What is queued for a key is found by its index even where the table was small when that was planned.
fn pinned(model: &Model) -> (Statement, String) {
    let (clause, printed) = styles(model);
    let (zone, zone_printed) = match model.ledger.has_key_of_session() {
        true => (" SET \"TimeZone\" = 'UTC'", "; TimeZone=UTC"),
        false => ("", ""),
    };
    let (plan, plan_printed) = match model.balances.hot {
        Hot::Queue => (" SET enable_seqscan = off", "; enable_seqscan=off"),
        Hot::Wait => ("", ""),
    };
    let fragments: [(&str, &dyn Fragment); 3] =
        [("zone", &Fixed(zone)), ("styles", &clause), ("plan", &Fixed(plan))];
    (render("{zone}{styles}{plan}", &fragments), format!("{zone_printed}{printed}{plan_printed}"))
}

/// What keeps an update from counting twice what went along with the entries; nothing where no row is the application's.
fn uncarried(model: &Model) -> Statement {
    if !model.balances.is_adopted {
        return render("", &[]);
    }
    let uncarried = model.render_with(include_str!("../uncarried.sql"), &[("from_d", &Fixed(""))]);
    render("\n    WHERE (\n{uncarried}    )", &[("uncarried", &uncarried)])
}

/// A row that came after the snapshot of this transaction shows in the unique key alone: then this transaction must be tried
/// again. Whatever else would speak against a new row does not matter, since none stays.
const LEFT_ALONE: &str = "    IF current_setting('transaction_isolation') <> 'read committed' THEN
        BEGIN
{insert};
            IF FOUND THEN
                RAISE EXCEPTION SQLSTATE 'SF001';
            END IF;
        EXCEPTION
            WHEN serialization_failure OR deadlock_detected OR lock_not_available OR query_canceled THEN RAISE;
            WHEN OTHERS THEN NULL;
        END;
    END IF;
";

/// What finds a row of an adopted table that `event` takes for missing, since it came later than its snapshot.
fn left_alone(event: &Event, model: &Model) -> Statement {
    match model.balances.is_adopted && !event.old.is_empty() {
        true => {
            let insert = model.render(include_str!("../left_alone.sql"));
            render(LEFT_ALONE, &[("insert", &insert)])
        }
        false => render("", &[]),
    }
}

/// The statement that takes `entries` from their balances.
fn taking(model: &Model, entries: &Statement) -> Statement {
    let always = Fixed(if model.balances.is_adopted { "false" } else { "true" });
    let fragments: [(&str, &dyn Fragment); 2] = [("taken_entries", entries), ("always", &always)];
    model.render_with(include_str!("../take.sql"), &fragments)
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
    let take = taking(model, &entries);
    (Literal::new(take.as_str()), Literal::new(marker))
}

fn trigger(event: &Event, table: &QualifiedName, is_always: bool, names: &TriggerNames) -> Object {
    let name = Ident::joined(&[table.name.as_str(), "balance", event.word]);
    let function = function_name(event.function);
    let called = names.of(table, event.function, &name);
    let fragments: [(&str, &dyn Fragment); 3] =
        [("trigger", &called), ("function", &function), ("table", table)];
    let mut create = vec![render(event.create, &fragments)];
    if is_always {
        create.push(render("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}", &fragments));
    }
    Object {
        kind: Kind::Trigger,
        create,
        drop: Some(render("DROP TRIGGER IF EXISTS {trigger} ON {table}", &fragments)),
        table: Some(table.clone()),
        function: event.function.to_owned(),
        index: None,
        facts: vec![
            event.tgtype.to_string(),
            format!("{SCHEMA}.{}", event.function),
            event.old.to_owned(),
            event.new.to_owned(),
            String::new(),
            if is_always { ALWAYS.to_owned() } else { String::new() },
            String::new(),
        ],
        name,
    }
}
