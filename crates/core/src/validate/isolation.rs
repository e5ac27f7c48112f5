//! `validate-migration --isolation`: whether each organization's rows are really its own, and the known holes, each by the
//! object's name with what closes it. Asks the catalog only, and reads no rows.

mod accepted;
mod looks;
mod server;

use sqlx::PgConnection;

use super::{Checks, Validation, foreign_keys::unenforced};
use crate::{
    Error, Task, catalog,
    db::{Context as _, Db},
    mapping::Mapping,
    migration::{isolation, runner},
    model::Model,
};

/// Whether the holes are looked for in a database that was never isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// They are: everything is one.
    Everywhere,
    /// They are not, which is said and is no finding.
    Isolated,
}

/// Looks for the holes.
///
/// # Errors
/// Database errors; a hole is no error but a failed check.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, of: Where) -> Task<'a, Validation> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        runner::prepare(&mut session).await?;
        let mut checks = Checks::default();
        if of == Where::Isolated && !is_begun(&mut session).await? {
            checks.skip(
                "isolation",
                "tenant tables".to_owned(),
                "not isolated, not looked at: no table has Stockfoil's policy, and none is remembered to have had it",
                "migrate-org --finalize --isolate",
            );
            return Ok(Validation { is_moot: true, ..checks.validation(0) });
        }
        policies(&mut session, model, &mut checks).await?;
        role(&mut session, model, &mut checks).await?;
        foreign_keys(&mut session, model, &mut checks).await?;
        looks::all(&mut session, model, &mut checks).await?;
        copies(&mut session, model, &mut checks).await?;
        server::look(db.facts().version_num, &db.facts().version, &mut checks);
        accepted::apply(mapping.accepted_holes(), &mut checks);
        Ok(checks.validation(0))
    })
}

/// Whether isolation was begun here and not taken back. Policies that somebody dropped are remembered.
async fn is_begun(session: &mut PgConnection) -> Result<bool, Error> {
    if !catalog::is_there(session, "stockfoil.change").await? {
        return Ok(false);
    }
    let begun = sqlx::query_scalar(include_str!("isolation/begun.sql"))
        .bind(isolation::POLICY)
        .bind(isolation::COMMAND)
        .fetch_one(session)
        .await;
    Ok(begun.context("look whether organizations are isolated")?)
}

/// Isolation's policy on each table and partition, and none beside it.
async fn policies(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    let guarded = isolation::guarded(session, model).await?;
    let mut names = Vec::new();
    for guarded in &guarded {
        let table = guarded.table.to_string();
        let holds = isolation::policy_goal(model, guarded).is_met(session).await?;
        let (evidence, remedy) = match holds {
            true => {
                (format!("shows the rows whose {} is the session's, forced", guarded.column.as_str()), "")
            }
            false => state(session, &table).await?,
        };
        checks.add("policy", guarded.table.plain(), holds, evidence, remedy);
        names.push(table);
    }
    for (table, policy, lets, drops) in isolation::other_policies(session, &names).await? {
        checks.add(
            "policy",
            format!("{policy} of {table}"),
            false,
            format!("is permissive, and lets rows through beside the organization's: {lets}"),
            &format!("{drops}; or make it AS RESTRICTIVE"),
        );
    }
    Ok(())
}

/// What is wrong with a table's row-level security, and what mends it.
async fn state(session: &mut PgConnection, table: &str) -> Result<(String, &'static str), Error> {
    let (is_foreign, enabled, forced, there): (bool, bool, bool, bool) = sqlx::query_as(
        "SELECT c.relkind = 'f', c.relrowsecurity, c.relforcerowsecurity,
                EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = $2)
         FROM pg_class AS c WHERE c.oid = to_regclass($1)",
    )
    .bind(table)
    .bind(isolation::POLICY)
    .fetch_one(session)
    .await
    .context(format!("look at the row-level security of {table}"))?;
    if is_foreign {
        return Ok((
            "is a foreign table, which has no row-level security".into(),
            "DETACH it, or take every right on it",
        ));
    }
    let evidence = match (enabled, forced, there) {
        (false, ..) => "row-level security is not enabled",
        (_, _, false) => "the policy is missing",
        (_, false, _) => "row-level security is not forced, so that it does not bind the owner",
        (true, true, true) => "the policy was altered",
    };
    Ok((evidence.into(), "migrate-org --finalize --isolate"))
}

async fn role(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    let guarded = isolation::guarded(session, model).await?;
    let names: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let roles = &model.roles;
    for (role, what) in [
        (&roles.application, "owns nothing, and bypasses nothing"),
        (&roles.operations, "bypasses row-level security"),
    ] {
        let object = format!("role {}", role.as_str());
        let bypasses: Option<bool> =
            sqlx::query_scalar("SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = $1")
                .bind(role.as_str())
                .fetch_optional(&mut *session)
                .await
                .context("look at the roles")?;
        let is_application = role == &roles.application;
        let Some(bypasses) = bypasses else {
            checks.add("role", object, false, "is not there".into(), "migrate-org --finalize --isolate");
            continue;
        };
        if !is_application {
            let evidence = if bypasses { what } else { "does not bypass row-level security" };
            checks.add("role", object, bypasses, evidence.into(), "let a superuser ALTER ROLE it BYPASSRLS");
            continue;
        }
        let wrong = isolation::application_role(session, model, &names).await?;
        if wrong.is_empty() {
            checks.add("role", object, true, what.into(), "");
        } else {
            for (evidence, remedy) in wrong {
                checks.add("role", object.clone(), false, evidence, &remedy);
            }
        }
    }
    Ok(())
}

async fn foreign_keys(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    let crossing = isolation::crossing(session, model).await?;
    let guarded = isolation::guarded(session, model).await?;
    let tables: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let unenforced = unenforced(session, model, &tables).await?;
    if crossing.is_empty() && unenforced.is_empty() {
        let evidence = "each between tenant tables pairs the organizations, and is enforced";
        checks.add("foreign_key", "tenant tables", true, evidence.into(), "");
    }
    for key in crossing {
        checks.add(
            "foreign_key",
            key.plain(),
            false,
            format!("may point at a row of another organization in {}", key.referenced.plain()),
            "migrate-org --finalize --isolate",
        );
    }
    for (key, evidence, remedy) in unenforced {
        checks.add("foreign_key", key.replace(" public.", " "), false, evidence, &remedy);
    }
    Ok(())
}

/// Loads that row-level security ends, as far as pg_stat_statements has seen them.
async fn copies(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    for (table, evidence) in isolation::copied(session, model).await? {
        checks.warn("copy", format!("table {table}"), evidence, isolation::INSTEAD_OF_COPY);
        // How many there were is another thing each time.
        checks.identify(Some(table));
    }
    Ok(())
}
