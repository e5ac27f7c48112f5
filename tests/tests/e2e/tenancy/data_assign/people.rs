//! People and rows that refer to each other move together, also where foreign keys hold the organization.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use testkit::TestDb;

use super::{
    super::{TABLES, assert_exact, two_organizations},
    assign, tables,
    traffic::{LOCK_IS_FREE, wait_for},
};

/// What belongs together without people: rows of three sites, each with people of its own, who made and counted them.
async fn sites() -> TestDb {
    let db = two_organizations().await;
    db.execute(
        "ALTER TABLE inventory_ledger DROP CONSTRAINT inventory_ledger_created_by_fkey,
             ADD CONSTRAINT inventory_ledger_created_by_fkey FOREIGN KEY (created_by) REFERENCES users ON UPDATE CASCADE;
         ALTER TABLE users ADD boss text REFERENCES users ON UPDATE CASCADE, ADD home text REFERENCES locations;
         ALTER TABLE locations ADD keeper text REFERENCES users ON UPDATE CASCADE;
         CREATE TABLE site AS SELECT unnest(ARRAY['north', 'south', 'east']) AS s;
         INSERT INTO users (id, email, name) SELECT s || '-u' || n, n || '@' || s || '.example', s FROM site, generate_series(1, 2) AS n;
         INSERT INTO items (id, item_number, name) SELECT s || '-i' || n, s || '-' || n, s FROM site, generate_series(1, 5) AS n;
         INSERT INTO locations (id, site, name) SELECT s || '-l' || n, s, 'bin ' || n FROM site, generate_series(1, 3) AS n;
         UPDATE users SET boss = name || '-u1', home = name || '-l1' WHERE id LIKE '%u2'; UPDATE locations SET keeper = site || '-u1' WHERE id LIKE '%l2';
         INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical, created_by)
         SELECT s || '-e' || n, s || '-i' || 1 + n % 5, s || '-l' || 1 + n % 3, CASE WHEN n % 4 = 0 THEN 'L' || n % 3 END, n * 0.25 - 20, s || '-u' || 1 + n % 2
         FROM site, generate_series(1, 120) AS n;
         INSERT INTO count_sheets (id, count_number, location_id, counted_by) SELECT s || '-s' || n, s || n, s || '-l' || n, s || '-u2' FROM site, generate_series(1, 3) AS n;
         INSERT INTO count_lines (id, count_sheet_id, item_id, qty_counted) SELECT s || '-c' || n, s || '-s' || 1 + n % 3, s || '-i' || 1 + n % 5, n FROM site, generate_series(1, 9) AS n;
         INSERT INTO audit_logs (id, user_id, action, entity) SELECT s || '-a' || n, s || '-u1', 'x', 'items' FROM site, generate_series(1, 4) AS n;
         DROP TABLE site",
    )
    .await;
    db
}

/// How many rows a site has.
const NORTH: u64 = 2 + 5 + 3 + 120 + 3 + 9 + 4;

/// The application's triggers, which want to know whose row they are about: at once, and at the end of the transaction.
async fn guard_by_setting(db: &TestDb) {
    db.execute(
        "CREATE FUNCTION same_org() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF current_setting('app.org_id') IS DISTINCT FROM coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'org_id' THEN
                 RAISE EXCEPTION '% of % is not of %', TG_OP, TG_TABLE_NAME, current_setting('app.org_id');
             END IF;
             IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
             RETURN NEW;
         END $$",
    )
    .await;
    for table in TABLES {
        db.execute(format!(
            "CREATE TRIGGER same_org BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION same_org();
             CREATE CONSTRAINT TRIGGER same_org_at_last AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION same_org()"
        ))
        .await;
    }
}

/// Every row of the tenant tables, and the balances that are not zero.
async fn all(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.extend(db.rows(format!("SELECT '{table}', t::text FROM {table} AS t ORDER BY t.id")).await);
    }
    rows.extend(db.rows("SELECT org_id, item_id, location_id, lot_key, trim_scale(qty_canonical) FROM inventory_balances WHERE qty_canonical <> 0 ORDER BY 1, 2, 3, 4").await);
    rows
}

/// How many rows are of acme.
async fn given(db: &TestDb) -> String {
    let each = TABLES.map(|table| format!("(SELECT count(*) FROM {table} WHERE org_id = 'acme')"));
    db.value(format!("SELECT {}", each.join(" + "))).await
}

async fn recorded(db: &TestDb, report: &Value) -> String {
    let run = &report["run_id"];
    db.value(format!("SELECT sum(cardinality(keys)) FROM stockfoil.move WHERE run_id = {run}")).await
}

async fn reconciles(db: &TestDb) {
    assert_exact(db).await;
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
}

const SITE: [&str; 4] = ["--org-id", "acme", "--locations", "site = \"north\""];
const PEOPLE: [&str; 3] = ["--with-people", "--rows", "users where email = \"*@north.example\""];
const DOMAIN: [&str; 4] = ["--org-id", "acme", "--email-pattern", "@north.example"];

#[tokio::test]
async fn a_third_of_an_isolated_database_with_its_people_is_given_away_and_taken_back() {
    let db = sites().await;
    db.run("backfill-balances").await.ok();
    db.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    guard_by_setting(&db).await;
    let before = all(&db).await;
    let mentioned = db.run("data-assign").args(SITE).arg("--yes").await;
    mentioned.refuses(3, "which the foreign key").tells("--with-people");
    let referred = db.run("users-assign").args(DOMAIN).await;
    referred.refuses(3, "refer to users of this selection within their organization").tells("--with-rows");

    let args = [&SITE[..], &PEOPLE].concat();
    let plan = assign(&db, 0, &[&args[..], &["--dry-run"]].concat()).await;
    assert_eq!((&plan["rows"], &plan["applied"]), (&json!(NORTH), &json!(false)));
    assert_eq!(all(&db).await, before);
    let report = assign(&db, 0, &[&args[..], &["--batch-rows", "7"]].concat()).await;
    assert_eq!((&report["rows"], &report["left"]), (&json!(NORTH), &json!(0)));
    assert_eq!(tables(&report)[0], ("users", 2, 0));
    assert_eq!((given(&db).await, recorded(&db, &report).await), (NORTH.to_string(), NORTH.to_string()));
    reconciles(&db).await;
    db.run("validate-migration").await.ok();
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(all(&db).await, before);
    reconciles(&db).await;

    // The same from the people's side.
    let with_rows = db.run("users-assign").args(DOMAIN).args(["--with-rows", "--yes", "--format", "json"]);
    let report = with_rows.await.ok().json();
    assert_eq!((&report["rows"], given(&db).await), (&json!(NORTH), NORTH.to_string()));
    reconciles(&db).await;
    let again = db.run("users-assign").args(DOMAIN).args(["--with-rows", "--yes"]).await;
    again.ok().says("nothing to move");
    db.run("data-assign").args(["--undo", &report["run_id"].to_string(), "--yes"]).await.ok();
    assert_eq!(all(&db).await, before);

    // People whom both sides mention stay, or each side gets its own.
    let report = assign(&db, 1, &[&SITE[..], &["--with-people"]].concat()).await;
    let staying = report["shared"].as_array().unwrap().iter().filter(|row| row["staying"] != 0);
    let staying: Vec<&str> = staying.map(|row| row["used_by"].as_str().unwrap()).collect();
    assert_eq!(staying, ["audit_logs"], "{report}");
    assert_eq!(all(&db).await, before);
    let report = assign(&db, 0, &[&SITE[..], &["--with-people", "--copy-shared", "users"]].concat()).await;
    assert_eq!(report["shared"], json!([]));
    assert!(tables(&report).iter().any(|(table, _, copies)| (*table, *copies) == ("users", 1)), "{report}");
    reconciles(&db).await;
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(all(&db).await, before);
    reconciles(&db).await;
}

#[tokio::test]
async fn people_and_their_rows_move_in_batches_where_nothing_holds_the_organization() {
    let db = sites().await;
    guard_by_setting(&db).await;
    let before = all(&db).await;
    let args = [&SITE[..], &PEOPLE, &["--batch-rows", "7"]].concat();
    let report = assign(&db, 0, &args).await;
    assert_eq!((&report["rows"], given(&db).await), (&json!(NORTH), NORTH.to_string()));
    assert_eq!(recorded(&db, &report).await, NORTH.to_string());
    assert_exact(&db).await;
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(all(&db).await, before);

    // Killed when the people have moved and an entry of theirs is held, it is gone on with.
    db.execute("ALTER TABLE users ALTER org_id DROP NOT NULL; SET session_replication_role = replica; INSERT INTO users (id, email, name, org_id) VALUES ('alone', 'a@x.example', 'A', NULL); RESET session_replication_role").await;
    let everybody = ["--org-id", "acme", "--all", "--with-rows", "--yes", "--format", "json"];
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("SELECT FROM inventory_ledger WHERE id = 'north-e1' FOR UPDATE").await.unwrap();
    let mut child = db.run("users-assign").args(everybody).spawn();
    wait_for(&db, "SELECT count(*) = 6 FROM users WHERE org_id = 'acme'").await;
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    transaction.rollback().await.unwrap();
    wait_for(&db, LOCK_IS_FREE).await;
    assert_ne!(given(&db).await, (3 * NORTH).to_string());
    let run = db.run("users-assign").args(everybody).await.ok();
    let run = run.tells("1 of the selected users are no organization's, and stay so: a@x.example (of no organization); --all without --from and --with-rows takes them");
    let report = run.json();
    assert_eq!((&report["resumed"], given(&db).await), (&json!(true), (3 * NORTH).to_string()));
    assert_eq!(recorded(&db, &report).await, (3 * NORTH).to_string());
    db.run("users-assign").args(&everybody[..5]).await.ok().says("nothing to move");
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    db.execute("SET session_replication_role = replica; DELETE FROM users WHERE id = 'alone'; RESET session_replication_role").await;
    assert_eq!(all(&db).await, before);
    for (args, told) in [
        (&["--from", "globex", "--user-id", "north-u1"][..], "organization globex has no user \"north-u1\""),
        (&["--from", "globex", "--from", "default", "--all"], "takes users from one organization"),
    ] {
        let run = db.run("users-assign").args(["--org-id", "acme", "--with-rows"]).args(args.iter().copied());
        run.await.refuses(2, told);
    }
}

#[tokio::test]
async fn a_column_called_t_hides_no_row_that_is_taken_along() {
    let db = sites().await;
    db.execute(
        "CREATE TABLE notes (t text, v int, org_id text); INSERT INTO notes VALUES ('x', 1, 'default'), ('x', 2, 'globex');
         CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN UPDATE notes SET org_id = CASE org_id WHEN $$globex$$ THEN $$default$$ ELSE $$globex$$ END; RETURN NULL; END';
         CREATE TRIGGER swap AFTER UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION swap()",
    )
    .await;
    let before = all(&db).await;
    let args =
        ["--org-id", "acme", "--rows", "items where id = \"north-i1\"", "--locations", "site = \"north\""];
    let items = ["--items", "item_number = \"north-*\"", "--yes"];
    let run = db.run("data-assign").args(args).args(items).await;
    run.refuses(3, "moving rows of items changed whose other rows of notes are");
    assert_eq!(db.value("SELECT string_agg(org_id, ' ' ORDER BY v) FROM notes").await, "default globex");
    let items = "SELECT count(*) FROM items WHERE org_id <> 'default'";
    assert_eq!(db.value(items).await, "0");
    assert_eq!(all(&db).await.len(), before.len());
}
