//! A private cluster of PostgreSQL that goes away again: for whatever must be tried on a server that nobody else has,
//! and that can do no harm.
//!
//! A folder of mode 0700 ([`Folder`]), a server without TCP and with a configuration of its own ([`Cluster`]) that the
//! kernel keeps inside of that folder ([`Confinement`]), every program with an end ([`Program`]). What a killed process
//! left is removed by the next ([`remove_left`]).

mod cluster;
mod confine;
mod folder;
mod program;
mod programs;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use cluster::{Cluster, Kept, Recovering, shell_word};
pub(crate) use confine::Confinement;
pub(crate) use folder::{Folder, Owner, free_bytes, remove_left};
pub(crate) use program::{Failed, Feed, Program, ProgramError, Ran, drain};
pub(crate) use programs::{ServerPrograms, places, version_in};

/// What throwaway clusters and their settings are called by whom they are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// What they are for, in a word that folders and superusers are named for.
    pub(crate) purpose: &'static str,
    /// The key of [`Settings::parent`].
    pub(crate) parent: &'static str,
    /// The key of [`Settings::user`].
    pub(crate) user: &'static str,
    /// The key that lets an unconfined cluster be.
    pub(crate) unconfined: &'static str,
    /// The key of [`Settings::programs`].
    pub(crate) programs: &'static str,
    /// The key of [`Settings::timeout`].
    pub(crate) timeout: &'static str,
}

/// What steers throwaway clusters.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What messages call it.
    pub(crate) names: Names,
    /// Where private folders are made.
    pub(crate) parent: PathBuf,
    /// So many bytes of the disk stay free.
    pub(crate) reserve_bytes: u64,
    /// Whom the cluster runs as where this process runs as root, which PostgreSQL refuses.
    pub(crate) user: String,
    /// Whether the kernel must keep the cluster inside of its folder.
    pub(crate) is_confined: bool,
    /// Libraries that the cluster may preload where the configuration in its data does.
    pub(crate) preload_libraries: Vec<String>,
    /// The folder of the server's programs; none: looked for in the search path and where distributions put them.
    pub(crate) programs: Option<PathBuf>,
    /// PATH, in which programs are looked for.
    pub(crate) search_path: String,
    /// A program that shows no sign of life for this long is given up.
    pub(crate) stall: Duration,
    /// A server that recovers is given up after this long.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// The program at `path` in a cleared environment; `remedy` is what to do where it is not there.
    fn program(&self, path: &Path, remedy: &str) -> Program {
        Program::bare(&self.search_path, self.stall, path, remedy)
    }
}

/// Why there is no throwaway cluster, or no answer of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// This machine, its disk or its programs are in the way.
    #[error("{0}")]
    Machine(String),
    /// A program could not be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The data in its folder are of no use to a server.
    #[error("{0}")]
    Data(String),
    /// The server did not come up in time.
    #[error("the recovery took more than {} ({key}) and was given up", humantime::format_duration(*.limit))]
    Late {
        /// How long it may take.
        limit: Duration,
        /// The key that says so.
        key: &'static str,
    },
}
