//! Programs that are missing, lie, or hang.

use std::fs;

use testkit::{Signal, signal};

use super::*;

/// A `pg_restore` that does what `script` says.
fn fake_pg_restore(folder: &Folder, script: &str) {
    let path = folder.top.path().join("pg_restore");
    write_program(
        &path,
        &format!(
            "#!/bin/sh
{script}
"
        ),
    );
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
