//! Organizations: their ids, names, keys and people.

pub mod api_key;
pub mod data;
pub mod email_pattern;
pub mod keys;
mod moves;
pub mod organization;
pub mod resolution;
pub mod schema;
pub mod subdomain;
pub mod update;
pub mod users;

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{
    Error, Failure,
    db::{Context as _, Db},
    model::{KeyType, Model},
    sql::QualifiedName,
};

/// Why an organization or its people could not be changed or listed.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The database has no organizations yet.
    #[error("database {database:?} has no {missing}; run migrate-org first")]
    NotMigrated {
        /// The database.
        database: String,
        /// What is not there.
        missing: String,
    },
    /// An organization's id does not hold.
    #[error(transparent)]
    OrgId(#[from] OrgIdError),
    /// An organization's name does not hold.
    #[error("{0:?} can't be an organization's name; give 1 to {NAME_LENGTH_MAX} characters on one line", NAME_LENGTH_MAX = organization::NAME_LENGTH_MAX)]
    Name(String),
    /// A subdomain does not hold.
    #[error(transparent)]
    Subdomain(#[from] subdomain::SubdomainError),
    /// A key does not hold.
    #[error(transparent)]
    ApiKey(#[from] api_key::ApiKeyError),
    /// An id or a key can't be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A pattern does not hold.
    #[error(transparent)]
    EmailPattern(#[from] email_pattern::EmailPatternError),
    /// Another organization has the subdomain.
    #[error("the subdomain {0:?} is another organization's; choose another one (org-list shows them)")]
    SubdomainTaken(String),
    /// Another organization has the id.
    #[error("an organization {:?} exists already; choose another id, or leave --id out to have one made", .0.as_str())]
    IdTaken(OrgId),
    /// The sequence of ids is far behind the ids that were given.
    #[error(
        "the next numbers of {0} are all taken; set its sequence behind the highest id (setval), or give --id"
    )]
    NumbersTaken(String),
    /// Another organization has the key.
    #[error("the API key is in use already; give another one, or leave --api-key out to have one made")]
    ApiKeyTaken,
    /// There are no such keys.
    #[error("organization {org} has no API key {}; nothing was changed, --list-keys shows those that it has", listed(.ids))]
    UnknownKeys {
        /// The organization.
        org: OrgId,
        /// The keys' ids.
        ids: Vec<String>,
    },
    /// Nothing is asked for.
    #[error(
        "say what to change: --name, --subdomain, --no-subdomain, --activate, --deactivate, --rotate-key, --add-key, --revoke-key; or --list-keys"
    )]
    NothingAsked,
    /// A flag is of a new key, and none is asked for.
    #[error("{0} needs {1}; leave it out, or say that there is to be a new key")]
    NoNewKey(&'static str, &'static str),
    /// A key that ends before anybody has it.
    #[error("--expires 0s would end the key at once; give a time such as 90d, or leave it out")]
    ExpiresAtOnce,
    /// Somebody else holds the organization or its keys.
    #[error(
        "another session holds organization {0} or an API key of it locked; nothing was changed, try again when it has ended"
    )]
    OrganizationLocked(OrgId),
    /// The database did not keep what it was given.
    #[error("the database stored another {0} than it was given; look for triggers and rules on its table")]
    NotAsWritten(&'static str),
    /// Nobody gets the users.
    #[error("say where the users move to by --org-id, or take a run back by --undo")]
    NoOrganization,
    /// Nobody, or more than one group, is selected.
    #[error("say whom to move by exactly one of --user-id (repeatable), --email-pattern and --all")]
    Selector,
    /// The database has no users.
    #[error(
        "the mapping says that there are no users (tenancy.users = false); name their table in stockfoil.toml first"
    )]
    NoUsers,
    /// There is no such organization.
    #[error("there is no organization {:?}; org-list shows those that there are", .0.as_str())]
    UnknownOrganization(OrgId),
    /// There are no such users.
    #[error("there is no user {}; nothing was changed, correct --user-id", listed(.0))]
    UnknownUsers(Vec<String>),
    /// Rows can't be given to an organization, or put back.
    #[error(transparent)]
    Data(data::DataError),
    /// A foreign key does not let users leave what refers to them.
    #[error(
        "rows of {table} refer to users of this selection within their organization (foreign key {key}), so those can't leave it; nothing was changed, set the column that refers to NULL in these rows, or leave those users out"
    )]
    UsersReferred {
        /// The table whose rows refer.
        table: String,
        /// The foreign key.
        key: String,
    },
    /// Somebody else holds the users' rows.
    #[error(
        "another session holds users of this selection locked; nothing was changed, try again when it has ended"
    )]
    UsersLocked,
    /// A trigger, rule or policy kept users from moving.
    #[error(
        "the database moved {moved} of {chosen} users; nothing was changed, look for triggers, rules and policies on table {table}"
    )]
    NotAllMoved {
        /// How many it moved.
        moved: u64,
        /// How many it should have moved.
        chosen: usize,
        /// The users' table.
        table: String,
    },
}

impl TenancyError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Data(error) => error.failure(),
            Self::NotMigrated { .. }
            | Self::UsersReferred { .. }
            | Self::NotAsWritten(_)
            | Self::OrganizationLocked(_)
            | Self::UsersLocked
            | Self::NotAllMoved { .. }
            | Self::NumbersTaken(_)
            | Self::Random(_) => Failure::Work,
            Self::Name(_)
            | Self::Subdomain(_)
            | Self::ApiKey(_)
            | Self::EmailPattern(_)
            | Self::SubdomainTaken(_)
            | Self::IdTaken(_)
            | Self::ApiKeyTaken
            | Self::UnknownKeys { .. }
            | Self::NothingAsked
            | Self::NoNewKey(..)
            | Self::ExpiresAtOnce
            | Self::Selector
            | Self::NoOrganization
            | Self::NoUsers
            | Self::OrgId(_)
            | Self::UnknownOrganization(_)
            | Self::UnknownUsers(_) => Failure::Usage,
        }
    }
}

/// Neither ids nor keys can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes ({0}); make /dev/urandom or getrandom(2) available")]
pub struct RandomError(String);

/// Fills `bytes` from the operating system's random source.
fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|error| RandomError(error.to_string()))
}

/// The first of `names`, quoted, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Refuses a database without the tables of organizations, or with a table of `tenant_tables` that has no
/// organization's column.
async fn require(db: &Db, model: &Model, tenant_tables: &[&QualifiedName]) -> Result<(), Error> {
    let (organizations, api_keys) = (&model.organizations, &model.api_keys);
    let missing: Option<String> = sqlx::query_scalar(include_str!("required.sql"))
        .bind(organizations.plain())
        .bind(organizations.to_string())
        .bind(api_keys.plain())
        .bind(api_keys.to_string())
        .bind(model.org_column.as_str())
        .bind(tenant_tables.iter().map(|table| table.plain()).collect::<Vec<_>>())
        .bind(tenant_tables.iter().map(ToString::to_string).collect::<Vec<_>>())
        .fetch_optional(db.pool())
        .await
        .context("look for the tables of organizations")?;
    match missing {
        Some(missing) => {
            Err(TenancyError::NotMigrated { database: db.facts().database.clone(), missing }.into())
        }
        None => Ok(()),
    }
}

/// Refuses a database without the record of moved rows.
async fn require_moves(db: &Db) -> Result<(), Error> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('stockfoil.move') IS NOT NULL")
        .fetch_one(db.pool())
        .await
        .context("look for stockfoil.move")?;
    match is_there {
        true => Ok(()),
        false => {
            let missing = "table stockfoil.move".to_owned();
            Err(TenancyError::NotMigrated { database: db.facts().database.clone(), missing }.into())
        }
    }
}

/// The database holds the same rule as [`OrgId::new`], so that an id that was read is one too.
pub use crate::rows::OrgId;

/// A text can't be an organization's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrgIdError {
    /// Not even as text.
    #[error("{0:?} can't be an organization id; use 1 to 63 letters, digits, '-', '_' or '.'")]
    Text(String),
    /// Ids are of another type here.
    #[error("{id:?} can't be an organization id here: organizations have ids of type {}, such as {example}", .org_type.name())]
    Type {
        /// What was given.
        id: String,
        /// The type of the mapping.
        org_type: KeyType,
        /// One of that type.
        example: &'static str,
    },
}

impl OrgId {
    /// Checks `id`.
    ///
    /// # Errors
    /// When it is empty, longer than 63 bytes, or holds anything but ASCII letters, digits, `-`, `_`, `.`.
    pub fn new(id: &str) -> Result<Self, OrgIdError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 63 || !id.chars().all(fits) {
            return Err(OrgIdError::Text(id.to_owned()));
        }
        Ok(Self(id.to_owned()))
    }

    /// Checks `id` as one of `org_type`, and gives it the one form that the database prints it in.
    ///
    /// # Errors
    /// When it is no value of that type.
    pub fn of(org_type: KeyType, id: &str) -> Result<Self, OrgIdError> {
        let wrong = |example| OrgIdError::Type { id: id.to_owned(), org_type, example };
        match org_type {
            KeyType::Text => Self::new(id),
            KeyType::Uuid => match id.parse::<Uuid>() {
                Ok(uuid) => Ok(Self(uuid.hyphenated().to_string())),
                Err(_) => Err(wrong("0193f3b4-5c1a-7000-8000-2f0e5d8c4b6a")),
            },
            KeyType::Bigint | KeyType::Integer | KeyType::Smallint => match id.parse::<i64>() {
                Ok(number) if number > 0 => Ok(Self(number.to_string())),
                _ => Err(wrong("42")),
            },
        }
    }

    /// Makes an id that sorts by the time of its making: `org-` and a ULID in lower case, or a UUID of version 7.
    /// None for numbers, which the table's sequence gives.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate(org_type: KeyType) -> Result<Option<Self>, RandomError> {
        let mut random = [0; 16];
        fill_random(&mut random)?;
        // A clock before 1970 gives ids that sort first.
        let now_ms = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        let [.., a, b, c, d, e, f, g, h, i, j] = random;
        Ok(match org_type {
            KeyType::Text => {
                let ulid = ulid::Ulid::from_parts(now_ms, u128::from_be_bytes(random));
                Some(Self(format!("org-{}", ulid.to_string().to_ascii_lowercase())))
            }
            KeyType::Uuid => {
                let bytes = [a, b, c, d, e, f, g, h, i, j];
                let uuid = uuid::Builder::from_unix_timestamp_millis(now_ms, &bytes).into_uuid();
                Some(Self(uuid.hyphenated().to_string()))
            }
            KeyType::Bigint | KeyType::Integer | KeyType::Smallint => None,
        })
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

impl Serialize for OrgId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_hold_and_sort_by_their_time() {
        for (org_type, length, time) in [(KeyType::Text, 30, 4..14), (KeyType::Uuid, 36, 0..13)] {
            let first = OrgId::generate(org_type).unwrap().unwrap();
            assert_eq!(first.as_str().len(), length);
            assert_eq!(OrgId::of(org_type, first.as_str()), Ok(first.clone()));
            let second = OrgId::generate(org_type).unwrap().unwrap();
            assert!(first.as_str()[time.clone()] <= second.as_str()[time]);
            assert_ne!(first, second);
        }
        assert_eq!(OrgId::generate(KeyType::Bigint), Ok(None));
    }

    #[test]
    fn ids_have_the_form_that_the_database_prints() {
        let of = |org_type, id| OrgId::of(org_type, id).map(|id| id.as_str().to_owned());
        let uuid = "0193f3b4-5c1a-7000-8000-2f0e5d8c4b6a";
        assert_eq!(of(KeyType::Uuid, "0193F3B4-5C1A-7000-8000-2F0E5D8C4B6A").as_deref(), Ok(uuid));
        assert_eq!(of(KeyType::Bigint, "0042").as_deref(), Ok("42"));
        for (org_type, id) in [(KeyType::Uuid, "acme"), (KeyType::Bigint, "acme"), (KeyType::Bigint, "0")] {
            let error = OrgId::of(org_type, id).unwrap_err().to_string();
            assert!(error.contains(org_type.name()), "{error}");
        }
    }
}
