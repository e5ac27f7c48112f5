//! Changing an organization and its API keys: `org-update`.

use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{
    Settings, TenancyError,
    api_key::{ApiKey, KeyId},
    default_organization::{self, Change},
    keys::{self, KeyState, KeySummary, Span},
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
        let of_new_key = [("--api-key", self.api_key.is_some()), ("--expires", self.expires.is_some())];
        if self.overlap.is_some() && self.new_key != Some(Others::End) {
            return Err(TenancyError::NoNewKey("--overlap", "--rotate-key"));
        }
        let new_key = match (self.new_key, of_new_key.iter().find(|(_, is_given)| *is_given)) {
            (Some(others), _) => {
                let (key, is_generated) = ApiKey::new(self.api_key.as_ref())?;
                let overlap = (others == Others::End).then(|| self.overlap.unwrap_or(Span::DAY));
                Some(NewKey { key, is_generated, expires: keys::check_expiry(self.expires)?, overlap })
            }
            (None, Some((flag, _))) => return Err(TenancyError::NoNewKey(flag, "--rotate-key or --add-key")),
            (None, None) => None,
        };
        let update = Update {
            name: self.name.as_deref().map(check_name).transpose()?.map(str::to_owned),
            subdomain: subdomain.transpose()?,
            is_active: self.is_active,
            new_key,
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
        let Self { name, subdomain, is_active, new_key, revoke, default_org: _, hold_days: _ } = self;
        name.is_none() && subdomain.is_none() && is_active.is_none() && new_key.is_none() && revoke.is_empty()
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
    if let Some(NewKey { key, expires, overlap, .. }) = &update.new_key {
        let refused = |error| key_taken(error, model, "add the API key");
        keys::insert(&mut tx, model, org, key, *expires, refused).await?;
        if let Some(overlap) = overlap {
            ended_keys = keys::end_others(&mut tx, model, org, key, *overlap).await?;
        }
    }
    let keys = keys::list(&mut tx, model, org).await?;
    let mut report = OrgUpdated { changed, revoked_keys, ended_keys, ..report(row, keys) };
    report.warnings = warnings(&report, update.new_key.as_ref());
    if let Some(NewKey { key, is_generated, .. }) = update.new_key {
        report.api_key_id = Some(key.id());
        report.api_key = is_generated.then_some(key);
    }
    if report.changed.is_empty() && report.revoked_keys.is_empty() && report.api_key_id.is_none() {
        return Ok(report);
    }
    history::end(&mut tx, run, report.outcome(), &record(&report, &db.facts().role)).await?;
    tx.commit().await.context("change the organization")?;
    report.run_id = Some(run);
    Ok(report)
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
    let OrgUpdated { id, changed, api_key_id, ended_keys, revoked_keys, .. } = report;
    json!({
        "org_id": id, "role": role, "changed": changed, "api_key_id": api_key_id,
        "ended_keys": ended_keys, "revoked_keys": revoked_keys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(request: Request) -> Result<Update, TenancyError> {
        request.check(&settings())
    }

    fn settings() -> Settings {
        Settings {
            default_org_id: "default".into(),
            default_org_name: "Default Organization".into(),
            reserved_subdomains: Vec::new(),
            hold_days: 0,
        }
    }

    fn request() -> Request {
        Request {
            name: None,
            subdomain: None,
            is_active: None,
            new_key: Some(Others::End),
            overlap: None,
            api_key: None,
            expires: None,
            revoke: Vec::new(),
            lists_keys: false,
        }
    }

    #[test]
    fn nothing_on_the_way_shows_a_key() {
        let given = "9f86d081884c7d659a2feaa0c55ad015-given";
        let request = Request { api_key: Some(Secret::new(given)), ..request() };
        let shown = format!("{request:?}");
        let update = checked(request).unwrap();
        let shown = format!("{shown} {update:?} {update:#?}");
        assert!(shown.contains("***") && !shown.contains(given), "{shown}");

        let key = ApiKey::generate().unwrap();
        let row = Stored {
            id: OrgId::new("acme").unwrap(),
            name: "Acme".into(),
            subdomain: None,
            is_active: true,
            created_at: chrono::Utc::now().into(),
            updated_at: chrono::Utc::now().into(),
        };
        let report = OrgUpdated {
            api_key_id: Some(key.id()),
            api_key: Some(key.clone()),
            ..super::report(row, Vec::new())
        };
        let shown = format!("{report:?} {}", record(&report, "operator"));
        assert!(shown.contains(&key.id()) && !shown.contains(key.expose()), "{shown}");
        assert_eq!(json!(report)["api_key"], key.expose(), "the report itself is where it shows");
    }

    #[test]
    fn an_update_holds_every_rule_or_none_of_it() {
        let refused = |request: Request| checked(request).unwrap_err().to_string();
        let nothing = || Request { new_key: None, ..request() };
        assert!(refused(nothing()).contains("say what to change"));
        assert!(checked(Request { lists_keys: true, ..nothing() }).unwrap().only_lists());
        assert!(refused(Request { overlap: Some(Span::DAY), ..nothing() }).contains("--overlap needs"));
        let added = Request { new_key: Some(Others::Stay), overlap: Some(Span::DAY), ..nothing() };
        assert!(refused(added).contains("--overlap needs --rotate-key"));
        let ends_default = |org, is_active| {
            let update = checked(Request { is_active, name: Some("A".into()), ..nothing() }).unwrap();
            update.ends_default(&OrgId::new(org).unwrap(), &Mapping::default(), &settings())
        };
        assert!(ends_default("default", Some(false)));
        assert!(!ends_default("default", Some(true)) && !ends_default("acme", Some(false)));
    }
}
