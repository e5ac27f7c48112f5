//! Where applied versions are recorded: Stockfoil's own in `stockfoil.migration`, an application's where it put them.

use std::path::Path;

use sqlx::{
    Connection as _,
    migrate::{Migrate as _, MigrateError, Migrator},
};
use tempfile::TempDir;

use super::*;

/// The last version that a release recorded in `_sqlx_migrations`.
const LAST_SHARED: i64 = 20_260_107_000_000;

/// The folder of an application that migrates itself by sqlx. Its first version has the number of one of Stockfoil's.
fn application() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("20260101000000_init.sql", "CREATE TABLE shops (id text PRIMARY KEY);"),
        ("20260301000000_carts.up.sql", "CREATE TABLE carts (id text PRIMARY KEY);"),
        ("20260301000000_carts.down.sql", "DROP TABLE carts;"),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

/// The application's start: its migrator, in its own session.
async fn starts(db: &TestDb, folder: &Path) -> Result<(), MigrateError> {
    let migrator = Migrator::new(folder).await.unwrap();
    let mut session = db.connect().await;
    let started = migrator.run(&mut session).await;
    session.close().await.unwrap();
    started
}

/// Makes the records what a release before `stockfoil.migration` left, on a database that is migrated.
pub(crate) async fn as_of_old(db: &TestDb) {
    let files = Migrator::new(testkit::workspace().join("migrations")).await.unwrap();
    let mut session = db.connect().await;
    session.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    let up = files.iter().filter(|file| file.migration_type.is_up_migration() && file.version <= LAST_SHARED);
    for file in up {
        session.skip("_sqlx_migrations", file).await.unwrap();
    }
    session.close().await.unwrap();
    db.execute(
        "UPDATE _sqlx_migrations SET execution_time = 7000000 WHERE version <> 20260101000000 AND execution_time < 0;
         DROP TABLE IF EXISTS stockfoil.migration, stockfoil.archived_partition, stockfoil.closing_partition,
             stockfoil.closing_balance, stockfoil.closing",
    )
    .await;
}

/// How many of Stockfoil's versions `_sqlx_migrations` of old has.
fn shared() -> usize {
    let names = std::fs::read_dir(testkit::workspace().join("migrations")).unwrap();
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".up.sql")?.split_once('_')?.0.parse::<i64>().ok())
        .filter(|version| *version <= LAST_SHARED)
        .count()
}

#[tokio::test]
async fn an_application_on_sqlx_starts_before_and_after() {
    let db = TestDb::inventory().await;
    let application = application();
    starts(&db, application.path()).await.unwrap();
    let rows = "SELECT string_agg(t::text || ctid || xmin, ',' ORDER BY version) FROM _sqlx_migrations AS t";
    let before = db.value(rows).await;
    db.run("migrate-all").arg("--contract").await.ok();
    starts(&db, application.path()).await.unwrap();
    assert_eq!(db.value(rows).await, before);
    db.run("validate-migration").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    starts(&db, application.path()).await.unwrap();
    assert_eq!(db.value(rows).await, before);
    assert_eq!(db.value("SELECT to_regnamespace('stockfoil') IS NULL").await, "t");
}

#[tokio::test]
async fn without_an_application_on_sqlx_there_is_no_table_of_sqlx() {
    let db = TestDb::empty().await;
    db.run("db-migrate").await.ok();
    assert_eq!(db.value("SELECT to_regclass('_sqlx_migrations') IS NULL").await, "t");
    let rows = db.rows("SELECT duration_ms >= 0, recorded_by FROM stockfoil.migration").await;
    assert_eq!(rows.len(), versioned::count());
    assert!(rows.iter().all(|row| *row == ["t", "postgres"]), "{rows:?}");
    let db = TestDb::inventory().await;
    db.run("db-migrate").await.ok();
    let recorded = "SELECT string_agg(version::text, ',') FROM stockfoil.migration WHERE duration_ms IS NULL";
    assert_eq!(db.value(recorded).await, "20260101000000");
    db.run("db-migrate").arg("--status").await.ok().says("recorded earlier, not run");
}

#[tokio::test]
async fn versions_of_old_are_moved_once_and_the_application_starts_again() {
    let db = TestDb::migrated().await;
    let application = application();
    std::fs::remove_file(application.path().join("20260101000000_init.sql")).unwrap();
    starts(&db, application.path()).await.unwrap();
    let rows = "SELECT string_agg(t::text || ctid || xmin, ',' ORDER BY version) FROM _sqlx_migrations AS t WHERE version = 20260301000000";
    let before = db.value(rows).await;
    as_of_old(&db).await;
    assert!(matches!(starts(&db, application.path()).await, Err(MigrateError::VersionMissing(_))));
    let own = "SELECT string_agg(concat_ws('|', version, description, checksum, installed_on), ',' ORDER BY version) FROM _sqlx_migrations WHERE version <> 20260301000000";
    let own = db.value(own).await;

    // What only looks, moves nothing and reads all the same.
    for args in [["--status"], ["--dry-run"]] {
        let run = db.run("db-migrate").args(args).await;
        let is_applied =
            |line: &&str| line.ends_with(" applied") || line.ends_with("recorded earlier, not run");
        assert_eq!(run.stdout.lines().filter(is_applied).count(), shared(), "{}", run.stdout);
        run.says("are recorded in _sqlx_migrations");
    }
    db.run("validate-migration").await.status(1).says(&format!("{} versions applied", shared()));
    assert_eq!(db.value("SELECT to_regclass('stockfoil.migration') IS NULL").await, "t");

    // Two at once, and once more.
    let (one, two) = tokio::join!(db.run("db-migrate"), db.run("db-migrate"));
    one.ok();
    two.ok();
    let moved = format!(
        "SELECT string_agg(concat_ws('|', version, description, checksum, recorded_at), ',' ORDER BY version) FROM stockfoil.migration WHERE version <= {LAST_SHARED}"
    );
    assert_eq!(db.value(moved).await, own);
    assert_eq!(
        db.value("SELECT string_agg(version::text, ',') FROM stockfoil.migration WHERE duration_ms IS NULL")
            .await,
        "20260101000000"
    );
    assert_eq!(db.value("SELECT string_agg(DISTINCT duration_ms::text, ',') FROM stockfoil.migration WHERE recorded_by IS NULL").await, "7");
    starts(&db, application.path()).await.unwrap();
    assert_eq!(db.value(rows).await, before);
    let records = db.rows("SELECT m::text FROM stockfoil.migration AS m ORDER BY version").await;
    db.run("db-migrate").await.ok().says("0 applied, 0 recorded");
    assert_eq!(db.rows("SELECT m::text FROM stockfoil.migration AS m ORDER BY version").await, records);
    db.run("validate-migration").await.ok();

    // A release of old that ran in between: what is in both is one.
    let mut session = db.connect().await;
    let files = Migrator::new(testkit::workspace().join("migrations")).await.unwrap();
    session.skip("_sqlx_migrations", files.iter().next().unwrap()).await.unwrap();
    db.run("db-migrate").await.ok();
    starts(&db, application.path()).await.unwrap();
    assert_eq!(db.rows("SELECT m::text FROM stockfoil.migration AS m ORDER BY version").await, records);
}

#[tokio::test]
async fn a_table_of_sqlx_that_only_stockfoil_used_goes_with_the_move() {
    for (made, stays) in [
        ("SELECT 1", false),
        ("CREATE VIEW applied AS SELECT version FROM _sqlx_migrations", true),
        ("INSERT INTO _sqlx_migrations VALUES (20260101000001, 'init', now(), true, '\\x00', 1)", true),
        (
            "CREATE TABLE migration (id text); ALTER TABLE _sqlx_migrations SET SCHEMA elsewhere; ALTER ROLE postgres IN DATABASE {db} SET search_path = elsewhere, public",
            false,
        ),
    ] {
        let db = TestDb::migrated().await;
        as_of_old(&db).await;
        db.execute(format!("CREATE SCHEMA elsewhere; {}", made.replace("{db}", db.name()))).await;
        db.run("db-migrate").await.ok();
        let there = "SELECT count(*) FROM pg_class WHERE relname = '_sqlx_migrations'";
        assert_eq!(db.value(there).await, if stays { "1" } else { "0" }, "{made}");
        assert_eq!(
            db.value(format!("SELECT count(*) FROM stockfoil.migration WHERE version <= {LAST_SHARED}"))
                .await,
            shared().to_string()
        );
        db.run("db-migrate").arg("--status").await.ok();
        db.run("validate-migration").await.ok();
    }
}

#[tokio::test]
async fn a_move_that_is_killed_or_kept_waiting_moves_all_or_nothing() {
    let db = TestDb::migrated().await;
    as_of_old(&db).await;
    let mut reader = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM _sqlx_migrations").execute(&mut reader).await.unwrap();
    let mut child = db.run("db-migrate").spawn();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for others") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    signal(&child, Signal::KILL);
    child.wait().await.unwrap();
    let left = "SELECT count(*) FROM _sqlx_migrations";
    assert_eq!(db.value(left).await, shared().to_string());
    let mut child = db.run("db-migrate").spawn();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for others") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    // Nobody waits behind it for longer than a moment.
    assert_eq!(db.value(left).await, shared().to_string());
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{said}");
    assert_eq!(db.value("SELECT to_regclass('_sqlx_migrations') IS NULL").await, "t");
}

#[tokio::test]
async fn what_a_release_of_old_recorded_is_taken_back() {
    let db = TestDb::inventory().await;
    let application = application();
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    as_of_old(&db).await;
    std::fs::remove_file(application.path().join("20260101000000_init.sql")).unwrap();
    db.run("migrate-all").args(["--rollback", "--dry-run"]).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM _sqlx_migrations").await, shared().to_string());
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok().says("taken back");
    same_schema(&db, &before);
    starts(&db, application.path()).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_sqlx_is_recorded_where_sqlx_looks() {
    let db = TestDb::inventory().await;
    let application = application();
    let run = db.run("migrate-all").arg("--contract").arg("--folder").arg(application.path()).await;
    run.ok().says("init").says("carts");
    assert_eq!(
        db.value("SELECT string_agg(version::text, ',' ORDER BY version) FROM _sqlx_migrations").await,
        "20260101000000,20260301000000"
    );
    starts(&db, application.path()).await.unwrap();
    std::fs::write(application.path().join("20260401000000_more.sql"), "CREATE TABLE more ();").unwrap();
    starts(&db, application.path()).await.unwrap();
    let run = db.run("db-migrate").args(["--status", "--folder"]).arg(application.path()).await.ok();
    assert!(run.stdout.contains("more"), "{}", run.stdout);
    db.run("validate-migration").arg("--folder").arg(application.path()).await.ok();
    std::fs::remove_file(application.path().join("20260401000000_more.sql")).unwrap();
    let run = db.run("db-migrate").arg("--folder").arg(application.path()).await;
    run.refuses(3, "which no file here has");
    // Stockfoil's own files are its own, also where somebody gives their folder.
    let folder = tempfile::tempdir().unwrap();
    let own = "20260102000000_alert_state_by_channel.up.sql";
    std::fs::copy(testkit::workspace().join("migrations").join(own), folder.path().join(own)).unwrap();
    let db = TestDb::inventory().await;
    db.run("db-migrate").arg("--folder").arg(folder.path()).await.ok();
    assert_eq!(db.value("SELECT to_regclass('_sqlx_migrations') IS NULL").await, "t");
}

#[tokio::test]
async fn who_may_only_read_is_told_how_things_stand() {
    let db = TestDb::migrated().await;
    as_of_old(&db).await;
    // Its rights end with this database: a member of pg_read_all_data would be a hole in every other test's isolation.
    db.execute(
        "DROP ROLE IF EXISTS looks_only; CREATE ROLE looks_only LOGIN;
         GRANT USAGE ON SCHEMA stockfoil TO looks_only;
         GRANT SELECT ON ALL TABLES IN SCHEMA public, stockfoil TO looks_only",
    )
    .await;
    let url = db.cluster().url_as("looks_only", db.name());
    let run = Binary::new("db-migrate").arg("--status").env("DATABASE_URL", url.clone()).await.status(1);
    run.says("are recorded in _sqlx_migrations");
    Binary::new("validate-migration").env("DATABASE_URL", url.clone()).await.status(1).says("1 failed");
    let before = schema(&db);
    Binary::new("db-migrate").env("DATABASE_URL", url).await.refuses(3, "permission denied");
    same_schema(&db, &before);
    assert_eq!(db.value("SELECT count(*) FROM _sqlx_migrations").await, shared().to_string());
}

#[tokio::test]
async fn a_table_of_sqlx_that_may_not_be_read_is_an_applications() {
    let db = TestDb::migrated().await;
    let application = application();
    starts(&db, application.path()).await.unwrap();
    db.execute(
        "DROP ROLE IF EXISTS reads_no_sqlx; CREATE ROLE reads_no_sqlx LOGIN;
         GRANT USAGE ON SCHEMA stockfoil TO reads_no_sqlx;
         GRANT SELECT ON ALL TABLES IN SCHEMA public, stockfoil TO reads_no_sqlx;
         REVOKE SELECT ON _sqlx_migrations FROM reads_no_sqlx",
    )
    .await;
    let url = db.cluster().url_as("reads_no_sqlx", db.name());
    let status = || Binary::new("db-migrate").arg("--status").env("DATABASE_URL", url.clone());
    status().await.ok().says("nothing is pending");
    // Where nothing else says what is applied, it might.
    db.execute("DELETE FROM stockfoil.migration").await;
    status().await.refuses(3, "permission denied for table _sqlx_migrations");
}

#[tokio::test]
async fn what_an_application_ran_while_its_lock_was_waited_for_is_not_run_again() {
    let db = TestDb::migrated().await;
    db.execute("CREATE TABLE bins (id text)").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("20240101120000_add.sql"),
        "-- no-transaction\nINSERT INTO bins VALUES ('a');",
    )
    .unwrap();
    let migrator = Migrator::new(folder.path()).await.unwrap();
    let file = migrator.iter().next().unwrap();
    let mut application = db.connect().await;
    application.lock().await.unwrap();
    let mut child = db.run("db-migrate").arg("--folder").arg(folder.path()).spawn();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for another migrator") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    application.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    application.apply("_sqlx_migrations", file).await.unwrap();
    application.unlock().await.unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{said}");
    assert_eq!(db.value("SELECT count(*) FROM bins").await, "1");
}
