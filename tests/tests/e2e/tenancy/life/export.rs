use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use super::{MARK, TABLES, counts, export, three};

#[tokio::test]
async fn everything_of_one_organization_is_in_the_file_and_nothing_of_another() {
    let db = three().await;
    let (_folder, file, report) = export(&db).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for table in TABLES {
        let rows = db.value(format!("SELECT count(*) FROM {table} WHERE org_id = 'acme'")).await;
        let counted = counts(&report).into_iter().find(|(name, ..)| name == table).unwrap().1;
        assert_eq!(counted.to_string(), rows, "{table}");
    }
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(MARK) && !text.contains("plain") && !text.contains("globes"));
    assert_eq!(text.len() as u64, report["bytes"].as_u64().unwrap());

    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (header, trailer) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!(header["format"], "stockfoil.org-export/1");
    assert_eq!(header["org_id"], "acme");
    assert_eq!(trailer["sha256"], report["sha256"]);
    // What its items are measured in, and what that is measured in; nothing else that is nobody's.
    let place =
        header["tables"].as_array().unwrap().iter().position(|table| table["table"] == "units").unwrap();
    assert_eq!(header["tables"][place]["kind"], "shared");
    assert_eq!(trailer["totals"][place]["rows"], 2);
    let section =
        lines.iter().position(|line| line["table"] == json!(place) && line["name"] == "units").unwrap();
    assert_eq!(lines[section + 1..section + 3], [json!(["g", "gram", null]), json!(["kg", "kilogram", "g"])]);
    // Those that others refer to come first.
    let names: Vec<&str> =
        header["tables"].as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    let at = |name| names.iter().position(|known| *known == name).unwrap();
    for (parent, child) in [
        ("organizations", "users"),
        ("units", "items"),
        ("items", "inventory_ledger"),
        ("inventory_ledger", "inventory_balances"),
        ("count_sheets", "count_lines"),
    ] {
        assert!(at(parent) < at(child), "{names:?}");
    }
}

#[tokio::test]
async fn a_writer_neither_waits_nor_is_seen() {
    let db = three().await;
    let mut writer = db.connect().await;
    let mut transaction = writer.begin().await.unwrap();
    transaction
        .execute("UPDATE items SET name = 'unfinished' WHERE org_id = 'acme'; DELETE FROM audit_logs WHERE org_id = 'acme'")
        .await
        .unwrap();
    let (_folder, file, report) = export(&db).await;
    assert!(!fs::read_to_string(file).unwrap().contains("unfinished"));
    assert!(counts(&report).iter().any(|(table, rows, _)| table == "audit_logs" && *rows == 1));
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn the_same_rows_have_the_same_digests_whatever_the_session_is_like() {
    let db = three().await;
    let (_first, _, before) = export(&db).await;
    db.execute(format!(
        "ALTER DATABASE {db} SET extra_float_digits = -5; ALTER DATABASE {db} SET DateStyle = 'German';
         ALTER DATABASE {db} SET bytea_output = 'escape'; ALTER DATABASE {db} SET IntervalStyle = 'iso_8601';
         ALTER DATABASE {db} SET TimeZone = 'Asia/Kolkata'",
        db = db.name()
    ))
    .await;
    let (_second, _, after) = export(&db).await;
    assert_eq!(counts(&before), counts(&after));
}

#[tokio::test]
async fn what_is_killed_leaves_no_file() {
    let db = three().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.jsonl");
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("LOCK TABLE audit_logs").await.unwrap();
    let mut child = db.run("org-export").args(["--org-id", "acme", "--out"]).arg(&file).spawn();
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'audit_logs'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    super::traffic::wait_for(&db, waits).await;
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    assert!(!file.exists());
    transaction.rollback().await.unwrap();
    super::export_to(&db, &file).await;
    assert!(file.exists());
}

#[tokio::test]
async fn children_of_no_organization_are_named() {
    let db = three().await;
    db.execute(
        "CREATE TABLE photos (id int PRIMARY KEY, item_id text REFERENCES items ON DELETE CASCADE);
         INSERT INTO photos VALUES (1, 'acme-i1'), (2, 'acme-i2'), (3, 'globex-i1')",
    )
    .await;
    let (_folder, _, report) = export(&db).await;
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("2 rows of photos refer to it by photos_item_id_fkey"), "{warning}");
    let file = tempfile::tempdir().unwrap().path().join("no/folder.jsonl");
    let run = db.run("org-export").args(["--org-id", "acme", "--out"]).arg(file);
    run.await.refuses(2, "there is no folder");
    let run = db.run("org-export").args(["--org-id", "nobody", "--out", "x"]);
    run.await.refuses(2, "there is no organization with the id or subdomain");
}
