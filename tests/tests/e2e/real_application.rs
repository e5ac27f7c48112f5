//! Balances against the writes of an application that nobody here wrote: Tryton's stock module, with several of its
//! processes at work, while its database is migrated, reconciled, upgraded, isolated and taken back. What it tells of its
//! stock itself, the sums of its moves and the balances must be the same numbers at every stage.
//!
//! It comes from PyPI and takes minutes of a processor, so `STOCKFOIL_TEST_TRYTON=1` must ask for it.

mod tryton;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use testkit::TestDb;

use crate::migration::{same_schema, schema};
use tryton::{Counts, Tryton};

/// The balances, spelled as Tryton's answers are.
const BALANCES: &str =
    "SELECT location_id::text AS place, item_id::text AS product, coalesce(lot_id::text, '') AS lot,
        qty_canonical AS quantity FROM inventory_balances";

/// The sums of the moves, by a statement that has nothing of Stockfoil's.
const SUMS: &str = "SELECT place::text, product::text, coalesce(lot::text, '') AS lot, sum(quantity) AS quantity
     FROM (SELECT to_location AS place, product, lot, internal_quantity::numeric AS quantity FROM stock_move
           WHERE state = 'done'
           UNION ALL
           SELECT from_location, product, lot, -internal_quantity::numeric FROM stock_move WHERE state = 'done') AS p
     GROUP BY 1, 2, 3";

/// What the workers do.
const WAYS: [&str; 11] = [
    "do_one",
    "do_many",
    "leave_draft",
    "do_drafts",
    "delete",
    "cancel",
    "cancel_done",
    "assign",
    "book_elsewhere",
    "ship",
    "count_place",
];

/// One of the lists of Tryton's answers, as rows.
fn told(list: &Value) -> String {
    format!(
        "SELECT e ->> 0 AS place, e ->> 1 AS product, coalesce(e ->> 2, '') AS lot, (e ->> 3)::numeric AS quantity
         FROM json_array_elements($told${list}$told$::json) AS e"
    )
}

/// Rows of all lots of a product together, or of single lots alone.
fn products(rows: &str) -> String {
    format!("SELECT place, product, '' AS lot, sum(quantity) AS quantity FROM ({rows}) AS r GROUP BY 1, 2")
}

fn lots(rows: &str) -> String {
    // Of a lot that was deleted Tryton tells nothing any more.
    format!("SELECT * FROM ({rows}) AS r WHERE lot IN (SELECT id::text FROM stock_lot)")
}

/// Two lists of quantities are the same, to the last digit; a quantity of zero may be missing.
async fn assert_same(db: &TestDb, what: &str, one: &str, other: &str) {
    let differing = format!(
        "SELECT place, product, lot, a.quantity, b.quantity
         FROM ({one}) AS a FULL JOIN ({other}) AS b USING (place, product, lot)
         WHERE coalesce(a.quantity, 0) <> coalesce(b.quantity, 0)"
    );
    assert_eq!(db.rows(differing).await, [[""; 0]; 0], "{what}");
}

/// Balances, sums of moves and Tryton's own answers agree.
async fn assert_exact(tryton: &Tryton, what: &str) {
    let db = tryton.db();
    assert_same(db, &format!("{what}: balances and moves"), BALANCES, SUMS).await;
    let answer = tryton.answers(0).await;
    assert_same(db, &format!("{what}: balances and Tryton"), BALANCES, &told(&answer["table"])).await;
    let by_product = told(&answer["products"]);
    assert_same(db, &format!("{what}: Product.quantity"), &products(BALANCES), &by_product).await;
    assert_same(db, &format!("{what}: Lot.quantity"), &lots(BALANCES), &told(&answer["lots"])).await;
    let moved = db.value(format!("SELECT count(*) FROM ({BALANCES}) AS b WHERE quantity <> 0")).await;
    assert!(moved.parse::<u32>().unwrap() > 30, "{what}: {moved} balances show something");
}

/// The balances at the end of a day that is past are what Tryton says of that day.
async fn assert_exact_at(tryton: &Tryton, days: u32) {
    let db = tryton.db();
    let answer = tryton.answers(days).await;
    let day = answer["day"].as_str().unwrap();
    let report =
        tryton.stockfoil("reconcile-balances").args(["--as-of", day, "--format", "json"]).await.ok().json();
    let list = report["balances"].as_array().unwrap().iter();
    let list = list.map(|b| json!([b["location_id"], b["item_id"], b["lot_id"], b["quantity"]])).collect();
    assert_same(db, day, &told(&Value::Array(list)), &told(&answer["table"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_are_what_tryton_says_at_every_stage() {
    let Some(tryton) = Tryton::wanted().await else { return };
    let db = tryton.db();
    tryton.drive(&["make"]).await;
    tryton.drive(&["setup"]).await;
    let as_it_was = schema(db);
    let mut counts = Counts::new();
    tryton.work(&[1], 120, &mut counts).await;

    // What the ledger is, db-generate finds by itself.
    let proposal = db.run("db-generate").arg("--propose-config").await.ok().stdout;
    for line in [
        "table = \"stock_move\"",
        "where = { sql = \"\"\"\"state\" = 'done'\"\"\" }",
        "location = \"to_location\"\nquantity = { sql = '\"internal_quantity\"::numeric' }",
        "location = \"from_location\"\nquantity = { sql = '-\"internal_quantity\"::numeric' }",
    ] {
        assert!(proposal.contains(line), "no {line} in {proposal}");
    }

    // Migrated, rehearsal and all, while three of its processes go on.
    let before = db.value("SELECT count(*) FROM stock_move").await;
    let workers = tryton.start(&[2, 3, 4], 100);
    while db.value("SELECT count(*) FROM stock_move").await == before {
        tokio::task::yield_now().await;
    }
    tryton.stockfoil("migrate-all").rehearsing().await.ok();
    tryton.stockfoil("backfill-balances").args(["--batch-rows", "3"]).await.ok().says("verified");
    tryton.finish(workers, &mut counts).await;
    assert_exact(&tryton, "migrated among writers").await;
    tryton.stockfoil("validate-migration").args(["--require", "balances"]).await.ok();

    // Every look at balances among writers finds them whole.
    let workers = tryton.start(&[5, 6, 7], 200);
    let is_over = AtomicBool::new(false);
    let working = async {
        tryton.finish(workers, &mut counts).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let looking = async {
        while !is_over.load(Ordering::Relaxed) {
            tryton.stockfoil("reconcile-balances").await.ok().says(": 0 differ");
            tryton.stockfoil("backfill-balances").args(["--batch-rows", "3"]).await.ok().says("verified");
        }
    };
    tokio::join!(working, looking);
    assert!(counts["moves"] >= 1000, "{counts:?}");
    for way in WAYS {
        assert!(counts.contains_key(way), "no worker did {way}: {counts:?}");
    }
    assert_exact(&tryton, "after writers").await;
    for days in [1, 4, 7, 12] {
        assert_exact_at(&tryton, days).await;
    }

    // Moves that are done change once more: a lot is deleted, and they go on without it.
    tryton.drive(&["forget-lot"]).await;
    assert_exact(&tryton, "a deleted lot").await;

    // An upgrade of the application looks over each of its tables, and leaves Stockfoil's part alone.
    let migrated = schema(db);
    tryton.drive(&["make"]).await;
    same_schema(db, &migrated);
    tryton.stockfoil("validate-migration").args(["--require", "balances"]).await.ok();
    tryton.stockfoil("reconcile-balances").await.ok().says(": 0 differ");

    isolated(&tryton).await;

    // Back to what it was, and it still works.
    let said = tryton.answers(0).await;
    tryton.stockfoil("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(db, &as_it_was);
    assert_eq!(tryton.answers(0).await, said, "Tryton says what it said");
    tryton.work(&[9], 20, &mut counts).await;
}

/// Under isolation Tryton works as a role that owns nothing, which sees nothing without its organization.
async fn isolated(tryton: &Tryton) {
    let db = tryton.db();
    tryton.stockfoil("migrate-org").args(["--contract", "--yes"]).await.ok();
    tryton.stockfoil("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    db.execute(
        "CREATE ROLE tryton_clerk LOGIN IN ROLE tryton_app;
         DO $$ DECLARE name regclass; BEGIN
             FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                         AND NOT relrowsecurity LOOP
                 EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tryton_clerk', name);
             END LOOP;
             FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' LOOP
                 EXECUTE format('GRANT USAGE ON SEQUENCE %s TO tryton_clerk', name);
             END LOOP;
         END $$",
    )
    .await;
    let clerk = tryton.as_login("tryton_clerk", "default");
    clerk.work(&[8], 40, &mut Counts::new()).await;
    clerk.drive(&["forget-lot"]).await;
    assert_exact(&clerk, "isolated").await;
    clerk.drive(&["close", "6"]).await;
    assert_exact(&clerk, "a closed period").await;
    tryton.stockfoil("reconcile-balances").await.ok().says(": 0 differ");
    tryton.stockfoil("validate-migration").args(["--require", "balances"]).await.ok();
    let stranger = tryton.as_login("tryton_clerk", "nobody");
    let seen = stranger.drive(&["see"]).await;
    assert_eq!(seen, "{\"moves\": 0, \"products\": 0}\n", "another organization sees something");
    db.execute("DROP OWNED BY tryton_clerk; DROP ROLE tryton_clerk").await;
}
