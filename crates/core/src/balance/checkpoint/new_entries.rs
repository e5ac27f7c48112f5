//! The entries from the watermark on: how they are found, and those that can't be sealed yet.

use sqlx::{Executor as _, Postgres, Transaction};

use crate::{Error, db::Context as _, model::Model, sql::Fragment};

/// New entries lie together, and the index of transactions finds them. The planner can't know: where most entries have no
/// transaction, its statistics say nothing of their order, and it would read the whole ledger. What it holds of costs is
/// then worth nothing for the rest of the statement either, which is best grouped by hashing.
pub(super) const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off;
     SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_sort = off";

/// Takes [`BY_INDEX`] back.
pub(super) const BY_ANY_PLAN: &str =
    "SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_indexscan TO DEFAULT;
     SET LOCAL enable_indexonlyscan TO DEFAULT; SET LOCAL enable_sort TO DEFAULT";

/// Whether an entry is of nothing that is summed again. A weight stands for its key: no join is needed, which could be
/// planned badly where scans are told which index to take.
pub(super) const IS_CLEAN: &str = "n.org NOT IN (SELECT t.org FROM pg_temp.stockfoil_turn AS t)
    AND {key.weight} NOT IN (SELECT d.weight FROM pg_temp.stockfoil_dirty AS d)";

/// Puts aside what can't be sealed yet.
pub(super) async fn put_aside(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    more: &[(&str, &dyn Fragment)],
) -> Result<(), Error> {
    let pending = model.render_with(include_str!("pending.sql"), more);
    transaction.execute(sqlx::raw_sql(BY_INDEX)).await.context("read the entries above the watermark")?;
    transaction.execute(pending.sql()).await.context("read the entries above the watermark")?;
    transaction.execute(sqlx::raw_sql(BY_ANY_PLAN)).await.context("read the entries above the watermark")?;
    Ok(())
}
