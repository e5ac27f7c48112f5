use std::{fs, time::Duration};

use testkit::{HttpReceiver, Signal, TestDb, signal};

use super::Site;

const GOOD: &str = "GET /s3cret?x=1";
const BAD: &str = "GET /s3cret/fail?x=1";

/// A site whose commands all ping `receiver`.
fn pinging(receiver: &HttpReceiver, more: &str) -> Site {
    let url = receiver.url("/s3cret?x=1");
    Site::new(&format!(
        "{more}[alerts.healthcheck]\nreconcile-balances = '{url}'\nmonitor-backups = '{url}'\nverify-backup = '{url}'\n"
    ))
}

fn pings(receiver: &HttpReceiver) -> Vec<String> {
    receiver.requests().into_iter().map(|request| request.line).collect()
}

#[tokio::test]
async fn only_a_run_that_is_well_says_so() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = pinging(&http, "");
    site.backups(2);
    site.monitor().await.ok();
    assert_eq!(pings(&http), [GOOD]);
    site.backups(1);
    site.monitor().await.status(1);
    site.backups(0);
    site.run("verify-backup").await.status(1);
    assert_eq!(pings(&http)[1..], [BAD, BAD]);
    // A folder that can't be judged.
    fs::remove_dir(site.path("backups")).unwrap();
    std::os::unix::fs::symlink("backups", site.path("backups")).unwrap();
    site.monitor().await.status(3);
    assert_eq!(pings(&http)[3..], [BAD]);
    // A result that can't be written: the work was done, but nobody will know.
    fs::remove_file(site.path("backups")).unwrap();
    fs::create_dir(site.path("backups")).unwrap();
    site.backups(2);
    fs::create_dir(site.path("taken")).unwrap();
    site.run("monitor-backups").args(["--output", "taken"]).await.status(3);
    assert_eq!(pings(&http)[4..], [BAD]);
    // A file that a person names is no scheduled run.
    site.run("verify-backup").args(["--file", "backups/0.sql"]).await;
    assert_eq!(pings(&http).len(), 5);
}

#[tokio::test]
async fn a_critical_alert_that_reached_nobody_is_no_good_run() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site =
        pinging(&http, "give_up_after = '100ms'\n[[alerts.slack]]\nwebhook_url = 'http://127.0.0.1:1/'\n");
    site.monitor().await.status(3);
    assert_eq!(pings(&http), [BAD]);
}

#[tokio::test]
async fn reconcile_pings_however_it_ends() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = pinging(&http, "");
    let db = TestDb::migrated().await;
    let run = |url: String| site.run("reconcile-balances").env("DATABASE_URL", url);
    run(db.url()).await.ok();
    run(db.url()).arg("--dry-run").await.ok();
    assert_eq!(pings(&http), [GOOD], "a dry run is no run");
    run(db.url()).args(["--tolerance", "-1"]).await.status(2);
    run("postgres://nobody@127.0.0.1:1/none".into()).await.status(3);
    run(TestDb::inventory().await.url()).await.status(3);
    let mut other = db.connect().await;
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(0x7374_6f63_6b66_6f69_i64)
        .execute(&mut other)
        .await
        .unwrap();
    run(db.url()).await.status(4);
    drop(other);
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert").await;
    run(db.url()).await.status(1);
    assert_eq!(pings(&http)[1..], [BAD; 5]);

    // Interrupted, while a table keeps it waiting.
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE inventory_balances").execute(&mut holder).await.unwrap();
    let mut child = run(db.url()).spawn();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'reconcile-balances%' AND datname = current_database() AND wait_event_type = 'Lock'";
    while db.value(waits).await == "0" {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert_eq!(pings(&http)[6..], [BAD]);
}

#[tokio::test]
async fn a_ping_that_does_not_arrive_is_said_and_changes_nothing_else() {
    let elsewhere = HttpReceiver::start(&["200 OK"]).await;
    let redirect = format!("302 Found\r\nlocation: {}", elsewhere.url("/s3cret"));
    for (answer, said) in [
        ("500 Oops\r\nretry-after: 0", "the healthcheck answered with status 500; whoever waits for it"),
        ("", "the healthcheck gave no answer within "),
        (redirect.as_str(), "the healthcheck answered with a redirect (status 302), which is never followed"),
    ] {
        let http = HttpReceiver::start(&[answer]).await;
        let site =
            pinging(&http, if answer.is_empty() { "timeout = '300ms'\ngive_up_after = '1s'\n" } else { "" });
        site.backups(2);
        site.monitor().await.ok().tells(said);
    }
    assert!(elsewhere.requests().is_empty());
    let http = HttpReceiver::start(&["503 Busy\r\nretry-after: 0", "200 OK"]).await;
    let site = pinging(&http, "");
    site.backups(2);
    let run = site.monitor().await.ok();
    assert_eq!(pings(&http), [GOOD, GOOD]);
    assert!(!run.stderr.contains("healthcheck"), "{}", run.stderr);
}

#[tokio::test]
async fn the_environment_names_the_healthcheck_of_whichever_command_runs() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new("");
    site.backups(2);
    site.run("monitor-backups").env("HEALTHCHECK_URL", http.url("/one")).await.ok();
    site.backups(0);
    site.run("monitor-backups").env("HEALTHCHECK_URL", http.url("/one/")).await.status(1);
    assert_eq!(pings(&http), ["GET /one", "GET /one/fail"]);
    // Of a service that tells good from bad by the query.
    site.configure(&format!(
        "[alerts.healthcheck]\nmonitor-backups = {{ url = '{}', failure_url = '{}' }}\n",
        http.url("/push?status=up"),
        http.url("/push?status=down")
    ));
    site.run("monitor-backups").await.status(1);
    assert_eq!(pings(&http)[2..], ["GET /push?status=down"]);
}
