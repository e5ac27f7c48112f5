use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::json;
use testkit::{HttpReceiver, SmtpServer};

use super::{Site, answers};

/// For what never answers.
const IMPATIENT: &str = "timeout = '300ms'\ngive_up_after = '1s'\n";

/// The kinds of channel that post to an address, each with that of its key.
const POSTING: [(&str, &str); 3] =
    [("slack", "webhook_url"), ("webhook", "url"), ("pagerduty", "key = 's3cret'\nurl")];

fn posting(kind: &str, key: &str, url: &str) -> Site {
    Site::new(&format!("[[alerts.{kind}]]\n{key} = '{url}'\n"))
}

fn posting_impatiently(kind: &str, key: &str, url: &str) -> Site {
    Site::new(&format!("{IMPATIENT}[[alerts.{kind}]]\n{key} = '{url}'\n"))
}

#[tokio::test]
async fn an_address_that_does_not_take_a_critical_alert_is_status_3() {
    let elsewhere = HttpReceiver::start(&["200 OK"]).await;
    let redirect = format!("307 Elsewhere\r\nlocation: {}", elsewhere.url("/s3cret"));
    for (kind, key) in POSTING {
        for (answer, attempts, said) in [
            ("500 Oops\r\nretry-after: 0", 3, "answered with status 500"),
            ("429 Slow\r\nretry-after: 0", 3, "answered with status 429"),
            ("404 Gone", 1, "answered with status 404"),
            (redirect.as_str(), 1, "answered with a redirect (status 307), which is never followed"),
        ] {
            let receiver = HttpReceiver::start(&[answer]).await;
            let run = posting(kind, key, &receiver.url("/s3cret")).monitor().await.status(3);
            let run = run.says("no backup").says(&format!("alert backup/nightly not sent: {kind} {said}"));
            run.tells("error: the critical alert \"backup source nightly: no backup")
                .tells(&format!("reached nobody: {kind} {said}"));
            assert_eq!(receiver.requests().len(), attempts, "{kind}: {said}");
        }
    }
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn an_address_that_says_nothing_is_given_up_in_time() {
    for (kind, key) in POSTING {
        let silent = HttpReceiver::start(&[""]).await;
        let run = posting_impatiently(kind, key, &silent.url("/s3cret")).monitor().await.status(3);
        run.says(&format!("not sent: {kind} gave no answer within ")).tells("reached nobody");
        assert!((1..=3).contains(&silent.requests().len()));
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let run =
            posting_impatiently(kind, key, &format!("http://{closed}/s3cret")).monitor().await.status(3);
        run.tells("could not be reached (connection refused)");
        let run = posting_impatiently(kind, key, "https://hooks.invalid/s3cret").monitor().await.status(3);
        run.tells("could not be reached");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_and_not_repeated() {
    for (kind, key) in POSTING {
        posting(kind, key, "hooks.example.com/s3cret").monitor().await.refuses(2, "not a web address");
    }
    let site = Site::new("");
    for (variable, value, said) in [
        ("SLACK_WEBHOOK_URL", "hooks.example.com/s3cret", "SLACK_WEBHOOK_URL: not a web address"),
        ("PAGERDUTY_KEY", " s3cret", "PAGERDUTY_KEY: not an integration key"),
        ("ALERT_EMAIL", "nobody", "\"nobody\" is not a mail address"),
        ("HEALTHCHECK_URL", "s3cret", "HEALTHCHECK_URL: not a web address"),
    ] {
        let run = site.run("monitor-backups").env(variable, value).await.refuses(2, said);
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    }
    let run = site
        .run("monitor-backups")
        .env("ALERT_EMAIL", "a@example.com")
        .env("SMTP_URL", "smtp://me:s3cret@mail.example.com");
    let run = run.await.refuses(2, "SMTP_URL: would send the password in the clear");
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}

#[tokio::test]
async fn what_is_down_for_a_moment_is_tried_again() {
    for (kind, key) in POSTING {
        let receiver = HttpReceiver::start(&["503 Busy\r\nretry-after: 0", "202 Accepted"]).await;
        posting(kind, key, &receiver.url("/")).monitor().await.status(1).says(&format!("sent: {kind}"));
        let requests = receiver.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].body, requests[1].body, "the same message, with the same id");
    }
    // Greylisting.
    let smtp = SmtpServer::new().replies(&["451 later", "250 now"]).start().await;
    let site = Site::new(&format!(
        "[[alerts.email]]\nto = ['a@example.com']\nsmtp_url = 'smtp://127.0.0.1:{}'\n",
        smtp.port()
    ));
    site.monitor().await.status(1).says("sent: email");
    assert_eq!((smtp.connections(), smtp.mails().len()), (2, 1));
}

#[tokio::test]
async fn a_mail_server_that_does_not_take_a_critical_alert_is_status_3() {
    let site = |patience: &str, port: u16| {
        Site::new(&format!(
            "{patience}[[alerts.email]]\nto = ['a@example.com']\nsmtp_url = 'smtp://me:s3cret@127.0.0.1:{port}'\n"
        ))
    };
    let server = || SmtpServer::new().login("me", "s3cret");
    let refusing = server().replies(&["550 5.7.1 no\r\n"]).start().await;
    let run = site("", refusing.port()).monitor().await.status(3);
    run.says("not sent: email answered with status 550: 5.7.1 no")
        .tells("reached nobody: email answered with status 550");
    assert_eq!(refusing.connections(), 1, "what is refused for good is not tried again");

    let hanging = server().hangs().start().await;
    site(IMPATIENT, hanging.port()).monitor().await.status(3).says("not sent: email gave no answer within ");
    assert!((1..=3).contains(&hanging.connections()));

    // This one repeats the password that it refuses.
    let strict = SmtpServer::new().login("me", "another").start().await;
    site("", strict.port()).monitor().await.status(3).says("not sent: email refused the login (status 535)");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    site(IMPATIENT, closed.port())
        .monitor()
        .await
        .status(3)
        .says("not sent: email could not be reached (connection refused)");
    for server in [refusing, hanging, strict] {
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn a_hook_that_does_not_take_a_critical_alert_is_status_3() {
    let site = Site::new("");
    let hook = |script: &str| {
        let path = site.path("hook");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        site.configure(&format!("[[alerts.command]]\nprogram = '{}'\n", path.display()));
    };
    hook("echo 'out of cheese' >&2; echo talk; exit 7");
    let run = site.monitor().await.status(3);
    let run = run
        .says("not sent: command ended with exit status: 7: out of cheese")
        .tells("reached nobody: command ended");
    assert!(!run.stdout.contains("talk"), "what a hook says on standard output is not our data");
    hook("kill -9 $$");
    site.monitor().await.status(3).says("not sent: command ended with signal: 9");
    site.configure("[[alerts.command]]\nprogram = '/nowhere/hook'\n");
    site.monitor().await.status(3).says("not sent: command was not found; check its program");
    fs::set_permissions(site.path("hook"), fs::Permissions::from_mode(0o644)).unwrap();
    site.configure(&format!("[[alerts.command]]\nprogram = '{}'\n", site.path("hook").display()));
    site.monitor().await.status(3).says("not sent: command may not be run; check its program's permissions");
    // It need not read what it is told, nor end its children.
    hook("exec >/dev/null 2>&1; sleep 1000 & exit 0");
    site.monitor().await.status(1).says("sent: command");
}

#[tokio::test]
async fn a_hook_that_hangs_dies_with_its_children() {
    let site = Site::new("");
    let (hook, pids) = (site.path("hook"), site.path("pids"));
    fs::write(&hook, format!("#!/bin/sh\nsleep 1000 &\necho $$ $! >>'{}'\nwait\n", pids.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    site.configure(&format!("{IMPATIENT}[[alerts.command]]\nprogram = '{}'\n", hook.display()));
    site.monitor().await.status(3).says("not sent: command gave no answer within ");
    let pids = fs::read_to_string(pids).unwrap();
    let runs =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    let dead = async {
        while pids.split_whitespace().any(runs) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), dead).await.expect("a child goes on");
    assert!(!pids.trim().is_empty());
}

#[tokio::test]
async fn one_channel_that_takes_it_is_enough_and_the_others_are_told_later() {
    let (good, bad) =
        (HttpReceiver::start(&["200 OK"]).await, HttpReceiver::start(&["404 Gone", "200 OK"]).await);
    let site = Site::new(&format!(
        "[[alerts.slack]]\nname = 'good'\nwebhook_url = '{}'\n[[alerts.slack]]\nname = 'bad'\nwebhook_url = '{}'\n",
        good.url("/s3cret"),
        bad.url("/s3cret")
    ));
    let run = site.monitor().await.status(1).says("alert backup/nightly sent: good");
    run.says("alert backup/nightly not sent: bad answered with status 404");
    assert_eq!(answers(&site.json(1).await), ["log sent", "good told_before", "bad sent"]);
    assert_eq!(answers(&site.json(1).await), ["log sent", "good told_before", "bad told_before"]);
    assert_eq!((good.requests().len(), bad.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_recovery_that_reaches_nobody_is_told_by_the_next_run() {
    let receiver = HttpReceiver::start(&["200 OK", "404 Gone", "200 OK"]).await;
    let site = Site::new(&format!("[[alerts.slack]]\nwebhook_url = '{}'\n", receiver.url("/")));
    site.monitor().await.status(1);
    site.backups(2);
    site.monitor().await.ok().says("recovery backup/nightly not sent: slack answered with status 404");
    site.monitor().await.ok().says("recovery backup/nightly sent: slack");
    site.monitor().await.ok();
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn a_warning_that_reaches_nobody_is_still_a_finding() {
    let site = Site::new("");
    site.backups(1);
    let run = site.run("monitor-backups").env("SLACK_WEBHOOK_URL", "http://127.0.0.1:1/s3cret").await;
    run.status(1).says("not sent: slack could not be reached");
    let report = site.json(1).await;
    assert_eq!(report["alerts"][0]["severity"], json!("warning"));
}
