//! WAL segments: their names, which of a series are missing, and what an archive holds of them.

mod archive;
mod holdings;
mod page;
mod state;

use chrono::{DateTime, TimeDelta, Utc};

pub(in crate::backup) use archive::{Archive, unpack};
pub(in crate::backup) use holdings::{Ended, Holdings};
pub(in crate::backup) use page::fault;
pub(in crate::backup) use state::Begin;
pub use state::{Gap, WalState};

use super::{BackupSource, Finding, duration_text};

/// The usual size of a segment, in bytes.
pub(in crate::backup) const SEGMENT_BYTES: u64 = 16 << 20;

/// How many missing segments are named.
const NAMED_MAX: usize = 3;

/// A segment of WAL: its timeline, and its place among all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::backup) struct Segment {
    pub(in crate::backup) timeline: u32,
    pub(in crate::backup) number: u64,
}

impl Segment {
    /// Reads `000000010000000000000002`.
    pub(in crate::backup) fn parse(name: &str, segment_bytes: u64) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let part = |from: usize| u64::from_str_radix(&name[from..from + 8], 16).ok();
        let (timeline, high, low) = (part(0)?, part(8)?, part(16)?);
        let number = high.checked_mul(per_high(segment_bytes))?.checked_add(low)?;
        // No place in WAL lies behind one that ends where places do.
        number.checked_add(1)?.checked_mul(segment_bytes)?;
        Some(Self { timeline: u32::try_from(timeline).ok()?, number })
    }

    /// The one that holds `lsn`, written like `0/2000028`.
    pub(in crate::backup) fn of_lsn(timeline: u32, lsn: &str, segment_bytes: u64) -> Option<Self> {
        Some(Self::at(timeline, lsn_of(lsn)?, segment_bytes))
    }

    /// The one that holds the byte at `lsn`.
    pub(in crate::backup) fn at(timeline: u32, lsn: u64, segment_bytes: u64) -> Self {
        Self { timeline, number: lsn / segment_bytes }
    }

    /// Its file's name.
    pub(in crate::backup) fn name(self, segment_bytes: u64) -> String {
        let per_high = per_high(segment_bytes);
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / per_high, self.number % per_high)
    }
}

/// The size of the segments of which the one that is called `name` holds the byte at `lsn`; the usual one where that may be,
/// or nothing fits.
pub(in crate::backup) fn bytes_of_segments(name: &str, lsn: u64) -> u64 {
    let holds = |bytes: &u64| {
        let segment = Segment::parse(name, *bytes);
        segment.is_some_and(|segment| Segment::at(segment.timeline, lsn, *bytes) == segment)
    };
    let sizes = [SEGMENT_BYTES].into_iter().chain((20..=30).map(|power| 1 << power));
    sizes.into_iter().find(holds).unwrap_or(SEGMENT_BYTES)
}

/// The turns that a history tells: each timeline and where it was left (`1\t0/5000000\tno recovery target`).
pub(in crate::backup) fn turns(history: &str) -> Vec<(u32, u64)> {
    let turn = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, lsn_of(words.next()?)?))
    };
    history.lines().filter_map(turn).collect()
}

/// A place in WAL as people write it, `0/2000028`.
pub(in crate::backup) fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// The place in WAL that `text` writes like `0/2000028`.
pub(in crate::backup) fn lsn_of(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

/// The words for `count` segments whose pages were read.
pub(in crate::backup) fn page_note(count: usize) -> String {
    format!("the pages of {count} archived segments of WAL are what their names say")
}

fn per_high(segment_bytes: u64) -> u64 {
    ((1 << 32) / segment_bytes).max(1)
}

/// The numbers that are missing between `first` and the last of `segments`; on which timeline a segment is does not
/// matter, since a recovery goes on to the newest.
pub(in crate::backup) fn missing(segments: &[Segment], first: Segment) -> Vec<Segment> {
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
pub(in crate::backup) fn missing_finding(
    missing: &[Segment],
    segment_bytes: u64,
    of: &str,
) -> Option<Finding> {
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
pub(in crate::backup) fn age_finding(
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
        assert_eq!(bytes_of_segments(name, lsn_of("A/FF000028").unwrap()), SEGMENT_BYTES);
        assert_eq!(bytes_of_segments("000000010000000A00000003", lsn_of("A/C0000028").unwrap()), 1 << 30);
        assert_eq!(
            turns("1\t0/5000000\tno recovery target\n\n2\t1/A0\tx\n"),
            [(1, 0x500_0000), (2, 0x1_0000_00A0)]
        );
        for no_name in [
            "00000001",
            "00000001000000000000000G",
            "000000010000000000000001.partial",
            "00000001FFFFFFFF000000FF",
        ] {
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
