//! The parts that balances are made of, as statements, and how the catalog's state compares with them.

mod index;
mod query;
mod queue;
mod records;
mod table;
mod trigger;

pub use index::{FoundIndex, indexes};
pub use query::QUERIES;
pub(crate) use table::write_lot_key;
pub use trigger::{FoundTrigger, TriggerNames, triggers};

use std::fmt;

use sqlx::PgConnection;

use crate::{
    Error,
    db::{Context as _, DbError},
    mapping,
    model::{Hot, KeptBy, Model},
    sql::{Fixed, Ident, QualifiedName, Statement},
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
    /// Where writers put deltas aside, if that is configured.
    pub queue: Option<Object>,
    /// The functions that tell balances, as they are and, where the ledger says when, at a time; they keep none.
    pub queries: Vec<Object>,
    /// The triggers on the ledger and each of its partitions. Creating one takes SHARE ROW EXCLUSIVE on its table.
    pub triggers: Vec<Object>,
    /// What another configuration made, and this one wants gone: the triggers for rows that come by replication, the
    /// functions of times that are not known any more, and the queue.
    pub unwanted: Vec<Object>,
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
    /// A function of the triggers'.
    Function,
    /// A function that tells balances.
    Query,
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
            Kind::Function | Kind::Query => "function",
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
    /// The function that a trigger calls, by which it is known; empty for what is no trigger.
    pub function: String,
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
    /// There, and of no use in this configuration.
    Unwanted,
}

/// The schema of the functions.
const SCHEMA: &str = "stockfoil";

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Intact => f.write_str("is as it should be"),
            State::Missing => f.write_str("is missing"),
            State::Unwanted => f.write_str("is there, though the configuration has no use for it"),
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
            .chain(&self.queue)
            .chain(&self.functions)
            .chain(&self.queries)
            .chain(&self.triggers)
            .chain(&self.key_indexes)
            .chain(&self.statistics)
    }
}

/// Whether entries are read by the transaction that made them.
fn is_incremental(model: &Model) -> bool {
    model.balances.kept_by == KeptBy::Triggers && model.ledger.is_incremental
}

/// The parts for `model`, each trigger under the name that is its own unless something else has it.
pub fn objects(model: &Model) -> Objects {
    objects_named(model, &TriggerNames::default())
}

/// The parts for `model`; the statements of its triggers call them by `names`.
pub fn objects_named(model: &Model, names: &TriggerNames) -> Objects {
    let model = &model.unbounded();
    let is_kept = model.balances.kept_by == KeptBy::Triggers;
    let is_incremental = is_incremental(model);
    let is_replicated = is_kept && model.ledger.is_replicated;
    let (mut functions, mut triggers) =
        if is_kept { trigger::kept(model, names) } else { Default::default() };
    let (function, replicated) = trigger::replicated(model, names);
    let mut unwanted = Vec::new();
    if is_replicated {
        functions.push(function);
        triggers.extend(replicated);
    } else {
        // Triggers go before their function.
        unwanted = replicated;
        unwanted.push(function);
    }
    let (mut queries, mut timed) = (query::present(model), query::timed(model));
    match model.ledger.created_at {
        Some(_) => queries.append(&mut timed),
        None => unwanted.append(&mut timed),
    }
    let (mut queue, is_queued) = (Some(queue::queue(model)), model.balances.hot == Hot::Queue);
    if !is_queued {
        unwanted.extend(queue.take().filter(|_| !model.balances.is_adopted));
    }
    let mut key_indexes = if model.ledger.key_index { index::key_indexes(model) } else { Vec::new() };
    key_indexes.extend(is_incremental.then(|| records::tx_index(model)));
    Objects {
        table: table::table(model),
        checkpoint: if is_incremental { records::records(model) } else { Vec::new() },
        unique_key: model.balances.is_adopted.then(|| table::unique_key(model)),
        queue,
        functions,
        queries,
        triggers,
        unwanted,
        key_indexes,
        statistics: index::statistics(model),
        analyze: index::analyze(model),
    }
}

/// The names of the indexes of `on`, the ledger, the balances or a partition, that `migrate-balance` made.
///
/// # Errors
/// When the catalog can't be read.
pub async fn own_indexes(
    connection: &mut PgConnection,
    model: &Model,
    on: &QualifiedName,
) -> Result<Vec<String>, DbError> {
    let mut of_model = index::key_indexes(model);
    of_model.extend(model.balances.is_adopted.then(|| table::unique_key(model)));
    of_model.extend(is_incremental(model).then(|| records::tx_index(model)));
    let is_own = |index: &FoundIndex| {
        of_model
            .iter()
            .any(|object| object.part_name(on).is_some_and(|name| object.is_own_index(index, &name)))
    };
    let found = indexes(connection, &[on]).await?;
    Ok(found.into_iter().filter(is_own).map(|index| index.name).collect())
}

/// Whose the table is that has the name of the balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTable {
    /// There is none.
    Missing,
    /// Stockfoil made it, under this mapping or another.
    There,
    /// It is adopted, or not known to be Stockfoil's: it may only be used, never dropped.
    Another,
}

/// Asks Stockfoil's memory whose the table of balances is, which stands as `states` has it.
///
/// # Errors
/// Database errors.
pub async fn own_table(
    connection: &mut PgConnection,
    model: &Model,
    states: &[(&Object, State)],
) -> Result<OwnTable, Error> {
    if model.balances.is_adopted {
        return Ok(OwnTable::Another);
    }
    let state = states.iter().find(|(object, _)| object.kind == Kind::Table).map(|(_, state)| state);
    Ok(match state {
        None | Some(State::Missing) => OwnTable::Missing,
        Some(State::Intact) => OwnTable::There,
        Some(_) if mapping::made_balances(connection, &model.balances.table).await? => OwnTable::There,
        Some(_) => OwnTable::Another,
    })
}

/// Compares each of `objects` with the catalog, in their order; of the unwanted ones only those that are there.
///
/// # Errors
/// When the catalog can't be read.
pub async fn inspect<'a>(
    connection: &mut PgConnection,
    objects: &'a Objects,
) -> Result<Vec<(&'a Object, State)>, DbError> {
    let all = || objects.all().chain(&objects.unwanted);
    let of = |kind: Kind| -> Vec<&Object> { all().filter(|object| object.kind == kind).collect() };
    let names = |kind| -> Vec<&str> { of(kind).iter().map(|object| object.name.as_str()).collect() };
    let tables = |kind| -> Vec<String> { of(kind).iter().map(|object| object.table_sql()).collect() };
    let trigger_functions: Vec<&str> =
        of(Kind::Trigger).iter().map(|object| object.function.as_str()).collect();
    let tables_of_indexes: Vec<&QualifiedName> =
        of(Kind::Index).into_iter().filter_map(|object| object.table.as_ref()).collect();
    let indexes = index::indexes(&mut *connection, &tables_of_indexes).await?;
    let found: Vec<(String, String, String, Vec<String>)> = sqlx::query_as(include_str!("inspect.sql"))
        .bind(of(Kind::Table).into_iter().chain(of(Kind::Record)).map(Object::table_sql).collect::<Vec<_>>())
        .bind([names(Kind::Function), names(Kind::Query)].concat())
        .bind(tables(Kind::Trigger))
        .bind(names(Kind::Trigger))
        .bind(trigger_functions)
        .bind(tables(Kind::Statistics))
        .bind(names(Kind::Statistics))
        .bind(tables(Kind::Column))
        .bind(names(Kind::Column))
        .fetch_all(connection)
        .await
        .context("look at the balances' table, functions and triggers")?;
    let facts = |object: &Object| {
        let table = object.table_sql();
        found
            .iter()
            .find(|(kind, on, name, _)| {
                kind == object.kind.as_str() && *on == table && name == object.name.as_str()
            })
            .map(|(.., facts)| facts.as_slice())
    };
    let unwanted = objects.unwanted.iter().filter(|object| facts(object).is_some());
    Ok(objects
        .all()
        .map(|object| match object.kind {
            Kind::Index => (object, object.compare_index(&indexes)),
            _ => (object, object.compare(facts(object))),
        })
        .chain(unwanted.map(|object| (object, State::Unwanted)))
        .collect())
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
            Kind::Function | Kind::Query => State::Altered("its body or its settings were changed".into()),
            _ => self.difference(found),
        }
    }

    /// What is different about it, as far as that can be said in its own facts.
    fn difference(&self, found: &[String]) -> State {
        let different = found.iter().filter(|fact| !fact.is_empty() && !self.facts.contains(fact));
        let different: Vec<&str> = different.map(String::as_str).collect();
        State::Altered(match different.as_slice() {
            [] => "its definition was changed".into(),
            different => different.join(", "),
        })
    }
}
