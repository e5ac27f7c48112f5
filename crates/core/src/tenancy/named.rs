//! An organization as people name it: by its id or by its subdomain.

use std::str::FromStr;

use sqlx::PgConnection;

use super::{TenancyError, require};
use crate::{
    Task,
    db::{Context as _, Db, DbError},
    ledger::BalanceKey,
    mapping::Mapping,
    model::Model,
    org_id::{OrgId, OrgIdError},
    settings::nearest,
    timestamp::Timestamp,
};

/// The advisory lock under which organizations are named.
const NAMES_LOCK_KEY: i64 = 0x7374_6f63_6e61_6d65;

/// What a flag such as `--org-id` holds: an organization's id, or its subdomain in letters of any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgName(String);

impl FromStr for OrgName {
    type Err = OrgIdError;

    /// # Errors
    /// When `text` can be neither, whatever organizations there are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Every subdomain could be an id of type text as well.
        OrgId::new(text).map_err(|_| OrgIdError::Name(text.to_owned()))?;
        Ok(Self(text.to_owned()))
    }
}

impl OrgName {
    /// What was given.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ids of the organizations that are named, each once, in the order in which they are.
///
/// # Errors
/// [`TenancyError::NobodysName`] where there is none, and [`TenancyError::TwoOfOneName`] where the text is one's id and
/// another's subdomain; [`TenancyError::NotMigrated`] before `migrate-org`. Nothing is looked at where nothing is named.
pub fn resolve<'a>(db: &'a Db, mapping: &'a Mapping, names: &'a [OrgName]) -> Task<'a, Vec<OrgId>> {
    Box::pin(async move {
        let mut ids = Vec::new();
        if names.is_empty() {
            return Ok(ids);
        }
        let model = &mapping.resolve(db).await?;
        require(db, model, &[]).await?;
        let mut session = db.acquire().await?;
        for name in names {
            let id = look(&mut session, model, name).await?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    })
}

/// The id of the one organization that is named.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_one<'a>(db: &'a Db, mapping: &'a Mapping, name: &'a OrgName) -> Task<'a, OrgId> {
    Box::pin(async move {
        let mut ids = resolve(db, mapping, std::slice::from_ref(name)).await?;
        // One name that was resolved is one id.
        ids.pop().ok_or_else(|| TenancyError::NobodysName { name: name.0.clone(), near: None }.into())
    })
}

/// The id of the organization that is named, in a transaction.
///
/// # Errors
/// As [`resolve`].
pub(super) async fn look(
    connection: &mut PgConnection,
    model: &Model,
    OrgName(name): &OrgName,
) -> Result<OrgId, crate::Error> {
    match find(connection, model, name).await?.as_slice() {
        [] => Err(nobodys(connection, model, name).await?.into()),
        [one] => Ok(one.id.clone()),
        [first, second, ..] => Err(two(name, first, second).into()),
    }
}

/// Which names of an organization are new, and so must lead to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewNames {
    /// Its id and its subdomain.
    Both,
    /// Its subdomain.
    Subdomain,
}

/// Keeps other commands from giving organizations names until the transaction ends: an id and a subdomain are not held apart by
/// a unique key.
pub(super) async fn hold_names(connection: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(NAMES_LOCK_KEY)
        .execute(connection)
        .await
        .context("wait for others that name organizations")?;
    Ok(())
}

/// Refuses that organization `id`, as this transaction has written it, has a subdomain that is another's id, or an id that is
/// another's subdomain. The names are held.
///
/// # Errors
/// [`TenancyError::SubdomainIsId`] and [`TenancyError::IdIsSubdomain`].
pub(super) async fn refuse_same(
    connection: &mut PgConnection,
    model: &Model,
    id: &OrgId,
    new: NewNames,
) -> Result<(), crate::Error> {
    let same: Option<(String, bool, OrgId, String)> =
        sqlx::query_as(model.render(include_str!("same_name.sql")).sql())
            .bind(id)
            .bind(model.org_type.name())
            .bind(new == NewNames::Both)
            .fetch_optional(&mut *connection)
            .await
            .context("look whether the organization's names are another's")?;
    match same {
        // A new id is alone in any letters.
        None if new == NewNames::Both => refuse_same_but_for_case(connection, model, id).await,
        None => Ok(()),
        Some((id, true, other, other_name)) => {
            Err(TenancyError::IdIsSubdomain { id, other, other_name }.into())
        }
        Some((subdomain, false, other, other_name)) => {
            Err(TenancyError::SubdomainIsId { subdomain, other, other_name }.into())
        }
    }
}

/// Refuses a subdomain that another organization than `id` gave up less than `days` days ago, as the records tell.
///
/// # Errors
/// [`TenancyError::SubdomainHeld`].
pub(super) async fn refuse_held(
    connection: &mut PgConnection,
    id: &OrgId,
    subdomain: &str,
    days: u16,
) -> Result<(), crate::Error> {
    let held: Option<(String, Timestamp)> = sqlx::query_as(include_str!("held.sql"))
        .bind(subdomain)
        .bind(id)
        .bind(i32::from(days))
        .fetch_optional(connection)
        .await
        .context("look whether the subdomain is held back")?;
    match held {
        None => Ok(()),
        Some((org, released)) => {
            Err(TenancyError::SubdomainHeld { subdomain: subdomain.to_owned(), org, released, days }.into())
        }
    }
}

/// Refuses that organization `id`, as this transaction has written it, has an id that is another's but for the case of letters.
/// The names are held.
///
/// # Errors
/// [`TenancyError::IdDiffersInCase`].
async fn refuse_same_but_for_case(
    connection: &mut PgConnection,
    model: &Model,
    id: &OrgId,
) -> Result<(), crate::Error> {
    let same: Option<(OrgId, String)> = sqlx::query_as(model.render(include_str!("same_but_case.sql")).sql())
        .bind(id)
        .fetch_optional(connection)
        .await
        .context("look whether the organization's id is another's")?;
    match same {
        None => Ok(()),
        Some((other, other_name)) => {
            Err(TenancyError::IdDiffersInCase { id: id.to_string(), other, other_name }.into())
        }
    }
}

/// `key` with the id of its organization, which may be named by its subdomain. An id goes before another's subdomain:
/// keys are printed with ids, and must lead back to what they were printed for.
///
/// # Errors
/// [`TenancyError::NobodysName`].
pub(crate) async fn with_id(
    connection: &mut PgConnection,
    model: &Model,
    key: &BalanceKey,
) -> Result<BalanceKey, crate::Error> {
    let name = key.org_id.as_str();
    match find(connection, model, name).await?.into_iter().next() {
        Some(found) => Ok(BalanceKey { org_id: found.id, ..key.clone() }),
        None => Err(nobodys(connection, model, name).await?.into()),
    }
}

#[derive(sqlx::FromRow)]
struct Found {
    id: OrgId,
    name: String,
    subdomain: Option<String>,
    has_id: bool,
}

/// Whom `name` names: whose id it is first, then whose subdomain.
async fn find(connection: &mut PgConnection, model: &Model, name: &str) -> Result<Vec<Found>, DbError> {
    let found: Vec<Found> = sqlx::query_as(model.render(include_str!("find_named.sql")).sql())
        .bind(OrgId::of(model.org_type, name).ok())
        .bind(name.to_ascii_lowercase())
        .fetch_all(connection)
        .await
        .context("look for the organization")?;
    Ok(found)
}

async fn nobodys(connection: &mut PgConnection, model: &Model, name: &str) -> Result<TenancyError, DbError> {
    let statement =
        model.render("SELECT id::text FROM {organizations} UNION ALL SELECT subdomain FROM {organizations} WHERE subdomain IS NOT NULL");
    let known: Vec<String> = sqlx::query_scalar(statement.sql())
        .fetch_all(connection)
        .await
        .context("list what organizations are called")?;
    let near = nearest(&name.to_ascii_lowercase(), known.iter().map(String::as_str)).map(str::to_owned);
    Ok(TenancyError::NobodysName { name: name.to_owned(), near })
}

fn two(name: &str, by_id: &Found, by_subdomain: &Found) -> TenancyError {
    let Found { id, name: own_name, subdomain, .. } = by_id;
    let first = match (by_id.has_id, subdomain) {
        (true, Some(subdomain)) => format!("{id} ({own_name:?}), whose subdomain is {subdomain:?}"),
        (true, None) => format!("{id} ({own_name:?}), which has no subdomain"),
        (false, _) => format!("{id} ({own_name:?})"),
    };
    TenancyError::TwoOfOneName {
        name: name.to_owned(),
        first,
        other: by_subdomain.id.clone(),
        other_name: by_subdomain.name.clone(),
    }
}
