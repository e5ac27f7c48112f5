//! One organization becomes a part of another: `org-merge`.

mod closings;
mod memberships;
mod report;
mod source;
mod undo;

use sqlx::PgConnection;

use super::{
    TenancyError,
    data::{self, Assignment, DataAssigned, Giver, Selector},
    default_organization,
    moves::{self, DataError},
    organization,
};
use crate::{
    Error, Task, catalog,
    db::{Context as _, Db},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    report::Report as _,
};

pub use report::OrgMerged;
pub use undo::undo;

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "org-merge";

/// What becomes of the API keys of the organization that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They are revoked.
    Revoke,
    /// They lead to the other organization.
    Move,
}

impl Keys {
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Move => "move",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The organization that ends.
    pub from: OrgId,
    /// The organization that gets everything.
    pub into: OrgId,
    /// The default organization, as the configuration has it.
    pub default_org: String,
    /// What becomes of the API keys.
    pub keys: Keys,
    /// How many rows must move; with any other number, none does.
    pub expect: Option<u64>,
    /// How many rows move in one transaction.
    pub batch_rows: u32,
    /// Only say what would move.
    pub dry_run: bool,
}

impl Merge {
    /// What a run that goes on with a killed one must have in common with it.
    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "from": self.from, "into": self.into, "keys": self.keys.as_str() })
    }

    fn assignment(&self) -> Assignment {
        let giver = Giver { org: self.from.clone(), is_default: false };
        Assignment {
            with_people: true,
            batch_rows: self.batch_rows,
            expect: self.expect,
            dry_run: self.dry_run,
            ..Assignment::new(self.into.clone(), giver, vec![Selector::Everything])
        }
    }
}

/// Gives everything of one organization to another, people and API keys too, and deactivates it; or says what would move.
///
/// Works under traffic, as [`data::assign`] does, and may be killed at any moment and run again. What a unique key of the
/// other organization keeps out, and what a third one uses, stops it before anything is changed, and is listed.
///
/// # Errors
/// [`DataError`], [`TenancyError`] for an organization that is not there, another run that holds the lock, and what the
/// database refuses.
pub fn merge<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    merge: &'a Merge,
    progress: &'a dyn Progress,
) -> Task<'a, OrgMerged> {
    Box::pin(async move {
        if merge.from == merge.into {
            return Err(DataError::MergedWithItself(merge.from.clone()).into());
        }
        let assignment = merge.assignment();
        assignment.check()?;
        let model = &mapping.resolve(db).await?;
        let _lock = data::open(db, model, merge.dry_run, progress).await?;
        let mut session = db.session().await?;
        refuse_default(&mut session, model, merge).await?;
        refuse_keyless(&mut session, model, &merge.from).await?;
        let resumed = unfinished(&mut session, merge).await?;
        // Of what was expected, a killed run has moved a part.
        let before = match resumed {
            Some(run) => report::moved(&mut session, model, run).await?,
            None => 0,
        };
        let expect = assignment.expect.map(|rows| rows.saturating_sub(before));
        let plan = Assignment { dry_run: true, expect, ..assignment.clone() };
        let plan = data::carry(db, model, &plan, None, progress).await?;
        let mut report = OrgMerged::new(merge, plan);
        report.api_keys = source::live_keys(&mut session, model, &merge.from).await?;
        report.warnings.extend(source::warnings(&mut session, model, &merge.from).await?);
        let staying = memberships::memberships_stay(&mut session, model, &merge.from).await?;
        report.stopped = report.stopped.or(staying);
        report.deactivated = !is_active(&mut session, model, &merge.from).await?;
        let is_over = report.deactivated && (report.rows, report.api_keys) == (0, 0) && resumed.is_none();
        if is_over && report.stopped.is_none() {
            report.stopped = source::open(&mut session, model, &merge.from).await?;
        }
        if merge.dry_run || report.stopped.is_some() || is_over {
            return Ok(report);
        }
        let run = match resumed {
            Some(run) => run,
            None => begin(&mut session, model, merge).await?,
        };
        (report.run_id, report.resumed) = (Some(run), resumed.is_some());
        let work =
            Work { db, model, merge, assignment: Assignment { expect: None, ..assignment }, run, progress };
        let ended = work.run(&mut session, report).await;
        if let Err(error) = &ended {
            // The run is not over: the same command goes on with it.
            let error = serde_json::json!({ "error": error.to_string() });
            history::note(&mut *db.acquire().await?, run, &error).await?;
        }
        let next = || format!("the same command goes on, --undo {} takes them back", run.0);
        moves::partial(&mut *db.acquire().await?, run, ended, next).await
    })
}

/// Refuses to end the default organization.
async fn refuse_default(session: &mut PgConnection, model: &Model, merge: &Merge) -> Result<(), Error> {
    for org in [&merge.from, &merge.into] {
        if organization::find(session, model, org).await?.is_none() {
            return Err(TenancyError::UnknownOrganization(org.clone()).into());
        }
    }
    let known = default_organization::known(session, model).await?;
    let mut defaults = known.into_iter().map(|(id, _)| id).chain([merge.default_org.clone()]);
    match defaults.any(|default| OrgId::of(model.org_type, &default).as_ref() == Ok(&merge.from)) {
        true => Err(DataError::MergedDefault(merge.from.clone()).into()),
        false => Ok(()),
    }
}

/// Refuses rows that can't be recorded, since their table has no primary key.
async fn refuse_keyless(session: &mut PgConnection, model: &Model, from: &OrgId) -> Result<(), Error> {
    for table in model.tenant_tables.iter().filter(|table| **table != model.balances.table) {
        if !catalog::primary_key(session, table).await?.is_empty() {
            continue;
        }
        let any = model.render_with(
            "SELECT EXISTS (SELECT FROM {table} AS t WHERE t.{org} = $1::text::{org.type})",
            &[("table", table)],
        );
        let has_rows: bool = sqlx::query_scalar(any.sql())
            .persistent(false)
            .bind(from)
            .fetch_one(&mut *session)
            .await
            .context(format!("look for rows of {}", table.plain()))?;
        if has_rows {
            return Err(DataError::NoKey(table.plain()).into());
        }
    }
    Ok(())
}

/// The same run, if it was killed or failed: no other run is under way while this one holds the lock.
async fn unfinished(session: &mut PgConnection, merge: &Merge) -> Result<Option<RunId>, Error> {
    if !catalog::is_there(session, "stockfoil.move").await? {
        return Ok(None);
    }
    let run = sqlx::query_scalar(include_str!("merge/unfinished.sql"))
        .bind(COMMAND)
        .bind(merge.identity())
        .fetch_optional(session)
        .await;
    Ok(run.context("look for a run to go on with")?)
}

async fn is_active(session: &mut PgConnection, model: &Model, org: &OrgId) -> Result<bool, Error> {
    Ok(organization::find(session, model, org).await?.is_some_and(|found| found.is_active))
}

/// Records that it begins, and how it stood with the organization by then.
async fn begin(session: &mut PgConnection, model: &Model, merge: &Merge) -> Result<RunId, Error> {
    let was_active = is_active(session, model, &merge.from).await?;
    let run = history::start(session, COMMAND).await?;
    let note = serde_json::json!({ "merge": merge.identity(), "was_active": was_active, "key_ids": [] });
    history::note(session, run, &note).await?;
    Ok(run)
}

struct Work<'a> {
    db: &'a Db,
    model: &'a Model,
    merge: &'a Merge,
    assignment: Assignment,
    run: RunId,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    async fn run(&self, session: &mut PgConnection, mut report: OrgMerged) -> Result<OrgMerged, Error> {
        let Self { db, model, merge, run, progress, .. } = *self;
        let (mut moved, mut open) = (self.carry().await?, None);
        // Where all of it moves at once, or nothing, it may be that nothing did.
        if moved.stopped.is_none() && (moved.applied || moved.left == 0) {
            source::end(session, model, merge, run).await?;
            report.deactivated = true;
            // Whoever asked for the organization before may still write for it.
            open = source::wait(session, model, &merge.from, progress).await?;
            moved = self.carry().await?;
        }
        (report.stopped, report.left) = (moved.stopped.or(open), moved.left);
        (report.shared, report.conflicts) = (moved.shared, moved.conflicts);
        report.count(session, model, run).await?;
        report.applied = true;
        let (was_active, key_ids): (bool, serde_json::Value) = sqlx::query_as(
            "SELECT (summary ->> 'was_active')::boolean, summary -> 'key_ids' FROM stockfoil.run WHERE id = $1",
        )
        .bind(run)
        .fetch_one(&mut *session)
        .await
        .context("read the record of the run")?;
        let mut records = db.session().await?;
        history::end(
            &mut records,
            run,
            report.outcome(),
            &serde_json::json!({
                "merge": merge.identity(), "was_active": was_active, "key_ids": key_ids, "rows": report.rows,
                "tables": report.tables, "balance_rows": report.balance_rows, "left": report.left,
                "stopped": report.stopped, "deactivated": report.deactivated, "resumed": report.resumed,
            }),
        )
        .await?;
        report.key_ids = serde_json::from_value(key_ids).unwrap_or_default();
        Ok(report)
    }

    /// Moves what there is to move.
    async fn carry(&self) -> Result<DataAssigned, Error> {
        data::carry(self.db, self.model, &self.assignment, Some(self.run), self.progress).await
    }
}
