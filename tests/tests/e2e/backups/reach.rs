//! How far an archive of WAL leads, where it has gaps, and what a restore would lose.

use super::{
    archive::{copy_of, needed, rename},
    site::{Site, segments},
    *,
};

#[tokio::test]
async fn what_an_archive_holds_in_an_unknown_form_is_not_known() {
    let folder = copy_of("folder").await;
    for path in needed(&folder, "folder") {
        rename(&path, ".gpg");
    }
    folder.run("monitor-backups").await.status(3).says("what WAL there is can't be told");
    // What is missing beside it is critical all the same.
    let folder = copy_of("folder").await;
    let needed = needed(&folder, "folder");
    rename(&needed[needed.len() - 2], ".gpg");
    fs::remove_file(&needed[needed.len() - 3]).unwrap();
    let run = folder.run("verify-backup").args(["--depth", "quick"]).await.status(1);
    run.says("so that a recovery ends there").says("can't be told");
}

#[tokio::test]
async fn a_gap_tells_the_backups_that_it_affects() {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", "base/folder", "base/bare"]);
    let top = folder.top.path().display();
    let source = format!(
        "[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{top}/base'\nwal_path = '{top}/wal'\nmax_drop_pct = 90\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), source).unwrap();
    let quick = async |binary: &str, status| {
        let run = folder.run(binary).args(["--depth", "quick", "--format", "json"]).await.status(status);
        let list = if binary == "verify-backup" { "backups" } else { "sources" };
        run.json()[list][0]["wal"].clone()
    };
    let whole = quick("monitor-backups", 0).await;
    assert_eq!(whole["gaps"], serde_json::json!([]));
    let archived = segments(&folder.top.path().join("wal"));
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy()[..24].to_owned();
    assert_eq!(whole["ends_with"], name(archived.last().unwrap()));
    assert!(whole["archived_at"].is_string() && whole["ends_at"].as_str().unwrap().contains('/'), "{whole}");

    let gap = &archived[archived.len() - 3..archived.len() - 1];
    for path in gap {
        fs::remove_file(path).unwrap();
    }
    for binary in ["verify-backup", "monitor-backups"] {
        let wal = quick(binary, 1).await;
        assert_eq!(wal["gaps"].as_array().unwrap().len(), 1, "{wal}");
        let found = &wal["gaps"][0];
        assert_eq!((&found["from"], &found["to"]), (&name(&gap[0]).into(), &name(&gap[1]).into()));
        let mut affected: Vec<&str> =
            found["affects"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        affected.sort_unstable();
        assert_eq!(affected, ["bare", "folder"], "{wal}");
        assert_ne!(wal["ends_with"], whole["ends_with"]);
        let run = folder.run(binary).args(["--depth", "quick"]).await.status(1);
        run.says(&format!("missing from {} to {}; affects ", name(&gap[0]), name(&gap[1])));
    }
}

#[tokio::test]
async fn what_a_restore_would_lose_is_told_by_production() {
    let site = Site::shared().await;
    let folder = copy_of("folder").await;
    site.add_entries(2);
    let url = site.cluster.url("stock");
    for (binary, list) in [("monitor-backups", "sources"), ("verify-backup", "backups")] {
        let look = || folder.run(binary).env("DATABASE_URL", &url).args(["--depth", "quick"]);
        let report = look().args(["--format", "json"]).await.ok().json()[list][0].clone();
        let rpo = &report["rpo"];
        assert!(rpo["lost_entries"].as_u64().unwrap() >= 2, "{rpo}");
        assert!(rpo["lost_wal_bytes"].as_u64().unwrap() > 0, "{rpo}");
        assert!(rpo["newest_entry_at"].is_string() && rpo["entry_age_seconds"].is_u64(), "{rpo}");
        assert_eq!(rpo["reaches"], report["wal"]["archived_at"], "{report}");
        look().await.ok().says("a restore now (RPO) reaches ").says(" of WAL are not archived");
        // Without production, that is said.
        let run = folder.run(binary).args(["--depth", "quick"]).await.ok();
        run.says("what a restore would lose now is not known of production: no database is configured");
        let other = TestDb::migrated().await;
        let run = folder.run(binary).env("DATABASE_URL", other.url()).args(["--depth", "quick"]).await.ok();
        run.says("and the archived WAL is of ");
    }
}

#[tokio::test]
async fn a_dump_loses_what_came_since_it_began() {
    let db = TestDb::migrated().await;
    let enter = "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_at) SELECT i.id, l.id, 1, ";
    db.execute("INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A')").await;
    db.execute(format!("{enter} now() - interval '2 hours' FROM items i, locations l")).await;
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    db.execute(format!(
        "{enter} now() + interval '1 second' * n FROM items i, locations l, generate_series(1, 3) n"
    ))
    .await;
    let run =
        folder.run("monitor-backups").env("DATABASE_URL", db.url()).args(["--format", "json"]).await.ok();
    let rpo = run.json()["sources"][0]["rpo"].clone();
    assert_eq!(
        (&rpo["lost_entries"], &rpo["lost_wal_bytes"]),
        (&3.into(), &serde_json::Value::Null),
        "{rpo}"
    );
    assert!(rpo["entry_age_seconds"].as_u64().unwrap() >= 7_200, "{rpo}");

    // The same for those who watch, by either command; and what may be lost is held against it.
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    for binary in ["monitor-backups", "verify-backup"] {
        fs::write(&config, &text).unwrap();
        let look = |format: &str| {
            let look = folder.run(binary).env("DATABASE_URL", db.url());
            look.args(["--depth", "quick", "--format", format])
        };
        let samples = formats::read_prometheus(&look("prometheus").await.ok().stdout);
        let value = |what: &str| {
            let found = samples
                .iter()
                .find(|sample| sample.0 == format!("stockfoil_backup_{what}") && sample.1 == "nightly");
            found.map(|sample| sample.2.parse::<u64>().unwrap())
        };
        assert_eq!(value("lost_entries"), Some(3), "{samples:?}");
        assert!(value("rpo_now_seconds").unwrap() >= 7_200, "{samples:?}");
        let (entry, reaches) = (value("reaches_entry_timestamp_seconds"), value("reaches_timestamp_seconds"));
        assert!(entry.unwrap() < reaches.unwrap(), "{samples:?}");
        assert_eq!(value("lost_wal_bytes"), None, "{samples:?}");
        look("nagios").await.ok().says("'nightly rpo'=72").says("'nightly lost entries'=3");
        fs::write(&config, format!("{text}max_rpo = '1h'\n")).unwrap();
        look("nagios").await.status(2).says(";3600");
        look("human").await.status(1).says("is 2 h old, more than max_rpo (1 h), and 3 came since");
    }
    db.execute("DELETE FROM inventory_ledger WHERE created_at > now() - interval '1 hour'").await;
    // What nobody entered is not lost.
    let run = folder.run("monitor-backups").env("DATABASE_URL", db.url()).await;
    run.ok();
}

#[tokio::test]
async fn the_archives_of_barman_are_read_page_by_page() {
    let site = Site::shared().await;
    let folder = site.copy(&["barman"]);
    let top = folder.top.path().display();
    let config = format!(
        "[[backup.source]]\nname = 'barman'\nkind = 'barman'\nserver = 'main'\nconfig_file = '{top}/barman.conf'\nmin_count = 1\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), config).unwrap();
    folder.run("verify-backup").await.ok().says("archived segments of WAL are what their names say");
    let archived = segments(&folder.top.path().join("barman/main/wals/0000000100000000"));
    fs::copy(&archived[archived.len() - 2], &archived[archived.len() - 1]).unwrap();
    folder.run("monitor-backups").await.ok();
    folder.run("verify-backup").await.status(1).says("is not what its name says");
}
