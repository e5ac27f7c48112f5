//! Which organizations are compared.

use sqlx::PgConnection;

use super::Options;
use crate::{
    Error,
    balance::{BalanceError, not_backfilled},
    db::Context as _,
    model::Model,
    org_id::OrgId,
};

/// The organizations to compare (none: all), and those left out because they were never backfilled.
pub(super) async fn scope(
    session: &mut PgConnection,
    model: &Model,
    options: &Options,
) -> Result<(Option<Vec<OrgId>>, Vec<OrgId>), Error> {
    let mut missing = not_backfilled(session, model).await?;
    let mut orgs = options.orgs.clone();
    if orgs.is_empty() {
        if missing.is_empty() {
            return Ok((None, missing));
        }
        let statement = model.render("SELECT id::text FROM {organizations} ORDER BY id");
        orgs =
            sqlx::query_scalar(statement.sql()).fetch_all(session).await.context("list the organizations")?;
    }
    missing.retain(|org| orgs.contains(org));
    orgs.retain(|org| !missing.contains(org));
    if orgs.is_empty() {
        let whose = match options.orgs.as_slice() {
            [] => "this database".to_owned(),
            orgs => orgs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        return Err(BalanceError::NeverBackfilled(whose).into());
    }
    Ok((Some(orgs), missing))
}
