//! The backup among files that a tool brought back: a dump or a base backup, somewhere below a folder. It is as old as it
//! says itself, whatever it came out of.

mod names;

pub(super) use names::{Kind, matches};

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{bare, dump, files, wrapped};
use crate::backup::{
    Backup, BackupSource, Finding, StartedFrom, first_of,
    listing::Extent,
    reading::{Reader, Reading},
    restored::{Place, Restored},
};

/// So many backups that were not read are named.
const NAMED_MAX: usize = 10;

/// What lay in a folder.
struct Found {
    /// The backup that began last.
    path: PathBuf,
    backup: Backup,
    /// The others.
    others: Vec<Backup>,
    /// The dump of roles and tablespaces.
    globals: Option<String>,
}

/// Reads the backup below `folder`, which came out of `around`, to its end.
pub(super) async fn read(
    reader: &Reader<'_>,
    source: &BackupSource,
    around: &Backup,
    folder: &Path,
) -> Result<Reading, Finding> {
    let mut found = find(reader, source, around, folder).await?;
    wrapped::require_key(reader, Some(source), &mut found.backup);
    let of = Some(source).filter(|_| found.backup.is_wrapped());
    let mut reading = files::read(reader, of, &found.backup, &found.path).await;
    reading.findings.splice(0..0, found.backup.findings.iter().cloned());
    reading.findings.extend(found.stale(source));
    reading.findings.extend(found.unread());
    reading.notes.insert(0, format!("holds {}", found.backup.name));
    reading.notes.extend(found.earlier());
    reading.notes.extend(found.globals.iter().map(|name| format!("roles and tablespaces are in {name}")));
    reading.inner.get_or_insert(found.backup);
    Ok(reading)
}

/// Gives the backup below `folder`, which came out of `around`, to the drill.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    around: &Backup,
    folder: &Path,
) -> Result<Restored, Finding> {
    let found = find(reader, source, around, folder).await?;
    if let Some(finding) = found.backup.findings.first() {
        return Err(finding.clone());
    }
    let of = Some(source).filter(|_| found.backup.is_wrapped());
    let restored = files::restore(reader, place, of, &found.backup, &found.path).await?;
    let within = match &restored {
        Restored::Dump(_, inner) if found.backup.is_wrapped() => wrapped::stale(source, inner),
        _ => found.stale(source),
    };
    place.tell(within.into_iter().chain(found.unread()));
    Ok(restored)
}

impl Found {
    /// The finding for a backup that is older than what it lay in seems. What lies in something else is judged when it is
    /// laid down.
    fn stale(&self, source: &BackupSource) -> Option<Finding> {
        let is_told = !self.backup.is_wrapped() && self.backup.started_from != StartedFrom::Modified;
        is_told.then(|| wrapped::too_old(source, &self.backup)).flatten()
    }

    /// The finding for what is no earlier one of the same series, and was not looked at.
    fn unread(&self) -> Option<Finding> {
        let unread: Vec<String> =
            self.others.iter().filter(|other| !is_of_series(&self.backup, other)).map(called).collect();
        let text = format!(
            "holds backups that were not read: {}: the newest, {}, was; give each a source with its pattern",
            first_of(&unread, NAMED_MAX),
            called(&self.backup)
        );
        (!unread.is_empty()).then(|| Finding::warning("unread", text))
    }

    /// How many earlier ones of the same series were not looked at.
    fn earlier(&self) -> Option<String> {
        let earlier = self.others.iter().filter(|other| is_of_series(&self.backup, other)).count();
        (earlier > 0).then(|| format!("{earlier} earlier ones beside it were not read"))
    }
}

/// What a person calls it.
fn called(backup: &Backup) -> String {
    match &backup.database {
        Some(database) => format!("{} (of {database})", backup.name),
        None => backup.name.clone(),
    }
}

/// Whether `other` is an earlier backup of what `newest` is one of: of the same database, or where one of them does not
/// tell, called the same but for numbers.
fn is_of_series(newest: &Backup, other: &Backup) -> bool {
    let stem = |backup: &Backup| backup.name.replace(|letter: char| letter.is_ascii_digit(), "");
    match (&newest.database, &other.database) {
        (Some(one), Some(other)) => one == other,
        _ => stem(newest) == stem(other),
    }
}

async fn find(
    reader: &Reader<'_>,
    source: &BackupSource,
    around: &Backup,
    folder: &Path,
) -> Result<Found, Finding> {
    let (folder, owned) = (folder.to_path_buf(), source.clone());
    let found = reader
        .blocking(move |_| {
            let mut found = Vec::new();
            collect(&owned, &folder, &mut found).map(|()| found)
        })
        .await?;
    let found = found.map_err(|error| Finding::unknown("restore", format!("can't be looked at: {error}")))?;
    let is_globals = |(_, backup): &(PathBuf, Backup)| backup.extent == Extent::Globals;
    let (globals, mut found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_globals);
    found.sort_by_key(|(_, backup)| std::cmp::Reverse(backup.started_at));
    let mut found = found.into_iter();
    let Some((path, mut backup)) = found.next() else {
        let text = match &source.pattern {
            Some(pattern) => format!("holds neither a dump nor a base backup that matches {pattern}"),
            None => "holds neither a dump nor a base backup".to_owned(),
        };
        return Err(Finding::critical("restore", text));
    };
    if backup.started_from == StartedFrom::Modified {
        // Bringing it back may have written it anew.
        backup.started_at = backup.started_at.min(around.started_at);
    }
    let others = found.map(|(_, backup)| backup).collect();
    let globals = globals.into_iter().next().map(|(_, backup)| backup.name);
    Ok(Found { path, backup, others, globals })
}

fn collect(source: &BackupSource, folder: &Path, found: &mut Vec<(PathBuf, Backup)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_symlink() || names::is_none(source, &path) {
            continue;
        }
        let is_wanted = source.pattern.as_deref().is_none_or(|pattern| matches(pattern, &path));
        let is_backup = |backup: &Backup| backup.is_physical() || dump::looks_like_one(backup);
        match bare::inspect(&path, None)?.filter(is_backup) {
            // Of the globals it is told where they are.
            Some(backup) if is_wanted || backup.extent == Extent::Globals => found.push((path, backup)),
            Some(_) => {}
            None if kind.is_dir() => collect(source, &path, found)?,
            None => {}
        }
    }
    Ok(())
}
