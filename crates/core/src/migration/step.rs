//! A step of an online migration: what it does, which lock it takes, and how the catalog shows that it is done.

use serde::Serialize;
use sqlx::{PgConnection, postgres::PgArguments};

use crate::{
    balance,
    db::{Context as _, DbError},
    model::Model,
    sql::{Ident, QualifiedName, Statement, render},
};

/// PostgreSQL's table locks that a step takes, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Lock {
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
    /// The name that PostgreSQL's manual gives it.
    pub fn name(self) -> &'static str {
        match self {
            Lock::None => "none",
            Lock::RowExclusive => "ROW EXCLUSIVE",
            Lock::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Lock::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Lock::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whether somebody who only reads or writes rows may have to wait for it.
    pub fn blocks_rows(self) -> bool {
        self >= Lock::ShareRowExclusive
    }
}

/// How a step's statements are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// All in one short transaction.
    Short,
    /// Outside a transaction, as CREATE INDEX CONCURRENTLY wants, without a lock timeout: under one it dies on
    /// an old snapshot.
    Concurrent,
    /// A scan that blocks no reader and no writer, in one transaction without a lock timeout.
    Scan,
    /// The first statement again and again, each time its own transaction, until it changes no row; then the rest.
    Batches,
}

/// What holds when a step is done.
#[derive(Debug, Clone)]
pub enum Goal {
    /// A question to the catalog whose answer is whether it holds.
    Query {
        /// Answers one boolean.
        query: Statement,
        /// Its parameters, all texts.
        binds: Vec<String>,
        /// A table that it reads; the goal is not met while that is not there.
        table: Option<QualifiedName>,
    },
    /// Parts of the balances are there with their definitions.
    Intact {
        /// The model that the parts are of.
        model: Box<Model>,
        /// The parts.
        parts: Vec<(balance::Kind, Option<QualifiedName>, Ident)>,
    },
}

impl Goal {
    /// `query` answers one boolean; its parameters are texts.
    pub fn new<const N: usize>(query: &'static str, binds: [String; N]) -> Self {
        Self::Query { query: render(query, &[]), binds: binds.into(), table: None }
    }

    /// As [`new`](Self::new), asked of `table` itself; not met while there is no such table.
    pub fn of_table<const N: usize>(table: &QualifiedName, query: &'static str, binds: [String; N]) -> Self {
        Self::Query {
            query: render(query, &[("table", table)]),
            binds: binds.into(),
            table: Some(table.clone()),
        }
    }

    /// Each of `parts` is there with its definition.
    pub fn intact<'a>(model: &Model, parts: impl IntoIterator<Item = &'a balance::Object>) -> Self {
        let parts =
            parts.into_iter().map(|part| (part.kind, part.table.clone(), part.name.clone())).collect();
        Self::Intact { model: Box::new(model.clone()), parts }
    }

    /// Asks.
    ///
    /// # Errors
    /// Database errors.
    pub async fn is_met(&self, connection: &mut PgConnection) -> Result<bool, DbError> {
        match self {
            Goal::Query { query, binds, table } => ask(connection, query, binds, table.as_ref()).await,
            Goal::Intact { model, parts } => {
                let objects = balance::objects(model);
                let states = balance::inspect(connection, &objects).await?;
                Ok(states
                    .iter()
                    .filter(|(object, _)| {
                        parts.iter().any(|(kind, table, name)| {
                            (*kind, table, name) == (object.kind, &object.table, &object.name)
                        })
                    })
                    .all(|(_, state)| *state == balance::State::Intact))
            }
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does, as an imperative phrase.
    pub title: String,
    /// The tables that its lock is on.
    pub tables: Vec<QualifiedName>,
    /// The strongest lock that it takes on a table that others use.
    pub lock: Lock,
    /// Whether it reads a whole table.
    pub scans: bool,
    /// How it is run.
    pub run: Run,
    /// What it sends.
    pub statements: Vec<Statement>,
    /// The parameters of a repeated statement.
    pub binds: Vec<String>,
    /// An index left over from a killed build, which goes first: CREATE INDEX CONCURRENTLY leaves it INVALID.
    pub leftover: Option<QualifiedName>,
    /// How the catalog shows that it is done.
    pub goal: Goal,
}

impl Step {
    /// A step of one short transaction.
    pub fn short(
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
            scans: false,
            run: Run::Short,
            statements,
            binds: Vec::new(),
            leftover: None,
            goal,
        }
    }

    /// A step that builds `index` on `table` concurrently.
    pub fn index(
        title: String,
        table: QualifiedName,
        index: QualifiedName,
        create: Statement,
        goal: Goal,
    ) -> Self {
        Self {
            leftover: Some(index),
            scans: true,
            run: Run::Concurrent,
            ..Self::short(title, Lock::ShareUpdateExclusive, vec![table], vec![create], goal)
        }
    }

    /// One of its statements, with the parameters bound.
    pub(super) fn query<'q>(
        &'q self,
        statement: &Statement,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, PgArguments> {
        self.binds.iter().fold(sqlx::query(statement.sql()), |query, bind| query.bind(bind))
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
    /// Whether it reads a whole table.
    pub scans: bool,
    /// The planner's estimate of that table's rows.
    pub rows_estimate: Option<i64>,
    /// What it sends.
    pub sql: Vec<String>,
    /// How long it took, in milliseconds; none in a plan.
    pub duration_ms: Option<u64>,
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
