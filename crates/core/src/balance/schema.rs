//! The parts that balances are made of, as statements, and how the catalog's state compares with them.

use std::fmt;

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    model::Model,
    sql::{Fragment, Ident, List, QualifiedName, Statement, render},
};

/// The parts that the balances are made of, in the order in which they are created.
///
/// Every statement stands alone and is safe inside a transaction, but for [`key_index`](Self::key_index), which is
/// built concurrently.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The table of balances.
    pub table: Object,
    /// The functions, those that others call first.
    pub functions: Vec<Object>,
    /// The triggers on the ledger. Creating one takes SHARE ROW EXCLUSIVE on it.
    pub triggers: Vec<Object>,
    /// The covering index over the ledger's balance key; takes no part in correctness.
    pub key_index: Object,
    /// How many keys the planner expects; filled by [`analyze`](Self::analyze).
    pub statistics: Object,
    /// Fills the statistics. Takes SHARE UPDATE EXCLUSIVE, which stops no writer.
    pub analyze: Statement,
}

/// What an [`Object`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A table.
    Table,
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
            Kind::Table => "table",
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
    /// Makes it; to be sent one after the other, each once. Functions and triggers replace what is there.
    pub create: Vec<Statement>,
    /// Removes it, if it is there.
    pub drop: Statement,
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

/// A trigger's event: its word, the bits of `pg_trigger.tgtype` for an AFTER statement trigger, its transition tables.
struct Event {
    word: &'static str,
    function: &'static str,
    template: &'static str,
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
        tgtype: 4,
        old: "",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT ON {ledger}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "update",
        function: "balance_on_update",
        template: include_str!("on_update.sql"),
        tgtype: 16,
        old: "old_rows",
        new: "new_rows",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER UPDATE ON {ledger}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "delete",
        function: "balance_on_delete",
        template: include_str!("on_delete.sql"),
        tgtype: 8,
        old: "old_rows",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER DELETE ON {ledger}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
    Event {
        word: "truncate",
        function: "balance_on_truncate",
        template: include_str!("on_truncate.sql"),
        tgtype: 32,
        old: "",
        new: "",
        create: "CREATE OR REPLACE TRIGGER {trigger} AFTER TRUNCATE ON {ledger}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    },
];

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
            .chain(&self.functions)
            .chain(&self.triggers)
            .chain([&self.key_index, &self.statistics])
    }
}

/// The parts for `model`.
pub fn objects(model: &Model) -> Objects {
    let ledger = model.ledger.table.name.as_str();
    let refuse = function("balance_refuse", include_str!("refuse.sql"), "plpgsql", model);
    let mut functions = vec![refuse];
    let mut triggers = Vec::new();
    for event in &EVENTS {
        functions.push(function(event.function, event.template, "plpgsql security definer", model));
        triggers.push(trigger(event, Ident::joined(&[ledger, "balance", event.word]), model));
    }
    Objects {
        table: table(model),
        functions,
        triggers,
        key_index: key_index(Ident::joined(&[ledger, "balance_key_idx"]), model),
        statistics: statistics(Ident::joined(&[ledger, "balance_key_stats"]), model),
        analyze: model.render(
            "ANALYZE {ledger} ({org}, {ledger.item}, {ledger.location}, {ledger.lot}, {ledger.quantity})",
        ),
    }
}

/// Compares each of `objects` with the catalog, in their order.
///
/// # Errors
/// When the catalog can't be read.
pub async fn inspect<'a>(
    connection: &mut PgConnection,
    model: &Model,
    objects: &'a Objects,
) -> Result<Vec<(&'a Object, State)>, DbError> {
    let names = |objects: &[Object]| -> Vec<String> {
        objects.iter().map(|object| object.name.as_str().to_owned()).collect()
    };
    let found: Vec<(String, String, Vec<String>)> = sqlx::query_as(include_str!("inspect.sql"))
        .bind(model.balances.to_string())
        .bind(names(&objects.functions))
        .bind(model.ledger.table.to_string())
        .bind(names(&objects.triggers))
        .bind(objects.key_index.name.as_str())
        .bind(objects.statistics.name.as_str())
        .fetch_all(connection)
        .await
        .context("look at the balances' table, functions and triggers")?;
    let state = |object: &Object| {
        let found = found
            .iter()
            .find(|(kind, name, _)| kind == object.kind.as_str() && name == object.name.as_str())
            .map(|(_, _, facts)| facts.as_slice());
        object.compare(found)
    };
    Ok(objects.all().map(|object| (object, state(object))).collect())
}

impl Object {
    fn compare(&self, found: Option<&[String]>) -> State {
        let Some(found) = found else { return State::Missing };
        match self.kind {
            // Further columns and keys of the application's own do no harm.
            Kind::Table => match self.facts.iter().find(|fact| !found.contains(fact)) {
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

fn table(model: &Model) -> Object {
    let org = &model.org_column;
    let plain = |ident: &Ident| -> String {
        // As the catalog prints it inside a constraint: quoted only where it must be.
        let name = ident.as_str();
        let simple = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if simple { name.to_owned() } else { ident.to_string() }
    };
    Object {
        kind: Kind::Table,
        name: model.balances.name.clone(),
        create: vec![model.render(include_str!("table.sql"))],
        drop: model.render("DROP TABLE IF EXISTS {balances}"),
        facts: vec![
            format!("{} text not null", org.as_str()),
            "item_id text not null".into(),
            "location_id text not null".into(),
            "lot_id text".into(),
            "lot_key text not null COALESCE(lot_id, ''::text)".into(),
            "qty_canonical numeric not null".into(),
            "last_ledger_id text".into(),
            "last_updated timestamp with time zone not null".into(),
            format!("PRIMARY KEY ({}, item_id, location_id, lot_key)", plain(org)),
            "CHECK ((lot_id <> ''::text))".into(),
            "CHECK (((qty_canonical > '-Infinity'::numeric) AND (qty_canonical < 'Infinity'::numeric)))"
                .into(),
        ],
    }
}

fn function(name: &'static str, template: &'static str, language: &str, model: &Model) -> Object {
    let in_schema = |name| QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(name));
    let (qualified, refuse) = (in_schema(name), in_schema("balance_refuse"));
    let fragments: [(&str, &dyn Fragment); 2] = [("function", &qualified), ("refuse", &refuse)];
    let create = model.render_with(template, &fragments);
    let body = create.as_str().split("$body$").nth(1).unwrap_or_default().to_owned();
    // A trigger function that anybody could attach to a table of his own would write balances for him.
    let revoke = render("REVOKE ALL ON ROUTINE {function} FROM PUBLIC", &fragments);
    Object {
        kind: Kind::Function,
        name: qualified.name.clone(),
        create: vec![create, revoke],
        drop: render("DROP ROUTINE IF EXISTS {function}", &fragments),
        facts: vec![language.to_owned(), "search_path=pg_catalog, pg_temp".into(), String::new(), body],
    }
}

fn trigger(event: &Event, name: Ident, model: &Model) -> Object {
    let function = QualifiedName::new(Ident::fixed(SCHEMA), Ident::fixed(event.function));
    let fragments: [(&str, &dyn Fragment); 2] = [("trigger", &name), ("function", &function)];
    Object {
        kind: Kind::Trigger,
        create: vec![model.render_with(event.create, &fragments)],
        drop: model.render_with("DROP TRIGGER IF EXISTS {trigger} ON {ledger}", &fragments),
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

fn key_index(name: Ident, model: &Model) -> Object {
    let qualified = QualifiedName::new(model.ledger.table.schema.clone(), name.clone());
    let ledger = &model.ledger;
    let columns = [&model.org_column, &ledger.item, &ledger.location, &ledger.lot, &ledger.quantity];
    Object {
        kind: Kind::Index,
        create: vec![model.render_with(
            "CREATE INDEX CONCURRENTLY {index} ON {ledger}
    ({org}, {ledger.item}, {ledger.location}, {ledger.lot}) INCLUDE ({ledger.quantity})",
            &[("index", &name)],
        )],
        drop: render("DROP INDEX CONCURRENTLY IF EXISTS {index}", &[("index", &qualified)]),
        facts: [String::new(), "4".into()]
            .into_iter()
            .chain(columns.map(|c| c.as_str().to_owned()))
            .collect(),
        name,
    }
}

fn statistics(name: Ident, model: &Model) -> Object {
    let qualified = QualifiedName::new(model.ledger.table.schema.clone(), name.clone());
    let ledger = &model.ledger;
    let columns =
        List([&model.org_column, &ledger.item, &ledger.location, &ledger.lot].map(Ident::clone).into());
    Object {
        kind: Kind::Statistics,
        create: vec![model.render_with(
            "CREATE STATISTICS {statistics} (ndistinct) ON {columns} FROM {ledger}",
            &[("statistics", &qualified), ("columns", &columns)],
        )],
        drop: render("DROP STATISTICS IF EXISTS {statistics}", &[("statistics", &qualified)]),
        facts: columns.0.iter().map(|column| column.as_str().to_owned()).collect(),
        name,
    }
}
