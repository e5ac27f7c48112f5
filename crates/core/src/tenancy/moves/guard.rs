//! That a move changes the organization of no row but those that it counts and records.
//!
//! A foreign key with an action, a trigger or a rule may carry rows of any table along. None of that is foreseen here: the
//! server counts what a transaction does to each table, and where it did more than was asked, the move is made once more in
//! one snapshot, and what every other row holds is compared: what others write meanwhile is not seen there.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{super::TenancyError, DataError, Graph};
use crate::{
    Error, catalog,
    db::{Context as _, DbError, sqlstate},
    model::Model,
    sql::{Definition, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// Whether a transaction can tell what a move did to other rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tenancy) enum Sight {
    /// It counts what it writes; each statement sees what others have committed.
    Counting,
    /// It sees one snapshot and what it writes itself, so that what other rows hold can be compared.
    Comparing,
}

impl Sight {
    /// The statement that begins such a transaction.
    pub(in crate::tenancy) fn begin(self) -> &'static str {
        match self {
            Self::Counting => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::Comparing => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        }
    }

    /// Refuses to take a move of rows of `table` for one that wrote nothing else where that can't be told.
    pub(in crate::tenancy) fn require_comparing(self, table: &QualifiedName) -> Result<(), DataError> {
        match self {
            Self::Counting => Err(DataError::Uncompared(table.plain())),
            Self::Comparing => Ok(()),
        }
    }
}

/// Whether the transaction has to be made once more, comparing.
pub(in crate::tenancy) fn must_compare(error: &Error) -> bool {
    matches!(error, Error::Tenancy(TenancyError::Data(DataError::Uncompared(_))))
}

/// Whether somebody else has written what a transaction that compares wrote.
pub(in crate::tenancy) fn was_overtaken(error: &Error) -> bool {
    error.sqlstate().as_deref() == Some("40001")
}

/// How many rows of each table a transaction has changed or deleted so far.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tenancy) struct Written {
    rows: BTreeMap<QualifiedName, i64>,
    with: Balances,
}

/// Whether a move may write balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tenancy) enum Balances {
    /// They follow the entries that move.
    Follow,
    /// They stay as they are.
    Stay,
}

impl Balances {
    /// Where rows of `table` move.
    pub(in crate::tenancy) fn beside(model: &Model, table: &QualifiedName) -> Self {
        if *table == model.ledger.table { Self::Follow } else { Self::Stay }
    }
}

/// What tables hold beside the rows that move: a digest each.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tenancy) struct Others(Vec<(QualifiedName, String)>);

/// Counts what the transaction has done to the tables that say whose their rows are, but for balances that follow the
/// ledger.
pub(in crate::tenancy) async fn written(
    connection: &mut PgConnection,
    model: &Model,
    with: Balances,
) -> Result<Written, Error> {
    let counts: bool = sqlx::query_scalar("SELECT current_setting('track_counts')::boolean")
        .fetch_one(&mut *connection)
        .await
        .context("look whether the server counts")?;
    if !counts {
        match sqlx::query("SET LOCAL track_counts = on").execute(&mut *connection).await {
            Err(error) if sqlstate(&error).as_deref() == Some("42501") => {
                return Err(DataError::NotCounted.into());
            }
            set => set.context("let the server count")?,
        };
    }
    let rows: Vec<(String, String, i64)> = sqlx::query_as(include_str!("guard/written.sql"))
        .bind(model.org_column.as_str())
        .bind(Some(model.balances.table.to_string()).filter(|_| with == Balances::Follow))
        .fetch_all(connection)
        .await
        .context("count the rows that were written")?;
    let mut written = BTreeMap::new();
    for (schema, table, rows) in rows {
        written.insert(QualifiedName::new(Ident::new(schema)?, Ident::new(table)?), rows);
    }
    Ok(Written { rows: written, with })
}

/// Lets what was deferred happen now, while it can still be seen.
pub(in crate::tenancy) async fn settle(connection: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("SET CONSTRAINTS ALL IMMEDIATE")
        .execute(connection)
        .await
        .context("check what was deferred")?;
    Ok(())
}

impl Written {
    /// The tables of which more rows were written since than were `asked` for.
    pub(in crate::tenancy) async fn beyond(
        &self,
        connection: &mut PgConnection,
        model: &Model,
        asked: &[(&QualifiedName, usize)],
    ) -> Result<Vec<QualifiedName>, Error> {
        let now = written(connection, model, self.with).await?;
        let more = now.rows.into_iter().filter(|(name, rows)| {
            let asked = asked.iter().find(|(table, _)| *table == name).map_or(0, |(_, rows)| *rows);
            let asked = i64::try_from(asked).unwrap_or(i64::MAX);
            rows - self.rows.get(name).copied().unwrap_or(0) > asked
        });
        Ok(more.map(|(name, _)| name).collect())
    }
}

/// What `tables` hold but for the rows of `moving` with these keys.
pub(in crate::tenancy) async fn others(
    connection: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    tables: &[QualifiedName],
    moving: &QualifiedName,
    keys: &[String],
) -> Result<Others, Error> {
    let mut others = Vec::with_capacity(tables.len());
    for table in tables {
        let known =
            graph.place(table).map(|place| &graph.tables[place]).filter(|table| !table.key.is_empty());
        let identity: Statement = match known {
            Some(known) => known.key_text("t"),
            None => identity(&catalog::primary_key(connection, table).await?),
        };
        let more: [(&str, &dyn Fragment); 2] = [("table", table), ("identity", &identity)];
        let statement = model.render_with(include_str!("guard/others.sql"), &more);
        let digest: String = sqlx::query_scalar(statement.sql())
            .persistent(false)
            .bind(if table == moving { keys } else { &[] })
            .fetch_one(&mut *connection)
            .await
            .context(format!("look at the other rows of {}", table.plain()))?;
        others.push((table.clone(), digest));
    }
    Ok(Others(others))
}

/// What tells rows apart of a table that is none of those that move: all that they hold where they have no primary key.
fn identity(key: &[(Ident, Definition)]) -> Statement {
    let columns: Vec<Statement> =
        key.iter().map(|(name, _)| render("t.{name}::text", &[("name", name)])).collect();
    match columns.is_empty() {
        // A column may be called `t` too, and would be what `t::text` is of.
        true => render("ROW(t.*)::text", &[]),
        false => render("jsonb_build_array({columns})::text", &[("columns", &List(columns))]),
    }
}

impl Others {
    /// Refuses a move of rows of `moving` after which other rows are not what they were.
    pub(in crate::tenancy) fn require(&self, after: &Self, moving: &QualifiedName) -> Result<(), DataError> {
        let changed: Vec<String> = self
            .0
            .iter()
            .zip(&after.0)
            .filter(|(before, after)| before != after)
            .map(|((table, _), _)| table.plain())
            .collect();
        match changed.is_empty() {
            true => Ok(()),
            false => Err(DataError::Carried { table: moving.plain(), others: changed.join(", ") }),
        }
    }
}
