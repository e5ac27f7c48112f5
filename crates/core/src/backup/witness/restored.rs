//! Production against what a drill restored: each entry of the ledger, and the rows of every table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Beside, ESTIMATED_ROWS_MIN, STATEMENT_TIMEOUT, Witness, is_left_out, plain, transaction};
use crate::{
    Error,
    backup::{Backup, BackupSource, Finding, Status, first_of},
    db::Db,
    mapping::Mapping,
    model::Model,
    sql::{Fragment, Ident, List, QualifiedName, render},
};

/// So many of the entries that were lost are named.
const NAMED_MAX: usize = 3;

/// So many days that differ are looked into; of others the numbers alone count.
const DAYS_MAX: usize = 31;

/// And none with more entries.
const DAY_ENTRIES_MAX: u64 = 200_000;

/// What belongs to Stockfoil itself is written anew again and again.
const OWN_SCHEMA: &str = "stockfoil";

/// A restored database, as a drill has it before it.
pub(in crate::backup) struct RestoredDatabase<'a> {
    pub(in crate::backup) session: &'a mut PgConnection,
    pub(in crate::backup) model: &'a Model,
    /// The rows of every table.
    pub(in crate::backup) rows: &'a BTreeMap<(String, String), u64>,
    /// When the newest entry was made.
    pub(in crate::backup) newest_entry_at: Option<DateTime<Utc>>,
    pub(in crate::backup) unlogged: &'a [QualifiedName],
}

/// The ledger's entries of an organization's day: how many, and a digest of their ids.
type Days = BTreeMap<(String, String), (u64, String)>;

/// The entries that production has from before the backup and the restored database lacks.
#[derive(Debug, Default)]
struct Lost {
    count: u64,
    /// Some of them.
    named: Vec<String>,
    /// How many others came since, with a time from before.
    since: u64,
}

impl Witness {
    /// Whether the restored database `name`, of the cluster `system`, is this production's as it was; `is_alone` says
    /// that it was loaded from the dump of one database.
    pub(in crate::backup) fn is_of(
        &self,
        backup: &Backup,
        name: &str,
        system: Option<&str>,
        is_alone: bool,
    ) -> bool {
        let is_of_cluster = system.is_some() && self.system_identifier.as_deref() == system;
        is_alone || (name == self.database && (backup.is_dump() || is_of_cluster))
    }

    /// What `restored` lacks of what production, `db`, had when the backup began; what could not be asked is noted.
    pub(in crate::backup) async fn judge_restored(
        &self,
        (db, mapping): (&Db, &Mapping),
        (backup, source): (&Backup, Option<&BackupSource>),
        mut restored: RestoredDatabase<'_>,
        notes: &mut Vec<String>,
    ) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.judge_newest(backup, restored.newest_entry_at).into_iter().collect();
        match self.lost(db, mapping, &mut restored).await {
            Ok(Some(lost)) => {
                if lost.since > 0 {
                    notes.push(format!(
                        "{} entries came to production since, with times from before the backup began",
                        lost.since
                    ));
                }
                let is_empty = restored.rows.get(&self.ledger) == Some(&0);
                findings.extend(self.lost_finding(backup, &lost, is_empty));
            }
            Ok(None) => {}
            Err(error) => notes.push(format!("production was not asked for its entries: {error}")),
        }
        match self.judge_rows(db, (backup, source), &restored, notes).await {
            Ok(found) => findings.extend(found),
            Err(error) => notes.push(format!("production was not asked for the rows of its tables: {error}")),
        }
        // A dump was held against it when it was read.
        if !backup.is_dump() {
            match Beside::read(restored.session).await {
                Ok(found) => findings.extend(self.judge_restored_beside(backup, &found, source)),
                Err(error) => notes.push(format!("what belongs to tables was not compared: {error}")),
            }
        }
        for table in restored.unlogged {
            let has_rows = has_rows(db, table).await.unwrap_or_else(|error| {
                notes.push(format!("production was not asked for rows of {}: {error}", table.plain()));
                false
            });
            if has_rows {
                let text = format!(
                    "holds no row of {}, which is UNLOGGED and has rows in production: ALTER TABLE {table} SET LOGGED, or back it up by a dump too",
                    table.plain()
                );
                findings.push(self.finding(backup, true, text));
            }
        }
        findings
    }

    fn lost_finding(&self, backup: &Backup, lost: &Lost, is_empty: bool) -> Option<Finding> {
        let more = if lost.count > lost.named.len() as u64 { ", and more" } else { "" };
        let named =
            if lost.named.is_empty() { String::new() } else { format!(": {}{more}", lost.named.join(", ")) };
        let text = format!(
            "{} entries of the ledger that production has from before the backup began were not restored{named}",
            lost.count
        );
        (lost.count > 0).then(|| match self.finding(backup, true, text) {
            // Whatever a dump is of, an inventory without entries is none of one that has some.
            finding if is_empty => Finding { status: Status::Critical, ..finding },
            finding => finding,
        })
    }

    /// Compares the entries day by day, and those of days that differ one by one. None where entries don't tell their time.
    async fn lost(
        &self,
        db: &Db,
        mapping: &Mapping,
        restored: &mut RestoredDatabase<'_>,
    ) -> Result<Option<Lost>, Error> {
        let before = self.before;
        let model = mapping.resolve(db).await?;
        let mut session = db.session().await?;
        sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
        let Some(theirs) = days(&mut session, &model, before).await? else { return Ok(None) };
        let Some(ours) = days(restored.session, restored.model, before).await? else { return Ok(None) };
        let last_tx = last_transaction(restored.session, restored.model).await?;
        let mut lost = Lost::default();
        let mut looked_into = 0;
        for (key, (count, digest)) in &theirs {
            let (found, found_digest) = ours.get(key).map_or((0, ""), |(count, digest)| (*count, digest));
            if digest == found_digest {
                continue;
            }
            looked_into += 1;
            if looked_into > DAYS_MAX || (*count).max(found) > DAY_ENTRIES_MAX {
                lost.count += count.saturating_sub(found);
                continue;
            }
            let known: BTreeSet<String> = of_day(restored.session, restored.model, before, key, None)
                .await?
                .into_iter()
                .map(|(id, _)| id)
                .collect();
            let latest = last_tx.zip(restored.newest_entry_at);
            for (id, is_since) in of_day(&mut session, &model, before, key, latest).await? {
                if known.contains(&id) {
                    continue;
                }
                if is_since {
                    lost.since += 1;
                    continue;
                }
                lost.count += 1;
                if lost.named.len() < NAMED_MAX {
                    lost.named.push(format!("{id} ({}, {})", key.0, key.1));
                }
            }
        }
        Ok(Some(lost))
    }

    /// Compares the rows of every table with those that production has from before the backup, where they tell when they
    /// were made, else with about how many it has.
    async fn judge_rows(
        &self,
        db: &Db,
        (backup, source): (&Backup, Option<&BackupSource>),
        restored: &RestoredDatabase<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Finding>, Error> {
        let mut session = db.session().await?;
        sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
        let dated: Vec<(String, String)> =
            sqlx::query_as(include_str!("dated.sql")).fetch_all(&mut session).await?;
        let (mut findings, mut unheard) = (Vec::new(), Vec::new());
        for (table, rows) in restored.rows {
            // Its entries were compared one by one, unless they could not be.
            let is_compared = *table == self.ledger && self.entries.is_some();
            if table.0 == OWN_SCHEMA || is_compared || is_left_out(source, table) {
                continue;
            }
            let name = plain(table);
            let is_of_inventory = self.tenant_tables.contains(table);
            if dated.contains(table) {
                match older_rows(&mut session, table, self.before).await {
                    Ok(older) if *rows < older => {
                        let text = format!(
                            "holds {rows} rows of {name}, and production has {older} from before it began"
                        );
                        findings.push(self.finding(backup, is_of_inventory && *rows == 0, text));
                        continue;
                    }
                    Ok(_) => continue,
                    Err(error) => unheard.push(format!("{name} ({error})")),
                }
            }
            let estimate = self.estimates.get(table).copied().unwrap_or_default();
            // A dump was held against the estimates when it was read. They may have come since.
            if *rows == 0 && estimate >= ESTIMATED_ROWS_MIN && !backup.is_dump() {
                let text = format!("holds no row of {name}, and production has about {estimate:.0}");
                findings.push(self.finding(backup, false, text));
            }
        }
        notes.extend(unheard_note(&unheard));
        Ok(findings)
    }
}

/// Of which tables' rows production was not asked, each with why.
fn unheard_note(tables: &[String]) -> Option<String> {
    (!tables.is_empty())
        .then(|| format!("production was not asked for the rows of {}", first_of(tables, NAMED_MAX)))
}

/// The parts of statements over entries that depend on the model: id and transaction.
fn entry_id(model: &Model) -> impl Fragment {
    List(model.ledger.id.columns.clone())
}

async fn days(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
) -> Result<Option<Days>, Error> {
    let Some(created_at) = &model.ledger.created_at else { return Ok(None) };
    let statement = model
        .render_with(include_str!("days.sql"), &[("created_at", created_at), ("entry_id", &entry_id(model))]);
    let days: Vec<(String, String, i64, String)> =
        sqlx::query_as(statement.sql()).bind(before).fetch_all(session).await?;
    let day = |(org, day, count, digest): (String, String, i64, String)| {
        ((org, day), (count.unsigned_abs(), digest))
    };
    Ok(Some(days.into_iter().map(day).collect()))
}

/// The ids of the entries of a day, each with whether it came since, where `latest` tells the last transaction and the
/// newest time of the backup: such an entry is of a later transaction, and of an earlier time.
async fn of_day(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
    (org, day): &(String, String),
    latest: Option<(i64, DateTime<Utc>)>,
) -> Result<Vec<(String, bool)>, Error> {
    let Some(created_at) = &model.ledger.created_at else { return Ok(Vec::new()) };
    let statement = model.render_with(
        include_str!("of_day.sql"),
        &[("created_at", created_at), ("entry_id", &entry_id(model)), ("entry_tx", &transaction(model))],
    );
    Ok(sqlx::query_as(statement.sql())
        .bind(before)
        .bind(org)
        .bind(day)
        .bind(latest.map(|(tx, _)| tx))
        .bind(latest.map(|(_, at)| at))
        .fetch_all(session)
        .await?)
}

/// The last transaction of which there is an entry.
async fn last_transaction(session: &mut PgConnection, model: &Model) -> Result<Option<i64>, Error> {
    let statement =
        model.render_with("SELECT max({entry_tx}) FROM {ledger}", &[("entry_tx", &transaction(model))]);
    Ok(sqlx::query_scalar(statement.sql()).fetch_one(session).await?)
}

/// How many rows of a table are from before `before`.
async fn older_rows(
    session: &mut PgConnection,
    (schema, name): &(String, String),
    before: DateTime<Utc>,
) -> Result<u64, Error> {
    let table = QualifiedName::new(Ident::new(schema.clone())?, Ident::new(name.clone())?);
    let statement = render("SELECT count(*) FROM {table} WHERE created_at < $1", &[("table", &table)]);
    let count: i64 = sqlx::query_scalar(statement.sql()).bind(before).fetch_one(session).await?;
    Ok(count.unsigned_abs())
}

/// Whether `table` has a row.
async fn has_rows(db: &Db, table: &QualifiedName) -> Result<bool, Error> {
    let mut session = db.session().await?;
    sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
    let statement = render("SELECT EXISTS (SELECT FROM {table})", &[("table", table)]);
    Ok(sqlx::query_scalar(statement.sql()).fetch_one(&mut session).await?)
}
