//! Balances below zero, which ledger and balance may agree on.

use serde_json::{Value, json};
use testkit::TestDb;

use super::fixture::{entry, inventory};

const REPORT: &str = "[reconcile]\nnegative = \"report\"\nnegative_locations = [\"l2\"]\n";

fn config(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    folder
}

async fn reconcile(db: &TestDb, config: &tempfile::TempDir, status: i32, args: &[&str]) -> Value {
    let run = db.run("reconcile-balances").args(["--format", "json"]).args(args).folder(config);
    run.await.status(status).json()
}

/// The kinds of the open findings, with what the balance holds.
async fn open(db: &TestDb) -> String {
    db.value(
        "SELECT coalesce(string_agg(kind || ' ' || item_id || ' ' || trim_scale(balance_qty), ', ' ORDER BY kind, item_id, balance_qty DESC), '')
         FROM stockfoil.finding WHERE closed_run IS NULL",
    )
    .await
}

/// An inventory of nothing but `bolt` below zero at `l1`, and at `l2`, and `nut` at zero.
async fn below_zero() -> TestDb {
    let db = inventory().await;
    db.execute("TRUNCATE inventory_ledger").await;
    db.run("backfill-balances").await.ok();
    db.execute(
        entry("bolt", "NULL", "-3")
            + &entry("bolt", "'A'", "5")
            + &entry("nut", "NULL", "2")
            + &entry("nut", "NULL", "-2"),
    )
    .await;
    db.execute(
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('acme', 'bolt', 'l2', -7)",
    )
    .await;
    db
}

#[tokio::test]
async fn a_balance_below_zero_is_a_finding_until_it_is_not() {
    let (db, config) = (below_zero().await, config(REPORT));
    let report = reconcile(&db, &config, 1, &[]).await;
    assert_eq!(report["negative"], 1);
    assert_eq!(report["unresolved"], 0);
    let key = report["listed_negative"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!(report["listed_negative"][0]["balance_qty"], "-3");
    assert_eq!(report["findings"], json!({ "opened": 1, "seen_again": 0, "closed": 0 }));
    assert_eq!(open(&db).await, "negative bolt -3");
    db.run("reconcile-balances").args(["--explain", &key]).await.ok().says("negative");
    assert_eq!(db.value("SELECT string_agg(key, ' ') FROM stockfoil.alert_state").await, "negative");

    // A difference of the same key is a finding of its own, and ends by itself.
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical - 1 WHERE item_id = 'bolt' AND location_id = 'l1' AND lot_id IS NULL").await;
    let report = reconcile(&db, &config, 1, &[]).await;
    assert_eq!((&report["unresolved"], &report["negative"]), (&json!(1), &json!(1)));
    assert_eq!(open(&db).await, "large bolt -4, negative bolt -4");
    reconcile(&db, &config, 1, &["--fix-large"]).await;
    let report = reconcile(&db, &config, 1, &[]).await;
    assert_eq!(report["findings"], json!({ "opened": 0, "seen_again": 1, "closed": 1 }));
    assert_eq!(open(&db).await, "negative bolt -3");

    db.execute(entry("bolt", "NULL", "3")).await;
    let run = db.run("reconcile-balances").folder(&config).await.ok();
    run.says("1 findings of earlier runs are gone, and closed");
    assert_eq!(open(&db).await, "");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state WHERE key = 'negative'").await, "0");
}

#[tokio::test]
async fn what_is_allowed_is_no_finding_and_ends_one() {
    let db = below_zero().await;
    let (reported, everywhere) = (config(REPORT), config("[reconcile]\nnegative = \"report\"\n"));
    let allowed = config("");
    let report = reconcile(&db, &allowed, 0, &[]).await;
    assert_eq!(report["negative"], Value::Null);
    let report = reconcile(&db, &everywhere, 1, &["--dry-run"]).await;
    assert_eq!(report["negative"], 2);
    assert_eq!(open(&db).await, "");
    reconcile(&db, &everywhere, 1, &[]).await;
    assert_eq!(open(&db).await, "negative bolt -3, negative bolt -7");
    // Another organization's run looks at none of these, and ends none of them.
    reconcile(&db, &everywhere, 0, &["--org", "zeta"]).await;
    assert_eq!(open(&db).await, "negative bolt -3, negative bolt -7");
    reconcile(&db, &reported, 1, &[]).await;
    assert_eq!(open(&db).await, "negative bolt -3");
    reconcile(&db, &allowed, 0, &[]).await;
    assert_eq!(open(&db).await, "");
    let useless = config("[reconcile]\nnegative_locations = [\"l2\"]\n");
    db.run("reconcile-balances").folder(&useless).await.refuses(2, "reconcile.negative_locations");
}

#[tokio::test]
async fn records_of_an_older_release_are_named() {
    let db = below_zero().await;
    db.execute(include_str!("../../../../migrations/20260114000000_archived_partitions.down.sql")).await;
    db.execute(include_str!("../../../../migrations/20260113000000_closings.down.sql")).await;
    db.run("reconcile-balances").await.refuses(
        3,
        "of an earlier release: stockfoil.finding_open_key_of_sort is missing; run migrate-all first",
    );
    db.run("migrate-balance").await.ok();
    db.run("reconcile-balances").await.ok();
}
