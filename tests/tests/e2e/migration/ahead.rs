//! What is looked for before the first change, what is done with what was there, and the phases.

use super::*;

#[tokio::test]
async fn everything_in_the_way_is_named_at_once() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE notes (email text REFERENCES users (email));
         ALTER TABLE items REPLICA IDENTITY USING INDEX items_item_number_key;
         CREATE TABLE holder (place locations);
         ALTER TABLE audit_logs ADD COLUMN org_id uuid;
         ALTER TABLE count_sheets ADD COLUMN org_id varchar(20);
         CREATE FUNCTION remember(text) RETURNS void LANGUAGE sql AS
             $$ INSERT INTO feature_flags (key) VALUES ($1) ON CONFLICT ( key ) DO NOTHING $$;
         CREATE FUNCTION remember_too() RETURNS void LANGUAGE sql BEGIN ATOMIC
             INSERT INTO count_sheets (count_number, location_id) VALUES ('1', 'l') ON CONFLICT ON CONSTRAINT count_sheets_count_number_key DO NOTHING; END;
         CREATE PUBLICATION outside FOR TABLE count_lines",
    )
    .await;
    let before = schema(&db);
    let run = db
        .run("migrate-org")
        .arg("--contract")
        .await
        .refuses(3, "things stand in the way")
        .tells("users.users_email_key foreign keys refer to it: notes.notes_email_fkey")
        .tells("items.items_item_number_key is its replica identity")
        .tells("holder.place holds rows of locations")
        .tells("audit_logs.org_id has type uuid, not text")
        .tells("count_sheets.org_id has type character varying(20), not text; convert it first (ALTER COLUMN")
        .tells("feature_flags.feature_flags_key_key is the ON CONFLICT target of function")
        .tells("count_sheets.count_sheets_count_number_key is used by function remember_too()")
        .tells("count_lines is published by outside");
    assert_eq!(run.stderr.matches("\n  - ").count(), 8, "{}", run.stderr);
    db.run("migrate-org").arg("--contract").arg("--dry-run").await.status(1).says("in the way: holder.place");
    same_schema(&db, &before);
}

#[tokio::test]
async fn what_only_the_contraction_minds_does_not_stop_the_expansion() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE FUNCTION remember(text) RETURNS void LANGUAGE sql AS
             $$ INSERT INTO public.feature_flags (key) VALUES ($1) ON CONFLICT (key) DO NOTHING $$;
         CREATE PUBLICATION outside FOR TABLE count_lines",
    )
    .await;
    db.run("migrate-org").await.refuses(3, "count_lines is published by outside");
    db.run("migrate-org").args(["--accept", "publications"]).await.ok();
    db.execute("SELECT remember('a')").await;
    db.run("migrate-org")
        .arg("--contract")
        .await
        .refuses(3, "feature_flags.feature_flags_key_key is the ON CONFLICT target");
    db.run("migrate-org").arg("--contract").args(["--accept", "on-conflict"]).await.ok();
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
}

#[tokio::test]
async fn targets_seen_in_pg_stat_statements_are_named() {
    let cluster = Cluster::start(&["--set", "shared_preload_libraries=pg_stat_statements"]);
    let run = |sql: &str| {
        let done = cluster
            .program("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(&std::fs::read_to_string(
        testkit::workspace().join("migrations/20260101000000_default_inventory.up.sql"),
    )
    .unwrap());
    run("CREATE SCHEMA x; CREATE EXTENSION pg_stat_statements SCHEMA x");
    run(
        "INSERT INTO users (email, name) VALUES ('a', 'b') ON CONFLICT (email) DO UPDATE SET name = excluded.name",
    );
    run("SELECT * FROM items");
    // In another order, and by a view.
    run(
        "ALTER TABLE items ADD COLUMN \"Shop\" text, ADD UNIQUE (name, \"Shop\"); CREATE VIEW places AS SELECT * FROM locations",
    );
    run("INSERT INTO items (item_number, name) VALUES ('1', 'b') ON CONFLICT (\"Shop\", name) DO NOTHING");
    run("INSERT INTO places (site, name) VALUES ('1', 'b') ON CONFLICT (name, site) DO NOTHING");
    let command = || Binary::new("migrate-org").env("DATABASE_URL", cluster.url("postgres"));
    command()
        .arg("--contract")
        .await
        .refuses(3, "users.users_email_key is the ON CONFLICT target of 1 statements in pg_stat_statements");
    let refused = command().arg("--contract").await.status(3);
    for key in ["items.items_name_Shop_key", "locations.locations_site_name_key"] {
        let told = format!("{key} is the ON CONFLICT target of 1 statements");
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    }
    command().await.ok().tells("items: 1 statements in pg_stat_statements read or return all columns");
    run("SELECT x.pg_stat_statements_reset()");
    command().arg("--contract").await.ok();
}

#[tokio::test]
async fn too_little_disk_is_said() {
    let db = TestDb::inventory().await;
    db.execute("UPDATE pg_class SET relpages = 2000000000 WHERE relname = 'users_email_key'").await;
    db.run("migrate-org").arg("--contract").await.refuses(3, "the indexes and their log need about");
}

#[tokio::test]
async fn what_is_no_obstacle_is_said_too() {
    let db = TestDb::inventory().await;
    db.execute("CREATE VIEW people AS SELECT * FROM users").await;
    let plan = db.run("migrate-org").arg("--contract").args(["--dry-run", "--verbose"]).await.ok();
    let summary = plan.stdout.lines().next().unwrap();
    assert!(summary.contains(" tables: strongest lock ACCESS EXCLUSIVE, about 0 rows filled, "), "{summary}");
    db.run("migrate-org")
        .arg("--contract")
        .await
        .ok()
        .tells("warning: view people keeps showing users without its organization")
        .tells("cached plan must not change result type")
        .tells("can't be seen, since pg_stat_statements is not installed");
}

#[tokio::test]
async fn what_only_stops_to_work_for_others_is_said() {
    let db = TestDb::inventory().await;
    let [nightly, shop] = ["nightly", "shop"].map(|name| format!("{name}_{}", db.name()));
    db.execute(format!(
        "ALTER TABLE items CLUSTER ON items_item_number_key;
         CREATE ROLE {nightly} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {nightly};
         CREATE ROLE {shop} LOGIN; GRANT SELECT ON users, items TO {shop}"
    ))
    .await;
    let run = db.run("migrate-org").arg("--contract").args(["--dry-run", "--format", "json"]).await.ok();
    let warnings = run.json()["warnings"].to_string();
    assert!(warnings.contains(&format!("GRANT pg_read_all_data TO {nightly}")), "{warnings}");
    assert!(warnings.contains("items is marked to be CLUSTERed on items_item_number_key"), "{warnings}");
    assert!(!warnings.contains(&shop), "{warnings}");
    // The keys stay for now.
    let run = db.run("migrate-org").args(["--dry-run", "--format", "json"]).await.ok();
    assert!(!run.json()["warnings"].to_string().contains("CLUSTER"));
}

#[tokio::test]
async fn the_applications_triggers_find_their_tables_during_a_fill() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE items ADD COLUMN org_id text; CREATE TABLE changes (of text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changes VALUES (NEW.id); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .await;
    db.run("migrate-all").arg("--contract").rehearsing().await.ok();
    assert_eq!(db.value("SELECT count(*) = (SELECT count(*) FROM items) FROM changes").await, "t");
}

#[tokio::test]
async fn the_default_organization_is_counted_and_ended() {
    let db = TestDb::inventory().await;
    db.run("migrate-org").await.ok();
    db.run("migrate-org").arg("--finalize").await.refuses(
        3,
        "migrate-org is not over (build index users_email_idx on users, for lookups by users_email_key",
    );
    // Old keys stand: an application may still name them, and another organization is warned of.
    db.execute("INSERT INTO users (email, name) VALUES ('a', 'b') ON CONFLICT (email) DO NOTHING").await;
    db.run("org-create").args(["--name", "Acme", "--id", "acme"]).await.ok().tells("warning");
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute(
        "INSERT INTO users (email, name) VALUES ('b', 'b'), ('c', 'c');
         INSERT INTO users (email, name, org_id) VALUES ('a', 'b', 'acme');
         BEGIN; SET LOCAL app.org_id = 'acme'; INSERT INTO users (email, name) VALUES ('b', 'b'); COMMIT",
    )
    .await;
    assert_eq!(
        db.value("SELECT string_agg(email, '' ORDER BY email) FROM users WHERE org_id = 'acme'").await,
        "ab"
    );
    // Who asks for the last number gets that of the row, not that of the count.
    let mut session = db.connect().await;
    sqlx::raw_sql("CREATE TEMP SEQUENCE numbers").execute(&mut session).await.unwrap();
    sqlx::raw_sql(
        "SELECT setval('numbers', 41), nextval('numbers'); INSERT INTO users (email, name) VALUES ('n', 'n')",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let last: i64 = sqlx::query_scalar("SELECT lastval()").fetch_one(&mut session).await.unwrap();
    assert_eq!(last, 42);
    db.execute("DELETE FROM users WHERE email = 'n'").await;
    // An application's role needs no right on Stockfoil's schema.
    db.execute(
        "DROP ROLE IF EXISTS writer_only; CREATE ROLE writer_only; GRANT INSERT, SELECT ON users TO writer_only;
         SET ROLE writer_only; INSERT INTO users (email, name) VALUES ('d', 'd')",
    )
    .await;
    db.run("migrate-org")
        .arg("--finalize")
        .await
        .refuses(2, "give --yes")
        .tells("users: 5 inserts named no organization since 2");
    let report =
        db.run("migrate-org").args(["--finalize", "--dry-run", "--format", "json"]).await.ok().json();
    assert_eq!(report["default_uses"][0]["inserts"], 5);
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    let refused = sqlx::query("INSERT INTO users (email, name) VALUES ('e', 'e')")
        .execute(&mut db.connect().await)
        .await;
    assert!(refused.unwrap_err().to_string().contains("null value in column \"org_id\""));
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok().says("nothing to do");
    // Ended for good: another run does not bring it back, nor what counted it.
    db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    assert_eq!(db.value("SELECT to_regprocedure('stockfoil.default_org(text)') IS NULL").await, "t");
    assert_eq!(db.value("SELECT count(*) FROM pg_attribute WHERE attname = 'org_id' AND atthasdef AND attrelid = 'users'::regclass").await, "0");
}

#[tokio::test]
async fn a_fill_goes_on_where_it_was_and_takes_late_rows_too() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE no_key (n int); INSERT INTO no_key SELECT generate_series(1, 5000); ALTER TABLE no_key ADD COLUMN org_id text;
         CREATE TABLE two_keys (a int, \"B\" text, PRIMARY KEY (\"B\", a)); INSERT INTO two_keys SELECT g, 'b' || g % 7 FROM generate_series(1, 5000) g;
         ALTER TABLE two_keys ADD COLUMN org_id text; ALTER TABLE two_keys ALTER COLUMN org_id SET DEFAULT 'default'",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let tables = r#"["users", "items", "locations", "inventory_ledger", "no_key", "two_keys"]"#;
    std::fs::write(folder.path().join("stockfoil.toml"), format!("[tenancy]\ntables = {tables}\n")).unwrap();
    // A row that a writer holds is not waited for with others in hand; the fill tries again and stops nobody.
    let mut writer = db.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE two_keys SET a = a WHERE a = 4000").execute(&mut writer).await.unwrap();
    let mut child = db.run("migrate-org").arg("--contract").folder(&folder).spawn();
    while db.value("SELECT to_regclass('stockfoil.fill') IS NOT NULL").await != "t" {}
    while db
        .value("SELECT coalesce(max(rows), 0) > 0 FROM stockfoil.fill WHERE table_name = 'two_keys'")
        .await
        != "t"
    {}
    child.kill().await.unwrap();
    let position = db.value("SELECT position FROM stockfoil.fill WHERE table_name = 'two_keys'").await;
    assert!(position.starts_with("{b"), "{position}");
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    // Behind the position, as an application that writes NULL would.
    db.execute("INSERT INTO two_keys (a, \"B\", org_id) VALUES (0, 'a', NULL)").await;
    db.run("migrate-org").arg("--contract").folder(&folder).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM two_keys WHERE org_id = 'default'").await, "5001");
    assert_eq!(db.value("SELECT count(*) FROM no_key WHERE org_id = 'default'").await, "5000");
}

#[tokio::test]
async fn what_keeps_rows_as_they_are_ends_a_fill_by_name_and_before_the_first_change() {
    let keeps = |body: &str| {
        format!(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
             CREATE TRIGGER keep_rows BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION keep()"
        )
    };
    let cases = [
        (keeps("RETURN OLD;"), "look at trigger keep_rows of "),
        (keeps("RETURN NULL;"), "look at trigger keep_rows of "),
        (
            "CREATE RULE keep_rows AS ON UPDATE TO kept DO INSTEAD NOTHING".to_owned(),
            "cannot perform UPDATE RETURNING on relation",
        ),
        (keeps("RAISE EXCEPTION 'append only';"), "append only"),
    ];
    let tables = r#"["users", "items", "locations", "inventory_ledger", "kept"]"#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), format!("[tenancy]\ntables = {tables}\n")).unwrap();
    for (keep, told) in cases {
        let db = TestDb::inventory().await;
        db.execute(format!(
            "CREATE TABLE kept (id int PRIMARY KEY, org_id text); INSERT INTO kept SELECT generate_series(1, 20); {keep}"
        ))
        .await;
        let rehearsed = db.run("migrate-org").rehearsing().folder(&folder).await.status(1);
        assert!(
            rehearsed.stdout.contains("keep_rows") || rehearsed.stdout.contains(told),
            "{}",
            rehearsed.stdout
        );
        assert_eq!(db.value("SELECT to_regclass('organizations') IS NULL").await, "t", "{told}");
        db.run("migrate-org").folder(&folder).await.refuses(3, told);
        db.execute("DROP RULE IF EXISTS keep_rows ON kept; DROP TRIGGER IF EXISTS keep_rows ON kept").await;
        db.run("migrate-org").folder(&folder).await.ok();
        assert_eq!(db.value("SELECT count(*) FROM kept WHERE org_id = 'default'").await, "20");
    }
}

#[tokio::test]
async fn each_steps_time_is_in_the_run() {
    let db = TestDb::inventory().await;
    let report = db.run("migrate-org").arg("--contract").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["schema"], "stockfoil.migration/2");
    let steps = report["steps"].as_array().unwrap().len();
    assert_eq!(
        db.value("SELECT jsonb_array_length(summary -> 'steps') || ' ' || outcome FROM stockfoil.run WHERE command = 'migrate-org'").await,
        format!("{steps} clean")
    );
}

#[tokio::test]
async fn a_table_that_takes_no_more_columns_is_refused() {
    let db = TestDb::inventory().await;
    db.execute(
        "DO $$ BEGIN FOR i IN 1..1595 LOOP EXECUTE format('ALTER TABLE users ADD c%s int', i); EXECUTE format('ALTER TABLE users DROP c%s', i); END LOOP; END $$",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-org")
        .arg("--contract")
        .await
        .refuses(3, "users has had 1600 columns, those that were dropped counted, and takes no more");
    same_schema(&db, &before);
}

#[tokio::test]
async fn policies_that_would_hide_rows_from_the_migration_are_refused_and_others_are_mentioned() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let owner = format!("owner_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {owner} LOGIN; GRANT CREATE ON DATABASE {} TO {owner}; GRANT ALL ON SCHEMA public TO {owner};
         DO $$ DECLARE t regclass; BEGIN
             FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
             LOOP EXECUTE format('ALTER TABLE %s OWNER TO {owner}', t); END LOOP; END $$;
         ALTER TABLE items ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON items USING (is_active)",
        db.name()
    ))
    .await;
    let url = db.cluster().url_as(&owner, db.name());
    let as_owner =
        |args: &[&str]| db.run("migrate-org").arg("--contract").env("DATABASE_URL", &url).args(args);
    as_owner(&["--dry-run"]).await.ok().says("note: items has row-level security of its own");
    db.execute("ALTER TABLE items FORCE ROW LEVEL SECURITY").await;
    let before = schema(&db);
    as_owner(&[]).await.refuses(3, "items has row-level security that holds for this role");
    same_schema(&db, &before);
    // Who sees every row goes on.
    db.run("migrate-org").arg("--contract").await.ok();
}

#[tokio::test]
async fn odd_settings_roles_and_indexes_are_no_obstacle() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let role = format!("Night \"Shift\" {}", db.name());
    let quoted = role.replace('"', "\"\"");
    db.execute(format!(
        "CREATE ROLE \"{quoted}\" LOGIN SUPERUSER;
         ALTER DATABASE {name} SET quote_all_identifiers = on; ALTER DATABASE {name} SET \"IntervalStyle\" = iso_8601;
         ALTER TABLE items ADD kept_for interval DEFAULT '36 hours';
         CREATE UNIQUE INDEX long_kept ON items (item_number) WHERE kept_for > interval '1 day 2 hours';
         CREATE FUNCTION label(items) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1.item_number || $1.name $$;
         CREATE UNIQUE INDEX labels ON items (label(items))",
        name = db.name()
    ))
    .await;
    let before = schema(&db);
    let url =
        db.url().replacen("postgres@", &format!("{}@", role.replace(' ', "%20").replace('"', "%22")), 1);
    assert_ne!(url, db.url());
    let run = |args: &[&str]| db.run("migrate-org").env("DATABASE_URL", &url).args(args);
    run(&["--contract"]).await.ok();
    run(&["--contract"]).await.ok().says("nothing to do");
    run(&["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}
