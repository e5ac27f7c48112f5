//! A production site: a cluster that archives its WAL, with the inventory in it and backups by every tool.

use std::{os::unix::fs::chown, process::Command};

use super::*;

/// Entries before and while the backups were made, and in WAL since.
const ENTRIES_EARLY: u64 = 5_000;
pub(super) const ENTRIES_LATE: u64 = 3;

/// The site that all tests share; its backups are copied before they are damaged.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    folder: TempDir,
    /// Whether the pgBackRest of this machine knows servers of this version.
    pub(super) has_pgbackrest: bool,
}

static SITE: OnceCell<Site> = OnceCell::const_new();

impl Site {
    /// The site, with all its backups.
    pub(super) async fn shared() -> &'static Site {
        SITE.get_or_init(Site::build).await
    }

    /// The file of a table or an index of the inventory, below a data folder.
    pub(super) fn file_of(relation: &str) -> String {
        let site = SITE.get().expect("the site is built");
        site.execute(&format!("SELECT pg_relation_filepath('{relation}')"))
    }

    async fn build() -> Site {
        testkit::require_tools(&["pgbackrest", "barman"]);
        let folder = tempfile::Builder::new().prefix("site.").tempdir_in("/tmp").unwrap();
        let top = folder.path().display();
        let copies = format!(
            "cp %p {top}/wal/%f && cp %p {top}/barman/main/incoming/%f && cp %p {top}/packed/incoming/%f"
        );
        let archive = format!("archive_command={copies}");
        let cluster = Cluster::start(&["--set", "archive_mode=on", "--set", &archive]);
        let mut site = Site { cluster, folder, has_pgbackrest: false };
        for name in ["wal", "pgbackrest", "barman/main/incoming", "packed/incoming", "base"] {
            fs::create_dir_all(site.path(name)).unwrap();
        }
        site.configure(site.folder.path());
        site.give(site.folder.path());
        let made = site.pgbackrest().arg("stanza-create").output().unwrap();
        site.has_pgbackrest = made.status.success();
        let is_unknown = String::from_utf8_lossy(&made.stderr).contains("VersionNotSupportedError");
        assert!(site.has_pgbackrest || is_unknown, "{made:?}");
        if site.has_pgbackrest {
            let top = site.folder.path().display();
            let push = format!(
                "pgbackrest --config={top}/pgbackrest.conf --stanza=main archive-push %p && {copies}"
            );
            site.execute_in("postgres", &format!("ALTER SYSTEM SET archive_command = '{push}'"));
            site.execute_in("postgres", "SELECT pg_reload_conf()");
        } else {
            let line = "pgBackRest's tests are skipped: the one of this machine does not know this server\n";
            // Past the harness, which would keep it for itself.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
        site.fill().await;
        site.back_up().await;
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the tools' configuration for their folders in `top`.
    fn configure(&self, top: &Path) {
        let (shown, data) = (top.display(), self.cluster.data());
        let (host, port, user) = (self.cluster.host(), self.cluster.port(), self.cluster.superuser());
        let pgbackrest = format!(
            "[global]\nrepo1-path={shown}/pgbackrest\nlock-path={shown}/lock\nlog-level-file=off\nstart-fast=y\narchive-timeout=30\n\
            [main]\npg1-path={}\npg1-socket-path={host}\npg1-port={port}\npg1-user={user}\n",
            data.display()
        );
        fs::write(top.join("pgbackrest.conf"), pgbackrest).unwrap();
        let owner = self.cluster.as_owner("id").arg("-un").output().unwrap().stdout;
        let owner = String::from_utf8(owner).unwrap();
        let bin = self.cluster.program("pg_ctl").get_program().to_owned();
        let of_server = format!(
            "archiver = on\nbackup_method = postgres\npath_prefix = {}\n\
            conninfo = host={host} port={port} user={user} dbname=postgres\n\
            streaming_conninfo = host={host} port={port} user={user} dbname=postgres\n",
            Path::new(&bin).parent().unwrap().display(),
        );
        let barman = format!(
            "[barman]\nbarman_user = {}\nbarman_home = {shown}/barman\nbarman_lock_directory = {shown}\nlog_file = {shown}/barman.log\n\
            [main]\ndescription = main\n{of_server}\
            [packed]\ndescription = packed\nbackup_directory = {shown}/packed\nbackup_compression = gzip\ncompression = gzip\n{of_server}",
            owner.trim(),
        );
        fs::write(top.join("barman.conf"), barman).unwrap();
    }

    /// Gives everything below `path` to the cluster's owner.
    pub(super) fn give(&self, path: &Path) {
        let (uid, gid) = self.cluster.owner();
        // Where that is the caller already, nothing need be given.
        let _ = chown(path, Some(uid), Some(gid));
        if path.is_dir() && !path.is_symlink() {
            for entry in fs::read_dir(path).unwrap() {
                self.give(&entry.unwrap().path());
            }
        }
    }

    /// Runs statements in the inventory's database.
    pub(super) fn execute(&self, sql: &str) -> String {
        self.execute_in("stock", sql)
    }

    pub(super) fn execute_in(&self, database: &str, sql: &str) -> String {
        let mut command = self.cluster.program("psql");
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        output(command)
    }

    async fn fill(&self) {
        self.execute_in("postgres", "CREATE DATABASE stock");
        Binary::new("migrate-all").env("DATABASE_URL", self.cluster.url("stock")).await.ok();
        self.execute(
            "INSERT INTO items (item_number, name) SELECT 'I-' || n, 'Item ' || n FROM generate_series(1, 50) n;
            INSERT INTO locations (site, name) VALUES ('Hall', 'A');",
        );
        self.add_entries(ENTRIES_EARLY);
    }

    pub(super) fn add_entries(&self, count: u64) {
        self.execute(&format!(
            "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical)
            SELECT i.id, l.id, n FROM generate_series(1, {count}) n
            JOIN items i ON i.item_number = 'I-' || (n % 50 + 1) CROSS JOIN locations l"
        ));
    }

    /// pgBackRest with the site's configuration, as the cluster's owner.
    fn pgbackrest(&self) -> Command {
        let mut command = self.cluster.as_owner("pgbackrest");
        command.arg(format!("--config={}", self.path("pgbackrest.conf").display())).arg("--stanza=main");
        command
    }

    async fn back_up(&self) {
        for kind in ["full", "diff", "incr"] {
            if self.has_pgbackrest {
                let mut backup = self.pgbackrest();
                backup.args(["backup", &format!("--type={kind}")]);
                output(backup);
            }
            self.add_entries(10);
        }

        let conf = self.path("barman.conf").display().to_string();
        // The first WAL tells Barman that archiving works.
        self.switch_wal().await;
        for server in ["main", "packed"] {
            self.tool("barman", &["-c", &conf, "archive-wal", server]);
            self.tool("barman", &["-c", &conf, "backup", server]);
            self.switch_wal().await;
            self.tool("barman", &["-c", &conf, "archive-wal", server]);
        }

        for (name, args) in [
            ("base/folder", &["-Fp", "-Xstream"][..]),
            ("base/tar", &["-Ft", "-Xstream", "-z"]),
            ("base/bare", &["-Fp", "-Xnone"]),
        ] {
            let path = self.path(name).display().to_string();
            self.tool("pg_basebackup", &[&["--no-password", "-cfast", "-D", &path], args].concat());
        }
        // What only WAL holds, each entry in a segment of its own.
        for _ in 0..ENTRIES_LATE {
            self.add_entries(1);
            self.switch_wal().await;
        }
        for server in ["main", "packed"] {
            self.tool("barman", &["-c", &conf, "archive-wal", server]);
            // Where its last WAL came later than the backup ended, only this makes it whole.
            self.tool("barman", &["-c", &conf, "check-backup", server, "latest"]);
        }
        for name in ["folder", "tar", "bare"] {
            let path = self.path("base").join(name);
            self.seal(Binary::new("verify-backup").arg("--file").arg(path)).await;
        }
        if self.has_pgbackrest {
            let seals = Folder::configured(&self.source_of_pgbackrest(self.folder.path()));
            self.seal(seals.run("verify-backup")).await;
        }
        self.switch_wal().await;
    }

    async fn seal(&self, command: Binary) {
        command.arg("--seal").env("DATABASE_URL", self.cluster.url("stock")).await.ok();
    }

    /// The source of pgBackRest's backups in `top`.
    pub(super) fn source_of_pgbackrest(&self, top: &Path) -> String {
        let shown = top.display();
        format!(
            "[[backup.source]]\nname = 'main'\nkind = 'pgbackrest'\nstanza = 'main'\nconfig_file = '{shown}/pgbackrest.conf'\nseal_folder = '{shown}/seals'\nmin_count = 1\n"
        )
    }

    /// Ends the segment of WAL, and waits until it is archived.
    pub(super) async fn switch_wal(&self) {
        let segment = self.execute("SELECT pg_walfile_name(pg_switch_wal())");
        let is_archived = || {
            let last = self.execute("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver");
            // A backup's own file names the segment that it begins in.
            last.get(..24).is_some_and(|last| last >= segment.as_str())
        };
        let wait = async {
            while !is_archived() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(60 * Duration::from_secs(1), wait).await.expect("WAL is not archived");
    }

    /// Runs a tool as the cluster's owner.
    pub(super) fn tool(&self, name: &str, args: &[&str]) -> String {
        let mut command = self.cluster.as_owner(name);
        command.args(args);
        output(command)
    }

    /// A copy of these of the site's files and folders, with the configuration of the tools for them.
    pub(super) fn copy(&self, names: &[&str]) -> Folder {
        let top = tempfile::Builder::new().prefix("copy.").tempdir_in("/tmp").unwrap();
        let mut copy = Command::new("cp");
        copy.args(["-a", "--parents"]).args(names).arg(top.path()).current_dir(self.folder.path());
        output(copy);
        self.configure(top.path());
        self.give(top.path());
        Folder { top }
    }
}

/// Runs a command that must succeed.
pub(super) fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The segments in a folder of WAL, the oldest first.
pub(super) fn segments(folder: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.len() >= 24
            && name[..24].bytes().all(|byte| byte.is_ascii_hexdigit())
            && !name.ends_with(".backup")
    };
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_segment).collect();
    found.sort();
    found
}

/// Overwrites `length` bytes from `offset` on.
pub(super) fn overwrite(path: &Path, offset: usize, length: usize, with: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset..offset + length].fill(with);
    fs::write(path, bytes).unwrap();
}
