//! Backfill: every balance is made the sum of its entries while writers go on, and that is verified.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    Error, Task,
    balance::{
        BATCH_ROWS, BalanceError, check_batch_rows,
        checkpoint::{self, Extent, Plan},
        difference::{self, ATTEMPTS_MAX, Differences, Repair},
        not_migrated, open,
    },
    db::{Context as _, Db, DbError},
    history::{self, RunId},
    ledger::BalanceKey,
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    progress::Progress,
    report::{Outcome, Report},
    sql::{Statement, render},
};

/// The command, as `stockfoil.run` names it.
const COMMAND: &str = "backfill-balances";

/// How many keys that still lack something are named.
const LACKING_KEYS_MAX: i64 = 10;

/// What to backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only these organizations; all when empty.
    pub orgs: Vec<OrgId>,
    /// Only look.
    pub dry_run: bool,
    /// How many keys are repaired in one transaction.
    pub batch_rows: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { orgs: Vec::new(), dry_run: false, batch_rows: BATCH_ROWS }
    }
}

impl Options {
    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// When a batch would have no rows.
    pub fn check(&self) -> Result<(), BalanceError> {
        check_batch_rows(self.batch_rows)
    }
}

/// What a backfill did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackfillReport {
    /// Whether it only looked.
    pub dry_run: bool,
    /// The run in `stockfoil.run`; none in a dry run.
    pub run_id: Option<RunId>,
    /// How many organizations.
    pub organizations: u64,
    /// How many balances they have; none in a dry run, which does not count them.
    pub keys: Option<u64>,
    /// How many balances lacked something: the rows written, or to be written in a dry run.
    pub rows: u64,
    /// How many keys hold an entry or a balance that is no number, which no repair can mend.
    pub not_a_number: u64,
    /// How many keys still lacked something afterwards, in a second snapshot; none in a dry run.
    pub still_lacking: Option<u64>,
    /// The first of these keys, as `--explain` takes them.
    pub lacking_keys: Vec<String>,
    /// How long the comparison took, in ms.
    pub compare_ms: u64,
    /// How long the repair took, in ms.
    pub repair_ms: u64,
    /// How long the verification took, in ms.
    pub verify_ms: u64,
}

impl BackfillReport {
    /// Whether a second snapshot showed every balance to be what its entries add up to. Where the entries of the first were
    /// sealed, it read those that were new or marked since.
    pub fn is_verified(&self) -> bool {
        self.still_lacking == Some(0)
    }
}

impl Report for BackfillReport {
    const SCHEMA: &'static str = "stockfoil.backfill/1";

    fn outcome(&self) -> Outcome {
        if self.not_a_number == 0 && (self.dry_run || self.is_verified()) {
            Outcome::Clean
        } else {
            Outcome::Findings
        }
    }
}

/// Gives every key of the ledger its exact balance, and verifies it.
///
/// May be killed at any moment and run again: what is committed stays, and the next run starts from what it sees.
///
/// # Errors
/// When the table or a trigger is missing, an organization is not there, another run holds the lock, or the
/// database refuses.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    options: &'a Options,
    progress: &'a dyn Progress,
) -> Task<'a, BackfillReport> {
    Box::pin(async move {
        options.check()?;
        let model = &mapping.resolve(db).await?;
        let (mut session, broken) = open(db, model, &options.orgs).await?;
        if !broken.is_empty() {
            return Err(not_migrated(db, &broken));
        }
        if options.dry_run {
            difference::set_up(&mut session).await?;
            return Ok(plan(&mut session, model, options, progress).await?);
        }
        db.require_writable()?;
        let mut lock = db.run_lock(Duration::ZERO, progress).await?;
        let run = history::start(&mut session, COMMAND).await?;
        let mut work = Work { session: lock.session(), reader: &mut session, model, options, run, progress };
        let result = work.run().await;
        lock.release().await;
        history::finish(&mut session, run, result, |report| serde_json::json!(report)).await
    })
}

async fn plan(
    session: &mut PgConnection,
    model: &Model,
    options: &Options,
    progress: &dyn Progress,
) -> Result<BackfillReport, DbError> {
    progress.begin("compare ledger and balances", None);
    let started = Instant::now();
    let (rows, not_a_number) = verify(session, model, scope(options)).await?;
    progress.finish();
    let statement =
        model.render("SELECT count(*) FROM {organizations} WHERE $1::text[] IS NULL OR id::text = ANY ($1)");
    let organizations: i64 = sqlx::query_scalar(statement.sql())
        .bind(scope(options))
        .fetch_one(session)
        .await
        .context("count the organizations")?;
    Ok(BackfillReport {
        dry_run: true,
        run_id: None,
        organizations: organizations.unsigned_abs(),
        keys: None,
        rows,
        not_a_number,
        still_lacking: None,
        lacking_keys: Vec::new(),
        compare_ms: millis(started),
        repair_ms: 0,
        verify_ms: 0,
    })
}

/// A backfill under the run lock.
struct Work<'a> {
    /// Holds the run lock.
    session: &'a mut PgConnection,
    reader: &'a mut PgConnection,
    model: &'a Model,
    options: &'a Options,
    run: RunId,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<BackfillReport, Error> {
        difference::set_up(self.session).await?;
        let (mut compare_ms, mut repair_ms) = (0, 0);
        let mut attempt = 0;
        let rows = loop {
            self.progress.begin("compare ledger and balances", None);
            let started = Instant::now();
            let differences = self.compare().await?;
            compare_ms += millis(started);

            self.progress.begin("repair balances", Some(differences.to_repair.unsigned_abs()));
            let started = Instant::now();
            let batch_rows = self.options.batch_rows;
            let repair = differences.repair(self.session, self.model, batch_rows, self.progress).await?;
            repair_ms += millis(started);
            attempt += 1;
            match repair {
                Repair::Done(rows) => break rows,
                Repair::LedgerReplaced if attempt == ATTEMPTS_MAX => {
                    return Err(BalanceError::LedgerReplaced(attempt).into());
                }
                Repair::LedgerReplaced => {
                    self.progress.note("the ledger was truncated or rewritten meanwhile; comparing again");
                }
            }
        };
        self.progress.begin("verify balances", None);
        let started = Instant::now();
        let (still_lacking, not_a_number) = self.verify().await?;
        let lacking_keys = match still_lacking {
            0 => Vec::new(),
            _ => lacking_keys(self.session, self.model, scope(self.options)).await?,
        };
        let verify_ms = millis(started);
        let record = self.model.render(include_str!("record_backfill.sql"));
        let keys: Vec<i64> = sqlx::query_scalar(record.sql())
            .bind(self.run)
            .bind(scope(self.options))
            .bind(still_lacking == 0)
            .fetch_all(&mut *self.session)
            .await
            .context("record the backfill")?;
        self.progress.finish();
        Ok(BackfillReport {
            dry_run: false,
            run_id: Some(self.run),
            organizations: keys.len() as u64,
            keys: Some(keys.iter().map(|keys| keys.unsigned_abs()).sum()),
            rows,
            not_a_number,
            still_lacking: Some(still_lacking),
            lacking_keys,
            compare_ms,
            repair_ms,
            verify_ms,
        })
    }

    /// Whether what the comparison reads is sealed, so that neither the verification nor the first reconciliation need
    /// read it again.
    fn seals(&self) -> bool {
        checkpoint::is_possible(self.model) && scope(self.options).is_none()
    }

    fn plan(&self, extent: Extent) -> Plan {
        Plan { extent, every_key: false, rounds: 0, run: self.run }
    }

    async fn compare(&mut self) -> Result<Differences, Error> {
        if self.seals() {
            let plan = self.plan(Extent::Anew);
            return Ok(checkpoint::compare(self.session, self.reader, self.model, plan).await?.differences);
        }
        let differences = Differences::collect(self.session, self.model, scope(self.options)).await?;
        // Nothing but intact parts is backfilled.
        checkpoint::note_differences(self.session, self.model, self.run, true).await?;
        Ok(differences)
    }

    /// As [`verify`], in a second snapshot: where the entries of the first are sealed, it reads the balances, and the
    /// entries that are new or changed since.
    async fn verify(&mut self) -> Result<(u64, u64), Error> {
        if self.seals() {
            let plan = self.plan(Extent::New);
            checkpoint::compare(self.session, self.reader, self.model, plan).await?;
            let seen = render("SELECT * FROM pg_temp.stockfoil_difference", &[]);
            return Ok(count(self.session, self.model, &seen, None).await?);
        }
        Ok(verify(self.session, self.model, scope(self.options)).await?)
    }
}

/// How many keys lack something, and how many hold what is no number.
async fn verify(
    session: &mut PgConnection,
    model: &Model,
    orgs: Option<&[OrgId]>,
) -> Result<(u64, u64), DbError> {
    count(session, model, &difference::statement(model), orgs).await
}

/// As [`verify`], of what the query `difference` finds.
async fn count(
    session: &mut PgConnection,
    model: &Model,
    difference: &Statement,
    orgs: Option<&[OrgId]>,
) -> Result<(u64, u64), DbError> {
    let statement = model.render_with(include_str!("verify.sql"), &[("difference", difference)]);
    let (lacking, not_a_number): (i64, i64) = sqlx::query_as(statement.sql())
        .bind(orgs)
        .fetch_one(session)
        .await
        .context("compare ledger and balances")?;
    Ok((lacking.unsigned_abs(), not_a_number.unsigned_abs()))
}

/// The first keys that lack something.
async fn lacking_keys(
    session: &mut PgConnection,
    model: &Model,
    orgs: Option<&[OrgId]>,
) -> Result<Vec<String>, DbError> {
    let difference = difference::statement(model);
    let statement = model.render_with(include_str!("lacking.sql"), &[("difference", &difference)]);
    let rows: Vec<(OrgId, String, String, Option<String>)> = sqlx::query_as(statement.sql())
        .bind(orgs)
        .bind(LACKING_KEYS_MAX)
        .fetch_all(session)
        .await
        .context("look which balances still lack something")?;
    let key = |(org_id, item_id, location_id, lot_id)| BalanceKey { org_id, item_id, location_id, lot_id };
    Ok(rows.into_iter().map(|row| key(row).to_string()).collect())
}

fn scope(options: &Options) -> Option<&[OrgId]> {
    (!options.orgs.is_empty()).then_some(options.orgs.as_slice())
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
