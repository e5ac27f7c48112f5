//! The throwaway cluster that a migration is rehearsed in, and how its database is reached.

use std::{collections::BTreeMap, ffi::OsString, io::Cursor};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::RehearsalError;
use crate::{
    Error,
    db::{Context as _, Db},
    progress::Progress,
    settings::Secret,
    throwaway::{self, Cluster, Feed, Folder, Owner, Program, ServerPrograms, drain},
};

/// How the sessions of a rehearsal call themselves.
const APPLICATION: &str = "stockfoil-rehearsal";

/// A database that every cluster has.
const FIRST: &str = "template1";

/// How long pg_dump may stand in a lock's queue, where everybody who comes after it waits too, in milliseconds.
const LOCK_WAIT_MS: u32 = 100;

/// The cluster, and whose database it holds.
pub(super) struct Stage<'a> {
    server: Cluster<'a>,
    programs: ServerPrograms,
    /// The database that is rehearsed for.
    production: PgConnectOptions,
    /// Its name, there and here.
    pub(super) database: String,
    /// The role that migrates, there and here.
    login: String,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        db: &Db,
        settings: &throwaway::Settings,
        programs: ServerPrograms,
        folder: &'a Folder,
        owner: Owner,
    ) -> Self {
        let production = db.options().clone();
        Self {
            server: Cluster::new(settings, programs.clone(), folder, owner),
            programs,
            database: db.facts().database.clone(),
            login: production.get_username().to_owned(),
            production,
        }
    }

    /// Makes the cluster and starts its server.
    pub(super) async fn up(&mut self, progress: &dyn Progress) -> Result<(), RehearsalError> {
        self.server.init(progress).await?;
        Ok(self.server.start(None, progress).await?)
    }

    /// Ends the server.
    pub(super) async fn down(&mut self) -> Result<(), RehearsalError> {
        Ok(self.server.stop().await?)
    }

    /// A session of the copy's superuser.
    pub(super) async fn admin(&self) -> Result<PgConnection, Error> {
        self.connect(&self.database).await
    }

    /// A session of the copy's superuser before there is the database.
    pub(super) async fn first(&self) -> Result<PgConnection, Error> {
        self.connect(FIRST).await
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, Error> {
        let options = self.server.connect_options(database).application_name(APPLICATION);
        Ok(PgConnection::connect_with(&options).await.context("connect to the rehearsal's server")?)
    }

    /// Where the role that migrates finds unqualified names, which is where applications do: by the settings of role and
    /// database.
    pub(super) async fn search_path(&self) -> Result<String, Error> {
        let options = self.server.connect_options(&self.database).username(&self.login);
        let mut session =
            PgConnection::connect_with(&options).await.context("connect to the rehearsal's server")?;
        Ok(sqlx::query_scalar("SHOW search_path")
            .fetch_one(&mut session)
            .await
            .context("read the search path")?)
    }

    /// The copy, as the role that migrates sees it.
    pub(super) async fn db(&self) -> Result<Db, Error> {
        let options = self.server.connect_options(&self.database).username(&self.login);
        Db::connect(options, APPLICATION).await
    }

    /// Runs `script` in `database` of the copy; `what` it is.
    pub(super) async fn load(
        &self,
        database: Option<&str>,
        what: &str,
        script: String,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let feed: Feed = Box::new(move |_| Ok(Box::new(Cursor::new(script))));
        let psql = self.server.psql(database.unwrap_or(FIRST));
        let ran = psql.run(Vec::new(), Some(feed), progress, drain).await.map_err(throwaway::Error::from);
        match ran.map_err(RehearsalError::from)?.complaint() {
            None => Ok(()),
            Some(words) => Err(Error::Rehearsal(RehearsalError::Copy {
                what: format!("{what} can't be made in the rehearsal's server"),
                words,
                remedy: "a dump of this database does not restore here either: install what it needs (an extension's package, a locale, a setting of postgresql.conf), or qualify the names in the function that it names",
            })),
        }
    }

    /// The roles of the database's server, without their passwords, as a script.
    pub(super) async fn roles(&self, progress: &dyn Progress) -> Result<String, Error> {
        let args = ["--roles-only", "--no-role-passwords", "--no-password", "--database", &self.database];
        let script = self.dumped("pg_dumpall", self.of_production("pg_dumpall"), args, progress).await?;
        // Who granted a membership is not rehearsed: it would have to hold ADMIN here, where others own the cluster.
        let lines = script.lines().map(|line| match line.rsplit_once(" GRANTED BY ") {
            Some((grant, _)) if line.starts_with("GRANT ") => format!("{grant};\n"),
            _ => format!("{line}\n"),
        });
        Ok(lines.collect())
    }

    /// What gives the copy the settings of the server's configuration, as a client sees them that asks for none of its own:
    /// sessions of sqlx do.
    pub(super) async fn settings(&self, progress: &dyn Progress) -> Result<Vec<String>, Error> {
        let args = ["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command"];
        let args = args.into_iter().chain([include_str!("copy/settings.sql")]);
        let statements = self.dumped("psql", self.of_production("psql"), args, progress).await?;
        Ok(statements.lines().map(str::to_owned).collect())
    }

    /// A section of the database's schema, as it is in `snapshot`.
    pub(super) async fn section(
        &self,
        section: &str,
        snapshot: &str,
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let args = [
            format!("--section={section}"),
            "--schema-only".to_owned(),
            "--encoding=UTF8".to_owned(),
            "--no-password".to_owned(),
            "--no-subscriptions".to_owned(),
            "--no-tablespaces".to_owned(),
            format!("--lock-wait-timeout={LOCK_WAIT_MS}"),
            format!("--snapshot={snapshot}"),
        ];
        self.dumped("pg_dump", self.of_production("pg_dump"), args, progress).await
    }

    /// The copy's schema.
    pub(super) async fn schema(&self, progress: &dyn Progress) -> Result<String, Error> {
        let mut args = self.server.connection(&self.database);
        args.extend(["--schema-only", "--encoding=UTF8"].map(OsString::from));
        self.dumped("pg_dump", self.server.program("pg_dump"), args, progress).await
    }

    async fn dumped(
        &self,
        name: &str,
        program: Program,
        args: impl IntoIterator<Item: Into<OsString>>,
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let ran = program.text(args, progress).await.map_err(throwaway::Error::from);
        ran.map_err(RehearsalError::from)?.whole().map_err(|failed| {
            Error::Rehearsal(RehearsalError::Copy {
                what: format!("{name} can't read the schema"),
                words: failed.to_string(),
                remedy: "run as a role that may read every table, when no migration is under way",
            })
        })
    }

    /// A program of the server's that connects to the database; its password is in no command line.
    fn of_production(&self, name: &str) -> Program {
        let options = &self.production;
        let host = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => options.get_host().to_owned(),
        };
        // Not with its own names, which need not be ones that a URL can hold.
        let url = options.clone().username("role").host("host").to_url_lossy();
        let mut environment = BTreeMap::from([
            ("PGHOST".to_owned(), Secret::new(host)),
            ("PGPORT".to_owned(), Secret::new(options.get_port().to_string())),
            ("PGUSER".to_owned(), Secret::new(options.get_username())),
            ("PGDATABASE".to_owned(), Secret::new(&*self.database)),
            ("PGAPPNAME".to_owned(), Secret::new(APPLICATION)),
        ]);
        if let Some(password) = url.password() {
            let password = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
            environment.insert("PGPASSWORD".to_owned(), Secret::new(password));
        }
        for (name, value) in url.query_pairs() {
            let name = match &*name {
                "sslmode" => "PGSSLMODE",
                "sslrootcert" => "PGSSLROOTCERT",
                "sslcert" => "PGSSLCERT",
                "sslkey" => "PGSSLKEY",
                _ => continue,
            };
            environment.insert(name.to_owned(), Secret::new(value.into_owned()));
        }
        self.programs.program(name).and_environment(environment)
    }
}
