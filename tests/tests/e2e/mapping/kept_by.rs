//! Balances that the application keeps by itself: compared and repaired, without a trigger.

use testkit::{Mapped, TestDb};

const MOVE: &str = "INSERT INTO stock_move (name, product_id, quantity, location_id, location_dest_id, state)
                    VALUES ('one', 7, 5, 9, 3, 'done');";

#[tokio::test]
async fn the_applications_own_balances_are_compared_and_repaired() {
    let db = TestDb::mapped(Mapped::Erp).await;
    let folder = Mapped::Erp
        .config_with(|text| text.replace("adopt = true\n", "adopt = true\nkept_by = \"application\"\n"));
    let path = folder.path().join("stockfoil.toml");
    let run = |command: &str| db.run(command).arg("--config").arg(&path);

    run("migrate-all").arg("--contract").await.ok();
    assert_eq!(
        db.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'stock_move'::regclass AND tgname LIKE '%balance%'")
            .await,
        "0"
    );
    assert_eq!(
        db.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'stock_move'::regclass AND attname = 'stockfoil_tx'")
            .await,
        "0"
    );
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, Vec::<Vec<String>>::new());

    // The application books a move and both of its quants in one transaction.
    let quant = |location: u32, sign: &str| {
        format!(
            "INSERT INTO stock_quant (product_id, location_id, quantity) VALUES (7, {location}, {sign}5)
             ON CONFLICT (org_id, product_id, location_id, lot_id) DO UPDATE SET quantity = stock_quant.quantity {sign} 5;"
        )
    };
    db.execute(format!("BEGIN; {MOVE} {} {} COMMIT", quant(3, "+"), quant(9, "-"))).await;
    let report = run("reconcile-balances").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["full"], "not_incremental");

    // It forgets the quants: nothing of Stockfoil's wrote them either.
    db.execute(MOVE).await;
    let report = run("reconcile-balances").args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["differences"]["large"], 2, "{report}");
    assert_eq!(report["broken_parts"], serde_json::json!([]));
    run("backfill-balances").await.ok().says("2 written");
    run("reconcile-balances").await.ok();
    run("validate-migration").await.ok();
}

#[tokio::test]
async fn a_table_of_stockfoils_own_that_the_application_writes_tells_lots_apart() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO items (id, item_number, name) VALUES ('i1', 'i1', 'i1'); INSERT INTO locations (id, site, name) VALUES ('l1', 's', 'l')",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[balances]\nkept_by = \"application\"\n").unwrap();
    db.run("migrate-all").arg("--contract").folder(&folder).await.ok();
    // It names the lot alone.
    db.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) VALUES ('i1', 'l1', 'A', 2), ('i1', 'l1', NULL, 3), ('i1', 'l1', 'B', 4);
         INSERT INTO inventory_balances (org_id, item_id, location_id, lot_id, qty_canonical) VALUES ('default', 'i1', 'l1', 'A', 2), ('default', 'i1', 'l1', NULL, 3)",
    )
    .await;
    db.run("backfill-balances").folder(&folder).await.ok();
    db.run("reconcile-balances").folder(&folder).await.ok();
    db.run("validate-migration").folder(&folder).await.ok();

    // From triggers to the application, the column stays as it is: then it names both.
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO items (id, item_number, name) VALUES ('i1', 'i1', 'i1'); INSERT INTO locations (id, site, name) VALUES ('l1', 's', 'l');
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) VALUES ('i1', 'l1', 'A', 2), ('i1', 'l1', NULL, 3)",
    )
    .await;
    db.execute("DELETE FROM inventory_balances WHERE lot_id = 'A'").await;
    db.run("backfill-balances").folder(&folder).await.ok().says("1 written");
    db.run("reconcile-balances").folder(&folder).await.ok();
}
