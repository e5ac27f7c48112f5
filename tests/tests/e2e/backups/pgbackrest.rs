//! The real pgBackRest, with a full, a differential and an incremental backup.

use super::{
    matrix::{ARCHIVE, RECORDS, Row},
    site::{Site, overwrite, segments},
    *,
};

/// What is done to pgBackRest's repository; the path is that of its folder.
pub(super) const MATRIX: [Row; 11] = [
    Row {
        of: "pgBackRest",
        damage: "referenced file damaged",
        depth: "full",
        said: "pgbackrest verify found damage",
        witness: RECORDS,
        damages: |repository| {
            let file = format!("pg_data/{}.gz", Site::file_of("inventory_ledger_pkey"));
            let full = newest(repository, 'F');
            // The differential backup has the table's file; what did not change since, the full one has alone.
            let file =
                if full.join(&file).exists() { full.join(file) } else { full.join("pg_data/PG_VERSION.gz") };
            let length = file.metadata().unwrap().len() as usize;
            overwrite(&file, length / 2, 4, 0x55);
        },
    },
    Row {
        of: "pgBackRest",
        damage: "newest backup's folder gone",
        depth: "quick",
        said: "is gone: pgBackRest lists it",
        witness: RECORDS,
        damages: |repository| fs::remove_dir_all(newest(repository, 'I')).unwrap(),
    },
    Row {
        of: "pgBackRest",
        damage: "referenced backup's folder gone",
        depth: "quick",
        said: "needs the backup",
        witness: RECORDS,
        damages: |repository| fs::remove_dir_all(newest(repository, 'F')).unwrap(),
    },
    Row {
        of: "pgBackRest",
        damage: "start WAL gone, its .backup file kept",
        depth: "quick",
        said: "WAL is missing in the archive",
        witness: ARCHIVE,
        damages: |repository| {
            let wal = wal(repository);
            let labels =
                fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            // Two backups by pgBackRest come before the third, and other tools' behind it.
            let mut labels: Vec<String> = labels.filter(|name| name.ends_with(".backup")).collect();
            labels.sort();
            let segment =
                segments(&wal).into_iter().find(|path| path.to_string_lossy().contains(&labels[2][..24]));
            fs::remove_file(segment.unwrap()).unwrap();
        },
    },
    Row {
        of: "pgBackRest",
        damage: "WAL in the middle of the recovery range gone",
        depth: "quick",
        said: "so that a recovery ends there",
        witness: ARCHIVE,
        damages: |repository| {
            let archived = segments(&wal(repository));
            fs::remove_file(&archived[archived.len() - 3]).unwrap();
        },
    },
    Row {
        of: "pgBackRest",
        damage: "last archived WAL lost, with a seal",
        depth: "restore",
        said: "entries of the ledger are lost",
        witness: RECORDS,
        damages: |repository| {
            for segment in segments(&wal(repository)).iter().rev().take(3) {
                fs::remove_file(segment).unwrap();
            }
        },
    },
    Row {
        of: "pgBackRest",
        damage: "page checksum error flagged when it was made",
        depth: "quick",
        said: "has pages whose checksum does not hold",
        witness: RECORDS,
        damages: |repository| {
            // As pgBackRest records it where the cluster has page checksums.
            let top = repository.parent().unwrap();
            let script = "#!/bin/sh\npgbackrest \"$@\" | sed 's/\"error\":false/\"error\":true/g'\n";
            write_program(&top.join("flagging"), script);
            let config = top.join("stockfoil.toml");
            let text = fs::read_to_string(&config).unwrap();
            fs::write(config, format!("{text}program = '{}'\n", top.join("flagging").display())).unwrap();
        },
    },
    Row {
        of: "pgBackRest",
        damage: "a page of another segment, archived as such",
        depth: "full",
        said: "is not what its name says",
        witness: ARCHIVE,
        damages: |repository| {
            let archived = segments(&wal(repository));
            let target = &archived[archived.len() - 2];
            let name = named_like(&archived[0], &target.file_name().unwrap().to_string_lossy()[..24]);
            fs::remove_file(target).unwrap();
            fs::copy(&archived[0], target.with_file_name(name)).unwrap();
        },
    },
    Row {
        of: "pgBackRest",
        damage: "a new timeline's history gone",
        depth: "quick",
        said: "00000002.history is missing",
        witness: ARCHIVE,
        damages: |repository| {
            let archived = segments(&wal(repository));
            let last = archived.last().unwrap();
            let number =
                u64::from_str_radix(&last.file_name().unwrap().to_string_lossy()[16..24], 16).unwrap();
            let folder = wal(repository).with_file_name("0000000200000000");
            fs::create_dir(&folder).unwrap();
            let next = format!("0000000200000000{:08X}", number + 1);
            fs::copy(last, folder.join(named_like(last, &next))).unwrap();
        },
    },
    Row {
        of: "pgBackRest",
        damage: "a timeline that was left before the backup began",
        depth: "quick",
        said: "so that no recovery of it goes on there",
        witness: ARCHIVE,
        damages: |repository| {
            let history = wal(repository).with_file_name("00000002.history");
            fs::write(history, "1\t0/1000028\tno recovery target specified\n").unwrap();
        },
    },
    Row {
        of: "pgBackRest, two repositories",
        damage: "WAL in the middle of the recovery range gone in one",
        depth: "quick",
        said: "repository 2: WAL is missing",
        witness: ARCHIVE,
        damages: |repository| {
            let second = second(repository);
            let archived = segments(&wal(&second));
            fs::remove_file(&archived[archived.len() - 3]).unwrap();
        },
    },
];

/// The name of the file `path` in the archive if it were the segment `segment`: its checksum goes with it.
fn named_like(path: &Path, segment: &str) -> String {
    format!("{segment}{}", &path.file_name().unwrap().to_string_lossy()[24..])
}

/// Makes a copy of the repository a second one.
fn second(repository: &Path) -> PathBuf {
    let top = repository.parent().unwrap();
    let mut copied = std::process::Command::new("cp");
    copied.arg("-a").args([repository, &top.join("second")]);
    assert!(copied.status().unwrap().success());
    let tool = top.join("pgbackrest.conf");
    let text = fs::read_to_string(&tool).unwrap();
    fs::write(&tool, text.replace("[global]\n", &format!("[global]\nrepo2-path={}/second\n", top.display())))
        .unwrap();
    top.join("second")
}

/// The newest backup of a type, by the letter that ends its label.
fn newest(repository: &Path, letter: char) -> PathBuf {
    let folders = fs::read_dir(repository.join("backup/main")).unwrap().map(|entry| entry.unwrap().path());
    let is_it =
        |path: &PathBuf| path.is_dir() && !path.is_symlink() && path.to_string_lossy().ends_with(letter);
    folders.filter(is_it).max().unwrap()
}

fn wal(repository: &Path) -> PathBuf {
    let version = fs::read_dir(repository.join("archive/main")).unwrap().map(|entry| entry.unwrap().path());
    version.into_iter().find(|path| path.is_dir()).unwrap().join("0000000100000000")
}

/// None where pgBackRest does not know servers of this version.
pub(super) async fn copy_of_the_repository() -> Option<Folder> {
    let site = Site::shared().await;
    if !site.has_pgbackrest {
        return None;
    }
    let folder = site.copy(&["pgbackrest", "seals"]);
    let config = site.source_of_pgbackrest(folder.top.path());
    fs::write(folder.top.path().join("stockfoil.toml"), config).unwrap();
    Some(folder)
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    for row in &MATRIX {
        let Some(folder) = copy_of_the_repository().await else { return };
        (row.damages)(&folder.top.path().join("pgbackrest"));
        row.holds(&folder, None).await;
    }
}

#[tokio::test]
pub(super) async fn backups_of_every_type_are_found_and_the_newest_restored() {
    let Some(folder) = copy_of_the_repository().await else { return };
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.ok().json();
    let source = &report["sources"][0];
    assert_eq!((&source["count"], &source["good_count"]), (&3.into(), &3.into()));
    assert_eq!(source["newest"]["format"], "incremental");
    let report = folder.run("verify-backup").args(["--restore", "--format", "json"]).await.ok().json();
    let backup = &report["backups"][0];
    assert_eq!((&backup["status"], &backup["is_sealed"]), (&"ok".into(), &true.into()));
    let database = &backup["drill"]["databases"][0];
    assert_eq!((&database["name"], &database["is_compared"]), (&"stock".into(), &true.into()));
    assert!(database["checks_passed"].as_u64().unwrap() > 10);
    assert_eq!(database["reconcile"]["differences"]["large"], 0);
}

#[tokio::test]
pub(super) async fn what_was_archived_before_an_upgrade_is_no_part_of_what_came_since() {
    let Some(folder) = copy_of_the_repository().await else { return };
    let top = folder.top.path();
    // As after stanza-upgrade to a cluster whose WAL begins anew: the one before had gone further, on timeline 3.
    let archive = wal(&top.join("pgbackrest")).parent().unwrap().to_path_buf();
    let before = archive.with_file_name("14-0");
    let folder_before = before.join("0000000300000007");
    fs::create_dir_all(&folder_before).unwrap();
    let last = segments(&archive.join("0000000100000000")).pop().unwrap();
    fs::copy(&last, folder_before.join(named_like(&last, "000000030000000700000042"))).unwrap();
    fs::write(before.join("00000003.history"), "1\t0/1000028\tno\n").unwrap();
    Site::shared().await.give(top);
    folder.run("monitor-backups").await.ok();
}

#[tokio::test]
async fn wal_that_is_lost_in_the_middle_is_found_where_it_is_fetched_too() {
    let Some(folder) = copy_of_the_repository().await else { return };
    let archived = segments(&wal(&folder.top.path().join("pgbackrest")));
    fs::remove_file(&archived[archived.len() - 3]).unwrap();
    // pgBackRest itself sees nothing amiss in its records; only the listing of its files and their reading do.
    let tool = Site::shared().await.tool(
        "pgbackrest",
        &[
            &format!("--config={}/pgbackrest.conf", folder.top.path().display()),
            "--stanza=main",
            "info",
            "--output=json",
        ],
    );
    assert!(tool.contains("\"message\":\"ok\""), "{tool}");
    let blind =
        "#!/bin/sh\ncase $* in *repo-ls*archive*) cat \"$0.listing\" ;; *) exec pgbackrest \"$@\" ;; esac\n";
    let program = folder.top.path().join("blind");
    write_program(&program, blind);
    let listing = Site::shared().await.tool(
        "pgbackrest",
        &[
            &format!("--config={}", Site::shared().await.path("pgbackrest.conf").display()),
            "--stanza=main",
            "repo-ls",
            "archive/main",
            "--recurse",
            "--output=json",
        ],
    );
    fs::write(folder.top.path().join("blind.listing"), listing).unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    fs::write(
        &config,
        fs::read_to_string(&config).unwrap() + &format!("program = '{}'\n", program.display()),
    )
    .unwrap();
    Site::shared().await.give(folder.top.path());
    folder.run("monitor-backups").await.ok();
    folder
        .run("verify-backup")
        .arg("--restore")
        .await
        .status(1)
        .says("archived WAL is damaged: ")
        .says("can't be fetched");
}

#[tokio::test]
async fn no_stanza_and_no_backup_are_never_ok() {
    let Some(folder) = copy_of_the_repository().await else { return };
    let repository = folder.top.path().join("pgbackrest");
    fs::remove_dir_all(repository.join("backup/main")).unwrap();
    fs::remove_dir_all(repository.join("archive/main")).unwrap();
    let site = Site::shared().await;
    for binary in ["monitor-backups", "verify-backup"] {
        folder.run(binary).await.status(1).says("the stanza main is not well: ");
    }
    site.tool(
        "pgbackrest",
        &[
            &format!("--config={}/pgbackrest.conf", folder.top.path().display()),
            "--stanza=main",
            "stanza-create",
        ],
    );
    folder.run("monitor-backups").await.status(1).says("no valid backups");
    fs::remove_dir_all(&repository).unwrap();
    folder.run("monitor-backups").await.status(1).says("missing stanza path");
    folder
        .run("monitor-backups")
        .env("PATH", "/nonexistent")
        .await
        .status(3)
        .tells("pgbackrest was not found");
}

#[tokio::test]
pub(super) async fn each_repository_is_judged_by_itself() {
    let Some(folder) = copy_of_the_repository().await else { return };
    let top = folder.top.path();
    second(&top.join("pgbackrest"));
    let config = top.join("stockfoil.toml");
    let both = fs::read_to_string(&config).unwrap();
    let with = |repo: &str| fs::write(&config, format!("{both}{repo}")).unwrap();
    folder.run("monitor-backups").await.ok();
    folder.run("verify-backup").await.ok();
    for repo in ["repo = 1\n", "repo = 2\n"] {
        with(repo);
        folder.run("verify-backup").arg("--restore").await.ok().says("verified and restored");
    }
    with("repo = 3\n");
    folder.run("monitor-backups").await.status(1).says("knows no repository 3");

    // What is missing in the one is not made up for by the other.
    let archived = segments(&wal(&top.join("second")));
    fs::remove_file(&archived[archived.len() - 3]).unwrap();
    with("");
    folder
        .run("monitor-backups")
        .await
        .status(1)
        .says("repository 2: ")
        .says("so that a recovery ends there");
    with("repo = 1\n");
    folder.run("monitor-backups").await.ok();
    with("repo = 2\n");
    folder.run("monitor-backups").await.status(1).says("so that a recovery ends there");
}
