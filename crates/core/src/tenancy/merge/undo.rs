//! Taking a merge back.

use sqlx::PgConnection;

use super::{
    super::data::{self, Undo, Undone},
    closings, source,
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    mapping::Mapping,
    progress::Progress,
};

/// Puts the rows of the organization back, as far as they are still where the run put them, with what was closed of them; and
/// once they are back makes it active again, if it was, with its keys. May be killed at any moment and run again.
///
/// # Errors
/// As [`data::undo`].
pub fn undo<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    request: &'a Undo,
    progress: &'a dyn Progress,
) -> Task<'a, Undone> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let _lock = data::open(db, model, request.dry_run, progress).await?;
        let plan = Undo { dry_run: true, ..request.clone() };
        let mut plan = data::put_back(db, model, &plan, progress).await?;
        plan.dry_run = request.dry_run;
        let mut session = db.session().await?;
        if let Some(later) = later(&mut session, request.run).await? {
            let told =
                format!("run {later} has given on what run {} gave; take that one back first", request.run);
            plan.stopped.get_or_insert(told);
        }
        if request.dry_run || plan.stopped.is_some() {
            return Ok(plan);
        }
        let undone = data::put_back(db, model, request, progress).await?;
        if let (Some(run), None) = (undone.run_id, &undone.stopped) {
            closings::take_back(&mut session, request.run, run).await?;
            source::restore(&mut session, model, request.run, run).await?;
        }
        Ok(undone)
    })
}

/// A merge that was not taken back and made the organization that got everything a part of another.
async fn later(session: &mut PgConnection, run: i64) -> Result<Option<i64>, Error> {
    let later = sqlx::query_scalar(
        "SELECT l.id
         FROM stockfoil.run AS r
         JOIN stockfoil.run AS l ON l.command = r.command AND l.id > r.id AND l.summary -> 'merge' ->> 'from' = r.summary -> 'merge' ->> 'into'
         WHERE r.id = $1 AND NOT l.summary ? 'restored_by'
         ORDER BY l.id DESC LIMIT 1",
    )
    .bind(run)
    .fetch_optional(session)
    .await;
    Ok(later.context("look for a later merge")?)
}
