//! Whom a step waits for, how long, and what it may cost those behind it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sqlx::{Connection as _, PgConnection};

use super::*;

/// A session that holds what `sql` takes, in an open transaction.
async fn holding(db: &TestDb, sql: &'static str) -> (PgConnection, i32) {
    let mut session = db.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut session).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut session).await.unwrap();
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    (session, pid)
}

#[tokio::test]
async fn a_prepared_transaction_in_the_way_is_named() {
    let db = TestDb::inventory().await;
    let gid = format!("cart of {}", db.name());
    let prepare = |sql: &str| db.execute(format!("BEGIN; {sql}; PREPARE TRANSACTION '{gid}'"));
    let rollback = || db.execute(format!("ROLLBACK PREPARED '{gid}'"));
    prepare("UPDATE users SET name = 'x'").await;
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "600ms"])
        .await
        .refuses(3, &format!("s for prepared transaction '{gid}' ("))
        .tells("ROLLBACK PREPARED ends it");
    // It may be gone meanwhile, and the run goes on.
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let (_open, _) = until_it_waits(&mut child).await;
    rollback().await;
    assert!(child.wait().await.unwrap().success());
    // The build of an index waits for it likewise.
    prepare("UPDATE inventory_ledger SET reference = 'x'").await;
    db.run("migrate-balance")
        .args(["--lock-wait", "600ms"])
        .await
        .refuses(3, &format!("prepared transaction '{gid}' ("));
    rollback().await;
    db.run("migrate-balance").await.ok();
}

#[tokio::test]
async fn a_fill_says_who_holds_its_row_and_waits_no_longer_than_it_may() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    // An organization's column from before, which is to be filled.
    db.execute(
        "ALTER TABLE users ADD COLUMN org_id text;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;
    // So far that the fill is what comes next.
    db.run("migrate-org").arg("--contract").await.refuses(3, "not now");
    db.execute("DROP TRIGGER refuse ON users").await;
    let (mut writer, pid) = holding(&db, "SELECT FROM users WHERE id = 'u7' FOR UPDATE").await;
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "3s"])
        .await
        .refuses(3, &format!("s for pid {pid} ("))
        .tells("a writer holds rows of the batch");
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let (_open, said) = until_it_waits(&mut child).await;
    assert!(said.contains(&format!("waiting for pid {pid} (")), "{said}");
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id IS NULL").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_overlap_for_ever_do_not_starve_a_step_with_a_budget() {
    let db = TestDb::inventory().await;
    let stop = Arc::new(AtomicBool::new(false));
    // Each is too short to be waited for by name, and too long for one attempt; one of them is always there.
    let readers: Vec<_> = (0..4)
        .map(|at| {
            let (stop, url) = (Arc::clone(&stop), db.url());
            tokio::spawn(async move {
                let mut session = PgConnection::connect(&url).await.unwrap();
                // One after the other, so that they do not all end at once.
                sqlx::query("SELECT pg_sleep($1 * 0.1)")
                    .bind(f64::from(at))
                    .execute(&mut session)
                    .await
                    .unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let read = "BEGIN; SELECT count(*) FROM users; SELECT pg_sleep(0.4); COMMIT";
                    sqlx::raw_sql(read).execute(&mut session).await.unwrap();
                }
            })
        })
        .collect();
    let mut child = db.run("migrate-org").arg("--contract").args(["--lock-budget", "30s"]).spawn();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("the lock was not free, trying again, next for up to 200 ms of its budget") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    let is_added =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'org_id'";
    while db.value(is_added).await == "0" {
        assert!(child.try_wait().unwrap().is_none());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_standby_is_not_left_behind() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-org").arg("--contract").await.ok();
    let standby = tokio::task::spawn_blocking(|| Cluster::shared().standby()).await.unwrap();
    let mut replica = PgConnection::connect(&standby.url(db.name())).await.unwrap();
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut replica).await.unwrap();
    // Two builds, the first of which a writer holds up until the replica is behind.
    db.execute("DROP INDEX count_lines_org_id_idx, audit_logs_org_id_idx").await;
    let mut writer = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK count_lines IN ROW EXCLUSIVE MODE").execute(&mut writer).await.unwrap();
    let mut child = db.run("migrate-org").arg("--contract").args(["--max-replica-lag", "500ms"]).spawn();
    let (mut stderr, mut said) = until_it_waits(&mut child).await;
    let behind = "SELECT coalesce(max(clock_timestamp() - query_start) > '1s', false) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'";
    while db.value(behind).await != "t" {}
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    while !said.contains("waiting for replica") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    assert!(said.contains("build index audit_logs_org_id_idx"), "{said}");
    sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&mut replica).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    // Who may not see replicas is not told that there are none.
    let db = TestDb::empty().await;
    let role = format!("blind_{}", db.name());
    db.execute(format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}", db.name())).await;
    let url = db.cluster().url_as(&role, db.name());
    db.run("db-migrate").env("DATABASE_URL", &url).await.ok();
    db.run("migrate-org")
        .arg("--contract")
        .args(["--max-replica-lag", "5s"])
        .env("DATABASE_URL", &url)
        .await
        .tells("--max-replica-lag needs to see how far replicas are");
}
