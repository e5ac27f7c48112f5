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
        let db = TestDb::inventory().await;
        seed(&db).await;
        db.execute(make).await;
        let before = schema(&db);
        let run = db.run("migrate-all").arg("--contract").rehearsing().await;
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(matches!(run.status, 1 | 3) && said.contains("notes"), "{kind}: {} {said}", run.status);
        same_schema(&db, &before);
        db.execute(drop).await;
        there_and_back(&db).await;
    }
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
