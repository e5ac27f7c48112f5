//! Back to exactly the schema as it was, online, from what `stockfoil.change` remembers.
//!
//! The keys that were dropped are built again first, so that what they keep unique is kept at every moment. Then a
//! column that was added goes, and with it its foreign key and every index that holds it. Until then the foreign keys
//! onto organizations stand: once the other organizations are gone and no new one can come, no row of theirs can.

use sqlx::PgConnection;

use super::{
    MigrationError,
    change::{self, Change, ColumnBefore, ForeignKeyBefore, Kind, PlaceBefore, UniqueKeyBefore},
    default_org,
    index::{self, Constraint, Place, Printed, Shape},
    isolation, org,
    preflight::Finding,
    resolution, runner,
    step::{Goal, Lock, Step, Work},
};
use crate::{
    Error, balance, catalog,
    db::{Context as _, Db, DbError},
    model::Model,
    sql::{Definition, Fragment, Ident, List, Literal, QualifiedName, Statement, render},
    tenancy::OrgId,
};

/// The versioned migration that makes Stockfoil's own records.
const RECORDS_VERSION: i64 = 20_260_101_000_100;

/// What takes `migrate-org` back.
///
/// # Errors
/// Database errors; [`MigrationError::NothingRemembered`] when it was done by somebody who left no memory.
pub(super) async fn organizations(
    db: &Db,
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
) -> Result<runner::Task, Error> {
    let changes = change::of(session, org::COMMAND).await?;
    let changes = present(session, changes).await?;
    if changes.is_empty() {
        if catalog::column(session, &model.ledger.table, &model.org_column).await?.is_some() {
            return Err(MigrationError::NothingRemembered { database: db.facts().database.clone() }.into());
        }
        return Ok(runner::Task { rollback: true, ..runner::Task::new(org::COMMAND, Vec::new()) });
    }
    let plan = Plan::new(session, &changes).await?;
    let obstacles = obstacles(session, model, default, &plan).await?;
    let mut steps = isolation::back(session, model).await?;
    // A column from before keeps its rows' organizations, which its foreign key would hold.
    for change in plan.kept(Kind::ForeignKey).rev() {
        steps.extend(foreign_key(model, change)?);
    }
    if plan.made(&model.organizations) {
        steps.extend(other_organizations(session, model, default).await?);
    }
    for (change, before) in &plan.keys {
        steps.extend(unique_key(change, before)?);
    }
    for change in plan.kept(Kind::Index).rev() {
        // A partition's index goes with its parent's.
        if index::is_attached(session, &change.table, &change.name).await? {
            continue;
        }
        let name = Ident::new(change.name.as_str())?;
        let is_constraint = index::is_constraint(session, &change.table, &change.name).await?;
        let title = format!("drop {} of {}", change.name, change.table.plain());
        steps.push(index::drop(title, &change.table, &name, is_constraint));
    }
    for (change, before) in plan.columns.iter().rev() {
        steps.extend(column(model, change, before.as_ref())?);
    }
    for change in changes.iter().rev().filter(|change| change.kind == Kind::Table) {
        steps.push(table(model, change));
    }
    steps.extend(default_org::removal(&model.tenant_tables));
    steps.extend(resolution::removal(model, default));
    steps.push(forget(session, org::COMMAND).await?);
    Ok(runner::Task { rollback: true, obstacles, ..runner::Task::new(org::COMMAND, steps) })
}

/// The changes of tables that are still there.
async fn present(session: &mut PgConnection, changes: Vec<Change>) -> Result<Vec<Change>, Error> {
    let mut present = Vec::with_capacity(changes.len());
    for change in changes {
        // The table that was made may be gone by an earlier attempt; its step then is done.
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(change.table.to_string())
            .fetch_one(&mut *session)
            .await
            .context("look for the tables that were changed")?;
        if there || change.kind == Kind::Table {
            present.push(change);
        }
    }
    Ok(present)
}

/// The changes, by what has to be done about them.
struct Plan<'a> {
    changes: &'a [Change],
    columns: Vec<(&'a Change, Option<ColumnBefore>)>,
    keys: Vec<(&'a Change, UniqueKeyBefore)>,
    /// The tables that lose the column, with their partitions: what is on it goes with it.
    losing: Vec<QualifiedName>,
}

impl<'a> Plan<'a> {
    async fn new(session: &mut PgConnection, changes: &'a [Change]) -> Result<Self, Error> {
        let mut plan = Self { changes, columns: Vec::new(), keys: Vec::new(), losing: Vec::new() };
        for change in changes {
            match change.kind {
                Kind::Column => plan.columns.push((change, change.before()?)),
                Kind::UniqueKey => plan.keys.extend(change.before()?.map(|before| (change, before))),
                _ => {}
            }
        }
        for (change, _) in plan.columns.iter().filter(|(_, before)| before.is_none()) {
            let parts = catalog::parts(session, &change.table).await?;
            plan.losing.extend(parts.into_iter().map(|part| part.table));
        }
        Ok(plan)
    }

    /// The changes of `kind` of tables whose column was there before, and stays.
    fn kept(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &'a Change> {
        let changes = self.changes;
        changes.iter().filter(move |change| change.kind == kind && !self.losing.contains(&change.table))
    }

    /// Whether the migration made `table`.
    fn made(&self, table: &QualifiedName) -> bool {
        self.changes.iter().any(|change| change.kind == Kind::Table && change.table == *table)
    }
}

async fn obstacles(
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
    plan: &Plan<'_>,
) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    let losing: Vec<String> = plan.losing.iter().map(ToString::to_string).collect();
    // An adopted table stays; it is no longer kept once nothing of migrate-balance is there.
    let objects = balance::objects(model);
    let kept = balance::inspect(session, &objects).await?.into_iter().any(|(object, state)| {
        let is_ours = object.kind != balance::Kind::Table || !model.balances.is_adopted;
        is_ours && state != balance::State::Missing
    });
    if kept {
        found.push(Finding {
            check: "balances",
            object: model.balances.table.plain(),
            detail: "is kept by organization".into(),
            remedy: "run migrate-balance --rollback first, or migrate-all --rollback for both".into(),
        });
    }
    for (change, _) in plan.columns.iter().filter(|(_, before)| before.is_none()) {
        let table = &change.table;
        others(session, model, table, default, &mut found).await?;
    }
    for (change, before) in plan.keys.iter().filter(|(change, _)| !plan.losing.contains(&change.table)) {
        duplicates(session, change, before, &mut found).await?;
    }
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("rollback/dependents.sql"))
        .bind(&losing)
        .bind(model.org_column.as_str())
        .bind(isolation::POLICY)
        .fetch_all(&mut *session)
        .await
        .context("look what depends on the organization's columns")?;
    let remedy = "change or drop it first";
    found.extend(rows.into_iter().map(|(object, detail)| Finding {
        check: "dependents",
        object,
        detail,
        remedy: remedy.into(),
    }));
    let made: Vec<String> = [&model.organizations, &model.api_keys]
        .into_iter()
        .filter(|table| plan.made(table))
        .map(ToString::to_string)
        .collect();
    let tenants: Vec<String> = model
        .tenant_tables
        .iter()
        .chain([&model.balances.table])
        .chain(plan.changes.iter().map(|change| &change.table))
        .map(ToString::to_string)
        .collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("rollback/referrers.sql"))
        .bind(&made)
        .bind(&tenants)
        .fetch_all(session)
        .await
        .context("look what refers to organizations")?;
    found.extend(rows.into_iter().map(|(object, detail)| Finding {
        check: "referrers",
        object,
        detail,
        remedy: remedy.into(),
    }));
    Ok(found)
}

/// Rows of other organizations, which would become everybody's.
async fn others(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    default: &OrgId,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    if catalog::column(session, table, &model.org_column).await?.is_none() {
        return Ok(());
    }
    let query = render(include_str!("rollback/others.sql"), &[("org", &model.org_column), ("table", table)]);
    let rows: Vec<(String, i64)> = sqlx::query_as(query.sql())
        .bind(default.as_str())
        .fetch_all(session)
        .await
        .context(format!("look for rows of other organizations in {}", table.plain()))?;
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().take(10).map(|(id, count)| format!("{id} has {count}")).collect();
    let more = if rows.len() > 10 { ", and there are more" } else { "" };
    found.push(Finding {
        check: "other_organizations",
        object: table.plain(),
        detail: format!("has rows of other organizations than {default}: {}{more}", names.join(", ")),
        remedy: "move or delete them first: without the column nothing would tell them apart".into(),
    });
    Ok(())
}

async fn duplicates(
    session: &mut PgConnection,
    change: &Change,
    before: &UniqueKeyBefore,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    let parts: Vec<Definition> = before.parts.iter().cloned().map(Definition::from_catalog).collect();
    let not_null = |part: &Definition| render("AND ({part}) IS NOT NULL ", &[("part", part)]);
    let everything = render("true ", &[]);
    let distinct = match before.nulls_not_distinct {
        true => everything,
        false => parts
            .iter()
            .map(not_null)
            .fold(everything, |all, next| render("{all}{next}", &[("all", &all), ("next", &next)])),
    };
    let predicate = Definition::from_catalog(before.predicate.clone().unwrap_or_else(|| "true".into()));
    let query = render(
        include_str!("rollback/duplicates.sql"),
        &[
            ("table", &change.table),
            ("predicate", &predicate),
            ("distinct", &distinct),
            ("unique_key", &List(parts)),
        ],
    );
    let broken: bool = sqlx::query_scalar(query.sql()).fetch_one(session).await.context(format!(
        "look for duplicates of {} in {}",
        change.name,
        change.table.plain()
    ))?;
    if broken {
        found.push(Finding {
            check: "duplicates",
            object: format!("{}.{}", change.table.plain(), change.name),
            detail: "would not hold again: rows of different organizations are equal to it".into(),
            remedy: "make them different first".into(),
        });
    }
    Ok(())
}

/// The other organizations, which have no rows, go with their keys; then none can come.
async fn other_organizations(
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
) -> Result<Vec<Step>, DbError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(model.organizations.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for organizations")?;
    let keys: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(model.api_keys.to_string())
        .fetch_one(session)
        .await
        .context("look for API keys")?;
    // Both go at the end; an earlier attempt may have come that far.
    if !there || !keys {
        return Ok(Vec::new());
    }
    let organizations = &model.organizations;
    let check = Ident::joined(&[organizations.name.as_str(), "rollback_check"]);
    let literal = Literal::new(default.as_str());
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("organizations", organizations),
        ("api_keys", &model.api_keys),
        ("default", &literal),
        ("check", &check),
    ];
    let alone = Goal::Query {
        query: render("SELECT NOT EXISTS (SELECT FROM {organizations} WHERE id <> {default})", &fragments),
        binds: Vec::new(),
        table: Some(organizations.clone()),
    };
    let remove = Step {
        // Each tenant table is asked whether it has rows of theirs.
        work: Work::Read,
        ..Step::short(
            format!("remove the organizations other than {default}, and their API keys"),
            Lock::RowExclusive,
            model.tenant_tables.iter().cloned().chain([organizations.clone()]).collect(),
            vec![
                render("DELETE FROM {api_keys} WHERE org_id <> {default}", &fragments),
                render("DELETE FROM {organizations} WHERE id <> {default}", &fragments),
            ],
            alone,
        )
    };
    let forbid = Step::short(
        "forbid new organizations".into(),
        Lock::AccessExclusive,
        vec![organizations.clone()],
        vec![render("ALTER TABLE {organizations} ADD CONSTRAINT {check} CHECK (id = {default})", &fragments)],
        org::check_goal(organizations, &check, "valid"),
    );
    Ok(vec![remove, forbid])
}

/// Builds a dropped key again, with its partitions' indexes, under the names and with the properties that it had.
fn unique_key(change: &Change, before: &UniqueKeyBefore) -> Result<Vec<Step>, Error> {
    let places = before.places.iter().map(place).collect::<Result<Vec<_>, Error>>()?;
    let printed = Printed { org: None, tail: Definition::from_catalog(before.tail.clone()) };
    let shape = Shape {
        constraint: before.constraint.as_ref().map(|constraint| Constraint {
            timing: index::timing(constraint.deferrable, constraint.deferred),
            definition: {
                let definition = Definition::from_catalog(constraint.definition.clone());
                render("{definition}", &[("definition", &definition)])
            },
        }),
        ..Shape::printed(true, Definition::from_catalog(before.method.clone()), printed)
    };
    let mut steps = index::build(&shape, &places, true, |_| None);
    for (place, before) in places.iter().zip(&before.places) {
        steps.extend(properties(place, before));
    }
    log::debug!("{} of {} is built again in {} steps", change.name, change.table.plain(), steps.len());
    Ok(steps)
}

fn place(before: &PlaceBefore) -> Result<Place, Error> {
    Ok(Place {
        table: QualifiedName::new(Ident::new(before.schema.as_str())?, Ident::new(before.table.as_str())?),
        index: Ident::new(before.index.as_str())?,
        is_leaf: before.is_leaf,
        parent: before.parent,
        tablespace: before.tablespace.as_deref().map(Ident::new).transpose()?,
    })
}

/// What an index had beside its definition: comments, and that CLUSTER goes by it.
fn properties(place: &Place, before: &PlaceBefore) -> Vec<Step> {
    let (table, name) = (&place.table, place.index.as_str());
    let short = |title: String, statement: Statement, goal: Goal| {
        Step::short(title, Lock::ShareUpdateExclusive, vec![table.clone()], vec![statement], goal)
    };
    let qualified = place.index();
    let mut steps = Vec::new();
    if let Some(comment) = &before.index_comment {
        steps.push(short(
            format!("comment on index {name}"),
            render(
                "COMMENT ON INDEX {index} IS {comment}",
                &[("index", &qualified), ("comment", &Literal::new(comment))],
            ),
            Goal::new(
                "SELECT obj_description(to_regclass($1), 'pg_class') IS NOT DISTINCT FROM $2",
                [qualified.to_string(), comment.clone()],
            ),
        ));
    }
    if let Some(comment) = &before.constraint_comment {
        steps.push(short(
            format!("comment on constraint {name} of {}", table.plain()),
            render(
                "COMMENT ON CONSTRAINT {name} ON {table} IS {comment}",
                &[("name", &place.index), ("table", table), ("comment", &Literal::new(comment))],
            ),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = to_regclass($1) AND obj_description(k.oid, 'pg_constraint') = $2)",
                [qualified.to_string(), comment.clone()],
            ),
        ));
    }
    if before.clustered {
        steps.push(short(
            format!("let CLUSTER of {} go by {name}", table.plain()),
            render("ALTER TABLE {table} CLUSTER ON {name}", &[("table", table), ("name", &place.index)]),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indisclustered)",
                [qualified.to_string()],
            ),
        ));
    }
    steps
}

fn column(model: &Model, change: &Change, before: Option<&ColumnBefore>) -> Result<Vec<Step>, Error> {
    let (table, name) = (&change.table, table_column(change));
    let column = Ident::new(change.name.as_str())?;
    let check = org::check_name(table, &column);
    let fragments: [(&str, &dyn Fragment); 3] = [("table", table), ("org", &column), ("check", &check)];
    let exclusive = |title, statement, goal| {
        Step::short(title, Lock::AccessExclusive, vec![table.clone()], vec![statement], goal)
    };
    let state = |query| Goal::new(query, [table.to_string(), column.as_str().into()]);
    let Some(before) = before else {
        // The foreign key goes with it, which needs the lock on organizations too: the quiet table first.
        return Ok(vec![Step::short(
            format!("drop {name}, its foreign key and its indexes"),
            Lock::AccessExclusive,
            vec![model.organizations.clone(), table.clone()],
            vec![lock_organizations(model), render("ALTER TABLE {table} DROP COLUMN {org}", &fragments)],
            state(
                "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped)",
            ),
        )]);
    };
    let default = match &before.default {
        Some(default) => {
            let definition = Definition::from_catalog(default.clone());
            let statement = render(
                "ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT {default}",
                &[("table", table), ("org", &column), ("default", &definition)],
            );
            let goal = Goal::new(
                "SELECT EXISTS (SELECT FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
                                WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND pg_get_expr(d.adbin, d.adrelid) = $3)",
                [table.to_string(), column.as_str().into(), default.clone()],
            );
            exclusive(format!("give {name} the default that it had"), statement, goal)
        }
        None => exclusive(
            format!("take the default of {name}"),
            render("ALTER TABLE {table} ALTER COLUMN {org} DROP DEFAULT", &fragments),
            state(include_str!("goals/no_default.sql")),
        ),
    };
    let mut steps = vec![
        exclusive(
            format!("drop the check of {name}"),
            render("ALTER TABLE {table} DROP CONSTRAINT {check}", &fragments),
            org::check_goal(table, &check, "gone"),
        ),
        default,
    ];
    if !before.not_null {
        steps.push(exclusive(
            format!("let {name} be NULL again"),
            render("ALTER TABLE {table} ALTER COLUMN {org} DROP NOT NULL", &fragments),
            state(
                "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attnotnull)",
            ),
        ));
    }
    Ok(steps)
}

fn table_column(change: &Change) -> String {
    format!("{}.{}", change.table.plain(), change.name)
}

fn foreign_key(model: &Model, change: &Change) -> Result<Vec<Step>, Error> {
    let (table, name) = (&change.table, Ident::new(change.name.as_str())?);
    let before: Option<ForeignKeyBefore> = change.before()?;
    let binds = [table.to_string(), change.name.clone()];
    let drop = render("ALTER TABLE {table} DROP CONSTRAINT {name}", &[("table", table), ("name", &name)]);
    let Some(before) = before else {
        return Ok(vec![Step::short(
            format!("drop foreign key {} of {}", change.name, table.plain()),
            Lock::AccessExclusive,
            vec![model.organizations.clone(), table.clone()],
            vec![lock_organizations(model), drop],
            Goal::new(
                "SELECT NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2)",
                binds,
            ),
        )]);
    };
    // It was there, and NOT VALID.
    let definition = Definition::from_catalog(before.definition);
    let add = render(
        "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}",
        &[("table", table), ("name", &name), ("definition", &definition)],
    );
    let [table_bind, name_bind] = binds;
    Ok(vec![Step::short(
        format!("make foreign key {} of {} what it was", change.name, table.plain()),
        Lock::AccessExclusive,
        vec![model.organizations.clone(), table.clone()],
        vec![lock_organizations(model), drop, add],
        Goal::new(
            "SELECT EXISTS (SELECT FROM pg_constraint AS k WHERE conrelid = to_regclass($1) AND conname = $2 AND pg_get_constraintdef(k.oid) = $3)",
            [table_bind, name_bind, definition.to_string()],
        ),
    )])
}

fn lock_organizations(model: &Model) -> Statement {
    model.render("LOCK TABLE {organizations} IN ACCESS EXCLUSIVE MODE")
}

fn table(model: &Model, change: &Change) -> Step {
    Step::short(
        format!("drop table {}", change.table.plain()),
        Lock::AccessExclusive,
        // A table that refers to organizations takes its foreign key with it.
        vec![model.organizations.clone(), change.table.clone()],
        vec![render("DROP TABLE {table}", &[("table", &change.table)])],
        Goal::gone(&change.table),
    )
}

/// The end: what `command` remembered is forgotten; where no versioned migration made Stockfoil's own records, they
/// go too.
pub(super) async fn forget(session: &mut PgConnection, command: &'static str) -> Result<Step, Error> {
    if command != org::COMMAND || is_versioned(session).await? {
        let command = Literal::new(command);
        let forget =
            render("DELETE FROM stockfoil.change WHERE command = {command}", &[("command", &command)]);
        let goal = Goal::Query {
            query: render(
                "SELECT NOT EXISTS (SELECT FROM stockfoil.change WHERE command = {command})",
                &[("command", &command)],
            ),
            binds: Vec::new(),
            table: None,
        };
        let statements = vec![forget, render("TRUNCATE stockfoil.fill", &[])];
        return Ok(Step::short(
            "forget the schema that was put back".into(),
            Lock::None,
            vec![],
            statements,
            goal,
        ));
    }
    Ok(Step::short(
        "drop Stockfoil's own records".into(),
        Lock::None,
        vec![],
        vec![render("DROP SCHEMA stockfoil CASCADE", &[])],
        Goal::new("SELECT to_regnamespace('stockfoil') IS NULL", []),
    ))
}

/// Whether Stockfoil's own records were made by a versioned migration, whose record says that they are there.
async fn is_versioned(session: &mut PgConnection) -> Result<bool, Error> {
    let table: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relname = '_sqlx_migrations' AND c.relkind = 'r' ORDER BY n.nspname LIMIT 1",
    )
    .fetch_optional(&mut *session)
    .await
    .context("look for applied migrations")?;
    let Some(schema) = table else { return Ok(false) };
    let table = QualifiedName::new(Ident::new(schema)?, Ident::fixed("_sqlx_migrations"));
    let query = render("SELECT EXISTS (SELECT FROM {table} WHERE version = $1)", &[("table", &table)]);
    Ok(sqlx::query_scalar(query.sql())
        .bind(RECORDS_VERSION)
        .fetch_one(session)
        .await
        .context("look for applied migrations")?)
}
