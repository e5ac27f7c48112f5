//! `migrate-balance`: the table of balances, and the triggers on the ledger that keep it.
//!
//! The triggers come before the backfill: creating them waits for every writer that began before, so from then on
//! each change is counted once, and the backfill adds what was there already.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    MigrationError, org,
    runner::{self, MigrationReport},
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
    sql::{QualifiedName, Statement},
};

/// The command, as its report names it.
const COMMAND: &str = "migrate-balance";

/// What the plan would do, without doing it.
///
/// # Errors
/// As [`run`].
pub fn plan<'a>(db: &'a Db, mapping: &'a Mapping) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        let steps = steps(&mut session, model).await?;
        runner::plan(&mut session, COMMAND, steps).await
    })
}

/// Does what the catalog does not show to be done.
///
/// # Errors
/// [`MigrationError`] when the organizations are not there yet or another table has the balances' name; database
/// errors.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, progress: &'a dyn Progress) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        db.require_writable()?;
        let model = &mapping.resolve(db).await?;
        let _lock = db.run_lock(Duration::ZERO, progress).await?;
        let mut session = db.session().await?;
        require_organizations(&mut session, model).await?;
        let steps = steps(&mut session, model).await?;
        runner::run(db, COMMAND, &steps, progress).await
    })
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
        Step::short(title, lock, tables, statements, Goal::intact(model, parts.iter().copied()))
    };
    let functions: Vec<&Object> = objects.functions.iter().collect();
    let triggers: Vec<&Object> = objects.triggers.iter().collect();
    let mut steps = vec![org::records_step()];
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
    let build = |index: &Object, table: &QualifiedName| {
        let mut step = create(
            format!("build index {} on {}", index.name.as_str(), table.plain()),
            Lock::ShareUpdateExclusive,
            vec![table.clone()],
            &[index],
        );
        step.run = Run::Concurrent;
        step.scans = true;
        step.leftover = Some(QualifiedName::new(table.schema.clone(), index.name.clone()));
        step
    };
    steps.extend(objects.unique_key.as_ref().map(|key| build(key, &model.balances.table)));
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
    steps.extend(objects.key_indexes.iter().map(|index| build(index, ledger)));
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
