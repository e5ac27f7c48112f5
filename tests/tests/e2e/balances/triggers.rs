//! The triggers keep each balance the sum of its entries, whatever writes the ledger.

use stockfoil_core::balance::{self, State};
use testkit::TestDb;

use super::fixture::{balances, entry, inventory, wrong_keys};

#[tokio::test]
async fn entries_without_a_lot_share_one_balance() {
    let db = inventory().await;
    db.execute(entry("bolt", "NULL", "5")).await;
    db.execute(entry("bolt", "''", "2.5")).await;
    db.execute(entry("bolt", "NULL", "-0.25")).await;
    db.execute(entry("bolt", "'A'", "1")).await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 7.25", "default bolt l1 A 1"]);
}

#[tokio::test]
async fn an_update_takes_from_one_key_and_gives_to_another() {
    let db = inventory().await;
    db.execute(entry("bolt", "NULL", "5") + &entry("bolt", "NULL", "3") + &entry("nut", "NULL", "0")).await;
    db.execute("UPDATE inventory_ledger SET item_id = 'ore', lot_id = 'X' WHERE qty_canonical = 3").await;
    db.execute("UPDATE inventory_ledger SET qty_canonical = 7 WHERE qty_canonical = 5").await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 7", "default nut l1 - 0", "default ore l1 X 3"]);
    // An entry of nothing that moves still makes its key known.
    db.execute("UPDATE inventory_ledger SET org_id = 'acme' WHERE item_id = 'nut'").await;
    assert!(balances(&db).await.contains(&"acme nut l1 - 0".to_owned()));
    assert!(wrong_keys(&db).await.is_empty());
}

#[tokio::test]
async fn a_balance_is_left_alone_when_nothing_changes_for_it() {
    let db = inventory().await;
    db.execute(entry("bolt", "NULL", "5") + &entry("nut", "NULL", "3")).await;
    let versions = "SELECT string_agg(xmin::text, ' ' ORDER BY item_id) FROM inventory_balances";
    let before = db.value(versions).await;
    db.execute("UPDATE inventory_ledger SET note = 'counted'").await;
    db.execute("UPDATE inventory_ledger SET qty_canonical = qty_canonical + 0").await;
    db.execute("DELETE FROM inventory_ledger WHERE false").await;
    assert_eq!(db.value(versions).await, before);
    db.execute("UPDATE inventory_ledger SET qty_canonical = 6 WHERE item_id = 'bolt'").await;
    let after = db.value(versions).await;
    assert_eq!(after.split(' ').nth(1), before.split(' ').nth(1));
    assert_ne!(after.split(' ').next(), before.split(' ').next());
}

#[tokio::test]
async fn every_way_to_write_the_ledger_is_counted() {
    let db = inventory().await;
    db.execute(
        "COPY inventory_ledger (id, item_id, location_id, lot_id, qty_canonical) FROM PROGRAM
             'printf \"c1\\tbolt\\tl1\\t\\\\\\\\N\\t2\\nc2\\tbolt\\tl1\\tA\\t3\\nc3\\tnut\\tl2\\t\\\\\\\\N\\t-1\\n\"';",
    )
    .await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 2", "default bolt l1 A 3", "default nut l2 - -1"]);
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES ('c1', 'bolt', 'l1', 10), ('c4', 'ore', 'l1', 4)
         ON CONFLICT (id) DO UPDATE SET qty_canonical = inventory_ledger.qty_canonical + EXCLUDED.qty_canonical;
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES ('c1', 'bolt', 'l1', 10) ON CONFLICT DO NOTHING;",
    )
    .await;
    assert_eq!(balances(&db).await[0], "default bolt l1 - 12");
    db.execute(
        "MERGE INTO inventory_ledger AS l
         USING (VALUES ('c2', 'nut', 1), ('c3', 'nut', 0), ('c5', 'nut', 6)) AS n (id, item, qty) ON l.id = n.id
         WHEN MATCHED AND n.qty = 0 THEN DELETE
         WHEN MATCHED THEN UPDATE SET item_id = n.item, qty_canonical = n.qty
         WHEN NOT MATCHED THEN INSERT (id, item_id, location_id, qty_canonical) VALUES (n.id, n.item, 'l1', n.qty)",
    )
    .await;
    db.execute(
        "WITH moved AS (DELETE FROM inventory_ledger WHERE id = 'c4' RETURNING *)
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
         SELECT item_id, 'l2', 'moved', qty_canonical FROM moved",
    )
    .await;
    assert_eq!(
        balances(&db).await,
        [
            "default bolt l1 - 12",
            "default bolt l1 A 0",
            "default nut l1 - 6",
            "default nut l1 A 1",
            "default nut l2 - 0",
            "default ore l1 - 0",
            "default ore l2 moved 4"
        ]
    );
    assert!(wrong_keys(&db).await.is_empty());
    db.execute("TRUNCATE inventory_ledger").await;
    assert!(balances(&db).await.is_empty());
    db.execute(entry("bolt", "NULL", "1")).await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 1"]);
}

#[tokio::test]
async fn a_rollback_takes_its_change_along() {
    let db = inventory().await;
    db.execute(
        "BEGIN;".to_owned()
            + &entry("bolt", "NULL", "1")
            + "SAVEPOINT a;"
            + &entry("bolt", "NULL", "10")
            + &entry("nut", "NULL", "10")
            + "ROLLBACK TO a;"
            + &entry("bolt", "NULL", "100")
            + "COMMIT; BEGIN;"
            + &entry("bolt", "NULL", "1000")
            + "ROLLBACK;",
    )
    .await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 101"]);
}

#[tokio::test]
async fn a_quantity_that_is_not_a_number_is_refused() {
    let db = inventory().await;
    db.execute(entry("bolt", "NULL", "5")).await;
    let mut connection = db.connect().await;
    for statement in [
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 'NaN')",
        "UPDATE inventory_ledger SET qty_canonical = 'NaN'",
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('bolt', 'l1', 1), ('nut', 'l1', 'NaN')",
    ] {
        let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
        let error = error.into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("22003"), "{error}");
        assert_eq!(error.message(), "a ledger entry's quantity can't be NaN");
    }
    assert_eq!(balances(&db).await, ["default bolt l1 - 5"]);
}

#[tokio::test]
async fn an_old_entry_that_is_not_a_number_can_be_mended() {
    let db = inventory().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical DROP NOT NULL").await;
    db.execute(
        "SET session_replication_role = replica;".to_owned()
            + &entry("bolt", "NULL", "NaN")
            + &entry("nut", "NULL", "NaN")
            + "RESET session_replication_role;",
    )
    .await;
    db.execute(entry("bolt", "NULL", "2") + &entry("nut", "NULL", "3")).await;
    // It may stay, be set right, and go; it may not come to another key.
    db.execute("UPDATE inventory_ledger SET note = 'strange'").await;
    let mut connection = db.connect().await;
    let moved = sqlx::query("UPDATE inventory_ledger SET item_id = 'ore' WHERE qty_canonical = 'NaN'");
    assert!(moved.execute(&mut connection).await.is_err());
    db.execute(
        "UPDATE inventory_ledger SET qty_canonical = 10 WHERE item_id = 'bolt' AND qty_canonical = 'NaN';
         DELETE FROM inventory_ledger WHERE item_id = 'nut' AND qty_canonical = 'NaN';
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('ore', 'l1', NULL);
         UPDATE inventory_ledger SET qty_canonical = NULL WHERE item_id = 'bolt' AND qty_canonical = 2;",
    )
    .await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 10", "default nut l1 - 3", "default ore l1 - 0"]);
}

#[tokio::test]
async fn an_application_needs_no_right_on_balances() {
    let db = inventory().await;
    db.execute(format!(
        "CREATE ROLE app_{0}; GRANT USAGE ON SCHEMA public TO app_{0};
         GRANT SELECT, INSERT, UPDATE, DELETE ON inventory_ledger TO app_{0};
         SET ROLE app_{0};{1}UPDATE inventory_ledger SET qty_canonical = 3; DELETE FROM inventory_ledger; RESET ROLE;
         REVOKE ALL ON inventory_ledger FROM app_{0}; REVOKE ALL ON SCHEMA public FROM app_{0}; DROP ROLE app_{0};",
        db.name(),
        entry("bolt", "NULL", "1")
    ))
    .await;
    assert_eq!(balances(&db).await, ["default bolt l1 - 0"]);
    assert_eq!(
        db.value("SELECT bool_or(has_function_privilege('public', oid, 'EXECUTE')) FROM pg_proc WHERE proname LIKE 'balance_%'").await,
        "f"
    );
}

#[tokio::test]
async fn writers_of_many_keys_in_opposite_orders_do_not_deadlock() {
    let db = inventory().await;
    let writer = async |step: i32| {
        let mut connection = db.connect().await;
        for _ in 0..100 {
            sqlx::query(
                "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
                 SELECT 'bolt', 'l1', 'lot ' || n, 1 FROM generate_series(1, 50) AS n ORDER BY n * $1",
            )
            .bind(step)
            .execute(&mut connection)
            .await
            .unwrap();
        }
    };
    tokio::join!(writer(1), writer(-1), writer(1), writer(-1));
    assert_eq!(db.value("SELECT sum(qty_canonical) FROM inventory_balances").await, "20000.000000");
    assert!(wrong_keys(&db).await.is_empty());
    assert_eq!(
        db.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await,
        "0"
    );
}

#[tokio::test]
async fn inspection_sees_what_is_missing_or_altered() {
    let db = inventory().await;
    assert!(inspect(&db).await.iter().all(|(_, state)| *state == State::Intact), "{:?}", inspect(&db).await);
    db.execute(
        "ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert;
         DROP TRIGGER inventory_ledger_balance_update ON inventory_ledger;
         CREATE OR REPLACE TRIGGER inventory_ledger_balance_delete AFTER DELETE ON inventory_ledger
             FOR EACH STATEMENT EXECUTE FUNCTION stockfoil.balance_on_truncate();
         CREATE OR REPLACE FUNCTION stockfoil.balance_on_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         ALTER TABLE inventory_balances ALTER COLUMN qty_canonical TYPE numeric(18, 2);
         DROP INDEX inventory_ledger_balance_key_idx;
         CREATE INDEX inventory_ledger_balance_key_idx ON inventory_ledger (item_id, org_id);
         DROP STATISTICS inventory_ledger_balance_key_stats;",
    )
    .await;
    let states = inspect(&db).await;
    let state = |name: &str| &states.iter().find(|(object, _)| object == name).unwrap().1;
    for name in [
        "inventory_balances",
        "balance_on_truncate",
        // The trigger that was made to call its function is the second.
        "inventory_ledger_balance_truncate",
    ] {
        assert!(matches!(state(name), State::Altered(_)), "{name}: {:?}", state(name));
    }
    assert_eq!(*state("inventory_ledger_balance_insert"), State::Altered("disabled".into()));
    assert_eq!(*state("inventory_ledger_balance_update"), State::Missing);
    // What has the name and another definition is something else.
    assert_eq!(*state("inventory_ledger_balance_delete"), State::Missing);
    assert_eq!(*state("inventory_ledger_balance_key_idx"), State::Missing);
    assert_eq!(*state("inventory_ledger_balance_key_stats"), State::Missing);
    assert_eq!(*state("balance_on_insert"), State::Intact);
    // All of it is put right but for the table, whose column others may have changed.
    db.execute("ALTER TABLE inventory_balances ALTER COLUMN qty_canonical TYPE numeric").await;
    db.run("migrate-balance").await.ok();
    assert!(inspect(&db).await.iter().all(|(_, state)| *state == State::Intact), "{:?}", inspect(&db).await);
    db.run("migrate-balance").await.ok().says("nothing to do");
}

async fn inspect(db: &TestDb) -> Vec<(String, State)> {
    let model = crate::model::of(db, "").await;
    let objects = balance::objects(&model);
    let states = balance::inspect(&mut db.connect().await, &objects).await.unwrap();
    states.into_iter().map(|(object, state)| (object.name.as_str().to_owned(), state)).collect()
}
