//! Indexes over expressions and of some rows: a row that has one column more may have another value there than the one that
//! it is found by.

use sqlx::{Connection as _, PgConnection};

use super::{Rehearsal, stage::Stage};
use crate::{
    Error,
    db::{Context as _, all_words},
    migration::finding::Finding,
    model::Model,
    sql::{Definition, Ident, QualifiedName, render},
};

/// Asks PostgreSQL's own checker of indexes, amcheck, whether each holds its rows. Nothing of it stays in the copy.
///
/// # Errors
/// Database errors.
pub(super) async fn look(stage: &Stage<'_>, model: &Model, report: &mut Rehearsal) -> Result<(), Error> {
    let mut session = stage.admin().await?;
    let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let indexes: Vec<(i64, String, bool)> = sqlx::query_as(include_str!("indexes.sql"))
        .bind(tables)
        .fetch_all(&mut session)
        .await
        .context("list the indexes for the rehearsal")?;
    for (oid, name, is_btree) in indexes {
        if !is_btree {
            report
                .not_rehearsed
                .push(format!("whether index {name} still finds its rows: amcheck looks at btree indexes"));
            continue;
        }
        match check(&mut session, oid).await? {
            Checked::Whole => {}
            Checked::Broken(words) => report.obstacles.push(Finding {
                check: "rehearsal",
                object: format!("index {name}"),
                detail: format!("does not find its rows any more: {words}"),
                remedy: "its expression takes rows as a whole, which get a column: let it take columns, or drop it and build it again afterwards".into(),
            }),
            Checked::Unable(words) => {
                report.not_rehearsed.push(format!(
                    "whether indexes over expressions still find their rows, {name} among them: {words}"
                ));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What became of a look at an index.
enum Checked {
    Whole,
    Broken(String),
    Unable(String),
}

async fn check(session: &mut PgConnection, oid: i64) -> Result<Checked, Error> {
    let mut transaction = session.begin().await.context("begin to check an index")?;
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
    )
    .fetch_optional(&mut *transaction)
    .await
    .context("look for amcheck")?;
    if schema.is_none() {
        // Triggers on events are the application's, and this is none of its.
        let made = sqlx::raw_sql(
            "SET LOCAL session_replication_role = replica; CREATE EXTENSION amcheck SCHEMA pg_catalog",
        )
        .execute(&mut *transaction)
        .await;
        if let Err(error) = made {
            transaction.rollback().await.context("end the check of an index")?;
            return Ok(Checked::Unable(all_words(&error)));
        }
    }
    let schema = Ident::new(schema.unwrap_or_else(|| "pg_catalog".into()))?;
    let function = QualifiedName::new(schema, Ident::fixed("bt_index_check"));
    let number = Definition::number(usize::try_from(oid).unwrap_or(0));
    let call =
        render("SELECT {function}({oid}::oid::regclass, true)", &[("function", &function), ("oid", &number)]);
    let checked = sqlx::raw_sql(call.sql()).execute(&mut *transaction).await;
    transaction.rollback().await.context("end the check of an index")?;
    Ok(match checked {
        Ok(_) => Checked::Whole,
        Err(error) => Checked::Broken(all_words(&error)),
    })
}
