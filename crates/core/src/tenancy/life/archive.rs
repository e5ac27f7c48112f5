//! The file that holds one organization: lines of JSON. A header comes first: tables with their columns and types. Then, for
//! each table, a line that names it and a line a row: an array of the values' texts. Last a trailer: counts and digests.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::LifeError;
use crate::report::put_in_place;

/// The name and version of the format.
pub(super) const FORMAT: &str = "stockfoil.org-export/1";

/// Whose a table's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The row of the organization itself.
    Organization,
    /// Its API keys: ids and hashes.
    ApiKeys,
    /// Rows of a tenant-scoped table.
    Tenant,
    /// Balances, which follow from the ledger.
    Balances,
    /// Rows of a table without organizations that the organization's rows refer to.
    Shared,
    /// Stockfoil's own records of the organization.
    Record,
}

/// What a file says of itself before the first row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) database: String,
    pub(super) org_id: String,
    pub(super) org_type: String,
    pub(super) server_version: String,
    pub(super) snapshot_at: String,
    pub(super) tables: Vec<TableHeader>,
}

/// A table whose rows a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableHeader {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) kind: Kind,
    pub(super) columns: Vec<ColumnHeader>,
    /// The primary key's columns.
    pub(super) key: Vec<String>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ColumnHeader {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
}

/// The line before a table's rows: its place in the header, and its name for who reads the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) table: usize,
    pub(super) name: String,
}

/// What a file says of itself behind the last row.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    /// As many as the header has tables, in its order.
    pub(super) totals: Vec<Total>,
    /// SHA-256 of all lines before it.
    pub(super) sha256: String,
}

/// How many rows of a table there are, and their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Total {
    pub(super) rows: u64,
    pub(super) digest: String,
}

/// What was counted of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// Whose its rows are.
    pub kind: Kind,
    /// How many rows.
    pub rows: u64,
    /// Their digest, in whatever order; none where the rows are not what they were when it began.
    pub digest: Option<String>,
}

/// A digest of rows in whatever order: the sum of the first half of each row's SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: u128,
}

impl Digest {
    /// That of as many `rows`, as it was told before.
    pub(super) fn of(rows: u64, text: &str) -> Option<Self> {
        Some(Self { rows, sum: u128::from_str_radix(text, 16).ok()? })
    }

    /// Adds a row: the JSON array of its values' texts.
    pub(super) fn add(&mut self, row: &str) {
        let hash: [u8; 32] = Sha256::digest(row.as_bytes()).into();
        let half = hash.iter().take(16).fold(0, |sum: u128, byte| sum << 8 | u128::from(*byte));
        self.sum = self.sum.wrapping_add(half);
        self.rows += 1;
    }

    pub(super) fn text(self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// A file that is being written: beside its path, and there when it is whole.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
    totals: Vec<Digest>,
    place: usize,
    bytes: u64,
}

impl Writer {
    /// Begins the file `path` with its header.
    pub(super) fn begin(path: &Path, header: &Header) -> Result<Self, LifeError> {
        let failed = |source| LifeError::Write { path: path.to_path_buf(), source };
        // Made readable for its owner alone.
        let file = NamedTempFile::new_in(folder(path)).map_err(failed)?;
        let mut writer = Self {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(1 << 16, file),
            hash: Sha256::new(),
            totals: vec![Digest::default(); header.tables.len()],
            place: 0,
            bytes: 0,
        };
        writer.json(header)?;
        Ok(writer)
    }

    /// Goes on with the rows of the header's table at `place`.
    pub(super) fn section(&mut self, place: usize, name: String) -> Result<(), LifeError> {
        self.place = place;
        self.json(&Section { table: place, name })
    }

    /// A row: the JSON array of its values' texts.
    pub(super) fn row(&mut self, row: &str) -> Result<(), LifeError> {
        self.totals[self.place].add(row);
        self.line(row.as_bytes())
    }

    /// Ends the file, and puts it where it belongs; returns its totals, its length and its SHA-256 before the trailer.
    pub(super) fn end(mut self) -> Result<(Vec<Digest>, u64, String), LifeError> {
        let sha256 = hex::encode(self.hash.clone().finalize());
        let total = |digest: &Digest| Total { rows: digest.rows, digest: digest.text() };
        let totals = self.totals.iter().map(total).collect();
        self.json(&Trailer { totals, sha256: sha256.clone() })?;
        let Self { path, file, totals, bytes, .. } = self;
        let failed = |source| LifeError::Write { path: path.clone(), source };
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        put_in_place(file, &path).map_err(failed)?;
        // The name outlives a crash of the machine only when the folder was written too.
        File::open(folder(&path)).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok((totals, bytes, sha256))
    }

    fn json<T: Serialize>(&mut self, value: &T) -> Result<(), LifeError> {
        let text = serde_json::to_string(value)
            .map_err(|error| LifeError::Write { path: self.path.clone(), source: error.into() })?;
        self.line(text.as_bytes())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LifeError> {
        self.hash.update(line);
        self.hash.update(b"\n");
        self.bytes += line.len() as u64 + 1;
        let written = self.file.write_all(line).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| LifeError::Write { path: self.path.clone(), source })
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
