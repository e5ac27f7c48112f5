//! The order of the original tools, one command after the other, and what is half there.

use super::*;

#[tokio::test]
async fn each_command_of_the_set_up_order_ends_well() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("db-migrate").await.ok();
    db.run("validate-migration")
        .await
        .ok()
        .says("balances inventory_balances: not there yet")
        .says("make it with: migrate-balance, then backfill-balances")
        .says("0 failed, 1 of what is not there yet");
    let report = db.run("validate-migration").args(["--format", "json"]).await.ok().json();
    assert_eq!((&report["failed"], &report["skipped"]), (&0.into(), &1.into()));
    let skipped = report["checks"].as_array().unwrap().iter().find(|check| check["verdict"] == "skipped");
    assert_eq!(skipped.unwrap()["name"], "balances");
    db.run("validate-migration")
        .args(["--format", "prometheus"])
        .await
        .ok()
        .says("stockfoil_migration_checks{verdict=\"skipped\"} 1");
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("validate-migration").await.ok().says("0 failed; ");
    db.run("validate-migration").args(["--require", "balances"]).await.ok();
}

#[tokio::test]
async fn what_is_required_must_be_there() {
    let db = TestDb::inventory().await;
    db.run("db-migrate").await.ok();
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("validate-migration")
        .args(["--require", "balances"])
        .await
        .status(1)
        .says("table inventory_balances: it is not there");
    db.run("validate-migration").args(["--require", "everything"]).await.refuses(2, "give balances");
}

#[tokio::test]
async fn what_is_half_there_fails() {
    let whole = TestDb::migrated().await;
    let of_trigger = async |what: &str| {
        let of = "FROM pg_trigger WHERE tgname = 'inventory_ledger_balance_insert'";
        whole.value(format!("SELECT {what} {of}")).await
    };
    let function = of_trigger("pg_get_functiondef(tgfoid)").await;
    let trigger = format!("{function};\n{}", of_trigger("pg_get_triggerdef(oid)").await);
    for (what, makes) in [
        (
            "the table alone",
            "CREATE TABLE inventory_balances (org_id text, item_id text, location_id text, lot_id text, lot_key text, qty_canonical numeric, last_ledger_id text, last_updated timestamptz)",
        ),
        ("a function alone", &function),
        ("one trigger alone", &trigger),
        (
            "a record of the migration alone",
            "INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name) VALUES ('migrate-balance', 'table', 'public', 'inventory_balances', '')",
        ),
        (
            "a record of a backfill alone",
            "WITH r AS (INSERT INTO stockfoil.run (command) VALUES ('backfill-balances') RETURNING id)
             INSERT INTO stockfoil.backfill (org_id, run_id, keys) SELECT 'default', id, 0 FROM r",
        ),
    ] {
        let db = TestDb::inventory().await;
        db.run("db-migrate").await.ok();
        db.run("migrate-org").arg("--contract").await.ok();
        db.execute(makes).await;
        let run = db.run("validate-migration").await.status(1);
        assert!(
            run.stdout.contains("it is not there") && !run.stdout.contains("not there yet"),
            "{what}: {}",
            run.stdout
        );
    }
    whole.execute("DROP TRIGGER inventory_ledger_balance_insert ON inventory_ledger").await;
    whole.run("validate-migration").await.status(1).says("inventory_ledger_balance_insert: it is not there");
}

#[tokio::test]
async fn an_adopted_table_alone_is_no_balance_yet() {
    let db = TestDb::mapped(testkit::Mapped::Erp).await;
    db.run("db-migrate").await.ok();
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("validate-migration").await.ok().says("not there yet");
    for mapped in [testkit::Mapped::Prisma, testkit::Mapped::Warehouse, testkit::Mapped::TwoSchemas] {
        let db = TestDb::mapped(mapped).await;
        for command in
            ["db-migrate", "migrate-org", "validate-migration", "migrate-balance", "backfill-balances"]
        {
            db.run(command).await.ok();
        }
        db.run("validate-migration").args(["--require", "balances"]).await.ok();
    }
}

#[tokio::test]
async fn balances_that_were_taken_back_are_not_there_yet() {
    let db = TestDb::migrated().await;
    db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    db.run("validate-migration").await.ok().says("not there yet");
    db.run("validate-migration").args(["--require", "balances"]).await.status(1);
}
