//! What production has beside the rows of tables: whose they are, what belongs to tables, large objects, and what the
//! cluster's databases share.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{NAMED_MAX, Witness, days, is_left_out, plain};
use crate::{
    Error,
    backup::{
        Backup, BackupSource, Finding, Status, first_of,
        listing::Extent,
        reading::{Contents, Objects, Owners, Reading},
    },
    model::Model,
};

/// With so many large objects in production, a backup without any lost them: that many did not come since.
const LARGE_OBJECTS_MIN: u64 = 100;

/// How the source's `left_out` calls large objects.
const LARGE_OBJECTS: (&str, &str) = ("pg_catalog", "pg_largeobject");

/// The kinds of what the databases of a cluster share.
const SHARED: [&str; 3] = ["ROLE", "TABLESPACE", "DATABASE"];

/// What a database has beside rows.
#[derive(Debug, Default)]
pub(in crate::backup) struct Beside {
    /// What belongs to tables, and views, sequences and extensions: kind and name as pg_dump calls them, each with the
    /// table that it belongs to.
    objects: BTreeMap<(String, String, String), String>,
    /// What the cluster's databases share: kind and name.
    shared: BTreeSet<(String, String)>,
    large_objects: u64,
}

impl Beside {
    /// Reads it from the catalogs of a session's database.
    ///
    /// # Errors
    /// When the database refuses.
    pub(in crate::backup) async fn read(session: &mut PgConnection) -> Result<Self, Error> {
        let objects: Vec<(String, String, String, String)> =
            sqlx::query_as(include_str!("objects.sql")).fetch_all(&mut *session).await?;
        let shared: Vec<(String, String)> =
            sqlx::query_as(include_str!("shared.sql")).fetch_all(&mut *session).await?;
        let large_objects: i64 =
            sqlx::query_scalar(include_str!("large_objects.sql")).fetch_one(session).await?;
        let object = |(kind, schema, table, name): (String, String, String, String)| {
            ((kind, schema, name.replace(['\n', '\r'], " ")), table)
        };
        Ok(Self {
            objects: objects.into_iter().map(object).collect(),
            shared: shared.into_iter().collect(),
            large_objects: large_objects.unsigned_abs(),
        })
    }
}

/// The organizations from before `before`; none where there is no table of them.
pub(super) async fn organizations(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
) -> Result<BTreeSet<String>, Error> {
    let statement = model.render_with(include_str!("organizations.sql"), &[]);
    let ids: Vec<String> = sqlx::query_scalar(statement.sql()).bind(before).fetch_all(session).await?;
    Ok(ids.into_iter().collect())
}

impl Witness {
    /// The organizations that production has from before the backup, and `owners` does not.
    pub(super) fn judge_owners(
        &self,
        backup: &Backup,
        owners: &Owners,
        notes: &mut Vec<String>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(found) = &owners.organizations {
            let lacking: Vec<String> = self.organizations.difference(found).cloned().collect();
            if !lacking.is_empty() {
                let text = format!(
                    "lacks organizations that production has from before it began: {}",
                    first_of(&lacking, NAMED_MAX)
                );
                findings.push(self.finding(backup, true, text));
            }
        }
        if let Some(entries) = &self.entries {
            let (texts, note) = days::compare(&self.ledger.1, &entries.days, owners);
            findings.extend(texts.into_iter().map(|text| self.finding(backup, true, text)));
            notes.extend(note);
        }
        findings
    }

    /// What a dump that was read as `reading` lacks beside rows.
    pub(super) fn judge_beside(
        &self,
        backup: &Backup,
        reading: &Reading,
        source: Option<&BackupSource>,
    ) -> Vec<Finding> {
        let has = |kind: &str| reading.objects.iter().any(|(found, ..)| found == kind);
        let blobs = reading.objects.iter().filter(|(kind, ..)| kind == "BLOB").count() as u64;
        // Since PostgreSQL 17 they are listed by ranges.
        let blobs = if has("BLOB METADATA") || (has("BLOBS") && blobs == 0) { None } else { Some(blobs) };
        let mut findings: Vec<Finding> = self
            .judge_objects(backup, &reading.objects, Some(&reading.contents), source)
            .into_iter()
            .collect();
        findings.extend(blobs.and_then(|blobs| self.judge_large_objects(backup, blobs, source)));
        if backup.extent == Extent::Cluster {
            findings.extend(self.judge_shared(backup, &reading.objects));
        }
        findings
    }

    /// What the restored database lacks beside rows: it holds `found`.
    pub(super) fn judge_restored_beside(
        &self,
        backup: &Backup,
        found: &Beside,
        source: Option<&BackupSource>,
    ) -> Vec<Finding> {
        let objects: Objects = found.objects.keys().cloned().collect();
        let shared = found.shared.iter().map(|(kind, name)| (kind.clone(), String::new(), name.clone()));
        let (objects, shared): (Objects, Objects) = (objects, shared.collect());
        [
            self.judge_objects(backup, &objects, None, source),
            self.judge_large_objects(backup, found.large_objects, source),
            self.judge_shared(backup, &shared),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What production has and `found` has not, of tables that are in `contents` where that is given.
    fn judge_objects(
        &self,
        backup: &Backup,
        found: &Objects,
        contents: Option<&Contents>,
        source: Option<&BackupSource>,
    ) -> Option<Finding> {
        let is_missed = |((kind, schema, name), table): &(&(String, String, String), &String)| {
            let of = (schema.clone(), (*table).clone());
            // The sequence of a column goes with its table.
            let is_by_itself = match kind.as_str() {
                "SEQUENCE" => *table == name,
                kind => matches!(kind, "VIEW" | "MATERIALIZED VIEW" | "EXTENSION"),
            };
            let is_of_table = contents.is_none_or(|contents| contents.contains_key(&of));
            let of = if kind == "EXTENSION" { ("public".to_owned(), of.1) } else { of };
            (is_by_itself || is_of_table) && !is_left_out(source, &of)
        };
        let missing = self.beside.objects.iter().filter(|(object, _)| !found.contains(*object));
        let missing: Vec<String> = missing
            .filter(is_missed)
            .map(|((kind, schema, name), _)| {
                let name =
                    if schema.is_empty() { name.clone() } else { plain(&(schema.clone(), name.clone())) };
                format!("{} {name}", kind.to_lowercase())
            })
            .collect();
        let text = format!(
            "lacks what production has: {}: that was left out, or made since; name what is left out on purpose in left_out of the source",
            first_of(&missing, NAMED_MAX)
        );
        (!missing.is_empty()).then(|| self.finding(backup, false, text))
    }

    fn judge_large_objects(
        &self,
        backup: &Backup,
        found: u64,
        source: Option<&BackupSource>,
    ) -> Option<Finding> {
        let has = self.beside.large_objects;
        let (schema, name) = LARGE_OBJECTS;
        let is_left_out = source.is_some_and(|source| source.leaves_out(schema, name));
        // As with rows, half of them may have come since.
        if is_left_out || has == 0 || found.saturating_mul(2) >= has {
            return None;
        }
        let text = format!(
            "holds {found} large objects, and production has {has}: was it made with --no-blobs, or by schema or table? (left_out = [\"{schema}.{name}\"] where that is on purpose)"
        );
        Some(self.finding(backup, found == 0 && has >= LARGE_OBJECTS_MIN, text))
    }

    /// What the databases of production's cluster share and `found` lacks.
    fn judge_shared(&self, backup: &Backup, found: &Objects) -> Option<Finding> {
        let kinds = |kind: &str| found.iter().any(|(of, ..)| of == kind);
        let is_missing = |(kind, name): &&(String, String)| {
            !found.contains(&(kind.clone(), String::new(), name.clone())) && SHARED.contains(&kind.as_str())
        };
        let missing = self.beside.shared.iter().filter(is_missing);
        // A dump of roles says nothing of databases.
        let missing = missing.filter(|(kind, _)| kind != "DATABASE" || kinds("DATABASE"));
        let missing: Vec<String> =
            missing.map(|(kind, name)| format!("{} {name}", kind.to_lowercase())).collect();
        let text = format!(
            "lacks what production's cluster has: {}: that was left out, or made since",
            first_of(&missing, NAMED_MAX)
        );
        (!missing.is_empty()).then(|| self.finding(backup, false, text))
    }

    /// What the dump of roles and tablespaces that lies beside the backup lacks.
    pub(in crate::backup) fn judge_globals(
        &self,
        backup: &Backup,
        name: &str,
        found: &Objects,
    ) -> Option<Finding> {
        let finding = self.judge_shared(backup, found)?;
        Some(Finding {
            status: Status::Warning,
            text: format!("{name}, beside it, {}", finding.text),
            ..finding
        })
    }
}
