//! WAL-G, by the JSON of its `backup-list --detail` and `wal-show`. The latter needs no server, unlike `wal-verify`.

use std::ffi::OsString;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::basebackup;
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format,
        listing::Listing,
        reading::{Reader, Reading},
        restored::{Place, Recovery, Restored, Supply},
        tool,
        wal::{Begin, Holdings, SEGMENT_BYTES, Segment, bytes_of_segments, page_note},
    },
    progress::Silent,
    throwaway::Program,
};

#[derive(Deserialize)]
struct Entry {
    backup_name: String,
    #[serde(default)]
    start_time: Option<DateTime<Utc>>,
    #[serde(default)]
    finish_time: Option<DateTime<Utc>>,
    /// When it was stored; older versions call it so, and tell no other time.
    time: DateTime<Utc>,
    #[serde(default)]
    pg_version: Option<u32>,
    #[serde(default)]
    start_lsn: Option<u64>,
    #[serde(default)]
    uncompressed_size: u64,
    #[serde(default)]
    compressed_size: u64,
    #[serde(default)]
    system_identifier: Option<u64>,
}

#[derive(Deserialize)]
struct Timeline {
    id: u32,
    status: String,
    #[serde(default)]
    missing_segments: Option<Vec<String>>,
    #[serde(default)]
    start_segment: Option<String>,
    #[serde(default)]
    end_segment: Option<String>,
}

fn program(reader: &Reader<'_>, source: &BackupSource) -> Program {
    tool::of_source(reader.config.backup, source, "wal-g").with_args(options(source))
}

fn options(source: &BackupSource) -> Vec<OsString> {
    source.config_file.iter().map(|file| format!("--config={}", file.display()).into()).collect()
}

/// Finds the backups in the storage.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let program = program(reader, source);
    let entries: Option<Vec<Entry>> =
        tool::json(&program, ["backup-list", "--detail", "--json"], &Silent).await?;
    let entries = entries.unwrap_or_default();
    let mut listing = Listing::default();
    for entry in &entries {
        let delta_of = entry.backup_name.split_once("_D_").map(|(_, segment)| segment);
        let format = if delta_of.is_some() { Format::Incremental } else { Format::Full };
        let size = entry.uncompressed_size.max(entry.compressed_size);
        let started_at = entry.start_time.unwrap_or(entry.time);
        let mut backup = Backup::of_tool(entry.backup_name.clone(), Some(format), size, started_at);
        backup.modified_at = entry.finish_time.unwrap_or(entry.time);
        backup.server_version = entry.pg_version.map(|version| (version / 10_000).to_string());
        if let Some(segment) = delta_of {
            // `base_000000010000000000000004_D_000000010000000000000002` needs what began in segment ...02.
            let needed = format!("base_{segment}");
            let is_needed = |other: &&Entry| {
                other.backup_name == needed || other.backup_name.starts_with(&format!("{needed}_D_"))
            };
            if !entries.iter().any(|other| is_needed(&other)) {
                backup.find("chain", format!("needs the backup {needed}, which is gone"));
            }
        }
        listing.backups.push(backup);
    }
    if entries.is_empty() {
        return Ok(listing);
    }
    let timelines: Option<Vec<Timeline>> =
        tool::json(&program, ["wal-show", "--detailed-json"], &Silent).await?;
    let timelines = timelines.unwrap_or_default();
    if timelines.is_empty() {
        listing.problems.push(Finding::critical("wal", "no WAL was ever archived"));
    } else {
        check_archive(reader, source, (&entries, &timelines), &mut listing).await?;
    }
    Ok(listing)
}

/// Looks at what the storage has of what came after the newest backup.
async fn check_archive(
    reader: &Reader<'_>,
    source: &BackupSource,
    (entries, timelines): (&[Entry], &[Timeline]),
    listing: &mut Listing,
) -> Result<(), Finding> {
    let newest = entries.iter().max_by_key(|entry| entry.start_time.unwrap_or(entry.time));
    let bytes = newest.map_or(SEGMENT_BYTES, Entry::segment_bytes);
    let begin = |entry: &Entry| {
        Some(Begin::bare(&entry.backup_name, first_segment(&entry.backup_name, entry.segment_bytes())?))
    };
    let begins: Vec<Begin> = entries.iter().filter_map(begin).collect();
    let first = newest.and_then(|entry| first_segment(&entry.backup_name, bytes));
    let held = holdings(reader, source, timelines, newest).await?;
    if let (Some(holdings), Some(first)) = (held, first) {
        listing.problems.extend(holdings.faults(first, None));
        listing.wal = Some(holdings.state(&begins, &[]));
        return Ok(());
    }
    // Where it does not tell by segments, its word is all there is.
    if let Some(timeline) = timelines.iter().max_by_key(|timeline| timeline.id)
        && timeline.status != "OK"
    {
        let text = format!("WAL is missing on timeline {} ({})", timeline.id, timeline.status);
        listing.problems.push(Finding::critical("wal", text));
    }
    Ok(())
}

impl Entry {
    /// The size of the cluster's segments, by its place in WAL and the name of the segment there.
    fn segment_bytes(&self) -> u64 {
        let name = self.backup_name.strip_prefix("base_").and_then(|name| name.get(..24));
        name.zip(self.start_lsn).map_or(SEGMENT_BYTES, |(name, lsn)| bytes_of_segments(name, lsn))
    }
}

/// The segment in which a backup begins, as its name tells it: `base_000000010000000000000004_D_...`.
fn first_segment(name: &str, segment_bytes: u64) -> Option<Segment> {
    Segment::parse(name.strip_prefix("base_")?.get(..24)?, segment_bytes)
}

/// Fetches the backup, which decompresses and decrypts all of it, and looks at what came.
pub(super) async fn read(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    let fetched = async {
        let folder = reader.scratch()?;
        folder.require_room(backup.size_bytes)?;
        let data = folder.path().join("data");
        fetch(reader, source, backup, &data).await?;
        let mut reading = Reading::default();
        reading.notes.push("fetched to its end (wal-g backup-fetch)".to_owned());
        reading.look_at(basebackup::read_pages_of(reader, &data).await?);
        match read_archive(reader, source, backup, folder.path()).await {
            Ok(count) => reading.notes.extend(count.map(page_note)),
            Err(finding) => reading.findings.push(finding),
        }
        Ok(reading)
    };
    fetched.await.unwrap_or_else(Reading::of)
}

/// Fetches each segment of WAL from the backup's first on into `scratch`, and reads it; none where WAL-G does not tell
/// which there are.
async fn read_archive(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
    scratch: &std::path::Path,
) -> Result<Option<usize>, Finding> {
    let Some(held) = held(reader, source, backup).await? else { return Ok(None) };
    let Some(first) = first_segment(&backup.name, held.segment_bytes) else { return Ok(None) };
    Ok(Some(supply(reader, source).check(&held, first, &scratch.join("segment")).await?))
}

/// Fetches the backup, and lets the server fetch its WAL.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Restored, Finding> {
    fetch(reader, source, backup, &place.data()).await?;
    let (supply, holdings) = (supply(reader, source), held(reader, source, backup).await?);
    Ok(Restored::Data(Recovery { supply, holdings }))
}

fn supply(reader: &Reader<'_>, source: &BackupSource) -> Supply {
    Supply::Tool(program(reader, source).with_args(["wal-fetch"]))
}

/// What the storage holds of WAL for `backup`, as it is now.
async fn held(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Option<Holdings>, Finding> {
    let program = program(reader, source);
    let entries: Option<Vec<Entry>> =
        tool::json(&program, ["backup-list", "--detail", "--json"], &Silent).await?;
    let timelines: Option<Vec<Timeline>> =
        tool::json(&program, ["wal-show", "--detailed-json"], &Silent).await?;
    let entries = entries.unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.backup_name == backup.name);
    holdings(reader, source, &timelines.unwrap_or_default(), entry).await
}

/// What the storage holds of WAL, in segments as long as those of `entry`, with the histories of its timelines; none where WAL-G
/// does not tell by segments.
async fn holdings(
    reader: &Reader<'_>,
    source: &BackupSource,
    timelines: &[Timeline],
    entry: Option<&Entry>,
) -> Result<Option<Holdings>, Finding> {
    let segment_bytes = entry.map_or(SEGMENT_BYTES, Entry::segment_bytes);
    let unknown = || Finding::unknown("tool", "wal-g tells of WAL by a name that is none");
    let parse = |name: &String| Segment::parse(name, segment_bytes).ok_or_else(unknown);
    let mut segments = Vec::new();
    for timeline in timelines {
        let (Some(start), Some(end)) = (&timeline.start_segment, &timeline.end_segment) else {
            return Ok(None);
        };
        let (start, end) = (parse(start)?, parse(end)?);
        let missing: Vec<Segment> =
            timeline.missing_segments.iter().flatten().map(parse).collect::<Result<_, _>>()?;
        let numbers = (start.number..=end.number).map(|number| Segment { number, ..start });
        segments.extend(numbers.filter(|segment| !missing.contains(segment)));
    }
    let place = "the storage of WAL-G".to_owned();
    let system = entry.and_then(|entry| entry.system_identifier);
    let mut held = Holdings { place, segments, segment_bytes, system, ..Holdings::default() };
    let scratch = reader.scratch()?;
    supply(reader, source).follow(&mut held, &scratch.path().join("history")).await?;
    Ok(Some(held))
}

async fn fetch(
    reader: &Reader<'_>,
    source: &BackupSource,
    backup: &Backup,
    data: &std::path::Path,
) -> Result<(), Finding> {
    let args: [OsString; 3] = ["backup-fetch".into(), data.into(), backup.name.clone().into()];
    let program = program(reader, source).within(reader.config.backup.timeout);
    let ran = program.text(args, reader.progress).await?;
    tool::restored(ran)?;
    basebackup::is_data_folder(data)?;
    // What lay in the data folder beside, or is of a restore before, may have come along in its place.
    let own = backup.name.strip_prefix("base_").and_then(|name| name.get(8..24));
    let found = basebackup::label_segment(data);
    if let (Some(own), Some(found)) = (own, found)
        && found.get(8..24) != Some(own)
    {
        let text = format!(
            "what was fetched has a backup_label that is another backup's: it begins in {found}, so that a recovery ends elsewhere or nowhere"
        );
        return Err(Finding::critical("read", text));
    }
    Ok(())
}
