//! The damage matrix: each kind of damage with the lowest depth that finds it. docs/backup-and-recovery.md shows the
//! same table.

use std::path::Path;

use super::*;

/// A look's depth, as the flag spells it.
const DEPTHS: [&str; 3] = ["quick", "full", "restore"];

/// The witnesses, as the guide calls them.
pub(super) const RECORDS: &str = "its own records";
pub(super) const ARCHIVE: &str = "the archive";
pub(super) const PRODUCTION: &str = "production";

/// What may have been made or deleted since as well, or may be as it is on purpose, and is worth a look at that depth; all else is
/// critical, or can't be judged.
const WARNED: [&str; 12] = [
    "no backup_manifest",
    "entries of an organization's day lost",
    "a copy of an earlier one",
    "another database's dump beside it, unread",
    "entries lost in the midst",
    "an organization lost",
    "an organization's entries lost",
    "a table left out",
    "fewer rows than production's estimate",
    "an index left out, or made since",
    "an extension left out, or made since",
    "values of sequences left out",
];

/// A kind of damage.
pub(super) struct Row {
    /// What is damaged.
    pub(super) of: &'static str,
    /// How.
    pub(super) damage: &'static str,
    /// The lowest depth that finds it.
    pub(super) depth: &'static str,
    /// What it says.
    pub(super) said: &'static str,
    /// Who says it.
    pub(super) witness: &'static str,
    /// Does it.
    pub(super) damages: fn(&Path),
}

impl Row {
    /// Looks at the newest backup of `folder` at each depth up to the row's, with `production` at hand where that is
    /// given: the damage is found there and not before, by its witness.
    pub(super) async fn holds(&self, folder: &Folder, production: Option<&str>) {
        let what = format!("{}: {}", self.of, self.damage);
        for depth in DEPTHS {
            let mut look = folder.run("verify-backup").args(["--depth", depth, "--format", "json"]);
            if let Some(url) = production {
                look = look.env("DATABASE_URL", url);
            }
            let run = look.await;
            let backup = run.json()["backups"][0].clone();
            let mut findings = backup["findings"].as_array().unwrap().iter();
            let found = findings.find(|finding| finding["text"].as_str().unwrap().contains(self.said));
            if let Some(found) = found {
                assert_eq!(depth, self.depth, "{what}: {found}");
                assert_eq!(self.witness, witness(found), "{what}: {found}");
                let (status, ends) = (found["status"].as_str().unwrap(), run.status);
                let is_as_bad = match status {
                    "warning" => WARNED.contains(&self.damage) && ends == 1,
                    "critical" => ends == 1,
                    _ => matches!(ends, 1 | 3),
                };
                assert!(is_as_bad, "{what}: {status}: {}{}", run.stdout, run.stderr);
                return;
            }
            let is_bad = matches!(backup["status"].as_str().unwrap(), "critical" | "unknown");
            assert!(!is_bad && depth != self.depth, "{what}, {depth}: {}{}", run.stdout, run.stderr);
        }
        panic!("{what}: {} is no depth", self.depth);
    }
}

/// Whose word a finding is.
fn witness(finding: &serde_json::Value) -> &'static str {
    match finding["check"].as_str().unwrap() {
        "production" => PRODUCTION,
        "wal" => ARCHIVE,
        _ => RECORDS,
    }
}

#[test]
fn the_guide_shows_the_matrix() {
    let guide = fs::read_to_string(testkit::workspace().join("docs/backup-and-recovery.md")).unwrap();
    let guide = guide.split("## What is found at which depth").nth(1).unwrap().split("\n## ").next().unwrap();
    let shown: Vec<&str> = guide
        .lines()
        .filter(|line| DEPTHS.iter().any(|depth| line.ends_with(&format!("| {depth} |"))))
        .collect();
    let rows = dumps::MATRIX
        .iter()
        .chain(&basebackup::MATRIX)
        .chain(&archive::MATRIX)
        .chain(&pgbackrest::MATRIX)
        .chain(&barman::MATRIX)
        .chain(&barman::PACKED)
        .chain(&walg::MATRIX)
        .chain(&restic::MATRIX)
        .chain(&s3::MATRIX)
        .chain(beside::MATRIX.iter().map(|made| &made.row))
        .chain(&beside::CLUSTER);
    let expected: Vec<String> = rows
        .map(|row| format!("| {} | {} | {} | {} |", row.of, row.damage, row.witness, row.depth))
        .collect();
    assert_eq!(shown, expected, "the table should be:\n{}", expected.join("\n"));
}

/// A backup that is nobody's fault: what the guide promises of it, and the test that shows it.
struct Good {
    /// What it is.
    backup: &'static str,
    /// What made it.
    tool: &'static str,
    /// The test, which the compiler knows.
    test: fn() -> &'static str,
    /// How a look at it ends, the drill included.
    status: i32,
}

/// The name of a test.
macro_rules! good {
    ($(($backup:literal, $tool:literal, $module:ident :: $test:ident, $status:literal)),* $(,)?) => {
        &[$(Good {
            backup: $backup,
            tool: $tool,
            test: || {
                let _: fn() = super::$module::$test;
                concat!(stringify!($module), "::", stringify!($test))
            },
            status: $status,
        }),*]
    };
}

/// The good backups that the guide promises to end well, and those that this machine can't judge.
const GOOD: &[Good] = good![
    (
        "custom dump, compressed or not, through a pipe, in gzip",
        "pg_dump",
        dumps::whole_dumps_of_every_make_are_read_to_their_end,
        0
    ),
    ("directory dump, compressed or not", "pg_dump", drill::dumps_of_every_make_are_restored, 0),
    ("tar dump, in gzip", "pg_dump", drill::dumps_of_every_make_are_restored, 0),
    ("SQL dump, in gzip, Zstandard", "pg_dump", drill::dumps_of_every_make_are_restored, 0),
    ("rows as INSERT statements", "pg_dump", drill::dumps_of_every_make_are_restored, 0),
    ("cluster dump", "pg_dumpall", drill::dumps_of_every_make_are_restored, 0),
    (
        "dump with `--clean`, `--create`, `--if-exists` or none of them",
        "pg_dump, pg_dumpall",
        good::a_dump_that_drops_what_was_there_before_is_restored,
        0
    ),
    (
        "dump of a source with `database =`",
        "pg_dump",
        good::the_database_of_a_source_is_no_other_in_the_dump_of_one,
        0
    ),
    (
        "SQL dump whose lines end as on Windows",
        "pg_dump",
        good::lines_that_end_as_on_windows_are_restored_as_they_were,
        0
    ),
    (
        "SQL dump by pzstd, or in gzip filled up with zeros",
        "pg_dump",
        good::what_compressors_add_is_no_damage,
        0
    ),
    (
        "dump with `.partial` and `.tmp` files, `lost+found` and `globals.sql` beside it",
        "pg_dump",
        good::what_is_no_backup_beside_one_is_passed_over,
        0
    ),
    (
        "dump with a second name (hard link)",
        "pg_dump",
        good::a_backup_is_as_old_as_it_says_and_counts_once,
        0
    ),
    (
        "dump that took long and does not say when it began",
        "pg_dump",
        beside::what_production_got_or_moved_since_is_not_missed,
        0
    ),
    ("dump in xz, bzip2", "pg_dump", wrapped::dumps_in_xz_and_bzip2_are_read, 0),
    (
        "dump encrypted by gpg, age or openssl",
        "pg_dump",
        wrapped::an_encrypted_dump_is_decrypted_read_and_restored,
        0
    ),
    ("dump in parts", "pg_dump, split", wrapped::parts_are_one_backup, 0),
    ("directory dump in one tar", "pg_dump, tar", wrapped::a_folder_in_a_tar_is_unpacked_and_read, 0),
    (
        "base backup as a folder, with its WAL",
        "pg_basebackup",
        basebackup::base_backups_of_every_make_are_restored_to_the_last_archived_entry,
        0
    ),
    (
        "base backup as tar files in gzip",
        "pg_basebackup",
        basebackup::base_backups_of_every_make_are_restored_to_the_last_archived_entry,
        0
    ),
    (
        "base backup without WAL, with an archive",
        "pg_basebackup",
        basebackup::base_backups_of_every_make_are_restored_to_the_last_archived_entry,
        0
    ),
    (
        "base backup with an archive in gz, zst, lz4, xz",
        "pg_basebackup",
        archive::archives_in_other_forms_are_recovered_from_to_their_end,
        0
    ),
    (
        "base backup from a standby, with the archive of a failover right after it",
        "pg_basebackup",
        archive::a_timeline_that_was_left_in_the_backups_last_segment_makes_it_whole,
        0
    ),
    ("base backup in one tar", "pg_basebackup, tar", wrapped::a_base_backup_in_one_tar_is_recovered, 0),
    ("base backup with a tablespace", "pg_basebackup", good::a_tablespace_beside_a_base_backup_goes_along, 0),
    (
        "base backup of a machine with other collations",
        "pg_basebackup",
        good::indexes_of_another_collation_are_named,
        0
    ),
    (
        "full, differential, incremental",
        "pgBackRest",
        pgbackrest::backups_of_every_type_are_found_and_the_newest_restored,
        0
    ),
    ("backups in two repositories", "pgBackRest", pgbackrest::each_repository_is_judged_by_itself, 0),
    (
        "backup after `stanza-upgrade`",
        "pgBackRest",
        pgbackrest::what_was_archived_before_an_upgrade_is_no_part_of_what_came_since,
        0
    ),
    ("backup with its archive", "Barman", barman::a_backup_is_found_verified_and_restored, 0),
    (
        "backup with its archive, both compressed",
        "Barman",
        barman::a_compressed_backup_is_verified_and_restored,
        0
    ),
    ("backup with its archive", "WAL-G", walg::a_backup_is_found_fetched_and_restored, 0),
    (
        "backup of a cluster with segments of 64 MB",
        "WAL-G",
        walg::segments_of_another_size_are_counted_as_long_as_they_are,
        0
    ),
    ("snapshot of a dump", "restic", restic::a_snapshot_is_found_read_and_restored, 0),
    ("dump in a bucket", "object storage (S3)", s3::a_dump_in_a_bucket_is_found_read_and_restored, 0),
    ("base backup in tar in a bucket", "object storage (S3)", s3::a_base_backup_in_a_bucket_is_restored, 0),
    (
        "backup that a program lists and restores",
        "any program",
        command::a_programs_backup_is_verified_or_restored_by_it,
        0
    ),
    (
        "dump of a newer server than this machine has",
        "pg_dump",
        good::a_dump_of_a_newer_server_names_the_version_that_it_needs,
        3
    ),
    (
        "dump with an extension that this machine lacks",
        "pg_dump",
        good::an_extension_that_this_machine_lacks_is_named,
        3
    ),
    (
        "dump that needs more room than the drill has",
        "pg_dump",
        good::a_disk_that_gets_full_in_a_drill_is_no_fault_of_the_backup,
        3
    ),
];

#[test]
fn the_guide_shows_the_good_backups() {
    let guide = fs::read_to_string(testkit::workspace().join("docs/backup-and-recovery.md")).unwrap();
    let guide = guide.split("## Good backups").nth(1).unwrap().split("\n## ").next().unwrap();
    let is_row = |line: &&str| line.ends_with("| 0 |") || line.ends_with("| 3 |");
    let shown: Vec<&str> = guide.lines().filter(is_row).collect();
    let row = |Good { backup, tool, test, status }: &Good| {
        format!("| {backup} | {tool} | `{}` | {status} |", test())
    };
    let expected: Vec<String> = GOOD.iter().map(row).collect();
    assert_eq!(shown, expected, "the table should be:\n{}", expected.join("\n"));
}

#[tokio::test]
async fn every_example_of_the_guide_is_a_configuration() {
    let guide = fs::read_to_string(testkit::workspace().join("docs/backup-and-recovery.md")).unwrap();
    let examples: Vec<&str> =
        guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    for kind in ["dump", "basebackup", "pgbackrest", "barman", "walg", "restic", "s3", "command"] {
        let example = examples.iter().find(|example| example.contains(&format!("kind = \"{kind}\"")));
        let folder = Folder::configured(example.unwrap_or_else(|| panic!("{kind} has no example")));
        // It holds, so a source that it does not have is what is wrong.
        folder
            .run("verify-backup")
            .args(["--source", "zzz"])
            .await
            .refuses(2, "no backup source is named \"zzz\"");
    }
}
