//! What commands return: plain values, serializable at this edge only.

use std::{fs, io, path::Path, time::Instant};

use serde::Serialize;
use tempfile::NamedTempFile;

/// What a finished run means for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is well (status 0).
    Clean,
    /// Something that a person must look at (status 1).
    Findings,
}

/// The value that a command returns when its work is done.
pub trait Report: Serialize {
    /// Name and version of the JSON form, such as `stockfoil.reconcile/1`.
    const SCHEMA: &'static str;

    /// What the run means for the exit status.
    fn outcome(&self) -> Outcome;

    /// The run's numbers for a scheduled command's Prometheus textfile; empty where there are none.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// The sources of which an earlier run's numbers stay true where this run has none of them.
    fn kept_sources(&self) -> Vec<String> {
        Vec::new()
    }

    /// The run as a monitoring plugin tells it; none where the command is no check of something that is monitored.
    fn plugin(&self) -> Option<Plugin> {
        None
    }

    /// Whether it shows what nobody can be shown again: new API keys.
    fn shows_keys(&self) -> bool {
        false
    }
}

impl<R: Report> Report for &R {
    const SCHEMA: &'static str = R::SCHEMA;

    fn outcome(&self) -> Outcome {
        (**self).outcome()
    }

    fn metrics(&self) -> Vec<Metric> {
        (**self).metrics()
    }

    fn kept_sources(&self) -> Vec<String> {
        (**self).kept_sources()
    }

    fn plugin(&self) -> Option<Plugin> {
        (**self).plugin()
    }

    fn shows_keys(&self) -> bool {
        (**self).shows_keys()
    }
}

/// A part of an operation.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// What was done, such as `restore`.
    pub name: &'static str,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Times the phases of an operation.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    lap: Instant,
    pub(crate) phases: Vec<Phase>,
}

impl Default for Clock {
    fn default() -> Self {
        let now = Instant::now();
        Self { started: now, lap: now, phases: Vec::new() }
    }
}

impl Clock {
    /// Ends a phase, and begins the next.
    pub(crate) fn lap(&mut self, name: &'static str) {
        self.phases.push(Phase { name, duration_ms: millis(self.lap) });
        self.lap = Instant::now();
    }

    /// All of it so far, in milliseconds.
    pub(crate) fn total_ms(&self) -> u64 {
        millis(self.started)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A check's result as Nagios and its kin read it: a state, a sentence, and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// What is checked, in capitals, such as `BACKUPS`.
    pub service: &'static str,
    /// How it stands.
    pub state: PluginState,
    /// How it stands, in one sentence.
    pub summary: String,
    /// More of it, a line each.
    pub details: Vec<String>,
    /// The numbers.
    pub numbers: Vec<PluginNumber>,
}

/// The states of a monitoring plugin. Their numbers are its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginState {
    /// All is well.
    Ok = 0,
    /// Worth a look.
    Warning = 1,
    /// Look now.
    Critical = 2,
    /// Nothing is known.
    Unknown = 3,
}

/// A number among a plugin's performance data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginNumber {
    /// Its name.
    pub label: String,
    /// The value.
    pub value: u64,
    /// The unit as plugins write it: `s`, `B`, or nothing.
    pub unit: &'static str,
    /// The range beyond which it is a warning, such as `90000` or `7:`; empty where there is none.
    pub warning: String,
    /// The range beyond which it is critical.
    pub critical: String,
}

/// One sample of a gauge in the Prometheus text format.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Metric name with its unit last, such as `stockfoil_backup_last_success_timestamp_seconds`.
    pub name: &'static str,
    /// One line that says what is counted.
    pub help: &'static str,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value, already in decimal notation.
    pub value: String,
}

/// Puts what was written beside it at `path`. What is no file there, such as `/dev/null` or a pipe, is written to and stays what it
/// is.
///
/// # Errors
/// What the file system says.
pub fn put_in_place(file: NamedTempFile, path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return io::copy(&mut file.reopen()?, &mut fs::File::options().write(true).open(path)?).map(drop);
    }
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_written_to_and_stays() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
        };
        let written = |text: &str| {
            let file = NamedTempFile::new_in(folder.path()).unwrap();
            fs::write(file.path(), text).unwrap();
            file
        };
        put_in_place(written("told"), &pipe).unwrap();
        assert_eq!(read.join().unwrap(), "told");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        let place = folder.path().join("file");
        put_in_place(written("old"), &place).unwrap();
        put_in_place(written("new"), &place).unwrap();
        assert_eq!(fs::read_to_string(place).unwrap(), "new");
    }
}
