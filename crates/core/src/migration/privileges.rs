//! Who may do what with Stockfoil's own objects: nobody but their owners, and whoever is granted it by name.
//!
//! The schema's default privileges are the application's; what they give on a new object they give without a word. So what
//! a transaction makes is closed before it is committed, and what was made before that was so is closed once. What an
//! operator grants afterwards stays.

use sqlx::PgConnection;

use super::{
    change,
    step::{Goal, Lock, Step},
};
use crate::{
    Error,
    db::{Context as _, DbError},
    model::{KeptBy, Model},
    sql::{Fixed, Fragment, Ident, List, Literal, NameError, QualifiedName, Statement, render},
    tenancy::resolution,
};

/// The function that every insert may call; what it does is for everybody.
pub(super) const FOR_EVERYBODY: &str = "default_org";

/// The kinds of objects that rights are on.
const KINDS: [&str; 4] = ["schema", "table", "sequence", "routine"];

/// What there is to be granted, of any kind of object; a server that does not know one has granted none of it.
const PRIVILEGES: [&str; 11] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "MAINTAIN",
    "USAGE",
    "CREATE",
    "EXECUTE",
];

/// Rights on one of Stockfoil's own objects that somebody has.
#[derive(Debug, sqlx::FromRow)]
struct Held {
    kind: String,
    object: String,
    /// Whose; none is everybody's.
    grantee: Option<String>,
    privileges: Vec<String>,
}

impl Held {
    /// The statement that takes them.
    fn revoke(&self) -> Result<Option<Statement>, NameError> {
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == self.kind) else { return Ok(None) };
        let held = PRIVILEGES.into_iter().filter(|known| self.privileges.iter().any(|held| held == known));
        let privileges = List(held.map(Fixed).collect());
        let object = crate::sql::Definition::from_catalog(self.object.clone());
        let name = self.grantee.as_deref().map(Ident::new).transpose()?;
        let grantee: &dyn Fragment = match &name {
            Some(name) => name,
            None => &Fixed("PUBLIC"),
        };
        let fragments: [(&str, &dyn Fragment); 4] =
            [("privileges", &privileges), ("kind", &Fixed(kind)), ("object", &object), ("grantee", grantee)];
        Ok((!privileges.0.is_empty())
            .then(|| render("REVOKE {privileges} ON {kind} {object} FROM {grantee} CASCADE", &fragments)))
    }
}

fn names(tables: &[QualifiedName]) -> Statement {
    let names = List(tables.iter().map(|table| Literal::new(&table.to_string())).collect());
    render("ARRAY[{names}]::text[]", &[("names", &names)])
}

/// `template` over Stockfoil's own objects, `tables` among them.
fn over(tables: &[QualifiedName], template: &'static str) -> Statement {
    let own_tables = names(tables);
    let own = render(include_str!("privileges/own.sql"), &[("own_tables", &own_tables)]);
    render(template, &[("own", &own), ("own_tables", &own_tables)])
}

/// Stockfoil's own schema and what is in it, as a query: kind, object, owner and rights of each.
pub(crate) fn own() -> Statement {
    over(&[], "{own}")
}

/// The addresses of what there is in Stockfoil's schema.
pub(super) async fn there(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    addresses(connection, &[]).await
}

/// The addresses of Stockfoil's own objects, `tables` among them.
async fn addresses(
    connection: &mut PgConnection,
    tables: &[QualifiedName],
) -> Result<Vec<String>, sqlx::Error> {
    let statement = over(tables, "SELECT o.address FROM ({own}) AS o");
    sqlx::query_scalar(statement.sql()).fetch_all(connection).await
}

fn names_of(schema: String, name: String) -> Result<QualifiedName, sqlx::Error> {
    let ident = |name: String| Ident::new(name).map_err(|error| sqlx::Error::Decode(error.into()));
    Ok(QualifiedName::new(ident(schema)?, ident(name)?))
}

/// Takes from everybody but their owners every right on what was not there `before`: in Stockfoil's schema, and `made`.
/// In the transaction that made it; then only default privileges can have given one. What an event trigger did to keep rows
/// from their owner is undone. What is closed is recorded, once there is a record.
pub(super) async fn close(
    connection: &mut PgConnection,
    before: &[String],
    made: &[QualifiedName],
) -> Result<(), sqlx::Error> {
    // Most transactions make nothing, and this is asked in each.
    if addresses(connection, made).await?.iter().all(|address| before.contains(address)) {
        return Ok(());
    }
    // An application's event trigger may put every new table under policies, its owner too, who keeps Stockfoil's.
    let forced = over(made, include_str!("privileges/forced.sql"));
    let forced: Vec<(String, String)> =
        sqlx::query_as(forced.sql()).persistent(false).bind(before).fetch_all(&mut *connection).await?;
    for (schema, name) in forced {
        let table = names_of(schema, name)?;
        let unforce = render("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY", &[("table", &table)]);
        sqlx::raw_sql(unforce.sql()).execute(&mut *connection).await?;
    }
    let statement = over(made, include_str!("privileges/given.sql"));
    let held: Vec<Held> =
        sqlx::query_as(statement.sql()).persistent(false).bind(before).fetch_all(&mut *connection).await?;
    for held in held {
        if let Some(revoke) = held.revoke().map_err(|error| sqlx::Error::Decode(error.into()))? {
            sqlx::raw_sql(revoke.sql()).execute(&mut *connection).await?;
        }
    }
    let can_record: bool =
        sqlx::query_scalar(include_str!("privileges/can_record.sql")).fetch_one(&mut *connection).await?;
    if can_record {
        let new = over(made, "SELECT * FROM ({own}) AS o WHERE o.address <> ALL ($1::text[])");
        let statement =
            render(include_str!("privileges/record.sql"), &[("own", &new), ("own_tables", &names(made))]);
        sqlx::query(statement.sql()).persistent(false).bind(before).execute(connection).await?;
    }
    Ok(())
}

/// The tables beside its own schema that are Stockfoil's, and that no application writes.
fn tables(model: &Model) -> Vec<QualifiedName> {
    let balances = &model.balances;
    let mut tables = vec![model.organizations.clone(), model.api_keys.clone()];
    if !balances.is_adopted && balances.kept_by != KeptBy::Application {
        tables.push(balances.table.clone());
    }
    tables
}

/// What validation says of the rights on Stockfoil's own objects.
#[derive(Debug)]
pub(crate) struct State {
    /// Whether each of them was closed, under its name.
    pub(crate) is_closed: bool,
    /// What default privileges gave even so, of one that is not what was closed.
    pub(crate) handed: Vec<String>,
}

/// Looks whether Stockfoil's own objects are closed.
///
/// # Errors
/// Database errors.
pub(crate) async fn state(session: &mut PgConnection, model: &Model) -> Result<State, Error> {
    let is_closed = goal(model, "true").is_met(session).await?;
    let handed = handed(session, model).await?.into_iter().map(|held| {
        let grantee = held.grantee.unwrap_or_else(|| "everybody".to_owned());
        format!("{grantee} has {} on {}", held.privileges.join(", "), held.object)
    });
    Ok(State { is_closed, handed: handed.collect() })
}

/// Whether each of Stockfoil's own objects was closed, by a record `k` of which `is_same` holds.
fn goal(model: &Model, is_same: &'static str) -> Goal {
    let template = include_str!("goals/closed.sql");
    let own_tables = names(&tables(model));
    let own = render(include_str!("privileges/own.sql"), &[("own_tables", &own_tables)]);
    let fragments: [(&str, &dyn Fragment); 3] =
        [("own", &own), ("own_tables", &own_tables), ("is_same", &Fixed(is_same))];
    Goal::Query {
        query: render(template, &fragments),
        binds: Vec::new(),
        table: Some(QualifiedName::new(Ident::fixed("stockfoil"), Ident::fixed("change"))),
    }
}

/// The step that closes what was made before it was closed at once, and records what is closed.
pub(super) async fn step(session: &mut PgConnection, model: &Model) -> Result<Step, Error> {
    let tables = tables(model);
    let mut statements = Vec::new();
    for held in handed(session, model).await? {
        statements.extend(held.revoke()?);
    }
    statements.push(over(&tables, include_str!("privileges/record.sql")));
    Ok(Step::short(
        "keep Stockfoil's own objects from whom default privileges gave them to".into(),
        Lock::None,
        vec![],
        statements,
        goal(model, "k.before ? o.address"),
    ))
}

/// What default privileges gave of objects that were never closed.
async fn handed(session: &mut PgConnection, model: &Model) -> Result<Vec<Held>, DbError> {
    if !change::is_there(session).await? {
        return Ok(Vec::new());
    }
    let functions: Vec<&str> = resolution::NAMES.into_iter().chain([FOR_EVERYBODY]).collect();
    let statement = over(&tables(model), include_str!("privileges/handed.sql"));
    sqlx::query_as(statement.sql())
        .persistent(false)
        .bind(model.api_keys.to_string())
        .bind(model.roles.operations.as_str())
        .bind(functions)
        .fetch_all(session)
        .await
        .context("look what default privileges gave of Stockfoil's own objects")
}

/// To whom default privileges would give what is made now, and who gets nothing of it.
///
/// # Errors
/// Database errors.
pub(super) async fn warnings(session: &mut PgConnection, model: &Model) -> Result<Vec<String>, DbError> {
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT coalesce(r.rolname::text, 'everybody (PUBLIC)')
         FROM pg_default_acl AS d CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
         WHERE d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND d.defaclobjtype = 'r' AND a.grantee <> d.defaclrole
           AND d.defaclnamespace IN (0, coalesce(to_regnamespace(quote_ident($1))::oid, 0)) AND to_regclass($2) IS NULL
         ORDER BY 1",
    )
    .bind(model.balances.table.schema.as_str())
    .bind(model.balances.table.to_string())
    .fetch_all(session)
    .await
    .context("read the default privileges")?;
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "default privileges give {} rights on every new table, but not on Stockfoil's own; for an application that reads balances: GRANT SELECT ON {} TO its role",
        roles.join(", "),
        model.balances.table
    )])
}
