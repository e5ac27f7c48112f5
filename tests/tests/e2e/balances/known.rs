//! A difference that a run saw stays known until a run compared its key again and found it right.
#![allow(clippy::disallowed_methods, reason = "a seed may be given by the environment")]

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sqlx::Connection as _;
use testkit::{Mapped, TestDb};

use super::{
    fixture::{WRONG_KEYS, backfilled, behind_the_triggers, entry},
    writers::{Dice, wait_for},
};
use crate::migration::{same_schema, schema};

const WITHOUT_TURNS: &str = "[reconcile]\nhistory_runs = 0\n";

/// A run that reads no history in turns, whose hits are chance.
async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    configured(db, status, WITHOUT_TURNS, args).await
}

async fn configured(db: &TestDb, status: i32, config: &str, args: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
    let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args);
    run.await.status(status).json()
}

/// A backfilled inventory whose entries are all sealed.
async fn sealed() -> TestDb {
    let db = backfilled().await;
    let is_sealed = "SELECT (SELECT watermark FROM stockfoil.checkpoint) > (SELECT max(stockfoil_tx) FROM inventory_ledger)";
    while db.value(is_sealed).await != "t" {
        reconcile(&db, 0, &[]).await;
    }
    db
}

/// Deletes one entry of a key of `acme`, or does something else to its entries.
const DELETE: &str = "DELETE FROM inventory_ledger WHERE id = (SELECT min(id) FROM inventory_ledger
    WHERE org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A' AND abs(qty_canonical) > 1)";

async fn open(db: &TestDb) -> BTreeSet<Vec<String>> {
    let keys = "SELECT org_id, item_id, location_id, coalesce(lot_id, '') FROM stockfoil.finding
                WHERE closed_run IS NULL AND kind <> 'changed_history'";
    db.rows(keys).await.into_iter().collect()
}

async fn wrong(db: &TestDb) -> BTreeSet<Vec<String>> {
    let keys = format!("SELECT org_id, item_id, location_id, lot_key FROM ({WRONG_KEYS}) AS w");
    db.rows(keys).await.into_iter().collect()
}

#[tokio::test]
async fn what_a_run_for_one_organization_saw_the_next_run_for_all_sees_again() {
    let db = sealed().await;
    behind_the_triggers(&db, DELETE).await;
    assert_eq!(reconcile(&db, 0, &[]).await["unresolved"], 0, "nothing says that this key changed");
    let seen = reconcile(&db, 1, &["--org", "acme"]).await;
    assert_eq!((&seen["differences"]["large"], &seen["findings"]["opened"]), (&json!(1), &json!(1)));
    reconcile(&db, 1, &["--dry-run"]).await;
    for _ in 0..3 {
        let again = reconcile(&db, 1, &[]).await;
        assert_eq!(again["full"], Value::Null, "{again}");
        assert_eq!(open(&db).await.len(), 1, "{again}");
        assert_eq!(again["differences"]["large"], 1, "{again}");
        let mut alerts = again["alerts"].as_array().unwrap().iter().filter(|alert| alert["key"] != "history");
        assert!(alerts.all(|alert| alert["event"] == "problem"), "{again}");
        reconcile(&db, 0, &["--org", "zeta"]).await;
    }
    // Old entries are others than were sealed: whoever saw it first, that is told.
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding WHERE kind = 'changed_history'").await, "1");
    reconcile(&db, 0, &["--org", "acme", "--fix-large"]).await;
    let over = reconcile(&db, 0, &[]).await;
    assert_eq!(over["findings"]["closed"], 1, "{over}");
    assert_eq!(open(&db).await, BTreeSet::new());
}

#[tokio::test]
async fn a_difference_that_was_found_and_came_back_as_it_was_sealed_is_found_again() {
    let db = sealed().await;
    let balance = "SELECT qty_canonical FROM inventory_balances
        WHERE org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A'";
    let before = db.value(balance).await;
    behind_the_triggers(&db, DELETE).await;
    reconcile(&db, 1, &["--org", "acme"]).await;
    reconcile(&db, 0, &["--org", "acme", "--fix-large"]).await;
    reconcile(&db, 0, &["--org", "acme"]).await;
    assert_eq!(open(&db).await, BTreeSet::new());
    // The sealed sum is that of the entry that is gone.
    db.execute(format!(
        "UPDATE inventory_balances SET qty_canonical = {before}
         WHERE org_id = 'acme' AND item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A'"
    ))
    .await;
    assert_eq!(reconcile(&db, 1, &[]).await["differences"]["large"], 1);
}

#[tokio::test]
async fn triggers_that_were_switched_off_and_on_again_make_the_next_run_read_everything() {
    let switched = format!(
        "ALTER TABLE inventory_ledger DISABLE TRIGGER USER; {DELETE}; ALTER TABLE inventory_ledger ENABLE TRIGGER USER"
    );
    let one_transaction = format!("BEGIN; {switched}; COMMIT");
    let dropped = format!(
        "DO $$ DECLARE t text := (SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'inventory_ledger_balance_delete');
         BEGIN DROP TRIGGER inventory_ledger_balance_delete ON inventory_ledger; {DELETE}; EXECUTE t; END $$"
    );
    for change in [switched, one_transaction, dropped] {
        let db = sealed().await;
        db.execute(change).await;
        let report = reconcile(&db, 1, &[]).await;
        assert_eq!(
            (&report["full"], &report["differences"]["large"]),
            (&json!("triggers_changed"), &json!(1))
        );
        // What was sealed is held against what is there, before it is sealed anew.
        assert_eq!(report["changed_history"], 1, "{report}");
        assert_eq!(reconcile(&db, 1, &[]).await["full"], Value::Null);
    }
}

#[tokio::test]
async fn a_ledger_that_is_another_table_or_file_is_read_whole() {
    const COPY: &str = "CREATE TABLE kept AS SELECT * FROM inventory_ledger WHERE item_id <> 'bolt';";
    let truncated = format!(
        "{COPY} SET session_replication_role = replica; TRUNCATE inventory_ledger;
         INSERT INTO inventory_ledger SELECT * FROM kept; RESET session_replication_role"
    );
    let swapped = format!(
        "{COPY} CREATE TABLE other (LIKE inventory_ledger INCLUDING ALL); INSERT INTO other SELECT * FROM kept;
         ALTER TABLE inventory_ledger RENAME TO gone; ALTER TABLE other RENAME TO inventory_ledger; DROP TABLE gone"
    );
    for change in [truncated, swapped] {
        let db = sealed().await;
        db.execute(change).await;
        let first = reconcile(&db, 1, &[]).await;
        assert!(["other_tables", "broken_parts"].contains(&first["full"].as_str().unwrap()), "{first}");
        assert_ne!(first["unresolved"], 0);
        // Once the triggers are on it again, it is no more believed than before.
        db.run("migrate-balance").await.ok();
        let known = open(&db).await;
        reconcile(&db, 1, &[]).await;
        assert_eq!(open(&db).await, known);
        assert_eq!(reconcile(&db, 1, &[]).await["unresolved"], first["unresolved"]);
        assert!(wrong(&db).await.is_subset(&open(&db).await));
    }
}

#[tokio::test]
async fn a_restored_ledger_is_read_whole() {
    let db = sealed().await;
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("ledger");
    let program = |name: &str| db.cluster().program(name);
    let table = ["-Fc", "-t", "inventory_ledger", "-f"];
    assert!(program("pg_dump").args(table).arg(&dump).arg(db.name()).status().unwrap().success());
    db.execute(entry("bolt", "'A'", "70")).await;
    reconcile(&db, 0, &[]).await;
    db.execute("DROP TABLE inventory_ledger CASCADE").await;
    let restored = program("pg_restore").args(["-d", db.name()]).arg(&dump).status().unwrap();
    assert!(restored.success());
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(
        (&report["full"], &report["differences"]["large"]),
        (&json!("other_tables"), &json!(1)),
        "{report}"
    );
    assert_eq!(reconcile(&db, 1, &[]).await["differences"]["large"], 1);
}

#[tokio::test]
async fn balances_that_were_replaced_are_compared_key_by_key() {
    let db = sealed().await;
    db.execute(entry("nut", "'zero'", "5") + &entry("nut", "'zero'", "-5")).await;
    reconcile(&db, 0, &[]).await;
    // A row of zero too few is in no total.
    db.execute(
        "CREATE TABLE kept AS SELECT org_id, item_id, location_id, lot_id, lot_key, qty_canonical FROM inventory_balances WHERE lot_id IS DISTINCT FROM 'zero';
         TRUNCATE inventory_balances;
         INSERT INTO inventory_balances (org_id, item_id, location_id, lot_id, lot_key, qty_canonical) SELECT * FROM kept",
    )
    .await;
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!((&report["full"], &report["differences"]["missing"]), (&json!("other_tables"), &json!(1)));
}

#[tokio::test]
async fn a_partition_with_old_entries_is_read_and_an_empty_one_costs_nothing() {
    let db = TestDb::mapped_migrated(Mapped::Warehouse).await;
    let folder = Mapped::Warehouse.config_with(|text| text + "\n[reconcile]\nhistory_runs = 0\n");
    let run = async |status| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]);
        run.await.status(status).json()
    };
    run(0).await;
    let partitions = "SELECT c.oid::regclass, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'stock_transactions'::regclass ORDER BY (SELECT count(*) FROM stock_transactions AS t WHERE t.tableoid = c.oid) DESC LIMIT 1";
    let [partition, bound] = <[String; 2]>::try_from(db.rows(partitions).await.remove(0)).unwrap();
    db.execute(format!(
        "ALTER TABLE stock_transactions DETACH PARTITION {partition};
         ALTER TABLE {partition} DISABLE TRIGGER USER; DELETE FROM {partition};
         ALTER TABLE {partition} ENABLE TRIGGER USER;
         ALTER TABLE stock_transactions ATTACH PARTITION {partition} {bound}"
    ))
    .await;
    let report = run(1).await;
    assert_eq!(report["full"], "other_tables", "{report}");
    assert_ne!(report["unresolved"], 0);
    assert_eq!(run(1).await["unresolved"], report["unresolved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_was_emptied_as_a_run_began_is_compared_again() {
    let db = sealed().await;
    // The run has its snapshot when it asks for the checkpoint.
    let mut other = db.connect().await;
    let mut holding = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE stockfoil.checkpoint").execute(&mut *holding).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), WITHOUT_TURNS).unwrap();
    let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).spawn();
    wait_for(
        &db,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'stockfoil.checkpoint'::regclass AND NOT granted)",
    )
    .await;
    behind_the_triggers(&db, "TRUNCATE inventory_ledger").await;
    holding.commit().await.unwrap();
    let output = run.wait_with_output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["full"], "other_tables", "{report}");
    assert_eq!(open(&db).await, wrong(&db).await);
    assert!(!open(&db).await.is_empty());
}

#[tokio::test]
async fn a_finding_stays_open_where_its_organization_is_not_compared() {
    let db = sealed().await;
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 5 WHERE org_id = 'acme' AND item_id = 'bolt'")
        .await;
    let told = "SELECT count(*) > 0 FROM stockfoil.alert_state WHERE key = 'balances/acme'";
    reconcile(&db, 1, &[]).await;
    let known = open(&db).await;
    assert_ne!(known.len(), 0);
    db.execute("UPDATE organizations SET is_active = false WHERE id = 'acme'").await;
    assert_eq!(reconcile(&db, 1, &[]).await["findings"]["closed"], 0);
    // It counts as never backfilled, and is left out.
    db.execute("DELETE FROM stockfoil.backfill WHERE org_id = 'acme'; UPDATE organizations SET created_at = '2000-01-01' WHERE id = 'acme'")
        .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!((&report["not_backfilled"], &report["findings"]["closed"]), (&json!(["acme"]), &json!(0)));
    assert_eq!((open(&db).await, db.value(told).await), (known.clone(), "t".to_owned()));
    // Sealed and marked by what went on meanwhile, it is still compared when it counts again.
    db.run("backfill-balances").args(["--org", "default"]).await.ok();
    db.execute(
        "INSERT INTO stockfoil.backfill (org_id, run_id, keys) SELECT 'acme', max(id), 0 FROM stockfoil.run",
    )
    .await;
    assert_eq!(reconcile(&db, 1, &[]).await["findings"]["closed"], 0);
    assert_eq!(open(&db).await, known);
}

#[tokio::test]
async fn the_shared_alert_of_many_organizations_ends_when_all_were_compared() {
    let db = sealed().await;
    db.execute(
        "INSERT INTO organizations (id, name) SELECT 'o' || n, 'O' FROM generate_series(10, 22) AS n;
         INSERT INTO inventory_balances (org_id, item_id, location_id, qty_canonical) SELECT 'o' || n, 'bolt', 'l1', 7 FROM generate_series(10, 22) AS n",
    )
    .await;
    let told = "SELECT count(*) > 0 FROM stockfoil.alert_state WHERE key = 'balances'";
    reconcile(&db, 1, &[]).await;
    assert_eq!(db.value(told).await, "t");
    db.execute(
        "DELETE FROM inventory_balances WHERE org_id BETWEEN 'o10' AND 'o20';
         UPDATE organizations SET created_at = '2000-01-01' WHERE id = 'o22'",
    )
    .await;
    reconcile(&db, 1, &[]).await;
    assert_eq!(db.value(told).await, "t", "o22 still differs, and nobody looked");
}

#[tokio::test]
async fn a_mapping_that_was_changed_makes_the_next_run_read_everything() {
    let db = sealed().await;
    let config =
        format!("[ledger]\nkey_index = false\nwhere = {{ sql = \"entry_type <> 'void'\" }}\n{WITHOUT_TURNS}");
    behind_the_triggers(&db, "UPDATE inventory_ledger SET entry_type = 'void' WHERE org_id = 'acme'").await;
    // The triggers' functions are those of the old mapping.
    let stale = configured(&db, 1, &config, &[]).await;
    assert_eq!(stale["full"], "broken_parts", "{stale}");
    assert_ne!(stale["unresolved"], 0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), &config).unwrap();
    db.run("migrate-balance").folder(folder.path()).await.ok();
    for _ in 0..2 {
        let report = configured(&db, 1, &config, &[]).await;
        assert_eq!(report["unresolved"], stale["unresolved"], "{report}");
    }
    // What was sealed under it is nothing to the mapping of before.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), WITHOUT_TURNS).unwrap();
    db.run("migrate-balance").folder(folder.path()).await.ok();
    let back = reconcile(&db, 0, &[]).await;
    assert_eq!(back["full"], "other_mapping", "{back}");
    assert_eq!(reconcile(&db, 0, &[]).await["full"], Value::Null);
}

#[tokio::test]
async fn a_mapping_that_was_changed_between_runs_is_no_match_of_stale_sums() {
    let db = sealed().await;
    for ledger in [
        "key_index = false\nquantity = { sql = \"qty_canonical * 2\" }",
        "key_index = false\nwhere = { sql = \"item_id <> 'ore'\" }",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), format!("[ledger]\n{ledger}\n{WITHOUT_TURNS}"))
            .unwrap();
        db.run("migrate-balance").folder(folder.path()).await.ok();
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).await;
        let report = run.status(1).json();
        assert_eq!(report["full"], "other_mapping", "{ledger}: {report}");
        assert_ne!(report["unresolved"], 0, "{ledger}");
    }
}

#[tokio::test]
async fn balances_of_another_key_are_refused_and_made_anew() {
    let db = sealed().await;
    // By key, there and back, and by a column's name.
    for config in ["[ledger]\nlot = false\n", "", "[balances]\nquantity = \"on_hand\"\n", ""] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
        let run = |command: &str| db.run(command).folder(folder.path());
        let before = schema(&db);
        let remedy = "was made for another mapping";
        for command in ["migrate-balance", "migrate-all"] {
            run(command).await.refuses(if config == "[ledger]\nlot = false\n" { 3 } else { 2 }, remedy);
        }
        assert_ne!(run("reconcile-balances").await.status, 0, "{config}");
        assert_ne!(run("validate-migration").await.status, 0, "{config}");
        assert_ne!(run("backfill-balances").await.status, 0, "{config}");
        same_schema(&db, &before);
        run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
        run("migrate-balance").await.ok();
        run("backfill-balances").await.ok();
        run("reconcile-balances").await.ok().says("ledger and balances match");
        run("validate-migration").await.ok();
    }
}

/// What somebody, or something, does to the tables; `$K` is one key's condition on a ledger's row.
const DAMAGE: [&str; 8] = [
    "SET session_replication_role = replica; DELETE FROM inventory_ledger WHERE id = (SELECT id FROM inventory_ledger WHERE $K ORDER BY id LIMIT 1)",
    "SET session_replication_role = replica; UPDATE inventory_ledger SET qty_canonical = qty_canonical + 3 WHERE id = (SELECT id FROM inventory_ledger WHERE $K ORDER BY id LIMIT 1)",
    "SET session_replication_role = replica; INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, stockfoil_tx) SELECT org_id, item_id, location_id, lot_id, 2, NULL FROM inventory_ledger WHERE $K LIMIT 1",
    "ALTER TABLE inventory_ledger DISABLE TRIGGER USER; DELETE FROM inventory_ledger WHERE id = (SELECT id FROM inventory_ledger WHERE $K ORDER BY id DESC LIMIT 1); ALTER TABLE inventory_ledger ENABLE TRIGGER USER",
    "UPDATE inventory_balances SET qty_canonical = qty_canonical + 4 WHERE $K",
    "DELETE FROM inventory_balances WHERE $K",
    // In order, and over a difference that is there.
    "UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE $K",
    "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical) SELECT org_id, item_id, location_id, lot_id, 2 FROM inventory_ledger WHERE $K LIMIT 1",
];

/// What runs, with whether it looks at all organizations.
const RUNS: [(&[&str], bool); 9] = [
    (&[], true),
    (&[], true),
    (&[], true),
    (&["--full"], true),
    (&["--dry-run"], false),
    (&["--org", "acme"], false),
    (&["--org", "default", "--org", "zeta"], false),
    (&["--org", "acme", "--fix-large"], false),
    (&["--tolerance", "3.5"], true),
];

#[tokio::test]
async fn no_order_of_damage_and_runs_closes_what_is_still_there() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let given = std::env::var("STOCKFOIL_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or(u64::from(now.subsec_nanos()));
    let mut dice = Dice::new(seed);
    let db = sealed().await;
    let mut history = vec![format!("STOCKFOIL_TEST_SEED={seed} repeats it")];
    let mut known_runs = 0;
    for _ in 0..60 {
        for _ in 0..dice.below(3) {
            let key = format!(
                "org_id = '{}' AND item_id = '{}'",
                ["acme", "acme", "zeta", "default"][dice.below(4) as usize],
                ["bolt", "nut"][dice.below(2) as usize]
            );
            let damage = DAMAGE[dice.below(8) as usize].replace("$K", &key);
            db.execute(format!("{damage}; RESET session_replication_role")).await;
            history.push(damage);
        }
        let (args, is_all) = RUNS[dice.below(9) as usize];
        let rounds =
            ["[reconcile]\nhistory_runs = 0\n", "[reconcile]\nhistory_runs = 2\n"][dice.below(2) as usize];
        let known: BTreeSet<_> = open(&db).await.intersection(&wrong(&db).await).cloned().collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), rounds).unwrap();
        let run =
            db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args).await;
        history.push(format!("{args:?} {} {}", run.status, run.stdout));
        let (wrong, open) = (wrong(&db).await, open(&db).await);
        let closed: Vec<_> = known.intersection(&wrong).filter(|key| !open.contains(*key)).collect();
        assert!(closed.is_empty(), "closed: {closed:?}\n{}", history.join("\n"));
        if is_all && !known.is_empty() && !wrong.is_disjoint(&known) {
            assert_eq!(run.status, 1, "{}", history.join("\n"));
            known_runs += 1;
        }
        let report = run.json();
        for sent in report["alerts"].as_array().unwrap() {
            let org = sent["key"].as_str().unwrap().strip_prefix("balances/");
            let is_over = sent["event"] == "recovery"
                && org.is_some_and(|org| known.intersection(&wrong).any(|key| key[0] == org));
            assert!(!is_over, "{sent}\n{}", history.join("\n"));
        }
    }
    assert!(known_runs > 0);
    // After all, a look at everything agrees with the findings.
    db.run("reconcile-balances").arg("--full").await;
    assert!(wrong(&db).await.is_subset(&open(&db).await));
}
