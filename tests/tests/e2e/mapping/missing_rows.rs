//! Rows of an adopted table that the application has deleted, and writers of their keys while they are given back.

use std::process::Output;

use sqlx::{Connection as _, PgConnection};
use testkit::{TestDb, wait_for};
use tokio::process::Child;

const CONFIG: &str = "[tenancy]\ntables = [\"users\", \"mv\", \"stock\"]\nitems = false
[ledger]\ntable = \"mv\"\nitem = \"item\"\nlocation = false\nlot = false\nquantity = \"qty\"\ncreated_at = false
[balances]\ntable = \"stock\"\nadopt = true\nitem = \"item\"\nlocation = false\nlot = false\nquantity = \"qty\"\nlast_ledger_id = false\nlast_updated = false\n";

/// A stock of `a`, which has its row, and of `b`, whose row the application has deleted.
struct Shop {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let db = TestDb::empty().await;
        db.execute(
            "CREATE TABLE users (id serial PRIMARY KEY, email text);
             CREATE TABLE mv (id serial PRIMARY KEY, item text, qty int);
             CREATE TABLE stock (id serial PRIMARY KEY, item text, qty int NOT NULL DEFAULT 0);
             INSERT INTO mv (item, qty) VALUES ('a', 3), ('b', 5); INSERT INTO stock (item, qty) VALUES ('a', 3), ('b', 5)",
        )
        .await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), CONFIG).unwrap();
        db.run("migrate-all").folder(folder.path()).await.ok();
        db.execute("UPDATE stock SET qty = 4 WHERE item = 'a'; DELETE FROM stock WHERE item = 'b'").await;
        Self { db, folder }
    }

    fn repair(&self) -> Child {
        self.db
            .run("reconcile-balances")
            .args(["--fix-large", "--format", "json"])
            .folder(self.folder.path())
            .spawn()
    }

    async fn until_it_waits(&self) {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
            AND application_name LIKE 'reconcile-balances%' AND wait_event_type = 'Lock')
            OR EXISTS (SELECT FROM stockfoil.run WHERE command = 'reconcile-balances' AND finished_at IS NOT NULL)";
        wait_for(&self.db, waits).await;
    }

    /// The stock is what its entries say, and the next run finds the same.
    async fn is(&self, stock: &str) {
        let rows = "SELECT coalesce(string_agg(item || ':' || qty, ' ' ORDER BY item), '') FROM stock";
        assert_eq!(self.db.value(rows).await, stock);
        let run = self.db.run("reconcile-balances").arg("--full").folder(self.folder.path());
        run.await.ok().says(": 0 differ");
    }
}

async fn execute(session: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(session).await.unwrap();
}

fn ended(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_last_entry_is_just_going_gets_no_row_with_what_it_held() {
    // Deleted, or moved to another key.
    for (goes, stock) in
        [("DELETE FROM mv WHERE item = 'b'", "a:3"), ("UPDATE mv SET item = 'a' WHERE item = 'b'", "a:8")]
    {
        let shop = Shop::open().await;
        let mut writer = shop.db.connect().await;
        execute(&mut writer, "BEGIN").await;
        execute(&mut writer, goes).await;
        let repair = shop.repair();
        shop.until_it_waits().await;
        execute(&mut writer, "COMMIT").await;
        repair.wait_with_output().await.unwrap();
        shop.db.run("reconcile-balances").arg("--fix-large").folder(shop.folder.path()).await;
        shop.is(stock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_emptied_and_filled_since_it_was_compared_gets_what_it_lacks_now() {
    let shop = Shop::open().await;
    let mut holder = shop.db.connect().await;
    execute(&mut holder, "BEGIN; SELECT FROM stock WHERE item = 'a' FOR UPDATE").await;
    let repair = shop.repair();
    shop.until_it_waits().await;
    // It has compared both keys, and waits for the row of one.
    shop.db.execute("DELETE FROM mv WHERE item = 'b'").await;
    shop.db.execute("INSERT INTO mv (item, qty) VALUES ('b', 2)").await;
    execute(&mut holder, "COMMIT").await;
    ended(&repair.wait_with_output().await.unwrap());
    shop.is("a:3 b:2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_snapshot_is_older_than_a_row_that_came_back_must_try_again() {
    for (level, begin) in [
        ("REPEATABLE READ", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM mv"),
        ("SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT FROM mv"),
    ] {
        for goes in ["DELETE FROM mv WHERE item = 'b'", "UPDATE mv SET item = 'a' WHERE item = 'b'"] {
            let shop = Shop::open().await;
            let mut writer = PgConnection::connect(&shop.db.url()).await.unwrap();
            execute(&mut writer, begin).await;
            ended(&shop.repair().wait_with_output().await.unwrap());
            let refused = sqlx::raw_sql(goes).execute(&mut writer).await.unwrap_err();
            assert_eq!(
                refused.as_database_error().unwrap().code().as_deref(),
                Some("40001"),
                "{level} {goes}: {refused}"
            );
            execute(&mut writer, "ROLLBACK").await;
            execute(&mut writer, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
            execute(&mut writer, goes).await;
            execute(&mut writer, "COMMIT").await;
            shop.is(if goes.starts_with("DELETE") { "a:3 b:0" } else { "a:8 b:0" }).await;
            // Where there is no row, none comes.
            shop.db
                .execute("INSERT INTO mv (item, qty) VALUES ('b', 6); DELETE FROM stock WHERE item = 'b'")
                .await;
            execute(
                &mut writer,
                "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM mv WHERE item = 'b'; COMMIT",
            )
            .await;
            shop.is(if goes.starts_with("DELETE") { "a:3" } else { "a:8" }).await;
        }
    }
}
