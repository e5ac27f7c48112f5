//! Age, count and size, and where there is nothing to hold against them.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use super::*;

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
pub(super) fn set_header_time(path: &Path, [year, month, day, hour, minute]: [u32; 5], is_summer: bool) {
    let mut bytes = fs::read(path).unwrap();
    // Behind 11 bytes of marks and the compression: sign and 4 bytes each, but for the compression since format 1.15.
    let compression = if bytes[6] >= 15 { 1 } else { 5 };
    let fields = [0, minute, hour, day, month - 1, year - 1900, u32::from(is_summer)];
    for (at, field) in fields.into_iter().enumerate() {
        let from = 11 + compression + at * 5;
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
    // Made in Tokyo, looked at in UTC: no start is later than the last write.
    set([2025, 10, 26, 10, 0], false, modified);
    assert_eq!(newest("UTC").await, ("2025-10-26T01:10:00Z".into(), "header".into()));
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

#[tokio::test]
async fn one_good_dump_is_enough_unless_more_are_configured() {
    let folder = Folder::new("min_count = 1\n");
    folder.plain("today.sql", 1000, MINUTE);
    let alone = Folder::configured("");
    let run = alone.run("monitor-backups").env("BACKUP_DIR", folder.path("")).await.ok();
    run.says("1 good backups");
    let folder = Folder::new("min_count = 2\n");
    folder.plain("today.sql", 1000, MINUTE);
    folder.run("monitor-backups").await.status(1).says("fewer than min_count (2)");
}
