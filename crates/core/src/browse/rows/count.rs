//! How many rows: counted up to a bound, estimated above it.

use sqlx::Row as _;

use super::{Count, Filter, condition::conditions};
use crate::{
    Error,
    browse::{
        Binds, Snapshot, refused,
        relation::{Kind, Relation, Table},
        scoped,
    },
    sql::{Literal, Statement, all_of, render},
};

/// Rows are counted one by one up to here; more are estimated.
pub(super) const COUNT_MAX: i64 = 10_000;
/// Tables up to this size are counted even without an index that helps: 64 MiB are read in a moment.
const COUNT_BYTES_MAX: i64 = 64 << 20;

pub(in crate::browse) async fn count(
    snapshot: &mut Snapshot,
    table: &Table,
    filters: &[Filter],
) -> Result<Count, Error> {
    if filters.is_empty()
        && snapshot.organization.is_none()
        && let Some(rows) = table.relation.rows_estimate.filter(|rows| *rows > COUNT_MAX)
    {
        return Ok(Count::About(rows));
    }
    let mut binds = Binds::default();
    let conditions = conditions(snapshot, table, filters, &mut binds).await?;
    let condition = all_of(conditions);
    if is_small(&table.relation) {
        let statement = render(
            "SELECT count(*) FROM ({rows}) AS counted",
            &[("rows", &counted(&table.relation, &condition))],
        );
        let rows: i64 = binds
            .clone()
            .query(&statement)
            .fetch_one(&mut *snapshot.tx)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| refused("count the rows", error))?;
        if rows <= COUNT_MAX {
            return Ok(Count::Exactly(rows));
        }
    }
    estimate(snapshot, &table.relation, &condition, binds).await
}

pub(in crate::browse) async fn counts(snapshot: &mut Snapshot) -> Result<Vec<Option<Count>>, Error> {
    let relations = snapshot.relations.clone();
    let mut counts = vec![None; relations.len()];
    let mut to_estimate = Vec::new();
    let mut binds = Binds::default();
    let mut parts = Vec::new();
    for (index, relation) in relations.iter().enumerate() {
        if !relation.is_readable || matches!(relation.kind, Kind::View | Kind::Foreign) {
            continue;
        }
        match relation.rows_estimate.filter(|rows| *rows > COUNT_MAX) {
            Some(rows) if snapshot.organization.is_none() => counts[index] = Some(Count::About(rows)),
            _ if is_small(relation) => {
                let condition = all_of(scoped(relation, snapshot.organization.as_ref(), "t", &mut binds));
                parts.push(render(
                    "SELECT {index}::int8, (SELECT count(*) FROM ({rows}) AS counted)",
                    &[("index", &Literal::new(&index.to_string())), ("rows", &counted(relation, &condition))],
                ));
            }
            _ => to_estimate.push(index),
        }
    }
    if let Some(statement) = union_all(parts) {
        let rows = binds
            .query(&statement)
            .fetch_all(&mut *snapshot.tx)
            .await
            .map_err(|error| refused("count the rows", error))?;
        for row in rows {
            let (index, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let Ok(index) = usize::try_from(index) else { continue };
            match counts.get_mut(index) {
                Some(count) if rows <= COUNT_MAX => *count = Some(Count::Exactly(rows)),
                _ => to_estimate.push(index),
            }
        }
    }
    for index in to_estimate {
        let relation = &relations[index];
        let mut binds = Binds::default();
        let condition = all_of(scoped(relation, snapshot.organization.as_ref(), "t", &mut binds));
        counts[index] = Some(estimate(snapshot, relation, &condition, binds).await?);
    }
    Ok(counts)
}

pub(super) fn is_small(relation: &Relation) -> bool {
    let stored = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::MaterializedView);
    stored && relation.heap_bytes <= COUNT_BYTES_MAX
}

/// The rows to count, and one more than are counted.
pub(super) fn counted(relation: &Relation, condition: &Statement) -> Statement {
    render(
        "SELECT FROM {relation} AS t WHERE {condition} LIMIT {limit}",
        &[
            ("relation", &relation.name),
            ("condition", condition),
            ("limit", &Literal::new(&(COUNT_MAX + 1).to_string())),
        ],
    )
}

pub(super) fn union_all(parts: Vec<Statement>) -> Option<Statement> {
    parts.into_iter().reduce(|all, part| render("{all} UNION ALL {part}", &[("all", &all), ("part", &part)]))
}

/// The planner's estimate.
pub(super) async fn estimate(
    snapshot: &mut Snapshot,
    relation: &Relation,
    condition: &Statement,
    binds: Binds,
) -> Result<Count, Error> {
    let statement = render(
        "EXPLAIN (FORMAT JSON) SELECT FROM {relation} AS t WHERE {condition}",
        &[("relation", &relation.name), ("condition", condition)],
    );
    let plan: serde_json::Value = binds
        .query(&statement)
        .fetch_one(&mut *snapshot.tx)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| refused("estimate the rows", error))?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_i64);
    Ok(Count::About(rows.unwrap_or_default()))
}
