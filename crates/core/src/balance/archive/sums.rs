//! What the entries come to that leave the ledger, or have left it.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Stand, Work};
use crate::{
    Error,
    balance::{
        closing::{Closing, Keys},
        difference,
    },
    db::Context as _,
    model::Model,
    sql::{QualifiedName, Statement},
    timestamp::Timestamp,
};

/// How many keys an error names.
const KEYS_NAMED: usize = 5;

pub(super) const SUM: &str = "sum the partition's entries";

/// What was put aside in `pg_temp.stockfoil_archive`, in all.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Sums {
    /// How many keys it had.
    pub(super) keys: i64,
    /// How many entries.
    pub(super) entries: i64,
    /// How many keys are to have an entry: a sum of zero needs none.
    pub(super) to_write: i64,
    /// The time of the newest entry.
    pub(super) newest_at: Option<Timestamp>,
    obstacle: Option<String>,
}

/// `template` over the postings of `table`.
pub(super) fn of_table(model: &Model, template: &'static str, table: &QualifiedName) -> Statement {
    model.render_with(template, &[("postings", &model.tx_entries(table))])
}

impl Work<'_> {
    /// Sums the entries by key, in one snapshot in which they are as they were closed.
    pub(super) async fn sum(&mut self) -> Result<Sums, Error> {
        self.session
            .execute(sqlx::raw_sql(
                "DROP TABLE IF EXISTS pg_temp.stockfoil_archive; DROP TABLE IF EXISTS pg_temp.stockfoil_brought",
            ))
            .await
            .context(SUM)?;
        let is_attached = matches!(self.place.stand, Stand::Attached);
        let mut transaction =
            self.session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE").await.context(SUM)?;
        let connection: &mut PgConnection = &mut transaction;
        match is_attached {
            true => {
                let sums = of_table(self.model, include_str!("sums.sql"), &self.place.table);
                connection.execute(sums.sql()).await.context(SUM)?;
            }
            false => {
                let missing = self.model.render(include_str!("missing.sql"));
                sqlx::query(missing.sql())
                    .persistent(false)
                    .bind(self.closing.id)
                    .bind(self.closing.closed_before)
                    .bind(self.closing.is_here.then_some(&self.closing.transactions))
                    .bind(self.place.table.schema.as_str())
                    .bind(self.place.table.name.as_str())
                    .execute(&mut *connection)
                    .await
                    .context(SUM)?;
            }
        }
        connection.execute("ANALYZE pg_temp.stockfoil_archive").await.context(SUM)?;
        let sums: Sums = sqlx::query_as(include_str!("summed.sql"))
            .persistent(false)
            .bind(self.closing.closed_before)
            .fetch_one(&mut *connection)
            .await
            .context(SUM)?;
        let obstacle = match &sums.obstacle {
            Some(obstacle) => Some(obstacle.clone()),
            None if is_attached => of_attached(connection, self.model, &self.closing).await?,
            None => of_gone(connection, self.model, &sums).await?,
        };
        transaction.commit().await.context(SUM)?;
        match obstacle {
            Some(why) => Err(self.refused(why)),
            None => Ok(sums),
        }
    }
}

/// Why the entries of a partition of the ledger can't be brought forward as they are.
async fn of_attached(
    connection: &mut PgConnection,
    model: &Model,
    closing: &Closing,
) -> Result<Option<String>, Error> {
    let open: i64 = sqlx::query_scalar(include_str!("open.sql"))
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .context(SUM)?;
    if open > 0 {
        return Ok(Some(format!(
            "{open} of its keys have an open finding; look at them first (reconcile-balances)"
        )));
    }
    connection
        .execute(sqlx::raw_sql(
            "CREATE TEMPORARY TABLE stockfoil_closed_key ON COMMIT DROP AS
             SELECT org, item, location, lot FROM pg_temp.stockfoil_archive;
             ANALYZE pg_temp.stockfoil_closed_key",
        ))
        .await
        .context(SUM)?;
    let changed = closing.changed(connection, model, Keys::PutAside, None).await?;
    let keys: Vec<String> =
        changed.iter().take(KEYS_NAMED).map(|changed| changed.key().to_string()).collect();
    Ok(match changed.len() {
        0 => None,
        number => Some(format!(
            "the closed entries of {number} of its keys are not those that were closed ({}); run reconcile-balances and look at them first, or close again with --accept-backdated",
            keys.join(", ")
        )),
    })
}

/// Why what is missing can't be brought forward: it is not what the balances have more than the ledger.
async fn of_gone(connection: &mut PgConnection, model: &Model, sums: &Sums) -> Result<Option<String>, Error> {
    if sums.keys == 0 {
        return Ok(Some("no closed entry is missing in the ledger".into()));
    }
    let difference = difference::statement(model);
    let unexplained = model.render_with(include_str!("unexplained.sql"), &[("difference", &difference)]);
    let keys: Vec<String> = sqlx::query_scalar(unexplained.sql())
        .persistent(false)
        .bind(None::<Vec<String>>)
        .fetch_all(connection)
        .await
        .context(SUM)?;
    Ok((!keys.is_empty()).then(|| {
        format!(
            "the balances of {} differ from the ledger by more than the entries that are gone; attach what is gone again as it was, and correct them first",
            keys.join(", ")
        )
    }))
}
