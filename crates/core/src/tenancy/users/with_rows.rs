//! Users who move with the rows that refer to them.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Assignment, Left, Origin, Selector, User, movable, ready, refuse_unknown, select, stay};
use crate::{
    Task, catalog,
    db::{Context as _, Db, DbError},
    mapping::Mapping,
    org_id::OrgId,
    sql::{Fixed, QualifiedName},
    tenancy::{TenancyError, people::People},
};

/// Whom an assignment selects, for a move of all that belongs to them.
#[derive(Debug)]
pub struct WithRows {
    /// Their primary keys, as the records write them.
    pub keys: BTreeSet<String>,
    /// The organization that gives.
    pub from: OrgId,
    /// Whether it is the default one because none was named.
    pub is_default: bool,
    /// What the operator should know of those who stay.
    pub warning: Option<String>,
}

/// The selected users whom the organization that gives has, and those who are there already: who was moved before a run was
/// killed belongs to what the next one goes on with. Where everybody is selected, those are there already whom such a run moved.
///
/// # Errors
/// [`TenancyError`] for several organizations that give, a user that is not there, and databases before `migrate-org`;
/// [`DataError`](crate::tenancy::data::DataError) for a table of users without a primary key.
pub fn with_rows<'a>(db: &'a Db, mapping: &'a Mapping, assignment: &'a Assignment) -> Task<'a, WithRows> {
    Box::pin(async move {
        let Assignment { org, selector, origin, .. } = assignment;
        let (from, is_default) = match origin {
            Origin::Default(default) => (OrgId::new(default).map_err(TenancyError::from)?, true),
            Origin::Orgs(orgs) => match orgs.as_slice() {
                [from] => (from.clone(), false),
                _ => return Err(TenancyError::OneOrigin.into()),
            },
        };
        // The move itself asks for more.
        let model = &ready(db, mapping, origin, true).await?;
        let users = movable(model)?;
        let mut connection = db.acquire().await?;
        let people = People::read(&mut connection, model, users).await?;
        let ids = selector.bounds(origin).0;
        let selected = select(&mut connection, &people, selector, (ids, None, None), Fixed("")).await?;
        refuse_unknown(selector, &selected)?;
        let is_of = |user: &User, org: &OrgId| user.org_id.as_deref() == Some(org.as_str());
        // Everybody of the organization that gives is who was its when an earlier run began, too.
        let came = match selector {
            Selector::All => came(&mut connection, people.table(), &from, org).await?,
            _ => BTreeSet::new(),
        };
        let is_meant = |user: &User| !matches!(selector, Selector::All) || came.contains(&user.key);
        let is_there = |user: &User| is_of(user, org) && is_meant(user);
        let (chosen, others): (Vec<User>, Vec<User>) =
            selected.into_iter().partition(|user| is_of(user, &from) || is_there(user));
        // Of everybody those stay who are of no organization, whom --all takes without their rows.
        let stays = |user: &User| !matches!(selector, Selector::All) || (is_default && user.org_id.is_none());
        let left: Vec<Left> = others
            .into_iter()
            .filter(stays)
            .map(|User { id, email, org_id, .. }| Left { user_id: id, email, org_id })
            .collect();
        if !left.is_empty() && matches!(selector, Selector::Ids(_)) {
            let ids = left.into_iter().map(|user| user.user_id).collect();
            return Err(TenancyError::UsersElsewhere { from, ids }.into());
        }
        let keys = chosen.into_iter().map(|user| user.key).collect();
        Ok(WithRows { keys, from, is_default, warning: (!left.is_empty()).then(|| stay(&left)) })
    })
}

/// Who went from one organization to the other with their rows before, and was not put back: the primary keys.
async fn came(
    connection: &mut PgConnection,
    users: &QualifiedName,
    from: &OrgId,
    to: &OrgId,
) -> Result<BTreeSet<String>, DbError> {
    if !catalog::is_there(connection, "stockfoil.move").await? {
        return Ok(BTreeSet::new());
    }
    let keys: Vec<String> = sqlx::query_scalar(include_str!("came.sql"))
        .bind(from)
        .bind(to)
        .bind(users.schema.as_str())
        .bind(users.name.as_str())
        .fetch_all(connection)
        .await
        .context("look for whom earlier runs moved")?;
    Ok(keys.into_iter().collect())
}
