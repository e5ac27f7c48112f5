//! The queue of deltas that writers put aside for balances that other writers held.

use sqlx::PgConnection;

use super::{
    BalanceError,
    difference::{is_of_a_row, words},
};
use crate::{
    Error, catalog,
    db::{Context as _, Db},
    model::{Model, QUEUE},
    progress::Progress,
    sql::{Fixed, Fragment, Literal, Statement},
};

/// Adds what is queued to the balances that it is for, but for those that a writer holds, and says how many deltas it was;
/// nothing where there is no queue. Where the server refuses a row or a sum, all stays queued, which is told: balances are as
/// exact as before. The session is in no transaction.
///
/// # Errors
/// Database errors.
pub(super) async fn fold(
    session: &mut PgConnection,
    model: &Model,
    progress: &dyn Progress,
) -> Result<u64, Error> {
    if !model.balances.has_queue {
        return Ok(0);
    }
    let (rows, fold) = statements(model, Fixed(" SKIP LOCKED"));
    let folded: Result<i64, _> = match sqlx::query(rows.sql()).execute(&mut *session).await {
        Ok(_) => sqlx::query_scalar(fold.sql()).fetch_one(session).await,
        Err(error) => Err(error),
    };
    match folded {
        Err(error) if is_of_a_row(&error) => {
            progress.note(&format!("what is queued stays queued: {}", words(&error)));
            Ok(0)
        }
        folded => Ok(folded.context("fold what is queued into the balances")?.unsigned_abs()),
    }
}

/// Refuses a database whose queue came or went since `model` was read, which the run lock would have prevented: what is
/// queued is part of the balances.
///
/// # Errors
/// [`BalanceError::QueueChanged`]; database errors.
pub(super) async fn require_as_read(db: &Db, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
    let is_there = catalog::is_there(session, QUEUE).await?;
    match is_there == model.balances.has_queue || model.balances.is_adopted {
        true => Ok(()),
        false => Err(BalanceError::QueueChanged(db.facts().database.clone()).into()),
    }
}

/// The statement that folds all that is queued, waiting for writers, who wait for it in turn.
pub(crate) fn fold_all(model: &Model) -> Statement {
    end(model, &Fixed(""))
}

/// The statement that folds all that is queued, and drops the queue.
pub(super) fn drop(model: &Model) -> Statement {
    end(model, &Fixed("    DROP TABLE IF EXISTS stockfoil.balance_queue;\n"))
}

fn end(model: &Model, then: &Fixed) -> Statement {
    let (rows, fold) = statements(model, Fixed(""));
    let balances = Literal::new(&model.balances.table.to_string());
    let (rows, fold) = (Literal::new(rows.as_str()), Literal::new(fold.as_str()));
    let fragments: [(&str, &dyn Fragment); 4] =
        [("balances.text", &balances), ("rows_text", &rows), ("fold_text", &fold), ("then", then)];
    model.routine(include_str!("queue/end.sql"), &fragments).create
}

fn statements(model: &Model, skip: Fixed) -> (Statement, Statement) {
    (
        model.render(include_str!("queue/rows.sql")),
        model.render_with(include_str!("queue/fold.sql"), &[("skip", &skip)]),
    )
}
