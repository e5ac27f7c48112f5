//! The real Barman.

use super::{
    matrix::{ARCHIVE, RECORDS, Row},
    site::{Site, segments},
    *,
};

/// What is done to Barman's files; the path is that of its server's folder.
pub(super) const MATRIX: [Row; 4] = [
    Row {
        of: "Barman",
        damage: "no backups (Barman itself says OK)",
        depth: "quick",
        said: "no backup: server main of Barman has none",
        witness: RECORDS,
        damages: |server| {
            for backup in fs::read_dir(server.join("base")).unwrap() {
                fs::remove_dir_all(backup.unwrap().path()).unwrap();
            }
        },
    },
    Row {
        of: "Barman",
        damage: "flipped byte in a table",
        depth: "full",
        said: "barman verify-backup found damage",
        witness: RECORDS,
        damages: |server| flip(&backup(server).join("data").join(Site::file_of("inventory_ledger"))),
    },
    Row {
        of: "Barman",
        damage: "first WAL gone",
        depth: "quick",
        said: "WAL is missing in Barman's archive",
        witness: ARCHIVE,
        damages: |server| fs::remove_file(&segments(&server.join("wals/0000000100000000"))[0]).unwrap(),
    },
    Row {
        of: "Barman",
        damage: "WAL in the middle of the recovery range gone",
        depth: "quick",
        said: "WAL is missing in Barman's archive",
        witness: ARCHIVE,
        damages: |server| {
            let archived = segments(&server.join("wals/0000000100000000"));
            fs::remove_file(&archived[archived.len() - 2]).unwrap();
        },
    },
];

/// What is done to the files of a server whose backups and WAL Barman compresses.
pub(super) const PACKED: [Row; 3] = [
    Row {
        of: "Barman, compressed",
        damage: "flipped byte in base.tar.gz",
        depth: "full",
        said: "can't be read to its end",
        witness: RECORDS,
        damages: |server| flip(&backup(server).join("data/base.tar.gz")),
    },
    Row {
        of: "Barman, compressed",
        damage: "a page of another segment",
        depth: "full",
        said: "is not what its name says",
        witness: ARCHIVE,
        damages: |server| {
            let archived = segments(&server.join("wals/0000000100000000"));
            fs::copy(&archived[0], &archived[archived.len() - 2]).unwrap();
        },
    },
    Row {
        of: "Barman, compressed",
        damage: "WAL in the middle of the recovery range gone",
        depth: "quick",
        said: "WAL is missing in Barman's archive",
        witness: ARCHIVE,
        damages: |server| {
            let archived = segments(&server.join("wals/0000000100000000"));
            fs::remove_file(&archived[archived.len() - 2]).unwrap();
        },
    },
];

fn backup(server: &Path) -> PathBuf {
    let backups = fs::read_dir(server.join("base")).unwrap().map(|entry| entry.unwrap().path());
    backups.into_iter().max().unwrap()
}

pub(super) async fn copy_of_the_server() -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["barman"]);
    let config = format!(
        "[[backup.source]]\nname = 'barman'\nkind = 'barman'\nserver = 'main'\nconfig_file = '{}/barman.conf'\nmin_count = 1\nmax_wal_age = '1h'\n",
        folder.top.path().display()
    );
    fs::write(folder.top.path().join("stockfoil.toml"), config).unwrap();
    folder
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    for row in &MATRIX {
        let folder = copy_of_the_server().await;
        (row.damages)(&folder.top.path().join("barman/main"));
        row.holds(&folder, None).await;
    }
    for row in &PACKED {
        let folder = copy_of_the_packed_server().await;
        (row.damages)(&folder.top.path().join("packed"));
        Site::shared().await.give(folder.top.path());
        row.holds(&folder, None).await;
    }
}

async fn copy_of_the_packed_server() -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["packed"]);
    fs::create_dir(folder.top.path().join("barman")).unwrap();
    site.give(folder.top.path());
    let config = format!(
        "[[backup.source]]\nname = 'barman'\nkind = 'barman'\nserver = 'packed'\nconfig_file = '{}/barman.conf'\nmin_count = 1\n",
        folder.top.path().display()
    );
    fs::write(folder.top.path().join("stockfoil.toml"), config).unwrap();
    folder
}

#[tokio::test]
pub(super) async fn a_backup_is_found_verified_and_restored() {
    let folder = copy_of_the_server().await;
    folder.run("monitor-backups").await.ok().says("barman: 1 good backups");
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("verified and restored").says("database stock: ").says("barman verify-backup");
}

#[tokio::test]
pub(super) async fn a_compressed_backup_is_verified_and_restored() {
    let folder = copy_of_the_packed_server().await;
    folder.run("monitor-backups").await.ok().says("barman: 1 good backups");
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("verified and restored").says("in its tar files are as its backup_manifest says");
}

#[tokio::test]
async fn an_unknown_server_and_old_wal_are_found() {
    let folder = copy_of_the_server().await;
    for path in segments(&folder.top.path().join("barman/main/wals/0000000100000000")) {
        set_age(&path, 61 * MINUTE);
    }
    folder.run("monitor-backups").await.status(1).says("more than max_wal_age (1 h)");
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("'main'", "'other'")).unwrap();
    let run = folder.run("monitor-backups").await;
    assert!(matches!(run.status, 1 | 3), "{}{}", run.stdout, run.stderr);
}
