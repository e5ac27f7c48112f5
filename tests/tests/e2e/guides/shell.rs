//! The shell blocks of README.md and the guides, run as they are written.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use testkit::{TestDb, binary_path, workspace};

use super::{commands, guide};

/// The blocks that the tests below run: the guide, and which of its blocks.
const RUN: [(&str, usize); 10] = [
    ("README.md", 1),
    ("docs/db-generate.md", 0),
    ("docs/mapping.md", 0),
    ("docs/setup.md", 0),
    ("docs/setup.md", 1),
    ("docs/setup.md", 2),
    ("docs/tenancy.md", 0),
    ("docs/tenancy.md", 1),
    ("docs/tenancy.md", 2),
    ("docs/tenancy.md", 5),
];

/// The others, with what keeps a test from running them.
const NOT_RUN: [(&str, usize, &str); 13] = [
    ("README.md", 0, "make demo takes minutes, and make test would run this test"),
    (
        "docs/backup-and-recovery.md",
        0,
        "a folder and a host of the reader's own; backups are tested by themselves",
    ),
    ("docs/backup-and-recovery.md", 1, "puts a backup of the reader's into the place of a lost database"),
    ("docs/backup-and-recovery.md", 2, "looks at what the block before it restored"),
    ("docs/db-generate.md", 1, "builds the workspace; scripts/test ends with the same two commands"),
    ("docs/isolation.md", 0, "asks a person"),
    ("docs/migration.md", 0, "rehearsals are tested by themselves, and setting up holds one"),
    (
        "docs/migration.md",
        1,
        "needs a database of the reader's own; such rehearsals are tested by themselves",
    ),
    ("docs/migration.md", 2, "plans and parts are tested by themselves"),
    ("docs/migration.md", 3, "asks a person"),
    ("docs/tenancy.md", 3, "asks a person"),
    ("docs/tenancy.md", 4, "asks a person"),
    ("docs/tenancy.md", 6, "asks a person"),
];

/// The shell blocks of a guide.
fn blocks(name: &str) -> Vec<String> {
    let text = guide(name);
    let parts = text.split("```sh\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// A person's shell, with the binaries on its PATH and a database in its environment.
struct Shell<'a> {
    db: &'a TestDb,
    folder: TempDir,
}

impl<'a> Shell<'a> {
    fn new(db: &'a TestDb) -> Shell<'a> {
        Shell { db, folder: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a block in `folder`; each of its commands ends with 0.
    fn run_in(&self, folder: &Path, name: &str, index: usize) {
        assert!(RUN.contains(&(name, index)), "{name}, block {index}, is not in the list");
        let binaries = binary_path("org-list").parent().unwrap().to_path_buf();
        let target: PathBuf = binaries.parent().unwrap().into();
        // `make` builds what it runs, by CARGO: it is built.
        let out = Command::new("sh")
            .arg("-c")
            .arg(
                r#"exec env -i PATH="$1:$PATH" HOME="$HOME" EDITOR=true CARGO=true CARGO_TARGET_DIR="$2" DATABASE_URL="$3" \
                   bash -euo pipefail -c "$4""#,
            )
            .arg("sh")
            .args([&binaries, &target])
            .arg(self.db.url())
            .arg(format!("trap 'echo \"it was: $BASH_COMMAND\" >&2' ERR\n{}", blocks(name)[index]))
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(out.status.success(), "{name}, block {index}: {}\n{said}", out.status);
    }

    fn run(&self, name: &str, index: usize) {
        self.run_in(self.folder(), name, index);
    }
}

/// An inventory as an application left it, with 14 people of Acme among others.
async fn inventory() -> TestDb {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO users (email, name) SELECT 'p' || n || '@acme.com', 'P' FROM generate_series(1, 14) AS n;
         INSERT INTO users (email, name) VALUES ('a@notacme.com', 'A'), ('b@sub.acme.com', 'B'), ('c@example.com', 'C');
         INSERT INTO items (id, item_number, name) VALUES ('bolt', 'A-1', 'Bolt');
         INSERT INTO locations (id, site, name) VALUES ('l1', 'North', 'Rack 1');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical)
         SELECT 'bolt', 'l1', n FROM generate_series(1, 100) AS n",
    )
    .await;
    db
}

#[test]
fn every_shell_block_is_run_or_is_known_not_to_be() {
    let mut guides = vec!["README.md".to_owned()];
    for entry in fs::read_dir(workspace().join("docs")).unwrap() {
        guides.push(format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()));
    }
    let there: BTreeSet<(String, usize)> = guides
        .into_iter()
        .filter(|name| name.ends_with(".md"))
        .flat_map(|name| (0..blocks(&name).len()).map(move |index| (name.clone(), index)))
        .collect();
    let listed = RUN.iter().copied().chain(NOT_RUN.iter().map(|(name, index, _)| (*name, *index)));
    let listed: Vec<(String, usize)> = listed.map(|(name, index)| (name.to_owned(), index)).collect();
    assert_eq!(listed.len(), there.len(), "each once");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), there);
    for other in ["```bash", "```shell", "```console"] {
        assert!(!there.iter().any(|(name, _)| guide(name).contains(other)), "{other} is written ```sh here");
    }
}

#[tokio::test]
async fn setting_up_runs_as_it_is_written() {
    // One command after the other, and then all of them by one.
    let step_by_step = inventory().await;
    Shell::new(&step_by_step).run("docs/setup.md", 1);
    let db = inventory().await;
    let shell = Shell::new(&db);
    for block in 0..3 {
        shell.run("docs/setup.md", block);
    }
    assert_eq!(
        db.value("SELECT count(*) FROM users AS u JOIN organizations AS o ON o.id = u.org_id WHERE o.subdomain = 'acme'").await,
        "14"
    );
}

#[tokio::test]
async fn tenancy_runs_as_it_is_written() {
    let db = inventory().await;
    db.run("migrate-all").arg("--contract").await.ok();
    let shell = Shell::new(&db);
    shell.run("docs/tenancy.md", 0);
    shell.run("docs/tenancy.md", 1);
    // The run that is taken back there is the next one.
    db.execute("SELECT setval(pg_get_serial_sequence('stockfoil.run', 'id'), 41)").await;
    shell.run("docs/tenancy.md", 2);
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id <> 'default'").await, "0", "taken back");
    shell.run("docs/tenancy.md", 5);
}

#[tokio::test]
async fn the_mapping_and_the_client_run_as_they_are_written() {
    let db = inventory().await;
    Shell::new(&db).run("docs/mapping.md", 0);
    let shell = Shell::new(&db);
    fs::create_dir(shell.folder().join("src")).unwrap();
    shell.run("docs/db-generate.md", 0);
}

/// What `make demo` leaves behind, for what the README goes on with.
#[tokio::test]
async fn the_readme_goes_on_from_the_demo() {
    let db = inventory().await;
    db.run("migrate-all").arg("--contract").await.ok();
    let demo = guide("scripts/demo");
    let created: Vec<&str> =
        demo.lines().filter_map(|line| line.split_once(" org-create --")).map(|(_, flags)| flags).collect();
    assert_eq!(created.len(), 2, "{created:?}");
    let shell = Shell::new(&db);
    for flags in created {
        let status = Command::new("bash")
            .args(["-ec", &format!("{} --{flags} >/dev/null", binary_path("org-create").display())])
            .env("DATABASE_URL", db.url())
            .status();
        assert!(status.unwrap().success(), "{flags}");
    }
    shell.run_in(&workspace(), "README.md", 1);
    // The targets of the first block are there.
    let targets = Command::new("make").args(["--dry-run", "demo", "test"]).current_dir(workspace()).output();
    assert!(targets.unwrap().status.success());
}

/// The sample says what the demo prints, whatever the numbers are.
#[test]
fn the_readme_shows_the_demos_summary() {
    let readme = guide("README.md");
    let shown: Vec<(&str, &str)> = readme
        .split("```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.trim_start().split_once("  ").unwrap())
        .map(|(label, value)| (label, value.trim()))
        .collect();
    let demo = guide("scripts/demo");
    let claims: Vec<(&str, &str)> = demo
        .split("\n    claim ")
        .skip(1)
        .map(|claim| {
            let (_, rest) = claim.split_once(" '").unwrap();
            let (label, rest) = rest.split_once("' ").unwrap();
            // The value is the first of the two arguments that are left.
            let value = rest.trim_start_matches(['\\', '\n', ' ']).trim_start_matches('"');
            (label, value.split("\" ").next().unwrap())
        })
        .collect();
    let labels =
        |lines: &[(&str, &str)]| lines.iter().map(|(label, _)| (*label).to_owned()).collect::<Vec<_>>();
    assert_eq!(labels(&shown), labels(&claims));
    for ((label, shown), (_, value)) in shown.iter().zip(&claims) {
        let literals =
            value.split("||").map(str::trim).filter_map(|part| part.strip_prefix('\'')?.strip_suffix('\''));
        for literal in literals {
            assert!(shown.contains(literal.trim()), "{label}: {shown:?} lacks {literal:?}");
        }
    }
}

#[test]
fn the_readme_counts_the_commands() {
    let words =
        ["fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "twenty-one"];
    let word = words[commands().len() - 14];
    assert!(guide("README.md").contains(&format!(" {word} small commands")), "there are {word}");
}
