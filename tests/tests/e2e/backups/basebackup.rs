//! Base backups by pg_basebackup.

use super::{
    matrix::Row,
    site::{ENTRIES_LATE, Site, output, overwrite, segments},
    *,
};

/// What is done to a base backup; the path is that of its data folder.
pub(super) const MATRIX: [Row; 9] = [
    Row {
        of: "base backup",
        damage: "flipped byte in a table",
        depth: "full",
        said: "checksum mismatch",
        damages: |data| flip(&data.join(Site::file_of("inventory_ledger"))),
    },
    Row {
        of: "base backup",
        damage: "flipped byte in an index",
        depth: "full",
        said: "checksum mismatch",
        damages: |data| flip(&data.join(Site::file_of("inventory_ledger_pkey"))),
    },
    Row {
        of: "base backup",
        damage: "table's file cut off",
        depth: "quick",
        said: "files are not as backup_manifest says",
        damages: |data| cut(&data.join(Site::file_of("inventory_ledger"))),
    },
    Row {
        of: "base backup",
        damage: "page of zeros in a table",
        depth: "full",
        said: "checksum mismatch",
        damages: |data| overwrite(&data.join(Site::file_of("inventory_ledger")), 8192, 8192, 0),
    },
    Row {
        of: "base backup",
        damage: "needed WAL missing",
        depth: "quick",
        said: "WAL is missing in it and in the archive",
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
        damages: |data| overwrite(&segments(&data.join("pg_wal"))[0], 40, 4096, 0x55),
    },
    Row {
        of: "base backup",
        damage: "backup_label gone",
        depth: "quick",
        said: "has no backup_label",
        damages: |data| fs::remove_file(data.join("backup_label")).unwrap(),
    },
    Row {
        of: "base backup",
        damage: "archived WAL missing in the middle",
        depth: "quick",
        said: "so that a recovery ends there",
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
        damages: |data| {
            for segment in segments(&data.join("../../wal")).iter().rev().take(3) {
                fs::remove_file(segment).unwrap();
            }
        },
    },
];

/// A copy of the base backup `name` and of the archived WAL, with a source for them.
async fn copy_of(name: &str) -> Folder {
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
        row.holds(&folder).await;
    }
}

#[tokio::test]
async fn base_backups_of_every_make_are_restored_to_the_last_archived_entry() {
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
    verify(&tar).await.ok();
    verify(&plain).await.ok();
    let tablespaces = fs::read_dir(&tar).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    };
    fs::remove_file(tablespaces.into_iter().find(is_one).unwrap()).unwrap();
    verify(&tar).await.status(1).says("lacks the files of tablespaces");
    fs::remove_dir_all(&moved).unwrap();
    verify(&plain).await.status(1).says("lacks the tablespace").says("nothing is at");
}
