//! `migrate-org --finalize --isolate`: row-level security that keeps each organization's rows to itself, online.
//!
//! Everything that the policies need comes first (roles, rights, owners of functions, foreign keys that pair the
//! organizations, the default of an insert that names none), the policies last: until a table's own short step it works
//! as before, and from then on it shows a session the rows of the organization that the session has set. Foreign keys are
//! checked behind row-level security, by PostgreSQL itself; so only one that pairs the organizations keeps a row from
//! pointing at another organization's, or from being deleted with it.

mod back;
mod beside;
mod foreign_key;
mod rights;

use sqlx::PgConnection;

use super::{
    change::{self, Kind},
    finding::Finding,
    operations::ROWS,
    preflight, privileges,
    step::{Goal, Lock, Step},
};
use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    model::{KeptBy, Model},
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, QualifiedName, render},
};

pub(crate) use super::operations::COMMAND;
pub(super) use back::{Way, back};
pub(crate) use beside::{INSTEAD_OF_COPY, TIED, copied};
pub(super) use beside::{outside, warnings};
pub(crate) use foreign_key::crossing;

/// The policy's name, on every table.
pub(crate) const POLICY: &str = "stockfoil_isolation";

const READ: &[&str] = &["SELECT"];

/// A table whose rows each belong to one organization.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    /// The table or partition.
    pub(crate) table: QualifiedName,
    /// The column that says whose a row is.
    pub(crate) column: Ident,
    /// What the application may do with it.
    pub(crate) application: &'static [&'static str],
}

/// The tables that isolation guards, as far as they are there: tenant tables, balances, organizations and API keys, each
/// with its partitions.
///
/// # Errors
/// Database errors.
pub(crate) async fn guarded(session: &mut PgConnection, model: &Model) -> Result<Vec<Guarded>, Error> {
    let balances = &model.balances;
    // The application's own columns are in a table that it had before, or it keeps the balances itself.
    let writes_balances = balances.is_adopted || balances.kept_by == KeptBy::Application;
    let queue = QualifiedName::new(Ident::fixed("stockfoil"), Ident::fixed("balance_queue"));
    let mut tables: Vec<(&QualifiedName, Ident, &'static [&'static str])> = Vec::new();
    for table in &model.tenant_tables {
        tables.push((table, model.org_column.clone(), ROWS));
    }
    if !model.tenant_tables.contains(&balances.table) {
        tables.push((&balances.table, model.org_column.clone(), if writes_balances { ROWS } else { READ }));
    }
    if balances.has_queue {
        tables.push((&queue, Ident::fixed("org"), READ));
    }
    // An organization may see its own name; its keys are for the functions that resolve them.
    tables.push((&model.organizations, Ident::fixed("id"), READ));
    tables.push((&model.api_keys, Ident::fixed("org_id"), &[]));
    let mut guarded = Vec::new();
    for (table, column, application) in tables {
        for part in catalog::parts(session, table).await? {
            if catalog::column(session, &part.table, &column).await?.is_some() {
                guarded.push(Guarded { table: part.table, column: column.clone(), application });
            }
        }
    }
    Ok(guarded)
}

/// The organization that the session has set, of the organizations' type, as PostgreSQL prints it; NULL where it has set
/// none. A setting that was reset is the empty text, not NULL.
pub(crate) fn setting(model: &Model) -> &'static str {
    match model.org_type {
        KeyType::Text => "NULLIF(current_setting('app.org_id'::text, true), ''::text)",
        KeyType::Uuid => "(NULLIF(current_setting('app.org_id'::text, true), ''::text))::uuid",
        KeyType::Bigint => "(NULLIF(current_setting('app.org_id'::text, true), ''::text))::bigint",
        KeyType::Integer => "(NULLIF(current_setting('app.org_id'::text, true), ''::text))::integer",
        KeyType::Smallint => "(NULLIF(current_setting('app.org_id'::text, true), ''::text))::smallint",
    }
}

/// Whether the database is isolated: the ledger has the policy.
///
/// # Errors
/// Database errors.
pub(crate) async fn is_on(session: &mut PgConnection, model: &Model) -> Result<bool, DbError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_policy WHERE polrelid = to_regclass($1) AND polname = $2)",
    )
    .bind(model.ledger.table.to_string())
    .bind(POLICY)
    .fetch_one(session)
    .await
    .context("look whether the organizations are isolated")
}

/// What stands in the way of isolation.
///
/// # Errors
/// Database errors.
pub(super) async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    let guarded = guarded(session, model).await?;
    let tables: Vec<QualifiedName> = guarded.iter().map(|guarded| guarded.table.clone()).collect();
    let mut found = preflight::privileges(session, model, &tables).await?;
    let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let (application, operations) = (model.roles.application.as_str(), model.roles.operations.as_str());
    let rows: Vec<(String, String, String)> = sqlx::query_as(include_str!("isolation/roles.sql"))
        .bind(application)
        .bind(operations)
        .bind(&names)
        .fetch_all(&mut *session)
        .await
        .context("look at the roles")?;
    found.extend(rows.into_iter().map(|(object, detail, remedy)| Finding {
        check: "roles",
        object,
        detail,
        remedy,
    }));
    for (detail, remedy) in application_role(session, model, &names).await? {
        let remedy = format!("{remedy}; or name another ([tenancy.isolation] app_role)");
        found.push(Finding { check: "roles", object: format!("role {application}"), detail, remedy });
    }
    for (table, policy, lets, drops) in other_policies(session, &names).await? {
        found.push(Finding {
            check: "policies",
            object: format!("policy {policy} of {table}"),
            detail: format!("is permissive, and would let rows through beside the organization's: {lets}"),
            remedy: format!("{drops}; or make it AS RESTRICTIVE"),
        });
    }
    found.extend(foreign_key::obstacles(session, model).await?);
    Ok(found)
}

/// What makes the application's role more than an application's, each with what to do.
///
/// # Errors
/// Database errors.
pub(crate) async fn application_role(
    session: &mut PgConnection,
    model: &Model,
    tables: &[String],
) -> Result<Vec<(String, String)>, DbError> {
    let own = privileges::own();
    let statement = render(include_str!("isolation/application_role.sql"), &[("own", &own)]);
    sqlx::query_as(statement.sql())
        .bind(model.roles.application.as_str())
        .bind(tables)
        .bind(model.roles.operations.as_str())
        .fetch_all(session)
        .await
        .context("look at the application's role")
}

/// Permissive policies beside isolation's: table, name, what they let through, and what drops them.
///
/// # Errors
/// Database errors.
pub(crate) async fn other_policies(
    session: &mut PgConnection,
    tables: &[String],
) -> Result<Vec<(String, String, String, String)>, DbError> {
    sqlx::query_as(include_str!("isolation/other_policies.sql"))
        .bind(tables)
        .bind(POLICY)
        .fetch_all(session)
        .await
        .context("look for other policies")
}

/// The role that everything is to belong to which a migration makes in Stockfoil's schema; none where the database is not
/// isolated.
///
/// # Errors
/// Database errors.
pub(super) async fn operations(session: &mut PgConnection, model: &Model) -> Result<Option<Ident>, DbError> {
    Ok(is_on(session, model).await?.then(|| model.roles.operations.clone()))
}

/// The steps that isolate the organizations. The default organization's steps come before.
///
/// # Errors
/// Database errors.
pub(super) async fn steps(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let guarded = guarded(session, model).await?;
    let mut steps = Vec::new();
    steps.extend(rights::roles(session, model).await?);
    steps.extend(rights::grants(session, model, &guarded).await?);
    steps.extend(rights::owners(session, model).await?);
    steps.extend(foreign_key::steps(session, model).await?);
    steps.extend(guarded.iter().map(|guarded| policy(model, guarded)));
    Ok(steps)
}

/// The steps that let an insert that names no organization have the session's; without one it fails.
///
/// # Errors
/// Database errors.
pub(super) async fn defaults(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let org = &model.org_column;
    let mut steps = Vec::new();
    for table in &model.tenant_tables {
        let default = catalog::column(session, table, org).await?.and_then(|column| column.default);
        // One of the application's own stays: what it gives is held against the policy.
        if default.is_some_and(|default| !default.contains("default_org(") && default != setting(model)) {
            continue;
        }
        steps.push(Step::short(
            format!("let inserts into {} that name no organization have the session's", table.plain()),
            Lock::AccessExclusive,
            vec![table.clone()],
            vec![render(
                "ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT {setting}",
                &[("table", table), ("org", org), ("setting", &Fixed(setting(model)))],
            )],
            default_goal(model, table, true),
        ));
    }
    Ok(steps)
}

/// Whether the organization's column of `table` has the session's as its default, or has not.
fn default_goal(model: &Model, table: &QualifiedName, wanted: bool) -> Goal {
    Goal::new(
        "SELECT (coalesce(pg_get_expr(d.adbin, d.adrelid), '') = $3) = $4::bool
         FROM (SELECT 1) AS one
         LEFT JOIN pg_attribute AS a ON a.attrelid = to_regclass($1) AND a.attname = $2
         LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum",
        [table.to_string(), model.org_column.as_str().into(), setting(model).into(), wanted.to_string()],
    )
}

/// Whether isolation's policy is on the table as it should be.
pub(crate) fn policy_goal(model: &Model, guarded: &Guarded) -> Goal {
    Goal::new(
        include_str!("goals/policy.sql"),
        [guarded.table.to_string(), POLICY.into(), guarded.column.as_str().into(), setting(model).into()],
    )
}

/// The policy, and that it binds everybody: in one transaction, so that nobody sees a table without either.
fn policy(model: &Model, guarded: &Guarded) -> Step {
    let table = &guarded.table;
    let policy = Ident::fixed(POLICY);
    let setting = Fixed(setting(model));
    let fragments: [(&str, &dyn Fragment); 4] =
        [("table", table), ("policy", &policy), ("org", &guarded.column), ("setting", &setting)];
    Step::short(
        format!("show of {} the session's organization's rows alone", table.plain()),
        Lock::AccessExclusive,
        vec![table.clone()],
        vec![
            render("DROP POLICY IF EXISTS {policy} ON {table}", &fragments),
            render(
                "CREATE POLICY {policy} ON {table} USING ({org} = {setting}) WITH CHECK ({org} = {setting})",
                &fragments,
            ),
            render("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", &fragments),
            render("ALTER TABLE {table} FORCE ROW LEVEL SECURITY", &fragments),
        ],
        policy_goal(model, guarded),
    )
    .remembering(change::note(COMMAND, Kind::Policy, table, ""))
}
