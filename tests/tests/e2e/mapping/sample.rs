//! What the tests do to each of the mapped databases, in that database's own words.

use testkit::{Mapped, TestDb};

/// The words of one database.
pub(super) struct Sample {
    pub(super) mapped: Mapped,
    /// The default organization, and another one that the tests create.
    pub(super) orgs: [&'static str; 2],
    /// The people, and how many of them have an address at `acme.example`.
    pub(super) users: (u64, u64),
    /// What org-list counts.
    pub(super) items: u64,
    /// The balances' table with its columns: organization, item, location, lot (empty: none), quantity.
    pub(super) stored: [&'static str; 6],
    /// A balance that no entry made, in the order of those columns.
    pub(super) orphan: &'static str,
    /// Writes of an application, each with what it is.
    pub(super) writes: &'static [(&'static str, &'static str)],
    /// A table to copy into, and rows of it in COPY's text form, with places `{org}` and `{n}`, a digit.
    pub(super) copy: (&'static str, &'static [&'static str]),
    /// An insert of a quantity that is no number; empty where the type has none.
    pub(super) not_a_number: &'static str,
}

/// Each database's words.
pub(super) static ALL: [Sample; 4] = [PRISMA, ERP, WAREHOUSE, TWO_SCHEMAS];

/// The sample of `mapped`.
pub(super) fn of(mapped: Mapped) -> &'static Sample {
    ALL.iter().find(|sample| sample.mapped == mapped).unwrap()
}

impl Sample {
    /// The database, migrated, with a second organization.
    pub(super) async fn migrated(&self) -> TestDb {
        let db = TestDb::mapped_migrated(self.mapped).await;
        db.run("org-create").args(["--id", self.orgs[1], "--name", "Acme", "--subdomain", "acme"]).await.ok();
        db
    }

    /// The ledger's sums, one line a key, in order.
    pub(super) async fn sums(&self, db: &TestDb) -> Vec<Vec<String>> {
        db.rows(format!(
            "SELECT org, item, location, lot, trim_scale(quantity) FROM ({}) AS e ORDER BY 1, 2, 3, 4",
            self.mapped.entries()
        ))
        .await
    }

    /// Asserts that every balance is the sum of its entries.
    pub(super) async fn assert_exact(&self, db: &TestDb, when: &str) {
        let wrong = db.rows(self.mapped.wrong_keys()).await;
        assert!(
            wrong.is_empty(),
            "{} after {when}: {} wrong keys: {:?}",
            self.mapped.name(),
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
    }

    /// Makes one balance wrong by little and one by much, takes one away, and puts one there that nothing explains.
    pub(super) async fn damage(&self, db: &TestDb) {
        let [table, org, item, location, lot, quantity] = self.stored;
        let columns: Vec<&str> =
            [org, item, location, lot, quantity].into_iter().filter(|column| !column.is_empty()).collect();
        let orphan = self.orphan;
        let columns = columns.join(", ");
        let changed = db
            .rows(format!(
                "WITH k AS MATERIALIZED (
                     SELECT ctid AS place, row_number() OVER (ORDER BY {org}::text, {item}::text, ctid) AS n
                     FROM {table} WHERE abs({quantity}) > 1),
                 small AS (UPDATE {table} SET {quantity} = {quantity} + 0.004
                           WHERE ctid = (SELECT place FROM k WHERE n = 1) RETURNING 1),
                 large AS (UPDATE {table} SET {quantity} = {quantity} - 25
                           WHERE ctid = (SELECT place FROM k WHERE n = 2) RETURNING 1),
                 missing AS (DELETE FROM {table} WHERE ctid = (SELECT place FROM k WHERE n = 3) RETURNING 1),
                 orphan AS (INSERT INTO {table} ({columns}) VALUES ({orphan}) RETURNING 1)
                 SELECT (SELECT count(*) FROM small) + (SELECT count(*) FROM large)
                        + (SELECT count(*) FROM missing) + (SELECT count(*) FROM orphan)"
            ))
            .await;
        assert_eq!(changed, [["4"]], "{}", self.mapped.name());
        assert_eq!(db.rows(self.mapped.wrong_keys()).await.len(), 4, "{}", self.mapped.name());
    }
}

const PRISMA: Sample = Sample {
    mapped: Mapped::Prisma,
    orgs: ["00000000-0000-0000-0000-000000000001", "11111111-1111-4111-8111-111111111111"],
    users: (30, 10),
    items: 120,
    stored: [
        r#""StockBalance""#,
        r#""organizationId""#,
        r#""itemId""#,
        r#""locationId""#,
        r#""lotId""#,
        r#""quantity""#,
    ],
    orphan: "'00000000-0000-0000-0000-000000000001', md5('no item')::uuid, md5('location 1')::uuid, NULL, 7.5",
    writes: &[
        (
            "rows inserted",
            r#"INSERT INTO "StockMovement" ("itemId", "locationId", "lotId", "quantity", "organizationId")
               SELECT md5('item ' || 1 + n % 5)::uuid, md5('location ' || 1 + n % 3)::uuid,
                      CASE WHEN n % 2 = 0 THEN md5('lot 7')::uuid END, n * 0.001,
                      CASE WHEN n % 3 = 0 THEN '11111111-1111-4111-8111-111111111111'::uuid
                           ELSE '00000000-0000-0000-0000-000000000001' END
               FROM generate_series(1, 40) AS n"#,
        ),
        (
            "an insert that names no organization",
            r#"INSERT INTO "StockMovement" ("itemId", "locationId", "quantity")
               VALUES (md5('item 1')::uuid, md5('location 9')::uuid, 12.000000000000000000000000000001)"#,
        ),
        (
            "quantities changed",
            r#"UPDATE "StockMovement" SET "quantity" = "quantity" * -2 WHERE "createdAt" < '2025-02-01'"#,
        ),
        (
            "keys changed",
            r#"UPDATE "StockMovement" SET "itemId" = md5('item 3')::uuid, "lotId" = NULL
               WHERE "itemId" = md5('item 2')::uuid"#,
        ),
        (
            "an organization changed",
            r#"UPDATE "StockMovement" SET "organizationId" = '11111111-1111-4111-8111-111111111111'
               WHERE "locationId" = md5('location 4')::uuid"#,
        ),
        ("rows deleted", r#"DELETE FROM "StockMovement" WHERE "type" = 'TRANSFER'"#),
        (
            "a lot deleted, which sets its entries' lot to null",
            r#"DELETE FROM "Lot" WHERE "id" = md5('lot 7')::uuid"#,
        ),
        (
            "rows moved by one statement",
            r#"WITH gone AS (DELETE FROM "StockMovement" WHERE "itemId" = md5('item 5')::uuid RETURNING *)
               INSERT INTO "StockMovement" ("itemId", "locationId", "quantity", "organizationId")
               SELECT md5('item 6')::uuid, "locationId", "quantity", "organizationId" FROM gone"#,
        ),
        (
            "what is rolled back to a savepoint",
            r#"BEGIN; DELETE FROM "StockMovement" WHERE "type" = 'ISSUE'; SAVEPOINT s;
               DELETE FROM "StockMovement"; ROLLBACK TO s; COMMIT"#,
        ),
    ],
    copy: (
        r#""StockMovement" ("itemId", "locationId", "lotId", "quantity", "organizationId")"#,
        &[
            // item 9, location 2, lot 9; md5 of those words
            "c34666b0-6d23-fc85-18f2-cf285b40a68b\te4080b1f-a158-10ef-ecb8-0419a7d1bf61\t\\N\t1.5\t{org}",
            "c34666b0-6d23-fc85-18f2-cf285b40a68b\te4080b1f-a158-10ef-ecb8-0419a7d1bf61\t35c3ac33-0d78-dd3b-4b4f-652eb062d635\t-0.5\t{org}",
            "c34666b0-6d23-fc85-18f2-cf285b40a68b\t98074cb6-5fa2-f84c-e0a8-2e8c0935de4d\t\\N\t4\t{org}",
        ],
    ),
    not_a_number: r#"INSERT INTO "StockMovement" ("itemId", "locationId", "quantity")
                     VALUES (md5('item 1')::uuid, md5('location 1')::uuid, 'NaN')"#,
};

const ERP: Sample = Sample {
    mapped: Mapped::Erp,
    orgs: ["default", "acme"],
    users: (24, 6),
    items: 90,
    stored: ["stock_quant", "org_id", "product_id", "location_id", "lot_id", "quantity"],
    orphan: "'default', 1, 8, 17, 7.5",
    writes: &[
        (
            "rows inserted, done and not",
            "INSERT INTO stock_move (name, product_id, quantity, location_id, location_dest_id, lot_id, state, org_id)
             SELECT 'new ' || n, 1 + n % 7, n * 0.25, 9, 1 + n % 3, CASE WHEN n % 2 = 0 THEN 5 END,
                    CASE WHEN n % 3 = 0 THEN 'draft' ELSE 'done' END, CASE WHEN n % 4 = 0 THEN 'acme' ELSE 'default' END
             FROM generate_series(1, 60) AS n",
        ),
        ("moves that become done", "UPDATE stock_move SET state = 'done' WHERE state = 'draft'"),
        ("moves that are no longer done", "UPDATE stock_move SET state = 'cancel' WHERE id % 11 = 0 AND state = 'done'"),
        ("quantities changed", "UPDATE stock_move SET quantity = quantity + 1.125 WHERE id % 3 = 0"),
        (
            "both ends changed",
            "UPDATE stock_move SET location_id = location_dest_id, location_dest_id = location_id WHERE id % 5 = 0 AND state = 'done'",
        ),
        ("state and product changed at once", "UPDATE stock_move SET state = 'done', product_id = 8 WHERE state = 'cancel'"),
        (
            "moves within one place",
            "INSERT INTO stock_move (name, product_id, quantity, location_id, location_dest_id, state)
             VALUES ('still', 3, 5, 2, 2, 'done'), ('still too', 3, 5, 2, 2, 'draft'), ('moves', 3, 1, 2, 3, 'done')",
        ),
        ("an organization changed", "UPDATE stock_move SET org_id = 'acme' WHERE product_id = 4"),
        ("rows deleted", "DELETE FROM stock_move WHERE id % 13 = 0"),
        ("a picking deleted, with its moves", "DELETE FROM stock_picking WHERE id % 50 = 1"),
        (
            "an insert that meets a row",
            "INSERT INTO stock_move (id, name, product_id, quantity, location_id, location_dest_id, state)
             VALUES (1, 'x', 1, 1, 9, 1, 'done'), (100000, 'y', 1, 4, 9, 1, 'done')
             ON CONFLICT (id) DO UPDATE SET quantity = stock_move.quantity + 100, state = 'done'",
        ),
        (
            "a merge",
            "MERGE INTO stock_move AS m USING (VALUES (100000, 3), (100001, 5)) AS v (id, q) ON v.id = m.id
             WHEN MATCHED THEN UPDATE SET quantity = v.q
             WHEN NOT MATCHED THEN INSERT (id, name, product_id, quantity, location_id, location_dest_id, state)
                 VALUES (v.id, 'merged', 2, v.q, 9, 4, 'done')",
        ),
    ],
    copy: (
        "stock_move (name, product_id, quantity, location_id, location_dest_id, lot_id, state, org_id)",
        &["c1\t7\t2.5\t9\t1\t\\N\tdone\t{org}", "c2\t7\t1\t1\t10\t\\N\tdone\t{org}", "c3\t7\t8\t9\t1\t\\N\tdraft\t{org}"],
    ),
    // A NaN passes the application's own CHECK (it is greater than every number).
    not_a_number: "INSERT INTO stock_move (name, product_id, quantity, location_id, location_dest_id, state)
                   VALUES ('nan', 1, 'NaN', 9, 1, 'done')",
};

const WAREHOUSE: Sample = Sample {
    mapped: Mapped::Warehouse,
    orgs: ["default", "acme"],
    users: (25, 5),
    items: 150,
    stored: ["stock_on_hand", "org_id", "article_id", "warehouse_id", "", "quantity"],
    orphan: "'default', 99999, 1, 7.5",
    writes: &[
        (
            "rows inserted into many partitions",
            "INSERT INTO stock_transactions (article_id, warehouse_id, direction, quantity, line_no, booked_at, org_id)
             SELECT 1 + n % 5, 1 + n % 4, CASE WHEN n % 3 = 0 THEN 'OUT' ELSE 'IN' END, n * 0.125, n,
                    timestamptz '2025-01-15Z' + n * interval '9 days', CASE WHEN n % 4 = 0 THEN 'acme' ELSE 'default' END
             FROM generate_series(1, 60) AS n",
        ),
        (
            "rows inserted straight into a partition",
            "INSERT INTO stock_transactions_2025_03 (transaction_id, article_id, warehouse_id, direction, quantity, line_no, booked_at)
             VALUES (900001, 2, 1, 'IN', 17, 1, '2025-03-05Z'), (900002, 2, 1, 'OUT', 3, 2, '2025-03-06Z')",
        ),
        (
            "rows inserted into the partition that was attached",
            "INSERT INTO stock_transactions_2025_12 (transaction_id, article_id, warehouse_id, direction, quantity, line_no, booked_at)
             VALUES (900003, 2, 1, 'IN', 11, 1, '2025-12-05Z')",
        ),
        ("rows inserted into the default partition", 
            "INSERT INTO stock_transactions_default (transaction_id, article_id, warehouse_id, direction, quantity, line_no, booked_at)
             VALUES (900004, 3, 2, 'IN', 13, 1, '2031-01-05Z')",
        ),
        (
            "rows that an update moves to other partitions",
            "UPDATE stock_transactions SET booked_at = booked_at + interval '40 days', quantity = quantity + 1
             WHERE article_id BETWEEN 10 AND 20",
        ),
        (
            "a row that an update moves to the partition that was attached",
            "UPDATE stock_transactions SET booked_at = '2025-12-31Z', warehouse_id = 4 WHERE transaction_id = 900001",
        ),
        ("directions turned", "UPDATE stock_transactions SET direction = 'OUT' WHERE direction = 'IN' AND article_id < 9"),
        ("quantities changed in one partition", "UPDATE stock_transactions_2025_07 SET quantity = quantity * 2"),
        ("an organization changed", "UPDATE stock_transactions SET org_id = 'acme' WHERE warehouse_id = 3"),
        ("rows deleted", "DELETE FROM stock_transactions WHERE booked_at < '2025-02-01Z'"),
        ("rows deleted from one partition", "DELETE FROM stock_transactions_2025_12 WHERE article_id % 2 = 0"),
        (
            "an insert that meets a row",
            "INSERT INTO stock_transactions (transaction_id, article_id, warehouse_id, direction, quantity, line_no, booked_at)
             VALUES (900002, 2, 1, 'OUT', 1, 1, '2025-03-06Z'), (900005, 2, 1, 'IN', 4, 1, '2025-03-06Z')
             ON CONFLICT (transaction_id, booked_at) DO UPDATE SET quantity = 50",
        ),
    ],
    copy: (
        "stock_transactions (article_id, warehouse_id, direction, quantity, line_no, booked_at, org_id)",
        &["7\t1\tIN\t2.5\t1\t2025-04-01Z\t{org}", "7\t1\tOUT\t1\t2\t2025-12-02Z\t{org}", "7\t2\tIN\t8\t3\t2030-01-01Z\t{org}"],
    ),
    // numeric(14, 3) takes NaN, and so does the application's CHECK (quantity > 0).
    not_a_number: "INSERT INTO stock_transactions (article_id, warehouse_id, direction, quantity, line_no)
                   VALUES (1, 1, 'IN', 'NaN', 1)",
};

const TWO_SCHEMAS: Sample = Sample {
    mapped: Mapped::TwoSchemas,
    orgs: ["1", "7"],
    users: (20, 10),
    items: 70,
    stored: [r#"plant."Silo ""Balances""""#, r#""tenant id""#, r#""item code""#, "silo", "batch", "kg"],
    orphan: "1, 'OR9999', 'north', NULL, 7.5",
    writes: &[
        (
            "rows inserted",
            r#"INSERT INTO plant."Stock.Entries" (bill_id, "line no", "item code", "to ""silo""", batch, gross, "tenant id")
               SELECT 1 + n % 9, 100 + n, 'OR' || 1 + n % 4, 'overflow', (ARRAY['', ' b1', 'B1', NULL])[1 + n % 4], n * 1.5,
                      CASE WHEN n % 3 = 0 THEN 7 ELSE 1 END
               FROM generate_series(1, 60) AS n"#,
        ),
        (
            "what the quantity is computed from changed",
            r#"UPDATE plant."Stock.Entries" SET tare = tare + 0.5 WHERE bill_id < 100"#,
        ),
        (
            "what the lot is computed from changed",
            r#"UPDATE plant."Stock.Entries" SET batch = upper(batch) || '2' WHERE bill_id % 2 = 0"#,
        ),
        (
            "keys changed",
            r#"UPDATE plant."Stock.Entries" SET "item code" = 'OR1', "to ""silo""" = 'Silo "3"' WHERE "item code" = 'OR2'"#,
        ),
        (
            "a part of the entry's key changed",
            r#"UPDATE plant."Stock.Entries" SET "line no" = "line no" + 1000, gross = 1 WHERE bill_id = 3"#,
        ),
        (
            "an organization changed",
            r#"UPDATE plant."Stock.Entries" SET "tenant id" = 7 WHERE "to ""silo""" = 'south'"#,
        ),
        ("rows deleted", r#"DELETE FROM plant."Stock.Entries" WHERE bill_id % 17 = 0"#),
        (
            "an insert that meets a row",
            r#"INSERT INTO plant."Stock.Entries" (bill_id, "line no", "item code", "to ""silo""", gross)
               VALUES (1, 9000, 'OR5', 'north', 4), (1, 9001, 'OR5', 'north', 4)
               ON CONFLICT (bill_id, "line no") DO UPDATE SET gross = 400"#,
        ),
        (
            "the same again, which now meets one",
            r#"INSERT INTO plant."Stock.Entries" (bill_id, "line no", "item code", "to ""silo""", gross)
               VALUES (1, 9000, 'OR5', 'north', 4) ON CONFLICT (bill_id, "line no") DO UPDATE SET gross = 400"#,
        ),
    ],
    copy: (
        r#"plant."Stock.Entries" (bill_id, "line no", "item code", "to ""silo""", batch, gross, "tenant id")"#,
        &[
            "8\t{n}001\tOR3\tSilo \"3\"\tb9\t2.5\t{org}",
            "8\t{n}002\tOR3\tSilo \"3\"\tB9\t1\t{org}",
            "8\t{n}003\tOR3\tnorth\t\\N\t8\t{org}",
        ],
    ),
    // The domain of the generated column forbids it.
    not_a_number: "",
};
