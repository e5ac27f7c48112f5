//! What is said of a key: its label and its scopes.

use serde_json::{Value, json};
use testkit::TestDb;

use super::text;

fn described(report: &Value) -> Vec<Value> {
    let of = |key: &Value| json!([key["state"], key["label"], key["scopes"]]);
    report["keys"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn an_application_reads_what_a_key_is_for() {
    let db = TestDb::migrated().await;
    let args = [
        "--id",
        "acme",
        "--name",
        "Acme",
        "--label",
        " nightly import ",
        "--scopes",
        "stock:read stock:write",
    ];
    let made = db.run("org-create").args(args).args(["--format", "json"]).await.ok().json();
    let key = text(&made, "api_key").to_owned();
    assert_eq!(
        (&made["api_key_label"], &made["api_key_scopes"]),
        (&json!("nightly import"), &json!("stock:read stock:write"))
    );
    let read = |key: &str| format!("SELECT * FROM stockfoil.api_key('{key}')");
    let by_hash =
        |key: &str| format!("SELECT * FROM stockfoil.api_key_by_hash(encode(sha256('{key}'), 'hex'))");
    let found = [["acme", "nightly import", "stock:read stock:write"]];
    assert_eq!(
        (db.rows(read(&key)).await, db.rows(by_hash(&key)).await),
        (
            found.map(|row| row.map(String::from).to_vec()).to_vec(),
            found.map(|row| row.map(String::from).to_vec()).to_vec()
        )
    );
    assert_eq!(db.value("SELECT last_used_on IS NOT NULL FROM organization_api_keys").await, "t");
    for nobody in ["NULL", "''", "'x'", "'sf_live_0aZ9bY8c_0123456789ABCDEFGHIJabcdefghij_1FeICt'"] {
        for function in ["api_key", "api_key_by_hash"] {
            assert_eq!(
                db.value(format!("SELECT count(*) FROM stockfoil.{function}({nobody})")).await,
                "0",
                "{nobody}"
            );
        }
    }
    // The application's role needs no more than the right to call it.
    let app = format!("app_{}", db.name());
    db.execute(format!("CREATE ROLE {app} LOGIN; GRANT USAGE ON SCHEMA stockfoil TO {app}")).await;
    let may = format!("SELECT has_function_privilege('{app}', 'stockfoil.api_key(text)', 'EXECUTE')");
    assert_eq!(db.value(may).await, "f");
    db.execute(format!("GRANT EXECUTE ON FUNCTION stockfoil.api_key(text) TO {app}")).await;
    assert_eq!(db.rows(format!("SET ROLE {app}; {}", read(&key))).await.last().unwrap(), &found[0]);

    // A key that takes its place is for the same; one that is added is for what is said.
    let update = |args: &[&str]| {
        db.run("org-update").args(["--org-id", "acme", "--format", "json"]).args(args.iter().copied())
    };
    let rotated = update(&["--rotate-key", "--overlap", "0s"]).await.ok().json();
    let same = json!(["live", "nightly import", "stock:read stock:write"]);
    assert_eq!(described(&rotated)[1], same);
    let added = update(&["--add-key", "--scopes", "stock:read"]).await.ok().json();
    assert_eq!(described(&added)[2], json!(["live", null, "stock:read"]));
    update(&["--rotate-key"]).await.refuses(2, "have different scopes; say by --scopes");
    let id = text(&added, "api_key_id").to_owned();
    let changed = update(&["--key", &id, "--label", "till 4"]).await.ok().json();
    assert_eq!(
        (&changed["described_key"], described(&changed)[2].clone()),
        (&json!(id), json!(["live", "till 4", "stock:read"]))
    );
    let record = "SELECT summary ->> 'described_key', summary ->> 'label', summary ->> 'scopes' FROM stockfoil.run ORDER BY id DESC LIMIT 1";
    assert_eq!(db.rows(record).await, [[&id, "till 4", "stock:read"]]);
    let listed = db.run("org-update").args(["--org-id", "acme", "--list-keys"]).await.ok();
    listed.says("LABEL").says("till 4").says("nightly import");
    db.run("org-update")
        .args(["--org-id", "acme", "--rotate-key", "--scopes", "none"])
        .await
        .ok()
        .says("none");
    update(&["--key", "00000000", "--label", "x"])
        .await
        .refuses(2, "organization acme has no API key \"00000000\"");
    update(&["--key", &id]).await.refuses(2, "give --label or --scopes with it");
    update(&["--key", &id, "--add-key", "--label", "x"]).await.refuses(2, "exclude each other");
    // Keys that have ended by themselves say what for, those that were revoked don't.
    db.execute(
        "UPDATE organization_api_keys SET expires_at = now(), scopes = 'stock:read', revoked_at = NULL",
    )
    .await;
    assert_eq!(described(&update(&["--rotate-key"]).await.ok().json()).last().unwrap()[2], "stock:read");
    db.execute("UPDATE organization_api_keys SET revoked_at = now()").await;
    update(&["--rotate-key"]).await.refuses(2, "say by --scopes");
    update(&["--scopes", "x"]).await.refuses(2, "--scopes needs --rotate-key, --add-key or --key");
    update(&["--add-key", "--label", "a\nb"]).await.refuses(2, "can't be the label of an API key");
}

#[tokio::test]
async fn a_table_of_keys_from_before_works_on_and_gets_the_columns() {
    let db = TestDb::migrated().await;
    // As an earlier release left it, or as somebody else made it.
    db.execute(
        "ALTER TABLE organization_api_keys DROP COLUMN label, DROP COLUMN scopes;
         DELETE FROM stockfoil.change WHERE kind = 'table' AND table_name IN ('organizations', 'organization_api_keys')",
    )
    .await;
    let made =
        db.run("org-create").args(["--id", "acme", "--name", "Acme", "--format", "json"]).await.ok().json();
    let key = text(&made, "api_key").to_owned();
    assert_eq!(db.value(format!("SELECT stockfoil.org_by_api_key('{key}')")).await, "acme");
    let update = |args: &[&str]| {
        db.run("org-update").args(["--org-id", "acme", "--format", "json"]).args(args.iter().copied())
    };
    let listed = update(&["--rotate-key"]).await.ok().json();
    assert_eq!(described(&listed), [json!(["live", null, null]), json!(["live", null, null])]);
    update(&["--add-key", "--label", "x"])
        .await
        .refuses(3, "has no columns label and scopes yet; run migrate-org first");
    db.run("validate-migration").await.status(1).says("stockfoil.api_key_by_hash(text)");
    db.run("migrate-org")
        .args(["--contract", "--dry-run", "--verbose"])
        .await
        .ok()
        .says("let API keys in organization_api_keys have a label and scopes");
    db.run("migrate-org").arg("--contract").await.ok();
    db.run("validate-migration").await.ok();
    update(&["--add-key", "--label", "x"]).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys WHERE label = 'x'").await, "1");

    // A table that was somebody else's loses what it got, and stays.
    db.execute("DELETE FROM organization_api_keys; DELETE FROM organizations WHERE id <> 'default'").await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    let columns = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'organization_api_keys'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(db.value(columns).await, "key_id,org_id,hash,created_at,expires_at,revoked_at,last_used_on");
}
