//! A `stockfoil.toml` proposed for a database that nobody has described yet.
//!
//! What a table is for is guessed from what the catalog says (names, types, keys, who refers to whom), from the
//! statistics (does it grow, or does it change), and from its first rows (is a quantity ever negative). Each guess
//! is a line of reasons in the file; a person decides.

mod agreement;
mod balances;
mod ledger;
mod postings;
mod proof;
mod shape;
mod survey;
mod tenants;
mod text;
mod users;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    GenerateError, State,
    schema::{Table, Type},
};
use crate::{
    Error, Task,
    db::Db,
    mapping::Mapping,
    report::{Outcome, Report},
    sql::{Ident, QualifiedName},
};
use balances::Balances;
use ledger::Ledger;
pub use ledger::{Agreement, Readings};
use shape::is_stockfoils;
use survey::{Survey, is_integer, primary_key};
use users::Users;

/// What to look at and where the proposal goes; checked before anything is read.
#[derive(Debug, Clone)]
pub struct ProposalRequest {
    schemas: Vec<Ident>,
    known: Known,
    out: Option<PathBuf>,
}

/// What the operator knows; each table as in a configuration file, with its schema or without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The ledger.
    pub ledger: Option<String>,
    /// The table of balances.
    pub balances: Option<String>,
    /// Tables whose rows are an organization's.
    pub tenants: Vec<String>,
    /// Tables whose rows are everybody's.
    pub globals: Vec<String>,
}

impl Known {
    /// Whether `name` means `table`.
    fn means(name: &str, table: &QualifiedName) -> bool {
        name == table.name.as_str() || name == table.plain() || name == table.to_string()
    }

    fn is_global(&self, table: &QualifiedName) -> bool {
        self.globals.iter().any(|name| Self::means(name, table))
    }

    fn is_tenant(&self, table: &QualifiedName) -> bool {
        self.tenants.iter().any(|name| Self::means(name, table))
    }

    /// Every name must be a table's that was looked at.
    fn check(&self, survey: &Survey<'_>) -> Result<(), GenerateError> {
        let names = self.ledger.iter().chain(&self.balances).chain(&self.tenants).chain(&self.globals);
        for name in names {
            if !survey.tables.iter().any(|table| Self::means(name, &table.name)) {
                let schemas: Vec<&str> = survey.schemas.iter().map(Ident::as_str).collect();
                return Err(GenerateError::NoSuchTable { name: name.clone(), schemas: schemas.join(", ") });
            }
        }
        Ok(())
    }
}

impl ProposalRequest {
    /// A proposal for the tables in `schemas` (none: every schema of the application's) with what is `known` of them,
    /// written to `out` or given in the report.
    ///
    /// # Errors
    /// [`GenerateError::FileExists`] where something is at `out`, and names that can't be a schema's.
    pub fn new(schemas: &[String], known: Known, out: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(path) = out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
            return Err(GenerateError::FileExists { path: path.display().to_string() }.into());
        }
        Ok(Self { schemas: schemas.iter().map(Ident::new).collect::<Result<_, _>>()?, known, out })
    }
}

/// A table, and why it was taken for what it is taken for.
#[derive(Debug, Clone, Serialize)]
pub struct Proposed {
    /// The table.
    pub table: String,
    /// What speaks for it, and against it.
    pub reasons: Vec<String>,
}

/// A proposed configuration.
#[derive(Debug, Serialize)]
pub struct Proposal {
    /// The schemas that were looked at.
    pub schemas: Vec<String>,
    /// Tables whose rows are an organization's, referenced ones before those that refer to them.
    pub tables: Vec<Proposed>,
    /// Tables that were left out.
    pub left_out: Vec<Proposed>,
    /// The ledger; none where no table is likely enough.
    pub ledger: Option<Proposed>,
    /// How its sums and the balances that somebody keeps agree; none where there are none to compare with.
    pub agreement: Option<Agreement>,
    /// What its sums are by either reading, where the sign of a quantity is a guess.
    pub guess: Option<Readings>,
    /// A table of balances that is there already.
    pub balances: Option<Proposed>,
    /// The people who use the application.
    pub users: Option<Proposed>,
    /// Organizations that are there already; none where Stockfoil made them, or there are none.
    pub organizations: Option<Proposed>,
    /// Why every command would refuse the proposal, where that is so.
    pub refused: Option<String>,
    /// What became of the proposal.
    pub state: State,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Its text, where it has no file.
    pub source: Option<String>,
}

impl Report for Proposal {
    const SCHEMA: &'static str = "stockfoil.propose/1";

    fn outcome(&self) -> Outcome {
        let is_sure = self.guess.is_none() && self.organizations.is_none() && self.refused.is_none();
        if self.ledger.is_some() && is_sure { Outcome::Clean } else { Outcome::Findings }
    }
}

/// Proposes a configuration for `db`, which it only reads.
///
/// # Errors
/// [`GenerateError`] where there are no tables, or the file is there or can't be written; database errors.
pub fn propose<'a>(db: &'a Db, request: &'a ProposalRequest) -> Task<'a, Proposal> {
    Box::pin(async move {
        let asked = super::existing(db, &request.schemas).await?;
        let survey = Survey::read(db, asked).await?;
        let schemas: Vec<String> = survey.schemas.iter().map(|schema| schema.as_str().to_owned()).collect();
        if survey.tables.is_empty() {
            let database = db.facts().database.clone();
            return Err(GenerateError::NoTables { database, schemas: schemas.join(", ") }.into());
        }
        request.known.check(&survey)?;
        let mut draft = draft(&survey, &request.known).await?;
        let (source, refused) = proof::proven(db, &survey, &mut draft).await?;
        let named = |table: &QualifiedName, reasons: &[String]| Proposed {
            table: table.plain(),
            reasons: reasons.to_vec(),
        };
        let listed = |list: &[Reasoned]| {
            list.iter().map(|(table, reason)| named(table, std::slice::from_ref(reason))).collect()
        };
        let mut proposal = Proposal {
            schemas,
            tables: listed(&draft.tables),
            left_out: listed(&draft.left_out),
            ledger: draft.ledger.as_ref().map(|ledger| named(&ledger.table, &ledger.reasons)),
            agreement: draft.ledger.as_ref().and_then(|ledger| ledger.agreement.clone()),
            guess: draft.ledger.as_ref().and_then(|ledger| ledger.readings.clone()),
            balances: draft.balances.as_ref().map(|balances| named(&balances.table, &balances.reasons)),
            users: draft.users.as_ref().map(|users| named(&users.table, &users.reasons)),
            organizations: draft.existing.clone(),
            refused,
            state: State::Returned,
            path: None,
            source: None,
        };
        match &request.out {
            Some(path) => {
                write_new(path, &source)?;
                proposal.path = Some(path.clone());
                proposal.state = State::Written;
            }
            None => proposal.source = Some(source),
        }
        Ok(proposal)
    })
}

/// A table, and why it was put where it is.
type Reasoned = (QualifiedName, String);

/// What will be written, as values.
struct Draft {
    tables: Vec<Reasoned>,
    left_out: Vec<Reasoned>,
    org_column: Ident,
    org_type: (&'static str, String),
    /// Organizations that are there already.
    existing: Option<Proposed>,
    /// The table for organizations, where the usual name is taken.
    organizations: Option<String>,
    ledger: Option<Ledger>,
    /// Tables that were nearly the ledger.
    runners_up: Vec<(String, i32)>,
    balances: Option<Balances>,
    /// Why tables that look like balances are none.
    no_balances: Vec<String>,
    users: Option<Users>,
}

async fn draft(survey: &Survey<'_>, known: &Known) -> Result<Draft, Error> {
    let (found, runners_up) = ledger::find(survey, known).await?;
    let ledger = match found {
        None => None,
        Some(mut found) => {
            agreement::test(survey, &mut found.ledger).await?;
            let mut ledger = found.settled();
            ledger.readings = agreement::readings(survey, &ledger).await?;
            Some(ledger)
        }
    };
    let (balances, no_balances) = match &ledger {
        Some(ledger) => balances::find(survey, ledger, known).await?,
        None => (None, Vec::new()),
    };
    let own = OwnTables::find(survey);
    let users = users::find(survey, &own.names);
    let start = ledger.as_ref().map(|ledger| &ledger.table);
    let (mut tables, left_out) = tenant_tables(survey, &own, known, start);
    for (table, reason) in [
        balances.as_ref().map(|balances| (&balances.table, "it holds the balances")),
        users.as_ref().map(|users| (&users.table, "it holds the people")),
    ]
    .into_iter()
    .flatten()
    {
        if tables.iter().all(|(name, _)| name != table) {
            tables.push((table.clone(), reason.to_owned()));
        }
    }
    let tables = ordered(survey, tables);
    let left_out = left_out.into_iter().filter(|(name, _)| tables.iter().all(|(table, _)| table != name));
    let taken = own.organizations.is_none()
        && survey.tables.iter().any(|table| table.name.name.as_str() == "organizations");
    let existing = ledger
        .as_ref()
        .and_then(|ledger| tenants::find(survey, &ledger.table, |table| own.names.contains(table)));
    Ok(Draft {
        existing,
        left_out: left_out.collect(),
        org_column: own.org_column.clone().unwrap_or_else(|| free_column(survey, &tables)),
        org_type: org_type(survey, &own, &tables),
        organizations: taken.then(|| "stockfoil_organizations".to_owned()),
        tables,
        ledger,
        runners_up,
        balances,
        no_balances,
        users,
    })
}

/// What Stockfoil made itself, in a database that it has migrated.
#[derive(Default)]
struct OwnTables {
    organizations: Option<QualifiedName>,
    org_column: Option<Ident>,
    names: BTreeSet<QualifiedName>,
}

impl OwnTables {
    fn find(survey: &Survey<'_>) -> Self {
        let has = |table: &Table, columns: &[&str]| {
            columns.iter().all(|name| table.columns.iter().any(|column| column.name.as_str() == *name))
        };
        let mut own = Self::default();
        for table in &survey.tables {
            if has(table, &["id", "subdomain", "is_active", "updated_at"]) {
                own.organizations = Some(table.name.clone());
                own.names.insert(table.name.clone());
            }
            if has(table, &["key_id", "org_id", "hash", "revoked_at"]) || is_stockfoils(table) {
                own.names.insert(table.name.clone());
            }
        }
        own.org_column = survey
            .tables
            .iter()
            .filter(|table| !own.names.contains(&table.name))
            .flat_map(|table| &table.foreign_keys)
            .find(|key| own.organizations.as_ref() == Some(&key.table))
            .and_then(|key| key.columns.first().cloned());
        own
    }
}

/// The tables that foreign keys connect with `start`, and those that they don't.
fn tenant_tables(
    survey: &Survey<'_>,
    own: &OwnTables,
    known: &Known,
    start: Option<&QualifiedName>,
) -> (Vec<Reasoned>, Vec<Reasoned>) {
    let mut reached: BTreeMap<QualifiedName, String> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut front: Vec<QualifiedName> = Vec::new();
    if let Some(start) = start {
        reached.insert(start.clone(), "it is the ledger".into());
        front.push(start.clone());
    }
    for table in survey.tables.iter().filter(|table| known.is_tenant(&table.name)) {
        reached.entry(table.name.clone()).or_insert_with(|| "you said so".into());
        front.push(table.name.clone());
    }
    while let Some(name) = front.pop() {
        for table in &survey.tables {
            for key in &table.foreign_keys {
                let columns: Vec<&str> = key.columns.iter().map(Ident::as_str).collect();
                let refers = format!("{}.{} refers to ", table.name.plain(), columns.join(", "));
                let (next, reason) = if table.name == name {
                    (&key.table, refers + "it")
                } else if key.table == name {
                    (&table.name, refers + &name.plain())
                } else {
                    continue;
                };
                let by_name =
                    if survey.is_inferred(&table.name, key) { ", by its name and values" } else { "" };
                if own.names.contains(next)
                    || reached.contains_key(next)
                    || apart(survey, known, next).is_some()
                    || survey.table(next).is_none()
                {
                    continue;
                }
                reached.insert(next.clone(), reason + by_name);
                front.push(next.clone());
            }
        }
    }
    for table in &survey.tables {
        let name = &table.name;
        if reached.contains_key(name) || own.names.contains(name) {
            continue;
        }
        let inventory = start.is_some() && is_of_default_inventory(survey, name);
        if inventory {
            reached.insert(name.clone(), "it is one of the default inventory's".into());
        } else if let Some(reason) = apart(survey, known, name) {
            left_out.push((name.clone(), reason.into()));
        } else {
            left_out.push((name.clone(), "no foreign key connects it with the ledger".into()));
        }
    }
    (reached.into_iter().collect(), left_out)
}

/// Whether a table is one of those that Stockfoil's own first migration makes, in a database that has all of them.
fn is_of_default_inventory(survey: &Survey<'_>, name: &QualifiedName) -> bool {
    let tables = Mapping::default().tenant_tables();
    tables.contains(name) && tables.iter().all(|table| survey.table(table).is_some())
}

/// Why a table is not followed on the way from the ledger.
fn apart(survey: &Survey<'_>, known: &Known, name: &QualifiedName) -> Option<&'static str> {
    if known.is_global(name) {
        Some("you said that it is everybody's")
    } else if known.is_tenant(name) {
        None
    } else if words::is_frameworks(name.name.as_str()) {
        Some("a framework keeps it for itself, by its name")
    } else {
        is_shared(survey, name).then_some("it seems to be the same for everybody")
    }
}

/// Whether a table looks like reference data: it refers to nothing, and its name says so.
fn is_shared(survey: &Survey<'_>, name: &QualifiedName) -> bool {
    let alone = survey.table(name).is_some_and(|table| table.foreign_keys.is_empty());
    alone && words::has(name.name.as_str(), words::SHARED)
}

/// Referenced tables before those that refer to them; by name where nothing decides.
fn ordered(survey: &Survey<'_>, tables: Vec<Reasoned>) -> Vec<Reasoned> {
    let mut waiting: BTreeMap<QualifiedName, String> = tables.into_iter().collect();
    let mut out = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_free = |name: &QualifiedName| {
            survey.table(name).is_none_or(|table| {
                table.foreign_keys.iter().all(|key| key.table == *name || !waiting.contains_key(&key.table))
            })
        };
        // Tables that refer to each other in a circle have no order; any of them may be first.
        let next = waiting.keys().find(|name| is_free(name)).or_else(|| waiting.keys().next()).cloned();
        if let Some(entry) = next.and_then(|name| waiting.remove_entry(&name)) {
            out.push(entry);
        }
    }
    out
}

/// `org_id`, unless a column of that name means something else.
fn free_column(survey: &Survey<'_>, tables: &[Reasoned]) -> Ident {
    let is_taken = |name: &Ident| {
        tables.iter().any(|(table, _)| survey.table(table).is_some_and(|table| table.column(name).is_some()))
    };
    let usual = Ident::fixed("org_id");
    if is_taken(&usual) { Ident::fixed("stockfoil_org_id") } else { usual }
}

/// The type of an organization's id, and why: what the tables use for their own keys.
fn org_type(survey: &Survey<'_>, own: &OwnTables, tables: &[Reasoned]) -> (&'static str, String) {
    let kind = |table: &Table| match primary_key(table) {
        [column] => table.column(column).map(|column| column.resolved.clone()),
        _ => None,
    };
    if let Some(organizations) = own.organizations.as_ref().and_then(|name| survey.table(name)) {
        let found = match kind(organizations) {
            Some(resolved) if resolved.kind == Type::Uuid => "uuid",
            Some(resolved) if is_integer(&resolved) => "bigint",
            _ => "text",
        };
        return (found, format!("{} has it", organizations.name.plain()));
    }
    let kinds: Vec<_> = tables.iter().filter_map(|(name, _)| survey.table(name)).filter_map(kind).collect();
    let most = |count: usize| count * 2 > kinds.len();
    let uuids = kinds.iter().filter(|resolved| resolved.kind == Type::Uuid).count();
    let integers = kinds.iter().filter(|resolved| is_integer(resolved)).count();
    if most(uuids) {
        ("uuid", format!("{uuids} of these tables have a uuid as their key"))
    } else if most(integers) {
        ("bigint", format!("{integers} of these tables have an integer as their key"))
    } else {
        ("text", "it holds an id of any kind".into())
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, source: &str) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::File { path: path.display().to_string(), verb: "written", source };
    let mut file = match fs::File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(GenerateError::FileExists { path: path.display().to_string() });
        }
        Err(error) => return Err(failed(error)),
    };
    file.write_all(source.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
