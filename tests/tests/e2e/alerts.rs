//! Alerts, their end and the ping at a run's end, through every channel, to real receivers.

mod channels;
mod failures;
mod healthcheck;
mod memory;

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Binary, Run};

/// A machine with one backup source, `nightly`, that may be empty, and a configuration.
struct Site {
    top: TempDir,
}

impl Site {
    /// Nothing is there: a critical problem. `config` follows `[alerts]` in the file.
    fn new(config: &str) -> Site {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("backups")).unwrap();
        let site = Site { top };
        site.configure(config);
        site
    }

    fn configure(&self, config: &str) {
        let text = format!(
            "[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '{}'\nmin_count = 2\n[alerts]\nstate_dir = '{}'\n{config}",
            self.path("backups").display(),
            self.path("state").display()
        );
        fs::write(self.path("stockfoil.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    /// Where it is remembered what was told when there is no database.
    fn state(&self) -> PathBuf {
        self.path("state/monitor-backups.alerts.json")
    }

    /// How many backups are there now: none is critical, one a warning, two are well.
    fn backups(&self, count: usize) {
        for number in 0..2 {
            let path = self.path("backups").join(format!("{number}.sql"));
            if number < count {
                let text =
                    "--\n-- PostgreSQL database dump\n--\n--\n-- PostgreSQL database dump complete\n--\n";
                fs::write(path, text).unwrap();
            } else if path.exists() {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn run(&self, binary: &str) -> Binary {
        Binary::new(binary).folder(self.top.path())
    }

    /// Runs the monitor with everything said that can be said.
    async fn monitor(&self) -> Run {
        let run = self.run("monitor-backups").env("RUST_LOG", "trace").arg("--verbose").await;
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("s3cret"), "{}{}", run.stdout, run.stderr);
        run
    }

    async fn json(&self, status: i32) -> Value {
        self.run("monitor-backups").args(["--format", "json"]).await.status(status).json()
    }

    /// Makes what was told older by so many hours.
    fn age(&self, hours: i64) {
        let file = fs::read_dir(self.path("state")).unwrap().next().unwrap().unwrap().path();
        let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for told in state["told"].as_array_mut().unwrap() {
            let at: sqlx::types::chrono::DateTime<sqlx::types::chrono::Utc> =
                told["last_sent_at"].as_str().unwrap().parse().unwrap();
            let hours = std::time::Duration::from_secs(hours.unsigned_abs() * 3600);
            told["last_sent_at"] = json!((at - hours).to_rfc3339());
        }
        fs::write(file, state.to_string()).unwrap();
    }
}

/// What became of the first message for each channel, as `channel answer`.
fn answers(report: &Value) -> Vec<String> {
    let channels = report["alerts"][0]["channels"].as_array().unwrap();
    let words = |delivery: &Value, key: &str| delivery[key].as_str().unwrap().to_owned();
    channels.iter().map(|delivery| words(delivery, "channel") + " " + &words(delivery, "answer")).collect()
}
