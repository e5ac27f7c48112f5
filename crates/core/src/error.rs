use crate::db::{DbError, gave_way, sqlstate};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A critical alert reached nobody.
    #[error(transparent)]
    Alert(#[from] crate::alert::AlertError),
    /// No client came about.
    #[error(transparent)]
    Generate(#[from] crate::client::GenerateError),
    /// Balances can't be worked on.
    #[error(transparent)]
    Balance(#[from] crate::balance::BalanceError),
    /// Something could not be shown.
    #[error(transparent)]
    Browse(#[from] crate::browse::BrowseError),
    /// Backups could not be judged.
    #[error(transparent)]
    Backup(#[from] crate::backup::BackupError),
    /// The configuration or a flag's value does not hold.
    #[error(transparent)]
    Config(#[from] crate::settings::ConfigError),
    /// The database refused or could not be reached.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
    /// The database does not hold the tables that the model names.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A migration can't be done.
    #[error(transparent)]
    Migration(#[from] crate::migration::MigrationError),
    /// A name can't be an SQL identifier.
    #[error(transparent)]
    Name(#[from] crate::sql::NameError),
    /// The database's records are of another release.
    #[error(transparent)]
    Release(#[from] crate::release::ReleaseError),
    /// A migration can't be rehearsed.
    #[error(transparent)]
    Rehearsal(#[from] crate::rehearsal::RehearsalError),
    /// An organization or its people could not be changed or listed.
    #[error(transparent)]
    Tenancy(#[from] crate::tenancy::TenancyError),
}

/// The class of an [`Error`], which decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Usage or configuration: the caller must say something else (status 2).
    Usage,
    /// The work could not be done: unreachable, not permitted, I/O (status 3).
    Work,
    /// Another run holds the lock (status 4).
    Locked,
}

impl Error {
    /// The SQLSTATE that a statement failed with, if one did.
    pub(crate) fn sqlstate(&self) -> Option<String> {
        self.statement().and_then(sqlstate)
    }

    /// Whether a statement gave way to others: lock timeout or deadlock.
    pub(crate) fn gave_way(&self) -> bool {
        self.statement().is_some_and(gave_way)
    }

    /// Whether a sum was too large for its type.
    pub(crate) fn overflowed(&self) -> bool {
        self.sqlstate().as_deref() == Some("22003")
    }

    fn statement(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Db(DbError::Statement { cause, .. } | DbError::Query(cause)) => Some(cause),
            _ => None,
        }
    }

    /// Which class this error is of.
    pub fn failure(&self) -> Failure {
        match self {
            Error::Config(_) | Error::Name(_) => Failure::Usage,
            Error::Generate(error) => error.failure(),
            Error::Balance(error) => error.failure(),
            Error::Backup(error) => error.failure(),
            Error::Db(error) => error.failure(),
            Error::Migration(error) => error.failure(),
            Error::Alert(_) | Error::Rehearsal(_) | Error::Release(_) => Failure::Work,
            Error::Model(crate::model::ModelError::Mapping { .. }) => Failure::Usage,
            Error::Model(_) => Failure::Work,
            Error::Tenancy(error) => error.failure(),
            Error::Browse(_) => Failure::Work,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Error::Db(error.into())
    }
}
