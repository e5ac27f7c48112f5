//! A migrated inventory with a little of everything in it.

use stockfoil_core::{balance, model::Model};
use testkit::TestDb;

/// Three organizations, four items, two locations; no ledger entries.
pub(super) async fn inventory() -> TestDb {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE organizations (id text PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
         INSERT INTO organizations (id, name) VALUES ('default', 'Default Organization');
         ALTER TABLE items ADD COLUMN org_id text NOT NULL DEFAULT 'default' REFERENCES organizations (id);
         ALTER TABLE locations ADD COLUMN org_id text NOT NULL DEFAULT 'default' REFERENCES organizations (id);
         ALTER TABLE inventory_ledger ADD COLUMN org_id text NOT NULL DEFAULT 'default' REFERENCES organizations (id);",
    )
    .await;
    db.execute(
        std::fs::read_to_string(
            testkit::workspace().join("migrations/20260101000100_stockfoil_records.up.sql"),
        )
        .unwrap(),
    )
    .await;
    for object in balance::objects(&Model::default()).all() {
        for statement in &object.create {
            db.execute(statement.as_str()).await;
        }
    }
    db.execute(
        "INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('zeta', 'Zeta');
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
pub(super) async fn wrong_keys(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT * FROM (SELECT org_id, item_id, location_id, coalesce(lot_id, '') AS lot_key, sum(qty_canonical) AS entries
                        FROM inventory_ledger GROUP BY 1, 2, 3, 4) AS l
         FULL JOIN inventory_balances AS b USING (org_id, item_id, location_id, lot_key)
         WHERE l.entries IS DISTINCT FROM b.qty_canonical AND NOT (l.entries IS NULL AND b.qty_canonical = 0)",
    )
    .await
}
