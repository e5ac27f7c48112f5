//! The functions that an application finds a request's organization by, as steps.

use sqlx::PgConnection;

use super::{
    records,
    step::{Goal, Lock, Step},
};
use crate::{
    db::DbError,
    model::Model,
    org_id::OrgId,
    tenancy::resolution::{self, Function},
};

/// The steps that create them, or make them again what they were.
pub(super) fn steps(model: &Model, default: &OrgId) -> Vec<Step> {
    let step = |function: Function| {
        let goal = goal(&function);
        let title = format!("create function {}", function.signature);
        Step::short(title, Lock::None, vec![], function.create.into(), goal)
    };
    resolution::functions(model, default).map(step).into()
}

/// The steps that remove them.
pub(super) fn removal(model: &Model, default: &OrgId) -> Vec<Step> {
    let step = |function: Function| {
        let gone = Goal::new("SELECT to_regprocedure($1) IS NULL", [function.signature.to_string()]);
        let title = format!("drop function {}", function.signature);
        Step::short(title, Lock::None, vec![], vec![function.drop], gone)
    };
    resolution::functions(model, default).map(step).into_iter().rev().collect()
}

/// Each function's signature, and whether it is there as it should be.
///
/// # Errors
/// Database errors.
pub(crate) async fn states(
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
) -> Result<Vec<(String, bool)>, DbError> {
    let mut states = Vec::new();
    let has_texts = records::has_key_texts(model).is_met(session).await?;
    for function in resolution::functions(model, default) {
        let can_read = has_texts || !resolution::reads_key_texts(&function);
        states.push((function.signature.to_string(), can_read && goal(&function).is_met(session).await?));
    }
    Ok(states)
}

fn goal(function: &Function) -> Goal {
    let [body, parameters, volatility, result] = function.facts.clone();
    let binds = [function.signature.to_string(), body, parameters, volatility, result];
    Goal::new(include_str!("goals/resolution.sql"), binds)
}
