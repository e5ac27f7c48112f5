//! Where a key shows and where it does not, and what is left of one that nobody saw.

use std::io::Read as _;

use sqlx::{Connection as _, PgConnection};
use testkit::{Binary, Cluster, Signal, TestDb, full_pipe, signal};

use super::text;

/// Waits until the query's answer is `wanted`.
async fn until(db: &TestDb, query: &str, wanted: &str) {
    while db.value(query).await != wanted {
        tokio::task::yield_now().await;
    }
}

async fn org_of(db: &TestDb, key: &str) -> Option<String> {
    let mut session = db.connect().await;
    sqlx::query_scalar("SELECT stockfoil.org_by_api_key($1)").bind(key).fetch_one(&mut session).await.unwrap()
}

/// The id of the only key of `org`, as an operator finds it.
async fn only_key(db: &TestDb, org: &str) -> String {
    let listed = db.run("org-update").args(["--org-id", org, "--list-keys", "--format", "json"]).await.ok();
    let keys = listed.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!((text(&keys[0], "state"), &keys[0]["last_used_on"]), ("live", &serde_json::Value::Null));
    text(&keys[0], "key_id").to_owned()
}

#[tokio::test]
async fn a_key_that_nobody_saw_is_seen_in_the_list_and_revoked() {
    let db = TestDb::migrated().await;
    let (mut reader, writer) = full_pipe();
    let mut child = db.run("org-create").args(["-n", "Acme", "--id", "acme"]).spawn_onto(writer);
    until(&db, "SELECT count(*) FROM organization_api_keys", "1").await;
    signal(&child, Signal::KILL);
    assert_eq!(child.wait().await.unwrap().code(), None, "it waits for its reader until it is killed");
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    assert_eq!(written.trim_matches('.'), "", "nobody saw the key");

    db.run("org-list").await.ok().says("acme");
    let key = only_key(&db, "acme").await;
    let run = db.run("org-update").args(["--org-id", "acme", "--revoke-key", &key]).await.ok();
    run.says("revoked").tells("no live API key any more");
    assert_eq!(
        db.value("SELECT count(*) FROM organization_api_keys WHERE revoked_at IS NULL").await,
        "0",
        "nothing usable is left"
    );
}

#[tokio::test]
async fn a_reader_that_goes_before_the_keys_are_shown_is_told_of() {
    let db = TestDb::migrated().await;
    let unread = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (command, args) = args.split_first().unwrap();
        db.run(command).args(args.iter().copied()).spawn_onto(writer).wait_with_output()
    };
    for args in [
        &["org-create", "-n", "Acme", "--id", "acme"][..],
        &["org-update", "--org-id", "acme", "--rotate-key", "--format", "json"],
    ] {
        let output = unread(args).await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("can't be shown again") && told.contains("--rotate-key"), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgs.csv");
    std::fs::write(&path, "name\nGlobex\n").unwrap();
    let file = ["org-create", "--file", path.to_str().unwrap()];
    assert_eq!(unread(&[&file[..], &["--dry-run"]].concat()).await.unwrap().status.code(), Some(0));
    assert_eq!(unread(&[&file[..], &["--with-keys"]].concat()).await.unwrap().status.code(), Some(3));
    assert_eq!(unread(&["org-list"]).await.unwrap().status.code(), Some(0));
    assert_eq!(db.value("SELECT count(*) FROM organization_api_keys").await, "3");
}

#[tokio::test]
async fn a_given_key_of_a_run_that_was_killed_ends_when_it_is_revoked() {
    let db = TestDb::migrated().await;
    let key = "9f86d081884c7d659a2feaa0c55ad015-killed";
    let (_reader, writer) = full_pipe();
    let mut child = db.run("org-create").args(["-n", "Acme", "--id", "acme", "-k", "-"]).spawn_onto(writer);
    tokio::io::AsyncWriteExt::write_all(child.stdin.as_mut().unwrap(), format!("{key}\n").as_bytes())
        .await
        .unwrap();
    until(&db, "SELECT count(*) FROM organization_api_keys", "1").await;
    signal(&child, Signal::KILL);
    assert_eq!(child.wait().await.unwrap().code(), None);
    let id = only_key(&db, "acme").await;
    assert_eq!(org_of(&db, key).await.as_deref(), Some("acme"));
    db.run("org-update").args(["--org-id", "acme", "--revoke-key", &id]).await.ok();
    assert_eq!(org_of(&db, key).await, None);
}

#[tokio::test]
async fn a_key_is_in_no_process_list() {
    let db = TestDb::migrated().await;
    let key = "Vq3xT8mZpL0rKc7WdYb2Nh-piped";
    let (_reader, writer) = full_pipe();
    let mut child = db.run("org-create").args(["-n", "Acme", "-k", "-"]).spawn_onto(writer);
    tokio::io::AsyncWriteExt::write_all(child.stdin.as_mut().unwrap(), format!("{key}\n").as_bytes())
        .await
        .unwrap();
    until(&db, "SELECT count(*) FROM organization_api_keys", "1").await;
    let process = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{file}", child.id().unwrap())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for file in ["cmdline", "comm", "environ"] {
        let text = process(file);
        assert!(!text.is_empty() && !text.contains(key), "{file}: {text}");
    }
    assert!(process("cmdline").contains("org-create"));
    let activity = db
        .value("SELECT string_agg(concat_ws(' ', application_name, query), chr(10)) FROM pg_stat_activity")
        .await;
    assert!(activity.contains("org-create") && !activity.contains(key), "{activity}");
    signal(&child, Signal::KILL);
    child.wait().await.unwrap();
}

#[tokio::test]
async fn the_servers_statistics_and_stockfoils_records_hold_no_key() {
    let cluster = Cluster::start(&[
        "--set",
        "shared_preload_libraries=pg_stat_statements",
        "--set",
        "pg_stat_statements.track=all",
    ]);
    let url = cluster.url("postgres");
    let mut session = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&mut session).await.unwrap();
    let run = |name: &str, args: &[&str]| {
        Binary::new(name).env("DATABASE_URL", &url).env("RUST_LOG", "trace").args(args)
    };
    run("migrate-all", &["-q"]).await.ok();
    let given = "gIvEn-0123456789abcdefghijklmnopqrstuv";
    let made = run("org-create", &["-n", "Acme", "--id", "acme", "--format", "json"]).await.ok();
    let rotated = run("org-update", &["--org-id", "acme", "--rotate-key", "--format", "json"]).await.ok();
    let piped =
        run("org-update", &["--org-id", "acme", "--add-key", "--api-key", "-"]).stdin(given).await.ok();
    let refused =
        run("org-update", &["--org-id", "default", "--add-key", "--api-key", "-"]).stdin(given).await;
    let refused = refused.refuses(2, "the API key is in use already");
    let listed = run("org-update", &["--org-id", "acme", "--list-keys"]).await.ok();

    let (first, second) =
        (text(&made.json(), "api_key").to_owned(), text(&rotated.json(), "api_key").to_owned());
    for key in [&first, &second, &given.to_owned()] {
        let org: Option<String> = sqlx::query_scalar("SELECT stockfoil.resolve_org(NULL, NULL, $1)")
            .bind(key)
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(org.as_deref(), Some("acme"));
    }
    for (run, key) in [(&made, &first), (&rotated, &second)] {
        assert_eq!(run.stdout.matches(key.as_str()).count(), 1, "{}", run.stdout);
    }
    let mut places = vec![
        ("org-create's standard error", made.stderr.clone()),
        ("org-update's standard error", rotated.stderr.clone()),
        ("a given key's output", format!("{}{}", piped.stdout, piped.stderr)),
        ("a refusal", refused.stderr.clone()),
        ("the list", format!("{}{}", listed.stdout, listed.stderr)),
    ];
    for (place, query, part) in [
        (
            "pg_stat_statements",
            "SELECT string_agg(query, chr(10)) FROM pg_stat_statements",
            "organization_api_keys",
        ),
        ("stockfoil.run", "SELECT string_agg(r::text, chr(10)) FROM stockfoil.run AS r", "api_key_id"),
        ("the keys' table", "SELECT string_agg(k::text, chr(10)) FROM organization_api_keys AS k", "acme"),
    ] {
        let found: String = sqlx::query_scalar(query).fetch_one(&mut session).await.unwrap();
        assert!(found.contains(part), "{place}: {found}");
        places.push((place, found));
    }
    places.push(("the server's log", std::fs::read_to_string(cluster.data().join("server.log")).unwrap()));
    for (place, found) in places {
        for key in [&first[17..47], &second[17..47], given] {
            assert!(!found.contains(key), "a key is in {place}: {found}");
        }
    }
    session.close().await.unwrap();
}
