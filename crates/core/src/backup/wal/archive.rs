//! A folder that WAL is archived to: what is in it, in which form, and whether it is what its names say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{Holdings, NAMED_MAX, SEGMENT_BYTES, Segment, page};
use crate::{
    backup::{Compression, Finding, error_text},
    progress::meter::Meter,
};

/// Folders in the archive are looked into so deep: tools make one each timeline, or each 256 segments.
const DEPTH_MAX: usize = 3;

/// Suffixes of what is compressed; what the content says counts.
const SUFFIXES: [&str; 7] = [".gz", ".zst", ".lz4", ".xz", ".bz2", ".zstd", ".lzma"];

/// What files begin with that are compressed in a form that is not read here.
const FOREIGN: [(&[u8], &str); 1] = [(b"\x5d\0\0", "lzma")];

/// A folder that WAL is archived to.
#[derive(Debug, Default)]
pub(in crate::backup) struct Archive {
    /// The segments, each with its file.
    pub(in crate::backup) segments: BTreeMap<Segment, PathBuf>,
    /// The files that tell of new timelines, by name.
    histories: BTreeMap<String, PathBuf>,
    /// The size of a segment.
    pub(in crate::backup) segment_bytes: u64,
    /// When the last segment was written.
    pub(in crate::backup) newest_at: Option<DateTime<Utc>>,
    /// Files of segments that can't be used, each with why.
    unusable: BTreeMap<Segment, String>,
    /// Files of segments in a form that is not read here, each with which.
    unknown: BTreeMap<Segment, String>,
    /// Files that begin like a segment and end otherwise.
    strange: Vec<PathBuf>,
    /// Folders that are too deep to be looked into.
    deep: Vec<PathBuf>,
    /// Whether there is nothing at all.
    pub(in crate::backup) is_empty: bool,
    times: BTreeMap<Segment, DateTime<Utc>>,
    /// The identifier of the cluster, as a segment tells it.
    system: Option<u64>,
}

/// A file that is called like a segment.
struct Named {
    name: String,
    path: PathBuf,
    head: [u8; 40],
    bytes: u64,
    at: Option<DateTime<Utc>>,
}

impl Archive {
    /// One in which there is nothing.
    pub(in crate::backup) fn empty() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, ..Self::default() }
    }

    /// Looks at the files in `folder` and in folders below it, compressed ones and links included.
    ///
    /// # Errors
    /// When it can't be read.
    pub(in crate::backup) fn look(folder: &Path) -> io::Result<Self> {
        let mut archive = Self::empty();
        archive.is_empty = fs::read_dir(folder)?.next().is_none();
        let mut named = Vec::new();
        archive.collect(folder, 0, &mut named)?;
        archive.take(named);
        Ok(archive)
    }

    /// The one that these files make up; what is no WAL is left out.
    pub(in crate::backup) fn of(paths: Vec<PathBuf>) -> Self {
        let mut archive = Self::empty();
        let mut named = Vec::new();
        for path in paths {
            archive.add(path, &mut named);
        }
        archive.take(named);
        archive
    }

    fn take(&mut self, named: Vec<Named>) {
        let archive = self;
        let told = named.iter().find(|file| page::segment_bytes(&file.head).is_some());
        let unpacked = || {
            let file = named.iter().find(|file| Compression::of(&file.head) != Compression::None)?;
            let mut head = Vec::new();
            open(&file.path, &Arc::new(Meter::default())).ok()?.take(40).read_to_end(&mut head).ok()?;
            Some(head)
        };
        if let Some(head) = told.map(|file| file.head.to_vec()).or_else(unpacked) {
            archive.segment_bytes = page::segment_bytes(&head).unwrap_or(SEGMENT_BYTES);
            archive.system = page::system(&head);
        }
        for path in &archive.strange {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let segment = name.get(..24).and_then(|name| Segment::parse(name, archive.segment_bytes));
            let text = format!("{} ends otherwise than what is known here", path.display());
            archive.unknown.extend(segment.map(|segment| (segment, text)));
        }
        for file in named {
            let Some(segment) = Segment::parse(&file.name, archive.segment_bytes) else { continue };
            if let Some((_, form)) = FOREIGN.iter().find(|(magic, _)| file.head.starts_with(magic)) {
                let shown = file.path.display();
                let text = format!(
                    "{shown} is compressed by {form}, which is not read here; archive it plain or by gzip, Zstandard, LZ4, xz or bzip2"
                );
                archive.unknown.insert(segment, text);
                continue;
            }
            match archive.fault(&file) {
                None => {
                    archive.unusable.remove(&segment);
                    archive.times.extend(file.at.map(|at| (segment, at)));
                    archive.segments.insert(segment, file.path);
                }
                // Another file of the same segment may be whole.
                Some(_) if archive.segments.contains_key(&segment) => {}
                Some(fault) => {
                    archive.unusable.insert(segment, fault);
                }
            }
        }
        archive.unknown.retain(|segment, _| !archive.segments.contains_key(segment));
    }

    fn collect(&mut self, folder: &Path, depth: usize, named: &mut Vec<Named>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // The folders in pg_wal hold no WAL.
            if !path.is_dir() {
                self.add(path, named);
            } else if depth < DEPTH_MAX && !["archive_status", "summaries"].contains(&file.as_str()) {
                self.collect(&path, depth + 1, named)?;
            } else if depth >= DEPTH_MAX {
                self.deep.push(path);
            }
        }
        Ok(())
    }

    /// Adds the file at `path`, where it is called like WAL. What can't be opened is told of by name, and is no reason
    /// not to look at the others.
    fn add(&mut self, path: PathBuf, named: &mut Vec<Named>) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = stem(&file).to_owned();
        let is_segment = Segment::parse(&name, SEGMENT_BYTES).is_some();
        if name.ends_with(".history") {
            self.histories.insert(name, path);
        } else if is_segment {
            let mut head = [0; 40];
            let (mut bytes, mut at) = (0, None);
            if let Ok(metadata) = path.metadata() {
                bytes = metadata.len();
                at = metadata.modified().ok().map(DateTime::from);
                self.newest_at = self.newest_at.max(at);
            }
            if let Ok(mut file) = File::open(&path) {
                // A file that can't be read is found so where it is used.
                let _ = read_head(&mut file, &mut head);
            }
            named.push(Named { name, path, head, bytes, at });
        } else if is_strange(&file) {
            self.strange.push(path);
        }
    }

    /// Why a file is of no use, as far as a glance tells.
    fn fault(&self, file: &Named) -> Option<String> {
        let shown = file.path.display();
        if let Err(error) = File::open(&file.path) {
            return Some(format!("{shown} can't be read: {error}"));
        }
        if file.bytes == 0 {
            return Some(format!("{shown} is empty (0 bytes)"));
        }
        let is_plain = Compression::of(&file.head) == Compression::None;
        (is_plain && file.bytes != self.segment_bytes)
            .then(|| format!("{shown} has {} bytes, and not {}", file.bytes, self.segment_bytes))
    }

    /// What it holds.
    pub(in crate::backup) fn holdings(&self, place: &Path) -> Holdings {
        let timeline = |name: &String| u32::from_str_radix(name.strip_suffix(".history")?, 16).ok();
        Holdings {
            place: place.display().to_string(),
            segments: self.segments.keys().copied().collect(),
            histories: Some(self.histories.keys().filter_map(timeline).collect::<BTreeSet<u32>>()),
            segment_bytes: self.segment_bytes,
            lineage: self
                .histories
                .iter()
                .filter_map(|(name, path)| Some((timeline(name)?, turns(path)?)))
                .collect(),
            times: self.times.clone(),
            system: self.system,
        }
    }

    /// What is wrong with it for the backup that begins at `first` and holds the segments `own` (see
    /// [`Holdings::faults`]); `place` is what it is called.
    pub(in crate::backup) fn faults(
        &self,
        place: &Path,
        first: Segment,
        own: Option<&[Segment]>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        // What can't be read here may be whole, so that nothing is known to be missing.
        let unknown: Vec<(&Segment, &String)> =
            self.unknown.iter().filter(|(segment, _)| segment.number >= first.number).collect();
        if !unknown.is_empty() || !self.deep.is_empty() {
            let deep = self.deep.iter().map(|path| format!("{} is too deep", path.display()));
            let faults = unknown.iter().map(|(_, fault)| (*fault).clone()).chain(deep).collect();
            let text = format!("what WAL there is can't be told: {}", some(faults));
            findings.push(Finding::unknown("wal", text));
        }
        let mut holdings = self.holdings(place);
        holdings.segments.extend(unknown.iter().map(|(segment, _)| **segment));
        let faults = if self.deep.is_empty() { holdings.faults(first, own) } else { Vec::new() };
        // That a file is of no use says why it is missing.
        findings.extend(self.unusable_finding(first).map_or(faults, |unusable| vec![unusable]));
        findings
    }

    /// The findings for files from `first` on that can't be used.
    fn unusable_finding(&self, first: Segment) -> Option<Finding> {
        let faults: Vec<String> = self
            .unusable
            .iter()
            .filter(|(segment, _)| segment.number >= first.number)
            .map(|(_, fault)| fault.clone())
            .collect();
        (!faults.is_empty())
            .then(|| Finding::critical("wal", format!("archived WAL is of no use: {}", some(faults))))
    }

    /// Whether every segment from `first` to `last` is there.
    pub(in crate::backup) fn lacking(&self, first: Segment, last: Segment) -> Vec<Segment> {
        let numbers = first.number..=last.number.max(first.number);
        numbers
            .map(|number| Segment { timeline: first.timeline, number })
            .filter(|segment| !self.segments.contains_key(segment))
            .collect()
    }

    /// Whether what `segment` holds up to the place `until` is there: where a timeline was left for another behind it, the other's
    /// segment of that number begins with it, and it may never have been archived by itself.
    pub(in crate::backup) fn holds(&self, segment: Segment, until: u64) -> bool {
        self.segments.contains_key(&segment)
            || self.heirs().any(|(of, turn, _)| of == segment && turn >= until)
    }

    /// Of timelines that were left in the midst of a segment which is not there: that segment, the place, and the file of the next
    /// timeline's.
    fn heirs(&self) -> impl Iterator<Item = (Segment, u64, &PathBuf)> {
        let heir = |(name, path): (&String, &PathBuf)| {
            let next = u32::from_str_radix(name.strip_suffix(".history")?, 16).ok()?;
            let (timeline, turn) = turns(path)?.pop()?;
            let left = Segment::at(timeline, turn, self.segment_bytes);
            let file = self.segments.get(&Segment { timeline: next, ..left })?;
            (!self.segments.contains_key(&left)).then_some((left, turn, file))
        };
        self.histories.iter().filter_map(heir)
    }

    /// How many bytes [`stage`](Self::stage) writes.
    pub(in crate::backup) fn bytes_from(&self, first: Segment) -> u64 {
        let count = self.segments.keys().filter(|segment| segment.number >= first.number).count();
        count as u64 * self.segment_bytes
    }

    /// Copies the segments from `first` on into `folder`, decompressed, as a server asks for them.
    ///
    /// # Errors
    /// When one can't be read to its end.
    pub(in crate::backup) fn stage(
        &self,
        first: Segment,
        folder: &Path,
        meter: &Arc<Meter>,
    ) -> io::Result<()> {
        for (segment, path) in self.segments.iter().filter(|(segment, _)| segment.number >= first.number) {
            unpack(path, &folder.join(segment.name(self.segment_bytes)), meter)?;
        }
        for (segment, _, path) in self.heirs().filter(|(segment, ..)| segment.number >= first.number) {
            unpack(path, &folder.join(segment.name(self.segment_bytes)), meter)?;
        }
        for (name, path) in &self.histories {
            unpack(path, &folder.join(name), meter)?;
        }
        Ok(())
    }

    /// Puts the file `name`, a segment or a history, at `to`, decompressed; false where there is none.
    ///
    /// # Errors
    /// When it can't be read to its end.
    pub(in crate::backup) fn fetch(&self, name: &str, to: &Path, meter: &Arc<Meter>) -> io::Result<bool> {
        let segment = Segment::parse(name, self.segment_bytes);
        let path = match segment.and_then(|segment| self.segments.get(&segment)) {
            Some(path) => path,
            None => match self.histories.get(name) {
                Some(path) => path,
                None => return Ok(false),
            },
        };
        unpack(path, to, meter)?;
        Ok(true)
    }

    /// Reads every segment from `first` on to its end, and compares what its pages say with its name, and with
    /// `system`, the identifier of the cluster that the backup is of.
    pub(in crate::backup) fn check(
        &self,
        first: Segment,
        system: Option<u64>,
        meter: &Arc<Meter>,
    ) -> Result<usize, Finding> {
        let (mut count, mut system) = (0, system);
        for (segment, path) in self.segments.iter().filter(|(segment, _)| segment.number >= first.number) {
            let read = || -> io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                open(path, meter)?.take(self.segment_bytes + 1).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            let shown = path.display();
            let fault = match read() {
                Err(error) => Some(format!("can't be read to its end: {}", error_text(&error))),
                Ok(bytes) => {
                    let fault = page::fault(&bytes, *segment, self.segment_bytes, system);
                    // Where nothing else tells the cluster, the first segment does.
                    system = system.or_else(|| page::system(&bytes));
                    fault
                }
            };
            if let Some(fault) = fault {
                return Err(Finding::critical("wal", format!("archived WAL is damaged: {shown} {fault}")));
            }
            count += 1;
        }
        Ok(count)
    }
}

/// The first of them.
fn some(faults: Vec<String>) -> String {
    let more = faults.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", faults.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join("; "))
}

/// The turns in the history at `path`; none where it can't be read.
fn turns(path: &Path) -> Option<Vec<(u32, u64)>> {
    let mut text = String::new();
    open(path, &Arc::new(Meter::default())).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(super::turns(&text))
}

/// Whether a file is called like a segment with something behind it that is not known here.
fn is_strange(name: &str) -> bool {
    let Some((segment, end)) = name.split_at_checked(24) else { return false };
    let is_usual =
        [".partial", ".tmp", ".backup", ".ready", ".done"].iter().any(|usual| end.ends_with(usual));
    !end.is_empty()
        && !is_usual
        && !end.contains(".backup")
        && Segment::parse(segment, SEGMENT_BYTES).is_some()
}

fn read_head(file: &mut File, head: &mut [u8; 40]) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.take(head.len() as u64).read_to_end(&mut bytes)?;
    head[..bytes.len()].copy_from_slice(&bytes);
    Ok(())
}

/// A file's content, decompressed as it needs, whatever it is called.
fn open(path: &Path, meter: &Arc<Meter>) -> io::Result<Box<dyn io::Read + Send>> {
    let mut head = [0; 40];
    read_head(&mut File::open(path)?, &mut head)?;
    Compression::of(&head).reader(meter.read(File::open(path)?))
}

/// Puts the file `from`, decompressed as it needs, at `to`.
///
/// # Errors
/// When it can't be read to its end.
pub(in crate::backup) fn unpack(from: &Path, to: &Path, meter: &Arc<Meter>) -> io::Result<()> {
    io::copy(&mut open(from, meter)?, &mut File::create(to)?).map(drop)
}

/// A file's name without the suffix of its compression.
fn stem(name: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
