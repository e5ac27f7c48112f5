//! `monitor-backups` and `verify-backup` on real dumps, whole and damaged.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{Binary, Cluster, Signal, TestDb, signal};
use tokio::sync::OnceCell;

const ENTRIES: u64 = 20_000;

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

#[tokio::test]
async fn whole_dumps_of_every_make_are_read_to_their_end() {
    for (name, format, counts) in [
        ("custom.dump", "custom", true),
        ("custom-plain.dump", "custom", true),
        ("custom-best.dump", "custom", true),
        ("custom.dump.gz", "custom", true),
        ("custom-inserts.dump", "custom", false),
        ("pipe.dump", "custom", true),
        ("directory", "directory", true),
        ("directory-plain", "directory", true),
        ("tar.tar", "tar", true),
        ("tar.tar.gz", "tar", true),
        ("plain.sql", "plain", true),
        ("plain-z.sql.gz", "plain", true),
        ("plain.sql.gz", "plain", true),
        ("plain.sql.zst", "plain", true),
        ("inserts.sql", "plain", false),
        ("all.sql", "plain", true),
    ] {
        let folder = Folder::with(name).await;
        folder.run("monitor-backups").await.ok().says("nightly: 1 good backups").says(name);
        let run = folder.run("verify-backup").await.ok();
        let run = run.says("not sealed").says("silent change of a byte can't be excluded");
        assert!(!run.stdout.contains("verified"), "{}", run.stdout);

        let report = folder.run("verify-backup").args(["--format", "json"]).await.ok().json();
        assert_eq!(
            (&report["schema"], &report["outcome"]),
            (&"stockfoil.verify-backup/1".into(), &"clean".into())
        );
        let verified = &report["backups"][0];
        assert_eq!((&verified["status"], &verified["is_sealed"]), (&"ok".into(), &false.into()), "{name}");
        assert_eq!(verified["backup"]["format"], format, "{name}");
        let rows = |table: &str| {
            let mut tables = verified["tables"].as_array().unwrap().iter();
            tables.find(|found| found["name"] == table).unwrap_or_else(|| panic!("{name}: {table}"))["rows"]
                .clone()
        };
        for (table, expected) in
            [("inventory_ledger", ENTRIES), ("items", 100), ("locations", 2), ("users", 0)]
        {
            assert_eq!(rows(table), if counts { expected.into() } else { Value::Null }, "{name}: {table}");
        }
        assert_eq!(rows("part"), if counts { 0.into() } else { Value::Null }, "{name}");
    }
}

/// A kind of damage: the dump, what is done to it, what `monitor-backups` says (nothing: it can't see it), and what
/// `verify-backup` says.
type Damage = (&'static str, fn(&Path), Option<&'static str>, Option<&'static str>);

#[tokio::test]
async fn each_kind_of_damage_is_found_at_its_depth() {
    let keep: fn(&Path) = |_| {};
    let empty: fn(&Path) = |path| fs::write(path, "").unwrap();
    let cut_off = Some("is cut off: it ends before the data of public.");
    let tar_cut_off = Some("is cut off: a tar's end is missing");
    let no_pg_restore = Some("pg_restore can't read it: ");
    let matrix: [Damage; 34] = [
        ("custom.dump", empty, Some("is empty (0 bytes)"), Some("is empty (0 bytes)")),
        ("plain.sql", empty, Some("is empty (0 bytes)"), Some("is empty (0 bytes)")),
        ("custom.dump", cut, cut_off, cut_off),
        ("custom-plain.dump", cut, cut_off, cut_off),
        ("custom.dump.gz", cut, None, Some("can't be read to its end: it is cut off")),
        ("pipe.dump", cut, None, no_pg_restore),
        ("custom.dump", flip, None, no_pg_restore),
        ("custom-best.dump", flip, None, no_pg_restore),
        ("custom.dump.gz", flip, None, Some("can't be read to its end: ")),
        // Nothing in the file tells: only a checksum does.
        ("custom-plain.dump", flip, None, None),
        ("tar.tar", flip, None, None),
        ("plain.sql", flip, None, None),
        (
            "custom.dump",
            |path| fs::write(path, &fs::read(path).unwrap()[..300]).unwrap(),
            Some("table of contents is cut off"),
            Some("table of contents is cut off"),
        ),
        (
            "directory",
            |path| fs::remove_file(largest(path)).unwrap(),
            Some("the data of public.inventory_ledger is missing"),
            Some("the data of public.inventory_ledger is missing"),
        ),
        (
            "directory",
            |path| fs::write(largest(path), "").unwrap(),
            Some("the data of public.inventory_ledger is empty (0 bytes)"),
            Some("the data of public.inventory_ledger is empty (0 bytes)"),
        ),
        (
            "directory",
            |path| cut(&largest(path)),
            None,
            Some("the data of public.inventory_ledger can't be read to its end"),
        ),
        (
            "directory",
            |path| flip(&largest(path)),
            None,
            Some("the data of public.inventory_ledger can't be read to its end"),
        ),
        (
            "directory",
            |path| gzip(Path::new("/dev/null"), &largest(path)),
            None,
            Some("the data of public.inventory_ledger is cut off"),
        ),
        (
            "directory",
            |path| fs::remove_file(path.join("toc.dat")).unwrap(),
            Some("has no toc.dat"),
            Some("has no toc.dat"),
        ),
        (
            "directory",
            |path| cut(&path.join("toc.dat")),
            Some("table of contents is cut off"),
            Some("table of contents is cut off"),
        ),
        ("directory", |path| remove_large_object(path), Some("the large object"), Some("the large object")),
        ("directory-plain", |path| cut_at_a_line(&largest(path)), None, Some("lacks the mark of its end")),
        ("tar.tar", cut, tar_cut_off, tar_cut_off),
        (
            "tar.tar",
            |path| {
                cut(path);
                pad(path)
            },
            None,
            Some("is cut off: a tar's end is missing"),
        ),
        ("tar.tar.gz", cut, None, tar_cut_off),
        ("plain.sql", cut_at_a_line, Some("lacks its last line"), Some("lacks its last line")),
        ("plain.sql.gz", cut, None, Some("can't be read to its end: it is cut off")),
        ("plain.sql.zst", cut, None, Some("can't be read to its end")),
        ("plain.sql.gz", flip, None, Some("can't be read to its end")),
        (
            "plain.sql.gz",
            |path| recompress(path, cut_at_a_line),
            None,
            Some("ends inside the data of public.inventory_ledger"),
        ),
        ("schema.dump", keep, None, Some("holds the schema only: ")),
        ("schema.sql", keep, None, Some("holds the schema only: ")),
        ("data.dump", keep, None, Some("holds data without the definition of its table: users, items")),
        ("no-items.dump", keep, None, Some("was made without the data of: items")),
    ];
    for (at, (name, damage, quick, full)) in matrix.into_iter().enumerate() {
        let folder = Folder::with(name).await;
        damage(&folder.path(name));
        let what = format!("row {at}: {name}");
        for (binary, said) in [("monitor-backups", quick), ("verify-backup", full)] {
            let run = folder.run(binary).await;
            let status = if said.is_some() { 1 } else { 0 };
            assert_eq!(run.status, status, "{what}: {}{}", run.stdout, run.stderr);
            assert!(
                run.stdout.contains(said.unwrap_or("good"))
                    || (said.is_none() && run.stdout.contains("not sealed")),
                "{what}: {}",
                run.stdout
            );
        }
    }
}

fn remove_large_object(folder: &Path) {
    let toc = fs::read_to_string(folder.join("blobs.toc")).unwrap();
    let name = toc.lines().next().unwrap().split_once(' ').unwrap().1;
    for suffix in ["", ".gz"] {
        let _ = fs::remove_file(folder.join(format!("{name}{suffix}")));
    }
}

/// Ends a tar as if it were whole.
fn pad(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all(&vec![0; (length.next_multiple_of(512) - length + 1024) as usize]).unwrap();
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

#[tokio::test]
async fn a_dump_of_the_wrong_content_is_found() {
    let folder = Folder::with("no-items.sql").await;
    folder.run("verify-backup").await.status(1).says("was made without the data of: items");
    let folder = Folder::with("other.dump").await;
    folder.run("verify-backup").await.status(1).says("holds no table at all");
    // A table that the inventory does not need is worth a look.
    let folder = Folder::with("no-extra.dump").await;
    let report = folder.run("verify-backup").args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["backups"][0]["status"], "warning");
    assert_eq!(report["backups"][0]["findings"][0]["text"], "was made without the data of public.extra");
}

#[tokio::test]
async fn a_killed_pg_dump_is_found() {
    let db = stocked().await;
    for (format, quick) in [("-Fc", 0), ("-Fp", 1), ("-Ft", 1)] {
        let folder = Folder::new("");
        // It waits for us to read on: that is half-way, whatever the machine's speed.
        let mut child =
            db.cluster().program("pg_dump").args([format, db.name()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut half = vec![0; 200_000];
        child.stdout.take().unwrap().read_exact(&mut half).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        fs::write(folder.path("half.dump"), half).unwrap();
        folder.run("monitor-backups").await.status(quick);
        folder.run("verify-backup").await.status(1).says("not to be relied on");
    }
}

#[tokio::test]
async fn a_seal_shows_every_change_of_a_byte() {
    for name in ["custom-plain.dump", "plain.sql", "tar.tar", "directory-plain"] {
        let folder = Folder::with(name).await;
        let seal = std::process::Command::new("sh")
            .args(["-c", "if [ -d $0 ]; then sha256sum $0/*; else sha256sum $0; fi > $0.sha256", name])
            .current_dir(folder.path("."))
            .status()
            .unwrap();
        assert!(seal.success());
        folder.run("monitor-backups").await.ok().says("1 backups, 1 of them good");
        folder.run("verify-backup").await.ok().says(": verified").says("sealed: every byte");
        let path = folder.path(name);
        flip(&if path.is_dir() { largest(&path) } else { path });
        folder.run("verify-backup").await.status(1).says("changed since it was sealed: ");
        fs::write(folder.path(&format!("{name}.sha256")), "no checksum").unwrap();
        folder.run("verify-backup").await.status(1).says("is no checksum file");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn age_is_held_against_the_thresholds() {
    let folder = Folder::new("");
    for (minutes, status, word) in [
        (24 * 60, 0, "began 24 h ago"),
        (24 * 60 + 59, 1, "more than warn_age (24 h 30 min)"),
        (25 * 60 + 1, 1, "began 25 h 1 min ago, more than max_age (25 h)"),
    ] {
        folder.plain("a.sql", 100, minutes * MINUTE);
        folder.run("monitor-backups").await.status(status).says(word);
    }
    set_time(&folder.path("a.sql"), SystemTime::now() + 10 * MINUTE);
    folder.run("monitor-backups").await.status(1).says("is from the future");
    set_time(&folder.path("a.sql"), SystemTime::now() + 4 * MINUTE);
    folder.run("monitor-backups").await.ok();

    let folder = Folder::new("max_age = '2h'\nwarn_age = '1h30m'\n");
    folder.plain("a.sql", 100, 91 * MINUTE);
    folder.run("monitor-backups").await.status(1).says("more than warn_age (1 h 30 min)");
    folder.plain("a.sql", 100, 121 * MINUTE);
    folder.run("monitor-backups").await.status(1).says("more than max_age (2 h)");
}

/// Writes another time of creation into the header of a custom dump.
fn set_header_time(path: &Path, [year, month, day, hour, minute]: [u32; 5], is_summer: bool) {
    let mut bytes = fs::read(path).unwrap();
    // Behind 11 bytes of marks and the compression level: sign and 4 bytes each.
    let fields = [0, minute, hour, day, month - 1, year - 1900, u32::from(is_summer)];
    for (at, field) in fields.into_iter().enumerate() {
        let from = 11 + 5 + at * 5;
        bytes[from + 1..from + 5].copy_from_slice(&field.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_start_is_read_from_the_header() {
    let folder = Folder::with("custom.dump").await;
    let path = folder.path("custom.dump");
    let newest = async |zone: &str| {
        let run = folder.run("monitor-backups").env("TZ", zone).args(["--format", "json"]).await;
        let source = run.json()["sources"][0].clone();
        let newest = &source["newest"];
        (
            newest["started_at"].as_str().unwrap().to_owned(),
            newest["started_from"].as_str().unwrap().to_owned(),
        )
    };
    let set = |header, is_summer, modified: u64| {
        set_header_time(&path, header, is_summer);
        set_time(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
    };
    // As POSIX writes a zone: it needs no zone files.
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    // 2025-10-26T01:10:00Z; clocks in Berlin were set back from 3 to 2 at 01:00Z.
    let modified = 1_761_441_000;
    set([2025, 10, 26, 2, 30], true, modified);
    assert_eq!(newest(BERLIN).await, ("2025-10-26T00:30:00Z".into(), "header".into()));
    set([2025, 10, 26, 2, 5], false, modified);
    assert_eq!(newest(BERLIN).await, ("2025-10-26T01:05:00Z".into(), "header".into()));
    // Made in Tokyo, looked at in UTC: not from the future.
    set([2025, 10, 26, 10, 0], false, modified);
    assert_eq!(newest("UTC").await, ("2025-10-26T01:15:00Z".into(), "header".into()));
    // Touched, or copied without its time: as old as it says itself.
    set([2025, 10, 1, 1, 0], false, modified);
    assert_eq!(newest("UTC").await, ("2025-10-01T01:00:00Z".into(), "header".into()));
    // Set back further than any time zone could.
    set([2025, 10, 28, 1, 0], false, modified);
    assert_eq!(newest("UTC").await, ("2025-10-26T01:10:00Z".into(), "modified".into()));
    // A name tells the start of a plain dump.
    fs::remove_file(&path).unwrap();
    let path = folder.plain("stock-2025-10-26_0030.sql", 100, MINUTE);
    set_time(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
    assert_eq!(newest("UTC").await, ("2025-10-26T00:30:00Z".into(), "name".into()));
}

#[tokio::test]
async fn a_touched_old_dump_is_stale() {
    let folder = Folder::with("custom.dump").await;
    set_header_time(&folder.path("custom.dump"), [2025, 1, 31, 2, 0], false);
    folder.run("monitor-backups").await.status(1).says("more than max_age (25 h)");
}

#[tokio::test]
async fn count_and_size_are_held_against_the_thresholds() {
    let hours = |hours: u32| hours * 60 * MINUTE;
    let folder = Folder::new("min_count = 3\nmin_size = '2kB'\n");
    for (name, size, age) in [("a.sql", 10_000, 1), ("b.sql", 10_000, 25), ("c.sql", 1_000, 49)] {
        folder.plain(name, size, hours(age));
    }
    let run = folder.run("monitor-backups").args(["--format", "json"]).await.status(1);
    let source = &run.json()["sources"][0];
    assert_eq!(source["status"], "warning");
    assert_eq!((&source["count"], &source["good_count"]), (&3.into(), &2.into()));
    assert_eq!(source["summary"], "2 good backups, fewer than min_count (3)");

    folder.plain("c.sql", 10_000, hours(49));
    folder.run("monitor-backups").await.ok();
    folder.plain("now.sql", 6_900, MINUTE);
    folder
        .run("monitor-backups")
        .await
        .status(1)
        .says("smaller than the median of the 3 good backups before it");
    folder.plain("now.sql", 7_100, MINUTE);
    folder.run("monitor-backups").await.ok();
    folder.plain("now.sql", 1_500, MINUTE);
    folder.run("monitor-backups").await.status(1).says("less than min_size");
    // An empty file is critical each time, and never becomes the measure.
    for name in ["now.sql", "later.sql"] {
        fs::write(folder.path(name), "").unwrap();
        for _ in 0..2 {
            folder.run("monitor-backups").await.status(1).says(name).says("is empty (0 bytes)");
        }
    }
}

#[tokio::test]
async fn no_evidence_is_never_ok() {
    let folder = Folder::new("");
    for binary in ["monitor-backups", "verify-backup"] {
        folder.run(binary).await.status(1).says("no backup: nothing in");
    }
    fs::write(folder.path("readme.txt"), "hello").unwrap();
    fs::write(folder.path(".half.sql"), "").unwrap();
    fs::create_dir(folder.path("old")).unwrap();
    folder.run("monitor-backups").await.status(1).says("no backup: nothing in");
    fs::write(folder.path("stock.sql"), "hello").unwrap();
    folder.run("monitor-backups").await.status(1).says("of none of pg_dump's formats");
    folder.run("verify-backup").await.status(1).says("of none of pg_dump's formats");

    let folder = Folder::new("pattern = '*/stock.sql'\n");
    folder.plain("stock.sql", 100, MINUTE);
    folder.run("monitor-backups").await.status(1).says("matches */stock.sql");
    fs::create_dir(folder.path("2026-01-31")).unwrap();
    folder.plain("2026-01-31/stock.sql", 100, MINUTE);
    folder.run("monitor-backups").await.ok();

    for binary in ["monitor-backups", "verify-backup"] {
        let run = |path: &Path| Binary::new(binary).env("BACKUP_DIR", path);
        run(Path::new("/nowhere/at/all")).await.status(1).says("the folder /nowhere/at/all does not exist");
        run(&folder.path("stock.sql")).await.status(1).says("is not a folder");
        // A folder that can't be read is no healthy one; a link to itself fails for every user.
        std::os::unix::fs::symlink("loop", folder.path("loop")).unwrap();
        let unreadable = run(&folder.path("loop")).await.status(3);
        unreadable.says("can't be read").tells("error: could not be judged");
        fs::remove_file(folder.path("loop")).unwrap();
        Binary::new(binary).await.refuses(2, "no backup source is configured; set BACKUP_DIR");
    }
}

#[tokio::test]
async fn a_source_or_a_file_is_chosen() {
    let folder = Folder::with("custom.dump").await;
    folder.run("verify-backup").args(["--source", "nightly"]).await.ok();
    folder.run("verify-backup").args(["--source", "nihgtly"]).await.refuses(2, "did you mean \"nightly\"?");
    folder
        .run("verify-backup")
        .args(["--source", "nightly", "--file", "x"])
        .await
        .refuses(2, "exclude each other");
    folder.run("verify-backup").args(["--file", "backups/custom.dump"]).await.ok();
    folder.run("verify-backup").args(["--file", "backups/none.dump"]).await.status(1).says("does not exist");
    folder.run("verify-backup").args(["--file", "backups"]).await.status(1).says("neither a dump's file nor");
}

#[tokio::test]
async fn a_run_is_recorded_where_a_database_takes_it() {
    let folder = Folder::with("custom.dump").await;
    let db = TestDb::migrated().await;
    for binary in ["monitor-backups", "verify-backup"] {
        let run = |url: String| folder.run(binary).env("DATABASE_URL", url).args(["--format", "json"]);
        let report = run(db.url()).await.ok().json();
        let sql = format!(
            "SELECT id, outcome, finished_at IS NOT NULL FROM stockfoil.run WHERE command = '{binary}'"
        );
        assert_eq!(db.rows(sql).await, [[report["run_id"].to_string(), "clean".into(), "t".into()]]);
        // Without one, and on one that keeps no records, the check is as good.
        let down = run("postgres://nobody@127.0.0.1:1/none".into()).await.ok();
        assert_eq!(down.tells("without a database: can't connect").json()["run_id"], Value::Null);
        let bare = TestDb::empty().await;
        assert_eq!(run(bare.url()).await.ok().json()["run_id"], Value::Null);
    }
    fs::write(folder.path("later.dump"), "").unwrap();
    let run = folder.run("monitor-backups").env("DATABASE_URL", db.url()).args(["--format", "json"]).await;
    let report = run.status(1).json();
    assert_eq!(report["alerts"][0]["run_id"], report["run_id"]);
    let sql = format!(
        "SELECT outcome, summary #>> '{{sources,nightly}}' FROM stockfoil.run WHERE id = {}",
        report["run_id"]
    );
    assert_eq!(db.rows(sql).await, [["findings", "critical"]]);
}

/// A `pg_restore` that does what `script` says.
fn fake_pg_restore(folder: &Folder, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.top.path().join("pg_restore");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let own = format!("[backup]\npg_restore = '{}'\nstall_timeout = '1s'\n", path.display());
    fs::write(config, own + &text).unwrap();
}

#[tokio::test]
async fn a_missing_pg_restore_is_never_ok() {
    for name in ["custom.dump", "directory", "tar.tar"] {
        let folder = Folder::with(name).await;
        let run = folder.run("verify-backup").env("PATH", "/nonexistent").await.status(3);
        run.says("not judged").tells("pg_restore was not found; install PostgreSQL's client programs");
    }
    let folder = Folder::with("plain.sql").await;
    folder.run("verify-backup").env("PATH", "/nonexistent").await.ok();
}

#[tokio::test]
async fn a_pg_restore_that_lies_is_not_believed() {
    for (script, status, said) in [
        ("exit 0", 1, "what pg_restore makes of it is not whole"),
        (
            "echo '-- PostgreSQL database dump'; echo '-- PostgreSQL database dump complete'",
            1,
            "did not come out of pg_restore whole",
        ),
        ("echo 'pg_restore: error: out of cheese' >&2; exit 1", 1, "pg_restore can't read it: out of cheese"),
        ("kill -9 $$", 1, "pg_restore can't read it: signal: 9"),
        (
            "echo 'pg_restore: error: unsupported version (1.16) in file header' >&2; exit 1",
            3,
            "install a newer PostgreSQL client",
        ),
    ] {
        let folder = Folder::with("custom.dump").await;
        fake_pg_restore(&folder, script);
        folder.run("verify-backup").await.status(status).says(said);
    }
    let folder = Folder::with("directory").await;
    fake_pg_restore(&folder, "echo ';     TOC Entries: 3'");
    folder.run("verify-backup").await.status(1).says("pg_restore lists 3 entries");
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

#[tokio::test]
async fn a_pg_restore_that_hangs_is_ended_with_its_children() {
    let folder = Folder::with("custom.dump").await;
    let pids = folder.top.path().join("pids");
    fake_pg_restore(
        &folder,
        &format!("sleep 1000 & echo $$ $! > '{0}.new'; mv '{0}.new' '{0}'; wait", pids.display()),
    );
    folder.run("verify-backup").await.status(3).says("showed no sign of life for 1s and was given up");
    gone(&pids).await;

    fs::remove_file(&pids).unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("'1s'", "'1h'")).unwrap();
    let mut child = folder.run("verify-backup").spawn();
    while !pids.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(child.try_wait().unwrap().is_none());
    }
    signal(&child, Signal::INT);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    gone(&pids).await;
}

/// Reads the Prometheus text format as strictly as promtool: HELP and TYPE once before the samples of a name, no
/// sample twice, names, labels and values well formed.
fn read_prometheus(text: &str) -> Vec<(String, String, String)> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let mut described: Vec<String> = Vec::new();
    let mut samples: Vec<(String, String, String)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !help.trim().is_empty(), "{line}");
            assert!(!described.iter().any(|known| known == name), "{name} is described twice");
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            described.push(name.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert_eq!(described.last().map(String::as_str), Some(name), "{line}: not behind its description");
        let labels = labels.strip_suffix('}').unwrap();
        let (label, text) = labels.split_once("=\"").unwrap();
        let text = text.strip_suffix('"').unwrap();
        assert!(is_name(label) && !label.contains(':'), "{line}");
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            assert_ne!(letter, '"', "{line}");
            assert!(letter != '\\' || matches!(letters.next(), Some('\\' | '"' | 'n')), "{line}");
        }
        assert!(value.parse::<f64>().is_ok() && !value.contains(['e', 'E']), "{line}");
        let sample = (name.to_owned(), text.to_owned(), value.to_owned());
        assert!(!samples.iter().any(|known| known.0 == sample.0 && known.1 == sample.1), "{line}: twice");
        samples.push(sample);
    }
    samples
}

#[tokio::test]
async fn prometheus_gets_the_time_of_the_last_good_backup() {
    let folder = Folder::new("");
    let modified = SystemTime::now() - 90 * MINUTE;
    set_time(&folder.plain("a.sql", 100, MINUTE), modified);
    fs::write(folder.path("b.sql"), "").unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    let second = "[[backup.source]]\nname = 'a \"quoted\\\\ name'\nkind = 'dump'\npath = '/nowhere'\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + second).unwrap();

    let run = folder.run("monitor-backups").args(["--format", "prometheus"]).await.status(1);
    let samples = read_prometheus(&run.stdout);
    let value = |name: &str, source: &str| {
        let found = samples.iter().find(|sample| sample.0 == name && sample.1 == source);
        found.unwrap_or_else(|| panic!("no {name} of {source}: {}", run.stdout)).2.clone()
    };
    let last = "stockfoil_backup_last_success_timestamp_seconds";
    let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(value(last, "nightly"), seconds.to_string());
    assert_eq!(value(last, "a \\\"quoted\\\\\\\\ name"), "0");
    assert_eq!(value("stockfoil_backup_good_count", "nightly"), "1");
    assert_eq!(value("stockfoil_backup_status", "nightly"), "2");
    assert!(!run.stdout.contains("age"), "{}", run.stdout);

    // To a textfile collector: the file is there as a whole.
    let file = folder.top.path().join("backups.prom");
    folder
        .run("monitor-backups")
        .args(["--format", "prometheus", "--output"])
        .arg(&file)
        .await
        .status(1)
        .says("");
    assert_eq!(read_prometheus(&fs::read_to_string(file).unwrap()).len(), samples.len());

    let folder = Folder::with("custom.dump").await;
    let run = folder.run("verify-backup").args(["--format", "prometheus"]).await.ok();
    let samples = read_prometheus(&run.stdout);
    let whole =
        samples.iter().find(|sample| sample.0 == "stockfoil_backup_read_whole_timestamp_seconds").unwrap();
    assert!(whole.2.parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn the_monitors_json_is_stable() {
    let folder = Folder::with("custom.dump").await;
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.ok().json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(report["schema"], "stockfoil.monitor-backups/1");
    assert_eq!(keys(&report), "schema outcome run_id checked_at sources alerts");
    assert_eq!(
        keys(&report["sources"][0]),
        "name kind path pattern status summary count good_count last_good_at newest findings"
    );
    assert_eq!(
        keys(&report["sources"][0]["newest"]),
        "path format compression size_bytes started_at started_from modified_at database server_version findings"
    );
    let folder = Folder::new("");
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.status(1).json();
    assert_eq!(keys(&report["alerts"][0]), "event source severity key summary details run_id channels");
    assert_eq!(report["alerts"][0]["channels"][0]["channel"], "log");
}
