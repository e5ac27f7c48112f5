//! Users who move with the rows that refer to them.

use std::collections::BTreeSet;

use super::{Assignment, Left, Origin, Selector, User, movable, refuse_unknown, select, stay};
use crate::{
    Task,
    db::Db,
    mapping::Mapping,
    org_id::OrgId,
    sql::Fixed,
    tenancy::{TenancyError, default_organization, default_organization::Change, people::People, require},
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
/// killed belongs to what the next one goes on with.
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
        let model = &mapping.resolve(db).await?;
        let users = movable(model)?;
        require(db, model, &[&users.table]).await?;
        let mut connection = db.acquire().await?;
        if let Origin::Default(default) = origin {
            default_organization::check(&mut connection, model, default, Change::Refused).await?;
        }
        let people = People::read(&mut connection, model, users).await?;
        let ids = selector.bounds(origin).0;
        let selected = select(&mut connection, &people, selector, (ids, None, None), Fixed("")).await?;
        refuse_unknown(selector, &selected)?;
        let is_of = |user: &User, org: &OrgId| user.org_id.as_deref() == Some(org.as_str());
        let is_there = |user: &User| is_of(user, org) && !matches!(selector, Selector::All);
        let (chosen, others): (Vec<User>, Vec<User>) =
            selected.into_iter().partition(|user| is_of(user, &from) || is_there(user));
        let left: Vec<Left> = others
            .into_iter()
            .filter(|_| !matches!(selector, Selector::All))
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
