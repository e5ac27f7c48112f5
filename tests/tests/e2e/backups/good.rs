//! Good backups that wake nobody, whatever the machine lacks or the site is used to.

use super::{drill::sound, *};

/// A folder with a plain dump of the sound inventory, changed.
async fn plain(args: &[&str], change: fn(String) -> String) -> Folder {
    let (db, folder) = (sound().await, Folder::new(""));
    let path = folder.path("stock.sql");
    super::dump(&db, args, &path);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    folder
}

/// Runs SQL in a database of `cluster`.
pub(super) fn sql(cluster: &Cluster, database: &str, text: &str) {
    let mut psql = cluster.program("psql");
    site::output({
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]);
        psql
    });
}

/// The statements that fill the inventory with entries of so long ago.
fn content(ago: &str) -> String {
    format!(
        "INSERT INTO items (item_number, name) SELECT 'I-' || n, 'Item ' || n FROM generate_series(1, 50) n;
        INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at)
        SELECT i.id, l.id, n, now() - interval '{ago}' FROM generate_series(1, 500) n
        JOIN items i ON i.item_number = 'I-' || (n % 50 + 1) CROSS JOIN locations l"
    )
}

/// A cluster with an inventory in each of these databases, and entries of so long ago.
pub(super) async fn cluster_of(databases: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::start(&[]);
    for (name, ago) in databases {
        sql(&cluster, "postgres", &format!("CREATE DATABASE {name}"));
        Binary::new("migrate-all").env("DATABASE_URL", cluster.url(name)).await.ok();
        sql(&cluster, name, &content(ago));
    }
    cluster
}

pub(super) fn base_backup(cluster: &Cluster, to: &Path, args: &[&str]) {
    let mut command = cluster.as_owner("pg_basebackup");
    command.args(["--no-password", "-cfast", "-Xstream", "-D"]).arg(to).args(args);
    site::output(command);
}

/// A folder that the owner of `cluster` may write to, and a source of base backups in it.
pub(super) fn folder_for(cluster: &Cluster, config: &str) -> Folder {
    use std::os::unix::fs::chown;
    let top = tempfile::Builder::new().prefix("good.").tempdir_in("/tmp").unwrap();
    let backups = top.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let (uid, gid) = cluster.owner();
    for path in [top.path(), &backups] {
        let _ = chown(path, Some(uid), Some(gid));
    }
    let source = format!(
        "[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{}'\n{config}",
        backups.display()
    );
    fs::write(top.path().join("stockfoil.toml"), source).unwrap();
    Folder { top }
}

#[tokio::test]
async fn what_is_critical_outranks_what_is_not_known() {
    let folder =
        Folder::new("[[backup.source]]\nname = 'other'\nkind = 'command'\nlist = ['/nowhere/list']\n");
    folder.run("monitor-backups").args(["--source", "other"]).await.status(3);
    // The other has none at all.
    folder.run("monitor-backups").await.status(1).says("/nowhere/list was not found");
    let run = folder.run("monitor-backups").args(["--format", "nagios"]).await.status(2);
    run.says("BACKUPS CRITICAL: nightly: no backup");
    folder.run("verify-backup").await.status(1);
    // A metric keeps the numbers of plugins.
    let run = folder.run("monitor-backups").args(["--format", "prometheus"]).await.status(1);
    run.says("stockfoil_backup_status{source=\"other\"} 3")
        .says("stockfoil_backup_status{source=\"nightly\"} 2");
}

#[tokio::test]
pub(super) async fn a_dump_of_a_newer_server_names_the_version_that_it_needs() {
    let newer = plain(&["-Fp"], |text| {
        let text = text.replace("-- Dumped from database version 1", "-- Dumped from database version 9");
        text.replace(
            "SET statement_timeout = 0;",
            "SET statement_timeout = 0;\nSET transaction_timeout_of_9 = 0;",
        )
    })
    .await;
    newer.run("verify-backup").await.ok();
    let run = newer.run("verify-backup").arg("--restore").await.status(3);
    run.says("the server's programs of PostgreSQL 9")
        .says(" or newer were not found in PATH and /usr/lib/postgresql");

    // Of a server that is here, by a newer pg_dump: it may load, and what it stumbles over is the version's.
    let by_newer = plain(&["-Fp"], |text| {
        text.replace("-- Dumped by pg_dump version 1", "-- Dumped by pg_dump version 9")
    })
    .await;
    by_newer.run("verify-backup").arg("--restore").await.ok();
    let refused = plain(&["-Fp"], |text| {
        let text = text.replace("-- Dumped by pg_dump version 1", "-- Dumped by pg_dump version 9");
        text.replace("SET statement_timeout = 0;", "SET statement_timeout = 0;\nSET timeout_of_9 = 0;")
    })
    .await;
    let run = refused.run("verify-backup").arg("--restore").await.status(3);
    // A server of 15 became one of 95.
    let major = sound().await.value("SELECT current_setting('server_version_num')::int / 10000").await;
    let newer_major = format!("9{}", &major[1..]);
    run.says("unrecognized configuration parameter")
        .says(&format!("programs of PostgreSQL {newer_major} wrote it"));

    // The header of an archive tells the same.
    let (db, custom) = (sound().await, Folder::new(""));
    super::dump(&db, &["-Fc"], &custom.path("stock.dump"));
    let mut bytes = fs::read(custom.path("stock.dump")).unwrap();
    let at = memchr_of(&bytes, format!("{major}.").as_bytes());
    bytes[at] = b'9';
    fs::write(custom.path("stock.dump"), bytes).unwrap();
    custom.run("verify-backup").await.ok();
    custom
        .run("verify-backup")
        .arg("--restore")
        .await
        .status(3)
        .says(&format!("PostgreSQL {newer_major} or newer"));
}

fn memchr_of(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

#[tokio::test]
pub(super) async fn a_dump_that_drops_what_was_there_before_is_restored() {
    for args in [&["-Fp", "--clean"][..], &["-Fp", "--clean", "--create"], &["-Fp", "--clean", "--if-exists"]]
    {
        let folder = plain(args, |text| text).await;
        folder.run("verify-backup").arg("--restore").await.ok().says("50 balances compared");
    }
    let cluster = cluster_of(&[("stock", "1 hour")]).await;
    let folder = Folder::new("database = 'stock'\n");
    for args in [&["--clean"][..], &[]] {
        let mut dumpall = cluster.program("pg_dumpall");
        dumpall.args(args).arg("-f").arg(folder.path("all.sql"));
        site::output(dumpall);
        folder.run("verify-backup").arg("--restore").await.ok().says("50 balances compared");
    }
}

#[tokio::test]
pub(super) async fn the_database_of_a_source_is_no_other_in_the_dump_of_one() {
    let (db, folder) = (sound().await, Folder::new("database = 'stock'\n"));
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    folder.run("verify-backup").arg("--restore").await.ok().says("50 balances compared");
}

#[tokio::test]
pub(super) async fn lines_that_end_as_on_windows_are_restored_as_they_were() {
    let folder = plain(&["-Fp"], |text| text.replace('\n', "\r\n")).await;
    folder.run("verify-backup").arg("--restore").await.ok().says("restored, nothing wrong found");
}

#[tokio::test]
pub(super) async fn what_compressors_add_is_no_damage() {
    let folder = plain(&["-Fp"], |text| text).await;
    let text = fs::read(folder.path("stock.sql")).unwrap();
    fs::remove_file(folder.path("stock.sql")).unwrap();
    // As pzstd writes it: frames, each behind one that tells its size.
    let mut parallel = Vec::new();
    for part in text.chunks(100_000) {
        let frame = zstd::encode_all(part, 3).unwrap();
        parallel.extend([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]);
        parallel.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        parallel.extend(frame);
    }
    fs::write(folder.path("stock.sql.zst"), parallel).unwrap();
    folder.run("verify-backup").await.ok();
    fs::remove_file(folder.path("stock.sql.zst")).unwrap();
    fs::write(folder.path("stock.sql"), &text).unwrap();
    gzip(&folder.path("stock.sql"), &folder.path("stock.sql.gz"));
    fs::remove_file(folder.path("stock.sql")).unwrap();
    // As a device of blocks fills it up.
    let whole = fs::read(folder.path("stock.sql.gz")).unwrap();
    fs::write(folder.path("stock.sql.gz"), [&whole[..], &[0; 4096]].concat()).unwrap();
    folder.run("verify-backup").await.ok();
}

#[tokio::test]
pub(super) async fn what_is_no_backup_beside_one_is_passed_over() {
    let folder = Folder::with("custom.dump").await;
    let whole = fs::read(folder.path("custom.dump")).unwrap();
    for name in ["b.dump.partial", "b.dump.tmp", "b.sql.gz.part", "B.TMP", "b.dump.filepart"] {
        fs::write(folder.path(name), &whole[..2_000]).unwrap();
    }
    fs::create_dir(folder.path("lost+found")).unwrap();
    let run = folder.run("verify-backup").await.ok();
    run.says("no dump of roles and tablespaces lies beside it (pg_dumpall --globals-only)");
    let globals = Cluster::shared().program("pg_dumpall").arg("--globals-only").output().unwrap().stdout;
    fs::write(folder.path("globals.sql"), globals).unwrap();
    folder.run("monitor-backups").await.ok().says("1 good backups; the newest, custom.dump");
    folder.run("verify-backup").await.ok().says("roles and tablespaces are in globals.sql, beside it");
    // A pattern that names them means them.
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.clone() + "pattern = '*.partial'\n").unwrap();
    folder.run("monitor-backups").await.status(1).says("the newest backup, b.dump.partial");
    // By itself it is no backup.
    fs::write(&config, text + "pattern = 'globals.sql'\n").unwrap();
    folder.run("monitor-backups").await.status(1).says("no backup");
}

#[tokio::test]
async fn each_inventory_of_a_cluster_is_held_against_its_own() {
    let cluster = cluster_of(&[("north", "1 hour"), ("south", "30 hours")]).await;
    let folder = folder_for(&cluster, "max_rpo = '26h'\n");
    base_backup(&cluster, &folder.path("base"), &["-Fp"]);
    let seal = async |database: &str| {
        let seal = folder.run("verify-backup").arg("--seal").env("DATABASE_URL", cluster.url(database));
        seal.await.ok();
    };
    let drill = || folder.run("verify-backup").args(["--restore", "--format", "json"]);
    let findings = |run: &testkit::Run| run.json()["backups"][0]["findings"].to_string();
    seal("north").await;
    let run = drill().await.status(1);
    assert!(!findings(&run).contains("lost") && !findings(&run).contains("database north"), "{}", run.stdout);
    assert!(findings(&run).contains("database south: the newest restored entry is 30 h"), "{}", run.stdout);
    assert!(run.stdout.contains("the seal says nothing of the database south"), "{}", run.stdout);
    seal("south").await;
    let run = drill().await.status(1);
    let databases = run.json()["backups"][0]["drill"]["databases"].clone();
    for at in 0..2 {
        assert_eq!(databases[at]["is_compared"], true, "{databases}");
    }
    assert!(databases[0]["rpo_seconds"].as_u64().unwrap() < 7200, "{databases}");
    assert_eq!(findings(&run).matches("\"text\"").count(), 1, "{}", run.stdout);

    // One that was sealed and is not there any more.
    let place = folder.top.path().join("backups/base.seal");
    let text = fs::read_to_string(&place).unwrap().replace("\"north\"", "\"west\"");
    fs::write(&place, text).unwrap();
    drill().await.status(1).says("the database west was sealed, and was not restored");
}

#[tokio::test]
pub(super) async fn a_tablespace_beside_a_base_backup_goes_along() {
    let cluster = cluster_of(&[("stock", "1 hour")]).await;
    let folder = folder_for(&cluster, "");
    let top = folder.top.path();
    for name in ["space", "elsewhere"] {
        fs::create_dir(top.join(name)).unwrap();
        let (uid, gid) = cluster.owner();
        let _ = std::os::unix::fs::chown(top.join(name), Some(uid), Some(gid));
    }
    sql(&cluster, "stock", &format!("CREATE TABLESPACE side LOCATION '{}'", top.join("space").display()));
    sql(&cluster, "stock", "ALTER TABLE items SET TABLESPACE side");
    let mapping = format!("{}={}", top.join("space").display(), top.join("elsewhere").display());
    base_backup(&cluster, &folder.path("base"), &["-Fp", "--tablespace-mapping", &mapping]);
    folder.run("verify-backup").arg("--restore").await.ok().says("verified and restored");
    // What is not as the manifest lists it is not followed.
    let file = std::process::Command::new("find")
        .arg(top.join("elsewhere"))
        .args(["-type", "f", "-size", "+0"])
        .output();
    let file = String::from_utf8(file.unwrap().stdout).unwrap();
    flip(Path::new(file.lines().next().unwrap()));
    folder.run("verify-backup").arg("--restore").await.status(1).says("checksum mismatch");
}

#[tokio::test]
pub(super) async fn indexes_of_another_collation_are_named() {
    let cluster = cluster_of(&[("stock", "1 hour")]).await;
    // As if it had been made on a machine of another version.
    sql(&cluster, "stock", "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'stock'");
    let folder = folder_for(&cluster, "");
    base_backup(&cluster, &folder.path("base"), &["-Fp"]);
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("collations are of another version").says("(REINDEX): stock.public.");
}

#[tokio::test]
pub(super) async fn an_extension_that_this_machine_lacks_is_named() {
    let folder = plain(&["-Fp"], |text| {
        text.replacen("SET default_tablespace", "CREATE EXTENSION nowhere_at_all;\nSET default_tablespace", 1)
    })
    .await;
    let run = folder.run("verify-backup").arg("--restore").await.status(3);
    run.says("needs the extension nowhere_at_all, which PostgreSQL on this machine lacks");
}

#[tokio::test]
pub(super) async fn a_disk_that_gets_full_in_a_drill_is_no_fault_of_the_backup() {
    let disk = tempfile::Builder::new().prefix("small.").tempdir_in("/tmp").unwrap();
    let mount =
        |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(disk.path()).status();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=64m,mode=777", "none"]);
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: no disk of a test's own can be mounted here");
        return;
    }
    let db = sound().await;
    db.execute("CREATE TABLE large AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 100000)")
        .await;
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let own = format!("[backup]\ndrill_folder = '{}'\ndrill_reserve = '1MB'\n", disk.path().display());
    fs::write(&config, own + &text).unwrap();
    let run = folder.run("verify-backup").arg("--restore").await;
    assert!(mount(&["umount", "-l"]).unwrap().success());
    run.status(3).says("the disk got full in the midst of the drill");
}

#[tokio::test]
pub(super) async fn a_backup_is_as_old_as_it_says_and_counts_once() {
    let folder = plain(&["-Fp", "--verbose"], |text| {
        let at = text.find("-- Started on ").expect("--verbose tells when it began");
        let line = text[at..].lines().next().unwrap().to_owned();
        text.replace(&line, "-- Started on 2026-01-31 02:00:00 UTC")
    })
    .await;
    folder.run("monitor-backups").args(["--format", "json"]).await.status(1).says("2026-01-31T02:00:00Z");

    // A second name is no second backup; a copy is one, and is told.
    let folder = plain(&["-Fp"], |text| text).await;
    fs::hard_link(folder.path("stock.sql"), folder.path("latest.sql")).unwrap();
    folder.run("monitor-backups").await.ok().says("1 good backups");
    folder.run("verify-backup").await.ok();
    fs::copy(folder.path("stock.sql"), folder.path("today.sql")).unwrap();
    folder.run("verify-backup").await.status(1).says("has the same bytes as ").says("worth a look");
}

#[tokio::test]
async fn questions_of_the_site_are_asked_in_a_drill_and_what_was_proven_is_told() {
    let db = sound().await;
    let check = "[[backup.check]]\nsql = 'SELECT count(*) FROM items'\nexpect = '50'\n";
    let folder = Folder::new(&format!("{check}[[backup.check]]\nsql = 'SELECT 1, 2'\nexpect = '1|2'\n"));
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let run = |args: &[&str]| folder.run("verify-backup").env("DATABASE_URL", db.url()).args(args);
    run(&["--history"]).await.status(1).says("nothing was proven of backups yet");
    let drill = run(&["--restore", "--format", "json"]).await.ok().json();
    let checks = &drill["backups"][0]["drill"]["databases"][0]["checks"];
    assert_eq!((&checks[0]["found"], &checks[1]["found"]), (&"50".into(), &"1|2".into()));
    run(&[]).await.ok();
    let proofs = run(&["--history", "--format", "json"]).await.ok().json()["proofs"].clone();
    assert_eq!(proofs.as_array().unwrap().len(), 2, "{proofs}");
    assert_eq!((&proofs[0]["depth"], &proofs[1]["depth"]), (&"full".into(), &"restore".into()));
    assert_eq!(proofs[1]["rows"]["restored"]["inventory_ledger"], 1000, "{proofs}");
    assert_eq!((&proofs[1]["checks_passed"], &proofs[1]["checks"]), (&2.into(), &2.into()));
    assert!(proofs[1]["rto_ms"].is_u64() && proofs[1]["rpo_seconds"].is_u64(), "{proofs}");
    run(&["--history"]).await.ok().says("stock.dump").says("2/2");
    run(&["--history", "--source", "other"]).await.status(1);
    run(&["--history", "--restore"]).await.refuses(2, "--history looks at no backup");

    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap().replace("expect = '50'", "expect = '51'");
    fs::write(&config, &text).unwrap();
    run(&["--restore"]).await.status(1).says("\"SELECT count(*) FROM items\" gives \"50\", and not \"51\"");
    // Which question failed is kept, and so is what the other command proves.
    let monitor = || folder.run("monitor-backups").env("DATABASE_URL", db.url());
    monitor().args(["--depth", "restore"]).await.status(1);
    let _ = monitor().await;
    let proofs = run(&["--history", "--format", "json"]).await.ok().json()["proofs"].clone();
    assert_eq!(proofs.as_array().unwrap().len(), 4, "{proofs}");
    for proof in [&proofs[0], &proofs[1]] {
        assert_eq!((&proof["depth"], &proof["status"]), (&"restore".into(), &"critical".into()), "{proof}");
        assert_eq!(proof["rows"]["restored"]["inventory_ledger"], 1000, "{proof}");
        let answers = proof["answers"]["restored"].clone();
        assert_eq!((&answers[0]["passed"], &answers[1]["passed"]), (&false.into(), &true.into()), "{proof}");
        assert_eq!((&answers[0]["found"], &answers[0]["expected"]), (&"50".into(), &"51".into()), "{proof}");
    }
    let told = run(&["--history"]).await.ok().says("1/2");
    told.says("database restored: \"SELECT count(*) FROM items\" gave \"50\", and not \"51\"");
    fs::write(&config, text.replace("expect = '51'", "expect = '50'")).unwrap();
    let metrics = monitor().args(["--depth", "restore", "--format", "prometheus"]).await.ok();
    metrics.says("stockfoil_backup_last_proven_timestamp_seconds{source=\"nightly\"} 1");
}
