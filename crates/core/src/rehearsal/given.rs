//! A database that was given for a rehearsal, on whatever server: what a cluster of our own is else. Nothing but client
//! programs is needed for it.
//!
//! It must be empty, is not the one that is rehearsed for, and is as it was when the rehearsal is over. A [`Marker`] is made
//! first, so that after a kill the next rehearsal knows that what lies there was made by one.

mod empty;
mod marker;
mod roles;
mod script;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use self::{marker::Marker, script::LeftOut};
use super::{APPLICATION, RehearsalError};
use crate::{
    Error,
    db::{Context as _, Db, DbError, ServerFacts},
    progress::Progress,
    settings::Secret,
    sql::Ident,
};

/// "stockreh" in ASCII: two rehearsals in one database would empty each other's.
const LOCK_KEY: i64 = 0x7374_6f63_6b72_6568;

/// How long the server may take to notice that a rehearsal was killed.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often a rehearsal looks whether the lock is free.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// How long a rehearsal that was interrupted may take to empty the database.
const GOODBYE: Duration = Duration::from_secs(60);

/// The schema that is the marker, which no dump of the copy has.
pub(super) const MARKER: &str = marker::SCHEMA;

/// A database that was given, and marked.
pub(super) struct Given {
    /// How its sessions connect.
    options: PgConnectOptions,
    facts: ServerFacts,
    /// The session that holds the lock.
    keeper: PgConnection,
    /// How it was given; none: it is empty again.
    marker: Option<Marker>,
    /// What a session of the database that is rehearsed for has, and one here would not.
    settings: Mutex<Vec<(String, String)>>,
    /// Where a session of the role that migrates finds unqualified names.
    path: String,
    /// That role.
    login: String,
    /// Whether the copy's objects belong to whom they belong to.
    pub(super) has_owners: bool,
}

impl Given {
    /// Connects to the database at `url`, makes sure that it may be used, and marks it. What an earlier rehearsal left in it is
    /// taken out.
    pub(super) async fn open(production: &Db, url: &Secret, progress: &dyn Progress) -> Result<Self, Error> {
        let options = url.database().map_err(RehearsalError::Given)?;
        let options = options.application_name(APPLICATION).options([
            ("client_connection_check_interval", "500ms"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("default_transaction_read_only", "off"),
            ("client_min_messages", "error"),
            ("jit", "off"),
        ]);
        let options = options.log_slow_statements(log::LevelFilter::Debug, Duration::from_secs(1));
        let told = |error: Error| RehearsalError::Given(error.to_string());
        let db = Db::connect(options.clone(), APPLICATION).await.map_err(told)?;
        let facts = db.facts().clone();
        let options = options.options(facts.newer_settings().iter().copied());
        require_same_version(production.facts(), &facts)?;
        db.require_writable().map_err(|error| told(error.into()))?;
        db.require_direct().await.map_err(|error| told(error.into()))?;
        let mut reader = production.session().await?;
        let mut keeper = db.session().await?;
        db.close().await;
        require_another(&mut reader, &mut keeper, &facts).await?;
        require_harmless(&mut reader).await?;
        lock(&mut keeper, &facts).await?;
        if let Some(marker) = Marker::read(&mut keeper).await? {
            progress.note(&format!("emptying {facts} of what an earlier rehearsal left in it"));
            empty::empty(&mut keeper, marker).await?;
        }
        require_empty(&mut keeper, &facts).await?;
        let path = sqlx::query_scalar("SHOW search_path")
            .fetch_one(&mut reader)
            .await
            .context("read the search path")?;
        let marker = Marker::of(&mut keeper).await?;
        marker.make(&mut keeper).await?;
        Ok(Self {
            options,
            facts,
            keeper,
            marker: Some(marker),
            settings: Mutex::default(),
            path,
            login: production.facts().role.clone(),
            has_owners: true,
        })
    }

    /// Makes the roles that are not there; returns what is not as it is in `production`.
    pub(super) async fn prepare(&mut self, production: &Db) -> Result<Vec<String>, Error> {
        let Some(marker) = &mut self.marker else { return Ok(Vec::new()) };
        let mut reader = production.session().await?;
        let brought = roles::bring(&mut reader, &mut self.keeper, marker).await?;
        self.has_owners = brought.has_owners;
        let mut not_rehearsed = brought.not_rehearsed;
        if self.facts.role != self.login {
            not_rehearsed
                .push(format!("what {} may: the rehearsal works as {}", self.login, self.facts.role));
        }
        Ok(not_rehearsed)
    }

    /// Empties the database, so that it is as it was given.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        let Some(marker) = self.marker.clone() else { return Ok(()) };
        let emptied = empty::empty(&mut self.keeper, marker).await;
        // What can't be done now can't be done a moment later either.
        self.marker = None;
        emptied
    }

    /// What the server said of itself.
    pub(super) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// How a program connects to it.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Where the role that migrates finds unqualified names.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A session that does whatever is not the migration's.
    pub(super) async fn session(&self) -> Result<PgConnection, Error> {
        let options = self
            .options
            .clone()
            .options(self.settings())
            .options([("search_path", "\"$user\", public"), ("row_security", "on")]);
        Ok(PgConnection::connect_with(&options).await.context("connect to the given database")?)
    }

    /// The copy, as the role that migrates sees it.
    pub(super) async fn db(&self) -> Result<Db, Error> {
        // Another role's schema would be another one.
        let login = Ident::new(self.login.clone())?.to_string();
        let path = self.path.replace("\"$user\"", &login);
        let options = self.options.clone().options(self.settings()).options([("search_path", path)]);
        Db::connect(options, APPLICATION).await
    }

    /// Gives every session from here on these settings; returns those that the server does not take, without their values.
    pub(super) async fn set(&self, wanted: Vec<(String, String)>) -> Result<Vec<String>, Error> {
        let mut session = self.session().await?;
        let mut refused = Vec::new();
        for (name, value) in wanted {
            let set = sqlx::query("SELECT set_config($1, $2, false)").bind(&name).bind(&value);
            match set.execute(&mut session).await {
                Ok(_) => self.settings.lock().unwrap_or_else(PoisonError::into_inner).push((name, value)),
                Err(error) => {
                    let state = crate::db::sqlstate(&error).unwrap_or_default();
                    refused.push(format!(
                        "the setting {name}, which the given server does not take (SQLSTATE {state})"
                    ));
                }
            }
        }
        Ok(refused)
    }

    /// What sessions are given.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The application's own settings among `names`, as a session of `production` has them.
    pub(super) async fn named(
        production: &mut PgConnection,
        names: Vec<&str>,
    ) -> Result<Vec<(String, String)>, DbError> {
        sqlx::query_as(include_str!("given/named.sql"))
            .bind(names)
            .fetch_all(production)
            .await
            .context("read the application's own settings")
    }

    /// Runs what pg_dump printed; returns what was left out of it.
    pub(super) async fn load(&self, script: &str) -> Result<Vec<String>, Error> {
        let mut left_out = LeftOut::default();
        match script::run(&mut self.session().await?, script, &mut left_out).await {
            Ok(()) => Ok(left_out.lines()),
            Err((object, words)) => Err(RehearsalError::Copy {
                what: format!("{object} can't be made in {}", self.facts),
                words,
                remedy: "let the role make it, install what it needs there (an extension, a locale), or rehearse without --rehearse-in",
            }
            .into()),
        }
    }
}

impl Drop for Given {
    /// Empties the database behind a rehearsal that was interrupted: rows of another one are in it.
    fn drop(&mut self) {
        let Some(marker) = self.marker.take() else { return };
        let options = self.options.clone();
        let emptied = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| RehearsalError::Given(error.to_string()))?;
            runtime.block_on(async {
                let emptied = tokio::time::timeout(GOODBYE, async {
                    let mut session = PgConnection::connect_with(&options).await?;
                    empty::empty(&mut session, marker).await
                });
                let late = |_| Err(RehearsalError::Given("it took too long to empty it".into()).into());
                emptied.await.unwrap_or_else(late)
            })
        });
        if let Ok(Err(error)) = emptied.join() {
            log::warn!("{error}; the next rehearsal in it empties it");
        }
    }
}

/// What pg_dump of one version prints, another one need not take; and what is rehearsed is what this version does.
fn require_same_version(production: &ServerFacts, given: &ServerFacts) -> Result<(), RehearsalError> {
    if production.version_num / 10_000 == given.version_num / 10_000 {
        return Ok(());
    }
    Err(RehearsalError::Given(format!(
        "{} runs PostgreSQL {}, and the database that is migrated PostgreSQL {}; give one on a server of the same major version",
        given.place, given.version, production.version
    )))
}

/// Refuses the very database that is rehearsed for, by whatever name and way it is reached: a lock that one session takes
/// is seen by the other. Emptying it would be the end of it.
async fn require_another(
    production: &mut PgConnection,
    given: &mut PgConnection,
    facts: &ServerFacts,
) -> Result<(), Error> {
    const WHAT: &str = "make sure that the given database is another one";
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| RehearsalError::Given(format!("no random number: {error}")))?;
    let key = i64::from_ne_bytes(bytes);
    // A pooler keeps a transaction in one session.
    let mut transaction = production.begin().await.context(WHAT)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(key)
        .execute(&mut *transaction)
        .await
        .context(WHAT)?;
    let is_held: bool =
        sqlx::query_scalar(include_str!("given/held.sql")).bind(key).fetch_one(given).await.context(WHAT)?;
    transaction.rollback().await.context(WHAT)?;
    if is_held {
        return Err(RehearsalError::Given(format!(
            "{facts} is the very database that is to be migrated; give another one, which is empty"
        ))
        .into());
    }
    Ok(())
}

/// Refuses what in a cluster of our own the kernel would keep inside.
async fn require_harmless(production: &mut PgConnection) -> Result<(), Error> {
    let found: Option<String> = sqlx::query_scalar(include_str!("given/reaches.sql"))
        .fetch_optional(production)
        .await
        .context("look for what reaches other servers")?;
    match found {
        None => Ok(()),
        Some(what) => Err(RehearsalError::Given(format!(
            "{what} lets code of the database reach other servers, and there nothing keeps it from that; rehearse without --rehearse-in, where the kernel does"
        ))
        .into()),
    }
}

/// Takes the lock that keeps two rehearsals in one database apart.
async fn lock(session: &mut PgConnection, facts: &ServerFacts) -> Result<(), Error> {
    let mut waited = Duration::ZERO;
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK_KEY)
            .fetch_one(&mut *session)
            .await
            .context("take the rehearsal's lock")?;
        if taken {
            return Ok(());
        }
        if waited >= LOCK_WAIT {
            return Err(DbError::Locked { holder: format!("a rehearsal in {facts}") }.into());
        }
        tokio::time::sleep(LOCK_POLL).await;
        waited += LOCK_POLL;
    }
}

/// Refuses a database that anybody has put something into.
async fn require_empty(session: &mut PgConnection, facts: &ServerFacts) -> Result<(), Error> {
    let left = empty::left(session, false).await?;
    let Some((first, _)) = left.first() else { return Ok(()) };
    let more = match left.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Err(RehearsalError::Given(format!(
        "{facts} is not empty: it has {first}{more}; give a database that nothing is in (CREATE DATABASE)"
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version_num: i32, version: &str) -> ServerFacts {
        ServerFacts {
            version_num,
            version: version.into(),
            database: "scratch".into(),
            role: "me".into(),
            place: "there:5432".into(),
            read_only: false,
        }
    }

    #[test]
    fn another_version_is_refused_and_both_are_named() {
        let ours = facts(150_018, "15.18");
        require_same_version(&ours, &facts(150_002, "15.2")).unwrap();
        let error = require_same_version(&ours, &facts(160_001, "16.1")).unwrap_err().to_string();
        for part in ["there:5432 runs PostgreSQL 16.1", "PostgreSQL 15.18", "same major version"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
