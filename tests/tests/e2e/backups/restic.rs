//! The real restic, with dumps in its snapshots.

use std::process::Command;

use super::*;

/// A repository with one snapshot of a folder in which there is a dump.
async fn repository() -> Folder {
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
    restic(&folder, &["init"]);
    restic(&folder, &["backup", "data"]);
    folder
}

fn restic(folder: &Folder, args: &[&str]) {
    let top = folder.top.path();
    let output = Command::new("restic")
        .args(["--repo", "repository", "--password-file", "password", "--cache-dir", "cache"])
        .args(args)
        .current_dir(top)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_snapshot_is_found_read_and_restored() {
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
    restic(&folder, &["forget", "latest"]);
    restic(&folder, &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("began 26 h ago, more than max_age (25 h)");
}

#[tokio::test]
async fn what_is_wrong_with_a_repository_is_found() {
    let folder = repository().await;
    let top = folder.top.path();
    fs::remove_file(top.join("data/stock.dump.seal")).unwrap();
    fs::write(top.join("data/stock.dump"), "").unwrap();
    restic(&folder, &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("holds only empty files (0 bytes)");
    fs::remove_file(top.join("data/stock.dump")).unwrap();
    restic(&folder, &["backup", "data"]);
    folder.run("monitor-backups").await.status(1).says("holds no file");
    fs::write(top.join("data/readme.txt"), "hello").unwrap();
    restic(&folder, &["backup", "data"]);
    folder.run("verify-backup").await.status(1).says("holds neither a dump nor a base backup");

    let folder = repository().await;
    let top = folder.top.path();
    let mut packs = Vec::new();
    for folder in fs::read_dir(top.join("repository/data")).unwrap() {
        packs.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    let largest = packs.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    // restic makes its packs read-only; its own look at the repository's structure does not see this.
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    folder.run("monitor-backups").await.ok();
    let run = folder.run("verify-backup").await.status(1);
    assert!(run.stdout.contains("failed: ") || run.stdout.contains("found damage"), "{}", run.stdout);

    fs::write(top.join("password"), "wrong").unwrap();
    folder.run("monitor-backups").await.status(3).says("restic failed: ");
    folder.run("monitor-backups").env("PATH", "/nonexistent").await.status(3).says("restic was not found");
}
