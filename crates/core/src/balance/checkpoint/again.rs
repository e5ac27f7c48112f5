//! Keys that are summed again: marked ones, those that a run saw differ, and those of the organizations whose turn it is.

use sqlx::{Executor as _, Postgres, Transaction};

use super::{Plan, put_aside, totals::EntryTotal};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    model::Model,
    org_id::OrgId,
    sql::Fragment,
};

/// The keys that are summed again.
#[derive(sqlx::FromRow)]
pub(super) struct Dirty {
    /// How many there are.
    pub(super) keys: i64,
    /// How many of them are marked; the others have an open finding.
    pub(super) marked: i64,
    /// How many of them no trigger saw change since they were sealed: a run saw them differ.
    pub(super) known: i64,
}

impl Dirty {
    pub(super) async fn put_aside(
        transaction: &mut Transaction<'_, Postgres>,
        model: &Model,
    ) -> Result<Self, Error> {
        put_aside(transaction, &model.render(include_str!("dirty.sql"))).await?;
        let dirty = sqlx::query_as(
            "SELECT count(*) AS keys, count(*) FILTER (WHERE is_marked) AS marked,
                    count(*) FILTER (WHERE NOT is_changed) AS known
             FROM pg_temp.stockfoil_dirty",
        )
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await;
        Ok(dirty.context("look which keys to sum again")?)
    }
}

/// Sums the keys that are put aside and the organizations whose turn it is again. Where `is_compared`, which keys' history
/// changed without a trigger's mark.
pub(super) async fn sum_again(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    plan: Plan,
    is_compared: bool,
    more: &[(&str, &dyn Fragment)],
) -> Result<Vec<(BalanceKey, Option<Quantity>, Option<Quantity>)>, Error> {
    transaction
        .execute(sqlx::raw_sql("ANALYZE pg_temp.stockfoil_dirty; ANALYZE pg_temp.stockfoil_turn"))
        .await
        .context("look which keys to sum again")?;
    put_aside(transaction, &model.render_with(include_str!("again.sql"), more)).await?;
    if !is_compared {
        return Ok(Vec::new());
    }
    let changed = model.render(include_str!("changed_history.sql"));
    let rows: Vec<HistoryRow> = sqlx::query_as(changed.sql())
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await
        .context("compare sealed history with the ledger")?;
    record_history(transaction, plan.run, &rows).await?;
    rows.into_iter().map(HistoryRow::read).collect()
}

/// Forgets what was sealed of what is summed again, and seals it whole. What that does to the totals.
pub(super) async fn reseal(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
) -> Result<Vec<EntryTotal>, Error> {
    let mut totals = Vec::new();
    for template in [include_str!("unseal.sql"), include_str!("seal_again.sql")] {
        let rows: Vec<EntryTotal> = sqlx::query_as(model.render(template).sql())
            .persistent(false)
            .fetch_all(&mut **transaction)
            .await
            .context("seal the keys that changed again")?;
        totals.extend(rows);
    }
    Ok(totals)
}

/// Opens and carries on the findings of changed history, and closes those of the organizations whose history was read
/// again without seeing them. In the transaction that seals it as it is now: no later run could find it.
pub(super) async fn record_history(
    transaction: &mut Transaction<'_, Postgres>,
    run: RunId,
    rows: &[HistoryRow],
) -> Result<(), Error> {
    let column = |part: fn(&HistoryRow) -> Option<String>| rows.iter().map(part).collect::<Vec<_>>();
    sqlx::query(include_str!("../record_history.sql"))
        .bind(run)
        .bind(column(|row| Some(row.0.to_string())))
        .bind(column(|row| Some(row.1.clone())))
        .bind(column(|row| Some(row.2.clone())))
        .bind(column(|row| row.3.clone()))
        .bind(column(|row| row.4.clone()))
        .bind(column(|row| row.5.clone()))
        .execute(&mut **transaction)
        .await
        .context("record the changes of history")?;
    sqlx::query(include_str!("../close_history.sql"))
        .bind(run)
        .execute(&mut **transaction)
        .await
        .context("close the findings of changed history that are gone")?;
    Ok(())
}

/// A row of `changed_history.sql`.
#[derive(sqlx::FromRow)]
pub(super) struct HistoryRow(OrgId, String, String, Option<String>, Option<String>, Option<String>);

impl HistoryRow {
    pub(super) fn read(self) -> Result<(BalanceKey, Option<Quantity>, Option<Quantity>), Error> {
        let Self(org_id, item_id, location_id, lot_id, now, sealed) = self;
        let quantity =
            |text: Option<String>| text.map(|text| text.parse()).transpose().map_err(sqlx::Error::decode);
        Ok((BalanceKey { org_id, item_id, location_id, lot_id }, quantity(now)?, quantity(sealed)?))
    }
}
