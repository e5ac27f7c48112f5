//! What was closed goes with its entries, so that these are not taken for ones that were changed later.

use sqlx::{Connection as _, PgConnection};

use super::Merge;
use crate::{Error, catalog, db::Context as _, history::RunId};

/// Gives what was closed to the other organization.
pub(super) async fn give(transaction: &mut PgConnection, merge: &Merge, run: RunId) -> Result<(), Error> {
    if !catalog::is_there(transaction, "stockfoil.closing_balance").await? {
        return Ok(());
    }
    sqlx::query(include_str!("closings.sql"))
        .bind(run)
        .bind(&merge.from)
        .bind(&merge.into)
        .execute(transaction)
        .await
        .context("give what was closed to the other organization")?;
    Ok(())
}

/// Takes back what the run `undone` gave.
pub(super) async fn take_back(session: &mut PgConnection, undone: i64, run: RunId) -> Result<(), Error> {
    const CONTEXT: &str = "take back what was closed";
    if !catalog::is_there(session, "stockfoil.closing_balance").await? {
        return Ok(());
    }
    let mut transaction = session.begin().await?;
    sqlx::query(include_str!("closings_back.sql"))
        .bind(undone)
        .bind(run)
        .execute(&mut *transaction)
        .await
        .context(CONTEXT)?;
    sqlx::query("DELETE FROM stockfoil.closing_balance WHERE entries = 0")
        .execute(&mut *transaction)
        .await
        .context(CONTEXT)?;
    transaction.commit().await.context(CONTEXT)?;
    Ok(())
}
