//! What a session must be told because its database or role is set otherwise, beside what every session is told.

use sqlx::{PgConnection, Row as _};

use super::{Context as _, DbError};

/// Settings under which this server's sessions do what is expected of them; none where they do already.
pub(super) async fn answers(connection: &mut PgConnection) -> Result<Vec<(&'static str, String)>, DbError> {
    let mut answers = Vec::new();
    if let Some(path) = path_with_built_ins_first(connection).await? {
        answers.push(("search_path", path));
    }
    if !fires_triggers(connection).await? {
        // Few roles may say so, and one that needs to is told at once if it may not.
        answers.push(("session_replication_role", "origin".to_owned()));
    }
    Ok(answers)
}

/// Whether triggers and foreign keys are asked in this session: not where its database or role is set to what replicas use.
async fn fires_triggers(connection: &mut PgConnection) -> Result<bool, DbError> {
    // In the simple protocol, as above.
    let row = sqlx::raw_sql("SELECT current_setting('session_replication_role') <> 'replica'")
        .fetch_one(connection)
        .await
        .context("ask whether triggers fire")?;
    Ok(row.try_get(0)?)
}

/// The search path without pg_catalog, where it names pg_catalog behind other schemas: left out, it is searched first,
/// and nobody's function there can stand in for a built-in one of ours.
async fn path_with_built_ins_first(connection: &mut PgConnection) -> Result<Option<String>, DbError> {
    // In the simple protocol, as above.
    let row = sqlx::raw_sql(
        "SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.place) FILTER (WHERE s.name <> 'pg_catalog')
         FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, place)
         HAVING bool_or(s.name = 'pg_catalog' AND s.place > 1)",
    )
    .fetch_optional(connection)
    .await
    .context("read the search path")?;
    Ok(row.map(|row| row.try_get::<Option<String>, _>(0)).transpose()?.flatten())
}
