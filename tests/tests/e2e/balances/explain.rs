//! reconcile-balances --explain: one key's entries with the running balance, and what changed since both sides agreed.

use serde_json::{Value, json};
use testkit::{Mapped, TestDb};

use super::fixture::{behind_the_triggers, entry, inventory};

async fn explain(db: &TestDb, key: &str, status: i32, args: &[&str]) -> Value {
    let run = db.run("reconcile-balances").args(["--explain", key, "--format", "json"]).args(args);
    let report = run.await.status(status).json();
    assert_eq!((&report["schema"], &report["key"]), (&json!("stockfoil.explain/1"), &json!(key)));
    report
}

/// Reconciles until every entry is sealed: a transaction under way anywhere in the cluster holds the watermark back.
async fn reconcile_all(db: &TestDb) {
    let is_sealed = "SELECT coalesce((SELECT watermark FROM stockfoil.checkpoint) > (SELECT max(stockfoil_tx) FROM inventory_ledger), false)";
    loop {
        db.run("reconcile-balances").await.ok();
        if db.value(is_sealed).await == "t" {
            return;
        }
    }
}

/// Three entries of one key, and what their balance was compared with.
async fn three_entries() -> TestDb {
    let db = inventory().await;
    db.run("backfill-balances").await.ok();
    db.execute(
        "INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical, created_at)
         VALUES ('e1', 'acme', 'bolt', 'l1', 'A', 100, '2026-01-01Z'), ('e3', 'acme', 'bolt', 'l1', 'A', -0.5, '2026-01-03Z'),
                ('e2', 'acme', 'bolt', 'l1', 'A', 40.25, '2026-01-02Z'), ('x', 'acme', 'bolt', 'l1', NULL, 7, '2026-01-02Z')",
    )
    .await;
    reconcile_all(&db).await;
    db
}

/// The entries as `id quantity balance new`.
fn entries(report: &Value) -> Vec<String> {
    let entries = report["entries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line =
        |entry: &Value| ["id", "quantity", "balance", "is_new"].map(|name| text(&entry[name])).join(" ");
    entries.map(line).collect()
}

#[tokio::test]
async fn entries_come_in_order_with_the_running_balance() {
    let db = three_entries().await;
    let report = explain(&db, "acme/bolt/l1/A", 0, &[]).await;
    assert_eq!(entries(&report), ["e1 100 100 false", "e2 40.25 140.25 false", "e3 -0.5 139.75 false"]);
    assert_eq!(
        (
            &report["kind"],
            &report["ledger_qty"],
            &report["balance_qty"],
            &report["drift"],
            &report["opening"]
        ),
        (&json!("none"), &json!("139.75"), &json!("139.75"), &json!("0"), &Value::Null)
    );
    assert_eq!(
        (&report["sealed"]["sealed_entries"], &report["sealed"]["differs"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(
        report["last_agreed"]["run_id"].to_string(),
        db.value("SELECT max(id) FROM stockfoil.run").await
    );
    assert_eq!(report["new_entries"], json!({ "entries": 0, "quantity": "0" }));
    let report = explain(&db, "acme/bolt/l1/A", 0, &["--entries", "1"]).await;
    assert_eq!(entries(&report), ["e3 -0.5 139.75 false"]);
    assert_eq!(report["opening"], json!({ "entries": 2, "balance": "140.25" }));
    assert_eq!(report["entries_total"], 3);
    let report = explain(&db, "acme/bolt/l1/A", 0, &["--entries", "0"]).await;
    assert_eq!(report["opening"], json!({ "entries": 3, "balance": "139.75" }));
    // No lot is a key of its own, and an empty one is none.
    assert_eq!(entries(&explain(&db, "acme/bolt/l1", 0, &[]).await), ["x 7 7 false"]);
    db.run("reconcile-balances")
        .args(["--explain", "acme/bolt/l1/"])
        .await
        .ok()
        .says("organization acme, item bolt, location l1, no lot\n")
        .says("ledger 7, balance 7: they agree");
    let runs = db.value("SELECT count(*) FROM stockfoil.run").await;
    db.execute(format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name())).await;
    db.run("reconcile-balances")
        .args(["--explain", "acme/bolt/l1/A", "--entries", "2"])
        .await
        .ok()
        .says("1 before")
        .says("2026-01-02 00:00:00 UTC  40.25     140.25");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.run").await, runs, "it only looks");
}

#[tokio::test]
async fn a_balance_that_was_written_by_something_else_is_told_from_the_ledger() {
    let db = three_entries().await;
    let agreed = db.value("SELECT max(id) FROM stockfoil.run").await;
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 2 WHERE lot_id = 'A'").await;
    // The finding prints the key as it is asked for.
    let run = db.run("reconcile-balances").await.status(1);
    run.says("      acme/bolt/l1/A\n").says("reconcile-balances --explain acme/bolt/l1/A\n");
    let report = explain(&db, "acme/bolt/l1/A", 1, &[]).await;
    assert_eq!((&report["kind"], &report["drift"]), (&json!("large"), &json!("-2")));
    assert_eq!(report["clues"], json!(["balance_written"]));
    assert_eq!(report["last_agreed"]["run_id"].to_string(), agreed);
    // Nor does an entry that came since, and was counted, account for it.
    db.execute("INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical) VALUES ('e4', 'acme', 'bolt', 'l1', 'A', -3)").await;
    let report = explain(&db, "acme/bolt/l1/A", 1, &[]).await;
    assert_eq!((&report["drift"], &report["clues"]), (&json!("-2"), &json!(["balance_written"])));
    assert_eq!(report["new_entries"], json!({ "entries": 1, "quantity": "-3" }));
    assert_eq!(report["findings"][0]["kind"], "large");
    assert_eq!(report["findings"][0]["closed_run"], Value::Null);
    db.run("reconcile-balances").arg("--fix-large").await.ok();
    let report = explain(&db, "acme/bolt/l1/A", 0, &[]).await;
    assert_eq!(report["last_agreed"]["has_mended"], true);
    assert_eq!(report["findings"][0]["repaired"], true);
    db.run("reconcile-balances").await.ok();
    let report = explain(&db, "acme/bolt/l1/A", 0, &[]).await;
    assert_eq!(report["last_agreed"]["has_mended"], false);
    assert_eq!(report["findings"][0]["closed_run"], report["last_agreed"]["run_id"]);
    db.run("reconcile-balances")
        .args(["--explain", "acme/bolt/l1/A"])
        .await
        .ok()
        .says("corrected, closed by run");
    // A run that looked at others says nothing of this key.
    db.run("reconcile-balances").args(["--org", "zeta"]).await.ok();
    let again = explain(&db, "acme/bolt/l1/A", 0, &[]).await;
    assert_eq!(again["last_agreed"], report["last_agreed"]);
}

#[tokio::test]
async fn what_the_triggers_did_not_see_is_told() {
    let db = three_entries().await;
    db.execute("INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical) VALUES ('e4', 'acme', 'bolt', 'l1', 'A', 1)").await;
    let report = explain(&db, "acme/bolt/l1/A", 0, &["--entries", "1"]).await;
    assert_eq!(entries(&report), ["e4 1 140.75 true"]);
    behind_the_triggers(&db, "DELETE FROM inventory_ledger WHERE id = 'e4';
        INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical) VALUES ('e5', 'acme', 'bolt', 'l1', 'A', 4);
        UPDATE inventory_balances SET qty_canonical = qty_canonical - 1 WHERE lot_id = 'A'").await;
    let report = explain(&db, "acme/bolt/l1/A", 1, &[]).await;
    assert_eq!(report["new_entries"], json!({ "entries": 1, "quantity": "4" }));
    assert_eq!(report["clues"], json!(["new_entries_not_counted"]));
    // One of two.
    db.execute("INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical) VALUES ('e6', 'acme', 'bolt', 'l1', 'A', 9)").await;
    let report = explain(&db, "acme/bolt/l1/A", 1, &[]).await;
    assert_eq!((&report["drift"], &report["clues"]), (&json!("4"), &json!(["new_entries_not_counted"])));
    // Old entries, and so that their sum stays.
    behind_the_triggers(&db, "UPDATE inventory_ledger SET qty_canonical = qty_canonical + CASE id WHEN 'e1' THEN 1 ELSE -1 END WHERE id IN ('e1', 'e2')").await;
    let report = explain(&db, "acme/bolt/l1/A", 1, &[]).await;
    assert_eq!(report["sealed"]["differs"], true);
    assert!(report["clues"].as_array().unwrap().contains(&json!("changed_history")), "{report}");
    // A change that the triggers saw is none.
    db.execute("UPDATE inventory_ledger SET qty_canonical = 8 WHERE id = 'x'; ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_delete").await;
    let report = explain(&db, "acme/bolt/l1", 1, &[]).await;
    assert_eq!((&report["sealed"]["differs"], &report["sealed"]["marks"]), (&json!(true), &json!(1)));
    assert_eq!(report["clues"], json!(["broken_parts"]));
    assert_eq!(report["broken_parts"][0]["name"], "inventory_ledger_balance_delete");
}

#[tokio::test]
async fn what_is_no_number_is_shown_and_not_counted() {
    let db = inventory().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    let long = "1234567890123456789012345678901234567890.5";
    behind_the_triggers(&db, &(entry("bolt", "NULL", "NaN") + &entry("bolt", "NULL", long))).await;
    behind_the_triggers(
        &db,
        "UPDATE inventory_ledger SET created_at = '2026-01-01Z' WHERE qty_canonical <> 'NaN'",
    )
    .await;
    db.run("backfill-balances").await.status(1);
    let report = explain(&db, "default/bolt/l1", 1, &[]).await;
    assert_eq!((&report["kind"], &report["ledger_qty"]), (&json!("not_a_number"), &json!("NaN")));
    assert_eq!((&report["counted_qty"], &report["balance_qty"]), (&json!(long), &json!(long)));
    assert_eq!(report["clues"], json!(["not_a_number"]));
    assert_eq!(report["last_agreed"], Value::Null);
    let balances: Vec<&Value> =
        report["entries"].as_array().unwrap().iter().map(|entry| &entry["balance"]).collect();
    assert_eq!(balances, [long, long]);
}

#[tokio::test]
async fn a_key_of_any_text_is_one_word() {
    let db = inventory().await;
    db.execute(
        "INSERT INTO items (id, item_number, name) VALUES ('a/b $(x) 50%', 'odd', 'odd');
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) VALUES ('a/b $(x) 50%', 'l1', 'Ä ''1''', 3)",
    )
    .await;
    db.run("backfill-balances").await.ok();
    db.execute("UPDATE inventory_balances SET qty_canonical = 9").await;
    let report = db.run("reconcile-balances").args(["--format", "json"]).await.status(1).json();
    let key = report["listed"][0]["key"].as_str().unwrap();
    assert_eq!(key, "default/a%2Fb%20%24%28x%29%2050%25/l1/Ä%20%271%27");
    assert_eq!(explain(&db, key, 1, &[]).await["item_id"], "a/b $(x) 50%");
}

#[tokio::test]
async fn it_refuses_what_is_no_key() {
    let db = three_entries().await;
    for (args, words) in [
        (&["--explain", "acme"][..], "is not a balance's key; write ORGANIZATION/ITEM/LOCATION/LOT"),
        (&["--explain", "acme/bolt"], "its keys are ORGANIZATION/ITEM/LOCATION[/LOT]"),
        (&["--explain", "nobody/bolt/l1"], "there is no organization with the id or subdomain \"nobody\""),
        (&["--explain", "acme/bold/l1"], "acme/bold/l1 has no ledger entry, no balance and no finding"),
        (&["--explain", "acme/bolt/l1", "--full"], "--explain and --full exclude each other"),
        (&["--explain", "acme/bolt/l1", "--org", "acme"], "--explain and --org exclude each other"),
        (
            &["--explain", "acme/bolt/l1", "--format", "prometheus"],
            "--explain and --format prometheus exclude each other",
        ),
        (&["--entries", "3"], "--entries goes with --explain; give both, or neither"),
        (&["--explain", "acme/bolt/l1", "--entries", "-1"], "--entries"),
    ] {
        db.run("reconcile-balances").args(args).await.refuses(2, words);
    }
    TestDb::inventory()
        .await
        .run("reconcile-balances")
        .args(["--explain", "a/b/c"])
        .await
        .refuses(3, "run migrate-balance first");
}

#[tokio::test]
async fn keys_of_any_schema_are_explained() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped_migrated(mapped).await;
        db.run("reconcile-balances").await.ok();
        let (balances, quantity) = match mapped {
            Mapped::Prisma => (r#""StockBalance""#, r#""quantity""#),
            Mapped::Erp => ("stock_quant", "quantity"),
            Mapped::Warehouse => ("stock_on_hand", "quantity"),
            Mapped::TwoSchemas => (r#"plant."Silo ""Balances""""#, "kg"),
        };
        db.execute(format!(
            "UPDATE {balances} SET {quantity} = {quantity} + 5 WHERE ctid IN (SELECT min(ctid) FROM {balances})"
        ))
        .await;
        let wrong = db.rows(mapped.wrong_keys()).await.remove(0);
        let report = db.run("reconcile-balances").args(["--format", "json"]).await.status(1).json();
        let key = report["listed"][0]["key"].as_str().unwrap().to_owned();
        let report = explain(&db, &key, 1, &["--entries", "100000"]).await;
        let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(["org_id", "item_id", "location_id", "lot_id"].map(text), wrong[..4], "{mapped:?}");
        assert_eq!(
            [text("ledger_qty"), text("balance_qty"), text("drift")],
            [&wrong[4], &wrong[5], "-5"],
            "{mapped:?}"
        );
        let entries = report["entries"].as_array().unwrap();
        assert_eq!(entries.last().unwrap()["balance"], text("ledger_qty"), "{mapped:?}");
        assert_eq!(report["entries_total"], entries.len(), "{mapped:?}");
        assert!(entries.iter().all(|entry| entry["is_new"] == false), "{mapped:?}: {report}");
        assert_eq!(report["opening"], Value::Null);
        let run = db.run("reconcile-balances").args(["--explain", &key]).await.status(1);
        run.says("they last agreed in run ");
    }
}
