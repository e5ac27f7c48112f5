//! Creating all organizations that a file lists.

mod known;

use std::{collections::BTreeMap, fmt::Display, str::FromStr as _};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{NewKey, NewOrganization, Put, in_the_clear, put, warnings};
use crate::{
    Error, Failure, Task,
    db::{Context as _, Db},
    history::RunId,
    mapping::Mapping,
    model::Model,
    org_id::{OrgId, check_name},
    report::{Outcome, Report},
    tenancy::{
        Settings, TenancyError,
        api_key::ApiKey,
        keys::{self, Description, Span},
        lines::{Line, Lines, Mistake},
        named, require,
        subdomain::Subdomain,
    },
};
use known::{Found, Known};

/// The columns that a file may have.
const COLUMNS: [&str; 6] = ["name", "id", "subdomain", "key_label", "scopes", "key_expires"];

/// What holds for every line.
#[derive(Debug, Clone, Copy)]
pub struct Common {
    /// Whether the organizations can be used at once.
    pub is_active: bool,
    /// Whether each gets an API key; else those do whose line says something of one.
    pub has_keys: bool,
    /// After how long a key ends of which the line does not say that.
    pub expires: Option<Span>,
}

/// The organizations that a file lists, as far as they hold every rule, and what is wrong with the others.
#[derive(Debug)]
pub struct OrgFile {
    lines: Vec<Asked>,
    mistakes: Vec<Mistake>,
}

/// An organization that a line asks for.
#[derive(Debug)]
struct Asked {
    line: u64,
    new: NewOrganization,
    /// Whether the line gives the id.
    has_id: bool,
}

impl OrgFile {
    /// Reads a file, and checks what can be checked without a database.
    ///
    /// # Errors
    /// [`TenancyError::Lines`]; [`TenancyError::ExpiresAtOnce`]; [`TenancyError::Random`].
    pub fn read(
        bytes: &[u8],
        common: Common,
        mapping: &Mapping,
        settings: &Settings,
    ) -> Result<Self, TenancyError> {
        keys::check_expiry(common.expires)?;
        let Lines { lines, mut mistakes } = Lines::read(bytes, &COLUMNS)?;
        let mut asked = Vec::with_capacity(lines.len());
        for line in &lines {
            let mut wrong = Wrong { line: line.number, mistakes: &mut mistakes };
            asked.extend(wrong.organization(line, common, mapping, settings)?);
        }
        mistakes.extend(clashes(&asked));
        Ok(Self { lines: asked, mistakes })
    }
}

/// Collects what is wrong with a line.
struct Wrong<'a> {
    line: u64,
    mistakes: &'a mut Vec<Mistake>,
}

impl Wrong<'_> {
    /// The value, or the mistake that it is none.
    fn or<T, E: Display>(&mut self, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.mistakes.push(Mistake::new(self.line, error))).ok()
    }

    /// What `line` asks for; none where something of it is wrong.
    fn organization(
        &mut self,
        line: &Line,
        common: Common,
        mapping: &Mapping,
        settings: &Settings,
    ) -> Result<Option<Asked>, TenancyError> {
        let before = self.mistakes.len();
        let org_type = mapping.org_type();
        let name = self.or(check_name(line.get("name").unwrap_or_default()).map(str::to_owned));
        let reserved = &settings.reserved_subdomains;
        let subdomain = line.get("subdomain").and_then(|label| self.or(Subdomain::new(label, reserved)));
        let given = line.get("id").and_then(|id| self.or(OrgId::of(org_type, id)));
        let description = self.or(Description::new(line.get("key_label"), line.get("scopes")));
        let ends = line.get("key_expires").and_then(|span| self.or(Span::from_str(span)));
        let expires = self.or(keys::check_expiry(ends.or(common.expires))).flatten();
        let (Some(name), Some(description), true) = (name, description, self.mistakes.len() == before) else {
            return Ok(None);
        };
        let has_key = common.has_keys || !description.is_empty() || ends.is_some();
        let key = match has_key {
            true => Some(NewKey { key: ApiKey::generate()?, is_generated: true, expires, description }),
            false => None,
        };
        let has_id = given.is_some();
        let id = match given {
            Some(id) => Some(id),
            None => OrgId::generate(org_type)?,
        };
        let (is_active, hold_days) = (common.is_active, settings.hold_days);
        let new = NewOrganization { id, name, subdomain, key, is_active, hold_days };
        Ok(Some(Asked { line: line.number, new, has_id }))
    }
}

impl Asked {
    fn id(&self) -> Option<&OrgId> {
        self.new.id.as_ref().filter(|_| self.has_id)
    }

    fn subdomain(&self) -> Option<&str> {
        self.new.subdomain.as_ref().map(Subdomain::as_str)
    }

    /// What the line calls it by, whichever it gives first.
    fn shown(&self) -> Shown {
        Shown {
            line: self.line,
            id: self.id().cloned(),
            name: self.new.name.clone(),
            subdomain: self.subdomain().map(str::to_owned),
        }
    }
}

/// Lines that call two organizations the same.
fn clashes(asked: &[Asked]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    // Flags that name an organization take its id or its subdomain.
    let mut called: BTreeMap<String, u64> = BTreeMap::new();
    let mut named: BTreeMap<&str, u64> = BTreeMap::new();
    for one in asked {
        let id = one.id().map(|id| id.as_str().to_ascii_lowercase());
        let names = [("id", id), ("subdomain", one.subdomain().map(str::to_owned))];
        let mut clash = None;
        for (what, text) in names.into_iter().filter_map(|(what, text)| Some((what, text?))) {
            let first = *called.entry(text.clone()).or_insert(one.line);
            if first != one.line && clash.is_none() {
                let what = format!("line {first} has the {what} {text:?} already, as id or subdomain");
                clash = Some(Mistake::new(one.line, what));
            }
        }
        mistakes.extend(clash);
        if one.id().is_none() && one.subdomain().is_none() {
            let first = *named.entry(&one.new.name).or_insert(one.line);
            if first != one.line {
                let what = format!(
                    "line {first} has the name {:?} already; give the lines an id or a subdomain",
                    one.new.name
                );
                mistakes.push(Mistake::new(one.line, what));
            }
        }
    }
    mistakes
}

/// An organization that a line speaks of.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The line.
    pub line: u64,
    /// Its id; none where it is not made yet and the line gives none.
    pub id: Option<OrgId>,
    /// Its name.
    pub name: String,
    /// Its subdomain.
    pub subdomain: Option<String>,
}

/// An organization that was made, or would be. Shows its key, once.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The organization.
    #[serde(flatten)]
    pub organization: Shown,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// What names its API key, where it has one.
    pub api_key_id: Option<String>,
    /// The API key: it can't be shown again.
    #[serde(serialize_with = "in_the_clear")]
    pub api_key: Option<ApiKey>,
    /// When the key ends; none where it does not.
    pub api_key_expires_at: Option<DateTime<Utc>>,
    /// What people call the key.
    pub api_key_label: Option<String>,
    /// What the application lets the key do.
    pub api_key_scopes: Option<String>,
    /// The record of it in `stockfoil.run`.
    pub run_id: Option<RunId>,
}

/// What became of the organizations of a file.
#[derive(Debug, Serialize)]
pub struct OrgsCreated {
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// Whether they were made: all of `made`, or none.
    pub applied: bool,
    /// The organizations that were made, or would be, by line.
    pub made: Vec<Made>,
    /// Those that were there already, as their lines have them.
    pub present: Vec<Shown>,
    /// What is wrong with the file, by line; then nothing is changed.
    pub mistakes: Vec<Mistake>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for OrgsCreated {
    const SCHEMA: &'static str = "stockfoil.org-create-file/1";

    fn outcome(&self) -> Outcome {
        if self.mistakes.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }

    fn shows_keys(&self) -> bool {
        self.made.iter().any(|made| made.api_key.is_some())
    }
}

/// Creates the organizations of `file` that are not there, in one transaction, or says which would be created. Each has a record
/// of its own, as one that is made alone.
///
/// # Errors
/// [`TenancyError::NotMigrated`] before `migrate-org`, and database errors. What is wrong with the file is in the report.
pub fn create<'a>(db: &'a Db, mapping: &'a Mapping, file: OrgFile, dry_run: bool) -> Task<'a, OrgsCreated> {
    Box::pin(async move {
        if !dry_run {
            db.require_writable()?;
        }
        let model = &mapping.resolve(db).await?;
        require(db, model, &[]).await?;
        let begin = match dry_run {
            true => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // What another has committed while this one waited for the names must be seen.
            false => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        let mut tx = db.pool().begin_with(begin).await?;
        if !dry_run {
            named::hold_names(&mut tx).await?;
        }
        let OrgFile { lines, mistakes } = file;
        let warnings = warnings(&mut tx, model).await?;
        let mut report = OrgsCreated {
            dry_run,
            applied: false,
            made: Vec::new(),
            present: Vec::new(),
            mistakes,
            warnings,
        };
        let new = look(&mut tx, model, lines, &mut report).await?;
        if dry_run || !report.mistakes.is_empty() || new.is_empty() {
            report.made = new.into_iter().map(|asked| Made::planned(&asked)).collect();
            return Ok(report);
        }
        report.made = make(&mut tx, model, &db.facts().role, new, &mut report.mistakes).await?;
        if report.mistakes.is_empty() {
            tx.commit().await.context("create the organizations")?;
            report.applied = true;
        }
        Ok(report)
    })
}

/// The organizations that are not there; those that are, and lines that are wrong, go into `report`.
async fn look(
    connection: &mut PgConnection,
    model: &Model,
    lines: Vec<Asked>,
    report: &mut OrgsCreated,
) -> Result<Vec<Asked>, Error> {
    let known = Known::read(connection, model).await?;
    let mut new = Vec::new();
    for asked in lines {
        match known.look(&asked) {
            Found::Present(id) => report.present.push(Shown { id: Some(id.clone()), ..asked.shown() }),
            Found::Wrong(what) => report.mistakes.push(Mistake { line: asked.line, what }),
            Found::New => match held(connection, &asked).await? {
                Some(held) => report.mistakes.push(held),
                None => new.push(asked),
            },
        }
    }
    report.mistakes.sort();
    Ok(new)
}

/// That the subdomain is held back, if it is.
async fn held(connection: &mut PgConnection, asked: &Asked) -> Result<Option<Mistake>, Error> {
    let Some(subdomain) = asked.subdomain() else { return Ok(None) };
    // A number that is not given yet is nobody's.
    let id = match &asked.new.id {
        Some(id) => id.clone(),
        None => OrgId::new("0").map_err(TenancyError::from)?,
    };
    let held = named::refuse_held(connection, &id, subdomain, asked.new.hold_days).await;
    as_mistake(asked.line, held)
}

/// Makes each of `new`; what the database refuses goes into `mistakes`, and then nothing may be kept.
async fn make(
    connection: &mut PgConnection,
    model: &Model,
    role: &str,
    new: Vec<Asked>,
    mistakes: &mut Vec<Mistake>,
) -> Result<Vec<Made>, Error> {
    let mut made = Vec::with_capacity(new.len());
    for asked in new {
        let mut attempt = connection.begin().await.context("create the organizations")?;
        let result = put(&mut attempt, model, role, &asked.new).await;
        match result {
            Ok(put) => {
                attempt.commit().await.context("create the organizations")?;
                made.push(Made::done(asked, put));
            }
            result => {
                attempt.rollback().await.context("create the organizations")?;
                mistakes.extend(as_mistake(asked.line, result.map(|_| ()))?);
                made.push(Made::planned(&asked));
            }
        }
    }
    if !mistakes.is_empty() {
        made.iter_mut().for_each(Made::take_back);
    }
    Ok(made)
}

/// What is wrong with a line, where `result` failed for what stands there or for what the database takes.
fn as_mistake(line: u64, result: Result<(), Error>) -> Result<Option<Mistake>, Error> {
    let Err(error) = result else { return Ok(None) };
    // An integrity constraint, or a trigger that raises an exception.
    let is_refused = error.sqlstate().is_some_and(|state| state.starts_with("23") || state == "P0001");
    match &error {
        Error::Tenancy(refused) if refused.failure() == Failure::Usage => {}
        _ if is_refused => {}
        _ => return Err(error),
    }
    Ok(Some(Mistake::new(line, error)))
}

impl Made {
    /// One that is not made.
    fn planned(asked: &Asked) -> Self {
        let description = asked.new.key.as_ref().map(|new| new.description.clone()).unwrap_or_default();
        Self {
            organization: asked.shown(),
            created_at: None,
            api_key_id: None,
            api_key: None,
            api_key_expires_at: None,
            api_key_label: description.label,
            api_key_scopes: description.scopes,
            run_id: None,
        }
    }

    fn done(asked: Asked, put: Put) -> Self {
        let planned = Self::planned(&asked);
        let (api_key_id, api_key) = asked.new.key.map(NewKey::shown).unzip();
        Self {
            organization: Shown { id: Some(put.id), ..planned.organization },
            created_at: Some(put.created_at),
            api_key_id,
            api_key: api_key.flatten(),
            api_key_expires_at: put.api_key_expires_at,
            run_id: Some(put.run_id),
            ..planned
        }
    }

    /// Says no more than what was asked for.
    fn take_back(&mut self) {
        (self.created_at, self.api_key_id, self.api_key) = (None, None, None);
        (self.api_key_expires_at, self.run_id) = (None, None);
    }
}
