//! Entries that are made as each role that writes the ledger, to see whether they are counted.

use testkit::Mapped;

use super::*;

/// Everything that the proof could leave behind.
async fn rows(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT md5(string_agg(l::text, ' ' ORDER BY l.id)), (SELECT md5(string_agg(b::text, ' ' ORDER BY b::text)) FROM inventory_balances AS b),
                (SELECT count(*)::text FROM stockfoil.dirty_key)
         FROM inventory_ledger AS l",
    )
    .await
}

#[tokio::test]
async fn each_role_that_writes_is_proven_to_be_counted_or_named() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let [clerk, robot, group, nobody] =
        ["clerk", "robot", "group", "nobody"].map(|name| format!("{name}_{}", db.name()));
    db.execute(format!(
        "CREATE ROLE {group}; CREATE ROLE {clerk} LOGIN IN ROLE {group}; CREATE ROLE {robot} LOGIN; CREATE ROLE {nobody} LOGIN;
         GRANT USAGE ON SCHEMA public TO {group}, {robot};
         GRANT INSERT ON inventory_ledger TO {group};
         GRANT INSERT (item_id, location_id, lot_id, qty_canonical) ON inventory_ledger TO {robot};
         GRANT SELECT ON inventory_ledger TO {nobody}"
    ))
    .await;
    db.run("validate-migration").arg("--prove").await.status(1).says("not there yet");
    db.run("migrate-all").arg("--contract").await.ok();
    let before = rows(&db).await;
    let run = db.run("validate-migration").arg("--prove").await.ok();
    for role in [&clerk, &robot, &group] {
        assert!(
            run.stdout.contains(&format!(
                "proof {role}: 4 entries like those that are there went into their balances, 4 of them out again, one of a key that had no balance"
            )),
            "{}",
            run.stdout
        );
    }
    assert!(!run.stdout.contains(&nobody));
    assert_eq!(rows(&db).await, before);

    // A balance that the table refuses, a function without its owner's rights, and a trigger that is off.
    for (damage, mended, said) in [
        (
            "ALTER TABLE inventory_balances ADD CONSTRAINT little CHECK (qty_canonical < 0.1) NOT VALID",
            "ALTER TABLE inventory_balances DROP CONSTRAINT little",
            "violates check constraint \"little\" (PL/pgSQL function stockfoil.balance_on_insert() line",
        ),
        (
            "ALTER FUNCTION stockfoil.balance_on_insert() SECURITY INVOKER",
            "ALTER FUNCTION stockfoil.balance_on_insert() SECURITY DEFINER",
            "permission denied for schema stockfoil (PL/pgSQL function stockfoil.balance_on_insert() line",
        ),
        (
            "ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert",
            "ALTER TABLE inventory_ledger ENABLE TRIGGER inventory_ledger_balance_insert",
            "the entry took the sum of the ledger from ",
        ),
    ] {
        db.execute(damage).await;
        let run = db.run("validate-migration").arg("--prove").await.status(1);
        let line =
            run.stdout.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{}", run.stdout));
        assert!(
            run.stdout.contains(&format!("proof {clerk}: as {clerk}, an entry of default/")),
            "{}",
            run.stdout
        );
        assert!(line.contains(", in: "), "{line}");
        assert_eq!(rows(&db).await, before);
        db.execute(mended).await;
    }

    // What is the application's own business, or a writer's, proves nothing.
    let mut writer = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM inventory_balances FOR UPDATE").execute(&mut writer).await.unwrap();
    db.execute(format!(
        "REVOKE INSERT ON inventory_ledger FROM {group}; REVOKE USAGE ON SCHEMA public FROM {robot}, PUBLIC"
    ))
    .await;
    let run = db.run("validate-migration").arg("--prove").await;
    assert!(run.stdout.contains(&format!("proof {robot}: not proven: as {robot}")), "{}", run.stdout);
    assert!(run.stdout.contains("permission denied for schema public"), "{}", run.stdout);
    sqlx::raw_sql("ROLLBACK").execute(&mut writer).await.unwrap();
    // A role that this session can't be.
    let keeper = format!("keeper_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {keeper} LOGIN BYPASSRLS IN ROLE pg_read_all_data; GRANT ALL ON ALL TABLES IN SCHEMA stockfoil TO {keeper};
         GRANT USAGE ON SCHEMA stockfoil TO {keeper}"
    ))
    .await;
    let run = db
        .run("validate-migration")
        .arg("--prove")
        .env("DATABASE_URL", db.cluster().url_as(&keeper, db.name()))
        .await
        .status(1);
    run.says("this session can't work as ");
    assert_eq!(rows(&db).await, before);
    db.run("validate-migration").args(["--prove", "--isolation"]).await.status(2).tells("exclude each other");
}

#[tokio::test]
async fn organizations_that_are_isolated_are_proven_one_after_the_other() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-all").arg("--contract").await.ok();
    let folder = tempfile::tempdir().unwrap();
    let (app, web) = (format!("app_{}", db.name()), format!("web_{}", db.name()));
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        format!("[tenancy.isolation]\napp_role = \"{app}\"\noperations_role = \"ops_{}\"\n", db.name()),
    )
    .unwrap();
    let run = |name| db.run(name).folder(folder.path());
    run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
    run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    db.execute(format!(
        "CREATE ROLE {web} LOGIN IN ROLE {app};
         INSERT INTO items (id, item_number, name, org_id) VALUES ('a', 'A', 'A', 'acme');
         INSERT INTO locations (id, site, name, org_id) VALUES ('al', 'S', 'A', 'acme');
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('acme', 'a', 'al', 5)"
    ))
    .await;
    let before = rows(&db).await;
    let proven = run("validate-migration").arg("--prove").await.ok();
    assert!(proven.stdout.contains(&format!("proof {web}: 4 entries")), "{}", proven.stdout);
    assert_eq!(rows(&db).await, before);
    // Without the right to its balances, which the functions' owner has by bypassing.
    db.execute("DROP POLICY stockfoil_isolation ON inventory_ledger").await;
    let unproven = run("validate-migration").arg("--prove").await;
    assert!(
        unproven.stdout.contains(&format!("proof {web}: not proven: as {web}, an entry of ")),
        "{}",
        unproven.stdout
    );
}

/// Of two postings, of a direction beside the quantity, of composite keys, in partitions, and into an adopted table.
#[tokio::test]
async fn ledgers_of_every_kind_are_proven() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped_migrated(mapped).await;
        let run = db.run("validate-migration").arg("--prove").await.ok();
        assert!(run.stdout.contains("proof postgres: 4 entries"), "{mapped:?}: {}", run.stdout);
        db.run("reconcile-balances").arg("--full").await.ok();
    }
}
