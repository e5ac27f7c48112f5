//! Partitions that come, go, and change their names under the triggers.

use testkit::{Mapped, TestDb};

const MAPPED: Mapped = Mapped::Warehouse;

/// One entry straight into `table`, with its number and date.
fn into(table: &str, number: u32, day: &str) -> String {
    format!(
        "INSERT INTO {table} (transaction_id, article_id, warehouse_id, direction, quantity, line_no, booked_at, org_id)
         VALUES ({number}, 1, 1, 'IN', 1000, {number}, '{day}', 'default');"
    )
}

async fn migrated() -> TestDb {
    let db = TestDb::mapped_migrated(MAPPED).await;
    db.run("reconcile-balances").await.ok();
    db
}

async fn balances(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(format!(
        "SELECT org, item, location, trim_scale(quantity) FROM ({}) AS b ORDER BY 1, 2, 3",
        MAPPED.balances()
    ))
    .await
}

async fn exact(db: &TestDb) {
    assert_eq!(db.rows(MAPPED.wrong_keys()).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn what_is_no_partition_any_more_changes_no_balance() {
    let db = migrated().await;
    db.execute("ALTER TABLE stock_transactions DETACH PARTITION stock_transactions_default").await;
    for (table, day, detach) in [
        ("stock_transactions_2025_06", "2025-06-05", ""),
        ("stock_transactions_2025_07", "2025-07-05", "CONCURRENTLY"),
    ] {
        db.execute(format!("ALTER TABLE stock_transactions DETACH PARTITION {table} {detach}")).await;
        let before = balances(&db).await;
        db.execute(into(table, 900_001, day)).await;
        db.execute(format!(
            "UPDATE {table} SET quantity = quantity + 7; DELETE FROM {table} WHERE line_no = 1"
        ))
        .await;
        assert_eq!(balances(&db).await, before, "{table}");
        // It is a partition of something else.
        db.execute(format!(
            "CREATE TABLE archive_of_{table} (LIKE {table}) PARTITION BY RANGE (booked_at);
             ALTER TABLE archive_of_{table} ATTACH PARTITION {table} DEFAULT; {} {}",
            into(&format!("archive_of_{table}"), 900_002, day),
            into(table, 900_003, day),
        ))
        .await;
        db.execute(format!("TRUNCATE {table}")).await;
        assert_eq!(balances(&db).await, before, "{table}");
    }
    // Back where it was, its entries count again.
    db.execute(
        "ALTER TABLE archive_of_stock_transactions_2025_06 DETACH PARTITION stock_transactions_2025_06;
         ALTER TABLE stock_transactions ATTACH PARTITION stock_transactions_2025_06 FOR VALUES FROM ('2025-06-01Z') TO ('2025-07-01Z')",
    )
    .await;
    let before = db.value("SELECT sum(quantity) FROM stock_on_hand").await;
    db.execute(into("stock_transactions_2025_06", 900_004, "2025-06-05")).await;
    assert_eq!(db.value(format!("SELECT sum(quantity) - {before} = 1000 FROM stock_on_hand")).await, "t");
}

#[tokio::test]
async fn a_new_partition_is_taken_in_and_is_no_alarm() {
    let db = migrated().await;
    db.execute(
        "CREATE TABLE stock_transactions_2027_01 PARTITION OF stock_transactions FOR VALUES FROM ('2027-01-01Z') TO ('2027-02-01Z');
         CREATE TABLE stock_transactions_2027_02 (LIKE stock_transactions INCLUDING ALL);
         ALTER TABLE stock_transactions ATTACH PARTITION stock_transactions_2027_02 FOR VALUES FROM ('2027-02-01Z') TO ('2027-03-01Z');
         CREATE TABLE stock_transactions_2027_03 (LIKE stock_transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
         ALTER TABLE stock_transactions ATTACH PARTITION stock_transactions_2027_03 FOR VALUES FROM ('2027-03-01Z') TO ('2027-04-01Z');
         CREATE TABLE stock_transactions_2027_04 PARTITION OF stock_transactions FOR VALUES FROM ('2027-04-01Z') TO ('2027-05-01Z')
             PARTITION BY RANGE (booked_at);
         CREATE TABLE stock_transactions_2027_04_a PARTITION OF stock_transactions_2027_04 DEFAULT",
    )
    .await;
    for (number, day) in
        [(900_001, "2027-01-05"), (900_002, "2027-02-05"), (900_003, "2027-03-05"), (900_004, "2027-04-05")]
    {
        db.execute(into("stock_transactions", number, day)).await;
    }
    exact(&db).await;
    // Every way through the ledger is counted, so nobody is woken.
    db.run("reconcile-balances").await.ok().says("partitions without triggers of their own");
    // A write past it is not, and is found by the next run, whose turn it ever is.
    db.execute("UPDATE stock_transactions_2027_01 SET quantity = quantity + 7").await;
    let run = db.run("reconcile-balances").await.status(1);
    run.says("every entry was read: a partition of the ledger has no triggers of its own");
    db.execute("UPDATE stock_transactions_2027_01 SET quantity = quantity - 7").await;
    db.run("reconcile-balances").await.ok();
    db.run("validate-migration").await.status(1);
    db.run("migrate-balance").await.ok();
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok();
    for (table, number, day) in [
        ("stock_transactions_2027_01", 900_011, "2027-01-06"),
        ("stock_transactions_2027_02", 900_012, "2027-02-06"),
        ("stock_transactions_2027_03", 900_013, "2027-03-06"),
        ("stock_transactions_2027_04", 900_014, "2027-04-06"),
        ("stock_transactions_2027_04_a", 900_015, "2027-04-07"),
    ] {
        db.execute(into(table, number, day)).await;
    }
    exact(&db).await;
    db.run("reconcile-balances").await.ok();
    // One index a partition, that of the ledger's.
    let twice = "SELECT i.indrelid::regclass FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
                 WHERE c.relname LIKE 'stock_transactions%' AND NOT i.indisunique
                 GROUP BY i.indrelid, i.indkey::text HAVING count(*) > 1";
    assert_eq!(db.rows(twice).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn an_index_that_could_not_be_attached_is_removed() {
    let db = migrated().await;
    // What earlier attempts at a new partition have left.
    db.execute(
        "CREATE TABLE stock_transactions_2027_01 PARTITION OF stock_transactions FOR VALUES FROM ('2027-01-01Z') TO ('2027-02-01Z')",
    )
    .await;
    let tail = db
        .value("SELECT substring(pg_get_indexdef('stock_transactions_balance_key_idx'::regclass) FROM ' USING .*')")
        .await;
    db.execute(format!(
        "CREATE INDEX stock_transactions_2027_01_balance_key_idx ON stock_transactions_2027_01 {tail}"
    ))
    .await;
    db.run("migrate-balance").await.ok();
    assert_eq!(
        db.value("SELECT to_regclass('stock_transactions_2027_01_balance_key_idx') IS NULL").await,
        "t"
    );
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn another_name_of_a_partition_or_of_the_ledger_counts_nothing_twice() {
    let db = migrated().await;
    db.execute("ALTER TABLE stock_transactions_2025_06 RENAME TO stock_transactions_june").await;
    db.run("reconcile-balances").await.ok();
    db.run("validate-migration").await.ok();
    db.run("migrate-balance").await.ok();
    db.execute(into("stock_transactions_june", 900_001, "2025-06-05")).await;
    db.execute(into("stock_transactions", 900_002, "2025-06-06")).await;
    exact(&db).await;
    db.run("migrate-balance").await.ok().says("nothing to do");

    db.execute("ALTER TABLE stock_transactions RENAME TO stock_bookings").await;
    let folder = MAPPED.config_with(|text| text.replace("stock_transactions", "stock_bookings"));
    let run = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
    // The application goes on, and so do its balances.
    db.execute(into("stock_bookings", 900_003, "2025-06-07")).await;
    run("migrate-balance").await.ok();
    run("migrate-balance").await.ok().says("nothing to do");
    db.execute(into("stock_bookings", 900_004, "2025-06-08")).await;
    db.execute(into("stock_transactions_june", 900_005, "2025-06-09")).await;
    let wrong = MAPPED.wrong_keys().replace("stock_transactions", "stock_bookings");
    assert_eq!(db.rows(wrong).await, [[""; 0]; 0]);
    run("reconcile-balances").await.ok();
    run("validate-migration").await.ok();
}

#[tokio::test]
async fn taking_it_back_takes_the_triggers_of_former_partitions_too() {
    let db = migrated().await;
    db.execute("ALTER TABLE stock_transactions DETACH PARTITION stock_transactions_2025_06").await;
    db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%balance%'").await, "0");
    db.execute("UPDATE stock_transactions_2025_06 SET quantity = quantity + 1").await;
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn a_trigger_of_the_applications_keeps_its_name() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(
        "CREATE FUNCTION applications_own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER stock_move_balance_insert AFTER INSERT ON stock_move FOR EACH STATEMENT EXECUTE FUNCTION applications_own()",
    )
    .await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok();
    let own = "SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
               WHERE t.tgname = 'stock_move_balance_insert' AND p.proname = 'applications_own'";
    assert_eq!(db.value(own).await, "1");
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.value(own).await, "1");
}
