//! Files beside Stockfoil's own: whose folder is taken, whose is refused, and what a baseline covers.

use std::path::Path;

use super::*;

const SHIPMENTS: &str = "CREATE TABLE shipments (id text PRIMARY KEY);";

/// Files of other tools, each with the line that shows it and whose it is. The rows of `customers` must outlive them.
const FOREIGN: &[(&str, &str, &str, &str)] = &[
    (
        "20240101120000_customers.sql",
        "-- +goose Up\nCREATE TABLE IF NOT EXISTS customers (id text);\n-- +goose Down\nDROP TABLE IF EXISTS customers;\n",
        ":1",
        "goose",
    ),
    (
        "20240101120000_customers.sql",
        "\u{feff}\r\n--   +GOOSE  up\r\nSELECT 1;\r\n--+goose down\r\nDROP TABLE IF EXISTS customers;\r\n",
        ":2",
        "goose",
    ),
    (
        "20240101120000_customers.sql",
        "-- migrate:up\nCREATE TABLE IF NOT EXISTS customers (id text);\n\n-- migrate:down\nDROP TABLE IF EXISTS customers;\n",
        ":1",
        "dbmate",
    ),
    (
        "20240101120000_customers.sql",
        "/* first\n*/\n-- +migrate Up\nSELECT 1;\n-- +migrate Down\nDROP TABLE IF EXISTS customers;\n",
        ":3",
        "sql-migrate",
    ),
    (
        "1700000000000_customers.sql",
        "-- Up Migration\nSELECT 1;\n-- Down Migration\nDROP TABLE IF EXISTS customers;\n",
        ":1",
        "node-pg-migrate",
    ),
    (
        "001_customers.sql",
        "SELECT 1;\n---- create above / drop below ----\nDROP TABLE IF EXISTS customers;\n",
        ":2",
        "tern",
    ),
    (
        "201409272258_customers.sql",
        "-- rambler up\nSELECT 1;\n-- rambler down\nDROP TABLE IF EXISTS customers;\n",
        ":1",
        "rambler",
    ),
    (
        "20090802210238_customers.sql",
        "-- // First migration.\nSELECT 1;\n-- //@UNDO\nDROP TABLE IF EXISTS customers;\n",
        ":3",
        "MyBatis",
    ),
    (
        "1_customers.sql",
        "--liquibase formatted sql\n--changeset me:1\nDROP TABLE IF EXISTS customers;\n",
        ":1",
        "Liquibase",
    ),
    (
        "0000_customers.sql",
        "DROP TABLE IF EXISTS customers;--> statement-breakpoint\nSELECT 1;\n",
        ":1",
        "Drizzle",
    ),
    ("1_customers.sql", "-- Deploy shop:customers to pg\nDROP TABLE IF EXISTS customers;\n", ":1", "Sqitch"),
    ("V1__customers.sql", "DROP TABLE IF EXISTS customers;", "V1__customers.sql", "Flyway"),
    ("R__customers.sql", "DROP TABLE IF EXISTS customers;", "R__customers.sql", "Flyway"),
    ("U1__customers.sql", "DROP TABLE IF EXISTS customers;", "U1__customers.sql", "Flyway"),
    ("20240101120000_customers/migration.sql", "DROP TABLE IF EXISTS customers;", "migration.sql", "Prisma"),
    ("2024-01-01-120000_customers/down.sql", "DROP TABLE IF EXISTS customers;", "down.sql", "Diesel"),
    ("atlas.sum", "h1:x=\n", "atlas.sum", "Atlas"),
    ("meta/_journal.json", "{}", "_journal.json", "Drizzle"),
    ("sqitch.plan", "%project=shop\n", "sqitch.plan", "Sqitch"),
    ("20240101120000_customers.rb", "drop_table :customers\n", "20240101120000_customers.rb", "not SQL"),
    ("0001_initial.py", "migrations.DeleteModel\n", "0001_initial.py", "not SQL"),
    ("01_customers.yaml", "operations: []\n", "01_customers.yaml", "not SQL"),
    ("schema.sql", "DROP TABLE IF EXISTS customers;", "schema.sql", "<version>_<name>.sql"),
    ("1_customers.SQL", "DROP TABLE IF EXISTS customers;", "1_customers.SQL", "<version>_<name>.sql"),
    (
        "1_customers.undo.sql",
        "DROP TABLE IF EXISTS customers;",
        "1_customers.undo.sql",
        "<version>_<name>.sql",
    ),
    (
        "1_customers.DOWN.sql",
        "DROP TABLE IF EXISTS customers;",
        "1_customers.DOWN.sql",
        "<version>_<name>.sql",
    ),
    ("-1_customers.sql", "DROP TABLE IF EXISTS customers;", "-1_customers.sql", "<version>_<name>.sql"),
    ("1_customers.down.sql", "DROP TABLE IF EXISTS customers;", "1_customers.down.sql", "no .up.sql"),
    ("deploy/customers.sql", "DROP TABLE IF EXISTS customers;", "customers.sql", "subfolder"),
];

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn with_customers() -> TestDb {
    let db = TestDb::inventory().await;
    db.execute("CREATE TABLE customers (id text); INSERT INTO customers SELECT generate_series(1, 5)").await;
    db
}

#[tokio::test]
async fn a_folder_of_another_tool_is_refused_before_anything_runs() {
    let db = with_customers().await;
    let before = schema(&db);
    for (file, text, place, whose) in FOREIGN {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), file, text);
        let run = db.run("db-migrate").args(["--folder".as_ref(), folder.path().as_os_str()]).await;
        run.refuses(2, place).tells(whose);
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), FOREIGN[0].0, FOREIGN[0].1);
    write(folder.path(), "20230101000000_shipments.sql", SHIPMENTS);
    for (command, args) in [
        ("db-migrate", &["--status"][..]),
        ("db-migrate", &["--dry-run"]),
        ("db-migrate", &["--baseline", "20240101120000"]),
        ("db-migrate", &["--name", "more"]),
        ("migrate-all", &[]),
        ("migrate-all", &["--dry-run"]),
        ("migrate-all", &["--rollback", "--yes"]),
        ("validate-migration", &[]),
    ] {
        let args = args.iter().copied().chain(["--folder"]).map(std::ffi::OsString::from);
        let run = db.run(command).args(args).arg(folder.path()).await;
        run.refuses(2, "20240101120000_customers.sql:1");
    }
    same_schema(&db, &before);
    assert_eq!(db.value("SELECT count(*) FROM customers").await, "5");
}

#[tokio::test]
async fn a_folder_that_lies_there_is_only_mentioned() {
    for (file, text, ..) in [FOREIGN[0], FOREIGN[2], ("20250601000000_shipments.sql", SHIPMENTS, "", "")] {
        let db = with_customers().await;
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &format!("migrations/{file}"), text);
        for command in ["db-migrate", "migrate-all", "validate-migration"] {
            let run = db.run(command).folder(folder.path()).await.ok();
            run.tells("./migrations is not looked at").tells("--folder");
        }
        assert_eq!(db.value("SELECT count(*) FROM customers").await, "5");
        assert_eq!(db.value("SELECT to_regclass('shipments') IS NULL").await, "t");
        db.run("db-migrate").folder(folder.path()).args(["--name", "more"]).await.refuses(2, "--folder");
    }
    // Stockfoil's own, in its own workspace, is no news.
    let db = TestDb::empty().await;
    let run = db.run("db-migrate").folder(testkit::workspace()).await.ok();
    assert!(!run.stderr.contains("./migrations"), "{}", run.stderr);
}

#[tokio::test]
async fn the_configuration_names_a_folder() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "sql/20250601000000_shipments.sql", SHIPMENTS);
    write(folder.path(), "stockfoil.toml", "[migrations]\nfolder = \"sql\"\n");
    db.run("migrate-all")
        .arg("--contract")
        .folder(folder.path())
        .arg("--dry-run")
        .await
        .ok()
        .says("shipments");
    db.run("migrate-all").arg("--contract").folder(folder.path()).await.ok();
    assert_eq!(db.value("SELECT to_regclass('shipments') IS NOT NULL").await, "t");
    db.run("validate-migration").folder(folder.path()).await.ok();
    // Without it nobody says anything of that file.
    db.run("validate-migration").await.ok();
    write(folder.path(), "stockfoil.toml", "[migrations]\nfolders = \"sql\"\n");
    db.run("db-migrate").folder(folder.path()).await.refuses(2, "did you mean `folder`?");
}

#[tokio::test]
async fn what_golang_migrate_or_supabase_ran_is_not_run_again() {
    for history in [
        "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL); INSERT INTO schema_migrations VALUES (2, false)",
        "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text); INSERT INTO supabase_migrations.schema_migrations VALUES ('1'), ('2')",
    ] {
        let db = with_customers().await;
        db.execute(history).await;
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1_customers.up.sql", "DROP TABLE IF EXISTS customers;");
        write(folder.path(), "1_customers.down.sql", "SELECT 1;");
        write(folder.path(), "2_shipments.up.sql", SHIPMENTS);
        write(folder.path(), "2_shipments.down.sql", "SELECT 1;");
        for args in [&[][..], &["--dry-run"]] {
            let run =
                db.run("db-migrate").args(args.iter().copied()).arg("--folder").arg(folder.path()).await;
            run.refuses(2, "schema_migrations").tells("2_shipments");
        }
        assert_eq!(db.value("SELECT count(*) FROM customers").await, "5");
        // What it did is recorded by name, and the rest is run.
        let run = db.run("db-migrate").args(["--baseline", "1", "--baseline", "2", "--folder"]);
        run.arg(folder.path()).await.ok().says("2 recorded");
        write(folder.path(), "3_bins.up.sql", "CREATE TABLE bins (id text)");
        db.run("db-migrate").arg("--folder").arg(folder.path()).await.ok();
        assert_eq!(db.value("SELECT to_regclass('bins') IS NOT NULL, count(*) FROM customers").await, "t");
        assert_eq!(db.value("SELECT count(*) FROM customers").await, "5");
    }
}

#[tokio::test]
async fn two_files_of_one_version_are_refused() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1_shipments.sql", SHIPMENTS);
    write(folder.path(), "01_bins.up.sql", "CREATE TABLE bins (id text)");
    let run = db.run("db-migrate").arg("--folder").arg(folder.path()).await;
    run.refuses(2, "1_shipments.sql").tells("01_bins.up.sql");
}

#[tokio::test]
async fn a_pending_file_runs_beside_an_inventory_that_is_recorded() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "20250601000000_shipments.sql", SHIPMENTS);
    let of_version = |report: &serde_json::Value| -> Vec<(i64, String)> {
        let versions = report["versions"].as_array().unwrap().iter();
        versions
            .map(|version| {
                (version["version"].as_i64().unwrap(), version["state"].as_str().unwrap().to_owned())
            })
            .collect()
    };
    let run = |args: &[&str]| {
        db.run("db-migrate")
            .args(args.iter().copied())
            .args(["--format", "json", "--folder"])
            .arg(folder.path())
    };
    let planned = of_version(&run(&["--dry-run"]).await.ok().json());
    assert_eq!(of_version(&run(&["--status"]).await.status(1).json()), planned);
    let done = of_version(&run(&[]).await.ok().json());
    assert_eq!(planned.len(), done.len());
    for (plan, done) in planned.iter().zip(&done) {
        let expected = if plan.0 == 20_260_101_000_000 {
            ("to_record", "baselined")
        } else {
            ("pending", "applied_now")
        };
        assert_eq!((plan.1.as_str(), done.1.as_str()), expected, "{plan:?} {done:?}");
    }
    assert_eq!(db.value("SELECT to_regclass('shipments') IS NOT NULL").await, "t");
    run(&["--status"]).await.ok();
}

#[tokio::test]
async fn a_baseline_covers_exactly_what_it_names() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "20250601000000_shipments.sql", SHIPMENTS);
    write(folder.path(), "20250602000000_bins.sql", "CREATE TABLE bins (id text)");
    db.execute("CREATE TABLE bins (id text)").await;
    let run =
        |args: &[&str]| db.run("db-migrate").args(args.iter().copied()).arg("--folder").arg(folder.path());
    run(&["--baseline", "20250602000000"]).await.ok().says("1 recorded").says("pending");
    assert_eq!(
        db.value("SELECT string_agg(version::text, ',') FROM _sqlx_migrations").await,
        "20250602000000"
    );
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.migration").await, "0");
    run(&[]).await.ok().says("applied now");
    assert_eq!(db.value("SELECT to_regclass('shipments') IS NOT NULL").await, "t");
    // A record of what is not there would be a lie that no later run could mend.
    let empty = TestDb::inventory().await;
    let run = empty.run("db-migrate").args(["--baseline", "20260101000100"]).await;
    run.refuses(2, "20260101000100");
}

/// Files that hold a way back, each with the line of its words. The rows of `customers` must outlive them.
const BACKWARD: &[(&str, usize)] = &[
    ("-- migrate\nSELECT 1;\n-- revert\nDROP TABLE customers;", 3),
    ("SELECT 1;\n-- rollback\nDROP TABLE customers;", 2),
    ("SELECT 1;\n-- revert\nDROP TABLE customers;", 2),
    ("SELECT 1;\n-- undo\nDROP TABLE customers;", 2),
    ("SELECT 1;\n-- REVERT BEGIN\nDROP TABLE customers;\n-- REVERT END\n", 2),
    ("-- Deploy\nSELECT 1;\n-- Verify\nSELECT 1;\n-- Revert\nDROP TABLE customers;", 5),
    ("-- Apply\nSELECT 1;\n-- Rollback\nDROP TABLE customers;", 3),
    ("-- Migration\nSELECT 1;\n-- Rollback\nDROP TABLE customers;", 3),
    ("-- Apply changes\nSELECT 1;\n-- Rollback changes\nDROP TABLE customers;", 3),
    ("-- forward\nSELECT 1;\n-- reverse\nDROP TABLE customers;", 3),
    ("-- Down\nDROP TABLE customers;\n-- Up\nSELECT 1;", 1),
    ("-- Up\nSELECT 1;\n-- Down (rollback)\nDROP TABLE customers;", 3),
    ("-- migration up\nSELECT 1;\n-- migration down\nDROP TABLE customers;", 3),
    ("-- Upgrade script\nSELECT 1;\n-- Downgrade script\nDROP TABLE customers;", 3),
    ("/* up */\nSELECT 1;\n/* down */\nDROP TABLE customers;", 3),
    ("/*\n * Up\n */\nSELECT 1;\n\n/*\n * Roll back\n */\nDROP TABLE customers;", 6),
    ("--- migration:up\nSELECT 1;\n--- migration:down\nDROP TABLE customers;", 3),
    ("SELECT 1;\n-- ==== 2. Un-apply ====\nDROP TABLE customers;", 2),
    ("-- create\nSELECT 1;\n-- drop\nDROP TABLE customers;", 3),
];

#[tokio::test]
async fn a_pending_file_that_holds_a_way_back_is_refused() {
    let db = with_customers().await;
    for (text, line) in BACKWARD {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1_customers.sql", text);
        let run = db.run("db-migrate").arg("--folder").arg(folder.path()).await;
        run.refuses(2, &format!("1_customers.sql:{line}: ")).tells("reword");
    }
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "1_customers.sql",
        "/* +goose Up */ SELECT 1; /* +goose Down */ DROP TABLE customers;",
    );
    db.run("db-migrate").arg("--folder").arg(folder.path()).await.refuses(2, ":1: ").tells("goose");
    for file in ["0002_a_down.sql", "2_a_rollback.sql", "2_a-revert.sql", "2_a_UNDO.sql"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "0001_a_up.sql", "SELECT 1;");
        write(folder.path(), file, "DROP TABLE customers;");
        let run = db.run("db-migrate").arg("--folder").arg(folder.path()).await;
        run.refuses(2, file).tells("name");
    }
    assert_eq!(db.value("SELECT count(*) FROM customers").await, "5");
}

#[tokio::test]
async fn prose_of_ways_back_and_files_that_ran_long_ago_are_no_hindrance() {
    let db = with_customers().await;
    let folder = tempfile::tempdir().unwrap();
    let prose = "-- rollback of prices is done by another job, which runs at night\n-- run rollback.sql to undo\n\
                 -- backwards compatible with release 4\n-- drop the old index\n/* undo: see the handbook, chapter 4, for a way */\n\
                 INSERT INTO customers VALUES ('-- down');\n-- ROLLBACK;\nSELECT $$\n-- down\n$$;\n\
                 CREATE TABLE undone (\n  -- undo\n  id text);\n-- rollback:\n-- DROP TABLE undone;\n";
    write(folder.path(), "1_prices.up.sql", prose);
    write(folder.path(), "1_prices.down.sql", "-- rollback\nDROP TABLE undone;");
    let run = || db.run("db-migrate").arg("--folder").arg(folder.path());
    run().await.ok().says("applied now");
    // What is recorded can't be reworded any more, and is not run again.
    write(folder.path(), "2_old.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\n-- down\nDROP TABLE customers;");
    let args = ["--baseline", "2", "--folder"];
    let baseline = db.run("db-migrate").args(args).arg(folder.path()).await;
    let baseline = baseline.ok().says("as --baseline says");
    assert!(!baseline.stdout.contains("its tables are there"), "{}", baseline.stdout);
    run().await.ok().says("0 applied");
    assert_eq!(db.value("SELECT count(*) FROM customers").await, "6");
}

#[tokio::test]
async fn a_file_in_a_transaction_neither_begins_nor_ends_one() {
    let db = TestDb::inventory().await;
    for (text, line) in [
        ("BEGIN;\nCREATE TABLE t1 ();\nCOMMIT;\nSELECT 1 / 0;", 1),
        ("CREATE TABLE t1 ();\ncommit ;\nSELECT 1 / 0;", 2),
        ("CREATE TABLE t1 (); /* so */ End\n;\nSELECT 1 / 0;", 1),
        ("START /* a */ TRANSACTION;\nCREATE TABLE t1 ();", 1),
        ("CREATE TABLE t1 ();\nROLLBACK;", 2),
        ("CREATE TABLE t1 ();\nABORT;", 2),
        ("CREATE TABLE t1 ();\nPREPARE TRANSACTION 'x';", 2),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;\nCOMMIT;", 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1_t1.sql", text);
        let run = db.run("db-migrate").arg("--folder").arg(folder.path()).await;
        run.refuses(2, &format!("1_t1.sql:{line}: ")).tells("-- no-transaction");
        assert_eq!(db.value("SELECT to_regclass('t1') IS NULL").await, "t", "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "1_t1.sql",
        "-- COMMIT;\nCREATE TABLE t1 (\"begin\" text DEFAULT ';COMMIT;');\n\
         CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$;\n\
         DO $$ BEGIN PERFORM 1; END $$;\nSAVEPOINT a; ROLLBACK TO a; ROLLBACK WORK TO SAVEPOINT a;\n\
         PREPARE p AS SELECT 1; DEALLOCATE p;",
    );
    write(folder.path(), "2_t2.sql", "-- no-transaction\nBEGIN; CREATE TABLE t2 (); COMMIT;");
    if db.value("SELECT current_setting('server_version_num')::int >= 140000").await == "t" {
        write(
            folder.path(),
            "3_t3.sql",
            "CREATE FUNCTION g() RETURNS int\nBEGIN ATOMIC\nSELECT 2; SELECT CASE WHEN true THEN 1 END;\nEND;\nCREATE TABLE t3 ();",
        );
    }
    db.run("db-migrate").arg("--folder").arg(folder.path()).await.ok();
    assert_eq!(db.value("SELECT to_regclass('t2') IS NOT NULL").await, "t");
}

#[tokio::test]
async fn a_file_whose_index_an_earlier_attempt_left_invalid_is_not_recorded() {
    let db = TestDb::migrated().await;
    db.execute("CREATE TABLE bins (code text); INSERT INTO bins VALUES ('a'), ('a')").await;
    let concurrently =
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"Bins code\" ON bins (code);";
    for text in [concurrently, &concurrently[18..].replace("CONCURRENTLY ", "")] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "20240101120000_bins.sql", concurrently);
        let migrate = || db.run("db-migrate").arg("--folder").arg(folder.path());
        migrate().await.refuses(3, "could not create unique index");
        write(folder.path(), "20240101120000_bins.sql", text);
        for _ in 0..2 {
            migrate().await.refuses(3, "DROP INDEX CONCURRENTLY public.\"Bins code\"");
        }
        let recorded = "SELECT count(*) FROM _sqlx_migrations";
        assert_eq!(db.value(recorded).await, "0");
        db.execute("DROP INDEX \"Bins code\"; DELETE FROM bins WHERE ctid = (SELECT min(ctid) FROM bins)")
            .await;
        migrate().await.ok();
        assert_eq!(db.value(recorded).await, "1");
        assert_eq!(
            db.value("SELECT indisvalid FROM pg_index WHERE indexrelid = '\"Bins code\"'::regclass").await,
            "t"
        );
        db.execute("DROP INDEX \"Bins code\"; INSERT INTO bins VALUES ('a'); DELETE FROM _sqlx_migrations")
            .await;
    }
}

#[tokio::test]
async fn what_a_file_sets_in_its_session_does_not_reach_the_next() {
    let db = TestDb::migrated().await;
    let (owner, role) = (db.value("SELECT current_user").await, format!("files_{}", db.name()));
    db.execute(format!(
        "CREATE TABLE prices (x int); CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role};
         GRANT INSERT, SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ))
    .await;
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("1_path.sql", "SELECT pg_catalog.set_config('search_path', '', false);".to_owned()),
        ("2_drop.sql", "DROP TABLE IF EXISTS prices;".to_owned()),
        ("3_role.sql", format!("SET ROLE {role};")),
        ("4_made.sql", "CREATE TABLE made (id int);".to_owned()),
        ("5_login.sql", format!("-- no-transaction\nSET SESSION AUTHORIZATION {role};")),
        ("6_made.sql", "CREATE TABLE made_too (id int);".to_owned()),
        ("7_temp.sql", "CREATE TEMP TABLE feature_flags (id int);".to_owned()),
        ("8_column.sql", "ALTER TABLE feature_flags ADD COLUMN added int;".to_owned()),
        ("9_org.sql", "SET app.org_id = 'acme';".to_owned()),
        ("10_flag.sql", "INSERT INTO feature_flags (key) VALUES ('dark');".to_owned()),
    ] {
        write(folder.path(), name, &text);
    }
    db.run("db-migrate").arg("--folder").arg(folder.path()).await.ok().says("10 applied");
    assert_eq!(db.value("SELECT to_regclass('prices') IS NULL").await, "t");
    let owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE tablename LIKE 'made%'";
    assert_eq!(db.value(owners).await, owner);
    assert_eq!(db.value("SELECT org_id || coalesce(added::text, '') FROM feature_flags").await, "default");
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
