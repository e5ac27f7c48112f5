//! The checksum beside a backup: `NAME.sha256`, as `sha256sum` writes it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{Finding, meter::Meter};

/// The suffix of a checksum file.
pub(super) const SUFFIX: &str = ".sha256";

/// What the checksum said.
#[derive(Debug)]
pub(super) enum Seal {
    /// There is none.
    Absent,
    /// Every byte is as it was.
    Holds,
    /// Something changed, or the checksum file is no use.
    Broken(Finding),
}

/// Compares `backup`, a file or a folder of files, with its checksum file.
pub(super) fn check(backup: &Path, meter: &Arc<Meter>) -> Seal {
    let mut sidecar = backup.as_os_str().to_owned();
    sidecar.push(SUFFIX);
    let sidecar = PathBuf::from(sidecar);
    let text = match std::fs::read_to_string(&sidecar) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Seal::Absent,
        Err(error) => {
            return Seal::Broken(Finding::unknown(
                "seal",
                format!("{} can't be read: {error}", sidecar.display()),
            ));
        }
    };
    let Some(sums) = parse(&text) else {
        return Seal::Broken(Finding::critical(
            "seal",
            format!("{} is no checksum file; write it with sha256sum", sidecar.display()),
        ));
    };
    match compare(backup, &sums, meter) {
        Ok(differing) if differing.is_empty() => Seal::Holds,
        Ok(differing) => Seal::Broken(Finding::critical(
            "seal",
            format!("changed since it was sealed: {}", differing.join(", ")),
        )),
        Err(error) => Seal::Broken(Finding::unknown("seal", format!("can't be read: {error}"))),
    }
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
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
