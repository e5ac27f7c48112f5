//! Bringing an organization in from a file: `org-import`.

mod arrive;
mod conflicts;
mod fit;
mod mask;
mod report;
mod sequences;
mod staging;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::PgConnection;

use self::fit::{Arrival, Way};
pub use self::{
    mask::Mask,
    report::{Conflict, OrgImported},
};
use super::{
    super::{TenancyError, organization, require},
    archive::TableCount,
    reading::Archive,
    whole::{EXACT, Edge, Whole},
};
use crate::{
    Error, Task, catalog,
    db::{Context as _, Db},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
};

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "org-import";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Import {
    /// The file that org-export wrote.
    pub file: PathBuf,
    /// What the organization is called here, where that is not what it was.
    pub rename: Option<OrgId>,
    /// Whether shared rows that are not here are added.
    pub adds_shared: bool,
    /// What stands in columns instead of what the file has.
    pub masks: Vec<Mask>,
    /// Columns that triggers may change, each as `table.column`.
    pub accepted: BTreeSet<String>,
    /// Only to say what would happen.
    pub dry_run: bool,
}

impl Edge {
    /// Whether it leads to a table of this kind.
    fn parent_is(&self, whole: &Whole, kind: super::Kind) -> bool {
        whole.tables[self.parent].kind == kind
    }
}

/// Brings the organization in that a file holds: all of it, in one transaction, or nothing.
///
/// The file is read to its end and held against its trailer before the database is asked anything. Everything that does not fit
/// is listed before the first change. Values are what they were, keys too; balances are made by the ledger's triggers.
///
/// # Errors
/// [`LifeError`](super::LifeError); [`TenancyError::NotMigrated`]; another run that holds the lock; what the database refuses.
pub fn import<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    import: &'a Import,
    progress: &'a dyn Progress,
) -> Task<'a, OrgImported> {
    Box::pin(async move {
        let archive = Archive::open(&import.file).map_err(TenancyError::from)?;
        let model = &mapping.resolve(db).await?;
        require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
        if !catalog::is_there(&mut *db.acquire().await?, "stockfoil.run").await? {
            let (database, missing) = (db.facts().database.clone(), "table stockfoil.run".to_owned());
            return Err(TenancyError::NotMigrated { database, missing }.into());
        }
        db.require_direct().await?;
        db.require_writable()?;
        let _lock = match import.dry_run {
            true => None,
            false => Some(db.run_lock(Duration::ZERO, progress).await?),
        };
        let org = match &import.rename {
            Some(org) => org.clone(),
            None => OrgId::of(model.org_type, &archive.header.org_id).map_err(TenancyError::from)?,
        };
        let mut session = db.session().await?;
        sqlx::raw_sql(EXACT).execute(&mut session).await.context("set up the session")?;
        sqlx::raw_sql("SET search_path = ''").execute(&mut session).await.context("set up the session")?;
        let whole = Whole::read(&mut session, model).await?;
        let is_renamed = import.rename.is_some();
        let (arrivals, misfits) = fit::find(&mut session, model, &whole, &archive.header, is_renamed).await?;
        let mut report = begun(import, &archive, &org, &arrivals);
        report.conflicts = misfits;
        if organization::find(&mut session, model, &org).await?.is_some() {
            let what = format!(
                "organization {org} is here already; delete it, or bring this one in by another id (--as)"
            );
            report.conflicts.push(Conflict::of(&model.organizations.plain(), what));
        }
        if report.conflicts.iter().all(|conflict| conflict.table == model.organizations.plain()) {
            look(&mut session, model, &whole, &archive, &arrivals, import, &mut report, progress).await?;
        }
        sqlx::raw_sql("RESET search_path").execute(&mut session).await.context("set up the session")?;
        if !report.conflicts.is_empty() || import.dry_run {
            return Ok(report);
        }
        if is_closed(&mut session).await? {
            report.warnings.push(format!(
                "a period is closed here: entries that fall into it are told by the next reconcile-balances, until reconcile-balances --org {org} --accept-backdated"
            ));
        }
        let moved = sequences::advance(&mut session, model, &arrivals).await?;
        report.warnings.extend(moved.iter().map(|moved| format!("moved sequence {moved}")));
        arrive::arrive(
            &mut session,
            model,
            &fit::in_groups(model, &whole, arrivals),
            report,
            &import.accepted,
            progress,
        )
        .await
    })
}

/// Whether a period of the ledger is closed.
async fn is_closed(session: &mut PgConnection) -> Result<bool, Error> {
    if !catalog::is_there(session, "stockfoil.closing").await? {
        return Ok(false);
    }
    let closed = sqlx::query_scalar("SELECT EXISTS (SELECT FROM stockfoil.closing)").fetch_one(session).await;
    Ok(closed.context("look for closed periods")?)
}

/// What is to be said of an organization that is not here yet.
fn begun(import: &Import, archive: &Archive, org: &OrgId, arrivals: &[Arrival]) -> OrgImported {
    let mut warnings = Vec::new();
    let tables: Vec<TableCount> = (arrivals.iter())
        .filter(|arrival| arrival.way != Way::Ignore)
        .map(|arrival| TableCount {
            table: arrival.table.name.plain(),
            kind: arrival.table.kind,
            rows: archive.totals[arrival.place].rows,
            digest: Some(archive.totals[arrival.place].digest.clone()),
        })
        .collect();
    if import.rename.is_some() {
        warnings.push(format!(
            "its API keys are left out, since they lead to {} where it comes from; org-update --org-id {org} --add-key makes one",
            archive.header.org_id
        ));
    }
    OrgImported {
        org_id: org.clone(),
        from_org_id: archive.header.org_id.clone(),
        file: PathBuf::from(Path::new(&archive.path)),
        from_database: archive.header.database.clone(),
        snapshot_at: archive.header.snapshot_at.clone(),
        dry_run: import.dry_run,
        applied: false,
        run_id: None,
        rows: tables.iter().map(|count| count.rows).sum(),
        tables,
        conflicts: Vec::new(),
        warnings,
    }
}

/// Puts the rows aside, and looks for what keeps them from arriving.
#[expect(clippy::too_many_arguments, reason = "each is a part of one look, made by the one caller")]
async fn look(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    archive: &Archive,
    arrivals: &[Arrival],
    import: &Import,
    report: &mut OrgImported,
    progress: &dyn Progress,
) -> Result<(), Error> {
    staging::load(session, model, archive, arrivals, progress).await?;
    if import.rename.is_some() {
        staging::rename(session, model, arrivals, &report.org_id).await?;
    }
    mask::put(session, model, arrivals, &import.masks).await?;
    let found = conflicts::find(session, model, whole, arrivals, import.adds_shared).await?;
    report.conflicts.extend(found);
    Ok(())
}
