//! The real restic, with dumps in its snapshots.

use std::process::Command;

use super::{
    matrix::{RECORDS, Row},
    *,
};

/// What is saved with a dump, or in its place; the path is that of the folder with the repository.
pub(super) const MATRIX: [Row; 4] = [
    Row {
        of: "restic snapshot",
        damage: "a copy of an old dump",
        depth: "full",
        said: "holds a backup that began ",
        witness: RECORDS,
        damages: |top| {
            fs::remove_file(top.join("data/stock.dump.seal")).unwrap();
            fs::remove_file(top.join("data/stock.dump")).unwrap();
            fs::write(top.join("data/stock.sql"), old_dump("2026-01-31")).unwrap();
            restic(top, &["backup", "data"]);
        },
    },
    Row {
        of: "restic snapshot",
        damage: "another database's dump beside it, unread",
        depth: "full",
        said: "holds backups that were not read: ",
        witness: RECORDS,
        damages: |top| {
            fs::write(top.join("data/other.sql"), old_dump("2026-01-31")).unwrap();
            restic(top, &["backup", "data"]);
        },
    },
    Row {
        of: "restic snapshot",
        damage: "flipped byte in a pack",
        depth: "full",
        said: "failed: ",
        witness: RECORDS,
        damages: |top| {
            let largest = largest_pack(top);
            let mut bytes = fs::read(&largest).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            // restic makes its packs read-only; its own look at the repository's structure does not see this.
            fs::remove_file(&largest).unwrap();
            fs::write(&largest, bytes).unwrap();
        },
    },
    Row {
        of: "restic snapshot",
        damage: "a pack gone",
        depth: "full",
        said: "restic check found damage",
        witness: RECORDS,
        damages: |top| fs::remove_file(largest_pack(top)).unwrap(),
    },
];

/// The file of a repository that holds most of its data.
fn largest_pack(top: &Path) -> PathBuf {
    let mut packs = Vec::new();
    for folder in fs::read_dir(top.join("repository/data")).unwrap() {
        packs.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    packs.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// A repository with one snapshot of a folder in which there is a dump.
pub(super) async fn repository() -> Folder {
    testkit::require_tools(&["restic"]);
    let folder = Folder::configured("");
    let top = folder.top.path();
    fs::create_dir(top.join("data")).unwrap();
    fs::write(top.join("password"), "correct horse").unwrap();
    let config = format!(
        "[[backup.source]]\nname = 'offsite'\nkind = 'restic'\nrepository = '{0}/repository'\nmin_count = 1\n[backup.source.environment]\nRESTIC_PASSWORD_FILE = '{0}/password'\nRESTIC_CACHE_DIR = '{0}/cache'\n",
        top.display()
    );
    fs::write(top.join("stockfoil.toml"), config).unwrap();
    fs::copy(drill::dump().await, top.join("data/stock.dump")).unwrap();
    let seal = drill::dump().await.with_extension("dump.seal");
    fs::copy(seal, top.join("data/stock.dump.seal")).unwrap();
    restic(top, &["init"]);
    restic(top, &["backup", "data"]);
    folder
}

fn restic(top: &Path, args: &[&str]) {
    let output = Command::new("restic")
        .args(["--repo", "repository", "--password-file", "password", "--cache-dir", "cache"])
        .args(args)
        .current_dir(top)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
pub(super) async fn a_snapshot_is_found_read_and_restored() {
    let folder = repository().await;
    folder.run("monitor-backups").await.ok().says("offsite: 1 good backups").says("snapshot");
    folder.run("verify-backup").await.ok().says(": verified").says("holds stock.dump");
    folder
        .run("verify-backup")
        .arg("--restore")
        .await
        .ok()
        .says("verified and restored")
        .says("all 1000 entries");
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap().replace("min_count", "tag = 'nightly'\nmin_count");
    fs::write(config, text).unwrap();
    folder.run("monitor-backups").await.status(1).says("no backup: the repository of restic has none");
}

#[tokio::test]
async fn a_repository_with_a_password_is_in_no_argument() {
    let folder = Folder::configured("");
    let program = folder.top.path().join("restic");
    let seen = folder.top.path().join("seen");
    let script = format!("#!/bin/sh\necho \"$RESTIC_REPOSITORY: $*\" >>'{}'\necho '[]'\n", seen.display());
    write_program(&program, &script);
    let config = format!(
        "[[backup.source]]\nname = 'offsite'\nkind = 'restic'\nprogram = {program:?}\nrepository = 'rest:https://stock:hunter22@backup/stock'\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), config).unwrap();
    folder.run("monitor-backups").await.status(1).says("no backup: the repository of restic has none");
    let seen = fs::read_to_string(seen).unwrap();
    let (repository, arguments) = seen.trim().split_once(": ").unwrap();
    assert_eq!(repository, "rest:https://stock:hunter22@backup/stock");
    assert!(arguments.contains("snapshots") && !arguments.contains("hunter22"), "{arguments}");
}

#[tokio::test]
async fn a_young_snapshot_of_an_old_dump_is_stale() {
    let folder = repository().await;
    set_age(&folder.top.path().join("data/stock.dump"), 26 * 60 * MINUTE);
    fs::remove_file(folder.top.path().join("data/stock.dump.seal")).unwrap();
    restic(folder.top.path(), &["forget", "latest"]);
    restic(folder.top.path(), &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("began 26 h ago, more than max_age (25 h)");
}

#[tokio::test]
async fn what_lies_beside_an_old_dump_makes_it_no_younger() {
    let folder = repository().await;
    let top = folder.top.path();
    let data = top.join("data");
    set_age(&data.join("stock.dump"), 26 * 60 * MINUTE);
    fs::write(data.join("globals.sql"), GLOBALS).unwrap();
    fs::write(data.join("backup.log"), "done\n").unwrap();
    fs::copy(data.join("stock.dump"), data.join("stock-2.dump.partial")).unwrap();
    restic(top, &["forget", "latest"]);
    restic(top, &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("began 26 h ago, more than max_age (25 h)");

    // A copy has a new date, and what it says itself counts when it is read.
    let sealed = fs::read(data.join("stock.dump")).unwrap();
    for name in ["stock.dump", "stock.dump.seal"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    fs::write(data.join("stock.sql"), old_dump("2026-01-31")).unwrap();
    fs::write(data.join("other.sql"), old_dump("2026-01-30")).unwrap();
    restic(top, &["forget", "latest"]);
    restic(top, &["backup", "data"]);
    folder.run("monitor-backups").await.ok();
    let run = folder.run("monitor-backups").args(["--depth", "full", "--format", "json"]).await.status(1);
    let source = run.json()["sources"][0].clone();
    assert_eq!(source["newest"]["started_at"], "2026-01-31T02:00:00Z");
    let texts = source["findings"].to_string();
    assert!(texts.contains("holds a backup that began "), "{texts}");
    let unread = "holds backups that were not read: other.sql: the newest, stock.sql, was";
    assert!(texts.contains(unread), "{texts}");

    // Earlier ones of a series are no other backups; a pattern tells which file is meant.
    for name in ["stock-1.dump", "stock-2.dump"] {
        fs::write(data.join(name), &sealed).unwrap();
    }
    restic(top, &["backup", "data"]);
    folder.run("verify-backup").await.status(1).says("holds backups that were not read: ").says("stock.sql");
    let config = top.join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("min_count", "pattern = 'stock-*.dump'\nmin_count")).unwrap();
    let run = folder.run("verify-backup").await.ok();
    run.says("1 earlier ones beside it were not read").says("roles and tablespaces are in globals.sql");
    fs::write(&config, text.replace("min_count", "pattern = 'nightly-*.dump'\nmin_count")).unwrap();
    folder.run("monitor-backups").await.status(1).says("holds no file that matches nightly-*.dump");
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    for row in &MATRIX {
        let folder = repository().await;
        (row.damages)(folder.top.path());
        row.holds(&folder, None).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_repository_is_found() {
    let folder = repository().await;
    let top = folder.top.path();
    fs::remove_file(top.join("data/stock.dump.seal")).unwrap();
    fs::write(top.join("data/stock.dump"), "").unwrap();
    restic(folder.top.path(), &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("holds only empty files (0 bytes)");
    fs::remove_file(top.join("data/stock.dump")).unwrap();
    restic(folder.top.path(), &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("holds no file");
    fs::write(top.join("data/readme.txt"), "hello").unwrap();
    restic(folder.top.path(), &["backup", "data"]);
    folder.run("verify-backup").await.status(1).says("holds neither a dump nor a base backup");

    let folder = repository().await;
    let top = folder.top.path();
    fs::write(top.join("password"), "wrong").unwrap();
    folder.run("monitor-backups").await.status(3).says("restic failed: ");
    folder.run("monitor-backups").env("PATH", "/nonexistent").await.status(3).says("restic was not found");
}
