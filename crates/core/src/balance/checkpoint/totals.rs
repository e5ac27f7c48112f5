//! One number for each organization, a hash total: of what is sealed, of what is not sealed yet, and of its balances.

use sqlx::{Executor as _, PgConnection, Postgres, Transaction};

use crate::{Error, db::Context as _, model::Model, org_id::OrgId, sql::Fragment};

/// What was sealed of an organization, and what is not sealed yet, as hash totals; and how many rows that made.
#[derive(sqlx::FromRow)]
pub(super) struct EntryTotal {
    org: String,
    sealed: String,
    pending: String,
    rows: i64,
}

/// How many balances an organization has, and their hash total, negated.
#[derive(sqlx::FromRow)]
pub(super) struct BalanceTotal {
    org: String,
    pub(super) balances: i64,
    total: String,
}

/// What the new entries of each organization come to.
pub(super) async fn of_new_entries(
    session: &mut PgConnection,
    model: &Model,
    new: &[(&str, &dyn Fragment)],
) -> Result<Vec<EntryTotal>, Error> {
    let statement = model.render_with(include_str!("new_total.sql"), new);
    let totals = sqlx::query_as(statement.sql()).persistent(false).fetch_all(session).await;
    Ok(totals.context("sum the new entries")?)
}

/// What the balances of each organization come to.
pub(super) async fn of_balances(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<BalanceTotal>, Error> {
    let statement = model.render(include_str!("balance_total.sql"));
    let totals = sqlx::query_as(statement.sql()).persistent(false).fetch_all(session).await;
    Ok(totals.context("sum the balances")?)
}

/// Adds what was sealed to the totals.
pub(super) async fn add(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    totals: &[EntryTotal],
) -> Result<(), Error> {
    sqlx::query(model.render(include_str!("total.sql")).sql())
        .persistent(false)
        .bind(totals.iter().map(|total| total.org.as_str()).collect::<Vec<_>>())
        .bind(totals.iter().map(|total| total.sealed.as_str()).collect::<Vec<_>>())
        .bind(totals.iter().map(|total| total.rows).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await
        .context("move the totals")?;
    // Of an organization that has nothing sealed any more nothing is left here.
    transaction
        .execute("DELETE FROM stockfoil.checkpoint_total WHERE sealed_rows = 0")
        .await
        .context("move the totals")?;
    Ok(())
}

/// Makes the totals of `orgs`, or of all organizations, those of the sealed sums.
pub(super) async fn recount(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    orgs: Option<&[OrgId]>,
) -> Result<(), Error> {
    for template in [include_str!("forget_totals.sql"), include_str!("recount.sql")] {
        sqlx::query(model.render(template).sql())
            .bind(orgs)
            .execute(&mut **transaction)
            .await
            .context("count the totals of the sealed sums again")?;
    }
    Ok(())
}

/// The organizations whose totals differ, or which all are where `every_key` is to be compared: their keys are compared.
pub(super) async fn doubtful(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    every_key: bool,
    totals: Vec<EntryTotal>,
    balances: Vec<BalanceTotal>,
) -> Result<Vec<OrgId>, Error> {
    let pending = totals.into_iter().map(|total| (total.org, total.pending));
    let balances = balances.into_iter().map(|total| (total.org, total.total));
    let (orgs, totals): (Vec<_>, Vec<_>) = pending.chain(balances).unzip();
    let doubtful = sqlx::query_scalar(model.render(include_str!("doubtful.sql")).sql())
        .persistent(false)
        .bind(orgs)
        .bind(totals)
        .bind(every_key)
        .fetch_all(&mut **transaction)
        .await;
    Ok(doubtful.context("compare the totals of ledger and balances")?)
}
