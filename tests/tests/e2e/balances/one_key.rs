//! What one key holds, or can't be given, harms no other.

use testkit::TestDb;

use super::fixture::{behind_the_triggers, entry, inventory, wrong_keys};

const HUGE: &str = "acme/bolt/l1/A";

/// Entries whose sum is no `numeric`, beside others.
async fn overflowing() -> TestDb {
    let db = inventory().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    behind_the_triggers(
        &db,
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
         SELECT 'acme', 'bolt', 'l1', 'A', '9e131071'::numeric FROM generate_series(1, 2);
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical)
         SELECT (ARRAY['acme', 'zeta', 'default'])[1 + n % 3], 'nut', 'l' || 1 + n % 2, n FROM generate_series(1, 60) AS n",
    )
    .await;
    db
}

#[tokio::test]
async fn a_sum_that_overflows_is_named_and_the_others_are_done() {
    let db = overflowing().await;
    db.run("backfill-balances").arg("--dry-run").await.status(1).says("1 keys hold what is no number");
    let run = db.run("backfill-balances").await.status(1);
    run.says("1 keys hold what is no number").tells("a sum is too large for numeric");
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'nut'").await, "6");
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001 WHERE (org_id, location_id) = ('zeta', 'l1')")
        .await;
    for args in [["--dry-run"].as_slice(), &[], &["--full"], &[]] {
        let run = db.run("reconcile-balances").args(args).args(["--format", "json"]).await.status(1);
        let report = run.tells("a sum is too large for numeric").json();
        assert_eq!(report["differences"]["not_a_number"], 1, "{report}");
        assert_eq!(report["unresolved"], 1, "{report}");
        assert_eq!(report["listed"][0]["key"], HUGE, "{report}");
    }
    let right = "SELECT count(*) FROM inventory_balances AS b
                 WHERE item_id = 'nut' AND qty_canonical = (SELECT sum(qty_canonical) FROM inventory_ledger AS l
                                                            WHERE (l.org_id, l.item_id, l.location_id) = (b.org_id, b.item_id, b.location_id))";
    assert_eq!(db.value(right).await, "6");
    db.run("reconcile-balances").args(["--explain", HUGE]).await.status(1);
    let told = db.run("reconcile-balances").args(["--as-of", "2100-01-01T00:00Z"]).await;
    assert!(told.stderr.contains("yet to come"), "{}", told.stderr);
    let now = db
        .value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        .await;
    db.run("reconcile-balances").args(["--as-of", &now, "--org", "acme"]).await.ok();
    // Others are written as ever.
    db.execute(entry("nut", "NULL", "5")).await;
    // Once the entries are corrected, all is well.
    behind_the_triggers(&db, "UPDATE inventory_ledger SET qty_canonical = 1 WHERE lot_id = 'A'").await;
    db.run("reconcile-balances").args(["--fix-large", "--full"]).await;
    db.run("reconcile-balances").arg("--full").await.ok().says(": 0 differ");
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn a_balance_that_the_server_refuses_is_named_and_the_others_are_written() {
    let db = inventory().await;
    db.execute(
        "ALTER TABLE inventory_balances ADD CONSTRAINT no_77 CHECK (qty_canonical <> 77);
         CREATE FUNCTION refuse_ore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''ore is not kept here'' USING ERRCODE = ''45000''; END';
         CREATE TRIGGER refuse_ore BEFORE INSERT OR UPDATE ON inventory_balances FOR EACH ROW WHEN (NEW.item_id = 'ore') EXECUTE FUNCTION refuse_ore();",
    )
    .await;
    behind_the_triggers(
        &db,
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
         SELECT 'acme', 'nut', 'l1', 'lot ' || n, CASE n WHEN 500 THEN 77 ELSE n + 1000 END FROM generate_series(1, 900) AS n;
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('acme', 'ore', 'l2', 3)",
    )
    .await;
    let report = db.run("backfill-balances").args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["rows"], 899, "{report}");
    assert_eq!(report["still_lacking"], 2, "{report}");
    assert_eq!(report["refused"][0]["key"], "acme/nut/l1/lot%20500", "{report}");
    assert!(report["refused"][0]["error"].as_str().unwrap().contains("no_77"), "{report}");
    assert!(report["refused"][1]["error"].as_str().unwrap().contains("ore is not kept here"), "{report}");
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances").await, "899");
    db.run("backfill-balances").await.status(1).says("acme/ore/l2 could not be written");
    // The same where a nightly run repairs.
    db.execute(
        "ALTER TABLE inventory_balances DROP CONSTRAINT no_77; DROP TRIGGER refuse_ore ON inventory_balances",
    )
    .await;
    db.run("backfill-balances").await.ok();
    db.execute(
        "UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001;
         ALTER TABLE inventory_balances ADD CONSTRAINT no_77 CHECK (qty_canonical <> 77) NOT VALID",
    )
    .await;
    let run = db.run("reconcile-balances").args(["--format", "json"]).await.status(1);
    let report = run.json();
    assert_eq!(report["repaired"], 900, "{report}");
    assert_eq!(report["unresolved"], 1, "{report}");
    assert!(report["listed"][0]["repair_error"].as_str().unwrap().contains("no_77"), "{report}");
    assert_eq!(wrong_keys(&db).await.len(), 1);
    db.run("reconcile-balances").await.status(1).says("it could not be corrected");
}
