//! What runs leave for the next comparison from the checkpoint that compare without it.

use sqlx::{Executor as _, PgConnection};

use super::{is_possible, origin::mapping};
use crate::{Error, catalog, db::Context as _, history::RunId, model::Model};

/// Marks what `run` put aside as different, so that the next run sums those keys again, whatever it was sealed as.
///
/// Where the parts are not `intact`, changes go unmarked: the next run that can reads everything, and compares it with what was
/// sealed. Under another mapping, or one that uses no checkpoint, keys are others: then what was sealed is forgotten.
pub(in crate::balance) async fn note_differences(
    session: &mut PgConnection,
    model: &Model,
    run: RunId,
    intact: bool,
) -> Result<(), Error> {
    if !catalog::is_there(session, "stockfoil.checkpoint").await? {
        return Ok(());
    }
    if !is_possible(model) {
        session.execute("DELETE FROM stockfoil.checkpoint").await.context("forget the checkpoint")?;
        return Ok(());
    }
    if !intact {
        // None that is there: whatever becomes of them, they are not those that have watched.
        session
            .execute("UPDATE stockfoil.checkpoint SET keepers = ARRAY['broken']")
            .await
            .context("distrust the checkpoint")?;
    }
    sqlx::query("DELETE FROM stockfoil.checkpoint WHERE mapping IS DISTINCT FROM $1")
        .bind(mapping(model))
        .execute(&mut *session)
        .await
        .context("forget the checkpoint of another mapping")?;
    sqlx::query(include_str!("mark_different.sql"))
        .bind(run)
        .execute(session)
        .await
        .context("mark the keys that differ")?;
    Ok(())
}

/// Marks the keys in `pg_temp.stockfoil_suspect`, which `run` saw differ and corrected: their sealed sums may be wrong, and the
/// next run must not believe them.
pub(in crate::balance) async fn note_corrected(
    session: &mut PgConnection,
    model: &Model,
    run: RunId,
) -> Result<(), sqlx::Error> {
    if is_possible(model) {
        sqlx::query(include_str!("mark_corrected.sql")).bind(run).execute(session).await?;
    }
    Ok(())
}
