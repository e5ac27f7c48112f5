//! WAL-G, by a program that writes the JSON that WAL-G documents: no distribution packages it.

use super::{
    site::{Site, output, overwrite, segments},
    *,
};

/// A storage of WAL-G's make: a base backup, its WAL, and a `wal-g` that gives them out.
async fn storage(list: &str, show: &str) -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", "base/bare"]);
    let top = folder.top.path();
    fs::write(top.join("list.json"), list).unwrap();
    fs::write(top.join("show.json"), show).unwrap();
    let script = format!(
        "#!/bin/sh\ncd {top}\ncase $1 in\nbackup-list) cat list.json ;;\nwal-show) cat show.json ;;\n\
        backup-fetch) mkdir -p \"$2\" && cp -a base/bare/. \"$2\" ;;\nwal-fetch) cp wal/\"$2\" \"$OLDPWD/$3\" ;;\n*) exit 64 ;;\nesac\n",
        top = top.display()
    );
    write_program(&top.join("wal-g"), &script);
    let config = format!(
        "[[backup.source]]\nname = 'walg'\nkind = 'walg'\nprogram = '{}/wal-g'\nmin_count = 1\n[backup.source.environment]\nWALG_FILE_PREFIX = '/storage'\n",
        top.display()
    );
    fs::write(top.join("stockfoil.toml"), config).unwrap();
    site.give(top);
    folder
}

fn backup(name: &str, age: Duration) -> String {
    let at = chrono::DateTime::<chrono::Utc>::from(SystemTime::now() - age).to_rfc3339();
    format!(
        r#"{{"backup_name":"{name}","time":"{at}","wal_file_name":"000000010000000000000002","start_time":"{at}","finish_time":"{at}","date_fmt":"%Y-%m-%dT%H:%M:%S.%fZ","hostname":"db","data_dir":"/data","pg_version":150018,"start_lsn":33554472,"finish_lsn":33554688,"is_permanent":false,"system_identifier":7712036520885166852,"uncompressed_size":30000000,"compressed_size":4000000}}"#
    )
}

const WHOLE: &str = r#"[{"id":1,"parent_id":0,"switch_point_lsn":0,"start_segment":"000000010000000000000001","end_segment":"000000010000000000000009","segments_count":9,"missing_segments":[],"segment_range_size":9,"status":"OK"}]"#;

const FULL: &str = "base_000000010000000000000002";

#[tokio::test]
async fn a_backup_is_found_fetched_and_restored() {
    let folder = storage(&format!("[{}]", backup(FULL, MINUTE)), WHOLE).await;
    folder.run("monitor-backups").await.ok().says("walg: 1 good backups").says(FULL);
    let run = folder.run("verify-backup").await.ok();
    run.says("fetched to its end")
        .says("not sealed")
        .says("the pages of 8 archived segments")
        .says("production was not asked which rows it should hold");
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("restored, nothing wrong found").says("database stock: ");
    // The server fetches what the base backup lacks.
    let archived = segments(&folder.top.path().join("wal"));
    for segment in archived {
        fs::remove_file(segment).unwrap();
    }
    let run = folder.run("verify-backup").arg("--restore").await.status(1);
    run.says("archived WAL is damaged: 000000010000000000000002 can't be fetched");
}

#[tokio::test]
async fn pages_of_what_is_fetched_are_held_against_their_checksums() {
    let folder = storage(&format!("[{}]", backup(FULL, MINUTE)), WHOLE).await;
    let data = folder.top.path().join("base/bare");
    fs::remove_dir_all(&data).unwrap();
    let mut initdb = Site::shared().await.cluster.as_owner("initdb");
    initdb.args(["--data-checksums", "--no-sync", "-D"]).arg(&data);
    output(initdb);
    let label = "START WAL LOCATION: 0/F0000000 (file 000000010000000000000002)\n";
    fs::write(data.join("backup_label"), label).unwrap();
    folder.run("verify-backup").await.ok().says("pages hold, and 0 were written meanwhile");
    let catalog = fs::read_dir(data.join("base/1")).unwrap().map(|entry| entry.unwrap().path());
    let largest = catalog.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = fs::read(&largest).unwrap();
    // A page that is cleared as a whole has no checksum: it is counted, and a drill misses what was in it.
    overwrite(&largest, 8192, 8192, 0);
    folder.run("verify-backup").await.ok().says(" are empty and have none");
    fs::write(&largest, whole).unwrap();
    overwrite(&largest, 8192 + 4000, 8, 0x55);
    let run = folder.run("verify-backup").await.status(1);
    run.says("pages are not as their checksums say: page 1 in base/1/").says("not to be relied on");
}

#[tokio::test]
async fn what_walg_tells_is_held_against_the_thresholds() {
    let delta = "base_000000010000000000000004_D_000000010000000000000002";
    let both = format!("[{},{}]", backup(FULL, 2 * MINUTE), backup(delta, MINUTE));
    let folder = storage(&both, WHOLE).await;
    folder.run("monitor-backups").await.ok().says("2 good backups").says(delta);
    let lost = WHOLE.replace("\"OK\"", "\"LOST_SEGMENTS\"").replace("[]", "[\"000000010000000000000005\"]");
    for (list, show, status, said) in [
        (
            format!("[{}]", backup(delta, MINUTE)),
            WHOLE,
            1,
            "needs the backup base_000000010000000000000002, which is gone",
        ),
        (both.clone(), lost.as_str(), 1, "WAL is missing in the storage of WAL-G"),
        (both.clone(), "[]", 1, "no WAL was ever archived"),
        (format!("[{}]", backup(FULL, 26 * 60 * MINUTE)), WHOLE, 1, "more than max_age"),
        ("[]".into(), WHOLE, 1, "no backup: the storage of WAL-G has none"),
        ("null".into(), WHOLE, 1, "no backup: the storage of WAL-G has none"),
        (String::new(), WHOLE, 3, "ended well but wrote nothing"),
        ("no backups found".into(), WHOLE, 3, "wrote what is not its JSON"),
    ] {
        let folder = storage(&list, show).await;
        folder.run("monitor-backups").await.status(status).says(said);
    }
}
