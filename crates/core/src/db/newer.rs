//! Settings that newer servers alone have: an older one refuses a session that names them.

use sqlx::PgConnection;

use super::{Context as _, DbError, ServerFacts};

/// The oldest server that may end a transaction for its age.
const TRANSACTION_TIMEOUT_SINCE: i32 = 170_000;

impl ServerFacts {
    /// What a session has to be given beside what every server knows.
    pub(crate) fn newer_settings(&self) -> &'static [(&'static str, &'static str)] {
        match self.version_num >= TRANSACTION_TIMEOUT_SINCE {
            true => &[("transaction_timeout", "0")],
            false => &[],
        }
    }
}

/// Gives them to a session that was made before its server was known.
pub(super) async fn give(connection: &mut PgConnection, facts: &ServerFacts) -> Result<(), DbError> {
    if facts.newer_settings().is_empty() {
        return Ok(());
    }
    // In the simple protocol, which a pooler passes on too.
    sqlx::raw_sql("SET transaction_timeout = '0'")
        .execute(connection)
        .await
        .context("give the session its settings")?;
    Ok(())
}
