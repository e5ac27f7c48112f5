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
    db::{Context as _, DbError, sqlstate},
    model::Model,
    org_id::{self, OrgId},
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

/// The longest label of a key, in characters.
const LABEL_LENGTH_MAX: usize = 200;
/// The longest scopes of a key, in characters.
const SCOPES_LENGTH_MAX: usize = 2000;

/// What is said of a key: what people call it, and what the application lets it do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub(super) label: Option<String>,
    pub(super) scopes: Option<String>,
}

impl Description {
    /// Checks both, and leaves out the spaces around them.
    ///
    /// # Errors
    /// [`TenancyError::KeyText`].
    pub fn new(label: Option<&str>, scopes: Option<&str>) -> Result<Self, TenancyError> {
        let text = |what, given: Option<&str>, length_max| {
            let checked = given.map(|text| {
                let trimmed = text.trim();
                match org_id::is_line(trimmed, length_max) {
                    true => Ok(trimmed.to_owned()),
                    false => Err(TenancyError::KeyText { what, text: text.to_owned(), length_max }),
                }
            });
            checked.transpose()
        };
        Ok(Self {
            label: text("label", label, LABEL_LENGTH_MAX)?,
            scopes: text("scopes", scopes, SCOPES_LENGTH_MAX)?,
        })
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.label.is_none() && self.scopes.is_none()
    }

    /// What a key that takes the place of `others` is to be described by: what this does not say, as they have it.
    ///
    /// # Errors
    /// [`TenancyError::ScopesDiffer`] where they don't agree on what it may do.
    pub(super) fn or_of(self, org: &OrgId, others: &[KeySummary]) -> Result<Self, TenancyError> {
        // Where no key is live the ones that ended by themselves say it; one that was revoked may have been for too much.
        let of_state = |state| others.iter().filter(move |key| key.state == state).collect::<Vec<_>>();
        let replaced = Some(of_state(KeyState::Live)).filter(|live| !live.is_empty());
        let replaced = replaced.unwrap_or_else(|| of_state(KeyState::Expired));
        let agreed = |of: fn(&KeySummary) -> &Option<String>| {
            let mut texts: Vec<&Option<String>> = replaced.iter().map(|key| of(key)).collect();
            texts.dedup();
            match texts.as_slice() {
                [] if others.iter().all(|key| of(key).is_none()) => Some(None),
                [one] => Some((*one).clone()),
                _ => None,
            }
        };
        let scopes = match (self.scopes, agreed(|key| &key.scopes)) {
            (Some(scopes), _) => Some(scopes),
            (None, Some(scopes)) => scopes,
            (None, None) => return Err(TenancyError::ScopesDiffer(org.clone())),
        };
        let label = self.label.or_else(|| agreed(|key| &key.label).flatten());
        Ok(Self { label, scopes })
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
    /// What people call it.
    pub label: Option<String>,
    /// What the application lets it do.
    pub scopes: Option<String>,
}

/// Adds `key` to the keys of `org`, with when it ends and what it is for, and reads it back; `refused` says why the server did not take it. Returns when it
/// ends, if it does.
///
/// # Errors
/// What `refused` says; [`TenancyError::NotAsWritten`].
pub(super) async fn insert(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    key: &ApiKey,
    (expires, description): (Option<Span>, &Description),
    refused: impl FnOnce(sqlx::Error) -> Error,
) -> Result<Option<DateTime<Utc>>, Error> {
    let hash = key.hash();
    let (stored, expires_at): (Vec<u8>, _) =
        sqlx::query_as(model.render(include_str!("keys/insert.sql")).sql())
            .bind(key.id())
            .bind(org)
            .bind(hash.as_bytes())
            .bind(expires.map(|span| span.0))
            .fetch_one(&mut *connection)
            .await
            .map_err(refused)?;
    if !hash.matches(&stored) {
        return Err(TenancyError::NotAsWritten("API key's hash").into());
    }
    if !description.is_empty() {
        describe(connection, model, org, &key.id(), description).await?;
    }
    Ok(expires_at)
}

/// Says of the key `id` of `org` what `description` says.
///
/// # Errors
/// [`TenancyError::UnknownKeys`]; [`TenancyError::NoKeyTexts`] in the database of an earlier release.
pub(super) async fn describe(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    id: &str,
    description: &Description,
) -> Result<(), Error> {
    let Description { label, scopes } = description;
    let stored: Option<(Option<String>, Option<String>)> =
        sqlx::query_as(model.render(include_str!("keys/describe.sql")).sql())
            .bind(id)
            .bind(org)
            .bind(label)
            .bind(scopes)
            .fetch_optional(connection)
            .await
            .map_err(|error| match sqlstate(&error).as_deref() {
                Some("42703") => Error::from(TenancyError::NoKeyTexts(model.api_keys.plain())),
                _ => DbError::Statement { context: "describe the API key".into(), cause: error }.into(),
            })?;
    let is_as_said = |said: &Option<String>, stored: &Option<String>| said.is_none() || said == stored;
    match stored {
        None => Err(TenancyError::UnknownKeys { org: org.clone(), ids: vec![id.to_owned()] }.into()),
        Some((stored, of)) if is_as_said(label, &stored) && is_as_said(scopes, &of) => Ok(()),
        Some(_) => Err(TenancyError::NotAsWritten("description of an API key").into()),
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
    fn a_rotated_key_is_for_what_the_others_were_for() {
        let key = |scopes: Option<&str>, state| KeySummary {
            key_id: "0aZ9bY8c".into(),
            state,
            created_at: Utc::now().into(),
            expires_at: None,
            revoked_at: None,
            last_used_on: None,
            label: None,
            scopes: scopes.map(str::to_owned),
        };
        let org = OrgId::new("acme").unwrap();
        let of = |said: Option<&str>, others: &[KeySummary]| {
            Description::new(None, said).unwrap().or_of(&org, others).map(|description| description.scopes)
        };
        let (read, live) = (|state| key(Some("read"), state), KeyState::Live);
        assert_eq!(of(None, &[]).unwrap(), None);
        assert_eq!(
            of(None, &[read(live), read(live), key(None, KeyState::Revoked)]).unwrap().unwrap(),
            "read"
        );
        assert!(of(None, &[read(live), key(None, live)]).unwrap_err().to_string().contains("--scopes"));
        assert_eq!(of(Some(" write "), &[read(live), key(None, live)]).unwrap().unwrap(), "write");
        let (write, none) = (|state| key(Some("write"), state), |state| key(None, state));
        let (expired, revoked) = (KeyState::Expired, KeyState::Revoked);
        assert_eq!(of(None, &[write(expired), read(live)]).unwrap().unwrap(), "read");
        assert_eq!(of(None, &[read(expired), none(revoked), write(revoked)]).unwrap().unwrap(), "read");
        assert_eq!(of(None, &[none(revoked)]).unwrap(), None);
        for ended in [&[read(expired), none(expired)][..], &[read(revoked)], &[read(revoked), none(revoked)]]
        {
            assert!(of(None, ended).unwrap_err().to_string().contains("--scopes"));
        }
        for text in ["", " ", "a\nb", &"x".repeat(2001)] {
            let error = Description::new(None, Some(text)).unwrap_err().to_string();
            assert!(error.contains("can't be the scopes"), "{error}");
        }
    }

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
