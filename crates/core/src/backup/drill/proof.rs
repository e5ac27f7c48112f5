//! What is proven of a restored database: its schema, its balances, its rows, its indexes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{
    Drilled, Subject,
    answers::{self, Answer},
    pages,
};
use crate::{
    Error,
    backup::{
        Backup, Configured, Finding,
        figures::{self, Figures},
        reading::Reader,
        source::dump,
        witness::{RestoredDatabase, Witness},
    },
    balance::reconcile::{self, Breakage, Counts},
    catalog,
    db::Db,
    model::Model,
    report::{Clock, Outcome},
    sql::QualifiedName,
    throwaway::Cluster,
    validate::{self, Verdict},
};

/// The database that a dump of one is loaded into.
pub(super) const LOADED: &str = "restored";

/// How the sessions of a drill call themselves.
const APPLICATION: &str = "stockfoil-drill";

/// How many claims that don't hold are named.
const NAMED_MAX: usize = 5;

/// What was proven of one restored database.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseProof {
    /// Its name in the throwaway cluster.
    pub name: String,
    /// What findings of it begin with, where there are several.
    #[serde(skip)]
    pub(super) whose: String,
    /// Rows by table: those of the inventory, and behind them all others.
    pub tables: Vec<TableCount>,
    /// When the newest entry of the ledger was made.
    pub newest_entry_at: Option<DateTime<Utc>>,
    /// How long before the drill that was, in seconds.
    pub rpo_seconds: Option<u64>,
    /// Claims of the migrations that hold; none where the database is not migrated.
    pub checks_passed: Option<usize>,
    /// The comparison of ledger and balances; none where it could not be made.
    pub reconcile: Option<ReconcileProof>,
    /// What each `[[backup.check]]` gave.
    pub checks: Vec<Answer>,
    /// Whether the rows were held against a seal.
    pub is_compared: bool,
}

/// The rows of a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableCount {
    /// The table, with its schema unless that is `public`.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// How many it had when the backup was sealed.
    pub rows_sealed: Option<u64>,
}

/// What comparing ledger and balances showed.
#[derive(Debug, Clone, Serialize)]
pub struct ReconcileProof {
    /// How many balances were compared.
    pub balances: u64,
    /// How many differ, by kind.
    pub differences: Counts,
}

/// Proves every database of the throwaway cluster that holds the inventory.
pub(super) async fn prove(
    reader: &Reader<'_>,
    subject: &Subject<'_>,
    server: &Cluster<'_>,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<Vec<DatabaseProof>, Finding> {
    let Subject { source, backup, .. } = subject;
    let wanted = source.and_then(|source| source.database.as_deref());
    let names = databases(server, backup, wanted).await.map_err(|error| failed("looked at", &error))?;
    let mut proofs: Vec<DatabaseProof> = Vec::new();
    let mut found = Vec::new();
    let (mut lacking, mut stale) = (None, BTreeSet::new());
    for name in names {
        let known = drilled.findings.len();
        let db = Db::connect(server.connect_options(&name), APPLICATION).await;
        let db = db.map_err(|error| failed("connected to", &error))?;
        match reader.config.mapping.resolve(&db).await {
            Ok(model) => {
                let expect_empty = source.is_some_and(|source| source.expect_empty);
                let inventory = Inventory { db: &db, model: &model, expect_empty };
                let proof = prove_database(reader, inventory, subject, clock, drilled).await;
                let mut proof = proof.map_err(|error| failed("proven", &error))?;
                proof.checks = answers::ask(reader, subject, server, &name, drilled).await?;
                proofs.push(proof);
                found.push(known..drilled.findings.len());
                if !backup.is_dump() {
                    stale.extend(pages::stale(&db).await.map_err(|error| failed("looked at", &error))?);
                }
            }
            // One that holds something else.
            Err(error @ Error::Model(_)) => lacking = lacking.or(Some(error)),
            Err(error) => return Err(failed("looked at", &error)),
        }
        db.pool().close().await;
    }
    if proofs.is_empty() {
        let text = match (wanted, lacking) {
            (Some(wanted), None) => format!("the database {wanted:?} was not restored"),
            (_, Some(error)) => format!("lacks the inventory: {error}"),
            (None, None) => "lacks the inventory: no database was restored".to_owned(),
        };
        return Err(Finding::critical("contents", text));
    }
    if proofs.len() > 1 {
        for (proof, found) in proofs.iter_mut().zip(found) {
            proof.whose = format!("database {}: ", proof.name);
            for finding in &mut drilled.findings[found] {
                finding.text = format!("{}{}", proof.whose, finding.text);
            }
        }
    }
    if wanted.is_none() {
        drilled.findings.extend(lost_databases(subject, &proofs));
    }
    pages::check(reader, server, &stale, drilled).await?;
    clock.lap("check_indexes");
    Ok(proofs)
}

/// The databases that were sealed and did not come back.
fn lost_databases(subject: &Subject<'_>, proofs: &[DatabaseProof]) -> Vec<Finding> {
    let Some(seal) = subject.seal.filter(|_| !subject.backup.is_dump()) else { return Vec::new() };
    let is_lost = |name: &&str| proofs.iter().all(|proof| proof.name != **name);
    let lost = seal.databases().filter(is_lost);
    lost.map(|name| {
        Finding::critical(
            "rows",
            format!("the database {name} was sealed, and was not restored with the inventory in it"),
        )
    })
    .collect()
}

/// A restored database that holds the inventory.
struct Inventory<'a> {
    db: &'a Db,
    model: &'a Model,
    /// Whether a ledger without entries is as it should be.
    expect_empty: bool,
}

async fn prove_database(
    reader: &Reader<'_>,
    inventory: Inventory<'_>,
    subject: &Subject<'_>,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<DatabaseProof, Error> {
    let Inventory { db, model, .. } = inventory;
    let backup = subject.backup;
    let mut session = db.session().await?;
    let name = db.facts().database.clone();
    let sealed = sealed_figures(subject, &name, drilled);
    let is_migrated = catalog::is_there(&mut session, &model.organizations.to_string()).await?;
    let (mut checks_passed, mut reconciled) = (None, None);
    if is_migrated {
        let (passed, proof) = prove_migrated(reader, db, clock, drilled).await?;
        (checks_passed, reconciled) = (Some(passed), proof);
    } else {
        let text =
            format!("the database {name} was not migrated, so neither schema nor balances can be proven");
        drilled.findings.push(Finding::warning("schema", text));
    }
    let entries = sealed.and_then(|figures| figures.entries.as_ref());
    let before = entries.map_or_else(Utc::now, |entries| entries.before);
    let found = figures::read(&mut session, model, before).await?;
    if let Some(sealed) = sealed {
        compare(backup, sealed, &found, drilled);
    }
    let ledger = model.ledger.table.plain();
    if found.rows.get(&ledger) == Some(&0) && !inventory.expect_empty {
        drilled.findings.push(Finding::critical("rows", dump::no_rows(&ledger)));
    }
    let newest_entry_at = figures::newest_entry(&mut session, model).await?;
    let unlogged = if backup.is_dump() { Vec::new() } else { figures::unlogged(&mut session, model).await? };
    drilled.findings.extend(unlogged_finding(&unlogged));
    let rows = figures::all_rows(&mut session).await?;
    let restored =
        RestoredDatabase { session: &mut session, model, rows: &rows, newest_entry_at, unlogged: &unlogged };
    let is_alone = backup.is_dump() && name == LOADED;
    let system = found.system_identifier.as_deref();
    let is_of = |witness: &&Witness| is_migrated && witness.is_of(backup, &name, system, is_alone);
    if let (Some(witness), Some(production)) = (subject.witness.filter(is_of), reader.production) {
        let asked = (production, reader.config.mapping);
        let of = (backup, subject.source);
        let found = witness.judge_restored(asked, of, restored, &mut drilled.notes).await;
        drilled.findings.extend(found);
        drilled.is_witnessed = true;
    }
    session.close().await?;
    clock.lap("count");
    let lost = newest_entry_at.map(|newest| (subject.started_at - newest).max(TimeDelta::zero()));
    Ok(DatabaseProof {
        name,
        whose: String::new(),
        tables: counts(&found, &rows, sealed),
        newest_entry_at,
        rpo_seconds: lost.map(|lost| lost.num_seconds().unsigned_abs()),
        checks_passed,
        reconcile: reconciled,
        checks: Vec::new(),
        is_compared: sealed.is_some(),
    })
}

/// What the seal says of the restored database `name`; where there is one that says nothing of it, that is noted.
fn sealed_figures<'a>(subject: &Subject<'a>, name: &str, drilled: &mut Drilled) -> Option<&'a Figures> {
    // The dump of one database is loaded under a name of ours.
    let sealed_as = Some(name).filter(|name| !subject.backup.is_dump() || *name != LOADED);
    let seal = subject.seal?;
    let sealed = seal.figures_of(sealed_as);
    if sealed.is_none() {
        drilled.notes.push(format!(
            "the seal says nothing of the database {name}; run verify-backup --seal with DATABASE_URL of each"
        ));
    }
    sealed
}

/// The rows of the inventory's tables, and behind them of all others.
fn counts(
    found: &Figures,
    rows: &BTreeMap<(String, String), u64>,
    sealed: Option<&Figures>,
) -> Vec<TableCount> {
    let plain = |(schema, name): &(String, String)| {
        if schema == "public" { name.clone() } else { format!("{schema}.{name}") }
    };
    let others = rows.iter().map(|(table, rows)| (plain(table), *rows));
    let others: Vec<(String, u64)> = others.filter(|(name, _)| !found.rows.contains_key(name)).collect();
    let inventory = found.rows.iter().map(|(table, rows)| (table.clone(), *rows));
    let count = |(name, rows): (String, u64)| {
        let rows_sealed = sealed.and_then(|figures| figures.rows.get(&name).copied());
        TableCount { name, rows, rows_sealed }
    };
    inventory.chain(others).map(count).collect()
}

/// Validates what the migrations claim, and compares the balances; says how many claims hold.
async fn prove_migrated(
    reader: &Reader<'_>,
    db: &Db,
    clock: &mut Clock,
    drilled: &mut Drilled,
) -> Result<(usize, Option<ReconcileProof>), Error> {
    let Configured { mapping, tenancy, .. } = reader.config;
    let validation =
        validate::run(db, mapping, tenancy, None, validate::Scope::Found, reader.progress).await?;
    drilled.findings.extend(schema_findings(&validation));
    clock.lap("validate");
    let mut reconciled = None;
    if validation.skipped > 0 {
        let name = &db.facts().database;
        let text = format!("the database {name} has no balances, so they can't be proven");
        drilled.findings.push(Finding::warning("balances", text));
    } else {
        reconciled = compare_balances(reader, db, drilled).await?;
    }
    clock.lap("reconcile");
    Ok((validation.passed, reconciled))
}

/// That a backup of the cluster's files holds no row of these tables.
fn unlogged_finding(tables: &[QualifiedName]) -> Option<Finding> {
    let [first, rest @ ..] = tables else { return None };
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let text = format!(
        "{}{more} of the inventory is UNLOGGED, so no base backup holds its rows: ALTER TABLE {first} SET LOGGED, or back it up by a dump too",
        first.plain()
    );
    Some(Finding::warning("rows", text))
}

/// What does not hold of what the migrations claim.
fn schema_findings(validation: &validate::Validation) -> Vec<Finding> {
    let failed = validation.checks.iter().filter(|check| check.verdict == Verdict::Failed);
    let (of_release, of_data): (Vec<_>, Vec<_>) = failed.partition(|check| check.is_of_release);
    let text = |check: &&validate::Check| format!("{} of {}: {}", check.name, check.object, check.evidence);
    let mut findings: Vec<Finding> = of_data
        .iter()
        .take(NAMED_MAX)
        .map(|check| Finding::critical("schema", format!("validate-migration: {}", text(check))))
        .collect();
    if of_data.len() > NAMED_MAX {
        let text = format!("validate-migration: {} more claims don't hold", of_data.len() - NAMED_MAX);
        findings.push(Finding::critical("schema", text));
    }
    if !of_release.is_empty() {
        // A backup from before an upgrade lacks what the upgrade brought; it is as good as it was.
        let named = of_release.iter().take(NAMED_MAX).map(text).collect::<Vec<_>>().join("; ");
        let more = of_release.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let text = format!(
            "of an older release of Stockfoil, or changed since; run migrate-all once it is restored: {named}{more}"
        );
        findings.push(Finding::warning("schema", text));
    }
    findings
}

async fn compare_balances(
    reader: &Reader<'_>,
    db: &Db,
    drilled: &mut Drilled,
) -> Result<Option<ReconcileProof>, Error> {
    // A balance below zero says nothing of a backup, nor does what was entered into a closed period.
    let options = reconcile::Options {
        dry_run: true,
        full: true,
        negative_but_in: None,
        closed_periods: false,
        ..reconcile::Options::of(reader.config.reconcile)
    };
    let Configured { mapping, alerts, history, .. } = reader.config;
    let report = match reconcile::run(db, mapping, alerts, history, &options, reader.progress).await {
        Ok(report) => report,
        Err(Error::Balance(error)) => {
            drilled.findings.push(Finding::warning("balances", format!("reconcile-balances: {error}")));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let outcome = crate::report::Report::outcome(&report);
    let Counts { small, large, orphan, missing, not_a_number, .. } = report.differences;
    let differ = small + large + orphan + missing + not_a_number;
    if report.unresolved > 0 {
        drilled.findings.push(Finding::critical(
            "balances",
            format!(
                "{} of {} balances differ from the restored ledger: {large} large, {missing} missing, {orphan} without entries, {not_a_number} not a number",
                report.unresolved, report.balances
            ),
        ));
    } else if differ > 0 {
        let text = format!("{differ} balances differ from the restored ledger by less than the tolerance");
        drilled.findings.push(Finding::warning("balances", text));
    } else if outcome == Outcome::Findings {
        // The functions of an older release keep balances too, and what they are is a finding of the schema.
        let text = match Breakage::of(&report.broken_parts).filter(|_| report.not_backfilled.is_empty()) {
            Some(Breakage::OtherFunctions) => {
                "reconcile-balances: the functions that keep the balances are not of this release; migrate-balance renews them once it is restored"
            }
            _ => {
                "reconcile-balances: triggers are missing or altered, or organizations were never backfilled"
            }
        };
        drilled.findings.push(Finding::warning("balances", text));
    }
    Ok(Some(ReconcileProof { balances: report.balances, differences: report.differences }))
}

/// Holds what was restored against what was sealed.
fn compare(backup: &Backup, sealed: &Figures, found: &Figures, drilled: &mut Drilled) {
    let mut find = |text: String| drilled.findings.push(Finding::critical("rows", text));
    if !backup.is_dump()
        && let (Some(sealed), Some(found)) = (&sealed.system_identifier, &found.system_identifier)
        && sealed != found
    {
        find(format!("is of another cluster: its system identifier is {found}, and {sealed} was sealed"));
    }
    if sealed.migration_head != found.migration_head {
        let text = |head: Option<i64>| head.map_or_else(|| "none".to_owned(), |head| head.to_string());
        find(format!(
            "is of another migration: {} is the newest, and {} was sealed",
            text(found.migration_head),
            text(sealed.migration_head)
        ));
    }
    for (table, rows) in &sealed.rows {
        match found.rows.get(table) {
            None => find(format!("the table {table} is missing, and was sealed with {rows} rows")),
            Some(0) if *rows > 0 => {
                find(format!("the table {table} is empty, and was sealed with {rows} rows"))
            }
            Some(_) => {}
        }
    }
    let (Some(was), Some(is)) = (&sealed.entries, &found.entries) else { return };
    let until = was.before.format("%Y-%m-%d %H:%M:%S UTC");
    if is.count < was.count {
        find(format!(
            "{} entries of the ledger are lost: of {} from before {until}, {} were restored",
            was.count - is.count,
            was.count,
            is.count
        ));
    } else if is.count == was.count && is.digest != was.digest {
        find(format!(
            "entries of the ledger changed: the digest of the {} from before {until} is another",
            was.count
        ));
    } else if is.count > was.count {
        // Entries with a time of the past came in since, or were removed from the ledger before it was sealed.
        drilled.findings.push(Finding::warning(
            "rows",
            format!("of {} sealed entries from before {until}, {} were restored", was.count, is.count),
        ));
    } else {
        drilled.notes.push(format!("all {} entries from before {until} are as they were sealed", was.count));
    }
}

/// The databases of the cluster; only `wanted`, where one is. The dump of one database says nothing of others, and
/// is loaded under a name of ours.
async fn databases(
    server: &Cluster<'_>,
    backup: &Backup,
    wanted: Option<&str>,
) -> Result<Vec<String>, Error> {
    let mut session = session(server, "template1").await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE datallowconn AND datname <> 'template1' ORDER BY 1",
    )
    .fetch_all(&mut session)
    .await?;
    session.close().await?;
    let is_there = |wanted: &str| names.iter().any(|name| name == wanted);
    let is_of_one = backup.is_dump() && is_there(LOADED);
    let wanted = wanted.filter(|wanted| !is_of_one || is_there(wanted));
    Ok(names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == name)).collect())
}

/// A session in `database` of the throwaway cluster.
pub(super) async fn session(server: &Cluster<'_>, database: &str) -> Result<PgConnection, Error> {
    let options = server.connect_options(database).application_name(APPLICATION);
    Ok(PgConnection::connect_with(&options).await?)
}

/// The finding for a restored database that can't be used.
pub(super) fn failed(what: &str, error: &Error) -> Finding {
    Finding::critical("proof", format!("the restored database can't be {what}: {error}"))
}
