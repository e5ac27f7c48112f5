//! Why a step did not come about.

use std::time::Duration;

use crate::{
    Error,
    db::{DbError, sqlstate},
    migration::{error::MigrationError, step::Step},
};

/// Why a step did not come about.
pub(super) enum Failed {
    /// Its statement failed.
    Statement(sqlx::Error),
    /// Its statement failed, and what it was.
    Db(DbError),
    /// Others were in the way for too long.
    NoPatience(String, Duration, String),
}

impl Failed {
    pub(super) fn of(step: &Step, error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            Some("23514") => Self::Statement(error),
            _ => Self::Db(DbError::Statement { context: step.title.clone(), cause: error }),
        }
    }
}

impl From<DbError> for Failed {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Statement(error) => DbError::Query(error).into(),
            Failed::Db(error) => error.into(),
            Failed::NoPatience(step, waited, blockers) => {
                let blockers = if blockers.is_empty() { "short transactions".to_owned() } else { blockers };
                MigrationError::LockWait { step, seconds: waited.as_secs(), blockers }.into()
            }
        }
    }
}
