//! Putting back what a run gave to another organization.

mod copies;
mod look;
mod put_back;

use serde::Serialize;
use sqlx::PgConnection;

use super::{
    super::{
        moves::{self, DataError, Graph, guard::Sight},
        users,
    },
    at_once,
    conflicts::Conflict,
    open,
    report::TableMoves,
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    progress::Progress,
    report::{Outcome, Report},
};

/// A run to take back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The command that it is of, whose run this one is too.
    pub command: &'static str,
    /// The run.
    pub run: i64,
    /// Only say what would be put back.
    pub dry_run: bool,
    /// How many rows must go back; with any other number, none does.
    pub expect: Option<u64>,
}

/// A row that is no longer where the run put it, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: String,
    /// Whose it is; none where it is gone.
    pub org_id: Option<String>,
}

/// Rows that refer to rows that would go back, and are not the run's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InTheWay {
    /// The table.
    pub table: String,
    /// The table that they refer to.
    pub referred: String,
    /// How many.
    pub rows: i64,
}

/// What was put back, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Undone {
    /// The command.
    pub command: &'static str,
    /// The run that is taken back.
    pub undone_run: i64,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// This run; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// Whether rows were put back.
    pub applied: bool,
    /// Why nothing can be put back, if so.
    pub stopped: Option<String>,
    /// How many rows, of all tables.
    pub rows: u64,
    /// The tables of which rows go back; their copies are those that are deleted.
    pub tables: Vec<TableMoves>,
    /// How many rows of an adopted table of balances went with their entries.
    pub balance_rows: u64,
    /// How many copies stay, since rows refer to them.
    pub copies_kept: u64,
    /// Rows that are no longer where the run put them, and stay.
    pub elsewhere: Vec<Elsewhere>,
    /// Rows that can't go back, because a key of theirs is taken there.
    pub conflicts: Vec<Conflict>,
    /// Rows that refer to those that would go back.
    pub in_the_way: Vec<InTheWay>,
}

impl Undone {
    /// What to ask before it is done; none where nothing would be.
    pub fn question(&self) -> Option<String> {
        let Self { rows, undone_run, .. } = self;
        self.stopped.is_none().then(|| format!("{rows} rows that run {undone_run} moved go back; go on?"))
    }
}

impl Report for Undone {
    const SCHEMA: &'static str = "stockfoil.undo/1";

    fn outcome(&self) -> Outcome {
        let is_whole = self.stopped.is_none() && self.elsewhere.is_empty() && self.copies_kept == 0;
        if is_whole { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Puts back what a run gave to another organization, as far as it is still there, or says what would be put back.
///
/// Each record of the run goes back in a transaction of its own. May be killed at any moment and run again.
///
/// # Errors
/// [`DataError`] for a run that there is not, or that was put back; another run that holds the lock, and what the
/// database refuses.
pub fn undo<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    request: &'a Undo,
    progress: &'a dyn Progress,
) -> Task<'a, Undone> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let _lock = open(db, model, request.dry_run, progress).await?;
        put_back(db, model, request, progress).await
    })
}

/// The same where the lock is held already.
///
/// # Errors
/// As [`undo`].
pub(in crate::tenancy) fn put_back<'a>(
    db: &'a Db,
    model: &'a Model,
    request: &'a Undo,
    progress: &'a dyn Progress,
) -> Task<'a, Undone> {
    Box::pin(async move {
        let mut session = db.session().await?;
        check(&mut session, request).await?;
        let graph = Graph::read(&mut session, model).await?;
        let is_atomic = at_once::is_needed(&graph, model)?;
        require_primary_keys(&mut session, model, &graph, request).await?;
        progress.begin("look at what the run moved", None);
        let mut work = Work {
            model,
            graph: &graph,
            request,
            at_once: None,
            progress,
            done: vec![(0, 0); graph.tables.len()],
        };
        let (mut report, records) = work.look(&mut session).await?;
        progress.finish();
        if request.dry_run || report.stopped.is_some() {
            return Ok(report);
        }
        let run = history::start(&mut session, request.command).await?;
        history::note(&mut session, run, &serde_json::json!({ "undo": request.run })).await?;
        report.run_id = Some(run);
        let result = match is_atomic {
            false => work.put_back(&mut session, run, &records, report).await,
            true => work.put_back_at_once(&mut session, run, &records, report).await,
        };
        let mut other = db.session().await?;
        let ended = history::finish(&mut other, run, result, |report| {
            serde_json::json!({
                "undo": request.run, "rows": report.rows, "tables": report.tables,
                "copies_kept": report.copies_kept, "elsewhere": report.elsewhere.len(),
            })
        })
        .await;
        moves::partial(&mut other, run, ended, || "the same command puts back the rest".into()).await
    })
}

/// Refuses a run that there is not, that is another command's, or that was put back.
async fn check(session: &mut PgConnection, request: &Undo) -> Result<(), Error> {
    // A merge has more to take back than rows, and says when that is done.
    let found: Option<(String, i64, i64, Option<i64>, bool)> = sqlx::query_as(
        "SELECT r.command, count(m.id), count(m.undone_run), max(m.undone_run),
                coalesce(r.summary ? 'merge' AND NOT r.summary ? 'restored_by', false)
         FROM stockfoil.run AS r LEFT JOIN stockfoil.move AS m ON m.run_id = r.id WHERE r.id = $1 GROUP BY r.command, r.summary",
    )
    .bind(request.run)
    .fetch_optional(session)
    .await
    .context("look for the run")?;
    let run = request.run;
    match found {
        None => Err(DataError::NoSuchRun(run).into()),
        Some((command, ..)) if command != request.command => {
            Err(DataError::OtherCommand { run, command }.into())
        }
        Some((.., true)) => Ok(()),
        Some((_, 0, ..)) => Err(DataError::NoSuchRun(run).into()),
        Some((_, all, undone, Some(by), _)) if all == undone => {
            Err(DataError::UndoneAlready { run, by }.into())
        }
        Some(_) => Ok(()),
    }
}

/// Refuses the records of a run that did not hold the primary keys of people.
async fn require_primary_keys(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    request: &Undo,
) -> Result<(), Error> {
    let Some(users) = &model.users else { return Ok(()) };
    let is_primary =
        |place: usize| matches!(graph.tables[place].key.as_slice(), [(key, _)] if *key == users.id);
    if request.command != users::COMMAND || graph.place(&users.table).is_none_or(is_primary) {
        return Ok(());
    }
    let keys: Option<String> =
        sqlx::query_scalar("SELECT summary ->> 'keys' FROM stockfoil.run WHERE id = $1")
            .bind(request.run)
            .fetch_one(session)
            .await
            .context("read what the run recorded")?;
    match keys.as_deref() {
        Some(users::PRIMARY) => Ok(()),
        _ => Err(DataError::OtherKeys { run: request.run, column: users.id.as_str().to_owned() }.into()),
    }
}

/// A record of the run.
#[derive(Debug)]
struct Moved {
    place: usize,
    id: i64,
    from: Option<String>,
    to: String,
    /// The numbers of its rows among those put aside; none where none of them is left.
    rows: Option<(i64, i64)>,
}

struct Work<'a> {
    model: &'a Model,
    graph: &'a Graph,
    request: &'a Undo,
    /// What the one transaction sees that all of it is done in, if it is.
    at_once: Option<Sight>,
    progress: &'a dyn Progress,
    /// By table: rows put back, and copies deleted.
    done: Vec<(u64, u64)>,
}
