//! Production as a witness: what it has that a backup of it lacks.
//!
//! A dump by a role that saw a part of the rows, or of a copy that lagged behind, is whole in itself. Only the database
//! that it is of can tell. Where the one that is configured answers and may be the one, it is asked; what it can't say
//! quickly, or not to this role, it does not say, and which that was is told.

mod beside;
mod days;
pub(super) mod holes;
mod restored;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use beside::Beside;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
pub(super) use restored::RestoredDatabase;
use sqlx::PgConnection;

use super::{
    Backup, BackupSource, Finding, StartedFrom, Status, first_of,
    reading::{Contents, EntryDays, Owners, Reading, TRANSACTION_MAX},
};
use crate::{Error, db::Db, mapping::Mapping, model::Model, sql::Fixed};

/// A statement for the witness may take so long; production has other work.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '20s'";

/// Below so many rows, the catalog's estimates tell nothing.
const ESTIMATED_ROWS_MIN: f32 = 100.0;

/// A dump may have so many percent fewer rows than production had, where no source says otherwise.
const DROP_PCT: u64 = 30;

/// With fewer rows than one in so many of the estimate, something was left out; estimates are rough.
const FEWER_BY: u64 = 2;

/// No dump that does not say when it began is expected to have taken longer.
const DUMP_MAX: TimeDelta = TimeDelta::hours(12);

/// So many tables are named.
const NAMED_MAX: usize = 10;

/// What production says.
#[derive(Debug)]
pub(super) struct Witness {
    database: String,
    /// When the backup began about which it was asked.
    pub(super) as_of: DateTime<Utc>,
    /// What is from before then, the backup must hold.
    before: DateTime<Utc>,
    /// The cluster's; none where the role may not ask.
    pub(super) system_identifier: Option<String>,
    /// What it was not asked, each with why: `its entries: permission denied for table inventory_ledger`.
    unheard: Vec<String>,
    ledger: (String, String),
    /// The ledger's entries from before the backup, and the newest of them; none where that is not known.
    entries: Option<Entries>,
    /// The organizations from before it.
    organizations: BTreeSet<String>,
    beside: Beside,
    /// Rows by table, as the catalog estimates them; less than 0 where it does not.
    estimates: BTreeMap<(String, String), f32>,
    tenant_tables: BTreeSet<(String, String)>,
}

/// Production's entries from before a backup.
#[derive(Debug)]
struct Entries {
    count: u64,
    newest: Option<DateTime<Utc>>,
    days: EntryDays,
}

impl Witness {
    /// Asks `db` what `backup` should hold, of which `owners` was read.
    ///
    /// # Errors
    /// Why nothing is known.
    pub(super) async fn hear(
        db: Option<&Db>,
        mapping: &Mapping,
        backup: &Backup,
        owners: &Owners,
    ) -> Result<Self, String> {
        let Some(db) = db else { return Err("no database is configured, or it does not answer".to_owned()) };
        let witness = ask(db, mapping, backup, owners).await.map_err(|error| error.to_string())?;
        match &backup.database {
            Some(database) if *database != witness.database => {
                Err(format!("it is the database {}, and the backup is of {database}", witness.database))
            }
            _ => Ok(witness),
        }
    }

    /// Whether it was asked as of the start of `backup`.
    pub(super) fn is_as_of(&self, backup: &Backup) -> bool {
        self.as_of == backup.started_at
    }

    /// What is missing in a dump of `source` that was read as `reading`.
    pub(super) fn judge(
        &self,
        backup: &Backup,
        reading: &Reading,
        source: Option<&BackupSource>,
        notes: &mut Vec<String>,
    ) -> Vec<Finding> {
        let contents = &reading.contents;
        let drop_pct = source.map_or(DROP_PCT, |source| source.max_drop_pct);
        let mut findings = Vec::new();
        let ledger = contents.get(&self.ledger).filter(|table| !table.is_partitioned);
        if let (Some(rows), Some(entries)) =
            (ledger.and_then(|table| table.rows), self.entries.as_ref().map(|entries| entries.count))
            && rows < entries
        {
            let text = format!(
                "holds {rows} rows of {}, and production has {entries} from before it began: was it made by a role that sees a part of them?",
                self.ledger.1
            );
            let is_far = rows.saturating_mul(100) < entries.saturating_mul(100 - drop_pct.min(100));
            // Whatever a dump is of, one without entries is no backup of an inventory that has some.
            let finding = self.finding(backup, is_far, text);
            findings.push(if rows == 0 { Finding { status: Status::Critical, ..finding } } else { finding });
        }
        for (table, estimate) in self.estimates.iter().filter(|(table, _)| !is_left_out(source, table)) {
            let Some(found) = contents.get(table).filter(|found| !found.is_partitioned) else { continue };
            let is_counted = *table == self.ledger && self.entries.is_some();
            let Some(rows) = found.rows.filter(|_| !is_counted && *estimate >= ESTIMATED_ROWS_MIN) else {
                continue;
            };
            let name = plain(table);
            if rows == 0 {
                let text = format!("holds no row of {name}, and production has about {estimate:.0}");
                let finding = self.finding(backup, self.tenant_tables.contains(table), text);
                let is_bad = *table == self.ledger;
                findings.push(if is_bad { Finding { status: Status::Critical, ..finding } } else { finding });
            } else if rows.saturating_mul(FEWER_BY) < estimated(*estimate) {
                let text = format!("holds {rows} rows of {name}, and production has about {estimate:.0}");
                findings.push(self.finding(backup, false, text));
            }
        }
        findings.extend(self.missing(backup, contents, source));
        findings.extend(self.judge_owners(backup, &reading.owners, notes));
        findings.extend(self.judge_beside(backup, reading, source));
        findings
    }

    /// The tables of production that are not in `contents`.
    fn missing(
        &self,
        backup: &Backup,
        contents: &Contents,
        source: Option<&BackupSource>,
    ) -> Option<Finding> {
        let is_missing =
            |table: &&(String, String)| !contents.contains_key(*table) && !is_left_out(source, table);
        let missing: Vec<String> = self.estimates.keys().filter(is_missing).map(plain).collect();
        let text = format!(
            "lacks tables that production has: {}: they were left out, or made since; name what is left out on purpose in left_out of the source",
            first_of(&missing, NAMED_MAX)
        );
        (!missing.is_empty()).then(|| self.finding(backup, false, text))
    }

    /// Whether production has entries from before the backup that are newer than `newest`, the newest restored one.
    pub(super) fn judge_newest(&self, backup: &Backup, newest: Option<DateTime<Utc>>) -> Option<Finding> {
        let of_production = self.entries.as_ref()?.newest?;
        newest.is_none_or(|newest| newest < of_production).then(|| {
            let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
            let text = format!(
                "production has entries from before the backup began, of {}, that are newer than the newest restored one, of {}",
                time(of_production),
                newest.map_or_else(|| "no time at all".to_owned(), time)
            );
            self.finding(backup, true, text)
        })
    }

    /// Where the backup does not say of which database it is, it may be of another one.
    fn finding(&self, backup: &Backup, is_bad: bool, text: String) -> Finding {
        let is_of_it = backup.database.is_some() || !backup.is_dump();
        let status = if is_bad && is_of_it { Status::Critical } else { Status::Warning };
        Finding { status, ..Finding::warning("production", text) }
    }

    /// What it did not tell; none where nothing is left.
    pub(super) fn untold(&self) -> Option<String> {
        let timeless = self.entries.is_none() && self.unheard.is_empty();
        let time = timeless.then(|| "it does not tell when entries were made".to_owned());
        let unheard = self.unheard.iter().map(|what| format!("it was not asked for {what}"));
        let untold: Vec<String> = time.into_iter().chain(unheard).collect();
        (!untold.is_empty()).then(|| untold.join("; "))
    }

    /// What was asked, and what was not, for a person.
    pub(super) fn note(&self) -> String {
        let database = &self.database;
        let heard = match &self.entries {
            Some(Entries { count, .. }) => {
                format!(
                    "production was heard: its database {database} has {count} entries from before the backup began"
                )
            }
            None if self.unheard.is_empty() => {
                format!("production was heard: its database {database} does not tell when entries were made")
            }
            None => format!("production was heard in part, by its database {database}"),
        };
        let unheard = self.unheard.iter().map(|what| format!("; it was not asked for {what}"));
        std::iter::once(heard).chain(unheard).collect()
    }
}

fn is_left_out(source: Option<&BackupSource>, (schema, name): &(String, String)) -> bool {
    source.is_some_and(|source| source.leaves_out(schema, name))
}

/// An estimate of the catalog's as a number of rows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn estimated(rows: f32) -> u64 {
    rows as u64
}

/// The name of a table for messages, as [`QualifiedName::plain`] has it.
fn plain((schema, name): &(String, String)) -> String {
    if schema == "public" { name.clone() } else { format!("{schema}.{name}") }
}

async fn ask(db: &Db, mapping: &Mapping, backup: &Backup, owners: &Owners) -> Result<Witness, Error> {
    let model = mapping.resolve(db).await?;
    let mut session = db.session().await?;
    sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
    let system_identifier = super::figures::system_identifier(&mut session).await?;
    let estimates: Vec<(String, String, f32)> =
        sqlx::query_as(include_str!("witness/tables.sql")).fetch_all(&mut session).await?;
    let estimates = estimates.into_iter().map(|(schema, name, rows)| ((schema, name), rows)).collect();
    let names = model.tenant_tables.iter();
    let tenant_tables =
        names.map(|table| (table.schema.as_str().to_owned(), table.name.as_str().to_owned())).collect();
    let before = begun(backup, owners.newest) - TRANSACTION_MAX;
    let mut unheard = Vec::new();
    let entries = heard(entries(&mut session, &model, before, owners).await, "its entries", &mut unheard);
    let organizations = beside::organizations(&mut session, &model, before).await;
    let organizations = heard(organizations, "its organizations", &mut unheard);
    let beside = heard(Beside::read(&mut session).await, "what belongs to its tables", &mut unheard);
    let ledger = &model.ledger.table;
    Ok(Witness {
        database: db.facts().database.clone(),
        as_of: backup.started_at,
        before,
        system_identifier,
        unheard,
        ledger: (ledger.schema.as_str().to_owned(), ledger.name.as_str().to_owned()),
        entries,
        organizations,
        beside,
        estimates,
        tenant_tables,
    })
}

/// When `backup` began at the latest. A dump that does not say so was made in as long as nobody knows: whatever production has
/// behind the newest entry in it may have come while it was made.
fn begun(backup: &Backup, newest: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let ended = backup.started_at;
    match newest {
        Some(newest) if backup.is_dump() && backup.started_from == StartedFrom::Modified => {
            newest.clamp(ended - DUMP_MAX, ended)
        }
        _ => ended,
    }
}

/// What was answered; nothing where it was refused, which is told as one of `unheard`.
fn heard<T: Default>(answer: Result<T, Error>, what: &str, unheard: &mut Vec<String>) -> T {
    answer.unwrap_or_else(|error| {
        unheard.push(format!("{what}: {error}"));
        T::default()
    })
}

async fn entries(
    session: &mut PgConnection,
    model: &Model,
    before: DateTime<Utc>,
    owners: &Owners,
) -> Result<Option<Entries>, Error> {
    let Some(created_at) = &model.ledger.created_at else { return Ok(None) };
    let statement = model.render_with(
        include_str!("witness/entries.sql"),
        &[("created_at", created_at), ("entry_tx", &transaction(model))],
    );
    let rows: Vec<(String, NaiveDate, i64, Option<DateTime<Utc>>)> = sqlx::query_as(statement.sql())
        .bind(before)
        .bind(owners.last_transaction)
        .bind(owners.newest)
        .fetch_all(session)
        .await?;
    let newest = rows.iter().filter_map(|(.., newest)| *newest).max();
    let count = rows.iter().map(|(_, _, count, _)| count.unsigned_abs()).sum();
    let mut days = EntryDays::new();
    for (org, day, count, _) in rows {
        days.entry(org).or_default().insert(day, count.unsigned_abs());
    }
    Ok(Some(Entries { count, newest, days }))
}

/// The transaction that made an entry, as statements over entries ask for it.
fn transaction(model: &Model) -> Fixed {
    Fixed(if model.ledger.is_incremental { "stockfoil_tx" } else { "NULL::bigint" })
}
