//! Users whose move would break a unique key.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{KeyConflict, User};
use crate::{
    Error,
    catalog::{self, UniqueKey},
    db::Context as _,
    model::{Model, Users},
    org_id::OrgId,
    sql::Statement,
    tenancy::{people::People, unique::KeyParts},
};

/// Who of `moves` would break a unique key in `org`.
pub(super) async fn conflicts(
    connection: &mut PgConnection,
    model: &Model,
    users: &Users,
    people: &People<'_>,
    org: &OrgId,
    moves: &[User],
) -> Result<Vec<KeyConflict>, Error> {
    let mut conflicts = Vec::new();
    if moves.is_empty() {
        return Ok(conflicts);
    }
    let by_key: BTreeMap<&str, &User> = moves.iter().map(|user| (user.key.as_str(), user)).collect();
    let moving: Vec<&str> = by_key.keys().copied().collect();
    let keys = catalog::unique_keys(connection, &users.table).await?;
    for key in keys.iter().filter(|key| key.has_column(&model.org_column)) {
        let found: Vec<(String, String)> = sqlx::query_as(conflicts_statement(model, people, key).sql())
            .bind(&moving)
            .bind(org)
            .fetch_all(&mut *connection)
            .await
            .context(format!("look for users that share the key {}", key.name.as_str()))?;
        for (moved, other_user_id) in found {
            let Some(User { id, email, .. }) = by_key.get(moved.as_str()) else { continue };
            let (user_id, email, key) = (id.clone(), email.clone(), key.name.as_str().to_owned());
            conflicts.push(KeyConflict { user_id, email, key, other_user_id });
        }
    }
    Ok(conflicts)
}

/// The statement that finds which users, moved to one organization, would break `key` there.
fn conflicts_statement(model: &Model, people: &People<'_>, key: &UniqueKey) -> Statement {
    let parts = KeyParts::of(model, key);
    let (moved, other) = (parts.of_row("moved"), parts.of_row("other"));
    people.render(
        include_str!("key_conflicts.sql"),
        &[
            ("keys", &parts.selected),
            ("predicate", &parts.predicate),
            ("moved", &moved),
            ("other", &other),
            ("same", &parts.same),
        ],
    )
}
