//! The statements of applications, as far as pg_stat_statements has seen them.

use sqlx::PgConnection;

use super::{Preflight, filled};
use crate::{
    db::{Context as _, DbError, sqlstate},
    migration::finding::Finding,
    sql::{Ident, QualifiedName},
};

/// What pg_stat_statements has seen, where it is installed.
pub(super) async fn look(
    session: &mut PgConnection,
    org: &Ident,
    tables: &[String],
    minds_targets: bool,
    found: &mut Preflight,
) -> Result<(), crate::Error> {
    let prepared = "a statement prepared before the column comes that reads or returns all columns (SELECT *, RETURNING *) \
                    fails once with \"cached plan must not change result type\"; drivers that prepare it again go on";
    let Some(view) = view(session).await? else {
        if !all_have_column(session, org, tables).await? {
            found.warnings.push(prepared.to_owned());
        }
        found.warnings.extend(minds_targets.then(|| unseen("is not installed")));
        return Ok(());
    };
    if minds_targets {
        let query = filled(include_str!("statements.sql"), Some(&view));
        let rows = match sqlx::query_as(query.sql())
            .bind(tables)
            .bind(org.as_str())
            .fetch_all(&mut *session)
            .await
        {
            // Installed, but not loaded by the server: it has seen nothing.
            Err(error) if sqlstate(&error).as_deref() == Some("55000") => {
                found.warnings.push(unseen("is not in shared_preload_libraries"));
                return Ok(());
            }
            rows => rows.context("look at the statements of applications")?,
        };
        found.obstacles.extend(rows.into_iter().map(|(object, detail)| Finding {
            check: "on-conflict",
            object,
            detail,
            remedy: "run without --contract, let the application name the organization too, reset pg_stat_statements, and \
                     run again (or --accept on-conflict)"
                .into(),
        }));
    }
    let query = filled(include_str!("select_star.sql"), Some(&view));
    match sqlx::query_as(query.sql()).bind(tables).bind(org.as_str()).fetch_all(&mut *session).await {
        Err(error) if sqlstate(&error).as_deref() == Some("55000") => {}
        rows => {
            let rows: Vec<(String, String)> = rows.context("look at the statements of applications")?;
            if !rows.is_empty() {
                found.warnings.push(prepared.to_owned());
            }
            found.warnings.extend(rows.into_iter().map(|(object, detail)| format!("{object}: {detail}")));
        }
    }
    Ok(())
}

/// That nothing tells which statements the applications send.
fn unseen(why: &str) -> String {
    format!(
        "the applications' own statements can't be seen, since pg_stat_statements {why}: look yourself for ON CONFLICT by a key \
         that goes, in their code"
    )
}

/// Where pg_stat_statements shows what it has seen, if it is installed.
async fn view(session: &mut PgConnection) -> Result<Option<QualifiedName>, crate::Error> {
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'",
    )
    .fetch_optional(session)
    .await
    .context("look for pg_stat_statements")?;
    let name = |schema| Ok(QualifiedName::new(Ident::new(schema)?, Ident::fixed("pg_stat_statements")));
    schema.map(name).transpose()
}

/// The tables that COPY FROM was called for: the table, and what was seen.
///
/// # Errors
/// Database errors.
pub(in crate::migration) async fn copied(
    session: &mut PgConnection,
    tables: &[String],
) -> Result<Vec<(String, String)>, crate::Error> {
    let Some(view) = view(session).await? else { return Ok(Vec::new()) };
    let query = filled(include_str!("copied.sql"), Some(&view));
    match sqlx::query_as(query.sql()).bind(tables).fetch_all(session).await {
        // Installed, but not loaded by the server: it has seen nothing.
        Err(error) if sqlstate(&error).as_deref() == Some("55000") => Ok(Vec::new()),
        rows => Ok(rows.context("look at the statements of applications")?),
    }
}

async fn all_have_column(
    session: &mut PgConnection,
    org: &Ident,
    tables: &[String],
) -> Result<bool, DbError> {
    sqlx::query_scalar(
        "SELECT count(*) = cardinality($1) FROM pg_attribute
         WHERE attrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n) AND attname = $2 AND NOT attisdropped",
    )
    .bind(tables)
    .bind(org.as_str())
    .fetch_one(session)
    .await
    .context("look for the organization's columns")
}
