//! A migration is played through on a copy first: what fails, fails there, and nothing is touched here.

use super::*;

mod bodies;
mod others;

/// Rows in every table, a login of the application's, and what it does.
const APPLICATION: &str = "
    INSERT INTO feature_flags (key) VALUES ('dark');
    INSERT INTO audit_logs (action, entity, user_id) VALUES ('came', 'users', 'u1');
    INSERT INTO count_sheets (id, count_number, location_id) VALUES ('s1', 'C-1', 'l1');
    INSERT INTO count_lines (count_sheet_id, item_id, qty_counted) VALUES ('s1', 'i1', 1);
    CREATE VIEW active AS SELECT * FROM items WHERE is_active;
    CREATE FUNCTION flags() RETURNS SETOF feature_flags LANGUAGE sql AS $$ SELECT * FROM feature_flags $$;
    CREATE FUNCTION seen(p_item_number text) RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT count(*) FROM items WHERE item_number = p_item_number); END $$";

async fn of_an_application() -> (TestDb, String) {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let shop = format!("shop_{}", db.name());
    db.execute(format!(
        "{APPLICATION}; CREATE ROLE {shop} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {shop}"
    ))
    .await;
    (db, shop)
}

pub(super) fn texts(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_has(list: &serde_json::Value, parts: &[&str]) {
    let list = texts(list);
    let is_it = |text: &&String| parts.iter().all(|part| text.contains(part));
    assert!(list.iter().any(|text| is_it(&text)), "{parts:?} is not in {list:#?}");
}

#[tokio::test]
async fn what_is_fine_goes_there_and_back_and_there_and_nothing_is_touched() {
    let (db, shop) = of_an_application().await;
    let before = schema(&db);
    let written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::text FROM pg_stat_user_tables";
    let rows = db.value(written).await;
    for command in ["migrate-org", "migrate-all"] {
        let run = db.run(command).args(["--contract", "--rehearse", "--format", "json"]).await.ok();
        let report = run.json();
        assert_eq!(report["obstacles"], serde_json::json!([]));
        assert_eq!(report["schema_differences"], serde_json::json!([]));
        assert_eq!(report["not_rehearsed"], serde_json::json!([]));
        let phases: Vec<&str> = report["phases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|phase| phase["name"].as_str().unwrap())
            .collect();
        assert_eq!(phases, ["copy", "try_before", "migrate", "try_after", "rollback", "migrate_again"]);
        assert!(report["steps"].as_array().unwrap().len() > 50);
        // Each of eight tables is written to by two roles in several ways.
        assert!(report["probes"]["tried"].as_u64().unwrap() > 90, "{}", report["probes"]);
        // What the contraction takes is told with who uses it, and what it costs the application is said.
        let will_fail = &report["will_fail"];
        one_has(
            will_fail,
            &[
                "ON CONFLICT (email) DO NOTHING of users as postgres, ",
                &shop,
                "no unique or exclusion constraint",
            ],
        );
        one_has(will_fail, &["COPY without a list of columns into items"]);
        one_has(&report["lookups"], &["users_email_key", "users_email_idx"]);
        assert_eq!(report["probes"]["not_probed"], serde_json::json!([]));
        // No value of a row is told.
        assert!(!run.stdout.contains("@example.com"), "{}", run.stdout);
    }
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.ok().json();
    let will_fail = texts(&report["will_fail"]);
    assert!(will_fail.iter().all(|text| text.contains("COPY without a list")), "{will_fail:#?}");
    same_schema(&db, &before);
    assert_eq!(db.value(written).await, rows);
    db.run("migrate-org")
        .arg("--contract")
        .arg("--rehearse")
        .await
        .ok()
        .says("nothing that was tried stands in its way; nothing was changed");
}

#[tokio::test]
async fn code_of_the_application_that_would_break_is_named_with_its_line() {
    let (db, shop) = of_an_application().await;
    db.execute(format!(
        "CREATE TABLE items_before AS SELECT * FROM items WITH NO DATA; GRANT INSERT ON items_before TO {shop};
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO items_before SELECT OLD.*;
             RETURN NEW;
         END $$;
         CREATE TRIGGER keep AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION keep();
         CREATE FUNCTION listed() RETURNS TABLE (id text, key text, enabled boolean, created_at timestamptz) LANGUAGE sql AS $$ SELECT * FROM feature_flags $$;
         CREATE FUNCTION called(p_key text) RETURNS TABLE (id text, key text, enabled boolean, created_at timestamptz) LANGUAGE plpgsql AS $$
         BEGIN RETURN QUERY SELECT * FROM feature_flags AS f WHERE f.key = p_key; END $$;
         -- Found by no reading of its text, only by running it.
         CREATE FUNCTION put(p_email text) RETURNS void LANGUAGE plpgsql AS $$
         BEGIN EXECUTE 'INSERT INTO users (email, name) VALUES ($1, $1) ON ' || 'CONFLICT (email) DO NOTHING' USING p_email; END $$"
    ))
    .await;
    let before = schema(&db);
    let report = db
        .run("migrate-org")
        .arg("--contract")
        .args(["--rehearse", "--format", "json"])
        .await
        .status(1)
        .json();
    let obstacles = &report["obstacles"];
    one_has(
        obstacles,
        &[
            "UPDATE of items as postgres, ",
            &shop,
            "INSERT has more expressions than target columns",
            "PL/pgSQL function keep() line 3",
        ],
    );
    one_has(obstacles, &["UPDATE of view active"]);
    one_has(obstacles, &["compiling function listed()", "Final statement returns too many columns"]);
    one_has(
        obstacles,
        &["calling function called(text)", "PL/pgSQL function called(text) line 2 at RETURN QUERY"],
    );
    one_has(obstacles, &["calling function put(text)", "no unique or exclusion constraint"]);
    // What can't be tried is named.
    one_has(&report["probes"]["not_probed"], &["calling function keep(): it is a trigger's"]);
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_step_that_the_server_refuses_is_told_with_its_sql_and_the_servers_words() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN IF current_query() LIKE '%CONCURRENTLY%' THEN RAISE EXCEPTION 'no index without a ticket' USING DETAIL = 'see the wiki'; END IF; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION refuse()",
    )
    .await;
    let report = db
        .run("migrate-org")
        .arg("--contract")
        .args(["--rehearse", "--format", "json"])
        .await
        .status(1)
        .json();
    one_has(
        &report["obstacles"],
        &[
            "no index without a ticket",
            "DETAIL: see the wiki",
            "PL/pgSQL function",
            "CREATE UNIQUE INDEX CONCURRENTLY",
        ],
    );
    assert_eq!(db.value("SELECT to_regclass('organizations') IS NULL").await, "t");
}

#[tokio::test]
async fn a_run_is_rehearsed_before_its_first_change() {
    let (db, _) = of_an_application().await;
    let broken = "CREATE TABLE items_before AS SELECT * FROM items WITH NO DATA;
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO items_before SELECT OLD.*; RETURN NEW; END $$;
         CREATE TRIGGER keep AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION keep()";
    db.execute(broken).await;
    let before = schema(&db);
    for command in ["migrate-org", "migrate-all"] {
        let run = db.run(command).rehearsing().args(["--format", "json"]).await.status(1);
        one_has(&run.json()["obstacles"], &["UPDATE of items", "INSERT has more expressions"]);
        assert!(run.stderr.contains("--no-rehearsal goes on in spite of it"), "{}", run.stderr);
        same_schema(&db, &before);
    }
    db.execute("DROP TRIGGER keep ON items").await;
    // What is fine runs, and is not rehearsed again where nothing is left to do.
    let rehearsed = "migrate-all rehearsed on a copy with ";
    let run = db.run("migrate-all").arg("--contract").rehearsing().await.ok().tells(rehearsed);
    run.tells("not tried: calling function keep(): it is a trigger's");
    let again = db.run("migrate-all").arg("--contract").rehearsing().await.ok();
    assert!(!again.stderr.contains("rehearsed"), "{}", again.stderr);
    db.run("migrate-all").rehearsing().args(["--rollback", "--yes"]).await.ok().tells(rehearsed);
    db.run("migrate-org")
        .arg("--contract")
        .args(["--rehearse", "--no-rehearsal"])
        .await
        .refuses(2, "exclude each other");
}

#[tokio::test]
async fn a_sample_holds_what_its_rows_refer_to() {
    let (db, _) = of_an_application().await;
    db.execute(
        "ALTER TABLE items ADD COLUMN part_of text REFERENCES items (id);
         UPDATE items SET part_of = 'i' || substr(id, 2)::int - 1 WHERE id <> 'i1'",
    )
    .await;
    for (sample, least, most) in [("0", 0, 0), ("1", 10, 45), ("1000", 1000, 1100)] {
        let report =
            db.run("migrate-balance").args(["--rehearse", "--sample", sample, "--format", "json"]).await;
        // Its own obstacle is that the organizations are not there yet.
        let report = report.status(1).json();
        one_has(&report["obstacles"], &["has no organizations yet"]);
        let rows = report["rows"].as_u64().unwrap();
        assert!((least..=most).contains(&rows), "{sample}: {rows}");
    }
}

async fn mapped_is_rehearsed(mapped: testkit::Mapped) {
    let db = TestDb::mapped(mapped).await;
    let before = schema(&db);
    let config = mapped.config();
    let run = db
        .run("migrate-all")
        .arg("--contract")
        .args(["--rehearse", "--format", "json", "--config"])
        .arg(config)
        .await
        .ok();
    let report = run.json();
    assert_eq!(report["schema_differences"], serde_json::json!([]));
    assert_eq!(report["phases"].as_array().unwrap().len(), 6);
    same_schema(&db, &before);
}

#[tokio::test]
async fn an_erp_is_rehearsed() {
    mapped_is_rehearsed(testkit::Mapped::Erp).await;
}

#[tokio::test]
async fn a_database_of_prisma_is_rehearsed() {
    mapped_is_rehearsed(testkit::Mapped::Prisma).await;
}

#[tokio::test]
async fn two_schemas_are_rehearsed() {
    mapped_is_rehearsed(testkit::Mapped::TwoSchemas).await;
}

#[tokio::test]
async fn a_warehouse_is_rehearsed() {
    mapped_is_rehearsed(testkit::Mapped::Warehouse).await;
}

#[tokio::test]
async fn what_this_machine_lacks_is_said_with_the_way_on() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stockfoil.toml");
    std::fs::write(&config, format!("[backup]\npg_bin = {:?}\n", folder.path())).unwrap();
    let lacks = "the migration can't be rehearsed here: the server's programs of PostgreSQL";
    let run = || db.run("migrate-org").arg("--contract").rehearsing().arg("--config").arg(&config);
    run().arg("--rehearse").await.refuses(3, lacks);
    // A yes to the plan is none to that.
    run().arg("--yes").await.refuses(2, lacks).tells("give --no-rehearsal to go on without");
    assert_eq!(db.value("SELECT to_regclass('organizations') IS NULL").await, "t");
    run().arg("--no-rehearsal").await.ok();
}

#[tokio::test]
async fn a_migration_that_was_begun_is_rehearsed_from_where_it_is() {
    let (db, _) = of_an_application().await;
    db.run("migrate-org").await.ok();
    let report =
        db.run("migrate-org").arg("--contract").args(["--rehearse", "--format", "json"]).await.ok().json();
    one_has(&report["not_rehearsed"], &["migrated in part already"]);
    db.run("migrate-org").arg("--contract").await.ok();
    for args in [&["--finalize"][..], &["--finalize", "--isolate"], &["--rollback"]] {
        let report =
            db.run("migrate-org").args(["--rehearse", "--format", "json"]).args(args).await.ok().json();
        assert!(
            report["phases"].as_array().unwrap().iter().any(|phase| phase["name"] == "migrate_again"),
            "{args:?}"
        );
        let told = args.contains(&"--finalize");
        let inserts = texts(&report["will_fail"]).iter().any(|text| text.contains("INSERT into users"));
        assert_eq!(inserts, told, "{args:?}: {report}");
    }
}

#[tokio::test]
async fn the_set_up_is_rehearsed_from_an_empty_database_to_its_end() {
    let db = TestDb::empty().await;
    let rehearsed = async |command: &str| {
        let report = db.run(command).args(["--rehearse", "--format", "json"]).await.ok().json();
        assert_eq!(report["obstacles"], serde_json::json!([]), "{command}");
        report
    };
    one_has(&rehearsed("migrate-all").await["not_rehearsed"], &["there is no inventory yet"]);
    db.run("migrate-all")
        .arg("--contract")
        .arg("--rehearse")
        .await
        .ok()
        .says("no step failed, and nothing else was tried");
    db.run("db-migrate").await.ok();
    seed(&db).await;
    assert_eq!(rehearsed("migrate-all").await["not_rehearsed"], serde_json::json!([]));
    db.run("migrate-org").arg("--contract").await.ok();
    one_has(
        &rehearsed("migrate-balance").await["will_fail"],
        &["COPY without a list of columns into inventory_ledger"],
    );
    db.run("migrate-all").arg("--contract").await.ok();
    one_has(&rehearsed("migrate-all").await["not_rehearsed"], &["migrated in part already"]);
    db.run("migrate-org")
        .arg("--contract")
        .args(["--rehearse", "--dry-run"])
        .await
        .refuses(2, "--dry-run and --rehearse exclude each other");
}

#[tokio::test]
async fn triggers_of_a_real_change_run_and_those_that_do_not_are_named() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE TABLE kept (LIKE items); ALTER TABLE kept ADD changed_at timestamptz;
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept SELECT NEW.*, now(); RETURN NEW; END $$;
         CREATE TRIGGER changed AFTER UPDATE ON items FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION keep();
         CREATE TABLE closed (LIKE users); ALTER TABLE closed ADD changed_at timestamptz;
         CREATE FUNCTION close() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO closed SELECT NEW.*, now(); RETURN NEW; END $$;
         CREATE TRIGGER renamed AFTER UPDATE OF id ON users FOR EACH ROW EXECUTE FUNCTION close();
         CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER emptied AFTER TRUNCATE ON audit_logs EXECUTE FUNCTION empty()",
    )
    .await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let broken = "INSERT has more expressions than target columns";
    one_has(&report["obstacles"], &["UPDATE of name in items", broken]);
    one_has(&report["obstacles"], &["UPDATE of id in users", broken]);
    one_has(
        &report["probes"]["not_probed"],
        &["trigger emptied of audit_logs: nothing that was tried made it run"],
    );
}

#[tokio::test]
async fn what_a_role_may_by_columns_and_what_a_function_answers_are_compared() {
    let (db, _) = of_an_application().await;
    let reader = format!("reader_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {reader}; GRANT SELECT (id, email, name, role, created_at) ON users TO {reader};
         CREATE TABLE others (id text, org_id text); INSERT INTO others VALUES ('i1', 'acme');
         CREATE FUNCTION of_acme() RETURNS bigint LANGUAGE sql AS
             $$ SELECT count(*) FROM others AS o WHERE EXISTS (SELECT FROM items WHERE items.id = o.id AND org_id = 'acme') $$;
         CREATE FUNCTION drawn() RETURNS text LANGUAGE sql AS $$ SELECT gen_random_uuid()::text FROM items LIMIT 1 $$"
    ))
    .await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let obstacles = &report["obstacles"];
    one_has(obstacles, &["SELECT * from users", &reader, "permission denied for table users"]);
    one_has(obstacles, &["calling function of_acme()", "gives another result after the migration"]);
    assert_eq!(obstacles.as_array().unwrap().len(), 2, "{obstacles}");
}

#[tokio::test]
async fn rows_without_an_organization_are_taken_along_first() {
    let (db, _) = of_an_application().await;
    db.execute("ALTER TABLE users ADD org_id text").await;
    db.run("migrate-org").args(["--rehearse"]).await.ok();
    db.execute(
        "UPDATE users SET org_id = 'default'; INSERT INTO users (id, email, name) VALUES ('odd', 'nomail', 'x');
         INSERT INTO users (email, name, org_id) SELECT 'm' || g || '@example.com', 'm', 'default' FROM generate_series(1, 3000) AS g;
         ALTER TABLE users ADD CONSTRAINT has_mail CHECK (email LIKE '%@%') NOT VALID",
    )
    .await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    one_has(&report["obstacles"], &["violates check constraint \\\"has_mail\\\""]);
}

#[tokio::test]
async fn what_is_no_fault_of_the_migration_is_no_obstacle() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION items_json() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT jsonb_agg(to_jsonb(i)) FROM items AS i $$;
         CREATE FUNCTION drawn() RETURNS SETOF users LANGUAGE sql AS $$ SELECT * FROM users WHERE random() < 0.5 $$;
         CREATE VIEW half AS SELECT * FROM users WHERE random() < 0.5;
         CREATE PUBLICATION everything FOR ALL TABLES",
    )
    .await;
    let accept = ["--accept", "publications"];
    let report = db
        .run("migrate-all")
        .arg("--contract")
        .args(["--rehearse", "--format", "json"])
        .args(accept)
        .await
        .ok()
        .json();
    one_has(&report["will_fail"], &["items_json()", "bear the organization's column"]);
    db.run("migrate-all")
        .arg("--contract")
        .rehearsing()
        .args(accept)
        .await
        .ok()
        .tells("mean a change to an application");
    // What is half there is mended by the command that it is told to be mended by.
    db.execute(
        "DROP PUBLICATION everything; DROP TRIGGER inventory_ledger_balance_insert ON inventory_ledger",
    )
    .await;
    db.run("validate-migration").await.status(1);
    db.run("migrate-balance").rehearsing().await.ok();
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn isolation_is_taken_back_after_a_rehearsal_of_that() {
    let (db, _) = of_an_application().await;
    let roles =
        format!("[tenancy.isolation]\napp_role = \"app_{0}\"\noperations_role = \"ops_{0}\"\n", db.name());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), roles).unwrap();
    let run = |command: &str| db.run(command).folder(folder.path());
    run("migrate-all").arg("--contract").await.ok();
    run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    run("migrate-org").rehearsing().args(["--rollback", "--isolate", "--yes"]).await.ok();
    run("migrate-all").args(["--rollback", "--yes"]).await.ok();
}

#[tokio::test]
async fn a_rehearsal_that_ends_early_is_told_from_the_migration_with_the_way_on() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION gone() RETURNS boolean LANGUAGE plpgsql AS $$
         BEGIN PERFORM FROM users; RETURN pg_terminate_backend(pg_backend_pid()); END $$",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-org")
        .arg("--contract")
        .rehearsing()
        .await
        .refuses(2, "the rehearsal did not come to its end, which says nothing of the migration itself")
        .tells("give --no-rehearsal to go on without");
    same_schema(&db, &before);
}
