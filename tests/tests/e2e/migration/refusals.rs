use super::*;

const CONNECTING: [&str; 5] =
    ["db-migrate", "migrate-org", "migrate-balance", "migrate-all", "validate-migration"];

#[tokio::test]
async fn no_database() {
    for command in CONNECTING {
        Binary::new(command).await.refuses(2, "no database is configured; set DATABASE_URL");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there() {
    let cluster = Cluster::shared();
    Binary::new("migrate-org")
        .env("DATABASE_URL", cluster.url("nowhere"))
        .await
        .refuses(3, "database \"nowhere\" does not exist");
    Binary::new("migrate-org")
        .env("DATABASE_URL", "postgres://me:s3cret@127.0.0.1:1/x")
        .await
        .refuses(3, "can't connect to database \"x\" at 127.0.0.1:1");
}

#[tokio::test]
async fn a_wrong_password_is_never_printed() {
    let db = TestDb::inventory().await;
    db.execute(
        "DO $$ BEGIN CREATE ROLE stockfoil_password; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         DROP ROLE IF EXISTS with_password; CREATE ROLE with_password LOGIN PASSWORD 'right' IN ROLE stockfoil_password",
    )
    .await;
    let url = db.cluster().url_as("with_password:s3cret", db.name());
    let run = Binary::new("validate-migration").env("DATABASE_URL", url).env("RUST_LOG", "trace").await;
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    run.refuses(3, "password authentication failed").tells("check the role's password");
    let url = db.cluster().url_as("with_password:right", db.name());
    Binary::new("db-migrate").arg("--status").env("DATABASE_URL", url).await.status(1);
}

#[tokio::test]
async fn a_malformed_url_is_never_printed() {
    for url in ["postgres://u:s3cret@host:x/db", "mysql://u:s3cret@host/db"] {
        let run = Binary::new("migrate-org").env("DATABASE_URL", url).await;
        assert!(!run.stderr.contains("s3cret"));
        run.refuses(2, "DATABASE_URL is not a PostgreSQL URL");
    }
}

#[tokio::test]
async fn an_unknown_flag_names_the_nearest() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").arg("--contract").arg("--dryrun").await.refuses(2, "did you mean --dry-run?");
    db.run("migrate-org").arg("--contract").arg("extra").await.refuses(2, "unexpected argument");
    db.run("validate-migration")
        .args(["--format", "xml"])
        .await
        .refuses(2, "human, json, prometheus or nagios");
}

#[tokio::test]
async fn a_format_that_a_command_does_not_have_is_refused_before_its_work() {
    let db = TestDb::inventory().await;
    let before = schema(&db);
    for command in ["db-migrate", "migrate-org", "migrate-balance", "migrate-all"] {
        db.run(command).args(["--format", "prometheus"]).await.refuses(2, "has no prometheus format");
    }
    assert_eq!(schema(&db), before);
    let db = TestDb::migrated().await;
    for (command, args) in [
        ("backfill-balances", &[][..]),
        ("org-create", &["--name", "Acme"]),
        ("users-assign", &["--org-id", "default", "--all"]),
    ] {
        let run = db.run(command).args(args.iter().copied()).args(["--format", "prometheus"]).await;
        run.refuses(2, "has no prometheus format");
    }
    assert_eq!(db.value("SELECT count(*) FROM organizations").await, "1");
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "0");
}

#[tokio::test]
async fn a_database_without_the_inventory() {
    let db = TestDb::empty().await;
    for command in ["migrate-org", "migrate-balance", "validate-migration"] {
        db.run(command).await.refuses(3, "has no table users; run db-migrate");
    }
    let db = TestDb::inventory().await;
    db.execute("ALTER TABLE inventory_ledger RENAME COLUMN qty_canonical TO quantity").await;
    db.run("migrate-org").arg("--contract").await.refuses(3, "inventory_ledger has no column qty_canonical");
}

#[tokio::test]
async fn a_server_that_is_too_old() {
    let db = TestDb::inventory().await;
    // The oldest server that can be had here is not too old, so this role is told so by a function in front.
    db.execute(
        "CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql AS
             $$ SELECT CASE $1 WHEN 'server_version_num' THEN '140011' WHEN 'server_version' THEN '14.11' ELSE pg_catalog.current_setting($1) END $$;
         DROP ROLE IF EXISTS of_old; CREATE ROLE of_old LOGIN; ALTER ROLE of_old SET search_path = public, pg_catalog",
    )
    .await;
    let url = db.cluster().url_as("of_old", db.name());
    Binary::new("migrate-org")
        .env("DATABASE_URL", url)
        .await
        .refuses(3, "PostgreSQL 14.11; Stockfoil needs 15 or newer");
}

#[tokio::test]
async fn a_standby_is_read_but_not_written() {
    let cluster = Cluster::shared();
    let db = TestDb::migrated().await;
    let standby = cluster.standby();
    let url = standby.url(db.name());
    for command in ["db-migrate", "migrate-org", "migrate-balance", "migrate-all"] {
        Binary::new(command)
            .env("DATABASE_URL", url.clone())
            .await
            .refuses(3, "is read-only: it is a standby, or");
    }
    Binary::new("validate-migration").env("DATABASE_URL", url).await.ok();
}

#[tokio::test]
async fn a_role_without_rights_changes_nothing() {
    let db = TestDb::inventory().await;
    db.execute("DROP ROLE IF EXISTS reader_only; CREATE ROLE reader_only LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_only").await;
    let before = schema(&db);
    let url = db.cluster().url_as("reader_only", db.name());
    Binary::new("migrate-org")
        .env("DATABASE_URL", url)
        .await
        .refuses(3, "users belongs to postgres, and only its owner can change it");
    assert_eq!(schema(&db), before);
}

#[tokio::test]
async fn help_and_version_need_nothing() {
    for command in CONNECTING {
        Binary::new(command).arg("--help").await.ok().says("--format");
        Binary::new(command).arg("--version").await.ok().says(command);
    }
}

#[tokio::test]
async fn an_interrupt_ends_with_130_and_says_how_to_go_on() {
    let db = TestDb::inventory().await;
    let mut blocker = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut blocker).await.unwrap();
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let (mut stderr, mut said) = until_it_waits(&mut child).await;
    signal(&child, Signal::INT);
    let status = child.wait().await.unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("run the same command again to go on"), "{said}");
    // The server takes a moment to end a session whose client has gone.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migrate-org%' AND datname = current_database()";
    let gone = async { while db.value(sessions).await != "0" {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("its sessions are gone");
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    db.run("migrate-org").arg("--contract").await.ok();
}

#[tokio::test]
async fn a_refusal_is_an_object_for_machines() {
    let db = TestDb::inventory().await;
    db.execute("CREATE TABLE kinds (item items)").await;
    let refusal =
        db.run("migrate-org").arg("--contract").args(["--format", "json"]).await.refuses(3, "kinds").json();
    assert_eq!((&refusal["command"], &refusal["outcome"]), (&"migrate-org".into(), &"error".into()));
    let obstacle = &refusal["in_the_way"][0];
    assert_eq!(obstacle["check"], "row_types");
    assert!(obstacle["object"].as_str().unwrap().contains("kinds"), "{obstacle}");
    assert!(!obstacle["remedy"].as_str().unwrap().is_empty());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[tenancy]\nnothing = 1\n").unwrap();
    let run = db.run("org-list").folder(folder.path()).args(["--format", "json"]).await;
    assert_eq!(run.refuses(2, "nothing").json()["in_the_way"], serde_json::json!([]));
    // A file that was asked for holds the refusal too.
    let file = folder.path().join("report.json");
    let run = db.run("migrate-balance").args(["--format", "json", "--output"]).arg(&file).await;
    run.refuses(3, "run migrate-org first");
    assert!(std::fs::read_to_string(file).unwrap().contains("stockfoil.error/1"));
    // And a person reads it.
    assert_eq!(db.run("migrate-balance").await.refuses(3, "run migrate-org first").stdout, "");
}
