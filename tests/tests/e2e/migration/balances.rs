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
