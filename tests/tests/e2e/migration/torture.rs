//! Migrations among writers, killed and crashed at every point. Writers must see no error and lose no write.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "writers send statements that they make up, a seed may be given, and what was measured is printed"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;

use super::*;
use writers::Writers;

mod writers;

/// Numbers that look random; the seed is printed, and `STOCKFOIL_TEST_SEED` gives it again.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let given = std::env::var("STOCKFOIL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(u64::try_from(now & 0xffff_ffff).unwrap());
        println!("STOCKFOIL_TEST_SEED={seed}");
        Random(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What must hold at the end of every test here.
async fn all_is_well(db: &TestDb) {
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("validate-migration").await.ok().says(" 0 failed");
    assert_eq!(db.value("SELECT count(*) FROM pg_index WHERE NOT (indisvalid AND indisready)").await, "0");
    db.run("reconcile-balances").await.ok();
}

/// The lock that the trigger below waits for, while the test holds it.
const GATE: &str = "SELECT pg_advisory_lock(4711)";

/// Each run records a step when it has done it. A trigger on that record makes it wait there, between two steps.
pub(crate) async fn close_gate(db: &TestDb) {
    db.execute(
        "CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;
         CREATE TRIGGER gate BEFORE UPDATE ON stockfoil.run FOR EACH ROW WHEN (NEW.finished_at IS NULL) EXECUTE FUNCTION public.gate()",
    )
    .await;
}

pub(crate) async fn open_gate(db: &TestDb) {
    db.execute("DROP TRIGGER gate ON stockfoil.run; DROP FUNCTION public.gate()").await;
}

/// Runs `command` again and again, each time killed as soon as it has done one step, until there is nothing to do.
/// Returns how often it was killed.
async fn killed_between_all_steps(db: &TestDb, command: &str, args: &[&str]) -> u32 {
    killed_between_all_steps_of(db, || db.run(command).args(args.iter().copied())).await
}

/// The same of what `command` makes.
pub(crate) async fn killed_between_all_steps_of(db: &TestDb, command: impl Fn() -> Binary) -> u32 {
    let mut keeper = db.connect().await;
    sqlx::raw_sql(GATE).execute(&mut keeper).await.unwrap();
    let mut killed = 0;
    loop {
        let mut child = command().spawn();
        let waiting = loop {
            if let Some(status) = child.try_wait().unwrap() {
                let output = child.wait_with_output().await.unwrap();
                assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                return killed;
            }
            let pid: Option<i32> = sqlx::query_scalar(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .fetch_optional(&mut keeper)
            .await
            .unwrap();
            if let Some(pid) = pid {
                break pid;
            }
        };
        signal(&child, Signal::KILL);
        child.wait().await.unwrap();
        killed += 1;
        // What the server would do by itself within half a second.
        sqlx::query("SELECT pg_terminate_backend($1, 5000)")
            .bind(waiting)
            .execute(&mut keeper)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_every_two_steps_forward_and_back() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("db-migrate").await.ok();
    let before = schema(&db);
    let writers = Writers::start(db.url());
    writers.names_keys.store(true, Ordering::SeqCst);
    close_gate(&db).await;
    let expanded = killed_between_all_steps(&db, "migrate-org", &[]).await;
    writers.names_keys.store(false, Ordering::SeqCst);
    let contracted = killed_between_all_steps(&db, "migrate-org", &["--contract"]).await;
    let balances = killed_between_all_steps(&db, "migrate-balance", &[]).await;
    // For each of five keys an index that serves its lookups, and the end of the key.
    assert!(expanded > 40 && contracted >= 10 && balances >= 5, "{expanded} {contracted} {balances}");
    open_gate(&db).await;
    all_is_well(&db).await;
    close_gate(&db).await;
    let balances = killed_between_all_steps(&db, "migrate-balance", &["--rollback", "--yes"]).await;
    let organizations = killed_between_all_steps(&db, "migrate-org", &["--rollback", "--yes"]).await;
    assert!(balances >= 5 && organizations > 20, "{balances} {organizations}");
    open_gate(&db).await;
    writers.end(&db, "killed between every two steps").await;
    same_schema(&db, &before);
    all_is_well(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_forty_random_moments() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    let writers = Writers::start(db.url());
    let mut random = Random::new();
    let (mut killed, mut back) = (0, false);
    while killed < 40 {
        let args: &[&str] = if back { &["--rollback", "--yes"] } else { &[] };
        let mut child = db.run("migrate-all").arg("--contract").args(args.iter().copied()).spawn();
        let moment = Duration::from_millis(random.below(1200));
        match tokio::time::timeout(moment, child.wait()).await {
            Ok(status) => {
                let output = child.wait_with_output().await.unwrap();
                assert!(status.unwrap().success(), "{}", String::from_utf8_lossy(&output.stderr));
                back = !back;
            }
            Err(_) => {
                signal(&child, Signal::KILL);
                child.wait().await.unwrap();
                killed += 1;
            }
        }
    }
    all_is_well(&db).await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    writers.end(&db, "killed at 40 random moments").await;
    same_schema(&db, &before);
    all_is_well(&db).await;
}

#[tokio::test]
async fn a_server_that_crashes_in_an_index_build_leaves_nothing_behind() {
    let cluster = Cluster::start(&["--set", "synchronous_commit=on"]);
    let url = cluster.url("postgres");
    let run = |name: &str| Binary::new(name).env("DATABASE_URL", url.clone());
    let mut session = PgConnection::connect(&url).await.unwrap();
    run("migrate-all").arg("--contract").await.ok();
    run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    sqlx::raw_sql("CREATE TABLE another (n int)").execute(&mut session).await.unwrap();
    // An old snapshot of another table: the build waits for it, and names its pid; writers do not wait.
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM another")
        .execute(&mut session)
        .await
        .unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    let mut child = run("migrate-all").arg("--contract").spawn();
    let (mut stderr, mut said) = until_it_waits(&mut child).await;
    assert!(
        said.contains(&format!("waiting for pid {pid} (")) && said.contains("build unique index"),
        "{said}"
    );
    let mut writer = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SET statement_timeout = '2s'; INSERT INTO users (email, name) VALUES ('a', 'b')")
        .execute(&mut writer)
        .await
        .unwrap();
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    let before: i64 = sqlx::query_scalar(invalid).fetch_one(&mut writer).await.unwrap();
    assert_eq!(before, 1);
    cluster.crash();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
    stderr.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("error: "), "{said}");
    run("migrate-all")
        .arg("--contract")
        .await
        .ok()
        .tells("removing the INVALID index that an earlier build left");
    run("validate-migration").await.ok();
    let mut session = PgConnection::connect(&url).await.unwrap();
    let after: i64 = sqlx::query_scalar(invalid).fetch_one(&mut session).await.unwrap();
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&mut session).await.unwrap();
    assert_eq!((after, users), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_queued_goes_with_its_killed_client() {
    let db = TestDb::inventory().await;
    let stop = Arc::new(AtomicBool::new(false));
    // Readers that are young, so that they are not waited for beforehand, and never all gone.
    let readers: Vec<_> = (0..2)
        .map(|place| {
            let (stop, url) = (Arc::clone(&stop), db.url());
            tokio::spawn(async move {
                let mut reader = PgConnection::connect(&url).await.unwrap();
                tokio::time::sleep(Duration::from_millis(150 * place)).await;
                while !stop.load(Ordering::Relaxed) {
                    sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut reader).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
                }
            })
        })
        .collect();
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let mut session = db.connect().await;
    loop {
        let queued: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'users'::regclass)",
        )
        .fetch_one(&mut session)
        .await
        .unwrap();
        if queued {
            break;
        }
        assert!(child.try_wait().unwrap().is_none());
    }
    signal(&child, Signal::KILL);
    child.wait().await.unwrap();
    let select = sqlx::raw_sql("SELECT count(*) FROM users").execute(&mut session);
    tokio::time::timeout(Duration::from_secs(1), select).await.expect("a reader waits").unwrap();
    while db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migrate-org%' AND datname = current_database()").await != "0" {}
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(
        db.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'org_id'"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn two_migrators_give_one_result() {
    let db = TestDb::inventory().await;
    let mut reader = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut reader).await.unwrap();
    let mut first = db.run("migrate-all").arg("--contract").spawn();
    let (_open, _) = until_it_waits(&mut first).await;
    db.run("migrate-all").arg("--contract").await.refuses(4, "another run holds the lock: pid");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    assert!(first.wait().await.unwrap().success());
    all_is_well(&db).await;
}

#[tokio::test]
async fn patience_ends_with_the_names_of_those_in_the_way() {
    let db = TestDb::inventory().await;
    let mut reader = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut reader).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut reader).await.unwrap();
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "600ms"])
        .await
        .refuses(3, &format!("s for pid {pid} ("))
        .tells("give a longer --lock-wait");
    // An index build that waits for a snapshot is cancelled likewise.
    db.execute("CREATE TABLE another (n int)").await;
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM another")
        .execute(&mut reader)
        .await
        .unwrap();
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "600ms"])
        .await
        .refuses(3, &format!("for pid {pid} ("))
        .tells("build unique index");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    all_is_well(&db).await;
}

#[tokio::test]
async fn an_old_snapshot_is_named_and_holds_up_the_build_alone() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute("CREATE TABLE another (n int)").await;
    let mut reader = db.connect().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM another")
        .execute(&mut reader)
        .await
        .unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut reader).await.unwrap();
    let writers = Writers::start(db.url());
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let (_open, said) = until_it_waits(&mut child).await;
    assert!(said.contains(&format!("waiting for pid {pid} (")), "{said}");
    assert!(said.contains("build unique index"), "{said}");
    // As long as a report or a dump may hold its snapshot: writers go on all the while.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(child.try_wait().unwrap().is_none(), "the build did not wait for the snapshot");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    writers.end(&db, "beside a snapshot of 30 s").await;
    all_is_well(&db).await;
}

#[tokio::test]
async fn a_slow_autovacuum_yields() {
    let cluster = Cluster::start(&["--set", "autovacuum_naptime=1s"]);
    let psql = |sql: &str| {
        let done = cluster
            .program("psql")
            .args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    psql(
        "CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE postgres TO plain; GRANT CREATE ON SCHEMA public TO plain",
    );
    let inventory = std::fs::read_to_string(
        testkit::workspace().join("migrations/20260101000000_default_inventory.up.sql"),
    )
    .unwrap();
    psql(&format!("SET ROLE plain; {inventory}"));
    psql(
        "INSERT INTO users (email, name) SELECT g::text, repeat('x', 500) FROM generate_series(1, 20000) g;
         ALTER TABLE users SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
         DELETE FROM users WHERE email::int % 2 = 0",
    );
    while psql("SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'users'::regclass").trim() == "0" {
    }
    // A plain role can't lower deadlock_timeout, so the worker takes its second to yield.
    let url = cluster.url_as("plain", "postgres");
    Binary::new("migrate-org").env("DATABASE_URL", url).await.ok();
    assert_eq!(psql("SELECT count(*) FROM pg_index WHERE NOT indisvalid").trim(), "0");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_before_the_first_change() {
    let db = TestDb::inventory().await;
    let before = schema(&db);
    // As it comes, and told to swallow what a session asks for at its start.
    for ignored in ["extra_float_digits", "extra_float_digits,options"] {
        let pooler = db.cluster().pooler(&format!("ignore_startup_parameters = {ignored}"));
        for command in ["migrate-org", "migrate-balance", "migrate-all"] {
            Binary::new(command)
                .env("DATABASE_URL", pooler.url(db.name()))
                .await
                .refuses(3, "goes through a pooler in transaction mode")
                .tells("connect to the server itself");
        }
        same_schema(&db, &before);
    }
}

#[tokio::test]
async fn a_roles_own_settings_do_no_harm() {
    let db = TestDb::inventory().await;
    let name = format!("hasty_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {name} LOGIN SUPERUSER; ALTER ROLE {name} SET statement_timeout = '1ms'; ALTER ROLE {name} SET lock_timeout = '1ms';
         ALTER ROLE {name} SET search_path = nowhere; ALTER ROLE {name} SET default_transaction_isolation = 'serializable';
         ALTER ROLE {name} SET idle_in_transaction_session_timeout = '1ms'; ALTER ROLE {name} SET row_security = on"
    ))
    .await;
    let url = db.cluster().url_as(&name, db.name());
    Binary::new("migrate-org").env("DATABASE_URL", url.clone()).await.ok();
    Binary::new("migrate-balance").env("DATABASE_URL", url).await.ok();
    db.execute(format!("REASSIGN OWNED BY {name} TO CURRENT_USER; DROP ROLE {name}")).await;
}
