//! `monitor-backups` and `verify-backup` on real backups of every kind, whole and damaged.

mod archive;
mod barman;
mod basebackup;
mod beside;
mod clone;
mod command;
mod confined;
mod depths;
mod drill;
mod dumps;
mod formats;
mod good;
mod heard;
mod matrix;
mod pgbackrest;
mod preflight;
mod programs;
mod reach;
mod restic;
mod rowless;
mod s3;
mod site;
mod thresholds;
mod walg;
mod wrapped;

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use testkit::{Binary, Cluster, TestDb};
use tokio::sync::OnceCell;

const ENTRIES: u64 = 20_000;

const MINUTE: Duration = Duration::from_secs(60);

/// A folder with one whole dump of each make, all of the same database.
async fn dumps() -> &'static Path {
    static DUMPS: OnceCell<PathBuf> = OnceCell::const_new();
    DUMPS
        .get_or_init(|| async {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dumps");
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            let db = stocked().await;
            for (name, args) in [
                ("custom.dump", &["-Fc"][..]),
                ("custom-plain.dump", &["-Fc", "-Z0"]),
                ("custom-best.dump", &["-Fc", "-Z9"]),
                ("directory", &["-Fd"]),
                ("directory-plain", &["-Fd", "-Z0"]),
                ("tar.tar", &["-Ft"]),
                ("plain.sql", &["-Fp"]),
                ("plain-z.sql.gz", &["-Fp", "-Z6"]),
                ("inserts.sql", &["-Fp", "--inserts"]),
                ("custom-inserts.dump", &["-Fc", "--inserts"]),
                ("schema.dump", &["-Fc", "--schema-only"]),
                ("schema.sql", &["-Fp", "--schema-only"]),
                ("data.dump", &["-Fc", "--data-only"]),
                ("no-items.dump", &["-Fc", "--exclude-table-data=items"]),
                ("no-items.sql", &["-Fp", "--exclude-table-data=items"]),
                ("no-extra.dump", &["-Fc", "--exclude-table-data=extra"]),
            ] {
                dump(&db, args, &folder.join(name));
            }
            let output = db.cluster().program("pg_dump").args(["-Fc", db.name()]).output().unwrap();
            fs::write(folder.join("pipe.dump"), output.stdout).unwrap();
            // Of a cluster of its own: other tests' databases come and go.
            let cluster = Cluster::start(&[]);
            let loaded = cluster
                .program("psql")
                .args(["-qd", "postgres", "-f"])
                .arg(folder.join("plain.sql"))
                .output();
            assert!(loaded.unwrap().status.success());
            let output = cluster.program("pg_dumpall").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            fs::write(folder.join("all.sql"), output.stdout).unwrap();
            let other = TestDb::empty().await;
            dump(&other, &["-Fc"], &folder.join("other.dump"));
            gzip(&folder.join("plain.sql"), &folder.join("plain.sql.gz"));
            gzip(&folder.join("custom.dump"), &folder.join("custom.dump.gz"));
            gzip(&folder.join("tar.tar"), &folder.join("tar.tar.gz"));
            let zstd = zstd::encode_all(File::open(folder.join("plain.sql")).unwrap(), 3).unwrap();
            fs::write(folder.join("plain.sql.zst"), zstd).unwrap();
            folder
        })
        .await
}

/// The inventory with content, large objects, and names that need quoting.
async fn stocked() -> TestDb {
    let db = TestDb::inventory().await;
    db.execute(format!(
        r#"INSERT INTO items (item_number, name) SELECT 'I-' || n, 'Item ' || n FROM generate_series(1, 100) n;
        INSERT INTO locations (site, name) VALUES ('Hall', 'A\.'), (E'line\nbreak', '\.');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, note)
        SELECT i.id, l.id, n, md5(n::text) FROM generate_series(1, {ENTRIES}) n
        JOIN items i ON i.item_number = 'I-' || (n % 100 + 1) JOIN locations l ON l.site = 'Hall';
        CREATE TABLE extra (id int);
        CREATE TABLE "od""d; Type: TABLE" (id int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE part PARTITION OF "od""d; Type: TABLE" FOR VALUES FROM (0) TO (9);
        SELECT lo_from_bytea(0, 'large'), lo_from_bytea(0, '');"#
    ))
    .await;
    db
}

fn dump(db: &TestDb, args: &[&str], to: &Path) {
    let output =
        db.cluster().program("pg_dump").args(args).arg("-f").arg(to).arg(db.name()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(to).unwrap(), flate2::Compression::default());
    std::io::copy(&mut File::open(from).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A folder of a test's own, with a `stockfoil.toml` beside it.
struct Folder {
    top: TempDir,
}

impl Folder {
    /// `config` is added to the source `nightly`, which asks for one backup.
    fn new(config: &str) -> Folder {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("backups");
        fs::create_dir(&path).unwrap();
        let mut lines =
            format!("[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '{}'\n", path.display());
        if !config.contains("min_count") {
            lines.push_str("min_count = 1\n");
        }
        fs::write(top.path().join("stockfoil.toml"), lines + config).unwrap();
        Folder { top }
    }

    /// A folder with the configuration `config` alone.
    fn configured(config: &str) -> Folder {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("stockfoil.toml"), config).unwrap();
        Folder { top }
    }

    /// A folder that holds a copy of the whole dump `name`.
    async fn with(name: &str) -> Folder {
        let folder = Folder::new("");
        copy(&dumps().await.join(name), &folder.path(name));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join("backups").join(name)
    }

    fn run(&self, binary: &str) -> Binary {
        Binary::new(binary).folder(self.top.path())
    }

    /// A plain dump of `size` bytes or a little more, last written so long ago.
    fn plain(&self, name: &str, size: usize, age: Duration) -> PathBuf {
        let path = self.path(name);
        let filler = "-- filler\n".repeat(size / 10);
        fs::write(
            &path,
            format!(
                "--\n-- PostgreSQL database dump\n--\n{filler}--\n-- PostgreSQL database dump complete\n--\n"
            ),
        )
        .unwrap();
        set_age(&path, age);
        path
    }
}

/// A plain dump of nothing, which says that it began at two o'clock of `day`.
fn old_dump(day: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Started on {day} 02:00:00 UTC\n\n--\n-- PostgreSQL database dump complete\n--\n"
    )
}

/// A dump of roles and tablespaces.
const GLOBALS: &str = "--\n-- PostgreSQL database cluster dump\n--\n\n--\n-- Roles\n--\n\nCREATE ROLE stock;\n\n--\n-- PostgreSQL database cluster dump complete\n--\n";

fn set_age(path: &Path, age: Duration) {
    set_time(path, SystemTime::now() - age);
}

fn set_time(path: &Path, time: SystemTime) {
    File::options()
        .read(true)
        .open(path)
        .unwrap()
        .set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x04;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

/// Cuts a text at the end of the line that holds its middle.
fn cut_at_a_line(path: &Path) {
    let text = fs::read(path).unwrap();
    let middle = text.len() / 2;
    let end = middle + text[middle..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(path, &text[..end]).unwrap();
}

/// The largest data file of a directory dump.
fn largest(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap() != "toc.dat");
    files.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// Damages what a gzip file holds, and compresses it again.
fn recompress(path: &Path, damage: fn(&Path)) {
    let plain = path.with_extension("");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut text).unwrap();
    fs::write(&plain, text).unwrap();
    damage(&plain);
    gzip(&plain, path);
    fs::remove_file(plain).unwrap();
}

/// Waits until no process in `pids` runs any more; a zombie, which waits for its parent to look, does not run.
async fn gone(pids: &Path) {
    let pids = fs::read_to_string(pids).unwrap();
    let is_gone = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    };
    let wait = async {
        while !pids.split_whitespace().all(is_gone) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(60 * Duration::from_secs(1), wait).await.expect("a child goes on");
}

/// Writes a program that does what `script` says.
fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
