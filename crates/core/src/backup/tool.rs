//! Running other programs: in a process group of its own that dies with us, and with an end when one shows no sign
//! of life.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command, task::spawn_blocking};

use super::{
    Finding,
    drill::Owner,
    meter::{self, CancelOnDrop, Lost, Meter, Metered},
};
use crate::{
    config::{BackupSource, Config, Secret},
    process::Group,
    progress::Progress,
};

/// So much of what a program says is kept.
const STDERR_BYTES_MAX: u64 = 1 << 16;

/// So much of a program's output is kept where it is read as a whole.
const OUTPUT_BYTES_MAX: u64 = 1 << 28;

/// How to run a program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    /// Arguments before those of each call.
    args: Vec<OsString>,
    environment: BTreeMap<String, Secret>,
    owner: Owner,
    /// It is given up when it writes nothing for so long.
    stall: Duration,
    /// What to do when it is not there.
    remedy: String,
}

/// How to run `pg_restore`.
#[derive(Debug, Clone)]
pub(super) struct PgRestore(Program);

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
    name: String,
}

/// Why a program could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    #[error("{0} was not found; {1}")]
    Missing(String, String),
    #[error("{0} can't be run: {1}; check its path and permissions")]
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
        (!self.status.success()).then(|| self.words())
    }

    /// The line that says most of what the program wrote to standard error, else how it ended.
    pub(super) fn words(&self) -> String {
        let is_error = |line: &&str| {
            let line = line.to_lowercase();
            ["error:", "fatal:", "panic:"].iter().any(|sign| line.contains(sign))
        };
        let mut lines = self.stderr.lines().filter(|line| !line.trim().is_empty());
        let line = self.stderr.lines().find(is_error).or(lines.next());
        let prefix = format!("{}: ", self.name);
        line.map_or_else(
            || self.status.to_string(),
            |line| line.trim().trim_start_matches(&prefix).trim_start_matches("error: ").to_owned(),
        )
    }

    /// Checks that a restore came to its end.
    ///
    /// # Errors
    /// That the backup can't be restored.
    pub(super) fn restored(self) -> Result<(), Finding> {
        self.whole("restore").map(drop).map_err(|finding| Finding::critical(finding.check, finding.text))
    }

    /// Its output, where everything about the run says that it is the whole.
    ///
    /// # Errors
    /// The first reason to doubt it, as a finding of `check`.
    pub(super) fn whole(self, check: &'static str) -> Result<T, Finding> {
        if let Some(complaint) = self.complaint() {
            return Err(Finding::unknown(check, format!("{} failed: {complaint}", self.name)));
        }
        let name = &self.name;
        self.output
            .map_err(|error| Finding::unknown(check, format!("the output of {name} can't be read: {error}")))
    }
}

impl From<ToolError> for Finding {
    fn from(error: ToolError) -> Self {
        Finding::unknown("tool", error.to_string())
    }
}

impl PgRestore {
    pub(super) fn of(config: &Config) -> Self {
        let remedy = "install PostgreSQL's client programs (postgresql-client), or set backup.pg_restore to the program's path";
        Self(Program::bare(config, &config.backup.pg_restore, remedy))
    }

    /// The same, given up only when it writes nothing for `limit`.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self(self.0.within(limit))
    }

    /// The same, leaving out all rows.
    pub(super) fn schema_only(self) -> Self {
        Self(self.0.with_args(["--schema-only"]))
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
        self.0.run(args.collect(), feed, progress, read).await
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
        self.0.run(args.collect(), feed, progress, read).await
    }

    /// Loads all of `archive` (or of `feed`) where `connection`, the flags of a connection, leads.
    pub(super) async fn load(
        &self,
        connection: Vec<OsString>,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
    ) -> Result<Ran<()>, ToolError> {
        let mut args = connection;
        args.push("--exit-on-error".into());
        args.extend(archive.map(|archive| archive.as_os_str().to_owned()));
        self.0.run(args, feed, progress, drain).await
    }
}

/// Reads what nobody needs.
pub(super) fn drain(mut output: Metered<File>) -> io::Result<()> {
    io::copy(&mut output, &mut io::sink()).map(drop)
}

impl Program {
    /// A program in a cleared environment.
    pub(super) fn bare(config: &Config, path: &Path, remedy: &str) -> Self {
        let environment = BTreeMap::from([("PATH".to_owned(), Secret::new(config.search_path()))]);
        Self {
            path: path.to_path_buf(),
            args: Vec::new(),
            environment,
            owner: Owner::Caller,
            stall: config.backup.stall_timeout,
            remedy: remedy.to_owned(),
        }
    }

    /// The program of `source`, `default` unless the source names another, in the environment that such tools need.
    pub(super) fn of_source(config: &Config, source: &BackupSource, default: &str) -> Self {
        let path = source.program.clone().unwrap_or_else(|| default.into());
        let remedy = format!("install it, or set program of source {:?} to its path", source.name);
        Self { environment: source_environment(config, source), ..Self::bare(config, &path, &remedy) }
    }

    /// With further arguments before those of each call.
    pub(super) fn with_args(mut self, args: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Run by `owner`.
    pub(super) fn owned_by(mut self, owner: &Owner) -> Self {
        self.owner = owner.clone();
        self
    }

    /// Given up only when it writes nothing for `limit`: for work that nobody can watch.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.stall = limit;
        self
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The command line, its arguments and environment in place.
    pub(super) fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .args(args)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value.expose())))
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true);
        if let Owner::User { uid, gid, .. } = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs it, and keeps what it writes as text.
    pub(super) async fn text(
        &self,
        args: impl IntoIterator<Item: Into<OsString>>,
        progress: &dyn Progress,
    ) -> Result<Ran<String>, ToolError> {
        let read = |output: Metered<File>| {
            let mut text = Vec::new();
            output.take(OUTPUT_BYTES_MAX).read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        self.run(args.into_iter().map(Into::into).collect(), None, progress, read).await
    }

    /// Runs it, and reads the JSON that it writes; what is no such JSON is a finding.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        args: impl IntoIterator<Item: Into<OsString>>,
        progress: &dyn Progress,
    ) -> Result<T, Finding> {
        let text = self.text(args, progress).await?.whole("tool")?;
        let name = self.name();
        if text.trim().is_empty() {
            return Err(Finding::unknown("tool", format!("{name} ended well but wrote nothing")));
        }
        serde_json::from_str(&text)
            .map_err(|error| Finding::unknown("tool", format!("{name} wrote what is not its JSON: {error}")))
    }

    /// Runs it to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        args: Vec<OsString>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, ToolError> {
        let name = self.path.display().to_string();
        let mut child = self
            .command(&args)
            .stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ToolError::Missing(name.clone(), self.remedy.clone()),
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
        let ran = Ran { output, fed, status: status.map_err(fail)?, stderr, name: self.name() };
        match ran.complaint() {
            Some(complaint) if is_unfit(&complaint) => Err(ToolError::Unfit(name, complaint)),
            _ => Ok(ran),
        }
    }
}

/// The environment of a source's program: this process's, less what is none of its business, and the source's own.
pub(super) fn source_environment(config: &Config, source: &BackupSource) -> BTreeMap<String, Secret> {
    let mut environment = config.tool_environment();
    environment.entry("PATH".to_owned()).or_insert_with(|| Secret::new(config.search_path()));
    environment.extend(source.environment.clone());
    environment
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
