//! Base backups by pg_basebackup.

use super::{
    matrix::{ARCHIVE, RECORDS, Row},
    site::{ENTRIES_LATE, Site, output, overwrite, segments},
    *,
};

/// What is done to a base backup; the path is that of its data folder.
pub(super) const MATRIX: [Row; 11] = [
    Row {
        of: "base backup",
        damage: "flipped byte in a table",
        depth: "full",
        said: "checksum mismatch",
        witness: RECORDS,
        damages: |data| flip(&data.join(Site::file_of("inventory_ledger"))),
    },
    Row {
        of: "base backup",
        damage: "flipped byte in an index",
        depth: "full",
        said: "checksum mismatch",
        witness: RECORDS,
        damages: |data| flip(&data.join(Site::file_of("inventory_ledger_pkey"))),
    },
    Row {
        of: "base backup",
        damage: "table's file cut off",
        depth: "quick",
        said: "files are not as backup_manifest says",
        witness: RECORDS,
        damages: |data| cut(&data.join(Site::file_of("inventory_ledger"))),
    },
    Row {
        of: "base backup",
        damage: "page of zeros in a table",
        depth: "full",
        said: "checksum mismatch",
        witness: RECORDS,
        damages: |data| overwrite(&data.join(Site::file_of("inventory_ledger")), 8192, 8192, 0),
    },
    Row {
        of: "base backup",
        damage: "needed WAL missing",
        depth: "quick",
        said: "WAL is missing in it and in the archive",
        witness: ARCHIVE,
        damages: |data| {
            let segment = segments(&data.join("pg_wal")).remove(0);
            fs::remove_file(data.join("../../wal").join(segment.file_name().unwrap())).unwrap();
            fs::remove_file(segment).unwrap();
        },
    },
    Row {
        of: "base backup",
        damage: "needed WAL damaged",
        depth: "full",
        said: "could not find a valid record",
        witness: RECORDS,
        damages: |data| overwrite(&segments(&data.join("pg_wal"))[0], 40, 4096, 0x55),
    },
    Row {
        of: "base backup",
        damage: "backup_label gone",
        depth: "quick",
        said: "has no backup_label",
        witness: RECORDS,
        damages: |data| fs::remove_file(data.join("backup_label")).unwrap(),
    },
    Row {
        of: "base backup",
        damage: "global/pg_control gone",
        depth: "quick",
        said: "has no global/pg_control",
        witness: RECORDS,
        damages: |data| fs::remove_file(data.join("global/pg_control")).unwrap(),
    },
    Row {
        of: "base backup",
        damage: "no backup_manifest",
        depth: "full",
        said: "there is nothing to compare them with",
        witness: RECORDS,
        damages: |data| fs::remove_file(data.join("backup_manifest")).unwrap(),
    },
    Row {
        of: "base backup",
        damage: "archived WAL missing in the middle",
        depth: "quick",
        said: "so that a recovery ends there",
        witness: ARCHIVE,
        damages: |data| {
            let archived = segments(&data.join("../../wal"));
            fs::remove_file(&archived[archived.len() - 3]).unwrap();
        },
    },
    Row {
        of: "base backup",
        damage: "last archived WAL lost, with a seal",
        depth: "restore",
        said: "entries of the ledger are lost",
        witness: RECORDS,
        damages: |data| {
            for segment in segments(&data.join("../../wal")).iter().rev().take(3) {
                fs::remove_file(segment).unwrap();
            }
        },
    },
];

/// A copy of the base backup `name` and of the archived WAL, with a source for them.
pub(super) async fn copy_of(name: &str) -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", &format!("base/{name}"), &format!("base/{name}.seal")]);
    let top = folder.top.path().display();
    let source = format!(
        "[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{top}/base'\npattern = '{name}'\nwal_path = '{top}/wal'\nmin_count = 1\nmax_wal_age = '1h'\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), source).unwrap();
    folder
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    for row in &MATRIX {
        let name = if row.damage.contains("archived") { "bare" } else { "folder" };
        let folder = copy_of(name).await;
        let data = folder.top.path().join("base").join(name);
        // A seal's checksums would tell of any change; here the backup itself must.
        let seal = data.with_extension("seal");
        if !row.damage.contains("seal") {
            fs::remove_file(seal).unwrap();
        }
        (row.damages)(&data);
        row.holds(&folder, None).await;
    }
}

#[tokio::test]
pub(super) async fn base_backups_of_every_make_are_restored_to_the_last_archived_entry() {
    for (name, format) in [("folder", "data_folder"), ("tar", "data_tar"), ("bare", "data_folder")] {
        let folder = copy_of(name).await;
        folder.run("monitor-backups").await.ok().says("base: 1 good backups");
        let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
        let backup = &report["backups"][0];
        assert_eq!(
            (&backup["backup"]["format"], &backup["is_sealed"]),
            (&format.into(), &true.into()),
            "{name}"
        );
        let database = &backup["drill"]["databases"][0];
        let ledger =
            database["tables"].as_array().unwrap().iter().find(|table| table["name"] == "inventory_ledger");
        let ledger = ledger.unwrap();
        assert_eq!(ledger["rows"], ledger["rows_sealed"], "{name}: {ENTRIES_LATE} are in WAL alone");
        assert_eq!(database["name"], "stock");
    }
}

#[tokio::test]
async fn a_changed_byte_in_tar_files_is_found_by_their_manifest() {
    let folder = copy_of("tar").await;
    let tar = folder.top.path().join("base/tar");
    fs::remove_file(tar.with_extension("seal")).unwrap();
    let plain = tar.join("base.tar");
    recompress(&tar.join("base.tar.gz"), |path| {
        let bytes = fs::read(path).unwrap();
        // In the first page of a table's rows, whose values stand there as text.
        let at =
            bytes.windows(9).rposition(|window| window == b"Item 1\0\0\0" || window == b"adjustmen").unwrap();
        overwrite(path, at, 1, b'X');
    });
    assert!(!plain.exists());
    folder.run("monitor-backups").await.ok();
    folder.run("verify-backup").await.status(1).says("has another checksum");
    cut(&tar.join("base.tar.gz"));
    folder.run("verify-backup").await.status(1).says("base.tar.gz can't be read to its end");
}

#[tokio::test]
async fn old_wal_is_a_finding() {
    let folder = copy_of("bare").await;
    for path in segments(&folder.top.path().join("wal")) {
        set_age(&path, 61 * MINUTE);
    }
    folder
        .run("monitor-backups")
        .await
        .status(1)
        .says("the last WAL was archived 1 h 1 min ago, more than max_wal_age (1 h)");
    fs::remove_dir_all(folder.top.path().join("wal")).unwrap();
    folder.run("monitor-backups").await.status(1).says("the folder of the WAL").says("does not exist");
}

#[tokio::test]
async fn a_live_data_folder_is_no_backup() {
    let folder = copy_of("folder").await;
    fs::write(folder.top.path().join("base/folder/postmaster.pid"), "1\n").unwrap();
    folder.run("monitor-backups").await.status(1).says("is the data folder of a server, and no backup");
}

#[tokio::test]
async fn rows_that_no_base_backup_holds_are_missed() {
    let cluster = Cluster::start(&[]);
    let execute = |sql: &str| {
        let mut psql = cluster.program("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "stock", "-c", sql]);
        output(psql)
    };
    let mut create = cluster.program("createdb");
    create.arg("stock");
    output(create);
    let url = cluster.url("stock");
    Binary::new("migrate-all").env("DATABASE_URL", url.clone()).await.ok();
    execute(
        "INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l;
        ALTER TABLE audit_logs SET UNLOGGED; CHECKPOINT",
    );
    let folder = Folder::configured("");
    let base = folder.top.path().join("base");
    let mut take = cluster.program("pg_basebackup");
    take.args(["-cfast", "-D"]).arg(&base);
    output(take);
    let verify = || folder.run("verify-backup").args(["--restore", "--file"]).arg(&base);
    // The table is as empty in production; what comes into it will be in no base backup.
    let empty = verify().env("DATABASE_URL", url.clone()).await.status(1);
    empty.says("worth a look").says("audit_logs of the inventory").says("SET LOGGED");
    execute("INSERT INTO audit_logs (action, entity) VALUES ('count', 'sheet')");
    verify().await.status(1).says("worth a look").says("audit_logs");
    let lost = verify().env("DATABASE_URL", url).await.status(1);
    lost.says("not to be relied on").says("audit_logs, which is UNLOGGED and has rows in production");
}

#[tokio::test]
async fn a_tablespace_that_is_missing_is_found_without_a_manifest_too() {
    let cluster = Cluster::start(&[]);
    let place = tempfile::Builder::new().prefix("space.").tempdir_in("/tmp").unwrap();
    let (uid, gid) = cluster.owner();
    // Where that is the caller already, nothing need be given.
    let _ = std::os::unix::fs::chown(place.path(), Some(uid), Some(gid));
    let folder = Folder::configured("");
    let mut sql = cluster.program("psql");
    let tablespace = format!("CREATE TABLESPACE elsewhere LOCATION '{}'", place.path().display());
    sql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", &tablespace]);
    sql.args(["-c", "CREATE TABLE orders TABLESPACE elsewhere AS SELECT generate_series(1, 99) AS n"]);
    output(sql);
    let [tar, plain, moved] = ["tar", "plain", "moved"].map(|name| folder.top.path().join(name));
    let mut take = cluster.program("pg_basebackup");
    take.args(["-cfast", "-Ft", "--no-manifest", "-D"]).arg(&tar);
    output(take);
    let mut take = cluster.program("pg_basebackup");
    let mapping = format!("--tablespace-mapping={}={}", place.path().display(), moved.display());
    take.args(["-cfast", "-Fp", "--no-manifest", &mapping, "-D"]).arg(&plain);
    output(take);
    let verify = |path: &Path| folder.run("verify-backup").arg("--file").arg(path);
    // Without a manifest there is nothing to compare them with, which is said.
    for whole in [&tar, &plain] {
        let run = verify(whole).await.status(1).says("nothing to compare them with");
        assert!(!run.stdout.contains("lacks"), "{}", run.stdout);
    }
    let tablespaces = fs::read_dir(&tar).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    };
    fs::remove_file(tablespaces.into_iter().find(is_one).unwrap()).unwrap();
    verify(&tar).await.status(1).says("lacks the files of tablespaces");
    fs::remove_dir_all(&moved).unwrap();
    verify(&plain).await.status(1).says("lacks the tablespace").says("nothing is there");
    fs::create_dir(&moved).unwrap();
    verify(&plain).await.status(1).says("lacks the tablespace").says("it is empty");
    // As a restore leaves it that can't read where the link leads to, and says nothing.
    let link = fs::read_dir(plain.join("pg_tblspc")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&link).unwrap();
    fs::write(&link, "").unwrap();
    verify(&plain).await.status(1).says("lacks the tablespace").says("it is no folder");
}

#[tokio::test]
async fn pages_that_were_damaged_before_the_backup_are_found() {
    let site = Site::shared().await;
    let folder = Folder::configured("");
    let top = folder.top.path();
    site.give(top);
    let data = top.join("base/cluster");
    fs::create_dir(top.join("base")).unwrap();
    site.give(&top.join("base"));
    let mut initdb = site.cluster.as_owner("initdb");
    initdb.args(["--data-checksums", "--no-sync", "-D"]).arg(&data);
    output(initdb);
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S");
    let label =
        format!("START WAL LOCATION: 0/F0000000 (file 000000010000000000000001)\nSTART TIME: {now} UTC\n");
    fs::write(data.join("backup_label"), label).unwrap();
    let config =
        format!("[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{}/base'\n", top.display());
    fs::write(top.join("stockfoil.toml"), config).unwrap();
    // Without a manifest there is nothing else to compare it with.
    let run = folder.run("verify-backup").await.status(1);
    run.says("has no backup_manifest").says("pages hold");
    let catalog = fs::read_dir(data.join("base/1")).unwrap().map(|entry| entry.unwrap().path());
    let largest = catalog.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    overwrite(&largest, 8192 + 4000, 8, 0x55);
    let run = folder.run("verify-backup").await.status(1);
    run.says("pages are not as their checksums say: page 1 in base/1/").says("not to be relied on");
    // The same in tar files, with a tablespace in one of its own.
    let pack = |name: &str, of: &Path, folder: &str, entries: &[&str]| {
        let to = top.join("base").join(folder);
        let _ = fs::create_dir(&to);
        let mut tar = std::process::Command::new("tar");
        tar.arg(if name.ends_with(".gz") { "-czf" } else { "-cf" }).arg(to.join(name)).arg("-C").arg(of);
        output({
            tar.args(entries);
            tar
        });
    };
    let whole = ["backup_label", "PG_VERSION", "base", "global"];
    pack("base.tar.gz", &data, "packed", &whole);
    let space = top.join("space/PG_15/1");
    fs::create_dir_all(&space).unwrap();
    fs::rename(&largest, space.join(largest.file_name().unwrap())).unwrap();
    pack("base.tar", &data, "spaced", &whole);
    fs::rename(&data, top.join("cluster")).unwrap();
    let verify = async |said: &str| folder.run("verify-backup").await.status(1).says(said);
    fs::rename(top.join("base/packed"), top.join("packed")).unwrap();
    verify("pages hold").await.says("has no backup_manifest");
    pack("16384.tar", &top.join("space"), "spaced", &["PG_15"]);
    verify("pages are not as their checksums say: page 1 in pg_tblspc/16384/PG_15/1/").await;
    fs::rename(top.join("base/spaced"), top.join("spaced")).unwrap();
    fs::rename(top.join("packed"), top.join("base/packed")).unwrap();
    verify("pages are not as their checksums say: page 1 in base/1/").await;
}

#[tokio::test]
async fn incremental_backups_are_combined_with_those_on_which_they_build() {
    let Some(cluster) = Cluster::of_version("18", &["--set", "summarize_wal=on"]) else { return };
    let folder = Folder::configured("");
    let top = folder.top.path();
    let (uid, gid) = cluster.owner();
    fs::create_dir(top.join("base")).unwrap();
    for path in [top.to_path_buf(), top.join("base")] {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
    let back_up = |name: &str, on: Option<&str>| {
        let mut command = cluster.as_owner("pg_basebackup");
        command.args(["--checkpoint=fast", "--no-sync", "--pgdata"]).arg(top.join("base").join(name));
        if let Some(on) = on {
            let manifest = top.join("base").join(on).join("backup_manifest");
            command.arg(format!("--incremental={}", manifest.display()));
        }
        output(command);
    };
    let execute = |database: &str, sql: &str| {
        let mut command = cluster.program("psql");
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        output(command)
    };
    execute("postgres", "CREATE DATABASE stock");
    Binary::new("migrate-all").env("DATABASE_URL", cluster.url("stock")).await.ok();
    let add = "INSERT INTO items (item_number, name) SELECT 'I-' || gen_random_uuid(), 'Item';
        INSERT INTO locations (site, name) VALUES ('Hall', gen_random_uuid()::text);
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l";
    execute("stock", add);
    back_up("full", None);
    execute("stock", add);
    back_up("first", Some("full"));
    execute("stock", add);
    back_up("second", Some("first"));
    let entries = execute("stock", "SELECT count(*) FROM inventory_ledger");
    let bin = Path::new(cluster.program("postgres").get_program()).parent().unwrap().display().to_string();
    let config = format!(
        "[backup]\npg_bin = '{bin}'\n[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{}/base'\nmin_count = 3\n",
        top.display()
    );
    fs::write(top.join("stockfoil.toml"), config).unwrap();
    // Not every build of pg_verifybackup works; without their manifests it is not asked.
    for name in ["full", "first", "second"] {
        fs::remove_file(top.join("base").join(name).join("backup_manifest")).unwrap();
    }
    // An incremental one is smaller than the full one before, and that is as it should be.
    folder.run("monitor-backups").await.ok().says("3 good backups");
    let run = folder.run("verify-backup").await.status(1);
    run.says("builds on full, which was read as well").says("builds on first, which was read as well");
    // Where the server lacks amcheck, its indexes can't be read, and that is all.
    let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.json();
    for finding in report["backups"][0]["findings"].as_array().unwrap() {
        let text = finding["text"].as_str().unwrap();
        assert!(text.contains("backup_manifest") || text.contains("pg_amcheck"), "{report}");
    }
    let tables = report["backups"][0]["drill"]["databases"][0]["tables"].as_array().unwrap();
    let ledger = tables.iter().find(|table| table["name"] == "inventory_ledger").unwrap();
    assert_eq!(ledger["rows"].to_string(), entries.trim());
    let named = top.join("base/second");
    folder
        .run("verify-backup")
        .arg("--file")
        .arg(&named)
        .await
        .status(1)
        .says("builds on full, which was read");

    flip(&top.join("base/full/base/1/1259"));
    let run = folder.run("verify-backup").await.status(1);
    run.says("pages are not as their checksums say: ").says("not to be relied on");
    fs::remove_dir_all(top.join("base/first")).unwrap();
    folder
        .run("monitor-backups")
        .await
        .status(1)
        .says("is incremental, and the base backup on which it builds");
}
