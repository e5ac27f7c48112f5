//! Ledgers and balances that hold NaN, infinities, 1e30 and values of forty digits: told, exact, and nobody else's trouble.

use serde_json::{Value, json};
use testkit::{Mapped, TestDb};

use super::fixture::{balances, behind_the_triggers, entry, inventory};

const FORTY: &str = "1234567890123456789012345678901234567890.000000000000000000001";

/// Entries of every strange kind beside a plain one, older than the triggers, and more of each from after them.
async fn strange() -> TestDb {
    let db = inventory().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    let old: String = [
        ("bolt", "NULL", "NaN"),
        ("bolt", "NULL", "7"),
        ("bolt", "'inf'", "Infinity"),
        ("bolt", "'inf'", "-Infinity"),
        ("bolt", "'minus'", "-Infinity"),
        ("nut", "NULL", "1e30"),
        ("nut", "NULL", "-0.5"),
        ("ore", "NULL", FORTY),
        ("Ä-ring", "'plain'", "3"),
    ]
    .map(|(item, lot, quantity)| entry(item, lot, quantity))
    .concat();
    behind_the_triggers(&db, &old).await;
    db.execute(entry("bolt", "NULL", "1") + &entry("bolt", "'inf'", "2") + &entry("ore", "NULL", "1e-21"))
        .await;
    db
}

const BALANCES: [&str; 6] = [
    "default bolt l1 - 8",
    "default bolt l1 inf 2",
    "default bolt l1 minus 0",
    "default nut l1 - 999999999999999999999999999999.5",
    "default ore l1 - 1234567890123456789012345678901234567890.000000000000000000002",
    "default Ä-ring l1 plain 3",
];

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

/// The report's differences as `kind item lot ledger`.
fn listed(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |listed: &Value| {
        ["kind", "item_id", "lot_id", "ledger_qty"].map(|name| text(&listed[name])).join(" ")
    };
    report["listed"].as_array().unwrap().iter().map(line).collect()
}

const NOT_NUMBERS: [&str; 3] =
    ["not_a_number bolt - NaN", "not_a_number bolt inf NaN", "not_a_number bolt minus -Infinity"];

#[tokio::test]
async fn what_is_no_number_is_found_and_told_by_every_command_and_spoils_nothing_else() {
    let db = strange().await;
    db.run("backfill-balances").arg("--dry-run").await.status(1).says("3 keys hold what is no number");
    let run = db.run("backfill-balances").args(["--batch-rows", "2"]).await.status(1);
    run.says("verified: all 6 balances").says("3 keys hold what is no number; reconcile-balances names them");
    assert_eq!(balances(&db).await, BALANCES);

    let report = reconcile(&db, 1, &[]).await;
    assert_eq!((&report["full"], &report["unresolved"]), (&Value::Null, &json!(3)));
    assert_eq!(listed(&report), NOT_NUMBERS);
    assert_eq!(report["alerts"][0]["key"], "balances/default");
    assert_eq!(report["alerts"][0]["severity"], "critical");
    let details = report["alerts"][0]["details"].to_string();
    assert!(details.contains("not_a_number: default/bolt/l1/inf: ledger NaN, balance 2"), "{details}");

    // From the checkpoint, with new entries on every key.
    db.execute(
        ["bolt", "nut", "ore"].map(|item| entry(item, "NULL", "1")).concat()
            + &entry("bolt", "'minus'", "-4"),
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["full"], Value::Null);
    assert_eq!(listed(&report), NOT_NUMBERS);
    assert_eq!(report["findings"], json!({ "opened": 0, "seen_again": 3, "closed": 0 }));
    let full = reconcile(&db, 1, &["--full"]).await;
    assert_eq!(listed(&full), NOT_NUMBERS);
    // Nobody mends what has no right value, asked or not.
    assert_eq!(reconcile(&db, 1, &["--fix-large"]).await["repaired"], 0);

    for (key, kind, ledger, counted) in [
        ("default/bolt/l1", "not_a_number", "NaN", "9"),
        ("default/bolt/l1/inf", "not_a_number", "NaN", "2"),
        ("default/bolt/l1/minus", "not_a_number", "-Infinity", "-4"),
        ("default/nut/l1", "none", "1000000000000000000000000000000.5", "1000000000000000000000000000000.5"),
        ("default/Ä-ring/l1/plain", "none", "3", "3"),
    ] {
        let run = db.run("reconcile-balances").args(["--explain", key, "--format", "json"]).await;
        let report = run.status(i32::from(kind != "none")).json();
        let found = ["kind", "ledger_qty", "counted_qty", "balance_qty"]
            .map(|name| report[name].as_str().unwrap().to_owned());
        assert_eq!(found, [kind, ledger, counted, counted], "{key}");
        db.run("reconcile-balances").args(["--explain", key]).await.says(key);
    }

    // Differences beyond what any fixed-width decimal holds are exact, of either sign.
    for (off, tolerance, kind) in [
        ("0.000000000000000000000000000001", "0.01", "small"),
        ("-0.000000000000000000000000000001", "0.000000000000000000000000000001", "large"),
        ("1e29", "0.01", "large"),
        ("-1e29", "1000000000000000000000000000000", "small"),
    ] {
        db.execute(format!(
            "UPDATE inventory_balances SET qty_canonical = qty_canonical + {off} WHERE item_id = 'ore'"
        ))
        .await;
        let report = reconcile(&db, 1, &["--tolerance", tolerance, "--fix-large"]).await;
        let found =
            report["listed"].as_array().unwrap().iter().find(|listed| listed["item_id"] == "ore").unwrap();
        assert_eq!((&found["kind"], &found["repaired"]), (&json!(kind), &json!(true)), "{found}");
        let ore =
            db.value("SELECT trim_scale(qty_canonical) FROM inventory_balances WHERE item_id = 'ore'").await;
        assert_eq!(ore, "1234567890123456789012345678901234567891.000000000000000000002");
    }

    // Mended in the ledger, the findings are over.
    db.execute("UPDATE inventory_ledger SET qty_canonical = 0 WHERE qty_canonical IN ('NaN', 'Infinity', '-Infinity')").await;
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!(report["findings"]["closed"], 4);
    reconcile(&db, 0, &["--full"]).await;
    db.run("backfill-balances").await.ok();
}

#[tokio::test]
async fn a_difference_of_exactly_the_tolerance_is_not_small_on_either_side() {
    let db = inventory().await;
    db.run("backfill-balances").await.ok();
    db.execute(["A", "B", "C", "D"].map(|lot| entry("bolt", &format!("'{lot}'"), "5")).concat()).await;
    db.execute(
        "UPDATE inventory_balances SET qty_canonical = qty_canonical
             + CASE lot_id WHEN 'A' THEN 0.01 WHEN 'B' THEN -0.01 WHEN 'C' THEN 0.0099999999 ELSE -0.0099999999 END",
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(listed(&report), ["large bolt A 5", "large bolt B 5", "small bolt C 5", "small bolt D 5"]);
    assert_eq!((&report["repaired"], &report["unresolved"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn a_balance_that_is_no_number_is_told_and_left_to_a_person() {
    // Where the application made the table, nothing keeps such a balance out.
    let db = TestDb::mapped_migrated(Mapped::Erp).await;
    db.execute("UPDATE stock_quant SET quantity = 'NaN' WHERE ctid = (SELECT min(ctid) FROM stock_quant)")
        .await;
    let report = reconcile(&db, 1, &["--fix-large"]).await;
    assert_eq!((&report["differences"]["not_a_number"], &report["repaired"]), (&json!(1), &json!(0)));
    let key = report["listed"][0]["key"].as_str().unwrap();
    db.run("reconcile-balances").args(["--explain", key]).await.status(1).says("balance NaN");
    db.run("backfill-balances").await.status(1).says("verified").says("1 keys hold what is no number");
    // An entry that is none either does not make it right.
    let wrong = db.rows("SELECT id FROM stock_quant WHERE quantity = 'NaN'").await.len();
    assert_eq!(wrong, 1);
    db.execute("UPDATE stock_quant SET quantity = 0 WHERE quantity = 'NaN'").await;
    reconcile(&db, 0, &["--fix-large"]).await;
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, Vec::<Vec<String>>::new());
}
