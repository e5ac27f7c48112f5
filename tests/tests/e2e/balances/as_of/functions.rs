//! The functions over a partitioned ledger of two postings, by the key index, as they are renewed, and as they go.

use std::path::Path;

use sqlx::{Connection as _, PgConnection};
use testkit::{Binary, TestDb};

use super::super::fixture::inventory;
use crate::migration::{same_schema, schema};

/// A ledger in partitions by month, whose entries move a quantity from one bin to another: a day says when.
const MOVES: &str = "
    CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE);
    CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY, part integer NOT NULL, \"from\" text, \"to\" text, org text, lot varchar(8),
                        qty numeric NOT NULL, at date, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
    CREATE TABLE moves_1 PARTITION OF moves FOR VALUES IN (1);
    CREATE TABLE moves_2 PARTITION OF moves DEFAULT;
    INSERT INTO moves (part, \"from\", \"to\", lot, qty, at) VALUES
        (1, NULL, 'dock', 'a', 10, '2026-01-01'), (1, 'dock', '', 'a', 4, '2026-01-02'), (2, 'dock', 'shop', NULL, 1, '2026-01-02'),
        (2, '', 'shop', 'a', 3, '2026-01-03'), (1, NULL, 'shop', '', 5, NULL), (2, NULL, 'dock', 'a', 1, 'infinity'),
        (2, NULL, 'dock', 'a', 1, '5000000-01-01')";

/// The mapping, with what `[ledger] created_at` is, and the type that a part is made of.
fn mapping(folder: &Path, created_at: &str, part: &str) {
    let file = format!(
        "[tenancy]\ntables = [\"users\", \"moves\"]\norg_type = \"bigint\"\ndefault_org_id = \"7\"\nitems = false
[ledger]\ntable = \"moves\"\nid = [\"id\", \"part\"]\nitem = {part}\nlot = \"lot\"\ncreated_at = {created_at}
[[ledger.posting]]\nlocation = \"to\"\nquantity = \"qty\"
[[ledger.posting]]\nlocation = \"from\"\nquantity = {{ sql = \"-qty\" }}\n"
    );
    std::fs::write(folder.join("stockfoil.toml"), file).unwrap();
}

struct Moves {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Moves {
    async fn migrated() -> Self {
        let (db, folder) = (TestDb::empty().await, tempfile::tempdir().unwrap());
        db.execute(MOVES).await;
        mapping(folder.path(), "\"at\"", "\"part\"");
        let moves = Self { db, folder };
        moves.run("migrate-all").arg("--contract").await.ok();
        moves
    }

    fn run(&self, name: &str) -> Binary {
        self.db.run(name).folder(self.folder.path())
    }

    async fn told(&self, at: &str) -> Vec<String> {
        super::lines(
            &self.run("reconcile-balances").args(["--as-of", at, "--format", "json"]).await.ok().json(),
        )
    }
}

#[tokio::test]
async fn a_partitioned_ledger_of_two_postings() {
    let moves = Moves::migrated().await;
    let db = &moves.db;
    assert_eq!(
        moves.told("2026-01-02").await,
        ["7/1//a 4", "7/1/dock/a 6", "7/1/shop 5", "7/2/dock -1", "7/2/shop 1"]
    );
    // An entry of a day counts from its beginning in UTC, whatever the session's zone is.
    assert_eq!(moves.told("2026-01-01T00:00Z").await, ["7/1/dock/a 10", "7/1/shop 5"]);
    assert_eq!(moves.told("2026-01-01T00:59:59+01:00").await, ["7/1/shop 5"]);
    let row = "SET TimeZone = 'America/Lima';
               SELECT trim_scale(stockfoil.balance_at(7, 1, 'dock', 'a', '2026-01-02Z')), trim_scale(stockfoil.balance_at(7, 1, '', 'a', '2026-01-02Z')),
                      trim_scale(stockfoil.balance_at(7, 1, 'shop', NULL, '2026-01-02Z')), trim_scale(stockfoil.balance_at(7, 1, 'shop', '', '2025-01-01Z')),
                      trim_scale(stockfoil.balance_at(7, 2, 'dock', 'a', 'infinity')), trim_scale(stockfoil.balance_at(7, 2, 'dock', 'a', '294000-01-01Z')),
                      trim_scale(stockfoil.balance_at(8, 1, 'dock', 'a', '2026-01-02Z'))";
    assert_eq!(db.rows(row).await, [["6", "4", "5", "5", "2", "0", "0"]]);
    moves.run("validate-migration").await.ok();
}

#[tokio::test]
async fn the_key_index_finds_one_key() {
    let db = inventory().await;
    db.execute(
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, created_at)
         SELECT 'acme', 'bolt', 'l1', (ARRAY[NULL, 'A', 'B'])[1 + n % 3], 1, '2026-01-01Z' FROM generate_series(1, 30000) AS n;
         INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, created_at)
         SELECT 'acme', 'bolt', 'l1', 'rare', n, '2026-01-01Z' FROM generate_series(1, 4) AS n",
    )
    .await;
    db.execute("VACUUM ANALYZE inventory_ledger").await;
    let mut session: PgConnection = db.connect().await;
    let mut read = async || -> (i64, i64) {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut session).await.unwrap();
        let sum: String = sqlx::query_scalar(
            "SELECT trim_scale(stockfoil.balance_at('acme', 'bolt', 'l1', 'rare', '2026-01-01Z'))::text",
        )
        .fetch_one(&mut session)
        .await
        .unwrap();
        assert_eq!(sum, "10");
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut session).await.unwrap();
        sqlx::query("SELECT pg_stat_clear_snapshot()").execute(&mut session).await.unwrap();
        sqlx::query_as(
            "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'inventory_ledger_balance_key_idx'",
        )
        .fetch_one(&mut session)
        .await
        .unwrap()
    };
    let (scans, tuples) = read().await;
    // Often enough that a plan for all keys would have taken the place of one for this.
    for _ in 0..8 {
        read().await;
    }
    assert_eq!(read().await, (scans + 9, tuples + 9 * 4), "all of the key's columns are looked up");
    session.close().await.unwrap();
}

#[tokio::test]
async fn functions_of_another_release_or_mapping_are_renewed() {
    let moves = Moves::migrated().await;
    let db = &moves.db;
    let migrated = schema(db);
    db.execute(
        "CREATE ROLE teller_of_balances; GRANT EXECUTE ON FUNCTION stockfoil.balances_at TO teller_of_balances;
         CREATE OR REPLACE FUNCTION stockfoil.balances_at(org bigint, as_of timestamptz)
         RETURNS TABLE (item integer, location text, lot text, quantity numeric) LANGUAGE sql AS 'SELECT 1, '''', '''', 0'",
    )
    .await;
    let granted = schema(db);
    moves.run("validate-migration").await.status(1).says("function balances_at: it is not as it should be");
    moves.run("reconcile-balances").await.ok();
    moves.run("migrate-balance").await.ok();
    assert_ne!(schema(db), granted);
    // What was granted stays.
    assert_eq!(db.value("SELECT has_function_privilege('teller_of_balances', 'stockfoil.balances_at(bigint, timestamptz)', 'EXECUTE')").await, "t");
    db.execute(
        "REVOKE ALL ON FUNCTION stockfoil.balances_at FROM teller_of_balances; DROP ROLE teller_of_balances",
    )
    .await;
    same_schema(db, &migrated);
    // One that is not there is no reason to doubt the balances.
    db.execute("DROP FUNCTION stockfoil.balance_at").await;
    moves.run("validate-migration").await.status(1).says("function balance_at: it is not there");
    moves.run("reconcile-balances").await.ok();
    // Another's, with other parameters or another result, does not stay beside it.
    db.execute(
        "CREATE FUNCTION stockfoil.balance_at(org text, item text, location text, lot text, as_of timestamptz) RETURNS numeric LANGUAGE sql AS 'SELECT 0.0';
         DROP FUNCTION stockfoil.balances_at;
         CREATE FUNCTION stockfoil.balances_at(org bigint, as_of timestamptz) RETURNS TABLE (item text) LANGUAGE sql AS 'SELECT ''''';",
    )
    .await;
    moves.run("validate-migration").await.status(1);
    moves.run("migrate-balance").await.ok();
    same_schema(db, &migrated);
    moves.run("migrate-balance").await.ok().says("nothing to do");
    moves.run("validate-migration").await.ok();
}

#[tokio::test]
async fn where_no_times_are_known_nothing_is_told_and_the_functions_go() {
    let moves = Moves::migrated().await;
    let db = &moves.db;
    let migrated = schema(db);
    mapping(moves.folder.path(), "false", "\"part\"");
    let told = moves.run("reconcile-balances").args(["--as-of", "2026-01-01"]).await;
    told.refuses(2, "the ledger moves does not say when an entry was made, so --as-of has nothing to go by; write [ledger] created_at");
    moves.run("validate-migration").await.status(1).says("it is there, though [ledger] created_at is false");
    moves.run("migrate-balance").await.ok().tells("drop the functions that told balances at a time");
    assert_eq!(
        db.value("SELECT count(*) FROM pg_proc WHERE proname IN ('balance_at', 'balances_at')").await,
        "0"
    );
    moves.run("validate-migration").await.ok();
    mapping(moves.folder.path(), "\"at\"", "\"part\"");
    moves.run("migrate-balance").await.ok().tells("create the functions that tell balances");
    same_schema(db, &migrated);
}

#[tokio::test]
async fn the_way_back_leaves_nothing() {
    let (db, folder) = (TestDb::empty().await, tempfile::tempdir().unwrap());
    db.execute(MOVES).await;
    mapping(folder.path(), "\"at\"", "\"part\"");
    let moves = Moves { db, folder };
    let original = schema(&moves.db);
    moves.run("db-migrate").await.ok();
    moves.run("migrate-org").arg("--contract").await.ok();
    let before = schema(&moves.db);
    moves.run("migrate-balance").await.ok();
    // What stands on a function is named before anything goes.
    moves.db.execute("CREATE VIEW closing AS SELECT * FROM stockfoil.balances_at(7, '2026-01-31Z')").await;
    moves.run("migrate-balance").args(["--rollback", "--yes"]).await.refuses(3, "closing");
    // And all that stands in the way of the whole, at once.
    moves.db.execute("CREATE VIEW of_whom AS SELECT org_id FROM moves").await;
    moves.run("migrate-all").args(["--rollback", "--yes"]).await.refuses(3, "closing").tells("of_whom");
    moves.db.execute("DROP VIEW of_whom").await;
    moves.db.execute("DROP VIEW closing").await;
    moves.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    same_schema(&moves.db, &before);
    moves.run("migrate-balance").await.ok();
    moves.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&moves.db, &original);
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_with_what_to_write() {
    let db = inventory().await;
    for (args, says) in [
        ("--as-of yesterday", "is no time; write one with its offset from UTC, such as"),
        ("--as-of 2026-02-30", "is no time"),
        ("--as-of 2026-03-31T10:00", "write 2026-03-31T10:00Z for UTC"),
        ("--as-of 2999-01-01", "is yet to come: the server's clock says"),
        ("--as-of 2026-01-01 --dry-run", "--as-of and --dry-run exclude each other"),
        ("--as-of 2026-01-01 --fix-large", "exclude each other"),
        ("--as-of 2026-01-01 --explain acme/bolt/l1", "exclude each other"),
        ("--as-of 2026-01-01 --format prometheus", "exclude each other"),
        ("--as-of 2026-01-01 --entries 5", "--entries goes with --explain"),
        ("--as-of 2026-01-01 --org acme --key acme/bolt/l1", "exclude each other"),
        ("--key acme/bolt/l1", "--key goes with --as-of"),
        ("--as-of 2026-01-01 --org nobody", "nobody"),
        ("--as-of 2026-01-01 --key acme/bolt", "can't be a key of this ledger"),
        ("--as-of 2026-01-01 --key acme/bolt/l1/x", "has no ledger entry"),
    ] {
        db.run("reconcile-balances").args(args.split(' ')).await.refuses(2, says);
    }
    let bare = TestDb::inventory().await;
    bare.run("reconcile-balances")
        .args(["--as-of", "2026-01-01"])
        .await
        .refuses(3, "run migrate-balance first");
}
