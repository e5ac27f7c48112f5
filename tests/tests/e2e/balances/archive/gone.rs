//! Partitions that were detached without being brought forward.

use serde_json::{Value, json};

use super::{SHAPE, all_is_well, archive, as_of, closed, reconcile};
use crate::balances::fixture::behind_the_triggers;

#[tokio::test]
async fn a_closed_partition_that_was_detached_takes_no_stock_along() {
    let db = closed().await;
    let stored = "SELECT org_id, item_id, location_id, lot_key, qty_canonical FROM inventory_balances ORDER BY 1, 2, 3, 4";
    let (before, march) = (db.rows(stored).await, as_of(&db, "2025-03-20").await);
    db.execute("ALTER TABLE inventory_ledger DETACH PARTITION ledger_2025_02").await;
    // Nothing takes the stock that its entries brought: neither run, nor what corrects small things or everything.
    for args in [
        &["--dry-run"][..],
        &["--fix-large"],
        &["--fix-large", "--tolerance", "100000"],
        &["--fix-by-entry", "why"],
        &["--org", "acme", "--fix-large"],
        &["--full"],
    ] {
        let report = reconcile(&db, 1, args).await;
        assert_eq!(report["gone_partitions"][0]["name"], "ledger_2025_02", "{args:?} {report}");
        assert_eq!(
            (&report["repaired"], &report["listed"][0]["is_held"]),
            (&json!(0), &json!(true)),
            "{args:?}"
        );
        assert_eq!(db.rows(stored).await, before, "{args:?}");
    }
    let run = db.run("reconcile-balances").await.status(1);
    run.says("closed partition ledger_2025_02 is no part of the ledger any more")
        .says("--archive ledger_2025_02");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state WHERE key = 'partitions'").await, "1");
    db.run("backfill-balances").await.status(1).says("ledger_2025_02 is no part of the ledger any more");
    db.run("backfill-balances").args(["--org", "acme"]).await.status(1);
    assert_eq!(db.rows(stored).await, before);
    let report = reconcile(&db, 1, &["--close", "2025-04"]).await;
    assert!(report["closing"]["not_closed"].as_str().unwrap().contains("differences are open"));

    // Attached again as it was, everything is as before.
    db.execute("ALTER TABLE inventory_ledger ATTACH PARTITION ledger_2025_02 FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z')").await;
    all_is_well(&db).await;
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state WHERE key = 'partitions'").await, "0");

    // Detached, its sums are brought forward; what was entered into the closed time since is none of them.
    db.execute("ALTER TABLE inventory_ledger DETACH PARTITION ledger_2025_02").await;
    reconcile(&db, 1, &[]).await;
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at) VALUES ('acme', 'nut', 'l2', 1, '2025-03-05Z')").await;
    let report = archive(&db, "ledger_2025_02").await;
    assert_eq!(
        (&report["was"], &report["archived_as"], &report["entries"]),
        (&json!("detached"), &json!("ledger_2025_02_archived"), &json!(302))
    );
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(
        (&report["unresolved"], &report["backdated"], &report["gone_partitions"]),
        (&json!(0), &json!(1), &json!([]))
    );
    db.execute("DELETE FROM inventory_ledger WHERE item_id = 'nut' AND created_at = '2025-03-05Z'").await;
    assert_eq!(db.rows(stored).await, before);
    assert_eq!(as_of(&db, "2025-03-20").await, march);
    all_is_well(&db).await;
}

#[tokio::test]
async fn partitions_that_were_dropped_are_brought_forward_from_the_closing() {
    let db = closed().await;
    let stored = "SELECT org_id, item_id, location_id, lot_key, qty_canonical FROM inventory_balances ORDER BY 1, 2, 3, 4";
    let (before, april, shape) = (
        db.rows(stored).await,
        as_of(&db, "2025-04-20").await,
        db.value(format!("{SHAPE} 'ledger_2025_03'")).await,
    );
    db.execute("DROP TABLE ledger_2025_02; DROP TABLE ledger_2025_03").await;
    let report = reconcile(&db, 1, &["--fix-large"]).await;
    assert_eq!(report["gone_partitions"].as_array().map(Vec::len), Some(2));
    assert_eq!(db.rows(stored).await, before);
    // Which of both held what is not known any more: the newest brings all of it forward.
    db.run("reconcile-balances")
        .args(["--archive", "ledger_2025_02"])
        .await
        .refuses(2, "--archive ledger_2025_03");
    // A balance that something else changed is not explained by what is gone.
    behind_the_triggers(&db, "UPDATE inventory_balances SET qty_canonical = qty_canonical + 3 WHERE org_id = 'zeta' AND item_id = 'nut'").await;
    db.run("reconcile-balances")
        .args(["--archive", "ledger_2025_03"])
        .await
        .refuses(2, "by more than the entries that are gone");
    behind_the_triggers(&db, "UPDATE inventory_balances SET qty_canonical = qty_canonical - 3 WHERE org_id = 'zeta' AND item_id = 'nut'").await;
    let report = archive(&db, "ledger_2025_03").await;
    assert_eq!(
        (&report["was"], &report["archived_as"], &report["entries"]),
        (&json!("dropped"), &Value::Null, &json!(602))
    );
    assert_eq!(db.rows(stored).await, before);
    assert_eq!(as_of(&db, "2025-04-20").await, april);
    assert_eq!(db.value(format!("{SHAPE} 'ledger_2025_03'")).await, shape);
    all_is_well(&db).await;
}
