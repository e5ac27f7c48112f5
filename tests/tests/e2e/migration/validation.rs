use super::*;

#[tokio::test]
async fn a_migrated_database_holds_and_nothing_is_changed() {
    let db = TestDb::migrated().await;
    let before = schema(&db);
    let report = db.run("validate-migration").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["schema"], "stockfoil.validation/1");
    assert!(report["passed"].as_u64().unwrap() >= 50);
    assert!(
        report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| !check["evidence"].as_str().unwrap().is_empty())
    );
    assert_eq!(schema(&db), before);
    db.run("validate-migration")
        .args(["--format", "prometheus"])
        .await
        .ok()
        .says("stockfoil_migration_checks{verdict=\"failed\"} 0");
}

#[tokio::test]
async fn each_impostor_is_found_by_name() {
    for (damage, found) in [
        ("DROP TABLE organization_api_keys", "organizations organizations: the tables are not there"),
        ("ALTER TABLE users ALTER org_id DROP NOT NULL", "column users: org_id is text, nullable"),
        (
            "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_org_id_fkey; DROP INDEX audit_logs_org_id_idx; ALTER TABLE audit_logs ALTER org_id DROP DEFAULT; ALTER TABLE audit_logs ALTER org_id TYPE uuid USING NULL",
            "column audit_logs: org_id is uuid",
        ),
        (
            "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey, ADD CONSTRAINT items_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations NOT VALID",
            "foreign key items: items_org_id_fkey is NOT VALID",
        ),
        (
            "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey",
            "foreign key items: no foreign key onto organizations",
        ),
        (
            "ALTER TABLE users DROP CONSTRAINT users_org_id_email_key, ADD CONSTRAINT users_org_id_email_key UNIQUE (email, org_id)",
            "users_org_id_email_key: (email, org_id) does not begin with org_id",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_org_id_email_key'::regclass",
            "users_org_id_email_key: (org_id, email) is INVALID",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audit_logs_org_id_idx'::regclass",
            "audit_logs.audit_logs_org_id_idx: it is INVALID",
        ),
        ("ALTER TABLE users DROP CONSTRAINT users_org_id_email_key", "users(email): nothing keeps it unique"),
        (
            "ALTER TABLE users DISABLE TRIGGER ALL; INSERT INTO users (email, name, org_id) VALUES ('x', 'x', 'ghost')",
            "rows users: 1 rows: 0 without an organization, 1 of an unknown one",
        ),
        (
            "DROP TRIGGER inventory_ledger_balance_delete ON inventory_ledger",
            "trigger inventory_ledger_balance_delete: it is not there",
        ),
        (
            "ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert",
            "trigger inventory_ledger_balance_insert: it is not as it should be",
        ),
        (
            "CREATE OR REPLACE FUNCTION stockfoil.balance_on_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
            "function balance_on_update: it is not as it should be",
        ),
        ("DROP TABLE inventory_balances CASCADE", "table inventory_balances: it is not there"),
        (
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY stockfoil_isolation ON users USING (true)",
            "Stockfoil's policy is enabled and forced on 0 of 8",
        ),
        (
            "ALTER TABLE inventory_ledger DISABLE TRIGGER ALL; INSERT INTO items (id, item_number, name) VALUES ('i', 'i', 'i'); INSERT INTO locations (id, site, name) VALUES ('l', 'l', 'l'); INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('i', 'l', 1); ALTER TABLE inventory_ledger ENABLE TRIGGER ALL; DELETE FROM stockfoil.backfill",
            "not yet: default",
        ),
        ("DELETE FROM stockfoil.migration WHERE version = 20260101000100", "1 pending, changed or unknown"),
    ] {
        let db = TestDb::migrated().await;
        db.execute(damage).await;
        db.run("validate-migration").await.status(1).says(found).says("mend it with");
    }
}

#[tokio::test]
async fn row_level_security_of_the_applications_own_is_no_isolation_that_is_amiss() {
    let db = TestDb::inventory().await;
    db.execute("ALTER TABLE items ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON items USING (true)").await;
    db.run("migrate-all").arg("--contract").await.ok().says("0 failed");
    db.run("validate-migration")
        .await
        .ok()
        .says("row-level security of the application's own is enabled on 1 of 8 tenant tables");
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    // Whether it keeps organizations apart is asked by name.
    db.run("validate-migration").arg("--isolation").await.status(1);
}

#[tokio::test]
async fn before_any_migration_everything_is_said_to_be_missing() {
    let db = TestDb::inventory().await;
    let run = db.run("validate-migration").await.status(1).says("there is no column org_id");
    run.says(&format!("{} pending", versioned::count()));
}

#[tokio::test]
async fn a_child_that_came_after_the_migration_is_found() {
    let db = TestDb::migrated().await;
    db.execute("CREATE TABLE ledger_2027 () INHERITS (inventory_ledger)").await;
    db.run("validate-migration").await.status(1).says("ledger_2027 inherit from it");
}
