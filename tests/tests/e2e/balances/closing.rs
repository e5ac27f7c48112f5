//! Closed periods: what is entered into them later is told, by the transaction that made it.

use serde_json::{Value, json};
use sqlx::Connection as _;
use testkit::TestDb;

use super::fixture::{backfilled, behind_the_triggers};

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

/// One entry of `bolt` at `l1` in acme's lot A, with its id and time.
fn of(id: &str, quantity: &str, at: &str) -> String {
    format!(
        "INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical, created_at)
         VALUES ('{id}', 'acme', 'bolt', 'l1', 'A', {quantity}, {at});"
    )
}

/// Entries of 2025 and of now; each key has some of both years.
async fn two_years() -> TestDb {
    let db = backfilled().await;
    db.execute("UPDATE inventory_ledger SET created_at = '2025-01-01T12:00Z'::timestamptz + qty_canonical * interval '1 day' WHERE qty_canonical > 0").await;
    db.run("reconcile-balances").await.ok();
    db
}

/// The open findings of closed entries: item, location, lot, and both sums.
const OPEN: &str =
    "SELECT item_id, location_id, coalesce(lot_id, '-'), trim_scale(ledger_qty - coalesce(sealed_qty, 0))
     FROM stockfoil.finding WHERE closed_run IS NULL AND kind = 'backdated' ORDER BY 1, 2, 3";

#[tokio::test]
async fn what_is_entered_for_a_closed_time_is_told_until_it_is_taken_back_or_accepted() {
    let db = two_years().await;
    // Begun before the closing, with a time before it; it commits afterwards.
    let mut slow = db.connect().await;
    let mut transaction = slow.begin().await.unwrap();
    sqlx::query("INSERT INTO inventory_ledger (id, org_id, item_id, location_id, qty_canonical, created_at) VALUES ('slow', 'acme', 'nut', 'l2', 1, '2025-03-01Z')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let report = reconcile(&db, 0, &["--close", "2025-05"]).await;
    assert_eq!(report["closing"]["closed_before"], "2025-06-01T00:00:00Z");
    let as_of =
        db.run("reconcile-balances").args(["--as-of", "2025-05-31", "--format", "json"]).await.ok().json();
    let told: Vec<_> =
        as_of["balances"].as_array().unwrap().iter().map(|b| b["quantity"].as_str().unwrap()).collect();
    assert_eq!(report["closing"]["keys"], told.len());
    let closed = "SELECT trim_scale(quantity) FROM stockfoil.closing_balance
                  ORDER BY org_id COLLATE \"C\", item_id COLLATE \"C\", location_id COLLATE \"C\", lot_id COLLATE \"C\"";
    assert_eq!(db.rows(closed).await.concat(), told);
    assert_eq!(reconcile(&db, 0, &[]).await["backdated"], 0);

    // What is made now for now is no matter, also of a clock that is wrong.
    db.execute(of("now", "4", "now()")).await;
    assert_eq!(reconcile(&db, 0, &[]).await["backdated"], 0);
    transaction.commit().await.unwrap();
    db.execute(of("late", "2.5", "'2025-05-31T23:59:59.999999Z'") + &of("open", "1", "'2025-06-01Z'")).await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(
        (&report["backdated"], &report["unresolved"], &report["full"]),
        (&json!(2), &json!(0), &Value::Null)
    );
    let first = &report["listed_backdated"][0];
    assert_eq!(first["key"], "acme/bolt/l1/A");
    assert_eq!(
        first["entries"],
        json!([{ "id": "late", "quantity": "2.5", "created_at": "2025-05-31T23:59:59.999999Z" }])
    );
    assert_eq!(report["listed_backdated"][1]["entries"][0]["id"], "slow");
    assert_eq!(db.rows(OPEN).await, [["bolt", "l1", "A", "2.5"], ["nut", "l2", "-", "1"]]);
    assert_eq!(db.value("SELECT string_agg(key, ' ') FROM stockfoil.alert_state").await, "backdated");
    let metrics = db.run("reconcile-balances").args(["--format", "prometheus"]).await.status(1);
    assert!(metrics.stdout.contains("stockfoil_reconcile_backdated 2"), "{}", metrics.stdout);
    db.run("reconcile-balances").arg("--dry-run").await.status(1).says("entry late of 2025-05-31");
    // A closing does not swallow it unasked.
    let report = reconcile(&db, 1, &["--close", "2025-06"]).await;
    assert!(
        report["closing"]["not_closed"].as_str().unwrap().contains("closed entries of 2 keys were changed")
    );

    db.execute("DELETE FROM inventory_ledger WHERE id = 'late'").await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!((&report["backdated"], &report["findings"]["closed"]), (&json!(1), &json!(1)));
    let report = reconcile(&db, 0, &["--close", "2025-05-31", "--accept-backdated"]).await;
    assert_eq!((&report["backdated"], &report["closing"]["not_closed"]), (&json!(0), &Value::Null));
    assert_eq!(db.rows(OPEN).await, [[""; 0]; 0]);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state WHERE key = 'backdated'").await, "0");
    reconcile(&db, 0, &["--full"]).await;
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn changes_of_closed_entries_are_told_however_they_were_made() {
    let db = two_years().await;
    db.execute(of("a", "3", "'2025-02-01Z'") + &of("b", "4", "'2025-02-02Z'") + &of("c", "1", "now()")).await;
    reconcile(&db, 0, &["--close", "2025-05"]).await;
    for (change, undo) in [
        // It cancels out.
        ("UPDATE inventory_ledger SET qty_canonical = 7 - qty_canonical WHERE id IN ('a', 'b')", ""),
        (
            "UPDATE inventory_ledger SET created_at = '2026-02-02Z' WHERE id = 'a'",
            "UPDATE inventory_ledger SET created_at = '2025-02-02Z' WHERE id = 'a'",
        ),
        (
            "UPDATE inventory_ledger SET created_at = NULL WHERE id = 'c'",
            "UPDATE inventory_ledger SET created_at = now() WHERE id = 'c'",
        ),
    ] {
        if change.contains("NULL") {
            db.execute("ALTER TABLE inventory_ledger ALTER created_at DROP NOT NULL").await;
        }
        db.execute(change).await;
        let report = reconcile(&db, 1, &[]).await;
        assert_eq!((&report["backdated"], &report["full"]), (&json!(1), &Value::Null), "{change}");
        assert_eq!(reconcile(&db, 1, &[]).await["findings"]["seen_again"], 1, "{change}");
        db.execute(if undo.is_empty() { change } else { undo }).await;
        assert_eq!(reconcile(&db, 0, &[]).await["backdated"], 0, "{change}");
    }
    // Another organization's run looks at none of these; one of its own does, and a run that reads everything.
    db.execute("DELETE FROM inventory_ledger WHERE id = 'b'").await;
    assert_eq!(reconcile(&db, 0, &["--org", "zeta"]).await["backdated"], 0);
    assert_eq!(reconcile(&db, 1, &["--org", "acme"]).await["backdated"], 1);
    assert_eq!(reconcile(&db, 0, &["--org", "zeta"]).await["findings"]["closed"], 0);
    assert_eq!(reconcile(&db, 1, &["--full"]).await["backdated"], 1);
    // What nobody saw change is found where everything is read.
    behind_the_triggers(
        &db,
        "DELETE FROM inventory_ledger WHERE org_id = 'zeta' AND created_at < '2025-02-01Z'",
    )
    .await;
    let report = reconcile(&db, 1, &["--full", "--fix-large"]).await;
    assert!(report["backdated"].as_u64().unwrap() > 1, "{report}");
}

#[tokio::test]
async fn a_killed_run_loses_no_change_of_closed_entries() {
    let db = two_years().await;
    reconcile(&db, 0, &["--close", "2025-05"]).await;
    db.execute(of("late", "2", "'2025-05-01Z'")).await;
    // A run that ends before it told anybody has recorded it, and the next reads it again.
    db.execute(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'stopped'; END $$;
                CREATE TRIGGER stop BEFORE UPDATE ON stockfoil.run FOR EACH ROW EXECUTE FUNCTION stop()",
    )
    .await;
    db.run("reconcile-balances").await.status(3);
    db.execute("DROP TRIGGER stop ON stockfoil.run").await;
    assert_eq!(db.rows(OPEN).await, [["bolt", "l1", "A", "2"]]);
    assert_eq!(reconcile(&db, 1, &[]).await["backdated"], 1);
    db.run("backfill-balances").await.ok();
    db.execute("DELETE FROM inventory_ledger WHERE id = 'late'").await;
    db.run("backfill-balances").await.ok();
    assert_eq!(reconcile(&db, 0, &[]).await["backdated"], 0);
}

#[tokio::test]
async fn what_cant_be_closed_is_refused_or_told() {
    let db = two_years().await;
    for (period, why) in
        [("2999-01", "that is yet to come"), ("2025", "is no period"), ("2025-05-01T00:00", "is no period")]
    {
        db.run("reconcile-balances").args(["--close", period]).await.refuses(2, why);
    }
    for others in
        [&["--dry-run"][..], &["--org", "acme"], &["--explain", "acme/bolt/l1/A"], &["--as-of", "2025-01-01"]]
    {
        db.run("reconcile-balances")
            .args(["--close", "2025-05"])
            .args(others)
            .await
            .refuses(2, "exclude each other");
    }
    db.run("reconcile-balances").arg("--accept-backdated").await.refuses(2, "goes with --close");
    db.run("reconcile-balances")
        .args(["--accept-backdated", "--as-of", "2025-01-01"])
        .await
        .refuses(2, "--as-of and --accept-backdated exclude each other");
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 3 WHERE item_id = 'bolt'")
        .await;
    let report = reconcile(&db, 1, &["--close", "2025-05"]).await;
    assert!(report["closing"]["not_closed"].as_str().unwrap().contains("differences are open"));
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.closing").await, "0");
    reconcile(&db, 0, &["--fix-large", "--close", "2025-05"]).await;
    db.run("reconcile-balances")
        .args(["--close", "2025-04"])
        .await
        .refuses(2, "it is closed before 2025-06-01T00:00:00Z already");
    for (text, why) in [
        ("created_at = false", "does not say when an entry was made"),
        ("incremental = false", "which transaction made them"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), format!("[ledger]\n{text}\n")).unwrap();
        db.run("reconcile-balances").folder(&folder).args(["--close", "2025-06"]).await.refuses(2, why);
    }
    // Under another mapping nothing can be told of what was closed.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        "[ledger]\nwhere = { sql = \"qty_canonical <> 0\" }\n",
    )
    .unwrap();
    db.run("migrate-balance").folder(&folder).await.ok();
    db.run("backfill-balances").folder(&folder).await.ok();
    db.run("reconcile-balances").folder(&folder).await.status(1).says("were closed under another mapping");
    db.run("reconcile-balances").folder(&folder).args(["--close", "2025-05"]).await.ok();
    db.run("reconcile-balances").folder(&folder).await.ok();
}
