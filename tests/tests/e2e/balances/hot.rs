//! `[balances] hot = "queue"`: who finds a balance held by another writer does not wait for it, and no sum is ever wrong.
#![allow(clippy::disallowed_methods, reason = "sessions send statements that the test makes up")]

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testkit::TestDb;

use super::fixture::{balances, entry, inventory, not_backfilled, wrong_keys};
use crate::migration::{same_schema, schema};

const BOLT: &str = "SELECT trim_scale(stockfoil.balance('default', 'bolt', 'l1', NULL))";
const QUEUED: &str = "SELECT count(*) FROM stockfoil.balance_queue";

fn queue() -> tempfile::TempDir {
    config("[balances]\nhot = \"queue\"\n")
}

fn config(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    folder
}

/// An inventory with 10 bolts and 1 nut, whose writers queue.
async fn queued() -> (TestDb, tempfile::TempDir) {
    let (db, folder) = (inventory().await, queue());
    db.run("migrate-balance").folder(&folder).await.ok().tells("create the queue of deltas");
    db.run("backfill-balances").folder(&folder).await.ok();
    db.execute(entry("bolt", "NULL", "10") + &entry("nut", "NULL", "1")).await;
    (db, folder)
}

/// A session that can't wait for a lock.
async fn impatient(db: &TestDb) -> PgConnection {
    let mut session = db.connect().await;
    execute(&mut session, "SET lock_timeout = '1ms'").await;
    session
}

async fn execute(session: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(session).await.unwrap();
}

async fn value(session: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT ({sql})::text"))).fetch_one(session).await.unwrap()
}

#[tokio::test]
async fn a_writer_does_not_wait_for_another_of_its_key() {
    let (db, folder) = queued().await;
    let (mut holder, mut other) = (db.connect().await, impatient(&db).await);
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, entry("bolt", "NULL", "5")).await;
    // Two keys in one statement: that which nobody holds is changed in place.
    execute(&mut other, "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 2), ('nut', 'l1', 2), ('bolt', 'l1', -0.5)").await;
    assert_eq!(db.value(QUEUED).await, "1");
    assert_eq!(balances(&db).await, ["default bolt l1 - 10", "default nut l1 - 3"]);
    // Everybody sees the balance of the entries that he sees.
    assert_eq!(db.value(BOLT).await, "11.5");
    assert_eq!(value(&mut held, BOLT).await, "16.5");
    db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
    db.run("reconcile-balances").folder(&folder).arg("--full").await.ok().says(": 0 differ");
    held.commit().await.unwrap();
    assert_eq!(db.value(BOLT).await, "16.5");
    assert_eq!(db.value(QUEUED).await, "1");
    db.execute(entry("bolt", "NULL", "1")).await;
    assert_eq!(db.value(QUEUED).await, "0");
    assert_eq!(balances(&db).await, ["default bolt l1 - 17.5", "default nut l1 - 3"]);
}

#[tokio::test]
async fn what_is_queued_stays_when_the_holder_is_undone_and_goes_with_its_own_writer() {
    let (db, folder) = queued().await;
    let (mut holder, mut other) = (db.connect().await, impatient(&db).await);
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "DELETE FROM inventory_ledger WHERE item_id = 'bolt'").await;
    execute(&mut other, entry("bolt", "NULL", "3")).await;
    let mut undone = other.begin().await.unwrap();
    execute(&mut undone, entry("bolt", "NULL", "100")).await;
    assert_eq!(value(&mut undone, BOLT).await, "113");
    undone.rollback().await.unwrap();
    assert_eq!(value(&mut held, BOLT).await, "3");
    held.rollback().await.unwrap();
    assert_eq!(db.value(BOLT).await, "13");
    let report = db.run("reconcile-balances").folder(&folder).args(["--format", "json"]).await.ok().json();
    assert_eq!(report["folded_deltas"], 1, "{report}");
    assert_eq!(db.value(QUEUED).await, "0");
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn under_the_stricter_levels_no_writer_of_a_hot_key_is_refused() {
    let (db, folder) = queued().await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut session = impatient(&db).await;
        let begin = format!("BEGIN ISOLATION LEVEL {level}");
        execute(&mut session, begin).await;
        value(&mut session, "SELECT 1 FROM items LIMIT 1").await;
        // The balance changes after this transaction's snapshot.
        db.execute(entry("bolt", "NULL", "1")).await;
        execute(&mut session, entry("bolt", "NULL", "2")).await;
        // A key that has no balance yet.
        execute(&mut session, entry("ore", "'new'", "1")).await;
        execute(&mut session, "COMMIT").await;
    }
    assert_eq!(db.value(BOLT).await, "16");
    db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
    assert_eq!(db.value(QUEUED).await, "0");
    assert_eq!(balances(&db).await, ["default bolt l1 - 16", "default nut l1 - 1", "default ore l1 new 2"]);
}

#[tokio::test]
async fn an_emptied_ledger_has_nothing_queued_and_what_is_queued_is_found_wherever_balances_are_read() {
    let (db, folder) = queued().await;
    let mut holder = db.connect().await;
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "SELECT FROM inventory_balances FOR UPDATE").await;
    db.execute(entry("bolt", "NULL", "-12")).await;
    let explained = db
        .run("reconcile-balances")
        .folder(&folder)
        .args(["--explain", "default/bolt/l1", "--format", "json"])
        .await
        .ok()
        .json();
    assert_eq!(explained["balance_qty"], "-2", "{explained}");
    let negative = config("[balances]\nhot = \"queue\"\n[reconcile]\nnegative = \"report\"\n");
    let report =
        db.run("reconcile-balances").folder(&negative).args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["negative"], 1, "{report}");
    // Damage is told and mended as ever, though nobody can write the row just now.
    held.commit().await.unwrap();
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001 WHERE item_id = 'bolt'")
        .await;
    db.run("reconcile-balances").folder(&folder).await.ok().says("1 differ");
    assert_eq!(db.value(BOLT).await, "-2");
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "SELECT FROM inventory_balances FOR UPDATE").await;
    db.execute(entry("bolt", "NULL", "-12")).await;
    assert_eq!(db.value(QUEUED).await, "1");
    held.rollback().await.unwrap();
    db.execute("TRUNCATE inventory_ledger").await;
    assert_eq!(db.value(QUEUED).await, "0");
    db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
}

#[tokio::test]
async fn the_queue_comes_and_goes_among_queued_deltas() {
    let db = not_backfilled().await;
    let plain = config("");
    db.run("backfill-balances").await.ok();
    let before = schema(&db);
    let folder = queue();
    // Nothing is written that the triggers would not queue.
    db.run("validate-migration").folder(&folder).await.status(1).says("balance_queue");
    db.run("migrate-balance").folder(&folder).await.ok();
    db.run("migrate-balance").folder(&folder).await.ok().says("nothing to do");
    db.run("validate-migration").folder(&folder).await.ok();
    let mut session = impatient(&db).await;
    execute(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO inventory_ledger (item_id, location_id, qty_canonical)
                  SELECT 'bolt', 'l1', n FROM generate_series(1, 3) AS n; INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('nut', 'l2', 1); COMMIT").await;
    assert_ne!(db.value(QUEUED).await, "0");
    // A configuration that knows of no queue reads what is there.
    let run = db.run("reconcile-balances").folder(&plain).arg("--dry-run").await.status(1);
    run.says("migrate-balance renews them").says(": 0 differ");
    db.run("validate-migration").folder(&plain).await.status(1).says("hot is not");
    let mut holder = db.connect().await;
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, entry("bolt", "NULL", "7")).await;
    db.execute(entry("bolt", "NULL", "1")).await;
    held.commit().await.unwrap();
    assert_ne!(db.value(QUEUED).await, "0");
    db.run("migrate-balance").folder(&plain).await.ok().tells("fold what is queued").tells("drop the queue");
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
    db.run("validate-migration").folder(&plain).await.ok();
    db.run("reconcile-balances").folder(&plain).await.ok().says(": 0 differ");
    same_schema(&db, &before);
    // And back with a queue that holds something.
    db.run("migrate-balance").folder(&folder).await.ok();
    execute(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 1); COMMIT").await;
    for folder in [&plain, &folder] {
        db.run("migrate-balance").folder(folder).args(["--rollback", "--yes"]).await.ok();
        assert_eq!(db.value("SELECT to_regclass('stockfoil.balance_queue')").await, "");
    }
}

#[tokio::test]
async fn an_isolated_application_reads_and_queues() {
    let (db, folder) = queued().await;
    db.run("migrate-org").folder(&folder).arg("--contract").await.ok();
    db.run("migrate-org").folder(&folder).args(["--finalize", "--isolate", "--yes"]).await.ok();
    db.run("validate-migration").folder(&folder).arg("--isolation").await.ok();
    let role = db.value("SELECT 'stockfoil_app'").await;
    let mut session = impatient(&db).await;
    let set = format!("SET ROLE {role}; SELECT set_config('app.org_id', 'default', false)");
    execute(&mut session, set).await;
    let mut holder = db.connect().await;
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "SELECT FROM inventory_balances FOR UPDATE").await;
    execute(&mut session, entry("bolt", "NULL", "2")).await;
    assert_eq!(value(&mut session, BOLT).await, "12");
    assert_eq!(value(&mut session, QUEUED).await, "1");
    assert_eq!(
        value(&mut session, "SELECT trim_scale(sum(quantity)) FROM stockfoil.balances('default')").await,
        "13"
    );
    execute(&mut session, "SELECT set_config('app.org_id', 'acme', false)").await;
    assert_eq!(value(&mut session, QUEUED).await, "0");
    assert_eq!(value(&mut session, BOLT).await, "0");
    held.commit().await.unwrap();
    db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
    db.run("migrate-balance").folder(config("").path()).await.ok();
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn words_and_tables_that_can_not_be_are_refused() {
    let db = inventory().await;
    for (file, reason) in [
        ("[balances]\nhot = \"quee\"\n", "say wait or queue; did you mean queue?"),
        ("[balances]\nhot = \"queue\"\nadopt = true\n", "an adopted table is read by the application"),
        ("[balances]\nhot = \"queue\"\nkept_by = \"application\"\n", "writes the balances itself"),
    ] {
        db.run("migrate-balance").folder(config(file).path()).await.refuses(2, reason);
    }
}

#[tokio::test]
async fn what_would_refuse_another_writers_delta_is_refused_first_and_keeps_nothing_from_being_compared() {
    let db = inventory().await;
    db.run("backfill-balances").await.ok();
    let check = "ALTER TABLE inventory_balances ADD CONSTRAINT not_negative CHECK (qty_canonical >= 0)";
    db.execute(check).await;
    let folder = queue();
    db.run("migrate-balance").folder(&folder).await.refuses(3, "not_negative");
    db.execute("ALTER TABLE inventory_balances DROP CONSTRAINT not_negative").await;
    db.run("migrate-balance").folder(&folder).await.ok();
    db.execute(entry("bolt", "NULL", "10")).await;
    let mut holder = db.connect().await;
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "SELECT FROM inventory_balances FOR UPDATE").await;
    db.execute(entry("bolt", "NULL", "-12")).await;
    held.commit().await.unwrap();
    // One that came later: what it refuses stays queued, and is part of the balance all the same.
    db.execute(check).await;
    let run = db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
    run.tells("what is queued stays queued");
    assert_eq!(db.value(QUEUED).await, "1");
    assert_eq!(db.value(BOLT).await, "-2");
    // Nor does one that refuses the row of a key that has none yet.
    db.execute("ALTER TABLE inventory_balances DROP CONSTRAINT not_negative; DELETE FROM inventory_ledger")
        .await;
    let mut held = holder.begin().await.unwrap();
    execute(&mut held, "SELECT FROM inventory_balances FOR UPDATE").await;
    db.execute(entry("bolt", "NULL", "-1")).await;
    held.commit().await.unwrap();
    db.execute(
        "DELETE FROM inventory_balances;
         ALTER TABLE inventory_balances ADD CONSTRAINT never_zero CHECK (qty_canonical <> 0)",
    )
    .await;
    assert_eq!(db.value(QUEUED).await, "1");
    for command in ["reconcile-balances", "backfill-balances"] {
        let run = db.run(command).folder(&folder).await;
        assert!(run.stderr.contains("what is queued stays queued"), "{command}: {}", run.stderr);
    }
}
