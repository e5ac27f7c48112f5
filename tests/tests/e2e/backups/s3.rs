//! Object storage: a real server that speaks S3, with dumps and base backups in its buckets.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    matrix::{RECORDS, Row},
    *,
};

/// What is put into a bucket in a dump's place; the path is that of a folder with the storage's port in a file, and a dump.
pub(super) const MATRIX: [Row; 5] = [
    row("emptied (0 bytes)", "quick", "is empty (0 bytes)", |top| {
        put(top, "stock.dump", "STANDARD", |_| Vec::new())
    }),
    row("cut in half", "full", "is cut off: it ends before", |top| {
        put(top, "stock.dump", "STANDARD", |bytes| bytes[..bytes.len() / 2].to_vec());
    }),
    row("no dump, but a page of HTML", "full", "is of none of pg_dump's formats", |top| {
        put(top, "stock.dump", "STANDARD", |_| b"<html>it moved</html>".to_vec());
    }),
    row("a copy of an earlier one", "full", "has the same bytes as ", |top| {
        put(top, "stock-2.dump", "STANDARD", <[u8]>::to_vec);
    }),
    row(
        "in a class that is not read at once (Glacier)",
        "full",
        "is read only after it was asked back",
        |top| {
            put(top, "stock.dump", "GLACIER", <[u8]>::to_vec);
        },
    ),
];

const fn row(damage: &'static str, depth: &'static str, said: &'static str, damages: fn(&Path)) -> Row {
    Row { of: "dump in a bucket (S3)", damage, depth, said, witness: RECORDS, damages }
}

fn put(top: &Path, name: &str, class: &str, change: fn(&[u8]) -> Vec<u8>) {
    let port = fs::read_to_string(top.join("port")).unwrap().parse().unwrap();
    let bytes = change(&fs::read(top.join("dump")).unwrap());
    let more = format!("x-amz-storage-class: {class}\r\n");
    let answer = ask(port, ("PUT", &format!("/stock/nightly/{name}")), "s3", &more, &bytes);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A server of its own, which ends with this.
pub(super) struct Storage {
    server: Child,
    port: u16,
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Storage {
    /// Starts one with the bucket `stock`.
    pub(super) fn start() -> Self {
        testkit::require_tools(&["moto_server"]);
        let mut server = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut words = BufReader::new(server.stderr.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(words.read_line(&mut line).unwrap() > 0, "the server ended");
            if let Some((_, port)) = line.trim().rsplit_once("http://127.0.0.1:") {
                break port.parse().unwrap();
            }
        };
        // It writes a line for each request, for which there must be somebody who reads.
        thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        let storage = Self { server, port };
        storage.put("/stock", b"");
        storage
    }

    /// Puts a bucket, or an object into one.
    pub(super) fn put(&self, path: &str, body: &[u8]) {
        let answer = self.ask("PUT", path, "s3", body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Asks without keys of worth, which this server takes until it is told to look at them.
    fn ask(&self, method: &str, path: &str, service: &str, body: &[u8]) -> String {
        ask(self.port, (method, path), service, "", body)
    }

    /// Lets nobody in any more but with the keys that are returned.
    fn guard(&self) -> (String, String) {
        self.ask("POST", "/", "iam", b"Action=CreateUser&UserName=stock&Version=2010-05-08");
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        let put = format!(
            "Action=PutUserPolicy&UserName=stock&PolicyName=all&PolicyDocument={policy}&Version=2010-05-08"
        );
        let answer = self.ask("POST", "/", "iam", put.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer =
            self.ask("POST", "/", "iam", b"Action=CreateAccessKey&UserName=stock&Version=2010-05-08");
        let told = |tag: &str| {
            let value = answer.split(&format!("<{tag}>")).nth(1).unwrap_or_else(|| panic!("{answer}"));
            value.split('<').next().unwrap().to_owned()
        };
        let keys = (told("AccessKeyId"), told("SecretAccessKey"));
        let answer = self.ask("POST", "/moto-api/reset-auth", "s3", b"0");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        keys
    }

    /// A folder whose source is the prefix `nightly` of the bucket.
    pub(super) fn source(&self, more: &str) -> Folder {
        source(self.port, &format!("prefix = 'nightly'\npattern = '*.dump'\n{more}"))
    }
}

/// Asks the server at `port`, with `more` headers.
fn ask(port: u16, (method, path): (&str, &str), service: &str, more: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\nContent-Type: {}\r\n{more}\
         Authorization: AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
        body.len(),
        if service == "iam" { "application/x-www-form-urlencoded" } else { "application/octet-stream" },
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A source on the server at `port`, with keys.
fn source(port: u16, more: &str) -> Folder {
    keyed(port, more, ("AKIDTEST", "hunter22hunter22"))
}

fn keyed(port: u16, more: &str, (id, secret): (&str, &str)) -> Folder {
    let bucket = if more.contains("bucket =") { "" } else { "bucket = 'stock'\n" };
    Folder::configured(&format!(
        "[[backup.source]]\nname = 'offsite'\nkind = 's3'\nendpoint = 'http://127.0.0.1:{port}'\nallow_http = true\n{bucket}{more}\n\
         [backup.source.environment]\nAWS_ACCESS_KEY_ID = '{id}'\nAWS_SECRET_ACCESS_KEY = '{secret}'\n"
    ))
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
pub(super) async fn a_dump_in_a_bucket_is_found_read_and_restored() {
    let storage = Storage::start();
    let dump = drill::dump().await;
    storage.put("/stock/nightly/stock.dump", &fs::read(dump).unwrap());
    storage.put("/stock/nightly/stock.dump.seal", &fs::read(dump.with_extension("dump.seal")).unwrap());
    storage.put("/stock/nightly/", b"");
    storage.put("/stock/nightly/half.dump.partial", b"half");
    storage.put("/stock/other/stock-2.dump", b"of another prefix");
    let folder = storage.source("");
    folder.run("monitor-backups").await.ok().says("offsite: 1 good backups").says("object");
    let run = folder.run("verify-backup").await.ok();
    run.says("offsite: stock.dump: verified").says("were downloaded from prefix nightly of bucket stock");
    let run = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok();
    let report = run.json();
    let backup = &report["backups"][0];
    assert_eq!((&backup["backup"]["format"], &backup["is_sealed"]), (&"custom".into(), &true.into()));
    assert_eq!(
        (&backup["backup"]["path"], &backup["backup"]["started_from"]),
        (&().into(), &"header".into())
    );
    assert_eq!(backup["drill"]["databases"][0]["is_compared"], true);
    folder.run("verify-backup").arg("--preflight").await.ok().says("stock.dump");
}

#[tokio::test]
async fn keys_come_from_a_file_too() {
    let storage = Storage::start();
    storage.put("/stock/nightly/stock.dump", &fs::read(drill::dump().await).unwrap());
    let (id, secret) = storage.guard();
    let folder = Folder::configured("");
    let keys = folder.top.path().join("keys");
    fs::write(&keys, format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"))
        .unwrap();
    let config = |keys: &Path| {
        format!(
            "[[backup.source]]\nname = 'offsite'\nkind = 's3'\nendpoint = 'http://127.0.0.1:{}'\nallow_http = true\nbucket = 'stock'\npattern = 'nightly/*.dump'\ncredentials_file = {keys:?}\n",
            storage.port
        )
    };
    fs::write(folder.top.path().join("stockfoil.toml"), config(&keys)).unwrap();
    folder.run("monitor-backups").await.ok().says("1 good backups");
    folder.run("verify-backup").await.ok();
    let missing = folder.top.path().join("missing");
    fs::write(folder.top.path().join("stockfoil.toml"), config(&missing)).unwrap();
    folder.run("monitor-backups").await.status(3).says("the file with the keys, can't be read");
    fs::write(&missing, "[ops]\n").unwrap();
    folder.run("monitor-backups").await.status(3).says("has no aws_access_key_id");
}

#[tokio::test]
async fn a_bucket_of_more_than_a_page_is_listed_to_its_end() {
    let storage = Storage::start();
    for number in 0..1003 {
        storage.put(&format!("/stock/nightly/stock-{number:04}.dump"), b"as many bytes each");
    }
    let dump = fs::read(drill::dump().await).unwrap();
    storage.put("/stock/nightly/zz.dump", &dump);
    let folder = storage.source("max_drop_pct = 100\n");
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.ok().json();
    assert_eq!(report["sources"][0]["good_count"], 1004, "{report}");
    // The last of all, on the second page.
    let last = source(storage.port, "prefix = 'nightly'\npattern = 'zz*'\n");
    last.run("verify-backup").await.ok().says("offsite: zz.dump: read to its end");
}

#[tokio::test]
async fn what_cant_be_listed_is_unknown() {
    let storage = Storage::start();
    let nightly = "prefix = 'nightly'\npattern = '*.dump'\n";
    let keyless = Folder::configured(&format!(
        "[[backup.source]]\nname = 'offsite'\nkind = 's3'\nendpoint = 'http://127.0.0.1:{}'\nallow_http = true\nbucket = 'stock'\npattern = '*.dump'\n",
        storage.port
    ));
    let of_nobody = source(storage.port, "bucket = 'nobodys'\npattern = '*.dump'\n");
    let empty = storage.source("");
    let unreachable = source(closed_port(), nightly);
    for (folder, said) in [
        (&unreachable, "can't be reached: "),
        (&of_nobody, "has no bucket nobodys; see bucket, endpoint and region of source"),
        (&empty, "there is nothing in prefix nightly of bucket stock; see prefix and bucket of source"),
        (&keyless, "there are no keys for bucket stock; set AWS_ACCESS_KEY_ID"),
    ] {
        unknown(folder, said).await;
    }
    storage.put("/stock/nightly/stock.dump", &fs::read(drill::dump().await).unwrap());
    storage.put("/stock/elsewhere/readme.txt", b"hello");
    // That nothing matches is known when the listing came to its end.
    let unmatched = source(storage.port, "prefix = 'elsewhere'\npattern = '*.dump'\n");
    unmatched
        .run("monitor-backups")
        .await
        .status(1)
        .says("no backup: nothing in prefix elsewhere of bucket stock");
    let (id, secret) = storage.guard();
    // The server reckons the signature of a prefix with a slash otherwise than S3 does, so it is given none.
    let whole = "pattern = 'nightly/*.dump'\n";
    keyed(storage.port, whole, (&id, &secret)).run("monitor-backups").await.ok();
    unknown(&keyed(storage.port, whole, (&id, "hunter22hunter22")), "refuses the keys (").await;
    unknown(&keyed(storage.port, whole, ("AKIDNOBODY", "hunter22hunter22")), "refuses the keys (").await;
}

/// Nothing is known, at any depth; and no word of it is a key.
async fn unknown(folder: &Folder, said: &str) {
    for args in [
        &["monitor-backups"][..],
        &["verify-backup"],
        &["verify-backup", "--restore"],
        &["verify-backup", "--preflight"],
    ] {
        let run = folder.run(args[0]).args(args[1..].iter().copied()).await.status(3).says(said);
        let words = format!("{}{}", run.stdout, run.stderr);
        assert!(!words.contains("no backup") && !words.contains("hunter22"), "{words}");
        assert!(!words.contains("AKID"), "{words}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_object_is_found() {
    let storage = Storage::start();
    let dump = dumps().await.join("custom.dump");
    for row in &MATRIX {
        let folder = storage.source("");
        fs::copy(&dump, folder.top.path().join("dump")).unwrap();
        fs::write(folder.top.path().join("port"), storage.port.to_string()).unwrap();
        storage.put("/stock/nightly/stock.dump", &fs::read(&dump).unwrap());
        (row.damages)(folder.top.path());
        row.holds(&folder, None).await;
        folder.run("verify-backup").arg("--restore").await;
        storage.ask("DELETE", "/stock/nightly/stock-2.dump", "s3", b"");
    }
    // What can't be had is not known, and no fault of the dump.
    let folder = storage.source("");
    folder.run("monitor-backups").await.ok();
    folder.run("verify-backup").await.status(3).says("InvalidObjectState");
}

#[tokio::test]
async fn an_upload_makes_no_backup_younger() {
    let storage = Storage::start();
    let dump = dumps().await.join("custom.dump");
    // By its name.
    storage.put("/stock/nightly/stock-2026-01-31_0200.dump", &fs::read(&dump).unwrap());
    let folder = storage.source("");
    folder.run("monitor-backups").await.status(1).says("more than max_age (25 h)");
    // By what it says itself, where the name does not tell.
    let storage = Storage::start();
    let old = folder.top.path().join("old.dump");
    fs::copy(dump, &old).unwrap();
    thresholds::set_header_time(&old, [2026, 1, 31, 2, 0], false);
    storage.put("/stock/nightly/stock.dump", &fs::read(&old).unwrap());
    storage.source("").run("verify-backup").await.status(1).says("more than max_age (25 h)");
}

/// Passes on to the server at `port`, and breaks off the answers that are long, as often as `cuts` says.
fn breaking(port: u16, cuts: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let left = Arc::new(AtomicUsize::new(cuts));
    let counter = Arc::clone(&left);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), left) = (client, Arc::clone(&counter)) else { return };
            let mut client: TcpStream = client;
            thread::spawn(move || {
                let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                let (mut buffer, mut passed) = ([0; 16 << 10], 0);
                while let Ok(read @ 1..) = server.read(&mut buffer) {
                    passed += read;
                    let take = |left: usize| left.checked_sub(1);
                    if passed > 64 << 10
                        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
                    {
                        break;
                    }
                    if client.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (own, left)
}

#[tokio::test]
async fn a_download_that_breaks_off_is_tried_again_and_then_unknown() {
    let storage = Storage::start();
    let dump = fs::read(dumps().await.join("custom-plain.dump")).unwrap();
    assert!(dump.len() > 256 << 10);
    storage.put("/stock/nightly/stock.dump", &dump);
    let nightly = "prefix = 'nightly'\npattern = '*.dump'\n";
    let (port, left) = breaking(storage.port, 2);
    source(port, nightly).run("verify-backup").await.ok().says("read to its end");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    let (port, _) = breaking(storage.port, usize::MAX);
    let run = source(port, nightly).run("verify-backup").await.status(3);
    run.says("could not be downloaded further than 0 B of ").says("can't be reached");
}

#[tokio::test]
pub(super) async fn a_base_backup_in_a_bucket_is_restored() {
    let storage = Storage::start();
    let folder = basebackup::copy_of("tar").await;
    for entry in fs::read_dir(folder.top.path().join("base/tar")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        storage.put(&format!("/stock/base/daily/{name}"), &fs::read(&path).unwrap());
    }
    let folder = source(storage.port, "prefix = 'base'\npattern = 'd*'\n");
    folder.run("monitor-backups").await.ok().says("1 good backups");
    folder.run("verify-backup").await.ok().says("offsite: daily: ");
    folder.run("verify-backup").arg("--restore").await.ok().says("restored");
}
