//! What applications do, tried on the copy before the migration and after it, each in a transaction that is rolled
//! back. What worked before and does not afterwards, or does less, is in the way.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection, Row as _, ValueRef as _};

use super::{
    Migration, Rehearsal, Rehearsing, Request,
    action::{Action, Kind, Trial},
    functions, kept,
    lookups::{self, Lookup},
    meant::{BACK, meant, meant_back},
    probe,
    stage::Stage,
    views,
};
use crate::{
    Error,
    db::{Context as _, all_words, sqlstate},
    migration::finding::{self, Finding},
    model::Model,
    progress::Progress,
    sql::{Ident, render},
};

/// How long a statement of one of them may take before the migration.
const TIME: &str = "10s";

/// The same after it: what took nearly as long as it may before, on a machine that has other work now, is no obstacle.
const TIME_AFTER: &str = "100s";

/// What a trial did: the rows that its last action was about, and the value that it gave, where that is always the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Done {
    rows: u64,
    value: Option<String>,
}

/// Why the server did not do it.
#[derive(Debug)]
struct Refusal {
    sqlstate: String,
    words: String,
    /// Whether it was something that the last action of a way needs.
    is_early: bool,
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self { sqlstate: sqlstate(&error).unwrap_or_default(), words: all_words(&error), is_early: false }
    }
}

/// What was tried before the migration.
pub(super) struct Trials {
    /// Those that worked, each with the one way that did, and what it did.
    worked: Vec<(Trial, Done)>,
    lookups: Vec<Lookup>,
    path: String,
    /// The organization's column.
    org: String,
    /// Whether policies hide rows of tenant tables.
    is_hidden: bool,
}

/// What is not as it was before.
struct Found {
    /// The server's state; empty where it refused nothing.
    sqlstate: String,
    detail: String,
    /// What helps, where nothing but the column that came is to be seen of it.
    remedy: Option<&'static str>,
}

impl Trials {
    /// Nothing to try.
    pub(super) fn none() -> Self {
        Self {
            worked: Vec::new(),
            lookups: Vec::new(),
            path: String::new(),
            org: String::new(),
            is_hidden: false,
        }
    }

    /// Tries everything before the migration.
    pub(super) async fn before(
        stage: &Stage<'_>,
        model: &Model,
        migration: &Migration,
        report: &mut Rehearsal,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let path = stage.search_path().await?;
        let (mut session, counts) = session(stage, &path).await?;
        let session = &mut session;
        kept::look(session, model, migration, report).await?;
        let not_probed = &mut report.probes.not_probed;
        let tables = probe::tables(session, model).await?;
        let mut trials = probe::of_tables(session, model, &tables, not_probed).await?;
        trials.extend(views::trials(session, model, not_probed).await?);
        trials.extend(functions::trials(session, model, not_probed).await?);
        not_probed.extend(leave_out_others(session, &mut trials).await?);
        progress.begin("rehearsal: try what applications do", Some(trials.len() as u64));
        let mut worked = Vec::new();
        for mut trial in trials {
            progress.advance(1);
            let mut last = None;
            for way in std::mem::take(&mut trial.ways) {
                match twice(session, trial.role.as_ref(), &way).await? {
                    Ok(done) => {
                        trial.ways.push(way);
                        last = Some(Ok(done));
                        break;
                    }
                    Err(refusal) => last = Some(Err(refusal)),
                }
            }
            match last {
                Some(Ok(Done { rows: 0, .. })) if trial.kind == Kind::Update => {
                    not_probed.push(format!("{}{}: it is about no row", trial.what, trial.by()));
                }
                Some(Ok(done)) => worked.push((trial, done)),
                Some(Err(_)) if trial.kind == Kind::Further => {}
                Some(Err(refusal)) => {
                    not_probed.push(format!("{}{}: {}", trial.what, trial.by(), refusal.words));
                }
                None => {}
            }
        }
        match counts {
            true => not_probed.extend(probe::silent_triggers(session, &tables).await?),
            false => not_probed.push("which triggers run: the role may not set track_functions".to_owned()),
        }
        report.probes.tried = worked.len();
        let lookups = lookups::before(session, model, &mut report.probes.not_probed).await?;
        let names: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
        let is_hidden = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM unnest($1::text[]) AS n JOIN pg_class AS t ON t.oid = to_regclass(n) WHERE t.relrowsecurity)",
        )
        .bind(names)
        .fetch_one(session)
        .await
        .context("look for policies")?;
        Ok(Self { worked, lookups, path, org: model.org_column.as_str().to_owned(), is_hidden })
    }

    /// Tries everything that worked once more, and says what does not any more.
    pub(super) async fn after(
        &self,
        stage: &Stage<'_>,
        rehearsing: &Rehearsing<'_>,
        report: &mut Rehearsal,
    ) -> Result<(), Error> {
        let Rehearsing { progress, request: Request { migration, .. }, .. } = *rehearsing;
        let (mut session, _) = session(stage, &self.path).await?;
        let session = &mut session;
        progress.begin("rehearsal: try it again", Some(self.worked.len() as u64));
        for (trial, before) in &self.worked {
            progress.advance(1);
            // Of rows that were hidden nobody knows what would have been.
            if migration.is_back() && self.is_hidden && before.rows == 0 && before.value.is_none() {
                let told = format!("{}{}: it saw no row before the way back", trial.what, trial.by());
                report.probes.not_probed.push(told);
                continue;
            }
            for way in &trial.ways {
                let role = trial.role.as_ref();
                let now = attempt(session, role, way, TIME_AFTER).await?;
                // The INSERT of such a row is tried by itself.
                if let Err(Refusal { is_early: true, words, .. }) = &now {
                    let (what, by) = (&trial.what, trial.by());
                    let told =
                        format!("{what}{by} after the migration: what it needs can't be done: {words}");
                    report.probes.not_probed.push(told);
                    continue;
                }
                // What is about another number of rows each time says nothing.
                let is_drawn = match &now {
                    Ok(now) if now.rows != before.rows && trial.kind == Kind::Balance => true,
                    Ok(now) if now.rows != before.rows => draws(session, role, way, now.rows).await?,
                    _ => false,
                };
                match difference(before, now, &self.org).filter(|_| !is_drawn) {
                    None => report.probes.same += 1,
                    Some(found) => tell(report, trial, way, (migration, self.is_hidden), found),
                }
            }
        }
        let mut production = rehearsing.db.session().await?;
        for change in lookups::changes(session, &mut production, &self.lookups).await? {
            report.warnings.extend(change.warning());
            report.lookups.push(change);
        }
        Ok(())
    }
}

/// So often something is done again that was about others: one of two by chance is the same each time once in a million.
const DRAWS: usize = 20;

/// Whether what was about so many `rows` is about others at another time.
async fn draws(
    session: &mut PgConnection,
    role: Option<&Ident>,
    way: &[Action],
    rows: u64,
) -> Result<bool, Error> {
    for _ in 0..DRAWS {
        if attempt(session, role, way, TIME_AFTER).await?.is_ok_and(|done| done.rows != rows) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is not as it was. `org` is the organization's column.
fn difference(before: &Done, now: Result<Done, Refusal>, org: &str) -> Option<Found> {
    let answer = |value: &Option<String>| value.as_deref().is_some_and(|value| value.contains(org));
    match now {
        Err(refusal) => {
            let text = format!("worked before the migration and fails after it: {}", refusal.words);
            Some(Found { sqlstate: refusal.sqlstate, detail: text, remedy: None })
        }
        Ok(now) if now.rows != before.rows => {
            let text = format!(
                "was about {} rows before the migration and is about {} after it",
                before.rows, now.rows
            );
            Some(Found { sqlstate: String::new(), detail: text, remedy: None })
        }
        Ok(now) if before.value.is_some() && now.value != before.value => {
            let carries = answer(&now.value) && !answer(&before.value);
            Some(Found {
                sqlstate: String::new(),
                detail: ANOTHER_RESULT.to_owned(),
                remedy: carries.then_some("let who reads its answer bear the organization's column in it"),
            })
        }
        Ok(_) => None,
    }
}

/// Puts down what is not as it was.
fn tell(
    report: &mut Rehearsal,
    trial: &Trial,
    way: &[Action],
    (migration, is_hidden): (&Migration, bool),
    Found { sqlstate, detail, remedy }: Found,
) {
    let remedy = remedy.or_else(|| match migration.is_back() {
        // What read as it was before the migration answers as it did then.
        true if detail == ANOTHER_RESULT => Some(BACK),
        true => meant_back(&sqlstate, is_hidden),
        false => meant(trial.kind, &sqlstate, migration),
    });
    let (list, remedy) = match (remedy, migration.accepted()) {
        (Some(remedy), _) => (&mut report.will_fail, remedy),
        (None, _) if detail != ANOTHER_RESULT => (&mut report.obstacles, REMEDY),
        (None, Some(accepted)) if accepted.iter().any(|name| name == finding::ANSWERS) => {
            (&mut report.will_fail, ANSWER_REMEDY)
        }
        (None, Some(_)) => (&mut report.obstacles, ANSWER_REMEDY),
        (None, None) => (&mut report.obstacles, ANSWER_REMEDY_ELSE),
    };
    let begin = format!("{} as ", trial.what);
    let is_same =
        |found: &&mut Finding| found.object.starts_with(&begin) && found.detail.starts_with(&detail);
    match (list.iter_mut().find(is_same), &trial.role) {
        // The same as another role is told with that, and with other values not again.
        (Some(found), Some(role)) if found.object.ends_with(&format!(" {}", role.as_str())) => {}
        (Some(found), Some(role)) => found.object = format!("{}, {}", found.object, role.as_str()),
        _ => list.push(Finding {
            check: "probe",
            object: format!("{}{}", trial.what, trial.by()),
            detail: format!("{detail}{}", shown(way)),
            remedy: remedy.to_owned(),
        }),
    }
}

/// What is said of a function that answers otherwise.
const ANOTHER_RESULT: &str = "gives another result after the migration than before it";

const ANSWER_REMEDY: &str = "see why; where it is of a size, of the catalog or of whole rows, and who reads it bears that, go on with --accept answers";

/// The same of a command that accepts nothing by name.
const ANSWER_REMEDY_ELSE: &str = "see why; where it is of a size, of the catalog or of whole rows, and who reads it bears that, go on with --no-rehearsal";

/// What helps where something breaks that the migration does not mean to break.
const REMEDY: &str = "change the trigger, function, rule or policy that it names so that it works with the columns that come too, or let the statement name its columns";

/// A session that does what applications do, with the names that they find; and whether the functions that run in it are
/// counted: a trigger that none of it made run was not tried.
async fn session(stage: &Stage<'_>, path: &str) -> Result<(PgConnection, bool), Error> {
    const WHAT: &str = "prepare the rehearsal's session";
    let mut session = stage.admin().await?;
    sqlx::query("SELECT set_config('search_path', $1, false)")
        .bind(path)
        .execute(&mut session)
        .await
        .context(WHAT)?;
    let counted = sqlx::raw_sql("SET track_functions = 'all'").execute(&mut session).await;
    stage.set_formats(&mut session).await?;
    Ok((session, counted.is_ok()))
}

/// Takes out of `trials` those of roles that the session can't work as, and says so.
async fn leave_out_others(session: &mut PgConnection, trials: &mut Vec<Trial>) -> Result<Vec<String>, Error> {
    let roles: BTreeSet<String> =
        trials.iter().filter_map(|trial| trial.role.as_ref()).map(|role| role.as_str().to_owned()).collect();
    let mut said = Vec::new();
    for role in roles {
        let role = Ident::new(role)?;
        let Err(refusal) = attempt(session, Some(&role), &[], TIME).await? else { continue };
        let count = trials.len();
        trials.retain(|trial| trial.role.as_ref() != Some(&role));
        let count = count - trials.len();
        said.push(format!("{count} things that {} does: {}", role.as_str(), refusal.words));
    }
    Ok(said)
}

/// Does `way` as [`attempt`] does; a value that is another one the second time says nothing.
async fn twice(
    session: &mut PgConnection,
    role: Option<&Ident>,
    way: &[Action],
) -> Result<Result<Done, Refusal>, Error> {
    let first = attempt(session, role, way, TIME).await?;
    match first {
        Ok(Done { value: Some(value), rows }) => {
            let second = attempt(session, role, way, TIME).await?.ok();
            let is_same = second.is_some_and(|second| second.value.as_ref() == Some(&value));
            Ok(Ok(Done { rows, value: is_same.then_some(value) }))
        }
        first => Ok(first),
    }
}

/// Does `way` as `role` in a transaction that is rolled back, no statement of it longer than `time`.
async fn attempt(
    session: &mut PgConnection,
    role: Option<&Ident>,
    way: &[Action],
    time: &str,
) -> Result<Result<Done, Refusal>, Error> {
    let mut transaction = session.begin().await.context("begin a trial")?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(time)
        .execute(&mut *transaction)
        .await
        .context("begin a trial")?;
    if let Some(role) = role {
        let set = render("SET LOCAL ROLE {role}", &[("role", role)]);
        // A role that isolation made goes with it.
        if let Err(error) = sqlx::raw_sql(set.sql()).execute(&mut *transaction).await {
            transaction.rollback().await.context("take a trial back")?;
            return Ok(Err(error.into()));
        }
    }
    let outcome = async {
        let mut done = Done::default();
        for (place, action) in way.iter().enumerate() {
            let is_early = place + 1 < way.len();
            done = act(&mut transaction, action)
                .await
                .map_err(|error| Refusal { is_early, ..Refusal::from(error) })?;
        }
        sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *transaction).await?;
        Ok::<_, Refusal>(done)
    };
    let outcome = outcome.await;
    transaction.rollback().await.context("take a trial back")?;
    Ok(outcome)
}

async fn act(session: &mut PgConnection, action: &Action) -> Result<Done, sqlx::Error> {
    match action {
        Action::Run(statement) => {
            let rows = sqlx::raw_sql(statement.sql()).execute(session).await?.rows_affected();
            Ok(Done { rows, value: None })
        }
        Action::Ask(statement) => {
            let rows = sqlx::raw_sql(statement.sql()).fetch_all(session).await?;
            let mut value = String::new();
            for row in &rows {
                // In the simple protocol every value is a text.
                let cell = row.try_get_raw(0)?;
                let cell = if cell.is_null() { None } else { cell.as_str().ok() };
                value.push_str(&format!("{cell:?}"));
            }
            Ok(Done { rows: rows.len() as u64, value: Some(value) })
        }
        Action::Copy(into, from) => {
            let mut rows = Vec::new();
            let mut parts = session.copy_out_raw(from.as_str()).await?;
            while let Some(part) = parts.try_next().await? {
                rows.extend_from_slice(&part);
            }
            drop(parts);
            let mut sink = session.copy_in_raw(into.as_str()).await?;
            // What it did not take, its end tells.
            let _ = sink.send(rows).await;
            Ok(Done { rows: sink.finish().await?, value: None })
        }
        Action::Plan { make, call, .. } => {
            sqlx::raw_sql(make.sql()).execute(&mut *session).await?;
            sqlx::raw_sql("SAVEPOINT stockfoil_plan").execute(&mut *session).await?;
            match sqlx::raw_sql(call.sql()).execute(&mut *session).await {
                Err(error) if sqlstate(&error).as_deref() == Some(functions::PLANNED) => {
                    sqlx::raw_sql("ROLLBACK TO SAVEPOINT stockfoil_plan").execute(session).await?;
                    Ok(Done::default())
                }
                Err(error) => Err(error),
                Ok(_) => Err(sqlx::Error::Protocol("it did not come to the statement".to_owned())),
            }
        }
    }
}

/// The statement that failed, for a message, without the values of rows that are in it.
fn shown(way: &[Action]) -> String {
    let Some(
        Action::Run(statement)
        | Action::Ask(statement)
        | Action::Copy(statement, _)
        | Action::Plan { statement, .. },
    ) = way.last()
    else {
        return String::new();
    };
    let mut line = String::new();
    for (place, part) in statement.as_str().split('\'').enumerate() {
        line.push_str(if place % 2 == 0 { part } else { "'...'" });
    }
    let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push_str(" ...");
    }
    format!("; statement: {line}")
}
