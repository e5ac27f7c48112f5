//! Keys that seem to differ: those of organizations whose totals do, or of weights that do.

use sqlx::{Executor as _, Postgres, Transaction};

use super::{new_entries, put_aside, totals::recount};
use crate::{
    Error, balance::difference::are_few, db::Context as _, model::Model, org_id::OrgId, sql::Fragment,
};

/// A table for suspect keys, without any.
pub(super) const NO_SUSPECT: &str = "CREATE TEMPORARY TABLE stockfoil_suspect ON COMMIT DROP AS
     SELECT org, item, location, lot FROM pg_temp.stockfoil_dirty WHERE false";

/// Compares all entries with all balances, by weight, and puts the keys that differ aside. Whether it could: not where keys
/// have entries and no balance, nor where it is quicker to read all once more than to look them up.
pub(super) async fn weigh(transaction: &mut Transaction<'_, Postgres>, model: &Model) -> Result<bool, Error> {
    put_aside(transaction, &model.render(include_str!("weigh.sql"))).await?;
    let (weights, missing): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE balances = 0) FROM pg_temp.stockfoil_weight")
            .fetch_one(&mut **transaction)
            .await
            .context("compare ledger and balances")?;
    if missing > 0 || !are_few(model, weights) {
        return Ok(false);
    }
    if weights > 0 {
        let suspect = model.render(include_str!("suspect_weights.sql"));
        transaction.execute(suspect.sql()).await.context("look which balances differ")?;
    }
    Ok(true)
}

/// Compares the keys of the doubtful organizations, puts those aside that differ, and makes the organizations' totals those
/// of their sealed sums. Whether the keys are few enough to be looked up.
pub(super) async fn suspect(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    orgs: &[OrgId],
    more: &[(&str, &dyn Fragment)],
) -> Result<bool, Error> {
    if orgs.is_empty() {
        return Ok(true);
    }
    new_entries::put_aside(transaction, model, more).await?;
    let suspect = model.render(include_str!("suspect.sql"));
    let suspects = sqlx::query(suspect.sql())
        .persistent(false)
        .bind(orgs)
        .execute(&mut **transaction)
        .await
        .context("compare sealed sums and balances")?
        .rows_affected();
    recount(transaction, model, Some(orgs)).await?;
    Ok(are_few(model, i64::try_from(suspects).unwrap_or(i64::MAX)))
}
