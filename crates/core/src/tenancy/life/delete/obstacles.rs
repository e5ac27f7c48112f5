//! What stands in the way of a deletion, before its first change.

use sqlx::{Connection as _, PgConnection};

use super::super::whole::{Edge, Table, Whole};
use crate::{
    Error,
    db::{Context as _, DbError, gave_way, give_way, sqlstate},
    model::Model,
    org_id::OrgId,
    sql::render,
};

/// Everything that stands in the way, each with what to do.
pub(super) async fn find(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
    is_read_only: bool,
) -> Result<Vec<String>, Error> {
    let mut found = circles(whole);
    for edge in whole.edges.iter().filter(|edge| whole.tables[edge.parent].org.is_some()) {
        found.extend(referring(session, model, whole, edge, org).await?);
    }
    for table in whole.tables.iter().filter(|table| table.org.is_some()) {
        let may: bool = sqlx::query_scalar("SELECT has_table_privilege($1, 'DELETE')")
            .bind(table.name.to_string())
            .fetch_one(&mut *session)
            .await
            .context("look at the role's rights")?;
        let name = table.name.plain();
        if !may {
            found.push(format!(
                "the role may not delete rows of {name}; connect as its owner, or GRANT DELETE ON it"
            ));
        } else if !is_read_only && has_keepers(session, table).await? {
            found.extend(kept(session, model, table, org).await?);
        }
    }
    Ok(found)
}

/// Tables that refer to each other, so that no row of either can go first.
fn circles(whole: &Whole) -> Vec<String> {
    let own = whole.circles.iter().filter(|edge| {
        let child = edge.child.and_then(|child| whole.tables[child].org.as_ref());
        child.is_some() && whole.tables[edge.parent].org.is_some()
    });
    let told = own.map(|edge| {
        format!(
            "{} and {} refer to each other in a circle, by {} too; drop that foreign key while it is deleted",
            edge.child_table.plain(),
            whole.tables[edge.parent].name.plain(),
            edge.name
        )
    });
    told.collect()
}

/// Rows that are not the organization's and refer to its rows by `edge`.
async fn referring(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    edge: &Edge,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    let child = edge.child.and_then(|child| whole.tables[child].org.as_ref());
    let parent = &whole.tables[edge.parent];
    // Stockfoil's own records go with it, and a row's own organization is no other's.
    let is_own_org = matches!((edge.columns.as_slice(), child), ([(column, _)], Some(org)) if column == org);
    if edge.child_table.schema.as_str() == "stockfoil" || is_own_org {
        return Ok(None);
    }
    let others = match child {
        Some(org) => {
            model.render_with(" AND c.{column} IS DISTINCT FROM $1::text::{org.type}", &[("column", org)])
        }
        None => render("", &[]),
    };
    let count = whole.of_edge(
        model,
        edge,
        "SELECT count(*) FROM {child} AS c JOIN {parent} AS p ON {c.refers_p} WHERE p.{p.org} = $1::text::{org.type}{others}",
        &[("others", &others)],
    );
    let table = edge.child_table.plain();
    let rows: i64 = sqlx::query_scalar(count.sql())
        .persistent(false)
        .bind(org)
        .fetch_one(session)
        .await
        .context(format!("count the rows of {table} that refer to it"))?;
    let (whose, next) = match child {
        Some(_) => {
            ("other organizations'", "let them refer to rows of their own, or move them (data-assign)")
        }
        None => {
            ("of no organization", "delete them, or name the table in [tenancy] tables and run migrate-org")
        }
    };
    let parent = parent.name.plain();
    Ok((rows > 0).then(|| {
        format!(
            "{rows} rows of {table}, which are {whose}, refer to rows of {parent} by {}; {next}",
            edge.name
        )
    }))
}

/// Whether something of the application's is asked when rows of `table` are deleted.
async fn has_keepers(session: &mut PgConnection, table: &Table) -> Result<bool, DbError> {
    sqlx::query_scalar(include_str!("keepers.sql"))
        .bind(table.name.to_string())
        .fetch_one(session)
        .await
        .context(format!("look for triggers of {}", table.name.plain()))
}

/// Whether the application's triggers keep a row of `table`: one is deleted in a transaction that is taken back.
async fn kept(
    session: &mut PgConnection,
    model: &Model,
    table: &Table,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    let name = table.name.plain();
    let any = table.render(model, "SELECT EXISTS (SELECT FROM {table} AS t WHERE {is_own})", &[]);
    let has_rows: bool = sqlx::query_scalar(any.sql())
        .persistent(false)
        .bind(org)
        .fetch_one(&mut *session)
        .await
        .context(format!("look for rows of {name}"))?;
    if !has_rows {
        return Ok(None);
    }
    let own = table.is_own(model, "s");
    let delete = table.render(
        model,
        "DELETE FROM {table} AS t WHERE (t.tableoid, t.ctid) = (SELECT s.tableoid, s.ctid FROM {table} AS s WHERE {own} LIMIT 1)",
        &[("own", &own)],
    );
    give_way(session).await?;
    let mut tried = session.begin().await?;
    super::as_organization(&mut tried, org).await?;
    let deleted = sqlx::query(delete.sql()).persistent(false).bind(org).execute(&mut *tried).await;
    tried.rollback().await?;
    Ok(match deleted {
        Ok(deleted) if deleted.rows_affected() == 0 => Some(format!(
            "a trigger or rule of {name} keeps its rows without a word; disable it while the organization is deleted"
        )),
        // Its foreign keys are asked after its triggers; who holds a row says nothing of either.
        Ok(_) => None,
        Err(error) if gave_way(&error) || matches!(sqlstate(&error).as_deref(), Some("23503" | "23001")) => {
            None
        }
        Err(error) => {
            let why = DbError::Query(error);
            Some(format!(
                "a trigger or rule of {name} keeps its rows ({why}); disable it while the organization is deleted"
            ))
        }
    })
}
