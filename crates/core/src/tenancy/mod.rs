//! Organizations: their ids, names, keys and people.

pub mod schema;

use std::{fmt, str::FromStr};

use serde::Serialize;

/// An organization's id: 1 to 63 printable ASCII characters without spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct OrgId(String);

/// A text can't be an organization's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't be an organization id; use 1 to 63 letters, digits, '-', '_' or '.'")]
pub struct OrgIdError(String);

impl OrgId {
    /// Checks `id`.
    ///
    /// # Errors
    /// When it is empty, longer than 63 bytes, or holds anything but ASCII letters, digits, `-`, `_`, `.`.
    pub fn new(id: &str) -> Result<Self, OrgIdError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 63 || !id.chars().all(fits) {
            return Err(OrgIdError(id.to_owned()));
        }
        Ok(Self(id.to_owned()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrgId {
    type Err = OrgIdError;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
