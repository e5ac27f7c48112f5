//! Archived WAL that a recovery does not get to the end of, and archives that hold it in other forms.

use super::{
    matrix::{ARCHIVE, Row},
    site::{ENTRIES_LATE, Site, overwrite, segments},
    *,
};

/// A copy of the site's base backup `name` and of its archived WAL, without a seal that would tell of lost entries.
pub(super) async fn copy_of(name: &str) -> Folder {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", &format!("base/{name}")]);
    let top = folder.top.path().display();
    let source = format!(
        "[[backup.source]]\nname = 'base'\nkind = 'basebackup'\npath = '{top}/base'\npattern = '{name}'\nwal_path = '{top}/wal'\n"
    );
    fs::write(folder.top.path().join("stockfoil.toml"), source).unwrap();
    folder
}

/// The archived segments that the backup of `folder` begins in or that are newer.
pub(super) fn needed(folder: &Folder, name: &str) -> Vec<PathBuf> {
    needed_by(&folder.top.path().join("base").join(name))
}

fn needed_by(data: &Path) -> Vec<PathBuf> {
    let label = fs::read_to_string(data.join("backup_label")).unwrap();
    let first = label.split("(file ").nth(1).unwrap()[..24].to_owned();
    let mut archived = segments(&data.join("../../wal"));
    archived.retain(|path| path.file_name().unwrap().to_string_lossy()[..24] >= first[..]);
    archived
}

pub(super) fn rename(path: &Path, suffix: &str) {
    let name = format!("{}{suffix}", path.file_name().unwrap().to_string_lossy());
    fs::rename(path, path.with_file_name(name)).unwrap();
}

/// What is done to an archive behind a base backup that holds the WAL which makes it whole; the path is that of the
/// backup's data folder.
pub(super) const MATRIX: [Row; 13] = [
    row("records overwritten", "restore", "the recovery ended at", |data| {
        let needed = needed_by(data);
        overwrite(&needed[needed.len() - 3], 60, 400, 0x55);
    }),
    row("records zeroed", "restore", "the recovery ended at", |data| {
        let needed = needed_by(data);
        overwrite(&needed[needed.len() - 3], 100, 8_000, 0);
    }),
    row("a segment of another cluster", "full", "another cluster", |data| {
        let needed = needed_by(data);
        overwrite(&needed[needed.len() - 2], 24, 8, 0x55);
    }),
    row("a page of another segment", "full", "is not what its name says", |data| {
        let needed = needed_by(data);
        fs::copy(&needed[0], &needed[needed.len() - 2]).unwrap();
    }),
    row("a compressed segment cut off", "full", "can't be read to its end", |data| {
        let needed = needed_by(data);
        let path = needed[needed.len() - 2].with_extension("gz");
        gzip(&needed[needed.len() - 2], &path);
        fs::remove_file(&needed[needed.len() - 2]).unwrap();
        cut(&path);
    }),
    row("a segment emptied", "quick", "is empty (0 bytes)", |data| {
        let needed = needed_by(data);
        fs::write(&needed[needed.len() - 2], "").unwrap();
    }),
    row("a segment cut off", "quick", "and not 16777216", |data| {
        let needed = needed_by(data);
        cut(&needed[needed.len() - 2]);
    }),
    row("compressed by lzma", "quick", "compressed by lzma, which is not read here", |data| {
        for path in needed_by(data) {
            fs::write(&path, b"\x5d\0\0\x80\0 compressed").unwrap();
            rename(&path, ".lzma");
        }
    }),
    row("said to be bzip2, and none", "full", "can't be read to its end", |data| {
        for path in needed_by(data) {
            fs::write(path, b"BZh91AY&SY compressed").unwrap();
        }
    }),
    row("an unknown suffix (encrypted)", "quick", ".gpg ends otherwise than what is known here", |data| {
        for path in needed_by(data) {
            rename(&path, ".gpg");
        }
    }),
    row("folders too deep", "quick", "/1/2/3/4 is too deep", |data| {
        let deep = data.join("../../wal/1/2/3/4");
        fs::create_dir_all(&deep).unwrap();
        for path in needed_by(data) {
            fs::rename(&path, deep.join(path.file_name().unwrap())).unwrap();
        }
    }),
    row("an empty folder", "quick", "is empty: it is not mounted, or nothing was ever archived", |data| {
        let wal = data.join("../../wal");
        fs::remove_dir_all(&wal).unwrap();
        fs::create_dir(wal).unwrap();
    }),
    row("all gone since the backup began", "quick", "holds no WAL since", |data| {
        for path in needed_by(data) {
            fs::remove_file(path).unwrap();
        }
    }),
];

const fn row(damage: &'static str, depth: &'static str, said: &'static str, damages: fn(&Path)) -> Row {
    Row { of: "archived WAL", damage, depth, said, witness: ARCHIVE, damages }
}

#[tokio::test]
async fn wal_that_a_recovery_does_not_get_through_is_found() {
    for row in &MATRIX {
        let folder = copy_of("folder").await;
        (row.damages)(&folder.top.path().join("base/folder"));
        row.holds(&folder, None).await;
    }
}

#[tokio::test]
async fn where_a_recovery_ended_is_said() {
    let folder = copy_of("folder").await;
    let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
    let recovery = &report["backups"][0]["drill"]["recovery"];
    assert_eq!(recovery["timeline"], 1);
    let needed = needed(&folder, "folder");
    let last = needed.last().unwrap().file_name().unwrap().to_string_lossy()[..24].to_owned();
    assert_eq!(recovery["archive_ends_with"], last);
    assert!(recovery["lsn"].as_str().unwrap().contains('/'), "{recovery}");
    assert!(recovery["last_transaction_at"].is_string(), "{recovery}");
    folder.run("verify-backup").arg("--restore").await.ok().says("recovered to ").says("on timeline 1");

    // Damage tells both ends.
    overwrite(&needed[needed.len() - 3], 60, 400, 0x55);
    let run = folder.run("verify-backup").arg("--restore").await.status(1);
    run.says("the recovery ended at").says(&format!("the archive goes on to {last}"));
}

#[tokio::test]
pub(super) async fn archives_in_other_forms_are_recovered_from_to_their_end() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("gz", |path| {
            gzip(path, &path.with_extension("gz"));
            fs::remove_file(path).unwrap();
        }),
        ("gzip without a suffix", |path| {
            let beside = path.with_extension("gz");
            gzip(path, &beside);
            fs::rename(beside, path).unwrap();
        }),
        ("zst", |path| {
            fs::write(path.with_extension("zst"), zstd::encode_all(File::open(path).unwrap(), 1).unwrap())
                .unwrap();
            fs::remove_file(path).unwrap();
        }),
        ("a folder each timeline", |path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let below = path.with_file_name(&name[..16]);
            let _ = fs::create_dir(&below);
            fs::rename(path, below.join(name)).unwrap();
        }),
        ("links", |path| {
            let store = path.parent().unwrap().with_file_name("store");
            let _ = fs::create_dir(&store);
            let target = store.join(path.file_name().unwrap());
            fs::rename(path, &target).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }),
    ];
    let whole = rows(&copy_of("folder").await).await;
    for (what, change) in changes {
        let folder = copy_of("folder").await;
        for path in needed(&folder, "folder") {
            change(&path);
        }
        assert_eq!(rows(&folder).await, whole, "{what}: {ENTRIES_LATE} entries are in WAL alone");
    }
}

/// The entries of the ledger that a drill restores.
async fn rows(folder: &Folder) -> u64 {
    let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
    let tables = report["backups"][0]["drill"]["databases"][0]["tables"].as_array().unwrap();
    let ledger = tables.iter().find(|table| table["name"] == "inventory_ledger").unwrap();
    ledger["rows"].as_u64().unwrap()
}

/// Recovers a copy of the backup with its archive, which becomes another timeline's, and archives on into it.
async fn promoted() -> Folder {
    let site = Site::shared().await;
    let folder = copy_of("folder").await;
    let top = folder.top.path().display();
    let data = folder.top.path().join("promoted");
    let output = std::process::Command::new("cp")
        .arg("-a")
        .arg(folder.top.path().join("base/folder"))
        .arg(&data)
        .output()
        .unwrap();
    assert!(output.status.success());
    fs::write(
        data.join("postgresql.auto.conf"),
        format!(
            "listen_addresses = ''\nunix_socket_directories = '{top}'\nport = 5432\nrestore_command = 'cp {top}/wal/%f %p'\narchive_mode = on\narchive_command = 'cp %p {top}/wal/%f'\n"
        ),
    )
    .unwrap();
    fs::write(data.join("recovery.signal"), "").unwrap();
    site.give(folder.top.path());
    let pg_ctl =
        |args: &[&str]| site.tool("pg_ctl", &[&["-s", "-w", "-D", data.to_str().unwrap()], args].concat());
    let log = data.with_extension("log");
    pg_ctl(&["-l", log.to_str().unwrap(), "start"]);
    let sql = |text: &str| {
        let mut psql = site.cluster.as_owner("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", &top.to_string(), "-p", "5432", "-U"]);
        let output = psql.arg(site.cluster.superuser()).args(["-d", "stock", "-c", text]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let is_primary = async {
        while sql("SELECT pg_is_in_recovery()").trim() != "f" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(60 * Duration::from_secs(1), is_primary).await.unwrap();
    for _ in 0..2 {
        sql("UPDATE items SET name = name || '.'; SELECT pg_switch_wal()");
    }
    // Ending in order, it archives all that it has.
    pg_ctl(&["stop", "-m", "fast"]);
    fs::remove_dir_all(&data).unwrap();
    folder
}

#[tokio::test]
async fn a_recovery_follows_the_newest_timeline_and_needs_its_history() {
    let folder = promoted().await;
    let wal = folder.top.path().join("wal");
    let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
    let recovery = &report["backups"][0]["drill"]["recovery"];
    assert_eq!(recovery["timeline"], 2, "{recovery}");
    assert!(recovery["archive_ends_with"].as_str().unwrap().starts_with("00000002"), "{recovery}");

    // The old primary's last segment, as a promotion keeps it, is no part of the way.
    let last = segments(&wal).pop().unwrap();
    fs::copy(&last, last.with_extension("partial")).unwrap();
    folder.run("verify-backup").arg("--restore").await.ok();

    fs::remove_file(wal.join("00000002.history")).unwrap();
    let run = folder.run("verify-backup").args(["--depth", "quick"]).await.status(1);
    run.says("00000002.history is missing");
    folder.run("verify-backup").arg("--restore").await.status(1);
}

#[tokio::test]
async fn a_timeline_that_has_no_segments_yet_loses_nothing() {
    let at = |path: &Path, offset: u64| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let number = u64::from_str_radix(&name[16..24], 16).unwrap();
        format!("0/{:X}", (number << 24) + offset)
    };
    let turned = async |turn: fn(&[PathBuf]) -> (PathBuf, u64)| {
        let folder = copy_of("folder").await;
        let needed = needed(&folder, "folder");
        let (path, offset) = turn(&needed);
        let text = format!("1\t{}\tno recovery target specified\n", at(&path, offset));
        fs::write(folder.top.path().join("wal/00000002.history"), text).unwrap();
        Site::shared().await.give(folder.top.path());
        (folder, needed)
    };
    // At the end of the last segment, and behind it: the new timeline has archived nothing yet.
    for turn in [
        (|needed| (needed[needed.len() - 1].clone(), 1 << 24)) as fn(&[PathBuf]) -> (PathBuf, u64),
        |needed| (needed[needed.len() - 1].clone(), (1 << 24) + 0x60),
    ] {
        let (folder, needed) = turned(turn).await;
        let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
        let last = needed.last().unwrap().file_name().unwrap().to_string_lossy()[..24].to_owned();
        assert_eq!(report["backups"][0]["drill"]["recovery"]["archive_ends_with"], last);
        // Damage before the turn loses what is behind it all the same.
        overwrite(&needed[needed.len() - 3], 60, 400, 0x55);
        let run = folder.run("verify-backup").arg("--restore").await.status(1);
        run.says("the recovery ended at").says(&format!("the archive goes on to {last}"));
    }
}

#[tokio::test]
async fn wal_of_the_backups_own_is_enough_where_no_archive_is_configured() {
    let folder = copy_of("folder").await;
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("wal_path")).collect();
    fs::write(&config, kept.join("\n")).unwrap();
    folder.run("verify-backup").arg("--restore").await.ok().says("recovered to ");
}

#[tokio::test]
async fn a_timeline_that_was_left_before_the_backup_is_no_way() {
    // A test's restore of an older backup, which archived to the same place.
    for (history, said) in [
        (
            "1\t0/1000060\tno recovery target specified\n",
            "leaves timeline 1 at 0/1000060, before the newest backup began",
        ),
        ("", "does not tell where timeline 1 was left"),
    ] {
        let folder = copy_of("folder").await;
        fs::write(folder.top.path().join("wal/00000002.history"), history).unwrap();
        Site::shared().await.give(folder.top.path());
        folder.run("monitor-backups").await.status(1).says("00000002.history in ").says(said);
    }
}

#[tokio::test]
pub(super) async fn a_timeline_that_was_left_in_the_backups_last_segment_makes_it_whole() {
    let folder = copy_of("bare").await;
    let (data, wal) = (folder.top.path().join("base/bare"), folder.top.path().join("wal"));
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(data.join("backup_manifest")).unwrap()).unwrap();
    let end = manifest["WAL-Ranges"][0]["End-LSN"].as_str().unwrap().to_owned();
    let number = u64::from_str_radix(end.split('/').nth(1).unwrap(), 16).unwrap() >> 24;
    // The primary died in the midst of that segment, and the standby archived it as the first of its own timeline.
    let named = |timeline: u32| wal.join(format!("{timeline:08X}00000000{number:08X}"));
    for later in segments(&wal).into_iter().filter(|path| *path > named(1)) {
        fs::remove_file(later).unwrap();
    }
    fs::copy(named(1), named(2)).unwrap();
    rename(&named(1), ".partial");
    let history = |left: &str| fs::write(wal.join("00000002.history"), format!("1\t{left}\tno\n")).unwrap();
    history(&format!("0/{:X}", (number << 24) + 0xFF_FFF8));
    folder.run("monitor-backups").await.ok();
    folder
        .run("verify-backup")
        .arg("--restore")
        .await
        .ok()
        .says("verified and restored")
        .says("on timeline 2");
    // Where it was left before the backup's end, the rest is nowhere.
    history(&format!("0/{:X}", (number << 24) + 0x28));
    folder.run("monitor-backups").await.status(1).says("WAL is missing in it and in the archive");
}
