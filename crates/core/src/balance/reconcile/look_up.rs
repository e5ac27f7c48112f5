//! What can be known of the cause of a difference, and how much was compared.

use sqlx::PgConnection;

use super::{Entry, Work, quantity};
use crate::{
    Error,
    db::{Context as _, sqlstate},
};

/// For how many differences, and how many, the newest entries are looked up.
const LOOKED_UP_MAX: usize = 20;
const ENTRIES_MAX: i64 = 5;

impl Work<'_> {
    /// Looks up what can be known of the cause of what a person must look at, and how much was compared.
    pub(super) async fn look_up(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        let entries = self.model.render(include_str!("../newest_entries.sql"));
        for listed in self.report.unresolved_mut().filter(|listed| !listed.is_keyless).take(LOOKED_UP_MAX) {
            let key = &listed.discrepancy.key;
            let read: Result<Vec<(String, Option<String>, _)>, _> = sqlx::query_as(entries.sql())
                .bind(&key.org_id)
                .bind(&key.item_id)
                .bind(&key.location_id)
                .bind(&key.lot_id)
                .bind(ENTRIES_MAX)
                .fetch_all(&mut *session)
                .await;
            // What one key's entries hold is no reason to tell nobody of the others.
            let rows = match read {
                Err(error) if sqlstate(&error).is_some() => {
                    listed.entries_error = Some(error.to_string());
                    continue;
                }
                read => read.context("look up the newest entries")?,
            };
            listed.newest_entries = rows
                .into_iter()
                .map(|(id, text, created_at)| Ok(Entry { id, quantity: quantity(text)?, created_at }))
                .collect::<Result<_, Error>>()?;
        }
        self.report.balances = match self.balances {
            Some(balances) => balances.unsigned_abs(),
            None => self.count_balances(session).await?,
        };
        Ok(())
    }

    async fn count_balances(&self, session: &mut PgConnection) -> Result<u64, Error> {
        let count = self.model.render(
            "SELECT count(*) FROM {balances} WHERE ($1::text[] IS NULL OR {org} = ANY ($1::text[]::{org.type}[])){balances.and}",
        );
        let balances: i64 = sqlx::query_scalar(count.sql())
            .bind(self.orgs.clone())
            .fetch_one(session)
            .await
            .context("count the balances")?;
        Ok(balances.unsigned_abs())
    }
}
