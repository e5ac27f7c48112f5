use super::*;

#[tokio::test]
async fn an_empty_database_is_taken_all_the_way() {
    let db = TestDb::empty().await;
    db.run("migrate-all")
        .arg("--contract")
        .args(["--dry-run", "--verbose"])
        .await
        .ok()
        .says("comes when the parts before it are done");
    let report = db.run("migrate-all").arg("--contract").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["checked"]["failed"], 0);
    assert_eq!(report["outcome"], "clean");
    db.run("migrate-all").arg("--contract").await.ok().says("nothing to do");
}

#[tokio::test]
async fn a_live_inventory_is_taken_all_the_way() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let report = db.run("migrate-all").arg("--contract").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["checked"]["rows"], 2075);
    assert_eq!(
        db.value(
            "SELECT count(*) FROM (SELECT org_id, item_id, location_id, lot_id, sum(qty_canonical) q FROM inventory_ledger GROUP BY 1, 2, 3, 4) l
             FULL JOIN inventory_balances b ON b.org_id = l.org_id AND b.item_id = l.item_id AND b.location_id = l.location_id AND b.lot_id IS NOT DISTINCT FROM l.lot_id
             WHERE b.qty_canonical IS DISTINCT FROM l.q"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn it_stops_where_a_check_fails_and_goes_on_when_mended() {
    let db = TestDb::inventory().await;
    db.execute("ALTER TABLE users DROP CONSTRAINT users_email_key").await;
    db.run("migrate-all")
        .arg("--contract")
        .await
        .status(1)
        .says("nothing keeps it unique per organization")
        .says("not done: a part before it does not hold");
    assert_eq!(db.value("SELECT to_regclass('inventory_balances') IS NULL").await, "t");
    db.execute("ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)").await;
    db.run("migrate-all").arg("--contract").await.ok();
}
