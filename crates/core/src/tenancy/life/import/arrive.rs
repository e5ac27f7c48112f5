//! The rows go where they belong, in one transaction, and are held against what they were.

use std::collections::BTreeSet;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    super::{
        super::{
            TenancyError, moves,
            named::{self, NewNames},
        },
        LifeError,
        archive::TableCount,
    },
    COMMAND,
    fit::{Arrival, Way},
    report::OrgImported,
    staging::{self, run},
};
use crate::{
    Error, catalog,
    db::Context as _,
    history,
    model::{KeptBy, Model, joined},
    org_id::OrgId,
    progress::Progress,
    report::Report as _,
    sql::{Ident, Statement, all_of, render},
};

/// Brings all of it in, or nothing.
pub(super) async fn arrive(
    session: &mut PgConnection,
    model: &Model,
    groups: &[Vec<Arrival>],
    mut report: OrgImported,
    accepted: &BTreeSet<String>,
    progress: &dyn Progress,
) -> Result<OrgImported, Error> {
    let org = report.org_id.clone();
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let tx = &mut *transaction;
    tx.execute("SET LOCAL lock_timeout = '5s'; SET CONSTRAINTS ALL DEFERRED").await.context("begin")?;
    moves::as_organization(tx, Some(org.as_str())).await?;
    named::hold_names(tx).await?;
    for group in groups {
        let mut given = Vec::new();
        for arrival in group.iter().filter(|arrival| matches!(arrival.way, Way::Insert | Way::Compare)) {
            given.push((arrival, count(tx, model, arrival).await?));
        }
        given.retain(|(_, rows)| *rows > 0);
        if !given.is_empty() {
            progress.begin(&format!("bring rows of {} in", names(&given)), None);
            insert(tx, model, &given).await?;
            progress.finish();
        }
        for arrival in group.iter().filter(|arrival| arrival.way == Way::Settle) {
            settle(tx, model, arrival).await?;
        }
    }
    named::refuse_same(tx, model, &org, NewNames::Both).await?;
    // What is deferred happens now, as the application's session would see it.
    tx.execute("SET CONSTRAINTS ALL IMMEDIATE").await.context("check what was deferred")?;
    tx.execute("SET LOCAL search_path = ''").await.context("set up the session")?;
    report.tables.clear();
    for arrival in groups.iter().flatten().filter(|arrival| arrival.way != Way::Ignore) {
        let count = compare(tx, model, arrival, &org, accepted, &mut report.warnings).await?;
        report.tables.push(count);
    }
    let run = history::start(tx, COMMAND).await?;
    keep_balances(tx, model, &org, run).await?;
    (report.applied, report.run_id) = (true, Some(run));
    report.rows = report.tables.iter().map(|count| count.rows).sum();
    history::end(
        tx,
        run,
        report.outcome(),
        &serde_json::json!({
            "org_id": org, "from_org_id": report.from_org_id, "from_database": report.from_database,
            "snapshot_at": report.snapshot_at, "rows": report.rows, "tables": report.tables,
        }),
    )
    .await?;
    transaction.commit().await.context("bring the organization in")?;
    Ok(report)
}

/// Inserts the rows of these tables, of shared ones those that are not here: in one statement, at whose end foreign keys are asked
/// that are not deferrable.
async fn insert(tx: &mut PgConnection, model: &Model, arrivals: &[(&Arrival, i64)]) -> Result<(), Error> {
    let parts = arrivals.iter().enumerate().map(|(at, (arrival, _))| {
        let part = Ident::joined(&["come", &at.to_string()]);
        let is_new = match arrival.way {
            Way::Compare => {
                let key = arrival.table.key.iter();
                let same =
                    all_of(key.map(|column| render("p.{column} = t.{column}", &[("column", column)])));
                arrival.render(
                    model,
                    " WHERE NOT EXISTS (SELECT FROM {table} AS p WHERE {same})",
                    &[("same", &same)],
                )
            }
            _ => render("", &[]),
        };
        let insert = arrival.render(
            model,
            "{part} AS (INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {staging} AS t{is_new}{in_order} RETURNING 1)",
            &[("part", &part), ("is_new", &is_new)],
        );
        let count = render("(SELECT count(*) FROM {part})", &[("part", &part)]);
        (insert, count)
    });
    let (inserts, counts): (Vec<Statement>, Vec<Statement>) = parts.unzip();
    let (inserts, counts) = (joined(&inserts, ", "), joined(&counts, ", "));
    let statement =
        render("WITH {inserts} SELECT ARRAY[{counts}]", &[("inserts", &inserts), ("counts", &counts)]);
    let counts: Vec<i64> = sqlx::query_scalar(statement.sql())
        .persistent(false)
        .fetch_one(tx)
        .await
        .context(format!("bring rows of {} in", names(arrivals)))?;
    for ((arrival, given), count) in arrivals.iter().zip(counts) {
        if arrival.way == Way::Insert && *given != count {
            return Err(not_as_given(arrival.table.name.plain(), format!("{count} rows of {given}")));
        }
    }
    Ok(())
}

async fn count(tx: &mut PgConnection, model: &Model, arrival: &Arrival) -> Result<i64, Error> {
    let count = arrival.render(model, "SELECT count(*) FROM {staging}", &[]);
    let rows = sqlx::query_scalar(count.sql()).persistent(false).fetch_one(tx).await;
    Ok(rows.context("count the rows")?)
}

fn names(arrivals: &[(&Arrival, i64)]) -> String {
    let names: Vec<String> = arrivals.iter().map(|(arrival, _)| arrival.table.name.plain()).collect();
    names.join(", ")
}

/// Puts what rows of the application's balances hold beside key and quantity into those that the triggers made; one that has
/// no entries is made without a quantity.
async fn settle(tx: &mut PgConnection, model: &Model, arrival: &Arrival) -> Result<(), Error> {
    let balances = &model.balances;
    let parts = [Some(&balances.item), balances.location.as_ref(), balances.lot.as_ref()];
    let mut key = vec![model.org_column.clone()];
    key.extend(parts.into_iter().flatten().map(|part| part.name.clone()));
    let same = all_of(
        key.iter().map(|column| render("b.{column} IS NOT DISTINCT FROM s.{column}", &[("column", column)])),
    );
    let is_kept = |name| key.contains(name) || *name == balances.quantity;
    let others = arrival.table.columns.iter().filter(|(name, _)| !is_kept(name));
    let set: Vec<Statement> =
        others.map(|(column, _)| render("{column} = s.{column}", &[("column", column)])).collect();
    let table = arrival.table.name.plain();
    if !set.is_empty() {
        let set = joined(&set, ", ");
        let statement = arrival.render(
            model,
            "UPDATE {table} AS b SET {set} FROM {staging} AS s WHERE {same}",
            &[("set", &set), ("same", &same)],
        );
        run(tx, &statement, &format!("bring rows of {table} in")).await?;
    }
    let values: Vec<Statement> = (arrival.table.columns.iter())
        .map(|(column, _)| match *column == balances.quantity {
            true => render("0", &[]),
            false => render("s.{column}", &[("column", column)]),
        })
        .collect();
    let values = joined(&values, ", ");
    let statement = arrival.render(
        model,
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {row_values} FROM {staging} AS s
         WHERE NOT EXISTS (SELECT FROM {table} AS b WHERE {same})",
        &[("row_values", &values), ("same", &same)],
    );
    run(tx, &statement, &format!("bring rows of {table} in")).await?;
    Ok(())
}

/// Holds the rows that are there now against those that were given.
async fn compare(
    tx: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
    org: &OrgId,
    accepted: &BTreeSet<String>,
    warnings: &mut Vec<String>,
) -> Result<TableCount, Error> {
    let (table, kind) = (arrival.table.name.plain(), arrival.table.kind);
    let given = staging::staged(tx, model, arrival).await?;
    if arrival.way != Way::Insert {
        return Ok(TableCount { table, kind, rows: given.rows, digest: None });
    }
    let mut there = staging::arrived(tx, model, arrival, org).await?;
    if there.rows > given.rows {
        warnings.extend(remove_others(tx, model, arrival, org).await?);
        there = staging::arrived(tx, model, arrival, org).await?;
    }
    if there != given {
        let changed = changed(tx, model, arrival).await?;
        let is_accepted = |column: &String| accepted.contains(&format!("{table}.{column}"));
        if there.rows != given.rows || changed.is_empty() || !changed.iter().all(is_accepted) {
            let columns = if changed.is_empty() { "no column".into() } else { changed.join(", ") };
            let what = format!("{} rows for {}; other values in {columns}", there.rows, given.rows);
            return Err(not_as_given(table, what));
        }
        warnings
            .push(format!("triggers or rules of {table} changed {}, which was accepted", changed.join(", ")));
    }
    Ok(TableCount { table, kind, rows: there.rows, digest: Some(there.text()) })
}

/// Removes what triggers made beside the rows that were given.
async fn remove_others(
    tx: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
    org: &OrgId,
) -> Result<Option<String>, Error> {
    if arrival.table.key.is_empty() {
        return Ok(None);
    }
    let key = arrival.table.key.iter().map(|column| render("t.{column} = s.{column}", &[("column", column)]));
    let same = all_of(key);
    let statement = arrival.render(
        model,
        "DELETE FROM {table} AS t WHERE {is_own} AND NOT EXISTS (SELECT FROM {staging} AS s WHERE {same})",
        &[("same", &same)],
    );
    let table = arrival.table.name.plain();
    let removed = sqlx::query(statement.sql())
        .persistent(false)
        .bind(org)
        .execute(tx)
        .await
        .context(format!("remove what triggers made of {table}"))?
        .rows_affected();
    Ok(Some(format!(
        "triggers made {removed} rows of {table} beside those of the file; they were removed again"
    )))
}

/// The columns in which rows that are there differ from those given.
async fn changed(tx: &mut PgConnection, model: &Model, arrival: &Arrival) -> Result<Vec<String>, Error> {
    if arrival.table.key.is_empty() {
        return Ok(Vec::new());
    }
    let key = arrival.table.key.iter().map(|column| render("p.{column} = s.{column}", &[("column", column)]));
    let same = all_of(key);
    let each: Vec<Statement> = (arrival.table.columns.iter())
        .map(|(column, _)| {
            render(
                "coalesce(bool_or(p.{column}::text IS DISTINCT FROM s.{column}::text), false)",
                &[("column", column)],
            )
        })
        .collect();
    let each = joined(&each, ", ");
    let statement = arrival.render(
        model,
        "SELECT ARRAY[{each}] FROM {staging} AS s JOIN {table} AS p ON {same}",
        &[("each", &each), ("same", &same)],
    );
    let differs: Vec<bool> = sqlx::query_scalar(statement.sql())
        .persistent(false)
        .fetch_one(tx)
        .await
        .context(format!("compare the rows of {}", arrival.table.name.plain()))?;
    let columns = arrival.table.columns.iter().zip(differs).filter(|(_, differs)| *differs);
    Ok(columns.map(|((name, _), _)| name.as_str().to_owned()).collect())
}

/// Checks that the ledger's triggers kept the balances, and records it.
async fn keep_balances(
    tx: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    run: history::RunId,
) -> Result<(), Error> {
    let is_there = catalog::is_there(tx, &model.balances.table.to_string()).await?;
    if !is_there || model.balances.kept_by == KeptBy::Application {
        return Ok(());
    }
    let keys: i64 = sqlx::query_scalar(model.render(include_str!("not_kept.sql")).sql())
        .persistent(false)
        .bind(org)
        .fetch_one(&mut *tx)
        .await
        .context("compare the balances")?;
    if keys > 0 {
        return Err(TenancyError::from(LifeError::BalancesNotKept { org: org.clone(), keys }).into());
    }
    sqlx::query(model.render(include_str!("record_backfill.sql")).sql())
        .bind(org)
        .bind(run)
        .execute(tx)
        .await
        .context("record that the balances are exact")?;
    Ok(())
}

fn not_as_given(table: String, what: String) -> Error {
    TenancyError::from(LifeError::NotAsGiven { table, what }).into()
}
