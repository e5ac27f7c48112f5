//! `migrate-balance`: the table of balances, and the triggers on the ledger that keep it.
//!
//! The triggers come before the backfill: creating them waits for every writer that began before, so from then on
//! each change is counted once, and the backfill adds what was there already.

use sqlx::PgConnection;

use super::{
    MigrationError, change,
    index::{self, Shape},
    isolation, org,
    preflight::{self, Finding},
    runner::{self, MigrationReport, Patience, RUN_LOCK_WAIT},
    step::{Goal, Lock, Run, Step},
};
use crate::{
    Error, Task,
    balance::{self, Kind, Object, State},
    catalog,
    db::Db,
    mapping::Mapping,
    model::Model,
    progress::Progress,
    sql::{QualifiedName, Statement, render},
};

/// The command, as its report names it.
const COMMAND: &str = "migrate-balance";

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// Back to the schema without balances.
    pub rollback: bool,
    /// How long to wait for other sessions.
    pub patience: Patience,
}

/// What the plan would do, without doing it.
///
/// # Errors
/// As [`run`].
pub fn plan<'a>(db: &'a Db, mapping: &'a Mapping, request: Request) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        runner::prepare(&mut session).await?;
        let task = task(&mut session, model, request, true).await?;
        runner::plan(&mut session, task).await
    })
}

/// Does what the catalog does not show to be done.
///
/// # Errors
/// [`MigrationError`] when the organizations are not there yet or another table has the balances' name; database
/// errors.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    request: Request,
    progress: &'a dyn Progress,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        db.require_writable()?;
        db.require_direct().await?;
        let model = &mapping.resolve(db).await?;
        let mut lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        let session = lock.session();
        runner::prepare(session).await?;
        let task = task(session, model, request, false).await?;
        let mut report = runner::run(db, session, task, request.patience, progress).await?;
        if !request.rollback && isolation::is_on(session, model).await? {
            // What was made now is not isolated yet.
            let task = runner::Task::new(COMMAND, isolation::steps(session, model).await?);
            let isolated = runner::run(db, session, task, request.patience, progress).await?;
            report.done_before += isolated.done_before;
            report.steps.extend(isolated.steps);
        }
        Ok(report)
    })
}

async fn task(
    session: &mut PgConnection,
    model: &Model,
    request: Request,
    dry_run: bool,
) -> Result<runner::Task, Error> {
    if request.rollback {
        return back(session, model).await;
    }
    // A plan of the whole sequence is made before the organizations are there.
    if !dry_run {
        require_organizations(session, model).await?;
    }
    let mut task = runner::Task::new(COMMAND, steps(session, model).await?);
    task.obstacles = privileges(session, model).await?;
    Ok(task)
}

async fn privileges(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    let mut tables = vec![model.ledger.table.clone()];
    for table in [&model.organizations, &model.balances.table] {
        tables.extend(catalog::parts(session, table).await?.into_iter().map(|part| part.table));
    }
    Ok(preflight::privileges(session, model, &tables).await?)
}

/// Everything that `migrate-balance` made goes; what the balances hold can be computed again. A table that was there
/// before stays.
async fn back(session: &mut PgConnection, model: &Model) -> Result<runner::Task, Error> {
    let objects = balance::objects(model);
    let ledger = &model.ledger.table;
    let drop = |title: String, lock, tables: Vec<QualifiedName>, parts: &[&Object]| {
        let statements = parts.iter().filter_map(|part| part.drop.clone()).collect();
        Step::short(
            title,
            lock,
            tables,
            statements,
            Goal::parts(model, parts.iter().copied(), State::Missing),
        )
    };
    let (unwanted_functions, unwanted_triggers): (Vec<&Object>, Vec<&Object>) =
        objects.unwanted.iter().partition(|part| part.kind == Kind::Function);
    let triggers: Vec<&Object> = objects.triggers.iter().chain(unwanted_triggers).collect();
    let functions: Vec<&Object> = objects.functions.iter().rev().chain(unwanted_functions).collect();
    let mut steps = vec![drop(
        format!("drop the balances' triggers on {}", ledger.plain()),
        Lock::AccessExclusive,
        model.ledger.tables().cloned().collect(),
        &triggers,
    )];
    if objects.table.drop.is_some() {
        // Its foreign key goes with it, which needs the lock on organizations too.
        steps.push(drop(
            format!("drop table {}", model.balances.table.plain()),
            Lock::AccessExclusive,
            vec![model.organizations.clone(), model.balances.table.clone()],
            &[&objects.table],
        ));
    }
    steps.push(drop("drop the balances' functions".into(), Lock::None, vec![], &functions));
    for object in objects.unique_key.iter().chain(&objects.key_indexes) {
        let Some(table) = &object.table else { continue };
        let title = format!("drop index {} of {}", object.name.as_str(), table.plain());
        let step = if catalog::parts(session, table).await?.len() > 1 {
            // The index of a partitioned table can't be dropped concurrently.
            index::drop(title, table, &object.name, false)
        } else {
            let lock = Lock::ShareUpdateExclusive;
            Step { run: Run::Concurrent, ..drop(title, lock, vec![table.clone()], &[object]) }
        };
        steps.push(step);
    }
    if let Some(statistics) = &objects.statistics {
        steps.push(drop(
            format!("drop statistics {} of {}", statistics.name.as_str(), ledger.plain()),
            Lock::ShareUpdateExclusive,
            vec![ledger.clone()],
            &[statistics],
        ));
    }
    let (records, columns): (Vec<&Object>, Vec<&Object>) =
        objects.checkpoint.iter().partition(|part| part.kind == Kind::Record);
    for column in columns.into_iter().rev() {
        steps.push(drop(
            format!("drop column {} of {}", column.name.as_str(), ledger.plain()),
            Lock::AccessExclusive,
            model.ledger.tables().cloned().collect(),
            &[column],
        ));
    }
    if !records.is_empty() {
        let records: Vec<&Object> = records.into_iter().rev().collect();
        steps.push(drop("drop the reconciliation's checkpoint".into(), Lock::None, vec![], &records));
    }
    if change::is_there(session).await? {
        steps.push(Step::short(
            "forget that balances were backfilled".into(),
            Lock::None,
            vec![],
            vec![render("DELETE FROM stockfoil.backfill", &[])],
            Goal::new("SELECT NOT EXISTS (SELECT FROM stockfoil.backfill)", []),
        ));
    }
    let obstacles = privileges(session, model).await?;
    Ok(runner::Task { rollback: true, obstacles, ..runner::Task::new(COMMAND, steps) })
}

/// Refuses a database whose ledger does not say yet whose an entry is.
async fn require_organizations(session: &mut PgConnection, model: &Model) -> Result<(), Error> {
    match catalog::column(session, &model.ledger.table, &model.org_column).await? {
        Some(column) if column.not_null => Ok(()),
        _ => Err(MigrationError::NoOrganizations { table: model.ledger.table.plain() }.into()),
    }
}

async fn steps(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let objects = balance::objects(model);
    let states = balance::inspect(session, &objects).await?;
    if let Some((table, State::Altered(how))) = states.iter().find(|(object, _)| object.kind == Kind::Table) {
        return Err(
            MigrationError::OtherBalances { table: table.name.as_str().into(), how: how.clone() }.into()
        );
    }
    let ledger = &model.ledger.table;
    let create = |title: String, lock, tables, parts: &[&Object]| {
        let statements: Vec<Statement> = parts.iter().flat_map(|part| part.create.iter().cloned()).collect();
        Step::short(title, lock, tables, statements, Goal::parts(model, parts.iter().copied(), State::Intact))
    };
    let functions: Vec<&Object> = objects.functions.iter().collect();
    let triggers: Vec<&Object> = objects.triggers.iter().collect();
    let unwanted: Vec<&Object> = objects.unwanted.iter().collect();
    let mut steps = Vec::from(org::records_steps());
    if !model.balances.is_adopted {
        steps.push(create(
            format!("create table {}", model.balances.table.plain()),
            Lock::ShareRowExclusive,
            vec![model.organizations.clone()],
            &[&objects.table],
        ));
    }
    let (records, columns): (Vec<&Object>, Vec<&Object>) =
        objects.checkpoint.iter().partition(|part| part.kind == Kind::Record);
    if !records.is_empty() {
        steps.push(create("create the reconciliation's checkpoint".into(), Lock::None, vec![], &records));
    }
    for column in columns {
        steps.push(create(
            format!("add column {} to {}", column.name.as_str(), ledger.plain()),
            Lock::AccessExclusive,
            model.ledger.tables().cloned().collect(),
            &[column],
        ));
    }
    if let Some(key) = &objects.unique_key {
        steps.extend(build(session, model, key, true).await?);
    }
    if !triggers.is_empty() {
        steps.push(create("create the balances' functions".into(), Lock::None, vec![], &functions));
        // All at once, so that no write falls between two of them.
        steps.push(create(
            format!("create the balances' triggers on {}", ledger.plain()),
            Lock::ShareRowExclusive,
            model.ledger.tables().cloned().collect(),
            &triggers,
        ));
    }
    if states.iter().any(|(_, state)| *state == State::Unwanted) {
        steps.push(Step::short(
            format!("drop the trigger for replicated rows of {}", ledger.plain()),
            Lock::AccessExclusive,
            model.ledger.tables().cloned().collect(),
            unwanted.iter().filter_map(|part| part.drop.clone()).collect(),
            Goal::parts(model, unwanted, State::Missing),
        ));
    }
    for index in &objects.key_indexes {
        steps.extend(build(session, model, index, false).await?);
    }
    if let Some(statistics) = &objects.statistics {
        let mut step = create(
            format!("create statistics {} on {}", statistics.name.as_str(), ledger.plain()),
            Lock::ShareUpdateExclusive,
            vec![ledger.clone()],
            &[statistics],
        );
        step.statements.push(objects.analyze.clone());
        steps.push(step);
    }
    Ok(steps)
}

/// Builds an index of the balances concurrently, on each partition where its table is partitioned.
async fn build(
    session: &mut PgConnection,
    model: &Model,
    object: &Object,
    is_unique: bool,
) -> Result<Vec<Step>, Error> {
    let (Some(table), Some((method, definition))) = (&object.table, &object.index) else {
        return Ok(Vec::new());
    };
    let parts = catalog::parts(session, table).await?;
    let shape = Shape::written(is_unique, *method, definition);
    let places = index::named_places(&parts, &object.name);
    let mut steps = index::build(&shape, &places, true, |_| None);
    if let Some(last) = steps.last_mut() {
        // The whole of it is what validate-migration asks too.
        last.goal = Goal::parts(model, [object], State::Intact);
    }
    Ok(steps)
}
