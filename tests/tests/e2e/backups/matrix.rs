//! The damage matrix: each kind of damage with the lowest depth that finds it. docs/backup-and-recovery.md shows the
//! same table.

use std::path::Path;

use super::*;

/// A look's depth, as the flag spells it.
const DEPTHS: [&str; 3] = ["quick", "full", "restore"];

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
    /// Does it.
    pub(super) damages: fn(&Path),
}

impl Row {
    /// Looks at the newest backup of `folder` at each depth up to the row's: nothing critical is found before, and
    /// the damage is found there.
    pub(super) async fn holds(&self, folder: &Folder) {
        let what = format!("{}: {}", self.of, self.damage);
        for depth in DEPTHS {
            let run = folder.run("verify-backup").args(["--depth", depth, "--format", "json"]).await;
            let backup = run.json()["backups"][0].clone();
            let is_found = matches!(backup["status"].as_str().unwrap(), "critical" | "unknown");
            assert_eq!(is_found, depth == self.depth, "{what}, {depth}: {}{}", run.stdout, run.stderr);
            if is_found {
                assert_eq!(run.status, 1, "{what}: {}{}", run.stdout, run.stderr);
                let found = backup["findings"].as_array().unwrap().iter();
                let mut texts = found.map(|finding| finding["text"].as_str().unwrap());
                assert!(texts.any(|text| text.contains(self.said)), "{what}: no {:?}: {backup}", self.said);
                return;
            }
        }
        panic!("{what}: {} is no depth", self.depth);
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
    let rows =
        dumps::MATRIX.iter().chain(&basebackup::MATRIX).chain(&pgbackrest::MATRIX).chain(&barman::MATRIX);
    let expected: Vec<String> =
        rows.map(|row| format!("| {} | {} | {} |", row.of, row.damage, row.depth)).collect();
    assert_eq!(shown, expected, "the table should be:\n{}", expected.join("\n"));
}

#[tokio::test]
async fn every_example_of_the_guide_is_a_configuration() {
    let guide = fs::read_to_string(testkit::workspace().join("docs/backup-and-recovery.md")).unwrap();
    let examples: Vec<&str> =
        guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    for kind in ["dump", "basebackup", "pgbackrest", "barman", "walg", "restic", "command"] {
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
