//! Back to exactly the schema as it was, online, from what `stockfoil.change` remembers.
//!
//! The keys that were dropped are built again first, so that what they keep unique is kept at every moment. Then a
//! column that was added goes, and with it its foreign key and every index that holds it. Until then the foreign keys
//! onto organizations stand: once the other organizations are gone and no new one can come, no row of theirs can.

mod keys;
mod obstacles;

use sqlx::PgConnection;

use super::{
    change::{self, Change, ColumnBefore, ForeignKeyBefore, Kind, MIGRATE_ORG, UniqueKeyBefore},
    columns, default_org,
    error::MigrationError,
    index, isolation, lookup, resolution, runner,
    step::{Goal, Lock, Step, Work},
    versioned,
};
use crate::{
    Error, catalog,
    db::{Context as _, Db, DbError},
    model::Model,
    org_id::OrgId,
    sql::{Definition, Fragment, Ident, Literal, QualifiedName, Statement, render},
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
    let is_text = |change: &Change| change.kind == Kind::Column && change.table == model.api_keys;
    let (texts, changes): (Vec<Change>, Vec<Change>) =
        change::of(session, MIGRATE_ORG).await?.into_iter().partition(is_text);
    // What counted inserts is left of a table that is gone.
    let mut counted = model.tenant_tables.clone();
    for change in &changes {
        if change.kind == Kind::Column && !counted.contains(&change.table) {
            counted.push(change.table.clone());
        }
    }
    let changes = present(session, changes).await?;
    let texts = present(session, texts).await?;
    if changes.is_empty() {
        if catalog::column(session, &model.ledger.table, &model.org_column).await?.is_some() {
            return Err(MigrationError::NothingRemembered { database: db.facts().database.clone() }.into());
        }
        return Ok(runner::Task { rollback: true, ..runner::Task::new(MIGRATE_ORG, Vec::new()) });
    }
    let plan = Plan::new(session, &changes).await?;
    let obstacles = obstacles::look(session, model, default, &plan).await?;
    let columns: Vec<&QualifiedName> = plan.columns.iter().map(|(change, _)| &change.table).collect();
    let mut steps = isolation::back(session, model, isolation::Way::ToBefore(&columns)).await?;
    // A column from before keeps its rows' organizations, which its foreign key would hold.
    for change in plan.kept(Kind::ForeignKey).rev() {
        steps.extend(foreign_key(model, change)?);
    }
    if plan.made(&model.organizations) {
        steps.extend(other_organizations(session, model, default).await?);
    }
    for (change, before) in &plan.keys {
        steps.extend(keys::unique_key(session, change, before).await?);
    }
    steps.extend(lookup::back(session).await?);
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
    // A table that is to go takes its columns along.
    for change in texts.iter().filter(|change| change.before.is_none() && !plan.made(&change.table)) {
        steps.push(key_text(change)?);
    }
    for change in changes.iter().rev().filter(|change| change.kind == Kind::Table) {
        steps.push(table(model, change));
    }
    steps.extend(default_org::removal(&counted));
    steps.extend(resolution::removal(model, default));
    steps.push(forget(session).await?);
    Ok(runner::Task { rollback: true, obstacles, ..runner::Task::new(MIGRATE_ORG, steps) })
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
        Goal::check(organizations, &check, "valid"),
    );
    Ok(vec![remove, forbid])
}

/// What was added to somebody else's table of API keys.
fn key_text(change: &Change) -> Result<Step, Error> {
    let (table, column) = (&change.table, Ident::new(change.name.as_str())?);
    let drop = render("ALTER TABLE {table} DROP COLUMN {column}", &[("table", table), ("column", &column)]);
    let gone = Goal::new(
        "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped)",
        [table.to_string(), change.name.clone()],
    );
    let title = format!("drop {}", table_column(change));
    Ok(Step::short(title, Lock::AccessExclusive, vec![table.clone()], vec![drop], gone))
}

fn column(model: &Model, change: &Change, before: Option<&ColumnBefore>) -> Result<Vec<Step>, Error> {
    let (table, name) = (&change.table, table_column(change));
    let column = Ident::new(change.name.as_str())?;
    let check = columns::check_name(table, &column);
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
            Goal::check(table, &check, "gone"),
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

/// The end: what was remembered is forgotten; where no versioned migration made Stockfoil's own records, they go too.
async fn forget(session: &mut PgConnection) -> Result<Step, Error> {
    if versioned::is_applied(session, RECORDS_VERSION).await? {
        return Ok(change::forget(MIGRATE_ORG));
    }
    Ok(Step::short(
        "drop Stockfoil's own records".into(),
        Lock::None,
        vec![],
        vec![render("DROP SCHEMA stockfoil CASCADE", &[])],
        Goal::new("SELECT to_regnamespace('stockfoil') IS NULL", []),
    ))
}
