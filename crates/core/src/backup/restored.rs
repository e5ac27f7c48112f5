//! What a source makes of a backup in the folder of a drill, and from where the recovery of it gets its WAL.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Backup, Finding, error_text,
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
    /// A tool that gives out the files of its repository as they lie there, perhaps compressed, and where they lie by name.
    Repository(Program, BTreeMap<String, String>),
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

    /// Reads the histories of the timelines behind the first one that `held` has segments of, up to the newest, and on for as
    /// long as there are more: what tells whether a recovery gets there. `place` is where they are laid down meanwhile.
    ///
    /// # Errors
    /// That one can't be read.
    pub(super) async fn follow(&self, held: &mut Holdings, place: &Path) -> Result<(), Finding> {
        let timelines: BTreeSet<u32> = held.segments.iter().map(|segment| segment.timeline).collect();
        let (Some(first), Some(newest)) = (timelines.first(), timelines.last()) else { return Ok(()) };
        let mut histories = BTreeSet::new();
        for timeline in *first + 1.. {
            let name = format!("{timeline:08X}.history");
            if self.fetch(&name, place).await? {
                let text = fs::read(place);
                let _ = fs::remove_file(place);
                let text = text.map_err(|error| Finding::unknown("wal", format!("{name}: {error}")))?;
                held.lineage.insert(timeline, wal::turns(&String::from_utf8_lossy(&text)));
                histories.insert(timeline);
            } else if timeline >= *newest {
                break;
            }
        }
        held.histories = Some(histories);
        Ok(())
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
            Self::Repository(program, paths) => {
                let Some(path) = paths.get(name) else { return Ok(false) };
                unpack_from(program, path, name, to).await
            }
        }
    }
}

/// What pgBackRest says of a file that is not there.
const MISSING: &str = "[055]";

/// Has `program` give out the file `path` of its repository, and puts it at `to` decompressed; false where it is not there.
async fn unpack_from(program: &Program, path: &str, name: &str, to: &Path) -> Result<bool, Finding> {
    let packed = to.with_extension("packed");
    let file = packed.clone();
    let store =
        move |mut output| fs::File::create(file).and_then(|mut file| io::copy(&mut output, &mut file));
    let ran = program.run(vec![path.into()], None, &Silent, store).await?;
    if ran.complaint().is_some_and(|complaint| complaint.contains(MISSING)) {
        let _ = fs::remove_file(packed);
        return Ok(false);
    }
    ran.whole()?;
    let (from, owned) = (packed.clone(), to.to_path_buf());
    let unpack = move || wal::unpack(&from, &owned, &Arc::new(Meter::default()));
    let unpacked = tokio::task::spawn_blocking(unpack).await;
    let _ = fs::remove_file(packed);
    let unpacked = unpacked.map_err(|error| Finding::unknown("wal", format!("{name}: {error}")))?;
    unpacked.map(|()| true).map_err(|error| {
        Finding::critical(
            "wal",
            format!("archived WAL is damaged: {name} can't be read to its end: {}", error_text(&error)),
        )
    })
}
