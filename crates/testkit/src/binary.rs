use std::{
    ffi::OsString,
    future::IntoFuture,
    io::{PipeReader, PipeWriter, Write as _},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::workspace;

/// No command of a test takes longer; one that does hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// Where the binary `name` is. The binaries are built, once a test process, so that none is stale.
pub fn binary_path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo told this test of its package makes build scripts run again (ring's), and much be built again; so
        // does the variable by which the tests tell their times.
        for (name, _) in std::env::vars_os() {
            let told = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name == "RUSTC_BOOTSTRAP"
            });
            if told {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .args(["build", "--workspace", "--bins", "--quiet"])
            .current_dir(workspace())
            .status()
            .expect("run cargo");
        assert!(built.success(), "the binaries do not build");
        // This test runs from <target>/<profile>/deps.
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf()
    });
    folder.join(name)
}

/// A binary about to run, in an environment that holds only what the test gives it and PATH.
#[derive(Debug, Clone)]
pub struct Binary {
    name: String,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    folder: Option<PathBuf>,
    stdin: String,
    /// Whether a migration is played through before its first change, as it is where nobody says otherwise.
    rehearses: bool,
}

impl Binary {
    /// The binary `name`.
    pub fn new(name: &str) -> Binary {
        Binary {
            name: name.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            stdin: String::new(),
            rehearses: false,
        }
    }

    /// Lets a migration be played through before its first change. Tests of anything else save those seconds.
    #[must_use]
    pub fn rehearsing(mut self) -> Self {
        self.rehearses = true;
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs in `folder` instead of an empty one.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_path_buf());
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    /// Starts it, for tests that talk to it or kill it; all of its streams are pipes.
    pub fn spawn(self) -> tokio::process::Child {
        self.spawn_onto(Stdio::piped())
    }

    /// As [`spawn`](Self::spawn), with a standard output of the test's own.
    pub fn spawn_onto(self, stdout: impl Into<Stdio>) -> tokio::process::Child {
        let folder = self.folder.unwrap_or_else(|| empty_folder().to_path_buf());
        let is_migration = ["migrate-all", "migrate-org", "migrate-balance"].contains(&self.name.as_str());
        let says_how = ["--no-rehearsal", "--rehearse", "--dry-run", "--plan-out", "--help", "--version"];
        let is_told = self.args.iter().any(|arg| says_how.iter().any(|how| arg == how));
        let as_is = self.rehearses || !is_migration || is_told;
        tokio::process::Command::new(binary_path(&self.name))
            .args(self.args)
            .args((!as_is).then_some("--no-rehearsal"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.env)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", self.name))
    }
}

/// A pipe that is full: whoever writes to it waits. Its reading end, and its writing end.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Sends a signal to a running binary. Not by kill(1), which a minimal system lacks.
pub fn signal(child: &tokio::process::Child, signal: Signal) {
    let id = child.id().expect("the binary still runs");
    kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
}

impl IntoFuture for Binary {
    type Output = Run;
    type IntoFuture = Pin<Box<dyn Future<Output = Run> + Send>>;

    /// Runs it to its end.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = format!("{} {:?}", self.name, self.args);
            let stdin = self.stdin.clone();
            let mut child = self.spawn();
            let mut pipe = child.stdin.take().unwrap();
            let work = async {
                // A child that does not read ends before the pipe is full.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut pipe, stdin.as_bytes()).await;
                drop(pipe);
                child.wait_with_output().await.unwrap()
            };
            let output = tokio::time::timeout(RUN_TIMEOUT, work).await;
            Run::new(what.clone(), output.unwrap_or_else(|_| panic!("{what} hangs")))
        })
    }
}

/// A binary's run, over.
#[derive(Debug)]
pub struct Run {
    what: String,
    /// The exit status; -1 when a signal ended it.
    pub status: i32,
    /// What it wrote as data.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Run {
    fn new(what: String, output: Output) -> Run {
        Run {
            what,
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn status(self, expected: i32) -> Run {
        assert_eq!(self.status, expected, "{}\nstdout: {}\nstderr: {}", self.what, self.stdout, self.stderr);
        self
    }

    /// Asserts status 0.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.status(0)
    }

    /// Asserts that `part` is in standard output.
    #[track_caller]
    pub fn says(self, part: &str) -> Run {
        assert!(
            self.stdout.contains(part),
            "{}: no {part:?} in stdout: {}\nstderr: {}",
            self.what,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts that `part` is in standard error.
    #[track_caller]
    pub fn tells(self, part: &str) -> Run {
        assert!(
            self.stderr.contains(part),
            "{}: no {part:?} in stderr: {}\nstdout: {}",
            self.what,
            self.stderr,
            self.stdout
        );
        self
    }

    /// Asserts a refusal: `status`, one sentence with `part` on standard error, and on standard output nothing, or the
    /// same for a machine.
    #[track_caller]
    pub fn refuses(self, status: i32, part: &str) -> Run {
        let run = self.status(status).tells(part);
        if !run.stdout.is_empty() {
            let refusal = run.json();
            assert_eq!(refusal["schema"], "stockfoil.error/1", "{}: a refusal has no data", run.what);
            assert_eq!(refusal["status"], status, "{}", run.what);
        }
        let errors = run.stderr.lines().filter(|line| line.contains("error: ")).count();
        assert_eq!(errors, 1, "{}: one clear sentence, not: {}", run.what, run.stderr);
        run
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.what, self.stdout))
    }
}

/// A folder with nothing in it: no `.env`, no `stockfoil.toml`.
fn empty_folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}
