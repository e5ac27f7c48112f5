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
