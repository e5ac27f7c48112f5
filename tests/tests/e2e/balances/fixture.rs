//! A migrated inventory with a little of everything in it.

use testkit::TestDb;

/// Migrated but never backfilled: three organizations, four items, two locations; no ledger entries.
pub(super) async fn inventory() -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(
        "TRUNCATE stockfoil.run CASCADE;
         INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('zeta', 'Zeta');
         INSERT INTO items (id, item_number, name) SELECT i, i, i FROM unnest('{bolt,nut,Ä-ring,ore}'::text[]) AS i;
         INSERT INTO locations (id, site, name) VALUES ('l1', 's', 'one'), ('l2', 's', 'two');",
    )
    .await;
    db
}

/// One entry of the default organization.
pub(super) fn entry(item: &str, lot: &str, quantity: &str) -> String {
    format!(
        "INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical) VALUES ('{item}', 'l1', {lot}, '{quantity}');"
    )
}

/// The balances as `org item location lot quantity`, in order.
pub(super) async fn balances(db: &TestDb) -> Vec<String> {
    let rows = db
        .rows(
            "SELECT concat_ws(' ', org_id, item_id, location_id, coalesce(lot_id, '-'), trim_scale(qty_canonical))
             FROM inventory_balances ORDER BY org_id COLLATE \"C\", item_id COLLATE \"C\", location_id COLLATE \"C\", lot_key COLLATE \"C\"",
        )
        .await;
    rows.into_iter().flatten().collect()
}

/// The keys whose balance is not the sum of their entries, by a query of the tests' own.
pub(super) const WRONG_KEYS: &str =
    "SELECT * FROM (SELECT org_id, item_id, location_id, coalesce(lot_id, '') AS lot_key, sum(qty_canonical) AS entries
                    FROM inventory_ledger GROUP BY 1, 2, 3, 4) AS l
     FULL JOIN inventory_balances AS b USING (org_id, item_id, location_id, lot_key)
     WHERE l.entries IS DISTINCT FROM b.qty_canonical AND NOT (l.entries IS NULL AND b.qty_canonical = 0)";

/// The rows of [`WRONG_KEYS`].
pub(super) async fn wrong_keys(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(WRONG_KEYS).await
}

/// Entries that no trigger sees.
pub(super) async fn behind_the_triggers(db: &TestDb, sql: &str) {
    db.execute(format!("SET session_replication_role = replica; {sql}; RESET session_replication_role"))
        .await;
}

/// An inventory whose 600 entries in three organizations are older than the triggers.
pub(super) async fn not_backfilled() -> TestDb {
    let db = inventory().await;
    behind_the_triggers(
        &db,
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
         SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['bolt', 'nut', 'Ä-ring', 'ore'])[1 + n % 4],
                'l' || 1 + n % 2, (ARRAY[NULL, '', 'A', 'B'])[1 + n % 7 % 4], n * 0.25 - 40
         FROM generate_series(1, 600) AS n",
    )
    .await;
    db
}

/// The same, backfilled.
pub(super) async fn backfilled() -> TestDb {
    let db = not_backfilled().await;
    db.run("backfill-balances").await.ok();
    db
}
