//! What stands in the way of a queue of deltas.

use sqlx::PgConnection;

use crate::{
    Error,
    db::Context as _,
    migration::finding::Finding,
    model::{Hot, Model},
};

/// What would refuse a balance: with a queue that is not who wrote the entry, but who folds it, for another.
///
/// # Errors
/// Database errors.
pub(super) async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    if model.balances.hot == Hot::Wait {
        return Ok(Vec::new());
    }
    let table = &model.balances.table;
    let refusing: Vec<String> = sqlx::query_scalar(include_str!("hot.sql"))
        .bind(table.to_string())
        .bind(model.balances.quantity.as_str())
        .fetch_all(session)
        .await
        .context(format!("look what else keeps {}", table.plain()))?;
    let finding = |what| {
        Finding {
        check: "hot",
        object: table.plain(),
        detail: format!(
            "has {what}, which would see a delta that is queued when another writer folds it, and might refuse that writer"
        ),
        remedy: "drop it, or leave [balances] hot out; reconcile-balances tells balances below zero ([reconcile] negative)"
            .into(),
    }
    };
    Ok(refusing.into_iter().map(finding).collect())
}
