use super::*;

/// How many versions every binary carries.
pub(super) fn count() -> usize {
    let names = std::fs::read_dir(testkit::workspace().join("migrations")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".up.sql")).count()
}

#[tokio::test]
async fn an_empty_database_becomes_the_inventory() {
    let db = TestDb::empty().await;
    db.run("db-migrate").arg("--status").await.status(1).says("pending");
    db.run("db-migrate").arg("--dry-run").await.ok().says(&format!("{} pending", count()));
    assert_eq!(
        db.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await,
        "0"
    );
    let report = db.run("db-migrate").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["schema"], "stockfoil.db_migrate/1");
    assert_eq!(report["versions"][0]["state"], "applied_now");
    db.run("db-migrate").await.ok().says("0 applied, 0 recorded");
    db.run("db-migrate").arg("--status").await.ok().says("nothing is pending");
    assert_eq!(db.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "8");
}

#[tokio::test]
async fn tables_that_are_there_are_recorded_and_untouched() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = db.value("SELECT string_agg(oid::text || relfilenode, ',' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await;
    db.run("db-migrate").arg("--dry-run").await.ok().says("would be recorded: its tables are there");
    db.run("db-migrate").await.ok().says("recorded, not run: its tables are there");
    let after = db.value("SELECT string_agg(oid::text || relfilenode, ',' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await;
    assert_eq!(before, after);
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
}

#[tokio::test]
async fn half_an_inventory_is_neither() {
    let db = TestDb::inventory().await;
    db.execute("DROP TABLE feature_flags, audit_logs").await;
    db.run("db-migrate").await.refuses(3, "neither empty nor the default inventory");
    assert_eq!(db.value("SELECT to_regnamespace('stockfoil') IS NULL").await, "t");
    db.run("db-migrate").arg("--status").await.status(1).says("in the way: ");
    db.run("db-migrate").args(["--baseline", "20260101000000"]).await.ok().says("1 recorded as a baseline");
    db.run("db-migrate").await.ok().says(&format!("{} applied", count() - 1));
}

#[tokio::test]
async fn a_new_file_is_written_applied_and_then_never_edited() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    let run =
        |args: &[&str]| db.run("db-migrate").arg("--folder").arg(folder.path()).args(args.iter().copied());
    let written = run(&["--name", "add_bins"]).await.ok();
    let up = written.stdout.lines().next().unwrap();
    assert!(up.ends_with("_add_bins.up.sql"), "{up}");
    std::fs::write(up, "CREATE TABLE bins (id text PRIMARY KEY);").unwrap();
    run(&["--status"]).await.status(1).says("add bins");
    run(&[]).await.ok().says("applied now");
    assert_eq!(db.value("SELECT to_regclass('bins') IS NOT NULL").await, "t");

    std::fs::write(up, "CREATE TABLE bins (id int PRIMARY KEY);").unwrap();
    run(&["--status"]).await.status(1).says("CHANGED");
    run(&[]).await.refuses(3, "_add_bins.up.sql was changed after it was applied");
    for file in written.stdout.lines() {
        std::fs::remove_file(file).unwrap();
    }
    run(&[]).await.refuses(3, "which no file here has");
}

#[tokio::test]
async fn a_file_that_fails_leaves_nothing_behind() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("29990101000000_broken.up.sql"), "CREATE TABLE a (); SELECT 1 / 0;")
        .unwrap();
    db.run("db-migrate")
        .args(["--folder".into(), folder.path().to_path_buf()])
        .await
        .refuses(3, "apply migration 29990101000000");
    assert_eq!(db.value("SELECT to_regclass('a') IS NULL").await, "t");
    db.run("db-migrate").arg("--status").await.ok();
}

#[tokio::test]
async fn wrong_usage_is_refused() {
    let db = TestDb::empty().await;
    db.run("db-migrate").args(["--status", "--dry-run"]).await.refuses(2, "exclude each other");
    db.run("db-migrate").args(["--baseline", "1"]).await.refuses(2, "no migration has version 1");
    db.run("db-migrate").args(["--baseline", "one"]).await.refuses(2, "--baseline");
    db.run("db-migrate")
        .args(["--folder", ".", "--name", "../x"])
        .await
        .refuses(2, "can't be a migration's name");
    db.run("db-migrate").args(["--folder", "/does/not/exist"]).await.refuses(3, "/does/not/exist");
    assert_eq!(schema(&db), schema(&TestDb::empty().await));
}

/// Each migration has a test of its own beside it: it runs in the migrated database and raises when a claim
/// does not hold.
#[tokio::test]
async fn each_file_has_a_test_that_passes() {
    let folder = testkit::workspace().join("migrations");
    let mut stems: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".up.sql").map(str::to_owned)
        })
        .collect();
    stems.sort();
    assert!(!stems.is_empty());
    let db = TestDb::empty().await;
    db.run("db-migrate").await.ok();
    for stem in &stems {
        let test = std::fs::read_to_string(folder.join(format!("tests/{stem}.sql")));
        let test = test.unwrap_or_else(|error| panic!("{stem} has no test: {error}"));
        assert!(test.contains("ASSERT"), "the test of {stem} asserts nothing");
        db.execute(format!("BEGIN; {test}; ROLLBACK")).await;
    }
    for stem in stems.iter().rev() {
        db.execute(std::fs::read_to_string(folder.join(format!("{stem}.down.sql"))).unwrap()).await;
    }
    assert_eq!(
        db.value("SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'stockfoil')").await,
        "0"
    );
}
