//! A step of an online migration: what it does, which lock it takes, how the catalog shows that it is done, and what
//! has to be remembered so that it can be undone.

use serde::Serialize;
use sqlx::PgConnection;

use super::fill::Fill;
use crate::{
    balance,
    db::{Context as _, DbError},
    model::Model,
    sql::{Ident, QualifiedName, Statement, render},
};

/// PostgreSQL's table locks that a step takes, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Lock {
    /// Only on what the step itself creates.
    None,
    /// As an ordinary write.
    RowExclusive,
    /// Readers and writers go on; another schema change waits.
    ShareUpdateExclusive,
    /// Readers go on, writers wait.
    ShareRowExclusive,
    /// Readers and writers wait.
    AccessExclusive,
}

impl Lock {
    /// Each, the strongest first.
    const STRONGEST_FIRST: [Lock; 5] = [
        Lock::AccessExclusive,
        Lock::ShareRowExclusive,
        Lock::ShareUpdateExclusive,
        Lock::RowExclusive,
        Lock::None,
    ];

    /// The name that PostgreSQL's manual gives it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Lock::None => "none",
            Lock::RowExclusive => "ROW EXCLUSIVE",
            Lock::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Lock::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Lock::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whether somebody who only reads or writes rows may have to wait for it.
    pub(super) fn blocks_rows(self) -> bool {
        self >= Lock::ShareRowExclusive
    }

    /// The modes, as `pg_locks` spells them, that it can't be held beside.
    pub(super) fn conflicts(self) -> &'static [&'static str] {
        match self {
            Lock::None => &[],
            Lock::RowExclusive => {
                &["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]
            }
            Lock::ShareUpdateExclusive => &[
                "ShareUpdateExclusiveLock",
                "ShareLock",
                "ShareRowExclusiveLock",
                "ExclusiveLock",
                "AccessExclusiveLock",
            ],
            Lock::ShareRowExclusive => &[
                "RowExclusiveLock",
                "ShareUpdateExclusiveLock",
                "ShareLock",
                "ShareRowExclusiveLock",
                "ExclusiveLock",
                "AccessExclusiveLock",
            ],
            Lock::AccessExclusive => &[
                "AccessShareLock",
                "RowShareLock",
                "RowExclusiveLock",
                "ShareUpdateExclusiveLock",
                "ShareLock",
                "ShareRowExclusiveLock",
                "ExclusiveLock",
                "AccessExclusiveLock",
            ],
        }
    }
}

/// How a step's statements are run.
#[derive(Debug, Clone)]
pub(super) enum Run {
    /// All in one short transaction, tried until its lock is had.
    Short,
    /// Outside a transaction, as CREATE INDEX CONCURRENTLY wants, without a lock timeout: under one it dies on
    /// an old snapshot.
    Concurrent,
    /// A scan that blocks no reader and no writer, without a lock timeout.
    Scan,
    /// The rows are given to the default organization in batches; then the statements, in one short transaction.
    Fill(Box<Fill>),
    /// As [`Scan`](Run::Scan), and when a row is found that breaks the constraint, the rows are filled again first.
    Refill(Box<Fill>),
}

/// What a step costs beyond its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// It changes the catalog only, whatever the size of the table.
    Catalog,
    /// It reads the whole table.
    Read,
    /// It reads the whole table and builds an index.
    Index,
    /// It writes rows.
    Fill,
}

/// What a step changes for the application's statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// This unique key goes, and no statement can name it any more.
    EndsKey(String),
    /// Lookups by this key go by another index from then on.
    MovesLookup(String),
    /// Lookups that this index kept fast read the whole table.
    EndsLookup(String),
}

/// What holds when a step is done.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    /// A question to the catalog whose answer is whether it holds.
    Query {
        /// Answers one boolean.
        query: Statement,
        /// Its parameters, all texts.
        binds: Vec<String>,
        /// A table that it reads; the goal is not met while that is not there.
        table: Option<QualifiedName>,
    },
    /// Parts of the balances are all in one state.
    Parts {
        /// The model that the parts are of.
        model: Box<Model>,
        /// The parts.
        parts: Vec<(balance::Kind, Option<QualifiedName>, Ident)>,
        /// The state.
        state: balance::State,
    },
}

impl Goal {
    /// `query` answers one boolean; its parameters are texts.
    pub(super) fn new<const N: usize>(query: &'static str, binds: [String; N]) -> Self {
        Self::Query { query: render(query, &[]), binds: binds.into(), table: None }
    }

    /// As [`new`](Self::new), asked of `table` itself; not met while there is no such table.
    pub(super) fn of_table<const N: usize>(
        table: &QualifiedName,
        query: &'static str,
        binds: [String; N],
    ) -> Self {
        Self::Query {
            query: render(query, &[("table", table)]),
            binds: binds.into(),
            table: Some(table.clone()),
        }
    }

    /// The table is there, with these columns among its own.
    pub(super) fn has_columns(table: &QualifiedName, columns: &str) -> Self {
        Self::new(include_str!("goals/table.sql"), [table.to_string(), columns.to_owned()])
    }

    /// The state of a CHECK constraint of `table`: `there`, `valid`, or `gone`.
    pub(super) fn check(table: &QualifiedName, check: &Ident, state: &str) -> Self {
        Self::new(include_str!("goals/check.sql"), [table.to_string(), check.as_str().into(), state.into()])
    }

    /// The relation `name` is not there (any more).
    pub(super) fn gone(name: &QualifiedName) -> Self {
        Self::new("SELECT to_regclass($1) IS NULL", [name.to_string()])
    }

    /// Each of `parts` is in `state`.
    pub(super) fn parts<'a>(
        model: &Model,
        parts: impl IntoIterator<Item = &'a balance::Object>,
        state: balance::State,
    ) -> Self {
        let parts =
            parts.into_iter().map(|part| (part.kind, part.table.clone(), part.name.clone())).collect();
        Self::Parts { model: Box::new(model.clone()), parts, state }
    }

    /// Asks.
    ///
    /// # Errors
    /// Database errors.
    pub(crate) async fn is_met(&self, connection: &mut PgConnection) -> Result<bool, DbError> {
        match self {
            Goal::Query { query, binds, table } => ask(connection, query, binds, table.as_ref()).await,
            Goal::Parts { model, parts, state: wanted } => {
                let objects = balance::objects(model);
                let states = balance::inspect(connection, &objects).await?;
                Ok(states
                    .iter()
                    .filter(|(object, _)| {
                        parts.iter().any(|(kind, table, name)| {
                            (*kind, table, name) == (object.kind, &object.table, &object.name)
                        })
                    })
                    .all(|(_, state)| state == wanted))
            }
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// What it does, as an imperative phrase.
    pub(super) title: String,
    /// The tables that its lock is on, the quiet one first; each with its partitions.
    pub(super) tables: Vec<QualifiedName>,
    /// The strongest lock that it takes on a table that others use.
    pub(super) lock: Lock,
    /// What it costs beyond its lock.
    pub(super) work: Work,
    /// How it is run.
    pub(super) run: Run,
    /// What it sends.
    pub(super) statements: Vec<Statement>,
    /// The tables outside Stockfoil's own schema that it makes and that are Stockfoil's.
    pub(super) makes: Vec<QualifiedName>,
    /// What it lets others do with what it makes: nobody else may, whatever default privileges say.
    pub(super) grants: Vec<Statement>,
    /// What it notes in `stockfoil.change`, in the same transaction where it has one, else before: what it is about
    /// to make, alter or drop, and what was there.
    pub(super) remember: Vec<Statement>,
    /// An index left over from a killed build, which goes first: CREATE INDEX CONCURRENTLY leaves it INVALID.
    pub(super) leftover: Option<QualifiedName>,
    /// What it changes for the application's statements, if anything.
    pub(super) effect: Option<Effect>,
    /// How the catalog shows that it is done.
    pub(super) goal: Goal,
}

impl Step {
    /// A step of one short transaction that changes the catalog only.
    pub(super) fn short(
        title: String,
        lock: Lock,
        tables: Vec<QualifiedName>,
        statements: Vec<Statement>,
        goal: Goal,
    ) -> Self {
        Self {
            title,
            tables,
            lock,
            work: Work::Catalog,
            run: Run::Short,
            statements,
            makes: Vec::new(),
            grants: Vec::new(),
            remember: Vec::new(),
            leftover: None,
            effect: None,
            goal,
        }
    }

    /// A step that builds `index` on `table` concurrently.
    pub(super) fn index(
        title: String,
        table: QualifiedName,
        index: QualifiedName,
        create: Vec<Statement>,
        goal: Goal,
    ) -> Self {
        Self {
            leftover: Some(index),
            work: Work::Index,
            run: Run::Concurrent,
            ..Self::short(title, Lock::ShareUpdateExclusive, vec![table], create, goal)
        }
    }

    /// A step that reads `tables` whole under a lock that blocks no rows.
    pub(super) fn scan(title: String, tables: Vec<QualifiedName>, statement: Statement, goal: Goal) -> Self {
        Self {
            work: Work::Read,
            run: Run::Scan,
            ..Self::short(title, Lock::ShareUpdateExclusive, tables, vec![statement], goal)
        }
    }

    /// The step, which makes `table` for Stockfoil.
    #[must_use]
    pub(super) fn making(mut self, table: &QualifiedName) -> Self {
        self.makes.push(table.clone());
        self
    }

    /// The step, which then runs `grant`.
    #[must_use]
    pub(super) fn granting(mut self, grant: Statement) -> Self {
        self.grants.push(grant);
        self
    }

    /// The step, which changes this for the application's statements.
    #[must_use]
    pub(super) fn meaning(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// The step, which notes `change` too.
    #[must_use]
    pub(super) fn remembering(mut self, change: Statement) -> Self {
        self.remember.push(change);
        self
    }
}

/// A step as a plan or a report shows it.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// What it does.
    pub title: String,
    /// The tables that its lock is on.
    pub tables: Vec<String>,
    /// The strongest lock that it takes on them.
    pub lock: &'static str,
    /// What it costs beyond its lock.
    pub work: Work,
    /// The planner's estimate of the rows that it goes through; none for a change of the catalog.
    pub rows_estimate: Option<i64>,
    /// About how long it lasts once it has its lock, in milliseconds, judged by the size of its table.
    pub estimate_ms: Option<i64>,
    /// What it changes for the application's statements, if anything.
    pub effect: Option<Effect>,
    /// What it sends.
    pub sql: Vec<String>,
    /// How long it took, in milliseconds, waiting included; none in a plan.
    pub duration_ms: Option<u64>,
    /// How much of that it waited for other sessions, in milliseconds.
    pub waited_ms: Option<u64>,
}

/// The strongest lock that one of `steps` takes.
pub(super) fn strongest_lock<'a>(steps: impl Iterator<Item = &'a StepReport> + Clone) -> &'static str {
    let names = Lock::STRONGEST_FIRST.into_iter().map(Lock::name);
    names.into_iter().find(|name| steps.clone().any(|step| step.lock == *name)).unwrap_or(Lock::None.name())
}

async fn ask(
    connection: &mut PgConnection,
    query: &Statement,
    binds: &[String],
    table: Option<&QualifiedName>,
) -> Result<bool, DbError> {
    const ASK: &str = "ask the catalog whether a step is done";
    if let Some(table) = table {
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table.to_string())
            .fetch_one(&mut *connection)
            .await
            .context(ASK)?;
        if !there {
            return Ok(false);
        }
    }
    let query = binds.iter().fold(sqlx::query_scalar(query.sql()), |query, bind| query.bind(bind));
    query.fetch_one(connection).await.context(ASK)
}
