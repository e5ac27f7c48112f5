use std::{fs, os::unix::fs::PermissionsExt as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::{Authority, HttpReceiver, SmtpServer, TestDb};

use super::{Site, answers};

/// A hook that adds what it is told to `hook.out`, a line each.
fn hook(site: &Site, script: &str) -> String {
    let path = site.path("hook");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn every_channel_is_told_of_a_problem_once_then_again_and_of_its_end() {
    let http = HttpReceiver::start(&["202 Accepted"]).await;
    let smtp = SmtpServer::new().login("me", "s3cret").start().await;
    let site = Site::new("");
    let hook = hook(
        &site,
        &format!("cat >>'{0}'; echo \"|$1|$TOKEN|$SECRET\" >>'{0}'", site.path("hook.out").display()),
    );
    site.configure(&format!(
        "instance = 'acme-prod'
         [[alerts.slack]]
         webhook_url = '{}'
         [[alerts.webhook]]
         url = '{}'
         secret = 's3cret key'
         headers = {{ Authorization = 'Bearer s3cret' }}
         [[alerts.pagerduty]]
         key = 's3cret-routing'
         url = '{}'
         [[alerts.email]]
         to = ['Ops <ops@example.com>', 'boss@example.com']
         from = 'stockfoil@example.com'
         smtp_url = 'smtp://me:s3cret@127.0.0.1:{}'
         [[alerts.command]]
         program = '{hook}'
         args = ['a b']
         env = ['TOKEN']\n",
        http.url("/slack/s3cret"),
        http.url("/webhook/s3cret"),
        http.url("/v2/enqueue"),
        smtp.port(),
    ));
    let monitor = async |status: i32| {
        let run = site.run("monitor-backups").env("RUST_LOG", "trace").arg("--verbose");
        let run = run.env("TOKEN", "token").env("SECRET", "x").await.status(status);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("s3cret"), "{}{}", run.stdout, run.stderr);
        run
    };
    let requests = |path: &str| -> Vec<_> {
        let line = format!("POST {path}");
        http.requests().into_iter().filter(|request| request.line == line).collect()
    };
    let hooked = || -> Vec<String> {
        fs::read_to_string(site.path("hook.out")).unwrap().lines().map(str::to_owned).collect()
    };

    let run = monitor(1).await;
    let run = run.tells("ERROR").tells("monitor-backups: backup source nightly: no backup");
    for channel in ["slack", "webhook", "pagerduty", "email", "command"] {
        assert!(run.stdout.contains(&format!("alert backup/nightly sent: {channel}\n")), "{}", run.stdout);
    }
    let slack = &requests("/slack/s3cret")[0];
    assert_eq!(slack.header("content-type"), Some("application/json"));
    let text = slack.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with(
            ":red_circle: *critical* monitor-backups (acme-prod): backup source nightly: no backup"
        ),
        "{text}"
    );

    let webhook = &requests("/webhook/s3cret")[0];
    let message = webhook.json();
    assert_eq!(
        message.as_object().unwrap().keys().collect::<Vec<_>>(),
        [
            "schema",
            "id",
            "event",
            "sent_at",
            "opened_at",
            "is_repeat",
            "instance",
            "host",
            "source",
            "severity",
            "key",
            "summary",
            "details",
            "run_id"
        ]
    );
    assert_eq!(
        (&message["schema"], &message["event"], &message["severity"], &message["key"], &message["instance"]),
        (
            &json!("stockfoil.alert/1"),
            &json!("problem"),
            &json!("critical"),
            &json!("backup/nightly"),
            &json!("acme-prod")
        )
    );
    assert_eq!(webhook.header("authorization"), Some("Bearer s3cret"));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret key").unwrap();
    mac.update(webhook.body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(webhook.header("x-stockfoil-signature"), Some(format!("sha256={digits}").as_str()));

    let trigger = requests("/v2/enqueue")[0].json();
    assert_eq!(
        (&trigger["event_action"], &trigger["routing_key"]),
        (&json!("trigger"), &json!("s3cret-routing"))
    );
    assert_eq!(trigger["dedup_key"], "acme-prod/monitor-backups/backup/nightly");
    assert_eq!(
        (&trigger["payload"]["severity"], &trigger["payload"]["source"]),
        (&json!("critical"), &json!("acme-prod"))
    );

    let mail = smtp.mails()[0].clone();
    assert_eq!(
        (mail.from.as_str(), mail.to),
        ("stockfoil@example.com", vec!["ops@example.com".to_owned(), "boss@example.com".to_owned()])
    );
    assert_eq!(mail.login, Some(("me".to_owned(), "s3cret".to_owned())));
    for part in [
        "To: Ops <ops@example.com>, boss@example.com\r\n",
        "Subject: [critical] monitor-backups (acme-prod): backup source nightly: no",
        "Auto-Submitted: auto-generated\r\n",
        "Date: ",
        "Message-ID: <",
        "critical: monitor-backups (acme-prod): backup source nightly: no backup",
    ] {
        assert!(mail.text.contains(part), "no {part:?} in {}", mail.text);
    }
    let told: Vec<String> = hooked();
    let (json, rest) = told[0].rsplit_once("}|").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&format!("{json}}}")).unwrap(), message);
    assert_eq!(rest, "a b|token|", "a hook gets its arguments, and of the environment what it is to get");

    // The same problem again: nobody is told, and that is enough.
    let run = monitor(1).await.tells("ERROR");
    assert_eq!(run.stdout.matches("alert backup/nightly not repeated yet: ").count(), 5, "{}", run.stdout);
    assert_eq!((http.requests().len(), smtp.mails().len(), hooked().len()), (3, 1, 1));
    site.age(23);
    monitor(1).await;
    assert_eq!(http.requests().len(), 3);

    // A day later.
    site.age(24);
    monitor(1).await;
    assert_eq!((http.requests().len(), smtp.mails().len(), hooked().len()), (6, 2, 2));
    let text = requests("/slack/s3cret")[1].json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with(":red_circle: *still critical* ") && text.contains("\n• open since 20"),
        "{text}"
    );
    let repeated = requests("/webhook/s3cret")[1].json();
    assert_eq!((&repeated["is_repeat"], &repeated["opened_at"]), (&json!(true), &message["opened_at"]));
    assert_ne!(repeated["id"], message["id"]);

    // Its end, once.
    site.backups(2);
    let run = monitor(0).await.says("recovered: backup source nightly: no backup");
    for channel in ["slack", "webhook", "pagerduty", "email", "command"] {
        assert!(run.stdout.contains(&format!("recovery backup/nightly sent: {channel}\n")), "{}", run.stdout);
    }
    assert_eq!((http.requests().len(), smtp.mails().len(), hooked().len()), (9, 3, 3));
    assert_eq!(requests("/webhook/s3cret")[2].json()["event"], "recovery");
    let resolve = requests("/v2/enqueue")[2].json();
    assert_eq!((&resolve["event_action"], &resolve["dedup_key"]), (&json!("resolve"), &trigger["dedup_key"]));
    assert!(smtp.mails()[2].text.contains("Subject: [recovered] "));
    let run = monitor(0).await;
    assert!(!run.stdout.contains("recovered"), "{}", run.stdout);
    assert_eq!((http.requests().len(), smtp.mails().len(), hooked().len()), (9, 3, 3));
}

#[tokio::test]
async fn the_environment_alone_makes_channels() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let smtp = SmtpServer::new().start().await;
    let site = Site::new(&format!("[[alerts.pagerduty]]\nurl = '{}'\n", http.url("/pagerduty")));
    site.run("monitor-backups")
        .env("SLACK_WEBHOOK_URL", http.url("/slack"))
        .env("PAGERDUTY_KEY", "routing")
        .env("ALERT_EMAIL", "a@example.com,b@example.com")
        .env("SMTP_URL", format!("smtp://127.0.0.1:{}", smtp.port()))
        .await
        .status(1);
    let mut lines: Vec<String> = http.requests().into_iter().map(|request| request.line).collect();
    lines.sort();
    assert_eq!(lines, ["POST /pagerduty", "POST /slack"]);
    let mail = &smtp.mails()[0];
    assert_eq!(mail.to, ["a@example.com", "b@example.com"]);
    assert!(mail.from.starts_with("stockfoil@"), "{}", mail.from);
}

#[tokio::test]
async fn severities_choose_the_channel() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!(
        "[[alerts.slack]]\nwebhook_url = '{}'\nseverities = ['warning']\n[[alerts.slack]]\nname = 'pager'\nwebhook_url = '{}'\nseverities = ['critical']\n",
        http.url("/people"),
        http.url("/pager"),
    ));
    let lines = || http.requests().into_iter().map(|request| request.line).collect::<Vec<_>>().join(" ");
    site.backups(1);
    assert_eq!(answers(&site.json(1).await), ["log sent", "slack sent"]);
    assert_eq!(lines(), "POST /people");
    // It got worse: those are told who hear of what is critical, and nobody hears that it is over.
    site.backups(0);
    assert_eq!(answers(&site.json(1).await), ["log sent", "pager sent"]);
    assert_eq!(lines(), "POST /people POST /pager");
    // It is a warning again: for the pager that is its end.
    site.backups(1);
    let report = site.json(1).await;
    assert_eq!(answers(&report), ["log sent", "slack told_before"]);
    assert_eq!(
        (&report["alerts"][1]["event"], &report["alerts"][1]["details"][0]),
        (&json!("recovery"), &json!("it is now a warning"))
    );
    assert_eq!(lines(), "POST /people POST /pager POST /pager");
    site.backups(2);
    assert_eq!(answers(&site.json(0).await), ["log sent", "slack sent"]);
    assert_eq!(lines(), "POST /people POST /pager POST /pager POST /people");
}

#[tokio::test]
async fn verify_backup_tells_the_same_people() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("[[alerts.webhook]]\nurl = '{}'\n", http.url("/")));
    site.run("verify-backup").await.status(1).says("alert backup/nightly sent: webhook");
    let message = http.requests()[0].json();
    assert_eq!((&message["source"], &message["key"]), (&json!("verify-backup"), &json!("backup/nightly")));
    site.run("verify-backup").await.status(1).says("not repeated yet: webhook");
    // A file that a person names is their own business.
    site.run("verify-backup").args(["--file", "nowhere"]).await.status(1);
    assert_eq!(http.requests().len(), 1);
}

#[tokio::test]
async fn reconcile_tells_the_same_people() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("[[alerts.webhook]]\nurl = '{}'\n", http.url("/")));
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('triggers', 'T');
         INSERT INTO items (id, item_number, name) VALUES ('i', 'i', 'i'); INSERT INTO locations (id, site, name) VALUES ('l', 's', 'l');
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) VALUES ('acme', 'i', 'l', 5), ('triggers', 'i', 'l', 6)",
    )
    .await;
    let damage = "UPDATE inventory_balances SET qty_canonical = qty_canonical + 1";
    let run = async |status: i32, args: &[&str]| {
        let run = site.run("reconcile-balances").env("DATABASE_URL", db.url()).args(args).await;
        run.status(status)
    };
    let messages = || -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut all: Vec<String> = http
            .requests()
            .iter()
            .map(|request| request.json())
            .map(|told| text(&told["event"]) + " " + &text(&told["key"]))
            .collect();
        all.sort();
        all
    };
    db.run("backfill-balances").await.ok();
    db.execute(damage).await;
    run(1, &["--dry-run"]).await;
    assert!(http.requests().is_empty());
    run(1, &[]).await.says("alert balances/acme sent: webhook");
    assert_eq!(messages(), ["problem balances/acme", "problem balances/triggers"]);
    run(1, &[]).await.says("alert balances/acme not repeated yet: webhook");
    // One organization is mended; of the others nobody says that they were.
    run(0, &["--org", "acme", "--fix-large"]).await.says("recovery balances/acme sent: webhook");
    assert_eq!(messages(), ["problem balances/acme", "problem balances/triggers", "recovery balances/acme"]);
    run(0, &["--org", "acme"]).await;
    assert_eq!(http.requests().len(), 3);
    assert_eq!(
        db.rows("SELECT source, key, channel, severity FROM stockfoil.alert_state ORDER BY channel").await,
        [
            ["reconcile-balances", "balances/triggers", "log", "critical"],
            ["reconcile-balances", "balances/triggers", "webhook", "critical"]
        ]
    );
    run(0, &["--fix-large"]).await.says("recovery balances/triggers sent: webhook");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.alert_state").await, "0");
    assert!(!site.path("state").exists(), "with a database there is no file");
}

#[tokio::test]
async fn many_organizations_share_an_alert_and_none_is_said_to_be_over_for_that() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new(&format!("[[alerts.webhook]]\nurl = '{}'\n", http.url("/")));
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO organizations (id, name) SELECT 'o' || n, 'o' FROM generate_series(10, 21) n;
         INSERT INTO items (id, item_number, name) VALUES ('i', 'i', 'i'); INSERT INTO locations (id, site, name) VALUES ('l', 's', 'l');
         INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical) SELECT 'o' || n, 'i', 'l', 5 FROM generate_series(10, 21) n",
    )
    .await;
    db.run("backfill-balances").await.ok();
    let damaged = async |from: &str| {
        db.execute(format!("UPDATE inventory_balances SET qty_canonical = 5 + (org_id >= '{from}')::int"))
            .await;
        let run = site.run("reconcile-balances").env("DATABASE_URL", db.url());
        run.args(["--format", "json"]).await.status(1).json()
    };
    let keys = |report: &Value| -> Vec<String> {
        report["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sent| format!("{} {}", sent["event"], sent["key"]).replace('"', ""))
            .collect()
    };
    // Ten with an alert of their own; then two earlier ones push the last two into the common one.
    assert_eq!(keys(&damaged("o12").await).len(), 10);
    let keys = keys(&damaged("o10").await);
    assert_eq!((keys.len(), keys.last().map(String::as_str)), (11, Some("problem balances")));
    assert!(!keys.iter().any(|key| key.starts_with("recovery")), "{keys:?}");
}

#[tokio::test]
async fn encrypted_channels_trust_whom_the_system_trusts() {
    let authority = Authority::new();
    let http = HttpReceiver::start_tls(&["200 OK"], &authority).await;
    let (smtps, starttls) = (
        SmtpServer::new().tls(&authority).login("me", "s3cret").start().await,
        SmtpServer::new().starttls(&authority).login("me", "s3cret").start().await,
    );
    let site = Site::new(&format!(
        "[[alerts.webhook]]\nurl = '{}'\n
         [[alerts.email]]\nname = 'smtps'\nto = ['a@example.com']\nsmtp_url = 'smtps://me:s3cret@localhost:{}'\n
         [[alerts.email]]\nname = 'starttls'\nto = ['a@example.com']\nsmtp_url = 'smtp://me:s3cret@localhost:{}?tls=required'\n",
        http.url("/"),
        smtps.port(),
        starttls.port(),
    ));
    let run = site.monitor().await.status(3);
    for channel in ["webhook", "smtps", "starttls"] {
        let said =
            format!("not sent: {channel} could not be reached over TLS (certificate or protocol refused)");
        assert!(run.stdout.contains(&said), "no {said}: {}", run.stdout);
    }
    let trusting = site.run("monitor-backups").env("SSL_CERT_FILE", authority.certificate());
    let run = trusting.args(["--format", "json"]).await.status(1);
    assert_eq!(answers(&run.json()), ["log sent", "webhook sent", "smtps sent", "starttls sent"]);
    assert_eq!(http.requests().len(), 1);
    for server in [&smtps, &starttls] {
        let mails = server.mails();
        assert_eq!((mails.len(), mails[0].is_encrypted), (1, true));
        assert_eq!(mails[0].login, Some(("me".into(), "s3cret".into())));
    }
    // A server that does not encrypt gets no password and no mail.
    let plain = SmtpServer::new().login("me", "s3cret").start().await;
    let site = Site::new(&format!(
        "[[alerts.email]]\nto = ['a@example.com']\nsmtp_url = 'smtp://me:s3cret@localhost:{}?tls=required'\n",
        plain.port()
    ));
    site.monitor().await.status(3).says("not sent: email ");
    assert!(plain.mails().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_when_all_is_well() {
    let http = HttpReceiver::start(&["200 OK"]).await;
    let site = Site::new("");
    site.backups(2);
    let run = site.run("monitor-backups").env("SLACK_WEBHOOK_URL", http.url("/")).await.ok();
    assert_eq!(run.stderr, "");
    assert!(http.requests().is_empty());
    assert!(!site.path("state").exists());
}
