//! The steps of a plan that a person has read: they are what runs, or nothing does.

use serde::{Deserialize, Serialize};

use super::{error::MigrationError, step::StepReport};

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What it does.
    title: String,
    /// The strongest lock that it takes.
    lock: String,
    /// What it sends.
    sql: Vec<String>,
}

impl PlannedStep {
    pub(super) fn of(step: &StepReport) -> Self {
        Self { title: step.title.clone(), lock: step.lock.to_owned(), sql: step.sql.clone() }
    }
}

/// Checks that each of the `pending` steps is one of the `planned` ones, in their order. What is done already may be
/// missing: a run that was killed goes on.
///
/// # Errors
/// [`MigrationError::OtherPlan`].
pub(super) fn check(planned: &[PlannedStep], pending: &[StepReport]) -> Result<(), MigrationError> {
    let mut rest = planned.iter();
    for step in pending {
        let now = PlannedStep::of(step);
        if !rest.any(|planned| *planned == now) {
            let is_named = planned.iter().any(|planned| planned.title == now.title);
            let how = if is_named { "was to be done otherwise, or before others" } else { "is not in it" };
            return Err(MigrationError::OtherPlan { step: now.title, how });
        }
    }
    Ok(())
}
