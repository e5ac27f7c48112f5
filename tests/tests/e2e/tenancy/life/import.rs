use std::{fs, path::Path};

use serde_json::{Value, json};
use testkit::TestDb;

use super::{STRANGE, assert_exact, counts, export, others, own, three};

/// Brings a file in.
async fn import(db: &TestDb, status: i32, file: &Path, args: &[&str]) -> Value {
    let run = db.run("org-import").arg(file).args(["--format", "json"]).args(args.iter().copied());
    run.await.status(status).json()
}

async fn delete(db: &TestDb) {
    db.run("org-delete").args(["--org-id", "acme", "--now", "--yes"]).await.ok();
}

/// Another database of the same tables.
async fn elsewhere() -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(STRANGE).await;
    db.execute(
        "CREATE TABLE units (code text PRIMARY KEY, name text NOT NULL, base text REFERENCES units);
         ALTER TABLE items ADD COLUMN unit_code text REFERENCES units",
    )
    .await;
    db
}

#[tokio::test]
async fn a_deleted_organization_comes_back_as_it_was() {
    let db = three().await;
    db.run("reconcile-balances").await.ok();
    let (_folder, file, exported) = export(&db).await;
    let (theirs, its) = (others(&db).await, own(&db).await);
    delete(&db).await;
    let plan = import(&db, 0, &file, &["--dry-run"]).await;
    assert_eq!((&plan["applied"], &plan["conflicts"]), (&json!(false), &json!([])));
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE id = 'acme'").await, "0");

    let report = import(&db, 0, &file, &[]).await;
    assert_eq!(report["applied"], true);
    assert_eq!(counts(&report), counts(&exported));
    assert_eq!(own(&db).await, its);
    assert_eq!(others(&db).await, theirs);
    assert_exact(&db).await;
    for full in [&[][..], &["--full"]] {
        db.run("reconcile-balances").args(full.iter().copied()).await.ok().says("match");
    }
    db.run("validate-migration").await.ok();
    let (_again, _, after) = export(&db).await;
    assert_eq!(counts(&after), counts(&exported), "what is exported again is the same");
    assert_eq!(db.value("SELECT stockfoil.org_by_subdomain('acme')").await, "acme");
    // Nothing is doubled by another import.
    let twice = import(&db, 1, &file, &[]).await;
    assert!(twice["conflicts"][0]["what"].as_str().unwrap().contains("is here already"), "{twice}");
    assert_eq!(own(&db).await, its);
    // And it goes a second time, with a time of its own; the first certificate stays what it is, and so do records of who or what
    // is only called like it.
    db.run("org-create").args(["--id", "namesake", "--name", "acme"]).await.ok();
    let first = "SELECT summary::text FROM stockfoil.run WHERE command = 'org-delete' AND summary ->> 'state' = 'deleted' ORDER BY id LIMIT 1";
    let certificate = db.value(first).await;
    let again = db
        .run("org-delete")
        .args(["--org-id", "acme", "--after", "30d", "--yes", "--format", "json"])
        .await
        .ok();
    assert!(again.json()["deletable_at"].is_string(), "{}", again.stdout);
    delete(&db).await;
    assert_eq!(db.value(first).await, certificate);
    assert_eq!(
        db.value("SELECT (summary ->> 'org_id') || (summary ->> 'name') FROM stockfoil.run WHERE command = 'org-create' ORDER BY id DESC LIMIT 1").await,
        "namesakeacme"
    );
}

#[tokio::test]
async fn it_moves_to_another_database() {
    let db = three().await;
    let (_folder, file, exported) = export(&db).await;
    let target = elsewhere().await;
    let lacking = import(&target, 1, &file, &[]).await;
    assert_eq!(
        lacking["conflicts"],
        json!([{
            "table": "units", "what": "shared rows are not here; make them, or give --add-shared", "rows": 2, "example": "g",
        }])
    );
    target.execute("INSERT INTO units VALUES ('g', 'Gramm', NULL)").await;
    let other = import(&target, 1, &file, &["--add-shared"]).await;
    assert_eq!(other["conflicts"][0]["what"], "shared rows are others here; make them the same");
    target.execute("UPDATE units SET name = 'gram'").await;
    let report = import(&target, 0, &file, &["--add-shared"]).await;
    assert_eq!(counts(&report), counts(&exported));
    assert_eq!(own(&target).await, own(&db).await);
    assert_eq!(target.value("SELECT count(*) FROM units").await, "2");
    target.run("reconcile-balances").await.ok().says("match");
}

#[tokio::test]
async fn it_can_be_called_otherwise() {
    let db = three().await;
    let (_folder, file, _) = export(&db).await;
    let target = elsewhere().await;
    // From where production is configured, which is left alone.
    let args = ["--as", "staging", "--add-shared", "--into", target.name()];
    let report = import(&db, 0, &file, &args).await;
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE id = 'staging'").await, "0");
    assert_eq!((&report["org_id"], &report["from_org_id"]), (&json!("staging"), &json!("acme")));
    assert!(report["warnings"][0].as_str().unwrap().contains("its API keys are left out"), "{report}");
    assert_eq!(target.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'staging'").await, "300");
    assert_eq!(target.value("SELECT count(*) FROM organization_api_keys").await, "0");
    assert_exact(&target).await;
    target.run("reconcile-balances").await.ok().says("match");
    target
        .run("org-import")
        .arg(&file)
        .args(["--as", "no id"])
        .await
        .refuses(2, "can't be an organization id");
    // What differs from another's in the case of its letters alone is refused, as it is of a new one.
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("staging.jsonl");
    target.run("org-export").args(["--org-id", "staging", "--out"]).arg(&out).await.ok();
    target.run("org-delete").args(["--org-id", "staging", "--now", "--yes"]).await.ok();
    target.run("org-create").args(["--id", "Staging", "--name", "S"]).await.ok();
    target.run("org-import").arg(&out).await.refuses(2, "Staging");
}

#[tokio::test]
async fn what_people_wrote_can_be_masked() {
    let db = three().await;
    let (_folder, file, _) = export(&db).await;
    let target = elsewhere().await;
    let wrong = target.run("org-import").arg(&file).args(["--add-shared", "--mask", "users.id=text"]).await;
    wrong.refuses(2, "no column id into table users that may be masked");
    let masks =
        ["--mask", "users.email=email", "--mask", "users.name=text", "--mask", "inventory_ledger.note=null"];
    import(&target, 0, &file, &[&["--as", "staging", "--add-shared"][..], &masks].concat()).await;
    let people = target.rows("SELECT id, email, name FROM users ORDER BY id").await;
    assert_eq!(people[1], ["acme-u2", "masked-2@example.invalid", "masked-2"]);
    assert_eq!(target.value("SELECT count(note) FROM inventory_ledger").await, "0");
    target.run("reconcile-balances").await.ok().says("match");
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused() {
    let db = three().await;
    let (folder, file, _) = export(&db).await;
    delete(&db).await;
    let text = fs::read_to_string(&file).unwrap();
    let changed = folder.path().join("changed.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    let without = |line: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| *line);
        kept.collect::<Vec<_>>().join("\n") + "\n"
    };
    let last = lines.len() - 1;
    let cases = [
        (text[..text.len() / 2].to_owned(), "was cut off"),
        (text[..text.len() - 1].to_owned(), "was cut off"),
        (without(last), "was cut off"),
        (without(last - 2), "rows of"),
        (text.replacen("zymurgy-3", "zymurgy-4", 1), "with digest"),
        (text.replacen("\"snapshot_at\":\"2", "\"snapshot_at\":\"1", 1), "has the SHA-256 of other lines"),
        (text.replacen("org-export/1", "org-export/9", 1), "is of the format"),
        (format!("{text}[]\n"), "and there are more"),
        (text.replacen("\n[", "\n[null,", 1), "not as many values"),
        (String::new(), "was cut off"),
        ("hello\n".into(), "is no header"),
    ];
    for (bad, why) in cases {
        fs::write(&changed, bad).unwrap();
        db.run("org-import").arg(&changed).await.refuses(2, why);
    }
    fs::write(&changed, [0xff, b'\n']).unwrap();
    db.run("org-import").arg(&changed).await.refuses(2, "is no text");
    db.run("org-import").arg(folder.path().join("none")).await.refuses(2, "can't be read");
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE id = 'acme'").await, "0");
}

#[tokio::test]
async fn all_that_does_not_fit_is_listed_first() {
    let db = three().await;
    let (_folder, file, _) = export(&db).await;
    let target = elsewhere().await;
    target
        .execute(
            "ALTER TABLE items ALTER COLUMN f TYPE numeric, DROP COLUMN r, ADD COLUMN colour text NOT NULL;
         DROP TABLE audit_logs",
        )
        .await;
    let report = import(&target, 3, &file, &[]).await;
    assert!(report["error"].as_str().unwrap().contains("audit_logs"), "the mapping comes first: {report}");
    target
        .execute(
            "CREATE TABLE audit_logs (id text PRIMARY KEY, org_id text NOT NULL REFERENCES organizations)",
        )
        .await;
    let report = import(&target, 1, &file, &[]).await;
    let told = report["conflicts"].to_string();
    for what in [
        "column f is double precision there and numeric here",
        "has no column r",
        "column colour needs a value",
        "has no column details",
    ] {
        assert!(told.contains(what), "no {what} in {told}");
    }

    // Keys that others have: all of them.
    delete(&db).await;
    db.execute(
        "INSERT INTO users (id, email, name, org_id) VALUES ('acme-u1', 'x@y.example', 'X', 'globex');
         INSERT INTO items (id, item_number, name, org_id) VALUES ('acme-i1', 'X', 'X', 'globex'), ('acme-i2', 'Y', 'Y', 'globex');
         INSERT INTO organizations (id, name, subdomain) VALUES ('other', 'Other', 'acme')",
    )
    .await;
    let before = others(&db).await;
    let report = import(&db, 1, &file, &[]).await;
    let told: Vec<String> = (report["conflicts"].as_array().unwrap().iter())
        .map(|conflict| {
            format!(
                "{} {} {}",
                conflict["table"].as_str().unwrap(),
                conflict["rows"],
                conflict["what"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "organizations 1 the unique key organizations_subdomain_key is taken here",
            "users 1 the primary key is taken here",
            "items 2 the primary key is taken here",
        ]
    );
    assert_eq!(others(&db).await, before);
}

#[tokio::test]
async fn triggers_that_change_rows_are_named_and_what_they_add_is_removed() {
    let db = three().await;
    let (_folder, file, _) = export(&db).await;
    let its = own(&db).await;
    delete(&db).await;
    db.execute(
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := $$stamped$$; RETURN NEW; END';
         CREATE TRIGGER stamp BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION stamp();
         CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN INSERT INTO audit_logs (action, entity, org_id) VALUES ($$made$$, TG_TABLE_NAME, NEW.org_id); RETURN NULL; END';
         CREATE TRIGGER log AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION log()",
    )
    .await;
    let refused = db.run("org-import").arg(&file).await;
    refused.refuses(
        3,
        "other rows of inventory_ledger than it was given (300 rows for 300; other values in note)",
    );
    assert_eq!(db.value("SELECT count(*) FROM items WHERE org_id = 'acme'").await, "0");
    let report = import(&db, 0, &file, &["--accept-changed", "inventory_ledger.note"]).await;
    assert!(report["warnings"].to_string().contains("triggers made 10 rows of audit_logs"), "{report}");
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE note = 'stamped'").await, "300");
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER USER; UPDATE inventory_ledger SET note = 'zymurgy' WHERE org_id = 'acme'; ALTER TABLE inventory_ledger ENABLE TRIGGER USER").await;
    assert_eq!(own(&db).await, its);
}
