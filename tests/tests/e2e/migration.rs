use testkit::{Binary, Cluster, Signal, TestDb, signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr},
};

/// Everything that a schema change could touch, as pg_dump prints it.
pub(crate) fn schema(db: &TestDb) -> String {
    let dump = db.cluster().program("pg_dump").args(["-s", db.name()]).output().unwrap();
    assert!(dump.status.success());
    let text = String::from_utf8(dump.stdout).unwrap();
    // pg_dump since 15.14 brackets its output with a random key.
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// Asserts that the schema is what it was, and shows the lines that differ.
#[track_caller]
pub(crate) fn same_schema(db: &TestDb, before: &str) {
    let now = schema(db);
    let missing: Vec<&str> = before.lines().filter(|line| !now.lines().any(|other| other == *line)).collect();
    let new: Vec<&str> = now.lines().filter(|line| !before.lines().any(|other| other == *line)).collect();
    assert!(now == before, "gone: {missing:#?}\nnew: {new:#?}");
}

async fn seed(db: &TestDb) {
    db.execute(
        "INSERT INTO users (id, email, name) SELECT 'u' || g, 'u' || g || '@example.com', 'User ' || g FROM generate_series(1, 50) g;
         INSERT INTO items (id, item_number, name) SELECT 'i' || g, 'I-' || g, 'Item ' || g FROM generate_series(1, 20) g;
         INSERT INTO locations (id, site, name) SELECT 'l' || g, 'North', 'Bin ' || g FROM generate_series(1, 5) g;
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical, created_by)
         SELECT 'i' || 1 + g % 20, 'l' || 1 + g % 5, CASE WHEN g % 3 = 0 THEN 'lot' || g % 7 END, (g % 11 - 4) * 0.25, 'u1'
         FROM generate_series(1, 2000) g",
    )
    .await;
}

/// Reads what the command says until it waits for somebody; returns the rest of its standard error, and what it said.
async fn until_it_waits(child: &mut Child) -> (BufReader<ChildStderr>, String) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !["waiting for pid", "waiting for replica", "waiting for prepared"]
        .iter()
        .any(|who| said.contains(who))
    {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    (stderr, said)
}

mod ahead;
mod default_organization;
mod files;
mod indexes;
mod lookups;
mod others;
mod partitions;
mod patience;
pub(crate) mod records;
mod rehearsal;
mod rollback;
mod setup_order;
pub(crate) mod torture;

mod versioned {
    use super::*;

    /// How many versions every binary carries.
    pub(super) fn count() -> usize {
        let names = std::fs::read_dir(testkit::workspace().join("migrations")).unwrap();
        names.filter(|name| name.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".up.sql")).count()
    }

    #[tokio::test]
    async fn an_empty_database_becomes_the_inventory() {
        let db = TestDb::empty().await;
        db.run("db-migrate").arg("--status").await.status(1).says("pending");
        db.run("db-migrate").arg("--dry-run").await.ok().says(&format!("{} pending", count()));
        assert_eq!(
            db.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await,
            "0"
        );
        let report = db.run("db-migrate").args(["--format", "json"]).await.ok().json();
        assert_eq!(report["schema"], "stockfoil.db_migrate/1");
        assert_eq!(report["versions"][0]["state"], "applied_now");
        db.run("db-migrate").await.ok().says("0 applied, 0 recorded");
        db.run("db-migrate").arg("--status").await.ok().says("nothing is pending");
        assert_eq!(db.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "8");
    }

    #[tokio::test]
    async fn tables_that_are_there_are_recorded_and_untouched() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        let before = db.value("SELECT string_agg(oid::text || relfilenode, ',' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await;
        db.run("db-migrate").arg("--dry-run").await.ok().says("would be recorded: its tables are there");
        db.run("db-migrate").await.ok().says("recorded, not run: its tables are there");
        let after = db.value("SELECT string_agg(oid::text || relfilenode, ',' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await;
        assert_eq!(before, after);
        assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
    }

    #[tokio::test]
    async fn half_an_inventory_is_neither() {
        let db = TestDb::inventory().await;
        db.execute("DROP TABLE feature_flags, audit_logs").await;
        db.run("db-migrate").await.refuses(3, "neither empty nor the default inventory");
        assert_eq!(db.value("SELECT to_regnamespace('stockfoil') IS NULL").await, "t");
        db.run("db-migrate").arg("--status").await.status(1).says("in the way: ");
        db.run("db-migrate")
            .args(["--baseline", "20260101000000"])
            .await
            .ok()
            .says("1 recorded as a baseline");
        db.run("db-migrate").await.ok().says(&format!("{} applied", count() - 1));
    }

    #[tokio::test]
    async fn a_new_file_is_written_applied_and_then_never_edited() {
        let db = TestDb::inventory().await;
        let folder = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            db.run("db-migrate").arg("--folder").arg(folder.path()).args(args.iter().copied())
        };
        let written = run(&["--name", "add_bins"]).await.ok();
        let up = written.stdout.lines().next().unwrap();
        assert!(up.ends_with("_add_bins.up.sql"), "{up}");
        std::fs::write(up, "CREATE TABLE bins (id text PRIMARY KEY);").unwrap();
        run(&["--status"]).await.status(1).says("add bins");
        run(&[]).await.ok().says("applied now");
        assert_eq!(db.value("SELECT to_regclass('bins') IS NOT NULL").await, "t");

        std::fs::write(up, "CREATE TABLE bins (id int PRIMARY KEY);").unwrap();
        run(&["--status"]).await.status(1).says("CHANGED");
        run(&[]).await.refuses(3, "_add_bins.up.sql was changed after it was applied");
        for file in written.stdout.lines() {
            std::fs::remove_file(file).unwrap();
        }
        run(&[]).await.refuses(3, "which no file here has");
    }

    #[tokio::test]
    async fn a_file_that_fails_leaves_nothing_behind() {
        let db = TestDb::inventory().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("29990101000000_broken.up.sql"),
            "CREATE TABLE a (); SELECT 1 / 0;",
        )
        .unwrap();
        db.run("db-migrate")
            .args(["--folder".into(), folder.path().to_path_buf()])
            .await
            .refuses(3, "apply migration 29990101000000");
        assert_eq!(db.value("SELECT to_regclass('a') IS NULL").await, "t");
        db.run("db-migrate").arg("--status").await.ok();
    }

    #[tokio::test]
    async fn wrong_usage_is_refused() {
        let db = TestDb::empty().await;
        db.run("db-migrate").args(["--status", "--dry-run"]).await.refuses(2, "exclude each other");
        db.run("db-migrate").args(["--baseline", "1"]).await.refuses(2, "no migration has version 1");
        db.run("db-migrate").args(["--baseline", "one"]).await.refuses(2, "--baseline");
        db.run("db-migrate")
            .args(["--folder", ".", "--name", "../x"])
            .await
            .refuses(2, "can't be a migration's name");
        db.run("db-migrate").args(["--folder", "/does/not/exist"]).await.refuses(3, "/does/not/exist");
        assert_eq!(schema(&db), schema(&TestDb::empty().await));
    }

    /// Each migration has a test of its own beside it: it runs in the migrated database and raises when a claim
    /// does not hold.
    #[tokio::test]
    async fn each_file_has_a_test_that_passes() {
        let folder = testkit::workspace().join("migrations");
        let mut stems: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().into_string().unwrap().strip_suffix(".up.sql").map(str::to_owned)
            })
            .collect();
        stems.sort();
        assert!(!stems.is_empty());
        let db = TestDb::empty().await;
        db.run("db-migrate").await.ok();
        for stem in &stems {
            let test = std::fs::read_to_string(folder.join(format!("tests/{stem}.sql")));
            let test = test.unwrap_or_else(|error| panic!("{stem} has no test: {error}"));
            assert!(test.contains("ASSERT"), "the test of {stem} asserts nothing");
            db.execute(format!("BEGIN; {test}; ROLLBACK")).await;
        }
        for stem in stems.iter().rev() {
            db.execute(std::fs::read_to_string(folder.join(format!("{stem}.down.sql"))).unwrap()).await;
        }
        assert_eq!(
            db.value("SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'stockfoil')").await,
            "0"
        );
    }
}

mod organizations {
    use super::*;

    #[tokio::test]
    async fn every_row_and_key_gets_its_organization() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        let before = schema(&db);
        db.run("migrate-org")
            .arg("--dry-run")
            .await
            .ok()
            .says("nothing was changed")
            .says("CREATE UNIQUE INDEX CONCURRENTLY");
        assert_eq!(schema(&db), before);
        db.run("migrate-org").arg("--yes").await.ok().says("were done already");
        for table in ["users", "items", "locations", "inventory_ledger"] {
            assert_eq!(db.value(format!("SELECT bool_and(org_id = 'default') FROM {table}")).await, "t");
        }
        assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
        let migrated = schema(&db);
        db.run("migrate-org").await.ok().says("nothing to do");
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
        db.run("migrate-org").env("DEFAULT_ORG_ID", "acme").await.ok();
        assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ',') FROM users").await, "acme");
        db.run("migrate-org").env("DEFAULT_ORG_ID", "not an id").await.refuses(2, "DEFAULT_ORG_ID");
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
        db.run("migrate-org").await.ok();
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
        db.run("migrate-org").await.ok().says("nothing to do");
    }

    #[tokio::test]
    async fn a_nullable_column_from_before_is_mended() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.execute("ALTER TABLE users ADD COLUMN org_id text; ALTER TABLE items ADD COLUMN org_id text DEFAULT 'default'").await;
        db.run("migrate-org").await.ok();
        assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'default'").await, "50");
        assert_eq!(
            db.value(
                "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'users'::regclass"
            )
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
            db.run("migrate-org").await.refuses(3, named);
            assert_eq!(schema(&db), before, "{obstacle}");
        }
    }

    #[tokio::test]
    async fn a_foreign_key_from_before_is_validated_by_its_own_name() {
        let db = TestDb::inventory().await;
        db.run("migrate-org").await.ok();
        db.execute(
            "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey;
             ALTER TABLE items ADD CONSTRAINT \"it's $$ mine\" FOREIGN KEY (org_id) REFERENCES organizations NOT VALID",
        )
        .await;
        db.run("migrate-org").await.ok().says("validate foreign key it's $$ mine of items");
        assert_eq!(db.value("SELECT count(*) FROM pg_constraint WHERE NOT convalidated").await, "0");
        db.run("migrate-org").await.ok().says("nothing to do");
    }

    #[tokio::test]
    async fn rows_of_an_unknown_organization_stop_it_and_are_said() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.execute("ALTER TABLE users ADD COLUMN org_id text NOT NULL DEFAULT 'ghost'").await;
        db.run("migrate-org")
            .await
            .refuses(3, "users has rows of organizations that are not there: \"ghost\" (50 rows)");
        assert_eq!(db.value("SELECT to_regclass('organizations') IS NULL").await, "t");
        db.run("migrate-org").arg("--adopt-organizations").await.ok();
        assert_eq!(
            db.value("SELECT string_agg(id, ',' ORDER BY id) FROM organizations").await,
            "default,ghost"
        );
        assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'ghost'").await, "50");
        db.run("migrate-org").await.ok().says("nothing to do");
    }

    #[tokio::test]
    async fn an_invalid_index_left_over_is_replaced() {
        let db = TestDb::inventory().await;
        db.execute("ALTER TABLE users ADD COLUMN org_id text NOT NULL DEFAULT 'default'").await;
        db.execute("CREATE UNIQUE INDEX users_org_id_email_key ON users (org_id, email); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_org_id_email_key'::regclass").await;
        db.run("migrate-org").await.ok();
        assert_eq!(db.value("SELECT bool_and(indisvalid) FROM pg_index").await, "t");
        db.run("migrate-all").await.ok();
        db.run("validate-migration").await.ok();
    }

    #[tokio::test]
    async fn a_killed_run_goes_on_where_it_was() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        // Killed as soon as so many columns, then keys, are there.
        for objects in [1, 3, 6, 8, 10, 14, 18] {
            let mut child = db.run("migrate-org").spawn();
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
        db.run("migrate-org").await.ok();
        db.run("migrate-all").await.ok();
        db.run("validate-migration").await.ok().says(" 0 failed");
        assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, "2000");
        assert_eq!(db.value("SELECT bool_and(indisvalid) FROM pg_index").await, "t");
    }

    #[tokio::test]
    async fn a_long_reader_is_waited_for_outside_the_queue() {
        let db = TestDb::inventory().await;
        let mut reader = db.connect().await;
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut reader).await.unwrap();
        let mut child = db.run("migrate-org").spawn();
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
}

mod balances {
    use super::*;

    #[tokio::test]
    async fn the_table_and_triggers_come_after_the_organizations() {
        let db = TestDb::inventory().await;
        db.run("migrate-balance").await.refuses(3, "run migrate-org first");
        db.run("migrate-org").await.ok();
        let before = schema(&db);
        db.run("migrate-balance").arg("--dry-run").await.ok().says("CREATE OR REPLACE TRIGGER");
        assert_eq!(schema(&db), before);
        db.run("migrate-balance").await.ok();
        db.run("migrate-balance").await.ok().says("nothing to do");
        seed(&db).await;
        assert_eq!(
            db.value("SELECT (SELECT sum(qty_canonical) FROM inventory_ledger) = (SELECT sum(qty_canonical) FROM inventory_balances)").await,
            "t"
        );
    }

    #[tokio::test]
    async fn another_table_of_the_name_is_not_taken_over() {
        let db = TestDb::inventory().await;
        db.run("migrate-org").await.ok();
        db.execute("CREATE TABLE inventory_balances (id int)").await;
        db.run("migrate-balance").await.refuses(2, "there is another table inventory_balances already");
    }

    #[tokio::test]
    async fn without_the_key_index_it_is_left_out() {
        let db = TestDb::inventory().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), "[ledger]\nkey_index = false\n").unwrap();
        db.run("migrate-all").folder(&folder).await.ok();
        assert_eq!(
            db.value("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%balance_key%'").await,
            "0"
        );
        db.run("validate-migration").folder(&folder).await.ok();
        db.run("validate-migration")
            .await
            .status(1)
            .says("index inventory_ledger_balance_key_idx: it is not there");
    }
}

mod all {
    use super::*;

    #[tokio::test]
    async fn an_empty_database_is_taken_all_the_way() {
        let db = TestDb::empty().await;
        db.run("migrate-all").arg("--dry-run").await.ok().says("comes when the parts before it are done");
        let report = db.run("migrate-all").args(["--format", "json"]).await.ok().json();
        assert_eq!(report["checked"]["failed"], 0);
        assert_eq!(report["outcome"], "clean");
        db.run("migrate-all").await.ok().says("nothing to do");
    }

    #[tokio::test]
    async fn a_live_inventory_is_taken_all_the_way() {
        let db = TestDb::inventory().await;
        seed(&db).await;
        let report = db.run("migrate-all").args(["--format", "json"]).await.ok().json();
        assert_eq!(report["checked"]["rows"], 2075);
        assert_eq!(
            db.value(
                "SELECT count(*) FROM (SELECT org_id, item_id, location_id, lot_id, sum(qty_canonical) q FROM inventory_ledger GROUP BY 1, 2, 3, 4) l
                 FULL JOIN inventory_balances b ON b.org_id = l.org_id AND b.item_id = l.item_id AND b.location_id = l.location_id AND b.lot_id IS NOT DISTINCT FROM l.lot_id
                 WHERE b.qty_canonical IS DISTINCT FROM l.q"
            )
            .await,
            "0"
        );
    }

    #[tokio::test]
    async fn it_stops_where_a_check_fails_and_goes_on_when_mended() {
        let db = TestDb::inventory().await;
        db.execute("ALTER TABLE users DROP CONSTRAINT users_email_key").await;
        db.run("migrate-all")
            .await
            .status(1)
            .says("nothing keeps it unique per organization")
            .says("not done: a part before it does not hold");
        assert_eq!(db.value("SELECT to_regclass('inventory_balances') IS NULL").await, "t");
        db.execute("ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)").await;
        db.run("migrate-all").await.ok();
    }
}

mod validation {
    use super::*;

    #[tokio::test]
    async fn a_migrated_database_holds_and_nothing_is_changed() {
        let db = TestDb::migrated().await;
        let before = schema(&db);
        let report = db.run("validate-migration").args(["--format", "json"]).await.ok().json();
        assert_eq!(report["schema"], "stockfoil.validation/1");
        assert!(report["passed"].as_u64().unwrap() >= 50);
        assert!(
            report["checks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|check| !check["evidence"].as_str().unwrap().is_empty())
        );
        assert_eq!(schema(&db), before);
        db.run("validate-migration")
            .args(["--format", "prometheus"])
            .await
            .ok()
            .says("stockfoil_migration_checks{verdict=\"failed\"} 0");
    }

    #[tokio::test]
    async fn each_impostor_is_found_by_name() {
        for (damage, found) in [
            ("DROP TABLE organization_api_keys", "organizations organizations: the tables are not there"),
            ("ALTER TABLE users ALTER org_id DROP NOT NULL", "column users: org_id is text, nullable"),
            (
                "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_org_id_fkey; DROP INDEX audit_logs_org_id_idx; ALTER TABLE audit_logs ALTER org_id DROP DEFAULT; ALTER TABLE audit_logs ALTER org_id TYPE uuid USING NULL",
                "column audit_logs: org_id is uuid",
            ),
            (
                "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey, ADD CONSTRAINT items_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations NOT VALID",
                "foreign key items: items_org_id_fkey is NOT VALID",
            ),
            (
                "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey",
                "foreign key items: no foreign key onto organizations",
            ),
            (
                "ALTER TABLE users DROP CONSTRAINT users_org_id_email_key, ADD CONSTRAINT users_org_id_email_key UNIQUE (email, org_id)",
                "users_org_id_email_key: (email, org_id) does not begin with org_id",
            ),
            (
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_org_id_email_key'::regclass",
                "users_org_id_email_key: (org_id, email) is INVALID",
            ),
            (
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audit_logs_org_id_idx'::regclass",
                "audit_logs.audit_logs_org_id_idx: it is INVALID",
            ),
            (
                "ALTER TABLE users DROP CONSTRAINT users_org_id_email_key",
                "users(email): nothing keeps it unique",
            ),
            (
                "ALTER TABLE users DISABLE TRIGGER ALL; INSERT INTO users (email, name, org_id) VALUES ('x', 'x', 'ghost')",
                "rows users: 1 rows: 0 without an organization, 1 of an unknown one",
            ),
            (
                "DROP TRIGGER inventory_ledger_balance_delete ON inventory_ledger",
                "trigger inventory_ledger_balance_delete: it is not there",
            ),
            (
                "ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert",
                "trigger inventory_ledger_balance_insert: it is not as it should be",
            ),
            (
                "CREATE OR REPLACE FUNCTION stockfoil.balance_on_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
                "function balance_on_update: it is not as it should be",
            ),
            ("DROP TABLE inventory_balances CASCADE", "table inventory_balances: it is not there"),
            (
                "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY stockfoil_isolation ON users USING (true)",
                "Stockfoil's policy is enabled and forced on 0 of 8",
            ),
            (
                "ALTER TABLE inventory_ledger DISABLE TRIGGER ALL; INSERT INTO items (id, item_number, name) VALUES ('i', 'i', 'i'); INSERT INTO locations (id, site, name) VALUES ('l', 'l', 'l'); INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('i', 'l', 1); ALTER TABLE inventory_ledger ENABLE TRIGGER ALL; DELETE FROM stockfoil.backfill",
                "not yet: default",
            ),
            (
                "DELETE FROM stockfoil.migration WHERE version = 20260101000100",
                "1 pending, changed or unknown",
            ),
        ] {
            let db = TestDb::migrated().await;
            db.execute(damage).await;
            db.run("validate-migration").await.status(1).says(found).says("mend it with");
        }
    }

    #[tokio::test]
    async fn row_level_security_of_the_applications_own_is_no_isolation_that_is_amiss() {
        let db = TestDb::inventory().await;
        db.execute("ALTER TABLE items ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON items USING (true)")
            .await;
        db.run("migrate-all").await.ok().says("0 failed");
        db.run("validate-migration")
            .await
            .ok()
            .says("row-level security of the application's own is enabled on 1 of 8 tenant tables");
        db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
        // Whether it keeps organizations apart is asked by name.
        db.run("validate-migration").arg("--isolation").await.status(1);
    }

    #[tokio::test]
    async fn before_any_migration_everything_is_said_to_be_missing() {
        let db = TestDb::inventory().await;
        let run = db.run("validate-migration").await.status(1).says("there is no column org_id");
        run.says(&format!("{} pending", versioned::count()));
    }
}

/// What keeps every command that connects from its work, each with one sentence.
mod refusals {
    use super::*;

    const CONNECTING: [&str; 5] =
        ["db-migrate", "migrate-org", "migrate-balance", "migrate-all", "validate-migration"];

    #[tokio::test]
    async fn no_database() {
        for command in CONNECTING {
            Binary::new(command).await.refuses(2, "no database is configured; set DATABASE_URL");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_not_there() {
        let cluster = Cluster::shared();
        Binary::new("migrate-org")
            .env("DATABASE_URL", cluster.url("nowhere"))
            .await
            .refuses(3, "database \"nowhere\" does not exist");
        Binary::new("migrate-org")
            .env("DATABASE_URL", "postgres://me:s3cret@127.0.0.1:1/x")
            .await
            .refuses(3, "can't connect to database \"x\" at 127.0.0.1:1");
    }

    #[tokio::test]
    async fn a_wrong_password_is_never_printed() {
        let db = TestDb::inventory().await;
        db.execute(
            "DO $$ BEGIN CREATE ROLE stockfoil_password; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
             DROP ROLE IF EXISTS with_password; CREATE ROLE with_password LOGIN PASSWORD 'right' IN ROLE stockfoil_password",
        )
        .await;
        let url = db.cluster().url_as("with_password:s3cret", db.name());
        let run = Binary::new("validate-migration").env("DATABASE_URL", url).env("RUST_LOG", "trace").await;
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
        run.refuses(3, "password authentication failed").tells("check the role's password");
        let url = db.cluster().url_as("with_password:right", db.name());
        Binary::new("db-migrate").arg("--status").env("DATABASE_URL", url).await.status(1);
    }

    #[tokio::test]
    async fn a_malformed_url_is_never_printed() {
        for url in ["postgres://u:s3cret@host:x/db", "mysql://u:s3cret@host/db"] {
            let run = Binary::new("migrate-org").env("DATABASE_URL", url).await;
            assert!(!run.stderr.contains("s3cret"));
            run.refuses(2, "DATABASE_URL is not a PostgreSQL URL");
        }
    }

    #[tokio::test]
    async fn an_unknown_flag_names_the_nearest() {
        let db = TestDb::inventory().await;
        db.run("migrate-org").arg("--dryrun").await.refuses(2, "did you mean --dry-run?");
        db.run("migrate-org").arg("extra").await.refuses(2, "unexpected argument");
        db.run("validate-migration")
            .args(["--format", "xml"])
            .await
            .refuses(2, "human, json, prometheus or nagios");
    }

    #[tokio::test]
    async fn a_format_that_a_command_does_not_have_is_refused_before_its_work() {
        let db = TestDb::inventory().await;
        let before = schema(&db);
        for command in ["db-migrate", "migrate-org", "migrate-balance", "migrate-all"] {
            db.run(command).args(["--format", "prometheus"]).await.refuses(2, "has no prometheus format");
        }
        assert_eq!(schema(&db), before);
        let db = TestDb::migrated().await;
        for (command, args) in [
            ("backfill-balances", &[][..]),
            ("org-create", &["--name", "Acme"]),
            ("users-assign", &["--org-id", "default", "--all"]),
        ] {
            let run = db.run(command).args(args.iter().copied()).args(["--format", "prometheus"]).await;
            run.refuses(2, "has no prometheus format");
        }
        assert_eq!(db.value("SELECT count(*) FROM organizations").await, "1");
        assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "0");
    }

    #[tokio::test]
    async fn a_database_without_the_inventory() {
        let db = TestDb::empty().await;
        for command in ["migrate-org", "migrate-balance", "validate-migration"] {
            db.run(command).await.refuses(3, "has no table users; run db-migrate");
        }
        let db = TestDb::inventory().await;
        db.execute("ALTER TABLE inventory_ledger RENAME COLUMN qty_canonical TO quantity").await;
        db.run("migrate-org").await.refuses(3, "inventory_ledger has no column qty_canonical");
    }

    #[tokio::test]
    async fn a_server_that_is_too_old() {
        let db = TestDb::inventory().await;
        // The oldest server that can be had here is not too old, so this role is told so by a function in front.
        db.execute(
            "CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql AS
                 $$ SELECT CASE $1 WHEN 'server_version_num' THEN '140011' WHEN 'server_version' THEN '14.11' ELSE pg_catalog.current_setting($1) END $$;
             DROP ROLE IF EXISTS of_old; CREATE ROLE of_old LOGIN; ALTER ROLE of_old SET search_path = public, pg_catalog",
        )
        .await;
        let url = db.cluster().url_as("of_old", db.name());
        Binary::new("migrate-org")
            .env("DATABASE_URL", url)
            .await
            .refuses(3, "PostgreSQL 14.11; Stockfoil needs 15 or newer");
    }

    #[tokio::test]
    async fn a_standby_is_read_but_not_written() {
        let cluster = Cluster::shared();
        let db = TestDb::migrated().await;
        let standby = cluster.standby();
        let url = standby.url(db.name());
        for command in ["db-migrate", "migrate-org", "migrate-balance", "migrate-all"] {
            Binary::new(command)
                .env("DATABASE_URL", url.clone())
                .await
                .refuses(3, "is read-only (a standby?)");
        }
        Binary::new("validate-migration").env("DATABASE_URL", url).await.ok();
    }

    #[tokio::test]
    async fn a_role_without_rights_changes_nothing() {
        let db = TestDb::inventory().await;
        db.execute("DROP ROLE IF EXISTS reader_only; CREATE ROLE reader_only LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_only").await;
        let before = schema(&db);
        let url = db.cluster().url_as("reader_only", db.name());
        Binary::new("migrate-org")
            .env("DATABASE_URL", url)
            .await
            .refuses(3, "users belongs to postgres, and only its owner can change it");
        assert_eq!(schema(&db), before);
    }

    #[tokio::test]
    async fn help_and_version_need_nothing() {
        for command in CONNECTING {
            Binary::new(command).arg("--help").await.ok().says("--format");
            Binary::new(command).arg("--version").await.ok().says(command);
        }
    }

    #[tokio::test]
    async fn an_interrupt_ends_with_130_and_says_how_to_go_on() {
        let db = TestDb::inventory().await;
        let mut blocker = db.connect().await;
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM users").execute(&mut blocker).await.unwrap();
        let mut child = db.run("migrate-org").spawn();
        let (mut stderr, mut said) = until_it_waits(&mut child).await;
        signal(&child, Signal::INT);
        let status = child.wait().await.unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(said.contains("run the same command again to go on"), "{said}");
        assert_eq!(db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migrate-org%' AND datname = current_database()").await, "0");
        sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
        db.run("migrate-org").await.ok();
    }
}
