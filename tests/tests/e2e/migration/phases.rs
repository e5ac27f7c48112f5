//! Expand and contract apart, and parts of a migration: tables, steps, and exactly what was planned.

use std::fs;

use testkit::Mapped;

use super::*;

#[tokio::test]
async fn the_old_keys_stay_until_contract_is_asked_for() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    for command in ["migrate-org", "migrate-all"] {
        db.run(command)
            .await
            .ok()
            .says("contract is pending: users.users_email_key, items.items_item_number_key")
            .says("migrate-org --contract lets them go");
    }
    // Both keys are there: an application may name either.
    for target in ["email", "org_id, email"] {
        db.execute(format!(
            "INSERT INTO users (email, name) VALUES ('u1@example.com', 'New') ON CONFLICT ({target}) DO UPDATE SET name = excluded.name"
        ))
        .await;
    }
    db.run("validate-migration")
        .await
        .ok()
        .says("contract users.users_email_key: pending: (email) still reaches across organizations")
        .says("look at it with: migrate-org --contract")
        .says("unique key users.users_org_id_email_key: (org_id, email) is valid");
    db.run("org-create")
        .args(["--name", "Acme"])
        .await
        .ok()
        .tells("users_email_key on users")
        .tells("migrate-org --contract");
    db.run("migrate-org").args(["--finalize", "--yes"]).await.refuses(3, "run migrate-org --contract first");
    db.run("migrate-all").args(["--contract", "--rollback"]).await.refuses(2, "exclude each other");

    let contracted = db.run("migrate-org").args(["--contract", "--format", "json"]).await.ok().json();
    assert_eq!(contracted["contract_pending"], serde_json::json!([]));
    let run = db.run("validate-migration").await.ok();
    assert!(!run.stdout.contains(": pending: "), "{}", run.stdout);
    db.run("migrate-org").await.ok().says("nothing to do");
    db.execute("DELETE FROM organization_api_keys; DELETE FROM organizations WHERE id <> 'default'").await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_key_that_comes_later_is_pending_beside_its_twin() {
    let db = TestDb::migrated().await;
    db.execute("ALTER TABLE items ADD COLUMN ean text UNIQUE").await;
    db.run("validate-migration")
        .await
        .status(1)
        .says("items.items_ean_key: (ean) does not begin with org_id");
    db.run("migrate-org").await.ok().says("contract is pending: items.items_ean_key");
    db.run("validate-migration").await.ok().says("contract items.items_ean_key: pending");
    db.run("migrate-org").arg("--contract").await.ok();
    let run = db.run("validate-migration").await.ok();
    assert!(!run.stdout.contains(": pending: "), "{}", run.stdout);
}

#[tokio::test]
async fn an_invalid_twin_leaves_its_key_failed() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").await.ok();
    db.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_org_id_email_key'::regclass",
    )
    .await;
    db.run("validate-migration").await.status(1).says("(email) does not begin with org_id");
}

#[tokio::test]
async fn a_plan_runs_as_it_was_read_or_not_at_all() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    let before = schema(&db);
    db.run("migrate-org").args(["--contract", "--plan-out", file]).await.ok().tells("runs exactly this");
    same_schema(&db, &before);
    let plan = || fs::read_to_string(file).unwrap();
    assert!(plan().contains("CREATE UNIQUE INDEX CONCURRENTLY"), "{}", plan());

    let run = || db.run("migrate-org").args(["--plan", file]);
    run().arg("--contract").await.refuses(2, "leave out the flags");
    // What was not there then is not done now.
    db.execute("ALTER TABLE items ADD COLUMN ean text UNIQUE").await;
    let changed = schema(&db);
    run().await.refuses(3, "the step \"build unique index items_org_id_ean_key on items\" is not in it");
    same_schema(&db, &changed);
    db.execute("ALTER TABLE items DROP COLUMN ean").await;
    // Nor what was to be done otherwise.
    db.execute("ALTER TABLE users DROP CONSTRAINT users_email_key, ADD CONSTRAINT users_email_key UNIQUE (email) INCLUDE (name)")
        .await;
    run().await.refuses(3, "was to be done otherwise");
    db.execute(
        "ALTER TABLE users DROP CONSTRAINT users_email_key, ADD CONSTRAINT users_email_key UNIQUE (email)",
    )
    .await;
    // A run that was stopped half-way goes on with it.
    db.run("migrate-org")
        .args(["--contract", "--until", "build unique index items_org_id_item_number_key"])
        .await
        .ok();
    run().await.ok().says("without the key users_email_key");
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    run().await.ok().says("nothing to do");
}

#[tokio::test]
async fn no_other_file_is_taken_for_a_plan() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text, reason) in [
        ("report.json", r#"{"schema": "stockfoil.migration/2"}"#, "missing field"),
        (
            "other.json",
            r#"{"schema": "stockfoil.plan/0", "database": "d", "request": {"direction": "expand", "isolates": false, "adopts_organizations": false, "accepted": [], "only": [], "until": null}, "steps": []}"#,
            "stockfoil.plan/0",
        ),
        ("text", "migrate it", "expected value"),
    ] {
        fs::write(path(name), text).unwrap();
        db.run("migrate-org").arg("--plan").arg(path(name)).await.refuses(2, reason);
    }
    db.run("migrate-org").arg("--plan").arg(path("none")).await.refuses(2, "No such file");
    // What stands in the way is no plan.
    db.execute("CREATE TYPE holder AS (place locations); CREATE PUBLICATION outside FOR TABLE items").await;
    let run = db.run("migrate-org").arg("--plan-out").arg(path("plan.json")).await.status(1);
    run.tells("was not written");
    assert!(!path("plan.json").exists());
    db.run("migrate-org")
        .args(["--rehearse", "--plan-out", "plan.json"])
        .await
        .refuses(2, "--plan-out changes nothing");
}

#[tokio::test]
async fn one_table_after_the_other() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    let columns = "SELECT string_agg(attrelid::regclass::text, ' ' ORDER BY attrelid::regclass::text) FROM pg_attribute
                   WHERE attname = 'org_id' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'organization_api_keys')";
    db.run("migrate-org")
        .args(["--only", "users"])
        .await
        .ok()
        .says("contract is pending: users.users_email_key still");
    assert_eq!(db.value(columns).await, "users");
    db.run("validate-migration").await.status(1).says("column items: there is no column org_id");
    db.run("migrate-org").args(["--only", "users", "--only", "public.items", "--contract"]).await.ok();
    assert_eq!(db.value(columns).await, "items users");
    assert_eq!(
        db.value("SELECT count(*) FROM pg_constraint WHERE conname = 'items_item_number_key'").await,
        "0"
    );
    db.run("migrate-org").args(["--only", "user"]).await.refuses(2, "give users");
    db.run("migrate-org").args(["--only", "users", "--rollback"]).await.refuses(2, "--only goes with");
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    db.run("migrate-org").args(["--only", "users"]).rehearsing().await.ok();
    db.run("migrate-all").arg("--contract").await.ok();
}

#[tokio::test]
async fn until_a_step_and_on() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    db.run("migrate-org").args(["--until", "add org"]).await.refuses(2, "or several begin so");
    db.run("migrate-org").args(["--until", "add org_id to user"]).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'default'").await, "50");
    assert_eq!(
        db.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'org_id'"
        )
        .await,
        "0"
    );
    db.run("migrate-org")
        .args(["--until", "build unique index items_org_id_item_number_key on items"])
        .rehearsing()
        .await
        .ok();
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    db.run("migrate-all").await.ok();
}

#[tokio::test]
async fn a_dry_run_says_a_line_for_each_table() {
    let db = TestDb::mapped(Mapped::Warehouse).await;
    let short = db.run("migrate-org").args(["--dry-run", "--contract"]).await.ok();
    let long = db.run("migrate-org").args(["--dry-run", "--contract", "--verbose"]).await.ok();
    // Partitions are in the line of their table.
    let lines = short.stdout.lines().filter(|line| line.contains("stock_transactions:")).count();
    assert_eq!(lines, 1, "{}", short.stdout);
    assert!(!short.stdout.contains("CREATE UNIQUE INDEX") && long.stdout.contains("CREATE UNIQUE INDEX"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.txt");
    db.run("migrate-org").args(["--dry-run", "--contract", "--output"]).arg(&file).await.ok();
    assert!(fs::read_to_string(file).unwrap().contains("CREATE UNIQUE INDEX"));
}

#[tokio::test]
async fn keys_that_stay_across_organizations_are_named_until_they_are_known() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE currencies (code text PRIMARY KEY);
         CREATE TABLE rates (currency_id text REFERENCES currencies, day date, PRIMARY KEY (currency_id, day));
         CREATE TABLE bookings (id uuid PRIMARY KEY, during tsrange, CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&));
         CREATE TABLE articles (number int PRIMARY KEY, ean text)",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stockfoil.toml");
    let configure = |known: &str| {
        fs::write(
            &config,
            format!(
                "[tenancy]\nglobal_keys = [{known}]\ntables = ['users', 'items', 'locations', 'inventory_ledger', 'count_sheets', \
                 'count_lines', 'audit_logs', 'feature_flags', 'currencies', 'rates', 'bookings', 'articles']\n"
            ),
        )
        .unwrap();
    };
    configure("");
    let run = |name: &str| db.run(name).arg("--config").arg(&config);
    let told = run("migrate-all")
        .arg("--contract")
        .await
        .ok()
        .tells("currencies.currencies_pkey is a primary key of (code), and stays as it is: two organizations can't use")
        .tells("bookings.no_overlap is an exclusion constraint")
        .tells("articles.articles_pkey is a primary key of (number)");
    assert!(!told.stderr.contains("rates_pkey") && !told.stderr.contains("users_pkey"), "{}", told.stderr);
    run("validate-migration").await.ok().says("global key bookings.no_overlap: is an exclusion constraint");
    run("org-create")
        .args(["--name", "Acme"])
        .await
        .ok()
        .tells("currencies.currencies_pkey is a primary key");

    configure("'currencies.currencies_pkey', 'bookings.no_overlap', 'articles.articles_pkey'");
    let run_known = run("validate-migration").await.ok();
    assert!(!run_known.stdout.contains("global key"), "{}", run_known.stdout);
    configure("'currencies.currencies_pk'");
    run("validate-migration").await.status(1).says("global key currencies.currencies_pk: is known");
}
