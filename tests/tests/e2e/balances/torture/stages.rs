//! The databases that are tortured, and what their applications do.

use std::path::Path;

use testkit::TestDb;

use crate::balances::fixture::{WRONG_KEYS, not_backfilled};

/// A ledger with its balances, and how they are written and damaged.
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// The configuration, but for `[reconcile]`.
    pub(super) config: &'static str,
    /// Whether an entry of one key can be written.
    pub(super) takes_entries: bool,
    /// What makes it before Stockfoil; the default inventory where there is nothing.
    script: &'static str,
    /// The database's `default_transaction_isolation`.
    isolation: &'static str,
    pub(super) ledger: &'static str,
    /// What an application does; `$1` is a random number. Each finds its rows by a random place among the ids.
    pub(super) steps: &'static [&'static str; 7],
    /// COPY of rows of [`copied`](Self::copied) and a quantity.
    pub(super) copy: &'static str,
    pub(super) copied: &'static [&'static [&'static str]],
    pub(super) balances: &'static str,
    /// The key of a balance as reports spell it, by four expressions.
    pub(super) key: &'static str,
    pub(super) quantity: &'static str,
    /// The sums of the entries as `org, item, location, lot, quantity`.
    sums: &'static str,
}

/// The default inventory, with further configuration and a default isolation.
pub(super) fn default_inventory(config: &'static str, isolation: &'static str) -> Stage {
    Stage {
        name: match (config, isolation) {
            ("", "") => "default",
            ("", _) => isolation,
            _ => "queue",
        },
        config,
        takes_entries: true,
        script: "",
        isolation,
        ledger: "inventory_ledger",
        steps: &[
            "INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical)
             SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['bolt', 'nut', 'Ä-ring', 'ore'])[1 + (n + $1) % 4],
                    'l' || 1 + $1 % 2, (ARRAY[NULL, '', 'A', 'B'])[1 + n % 4], n * 0.25 - $1 % 5
             FROM generate_series(1, 6) AS n ORDER BY hashint4(n + $1)",
            "UPDATE inventory_ledger SET item_id = 'ore', lot_id = 'moved' WHERE id IN
             (SELECT id FROM inventory_ledger WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
            "UPDATE inventory_ledger SET org_id = 'acme', location_id = 'l2' WHERE id IN
             (SELECT id FROM inventory_ledger WHERE id >= md5($1::text) ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED)",
            "UPDATE inventory_ledger SET qty_canonical = -qty_canonical WHERE id IN
             (SELECT id FROM inventory_ledger WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
            "UPDATE inventory_ledger SET qty_canonical = qty_canonical + $1 * 0.000001 WHERE id IN
             (SELECT id FROM inventory_ledger WHERE id >= md5($1::text) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
            "DELETE FROM inventory_ledger WHERE id IN
             (SELECT id FROM inventory_ledger WHERE id >= md5($1::text) ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED)",
            "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES (md5($1::text), 'nut', 'l2', 1)
             ON CONFLICT (id) DO UPDATE SET qty_canonical = inventory_ledger.qty_canonical + 1",
        ],
        copy: "COPY inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical) FROM STDIN",
        copied: &[
            &["default", "acme", "zeta"],
            &["bolt", "nut", "Ä-ring", "ore"],
            &["l1", "l2"],
            &["\\N", "", "A", "B", "copied"],
        ],
        balances: "inventory_balances",
        key: "org_id, item_id, location_id, lot_key",
        quantity: "qty_canonical",
        sums: "",
    }
}

/// Balances of the application's own beside a ledger whose keys are the same in capitals.
pub(super) const ADOPTED: Stage = Stage {
    name: "adopted, of a ledger of citext",
    config: ADOPTED_CONFIG,
    takes_entries: false,
    script: "CREATE EXTENSION citext;
        CREATE TABLE moves (id text PRIMARY KEY DEFAULT gen_random_uuid()::text, sku citext NOT NULL, place citext NOT NULL, batch citext,
                            qty numeric(18, 6) NOT NULL, at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE levels (sku text NOT NULL, place varchar(20) NOT NULL, batch text NOT NULL DEFAULT '',
                             on_hand numeric(24, 6) NOT NULL DEFAULT 0, note text, UNIQUE (sku, place, batch));
        INSERT INTO moves (sku, place, batch, qty)
        SELECT (ARRAY['Bolt', 'bolt', 'NUT', 'Ä-Ring'])[1 + n % 4], (ARRAY['Shelf', 'SHELF'])[1 + n % 2],
               (ARRAY[NULL, '', 'a', 'B'])[1 + n % 7 % 4], n * 0.25 - 40 FROM generate_series(1, 600) AS n",
    isolation: "",
    ledger: "moves",
    steps: &[
        "INSERT INTO moves (org_id, sku, place, batch, qty)
         SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['Bolt', 'bolt', 'BOLT', 'nut'])[1 + (n + $1) % 4],
                (ARRAY['shelf', 'Shelf', 'yard'])[1 + $1 % 3], (ARRAY[NULL, '', 'A', 'a'])[1 + n % 4], n * 0.25 - $1 % 5
         FROM generate_series(1, 6) AS n ORDER BY hashint4(n + $1)",
        "UPDATE moves SET sku = 'NUT', batch = 'Moved' WHERE id IN
         (SELECT id FROM moves WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
        "UPDATE moves SET org_id = 'acme', place = 'YARD' WHERE id IN
         (SELECT id FROM moves WHERE id >= md5($1::text) ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED)",
        // The same key in other letters.
        "UPDATE moves SET sku = upper(sku::text), batch = lower(batch::text), qty = -qty WHERE id IN
         (SELECT id FROM moves WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
        "UPDATE moves SET qty = qty + $1 * 0.000001 WHERE id IN
         (SELECT id FROM moves WHERE id >= md5($1::text) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM moves WHERE id IN
         (SELECT id FROM moves WHERE id >= md5($1::text) ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED)",
        "INSERT INTO moves (id, sku, place, qty) VALUES (md5($1::text), 'Nut', 'yard', 1)
         ON CONFLICT (id) DO UPDATE SET qty = moves.qty + 1",
    ],
    copy: "COPY moves (org_id, sku, place, batch, qty) FROM STDIN",
    copied: &[
        &["default", "acme", "zeta"],
        &["bolt", "BOLT", "nut", "Ä-ring", "ä-RING"],
        &["shelf", "Yard"],
        &["\\N", "", "A", "b", "Copied"],
    ],
    balances: "levels",
    key: "org_id, sku, place, batch",
    quantity: "on_hand",
    sums: "SELECT org_id AS org, lower(sku::text) AS item, lower(place::text) AS location, lower(coalesce(batch, '')::text) AS lot,
                  sum(qty) AS quantity FROM moves GROUP BY 1, 2, 3, 4",
};

const ADOPTED_CONFIG: &str = r#"
[tenancy]
tables = ["moves", "levels"]
items = false
users = false
[ledger]
table = "moves"
item = { sql = 'lower(sku::text)' }
location = { sql = 'lower(place::text)' }
lot = { sql = 'lower(batch::text)' }
quantity = "qty"
created_at = "at"
[balances]
table = "levels"
adopt = true
item = "sku"
location = "place"
lot = "batch"
quantity = "on_hand"
last_ledger_id = false
last_updated = false
"#;

/// Moves from place to place in partitions, between which rows wander.
pub(super) const TRANSFERS: Stage = Stage {
    name: "two postings, partitions",
    config: TRANSFERS_CONFIG,
    takes_entries: false,
    script: "CREATE TABLE transfers (id text DEFAULT gen_random_uuid()::text, item text NOT NULL, source text, target text, lot text,
                                qty numeric NOT NULL, day integer NOT NULL DEFAULT 1, at timestamptz NOT NULL DEFAULT now(),
                                PRIMARY KEY (id, day)) PARTITION BY LIST (day);
        CREATE TABLE transfers_1 PARTITION OF transfers FOR VALUES IN (1);
        CREATE TABLE transfers_2 (day integer NOT NULL, at timestamptz NOT NULL DEFAULT now(), qty numeric NOT NULL, lot text, target text,
                                  source text, item text NOT NULL, id text NOT NULL);
        ALTER TABLE transfers ATTACH PARTITION transfers_2 FOR VALUES IN (2);
        CREATE TABLE transfers_rest PARTITION OF transfers DEFAULT PARTITION BY HASH (id);
        CREATE TABLE transfers_rest_0 PARTITION OF transfers_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE transfers_rest_1 PARTITION OF transfers_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO transfers (item, source, target, lot, qty, day)
        SELECT (ARRAY['bolt', 'nut', 'ore'])[1 + n % 3], (ARRAY[NULL, 'a', 'b'])[1 + n % 5 % 3], (ARRAY['a', 'c', NULL])[1 + n % 7 % 3],
               (ARRAY[NULL, '', 'x'])[1 + n % 4 % 3], n * 0.25 - 40, n % 4 FROM generate_series(1, 600) AS n",
    isolation: "",
    ledger: "transfers",
    steps: &[
        "INSERT INTO transfers (org_id, item, source, target, lot, qty, day)
         SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['bolt', 'nut', 'ore'])[1 + (n + $1) % 3],
                (ARRAY['a', 'b', 'c', NULL])[1 + n % 4], (ARRAY['c', 'b', 'a', NULL])[1 + $1 % 4], (ARRAY[NULL, '', 'x'])[1 + n % 3],
                n * 0.25 - $1 % 5, n % 4 FROM generate_series(1, 6) AS n ORDER BY hashint4(n + $1)",
        "UPDATE transfers SET item = 'ore', lot = 'moved' WHERE (id, day) IN
         (SELECT id, day FROM transfers WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
        "UPDATE transfers SET source = target, target = source WHERE (id, day) IN
         (SELECT id, day FROM transfers WHERE id >= md5($1::text) ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)",
        // From one partition to another; nobody else is at the row.
        "UPDATE transfers SET day = (day + 1) % 4, org_id = 'acme' WHERE (id, day) IN
         (SELECT id, day FROM transfers WHERE id >= md5($1::text) ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED)",
        "UPDATE transfers SET qty = qty + $1 * 0.000001 WHERE (id, day) IN
         (SELECT id, day FROM transfers WHERE id >= md5($1::text) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM transfers WHERE (id, day) IN
         (SELECT id, day FROM transfers WHERE id >= md5($1::text) ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED)",
        "INSERT INTO transfers (id, item, target, qty, day) VALUES (md5($1::text), 'nut', 'a', 1, $1 % 4)
         ON CONFLICT (id, day) DO UPDATE SET qty = transfers.qty + 1",
    ],
    copy: "COPY transfers (org_id, item, source, target, lot, day, qty) FROM STDIN",
    copied: &[
        &["default", "acme", "zeta"],
        &["bolt", "nut", "ore"],
        &["\\N", "a", "b", "c"],
        &["\\N", "a", "b", "c"],
        &["\\N", "", "x", "copied"],
        &["0", "1", "2", "3"],
    ],
    balances: "inventory_balances",
    key: "org_id, item_id, location_id, lot_key",
    quantity: "qty_canonical",
    sums: "SELECT org, item, location, lot, sum(qty) AS quantity
           FROM (SELECT org_id AS org, item, target AS location, coalesce(lot, '') AS lot, qty FROM transfers
                 UNION ALL SELECT org_id, item, source, coalesce(lot, ''), -qty FROM transfers) AS p
           WHERE location IS NOT NULL GROUP BY 1, 2, 3, 4",
};

const TRANSFERS_CONFIG: &str = r#"
[tenancy]
tables = ["transfers"]
items = false
users = false
[ledger]
table = "transfers"
id = ["id", "day"]
item = "item"
lot = "lot"
created_at = "at"
[[ledger.posting]]
location = "target"
quantity = "qty"
[[ledger.posting]]
location = "source"
quantity = { sql = "-qty" }
"#;

impl Stage {
    /// The database, migrated with the configuration in `folder`.
    pub(super) async fn set_up(&self, folder: &Path) -> TestDb {
        let db = if self.script.is_empty() { not_backfilled().await } else { TestDb::empty().await };
        if !self.script.is_empty() {
            db.execute(self.script).await;
        }
        if !self.isolation.is_empty() {
            let set = "ALTER DATABASE {db} SET default_transaction_isolation = '{to}'";
            db.execute(set.replace("{db}", db.name()).replace("{to}", self.isolation)).await;
        }
        if self.script.is_empty() {
            db.run("migrate-balance").folder(folder).await.ok();
        } else {
            // The unique key of the application's balances would reach across organizations.
            db.run("migrate-all").arg("--contract").folder(folder).await.ok();
            db.execute("INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('zeta', 'Zeta')")
                .await;
        }
        db
    }

    /// The keys whose balance is not the sum of their entries, by a query of the tests' own.
    pub(super) fn wrong_keys(&self) -> String {
        let Self { sums, balances, key, quantity, .. } = self;
        if sums.is_empty() {
            return WRONG_KEYS.to_owned();
        }
        format!(
            "SELECT * FROM ({sums}) AS e FULL JOIN
                 (SELECT k.*, b.{quantity} AS balance FROM {balances} AS b, LATERAL (SELECT {key}) AS k (org, item, location, lot)) AS b
             USING (org, item, location, lot)
             WHERE e.quantity IS DISTINCT FROM b.balance AND NOT (e.quantity IS NULL AND b.balance = 0)"
        )
    }
}
