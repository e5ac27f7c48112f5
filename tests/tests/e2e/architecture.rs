//! The invariants of docs/architecture.md, each asked of the sources.

mod floors;

use std::path::{Path, PathBuf};

/// The files below `folder` whose name ends with `suffix`, with their text.
fn files(folder: &str, suffix: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![testkit::workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(suffix) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no {suffix} below {folder}");
    found
}

/// The part of a source file before its tests, without comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn nowhere(files: &[(PathBuf, String)], what: &str, except: &[&str]) {
    for (path, text) in files {
        let excepted = except.iter().any(|name| path.ends_with(Path::new(name)));
        assert!(excepted || !code(text).contains(what), "{what} in {}", path.display());
    }
}

#[test]
fn only_sql_rs_claims_dynamic_sql_safe() {
    let mut sources = files("crates", ".rs");
    sources.retain(|(path, _)| !path.to_str().unwrap().contains("/testkit/"));
    nowhere(&sources, "AssertSqlSafe", &["core/src/sql.rs"]);
}

#[test]
fn only_config_rs_reads_the_environment() {
    let sources = files("crates/core/src", ".rs");
    for call in ["env::var", "env::vars", "std::env"] {
        nowhere(&sources, call, &["core/src/config.rs"]);
    }
}

#[test]
fn core_never_prints_or_exits() {
    let sources = files("crates/core/src", ".rs");
    for call in ["println!", "eprintln!", "print!(", "stdout()", "stderr()", "process::exit"] {
        nowhere(&sources, call, &[]);
    }
}

#[test]
fn no_floating_point_near_quantities() {
    let mut sources = files("crates/core/src/balance", ".rs");
    sources.extend(files("crates/core/src", "src/ledger.rs"));
    sources.extend(files("crates/core/src/balance", ".sql"));
    for word in ["f32", "f64", "double precision", "float", "::real"] {
        nowhere(&sources, word, &[]);
    }
}

#[test]
fn a_binary_is_short() {
    for (path, text) in files("crates", "src/main.rs") {
        assert!(text.lines().count() <= 75, "{} is long; its logic belongs in core", path.display());
    }
}

#[test]
fn every_statement_file_says_what_it_locks() {
    for (path, text) in files("crates/core/src", ".sql") {
        let header = text.lines().take_while(|line| line.starts_with("--")).collect::<Vec<_>>().join("\n");
        assert!(header.contains("Locks:"), "{} does not say what it locks", path.display());
    }
}

#[test]
fn a_file_is_no_longer_than_500_lines() {
    for suffix in [".rs", ".sql"] {
        for (path, text) in files("crates", suffix) {
            let is_generated = path.ends_with("core/src/rows.rs");
            assert!(is_generated || text.lines().count() <= 500, "{} has two subjects", path.display());
        }
    }
}

/// A page may shorten a path to its end, and name a folder by its module.
#[test]
fn the_pages_for_developers_name_only_what_is_there() {
    let root = testkit::workspace();
    let mut there: Vec<String> = Vec::new();
    for folder in ["crates", "tests/tests", "migrations", "docs", "scripts"] {
        there.extend(files(folder, "").into_iter().map(|(path, _)| format!("{}", path.display())));
    }
    for page in ["docs/architecture.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| !name.contains([' ', '<', '\n']) && !name.contains(char::is_uppercase);
        let paths = quoted.filter(is_path).filter(|name| {
            let is_file = [".rs", ".sql", ".md"].iter().any(|ending| name.ends_with(ending));
            (is_file || name.contains('/')) && !name.starts_with(['.', '/']) && !name.starts_with("target/")
        });
        let mut count = 0;
        for path in paths {
            let (inside, end) = (format!("/{}/", path.trim_end_matches('/')), format!("/{path}"));
            let is_there = |name: &String| name.ends_with(&end) || name.contains(&inside);
            assert!(
                root.join(path).exists() || there.iter().any(is_there),
                "{page} names {path}, which is not there"
            );
            count += 1;
        }
        assert!(count > 10, "{page} was not read");
    }
}
