//! Changing an organization and its API keys: `org-update`.

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{
    Settings, TenancyError,
    api_key::{ApiKey, KeyId},
    default_organization::{self, Change},
    keys::{self, Description, KeyState, KeySummary, Span},
    named::{self, NewNames},
    organization::{self, Stored, breaks, in_the_clear, key_taken},
    require,
    subdomain::Subdomain,
};
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    org_id::check_name,
    report::{Outcome, Report},
    settings::Secret,
    timestamp::Timestamp,
};

/// The command, as its records name it.
const COMMAND: &str = "org-update";

/// Who keeps its key when an organization gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Every key lives on as it did.
    Stay,
    /// Every other key ends after the overlap, where it does not end before.
    End,
}

/// What is asked for; [`check`](Self::check) makes it what can be done.
#[derive(Debug)]
pub struct Request {
    /// Its new name.
    pub name: Option<String>,
    /// Its new subdomain; `Some(None)` takes it away.
    pub subdomain: Option<Option<String>>,
    /// Whether it can be used from now on.
    pub is_active: Option<bool>,
    /// That it gets a new key, and what becomes of the others.
    pub new_key: Option<Others>,
    /// How long the other keys live beside it; a day where that is not said.
    pub overlap: Option<Span>,
    /// The new key; without one, one is made.
    pub api_key: Option<Secret>,
    /// After how long the new key ends; without one, never.
    pub expires: Option<Span>,
    /// What the new key is called, or that of `key`.
    pub label: Option<String>,
    /// What the new key is for, or that of `key`.
    pub scopes: Option<String>,
    /// The id of a key that is described instead of a new one.
    pub key: Option<String>,
    /// The ids of keys that end now and for ever.
    pub revoke: Vec<String>,
    /// That the keys are listed, whatever else is asked for.
    pub lists_keys: bool,
}

/// A change that holds every rule and is not in the database yet.
#[derive(Debug)]
pub struct Update {
    name: Option<String>,
    subdomain: Option<Option<Subdomain>>,
    is_active: Option<bool>,
    new_key: Option<NewKey>,
    described: Option<(KeyId, Description)>,
    revoke: Vec<KeyId>,
    /// The default organization, as the configuration has it.
    default_org: String,
    /// How many days a subdomain that another one gave up is held back.
    hold_days: u16,
}

#[derive(Debug)]
struct NewKey {
    key: ApiKey,
    is_generated: bool,
    expires: Option<Span>,
    description: Description,
    /// How long the others live; without one, as they did.
    overlap: Option<Span>,
}

impl Request {
    /// Checks every part, and makes the key where none is given.
    ///
    /// # Errors
    /// [`TenancyError`] for the first part that does not hold.
    pub fn check(self, settings: &Settings) -> Result<Update, TenancyError> {
        let reserved = &settings.reserved_subdomains;
        let subdomain =
            self.subdomain.map(|label| label.map(|label| Subdomain::new(&label, reserved)).transpose());
        let description = Description::new(self.label.as_deref(), self.scopes.as_deref())?;
        let described = match self.key.as_deref().map(KeyId::new).transpose()? {
            Some(_) if description.is_empty() => return Err(TenancyError::NothingSaid),
            Some(key) => Some((key, description.clone())),
            None => None,
        };
        const NEW: &str = "--rotate-key or --add-key";
        const ANY: &str = "--rotate-key, --add-key or --key";
        let of_new_key = [
            ("--api-key", NEW, self.api_key.is_some()),
            ("--expires", NEW, self.expires.is_some()),
            ("--label", ANY, self.label.is_some() && described.is_none()),
            ("--scopes", ANY, self.scopes.is_some() && described.is_none()),
        ];
        if self.overlap.is_some() && self.new_key != Some(Others::End) {
            return Err(TenancyError::NoNewKey("--overlap", "--rotate-key"));
        }
        let new_key = match (self.new_key, of_new_key.iter().find(|(.., is_given)| *is_given)) {
            (Some(others), _) => {
                let (key, is_generated) = ApiKey::new(self.api_key.as_ref())?;
                let overlap = (others == Others::End).then(|| self.overlap.unwrap_or(Span::DAY));
                let expires = keys::check_expiry(self.expires)?;
                Some(NewKey { key, is_generated, expires, description, overlap })
            }
            (None, Some((flag, needed, _))) => return Err(TenancyError::NoNewKey(flag, needed)),
            (None, None) => None,
        };
        let update = Update {
            name: self.name.as_deref().map(check_name).transpose()?.map(str::to_owned),
            subdomain: subdomain.transpose()?,
            is_active: self.is_active,
            new_key,
            described,
            revoke: self.revoke.iter().map(|id| KeyId::new(id)).collect::<Result<_, _>>()?,
            default_org: settings.default_org_id.clone(),
            hold_days: settings.hold_days,
        };
        if update.only_lists() && !self.lists_keys {
            return Err(TenancyError::NothingAsked);
        }
        Ok(update)
    }
}

impl Update {
    /// Whether it would leave requests that name no organization without one: `org` is the default organization, and is
    /// deactivated.
    pub fn ends_default(&self, org: &OrgId, mapping: &Mapping, settings: &Settings) -> bool {
        let default = OrgId::of(mapping.org_type(), &settings.default_org_id);
        self.is_active == Some(false) && default.as_ref() == Ok(org)
    }

    fn only_lists(&self) -> bool {
        let Self { name, subdomain, is_active, new_key, described, revoke, default_org: _, hold_days: _ } =
            self;
        let is_same = name.is_none() && subdomain.is_none() && is_active.is_none();
        is_same && new_key.is_none() && described.is_none() && revoke.is_empty()
    }
}

/// Something of an organization that was changed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// What: `name`, `subdomain` or `is_active`.
    pub field: &'static str,
    /// What it was.
    pub from: serde_json::Value,
    /// What it is.
    pub to: serde_json::Value,
}

/// An organization as it is now, and what was changed. Beside [`OrgCreated`](organization::OrgCreated) the only value
/// that shows a key, once.
#[derive(Debug, Serialize)]
pub struct OrgUpdated {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Its subdomain.
    pub subdomain: Option<String>,
    /// Whether it can be used.
    pub is_active: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last, its keys apart.
    pub updated_at: Timestamp,
    /// What was changed of it.
    pub changed: Vec<Changed>,
    /// What names the new key.
    pub api_key_id: Option<String>,
    /// The new key, where it was made here: it can't be shown again.
    #[serde(serialize_with = "in_the_clear")]
    pub api_key: Option<ApiKey>,
    /// The key that was described, where none is new.
    pub described_key: Option<String>,
    /// The keys that end, or end earlier than they did, because there is a new one.
    pub ended_keys: Vec<String>,
    /// The keys that were revoked.
    pub revoked_keys: Vec<String>,
    /// Every key of it, the oldest first.
    pub keys: Vec<KeySummary>,
    /// The record of the change in `stockfoil.run`; none where nothing was changed.
    pub run_id: Option<RunId>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for OrgUpdated {
    const SCHEMA: &'static str = "stockfoil.org-update/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }

    fn shows_keys(&self) -> bool {
        self.api_key.is_some()
    }
}

/// Makes the change to `org` and its record, in one transaction; or only lists the keys.
///
/// # Errors
/// [`TenancyError::UnknownOrganization`], [`TenancyError::UnknownKeys`]; [`TenancyError::SubdomainTaken`] and
/// [`TenancyError::ApiKeyTaken`] when another organization has it; [`TenancyError::SubdomainIsId`];
/// [`TenancyError::OrganizationLocked`]; [`TenancyError::NotMigrated`] before `migrate-org`.
pub fn update<'a>(db: &'a Db, mapping: &'a Mapping, org: OrgId, update: Update) -> Task<'a, OrgUpdated> {
    Box::pin(async move {
        if !update.only_lists() {
            db.require_writable()?;
        }
        let model = &mapping.resolve(db).await?;
        require(db, model, &[]).await?;
        let mut session = db.acquire().await?;
        if update.is_active == Some(false) {
            // Whoever is asked about the default organization is asked about the database's own.
            default_organization::check(&mut session, model, &update.default_org, Change::Refused).await?;
        }
        let result = match update.only_lists() {
            true => list(&mut session, model, &org).await,
            false => apply(&mut session, model, db, &org, update).await,
        };
        result.map_err(
            |error| if error.gave_way() { TenancyError::OrganizationLocked(org).into() } else { error },
        )
    })
}

/// The organization with its keys, in one snapshot.
async fn list(session: &mut PgConnection, model: &Model, org: &OrgId) -> Result<OrgUpdated, Error> {
    let mut tx = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let Some(row) = organization::find(&mut tx, model, org).await? else {
        return Err(TenancyError::UnknownOrganization(org.clone()).into());
    };
    let keys = keys::list(&mut tx, model, org).await?;
    Ok(report(row, keys))
}

fn report(row: Stored, keys: Vec<KeySummary>) -> OrgUpdated {
    let Stored { id, name, subdomain, is_active, created_at, updated_at, .. } = row;
    OrgUpdated {
        id,
        name,
        subdomain,
        is_active,
        created_at,
        updated_at,
        changed: Vec::new(),
        api_key_id: None,
        api_key: None,
        described_key: None,
        ended_keys: Vec::new(),
        revoked_keys: Vec::new(),
        keys,
        run_id: None,
        warnings: Vec::new(),
    }
}

async fn apply(
    session: &mut PgConnection,
    model: &Model,
    db: &Db,
    org: &OrgId,
    update: Update,
) -> Result<OrgUpdated, Error> {
    let mut tx = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    // A request that is the day's first with a key holds the key's row until its transaction ends.
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *tx).await?;
    let Some(row) = organization::find_and_lock(&mut tx, model, org).await? else {
        return Err(TenancyError::UnknownOrganization(org.clone()).into());
    };
    let run = history::start(&mut tx, COMMAND).await?;
    let names = matches!(update.subdomain, Some(Some(_)));
    if names {
        named::hold_names(&mut tx).await?;
    }
    let (row, changed) = change(&mut tx, model, row, &update).await?;
    if names {
        named::refuse_same(&mut tx, model, org, NewNames::Subdomain).await?;
        let is_new = changed.iter().any(|changed| changed.field == "subdomain");
        if let Some(subdomain) = row.subdomain.as_deref().filter(|_| is_new) {
            named::refuse_held(&mut tx, org, subdomain, update.hold_days).await?;
        }
    }
    // First, so that a key which ends for ever is not said to end later.
    let revoked_keys = keys::revoke(&mut tx, model, org, &update.revoke).await?;
    let mut ended_keys = Vec::new();
    if let Some(new) = &update.new_key {
        ended_keys = add_key(&mut tx, model, org, new).await?;
    }
    let mut described_key = None;
    if let Some((id, description)) = &update.described {
        keys::describe(&mut tx, model, org, id.as_str(), description).await?;
        described_key = Some(id.as_str().to_owned());
    }
    let keys = keys::list(&mut tx, model, org).await?;
    let mut report = OrgUpdated { changed, revoked_keys, ended_keys, described_key, ..report(row, keys) };
    report.warnings = warnings(&report, update.new_key.as_ref());
    if let Some(NewKey { key, is_generated, .. }) = update.new_key {
        report.api_key_id = Some(key.id());
        report.api_key = is_generated.then_some(key);
    }
    let has_key_change = report.api_key_id.is_some() || report.described_key.is_some();
    if report.changed.is_empty() && report.revoked_keys.is_empty() && !has_key_change {
        return Ok(report);
    }
    history::end(&mut tx, run, report.outcome(), &record(&report, &db.facts().role)).await?;
    tx.commit().await.context("change the organization")?;
    report.run_id = Some(run);
    Ok(report)
}

/// Adds the key, and ends the others where that is asked for; returns those.
async fn add_key(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    new: &NewKey,
) -> Result<Vec<String>, Error> {
    let NewKey { key, expires, overlap, .. } = new;
    // A key that takes the place of others and is for less, or for more, would be a surprise.
    let description = match overlap {
        Some(_) => new.description.clone().or_of(org, &keys::list(connection, model, org).await?)?,
        None => new.description.clone(),
    };
    let refused = |error| key_taken(error, model, "add the API key");
    keys::insert(connection, model, org, key, (*expires, &description), refused).await?;
    match overlap {
        Some(overlap) => Ok(keys::end_others(connection, model, org, key, *overlap).await?),
        None => Ok(Vec::new()),
    }
}

/// Changes what is asked for of the organization itself; says what was different.
async fn change(
    connection: &mut PgConnection,
    model: &Model,
    row: Stored,
    update: &Update,
) -> Result<(Stored, Vec<Changed>), Error> {
    let name = update.name.as_ref().unwrap_or(&row.name);
    let subdomain = match &update.subdomain {
        Some(label) => label.as_ref().map(Subdomain::as_str),
        None => row.subdomain.as_deref(),
    };
    let is_active = update.is_active.unwrap_or(row.is_active);
    let changed = [
        ("name", json!(row.name), json!(name)),
        ("subdomain", json!(row.subdomain), json!(subdomain)),
        ("is_active", json!(row.is_active), json!(is_active)),
    ];
    let changed: Vec<Changed> = changed
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| Changed { field, from, to })
        .collect();
    if changed.is_empty() {
        return Ok((row, changed));
    }
    let stored: (String, Option<String>, bool, Timestamp) =
        sqlx::query_as(model.render(include_str!("update_organization.sql")).sql())
            .bind(&row.id)
            .bind(name)
            .bind(subdomain)
            .bind(is_active)
            .fetch_one(connection)
            .await
            .map_err(|error| match subdomain {
                Some(subdomain) if breaks(&error, &model.organizations, &["subdomain"]) => {
                    TenancyError::SubdomainTaken(subdomain.to_owned()).into()
                }
                _ => Error::from(DbError::Statement {
                    context: "change the organization".into(),
                    cause: error,
                }),
            })?;
    let (stored_name, stored_subdomain, stored_active, updated_at) = stored;
    if (&stored_name, stored_subdomain.as_deref(), stored_active) != (name, subdomain, is_active) {
        return Err(TenancyError::NotAsWritten("organization").into());
    }
    let row = Stored {
        name: stored_name,
        subdomain: stored_subdomain,
        is_active: stored_active,
        updated_at,
        ..row
    };
    Ok((row, changed))
}

fn warnings(report: &OrgUpdated, new_key: Option<&NewKey>) -> Vec<String> {
    let mut warnings: Vec<String> = new_key.and_then(|new| new.key.weakness()).into_iter().collect();
    if !report.is_active {
        warnings.push(format!(
            "organization {} is inactive: neither its subdomain nor its keys lead to it until --activate",
            report.id
        ));
    }
    if !report.revoked_keys.is_empty() && report.keys.iter().all(|key| key.state != KeyState::Live) {
        warnings
            .push(format!("organization {} has no live API key any more; --add-key makes one", report.id));
    }
    warnings
}

/// What `stockfoil.run` keeps of a change: who made it, and of keys their ids alone.
fn record(report: &OrgUpdated, role: &str) -> serde_json::Value {
    let OrgUpdated { id, changed, api_key_id, described_key, ended_keys, revoked_keys, .. } = report;
    let said = api_key_id.as_ref().or(described_key.as_ref());
    let key = report.keys.iter().find(|key| Some(&key.key_id) == said);
    json!({
        "org_id": id, "role": role, "changed": changed, "api_key_id": api_key_id, "described_key": described_key,
        "label": key.and_then(|key| key.label.as_ref()), "scopes": key.and_then(|key| key.scopes.as_ref()),
        "ended_keys": ended_keys, "revoked_keys": revoked_keys,
    })
}
