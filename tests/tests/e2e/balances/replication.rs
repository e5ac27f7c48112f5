//! Ledgers that logical replication writes: `[ledger] replicated = true`.
#![allow(clippy::disallowed_methods, reason = "statements to a cluster of the test's own")]

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use testkit::{Binary, Cluster, Mapped, TestDb, workspace};

use super::fixture::WRONG_KEYS;

const REPLICATED: &str = "[ledger]\nreplicated = true\n";

/// A cluster of its own that logical replication can leave or enter, with the inventory of the first migration.
struct Side(Cluster);

impl Side {
    async fn new() -> Side {
        let side = Side(Cluster::start(&["--set", "wal_level=logical"]));
        let inventory = workspace().join("migrations/20260101000000_default_inventory.up.sql");
        side.execute(&std::fs::read_to_string(inventory).unwrap()).await;
        side.execute(
            "INSERT INTO items (id, item_number, name) SELECT i, i, i FROM unnest('{bolt,nut,ore}'::text[]) AS i;
             INSERT INTO locations (id, site, name) VALUES ('l1', 's', 'one');",
        )
        .await;
        side
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.0.url("postgres")).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            panic!("{error}\nin: {sql}");
        }
    }

    async fn value(&self, sql: &str) -> String {
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut self.connect().await).await.unwrap();
        row.try_get_raw(0).unwrap().as_str().unwrap_or_default().to_owned()
    }

    /// Polls until `condition` holds.
    async fn wait_for(&self, condition: &str) {
        let mut connection = self.connect().await;
        for _ in 0..6000 {
            let row = sqlx::raw_sql(AssertSqlSafe(condition)).fetch_one(&mut connection).await.unwrap();
            if row.try_get_raw(0).unwrap().as_str().unwrap() == "t" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("never: {condition}");
    }

    fn run(&self, name: &str, folder: &Path) -> Binary {
        Binary::new(name).env("DATABASE_URL", self.0.url("postgres")).folder(folder)
    }

    async fn wrong_keys(&self) -> String {
        self.value(&format!("SELECT count(*) FROM ({WRONG_KEYS}) AS w")).await
    }
}

/// Writes on the publisher, and waits until all of it has come to the subscriber.
async fn publish(publisher: &Side, subscriber: &Side, sql: &str) {
    publisher.execute(sql).await;
    let marker = publisher
        .value("INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('ore', 'l1', 1) RETURNING id")
        .await;
    let arrived = format!("SELECT EXISTS (SELECT FROM inventory_ledger WHERE id = '{marker}')");
    subscriber.wait_for(&arrived).await;
}

fn configure(folder: &Path, text: &str) {
    std::fs::write(folder.join("stockfoil.toml"), text).unwrap();
}

const BOLTS: &str = "SELECT string_agg(concat_ws(' ', lot_id, trim_scale(qty_canonical)), ', ' ORDER BY lot_key) FROM inventory_balances WHERE item_id = 'bolt'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replication_applies_is_counted_once() {
    let (publisher, subscriber) = tokio::join!(Side::new(), Side::new());
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), REPLICATED);
    subscriber.run("migrate-all", folder.path()).await.ok();
    subscriber.run("validate-migration", folder.path()).await.ok();

    // The first copy of the table.
    publisher
        .execute(
            "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
             SELECT 'bolt', 'l1', (ARRAY[NULL, '', 'A'])[1 + n % 3], n FROM generate_series(1, 60) AS n;
             CREATE PUBLICATION ledger FOR TABLE inventory_ledger;",
        )
        .await;
    let (host, port, user) = (publisher.0.host(), publisher.0.port(), publisher.0.superuser());
    subscriber
        .execute(&format!(
            "CREATE SUBSCRIPTION ledger CONNECTION 'host={host} port={port} user={user} dbname=postgres' PUBLICATION ledger"
        ))
        .await;
    subscriber.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").await;
    assert_eq!(subscriber.value(BOLTS).await, "1220, A 610");

    publisher
        .execute("BEGIN; INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 99); ROLLBACK")
        .await;
    publish(
        &publisher,
        &subscriber,
        "INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical)
         VALUES ('e1', 'bolt', 'l1', 'B', 5), ('e2', 'bolt', 'l1', 'B', 0.25), ('e3', 'bolt', 'l1', 'C', 7), ('e4', 'bolt', 'l1', 'D', 0);
         UPDATE inventory_ledger SET qty_canonical = 4 WHERE id = 'e1';
         UPDATE inventory_ledger SET lot_id = 'E', qty_canonical = 8 WHERE id = 'e3';
         UPDATE inventory_ledger SET note = 'counted' WHERE id = 'e1';
         DELETE FROM inventory_ledger WHERE id = 'e2'",
    )
    .await;
    assert_eq!(subscriber.value(BOLTS).await, "1220, A 610, B 4, C 0, D 0, E 8");
    assert_eq!(subscriber.wrong_keys().await, "0");
    subscriber.run("reconcile-balances", folder.path()).await.ok();
    // Its marks and transactions are the subscriber's, so that later runs need not read history.
    publish(&publisher, &subscriber, "UPDATE inventory_ledger SET qty_canonical = 9 WHERE id = 'e3'").await;
    let report =
        subscriber.run("reconcile-balances", folder.path()).args(["--format", "json"]).await.ok().json();
    assert_eq!((&report["full"], &report["marked_keys"]), (&serde_json::Value::Null, &1.into()), "{report}");
    let full =
        subscriber.run("reconcile-balances", folder.path()).args(["--full", "--format", "json"]).await.ok();
    let mut differences = full.json()["differences"].clone();
    // Lot C has no entry any more, which only a look at every key counts.
    assert_eq!(
        (&differences["empty"], &report["differences"]["empty"]),
        (&1.into(), &serde_json::Value::Null)
    );
    differences["empty"] = serde_json::Value::Null;
    assert_eq!(differences, report["differences"]);

    // Sessions of the subscriber's own are counted by the other triggers alone.
    subscriber
        .execute(
            "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) SELECT 'bolt', 'l1', 'own', n FROM generate_series(1, 10) AS n;
             UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE lot_id = 'own' AND qty_canonical < 5;
             DELETE FROM inventory_ledger WHERE lot_id = 'own' AND qty_canonical = 10;",
        )
        .await;
    assert_eq!(subscriber.wrong_keys().await, "0");

    // What is no number does not stop replication; it is a finding and no part of the balance.
    publish(&publisher, &subscriber, "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES ('nan', 'nut', 'l1', 'NaN')").await;
    subscriber.run("reconcile-balances", folder.path()).await.status(1).says("1 not_a_number");
    publish(&publisher, &subscriber, "UPDATE inventory_ledger SET qty_canonical = 3 WHERE id = 'nan'").await;
    assert_eq!(subscriber.wrong_keys().await, "0");
    subscriber.run("reconcile-balances", folder.path()).await.ok();

    publish(&publisher, &subscriber, "TRUNCATE inventory_ledger").await;
    assert_eq!(subscriber.wrong_keys().await, "0");
    assert_eq!(subscriber.value("SELECT sum(qty_canonical) = 1 FROM inventory_balances").await, "t");
    subscriber.run("reconcile-balances", folder.path()).await.ok();

    // Without the trigger what is applied is not counted, and found; backfill mends it.
    configure(folder.path(), "");
    subscriber.run("migrate-balance", folder.path()).await.ok();
    publish(&publisher, &subscriber, "").await;
    subscriber.run("reconcile-balances", folder.path()).await.status(1).says("1 large");
    configure(folder.path(), REPLICATED);
    subscriber.run("migrate-balance", folder.path()).await.ok();
    subscriber.run("backfill-balances", folder.path()).await.ok().says("1 written");
    publish(&publisher, &subscriber, "").await;
    assert_eq!(subscriber.wrong_keys().await, "0");
    subscriber.execute("DROP SUBSCRIPTION ledger").await;
}

#[tokio::test]
async fn the_trigger_is_checked_by_its_definition_and_by_when_it_fires() {
    let db = TestDb::migrated().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| db.run(name).folder(folder.path());
    configure(folder.path(), REPLICATED);
    run("validate-migration")
        .await
        .status(1)
        .says("inventory_ledger_balance_replicated")
        .says("it is not there");
    run("migrate-balance").await.ok();
    run("validate-migration").await.ok();
    for (damage, words) in [
        ("ALTER TABLE inventory_ledger ENABLE TRIGGER inventory_ledger_balance_replicated", "its definition was changed"),
        ("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_replicated", "disabled"),
        ("ALTER TABLE inventory_ledger ENABLE TRIGGER inventory_ledger_balance_truncate", "its definition was changed"),
        ("ALTER TABLE inventory_ledger ENABLE ALWAYS TRIGGER inventory_ledger_balance_insert", "enabled always"),
        (
            "CREATE OR REPLACE TRIGGER inventory_ledger_balance_replicated AFTER INSERT OR UPDATE OR DELETE ON inventory_ledger
                 FOR EACH ROW WHEN (current_user <> 'nobody') EXECUTE FUNCTION stockfoil.balance_on_replicated();
             ALTER TABLE inventory_ledger ENABLE ALWAYS TRIGGER inventory_ledger_balance_replicated",
            "when (CURRENT_USER <> 'nobody'::name)",
        ),
        ("DROP TRIGGER inventory_ledger_balance_replicated ON inventory_ledger", "it is not there"),
    ] {
        db.execute(damage).await;
        run("validate-migration").await.status(1).says(words);
        run("migrate-balance").await.ok();
        run("validate-migration").await.ok();
    }
    configure(folder.path(), "");
    run("validate-migration").await.status(1).says("it is there, though [ledger] replicated is false");
    run("migrate-balance").await.ok();
    run("validate-migration").await.ok();
    // A way back leaves nothing, whatever the configuration says by then.
    configure(folder.path(), REPLICATED);
    run("migrate-balance").await.ok();
    configure(folder.path(), "");
    run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%balance%'").await, "0");
    assert_eq!(db.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'balance_on_%'").await, "0");
}

#[tokio::test]
async fn replicated_rows_of_any_schema_are_counted() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped_migrated(mapped).await;
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(mapped.config()).unwrap();
        configure(folder.path(), &text.replace("[ledger]\n", REPLICATED));
        let run = |name: &str| {
            let config = folder.path().join("stockfoil.toml");
            db.run(name).arg("--config").arg(config)
        };
        run("migrate-balance").await.ok();
        run("validate-migration").await.ok();
        let changes = match mapped {
            Mapped::Prisma => {
                r#"UPDATE "StockMovement" SET "quantity" = "quantity" * 2 WHERE "quantity" > 50;
                   UPDATE "StockMovement" SET "lotId" = NULL WHERE "quantity" < -20;
                   DELETE FROM "StockMovement" WHERE "quantity" BETWEEN 0 AND 10"#
            }
            Mapped::Erp => {
                "UPDATE stock_move SET state = 'cancel' WHERE id % 5 = 0; UPDATE stock_move SET state = 'done' WHERE id % 7 = 0;
                 UPDATE stock_move SET location_id = location_dest_id WHERE id % 11 = 0; DELETE FROM stock_move WHERE id % 13 = 0"
            }
            Mapped::Warehouse => {
                "CREATE TEMP TABLE copied AS SELECT * FROM stock_transactions WHERE transaction_id % 9 = 0;
                 UPDATE stock_transactions SET direction = CASE direction WHEN 'IN' THEN 'OUT' ELSE 'IN' END WHERE transaction_id % 5 = 0;
                 UPDATE stock_transactions SET booked_at = booked_at + interval '40 days' WHERE transaction_id % 50 = 1;
                 UPDATE stock_transactions_2025_12 SET warehouse_id = 1;
                 DELETE FROM stock_transactions WHERE transaction_id % 9 = 0;
                 INSERT INTO stock_transactions SELECT * FROM copied"
            }
            Mapped::TwoSchemas => {
                r#"UPDATE plant."Stock.Entries" SET gross = gross + 1 WHERE bill_id % 5 = 0;
                   UPDATE plant."Stock.Entries" SET "item code" = 'OR1', batch = ' b9 ' WHERE bill_id % 7 = 0;
                   DELETE FROM plant."Stock.Entries" WHERE bill_id % 11 = 0"#
            }
        };
        let before = db
            .value(format!(
                "SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM ({}) AS e",
                mapped.entries()
            ))
            .await;
        db.execute(format!("SET session_replication_role = replica; {changes}")).await;
        let after = db
            .value(format!(
                "SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM ({}) AS e",
                mapped.entries()
            ))
            .await;
        assert_ne!(before, after, "{mapped:?}");
        assert_eq!(db.rows(mapped.wrong_keys()).await, Vec::<Vec<String>>::new(), "{mapped:?}");
        // A row of the subscriber's own is not counted twice.
        db.execute(changes.replace("CREATE TEMP TABLE", "SET TimeZone = 'UTC'; CREATE TEMP TABLE")).await;
        assert_eq!(db.rows(mapped.wrong_keys()).await, Vec::<Vec<String>>::new(), "{mapped:?}");
        run("reconcile-balances").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_go_to_a_subscriber_and_writers_see_no_error() {
    let publisher = Side::new().await;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    publisher.run("migrate-all", folder.path()).arg("--contract").await.ok();
    let dump = publisher.0.program("pg_dump").args(["-s", "postgres"]).output().unwrap();
    assert!(dump.status.success());
    let schema = String::from_utf8(dump.stdout).unwrap();
    let schema: Vec<&str> = schema.lines().filter(|line| !line.starts_with('\\')).collect();
    let subscriber = Side(Cluster::start(&["--set", "wal_level=logical"]));
    subscriber.execute(&schema.join("\n")).await;
    publisher
        .execute(
            "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) VALUES ('bolt', 'l1', NULL, 1), ('bolt', 'l1', 'A', 2);
             CREATE PUBLICATION everything FOR ALL TABLES",
        )
        .await;
    let (host, port, user) = (publisher.0.host(), publisher.0.port(), publisher.0.superuser());
    subscriber
        .execute(&format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host={host} port={port} user={user} dbname=postgres' PUBLICATION everything"
        ))
        .await;
    subscriber.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").await;
    publish(
        &publisher,
        &subscriber,
        "INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical)
         VALUES ('e1', 'bolt', 'l1', NULL, 5), ('e2', 'bolt', 'l1', 'A', 0.25), ('e3', 'bolt', 'l1', 'B', 7);
         UPDATE inventory_ledger SET lot_id = 'B' WHERE id = 'e2'; DELETE FROM inventory_ledger WHERE id = 'e1'",
    )
    .await;
    subscriber.wait_for(&format!("SELECT ({BOLTS}) = '1, A 2, B 7.25'")).await;
    publisher.run("backfill-balances", folder.path()).await.ok();
    publisher.run("reconcile-balances", folder.path()).arg("--full").await.ok();
    publish(&publisher, &subscriber, "UPDATE inventory_ledger SET qty_canonical = 8 WHERE id = 'e3'").await;
    subscriber.wait_for(&format!("SELECT ({BOLTS}) = '1, A 2, B 8.25'")).await;
    subscriber.execute("DROP SUBSCRIPTION everything").await;
}
