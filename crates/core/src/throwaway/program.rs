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

use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
};

use super::{confine::Confinement, folder::Owner};
use crate::{
    process::{self, Group},
    progress::{
        Progress,
        meter::{self, CancelOnDrop, Lost, Meter, Metered},
    },
    settings::Secret,
};

/// So much of what a program says is kept.
const STDERR_BYTES_MAX: u64 = 1 << 16;

/// So much of a program's output is kept where it is read as a whole.
const OUTPUT_BYTES_MAX: u64 = 1 << 28;

/// How to run a program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    /// Arguments before those of each call.
    args: Vec<OsString>,
    environment: BTreeMap<String, Secret>,
    owner: Owner,
    /// How far it may reach; none: as far as this process.
    confinement: Option<Confinement>,
    /// It is given up when it writes nothing for so long.
    stall: Duration,
    /// What to do when it is not there.
    remedy: String,
}

/// What a program is fed with.
pub(crate) type Feed = Box<dyn FnOnce(&Arc<Meter>) -> io::Result<Box<dyn Read + Send>> + Send>;

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Ran<T> {
    /// What was made of its output.
    pub(crate) output: io::Result<T>,
    /// Whether what it was fed with could be read to its end.
    pub(crate) fed: io::Result<()>,
    status: ExitStatus,
    stderr: String,
    name: String,
}

/// Why a program could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("{0} was not found; {1}")]
    Missing(String, String),
    #[error("{0} can't be run: {1}; check its path and permissions")]
    Start(String, io::Error),
    #[error("{0} {1}")]
    Lost(String, Lost),
}

/// Why what a program wrote is not all that it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(String);

impl<T> Ran<T> {
    /// What the program complained of, when it ended badly.
    pub(crate) fn complaint(&self) -> Option<String> {
        (!self.status.success()).then(|| self.words())
    }

    /// The line that says most of what the program wrote to standard error, else how it ended.
    fn words(&self) -> String {
        let is_error = |line: &&str| {
            let line = line.to_lowercase();
            ["error:", "fatal:", "panic:", "failed:"].iter().any(|sign| line.contains(sign))
        };
        let mut lines = self.stderr.lines().filter(|line| !line.trim().is_empty());
        let line = self.stderr.lines().find(is_error).or(lines.next());
        let prefix = format!("{}: ", self.name);
        line.map_or_else(
            || self.status.to_string(),
            |line| line.trim().trim_start_matches(&prefix).trim_start_matches("error: ").to_owned(),
        )
    }

    /// Its output, where everything about the run says that it is the whole.
    ///
    /// # Errors
    /// The first reason to doubt it.
    pub(crate) fn whole(self) -> Result<T, Failed> {
        if let Some(complaint) = self.complaint() {
            return Err(Failed(format!("{} failed: {complaint}", self.name)));
        }
        let name = &self.name;
        self.output.map_err(|error| Failed(format!("the output of {name} can't be read: {error}")))
    }
}

/// Reads what nobody needs.
pub(crate) fn drain(mut output: Metered<File>) -> io::Result<()> {
    io::copy(&mut output, &mut io::sink()).map(drop)
}

impl Program {
    /// A program in a cleared environment, but for `search_path`; `remedy` is what to do where it is not there.
    pub(crate) fn bare(search_path: &str, stall: Duration, path: &Path, remedy: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            args: Vec::new(),
            environment: BTreeMap::from([("PATH".to_owned(), Secret::new(search_path))]),
            owner: Owner::Caller,
            confinement: None,
            stall,
            remedy: remedy.to_owned(),
        }
    }

    /// The same in this environment.
    pub(crate) fn with_environment(mut self, environment: BTreeMap<String, Secret>) -> Self {
        self.environment = environment;
        self
    }

    /// The same with these variables beside its own.
    pub(crate) fn and_environment(mut self, environment: BTreeMap<String, Secret>) -> Self {
        self.environment.extend(environment);
        self
    }

    /// With further arguments before those of each call.
    pub(crate) fn with_args(mut self, args: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Run by `owner`.
    pub(crate) fn owned_by(mut self, owner: &Owner) -> Self {
        self.owner = owner.clone();
        self
    }

    /// Kept inside of what `confinement` allows, where there is one.
    pub(crate) fn confined(mut self, confinement: Option<Confinement>) -> Self {
        self.confinement = confinement;
        self
    }

    /// Given up only when it writes nothing for `limit`: for work that nobody can watch.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.stall = limit;
        self
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The command line, its arguments and environment in place.
    pub(crate) fn command(&self, args: &[OsString]) -> Command {
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

    /// Starts it with pipes to it and from it.
    fn spawn(&self, args: &[OsString], is_fed: bool) -> Result<Child, ProgramError> {
        let mut command = self.command(args);
        command
            .stdin(if is_fed { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = match &self.confinement {
            Some(confinement) => confinement.spawn(&mut command),
            None => command.spawn(),
        };
        let name = self.path.display().to_string();
        spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ProgramError::Missing(name, self.remedy.clone()),
            _ => ProgramError::Start(name, error),
        })
    }

    /// Runs it, and keeps what it writes as text.
    pub(crate) async fn text(
        &self,
        args: impl IntoIterator<Item: Into<OsString>>,
        progress: &dyn Progress,
    ) -> Result<Ran<String>, ProgramError> {
        let read = |output: Metered<File>| {
            let mut text = Vec::new();
            output.take(OUTPUT_BYTES_MAX).read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        self.run(args.into_iter().map(Into::into).collect(), None, progress, read).await
    }

    /// Runs it to its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        args: Vec<OsString>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, ProgramError> {
        let name = self.path.display().to_string();
        let mut child = self.spawn(&args, feed.is_some())?;
        let group = Group::of(&child);
        let broken = || ProgramError::Start(name.clone(), io::ErrorKind::BrokenPipe.into());
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().ok_or_else(broken)?);
        let stderr = child.stderr.take().ok_or_else(broken)?;

        let meter = Arc::new(Meter::default());
        let _cancel = CancelOnDrop(Arc::clone(&meter));
        let fail = |error| ProgramError::Start(name.clone(), error);
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
            let listen = process::words(stderr, STDERR_BYTES_MAX);
            let (words, status) = tokio::join!(listen, group.wait(&mut child));
            let output = output.await;
            let fed = match fed {
                Some(fed) => fed.await,
                None => Ok(Ok(())),
            };
            (status, words, output, fed)
        };
        let lost = |lost| ProgramError::Lost(name.clone(), lost);
        let (status, stderr, output, fed) =
            meter::watch(&meter, progress, self.stall, work).await.map_err(lost)?;
        let (Ok(output), Ok(fed)) = (output, fed) else { return Err(lost(Lost::Broken)) };
        Ok(Ran { output, fed, status: status.map_err(fail)?, stderr, name: self.name() })
    }
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
