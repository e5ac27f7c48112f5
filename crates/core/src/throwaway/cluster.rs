//! The server on the data in a throwaway cluster's folder. It can reach nothing, and nobody else can reach it.

mod configuration;
mod keeping;

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::process::Child;

pub(crate) use keeping::{Kept, shell_word};

use super::{
    Error, Settings,
    confine::Confinement,
    folder::{Folder, Owner},
    program::{self, Feed, Program},
    programs::ServerPrograms,
};
use crate::{db::sqlstate, progress::Progress};

/// What a session of ours has whatever a database sets: a setting of a role comes before one of a database.
const OWN_SETTINGS: [&str; 9] = [
    "SET default_transaction_read_only = off",
    "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off",
    "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
    "ALTER ROLE CURRENT_USER SET lock_timeout = 0",
    // Given as a value, an empty list would be a list of one empty name.
    "SELECT set_config('session_preload_libraries', '', false), set_config('local_preload_libraries', '', false)",
    "ALTER ROLE CURRENT_USER SET session_preload_libraries FROM CURRENT",
    "ALTER ROLE CURRENT_USER SET local_preload_libraries FROM CURRENT",
    "ALTER ROLE CURRENT_USER SET search_path = \"$user\", public",
    "ALTER ROLE CURRENT_USER SET row_security = on",
];

/// The database that every cluster has.
const TEMPLATE: &str = "template1";

/// How often a starting server is asked whether it is ready.
const POLL: Duration = Duration::from_millis(50);

/// How long a server may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// What helps a server to recover.
pub(crate) struct Recovering<'a> {
    /// The command by which it asks for archived WAL, its restore_command.
    pub(crate) restore_command: String,
    /// The work that answers it. It need not end.
    pub(crate) service: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

/// A cluster in a private folder, and its server where that runs.
pub(crate) struct Cluster<'a> {
    settings: Settings,
    programs: ServerPrograms,
    folder: &'a Folder,
    owner: Owner,
    child: Option<Child>,
}

impl<'a> Cluster<'a> {
    /// The cluster in `folder`, which is still to be made by [`init`](Self::init) where it has no data.
    pub(crate) fn new(
        settings: &Settings,
        programs: ServerPrograms,
        folder: &'a Folder,
        owner: Owner,
    ) -> Self {
        Self { settings: settings.clone(), programs, folder, owner, child: None }
    }

    /// The folder of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.socket()
    }

    /// The superuser that is made here.
    pub(crate) fn superuser(&self) -> String {
        format!("stockfoil_{}", self.settings.names.purpose)
    }

    /// How to connect to `database`.
    pub(crate) fn connect_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .host(&self.socket().to_string_lossy())
            .port(5432)
            .username(&self.superuser())
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// The flags by which PostgreSQL's programs connect to `database`.
    pub(crate) fn connection(&self, database: &str) -> Vec<OsString> {
        let mut flags: Vec<OsString> =
            ["--no-password", "--username", &self.superuser(), "--dbname", database, "--host"]
                .map(OsString::from)
                .into();
        flags.push(self.socket().into());
        flags
    }

    /// The server's major version.
    pub(crate) fn version(&self) -> u32 {
        self.programs.version
    }

    /// One of the server's programs, run by the cluster's owner.
    pub(crate) fn program(&self, name: &str) -> Program {
        self.programs.program(name).owned_by(&self.owner)
    }

    /// `psql` in `database`, which ends at the first statement that is refused; it reads its script from a pipe.
    pub(crate) fn psql(&self, database: &str) -> Program {
        let flags = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"];
        self.program("psql").with_args(self.connection(database)).with_args(flags).confined(self.client())
    }

    /// `psql` in `database` as one that writes the answers to a script of one's own, and nothing else.
    pub(crate) fn answering(&self, database: &str) -> Program {
        let flags = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
        self.program("psql").with_args(self.connection(database)).with_args(flags).confined(self.client())
    }

    /// How far the server and what it starts may reach.
    fn confinement(&self) -> Option<Confinement> {
        self.settings.is_confined.then(|| Confinement::server(self.folder.path()))
    }

    /// How far a program that talks to the server may reach.
    pub(crate) fn client(&self) -> Option<Confinement> {
        self.settings.is_confined.then(|| Confinement::client(self.folder.path()))
    }

    /// Makes an empty cluster.
    pub(crate) async fn init(&self, progress: &dyn Progress) -> Result<(), Error> {
        let mut last = None;
        for locale in ["C.UTF-8", "C"] {
            let mut args: Vec<OsString> = vec!["--pgdata".into(), self.folder.data().into()];
            args.extend(
                [
                    "--username",
                    &self.superuser(),
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-sync",
                    "--no-instructions",
                    "--locale",
                    locale,
                ]
                .map(OsString::from),
            );
            let initdb = self.program("initdb").confined(self.confinement());
            match initdb.text(args, progress).await?.whole() {
                Ok(_) => return Ok(()),
                Err(failed) => last = Some(failed.to_string()),
            }
        }
        Err(Error::Machine(last.unwrap_or_else(|| "initdb did not run".to_owned())))
    }

    /// Starts the server and waits until it is a primary that answers; after a recovery, where it is helped to one.
    ///
    /// # Errors
    /// When it does not come up, or another server answers.
    pub(crate) async fn start(
        &mut self,
        recovering: Option<Recovering<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let command = recovering.as_ref().map(|recovering| recovering.restore_command.as_str());
        self.configure(command, progress).await?;
        self.spawn()?;
        if self.recovered(recovering).await? == Answer::NoSuchRole {
            self.stop().await?;
            self.make_superuser(progress).await?;
            self.spawn()?;
            let _ = self.until_ready().await?;
        }
        self.assert_private().await?;
        self.settle().await
    }

    async fn recovered(&mut self, recovering: Option<Recovering<'_>>) -> Result<Answer, Error> {
        let Some(Recovering { service, .. }) = recovering else { return self.until_ready().await };
        let ready = self.until_ready();
        tokio::pin!(ready);
        tokio::select! {
            answer = &mut ready => answer,
            () = service => ready.await,
        }
    }

    /// Keeps what a restored database sets for its sessions from those that look at it.
    async fn settle(&self) -> Result<(), Error> {
        let set = async {
            let mut connection = PgConnection::connect_with(&self.connect_options(TEMPLATE)).await?;
            for statement in OWN_SETTINGS {
                sqlx::query(statement).execute(&mut connection).await?;
            }
            connection.close().await
        };
        set.await.map_err(|error: sqlx::Error| {
            Error::Machine(format!("the throwaway server does not take its settings: {error}"))
        })
    }

    /// Ends the server in order.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, Signal::INT);
        match tokio::time::timeout(STOP_WAIT, child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                signal(&child, Signal::QUIT);
                let _ = tokio::time::timeout(STOP_WAIT, child.wait()).await;
                Err(Error::Machine("the throwaway server did not end in order".to_owned()))
            }
        }
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn spawn(&mut self) -> Result<(), Error> {
        let failed =
            |error: std::io::Error| Error::Machine(format!("the throwaway server can't be started: {error}"));
        let log = File::options().append(true).create(true).mode(0o600).open(self.log()).map_err(failed)?;
        let args: [OsString; 4] =
            ["-D".into(), self.folder.data().into(), "-c".into(), config_file(&self.conf("postgresql.conf"))];
        let mut command = self.program("postgres").command(&args);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = match self.confinement() {
            Some(confinement) => confinement.spawn(&mut command),
            None => command.spawn(),
        };
        self.child = Some(child.map_err(failed)?);
        Ok(())
    }

    /// Polls until the server answers that no recovery is under way.
    async fn until_ready(&mut self) -> Result<Answer, Error> {
        let options = self.connect_options(TEMPLATE);
        let started = Instant::now();
        loop {
            match PgConnection::connect_with(&options).await {
                Ok(mut connection) => {
                    let recovers: Result<bool, _> =
                        sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await;
                    if matches!(recovers, Ok(false)) {
                        return Ok(Answer::Ready);
                    }
                }
                // The superuser of the restored cluster is called otherwise, or may not log in.
                Err(error) if sqlstate(&error).as_deref() == Some("28000") => return Ok(Answer::NoSuchRole),
                Err(_) => {}
            }
            if let Some(child) = &mut self.child
                && matches!(child.try_wait(), Ok(Some(_)) | Err(_))
            {
                self.child = None;
                return Err(Error::Data(self.why_it_ended()));
            }
            if started.elapsed() > self.settings.timeout {
                return Err(Error::Late { limit: self.settings.timeout, key: self.settings.names.timeout });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The server's own last words.
    fn why_it_ended(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let word = |sign: &str| {
            let line = log.lines().rev().find_map(|line| line.split_once(sign).map(|(_, text)| text.trim()));
            line.map(str::to_owned)
        };
        match word("PANIC:").or_else(|| word("FATAL:")) {
            Some(text) => format!("the server does not come up on the restored data: {text}"),
            None => "the server does not come up on the restored data, and does not say why".to_owned(),
        }
    }

    /// Makes a superuser of our name, without one to ask: by the server in single-user mode.
    async fn make_superuser(&self, progress: &dyn Progress) -> Result<(), Error> {
        let args: [OsString; 6] = [
            "--single".into(),
            "-D".into(),
            self.folder.data().into(),
            "-c".into(),
            config_file(&self.conf("postgresql.conf")),
            "template1".into(),
        ];
        let feed = format!("CREATE ROLE {} SUPERUSER LOGIN\n", self.superuser());
        let feed: Feed = Box::new(move |_| Ok(Box::new(std::io::Cursor::new(feed))));
        let ran = self
            .program("postgres")
            .confined(self.confinement())
            .run(args.into(), Some(feed), progress, program::drain)
            .await?;
        ran.whole().map_err(|failed| Error::Machine(failed.to_string()))
    }

    /// Checks that the server is the one that was started here, and that it has no address.
    async fn assert_private(&self) -> Result<(), Error> {
        let ask = async {
            let mut connection = PgConnection::connect_with(&self.connect_options(TEMPLATE)).await?;
            let found: (String, bool) =
                sqlx::query_as("SELECT current_setting('data_directory'), inet_server_addr() IS NULL")
                    .fetch_one(&mut connection)
                    .await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(found)
        };
        match ask.await {
            Ok((data, true)) if Path::new(&data) == self.folder.data() => Ok(()),
            Ok((data, has_no_address)) => {
                let address = if has_no_address { "" } else { ", and has an address" };
                let text = format!(
                    "another server answered, with its data in {data}{address}; nothing was asked of it"
                );
                Err(Error::Machine(text))
            }
            Err(error) => Err(Error::Machine(format!("the throwaway server does not answer: {error}"))),
        }
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        // Ends at once, with all its processes; the folder waits for that before it goes.
        if let Some(child) = &self.child {
            signal(child, Signal::QUIT);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ready,
    NoSuchRole,
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

fn config_file(path: &Path) -> OsString {
    let mut text = OsString::from("config_file=");
    text.push(path);
    text
}
