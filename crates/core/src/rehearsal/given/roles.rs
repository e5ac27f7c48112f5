//! The roles that a copy speaks of, in the server of a given database: they are the server's, and not the rehearsal's. None
//! that is there is touched; one that is not is made without a login and without a right, and goes with the rest.

use sqlx::{Connection as _, PgConnection};

use super::marker::Marker;
use crate::{
    Error,
    db::{Context as _, all_words},
    sql::{Fragment, Ident, render},
};

/// A role of the database that is rehearsed for.
#[derive(sqlx::FromRow)]
struct Role {
    name: String,
    owns: bool,
    inherits: bool,
    /// Those of them that it is a member of.
    groups: Vec<String>,
}

/// What came of them.
pub(super) struct Brought {
    /// What is not as it was, a line each.
    pub(super) not_rehearsed: Vec<String>,
    /// Whether the copy's objects can belong to whom they belong to.
    pub(super) has_owners: bool,
}

/// Makes those roles of `production` that are not in the server of `session`, and remembers them in `marker`.
pub(super) async fn bring(
    production: &mut PgConnection,
    session: &mut PgConnection,
    marker: &mut Marker,
) -> Result<Brought, Error> {
    let roles: Vec<Role> = sqlx::query_as(include_str!("roles.sql"))
        .fetch_all(production)
        .await
        .context("list the roles for the rehearsal")?;
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let there: Vec<String> =
        sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)")
            .bind(names)
            .fetch_all(&mut *session)
            .await
            .context("look for the roles in the given server")?;
    let me: (String, bool) =
        sqlx::query_as("SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut *session)
            .await
            .context("look at the given role")?;
    let mut unmade: Vec<(String, String)> = Vec::new();
    for role in roles.iter().filter(|role| !there.contains(&role.name)) {
        if let Err(error) = make(session, marker, role, me.1).await? {
            unmade.push((role.name.clone(), error));
        }
    }
    for role in roles.iter().filter(|role| marker.roles.contains(&role.name)) {
        for group in role.groups.iter().filter(|group| marker.roles.contains(group)) {
            let (member, group) = (Ident::new(role.name.clone())?, Ident::new(group.clone())?);
            let grant = render("GRANT {group} TO {member}", &[("group", &group), ("member", &member)]);
            sqlx::raw_sql(grant.sql()).execute(&mut *session).await.context("make a role a member")?;
        }
    }
    let mut not_rehearsed = Vec::new();
    if let Some((_, words)) = unmade.first() {
        let names: Vec<&str> = unmade.iter().map(|(name, _)| name.as_str()).collect();
        not_rehearsed.push(format!(
            "what the roles {} do: they are not in the given server, and {} can't make them ({words})",
            names.join(", "),
            me.0
        ));
    }
    let owners: Vec<&str> = roles.iter().filter(|role| role.owns).map(|role| role.name.as_str()).collect();
    let strangers: Vec<String> = sqlx::query_scalar(
        "SELECT o.name FROM unnest($1::text[]) AS o (name) LEFT JOIN pg_roles AS r ON r.rolname = o.name
         WHERE coalesce(pg_has_role(r.oid, 'USAGE')
                        AND pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END), false) IS FALSE",
    )
    .bind(owners)
    .fetch_all(session)
    .await
    .context("look whose objects can be made")?;
    if !strangers.is_empty() {
        not_rehearsed.push(format!(
            "whose the objects are: {} is no member of {}, so all of the copy belongs to it",
            me.0,
            strangers.join(", ")
        ));
    }
    Ok(Brought { not_rehearsed, has_owners: strangers.is_empty() })
}

/// Makes a role, and puts it down in the same transaction; the inner error is the server's words.
async fn make(
    session: &mut PgConnection,
    marker: &mut Marker,
    role: &Role,
    is_superuser: bool,
) -> Result<Result<(), String>, Error> {
    let name = Ident::new(role.name.clone())?;
    let fragments: [(&str, &dyn Fragment); 1] = [("role", &name)];
    let create = match role.inherits {
        true => render("CREATE ROLE {role} NOLOGIN", &fragments),
        false => render("CREATE ROLE {role} NOLOGIN NOINHERIT", &fragments),
    };
    let mut noted = marker.clone();
    noted.roles.push(role.name.clone());
    let mut statements = vec![create, noted.note()];
    if !is_superuser {
        // What belongs to a role is made and dropped by its members.
        statements.push(render("GRANT {role} TO CURRENT_USER", &fragments));
    }
    let mut transaction = session.begin().await.context("make a role for the rehearsal")?;
    for statement in statements {
        if let Err(error) = sqlx::raw_sql(statement.sql()).execute(&mut *transaction).await {
            transaction.rollback().await.context("make a role for the rehearsal")?;
            return Ok(Err(all_words(&error)));
        }
    }
    transaction.commit().await.context("make a role for the rehearsal")?;
    *marker = noted;
    Ok(Ok(()))
}
