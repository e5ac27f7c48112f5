//! What it does not do: write, wait, and outlive its end.

use super::*;

#[tokio::test]
async fn nothing_can_be_written() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO users (email, name) VALUES ('a@example.com', 'A');
         CREATE FUNCTION meddle() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; RETURN 1; END $$;
         CREATE FUNCTION free() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET transaction_read_only = off; DELETE FROM users; RETURN 1; END $$;
         CREATE VIEW trap AS SELECT meddle() AS caught;
         CREATE VIEW trick AS SELECT free() AS caught",
    )
    .await;
    let studio = Studio::open(&db).await;
    let trap = studio.get("/table/public.trap").await;
    assert_eq!(trap.status, 403, "{}", trap.body);
    assert!(trap.body.contains("read-only"), "{}", trap.body);
    assert!(studio.get("/table/public.trick").await.status >= 400);
    let host = format!("127.0.0.1:{}", studio.port);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = studio
            .send(method, "/row/public.users?col=id&val=1", &[("Host", &host), ("Cookie", &studio.cookie)])
            .await;
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(db.value("SELECT count(*) FROM users").await, "1");
}

#[tokio::test]
async fn a_lock_is_not_waited_for_long_and_the_studio_goes_on() {
    let db = TestDb::inventory().await;
    let studio = Studio::open(&db).await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let answer = studio.get("/table/public.items").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("locked"), "{}", answer.body);
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert_eq!(studio.get("/table/public.items").await.status, 200);
    // The schema changes under it, and pages follow.
    db.execute("ALTER TABLE items ADD COLUMN colour text; DROP TABLE feature_flags").await;
    assert!(studio.page("/table/public.items").await.contains("colour"));
    assert_eq!(studio.get("/table/public.feature_flags").await.status, 404);
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_ended() {
    let db = TestDb::inventory().await;
    db.execute("CREATE VIEW slow AS SELECT pg_sleep(600)::text AS nap").await;
    let studio = Studio::open(&db).await;
    let answer = studio.get("/table/public.slow").await;
    assert_eq!(answer.status, 504, "{}", answer.body);
    assert!(answer.body.contains("within 10 s"), "{}", answer.body);
    studio.page("/").await;
}

#[tokio::test]
async fn a_standby_is_shown() {
    let db = two_organizations().await;
    let url = db.url();
    let name = db.name().to_owned();
    let standby = tokio::task::spawn_blocking(move || Cluster::shared().standby()).await.unwrap();
    assert_ne!(standby.url(&name), url);
    let mut studio = Studio::start(&standby.url(&name)).await;
    studio.log_in().await;
    assert!(studio.page("/").await.contains("standby or read-only session"));
    assert!(
        studio
            .page("/table/public.inventory_ledger?org=org-acme&sort=created_at")
            .await
            .contains("acme-entry")
    );
    assert!(studio.page("/row/public.items?col=id&val=bore-item").await.contains("bore-secret"));
}

#[tokio::test]
async fn many_organizations_are_asked_for_by_id() {
    let db = two_organizations().await;
    db.execute("INSERT INTO organizations (id, name) SELECT 'org-' || i, 'Number ' || i FROM generate_series(1, 200) i").await;
    let studio = Studio::open(&db).await;
    let page = studio.page("/table/public.users?org=org-acme").await;
    assert!(
        page.contains("<input id=\"org\" name=\"org\" value=\"org-acme\"") && !page.contains("Number 7<"),
        "{page}"
    );
    assert!(page.contains("acme-secret") && !page.contains("bore-secret"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let db = TestDb::inventory().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    db.run("db-studio").args(["--no-open", "--port", &port]).await.refuses(3, "give --port another number");
    db.run("db-studio").args(["--port", "70000"]).await.refuses(2, "--port");
    testkit::Binary::new("db-studio").args(["--no-open"]).await.refuses(2, "DATABASE_URL");
}

#[tokio::test]
async fn a_signal_ends_it_with_130_and_its_sessions_with_it() {
    let db = TestDb::inventory().await;
    let mut studio = Studio::open(&db).await;
    studio.page("/").await;
    signal(&studio.process, Signal::TERM);
    assert_eq!(studio.process.wait().await.unwrap().code(), Some(130));
    assert_eq!(db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'db-studio%' AND datname = current_database()").await, "0");
}
