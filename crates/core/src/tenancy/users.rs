//! Moving users to an organization.

mod conflicts;
pub mod file;
mod selection;
mod with_rows;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    TenancyError,
    default_organization::{self, Change},
    moves::{
        self,
        guard::{self, Sight},
    },
    organization,
    people::People,
    require, require_moves,
};
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    history::{self, RunId},
    mapping::Mapping,
    model::{Model, Users},
    org_id::OrgId,
    report::{Outcome, Report},
    sql::Fixed,
};

use conflicts::conflicts;
pub use selection::{Origin, Selector};
pub use with_rows::{WithRows, with_rows};

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "users-assign";

/// What a run's summary says its records hold of each user.
pub(super) const PRIMARY: &str = "primary";

/// How often an assignment that lost to another session is tried again.
const ATTEMPTS_MAX: u32 = 5;

/// Users to move to an organization.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Where to.
    pub org: OrgId,
    /// Whom.
    pub selector: Selector,
    /// Out of which organizations.
    pub origin: Origin,
    /// How many users must move; with any other number, none does.
    pub expect: Option<u64>,
    /// Only say who would move.
    pub dry_run: bool,
}

/// A user who moves.
#[derive(Debug, Serialize)]
pub struct Move {
    /// The user; by the primary key where the mapped id is NULL.
    pub user_id: String,
    /// The primary key, by which the move is recorded.
    #[serde(skip)]
    key: String,
    /// The user's address.
    pub email: Option<String>,
    /// The organization that the user leaves, if any.
    pub from: Option<String>,
}

/// A user who can't move, because another one has the same key in the organization or moves there as well.
#[derive(Debug, Serialize)]
pub struct KeyConflict {
    /// The user.
    pub user_id: String,
    /// The user's address.
    pub email: Option<String>,
    /// The unique constraint or index.
    pub key: String,
    /// Who has the same key; of several, the one whose id is first.
    pub other_user_id: String,
}

/// A user who stays, because nothing was said of taking users from that organization.
#[derive(Debug, Serialize)]
pub struct Left {
    /// The user; by the primary key where the mapped id is NULL.
    pub user_id: String,
    /// The user's address.
    pub email: Option<String>,
    /// The organization that the user is of.
    pub org_id: Option<String>,
}

/// How many users an organization has.
#[derive(Debug, Serialize)]
pub struct Members {
    /// The organization; none stands for no organization.
    pub org_id: Option<String>,
    /// How many before.
    pub before: i64,
    /// How many after, or would be.
    pub after: i64,
}

/// Who moved, or would.
#[derive(Debug, Serialize)]
pub struct UsersAssigned {
    /// Where to.
    pub org_id: OrgId,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The run in `stockfoil.run`, by which it can be taken back; none where nobody was moved.
    pub run_id: Option<RunId>,
    /// Whether users were moved; all of `users`, or none.
    pub applied: bool,
    /// Why nobody can move, if so.
    pub stopped: Option<String>,
    /// Who moves, by id.
    pub users: Vec<Move>,
    /// The organizations that users leave or come to.
    pub organizations: Vec<Members>,
    /// How many of the selected users are there already.
    pub already_there: usize,
    /// Who of the selected users stays, since another organization than those that give has them.
    pub left: Vec<Left>,
    /// Who can't move, if anybody.
    pub conflicts: Vec<KeyConflict>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Report for UsersAssigned {
    const SCHEMA: &'static str = "stockfoil.users-assign/1";

    fn outcome(&self) -> Outcome {
        if self.stopped.is_some() { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Moves the selected users, in one transaction, or says who would move.
///
/// Users that a unique key keeps out, or another number of them than expected, stop everything: the report then says
/// so and nothing is changed. No row but theirs gets another organization, by whatever trigger, rule or foreign key.
///
/// # Errors
/// [`TenancyError`] for an organization or user that is not there, rows that refer to users within their organization,
/// rows that others hold, and databases before `migrate-org`; [`DataError`](super::moves::DataError) for a table of users
/// without a primary key, and for rows that would be taken along.
pub fn assign<'a>(db: &'a Db, mapping: &'a Mapping, assignment: &'a Assignment) -> Task<'a, UsersAssigned> {
    Box::pin(async move {
        let model = &ready(db, mapping, &assignment.origin, assignment.dry_run).await?;
        let users = movable(model)?;
        let mut tries = Tries::first();
        loop {
            match attempt(db, model, users, assignment, tries.sight).await {
                Err(error) => tries.again(error)?,
                report => return report,
            }
        }
    })
}

/// The model of a database in which users can be taken from `origin`.
///
/// # Errors
/// What keeps them from it.
async fn ready(db: &Db, mapping: &Mapping, origin: &Origin, dry_run: bool) -> Result<Model, Error> {
    if !dry_run {
        db.require_writable()?;
    }
    let model = mapping.resolve(db).await?;
    require(db, &model, &[&movable(&model)?.table]).await?;
    if let Origin::Default(default_org) = origin {
        default_organization::check(&mut *db.acquire().await?, &model, default_org, Change::Refused).await?;
    }
    if !dry_run {
        require_moves(db).await?;
    }
    Ok(model)
}

/// Why nobody of so many who would move can, if so.
fn stopped(expect: Option<u64>, moving: usize, conflicts: usize) -> Option<String> {
    match expect {
        Some(expect) if expect != moving as u64 => {
            Some(format!("--expect says {expect}, but {moving} would move"))
        }
        _ => (conflicts > 0)
            .then(|| format!("{conflicts} of them can't move, because a key of theirs is taken")),
    }
}

/// The users' table, where its rows say whose they are.
fn movable(model: &Model) -> Result<&Users, TenancyError> {
    match (&model.users, &model.memberships) {
        (None, _) => Err(TenancyError::NoUsers),
        (Some(_), Some(memberships)) => Err(TenancyError::Members(memberships.table.plain())),
        (Some(users), None) => Ok(users),
    }
}

/// How often an assignment was tried, and how it is tried next.
struct Tries {
    attempts: u32,
    sight: Sight,
}

impl Tries {
    fn first() -> Self {
        Self { attempts: 1, sight: Sight::Counting }
    }

    /// Whether it is tried again after `error`; else that is why it ends.
    fn again(&mut self, error: Error) -> Result<(), Error> {
        if guard::must_compare(&error) && self.sight == Sight::Counting {
            self.sight = Sight::Comparing;
            return Ok(());
        }
        match error.sqlstate().as_deref() {
            // Looked at again, a key that was taken meanwhile is a conflict with a name.
            Some("23505" | "40P01" | "40001") if self.attempts < ATTEMPTS_MAX => {
                self.attempts += 1;
                Ok(())
            }
            Some("55P03" | "40P01" | "40001") => Err(TenancyError::UsersLocked.into()),
            _ => Err(error),
        }
    }
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct User {
    key: String,
    id: String,
    email: Option<String>,
    org_id: Option<String>,
}

async fn attempt(
    db: &Db,
    model: &Model,
    users: &Users,
    assignment: &Assignment,
    sight: Sight,
) -> Result<UsersAssigned, Error> {
    let Assignment { org, expect, dry_run, .. } = assignment;
    let begin = if *dry_run { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { sight.begin() };
    let mut tx = db.pool().begin_with(begin).await?;
    let Some(organization) = organization::find(&mut tx, model, org).await? else {
        return Err(TenancyError::UnknownOrganization(org.clone()).into());
    };

    let people = People::read(&mut tx, model, users).await?;
    let Chosen { already_there, left, moves } = choose(&mut tx, &people, assignment).await?;
    let conflicts = conflicts(&mut tx, model, users, &people, org, &moves).await?;
    // Who is asked for by name is to move.
    let stays = || (!left.is_empty() && matches!(assignment.selector, Selector::Ids(_))).then(|| stay(&left));
    let stopped = stopped(*expect, moves.len(), conflicts.len()).or_else(stays);
    let keys: Vec<String> = moves.iter().map(|user| user.key.clone()).collect();
    if stopped.is_none() {
        people.refuse_referred(&mut tx, &keys).await?;
    }
    let applied = !dry_run && stopped.is_none() && !moves.is_empty();
    let before = members(&mut tx, model, org, &moves).await?;
    let mut warnings = Vec::new();
    if !organization.is_active {
        warnings.push(format!("organization {org} is inactive: its users can't work until it is activated"));
    }
    if stopped.is_none() && !left.is_empty() {
        warnings.push(stay(&left));
    }
    let mut report = UsersAssigned {
        org_id: org.clone(),
        dry_run: *dry_run,
        run_id: None,
        applied,
        stopped,
        organizations: Vec::new(),
        already_there,
        conflicts,
        left,
        warnings,
        users: moves
            .into_iter()
            .map(|User { key, id, email, org_id }| Move { user_id: id, key, email, from: org_id })
            .collect(),
    };
    report.organizations = summary(before, &report.users);
    if !applied {
        return Ok(report);
    }
    apply(tx, model, &people, report, sight).await
}

/// Whom a selector means, by what becomes of them.
struct Chosen {
    /// How many are there already.
    already_there: usize,
    left: Vec<Left>,
    /// Who would move, by id; locked unless this is a dry run.
    moves: Vec<User>,
}

async fn choose(
    connection: &mut PgConnection,
    people: &People<'_>,
    assignment: &Assignment,
) -> Result<Chosen, Error> {
    let Assignment { org, selector, origin, dry_run, .. } = assignment;
    let (ids, of_org) = selector.bounds(origin);
    let selected = select(&mut *connection, people, selector, (ids, of_org, None), Fixed("")).await?;
    refuse_unknown(selector, &selected)?;
    let is_there = |user: &User| user.org_id.as_deref() == Some(org.as_str());
    let (already, others): (Vec<User>, Vec<User>) = selected.into_iter().partition(is_there);
    let gives = |user: &User| origin.gives(user.org_id.as_deref());
    let (mut moves, left): (Vec<User>, Vec<User>) = others.into_iter().partition(gives);
    if !dry_run {
        // While rows are waited for, others wait for those that are held already.
        sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *connection).await?;
        let keys = moves.iter().map(|user| user.key.as_str()).collect();
        moves =
            select(&mut *connection, people, selector, (None, None, Some(keys)), Fixed("FOR UPDATE OF t"))
                .await?;
        moves.retain(|user| !is_there(user) && gives(user));
    }

    moves.sort_by(|one, other| (&one.id, &one.key).cmp(&(&other.id, &other.key)));
    let mut left: Vec<Left> =
        left.into_iter().map(|User { id, email, org_id, .. }| Left { user_id: id, email, org_id }).collect();
    left.sort_by(|one, other| one.user_id.cmp(&other.user_id));
    Ok(Chosen { already_there: already.len(), left, moves })
}

/// Who stays, in words, and what takes them too.
fn stay(left: &[Left]) -> String {
    const SHOWN: usize = 5;
    let name = |user: &Left| {
        let org = user.org_id.as_deref().unwrap_or("no organization");
        format!("{} (of {org})", user.email.as_ref().unwrap_or(&user.user_id))
    };
    let shown: Vec<String> = left.iter().take(SHOWN).map(name).collect();
    let more = match left.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let orgs: BTreeSet<&str> = left.iter().filter_map(|user| user.org_id.as_deref()).collect();
    let flags: Vec<String> = orgs.iter().take(SHOWN).map(|org| format!("--from {org}")).collect();
    let (whose, next) = match flags.is_empty() {
        true => {
            ("no organization's, and stay so", "--all without --from and --with-rows takes them".to_owned())
        }
        false => {
            ("another organization's, and stay there", format!("{} takes them from it", flags.join(" ")))
        }
    };
    format!("{} of the selected users are {whose}: {}{more}; {next}", left.len(), shown.join(", "))
}

/// Moves the users of `report` and records it, in the transaction that has locked their rows.
async fn apply(
    mut tx: Transaction<'_, Postgres>,
    model: &Model,
    people: &People<'_>,
    mut report: UsersAssigned,
    sight: Sight,
) -> Result<UsersAssigned, Error> {
    let org = report.org_id.clone();
    let keys: Vec<String> = report.users.iter().map(|user| user.key.clone()).collect();
    people.give(&mut tx, &org, &keys, sight).await?;
    // In the same transaction: whoever has moved is recorded, and nobody else is.
    let run = history::start(&mut tx, COMMAND).await?;
    report.run_id = Some(run);
    let mut by_origin: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for user in &report.users {
        by_origin.entry(user.from.as_deref()).or_default().push(user.key.clone());
    }
    for (from, ids) in &by_origin {
        moves::record(&mut tx, run, people.table(), *from, Some(org.as_str()), ids).await?;
    }
    for members in &mut report.organizations {
        members.after = count(&mut tx, model, members.org_id.as_deref()).await?;
    }
    let report = history::finish(&mut tx, run, Ok(report), |report| {
        serde_json::json!({
            "org_id": org, "users": report.users.len(), "organizations": report.organizations, "keys": PRIMARY,
        })
    })
    .await?;
    tx.commit().await.context("move the users")?;
    Ok(report)
}

/// How many users the organizations have that `moves` leave, and `org`.
async fn members(
    connection: &mut PgConnection,
    model: &Model,
    org: &OrgId,
    moves: &[User],
) -> Result<Vec<Members>, DbError> {
    if moves.is_empty() {
        return Ok(Vec::new());
    }
    let mut organizations: BTreeSet<Option<&str>> = moves.iter().map(|user| user.org_id.as_deref()).collect();
    organizations.insert(Some(org.as_str()));
    let mut counted = Vec::new();
    for org_id in organizations {
        let before = count(connection, model, org_id).await?;
        counted.push(Members { org_id: org_id.map(str::to_owned), before, after: before });
    }
    Ok(counted)
}

async fn count(connection: &mut PgConnection, model: &Model, org: Option<&str>) -> Result<i64, DbError> {
    let statement =
        model.render("SELECT count(*) FROM {users} WHERE {org} IS NOT DISTINCT FROM $1::text::{org.type}");
    sqlx::query_scalar(statement.sql()).bind(org).fetch_one(connection).await.context("count the users")
}

/// What `before` becomes when `users` have moved to the organization that none of them leaves.
fn summary(mut before: Vec<Members>, users: &[Move]) -> Vec<Members> {
    let total = i64::try_from(users.len()).unwrap_or(i64::MAX);
    for members in &mut before {
        let leaving = users.iter().filter(|user| user.from == members.org_id).count();
        let leaving = i64::try_from(leaving).unwrap_or(i64::MAX);
        members.after += if leaving == 0 { total } else { -leaving };
    }
    before
}

/// Which users a selector is asked about: those with these ids, of this organization or none, with these primary keys.
type Bounds<'a> = (Option<Vec<&'a str>>, Option<&'a str>, Option<Vec<&'a str>>);

/// The users that `selector` takes, in the order of their primary key.
async fn select(
    connection: &mut PgConnection,
    people: &People<'_>,
    selector: &Selector,
    (ids, of_org, keys): Bounds<'_>,
    lock: Fixed,
) -> Result<Vec<User>, DbError> {
    let statement = people.select(lock);
    let mut users =
        sqlx::query_as::<_, User>(statement.sql()).bind(ids).bind(of_org).bind(keys).fetch(connection);
    let mut taken = Vec::new();
    while let Some(user) = users.try_next().await.context("read the users")? {
        if selector.takes(&user) {
            taken.push(user);
        }
    }
    Ok(taken)
}

fn refuse_unknown(selector: &Selector, selected: &[User]) -> Result<(), TenancyError> {
    let Selector::Ids(ids) = selector else { return Ok(()) };
    let known: BTreeSet<&str> = selected.iter().map(|user| user.id.as_str()).collect();
    let unknown: Vec<String> = ids.iter().filter(|id| !known.contains(id.as_str())).cloned().collect();
    if !unknown.is_empty() {
        return Err(TenancyError::UnknownUsers(unknown));
    }
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> =
        selected.iter().map(|user| user.id.as_str()).filter(|id| !seen.insert(*id)).collect();
    match twice.is_empty() {
        true => Ok(()),
        false => Err(TenancyError::AmbiguousUsers(twice.into_iter().map(str::to_owned).collect())),
    }
}
