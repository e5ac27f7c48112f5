//! A time as PostgreSQL holds it: every one that a `timestamptz` can be, also those that no calendar type here reaches.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueFormat, PgValueRef},
};

/// From 1970 to 2000, from where PostgreSQL counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// A `timestamptz` of somebody else's table, in microseconds: it may be infinite, or of the year 290000. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time, where it is one that can be counted with.
    pub fn at(self) -> Option<DateTime<Utc>> {
        if matches!(self.0, i64::MIN | i64::MAX) {
            return None;
        }
        self.0.checked_add(EPOCH_MICROS).and_then(DateTime::from_timestamp_micros)
    }

    /// As `pattern` says, see [`DateTime::format`]; what it can't say is told as it displays.
    pub fn format(self, pattern: &str) -> String {
        self.at().map_or_else(|| self.to_string(), |at| at.format(pattern).to_string())
    }

    /// Year, month and day, counted from days since 2000 in years that begin in March.
    fn date(self) -> (i64, i64, i64) {
        // To the first of March of the year 0.
        let days = self.0.div_euclid(DAY_MICROS) + 730_425;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let first = (153 * month + 2) / 5;
        let (month, is_next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + is_next, month, day - first + 1)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        // The calendar type's own range is far inside that of microseconds.
        Self(at.timestamp_micros().saturating_sub(EPOCH_MICROS))
    }
}

/// As RFC 3339 writes it, with a sign before a year of more than four digits; `infinity`, `-infinity`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.at()) {
            (i64::MAX, _) => f.pad("infinity"),
            (i64::MIN, _) => f.pad("-infinity"),
            (_, Some(at)) => f.pad(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            (micros, None) => {
                let (year, month, day) = self.date();
                let seconds = micros.rem_euclid(DAY_MICROS) / 1_000_000;
                let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                f.pad(&format!("{year:+05}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
            }
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?))),
            // Only statements without parameters of their own are answered in text.
            PgValueFormat::Text => Err("a time is read in its binary form only".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_that_postgresql_holds_has_a_text() {
        let at = |text: &str| Timestamp::from(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(at("2026-02-01T02:00:00Z").to_string(), "2026-02-01T02:00:00Z");
        assert_eq!(at("2026-02-01T02:00:00.000001Z").to_string(), "2026-02-01T02:00:00.000001Z");
        assert_eq!(at("2026-02-01T02:00:00Z").format("%Y"), "2026");
        assert_eq!(Timestamp(i64::MAX).to_string(), "infinity");
        assert_eq!(Timestamp(i64::MIN).format("%Y"), "-infinity");
        // The last that PostgreSQL takes, and 4713 BC, its first.
        assert_eq!(Timestamp(9_223_371_331_199_999_999).to_string(), "+294276-12-31T23:59:59Z");
        assert_eq!(Timestamp(-211_813_488_000_000_000).to_string(), "-4713-11-24T00:00:00Z");
        assert_eq!(Timestamp(i64::MAX - 1).at(), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        use chrono::Datelike as _;
        for days in (-2_000_000..2_000_000).step_by(977) {
            let time = Timestamp(days * DAY_MICROS + 5);
            let at = time.at().unwrap();
            assert_eq!(time.date(), (at.year().into(), at.month().into(), at.day().into()), "{at}");
        }
    }
}
