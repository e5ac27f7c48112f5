//! A base backup in tar files: `base.tar`, one a tablespace (`16384.tar`), and `pg_wal.tar`, each maybe compressed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tar::{Archive as Tar, EntryType};

use super::{
    MANIFEST, NAMED_MAX,
    checksums::Watch,
    manifest::{FileFacts, Manifest},
};
use crate::{
    backup::{Compression, Finding, error_text, file_name},
    progress::meter::Meter,
};

/// The tar files of a backup.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The data folder.
    base: PathBuf,
    /// The tablespaces, by oid.
    tablespaces: BTreeMap<String, PathBuf>,
    /// The WAL.
    pub(super) wal: Option<PathBuf>,
}

/// The tar file of the data folder in `folder`, if there is one.
pub(super) fn base(folder: &Path) -> io::Result<Option<PathBuf>> {
    Ok(Parts::look(folder)?.base().map(Path::to_path_buf))
}

impl Parts {
    /// Looks for the tar files in `folder`.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        let mut parts = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = file_name(&path);
            let Some((stem, rest)) = name.split_once(".tar") else { continue };
            if !matches!(rest, "" | ".gz" | ".zst" | ".lz4" | ".xz" | ".bz2") {
                continue;
            }
            match stem {
                "base" => parts.base = path,
                "pg_wal" => parts.wal = Some(path),
                oid if oid.parse::<u32>().is_ok() => {
                    parts.tablespaces.insert(oid.to_owned(), path);
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    /// The tar file of the data folder.
    fn base(&self) -> Option<&Path> {
        (!self.base.as_os_str().is_empty()).then_some(&self.base)
    }

    /// How the data folder's tar is compressed.
    pub(super) fn compression(&self) -> io::Result<Compression> {
        let mut head = Vec::new();
        File::open(&self.base)?.take(8).read_to_end(&mut head)?;
        Ok(Compression::of(&head))
    }

    /// The text of the small file `name`, which lies among the first of the data folder's tar.
    pub(super) fn head(&self, name: &str) -> io::Result<Option<String>> {
        let Some(base) = self.base() else { return Ok(None) };
        let mut tar = Tar::new(open(base, &Arc::default())?);
        // pg_basebackup writes the label first, and PG_VERSION before the first folder's files.
        for entry in tar.entries()?.take(50) {
            let mut entry = entry?;
            if entry.path()?.as_ref() == Path::new(name) {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Reads every file, and compares it with `manifest`; says how many there are. What comes by is shown to `watch`.
    pub(super) fn verify(
        &self,
        manifest: Option<&Manifest>,
        mut watch: Option<&mut Watch>,
        meter: &Arc<Meter>,
    ) -> Result<usize, Finding> {
        let mut left = manifest.map(|manifest| manifest.files.clone());
        let mut wrong = Vec::new();
        let mut files = 0;
        let base = self.base().ok_or_else(|| Finding::critical("format", "has no base.tar"))?;
        self.require_tablespaces()?;
        let tablespaces =
            self.tablespaces.iter().map(|(oid, path)| (format!("pg_tblspc/{oid}/"), path.as_path()));
        for (prefix, path) in [(String::new(), base)].into_iter().chain(tablespaces) {
            let failed = |error: io::Error| {
                let text = format!("{} can't be read to its end: {}", file_name(path), error_text(&error));
                Finding::critical("read", text)
            };
            let mut tar = Tar::new(open(path, meter).map_err(failed)?);
            for entry in tar.entries().map_err(failed)? {
                let mut entry = entry.map_err(failed)?;
                if entry.header().entry_type() != EntryType::Regular {
                    continue;
                }
                files += 1;
                let name = format!("{prefix}{}", entry.path().map_err(failed)?.display());
                let facts = left.as_mut().and_then(|left| left.remove(&name));
                let mut sum = facts.as_ref().map(FileFacts::summing);
                let mut shown = watch.as_mut().map(|watch| watch.file(&name));
                let mut size = 0;
                let mut buffer = vec![0; 1 << 17];
                loop {
                    let read = entry.read(&mut buffer).map_err(failed)?;
                    if read == 0 {
                        break;
                    }
                    size += read as u64;
                    if let Some(sum) = &mut sum {
                        sum.update(&buffer[..read]);
                    }
                    if let Some(shown) = &mut shown {
                        shown.update(&buffer[..read]);
                    }
                }
                if let (Some(facts), Some(sum)) = (facts, sum) {
                    if facts.size != size {
                        wrong.push(format!("{name} has {size} bytes, not {}", facts.size));
                    } else if !facts.is(sum) {
                        wrong.push(format!("{name} has another checksum"));
                    }
                }
            }
            // What lies behind a tar's end is the compression's checksum.
            io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(failed)?;
        }
        wrong.extend(left.into_iter().flatten().map(|(name, _)| format!("{name} is missing")));
        if wrong.is_empty() {
            return Ok(files);
        }
        let named = wrong.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let text = format!("{} files are not as {MANIFEST} says: {named}", wrong.len());
        Err(Finding::critical("read", text))
    }

    /// Refuses a backup that lacks the file of a tablespace: the data folder's tar has a list of them.
    fn require_tablespaces(&self) -> Result<(), Finding> {
        let map = self.head("tablespace_map").map_err(|error| {
            Finding::critical("read", format!("base.tar can't be read: {}", error_text(&error)))
        })?;
        let map = map.unwrap_or_default();
        let named = map.lines().filter_map(|line| line.split_once(' '));
        let missing: Vec<String> = named
            .filter(|(oid, _)| !self.tablespaces.contains_key(*oid))
            .map(|(oid, place)| format!("{oid}.tar ({place})"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Finding::critical("read", format!("lacks the files of tablespaces: {}", missing.join(", "))))
    }

    /// Unpacks the data folder to `data`, and each tablespace to a folder in `tablespaces`.
    pub(super) fn unpack(&self, data: &Path, tablespaces: &Path, meter: &Arc<Meter>) -> io::Result<()> {
        fs::create_dir_all(data)?;
        extract(&self.base, data, meter)?;
        for (oid, path) in &self.tablespaces {
            let folder = tablespaces.join(oid);
            fs::create_dir_all(&folder)?;
            extract(path, &folder, meter)?;
            let link = data.join("pg_tblspc").join(oid);
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            std::os::unix::fs::symlink(&folder, link)?;
        }
        // By this file the server would make links to where production has its tablespaces.
        match fs::remove_file(data.join("tablespace_map")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(wal) = &self.wal {
            extract(wal, &data.join("pg_wal"), meter)?;
        }
        Ok(())
    }
}

/// Unpacks the files and folders of a tar below `folder`; links, and names that lead out of it, are left out.
pub(super) fn extract(path: &Path, folder: &Path, meter: &Arc<Meter>) -> io::Result<()> {
    let mut tar = Tar::new(open(path, meter)?);
    for entry in tar.entries()? {
        let mut entry = entry?;
        if matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Directory) {
            entry.unpack_in(folder)?;
        }
    }
    Ok(())
}

fn open(path: &Path, meter: &Arc<Meter>) -> io::Result<Box<dyn io::Read + Send>> {
    let mut head = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut head)?;
    Compression::of(&head).reader(meter.read(File::open(path)?))
}
