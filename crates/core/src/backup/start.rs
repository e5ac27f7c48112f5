//! When a backup began.
//!
//! An archive's header and a file's name tell the time on the clock of the machine that pg_dump ran on, without
//! its time zone; the file system tells when the file was last written, which is when pg_dump ended unless the
//! file was copied or touched since. The rules, in this order:
//!
//! 1. The told time is read in this machine's zone (`TZ`). Where that is not after the last write, it counts: a
//!    copy or a `touch` makes no backup younger.
//! 2. Where it is after the last write, but another zone would put it right before (zones lie up to 26 hours
//!    apart), it counts in the nearest such zone.
//! 3. Else the time of the last write counts: somebody set it back, or the clock was wrong; the older one is taken.

use chrono::{
    DateTime, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use serde::Serialize;

/// What differs by less is the same moment on two clocks.
const SLACK: TimeDelta = TimeDelta::minutes(5);

/// Time zones differ by a multiple of this.
const ZONE_STEP: TimeDelta = TimeDelta::minutes(15);

/// From UTC-12 to UTC+14.
const ZONES_APART_MAX: TimeDelta = TimeDelta::hours(26);

/// What told a backup's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedFrom {
    /// The archive's header.
    Header,
    /// The date and time in its name.
    Name,
    /// The file's last write, which is the backup's end.
    Modified,
    /// Its tool, in UTC.
    Tool,
}

/// When a backup began, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) at: DateTime<Utc>,
    pub(super) from: StartedFrom,
}

/// The start that a header tells.
pub(super) fn from_header<Z: TimeZone>(
    zone: &Z,
    created: NaiveDateTime,
    daylight_saving: bool,
    modified: DateTime<Utc>,
) -> Start {
    let told = match zone.from_local_datetime(&created) {
        MappedLocalTime::Single(at) => at.to_utc(),
        // The hour that a clock set back shows twice: first with daylight saving time, then without. Not every
        // zone's data give the earlier one first.
        MappedLocalTime::Ambiguous(one, other) => {
            let (one, other) = (one.to_utc(), other.to_utc());
            if daylight_saving { one.min(other) } else { one.max(other) }
        }
        // The hour that a clock set forward never shows: another zone's.
        MappedLocalTime::None => created.and_utc(),
    };
    let at = place_before(told, modified);
    Start { at: at.unwrap_or(modified), from: at.map_or(StartedFrom::Modified, |_| StartedFrom::Header) }
}

/// The start that a file's name tells, such as `stock-2026-01-31_0200.sql`, else its last write.
pub(super) fn from_name<Z: TimeZone>(zone: &Z, name: &str, modified: DateTime<Utc>) -> Start {
    let at = match date_and_time(name) {
        None => None,
        Some((date, Some(time), true)) => Some(date.and_time(time).and_utc())
            .filter(|at| *at <= modified + SLACK)
            .map(|at| at.min(modified)),
        Some((date, Some(time), false)) => {
            let told = zone.from_local_datetime(&date.and_time(time));
            place_before(told.earliest().map_or(date.and_time(time).and_utc(), |at| at.to_utc()), modified)
        }
        // A date alone: the last moment of that day, so that no backup is called older than it may be.
        Some((date, None, _)) => date
            .checked_add_days(Days::new(1))
            .and_then(|next| zone.from_local_datetime(&next.and_time(NaiveTime::MIN)).earliest())
            .map(|end| end.to_utc())
            .filter(|end| *end < modified),
    };
    Start { at: at.unwrap_or(modified), from: at.map_or(StartedFrom::Modified, |_| StartedFrom::Name) }
}

/// `told`, moved by whole time zones until it is not after `modified`; none if no zone does it.
fn place_before(told: DateTime<Utc>, modified: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut at = told;
    while at > modified + SLACK {
        at -= ZONE_STEP;
        if told - at > ZONES_APART_MAX {
            return None;
        }
    }
    // Two clocks that differ a little make no backup younger than its last byte.
    Some(at.min(modified))
}

/// Finds `20260131`, `2026-01-31`, with `0200`, `02-00-00` and the like behind it, and whether `Z` ends it.
fn date_and_time(name: &str) -> Option<(NaiveDate, Option<NaiveTime>, bool)> {
    let bytes = name.as_bytes();
    let begins = (0..bytes.len())
        .filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit()));
    begins.into_iter().find_map(|at| read_date_and_time(&bytes[at..]))
}

fn read_date_and_time(bytes: &[u8]) -> Option<(NaiveDate, Option<NaiveTime>, bool)> {
    let mut digits = Vec::new();
    let mut rest = bytes;
    while digits.len() < 14 {
        match rest {
            [digit @ b'0'..=b'9', tail @ ..] => {
                digits.push(u32::from(digit - b'0'));
                rest = tail;
            }
            [b'-' | b'_' | b'.' | b':' | b'T' | b't' | b' ', b'0'..=b'9', ..] => rest = &rest[1..],
            _ => break,
        }
    }
    let number =
        |from: usize, to: usize| Some(digits.get(from..to)?.iter().fold(0, |all, digit| all * 10 + digit));
    let year = i32::try_from(number(0, 4)?).ok().filter(|year| (1990..2200).contains(year))?;
    let date = NaiveDate::from_ymd_opt(year, number(4, 6)?, number(6, 8)?)?;
    let time = (|| NaiveTime::from_hms_opt(number(8, 10)?, number(10, 12)?, number(12, 14).unwrap_or(0)))();
    Some((date, time, matches!(rest.first(), Some(b'Z' | b'z'))))
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn header(offset_hours: i32, created: &str, modified: &str) -> (DateTime<Utc>, StartedFrom) {
        let zone = FixedOffset::east_opt(offset_hours * 3600).unwrap();
        let start = from_header(&zone, created.parse().unwrap(), false, utc(modified));
        (start.at, start.from)
    }

    fn name(name: &str, modified: &str) -> (DateTime<Utc>, StartedFrom) {
        let start = from_name(&Utc, name, utc(modified));
        (start.at, start.from)
    }

    #[test]
    fn a_header_is_read_in_this_machines_zone() {
        let expected = (utc("2026-01-31T01:00:00Z"), StartedFrom::Header);
        assert_eq!(header(0, "2026-01-31T01:00:00", "2026-01-31T01:40:00Z"), expected);
        assert_eq!(header(2, "2026-01-31T03:00:00", "2026-01-31T01:40:00Z"), expected);
    }

    #[test]
    fn a_touched_or_copied_file_is_as_old_as_its_header() {
        let expected = (utc("2026-01-01T01:00:00Z"), StartedFrom::Header);
        assert_eq!(header(0, "2026-01-01T01:00:00", "2026-01-31T01:40:00Z"), expected);
    }

    #[test]
    fn a_header_from_another_zone_is_not_from_the_future() {
        let expected = (utc("2026-01-31T01:30:00Z"), StartedFrom::Header);
        // Tokyo's clock; 01:30 is the last quarter of an hour before the file was written.
        assert_eq!(header(0, "2026-01-31T10:00:00", "2026-01-31T01:30:00Z"), expected);
    }

    #[test]
    fn a_file_set_back_counts_as_old() {
        let expected = (utc("2026-01-29T01:40:00Z"), StartedFrom::Modified);
        assert_eq!(header(0, "2026-01-31T01:00:00", "2026-01-29T01:40:00Z"), expected);
    }

    #[test]
    fn a_name_tells_the_start() {
        for text in [
            "stock-2026-01-31T02-00-00.sql",
            "20260131_0200.sql.gz",
            "db1.2026-01-31 02:00.dump",
            "x_20260131T020000Z",
        ] {
            assert_eq!(
                name(text, "2026-01-31T02:10:00Z"),
                (utc("2026-01-31T02:00:00Z"), StartedFrom::Name),
                "{text}"
            );
        }
        // A date alone is the whole day.
        assert_eq!(name("db-2026-01-31.sql", "2026-01-31T02:10:00Z").1, StartedFrom::Modified);
        assert_eq!(
            name("db-2026-01-29.sql", "2026-01-31T02:10:00Z"),
            (utc("2026-01-30T00:00:00Z"), StartedFrom::Name)
        );
        for text in ["stock.sql", "backup_12345678.sql", "db-1767139200.sql", "v1990", "99999999"] {
            assert_eq!(name(text, "2026-01-31T02:10:00Z").1, StartedFrom::Modified, "{text}");
        }
    }
}
