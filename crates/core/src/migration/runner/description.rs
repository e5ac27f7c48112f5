//! A step as a plan and a report show it, with what it may cost.

use sqlx::PgConnection;

use crate::{
    Error, catalog,
    migration::step::{Lock, Run, Step, StepReport, Work},
    sql::{QualifiedName, Statement},
};

pub(super) async fn describe(connection: &mut PgConnection, step: &Step) -> Result<StepReport, Error> {
    let size = match (step.work, step.tables.last()) {
        (Work::Catalog, _) | (_, None) => None,
        (_, Some(table)) => catalog::size(connection, table).await?,
    };
    let mut statements: Vec<Statement> = step.statements.iter().chain(&step.grants).cloned().collect();
    if let Run::Fill(fill) = &step.run {
        let batches = fill.sample(connection).await?;
        statements = batches.into_iter().chain(statements).collect();
    }
    Ok(StepReport {
        title: step.title.clone(),
        tables: step.tables.iter().map(QualifiedName::plain).collect(),
        lock: step.lock.name(),
        work: step.work,
        rows_estimate: size.and_then(|size| size.rows),
        estimate_ms: Some(estimate_ms(step, size)),
        effect: step.effect.clone(),
        sql: statements.iter().map(ToString::to_string).collect(),
        duration_ms: None,
        waited_ms: None,
    })
}

/// About how long a step lasts once it has its lock: what two slow cores do, so that it is rarely longer.
fn estimate_ms(step: &Step, size: Option<catalog::Size>) -> i64 {
    const BYTES_PER_MS: i64 = 200_000;
    const SCANNED_ROWS_PER_MS: i64 = 1_500;
    const INDEXED_ROWS_PER_MS: i64 = 300;
    const FILLED_ROWS_PER_MS: i64 = 30;
    let short = if step.lock == Lock::None { 1 } else { 10 };
    let Some(size) = size else { return short };
    // A table that was never analyzed: rows of a hundred bytes.
    let rows = size.rows.unwrap_or(size.bytes / 100);
    short
        + match step.work {
            Work::Catalog => 0,
            Work::Read => (size.bytes / BYTES_PER_MS).max(rows / SCANNED_ROWS_PER_MS),
            // The heap is read twice, and the index's order is made once.
            Work::Index => 2 * size.bytes / BYTES_PER_MS + rows / INDEXED_ROWS_PER_MS,
            Work::Fill => size.bytes / BYTES_PER_MS + rows / FILLED_ROWS_PER_MS,
        }
}
