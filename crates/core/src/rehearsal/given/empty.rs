//! Emptying a given database, until it is what it was when it was given.

use sqlx::{Connection as _, PgConnection};

use super::marker::{Marker, SCHEMA};
use crate::{
    Error,
    db::{Context as _, DbError, all_words},
    rehearsal::RehearsalError,
    sql::{Definition, Ident, Statement, render},
};

/// So often what is left is looked at: some of it goes only when something else has gone.
const ROUNDS: usize = 4;

/// How long something that is to go may be waited for, in whose way a session is that is just ending.
const PATIENCE: &str = "60s";

/// What is in the database and was not in a new one, each with what takes it away.
pub(super) async fn left(
    session: &mut PgConnection,
    is_marked: bool,
) -> Result<Vec<(String, Option<String>)>, DbError> {
    sqlx::query_as(include_str!("left.sql"))
        .bind(is_marked.then_some(SCHEMA))
        .fetch_all(session)
        .await
        .context("look at what is in the given database")
}

/// Takes everything out of the database, and then the marker.
pub(super) async fn empty(session: &mut PgConnection, mut marker: Marker) -> Result<(), Error> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(PATIENCE)
        .execute(&mut *session)
        .await
        .context("prepare to empty the given database")?;
    objects(session).await?;
    public(session, &marker).await?;
    while let Some(role) = marker.roles.pop() {
        // With the marker's words, so that it never speaks of a role that somebody else made since.
        let drop = render("DROP ROLE IF EXISTS {role}", &[("role", &Ident::new(role.clone())?)]);
        let mut transaction = session.begin().await.context("drop a role of the rehearsal")?;
        for statement in [drop, marker.note()] {
            let done = sqlx::raw_sql(statement.sql()).execute(&mut *transaction).await;
            done.map_err(|error| stays(&format!("role {role}"), &all_words(&error)))?;
        }
        transaction.commit().await.context("drop a role of the rehearsal")?;
    }
    let drop = render("DROP SCHEMA {schema}", &[("schema", &Ident::fixed(SCHEMA))]);
    sqlx::raw_sql(drop.sql()).execute(session).await.context("drop the rehearsal's marker")?;
    Ok(())
}

async fn objects(session: &mut PgConnection) -> Result<(), Error> {
    let mut words = String::new();
    for round in 0..ROUNDS {
        let left = left(session, true).await?;
        let Some((first, _)) = left.first() else { return Ok(()) };
        if round + 1 == ROUNDS {
            return Err(stays(first, &words).into());
        }
        words.clear();
        for (what, statement) in left {
            let Some(statement) = statement else {
                return Err(stays(&what, "it was not made by a rehearsal").into());
            };
            // Each for itself: all at once would take a lock on each.
            if let Err(error) = run(session, statement).await
                && words.is_empty()
            {
                words = all_words(&error);
            }
        }
    }
    Ok(())
}

/// Makes the schema public what it was.
async fn public(session: &mut PgConnection, marker: &Marker) -> Result<(), Error> {
    let Some(was) = &marker.public else {
        let drop: Statement = render("DROP SCHEMA IF EXISTS public", &[]);
        sqlx::raw_sql(drop.sql()).execute(session).await.context("drop the schema public")?;
        return Ok(());
    };
    // Rights go with an owner, so those are seen when it is the owner.
    for _ in 0..ROUNDS {
        let statements: Vec<String> = sqlx::query_scalar(include_str!("restore.sql"))
            .bind(was)
            .fetch_all(&mut *session)
            .await
            .context("look at the schema public")?;
        if statements.is_empty() {
            return Ok(());
        }
        for statement in statements {
            let done = run(session, statement).await;
            done.map_err(|error| stays("the schema public, changed,", &all_words(&error)))?;
        }
    }
    Err(stays("the schema public, changed,", "its rights are given by others").into())
}

async fn run(session: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    let statement = render("{statement}", &[("statement", &Definition::from_catalog(statement))]);
    sqlx::raw_sql(statement.sql()).execute(session).await.map(drop)
}

fn stays(what: &str, words: &str) -> RehearsalError {
    RehearsalError::Given(format!(
        "{what} is left of a rehearsal in it and can't be taken out: {words}; take it out yourself, then rehearse again, which empties the rest"
    ))
}
