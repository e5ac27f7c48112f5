//! Files that another tool ran already, told by that tool's own records.

use std::path::Path;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

async fn migrates(db: &TestDb, args: &[&str], folder: &Path) -> testkit::Run {
    db.run("db-migrate").args(args.iter().copied()).arg("--folder").arg(folder).await
}

#[tokio::test]
async fn every_file_up_to_the_head_of_golang_migrate_counts_as_run() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE g1 AS SELECT 1 AS id; CREATE TABLE g2 AS SELECT 1 AS id; CREATE TABLE g3 AS SELECT 1 AS id;
         CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
         INSERT INTO schema_migrations VALUES (3, true)",
    )
    .await;
    let text = |table: &str| format!("CREATE TABLE IF NOT EXISTS {table} (id int); DELETE FROM {table};");
    let folder = folder(&[
        ("000001_g1.up.sql", &text("g1")),
        ("000002_g2.up.sql", &text("g2")),
        ("000003_g3.up.sql", &text("g3")),
        ("000004_g4.up.sql", &text("g4")),
    ]);
    let run = migrates(&db, &[], folder.path()).await;
    run.refuses(2, "000001_g1, 000002_g2, 000003_g3")
        .tells("--baseline 1 --baseline 2 --baseline 3")
        .tells("dirty");
    db.execute("UPDATE schema_migrations SET dirty = false").await;
    migrates(&db, &["--baseline", "3"], folder.path()).await.ok();
    let run = migrates(&db, &[], folder.path()).await;
    run.refuses(2, "--baseline 1 --baseline 2").tells("000002_g2");
    assert_eq!(db.value("SELECT (SELECT count(*) FROM g1) + (SELECT count(*) FROM g2)").await, "2");
    migrates(&db, &["--baseline", "1", "--baseline", "2"], folder.path()).await.ok();
    migrates(&db, &[], folder.path()).await.ok().says("applied now");
    assert_eq!(db.value("SELECT (SELECT count(*) FROM g1) + (SELECT count(*) FROM g4)").await, "1");
}

/// Records of other tools, each of which ran the one file.
const RECORDS: &[(&str, &str)] = &[
    (
        "20240101120000_bins.sql",
        "CREATE TABLE bun_migrations (id bigserial, name varchar, group_id bigint, migrated_at timestamptz); INSERT INTO bun_migrations VALUES (1, '20240101120000', 1, now())",
    ),
    (
        "1_bins.sql",
        "CREATE TABLE migrations (id int PRIMARY KEY, name varchar(100), hash varchar(40), executed_at timestamp); INSERT INTO migrations VALUES (0, 'create-migrations-table', 'x', now()), (1, 'bins', 'x', now())",
    ),
    (
        "20240101120000_bins.up.sql",
        "CREATE TABLE schema_migration (version varchar(14)); INSERT INTO schema_migration VALUES ('20240101120000')",
    ),
    (
        "000001_bins.up.sql",
        "CREATE TABLE db_migrations (version bigint PRIMARY KEY, name varchar); INSERT INTO db_migrations VALUES (1, 'bins')",
    ),
    (
        "0001_bins.sql",
        "CREATE TABLE _yoyo_migration (migration_hash varchar(64), migration_id varchar(255), applied_at_utc timestamp); INSERT INTO _yoyo_migration VALUES ('x', '0001_bins', now())",
    ),
    (
        "1_bins.sql",
        "CREATE TABLE schema_migrations (filename text); INSERT INTO schema_migrations VALUES ('1_bins.sql')",
    ),
    (
        "1_bins.up.sql",
        "CREATE TABLE gopg_migrations (id serial, version bigint, created_at timestamptz); INSERT INTO gopg_migrations VALUES (7, 1, now())",
    ),
    (
        "20240101120000_bins.sql",
        "CREATE TABLE \"SequelizeMeta\" (name varchar(255) PRIMARY KEY); INSERT INTO \"SequelizeMeta\" VALUES ('20240101120000-bins.js')",
    ),
    (
        "20240101120000_bins.sql",
        "CREATE TABLE knex_migrations (id serial, name varchar(255), batch int, migration_time timestamptz); INSERT INTO knex_migrations VALUES (1, '20240101120000_bins.sql', 1, now())",
    ),
    ("1_bins.sql", "CREATE TABLE migrations (name text); INSERT INTO migrations VALUES ('bins')"),
    (
        "001_bins.sql",
        "CREATE SCHEMA app; CREATE TABLE app._migrations (id int, name text); INSERT INTO app._migrations VALUES (9, 'migrations/001_bins.sql')",
    ),
    (
        "0001_bins.sql",
        "CREATE TABLE schema_migrations (name text); INSERT INTO schema_migrations VALUES ('0001_bins')",
    ),
    (
        "1_bins.sql",
        "CREATE TABLE flyway_schema_history (installed_rank int, version varchar(50), script varchar(1000), checksum int, installed_on timestamp, success boolean); INSERT INTO flyway_schema_history VALUES (5, '1', 'V1__bins.sql', 7, now(), true)",
    ),
];

#[tokio::test]
async fn a_file_that_any_tools_records_name_is_not_run_again() {
    for (file, records) in RECORDS {
        let db = TestDb::inventory().await;
        db.execute(format!("CREATE TABLE bins AS SELECT 1 AS id; {records}")).await;
        let folder = folder(&[(file, "INSERT INTO bins VALUES (2);")]);
        let version = file.split('_').next().unwrap().trim_start_matches('0');
        let run = migrates(&db, &[], folder.path()).await;
        run.refuses(2, &format!("--baseline {version}"));
        assert_eq!(db.value("SELECT count(*) FROM bins").await, "1", "{records}");
    }
}

#[tokio::test]
async fn an_applications_own_number_is_nobodys_record() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE schema_version (version int); INSERT INTO schema_version VALUES (1);
         CREATE TABLE knex_migrations (id serial, name varchar(255), batch int, migration_time timestamptz);
         INSERT INTO knex_migrations VALUES (1, '20230101120000_shops.js', 2, now()), (2, '20230101120001_carts.js', 2, now());
         CREATE TABLE bird_migrations (id int, bird text, note text);
         INSERT INTO bird_migrations SELECT g, 'stork', 'bins' FROM generate_series(1, 30000) AS g;"
    )
    .await;
    let folder = folder(&[("1_bins.sql", "CREATE TABLE bins (id text);"), ("2_racks.sql", "SELECT 1;")]);
    migrates(&db, &["--dry-run"], folder.path()).await.ok().says("pending");
    migrates(&db, &[], folder.path()).await.ok();
    assert_eq!(db.value("SELECT to_regclass('bins') IS NOT NULL").await, "t");
}

#[tokio::test]
async fn records_that_the_role_can_not_read_are_not_taken_for_none() {
    let db = TestDb::inventory().await;
    let role = format!("{}_migrates", db.name());
    db.execute(format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; GRANT CREATE ON SCHEMA public TO {role};
         CREATE TABLE closed_migrations (name text); INSERT INTO closed_migrations VALUES ('1_bins');
         CREATE SCHEMA app; CREATE TABLE app.schema_migrations (version bigint, note text)",
        db.name()
    ))
    .await;
    let folder = folder(&[("1_bins.sql", "CREATE TABLE bins (id text);")]);
    let run = |command: &'static str, path: &str, args: &[&str]| {
        let url = format!("{}&options=-csearch_path%3D{path}", db.cluster().url_as(&role, db.name()));
        Binary::new(command)
            .env("DATABASE_URL", url)
            .args(args.iter().copied())
            .arg("--folder")
            .arg(folder.path())
    };
    let refusal = format!(
        "public.closed_migrations that it ran the pending files, and this role can't read all of it; let it (GRANT SELECT ON public.closed_migrations TO {role})"
    );
    for command in ["db-migrate", "migrate-all"] {
        for args in [&["--dry-run"][..], &[]] {
            run(command, "public", args).await.refuses(3, &refusal);
        }
    }
    assert_eq!(db.value("SELECT to_regclass('bins') IS NULL").await, "t");
    // Rows that are hidden are no rows that are not there; nor is a part of the columns the whole of them.
    db.execute(format!(
        "GRANT SELECT ON closed_migrations TO {role}; ALTER TABLE closed_migrations ENABLE ROW LEVEL SECURITY"
    ))
    .await;
    run("db-migrate", "public", &[]).await.refuses(
        3,
        &format!("ALTER ROLE {role} BYPASSRLS, for the row security of public.closed_migrations"),
    );
    db.execute(format!("ALTER ROLE {role} BYPASSRLS")).await;
    run("db-migrate", "public", &[]).await.refuses(2, "--baseline 1");
    db.execute("DROP TABLE closed_migrations").await;
    // Elsewhere it is another application's.
    run("db-migrate", "public", &["--dry-run"]).await.ok().says("can't read all of app.schema_migrations");
    run("db-migrate", "app,public", &[]).await.refuses(
        3,
        &format!("GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT ON app.schema_migrations TO {role}"),
    );
    db.execute(format!(
        "GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT (version) ON app.schema_migrations TO {role}"
    ))
    .await;
    run("db-migrate", "app,public", &[]).await.refuses(3, "GRANT SELECT ON app.schema_migrations");
    db.execute(format!("GRANT SELECT (note) ON app.schema_migrations TO {role}")).await;
    run("db-migrate", "public,app", &[]).await.ok().says("12 applied");
    assert_eq!(db.value("SELECT to_regclass('public.bins') IS NOT NULL").await, "t");
}
