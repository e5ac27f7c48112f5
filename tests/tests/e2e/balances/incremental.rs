//! reconcile-balances from its checkpoint: what is new is enough, and history is read again in turns.

use serde_json::{Value, json};
use sqlx::Executor as _;
use testkit::{Cluster, TestDb};

use super::fixture::{backfilled, behind_the_triggers, entry, inventory};

const KEY: &str = "org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_key = 'A'";

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

/// As `reconcile`, with the whole history read again at each run.
async fn reconcile_history(db: &TestDb, status: i32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[reconcile]\nhistory_runs = 1\n").unwrap();
    db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).await.status(status).json()
}

/// A backfilled inventory whose entries are sealed, read again by no run.
async fn sealed() -> TestDb {
    let db = backfilled().await;
    // A transaction under way in any database of the cluster holds the watermark back, those of other tests too.
    let is_sealed = "SELECT (SELECT watermark FROM stockfoil.checkpoint) > (SELECT max(stockfoil_tx) FROM inventory_ledger)";
    while db.value(is_sealed).await != "t" {
        incremental(&db, 0).await;
    }
    db
}

/// How many differences there are of each kind, without empty balances, which only a look at every key counts.
fn counts(report: &Value) -> Value {
    let mut counts = report["differences"].clone();
    counts.as_object_mut().unwrap().remove("empty").unwrap();
    counts
}

/// What the totals should be and are not, by an expression of the tests' own.
const WRONG_TOTALS: &str = "SELECT * FROM (
        SELECT org, count(*) AS rows, sum(quantity * hashtextextended(org COLLATE \"C\", hashtextextended(item COLLATE \"C\",
            hashtextextended(location COLLATE \"C\", hashtextextended(coalesce(lot, '') COLLATE \"C\", 0))))) AS total
        FROM stockfoil.checkpoint_sum GROUP BY org) AS s
    FULL JOIN stockfoil.checkpoint_total AS t USING (org)
    WHERE (s.rows, s.total) IS DISTINCT FROM (t.sealed_rows, t.hash_total)";

/// As [`unchecked`], of a checkpoint that nobody damaged: afterwards the totals are those of the sums, and no key is marked
/// but one that differs.
async fn incremental(db: &TestDb, status: i32) -> Value {
    let report = unchecked(db, status).await;
    assert_eq!(db.rows(WRONG_TOTALS).await, [[""; 0]; 0], "{report}");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.dirty_key").await, "0", "{report}");
    report
}

/// Without the turns, whose hits are chance, so that a test knows what a run reads.
async fn without_turns(db: &TestDb, status: i32, args: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[reconcile]\nhistory_runs = 0\n").unwrap();
    let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args).await;
    run.status(status).json()
}

/// The same of what is new alone.
async fn unchecked(db: &TestDb, status: i32) -> Value {
    let report = without_turns(db, status, &[]).await;
    assert_eq!(report["full"], Value::Null, "{report}");
    report
}

#[tokio::test]
async fn new_entries_and_damaged_balances_are_seen_without_history() {
    let db = sealed().await;
    db.execute(entry("bolt", "'A'", "2.5") + &entry("nut", "NULL", "-1")).await;
    let report = incremental(&db, 0).await;
    assert_eq!(report["marked_keys"], 0);
    db.execute(format!("UPDATE inventory_balances SET qty_canonical = qty_canonical + 7 WHERE {KEY}")).await;
    db.execute("INSERT INTO inventory_balances (org_id, item_id, location_id, qty_canonical) VALUES ('zeta', 'ghost', 'l1', 3)")
        .await;
    let report = incremental(&db, 1).await;
    assert_eq!(report["differences"]["large"], 1, "{report}");
    assert_eq!(report["differences"]["orphan"], 1, "{report}");
    // What was found by the short way is what the long way finds.
    let full = reconcile(&db, 1, &["--full"]).await;
    assert_eq!(full["full"], "asked");
    assert_eq!(counts(&full), counts(&report));
}

#[tokio::test]
async fn what_backfill_read_needs_no_second_reading() {
    let db = backfilled().await;
    assert_eq!(reconcile(&db, 0, &[]).await["full"], Value::Null);
    // A part is not sealed.
    let other = inventory().await;
    other.execute("DELETE FROM stockfoil.checkpoint").await;
    other.run("backfill-balances").args(["--org", "acme", "--org", "zeta", "--org", "default"]).await.ok();
    assert_eq!(reconcile(&other, 0, &[]).await["full"], "no_checkpoint");
}

#[tokio::test]
async fn differences_that_cancel_out_are_seen() {
    let db = sealed().await;
    db.execute(
        "WITH two AS (SELECT org_id, item_id, location_id, lot_key, row_number() OVER () AS n FROM inventory_balances WHERE org_id = 'acme' LIMIT 2)
         UPDATE inventory_balances AS b SET qty_canonical = b.qty_canonical + CASE n WHEN 1 THEN 5 ELSE -5 END
         FROM two WHERE (b.org_id, b.item_id, b.location_id, b.lot_key) = (two.org_id, two.item_id, two.location_id, two.lot_key)",
    )
    .await;
    let report = incremental(&db, 1).await;
    assert_eq!((&report["differences"]["large"], &report["differences"]["empty"]), (&json!(2), &Value::Null));
    let full = reconcile(&db, 1, &["--full"]).await;
    assert_eq!((counts(&full), &full["differences"]["empty"]), (counts(&report), &json!(0)));
}

#[tokio::test]
async fn more_differences_than_are_looked_up_are_all_found() {
    let db = sealed().await;
    db.execute(
        "INSERT INTO items (org_id, id, item_number, name) SELECT 'acme', 'item' || n, 'I-' || n, 'Item' FROM generate_series(1, 1500) AS n;
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical)
         SELECT 'acme', 'item' || n, 'l1', n FROM generate_series(1, 1500) AS n;
         UPDATE inventory_balances SET qty_canonical = qty_canonical + 1 WHERE item_id LIKE 'item%';
         DELETE FROM inventory_balances WHERE item_id LIKE 'item%7';",
    )
    .await;
    let report = incremental(&db, 1).await;
    assert_eq!(
        (&report["differences"]["large"], &report["differences"]["missing"]),
        (&json!(1350), &json!(150))
    );
    assert_eq!(counts(&reconcile(&db, 1, &["--full"]).await), counts(&report));
    // Few, and every one of them with a balance.
    let fixed = reconcile(&db, 0, &["--fix-large"]).await;
    assert_eq!(fixed["repaired"], 1500);
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 1 WHERE item_id LIKE 'item1_'")
        .await;
    assert_eq!(reconcile(&db, 1, &["--full"]).await["differences"]["large"], 10);
    assert_eq!(reconcile(&db, 1, &[]).await["differences"]["large"], 10);
}

#[tokio::test]
async fn a_changed_and_a_deleted_entry_are_summed_again_whatever_their_age() {
    let db = sealed().await;
    db.execute(format!(
        "UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1
         WHERE id = (SELECT min(id) FROM inventory_ledger WHERE {});
         UPDATE inventory_ledger SET location_id = 'l2' WHERE id = (SELECT max(id) FROM inventory_ledger WHERE {});
         DELETE FROM inventory_ledger WHERE org_id = 'zeta' AND item_id = 'ore'",
        KEY.replace("lot_key", "lot_id"),
        KEY.replace("lot_key", "lot_id"),
    ))
    .await;
    let report = incremental(&db, 0).await;
    assert!(report["marked_keys"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.dirty_key").await, "0");
    // Their sums are sealed as they are now.
    assert_eq!(incremental(&db, 0).await["marked_keys"], 0);
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
    db.execute(format!("UPDATE inventory_balances SET qty_canonical = qty_canonical - 3 WHERE {KEY}")).await;
    assert_eq!(incremental(&db, 1).await["differences"]["large"], 1);
}

#[tokio::test]
async fn a_slow_transaction_below_the_watermark_is_counted_when_it_commits() {
    let db = sealed().await;
    let mut slow = db.connect().await;
    slow.execute("BEGIN").await.unwrap();
    slow.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 4)",
    )
    .await
    .unwrap();
    // Others overtake it, and the checkpoint moves up to it and no further.
    db.execute(entry("nut", "NULL", "1")).await;
    incremental(&db, 0).await;
    db.execute(entry("nut", "NULL", "1")).await;
    incremental(&db, 0).await;
    slow.execute("COMMIT").await.unwrap();
    incremental(&db, 0).await;
    incremental(&db, 0).await;
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
    assert_eq!(reconcile(&db, 0, &["--full"]).await["unresolved"], 0);
}

#[tokio::test]
async fn history_changed_behind_the_triggers_is_found_in_its_turn_and_by_full() {
    let db = sealed().await;
    let id = db
        .value(format!("SELECT min(id) FROM inventory_ledger WHERE {}", KEY.replace("lot_key", "lot_id")))
        .await;
    behind_the_triggers(
        &db,
        &format!("UPDATE inventory_ledger SET qty_canonical = qty_canonical + 9 WHERE id = '{id}'"),
    )
    .await;
    assert_eq!(incremental(&db, 0).await["unresolved"], 0, "nothing said that this key changed");
    let report = reconcile_history(&db, 1).await;
    assert_eq!(report["changed_history"], 1, "{report}");
    assert_eq!(report["listed_history"][0]["item_id"], "bolt");
    assert_eq!(report["differences"]["large"], 1);
    // Sealed as it is now, it stays a difference until somebody mends it.
    let report = incremental(&db, 1).await;
    assert_eq!((&report["changed_history"], &report["differences"]["large"]), (&json!(0), &json!(1)));
    behind_the_triggers(
        &db,
        &format!("UPDATE inventory_ledger SET qty_canonical = qty_canonical - 9 WHERE id = '{id}'"),
    )
    .await;
    // The entries of a key that a run saw differ are read by each run until one finds it right.
    let report = without_turns(&db, 1, &["--full"]).await;
    assert_eq!((&report["changed_history"], &report["unresolved"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(report["findings"]["closed"], 1);
    without_turns(&db, 0, &[]).await;
    behind_the_triggers(
        &db,
        &format!("UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1, id = 'new' WHERE id = '{id}';
                  UPDATE inventory_ledger SET qty_canonical = qty_canonical - 1, id = '{id}' WHERE id = 'new'"),
    )
    .await;
    // Of others that is left to their organization's turn.
    assert_eq!(without_turns(&db, 0, &["--full"]).await["unresolved"], 0);
}

#[tokio::test]
async fn what_full_found_is_seen_by_the_short_way_from_then_on() {
    let db = sealed().await;
    behind_the_triggers(
        &db,
        "DELETE FROM inventory_ledger WHERE org_id = 'acme' AND item_id = 'bolt' AND lot_id = 'A'",
    )
    .await;
    assert_eq!(incremental(&db, 0).await["unresolved"], 0);
    let full = without_turns(&db, 1, &["--full"]).await;
    assert_eq!(full["differences"]["orphan"], 1, "{full}");
    assert_eq!(counts(&incremental(&db, 1).await), counts(&full));
}

#[tokio::test]
async fn changes_of_history_that_cancel_out_are_found_in_its_turn() {
    let db = sealed().await;
    behind_the_triggers(
        &db,
        "WITH two AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM inventory_ledger
                      WHERE org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A' LIMIT 2)
         UPDATE inventory_ledger AS l SET qty_canonical = qty_canonical + CASE n WHEN 1 THEN 5 ELSE -5 END
         FROM two WHERE l.id = two.id",
    )
    .await;
    assert_eq!(reconcile(&db, 0, &["--dry-run"]).await["full"], "partial");
    let report = reconcile_history(&db, 1).await;
    assert_eq!((&report["changed_history"], &report["unresolved"]), (&json!(1), &json!(0)), "{report}");
    let keys: Vec<&Value> = report["alerts"].as_array().unwrap().iter().map(|alert| &alert["key"]).collect();
    assert_eq!(keys, ["history"]);
    db.run("reconcile-balances").await.ok();
}

#[tokio::test]
async fn history_that_was_changed_along_with_its_balance_is_told() {
    let db = sealed().await;
    behind_the_triggers(
        &db,
        &format!(
            "UPDATE inventory_ledger SET qty_canonical = qty_canonical + 9
             WHERE id = (SELECT min(id) FROM inventory_ledger WHERE {});
             UPDATE inventory_balances SET qty_canonical = qty_canonical + 9 WHERE {KEY}",
            KEY.replace("lot_key", "lot_id")
        ),
    )
    .await;
    let report = without_turns(&db, 0, &[]).await;
    assert_eq!(report["unresolved"], 0, "the balance is right: {report}");
    // What is sealed is not, and that is told before it is sealed anew.
    let report = without_turns(&db, 1, &[]).await;
    assert_eq!((&report["changed_history"], &report["unresolved"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
}

#[tokio::test]
async fn entries_that_change_their_sign_behind_the_triggers_are_found() {
    let db = sealed().await;
    db.execute(entry("nut", "'swapped'", "5") + &entry("nut", "'swapped'", "-5")).await;
    while db.value("SELECT (SELECT watermark FROM stockfoil.checkpoint) > (SELECT max(stockfoil_tx) FROM inventory_ledger)").await != "t" {
        incremental(&db, 0).await;
    }
    behind_the_triggers(
        &db,
        "UPDATE inventory_ledger SET qty_canonical = -qty_canonical WHERE lot_id = 'swapped'",
    )
    .await;
    let report = reconcile_history(&db, 1).await;
    assert_eq!((&report["changed_history"], &report["unresolved"]), (&json!(1), &json!(0)), "{report}");
}

#[tokio::test]
async fn so_many_marks_that_reading_everything_costs_less() {
    let db = sealed().await;
    db.execute(
        "INSERT INTO stockfoil.dirty_key (org, item, location) SELECT 'acme', 'item' || n, 'l1' FROM generate_series(1, 100001) AS n",
    )
    .await;
    assert_eq!(reconcile(&db, 0, &[]).await["full"], "many_marks");
    incremental(&db, 0).await;
}

#[tokio::test]
async fn the_turn_goes_on_with_runs_that_read_history_alone() {
    let db = sealed().await;
    let round = async || db.value("SELECT round FROM stockfoil.checkpoint").await.parse::<i32>().unwrap();
    let before = round().await;
    incremental(&db, 0).await;
    db.run("backfill-balances").await.ok();
    assert_eq!(round().await, before);
    reconcile(&db, 0, &[]).await;
    reconcile(&db, 0, &["--full"]).await;
    assert_eq!(round().await, before + 2);
}

#[tokio::test]
async fn a_wrong_sealed_sum_is_not_told_as_a_difference_and_is_sealed_again() {
    let db = sealed().await;
    db.execute(
        "UPDATE stockfoil.checkpoint_sum SET quantity = quantity + 0.001 WHERE org = 'acme' AND item = 'bolt';
         UPDATE stockfoil.checkpoint_total SET hash_total = hash_total + 1 WHERE org = 'acme'",
    )
    .await;
    let before = db.value("SELECT sum(qty_canonical) FROM inventory_balances").await;
    let report = unchecked(&db, 0).await;
    assert_eq!((&report["repaired"], &report["marked_keys"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(db.value("SELECT sum(qty_canonical) FROM inventory_balances").await, before);
    let marked = db.value("SELECT count(*) FROM stockfoil.dirty_key").await;
    assert_ne!(marked, "0");
    // It can't be told from entries that were changed.
    let report = incremental(&db, 1).await;
    assert_eq!(
        [&report["marked_keys"], &report["changed_history"]].map(Value::to_string),
        [&*marked, &marked]
    );
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.dirty_key").await, "0");
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
}

#[tokio::test]
async fn sums_that_were_sealed_often_are_folded_and_stay_what_they_are() {
    const ROWS: &str =
        "SELECT count(*) > (SELECT count(*) FROM inventory_balances) FROM stockfoil.checkpoint_sum";
    let db = sealed().await;
    let every_key = "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
         SELECT org_id, item_id, location_id, lot_id, 0.5 FROM inventory_balances";
    db.execute(every_key).await;
    while db.value(ROWS).await != "t" {
        incremental(&db, 0).await;
    }
    while db.value(ROWS).await == "t" {
        db.execute(every_key).await;
        incremental(&db, 0).await;
    }
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
    db.execute(format!("UPDATE inventory_balances SET qty_canonical = qty_canonical - 3 WHERE {KEY}")).await;
    assert_eq!(incremental(&db, 1).await["differences"]["large"], 1);
}

#[tokio::test]
async fn a_copied_transaction_number_does_not_hide_an_entry() {
    let db = sealed().await;
    db.execute("INSERT INTO inventory_ledger SELECT (jsonb_populate_record(l, '{\"id\": \"copied\"}')).* FROM inventory_ledger AS l ORDER BY id LIMIT 1;
                INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, stockfoil_tx) VALUES ('old', 'bolt', 'l1', 3, 3)")
        .await;
    assert!(incremental(&db, 0).await["marked_keys"].as_u64().unwrap() >= 1);
    assert_eq!(reconcile_history(&db, 0).await["changed_history"], 0);
}

#[tokio::test]
async fn a_truncated_ledger_is_read_whole() {
    let db = sealed().await;
    db.execute("TRUNCATE inventory_ledger").await;
    assert_eq!(reconcile(&db, 0, &[]).await["full"], "truncated");
    db.execute(entry("bolt", "NULL", "1")).await;
    assert_eq!(incremental(&db, 0).await["balances"], 1);
}

#[tokio::test]
async fn a_checkpoint_that_came_with_a_dump_is_not_believed_in_another_cluster() {
    let db = sealed().await;
    db.execute(entry("bolt", "NULL", "1")).await;
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let dumped =
        db.cluster().program("pg_dump").args(["-Fc", "-f"]).arg(&dump).arg(db.name()).status().unwrap();
    assert!(dumped.success());
    let other = Cluster::start(&[]);
    let restored = other.program("pg_restore").args(["-d", "postgres"]).arg(&dump).status().unwrap();
    assert!(restored.success());
    let run = || testkit::Binary::new("reconcile-balances").env("DATABASE_URL", other.url("postgres"));
    let report = run().args(["--format", "json"]).await.ok().json();
    assert_eq!(report["full"], "other_cluster");
    let report = run().args(["--format", "json"]).await.ok().json();
    assert_eq!(report["full"], Value::Null);
}

#[tokio::test]
async fn a_ledger_without_the_column_is_compared_in_full() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[ledger]\nincremental = false\n").unwrap();
    db.run("migrate-all").arg("--contract").folder(folder.path()).await.ok();
    let column = "SELECT count(*) FROM pg_attribute WHERE attname = 'stockfoil_tx' AND NOT attisdropped";
    assert_eq!(db.value(column).await, "0");
    let report =
        db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).await.ok().json();
    assert_eq!(report["full"], "not_incremental");
}

#[tokio::test]
async fn a_finding_of_changed_history_ends_when_its_organization_was_read_again() {
    let db = sealed().await;
    let change = "WITH two AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM inventory_ledger
                               WHERE org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A' LIMIT 2)
                  UPDATE inventory_ledger AS l SET qty_canonical = qty_canonical + CASE n WHEN 1 THEN 5 ELSE -5 END
                  FROM two WHERE l.id = two.id";
    behind_the_triggers(&db, change).await;
    let seen = reconcile_history(&db, 1).await;
    assert_eq!(seen["findings"], json!({ "opened": 1, "seen_again": 0, "closed": 0 }));
    let findings = async || {
        db.rows(
            "SELECT kind, org_id, item_id, lot_id, ledger_qty = sealed_qty, balance_qty, opened_run, last_run, closed_run
             FROM stockfoil.finding ORDER BY id",
        )
        .await
    };
    let run = seen["run_id"].to_string();
    let open = ["changed_history", "acme", "bolt", "A", "t", "", &run, &run, ""];
    assert_eq!(findings().await, [open]);
    let told =
        "SELECT count(*) FROM stockfoil.alert_state WHERE source = 'reconcile-balances' AND key = 'history'";
    // Runs that read none of it don't take it for over; those of other organizations have nothing to do with it.
    let open = reconcile(&db, 1, &["--org", "acme"]).await;
    assert_eq!(
        [&open["changed_history"], &open["open_history"], &open["unresolved"]],
        [&json!(0), &json!(1), &json!(0)]
    );
    assert_eq!(open["alerts"][0]["key"], "history");
    assert_eq!(reconcile(&db, 1, &["--dry-run"]).await["open_history"], 1);
    assert_eq!(reconcile(&db, 0, &["--org", "default"]).await["open_history"], 0);
    // Changed again, it is the same finding.
    behind_the_triggers(&db, change).await;
    let again = incremental(&db, 1).await;
    assert_eq!(again["findings"], json!({ "opened": 0, "seen_again": 1, "closed": 0 }));
    assert_eq!(findings().await[0][6..], [run.as_str(), &again["run_id"].to_string(), ""]);
    assert_ne!(db.value(told).await, "0");
    // A difference of the same key is another one.
    db.execute(format!("UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001 WHERE {KEY}"))
        .await;
    let over = incremental(&db, 0).await;
    assert_eq!(over["findings"], json!({ "opened": 1, "seen_again": 0, "closed": 1 }));
    assert_eq!(findings().await[0][8], over["run_id"].to_string());
    assert_eq!(db.value(told).await, "0");
}

#[tokio::test]
async fn an_open_finding_of_changed_history_makes_the_next_run_read_all_and_ends_with_its_organization() {
    let db = sealed().await;
    db.execute(
        "INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id)
         SELECT max(id), max(id), 'changed_history', org, 'i', 'l'
         FROM stockfoil.run, unnest(ARRAY['acme', 'nobody']) AS org GROUP BY org",
    )
    .await;
    let organizations = db.value("SELECT count(*) FROM organizations").await;
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!(report["verified_organizations"].to_string(), organizations, "{report}");
    assert_eq!((&report["open_history"], &report["findings"]["closed"]), (&json!(0), &json!(2)), "{report}");
}
