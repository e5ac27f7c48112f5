//! The ends of periods, as a person names them.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::balance::time::AsOf;

/// The time before which entries are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until(pub DateTime<Utc>);

/// The same as the configuration says it: a day is its beginning in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before(pub Until);

impl<'de> Deserialize<'de> for Before {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: AsOf = text.parse().map_err(|_| {
            de::Error::custom(format!(
                "{text:?} is no time; write the day before which entries are closed, such as \"2026-10-01\", or the time with its offset from UTC"
            ))
        })?;
        let day = at.at.date_naive().and_time(NaiveTime::MIN).and_utc();
        Ok(Self(Until(if at.is_day { day } else { at.at })))
    }
}

/// A text is the end of no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no period; write a month such as 2026-10 or a day such as 2026-10-31, which are closed to their ends in UTC, or the time before which entries are closed, with its offset from UTC, such as 2026-11-01T00:00+01:00"
)]
pub struct UntilError(String);

impl FromStr for Until {
    type Err = UntilError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UntilError(text.to_owned());
        let start = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        if text.len() == "2026-10".len() {
            let day: AsOf = format!("{text}-01").parse().map_err(|_| wrong())?;
            let next = day.at.date_naive().checked_add_months(Months::new(1)).ok_or_else(wrong)?;
            return Ok(Self(start(next)));
        }
        let at: AsOf = text.parse().map_err(|_| wrong())?;
        if !at.is_day {
            return Ok(Self(at.at));
        }
        let next = at.at.date_naive().checked_add_days(Days::new(1)).ok_or_else(wrong)?;
        Ok(Self(start(next)))
    }
}

/// As RFC 3339 writes it, in UTC.
impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_end_in_utc_and_times_have_an_offset() {
        for (text, end) in [
            ("2026-10", "2026-11-01T00:00:00Z"),
            ("2026-12", "2027-01-01T00:00:00Z"),
            ("2026-02-28", "2026-03-01T00:00:00Z"),
            ("2026-11-01T00:00+01:00", "2026-10-31T23:00:00Z"),
        ] {
            assert_eq!(text.parse::<Until>().unwrap().to_string(), end, "{text}");
        }
        for text in ["", "2026", "2026-13", "10-2026", "2026-10-15T00:00", "october", "2026-1１"] {
            assert_eq!(text.parse::<Until>(), Err(UntilError(text.to_owned())), "{text}");
        }
    }
}
