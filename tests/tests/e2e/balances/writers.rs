//! Writers go on while balances are backfilled and compared; kill -9 loses nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::test_runner::{RngAlgorithm, TestRng};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
pub(super) use testkit::{LOCK_IS_FREE, wait_for};
use testkit::{Signal, TestDb, signal};

use super::fixture::{not_backfilled, wrong_keys};

/// One writer's step: multi-row statements in random key order, updates of keys and quantities, deletes, savepoints.
const STEPS: [&str; 6] = [
    "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
     SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['bolt', 'nut', 'Ä-ring', 'ore'])[1 + n % 4], 'l1',
            (ARRAY[NULL, '', 'A', 'B'])[1 + $1 % 4], n * 0.5 FROM generate_series(1, 6) AS n ORDER BY hashint4(n + $1)",
    "UPDATE inventory_ledger SET item_id = 'ore', lot_id = 'moved' WHERE id IN (SELECT id FROM inventory_ledger ORDER BY md5(id || $1) LIMIT 3 FOR UPDATE SKIP LOCKED)",
    "UPDATE inventory_ledger SET qty_canonical = -qty_canonical WHERE id IN (SELECT id FROM inventory_ledger ORDER BY md5(id || $1) LIMIT 3 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM inventory_ledger WHERE id IN (SELECT id FROM inventory_ledger ORDER BY md5(id || $1) LIMIT 2 FOR UPDATE SKIP LOCKED)",
    "UPDATE inventory_ledger SET org_id = 'acme' WHERE id IN (SELECT id FROM inventory_ledger ORDER BY md5(id || $1) LIMIT 2 FOR UPDATE SKIP LOCKED)",
    "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT 'nut', 'l2', 1 WHERE $1 >= 0",
];

/// Random numbers below `bound` that a seed repeats.
pub(super) struct Dice(TestRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat()))
    }

    pub(super) fn below(&mut self, bound: u32) -> i32 {
        use proptest::prelude::Rng as _;
        i32::try_from(self.0.next_u32() % bound).unwrap()
    }
}

/// Writes until `stop`; a deadlock with its own earlier statements is retried. The number of transactions.
async fn write(mut connection: PgConnection, seed: u64, stop: &AtomicBool) -> u32 {
    // Several statements in a transaction can meet in a circle; that is then told to one of the writers at once.
    sqlx::query("SET deadlock_timeout = '20ms'").execute(&mut connection).await.unwrap();
    let mut dice = Dice::new(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut transaction = connection.begin().await.unwrap();
        let mut failed = None;
        for _ in 0..=dice.below(3) {
            let step = sqlx::query(STEPS[dice.below(6) as usize]).bind(dice.below(1000));
            if dice.below(4) == 0 {
                let mut savepoint = transaction.begin().await.unwrap();
                failed = step.execute(&mut *savepoint).await.err();
                savepoint.rollback().await.unwrap();
            } else {
                failed = step.execute(&mut *transaction).await.err();
            }
            if failed.is_some() {
                break;
            }
        }
        match failed {
            Some(error) => {
                let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                assert_eq!(code, "40P01", "{error}");
                transaction.rollback().await.unwrap();
            }
            None if dice.below(5) == 0 => transaction.rollback().await.unwrap(),
            None => transaction.commit().await.unwrap(),
        }
        done += 1;
    }
    done
}

/// Adds what no entry says to one balance. Who waits for a row holds its place in the row's queue, and so can stand in
/// a circle of waiting writers; where it is the one that must give way, it tries again.
pub(super) async fn damage(session: &mut PgConnection, item: &str) {
    let update = "UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001
        WHERE (org_id, item_id, location_id, lot_key) = ('acme', $1, 'l1', 'A')";
    while let Err(error) = sqlx::query(update).bind(item).execute(&mut *session).await {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        assert_eq!(code, "40P01", "{error}");
    }
}

/// Eight writers at work while `work` runs.
pub(super) async fn while_writing<T>(db: &TestDb, work: impl Future<Output = T>) -> T {
    let stop = AtomicBool::new(false);
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(db.connect().await);
    }
    let writers = async {
        let mut writers =
            connections.into_iter().zip(1..).map(|(connection, seed)| write(connection, seed, &stop));
        let mut next = || writers.next().unwrap();
        let all = tokio::join!(next(), next(), next(), next(), next(), next(), next(), next());
        assert!(
            [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7].iter().all(|done| *done > 0),
            "{all:?}"
        );
    };
    let work = async {
        let result = work.await;
        stop.store(true, Ordering::Relaxed);
        result
    };
    tokio::join!(writers, work).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_are_exact_after_a_backfill_among_writers() {
    let db = not_backfilled().await;
    while_writing(&db, async {
        for _ in 0..5 {
            db.run("backfill-balances").args(["--batch-rows", "3"]).await.ok().says("verified");
            // Everything was backfilled: what is seen among the writers must be clean, at any moment.
            db.run("reconcile-balances").await.ok().says(": 0 differ");
        }
    })
    .await;
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
    db.run("reconcile-balances").await.ok();
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_among_writers_loses_none_of_them() {
    let db = not_backfilled().await;
    db.run("backfill-balances").await.ok();
    // The writers skip entries that are held, so that no damaged balance is ever one without entries: that would be
    // an orphan, which nobody but an operator corrects.
    db.execute(
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, note)
         SELECT 'acme', item, 'l1', 'A', 1, 'held' FROM unnest(ARRAY['bolt', 'nut', 'ore']) AS item",
    )
    .await;
    let mut keeper = db.connect().await;
    let mut kept = keeper.begin().await.unwrap();
    let held = "SELECT FROM inventory_ledger WHERE note = 'held' FOR UPDATE";
    assert_eq!(sqlx::query(held).execute(&mut *kept).await.unwrap().rows_affected(), 3);
    let mut other = db.connect().await;
    while_writing(&db, async {
        for _ in 0..5 {
            for item in ["bolt", "nut", "ore"] {
                damage(&mut other, item).await;
            }
            db.run("reconcile-balances").args(["--tolerance", "1"]).await.ok().says("corrected");
        }
    })
    .await;
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backfill_is_finished_by_the_next() {
    let db = not_backfilled().await;
    // A writer holds one of the last balances, so that the backfill stands in the middle of its work.
    let mut writer = db.connect().await;
    let transaction = holding_a_balance(&mut writer).await;
    let mut backfill = db.run("backfill-balances").args(["--batch-rows", "1"]).spawn();
    wait_for(&db, "SELECT count(*) > 20 FROM inventory_balances").await;
    // The lock goes with the session that repairs, and so not before the repair, however the command ends.
    wait_for(
        &db,
        "SELECT count(*) > 0 FROM pg_stat_activity AS a
         WHERE datname = current_database() AND query LIKE '%WITH ledger AS MATERIALIZED%' AND wait_event_type = 'Lock'
           AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory')",
    )
    .await;
    backfill.kill().await.unwrap();
    backfill.wait().await.unwrap();
    transaction.commit().await.unwrap();
    assert!(!wrong_keys(&db).await.is_empty());
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.backfill").await, "0");
    // The server notices that its client is gone, and gives the lock back.
    wait_for(&db, LOCK_IS_FREE).await;
    db.run("reconcile-balances").await.refuses(3, "never backfilled");
    db.run("backfill-balances").await.ok().says("verified");
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value("SELECT string_agg(coalesce(outcome, 'killed'), ' ' ORDER BY id) FROM stockfoil.run").await,
        "killed clean"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_waits_for_a_writer_and_not_the_writer_for_it() {
    let db = not_backfilled().await;
    let mut writer = db.connect().await;
    let mut transaction = writer.begin().await.unwrap();
    let insert = "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('acme', $1, 'l1', 1)";
    sqlx::query(insert).bind("Ä-ring").execute(&mut *transaction).await.unwrap();
    let mut backfill = db.run("backfill-balances").spawn();
    wait_for(&db, REPAIR_WAITS).await;
    // An earlier key than the one that the backfill waits for: it gives way, and is not deadlocked with.
    sqlx::query(insert).bind("bolt").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(backfill.wait().await.unwrap().success());
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncate_in_the_middle_starts_the_comparison_again() {
    let db = not_backfilled().await;
    let mut writer = db.connect().await;
    let mut transaction = holding_a_balance(&mut writer).await;
    let mut backfill = db.run("backfill-balances").args(["--batch-rows", "1"]).spawn();
    wait_for(&db, REPAIR_WAITS).await;
    sqlx::query("TRUNCATE inventory_ledger").execute(&mut *transaction).await.unwrap();
    sqlx::query(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 4)",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    assert!(backfill.wait().await.unwrap().success());
    assert_eq!(wrong_keys(&db).await, [[""; 0]; 0]);
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_repair_says_how_to_go_on_and_is_finished_by_the_next() {
    let db = not_backfilled().await;
    let interrupt = async |command: &str, args: &[&str], started: &'static str| {
        // A writer holds one of the last balances, so that the repair stands in the middle of its work.
        let mut writer = db.connect().await;
        let transaction = holding_a_balance(&mut writer).await;
        let child = db.run(command).args(args).spawn();
        wait_for(&db, started).await;
        wait_for(&db, REPAIR_WAITS).await;
        signal(&child, Signal::INT);
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("interrupted during repair balances, "), "{said}");
        assert!(said.contains("run the same command again to go on"), "{said}");
        // It gave the lock back before it ended.
        wait_for(&db, LOCK_IS_FREE).await;
        transaction.commit().await.unwrap();
        assert!(!wrong_keys(&db).await.is_empty());
    };
    interrupt("backfill-balances", &["--batch-rows", "1"], "SELECT count(*) > 20 FROM inventory_balances")
        .await;
    db.run("backfill-balances").await.ok().says("verified");
    assert!(wrong_keys(&db).await.is_empty());
    db.execute(
        "UPDATE inventory_balances SET qty_canonical = qty_canonical + 5, last_updated = '2026-01-01Z'",
    )
    .await;
    interrupt("reconcile-balances", &["--fix-large", "--batch-rows", "1"], CORRECTED).await;
    db.run("reconcile-balances").arg("--fix-large").await.ok();
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value("SELECT string_agg(coalesce(outcome, 'interrupted'), ' ' ORDER BY id) FROM stockfoil.run")
            .await,
        "interrupted clean interrupted clean"
    );
}

/// A transaction that holds one of the last balances, in key order.
async fn holding_a_balance(writer: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('zeta', 'ore', 'l2', 1)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Some of the damaged balances were corrected.
const CORRECTED: &str =
    "SELECT count(*) FILTER (WHERE last_updated > '2026-01-01Z') > 5 FROM inventory_balances";

/// Some repair of this database waits for a row that a writer holds.
const REPAIR_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%WITH ledger AS MATERIALIZED%' AND wait_event_type = 'Lock'";
