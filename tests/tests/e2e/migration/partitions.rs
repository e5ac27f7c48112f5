//! Partitioned tables, tables of one name in two schemas, names of any kind, and organizations' ids of other types.

use super::*;

/// A partitioned ledger with sub-partitions, a partitioned tenant table, a second `users`, and an odd name.
const SCHEMA: &str = r#"
    CREATE SCHEMA other;
    CREATE TABLE other.users ("Id" int PRIMARY KEY, email varchar(80) UNIQUE);
    CREATE TABLE "Odd.""Name" ("The Key" int PRIMARY KEY, "Mixed" text, CONSTRAINT "Odd.key" UNIQUE ("Mixed"));
    CREATE TABLE moves (
        id bigint NOT NULL, day date NOT NULL, item_id text NOT NULL, location_id text NOT NULL, lot_id text,
        qty numeric NOT NULL, code text, PRIMARY KEY (id, day), UNIQUE (code, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE moves_25 PARTITION OF moves FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE moves_26 PARTITION OF moves FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY RANGE (day);
    CREATE TABLE moves_26_a PARTITION OF moves_26 FOR VALUES FROM ('2026-01-01') TO ('2026-06-01');
    CREATE TABLE moves_26_rest PARTITION OF moves_26 DEFAULT;
    CREATE UNIQUE INDEX leaf_alone ON moves_26_a (code);
    CREATE UNIQUE INDEX of_all ON moves (lower(code), day) WHERE code <> '';
    CREATE TABLE events (id int NOT NULL, day date NOT NULL, note text) PARTITION BY RANGE (day);
    CREATE TABLE events_all PARTITION OF events DEFAULT;
    INSERT INTO other.users VALUES (1, 'a@example.com');
    INSERT INTO "Odd.""Name" VALUES (1, 'x');
    INSERT INTO events SELECT g, '2025-01-01'::date + g, 'n' FROM generate_series(1, 50) g;
    INSERT INTO moves SELECT g, '2025-06-01'::date + g % 500, 'i' || g % 5, CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END, NULL, g % 7 - 2, 'c' || g
    FROM generate_series(1, 400) g
"#;

const CONFIG: &str = r#"
    [tenancy]
    tables = ["users", "other.users", '"Odd.""Name"', "moves", "events"]
    ORG_TYPE
    items = false
    [tenancy.users]
    table = "users"
    [ledger]
    table = "moves"
    id = ["id", "day"]
    quantity = "qty"
    created_at = false
"#;

async fn database(org_type: &str) -> (TestDb, tempfile::TempDir) {
    let db = TestDb::inventory().await;
    db.execute(SCHEMA).await;
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("ORG_TYPE", org_type);
    std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
    (db, folder)
}

#[tokio::test]
async fn there_and_back_for_each_type_of_id() {
    for (org_type, name) in
        [("", "text"), ("org_type = \"uuid\"", "uuid"), ("org_type = \"bigint\"", "bigint")]
    {
        let (db, folder) = database(org_type).await;
        let before = schema(&db);
        db.run("migrate-org").arg("--contract").folder(&folder).args(["--dry-run", "--verbose"]).await.ok();
        same_schema(&db, &before);
        db.run("migrate-org").arg("--contract").folder(&folder).await.ok();
        for (table, rows) in
            [("other.users", "1"), (r#""Odd.""Name""#, "1"), ("moves", "400"), ("events", "50")]
        {
            assert_eq!(
                db.value(format!(
                    "SELECT count(*) FILTER (WHERE pg_typeof(org_id) = '{name}'::regtype) FROM {table}"
                ))
                .await,
                rows,
                "{table}"
            );
        }
        // Every index and foreign key is whole, and only keys of one organization are unique.
        assert_eq!(db.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, "0");
        assert_eq!(db.value("SELECT count(*) FROM pg_constraint WHERE NOT convalidated").await, "0");
        assert_eq!(
            db.value("SELECT count(*) FROM pg_index WHERE indisunique AND NOT indisprimary AND indrelid IN ('other.users'::regclass, 'moves'::regclass, 'moves_25'::regclass, 'moves_26_a'::regclass)
                      AND pg_get_indexdef(indexrelid) NOT LIKE '%(org_id, %'").await,
            "0"
        );
        assert_eq!(
            db.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'organizations'::regclass AND conrelid IN ('moves'::regclass, 'events'::regclass) AND conparentid = 0").await,
            "2"
        );
        let migrated = schema(&db);
        db.run("migrate-org").arg("--contract").folder(&folder).await.ok().says("nothing to do");
        db.run("migrate-balance").folder(&folder).await.ok();
        db.run("migrate-balance").folder(&folder).await.ok().says("nothing to do");
        assert_eq!(db.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, "0");
        db.run("backfill-balances").folder(&folder).await.ok();
        db.run("migrate-balance").folder(&folder).args(["--rollback", "--yes"]).await.ok();
        same_schema(&db, &migrated);
        db.run("migrate-org").folder(&folder).args(["--rollback", "--yes"]).await.ok();
        same_schema(&db, &before);
    }
}

#[tokio::test]
async fn a_partition_that_came_in_the_middle_is_taken_in() {
    let (db, folder) = database("").await;
    db.run("migrate-org").folder(&folder).await.ok();
    db.execute("CREATE TABLE moves_27 PARTITION OF moves FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
        .await;
    db.run("migrate-org").arg("--contract").folder(&folder).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, "0");
    db.execute("INSERT INTO moves VALUES (1000, '2027-02-02', 'i', 'a', NULL, 1, 'z')").await;
    db.run("migrate-org").arg("--contract").folder(&folder).await.ok().says("nothing to do");
}

#[tokio::test]
async fn a_nullable_column_of_a_partitioned_table_is_filled_in_each_partition() {
    let (db, folder) = database("").await;
    db.execute("ALTER TABLE moves ADD COLUMN org_id text; ALTER TABLE events ADD COLUMN org_id text").await;
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").folder(&folder).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM moves WHERE org_id = 'default'").await, "400");
    assert_eq!(db.value("SELECT count(*) FROM events WHERE org_id = 'default'").await, "50");
    db.run("migrate-org").folder(&folder).args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}
