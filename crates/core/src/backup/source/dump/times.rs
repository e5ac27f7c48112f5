//! Times as COPY writes them under `DateStyle = ISO`, which every dump sets: `2026-01-31 02:00:00.5+00`.

use chrono::{DateTime, NaiveDate};

const SECOND: i64 = 1_000_000;

/// What a value says of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// In microseconds since 1970.
    At(i64),
    /// None, an infinite one, or one before all that counts.
    Never,
    /// In a form that tells no moment: without its offset, or not a time.
    Otherwise,
}

/// Reads one.
pub(super) fn read(value: &[u8]) -> Read {
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    if matches!(value, b"\\N" | b"infinity" | b"-infinity") || value.ends_with(b" BC") {
        return Read::Never;
    }
    moment(value).map_or(Read::Otherwise, Read::At)
}

/// The day in UTC.
pub(super) fn day(micros: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(micros).map(|at| at.date_naive())
}

fn moment(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (date, time) = text.split_once(' ')?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let days = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?
    .signed_duration_since(NaiveDate::default())
    .num_days();
    let sign_at = time.find(['+', '-'])?;
    let (clock, offset) = time.split_at(sign_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = seconds(clock)?;
    let micros = if fraction.is_empty() {
        0
    } else {
        number(fraction)? * 10_i64.pow(6_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?)
    };
    let (sign, offset) = offset.split_at(1);
    let shift = seconds_of_offset(offset)? * if sign == "-" { -1 } else { 1 };
    days.checked_mul(86_400)?.checked_add(seconds - shift)?.checked_mul(SECOND)?.checked_add(micros)
}

/// Those of `02:00:00`.
fn seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.splitn(3, ':');
    Some(number(parts.next()?)? * 3600 + number(parts.next()?)? * 60 + number(parts.next()?)?)
}

/// Those of `05`, `05:30` or `05:30:15`.
fn seconds_of_offset(offset: &str) -> Option<i64> {
    let mut parts = offset.splitn(3, ':');
    let hours = number(parts.next()?)?;
    let rest = |part: Option<&str>| part.map_or(Some(0), number);
    Some(hours * 3600 + rest(parts.next())? * 60 + rest(parts.next())?)
}

/// A number in at most nine digits.
fn number(text: &str) -> Option<i64> {
    let is_number = (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.bytes().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offset() {
        for (text, expected) in [
            ("2026-01-31 02:00:00+00", "2026-01-31T02:00:00+00:00"),
            ("2026-01-31 02:00:00.123456+05:30", "2026-01-30T20:30:00.123456+00:00"),
            ("1969-12-31 23:59:59.5-08", "1970-01-01T07:59:59.500+00:00"),
            ("1900-01-01 00:00:00+00:19:32", "1899-12-31T23:40:28+00:00"),
        ] {
            let Read::At(micros) = read(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339(), expected, "{text}");
        }
        for never in ["\\N", "infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "infinity\r"] {
            assert_eq!(read(never.as_bytes()), Read::Never, "{never}");
        }
        for otherwise in [
            "2026-01-31 02:00:00",
            "31/01/2026 02:00:00 CET",
            "2026-01-31",
            "",
            "2026-13-01 00:00:00+00",
            "294277-01-01 00:00:00+00x",
        ] {
            assert_eq!(read(otherwise.as_bytes()), Read::Otherwise, "{otherwise}");
        }
        assert_eq!(day(-1).unwrap().to_string(), "1969-12-31");
    }
}
