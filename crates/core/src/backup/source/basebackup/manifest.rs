//! `backup_manifest`: which files a base backup has, with their sizes and checksums, and which WAL it needs.

use std::collections::BTreeMap;

use crc::{CRC_32_ISCSI, Crc, Digest as CrcDigest, Table};
use serde::Deserialize;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

/// The table-driven Castagnoli checksum, PostgreSQL's CRC-32C.
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What a manifest says, where its own checksum holds.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The files by path; those of tablespaces are below `pg_tblspc`.
    pub(super) files: BTreeMap<String, FileFacts>,
    /// The WAL without which the backup is not whole.
    pub(super) wal_ranges: Vec<WalRange>,
}

/// What a manifest says of a file.
#[derive(Debug, Clone)]
pub(super) struct FileFacts {
    pub(super) size: u64,
    /// None where the backup was made with `--manifest-checksums=NONE`.
    checksum: Option<(Algorithm, String)>,
}

/// A range of WAL.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WalRange {
    #[serde(rename = "Timeline")]
    pub(super) timeline: u32,
    #[serde(rename = "Start-LSN")]
    pub(super) start: String,
    #[serde(rename = "End-LSN")]
    pub(super) end: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Algorithm {
    Crc32c,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Deserialize)]
struct Json {
    #[serde(rename = "Files")]
    files: Vec<JsonFile>,
    #[serde(rename = "WAL-Ranges", default)]
    wal_ranges: Vec<WalRange>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
struct JsonFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<Algorithm>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text).map_err(|error| format!("does not parse: {error}"))?;
        // The last line holds the checksum of all lines before it.
        let body = text.trim_ascii_end();
        let end = memchr::memrchr(b'\n', body).ok_or("has no last line with its checksum")?;
        if hex::encode(Sha256::digest(&body[..=end])) != json.checksum.to_lowercase() {
            return Err("was changed: its own checksum does not hold".to_owned());
        }
        let mut files = BTreeMap::new();
        for file in json.files {
            let path = match (file.path, file.encoded_path) {
                (Some(path), _) => path,
                (None, Some(encoded)) => {
                    let bytes = hex::decode(&encoded).map_err(|_| "has a path that does not parse")?;
                    String::from_utf8_lossy(&bytes).into_owned()
                }
                (None, None) => return Err("has a file without a path".to_owned()),
            };
            let checksum = file.algorithm.zip(file.checksum).map(|(kind, sum)| (kind, sum.to_lowercase()));
            files.insert(path, FileFacts { size: file.size, checksum });
        }
        Ok(Self { files, wal_ranges: json.wal_ranges })
    }

    /// Whether every file has a checksum.
    pub(super) fn has_checksums(&self) -> bool {
        self.files.values().all(|file| file.checksum.is_some())
    }
}

impl FileFacts {
    /// What compares a file's bytes with its checksum.
    pub(super) fn summing(&self) -> Summing {
        match self.checksum.as_ref().map(|(algorithm, _)| *algorithm) {
            None => Summing::None,
            Some(Algorithm::Crc32c) => Summing::Crc32c(CRC32C.digest()),
            Some(Algorithm::Sha224) => Summing::Sha224(Sha224::new()),
            Some(Algorithm::Sha256) => Summing::Sha256(Sha256::new()),
            Some(Algorithm::Sha384) => Summing::Sha384(Sha384::new()),
            Some(Algorithm::Sha512) => Summing::Sha512(Sha512::new()),
        }
    }

    /// Whether what was summed is this file's checksum.
    pub(super) fn is(&self, summing: Summing) -> bool {
        let found = match summing {
            Summing::None => return self.checksum.is_none(),
            // Lowest byte first, as it lies in memory where pg_basebackup writes it down.
            Summing::Crc32c(sum) => hex::encode(sum.finalize().to_le_bytes()),
            Summing::Sha224(sum) => hex::encode(sum.finalize()),
            Summing::Sha256(sum) => hex::encode(sum.finalize()),
            Summing::Sha384(sum) => hex::encode(sum.finalize()),
            Summing::Sha512(sum) => hex::encode(sum.finalize()),
        };
        self.checksum.as_ref().is_some_and(|(_, expected)| *expected == found)
    }
}

/// A checksum under way.
pub(super) enum Summing {
    None,
    Crc32c(CrcDigest<'static, u32, Table<16>>),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Summing {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32c(sum) => sum.update(bytes),
            Self::Sha224(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha384(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest around `body`, with its own checksum.
    fn manifest(body: &str) -> String {
        let sum = hex::encode(Sha256::digest(body.as_bytes()));
        format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")
    }

    #[test]
    fn files_and_their_checksums_are_read() {
        let body = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n\
            { \"Path\": \"a\", \"Size\": 9, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"839206e3\" },\n\
            { \"Encoded-Path\": \"62ff\", \"Size\": 1 }\n],\n\"WAL-Ranges\": [\n\
            { \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n";
        let found = Manifest::parse(manifest(body).as_bytes()).unwrap();
        assert_eq!(found.files.len(), 2);
        assert!(!found.has_checksums());
        assert_eq!(found.wal_ranges[0].start, "0/2000028");
        let file = &found.files["a"];
        let mut sum = file.summing();
        // The check value of the Castagnoli polynomial.
        sum.update(b"123456789");
        assert!(file.is(sum));
        assert!(!file.is(file.summing()));
        let changed = manifest(body).replace("\"Size\": 9", "\"Size\": 8");
        assert!(Manifest::parse(changed.as_bytes()).unwrap_err().contains("its own checksum does not hold"));
        assert!(Manifest::parse(b"{}").is_err());
        assert!(Manifest::parse(b"").is_err());
    }
}
