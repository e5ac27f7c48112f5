//! Which users are meant, and out of which organizations.

use std::collections::BTreeSet;

use super::User;
use crate::{
    org_id::OrgId,
    tenancy::{
        Settings, TenancyError,
        email_pattern::{EmailPattern, fold},
    },
};

/// Whom to move.
#[derive(Debug, Clone)]
pub enum Selector {
    /// These users; each one must be there.
    Ids(BTreeSet<String>),
    /// Whose address the pattern takes.
    Email(EmailPattern),
    /// These users, and whose address is one of these, as `fold` has it.
    Listed {
        /// By their ids.
        ids: BTreeSet<String>,
        /// By their addresses.
        emails: BTreeSet<String>,
    },
    /// Everybody whom the organizations that give have.
    All,
}

/// The organizations that users are taken from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The default organization, and none.
    Default(String),
    /// These.
    Orgs(Vec<OrgId>),
}

impl Origin {
    /// `orgs`, or the default organization where none is named.
    pub fn of(orgs: Vec<OrgId>, config: &Settings) -> Self {
        match orgs.is_empty() {
            true => Self::Default(config.default_org_id.clone()),
            false => Self::Orgs(orgs),
        }
    }

    /// Whether users of `org` are taken.
    pub(super) fn gives(&self, org: Option<&str>) -> bool {
        match self {
            Self::Default(default) => org.is_none_or(|org| org == default),
            Self::Orgs(orgs) => org.is_some_and(|org| orgs.iter().any(|giving| giving.as_str() == org)),
        }
    }
}

impl Selector {
    /// The selector that flags ask for: `ids`, or `email_pattern`, or `all`, and only one of them.
    ///
    /// # Errors
    /// [`TenancyError::Selector`] for none or several of them, and [`TenancyError::EmailPattern`].
    pub fn of(ids: Vec<String>, email_pattern: Option<&str>, all: bool) -> Result<Self, TenancyError> {
        match (ids.is_empty(), email_pattern, all) {
            (false, None, false) => Ok(Self::Ids(ids.into_iter().collect())),
            (true, Some(pattern), false) => Ok(Self::Email(pattern.parse()?)),
            (true, None, true) => Ok(Self::All),
            _ => Err(TenancyError::Selector),
        }
    }

    /// Whether `user` is meant: the one predicate, of dry runs and real ones.
    pub(super) fn takes(&self, user: &User) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&user.id),
            Self::Listed { ids, emails } => {
                let is_listed = |email: &str| emails.contains(fold(email).as_ref());
                ids.contains(&user.id) || user.email.as_deref().is_some_and(is_listed)
            }
            Self::Email(pattern) => user.email.as_deref().is_some_and(|email| pattern.takes(email)),
            Self::All => true,
        }
    }

    /// What the server can already leave out: ids, and an organization.
    pub(super) fn bounds<'a>(&'a self, origin: &'a Origin) -> (Option<Vec<&'a str>>, Option<&'a str>) {
        match (self, origin) {
            (Self::Listed { ids, emails }, _) if emails.is_empty() => {
                (Some(ids.iter().map(String::as_str).collect()), None)
            }
            (Self::Ids(ids), _) => (Some(ids.iter().map(String::as_str).collect()), None),
            (Self::All, Origin::Default(default)) => (None, Some(default)),
            (Self::Email(_) | Self::Listed { .. } | Self::All, _) => (None, None),
        }
    }
}
