use std::fs;

use testkit::{HttpReceiver, TestDb};

use super::{Site, answers};

#[tokio::test]
async fn the_database_remembers_where_it_can_and_the_file_where_it_cannot() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("[[alerts.slack]]\nwebhook_url = '{}'\n", http.url("/")));
    let db = TestDb::migrated().await;
    let run = async |url: &str, status: i32| {
        let run = site.run("monitor-backups").env("DATABASE_URL", url).args(["--format", "json"]).await;
        run.status(status).json()
    };
    let down = "postgres://nobody@127.0.0.1:1/none";
    let rows = "SELECT source, key, channel, severity, summary LIKE 'backup source nightly: no backup%', opened_at <= last_sent_at FROM stockfoil.alert_state ORDER BY channel";
    let expected =
        ["log", "slack"].map(|channel| ["monitor-backups", "backup/nightly", channel, "critical", "t", "t"]);

    // Down first: the file remembers, and the table takes it over when it can.
    assert_eq!(answers(&run(down, 1).await), ["log sent", "slack sent"]);
    assert_eq!(answers(&run(down, 1).await), ["log sent", "slack told_before"]);
    assert!(site.state().exists());
    assert_eq!(answers(&run(&db.url(), 1).await), ["log sent", "slack told_before"]);
    assert!(!site.state().exists());
    assert_eq!(db.rows(rows).await, expected);
    assert_eq!(answers(&run(&db.url(), 1).await), ["log sent", "slack told_before"]);
    assert_eq!(http.requests().len(), 1);

    // It goes down again: told once more, and never once less.
    assert_eq!(answers(&run(down, 1).await), ["log sent", "slack sent"]);
    site.backups(2);
    let report = run(&db.url(), 0).await;
    assert_eq!((report["alerts"][0]["event"].as_str(), http.requests().len()), (Some("recovery"), 3));
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state").await, "0");
    assert!(!site.state().exists());
    run(down, 0).await;
    assert_eq!(http.requests().len(), 3);

    // A database without the table is as good as none.
    site.backups(0);
    for db in [TestDb::empty().await, TestDb::inventory().await] {
        run(&db.url(), 1).await;
    }
    assert_eq!(http.requests().len(), 4);
}

#[tokio::test]
async fn a_problem_in_the_database_is_repeated_after_repeat_hours() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("repeat_hours = 4\n[[alerts.slack]]\nwebhook_url = '{}'\n", http.url("/")));
    let db = TestDb::migrated().await;
    let run = async || site.run("monitor-backups").env("DATABASE_URL", db.url()).await.status(1);
    run().await;
    let opened = db.value("SELECT opened_at FROM stockfoil.alert_state WHERE channel = 'slack'").await;
    for (hours, told) in [(3, 1), (4, 2)] {
        db.execute(format!(
            "UPDATE stockfoil.alert_state SET last_sent_at = now() - interval '{hours} hours'"
        ))
        .await;
        run().await;
        assert_eq!(http.requests().len(), told);
    }
    assert_eq!(db.value("SELECT opened_at FROM stockfoil.alert_state WHERE channel = 'slack'").await, opened);
    site.configure(&format!("repeat_hours = 0\n[[alerts.slack]]\nwebhook_url = '{}'\n", http.url("/")));
    run().await;
    assert_eq!(http.requests().len(), 3);
}

#[tokio::test]
async fn the_state_folder_is_the_users_own_where_none_is_configured() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new("");
    let run = || site.run("monitor-backups").arg("--config").arg(site.path("plain.toml"));
    let config = format!(
        "[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '{}'\n[[alerts.slack]]\nwebhook_url = '{}'\n",
        site.path("backups").display(),
        http.url("/")
    );
    fs::write(site.path("plain.toml"), &config).unwrap();
    let file = "monitor-backups.alerts.json";
    run().env("HOME", site.path("home")).await.status(1);
    assert!(site.path("home/.local/state/stockfoil").join(file).exists());
    run().env("HOME", site.path("home")).env("XDG_STATE_HOME", site.path("xdg")).await.status(1);
    assert!(site.path("xdg/stockfoil").join(file).exists());
    run().env("HOME", site.path("home")).env("STATE_DIRECTORY", site.path("systemd")).await.status(1);
    assert!(site.path("systemd").join(file).exists());
    assert_eq!(http.requests().len(), 3);
    run().env("HOME", site.path("home")).await.status(1).says("not repeated yet");

    // Two installations of one user keep apart by their names.
    fs::write(site.path("plain.toml"), config + "[alerts]\ninstance = 'two'\n").unwrap();
    run().env("HOME", site.path("home")).await.status(1).says("sent: slack");
    assert!(site.path("home/.local/state/stockfoil").join(format!("two.{file}")).exists());
}

#[tokio::test]
async fn a_memory_that_does_not_work_is_said_and_costs_no_alert() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let config = format!("[[alerts.slack]]\nwebhook_url = '{}'\n", http.url("/"));
    let site = Site::new(&config);
    // A file where the folder should be fails for every user.
    fs::write(site.path("state"), "").unwrap();
    for told in 1..=2 {
        site.monitor().await.status(1).tells("so the next run tells it again").says("sent: slack");
        assert_eq!(http.requests().len(), told);
    }
    let site = Site::new(&config);
    fs::create_dir(site.path("state")).unwrap();
    for text in ["{", "{\"schema\": \"stockfoil.alert_state/9\", \"told\": []}"] {
        fs::write(site.state(), text).unwrap();
        site.monitor()
            .await
            .status(1)
            .tells("can't be read, so open problems are told again")
            .says("sent: slack");
        site.monitor().await.status(1).says("not repeated yet");
    }
}

#[tokio::test]
async fn a_database_of_the_version_before_counts_once_it_is_migrated() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("[[alerts.slack]]\nwebhook_url = '{}'\n", http.url("/")));
    let db = TestDb::migrated().await;
    let run = async || site.run("monitor-backups").env("DATABASE_URL", db.url()).await.status(1);
    run().await;
    let down = testkit::workspace().join("migrations/20260102000000_alert_state_by_channel.down.sql");
    db.execute(fs::read_to_string(down).unwrap()).await;
    db.execute("DELETE FROM stockfoil.migration WHERE version = 20260102000000").await;
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state").await, "1");
    run().await.says("sent: slack");
    assert!(site.state().exists());
    // By the command that needs it, and then once more by its version.
    db.run("migrate-org").arg("--contract").await.ok().tells("remember what each alert channel was told");
    run().await.says("not repeated yet: slack");
    db.run("db-migrate").await.ok().says("1 applied");
    run().await.says("not repeated yet: slack");
    assert!(!site.state().exists());
    assert_eq!(http.requests().len(), 2);
    assert_eq!(
        db.value("SELECT string_agg(channel, ' ' ORDER BY channel) FROM stockfoil.alert_state").await,
        "log slack"
    );
}
