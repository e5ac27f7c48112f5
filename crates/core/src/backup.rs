//! Backups: whether they are there, young and whole, and what that was seen from.
//!
//! No evidence is never good: a missing folder, an empty listing, an unreadable file and a missing program are
//! findings. Three depths ([`Depth`]): a quick look at existence, age, count, size and format marks; reading every
//! byte; and restoring into a throwaway cluster, where schema, balances and rows are proven.

mod compression;
mod drill;
mod earlier;
mod encryption;
mod examine;
mod figures;
mod hearing;
mod listing;
mod policy;
mod preflight;
mod proven;
mod reading;
mod record;
mod restored;
mod rpo;
mod scope;
mod seal;
mod sealing;
mod settings;
mod source;
mod start;
mod tool;
mod verify;
mod wal;
mod witness;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use compression::Compression;
pub use drill::{
    Answer, DatabaseProof, Drill, KeptCluster, KeptDatabase, ReconcileProof, RecoveryEnd, TableCount,
};
pub use examine::{TableRows, Verified};
pub use hearing::{Heard, Hearing, Witnesses};
pub use listing::{Backup, Format};
pub use policy::{MonitorReport, SourceState, monitor};
pub use preflight::{Moment, Preflight, PreflightReport, preflight};
pub use proven::{Proof, ProvenReport, proven};
pub use rpo::Rpo;
pub use scope::Scope;
pub use sealing::{SealReport, Sealed, seal};
pub use settings::{BackupKind, BackupSource, Check, Settings};
pub use start::StartedFrom;
pub use verify::{VerifyReport, verify};
pub use wal::{Gap, WalState};

use crate::{
    Error, Failure,
    alert::{self, Severity},
    balance, history,
    mapping::Mapping,
    report::PluginState,
    tenancy,
};

/// What is configured of what looking at backups needs.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'a> {
    /// The sources, and how they are looked at.
    pub backup: &'a Settings,
    /// The tables that a backup must hold.
    pub mapping: &'a Mapping,
    /// Organizations, by which a restored schema is validated.
    pub tenancy: &'a tenancy::Settings,
    /// How restored balances are compared.
    pub reconcile: &'a balance::Settings,
    /// Who is told.
    pub alerts: &'a alert::Settings,
    /// How long records of runs are kept.
    pub history: &'a history::Settings,
}

/// Why backups could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A source was asked for that is not configured.
    #[error("no backup source is named {name:?}; {remedy}")]
    UnknownSource {
        /// The name that was given.
        name: String,
        /// The nearest name, or those that there are.
        remedy: String,
    },
    /// What was proven is nowhere recorded.
    #[error(
        "the database has no stockfoil.run, so nothing of earlier runs is recorded; run migrate-all, or db-migrate"
    )]
    NoRecords,
    /// Of several backups, it would not be known which is kept.
    #[error("--keep keeps what is restored of one backup; name it with --source ({}), or with --file", .0.join(", "))]
    KeepsOne(Vec<String>),
    /// Nothing can be kept there.
    #[error("{} {why}; give --keep a folder that is new or empty", .folder.display())]
    KeepsNothing {
        /// The folder that was named.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something could not be read or run, so that nothing is known.
    #[error("could not be judged: {}", .0.join("; "))]
    Undecided(Vec<String>),
}

impl BackupError {
    /// Which exit status this error asks for.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::UnknownSource { .. } | Self::KeepsOne(_) | Self::KeepsNothing { .. } => Failure::Usage,
            Self::Undecided(_) | Self::NoRecords => Failure::Work,
        }
    }
}

/// How deep a look at a backup is. Each depth holds the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Existence, age, count, size, marks of the format, chain of references, WAL. Seconds.
    Quick,
    /// Every byte is read. As long as reading the backup takes.
    Full,
    /// It is restored into a throwaway cluster and proven there. As long as a recovery takes, and its room.
    Restore,
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Restore => "restore",
        })
    }
}

impl FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "quick" => Ok(Self::Quick),
            "full" => Ok(Self::Full),
            "restore" => Ok(Self::Restore),
            _ => Err(format!("unknown depth {text:?}; give quick, full or restore")),
        }
    }
}

/// How a backup or a source stands; the worst of its findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warning,
    /// Nothing is known, which is no good sign.
    Unknown,
    /// There may be no good backup. It outranks what is not known: who must act is not told to look again.
    Critical,
}

impl Status {
    /// How urgent it is that a person looks; none when all is well.
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Ok => None,
            Self::Warning => Some(Severity::Warning),
            Self::Critical | Self::Unknown => Some(Severity::Critical),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        })
    }
}

impl Status {
    /// As metrics give it, in the numbers of monitoring plugins.
    fn number(self) -> u8 {
        self.plugin_state() as u8
    }

    /// As monitoring plugins call it.
    fn plugin_state(self) -> PluginState {
        match self {
            Self::Ok => PluginState::Ok,
            Self::Warning => PluginState::Warning,
            Self::Critical => PluginState::Critical,
            Self::Unknown => PluginState::Unknown,
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is; never [`Status::Ok`].
    pub status: Status,
    /// Which check found it, such as `age`.
    pub check: &'static str,
    /// One sentence.
    pub text: String,
    /// The depth of a look at which it was found.
    #[serde(skip)]
    pub depth: Depth,
}

impl Finding {
    fn warning(check: &'static str, text: impl Into<String>) -> Self {
        Self { status: Status::Warning, check, text: text.into(), depth: Depth::Quick }
    }

    fn critical(check: &'static str, text: impl Into<String>) -> Self {
        Self { status: Status::Critical, ..Self::warning(check, text) }
    }

    fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self { status: Status::Unknown, ..Self::warning(check, text) }
    }
}

/// The worst of `findings`.
fn worst(findings: &[Finding]) -> Status {
    findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
}

/// Refuses findings, each with whose it is, that say that nothing is known, unless there is one that says more.
fn no_undecided<'a>(findings: impl Iterator<Item = (String, &'a Finding)>) -> Result<(), Error> {
    let findings: Vec<(String, &Finding)> = findings.collect();
    if findings.iter().any(|(_, finding)| finding.status == Status::Critical) {
        return Ok(());
    }
    let undecided = findings.into_iter().filter(|(_, finding)| finding.status == Status::Unknown);
    let undecided: Vec<String> =
        undecided.map(|(whose, finding)| format!("{whose}: {}", finding.text)).collect();
    if undecided.is_empty() { Ok(()) } else { Err(BackupError::Undecided(undecided).into()) }
}

/// `path`'s last part.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What an error while reading means.
fn error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => error.to_string(),
    }
}

/// How long before `now` something was, for a person: `25 h 1 min`.
pub fn age_text(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    (now - then).to_std().map_or_else(|_| "less than no time".to_owned(), duration_text)
}

/// The first `max` of `names`, and how many more there are.
fn first_of(names: &[impl AsRef<str>], max: usize) -> String {
    let named = names.iter().take(max).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(max) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A duration for a person: `25 h 1 min`.
pub fn duration_text(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", duration.as_secs()),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours @ 0..96, minutes) => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// A count of bytes for a person: `1.5 MB`.
pub fn size_text(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().si().to_string()
}
