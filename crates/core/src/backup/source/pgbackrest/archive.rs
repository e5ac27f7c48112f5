//! The archive of a stanza: what it holds of WAL, and whether that is what its names say.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Entry, Stanza, program};
use crate::{
    backup::{
        Backup, BackupSource, Finding,
        listing::Listing,
        reading::Reader,
        restored::Supply,
        tool,
        wal::{self, Begin, Holdings, Segment, bytes_of_segments, lsn_of},
    },
    progress::Silent,
    throwaway::Program,
};

#[derive(Deserialize)]
pub(super) struct Listed {
    #[serde(default)]
    time: Option<i64>,
}

/// The files of a repository below a folder.
pub(super) type Files = BTreeMap<String, Listed>;

/// Looks at what the archive has of what came after the `newest` backup.
pub(super) async fn check_archive(
    reader: &Reader<'_>,
    source: &BackupSource,
    (stanza, entries, newest): (&Stanza, &[&Entry], &Entry),
    archive: &Files,
    listing: &mut Listing,
) -> Result<(), Finding> {
    let bytes = segment_bytes(newest);
    let holdings = holdings_of(reader, source, (stanza, newest), archive).await?;
    let parse = |name: &Option<String>| Segment::parse(name.as_deref()?, bytes);
    if let Some(first) = parse(&newest.archive.start) {
        // What the backup itself lacks is said with it.
        let last = parse(&newest.archive.stop).map_or(first.number, |last| last.number.max(first.number));
        let own: Vec<Segment> = (first.number..=last).map(|number| Segment { number, ..first }).collect();
        listing.problems.extend(holdings.faults(first, Some(&own)));
    }
    let begin = |entry: &Entry| Some(Begin::bare(&entry.label, parse(&entry.archive.start)?));
    // Those from before an upgrade are of another cluster's archive.
    let of_newest = entries.iter().copied().filter(|entry| entry.database.id == newest.database.id);
    let begins: Vec<Begin> = of_newest.filter_map(begin).collect();
    listing.archived_until(source, holdings.times.values().max().copied(), Utc::now());
    listing.wal = Some(holdings.state(&begins, &[]));
    Ok(())
}

impl Stanza {
    /// Of the files of an `archive` those of that cluster, which lie in a folder such as `15-1`.
    fn own<'a>(
        &self,
        entry: &Entry,
        archive: &'a Files,
    ) -> impl Iterator<Item = (&'a String, &'a Listed)> + use<'a> {
        let folder = self.database_of(entry).map(|database| format!("{}-{}/", database.version, database.id));
        let folder = folder.unwrap_or_default();
        archive.iter().filter(move |(path, _)| path.starts_with(&folder))
    }
}

/// What the `archive` of the stanza holds of WAL, in segments as long as those of `entry`.
pub(super) async fn holdings_of(
    reader: &Reader<'_>,
    source: &BackupSource,
    (stanza, entry): (&Stanza, &Entry),
    archive: &Files,
) -> Result<Holdings, Finding> {
    let segment_bytes = segment_bytes(entry);
    let time = |(path, file): (&String, &Listed)| {
        Some((segment_of(path, segment_bytes)?, DateTime::from_timestamp(file.time?, 0)?))
    };
    let mut holdings = Holdings {
        place: format!("the archive of stanza {}", stanza.name),
        segments: segments(stanza, entry, archive),
        segment_bytes,
        times: stanza.own(entry, archive).filter_map(time).collect(),
        system: stanza.database_of(entry).and_then(|database| database.system),
        ..Holdings::default()
    };
    let scratch = reader.scratch()?;
    supply_of(reader, source, (stanza, entry), archive)
        .follow(&mut holdings, &scratch.path().join("history"))
        .await?;
    Ok(holdings)
}

/// Gives out the files of the `archive`, without a server's data folder, which `archive-get` asks for.
pub(super) fn supply_of(
    reader: &Reader<'_>,
    source: &BackupSource,
    (stanza, entry): (&Stanza, &Entry),
    archive: &Files,
) -> Supply {
    let named = |(path, _): (&String, &Listed)| {
        let file = path.rsplit('/').next()?;
        let name = if file.ends_with(".history") { file } else { file.split_once('-')?.0 };
        Some((name.to_owned(), format!("archive/{}/{path}", stanza.name)))
    };
    let paths = stanza.own(entry, archive).filter_map(named).collect();
    let repository = (stanza.repo.len() > 1).then(|| format!("--repo={}", entry.database.repository));
    let args = repository.into_iter().chain(["repo-get".to_owned()]);
    Supply::Repository(program(reader, source).with_args(args), paths)
}

/// The size of the stanza's segments, by the backup's place in WAL and the name of the segment there.
fn segment_bytes(entry: &Entry) -> u64 {
    let lsn = entry.lsn.as_ref().and_then(|lsn| lsn_of(lsn.start.as_deref()?));
    let known = entry.archive.start.as_deref().zip(lsn);
    known.map_or(wal::SEGMENT_BYTES, |(name, lsn)| bytes_of_segments(name, lsn))
}

/// The finding for WAL that the backup needs to be whole, and that is not in the archive.
pub(super) fn lacking_wal(stanza: &Stanza, entry: &Entry, archive: &Files) -> Option<Finding> {
    let bytes = segment_bytes(entry);
    let first = Segment::parse(entry.archive.start.as_deref()?, bytes)?;
    let last = Segment::parse(entry.archive.stop.as_deref()?, bytes)?;
    let there = segments(stanza, entry, archive);
    let missing: Vec<Segment> = (first.number..=last.number.max(first.number))
        .map(|number| Segment { number, ..first })
        .filter(|segment| !there.contains(segment))
        .collect();
    wal::missing_finding(&missing, bytes, "the archive")
}

fn segments(stanza: &Stanza, entry: &Entry, archive: &Files) -> Vec<Segment> {
    let bytes = segment_bytes(entry);
    stanza.own(entry, archive).filter_map(|(path, _)| segment_of(path, bytes)).collect()
}

/// The segment whose file is `15-1/0000000100000000/000000010000000000000002-<checksum>.gz`.
fn segment_of(path: &str, segment_bytes: u64) -> Option<Segment> {
    let (name, _) = path.rsplit('/').next()?.split_once('-')?;
    Segment::parse(name, segment_bytes)
}

/// Reads each archived segment from the backup's first on; none where pgBackRest does not tell which that is.
pub(super) async fn read_archive(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Option<usize>, Finding> {
    let (stanza, archive) = archive_of(reader, source, backup).await?;
    let entry = stanza.entry_of(backup)?;
    let start = entry.archive.start.as_deref();
    let Some(first) = start.and_then(|name| Segment::parse(name, segment_bytes(entry))) else {
        return Ok(None);
    };
    let held = holdings_of(reader, source, (&stanza, entry), &archive).await?;
    let scratch = reader.scratch()?;
    let supply = supply_of(reader, source, (&stanza, entry), &archive);
    Ok(Some(supply.check(&held, first, &scratch.path().join("segment")).await?))
}

/// What pgBackRest tells of the stanza, and the files of its archive in the backup's repository.
pub(super) async fn archive_of(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<(Stanza, Files), Finding> {
    let program = program(reader, source);
    let name = source.stanza.as_deref().unwrap_or_default();
    let stanzas: Vec<Stanza> = tool::json(&program, ["info", "--output=json"], &Silent).await?;
    let stanza = stanzas.into_iter().find(|stanza| stanza.name == name);
    let stanza =
        stanza.ok_or_else(|| Finding::critical("listing", format!("pgBackRest knows no stanza {name}")))?;
    let mut archive = Files::new();
    let is_of_it = |key| backup.repository.is_none_or(|repository| repository == key);
    for repository in stanza.repo.iter().filter(|repository| is_of_it(repository.key)) {
        archive
            .extend(list_files(&program, &stanza, repository.key, &format!("archive/{name}"), true).await?);
    }
    Ok((stanza, archive))
}

/// The files of a repository in the folder `path`.
pub(super) async fn list_files(
    program: &Program,
    stanza: &Stanza,
    repository: u32,
    path: &str,
    is_deep: bool,
) -> Result<Files, Finding> {
    let mut args = vec!["repo-ls".to_owned(), path.to_owned(), "--output=json".to_owned()];
    if stanza.repo.len() > 1 {
        args.push(format!("--repo={repository}"));
    }
    if is_deep {
        args.push("--recurse".to_owned());
    }
    tool::json(program, args, &Silent).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_found_in_a_listing() {
        let path =
            "15-1/0000000100000000/000000010000000000000002-50d22693fffbb6f843dcef1baf363d3d5c7acd6f.gz";
        assert_eq!(segment_of(path, wal::SEGMENT_BYTES), Some(Segment { timeline: 1, number: 2 }));
        assert_eq!(
            segment_of("15-1/0000000100000000/000000010000000000000002.00000028.backup", wal::SEGMENT_BYTES),
            None
        );
    }
}
