//! What each channel was told and not yet told to be over: `stockfoil.alert_state`, or a file where no database takes
//! it.
//!
//! A problem may be told once more when the place changes (the database is down, say), never once less.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{LOG, Settings, Severity};
use crate::{
    db::{Context as _, Db, DbError},
    rows::stockfoil::alert_state,
    sql::{Fixed, render},
};

/// What one channel was told of one problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) key: String,
    pub(super) channel: String,
    pub(super) severity: Severity,
    pub(super) summary: String,
    /// When the first channel was told.
    pub(super) opened_at: DateTime<Utc>,
    /// When this channel was told last.
    pub(super) last_sent_at: DateTime<Utc>,
}

/// What was told, by key and channel.
type All = BTreeMap<(String, String), Told>;

/// Where it is remembered what a command told.
pub(super) struct Store {
    source: &'static str,
    session: Option<PgConnection>,
    file: Option<PathBuf>,
    /// What the file holds, where it is there.
    in_file: Option<All>,
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    told: Vec<Told>,
}

const SCHEMA: &str = "stockfoil.alert_state/1";

/// A problem that was told and is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// Names it.
    pub(crate) key: String,
    /// How urgent it was when it was told last.
    pub(crate) severity: Severity,
    /// One sentence.
    pub(crate) summary: String,
    /// When it was told first.
    pub(crate) opened_at: DateTime<Utc>,
}

/// The open problems that the command `source` told, each once.
pub(crate) async fn open(config: &Settings, db: Option<&Db>, source: &'static str) -> Vec<Open> {
    let (_, told) = Store::open(config, db, source).await;
    let mut open: BTreeMap<String, Open> = BTreeMap::new();
    for told in told.into_values() {
        let known = open.entry(told.key.clone()).or_insert_with(|| Open {
            key: told.key,
            severity: told.severity,
            summary: told.summary,
            opened_at: told.opened_at,
        });
        known.severity = known.severity.max(told.severity);
        known.opened_at = known.opened_at.min(told.opened_at);
    }
    open.into_values().collect()
}

impl Store {
    /// Opens the best place there is, with what it remembers of `source`.
    pub(super) async fn open(config: &Settings, db: Option<&Db>, source: &'static str) -> (Self, All) {
        let instance = config.instance.as_ref().map_or_else(String::new, |instance| format!("{instance}."));
        let file =
            config.state_dir.as_ref().map(|folder| folder.join(format!("{instance}{source}.alerts.json")));
        let in_file = file.as_deref().and_then(|path| {
            read(path).unwrap_or_else(|error| {
                ::log::warn!("{} can't be read, so open problems are told again: {error}", path.display());
                None
            })
        });
        let mut told = in_file.clone().unwrap_or_default();
        let session = match db {
            Some(db) => table(db, source, &mut told).await.unwrap_or_else(|error| {
                ::log::warn!(
                    "stockfoil.alert_state can't be read, so open problems may be told again: {error}"
                );
                None
            }),
            None => None,
        };
        (Self { source, session, file, in_file }, told)
    }

    /// Remembers that channels were told `remember`, and that the problems of `forget` (key and channel) are over.
    pub(super) async fn save(&mut self, remember: &[Told], forget: &[(String, String)]) {
        match self.save_in_table(remember, forget).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => ::log::warn!("stockfoil.alert_state can't be written: {error}"),
        }
        let mut told = self.in_file.take().unwrap_or_default();
        if remember.is_empty() && forget.iter().all(|place| !told.contains_key(place)) {
            return;
        }
        told.extend(remember.iter().map(|told| (place(told), told.clone())));
        told.retain(|place, _| !forget.contains(place));
        let written = match &self.file {
            Some(path) => write(path, told).map_err(|error| format!("{}: {error}", path.display())),
            None => Err("no folder is known; set alerts.state_dir".to_owned()),
        };
        // That the log was told is of no use to the next run, which tells it anyway.
        if let Err(reason) = written
            && !remember.iter().all(|told| told.channel == LOG)
        {
            ::log::warn!("what was told can't be remembered, so the next run tells it again: {reason}");
        }
    }

    /// Saves in the table, with what an earlier run had to leave in the file. False where there is no table.
    async fn save_in_table(
        &mut self,
        remember: &[Told],
        forget: &[(String, String)],
    ) -> Result<bool, DbError> {
        let Some(session) = &mut self.session else { return Ok(false) };
        let in_file = self.in_file.iter().flat_map(BTreeMap::values);
        let mut rows: All = in_file.map(|told| (place(told), told.clone())).collect();
        rows.extend(remember.iter().map(|told| (place(told), told.clone())));
        rows.retain(|place, _| !forget.contains(place));
        let rows: Vec<&Told> = rows.values().collect();
        let column = |value: fn(&Told) -> String| rows.iter().map(|told| value(told)).collect::<Vec<_>>();
        sqlx::query(include_str!("remember.sql"))
            .bind(self.source)
            .bind(column(|told| told.key.clone()))
            .bind(column(|told| told.channel.clone()))
            .bind(column(|told| told.severity.as_str().to_owned()))
            .bind(column(|told| told.summary.clone()))
            .bind(rows.iter().map(|told| told.opened_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|told| told.last_sent_at).collect::<Vec<_>>())
            .bind(forget.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>())
            .bind(forget.iter().map(|(_, channel)| channel.clone()).collect::<Vec<_>>())
            .execute(session)
            .await
            .context("remember what was told")?;
        if let (Some(_), Some(path)) = (self.in_file.take(), &self.file)
            && let Err(error) = fs::remove_file(path)
        {
            ::log::warn!("{} can't be removed: {error}; remove it", path.display());
        }
        Ok(true)
    }
}

fn place(told: &Told) -> (String, String) {
    (told.key.clone(), told.channel.clone())
}

/// A session on a database that has the table, whose rows are added to `told`.
async fn table(db: &Db, source: &str, told: &mut All) -> Result<Option<PgConnection>, DbError> {
    if db.facts().read_only {
        return Ok(None);
    }
    let mut session = db.session().await?;
    // A table of an older version has no such column.
    let is_there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_attribute
                        WHERE attrelid = to_regclass('stockfoil.alert_state') AND attname = 'channel' AND NOT attisdropped)",
    )
    .fetch_one(&mut session)
    .await
    .context("look for stockfoil.alert_state")?;
    if !is_there {
        return Ok(None);
    }
    let statement = render(
        "SELECT {columns} FROM stockfoil.alert_state WHERE source = $1",
        &[("columns", &Fixed(alert_state::COLUMNS))],
    );
    let rows: Vec<alert_state::Row> = sqlx::query_as(statement.sql())
        .bind(source)
        .fetch_all(&mut session)
        .await
        .context("read stockfoil.alert_state")?;
    for row in rows {
        let row = Told {
            key: row.key,
            channel: row.channel,
            severity: if row.severity == "critical" { Severity::Critical } else { Severity::Warning },
            summary: row.summary,
            opened_at: row.opened_at,
            last_sent_at: row.last_sent_at,
        };
        let newer = told.get(&place(&row)).is_some_and(|in_file| in_file.last_sent_at > row.last_sent_at);
        if !newer {
            told.insert(place(&row), row);
        }
    }
    Ok(Some(session))
}

fn read(path: &Path) -> io::Result<Option<All>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let file: File = serde_json::from_slice(&text)?;
    if file.schema != SCHEMA {
        return Err(io::Error::other(format!("it is of the form {:?}, not {SCHEMA:?}", file.schema)));
    }
    Ok(Some(file.told.into_iter().map(|told| (place(&told), told)).collect()))
}

/// Writes beside the file and renames, so that a killed run leaves a whole one.
fn write(path: &Path, told: All) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = File { schema: SCHEMA.to_owned(), told: told.into_values().collect() };
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(&serde_json::to_vec_pretty(&file)?)?;
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    Ok(())
}
