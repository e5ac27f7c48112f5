//! What applications have put into and onto their tables, before the migration and after it: it works there and back, or is refused
//! by name before the first change.

use super::*;

/// Migrates, validates and goes back, each rehearsed; the schema is what it was.
async fn there_and_back(db: &TestDb) {
    let before = schema(db);
    db.run("migrate-all").arg("--contract").rehearsing().await.ok();
    db.run("validate-migration").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(db, &before);
}

#[tokio::test]
async fn row_types_inside_other_types_are_refused_before_the_first_change() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    for (kind, make, drop) in [
        (
            "a composite",
            "CREATE TYPE wrapped AS (u users, n int); CREATE TABLE notes (id int, w wrapped); INSERT INTO notes SELECT 1, ROW(u, 1)::wrapped FROM users u LIMIT 1",
            "DROP TABLE notes; DROP TYPE wrapped",
        ),
        (
            "an array",
            "CREATE TABLE notes (id int, w users[]); INSERT INTO notes SELECT 1, array_agg(u) FROM users u",
            "DROP TABLE notes",
        ),
        (
            "a domain",
            "CREATE DOMAIN person AS users; CREATE TABLE notes (id int, w person); INSERT INTO notes SELECT 1, u::person FROM users u LIMIT 1",
            "DROP TABLE notes; DROP DOMAIN person",
        ),
        (
            "a domain over an array in a composite",
            "CREATE DOMAIN people AS users[]; CREATE TYPE wrapped AS (w people); CREATE TABLE notes (id int, w wrapped)",
            "DROP TABLE notes; DROP TYPE wrapped; DROP DOMAIN people",
        ),
    ] {
        db.execute(make).await;
        let before = schema(&db);
        let run = db.run("migrate-all").arg("--contract").rehearsing().await;
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(matches!(run.status, 1 | 3) && said.contains("notes"), "{kind}: {} {said}", run.status);
        same_schema(&db, &before);
        db.execute(drop).await;
    }
    there_and_back(&db).await;
}

#[tokio::test]
async fn names_that_would_be_ours_are_the_applications() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE items ADD COLUMN color text, ADD CONSTRAINT items_org_id_fkey CHECK (color <> 'x');
         CREATE INDEX items_org_id_item_number_key ON items (color);
         CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER stockfoil_balance_insert AFTER INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION nothing()",
    )
    .await;
    let before = schema(&db);
    // The name of a constraint is fixed: it is refused, and nothing of the application's is dropped for it.
    db.run("migrate-all")
        .arg("--contract")
        .rehearsing()
        .await
        .status(1)
        .says("constraint \"items_org_id_fkey\"");
    same_schema(&db, &before);
    db.execute("ALTER TABLE items RENAME CONSTRAINT items_org_id_fkey TO no_x").await;
    there_and_back(&db).await;
}

#[tokio::test]
async fn an_empty_search_path_and_quoted_identifiers_are_no_obstacle() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(format!(
        "ALTER DATABASE {0} SET search_path = ''; ALTER DATABASE {0} SET quote_all_identifiers = on",
        db.name()
    ))
    .await;
    there_and_back(&db).await;
}

#[tokio::test]
async fn a_table_of_an_extension_is_refused_by_name() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute("ALTER EXTENSION plpgsql ADD TABLE feature_flags").await;
    let before = schema(&db);
    let told = "feature_flags belongs to the extension plpgsql";
    for rehearses in [true, false] {
        let run = db.run("migrate-all").arg("--contract");
        if rehearses { run.rehearsing().await } else { run.await }.refuses(3, told);
    }
    same_schema(&db, &before);
    db.execute("ALTER EXTENSION plpgsql DROP TABLE feature_flags").await;
    there_and_back(&db).await;
}

#[tokio::test]
async fn policies_defaults_and_keys_that_came_since_are_named_before_a_way_back() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    let migrated = schema(&db);
    for (what, make, undo) in [
        (
            "own_rows",
            "CREATE POLICY own_rows ON items USING (org_id = current_setting('app.org_id', true))",
            "DROP POLICY own_rows ON items",
        ),
        (
            "shelves",
            "CREATE TABLE shelves (org_id text, item_number text, FOREIGN KEY (org_id, item_number) REFERENCES items (org_id, item_number))",
            "DROP TABLE shelves",
        ),
        (
            "same_org",
            "ALTER TABLE items ADD CONSTRAINT both_i UNIQUE (org_id, id);
             ALTER TABLE inventory_ledger ADD CONSTRAINT same_org FOREIGN KEY (org_id, item_id) REFERENCES items (org_id, id)",
            "ALTER TABLE inventory_ledger DROP CONSTRAINT same_org; ALTER TABLE items DROP CONSTRAINT both_i",
        ),
        (
            "at_home",
            "ALTER TABLE inventory_ledger ADD CONSTRAINT both_l UNIQUE (org_id, id);
             ALTER TABLE items ADD COLUMN came text, ADD CONSTRAINT at_home FOREIGN KEY (org_id, came) REFERENCES inventory_ledger (org_id, id)",
            "ALTER TABLE items DROP COLUMN came; ALTER TABLE inventory_ledger DROP CONSTRAINT both_l",
        ),
        (
            "label",
            "ALTER TABLE items ADD COLUMN label text GENERATED ALWAYS AS (org_id || item_number) STORED",
            "ALTER TABLE items DROP COLUMN label",
        ),
        (
            "about",
            "CREATE MATERIALIZED VIEW about AS SELECT org_id FROM items",
            "DROP MATERIALIZED VIEW about",
        ),
    ] {
        db.execute(make).await;
        let changed = schema(&db);
        let ready = db.run("validate-migration").args(["--rollback-ready", "--format", "json"]).await;
        assert_eq!(ready.status, 1, "{what}: {}", ready.stdout);
        let ready = ready.json();
        assert!(ready["checks"].to_string().contains(what), "{what}: {ready}");
        db.run("migrate-all").args(["--rollback", "--yes"]).await.refuses(3, what);
        same_schema(&db, &changed);
        db.execute(undo).await;
    }
    same_schema(&db, &migrated);
    // A default is no obstacle: it goes with its column.
    db.execute("ALTER TABLE items ALTER COLUMN org_id SET DEFAULT 'another'").await;
    db.run("validate-migration").arg("--rollback-ready").await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn an_inventory_in_a_schema_that_nobody_named_is_no_empty_database() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "CREATE SCHEMA shop; DO $$ DECLARE t text; BEGIN
             FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('ALTER TABLE %I SET SCHEMA shop', t); END LOOP;
         END $$",
    )
    .await;
    let before = schema(&db);
    let told = "shop.inventory_ledger";
    db.run("db-migrate").await.refuses(3, told);
    db.run("migrate-all").args(["--contract", "--dry-run"]).await.status(3).tells(told);
    for rehearses in [true, false] {
        let run = db.run("migrate-all").arg("--contract");
        if rehearses { run.rehearsing().await } else { run.await }.refuses(3, told);
    }
    same_schema(&db, &before);
}

#[tokio::test]
async fn casts_to_text_that_the_database_has_itself_make_no_statement_ambiguous() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    let mut casts = String::new();
    for kind in ["smallint", "integer", "bigint", "oid", "numeric", "date", "timestamptz"] {
        casts.push_str(&format!("CREATE CAST ({kind} AS text) WITH INOUT AS IMPLICIT;"));
    }
    casts.push_str(
        "CREATE FUNCTION textint(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT textcat($1, $2::text)';
         CREATE FUNCTION inttext(int, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT textcat($1::text, $2)';
         CREATE OPERATOR || (PROCEDURE = textint, LEFTARG = text, RIGHTARG = int);
         CREATE OPERATOR || (PROCEDURE = inttext, LEFTARG = int, RIGHTARG = text)",
    );
    db.execute(casts).await;
    there_and_back(&db).await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("backfill-balances").await.ok();
    db.run("org-create").args(["--id", "acme", "--name", "Acme", "--subdomain", "acme"]).await.ok();
    db.run("org-list").arg("--usage").await.ok();
    db.run("reconcile-balances").await.ok();
    db.run("validate-migration").arg("--rollback-ready").await;
    db.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    db.run("validate-migration").arg("--isolation").await.ok();
    db.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
}

#[tokio::test]
async fn event_triggers_that_keep_new_tables_from_their_owner_or_refuse_one() {
    let db = TestDb::inventory().await;
    let owner = format!("owner_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {owner} LOGIN; GRANT CREATE ON DATABASE {} TO {owner}; GRANT ALL ON SCHEMA public TO {owner};
         DO $$ DECLARE t text; BEGIN
             FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('ALTER TABLE %I OWNER TO {owner}', t); END LOOP;
         END $$;
         CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ DECLARE made record; BEGIN
             FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
                 EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', made.object_identity);
                 EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', made.object_identity);
             END LOOP;
         END $$;
         CREATE EVENT TRIGGER guard ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION guard()",
        db.name()
    ))
    .await;
    let url = db.cluster().url_as(&owner, db.name());
    let run = |command: &str| db.run(command).env("DATABASE_URL", &url);
    let before = schema(&db);
    // The rehearsal names it; who goes on in spite of that comes back.
    run("migrate-all").arg("--contract").rehearsing().await.status(1).says("row-level security");
    same_schema(&db, &before);
    run("migrate-all").arg("--contract").await.status(3).tells("row-level security");
    run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
    // A first version that fails leaves what a way back takes.
    db.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF to_regclass('stockfoil.change') IS NOT NULL THEN RAISE 'not on my watch'; END IF;
         END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION refuse()",
    )
    .await;
    let before = schema(&db);
    run("migrate-all").arg("--contract").await.refuses(3, "not on my watch");
    run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}
