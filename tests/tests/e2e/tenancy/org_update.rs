use serde_json::{Value, json};
use testkit::{Binary, TestDb};

use super::{everything, text, two_organizations};

/// What `org-update` reports of `acme` after doing what `args` say.
async fn update(db: &TestDb, args: &[&str]) -> Value {
    db.run("org-update").args(["--org-id", "acme", "--format", "json"]).args(args).await.ok().json()
}

/// Each key's state, the oldest first.
fn states(report: &Value) -> Vec<&str> {
    report["keys"].as_array().unwrap().iter().map(|key| text(key, "state")).collect()
}

async fn org_of(db: &TestDb, key: &str) -> String {
    db.value(format!("SELECT stockfoil.org_by_api_key('{key}')")).await
}

#[tokio::test]
async fn an_organization_is_renamed_relabelled_and_switched_off_and_on() {
    let db = two_organizations().await;
    let report = update(&db, &["--name", " Acme Smelting ", "--subdomain", "SMELTING", "--deactivate"]).await;
    assert_eq!(
        report["changed"],
        json!([{ "field": "name", "from": "Acme Mining", "to": "Acme Smelting" },
               { "field": "subdomain", "from": "acme", "to": "smelting" },
               { "field": "is_active", "from": true, "to": false }])
    );
    assert!(report["warnings"][0].as_str().unwrap().contains("is inactive"), "{report}");
    assert_eq!(
        db.rows(
            "SELECT name, subdomain, is_active, updated_at > created_at FROM organizations WHERE id = 'acme'"
        )
        .await,
        [["Acme Smelting", "smelting", "f", "t"]]
    );
    update(&db, &["--activate", "--no-subdomain"]).await;
    assert_eq!(
        db.rows("SELECT name, coalesce(subdomain, 'none'), is_active FROM organizations WHERE id = 'acme'")
            .await,
        [["Acme Smelting", "none", "t"]]
    );
    // A change is recorded with who made it; what changes nothing is not.
    let records = "SELECT summary ->> 'org_id', summary ->> 'role', summary #>> '{changed,0,to}', outcome, finished_at IS NOT NULL
                   FROM stockfoil.run WHERE command = 'org-update' ORDER BY id";
    let role = db.value("SELECT current_user").await;
    let recorded = [["acme", &role, "Acme Smelting", "clean", "t"], ["acme", &role, "", "clean", "t"]];
    assert_eq!(db.rows(records).await, recorded);
    let before = everything(&db).await;
    let again = update(&db, &["--activate", "--no-subdomain", "--name", "Acme Smelting"]).await;
    assert_eq!((&again["changed"], &again["run_id"]), (&json!([]), &Value::Null));
    assert_eq!(db.rows(records).await, recorded);
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let db = TestDb::migrated().await;
    let made =
        db.run("org-create").args(["-n", "Acme", "--id", "acme", "--format", "json"]).await.ok().json();
    let report = update(&db, &["--rotate-key", "--overlap", "2h"]).await;
    let (old, new) = (text(&made, "api_key"), text(&report, "api_key"));
    assert_eq!(report["ended_keys"], json!([made["api_key_id"]]));
    assert_eq!(states(&report), ["live", "live"]);
    assert_eq!((org_of(&db, old).await, org_of(&db, new).await), ("acme".into(), "acme".into()));
    let ends = "SELECT expires_at BETWEEN now() + interval '119 minutes' AND now() + interval '2 hours' FROM organization_api_keys WHERE key_id = ";
    assert_eq!(db.value(format!("{ends}'{}'", text(&made, "api_key_id"))).await, "t");

    // A day where nothing is said, and no key lives longer because of it.
    let report = update(&db, &["--rotate-key"]).await;
    assert_eq!(report["ended_keys"], json!([new.split('_').nth(2).unwrap()]));
    assert_eq!(db.value(format!("{ends}'{}'", text(&made, "api_key_id"))).await, "t");
    let newest = text(&report, "api_key").to_owned();
    assert_eq!(
        db.value("SELECT count(*) FROM organization_api_keys WHERE expires_at BETWEEN now() + interval '23 hours' AND now() + interval '1 day'").await,
        "1"
    );
    // At once: only the new one is left.
    let report = update(&db, &["--rotate-key", "--overlap", "0s", "--expires", "90d"]).await;
    assert_eq!(states(&report), ["expired", "expired", "expired", "live"]);
    for key in [old, new, &newest] {
        assert_eq!(org_of(&db, key).await, "", "its time is over");
    }
    assert_eq!(org_of(&db, text(&report, "api_key")).await, "acme");
    assert_eq!(
        db.value("SELECT count(*) FROM organization_api_keys WHERE expires_at BETWEEN now() + interval '89 days' AND now() + interval '90 days'").await,
        "1"
    );
}

#[tokio::test]
async fn keys_are_added_listed_and_revoked() {
    let db = TestDb::migrated().await;
    let made =
        db.run("org-create").args(["-n", "Acme", "--id", "acme", "--format", "json"]).await.ok().json();
    let given = "9f86d081884c7d659a2feaa0c55ad015-ops";
    let run = db.run("org-update").args(["--org-id", "acme", "--add-key", "-k", "-"]).stdin(given).await.ok();
    let run = run.says("as given").says("never");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains(given), "{run:?}");
    let report = update(&db, &["--list-keys"]).await;
    assert_eq!(states(&report), ["live", "live"]);
    assert_eq!((&report["api_key"], &report["run_id"]), (&Value::Null, &Value::Null));
    assert_eq!(org_of(&db, given).await, "acme");

    let ids: Vec<String> =
        report["keys"].as_array().unwrap().iter().map(|key| text(key, "key_id").to_owned()).collect();
    let report = update(&db, &["--revoke-key", &ids[0], "--add-key"]).await;
    assert_eq!(report["revoked_keys"], json!([ids[0]]));
    assert_eq!(states(&report), ["revoked", "live", "live"]);
    assert_eq!(org_of(&db, text(&made, "api_key")).await, "");
    // What is revoked stays revoked, and is revoked once.
    let revoked_at = db.value("SELECT max(revoked_at) FROM organization_api_keys").await;
    let report = update(&db, &["--revoke-key", &ids[0]]).await;
    assert_eq!((&report["revoked_keys"], &report["run_id"]), (&json!([]), &Value::Null));
    update(&db, &["--rotate-key"]).await;
    assert_eq!(db.value("SELECT max(revoked_at) FROM organization_api_keys").await, revoked_at);
    let listed = db.run("org-update").args(["--org-id", "acme", "--list-keys"]).await.ok();
    listed.says("revoked").says("LAST USED").says("is as it was");
    // A whole key names itself.
    let report = update(&db, &["--revoke-key", text(&made, "api_key")]).await;
    assert_eq!(report["revoked_keys"], json!([]));
}

#[tokio::test]
async fn what_does_not_hold_is_refused_and_nothing_is_changed() {
    let db = two_organizations().await;
    let key = "Vq3xT8mZpL0rKc7WdYb2Nh-1";
    let org = ["--org-id", "globex"];
    db.run("org-update").args(org).args(["--add-key", "--api-key", "-"]).stdin(key).await.ok();
    let before = everything(&db).await;
    let runs = db.value("SELECT count(*) FROM stockfoil.run").await;
    for (args, part) in [
        (&["--name", "x", "--subdomain", "GLOBEX"][..], "the subdomain \"globex\" is another organization's"),
        (&["--name", "x", "--rotate-key", "--api-key", key], "the API key is in use already"),
        (
            &["--name", "x", "--revoke-key", "0aZ9bY8c"],
            "organization acme has no API key \"0aZ9bY8c\"; nothing was changed",
        ),
        (&["--name", "x", "--revoke-key", key], "that is no key's id"),
        (&["--name", " "], "can't be an organization's name"),
        (&["--subdomain", "WWW"], "\"www\" is reserved"),
        (&["--subdomain", ""], "can't be a subdomain"),
        (&["--subdomain", "x", "--no-subdomain"], "--subdomain and --no-subdomain exclude each other"),
        (&["--activate", "--deactivate"], "--activate and --deactivate exclude each other"),
        (&["--rotate-key", "--add-key"], "--rotate-key and --add-key exclude each other"),
        (&["--overlap", "24h"], "--overlap needs --rotate-key"),
        (&["--add-key", "--overlap", "24h"], "--overlap needs --rotate-key"),
        (&["--expires", "24h"], "--expires needs --rotate-key or --add-key"),
        (&["--api-key", key], "--api-key needs --rotate-key or --add-key"),
        (&["--add-key", "--expires", "0s"], "would end the key at once"),
        (&["--rotate-key", "--overlap", "24"], "give a time such as 24h"),
        (&["--rotate-key", "--api-key", "with space"], "visible ASCII"),
        (&[], "say what to change"),
    ] {
        let run = db.run("org-update").args(["--org-id", "acme"]).args(args).await.refuses(2, part);
        assert!(!run.stderr.contains(key), "{}", run.stderr);
    }
    db.run("org-update")
        .args(["--org-id", "nobody", "--activate"])
        .await
        .refuses(2, "no organization with the id or subdomain \"nobody\"");
    db.run("org-update").args(["--org-id", "nobody", "--list-keys"]).await.refuses(2, "no organization");
    db.run("org-update").args(["--activate"]).await.refuses(2, "--org-id");
    assert_eq!(everything(&db).await, before);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.run").await, runs);
    let nowhere = Binary::new("org-update").env("DATABASE_URL", "postgres://x@localhost/x?host=/nowhere");
    nowhere.args(["--org-id", "acme", "--subdomain", "a b"]).await.refuses(2, "can't be a subdomain");
}

#[tokio::test]
async fn the_default_organization_is_deactivated_by_whoever_knows_what_that_does() {
    let db = two_organizations().await;
    let args = ["--org-id", "default", "--deactivate"];
    db.run("org-update").args(args).await.refuses(2, "a request that names no organization will find none");
    assert_eq!(db.value("SELECT stockfoil.resolve_org()").await, "default");
    db.run("org-update").args(args).arg("--yes").await.ok().tells("is inactive");
    assert_eq!(db.value("SELECT stockfoil.resolve_org()").await, "");
    // Another default, which DEFAULT_ORG_ID says, is meant then; it must be the database's own.
    let acme =
        || db.run("org-update").args(["--org-id", "acme", "--deactivate"]).env("DEFAULT_ORG_ID", "acme");
    acme().await.refuses(2, "nobody to ask; give --yes");
    acme().arg("--yes").await.refuses(2, "is \"default\", and not \"acme\"");
}

#[tokio::test]
async fn an_organization_that_others_hold_is_said_and_stays() {
    let db = two_organizations().await;
    let before = everything(&db).await;
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM organizations WHERE id = 'acme' FOR UPDATE")
        .execute(&mut other)
        .await
        .unwrap();
    let run = db.run("org-update").args(["--org-id", "acme", "--rotate-key"]).await;
    run.refuses(3, "another session holds organization acme or an API key of it locked; nothing was changed");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn rotations_at_once_leave_each_key_its_overlap() {
    let db = two_organizations().await;
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..6 {
        runs.spawn(db.run("org-update").args(["--org-id", "acme", "--rotate-key"]).into_future());
    }
    for run in runs.join_all().await {
        run.ok();
    }
    // One after the other: each ended those before it, and the last one lives on.
    assert_eq!(
        db.rows("SELECT count(*), count(*) FILTER (WHERE expires_at IS NULL) FROM organization_api_keys WHERE org_id = 'acme'").await,
        [["7", "1"]]
    );
}

#[tokio::test]
async fn a_key_that_can_not_be_shown_is_said() {
    let db = two_organizations().await;
    let folder = tempfile::tempdir().unwrap();
    let run =
        db.run("org-update").args(["--org-id", "acme", "--rotate-key", "--output"]).arg(folder.path()).await;
    run.refuses(3, "can't be written").tells("could not be shown; --revoke-key");
}

#[tokio::test]
async fn a_database_that_keeps_something_else_is_not_believed() {
    let db = two_organizations().await;
    db.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'Spoilt'; RETURN NEW; END $$;
         CREATE TRIGGER spoil BEFORE UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    .await;
    let before = everything(&db).await;
    let run = db.run("org-update").args(["--org-id", "acme", "--name", "Other", "--add-key"]).await;
    run.refuses(3, "stored another organization than it was given");
    assert_eq!(everything(&db).await, before);
}
