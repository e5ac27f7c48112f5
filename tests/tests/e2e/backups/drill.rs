//! The drill: what it proves of dumps, what it leaves, and what it does where it can't be done.

use testkit::{Signal, signal};

use super::*;

/// A dump of the migrated inventory with content, in custom format, sealed.
pub(super) async fn dump() -> &'static Path {
    static DUMP: OnceCell<PathBuf> = OnceCell::const_new();
    DUMP.get_or_init(|| async {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drill");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let db = sound().await;
        let path = folder.join("stock.dump");
        super::dump(&db, &["-Fc"], &path);
        db.run("verify-backup").arg("--seal").arg("--file").arg(&path).await.ok().says("sealed in");
        path
    })
    .await
}

/// The migrated inventory with content of an hour ago.
pub(super) async fn sound() -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO items (item_number, name) SELECT 'I-' || n, 'Item ' || n FROM generate_series(1, 50) n;
        INSERT INTO locations (site, name) VALUES ('Hall', 'A');
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at)
        SELECT i.id, l.id, n, now() - interval '1 hour' FROM generate_series(1, 1000) n
        JOIN items i ON i.item_number = 'I-' || (n % 50 + 1) CROSS JOIN locations l;",
    )
    .await;
    db
}

/// A folder with a copy of the sound dump, and its drills in a folder of their own.
pub(super) async fn folder(config: &str) -> Folder {
    let folder = Folder::new(config);
    let dump = dump().await;
    fs::copy(dump, folder.path("stock.dump")).unwrap();
    fs::copy(dump.with_extension("dump.seal"), folder.path("stock.dump.seal")).unwrap();
    folder
}

/// A folder for drills that tells what they leave.
fn drills() -> TempDir {
    let folder = tempfile::Builder::new().prefix("drills.").tempdir_in("/tmp").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    // The throwaway cluster may run as another user.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

fn left_in(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

#[tokio::test]
async fn a_sound_dump_is_restored_proven_and_nothing_is_left() {
    let (folder, drills) = (folder("max_rpo = '2h'\n").await, drills());
    let run =
        folder.run("verify-backup").env("TMPDIR", drills.path()).args(["--restore", "--format", "json"]);
    let report = run.await.ok().json();
    let backup = &report["backups"][0];
    assert_eq!(
        (&report["depth"], &backup["status"], &backup["is_sealed"]),
        (&"restore".into(), &"ok".into(), &true.into())
    );
    let drill = &backup["drill"];
    let phases: Vec<&str> =
        drill["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["prepare", "start", "load", "validate", "reconcile", "count", "check_indexes"]);
    assert!(drill["rto_ms"].as_u64().unwrap() <= drill["total_ms"].as_u64().unwrap());
    let rpo = drill["rpo_seconds"].as_u64().unwrap();
    assert!((3600..7200).contains(&rpo), "{rpo}");
    let database = &drill["databases"][0];
    assert_eq!((&database["name"], &database["is_compared"]), (&"restored".into(), &true.into()));
    assert_eq!(database["reconcile"]["balances"], 50);
    assert_eq!(left_in(&drills), 0);

    // The same through the other command, and for machines.
    let run = folder.run("monitor-backups").args(["--depth", "restore", "--format", "json"]).await.ok();
    assert_eq!(run.json()["depth"], "restore");
    let run = folder.run("verify-backup").args(["--restore", "--format", "prometheus"]).await.ok();
    let samples = formats::read_prometheus(&run.stdout);
    let restored =
        samples.iter().find(|sample| sample.0 == "stockfoil_backup_restored_timestamp_seconds").unwrap();
    assert_ne!(restored.2, "0");
}

#[tokio::test]
pub(super) async fn dumps_of_every_make_are_restored() {
    let db = sound().await;
    // Roles of the dump that the throwaway cluster does not have, and names that need quoting.
    db.execute(
        r#"DO $$ BEGIN CREATE ROLE "drill ""owner"""; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        CREATE TABLE extra (id int); ALTER TABLE extra OWNER TO "drill ""owner""";
        GRANT SELECT ON items TO "drill ""owner""";"#,
    )
    .await;
    for (name, args) in [
        ("plain.sql", &["-Fp"][..]),
        ("tar.tar", &["-Ft"]),
        ("directory", &["-Fd"]),
        ("create.sql", &["-Fp", "-C"]),
    ] {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        let run = folder.run("verify-backup").arg("--restore").await.ok();
        run.says("restored, nothing wrong found").says("50 balances compared").says("not sealed");
    }
    let folder = Folder::new("");
    super::dump(&db, &["-Fp"], &folder.path("plain.sql"));
    gzip(&folder.path("plain.sql"), &folder.path("z.sql.gz"));
    fs::remove_file(folder.path("plain.sql")).unwrap();
    folder.run("verify-backup").arg("--restore").await.ok().says("restored");
}

#[tokio::test]
async fn what_only_a_drill_sees() {
    let db = sound().await;
    let before = Folder::new("");
    super::dump(&db, &["-Fc"], &before.path("stock.dump"));
    db.run("verify-backup").arg("--seal").arg("--file").arg(before.path("stock.dump")).await.ok();
    // Each is a dump as it would be of a database that has lost something, beside the seal of the sound one.
    for (damage, said) in [
        (
            "DELETE FROM inventory_ledger WHERE ctid IN (SELECT ctid FROM inventory_ledger LIMIT 3)",
            "3 entries of the ledger are lost: of 1000",
        ),
        (
            "UPDATE inventory_ledger SET note = 'x' WHERE ctid IN (SELECT ctid FROM inventory_ledger LIMIT 1)",
            "the digest of the 1000 from before",
        ),
        (
            "DELETE FROM inventory_ledger; DELETE FROM items",
            "the table items is empty, and was sealed with 50 rows",
        ),
        (
            "UPDATE inventory_balances SET qty_canonical = qty_canonical + 5 WHERE ctid = (SELECT min(ctid) FROM inventory_balances)",
            "1 of 50 balances differ from the restored ledger",
        ),
        ("ALTER TABLE items DROP CONSTRAINT items_org_id_fkey", "validate-migration: foreign_key of items"),
    ] {
        let damaged = sound_again(&db).await;
        damaged.execute(damage).await;
        // So that an empty ledger is left to the seal.
        let folder = Folder::new("expect_empty = true\n");
        super::dump(&damaged, &["-Fc"], &folder.path("stock.dump"));
        folder.run("verify-backup").await.ok();
        fs::write(folder.path("stock.dump.seal"), resealed(&before, &folder)).unwrap();
        let run = folder.run("verify-backup").arg("--restore").await.status(1);
        run.says(said).says("not to be relied on");
    }
}

/// A copy of a database.
async fn sound_again(db: &TestDb) -> TestDb {
    let copy = TestDb::empty().await;
    let dump = db.cluster().program("pg_dump").arg(db.name()).output().unwrap();
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), dump.stdout).unwrap();
    let load =
        copy.cluster().program("psql").args(["-Xq", "-d", copy.name(), "-f"]).arg(script.path()).output();
    assert!(load.unwrap().status.success());
    copy
}

/// The seal of the sound dump, with the checksum of the other: as if the loss had come before the dump.
fn resealed(sound: &Folder, other: &Folder) -> String {
    let mut seal: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(sound.path("stock.dump.seal")).unwrap()).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(other.path("stock.dump")).output().unwrap().stdout;
    seal["sha256"]["stock.dump"] = String::from_utf8(sum).unwrap()[..64].into();
    seal.to_string()
}

#[tokio::test]
async fn a_drill_that_loses_too_much_is_a_finding() {
    let folder = folder("max_rpo = '30m'\n").await;
    let run = folder.run("verify-backup").arg("--restore").await.status(1);
    run.says("the newest restored entry is 1 h").says("more than max_rpo (30 min)");
}

#[tokio::test]
async fn what_is_not_migrated_is_said() {
    let folder = Folder::with("custom.dump").await;
    let run = folder.run("verify-backup").arg("--restore").await.status(1);
    run.says("was not migrated, so neither schema nor balances can be proven");
}

#[tokio::test]
async fn a_killed_drill_is_cleaned_up_by_the_next() {
    let (folder, drills) = (folder("").await, drills());
    let drill = || folder.run("verify-backup").env("TMPDIR", drills.path()).arg("--restore");
    let mut child = drill().spawn();
    let server = async {
        loop {
            if let Some(pid) = running_server(drills.path()) {
                return pid;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pid = tokio::time::timeout(60 * Duration::from_secs(1), server).await.unwrap();
    signal(&child, Signal::KILL);
    child.wait().await.unwrap();
    assert_eq!(left_in(&drills), 1);

    let report = drill().args(["--format", "json"]).await.ok().json();
    let notes = report["backups"][0]["notes"].to_string();
    assert!(notes.contains("removed what a killed drill had left"), "{notes}");
    assert_eq!(left_in(&drills), 0);
    let list = folder.top.path().join("pids");
    fs::write(&list, pid).unwrap();
    gone(&list).await;

    // An interrupted one cleans up itself, also where the terminal is gone.
    for sent in [Signal::INT, Signal::HUP] {
        let mut child = drill().spawn();
        while running_server(drills.path()).is_none() {
            assert!(child.try_wait().unwrap().is_none());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        signal(&child, sent);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        assert_eq!(left_in(&drills), 0);
    }
}

/// The process id of the server that runs in a drill below `folder`.
fn running_server(folder: &Path) -> Option<String> {
    let drill = fs::read_dir(folder).ok()?.next()?.ok()?.path();
    let text = fs::read_to_string(drill.join("data/postmaster.pid")).ok()?;
    text.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn a_drill_that_cant_be_done_is_never_ok() {
    // No server's programs.
    let own = |line: &str| format!("[backup]\n{line}\n");
    let with = async |line: &str| {
        let folder = folder("").await;
        let config = folder.top.path().join("stockfoil.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, own(line) + &text).unwrap();
        folder
    };
    for (line, said) in [
        ("pg_bin = '/nowhere'", "the server's programs of PostgreSQL"),
        ("drill_folder = '/nowhere/at/all'", "set backup.drill_folder to another folder"),
        (&format!("drill_folder = '/tmp/../tmp/{}'", "x/../".repeat(5)), "set backup.drill_folder"),
    ] {
        let folder = with(line).await;
        let run = folder.run("verify-backup").arg("--restore").await.status(3);
        run.says(said).says("not judged").tells("error: could not be judged");
    }
    // A disk that is too small: a sparse file makes the backup seem larger than any disk.
    let folder = Folder::new("");
    fs::copy(dump().await, folder.path("stock.dump")).unwrap();
    let run = folder.run("monitor-backups").args(["--depth", "restore"]).await.ok();
    drop(run);
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, own("drill_reserve = '1000PB'") + &text).unwrap();
    let run = folder.run("verify-backup").arg("--restore").await.status(3);
    run.says("the disk is too small: ").says("not judged");
}

#[tokio::test]
async fn seals_are_of_their_backup_and_of_their_database() {
    let folder = Folder::new("");
    let db = sound().await;
    super::dump(&db, &["-Fc"], &folder.path("a.dump"));
    folder.run("verify-backup").arg("--seal").await.refuses(2, "no database is configured");
    let seal = || folder.run("verify-backup").env("DATABASE_URL", db.url()).arg("--seal");
    seal().arg("--restore").await.refuses(2, "leave out --restore");
    seal().args(["--format", "json"]).await.ok().says("\"entries\": 1000");
    folder.run("verify-backup").await.ok().says(": verified").says("as its seal says");
    fs::rename(folder.path("a.dump.seal"), folder.path("b.dump.seal")).unwrap();
    fs::rename(folder.path("a.dump"), folder.path("b.dump")).unwrap();
    folder.run("verify-backup").await.status(1).says("is the seal of another backup, a.dump");
    fs::write(folder.path("b.dump.seal"), "{}").unwrap();
    folder.run("verify-backup").await.status(1).says("is no seal");
    fs::remove_file(folder.path("b.dump.seal")).unwrap();
    fs::write(folder.path("b.dump"), "").unwrap();
    seal().await.status(1).says("not sealed").says("is empty (0 bytes)");
    assert!(!folder.path("b.dump.seal").exists());
}

/// A backup of an earlier release records its versions elsewhere. It is read where it is, and its seal holds.
#[tokio::test]
async fn a_backup_from_before_versions_had_a_table_of_their_own_is_proven() {
    let db = sound().await;
    crate::migration::records::as_of_old(&db).await;
    let (folder, drills) = (Folder::new(""), drills());
    let path = folder.path("stock.dump");
    super::dump(&db, &["-Fc"], &path);
    db.run("verify-backup").arg("--seal").arg("--file").arg(&path).await.ok();
    let seal = fs::read_to_string(folder.path("stock.dump.seal")).unwrap();
    assert!(seal.contains("20260107000000"), "{seal}");
    let run =
        folder.run("verify-backup").env("TMPDIR", drills.path()).args(["--restore", "--format", "json"]);
    let report = run.await.json();
    let findings = report["backups"][0]["findings"].to_string();
    // What the upgrade brought is said; nothing else is wrong with it.
    assert!(findings.contains("7 versions applied"), "{findings}");
    assert!(!findings.contains("critical") && !findings.contains("another migration"), "{findings}");
}

/// What a release brings to the schema says nothing of the data: a dump from before it is as good as it was.
#[tokio::test]
async fn a_backup_from_before_an_upgrade_is_as_good_as_it_was() {
    let db = sound().await;
    db.execute(
        "DO $$ DECLARE i regclass; BEGIN
            FOR i IN SELECT c.oid FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid
                JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                WHERE c.relnamespace = 'public'::regnamespace AND NOT x.indisunique AND a.attname NOT IN ('org_id', 'stockfoil_tx')
            LOOP EXECUTE format('DROP INDEX %s', i); END LOOP; END $$;
        DELETE FROM stockfoil.migration WHERE version = (SELECT max(version) FROM stockfoil.migration);
        DO $$ DECLARE f regprocedure; BEGIN
            FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                WHERE pronamespace = 'stockfoil'::regnamespace AND lanname = 'plpgsql'
            LOOP EXECUTE format('ALTER FUNCTION %s SET work_mem = %L', f, '8MB'); END LOOP; END $$",
    )
    .await;
    let findings = async |name: &str| {
        let folder = Folder::new("");
        super::dump(&db, &["-Fc"], &folder.path(name));
        let run = folder.run("verify-backup").args(["--restore", "--format", "json"]);
        let report = run.await.status(1).json();
        (report["backups"][0]["status"].clone(), report["backups"][0]["findings"].to_string())
    };
    let (status, found) = findings("before.dump").await;
    assert_eq!(status, "warning", "{found}");
    assert_eq!(found.matches("of an older release of Stockfoil").count(), 1, "{found}");
    assert!(found.contains("the functions that keep the balances are not of this release"), "{found}");
    assert!(!found.contains("triggers are missing or altered"), "{found}");
    assert!(found.contains("versions of "), "{found}");
    // What is of the data is as bad as ever.
    for damage in [
        "ALTER TABLE items DROP CONSTRAINT items_org_id_fkey",
        "UPDATE inventory_balances SET qty_canonical = qty_canonical + 5",
    ] {
        db.execute(damage).await;
        let (status, found) = findings("damaged.dump").await;
        assert_eq!(status, "critical", "{damage}: {found}");
    }
}

#[tokio::test]
async fn roles_that_a_dump_names_and_does_not_hold_are_told() {
    let (db, folder) = (sound().await, Folder::new(""));
    let reader = format!("reader_{}", db.name());
    db.execute(format!("CREATE ROLE {reader}; GRANT SELECT ON items TO {reader}")).await;
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("names roles that it does not hold").says(&reader).says("pg_dumpall --roles-only");
    db.execute(format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await;
}
