//! The programs that backups are looked at with: those of sources, and `pg_restore`; and what is found where one fails.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use super::{BackupSource, Finding, Settings};
use crate::{
    progress::{Progress, meter::Metered},
    throwaway::{self, Confinement, Failed, Feed, Program, ProgramError, Ran, ServerPrograms, drain},
};

/// Every `pg_restore` that is supported takes dumps of this version and older.
const OLDEST: u32 = 15;

/// How to run `pg_restore`.
#[derive(Debug, Clone)]
pub(super) struct PgRestore {
    program: Program,
    /// What to say where it is too old.
    wanted: String,
}

impl PgRestore {
    /// The one that is configured, else the first that takes what programs of the version `needs` wrote.
    ///
    /// # Errors
    /// When one that is there can't be run.
    pub(super) async fn choose(
        settings: &Settings,
        needs: u32,
        progress: &dyn Progress,
    ) -> Result<Self, Finding> {
        let throwaway = settings.throwaway();
        let of = |path: &Path| {
            let remedy = "install PostgreSQL's client programs (postgresql-client), or set backup.pg_restore to the program's path";
            let program = Program::bare(&settings.search_path, settings.stall_timeout, path, remedy);
            let wanted = match (&settings.pg_restore, needs) {
                (_, 0) => String::new(),
                (Some(_), needs) => {
                    format!(": it needs that of PostgreSQL {needs}; backup.pg_restore names this one")
                }
                (None, needs) => format!(
                    ": it needs that of PostgreSQL {needs} or newer, which was looked for in {}",
                    throwaway::places(&throwaway)
                ),
            };
            Self { program, wanted }
        };
        if let Some(path) = &settings.pg_restore {
            return Ok(of(path));
        }
        let beside = settings.pg_bin.as_ref().map(|folder| folder.join("pg_restore"));
        let usual = of(beside.as_deref().filter(|path| path.is_file()).unwrap_or(Path::new("pg_restore")));
        if needs <= OLDEST {
            return Ok(usual);
        }
        let told = usual.program.text(["--version"], progress).await;
        let told = told.ok().and_then(|ran| ran.whole().ok());
        if told.and_then(|words| throwaway::version_in(&words)).is_some_and(|version| version >= needs) {
            return Ok(usual);
        }
        let newer = ServerPrograms::restorer(&throwaway, needs, progress).await?;
        Ok(newer.map_or(usual, |path| of(&path)))
    }

    /// The same program in the version of a drill's server, unless one is configured.
    pub(super) fn of_server(mut self, settings: &Settings, program: Program) -> Self {
        if settings.pg_restore.is_none() && program.path().is_file() {
            self.program = program;
        }
        self
    }

    /// The same, given up only when it writes nothing for `limit`.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { program: self.program.within(limit), ..self }
    }

    /// The same, kept inside of what `confinement` allows.
    pub(super) fn confined(self, confinement: Option<Confinement>) -> Self {
        Self { program: self.program.confined(confinement), ..self }
    }

    /// The same, leaving out all rows.
    pub(super) fn schema_only(self) -> Self {
        Self { program: self.program.with_args(["--schema-only"]), ..self }
    }

    /// Reads all of `archive` (or of `feed`) through `pg_restore` as a script of SQL.
    pub(super) async fn script<T: Send + 'static>(
        &self,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, Finding> {
        let args = ["--file=-".into()].into_iter().chain(archive.map(Path::as_os_str).map(Into::into));
        self.run(args.collect(), feed, progress, read).await
    }

    /// The number of entries that `pg_restore --list` sees in `archive` (or in `feed`).
    pub(super) async fn count_entries(
        &self,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
    ) -> Result<Ran<Option<usize>>, Finding> {
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

    /// Loads all of `archive` (or of `feed`) where `connection`, the flags of a connection, leads.
    pub(super) async fn load(
        &self,
        connection: Vec<OsString>,
        archive: Option<&Path>,
        feed: Option<Feed>,
        progress: &dyn Progress,
    ) -> Result<Ran<()>, Finding> {
        let mut args = connection;
        // Tablespaces are production's.
        args.extend(["--exit-on-error", "--no-tablespaces"].map(OsString::from));
        args.extend(archive.map(|archive| archive.as_os_str().to_owned()));
        self.run(args, feed, progress, drain).await
    }

    async fn run<T: Send + 'static>(
        &self,
        args: Vec<OsString>,
        feed: Option<Feed>,
        progress: &dyn Progress,
        read: impl FnOnce(Metered<File>) -> io::Result<T> + Send + 'static,
    ) -> Result<Ran<T>, Finding> {
        let ran = self.program.run(args, feed, progress, read).await?;
        match ran.complaint() {
            Some(complaint) if is_unfit(&complaint) => Err(Finding::unknown(
                "tool",
                format!(
                    "{} is too old or was built without what this dump needs ({complaint}){}; install a newer PostgreSQL client",
                    self.program.path().display(),
                    self.wanted
                ),
            )),
            _ => Ok(ran),
        }
    }
}

/// Whether `pg_restore`, and not the dump, is what is wrong.
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

/// The program of `source`, `default` unless the source names another, in the environment that such tools need.
pub(super) fn of_source(settings: &Settings, source: &BackupSource, default: &str) -> Program {
    let path = source.program.clone().unwrap_or_else(|| default.into());
    named(settings, source, &path, "program")
}

/// The program at `path`, which the key `key` of `source` says, in that environment.
pub(super) fn named(settings: &Settings, source: &BackupSource, path: &Path, key: &str) -> Program {
    let remedy = format!("install it, or set {key} of source {:?} to its path", source.name);
    Program::bare(&settings.search_path, settings.stall_timeout, path, &remedy)
        .with_environment(settings.environment_of(source))
}

/// Runs `program`, and reads the JSON that it writes; what is no such JSON is a finding.
pub(super) async fn json<T: serde::de::DeserializeOwned>(
    program: &Program,
    args: impl IntoIterator<Item: Into<OsString>>,
    progress: &dyn Progress,
) -> Result<T, Finding> {
    let text = program.text(args, progress).await?.whole()?;
    let name = program.name();
    if text.trim().is_empty() {
        return Err(Finding::unknown("tool", format!("{name} ended well but wrote nothing")));
    }
    serde_json::from_str(&text)
        .map_err(|error| Finding::unknown("tool", format!("{name} wrote what is not its JSON: {error}")))
}

/// Checks that the restore that `ran` came to its end.
///
/// # Errors
/// That the backup can't be restored.
pub(super) fn restored<T>(ran: Ran<T>) -> Result<(), Finding> {
    ran.whole().map(drop).map_err(|failed| Finding::critical("restore", failed.to_string()))
}

impl From<ProgramError> for Finding {
    fn from(error: ProgramError) -> Self {
        Finding::unknown("tool", error.to_string())
    }
}

impl From<Failed> for Finding {
    fn from(failed: Failed) -> Self {
        Finding::unknown("tool", failed.to_string())
    }
}

impl From<throwaway::Error> for Finding {
    fn from(error: throwaway::Error) -> Self {
        let text = error.to_string();
        match error {
            throwaway::Error::Machine(_) => Finding::unknown("drill", text),
            throwaway::Error::Program(_) => Finding::unknown("tool", text),
            throwaway::Error::Data(_) => Finding::critical("recovery", text),
            throwaway::Error::Late { .. } => Finding::unknown("recovery", text),
        }
    }
}
