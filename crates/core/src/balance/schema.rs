//! The parts that balances are made of, as statements, and how the catalog's state compares with them.

use std::fmt;

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    mapping::KeptBy,
    model::{KeyType, Model, Posting, TX, conflict, joined},
    sql::{Fixed, Fragment, Ident, List, Literal, QualifiedName, Statement, render},
};

/// The parts that the balances are made of, in the order in which they are created.
///
/// Every statement stands alone and is safe inside a transaction, but for those of the indexes, which are built
/// concurrently.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The table of balances.
    pub table: Object,
    /// Where reconciliation keeps what it sealed, and the column that tells entries apart by age; none where every
    /// comparison is in full.
    pub checkpoint: Vec<Object>,
    /// The unique key of an adopted table; another one has its primary key.
    pub unique_key: Option<Object>,
    /// The functions, those that others call first. None where the application keeps the balances.
    pub functions: Vec<Object>,
    /// The triggers on the ledger and each of its partitions. Creating one takes SHARE ROW EXCLUSIVE on its table.
    pub triggers: Vec<Object>,
    /// The covering indexes over the ledger's balance key, one a posting; they take no part in correctness.
    pub key_indexes: Vec<Object>,
    /// How many keys the planner expects, where the key has columns enough; filled by [`analyze`](Self::analyze).
    pub statistics: Option<Object>,
    /// Fills the statistics. Takes SHARE UPDATE EXCLUSIVE, which stops no writer.
    pub analyze: Statement,
}

/// What an [`Object`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The table of balances.
    Table,
    /// A table that reconciliation keeps for itself.
    Record,
    /// A column of the ledger.
    Column,
    /// A function.
    Function,
    /// A trigger.
    Trigger,
    /// An index.
    Index,
    /// Extended statistics.
    Statistics,
}

impl Kind {
    /// The word that PostgreSQL uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Table | Kind::Record => "table",
            Kind::Column => "column",
            Kind::Function => "function",
            Kind::Trigger => "trigger",
            Kind::Index => "index",
            Kind::Statistics => "statistics",
        }
    }
}

/// One part, with the statements that make and remove it.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name without its schema.
    pub name: Ident,
    /// The table that it is of; none for a function.
    pub table: Option<QualifiedName>,
    /// Makes it; to be sent one after the other, each once. Functions and triggers replace what is there.
    pub create: Vec<Statement>,
    /// Removes it, if it is there; none where it was there before Stockfoil.
    pub drop: Option<Statement>,
    /// An index's access method, and what stands behind it in the index's definition.
    pub index: Option<(Fixed, Statement)>,
    /// What the catalog says of it when it is as it should be.
    facts: Vec<String>,
}

/// How the catalog's state of an [`Object`] compares with what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Intact,
    /// Not there.
    Missing,
    /// There, but another one: what is different about it.
    Altered(String),
}

/// The schema of the functions.
const SCHEMA: &str = "stockfoil";

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
        template: include_str!("on_insert.sql"),
        mark: include_str!("checkpoint/mark_new.sql"),
        tgtype: 4,
        old: "",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "update",
        function: "balance_on_update",
        template: include_str!("on_update.sql"),
        mark: include_str!("checkpoint/mark_changed.sql"),
        tgtype: 16,
        old: "old_rows",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "delete",
        function: "balance_on_delete",
        template: include_str!("on_delete.sql"),
        mark: include_str!("checkpoint/mark_old.sql"),
        tgtype: 8,
        old: "old_rows",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "truncate",
        function: "balance_on_truncate",
        template: include_str!("on_truncate.sql"),
        mark: include_str!("checkpoint/mark_all.sql"),
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
    template: include_str!("on_truncate_partition.sql"),
    mark: include_str!("checkpoint/mark_all.sql"),
    tgtype: 34,
    old: "",
    new: "",
    create: "CREATE OR REPLACE TRIGGER {trigger} BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
};

/// The events that the triggers of `model` follow.
fn events(model: &Model) -> impl Iterator<Item = &'static Event> {
    let whole = if model.ledger.is_partitioned { &EVENTS[..3] } else { &EVENTS[..] };
    whole.iter().chain(model.ledger.is_partitioned.then_some(&TRUNCATE_PARTITION))
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Intact => f.write_str("is as it should be"),
            State::Missing => f.write_str("is missing"),
            State::Altered(difference) => write!(f, "is not as it should be: {difference}"),
        }
    }
}

impl Objects {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Object> {
        std::iter::once(&self.table)
            .chain(&self.checkpoint)
            .chain(&self.unique_key)
            .chain(&self.functions)
            .chain(&self.triggers)
            .chain(&self.key_indexes)
            .chain(&self.statistics)
    }
}

/// The parts for `model`.
pub fn objects(model: &Model) -> Objects {
    let mut functions = Vec::new();
    let mut triggers = Vec::new();
    if model.balances.kept_by == KeptBy::Triggers {
        functions.push(function("balance_refuse", include_str!("refuse.sql"), None, "plpgsql", model));
        for event in events(model) {
            functions.push(function(
                event.function,
                event.template,
                Some(event.mark),
                "plpgsql security definer",
                model,
            ));
            triggers.extend(model.ledger.tables().map(|table| trigger(event, table)));
        }
    }
    let mut key_indexes: Vec<Object> = match model.ledger.key_index {
        true => model.ledger.postings.iter().enumerate().map(|(at, p)| key_index(at, p, model)).collect(),
        false => Vec::new(),
    };
    let mut checkpoint = Vec::new();
    if model.ledger.is_incremental && model.balances.kept_by == KeptBy::Triggers {
        checkpoint = records(model);
        key_indexes.push(tx_index(model));
    }
    Objects {
        table: table(model),
        checkpoint,
        unique_key: model.balances.is_adopted.then(|| unique_key(model)),
        functions,
        triggers,
        key_indexes,
        statistics: statistics(model),
        analyze: analyze(model),
    }
}

/// Compares each of `objects` with the catalog, in their order.
///
/// # Errors
/// When the catalog can't be read.
pub async fn inspect<'a>(
    connection: &mut PgConnection,
    objects: &'a Objects,
) -> Result<Vec<(&'a Object, State)>, DbError> {
    let of = |kind: Kind| -> Vec<&Object> { objects.all().filter(|object| object.kind == kind).collect() };
    let names = |kind| -> Vec<&str> { of(kind).iter().map(|object| object.name.as_str()).collect() };
    let tables = |kind| -> Vec<String> { of(kind).iter().map(|object| object.table_sql()).collect() };
    let found: Vec<(String, String, String, Vec<String>)> = sqlx::query_as(include_str!("inspect.sql"))
        .bind(of(Kind::Table).into_iter().chain(of(Kind::Record)).map(Object::table_sql).collect::<Vec<_>>())
        .bind(names(Kind::Function))
        .bind(tables(Kind::Trigger))
        .bind(names(Kind::Trigger))
        .bind(tables(Kind::Index))
        .bind(names(Kind::Index))
        .bind(tables(Kind::Statistics))
        .bind(names(Kind::Statistics))
        .bind(tables(Kind::Column))
        .bind(names(Kind::Column))
        .fetch_all(connection)
        .await
        .context("look at the balances' table, functions and triggers")?;
    let state = |object: &Object| {
        let table = object.table_sql();
        let found = found
            .iter()
            .find(|(kind, on, name, _)| {
                kind == object.kind.as_str() && *on == table && name == object.name.as_str()
            })
            .map(|(.., facts)| facts.as_slice());
        object.compare(found)
    };
    Ok(objects.all().map(|object| (object, state(object))).collect())
}

impl Object {
    fn table_sql(&self) -> String {
        self.table.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn compare(&self, found: Option<&[String]>) -> State {
        let Some(found) = found else { return State::Missing };
        match self.kind {
            // Further columns and keys of the application's own do no harm.
            Kind::Table | Kind::Record => match self.facts.iter().find(|fact| !found.contains(fact)) {
                Some(fact) => State::Altered(format!("it has no `{fact}`")),
                None => State::Intact,
            },
            // The catalog lists the columns in the table's order.
            Kind::Statistics => {
                let (mut wanted, mut found) = (self.facts.clone(), found.to_vec());
                wanted.sort();
                found.sort();
                if wanted == found { State::Intact } else { State::Altered("it covers other columns".into()) }
            }
            _ if self.facts == found => State::Intact,
            Kind::Function => State::Altered("its body or its settings were changed".into()),
            _ => {
                let different: Vec<&str> = found
                    .iter()
                    .filter(|fact| !fact.is_empty() && !self.facts.contains(fact))
                    .map(String::as_str)
                    .collect();
                if different.is_empty() {
                    State::Altered("its definition was changed".into())
                } else {
                    State::Altered(different.join(", "))
                }
            }
        }
    }
}

/// A name as the facts of a table hold it: without quotes, see `inspect.sql`.
fn printed(ident: &Ident) -> String {
    ident.as_str().replace('"', "")
}

fn table(model: &Model) -> Object {
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
        create: vec![model.render_with(include_str!("table.sql"), &fragments)],
        drop: Some(model.render("DROP TABLE IF EXISTS {balances}")),
        facts,
        ..object
    }
}

/// The tables in which reconciliation keeps what it sealed, and the ledger's column.
fn records(model: &Model) -> Vec<Object> {
    let key = model.ledger.key;
    let type_of = |key_type: Option<KeyType>| key_type.unwrap_or(KeyType::Text).name();
    let parts = [
        ("org", model.org_type.name()),
        ("item", key.item.name()),
        ("location", type_of(key.location)),
        ("lot", type_of(key.lot)),
    ];
    let record =
        |name: &'static str, create: Vec<Statement>, drop: &'static str, facts: Vec<String>| Object {
            kind: Kind::Record,
            name: Ident::fixed(name),
            table: Some(QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name))),
            create,
            drop: Some(render(drop, &[])),
            index: None,
            facts,
        };
    let not_null = |(name, type_name): &(&str, &str)| match *name {
        "lot" => format!("{name} {type_name}"),
        _ => format!("{name} {type_name} not null"),
    };
    let ledger = &model.ledger.table;
    let column = Object {
        kind: Kind::Column,
        name: Ident::fixed(TX),
        table: Some(ledger.clone()),
        // The default comes after the column, so that rows that are there stay without and nothing is rewritten.
        create: vec![
            model.render("ALTER TABLE {ledger} ADD COLUMN IF NOT EXISTS stockfoil_tx bigint"),
            model.render("ALTER TABLE {ledger} ALTER COLUMN stockfoil_tx SET DEFAULT pg_current_xact_id()::text::bigint"),
        ],
        drop: Some(model.render("ALTER TABLE {ledger} DROP COLUMN IF EXISTS stockfoil_tx")),
        index: None,
        facts: vec!["bigint ((pg_current_xact_id())::text)::bigint".into()],
    };
    vec![
        record(
            "checkpoint",
            vec![render(include_str!("checkpoint/checkpoint_table.sql"), &[])],
            "DROP TABLE IF EXISTS stockfoil.checkpoint",
            vec![
                "ledger text not null".into(),
                "watermark bigint not null".into(),
                "PRIMARY KEY (ledger)".into(),
            ],
        ),
        record(
            "checkpoint_sum",
            vec![
                model.render(include_str!("checkpoint/checkpoint_sum_table.sql")),
                // An empty table of sums goes with no checkpoint: the next run seals again.
                render("DELETE FROM stockfoil.checkpoint", &[]),
                // What held the sums before, one row a key.
                render("DROP TABLE IF EXISTS stockfoil.checkpoint_key", &[]),
            ],
            "DROP TABLE IF EXISTS stockfoil.checkpoint_sum, stockfoil.checkpoint_key",
            parts.iter().map(not_null).collect(),
        ),
        record(
            "dirty_key",
            vec![
                render("CREATE SEQUENCE IF NOT EXISTS stockfoil.dirty_key_id_seq", &[]),
                model.render(include_str!("checkpoint/dirty_key_table.sql")),
                render("ALTER SEQUENCE stockfoil.dirty_key_id_seq OWNED BY stockfoil.dirty_key.id", &[]),
            ],
            "DROP TABLE IF EXISTS stockfoil.dirty_key",
            parts.iter().map(|(name, type_name)| format!("{name} {type_name}")).collect(),
        ),
        column,
    ]
}

/// The unique key that an adopted table's balances are found by: two balances without a lot are one.
fn unique_key(model: &Model) -> Object {
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

fn index(
    name: Ident,
    table: &QualifiedName,
    unique: Fixed,
    (method, definition): (Fixed, Statement),
    facts: Vec<String>,
) -> Object {
    let qualified = QualifiedName::new(table.schema.clone(), name.clone());
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("unique", &unique),
        ("index", &name),
        ("table", table),
        ("method", &method),
        ("definition", &definition),
    ];
    Object {
        kind: Kind::Index,
        create: vec![render(
            "CREATE {unique}INDEX CONCURRENTLY {index} ON {table} USING {method} {definition}",
            &fragments,
        )],
        drop: Some(render("DROP INDEX CONCURRENTLY IF EXISTS {index}", &[("index", &qualified)])),
        table: Some(table.clone()),
        index: Some((method, definition)),
        facts,
        name,
    }
}

fn function(
    name: &'static str,
    template: &'static str,
    mark: Option<&'static str>,
    language: &str,
    model: &Model,
) -> Object {
    let in_schema = |name| QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name));
    let (qualified, refuse) = (in_schema(name), in_schema("balance_refuse"));
    let (take, marker) = take_partition(model);
    let mark = match mark {
        Some(mark) if model.ledger.is_incremental => model.render(mark),
        _ => render("", &[]),
    };
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("function", &qualified),
        ("refuse", &refuse),
        ("take", &take),
        ("marker", &marker),
        ("mark", &mark),
    ];
    // The mapping's expressions may hold any text, that of a dollar quote too: the body is quoted when it is whole.
    let (head, body) = template.split_once("$body$").unwrap_or((template, ""));
    let body = body.split("$body$").next().unwrap_or_default();
    let body = model.render_with(body, &fragments);
    let create = render(
        "{head}{body}",
        &[("head", &model.render_with(head, &fragments)), ("body", &Literal::new(body.as_str()))],
    );
    // A trigger function that anybody could attach to a table of his own would write balances for him.
    let revoke = render("REVOKE ALL ON ROUTINE {function} FROM PUBLIC", &fragments);
    Object {
        kind: Kind::Function,
        name: qualified.name.clone(),
        table: None,
        create: vec![create, revoke],
        drop: Some(render("DROP ROUTINE IF EXISTS {function}", &fragments)),
        index: None,
        facts: vec![
            language.to_owned(),
            "search_path=pg_catalog, pg_temp".into(),
            String::new(),
            body.as_str().to_owned(),
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
    let take = model.render_with(include_str!("take_partition.sql"), &[("partition_entries", &entries)]);
    (Literal::new(take.as_str()), Literal::new(marker))
}

fn trigger(event: &Event, table: &QualifiedName) -> Object {
    let name = Ident::joined(&[table.name.as_str(), "balance", event.word]);
    let function = QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(event.function));
    let fragments: [(&str, &dyn Fragment); 3] =
        [("trigger", &name), ("function", &function), ("table", table)];
    Object {
        kind: Kind::Trigger,
        create: vec![render(event.create, &fragments)],
        drop: Some(render("DROP TRIGGER IF EXISTS {trigger} ON {table}", &fragments)),
        table: Some(table.clone()),
        index: None,
        facts: vec![
            event.tgtype.to_string(),
            format!("{SCHEMA}.{}", event.function),
            event.old.to_owned(),
            event.new.to_owned(),
            String::new(),
            String::new(),
        ],
        name,
    }
}

/// The covering index that finds one key's entries, and sums all of them in order.
fn key_index(at: usize, posting: &Posting, model: &Model) -> Object {
    let ledger = &model.ledger;
    let suffix = if at == 0 { "balance_key_idx".to_owned() } else { format!("balance_key_idx{at}") };
    let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
    let mut parts = vec![render("{org}", &[("org", &model.org_column)])];
    parts.extend(terms.into_iter().flatten().map(|term| match term.column {
        Some(_) => term.sql.clone(),
        None => render("({term})", &[("term", &term.sql)]),
    }));
    // Only a column can be included.
    let included = posting.quantity.column.as_ref();
    let include = match included {
        Some(quantity) => render(" INCLUDE ({quantity})", &[("quantity", quantity)]),
        None => render("", &[]),
    };
    let only = match &ledger.filter {
        Some(filter) => render(" WHERE {filter}", &[("filter", filter)]),
        None => render("", &[]),
    };
    let definition = render(
        "({parts}){include}{only}",
        &[("parts", &joined(&parts, ", ")), ("include", &include), ("only", &only)],
    );
    let mut facts = vec![String::new(), parts.len().to_string()];
    facts.push(model.org_column.as_str().to_owned());
    for term in terms.into_iter().flatten() {
        let column = term.column.as_ref().map(|column| column.as_str().to_owned());
        facts.push(column.unwrap_or_else(|| term.sql.to_string()));
    }
    facts.extend(included.map(|column| column.as_str().to_owned()));
    facts.push(ledger.filter.as_ref().map(|filter| as_predicate(filter.as_str())).unwrap_or_default());
    index(
        Ident::joined(&[ledger.table.name.as_str(), &suffix]),
        &ledger.table,
        Fixed(""),
        (Fixed("btree"), definition),
        facts,
    )
}

/// Finds the entries above a watermark: they lie together, at the ledger's end.
fn tx_index(model: &Model) -> Object {
    let table = &model.ledger.table;
    index(
        Ident::joined(&[table.name.as_str(), TX, "idx"]),
        table,
        Fixed(""),
        (Fixed("brin"), render("(stockfoil_tx) WITH (pages_per_range = 32, autosummarize = on)", &[])),
        vec![String::new(), "1".into(), TX.into(), String::new()],
    )
}

/// An expression as an index's predicate prints it: without the parentheses that PostgreSQL puts around an index's
/// column unless it is a function's call.
fn as_predicate(expression: &str) -> String {
    let bare = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    bare.unwrap_or(expression).to_owned()
}

/// The columns of the first posting's key, as far as it is made of columns.
fn key_columns(model: &Model) -> Vec<Ident> {
    let posting = &model.ledger.postings[0];
    let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
    let columns = terms.into_iter().flatten().filter_map(|term| term.column.as_ref());
    std::iter::once(&model.org_column).chain(columns).cloned().collect()
}

/// How many keys those columns make together.
fn statistics(model: &Model) -> Option<Object> {
    let columns = key_columns(model);
    if columns.len() < 2 {
        return None;
    }
    let table = &model.ledger.table;
    let name = Ident::joined(&[table.name.as_str(), "balance_key_stats"]);
    let qualified = QualifiedName::new(table.schema.clone(), name.clone());
    Some(Object {
        kind: Kind::Statistics,
        create: vec![model.render_with(
            "CREATE STATISTICS {statistics} (ndistinct) ON {columns} FROM {ledger}",
            &[("statistics", &qualified), ("columns", &List(columns.clone()))],
        )],
        drop: Some(render("DROP STATISTICS IF EXISTS {statistics}", &[("statistics", &qualified)])),
        table: Some(table.clone()),
        index: None,
        facts: columns.iter().map(|column| column.as_str().to_owned()).collect(),
        name,
    })
}

/// Fills the statistics of the key and the quantity.
fn analyze(model: &Model) -> Statement {
    let mut columns = key_columns(model);
    columns.extend(model.ledger.postings[0].quantity.column.clone());
    model.render_with("ANALYZE {ledger} ({columns})", &[("columns", &List(columns))])
}
