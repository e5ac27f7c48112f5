//! The rehearsal that comes before a run's first change.

use super::{Migration, Rehearsal, Request};
use crate::{
    Error, Task, backup,
    db::Db,
    mapping::Mapping,
    migration::versioned::State,
    progress::{Progress, Silent},
    sequence, tenancy,
};

/// Rehearses what a run is about to change; nothing where it changes nothing, or is refused before its first change.
///
/// # Errors
/// As [`run`](super::run), and what keeps such a run from beginning: a standby, a pooler in transaction mode, a mapping
/// that does not fit.
pub fn before<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    tenancy: &'a tenancy::Settings,
    settings: &'a backup::Settings,
    request: &'a Request,
    progress: &'a dyn Progress,
) -> Task<'a, Option<Rehearsal>> {
    Box::pin(async move {
        db.require_writable()?;
        db.require_direct().await?;
        if !changes(db, mapping, tenancy, &request.migration).await? {
            return Ok(None);
        }
        super::run(db, mapping, tenancy, settings, request, progress).await.map(Some)
    })
}

/// Whether the run has something to do, and nothing in its way.
async fn changes(
    db: &Db,
    mapping: &Mapping,
    tenancy: &tenancy::Settings,
    migration: &Migration,
) -> Result<bool, Error> {
    let (plans, has_versions) = match migration {
        Migration::Online(migration) => (vec![migration.plan(db, mapping, tenancy).await?], false),
        Migration::All { organizations, folder, is_back } => {
            let request = sequence::Request {
                folder: folder.as_deref(),
                dry_run: true,
                rollback: *is_back,
                organizations: organizations.clone(),
            };
            let plan = sequence::run(db, mapping, tenancy, &request, &Silent).await?;
            if plan.versions.in_the_way.is_some() {
                return Ok(false);
            }
            let pending = [State::Pending, State::ToRecord, State::Unfinished];
            let has_versions = !is_back && pending.iter().any(|state| plan.versions.count(*state) > 0);
            ([plan.organizations, plan.balances].into_iter().flatten().collect(), has_versions)
        }
    };
    let is_refused = plans.iter().any(|plan| !plan.obstacles.is_empty());
    let has_steps = plans.iter().any(|plan| !plan.steps.is_empty());
    Ok(!is_refused && (has_steps || has_versions))
}
