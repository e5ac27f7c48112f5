//! Lookups by the keys that are replaced: which index serves them, until when, and what becomes of it.

use testkit::Mapped;

use super::*;

/// The plan of a statement.
async fn plan(db: &TestDb, statement: &str) -> String {
    db.rows(format!("EXPLAIN {statement}")).await.concat().join("\n")
}

/// The plan of a statement where tables are small and any index is better.
async fn indexed_plan(db: &TestDb, statement: &str) -> String {
    db.rows(format!("SET enable_seqscan = off; EXPLAIN {statement}")).await.concat().join("\n")
}

/// The plain indexes of the database, each with its definition but for its name.
async fn plain_indexes(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT i.indexrelid::regclass, regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE INDEX .* ON ', '')
         FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE NOT i.indisunique AND n.nspname NOT IN ('stockfoil', 'pg_catalog', 'pg_toast') ORDER BY 1",
    )
    .await
}

async fn many_rows(db: &TestDb) {
    db.execute(
        "INSERT INTO users (id, email, name) SELECT 'u' || g, 'u' || g || '@example.com', 'User ' || g FROM generate_series(1, 3000) g;
         INSERT INTO items (id, item_number, name) SELECT 'i' || g, 'I-' || g, 'Item ' || g FROM generate_series(1, 3000) g;
         INSERT INTO locations (id, site, name) SELECT 'l' || g, 'North', 'Bin ' || g FROM generate_series(1, 3000) g;
         INSERT INTO count_sheets (id, count_number, location_id) SELECT 'c' || g, 'C-' || g, 'l1' FROM generate_series(1, 3000) g;
         INSERT INTO feature_flags (id, key) SELECT 'f' || g, 'key-' || g FROM generate_series(1, 3000) g;
         ANALYZE",
    )
    .await;
}

const LOOKUPS: [(&str, &str); 7] = [
    ("SELECT name FROM items WHERE item_number = 'I-7'", "Index Cond: (item_number = 'I-7'::text)"),
    ("SELECT id FROM users WHERE email = 'u7@example.com'", "Index Cond: (email = "),
    ("SELECT id FROM count_sheets WHERE count_number = 'C-7'", "Index Cond: (count_number = "),
    ("SELECT id FROM locations WHERE site = 'North' AND name = 'Bin 7'", "Index Cond: ((site = "),
    ("SELECT enabled FROM feature_flags WHERE key = 'key-7'", "Index Cond: (key = "),
    ("SELECT name FROM items WHERE item_number BETWEEN 'I-7' AND 'I-8'", "Index Cond: ((item_number >= "),
    ("SELECT name FROM items ORDER BY item_number LIMIT 5", "Index Scan using items_item_number"),
];

#[tokio::test]
async fn a_replaced_key_keeps_an_index_until_finalize() {
    let db = TestDb::inventory().await;
    many_rows(&db).await;
    for (lookup, wanted) in LOOKUPS {
        let plan = plan(&db, lookup).await;
        assert!(plan.contains(wanted), "before: {lookup}\n{plan}");
    }
    db.run("migrate-all").arg("--contract")
        .args(["--dry-run", "--verbose"])
        .await
        .ok()
        .says("build index items_item_number_idx on items, for lookups by items_item_number_key that name no organization")
        .says("CREATE INDEX CONCURRENTLY \"items_item_number_idx\" ON \"public\".\"items\" USING btree (item_number)");
    db.run("migrate-all").arg("--contract").await.ok();
    db.execute("ANALYZE").await;
    for (lookup, wanted) in LOOKUPS {
        let plan = plan(&db, lookup).await;
        assert!(plan.contains(wanted), "migrated: {lookup}\n{plan}");
    }
    db.run("validate-migration").await.ok().says("lookup items(item_number): an index serves lookups");
    db.execute("SELECT name FROM items WHERE item_number = 'I-7'").await;
    db.run("migrate-org")
        .arg("--finalize")
        .await
        .refuses(2, "give --yes")
        .tells("items: 1 lookups went by items_item_number_idx (item_number) since 2")
        .tells("users: 0 lookups went by users_email_idx (email) since 2")
        .tells("warning: lookups of items by (item_number) alone used items_item_number_idx")
        .tells("WHERE org_id = ... AND ...");
    let report =
        db.run("migrate-org").args(["--finalize", "--dry-run", "--format", "json"]).await.ok().json();
    let used = report["lookup_uses"].as_array().unwrap();
    assert_eq!(used.len(), 5, "{report}");
    let items = used.iter().find(|used| used["table"] == "items").unwrap();
    assert_eq!((&items["scans"], &items["columns"]), (&1.into(), &"item_number".into()));
    db.run("migrate-org")
        .args(["--finalize", "--yes"])
        .await
        .ok()
        .tells("drop items_item_number_idx of items");
    let plan_of = plan(&db, LOOKUPS[0].0).await;
    assert!(plan_of.contains("Seq Scan on items"), "{plan_of}");
    let named = plan(&db, "SELECT name FROM items WHERE org_id = 'default' AND item_number = 'I-7'").await;
    assert!(named.contains("items_org_id_item_number_key"), "{named}");
    for args in [&["--finalize", "--yes"][..], &[]] {
        db.run("migrate-org").args(args).await.ok().says("nothing to do");
    }
    db.run("validate-migration").await.ok();
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.change WHERE command = 'keep lookups'").await, "0");
}

#[tokio::test]
async fn every_kind_of_key_keeps_its_shape_in_its_index() {
    let db = TestDb::inventory().await;
    db.execute(super::rollback::KEYS).await;
    // Two of the same columns, whose indexes want the same name, and a name that is taken.
    db.execute(
        "CREATE UNIQUE INDEX second ON items (name) WHERE NOT is_active;
         CREATE UNIQUE INDEX upper ON users (upper(email));
         CREATE SEQUENCE feature_flags_key_idx",
    )
    .await;
    let before = schema(&db);
    let keys = db
        .rows(
            "SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE UNIQUE INDEX .* ON ', '')
             FROM pg_index AS i WHERE i.indisunique AND NOT i.indisprimary AND i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
             ORDER BY 1",
        )
        .await;
    assert_eq!(keys.len(), 12);
    db.run("migrate-org").arg("--contract").await.ok();
    let plain = plain_indexes(&db).await;
    for key in &keys {
        assert_eq!(plain.iter().filter(|index| index[1] == key[0]).count(), 1, "{key:?} in {plain:#?}");
    }
    assert!(plain.iter().any(|index| index[0] == "feature_flags_key_idx1"), "{plain:#?}");
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    db.run("validate-migration").args(["--format", "json"]).await;
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn an_index_of_the_applications_own_serves() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE INDEX mine ON items (item_number, name);
         CREATE INDEX other_way ON users (email text_pattern_ops);
         CREATE INDEX partly ON feature_flags (key) WHERE enabled;
         CREATE INDEX shorter ON locations (site);
         CREATE INDEX ready ON count_sheets (count_number)",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok();
    let plain = plain_indexes(&db).await;
    let names: Vec<&str> = plain.iter().map(|index| index[0].as_str()).collect();
    for (name, there) in [
        ("items_item_number_idx", false),
        ("count_sheets_count_number_idx", false),
        ("users_email_idx", true),
        ("feature_flags_key_idx", true),
        ("locations_site_name_idx", true),
    ] {
        assert_eq!(names.contains(&name), there, "{name} in {names:?}");
    }
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    let plain = plain_indexes(&db).await;
    for name in ["mine", "other_way", "partly", "shorter", "ready"] {
        assert!(plain.iter().any(|index| index[0] == name), "{name}: {plain:?}");
    }
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn another_index_of_the_name_is_the_applications() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute("DROP INDEX users_email_idx; CREATE INDEX users_email_idx ON users (email, created_at)").await;
    // It serves as well, and no run takes it.
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    assert_eq!(db.value("SELECT to_regclass('users_email_idx') IS NOT NULL").await, "t");
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.value("SELECT to_regclass('users_email_idx') IS NOT NULL").await, "t");
}

#[tokio::test]
async fn an_index_that_went_is_named_and_comes_again() {
    let db = TestDb::migrated().await;
    db.execute("DROP INDEX users_email_idx").await;
    db.run("validate-migration").await.status(1).says("users(email): no index serves lookups");
    db.run("migrate-org").arg("--contract").args(["--dry-run", "--verbose"]).await.ok().says("1 steps to do");
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("validate-migration").await.ok();
    // It is no part of what finalizing waits for.
    db.execute("DROP INDEX users_email_idx").await;
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
}

#[tokio::test]
async fn while_the_key_stands_no_index_is_made() {
    let db = TestDb::inventory().await;
    let plain = plain_indexes(&db).await;
    db.run("migrate-org").await.ok();
    let expanded = plain_indexes(&db).await;
    let added: Vec<_> = expanded.iter().filter(|index| !plain.contains(index)).collect();
    assert!(added.iter().all(|index| index[1].contains("org_id")), "{added:?}");
    // At every moment one of both is there.
    let report = db.run("migrate-org").arg("--contract").args(["--format", "json"]).await.ok().json();
    let titles: Vec<&str> =
        report["steps"].as_array().unwrap().iter().map(|step| step["title"].as_str().unwrap()).collect();
    let place = |part: &str| titles.iter().position(|title| title.contains(part)).unwrap();
    assert!(place("build index users_email_idx") < place("drop users_email_key"), "{titles:#?}");
}

#[tokio::test]
async fn what_a_foreign_key_needs_stays_after_finalize() {
    let db = TestDb::inventory().await;
    db.execute("ALTER TABLE count_lines ADD CONSTRAINT one_line UNIQUE (item_id, lot_id)").await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("migrate-org")
        .args(["--finalize", "--yes"])
        .await
        .ok()
        .says("count_lines_item_id_lot_id_idx (item_id, lot_id) stays")
        .says("foreign key count_lines_item_id_fkey");
    assert_eq!(db.value("SELECT to_regclass('count_lines_item_id_lot_id_idx') IS NOT NULL").await, "t");
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok().says("nothing to do");
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn mapped_databases_keep_theirs() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped(mapped).await;
        let before = schema(&db);
        let lookups: &[(&str, &str)] = match mapped {
            Mapped::Prisma => &[
                ("SELECT 1 FROM \"Item\" WHERE \"sku\" = 'x'", "Index Cond: (sku = "),
                (
                    "SELECT 1 FROM \"Item\" WHERE lower(\"name\") = 'x' AND \"archivedAt\" IS NULL",
                    "Index Cond: (lower(",
                ),
            ],
            Mapped::Erp => &[
                ("SELECT 1 FROM res_users WHERE login = 'x'", "Index Cond: (login = "),
                ("SELECT 1 FROM product_product WHERE barcode = 'x'", "Index Cond: (barcode = "),
            ],
            Mapped::Warehouse => &[
                ("SELECT 1 FROM employees WHERE mail = 'x'", "Index Cond: (mail = "),
                (
                    "SELECT 1 FROM stock_transactions WHERE document_id = 7 AND line_no = 1",
                    "Index Cond: ((document_id = 7) AND (line_no = 1))",
                ),
            ],
            Mapped::TwoSchemas => &[
                ("SELECT 1 FROM plant.people WHERE \"e-mail\" = 'x'", "Index Cond: ("),
                ("SELECT 1 FROM \"Trade.Hub\".items WHERE code = 'x' AND price = 1", "Index Cond: ("),
            ],
        };
        let check = async |when: &str| {
            for (lookup, wanted) in lookups {
                let plan = indexed_plan(&db, lookup).await;
                assert!(plan.contains(wanted), "{} {when}: {lookup}\n{plan}", mapped.name());
            }
        };
        check("before").await;
        db.run("migrate-all").arg("--contract").await.ok();
        check("migrated").await;
        db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
        db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
        db.run("migrate-org").args(["--finalize", "--yes"]).await.ok().says("nothing to do");
        db.run("validate-migration").await.ok();
        db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
        same_schema(&db, &before);
    }
}

#[tokio::test]
async fn an_index_that_only_looks_alike_serves_nothing() {
    let db = TestDb::inventory().await;
    // The columns stand in another one's INCLUDE, or the access method is another.
    db.execute(
        "CREATE INDEX covering ON items (name) INCLUDE (item_number);
         CREATE INDEX hashed ON count_sheets USING hash (count_number);
         ALTER TABLE audit_logs ADD org_id text NOT NULL DEFAULT 'default';
         CREATE INDEX by_day ON audit_logs (created_at) INCLUDE (org_id)",
    )
    .await;
    // And of the same definition and name, but broken.
    db.execute(
        "CREATE INDEX users_email_idx ON users (email); COMMENT ON INDEX users_email_idx IS 'mine';
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_email_idx'::regclass",
    )
    .await;
    db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
    let plain = plain_indexes(&db).await;
    for (name, definition) in [
        ("items_item_number_idx", "btree (item_number)"),
        ("count_sheets_count_number_idx", "btree (count_number)"),
        ("audit_logs_org_id_idx", "btree (org_id)"),
        ("users_email_idx1", "btree (email)"),
    ] {
        let is_there = plain.iter().any(|index| index[0] == name && index[1].ends_with(definition));
        assert!(is_there, "{name} in {plain:#?}");
    }
    db.run("validate-migration").await.ok();
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    assert_eq!(db.value("SELECT to_regclass('users_email_idx1') IS NULL").await, "t");
    assert_eq!(db.value("SELECT obj_description('users_email_idx'::regclass)").await, "mine");
}
