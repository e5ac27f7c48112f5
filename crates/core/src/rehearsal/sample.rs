//! Some rows of each tenant table, fewer of every other table, and the rows that they refer to, over as many foreign keys
//! as it takes.
//!
//! Rows are known by their place (`ctid`) in one snapshot, in which no row moves; nothing is written to remember them.
//! They go over as PostgreSQL's own COPY prints them, so no value is read by anybody but the servers.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::stage::Stage;
use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    model::Model,
    progress::Progress,
    sql::{
        Definition, Fixed, Fragment, Ident, List, Literal, NameError, QualifiedName, Statement, all_of,
        render,
    },
};

/// What was taken along.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// How many rows.
    pub(super) count: u64,
    /// Tables whose rows were not, and why.
    pub(super) left_out: Vec<String>,
}

/// So many rows are taken of each table that is no tenant's, for functions and triggers that read it.
const OTHER_ROWS_MAX: u32 = 100;

/// So many rows are taken of each table that are to be filled, since a trigger or a check may refuse any of them.
const FILLED_ROWS_MAX: u32 = 100_000;

/// A table that holds rows itself: no partitioned one, but each of its partitions.
struct Table {
    name: QualifiedName,
    /// Those that are stored, and not generated.
    columns: List<Ident>,
    /// Whether it is no partition, and may be read.
    is_readable: bool,
}

/// A foreign key of a table that holds rows.
struct Reference {
    child: i64,
    parent: QualifiedName,
    columns: Vec<(Ident, Ident)>,
}

/// The places of rows, by the table that holds them.
type Places = BTreeMap<i64, BTreeSet<String>>;

/// Copies up to `rows` rows of each tenant table, what they refer to, and Stockfoil's own memory.
pub(super) async fn bring(
    production: &mut PgConnection,
    stage: &Stage<'_>,
    model: &Model,
    rows: u32,
    progress: &dyn Progress,
) -> Result<Sample, Error> {
    let tables = tables(production).await?;
    let references = references(production).await?;
    let mut found = Places::new();
    let mut left_out = Vec::new();
    let organizations = [&model.organizations, &model.api_keys, &model.balances.table];
    for table in model.tenant_tables.iter().chain(organizations) {
        let places = some_of(production, table, rows).await?;
        add(&mut found, places);
        let most = if rows == 0 { 0 } else { rows.max(FILLED_ROWS_MAX) };
        let places = nobodys(production, table, &model.org_column, most).await?;
        if most > 0 && places.len() as u64 >= u64::from(most) {
            left_out.push(format!(
                "rows of {} that are to be filled, past the first {}",
                table.plain(),
                places.len()
            ));
        }
        add(&mut found, places);
    }
    for table in &model.tenant_tables {
        let places = longest(production, model, table, rows).await?;
        add(&mut found, places);
    }
    // What was done already is known by these alone.
    for (oid, table) in &tables {
        let is_own = table.name.schema.as_str() == "stockfoil";
        if table.is_readable && !is_own && !found.contains_key(oid) {
            let places = some_of(production, &table.name, rows.min(OTHER_ROWS_MAX)).await?;
            add(&mut found, places);
        }
        let is_memory =
            is_own && ["change", "fill", "backfill", "migration", "move"].contains(&table.name.name.as_str());
        if is_memory || table.name.name.as_str() == "_sqlx_migrations" {
            let places = places(production, &select_places(&table.name)).await?;
            add(&mut found, places.into_iter().filter(|(of, _)| of == oid).collect());
        }
    }
    close_over(production, &tables, &references, &mut found).await?;
    let mut sample = Sample { left_out, ..Sample::default() };
    let mut admin = stage.admin().await?;
    for (oid, places) in &found {
        // What an extension made is made with it.
        let Some(table) = tables.get(oid) else { continue };
        progress.begin(&format!("rehearsal: copy rows of {}", table.name.plain()), None);
        match copy(production, &mut admin, table, places).await? {
            Ok(()) => sample.count += places.len() as u64,
            Err(words) => sample.left_out.push(format!("rows of {}: {words}", table.name.plain())),
        }
    }
    Ok(sample)
}

/// Every table that holds rows and is no extension's, by its oid.
async fn tables(production: &mut PgConnection) -> Result<BTreeMap<i64, Table>, Error> {
    let rows: Vec<(i64, String, String, Vec<String>, bool)> =
        sqlx::query_as(include_str!("sample/tables.sql"))
            .fetch_all(production)
            .await
            .context("list the tables for the rehearsal")?;
    let table = |(oid, schema, name, columns, is_readable): (i64, String, String, Vec<String>, bool)| {
        let name = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        let columns = columns.into_iter().map(Ident::new).collect::<Result<_, _>>()?;
        Ok::<_, NameError>((oid, Table { name, columns: List(columns), is_readable }))
    };
    Ok(rows.into_iter().map(table).collect::<Result<_, _>>()?)
}

/// A foreign key as the catalog has it: whose, onto what, and over which columns.
type ReferenceRow = (i64, String, String, Vec<String>, Vec<String>);

async fn references(production: &mut PgConnection) -> Result<Vec<Reference>, Error> {
    let rows: Vec<ReferenceRow> = sqlx::query_as(include_str!("sample/references.sql"))
        .fetch_all(production)
        .await
        .context("list the foreign keys for the rehearsal")?;
    let reference = |(child, schema, name, columns, parents): ReferenceRow| {
        let pairs = columns.into_iter().zip(parents);
        Ok::<_, NameError>(Reference {
            child,
            parent: QualifiedName::new(Ident::new(schema)?, Ident::new(name)?),
            columns: pairs
                .map(|(child, parent)| Ok((Ident::new(child)?, Ident::new(parent)?)))
                .collect::<Result<_, NameError>>()?,
        })
    };
    Ok(rows.into_iter().map(reference).collect::<Result<_, _>>()?)
}

fn select_places(table: &QualifiedName) -> Statement {
    render("SELECT t.tableoid::int8, t.ctid::text FROM {table} AS t", &[("table", table)])
}

/// Up to `rows` rows of `table` with its partitions: of a large one from all over it, else the first.
async fn some_of(
    production: &mut PgConnection,
    table: &QualifiedName,
    rows: u32,
) -> Result<Vec<(i64, String)>, DbError> {
    let kind: Option<(bool, i64)> = sqlx::query_as(
        "SELECT c.relkind IN ('r', 'p', 'm'),
                (SELECT coalesce(sum(greatest(l.reltuples, 0)), 0)::int8 FROM pg_class AS l
                 WHERE l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))
         FROM pg_class AS c WHERE c.oid = to_regclass($1)",
    )
    .bind(table.to_string())
    .fetch_optional(&mut *production)
    .await
    .context(format!("look at {}", table.plain()))?;
    let Some((true, estimate)) = kind else { return Ok(Vec::new()) };
    // Twice as many as are wanted, since pages are not equally full.
    let percent = i64::from(rows).saturating_mul(200) / estimate.max(1);
    let limit = Definition::number(usize::try_from(rows).unwrap_or(usize::MAX));
    let spread = render(
        " TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)",
        &[("percent", &Definition::number(usize::try_from(percent.max(1)).unwrap_or(1)))],
    );
    let select = |sample: &dyn Fragment| {
        render(
            "SELECT t.tableoid::int8, t.ctid::text FROM {table} AS t{sample} LIMIT {limit}",
            &[("table", table), ("sample", sample), ("limit", &limit)],
        )
    };
    if percent < 100 {
        let found = places(production, &select(&spread)).await?;
        if u32::try_from(found.len()).is_ok_and(|found| found >= rows) {
            return Ok(found);
        }
    }
    // Whole pages are drawn, so of a table of few pages, or of many empty ones, none may be.
    places(production, &select(&Fixed(""))).await
}

/// The rows of `table` with the longest values of each unique key that can be too long for an index, which few rows are, and of
/// the balances' key. Reads the whole table, where it has such a key.
async fn longest(
    production: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    rows: u32,
) -> Result<Vec<(i64, String)>, Error> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    let lists: Vec<Vec<String>> = sqlx::query_scalar(include_str!("sample/long_keys.sql"))
        .bind(table.to_string())
        .fetch_all(&mut *production)
        .await
        .context(format!("look for keys of {} that can be long", table.plain()))?;
    let mut keys: Vec<Vec<Statement>> = Vec::new();
    for columns in lists {
        let value = |column| Ok(render("t.{column}", &[("column", &Ident::new(column)?)]));
        keys.push(columns.into_iter().map(value).collect::<Result<_, NameError>>()?);
    }
    if *table == model.ledger.table {
        keys.extend(model.ledger.postings.iter().map(|posting| {
            let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
            terms.into_iter().flatten().map(|term| term.sql.clone()).collect()
        }));
    }
    let mut found = Vec::new();
    for values in keys {
        let sizes =
            values.iter().map(|value| render("coalesce(pg_column_size({value}), 0)", &[("value", value)]));
        let size = sizes
            .reduce(|all, next| render("{all} + {next}", &[("all", &all), ("next", &next)]))
            .unwrap_or_else(|| render("0", &[]));
        let query = render(
            "SELECT t.tableoid::int8, t.ctid::text FROM {table} AS t ORDER BY {size} DESC LIMIT 3",
            &[("table", table), ("size", &size)],
        );
        found.extend(places(production, &query).await?);
    }
    Ok(found)
}

/// Up to `rows` rows of `table` that have the organization's column already and nothing in it, which are to be filled.
async fn nobodys(
    production: &mut PgConnection,
    table: &QualifiedName,
    org: &Ident,
    rows: u32,
) -> Result<Vec<(i64, String)>, DbError> {
    let is_there = catalog::column(production, table, org).await?;
    if is_there.is_none_or(|column| column.not_null) {
        return Ok(Vec::new());
    }
    let limit = Definition::number(usize::try_from(rows).unwrap_or(usize::MAX));
    let query = render(
        "SELECT t.tableoid::int8, t.ctid::text FROM {table} AS t WHERE t.{org} IS NULL LIMIT {limit}",
        &[("table", table), ("org", org), ("limit", &limit)],
    );
    places(production, &query).await
}

async fn places(production: &mut PgConnection, query: &Statement) -> Result<Vec<(i64, String)>, DbError> {
    sqlx::query_as(query.sql()).fetch_all(production).await.context("choose rows for the rehearsal")
}

/// Adds what is new of `places` to `known`, and says what that is.
fn add(known: &mut Places, places: Vec<(i64, String)>) -> Places {
    let mut new = Places::new();
    for (table, place) in places {
        if known.entry(table).or_default().insert(place.clone()) {
            new.entry(table).or_default().insert(place);
        }
    }
    new
}

/// Adds the rows that those of `found` refer to, and what these refer to, until there is nothing new.
async fn close_over(
    production: &mut PgConnection,
    tables: &BTreeMap<i64, Table>,
    references: &[Reference],
    found: &mut Places,
) -> Result<(), DbError> {
    let mut new = found.clone();
    while !new.is_empty() {
        let mut next = Places::new();
        for reference in references {
            let (Some(places), Some(child)) = (new.get(&reference.child), tables.get(&reference.child))
            else {
                continue;
            };
            let condition = all_of(reference.columns.iter().map(|(child, parent)| {
                render("c.{child} = p.{parent}", &[("child", child), ("parent", parent)])
            }));
            let query = render(
                include_str!("sample/parents.sql"),
                &[("child", &child.name), ("parent", &reference.parent), ("condition", &condition)],
            );
            let parents: Vec<(i64, String)> = sqlx::query_as(query.sql())
                .bind(places.iter().cloned().collect::<Vec<_>>())
                .fetch_all(&mut *production)
                .await
                .context(format!("follow the foreign keys of {}", child.name.plain()))?;
            for (table, places) in add(found, parents) {
                next.entry(table).or_default().extend(places);
            }
        }
        new = next;
    }
    Ok(())
}

/// Copies the rows at `places`; the inner error is that the copy does not take them.
async fn copy(
    production: &mut PgConnection,
    admin: &mut PgConnection,
    table: &Table,
    places: &BTreeSet<String>,
) -> Result<Result<(), String>, Error> {
    if table.columns.0.is_empty() {
        return Ok(Ok(()));
    }
    let what = || format!("copy rows of {}", table.name.plain());
    let quoted: Vec<String> = places.iter().map(|place| format!("\"{place}\"")).collect();
    let places = Literal::new(&format!("{{{}}}", quoted.join(",")));
    let fragments: [(&str, &dyn Fragment); 3] =
        [("columns", &table.columns), ("table", &table.name), ("places", &places)];
    let out = render(
        "COPY (SELECT {columns} FROM ONLY {table} WHERE ctid = ANY ({places}::tid[])) TO STDOUT",
        &fragments,
    );
    let into = render("COPY {table} ({columns}) FROM STDIN", &fragments);
    let mut rows = production.copy_out_raw(out.as_str()).await.context(what())?;
    let mut sink = admin.copy_in_raw(into.as_str()).await.context(what())?;
    while let Some(part) = rows.try_next().await.context(what())? {
        if sink.send(part).await.is_err() {
            break;
        }
    }
    // What is left of them is read off before the next statement.
    Ok(sink.finish().await.map(drop).map_err(|error| error.to_string()))
}
