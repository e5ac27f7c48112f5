//! The pages of WAL: what their headers say, and whether a record is cut off where the WAL ends.

use super::Segment;

/// The size of a page of WAL. Servers that were built with another are not read.
const PAGE_BYTES: usize = 8192;

/// The headers of a segment's first page and of all others, in bytes.
const LONG_HEADER_BYTES: usize = 40;
const SHORT_HEADER_BYTES: usize = 24;

/// A record's header, in bytes.
const RECORD_HEADER_BYTES: u64 = 24;

/// A page begins with the rest of a record that the page before it ends in.
const IS_CONTINUED: u16 = 1;

/// A segment's first page has the long header.
const IS_LONG: u16 = 2;

/// All pages of PostgreSQL's WAL begin with `D0` or `D1` and a number of the version.
const MAGIC: std::ops::RangeInclusive<u16> = 0xD000..=0xD1FF;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The size of its segments that a segment's `head` tells.
pub(super) fn segment_bytes(head: &[u8]) -> Option<u64> {
    let is_long = u16_at(head, 2)? & IS_LONG != 0 && MAGIC.contains(&u16_at(head, 0)?);
    let bytes = u64::from(u32_at(head, 32)?);
    (is_long && bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes)).then_some(bytes)
}

/// The identifier of the cluster that a segment's `head` tells.
pub(super) fn system(head: &[u8]) -> Option<u64> {
    segment_bytes(head)?;
    u64_at(head, 24)
}

/// What is wrong with the pages of `bytes`, which should be `segment`, of the cluster `system`.
pub(in crate::backup) fn fault(
    bytes: &[u8],
    segment: Segment,
    segment_bytes: u64,
    system: Option<u64>,
) -> Option<String> {
    if bytes.len() as u64 != segment_bytes {
        return Some(format!("has {} bytes, and not {segment_bytes}", bytes.len()));
    }
    let start = segment.number * segment_bytes;
    for (number, page) in bytes.chunks(PAGE_BYTES).enumerate() {
        let at = (number * PAGE_BYTES) as u64;
        let magic = u16_at(page, 0)?;
        // What lies behind a switch of segments is all zeros.
        if number > 0 && magic == 0 && bytes[number * PAGE_BYTES..].iter().all(|byte| *byte == 0) {
            return None;
        }
        if !MAGIC.contains(&magic) {
            return Some(format!("has no page of WAL at byte {at}"));
        }
        if number == 0 {
            let found = u64_at(page, 24)?;
            if let Some(system) = system
                && system != found
            {
                return Some(format!(
                    "is of another cluster: its system identifier is {found}, and the backup's is {system}"
                ));
            }
        }
        let (timeline, address) = (u32_at(page, 4)?, u64_at(page, 8)?);
        if address != start + at || timeline > segment.timeline {
            return Some(format!(
                "is not what its name says: at byte {at} it has a page of timeline {timeline} for {}",
                super::lsn_text(address)
            ));
        }
    }
    None
}

/// Whether the WAL from byte `at` of `segment` on is a record that goes on behind the last of `segments` segments: what
/// is left where nothing is damaged, and no more is there.
pub(super) fn is_cut_off_record(segment: &[u8], at: usize, segments: u64) -> bool {
    let header = |page_at: usize| if page_at == 0 { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
    // A record begins behind a page's header.
    let at = if at.is_multiple_of(PAGE_BYTES) { at + header(at) } else { at };
    let Some(length) = u32_at(segment, at).map(u64::from) else { return false };
    let page_end = (at / PAGE_BYTES + 1) * PAGE_BYTES;
    let on_page = (page_end - at) as u64;
    let pages_left = (segment.len().saturating_sub(page_end) / PAGE_BYTES) as u64;
    let pages_more = segments.saturating_sub(1) * (segment.len() / PAGE_BYTES) as u64;
    let headers = (pages_left + pages_more) * SHORT_HEADER_BYTES as u64
        + segments.saturating_sub(1) * (LONG_HEADER_BYTES - SHORT_HEADER_BYTES) as u64;
    let room = on_page + (pages_left + pages_more) * PAGE_BYTES as u64 - headers;
    if length < RECORD_HEADER_BYTES || length <= room {
        return false;
    }
    // The next page tells by itself how much of the record is to come.
    match segment.get(page_end..page_end + SHORT_HEADER_BYTES) {
        None => true,
        Some(next) => {
            u16_at(next, 2).is_some_and(|info| info & IS_CONTINUED != 0)
                && u32_at(next, 16).is_some_and(|rest| u64::from(rest) == length - on_page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: usize = 1 << 20;

    fn segment() -> Vec<u8> {
        let mut bytes = vec![0; SEGMENT_BYTES];
        for page in 0..SEGMENT_BYTES / PAGE_BYTES {
            let at = page * PAGE_BYTES;
            bytes[at..at + 2].copy_from_slice(&0xD110_u16.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&1_u32.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&((3 * SEGMENT_BYTES + at) as u64).to_le_bytes());
        }
        bytes[2] = 2;
        bytes[24..32].copy_from_slice(&77_u64.to_le_bytes());
        bytes[32..36].copy_from_slice(&(SEGMENT_BYTES as u32).to_le_bytes());
        bytes
    }

    #[test]
    fn pages_are_held_against_the_name() {
        let (whole, three) = (segment(), Segment { timeline: 1, number: 3 });
        let fault = |bytes: &[u8], segment, system| fault(bytes, segment, SEGMENT_BYTES as u64, system);
        assert_eq!(segment_bytes(&whole), Some(SEGMENT_BYTES as u64));
        assert_eq!(fault(&whole, three, Some(77)), None);
        assert!(fault(&whole, three, Some(78)).unwrap().contains("another cluster"));
        assert!(fault(&whole, Segment { timeline: 1, number: 4 }, None).unwrap().contains("its name"));
        assert!(fault(&whole[1..], three, None).unwrap().contains("bytes"));
        let mut switched = whole.clone();
        switched[5 * PAGE_BYTES..].fill(0);
        assert_eq!(fault(&switched, three, Some(77)), None);
        switched[9 * PAGE_BYTES] = 1;
        assert!(fault(&switched, three, None).unwrap().contains("no page of WAL at byte 40960"));
    }

    #[test]
    fn a_record_that_goes_on_behind_the_end_is_told_from_damage() {
        let mut bytes = segment();
        let at = SEGMENT_BYTES - 100;
        bytes[at..at + 4].copy_from_slice(&101_u32.to_le_bytes());
        assert!(is_cut_off_record(&bytes, at, 1));
        // With the segment behind it, it would be whole.
        assert!(!is_cut_off_record(&bytes, at, 2));
        bytes[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
        assert!(!is_cut_off_record(&bytes, at, 1));
        bytes[at..at + 4].fill(0);
        assert!(!is_cut_off_record(&bytes, at, 1));
        // A long one goes on on the next page, which must know of it.
        let (at, length) = (SEGMENT_BYTES - PAGE_BYTES - 1000, 20_000_u32);
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        assert!(!is_cut_off_record(&bytes, at, 1));
        let next = SEGMENT_BYTES - PAGE_BYTES;
        bytes[next + 2..next + 4].copy_from_slice(&1_u16.to_le_bytes());
        bytes[next + 16..next + 20].copy_from_slice(&(length - 1000).to_le_bytes());
        assert!(is_cut_off_record(&bytes, at, 1));
    }
}
