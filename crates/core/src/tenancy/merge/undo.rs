//! Taking a merge back.

use std::time::Duration;

use super::{
    super::data::{self, Undo, Undone},
    closings, source,
};
use crate::{Task, db::Db, mapping::Mapping, progress::Progress};

/// Makes the organization what it was before the run: active, if it was, with its keys; then its rows go back, as far as they
/// are still where the run put them, and what was closed of them. May be killed at any moment and run again.
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
        let plan = Undo { dry_run: true, ..request.clone() };
        let plan = data::undo(db, mapping, &plan, progress).await?;
        if request.dry_run || plan.stopped.is_some() {
            return Ok(Undone { dry_run: request.dry_run, ..plan });
        }
        let model = mapping.resolve(db).await?;
        let lock = db.run_lock(Duration::ZERO, progress).await?;
        source::restore(&mut db.session().await?, &model, request.run).await?;
        drop(lock);
        let undone = data::undo(db, mapping, request, progress).await?;
        if let Some(run) = undone.run_id {
            closings::take_back(&mut db.session().await?, request.run, run).await?;
        }
        Ok(undone)
    })
}
