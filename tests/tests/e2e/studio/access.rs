//! Who the studio lets in, and that what opens it stays with them.

use std::collections::BTreeSet;

use testkit::{Cluster, Signal, TestDb, signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
};

use super::Studio;

#[tokio::test]
async fn only_its_own_hosts_are_served() {
    let db = TestDb::inventory().await;
    let studio = Studio::open(&db).await;
    let (here, port) = (format!("127.0.0.1:{}", studio.port), studio.port);
    let foreign = [
        format!("evil.example:{port}"),
        "evil.example".into(),
        "127.0.0.1".into(),
        format!("127.0.0.1:{port}.evil.example"),
        format!("127.0.0.1:{}", port - 1),
    ];
    for path in ["/", "/login?token=TOKEN", "/style.css", "/table/public.users", "/nothing"] {
        for host in &foreign {
            let answer = studio.send("GET", path, &[("Host", host), ("Cookie", &studio.cookie)]).await;
            assert_eq!(answer.status, 421, "{path} for {host}");
            assert!(!answer.body.contains("users"), "{}", answer.body);
        }
        let twice =
            studio.send("GET", path, &[("Host", &here), ("Host", &here), ("Cookie", &studio.cookie)]).await;
        assert!(matches!(twice.status, 400 | 421), "{path}: {}", twice.status);
    }
    let absolute = format!("http://evil.example{}/", studio.root);
    let absolute =
        studio.send_anywhere("GET", &absolute, &[("Host", &here), ("Cookie", &studio.cookie)]).await;
    assert_eq!(absolute.status, 421);
    let local =
        studio.send("GET", "/", &[("Host", &format!("LOCALHOST:{port}")), ("Cookie", &studio.cookie)]).await;
    assert_eq!(local.status, 200);
}

#[tokio::test]
async fn the_link_opens_once_and_the_cookie_opens_the_rest() {
    let db = TestDb::inventory().await;
    let studio = Studio::start(&db.url()).await;
    assert!(studio.token.len() == 64 && studio.token.chars().all(|c| c.is_ascii_hexdigit()), "256 bits");
    for path in [
        "/",
        "/table/public.users",
        "/row/public.users?col=id&val=1",
        "/nothing",
        "/login",
        "/login?token=",
        "/login?token=0",
    ] {
        assert_eq!(studio.get_with(path, &[]).await.status, 401, "{path}");
    }
    let opened = studio.get_with("/login?token=TOKEN", &[]).await;
    let cookie = opened.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; httponly") && cookie.contains("; samesite=strict"), "{cookie}");
    assert!(!cookie.contains(&studio.token), "the session is not the token");
    let again = studio.get_with("/login?token=TOKEN", &[]).await;
    assert_eq!((again.status, again.header("set-cookie")), (401, None), "the link is used up");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(studio.get_with("/", &[("Cookie", cookie)]).await.status, 200);
    assert_eq!(studio.get_with("/", &[("Cookie", &format!("{cookie}0"))]).await.status, 401);
    let other = Studio::start(&db.url()).await;
    assert_ne!(studio.token, other.token);
    assert_ne!(studio.root, other.root);
    assert_eq!(other.get_with("/", &[("Cookie", cookie)]).await.status, 401, "a session is one studio's");
}

/// Every program that listens on 127.0.0.1 gets a browser's cookies for that host, whatever its port, if it is asked for
/// an address below the cookie's path.
#[tokio::test]
async fn the_cookie_is_for_a_path_that_nobody_can_guess() {
    let db = TestDb::inventory().await;
    let studio = Studio::start(&db.url()).await;
    let opened = studio.get_with("/login?token=TOKEN", &[]).await;
    let cookie = opened.header("set-cookie").unwrap();
    let path = cookie.split("; path=").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(path, format!("{}/", studio.root));
    let secret = &studio.root[1..];
    assert!(secret.len() == 32 && secret.chars().all(|c| c.is_ascii_hexdigit()), "128 bits: {secret}");
    assert!(!cookie.contains("domain="), "{cookie}");
    assert!(!studio.token.contains(secret) && !cookie.split(';').next().unwrap().contains(secret));
}

#[tokio::test]
async fn outside_the_root_every_answer_is_the_same_and_says_nothing() {
    let db = TestDb::inventory().await;
    let studio = Studio::open(&db).await;
    let host = format!("127.0.0.1:{}", studio.port);
    let (root, token) = (&studio.root, &studio.token);
    let mut answers = BTreeSet::new();
    for path in [
        "/".to_owned(),
        "/style.css".into(),
        "/favicon.ico".into(),
        "/table/public.users".into(),
        format!("/login?token={token}"),
        root.clone(),
        format!("{root}0/"),
        format!("/{root}/"),
        format!("/x{root}/"),
        format!("/.{root}/"),
        format!("/x/..{root}/"),
        format!("/%{:02x}{}/", root.as_bytes()[1], &root[2..]),
        format!("{}/", &root[..root.len() - 1]),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            for cookie in [studio.cookie.as_str(), ""] {
                let headers = [("Host", host.as_str()), ("Cookie", cookie)];
                let answer = studio.send_anywhere(method, &path, &headers).await;
                assert_eq!(answer.status, 404, "{method} {path}");
                assert_eq!(answer.header("set-cookie"), None, "{path}");
                assert_eq!(answer.header("location"), None, "{path}");
                if method != "HEAD" {
                    let head = answer.head.lines().filter(|line| !line.starts_with("date:"));
                    answers.insert((head.collect::<Vec<_>>().join("\n"), answer.body));
                }
            }
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let (head, body) = answers.pop_first().unwrap();
    assert!(!format!("{head}{body}").contains(&root[1..]) && !body.contains('<'), "{body}");
    // Nor does a request for another host, which finds the root right.
    let foreign = studio.send_anywhere("GET", &format!("{root}/"), &[("Host", "evil.example")]).await;
    assert!(foreign.status == 421 && !foreign.body.contains('<'), "{foreign:?}");
}

#[tokio::test]
async fn no_log_holds_what_opens_the_studio() {
    let db = TestDb::inventory().await;
    let mut process =
        db.run("db-studio").args(["--port", "0", "--no-open", "--verbose"]).env("RUST_LOG", "trace").spawn();
    let mut said = process.stderr.take().unwrap();
    let said = tokio::spawn(async move {
        let mut text = String::new();
        said.read_to_string(&mut text).await.unwrap();
        text
    });
    let mut studio = Studio::opened_by(process).await;
    studio.log_in().await;
    for path in ["/", "/table/public.users?col=id&op=eq&val=1", "/nothing", "/table/public.nothing"] {
        studio.get(path).await;
    }
    signal(&studio.process, Signal::TERM);
    studio.process.wait().await.unwrap();
    let said = said.await.unwrap();
    assert!(said.contains("GET /table/public.users"), "{said}");
    let session = studio.cookie.split_once('=').unwrap().1;
    for secret in [&studio.root[1..], studio.token.as_str(), session] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let db = TestDb::inventory().await;
    let studio = Studio::open(&db).await;
    let host = format!("127.0.0.1:{}", studio.port);
    for (method, path, host, status) in [
        ("GET", "/", host.as_str(), 200),
        ("GET", "/table/public.users", &host, 200),
        ("GET", "/style.css", &host, 200),
        ("GET", "/nothing", &host, 404),
        ("GET", "/table/public.nothing", &host, 404),
        ("GET", "/table/nothing", &host, 404),
        ("GET", "/login?token=0", &host, 200),
        ("POST", "/table/public.users", &host, 405),
        ("DELETE", "/", &host, 405),
        ("HEAD", "/", &host, 405),
        ("GET", "/", "evil.example", 421),
    ] {
        let answer = studio.send(method, path, &[("Host", host), ("Cookie", &studio.cookie)]).await;
        assert_eq!(answer.status, status, "{method} {path}");
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("get"));
        }
        // What the policy forbids is not there to begin with.
        assert!(!answer.body.contains("<script") && !answer.body.contains("style=\""), "{path}");
    }
}

#[tokio::test]
async fn the_browser_gets_the_link_in_a_private_file() {
    let db = TestDb::inventory().await;
    let folder = tempfile::tempdir().unwrap();
    let (opener, pipe) = (folder.path().join("xdg-open"), folder.path().join("pipe"));
    std::fs::write(
        &opener,
        format!("#!/bin/sh\n{{ echo \"$# $1\"; stat -c %a \"$1\"; cat \"$1\"; }} >{}\n", pipe.display()),
    )
    .unwrap();
    for command in [["chmod", "+x", opener.to_str().unwrap()].as_slice(), &["mkfifo", pipe.to_str().unwrap()]]
    {
        assert!(std::process::Command::new(command[0]).args(&command[1..]).status().unwrap().success());
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display());
    let mut process = db.run("db-studio").args(["--port", "0"]).env("PATH", path).spawn();
    let mut link = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut link).await.unwrap();
    // Reading waits for the opener.
    let given =
        tokio::process::Command::new("timeout").args(["60", "cat"]).arg(&pipe).output().await.unwrap().stdout;
    let given = String::from_utf8(given).unwrap();
    let mut lines = given.lines();
    let (count, file) = lines.next().unwrap().split_once(' ').unwrap();
    assert_eq!((count, lines.next()), ("1", Some("600")), "{given}");
    assert!(!file.contains("token") && given.contains(&link.trim().replace('&', "&amp;")), "{given}");
    let file = std::path::PathBuf::from(file);
    assert!(file.exists());
    signal(&process, Signal::INT);
    let output = process.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("interrupted during serving 127.0.0.1:") && !said.contains("token"), "{said}");
    assert!(!file.exists(), "the file is gone with the studio");
    // Where there is no browser to start, the link is enough.
    let lonely = tempfile::tempdir().unwrap();
    let mut process = db.run("db-studio").args(["--port", "0"]).env("PATH", lonely.path()).spawn();
    let mut link = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut link).await.unwrap();
    assert!(link.starts_with("http://127.0.0.1:"));
    let address = link.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    drop(TcpStream::connect(address).await.unwrap());
    assert_eq!(process.try_wait().unwrap(), None, "it goes on");
}

#[tokio::test]
async fn the_link_is_data_in_json_too() {
    let db = TestDb::inventory().await;
    let mut process = db.run("db-studio").args(["--port=0", "--no-open", "--format=json"]).spawn();
    let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        text.push_str(&line);
        if line == "}" {
            break;
        }
    }
    let link: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(link["schema"], "stockfoil.studio/1");
    assert_eq!(link["outcome"], "clean");
    let (url, address) = (link["url"].as_str().unwrap(), link["address"].as_str().unwrap());
    assert!(url.starts_with(&format!("http://{address}/")) && url.contains("/login?token="), "{text}");
}

#[tokio::test]
async fn the_password_is_nowhere() {
    let cluster = Cluster::shared();
    let db = TestDb::inventory().await;
    let url = format!(
        "postgres://{}:pa55-w0rd@localhost/{}?host={}&port={}",
        cluster.superuser(),
        db.name(),
        cluster.host(),
        cluster.port()
    );
    let mut studio = Studio::start(&url).await;
    studio.log_in().await;
    for path in ["/", "/table/public.items", "/nothing", "/table/public.nothing"] {
        assert!(!studio.get(path).await.body.contains("pa55"), "{path}");
    }
}
