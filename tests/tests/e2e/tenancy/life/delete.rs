use std::fs;

use serde_json::{Value, json};
use testkit::TestDb;

use super::{MARK, assert_exact, content, export, others, own, three};

const NOW: [&str; 5] = ["--org-id", "acme", "--now", "--yes", "--batch-rows"];

async fn delete(db: &TestDb, status: i32, args: &[&str]) -> Value {
    let run = db.run("org-delete").args(["--org-id", "acme", "--format", "json"]).args(args.iter().copied());
    run.await.status(status).json()
}

/// What a dump of the database says.
fn dump(db: &TestDb, args: &[&str]) -> String {
    let out = db.cluster().program("pg_dump").args(args).arg(db.name()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn an_organization_goes_with_everything_and_nothing_of_another() {
    let db = three().await;
    // Records of every kind: sealed and closed sums, a finding, a mark, moved rows.
    db.run("backfill-balances").await.ok();
    db.run("reconcile-balances").await.ok();
    db.run("users-assign").args(["--org-id", "globex", "--user-id", "acme-u3", "--from", "acme"]).await.ok();
    db.run("users-assign").args(["--org-id", "acme", "--user-id", "acme-u3", "--from", "globex"]).await.ok();
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 7 WHERE org_id = 'acme' AND item_id = 'acme-i1'").await;
    db.run("reconcile-balances").arg("--full").await.status(1);
    let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"+00:00\"')";
    db.run("reconcile-balances").args(["--fix-large", "--close", &db.value(now).await]).await.ok();
    assert_ne!(db.value("SELECT count(*) FROM stockfoil.closing_balance WHERE org_id = 'acme'").await, "0");
    db.execute("UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE id = 'acme-e7'").await;
    let (_folder, _, exported) = export(&db).await;
    let before = others(&db).await;

    let plan = delete(&db, 0, &["--now", "--dry-run"]).await;
    assert_eq!((&plan["state"], &plan["in_the_way"]), (&json!("would_delete"), &json!([])));
    assert_eq!(
        db.value("SELECT is_active FROM organizations WHERE id = 'acme'").await,
        "t",
        "a dry run changed it"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.json");
    let certificate =
        delete(&db, 0, &["--now", "--yes", "--batch-rows", "7", "--certificate", file.to_str().unwrap()])
            .await;
    assert_eq!(certificate["state"], "deleted");
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap(), certificate);
    assert_eq!(content(&certificate), content(&exported), "deleted is what was exported");
    let stored =
        db.value(format!("SELECT summary FROM stockfoil.run WHERE id = {}", certificate["run_id"])).await;
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap()["tables"], certificate["tables"]);

    assert_eq!(others(&db).await, before);
    assert_exact(&db).await;
    // Of its content nothing is left; its id stands in the records of runs alone.
    assert!(!dump(&db, &[]).contains(MARK));
    let without_runs = dump(&db, &["--exclude-table-data=stockfoil.run"]);
    assert!(!without_runs.contains("acme"), "{:?}", without_runs.lines().find(|line| line.contains("acme")));
    let runs = db.rows("SELECT summary FROM stockfoil.run WHERE summary::text LIKE '%acme%' AND command LIKE '%org%' OR command LIKE '%assign' ORDER BY id").await;
    assert!(!format!("{runs:?}").contains("Acme Mining"), "{runs:?}");
    let again = db.run("reconcile-balances").arg("--full").await;
    again.ok().says("match");
    db.run("validate-migration").await.ok();
    db.run("org-delete").args(["--org-id", "acme"]).await.refuses(2, "there is no organization with the id");
}

#[tokio::test]
async fn it_waits_for_its_time() {
    let db = three().await;
    let before = own(&db).await.len();
    let first = delete(&db, 0, &[]).await;
    assert_eq!(first["state"], "deactivated");
    assert_eq!(db.value("SELECT is_active FROM organizations WHERE id = 'acme'").await, "f");
    let deletable = first["deletable_at"].as_str().unwrap();
    let days = db.value(format!("SELECT '{deletable}'::timestamptz::date - now()::date")).await;
    assert_eq!(days, "30");
    let second = delete(&db, 0, &["--yes"]).await;
    assert_eq!((&second["state"], &second["deletable_at"]), (&json!("waiting"), &first["deletable_at"]));
    assert_eq!(second["run_id"], Value::Null);
    // Somebody thought better of it.
    db.run("org-update").args(["--org-id", "acme", "--activate"]).await.ok();
    db.run("org-update").args(["--org-id", "acme", "--deactivate"]).await.ok();
    assert_eq!(delete(&db, 0, &["--yes", "--after", "0s"]).await["state"], "deactivated");
    assert_eq!(own(&db).await.len(), before);
    db.run("org-delete").args(["--org-id", "acme"]).await.refuses(2, "nobody to ask");
    for subdomain in ["given-up", "kept"] {
        db.run("org-update").args(["--org-id", "acme", "--subdomain", subdomain]).await.ok();
    }
    let last = delete(&db, 0, &["--yes"]).await;
    assert_eq!((&last["state"], &last["subdomain"]), (&json!("deleted"), &json!("kept")));
    // Links and cookies of it are still about.
    for subdomain in ["given-up", "kept"] {
        let other = db.run("org-create").args(["--name", "Other", "--subdomain", subdomain]).await;
        other.refuses(2, "was organization acme's until");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_before_the_first_change() {
    let db = three().await;
    db.run("org-delete")
        .args(["--org-id", "default", "--now", "--yes"])
        .await
        .refuses(2, "is the default organization");
    db.run("org-delete").args(NOW).arg("0").await.refuses(2, "a batch of 0 rows");
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id) VALUES ('x1', 'acme-i1', 'globex-l1', 1, 'globex'), ('x2', 'acme-i2', 'globex-l1', 1, 'globex');
         CREATE TABLE photos (id int PRIMARY KEY, item_id text REFERENCES items ON DELETE CASCADE);
         INSERT INTO photos VALUES (1, 'acme-i1'), (3, 'globex-i1');
         CREATE TABLE plans (org text REFERENCES organizations ON DELETE CASCADE); INSERT INTO plans VALUES ('acme');
         CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$%s is append-only$$, TG_TABLE_NAME; END';
         CREATE TRIGGER append_only BEFORE DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION append_only();
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER keep BEFORE DELETE ON feature_flags FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    .await;
    let (theirs, its) = (others(&db).await, own(&db).await);
    let plan = delete(&db, 1, &["--now", "--dry-run"]).await;
    let reasons = plan["in_the_way"].as_array().unwrap();
    let all = format!("{reasons:?}");
    for reason in [
        "2 rows of inventory_ledger, which are other organizations', refer to rows of items by inventory_ledger_item_id_fkey",
        "1 rows of photos, which are of no organization, refer to rows of items by photos_item_id_fkey",
        "1 rows of plans, which are of no organization, refer to rows of organizations by plans_org_fkey",
        "a trigger or rule of audit_logs keeps its rows",
        "is append-only",
        "a trigger or rule of feature_flags keeps its rows without a word",
    ] {
        assert!(all.contains(reason), "no {reason:?} in {all}");
    }
    assert_eq!(reasons.len(), 5, "{all}");
    db.run("org-delete").args(NOW).arg("10").await.refuses(3, "organization acme can't be deleted");
    assert_eq!((others(&db).await, own(&db).await), (theirs, its), "nothing was changed");
    db.execute(
        "DELETE FROM inventory_ledger WHERE id LIKE 'x_'; DELETE FROM photos; DELETE FROM plans;
         DROP TRIGGER append_only ON audit_logs; DROP TRIGGER keep ON feature_flags",
    )
    .await;
    assert_eq!(delete(&db, 0, &["--now", "--yes"]).await["state"], "deleted");
    assert_exact(&db).await;
}

#[tokio::test]
async fn rows_that_refer_to_each_other_go_in_order_or_at_once() {
    let db = three().await;
    db.execute(
        "ALTER TABLE locations ADD COLUMN parent text REFERENCES locations ON DELETE RESTRICT;
         UPDATE locations SET parent = org_id || '-l1' WHERE id LIKE '%l2'; UPDATE locations SET parent = org_id || '-l2' WHERE id LIKE '%l3';
         ALTER TABLE users ADD COLUMN boss text REFERENCES users;
         UPDATE users SET boss = org_id || '-u2' WHERE id LIKE '%u1'; UPDATE users SET boss = org_id || '-u1' WHERE id LIKE '%u2'",
    )
    .await;
    let before = others(&db).await;
    let (_folder, _, exported) = export(&db).await;
    let certificate = delete(&db, 0, &["--now", "--yes", "--batch-rows", "1"]).await;
    assert_eq!(content(&certificate), content(&exported));
    assert_eq!(others(&db).await, before);
}

#[tokio::test]
async fn no_trigger_takes_rows_of_others_along() {
    let db = three().await;
    db.execute(
        "CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM feature_flags; RETURN NULL; END';
         CREATE TRIGGER also AFTER DELETE ON count_lines FOR EACH STATEMENT EXECUTE FUNCTION also()",
    )
    .await;
    let before = others(&db).await;
    let run = db.run("org-delete").args(NOW).arg("5").await;
    run.refuses(
        3,
        "deleting rows of count_lines changes rows that are not organization acme's, in feature_flags",
    );
    assert_eq!(others(&db).await, before);
    // A trigger that changes the organization's own alone is its application's business.
    db.execute(
        "CREATE OR REPLACE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN DELETE FROM feature_flags WHERE org_id = current_setting($$app.org_id$$); RETURN NULL; END'",
    )
    .await;
    assert_eq!(delete(&db, 0, &["--now", "--yes"]).await["state"], "deleted");
    assert_eq!(others(&db).await, before);
}
