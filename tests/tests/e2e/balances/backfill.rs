//! backfill-balances: every balance becomes the sum of its entries, once.

use serde_json::json;
use testkit::TestDb;

use super::fixture::{
    backfilled, balances, behind_the_triggers, entry, inventory, not_backfilled, wrong_keys,
};

const KEYS: &str = "SELECT count(*) FROM (SELECT DISTINCT org_id, item_id, location_id, coalesce(lot_id, '') FROM inventory_ledger) AS k";

#[tokio::test]
async fn balances_become_the_sums_of_their_entries() {
    let db = not_backfilled().await;
    let keys = db.value(KEYS).await;
    let run = db.run("backfill-balances").await.ok();
    assert!(run.stdout.contains(&format!("{keys} written")), "{}", run.stdout);
    let run = run.says(&format!("verified: all {keys} balances are the sum of their ledger entries"));
    assert!(run.stderr.contains("PostgreSQL"), "{}", run.stderr);
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(db.value("SELECT count(*) FROM inventory_balances").await, keys);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.backfill").await, "3");
    assert_eq!(
        db.rows("SELECT command, outcome, summary ->> 'rows' FROM stockfoil.run").await,
        [["backfill-balances", "clean", &keys]]
    );
}

#[tokio::test]
async fn a_second_run_writes_nothing() {
    let db = backfilled().await;
    let before = db.rows("SELECT xmin::text, * FROM inventory_balances ORDER BY 2, 3, 4, 6").await;
    let report = db.run("backfill-balances").args(["--format", "json"]).await.ok().json();
    assert_eq!((&report["rows"], &report["still_lacking"]), (&json!(0), &json!(0)));
    assert_eq!(report["schema"], "stockfoil.backfill/1");
    assert_eq!(db.rows("SELECT xmin::text, * FROM inventory_balances ORDER BY 2, 3, 4, 6").await, before);
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let db = not_backfilled().await;
    let keys = db.value(KEYS).await;
    db.run("backfill-balances")
        .arg("--dry-run")
        .await
        .ok()
        .says(&format!("3 organizations: {keys} balances would be written; nothing was changed"));
    assert!(balances(&db).await.is_empty());
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.run").await, "0");
}

#[tokio::test]
async fn one_organization_is_backfilled_alone() {
    let db = not_backfilled().await;
    db.run("backfill-balances").args(["--org", "acme"]).await.ok().says("1 organization, ");
    assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ' ') FROM inventory_balances").await, "acme");
    assert!(wrong_keys(&db).await.iter().all(|row| row[0] != "acme"));
    db.run("backfill-balances").args(["--org", "zeta", "--org=default"]).await.ok().says("2 organizations, ");
    assert!(wrong_keys(&db).await.is_empty());
}

#[tokio::test]
async fn entries_that_were_written_and_deleted_before_the_backfill_leave_zero() {
    let db = not_backfilled().await;
    // The triggers are there, the backfill was not: what is taken away was never given.
    db.execute("DELETE FROM inventory_ledger WHERE item_id = 'bolt'").await;
    db.execute("UPDATE inventory_ledger SET item_id = 'nut' WHERE item_id = 'ore'").await;
    db.run("backfill-balances").await.ok().says("verified");
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value(
            "SELECT count(*) FROM inventory_balances WHERE item_id IN ('bolt', 'ore') AND qty_canonical <> 0"
        )
        .await,
        "0"
    );
    assert_ne!(
        db.value("SELECT count(*) FROM inventory_balances WHERE item_id = 'nut' AND qty_canonical <> 0")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_key_whose_entries_cancel_out_gets_a_row() {
    let db = inventory().await;
    behind_the_triggers(&db, &(entry("bolt", "NULL", "5") + &entry("bolt", "''", "-5"))).await;
    db.run("backfill-balances").await.ok().says("1 written");
    assert_eq!(balances(&db).await, ["default bolt l1 - 0"]);
}

#[tokio::test]
async fn quantities_of_any_size_are_exact() {
    let db = inventory().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric").await;
    let long = "1234567890123456789012345678901234567890.000000000000000000001";
    behind_the_triggers(&db, &(entry("bolt", "NULL", long) + &entry("bolt", "NULL", "1e30"))).await;
    db.run("backfill-balances").args(["--batch-rows", "1"]).await.ok();
    assert_eq!(
        balances(&db).await,
        ["default bolt l1 - 1234567891123456789012345678901234567890.000000000000000000001"]
    );
}

#[tokio::test]
async fn entries_that_are_no_numbers_are_told_and_spoil_nothing_else() {
    let db = not_backfilled().await;
    behind_the_triggers(&db, &entry("bolt", "'N'", "NaN")).await;
    db.execute(entry("bolt", "'N'", "7")).await;
    db.run("backfill-balances").await.status(1).says("1 keys hold what is no number").says("verified");
    assert_eq!(db.value("SELECT qty_canonical FROM inventory_balances WHERE lot_id = 'N'").await, "7.000000");
    assert_eq!(wrong_keys(&db).await.len(), 1);
    // Mended in the ledger, the balance is right at once.
    db.execute("UPDATE inventory_ledger SET qty_canonical = 3 WHERE qty_canonical = 'NaN'").await;
    assert!(wrong_keys(&db).await.is_empty());
    db.run("backfill-balances").await.ok();
}

#[tokio::test]
async fn it_refuses_what_it_cannot_do() {
    let db = not_backfilled().await;
    for (args, status, words) in [
        (["--org", "nobody"], 2, "there is no organization with the id or subdomain \"nobody\""),
        (["--org", "Bad Name"], 2, "can't be an organization's id or subdomain"),
        (["--batch-rows", "0"], 2, "a batch of 0 rows does nothing"),
        (["--batch-rows", "many"], 2, "--batch-rows"),
        (["--orgs", "acme"], 2, "did you mean --org?"),
    ] {
        db.run("backfill-balances").args(args).await.refuses(status, words);
    }
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_delete").await;
    db.run("backfill-balances").await.refuses(
        3,
        "trigger inventory_ledger_balance_delete is not as it should be: disabled; run migrate-balance first",
    );
    db.execute("DROP TABLE inventory_balances").await;
    db.run("backfill-balances").await.refuses(3, "table inventory_balances is missing");
    TestDb::empty().await.run("backfill-balances").await.refuses(3, "has no table users; run db-migrate");
    TestDb::inventory().await.run("backfill-balances").await.refuses(3, "run migrate-balance first");
}

#[tokio::test]
async fn two_repairs_do_not_overlap() {
    let db = not_backfilled().await;
    let mut other = db.connect().await;
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(0x7374_6f63_6b66_6f69_i64)
        .execute(&mut other)
        .await
        .unwrap();
    db.run("backfill-balances").await.refuses(4, "another run holds the lock: pid");
    assert!(balances(&db).await.is_empty());
    // Looking is always allowed.
    db.run("backfill-balances").arg("--dry-run").await.ok();
}

#[tokio::test]
async fn a_read_only_server_is_refused() {
    let db = not_backfilled().await;
    db.execute(format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name())).await;
    db.run("backfill-balances").await.refuses(3, "is read-only");
    db.run("backfill-balances").arg("--dry-run").await.ok();
}
