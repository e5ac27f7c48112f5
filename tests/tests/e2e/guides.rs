//! The guides against the binaries.

mod protections;
mod shell;

use std::{collections::BTreeSet, fs, process::Command};

use testkit::{Binary, binary_path, workspace};

/// What every command has.
const COMMON: [&str; 7] = ["--config", "--format", "--output", "--reason", "--quiet", "--verbose", "--help"];

fn guide(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap()
}

fn commands() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(workspace().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("src/main.rs").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 14, "{names:?}");
    names
}

/// The flags in a text; those of `--help` stand at the beginning of their line.
fn flags<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words
        .map(|word| word.trim_end_matches(|letter: char| !letter.is_ascii_lowercase()))
        .filter(|word| word.starts_with("--"))
        .filter(|word| !COMMON.contains(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_quick_reference_has_each_commands_flags_and_no_others() {
    let guide = guide("docs/quick-reference.md");
    for command in commands() {
        let help = Command::new(binary_path(&command)).arg("--help").output().unwrap().stdout;
        let help = String::from_utf8(help).unwrap();
        let known = flags(help.lines().filter(|line| line.starts_with("  -")).flat_map(|line| {
            line.split_whitespace().take_while(|word| word.starts_with('-')).collect::<Vec<_>>()
        }));
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| `{command}` |")))
            .unwrap_or_else(|| panic!("{command} is missing"));
        let shown = flags(row.split(['`', ' ', '/']));
        assert_eq!(shown, known, "{command}");
    }
}

#[test]
fn the_guide_says_what_to_do_about_each_alert() {
    let guide = guide("docs/operations.md");
    let of = |file: &str| fs::read_to_string(workspace().join("crates/core/src").join(file)).unwrap();
    let balances = of("balance/reconcile/alerts.rs");
    let keys =
        balances.lines().filter_map(|line| Some(line.split_once("_KEY: &str = \"")?.1.split_once('"')?.0));
    let backups = of("backup/earlier.rs");
    let sources =
        backups.lines().filter_map(|line| Some(line.split_once("=> format!(\"")?.1.split_once("{name}")?.0));
    let (keys, sources): (Vec<&str>, Vec<&str>) = (keys.collect(), sources.collect());
    assert!(keys.len() >= 8 && sources.len() == 3, "{keys:?} {sources:?}");
    for key in keys.iter().chain(&sources) {
        assert!(guide.lines().any(|line| line.starts_with(&format!("| `{key}"))), "{key}");
    }
}

#[test]
fn the_readme_names_every_command_in_both_spellings() {
    let readme = guide("README.md");
    for command in commands() {
        let original = command.replacen('-', ":", 1);
        assert!(readme.contains(&format!("| `{command}` | `{original}` |")), "{command}");
    }
}

#[tokio::test]
async fn the_guides_configurations_are_ones() {
    for name in ["README.md", "docs/alerts.md", "docs/setup.md"] {
        let guide = guide(name);
        let sample = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stockfoil.toml");
        // Nobody answers at that address, so a configuration that holds ends in status 3.
        let mut text = sample.replace("db.example.com", "127.0.0.1:1");
        if !text.contains("[database]") {
            text.push_str("[database]\nurl = 'postgres://nobody@127.0.0.1:1/none'\n");
        }
        fs::write(&file, text).unwrap();
        Binary::new("org-list").arg("--config").arg(&file).await.refuses(3, "127.0.0.1");
    }
}
