use testkit::{Run, TestDb};

mod data_assign;
mod isolation;
mod key_texts;
mod keys;
mod life;
mod memberships;
mod named;
mod names;
mod org_create;
mod org_list;
mod org_update;
mod privileges;
mod resolution;
mod sign_in;
mod users_assign;

/// The tenant tables of the default model.
const TABLES: [&str; 8] = [
    "users",
    "items",
    "locations",
    "inventory_ledger",
    "count_sheets",
    "count_lines",
    "audit_logs",
    "feature_flags",
];

/// A migrated database with the organizations `acme` and `globex`.
async fn two_organizations() -> TestDb {
    let db = TestDb::migrated().await;
    for (id, name) in [("acme", "Acme Mining"), ("globex", "Globex")] {
        db.run("org-create").args(["--id", id, "--name", name, "--subdomain", id]).await.ok();
    }
    db
}

/// Every row of the tables that these commands write.
async fn everything(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = db.rows("SELECT o::text FROM organizations o ORDER BY id").await;
    rows.extend(db.rows("SELECT k::text FROM organization_api_keys k ORDER BY key_id").await);
    rows.extend(db.rows("SELECT u::text FROM users u ORDER BY id").await);
    rows
}

/// Every balance is the sum of its entries.
async fn assert_exact(db: &TestDb) {
    let wrong = db
        .rows(
            "SELECT * FROM (SELECT org_id, item_id, location_id, coalesce(lot_id, '') AS lot_key, sum(qty_canonical) AS entries
                            FROM inventory_ledger GROUP BY 1, 2, 3, 4) AS l
             FULL JOIN inventory_balances AS b USING (org_id, item_id, location_id, lot_key)
             WHERE l.entries IS DISTINCT FROM b.qty_canonical AND NOT (l.entries IS NULL AND b.qty_canonical = 0)",
        )
        .await;
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn text<'a>(value: &'a serde_json::Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

#[tokio::test]
async fn a_database_before_the_migration_is_refused_with_the_next_step() {
    let db = TestDb::inventory().await;
    let runs: [Run; 5] = [
        db.run("data-assign").args(["--org-id", "acme", "--items", "id = 'x'"]).await,
        db.run("org-create").args(["--name", "Acme"]).await,
        db.run("org-update").args(["--org-id", "default", "--list-keys"]).await,
        db.run("org-list").await,
        db.run("users-assign").args(["--org-id", "acme", "--all"]).await,
    ];
    for run in runs {
        run.refuses(3, "has no table organizations; run migrate-org first");
    }
    let db = TestDb::migrated().await;
    db.execute("ALTER TABLE items DROP COLUMN org_id CASCADE").await;
    db.run("org-list").await.refuses(3, "has no column org_id in table items; run migrate-org first");
}

#[tokio::test]
async fn a_read_only_session_is_refused_by_what_writes_alone() {
    let db = two_organizations().await;
    db.execute(format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name())).await;
    db.run("org-create").args(["--name", "Initech"]).await.refuses(3, "is read-only");
    db.run("org-update").args(["--org-id", "acme", "--rotate-key"]).await.refuses(3, "is read-only");
    db.run("org-update").args(["--org-id", "acme", "--list-keys"]).await.ok();
    db.run("users-assign").args(["--org-id", "acme", "--all"]).await.refuses(3, "is read-only");
    let items = ["--org-id", "acme", "--items", "id = 'x'", "--yes"];
    db.run("data-assign").args(items).await.refuses(3, "is read-only");
    db.run("users-assign").args(["--org-id", "acme", "--all", "--dry-run"]).await.ok();
    db.run("org-list").await.ok().says("Acme Mining");
}
