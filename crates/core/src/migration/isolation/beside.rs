//! What stands beside the guarded tables: tables of nobody, which may hold what is somebody's, and statements that isolation ends.

use sqlx::PgConnection;

use super::guarded;
use crate::{
    Error,
    db::{Context as _, DbError},
    migration::preflight,
    model::Model,
    sql::{Fixed, Fragment, Statement, render},
};

/// Tables that hold rows of organizations though no column says whose.
pub(crate) const TIED: &str = include_str!("tied.sql");

/// What does a COPY's work under row-level security.
pub(crate) const INSTEAD_OF_COPY: &str = "INSERT with many rows or from unnest($1, $2, ...), or COPY into a temporary table and INSERT ... SELECT from it";

/// `query` over [`TIED`], of the tables $1 and the organization's column $2.
fn over_tied(query: &'static str) -> Statement {
    let scope = Fixed(
        "SELECT ARRAY(SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t WHERE to_regclass(t) IS NOT NULL) AS tables, $2::text AS org",
    );
    let tied = render(TIED, &[("scope", &scope)]);
    let fragments: [(&str, &dyn Fragment); 1] = [("tied", &tied)];
    render(query, &fragments)
}

/// What the application can't do yet though it may want to: objects beside the tenant tables, with the statement that
/// gives the right, or why none should; and loads that row-level security ends.
///
/// # Errors
/// Database errors.
pub(in crate::migration) async fn warnings(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<String>, Error> {
    let known: Vec<String> =
        guarded(session, model).await?.iter().map(|guarded| guarded.table.to_string()).collect();
    let application = model.roles.application.as_str();
    let rows: Vec<(String, String, Option<String>, String)> =
        sqlx::query_as(over_tied(include_str!("ungranted.sql")).sql())
            .bind(known)
            .bind(model.org_column.as_str())
            .bind(application)
            .fetch_all(&mut *session)
            .await
            .context("look for what the application may not read")?;
    let mut warnings: Vec<String> = rows
        .into_iter()
        .map(|(object, grant, why, kind)| match (why, &*kind) {
            (None, _) => format!(
                "{application} gets no right on {object}, which belongs to no organization; if the application needs it: {grant}"
            ),
            (Some(why), "v" | "m") => format!(
                "{application} gets no right on {object}, which {why}: a GRANT would show every organization's rows; make it a view with security_invoker = true first"
            ),
            (Some(why), "f") => format!(
                "{application} gets no right on {object}, which {why}, where nothing says whose a row is"
            ),
            (Some(why), _) => format!(
                "{application} gets no right on {object}, which {why}: a GRANT would show all of its rows to every organization; {GIVE}"
            ),
        })
        .collect();
    for (table, copied) in copied(session, model).await? {
        warnings.push(format!("{table}: {copied}; instead: {INSTEAD_OF_COPY}"));
    }
    Ok(warnings)
}

const GIVE: &str = "give it an organization: add it to [tenancy] tables, then migrate-org";

/// Tables that hold rows of organizations and are to get none, for the plan that gives the others theirs.
///
/// # Errors
/// Database errors.
pub(in crate::migration) async fn outside(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<String>, DbError> {
    let own = [&model.organizations, &model.api_keys, &model.balances.table];
    let tables: Vec<String> = model.tenant_tables.iter().chain(own).map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(over_tied(include_str!("outside.sql")).sql())
        .bind(tables)
        .bind(model.org_column.as_str())
        .fetch_all(session)
        .await
        .context("look for tables that hold rows of organizations")?;
    let warning = |(table, why)| format!("{table} {why}, and belongs to no organization; {GIVE}");
    Ok(rows.into_iter().map(warning).collect())
}

/// The tables that COPY FROM wrote rows of, as far as pg_stat_statements has seen it, and what becomes of that.
///
/// # Errors
/// Database errors.
pub(crate) async fn copied(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(String, String)>, Error> {
    let tables: Vec<String> =
        guarded(session, model).await?.iter().map(|guarded| guarded.table.to_string()).collect();
    preflight::copied(session, &tables).await
}
