//! What a source makes of a backup in the folder of a drill, and from where the recovery of it gets its WAL.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Backup, Finding,
    wal::{self, Archive, Holdings, Segment},
};
use crate::{
    progress::{Silent, meter::Meter},
    throwaway::{Folder, Owner, Program},
};

/// What a source made of a backup in the folder of a drill.
#[derive(Debug)]
pub(super) enum Restored {
    /// A dump, still to be loaded.
    Dump(PathBuf, Backup),
    /// A cluster's data in the folder `data`, still to be recovered.
    Data(Recovery),
}

/// Where a source puts what it restores.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    pub(super) owner: &'a Owner,
    told: Mutex<Vec<Finding>>,
}

impl<'a> Place<'a> {
    pub(super) fn new(folder: &'a Folder, owner: &'a Owner) -> Self {
        Self { folder, owner, told: Mutex::default() }
    }

    /// Notes what was seen of a backup while it was restored, and keeps nobody from restoring it.
    pub(super) fn tell(&self, findings: impl IntoIterator<Item = Finding>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(findings);
    }

    /// What was noted.
    pub(super) fn told(&self) -> Vec<Finding> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The data folder of the throwaway cluster.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.data()
    }

    /// Gives `path` to whom the cluster runs as.
    pub(super) fn give(&self, path: &Path) -> Result<(), Finding> {
        self.owner.take(path).map_err(|error| {
            Finding::unknown("drill", format!("{} can't be given away: {error}", path.display()))
        })
    }

    /// Makes the folder `path`, for nobody else.
    pub(super) fn make(&self, path: &Path) -> Result<(), Finding> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| Finding::unknown("drill", format!("{} can't be made: {error}", path.display())))
    }

    /// A folder for whatever else a source needs.
    pub(super) fn scratch(&self, name: &str) -> Result<PathBuf, Finding> {
        let path = self.folder.path().join(name);
        self.make(&path)?;
        Ok(path)
    }
}

/// What a recovery has at hand.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovery {
    /// Where the server gets archived WAL from.
    pub(super) supply: Supply,
    /// What the archive holds; none where there is none, or it does not tell.
    pub(super) holdings: Option<Holdings>,
}

/// Where archived WAL comes from.
#[derive(Debug, Clone, Default)]
pub(super) enum Supply {
    /// There is none; what lies in pg_wal is all.
    #[default]
    Nothing,
    /// A folder that the server archived to.
    Folder(Arc<Archive>),
    /// A tool, which is given a file's name and where to put it.
    Tool(Program),
}

impl Supply {
    /// Fetches each segment of `held` from `first` on to `place`, and compares what its pages say with its name.
    ///
    /// # Errors
    /// That one can't be fetched, or is damaged.
    pub(super) async fn check(
        &self,
        held: &Holdings,
        first: Segment,
        place: &Path,
    ) -> Result<usize, Finding> {
        let mut count = 0;
        for segment in held.segments.iter().filter(|segment| segment.number >= first.number) {
            let name = segment.name(held.segment_bytes);
            let is_there = self.fetch(&name, place).await?;
            let fault = match fs::read(place).ok().filter(|_| is_there) {
                None => Some("can't be fetched".to_owned()),
                Some(bytes) => wal::fault(&bytes, *segment, held.segment_bytes, held.system),
            };
            // What is left of one is not taken for the next.
            let _ = fs::remove_file(place);
            if let Some(fault) = fault {
                return Err(Finding::critical("wal", format!("archived WAL is damaged: {name} {fault}")));
            }
            count += 1;
        }
        Ok(count)
    }

    /// Fetches the file `name` to `to`; false where there is none of that name.
    ///
    /// # Errors
    /// Why what is there can't be fetched.
    pub(super) async fn fetch(&self, name: &str, to: &Path) -> Result<bool, Finding> {
        match self {
            Self::Nothing => Ok(false),
            Self::Folder(archive) => {
                let (archive, owned, to) = (Arc::clone(archive), name.to_owned(), to.to_path_buf());
                let fetch = move || archive.fetch(&owned, &to, &Arc::new(Meter::default()));
                let fetched = tokio::task::spawn_blocking(fetch).await;
                let fetched = fetched.map_err(|error| Finding::unknown("wal", format!("{name}: {error}")))?;
                fetched.map_err(|error| {
                    Finding::critical("wal", format!("archived WAL can't be read: {name}: {error}"))
                })
            }
            Self::Tool(program) => {
                let args: [OsString; 2] = [name.into(), to.into()];
                let ran = program.text(args, &Silent).await?;
                if let Some(complaint) = ran.complaint() {
                    log::debug!("{} did not fetch {name}: {complaint}", program.name());
                    return Ok(false);
                }
                Ok(to.is_file())
            }
        }
    }
}
