//! The types of a balance's key: each that has one text a value is kept, and what would be two balances of one item is refused.

use std::fs;

use testkit::{Run, TestDb};

/// A ledger and balances of the application's whose key is of type `key`.
async fn bins(key: &str, values: [&str; 3]) -> TestDb {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE EXTENSION citext; CREATE TYPE colour AS ENUM ('red', 'blue', 'green'); CREATE DOMAIN sku AS text CHECK (VALUE <> '');
         CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE)",
    )
    .await;
    let [a, b, c] = values;
    db.execute(format!(
        "CREATE TABLE mv (id bigserial PRIMARY KEY, sku {key}, qty numeric, at timestamp(6) DEFAULT now());
         CREATE TABLE bins (id serial PRIMARY KEY, sku {key}, qty numeric NOT NULL DEFAULT 0, at timestamp(6), note text, UNIQUE (sku));
         INSERT INTO mv (sku, qty) VALUES ('{a}', 3), ('{b}', 4), ('{c}', 5)"
    ))
    .await;
    db
}

const ADOPTED: &str = "[balances]\ntable = \"bins\"\nadopt = true\nitem = \"sku\"\nlocation = false\nlot = false\nquantity = \"qty\"
last_ledger_id = false\nlast_updated = \"at\"\n";
const OWN: &str = "[balances]\nlocation = false\nlot = false\n";

/// Runs `command` under a mapping whose item is `item`.
async fn run(db: &TestDb, command: &str, item: &str, balances: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let tables = if balances == OWN { "\"users\", \"mv\"" } else { "\"users\", \"mv\", \"bins\"" };
    let config = format!(
        "[tenancy]\ntables = [{tables}]\nitems = false\n[ledger]\ntable = \"mv\"\nitem = {item}\nlocation = false\nlot = false
quantity = \"qty\"\ncreated_at = \"at\"\n{balances}"
    );
    fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
    let mut words = command.split(' ');
    db.run(words.next().unwrap()).folder(folder.path()).args(words).await
}

#[tokio::test]
async fn an_adopted_key_of_a_type_of_the_applications_is_written_by_its_writers() {
    for (key, values) in [
        ("colour", ["red", "blue", "green"]),
        ("sku", ["a", "A", "b"]),
        ("varchar(8)", ["a", "A", "b"]),
        ("character(5)", ["a", "A", "b"]),
        (
            "uuid",
            [
                "00000000-0000-0000-0000-000000000001",
                "00000000-0000-0000-0000-000000000002",
                "00000000-0000-0000-0000-000000000003",
            ],
        ),
    ] {
        let db = bins(key, values).await;
        run(&db, "migrate-all", "\"sku\"", ADOPTED).await.ok();
        let [a, b, c] = values;
        db.execute(format!(
            "INSERT INTO mv (sku, qty) VALUES ('{a}', 10); UPDATE mv SET qty = qty + 1 WHERE sku = '{b}'; DELETE FROM mv WHERE sku = '{c}'"
        ))
        .await;
        let mut expected = [[a, "13"], [b, "5"], [c, "0"]];
        expected.sort_unstable();
        let bins = db
            .rows("SELECT trim(sku::text), trim_scale(qty)::text FROM bins ORDER BY sku::text COLLATE \"C\"");
        assert_eq!(bins.await, expected, "{key}");
        run(&db, "reconcile-balances", "\"sku\"", ADOPTED).await.ok();
        run(&db, "validate-migration", "\"sku\"", ADOPTED).await.ok();
    }
}

#[tokio::test]
async fn a_key_of_a_type_in_which_texts_that_differ_are_equal_is_refused() {
    for (key, values) in [
        ("citext", ["ab", "cd", "AB"]),
        ("text COLLATE folded", ["ab", "cd", "AB"]),
        ("numeric", ["1.0", "2", "1.00"]),
        ("jsonb", ["1", "2", "1.0"]),
        ("interval", ["1 day", "2 days", "24 hours"]),
    ] {
        let db = bins(key, values).await;
        for command in ["migrate-all", "migrate-org"] {
            run(&db, command, "\"sku\"", OWN)
                .await
                .refuses(2, "which takes values for equal whose texts differ");
        }
        if key.contains("tex") {
            // Said what is meant by one item, there is one balance of it.
            run(&db, "migrate-all", "{ sql = 'lower(sku::text) COLLATE \"C\"' }", OWN).await.ok();
            db.execute("INSERT INTO mv (sku, qty) VALUES ('aB', 1)").await;
            assert_eq!(
                db.value("SELECT qty_canonical FROM inventory_balances WHERE item_id = 'ab'").await,
                "9"
            );
            run(&db, "reconcile-balances", "{ sql = 'lower(sku::text) COLLATE \"C\"' }", OWN).await.ok();
            // The application's own column would take both for one.
            run(&db, "migrate-balance", "{ sql = '(sku::text) COLLATE \"C\"' }", ADOPTED)
                .await
                .refuses(2, "which takes texts for equal that the ledger tells apart");
        }
    }
}

#[tokio::test]
async fn a_key_that_several_rows_have_is_named_before_anything_changes() {
    let db = bins("text", ["a", "b", "c"]).await;
    db.execute(
        "ALTER TABLE bins DROP CONSTRAINT bins_sku_key; INSERT INTO bins (sku) VALUES ('a'), ('b'), ('a')",
    )
    .await;
    let before = crate::migration::schema(&db);
    run(&db, "migrate-org", "\"sku\"", ADOPTED).await.ok();
    for command in ["migrate-balance", "migrate-all"] {
        run(&db, command, "\"sku\"", ADOPTED).await.refuses(3, "has several rows of one key (org_id, sku)");
    }
    run(&db, "migrate-all --rollback --yes", "\"sku\"", ADOPTED).await.ok();
    crate::migration::same_schema(&db, &before);
}

#[tokio::test]
async fn a_build_of_the_key_that_ended_early_keeps_nothing_from_going_on() {
    let db = bins("text", ["a", "b", "c"]).await;
    run(&db, "migrate-org", "\"sku\"", ADOPTED).await.ok();
    // As a killed build leaves it.
    db.execute(
        "CREATE UNIQUE INDEX bins_balance_key ON bins (org_id, sku);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'bins_balance_key'::regclass",
    )
    .await;
    run(&db, "migrate-all", "\"sku\"", ADOPTED).await.ok();
    assert_eq!(
        db.value("SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'bins'::regclass").await,
        "t"
    );
}

#[tokio::test]
async fn a_table_in_which_no_balance_can_be_made_is_refused_unless_the_application_keeps_it() {
    let db = bins("text", ["a", "b", "c"]).await;
    db.execute("ALTER TABLE bins ADD COLUMN shelf text; UPDATE bins SET shelf = 's'; ALTER TABLE bins ALTER COLUMN shelf SET NOT NULL").await;
    let balances = format!("{ADOPTED}kept_by = \"triggers\"\n");
    run(&db, "migrate-all", "\"sku\"", &balances)
        .await
        .refuses(2, "column shelf of bins is NOT NULL without a default");
    let balances = format!("{ADOPTED}kept_by = \"application\"\n");
    // Rows that only the application can make are named.
    let run = run(&db, "migrate-all", "\"sku\"", &balances).await.status(1);
    run.says("balances are not the sum of their entries");
}
