//! Indexes: what a killed build leaves, what the application has left INVALID, and definitions that PostgreSQL prints
//! otherwise than they were written.

use sqlx::{Connection as _, PgConnection};
use testkit::Mapped;

use super::*;

/// Kills `command` with SIGKILL while it builds `index`, the first that it builds, once that is there and INVALID.
pub(crate) async fn killed_while_building(db: &TestDb, command: Binary, index: &str) {
    db.execute("CREATE TABLE IF NOT EXISTS public.another (n int)").await;
    // An old snapshot, which the last phase of a concurrent build waits for.
    let mut old = db.connect().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.another")
        .execute(&mut old)
        .await
        .unwrap();
    let mut child = command.spawn();
    let there = format!(
        "SELECT EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relname LIKE '{index}' AND NOT i.indisvalid)"
    );
    while db.value(&there).await != "t" {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it built {index}");
    }
    child.kill().await.unwrap();
    // The server notices that its client is gone, and ends the build.
    let builds =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND query LIKE 'CREATE %INDEX CONCURRENTLY%' AND state = 'active'";
    while db.value(builds).await != "0" {}
    sqlx::raw_sql("COMMIT").execute(&mut old).await.unwrap();
    PgConnection::close(old).await.unwrap();
}

const INVALID: &str = "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE NOT i.indisvalid ORDER BY 1";

#[tokio::test]
async fn a_build_that_was_killed_is_done_again_whatever_it_built() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let again = async |index: &str| {
        killed_while_building(&db, db.run("migrate-all").arg("--contract").arg("--yes"), index).await;
        assert_eq!(db.rows(INVALID).await, [[index]]);
        let run = db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
        run.tells("removing the INVALID index that an earlier build left");
        assert_eq!(db.rows(INVALID).await, [[""; 0]; 0]);
        db.run("validate-migration").await.ok();
    };
    again("users_org_id_email_key").await;
    for index in
        ["audit_logs_org_id_idx", "inventory_ledger_balance_key_idx", "inventory_ledger_stockfoil_tx_idx"]
    {
        db.execute(format!("DROP INDEX {index}")).await;
        again(index).await;
    }
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    db.run("migrate-balance").await.ok().says("nothing to do");
}

#[tokio::test]
async fn the_whole_sequence_goes_on_or_back_after_a_kill_in_the_balances() {
    const INDEX: &str = "inventory_ledger_balance_key_idx";
    for back in [false, true] {
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.execute("CREATE TABLE another (n int)").await;
        db.run("db-migrate").await.ok();
        db.run("migrate-org").arg("--contract").await.ok();
        let organizations = schema(&db);
        killed_while_building(&db, db.run("migrate-all").arg("--contract").arg("--yes"), INDEX).await;
        if back {
            db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
            same_schema(&db, &organizations);
            killed_while_building(&db, db.run("migrate-balance"), INDEX).await;
            db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
            assert_eq!(db.value(format!("SELECT to_regclass('{INDEX}') IS NULL")).await, "t");
        } else {
            db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
            db.run("validate-migration").await.ok();
        }
        assert_eq!(db.rows(INVALID).await, [[""; 0]; 0]);
    }
}

#[tokio::test]
async fn a_partitions_build_that_was_killed_is_done_again() {
    let db = TestDb::mapped(Mapped::Warehouse).await;
    // The ledger is the first to get its keys.
    let folder = Mapped::Warehouse.config_with(|text| {
        text.replace("    \"stock_transactions\",\n", "").replacen(
            "tables = [\n",
            "tables = [\n    \"stock_transactions\",\n",
            1,
        )
    });
    let run = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
    killed_while_building(
        &db,
        run("migrate-all").arg("--contract").arg("--yes"),
        "stock_transactions_2025_01_org_id%",
    )
    .await;
    run("migrate-org").arg("--contract").await.ok();
    killed_while_building(
        &db,
        run("migrate-all").arg("--contract").arg("--yes"),
        "stock_transactions_2025_01_balance_key_idx",
    )
    .await;
    run("migrate-all").arg("--contract").arg("--yes").await.ok();
    assert_eq!(db.rows(INVALID).await, [[""; 0]; 0]);
    run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    run("migrate-balance").await.ok().says("nothing to do");
    run("validate-migration").await.ok();
}

#[tokio::test]
async fn an_invalid_index_of_the_applications_is_named_passed_and_kept() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "CREATE INDEX their_lookup ON users (name);
         CREATE UNIQUE INDEX their_key ON users (id, name);
         CREATE INDEX inventory_ledger_balance_key_idx ON inventory_ledger (note);
         UPDATE pg_index SET indisvalid = false
         WHERE indexrelid IN ('their_lookup'::regclass, 'their_key'::regclass, 'inventory_ledger_balance_key_idx'::regclass)",
    )
    .await;
    let before = db.rows(INVALID).await;
    db.run("migrate-org")
        .arg("--contract")
        .args(["--dry-run", "--verbose"])
        .await
        .ok()
        .says("their_key is INVALID")
        .says("their_lookup is INVALID");
    db.run("migrate-all")
        .arg("--contract")
        .arg("--yes")
        .await
        .ok()
        .tells("their_key is INVALID")
        .tells("REINDEX INDEX CONCURRENTLY");
    assert_eq!(db.rows(INVALID).await, before);
    assert_eq!(
        db.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'inventory_ledger_balance_key_idx_1'::regclass").await,
        "t"
    );
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok().says("their_lookup");
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(db.rows(INVALID).await, before);
    assert_eq!(db.value("SELECT to_regclass('inventory_ledger_balance_key_idx_1') IS NULL").await, "t");
}

#[tokio::test]
async fn another_mapping_replaces_what_the_one_before_made() {
    let db = TestDb::mapped_migrated(Mapped::Erp).await;
    // What there is of them but for the numbers that their names may have.
    let index = "SELECT string_agg(regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', ''), '; ' ORDER BY indkey::text)
                 FROM pg_index WHERE indrelid = 'stock_move'::regclass AND indexrelid::regclass::text LIKE '%balance_key%'";
    let before = db.value(index).await;
    for (from, to) in [
        ("state = 'done'", "state IN ('done', 'assigned')"),
        ("state = 'done'", "state <> 'cancel' AND quantity > 1"),
        ("quantity = { sql = \"-quantity\" }", "quantity = { sql = \"-quantity * 2\" }"),
    ] {
        let folder = Mapped::Erp.config_with(|text| text.replace(from, to));
        let run = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
        run("migrate-balance").await.ok();
        run("migrate-balance").await.ok().says("nothing to do");
        run("backfill-balances").await.ok();
        run("validate-migration").await.ok();
    }
    db.run("migrate-balance").await.ok();
    assert_eq!(db.value(index).await, before);
    // Without lots, and with them again: other columns in the indexes and the statistics.
    let folder = Mapped::Erp.config_with(|text| text.replace("lot = \"lot_id\"", "lot = false"));
    db.execute("UPDATE stock_quant SET quantity = 0; DELETE FROM stock_quant WHERE lot_id IS NOT NULL").await;
    let without = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
    without("migrate-balance").await.ok();
    without("migrate-balance").await.ok().says("nothing to do");
    without("backfill-balances").await.ok();
    without("validate-migration").await.ok();
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("validate-migration").await.ok();
}

/// Conditions over columns of many types, as people write them.
const CONDITIONS: &[&str] = &[
    "state IN ('done', 'assigned')",
    "state NOT IN ('draft', 'cancel')",
    "state = ANY (ARRAY['done', 'assigned'])",
    "state <> ALL ('{draft,cancel}')",
    "state LIKE 'd%' OR state ~ '^as'",
    "state IN ('done') AND quantity BETWEEN 1 AND 1e6",
    "CASE WHEN state IN ('done', 'assigned') THEN true ELSE false END",
    "coalesce(state, 'done') IN ('done', 'x''y')",
    "fixed IN ('a  ', 'b') AND state = 'done'",
    "phase IN ('open', 'shut')",
    "kind IN ('in', 'out')",
    "is_counted AND state = 'done'",
    "is_counted IS NOT FALSE AND state COLLATE \"C\" IN ('done', 'assigned')",
    "date >= '2025-01-01' AND date + interval '1 day' < '2099-01-01'::timestamp",
    "lower(state) IN ('done', 'assigned') AND length(state) = 4",
    "\"Odd Name\" IN ('done', 'assigned') OR state = 'done'",
    "(state, fixed) IN (('done', 'a'), ('assigned', 'b'))",
    "state::text IN ('done') AND NOT state IN ('cancel')",
];

#[tokio::test]
async fn a_condition_is_recognised_however_postgresql_prints_it() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(
        "CREATE TYPE phase AS ENUM ('open', 'shut'); CREATE DOMAIN kind AS varchar(9) CHECK (VALUE IN ('in', 'out'));
         ALTER TABLE stock_move ADD COLUMN fixed char(3) NOT NULL DEFAULT 'a', ADD COLUMN phase phase NOT NULL DEFAULT 'open',
             ADD COLUMN kind kind NOT NULL DEFAULT 'in', ADD COLUMN is_counted boolean NOT NULL DEFAULT true,
             ADD COLUMN \"Odd Name\" varchar(20) NOT NULL DEFAULT 'done'",
    )
    .await;
    db.run("migrate-org").arg("--contract").await.ok();
    for condition in CONDITIONS {
        let quoted = condition.replace('"', "\\\"");
        let folder = Mapped::Erp.config_with(|text| text.replace("state = 'done'", &quoted));
        let run = |command: &str| db.run(command).arg("--config").arg(folder.path().join("stockfoil.toml"));
        run("migrate-balance").await.ok();
        assert!(run("migrate-balance").await.ok().stdout.contains("nothing to do"), "{condition}");
    }
}

#[tokio::test]
async fn a_key_is_recognised_however_postgresql_prints_it() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, no varchar(20), state varchar(9) NOT NULL DEFAULT 'open');
         CREATE UNIQUE INDEX orders_open ON orders (no) WHERE state IN ('open', 'held');
         CREATE UNIQUE INDEX orders_live ON orders (no, (CASE WHEN state IN ('open', 'held') THEN 1 END)) WHERE state NOT IN ('gone', 'lost');
         INSERT INTO orders VALUES (1, 'a')",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        "[tenancy]\ntables = [\"users\", \"items\", \"locations\", \"inventory_ledger\", \"orders\"]\n",
    )
    .unwrap();
    let run = |command: &str| db.run(command).folder(&folder);
    run("migrate-org").arg("--contract").await.ok();
    run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    run("migrate-all").arg("--contract").arg("--yes").await.ok();
    run("validate-migration").await.ok();
    run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    assert_eq!(
        db.value("SELECT count(*) FROM pg_index WHERE indrelid = 'orders'::regclass AND indisvalid").await,
        "3"
    );
}
