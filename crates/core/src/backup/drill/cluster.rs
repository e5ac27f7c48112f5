//! The throwaway cluster: a server on restored data that can reach nothing and that nobody else can reach.
//!
//! Nothing of the restored configuration is used: the server gets a configuration, a `pg_hba.conf` and a
//! `pg_ident.conf` of its own, and `postgresql.auto.conf`, which it would read all the same, is emptied. So no
//! archive is written to, no primary is followed, no subscription applies and no library is loaded because
//! production was set up that way.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};
use tokio::process::Child;

use super::{Folder, Owner};
use crate::{
    backup::{Finding, tool::Program},
    config::{Config, Secret},
    db::sqlstate,
    progress::Progress,
};

/// The superuser that drills make.
pub(super) const SUPERUSER: &str = "stockfoil_drill";

/// The programs without which a folder is no server's.
const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_controldata", "psql"];

/// How often a starting server is asked whether it is ready.
const POLL: Duration = Duration::from_millis(50);

/// How long a server may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// The server's programs of one version.
#[derive(Debug, Clone)]
pub(in crate::backup) struct ServerPrograms {
    folder: PathBuf,
    pub(in crate::backup) version: u32,
}

impl ServerPrograms {
    /// Looks for the programs of exactly `version`, or of the newest that is `at_least` that.
    pub(in crate::backup) async fn find(
        config: &Config,
        version: Option<u32>,
        at_least: u32,
        progress: &dyn Progress,
    ) -> Result<Self, Finding> {
        let mut folders: Vec<PathBuf> = match &config.backup.pg_bin {
            Some(folder) => vec![folder.clone()],
            None => config.search_path().split(':').map(PathBuf::from).collect(),
        };
        if config.backup.pg_bin.is_none() {
            for pattern in [
                "/usr/lib/postgresql/*/bin",
                "/usr/pgsql-*/bin",
                "/usr/local/pgsql*/bin",
                "/opt/homebrew/opt/postgresql@*/bin",
            ] {
                folders.extend(glob::glob(pattern).into_iter().flatten().flatten());
            }
        }
        let mut best: Option<Self> = None;
        // A link to the server in PATH leads to the folder where its other programs are.
        let real =
            |folder: PathBuf| Some(folder.join("postgres").canonicalize().ok()?.parent()?.to_path_buf());
        let is_whole = |folder: &PathBuf| PROGRAMS.iter().all(|program| folder.join(program).is_file());
        for folder in folders.into_iter().filter_map(real).filter(is_whole) {
            let program = Program::bare(config, &folder.join("postgres"), "");
            let ran = program.text(["--version"], progress).await?;
            let words = ran.whole("drill").unwrap_or_default();
            // "postgres (PostgreSQL) 15.18 (Debian ...)"
            let number = words.split(' ').nth(2).unwrap_or_default();
            let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
            let Ok(found) = digits.parse::<u32>() else { continue };
            let suits = version.map_or(found >= at_least, |version| found == version);
            if suits && best.as_ref().is_none_or(|best| best.version < found) {
                best = Some(Self { folder, version: found });
            }
        }
        best.ok_or_else(|| {
            let wanted = version.map_or_else(|| format!("{at_least} or newer"), |version| version.to_string());
            let text = format!(
                "the server's programs of PostgreSQL {wanted} were not found; install the server (postgresql), or set backup.pg_bin to their folder"
            );
            Finding::unknown("drill", text)
        })
    }

    /// One of them.
    pub(in crate::backup) fn program(&self, config: &Config, name: &str) -> Program {
        Program::bare(config, &self.folder.join(name), "install PostgreSQL's server and contrib programs")
    }
}

/// Where a server gets the WAL for its recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::backup) struct Recovery {
    /// The restore_command; none: what lies in pg_wal is all.
    pub(in crate::backup) restore_command: Option<String>,
    /// Variables for it.
    pub(in crate::backup) environment: BTreeMap<String, Secret>,
}

/// A running server on the data of a drill.
pub(super) struct Throwaway<'a> {
    config: &'a Config,
    programs: ServerPrograms,
    folder: &'a Folder,
    owner: Owner,
    superuser: String,
    child: Option<Child>,
}

impl<'a> Throwaway<'a> {
    pub(super) fn new(
        config: &'a Config,
        programs: ServerPrograms,
        folder: &'a Folder,
        owner: Owner,
    ) -> Self {
        Self { config, programs, folder, owner, superuser: SUPERUSER.to_owned(), child: None }
    }

    /// The data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The superuser to connect as.
    pub(super) fn superuser(&self) -> &str {
        &self.superuser
    }

    /// The flags by which PostgreSQL's programs connect to `database`.
    pub(super) fn connection(&self, database: &str) -> Vec<OsString> {
        let mut flags: Vec<OsString> =
            ["--no-password", "--username", &self.superuser, "--dbname", database, "--host"]
                .map(OsString::from)
                .into();
        flags.push(self.socket().into());
        flags
    }

    /// One of the server's programs, run by the cluster's owner.
    pub(super) fn program(&self, name: &str) -> Program {
        self.programs.program(self.config, name).owned_by(&self.owner)
    }

    /// Makes an empty cluster.
    pub(super) async fn init(&self, progress: &dyn Progress) -> Result<(), Finding> {
        let mut last = None;
        for locale in ["C.UTF-8", "C"] {
            let mut args: Vec<OsString> = vec!["--pgdata".into(), self.data().into()];
            args.extend(
                [
                    "--username",
                    SUPERUSER,
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-sync",
                    "--no-instructions",
                    "--locale",
                    locale,
                ]
                .map(OsString::from),
            );
            match self.program("initdb").text(args, progress).await?.whole("drill") {
                Ok(_) => return Ok(()),
                Err(finding) => last = Some(finding),
            }
        }
        Err(last.unwrap_or_else(|| Finding::unknown("drill", "initdb did not run")))
    }

    /// Starts the server and waits until it is a primary that answers, recovery done.
    pub(super) async fn start(
        &mut self,
        recovery: &Recovery,
        progress: &dyn Progress,
    ) -> Result<(), Finding> {
        self.configure(recovery, progress).await?;
        self.spawn(recovery)?;
        let config = self.config.for_socket(&self.socket(), &self.superuser, "template1");
        if self.until_ready(&config).await? == Answer::NoSuchRole {
            self.stop().await?;
            self.make_superuser(progress).await?;
            self.spawn(&Recovery::default())?;
            let _ = self.until_ready(&config).await?;
        }
        self.assert_private(&config).await
    }

    /// Ends the server in order.
    pub(super) async fn stop(&mut self) -> Result<(), Finding> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, Signal::INT);
        match tokio::time::timeout(STOP_WAIT, child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                signal(&child, Signal::QUIT);
                let _ = tokio::time::timeout(STOP_WAIT, child.wait()).await;
                Err(Finding::unknown("drill", "the throwaway server did not end in order"))
            }
        }
    }

    /// Writes the cluster's own configuration.
    async fn configure(&self, recovery: &Recovery, progress: &dyn Progress) -> Result<(), Finding> {
        let data = self.data();
        let control = self.control_data(progress).await?;
        let number = |name: &str, at_least: u64| {
            control
                .get(name)
                .and_then(|value| value.parse::<u64>().ok())
                .unwrap_or(0)
                .max(at_least)
                .to_string()
        };
        let mut settings = vec![
            ("listen_addresses", String::new()),
            ("port", "5432".into()),
            ("unix_socket_directories", quoted_list_item(&self.socket())),
            ("unix_socket_permissions", "0700".into()),
            ("hba_file", self.conf("pg_hba.conf").display().to_string()),
            ("ident_file", self.conf("pg_ident.conf").display().to_string()),
            ("archive_mode", "off".into()),
            ("archive_command", String::new()),
            ("archive_library", String::new()),
            ("primary_conninfo", String::new()),
            ("primary_slot_name", String::new()),
            ("max_wal_senders", "0".into()),
            ("max_replication_slots", "0".into()),
            ("max_logical_replication_workers", "0".into()),
            ("hot_standby", "off".into()),
            ("shared_preload_libraries", self.preloaded(&data).join(", ")),
            ("session_preload_libraries", String::new()),
            ("local_preload_libraries", String::new()),
            // Recovery needs as much as the primary had.
            ("max_connections", number("max_connections setting", 50)),
            ("max_worker_processes", number("max_worker_processes setting", 8)),
            ("max_prepared_transactions", number("max_prepared_xacts setting", 0)),
            ("max_locks_per_transaction", number("max_locks_per_xact setting", 64)),
            ("autovacuum", "off".into()),
            ("fsync", "off".into()),
            ("full_page_writes", "off".into()),
            ("synchronous_commit", "off".into()),
            ("max_wal_size", "4GB".into()),
            ("timezone", "UTC".into()),
            ("log_timezone", "UTC".into()),
            ("lc_messages", "C".into()),
            ("logging_collector", "off".into()),
            ("log_destination", "stderr".into()),
            ("restore_command", recovery.restore_command.clone().unwrap_or_default()),
            ("recovery_target_timeline", "latest".into()),
        ];
        if self.programs.version >= 17 {
            // No trigger of the restored database runs at our login.
            settings.push(("event_triggers", "off".into()));
        }
        let text: String = settings
            .iter()
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")))
            .collect();
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(self.folder.path().join("conf"))?;
            write_new(&self.conf("postgresql.conf"), &text)?;
            write_new(&self.conf("pg_hba.conf"), "local all all trust\n")?;
            write_new(&self.conf("pg_ident.conf"), "")?;
            // What the server reads in spite of the configuration that it is given.
            fs::write(data.join("postgresql.auto.conf"), "")?;
            for name in ["standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts"] {
                match fs::remove_file(data.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            // Slots would hold back WAL, and a server without room for them does not start.
            for slot in fs::read_dir(data.join("pg_replslot")).into_iter().flatten().flatten() {
                fs::remove_dir_all(slot.path())?;
            }
            if recovery.restore_command.is_some() {
                fs::write(data.join("recovery.signal"), "")?;
            }
            self.owner.take(&self.folder.path().join("conf"))?;
            self.owner.take(&data)
        };
        write().map_err(|error| {
            Finding::unknown("drill", format!("the throwaway cluster can't be configured: {error}"))
        })
    }

    /// What pg_controldata says of the cluster.
    async fn control_data(&self, progress: &dyn Progress) -> Result<BTreeMap<String, String>, Finding> {
        self.owner.take(&self.data()).map_err(|error| {
            Finding::unknown("drill", format!("the restored data can't be given away: {error}"))
        })?;
        let args: [OsString; 2] = ["--pgdata".into(), self.data().into()];
        let ran = self.program("pg_controldata").text(args, progress).await?;
        let text = ran.whole("recovery").map_err(|finding| Finding::critical(finding.check, finding.text))?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    /// The libraries that the restored configuration preloads and that are allowed here.
    fn preloaded(&self, data: &Path) -> Vec<String> {
        let allowed = &self.config.backup.drill_preload_libraries;
        let mut wanted = String::new();
        for file in ["postgresql.conf", "postgresql.auto.conf"] {
            let text = fs::read_to_string(data.join(file)).unwrap_or_default();
            for line in text.lines() {
                let Some((name, value)) = line.split_once('=') else { continue };
                if name.trim() == "shared_preload_libraries" {
                    wanted = value.split('#').next().unwrap_or_default().to_owned();
                }
            }
        }
        let words = wanted.split(|letter: char| "',\" \t".contains(letter));
        words.filter(|word| allowed.iter().any(|allowed| allowed == word)).map(str::to_owned).collect()
    }

    fn conf(&self, name: &str) -> PathBuf {
        self.folder.path().join("conf").join(name)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn spawn(&mut self, recovery: &Recovery) -> Result<(), Finding> {
        let failed = |error: std::io::Error| {
            Finding::unknown("drill", format!("the throwaway server can't be started: {error}"))
        };
        let log = File::options().append(true).create(true).mode(0o600).open(self.log()).map_err(failed)?;
        let args: [OsString; 4] =
            ["-D".into(), self.data().into(), "-c".into(), config_file(&self.conf("postgresql.conf"))];
        let mut command = self.program("postgres").command(&args);
        command
            .envs(recovery.environment.iter().map(|(name, value)| (name, value.expose())))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().map_err(failed)?);
        Ok(())
    }

    /// Polls until the server answers that no recovery is under way.
    async fn until_ready(&mut self, config: &Config) -> Result<Answer, Finding> {
        let options = config.connect_options().map_err(|error| {
            Finding::unknown("drill", format!("no address of the throwaway server: {error}"))
        })?;
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
                return Err(Finding::critical("recovery", self.why_it_ended()));
            }
            if started.elapsed() > self.config.backup.timeout {
                let limit = humantime::format_duration(self.config.backup.timeout);
                return Err(Finding::unknown(
                    "recovery",
                    format!("the recovery took more than {limit} (backup.timeout) and was given up"),
                ));
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
    async fn make_superuser(&self, progress: &dyn Progress) -> Result<(), Finding> {
        let args: [OsString; 6] = [
            "--single".into(),
            "-D".into(),
            self.data().into(),
            "-c".into(),
            config_file(&self.conf("postgresql.conf")),
            "template1".into(),
        ];
        let feed = format!("CREATE ROLE {SUPERUSER} SUPERUSER LOGIN\n");
        let feed: crate::backup::tool::Feed = Box::new(move |_| Ok(Box::new(std::io::Cursor::new(feed))));
        let ran = self
            .program("postgres")
            .run(args.into(), Some(feed), progress, crate::backup::tool::drain)
            .await?;
        ran.whole("drill")
    }

    /// Checks that the server is the one that was started here, and that it has no address.
    async fn assert_private(&self, config: &Config) -> Result<(), Finding> {
        let ask = async {
            let options = config.connect_options().map_err(sqlx::Error::config)?;
            let mut connection = PgConnection::connect_with(&options).await?;
            let found: (String, bool) =
                sqlx::query_as("SELECT current_setting('data_directory'), inet_server_addr() IS NULL")
                    .fetch_one(&mut connection)
                    .await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(found)
        };
        match ask.await {
            Ok((data, true)) if Path::new(&data) == self.data() => Ok(()),
            Ok((data, has_no_address)) => {
                let address = if has_no_address { "" } else { ", and has an address" };
                let text = format!(
                    "another server answered, with its data in {data}{address}; nothing was asked of it"
                );
                Err(Finding::unknown("drill", text))
            }
            Err(error) => {
                Err(Finding::unknown("drill", format!("the throwaway server does not answer: {error}")))
            }
        }
    }
}

impl Drop for Throwaway<'_> {
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

/// A path as an item of a list setting.
fn quoted_list_item(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
