//! What stands in the way of a deletion, before its first change.

use sqlx::{Connection as _, PgConnection};

use super::super::{
    super::moves::as_organization,
    archive::Kind,
    whole::{Edge, Table, Whole},
};
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
    let mut found = Vec::new();
    for edge in whole.edges.iter().filter(|edge| whole.tables[edge.parent].org.is_some()) {
        found.extend(own_row(session, model, whole, edge, org).await?);
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

/// That the organization's own row, which goes last, refers by `edge` to rows that go before.
async fn own_row(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    edge: &Edge,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    let is_own = |place: usize| whole.tables[place].kind == Kind::Organization;
    if !edge.child.is_some_and(is_own) || is_own(edge.parent) {
        return Ok(None);
    }
    let refers = whole.of_edge(
        model,
        edge,
        "SELECT EXISTS (SELECT FROM {child} AS c JOIN {parent} AS p ON {c.refers_p} WHERE c.id = $1::text::{org.type} AND p.{p.org} = $1::text::{org.type})",
        &[],
    );
    let (own, parent) = (edge.child_table.plain(), whole.tables[edge.parent].name.plain());
    let refers: bool = sqlx::query_scalar(refers.sql())
        .persistent(false)
        .bind(org)
        .fetch_one(session)
        .await
        .context(format!("look what its row of {own} refers to"))?;
    Ok(refers.then(|| {
        format!(
            "its own row of {own}, which goes last, refers to a row of {parent} by {}; set the column that refers to NULL, or drop that foreign key while it is deleted",
            edge.name
        )
    }))
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
    as_organization(&mut tried, Some(org.as_str())).await?;
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
