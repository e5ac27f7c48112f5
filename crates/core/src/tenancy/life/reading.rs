//! Reading the file of an organization: all of it is looked at before anything of it is used.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    LifeError,
    archive::{Digest, FORMAT, Header, Section, Total, Trailer},
};

/// A file that is whole: its header, and what its trailer says of each table.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) totals: Vec<Total>,
}

impl Archive {
    /// Reads the file to its end: counts, digests and the lines' own digest are what its trailer says.
    pub(super) fn open(path: &Path) -> Result<Self, LifeError> {
        let mut lines = Lines::open(path)?;
        let header = lines.header()?;
        let mut row = String::new();
        while lines.next_row(&header, &mut row)?.is_some() {}
        let totals = lines.totals.iter().map(|digest| Total { rows: digest.rows, digest: digest.text() });
        Ok(Self { path: path.to_path_buf(), totals: totals.collect(), header })
    }

    /// The file from its first row on. That it is still what it was is known at its end.
    pub(super) fn lines(&self) -> Result<Lines, LifeError> {
        let mut lines = Lines::open(&self.path)?;
        match lines.header()? == self.header {
            true => Ok(lines),
            false => Err(lines.wrong("is another header than it was")),
        }
    }
}

/// The longest line that may be a header: what is none may have no end.
const HEADER_BYTES_MAX: u64 = 1 << 26;

/// The lines of a file, as they are read.
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    hash: Sha256,
    line: u64,
    /// The table of which rows come.
    place: Option<usize>,
    totals: Vec<Digest>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, LifeError> {
        let file = File::open(path).map_err(|source| LifeError::Read { path: path.to_path_buf(), source })?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(1 << 16, file),
            hash: Sha256::new(),
            line: 0,
            place: None,
            totals: Vec::new(),
        })
    }

    fn header(&mut self) -> Result<Header, LifeError> {
        let mut text = String::new();
        self.next_line(&mut text, HEADER_BYTES_MAX)?;
        self.count(&text);
        let header: Header = serde_json::from_str(&text)
            .map_err(|_| self.wrong("is no header of an exported organization"))?;
        if header.format != FORMAT {
            return Err(self
                .wrong(&format!("is of the format {:?}, and this command reads {FORMAT:?}", header.format)));
        }
        self.totals = vec![Digest::default(); header.tables.len()];
        Ok(header)
    }

    /// The next row, and the place of its table; none at the end, where everything is as the trailer says.
    pub(super) fn next_row(&mut self, header: &Header, row: &mut String) -> Result<Option<usize>, LifeError> {
        loop {
            self.next_line(row, u64::MAX)?;
            if row.starts_with('[') {
                let place = self.place.ok_or_else(|| self.wrong("is a row of no table"))?;
                let values: Vec<Option<String>> =
                    serde_json::from_str(row).map_err(|_| self.wrong("is no row"))?;
                if values.len() != header.tables[place].columns.len() {
                    return Err(self.wrong("has not as many values as its table has columns"));
                }
                self.count(row);
                self.totals[place].add(row);
                return Ok(Some(place));
            }
            if let Ok(trailer) = serde_json::from_str::<Trailer>(row) {
                self.end(header, &trailer)?;
                return Ok(None);
            }
            let section: Section =
                serde_json::from_str(row).map_err(|_| self.wrong("is neither a row nor a table"))?;
            if section.table >= header.tables.len() || self.place.is_some_and(|place| place >= section.table)
            {
                return Err(self.wrong("names a table that has no place there"));
            }
            self.place = Some(section.table);
            self.count(row);
        }
    }

    /// Holds what was read against the trailer, behind which there is nothing.
    fn end(&mut self, header: &Header, trailer: &Trailer) -> Result<(), LifeError> {
        if trailer.totals.len() != header.tables.len() {
            return Err(self.wrong("counts other tables than the header has"));
        }
        for ((total, read), table) in trailer.totals.iter().zip(&self.totals).zip(&header.tables) {
            if total.rows != read.rows || total.digest != read.text() {
                return Err(self.wrong(&format!(
                    "says {} rows of {} with digest {}, and there are {} with {}",
                    total.rows,
                    table.table,
                    total.digest,
                    read.rows,
                    read.text()
                )));
            }
        }
        if hex::encode(self.hash.clone().finalize()) != trailer.sha256 {
            return Err(self.wrong("has the SHA-256 of other lines"));
        }
        let mut more = [0; 1];
        match self.file.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong("is the last, and there are more")),
            Err(source) => Err(LifeError::Read { path: self.path.clone(), source }),
        }
    }

    /// The next line, without its end.
    fn next_line(&mut self, text: &mut String, bytes_max: u64) -> Result<(), LifeError> {
        text.clear();
        self.line += 1;
        match (&mut self.file).take(bytes_max).read_line(text) {
            Ok(_) if text.pop() == Some('\n') => Ok(()),
            Ok(_) => Err(self.wrong("is not there or not whole: the file was cut off")),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(self.wrong("is no text")),
            Err(source) => Err(LifeError::Read { path: self.path.clone(), source }),
        }
    }

    fn count(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
    }

    fn wrong(&self, reason: &str) -> LifeError {
        LifeError::NotWhole { path: self.path.clone(), line: self.line, reason: reason.to_owned() }
    }
}
