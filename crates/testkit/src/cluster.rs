use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
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
        SHARED.get_or_init(|| Cluster::start(&[]))
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
                .as_owner("pg_ctl", std::path::Path::new("/"))
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

    /// A pgbouncer in transaction mode in front of this cluster, with one more line of configuration. None, and a word
    /// on standard error, where there is none and none can be installed.
    pub fn pooler(&self, setting: &str) -> Option<Pooler> {
        let program = pgbouncer()?;
        let owner = std::fs::metadata(self.data()).unwrap();
        let folder = tempfile::Builder::new().prefix("sf.").tempdir_in("/tmp").unwrap();
        let path = folder.path().display();
        let config = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
             listen_port = 6432\nunix_socket_dir = {path}\nlogfile = {path}/log\n{setting}\n",
            self.host(),
            self.port(),
            self.superuser(),
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let mut command = Command::new(program);
        become_owner(&mut command, &self.data());
        let process =
            command.arg("-q").arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut pooler = Pooler { process, folder };
        while !pooler.folder.path().join(".s.PGSQL.6432").exists() {
            assert!(pooler.process.try_wait().unwrap().is_none(), "pgbouncer ended at once");
        }
        Some(pooler)
    }

    /// A program of the cluster's, run by the owner of its data in `folder`: the server refuses root.
    fn as_owner(&self, name: &str, folder: &std::path::Path) -> Command {
        let mut command = self.program(name);
        command.current_dir(folder);
        become_owner(&mut command, &self.data());
        command
    }

    /// A standby that has caught up with this cluster.
    pub fn standby(&'static self) -> Standby {
        let folder = tempfile::Builder::new().prefix("sf.").tempdir_in("/tmp").unwrap();
        let owner = std::fs::metadata(self.data()).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let data = folder.path().join("data");
        let standby = Standby { cluster: self, folder };
        let copied = standby
            .as_owner("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "-D"])
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
                &format!("-c port=5432 -c unix_socket_directories={}", standby.folder.path().display()),
            ])
            .status()
            .unwrap();
        assert!(started.success(), "pg_ctl start");
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

    fn as_owner(&self, name: &str) -> Command {
        self.cluster.as_owner(name, self.folder.path())
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = self.as_owner("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(data).status();
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

/// Where pgbouncer is; installed by `scripts/prepare` where it is not there yet.
fn pgbouncer() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let script = workspace().join("scripts/prepare");
            let output = Command::new(script).arg("pgbouncer").stderr(Stdio::inherit()).output().unwrap();
            let path = String::from_utf8(output.stdout).unwrap();
            if output.status.success() {
                return Some(path.trim().into());
            }
            eprintln!(
                "there is no pgbouncer here, and none can be installed: what it would show is not tested"
            );
            None
        })
        .clone()
}

/// Lets `command` run as the owner of `data`, where that is somebody else.
fn become_owner(command: &mut Command, data: &std::path::Path) {
    let owner = std::fs::metadata(data).unwrap();
    if std::fs::metadata("/proc/self").unwrap().uid() != owner.uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
}
