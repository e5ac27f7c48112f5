use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    os::unix::{fs::MetadataExt as _, net::UnixStream, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use crate::workspace;

/// A running private cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Ends when its standard input closes, which takes the cluster with it.
    keeper: Child,
    variables: HashMap<String, String>,
}

impl Cluster {
    /// The cluster that all tests of this process share.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&["--set", "max_prepared_transactions=8"]))
    }

    /// A cluster of a test's own, for what would disturb others (crashes, standbys, server settings);
    /// `options` are those of `scripts/with-postgres`.
    pub fn start(options: &[&str]) -> Cluster {
        let mut keeper = Command::new(workspace().join("scripts/with-postgres"))
            .args(options)
            .args(["sh", "-c", "env; echo; cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start scripts/with-postgres");
        let mut variables = HashMap::new();
        for line in BufReader::new(keeper.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.is_empty() && variables.contains_key("DATABASE_URL") {
                break;
            }
            if let Some((name, value)) = line.split_once('=') {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        assert!(variables.contains_key("PGHOST"), "scripts/with-postgres gave no cluster");
        Cluster { keeper, variables }
    }

    /// The same with a server of this major version; none, which is said, where there is none and none can be installed.
    pub fn of_version(version: &str, options: &[&str]) -> Option<Cluster> {
        let options = [&["--version", version], options].concat();
        let script = workspace().join("scripts/with-postgres");
        let is_there = Command::new(script).args(&options).arg("true").status().unwrap().success();
        if !is_there {
            eprintln!("skipped: needs PostgreSQL {version}, which can't be had here");
        }
        is_there.then(|| Self::start(&options))
    }

    /// The folder of the cluster's socket.
    pub fn host(&self) -> &str {
        &self.variables["PGHOST"]
    }

    /// The port, which names the socket.
    pub fn port(&self) -> u16 {
        self.variables["PGPORT"].parse().unwrap()
    }

    /// The superuser.
    pub fn superuser(&self) -> &str {
        &self.variables["PGUSER"]
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.variables["STOCKFOIL_CLUSTER_DIR"].clone().into()
    }

    /// A program of this cluster's PostgreSQL, such as `pg_dump`, told how to connect.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(PathBuf::from(&self.variables["STOCKFOIL_PG_BIN"]).join(name));
        for name in ["PGHOST", "PGPORT", "PGUSER"] {
            command.env(name, &self.variables[name]);
        }
        command
    }

    /// Kills the server as a power failure would, and starts it again, which recovers what was committed.
    pub fn crash(&self) {
        for (action, mode) in [("stop", "immediate"), ("start", "fast")] {
            let status = self
                .as_owner("pg_ctl")
                .args([action, "-w", "-s", "-m", mode, "-l"])
                .arg(self.data().join("server.log"))
                .arg("-D")
                .arg(self.data())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "pg_ctl {action}");
        }
    }

    /// A pgbouncer in transaction mode in front of this cluster, with one more line of configuration.
    pub fn pooler(&self, setting: &str) -> Pooler {
        self.pooler_as(self.superuser(), setting)
    }

    /// The same, whose sessions are all `role`'s.
    pub fn pooler_as(&self, role: &str, setting: &str) -> Pooler {
        prepare_pgbouncer();
        let (uid, gid) = self.owner();
        let folder = tempfile::Builder::new().prefix("sf.").tempdir_in("/tmp").unwrap();
        let path = folder.path().display();
        let config = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
             listen_port = 6432\nunix_socket_dir = {path}\nlogfile = {path}/log\n{setting}\n",
            self.host(),
            self.port(),
            role,
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        let process = self
            .as_owner("pgbouncer")
            .arg("-q")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pooler = Pooler { process, folder };
        // The socket is there before it is listened on.
        while UnixStream::connect(pooler.folder.path().join(".s.PGSQL.6432")).is_err() {
            assert!(pooler.process.try_wait().unwrap().is_none(), "pgbouncer ended at once");
        }
        pooler
    }

    /// Who owns the data: user and group.
    pub fn owner(&self) -> (u32, u32) {
        let data = std::fs::metadata(self.data()).unwrap();
        (data.uid(), data.gid())
    }

    /// Any program, run by the owner of the data, since the server refuses root, and told how to connect.
    pub fn as_owner(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let bin = &self.variables["STOCKFOIL_PG_BIN"];
        // Distributions put daemons where only root looks.
        let path = format!("{bin}:{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap());
        command.env("PATH", path).current_dir("/");
        for name in ["PGHOST", "PGPORT", "PGUSER"] {
            command.env(name, &self.variables[name]);
        }
        let (uid, gid) = self.owner();
        if std::fs::metadata("/proc/self").unwrap().uid() != uid {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A standby that has caught up with this cluster and streams from it.
    pub fn standby(&'static self) -> Standby {
        let folder = tempfile::Builder::new().prefix("sf.").tempdir_in("/tmp").unwrap();
        let owner = std::fs::metadata(self.data()).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let data = folder.path().join("data");
        let standby = Standby { cluster: self, folder };
        let slot = format!("SELECT pg_create_physical_replication_slot('{}', true)", standby.name());
        assert!(standby.on_primary(&slot).status.success(), "psql");
        let copied = standby
            .as_owner("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "-S", &standby.name(), "-D"])
            .arg(&data)
            .status()
            .unwrap();
        assert!(copied.success(), "pg_basebackup");
        let started = standby
            .as_owner("pg_ctl")
            .args(["start", "-w", "-s", "-l"])
            .arg(standby.folder.path().join("log"))
            .arg("-D")
            .arg(&data)
            .args([
                "-o",
                &format!(
                    "-c port=5432 -c unix_socket_directories={} -c cluster_name={}",
                    standby.folder.path().display(),
                    standby.name()
                ),
            ])
            .status()
            .unwrap();
        assert!(started.success(), "pg_ctl start");
        // It takes sessions before it asks for WAL; one that is paused in between never would.
        while !standby.streams() {}
        standby
    }

    /// A URL of `database` for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as(self.superuser(), database)
    }

    /// A URL of `database` for `role`, without a password.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}&port={}", self.host(), self.port())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A running standby; stops and goes when dropped.
#[derive(Debug)]
pub struct Standby {
    cluster: &'static Cluster,
    folder: tempfile::TempDir,
}

impl Standby {
    /// A URL of `database` on the standby for the superuser.
    pub fn url(&self, database: &str) -> String {
        let user = self.cluster.superuser();
        format!("postgres://{user}@localhost/{database}?host={}&port=5432", self.folder.path().display())
    }

    /// What the primary knows it as, and the slot that keeps WAL for it: what others write would else be gone before it is
    /// sent.
    fn name(&self) -> String {
        self.folder.path().file_name().unwrap().to_string_lossy().to_lowercase().replace('.', "_")
    }

    /// Whether it has told the primary how far it is.
    fn streams(&self) -> bool {
        let asked = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}' AND replay_lsn IS NOT NULL",
            self.name()
        );
        let answer = self.on_primary(&asked);
        assert!(answer.status.success(), "psql");
        answer.stdout.starts_with(b"1")
    }

    fn on_primary(&self, statement: &str) -> Output {
        self.as_owner("psql").args(["-X", "-A", "-t", "-d", "postgres", "-c", statement]).output().unwrap()
    }

    fn as_owner(&self, name: &str) -> Command {
        let mut command = self.cluster.as_owner(name);
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = self.as_owner("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(data).status();
        // The slot is in use until the primary has noticed.
        let drop = format!(
            "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{0}' AND active;
             SELECT pg_drop_replication_slot('{0}')",
            self.name()
        );
        let _ = self.on_primary(&drop);
    }
}

/// A running pgbouncer; ends when dropped.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    folder: tempfile::TempDir,
}

impl Pooler {
    /// A URL of `database` through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://anybody@localhost/{database}?host={}&port=6432", self.folder.path().display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes sure, once a test process, that there is a pgbouncer.
fn prepare_pgbouncer() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let prepared = Command::new(workspace().join("scripts/prepare")).arg("pgbouncer").status().unwrap();
        assert!(prepared.success(), "scripts/prepare pgbouncer");
    });
}
