use serde_json::{Value, json};
use testkit::TestDb;

use super::{assert_exact, two_organizations};

mod mapped;
mod people;
mod traffic;

/// Nine locations at three sites, items `A-*` that all of them hold and `N-*` that only the North does, entries with and
/// without lots, count sheets with lines; everything is the default organization's.
async fn inventory() -> TestDb {
    let db = two_organizations().await;
    db.execute(
        "INSERT INTO users (id, email, name) VALUES ('u1', 'a@x.example', 'A');
         INSERT INTO items (id, item_number, name) SELECT 'a' || n, 'A-' || n, 'A ' || n FROM generate_series(1, 10) AS n;
         INSERT INTO items (id, item_number, name) SELECT 'n' || n, 'N-' || n, 'N ' || n FROM generate_series(1, 3) AS n;
         INSERT INTO locations (id, site, name)
         SELECT 'l' || n, (ARRAY['North', 'South', 'East'])[1 + n % 3], 'bin ' || n FROM generate_series(1, 9) AS n;
         INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical, created_by)
         SELECT 'e' || n, 'a' || 1 + n % 10, 'l' || 1 + n % 9, CASE WHEN n % 4 = 0 THEN 'L' || n % 3 END, n * 0.25 - 20, 'u1'
         FROM generate_series(1, 360) AS n;
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical)
         SELECT 'x' || n, 'n' || 1 + n % 3, 'l3', 1 FROM generate_series(1, 12) AS n;
         INSERT INTO count_sheets (id, count_number, location_id, counted_by)
         SELECT 's' || n, 'C' || n, 'l' || 1 + n % 9, 'u1' FROM generate_series(1, 18) AS n;
         INSERT INTO count_lines (id, count_sheet_id, item_id, qty_counted)
         SELECT 'c' || n, 's' || 1 + n % 18, 'a' || 1 + n % 10, n FROM generate_series(1, 90) AS n",
    )
    .await;
    db
}

const NORTH: [&str; 4] = ["--org-id", "acme", "--locations", "site = \"North\""];

async fn assign(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("data-assign").args(["--yes", "--format", "json"]).args(args).await.status(status).json()
}

/// The rows and copies of each table in a report.
fn tables(report: &Value) -> Vec<(&str, u64, u64)> {
    let rows = report["tables"].as_array().unwrap().iter();
    rows.map(|row| {
        (row["table"].as_str().unwrap(), row["rows"].as_u64().unwrap(), row["copies"].as_u64().unwrap())
    })
    .collect()
}

/// Every row of the tenant tables but for what is never the same twice, and the balances that are not zero.
async fn everything(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in ["users", "items", "locations", "inventory_ledger", "count_sheets", "count_lines"] {
        rows.extend(db.rows(format!("SELECT '{table}', t::text FROM {table} AS t ORDER BY t.id")).await);
    }
    rows.extend(db.rows("SELECT 'balances', org_id, item_id, location_id, lot_key, trim_scale(qty_canonical) FROM inventory_balances WHERE qty_canonical <> 0 ORDER BY 2, 3, 4, 5").await);
    rows
}

/// References from a row of one organization to one of another, but for those to people.
async fn crossing(db: &TestDb) -> String {
    db.value(
        "SELECT (SELECT count(*) FROM inventory_ledger AS e JOIN items AS i ON i.id = e.item_id JOIN locations AS l ON l.id = e.location_id
                 WHERE e.org_id <> i.org_id OR e.org_id <> l.org_id)
              + (SELECT count(*) FROM count_sheets AS s JOIN locations AS l ON l.id = s.location_id WHERE s.org_id <> l.org_id)
              + (SELECT count(*) FROM count_lines AS c JOIN count_sheets AS s ON s.id = c.count_sheet_id JOIN items AS i ON i.id = c.item_id
                 WHERE c.org_id <> s.org_id OR c.org_id <> i.org_id)",
    )
    .await
}

#[tokio::test]
async fn what_is_shared_is_listed_and_nothing_moves() {
    let db = inventory().await;
    let before = everything(&db).await;
    for more in [&["--dry-run"][..], &[]] {
        let report = assign(&db, 1, &[&NORTH[..], more].concat()).await;
        assert_eq!((&report["applied"], &report["run_id"]), (&json!(false), &Value::Null));
        assert!(
            report["stopped"].as_str().unwrap().starts_with("10 rows of items are used by both sides"),
            "{report}"
        );
        let shared = report["shared"].as_array().unwrap();
        assert_eq!(shared.len(), 20);
        assert!(shared.contains(&json!({ "table": "items", "key": "a1", "label": "A-1", "used_by": "inventory_ledger", "moving": 12, "staying": 24 })), "{report}");
    }
    let run = db.run("data-assign").args(NORTH).arg("--yes").await.status(1);
    run.says("A-1 ").says("nothing was changed").tells("--copy-shared-items");
    assert_eq!(everything(&db).await, before);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.move").await, "0");
}

#[tokio::test]
async fn a_site_moves_with_all_that_belongs_to_it_and_goes_back() {
    let db = inventory().await;
    db.run("reconcile-balances").await.ok();
    let before = everything(&db).await;
    let args = [&NORTH[..], &["--copy-shared-items"]].concat();
    let plan = assign(&db, 0, &[&args[..], &["--dry-run"]].concat()).await;
    let expected = [
        ("items", 3, 10),
        ("locations", 3, 0),
        ("inventory_ledger", 132, 0),
        ("count_sheets", 6, 0),
        ("count_lines", 30, 0),
    ];
    assert_eq!(tables(&plan), expected);
    assert_eq!(everything(&db).await, before, "a dry run changed something");

    let report = assign(&db, 0, &[&args[..], &["--expect", "174", "--batch-rows", "7"]].concat()).await;
    assert_eq!(
        (&report["applied"], &report["rows"], &report["left"]),
        (&json!(true), &json!(174), &json!(0))
    );
    assert_eq!(tables(&report), expected);
    assert!(
        report["warnings"][0].as_str().unwrap().contains("120 rows of inventory_ledger mention people"),
        "{report}"
    );
    let sides = "SELECT string_agg(org_id || ' ' || n, ', ' ORDER BY org_id) FROM (SELECT org_id, count(*) AS n FROM inventory_ledger GROUP BY 1) AS t";
    assert_eq!(db.value(sides).await, "acme 132, default 240");
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    assert_eq!(db.value("SELECT count(*) FROM items AS a JOIN items AS b USING (item_number, name, unit, created_at) WHERE a.org_id = 'acme' AND b.org_id = 'default'").await, "10");
    // From the checkpoint of before, and of every entry.
    db.run("reconcile-balances").await.ok().says("ledger and balances match");
    db.run("reconcile-balances").arg("--full").await.ok().says("ledger and balances match");
    db.run("validate-migration").await.ok();
    let again = assign(&db, 0, &args).await;
    assert_eq!((&again["rows"], &again["run_id"]), (&json!(0), &Value::Null));

    let run = report["run_id"].to_string();
    let undo = assign(&db, 0, &["--undo", &run, "--dry-run"]).await;
    assert_eq!(
        (&undo["rows"], &undo["applied"], &undo["schema"]),
        (&json!(174), &json!(false), &json!("stockfoil.undo/1"))
    );
    assert_eq!(db.value(sides).await, "acme 132, default 240");
    let undo = assign(&db, 0, &["--undo", &run, "--expect", "174"]).await;
    assert_eq!(
        (&undo["rows"], &undo["copies_kept"], &undo["elsewhere"]),
        (&json!(174), &json!(0), &json!([]))
    );
    assert_eq!(everything(&db).await, before);
    assert_exact(&db).await;
    db.run("reconcile-balances").await.ok();
    db.run("reconcile-balances").arg("--full").await.ok();
    let twice = db.run("data-assign").args(["--undo", &run, "--yes"]).await;
    twice.refuses(2, &format!("run {run} was put back already, by run {}", undo["run_id"]));
}

#[tokio::test]
async fn items_move_with_their_entries_where_their_places_are_copied() {
    let db = inventory().await;
    let items = ["--org-id", "acme", "--items", "item_number in (\"A-1\", \"N-*\")"];
    let report = assign(&db, 1, &items).await;
    let shared: Vec<&str> =
        report["shared"].as_array().unwrap().iter().map(|row| row["table"].as_str().unwrap()).collect();
    assert!(shared.contains(&"locations") && shared.contains(&"count_sheets"), "{report}");
    assert!(!shared.contains(&"items"), "{report}");
    let copies = ["--copy-shared", "locations", "--copy-shared", "count_sheets"];
    let report = assign(&db, 0, &[&items[..], &copies[..]].concat()).await;
    assert_eq!(tables(&report)[0], ("items", 4, 0));
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    // A sheet that was copied is at the copy of its place.
    assert_eq!(db.value("SELECT count(*) > 0 AND bool_and(l.org_id = 'acme') FROM count_sheets AS s JOIN locations AS l ON l.id = s.location_id WHERE s.org_id = 'acme'").await, "t");

    // Another run uses the copies that there are.
    let more = ["--org-id", "acme", "--items", "item_number = \"A-2\""];
    let second = assign(&db, 0, &[&more[..], &copies[..]].concat()).await;
    assert_eq!(crossing(&db).await, "0");
    assert_eq!(
        db.value("SELECT count(*) - count(DISTINCT (site, name)) FROM locations WHERE org_id = 'acme'").await,
        "0"
    );
    for run in [&second, &report] {
        assign(&db, 0, &["--undo", &run["run_id"].to_string()]).await;
        assert_eq!(crossing(&db).await, "0");
    }
    assert_eq!(db.value("SELECT count(*) FROM locations WHERE org_id = 'acme'").await, "0");
    assert_exact(&db).await;
}

#[tokio::test]
async fn rows_move_by_their_ids() {
    let db = inventory().await;
    let args = ["--org-id", "acme", "--yes", "--ids-file", "items=-", "--copy-shared", "locations"];
    let run = |ids: &str| db.run("data-assign").args(args).stdin(ids);
    run("n1\nnowhere\nn2\n")
        .await
        .refuses(2, "items has no row \"nowhere\" in default or acme; nothing was changed");
    run("n1\r\n\nn2\n").await.ok().says("10 rows moved").tells("reading --ids-file from standard input");
    assert_eq!(
        db.value("SELECT string_agg(id, ' ' ORDER BY id) FROM items WHERE org_id = 'acme'").await,
        "n1 n2"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    std::fs::write(&file, "n3").unwrap();
    let file = format!("items={}", file.display());
    assign(&db, 0, &["--org-id", "acme", "--ids-file", &file, "--copy-shared", "locations"]).await;
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "3");
    assert_eq!(crossing(&db).await, "0");
    db.run("data-assign")
        .args(["--org-id", "acme", "--ids-file", "items=/no/such"])
        .await
        .refuses(2, "can't be read");
}

#[tokio::test]
async fn a_key_that_is_taken_stops_it() {
    let db = inventory().await;
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id) VALUES ('there', 'A-3', 'theirs', 'acme');
         INSERT INTO locations (id, site, name, org_id) VALUES ('here', 'North', 'bin 3', 'acme')",
    )
    .await;
    let before = everything(&db).await;
    let report = assign(&db, 1, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    let conflict = |table: &str, key: &str, label: &str, unique_key: &str, other: &str| json!({ "table": table, "key": key, "label": label, "unique_key": unique_key, "other_key": other });
    assert_eq!(
        report["conflicts"],
        json!([
            conflict("items", "a3", "A-3", "items_org_id_item_number_key", "there"),
            conflict("locations", "l3", "North / bin 3", "locations_org_id_site_name_key", "here")
        ])
    );
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn expect_stops_when_rows_have_come_meanwhile() {
    let db = inventory().await;
    let args = [&NORTH[..], &["--copy-shared-items", "--expect", "174"]].concat();
    assign(&db, 0, &[&args[..], &["--dry-run"]].concat()).await;
    db.execute("INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('a1', 'l3', 5)")
        .await;
    let before = everything(&db).await;
    let report = assign(&db, 1, &args).await;
    assert_eq!(report["stopped"], "--expect says 174, but 175 rows would move");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn undo_leaves_what_is_elsewhere_and_what_others_use() {
    let db = inventory().await;
    let report = assign(&db, 0, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    let run = report["run_id"].to_string();
    // Since then: an entry was given away, one is gone, and the organization has made one of its own.
    db.execute(
        "UPDATE inventory_ledger SET org_id = 'globex' WHERE id = 'x1';
         DELETE FROM inventory_ledger WHERE id = 'x2';
         INSERT INTO inventory_ledger (id, org_id, item_id, location_id, qty_canonical)
         SELECT 'own', 'acme', id, 'l3', 3 FROM items WHERE org_id = 'acme' AND item_number = 'A-1'",
    )
    .await;
    let before = everything(&db).await;
    let stopped = assign(&db, 1, &["--undo", &run]).await;
    assert_eq!(
        stopped["in_the_way"],
        json!([{ "table": "inventory_ledger", "referred": "locations", "rows": 1 }])
    );
    assert_eq!(everything(&db).await, before);

    db.execute("INSERT INTO locations (id, site, name, org_id) VALUES ('new', 'North', 'new', 'acme'); UPDATE inventory_ledger SET location_id = 'new' WHERE id = 'own'").await;
    let undo = assign(&db, 1, &["--undo", &run]).await;
    assert_eq!(
        undo["elsewhere"],
        json!([{ "table": "inventory_ledger", "key": "x1", "org_id": "globex" }, { "table": "inventory_ledger", "key": "x2", "org_id": null }])
    );
    assert_eq!(
        (&undo["applied"], &undo["rows"], &undo["copies_kept"]),
        (&json!(true), &json!(172), &json!(1))
    );
    assert_eq!(db.value("SELECT string_agg(item_number, ' ') FROM items WHERE org_id = 'acme'").await, "A-1");
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'default'").await, "370");
    assert_exact(&db).await;
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused() {
    let db = inventory().await;
    let before = everything(&db).await;
    for (args, part) in [
        (&["--locations", "site = 'North'"][..], "say whose the rows become by --org-id"),
        (&["--org-id", "acme"], "say what to move by --locations"),
        (&["--org-id", "acme", "--undo", "1"], "exclude each other"),
        (&["--org-id", "acme", "--locations", "site = North"], "a text in quotes"),
        (&["--org-id", "acme", "--locations", "sites = 'North'"], "did you mean \"site\"?"),
        (&["--org-id", "acme", "--locations", "created_at > 'soon'"], "does not fit its column"),
        (&["--org-id", "acme", "--rows", "count_sheets"], "does not say of which table"),
        (
            &["--org-id", "acme", "--rows", "count_sheet where status = 'draft'"],
            "did you mean \"count_sheets\"?",
        ),
        (&["--org-id", "acme", "--rows", "users where email = '*'"], "moved by users-assign"),
        (&["--org-id", "acme", "--rows", "stockfoil.run where id > 0"], "no tenant-scoped table"),
        (&["--org-id", "acme", "--ids-file", "items"], "names no file"),
        (&["--org-id", "default", "--items", "id = 'n1'"], "name two organizations"),
        (
            &["--org-id", "nowhere", "--items", "id = 'n1'"],
            "there is no organization with the id or subdomain \"nowhere\"",
        ),
        (
            &["--org-id", "acme", "--from", "nowhere", "--items", "id = 'n1'"],
            "there is no organization with the id or subdomain \"nowhere\"",
        ),
        (&["--org-id", "acme", "--items", "id = 'n1'", "--batch-rows", "0"], "a batch of 0 rows"),
        (&["--undo", "9999"], "there is no run 9999"),
    ] {
        db.run("data-assign").args(args).arg("--yes").await.refuses(2, part);
    }
    let reconcile =
        db.run("reconcile-balances").args(["--format", "json"]).await.ok().json()["run_id"].to_string();
    db.run("data-assign").args(["--undo", &reconcile]).await.refuses(2, "is one of reconcile-balances");
    db.run("data-assign")
        .args(["--org-id", "acme", "--items", "id = 'n1'", "--copy-shared", "locations"])
        .await
        .refuses(2, "give --yes to go on");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn a_table_without_a_primary_key_is_not_left_behind() {
    let db = inventory().await;
    let before = everything(&db).await;
    db.execute("ALTER TABLE count_lines DROP CONSTRAINT count_lines_pkey").await;
    db.run("data-assign")
        .args(["--yes", "--copy-shared-items"])
        .args(NORTH)
        .await
        .refuses(3, "table count_lines has no primary key");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn composite_foreign_keys_let_it_move_in_one_transaction() {
    let db = inventory().await;
    db.execute(
        "UPDATE inventory_ledger SET created_by = NULL; UPDATE count_sheets SET counted_by = NULL;
         ALTER TABLE items ADD UNIQUE (org_id, id); ALTER TABLE locations ADD UNIQUE (org_id, id);
         ALTER TABLE count_sheets ADD UNIQUE (org_id, id); ALTER TABLE users ADD UNIQUE (org_id, id);
         ALTER TABLE inventory_ledger ADD CONSTRAINT e_i FOREIGN KEY (org_id, item_id) REFERENCES items (org_id, id) DEFERRABLE,
             ADD CONSTRAINT e_l FOREIGN KEY (org_id, location_id) REFERENCES locations (org_id, id) DEFERRABLE,
             ADD CONSTRAINT e_u FOREIGN KEY (org_id, created_by) REFERENCES users (org_id, id) DEFERRABLE;
         ALTER TABLE count_sheets ADD CONSTRAINT s_l FOREIGN KEY (org_id, location_id) REFERENCES locations (org_id, id) DEFERRABLE;
         ALTER TABLE count_lines ADD CONSTRAINT c_s FOREIGN KEY (org_id, count_sheet_id) REFERENCES count_sheets (org_id, id) DEFERRABLE,
             ADD CONSTRAINT c_i FOREIGN KEY (org_id, item_id) REFERENCES items (org_id, id) DEFERRABLE",
    )
    .await;
    let before = everything(&db).await;
    let args = [&NORTH[..], &["--copy-shared-items", "--batch-rows", "10", "--yes"]].concat();
    let run = db.run("data-assign").args(&args).await.ok();
    run.tells("all of it moves in one transaction").says("174 rows moved");
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    let run = db.value("SELECT max(run_id) FROM stockfoil.move").await;
    assign(&db, 0, &["--undo", &run]).await;
    assert_eq!(everything(&db).await, before);

    db.execute("UPDATE inventory_ledger SET created_by = 'u1' WHERE id = 'x1'").await;
    db.run("data-assign")
        .args(&args)
        .await
        .refuses(3, "1 rows of inventory_ledger mention people outside acme, which the foreign key");
    db.run("users-assign")
        .args(["--org-id", "acme", "--user-id", "u1"])
        .await
        .refuses(3, "rows of inventory_ledger (foreign key e_u) refer to users");
    db.execute("ALTER TABLE inventory_ledger ALTER CONSTRAINT e_i NOT DEFERRABLE").await;
    db.run("data-assign")
        .args(&args)
        .await
        .refuses(3, "foreign key e_i of inventory_ledger holds the organization and is not deferrable");
}

#[tokio::test]
async fn it_moves_in_an_isolated_database() {
    let db = inventory().await;
    db.execute("UPDATE inventory_ledger SET created_by = NULL; UPDATE count_sheets SET counted_by = NULL")
        .await;
    db.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    let before = everything(&db).await;
    let report = assign(&db, 0, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    assert_eq!((&report["rows"], &report["left"]), (&json!(174), &json!(0)));
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn what_has_moved_and_is_used_again_is_said() {
    let db = inventory().await;
    assign(&db, 0, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    // An application that still writes as the default organization uses a place and an item that are acme's now.
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES ('north', 'a1', 'l3', 2), ('south', 'n1', 'l1', 2)",
    )
    .await;
    let report = assign(&db, 1, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    let shared = json!([{ "table": "items", "key": "n1", "label": "N-1", "used_by": "inventory_ledger", "moving": 4, "staying": 1 }]);
    assert_eq!(report["shared"], shared);
    db.execute("DELETE FROM inventory_ledger WHERE id = 'south'").await;
    let report = assign(&db, 0, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    assert_eq!(tables(&report), [("inventory_ledger", 1, 0)]);
    assert_eq!(crossing(&db).await, "0");
    assert_exact(&db).await;
}

#[tokio::test]
async fn rows_of_a_third_organization_keep_what_they_use_from_moving() {
    let db = inventory().await;
    db.execute("INSERT INTO inventory_ledger (id, org_id, item_id, location_id, qty_canonical) VALUES ('third', 'globex', 'n1', 'l3', 2)").await;
    let before = everything(&db).await;
    let report = assign(&db, 1, &[&NORTH[..], &["--copy-shared-items"]].concat()).await;
    let used: Vec<&str> =
        report["shared"].as_array().unwrap().iter().map(|row| row["table"].as_str().unwrap()).collect();
    assert!(used.contains(&"locations"), "{report}");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn what_leads_to_moving_rows_by_way_of_nobodys_is_not_left_behind() {
    let db = inventory().await;
    db.execute(
        "CREATE TABLE label (id text PRIMARY KEY, location_id text REFERENCES locations (id));
         ALTER TABLE items ADD label_id text REFERENCES label (id);
         INSERT INTO label VALUES ('north', 'l3'), ('south', 'l1');
         UPDATE items SET label_id = 'north' WHERE id IN ('a1', 'n1'); UPDATE items SET label_id = 'south' WHERE id = 'a2'",
    )
    .await;
    let before = everything(&db).await;
    let args = [&NORTH[..], &["--copy-shared-items"]].concat();
    for more in [&["--dry-run"][..], &[]] {
        let report = assign(&db, 1, &[&args[..], more].concat()).await;
        let stopped = report["stopped"].as_str().unwrap();
        let said =
            "1 rows of items (foreign key items_label_id_fkey, by way of label) refer to rows of locations";
        assert!(stopped.starts_with(said), "{report}");
        assert_eq!(report["applied"], json!(false));
    }
    assert_eq!(everything(&db).await, before);
    db.execute("UPDATE items SET label_id = NULL WHERE id = 'a1'").await;
    let before = everything(&db).await;
    let report = assign(&db, 0, &args).await;
    let undo = ["--undo", &report["run_id"].to_string()];
    // Nor is what came since when it goes back.
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id, label_id) VALUES ('q', 'Q', 'Q', 'acme', 'north')",
    )
    .await;
    let refused = assign(&db, 1, &undo).await;
    assert_eq!(refused["in_the_way"], json!([{ "table": "items", "referred": "locations", "rows": 1 }]));
    db.execute("DELETE FROM items WHERE id = 'q'").await;
    assign(&db, 0, &undo).await;
    assert_eq!(everything(&db).await, before);
}
