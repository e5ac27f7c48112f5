//! reconcile-balances: every difference is found, told what it is, and mended or left alone.

use serde_json::{Value, json};
use testkit::TestDb;

use super::fixture::{backfilled, behind_the_triggers, entry, inventory, not_backfilled, wrong_keys};

const KEY: &str = "org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_key = 'A'";

/// Adds `quantity` to one balance, behind the ledger's back.
async fn damage(db: &TestDb, quantity: &str) {
    let changed = db
        .rows(format!(
            "WITH d AS (UPDATE inventory_balances SET qty_canonical = qty_canonical + {quantity} WHERE {KEY} RETURNING 1) SELECT count(*) FROM d"
        ))
        .await;
    assert_eq!(changed, [["1"]]);
}

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

async fn findings(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT kind, trim_scale(ledger_qty), trim_scale(balance_qty), repaired, closed_run IS NOT NULL
         FROM stockfoil.finding ORDER BY id",
    )
    .await
}

/// A backfilled inventory in which there is something at `KEY`.
async fn exact() -> TestDb {
    let db = inventory().await;
    db.run("backfill-balances").await.ok();
    db.execute(entry("bolt", "NULL", "5") + &entry("nut", "NULL", "3")).await;
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, created_at)
                VALUES ('acme', 'bolt', 'l1', 'A', 60, '2026-01-01'), ('acme', 'bolt', 'l1', 'A', 40, '2026-01-02')")
        .await;
    db
}

#[tokio::test]
async fn balances_that_match_are_clean() {
    let db = backfilled().await;
    db.run("reconcile-balances").await.ok().says("ledger and balances match");
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!(report["schema"], "stockfoil.reconcile/1");
    assert_eq!(report["outcome"], "clean");
    assert_eq!(
        report["balances"],
        json!(db.value("SELECT count(*) FROM inventory_balances").await.parse::<u64>().unwrap())
    );
    assert_eq!(
        db.value("SELECT string_agg(outcome, ' ' ORDER BY id) FROM stockfoil.run").await,
        "clean clean clean"
    );
}

#[tokio::test]
async fn a_small_difference_is_corrected_and_recorded() {
    let db = exact().await;
    damage(&db, "0.009999").await;
    db.run("reconcile-balances").await.ok().says("1 small (below the tolerance)").says("1 corrected");
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(findings(&db).await, [["small", "100", "100.009999", "t", "f"]]);
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!(report["findings"], json!({ "opened": 0, "seen_again": 0, "closed": 1 }));
    assert_eq!(findings(&db).await, [["small", "100", "100.009999", "t", "t"]]);
}

#[tokio::test]
async fn a_large_difference_is_reported_and_left_alone() {
    let db = exact().await;
    // Exactly the tolerance is not small.
    damage(&db, "-0.01").await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["outcome"], "findings");
    assert_eq!(report["differences"]["large"], 1);
    let listed = &report["listed"][0];
    assert_eq!(
        (
            &listed["kind"],
            &listed["org_id"],
            &listed["lot_id"],
            &listed["ledger_qty"],
            &listed["balance_qty"],
            &listed["drift"]
        ),
        (&json!("large"), &json!("acme"), &json!("A"), &json!("100"), &json!("99.99"), &json!("0.01"))
    );
    let newest: Vec<&Value> =
        listed["newest_entries"].as_array().unwrap().iter().map(|entry| &entry["quantity"]).collect();
    assert_eq!(newest, [&json!("40"), &json!("60")]);
    assert_eq!(wrong_keys(&db).await.len(), 1);
    assert_eq!(report["alerts"][0]["key"], "balances/acme");
    assert_eq!(report["alerts"][0]["severity"], "critical");

    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["findings"], json!({ "opened": 0, "seen_again": 1, "closed": 0 }));
    assert_eq!(findings(&db).await, [["large", "100", "99.99", "f", "f"]]);
    db.run("reconcile-balances").arg("--fix-large").await.ok().says("1 large").says("1 corrected");
    assert!(wrong_keys(&db).await.is_empty());
    reconcile(&db, 0, &[]).await;
    assert_eq!(findings(&db).await, [["large", "100", "99.99", "t", "t"]]);
}

#[tokio::test]
async fn the_tolerance_decides_what_is_small() {
    let db = exact().await;
    damage(&db, "0.5").await;
    assert_eq!(reconcile(&db, 1, &["--tolerance", "0.5"]).await["differences"]["large"], 1);
    assert_eq!(reconcile(&db, 0, &["--tolerance", "0.500001"]).await["repaired"], 1);
    damage(&db, "0.000001").await;
    assert_eq!(reconcile(&db, 1, &["--tolerance=0"]).await["differences"]["large"], 1);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[reconcile]\ntolerance = \"0.000001\"\n").unwrap();
    db.run("reconcile-balances").folder(&folder).await.status(1).says("tolerance 0.000001");
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn an_orphan_is_reported() {
    let db = exact().await;
    db.execute("INSERT INTO inventory_balances (org_id, item_id, location_id, qty_canonical) VALUES ('zeta', 'ghost', 'l1', 7)").await;
    db.run("reconcile-balances")
        .await
        .status(1)
        .says("1 orphan (a balance without ledger entries)")
        .says("ghost");
    assert_eq!(
        db.value("SELECT trim_scale(qty_canonical) FROM inventory_balances WHERE item_id = 'ghost'").await,
        "7"
    );
    assert_eq!(findings(&db).await, [["orphan", "", "7", "f", "f"]]);
    // Pruning takes only what holds nothing.
    reconcile(&db, 1, &["--prune-orphans"]).await;
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'ghost'").await, "1");
    assert_eq!(reconcile(&db, 0, &["--fix-large"]).await["repaired"], 1);
    assert_eq!(reconcile(&db, 0, &["--prune-orphans"]).await["pruned"], 1);
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'ghost'").await, "0");
}

#[tokio::test]
async fn a_row_of_zero_whose_entries_are_gone_is_in_order() {
    let db = exact().await;
    db.execute("DELETE FROM inventory_ledger WHERE item_id = 'nut'").await;
    // Where only what is new is read, they are in no total.
    assert!(reconcile(&db, 0, &[]).await["differences"]["empty"].is_null());
    db.run("reconcile-balances")
        .arg("--full")
        .await
        .ok()
        .says("1 balances are zero and their keys have no entry");
    assert!(findings(&db).await.is_empty());
    db.run("reconcile-balances")
        .args(["--prune-orphans", "--dry-run"])
        .await
        .ok()
        .says("1 empty balances would be removed");
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'nut'").await, "1");
    db.run("reconcile-balances").arg("--prune-orphans").await.ok().says("1 empty balances removed");
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'nut'").await, "0");
    db.execute(entry("nut", "NULL", "2")).await;
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn a_missing_balance_counts_by_its_size() {
    let db = exact().await;
    behind_the_triggers(
        &db,
        &(entry("ore", "NULL", "0.001") + &entry("ore", "'Z'", "0") + &entry("ore", "'L'", "12")),
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(
        (&report["differences"]["missing"], &report["repaired"], &report["unresolved"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(report["listed"][0]["balance_qty"], Value::Null);
    assert_eq!(wrong_keys(&db).await.len(), 1);
    reconcile(&db, 0, &["--fix-large"]).await;
    assert!(wrong_keys(&db).await.is_empty());
}

#[tokio::test]
async fn entries_that_are_no_numbers_are_findings() {
    let db = exact().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    behind_the_triggers(
        &db,
        &(entry("ore", "NULL", "NaN") + &entry("ore", "'I'", "Infinity") + &entry("bolt", "NULL", "0.001")),
    )
    .await;
    let report = reconcile(&db, 1, &["--fix-large"]).await;
    assert_eq!((&report["differences"]["not_a_number"], &report["repaired"]), (&json!(2), &json!(1)));
    let quantities: Vec<&Value> =
        report["listed"].as_array().unwrap().iter().map(|listed| &listed["ledger_qty"]).collect();
    assert_eq!(quantities, [&json!("NaN"), &json!("Infinity"), &json!("5.001")]);
    db.execute("DELETE FROM inventory_ledger WHERE item_id = 'ore'").await;
    assert_eq!(reconcile(&db, 0, &[]).await["findings"]["closed"], 3);
}

#[tokio::test]
async fn differences_of_many_digits_are_exact() {
    let db = exact().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    db.execute(entry("ore", "NULL", "1234567890123456789012345678901234567890.5")).await;
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.0000000000000000000000000001 WHERE item_id = 'ore'").await;
    let report = reconcile(&db, 1, &["--tolerance", "0.0000000000000000000000000001"]).await;
    assert_eq!(report["listed"][0]["drift"], "-0.0000000000000000000000000001");
    assert_eq!(reconcile(&db, 0, &[]).await["repaired"], 1);
    assert!(wrong_keys(&db).await.is_empty());
}

#[tokio::test]
async fn a_dry_run_changes_records_and_alerts_nothing() {
    let db = exact().await;
    damage(&db, "0.001").await;
    db.execute("UPDATE inventory_balances SET qty_canonical = 9 WHERE item_id = 'nut'").await;
    let runs = db.value("SELECT count(*) FROM stockfoil.run").await;
    let report = reconcile(&db, 1, &["--dry-run"]).await;
    assert_eq!(
        (&report["repaired"], &report["unresolved"], &report["run_id"]),
        (&json!(1), &json!(1), &Value::Null)
    );
    assert_eq!(report["alerts"], json!([]));
    assert_eq!(wrong_keys(&db).await.len(), 2);
    assert!(findings(&db).await.is_empty());
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.run").await, runs);
}

#[tokio::test]
async fn one_organization_is_compared_alone() {
    let db = exact().await;
    damage(&db, "5").await;
    db.execute("UPDATE inventory_balances SET qty_canonical = 9 WHERE item_id = 'nut'").await;
    reconcile(&db, 1, &[]).await;
    reconcile(&db, 0, &["--org", "zeta"]).await;
    assert_eq!(reconcile(&db, 1, &["--org", "acme"]).await["differences"]["large"], 1);
    reconcile(&db, 0, &["--org", "acme", "--fix-large"]).await;
    // The other organization's finding stays open.
    assert_eq!(reconcile(&db, 0, &["--org", "acme"]).await["findings"]["closed"], 1);
    assert_eq!(
        db.value("SELECT string_agg(org_id, ' ') FROM stockfoil.finding WHERE closed_run IS NULL").await,
        "default"
    );
}

#[tokio::test]
async fn what_was_never_backfilled_is_told_apart_from_what_is_wrong() {
    let db = not_backfilled().await;
    db.run("reconcile-balances")
        .await
        .refuses(3, "were never backfilled, so a difference says nothing; run backfill-balances first");
    db.run("backfill-balances").args(["--org", "acme"]).await.ok();
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["not_backfilled"], json!(["default", "zeta"]));
    assert_eq!((&report["unresolved"], &report["repaired"]), (&json!(0), &json!(0)));
    reconcile(&db, 0, &["--org", "acme"]).await;
    db.run("reconcile-balances")
        .await
        .status(1)
        .says("organization zeta was never backfilled; run backfill-balances --org zeta");
    db.run("backfill-balances").await.ok();
    reconcile(&db, 0, &[]).await;
    // An organization that came after the triggers needs no backfill.
    db.execute("INSERT INTO organizations (id, name) VALUES ('late', 'Late')").await;
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('late', 'nut', 'l1', 1)").await;
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn a_trigger_that_does_not_work_is_reported() {
    let db = exact().await;
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert").await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["broken_parts"][0]["name"], "inventory_ledger_balance_insert");
    assert_eq!(report["alerts"][0]["key"], "triggers");
    db.execute("DROP TRIGGER inventory_ledger_balance_insert ON inventory_ledger").await;
    db.execute(entry("nut", "NULL", "1")).await;
    let run = db.run("reconcile-balances").await.status(1).says("1 large");
    run.says(
        "trigger inventory_ledger_balance_insert is missing; run migrate-balance, then backfill-balances",
    );
    db.execute("TRUNCATE stockfoil.backfill").await;
    db.run("reconcile-balances")
        .await
        .refuses(3, "trigger inventory_ledger_balance_insert is missing; run migrate-balance first");
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok().says("1 written");
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn functions_of_another_release_are_told_from_triggers_that_do_not_work() {
    let db = exact().await;
    db.execute(
        "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('stockfoil.balance_on_insert'::regproc), 'RETURN NULL;', 'RETURN NULL; -- before'); END $$",
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["broken_parts"][0]["name"], "balance_on_insert");
    let alert = &report["alerts"][0];
    assert_eq!((&alert["key"], &alert["severity"]), (&json!("triggers"), &json!("warning")), "{alert}");
    let remedy = "functions that are not of this release: another release made them, or somebody changed them; migrate-balance renews them";
    let run = db.run("reconcile-balances").await.status(1).says("its body or its settings were changed");
    let run =
        run.says(remedy).tells(remedy).tells("the functions that keep the balances are not of this release");
    let all = format!("{}{}", run.stdout, run.stderr);
    assert!(!all.contains("backfill-balances") && !all.contains("not kept any more"), "{all}");
    let explained = db.run("reconcile-balances").args(["--explain", "acme/bolt/l1/A"]).await.status(1);
    let explained = explained.says(remedy);
    assert!(!explained.stdout.contains("backfill-balances"), "{}", explained.stdout);
    // A trigger that does not work is the graver of the two.
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert").await;
    let run =
        db.run("reconcile-balances").await.status(1).says("run migrate-balance, then backfill-balances");
    run.tells("balances are not kept any more: the ledger's triggers were changed");
    db.run("migrate-balance").await.ok();
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn prometheus_is_given_the_numbers() {
    let db = exact().await;
    damage(&db, "5").await;
    let run = db.run("reconcile-balances").args(["--format", "prometheus"]).await.status(1);
    let run = run
        .says("stockfoil_reconcile_differences{kind=\"large\"} 1\n")
        .says("stockfoil_reconcile_balances 3\n");
    assert_eq!(run.stdout.matches("# TYPE stockfoil_reconcile_differences gauge").count(), 1);
}

#[tokio::test]
async fn a_textfile_is_whole_and_readable_by_its_collector() {
    use std::os::unix::fs::PermissionsExt as _;
    let db = exact().await;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    std::fs::write(folder.path().join("stockfoil.prom"), "old\n").unwrap();
    for (format, name) in [("prometheus", "stockfoil.prom"), ("json", "report.json")] {
        let run = db.run("reconcile-balances").args(["--format", format, "--output"]);
        let run = run.arg(folder.path().join(name)).await.ok();
        assert_eq!(run.stdout, "");
    }
    // As any file that this process makes; other results are for whoever asked.
    std::fs::write(folder.path().join("plain"), "").unwrap();
    assert_eq!(mode("stockfoil.prom"), mode("plain"));
    assert_eq!(mode("report.json"), 0o600);
    let text = std::fs::read_to_string(folder.path().join("stockfoil.prom")).unwrap();
    assert!(text.starts_with("# HELP stockfoil_reconcile_differences ") && text.ends_with('\n'), "{text}");
    let mut names: Vec<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["plain", "report.json", "stockfoil.prom"], "nothing is left beside them");
}

#[tokio::test]
async fn thousands_of_differences_are_all_recorded() {
    let db = exact().await;
    behind_the_triggers(
        &db,
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
         SELECT CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'zeta' END, 'ore', 'l2', 'lot ' || n, n % 3 * 0.009 FROM generate_series(1, 5000) AS n",
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["differences"]["missing"], 5000);
    let large = db.value("SELECT count(*) FROM inventory_ledger WHERE qty_canonical = 0.018").await;
    assert_eq!(report["unresolved"].to_string(), large);
    assert_eq!(report["listed"].as_array().unwrap().len(), 1000);
    assert_eq!(report["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding").await, "5000");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding WHERE NOT repaired").await, large);
    assert_eq!(wrong_keys(&db).await.len().to_string(), large);
}

#[tokio::test]
async fn it_refuses_what_it_cannot_do() {
    let db = exact().await;
    for (args, status, words) in [
        (["--tolerance", "-1"], 2, "--tolerance: -1 is not a tolerance"),
        (["--tolerance", "NaN"], 2, "--tolerance: NaN is not a tolerance"),
        (["--batch-rows", "0"], 2, "a batch of 0 rows does nothing"),
        (["--tolerance", "abc"], 2, "\"abc\" is not a quantity"),
        (["--org", "nobody"], 2, "there is no organization with the id or subdomain \"nobody\""),
        (["--fixlarge", "x"], 2, "did you mean --fix-large?"),
    ] {
        db.run("reconcile-balances").args(args).await.refuses(status, words);
    }
    // A bad flag is told before anything is connected to.
    testkit::Binary::new("reconcile-balances")
        .args(["--tolerance", "-1"])
        .await
        .refuses(2, "is not a tolerance");
    testkit::Binary::new("reconcile-balances").await.refuses(2, "no database is configured");
    let mut other = db.connect().await;
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(0x7374_6f63_6b66_6f69_i64)
        .execute(&mut other)
        .await
        .unwrap();
    db.run("reconcile-balances").await.refuses(4, "another run holds the lock");
    db.run("reconcile-balances").arg("--dry-run").await.ok();
    drop(other);
    db.execute(format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name())).await;
    db.run("reconcile-balances").await.refuses(3, "is read-only");
    db.run("reconcile-balances").arg("--dry-run").await.ok();
    TestDb::empty().await.run("reconcile-balances").await.refuses(3, "has no table users");
    TestDb::inventory().await.run("reconcile-balances").await.refuses(3, "run migrate-balance first");
}
