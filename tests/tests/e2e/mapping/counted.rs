//! An adopted table whose rows are marked as deleted: those that the mapping leaves out count for nothing.

use testkit::{Run, TestDb};

const LEDGER: &str = "[tenancy]\ntables = [\"users\", \"mv\", \"stock\"]\nitems = false
[ledger]\ntable = \"mv\"\nitem = \"item\"\nlocation = false\nlot = false\nquantity = \"qty\"\ncreated_at = false\n";

const STOCK: &str = "[balances]\ntable = \"stock\"\nadopt = true\nitem = \"item\"\nlocation = false\nlot = false\nquantity = \"qty\"
last_ledger_id = false\nlast_updated = false\n";

const LEFT: &str = "where = { sql = \"gone_at IS NULL\" }\n";

/// A shop of which two rows of stock are gone: of an item that has another one, and of one that has none.
async fn shop() -> TestDb {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, email text);
         CREATE TABLE mv (id serial PRIMARY KEY, item text, qty int);
         CREATE TABLE stock (id serial PRIMARY KEY, item text, qty int NOT NULL DEFAULT 0, gone_at timestamptz, live boolean DEFAULT false);
         CREATE UNIQUE INDEX of_those_left ON stock (item) WHERE gone_at IS NULL;
         INSERT INTO mv (item, qty) VALUES ('a', 5), ('b', 3), ('b', 4), ('c', 2);
         INSERT INTO stock (item, qty, gone_at) VALUES ('a', 5, NULL), ('b', 99, '2025-01-01'), ('b', 6, NULL), ('c', 50, '2025-01-01')",
    )
    .await;
    db
}

async fn run(db: &TestDb, command: &str, balances: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), format!("{LEDGER}{STOCK}{balances}")).unwrap();
    let mut words = command.split(' ');
    db.run(words.next().unwrap()).folder(folder.path()).args(words).await
}

const ROWS: &str = "SELECT string_agg(format('%s:%s%s', item, qty, CASE WHEN gone_at IS NOT NULL THEN '!' END), ' ' ORDER BY id) FROM stock";

#[tokio::test]
async fn rows_that_are_left_out_count_for_nothing() {
    let db = shop().await;
    run(&db, "migrate-all", "").await.refuses(3, "say [balances] where = { sql = \"(gone_at IS NULL)\" }");
    run(&db, "migrate-all", LEFT).await.ok();
    assert_eq!(db.value(ROWS).await, "a:5 b:99! b:7 c:50! c:2");
    // Writers: new entries, others' keys, and what goes.
    db.execute(
        "INSERT INTO mv (item, qty) VALUES ('a', 1), ('c', 8), ('d', 4); UPDATE mv SET item = 'a' WHERE qty = 3; DELETE FROM mv WHERE qty = 2",
    )
    .await;
    assert_eq!(db.value(ROWS).await, "a:9 b:99! b:4 c:50! c:8 d:4");
    run(&db, "reconcile-balances --full", LEFT).await.ok().says(": 0 differ");
    run(&db, "validate-migration", LEFT).await.ok();
    run(&db, "validate-migration --prove", LEFT).await.ok();
    run(&db, "reconcile-balances --explain default/b", LEFT).await.ok();
    // What the application marks as deleted takes its balance along, which is then missing, and made anew.
    db.execute(
        "UPDATE stock SET gone_at = now() WHERE item = 'a'; UPDATE stock SET qty = 1 WHERE item = 'd'",
    )
    .await;
    let report = run(&db, "reconcile-balances --format json", LEFT).await.status(1).json();
    assert_eq!(
        (&report["differences"]["missing"], &report["differences"]["large"]),
        (&1.into(), &1.into()),
        "{report}"
    );
    run(&db, "reconcile-balances --fix-large", LEFT).await.ok();
    assert_eq!(db.value(ROWS).await, "a:9! b:99! b:4 c:50! c:8 d:4 a:9");
    db.execute("TRUNCATE mv").await;
    assert_eq!(db.value(ROWS).await, "a:9! b:99! b:0 c:50! c:0 d:0 a:0");
    run(&db, "reconcile-balances --full", LEFT).await.ok().says(": 0 differ");
    // Of another condition the index is another one.
    run(&db, "validate-migration", "where = { sql = \"gone_at IS NULL OR id < 0\" }\n")
        .await
        .status(1)
        .says("stock_balance_key");
    run(&db, "migrate-all --rollback --yes", LEFT).await.ok();
}

#[tokio::test]
async fn a_condition_under_which_a_key_would_be_ambiguous_is_refused() {
    let db = shop().await;
    for (balances, reason) in [
        ("where = { sql = \"item <> 'x'\" }\n", "it uses item, which is of the key"),
        ("where = { sql = \"qty > 0\" }\n", "it uses qty, which is of the key or is written"),
        ("where = \"live\"\n", "a new row would be no balance: by the defaults of live"),
        ("where = { sql = \"id\" }\n", "what says whether a row counts is boolean"),
        ("where = { sql = \"gone_at < now()\" }\n", "it is not IMMUTABLE"),
    ] {
        run(&db, "migrate-all", balances).await.refuses(2, reason);
    }
    run(&db, "migrate-all", "where = { sql = \"gone_at IS NULL OR id < 0\" }\n")
        .await
        .refuses(3, "say the same in both");
    // An entry of a key whose one row is gone could go nowhere.
    db.execute("DELETE FROM stock WHERE item = 'b' AND gone_at IS NULL; DROP INDEX of_those_left; CREATE UNIQUE INDEX of_all ON stock (item)")
        .await;
    run(&db, "migrate-all", LEFT).await.refuses(3, "keeps a key unique among all of its rows (of_all)");
    // Several that count are several of one key.
    db.execute("DROP INDEX of_all; INSERT INTO stock (item, qty) VALUES ('b', 1), ('b', 2), ('b', 3)").await;
    run(&db, "migrate-all", LEFT).await.refuses(3, "3 rows of 1 keys, such as b");
}
