//! `migrate-org`: organizations, and an organization for every row of every tenant-scoped table.
//!
//! Expand, then contract: first everything new beside the old (columns with a default, foreign keys, unique keys
//! per organization), then the unique keys that reach across organizations go. Each step's lock is short, and
//! nothing rewrites a table: since PostgreSQL 11 a column with a constant default is a change of the catalog only.

use sqlx::PgConnection;

use super::{
    MigrationError,
    change::{self, Kind},
    default_org,
    fill::Fill,
    index::{self, Constraint, Printed, Shape},
    isolation, preflight, resolution, rollback,
    runner::{self, MigrationReport, Patience, RUN_LOCK_WAIT},
    step::{Goal, Lock, Run, Step, Work},
};
use crate::{
    Error, Task, catalog,
    catalog::{Part, UniqueKey},
    config::Config,
    db::Db,
    mapping::Mapping,
    model::Model,
    progress::Progress,
    sql::{Definition, Fixed, Fragment, Ident, Literal, QualifiedName, render},
    tenancy::{OrgId, schema},
};

/// The command, as its report names it.
pub(super) const COMMAND: &str = "migrate-org";

/// What the tables of organizations and of their API keys have.
pub(super) const ORGANIZATIONS_COLUMNS: &str = "id,name,subdomain,is_active,created_at,updated_at";
pub(super) const API_KEYS_COLUMNS: &str = "key_id,org_id,hash,created_at,expires_at,revoked_at,last_used_on";

/// Which way the migration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Expand, and contract.
    #[default]
    Forward,
    /// Expand only: the unique keys that reach across organizations stay, for applications that still name them in
    /// ON CONFLICT.
    Expand,
    /// End the default organization of inserts that name none.
    Finalize,
    /// Back to the schema as it was.
    Rollback,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which way.
    pub direction: Direction,
    /// Whether organizations are isolated from each other too, or, backwards, only that is taken back.
    pub isolates: bool,
    /// Whether organizations that rows of a column from before name, and that are not there, are made.
    pub adopts_organizations: bool,
    /// What to go on in spite of: names of [`preflight::ACCEPTABLE`].
    pub accepted: Vec<String>,
    /// How long to wait for other sessions.
    pub patience: Patience,
}

impl Request {
    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// [`MigrationError::NotAcceptable`].
    pub fn check(&self) -> Result<(), MigrationError> {
        if self.isolates && !matches!(self.direction, Direction::Finalize | Direction::Rollback) {
            return Err(MigrationError::IsolateAlone);
        }
        match self.accepted.iter().find(|name| !preflight::ACCEPTABLE.contains(&name.as_str())) {
            Some(name) => Err(MigrationError::NotAcceptable(name.clone())),
            None => Ok(()),
        }
    }
}

/// What the plan would do, without doing it.
///
/// # Errors
/// As [`run`]; what stands in the way is part of the report.
pub fn plan<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    config: &'a Config,
    request: &'a Request,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        request.check()?;
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        runner::prepare(&mut session).await?;
        let task = task(db, &mut session, model, config, request).await?;
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
    config: &'a Config,
    request: &'a Request,
    progress: &'a dyn Progress,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        request.check()?;
        db.require_writable()?;
        db.require_direct().await?;
        let model = &mapping.resolve(db).await?;
        let mut lock = db.run_lock(RUN_LOCK_WAIT, progress).await?;
        let session = lock.session();
        runner::prepare(session).await?;
        let task = task(db, session, model, config, request).await?;
        runner::run(db, session, task, request.patience, progress).await
    })
}

async fn task(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    config: &Config,
    request: &Request,
) -> Result<runner::Task, Error> {
    let default = OrgId::of(model.org_type, &config.tenancy.default_org_id)
        .map_err(|error| MigrationError::DefaultOrganization(error.to_string()))?;
    match request.direction {
        Direction::Rollback if request.isolates => {
            let steps = isolation::back(session, model).await?;
            Ok(runner::Task { rollback: true, ..runner::Task::new(COMMAND, steps) })
        }
        Direction::Rollback => rollback::organizations(db, session, model, &default).await,
        Direction::Finalize => finalize(db, session, model, config, request.isolates, &default).await,
        Direction::Forward | Direction::Expand => {
            forward(db, session, model, config, request, &default).await
        }
    }
}

async fn forward(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    config: &Config,
    request: &Request,
    default: &OrgId,
) -> Result<runner::Task, Error> {
    let mut trees = Vec::with_capacity(model.tenant_tables.len());
    for table in &model.tenant_tables {
        trees.push(catalog::parts(session, table).await?);
    }
    let contracts = request.direction == Direction::Forward;
    let tables: Vec<QualifiedName> = trees.iter().flatten().map(|part| part.table.clone()).collect();
    let mut found = preflight::look(session, model, &tables, default, contracts, &request.accepted).await?;
    if found.obstacles.iter().any(|finding| finding.check == "organizations") {
        // What would be done can't be asked of another table.
        return Ok(runner::Task { obstacles: found.obstacles, ..runner::Task::new(COMMAND, Vec::new()) });
    }
    if request.adopts_organizations {
        found.obstacles.retain(|finding| finding.check != "unknown_organizations");
    }
    let mut steps = organization_steps(model, config, default);
    if request.adopts_organizations {
        steps.extend(adopt_step(session, model, default).await?);
    }
    for parts in &trees {
        steps.extend(column_steps(session, model, parts, default).await?);
        steps.extend(foreign_key_steps(session, model, parts).await?);
    }
    let mut contract = Vec::new();
    for parts in &trees {
        let Some(root) = parts.first() else { continue };
        let mut has_keys = false;
        for part in parts {
            for key in catalog::unique_keys(session, &part.table).await? {
                has_keys |= part.table == root.table;
                if key.has_column(&model.org_column) {
                    continue;
                }
                let parts = catalog::parts(session, &part.table).await?;
                steps.extend(twin_steps(session, model, &key, &parts).await?);
                contract.push(drop_step(&key));
            }
        }
        // The ledger's key index begins with the organization; migrate-balance builds it.
        let has_key_index = root.table == model.ledger.table && model.ledger.key_index;
        if !has_keys && !has_key_index {
            steps.extend(lookup_steps(session, model, parts).await?);
        }
    }
    let relying = default_org::relying(session, model).await?;
    steps.extend(default_org::steps(COMMAND, model, &relying, default));
    steps.extend(resolution::steps(model, default));
    if contracts {
        steps.extend(contract);
    }
    preflight::disk(db, session, &steps, &mut found).await?;
    Ok(runner::Task {
        obstacles: found.obstacles,
        warnings: found.warnings,
        ..runner::Task::new(COMMAND, steps)
    })
}

/// The end of the default organization; refused while the migration itself is not over.
async fn finalize(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    config: &Config,
    isolates: bool,
    default: &OrgId,
) -> Result<runner::Task, Error> {
    let request = Request { accepted: preflight::ACCEPTABLE.map(str::to_owned).into(), ..Request::default() };
    let uses = default_org::uses(session, model).await?;
    for step in forward(db, session, model, config, &request, default).await?.steps {
        // What an earlier attempt at finalizing removed is not missing.
        let is_function = step.lock == Lock::None && step.tables.is_empty();
        if !is_function && !step.goal.is_met(session).await? {
            return Err(MigrationError::NotMigrated { step: step.title }.into());
        }
    }
    let mut task = runner::Task::new(COMMAND, Vec::new());
    if isolates {
        task.obstacles = isolation::obstacles(session, model).await?;
        task.warnings = isolation::warnings(session, model).await?;
        // At no moment does an insert fail that names no organization while its session has set one.
        task.steps.extend(isolation::defaults(session, model).await?);
        task.steps.extend(default_org::removal(&model.tenant_tables));
        task.steps.extend(isolation::steps(session, model).await?);
    } else {
        task.steps = default_org::finalize(model, &uses);
    }
    task.default_uses = uses.into_iter().map(|(_, used)| used).collect();
    Ok(task)
}

fn organization_steps(model: &Model, config: &Config, default: &OrgId) -> Vec<Step> {
    let note = |table| change::note(COMMAND, Kind::Table, table, "");
    let mut steps = Vec::from(records_steps());
    steps.extend([
        Step::short(
            format!("create table {}", model.organizations.plain()),
            Lock::None,
            vec![],
            schema::create_organizations(model, default),
            table_goal(&model.organizations, ORGANIZATIONS_COLUMNS),
        )
        .remembering(note(&model.organizations)),
        Step::short(
            format!("create table {}", model.api_keys.plain()),
            Lock::ShareRowExclusive,
            vec![model.organizations.clone()],
            vec![schema::create_api_keys(model)],
            table_goal(&model.api_keys, API_KEYS_COLUMNS),
        )
        .remembering(note(&model.api_keys)),
        Step::short(
            format!("give the default organization {default} its row"),
            Lock::RowExclusive,
            vec![model.organizations.clone()],
            vec![schema::insert_default(model, default, &config.tenancy.default_org_name)],
            Goal::of_table(&model.organizations, include_str!("goals/row.sql"), [default.to_string()]),
        ),
    ]);
    steps
}

/// Makes the organizations that rows of a column from before name.
async fn adopt_step(
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
) -> Result<Option<Step>, Error> {
    let mut tables = Vec::new();
    for table in &model.tenant_tables {
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

async fn column_steps(
    session: &mut PgConnection,
    model: &Model,
    parts: &[Part],
    default: &OrgId,
) -> Result<Vec<Step>, Error> {
    let Some(root) = parts.first() else { return Ok(Vec::new()) };
    let (table, org) = (&root.table, &model.org_column);
    let literal = Literal::new(default.as_str());
    let (name, column) = (table.plain(), org.as_str());
    let goal = |kind: &str| {
        let binds = [table.to_string(), column.into(), kind.into(), model.org_type.name().into()];
        Goal::new(include_str!("goals/column.sql"), binds)
    };
    let exclusive = |title, statement, goal| {
        Step::short(title, Lock::AccessExclusive, vec![table.clone()], vec![statement], goal)
            .remembering(change::note(COMMAND, Kind::Column, table, column))
    };
    // A column that was nullable before: its rows are filled in batches, and a valid CHECK lets SET NOT NULL skip
    // the scan. The CHECK goes in a statement of its own; together in one it goes first, and the scan comes back.
    let check = check_name(table, org);
    let kind = Fixed(model.org_type.name());
    let fragments: [(&str, &dyn Fragment); 5] =
        [("table", table), ("org", org), ("type", &kind), ("default", &literal), ("check", &check)];
    let constraint = |kind: &str| check_goal(table, &check, kind);
    let drop_check = exclusive(
        format!("drop the check on {name} that NOT NULL replaces"),
        render("ALTER TABLE {table} DROP CONSTRAINT {check}", &fragments),
        constraint("gone"),
    );
    match catalog::column(session, table, org).await? {
        Some(found) if !found.not_null => {
            let fill = Fill {
                tables: parts.iter().filter(|part| part.is_leaf).map(|part| part.table.clone()).collect(),
                org: org.clone(),
                default: literal.clone(),
            };
            let mut steps = vec![exclusive(
                format!("give {name}.{column} its default"),
                render("ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT {default}", &fragments),
                goal("default"),
            )];
            steps.push(Step {
                run: Run::Fill(Box::new(fill.clone())),
                work: Work::Fill,
                ..exclusive(
                    format!("give the rows of {name} without {column} to {default}, then forbid more"),
                    render(
                        "ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({org} IS NOT NULL) NOT VALID",
                        &fragments,
                    ),
                    constraint("there"),
                )
            });
            steps.push(Step {
                run: Run::Refill(Box::new(fill)),
                ..Step::scan(
                    format!("check that every row of {name} has {column}"),
                    vec![table.clone()],
                    render("ALTER TABLE {table} VALIDATE CONSTRAINT {check}", &fragments),
                    constraint("valid"),
                )
            });
            steps.push(exclusive(
                format!("make {name}.{column} NOT NULL"),
                render("ALTER TABLE {table} ALTER COLUMN {org} SET NOT NULL", &fragments),
                goal("not null"),
            ));
            steps.push(drop_check);
            Ok(steps)
        }
        Some(_) => Ok(vec![drop_check]),
        None => Ok(vec![exclusive(
            format!("add {column} to {name}, existing rows to {default}"),
            render("ALTER TABLE {table} ADD COLUMN {org} {type} NOT NULL DEFAULT {default}", &fragments),
            goal("not null"),
        )]),
    }
}

/// The check that stands in for NOT NULL while the rows are filled.
pub(super) fn check_name(table: &QualifiedName, org: &Ident) -> Ident {
    Ident::joined(&[table.name.as_str(), org.as_str(), "not_null"])
}

/// The state of a CHECK constraint: `there`, `valid`, or `gone`.
pub(super) fn check_goal(table: &QualifiedName, check: &Ident, state: &str) -> Goal {
    Goal::new(include_str!("goals/check.sql"), [table.to_string(), check.as_str().into(), state.into()])
}

/// A partitioned table takes no foreign key that is NOT VALID, but one that each of its partitions has already costs
/// it nothing.
async fn foreign_key_steps(
    session: &mut PgConnection,
    model: &Model,
    parts: &[Part],
) -> Result<Vec<Step>, Error> {
    let (org, organizations) = (&model.org_column, &model.organizations);
    let mut steps = Vec::new();
    let Some(root) = parts.first() else { return Ok(steps) };
    for part in parts.iter().filter(|part| part.is_leaf).chain((!root.is_leaf).then_some(root)) {
        let (table, name) = (&part.table, part.table.plain());
        // One that was there before keeps its name: its definition counts.
        let key = match catalog::foreign_key(session, table, org, organizations).await? {
            Some(found) => found.name,
            None => Ident::joined(&[table.name.as_str(), org.as_str(), "fkey"]),
        };
        let goal = |kind: &str| {
            let binds = [table.to_string(), org.as_str().into(), organizations.to_string(), kind.into()];
            Goal::new(include_str!("goals/foreign_key.sql"), binds)
        };
        let timing = Fixed(if part.is_leaf { " NOT VALID" } else { "" });
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("table", table),
            ("org", org),
            ("key", &key),
            ("organizations", organizations),
            ("timing", &timing),
        ];
        // The quiet table first: whoever holds it waits for nothing else of ours.
        let statements = vec![
            render("LOCK TABLE {organizations} IN SHARE ROW EXCLUSIVE MODE", &fragments),
            render(
                "ALTER TABLE {table} ADD CONSTRAINT {key} FOREIGN KEY ({org}) REFERENCES {organizations} (id){timing}",
                &fragments,
            ),
        ];
        let note = change::note(COMMAND, Kind::ForeignKey, table, key.as_str());
        steps.push(
            Step::short(
                format!("add foreign key {} to {name}", key.as_str()),
                Lock::ShareRowExclusive,
                vec![organizations.clone(), table.clone()],
                statements,
                goal(if part.is_leaf { "there" } else { "valid" }),
            )
            .remembering(note.clone()),
        );
        if part.is_leaf {
            steps.push(
                Step::scan(
                    format!("validate foreign key {} of {name}", key.as_str()),
                    vec![organizations.clone(), table.clone()],
                    render("ALTER TABLE {table} VALIDATE CONSTRAINT {key}", &fragments),
                    goal("valid"),
                )
                .remembering(note),
            );
        }
    }
    Ok(steps)
}

/// What `key` is once it begins with the organization.
pub(super) fn twin(model: &Model, key: &UniqueKey) -> Shape {
    let org = &model.org_column;
    let constraint = key.constraint.zip(key.constraint_tail.as_ref()).map(|(timing, tail)| {
        let nulls = Fixed(if key.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" });
        let fragments: [(&str, &dyn Fragment); 3] = [("nulls", &nulls), ("org", org), ("tail", tail)];
        Constraint {
            timing: index::timing(timing.deferrable, timing.deferred),
            definition: render("UNIQUE{nulls} ({org}, {tail}", &fragments),
        }
    });
    let printed = Printed { org: Some(org.clone()), tail: key.tail.clone() };
    Shape { constraint, ..Shape::printed(true, key.method.clone(), printed) }
}

/// The steps that give `key` a twin that begins with the organization, on the table that `parts` begin with.
async fn twin_steps(
    session: &mut PgConnection,
    model: &Model,
    key: &UniqueKey,
    parts: &[Part],
) -> Result<Vec<Step>, Error> {
    let mut shape = twin(model, key);
    let mut words = vec![model.org_column.as_str()];
    words.extend(key.columns.iter().map(|column| column.as_deref().unwrap_or("expr")));
    words.push(if key.constraint.is_some() { "key" } else { "idx" });
    let places = index::places(session, parts, &shape, &words).await?;
    if let Some(root) = places.first()
        && index::is_there(session, &shape, root).await?
        && !change::is_noted(session, Kind::Index, &root.table, &root.index).await?
    {
        // An index of the application's own keeps it unique already; it stays what it is.
        shape.constraint = None;
    }
    Ok(index::build(&shape, &places, false, |place| {
        Some(change::note(COMMAND, Kind::Index, &place.table, place.index.as_str()))
    }))
}

/// The contraction: the key that reaches across organizations goes, and is remembered.
fn drop_step(key: &UniqueKey) -> Step {
    let name = key.name.as_str();
    let title = format!("drop {name} of {}, which reaches across organizations", key.table.plain());
    index::drop(title, &key.table, &key.name, key.constraint.is_some()).remembering(change::note(
        COMMAND,
        Kind::UniqueKey,
        &key.table,
        name,
    ))
}

/// An index that finds an organization's rows where no key of the table begins with the organization.
async fn lookup_steps(session: &mut PgConnection, model: &Model, parts: &[Part]) -> Result<Vec<Step>, Error> {
    let Some(root) = parts.first() else { return Ok(Vec::new()) };
    let org = &model.org_column;
    let goal = Goal::new(
        include_str!("goals/lookup_index.sql"),
        [root.table.to_string(), org.as_str().into(), "valid".into()],
    );
    // A longer index that begins with the organization serves as well.
    if goal.is_met(session).await? {
        return Ok(Vec::new());
    }
    let quoted: String = sqlx::query_scalar("SELECT quote_ident($1) || ')'")
        .bind(org.as_str())
        .fetch_one(&mut *session)
        .await?;
    let printed = Printed { org: None, tail: Definition::from_catalog(quoted) };
    let shape = Shape::printed(false, Definition::from_catalog("btree".into()), printed);
    let places = index::places(session, parts, &shape, &[org.as_str(), "idx"]).await?;
    Ok(index::build(&shape, &places, false, |place| {
        Some(change::note(COMMAND, Kind::Index, &place.table, place.index.as_str()))
    }))
}

/// Stockfoil's own tables; on a database that `db-migrate` never saw they are made here.
pub(super) fn records_steps() -> [Step; 4] {
    let table = |name| QualifiedName::new(Ident::fixed("stockfoil"), Ident::fixed(name));
    let step =
        |title: &str, statements, goal| Step::short(title.into(), Lock::None, vec![], statements, goal);
    [
        step(
            "create Stockfoil's own records",
            vec![
                render(include_str!("../../../../migrations/20260101000100_stockfoil_records.up.sql"), &[]),
                render(include_str!("../../../../migrations/20260103000000_migration_memory.up.sql"), &[]),
            ],
            Goal::new(
                "SELECT to_regclass('stockfoil.run') IS NOT NULL AND to_regclass('stockfoil.change') IS NOT NULL AND to_regclass('stockfoil.fill') IS NOT NULL",
                [],
            ),
        ),
        step(
            "remember what each alert channel was told",
            vec![render(
                include_str!("../../../../migrations/20260102000000_alert_state_by_channel.up.sql"),
                &[],
            )],
            table_goal(&table("alert_state"), "source,key,channel,severity,summary,opened_at,last_sent_at"),
        ),
        step(
            "keep findings of changed history",
            vec![render(include_str!("../../../../migrations/20260107000000_changed_history.up.sql"), &[])],
            Goal::new(
                "SELECT to_regclass('stockfoil.finding_open_key_kind') IS NOT NULL AND to_regclass('stockfoil.finding_key_idx') IS NOT NULL",
                [],
            ),
        ),
        step(
            "remember which rows are given to another organization",
            vec![render(include_str!("../../../../migrations/20260105000000_moved_rows.up.sql"), &[])],
            table_goal(
                &table("move"),
                "id,run_id,schema_name,table_name,from_org,to_org,keys,copies,moved_at,undone_run",
            ),
        ),
    ]
}

pub(super) fn table_goal(table: &QualifiedName, columns: &str) -> Goal {
    Goal::new(include_str!("goals/table.sql"), [table.to_string(), columns.to_owned()])
}
