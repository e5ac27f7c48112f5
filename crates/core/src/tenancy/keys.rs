//! The API keys that the database holds: adding, ending, revoking and listing them. Of a key it holds the id and the hash.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    TenancyError,
    api_key::{ApiKey, KeyId},
};
use crate::{
    Error,
    db::{Context as _, DbError},
    model::Model,
    org_id::OrgId,
    timestamp::Timestamp,
};

/// The longest span, in seconds: a hundred years.
const SPAN_SECONDS_MAX: u64 = 36_525 * 24 * 3600;

/// How long a key lives on, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(i64);

impl Span {
    /// A day.
    pub const DAY: Span = Span(24 * 3600);

    /// So many days.
    pub(super) const fn days(days: i64) -> Self {
        Self(days * 24 * 3600)
    }

    /// In seconds.
    pub(super) fn seconds(self) -> i64 {
        self.0
    }

    /// Whether it is over at once.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| format!("{text:?} {why}; give a time such as 24h, 90d or 0s");
        let seconds = humantime::parse_duration(text).map_err(|_| wrong("is no time"))?.as_secs();
        match i64::try_from(seconds) {
            Ok(span) if seconds <= SPAN_SECONDS_MAX => Ok(Self(span)),
            _ => Err(wrong("is longer than a hundred years")),
        }
    }
}

/// Refuses an expiry that nobody could use the key before.
///
/// # Errors
/// [`TenancyError::ExpiresAtOnce`].
pub(super) fn check_expiry(expires: Option<Span>) -> Result<Option<Span>, TenancyError> {
    match expires {
        Some(span) if span.is_zero() => Err(TenancyError::ExpiresAtOnce),
        expires => Ok(expires),
    }
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum KeyState {
    /// It leads to its organization, as long as that is active.
    Live,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl KeyState {
    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Live => "live",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        }
    }
}

/// A key, as far as the database knows it.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct KeySummary {
    /// What names it.
    pub key_id: String,
    /// What it is good for.
    pub state: KeyState,
    /// When it was made or given.
    pub created_at: Timestamp,
    /// When it ends, or ended by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The last day (UTC) on which it led to its organization, as `2026-02-01`.
    pub last_used_on: Option<String>,
}

/// Adds `key` to the keys of `org`, and reads it back; `refused` says why the server did not take it. Returns when it
/// ends, if it does.
///
/// # Errors
/// What `refused` says; [`TenancyError::NotAsWritten`].
pub(super) async fn insert(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    key: &ApiKey,
    expires: Option<Span>,
    refused: impl FnOnce(sqlx::Error) -> Error,
) -> Result<Option<DateTime<Utc>>, Error> {
    let hash = key.hash();
    let (stored, expires_at): (Vec<u8>, _) =
        sqlx::query_as(model.render(include_str!("keys/insert.sql")).sql())
            .bind(key.id())
            .bind(org)
            .bind(hash.as_bytes())
            .bind(expires.map(|span| span.0))
            .fetch_one(connection)
            .await
            .map_err(refused)?;
    if hash.matches(&stored) {
        Ok(expires_at)
    } else {
        Err(TenancyError::NotAsWritten("API key's hash").into())
    }
}

/// The keys of `org`, the oldest first.
pub(super) async fn list(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
) -> Result<Vec<KeySummary>, DbError> {
    sqlx::query_as(model.render(include_str!("keys/list.sql")).sql())
        .bind(org)
        .fetch_all(connection)
        .await
        .context("list the API keys")
}

/// Ends the other keys of `org` than `new` after `overlap`, where they don't end before; returns their ids.
pub(super) async fn end_others(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    new: &ApiKey,
    overlap: Span,
) -> Result<Vec<String>, DbError> {
    let mut ended: Vec<String> = sqlx::query_scalar(model.render(include_str!("keys/end.sql")).sql())
        .bind(org)
        .bind(new.id())
        .bind(overlap.0)
        .fetch_all(connection)
        .await
        .context("end the older API keys")?;
    ended.sort();
    Ok(ended)
}

/// Revokes the keys `ids` of `org`; returns those that were not revoked yet.
///
/// # Errors
/// [`TenancyError::UnknownKeys`] when some of them are not the organization's.
pub(super) async fn revoke(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    ids: &[KeyId],
) -> Result<Vec<String>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let known = list(connection, model, org).await?;
    let ids: Vec<&str> = ids.iter().map(KeyId::as_str).collect();
    let unknown = ids.iter().filter(|id| !known.iter().any(|key| key.key_id == **id));
    let unknown: Vec<String> = unknown.map(|id| (*id).to_owned()).collect();
    if !unknown.is_empty() {
        return Err(TenancyError::UnknownKeys { org: org.clone(), ids: unknown }.into());
    }
    let mut revoked: Vec<String> = sqlx::query_scalar(model.render(include_str!("keys/revoke.sql")).sql())
        .bind(org)
        .bind(ids)
        .fetch_all(connection)
        .await
        .context("revoke API keys")?;
    revoked.sort();
    Ok(revoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit_and_an_end() {
        assert_eq!("24h".parse(), Ok(Span::DAY));
        assert!("0s".parse::<Span>().unwrap().is_zero());
        assert_eq!("90d".parse(), Ok(Span(90 * 24 * 3600)));
        for text in ["", "24", "soon", "-1h", "101years"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("give a time such as 24h"), "{text}: {error}");
        }
    }
}
