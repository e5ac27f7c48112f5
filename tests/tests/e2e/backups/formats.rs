//! What machines read: Prometheus, Nagios, JSON.

use std::{fs, time::SystemTime};

use serde_json::Value;

use super::*;

/// Reads the Prometheus text format as strictly as promtool: HELP and TYPE once before the samples of a name, no
/// sample twice, names, labels and values well formed.
pub(super) fn read_prometheus(text: &str) -> Vec<(String, String, String)> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let mut described: Vec<String> = Vec::new();
    let mut samples: Vec<(String, String, String)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !help.trim().is_empty(), "{line}");
            assert!(!described.iter().any(|known| known == name), "{name} is described twice");
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            described.push(name.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert_eq!(described.last().map(String::as_str), Some(name), "{line}: not behind its description");
        let labels = labels.strip_suffix('}').unwrap();
        let (label, text) = labels.split_once("=\"").unwrap();
        let text = text.strip_suffix('"').unwrap();
        assert!(is_name(label) && !label.contains(':'), "{line}");
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            assert_ne!(letter, '"', "{line}");
            assert!(letter != '\\' || matches!(letters.next(), Some('\\' | '"' | 'n')), "{line}");
        }
        assert!(value.parse::<f64>().is_ok() && !value.contains(['e', 'E']), "{line}");
        let sample = (name.to_owned(), text.to_owned(), value.to_owned());
        assert!(!samples.iter().any(|known| known.0 == sample.0 && known.1 == sample.1), "{line}: twice");
        samples.push(sample);
    }
    samples
}

#[tokio::test]
async fn prometheus_gets_the_time_of_the_last_good_backup() {
    let folder = Folder::new("");
    let modified = SystemTime::now() - 90 * MINUTE;
    set_time(&folder.plain("a.sql", 100, MINUTE), modified);
    fs::write(folder.path("b.sql"), "").unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    let second = "[[backup.source]]\nname = 'a \"quoted\\\\ name'\nkind = 'dump'\npath = '/nowhere'\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + second).unwrap();

    let run = folder.run("monitor-backups").args(["--format", "prometheus"]).await.status(1);
    let samples = read_prometheus(&run.stdout);
    let value = |name: &str, source: &str| {
        let found = samples.iter().find(|sample| sample.0 == name && sample.1 == source);
        found.unwrap_or_else(|| panic!("no {name} of {source}: {}", run.stdout)).2.clone()
    };
    let last = "stockfoil_backup_last_success_timestamp_seconds";
    let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(value(last, "nightly"), seconds.to_string());
    assert_eq!(value(last, "a \\\"quoted\\\\\\\\ name"), "0");
    assert_eq!(value("stockfoil_backup_good_backups", "nightly"), "1");
    assert_eq!(value("stockfoil_backup_status", "nightly"), "2");
    assert!(!run.stdout.contains("age"), "{}", run.stdout);

    // To a textfile collector: the file is there as a whole.
    let file = folder.top.path().join("backups.prom");
    folder
        .run("monitor-backups")
        .args(["--format", "prometheus", "--output"])
        .arg(&file)
        .await
        .status(1)
        .says("");
    assert_eq!(read_prometheus(&fs::read_to_string(file).unwrap()).len(), samples.len());

    let folder = Folder::with("custom.dump").await;
    let run = folder.run("verify-backup").args(["--format", "prometheus"]).await.ok();
    let samples = read_prometheus(&run.stdout);
    let whole =
        samples.iter().find(|sample| sample.0 == "stockfoil_backup_read_whole_timestamp_seconds").unwrap();
    assert!(whole.2.parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_run_keeps_the_numbers_that_it_did_not_measure() {
    let dump = drill::dump().await;
    let folder = Folder::new("");
    fs::copy(dump, folder.path("stock.dump")).unwrap();
    fs::copy(dump.with_extension("dump.seal"), folder.path("stock.dump.seal")).unwrap();
    let config = folder.top.path().join("stockfoil.toml");
    let other = "[[backup.source]]\nname = 'a \"quoted\\\\ name'\nkind = 'dump'\npath = '/nowhere'\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + other).unwrap();
    let file = folder.top.path().join("backups.prom");
    let run = async |binary: &str, args: &[&str], status| {
        let run = folder.run(binary).args(["--format", "prometheus", "--output"]).arg(&file).args(args);
        run.await.status(status);
        read_prometheus(&fs::read_to_string(&file).unwrap())
    };
    let value = |samples: &[(String, String, String)], name: &str| {
        let name = format!("stockfoil_backup_{name}");
        samples.iter().find(|sample| sample.0 == name && sample.1 == "nightly").map(|sample| sample.2.clone())
    };
    run("monitor-backups", &[], 1).await;
    let drilled = run("verify-backup", &["--restore", "--source", "nightly"], 0).await;
    let proven = value(&drilled, "last_proven_timestamp_seconds");
    assert!(proven.is_some() && value(&drilled, "rpo_seconds").is_some(), "{drilled:?}");
    assert_eq!(value(&drilled, "restored_timestamp_seconds"), proven);
    // Those of the other source are still there, and those of the other command.
    assert!(drilled.iter().any(|sample| sample.0 == "stockfoil_backup_status" && sample.1 != "nightly"));
    let read = run("verify-backup", &["--source", "nightly"], 0).await;
    for name in ["last_proven_timestamp_seconds", "rpo_seconds", "restored_timestamp_seconds", "status"] {
        assert_eq!(value(&read, name), value(&drilled, name), "{name}");
    }
    // A drill that fails has measured, but what was proven stays proven.
    flip(&folder.path("stock.dump"));
    let failed = run("verify-backup", &["--restore", "--source", "nightly"], 1).await;
    assert_eq!(value(&failed, "restored_timestamp_seconds").as_deref(), Some("0"));
    assert_eq!(value(&failed, "read_whole_timestamp_seconds").as_deref(), Some("0"));
    assert_eq!(value(&failed, "last_proven_timestamp_seconds"), proven);
    // What is not configured any more is forgotten.
    fs::copy(dump, folder.path("stock.dump")).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(other, "")).unwrap();
    let forgotten = run("monitor-backups", &[], 0).await;
    assert!(forgotten.iter().all(|sample| sample.1 == "nightly"), "{forgotten:?}");
}

#[tokio::test]
async fn the_monitors_json_is_stable() {
    let folder = Folder::with("custom.dump").await;
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.ok().json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(report["schema"], "stockfoil.monitor-backups/1");
    assert_eq!(keys(&report), "schema outcome run_id checked_at depth sources alerts");
    assert_eq!(
        keys(&report["sources"][0]),
        "name kind place path pattern status summary count good_count last_good_at newest findings wal rpo witnesses notes"
    );
    assert_eq!(
        keys(&report["sources"][0]["newest"]),
        "name path format compression size_bytes started_at started_from modified_at database server_version findings"
    );
    let folder = Folder::new("");
    let report = folder.run("monitor-backups").args(["--format", "json"]).await.status(1).json();
    assert_eq!(keys(&report["alerts"][0]), "event source severity key summary details run_id channels");
    assert_eq!(report["alerts"][0]["channels"][0]["channel"], "log");
}

/// Reads a plugin's output as strictly as the guidelines ask: state, sentence, performance data.
fn read_plugin(text: &str) -> (String, Vec<(String, String)>) {
    let first = text.lines().next().unwrap();
    let (head, numbers) = first.split_once(" | ").unwrap_or((first, ""));
    assert!(!head.contains('|') && !numbers.contains('|'), "{first}");
    let (service, _) = head.split_once(": ").unwrap();
    let state = service.rsplit(' ').next().unwrap();
    assert!(["OK", "WARNING", "CRITICAL", "UNKNOWN"].contains(&state), "{first}");
    assert!(text.lines().skip(1).all(|line| !line.contains('|')), "{text}");
    let mut found = Vec::new();
    let mut rest = numbers;
    while let Some(quoted) = rest.strip_prefix('\'') {
        let mut end = 0;
        // A doubled quote is one inside the label.
        loop {
            end += quoted[end..].find('\'').unwrap();
            if quoted[end + 1..].starts_with('\'') {
                end += 2;
            } else {
                break;
            }
        }
        let label = &quoted[..end];
        assert!(!label.contains('='), "{first}");
        let behind = quoted[end + 1..].strip_prefix('=').unwrap();
        let (value, next) = behind.split_once(' ').unwrap_or((behind, ""));
        let mut fields = value.split(';');
        let number = fields.next().unwrap();
        let digits = number.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        assert!(
            digits.parse::<f64>().is_ok() && ["", "s", "ms", "B"].contains(&&number[digits.len()..]),
            "{first}"
        );
        for range in fields {
            assert!(
                range.chars().all(|letter| letter.is_ascii_digit() || "@:~.".contains(letter)),
                "{first}"
            );
        }
        found.push((label.to_owned(), value.to_owned()));
        rest = next;
    }
    assert_eq!(rest, "", "{first}");
    (state.to_owned(), found)
}

#[tokio::test]
async fn a_plugin_has_one_of_four_states_and_numbers() {
    let run = |folder: &Folder| folder.run("monitor-backups").args(["--format", "nagios"]);
    let folder = Folder::with("custom.dump").await;
    let ok = run(&folder).await.ok();
    let (state, numbers) = read_plugin(&ok.stdout);
    assert_eq!(state, "OK");
    assert_eq!(numbers[0], ("nightly count".to_owned(), "1;1:".to_owned()));
    assert!(numbers[1].0 == "nightly age" && numbers[1].1.ends_with("s;88200;90000"), "{numbers:?}");
    let verified = folder.run("verify-backup").args(["--format", "nagios"]).await.ok();
    assert_eq!(read_plugin(&verified.stdout).0, "OK");

    let folder = Folder::new("min_count = 2\n");
    folder.plain("a.sql", 100, MINUTE);
    assert_eq!(read_plugin(&run(&folder).await.status(1).stdout).0, "WARNING");
    fs::write(folder.path("a.sql"), "").unwrap();
    assert_eq!(read_plugin(&run(&folder).await.status(2).stdout).0, "CRITICAL");
    let looping = folder.path("loop");
    std::os::unix::fs::symlink("loop", &looping).unwrap();
    let unknown =
        Binary::new("monitor-backups").env("BACKUP_DIR", looping).args(["--format", "nagios"]).await;
    assert_eq!(read_plugin(&unknown.status(3).stdout).0, "UNKNOWN");
    // Not even asked in a way that holds.
    let unknown = Binary::new("monitor-backups").args(["--format", "nagios"]).await.status(3);
    assert_eq!(read_plugin(&unknown.stdout).0, "UNKNOWN");
    let unknown = run(&folder).args(["--source", "nihgtly"]).await.status(3);
    assert!(unknown.stdout.contains("did you mean"), "{}", unknown.stdout);
    folder.run("monitor-backups").args(["--depth", "deep"]).await.refuses(2, "give quick, full or restore");
}

#[tokio::test]
async fn promtool_takes_the_prometheus_text() {
    use std::io::Write as _;
    testkit::require_tools(&["promtool"]);
    let dump = drill::dump().await;
    let run = |binary: &str, args: &[&str]| {
        Binary::new(binary).env("BACKUP_DIR", dump.parent().unwrap()).args(args)
    };
    for run in [
        run("monitor-backups", &["--format", "prometheus"]),
        run("verify-backup", &["--restore", "--format", "prometheus"]),
    ] {
        let text = run.await.stdout;
        let mut promtool = std::process::Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}\n{text}");
    }
}
