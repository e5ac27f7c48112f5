//! Dumps and base backups in object storage that speaks S3.
//!
//! A listing shows names, sizes and the time of the upload, which is the last evidence of a backup's age: a copy of last
//! month's dump is as young as the copying. So the date in a name counts first, and when an object is here, what it says
//! itself. To be read or restored it is brought into a private folder, and is a file from there on.

mod http;
mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, FileTimes},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Local, Utc};
use futures_util::{TryStreamExt as _, future::join_all};
use glob::Pattern;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, aws::AmazonS3, path::Path as Key};
use tokio::io::AsyncWriteExt as _;

use super::{
    files::{self, MATCHING},
    wrapped,
};
use crate::{
    backup::{
        Backup, BackupKind, BackupSource, Finding, Format, StartedFrom,
        listing::{Extent, Listing},
        reading::Reader,
        seal, size_text, start,
    },
    throwaway::Folder,
};

/// Of what lies below a prefix, so much is looked at.
const OBJECTS_MAX: usize = 500_000;

/// So many bytes of an object are asked for at once.
const PIECE_BYTES: u64 = 8 << 20;

/// So many objects of one backup are fetched at once.
const AT_ONCE: usize = 4;

/// An object, with its name below the prefix.
struct Object {
    name: String,
    meta: ObjectMeta,
}

/// What of the objects is one backup.
struct Candidate<'a> {
    /// The object's name, or that of the folder in which all of its objects are.
    name: &'a str,
    is_folder: bool,
    objects: Vec<&'a Object>,
}

/// A backup that was brought here, for as long as this is kept.
pub(in crate::backup) struct Fetched {
    pub(in crate::backup) backup: Backup,
    pub(in crate::backup) findings: Vec<Finding>,
    pub(in crate::backup) notes: Vec<String>,
    _folder: Folder,
}

/// Finds the backups below the prefix.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let store = store::open(reader.config.backup, source)?;
    let objects = objects(&store, source).await?;
    if objects.is_empty() {
        let text = format!(
            "there is nothing in {}; see prefix and bucket of source {:?}, and whether anything is uploaded there",
            source.place(),
            source.name
        );
        return Err(Finding::unknown("listing", text));
    }
    let candidates = candidates(source, &objects)?;
    let mut listing = Listing::default();
    let mut tags: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        listing.backups.push(candidate.backup());
        if let [Object { meta: ObjectMeta { e_tag: Some(tag), size: 1.., .. }, .. }] = candidate.objects[..] {
            tags.entry(tag).or_default().push(at);
        }
    }
    for alike in tags.values().filter(|alike| alike.len() > 1) {
        note_twins(&mut listing.backups, alike);
    }
    let globals = objects.iter().find(|object| is_globals(&object.name, source));
    for backup in &mut listing.backups {
        backup.globals = globals.map(|object| base_name(&object.name).to_owned());
    }
    Ok(listing)
}

/// Notes for each of the backups `alike`, which have the same bytes by the storage's own sum of them, one that is no younger.
fn note_twins(backups: &mut [Backup], alike: &[usize]) {
    let time = |backup: &Backup| (backup.started_at, backup.modified_at);
    for one in alike {
        let is_no_younger = |other: &&usize| *other != one && time(&backups[**other]) <= time(&backups[*one]);
        let twin = alike.iter().find(is_no_younger).map(|other| PathBuf::from(&backups[*other].name));
        backups[*one].twin = twin;
    }
}

/// Brings `backup` of `source` here, where it lies in object storage; none where it does not.
///
/// # Errors
/// Why it can't be had.
pub(in crate::backup) async fn fetch(
    reader: &Reader<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
) -> Result<Option<Fetched>, Finding> {
    let Some(source) = source.filter(|source| source.kind == BackupKind::S3) else { return Ok(None) };
    let store = store::open(reader.config.backup, source)?;
    let objects = objects(&store, source).await?;
    let candidates = candidates(source, &objects)?;
    let gone = || Finding::unknown("read", "was removed since it was listed; try again");
    let candidate = candidates.iter().find(|candidate| candidate.name == backup.name).ok_or_else(gone)?;
    let beside = |name: &str| {
        let folder = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let suffix = name.strip_prefix(candidate.name);
        suffix.is_some_and(|suffix| suffix.starts_with('.') && seal::is_seal(Path::new(suffix)))
            || (is_globals(name, source) && folder(name) == folder(candidate.name))
    };
    let companions = objects.iter().filter(|object| beside(&object.name));
    let all: Vec<&Object> = candidate.objects.iter().copied().chain(companions).collect();
    let bytes = all.iter().map(|object| object.meta.size).sum();
    let folder = reader.scratch()?;
    folder.require_room(bytes)?;
    reader.progress.begin(&format!("download {}", backup.name), Some(bytes));
    let top = folder.path().join("object");
    let base = candidate.name.rsplit_once('/').map_or(0, |(folder, _)| folder.len() + 1);
    let mut version = None;
    for group in all.chunks(AT_ONCE) {
        let mut under_way = Vec::new();
        for object in group {
            under_way.push(download(reader, source, &store, &object.meta, top.join(&object.name[base..])));
        }
        for told in join_all(under_way).await {
            version = version.or(told?);
        }
    }
    let path = top.join(&candidate.name[base..]);
    let (found, findings) = look(reader, source, &path, backup).await?;
    let mut notes = vec![format!("{} were downloaded from {}", size_text(bytes), source.place())];
    notes.extend(version.map(|version| format!("the object's version is {version}")));
    Ok(Some(Fetched { backup: found, findings, notes, _folder: folder }))
}

/// Looks at what was downloaded to `path`, and says what the listing did not show.
async fn look(
    reader: &Reader<'_>,
    source: &BackupSource,
    path: &Path,
    listed: &Backup,
) -> Result<(Backup, Vec<Finding>), Finding> {
    let owned = path.to_path_buf();
    let found = reader.blocking(move |_| files::inspect_named(&owned)).await?;
    let found = found.map_err(|error| Finding::unknown("read", format!("can't be looked at: {error}")))?;
    let nothing = || Finding::critical("format", "holds neither a dump nor a base backup");
    let mut found = found.ok_or_else(nothing)?;
    if found.format == Some(Format::Parts) {
        let text =
            "is a part of what was split, which is not read from object storage; upload it as one object";
        return Err(Finding::unknown("format", text));
    }
    if found.extent == Extent::Globals {
        return Err(Finding::critical("format", "holds roles and tablespaces alone, and no database"));
    }
    if found.started_from == StartedFrom::Modified {
        (found.started_at, found.started_from) = (listed.started_at, listed.started_from);
    }
    found.globals.clone_from(&listed.globals);
    wrapped::require_key(reader, Some(source), &mut found);
    let mut findings = found.findings.clone();
    findings.extend(wrapped::stale(source, &found));
    if let Some(twin) = &listed.twin {
        let text = format!(
            "has the same bytes as {}: it is a copy of it, or nothing changed in between",
            twin.display()
        );
        findings.push(Finding::warning("copy", text));
    }
    Ok((found, findings))
}

/// Writes an object to the file `to`; its version, where the storage keeps several.
async fn download(
    reader: &Reader<'_>,
    source: &BackupSource,
    store: &AmazonS3,
    object: &ObjectMeta,
    to: PathBuf,
) -> Result<Option<String>, Finding> {
    let not_written = |error: std::io::Error| {
        Finding::unknown("drill", format!("{} can't be written: {error}", to.display()))
    };
    fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(not_written)?;
    let mut file = tokio::fs::File::create(&to).await.map_err(not_written)?;
    let mut version = None;
    let mut done = 0;
    while done < object.size {
        let end = object.size.min(done + PIECE_BYTES);
        let options = GetOptions {
            // All pieces of the same bytes.
            if_match: object.e_tag.clone(),
            range: Some(GetRange::Bounded(done..end)),
            ..GetOptions::default()
        };
        let piece = async {
            let answer = store.get_opts(&object.location, options).await?;
            Ok((answer.meta.version.clone(), answer.bytes().await?))
        };
        let (told, bytes) = piece.await.map_err(|error| broken_off(source, &error, done, object.size))?;
        if bytes.len() as u64 != end - done {
            let text = format!(
                "broke off on its way here, at {} of {}; try again",
                size_text(done + bytes.len() as u64),
                size_text(object.size)
            );
            return Err(Finding::unknown("read", text));
        }
        file.write_all(&bytes).await.map_err(not_written)?;
        reader.progress.advance(bytes.len() as u64);
        (version, done) = (told, end);
    }
    file.flush().await.map_err(not_written)?;
    drop(file);
    let time = FileTimes::new().set_modified(object.last_modified.into());
    let set = File::options().write(true).open(&to).and_then(|file| file.set_times(time));
    set.map_err(not_written)?;
    Ok(version)
}

fn broken_off(source: &BackupSource, error: &object_store::Error, done: u64, size: u64) -> Finding {
    let text = match error {
        object_store::Error::Precondition { .. } => {
            "was replaced while it was downloaded; try again".to_owned()
        }
        object_store::Error::NotFound { .. } => "was removed since it was listed; try again".to_owned(),
        error => format!(
            "could not be downloaded further than {} of {}: {}",
            size_text(done),
            size_text(size),
            store::refusal(source, error)
        ),
    };
    Finding::unknown("read", text)
}

/// All that lies below the prefix.
async fn objects(store: &AmazonS3, source: &BackupSource) -> Result<Vec<Object>, Finding> {
    let wrong = |error: object_store::Error| Finding::unknown("listing", store::refusal(source, &error));
    let prefix = source.prefix.as_deref().unwrap_or_default().trim_matches('/');
    let key = Key::parse(prefix).map_err(|_| {
        let text = format!(
            "prefix {prefix:?} of source {:?} is no name of a folder; write it like stock/nightly",
            source.name
        );
        Finding::unknown("listing", text)
    })?;
    let mut found = Vec::new();
    let mut pages = store.list(Some(&key).filter(|_| !prefix.is_empty()));
    while let Some(meta) = pages.try_next().await.map_err(wrong)? {
        let location = meta.location.as_ref();
        let below = if prefix.is_empty() {
            Some(location)
        } else {
            location.strip_prefix(key.as_ref()).and_then(|rest| rest.strip_prefix('/'))
        };
        if let Some(name) = below.filter(|name| !name.is_empty()) {
            found.push(Object { name: name.to_owned(), meta });
        }
        if found.len() > OBJECTS_MAX {
            let text = format!(
                "more than {OBJECTS_MAX} objects are in {}; set prefix of source {:?} to where its backups are",
                source.place(),
                source.name
            );
            return Err(Finding::unknown("listing", text));
        }
    }
    // What programs leave where they show a folder: an object without bytes that is called like the folder.
    let folders: BTreeSet<String> = found
        .iter()
        .flat_map(|object| object.name.match_indices('/').map(|(at, _)| object.name[..at].to_owned()))
        .collect();
    found.retain(|object| object.meta.size > 0 || !folders.contains(&object.name));
    Ok(found)
}

/// What of the objects are backups, by the pattern.
fn candidates<'a>(source: &BackupSource, objects: &'a [Object]) -> Result<Vec<Candidate<'a>>, Finding> {
    let pattern = source.pattern.as_deref().unwrap_or("*");
    let pattern = Pattern::new(pattern)
        .map_err(|error| Finding::unknown("listing", format!("{pattern} is not a pattern: {error}")))?;
    let mut found: BTreeMap<&str, Candidate<'a>> = BTreeMap::new();
    for object in objects {
        let name = object.name.as_str();
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        let matching = ends.map(|end| &name[..end]).find(|part| pattern.matches_with(part, MATCHING));
        let Some(entry) = matching else { continue };
        let path = Path::new(entry);
        let is_folder = entry.len() < name.len();
        if seal::is_seal(path)
            || files::is_passed_over(path, source)
            || (!is_folder && is_globals(entry, source))
        {
            continue;
        }
        let new = || Candidate { name: entry, is_folder, objects: Vec::new() };
        found.entry(entry).or_insert_with(new).objects.push(object);
    }
    Ok(found.into_values().collect())
}

impl Candidate<'_> {
    /// What the listing shows of it.
    fn backup(&self) -> Backup {
        let times = self.objects.iter().map(|object| object.meta.last_modified);
        let modified_at: DateTime<Utc> = times.max().unwrap_or_default();
        let size = self.objects.iter().map(|object| object.meta.size).sum();
        let begun = start::from_name(&Local, self.name, modified_at);
        let mut backup = Backup::of_tool(self.name.to_owned(), Some(Format::Object), size, begun.at);
        backup.started_from = begun.from;
        backup.modified_at = modified_at;
        if size == 0 {
            let what =
                if self.is_folder { "holds only empty objects (0 bytes)" } else { "is empty (0 bytes)" };
            backup.find("size", what);
        }
        backup
    }
}

/// Whether an object is called as dumps of roles and tablespaces are, and is not asked for by that name.
fn is_globals(name: &str, source: &BackupSource) -> bool {
    let (name, pattern) =
        (base_name(name).to_lowercase(), source.pattern.as_deref().unwrap_or_default().to_lowercase());
    !seal::is_seal(Path::new(&name))
        && ["globals", "roles"].iter().any(|word| name.contains(word) && !pattern.contains(word))
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
