//! Whose rows a dump holds: which organizations, and how many entries of the ledger each has.

use std::{collections::BTreeSet, mem};

use super::parents::identifier;
use crate::{
    backup::reading::{Contents, Owners},
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
}

impl Watched {
    pub(super) fn of(mapping: &Mapping) -> Self {
        let key = |table: &QualifiedName| (table.schema.as_str().to_owned(), table.name.as_str().to_owned());
        Self {
            ledger: key(&mapping.ledger()),
            organizations: key(&mapping.organizations()),
            org_column: mapping.org_column().as_str().to_owned(),
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
    /// The table whose rows are being read, and which of their values counts.
    at: Option<(Which, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Ledger,
    Organizations,
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
        let at = position(copy, &column).map(|at| (which, at));
        match which {
            Which::Ledger => {
                self.is_blind |= at.is_none();
                self.owners.entries.get_or_insert_default();
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
        let Some((which, at)) = self.at else { return };
        let Some(value) = line.split(|byte| *byte == b'\t').nth(at) else {
            self.is_blind |= which == Which::Ledger;
            return;
        };
        let value = plain(value);
        match which {
            Which::Ledger => {
                let entries = self.owners.entries.get_or_insert_default();
                // Most rows are of an organization that is known.
                match entries.get_mut(&value) {
                    Some(count) => *count += 1,
                    None => {
                        entries.insert(value, 1);
                    }
                }
            }
            Which::Organizations => {
                self.owners.organizations.get_or_insert_default().insert(value);
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
        Owners { entries, ..self.owners }
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
        let watched =
            Watched { ledger: key("moves"), organizations: key("orgs"), org_column: "org id".into() };
        let mut contents = Contents::new();
        contents.entry(key("part")).or_default().parents.insert(key("moves"));
        let mut tally = Tally::new(watched);
        tally.begin(&key("part"), &contents, "COPY public.part (id, \"org id\", note) FROM stdin;");
        for row in [&b"1\ta\\tb\tx"[..], b"2\ta\\tb\tx", b"3\t\\N\tx"] {
            tally.row(row);
        }
        tally.end();
        tally.row(b"9\tnobody\tx");
        tally.begin(&key("orgs"), &contents, "COPY public.orgs (name, id) FROM stdin;");
        tally.row(b"North\tnorth");
        let owners = tally.finish();
        assert_eq!(owners.entries.unwrap(), [(String::new(), 1), ("a\tb".to_owned(), 2)].into());
        assert_eq!(owners.organizations.unwrap(), ["north".to_owned()].into());
    }
}
