//! `migrate-balance`: the table of balances, and the triggers on the ledger that keep it.
//!
//! The triggers come before the backfill: creating them waits for every writer that began before, so from then on
//! each change is counted once, and the backfill adds what was there already.

mod adopted;
mod creation;
mod hot;
mod indexes;
mod keepers;
mod room;

use sqlx::PgConnection;

use super::{
    change,
    error::MigrationError,
    finding::Finding,
    isolation,
    patience::{Patience, RUN_LOCK_WAIT},
    preflight, privileges, records,
    report::MigrationReport,
    runner,
    step::{Goal, Lock, Step},
};
use crate::{
    Error, Task,
    balance::{self, Kind, Object, Objects, OwnTable, State},
    catalog,
    db::{Context as _, Db, DbError},
    mapping::{self, Mapping},
    model::Model,
    progress::Progress,
    sql::{QualifiedName, render},
};

pub(crate) use keepers::{KEEPERS_REMEDY, keepers};

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
        let model = &model(db, mapping, request).await?;
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
        let model = &model(db, mapping, request).await?;
        let mut lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        let session = lock.session();
        runner::prepare(session).await?;
        let mut task = task(session, model, request, false).await?;
        if !request.rollback {
            task.operations = isolation::operations(session, model).await?;
        }
        let mut report = runner::run(db, session, task, request.patience, progress).await?;
        if !request.rollback && isolation::is_on(session, model).await? {
            // What was made now is not isolated yet, and the model was of the time before.
            let model = &mapping.resolve(db).await?;
            let task = runner::Task::new(COMMAND, isolation::steps(session, model).await?);
            let isolated = runner::run(db, session, task, request.patience, progress).await?;
            report.done_before += isolated.done_before;
            report.steps.extend(isolated.steps);
            report.tables.extend(isolated.tables);
        }
        Ok(report)
    })
}

async fn model(db: &Db, mapping: &Mapping, request: Request) -> Result<Model, Error> {
    match request.rollback {
        true => mapping.resolve_to_take_back(db).await,
        false => mapping.resolve(db).await,
    }
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
    task.obstacles = obstacles(session, model).await?;
    task.obstacles.extend(adopted::obstacles(session, model).await?);
    // Of the way there alone: back, nothing is added.
    task.obstacles.extend(room::columns_max(session, model).await?);
    task.obstacles.extend(hot::obstacles(session, model).await?);
    task.obstacles.extend(keepers::obstacles(session, model).await?);
    task.warnings = privileges::warnings(session, model).await?;
    Ok(task)
}

async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    let mut tables = vec![model.ledger.table.clone()];
    for table in [&model.organizations, &model.balances.table] {
        tables.extend(catalog::parts(session, table).await?.into_iter().map(|part| part.table));
    }
    let mut found = preflight::privileges(session, model, &tables).await?;
    found.extend(preflight::detaching(session, model, &tables).await?);
    let ledger = &model.ledger.table;
    let is_unlogged: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relpersistence = 'u'
                        AND (oid = to_regclass($1) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1)))))",
    )
    .bind(ledger.to_string())
    .fetch_one(&mut *session)
    .await
    .context("look whether the ledger is logged")?;
    if is_unlogged {
        found.push(Finding {
            check: "unlogged",
            object: ledger.plain(),
            detail: "is UNLOGGED: a crash empties it, and leaves the balances that its entries made".into(),
            remedy: "ALTER TABLE it SET LOGGED first".into(),
        });
    }
    if let Some(statistics) = balance::objects(model).statistics {
        let owner: Option<String> = sqlx::query_scalar(
            "SELECT s.stxrelid::regclass::text FROM pg_statistic_ext AS s
             WHERE s.stxnamespace = to_regnamespace(quote_ident($1)) AND s.stxname = $2 AND s.stxrelid <> to_regclass($3)",
        )
        .bind(ledger.schema.as_str())
        .bind(statistics.name.as_str())
        .bind(ledger.to_string())
        .fetch_optional(&mut *session)
        .await
        .context("look whose the name of the statistics is")?;
        found.extend(owner.map(|owner| Finding {
            check: "statistics",
            object: ledger.plain(),
            detail: format!("needs statistics of the name {}, which {owner} has", statistics.name.as_str()),
            remedy: format!(
                "ALTER STATISTICS {} RENAME TO another name first, or DROP it",
                QualifiedName::new(ledger.schema.clone(), statistics.name.clone())
            ),
        }));
    }
    let everybody = uncounted(session, model).await?.into_iter().filter(|(_, is_everybody)| *is_everybody);
    found.extend(everybody.map(|(who, _)| Finding {
        check: "uncounted",
        object: ledger.plain(),
        detail: format!(
            "is written with session_replication_role = replica by {who}, which fires no trigger"
        ),
        remedy: "ALTER DATABASE or ROLE ... RESET session_replication_role first".into(),
    }));
    Ok(found)
}

/// Who writes the ledger by a setting under which no entry is counted, and whether that is everybody.
///
/// # Errors
/// Database errors.
pub(crate) async fn uncounted(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(String, bool)>, DbError> {
    sqlx::query_as(include_str!("balance/uncounted.sql"))
        .bind(model.ledger.table.to_string())
        .fetch_all(session)
        .await
        .context("look who writes the ledger without its triggers")
}

/// The parts of `model` under the names that they have or will have, and the steps that remove triggers of no use: those that
/// a former partition keeps.
async fn objects(session: &mut PgConnection, model: &Model) -> Result<(Objects, Vec<Step>), Error> {
    let (names, useless) = balance::TriggerNames::of_found(balance::triggers(session, model).await?);
    let drop = |trigger: balance::FoundTrigger| {
        let balance::FoundTrigger { table, name, .. } = trigger;
        Step::short(
            format!("drop trigger {} of {}, which is of no use there", name.as_str(), table.plain()),
            Lock::AccessExclusive,
            vec![table.clone()],
            vec![render(
                "DROP TRIGGER IF EXISTS {trigger} ON {table}",
                &[("trigger", &name), ("table", &table)],
            )],
            Goal::new(
                "SELECT NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2)",
                [table.to_string(), name.as_str().to_owned()],
            ),
        )
    };
    Ok((balance::objects_named(model, &names), useless.into_iter().map(drop).collect()))
}

/// Everything that `migrate-balance` made goes; what the balances hold can be computed again. A table that was there
/// before, or that somebody else made, stays.
async fn back(session: &mut PgConnection, model: &Model) -> Result<runner::Task, Error> {
    let (objects, useless) = objects(session, model).await?;
    let ledger = &model.ledger.table;
    let drop = |title: String, lock, tables, parts: &[&Object]| removal(model, title, lock, tables, parts);
    let unwanted =
        |kinds: &[Kind]| objects.unwanted.iter().filter(|part| kinds.contains(&part.kind)).collect();
    let unwanted_triggers: Vec<&Object> = unwanted(&[Kind::Trigger]);
    let unwanted_functions: Vec<&Object> = unwanted(&[Kind::Function, Kind::Query]);
    let unwanted_queue: Vec<&Object> = unwanted(&[Kind::Record]);
    let triggers: Vec<&Object> = objects.triggers.iter().chain(unwanted_triggers).collect();
    let functions: Vec<&Object> =
        objects.queries.iter().chain(objects.functions.iter().rev()).chain(unwanted_functions).collect();
    let mut steps = vec![drop(
        format!("drop the balances' triggers on {}", ledger.plain()),
        Lock::AccessExclusive,
        model.ledger.tables().cloned().collect(),
        &triggers,
    )];
    steps.extend(useless);
    let queue: Vec<&Object> = objects.queue.iter().chain(unwanted_queue).collect();
    if !queue.is_empty() {
        steps.push(drop_queue(model, &queue));
    }
    let states = balance::inspect(session, &objects).await?;
    let table = balance::own_table(session, model, &states).await?;
    if table != OwnTable::Another {
        // Its foreign key goes with it, which needs the lock on organizations too.
        steps.push(drop(
            format!("drop table {}", model.balances.table.plain()),
            Lock::AccessExclusive,
            vec![model.organizations.clone(), model.balances.table.clone()],
            &[&objects.table],
        ));
    }
    steps.push(drop("drop the balances' functions".into(), Lock::None, vec![], &functions));
    steps.extend(indexes::back(session, model).await?);
    if let Some(statistics) = &objects.statistics {
        steps.push(drop(
            format!("drop statistics {} of {}", statistics.name.as_str(), ledger.plain()),
            Lock::ShareUpdateExclusive,
            vec![ledger.clone()],
            &[statistics],
        ));
    }
    steps.extend(checkpoint_back(model, &objects));
    if change::is_there(session).await? {
        steps.push(forget_backfill());
    }
    let mut obstacles = obstacles(session, model).await?;
    obstacles.extend(dependents(session, model, &objects, table != OwnTable::Another).await?);
    let mut task = runner::Task { rollback: true, obstacles, ..runner::Task::new(COMMAND, steps) };
    if table == OwnTable::Another && !model.balances.is_adopted {
        let table = model.balances.table.plain();
        task.warnings.push(format!(
            "table {table} stays: it is not known to be Stockfoil's; drop it by hand where its rows are nobody's"
        ));
    }
    Ok(task)
}

fn forget_backfill() -> Step {
    Step::short(
        "forget that balances were backfilled".into(),
        Lock::None,
        vec![],
        vec![render("DELETE FROM stockfoil.backfill", &[])],
        Goal::new("SELECT NOT EXISTS (SELECT FROM stockfoil.backfill)", []),
    )
}

/// What stands on that which goes: views, foreign keys and functions that came later.
async fn dependents(
    session: &mut PgConnection,
    model: &Model,
    objects: &Objects,
    table_goes: bool,
) -> Result<Vec<Finding>, Error> {
    let names = |parts: &[Object], kind: Kind| -> Vec<String> {
        parts.iter().filter(|part| part.kind == kind).map(|part| part.name.as_str().to_owned()).collect()
    };
    let mut functions = names(&objects.functions, Kind::Function);
    functions.extend(names(&objects.queries, Kind::Query));
    functions
        .extend([Kind::Function, Kind::Query].into_iter().flat_map(|kind| names(&objects.unwanted, kind)));
    let columns = objects.checkpoint.iter().filter(|part| part.kind != Kind::Record);
    let (tables, columns): (Vec<String>, Vec<String>) = columns
        .flat_map(|column| {
            model.ledger.tables().map(|table| (table.to_string(), column.name.as_str().to_owned()))
        })
        .unzip();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("balance/dependents.sql"))
        .bind(table_goes.then(|| model.balances.table.to_string()))
        .bind(functions)
        .bind(tables)
        .bind(columns)
        .fetch_all(session)
        .await
        .context("look what depends on the balances")?;
    let finding = |(object, detail)| Finding {
        check: "dependents",
        object,
        detail,
        remedy: "change or drop it first".into(),
    };
    Ok(rows.into_iter().map(finding).collect())
}

/// The checkpoint's columns of the ledger go, then its own records.
fn checkpoint_back(model: &Model, objects: &Objects) -> Vec<Step> {
    let (records, columns): (Vec<&Object>, Vec<&Object>) =
        objects.checkpoint.iter().rev().partition(|part| part.kind == Kind::Record);
    let ledger = &model.ledger;
    let mut steps = Vec::new();
    for column in columns {
        let title = format!("drop column {} of {}", column.name.as_str(), ledger.table.plain());
        steps.push(removal(
            model,
            title,
            Lock::AccessExclusive,
            ledger.tables().cloned().collect(),
            &[column],
        ));
    }
    if !records.is_empty() {
        let title = "drop the reconciliation's checkpoint".into();
        steps.push(removal(model, title, Lock::None, vec![], &records));
    }
    steps
}

/// The step that drops `parts`.
fn removal(model: &Model, title: String, lock: Lock, tables: Vec<QualifiedName>, parts: &[&Object]) -> Step {
    let statements = parts.iter().filter_map(|part| part.drop.clone()).collect();
    Step::short(title, lock, tables, statements, Goal::parts(model, parts.iter().copied(), State::Missing))
}

/// The step that drops the queue of deltas, with its foreign key.
fn drop_queue(model: &Model, queue: &[&Object]) -> Step {
    let tables = vec![model.organizations.clone()];
    removal(model, "drop the queue of deltas".into(), Lock::AccessExclusive, tables, queue)
}

/// Refuses a database whose ledger does not say yet whose an entry is.
async fn require_organizations(session: &mut PgConnection, model: &Model) -> Result<(), Error> {
    match catalog::column(session, &model.ledger.table, &model.org_column).await? {
        Some(column) if column.not_null => Ok(()),
        _ => Err(MigrationError::NoOrganizations { table: model.ledger.table.plain() }.into()),
    }
}

async fn steps(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let (objects, useless) = objects(session, model).await?;
    let states = balance::inspect(session, &objects).await?;
    let table = states.iter().find(|(object, _)| object.kind == Kind::Table);
    let still_computes = creation::still_computes_lot_key(session, model, table).await?;
    if let Some((table, State::Altered(how))) = table
        && !still_computes
    {
        let (table, how) = (table.name.as_str().to_owned(), how.clone());
        return Err(match mapping::made_balances(session, &model.balances.table).await? {
            true => MigrationError::BalancesOfAnotherMapping { table, how }.into(),
            false => MigrationError::OtherBalances { table, how }.into(),
        });
    }
    let creation = creation::Creation { model, objects: &objects, states: &states };
    let mut steps = Vec::from(records::steps());
    match still_computes {
        true => steps.extend(creation.write_lot_key()),
        false => steps.extend(creation.table()),
    }
    steps.extend(creation.checkpoint());
    let mut indexes = indexes::Indexes::read(session, &objects).await?;
    if let Some(key) = &objects.unique_key {
        steps.extend(indexes.build(model, key)?);
    }
    steps.extend(useless);
    steps.extend(creation.queue());
    steps.extend(creation.triggers());
    steps.extend(creation.queries());
    for index in &objects.key_indexes {
        steps.extend(indexes.build(model, index)?);
    }
    // What was made for another mapping serves until its successor is there.
    steps.extend(indexes.leftovers());
    steps.extend(creation.statistics());
    steps.push(privileges::step(session, model).await?);
    Ok(steps)
}
