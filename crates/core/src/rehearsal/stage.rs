//! Where a migration is rehearsed: in a throwaway cluster, or in a database that was given for it; and how it is reached.

use std::{collections::BTreeMap, ffi::OsString, io::Cursor};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{
    APPLICATION, RehearsalError,
    given::{self, Given},
};
use crate::{
    Error,
    db::{Context as _, Db},
    progress::Progress,
    settings::Secret,
    throwaway::{self, Cluster, Feed, Folder, Owner, Program, ServerPrograms, drain},
};

/// A database that every cluster has.
const FIRST: &str = "template1";

/// How long pg_dump may stand in a lock's queue, where everybody who comes after it waits too, in milliseconds.
const LOCK_WAIT_MS: u32 = 100;

/// How the server says that rows break what is to be made over them; a rehearsal's server speaks English.
const BROKEN: [&str; 5] = [
    "violates ",
    "could not create unique index",
    "could not create exclusion constraint",
    "is violated by",
    "contains null values",
];

/// Where it takes place.
enum Place<'a> {
    /// In a cluster that goes away with it.
    Cluster(Box<Cluster<'a>>),
    /// In a database that was given.
    Given(Box<Given>),
}

/// The place, and whose database is copied there.
pub(super) struct Stage<'a> {
    place: Place<'a>,
    programs: ServerPrograms,
    /// The database that is rehearsed for.
    production: PgConnectOptions,
    /// Its name.
    source: String,
    /// The copy's name: the same, but in a database that was given.
    pub(super) database: String,
    /// The role that migrates.
    login: String,
    /// What the place keeps from being rehearsed.
    pub(super) not_rehearsed: Vec<String>,
}

impl<'a> Stage<'a> {
    /// In a cluster in `folder`.
    pub(super) fn new(
        db: &Db,
        settings: &throwaway::Settings,
        programs: ServerPrograms,
        folder: &'a Folder,
        owner: Owner,
    ) -> Self {
        let cluster = Cluster::new(settings, programs.clone(), folder, owner);
        Self::at(Place::Cluster(Box::new(cluster)), db, programs, &db.facts().database)
    }

    /// In a database that was given.
    pub(super) fn given_as(given: Given, db: &Db, programs: ServerPrograms) -> Self {
        let database = given.facts().database.clone();
        Self::at(Place::Given(Box::new(given)), db, programs, &database)
    }

    fn at(place: Place<'a>, db: &Db, programs: ServerPrograms, database: &str) -> Self {
        let production = db.options().clone();
        Self {
            place,
            programs,
            source: db.facts().database.clone(),
            database: database.to_owned(),
            login: production.get_username().to_owned(),
            production,
            not_rehearsed: Vec::new(),
        }
    }

    /// The database that was given, where one was.
    pub(super) fn given(&self) -> Option<&Given> {
        match &self.place {
            Place::Cluster(_) => None,
            Place::Given(given) => Some(given),
        }
    }

    /// Makes the cluster and starts its server, or prepares what was given.
    pub(super) async fn up(&mut self, db: &Db, progress: &dyn Progress) -> Result<(), Error> {
        match &mut self.place {
            Place::Cluster(server) => {
                server.init(progress).await.map_err(RehearsalError::from)?;
                server.start(None, progress).await.map_err(RehearsalError::from)?;
            }
            Place::Given(given) => self.not_rehearsed = given.prepare(db).await?,
        }
        Ok(())
    }

    /// Ends the server, or empties what was given.
    pub(super) async fn down(&mut self) -> Result<(), Error> {
        match &mut self.place {
            Place::Cluster(server) => Ok(server.stop().await.map_err(RehearsalError::from)?),
            Place::Given(given) => given.close().await,
        }
    }

    /// Where it is, in words.
    pub(super) fn place(&self) -> String {
        match &self.place {
            Place::Cluster(_) => "a throwaway cluster".to_owned(),
            Place::Given(given) => given.facts().to_string(),
        }
    }

    /// A session of the copy's superuser, or of the role that was given.
    pub(super) async fn admin(&self) -> Result<PgConnection, Error> {
        self.connect(&self.database).await
    }

    /// The same before there is the database.
    pub(super) async fn first(&self) -> Result<PgConnection, Error> {
        self.connect(FIRST).await
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, Error> {
        match &self.place {
            Place::Cluster(server) => {
                let options = server.connect_options(database).application_name(APPLICATION);
                let connected = PgConnection::connect_with(&options).await;
                Ok(connected.context("connect to the rehearsal's server")?)
            }
            Place::Given(given) => given.session().await,
        }
    }

    /// Where the role that migrates finds unqualified names, which is where applications do: by the settings of role and
    /// database.
    pub(super) async fn search_path(&self) -> Result<String, Error> {
        let options = match &self.place {
            Place::Cluster(server) => server.connect_options(&self.database).username(&self.login),
            Place::Given(given) => return Ok(given.path().to_owned()),
        };
        let mut session =
            PgConnection::connect_with(&options).await.context("connect to the rehearsal's server")?;
        Ok(sqlx::query_scalar("SHOW search_path")
            .fetch_one(&mut session)
            .await
            .context("read the search path")?)
    }

    /// The copy, as the role that migrates sees it.
    pub(super) async fn db(&self) -> Result<Db, Error> {
        match &self.place {
            Place::Cluster(server) => {
                let options = server.connect_options(&self.database).username(&self.login);
                Db::connect(options, APPLICATION).await
            }
            Place::Given(given) => given.db().await,
        }
    }

    /// Lets `session` read and write dates and times as applications do; sqlx sets that for sessions of its own.
    pub(super) async fn set_formats(&self, session: &mut PgConnection) -> Result<(), Error> {
        const WHAT: &str = "prepare the rehearsal's session";
        let settings = match &self.place {
            Place::Cluster(_) => sqlx::query_as(
                "SELECT split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
                 FROM pg_database AS d JOIN pg_db_role_setting AS s ON s.setdatabase = d.oid AND s.setrole = 0, unnest(s.setconfig) AS c
                 WHERE d.datname = current_database()",
            )
            .fetch_all(&mut *session)
            .await
            .context(WHAT)?,
            Place::Given(given) => given.settings(),
        };
        let is_one = |name: &str| ["datestyle", "timezone"].contains(&name.to_lowercase().as_str());
        for (name, value) in settings.into_iter().filter(|(name, _)| is_one(name)) {
            let set = sqlx::query("SELECT set_config($1, $2, false)").bind(name).bind(value);
            set.execute(&mut *session).await.context(WHAT)?;
        }
        Ok(())
    }

    /// Runs `script` in `database` of the copy; `what` it is. Returns what was left out of it.
    pub(super) async fn load(
        &self,
        database: Option<&str>,
        what: &str,
        script: String,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Error> {
        let server = match &self.place {
            Place::Cluster(server) => server,
            Place::Given(given) => return given.load(&script).await,
        };
        let feed: Feed = Box::new(move |_| Ok(Box::new(Cursor::new(script))));
        let psql = server.psql(database.unwrap_or(FIRST));
        let ran = psql.run(Vec::new(), Some(feed), progress, drain).await.map_err(throwaway::Error::from);
        match ran.map_err(RehearsalError::from)?.complaint() {
            None => Ok(Vec::new()),
            // The sample's rows are rows of this database: what they break here they break there.
            Some(words) if BROKEN.iter().any(|sign| words.contains(sign)) => {
                Err(Error::Rehearsal(RehearsalError::Copy {
                    what: format!("{what} can't be made over the rows that are there"),
                    words,
                    remedy: "rows break a constraint that is marked as valid here, by triggers that were off or a damaged index: mend or delete the row that it names, or let the constraint be NOT VALID",
                }))
            }
            Some(words) => Err(Error::Rehearsal(RehearsalError::Copy {
                what: format!("{what} can't be made in the rehearsal's server"),
                words,
                remedy: "a dump of this database does not restore here either: install what it needs (an extension's package, a locale, a setting of postgresql.conf), or qualify the names in the function that it names",
            })),
        }
    }

    /// The roles of the database's server, without their passwords, as a script.
    pub(super) async fn roles(&self, progress: &dyn Progress) -> Result<String, Error> {
        let args = ["--roles-only", "--no-role-passwords", "--no-password", "--database", &self.source];
        let script = self.dumped("pg_dumpall", self.of_production("pg_dumpall"), args, progress).await?;
        // Who granted a membership is not rehearsed: it would have to hold ADMIN here, where others own the cluster.
        let lines = script.lines().map(|line| match line.rsplit_once(" GRANTED BY ") {
            Some((grant, _)) if line.starts_with("GRANT ") => format!("{grant};\n"),
            _ => format!("{line}\n"),
        });
        Ok(lines.collect())
    }

    /// What `query` says of the database, as a client sees it that asks for no settings of its own: sessions of sqlx do.
    pub(super) async fn said(&self, query: &'static str, progress: &dyn Progress) -> Result<String, Error> {
        let args = ["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command"];
        let args = args.into_iter().chain([query]);
        self.dumped("psql", self.of_production("psql"), args, progress).await
    }

    /// A section of the database's schema, as it is in `snapshot`.
    pub(super) async fn section(
        &self,
        section: &str,
        snapshot: &str,
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let mut args = vec![
            format!("--section={section}"),
            "--schema-only".to_owned(),
            "--encoding=UTF8".to_owned(),
            "--no-password".to_owned(),
            "--no-subscriptions".to_owned(),
            "--no-tablespaces".to_owned(),
            format!("--lock-wait-timeout={LOCK_WAIT_MS}"),
            format!("--snapshot={snapshot}"),
        ];
        if self.given().is_some_and(|given| !given.has_owners) {
            args.push("--no-owner".to_owned());
        }
        self.dumped("pg_dump", self.of_production("pg_dump"), args, progress).await
    }

    /// The copy's schema.
    pub(super) async fn schema(&self, progress: &dyn Progress) -> Result<String, Error> {
        let (program, mut args) = match &self.place {
            Place::Cluster(server) => (server.program("pg_dump"), server.connection(&self.database)),
            Place::Given(given) => {
                let args = [format!("--exclude-schema={}", given::MARKER), "--no-password".to_owned()];
                let environment = environment(given.options(), &self.database);
                let program = self.programs.program("pg_dump").and_environment(environment);
                (program, args.map(OsString::from).into())
            }
        };
        args.extend(["--schema-only", "--encoding=UTF8"].map(OsString::from));
        self.dumped("pg_dump", program, args, progress).await
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
        self.programs.program(name).and_environment(environment(&self.production, &self.source))
    }
}

/// What tells a program of the server's how to connect to `database` as `options` do.
fn environment(options: &PgConnectOptions, database: &str) -> BTreeMap<String, Secret> {
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
        ("PGDATABASE".to_owned(), Secret::new(database)),
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
    environment
}
