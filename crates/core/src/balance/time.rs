//! The times that a person can ask for.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};

/// A time that balances are asked of: an instant, or a day as it ended in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The instant, in whole microseconds as the database has them. Entries at this time count.
    pub at: DateTime<Utc>,
    /// Whether a day was asked for, whose last microsecond this is.
    pub is_day: bool,
}

/// A text is no time that balances can be asked of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsOfError {
    /// It says the hour, and not where.
    #[error(
        "{0:?} has no offset from UTC, so it is another time in each place; write {0}Z for UTC, or an offset such as {0}+02:00"
    )]
    NoOffset(String),
    /// It is nothing that is known.
    #[error(
        "{0:?} is no time; write one with its offset from UTC, such as 2026-03-31T18:00:00+02:00 or 2026-03-31T16:00Z, or a day such as 2026-03-31, which stands for its end in UTC"
    )]
    NoTime(String),
}

/// With an offset: of hours, with minutes or without.
const WITH_OFFSET: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"];
const WITHOUT: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];

impl FromStr for AsOf {
    type Err = AsOfError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || AsOfError::NoTime(text.to_owned());
        // A date is written with four digits and twice two, whatever stands behind it.
        let (day, rest) = text.split_at_checked(10).ok_or_else(wrong)?;
        let is_date = day.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if !is_date {
            return Err(wrong());
        }
        if rest.is_empty() {
            return NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().and_then(end_of).ok_or_else(wrong);
        }
        let rest = rest.strip_prefix(['T', 't', ' ']).ok_or_else(wrong)?;
        let hour = match rest.strip_suffix(['Z', 'z']) {
            Some(hour) => format!("{day}T{hour}+00:00"),
            None => format!("{day}T{rest}"),
        };
        let read = WITH_OFFSET.into_iter().find_map(|form| DateTime::parse_from_str(&hour, form).ok());
        if let Some(at) = read {
            // Of what is finer than the database's times, an entry can only be before it.
            let at = DateTime::from_timestamp_micros(at.timestamp_micros()).ok_or_else(wrong)?;
            return Ok(Self { at, is_day: false });
        }
        let is_local = WITHOUT.into_iter().any(|form| NaiveDateTime::parse_from_str(&hour, form).is_ok());
        Err(if is_local { AsOfError::NoOffset(text.to_owned()) } else { wrong() })
    }
}

/// The last microsecond of a day in UTC.
fn end_of(day: NaiveDate) -> Option<AsOf> {
    let next = day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN).and_utc();
    Some(AsOf { at: next - TimeDelta::microseconds(1), is_day: true })
}

/// As RFC 3339 writes it, in UTC.
impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for AsOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_an_offset_and_days_end_in_utc() {
        for (text, at) in [
            ("2026-03-31T18:00:00+02:00", "2026-03-31T16:00:00Z"),
            ("2026-03-31 18:00:00.25-0330", "2026-03-31T21:30:00.250Z"),
            ("2026-03-31t18:00z", "2026-03-31T18:00:00Z"),
            ("2026-03-31T18:00+02", "2026-03-31T16:00:00Z"),
            ("2026-03-31T23:59:59.9999999Z", "2026-03-31T23:59:59.999999Z"),
            ("2026-02-28", "2026-02-28T23:59:59.999999Z"),
            ("2024-02-29", "2024-02-29T23:59:59.999999Z"),
        ] {
            let read = text.parse::<AsOf>().unwrap();
            assert_eq!((read.to_string().as_str(), read.is_day), (at, text.len() == 10), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_to_write() {
        for text in [
            "",
            "now",
            "2026",
            "2026-3-31",
            "2026-02-29",
            "31.03.2026",
            "2026-03-31T",
            "2026-03-31T25:00Z",
            "2026-03-31TZ",
            "2026-03-31T10:00+99:00",
            "infinity",
            "2026-03-3１",
            "+2026-03-31T10:00Z",
        ] {
            assert_eq!(text.parse::<AsOf>(), Err(AsOfError::NoTime(text.to_owned())), "{text}");
        }
        for text in ["2026-03-31T10:00", "2026-03-31 10:00:00", "2026-03-31T10:00:00.5"] {
            assert_eq!(text.parse::<AsOf>(), Err(AsOfError::NoOffset(text.to_owned())), "{text}");
        }
    }
}
