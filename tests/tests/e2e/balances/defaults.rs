//! What a database or a role sets for its sessions changes nothing of what commands find and do.
#![allow(clippy::disallowed_methods, reason = "settings are put together from names of the tests' own")]

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testkit::TestDb;

use super::{
    fixture::{backfilled, entry, not_backfilled, wrong_keys},
    writers::wait_for,
};

/// Settings that stand in real databases, and that once changed what was found, written or waited for.
const DEFAULTS: [&str; 17] = [
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "session_replication_role = replica",
    "DateStyle = 'German, DMY'",
    "TimeZone = 'Pacific/Chatham'",
    "IntervalStyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "lc_monetary = 'C'",
    "search_path = nowhere",
    "row_security = on",
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
];

async fn set(db: &TestDb, setting: &str) {
    db.execute(format!("ALTER DATABASE {} SET {setting}", db.name())).await;
}

#[tokio::test]
async fn no_default_of_a_database_changes_what_is_found() {
    let db = backfilled().await;
    let mut writer = db.connect().await;
    let mut owner = db.connect().await;
    let damage = "UPDATE public.inventory_balances SET qty_canonical = qty_canonical + 2.5
        WHERE (org_id, item_id, location_id, lot_key) = ('acme', 'nut', 'l2', 'A')";
    for setting in DEFAULTS {
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER DATABASE {} SET {setting}", db.name())))
            .execute(&mut owner)
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("{damage}; {}", entry("bolt", "NULL", "0.125"))))
            .execute(&mut writer)
            .await
            .unwrap();
        let run = db.run("reconcile-balances").args(["--fix-large", "--format", "json"]).await;
        let report = run.ok().json();
        assert_eq!(report["differences"]["large"], 1, "{setting}: {report}");
        assert_eq!(
            (&report["listed"][0]["drift"], &report["listed"][0]["repaired"]),
            (&json!("-2.5"), &json!(true)),
            "{setting}"
        );
        db.run("reconcile-balances").arg("--full").await.ok().says(": 0 differ");
        db.run("backfill-balances").await.ok().says("verified");
        db.run("reconcile-balances").args(["--explain", "acme/nut/l2/A"]).await.ok();
        let name = setting.split(' ').next().unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER DATABASE {} RESET {name}", db.name())))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    assert!(wrong_keys(&db).await.is_empty());
}

/// Its entries would be written without the triggers that count them.
#[tokio::test]
async fn an_entry_that_corrects_the_ledger_is_counted_whatever_triggers_fire_by_default() {
    let db = backfilled().await;
    db.execute(
        "UPDATE inventory_balances SET qty_canonical = qty_canonical + 2.5
         WHERE (org_id, item_id, location_id, lot_key) = ('acme', 'nut', 'l2', 'A')",
    )
    .await;
    set(&db, "session_replication_role = replica").await;
    db.run("reconcile-balances").args(["--fix-by-entry", "delivery note 7 was lost"]).await.ok();
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value(
            "SELECT trim_scale(sum(qty_canonical)) FROM inventory_ledger WHERE note LIKE '%delivery note 7%'"
        )
        .await,
        "2.5"
    );
    // Who may not say so is told who must.
    let role = format!("keeper_{}", db.name());
    db.execute(format!("CREATE ROLE {role} LOGIN")).await;
    db.run("reconcile-balances")
        .env("DATABASE_URL", db.cluster().url_as(&role, db.name()))
        .await
        .refuses(3, "RESET session_replication_role");
}

/// A balance that a writer changed meanwhile is waited for, and repaired by what it is then.
#[tokio::test]
async fn a_repair_waits_for_writers_where_transactions_are_serializable() {
    for isolation in ["repeatable read", "serializable"] {
        let db = not_backfilled().await;
        db.run("backfill-balances").await.ok();
        db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 1").await;
        set(&db, &format!("default_transaction_isolation = '{isolation}'")).await;
        let mut writer = PgConnection::connect(&db.url()).await.unwrap();
        let mut transaction = writer.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(entry("bolt", "NULL", "0.125")))
            .execute(&mut *transaction)
            .await
            .unwrap();
        let run = db.run("backfill-balances").spawn();
        wait_for(&db, "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
            WHERE NOT l.granted AND a.datname = current_database() AND a.query LIKE '%WITH ledger AS MATERIALIZED%'").await;
        transaction.commit().await.unwrap();
        let output = run.wait_with_output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{isolation}: {told}");
        assert!(wrong_keys(&db).await.is_empty(), "{isolation}");
    }
}

/// What only reads is done; what would write says who keeps it from that, before it has done anything.
#[tokio::test]
async fn transactions_that_only_read_by_default_are_named_before_anything_is_written() {
    let db = backfilled().await;
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 2.5 WHERE org_id = 'acme' AND item_id = 'nut'").await;
    let wrong = wrong_keys(&db).await;
    set(&db, "default_transaction_read_only = on").await;
    let remedy = "ALTER DATABASE or ROLE ... RESET default_transaction_read_only";
    for command in [
        "reconcile-balances --fix-large",
        "backfill-balances",
        "validate-migration --prove",
        "migrate-balance",
    ] {
        let mut words = command.split(' ');
        db.run(words.next().unwrap()).args(words).await.refuses(3, remedy);
    }
    db.run("reconcile-balances").arg("--dry-run").await.status(1).says(": 3 differ");
    db.run("validate-migration").await.ok();
    let reset = format!("ALTER DATABASE {} RESET default_transaction_read_only", db.name());
    db.execute(format!("BEGIN READ WRITE; {reset}; COMMIT")).await;
    assert_eq!(wrong_keys(&db).await, wrong);
    db.run("reconcile-balances").arg("--fix-large").await.ok();
}

/// How much a number of money is depends on `lc_monetary`, which each session may set.
#[tokio::test]
async fn money_is_no_quantity() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, email text); CREATE TABLE mv (id serial PRIMARY KEY, item text NOT NULL, amount money);
         INSERT INTO mv (item, amount) VALUES ('a', '1.25')",
    )
    .await;
    for (quantity, reason) in [
        ("\"amount\"", "its type is money, and a quantity is numeric or an integer"),
        ("{ sql = \"amount::numeric\" }", "it is not IMMUTABLE"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[tenancy]\ntables = [\"users\", \"mv\"]\nitems = false\n[ledger]\ntable = \"mv\"\nitem = \"item\"\nlocation = false
lot = false\ncreated_at = false\nquantity = {quantity}\n[balances]\nlocation = false\nlot = false\n"
        );
        std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
        db.run("migrate-all").folder(folder.path()).await.refuses(2, reason);
    }
}
