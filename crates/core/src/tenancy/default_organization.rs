//! Which organization is the default one: the database itself knows, by what it gives to inserts and requests that name
//! none. A command that was told of another one would move it without a word; so it is held against that first.

use sqlx::PgConnection;

use super::TenancyError;
use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    model::Model,
    org_id::OrgId,
};

/// Whether a command may make another organization the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It may not.
    Refused,
    /// It was asked to, and does where the migration that made the other one is over.
    Accepted,
}

/// Checks that `given`, the default organization that the command was told of, is the database's own; one that has none yet takes any.
///
/// # Errors
/// [`TenancyError::OtherDefault`] where it is another one; database errors.
pub(crate) async fn check(
    session: &mut PgConnection,
    model: &Model,
    given: &str,
    change: Change,
) -> Result<(), Error> {
    let Some((known, is_settled)) = known(session, model).await? else { return Ok(()) };
    let given = OrgId::of(model.org_type, given).map_err(TenancyError::from)?;
    if OrgId::of(model.org_type, &known).as_ref() == Ok(&given) || (change == Change::Accepted && is_settled)
    {
        return Ok(());
    }
    let database = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(session)
        .await
        .context("ask for the database's name")?;
    Err(TenancyError::OtherDefault { database, known, given }.into())
}

/// The database's default organization, and whether the migration that made it one is over.
///
/// # Errors
/// Database errors.
pub(super) async fn known(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Option<(String, bool)>, DbError> {
    const LOOK: &str = "look which organization is the default one";
    let settled: Option<String> = sqlx::query_scalar(include_str!("default_organization/settled.sql"))
        .fetch_optional(&mut *session)
        .await
        .context(LOOK)?;
    if let Some(settled) = settled {
        return Ok(Some((settled, true)));
    }
    if !catalog::is_there(session, "stockfoil.change").await? {
        return Ok(None);
    }
    let begun: Option<String> = sqlx::query_scalar(include_str!("default_organization/begun.sql"))
        .bind(model.org_column.as_str())
        .fetch_optional(session)
        .await
        .context(LOOK)?;
    Ok(begun.map(|begun| (begun, false)))
}
