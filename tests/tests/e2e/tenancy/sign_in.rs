//! Keys by their hashes, and sign-in before the organization is known.

use testkit::TestDb;

#[tokio::test]
async fn a_key_is_known_by_its_hash_and_a_sign_in_by_its_address() {
    let db = TestDb::migrated().await;
    let made =
        db.run("org-create").args(["--name", "Acme", "--id", "acme", "--format", "json"]).await.ok().json();
    db.run("org-create").args(["--name", "Off", "--id", "off", "--inactive"]).await.ok();
    let hash = format!("encode(sha256('{}'), 'hex')", made["api_key"].as_str().unwrap());
    let by_hash = |hash: &str| format!("SELECT stockfoil.org_by_api_key_hash({hash})");
    assert_eq!(db.value(by_hash(&hash)).await, "acme");
    assert_eq!(db.value(by_hash(&format!("upper({hash})"))).await, "acme");
    assert_eq!(
        db.value("SELECT last_used_on IS NOT NULL FROM organization_api_keys WHERE org_id = 'acme'").await,
        "t"
    );
    for none in [
        "NULL",
        "''",
        "'x'",
        &format!("reverse({hash})"),
        &format!("'{}'", made["api_key"].as_str().unwrap()),
    ] {
        assert_eq!(db.value(by_hash(none)).await, "", "{none}");
    }
    db.execute("UPDATE organization_api_keys SET revoked_at = now() WHERE org_id = 'acme'").await;
    assert_eq!(db.value(by_hash(&hash)).await, "");

    db.execute(
        "INSERT INTO users (email, name, org_id) VALUES ('a@x.example', 'A', 'acme'), ('a@x.example', 'A', 'default'), ('a@x.example', 'A', 'off')",
    )
    .await;
    let orgs = "SELECT string_agg(o, ',') FROM stockfoil.orgs_of_user('a@x.example') AS o";
    assert_eq!(db.value(orgs).await, "acme,default");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.orgs_of_user(NULL)").await, "0");
    // Of its own it is for nobody, and it needs no right on the tables.
    let front = format!("front_{}", db.name());
    db.execute(format!("CREATE ROLE {front} LOGIN; GRANT USAGE ON SCHEMA stockfoil TO {front}")).await;
    let as_front = |sql: &str| format!("SET ROLE {front}; {sql}");
    let may = format!("SELECT has_function_privilege('{front}', 'stockfoil.orgs_of_user(text)', 'EXECUTE')");
    assert_eq!(db.value(may.clone()).await, "f");
    db.execute(format!("GRANT EXECUTE ON FUNCTION stockfoil.orgs_of_user(text) TO {front}")).await;
    assert_eq!(db.rows(as_front(orgs)).await.last().unwrap(), &["acme,default"]);
}

#[tokio::test]
async fn keys_that_end_before_long_are_listed() {
    let db = TestDb::migrated().await;
    for (id, expires) in [("acme", "20d"), ("globex", "10d"), ("later", "90d")] {
        db.run("org-create").args(["--name", id, "--id", id, "--expires", expires]).await.ok();
    }
    let ending =
        |args: &[&str]| db.run("org-update").args(["--keys-ending", "30d"]).args(args.iter().copied());
    let keys = |report: serde_json::Value| -> Vec<(String, bool)> {
        let of = |key: &serde_json::Value| {
            (key["org_id"].as_str().unwrap().to_owned(), key["is_followed"] == true)
        };
        report["keys"].as_array().unwrap().iter().map(of).collect()
    };
    let all = ending(&["--format", "json"]).await.status(1).json();
    assert_eq!(all["schema"], "stockfoil.keys-ending/1");
    assert_eq!(keys(all), [("globex".to_owned(), false), ("acme".into(), false)]);
    // One that another follows ends as it was meant to.
    db.run("org-update").args(["--org-id", "globex", "--add-key"]).await.ok();
    assert_eq!(
        keys(ending(&["--org-id", "globex", "--format", "json"]).await.ok().json()),
        [("globex".to_owned(), true)]
    );
    ending(&["--org-id", "later"]).await.ok().says("no API key of an active organization ends in that time");
    ending(&["--add-key"]).await.refuses(2, "--keys-ending and --add-key exclude each other");
    db.run("org-update")
        .args(["--name", "x"])
        .await
        .refuses(2, "say which organization to change: --org-id ORG");
}
