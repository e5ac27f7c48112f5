//! What make hands to a command. A program that prints its arguments stands in for the command.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const PROGRAM: &str = r#"#!/bin/sh
printf '<%s>' "$@"
echo
echo "database: $DATABASE_URL"
case $* in *--api-key=-*) printf 'stdin: '; cat ;; esac
exit "${STATUS:-0}"
"#;

struct Make(TempDir);

impl Make {
    fn new() -> Make {
        let target = tempfile::tempdir().unwrap();
        fs::create_dir(target.path().join("debug")).unwrap();
        for name in ["org-create", "reconcile-balances"] {
            let path = target.path().join("debug").join(name);
            fs::write(&path, PROGRAM).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Make(target)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut make = Command::new("make");
        // CARGO builds nothing here: the programs are there.
        make.args(["--no-print-directory", "CARGO=true", "COMMANDS=org-create reconcile-balances"])
            .args(words)
            .current_dir(testkit::workspace())
            .env_remove("MAKEFLAGS")
            .env_remove("MAKEOVERRIDES")
            .env("CARGO_TARGET_DIR", self.0.path())
            .env("DATABASE_URL", "postgres://from-environment/x");
        make
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        answer(&self.command(words).output().unwrap())
    }
}

fn answer(out: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap()
}

#[test]
fn a_variable_is_one_argument_whatever_it_holds() {
    let make = Make::new();
    let name = r#"a "b" 'c' $d ${e} $(shell exit 1) $$; exit 1 # `exit 1` \n é"#;
    let (status, stdout, _) = make.run(&["org:create", &format!("NAME={name}"), "SUBDOMAIN=acme"]);
    assert_eq!(status, 0);
    let line = first_line(&stdout);
    assert!(line.contains(&format!("<--name={name}>")), "{line}");
    assert!(line.contains("<--subdomain=acme>"), "{line}");
}

#[test]
fn args_is_split_into_words_and_never_run() {
    let make = Make::new();
    let args = r#"--name "Acme $HOME; exit 1" --note '`exit 1`' a\ b """#;
    let (status, stdout, _) = make.run(&["org-create", &format!("ARGS={args}")]);
    assert_eq!(status, 0);
    assert_eq!(first_line(&stdout), "<--name><Acme $HOME; exit 1><--note><`exit 1`><a b><>");
    let (status, _, stderr) = make.run(&["org-create", r#"ARGS=--name "Acme"#]);
    assert_eq!(status, 2);
    assert!(stderr.contains("ARGS has a quote without its twin"), "{stderr}");
}

#[test]
fn a_switch_is_given_without_a_value() {
    let make = Make::new();
    let (_, stdout, _) = make.run(&["reconcile:balances", "DRY_RUN=1", "FIX_LARGE=no", "TOLERANCE=1"]);
    let line = first_line(&stdout);
    assert!(
        line.contains("<--dry-run>") && line.contains("<--tolerance=1>") && !line.contains("fix"),
        "{line}"
    );
    let (status, _, stderr) = make.run(&["reconcile-balances", "DRY_RUN=perhaps"]);
    assert_eq!(status, 2);
    assert!(stderr.contains("DRY_RUN is a switch"), "{stderr}");
}

#[test]
fn an_api_key_goes_to_standard_input() {
    let make = Make::new();
    let (_, stdout, _) = make.run(&["org-create", "API_KEY=s3cret $x"]);
    assert!(stdout.starts_with("<--api-key=->\n") && stdout.ends_with("stdin: s3cret $x\n"), "{stdout}");
    let mut piped = make
        .command(&["org-create", "API_KEY=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"from a file\n").unwrap();
    let (_, stdout, _) = answer(&piped.wait_with_output().unwrap());
    assert!(stdout.ends_with("stdin: from a file\n"), "{stdout}");
}

#[test]
fn a_database_is_no_flag() {
    let make = Make::new();
    let (_, stdout, stderr) = make.run(&["org-create", "DATABASE_URL=postgres://u:p$w;@h/db"]);
    assert_eq!(stdout, "<>\ndatabase: postgres://u:p$w;@h/db\n");
    assert!(!stderr.contains("demo cluster"), "{stderr}");
    let (_, stdout, _) = make.run(&["org-create"]);
    assert!(stdout.ends_with("database: postgres://from-environment/x\n"), "{stdout}");
}

#[test]
fn a_failure_is_shown_with_its_status() {
    let make = Make::new();
    let out = make.command(&["reconcile:balances"]).env("STATUS", "3").output().unwrap();
    let (status, _, stderr) = answer(&out);
    assert_eq!(status, 2);
    assert!(stderr.contains("Error 3"), "{stderr}");
}
