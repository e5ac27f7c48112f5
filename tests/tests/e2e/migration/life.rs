//! What happens between a migration and its rollback: partitions come and go, columns and names change.

use testkit::Binary;

use super::*;

/// A ledger in partitions with a key of its own.
const SCHEMA: &str = "
    CREATE TABLE moves (id bigint, day date NOT NULL, item_id text NOT NULL, location_id text NOT NULL, lot_id text,
                        qty numeric NOT NULL, ref text, PRIMARY KEY (id, day), UNIQUE (ref, day)) PARTITION BY RANGE (day);
    CREATE TABLE moves_25 PARTITION OF moves FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE moves_26 PARTITION OF moves FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE UNIQUE INDEX moves_lower ON moves (lower(ref), day);
    INSERT INTO moves SELECT g, '2025-06-01'::date + g, 'i' || g % 3, 'l1', NULL, 1, 'r' || g FROM generate_series(1, 300) g";

const CONFIG: &str = "
    [tenancy]
    tables = ['users', 'items', 'moves']
    [ledger]
    table = 'moves'
    id = ['id', 'day']
    quantity = 'qty'
    created_at = false
";

struct Moves {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Moves {
    async fn new() -> Self {
        let db = TestDb::inventory().await;
        db.execute(SCHEMA).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), CONFIG).unwrap();
        Self { db, folder }
    }

    fn run(&self, command: &str) -> Binary {
        self.db.run(command).folder(&self.folder)
    }

    async fn ready(&self, status: i32) -> testkit::Run {
        self.run("validate-migration").arg("--rollback-ready").await.status(status)
    }
}

#[tokio::test]
async fn a_partition_that_came_gets_its_part_of_each_key() {
    let (moves, without) = (Moves::new().await, Moves::new().await);
    moves.run("migrate-all").arg("--contract").await.ok();
    let new = "CREATE TABLE moves_27 PARTITION OF moves FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY RANGE (day);
               CREATE TABLE moves_27_a PARTITION OF moves_27 FOR VALUES FROM ('2027-01-01') TO ('2027-06-01');
               INSERT INTO moves (id, day, item_id, location_id, qty, ref) VALUES (1000, '2027-02-01', 'i1', 'l1', 1, 'r1000')";
    for db in [&moves.db, &without.db] {
        db.execute(new).await;
    }
    moves.run("migrate-balance").await.ok();
    moves.ready(0).await;
    moves.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    // PostgreSQL chose a name for the partition's part of the lookups' index, which is still there when the key comes.
    let now = schema(&moves.db).replace("_lower_day_idx1", "_lower_day_idx");
    assert_eq!(now, schema(&without.db));
}

#[tokio::test]
async fn a_partition_that_went_is_named_until_nothing_of_it_stands_in_the_way() {
    let (moves, without) = (Moves::new().await, Moves::new().await);
    moves.run("migrate-all").arg("--contract").await.ok();
    for db in [&moves.db, &without.db] {
        db.execute("ALTER TABLE moves DETACH PARTITION moves_25").await;
    }
    let before = schema(&moves.db);
    moves
        .ready(1)
        .await
        .says("moves_25.org_id: has the default stockfoil.default_org, which goes, and is no tenant table's")
        .says("moves_25.stockfoil_tx: is Stockfoil's");
    moves
        .run("migrate-all")
        .args(["--rollback", "--yes"])
        .await
        .refuses(3, "moves_25.org_id has the default");
    same_schema(&moves.db, &before);
    moves.db.execute("ALTER TABLE moves_25 DROP COLUMN org_id, DROP COLUMN stockfoil_tx").await;
    moves.ready(0).await;
    moves.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    // It has its keys again, as it would have them.
    let keys = "SELECT indexdef FROM pg_indexes WHERE tablename = 'moves_25' ORDER BY 1";
    assert_eq!(moves.db.rows(keys).await, without.db.rows(keys).await);
}

#[tokio::test]
async fn a_partition_that_is_half_gone_is_refused_with_what_ends_it() {
    let moves = Moves::new().await;
    // A reader keeps the detachment from its end.
    let half = async |db: &TestDb| {
        let (mut reader, mut owner) = (db.connect().await, db.connect().await);
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM moves").execute(&mut reader).await.unwrap();
        sqlx::raw_sql("SET statement_timeout = '1s'").execute(&mut owner).await.unwrap();
        let detach = "ALTER TABLE moves DETACH PARTITION moves_26 CONCURRENTLY";
        sqlx::raw_sql(detach).execute(&mut owner).await.unwrap_err();
        sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    };
    half(&moves.db).await;
    let before = schema(&moves.db);
    let named = "moves_26 is half detached from moves, since a DETACH PARTITION ... CONCURRENTLY did not end";
    moves.run("migrate-all").await.refuses(3, named).tells("FINALIZE");
    same_schema(&moves.db, &before);
    moves.db.execute("ALTER TABLE moves DETACH PARTITION moves_26 FINALIZE").await;
    moves.run("migrate-all").arg("--contract").await.ok();
    moves.ready(0).await;
    moves
        .db
        .execute(
            "CREATE TABLE moves_26_b PARTITION OF moves FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')",
        )
        .await;
    moves.db.execute("ALTER TABLE moves RENAME TO moves_now; ALTER TABLE moves_now RENAME TO moves").await;
}

#[tokio::test]
async fn a_key_that_can_not_come_back_is_named_with_the_way_on() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-all").arg("--contract").await.ok();
    let ready = async |status| db.run("validate-migration").arg("--rollback-ready").await.status(status);
    ready(0).await;
    db.execute(
        "ALTER TABLE items RENAME COLUMN item_number TO sku; ALTER TABLE feature_flags DROP COLUMN key;
                CREATE INDEX locations_site_name_key ON locations (name)",
    )
    .await;
    let before = schema(&db);
    let run = ready(1).await;
    run.says("items.items_item_number_key: can't be built again: column \"item_number\" does not exist")
        .says("feature_flags.feature_flags_key_key: can't be built again: column \"key\" does not exist")
        .says("locations.locations_site_name_key: can't be built again, since another relation is called");
    db.run("migrate-all")
        .args(["--rollback", "--yes"])
        .await
        .refuses(3, "items.items_item_number_key can't be built again");
    same_schema(&db, &before);
    db.execute(
        "ALTER TABLE items RENAME COLUMN sku TO item_number; DROP INDEX locations_site_name_key;
                DELETE FROM stockfoil.change WHERE kind = 'unique_key' AND name = 'feature_flags_key_key'",
    )
    .await;
    ready(0).await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(
        db.value("SELECT count(*) FROM pg_constraint WHERE conname = 'items_item_number_key'").await,
        "1"
    );
}

#[tokio::test]
async fn a_rollback_needs_no_leave_to_migrate_again() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE items ADD COLUMN org_id text; UPDATE items SET org_id = 'acme' WHERE id = 'i3';
                CREATE PUBLICATION outside FOR TABLE users",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-all")
        .args(["--contract", "--adopt-organizations", "--accept", "publications"])
        .await
        .ok();
    db.run("validate-migration").arg("--rollback-ready").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_ledger_without_partitions_is_one_without_entries() {
    let moves = Moves::new().await;
    moves.db.execute("DROP TABLE moves_25, moves_26").await;
    let before = schema(&moves.db);
    moves.run("migrate-all").arg("--contract").rehearsing().await.ok();
    moves.run("reconcile-balances").await.ok();
    moves.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(&moves.db, &before);
}

#[tokio::test]
async fn a_table_that_was_renamed_or_moved_stands_in_the_way_until_it_has_its_name_again() {
    let db = TestDb::inventory().await;
    let original = schema(&db);
    db.run("migrate-all").await.ok();
    let folder = tempfile::tempdir().unwrap();
    for (there, back, name) in [
        (
            "ALTER TABLE audit_logs RENAME TO audit_entries",
            "ALTER TABLE audit_entries RENAME TO audit_logs",
            "audit_entries",
        ),
        (
            "CREATE SCHEMA later; ALTER TABLE audit_logs SET SCHEMA later",
            "ALTER TABLE later.audit_logs SET SCHEMA public; DROP SCHEMA later",
            "later.audit_logs",
        ),
    ] {
        db.execute(there).await;
        let config = format!(
            "[tenancy]\ntables = ['users', 'items', 'locations', 'inventory_ledger', 'count_sheets', 'count_lines', '{name}', 'feature_flags']"
        );
        std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
        let before = schema(&db);
        db.run("validate-migration").folder(&folder).arg("--rollback-ready").await.status(1).says(&format!(
            "{name}: refers to organizations, and nothing is remembered of a change under this name"
        ));
        db.run("migrate-all").folder(&folder).args(["--rollback", "--yes"]).await.refuses(3, name);
        same_schema(&db, &before);
        db.execute(back).await;
    }
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &original);
}

#[tokio::test]
async fn a_table_that_is_gone_leaves_nothing_behind() {
    let (db, without) = (TestDb::inventory().await, TestDb::inventory().await);
    db.run("migrate-all").await.ok();
    for db in [&db, &without] {
        db.execute("DROP TABLE feature_flags").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = "[tenancy]\ntables = ['users', 'items', 'locations', 'inventory_ledger', 'count_sheets', 'count_lines', 'audit_logs']";
    std::fs::write(folder.path().join("stockfoil.toml"), config).unwrap();
    db.run("validate-migration").folder(&folder).arg("--rollback-ready").await.ok();
    db.run("migrate-all").folder(&folder).args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(&db, &schema(&without));
}
