//! What a backup is held against: the checksums of its files, and what the database held that it was made from.
//!
//! `NAME.seal`, which `verify-backup --seal` writes, has both; `NAME.sha256`, as `sha256sum` writes it, has the first.
//! Both lie beside a file or folder. The seal of a backup that is no file lies in the source's `seal_folder`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write as _},
    iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Backup, BackupKind, BackupSource, Finding, figures::Figures};
use crate::progress::meter::Meter;

/// The suffix of a seal.
const SEAL: &str = ".seal";

/// The suffix of a checksum file.
const SHA256: &str = ".sha256";

/// The form of a seal's JSON.
const SCHEMA: &str = "stockfoil.seal/1";

/// What is known of a backup from when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    schema: String,
    /// When it was sealed.
    pub(super) sealed_at: DateTime<Utc>,
    /// What the backup is called.
    pub(super) backup: String,
    /// When the backup began.
    pub(super) started_at: DateTime<Utc>,
    /// Its size in bytes.
    pub(super) size_bytes: u64,
    /// SHA-256 by file, below the backup's folder; of a single file by its name. Empty for what is no file.
    sha256: BTreeMap<String, String>,
    /// What the database held.
    figures: Figures,
    /// The same of the cluster's other databases that were sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Figures>,
}

impl Seal {
    /// What the database `name` held; without a name, the one that was sealed last.
    pub(super) fn figures_of(&self, name: Option<&str>) -> Option<&Figures> {
        let mut all = iter::once(&self.figures).chain(&self.others);
        all.find(|figures| name.is_none_or(|name| figures.database == name))
    }

    /// The databases that it speaks of.
    pub(super) fn databases(&self) -> impl Iterator<Item = &str> {
        iter::once(&self.figures).chain(&self.others).map(|figures| figures.database.as_str())
    }
}

/// What the checksums said.
#[derive(Debug)]
pub(super) enum Checked {
    /// There are none.
    Absent,
    /// Every byte is as it was, says this file.
    Holds(String),
    /// Something changed, or the file is no use.
    Broken(Finding),
}

/// Whether `path` is a seal or a checksum file, and so no backup.
pub(super) fn is_seal(path: &Path) -> bool {
    let name = path.as_os_str().to_string_lossy();
    name.ends_with(SEAL) || name.ends_with(SHA256)
}

/// Where the seal of `backup` lies; none where the source says nothing of it.
pub(super) fn place(source: Option<&BackupSource>, backup: &Backup) -> Option<PathBuf> {
    if let Some(path) = &backup.path {
        return Some(beside(path, SEAL));
    }
    let folder = source?.seal_folder.as_ref()?;
    // What a tool calls a backup is no path.
    Some(folder.join(format!("{}{SEAL}", backup.name.replace(['/', '\0'], "_"))))
}

/// Copies the seal and the checksum file of what is called as `path` from the folder `beside` to where `path` is.
///
/// # Errors
/// When one is there and can't be copied.
pub(super) fn bring(folder: &Path, path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    for suffix in [SEAL, SHA256] {
        match fs::copy(beside(&folder.join(name), suffix), beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Reads the seal of `backup`, if there is one.
///
/// # Errors
/// When it is there and can't be read, or is of another backup.
pub(super) fn read(source: Option<&BackupSource>, backup: &Backup) -> Result<Option<Seal>, Finding> {
    let Some(place) = place(source, backup) else { return Ok(None) };
    let shown = place.display();
    let text = match fs::read_to_string(&place) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Finding::unknown("seal", format!("{shown} can't be read: {error}"))),
    };
    match serde_json::from_str::<Seal>(&text) {
        Ok(seal) if seal.schema == SCHEMA && seal.backup == backup.name => Ok(Some(seal)),
        Ok(seal) if seal.schema == SCHEMA => {
            Err(Finding::critical("seal", format!("{shown} is the seal of another backup, {}", seal.backup)))
        }
        _ => {
            Err(Finding::critical("seal", format!("{shown} is no seal; write it with verify-backup --seal")))
        }
    }
}

/// Seals `backup`: reads all of its files, and writes the seal with `figures` to its place.
///
/// # Errors
/// When the backup can't be read, or the seal has no place or can't be written.
pub(super) fn write(
    source: Option<&BackupSource>,
    backup: &Backup,
    figures: Figures,
    meter: &Arc<Meter>,
) -> Result<PathBuf, Finding> {
    if source.is_some_and(|source| source.kind == BackupKind::S3) {
        let text =
            "lies in object storage: seal the file before it is uploaded, and upload the seal beside it";
        return Err(Finding::unknown("seal", text));
    }
    let Some(place) = place(source, backup) else {
        let text = "has no place for its seal; set seal_folder of its source";
        return Err(Finding::unknown("seal", text));
    };
    if backup.is_wrapped() {
        let text = "does not tell when it began, as its seal must: seal it before it is encrypted, split or packed; that seal holds for what is in it";
        return Err(Finding::unknown("seal", text));
    }
    let sha256 = match &backup.path {
        None => BTreeMap::new(),
        Some(path) => sums_below(path, meter)
            .map_err(|error| Finding::unknown("seal", format!("can't be read: {error}")))?,
    };
    // A cluster's databases are sealed one after the other.
    let others = match read(source, backup) {
        Ok(Some(earlier)) if earlier.sha256 == sha256 && earlier.started_at == backup.started_at => {
            let all = iter::once(earlier.figures).chain(earlier.others);
            all.filter(|of| {
                of.database != figures.database && of.system_identifier == figures.system_identifier
            })
            .collect()
        }
        _ => Vec::new(),
    };
    let seal = Seal {
        schema: SCHEMA.to_owned(),
        sealed_at: Utc::now(),
        backup: backup.name.clone(),
        started_at: backup.started_at,
        size_bytes: backup.size_bytes,
        sha256,
        figures,
        others,
    };
    let write = || -> io::Result<()> {
        let folder = place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&seal)?)?;
        file.as_file().sync_all()?;
        file.persist(&place)?;
        Ok(())
    };
    write().map_err(|error| {
        Finding::unknown("seal", format!("{} can't be written: {error}", place.display()))
    })?;
    Ok(place)
}

/// Compares the files at `path` with the checksums of their seal, and of their checksum file.
pub(super) fn check(path: &Path, seal: Option<&Seal>, meter: &Arc<Meter>) -> Checked {
    let sidecar = beside(path, SHA256);
    let text = match fs::read_to_string(&sidecar) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let text = format!("{} can't be read: {error}", sidecar.display());
            return Checked::Broken(Finding::unknown("seal", text));
        }
    };
    if let Some(seal) = seal {
        match sums_below(path, meter) {
            Ok(sums) if sums == seal.sha256 => {}
            Ok(sums) => return Checked::Broken(changed(&differing(&seal.sha256, &sums))),
            Err(error) => {
                return Checked::Broken(Finding::unknown("seal", format!("can't be read: {error}")));
            }
        }
    }
    let Some(text) = text else {
        return seal.map_or(Checked::Absent, |_| Checked::Holds("its seal".to_owned()));
    };
    let Some(sums) = parse(&text) else {
        return Checked::Broken(Finding::critical(
            "seal",
            format!("{} is no checksum file; write it with sha256sum", sidecar.display()),
        ));
    };
    match compare(path, &sums, meter) {
        Ok(differing) if differing.is_empty() => Checked::Holds("its .sha256 file".to_owned()),
        Ok(differing) => Checked::Broken(changed(&differing)),
        Err(error) => Checked::Broken(Finding::unknown("seal", format!("can't be read: {error}"))),
    }
}

fn changed(names: &[String]) -> Finding {
    Finding::critical("seal", format!("changed since it was sealed: {}", names.join(", ")))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The names whose sums are not the same.
fn differing(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> =
        one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// SHA-256 of the file at `path`, or of each file below the folder `path`, by name. Of a link, that of its target's
/// name.
fn sums_below(path: &Path, meter: &Arc<Meter>) -> io::Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sums.insert(name, sum(path, meter)?);
        return Ok(sums);
    }
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, file) = (entry.file_type()?, entry.path());
            let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(file);
            } else if kind.is_symlink() {
                let target = fs::read_link(&file)?;
                sums.insert(name, hex::encode(Sha256::digest(target.as_os_str().as_encoded_bytes())));
            } else {
                sums.insert(name, sum(&file, meter)?);
            }
        }
    }
    Ok(sums)
}

/// Reads lines of `HEX  NAME`, `HEX *NAME`, or a single `HEX`. Names are kept without leading folders' dots.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (sum, name) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let name = name.trim_start_matches([' ', '\t', '*']).trim_end();
        sums.insert(name.trim_start_matches("./").to_owned(), sum.to_ascii_lowercase());
    }
    (!sums.is_empty()).then_some(sums)
}

/// The names of what differs, is missing, or is not listed.
fn compare(backup: &Path, sums: &BTreeMap<String, String>, meter: &Arc<Meter>) -> io::Result<Vec<String>> {
    let name = backup.file_name().unwrap_or_default().to_string_lossy();
    if !backup.is_dir() {
        // A checksum made elsewhere names the file with its folder there.
        let listed = sums.iter().find(|(listed, _)| last_part(listed) == name);
        let expected = listed.or_else(|| sums.iter().next().filter(|_| sums.len() == 1));
        let holds = match expected {
            Some((_, expected)) => *expected == sum(backup, meter)?,
            None => false,
        };
        return Ok(if holds { Vec::new() } else { vec![name.into_owned()] });
    }
    let mut left: BTreeMap<&str, &str> =
        sums.iter().map(|(listed, sum)| (last_part(listed), sum.as_str())).collect();
    let mut differing = Vec::new();
    for entry in std::fs::read_dir(backup)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if left.remove(name.as_str()) != Some(&sum(&entry.path(), meter)?) {
            differing.push(name);
        }
    }
    differing.extend(left.into_keys().map(str::to_owned));
    differing.sort();
    Ok(differing)
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn sum(path: &Path, meter: &Arc<Meter>) -> io::Result<String> {
    let mut source = meter.read(File::open(path)?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
