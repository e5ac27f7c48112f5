//! Whose rows a dump holds: which organizations, and how many entries of the ledger each has of each day.

use std::{collections::BTreeSet, mem};

use chrono::{DateTime, NaiveDate, Utc};

use super::{parents::identifier, times};
use crate::{
    backup::{
        Backup,
        reading::{Contents, Owners, TRANSACTION_MAX},
    },
    mapping::Mapping,
    sql::QualifiedName,
};

/// A schema and a name.
type Key = (String, String);

/// The column of the organizations' table that names one.
const ID: &str = "id";

/// The tables whose rows are looked at, and the column that says whose one is.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    ledger: Key,
    organizations: Key,
    org_column: String,
    /// The column that says when an entry was made, where it is one.
    time_column: Option<String>,
    /// Entries from before then are counted by day.
    before: DateTime<Utc>,
}

/// The column with the transaction that made an entry.
const TRANSACTION: &str = "stockfoil_tx";

impl Watched {
    pub(super) fn of(mapping: &Mapping, backup: &Backup) -> Self {
        let key = |table: &QualifiedName| (table.schema.as_str().to_owned(), table.name.as_str().to_owned());
        Self {
            ledger: key(&mapping.ledger()),
            organizations: key(&mapping.organizations()),
            org_column: mapping.org_column().as_str().to_owned(),
            time_column: mapping.ledger_time().map(|column| column.as_str().to_owned()),
            before: backup.started_at - TRANSACTION_MAX,
        }
    }
}

/// What is told so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// None where nobody asks.
    watched: Option<Watched>,
    owners: Owners,
    /// Whether there are entries that don't tell whose they are: rows as INSERT, or without the column.
    is_blind: bool,
    /// Whether there are some that don't tell their day.
    is_timeless: bool,
    /// The last transaction of which there is an entry, and the newest time of one.
    last_transaction: Option<i64>,
    newest: Option<i64>,
    /// The table whose rows are being read, and which of their values count.
    at: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Ledger,
    Organizations,
}

/// Which of a row's values count, from 0 on.
#[derive(Debug, Clone, Copy)]
struct At {
    which: Which,
    owner: usize,
    time: Option<usize>,
    transaction: Option<usize>,
}

impl Tally {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched: Some(watched), ..Self::default() }
    }

    /// Whether the rows that are being read are wanted.
    pub(super) fn is_on(&self) -> bool {
        self.at.is_some()
    }

    /// The rows of `table` begin, which the statement `copy` reads; `contents` tells whose partition it is.
    pub(super) fn begin(&mut self, table: &Key, contents: &Contents, copy: &str) {
        self.at = None;
        let Some((which, column)) = self.which(table, contents) else { return };
        let time_column = self.watched.as_ref().and_then(|watched| watched.time_column.as_ref());
        let time = time_column.filter(|_| which == Which::Ledger).and_then(|column| position(copy, column));
        let at = position(copy, &column).map(|owner| At {
            which,
            owner,
            time,
            transaction: position(copy, TRANSACTION).filter(|_| which == Which::Ledger),
        });
        match which {
            Which::Ledger => {
                self.is_blind |= at.is_none();
                self.is_timeless |= time.is_none();
                self.owners.entries.get_or_insert_default();
                self.owners.days.get_or_insert_default();
            }
            Which::Organizations if at.is_some() => {
                self.owners.organizations.get_or_insert_default();
            }
            Which::Organizations => {}
        }
        self.at = at;
    }

    /// `table` has a row in another form.
    pub(super) fn inserted(&mut self, table: &Key, contents: &Contents) {
        self.is_blind |= self.which(table, contents).is_some_and(|(which, _)| which == Which::Ledger);
    }

    /// One row, as COPY writes it.
    pub(super) fn row(&mut self, line: &[u8]) {
        let Some(at) = self.at else { return };
        let (mut owner, mut time, mut transaction) = (None, None, None);
        for (number, value) in line.split(|byte| *byte == b'\t').enumerate() {
            if number == at.owner {
                owner = Some(plain(value));
            }
            if Some(number) == at.time {
                time = Some(value);
            } else if Some(number) == at.transaction {
                transaction = std::str::from_utf8(value).ok().and_then(|value| value.parse::<i64>().ok());
            }
        }
        let Some(owner) = owner else {
            self.is_blind |= at.which == Which::Ledger;
            return;
        };
        match at.which {
            Which::Ledger => {
                let day = self.day(time);
                self.last_transaction = self.last_transaction.max(transaction);
                self.count(owner, day);
            }
            Which::Organizations => {
                self.owners.organizations.get_or_insert_default().insert(owner);
            }
        }
    }

    /// The day of an entry that was made at `time`, where that is before what counts.
    fn day(&mut self, time: Option<&[u8]>) -> Option<NaiveDate> {
        let micros = match time.map(times::read) {
            Some(times::Read::At(micros)) => micros,
            Some(times::Read::Never) => return None,
            Some(times::Read::Otherwise) | None => {
                self.is_timeless = true;
                return None;
            }
        };
        self.newest = self.newest.max(Some(micros));
        let before = self.watched.as_ref()?.before.timestamp_micros();
        (micros < before).then(|| times::day(micros)).flatten()
    }

    fn count(&mut self, owner: String, day: Option<NaiveDate>) {
        let entries = self.owners.entries.get_or_insert_default();
        if let Some(day) = day {
            let days = self.owners.days.get_or_insert_default();
            // Most rows are of an organization that is known.
            let days = match days.get_mut(&owner) {
                Some(days) => days,
                None => days.entry(owner.clone()).or_default(),
            };
            *days.entry(day).or_default() += 1;
        }
        match entries.get_mut(&owner) {
            Some(count) => *count += 1,
            None => {
                entries.insert(owner, 1);
            }
        }
    }

    /// The rows end.
    pub(super) fn end(&mut self) {
        self.at = None;
    }

    /// What was told.
    pub(super) fn finish(self) -> Owners {
        let entries = self.owners.entries.filter(|_| !self.is_blind);
        let days = self.owners.days.filter(|_| !self.is_blind && !self.is_timeless);
        let newest = self.newest.and_then(DateTime::from_timestamp_micros);
        Owners { entries, days, last_transaction: self.last_transaction, newest, ..self.owners }
    }

    fn which(&self, table: &Key, contents: &Contents) -> Option<(Which, String)> {
        let watched = self.watched.as_ref()?;
        if *table == watched.organizations {
            Some((Which::Organizations, ID.to_owned()))
        } else if is_part_of(contents, table, &watched.ledger) {
            Some((Which::Ledger, watched.org_column.clone()))
        } else {
            None
        }
    }
}

/// Whether the rows of `table` are rows of `top` as well.
fn is_part_of(contents: &Contents, table: &Key, top: &Key) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![table]);
    while let Some(table) = next.pop() {
        if table == top {
            return true;
        }
        if seen.insert(table) {
            next.extend(contents.get(table).into_iter().flat_map(|found| &found.parents));
        }
    }
    false
}

/// Which of the columns that `copy` lists is `column`.
fn position(copy: &str, column: &str) -> Option<usize> {
    let (_, mut rest) = copy.rsplit_once(" (")?;
    let mut at = 0;
    while let Some((name, behind)) = identifier(rest) {
        if name == column {
            return Some(at);
        }
        rest = behind.strip_prefix(", ")?;
        at += 1;
    }
    None
}

/// A value as it is in the table; NULL is nobody's.
fn plain(value: &[u8]) -> String {
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    if value == b"\\N" {
        return String::new();
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut is_escaped = false;
    for byte in value {
        match (mem::take(&mut is_escaped), byte) {
            (false, b'\\') => is_escaped = true,
            (true, b't') => bytes.push(b'\t'),
            (true, b'n') => bytes.push(b'\n'),
            (true, b'r') => bytes.push(b'\r'),
            (_, byte) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_whose_they_are() {
        let key = |name: &str| ("public".to_owned(), name.to_owned());
        let watched = Watched {
            ledger: key("moves"),
            organizations: key("orgs"),
            org_column: "org id".into(),
            time_column: Some("at".into()),
            before: "2026-02-01T00:00:00Z".parse().unwrap(),
        };
        let mut contents = Contents::new();
        contents.entry(key("part")).or_default().parents.insert(key("moves"));
        let mut tally = Tally::new(watched);
        let copy = "COPY public.part (id, \"org id\", note, at, stockfoil_tx) FROM stdin;";
        tally.begin(&key("part"), &contents, copy);
        for row in [
            &b"1\ta\\tb\tx\t2026-01-31 23:59:59.5-00:30\t7"[..],
            b"2\ta\\tb\tx\t2026-01-31 23:59:59+00\t9",
            b"3\t\\N\tx\tinfinity\t8",
        ] {
            tally.row(row);
        }
        tally.end();
        tally.row(b"9\tnobody\tx");
        tally.begin(&key("orgs"), &contents, "COPY public.orgs (name, id) FROM stdin;");
        tally.row(b"North\tnorth");
        let owners = tally.finish();
        assert_eq!(owners.entries.unwrap(), [(String::new(), 1), ("a\tb".to_owned(), 2)].into());
        assert_eq!(owners.organizations.unwrap(), ["north".to_owned()].into());
        let day = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
        assert_eq!(owners.days.unwrap(), [("a\tb".to_owned(), [(day, 1)].into())].into());
        assert_eq!(owners.last_transaction, Some(9));
        assert_eq!(owners.newest.unwrap().to_rfc3339(), "2026-02-01T00:29:59.500+00:00");
    }
}
