//! The looks at the catalog: one statement each, over what they all go by.

use sqlx::PgConnection;

use crate::{
    Error, balance,
    db::Context as _,
    migration::{isolation, privileges},
    model::Model,
    sql::{Fragment, Statement, render},
    tenancy::resolution,
    validate::Checks,
};

/// One look at the catalog, whose rows are an object, whether it is as it should be (NULL where that is for the operator to
/// say), what was found, what mends it, and what an acceptance is of, where the finding's words don't say all of it.
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

const LOOKS: [Look; 23] = [
    Look {
        name: "application_login",
        query: include_str!("logins.sql"),
        nothing: "no role that can log in is a member of it yet",
        more: More::None,
    },
    Look {
        name: "login",
        query: include_str!("reached.sql"),
        nothing: "no login has rights on the tables",
        more: More::None,
    },
    Look {
        name: "session",
        query: include_str!("sessions.sql"),
        nothing: "no session of an application is past row-level security now",
        more: More::Commands,
    },
    Look {
        name: "grant",
        query: include_str!("grants.sql"),
        nothing: "there are no tables",
        more: More::None,
    },
    Look {
        name: "default_privilege",
        query: include_str!("defaults.sql"),
        nothing: "the owners' default privileges give nobody rights on tables to come",
        more: More::None,
    },
    Look {
        name: "schema",
        query: include_str!("schemas.sql"),
        nothing: "the application's role is not there",
        more: More::None,
    },
    Look {
        name: "view",
        query: include_str!("views.sql"),
        nothing: "no view reads a guarded table",
        more: More::None,
    },
    Look {
        name: "definer_function",
        query: include_str!("functions.sql"),
        nothing: "none runs with its owner's rights for the application",
        more: More::None,
    },
    Look {
        name: "server_function",
        query: include_str!("server_functions.sql"),
        nothing: "none that is for administrators is the application's to execute",
        more: More::None,
    },
    Look {
        name: "leakproof_function",
        query: include_str!("leakproof.sql"),
        nothing: "none but PostgreSQL's and extensions' are LEAKPROOF",
        more: More::None,
    },
    Look {
        name: "rule",
        query: include_str!("rules.sql"),
        nothing: "none leads to a guarded table",
        more: More::None,
    },
    Look {
        name: "unique_key",
        query: include_str!("keys.sql"),
        nothing: "no guarded table has one",
        more: More::Organizations,
    },
    Look {
        name: "unguarded_table",
        query: include_str!("outside.sql"),
        nothing: "no other table holds rows of organizations, or refers to them",
        more: More::None,
    },
    Look {
        name: "shared_parent",
        query: include_str!("parents.sql"),
        nothing: "no row that belongs to no organization takes rows of organizations along",
        more: More::None,
    },
    Look {
        name: "setting",
        query: include_str!("settings.sql"),
        nothing: "app.org_id has no default, and none takes triggers, foreign keys and the rights on large objects away",
        more: More::None,
    },
    Look {
        name: "parameter",
        query: include_str!("parameters.sql"),
        nothing: "the application may set none that only administrators may",
        more: More::None,
    },
    Look {
        name: "temporary_table",
        query: include_str!("temporary.sql"),
        nothing: "no login of the application may make temporary tables",
        more: More::None,
    },
    Look {
        name: "notification",
        query: include_str!("notifications.sql"),
        nothing: "no trigger of a guarded table notifies",
        more: More::None,
    },
    Look {
        name: "large_object",
        query: include_str!("large_objects.sql"),
        nothing: "none is the application's to read or write",
        more: More::None,
    },
    Look {
        name: "foreign_server",
        query: include_str!("servers.sql"),
        nothing: "none may be used by the application with a password that is kept here",
        more: More::None,
    },
    Look {
        name: "logging",
        query: include_str!("logging.sql"),
        nothing: "the server logs no values that statements are bound with",
        more: More::None,
    },
    Look {
        name: "backup_role",
        query: include_str!("backups.sql"),
        nothing: "no login that reads everything is bound by row-level security",
        more: More::None,
    },
    Look {
        name: "publication",
        query: include_str!("publications.sql"),
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
    "org-export",
    "org-delete",
    "org-import",
    "org-merge",
    "db-generate",
    "db-migrate",
    "db-studio",
];

/// What a look says of an object.
type Row = (String, Option<bool>, String, String, Option<String>);

/// The parts that the looks have in common, by the names that stand for them.
struct Parts(Vec<(&'static str, Statement)>);

impl Parts {
    fn new() -> Self {
        let mut parts = Self(Vec::new());
        parts.0.push(("own", privileges::own()));
        for (name, template) in [
            ("given", include_str!("given.sql")),
            ("scope", "SELECT g.tables, g.org FROM ({given}) AS g"),
            ("tied", isolation::TIED),
            ("reach", include_str!("reach.sql")),
            ("ours", include_str!("ours.sql")),
            ("granted", include_str!("granted.sql")),
            ("written", include_str!("written.sql")),
            ("shown", include_str!("shown.sql")),
        ] {
            let part = parts.fill(template);
            parts.0.push((name, part));
        }
        parts
    }

    fn fill(&self, template: &'static str) -> Statement {
        let fragments: Vec<(&str, &dyn Fragment)> =
            self.0.iter().map(|(name, part)| (*name, part as &dyn Fragment)).collect();
        render(template, &fragments)
    }
}

/// Makes every look.
///
/// # Errors
/// Database errors.
pub(super) async fn all(session: &mut PgConnection, model: &Model, checks: &mut Checks) -> Result<(), Error> {
    let guarded = isolation::guarded(session, model).await?;
    let tables: Vec<String> = guarded.iter().map(|guarded| guarded.table.to_string()).collect();
    let rights: Vec<String> = guarded.iter().map(|guarded| guarded.application.join(",")).collect();
    let objects = balance::objects(model);
    let functions = objects.functions.iter().map(|function| function.name.as_str());
    let own: Vec<&str> = functions
        .chain(balance::QUERIES)
        .chain(resolution::NAMES)
        .chain(["default_org", resolution::SIGN_IN])
        .collect();
    let organizations = [model.organizations.to_string(), model.api_keys.to_string()];
    let parts = Parts::new();
    for look in &LOOKS {
        let statement = parts.fill(look.query);
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
        let rows: Vec<Row> =
            query.fetch_all(&mut *session).await.context(format!("look for holes: {}", look.name))?;
        if rows.is_empty() {
            checks.add(look.name, "database", true, look.nothing.into(), "");
        }
        for row in rows {
            say(look.name, row, checks);
        }
    }
    Ok(())
}

fn say(look: &'static str, (object, holds, evidence, remedy, identity): Row, checks: &mut Checks) {
    // As other messages name what is in that schema.
    let object = object.replace(" public.", " ");
    match holds {
        None => checks.warn(look, object, evidence, &remedy),
        Some(holds) => checks.add(look, object, holds, evidence, &remedy),
    }
    checks.identify(identity);
}
