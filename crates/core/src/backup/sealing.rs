//! Sealing backups: writing down what they must hold.

use std::{path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Backup, BackupSource, Configured, Finding,
    examine::title,
    figures, no_undecided,
    reading::{Reader, TRANSACTION_MAX},
    scope::{Scope, look_at, newest},
    seal::write as write_seal,
};
use crate::{
    Error, Task,
    db::Db,
    model::Model,
    progress::Progress,
    report::{Outcome, Report},
};

/// What sealing some backups came to.
#[derive(Debug, Serialize)]
pub struct SealReport {
    /// The backups, each the newest of its source, or the file that was named.
    pub backups: Vec<Sealed>,
}

/// A backup that was sealed, or not.
#[derive(Debug, Serialize)]
pub struct Sealed {
    /// What it is called.
    pub title: String,
    /// Where its seal is; none when it was not sealed.
    pub seal: Option<PathBuf>,
    /// How many entries of the ledger were sealed; none when it was not sealed, or where no entry tells its time.
    pub entries: Option<u64>,
    /// Before when they were made.
    pub entries_before: Option<DateTime<Utc>>,
    /// Why it was not sealed.
    pub findings: Vec<Finding>,
}

/// Seals the backups in `scope`: writes down the checksums of their files and what `db`, which they are of, holds.
///
/// # Errors
/// When no source is configured, or none of that name, and when the database refuses. A backup that can't be sealed
/// is a finding.
pub fn seal<'a>(
    config: Configured<'a>,
    db: &'a Db,
    scope: &'a Scope,
    progress: &'a dyn Progress,
) -> Task<'a, SealReport> {
    Box::pin(async move {
        let chosen =
            if scope.file.is_some() { &[] } else { config.backup.choose(scope.source.as_deref())? };
        let model = config.mapping.resolve(db).await?;
        let reader = Reader { config, production: Some(db), keep: None, progress };
        let mut backups = Vec::new();
        if let Some(file) = &scope.file {
            backups.push(match look_at(&reader, file).await {
                Ok(backup) => seal_one(&reader, db, &model, None, Some(backup), Vec::new()).await?,
                Err(finding) => seal_one(&reader, db, &model, None, None, vec![finding]).await?,
            });
        }
        for source in chosen {
            let (newest, problems, _) = newest(&reader, source).await;
            backups.push(seal_one(&reader, db, &model, Some(source), newest, problems).await?);
        }
        progress.finish();
        Ok(SealReport { backups })
    })
}

impl SealReport {
    /// Checks that every backup could be read. To be asked when the report is printed.
    ///
    /// # Errors
    /// [`BackupError::Undecided`](super::BackupError::Undecided).
    pub fn require(&self) -> Result<(), Error> {
        no_undecided(
            self.backups.iter().flat_map(|backup| {
                backup.findings.iter().map(move |finding| (backup.title.clone(), finding))
            }),
        )
    }
}

impl Report for SealReport {
    const SCHEMA: &'static str = "stockfoil.seal-backup/1";

    fn outcome(&self) -> Outcome {
        let all_sealed =
            self.backups.iter().all(|backup| backup.seal.is_some() && backup.findings.is_empty());
        if all_sealed && !self.backups.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}

async fn seal_one(
    reader: &Reader<'_>,
    db: &Db,
    model: &Model,
    source: Option<&BackupSource>,
    backup: Option<Backup>,
    mut findings: Vec<Finding>,
) -> Result<Sealed, Error> {
    let title = title(source.map(|source| source.name.as_str()), backup.as_ref());
    let mut sealed = Sealed { title, seal: None, entries: None, entries_before: None, findings: Vec::new() };
    if let Some(backup) = backup {
        findings.extend(backup.findings.iter().cloned());
        if findings.is_empty() {
            reader.progress.begin(&format!("seal {}", backup.name), Some(backup.size_bytes));
            let mut session = db.session().await?;
            let settled = figures::settled(&mut session).await?;
            // A cluster's backup is recovered past its end; a dump ends where it began.
            let before =
                if backup.is_dump() { settled.min(backup.started_at - TRANSACTION_MAX) } else { settled };
            let figures = figures::read(&mut session, model, before).await?;
            let entries = figures.entries.clone();
            let owned = source.cloned();
            let write = move |meter: &Arc<_>| write_seal(owned.as_ref(), &backup, figures, meter);
            match reader.blocking(write).await.and_then(|written| written) {
                Ok(place) => {
                    sealed.seal = Some(place);
                    sealed.entries = entries.as_ref().map(|entries| entries.count);
                    sealed.entries_before = entries.map(|entries| entries.before);
                }
                Err(finding) => findings.push(finding),
            }
        }
    }
    sealed.findings = findings;
    Ok(sealed)
}
