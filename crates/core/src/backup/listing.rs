//! What a look at a source finds: backups, each with what is wrong with it at a glance.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Local, Utc};
use serde::Serialize;

use super::{
    BackupSource, Compression, Finding, StartedFrom,
    encryption::Encryption,
    size_text,
    start::{self, Start},
    wal::{self, WalState},
};

/// What a look at a source found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The backups, the one that began last first.
    pub(super) backups: Vec<Backup>,
    /// What is wrong with the source as a whole, or why the list may not be all.
    pub(super) problems: Vec<Finding>,
    /// The archive of WAL behind the backups, where there is one.
    pub(super) wal: Option<WalState>,
    /// When the last WAL was archived, where the source has an archive that tells.
    pub(super) archive_end_at: Option<DateTime<Utc>>,
}

impl Listing {
    /// Notes that the last WAL was archived at `at`, and holds that against what `source` allows.
    pub(super) fn archived_until(
        &mut self,
        source: &BackupSource,
        at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        self.archive_end_at = at;
        self.problems.extend(wal::age_finding(source, at, now));
    }

    /// A listing that came to nothing.
    pub(super) fn failed(finding: Finding) -> Self {
        Self { problems: vec![finding], ..Self::default() }
    }
}

/// What a backup is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `pg_dump -Fc`.
    Custom,
    /// `pg_dump -Fd`.
    Directory,
    /// `pg_dump -Ft`.
    Tar,
    /// `pg_dump -Fp`, and what pg_dumpall writes.
    Plain,
    /// A data folder, as `pg_basebackup -Fp` writes it.
    DataFolder,
    /// Tar files of a data folder, as `pg_basebackup -Ft` writes them.
    DataTar,
    /// A tool's full backup of a cluster.
    Full,
    /// A tool's backup of what changed since the last full one.
    Differential,
    /// A tool's backup of what changed since the last one.
    Incremental,
    /// A snapshot of files, which hold a dump or a base backup.
    Snapshot,
    /// What lies in object storage, of which a listing shows no byte.
    Object,
    /// An encrypted file.
    Encrypted,
    /// A file that was cut into parts.
    Parts,
    /// A directory dump in a tar.
    DirectoryTar,
    /// A data folder in one tar.
    ClusterTar,
}

impl Format {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Directory => "directory",
            Self::Tar => "tar",
            Self::Plain => "plain",
            Self::DataFolder => "base backup",
            Self::DataTar => "base backup in tar",
            Self::Full => "full",
            Self::Differential => "differential",
            Self::Incremental => "incremental",
            Self::Snapshot => "snapshot",
            Self::Object => "object",
            Self::Encrypted => "encrypted",
            Self::Parts => "in parts",
            Self::DirectoryTar => "directory dump in a tar",
            Self::ClusterTar => "base backup in one tar",
        }
    }
}

/// How much a dump holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// One database.
    Database,
    /// All of a cluster.
    Cluster,
    /// What the databases of a cluster share, roles and tablespaces: no backup by itself.
    Globals,
}

/// Where in WAL a base backup began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// Its own start.
    pub(super) at: Option<u64>,
    /// That of the one on which it builds; none of a full one.
    pub(super) from: Option<u64>,
}

/// The major version in `18.4 (Debian 18.4-1)`; 0 where there is none.
pub(super) fn major(version: &str) -> u32 {
    version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// A backup as a quick look sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The name of the file or folder, or what its tool calls it.
    pub name: String,
    /// The file or folder, where it is one.
    pub path: Option<PathBuf>,
    /// What it is made of; none when its content is of no known format.
    pub format: Option<Format>,
    /// How the file is compressed as a whole (compression inside an archive is not meant).
    pub compression: Compression,
    /// Its size; of a folder, that of its files together; of a tool's backup, that of the cluster restored.
    pub size_bytes: u64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How that is known.
    pub started_from: StartedFrom,
    /// When its last byte was written.
    pub modified_at: DateTime<Utc>,
    /// The database that it says it is of.
    pub database: Option<String>,
    /// The version of that database's server.
    pub server_version: Option<String>,
    /// The oldest major version of PostgreSQL whose programs take it for sure; 0 where it does not say.
    #[serde(skip)]
    pub(super) needs: u32,
    /// How much a dump holds.
    #[serde(skip)]
    pub(super) extent: Extent,
    /// The number of the repository that it is in, where its tool has several.
    #[serde(skip)]
    pub(super) repository: Option<u32>,
    /// Of a base backup: the place in WAL where it began, and the one where that began on which it builds.
    #[serde(skip)]
    pub(super) begun: Begun,
    /// The base backups on which it builds, the full one first.
    #[serde(skip)]
    pub(super) parents: Vec<Backup>,
    /// What it is encrypted by.
    #[serde(skip)]
    pub(super) encryption: Option<Encryption>,
    /// An earlier file with as many bytes.
    #[serde(skip)]
    pub(super) twin: Option<PathBuf>,
    /// The dump of roles and tablespaces that lies beside it.
    #[serde(skip)]
    pub(super) globals: Option<String>,
    /// Why it is no good backup; empty when a quick look finds nothing.
    pub findings: Vec<Finding>,
}

impl Backup {
    /// A file or folder of which nothing is known but its size and its last write.
    pub(super) fn of_path(path: &Path, size_bytes: u64, modified_at: DateTime<Utc>) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let Start { at, from } = start::from_name(&Local, &name, modified_at);
        Self {
            path: Some(path.to_path_buf()),
            compression: Compression::None,
            started_at: at,
            started_from: from,
            ..Self::of_tool(name, None, size_bytes, modified_at)
        }
    }

    /// What a tool tells of a backup.
    pub(super) fn of_tool(
        name: String,
        format: Option<Format>,
        size_bytes: u64,
        started_at: DateTime<Utc>,
    ) -> Self {
        Self {
            name,
            path: None,
            format,
            compression: Compression::None,
            size_bytes,
            started_at,
            started_from: StartedFrom::Tool,
            modified_at: started_at,
            database: None,
            server_version: None,
            needs: 0,
            extent: Extent::Database,
            begun: Begun::default(),
            parents: Vec::new(),
            encryption: None,
            repository: None,
            twin: None,
            globals: None,
            findings: Vec::new(),
        }
    }

    /// It, with what only the backup that lies in it tells: when that began, and of which database it is.
    pub(super) fn told_by(self, inner: &Backup) -> Self {
        let started_from =
            if inner.started_from == StartedFrom::Modified { self.started_from } else { inner.started_from };
        Self {
            started_at: inner.started_at,
            started_from,
            database: inner.database.clone().or(self.database),
            server_version: inner.server_version.clone().or(self.server_version),
            ..self
        }
    }

    /// Where it is, or what its tool calls it.
    pub fn place(&self) -> String {
        self.path.as_ref().map_or_else(|| self.name.clone(), |path| path.display().to_string())
    }

    /// Whether it is of pg_dump's make.
    pub(super) fn is_dump(&self) -> bool {
        matches!(self.format, Some(Format::Custom | Format::Directory | Format::Tar | Format::Plain))
    }

    /// Whether it is a cluster's data in files.
    pub(super) fn is_physical(&self) -> bool {
        matches!(self.format, Some(Format::DataFolder | Format::DataTar))
    }

    /// Whether it lies in something else.
    pub(super) fn is_wrapped(&self) -> bool {
        use Format::{ClusterTar, DirectoryTar, Encrypted, Parts};
        matches!(self.format, Some(Encrypted | Parts | DirectoryTar | ClusterTar))
    }

    /// Finds it too small when it has fewer than `bytes`.
    pub(super) fn require_size(&mut self, bytes: u64) {
        if self.size_bytes < bytes && self.size_bytes > 0 {
            let text =
                format!("has {}, less than min_size ({})", size_text(self.size_bytes), size_text(bytes));
            self.findings.push(Finding::critical("size", text));
        }
    }

    /// Finds something wrong with it.
    pub(super) fn find(&mut self, check: &'static str, text: impl Into<String>) {
        self.findings.push(Finding::critical(check, text));
    }
}
