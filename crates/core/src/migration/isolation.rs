//! `migrate-org --finalize --isolate`: row-level security that keeps each organization's rows to itself, online.
//!
//! Everything that the policies need comes first (roles, rights, owners of functions, foreign keys that pair the
//! organizations, the default of an insert that names none), the policies last: until a table's own short step it works
//! as before, and from then on it shows a session the rows of the organization that the session has set. Foreign keys are
//! checked behind row-level security, by PostgreSQL itself; so only one that pairs the organizations keeps a row from
//! pointing at another organization's, or from being deleted with it.

mod back;
mod foreign_key;

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{
    change::{self, Kind},
    preflight::{self, Finding},
    step::{Goal, Lock, Step},
};
use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    mapping::KeptBy,
    model::{KeyType, Model},
    sql::{Definition, Fixed, Fragment, Ident, List, QualifiedName, Statement, render},
    tenancy::resolution,
};

pub(super) use back::back;
pub(crate) use foreign_key::crossing;

/// What `stockfoil.change` remembers isolation's changes by.
const COMMAND: &str = "isolate";

/// The policy's name, on every table.
pub(crate) const POLICY: &str = "stockfoil_isolation";

const ROWS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];
const READ: &[&str] = &["SELECT"];
const SEQUENCE: &[&str] = &["USAGE", "SELECT"];

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
    let mut tables: Vec<(&QualifiedName, Ident, &'static [&'static str])> = Vec::new();
    for table in &model.tenant_tables {
        tables.push((table, model.org_column.clone(), ROWS));
    }
    if !model.tenant_tables.contains(&balances.table) {
        tables.push((&balances.table, model.org_column.clone(), if writes_balances { ROWS } else { READ }));
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
    for (table, policy, lets) in other_policies(session, &names).await? {
        found.push(Finding {
            check: "policies",
            object: format!("policy {policy} of {table}"),
            detail: format!("is permissive, and would let rows through beside the organization's: {lets}"),
            remedy: "drop it, or make it AS RESTRICTIVE".into(),
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
    sqlx::query_as(include_str!("isolation/application_role.sql"))
        .bind(model.roles.application.as_str())
        .bind(tables)
        .bind(model.roles.operations.as_str())
        .fetch_all(session)
        .await
        .context("look at the application's role")
}

/// Permissive policies beside isolation's: table, name, and what they let through.
///
/// # Errors
/// Database errors.
pub(crate) async fn other_policies(
    session: &mut PgConnection,
    tables: &[String],
) -> Result<Vec<(String, String, String)>, DbError> {
    sqlx::query_as(include_str!("isolation/other_policies.sql"))
        .bind(tables)
        .bind(POLICY)
        .fetch_all(session)
        .await
        .context("look for other policies")
}

/// What the application can't do yet though it may want to: objects beside the tenant tables, with the statement that
/// gives the right.
///
/// # Errors
/// Database errors.
pub(super) async fn warnings(session: &mut PgConnection, model: &Model) -> Result<Vec<String>, Error> {
    let known: Vec<String> =
        guarded(session, model).await?.iter().map(|guarded| guarded.table.to_string()).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("isolation/ungranted.sql"))
        .bind(model.roles.application.as_str())
        .bind(known)
        .fetch_all(session)
        .await
        .context("look for what the application may not read")?;
    let application = model.roles.application.as_str();
    Ok(rows
        .into_iter()
        .map(|(object, grant)| {
            format!("{application} gets no right on {object}, which belongs to no organization; if the application needs it: {grant}")
        })
        .collect())
}

/// The steps that isolate the organizations. The default organization's steps come before.
///
/// # Errors
/// Database errors.
pub(super) async fn steps(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let guarded = guarded(session, model).await?;
    let mut steps = vec![memory()];
    steps.extend(roles(session, model).await?);
    steps.extend(grants(session, model, &guarded).await?);
    steps.extend(owners(session, model).await?);
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

/// The memory takes what isolation changes; on a database that `db-migrate` never saw its version is applied here.
fn memory() -> Step {
    Step::short(
        "remember what isolation changes".into(),
        Lock::None,
        vec![],
        vec![render(include_str!("../../../../migrations/20260106000000_isolation_memory.up.sql"), &[])],
        Goal::new(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('stockfoil.change') AND conname = 'change_kind_check'
                            AND pg_get_constraintdef(oid) LIKE '%policy%')",
            [],
        ),
    )
}

fn role_table() -> QualifiedName {
    QualifiedName::new(Ident::fixed("pg_catalog"), Ident::fixed("pg_authid"))
}

async fn roles(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, DbError> {
    let is_superuser: bool = sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        .fetch_one(session)
        .await
        .context("look at the session's role")?;
    let make = |role: &Ident, statements: Vec<Statement>, what: &str| {
        Step::short(
            format!("create role {}, {what}", role.as_str()),
            Lock::None,
            vec![],
            statements,
            Goal::new("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", [role.as_str().into()]),
        )
        .remembering(change::note(COMMAND, Kind::Role, &role_table(), role.as_str()))
    };
    let operations = &model.roles.operations;
    let mut bypassing = vec![model.render("CREATE ROLE {operations_role} NOLOGIN BYPASSRLS")];
    if is_superuser {
        // A backup reads everything, whatever is made later.
        bypassing.push(model.render("GRANT pg_read_all_data TO {operations_role}"));
    } else {
        // Who made it gives it functions.
        bypassing.push(model.render("GRANT {operations_role} TO CURRENT_USER"));
    }
    Ok(vec![
        make(
            &model.roles.application,
            vec![model.render("CREATE ROLE {app_role} NOLOGIN")],
            "which the application's logins are to be members of",
        ),
        make(operations, bypassing, "which backups and Stockfoil's commands are to work as"),
    ])
}

/// Rights of a role on an object.
#[derive(Debug, Clone)]
struct Grant {
    kind: ObjectKind,
    /// The object; a schema stands in both places.
    object: QualifiedName,
    privileges: Vec<&'static str>,
}

/// What rights are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectKind {
    Table,
    Sequence,
    Schema,
    /// One whose name no other function of its schema has.
    Function,
}

impl ObjectKind {
    fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Schema => "schema",
            ObjectKind::Function => "function",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Table, Self::Sequence, Self::Schema, Self::Function]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

impl Grant {
    fn new(kind: ObjectKind, object: &QualifiedName, privileges: &[&'static str]) -> Self {
        Self { kind, object: object.clone(), privileges: privileges.to_vec() }
    }

    fn on_schema(schema: &Ident, privileges: &[&'static str]) -> Self {
        Self::new(ObjectKind::Schema, &QualifiedName::new(schema.clone(), schema.clone()), privileges)
    }

    /// The statement that `verb` (a template) makes of it.
    fn statement(&self, role: &Ident, verb: &'static str) -> Statement {
        let privileges = List(self.privileges.iter().copied().map(Fixed).collect());
        let kind = Fixed(self.kind.word());
        let object: &dyn Fragment = match self.kind {
            ObjectKind::Schema => &self.object.schema,
            _ => &self.object,
        };
        render(verb, &[("privileges", &privileges), ("kind", &kind), ("object", object), ("role", role)])
    }

    /// The name that it is remembered by.
    fn name(&self, role: &Ident) -> String {
        format!("{} {}", self.kind.word(), role.as_str())
    }

    fn wanted(&self) -> impl Iterator<Item = serde_json::Value> {
        let object = match self.kind {
            ObjectKind::Schema => self.object.schema.as_str().to_owned(),
            _ => self.object.to_string(),
        };
        self.privileges.iter().map(move |privilege| {
            serde_json::json!({ "kind": self.kind.word(), "object": object, "privilege": privilege })
        })
    }
}

/// Whether `role` holds all that `grants` say; with `none` as the state, whether it holds none of it.
fn grant_goal(role: &Ident, grants: &[Grant], state: &str) -> Goal {
    let wanted: Vec<serde_json::Value> = grants.iter().flat_map(Grant::wanted).collect();
    Goal::new(
        include_str!("goals/privileges.sql"),
        [role.as_str().into(), serde_json::Value::from(wanted).to_string(), state.into()],
    )
}

async fn grants(session: &mut PgConnection, model: &Model, guarded: &[Guarded]) -> Result<Vec<Step>, Error> {
    let records = Ident::fixed("stockfoil");
    let tables: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let sequences: Vec<(String, String)> = sqlx::query_as(include_str!("isolation/sequences.sql"))
        .bind(&tables)
        .fetch_all(&mut *session)
        .await
        .context("look for the sequences of the tables")?;
    let own: Vec<(String, String)> = sqlx::query_as(include_str!("isolation/records.sql"))
        .fetch_all(&mut *session)
        .await
        .context("look for Stockfoil's own tables")?;
    let schemas = closed_schemas(session, guarded).await?;

    let mut application = vec![Grant::on_schema(&records, &["USAGE"])];
    let mut operations = vec![Grant::on_schema(&records, &["USAGE", "CREATE"])];
    for schema in &schemas {
        application.push(Grant::on_schema(schema, &["USAGE"]));
        operations.push(Grant::on_schema(schema, &["USAGE"]));
    }
    for guarded in guarded {
        if !guarded.application.is_empty() {
            application.push(Grant::new(ObjectKind::Table, &guarded.table, guarded.application));
        }
        operations.push(Grant::new(ObjectKind::Table, &guarded.table, ROWS));
    }
    for (schema, name) in sequences {
        let sequence = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        application.push(Grant::new(ObjectKind::Sequence, &sequence, &["USAGE"]));
        operations.push(Grant::new(ObjectKind::Sequence, &sequence, SEQUENCE));
    }
    for (kind, name) in own {
        let object = QualifiedName::new(records.clone(), Ident::new(name)?);
        operations.push(match ObjectKind::of_word(&kind) {
            Some(ObjectKind::Sequence) => Grant::new(ObjectKind::Sequence, &object, SEQUENCE),
            _ => Grant::new(ObjectKind::Table, &object, ROWS),
        });
    }
    // Each checks for itself what it gives.
    application.extend(
        application_functions(session)
            .await?
            .into_iter()
            .map(|function| Grant::new(ObjectKind::Function, &function, &["EXECUTE"])),
    );
    let step = |role: &Ident, what: &str, grants: Vec<Grant>| {
        let mut step = Step::short(
            format!("let {} {what}", role.as_str()),
            Lock::None,
            vec![],
            grants
                .iter()
                .map(|grant| grant.statement(role, "GRANT {privileges} ON {kind} {object} TO {role}"))
                .collect(),
            grant_goal(role, &grants, "all"),
        );
        step.remember = grants
            .iter()
            .map(|grant| change::note(COMMAND, Kind::Grant, &grant.object, &grant.name(role)))
            .collect();
        step
    };
    Ok(vec![
        step(&model.roles.operations, "read and write every table", operations),
        step(
            &model.roles.application,
            "read and write the tenant tables, read balances, and set its organization",
            application,
        ),
    ])
}

/// The schemas of the tables that not everybody may use already.
async fn closed_schemas(session: &mut PgConnection, guarded: &[Guarded]) -> Result<Vec<Ident>, Error> {
    let schemas: BTreeSet<&str> = guarded.iter().map(|guarded| guarded.table.schema.as_str()).collect();
    let closed: Vec<String> = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_namespace WHERE nspname = ANY ($1) AND NOT has_schema_privilege('public', oid, 'USAGE') ORDER BY 1",
    )
    .bind(Vec::from_iter(schemas))
    .fetch_all(session)
    .await
    .context("look who may use the tables' schemas")?;
    Ok(closed.into_iter().map(Ident::new).collect::<Result<_, _>>()?)
}

/// The functions in Stockfoil's schema that applications call, as far as they are there.
///
/// # Errors
/// Database errors.
async fn application_functions(session: &mut PgConnection) -> Result<Vec<QualifiedName>, Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc AS p
         WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY ($1) ORDER BY 1",
    )
    .bind(resolution::NAMES)
    .fetch_all(session)
    .await
    .context("look for the functions that applications call")?;
    let records = Ident::fixed("stockfoil");
    let function = |name| Ok(QualifiedName::new(records.clone(), Ident::new(name)?));
    names.into_iter().map(function).collect()
}

/// Functions that run with their owner's rights belong to the operations role: row-level security that is forced binds a
/// table's owner too, and then a balance could only be kept by a session that has set its organization. What those call
/// belongs to it with them.
async fn owners(session: &mut PgConnection, model: &Model) -> Result<Option<Step>, Error> {
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p
         WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname <> 'default_org' ORDER BY 1",
    )
    .fetch_all(session)
    .await
    .context("look for Stockfoil's functions")?;
    if functions.is_empty() {
        return Ok(None);
    }
    let give = |function: &String| {
        render(
            "ALTER FUNCTION {function} OWNER TO {owner}",
            &[("function", &Definition::from_catalog(function.clone())), ("owner", &model.roles.operations)],
        )
    };
    let mut step = Step::short(
        format!("give Stockfoil's functions to {}", model.roles.operations.as_str()),
        Lock::None,
        vec![],
        functions.iter().map(give).collect(),
        Goal::new(
            "SELECT NOT EXISTS (SELECT FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
                                WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname <> 'default_org' AND r.rolname <> $1)",
            [model.roles.operations.as_str().into()],
        ),
    );
    step.remember = functions
        .iter()
        .map(|function| change::note(COMMAND, Kind::Function, &function_table(), function))
        .collect();
    Ok(Some(step))
}

fn function_table() -> QualifiedName {
    QualifiedName::new(Ident::fixed("pg_catalog"), Ident::fixed("pg_proc"))
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
