//! When a comparison was made, as the database's transactions count.

use serde::Serialize;
use sqlx::PgConnection;

use crate::db::{Context as _, DbError};

/// Which transactions were over when a comparison began. Entries of others are new to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Snapshot {
    /// The transactions, as `pg_current_snapshot()` prints them.
    pub transactions: String,
    /// The cluster that counts them, by its system identifier.
    pub cluster: String,
}

impl Snapshot {
    /// The present one.
    pub(super) async fn now(session: &mut PgConnection) -> Result<Self, DbError> {
        sqlx::query_as(
            "SELECT pg_current_snapshot()::text AS transactions, system_identifier::text AS cluster
             FROM pg_control_system()",
        )
        .fetch_one(session)
        .await
        .context("take note of the transactions that are over")
    }
}
