//! Which release a database's records are of: the versions of Stockfoil's own that were applied to it, against those that
//! every binary carries.
//!
//! Tables that lack what a command writes, or whose rows mean more than it knows, look whole to it. So no command works on
//! records of a later release, and none but the migrations on those of an earlier one.

use sqlx::{PgConnection, migrate::Migrator};

use crate::{
    Error, catalog,
    db::{Context as _, DbError},
};

/// The versions that every binary carries, there and back.
pub(crate) static VERSIONS: Migrator = sqlx::migrate!("../../migrations");

/// Why the records can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A later release was here.
    #[error(
        "the records in schema stockfoil have version {found}, and this release knows none after {newest}: a later one made them; install that one, or a later one still"
    )]
    Newer {
        /// The newest version that was applied.
        found: i64,
        /// The newest that this release carries.
        newest: i64,
    },
    /// An earlier release was here.
    #[error(
        "the records in schema stockfoil are of an earlier release: {missing} is missing; run migrate-all first"
    )]
    Older {
        /// What this release would have made.
        missing: String,
    },
}

/// The newest version that was applied; none where that can't be told: nothing is recorded, or this role may not read it.
async fn newest(session: &mut PgConnection) -> Result<Option<i64>, DbError> {
    if !catalog::is_there(session, "stockfoil.migration").await? {
        return Ok(None);
    }
    // Asked first, since a role without the right would be refused by the statement as a whole.
    let may_read: bool =
        sqlx::query_scalar("SELECT has_table_privilege(to_regclass('stockfoil.migration'), 'SELECT')")
            .fetch_one(&mut *session)
            .await
            .context("ask who may read the applied versions")?;
    if !may_read {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM stockfoil.migration")
        .fetch_one(session)
        .await
        .context("read the applied versions in stockfoil.migration")
}

/// Refuses records of a later release.
///
/// # Errors
/// [`ReleaseError::Newer`].
pub(crate) async fn refuse_newer(session: &mut PgConnection) -> Result<(), Error> {
    let known = VERSIONS.iter().map(|file| file.version).max().unwrap_or_default();
    match newest(session).await? {
        Some(found) if found > known => Err(ReleaseError::Newer { found, newest: known }.into()),
        _ => Ok(()),
    }
}

/// Refuses records of another release. What is there decides, since the migrations make it without recording a version too.
///
/// # Errors
/// [`ReleaseError`].
pub(crate) async fn require(session: &mut PgConnection) -> Result<(), Error> {
    refuse_newer(session).await?;
    let missing: Option<String> = sqlx::query_scalar(include_str!("release/missing.sql"))
        .fetch_optional(session)
        .await
        .context("look at Stockfoil's own records")?;
    match missing {
        Some(missing) => Err(ReleaseError::Older { missing }.into()),
        None => Ok(()),
    }
}
