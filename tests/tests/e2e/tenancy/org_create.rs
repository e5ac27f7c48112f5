mod file;

use std::time::{SystemTime, UNIX_EPOCH};

use testkit::{Binary, Signal, TestDb, signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{everything, text};

#[tokio::test]
async fn an_organization_is_created_with_a_key_of_which_only_the_hash_is_kept() {
    let db = TestDb::migrated().await;
    let run = db
        .run("org-create")
        .args(["--name", " Acme Mining ", "--subdomain", "Acme", "--format", "json"])
        .await
        .ok();
    let org = run.json();
    assert_eq!(text(&org, "schema"), "stockfoil.org-create/1");
    let (id, key) = (text(&org, "id"), text(&org, "api_key"));
    assert!(id.len() == 30 && id.starts_with("org-"), "{id}");
    assert!(key.len() == 54 && key.starts_with(&format!("sf_live_{}_", text(&org, "api_key_id"))), "{key}");
    assert_eq!(org["warnings"], serde_json::json!([]));
    assert_eq!(
        db.rows(format!(
            "SELECT o.id, o.name, o.subdomain, o.is_active, k.key_id, k.hash = sha256('{key}'), k.expires_at, k.revoked_at
             FROM organizations o JOIN organization_api_keys k ON k.org_id = o.id"
        ))
        .await,
        [[id, "Acme Mining", "acme", "t", text(&org, "api_key_id"), "t", "", ""]]
    );
    let rows = everything(&db).await;
    assert!(!format!("{rows:?}").contains(key), "the key is in the database: {rows:?}");
    run.tells("org-create: database");
}

#[tokio::test]
async fn scripts_are_told_in_a_form_that_stays() {
    let db = TestDb::migrated().await;
    let args = ["--id", "acme", "--name", "Acme", "--expires", "90d", "--format", "json"];
    let run = db.run("org-create").args(args).await.ok();
    let org = run.json();
    let (key, key_id) = (text(&org, "api_key"), text(&org, "api_key_id"));
    let ends =
        db.value("SELECT expires_at = created_at + interval '90 days' FROM organization_api_keys").await;
    assert_eq!(ends, "t");
    let shown = run
        .stdout
        .replace(key, "KEY")
        .replace(key_id, "KEY ID")
        .replace(text(&org, "created_at"), "TIME")
        .replace(text(&org, "api_key_expires_at"), "LATER")
        .replace(&format!("\"run_id\": {}", org["run_id"]), "\"run_id\": RUN");
    assert_eq!(
        shown,
        r#"{
  "schema": "stockfoil.org-create/1",
  "outcome": "clean",
  "id": "acme",
  "name": "Acme",
  "subdomain": null,
  "is_active": true,
  "created_at": "TIME",
  "api_key_id": "KEY ID",
  "api_key": "KEY",
  "api_key_expires_at": "LATER",
  "api_key_label": null,
  "api_key_scopes": null,
  "run_id": RUN,
  "warnings": []
}
"#
    );
    let record = format!(
        "SELECT command, outcome, summary ->> 'org_id', summary ->> 'api_key_id' FROM stockfoil.run WHERE id = {}",
        org["run_id"]
    );
    assert_eq!(db.rows(record).await, [["org-create", "clean", "acme", key_id]]);
}

#[tokio::test]
async fn a_person_sees_the_key_once_and_is_told_so() {
    let db = TestDb::migrated().await;
    let run =
        db.run("org-create").args(["-n", "Acme", "-s", "acme", "--id", "acme-1", "--inactive"]).await.ok();
    let run = run.says("organization acme-1 created").says("it can't be shown again");
    assert_eq!(run.stdout.matches("sf_live_").count(), 1, "{}", run.stdout);
    assert!(!run.stderr.contains("sf_live_"), "{}", run.stderr);
    assert_eq!(db.value("SELECT is_active FROM organizations WHERE id = 'acme-1'").await, "f");
}

#[tokio::test]
async fn made_ids_sort_by_time() {
    let db = TestDb::migrated().await;
    let mut ids = Vec::new();
    for name in ["First", "Second", "Third"] {
        let run = db.run("org-create").args(["--name", name, "--format", "json"]).await.ok();
        ids.push(text(&run.json(), "id").to_owned());
    }
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE subdomain IS NULL").await, "4");
}

#[tokio::test]
async fn a_given_key_is_taken_as_it_is_and_not_repeated() {
    let db = TestDb::migrated().await;
    let key = "9f86d081884c7d659a2feaa0c55ad015-ops";
    let given = db.run("org-create").args(["-n", "Acme", "-k", key, "--format=json"]).await.ok();
    let piped = key.to_ascii_uppercase();
    let stdin =
        db.run("org-create").args(["-n", "Globex", "--api-key", "-"]).stdin(&format!("{piped}\r\nmore\n"));
    let stdin = stdin.await.ok().says("as given");
    assert_eq!(given.json()["api_key"], serde_json::Value::Null);
    assert_eq!(
        db.rows(format!(
            "SELECT o.name, k.hash IN (sha256('{key}'), sha256('{piped}')), length(k.key_id)
             FROM organization_api_keys k JOIN organizations o ON o.id = k.org_id ORDER BY o.name"
        ))
        .await,
        [["Acme", "t", "8"], ["Globex", "t", "8"]]
    );
    assert!(!stdin.stderr.contains("warning"), "{}", stdin.stderr);
    for run in [given.tells("warning: --api-key stood on the command line"), stdin] {
        assert!(!format!("{}{}", run.stdout, run.stderr).to_lowercase().contains(key), "{run:?}");
        assert_eq!(run.stderr.matches("warning").count(), run.stderr.matches("command line").count());
    }
}

#[tokio::test]
async fn waiting_for_a_key_can_be_interrupted() {
    let db = TestDb::migrated().await;
    let mut child = db.run("org-create").args(["-n", "Acme", "-k", "-"]).spawn();
    // Waiting for a child closes its standard input, whose end would be an answer too.
    let _open = child.stdin.take();
    let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(talk.next_line().await.unwrap().unwrap(), "reading --api-key from standard input");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "0");
}

#[tokio::test]
async fn a_weak_key_is_warned_of_and_taken() {
    let db = TestDb::migrated().await;
    let run = db
        .run("org-create")
        .args(["-n", "Acme", "-k", "letmein"])
        .await
        .ok()
        .tells("warning: the API key holds");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("letmein"), "{run:?}");
    let typo = "sf_live_0aZ9bY8c_0123456789ABCDEFGHIJabcdefghij_1FeICu";
    db.run("org-create").args(["-n", "Globex", "-k", typo]).await.ok().tells("check part does not fit");
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "2");
}

#[tokio::test]
async fn bad_input_is_refused_before_the_first_statement() {
    // No server listens there: what is said of the input is said without one.
    let nowhere = || Binary::new("org-create").env("DATABASE_URL", "postgres://x@localhost/x?host=/nowhere");
    let long = "a".repeat(201);
    for (args, part) in [
        (["--name", "", "-s", "acme"], "can't be an organization's name"),
        (["--name", "  ", "-s", "acme"], "can't be an organization's name"),
        (["--name", "a\nb", "-s", "acme"], "can't be an organization's name"),
        (["--name", &long, "-s", "acme"], "1 to 200 characters"),
        (["--name", "Acme", "--subdomain", "Bad Name"], "can't be a subdomain; use 1 to 63 letters"),
        (["--name", "Acme", "--subdomain", ""], "can't be a subdomain"),
        (["--name", "Acme", "--subdomain", "-a"], "can't be a subdomain"),
        (["--name", "Acme", "--subdomain", "müller"], "can't be a subdomain"),
        (["--name", "Acme", "--subdomain", "xn--mller-kva"], "'--' in places 3 and 4"),
        (["--name", "Acme", "--subdomain", "42"], "is a number"),
        (["--name", "Acme", "--subdomain", "WWW"], "\"www\" is reserved"),
        (["--name", "Acme", "--id", "no spaces"], "can't be an organization id"),
        (["--name", "Acme", "--api-key", ""], "the API key is empty"),
        (["--name", "Acme", "--api-key", "s3cret key"], "visible ASCII"),
        (["--name", "Acme", "--api-key", "-"], "the API key is empty"),
        (["--name", "Acme", "--expires", "0s"], "would end the key at once"),
        (["--name", "Acme", "--expires", "soon"], "\"soon\" is no time; give a time such as 24h"),
        (["--name", "Acme", "--subdoman", "acme"], "did you mean --subdomain?"),
    ] {
        let run = nowhere().args(args).await.refuses(2, part);
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    }
    nowhere().await.refuses(2, "--name");
    nowhere().args(["--name", "Acme"]).await.refuses(3, "can't connect");
}

#[tokio::test]
async fn more_subdomains_can_be_reserved() {
    let db = TestDb::migrated().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[tenancy]\nreserved_subdomains = ['Warehouse']\n")
        .unwrap();
    let run = db.run("org-create").args(["-n", "Acme", "-s", "warehouse"]).folder(&folder).await;
    run.refuses(2, "\"warehouse\" is reserved");
}

#[tokio::test]
async fn what_is_taken_is_named_and_nothing_is_changed() {
    let db = TestDb::migrated().await;
    let key = "Vq3xT8mZpL0rKc7WdYb2Nh-1";
    db.run("org-create").args(["-n", "Acme", "-s", "acme", "--id", "acme", "-k", key]).await.ok();
    let before = everything(&db).await;
    for (args, part) in [
        (["-n", "Other", "-s", "ACME"], "the subdomain \"acme\" is another organization's"),
        (["-n", "Other", "--id", "acme"], "an organization \"acme\" exists already"),
        (["-n", "Other", "-k", key], "the API key is in use already"),
    ] {
        let run = db.run("org-create").args(args).await.refuses(2, part);
        assert!(!run.stderr.contains(key), "{}", run.stderr);
    }
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn of_twenty_at_once_with_one_subdomain_one_wins() {
    let db = TestDb::migrated().await;
    let mut runs = tokio::task::JoinSet::new();
    for n in 0..20 {
        runs.spawn(db.run("org-create").args(["-n", &format!("Acme {n}"), "-s", "acme"]).into_future());
    }
    let runs = runs.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.status == 0);
    assert_eq!((won.len(), lost.len()), (1, 19), "{lost:?}");
    for run in lost {
        run.refuses(2, "the subdomain \"acme\" is another organization's; choose another one");
    }
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE subdomain = 'acme'").await, "1");
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "1");
}

#[tokio::test]
async fn the_key_is_nowhere_but_once_on_standard_output() {
    let db = TestDb::migrated().await;
    // From here on the server writes down every statement, with its parameters, that this database sees.
    for setting in [
        "log_statement = 'all'",
        "log_min_duration_statement = 0",
        "log_parameter_max_length = -1",
        "log_parameter_max_length_on_error = -1",
        "log_error_verbosity = 'verbose'",
    ] {
        db.execute(format!("ALTER DATABASE {} SET {setting}", db.name())).await;
    }
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let given = format!("gIvEn-{nanos:032x}");
    let made =
        db.run("org-create").args(["-n", "Acme", "-s", "acme", "-v"]).env("RUST_LOG", "trace").await.ok();
    let piped =
        || db.run("org-create").args(["-n", "Globex", "-k", "-"]).stdin(&given).env("RUST_LOG", "trace");
    let (piped, refused) = (piped().await.ok(), piped().await.refuses(2, "in use already"));

    let at = made.stdout.find("sf_live_").unwrap();
    let key = &made.stdout[at..at + 54];
    assert_eq!(made.stdout.matches(key).count(), 1);
    let secret = &key[17..47];
    let log = std::fs::read_to_string(db.cluster().data().join("server.log")).unwrap();
    assert!(
        log.contains("INSERT INTO \"public\".\"organization_api_keys\"") && log.contains("parameters: $1"),
        "{log}"
    );
    assert!(made.stderr.contains("TRACE") || made.stderr.contains("DEBUG"), "{}", made.stderr);
    for (place, text) in [
        ("the server's log", &log),
        ("standard error", &made.stderr),
        ("the given key's standard output", &piped.stdout),
        ("the given key's standard error", &piped.stderr),
        ("the refusal", &refused.stderr),
    ] {
        assert!(!text.contains(secret), "the made key is in {place}: {text}");
        assert!(!text.contains(&given), "the given key is in {place}: {text}");
    }
    let dump = db.cluster().program("pg_dump").arg(db.name()).output().unwrap();
    assert!(dump.status.success());
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(
        dump.contains("COPY public.organization_api_keys")
            && !dump.contains(secret)
            && !dump.contains(&given)
    );
}

#[tokio::test]
async fn keys_that_still_hold_across_organizations_are_warned_of() {
    let db = TestDb::migrated().await;
    db.execute("CREATE UNIQUE INDEX old_email_key ON users (lower(email)) INCLUDE (org_id)").await;
    let run = db
        .run("org-create")
        .args(["-n", "Acme", "--format", "json"])
        .await
        .ok()
        .tells("old_email_key on users");
    assert_eq!(run.json()["warnings"].as_array().unwrap().len(), 1, "{}", run.stdout);
}

#[tokio::test]
async fn a_key_that_can_not_be_shown_is_said() {
    let db = TestDb::migrated().await;
    let before = everything(&db).await;
    let run = db.run("org-create").args(["-n", "Acme", "--id", "acme", "--output", "/nowhere/key.txt"]).await;
    run.refuses(2, "there is no folder /nowhere");
    assert_eq!(everything(&db).await, before);
    // A folder can't be replaced by a file, which shows only when the key is written.
    let folder = tempfile::tempdir().unwrap();
    let run = db.run("org-create").args(["-n", "Acme", "--id", "acme", "--output"]).arg(folder.path()).await;
    run.refuses(3, "can't be written").tells("organization acme was created, but its API key");
}

#[tokio::test]
async fn a_database_that_keeps_something_else_is_not_believed() {
    let db = TestDb::migrated().await;
    db.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.hash := sha256('x'); RETURN NEW; END $$;
         CREATE TRIGGER spoil BEFORE INSERT ON organization_api_keys FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    .await;
    let before = everything(&db).await;
    db.run("org-create")
        .args(["-n", "Acme"])
        .await
        .refuses(3, "stored another API key's hash than it was given");
    assert_eq!(everything(&db).await, before);
}
