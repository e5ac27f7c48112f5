//! A key as a person gives it, in the form that the database has it in.

use sqlx::PgConnection;

use super::BalanceError;
use crate::{
    Error,
    db::{Context as _, sqlstate},
    ledger::BalanceKey,
    model::Model,
    org_id::{KeyType, OrgId},
};

/// What is said of a key that nothing is known of: `otherwise`, but where its location was perhaps left out.
pub(super) fn unknown(model: &Model, key: &BalanceKey, otherwise: BalanceError) -> BalanceError {
    let lacks_location = key.location_id.is_empty() && model.ledger.key.location.is_some();
    if lacks_location { of_other_form(model, key) } else { otherwise }
}

fn of_other_form(model: &Model, key: &BalanceKey) -> BalanceError {
    let types = model.ledger.key;
    let has = |there: bool, part: &'static str| if there { part } else { "" };
    BalanceError::KeyOfOtherForm {
        key: key.to_string(),
        form: format!(
            "ORGANIZATION/ITEM{}{}",
            has(types.location.is_some(), "/LOCATION"),
            has(types.lot.is_some(), "[/LOT]")
        ),
    }
}

/// The key with each part in the one form in which the database prints it.
pub(super) async fn own_key(
    session: &mut PgConnection,
    model: &Model,
    key: &BalanceKey,
) -> Result<BalanceKey, Error> {
    let types = model.ledger.key;
    let wanted = || of_other_form(model, key);
    let has_form = match types.location {
        // Only a text can be empty.
        Some(location) => location == KeyType::Text || !key.location_id.is_empty(),
        None => key.location_id.is_empty(),
    };
    if !has_form || (key.lot_id.is_some() && types.lot.is_none()) {
        return Err(wanted().into());
    }
    let statement = model.render(
        "SELECT $1::text::{org.type}::text, $2::text::{item.type}::text, $3::text::{location.type}::text,
                $4::text::{lot.type}::text",
    );
    let read = sqlx::query_as::<_, (OrgId, String, String, Option<String>)>(statement.sql())
        .bind(&key.org_id)
        .bind(&key.item_id)
        .bind(&key.location_id)
        .bind(&key.lot_id)
        .fetch_one(session)
        .await;
    // Text that is no value of the part's type, or out of its range.
    if let Err(error) = &read
        && matches!(sqlstate(error).as_deref(), Some("22P02" | "22003"))
    {
        return Err(wanted().into());
    }
    let (org_id, item_id, location_id, lot_id) = read.context("read the key")?;
    Ok(BalanceKey { org_id, item_id, location_id, lot_id })
}
