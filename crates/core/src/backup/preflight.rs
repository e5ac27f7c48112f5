//! What a restore would need, to a moment that is asked for: the backup and its chain, WAL, room, programs and extensions.
//! Nothing is restored.

use std::{path::Path, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    Backup, BackupSource, Configured, Finding, Status, age_text, drill, duration_text, no_undecided,
    reading::Reader, source, worst,
};
use crate::{
    Error, Task,
    db::Db,
    progress::Progress,
    report::{Outcome, Report},
    throwaway::{self, ServerPrograms},
};

/// A moment that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| {
            format!("{text:?} is no moment; write it like 2026-01-31T02:00:00Z, with its time zone")
        })
    }
}

/// What restores would need, one a source.
#[derive(Debug, Serialize)]
pub struct PreflightReport {
    /// When it was looked.
    pub checked_at: DateTime<Utc>,
    /// To which moment; none: as far as it goes.
    pub to: Option<DateTime<Utc>>,
    /// One a source.
    pub sources: Vec<Preflight>,
}

/// What a restore from one source would need.
#[derive(Debug, Serialize)]
pub struct Preflight {
    /// Its name.
    pub source: String,
    /// The worst of the findings.
    pub status: Status,
    /// From which backup it would be; none where none is good for it.
    pub backup: Option<Backup>,
    /// The state of which moment it would bring back, as far as that is known.
    pub reaches: Option<DateTime<Utc>>,
    /// When the last WAL was archived, where there is an archive that tells.
    pub archive_end_at: Option<DateTime<Utc>>,
    /// How much room it is expected to take, in bytes.
    pub needed_bytes: Option<u64>,
    /// How much there is for a drill, in bytes.
    pub free_bytes: Option<u64>,
    /// The major version of the server's programs that it needs, and that are here.
    pub server_version: Option<u32>,
    /// The extensions that it needs, as the backup or production says.
    pub extensions: Vec<String>,
    /// What is missing.
    pub findings: Vec<Finding>,
    /// What can't be told without a drill.
    pub notes: Vec<String>,
}

/// Looks at what restores of the sources, all or the one named `only`, would need.
///
/// # Errors
/// When no source is configured, or none of that name.
pub fn preflight<'a>(
    config: Configured<'a>,
    db: Option<&'a Db>,
    only: Option<&'a str>,
    to: Option<Moment>,
    progress: &'a dyn Progress,
) -> Task<'a, PreflightReport> {
    Box::pin(async move {
        let chosen = config.backup.choose(only)?;
        let reader = Reader { config, production: db, keep: None, progress };
        let (checked_at, to) = (Utc::now(), to.map(|Moment(at)| at));
        let mut sources = Vec::new();
        for source in chosen {
            sources.push(look(&reader, source, to, checked_at).await);
        }
        progress.finish();
        Ok(PreflightReport { checked_at, to, sources })
    })
}

impl PreflightReport {
    /// Checks that everything could be judged. To be asked when the report is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`](super::BackupError::Undecided).
    pub fn require(&self) -> Result<(), Error> {
        let of = |source: &Preflight| source.source.clone();
        no_undecided(
            self.sources
                .iter()
                .flat_map(|source| source.findings.iter().map(move |finding| (of(source), finding))),
        )
    }
}

impl Report for PreflightReport {
    const SCHEMA: &'static str = "stockfoil.restore-preflight/1";

    fn outcome(&self) -> Outcome {
        let all_well = self.sources.iter().all(|source| source.status == Status::Ok);
        if all_well && !self.sources.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}

/// What a restore from `source` to the moment `to` would need.
async fn look(
    reader: &Reader<'_>,
    source: &BackupSource,
    to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Preflight {
    let listing = source::list(reader, source).await;
    let until = to.unwrap_or(now);
    // What was not ended by then holds what came later, or can't be recovered to a moment before its end.
    let is_early = |backup: &&Backup| {
        let end =
            if backup.is_dump() { backup.started_at } else { backup.modified_at.max(backup.started_at) };
        end <= until + TimeDelta::from_std(source.future_tolerance).unwrap_or_default()
    };
    let early: Vec<&Backup> = listing.backups.iter().filter(is_early).collect();
    let backup = early.iter().find(|backup| backup.findings.is_empty()).map(|backup| (*backup).clone());
    let mut flight = Preflight {
        source: source.name.clone(),
        status: Status::Ok,
        backup: None,
        reaches: None,
        archive_end_at: listing.archive_end_at,
        needed_bytes: None,
        free_bytes: None,
        server_version: None,
        extensions: Vec::new(),
        findings: listing.problems,
        notes: Vec::new(),
    };
    match (&backup, early.first()) {
        (None, Some(bad)) => {
            let of_bad = bad
                .findings
                .iter()
                .map(|finding| Finding { text: format!("{} {}", bad.name, finding.text), ..finding.clone() });
            flight.findings.extend(of_bad);
        }
        // What could not be listed may be there.
        (None, None) if worst(&flight.findings) == Status::Unknown => {}
        (None, None) => {
            let text = format!("no backup from before {}", moment(until));
            flight.findings.push(Finding::critical("listing", text));
        }
        (Some(backup), Some(newest)) if newest.name != backup.name => {
            flight.notes.push(format!("{} is newer and no good", newest.name));
        }
        _ => {}
    }
    if let Some(backup) = backup {
        let is_newest = listing.backups.first().is_some_and(|newest| newest.name == backup.name);
        flight.check_reach(&backup, to, until);
        if !is_newest {
            flight.findings.extend(source::wal_faults(reader, source, &backup).await);
        }
        flight.check_machine(reader, &backup).await;
        flight.backup = Some(backup);
    }
    flight.status = worst(&flight.findings);
    flight
}

impl Preflight {
    /// How far the restore would reach.
    fn check_reach(&mut self, backup: &Backup, to: Option<DateTime<Utc>>, until: DateTime<Utc>) {
        match self.archive_end_at {
            Some(end) if !backup.is_dump() => {
                self.reaches = Some(end.min(until));
                if end < until && to.is_some() {
                    let text = format!(
                        "the archive of WAL ends {} before that moment, at {}: what came behind it would be lost",
                        age_text(end, until),
                        moment(end)
                    );
                    self.findings.push(Finding::critical("wal", text));
                }
            }
            _ => {
                self.reaches = Some(backup.started_at);
                let lost = (until - backup.started_at).to_std().unwrap_or_default();
                let text = format!(
                    "{} brings back the state of {}, {} before that moment, and no WAL is known to go on from there",
                    backup.name,
                    moment(backup.started_at),
                    duration_text(lost)
                );
                if to.is_some() && lost.as_secs() > 0 {
                    self.findings.push(Finding::warning("wal", text));
                } else {
                    self.notes.push(text);
                }
            }
        }
    }

    /// Whether this machine has the room, the programs and the extensions.
    async fn check_machine(&mut self, reader: &Reader<'_>, backup: &Backup) {
        let settings = reader.config.backup.throwaway();
        let needed = drill::room_needed(backup);
        self.needed_bytes = (backup.size_bytes > 0).then_some(needed);
        self.free_bytes = throwaway::free_bytes(&settings.parent).ok();
        if let Err(finding) = reader.scratch().and_then(|folder| Ok(folder.require_room(needed)?)) {
            self.findings.push(finding);
        }
        let programs = match drill::programs_needed(reader, backup).await {
            Ok(programs) => programs,
            Err(finding) => {
                self.findings.push(finding);
                None
            }
        };
        self.server_version = programs.as_ref().map(ServerPrograms::version);
        match extensions(reader, backup).await {
            Some(named) => self.extensions = named,
            None => self.notes.push("which extensions it needs, neither it nor production tells".into()),
        }
        match programs {
            Some(programs) => self.check_extensions(reader, &programs).await,
            None => self.notes.push(
                "which version of the server's programs it needs, a drill alone tells (verify-backup --restore)".into(),
            ),
        }
    }

    /// Whether the server's installation has the extensions.
    async fn check_extensions(&mut self, reader: &Reader<'_>, programs: &ServerPrograms) {
        let told = programs.program("pg_config").text(["--sharedir"], reader.progress).await;
        let Some(folder) = told.ok().and_then(|ran| ran.whole().ok()) else {
            self.notes.push("pg_config is not here, which tells whether extensions are".into());
            return;
        };
        let folder = Path::new(folder.trim()).join("extension");
        let is_missing = |name: &&String| !folder.join(format!("{name}.control")).is_file();
        let missing: Vec<String> = self.extensions.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            let text = format!(
                "needs extensions that PostgreSQL {} on this machine lacks: {} (looked for in {})",
                programs.version(),
                missing.join(", "),
                folder.display()
            );
            self.findings.push(Finding::unknown("tool", text));
        }
    }
}

/// The extensions that the dump names, else those of production; none where neither tells.
async fn extensions(reader: &Reader<'_>, backup: &Backup) -> Option<Vec<String>> {
    if let Some(named) = source::extensions(reader, backup).await {
        return Some(named);
    }
    let db = reader.production?;
    let ask = async {
        let mut session = db.session().await?;
        let names = sqlx::query_scalar("SELECT extname::text FROM pg_catalog.pg_extension ORDER BY 1");
        Ok::<Vec<String>, Error>(names.fetch_all(&mut session).await?)
    };
    ask.await.ok()
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
