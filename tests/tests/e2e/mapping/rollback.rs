//! Each mapped database back to what it was, after all that was done to it.

use testkit::{Mapped, TestDb};

use super::sample;
use crate::migration::{same_schema, schema};

/// The rows of the ledger as they are without Stockfoil's columns, and how many rows its table has.
fn rows_sql(mapped: Mapped) -> &'static str {
    match mapped {
        Mapped::Prisma => {
            r#"SELECT md5(string_agg((m."id", m."itemId", m."locationId", m."lotId", m."quantity", m."createdAt")::text, ',' ORDER BY m."id"))
               FROM "StockMovement" m"#
        }
        Mapped::Erp => {
            "SELECT md5(string_agg((id, product_id, quantity, location_id, location_dest_id, lot_id, state)::text, ',' ORDER BY id))
             FROM stock_move"
        }
        Mapped::Warehouse => {
            "SELECT md5(string_agg((transaction_id, article_id, warehouse_id, direction, quantity, booked_at)::text, ',' ORDER BY transaction_id, booked_at))
             FROM stock_transactions"
        }
        Mapped::TwoSchemas => {
            r#"SELECT md5(string_agg((bill_id, "line no", "item code", "to ""silo""", batch, gross, tare)::text, ',' ORDER BY bill_id, "line no"))
               FROM plant."Stock.Entries""#
        }
    }
}

async fn rolls_back(mapped: Mapped) {
    let db = TestDb::mapped(mapped).await;
    let sample = sample::of(mapped);
    let (before, rows) = (schema(&db), db.value(rows_sql(mapped)).await);
    db.run("migrate-all").arg("--contract").await.ok();
    sample.damage(&db).await;
    db.run("reconcile-balances").await.status(1);
    db.run("migrate-all").args(["--rollback", "--dry-run"]).await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    assert_eq!(db.value(rows_sql(mapped)).await, rows, "{}: the ledger's rows", mapped.name());

    // And there again.
    db.run("migrate-all").arg("--contract").await.ok();
    sample.assert_exact(&db, "migrate-all after a rollback").await;
    db.run("reconcile-balances").await.ok();
    // A second organization with rows would lose them.
    db.run("org-create").args(["--id", sample.orgs[1], "--name", "Acme"]).await.ok();
    db.run("users-assign").args(["--org-id", sample.orgs[1], "--all"]).await.ok();
    let (before, rows) = (schema(&db), db.value(rows_sql(mapped)).await);
    let refused = db.run("migrate-all").args(["--rollback", "--yes"]).await;
    assert!([1, 3].contains(&refused.status), "{}: {} {}", mapped.name(), refused.status, refused.stderr);
    assert!(
        refused.stderr.contains(sample.orgs[1]) || refused.stderr.contains("organization"),
        "{}",
        refused.stderr
    );
    same_schema(&db, &before);
    assert_eq!(db.value(rows_sql(mapped)).await, rows);
}

#[tokio::test]
async fn prisma() {
    rolls_back(Mapped::Prisma).await;
}

#[tokio::test]
async fn erp() {
    rolls_back(Mapped::Erp).await;
}

#[tokio::test]
async fn warehouse() {
    rolls_back(Mapped::Warehouse).await;
}

#[tokio::test]
async fn two_schemas() {
    rolls_back(Mapped::TwoSchemas).await;
}
