//! A run: it looks at what belongs together, and moves it in batches until none is left.

use std::collections::BTreeSet;

use sqlx::{Executor as _, PgConnection};

use super::{
    super::{
        TenancyError,
        default_organization::{self, Change},
        moves::{self, DataError, Graph, guard::Sight},
        organization,
    },
    COMMAND,
    at_once::{self, Attempts},
    closure::{self, Closure, Found},
    copies, open,
    report::{DataAssigned, by_table},
    request::Assignment,
    selection,
    stock::Stock,
    transfer::{self, Transfer},
};
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    progress::Progress,
};

/// After so many passes a run ends when the last one moved more than half of what the one before it did: an application
/// that goes on writing rows that belong to what was moved never lets it find none.
const PASSES_MIN: u32 = 3;

/// Gives the selected rows to an organization with everything that belongs to them, or says what would move.
///
/// Works under traffic: in batches, each a short transaction with its record, until none is left. May be killed at any
/// moment and run again: what is committed stays, and the next run goes on from what it sees. What both sides use, what
/// a unique key keeps out, and another number of rows than expected stop it before anything is changed.
///
/// # Errors
/// [`DataError`], [`TenancyError`] for an organization that is not there, another run that holds the lock, and what the
/// database refuses.
pub fn assign<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    assignment: &'a Assignment,
    progress: &'a dyn Progress,
) -> Task<'a, DataAssigned> {
    Box::pin(async move {
        assignment.check()?;
        let model = &mapping.resolve(db).await?;
        let _lock = open(db, model, assignment.dry_run, progress).await?;
        carry(db, model, assignment, None, progress).await
    })
}

/// The same under `within`, a larger run which records its end itself, where the lock is held already.
pub(in crate::tenancy) async fn carry(
    db: &Db,
    model: &Model,
    assignment: &Assignment,
    within: Option<RunId>,
    progress: &dyn Progress,
) -> Result<DataAssigned, Error> {
    let mut session = db.session().await?;
    let warnings = require_organizations(&mut session, model, assignment).await?;
    let graph = Graph::read(&mut session, model).await?;
    let graph = if assignment.with_people { graph.with_people() } else { graph };
    let (roots, copied) = selection::resolve(model, &graph, assignment)?;
    let is_atomic = at_once::is_needed(&graph, model)?;
    let closure = Closure {
        model,
        graph: &graph,
        from: &assignment.from.org,
        to: &assignment.org,
        roots: &roots,
        copied: &copied,
    };
    let (found, mut report) = look(&mut session, &closure, assignment, warnings, progress).await?;
    let resumed = match within {
        Some(_) => None,
        None => unfinished(&mut session, assignment).await?,
    };
    let is_over = found.is_nothing() && resumed.is_none();
    if assignment.dry_run || report.stopped.is_some() || is_over {
        return Ok(report);
    }
    let run = match (within, resumed) {
        (Some(run), _) | (None, Some(run)) => run,
        (None, None) => history::start(&mut session, COMMAND).await?,
    };
    let identity = assignment.identity();
    if within.is_none() {
        history::note(&mut session, run, &serde_json::json!({ "assignment": identity })).await?;
    }
    report.run_id = Some(run);
    report.resumed = resumed.is_some();
    let done = vec![(0, 0); graph.tables.len()];
    let mut work = Work { closure, run, assignment, at_once: None, progress, done };
    let result = match is_atomic {
        false => work.passes(&mut session, found, report).await,
        true => work.run_at_once(&mut session, found, report).await,
    };
    match within {
        Some(_) => result,
        None => recorded(db, run, &identity, result).await,
    }
}

/// Records the end of the run.
async fn recorded(
    db: &Db,
    run: RunId,
    identity: &serde_json::Value,
    result: Result<DataAssigned, Error>,
) -> Result<DataAssigned, Error> {
    let mut records = db.session().await?;
    let ended = history::finish(&mut records, run, result, |report| {
        serde_json::json!({
            "assignment": identity, "rows": report.rows, "tables": report.tables,
            "balance_rows": report.balance_rows, "left": report.left,
            "stopped": report.stopped, "passes": report.passes, "resumed": report.resumed,
        })
    })
    .await;
    let next = || format!("the same command moves the rest, --undo {} takes them back", run.0);
    moves::partial(&mut records, run, ended, next).await
}

/// Refuses organizations that are not there, and says what the operator should know of them.
async fn require_organizations(
    session: &mut PgConnection,
    model: &Model,
    assignment: &Assignment,
) -> Result<Vec<String>, Error> {
    if assignment.from.is_default {
        default_organization::check(session, model, assignment.from.org.as_str(), Change::Refused).await?;
    }
    let mut warnings = Vec::new();
    for org in [&assignment.org, &assignment.from.org] {
        match organization::find(session, model, org).await? {
            None => return Err(TenancyError::UnknownOrganization(org.clone()).into()),
            Some(found) if !found.is_active && *org == assignment.org => {
                warnings.push(format!(
                    "organization {org} is inactive: nobody can work with its rows until it is activated"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(warnings)
}

/// What belongs together, and the report of a run that has moved none of it yet.
async fn look(
    session: &mut PgConnection,
    closure: &Closure<'_>,
    assignment: &Assignment,
    mut warnings: Vec<String>,
    progress: &dyn Progress,
) -> Result<(Found, DataAssigned), Error> {
    let Closure { model, graph, from, to, copied, .. } = *closure;
    progress.begin("look at what belongs together", None);
    closure::create_tables(session, model, graph).await?;
    for place in copied {
        copies::create_table(session, model, graph, *place).await?;
    }
    let found = closure.find(session, false).await?;
    progress.finish();
    refuse_keyless(graph, &found)?;
    let stopped = stopped(&found, assignment)?;
    warnings.extend(mentioned(&found, assignment));
    let mut report = DataAssigned {
        org_id: assignment.org.clone(),
        from: assignment.from.org.clone(),
        dry_run: assignment.dry_run,
        run_id: None,
        resumed: false,
        applied: false,
        rows: found.moving(),
        tables: by_table(graph, &found.rows),
        balance_rows: 0,
        left: 0,
        passes: 1,
        shared: found.shared.clone(),
        conflicts: found.conflicts.clone(),
        stopped,
        warnings,
    };
    if let Some(stock) = Stock::of(session, model, graph, (from.as_str(), to.as_str()), copied).await? {
        report.balance_rows = stock.count(session).await?;
        stock.refuse_referred(session).await?;
    }
    Ok((found, report))
}

/// Why nothing can move, if so.
fn stopped(found: &Found, assignment: &Assignment) -> Result<Option<String>, DataError> {
    if let Some((table, key, rows, _)) = found.mentions.iter().find(|(.., forbidden)| *forbidden) {
        let org = assignment.org.clone();
        return Err(DataError::Mentions { rows: *rows, table: table.clone(), org, key: key.clone() });
    }
    let moving = found.moving();
    Ok(match assignment.expect {
        Some(expect) if expect != moving => {
            Some(format!("--expect says {expect}, but {moving} rows would move"))
        }
        _ => cannot_move(found),
    })
}

/// Why what was found can't move, if so.
fn cannot_move(found: &Found) -> Option<String> {
    if !found.left_behind.is_empty() {
        return Some(format!(
            "{}, and would stay behind; select them too (--rows), or end that they refer",
            found.left_behind.join(", ")
        ));
    }
    if !found.shared.is_empty() {
        let rows: BTreeSet<(&str, &str)> =
            found.shared.iter().map(|shared| (shared.table.as_str(), shared.key.as_str())).collect();
        let tables: BTreeSet<&str> = rows.iter().map(|(table, _)| *table).collect();
        let tables: Vec<&str> = tables.into_iter().collect();
        return Some(format!(
            "{} rows of {} are used by both sides; select otherwise, or give each side its own with --copy-shared-items or --copy-shared TABLE",
            rows.len(),
            tables.join(", ")
        ));
    }
    match found.conflicts.len() {
        0 => None,
        rows => Some(format!("{rows} of them can't move, because a key of theirs is taken")),
    }
}

fn mentioned(found: &Found, assignment: &Assignment) -> Vec<String> {
    let warning = |(table, key, rows, _): &(String, String, i64, bool)| {
        format!(
            "{rows} rows of {table} mention people outside {} ({key}); --with-people moves them too, users-assign them alone",
            assignment.org
        )
    };
    found.mentions.iter().map(warning).collect()
}

/// Refuses a move that rows of a table without a primary key would have to follow: which they are can't be remembered, and
/// left behind they would point at another organization's.
fn refuse_keyless(graph: &Graph, found: &Found) -> Result<(), DataError> {
    let mut children = graph.belongings().filter(|edge| found.rows[edge.parent] != (0, 0));
    match children.find(|edge| graph.tables[edge.child].key.is_empty()) {
        Some(edge) => Err(DataError::NoKey(graph.tables[edge.child].name.plain())),
        None => Ok(()),
    }
}

/// The run with the same assignment that was killed, if there is one: no other run is under way while this one holds
/// the lock.
async fn unfinished(session: &mut PgConnection, assignment: &Assignment) -> Result<Option<RunId>, DbError> {
    sqlx::query_scalar(
        "SELECT id FROM stockfoil.run WHERE command = $1 AND finished_at IS NULL AND summary -> 'assignment' = $2
         ORDER BY id DESC LIMIT 1",
    )
    .bind(COMMAND)
    .bind(assignment.identity())
    .fetch_optional(session)
    .await
    .context("look for a run to go on with")
}

struct Work<'a> {
    closure: Closure<'a>,
    run: RunId,
    assignment: &'a Assignment,
    /// What the one transaction sees that all of it is done in, if it is.
    at_once: Option<Sight>,
    progress: &'a dyn Progress,
    /// By table: rows moved and copied.
    done: Vec<(u64, u64)>,
}

impl Work<'_> {
    /// Moves all of it in one transaction, or nothing.
    async fn run_at_once(
        &mut self,
        session: &mut PgConnection,
        mut found: Found,
        report: DataAssigned,
    ) -> Result<DataAssigned, Error> {
        let why = match self.closure.model.balances.is_adopted {
            true => "rows of the application's balances go with their entries",
            false => "foreign keys hold the organization",
        };
        self.progress.note(&format!("{why}, so all of it moves in one transaction"));
        let mut attempts = Attempts::new();
        loop {
            match self.attempt(session, found, report.clone(), attempts.sight).await {
                Err(error) => attempts.go_on_after(error).await?,
                ended => return ended,
            }
            self.done.fill((0, 0));
            found = self.closure.find(session, false).await?;
        }
    }

    async fn attempt(
        &mut self,
        session: &mut PgConnection,
        found: Found,
        report: DataAssigned,
        sight: Sight,
    ) -> Result<DataAssigned, Error> {
        self.at_once = Some(sight);
        let org = self.closure.to.as_str();
        let mut transaction = at_once::begin(session, sight, Some(org)).await?;
        if self.assignment.takes_everything() {
            self.hold_giver(&mut transaction).await?;
        }
        let mut report = self.passes(&mut transaction, found, report).await?;
        if let Some(stock) = self.stock(&mut transaction).await? {
            let settled = stock.settle(&mut transaction, Some(self.run), sight).await?;
            report.balance_rows = settled.moved;
            report.warnings.extend(settled.warning(self.closure.model, self.closure.from.as_str()));
        }
        at_once::settle(&mut transaction, self.closure.model, Some(org)).await?;
        if report.left > 0 || report.stopped.is_some() {
            // Nothing of it is kept: what is left would refer to what has moved.
            transaction.rollback().await.context("take back what has moved")?;
            return Ok(DataAssigned { applied: false, balance_rows: 0, ..report });
        }
        transaction.commit().await.context("move what belongs together")?;
        if sight == Sight::Comparing {
            // Rows that arrived meanwhile were not seen.
            report.left = self.closure.find(session, false).await?.moving();
        }
        Ok(report)
    }

    /// Lets nobody make rows of the organization that gives all of its rows, until they have gone: else there would always be one
    /// more, and those that refer to none could not be told from those that are late.
    async fn hold_giver(&self, transaction: &mut PgConnection) -> Result<(), Error> {
        let Closure { model, from, .. } = self.closure;
        let hold = model.render("SELECT FROM {organizations} WHERE id = $1::text::{org.type} FOR UPDATE");
        transaction.execute("SET LOCAL lock_timeout = '30s'").await.context("set up the session")?;
        let held = sqlx::query(hold.sql()).bind(from).execute(&mut *transaction).await;
        match held.context("hold the organization").map_err(Error::from) {
            Err(error) if error.gave_way() => {
                return Err(TenancyError::OrganizationLocked(from.clone()).into());
            }
            held => held?,
        };
        transaction.execute("SET LOCAL lock_timeout = DEFAULT").await.context("set up the session")?;
        Ok(())
    }

    /// The rows of balances that go with the entries, where they are the application's.
    async fn stock(&self, session: &mut PgConnection) -> Result<Option<Stock<'_>>, Error> {
        let Closure { model, graph, from, to, copied, .. } = self.closure;
        Stock::of(session, model, graph, (from.as_str(), to.as_str()), copied).await
    }

    async fn passes(
        &mut self,
        session: &mut PgConnection,
        mut found: Found,
        mut report: DataAssigned,
    ) -> Result<DataAssigned, Error> {
        let graph = self.closure.graph;
        let mut moved_before = u64::MAX;
        while !found.is_nothing() {
            if report.passes > PASSES_MIN && found.moving() > moved_before / 2 {
                report.left = found.moving();
                break;
            }
            moved_before = found.moving();
            self.pass(session, &found).await?;
            report.passes += 1;
            found = self.closure.find(session, self.at_once.is_some()).await?;
            // Rows that have arrived meanwhile may use what has moved.
            report.stopped = cannot_move(&found);
            if report.stopped.is_some() {
                report.left = found.moving();
                break;
            }
        }
        report.applied = self.done.iter().any(|done| *done != (0, 0));
        report.rows = self.done.iter().map(|(rows, _)| rows).sum();
        report.tables = by_table(graph, &self.done);
        report.shared = found.shared;
        report.conflicts = found.conflicts;
        Ok(report)
    }

    async fn pass(&mut self, session: &mut PgConnection, found: &Found) -> Result<(), Error> {
        let Closure { model, graph, from, to, copied, .. } = self.closure;
        for (place, copies) in self.closure.copies().make(session, self.run).await? {
            self.done[place].1 += copies;
        }
        let mut numbered = Vec::new();
        let moving = found.rows.iter().enumerate().filter(|(_, (rows, _))| *rows > 0);
        let mut moving: Vec<(usize, u64)> = moving.map(|(place, (rows, _))| (place, *rows)).collect();
        if self.at_once.is_some() {
            // Who refers goes first: a foreign key with an action would take it along otherwise.
            let order = graph.parents_first(&moving.iter().map(|(place, _)| *place).collect());
            moving.sort_by_key(|(place, _)| std::cmp::Reverse(order.iter().position(|next| next == place)));
        }
        for (place, rows) in moving {
            let last = transfer::number(session, model, graph, place, &[from.as_str()]).await?;
            numbered.push((place, rows, last));
        }
        if let Some(stock) = self.stock(session).await? {
            stock.hold(session).await?;
        }
        transfer::prepare(session, model, graph).await?;
        for (place, rows, last) in numbered {
            let table = graph.tables[place].name.plain();
            self.progress.begin(&format!("move rows of {table}"), Some(rows));
            let transfer = Transfer::new(model, graph, place, Some(from.as_str()), Some(to.as_str()), copied)
                .within(self.at_once);
            let is_own_parent =
                graph.edges.iter().any(|edge| edge.holds_org && (edge.child, edge.parent) == (place, place));
            // What refers to rows of its own table goes with them.
            let batch_rows = if is_own_parent { u32::MAX } else { self.assignment.batch_rows };
            self.done[place].0 +=
                transfer.run(session, (1, last), batch_rows, self.run, self.progress).await?;
            self.progress.finish();
        }
        transfer::unprepare(session).await
    }
}
