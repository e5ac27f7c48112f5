//! The plan: how every version stands, and what a run does about it. A status, a dry run and a run go by it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, migrate::Migration};

use super::{
    DEFAULT_INVENTORY, Mode, Origin, State, Version, Versions,
    files::{Files, Folder},
    others::{self, Others},
    record::{self, Own, Record},
};
use crate::{
    Error,
    db::{Context as _, Db},
    mapping::Mapping,
    migration::{error::MigrationError, records},
    sql::QualifiedName,
};

/// How every version stands, what a run does about it, and what keeps a run from it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) versions: Vec<Version>,
    pub(super) shared: Vec<QualifiedName>,
    pub(super) obstacle: Option<MigrationError>,
    pub(super) warnings: Vec<String>,
}

impl Plan {
    pub(super) fn unobstructed(mut self) -> Result<Self, MigrationError> {
        match self.obstacle.take() {
            Some(obstacle) => Err(obstacle),
            None => Ok(self),
        }
    }

    /// Whether a run has something to do about a file of `origin`.
    pub(super) fn has_due(&self, origin: Origin, mode: &Mode) -> bool {
        self.versions.iter().any(|version| version.origin == origin && is_due(version, mode))
    }

    pub(super) fn report(self, dry_run: bool, status: bool) -> Versions {
        Versions {
            dry_run,
            status,
            by_name: false,
            versions: self.versions,
            shared: self.shared.iter().map(QualifiedName::plain).collect(),
            warnings: self.warnings,
            in_the_way: self.obstacle.map(|obstacle| obstacle.to_string()),
        }
    }
}

/// Makes the plan: the one value that a status, a dry run and a run go by. Reads only.
pub(super) async fn plan(
    db: &Db,
    session: &mut PgConnection,
    mapping: &Mapping,
    files: &Files,
    mode: &Mode,
) -> Result<Plan, Error> {
    let Own { records, shared } = record::own(session).await?;
    let mut versions = stand(Origin::Stockfoil, &files.own, &records);
    if let Some(folder) = &files.folder {
        versions.extend(stand(Origin::Folder, &folder.files, &record::of_folder(session).await?));
        versions.sort_by_key(|version| version.version);
    }
    let mut obstacle = versions.iter().find(|version| is_drift(version)).map(drift);
    if let Some(objects) = records::other_schema(session).await? {
        obstacle = obstacle.or(Some(MigrationError::OtherSchema { objects }));
    }
    let mut warnings = Vec::new();
    if let Mode::Baseline(named) = mode {
        for version in named {
            name_baseline(&mut versions, *version)?;
        }
    } else {
        let inventory = versions
            .iter_mut()
            .find(|version| version.version == DEFAULT_INVENTORY && version.origin == Origin::Stockfoil)
            .filter(|version| version.state == State::Pending);
        if let Some(inventory) = inventory {
            match has_inventory(db, session, mapping).await? {
                Ok(true) => inventory.state = State::ToRecord,
                Ok(false) => {}
                Err(half) => obstacle = obstacle.or(Some(half)),
            }
        }
        if let (None, Some(folder)) = (&obstacle, &files.folder) {
            let others = not_to_be_run(session, folder, &versions).await?;
            (obstacle, warnings) = (others.obstacle, others.warnings);
        }
    }
    Ok(Plan { versions, shared, obstacle, warnings })
}

/// How the versions of one origin stand: their files against their records.
pub(super) fn stand(
    origin: Origin,
    files: &BTreeMap<i64, Migration>,
    records: &BTreeMap<i64, Record>,
) -> Vec<Version> {
    let version = |version, description, state| Version { version, description, origin, state };
    let mut versions: BTreeMap<i64, Version> = files
        .values()
        .map(|file| (file.version, version(file.version, file.description.to_string(), State::Pending)))
        .collect();
    for (number, record) in records {
        let state = match files.get(number) {
            _ if !record.success => State::Unfinished,
            None => State::Unknown,
            Some(file) if *file.checksum != *record.checksum => State::Changed,
            Some(_) if !record.was_run => State::Recorded,
            Some(_) => State::Applied,
        };
        versions.insert(*number, version(*number, record.description.clone(), state));
    }
    versions.into_values().collect()
}

/// Plans to record the pending version that `--baseline` names, and nothing else.
fn name_baseline(versions: &mut [Version], number: i64) -> Result<(), MigrationError> {
    let mut named = versions.iter_mut().filter(|version| version.version == number);
    let version = match (named.next(), named.next()) {
        (None, _) => return Err(MigrationError::NoSuchVersion(number)),
        (Some(version), None) => version,
        // A folder may have a file of a number that is Stockfoil's too.
        (Some(one), Some(other)) if one.origin == Origin::Folder => {
            if one.state == State::Pending {
                one
            } else {
                other
            }
        }
        (Some(one), Some(other)) => {
            if other.state == State::Pending {
                other
            } else {
                one
            }
        }
    };
    if version.state != State::Pending {
        return Ok(());
    }
    if version.origin == Origin::Stockfoil && number != DEFAULT_INVENTORY {
        return Err(MigrationError::NoBaseline { file: file_name(number, &version.description) });
    }
    version.state = State::ToRecord;
    Ok(())
}

/// Whether a run applies or records `version`.
pub(super) fn is_due(version: &Version, mode: &Mode) -> bool {
    match version.state {
        State::ToRecord => true,
        State::Pending => *mode == Mode::Apply,
        _ => false,
    }
}

fn is_drift(version: &Version) -> bool {
    matches!(version.state, State::Changed | State::Unknown | State::Unfinished)
}

pub(super) fn drift(version: &Version) -> MigrationError {
    let Version { version, description, state, .. } = version;
    match state {
        State::Changed => MigrationError::Changed { file: file_name(*version, description) },
        State::Unfinished => {
            MigrationError::Unfinished { version: *version, description: description.clone() }
        }
        _ => MigrationError::Unknown { version: *version, description: description.clone() },
    }
}

/// Whether the default inventory's tables are there; half of them are in the way, and so are such that lie in a schema which
/// the mapping does not name: a second, empty inventory would stand before them.
async fn has_inventory(
    db: &Db,
    session: &mut PgConnection,
    mapping: &Mapping,
) -> Result<Result<bool, MigrationError>, Error> {
    let tables = mapping.look_for_tenant_tables(session).await?;
    let (there, missing): (Vec<_>, Vec<_>) = tables.into_iter().partition(|(_, found)| *found);
    if there.is_empty() {
        let names: Vec<&str> = missing.iter().map(|(table, _)| table.name.as_str()).collect();
        let elsewhere: Vec<(String, String)> = sqlx::query_as(include_str!("elsewhere.sql"))
            .bind(names)
            .fetch_all(session)
            .await
            .context("look for the inventory's tables in other schemas")?;
        // One of a usual name alone may be anybody's.
        let found: BTreeSet<&str> = elsewhere.iter().map(|(_, name)| name.as_str()).collect();
        if found.len() > 1 {
            let database = db.facts().database.clone();
            let tables: Vec<String> =
                elsewhere.iter().map(|(schema, name)| format!("{schema}.{name}")).collect();
            return Ok(Err(MigrationError::InventoryElsewhere { database, tables: tables.join(", ") }));
        }
    }
    let plain = |tables: Vec<(QualifiedName, bool)>| {
        tables.into_iter().map(|(table, _)| table.plain()).collect::<Vec<_>>()
    };
    let (there, missing) = (plain(there), plain(missing));
    Ok(match (there.is_empty(), missing.is_empty()) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(MigrationError::HalfInventory {
            database: db.facts().database.clone(),
            there: there.join(", "),
            missing: missing.join(", "),
            version: DEFAULT_INVENTORY,
        }),
    })
}

/// What keeps the pending files of `folder` from being run: another tool ran them, or may have, or their text would do harm.
async fn not_to_be_run(
    session: &mut PgConnection,
    folder: &Folder,
    versions: &[Version],
) -> Result<Others, Error> {
    let pending = |version: &&Version| version.origin == Origin::Folder && version.state == State::Pending;
    let pending: Vec<i64> = versions.iter().filter(pending).map(|version| version.version).collect();
    let name = |version: &i64| folder.names.get(version).map(|name| (*version, name.as_str()));
    let mut others = others::look(session, &pending.iter().filter_map(name).collect()).await?;
    others.obstacle = others.obstacle.or_else(|| pending.iter().find_map(|version| folder.doubt(*version)));
    Ok(others)
}

fn file_name(version: i64, description: &str) -> String {
    format!("{version}_{}.up.sql", description.replace(' ', "_"))
}
