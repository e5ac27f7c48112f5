//! pgBackRest. `info` ends with status 0 whatever it finds, and tells what was once recorded, not what is there: so
//! its own status is read, and the repository is listed beside it.

mod archive;

use std::{collections::BTreeMap, ffi::OsString};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{
    backup::{
        Backup, BackupSource, Finding, Format, duration_text,
        listing::Listing,
        reading::{Reader, Reading},
        restored::{Place, Recovery, Restored, Supply},
        tool,
        wal::{WalState, page_note},
    },
    progress::Silent,
    throwaway::Program,
};
use archive::{Files, archive_of, check_archive, holdings_of, lacking_wal, list_files, read_archive};

/// How many lines of a report are repeated.
const NAMED_MAX: usize = 5;

#[derive(Deserialize)]
struct Stanza {
    name: String,
    status: Status,
    #[serde(default)]
    backup: Vec<Entry>,
    #[serde(default)]
    repo: Vec<Repository>,
    #[serde(default)]
    db: Vec<Database>,
}

#[derive(Deserialize)]
struct Status {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    key: u32,
    status: Status,
}

#[derive(Deserialize)]
struct Database {
    id: u32,
    #[serde(rename = "repo-key")]
    repository: u32,
    version: String,
    #[serde(default, rename = "system-id")]
    system: Option<u64>,
}

#[derive(Deserialize)]
struct Entry {
    label: String,
    #[serde(rename = "type")]
    kind: String,
    archive: Range,
    lsn: Option<Range>,
    /// Whether pages were found whose checksum does not hold; null where nobody looked.
    error: Option<bool>,
    info: Info,
    reference: Option<Vec<String>>,
    timestamp: Timestamp,
    database: EntryDatabase,
}

#[derive(Deserialize)]
struct Range {
    start: Option<String>,
    stop: Option<String>,
}

#[derive(Deserialize)]
struct Info {
    size: u64,
}

#[derive(Deserialize)]
struct Timestamp {
    start: i64,
    stop: i64,
}

#[derive(Deserialize)]
struct EntryDatabase {
    id: u32,
    #[serde(rename = "repo-key")]
    repository: u32,
}

fn program(reader: &Reader<'_>, source: &BackupSource) -> Program {
    tool::of_source(reader.config.backup, source, "pgbackrest").with_args(options(source))
}

/// The same for the repository that `backup` is in, where there are several.
fn program_for(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Program {
    let repository = backup.repository.map(|key| format!("--repo={key}"));
    program(reader, source).with_args(repository)
}

/// The options of every call.
fn options(source: &BackupSource) -> Vec<OsString> {
    let mut options: Vec<OsString> = Vec::new();
    if let Some(file) = &source.config_file {
        options.push(format!("--config={}", file.display()).into());
    }
    options.push(format!("--stanza={}", source.stanza.as_deref().unwrap_or_default()).into());
    options.push("--log-level-file=off".into());
    options
}

/// Finds the backups of the stanza.
///
/// # Errors
/// Why nothing can be told of them.
pub(super) async fn list(reader: &Reader<'_>, source: &BackupSource) -> Result<Listing, Finding> {
    let program = program(reader, source);
    let name = source.stanza.as_deref().unwrap_or_default();
    let stanzas: Vec<Stanza> = tool::json(&program, ["info", "--output=json"], &Silent).await?;
    let mut listing = Listing::default();
    let Some(stanza) = stanzas.into_iter().find(|stanza| stanza.name == name) else {
        return Err(Finding::critical("listing", format!("pgBackRest knows no stanza {name}")));
    };
    listing.problems.extend(problems(&stanza, source.repo));
    let (mut folders, mut archives) = (BTreeMap::new(), BTreeMap::new());
    if !stanza.backup.is_empty() {
        for repository in &stanza.repo {
            let list = |path: String, is_deep| {
                let (program, stanza) = (&program, &stanza);
                async move { list_files(program, stanza, repository.key, &path, is_deep).await }
            };
            folders.insert(repository.key, list(format!("backup/{name}"), false).await?);
            archives.insert(repository.key, list(format!("archive/{name}"), true).await?);
        }
    }
    let nothing = Files::new();
    let asked = stanza.repo.iter().filter(|repository| source.repo.is_none_or(|key| repository.key == key));
    let asked: Vec<u32> = asked.map(|repository| repository.key).collect();
    if let (Some(key), true) = (source.repo, asked.is_empty()) {
        return Err(Finding::critical(
            "listing",
            format!("pgBackRest knows no repository {key} of the stanza {name}"),
        ));
    }
    for key in &asked {
        let archive = archives.get(key).unwrap_or(&nothing);
        let entries: Vec<&Entry> =
            stanza.backup.iter().filter(|entry| entry.database.repository == *key).collect();
        for entry in &entries {
            let mut backup = look_at(entry, &stanza, &folders, archive)?;
            backup.repository = (stanza.repo.len() > 1).then_some(*key);
            listing.backups.push(backup);
        }
        let mut own = Listing::default();
        match entries.iter().max_by_key(|entry| entry.timestamp.start) {
            Some(newest) => {
                let of = (&stanza, &entries[..], *newest);
                check_archive(reader, source, of, archive, &mut own).await?;
                own.problems.extend(stale(source, newest).filter(|_| asked.len() > 1));
            }
            None if asked.len() > 1 => own.problems.push(Finding::critical("listing", "holds no backup")),
            None => {}
        }
        for finding in &mut own.problems {
            if asked.len() > 1 {
                finding.text = format!("repository {key}: {}", finding.text);
            }
        }
        listing.problems.append(&mut own.problems);
        // A restore takes what goes furthest.
        listing.wal = [listing.wal, own.wal].into_iter().flatten().max_by_key(WalState::end);
        listing.archive_end_at = listing.archive_end_at.max(own.archive_end_at);
    }
    Ok(listing)
}

/// The finding for a repository whose `newest` backup is too old: behind a younger one in another it would hide.
fn stale(source: &BackupSource, newest: &Entry) -> Option<Finding> {
    let (now, at) = (Utc::now(), DateTime::from_timestamp(newest.timestamp.start, 0)?);
    let age = (now - at).to_std().ok()?;
    (age > source.max_age).then(|| {
        let text = format!(
            "its newest backup, {}, began {} ago, more than max_age ({})",
            newest.label,
            duration_text(age),
            duration_text(source.max_age)
        );
        Finding::critical("age", text)
    })
}

/// What pgBackRest itself finds wrong with the stanza and its repositories.
fn problems(stanza: &Stanza, only: Option<u32>) -> Vec<Finding> {
    let problem = |status: &Status, what: String| {
        let text = || format!("{what} is not well: {}", status.message);
        (status.code != 0).then(|| Finding::critical("status", text()))
    };
    let name = &stanza.name;
    let mut problems = Vec::new();
    if only.is_none() {
        problems.extend(problem(&stanza.status, format!("the stanza {name}")));
    }
    if stanza.repo.len() > 1 {
        let asked = stanza.repo.iter().filter(|repository| only.is_none_or(|key| repository.key == key));
        problems.extend(asked.filter_map(|repository| {
            problem(&repository.status, format!("repository {} of the stanza {name}", repository.key))
        }));
    }
    problems
}

/// One of the backups, with what is missing of it in its repository's `folders` and `archive`.
fn look_at(
    entry: &Entry,
    stanza: &Stanza,
    folders: &BTreeMap<u32, Files>,
    archive: &Files,
) -> Result<Backup, Finding> {
    let mut backup = describe(entry, stanza)?;
    let is_there = |label: &str| {
        folders.get(&entry.database.repository).is_some_and(|folders| folders.contains_key(label))
    };
    if !is_there(&entry.label) {
        backup.find("listing", "is gone: pgBackRest lists it, but its repository has no such folder");
    }
    for reference in entry.reference.iter().flatten() {
        if !stanza.backup.iter().any(|entry| entry.label == *reference) || !is_there(reference) {
            backup.find("chain", format!("needs the backup {reference}, which is gone"));
        }
    }
    if entry.error == Some(true) {
        let text = "has pages whose checksum does not hold: pgBackRest flagged it when it was made";
        backup.find("status", text);
    }
    backup.findings.extend(lacking_wal(stanza, entry, archive));
    Ok(backup)
}

impl Stanza {
    /// The cluster that the backup `entry` is of; after an upgrade there are several.
    fn database_of(&self, entry: &Entry) -> Option<&Database> {
        let of = |database: &&Database| {
            (database.id, database.repository) == (entry.database.id, entry.database.repository)
        };
        self.db.iter().find(of)
    }

    /// What it tells of `backup`.
    fn entry_of(&self, backup: &Backup) -> Result<&Entry, Finding> {
        let is_it = |entry: &&Entry| {
            entry.label == backup.name
                && backup.repository.is_none_or(|repository| entry.database.repository == repository)
        };
        self.backup.iter().find(is_it).ok_or_else(|| {
            Finding::critical("listing", format!("pgBackRest does not list {} any more", backup.name))
        })
    }
}

fn describe(entry: &Entry, stanza: &Stanza) -> Result<Backup, Finding> {
    let format = match entry.kind.as_str() {
        "full" => Format::Full,
        "diff" => Format::Differential,
        "incr" => Format::Incremental,
        kind => {
            return Err(Finding::unknown(
                "tool",
                format!("pgBackRest tells of an unknown type of backup, {kind}"),
            ));
        }
    };
    let time = |seconds: i64| {
        DateTime::from_timestamp(seconds, 0)
            .ok_or_else(|| Finding::unknown("tool", "pgBackRest tells of an impossible time"))
    };
    let mut backup =
        Backup::of_tool(entry.label.clone(), Some(format), entry.info.size, time(entry.timestamp.start)?);
    backup.modified_at = time(entry.timestamp.stop)?;
    backup.server_version = stanza.database_of(entry).map(|database| database.version.clone());
    Ok(backup)
}

/// Has pgBackRest read and check every file of the repository, and reads the archived WAL behind the backup: checksums say nothing
/// of what a file should be.
pub(super) async fn read(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Reading {
    let mut reading = verify(reader, source, backup).await.unwrap_or_else(Reading::of);
    match read_archive(reader, source, backup).await {
        Ok(count) => reading.notes.extend(count.map(page_note)),
        Err(finding) => reading.findings.push(finding),
    }
    reading
}

/// Has pgBackRest check every file of its repository. Its exit status says nothing, its report does.
async fn verify(reader: &Reader<'_>, source: &BackupSource, backup: &Backup) -> Result<Reading, Finding> {
    let program = program_for(reader, source, backup).within(reader.config.backup.timeout);
    let ran = program.text(["verify", "--output=text", "--verbose"], reader.progress).await?;
    let text = ran.whole()?;
    let status = text.lines().find_map(|line| line.trim().strip_prefix("status: "));
    let own = format!("backup: {}, status: ", backup.name);
    let own = text.lines().find_map(|line| line.trim().strip_prefix(&own));
    let (Some(status), Some(own)) = (status, own) else {
        let text = format!("pgbackrest verify ended well, but its report does not speak of {}", backup.name);
        return Err(Finding::unknown("tool", text));
    };
    if status != "ok" || !own.starts_with("valid") {
        let is_bad = |line: &&str| {
            let counts = line.split([',', ' ']).filter_map(|word| word.parse::<u64>().ok());
            (line.trim_start().starts_with("missing: ") && counts.sum::<u64>() > 0)
                || (line.contains("status: ")
                    && !line.contains("status: valid")
                    && !line.contains("status: ok"))
        };
        let named: Vec<&str> = text.lines().filter(is_bad).take(NAMED_MAX).map(str::trim).collect();
        let text = format!("pgbackrest verify found damage: {}", named.join("; "));
        return Err(Finding::critical("read", text));
    }
    let note = "every file of the repository is as its checksum says (pgbackrest verify)".to_owned();
    Ok(Reading { is_checksummed: true, notes: vec![note], ..Reading::default() })
}

/// Has pgBackRest restore the backup, and lets the server fetch its WAL from the repository.
pub(super) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: &BackupSource,
    backup: &Backup,
) -> Result<Restored, Finding> {
    let (data, tablespaces, own) =
        (place.data(), place.scratch("tablespaces")?, place.scratch("pgbackrest")?);
    place.make(&data)?;
    // Locks of its own: a backup that is being made is none of its business.
    let mut private: Vec<OsString> = vec![
        format!("--pg1-path={}", data.display()).into(),
        format!("--lock-path={}", own.display()).into(),
        "--reset-pg1-host".into(),
    ];
    let mut args = private.clone();
    args.push(format!("--tablespace-map-all={}", tablespaces.display()).into());
    args.push(format!("--set={}", backup.name).into());
    args.push("restore".into());
    let program = program_for(reader, source, backup).within(reader.config.backup.timeout);
    tool::restored(program.text(args, reader.progress).await?)?;
    private.push("--no-archive-async".into());
    private.push("archive-get".into());
    let (stanza, archive) = archive_of(reader, source, backup).await?;
    let holdings = Some(holdings_of(reader, source, (&stanza, stanza.entry_of(backup)?), &archive).await?);
    let supply = Supply::Tool(program_for(reader, source, backup).with_args(private));
    Ok(Restored::Data(Recovery { supply, holdings }))
}
