use super::*;

#[tokio::test]
async fn every_row_and_key_gets_its_organization() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    db.run("migrate-org")
        .arg("--contract")
        .args(["--dry-run", "--verbose"])
        .await
        .ok()
        .says("nothing was changed")
        .says("CREATE UNIQUE INDEX CONCURRENTLY");
    assert_eq!(schema(&db), before);
    db.run("migrate-org").arg("--contract").arg("--yes").await.ok().says("were done already");
    for table in ["users", "items", "locations", "inventory_ledger"] {
        assert_eq!(db.value(format!("SELECT bool_and(org_id = 'default') FROM {table}")).await, "t");
    }
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
    let migrated = schema(&db);
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    assert_eq!(schema(&db), migrated);
    // One organization's address is free for another; twice in one it is not.
    db.execute("INSERT INTO organizations (id, name) VALUES ('b', 'B'); INSERT INTO users (email, name, org_id) VALUES ('u1@example.com', 'x', 'b')").await;
    let twice = sqlx::query("INSERT INTO users (email, name) VALUES ('u1@example.com', 'x')")
        .execute(&mut db.connect().await)
        .await;
    assert!(twice.unwrap_err().to_string().contains("users_org_id_email_key"));
}

#[tokio::test]
async fn the_default_organization_is_configurable() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-org").arg("--contract").env("DEFAULT_ORG_ID", "acme").await.ok();
    assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ',') FROM users").await, "acme");
    db.run("migrate-org")
        .arg("--contract")
        .env("DEFAULT_ORG_ID", "not an id")
        .await
        .refuses(2, "DEFAULT_ORG_ID");
}

#[tokio::test]
async fn a_unique_key_keeps_its_properties() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE UNIQUE INDEX partial ON items (name) WHERE is_active;
         CREATE UNIQUE INDEX expression ON users (lower(email) DESC) INCLUDE (name);
         CREATE UNIQUE INDEX \"odd \"\" ON x (name\" ON locations (name text_pattern_ops, site COLLATE \"C\") WITH (fillfactor = 80);
         ALTER TABLE count_lines ADD CONSTRAINT one_line UNIQUE NULLS NOT DISTINCT (count_sheet_id, item_id, lot_id) DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
    db.run("migrate-org").arg("--contract").await.ok();
    let definitions = "SELECT string_agg(split_part(indexdef, ' USING ', 2), E'\\n' ORDER BY indexname) FROM pg_indexes WHERE indexdef LIKE 'CREATE UNIQUE%' AND tablename = ";
    assert_eq!(
        db.value(format!("{definitions} 'items' AND indexname LIKE '%idx'")).await,
        "btree (org_id, name) WHERE is_active"
    );
    assert_eq!(
        db.value(format!("{definitions} 'users' AND indexname LIKE '%idx'")).await,
        "btree (org_id, lower(email) DESC) INCLUDE (name)"
    );
    assert_eq!(
        db.value(format!("{definitions} 'locations' AND indexname LIKE '%idx'")).await,
        "btree (org_id, name text_pattern_ops, site COLLATE \"C\") WITH (fillfactor='80')"
    );
    assert_eq!(
        db.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'count_lines'::regclass AND contype = 'u'").await,
        "UNIQUE NULLS NOT DISTINCT (org_id, count_sheet_id, item_id, lot_id) DEFERRABLE INITIALLY DEFERRED"
    );
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
}

#[tokio::test]
async fn a_nullable_column_from_before_is_mended() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute("ALTER TABLE users ADD COLUMN org_id text; ALTER TABLE items ADD COLUMN org_id text DEFAULT 'default'").await;
    db.run("migrate-org").arg("--contract").await.ok();
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'default'").await, "50");
    assert_eq!(
        db.value("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'users'::regclass")
            .await,
        "0"
    );
    db.run("validate-migration").await.status(1).says("column users: org_id is text, NOT NULL");
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_before_the_first_change() {
    for (obstacle, named) in [
        ("ALTER TABLE users ADD COLUMN org_id uuid", "users.org_id has type uuid, not text"),
        (
            "CREATE TABLE notes (email text REFERENCES users (email))",
            "foreign keys refer to it: notes.notes_email_fkey",
        ),
        (
            "ALTER TABLE items REPLICA IDENTITY USING INDEX items_item_number_key",
            "items.items_item_number_key is its replica identity",
        ),
    ] {
        let db = TestDb::inventory().await;
        db.execute(obstacle).await;
        let before = schema(&db);
        db.run("migrate-org").arg("--contract").await.refuses(3, named);
        assert_eq!(schema(&db), before, "{obstacle}");
    }
}

#[tokio::test]
async fn a_foreign_key_from_before_is_validated_by_its_own_name() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute(
        "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey;
         ALTER TABLE items ADD CONSTRAINT \"it's $$ mine\" FOREIGN KEY (org_id) REFERENCES organizations NOT VALID",
    )
    .await;
    db.run("migrate-org").arg("--contract").await.ok().tells("validate foreign key it's $$ mine of items");
    assert_eq!(db.value("SELECT count(*) FROM pg_constraint WHERE NOT convalidated").await, "0");
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
}

#[tokio::test]
async fn rows_of_an_unknown_organization_stop_it_and_are_said() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute("ALTER TABLE users ADD COLUMN org_id text NOT NULL DEFAULT 'ghost'").await;
    db.run("migrate-org")
        .arg("--contract")
        .await
        .refuses(3, "users has rows of organizations that are not there: \"ghost\" (50 rows)");
    assert_eq!(db.value("SELECT to_regclass('organizations') IS NULL").await, "t");
    // What no command could be given becomes no organization.
    db.execute("UPDATE users SET org_id = 'Acme & Sons' WHERE id = 'u7'").await;
    db.run("migrate-org")
        .args(["--contract", "--adopt-organizations"])
        .await
        .refuses(3, "users has 1 rows of the organization \"Acme & Sons\", an id that no command takes");
    db.execute("UPDATE users SET org_id = 'ghost' WHERE id = 'u7'").await;
    db.run("migrate-org").arg("--contract").arg("--adopt-organizations").await.ok();
    assert_eq!(db.value("SELECT string_agg(id, ',' ORDER BY id) FROM organizations").await, "default,ghost");
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'ghost'").await, "50");
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
}

#[tokio::test]
async fn an_invalid_index_left_over_is_replaced() {
    let db = TestDb::inventory().await;
    db.execute("ALTER TABLE users ADD COLUMN org_id text NOT NULL DEFAULT 'default'").await;
    db.execute("CREATE UNIQUE INDEX users_org_id_email_key ON users (org_id, email); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_org_id_email_key'::regclass").await;
    db.run("migrate-org").arg("--contract").await.ok();
    assert_eq!(db.value("SELECT bool_and(indisvalid) FROM pg_index").await, "t");
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn a_killed_run_goes_on_where_it_was() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    // Killed as soon as so many columns, then keys, are there.
    for objects in [1, 3, 6, 8, 10, 14, 18] {
        let mut child = db.run("migrate-org").arg("--contract").spawn();
        loop {
            let found = db.value(
                "SELECT (SELECT count(*) FROM pg_attribute WHERE attname = 'org_id' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r'))
                      + (SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%org_id%')",
            ).await;
            if found.parse::<u32>().unwrap() >= objects || child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let _ = child.kill().await;
    }
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("validate-migration").await.ok().says(" 0 failed");
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
    assert_eq!(db.value("SELECT bool_and(indisvalid) FROM pg_index").await, "t");
}

#[tokio::test]
async fn a_long_reader_is_waited_for_outside_the_queue() {
    let db = TestDb::inventory().await;
    let mut reader = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut reader).await.unwrap();
    let mut child = db.run("migrate-org").arg("--contract").spawn();
    let (_open, _) = until_it_waits(&mut child).await;
    // Another reader is not behind an ALTER in the queue, since none is queued.
    assert_eq!(db.value("SELECT count(*) FROM users").await, "0");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_second_migrator_says_who_holds_the_lock() {
    let db = TestDb::inventory().await;
    let mut other = db.connect().await;
    sqlx::raw_sql(
        "SET application_name = 'the other one'; SELECT pg_advisory_lock(x'73746f636b666f69'::bigint)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    for command in ["migrate-org", "db-migrate", "migrate-all"] {
        db.run(command).await.refuses(4, "application the other one");
    }
}
