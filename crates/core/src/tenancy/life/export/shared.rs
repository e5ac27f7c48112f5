//! Which rows of tables without organizations an organization's rows refer to, and which those refer to in turn.

use sqlx::PgConnection;

use super::super::{
    archive::Kind,
    whole::{Edge, Whole},
};
use crate::{
    Error,
    db::Context as _,
    model::Model,
    org_id::OrgId,
    sql::{Ident, QualifiedName, Statement, render},
};

/// Where the rows of the table at `place` are put aside, by their place on disk: within one snapshot it stays.
pub(super) fn name(place: usize) -> QualifiedName {
    QualifiedName::new(Ident::fixed("pg_temp"), Ident::joined(&["stockfoil_shared", &place.to_string()]))
}

/// Creates the tables for them; a transaction that only reads can't.
pub(super) async fn create_tables(session: &mut PgConnection, whole: &Whole) -> Result<(), Error> {
    for place in whole.places(&[Kind::Shared]) {
        let create = render(
            "CREATE TEMPORARY TABLE {found} (relation oid NOT NULL, place tid NOT NULL, UNIQUE (relation, place))",
            &[("found", &name(place))],
        );
        sqlx::query(create.sql())
            .persistent(false)
            .execute(&mut *session)
            .await
            .context("make room for shared rows")?;
    }
    Ok(())
}

/// Finds the rows.
pub(super) async fn find(
    snapshot: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    org: &OrgId,
) -> Result<(), Error> {
    let is_shared = |place: usize| whole.tables[place].kind == Kind::Shared;
    let onto_shared: Vec<(&Edge, usize)> = whole
        .edges
        .iter()
        .filter(|edge| is_shared(edge.parent))
        .filter_map(|edge| Some((edge, edge.child?)))
        .collect();
    for (edge, _) in onto_shared.iter().filter(|(_, child)| !is_shared(*child)) {
        add(snapshot, &statement(model, whole, edge), Some(org)).await?;
    }
    loop {
        let mut added = 0;
        for (edge, _) in onto_shared.iter().filter(|(_, child)| is_shared(*child)) {
            added += add(snapshot, &statement(model, whole, edge), None).await?;
        }
        if added == 0 {
            return Ok(());
        }
    }
}

fn statement(model: &Model, whole: &Whole, edge: &Edge) -> Statement {
    let child = edge.child.map(|child| (child, &whole.tables[child]));
    let chosen = match child {
        Some((_, table)) if table.org.is_some() => table.is_own(model, "c"),
        Some((child, _)) => render(
            "EXISTS (SELECT FROM {found} AS f WHERE f.relation = c.tableoid AND f.place = c.ctid)",
            &[("found", &name(child))],
        ),
        None => render("false", &[]),
    };
    whole.of_edge(
        model,
        edge,
        "INSERT INTO {found} SELECT p.tableoid, p.ctid FROM {parent} AS p
         WHERE EXISTS (SELECT FROM {child} AS c WHERE {c.refers_p} AND {chosen}) ON CONFLICT DO NOTHING",
        &[("found", &name(edge.parent)), ("chosen", &chosen)],
    )
}

async fn add(snapshot: &mut PgConnection, statement: &Statement, org: Option<&OrgId>) -> Result<u64, Error> {
    let query = sqlx::query(statement.sql()).persistent(false);
    let query = match org {
        Some(org) => query.bind(org),
        None => query,
    };
    let added = query.execute(snapshot).await.context("look for shared rows that are referred to")?;
    Ok(added.rows_affected())
}
