//! A third of a large ledger moves while the application writes, and what kill -9 interrupts is gone on with.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testkit::TestDb;
pub(super) use testkit::{LOCK_IS_FREE, wait_for};

use super::{NORTH, assert_exact, assign, crossing, everything, inventory, two_organizations};

/// 30 locations at three sites, 40 items that each of them holds, and `entries` entries.
async fn large(entries: u32) -> TestDb {
    let db = two_organizations().await;
    db.execute(format!(
        "INSERT INTO items (id, item_number, name) SELECT 'a' || n, 'A-' || n, 'A ' || n FROM generate_series(1, 40) AS n;
         INSERT INTO locations (id, site, name)
         SELECT 'l' || n, (ARRAY['North', 'South', 'East'])[1 + n % 3], 'bin ' || n FROM generate_series(1, 30) AS n;
         INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical)
         SELECT 'e' || n, 'a' || 1 + n % 40, 'l' || 1 + n % 30, CASE WHEN n % 4 = 0 THEN 'L' END, n % 100 * 0.25 - 7
         FROM generate_series(1, {entries}) AS n;
         ANALYZE"
    ))
    .await;
    db
}

/// Writes as an application that knows of no organization until `stop` is set: entries anywhere, and corrections.
/// Adds to `rows` how many entries it has made, and to `corrections` how much it has corrected.
async fn write(
    mut connection: PgConnection,
    writer: i32,
    stop: &AtomicBool,
    rows: &AtomicU64,
    corrections: &AtomicU64,
) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let mut transaction = connection.begin().await.unwrap();
        let inserted = sqlx::query(
            "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
             SELECT 'a' || 1 + ($2 + k) % 40, 'l' || 1 + ($2 * 7 + k + $1) % 30, CASE WHEN k = 2 THEN 'L' END, k
             FROM generate_series(1, 3) AS k",
        )
        .bind(writer)
        .bind(n)
        .execute(&mut *transaction)
        .await;
        let corrected = match inserted {
            Ok(_) => {
                sqlx::query(
                    "UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE id = 'e' || $1",
                )
                .bind((n * 8 + writer) % 5000 + 1)
                .execute(&mut *transaction)
                .await
            }
            failed => failed,
        };
        match corrected {
            Ok(corrected) => {
                transaction.commit().await.unwrap();
                rows.fetch_add(3, Ordering::Relaxed);
                corrections.fetch_add(corrected.rows_affected(), Ordering::Relaxed);
                // A person's work takes its time; without a pause the machine would only measure itself.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                assert_eq!(code, "40P01", "{error}");
                transaction.rollback().await.unwrap();
            }
        }
    }
}

/// Eight writers at work while `work` runs; returns how many entries they have made, and how much they have corrected.
async fn while_writing(db: &TestDb, work: impl Future<Output = ()>) -> (u64, u64) {
    let (stop, rows, corrections) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(db.connect().await);
    }
    let mut writers = connections
        .into_iter()
        .zip(1..)
        .map(|(connection, writer)| write(connection, writer, &stop, &rows, &corrections));
    let mut next = || writers.next().unwrap();
    let writers = async { tokio::join!(next(), next(), next(), next(), next(), next(), next(), next()) };
    let work = async {
        work.await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(writers, work);
    (rows.load(Ordering::Relaxed), corrections.load(Ordering::Relaxed))
}

/// What the entries of before the writers add up to.
async fn old_sum(db: &TestDb) -> i64 {
    let sum = db.value("SELECT (sum(qty_canonical) * 4)::bigint FROM inventory_ledger WHERE id LIKE 'e%' AND length(id) < 8").await;
    sum.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_of_a_ledger_moves_under_writers_and_back() {
    let db = large(200_000).await;
    db.run("reconcile-balances").await.ok();
    let before = old_sum(&db).await;
    let args = [&NORTH[..], &["--copy-shared-items"]].concat();
    let mut runs = Vec::new();
    let (written, corrected) = while_writing(&db, async {
        // The writers go on writing to the North as if it were the default organization's, so rows may be left.
        let run = db.run("data-assign").args(&args).args(["--yes", "--format", "json"]).await;
        assert!([0, 1].contains(&run.status), "{} {}", run.stdout, run.stderr);
        let report = run.json();
        assert_eq!(report["stopped"], json!(null), "{report}");
        assert!(report["rows"].as_u64().unwrap() > 66_000, "{report}");
        runs.push(report["run_id"].to_string());
        assert_exact(&db).await;
    })
    .await;
    assert!(written > 0 && corrected > 0);
    let rest = assign(&db, 0, &args).await;
    runs.extend(rest["run_id"].as_i64().map(|run| run.to_string()));
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, (200_000 + written).to_string());
    assert_eq!(old_sum(&db).await, before + 4 * i64::try_from(corrected).unwrap());
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    let astray = "SELECT count(*) FROM inventory_ledger AS e JOIN locations AS l ON l.id = e.location_id WHERE (l.site = 'North') <> (e.org_id = 'acme')";
    assert_eq!(db.value(astray).await, "0");
    db.run("reconcile-balances").await.ok().says("ledger and balances match");
    db.run("reconcile-balances").arg("--full").await.ok().says("ledger and balances match");

    let (more, more_corrected) = while_writing(&db, async {
        for run in runs.iter().rev() {
            assign(&db, 0, &["--undo", run]).await;
        }
    })
    .await;
    let all = 200_000 + written + more;
    assert_eq!(
        db.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'default'").await,
        all.to_string()
    );
    assert_eq!(old_sum(&db).await, before + 4 * i64::try_from(corrected + more_corrected).unwrap());
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "0");
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    db.run("reconcile-balances").await.ok();
    db.run("reconcile-balances").arg("--full").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_is_gone_on_with_and_goes_back_as_one() {
    let db = large(3_000).await;
    let before = db.rows("SELECT id, org_id, item_id FROM inventory_ledger ORDER BY id").await;
    // A writer holds an entry of the North, so that the run stands in the middle of its work.
    let mut writer = db.connect().await;
    let mut transaction = hold(&mut writer).await;
    let args = [&NORTH[..], &["--copy-shared-items", "--yes", "--batch-rows", "10"]].concat();
    let mut child = db.run("data-assign").args(&args).spawn();
    wait_for(&db, "SELECT count(*) > 5 FROM stockfoil.move WHERE table_name = 'inventory_ledger'").await;
    let locked = db.run("data-assign").args(&args).await;
    locked.refuses(4, "another run holds the lock");
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    transaction.commit().await.unwrap();
    let moved = "SELECT count(*) > 0 AND count(*) < 1000 FROM inventory_ledger WHERE org_id = 'acme'";
    assert_eq!(db.value(moved).await, "t");
    assert_exact(&db).await;
    wait_for(&db, LOCK_IS_FREE).await;

    let report = db.run("data-assign").args(&args).args(["--format", "json"]).await.ok().json();
    assert_eq!(report["resumed"], true, "{report}");
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'acme'").await, "1000");
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "40");
    assert_eq!(db.value("SELECT count(DISTINCT run_id) FROM stockfoil.move").await, "1");
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    db.run("reconcile-balances").await.ok();

    // So is one that undoes it.
    let run = report["run_id"].to_string();
    transaction = hold(&mut writer).await;
    let mut child = db.run("data-assign").args(["--undo", &run, "--yes"]).spawn();
    wait_for(&db, "SELECT count(*) > 5 FROM stockfoil.move WHERE undone_run IS NOT NULL").await;
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    transaction.commit().await.unwrap();
    wait_for(&db, LOCK_IS_FREE).await;
    assert_exact(&db).await;
    assign(&db, 0, &["--undo", &run]).await;
    assert_eq!(db.rows("SELECT id, org_id, item_id FROM inventory_ledger ORDER BY id").await, before);
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "0");
    assert_exact(&db).await;
}

/// Locks one of the entries that move last.
async fn hold(writer: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("SELECT FROM inventory_ledger WHERE id = 'e984' FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Makes and removes items until `stop` is set.
async fn make_and_remove_items(mut connection: PgConnection, stop: &AtomicBool) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        sqlx::query("INSERT INTO items (id, item_number, name) VALUES ('w' || $1, 'W-' || $1, 'W')")
            .bind(n.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("DELETE FROM items WHERE id = 'w' || $1")
            .bind((n - 1).to_string())
            .execute(&mut connection)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_meanwhile_is_not_taken_for_what_a_move_takes_along() {
    let db = inventory().await;
    db.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN UPDATE items SET name = 'touched' WHERE id IN ('a1', 'n1'); PERFORM pg_sleep(0.05); RETURN NULL; END $$;
         CREATE TRIGGER touch AFTER UPDATE ON inventory_ledger FOR EACH STATEMENT EXECUTE FUNCTION touch();
         CREATE TRIGGER touch AFTER UPDATE ON users FOR EACH STATEMENT EXECUTE FUNCTION touch()",
    )
    .await;
    let (stop, connection) = (AtomicBool::new(false), db.connect().await);
    let work = async {
        let args = [&NORTH[..], &["--copy-shared-items", "--batch-rows", "50"]].concat();
        let moved = assign(&db, 0, &args).await;
        db.run("users-assign").args(["--org-id", "acme", "--user-id", "u1"]).await.ok();
        db.run("users-assign").args(["--org-id", "default", "--from", "acme", "--user-id", "u1"]).await.ok();
        assert_exact(&db).await;
        assign(&db, 0, &["--undo", &moved["run_id"].to_string()]).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(work, make_and_remove_items(connection, &stop));
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE org_id <> 'default'").await, "0");
    assert_exact(&db).await;
}

#[tokio::test]
async fn a_run_that_ends_in_the_middle_says_what_has_moved_and_goes_back() {
    let db = inventory().await;
    let before = everything(&db).await;
    db.execute(
        "CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN UPDATE users SET org_id = NEW.org_id WHERE id = 'u1'; RETURN NULL; END $$;
         CREATE TRIGGER along AFTER UPDATE ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION along()",
    )
    .await;
    let run = db.run("data-assign").args(NORTH).args(["--copy-shared-items", "--yes"]).await;
    let id = db.value("SELECT max(id) FROM stockfoil.run WHERE outcome = 'failed'").await;
    let run = run
        .refuses(3, &format!("run {id} ended in the middle;"))
        .refuses(3, "rows were copied")
        .refuses(3, &format!("--undo {id} takes them back"))
        .refuses(3, "took them along; those rows were left as they were");
    assert!(!run.stderr.contains("nothing"), "{}", run.stderr);
    db.execute("DROP TRIGGER along ON inventory_ledger").await;
    assign(&db, 0, &["--undo", &id]).await;
    assert_eq!(everything(&db).await, before);
}
