//! Organizations: creating and listing them.

pub mod file;
mod listing;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{
    Settings, TenancyError,
    api_key::ApiKey,
    global_keys,
    keys::{self, Description, Span},
    named::{self, NewNames},
    require, schema,
    subdomain::Subdomain,
};
use crate::{
    Error, Task, catalog,
    db::{Context as _, Db, DbError, sqlstate},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    org_id::check_name,
    report::{Outcome, Report},
    rows::public::organizations,
    settings::Secret,
    sql::{Fixed, Ident, QualifiedName},
    timestamp::Timestamp,
};

pub use listing::{OrgList, OrgSummary, list};

/// The command, as its records name it.
const COMMAND: &str = "org-create";

/// How many numbers of the sequence are tried, when some were taken by `--id` before it came to them.
const NUMBERS_MAX: u32 = 1000;

/// What is asked for; [`check`](Self::check) makes it what can be created.
#[derive(Debug)]
pub struct Request {
    /// The id; without one, one is made.
    pub id: Option<OrgId>,
    /// The name that people see.
    pub name: String,
    /// The subdomain, if it is to have one.
    pub subdomain: Option<String>,
    /// The API key; without one, one is made.
    pub api_key: Option<Secret>,
    /// After how long the key ends; without one, never.
    pub expires: Option<Span>,
    /// What people call the key.
    pub label: Option<String>,
    /// What the application lets the key do.
    pub scopes: Option<String>,
    /// Whether it can be used at once.
    pub is_active: bool,
}

/// An organization that holds every rule and is not in the database yet.
#[derive(Debug)]
pub struct NewOrganization {
    /// None where the database gives the next number.
    id: Option<OrgId>,
    name: String,
    subdomain: Option<Subdomain>,
    /// None where it gets no key.
    key: Option<NewKey>,
    is_active: bool,
    /// How many days a subdomain that another one gave up is held back.
    hold_days: u16,
}

/// A key that is not in the database yet.
#[derive(Debug)]
struct NewKey {
    key: ApiKey,
    is_generated: bool,
    expires: Option<Span>,
    description: Description,
}

impl NewKey {
    /// What a report shows of it: its id, and the key itself where it was made here.
    fn shown(self) -> (String, Option<ApiKey>) {
        (self.key.id(), self.is_generated.then_some(self.key))
    }
}

impl Request {
    /// Checks every part, and makes the id and the key where none is given.
    ///
    /// # Errors
    /// [`TenancyError`] for the first part that does not hold.
    pub fn check(self, mapping: &Mapping, settings: &Settings) -> Result<NewOrganization, TenancyError> {
        let name = check_name(&self.name)?;
        let org_type = mapping.org_type();
        let reserved = &settings.reserved_subdomains;
        let subdomain = self.subdomain.map(|label| Subdomain::new(&label, reserved)).transpose()?;
        let (key, is_generated) = ApiKey::new(self.api_key.as_ref())?;
        let expires = keys::check_expiry(self.expires)?;
        let description = Description::new(self.label.as_deref(), self.scopes.as_deref())?;
        let id = match self.id {
            Some(id) => Some(OrgId::of(org_type, id.as_str())?),
            None => OrgId::generate(org_type)?,
        };
        Ok(NewOrganization {
            id,
            name: name.to_owned(),
            subdomain,
            key: Some(NewKey { key, is_generated, expires, description }),
            is_active: self.is_active,
            hold_days: settings.hold_days,
        })
    }
}

/// An organization that was created. The only value that shows a key, once.
#[derive(Debug, Serialize)]
pub struct OrgCreated {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Its subdomain.
    pub subdomain: Option<Subdomain>,
    /// Whether it can be used.
    pub is_active: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// What names its API key.
    pub api_key_id: Option<String>,
    /// The API key, where it was made here: it can't be shown again.
    #[serde(serialize_with = "in_the_clear")]
    pub api_key: Option<ApiKey>,
    /// When the key ends; none where it does not.
    pub api_key_expires_at: Option<DateTime<Utc>>,
    /// What people call the key.
    pub api_key_label: Option<String>,
    /// What the application lets the key do.
    pub api_key_scopes: Option<String>,
    /// The record of it in `stockfoil.run`.
    pub run_id: RunId,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for OrgCreated {
    const SCHEMA: &'static str = "stockfoil.org-create/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }

    fn shows_keys(&self) -> bool {
        self.api_key.is_some()
    }
}

/// Creates `new` with its API key, in one transaction.
///
/// # Errors
/// [`TenancyError::NotMigrated`] before `migrate-org`; [`TenancyError::SubdomainTaken`], [`TenancyError::IdTaken`] and
/// [`TenancyError::ApiKeyTaken`] when another organization was first; [`TenancyError::SubdomainIsId`] and
/// [`TenancyError::IdIsSubdomain`] when a flag that names it would name another one too.
pub fn create<'a>(db: &'a Db, mapping: &'a Mapping, new: NewOrganization) -> Task<'a, OrgCreated> {
    Box::pin(async move {
        db.require_writable()?;
        let model = &mapping.resolve(db).await?;
        require(db, model, &[]).await?;
        // What another has committed while this one waited for the names must be seen.
        let mut tx = db.pool().begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        named::hold_names(&mut tx).await?;
        let Put { id, created_at, api_key_expires_at, run_id } =
            put(&mut tx, model, &db.facts().role, &new).await?;
        let mut warnings: Vec<String> =
            new.key.as_ref().and_then(|new| new.key.weakness()).into_iter().collect();
        warnings.extend(self::warnings(&mut tx, model).await?);
        tx.commit().await.context("create the organization")?;
        let description = new.key.as_ref().map(|key| key.description.clone()).unwrap_or_default();
        let (api_key_id, api_key) = new.key.map(NewKey::shown).unzip();
        Ok(OrgCreated {
            id,
            name: new.name,
            subdomain: new.subdomain,
            is_active: new.is_active,
            created_at,
            api_key_id,
            api_key: api_key.flatten(),
            api_key_expires_at,
            api_key_label: description.label,
            api_key_scopes: description.scopes,
            run_id,
            warnings,
        })
    })
}

/// What the database says of a new organization.
struct Put {
    id: OrgId,
    created_at: DateTime<Utc>,
    api_key_expires_at: Option<DateTime<Utc>>,
    run_id: RunId,
}

/// Puts `new` into the database with its key and its record, in the transaction that holds the names.
async fn put(
    connection: &mut PgConnection,
    model: &Model,
    role: &str,
    new: &NewOrganization,
) -> Result<Put, Error> {
    let run_id = history::start(connection, COMMAND).await?;
    let (id, created_at) = insert(connection, model, new).await?;
    named::refuse_same(connection, model, &id, NewNames::Both).await?;
    if let Some(subdomain) = &new.subdomain {
        named::refuse_held(connection, &id, subdomain.as_str(), new.hold_days).await?;
    }
    let mut api_key_expires_at = None;
    if let Some(NewKey { key, expires, description, .. }) = &new.key {
        let refused = |error| key_taken(error, model, "create the organization's API key");
        api_key_expires_at =
            keys::insert(connection, model, &id, key, (*expires, description), refused).await?;
    }
    let key = new.key.as_ref();
    let record = json!({
        "org_id": id, "role": role, "name": new.name, "subdomain": new.subdomain, "is_active": new.is_active,
        "api_key_id": key.map(|new| new.key.id()), "label": key.and_then(|new| new.description.label.as_ref()),
        "scopes": key.and_then(|new| new.description.scopes.as_ref()),
    });
    history::end(connection, run_id, Outcome::Clean, &record).await?;
    Ok(Put { id, created_at, api_key_expires_at, run_id })
}

/// Inserts the row of `new`. A number that the sequence gives and somebody took by `--id` is passed over.
async fn insert(
    connection: &mut PgConnection,
    model: &Model,
    new: &NewOrganization,
) -> Result<(OrgId, DateTime<Utc>), Error> {
    let new_id = schema::new_id(model);
    let organization = model.render_with(include_str!("insert_organization.sql"), &[("new_id", &new_id)]);
    for _ in 0..NUMBERS_MAX {
        let mut attempt = connection.begin().await.context("create the organization")?;
        let inserted: Result<(OrgId, DateTime<Utc>), _> = sqlx::query_as(organization.sql())
            .bind(&new.id)
            .bind(&new.name)
            .bind(new.subdomain.as_ref().map(Subdomain::as_str))
            .bind(new.is_active)
            .fetch_one(&mut *attempt)
            .await
            .map_err(|error| taken(error, model, new));
        match inserted {
            Ok(inserted) => {
                attempt.commit().await.context("create the organization")?;
                return Ok(inserted);
            }
            Err(Taken::Other(error)) => return Err(error),
            Err(Taken::Number) => {
                attempt.rollback().await.context("create the organization")?;
                log::info!("the next number is an organization's id already; taking the one after it");
            }
        }
    }
    Err(TenancyError::NumbersTaken(model.organizations.plain()).into())
}

/// What keeps organizations from using the same values.
async fn warnings(connection: &mut PgConnection, model: &Model) -> Result<Vec<String>, Error> {
    let mut warnings: Vec<String> = old_keys_warning(connection, model).await?.into_iter().collect();
    let (keys, _) = global_keys::unknown(connection, model).await?;
    warnings.extend(keys.iter().map(ToString::to_string));
    Ok(warnings)
}

/// The organization `id`, if there is one.
pub(super) async fn find(
    connection: &mut PgConnection,
    model: &Model,
    id: &OrgId,
) -> Result<Option<Stored>, DbError> {
    select(connection, model, id, Fixed("")).await
}

/// The organization `id`, if there is one; held against other changes until the transaction ends.
pub(super) async fn find_and_lock(
    connection: &mut PgConnection,
    model: &Model,
    id: &OrgId,
) -> Result<Option<Stored>, DbError> {
    select(connection, model, id, Fixed("FOR NO KEY UPDATE")).await
}

async fn select(
    connection: &mut PgConnection,
    model: &Model,
    id: &OrgId,
    lock: Fixed,
) -> Result<Option<Stored>, DbError> {
    let statement = model.render_with(
        include_str!("select_organization.sql"),
        &[("organizations.columns", &Fixed(organizations::COLUMNS)), ("lock", &lock)],
    );
    sqlx::query_as(statement.sql())
        .bind(id)
        .fetch_optional(connection)
        .await
        .context("look for the organization")
}

/// An organization's row. Its table is among the application's, which may write any time into it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Stored {
    pub(super) id: OrgId,
    pub(super) name: String,
    pub(super) subdomain: Option<String>,
    pub(super) is_active: bool,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// Why an organization could not be inserted.
enum Taken {
    /// The number that the sequence gave is an organization's id already.
    Number,
    /// Anything else.
    Other(Error),
}

/// Says which unique key another organization was faster with.
fn taken(error: sqlx::Error, model: &Model, new: &NewOrganization) -> Taken {
    Taken::Other(match (&new.subdomain, &new.id) {
        (Some(subdomain), _) if breaks(&error, &model.organizations, &["subdomain"]) => {
            TenancyError::SubdomainTaken(subdomain.to_string()).into()
        }
        (_, Some(id)) if breaks(&error, &model.organizations, &["pkey"]) => {
            TenancyError::IdTaken(id.clone()).into()
        }
        (_, None) if breaks(&error, &model.organizations, &["pkey"]) => return Taken::Number,
        _ => DbError::Statement { context: "create the organization".into(), cause: error }.into(),
    })
}

/// Says that a key is in use, where that is why it could not be added.
pub(super) fn key_taken(error: sqlx::Error, model: &Model, context: &str) -> Error {
    match breaks(&error, &model.api_keys, &[]) {
        true => TenancyError::ApiKeyTaken.into(),
        false => DbError::Statement { context: context.into(), cause: error }.into(),
    }
}

/// Whether `error` says that a unique key of `table` was broken, whose name goes on with `parts`. Matched by the
/// beginning of the constraint's name: a distributed table's shards put a number behind it.
pub(super) fn breaks(error: &sqlx::Error, table: &QualifiedName, parts: &[&str]) -> bool {
    let name = Ident::joined(&[&[table.name.as_str()], parts].concat());
    sqlstate(error).as_deref() == Some("23505")
        && error
            .as_database_error()
            .and_then(|error| error.constraint())
            .is_some_and(|broken| broken.starts_with(name.as_str()))
}

/// While a key is unique across organizations, one organization's value keeps another from using it.
async fn old_keys_warning(connection: &mut PgConnection, model: &Model) -> Result<Option<String>, Error> {
    let mut old = Vec::new();
    for table in &model.tenant_tables {
        let keys = catalog::unique_keys(connection, table).await?;
        let old_keys = keys.iter().filter(|key| !key.has_column(&model.org_column));
        old.extend(old_keys.map(|key| format!("{} on {}", key.name.as_str(), table.plain())));
    }
    Ok((!old.is_empty()).then(|| {
        format!(
            "two organizations can't use the same values while these keys are unique across organizations: {}; let the application name the organization in ON CONFLICT, then run migrate-org --contract",
            old.join(", ")
        )
    }))
}

pub(super) fn in_the_clear<S: Serializer>(key: &Option<ApiKey>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(ApiKey::expose).serialize(serializer)
}
