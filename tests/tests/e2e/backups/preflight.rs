//! What a restore would need, told without one.

use serde_json::Value;

use super::{site::Site, *};

/// A folder with the drill's dump, and a second one of long ago.
async fn dumps() -> Folder {
    let folder = Folder::new("max_age = '9000days'\n");
    fs::copy(drill::dump().await, folder.path("stock.dump")).unwrap();
    folder
}

async fn preflight(folder: &Folder, args: &[&str], status: i32) -> Value {
    let run = folder.run("verify-backup").args(["--preflight", "--format", "json"]).args(args).await;
    run.status(status).json()["sources"][0].clone()
}

#[tokio::test]
async fn a_dump_is_told_with_its_needs_and_restores_nothing() {
    let folder = dumps().await;
    let source = preflight(&folder, &[], 0).await;
    assert_eq!(source["backup"]["name"], "stock.dump");
    assert_eq!(source["reaches"], source["backup"]["started_at"]);
    assert!(source["needed_bytes"].as_u64() > source["backup"]["size_bytes"].as_u64(), "{source}");
    assert!(source["free_bytes"].as_u64() > source["needed_bytes"].as_u64(), "{source}");
    assert!(source["server_version"].as_u64() >= Some(15), "{source}");
    folder
        .run("verify-backup")
        .arg("--preflight")
        .await
        .ok()
        .says("from stock.dump, the state of")
        .says("room: ");

    // What came between the dump and the moment that is asked for would be lost.
    let later = (chrono::Utc::now() + chrono::TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let source = preflight(&folder, &["--to", &later], 1).await;
    let text = source["findings"][0]["text"].as_str().unwrap();
    assert!(text.contains("brings back the state of"), "{text}");
    // Before it there is none.
    let source = preflight(&folder, &["--to", "2020-01-31T02:00:00Z"], 1).await;
    assert_eq!(source["findings"][0]["text"], "no backup from before 2020-01-31 02:00:00 UTC");
    assert_eq!(source["backup"], Value::Null);
}

#[tokio::test]
async fn what_this_machine_lacks_is_unknown() {
    let folder = dumps().await;
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    for (own, said) in [
        ("drill_reserve = '900PB'", "the disk is too small"),
        ("pg_bin = '/nowhere'", "were not found in /nowhere"),
    ] {
        fs::write(&config, format!("[backup]\n{own}\n{text}")).unwrap();
        folder.run("verify-backup").arg("--preflight").await.status(3).says(said);
    }
    let run = |args: &[&str]| folder.run("verify-backup").args(args);
    run(&["--preflight", "--restore"]).await.refuses(2, "--preflight reads no backup");
    run(&["--to", "2026-01-31T02:00:00Z"]).await.refuses(2, "--to is the moment of a --preflight");
    run(&["--preflight", "--to", "yesterday"]).await.refuses(2, "is no moment; write it like");
}

#[tokio::test]
async fn an_archive_must_reach_the_moment_without_a_gap() {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", "base/folder"]);
    let top = folder.top.path().display().to_string();
    let source = format!(
        "[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{top}/base'\nwal_path = '{top}/wal'\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), source).unwrap();
    let source = preflight(&folder, &[], 0).await;
    assert_eq!(source["backup"]["name"], "folder");
    assert_eq!(source["reaches"], source["archive_end_at"]);
    let end = source["archive_end_at"].as_str().unwrap().to_owned();
    assert_eq!(preflight(&folder, &["--to", &end], 0).await["reaches"], end);

    let later = (chrono::Utc::now() + chrono::TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let source = preflight(&folder, &["--to", &later], 1).await;
    let text = source["findings"][0]["text"].as_str().unwrap();
    assert!(text.contains("the archive of WAL ends") && text.contains("would be lost"), "{text}");

    let archived = site::segments(&folder.top.path().join("wal"));
    fs::remove_file(&archived[archived.len() - 2]).unwrap();
    let source = preflight(&folder, &[], 1).await;
    assert_eq!(source["findings"][0]["check"], "wal", "{source}");
}
