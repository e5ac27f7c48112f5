//! What a checkpoint is of: a ledger under one mapping, in these tables and files, watched by these triggers.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::FullReason;
use crate::{
    Error,
    db::Context as _,
    model::Model,
    sql::{Fragment, render},
};

/// Everything that decides how entries and balances are read and told apart.
const READ: &str =
    "{tx_entries}; {e.group}; {e.item}; {e.location}; {e.lot}; {e.hash}; {key.weight}; {balance_rows};
     {org.type}, {item.type}, {location.type}, {lot.type}";

/// A digest of the SQL by which `model` reads entries and balances: sums that were sealed under another one are sums of
/// something else.
pub(in crate::balance) fn mapping(model: &Model) -> String {
    hex::encode(Sha256::digest(model.render(READ).as_str()))
}

/// What the catalog shows of the tables and triggers, whatever their names are.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Origin {
    /// The ledger's tables and the balances, with their files.
    pub(super) sources: Vec<String>,
    /// The triggers and their functions, as they were changed last.
    pub(super) keepers: Vec<String>,
}

impl Origin {
    /// As it is now. To be read before the snapshot of a comparison: what changes in between is then seen by the next run.
    pub(super) async fn now(session: &mut PgConnection, model: &Model) -> Result<Self, Error> {
        let origin = sqlx::query_as(include_str!("origin.sql"))
            .bind(model.ledger.table.to_string())
            .bind(model.balances.table.to_string())
            .fetch_one(session)
            .await;
        Ok(origin.context("look which tables and triggers the ledger has")?)
    }
}

/// What was sealed, and the facts of this snapshot.
#[derive(sqlx::FromRow)]
pub(super) struct Checkpoint {
    pub(super) watermark: Option<i64>,
    system_identifier: Option<String>,
    pub(super) round: Option<i32>,
    mapping: Option<String>,
    sources: Option<Vec<String>>,
    keepers: Option<Vec<String>>,
    pub(super) next: i64,
    pub(super) this_system: String,
    is_all_marked: bool,
    pub(super) sealed_rows: i64,
}

impl Checkpoint {
    pub(super) async fn read(session: &mut PgConnection, model: &Model) -> Result<Self, Error> {
        let checkpoint = sqlx::query_as(include_str!("read.sql"))
            .bind(model.ledger.table.to_string())
            .fetch_one(session)
            .await;
        Ok(checkpoint.context("read the checkpoint")?)
    }

    /// Why it can't be built on, `origin` being what is there now.
    pub(super) async fn unusable(
        &self,
        session: &mut PgConnection,
        model: &Model,
        origin: &Origin,
    ) -> Result<Option<FullReason>, Error> {
        let (Some(system), Some(made), Some(sources), Some(keepers)) =
            (&self.system_identifier, &self.mapping, &self.sources, &self.keepers)
        else {
            return Ok(Some(FullReason::NoCheckpoint));
        };
        Ok(if *system != self.this_system {
            Some(FullReason::OtherCluster)
        } else if *made != mapping(model) {
            Some(FullReason::OtherMapping)
        } else if self.is_all_marked {
            Some(FullReason::Truncated)
        } else if self.has_other_tables(session, model, sources, &origin.sources).await? {
            Some(FullReason::OtherTables)
        } else if keepers.iter().any(|keeper| !origin.keepers.contains(keeper)) {
            Some(FullReason::TriggersChanged)
        } else {
            None
        })
    }

    /// Whether the ledger is the same tables as it was, and keys are called as they were, whatever files they are in.
    pub(super) fn is_of_same_tables(&self, origin: &Origin) -> bool {
        let tables = |sources: &[String]| -> BTreeSet<String> {
            let table = |source: &String| match source.split(':').collect::<Vec<_>>().as_slice() {
                ["balances", ..] => None,
                [oid, _, joined] => Some(format!("{oid}:{joined}")),
                _ => Some(source.clone()),
            };
            sources.iter().filter_map(table).collect()
        };
        self.sources.as_ref().is_some_and(|sources| tables(sources) == tables(&origin.sources))
    }

    /// Whether what was read is there no more, or what is new holds entries that no comparison saw. A new partition is
    /// usually empty, or was filled since by transactions that are seen anyway.
    async fn has_other_tables(
        &self,
        session: &mut PgConnection,
        model: &Model,
        before: &[String],
        now: &[String],
    ) -> Result<bool, Error> {
        if before.iter().any(|source| !now.contains(source)) {
            return Ok(true);
        }
        let oid = |source: &String| source.split(':').next().and_then(|oid| oid.parse::<i64>().ok());
        let new: Vec<_> = now.iter().filter(|source| !before.contains(source)).map(oid).collect();
        let Some(new) = new.into_iter().collect::<Option<Vec<i64>>>() else { return Ok(true) };
        if new.is_empty() {
            return Ok(false);
        }
        // Children that are no partitions are not among them.
        let mut known = 0;
        for partition in &model.ledger.partitions {
            let place: [(&str, &dyn Fragment); 1] = [("partition", partition)];
            let (is_new, is_old): (bool, bool) =
                sqlx::query_as(render(include_str!("old_entries.sql"), &place).sql())
                    .bind(&new)
                    .bind(self.watermark)
                    .bind(partition.to_string())
                    .fetch_one(&mut *session)
                    .await
                    .context("look into the ledger's new partitions")?;
            known += usize::from(is_new);
            if is_old {
                return Ok(true);
            }
        }
        Ok(known != new.len())
    }
}
