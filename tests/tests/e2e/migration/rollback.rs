//! Back to the schema as it was, byte for byte.

use super::*;

/// Keys of every kind, with all that a key can have.
pub(super) const KEYS: &str = "
    CREATE UNIQUE INDEX partial ON items (name) WHERE is_active;
    CREATE UNIQUE INDEX expression ON users (lower(email) DESC) INCLUDE (name);
    CREATE UNIQUE INDEX \"odd \"\" ON x (name\" ON locations (name text_pattern_ops, site COLLATE \"C\") WITH (fillfactor = 80);
    ALTER TABLE count_lines ADD CONSTRAINT one_line UNIQUE NULLS NOT DISTINCT (count_sheet_id, item_id, lot_id) DEFERRABLE INITIALLY DEFERRED;
    COMMENT ON INDEX partial IS 'active names differ';
    COMMENT ON CONSTRAINT users_email_key ON users IS 'it''s unique';
    COMMENT ON INDEX users_email_key IS 'the index';
    ALTER TABLE users CLUSTER ON users_email_key;
    ALTER INDEX expression ALTER COLUMN 1 SET STATISTICS 500;
    ALTER INDEX partial DEPENDS ON EXTENSION plpgsql;
    ALTER TABLE audit_logs ADD CONSTRAINT a_name_that_is_as_long_as_a_name_can_be_in_postgresql_is_this_1 UNIQUE (entity, entity_id, created_at)";

#[tokio::test]
async fn every_kind_of_key_comes_back() {
    let db = TestDb::inventory().await;
    db.execute(KEYS).await;
    seed(&db).await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok();
    let migrated = schema(&db);
    db.run("migrate-org").args(["--rollback", "--dry-run", "--verbose"]).await.ok().says("DROP COLUMN");
    same_schema(&db, &migrated);
    db.run("migrate-org").arg("--rollback").await.refuses(2, "nobody to ask; give --yes to go on");
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok().says("nothing to do");
    // And forward again, to the same schema.
    db.run("migrate-org").arg("--contract").await.ok();
    same_schema(&db, &migrated);
}

#[tokio::test]
async fn everything_goes_back_over_versions_and_balances() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("migrate-org")
        .args(["--rollback", "--yes"])
        .await
        .refuses(3, "run migrate-balance --rollback first");
    db.run("migrate-all")
        .args(["--rollback", "--dry-run", "--verbose"])
        .await
        .ok()
        .says("drop table inventory_balances");
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok().says("taken back");
    same_schema(&db, &before);
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn what_would_stand_in_the_way_back_is_said_before_it_is_needed() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let ready = || db.run("validate-migration").arg("--rollback-ready");
    ready().await.ok().says("migrate-org --rollback: nothing is there to take back");
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    let migrated = schema(&db);
    ready().await.ok().says("steps are planned, and nothing stands in their way");
    // Life goes on, on what the migration made.
    db.execute(
        "CREATE VIEW by_organization AS SELECT org_id, count(*) FROM users GROUP BY org_id;
         CREATE VIEW stock AS SELECT item_id, qty_canonical FROM inventory_balances;
         CREATE TABLE contracts (org_id text REFERENCES organizations (id))",
    )
    .await;
    let report = ready().args(["--format", "json"]).await.status(1).json();
    let failed = report["checks"].to_string();
    for name in ["by_organization", "stock", "contracts"] {
        assert!(failed.contains(name), "{name}: {failed}");
    }
    // Each of them is what the rollback itself would have refused.
    db.run("migrate-all").args(["--rollback", "--yes"]).await.status(3);
    db.execute("DROP VIEW by_organization, stock; DROP TABLE contracts").await;
    same_schema(&db, &migrated);
    ready().await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_table_of_the_applications_that_has_the_balances_name_stays() {
    for columns in [
        "org_id text, item_id text, location_id text, lot_id text, lot_key text, qty_canonical numeric",
        "org_id text NOT NULL, item_id text, qty_canonical numeric CHECK (qty_canonical < 'Infinity')",
        "id int",
    ] {
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.execute(format!("CREATE TABLE inventory_balances ({columns}, precious text)")).await;
        let named = columns.split(' ').next().unwrap();
        let value = if named == "id" { "1" } else { "'default'" };
        db.execute(format!("INSERT INTO inventory_balances ({named}, precious) VALUES ({value}, 'gold')"))
            .await;
        let before = schema(&db);
        let stays = || async {
            assert_eq!(
                db.value("SELECT string_agg(precious, ',') FROM inventory_balances").await,
                "gold",
                "{columns}"
            )
        };
        for args in [&["--rollback", "--yes"][..], &["--rollback", "--dry-run"]] {
            let run = db.run("migrate-balance").args(args).await.ok();
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(
                said.contains("table inventory_balances stays: it is not known to be Stockfoil's"),
                "{said}"
            );
            same_schema(&db, &before);
        }
        let run = db.run("migrate-all").arg("--contract").await;
        assert!([2, 3].contains(&run.status), "{run:?}");
        stays().await;
        db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
        stays().await;
        same_schema(&db, &before);
    }
}

#[tokio::test]
async fn balances_go_alone() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("db-migrate").await.ok();
    db.run("migrate-org").arg("--contract").await.ok();
    let before = schema(&db);
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("migrate-balance").arg("--rollback").await.refuses(2, "give --yes");
    db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok().says("nothing to do");
    // What was backfilled before says nothing of new balances.
    db.run("migrate-balance").await.ok();
    db.run("validate-migration").await.status(1).says("not yet: default");
}

#[tokio::test]
async fn what_was_there_before_stays() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE users ADD COLUMN org_id text;
         ALTER TABLE items ADD COLUMN org_id text DEFAULT 'default';
         ALTER TABLE locations ADD COLUMN org_id text NOT NULL DEFAULT 'default';
         CREATE UNIQUE INDEX mine ON locations (org_id, site, name);
         CREATE INDEX longer ON audit_logs (created_at)",
    )
    .await;
    db.execute("CREATE TABLE organizations (id text PRIMARY KEY, name text NOT NULL, subdomain text UNIQUE, is_active boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
                ALTER TABLE locations ADD CONSTRAINT mine_too FOREIGN KEY (org_id) REFERENCES organizations NOT VALID").await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok();
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'default'").await, "50");
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn what_would_be_lost_is_refused_and_nothing_changed() {
    for (what, said) in [
        (
            "INSERT INTO organizations (id, name) VALUES ('b', 'B'); INSERT INTO users (email, name, org_id) VALUES ('u1@example.com', 'x', 'b')",
            "users has rows of other organizations than default: b has 1",
        ),
        ("CREATE VIEW whose AS SELECT org_id, email FROM users", "users.org_id is used by view whose"),
        (
            "CREATE TABLE invoices (org_id text REFERENCES organizations)",
            "organizations is used by foreign key invoices_org_id_fkey of invoices",
        ),
    ] {
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.run("migrate-org").arg("--contract").await.ok();
        db.execute(what).await;
        let before = schema(&db);
        db.run("migrate-org").args(["--rollback", "--dry-run"]).await.status(1).says(said);
        db.run("migrate-org").args(["--rollback", "--yes"]).await.refuses(3, said);
        db.run("migrate-all").args(["--rollback", "--yes"]).await.refuses(3, said);
        same_schema(&db, &before);
    }
}

#[tokio::test]
async fn organizations_without_rows_go() {
    let db = TestDb::inventory().await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("org-create").args(["--name", "Acme"]).await.ok();
    db.run("migrate-org")
        .args(["--rollback", "--yes"])
        .await
        .ok()
        .tells("remove the organizations other than default");
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_database_that_remembers_nothing_is_refused() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok().says("nothing to do");
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute("TRUNCATE stockfoil.change").await;
    db.run("migrate-org").args(["--rollback", "--yes"]).await.refuses(3, "does not remember its schema");
}

#[tokio::test]
async fn the_ways_exclude_each_other() {
    let db = TestDb::inventory().await;
    db.run("migrate-org")
        .args(["--rollback", "--finalize"])
        .await
        .refuses(2, "--finalize and --rollback exclude");
    db.run("migrate-org")
        .arg("--contract")
        .args(["--accept", "everything"])
        .await
        .refuses(2, "give on-conflict or parameters or publications or");
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "soon"])
        .await
        .refuses(2, "give one such as 30s or 5m");
}
