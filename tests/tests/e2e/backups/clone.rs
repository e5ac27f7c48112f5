//! A drill of a cluster that would do harm if it came up as it was: it archives, subscribes, schedules jobs, and has a
//! tablespace.

use std::collections::BTreeMap;

use super::{site::Site, *};

/// Every file below a folder with its content's digest.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn production_is_as_it_was_after_a_drill() {
    let site = Site::shared().await;
    let top = tempfile::Builder::new().prefix("clone.").tempdir_in("/tmp").unwrap();
    let path = |name: &str| top.path().join(name);
    for name in ["archive", "space", "backup", "elsewhere"] {
        fs::create_dir(path(name)).unwrap();
    }
    site.give(top.path());
    let archive = format!("archive_command=cp %p {}/%f", path("archive").display());
    let production =
        Cluster::start(&["--set", "archive_mode=on", "--set", &archive, "--set", "wal_level=logical"]);
    let sql = |text: &str| {
        let mut psql = production.program("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", text]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    Binary::new("migrate-all").env("DATABASE_URL", production.url("postgres")).await.ok();
    sql(&format!("CREATE TABLESPACE side LOCATION '{}'", path("space").display()));
    sql("CREATE TABLE aside (id int) TABLESPACE side");
    sql("INSERT INTO aside SELECT generate_series(1, 1000)");
    sql("CREATE PUBLICATION p FOR TABLE aside");
    sql("SELECT pg_create_logical_replication_slot('held', 'pgoutput')");
    // A subscription to the cluster itself: one that came up would take the slot, and apply.
    let connection = format!(
        "host={} port={} user={} dbname=postgres",
        production.host(),
        production.port(),
        production.superuser()
    );
    sql(&format!(
        "CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p WITH (connect = false, slot_name = 'held')"
    ));
    sql("ALTER SUBSCRIPTION s ENABLE");
    sql("ALTER SUBSCRIPTION s DISABLE");
    let base = |name: &str, args: &[&str]| {
        let target = path("backup").join(name).display().to_string();
        let mut command = production.as_owner("pg_basebackup");
        command.args(["--no-password", "-cfast", "-Xstream", "-D", &target]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // The copy believes that it subscribes, and that it must load and run what production does.
    sql("ALTER SUBSCRIPTION s ENABLE");
    let mapping = |to: &Path| format!("--tablespace-mapping={}={}", path("space").display(), to.display());
    base("tar", &["-Ft", "-z"]);
    base("folder", &["-Fp", &mapping(&path("backup").join("space"))]);
    base("leading-out", &["-Fp", &mapping(&path("elsewhere").join("space"))]);
    sql("ALTER SUBSCRIPTION s DISABLE");
    for name in ["folder", "leading-out"] {
        let conf = path("backup").join(name).join("postgresql.auto.conf");
        let harm = "shared_preload_libraries = 'pg_cron'\nprimary_conninfo = 'host=/nowhere'\nlisten_addresses = '*'\n";
        let manifest = path("backup").join(name).join("backup_manifest");
        fs::write(conf, harm).unwrap();
        // Its sizes and checksums are not those of the changed file any more.
        fs::remove_file(manifest).unwrap();
    }
    // Quiet from here on: what changes now, the drill has changed.
    sql("CHECKPOINT");
    let production_data = production.data();
    let stopped =
        production.as_owner("pg_ctl").args(["stop", "-s", "-m", "fast", "-D"]).arg(&production_data).status();
    assert!(stopped.unwrap().success());
    let snapshot = || {
        (
            content(&production_data),
            content(&path("archive")),
            content(&path("space")),
            content(&path("elsewhere")),
        )
    };
    let before = snapshot();

    let folder = Folder::configured(&format!(
        "[[backup.source]]\nname = 'x'\nkind = 'basebackup'\npath = '{}'\npattern = 'PATTERN'\nexpect_empty = true\n",
        path("backup").display()
    ));
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    // Of the folder there is nothing to compare with, which is a warning.
    for (name, status) in [("tar", 0), ("folder", 1)] {
        fs::write(&config, text.replace("PATTERN", name)).unwrap();
        let run = folder.run("verify-backup").arg("--restore").await.status(status);
        run.says("claims of the migrations hold");
        assert!(snapshot() == before, "the drill of {name} changed production");
    }
    fs::write(&config, text.replace("PATTERN", "leading-out")).unwrap();
    let run = folder.run("verify-backup").arg("--restore").await.status(3);
    run.says("holds a link that leads out of the backups' folder");
    assert!(snapshot() == before, "a drill that was refused changed production");
}
