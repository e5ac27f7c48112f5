//! `migrate-org`: organizations, and an organization for every row of every tenant-scoped table.
//!
//! Expand, then contract: first everything new beside the old (columns with a default, foreign keys, unique keys
//! per organization), then the unique keys that reach across organizations go. Each step's lock is short, and
//! nothing rewrites a table: since PostgreSQL 11 a column with a constant default is a change of the catalog only.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    MigrationError,
    runner::{self, MigrationReport},
    step::{Goal, Lock, Run, Step},
};
use crate::{
    Error, Task, catalog,
    catalog::UniqueKey,
    config::Config,
    db::Db,
    mapping::Mapping,
    model::Model,
    progress::Progress,
    sql::{Fixed, Fragment, Ident, List, Literal, QualifiedName, render},
    tenancy::{OrgId, schema},
};

/// Rows that one transaction of the fill gives to the default organization.
const FILL_ROWS: &str = "5000";

/// The command, as its report names it.
const COMMAND: &str = "migrate-org";

/// What the plan would do, without doing it.
///
/// # Errors
/// As [`run`].
pub fn plan<'a>(db: &'a Db, mapping: &'a Mapping, config: &'a Config) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        let steps = steps(&mut session, model, config).await?;
        runner::plan(&mut session, COMMAND, steps).await
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
    progress: &'a dyn Progress,
) -> Task<'a, MigrationReport> {
    Box::pin(async move {
        db.require_writable()?;
        let model = &mapping.resolve(db).await?;
        let _lock = db.run_lock(Duration::ZERO, progress).await?;
        let mut session = db.session().await?;
        let steps = steps(&mut session, model, config).await?;
        runner::run(db, COMMAND, &steps, progress).await
    })
}

async fn steps(session: &mut PgConnection, model: &Model, config: &Config) -> Result<Vec<Step>, Error> {
    let default = OrgId::of(model.org_type, &config.tenancy.default_org_id)
        .map_err(|error| MigrationError::DefaultOrganization(error.to_string()))?;
    let mut steps = Vec::from(records_steps());
    steps.extend([
        Step::short(
            "create table organizations".into(),
            Lock::None,
            vec![],
            schema::create_organizations(model, &default),
            table_goal(&model.organizations, "id,name,subdomain,is_active,created_at,updated_at"),
        ),
        Step::short(
            "create table organization_api_keys".into(),
            Lock::ShareRowExclusive,
            vec![model.organizations.clone()],
            vec![schema::create_api_keys(model)],
            table_goal(&model.api_keys, "key_id,org_id,hash,created_at,expires_at,revoked_at,last_used_on"),
        ),
        Step::short(
            format!("give the default organization {default} its row"),
            Lock::RowExclusive,
            vec![model.organizations.clone()],
            vec![schema::insert_default(model, &default, &config.tenancy.default_org_name)],
            default_goal(model, &default),
        ),
    ]);
    for table in &model.tenant_tables {
        steps.extend(column_steps(session, model, table, &default).await?);
        steps.extend(foreign_key_steps(session, model, table).await?);
    }
    let mut contract = Vec::new();
    for table in &model.tenant_tables {
        let keys = catalog::unique_keys(session, table).await?;
        for key in keys.iter().filter(|key| !key.has_column(&model.org_column)) {
            refuse_dependents(key)?;
            let (expand, drop) = key_steps(model, key, &keys)?;
            steps.extend(expand);
            contract.push(drop);
        }
        steps.extend(lookup_index_step(model, table, &keys));
    }
    steps.extend(contract);
    Ok(steps)
}

fn refuse_dependents(key: &UniqueKey) -> Result<(), MigrationError> {
    if !key.valid {
        return Err(MigrationError::InvalidKey { table: key.table.plain(), key: key.name.as_str().into() });
    }
    if !key.referenced_by.is_empty() {
        return Err(MigrationError::KeyReferenced {
            table: key.table.plain(),
            key: key.name.as_str().into(),
            by: key.referenced_by.join(", "),
        });
    }
    if key.replica_identity {
        return Err(MigrationError::ReplicaIdentity {
            table: key.table.plain(),
            key: key.name.as_str().into(),
        });
    }
    Ok(())
}

async fn column_steps(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    default: &OrgId,
) -> Result<Vec<Step>, Error> {
    let org = &model.org_column;
    let literal = Literal::new(default.as_str());
    let (name, column) = (table.plain(), org.as_str());
    let goal = |kind: &str| column_goal(model, table, kind);
    let exclusive = |title, statement, goal| {
        Step::short(title, Lock::AccessExclusive, vec![table.clone()], vec![statement], goal)
    };
    // A column that was nullable before: its rows are filled in batches, and a valid CHECK lets SET NOT NULL skip
    // the scan. The CHECK goes in a statement of its own; together in one it goes first, and the scan comes back.
    let check = Ident::joined(&[table.name.as_str(), column, "not_null"]);
    let org_type = Fixed(model.org_type.name());
    let fragments: [(&str, &dyn Fragment); 5] =
        [("table", table), ("org", org), ("org.type", &org_type), ("default", &literal), ("check", &check)];
    let constraint = |kind: &str| {
        Goal::new(include_str!("goals/check.sql"), [table.to_string(), check.as_str().into(), kind.into()])
    };
    let drop_check = exclusive(
        format!("drop the check on {name} that NOT NULL replaces"),
        render("ALTER TABLE {table} DROP CONSTRAINT {check}", &fragments),
        constraint("gone"),
    );
    match catalog::column(session, table, org).await? {
        Some(found) if found.type_name != model.org_type.name() => Err(MigrationError::ColumnType {
            table: name,
            column: column.into(),
            found: found.type_name,
            wanted: model.org_type.name(),
        }
        .into()),
        Some(found) if !found.not_null => {
            let fill = Step {
                run: Run::Batches,
                scans: true,
                binds: vec![default.to_string(), FILL_ROWS.into()],
                ..Step::short(
                    format!("give the rows of {name} without {column} to {default}"),
                    Lock::ShareUpdateExclusive,
                    vec![table.clone()],
                    vec![
                        render(include_str!("fill.sql"), &fragments),
                        render("ALTER TABLE {table} VALIDATE CONSTRAINT {check}", &fragments),
                    ],
                    constraint("valid"),
                )
            };
            Ok(vec![
                exclusive(
                    format!("give {name}.{column} its default"),
                    render("ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT {default}", &fragments),
                    goal("default"),
                ),
                exclusive(
                    format!("forbid new rows of {name} without {column}"),
                    render(
                        "ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({org} IS NOT NULL) NOT VALID",
                        &fragments,
                    ),
                    constraint("there"),
                ),
                fill,
                exclusive(
                    format!("make {name}.{column} NOT NULL"),
                    render("ALTER TABLE {table} ALTER COLUMN {org} SET NOT NULL", &fragments),
                    goal("not null"),
                ),
                drop_check,
            ])
        }
        Some(_) => Ok(vec![drop_check]),
        None => Ok(vec![exclusive(
            format!("add {column} to {name}, existing rows to {default}"),
            render("ALTER TABLE {table} ADD COLUMN {org} {org.type} NOT NULL DEFAULT {default}", &fragments),
            goal("not null"),
        )]),
    }
}

async fn foreign_key_steps(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
) -> Result<Vec<Step>, Error> {
    let (name, org) = (table.plain(), &model.org_column);
    // One that was there before keeps its name: its definition counts.
    let key = match catalog::foreign_key(session, table, org, &model.organizations).await? {
        Some(found) => found.name,
        None => Ident::joined(&[table.name.as_str(), org.as_str(), "fkey"]),
    };
    let goal = |kind: &str| {
        let binds = [table.to_string(), org.as_str().into(), model.organizations.to_string(), kind.into()];
        Goal::new(include_str!("goals/foreign_key.sql"), binds)
    };
    let fragments: [(&str, &dyn Fragment); 4] =
        [("table", table), ("org", org), ("key", &key), ("organizations", &model.organizations)];
    let tables = vec![model.organizations.clone(), table.clone()];
    let add = Step::short(
        format!("add foreign key {} to {name}", key.as_str()),
        Lock::ShareRowExclusive,
        tables.clone(),
        vec![
            // The quiet table first: whoever holds it waits for nothing else of ours.
            render("LOCK TABLE {organizations} IN SHARE ROW EXCLUSIVE MODE", &fragments),
            render(
                "ALTER TABLE {table} ADD CONSTRAINT {key} FOREIGN KEY ({org}) REFERENCES {organizations} (id) NOT VALID",
                &fragments,
            ),
        ],
        goal("there"),
    );
    let validate = Step {
        run: Run::Scan,
        scans: true,
        ..Step::short(
            format!("validate foreign key {} of {name}", key.as_str()),
            Lock::ShareUpdateExclusive,
            tables.into_iter().rev().collect(),
            vec![render("ALTER TABLE {table} VALIDATE CONSTRAINT {key}", &fragments)],
            goal("valid"),
        )
    };
    Ok(vec![add, validate])
}

/// The steps that give `key` a twin that begins with the organization, and the one that drops `key`.
fn key_steps(model: &Model, key: &UniqueKey, keys: &[UniqueKey]) -> Result<(Vec<Step>, Step), Error> {
    let (table, org) = (&key.table, &model.org_column);
    let twin = twin_name(model, key, keys);
    let tail = render("{tail}", &[("tail", &key.tail)]);
    let index_goal = Goal::new(
        include_str!("goals/unique_index.sql"),
        [table.to_string(), org.as_str().into(), key.tail.to_string()],
    );
    let mut expand = vec![Step::index(
        format!("build unique index {} on {}", twin.as_str(), table.plain()),
        table.clone(),
        QualifiedName::new(table.schema.clone(), twin.clone()),
        render(
            "CREATE UNIQUE INDEX CONCURRENTLY {twin} ON {table} USING btree ({org}, {tail}",
            &[("twin", &twin), ("table", table), ("org", org), ("tail", &tail)],
        ),
        index_goal,
    )];
    let drop = match key.constraint {
        Some(timing) => {
            let timing_sql = Fixed(match (timing.deferrable, timing.deferred) {
                (true, true) => " DEFERRABLE INITIALLY DEFERRED",
                (true, false) => " DEFERRABLE",
                (false, _) => "",
            });
            expand.push(Step::short(
                format!("make {} a constraint of {}", twin.as_str(), table.plain()),
                Lock::AccessExclusive,
                vec![table.clone()],
                vec![render(
                    "ALTER TABLE {table} ADD CONSTRAINT {twin} UNIQUE USING INDEX {twin}{timing}",
                    &[("table", table), ("twin", &twin), ("timing", &timing_sql)],
                )],
                Goal::new(
                    include_str!("goals/unique_constraint.sql"),
                    [table.to_string(), org.as_str().into(), key.tail.to_string()],
                ),
            ));
            render("ALTER TABLE {table} DROP CONSTRAINT {key}", &[("table", table), ("key", &key.name)])
        }
        None => render(
            "DROP INDEX {key}",
            &[("key", &QualifiedName::new(table.schema.clone(), key.name.clone()))],
        ),
    };
    let drop = Step::short(
        format!("drop {} of {}, which reaches across organizations", key.name.as_str(), table.plain()),
        Lock::AccessExclusive,
        vec![table.clone()],
        vec![drop],
        Goal::new(include_str!("goals/no_index.sql"), [table.to_string(), key.name.as_str().into()]),
    );
    Ok((expand, drop))
}

/// `users_org_id_email_key`, as PostgreSQL would call it; numbered where that name is taken by another key.
fn twin_name(model: &Model, key: &UniqueKey, keys: &[UniqueKey]) -> Ident {
    let mut parts = vec![key.table.name.as_str(), model.org_column.as_str()];
    parts.extend(key.columns.iter().map(|column| column.as_deref().unwrap_or("expr")));
    let suffix = if key.constraint.is_some() { "key" } else { "idx" };
    let is_twin = |other: &UniqueKey| {
        other.columns.first().is_some_and(|first| first.as_deref() == Some(model.org_column.as_str()))
            && other.tail.to_string().ends_with(&format!(", {}", key.tail))
    };
    (0..)
        .map(|number| {
            let suffix = if number == 0 { suffix.to_owned() } else { format!("{suffix}{number}") };
            Ident::joined(&[&parts[..], &[suffix.as_str()]].concat())
        })
        .find(|name| keys.iter().all(|other| other.name != *name || !other.valid || is_twin(other)))
        .unwrap_or_else(|| key.name.clone())
}

/// An index that finds an organization's rows where no key of the table begins with the organization.
fn lookup_index_step(model: &Model, table: &QualifiedName, keys: &[UniqueKey]) -> Option<Step> {
    // The ledger's key index begins with the organization; migrate-balance builds it.
    if !keys.is_empty() || (*table == model.ledger.table && model.ledger.key_index) {
        return None;
    }
    let index = Ident::joined(&[table.name.as_str(), model.org_column.as_str(), "idx"]);
    Some(Step::index(
        format!("build index {} on {}", index.as_str(), table.plain()),
        table.clone(),
        QualifiedName::new(table.schema.clone(), index.clone()),
        render(
            "CREATE INDEX CONCURRENTLY {index} ON {table} ({columns})",
            &[("index", &index), ("table", table), ("columns", &List(vec![model.org_column.clone()]))],
        ),
        Goal::new(
            include_str!("goals/lookup_index.sql"),
            [table.to_string(), model.org_column.as_str().into()],
        ),
    ))
}

/// Stockfoil's own tables; on a database that `db-migrate` never saw they are made here.
pub(super) fn records_steps() -> [Step; 2] {
    let table = |name| QualifiedName::new(Ident::fixed("stockfoil"), Ident::fixed(name));
    let step = |title: &str, file, goal| {
        Step::short(title.into(), Lock::None, vec![], vec![render(file, &[])], goal)
    };
    [
        step(
            "create Stockfoil's own records",
            include_str!("../../../../migrations/20260101000100_stockfoil_records.up.sql"),
            table_goal(&table("run"), "id,command,started_at,finished_at,outcome,summary"),
        ),
        step(
            "remember what each alert channel was told",
            include_str!("../../../../migrations/20260102000000_alert_state_by_channel.up.sql"),
            table_goal(&table("alert_state"), "source,key,channel,severity,summary,opened_at,last_sent_at"),
        ),
    ]
}

pub(super) fn table_goal(table: &QualifiedName, columns: &str) -> Goal {
    Goal::new(include_str!("goals/table.sql"), [table.to_string(), columns.to_owned()])
}

fn default_goal(model: &Model, default: &OrgId) -> Goal {
    Goal::of_table(&model.organizations, include_str!("goals/row.sql"), [default.to_string()])
}

fn column_goal(model: &Model, table: &QualifiedName, kind: &str) -> Goal {
    let org = model.org_column.as_str().to_owned();
    let binds = [table.to_string(), org, kind.into(), model.org_type.name().into()];
    Goal::new(include_str!("goals/column.sql"), binds)
}
