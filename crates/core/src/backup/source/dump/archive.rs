//! The header and the table of contents that pg_dump writes into custom, directory and tar dumps.
//!
//! Read as PostgreSQL's own `ReadHead` and `ReadToc` (src/bin/pg_dump/pg_backup_archiver.c) do: archive versions
//! 1.12 (PostgreSQL 9.0) to 1.16 (PostgreSQL 17 and 18).

use std::io::{self, Read};

use chrono::{NaiveDate, NaiveDateTime};

/// The newest archive version that is known: (major, minor).
const VERSION_MAX: (u8, u8) = (1, 16);
const VERSION_MIN: (u8, u8) = (1, 12);

/// What an archive begins with.
pub(super) const MAGIC: &[u8] = b"PGDMP";

/// Why a table of contents can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("its table of contents is cut off")]
    CutOff,
    #[error("its table of contents is damaged ({0})")]
    Damaged(&'static str),
    #[error("it is of archive version {}.{}, which is not known here; use a newer Stockfoil", .0.0, .0.1)]
    Version((u8, u8)),
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Io(error),
        }
    }
}

/// Who holds the data of an archive's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// The same file, at offsets.
    Custom,
    /// Files beside the table of contents; a directory's and a tar's are the same.
    Files,
}

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    version: (u8, u8),
    int_bytes: u8,
    offset_bytes: u8,
    pub(super) container: Container,
    /// When pg_dump began, on the clock and in the time zone of the machine that it ran on.
    pub(super) created: NaiveDateTime,
    /// Whether daylight saving time was in force there.
    pub(super) daylight_saving: bool,
    pub(super) database: String,
    pub(super) server_version: String,
    /// The version of the pg_dump that wrote it.
    pub(super) made_by: String,
}

/// One entry of the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// `TABLE`, `TABLE DATA`, `BLOBS` and so on.
    pub(super) kind: String,
    pub(super) schema: String,
    pub(super) name: String,
    /// The statement that creates it; empty for data.
    pub(super) definition: String,
    /// Whether its data is a COPY stream (else INSERT statements, or large objects).
    pub(super) is_copy: bool,
    /// The COPY that reads it.
    pub(super) copy: String,
    /// Whether the archive holds data for it.
    pub(super) has_data: bool,
    pub(super) place: Place,
}

/// Where an entry's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere, or pg_dump could not go back to write where (its output was a pipe).
    Unknown,
    /// At this byte of the custom dump.
    Offset(u64),
    /// In this file; a directory's has the compression's suffix behind it.
    File(String),
}

/// A whole table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toc {
    pub(super) header: Header,
    pub(super) entries: Vec<Entry>,
    /// Its length in bytes; in a custom dump the data begins here.
    pub(super) bytes: u64,
}

/// Reads the header alone.
pub(super) fn read_header(source: impl Read) -> Result<Header, ArchiveError> {
    Input::new(source).header()
}

/// Reads the header and the table of contents.
pub(super) fn read_toc(source: impl Read) -> Result<Toc, ArchiveError> {
    let mut input = Input::new(source);
    let header = input.header()?;
    let count = input.int()?;
    let count = u32::try_from(count).map_err(|_| ArchiveError::Damaged("a negative number of entries"))?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(input.entry(&header)?);
    }
    Ok(Toc { header, entries, bytes: input.position })
}

struct Input<R> {
    source: R,
    position: u64,
    int_bytes: u8,
}

impl<R: Read> Input<R> {
    fn new(source: R) -> Self {
        Self { source, position: 0, int_bytes: 4 }
    }

    fn header(&mut self) -> Result<Header, ArchiveError> {
        if self.bytes(MAGIC.len())? != MAGIC {
            return Err(ArchiveError::Damaged("it does not begin with PGDMP"));
        }
        let version = (self.byte()?, self.byte()?);
        let _revision = self.byte()?;
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(ArchiveError::Version(version));
        }
        self.int_bytes = self.byte()?;
        let offset_bytes = self.byte()?;
        if !matches!(self.int_bytes, 4 | 8) || !matches!(offset_bytes, 4 | 8) {
            return Err(ArchiveError::Damaged("impossible integer size"));
        }
        let container = match self.byte()? {
            1 => Container::Custom,
            // A directory's table of contents calls itself a tar's.
            3 | 5 => Container::Files,
            _ => return Err(ArchiveError::Damaged("unknown format")),
        };
        if version >= (1, 15) {
            self.byte()?; // compression algorithm
        } else {
            self.int()?; // compression level
        }
        let [second, minute, hour, day, month, year, daylight_saving] =
            [self.int()?, self.int()?, self.int()?, self.int()?, self.int()?, self.int()?, self.int()?];
        let created = || {
            let [second, minute, hour, day, month] =
                [second.min(59), minute, hour, day, month.checked_add(1)?]
                    .map(|part| u32::try_from(part).ok());
            let year = i32::try_from(year).ok()?.checked_add(1900)?;
            NaiveDate::from_ymd_opt(year, month?, day?)?.and_hms_opt(hour?, minute?, second?)
        };
        let created = created().ok_or(ArchiveError::Damaged("impossible time of creation"))?;
        let database = self.text()?;
        let server_version = self.text()?;
        let made_by = self.text()?;
        Ok(Header {
            version,
            int_bytes: self.int_bytes,
            offset_bytes,
            container,
            created,
            daylight_saving: daylight_saving > 0,
            database,
            server_version,
            made_by,
        })
    }

    fn entry(&mut self, header: &Header) -> Result<Entry, ArchiveError> {
        self.int()?; // dump id
        let has_data = self.int()? != 0;
        self.text()?; // catalog's table
        self.text()?; // oid
        let name = self.text()?;
        let kind = self.text()?;
        self.int()?; // section
        let definition = self.text()?;
        self.text()?; // statement that drops it
        let copy = self.text()?;
        let schema = self.text()?;
        self.text()?; // tablespace
        if header.version >= (1, 14) {
            self.text()?; // table access method
        }
        if header.version >= (1, 16) {
            self.int()?; // kind of relation
        }
        self.text()?; // owner
        self.text()?; // whether it has OIDs
        while self.optional_text()?.is_some() {} // dependencies
        let place = match header.container {
            Container::Files => match self.text()? {
                file if file.is_empty() => Place::Unknown,
                file => Place::File(file),
            },
            Container::Custom => match (self.byte()?, self.unsigned(header.offset_bytes)?) {
                (2, offset) => Place::Offset(offset),
                (1 | 3, _) => Place::Unknown,
                _ => return Err(ArchiveError::Damaged("unknown state of an offset")),
            },
        };
        Ok(Entry { kind, schema, name, definition, is_copy: !copy.is_empty(), copy, has_data, place })
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        // Not allocated at once: a damaged length asks for gigabytes.
        (&mut self.source).take(count as u64).read_to_end(&mut bytes)?;
        if bytes.len() < count {
            return Err(ArchiveError::CutOff);
        }
        self.position += count as u64;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, ArchiveError> {
        let mut byte = [0];
        self.source.read_exact(&mut byte)?;
        self.position += 1;
        Ok(byte[0])
    }

    /// A magnitude, lowest byte first.
    fn unsigned(&mut self, bytes: u8) -> Result<u64, ArchiveError> {
        let mut wide = [0; 8];
        self.source.read_exact(&mut wide[..usize::from(bytes.min(8))])?;
        self.position += u64::from(bytes);
        Ok(u64::from_le_bytes(wide))
    }

    /// A sign byte, then the magnitude.
    fn int(&mut self) -> Result<i64, ArchiveError> {
        let negative = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(ArchiveError::Damaged("impossible sign of a number")),
        };
        let magnitude = i64::try_from(self.unsigned(self.int_bytes)?)
            .map_err(|_| ArchiveError::Damaged("a number too large"))?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// A text, or none where its length is negative.
    fn optional_text(&mut self) -> Result<Option<String>, ArchiveError> {
        match usize::try_from(self.int()?) {
            Err(_) => Ok(None),
            Ok(length) => Ok(Some(String::from_utf8_lossy(&self.bytes(length)?).into_owned())),
        }
    }

    fn text(&mut self) -> Result<String, ArchiveError> {
        Ok(self.optional_text()?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_toc(&bytes[..]);
            let header = [b"PGDMP\x01\x0e\x00\x04\x08\x01".as_slice(), &bytes].concat();
            let _ = read_toc(&header[..]);
        }
    }

    #[test]
    fn a_huge_length_is_cut_off_and_not_allocated() {
        let mut header = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
        let int = |number: u32| [[0].as_slice(), &number.to_le_bytes()].concat();
        for number in [0, 0, 0, 0, 1, 0, 126, 0] {
            header.extend(int(number));
        }
        header.extend(int(u32::MAX));
        assert!(matches!(read_header(&header[..]), Err(ArchiveError::CutOff)));
    }
}
