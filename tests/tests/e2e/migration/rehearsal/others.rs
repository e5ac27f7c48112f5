//! What leads to a tenant table from elsewhere, and what the copy takes from elsewhere.

use super::*;

#[tokio::test]
async fn writes_whose_triggers_lead_to_a_tenant_table_are_tried_too() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE TABLE kept (LIKE items); ALTER TABLE kept ADD at timestamptz;
         CREATE FUNCTION keep_all() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept SELECT i.*, now() FROM items i; END $$;
         CREATE FUNCTION ordered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM keep_all(); RETURN NEW; END $$;
         CREATE TABLE orders (id serial PRIMARY KEY, note text); INSERT INTO orders (note) VALUES ('first');
         CREATE TRIGGER ordered BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION ordered();
         CREATE TABLE wishes (id serial PRIMARY KEY, name text); INSERT INTO wishes (name) VALUES ('a');
         CREATE RULE wished AS ON UPDATE TO wishes DO ALSO INSERT INTO kept SELECT *, now() FROM items;
         CREATE TABLE calm (id serial PRIMARY KEY)",
    )
    .await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let broken = "INSERT has more expressions than target columns";
    one_has(&report["obstacles"], &["INSERT into orders", broken]);
    one_has(&report["obstacles"], &["calling function keep_all()", broken]);
    // The columns of a rule were written down when it was made.
    let obstacles = texts(&report["obstacles"]);
    assert!(!obstacles.iter().any(|text| text.contains("wishes") || text.contains("calm")), "{obstacles:#?}");
}

#[tokio::test]
async fn another_answer_that_is_borne_is_accepted_by_name() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION width() RETURNS bigint LANGUAGE sql AS
             $$ SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 $$",
    )
    .await;
    let rehearse = || db.run("migrate-org").args(["--rehearse", "--format", "json"]);
    let found = ["calling function width()", "gives another result", "--accept answers"];
    one_has(&rehearse().await.status(1).json()["obstacles"], &found);
    one_has(&rehearse().args(["--accept", "answers"]).await.ok().json()["will_fail"], &found[..2]);
    // A command is told the way on that it has.
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute(
        "CREATE FUNCTION depth() RETURNS bigint LANGUAGE sql AS
             $$ SELECT count(*) FROM pg_attribute WHERE attrelid = 'inventory_ledger'::regclass AND attnum > 0 $$",
    )
    .await;
    let report = db.run("migrate-balance").args(["--rehearse", "--format", "json"]).await.status(1).json();
    one_has(&report["obstacles"], &["calling function depth()", found[1], "go on with --no-rehearsal"]);
}

#[tokio::test]
async fn the_servers_own_settings_are_the_copys_too() {
    let cluster = Cluster::start(&["--set", "app.region=north", "--set", "datestyle=german"]);
    let url = cluster.url("postgres");
    Binary::new("db-migrate").env("DATABASE_URL", url.clone()).await.ok();
    let mut psql = cluster.program("psql");
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c"]);
    psql.arg(
        "INSERT INTO items (item_number, name) VALUES ('I-1', '31.12.2026');
         CREATE FUNCTION public.of_region(name text) RETURNS text IMMUTABLE LANGUAGE sql AS
             $$ SELECT current_setting('app.region') || name $$;
         CREATE INDEX ON items (of_region(name));
         CREATE FUNCTION last_day() RETURNS date LANGUAGE sql AS $$ SELECT max(name::date) FROM items $$",
    );
    assert!(psql.status().unwrap().success());
    let run = Binary::new("migrate-org").args(["--rehearse", "--format", "json"]).env("DATABASE_URL", url);
    let report = run.await.ok().json();
    assert_eq!(report["not_rehearsed"], serde_json::json!([]));
    assert_eq!(report["probes"]["not_probed"].as_array().unwrap().len(), 7, "{}", report["probes"]);
}

#[tokio::test]
async fn what_would_stop_the_contraction_is_known_before_the_expansion() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.ok().json();
    let last = report["phases"].as_array().unwrap().last().unwrap();
    assert_eq!(last["name"], "contract", "{report}");
    assert!(!report["warnings"].to_string().contains("--contract, would stop"), "{report}");
    db.execute(
        "CREATE FUNCTION keeps_keys() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_name IS NULL
                        AND object_identity LIKE 'items_item_number_key on %') THEN
                 RAISE EXCEPTION 'ask the data team before a key of items goes';
             END IF;
         END $$;
         CREATE EVENT TRIGGER keeps_keys ON sql_drop EXECUTE FUNCTION keeps_keys()",
    )
    .await;
    for command in ["migrate-org", "migrate-all"] {
        let run = db.run(command).args(["--rehearse", "--format", "json"]).await.ok();
        let warnings = run.json()["warnings"].to_string();
        for part in ["--contract, would stop", "items_item_number_key", "ask the data team"] {
            assert!(warnings.contains(part), "{command}: {part} is not in {warnings}");
        }
    }
    db.run("migrate-org").args(["--contract", "--rehearse"]).await.status(1).says("ask the data team");
}

#[tokio::test]
async fn views_are_written_through_as_each_who_may() {
    let (db, shop) = of_an_application().await;
    let clerk = format!("clerk_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {clerk} LOGIN;
         CREATE VIEW shelf AS SELECT id, item_number, name FROM items;
         GRANT SELECT, INSERT, UPDATE, DELETE ON shelf TO {clerk};
         CREATE VIEW board AS SELECT name FROM locations; GRANT SELECT, UPDATE ON board TO PUBLIC;
         CREATE TABLE kept (LIKE items); GRANT INSERT ON kept TO PUBLIC;
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF current_user = '{clerk}' THEN INSERT INTO kept SELECT OLD.*; END IF;
             RETURN coalesce(NEW, OLD);
         END $$;
         CREATE TRIGGER keep AFTER UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION keep();
         CREATE TABLE places (LIKE locations); GRANT INSERT ON places TO PUBLIC;
         CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN INSERT INTO places SELECT NEW.*; END IF; RETURN NEW; END $$;
         CREATE TRIGGER moved AFTER UPDATE ON locations FOR EACH ROW EXECUTE FUNCTION moved();
         REVOKE ALL ON locations FROM {shop}"
    ))
    .await;
    let before = schema(&db);
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let broken = "INSERT has more expressions than target columns";
    for what in [
        "UPDATE of view shelf",
        "DELETE from view shelf",
        "ON CONFLICT (item_number) DO UPDATE of view shelf",
    ] {
        one_has(&report["obstacles"], &[&format!("{what} as {clerk}"), broken]);
    }
    // What everybody may, some login is tried with.
    one_has(&report["obstacles"], &["UPDATE of name in view board as ", broken]);
    same_schema(&db, &before);
}

#[tokio::test]
async fn what_a_way_back_breaks_is_in_its_way() {
    let (db, _) = of_an_application().await;
    db.run("migrate-org").arg("--contract").await.ok();
    // Names that go are meant to go; a rule of the application's that no longer holds is not.
    db.execute(
        "CREATE FUNCTION whose() RETURNS bigint LANGUAGE sql AS $$ SELECT count(org_id) FROM items $$;
         CREATE FUNCTION named() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NOT to_jsonb(NEW) ? 'org_id' THEN RAISE 'whose is it?'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER named BEFORE UPDATE ON locations FOR EACH ROW EXECUTE FUNCTION named()",
    )
    .await;
    let migrated = schema(&db);
    let rehearse = || db.run("migrate-org").args(["--rollback", "--rehearse", "--format", "json"]);
    let report = rehearse().await.status(1).json();
    one_has(&report["obstacles"], &["UPDATE of locations", "whose is it?"]);
    one_has(&report["will_fail"], &["function whose()", "stop what relies on it first"]);
    same_schema(&db, &migrated);
    db.run("migrate-org").args(["--rollback", "--yes"]).rehearsing().await.status(1).says("whose is it?");
    same_schema(&db, &migrated);
    db.execute("DROP TRIGGER named ON locations; DROP FUNCTION whose()").await;
    rehearse().await.ok();
    db.run("migrate-org").args(["--rollback", "--yes"]).rehearsing().await.ok();
}

#[tokio::test]
async fn lookups_by_an_expression_are_compared() {
    let (db, _) = of_an_application().await;
    db.execute(
        "ALTER TABLE users DROP CONSTRAINT users_email_key; CREATE UNIQUE INDEX one_mail ON users (lower(email));
         CREATE UNIQUE INDEX named ON items (name, lower(item_number)) WHERE is_active",
    )
    .await;
    let report =
        db.run("migrate-org").args(["--contract", "--rehearse", "--format", "json"]).await.ok().json();
    one_has(&report["lookups"], &["one_mail", "\"columns\":\"lower(email)\""]);
    one_has(&report["lookups"], &["named", "\"columns\":\"name, lower(item_number)\""]);
}
