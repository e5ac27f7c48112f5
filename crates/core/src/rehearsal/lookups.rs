//! Lookups by the unique keys that there were: by which index each finds its rows, before and after.
//!
//! On the copy the planner is kept from reading the whole table where it has any index to go by, so what it does with a few
//! rows is what it can do with many. What a lookup without an index would cost is asked of the database itself, which has
//! the statistics.

use sqlx::{Connection as _, PgConnection};

use super::report::{LookupChange, LookupCost};
use crate::{
    Error, catalog,
    db::{DbError, all_words, sqlstate},
    model::Model,
    sql::{Definition, Fixed, Fragment, QualifiedName, Statement, all_of, render},
};

/// A lookup that went by an index.
pub(super) struct Lookup {
    table: QualifiedName,
    /// The key's columns and expressions.
    parts: Vec<String>,
    query: Statement,
    index: String,
}

/// The lookups by each unique key in the tables of `model`, which go by an index; what can't be asked for goes to `not_probed`.
pub(super) async fn before(
    session: &mut PgConnection,
    model: &Model,
    not_probed: &mut Vec<String>,
) -> Result<Vec<Lookup>, Error> {
    let mut lookups = Vec::new();
    for table in &model.tenant_tables {
        for key in catalog::unique_keys(session, table).await? {
            let query = query(table, &key.parts, key.predicate.as_ref().map(|text| text as &dyn Fragment));
            let parts: Vec<String> = key.parts.iter().map(ToString::to_string).collect();
            match index_of(session, &query, &parts).await? {
                Ok(Some(index)) => lookups.push(Lookup { table: table.clone(), parts, query, index }),
                Ok(None) => {}
                Err(error) => {
                    let (parts, words) = (parts.join(", "), all_words(&error));
                    not_probed.push(format!("lookups of {} by {parts}: {words}", table.plain()));
                }
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
        let Ok(after) = index_of(session, &lookup.query, &lookup.parts).await? else { continue };
        if after.as_ref() != Some(&lookup.index) {
            let cost = match &after {
                Some(_) => None,
                None => cost(production, &lookup.query).await?,
            };
            changes.push(LookupChange {
                table: lookup.table.plain(),
                columns: lookup.parts.join(", "),
                before: lookup.index.clone(),
                after,
                cost,
            });
        }
    }
    Ok(changes)
}

/// A lookup of the row of `table` that has the values of some row in the key of `parts`.
fn query(table: &QualifiedName, parts: &[Definition], predicate: Option<&dyn Fragment>) -> Statement {
    let conditions: Vec<Statement> = parts
        .iter()
        .map(|part| {
            render("({part}) = (SELECT {part} FROM {table} LIMIT 1)", &[("part", part), ("table", table)])
        })
        .collect();
    let condition = all_of(conditions);
    let predicate = predicate.unwrap_or(&Fixed("true"));
    render(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE {condition} AND {predicate}",
        &[("table", table), ("condition", &condition), ("predicate", predicate)],
    )
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

/// The index that begins with one of `parts` and finds the rows of `query`; none: the table is read whole. Where the planner
/// prefers another one, as it may with a few rows, it is asked again without that. The inner error: the server does not plan it.
async fn index_of(
    session: &mut PgConnection,
    query: &Statement,
    parts: &[String],
) -> Result<Result<Option<String>, sqlx::Error>, DbError> {
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
                if first.is_some_and(|first| parts.contains(&first)) {
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
    match found {
        Err(error) if sqlstate(&error).is_none() => {
            Err(DbError::Statement { context: "ask how a lookup finds its rows".into(), cause: error })
        }
        found => Ok(found),
    }
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
