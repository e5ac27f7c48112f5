//! One of three organizations goes and comes back while the application of the others writes; and what is killed is gone on with.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::TestDb;
pub(super) use testkit::{LOCK_IS_FREE, wait_for};

use super::{assert_exact, content, counts, export_to, others, own, three};

/// A database in which `acme` has many entries.
async fn large(entries: u32) -> TestDb {
    let db = three().await;
    db.execute(format!(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id)
         SELECT 'acme-x' || n, 'acme-i' || 1 + n % 10, 'acme-l' || 1 + n % 4, n % 7 - 2.5, 'acme' FROM generate_series(1, {entries}) AS n;
         ANALYZE"
    ))
    .await;
    db
}

/// Makes entries and changes some of its own until `stop` is set; no statement may fail.
async fn write(mut connection: PgConnection, org: &str, writer: i32, stop: &AtomicBool, made: &AtomicU64) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let mut transaction = connection.begin().await.unwrap();
        sqlx::query(
            "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id)
             SELECT format('new-%s-%s-%s', $1, $2, k), $1 || '-i' || $2 % 10 + 1, $1 || '-l' || k, k * 0.5, $1 FROM generate_series(1, 3) AS k",
        )
        .bind(org)
        .bind(writer * 1_000_000 + n)
        .execute(&mut *transaction)
        .await
        .unwrap();
        sqlx::query("UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE id = format('new-%s-%s-2', $1, $2)")
            .bind(org)
            .bind(writer * 1_000_000 + n - 1)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        made.fetch_add(3, Ordering::Relaxed);
        // A person's work takes its time; without a pause the machine would only measure itself.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Eight writers of the other organizations at work while `work` runs; returns how many entries they have made.
async fn while_writing(db: &TestDb, work: impl Future<Output = ()>) -> u64 {
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(db.connect().await);
    }
    let mut writers = connections.into_iter().zip(1..).map(|(connection, writer)| {
        write(connection, ["default", "globex"][writer as usize % 2], writer, &stop, &made)
    });
    let mut next = || writers.next().unwrap();
    let writers = async { tokio::join!(next(), next(), next(), next(), next(), next(), next(), next()) };
    let work = async {
        work.await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(writers, work);
    made.load(Ordering::Relaxed)
}

/// The rows of others that no writer has made, but for balances.
async fn old(db: &TestDb) -> Vec<Vec<String>> {
    let rows = others(db).await;
    rows.into_iter().filter(|row| row.len() == 2 && !row[1].starts_with("(new-")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_goes_and_comes_back_under_writers_of_the_others() {
    let db = large(20_000).await;
    db.run("reconcile-balances").await.ok();
    let (before, its) = (old(&db).await, own(&db).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.jsonl");
    let made = while_writing(&db, async {
        let exported = export_to(&db, &file).await;
        let delete = db.run("org-delete").args(["--org-id", "acme", "--now", "--yes", "--format", "json"]);
        let certificate = delete.await.ok().json();
        assert_eq!(content(&certificate), content(&exported));
        assert_exact(&db).await;
        let imported = db.run("org-import").arg(&file).args(["--format", "json"]).await.ok().json();
        assert_eq!(counts(&imported), counts(&exported));
    })
    .await;
    assert!(made > 0);
    assert_eq!(old(&db).await, before);
    assert_eq!(own(&db).await, its);
    let new = "SELECT count(*) FROM inventory_ledger WHERE id LIKE 'new-%'";
    assert_eq!(db.value(new).await, made.to_string());
    assert_exact(&db).await;
    for full in [&[][..], &["--full"]] {
        db.run("reconcile-balances").args(full.iter().copied()).await.ok().says("match");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_deletion_is_gone_on_with_and_certified_as_one() {
    let db = large(2_000).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.jsonl");
    let exported = export_to(&db, &file).await;
    let (theirs, its) = (others(&db).await, own(&db).await);
    // Somebody holds an entry, so that the run stands in the middle of its work.
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("SELECT FROM inventory_ledger WHERE id = 'acme-x1000' FOR UPDATE").await.unwrap();
    let args = ["--org-id", "acme", "--now", "--yes", "--batch-rows", "10", "--format", "json"];
    let mut child = db.run("org-delete").args(args).spawn();
    wait_for(&db, "SELECT count(*) < 2000 FROM inventory_ledger WHERE org_id = 'acme'").await;
    db.run("org-delete").args(args).await.refuses(4, "another run holds the lock");
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    wait_for(&db, LOCK_IS_FREE).await;
    assert_exact(&db).await;
    assert_ne!(db.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'acme'").await, "0");
    transaction.rollback().await.unwrap();
    let certificate = db.run("org-delete").args(args).await.ok().json();
    assert_eq!(certificate["resumed"], true);
    assert_eq!(content(&certificate), content(&exported));
    assert_eq!(others(&db).await, theirs);
    kill_import(&db, &file).await;
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "0", "all, or nothing");
    assert_eq!(others(&db).await, theirs);
    db.run("org-import").arg(&file).await.ok();
    assert_eq!(own(&db).await, its);
    assert_eq!(others(&db).await, theirs);
    db.run("reconcile-balances").await.ok().says("match");
}

#[tokio::test]
async fn rows_that_keep_coming_are_found_out_and_the_rest_goes_later() {
    let db = large(500).await;
    let theirs = others(&db).await;
    db.execute(
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN INSERT INTO feature_flags (key, org_id) VALUES (gen_random_uuid()::text, OLD.org_id); RETURN NULL; END';
         CREATE TRIGGER again AFTER DELETE ON feature_flags FOR EACH ROW EXECUTE FUNCTION again()",
    )
    .await;
    let args = ["--org-id", "acme", "--now", "--yes"];
    let told = "somebody goes on writing rows of organization acme (rows of feature_flags";
    db.run("org-delete").args(args).await.refuses(3, told);
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE id = 'acme'").await, "1");
    let noted =
        "SELECT summary ->> 'error' FROM stockfoil.run WHERE command = 'org-delete' AND finished_at IS NULL";
    assert!(db.value(noted).await.starts_with("somebody goes on writing"));
    db.execute("DROP TRIGGER again ON feature_flags").await;
    let certificate = db.run("org-delete").args(args).args(["--format", "json"]).await.ok().json();
    assert_eq!((&certificate["state"], &certificate["resumed"]), (&"deleted".into(), &true.into()));
    assert!(content(&certificate).iter().any(|(table, rows, _)| table == "feature_flags" && *rows > 1));
    assert_eq!(others(&db).await, theirs);
    assert_exact(&db).await;
}

/// Kills an import in the middle of its work.
async fn kill_import(db: &TestDb, file: &Path) {
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("LOCK TABLE count_lines IN SHARE MODE").await.unwrap();
    let mut child = db.run("org-import").arg(file).spawn();
    wait_for(
        db,
        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'count_lines'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await;
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    transaction.rollback().await.unwrap();
    wait_for(db, LOCK_IS_FREE).await;
}
