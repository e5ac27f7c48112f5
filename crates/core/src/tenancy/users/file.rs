//! Moving users to the organizations that a file gives them.

mod look;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    COMMAND, KeyConflict, Members, Origin, PRIMARY, People, Selector, Tries, User, conflicts, count, movable,
    ready, select, stopped,
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    history::{self, RunId},
    mapping::Mapping,
    model::{Model, Users},
    org_id::OrgId,
    report::{Outcome, Report},
    sql::Fixed,
    tenancy::{
        TenancyError,
        email_pattern::fold,
        lines::{Line, Lines, Mistake},
        moves::{self, guard::Sight},
        named::OrgName,
    },
};
use look::Look;

/// The columns that a file may have.
const COLUMNS: [&str; 3] = ["email", "id", "organization"];

/// The users that a file gives to organizations, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct PeopleFile {
    lines: Vec<Asked>,
    mistakes: Vec<Mistake>,
}

/// What a line asks for.
#[derive(Debug, Clone)]
struct Asked {
    line: u64,
    id: Option<String>,
    email: Option<String>,
    org: OrgName,
}

/// How a file is carried out.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Out of which organizations users are taken.
    pub origin: Origin,
    /// How many users must move; with any other number, none does.
    pub expect: Option<u64>,
    /// Only say who would move.
    pub dry_run: bool,
}

impl PeopleFile {
    /// Reads a file, and checks what can be checked without a database.
    ///
    /// # Errors
    /// [`TenancyError::Lines`].
    pub fn read(bytes: &[u8]) -> Result<Self, TenancyError> {
        let Lines { lines, mistakes } = Lines::read(bytes, &COLUMNS)?;
        let mut file = Self { lines: Vec::with_capacity(lines.len()), mistakes };
        for line in &lines {
            match Asked::of(line) {
                Ok(asked) => file.lines.push(asked),
                Err(what) => file.mistakes.push(Mistake::new(line.number, what)),
            }
        }
        Ok(file)
    }

    fn selector(&self) -> Selector {
        let ids = self.lines.iter().filter_map(|asked| asked.id.clone()).collect();
        let by_email = self.lines.iter().filter(|asked| asked.id.is_none());
        let emails = by_email.filter_map(|asked| Some(fold(asked.email.as_deref()?).into_owned())).collect();
        Selector::Listed { ids, emails }
    }
}

impl Asked {
    fn of(line: &Line) -> Result<Self, String> {
        let (id, email) = (line.get("id").map(str::to_owned), line.get("email").map(str::to_owned));
        if id.is_none() && email.is_none() {
            return Err("names nobody; give the user's email, or the id".to_owned());
        }
        let Some(org) = line.get("organization") else {
            return Err("names no organization; give its id or its subdomain".to_owned());
        };
        let org = org.parse().map_err(|error: crate::org_id::OrgIdError| error.to_string())?;
        Ok(Self { line: line.number, id, email, org })
    }

    /// What the line calls the user.
    fn called(&self) -> String {
        let text = self.id.as_ref().or(self.email.as_ref());
        format!("{:?}", text.map_or("", String::as_str))
    }
}

/// A user who moves.
#[derive(Debug, Clone, Serialize)]
pub struct FileMove {
    /// The line that says so.
    pub line: u64,
    /// The user; by the primary key where the mapped id is NULL.
    pub user_id: String,
    /// The primary key, by which the move is recorded.
    #[serde(skip)]
    key: String,
    /// The user's address.
    pub email: Option<String>,
    /// The organization that the user leaves, if any.
    pub from: Option<String>,
    /// Where the user moves to.
    pub to: OrgId,
}

/// A user who can't move, because another one has the same key in the organization or moves there as well.
#[derive(Debug, Serialize)]
pub struct FileConflict {
    /// Where the user was to move to.
    pub to: OrgId,
    /// The user, and the key.
    #[serde(flatten)]
    pub conflict: KeyConflict,
}

/// Who moved by a file, or would.
#[derive(Debug, Serialize)]
pub struct PeopleAssigned {
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The run in `stockfoil.run`, by which it can be taken back; none where nobody was moved.
    pub run_id: Option<RunId>,
    /// Whether users were moved; all of `users`, or none.
    pub applied: bool,
    /// Why nobody can move, if so.
    pub stopped: Option<String>,
    /// Who moves, by line.
    pub users: Vec<FileMove>,
    /// The organizations that users leave or come to.
    pub organizations: Vec<Members>,
    /// How many of the file's users are there already.
    pub already_there: usize,
    /// Who can't move, if anybody.
    pub conflicts: Vec<FileConflict>,
    /// What is wrong with the file, by line.
    pub mistakes: Vec<Mistake>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for PeopleAssigned {
    const SCHEMA: &'static str = "stockfoil.users-assign-file/1";

    fn outcome(&self) -> Outcome {
        if self.stopped.is_some() { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Moves the users of `file` to the organizations that it gives them, all in one transaction and one run, or says who would
/// move. By the rules of [`assign`](super::assign): what is wrong with any line stops everything.
///
/// # Errors
/// As [`assign`](super::assign).
pub fn assign<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    file: &'a PeopleFile,
    terms: &'a Terms,
) -> Task<'a, PeopleAssigned> {
    Box::pin(async move {
        let model = &ready(db, mapping, &terms.origin, terms.dry_run).await?;
        let users = movable(model)?;
        let mut tries = Tries::first();
        loop {
            match attempt(db, model, users, file, terms, tries.sight).await {
                Err(error) => tries.again(error)?,
                report => return report,
            }
        }
    })
}

async fn attempt(
    db: &Db,
    model: &Model,
    users: &Users,
    file: &PeopleFile,
    terms: &Terms,
    sight: Sight,
) -> Result<PeopleAssigned, Error> {
    let begin = if terms.dry_run { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { sight.begin() };
    let mut tx = db.pool().begin_with(begin).await?;
    let mut look = Look::of(file);
    let orgs = look.organizations(&mut tx, model, file).await?;
    let people = People::read(&mut tx, model, users).await?;
    let selector = file.selector();
    let (ids, of_org) = selector.bounds(&terms.origin);
    let selected = select(&mut tx, &people, &selector, (ids, of_org, None), Fixed("")).await?;
    look.choose(file, &orgs, &selected, &terms.origin);
    if !terms.dry_run {
        look.lock(&mut tx, &people, &selector, &selected).await?;
    }
    let Look { moves, already_there, mut mistakes, warnings } = look;
    let conflicts = all_conflicts(&mut tx, model, users, &people, &selected, &moves).await?;
    mistakes.sort();
    let stopped = match mistakes.len() {
        0 => stopped(terms.expect, moves.len(), conflicts.len()),
        1 => Some("1 mistake in the file".to_owned()),
        several => Some(format!("{several} mistakes in the file")),
    };
    if stopped.is_none() {
        let keys: Vec<String> = moves.iter().map(|user| user.key.clone()).collect();
        people.refuse_referred(&mut tx, &keys).await?;
    }
    let organizations = members(&mut tx, model, &moves).await?;
    let applied = !terms.dry_run && stopped.is_none() && !moves.is_empty();
    let report = PeopleAssigned {
        dry_run: terms.dry_run,
        run_id: None,
        applied,
        stopped,
        users: moves,
        organizations,
        already_there,
        conflicts,
        mistakes,
        warnings,
    };
    if !applied {
        return Ok(report);
    }
    apply(tx, model, &people, report, sight).await
}

/// Who of `moves` would break a unique key in the organization.
async fn all_conflicts(
    connection: &mut PgConnection,
    model: &Model,
    users: &Users,
    people: &People<'_>,
    selected: &[User],
    moves: &[FileMove],
) -> Result<Vec<FileConflict>, Error> {
    let by_key: BTreeMap<&str, &User> = selected.iter().map(|user| (user.key.as_str(), user)).collect();
    let mut found = Vec::new();
    for (to, keys) in by_target(moves) {
        let moving: Vec<User> =
            keys.iter().filter_map(|user| by_key.get(user.key.as_str()).copied().cloned()).collect();
        let conflicts = conflicts(connection, model, users, people, to, &moving).await?;
        found.extend(conflicts.into_iter().map(|conflict| FileConflict { to: to.clone(), conflict }));
    }
    Ok(found)
}

fn by_target(moves: &[FileMove]) -> BTreeMap<&OrgId, Vec<&FileMove>> {
    let mut by_target: BTreeMap<&OrgId, Vec<&FileMove>> = BTreeMap::new();
    for user in moves {
        by_target.entry(&user.to).or_default().push(user);
    }
    by_target
}

/// How many users the organizations have that `moves` leave or come to, and will have.
async fn members(
    connection: &mut PgConnection,
    model: &Model,
    moves: &[FileMove],
) -> Result<Vec<Members>, Error> {
    let orgs: BTreeSet<Option<&str>> =
        moves.iter().flat_map(|user| [user.from.as_deref(), Some(user.to.as_str())]).collect();
    let mut counted = Vec::with_capacity(orgs.len());
    for org in orgs {
        let before = count(connection, model, org).await?;
        let of = |is: &dyn Fn(&FileMove) -> bool| {
            i64::try_from(moves.iter().filter(|user| is(user)).count()).unwrap_or(i64::MAX)
        };
        let leaving = of(&|user| user.from.as_deref() == org);
        let coming = of(&|user| Some(user.to.as_str()) == org);
        counted.push(Members { org_id: org.map(str::to_owned), before, after: before - leaving + coming });
    }
    Ok(counted)
}

/// Moves the users of `report` and records it, in the transaction that has locked their rows.
async fn apply(
    mut tx: Transaction<'_, Postgres>,
    model: &Model,
    people: &People<'_>,
    mut report: PeopleAssigned,
    sight: Sight,
) -> Result<PeopleAssigned, Error> {
    // In the same transaction: whoever has moved is recorded, and nobody else is.
    let run = history::start(&mut tx, COMMAND).await?;
    report.run_id = Some(run);
    for (to, users) in by_target(&report.users) {
        let keys: Vec<String> = users.iter().map(|user| user.key.clone()).collect();
        people.give(&mut tx, to, &keys, sight).await?;
        let mut by_origin: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
        for user in users {
            by_origin.entry(user.from.as_deref()).or_default().push(user.key.clone());
        }
        for (from, keys) in by_origin {
            moves::record(&mut tx, run, people.table(), from, Some(to.as_str()), &keys).await?;
        }
    }
    for members in &mut report.organizations {
        members.after = count(&mut tx, model, members.org_id.as_deref()).await?;
    }
    let report = history::finish(&mut tx, run, Ok(report), |report| {
        serde_json::json!({ "users": report.users.len(), "organizations": report.organizations, "keys": PRIMARY })
    })
    .await?;
    tx.commit().await.context("move the users")?;
    Ok(report)
}
