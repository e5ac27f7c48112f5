//! What newer servers have: each test looks at the server that it is given, and `scripts/with-postgres --version 18` gives one.

use super::*;

/// Whether the server is of this version or a later one.
async fn is_since(db: &TestDb, version: i32) -> bool {
    db.value(format!("SELECT current_setting('server_version_num')::int >= {version}")).await == "t"
}

fn ledger(quantity: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[tenancy]\ntables = [\"items\", \"moves\"]\nitems = \"items\"\nusers = false\n\n[ledger]\ntable = \"moves\"\nitem = \"item\"\nlocation = false\nlot = false\nquantity = {quantity}\ncreated_at = \"at\"\n\n[balances]\ntable = \"own_stock\"\nlocation = false\nlot = false\n"
    );
    std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    folder
}

#[tokio::test]
async fn a_virtual_column_is_no_quantity_but_its_expression_is() {
    let db = TestDb::empty().await;
    if !is_since(&db, 180_000).await {
        return;
    }
    db.execute(
        "CREATE TABLE items (id text PRIMARY KEY); INSERT INTO items VALUES ('i1');
         CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL REFERENCES items, count int NOT NULL,
                             is_out bool NOT NULL, total int GENERATED ALWAYS AS (CASE WHEN is_out THEN -count ELSE count END) VIRTUAL,
                             at timestamptz NOT NULL DEFAULT now());
         INSERT INTO moves (item, count, is_out) VALUES ('i1', 7, false)",
    )
    .await;
    let before = schema(&db);
    for quantity in ["\"total\"", "{ sql = \"total * 2\" }"] {
        let config = ledger(quantity);
        let run = db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).await.status(2);
        assert!(run.stderr.contains("irtual generated column"), "{}", run.stderr);
        same_schema(&db, &before);
    }
    let config = ledger("{ sql = \"CASE WHEN is_out THEN -count ELSE count END\" }");
    db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).rehearsing().await.ok();
    db.execute("INSERT INTO moves (item, count, is_out) VALUES ('i1', 3, true); UPDATE moves SET is_out = false WHERE is_out").await;
    assert_eq!(db.value("SELECT trim_scale(qty_canonical) FROM own_stock").await, "10");
    db.run("reconcile-balances").folder(&config).await.ok().says("ledger and balances match");
    db.run("validate-migration").folder(&config).await.ok();
}

#[tokio::test]
async fn an_organization_that_is_not_null_but_not_valid_is_no_promise() {
    let db = TestDb::inventory().await;
    if !is_since(&db, 180_000).await {
        return;
    }
    seed(&db).await;
    db.execute("ALTER TABLE items ADD org_id text; ALTER TABLE items ADD CONSTRAINT has_org NOT NULL org_id NOT VALID").await;
    let before = schema(&db);
    let run = db.run("migrate-all").args(["--contract", "--yes"]).await;
    assert_ne!(run.status, 0);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("items.org_id") && said.contains("has_org, which is NOT VALID"), "{said}");
    same_schema(&db, &before);
    db.execute("ALTER TABLE items ALTER org_id DROP NOT NULL").await;
    db.run("migrate-all").args(["--contract", "--yes"]).rehearsing().await.ok();
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id IS NULL").await, "0");
    // What somebody makes of it afterwards is seen.
    db.execute("ALTER TABLE items ALTER org_id DROP NOT NULL; ALTER TABLE items ADD CONSTRAINT has_org NOT NULL org_id NOT VALID").await;
    db.run("validate-migration").await.status(1).says("items");
}

#[tokio::test]
async fn a_part_of_a_key_that_is_not_null_but_not_valid_may_be_null() {
    let db = TestDb::empty().await;
    if !is_since(&db, 180_000).await {
        return;
    }
    db.execute(
        "CREATE TABLE items (id text PRIMARY KEY); INSERT INTO items VALUES ('i1');
         CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text REFERENCES items, count int NOT NULL,
                             at timestamptz NOT NULL DEFAULT now());
         INSERT INTO moves (item, count) VALUES ('i1', 7), (NULL, 5);
         ALTER TABLE moves ADD CONSTRAINT has_item NOT NULL item NOT VALID",
    )
    .await;
    let config = ledger("\"count\"");
    db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).rehearsing().await.ok();
    assert_eq!(db.value("SELECT trim_scale(qty_canonical) FROM own_stock").await, "7");
    db.run("reconcile-balances").folder(&config).await.ok().says("ledger and balances match");
    let client = db.run("db-generate").args(["--lang", "rust"]).folder(&config).await;
    assert!(client.stdout.contains("Option<String>"), "{}{}", client.stdout, client.stderr);
}

#[tokio::test]
async fn a_limit_on_transactions_is_the_applications() {
    let db = TestDb::inventory().await;
    if !is_since(&db, 170_000).await {
        return;
    }
    seed(&db).await;
    db.execute(format!(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_by)
         SELECT 'i' || 1 + g % 20, 'l' || 1 + g % 5, 1, 'u1' FROM generate_series(1, 400000) g;
         ALTER DATABASE {} SET transaction_timeout = '250ms'",
        db.name()
    ))
    .await;
    db.run("migrate-all").args(["--contract", "--yes"]).rehearsing().await.ok();
    db.run("backfill-balances").await.ok();
    db.run("reconcile-balances").arg("--full").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
}
