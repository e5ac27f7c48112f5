//! WAL-G, by a program that writes the JSON that WAL-G documents: no distribution packages it.

use super::{
    matrix::{ARCHIVE, PRODUCTION, RECORDS, Row},
    site::{Site, output, overwrite, segments},
    *,
};

/// What is done to what WAL-G gives out; the path is that of the folder with the storage.
pub(super) const MATRIX: [Row; 8] = [
    row("fetched without its backup_label", "full", "it has no backup_label", RECORDS, |top| {
        fs::remove_file(top.join("base/bare/backup_label")).unwrap();
    }),
    row("fetched with another backup's backup_label", "full", "is another backup's", RECORDS, |top| {
        let label = top.join("base/bare/backup_label");
        let text = fs::read_to_string(&label).unwrap();
        fs::write(label, text.replace("(file 0000000100000000", "(file 0000000100000001")).unwrap();
    }),
    row(
        "page of zeros in a table",
        "full",
        "rows of inventory_ledger; these rows are lost",
        PRODUCTION,
        |top| {
            overwrite(&top.join("base/bare").join(Site::file_of("inventory_ledger")), 0, 8192, 0);
        },
    ),
    row(
        "WAL in the middle of the recovery range gone",
        "quick",
        "so that a recovery ends there",
        ARCHIVE,
        |top| {
            let archived = segments(&top.join("wal"));
            let name = archived[archived.len() - 3].file_name().unwrap().to_string_lossy().into_owned();
            let show = fs::read_to_string(top.join("show.json")).unwrap();
            let lost = show.replace("[]", &format!("[\"{name}\"]")).replace("\"OK\"", "\"LOST_SEGMENTS\"");
            fs::write(top.join("show.json"), lost).unwrap();
        },
    ),
    row("a page of another segment", "full", "is not what its name says", ARCHIVE, |top| {
        let archived = segments(&top.join("wal"));
        fs::copy(&archived[0], &archived[archived.len() - 2]).unwrap();
    }),
    row("a segment of another cluster", "full", "is of another cluster", ARCHIVE, |top| {
        let archived = segments(&top.join("wal"));
        overwrite(&archived[archived.len() - 2], 24, 8, 0x55);
    }),
    row("a new timeline's history gone", "quick", "00000002.history is missing", ARCHIVE, |top| {
        add_timeline(top);
    }),
    row(
        "a timeline that was left before the backup began",
        "quick",
        "so that no recovery of it goes on there",
        ARCHIVE,
        |top| {
            add_timeline(top);
            fs::write(top.join("wal/00000002.history"), "1\t0/1000028\tno recovery target specified\n")
                .unwrap();
        },
    ),
];

const fn row(
    damage: &'static str,
    depth: &'static str,
    said: &'static str,
    witness: &'static str,
    damages: fn(&Path),
) -> Row {
    Row { of: "WAL-G", damage, depth, said, witness, damages }
}

/// Lets the storage tell of a second timeline, which goes on behind the last segment of the first.
fn add_timeline(top: &Path) {
    let show = fs::read_to_string(top.join("show.json")).unwrap();
    let end = show.split("end_segment\":\"").nth(1).unwrap()[..24].to_owned();
    let number = u64::from_str_radix(&end[16..], 16).unwrap() + 1;
    let next = format!("0000000200000000{number:08X}");
    let second = timeline(2, &next, &next);
    fs::write(top.join("show.json"), show.replace("}]", &format!("}},{second}]"))).unwrap();
}

/// A storage of WAL-G's make: a base backup, its WAL, and a `wal-g` that gives them out.
async fn storage(list: &str, show: &str) -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", "base/bare"]);
    let top = folder.top.path();
    let system = site.execute("SELECT system_identifier FROM pg_control_system()");
    fs::write(top.join("list.json"), list.replace("SYSTEM", &system)).unwrap();
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

/// One with the site's base backup as WAL-G would call it, and all WAL from there on; with the number of its segments.
pub(super) async fn whole_storage() -> (Folder, usize) {
    let site = Site::shared().await;
    let label = fs::read_to_string(site.path("base/bare/backup_label")).unwrap();
    let first = label.split("(file ").nth(1).unwrap()[..24].to_owned();
    let names = segments(&site.path("wal"));
    let names = names.iter().map(|path| path.file_name().unwrap().to_string_lossy()[..24].to_owned());
    let names: Vec<String> = names.filter(|name| *name >= first).collect();
    let show = format!("[{}]", timeline(1, &first, names.last().unwrap()));
    let folder = storage(&format!("[{}]", backup(&format!("base_{first}"), MINUTE)), &show).await;
    (folder, names.len())
}

fn backup(name: &str, age: Duration) -> String {
    let at = chrono::DateTime::<chrono::Utc>::from(SystemTime::now() - age).to_rfc3339();
    let segment = &name[5..29];
    let lsn = (u64::from_str_radix(&segment[16..], 16).unwrap() << 24) + 40;
    format!(
        r#"{{"backup_name":"{name}","time":"{at}","wal_file_name":"{segment}","start_time":"{at}","finish_time":"{at}","date_fmt":"%Y-%m-%dT%H:%M:%S.%fZ","hostname":"db","data_dir":"/data","pg_version":150018,"start_lsn":{lsn},"finish_lsn":{lsn},"is_permanent":false,"system_identifier":SYSTEM,"uncompressed_size":30000000,"compressed_size":4000000}}"#
    )
}

fn timeline(id: u32, start: &str, end: &str) -> String {
    format!(
        r#"{{"id":{id},"parent_id":0,"switch_point_lsn":0,"start_segment":"{start}","end_segment":"{end}","segments_count":9,"missing_segments":[],"segment_range_size":9,"status":"OK"}}"#
    )
}

const WHOLE: &str = r#"[{"id":1,"parent_id":0,"switch_point_lsn":0,"start_segment":"000000010000000000000001","end_segment":"000000010000000000000009","segments_count":9,"missing_segments":[],"segment_range_size":9,"status":"OK"}]"#;

const FULL: &str = "base_000000010000000000000002";

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    let url = Site::shared().await.cluster.url("stock");
    for row in &MATRIX {
        let (folder, _) = whole_storage().await;
        (row.damages)(folder.top.path());
        let production = (row.witness == PRODUCTION).then_some(url.as_str());
        row.holds(&folder, production).await;
    }
}

#[tokio::test]
pub(super) async fn a_backup_is_found_fetched_and_restored() {
    let (folder, count) = whole_storage().await;
    folder.run("monitor-backups").await.ok().says("walg: 1 good backups").says("base_0000");
    let run = folder.run("verify-backup").await.ok();
    run.says("fetched to its end")
        .says("not sealed")
        .says(&format!("the pages of {count} archived segments"))
        .says("production was not asked which rows it should hold");
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("restored, nothing wrong found").says("database stock: ");
    // The server fetches what the base backup lacks.
    let archived = segments(&folder.top.path().join("wal"));
    for segment in archived {
        fs::remove_file(segment).unwrap();
    }
    let run = folder.run("verify-backup").arg("--restore").await.status(1);
    run.says("archived WAL is damaged: 0000").says(" can't be fetched");
}

#[tokio::test]
async fn pages_of_what_is_fetched_are_held_against_their_checksums() {
    let folder = storage(&format!("[{}]", backup(FULL, MINUTE)), "[{\"id\":1,\"status\":\"OK\"}]").await;
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
    // A page that is cleared as a whole has no checksum; that others lie behind it tells that something was there, and
    // production, where it is another cluster, does not tell what.
    overwrite(&largest, 8192, 8192, 0);
    let run = folder.run("verify-backup").await.status(1).says(" are empty and have none");
    run.says("has pages of zeros in tables: page 1 in base/1/").says("worth a look");
    let other = TestDb::migrated().await;
    let run = folder.run("verify-backup").env("DATABASE_URL", other.url()).await.status(1);
    run.says("it is another cluster").says("production was not asked");
    fs::write(&largest, whole).unwrap();
    overwrite(&largest, 8192 + 4000, 8, 0x55);
    let run = folder.run("verify-backup").await.status(1);
    run.says("pages are not as their checksums say: page 1 in base/1/").says("not to be relied on");
}

#[tokio::test]
pub(super) async fn segments_of_another_size_are_counted_as_long_as_they_are() {
    // Of 64 MB each, so that the last one before the next name is 3F.
    let name = "base_00000001000000000000003E";
    let list = backup(name, MINUTE)
        .replace(&((0x3E_u64 << 24) + 40).to_string(), &((0x3E_u64 << 26) + 40).to_string());
    let show = format!("[{}]", timeline(1, &name[5..], "000000010000000100000001"));
    let folder = storage(&format!("[{list}]"), &show).await;
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.ok().json();
    let wal = &report["sources"][0]["wal"];
    assert_eq!((&wal["ends_at"], &wal["gaps"]), (&"1/8000000".into(), &serde_json::json!([])), "{wal}");
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
