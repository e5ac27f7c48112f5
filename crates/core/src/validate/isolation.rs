//! `validate-migration --isolation`: whether each organization's rows are really its own, and the known holes, each by the
//! object's name with what closes it. Asks the catalog only, and reads no rows.

use sqlx::PgConnection;

use super::{Checks, Validation, foreign_keys::unenforced};
use crate::{
    Error, Task, balance,
    db::{Context as _, Db},
    mapping::Mapping,
    migration::{isolation, privileges, runner},
    model::Model,
    sql::{Fragment, render},
    tenancy::resolution,
};

/// One look at the catalog, whose rows are an object, whether it is as it should be, what was found, and what mends it.
struct Look {
    name: &'static str,
    query: &'static str,
    /// What it means that it finds nothing.
    nothing: &'static str,
    /// What the query is told beside what all are.
    more: More,
}

enum More {
    None,
    /// The commands' names, by which they call their sessions.
    Commands,
    /// The tables of organizations and of API keys.
    Organizations,
}

const LOOKS: [Look; 18] = [
    Look {
        name: "application_login",
        query: include_str!("isolation/logins.sql"),
        nothing: "no role that can log in is a member of it yet",
        more: More::None,
    },
    Look {
        name: "login",
        query: include_str!("isolation/reached.sql"),
        nothing: "no login has rights on the tables",
        more: More::None,
    },
    Look {
        name: "session",
        query: include_str!("isolation/sessions.sql"),
        nothing: "no session of an application is past row-level security now",
        more: More::Commands,
    },
    Look {
        name: "grant",
        query: include_str!("isolation/grants.sql"),
        nothing: "there are no tables",
        more: More::None,
    },
    Look {
        name: "default_privilege",
        query: include_str!("isolation/defaults.sql"),
        nothing: "the owners' default privileges give nobody rights on tables to come",
        more: More::None,
    },
    Look {
        name: "schema",
        query: include_str!("isolation/schemas.sql"),
        nothing: "the application's role is not there",
        more: More::None,
    },
    Look {
        name: "view",
        query: include_str!("isolation/views.sql"),
        nothing: "no view reads a guarded table",
        more: More::None,
    },
    Look {
        name: "definer_function",
        query: include_str!("isolation/functions.sql"),
        nothing: "none runs with its owner's rights for the application",
        more: More::None,
    },
    Look {
        name: "server_function",
        query: include_str!("isolation/server_functions.sql"),
        nothing: "none that is for administrators is the application's to execute",
        more: More::None,
    },
    Look {
        name: "leakproof_function",
        query: include_str!("isolation/leakproof.sql"),
        nothing: "none but PostgreSQL's and extensions' are LEAKPROOF",
        more: More::None,
    },
    Look {
        name: "rule",
        query: include_str!("isolation/rules.sql"),
        nothing: "none leads to a guarded table",
        more: More::None,
    },
    Look {
        name: "unique_key",
        query: include_str!("isolation/keys.sql"),
        nothing: "no guarded table has one",
        more: More::Organizations,
    },
    Look {
        name: "unguarded_table",
        query: include_str!("isolation/outside.sql"),
        nothing: "no other table holds rows of organizations, or refers to them",
        more: More::None,
    },
    Look {
        name: "shared_parent",
        query: include_str!("isolation/parents.sql"),
        nothing: "no row that belongs to no organization takes rows of organizations along",
        more: More::None,
    },
    Look {
        name: "setting",
        query: include_str!("isolation/settings.sql"),
        nothing: "app.org_id has no default, and none takes triggers and foreign keys away",
        more: More::None,
    },
    Look {
        name: "parameter",
        query: include_str!("isolation/parameters.sql"),
        nothing: "the application may set none that only administrators may",
        more: More::None,
    },
    Look {
        name: "backup_role",
        query: include_str!("isolation/backups.sql"),
        nothing: "no login that reads everything is bound by row-level security",
        more: More::None,
    },
    Look {
        name: "publication",
        query: include_str!("isolation/publications.sql"),
        nothing: "no publication sends guarded rows",
        more: More::None,
    },
];

/// What the commands call their sessions.
const COMMANDS: &[&str] = &[
    "migrate-all",
    "migrate-org",
    "migrate-balance",
    "validate-migration",
    "backfill-balances",
    "reconcile-balances",
    "monitor-backups",
    "verify-backup",
    "org-create",
    "org-list",
    "org-update",
    "users-assign",
    "data-assign",
    "db-generate",
    "db-migrate",
    "db-studio",
];

/// Looks for the holes.
///
/// # Errors
/// Database errors; a hole is no error but a failed check.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping) -> Task<'a, Validation> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut session = db.session().await?;
        runner::prepare(&mut session).await?;
        // Many small parts of the catalog joined look costly, and compiling takes a hundred times what running does.
        sqlx::query("SET jit = off").execute(&mut session).await.context("prepare the session")?;
        let mut checks = Checks::default();
        policies(&mut session, model, &mut checks).await?;
        role(&mut session, model, &mut checks).await?;
        foreign_keys(&mut session, model, &mut checks).await?;
        looks(&mut session, model, &mut checks).await?;
        accept(mapping.accepted_holes(), &mut checks);
        Ok(checks.validation(0))
    })
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
    for (table, policy, lets) in isolation::other_policies(session, &names).await? {
        checks.add(
            "policy",
            format!("{policy} of {table}"),
            false,
            format!("is permissive, and lets rows through beside the organization's: {lets}"),
            "DROP POLICY it, or make it AS RESTRICTIVE",
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

async fn looks(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    let guarded = isolation::guarded(session, model).await?;
    let tables: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let rights: Vec<String> = guarded.iter().map(|guarded| guarded.application.join(",")).collect();
    let objects = balance::objects(model);
    let functions = objects.functions.iter().map(|function| function.name.as_str());
    let own: Vec<&str> =
        functions.chain(balance::QUERIES).chain(resolution::NAMES).chain(["default_org"]).collect();
    let organizations = [model.organizations.to_string(), model.api_keys.to_string()];
    let given = render(include_str!("isolation/given.sql"), &[]);
    let reach = render(include_str!("isolation/reach.sql"), &[]);
    let ours = render(include_str!("isolation/ours.sql"), &[("given", &given), ("reach", &reach)]);
    let granted = render(include_str!("isolation/granted.sql"), &[("ours", &ours)]);
    let written = render(include_str!("isolation/written.sql"), &[("given", &given), ("granted", &granted)]);
    let own_objects = privileges::own();
    let fragments: [(&str, &dyn Fragment); 6] = [
        ("given", &given),
        ("reach", &reach),
        ("ours", &ours),
        ("granted", &granted),
        ("written", &written),
        ("own", &own_objects),
    ];
    for look in &LOOKS {
        let statement = render(look.query, &fragments);
        let query = sqlx::query_as(statement.sql())
            .bind(&tables)
            .bind(&rights)
            .bind(model.roles.application.as_str())
            .bind(model.roles.operations.as_str())
            .bind(model.org_column.as_str())
            .bind(&own);
        let query = match look.more {
            More::None => query,
            More::Commands => query.bind(COMMANDS),
            More::Organizations => query.bind(&organizations),
        };
        let rows: Vec<(String, bool, String, String)> =
            query.fetch_all(&mut *session).await.context(format!("look for holes: {}", look.name))?;
        if rows.is_empty() {
            checks.add(look.name, "database", true, look.nothing.into(), "");
        }
        for (object, holds, evidence, remedy) in rows {
            // As other messages name what is in that schema.
            checks.add(look.name, object.replace(" public.", " "), holds, evidence, &remedy);
        }
    }
    Ok(())
}

/// Takes the holes that the operator lives with for what they are, and says which of those names none.
fn accept(accepted: &[String], checks: &mut Checks) {
    for name in accepted {
        let mut is_one = false;
        for check in checks.0.iter_mut().filter(|check| check.object == *name) {
            is_one |= check.pass_as_accepted();
        }
        if !is_one {
            checks.add(
                "accepted",
                name,
                false,
                "is accepted ([tenancy.isolation] accepted), and is no hole".into(),
                "take it out of the list",
            );
        }
    }
}
