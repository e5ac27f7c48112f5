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
const FOREIGN: [(&[u8], &str); 3] = [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x5d\0\0", "lzma")];

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
}

/// A file that is called like a segment.
struct Named {
    name: String,
    path: PathBuf,
    head: [u8; 40],
    bytes: u64,
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
        let told = named.iter().find_map(|file| page::segment_bytes(&file.head));
        let unpacked = || {
            let file = named.iter().find(|file| Compression::of(&file.head) != Compression::None)?;
            let mut head = Vec::new();
            open(&file.path, &Arc::new(Meter::default())).ok()?.take(40).read_to_end(&mut head).ok()?;
            page::segment_bytes(&head)
        };
        if let Some(bytes) = told.or_else(unpacked) {
            archive.segment_bytes = bytes;
        }
        for file in named {
            let Some(segment) = Segment::parse(&file.name, archive.segment_bytes) else { continue };
            match archive.fault(&file) {
                None => {
                    archive.unusable.remove(&segment);
                    archive.segments.insert(segment, file.path);
                }
                // Another file of the same segment may be whole.
                Some(_) if archive.segments.contains_key(&segment) => {}
                Some(fault) => {
                    archive.unusable.insert(segment, fault);
                }
            }
        }
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
            let mut bytes = 0;
            if let Ok(metadata) = path.metadata() {
                bytes = metadata.len();
                self.newest_at = self.newest_at.max(metadata.modified().ok().map(DateTime::from));
            }
            if let Ok(mut file) = File::open(&path) {
                // A file that can't be read is found so where it is used.
                let _ = read_head(&mut file, &mut head);
            }
            named.push(Named { name, path, head, bytes });
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
        if let Some((_, form)) = FOREIGN.iter().find(|(magic, _)| file.head.starts_with(magic)) {
            return Some(format!(
                "{shown} is compressed by {form}, which is not read here; archive it plain or by gzip, Zstandard or LZ4"
            ));
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
        }
    }

    /// The findings for files from `first` on that can't be used.
    pub(in crate::backup) fn unusable_finding(&self, first: Segment) -> Option<Finding> {
        let faults: Vec<&String> = self
            .unusable
            .iter()
            .filter(|(segment, _)| segment.number >= first.number)
            .map(|(_, fault)| fault)
            .collect();
        (!faults.is_empty()).then(|| {
            let named: Vec<String> = faults.iter().take(NAMED_MAX).map(|fault| (*fault).clone()).collect();
            let more = faults.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            Finding::critical("wal", format!("archived WAL is of no use: {}{more}", named.join("; ")))
        })
    }

    /// Whether every segment from `first` to `last` is there.
    pub(in crate::backup) fn lacking(&self, first: Segment, last: Segment) -> Vec<Segment> {
        let numbers = first.number..=last.number.max(first.number);
        numbers
            .map(|number| Segment { timeline: first.timeline, number })
            .filter(|segment| !self.segments.contains_key(segment))
            .collect()
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
            copy_plain(path, &folder.join(segment.name(self.segment_bytes)), meter)?;
        }
        for (name, path) in &self.histories {
            copy_plain(path, &folder.join(name), meter)?;
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
        copy_plain(path, to, meter)?;
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
        let mut count = 0;
        for (segment, path) in self.segments.iter().filter(|(segment, _)| segment.number >= first.number) {
            let read = || -> io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                open(path, meter)?.take(self.segment_bytes + 1).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            let shown = path.display();
            let fault = match read() {
                Err(error) => Some(format!("can't be read to its end: {}", error_text(&error))),
                Ok(bytes) => page::fault(&bytes, *segment, self.segment_bytes, system),
            };
            if let Some(fault) = fault {
                return Err(Finding::critical("wal", format!("archived WAL is damaged: {shown} {fault}")));
            }
            count += 1;
        }
        Ok(count)
    }
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

fn copy_plain(from: &Path, to: &Path, meter: &Arc<Meter>) -> io::Result<()> {
    io::copy(&mut open(from, meter)?, &mut File::create(to)?).map(drop)
}

/// A file's name without the suffix of its compression.
fn stem(name: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
