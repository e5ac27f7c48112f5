//! Balances below zero: ledger and balance can agree and still be wrong.

use serde::Serialize;
use sqlx::PgConnection;

use super::{LISTED_MAX, Work, quantity};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    ledger::{BalanceKey, Quantity},
    org_id::OrgId,
};

/// A balance below zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NegativeBalance {
    /// Its key.
    #[serde(flatten)]
    pub balance_key: BalanceKey,
    /// The key as `--explain` takes it.
    pub key: String,
    /// What it holds.
    pub balance_qty: Quantity,
}

impl NegativeBalance {
    /// What a person does about it.
    pub const REMEDY: &'static str = "ledger and balance may agree: look for what was taken before it was entered (reconcile-balances --explain KEY) and enter it; \
         a location that may be below zero goes into [reconcile] negative_locations";
}

/// A row of `negative.sql`: the key, what it holds, and how many there are.
type Row = (OrgId, Option<String>, Option<String>, Option<String>, Option<String>, i64);

impl Work<'_> {
    /// Lists the balances that are below zero where none may be, as they are after the repair; with a run, that records them,
    /// and closes the findings of those that no longer are, or that may be.
    pub(super) async fn look_below_zero(
        &mut self,
        session: &mut PgConnection,
        run: Option<RunId>,
    ) -> Result<(), Error> {
        let but_in = self.options.negative_but_in.as_ref();
        if let Some(run) = run {
            let record = self.model.render(include_str!("../record_negative.sql"));
            let (opened, seen_again, closed): (i64, i64, i64) = sqlx::query_as(record.sql())
                .bind(run)
                .bind(self.orgs.clone())
                .bind(but_in.cloned().unwrap_or_default())
                .bind(but_in.is_some())
                .fetch_one(&mut *session)
                .await
                .context("record the balances below zero")?;
            self.report.findings.opened += opened.unsigned_abs();
            self.report.findings.seen_again += seen_again.unsigned_abs();
            self.report.findings.closed += closed.unsigned_abs();
        }
        let Some(but_in) = but_in else { return Ok(()) };
        let list = self.model.render(include_str!("../negative.sql"));
        let rows: Vec<Row> = sqlx::query_as(list.sql())
            .bind(self.orgs.clone())
            .bind(but_in)
            .bind(i64::try_from(LISTED_MAX).unwrap_or(i64::MAX))
            .fetch_all(session)
            .await
            .context("look for balances below zero")?;
        self.report.negative = Some(rows.first().map_or(0, |row| row.5.unsigned_abs()));
        for (org_id, item_id, location_id, lot_id, text, _) in rows {
            let (item_id, location_id) = (item_id.unwrap_or_default(), location_id.unwrap_or_default());
            let balance_key = BalanceKey { org_id, item_id, location_id, lot_id };
            let balance_qty = quantity(text)?.unwrap_or_else(Quantity::zero);
            let key = balance_key.to_string();
            self.report.listed_negative.push(NegativeBalance { balance_key, key, balance_qty });
        }
        Ok(())
    }
}
