//! Organizations: their ids, names, keys and people.

pub mod api_key;
mod condition;
pub mod data;
pub(crate) mod default_organization;
pub mod email_pattern;
pub mod ending;
pub(crate) mod global_keys;
pub mod keys;
pub mod life;
pub mod lines;
pub mod merge;
mod moves;
pub mod named;
pub mod organization;
mod people;
pub mod resolution;
pub mod schema;
pub mod subdomain;
mod unique;
pub mod update;
pub mod usage;
pub mod users;

use crate::{
    Error, Failure, catalog,
    db::{Context as _, Db},
    model::Model,
    org_id::{OrgId, OrgIdError, OrgNameError, RandomError},
    sql::QualifiedName,
    timestamp::Timestamp,
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
    #[error(transparent)]
    Name(#[from] OrgNameError),
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
    /// Another organization had the subdomain a short while ago.
    #[error(
        "the subdomain {subdomain:?} was organization {org}'s until {released}, and is held back for {days} days, since links and mail may still go there; choose another one, or lower [tenancy] hold_days"
    )]
    SubdomainHeld {
        /// The subdomain.
        subdomain: String,
        /// Whose it was.
        org: String,
        /// When that one gave it up.
        released: Timestamp,
        /// How long it is held back.
        days: u16,
    },
    /// The id and another organization's differ in the case of their letters alone.
    #[error(
        "the id {id:?} differs from that of organization {other} ({other_name:?}) in the case of its letters alone; choose another id, or leave --id out to have one made"
    )]
    IdDiffersInCase {
        /// The id.
        id: String,
        /// The other one.
        other: OrgId,
        /// The name of that one.
        other_name: String,
    },
    /// The subdomain is another organization's id, by which flags name that one.
    #[error(
        "the subdomain {subdomain:?} is the id of organization {other} ({other_name:?}), and flags that name an organization take either; choose another subdomain"
    )]
    SubdomainIsId {
        /// The subdomain.
        subdomain: String,
        /// Whose id it is.
        other: OrgId,
        /// The name of that one.
        other_name: String,
    },
    /// The id is another organization's subdomain, by which flags name that one.
    #[error(
        "the id {id:?} is the subdomain of organization {other} ({other_name:?}), and flags that name an organization take either; choose another id, or leave --id out to have one made"
    )]
    IdIsSubdomain {
        /// The id.
        id: String,
        /// Whose subdomain it is.
        other: OrgId,
        /// The name of that one.
        other_name: String,
    },
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
        "say what to change: --name, --subdomain, --no-subdomain, --activate, --deactivate, --rotate-key, --add-key, --revoke-key, --key; or --list-keys"
    )]
    NothingAsked,
    /// A flag is of a new key, and none is asked for.
    #[error("{0} needs {1}; leave it out, or say that there is to be a new key")]
    NoNewKey(&'static str, &'static str),
    /// A file of many at once is none.
    #[error(transparent)]
    Lines(#[from] lines::LinesError),
    /// What is said of a key can't be kept.
    #[error(
        "{text:?} can't be the {what} of an API key; give 1 to {length_max} characters on one line, none of them invisible or a change of direction"
    )]
    KeyText {
        /// The label, or the scopes.
        what: &'static str,
        /// What was given.
        text: String,
        /// How many characters it may have.
        length_max: usize,
    },
    /// The keys' table is of an earlier release.
    #[error(
        "table {0} has no columns label and scopes yet; run migrate-org first, or say nothing of what the key is for"
    )]
    NoKeyTexts(String),
    /// A new key would have to be for two things.
    #[error(
        "the API keys of organization {0} have different scopes; say by --scopes what the new one is for, or use --add-key and --revoke-key"
    )]
    ScopesDiffer(OrgId),
    /// A key is named, and nothing is said of it.
    #[error("--key says which API key is described; give --label or --scopes with it")]
    NothingSaid,
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
    #[error("say where the users move to by --org-id or in a file (--file), or take a run back by --undo")]
    NoOrganization,
    /// Nobody, or more than one group, is selected.
    #[error("say whom to move by exactly one of --user-id (repeatable), --email-pattern and --all")]
    Selector,
    /// The database has no users.
    #[error(
        "the mapping says that there are no users (tenancy.users = false); name their table in stockfoil.toml first"
    )]
    NoUsers,
    /// People are in several organizations.
    #[error(
        "who is in which organization is said by table {0} ([tenancy.memberships]), and no user is moved; insert or delete rows there, or give some to another organization: data-assign --rows '{0} where ...'"
    )]
    Members(String),
    /// Nobody is called so.
    #[error("there is no organization with the id or subdomain {name:?}; {}org-list shows those that there are", .near.as_ref().map_or_else(String::new, |near| format!("did you mean {near:?}? ")))]
    NobodysName {
        /// What was given.
        name: String,
        /// The nearest id or subdomain that there is.
        near: Option<String>,
    },
    /// One organization's id is another's subdomain.
    #[error(
        "{name:?} is the id of organization {first}, and the subdomain of organization {other} ({other_name:?}); name the one by its own subdomain and the other by its id, or give the other another subdomain (org-update --org-id {other} --subdomain LABEL)"
    )]
    TwoOfOneName {
        /// What was given.
        name: String,
        /// Whose id it is, in words.
        first: String,
        /// Whose subdomain it is.
        other: OrgId,
        /// The name of that one.
        other_name: String,
    },
    /// There is no such organization.
    #[error("there is no organization {:?}; org-list shows those that there are", .0.as_str())]
    UnknownOrganization(OrgId),
    /// The command was told of another default organization than the database's.
    #[error(
        "the default organization of database {database:?} is {known:?}, and not {:?} as DEFAULT_ORG_ID or [tenancy] default_org_id says or leaves out; nothing was changed: give {known:?} there, or let migrate-org --accept default-organization make the other one the default", .given.as_str()
    )]
    OtherDefault {
        /// The database.
        database: String,
        /// The database's default organization.
        known: String,
        /// The command's.
        given: OrgId,
    },
    /// There are no such users.
    #[error("there is no user {}; nothing was changed, correct --user-id", listed(.0))]
    UnknownUsers(Vec<String>),
    /// Rows can't be given to an organization, or put back.
    #[error(transparent)]
    Data(moves::DataError),
    /// An organization can't be written to a file, deleted, or brought in.
    #[error(transparent)]
    Life(#[from] life::LifeError),
    /// A foreign key does not let users leave what refers to them.
    #[error(
        "{rows} refer to users of this selection within their organization, so those can't leave it; nothing was changed, move these rows with them (--with-rows), set the column that refers to NULL in them, or leave those users out"
    )]
    UsersReferred {
        /// The rows that refer, by their foreign keys.
        rows: String,
    },
    /// Users who move with their rows come out of several organizations.
    #[error("--with-rows takes users from one organization; name it by one --from")]
    OneOrigin,
    /// Users who were asked for by name are another organization's.
    #[error("organization {from} has no user {}; nothing was changed, name the organization that has them by --from", listed(.ids))]
    UsersElsewhere {
        /// The organization that gives.
        from: OrgId,
        /// The users.
        ids: Vec<String>,
    },
    /// Several users have an id that was given.
    #[error("several users have the id {}; nothing was changed, select them by --email-pattern", listed(.0))]
    AmbiguousUsers(Vec<String>),
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
            Self::Life(error) => error.failure(),
            Self::NotMigrated { .. }
            | Self::UsersReferred { .. }
            | Self::NotAsWritten(_)
            | Self::NoKeyTexts(_)
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
            | Self::SubdomainHeld { .. }
            | Self::IdDiffersInCase { .. }
            | Self::SubdomainIsId { .. }
            | Self::IdIsSubdomain { .. }
            | Self::IdTaken(_)
            | Self::ApiKeyTaken
            | Self::UnknownKeys { .. }
            | Self::NothingAsked
            | Self::NoNewKey(..)
            | Self::Lines(_)
            | Self::KeyText { .. }
            | Self::ScopesDiffer(_)
            | Self::NothingSaid
            | Self::ExpiresAtOnce
            | Self::Selector
            | Self::NoOrganization
            | Self::NoUsers
            | Self::OneOrigin
            | Self::UsersElsewhere { .. }
            | Self::Members(_)
            | Self::OrgId(_)
            | Self::OtherDefault { .. }
            | Self::UnknownOrganization(_)
            | Self::NobodysName { .. }
            | Self::TwoOfOneName { .. }
            | Self::AmbiguousUsers(_)
            | Self::UnknownUsers(_) => Failure::Usage,
        }
    }
}

/// How long a subdomain that was given up is held back unless the configuration says otherwise.
pub(crate) const HOLD_DAYS: u16 = 90;

/// `[tenancy]`, beside what the mapping takes of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The id of the organization that existing rows are given to (`DEFAULT_ORG_ID`), of the mapping's type.
    pub default_org_id: String,
    /// Its name.
    pub default_org_name: String,
    /// Subdomains that no organization may take, beside the built-in ones.
    pub reserved_subdomains: Vec<String>,
    /// How many days no other organization may take a subdomain that one has given up.
    pub hold_days: u16,
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
    let missing: Option<String> = sqlx::query_scalar(include_str!("tenancy/required.sql"))
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
    match catalog::is_there(&mut *db.acquire().await?, "stockfoil.move").await? {
        true => Ok(()),
        false => {
            let missing = "table stockfoil.move".to_owned();
            Err(TenancyError::NotMigrated { database: db.facts().database.clone(), missing }.into())
        }
    }
}
