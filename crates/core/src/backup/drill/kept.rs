//! What a drill leaves where it is asked to: the restored cluster, to export from, or to look into.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::DatabaseProof;
use crate::{
    backup::BackupError,
    throwaway::{self, Cluster, Kept, Owner, shell_word},
};

/// What names the folder.
pub(super) const FLAG: &str = "--keep";

/// What a part of a URL does not hold as it is; a path's slashes it does.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'/');

/// What a drill left: the restored cluster, whose server does not run, and what to do with it.
#[derive(Debug, Clone, Serialize)]
pub struct KeptCluster {
    /// The folder that it is in.
    pub folder: PathBuf,
    /// The command that starts its server.
    pub start: String,
    /// The databases that hold the inventory.
    pub databases: Vec<KeptDatabase>,
    /// The command that stops it.
    pub stop: String,
    /// The command that removes all of it.
    pub remove: String,
}

/// A database of a kept cluster.
#[derive(Debug, Clone, Serialize)]
pub struct KeptDatabase {
    /// Its name.
    pub name: String,
    /// Its DATABASE_URL.
    pub url: String,
}

impl KeptCluster {
    pub(super) fn of(
        parent: &Path,
        server: &Cluster<'_>,
        Kept { start, stop }: Kept,
        databases: &[DatabaseProof],
    ) -> Self {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let (host, user) = (encoded(&server.socket().to_string_lossy()), server.superuser());
        let url = |name: &str| {
            let name = encoded(name).replace('/', "%2F");
            format!("postgresql:///{name}?host={host}&port=5432&user={user}")
        };
        let databases = databases.iter().map(|database| &database.name);
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_path_buf());
        Self {
            start,
            databases: databases.map(|name| KeptDatabase { name: name.clone(), url: url(name) }).collect(),
            stop,
            remove: format!("rm -r {}", shell_word(&parent)),
            folder: parent,
        }
    }
}

/// Checks that `folder` is there and empty, but for what a killed drill left in it, and makes it where it is not there.
pub(in crate::backup) fn require_place(
    folder: &Path,
    settings: &throwaway::Settings,
) -> Result<(), BackupError> {
    let refused = |why: String| BackupError::KeepsNothing { folder: folder.to_path_buf(), why };
    let owner = Owner::of_cluster(settings).map_err(|error| refused(format!("is of no use: {error}")))?;
    match fs::create_dir(folder) {
        // Another user's server must get through it, and what lies in it is for nobody else.
        Ok(()) => {
            return owner.take(folder).map_err(|error| refused(format!("can't be given away: {error}")));
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(format!("can't be made: {error}"))),
    }
    let here = throwaway::Settings { parent: folder.to_path_buf(), ..settings.clone() };
    throwaway::remove_left(&here, &owner);
    let mut entries =
        fs::read_dir(folder).map_err(|error| refused(format!("can't be looked into: {error}")))?;
    if entries.next().is_some() {
        return Err(refused("is not empty".to_owned()));
    }
    Ok(())
}
