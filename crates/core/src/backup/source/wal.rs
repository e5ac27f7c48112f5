//! WAL segments: their names, and which of a series are missing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    backup::{Compression, Finding, duration_text, meter::Meter},
    config::BackupSource,
};

/// The usual size of a segment, in bytes.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;

/// How many missing segments are named.
const NAMED_MAX: usize = 3;

/// A segment of WAL: its timeline, and its place among all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) timeline: u32,
    pub(super) number: u64,
}

impl Segment {
    /// Reads `000000010000000000000002`.
    pub(super) fn parse(name: &str, segment_bytes: u64) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let part = |from: usize| u64::from_str_radix(&name[from..from + 8], 16).ok();
        let (timeline, high, low) = (part(0)?, part(8)?, part(16)?);
        let number = high.checked_mul(per_high(segment_bytes))?.checked_add(low)?;
        Some(Self { timeline: u32::try_from(timeline).ok()?, number })
    }

    /// The one that holds `lsn`, written like `0/2000028`.
    pub(super) fn of_lsn(timeline: u32, lsn: &str, segment_bytes: u64) -> Option<Self> {
        let (high, low) = lsn.split_once('/')?;
        let place = u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?;
        Some(Self { timeline, number: place / segment_bytes })
    }

    /// Its file's name.
    pub(super) fn name(self, segment_bytes: u64) -> String {
        let per_high = per_high(segment_bytes);
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / per_high, self.number % per_high)
    }
}

fn per_high(segment_bytes: u64) -> u64 {
    ((1 << 32) / segment_bytes).max(1)
}

/// The numbers that are missing between `first` and the last of `segments`; on which timeline a segment is does not
/// matter, since a recovery goes on to the newest.
pub(super) fn missing(segments: &[Segment], first: Segment) -> Vec<Segment> {
    let mut numbers: Vec<u64> = segments
        .iter()
        .filter(|segment| segment.timeline >= first.timeline && segment.number >= first.number)
        .map(|segment| segment.number)
        .collect();
    numbers.sort_unstable();
    let mut missing = Vec::new();
    let mut expected = first.number;
    for number in numbers {
        // A series that breaks off for long is told by its beginning.
        missing.extend((expected..number).take(100).map(|number| Segment { number, ..first }));
        expected = number + 1;
    }
    if expected == first.number {
        missing.push(first);
    }
    missing
}

/// The finding for missing segments, none when none is.
pub(super) fn missing_finding(missing: &[Segment], segment_bytes: u64, of: &str) -> Option<Finding> {
    let named: Vec<String> =
        missing.iter().take(NAMED_MAX).map(|segment| segment.name(segment_bytes)).collect();
    let more = if missing.len() > NAMED_MAX { ", and more" } else { "" };
    (!missing.is_empty()).then(|| {
        let text =
            format!("WAL is missing in {of}, so that a recovery ends there: {}{more}", named.join(", "));
        Finding::critical("wal", text)
    })
}

/// The finding for a last archived segment of `at` that is too old by the source's `max_wal_age`.
pub(super) fn age_finding(
    source: &BackupSource,
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let limit = source.max_wal_age?;
    let Some(at) = at else {
        return Some(Finding::critical("wal", "no WAL was ever archived"));
    };
    let age = (now - at).max(TimeDelta::zero()).to_std().unwrap_or_default();
    (age > limit).then(|| {
        let (age, limit) = (duration_text(age), duration_text(limit));
        Finding::critical(
            "wal",
            format!("the last WAL was archived {age} ago, more than max_wal_age ({limit})"),
        )
    })
}

/// A folder that WAL is archived to.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// The segments, each with its file.
    pub(super) segments: BTreeMap<Segment, PathBuf>,
    /// The files that tell of new timelines.
    histories: Vec<PathBuf>,
    /// The size of a segment.
    pub(super) segment_bytes: u64,
    /// When the last segment was written.
    pub(super) newest_at: Option<DateTime<Utc>>,
}

impl Archive {
    /// One in which there is nothing.
    pub(super) fn empty() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, ..Self::default() }
    }

    /// Looks at the files in `folder`, compressed ones included.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut archive = Self::empty();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if !metadata.is_file() {
                continue;
            }
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = stem(&file).to_owned();
            if name.ends_with(".history") {
                archive.histories.push(entry.path());
            } else if Segment::parse(&name, SEGMENT_BYTES).is_some() {
                if name == file && metadata.len() > 0 {
                    archive.segment_bytes = metadata.len();
                }
                let at = DateTime::from(metadata.modified()?);
                archive.newest_at = archive.newest_at.max(Some(at));
                files.push((name, entry.path()));
            }
        }
        for (name, path) in files {
            if let Some(segment) = Segment::parse(&name, archive.segment_bytes) {
                archive.segments.insert(segment, path);
            }
        }
        Ok(archive)
    }

    /// Whether every segment from `first` to `last` is there.
    pub(super) fn lacking(&self, first: Segment, last: Segment) -> Vec<Segment> {
        let numbers = first.number..=last.number.max(first.number);
        numbers
            .map(|number| Segment { timeline: first.timeline, number })
            .filter(|segment| !self.segments.contains_key(segment))
            .collect()
    }

    /// How many bytes [`stage`](Self::stage) writes.
    pub(super) fn bytes_from(&self, first: Segment) -> u64 {
        let count = self.segments.keys().filter(|segment| segment.number >= first.number).count();
        count as u64 * self.segment_bytes
    }

    /// Copies the segments from `first` on into `folder`, decompressed, as a server asks for them.
    ///
    /// # Errors
    /// When one can't be read to its end.
    pub(super) fn stage(&self, first: Segment, folder: &Path, meter: &Arc<Meter>) -> io::Result<()> {
        let segments = self.segments.iter().filter(|(segment, _)| segment.number >= first.number);
        let files = segments.map(|(_, path)| path).chain(&self.histories);
        for path in files {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            copy_plain(path, &folder.join(stem(&file)), meter)?;
        }
        Ok(())
    }
}

/// Copies `from` to `to`, decompressed where its name says that it is compressed.
fn copy_plain(from: &Path, to: &Path, meter: &Arc<Meter>) -> io::Result<()> {
    let file = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let compression = match file.rsplit('.').next() {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        Some("lz4") => Compression::Lz4,
        _ => Compression::None,
    };
    let mut source = compression.reader(meter.read(File::open(from)?))?;
    io::copy(&mut source, &mut File::create(to)?).map(drop)
}

/// A file's name without the suffix of its compression.
fn stem(name: &str) -> &str {
    [".gz", ".zst", ".lz4"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str) -> Segment {
        Segment::parse(name, SEGMENT_BYTES).unwrap()
    }

    #[test]
    fn names_are_read_and_written() {
        let name = "000000020000000A000000FF";
        let found = segment(name);
        assert_eq!((found.timeline, found.number), (2, 0xAFF));
        assert_eq!(found.name(SEGMENT_BYTES), name);
        assert_eq!(Segment::of_lsn(2, "A/FF000028", SEGMENT_BYTES), Some(found));
        let small = Segment::parse("0000000100000001000003FF", 4 << 20).unwrap();
        assert_eq!(small.number, 0x7FF);
        for no_name in ["00000001", "00000001000000000000000G", "000000010000000000000001.partial"] {
            assert_eq!(Segment::parse(no_name, SEGMENT_BYTES), None, "{no_name}");
        }
    }

    #[test]
    fn gaps_are_found_across_timelines() {
        let first = segment("000000010000000000000002");
        let series = |names: &[&str]| names.iter().map(|name| segment(name)).collect::<Vec<_>>();
        let (two, three) = ("000000010000000000000002", "000000010000000000000003");
        assert_eq!(missing(&series(&[two, three]), first), []);
        assert_eq!(
            missing(&series(&[two, three, "000000020000000000000003", "000000020000000000000004"]), first),
            []
        );
        assert_eq!(missing(&series(&[two, "000000010000000000000004"]), first), series(&[three]));
        assert_eq!(missing(&series(&[three]), first), series(&[two]));
        assert_eq!(missing(&[], first), series(&[two]));
        assert_eq!(missing(&series(&["000000010000000000000001"]), first), series(&[two]));
    }
}
