//! `migrate-org`: organizations, and an organization for every row of every tenant-scoped table.
//!
//! Expand: everything new beside the old (columns with a default, foreign keys, unique keys per organization). Contract,
//! which is asked for: the unique keys that reach across organizations go. Each step's lock is short, and
//! nothing rewrites a table: since PostgreSQL 11 a column with a constant default is a change of the catalog only.

use sqlx::PgConnection;

use super::{
    change::MIGRATE_ORG,
    columns, default_org,
    error::MigrationError,
    finding,
    index::Planned,
    isolation, keys,
    lookup::{self, Lookup},
    patience::RUN_LOCK_WAIT,
    planned, preflight, privileges, records,
    report::MigrationReport,
    resolution, rollback, runner,
    step::{Goal, Lock, Step, Work},
};
use crate::{
    Error, Task, catalog,
    db::Db,
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    settings::nearest,
    sql::{Fixed, QualifiedName, render},
    tenancy::{
        self,
        default_organization::{self, Change},
    },
};

pub use super::request::{Direction, Request};

/// What the plan would do, without doing it.
///
/// # Errors
/// As [`run`]; what stands in the way is part of the report.
///
/// A request that has a plan already is checked against it.
pub fn plan<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    settings: &'a tenancy::Settings,
    request: &'a Request,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        request.check()?;
        let model = &request.model(db, mapping).await?;
        let mut session = db.session().await?;
        runner::prepare(&mut session).await?;
        let task = task(db, &mut session, model, settings, request).await?;
        require_plan(&mut session, request, &task).await?;
        runner::plan(&mut session, task).await
    })
}

/// Does what the catalog does not show to be done.
///
/// # Errors
/// [`MigrationError`] when something stands in the way, before the first change; database errors.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    settings: &'a tenancy::Settings,
    request: &'a Request,
    progress: &'a dyn Progress,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        request.check()?;
        db.require_writable()?;
        db.require_direct().await?;
        let model = &request.model(db, mapping).await?;
        let mut lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        let session = lock.session();
        runner::prepare(session).await?;
        let mut task = task(db, session, model, settings, request).await?;
        require_plan(session, request, &task).await?;
        if request.direction != Direction::Rollback {
            task.operations = isolation::operations(session, model).await?;
        }
        runner::run(db, session, task, request.patience, progress).await
    })
}

/// Checks that the default organization of `settings` is the database's own, unless the request accepts another one.
///
/// # Errors
/// [`tenancy::TenancyError::OtherDefault`]; database errors.
pub(crate) async fn check_default(
    session: &mut PgConnection,
    model: &Model,
    settings: &tenancy::Settings,
    request: &Request,
) -> Result<(), Error> {
    let goes_forward = matches!(request.direction, Direction::Expand | Direction::Contract);
    let is_accepted = request.accepted.iter().any(|name| name == finding::DEFAULT_ORGANIZATION);
    let change = if goes_forward && is_accepted { Change::Accepted } else { Change::Refused };
    default_organization::check(session, model, &settings.default_org_id, change).await
}

/// Leaves out of `task` what comes after the last step that is asked for.
fn cut(request: &Request, task: &mut runner::Task) -> Result<(), MigrationError> {
    // What is refused has no steps.
    let Some(until) = request.until.as_ref().filter(|_| task.obstacles.is_empty()) else { return Ok(()) };
    let titles = || task.steps.iter().map(|step| step.title.as_str());
    let begin: Vec<usize> =
        titles().enumerate().filter(|(_, title)| title.starts_with(until)).map(|(place, _)| place).collect();
    let last = match (titles().position(|title| title == until), begin.as_slice()) {
        (Some(place), _) => place,
        (None, &[place]) => place,
        (None, _) => {
            let hint = match nearest(until, titles()) {
                Some(title) => format!("give {title:?}"),
                None => "--dry-run --verbose shows each".to_owned(),
            };
            return Err(MigrationError::NoStep { until: until.clone(), hint });
        }
    };
    task.steps.truncate(last + 1);
    Ok(())
}

/// Checks that `task` is what the request's plan says, where it has one.
async fn require_plan(
    session: &mut PgConnection,
    request: &Request,
    task: &runner::Task,
) -> Result<(), Error> {
    // What stands in the way is told by itself, and nothing is done.
    if let Some(plan) = request.plan.as_ref().filter(|_| task.obstacles.is_empty()) {
        planned::check(plan, &runner::pending(session, task).await?)?;
    }
    Ok(())
}

async fn task(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    settings: &tenancy::Settings,
    request: &Request,
) -> Result<runner::Task, Error> {
    let default = OrgId::of(model.org_type, &settings.default_org_id)
        .map_err(|error| MigrationError::DefaultOrganization(error.to_string()))?;
    check_default(session, model, settings, request).await?;
    let mut task = match request.direction {
        Direction::Rollback if request.isolates => {
            let steps = isolation::back(session, model, isolation::Way::ToShared).await?;
            runner::Task { rollback: true, ..runner::Task::new(MIGRATE_ORG, steps) }
        }
        Direction::Rollback => rollback::organizations(db, session, model, &default).await?,
        Direction::Finalize => finalize(db, session, model, settings, request.isolates, &default).await?,
        Direction::Expand | Direction::Contract => {
            let mut task = forward(db, session, model, settings, request, &default).await?;
            let tables = request.tables(model)?;
            task.steps.extend(lookup::steps_again(session, model, &tables).await?);
            task
        }
    };
    cut(request, &mut task)?;
    Ok(task)
}

async fn forward(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    settings: &tenancy::Settings,
    request: &Request,
    default: &OrgId,
) -> Result<runner::Task, Error> {
    let tenant_tables = request.tables(model)?;
    let mut trees = Vec::with_capacity(tenant_tables.len());
    for table in &tenant_tables {
        trees.push(catalog::parts(session, table).await?);
    }
    let contracts = request.direction == Direction::Contract;
    let tables: Vec<QualifiedName> = trees.iter().flatten().map(|part| part.table.clone()).collect();
    let mut found = preflight::look(session, model, &tables, default, contracts, &request.accepted).await?;
    const UNPLANNED: [&str; 3] = ["organizations", "index_columns", "detaching"];
    if found.obstacles.iter().any(|finding| UNPLANNED.contains(&finding.check)) {
        // What would be done can't be asked of another table, or of one of which nothing can be made.
        return Ok(runner::Task { obstacles: found.obstacles, ..runner::Task::new(MIGRATE_ORG, Vec::new()) });
    }
    if request.adopts_organizations {
        found.obstacles.retain(|finding| finding.check != "unknown_organizations");
    }
    let mut steps = Vec::from(records::steps());
    steps.extend(records::organizations(model, settings, default));
    steps.extend(records::key_texts(session, model).await?);
    if request.adopts_organizations {
        steps.extend(adopt_step(session, model, &tenant_tables, default).await?);
    }
    for parts in &trees {
        steps.extend(columns::column_steps(session, model, parts, default).await?);
        steps.extend(columns::foreign_key_steps(session, model, parts).await?);
    }
    let found_keys = keys_of(session, model, &trees, contracts).await?;
    steps.extend(found_keys.twins);
    let mut relying = default_org::relying(session, model).await?;
    relying.retain(|table| tenant_tables.contains(&table));
    steps.extend(default_org::steps(MIGRATE_ORG, model, &relying, default));
    steps.extend(resolution::steps(model, default));
    steps.extend(found_keys.lookups);
    steps.extend(found_keys.contract);
    steps.push(privileges::step(session, model).await?);
    found.warnings.extend(privileges::warnings(session, model).await?);
    found.warnings.extend(isolation::outside(session, model).await?);
    preflight::disk(db, session, &steps, &mut found).await?;
    Ok(runner::Task {
        obstacles: found.obstacles,
        warnings: found.warnings,
        contract_pending: found_keys.pending,
        ..runner::Task::new(MIGRATE_ORG, steps)
    })
}

/// What becomes of the unique keys that reach across organizations.
#[derive(Default)]
struct Keys {
    /// What gives each one a twin that begins with the organization, and a table without keys an index.
    twins: Vec<Step>,
    /// What serves lookups by those that go.
    lookups: Vec<Step>,
    /// What lets them go.
    contract: Vec<Step>,
    /// Those that stay, `table.key` each.
    pending: Vec<String>,
}

async fn keys_of(
    session: &mut PgConnection,
    model: &Model,
    trees: &[Vec<catalog::Part>],
    contracts: bool,
) -> Result<Keys, Error> {
    let (mut found, mut planned) = (Keys::default(), Planned::default());
    for parts in trees {
        let Some(root) = parts.first() else { continue };
        let mut has_keys = false;
        for part in parts {
            for key in catalog::unique_keys(session, &part.table).await? {
                has_keys |= part.table == root.table;
                // What is INVALID keeps nothing unique for sure, and is the application's to mend: it was warned of.
                if key.has_column(&model.org_column) || !key.valid {
                    continue;
                }
                found.twins.extend(keys::twin_steps(session, model, &key, &mut planned).await?);
                if contracts {
                    let lookup = Lookup::by(&key).steps(session, model, &key.table, &mut planned).await?;
                    found.lookups.extend(lookup);
                    found.contract.push(keys::drop_step(&key));
                } else {
                    found.pending.push(format!("{}.{}", key.table.plain(), key.name.as_str()));
                }
            }
        }
        // The ledger's key index begins with the organization; migrate-balance builds it.
        let has_key_index = root.table == model.ledger.table && model.ledger.key_index;
        if !has_keys && !has_key_index {
            found.twins.extend(columns::index_steps(session, model, parts, &mut planned).await?);
        }
    }
    Ok(found)
}

/// The end of the default organization; refused while the migration itself is not over.
async fn finalize(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    settings: &tenancy::Settings,
    isolates: bool,
    default: &OrgId,
) -> Result<runner::Task, Error> {
    let request = Request {
        direction: Direction::Contract,
        accepted: finding::ACCEPTABLE.map(str::to_owned).into(),
        ..Request::default()
    };
    let uses = default_org::uses(session, model).await?;
    for step in forward(db, session, model, settings, &request, default).await?.steps {
        // What an earlier attempt at finalizing removed is not missing.
        let is_function = step.lock == Lock::None && step.tables.is_empty();
        if !is_function && !step.goal.is_met(session).await? {
            return Err(MigrationError::NotMigrated { step: step.title }.into());
        }
    }
    let mut task = runner::Task::new(MIGRATE_ORG, Vec::new());
    let lookups = lookup::end(session, model, isolates.then_some(isolation::COMMAND)).await?;
    if isolates {
        task.obstacles = isolation::obstacles(session, model).await?;
        task.warnings = isolation::warnings(session, model).await?;
        // At no moment does an insert fail that names no organization while its session has set one.
        // What gave and counted the default organization stays for the way back.
        task.steps.extend(isolation::defaults(session, model).await?);
        task.steps.extend(isolation::steps(session, model).await?);
    } else {
        task.steps = default_org::finalize(model, &uses);
    }
    // Last: until then each lookup has its index, whoever makes it.
    task.steps.extend(lookups.steps);
    task.warnings.extend(lookups.warnings);
    task.lookup_uses = lookups.uses;
    task.default_uses = uses.into_iter().map(|(_, used)| used).collect();
    Ok(task)
}

/// Makes the organizations that rows of a column from before name.
async fn adopt_step(
    session: &mut PgConnection,
    model: &Model,
    tenant_tables: &[&QualifiedName],
    default: &OrgId,
) -> Result<Option<Step>, Error> {
    let mut tables = Vec::new();
    for &table in tenant_tables {
        let key = catalog::foreign_key(session, table, &model.org_column, &model.organizations).await?;
        if catalog::column(session, table, &model.org_column).await?.is_some()
            && key.is_none_or(|key| !key.valid)
        {
            tables.push(table.clone());
        }
    }
    if tables.is_empty() {
        return Ok(None);
    }
    let union = tables
        .iter()
        .map(|table| {
            render(
                "SELECT {org}::text AS id FROM {table} WHERE {org} IS NOT NULL",
                &[("org", &model.org_column), ("table", table)],
            )
        })
        .reduce(|all, next| render("{all} UNION {next}", &[("all", &all), ("next", &next)]));
    let Some(union) = union else { return Ok(None) };
    let missing = render(
        "SELECT n.id, n.id FROM ({union}) AS n
    WHERE NOT EXISTS (SELECT FROM {organizations} AS o WHERE o.id::text = n.id)",
        &[("union", &union), ("organizations", &model.organizations)],
    );
    let kind = Fixed(model.org_type.name());
    let insert = render(
        "INSERT INTO {organizations} (id, name) SELECT m.id::{type}, m.name FROM ({missing}) AS m (id, name) ON CONFLICT (id) DO NOTHING",
        &[("organizations", &model.organizations), ("missing", &missing), ("type", &kind)],
    );
    let goal = Goal::Query {
        query: render("SELECT NOT EXISTS ({missing})", &[("missing", &missing)]),
        binds: Vec::new(),
        table: Some(model.organizations.clone()),
    };
    Ok(Some(Step {
        work: Work::Read,
        ..Step::short(
            format!("make the organizations that rows name beside {default}"),
            Lock::RowExclusive,
            tables,
            vec![insert],
            goal,
        )
    }))
}
