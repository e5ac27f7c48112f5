//! What keeps rows that were put aside from going where they belong: all of it, before the first goes.

use sqlx::PgConnection;

use super::{
    super::{
        super::{moves::refers, unique::KeyParts},
        archive::Kind,
        whole::Whole,
    },
    fit::{Arrival, Way},
    report::Conflict,
};
use crate::{
    Error, catalog,
    db::Context as _,
    model::{Model, joined},
    sql::{Fixed, Ident, List, Statement, render},
};

/// Everything that keeps the rows from arriving.
pub(super) async fn find(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    arrivals: &[Arrival],
    adds_shared: bool,
) -> Result<Vec<Conflict>, Error> {
    let mut found: Vec<Conflict> = Vec::new();
    for arrival in arrivals {
        match arrival.way {
            Way::Insert | Way::Settle => {
                found.extend(taken(session, model, arrival).await?);
                found.extend(rights(session, arrival).await?);
            }
            Way::Compare => found.extend(different(session, model, arrival, adds_shared).await?),
            Way::Ignore => {}
        }
    }
    for edge in whole.edges.iter().filter(|edge| edge.parent_is(whole, Kind::Organization)) {
        found.extend(other_organizations(session, model, whole, arrivals, edge).await?);
    }
    Ok(found)
}

async fn rights(session: &mut PgConnection, arrival: &Arrival) -> Result<Option<Conflict>, Error> {
    let may: bool = sqlx::query_scalar("SELECT has_table_privilege($1, 'INSERT')")
        .bind(arrival.table.name.to_string())
        .fetch_one(session)
        .await
        .context("look at the role's rights")?;
    let what = "the role may not insert rows; connect as its owner, or GRANT INSERT ON it";
    Ok((!may).then(|| Conflict::of(&arrival.table.name.plain(), what.into())))
}

/// Keys of the rows that others have here.
async fn taken(session: &mut PgConnection, model: &Model, arrival: &Arrival) -> Result<Vec<Conflict>, Error> {
    let mut found = Vec::new();
    let table = arrival.table.name.plain();
    if !arrival.table.key.is_empty() {
        let pairs: Vec<(Ident, Ident)> =
            arrival.table.key.iter().map(|column| (column.clone(), column.clone())).collect();
        let (refers, text) = (refers("s", &pairs), key_text(arrival, "s"));
        let statement = arrival.render(
            model,
            "SELECT count(*), min({key_text}) FROM {staging} AS s WHERE EXISTS (SELECT FROM {table} AS p WHERE {s.is_p})",
            &[("s.is_p", &refers), ("key_text", &text)],
        );
        found.extend(counted(session, &statement, &table, "the primary key is taken here").await?);
    }
    for key in catalog::unique_keys(session, &arrival.table.name).await? {
        // Within an organization that is not there nothing is taken.
        if key.has_column(&model.org_column) && arrival.table.kind != Kind::Organization {
            continue;
        }
        let parts = KeyParts::of(model, &key);
        let (one, other) = (parts.of_row("one"), parts.of_row("other"));
        let statement = arrival.render(
            model,
            "SELECT count(*), min(({one})::text)
             FROM (SELECT {unique} FROM {staging} AS s WHERE {predicate}) AS one
             JOIN (SELECT {unique} FROM {table} AS t WHERE {predicate}) AS other ON ({one}) {same} ({other})",
            &[
                ("unique", &parts.selected),
                ("predicate", &parts.predicate),
                ("one", &one),
                ("other", &other),
                ("same", &parts.same),
            ],
        );
        let what = format!("the unique key {} is taken here", key.name.as_str());
        found.extend(counted(session, &statement, &table, &what).await?);
    }
    Ok(found)
}

/// Shared rows that are not here, or are others.
async fn different(
    session: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
    adds_shared: bool,
) -> Result<Vec<Conflict>, Error> {
    let (table, text) = (arrival.table.name.plain(), key_text(arrival, "s"));
    let same = match arrival.table.key.is_empty() {
        true => same_values(arrival),
        false => same_key(arrival),
    };
    let mut found = Vec::new();
    if !adds_shared || arrival.table.key.is_empty() {
        let lacking = arrival.render(
            model,
            "SELECT count(*), min({key_text}) FROM {staging} AS s WHERE NOT EXISTS (SELECT FROM {table} AS p WHERE {same})",
            &[("same", &same), ("key_text", &text)],
        );
        let what = "shared rows are not here; make them, or give --add-shared";
        found.extend(counted(session, &lacking, &table, what).await?);
    }
    let values = same_values(arrival);
    let differing = arrival.render(
        model,
        "SELECT count(*), min({key_text}) FROM {staging} AS s JOIN {table} AS p ON {same} WHERE NOT ({values_same})",
        &[("same", &same), ("values_same", &values), ("key_text", &text)],
    );
    found.extend(
        counted(session, &differing, &table, "shared rows are others here; make them the same").await?,
    );
    Ok(found)
}

/// Rows that refer to organizations beside their own which are not here.
async fn other_organizations(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    arrivals: &[Arrival],
    edge: &super::super::whole::Edge,
) -> Result<Option<Conflict>, Error> {
    let child = edge.child.map(|child| &whole.tables[child]);
    let own = child.and_then(|child| child.org.as_ref());
    let is_own = matches!((edge.columns.as_slice(), own), ([(column, _)], Some(org)) if column == org);
    let arrival =
        arrivals.iter().find(|arrival| arrival.way == Way::Insert && arrival.table.name == edge.child_table);
    let (false, Some(arrival)) = (is_own, arrival) else { return Ok(None) };
    let (refers, is_set) = (refers("s", &edge.columns), none_is_null(edge));
    let statement = arrival.render(
        model,
        "SELECT count(*), NULL::text FROM {staging} AS s
         WHERE {is_set} AND NOT EXISTS (SELECT FROM {organizations} AS p WHERE {s.refers_p})",
        &[("s.refers_p", &refers), ("is_set", &is_set)],
    );
    let what = format!("they refer by {} to organizations that are not here", edge.name);
    counted(session, &statement, &arrival.table.name.plain(), &what).await
}

fn none_is_null(edge: &super::super::whole::Edge) -> Statement {
    crate::sql::all_of(
        edge.columns.iter().map(|(column, _)| render("s.{column} IS NOT NULL", &[("column", column)])),
    )
}

/// That `p` has the primary key of `s`.
fn same_key(arrival: &Arrival) -> Statement {
    crate::sql::all_of(
        arrival.table.key.iter().map(|column| render("p.{column} = s.{column}", &[("column", column)])),
    )
}

/// That `p` holds what `s` does.
fn same_values(arrival: &Arrival) -> Statement {
    crate::sql::all_of(arrival.table.columns.iter().map(|(column, _)| {
        render("p.{column}::text IS NOT DISTINCT FROM s.{column}::text", &[("column", column)])
    }))
}

/// The primary key of `row` as a text.
fn key_text(arrival: &Arrival, row: &'static str) -> Statement {
    let parts: Vec<Statement> = (arrival.table.key.iter())
        .map(|column| render("{row}.{column}::text", &[("row", &Fixed(row)), ("column", column)]))
        .collect();
    match parts.is_empty() {
        true => render("NULL::text", &[]),
        false => render("concat_ws('/', {parts})", &[("parts", &List(vec![joined(&parts, ", ")]))]),
    }
}

async fn counted(
    session: &mut PgConnection,
    statement: &Statement,
    table: &str,
    what: &str,
) -> Result<Option<Conflict>, Error> {
    let (rows, example): (i64, Option<String>) = sqlx::query_as(statement.sql())
        .persistent(false)
        .fetch_one(session)
        .await
        .context(format!("compare the rows of {table}"))?;
    let conflict = || Conflict { table: table.to_owned(), what: what.to_owned(), rows: Some(rows), example };
    Ok((rows > 0).then(conflict))
}
