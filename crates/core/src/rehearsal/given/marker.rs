//! What says that a database was given to a rehearsal, and how it was: a schema without anything in it, whose comment it
//! is. It is there before all else and goes after all else, so whatever happens, it tells the next rehearsal that
//! the database may be emptied, and what is to be left in it.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    sql::{Ident, Literal, render},
};

/// The schema.
pub(super) const SCHEMA: &str = "stockfoil_rehearsal";

/// How its comment begins.
const BEGIN: &str = "made by a rehearsal of Stockfoil, and emptied with all of the database by the next: ";

/// How the database was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Which database it is, as the server counts: a copy of it elsewhere is none that was given.
    database: i64,
    /// The schema public, where there was one, as `public.sql` says it.
    pub(super) public: Option<String>,
    /// Roles that were made for it.
    pub(super) roles: Vec<String>,
}

impl Marker {
    /// The one of the database that `session` is in; none where there is none.
    pub(super) async fn read(session: &mut PgConnection) -> Result<Option<Self>, DbError> {
        let comment: Option<String> = sqlx::query_scalar(
            "SELECT obj_description(n.oid, 'pg_namespace') FROM pg_namespace AS n WHERE n.nspname = $1",
        )
        .bind(SCHEMA)
        .fetch_optional(&mut *session)
        .await
        .context("look for what an earlier rehearsal left")?
        .flatten();
        let database = database(session).await?;
        let marker = comment.and_then(|text| serde_json::from_str(text.strip_prefix(BEGIN)?).ok());
        Ok(marker.filter(|marker: &Self| marker.database == database))
    }

    /// That of a database that is as it was given.
    pub(super) async fn of(session: &mut PgConnection) -> Result<Self, DbError> {
        let public: Option<String> = sqlx::query_scalar(include_str!("public.sql"))
            .fetch_optional(&mut *session)
            .await
            .context("look at the schema public")?;
        Ok(Self { database: database(session).await?, public, roles: Vec::new() })
    }

    /// Makes it there, and the schema public where there is none.
    pub(super) async fn make(&self, session: &mut PgConnection) -> Result<(), DbError> {
        let schema = Ident::fixed(SCHEMA);
        let public = render(if self.public.is_some() { "" } else { "CREATE SCHEMA public" }, &[]);
        let make = render(
            "CREATE SCHEMA {schema}; {note}; {public}",
            &[("schema", &schema), ("note", &self.note()), ("public", &public)],
        );
        sqlx::raw_sql(make.sql()).execute(session).await.context("mark the given database")?;
        Ok(())
    }

    /// Writes it down.
    pub(super) fn note(&self) -> crate::sql::Statement {
        // Of texts and numbers there is always JSON.
        let text = serde_json::to_string(self).unwrap_or_default();
        let comment = Literal::new(&format!("{BEGIN}{text}"));
        render(
            "COMMENT ON SCHEMA {schema} IS {comment}",
            &[("schema", &Ident::fixed(SCHEMA)), ("comment", &comment)],
        )
    }
}

async fn database(session: &mut PgConnection) -> Result<i64, DbError> {
    sqlx::query_scalar("SELECT oid::int8 FROM pg_database WHERE datname = current_database()")
        .fetch_one(session)
        .await
        .context("ask which database it is")
}
