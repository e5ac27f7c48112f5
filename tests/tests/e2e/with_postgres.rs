use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Output, Stdio},
};

fn with_postgres() -> Command {
    Command::new(testkit::workspace().join("scripts/with-postgres"))
}

fn shell(options: &[&str], script: &str) -> Output {
    with_postgres().args(options).args(["sh", "-c", script]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_command_gets_a_cluster_of_its_own_and_its_status_comes_back() {
    let out = shell(
        &["--database", "a b/c"],
        r#"cat "$STOCKFOIL_CLUSTER_DIR/PG_VERSION" && psql -AtXc 'SELECT current_database()' "$DATABASE_URL" &&
           psql -AtXc 'SHOW listen_addresses' && echo "$STOCKFOIL_CLUSTER_DIR" && exit 7"#,
    );
    assert_eq!(out.status.code(), Some(7), "{}", text(&out.stderr));
    let out = text(&out.stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].parse::<u32>().unwrap() >= 15);
    assert_eq!(lines[1..3], ["a b/c", ""], "connected through both, and no TCP");
    assert!(!Path::new(lines[3]).exists(), "the cluster is gone");
}

#[test]
fn nothing_is_left_when_the_script_is_killed() {
    let mut script = with_postgres()
        .args(["sh", "-c", r#"echo "$STOCKFOIL_CLUSTER_DIR"; exec sleep 1000"#])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut folder = String::new();
    let mut stdout = BufReader::new(script.stdout.take().unwrap());
    stdout.read_line(&mut folder).unwrap();
    assert!(Path::new(folder.trim_end()).exists());
    script.kill().unwrap();
    script.wait().unwrap();
    // These pipes end when the command has ended and when the cluster has been removed.
    stdout.read_to_string(&mut String::new()).unwrap();
    script.stderr.take().unwrap().read_to_string(&mut String::new()).unwrap();
    assert!(!Path::new(folder.trim_end()).exists());
}

#[test]
fn tcp_asks_for_the_password() {
    let out = shell(
        &["--tcp"],
        r#"psql -AtXwc 'SELECT inet_server_addr()' "$DATABASE_URL" && PGPASSWORD=wrong psql -AtXwc 'SELECT 2'"#,
    );
    assert_ne!(out.status.code(), Some(0));
    assert_eq!(text(&out.stdout), "127.0.0.1\n");
    assert!(text(&out.stderr).contains("password authentication failed"));
}

#[test]
fn a_role_can_be_made_to_need_its_password() {
    let out = shell(
        &[],
        r#"psql -qXc 'CREATE ROLE stockfoil_password' -c "CREATE ROLE clerk LOGIN PASSWORD 'right' ROLE postgres" \
               -c 'GRANT stockfoil_password TO clerk' || exit
           PGPASSWORD=right psql -AtXwU clerk -c 'SELECT current_user'
           PGPASSWORD=wrong psql -AtXwU clerk -c 'SELECT 2'"#,
    );
    assert_eq!(text(&out.stdout), "clerk\n");
    assert!(text(&out.stderr).contains("password authentication failed"), "{}", text(&out.stderr));
}

#[test]
fn a_kept_cluster_stays_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let kept = kept.to_str().unwrap();
    let keep = |script: &str| text(&shell(&["--keep", kept, "--database", "shop"], script).stdout);
    keep("psql -qXc 'CREATE TABLE stays (id int)'; psql -AtXc 'SHOW fsync'");
    assert_eq!(keep("psql -AtXc 'SELECT count(*) FROM stays'; psql -AtXc 'SHOW fsync'"), "0\non\n");
    let server = keep("head -n 1 \"$STOCKFOIL_CLUSTER_DIR/postmaster.pid\"");
    assert!(with_postgres().args(["--stop", kept]).status().unwrap().success());
    assert!(!Path::new(kept).exists());
    // The entry of a process that has ended may stay a moment, but without its command line.
    let command_line = Path::new("/proc").join(server.trim_end()).join("cmdline");
    assert_eq!(std::fs::read_to_string(command_line).unwrap_or_default(), "");
    assert!(
        with_postgres().args(["--stop", kept]).status().unwrap().success(),
        "nothing to stop is no failure"
    );
}

#[test]
fn bad_options_are_refused_before_anything_starts() {
    for (options, status, sentence) in [
        (&["--version", "14", "true"][..], 125, "PostgreSQL 14 is too old"),
        (&["--version", "x", "true"], 125, "a major version"),
        (&["--versoin", "true"], 125, "unknown option --versoin"),
        (&["--set", "fsync", "true"], 125, "--set takes NAME=VALUE"),
        (&["--keep", "/nowhere/x", "--tcp", "true"], 125, "--tcp is for a cluster that goes away"),
        (&[], 125, "no command"),
        (&["no-such-command"], 127, "no-such-command: command not found"),
    ] {
        let out = with_postgres().args(options).output().unwrap();
        assert_eq!(out.status.code(), Some(status), "{options:?}");
        assert!(text(&out.stderr).contains(sentence), "{options:?}: {}", text(&out.stderr));
    }
}
