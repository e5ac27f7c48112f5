//! Rows of an adopted table of balances are the application's: no command deletes one, whatever becomes of its key.

use testkit::{Mapped, TestDb};

/// What the application keeps beside a quantity, and rows that refer to quants.
const APPLICATION: &str = "
    ALTER TABLE stock_quant ADD COLUMN reserved numeric NOT NULL DEFAULT 0, ADD COLUMN counted_at timestamptz,
                            ADD COLUMN shelf text NOT NULL DEFAULT 'unknown';
    CREATE TABLE stock_alarm (id serial PRIMARY KEY, quant_id integer NOT NULL REFERENCES stock_quant (id) ON DELETE CASCADE);
    UPDATE stock_quant SET reserved = id, counted_at = '2025-03-04 05:06:07Z', shelf = 'S' || id;
    INSERT INTO stock_alarm (quant_id) SELECT id FROM stock_quant";

/// The rows with what the application keeps in them.
const ROWS: &str = "SELECT q.id, q.reserved, q.counted_at, q.shelf, a.id FROM stock_quant AS q JOIN stock_alarm AS a ON a.quant_id = q.id ORDER BY 1";

/// A migrated database whose quants hold more than quantities.
async fn migrated() -> TestDb {
    let db = TestDb::mapped_migrated(Mapped::Erp).await;
    db.execute(APPLICATION).await;
    db
}

#[tokio::test]
async fn pruning_removes_no_row_that_is_the_applications() {
    let db = migrated().await;
    db.execute(
        "WITH new AS (INSERT INTO stock_quant (product_id, location_id, quantity, reserved) VALUES (7, 8, 0, 3) RETURNING id)
         INSERT INTO stock_alarm (quant_id) SELECT id FROM new",
    )
    .await;
    let before = db.rows(ROWS).await;
    for dry_run in [&["--dry-run"][..], &[]] {
        let run = db.run("reconcile-balances").arg("--prune-orphans").args(dry_run).await.ok();
        run.says(
            "are zero and their keys have no entry; stock_quant is the application's table, so they stay",
        );
    }
    let report = db.run("reconcile-balances").args(["--prune-orphans", "--format", "json"]).await.ok().json();
    assert_eq!(report["pruned"], 0);
    assert!(report["differences"]["empty"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(db.rows(ROWS).await, before);
}

#[tokio::test]
async fn an_emptied_ledger_leaves_every_row_with_a_quantity_of_zero() {
    let db = migrated().await;
    let before = db.rows(ROWS).await;
    let rows = db.value("SELECT count(*) FROM stock_quant").await;
    db.execute("TRUNCATE stock_move").await;
    assert_eq!(db.rows(ROWS).await, before);
    assert_eq!(db.value("SELECT count(*) FROM stock_quant").await, rows);
    assert_eq!(db.value("SELECT count(*) FROM stock_quant WHERE quantity <> 0").await, "0");
    db.run("reconcile-balances").await.ok();
    // A second one finds nothing to change.
    db.execute("TRUNCATE stock_move").await;
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn an_emptied_partition_leaves_every_row() {
    let db = TestDb::mapped(Mapped::Warehouse).await;
    db.execute(
        "CREATE TABLE stock_on_hand (id serial PRIMARY KEY, article_id integer NOT NULL, warehouse_id smallint NOT NULL,
                                     quantity numeric NOT NULL DEFAULT 0, reserved numeric NOT NULL DEFAULT 1)",
    )
    .await;
    let folder = Mapped::Warehouse.config_with(|text| {
        text.replace(r#""reorder_levels","#, r#""reorder_levels", "stock_on_hand","#)
            .replace("[balances]\n", "[balances]\nadopt = true\n")
            .replace(r#"last_ledger_id = "last_transaction_id""#, "last_ledger_id = false")
            .replace(r#"last_updated = "updated_at""#, "last_updated = false")
    });
    let run = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
    run("migrate-all").arg("--contract").await.ok();
    let rows = "SELECT id, reserved, article_id, warehouse_id FROM stock_on_hand ORDER BY 1";
    let before = db.rows(rows).await;
    assert!(before.len() > 10);
    let partitions = db
        .rows("SELECT relid::regclass::text FROM pg_partition_tree('stock_transactions') WHERE isleaf ORDER BY 1")
        .await;
    db.execute(format!("TRUNCATE {}", partitions[0][0])).await;
    run("reconcile-balances").await.ok();
    db.execute("TRUNCATE stock_transactions").await;
    assert_eq!(db.rows(rows).await, before);
    assert_eq!(db.value("SELECT count(*) FROM stock_on_hand WHERE quantity <> 0").await, "0");
    run("reconcile-balances").await.ok();
}

#[tokio::test]
async fn taking_the_migration_back_leaves_every_row() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(APPLICATION).await;
    let before = db.rows(ROWS).await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.rows(ROWS).await, before);
}

/// Where each row is and what is in it, but for when it changed.
const PLACES: &str = "SELECT id, org_id, product_id, location_id, coalesce(lot_id, 0), trim_scale(quantity), reserved, counted_at, shelf
                      FROM stock_quant ORDER BY id";

/// What selects two products; each side gets its own of what both use.
const PRODUCTS: [&str; 8] = [
    "--items",
    "default_code in (\"P0001\", \"P0002\")",
    "--copy-shared",
    "stock_location",
    "--copy-shared",
    "stock_picking",
    "--copy-shared",
    "product_template",
];

async fn data_assign(db: &TestDb, args: &[&str]) -> serde_json::Value {
    let run = db.run("data-assign").args(["--yes", "--format", "json"]).args(args.iter().copied());
    run.await.ok().json()
}

#[tokio::test]
async fn rows_go_with_the_last_of_their_entries_and_come_back() {
    let db = migrated().await;
    db.run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
    let places = db.rows(PLACES).await;
    let rows = db.rows(ROWS).await;
    let of_products = "SELECT count(*) FROM stock_quant WHERE product_id IN (SELECT id FROM product_product WHERE default_code IN ('P0001', 'P0002'))";
    let all = db.value(of_products).await;

    let plan = data_assign(&db, &[&["--org-id", "acme", "--dry-run"][..], &PRODUCTS].concat()).await;
    assert_eq!(plan["balance_rows"].to_string(), all, "{plan}");
    assert_eq!(db.rows(PLACES).await, places);
    let report = data_assign(&db, &[&["--org-id", "acme"][..], &PRODUCTS].concat()).await;
    assert_eq!(report["balance_rows"].to_string(), all, "{report}");
    // The same rows, with all that is in them and refers to them, in the other organization.
    assert_eq!(db.rows(ROWS).await, rows);
    assert_eq!(db.value("SELECT count(*) FROM stock_quant").await, places.len().to_string());
    assert_eq!(db.value(format!("{of_products} AND org_id = 'acme'")).await, all);
    assert_eq!(
        db.value("SELECT count(*) FROM stock_quant AS q JOIN stock_location AS l ON l.id = q.location_id WHERE q.org_id <> l.org_id").await,
        "0"
    );
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, [[""; 0]; 0]);
    assert_eq!(
        db.value("SELECT sum(cardinality(keys)) FROM stockfoil.move WHERE table_name = 'stock_quant'").await,
        all
    );
    db.run("reconcile-balances").arg("--full").await.ok();

    let undone = data_assign(&db, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(undone["balance_rows"].to_string(), all, "{undone}");
    assert_eq!(undone["copies_kept"], 0, "{undone}");
    assert_eq!(db.rows(PLACES).await, places);
    assert_eq!(db.rows(ROWS).await, rows);
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, [[""; 0]; 0]);
    assert_eq!(
        db.value(
            "SELECT count(*) FROM stockfoil.move WHERE table_name = 'stock_quant' AND undone_run IS NULL"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn a_row_that_is_there_already_gets_the_quantity_and_none_is_lost() {
    let db = migrated().await;
    db.run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
    let of = |product: &str| {
        let mut args = PRODUCTS.map(str::to_owned);
        args[1] = format!("default_code = \"{product}\"");
        args
    };
    let first = of("P0001");
    let first: Vec<&str> = ["--org-id", "acme"].into_iter().chain(first.iter().map(String::as_str)).collect();
    data_assign(&db, &first).await;
    // The other organization's application has rows of the second product already, at its copies of the locations.
    let made = db
        .value(
            "WITH copy AS (
                 SELECT u.old::int AS old, u.new::int AS new
                 FROM stockfoil.move AS m CROSS JOIN unnest(m.keys, m.copies) AS u (old, new)
                 WHERE m.table_name = 'stock_location' AND m.copies IS NOT NULL
             ), made AS (
                 INSERT INTO stock_quant (org_id, product_id, location_id, lot_id, quantity, reserved)
                 SELECT 'acme', q.product_id, c.new, q.lot_id, 0, 7777
                 FROM stock_quant AS q JOIN copy AS c ON c.old = q.location_id
                 WHERE q.product_id = (SELECT id FROM product_product WHERE default_code = 'P0002')
                 RETURNING id
             ), alarm AS (
                 INSERT INTO stock_alarm (quant_id) SELECT id FROM made
             )
             SELECT count(*) FROM made",
        )
        .await;
    assert_ne!(made, "0");
    let (rows, count) = (db.rows(ROWS).await, db.value("SELECT count(*) FROM stock_quant").await);
    let quantities = "SELECT sum(quantity) FROM stock_quant WHERE product_id = (SELECT id FROM product_product WHERE default_code = 'P0002')";
    let sum = db.value(quantities).await;
    let second = of("P0002");
    let second: Vec<&str> =
        ["--org-id", "acme"].into_iter().chain(second.iter().map(String::as_str)).collect();
    let report = data_assign(&db, &second).await;
    let said = format!("{made} rows of stock_quant stay with default, with what else they hold");
    assert!(report["warnings"].to_string().contains(&said), "{report}");
    assert_eq!(db.rows(ROWS).await, rows);
    assert_eq!(db.value("SELECT count(*) FROM stock_quant").await, count);
    assert_eq!(db.value(quantities).await, sum);
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, [[""; 0]; 0]);
    assert_ne!(
        db.value(
            "SELECT count(*) FROM stock_quant WHERE org_id = 'acme' AND reserved = 7777 AND quantity <> 0"
        )
        .await,
        "0"
    );
    data_assign(&db, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(db.rows(ROWS).await, rows);
    assert_eq!(
        db.value("SELECT count(*) FROM stock_quant WHERE reserved = 7777 AND quantity <> 0").await,
        "0"
    );
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, [[""; 0]; 0]);
}

#[tokio::test]
async fn a_row_that_went_with_what_it_is_of_stays_gone() {
    // Stock and movements that both go with an item, the stock's key made before and after the ledger's; and movements that
    // go with the stock itself.
    let cases = [
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE, qty int);
             CREATE TABLE stock (id serial PRIMARY KEY, item int UNIQUE REFERENCES items ON DELETE CASCADE, qty int NOT NULL DEFAULT 0);
             INSERT INTO items VALUES (1), (2); INSERT INTO stock (item, qty) VALUES (1, 5), (2, 7)",
            "item",
            "DELETE FROM items WHERE id = 2",
        ),
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE stock (id serial PRIMARY KEY, item int UNIQUE REFERENCES items ON DELETE CASCADE, qty int NOT NULL DEFAULT 0);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE, qty int);
             INSERT INTO items VALUES (1), (2); INSERT INTO stock (item, qty) VALUES (1, 5), (2, 7)",
            "item",
            "DELETE FROM items WHERE id = 2",
        ),
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE stock (id serial PRIMARY KEY, variant int, qty int NOT NULL DEFAULT 0);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES stock ON DELETE CASCADE, qty int);
             INSERT INTO stock (variant, qty) VALUES (1, 5), (2, 7)",
            "id",
            "DELETE FROM stock WHERE id = 2",
        ),
    ];
    for (tables, item, delete) in cases {
        let filled = "INSERT INTO mv (item, qty) VALUES (1, 5), (2, 3), (2, 4)";
        let (db, folder) = of_items(&format!("{tables}; {filled}"), item, BY_ITEM, "false").await;
        db.execute(delete).await;
        assert_eq!(
            db.rows(format!("SELECT {item}::text, qty::text FROM stock")).await,
            [["1", "5"]],
            "{tables}"
        );
        assert_eq!(db.value("SELECT count(*) FROM mv").await, "1");
        db.execute("INSERT INTO mv (item, qty) VALUES (1, 9); DELETE FROM mv WHERE qty = 5").await;
        db.run("reconcile-balances").folder(folder.path()).await.ok();
        db.run("reconcile-balances").arg("--full").folder(folder.path()).await.ok();
        assert_eq!(db.rows(format!("SELECT {item}::text, qty::text FROM stock")).await, [["1", "9"]]);
    }
}

/// A ledger whose entries are of items alone.
const BY_ITEM: &str = "item = \"item\"\nlocation = false\nquantity = \"qty\"\n";

/// An application whose stock is `item`'s, migrated under this mapping of the ledger.
async fn of_items(tables: &str, item: &str, ledger: &str, place: &str) -> (TestDb, tempfile::TempDir) {
    let (db, folder) = unmigrated(tables, item, ledger, place).await;
    db.run("migrate-all").arg("--contract").folder(folder.path()).await.ok();
    (db, folder)
}

async fn unmigrated(tables: &str, item: &str, ledger: &str, place: &str) -> (TestDb, tempfile::TempDir) {
    let db = TestDb::empty().await;
    db.execute(format!("CREATE TABLE users (id serial PRIMARY KEY, email text); {tables}")).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        format!(
            "[tenancy]\ntables = [\"users\", \"items\", \"stock\", \"mv\"]\nitems = false\n
             [balances]\ntable = \"stock\"\nadopt = true\nitem = \"{item}\"\nlocation = {place}\nlot = false\nquantity = \"qty\"
             last_ledger_id = false\nlast_updated = false\n
             [ledger]\ntable = \"mv\"\nlot = false\ncreated_at = false\n{ledger}"
        ),
    )
    .unwrap();
    (db, folder)
}

#[tokio::test]
async fn a_row_that_went_along_to_another_key_is_counted_there_once() {
    let filled = "INSERT INTO mv (item, qty) VALUES (1, 5), (2, 3), (2, 4)";
    // Stock and movements that both follow an item, whichever key was made first; and movements that follow the stock itself.
    let cases = [
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES items ON UPDATE CASCADE, qty int);
             CREATE TABLE stock (id serial PRIMARY KEY, item int UNIQUE REFERENCES items ON UPDATE CASCADE, qty int NOT NULL DEFAULT 0);
             INSERT INTO items VALUES (1), (2); INSERT INTO stock (item, qty) VALUES (1, 5), (2, 7)",
            "item",
            "items",
        ),
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE stock (id serial PRIMARY KEY, item int UNIQUE REFERENCES items ON UPDATE CASCADE, qty int NOT NULL DEFAULT 0);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES items ON UPDATE CASCADE, qty int);
             INSERT INTO items VALUES (1), (2); INSERT INTO stock (item, qty) VALUES (1, 5), (2, 7)",
            "item",
            "items",
        ),
        (
            "CREATE TABLE items (id int PRIMARY KEY);
             CREATE TABLE stock (id serial PRIMARY KEY, variant int, qty int NOT NULL DEFAULT 0);
             CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES stock ON UPDATE CASCADE, qty int);
             INSERT INTO stock (variant, qty) VALUES (1, 5), (2, 7)",
            "id",
            "stock",
        ),
    ];
    for (tables, item, renamed) in cases {
        let (db, folder) = of_items(&format!("{tables}; {filled}"), item, BY_ITEM, "false").await;
        let stock =
            async || db.rows(format!("SELECT {item}::text, qty::text FROM stock ORDER BY {item}")).await;
        let is_exact = async || {
            db.run("reconcile-balances").folder(folder.path()).await.ok();
            db.run("reconcile-balances").arg("--full").folder(folder.path()).await.ok();
        };
        db.execute(format!("UPDATE {renamed} SET id = 12 WHERE id = 2")).await;
        assert_eq!(stock().await, [["1", "5"], ["12", "7"]], "{tables}");
        is_exact().await;
        // Several at once, and an entry's own change of key, as ever.
        db.execute(format!("UPDATE {renamed} SET id = id + 100; INSERT INTO mv (item, qty) VALUES (112, 2)"))
            .await;
        assert_eq!(stock().await, [["101", "5"], ["112", "9"]], "{tables}");
        db.execute("UPDATE mv SET item = 101 WHERE qty = 4").await;
        assert_eq!(stock().await, [["101", "9"], ["112", "5"]], "{tables}");
        db.execute("UPDATE mv SET item = 101, qty = qty + 1").await;
        assert_eq!(stock().await, [["101", "18"], ["112", "0"]], "{tables}");
        db.execute("UPDATE mv SET item = 112").await;
        assert_eq!(stock().await, [["101", "0"], ["112", "18"]], "{tables}");
        is_exact().await;
    }
}

#[tokio::test]
async fn rows_that_went_along_with_both_ends_of_a_movement_are_counted_once() {
    let (db, folder) = of_items(
        "CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE places (id int PRIMARY KEY);
         CREATE TABLE mv (id serial PRIMARY KEY, item int REFERENCES items ON UPDATE CASCADE, src int REFERENCES places ON UPDATE CASCADE,
                          dst int REFERENCES places ON UPDATE CASCADE, qty int);
         CREATE TABLE stock (id serial PRIMARY KEY, item int REFERENCES items ON UPDATE CASCADE, place int REFERENCES places ON UPDATE CASCADE,
                             qty int NOT NULL DEFAULT 0);
         INSERT INTO items VALUES (1), (2); INSERT INTO places VALUES (1), (2), (3);
         INSERT INTO mv (item, src, dst, qty) VALUES (1, 1, 2, 5), (1, 2, 1, 2), (2, 3, 2, 7), (1, 2, 2, 9);
         INSERT INTO stock (item, place, qty) VALUES (1, 1, -3), (1, 2, 3), (2, 3, -7), (2, 2, 7)",
        "item",
        "item = \"item\"\n
         [[ledger.posting]]\nlocation = \"dst\"\nquantity = \"qty\"\n
         [[ledger.posting]]\nlocation = \"src\"\nquantity = { sql = \"-qty\" }\n",
        "\"place\"",
    )
    .await;
    for rename in [
        "UPDATE places SET id = 12 WHERE id = 2",
        "UPDATE items SET id = 11 WHERE id = 1",
        "UPDATE places SET id = id + 100",
    ] {
        let quantities = db.rows("SELECT id::text, qty::text FROM stock ORDER BY id").await;
        db.execute(rename).await;
        assert_eq!(
            db.rows("SELECT id::text, qty::text FROM stock ORDER BY id").await,
            quantities,
            "{rename}"
        );
        db.run("reconcile-balances").arg("--full").folder(folder.path()).await.ok();
    }
}

#[tokio::test]
async fn checks_triggers_and_numbers_of_a_table_see_balances_and_no_deltas() {
    let (db, folder) = of_items(
        "CREATE TABLE items (id int PRIMARY KEY);
         CREATE TABLE mv (id bigserial PRIMARY KEY, item int REFERENCES items, qty int);
         CREATE TABLE seen (what text);
         CREATE TABLE stock (id serial PRIMARY KEY, item int UNIQUE REFERENCES items, qty int NOT NULL DEFAULT 0 CHECK (qty >= 0));
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (TG_OP || NEW.qty); RETURN NEW; END $$;
         INSERT INTO items VALUES (1), (2), (3); INSERT INTO mv (item, qty) VALUES (1, 80), (2, 7); INSERT INTO stock (item, qty) VALUES (1, 80), (2, 7);
         CREATE TRIGGER see BEFORE INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION see()",
        "item",
        BY_ITEM,
        "false",
    )
    .await;
    let stock =
        async || db.value("SELECT string_agg(item || ':' || qty, ' ' ORDER BY item) FROM stock").await;
    let seen = async || {
        db.value("WITH s AS (DELETE FROM seen RETURNING what) SELECT coalesce(string_agg(what, ' ' ORDER BY what), '') FROM s").await
    };
    seen().await;
    db.execute("INSERT INTO mv (item, qty) VALUES (1, -5)").await;
    assert_eq!((stock().await, seen().await), ("1:75 2:7".into(), "UPDATE75".into()));
    // Several at once, one of them new.
    db.execute("INSERT INTO mv (item, qty) VALUES (3, 4), (2, -6), (1, -70)").await;
    assert_eq!((stock().await, seen().await), ("1:5 2:1 3:4".into(), "INSERT4 UPDATE1 UPDATE5".into()));
    db.execute("UPDATE mv SET qty = -4 WHERE qty = -5").await;
    db.execute("DELETE FROM mv WHERE qty = 4").await;
    assert_eq!((stock().await, seen().await), ("1:6 2:1 3:0".into(), "UPDATE0 UPDATE6".into()));
    // Only the row that came has taken a number, and who asks for the last one gets that of the entry.
    assert_eq!(db.value("SELECT last_value FROM stock_id_seq").await, "3");
    let mut session = db.connect().await;
    sqlx::raw_sql("INSERT INTO mv (item, qty) VALUES (1, 1)").execute(&mut session).await.unwrap();
    let is_its: bool =
        sqlx::query_scalar("SELECT lastval() = max(id) FROM mv").fetch_one(&mut session).await.unwrap();
    assert!(is_its);
    // What would not hold is refused, and a repair is no other than an entry.
    let refused = sqlx::raw_sql("INSERT INTO mv (item, qty) VALUES (2, -2)").execute(&mut session).await;
    assert!(refused.unwrap_err().to_string().contains("stock_qty_check"));
    db.execute("UPDATE stock SET qty = 50 WHERE item = 2; DELETE FROM stock WHERE item = 3").await;
    seen().await;
    db.run("reconcile-balances").args(["--full", "--fix-large"]).folder(folder.path()).await.ok();
    assert_eq!((stock().await, seen().await), ("1:7 2:1".into(), "UPDATE1".into()));
    db.run("reconcile-balances").arg("--full").folder(folder.path()).await.ok();
}

#[tokio::test]
async fn two_rows_of_a_key_stop_the_whole_sequence_before_its_first_change() {
    let (db, folder) = unmigrated(
        "CREATE TABLE items (id int PRIMARY KEY, sku text UNIQUE);
         CREATE TABLE mv (id serial PRIMARY KEY, item int, qty int);
         CREATE TABLE stock (id serial PRIMARY KEY, item int, qty int, gone boolean);
         INSERT INTO stock (item, qty, gone) VALUES (1, 1, true), (1, 1, false)",
        "item",
        BY_ITEM,
        "false",
    )
    .await;
    let schema = || crate::migration::schema(&db);
    let before = schema();
    let run = || db.run("migrate-all").arg("--contract").folder(folder.path());
    run().arg("--dry-run").await.status(1);
    run().await.refuses(
        3,
        "has several rows of one key (item), and a balance is one row: 2 rows of 1 keys, such as 1",
    );
    let refused = run().rehearsing().await.refuses(3, "has several rows of one key");
    assert_eq!(schema(), before);
    // The SQL that it says makes one row of them, the oldest, with all that they held.
    let merging = refused.stderr.split_once("BEGIN;").unwrap().1.rsplit_once("COMMIT").unwrap().0.to_owned();
    db.execute(format!("BEGIN; {merging}; COMMIT")).await;
    assert_eq!(db.rows("SELECT id::text, qty::text FROM stock").await, [["1", "2"]]);
    run().await.ok();
}

#[tokio::test]
async fn a_key_that_is_unique_among_some_rows_alone_is_no_balances_key() {
    let (db, folder) = unmigrated(
        "CREATE TABLE items (id int PRIMARY KEY, sku text UNIQUE);
         CREATE TABLE mv (id serial PRIMARY KEY, item int, qty int);
         CREATE TABLE stock (id serial PRIMARY KEY, item int, qty int, gone_at timestamptz);
         CREATE UNIQUE INDEX of_those_left ON stock (item) WHERE gone_at IS NULL",
        "item",
        BY_ITEM,
        "false",
    )
    .await;
    let run = || db.run("migrate-all").arg("--contract").folder(folder.path());
    run().await.refuses(3, "only where (gone_at IS NULL) (of_those_left)");
    let reconcile = db.run("reconcile-balances").folder(folder.path());
    reconcile.await.refuses(3, "has no table organizations; run migrate-org first");
    // What is of the key itself hides no second row.
    db.execute("DROP INDEX of_those_left; CREATE UNIQUE INDEX of_items ON stock (item) WHERE item > 0").await;
    run().await.ok();
}
