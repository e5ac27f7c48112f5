//! Backups that a program tells of.

use super::*;

pub(super) fn folder(list: &str, more: &str) -> Folder {
    let folder = Folder::configured("");
    let top = folder.top.path();
    fs::write(top.join("list.json"), list).unwrap();
    let config = format!(
        "[[backup.source]]\nname = 'cloud'\nkind = 'command'\nlist = ['cat', '{}/list.json']\nmin_count = 1\n{more}",
        top.display()
    );
    fs::write(top.join("stockfoil.toml"), config).unwrap();
    folder
}

fn time(age: Duration) -> String {
    chrono::DateTime::<chrono::Utc>::from(SystemTime::now() - age).to_rfc3339()
}

pub(super) fn backup(more: &str) -> String {
    let at = time(MINUTE);
    format!(r#"{{"name": "snap-1", "started_at": "{at}", "size_bytes": 5000, "status": "ok"{more}}}"#)
}

pub(super) fn listed(backup: &str) -> String {
    format!(r#"{{"backups": [{backup}]}}"#)
}

#[tokio::test]
async fn what_a_program_tells_is_held_against_the_thresholds() {
    folder(&listed(&backup("")), "")
        .run("monitor-backups")
        .await
        .ok()
        .says("cloud: 1 good backups")
        .says("snap-1");
    let at = time(MINUTE);
    for (list, status, said) in [
        (listed(&backup("").replace("\"ok\"", "\"failed\"")), 1, "none of 1 backups is good"),
        (
            listed(&backup("").replace("\"ok\"", "\"failed\", \"message\": \"out of quota\"")),
            1,
            "failed: out of quota",
        ),
        (listed(&backup("").replace("\"ok\"", "\"running\"")), 1, "no backup: what cat tells of has none"),
        (listed(&backup("").replace("5000", "0")), 1, "is empty (0 bytes)"),
        (listed(&backup(r#", "needs": ["snap-0"]"#)), 1, "needs the backup snap-0, which is gone"),
        (listed(&backup("").replace(&at[..10], "2025-01-01")), 1, "more than max_age"),
        (listed(&backup("").replace(&at[..10], "2099-01-01")), 1, "is from the future"),
        (listed(""), 1, "no backup"),
        (
            format!(r#"{{"backups": [{}], "problems": ["the account is closed"]}}"#, backup("")),
            1,
            "the account is closed",
        ),
        (String::new(), 3, "cat ended well but wrote nothing"),
        ("{}".into(), 3, "cat wrote what is not its JSON: missing field `backups`"),
        ("snap-1 is fine".into(), 3, "cat wrote what is not its JSON"),
        (listed(&backup("").replace("size_bytes", "size")), 3, "unknown field `size`"),
    ] {
        for binary in ["monitor-backups", "verify-backup"] {
            if binary == "monitor-backups" || status == 3 {
                folder(&list, "").run(binary).await.status(status).says(said);
            }
        }
    }
    let wal = folder(
        &format!(r#"{{"backups": [{}], "last_wal_at": "{}"}}"#, backup(""), time(61 * MINUTE)),
        "max_wal_age = '1h'\n",
    );
    wal.run("monitor-backups").await.status(1).says("the last WAL was archived 1 h 1 min ago");
}

#[tokio::test]
async fn a_program_that_fails_or_hangs_is_never_ok() {
    for (list, said) in [
        ("['/nowhere/at/all']", "/nowhere/at/all was not found; install it"),
        ("['false']", "false failed: exit status: 1"),
        ("['sh', '-c', 'echo no access >&2; exit 7']", "sh failed: no access"),
        ("['sleep', '1000']", "showed no sign of life for 1s and was given up"),
    ] {
        let config = format!(
            "[backup]\nstall_timeout = '1s'\n[[backup.source]]\nname = 'cloud'\nkind = 'command'\nlist = {list}\n"
        );
        let folder = Folder::configured(&config);
        for binary in ["monitor-backups", "verify-backup"] {
            folder.run(binary).await.status(3).says(said);
        }
    }
}

#[tokio::test]
pub(super) async fn a_programs_backup_is_verified_or_restored_by_it() {
    let list = listed(&backup(""));
    // Without a way to look deeper, there is no deeper look.
    let bare = folder(&list, "");
    bare.run("verify-backup").await.status(3).says("can't be looked at any deeper: set verify or restore");

    let verify = |verdict: &str| folder(&list, &format!("verify = ['echo', '''{verdict}''']\n"));
    let run = verify(r#"{"status": "ok", "checksummed": true, "message": "{backup} is whole"}"#);
    run.run("verify-backup").await.ok().says(": verified").says("snap-1 is whole");
    verify(r#"{"status": "ok"}"#).run("verify-backup").await.ok().says("not sealed");
    let run =
        verify(r#"{"status": "damaged", "message": "two blocks"}"#).run("verify-backup").await.status(1);
    run.says("is damaged: two blocks");
    verify("fine").run("verify-backup").await.status(3).says("wrote what is not its JSON");

    let dump = drill::dump().await;
    let restore = format!("restore = ['cp', '{}', '{{folder}}/snap.dump']\n", dump.display());
    let restoring = folder(&list, &restore);
    restoring.run("verify-backup").await.ok().says("holds snap.dump");
    restoring
        .run("verify-backup")
        .arg("--restore")
        .await
        .ok()
        .says("restored")
        .says("claims of the migrations hold");
    let nothing = folder(&list, "restore = ['true']\n");
    nothing
        .run("verify-backup")
        .arg("--restore")
        .await
        .status(1)
        .says("holds neither a dump nor a base backup");
}

#[tokio::test]
async fn what_a_program_brings_back_is_as_old_as_it_says() {
    let list = listed(&backup(""));
    let source = |more: &str| {
        let restore = "restore = ['sh', '-c', 'cp -r data/. \"$0\"', '{folder}']\n";
        let folder = folder(&list, &(restore.to_owned() + more));
        let data = folder.top.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("stock.sql"), old_dump("2026-01-31")).unwrap();
        fs::write(data.join("backup.log"), "done").unwrap();
        fs::write(data.join("globals.sql"), GLOBALS).unwrap();
        let config = folder.top.path().join("stockfoil.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("data/.", &format!("{}/.", data.display()))).unwrap();
        folder
    };
    let folder = source("");
    folder.run("monitor-backups").await.ok();
    let run = folder.run("monitor-backups").args(["--depth", "full"]).await.status(1);
    run.says("the newest backup, snap-1, holds a backup that began ");
    fs::write(folder.top.path().join("data/other.sql"), old_dump("2026-01-30")).unwrap();
    folder.run("verify-backup").await.status(1).says("holds backups that were not read: other.sql");

    // Where a program of its own reads it, the drill is the first that sees what is in it.
    let folder = source("verify = ['echo', '{\"status\": \"ok\"}']\n");
    folder.run("verify-backup").await.ok();
    folder.run("verify-backup").arg("--restore").await.status(1).says("holds a backup that began ");
}
