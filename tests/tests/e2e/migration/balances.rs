use super::*;

#[tokio::test]
async fn the_table_and_triggers_come_after_the_organizations() {
    let db = TestDb::inventory().await;
    db.run("migrate-balance").await.refuses(3, "run migrate-org first");
    db.run("migrate-org").arg("--contract").await.ok();
    let before = schema(&db);
    db.run("migrate-balance").args(["--dry-run", "--verbose"]).await.ok().says("CREATE OR REPLACE TRIGGER");
    assert_eq!(schema(&db), before);
    db.run("migrate-balance").await.ok();
    db.run("migrate-balance").await.ok().says("nothing to do");
    seed(&db).await;
    assert_eq!(
        db.value("SELECT (SELECT sum(qty_canonical) FROM inventory_ledger) = (SELECT sum(qty_canonical) FROM inventory_balances)").await,
        "t"
    );
}

#[tokio::test]
async fn another_table_of_the_name_is_not_taken_over() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute("CREATE TABLE inventory_balances (id int)").await;
    db.run("migrate-balance").await.refuses(2, "there is another table inventory_balances already");
}

#[tokio::test]
async fn without_the_key_index_it_is_left_out() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[ledger]\nkey_index = false\n").unwrap();
    db.run("migrate-all").arg("--contract").folder(&folder).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%balance_key%'").await, "0");
    db.run("validate-migration").folder(&folder).await.ok();
    db.run("validate-migration")
        .await
        .status(1)
        .says("index inventory_ledger_balance_key_idx: it is not there");
}

/// The table of balances and its functions as earlier releases made them: the database computes `lot_key`.
async fn computed_lot_key(db: &TestDb) {
    db.execute(
        "ALTER TABLE inventory_balances DROP CONSTRAINT inventory_balances_pkey, DROP COLUMN lot_key,
             ADD COLUMN lot_key text NOT NULL GENERATED ALWAYS AS (coalesce(lot_id, '')) STORED,
             ADD CONSTRAINT inventory_balances_pkey PRIMARY KEY (org_id, item_id, location_id, lot_key);
         DO $do$
         DECLARE f text;
         BEGIN
             FOR f IN SELECT pg_get_functiondef(oid) FROM pg_proc
                      WHERE pronamespace = 'stockfoil'::regnamespace AND prosrc LIKE '%\"lot_id\", \"lot_key\", %' LOOP
                 EXECUTE replace(replace(f, '\"lot_id\", \"lot_key\", ', '\"lot_id\", '), ', coalesce(d.lot::text, ''''), d.delta', ', d.delta');
             END LOOP;
         END $do$",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lot_key_that_the_database_computed_is_written_from_then_on() {
    let db = std::sync::Arc::new(TestDb::migrated().await);
    seed(&db).await;
    computed_lot_key(&db).await;
    const WRITE: &str = "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
         VALUES ('i1', 'l1', 'lot1', 1), ('i1', 'l1', NULL, 1), ('i2', 'l1', 'new' || (random() * 1000)::int, 2)";
    db.execute(WRITE).await;
    db.run("reconcile-balances").await.refuses(3, "run migrate-balance first");
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (db, is_over) = (std::sync::Arc::clone(&db), std::sync::Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut session = db.connect().await;
                let mut written = 0;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    sqlx::raw_sql(WRITE).execute(&mut session).await.unwrap();
                    written += 1;
                }
                written
            })
        })
        .collect();
    db.run("migrate-balance").await.ok().tells("let lot_key of inventory_balances be written");
    db.execute(WRITE).await;
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("reconcile-balances").arg("--full").await.ok().says("ledger and balances match");
    let computed = "SELECT attgenerated FROM pg_attribute WHERE attrelid = 'inventory_balances'::regclass AND attname = 'lot_key'";
    assert_eq!(db.value(computed).await, "");
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
}
