//! Organizations: creating and listing them.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    Settings, TenancyError,
    api_key::ApiKey,
    global_keys,
    keys::{self, Span},
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
    report::{Metric, Outcome, Report},
    rows::public::organizations,
    settings::Secret,
    sql::{Fixed, Fragment, Ident, QualifiedName, Statement, render},
    timestamp::Timestamp,
};

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
    api_key: ApiKey,
    is_generated_key: bool,
    expires: Option<Span>,
    is_active: bool,
    /// How many days a subdomain that another one gave up is held back.
    hold_days: u16,
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
        let (api_key, is_generated_key) = ApiKey::new(self.api_key.as_ref())?;
        let expires = keys::check_expiry(self.expires)?;
        let id = match self.id {
            Some(id) => Some(OrgId::of(org_type, id.as_str())?),
            None => OrgId::generate(org_type)?,
        };
        Ok(NewOrganization {
            id,
            name: name.to_owned(),
            subdomain,
            api_key,
            is_generated_key,
            expires,
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
    pub api_key_id: String,
    /// The API key, where it was made here: it can't be shown again.
    #[serde(serialize_with = "in_the_clear")]
    pub api_key: Option<ApiKey>,
    /// When the key ends; none where it does not.
    pub api_key_expires_at: Option<DateTime<Utc>>,
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
        for _ in 0..NUMBERS_MAX {
            match insert(db, model, &new).await? {
                Some(Inserted { id, created_at, api_key_expires_at, run_id, warnings }) => {
                    return Ok(OrgCreated {
                        id,
                        name: new.name,
                        subdomain: new.subdomain,
                        is_active: new.is_active,
                        created_at,
                        api_key_id: new.api_key.id(),
                        api_key: new.is_generated_key.then_some(new.api_key),
                        api_key_expires_at,
                        run_id,
                        warnings,
                    });
                }
                None => {
                    log::info!("the next number is an organization's id already; taking the one after it")
                }
            }
        }
        Err(TenancyError::NumbersTaken(model.organizations.plain()).into())
    })
}

/// What the database says of a new organization.
struct Inserted {
    id: OrgId,
    created_at: DateTime<Utc>,
    api_key_expires_at: Option<DateTime<Utc>>,
    run_id: RunId,
    warnings: Vec<String>,
}

/// Inserts `new` with its key and its record; none when the sequence gave a number that somebody took by `--id`.
async fn insert(db: &Db, model: &Model, new: &NewOrganization) -> Result<Option<Inserted>, Error> {
    // What another has committed while this one waited for the names must be seen.
    let mut tx = db.pool().begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let run_id = history::start(&mut tx, COMMAND).await?;
    named::hold_names(&mut tx).await?;
    let id = schema::new_id(model);
    let organization = model.render_with(include_str!("insert_organization.sql"), &[("new_id", &id)]);
    let inserted: Result<(OrgId, DateTime<Utc>), _> = sqlx::query_as(organization.sql())
        .bind(&new.id)
        .bind(&new.name)
        .bind(new.subdomain.as_ref().map(Subdomain::as_str))
        .bind(new.is_active)
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| taken(error, model, new));
    let (id, created_at) = match inserted {
        Err(Taken::Number) => return Ok(None),
        Err(Taken::Other(error)) => return Err(error),
        Ok(inserted) => inserted,
    };
    named::refuse_same(&mut tx, model, &id, NewNames::Both).await?;
    named::refuse_same_but_for_case(&mut tx, model, &id).await?;
    if let Some(subdomain) = &new.subdomain {
        named::refuse_held(&mut tx, &id, subdomain.as_str(), new.hold_days).await?;
    }
    let api_key_expires_at = keys::insert(&mut tx, model, &id, &new.api_key, new.expires, |error| {
        key_taken(error, model, "create the organization's API key")
    })
    .await?;
    let mut warnings: Vec<String> = new.api_key.weakness().into_iter().collect();
    warnings.extend(old_keys_warning(&mut tx, model).await?);
    let (keys, _) = global_keys::unknown(&mut tx, model).await?;
    warnings.extend(keys.iter().map(ToString::to_string));
    let record = json!({
        "org_id": id, "role": db.facts().role, "name": new.name, "subdomain": new.subdomain, "is_active": new.is_active,
        "api_key_id": new.api_key.id(),
    });
    history::end(&mut tx, run_id, Outcome::Clean, &record).await?;
    tx.commit().await.context("create the organization")?;
    Ok(Some(Inserted { id, created_at, api_key_expires_at, run_id, warnings }))
}

/// An organization with what belongs to it.
#[derive(Debug, Serialize)]
pub struct OrgSummary {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Its subdomain.
    pub subdomain: Option<String>,
    /// Whether it can be used.
    pub is_active: bool,
    /// How many users it has; none where the database has no table of them.
    pub users: Option<i64>,
    /// How many items it has; none where the database has no table of them.
    pub items: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The organizations, the oldest first.
#[derive(Debug, Serialize)]
pub struct OrgList {
    /// Whether only active ones were asked for.
    pub active_only: bool,
    /// The organizations.
    pub organizations: Vec<OrgSummary>,
}

impl Report for OrgList {
    const SCHEMA: &'static str = "stockfoil.org-list/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |state: &str, is_active: bool| Metric {
            name: "stockfoil_organizations",
            help: "Organizations by state.",
            labels: vec![("state", state.to_owned())],
            value: self.organizations.iter().filter(|org| org.is_active == is_active).count().to_string(),
        };
        let mut metrics = vec![metric("active", true)];
        if !self.active_only {
            metrics.push(metric("inactive", false));
        }
        metrics
    }
}

/// Lists the organizations, with exact counts of one snapshot.
///
/// # Errors
/// [`TenancyError::NotMigrated`] before `migrate-org`.
pub fn list<'a>(db: &'a Db, mapping: &'a Mapping, active_only: bool) -> Task<'a, OrgList> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let users = model.users.as_ref().map(|users| &users.table);
        let counted: Vec<&QualifiedName> = users.into_iter().chain(&model.items).collect();
        require(db, model, &counted).await?;
        let columns = Fixed(organizations::COLUMNS);
        let (users, items) = (Count::of(model, users, "u"), Count::of(model, model.items.as_ref(), "i"));
        let statement = model.render_with(
            include_str!("list.sql"),
            &[
                ("organizations.columns", &columns),
                ("users.count", &users.count),
                ("users.join", &users.join),
                ("items.count", &items.count),
                ("items.join", &items.join),
            ],
        );
        let counted: Vec<Counted> = sqlx::query_as(statement.sql())
            .bind(active_only)
            .fetch_all(db.pool())
            .await
            .context("list the organizations")?;
        Ok(OrgList { active_only, organizations: counted.into_iter().map(OrgSummary::from).collect() })
    })
}

/// How an organization's rows of a table are counted; not at all where there is no such table.
struct Count {
    count: Statement,
    join: Statement,
}

impl Count {
    fn of(model: &Model, table: Option<&QualifiedName>, alias: &'static str) -> Self {
        let Some(table) = table else {
            return Self { count: render("NULL::bigint", &[]), join: render("", &[]) };
        };
        let alias = Fixed(alias);
        let fragments: [(&str, &dyn Fragment); 2] = [("table", table), ("alias", &alias)];
        Self {
            count: render("coalesce({alias}.count, 0)", &fragments),
            join: model.render_with(
                "LEFT JOIN (SELECT {org} AS org, count(*) FROM {table} GROUP BY {org}) AS {alias} ON {alias}.org = o.key",
                &fragments,
            ),
        }
    }
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

#[derive(sqlx::FromRow)]
struct Counted {
    #[sqlx(flatten)]
    organization: Stored,
    users: Option<i64>,
    items: Option<i64>,
}

impl From<Counted> for OrgSummary {
    fn from(Counted { organization, users, items }: Counted) -> Self {
        let Stored { id, name, subdomain, is_active, created_at, .. } = organization;
        Self { id, name, subdomain, is_active, users, items, created_at }
    }
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
