//! Running `pg_restore`: a cleared environment, a process group of its own that dies with us, and an end when it
//! shows no sign of life.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command, task::spawn_blocking};

use super::meter::{self, CancelOnDrop, Lost, Meter, Metered};
use crate::{config::Config, process::Group, progress::Progress};

/// So much of what a program says is kept.
const STDERR_BYTES_MAX: u64 = 1 << 16;

/// How to run `pg_restore`.
#[derive(Debug, Clone)]
pub(super) struct PgRestore {
    program: PathBuf,
    search_path: String,
    stall: Duration,
}

/// What a program is fed with.
pub(super) type Feed = Box<dyn FnOnce(&Arc<Meter>) -> io::Result<Box<dyn Read + Send>> + Send>;

/// A run that came to its end.
#[derive(Debug)]
pub(super) struct Ran<T> {
    /// What was made of its output.
    pub(super) output: io::Result<T>,
    /// Whether what it was fed with could be read to its end.
    pub(super) fed: io::Result<()>,
    status: ExitStatus,
    stderr: String,
}

/// Why a program could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    #[error(
        "{0} was not found; install PostgreSQL's client programs (postgresql-client), or set backup.pg_restore to the program's path"
    )]
    Missing(String),
    #[error("{0} can't be run: {1}; check backup.pg_restore")]
    Start(String, io::Error),
    #[error("{0} {1}")]
    Lost(String, Lost),
    #[error(
        "{0} is too old or was built without what this dump needs ({1}); install a newer PostgreSQL client"
    )]
    Unfit(String, String),
}

impl<T> Ran<T> {
    /// What the program complained of, when it ended badly.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.status.success() {
            return None;
        }
        let line = self.stderr.lines().find(|line| line.contains("error:")).or(self.stderr.lines().next());
        Some(line.map_or_else(
            || self.status.to_string(),
            |line| line.trim().trim_start_matches("pg_restore: ").trim_start_matches("error: ").to_owned(),
        ))
    }
}

impl PgRestore {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            program: config.backup.pg_restore.clone(),
            search_path: config.search_path().to_owned(),
            stall: config.backup.stall_timeout,
        }
    }

    /// Reads all of `archive` (or of `feed`) through `pg_restore` as a script of SQL.
    pub(super) async fn script<T: Send + 'static>(
        &self,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, ToolError> {
        let args = ["--file=-".into()].into_iter().chain(archive.map(Path::as_os_str).map(Into::into));
        self.run(args.collect(), feed, progress, read).await
    }

    /// The number of entries that `pg_restore --list` sees in `archive` (or in `feed`).
    pub(super) async fn count_entries(
        &self,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
    ) -> Result<Ran<Option<usize>>, ToolError> {
        let args = ["--list".into()].into_iter().chain(archive.map(Path::as_os_str).map(Into::into));
        let read = |mut output: Metered<File>| {
            let mut list = Vec::new();
            output.read_to_end(&mut list)?;
            let list = String::from_utf8_lossy(&list);
            let count = list
                .lines()
                .find_map(|line| line.trim_start_matches(';').trim().strip_prefix("TOC Entries: "));
            Ok(count.and_then(|count| count.trim().parse().ok()))
        };
        self.run(args.collect(), feed, progress, read).await
    }

    async fn run<T: Send + 'static>(
        &self,
        args: Vec<OsString>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, ToolError> {
        let name = self.program.display().to_string();
        let mut child = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("PATH", &self.search_path)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ToolError::Missing(name.clone()),
                _ => ToolError::Start(name.clone(), error),
            })?;
        let group = Group::of(&child);
        let broken = || ToolError::Start(name.clone(), io::ErrorKind::BrokenPipe.into());
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().ok_or_else(broken)?);
        let mut stderr = child.stderr.take().ok_or_else(broken)?;

        let meter = Arc::new(Meter::default());
        let _cancel = CancelOnDrop(Arc::clone(&meter));
        let fail = |error| ToolError::Start(name.clone(), error);
        let stdout = meter.read(File::from(stdout.into_owned_fd().map_err(fail)?));
        let output = spawn_blocking(move || read(stdout));
        let fed = match (stdin, feed) {
            (Some(stdin), Some(feed)) => {
                let stdin = File::from(stdin.into_owned_fd().map_err(fail)?);
                let meter = Arc::clone(&meter);
                Some(spawn_blocking(move || feed_to_the_end(feed(&meter)?, stdin)))
            }
            _ => None,
        };
        let work = async {
            let mut words = Vec::new();
            let listen = async {
                // What can't be read of its words is no reason to doubt its work.
                let _ = (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut words).await;
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            };
            let wait = async {
                let status = child.wait().await;
                // Whoever of its group still holds a pipe would keep us waiting.
                group.kill();
                status
            };
            let ((), status) = tokio::join!(listen, wait);
            let output = output.await;
            let fed = match fed {
                Some(fed) => fed.await,
                None => Ok(Ok(())),
            };
            (status, String::from_utf8_lossy(&words).into_owned(), output, fed)
        };
        let lost = |lost| ToolError::Lost(name.clone(), lost);
        let (status, stderr, output, fed) =
            meter::watch(&meter, progress, self.stall, work).await.map_err(lost)?;
        let (Ok(output), Ok(fed)) = (output, fed) else { return Err(lost(Lost::Broken)) };
        let ran = Ran { output, fed, status: status.map_err(fail)?, stderr };
        match ran.complaint() {
            Some(complaint) if is_unfit(&complaint) => Err(ToolError::Unfit(name, complaint)),
            _ => Ok(ran),
        }
    }
}

/// Whether the program, and not the dump, is what is wrong.
fn is_unfit(complaint: &str) -> bool {
    [
        "unsupported version (",
        "not built with",
        "does not support compression",
        "not supported by this installation",
    ]
    .iter()
    .any(|sign| complaint.contains(sign))
}

/// Copies `source` into `stdin`; when the program has enough, reads on alone, for the checksums at the end.
fn feed_to_the_end(mut source: Box<dyn Read + Send>, stdin: File) -> io::Result<()> {
    let mut stdin = Some(stdin);
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if let Some(pipe) = &mut stdin
            && pipe.write_all(&buffer[..read]).is_err()
        {
            stdin = None;
        }
    }
}
