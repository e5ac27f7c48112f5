//! A `stockfoil.toml` proposed for a database that nobody has described yet.
//!
//! What a table is for is guessed from what the catalog says (names, types, keys, who refers to whom), from the
//! statistics (does it grow, or does it change), and from its first rows (is a quantity ever negative). Each guess
//! is a line of reasons in the file; a person decides.

mod balances;
mod ledger;
mod postings;
mod shape;
mod survey;
mod text;
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
use shape::is_stockfoils;
use survey::{Survey, is_integer, primary_key};

/// What to look at and where the proposal goes; checked before anything is read.
#[derive(Debug, Clone)]
pub struct ProposalRequest {
    schemas: Vec<Ident>,
    out: Option<PathBuf>,
}

impl ProposalRequest {
    /// A proposal for the tables in `schemas` (none: every schema of the application's), written to `out` or given
    /// in the report.
    ///
    /// # Errors
    /// [`GenerateError::FileExists`] where something is at `out`, and names that can't be a schema's.
    pub fn new(schemas: &[String], out: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(path) = out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
            return Err(GenerateError::FileExists { path: path.display().to_string() }.into());
        }
        Ok(Self { schemas: schemas.iter().map(Ident::new).collect::<Result<_, _>>()?, out })
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
    /// A table of balances that is there already.
    pub balances: Option<Proposed>,
    /// The people who use the application.
    pub users: Option<Proposed>,
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
        if self.ledger.is_some() { Outcome::Clean } else { Outcome::Findings }
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
        let draft = draft(&survey).await?;
        let source = text::write(&db.facts().database, &survey, &draft);
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
            balances: draft.balances.as_ref().map(|balances| named(&balances.table, &balances.reasons)),
            users: draft.users.as_ref().map(|users| named(&users.table, &users.reasons)),
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

/// The likely table of people.
struct Users {
    table: QualifiedName,
    id: Ident,
    email: Ident,
    reasons: Vec<String>,
}

async fn draft(survey: &Survey<'_>) -> Result<Draft, Error> {
    let (ledger, runners_up) = ledger::find(survey).await?;
    let (balances, no_balances) = match &ledger {
        Some(ledger) => balances::find(survey, ledger).await?,
        None => (None, Vec::new()),
    };
    let own = OwnTables::find(survey);
    let users = users(survey, &own);
    let start = ledger.as_ref().map(|ledger| &ledger.table);
    let (mut tables, left_out) = tenant_tables(survey, &own, start);
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
    Ok(Draft {
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
    start: Option<&QualifiedName>,
) -> (Vec<Reasoned>, Vec<Reasoned>) {
    let mut reached: BTreeMap<QualifiedName, String> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut front: Vec<QualifiedName> = Vec::new();
    if let Some(start) = start {
        reached.insert(start.clone(), "it is the ledger".into());
        front.push(start.clone());
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
                if own.names.contains(next)
                    || reached.contains_key(next)
                    || is_shared(survey, next)
                    || survey.table(next).is_none()
                {
                    continue;
                }
                reached.insert(next.clone(), reason);
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
        } else if is_shared(survey, name) {
            left_out.push((name.clone(), "it seems to be the same for everybody".into()));
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

/// The people: a table with an address, a key of one column, and a name that says so.
fn users(survey: &Survey<'_>, own: &OwnTables) -> Option<Users> {
    let mut found: Vec<(i32, Users)> = Vec::new();
    for table in survey.tables.iter().filter(|table| !own.names.contains(&table.name)) {
        let [id] = primary_key(table) else { continue };
        let texts = || table.columns.iter().filter(|column| column.resolved.kind == Type::Text);
        let address = texts().find(|column| words::has(column.name.as_str(), words::EMAIL));
        let login = || texts().find(|column| words::has(column.name.as_str(), words::LOGIN));
        let Some(email) = address.or_else(login) else { continue };
        let name = table.name.name.as_str();
        let mut points = 0;
        let mut reasons = vec![format!("{} is an address or a login", email.name.as_str())];
        if words::has(name, words::USER) {
            points += 3;
            reasons.push("its name is one of people who use an application".into());
        }
        if words::has(name, words::OUTSIDER) {
            points -= 4;
        }
        if table.keys.iter().any(|key| key.columns == [email.name.clone()]) {
            points += 2;
            reasons.push(format!("{} is unique", email.name.as_str()));
        }
        let referring =
            survey.tables.iter().filter(|other| other.foreign_keys.iter().any(|key| key.table == table.name));
        let referring = referring.count();
        if referring > 0 {
            points += 1;
            reasons.push(format!("tables that refer to it: {referring}"));
        }
        let users = Users { table: table.name.clone(), id: id.clone(), email: email.name.clone(), reasons };
        if points >= 2 {
            found.push((points, users));
        }
    }
    found.into_iter().max_by_key(|(points, _)| *points).map(|(_, users)| users)
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
