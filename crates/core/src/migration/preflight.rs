//! Everything that stands in a migration's way, looked for before the first change, all of it at once.

mod statements;

pub(super) use statements::copied;

use sqlx::PgConnection;

use super::{
    finding::Finding,
    records,
    step::{Goal, Run, Step},
};
use crate::{
    db::{Context as _, Db, DbError},
    model::Model,
    org_id::OrgId,
    sql::{Fixed, Fragment, Ident, QualifiedName, Statement, render},
    tenancy::global_keys,
};

/// What is found before the first change.
#[derive(Debug, Default)]
pub(super) struct Preflight {
    /// It stands in the way.
    pub(super) obstacles: Vec<Finding>,
    /// It does not.
    pub(super) warnings: Vec<String>,
}

/// A look at the catalog: objects and what is the matter with them, given tables and the organization's column.
struct Look {
    name: &'static str,
    query: &'static str,
    remedy: &'static str,
    /// Whether only the drop of the old unique keys minds it.
    of_contract: bool,
    /// Whether the operator may go on in spite of it (`--accept`).
    is_acceptable: bool,
}

impl Look {
    fn finding(&self, object: String, detail: String) -> Finding {
        Finding { check: self.name, object, detail, remedy: self.remedy.to_owned() }
    }

    /// What it finds, alone.
    async fn found(
        &self,
        session: &mut PgConnection,
        model: &Model,
        tables: &[QualifiedName],
    ) -> Result<Vec<Finding>, DbError> {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        let rows = ask(session, &filled(self.query, None), &names, &model.org_column).await?;
        Ok(rows.into_iter().map(|(object, detail)| self.finding(object, detail)).collect())
    }
}

const DETACHING: Look = Look {
    name: "detaching",
    query: include_str!("preflight/detaching.sql"),
    remedy: "ALTER TABLE its table DETACH PARTITION it FINALIZE first",
    of_contract: false,
    is_acceptable: false,
};

const LOOKS: [Look; 13] = [
    Look {
        name: "privileges",
        query: include_str!("preflight/privileges.sql"),
        remedy: "connect as the owner, or GRANT what is missing",
        of_contract: false,
        is_acceptable: false,
    },
    Look {
        name: "tables",
        query: include_str!("preflight/tables.sql"),
        remedy: "leave it out of [tenancy] tables, or make it an ordinary table",
        of_contract: false,
        is_acceptable: false,
    },
    Look {
        name: "row_security",
        query: include_str!("preflight/row_security.sql"),
        remedy: "run as a role that sees every row (BYPASSRLS, or a superuser)",
        of_contract: false,
        is_acceptable: false,
    },
    Look {
        name: "columns_max",
        query: include_str!("preflight/columns_max.sql"),
        remedy: "copy its rows into a new table, in which the dropped columns don't count",
        of_contract: false,
        is_acceptable: false,
    },
    DETACHING,
    Look {
        name: "index_columns",
        query: include_str!("preflight/index_columns.sql"),
        remedy: "drop it, or take a column out of it, first",
        of_contract: false,
        is_acceptable: false,
    },
    Look {
        name: "row_types",
        query: include_str!("preflight/row_types.sql"),
        remedy: "change that column's type first (jsonb, say)",
        of_contract: false,
        is_acceptable: false,
    },
    Look {
        name: "foreign_keys",
        query: include_str!("preflight/foreign_keys.sql"),
        remedy: "it must become one per organization, so point them at the primary key first",
        of_contract: true,
        is_acceptable: false,
    },
    Look {
        name: "replica_identity",
        query: include_str!("preflight/replica_identity.sql"),
        remedy: "give the table another (ALTER TABLE ... REPLICA IDENTITY DEFAULT) first",
        of_contract: true,
        is_acceptable: false,
    },
    Look {
        name: "dependents",
        query: include_str!("preflight/dependents.sql"),
        remedy: "it must become one per organization, so change or drop them first",
        of_contract: true,
        is_acceptable: false,
    },
    Look {
        name: "on-conflict",
        query: include_str!("preflight/functions.sql"),
        remedy: "make it name the organization too, which works without --contract already, and run again (or --accept on-conflict)",
        of_contract: true,
        is_acceptable: true,
    },
    Look {
        name: "parameters",
        query: include_str!("preflight/parameters.sql"),
        remedy: "write function_name.parameter where the parameter is meant, or call it otherwise, and run again (or --accept parameters)",
        of_contract: false,
        is_acceptable: true,
    },
    Look {
        name: "publications",
        query: include_str!("preflight/publications.sql"),
        remedy: "on the subscribers add the column first, to the ledger also stockfoil_tx bigint (migrate-balance adds it), \
                 make what else is published (organizations, organization_api_keys, inventory_balances, the tables of the schema stockfoil) \
                 or let the publication name its tables; then run with --accept publications",
        of_contract: false,
        is_acceptable: true,
    },
];

const WARNINGS: [&str; 6] = [
    include_str!("preflight/fired.sql"),
    include_str!("preflight/routines.sql"),
    include_str!("preflight/policies.sql"),
    include_str!("preflight/views.sql"),
    include_str!("preflight/invalid_indexes.sql"),
    include_str!("preflight/dumps.sql"),
];

/// Of the drop of the old unique keys.
const CONTRACT_WARNINGS: [&str; 1] = [include_str!("preflight/clustered.sql")];

/// Looks at everything for a migration of `tables` to organizations of `model`.
///
/// `contracts` says whether the unique keys that reach across organizations will go; `accepted` names what the
/// operator goes on in spite of.
///
/// # Errors
/// Database errors.
pub(super) async fn look(
    session: &mut PgConnection,
    model: &Model,
    tables: &[QualifiedName],
    default: &OrgId,
    contracts: bool,
    accepted: &[String],
) -> Result<Preflight, crate::Error> {
    let org = &model.org_column;
    let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let mut found = Preflight::default();
    for look in LOOKS.iter().filter(|look| contracts || !look.of_contract) {
        if look.is_acceptable && accepted.iter().any(|name| name == look.name) {
            continue;
        }
        let query = filled(look.query, None);
        let rows = ask(session, &query, &names, org).await?;
        found.obstacles.extend(rows.into_iter().map(|(object, detail)| look.finding(object, detail)));
    }
    found.obstacles.extend(records::other_schema(session).await?.map(|objects| Finding {
        check: "schema",
        object: "schema stockfoil".to_owned(),
        detail: format!("is the application's own, and has {objects}"),
        remedy: "rename it: Stockfoil's functions and records are in a schema of that name".to_owned(),
    }));
    columns(session, model, &names, &mut found).await?;
    organizations(session, model, &mut found).await?;
    statements::look(
        session,
        org,
        &names,
        contracts && !accepted.iter().any(|name| name == "on-conflict"),
        &mut found,
    )
    .await?;
    let of_contract = CONTRACT_WARNINGS.into_iter().filter(|_| contracts);
    for query in WARNINGS.into_iter().chain(of_contract) {
        let rows = ask(session, &filled(query, None), &names, org).await?;
        found.warnings.extend(rows.into_iter().map(|(object, detail)| format!("{object} {detail}")));
    }
    let (keys, _) = global_keys::unknown(session, model).await?;
    found.warnings.extend(keys.iter().map(ToString::to_string));
    // What follows reads the tables, which a role without rights can't, and which takes its time.
    if found.obstacles.is_empty() {
        for table in tables {
            unknown_organizations(session, model, table, default, &mut found).await?;
        }
    }
    Ok(found)
}

/// What the role may not do that a change of `tables` needs.
///
/// # Errors
/// Database errors.
pub(super) async fn privileges(
    session: &mut PgConnection,
    model: &Model,
    tables: &[QualifiedName],
) -> Result<Vec<Finding>, DbError> {
    LOOKS[0].found(session, model, tables).await
}

/// Partitions of `tables` that nothing can be done with.
///
/// # Errors
/// Database errors.
pub(super) async fn detaching(
    session: &mut PgConnection,
    model: &Model,
    tables: &[QualifiedName],
) -> Result<Vec<Finding>, DbError> {
    DETACHING.found(session, model, tables).await
}

/// What `steps` need of the disk, as far as that can be seen from here.
///
/// # Errors
/// Database errors.
pub(super) async fn disk(
    db: &Db,
    session: &mut PgConnection,
    steps: &[Step],
    found: &mut Preflight,
) -> Result<(), DbError> {
    /// Less than this is no matter of preflight.
    const WORTH_SAYING_BYTES: i64 = 100 << 20;
    let mut bytes = 0_i64;
    for step in steps.iter().filter(|step| matches!(step.run, Run::Concurrent)) {
        let (Some(table), false) = (step.tables.first(), step.goal.is_met(session).await?) else { continue };
        let index: Option<i64> = sqlx::query_scalar(include_str!("preflight/disk.sql"))
            .bind(table.to_string())
            .fetch_one(&mut *session)
            .await
            .context("estimate the size of an index")?;
        bytes = bytes.saturating_add(index.unwrap_or(0));
    }
    // Each index is written to the log too.
    let needed = bytes.saturating_mul(2);
    if needed < WORTH_SAYING_BYTES {
        return Ok(());
    }
    let needed_text = bytesize::ByteSize(needed.unsigned_abs()).to_string();
    match free_bytes(db, session).await {
        Some((place, free)) if free < needed.unsigned_abs() => found.obstacles.push(Finding {
            check: "disk",
            object: place,
            detail: format!("has {} free", bytesize::ByteSize(free)),
            remedy: format!("the indexes and their log need about {needed_text}, so make room first"),
        }),
        Some(_) => {}
        None => found.warnings.push(format!(
            "the indexes and their log need about {needed_text}; how much is free on the server can't be seen from here"
        )),
    }
    Ok(())
}

/// How much is free where the data is, when the server is on this machine and says where.
async fn free_bytes(db: &Db, session: &mut PgConnection) -> Option<(String, u64)> {
    if !db.facts().place.starts_with('/') {
        return None;
    }
    let folder: String = sqlx::query_scalar("SELECT current_setting('data_directory', true)")
        .fetch_optional(session)
        .await
        .ok()
        .flatten()?;
    let free = rustix::fs::statvfs(&folder).ok()?;
    Some((folder, free.f_bavail.saturating_mul(free.f_frsize)))
}

/// A query over the keys, with the templates inside it and the relation of statements.
fn filled(query: &'static str, statements: Option<&QualifiedName>) -> Statement {
    let keys = render(include_str!("preflight/keys.sql"), &[]);
    let on_conflict = render(include_str!("preflight/on_conflict.sql"), &[("key_query", &keys)]);
    let nothing = Fixed("");
    let statements: &dyn Fragment = match statements {
        Some(name) => name,
        None => &nothing,
    };
    render(query, &[("key_query", &keys), ("on_conflict_query", &on_conflict), ("statements", statements)])
}

async fn ask(
    session: &mut PgConnection,
    query: &Statement,
    tables: &[String],
    org: &Ident,
) -> Result<Vec<(String, String)>, DbError> {
    sqlx::query_as(query.sql())
        .bind(tables)
        .bind(org.as_str())
        .fetch_all(session)
        .await
        .context("look for what stands in the way")
}

async fn columns(
    session: &mut PgConnection,
    model: &Model,
    tables: &[String],
    found: &mut Preflight,
) -> Result<(), DbError> {
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("preflight/column.sql"))
        .bind(tables)
        .bind(model.org_column.as_str())
        .bind(model.org_type.name())
        .fetch_all(session)
        .await
        .context("look at the organization's columns")?;
    found.obstacles.extend(rows.into_iter().map(|(object, detail)| {
        let remedy = if detail.contains("NOT VALID") {
            "VALIDATE CONSTRAINT it; where rows have none, ALTER COLUMN ... DROP NOT NULL, and the migration fills them and sets it again"
        } else if detail.contains("character varying") || detail.contains("character(") {
            "convert it first (ALTER COLUMN ... TYPE text; from character varying that changes the catalog only)"
        } else {
            "rename it, convert it, or say so in stockfoil.toml (tenancy.org_type)"
        };
        Finding { check: "column", object, detail, remedy: remedy.into() }
    }));
    Ok(())
}

/// A relation that has the organizations' name and is something else.
async fn organizations(
    session: &mut PgConnection,
    model: &Model,
    found: &mut Preflight,
) -> Result<(), DbError> {
    for (table, columns) in
        [(&model.organizations, records::ORGANIZATIONS_COLUMNS), (&model.api_keys, records::API_KEYS_COLUMNS)]
    {
        let other: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table.to_string())
            .fetch_one(&mut *session)
            .await
            .context("look for a relation of the organizations' name")?;
        if other && !Goal::has_columns(table, columns).is_met(session).await? {
            found.obstacles.push(Finding {
                check: "organizations",
                object: table.plain(),
                detail: format!("is there already, and is another table (it lacks columns of {columns})"),
                remedy: "rename it, or give Stockfoil's another name ([tenancy] organizations)".into(),
            });
        }
    }
    let unsound = unsound_organizations(session, model).await?;
    found.obstacles.extend(unsound.into_iter().map(|(detail, remedy)| Finding {
        check: "adopted_organizations",
        object: model.organizations.plain(),
        detail,
        remedy,
    }));
    Ok(())
}

/// What keeps the organizations that are there from being told apart or made, each with what to do; nothing of a table
/// that lacks columns, or is not there.
///
/// # Errors
/// Database errors.
pub(crate) async fn unsound_organizations(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(String, String)>, DbError> {
    let table = &model.organizations;
    if !Goal::has_columns(table, records::ORGANIZATIONS_COLUMNS).is_met(session).await? {
        return Ok(Vec::new());
    }
    let query = render(include_str!("preflight/adopted_organizations.sql"), &[("organizations", table)]);
    sqlx::query_as(query.sql())
        .bind(table.to_string())
        .fetch_all(session)
        .await
        .context("look at the organizations that are there")
}

async fn unknown_organizations(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    default: &OrgId,
    found: &mut Preflight,
) -> Result<(), crate::Error> {
    let org = &model.org_column;
    let key = crate::catalog::foreign_key(session, table, org, &model.organizations).await?;
    if crate::catalog::column(session, table, org).await?.is_none() || key.is_some_and(|key| key.valid) {
        return Ok(());
    }
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(model.organizations.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for organizations")?;
    let among = render(
        "NOT EXISTS (SELECT FROM {organizations} AS o WHERE o.id::text = t.{org}::text)",
        &[("organizations", &model.organizations), ("org", org)],
    );
    let everything = Fixed("true");
    let unknown: &dyn Fragment = if there { &among } else { &everything };
    let query = render(
        include_str!("preflight/unknown.sql"),
        &[("org", org), ("table", table), ("unknown", unknown)],
    );
    let rows: Vec<(String, i64)> = sqlx::query_as(query.sql())
        .bind(default.as_str())
        .fetch_all(&mut *session)
        .await
        .context(format!("look for unknown organizations in {}", table.plain()))?;
    let (rows, odd): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(id, _)| OrgId::of(model.org_type, id).is_ok());
    if let Some((id, count)) = odd.first() {
        found.obstacles.push(Finding {
            check: "organization_ids",
            object: table.plain(),
            detail: format!("has {count} rows of the organization {id:?}, an id that no command takes"),
            remedy: "give them to another (UPDATE): an id has 1 to 63 letters, digits, '-', '_' or '.', a number is above zero"
                .into(),
        });
    }
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        rows.iter().take(10).map(|(id, count)| format!("{id:?} ({count} rows)")).collect();
    let more = if rows.len() > 10 { " and others" } else { "" };
    found.obstacles.push(Finding {
        check: "unknown_organizations",
        object: table.plain(),
        detail: format!("has rows of organizations that are not there: {}{more}", names.join(", ")),
        remedy: "give them to one that is there (UPDATE), or make them organizations (--adopt-organizations)"
            .into(),
    });
    Ok(())
}
