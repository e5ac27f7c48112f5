//! API keys whose time is over before long, of all organizations: `org-update --keys-ending`.

use serde::Serialize;

use super::{keys::Span, require};
use crate::{
    Task,
    db::{Context as _, Db},
    mapping::Mapping,
    org_id::OrgId,
    report::{Outcome, Report},
    timestamp::Timestamp,
};

/// A key that ends.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct EndingKey {
    /// Whose it is.
    pub org_id: OrgId,
    /// The name of that one.
    pub org_name: String,
    /// What names it.
    pub key_id: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The last day on which a request had it.
    pub last_used_on: Option<String>,
    /// Whether the organization has a key that lives longer than asked for.
    pub is_followed: bool,
}

/// The keys that end within a time, the first to end first.
#[derive(Debug, Serialize)]
pub struct KeysEnding {
    /// The keys.
    pub keys: Vec<EndingKey>,
}

impl Report for KeysEnding {
    const SCHEMA: &'static str = "stockfoil.keys-ending/1";

    fn outcome(&self) -> Outcome {
        // One that another follows ends as it was meant to.
        if self.keys.iter().all(|key| key.is_followed) { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Looks for keys of active organizations, or of `org` alone, that live and end `within` that time.
///
/// # Errors
/// [`TenancyError::NotMigrated`](super::TenancyError::NotMigrated) before `migrate-org`, and database errors.
pub fn look<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    within: Span,
    org: Option<&'a OrgId>,
) -> Task<'a, KeysEnding> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        require(db, model, &[]).await?;
        let keys = sqlx::query_as(model.render(include_str!("keys/ending.sql")).sql())
            .bind(within.seconds())
            .bind(org)
            .fetch_all(db.pool())
            .await
            .context("look for API keys that end")?;
        Ok(KeysEnding { keys })
    })
}
