//! Lookups by the unique keys that there were: by which index each finds its rows, before and after.
//!
//! On the copy the planner is kept from reading the whole table where it has any index to go by, so what it does with a few
//! rows is what it can do with many. What a lookup without an index would cost is asked of the database itself, which has
//! the statistics.

use sqlx::{Connection as _, PgConnection};

use super::report::{LookupChange, LookupCost};
use crate::{
    Error, catalog,
    db::{Context as _, DbError, sqlstate},
    model::Model,
    sql::{Definition, Fixed, Fragment, Ident, QualifiedName, Statement, all_of, render},
};

/// A lookup that went by an index.
pub(super) struct Lookup {
    table: QualifiedName,
    columns: Vec<String>,
    query: Statement,
    index: String,
}

/// The lookups by each unique key of plain columns in the tables of `model`, which go by an index.
pub(super) async fn before(session: &mut PgConnection, model: &Model) -> Result<Vec<Lookup>, Error> {
    let mut lookups = Vec::new();
    for table in &model.tenant_tables {
        for key in catalog::unique_keys(session, table).await? {
            let columns: Vec<String> = key.columns.iter().flatten().cloned().collect();
            // A part that is an expression has no column.
            if columns.len() != key.columns.len() {
                continue;
            }
            let query = query(table, &columns, key.predicate.as_ref().map(|text| text as &dyn Fragment))?;
            if let Some(index) = index_of(session, &query, &columns).await? {
                lookups.push(Lookup { table: table.clone(), columns, query, index });
            }
        }
    }
    Ok(lookups)
}

/// Those of `lookups` that go by another index now, or by none; `production` is only asked.
pub(super) async fn changes(
    session: &mut PgConnection,
    production: &mut PgConnection,
    lookups: &[Lookup],
) -> Result<Vec<LookupChange>, Error> {
    let mut changes = Vec::new();
    for lookup in lookups {
        // A way back takes columns along, and with them the lookups by them.
        let mut is_there = true;
        for column in &lookup.columns {
            let name = Ident::new(column.clone())?;
            is_there &= catalog::column(session, &lookup.table, &name).await?.is_some();
        }
        if !is_there {
            continue;
        }
        let after = index_of(session, &lookup.query, &lookup.columns).await?;
        if after.as_ref() != Some(&lookup.index) {
            let cost = match &after {
                Some(_) => None,
                None => cost(production, &lookup.query).await?,
            };
            changes.push(LookupChange {
                table: lookup.table.plain(),
                columns: lookup.columns.join(", "),
                before: lookup.index.clone(),
                after,
                cost,
            });
        }
    }
    Ok(changes)
}

/// A lookup of the row of `table` that has the values of some row in `columns`.
fn query(
    table: &QualifiedName,
    columns: &[String],
    predicate: Option<&dyn Fragment>,
) -> Result<Statement, Error> {
    let mut conditions = Vec::new();
    for column in columns {
        let column = Ident::new(column.clone())?;
        conditions.push(render(
            "t.{column} = (SELECT s.{column} FROM {table} AS s LIMIT 1)",
            &[("column", &column), ("table", table)],
        ));
    }
    let condition = all_of(conditions);
    let predicate = predicate.unwrap_or(&Fixed("true"));
    Ok(render(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} AS t WHERE {condition} AND {predicate}",
        &[("table", table), ("condition", &condition), ("predicate", predicate)],
    ))
}

/// What `query` costs by the statistics of `production`, as it is and without any index; none where it can't be planned
/// there, since a predicate names what only the application's search path finds.
async fn cost(production: &mut PgConnection, query: &Statement) -> Result<Option<LookupCost>, DbError> {
    const WITHOUT: &str = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off";
    let mut transaction = production.begin().await?;
    let costs = async {
        let before: serde_json::Value = sqlx::query_scalar(query.sql()).fetch_one(&mut *transaction).await?;
        sqlx::raw_sql(WITHOUT).execute(&mut *transaction).await?;
        let after: serde_json::Value = sqlx::query_scalar(query.sql()).fetch_one(&mut *transaction).await?;
        Ok::<_, sqlx::Error>([before, after].map(|plan| plan[0]["Plan"]["Total Cost"].as_f64()))
    };
    let costs = costs.await;
    transaction.rollback().await?;
    Ok(match costs {
        Ok([Some(before), Some(after)]) => Some(LookupCost { before, after }),
        Ok(_) => None,
        Err(error) if sqlstate(&error).is_some() => None,
        Err(error) => {
            return Err(DbError::Statement { context: "ask what a lookup costs".into(), cause: error });
        }
    })
}

/// The index that begins with one of `columns` and finds the rows of `query`; none: the table is read whole. Where the planner
/// prefers another one, as it may with a few rows, it is asked again without that.
async fn index_of(
    session: &mut PgConnection,
    query: &Statement,
    columns: &[String],
) -> Result<Option<String>, DbError> {
    let mut transaction = session.begin().await?;
    let found = async {
        sqlx::raw_sql("SET LOCAL enable_seqscan = off").execute(&mut *transaction).await?;
        loop {
            let plan: serde_json::Value =
                sqlx::query_scalar(query.sql()).persistent(false).fetch_one(&mut *transaction).await?;
            let found = indexes(&plan[0]["Plan"]);
            let mut others = Vec::new();
            for index in &found {
                let (first, drop): (Option<String>, String) =
                    sqlx::query_as(include_str!("lookups/index.sql"))
                        .bind(index)
                        .fetch_one(&mut *transaction)
                        .await?;
                if first.is_some_and(|first| columns.contains(&first)) {
                    return Ok(Some(index.clone()));
                }
                others.push(render("{drop}", &[("drop", &Definition::from_catalog(drop))]));
            }
            if others.is_empty() {
                return Ok(None);
            }
            for other in others {
                // An application's event trigger may keep it there.
                if sqlx::raw_sql(other.sql()).execute(&mut *transaction).await.is_err() {
                    return Ok(None);
                }
            }
        }
    };
    let found: Result<_, sqlx::Error> = found.await;
    transaction.rollback().await?;
    found.context("ask how a lookup finds its rows")
}

/// The indexes that a plan finds rows of `t` by, with a condition.
fn indexes(plan: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    // The scans of what is compared with are the plan's own sub-plans.
    if plan["Index Cond"].is_string() && plan["Parent Relationship"] != "InitPlan" {
        found.extend(plan["Index Name"].as_str().map(str::to_owned));
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        if child["Parent Relationship"] != "InitPlan" {
            found.extend(indexes(child));
        }
    }
    found
}
