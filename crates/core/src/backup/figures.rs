//! The numbers by which a restored database is held against the one that it was made from.
//!
//! The production database moves on between a backup and its seal. So the ledger is compared up to a moment before
//! which no transaction was under way any more: its entries from before then are counted, and a digest is made of
//! them that doesn't depend on their order: the sum of the first 64 bits of each row's MD5. That presumes what the ledger is: entries are added, and carry the time of their transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    migration::versioned,
    model::Model,
    sql::{Ident, QualifiedName, render},
};

/// What is counted in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// The database's name.
    pub(super) database: String,
    /// The cluster's system identifier; none where the role may not ask for it.
    pub(super) system_identifier: Option<String>,
    /// The newest applied migration; none where there is no record of migrations.
    pub(super) migration_head: Option<i64>,
    /// Rows by table, for the tables of the inventory that are there.
    pub(super) rows: BTreeMap<String, u64>,
    /// The ledger's entries up to a moment; none where no entry tells when it was made.
    pub(super) entries: Option<Entries>,
}

/// The ledger's entries from before a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entries {
    /// The moment.
    pub(super) before: DateTime<Utc>,
    /// How many there are.
    pub(super) count: u64,
    /// Their digest.
    pub(super) digest: String,
}

/// A moment before which no transaction of this database is under way.
///
/// # Errors
/// When the database refuses.
pub(super) async fn settled(session: &mut PgConnection) -> Result<DateTime<Utc>, DbError> {
    sqlx::query_scalar(include_str!("figures/settled.sql"))
        .fetch_one(session)
        .await
        .context("look for the oldest transaction")
}

/// Reads the figures, in one snapshot, with the entries from before `before`.
///
/// # Errors
/// When the database refuses.
pub(super) async fn read(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
) -> Result<Figures, Error> {
    for statement in [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        // Rows must read the same here as in the other database.
        "SET LOCAL bytea_output = 'hex'",
        "SET LOCAL extra_float_digits = 1",
        "SET LOCAL IntervalStyle = 'postgres'",
    ] {
        sqlx::query(statement).execute(&mut *session).await.context("begin a snapshot")?;
    }
    let figures = read_snapshot(session, model, before).await;
    sqlx::query("ROLLBACK").execute(&mut *session).await.context("end the snapshot")?;
    figures
}

/// When the newest entry of the ledger was made, of those whose time is of this age: infinite and far times say nothing.
///
/// # Errors
/// When the database refuses.
pub(super) async fn newest_entry(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Option<DateTime<Utc>>, DbError> {
    let Some(created_at) = &model.ledger.created_at else { return Ok(None) };
    let statement =
        model.render_with(include_str!("figures/newest_entry.sql"), &[("created_at", created_at)]);
    sqlx::query_scalar(statement.sql()).fetch_one(session).await.context("look for the newest entry")
}

/// The tables of the inventory, and their partitions, that are UNLOGGED.
///
/// # Errors
/// When the database refuses.
pub(super) async fn unlogged(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<QualifiedName>, DbError> {
    let names: Vec<String> = tables(model).map(ToString::to_string).collect();
    let found: Vec<(String, String)> = sqlx::query_as(include_str!("figures/unlogged.sql"))
        .bind(names)
        .fetch_all(session)
        .await
        .context("look for unlogged tables")?;
    // A name from the catalog is one.
    let name = |(schema, name)| Some(QualifiedName::new(Ident::new(schema).ok()?, Ident::new(name).ok()?));
    Ok(found.into_iter().filter_map(name).collect())
}

/// The rows of every table that holds any, of PostgreSQL's own and extensions' aside.
///
/// # Errors
/// When the database refuses.
pub(super) async fn all_rows(session: &mut PgConnection) -> Result<BTreeMap<(String, String), u64>, Error> {
    let tables: Vec<(String, String, f32)> = sqlx::query_as(include_str!("witness/tables.sql"))
        .fetch_all(&mut *session)
        .await
        .context("list the tables")?;
    let mut rows = BTreeMap::new();
    for (schema, name, _) in tables {
        // A name from the catalog is one.
        let (Ok(of), Ok(table)) = (Ident::new(schema.clone()), Ident::new(name.clone())) else { continue };
        let table = QualifiedName::new(of, table);
        let statement = render("SELECT count(*) FROM {table}", &[("table", &table)]);
        let count: i64 = sqlx::query_scalar(statement.sql())
            .fetch_one(&mut *session)
            .await
            .context(format!("count the rows of {}", table.plain()))?;
        rows.insert((schema, name), count.unsigned_abs());
    }
    Ok(rows)
}

/// The tables whose rows are counted.
fn tables(model: &Model) -> impl Iterator<Item = &QualifiedName> {
    model.tenant_tables.iter().chain([&model.organizations, &model.balances.table])
}

/// The cluster's system identifier; none where the role may not ask for it.
///
/// # Errors
/// When the database refuses.
pub(super) async fn system_identifier(session: &mut PgConnection) -> Result<Option<String>, DbError> {
    let ask = "look for the system identifier";
    let may_ask: bool =
        sqlx::query_scalar("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
            .fetch_one(&mut *session)
            .await
            .context(ask)?;
    if !may_ask {
        return Ok(None);
    }
    let text = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    sqlx::query_scalar(text).fetch_one(&mut *session).await.context(ask).map(Some)
}

async fn read_snapshot(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
) -> Result<Figures, Error> {
    let database = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *session).await?;
    let system_identifier = system_identifier(session).await?;
    let migration_head = versioned::head(session).await?;
    let mut rows = BTreeMap::new();
    for table in tables(model) {
        if !catalog::is_there(session, &table.to_string()).await? {
            continue;
        }
        let statement = model.render_with("SELECT count(*) FROM {table}", &[("table", table)]);
        let count: i64 = sqlx::query_scalar(statement.sql())
            .fetch_one(&mut *session)
            .await
            .context(format!("count the rows of {}", table.plain()))?;
        rows.insert(table.plain(), count.unsigned_abs());
    }
    let entries = match &model.ledger.created_at {
        None => None,
        Some(created_at) => {
            let statement =
                model.render_with(include_str!("figures/entries.sql"), &[("created_at", created_at)]);
            let (count, digest): (i64, String) = sqlx::query_as(statement.sql())
                .bind(before)
                .fetch_one(session)
                .await
                .context("make the digest of the ledger")?;
            Some(Entries { before, count: count.unsigned_abs(), digest })
        }
    };
    Ok(Figures { database, system_identifier, migration_head, rows, entries })
}
