//! What the lines of a file mean: which user, and whether that one moves.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Asked, FileMove, PeopleFile};
use crate::{
    Error, Failure,
    model::Model,
    org_id::OrgId,
    sql::Fixed,
    tenancy::{
        email_pattern::fold,
        lines::Mistake,
        named, organization,
        people::People,
        users::{Origin, Selector, User, select},
    },
};

/// What is found of the lines, one after the other.
pub(super) struct Look {
    pub(super) moves: Vec<FileMove>,
    pub(super) already_there: usize,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
}

impl Look {
    pub(super) fn of(file: &PeopleFile) -> Self {
        Self { moves: Vec::new(), already_there: 0, mistakes: file.mistakes.clone(), warnings: Vec::new() }
    }

    /// The organizations that the lines name, by their places.
    pub(super) async fn organizations(
        &mut self,
        connection: &mut PgConnection,
        model: &Model,
        file: &PeopleFile,
    ) -> Result<Vec<Option<OrgId>>, Error> {
        let mut known: BTreeMap<String, Result<OrgId, String>> = BTreeMap::new();
        let mut orgs = Vec::with_capacity(file.lines.len());
        for Asked { line, org, .. } in &file.lines {
            if !known.contains_key(org.as_str()) {
                let found = match named::look(connection, model, org).await {
                    Ok(id) => Ok(id),
                    Err(Error::Tenancy(error)) if error.failure() == Failure::Usage => Err(error.to_string()),
                    Err(error) => return Err(error),
                };
                if let Ok(id) = &found
                    && let Some(row) = organization::find(connection, model, id).await?
                    && !row.is_active
                {
                    self.warnings.push(format!(
                        "organization {id} is inactive: its users can't work until it is activated"
                    ));
                }
                known.insert(org.as_str().to_owned(), found);
            }
            orgs.push(match known.get(org.as_str()) {
                Some(Ok(id)) => Some(id.clone()),
                Some(Err(what)) => {
                    self.mistakes.push(Mistake::new(*line, what));
                    None
                }
                None => None,
            });
        }
        Ok(orgs)
    }

    /// Whom each line moves.
    pub(super) fn choose(
        &mut self,
        file: &PeopleFile,
        orgs: &[Option<OrgId>],
        selected: &[User],
        origin: &Origin,
    ) {
        let by_name = by_name(selected);
        let mut lines: BTreeMap<&str, (u64, &OrgId)> = BTreeMap::new();
        for (asked, org) in file.lines.iter().zip(orgs) {
            let Some(org) = org else { continue };
            let candidates = by_name.get(&asked.name()).map(Vec::as_slice).unwrap_or_default();
            let user = match pick(asked, org, candidates, origin) {
                Ok(user) => user,
                Err(what) => {
                    self.mistakes.push(Mistake::new(asked.line, what));
                    continue;
                }
            };
            let (first, other) = *lines.entry(user.key.as_str()).or_insert((asked.line, org));
            match (first == asked.line, other == org) {
                (false, true) => continue,
                (false, false) => {
                    let what =
                        format!("line {first} gives user {} to {other}, and this one to {org}", user.id);
                    self.mistakes.push(Mistake::new(asked.line, what));
                    continue;
                }
                (true, _) => {}
            }
            if user.org_id.as_deref() == Some(org.as_str()) {
                self.already_there += 1;
                continue;
            }
            let User { key, id, email, org_id } = user.clone();
            self.moves.push(FileMove {
                line: asked.line,
                user_id: id,
                key,
                email,
                from: org_id,
                to: org.clone(),
            });
        }
    }

    /// Locks the rows of those who move; who has changed since they were looked at is a mistake.
    pub(super) async fn lock(
        &mut self,
        connection: &mut PgConnection,
        people: &People<'_>,
        selector: &Selector,
        selected: &[User],
    ) -> Result<(), Error> {
        // While rows are waited for, others wait for those that are held already.
        sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *connection).await?;
        let keys = self.moves.iter().map(|user| user.key.as_str()).collect();
        let locked =
            select(connection, people, selector, (None, None, Some(keys)), Fixed("FOR UPDATE OF t")).await?;
        let now: BTreeMap<&str, &User> = locked.iter().map(|user| (user.key.as_str(), user)).collect();
        let then: BTreeMap<&str, &User> = selected.iter().map(|user| (user.key.as_str(), user)).collect();
        for user in &self.moves {
            let key = user.key.as_str();
            if now.get(key).map(|user| &user.org_id) != then.get(key).map(|user| &user.org_id) {
                let what = format!("user {} was changed meanwhile; run it again", user.user_id);
                self.mistakes.push(Mistake::new(user.line, what));
            }
        }
        Ok(())
    }
}

/// What a line can call a user by.
type Name = (bool, String);

impl Asked {
    /// The id, else the address.
    fn name(&self) -> Name {
        match (&self.id, &self.email) {
            (Some(id), _) => (true, id.clone()),
            (None, email) => (false, fold(email.as_deref().unwrap_or_default()).into_owned()),
        }
    }
}

fn by_name(users: &[User]) -> BTreeMap<Name, Vec<&User>> {
    let mut by_name: BTreeMap<Name, Vec<&User>> = BTreeMap::new();
    for user in users {
        by_name.entry((true, user.id.clone())).or_default().push(user);
        if let Some(email) = &user.email {
            by_name.entry((false, fold(email).into_owned())).or_default().push(user);
        }
    }
    by_name
}

/// The one user whom a line gives to `org`, or who is there already; else what is wrong with the line.
fn pick<'u>(
    asked: &Asked,
    org: &OrgId,
    candidates: &[&'u User],
    origin: &Origin,
) -> Result<&'u User, String> {
    let called = asked.called();
    if candidates.is_empty() {
        return Err(format!("there is no user {called}"));
    }
    let is_there = |user: &&&User| user.org_id.as_deref() == Some(org.as_str());
    let several = |users: &[&User]| {
        let ids: Vec<String> = users.iter().map(|user| format!("{} (key {})", user.id, user.key)).collect();
        format!("{} users are called {called}: {}; give the id of one", users.len(), ids.join(", "))
    };
    if asked.id.is_some() && candidates.len() > 1 {
        return Err(several(candidates));
    }
    if let (Some(_), Some(email), [user]) = (&asked.id, &asked.email, candidates)
        && user.email.as_deref().is_none_or(|known| fold(known) != fold(email))
    {
        let known = user.email.as_deref().unwrap_or("none");
        return Err(format!("user {called} has the address {known:?}, and not {email:?}"));
    }
    if let Some(user) = candidates.iter().find(is_there) {
        return Ok(user);
    }
    let giving: Vec<&User> =
        candidates.iter().copied().filter(|user| origin.gives(user.org_id.as_deref())).collect();
    match giving.as_slice() {
        [user] => Ok(user),
        [] => {
            let (user, org) = (candidates[0], candidates[0].org_id.as_deref().unwrap_or_default());
            let id = &user.id;
            Err(format!(
                "user {id} is of organization {org}, and stays there; --from {org} takes users from it"
            ))
        }
        giving => Err(several(giving)),
    }
}
