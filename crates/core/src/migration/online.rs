//! The migrations that run steps online, as one.

use super::{
    balance,
    org::{self, Direction},
    report::MigrationReport,
};
use crate::{Error, Task, db::Db, mapping::Mapping, progress::Progress, tenancy};

/// What taking both back would do, without doing it: first the balances, then the organizations.
///
/// # Errors
/// As [`org::plan`] and [`balance::plan`].
pub(crate) async fn plan_back(
    db: &Db,
    mapping: &Mapping,
    tenancy: &tenancy::Settings,
    organizations: &org::Request,
) -> Result<[MigrationReport; 2], Error> {
    let balances = balance::Request { rollback: true, patience: organizations.patience };
    let balances = balance::plan(db, mapping, balances).await?;
    let request = org::Request { direction: Direction::Rollback, ..organizations.clone() };
    let mut organizations = org::plan(db, mapping, tenancy, &request).await?;
    // The balances are in the way of the second only until the first is done.
    organizations.obstacles.retain(|finding| finding.check != "balances");
    Ok([balances, organizations])
}

/// A migration that runs steps online.
#[derive(Debug, Clone)]
pub enum Online {
    /// `migrate-org`.
    Organizations(org::Request),
    /// `migrate-balance`.
    Balances(balance::Request),
}

impl Online {
    /// The command, as its report names it.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Organizations(_) => "migrate-org",
            Self::Balances(_) => "migrate-balance",
        }
    }

    /// Whether it takes back what it did.
    pub fn is_back(&self) -> bool {
        match self {
            Self::Organizations(request) => request.direction == Direction::Rollback,
            Self::Balances(request) => request.rollback,
        }
    }

    /// Whether it may do only what a plan says.
    pub fn is_planned(&self) -> bool {
        matches!(self, Self::Organizations(request) if request.plan.is_some())
    }

    /// The same without a plan's bounds.
    #[must_use]
    pub fn unplanned(&self) -> Self {
        match self {
            Self::Organizations(request) => {
                Self::Organizations(org::Request { plan: None, ..request.clone() })
            }
            Self::Balances(request) => Self::Balances(*request),
        }
    }

    /// The other way: what takes it back, all of it, or what does again what it takes back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        match self {
            Self::Organizations(request) => Self::Organizations(org::Request {
                direction: if self.is_back() { Direction::Contract } else { Direction::Rollback },
                isolates: false,
                only: Vec::new(),
                until: None,
                plan: None,
                ..request.clone()
            }),
            Self::Balances(request) => {
                Self::Balances(balance::Request { rollback: !request.rollback, ..*request })
            }
        }
    }

    /// What it would do, without doing it.
    ///
    /// # Errors
    /// As [`org::plan`] and [`balance::plan`].
    pub fn plan<'a>(
        &'a self,
        db: &'a Db,
        mapping: &'a Mapping,
        tenancy: &'a tenancy::Settings,
    ) -> Task<'a, MigrationReport> {
        match self {
            Self::Organizations(request) => org::plan(db, mapping, tenancy, request),
            Self::Balances(request) => balance::plan(db, mapping, *request),
        }
    }

    /// Does what the catalog does not show to be done.
    ///
    /// # Errors
    /// As [`org::run`] and [`balance::run`].
    pub fn run<'a>(
        &'a self,
        db: &'a Db,
        mapping: &'a Mapping,
        tenancy: &'a tenancy::Settings,
        progress: &'a dyn Progress,
    ) -> Task<'a, MigrationReport> {
        match self {
            Self::Organizations(request) => org::run(db, mapping, tenancy, request, progress),
            Self::Balances(request) => balance::run(db, mapping, *request, progress),
        }
    }
}
