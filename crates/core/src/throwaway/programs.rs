//! The server's programs: those of the version that the data of a cluster asks for.

use std::{path::PathBuf, time::Duration};

use super::{Error, Settings, program::Program};
use crate::progress::Progress;

/// The programs without which a folder is no server's. The first says of which version they are.
const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_controldata", "psql"];

/// The same of a client's.
const CLIENTS: [&str; 2] = ["pg_dump", "psql"];

/// The program by which archives are read.
const RESTORERS: [&str; 1] = ["pg_restore"];

/// Where distributions put them.
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
];

/// The server's programs of one version.
#[derive(Debug, Clone)]
pub(crate) struct ServerPrograms {
    folder: PathBuf,
    search_path: String,
    stall: Duration,
    pub(super) version: u32,
}

impl ServerPrograms {
    /// Looks for the programs of exactly `version`, or of the newest that is `at_least` that.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) async fn find(
        settings: &Settings,
        version: Option<u32>,
        at_least: u32,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let suits = |found| version.map_or(found >= at_least, |version| found == version);
        Self::newest(settings, &PROGRAMS, suits, progress).await?.ok_or_else(|| {
            let wanted = version.map_or_else(|| format!("{at_least} or newer"), |version| version.to_string());
            let text = format!(
                "the server's programs of PostgreSQL {wanted} were not found in {}; install the server (postgresql), or set {} to their folder",
                places(settings),
                settings.names.programs
            );
            Error::Machine(text)
        })
    }

    /// The newest `pg_restore` that is `at_least` of this version; none where there is none.
    ///
    /// # Errors
    /// When one that is there can't be run.
    pub(crate) async fn restorer(
        settings: &Settings,
        at_least: u32,
        progress: &dyn Progress,
    ) -> Result<Option<PathBuf>, Error> {
        let found = Self::newest(settings, &RESTORERS, |found| found >= at_least, progress).await?;
        Ok(found.map(|programs| programs.folder.join(RESTORERS[0])))
    }

    /// Looks for the programs of exactly `version` that talk to a server; nothing but these is there for sure.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) async fn clients(
        settings: &Settings,
        version: u32,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        Self::newest(settings, &CLIENTS, |found| found == version, progress).await?.ok_or_else(|| {
            let text = format!(
                "pg_dump and psql of PostgreSQL {version} were not found; install the client (postgresql-client-{version}), or set {} to their folder",
                settings.names.programs
            );
            Error::Machine(text)
        })
    }

    /// The newest whose version `suits`, in a folder that has all of `programs`.
    async fn newest(
        settings: &Settings,
        programs: &'static [&'static str],
        suits: impl Fn(u32) -> bool,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, Error> {
        let mut best: Option<Self> = None;
        for folder in folders(settings, programs) {
            let ran = settings.program(&folder.join(programs[0]), "").text(["--version"], progress).await?;
            let Some(found) = version_in(&ran.whole().unwrap_or_default()) else { continue };
            if suits(found) && best.as_ref().is_none_or(|best| best.version < found) {
                let (search_path, stall) = (settings.search_path.clone(), settings.stall);
                best = Some(Self { folder, search_path, stall, version: found });
            }
        }
        Ok(best)
    }

    /// Their major version.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Where one of them lies.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One of them.
    pub(crate) fn program(&self, name: &str) -> Program {
        let remedy = "install PostgreSQL's server and contrib programs";
        Program::bare(&self.search_path, self.stall, &self.path(name), remedy)
    }
}

/// The major version that one of PostgreSQL's programs tells: "postgres (PostgreSQL) 15.18 (Debian ...)".
pub(crate) fn version_in(words: &str) -> Option<u32> {
    let number = words.split(' ').nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Where programs are looked for, in words.
pub(crate) fn places(settings: &Settings) -> String {
    match &settings.programs {
        Some(folder) => folder.display().to_string(),
        None => format!("PATH and {}", FOLDERS.join(", ")),
    }
}

/// The folders that hold all of `programs`.
fn folders(settings: &Settings, programs: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    let mut folders: Vec<PathBuf> = match &settings.programs {
        Some(folder) => vec![folder.clone()],
        None => settings.search_path.split(':').map(PathBuf::from).collect(),
    };
    if settings.programs.is_none() {
        folders.extend(FOLDERS.iter().flat_map(|pattern| glob::glob(pattern)).flatten().flatten());
    }
    // A link to one of them in PATH leads to the folder where the others are.
    let real = |folder: PathBuf| Some(folder.join(programs[0]).canonicalize().ok()?.parent()?.to_path_buf());
    let is_whole = |folder: &PathBuf| programs.iter().all(|program| folder.join(program).is_file());
    folders.into_iter().filter_map(real).filter(is_whole)
}
