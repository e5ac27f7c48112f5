//! Files that ask for many things at once: comma-separated values under a line that names the columns, as spreadsheets
//! write them.

use std::{collections::BTreeMap, fmt::Display};

use csv::{ReaderBuilder, StringRecord, Trim};
use serde::Serialize;

use crate::settings::nearest;

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// It holds nothing.
    #[error("the file has no line that names its columns; begin it with such as {0}")]
    NoHeader(String),
    /// It is in another encoding.
    #[error("line {0} of the file is no text in UTF-8; save it as CSV in UTF-8")]
    Encoding(usize),
    /// Something else stands between its values.
    #[error("the first line of the file stands apart by {0:?}; save it with commas between its values")]
    Separator(char),
    /// It has a column that nobody knows.
    #[error("the file has a column {column:?}, which means nothing here{}; it may have {known}", .near.map_or_else(String::new, |near| format!("; did you mean {near:?}?")))]
    Column {
        /// The column.
        column: String,
        /// The nearest that means something.
        near: Option<&'static str>,
        /// All that mean something.
        known: String,
    },
    /// It has a column twice.
    #[error("the file has two columns {0:?}; leave one of them out")]
    Twice(String),
    /// It lacks a column.
    #[error("the file has no column {0}")]
    Lacks(&'static str),
    /// It can't be told apart into values.
    #[error("the file can't be read: {0}; save it as CSV again")]
    Csv(#[from] csv::Error),
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mistake {
    /// The line, counted from 1, the one with the columns' names included.
    pub line: u64,
    /// What is wrong with it, and what to do.
    pub what: String,
}

impl Mistake {
    pub(super) fn new(line: u64, what: impl Display) -> Self {
        Self { line, what: what.to_string() }
    }
}

/// A line, by the columns in which it has something.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    values: BTreeMap<&'static str, String>,
}

impl Line {
    /// What stands in `column`; nothing where it is empty or not there.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.values.get(column).map(String::as_str)
    }
}

/// The lines of a file that are not empty, and what is wrong with those that can't be told apart.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Lines {
    /// Reads a file that may have the columns `known`.
    ///
    /// # Errors
    /// [`LinesError`].
    pub(super) fn read(bytes: &[u8], known: &[&'static str]) -> Result<Self, LinesError> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| LinesError::Encoding(line_at(bytes, error.valid_up_to())))?;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(text.as_bytes());
        let (mut record, mut columns) = (StringRecord::new(), None::<Vec<&'static str>>);
        let mut read = Self { lines: Vec::new(), mistakes: Vec::new() };
        while reader.read_record(&mut record)? {
            let Some(columns) = &columns else {
                columns = Some(header(&record, known)?);
                continue;
            };
            if record.iter().all(str::is_empty) {
                continue;
            }
            let number = number(text, &record);
            match record.len() == columns.len() {
                true => {
                    let pairs = columns.iter().copied().zip(record.iter());
                    let given = pairs.filter(|(_, value)| !value.is_empty());
                    let values = given.map(|(column, value)| (column, value.to_owned())).collect();
                    read.lines.push(Line { number, values });
                }
                false => {
                    let what = format!(
                        "has {} values, and the first line names {} columns; a value that holds a comma stands in \"quotes\"",
                        record.len(),
                        columns.len()
                    );
                    read.mistakes.push(Mistake::new(number, what));
                }
            }
        }
        match columns {
            Some(_) => Ok(read),
            None => Err(LinesError::NoHeader(known.join(","))),
        }
    }
}

/// The columns that the first line names; case does not matter, nor whether words are joined by `_`.
fn header(record: &StringRecord, known: &[&'static str]) -> Result<Vec<&'static str>, LinesError> {
    let mut columns = Vec::with_capacity(record.len());
    for given in record {
        let name = given.to_lowercase().replace([' ', '-'], "_");
        let Some(column) = known.iter().copied().find(|column| *column == name) else {
            if let Some(separator) = given.chars().find(|c| matches!(c, ';' | '\t' | '|')) {
                return Err(LinesError::Separator(separator));
            }
            let near = nearest(&name, known.iter().copied());
            let near = known.iter().copied().find(|column| Some(*column) == near);
            return Err(LinesError::Column { column: given.to_owned(), near, known: known.join(", ") });
        };
        if columns.contains(&column) {
            return Err(LinesError::Twice(column.to_owned()));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// The line on which `record` begins: its position is that of the empty lines before it.
fn number(text: &str, record: &StringRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let from = usize::try_from(position.byte()).unwrap_or_default();
    let before = text.bytes().skip(from).take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + before.filter(|byte| *byte == b'\n').count() as u64
}

fn line_at(bytes: &[u8], place: usize) -> usize {
    bytes.iter().take(place).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["name", "id", "key_label"];

    fn read(text: &str) -> Result<Lines, String> {
        Lines::read(text.as_bytes(), &KNOWN).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_told_apart_and_numbered() {
        let text =
            "\u{FEFF}Name,Key Label\r\n\r\n\"Acme, Inc\", ops \r\n,\r\n\"two\nlines\",\n\nlast,x\na,b,c\n";
        let Lines { lines, mistakes } = read(text).unwrap();
        let found: Vec<(u64, Option<&str>, Option<&str>)> =
            lines.iter().map(|line| (line.number, line.get("name"), line.get("key_label"))).collect();
        assert_eq!(
            found,
            [
                (3, Some("Acme, Inc"), Some("ops")),
                (5, Some("two\nlines"), None),
                (8, Some("last"), Some("x"))
            ]
        );
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [9]);
        assert!(mistakes[0].what.contains("has 3 values, and the first line names 2"));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        for (text, part) in [
            ("", "begin it with such as name,id,key_label"),
            ("name;id\n", "save it with commas"),
            ("name,nmae\n", "did you mean \"name\"?"),
            ("name,wages\n", "may have name, id, key_label"),
            ("name,id,NAME\n", "two columns \"name\""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let error = Lines::read(b"name\nAcme\nM\xFCller\n", &KNOWN).unwrap_err().to_string();
        assert!(error.contains("line 3 of the file is no text in UTF-8"), "{error}");
    }
}
