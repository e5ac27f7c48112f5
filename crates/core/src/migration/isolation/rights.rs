//! The roles, what they may do, and whose Stockfoil's functions are.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{COMMAND, Guarded, ROWS};
use crate::{
    Error, balance,
    db::{Context as _, DbError},
    migration::{
        change::{self, Kind},
        operations::{GRANT, Grant, ObjectKind, SEQUENCE, function_table, give, grant_goal},
        step::{Goal, Lock, Step},
    },
    model::Model,
    sql::{Ident, List, QualifiedName, Statement, render},
    tenancy::resolution,
};

fn role_table() -> QualifiedName {
    QualifiedName::new(Ident::fixed("pg_catalog"), Ident::fixed("pg_authid"))
}

/// The steps that make the roles.
///
/// # Errors
/// Database errors.
pub(super) async fn roles(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, DbError> {
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

/// The steps that give both roles what they are to have, beside what they have.
///
/// # Errors
/// Database errors.
pub(super) async fn grants(
    session: &mut PgConnection,
    model: &Model,
    guarded: &[Guarded],
) -> Result<Vec<Step>, Error> {
    let records = Ident::fixed("stockfoil");
    let mut application = vec![Grant::on_schema(&records, &["USAGE"])];
    let mut operations = vec![Grant::on_schema(&records, &["USAGE", "CREATE"])];
    for schema in closed_schemas(session, guarded).await? {
        application.push(Grant::on_schema(&schema, &["USAGE"]));
        operations.push(Grant::on_schema(&schema, &["USAGE"]));
    }
    for guarded in guarded {
        if !guarded.application.is_empty() {
            application.push(Grant::new(ObjectKind::Table, &guarded.table, guarded.application));
        }
        operations.push(Grant::new(ObjectKind::Table, &guarded.table, ROWS));
    }
    for sequence in sequences(session, guarded).await? {
        application.push(Grant::new(ObjectKind::Sequence, &sequence, &["USAGE"]));
        operations.push(Grant::new(ObjectKind::Sequence, &sequence, SEQUENCE));
    }
    operations.extend(on_records(session, &records).await?);
    // Each checks for itself what it gives.
    application.extend(
        application_functions(session)
            .await?
            .into_iter()
            .map(|function| Grant::new(ObjectKind::Function, &function, &["EXECUTE"])),
    );
    Ok(vec![
        grant_step(&model.roles.operations, "read and write every table", &operations),
        grant_step(
            &model.roles.application,
            "read and write the tenant tables, read balances, and set its organization",
            &application,
        ),
    ])
}

fn grant_step(role: &Ident, what: &str, grants: &[Grant]) -> Step {
    let mut step = Step::short(
        format!("let {} {what}", role.as_str()),
        Lock::None,
        vec![],
        grants.iter().map(|grant| grant.statement(role, GRANT)).collect(),
        grant_goal(role, grants, "all"),
    );
    step.remember = grants
        .iter()
        .map(|grant| change::note(COMMAND, Kind::Grant, &grant.object, &grant.name(role)))
        .collect();
    step
}

/// The sequences that the tables' columns take their numbers from.
async fn sequences(session: &mut PgConnection, guarded: &[Guarded]) -> Result<Vec<QualifiedName>, Error> {
    let tables: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let names: Vec<(String, String)> = sqlx::query_as(include_str!("sequences.sql"))
        .bind(&tables)
        .fetch_all(session)
        .await
        .context("look for the sequences of the tables")?;
    let sequence = |(schema, name)| Ok(QualifiedName::new(Ident::new(schema)?, Ident::new(name)?));
    names.into_iter().map(sequence).collect()
}

/// The rights on Stockfoil's own tables, in the schema `records`.
async fn on_records(session: &mut PgConnection, records: &Ident) -> Result<Vec<Grant>, Error> {
    let own: Vec<(String, String)> = sqlx::query_as(include_str!("records.sql"))
        .fetch_all(session)
        .await
        .context("look for Stockfoil's own tables")?;
    let grant = |(kind, name): (String, String)| {
        let object = QualifiedName::new(records.clone(), Ident::new(name)?);
        Ok(match ObjectKind::of_word(&kind) {
            Some(ObjectKind::Sequence) => Grant::new(ObjectKind::Sequence, &object, SEQUENCE),
            _ => Grant::new(ObjectKind::Table, &object, ROWS),
        })
    };
    own.into_iter().map(grant).collect()
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
    .bind(Vec::from_iter(resolution::NAMES.into_iter().chain(balance::QUERIES)))
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
pub(super) async fn owners(session: &mut PgConnection, model: &Model) -> Result<Option<Step>, Error> {
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p
         WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname <> 'default_org' ORDER BY 1",
    )
    .fetch_all(&mut *session)
    .await
    .context("look for Stockfoil's functions")?;
    if functions.is_empty() {
        return Ok(None);
    }
    let tables = writers_tables(session, model).await?;
    let (lock, mut statements) = hold_writers(&tables);
    statements.extend(functions.iter().map(|function| give(function, &model.roles.operations)));
    let mut step = Step::short(
        format!("give Stockfoil's functions to {}", model.roles.operations.as_str()),
        lock,
        tables,
        statements,
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

/// The ledger's tables whose writers call Stockfoil's functions.
///
/// # Errors
/// Database errors.
pub(super) async fn writers_tables(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<QualifiedName>, DbError> {
    let mut tables = Vec::new();
    for table in model.ledger.tables() {
        let is_kept: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                            WHERE t.tgrelid = to_regclass($1) AND p.pronamespace = to_regnamespace('stockfoil'))",
        )
        .bind(table.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for the triggers that keep the balances")?;
        if is_kept {
            tables.push(table.clone());
        }
    }
    Ok(tables)
}

/// What lets writers of `tables` who are inside a function come out, and others wait, while functions get another owner, and the
/// lock that it is: a function that goes on as the former one may no longer call the rest.
pub(super) fn hold_writers(tables: &[QualifiedName]) -> (Lock, Vec<Statement>) {
    if tables.is_empty() {
        return (Lock::None, Vec::new());
    }
    let hold = "LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE";
    (Lock::ShareRowExclusive, vec![render(hold, &[("tables", &List(tables.to_vec()))])])
}
