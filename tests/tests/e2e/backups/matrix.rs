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
const WARNED: [&str; 10] = [
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
        .chain(&restic::MATRIX)
        .chain(beside::MATRIX.iter().map(|made| &made.row))
        .chain(&beside::CLUSTER);
    let expected: Vec<String> = rows
        .map(|row| format!("| {} | {} | {} | {} |", row.of, row.damage, row.witness, row.depth))
        .collect();
    assert_eq!(shown, expected, "the table should be:\n{}", expected.join("\n"));
}

/// The good backups that the guide promises to end well: what, by which tool, and the test that shows it.
const GOOD: [(&str, &str); 13] = [
    ("custom dump, compressed or not, through a pipe, in gzip", "pg_dump"),
    ("directory dump, compressed or not", "pg_dump"),
    ("tar dump, in gzip", "pg_dump"),
    ("SQL dump, in gzip, Zstandard", "pg_dump"),
    ("rows as INSERT statements", "pg_dump"),
    ("cluster dump", "pg_dumpall"),
    ("base backup as a folder, with its WAL", "pg_basebackup"),
    ("base backup as tar files in gzip", "pg_basebackup"),
    ("base backup without WAL, with an archive", "pg_basebackup"),
    ("full, differential, incremental", "pgBackRest"),
    ("backup with its archive, compressed or not", "Barman"),
    ("snapshot of a dump", "restic"),
    ("dump, and base backup in tar, in a bucket", "object storage (S3)"),
];

#[test]
fn the_guide_shows_the_good_backups() {
    let guide = fs::read_to_string(testkit::workspace().join("docs/backup-and-recovery.md")).unwrap();
    let guide = guide.split("## Good backups").nth(1).unwrap().split("\n## ").next().unwrap();
    let shown: Vec<&str> = guide.lines().filter(|line| line.ends_with("| 0 |")).collect();
    let expected: Vec<String> =
        GOOD.iter().map(|(backup, tool)| format!("| {backup} | {tool} | 0 |")).collect();
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
