//! Dumps that are whole and hold no rows.

use super::*;

/// The migrated inventory without content.
async fn empty() -> TestDb {
    TestDb::migrated().await
}

#[tokio::test]
async fn a_dump_of_an_empty_inventory_is_no_backup() {
    let db = empty().await;
    for (name, args) in [
        ("stock.dump", &["-Fc"][..]),
        ("plain.sql", &["-Fp"]),
        ("inserts.sql", &["--inserts"]),
        ("tar.tar", &["-Ft"]),
        ("folder", &["-Fd"]),
        ("inserts.dump", &["-Fc", "--inserts"]),
    ] {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder.run("verify-backup").await.status(1).says("holds no row of").says("inventory_ledger");
        let run = folder.run("verify-backup").arg("--restore").await.status(1);
        run.says("not to be relied on");
    }
    let folder = Folder::new("expect_empty = true\n");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    folder.run("verify-backup").await.ok();
    folder.run("verify-backup").arg("--restore").await.ok();
}

/// A table of the application's with rows, and a ledger with two levels of partitions in place of the plain one.
const PARTITIONED: &str = "
    CREATE TABLE applied (id int); INSERT INTO applied VALUES (1);
    ALTER TABLE inventory_ledger RENAME TO ledger_before;
    CREATE TABLE inventory_ledger (LIKE ledger_before INCLUDING DEFAULTS) PARTITION BY RANGE (created_at);
    CREATE TABLE \"ledger \"\"1\" PARTITION OF inventory_ledger DEFAULT PARTITION BY LIST (org_id);
    CREATE TABLE ledger_1_1 PARTITION OF \"ledger \"\"1\" DEFAULT;
    INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A')";

#[tokio::test]
async fn rows_of_a_partitioned_ledger_are_those_of_its_partitions_alone() {
    let db = empty().await;
    db.execute(PARTITIONED).await;
    let makes = [
        ("stock.dump", &["-Fc"][..]),
        ("plain.sql", &["-Fp"]),
        ("inserts.sql", &["--inserts"]),
        ("tar.tar", &["-Ft"]),
        ("folder", &["-Fd"]),
    ];
    let folders = makes.map(|_| Folder::new(""));
    for ((name, args), folder) in makes.iter().zip(&folders) {
        super::dump(&db, args, &folder.path(name));
        folder.run("verify-backup").await.status(1).says("holds no row of").says("inventory_ledger");
    }
    db.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l",
    )
    .await;
    for (name, args) in makes {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder.run("verify-backup").await.ok();
    }
}

#[tokio::test]
async fn a_dump_that_row_level_security_filtered_is_no_backup() {
    let db = empty().await;
    db.execute(
        "INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical)
        SELECT i.id, l.id, n FROM items i, locations l, generate_series(1, 9) n",
    )
    .await;
    for (name, args) in [
        ("plain.sql", &["-Fp", "--enable-row-security"][..]),
        ("inserts.sql", &["--enable-row-security", "--inserts"]),
    ] {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder.run("monitor-backups").await.status(1).says("row-level security");
        folder.run("verify-backup").await.status(1).says("row-level security");
    }
    // Compressed as a whole, its head is read all the same.
    let folder = Folder::new("");
    super::dump(&db, &["-Z6", "--enable-row-security"], &folder.path("plain.sql.gz"));
    folder.run("monitor-backups").await.status(1).says("row-level security");
}

#[tokio::test]
async fn production_is_asked_what_a_dump_lacks() {
    let db = empty().await;
    db.execute(
        "INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at)
        SELECT i.id, l.id, n, now() - interval '1 hour' FROM items i, locations l, generate_series(1, 1000) n;
        ANALYZE",
    )
    .await;
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("whole.dump"));
    let look =
        |depth: &str| folder.run("verify-backup").env("DATABASE_URL", db.url()).args(["--depth", depth]);
    look("full").await.ok().says("production was heard");
    look("restore").await.ok().says("production was heard");
    folder.run("verify-backup").await.ok().says("production was not heard");
    fs::remove_file(folder.path("whole.dump")).unwrap();

    // A role that sees a tenth of it; a custom dump does not tell.
    let role = format!("reader_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA public, stockfoil TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA public, stockfoil TO {role};
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, stockfoil TO {role};
        ALTER TABLE inventory_ledger ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenth ON inventory_ledger FOR SELECT TO {role} USING (qty_canonical <= 100);"
    ))
    .await;
    super::dump(&db, &["-Fc", "--enable-row-security", &format!("--role={role}")], &folder.path("part.dump"));
    look("full").await.status(1).says("100 rows of inventory_ledger").says("production");
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn production_tells_of_entries_that_a_drill_did_not_bring_back() {
    let db = empty().await;
    db.execute(
        "INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at)
        SELECT i.id, l.id, n, now() - interval '3 hours' FROM items i, locations l, generate_series(1, 1000) n;",
    )
    .await;
    let folder = Folder::new("");
    // Of rows as INSERT only a drill shows which they are.
    super::dump(&db, &["-Fc", "--inserts"], &folder.path("stock.dump"));
    // As if the dump had been made of a copy that lagged behind.
    db.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at)
        SELECT i.id, l.id, 1, now() - interval '2 hours' FROM items i, locations l",
    )
    .await;
    let run = folder.run("verify-backup").env("DATABASE_URL", db.url()).arg("--restore").await.status(1);
    run.says("production has entries from before the backup began");
}

#[tokio::test]
async fn what_a_dump_leaves_out_production_tells() {
    let db = empty().await;
    db.execute(
        "INSERT INTO items (item_number, name) SELECT 'I-' || n, 'Item' FROM generate_series(1, 400) AS n;
         INSERT INTO locations (site, name) VALUES ('Hall', 'A');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l;
         CREATE TABLE orders (n int); INSERT INTO orders SELECT generate_series(1, 300);
         CREATE SCHEMA sales; CREATE TABLE sales.offers (n int); CREATE TABLE sales.bids (n int); ANALYZE",
    )
    .await;
    let verify = async |config: &str, args: &[&str]| {
        let folder = Folder::new(config);
        super::dump(&db, args, &folder.path("stock.dump"));
        folder.run("verify-backup").env("DATABASE_URL", db.url()).await
    };
    verify("", &["-Fc"]).await.ok();
    let without = ["-Fc", "--exclude-table=orders", "--exclude-schema=sales"];
    verify("", &without)
        .await
        .status(1)
        .says("worth a look")
        .says("lacks tables that production has: orders, sales.bids, sales.offers");
    verify("left_out = ['orders', 'sales.*']\n", &without).await.ok();
    let rowless = ["-Fc", "--exclude-table-data=orders"];
    verify("", &rowless)
        .await
        .status(1)
        .says("worth a look")
        .says("was made without the data of public.orders");
    verify("left_out = ['orders']\n", &rowless).await.ok();
    // As a role that sees one organization would dump it.
    db.execute(
        "INSERT INTO items (item_number, name) SELECT 'J-' || n, 'Item' FROM generate_series(1, 900) AS n",
    )
    .await;
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    db.execute("INSERT INTO items (item_number, name) SELECT 'K-' || n, 'Item' FROM generate_series(1, 2000) AS n; ANALYZE items").await;
    let run = folder.run("verify-backup").env("DATABASE_URL", db.url()).await.status(1);
    run.says("holds 1300 rows of items, and production has about 3300");
}

/// The inventory as it would be after a loss, which its dump does not show by itself.
async fn with_entries(count: u32) -> TestDb {
    let db = empty().await;
    db.execute(format!(
        "INSERT INTO items (item_number, name, created_at) VALUES ('I-1', 'Item', now() - interval '1 day');
        INSERT INTO locations (site, name, created_at) VALUES ('Hall', 'A', now() - interval '1 day');
        INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, created_at)
        SELECT 'entry-' || n, i.id, l.id, n, now() - interval '3 hours' FROM items i, locations l, generate_series(1, {count}) n;
        CREATE TABLE orders (created_at timestamptz); INSERT INTO orders SELECT now() - interval '1 day' FROM generate_series(1, 9)"
    ))
    .await;
    db
}

#[tokio::test]
async fn a_drill_names_the_entries_and_rows_that_production_has_and_it_lacks() {
    let db = with_entries(1000).await;
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let drill =
        || folder.run("verify-backup").env("DATABASE_URL", db.url()).args(["--restore", "--format", "json"]);
    let run = drill().await.ok();
    let tables = run.json()["backups"][0]["drill"]["databases"][0]["tables"].clone();
    let orders = tables.as_array().unwrap().iter().find(|table| table["name"] == "orders");
    assert_eq!(orders.unwrap()["rows"], 9, "{tables}");

    // What came since with a time from before is no loss, and what is new is none of its business.
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, created_at)
        SELECT 'late-' || n, i.id, l.id, 1, now() - interval '5 hours' FROM items i, locations l, generate_series(1, 2) n;
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l",
    )
    .await;
    let run = drill().await;
    assert!(run.stdout.contains("2 entries came to production since"), "{}", run.stdout);
    assert!(!run.stdout.contains("were not restored"), "{}", run.stdout);

    // A dump of a copy that lost some in the midst: as many rows as ever are newer.
    db.execute("DELETE FROM inventory_ledger WHERE id LIKE 'late-%'").await;
    let copy = with_entries(1000).await;
    copy.execute(
        "DELETE FROM inventory_ledger WHERE id IN ('entry-17', 'entry-400'); DELETE FROM orders WHERE ctid = '(0,1)';
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items i, locations l",
    )
    .await;
    let path = folder.path("stock.dump");
    fs::remove_file(&path).unwrap();
    let plain = folder.path("stock.sql");
    super::dump(&copy, &["-Fp"], &plain);
    let run = drill().await.status(1);
    let text = run.json()["backups"][0]["findings"].to_string();
    assert!(
        text.contains(
            "2 entries of the ledger that production has from before the backup began were not restored"
        ),
        "{text}"
    );
    assert!(text.contains("entry-17 (default, ") && text.contains("entry-400 (default, "), "{text}");
    assert!(text.contains("holds 8 rows of orders, and production has 9 from before it began"), "{text}");
}

#[tokio::test]
async fn an_empty_restored_inventory_beside_a_full_production_is_critical_though_emptiness_is_expected() {
    let (full, none) = (with_entries(50).await, empty().await);
    let folder = Folder::new("expect_empty = true\n");
    super::dump(&none, &["-Fp"], &folder.path("stock.sql"));
    let run =
        folder.run("verify-backup").env("DATABASE_URL", full.url()).args(["--restore", "--format", "json"]);
    let text = run.await.status(1).json()["backups"][0]["findings"].to_string();
    assert!(text.contains("holds 0 rows of inventory_ledger, and production has 50"), "{text}");
    assert!(text.contains("\"critical\""), "{text}");
    let run =
        folder.run("monitor-backups").env("DATABASE_URL", full.url()).args(["--depth", "restore"]).await;
    run.status(1).says("production was heard");
    folder.run("monitor-backups").args(["--depth", "full"]).await.ok().says("production was not heard");
}

#[tokio::test]
async fn a_dump_without_its_last_section_is_no_backup() {
    let db = with_entries(5).await;
    for (name, args) in [("stock.dump", &["-Fc"][..]), ("stock.sql", &["-Fp"]), ("folder", &["-Fd"])] {
        let folder = Folder::new("");
        super::dump(&db, &[args, &["--section=pre-data", "--section=data"]].concat(), &folder.path(name));
        folder.run("verify-backup").await.status(1).says("holds no key and no index");
    }
}
