//! Ledgers and balances as applications have made them: keys of other types, their own way to say that there is no lot, rows
//! that lack a part of their key.

use testkit::TestDb;

/// A ledger `moves` with a location and a lot of these types, and a table `stock` with these columns beside its id.
async fn found(location: &str, lot: &str, stock: &str) -> TestDb {
    let db = TestDb::empty().await;
    db.execute(format!(
        "CREATE TABLE items (id text PRIMARY KEY);
         INSERT INTO items VALUES ('i1'), ('i2'), ('');
         CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL REFERENCES items, loc {location} NOT NULL,
                             lot {lot}, qty numeric(18, 6) NOT NULL, at timestamptz NOT NULL DEFAULT now());
         CREATE TABLE stock (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {stock})"
    ))
    .await;
    db
}

fn config(balances: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (tables, balances) = match balances.is_empty() {
        true => (r#"["items", "moves"]"#, "[balances]\ntable = \"own_stock\"\n".to_owned()),
        false => (
            r#"["items", "moves", "stock"]"#,
            format!(
                "[balances]\ntable = \"stock\"\nadopt = true\nitem = \"item\"\nlocation = \"loc\"\nlot = \"lot\"\nquantity = \"qty\"\nlast_ledger_id = false\nlast_updated = false\n{balances}\n"
            ),
        ),
    };
    let text = format!(
        "[tenancy]\ntables = {tables}\nitems = \"items\"\nusers = false\n\n[ledger]\ntable = \"moves\"\nitem = \"item\"\nlocation = \"loc\"\nlot = \"lot\"\nquantity = \"qty\"\ncreated_at = \"at\"\n\n{balances}"
    );
    std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    folder
}

/// What an adopted configuration has beside its columns: nothing.
const ADOPTED: &str = "\n";

async fn migrated(db: &TestDb, config: &tempfile::TempDir) {
    db.run("migrate-all").args(["--contract", "--yes"]).folder(config).await.ok();
}

const STOCK: &str = "SELECT coalesce(string_agg(concat_ws('|', item, loc::text, coalesce(lot::text, '-'), trim_scale(qty)), ' ' ORDER BY item, loc::text, lot::text), '') FROM stock";

#[tokio::test]
async fn the_text_of_a_key_does_not_depend_on_the_writer() {
    let (db, config) = (found("bytea", "date", "x int").await, config(""));
    db.execute("INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', '\\x00ff', '2027-03-04', 10)").await;
    migrated(&db, &config).await;
    for settings in [
        "SET datestyle = German; SET bytea_output = escape",
        "SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Kolkata'",
    ] {
        db.execute(format!(
            "{settings}; INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', '\\x00ff', make_date(2027, 3, 4), -4);
             UPDATE moves SET qty = qty + 1 WHERE qty = -4"
        ))
        .await;
    }
    let rows = "SELECT string_agg(concat_ws('|', location_id, lot_id, trim_scale(qty_canonical)), ' ') FROM own_stock";
    assert_eq!(db.value(rows).await, "\\x00ff|2027-03-04|4");
    for _ in 0..2 {
        db.run("reconcile-balances").folder(&config).await.ok().says("ledger and balances match");
    }
    assert_eq!(
        db.rows("SET datestyle = German; SET bytea_output = escape; SELECT trim_scale(stockfoil.balance_at('default', 'i1', '\\x00ff', '2027-03-04', now()))").await,
        [["4"]]
    );
    db.run("reconcile-balances").arg("--full").folder(&config).await.ok();
    db.run("validate-migration").folder(&config).await.ok();
}

#[tokio::test]
async fn what_an_expression_gives_does_not_depend_on_the_writer() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE items (id text PRIMARY KEY); INSERT INTO items VALUES ('i1');
         CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL REFERENCES items,
                             qty float8 NOT NULL, mark bytea NOT NULL DEFAULT '\\x00ff');
         INSERT INTO moves (item, qty) VALUES ('i1', 0.1)",
    )
    .await;
    let config = tempfile::tempdir().unwrap();
    let text = "[tenancy]\ntables = [\"items\", \"moves\"]\nitems = \"items\"\nusers = false\n\n[ledger]\ntable = \"moves\"\nitem = \"item\"\nlocation = false\nlot = false\nquantity = { sql = \"qty::text::numeric\" }\ncreated_at = false\nwhere = { sql = \"mark::text = '\\\\x00ff'\" }\n\n[balances]\ntable = \"own_stock\"\nlocation = false\nlot = false\n";
    std::fs::write(config.path().join("stockfoil.toml"), text).unwrap();
    migrated(&db, &config).await;
    for (settings, expected) in [
        ("SET extra_float_digits = -15", "0.4"),
        ("SET extra_float_digits = 3", "0.7"),
        ("SET bytea_output = escape", "1"),
    ] {
        db.execute(format!(
            "{settings}; INSERT INTO moves (item, qty) VALUES ('i1', 0.1), ('i1', 0.30000000000000004);
             UPDATE moves SET qty = 0.2 WHERE qty = 0.30000000000000004; INSERT INTO moves (item, qty) VALUES ('i1', 123456.7);
             DELETE FROM moves WHERE qty = 123456.7"
        ))
        .await;
        assert_eq!(db.value("SELECT trim_scale(qty_canonical) FROM own_stock").await, expected, "{settings}");
        db.run("reconcile-balances").folder(&config).await.ok().says("ledger and balances match");
    }
    db.run("reconcile-balances").arg("--full").folder(&config).await.ok();
    db.run("validate-migration").folder(&config).await.ok();
}

#[tokio::test]
async fn an_adopted_time_is_booked_where_the_ledger_has_it() {
    let stock = "item text NOT NULL, loc timestamptz NOT NULL, lot text, qty numeric NOT NULL DEFAULT 0";
    let (db, config) = (found("timestamptz", "text", stock).await, config(ADOPTED));
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', '2024-01-01 00:00+00', 10)").await;
    migrated(&db, &config).await;
    // Each zone has an abbreviation that means another one elsewhere.
    for zone in ["Asia/Kolkata", "Asia/Manila"] {
        db.execute(format!(
            "SET datestyle = 'SQL, DMY'; SET timezone = '{zone}'; INSERT INTO moves (item, loc, qty) VALUES ('i1', to_timestamp(1704067200), 1)"
        ))
        .await;
    }
    assert_eq!(
        db.value(
            "SELECT string_agg(extract(epoch FROM loc)::bigint || ' ' || trim_scale(qty), ', ') FROM stock"
        )
        .await,
        "1704067200 12"
    );
    db.run("reconcile-balances").arg("--full").folder(&config).await.ok();
}

#[tokio::test]
async fn no_lot_is_what_the_table_calls_so() {
    let stock = "item text NOT NULL, loc text NOT NULL, lot text NOT NULL DEFAULT '', qty numeric NOT NULL DEFAULT 0, UNIQUE (item, loc, lot)";
    let (db, config) = (found("text", "text", stock).await, config(ADOPTED));
    db.execute("INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', 'l1', NULL, 3), ('i1', 'l1', '', 4), ('i2', 'l1', 'A', 5); INSERT INTO stock (item, loc, qty) VALUES ('i1', 'l1', 7)").await;
    let run = db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).rehearsing().await.ok();
    // The new keys find a few rows as well as the index that keeps the old lookups does.
    assert!(!run.stdout.contains("read the whole table"), "{}", run.stdout);
    db.execute("INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', 'l1', NULL, 1), ('i1', 'l1', '', 1), ('i2', 'l1', '', 1), ('i2', 'l1', 'A', 1)").await;
    assert_eq!(db.value(STOCK).await, "i1|l1||9 i2|l1||1 i2|l1|A|6");
    db.execute("DELETE FROM stock WHERE item = 'i1'; UPDATE stock SET qty = qty + 0.001").await;
    db.run("reconcile-balances").arg("--fix-large").folder(&config).await.ok();
    assert_eq!(db.value(STOCK).await, "i1|l1||9 i2|l1||1 i2|l1|A|6");
    db.run("reconcile-balances").args(["--explain", "default/i1/l1"]).folder(&config).await.ok();
}

#[tokio::test]
async fn empty_lots_beside_null_are_refused() {
    let stock = "item text NOT NULL, loc text NOT NULL, lot text, qty numeric NOT NULL DEFAULT 0";
    let (db, config) = (found("text", "text", stock).await, config(ADOPTED));
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', 3); INSERT INTO stock (item, loc, lot, qty) VALUES ('i1', 'l1', '', 3)").await;
    let run = db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).await.status(3);
    run.tells("has rows whose lot is an empty text, and lot may be NULL");
    db.execute("UPDATE stock SET lot = NULL").await;
    migrated(&db, &config).await;
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', 5)").await;
    assert_eq!(db.value(STOCK).await, "i1|l1|-|8");
}

#[tokio::test]
async fn rows_that_lack_a_part_of_their_key_are_told_and_left_alone() {
    let stock = "item text, loc text, lot text, qty numeric";
    let (db, config) = (found("text", "text", stock).await, config(ADOPTED));
    db.execute(
        "INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', '', 'A', 10), ('i2', 'l1', 'A', 10);
         INSERT INTO stock (item, loc, lot, qty) VALUES ('i1', NULL, 'A', 5), (NULL, 'l1', 'A', 4)",
    )
    .await;
    migrated(&db, &config).await;
    let keyless = "SELECT string_agg(trim_scale(qty)::text, ' ' ORDER BY qty) FROM stock WHERE item IS NULL OR loc IS NULL";
    assert_eq!(db.value(keyless).await, "4 5");
    // The empty location's own balance differs, too.
    db.execute("UPDATE stock SET qty = qty + 0.001 WHERE loc = '' OR item = 'i2'").await;
    let report =
        db.run("reconcile-balances").args(["--format", "json"]).folder(&config).await.status(1).json();
    assert_eq!((&report["repaired"], &report["unresolved"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding").await, "3");
    assert_eq!(db.value(keyless).await, "4 5");
}

#[tokio::test]
async fn a_key_with_an_empty_location_is_explained_as_it_is_printed() {
    let (db, config) = (found("text", "text", "x int").await, config(""));
    db.execute("INSERT INTO moves (item, loc, lot, qty) VALUES ('i1', '', NULL, 1), ('i1', '', 'A', 2), ('', '', NULL, 4), ('', '', 'B', 8), ('', 'l', NULL, 16)").await;
    migrated(&db, &config).await;
    db.execute("UPDATE own_stock SET qty_canonical = qty_canonical + 5").await;
    let report =
        db.run("reconcile-balances").args(["--format", "json"]).folder(&config).await.status(1).json();
    let keys: Vec<&str> =
        report["listed"].as_array().unwrap().iter().map(|listed| listed["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 5);
    for key in keys {
        let run = db.run("reconcile-balances").args(["--explain", key]).folder(&config).await.status(1);
        run.says("drift -5");
    }
}

#[tokio::test]
async fn an_enum_value_of_another_name_is_another_key_at_once() {
    let db = TestDb::empty().await;
    db.execute("CREATE TYPE place AS ENUM ('l0', 'l1')").await;
    db.execute(
        "CREATE TABLE items (id text PRIMARY KEY); INSERT INTO items VALUES ('i1');
         CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL REFERENCES items, loc place NOT NULL,
                             lot text, qty numeric NOT NULL, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l0', 10), ('i1', 'l1', 10)",
    )
    .await;
    let config = config("");
    migrated(&db, &config).await;
    db.run("reconcile-balances").folder(&config).await.ok();
    db.execute("ALTER TYPE place RENAME VALUE 'l0' TO 'L0'; INSERT INTO moves (item, loc, qty) VALUES ('i1', 'L0', -4)").await;
    let run = db.run("reconcile-balances").folder(&config).await.status(1);
    run.says("the names of an enum's values changed");
    db.run("reconcile-balances").arg("--fix-large").folder(&config).await.ok();
    assert_eq!(
        db.value("SELECT string_agg(location_id || ' ' || trim_scale(qty_canonical), ', ' ORDER BY location_id COLLATE \"C\") FROM own_stock").await,
        "L0 6, l0 0, l1 10"
    );
}

#[tokio::test]
async fn a_ledger_in_anothers_place_says_whose_the_statistics_are() {
    let (db, config) = (found("text", "text", "x int").await, config(""));
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', 1)").await;
    migrated(&db, &config).await;
    db.execute(
        "CREATE TABLE moves2 (LIKE moves INCLUDING ALL EXCLUDING STATISTICS); INSERT INTO moves2 OVERRIDING SYSTEM VALUE SELECT * FROM moves;
         ALTER TABLE moves RENAME TO moves_old; ALTER TABLE moves2 RENAME TO moves",
    )
    .await;
    db.run("reconcile-balances").folder(&config).await.status(1);
    let run = db.run("migrate-balance").folder(&config).await.status(3);
    run.tells("needs statistics of the name moves_balance_key_stats, which public.moves_old has");
    db.execute("DROP STATISTICS moves_balance_key_stats").await;
    db.run("migrate-balance").folder(&config).await.ok();
    db.run("reconcile-balances").folder(&config).await.ok();
}

#[tokio::test]
async fn columns_that_cannot_hold_what_comes_are_refused() {
    for (quantity, words) in [
        ("qty integer NOT NULL DEFAULT 0", "which can't hold every sum"),
        (
            "onhand numeric, qty numeric GENERATED ALWAYS AS (onhand) STORED",
            "is GENERATED, and a balance's quantity is written",
        ),
    ] {
        let db =
            found("text", "text", &format!("item text NOT NULL, loc text NOT NULL, lot text, {quantity}"))
                .await;
        db.execute("ALTER TABLE moves ALTER qty TYPE bigint").await;
        let config = config(ADOPTED);
        db.run("migrate-balance").folder(&config).await.refuses(2, words);
    }
}

#[tokio::test]
async fn what_the_application_keeps_is_compared_whatever_a_row_of_it_needs() {
    let stock =
        "item text NOT NULL, loc text NOT NULL, lot text, qty numeric NOT NULL DEFAULT 0, unit text NOT NULL";
    let db = found("text", "text", stock).await;
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', 3); INSERT INTO stock (item, loc, qty, unit) VALUES ('i1', 'l1', 3, 'kg')").await;
    let kept = config("kept_by = \"application\"");
    migrated(&db, &kept).await;
    db.run("reconcile-balances").folder(&kept).await.ok();
    db.execute("UPDATE stock SET qty = 4").await;
    db.run("reconcile-balances").folder(&kept).await.status(1).says("ledger 3, balance 4");
    // What can be mended is, and a row that only the application can make stops nothing.
    db.execute("UPDATE stock SET qty = 3.001; INSERT INTO moves (item, loc, qty) VALUES ('i2', 'l1', 0.005)")
        .await;
    for args in [&[][..], &["--fix-large"]] {
        let run = db.run("reconcile-balances").args(args).folder(&kept).await.status(1);
        run.says("has no row that could be made").says("default/i2/l1");
        assert_eq!(db.value(STOCK).await, "i1|l1|-|3");
    }
}

#[tokio::test]
async fn a_way_back_needs_no_way_there_again() {
    let stock =
        "item text NOT NULL, loc text NOT NULL, lot text, qty numeric NOT NULL DEFAULT 0 CHECK (qty >= 0)";
    let (db, config) = (found("text", "text", stock).await, config(ADOPTED));
    db.execute("INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', -3)").await;
    let run = db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).await.status(1);
    run.says("default/i1/l1 could not be written").says("violates check constraint");
    db.run("migrate-all").args(["--rollback", "--yes"]).folder(&config).rehearsing().await.ok();
    assert_eq!(
        db.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'moves'::regclass AND NOT tgisinternal")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_backfill_names_the_keys_that_something_keeps_from_their_sum() {
    let stock = "item text NOT NULL, loc text NOT NULL, lot text, qty numeric NOT NULL DEFAULT 0";
    let (db, config) = (found("text", "text", stock).await, config(ADOPTED));
    db.execute(
        "INSERT INTO moves (item, loc, qty) VALUES ('i1', 'l1', 1.5), ('i2', 'l1', 2);
         CREATE FUNCTION whole() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.qty := round(NEW.qty); RETURN NEW; END $$;
         CREATE TRIGGER whole BEFORE INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION whole()",
    )
    .await;
    db.run("migrate-all").args(["--contract", "--yes"]).folder(&config).await.status(1);
    let run = db.run("backfill-balances").folder(&config).await.status(1);
    let run = run.says("or a trigger, a rule or a type changes what is written to the balances");
    run.says("default/i1/l1");
}

#[tokio::test]
async fn a_lot_that_cannot_be_none_is_refused_where_entries_have_none() {
    for lot in ["integer", "uuid"] {
        let stock = format!(
            "item text NOT NULL, loc text NOT NULL, lot {lot} NOT NULL, qty numeric NOT NULL DEFAULT 0"
        );
        let (db, config) = (found("text", lot, &stock).await, config(ADOPTED));
        db.run("migrate-balance")
            .folder(&config)
            .await
            .refuses(2, "which has no value that says that there is no lot");
        // Where no entry lacks its lot nothing need say so.
        db.execute("ALTER TABLE moves ALTER lot SET NOT NULL").await;
        migrated(&db, &config).await;
    }
}
