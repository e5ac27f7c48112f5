//! Partitions that a closing closed whole: when one goes, its entries are missed, and where they went is known.

use serde::Serialize;
use sqlx::PgConnection;

use super::{Closing, LOOK, Until};
use crate::{Error, db::Context as _, model::Model, timestamp::Timestamp};

/// A partition whose entries were closed, and which is no partition of the ledger any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct GonePartition {
    /// Its name, when it was closed.
    pub name: String,
    /// Its bounds, as ATTACH PARTITION takes them.
    pub bounds: String,
    /// The time of its newest entry.
    pub newest_at: Option<Timestamp>,
}

impl GonePartition {
    /// What is said of keys that lack the entries of `gone`.
    pub fn sentence(gone: &[Self]) -> String {
        let names: Vec<&str> = gone.iter().map(|partition| partition.name.as_str()).collect();
        let (are, closed) = if names.len() == 1 { ("partition", "is") } else { ("partitions", "are") };
        format!(
            "closed {are} {} {closed} no part of the ledger any more, and took closed entries along",
            names.join(", ")
        )
    }

    /// What a person does about `gone`.
    pub fn remedy(gone: &[Self]) -> String {
        let newest = gone.last().map_or("PARTITION", |partition| partition.name.as_str());
        format!(
            "no balance of these keys is corrected meanwhile: bring what they held forward (reconcile-balances --archive {newest}), or attach them again as they were"
        )
    }
}

impl Closing {
    /// The partitions that it closed and that are none of the ledger's any more, those with the newest entries last. A table
    /// that was restored from a dump is another one than it was: so they are missed only where closed entries are.
    pub(in crate::balance) async fn gone(
        &self,
        session: &mut PgConnection,
        model: &Model,
    ) -> Result<Vec<GonePartition>, Error> {
        let gone = sqlx::query_as(include_str!("gone.sql"))
            .bind(self.id)
            .bind(model.ledger.table.to_string())
            .fetch_all(session)
            .await;
        Ok(gone.context(LOOK)?)
    }
}

/// Records the ledger's partitions that the closing `id` before `until` closes whole, in its transaction.
pub(super) async fn record(
    session: &mut PgConnection,
    model: &Model,
    id: i64,
    until: Until,
) -> Result<(), Error> {
    for partition in &model.ledger.partitions {
        let postings = model.tx_entries(partition);
        let record = model.render_with(include_str!("partition.sql"), &[("postings", &postings)]);
        sqlx::query(record.sql())
            .persistent(false)
            .bind(id)
            .bind(until.0)
            .bind(partition.to_string())
            .bind(model.ledger.table.to_string())
            .execute(&mut *session)
            .await
            .context("record which partitions are closed")?;
    }
    Ok(())
}
