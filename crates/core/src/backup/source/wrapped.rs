//! Backups that lie in something else: encrypted, cut into parts, or a folder in a tar. What is in them is laid down in a
//! private folder, and looked at there.

mod parts;

pub(super) use parts::{Lot, around, lots};

use std::{
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Utc;

use super::{bare, bundle};
use crate::{
    backup::{
        Backup, BackupSource, Compression, Finding, Format, Settings, StartedFrom, age_text, duration_text,
        encryption::{Encryption, plain_name},
        file_name,
        reading::{Reader, Reading},
        seal::{self, Checked},
        tool,
    },
    progress::meter::{Meter, Metered},
    throwaway::{Feed, Folder},
};

/// One within the other, nobody wraps more often.
const LAYERS_MAX: usize = 6;

/// So many bytes are expected from one byte of what is compressed.
const EXPANSION: u64 = 5;

/// What was in a wrapped backup.
pub(super) struct Unwrapped {
    pub(super) path: PathBuf,
    pub(super) backup: Backup,
    /// What became of the seal that lay beside it, of what is in it.
    seal: Checked,
}

/// What to say of an encrypted backup where nothing says how it is decrypted.
fn undecipherable(encryption: Encryption) -> Finding {
    let text = format!(
        "is encrypted by {}, so nothing can be told of what it holds; set decrypt of its source, such as {}",
        encryption.name(),
        encryption.example()
    );
    Finding::unknown("format", text)
}

/// Finds that nothing is known of `backup` where it is encrypted and nothing says how to decrypt it.
pub(in crate::backup) fn require_key(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &mut Backup,
) {
    let (Some(encryption), Some(path)) = (backup.encryption, &backup.path) else { return };
    if decrypting(reader.config.backup, source, path).is_none() {
        backup.findings.push(undecipherable(encryption));
    }
}

/// The source by whose `decrypt` what lies at `path` is decrypted: its own, or for a file that was named the one in
/// whose folder it lies.
fn decrypting<'a>(
    settings: &'a Settings,
    source: Option<&'a BackupSource>,
    path: &Path,
) -> Option<&'a BackupSource> {
    let lies_in = |source: &&BackupSource| {
        let folder = source.path.canonicalize();
        !source.path.as_os_str().is_empty() && folder.is_ok_and(|folder| path.starts_with(folder))
    };
    let of_folder = || settings.source.iter().find(lies_in);
    source.or_else(of_folder).filter(|source| !source.decrypt.is_empty())
}

/// Lays down in `folder`, which has its room from `disk`, what lies in `backup` at `path`.
///
/// # Errors
/// Why it can't be had.
pub(super) async fn unwrap(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
    (disk, folder): (&Folder, &Path),
) -> Result<Unwrapped, Finding> {
    let beside = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let (mut path, mut backup) = (path.to_path_buf(), backup.clone());
    for layer in 0..LAYERS_MAX {
        if !backup.is_wrapped() {
            let seal = check_seal(reader, &beside, &path, &backup).await?;
            return Ok(Unwrapped { path, backup, seal });
        }
        let factor = if backup.compression == Compression::None { 1 } else { EXPANSION };
        disk.require_room(backup.size_bytes.saturating_mul(factor))?;
        let to = folder.join(format!("layer-{layer}"));
        fs::create_dir_all(&to).map_err(|error| not_laid_down(&error))?;
        let inner = lay_down(reader, source, &backup, &path, &to).await?;
        let (started_at, started_from) = (backup.started_at, backup.started_from);
        let modified_at = backup.modified_at;
        let owned = inner.clone();
        let found = reader.blocking(move |_| bare::inspect(&owned, None)).await?;
        let found = found.map_err(|error| not_laid_down(&error))?;
        let nothing = || Finding::critical("format", "what is in it is neither a dump nor a base backup");
        let mut found = found.ok_or_else(nothing)?;
        if found.started_from == StartedFrom::Modified || found.modified_at > modified_at {
            found.modified_at = modified_at;
        }
        if found.started_from == StartedFrom::Modified {
            (found.started_at, found.started_from) = (started_at, started_from);
        }
        if layer > 0 {
            // The layer before is of no more use, and takes room.
            let _ = fs::remove_dir_all(folder.join(format!("layer-{}", layer - 1)));
        }
        (path, backup) = (inner, found);
    }
    Err(Finding::unknown("format", format!("holds more than {LAYERS_MAX} layers, one within the other")))
}

/// Makes of one layer the file or folder that is in it, below `to`.
async fn lay_down(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
    to: &Path,
) -> Result<PathBuf, Finding> {
    let (owned, target, modified_at) = (path.to_path_buf(), to.to_path_buf(), backup.modified_at);
    match backup.format {
        Some(Format::Encrypted) => {
            let encryption = backup.encryption.unwrap_or(Encryption::Unknown);
            let source =
                decrypting(reader.config.backup, source, path).ok_or_else(|| undecipherable(encryption))?;
            let target = to.join(plain_name(&file_name(path)));
            decrypt(reader, source, path, &target).await?;
            let time = FileTimes::new().set_modified(modified_at.into());
            let set = File::options().write(true).open(&target).and_then(|file| file.set_times(time));
            set.map_err(|error| not_laid_down(&error))?;
            Ok(target)
        }
        Some(Format::Parts) => {
            reader.blocking(move |meter| parts::join(&owned, &target, modified_at, meter)).await?
        }
        _ => reader.blocking(move |meter| bundle::unpack(&owned, &target, meter)).await?,
    }
}

/// Has the program of `source` decrypt `from` into the file `to`.
async fn decrypt(reader: &Reader<'_>, source: &BackupSource, from: &Path, to: &Path) -> Result<(), Finding> {
    let (name, args) =
        source.decrypt.split_first().map_or(("", &[][..]), |(name, args)| (name.as_str(), args));
    // The source's own program is another one: what lists and restores.
    let program = tool::named(reader.config.backup, source, Path::new(name), "decrypt");
    let (owned, target) = (from.to_path_buf(), to.to_path_buf());
    let feed: Feed = Box::new(move |meter: &Arc<Meter>| Ok(Box::new(meter.read(File::open(owned)?)) as _));
    let write = move |mut output: Metered<File>| {
        let written = File::create(&target).and_then(|mut file| io::copy(&mut output, &mut file));
        // What is not taken would keep the program waiting, or give it a reason of its own to complain.
        let _ = io::copy(&mut output, &mut io::sink());
        written
    };
    let args = args.iter().map(Into::into).collect();
    let ran = program.run(args, Some(feed), reader.progress, write).await?;
    if let Err(error) = &ran.output {
        return Err(not_laid_down(error));
    }
    if let Err(error) = &ran.fed {
        return Err(Finding::critical("read", format!("can't be read to its end: {error}")));
    }
    if let Some(complaint) = ran.complaint() {
        let words = hide(source, &complaint);
        return Err(Finding::critical(
            "decrypt",
            format!("can't be decrypted: {} failed: {words}", program.name()),
        ));
    }
    if ran.output.is_ok_and(|bytes| bytes == 0) {
        let text = format!("can't be decrypted: {} ended well but wrote nothing", program.name());
        return Err(Finding::critical("decrypt", text));
    }
    Ok(())
}

/// `words` of a program of `source`, less the secrets that it was given.
fn hide(source: &BackupSource, words: &str) -> String {
    let secrets = source.environment.values().map(|value| value.expose()).filter(|value| value.len() > 3);
    secrets.fold(words.to_owned(), |words, secret| words.replace(secret, "***"))
}

/// Holds what was laid down at `path` against the seal of its name that lies in `beside`, where the wrapped backup is.
async fn check_seal(
    reader: &Reader<'_>,
    beside: &Path,
    path: &Path,
    backup: &Backup,
) -> Result<Checked, Finding> {
    let (beside, path, backup) = (beside.to_path_buf(), path.to_path_buf(), backup.clone());
    let check = move |meter: &Arc<Meter>| -> Result<Checked, Finding> {
        seal::bring(&beside, &path).map_err(|error| not_laid_down(&error))?;
        let seal = seal::read(None, &backup)?;
        Ok(seal::check(&path, seal.as_ref(), meter))
    };
    reader.blocking(check).await?
}

fn not_laid_down(error: &io::Error) -> Finding {
    Finding::unknown("drill", format!("what is in it can't be laid down: {error}"))
}

/// Reads what lies in `backup` at `path` to its end.
pub(super) async fn read(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Reading {
    let result = async {
        let disk = reader.scratch()?;
        let folder = disk.path().join("files");
        let inner = unwrap(reader, source, backup, path, (&disk, &folder)).await?;
        let mut reading = Reading::default();
        // What is known to be broken is not given to programs.
        if inner.backup.findings.is_empty() {
            reading = bare::read(reader, source, &inner.backup, &inner.path).await;
        }
        reading.findings.splice(0..0, inner.backup.findings.iter().cloned());
        reading.findings.extend(source.and_then(|source| stale(source, &inner.backup)));
        match inner.seal {
            Checked::Absent => {}
            Checked::Holds(by) => {
                reading.is_checksummed = true;
                reading.notes.push(format!("sealed: every byte of what is in it is as {by} says"));
            }
            Checked::Broken(finding) => reading.findings.push(finding),
        }
        reading.notes.insert(0, format!("holds {}", inner.backup.name));
        reading.inner = Some(inner.backup);
        Ok(reading)
    };
    result.await.unwrap_or_else(Reading::of)
}

/// The finding for what is older inside than it seems from outside.
pub(super) fn stale(source: &BackupSource, inner: &Backup) -> Option<Finding> {
    (inner.started_from == StartedFrom::Header).then(|| too_old(source, inner)).flatten()
}

/// The finding for a backup in something else that is older than `source` allows.
pub(super) fn too_old(source: &BackupSource, inner: &Backup) -> Option<Finding> {
    let now = Utc::now();
    let age = (now - inner.started_at).to_std().ok()?;
    (age > source.max_age).then(|| {
        let text = format!(
            "holds a backup that began {} ago, more than max_age ({})",
            age_text(inner.started_at, now),
            duration_text(source.max_age)
        );
        Finding::critical("age", text)
    })
}
