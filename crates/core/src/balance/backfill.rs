//! Backfill: every balance is made the sum of its entries while writers go on, and that is verified.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    Error, Task,
    balance::{
        BATCH_ROWS, BalanceError, GonePartition, check_batch_rows,
        checkpoint::{self, Extent, Plan},
        closing::{Changed, Closing, Keys},
        difference::{self, ATTEMPTS_MAX, Differences, Repair},
        not_migrated, open, queue,
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

/// What is said where sums have overflowed.
pub(super) const TOO_LARGE: &str =
    "a sum is too large for numeric; comparing again, with quantities of 1e130000 and more as no numbers";

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
    /// The first keys whose balances the server refused to write, each with its words.
    pub refused: Vec<RefusedKey>,
    /// Closed partitions that are none of the ledger's any more, where closed entries are missing: the keys that lack some are left
    /// alone.
    pub gone_partitions: Vec<GonePartition>,
    /// How many keys those are.
    pub left_alone: u64,
    /// How long the comparison took, in ms.
    pub compare_ms: u64,
    /// How long the repair took, in ms.
    pub repair_ms: u64,
    /// How long the verification took, in ms.
    pub verify_ms: u64,
}

/// A key whose balance could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedKey {
    /// The key, as `--explain` takes it.
    pub key: String,
    /// What the server said.
    pub error: String,
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
            return match plan(&mut session, model, options, progress).await {
                Err(error) if error.overflowed() => {
                    plan(&mut session, &model.bounded(), options, progress).await
                }
                plan => plan,
            };
        }
        db.require_writable()?;
        let mut lock = db.run_lock(Duration::ZERO, progress).await?;
        queue::require_as_read(db, &mut session, model).await?;
        let run = history::start(&mut session, COMMAND).await?;
        let mut work = Work { session: lock.session(), reader: &mut session, model, options, run, progress };
        let bounded = model.bounded();
        let mut result = work.run().await;
        if result.as_ref().is_err_and(Error::overflowed) {
            progress.note(TOO_LARGE);
            work.model = &bounded;
            result = work.run().await;
        }
        lock.release().await;
        history::finish(&mut session, run, result, |report| serde_json::json!(report)).await
    })
}

async fn plan(
    session: &mut PgConnection,
    model: &Model,
    options: &Options,
    progress: &dyn Progress,
) -> Result<BackfillReport, Error> {
    progress.begin("compare ledger and balances", None);
    let started = Instant::now();
    let (rows, not_a_number) = verify(session, model, scope(options)).await?;
    let held = Held::look(session, model, scope(options)).await?;
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
        refused: Vec::new(),
        left_alone: held.keys.len() as u64,
        gone_partitions: held.gone,
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
        queue::fold(self.session, self.model, self.progress).await?;
        let (mut compare_ms, mut repair_ms) = (0, 0);
        let mut attempt = 0;
        let (rows, refused, held) = loop {
            self.progress.begin("compare ledger and balances", None);
            let started = Instant::now();
            let (differences, held) = self.compare().await?;
            compare_ms += millis(started);

            self.progress.begin("repair balances", Some(differences.to_repair.unsigned_abs()));
            let started = Instant::now();
            let batch_rows = self.options.batch_rows;
            let repair = differences.repair(self.session, self.model, batch_rows, self.progress).await?;
            repair_ms += millis(started);
            attempt += 1;
            match repair {
                Repair::Done { rows, refused } => break (rows, refused, held),
                Repair::LedgerReplaced if attempt == ATTEMPTS_MAX => {
                    return Err(BalanceError::LedgerReplaced(attempt).into());
                }
                Repair::LedgerReplaced => {
                    self.progress.note("the ledger was truncated or rewritten meanwhile; comparing again");
                }
            }
        };
        // The verification puts aside what it finds in the place of these.
        let refused = refused_keys(self.session, refused).await?;
        self.progress.begin("verify balances", None);
        let started = Instant::now();
        let (still_lacking, not_a_number) = self.verify().await?;
        let lacking_keys = match still_lacking {
            0 => Vec::new(),
            _ => lacking_keys(self.session, self.model, scope(self.options)).await?,
        };

        let verify_ms = millis(started);
        let keys = self.record(still_lacking == 0).await?;
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
            refused,
            left_alone: held.keys.len() as u64,
            gone_partitions: held.gone,
            compare_ms,
            repair_ms,
            verify_ms,
        })
    }

    /// Records the organizations that were backfilled, and returns how many keys each has.
    async fn record(&mut self, is_verified: bool) -> Result<Vec<i64>, DbError> {
        let record = self.model.render(include_str!("record_backfill.sql"));
        sqlx::query_scalar(record.sql())
            .bind(self.run)
            .bind(scope(self.options))
            .bind(is_verified)
            .fetch_all(&mut *self.session)
            .await
            .context("record the backfill")
    }

    /// Whether what the comparison reads is sealed, so that neither the verification nor the first reconciliation need
    /// read it again.
    fn seals(&self) -> bool {
        checkpoint::is_possible(self.model) && scope(self.options).is_none()
    }

    fn plan(&self, extent: Extent) -> Plan {
        Plan { extent, every_key: false, rounds: 0, run: self.run }
    }

    /// Compares, and leaves alone what went with closed partitions.
    async fn compare(&mut self) -> Result<(Differences, Held), Error> {
        let mut differences = self.read().await?;
        let held = Held::look(self.session, self.model, scope(self.options)).await?;
        held.leave_alone(self.session, &mut differences).await?;
        Ok((differences, held))
    }

    async fn read(&mut self) -> Result<Differences, Error> {
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

/// The keys that are left alone: what they lack in the ledger went with closed partitions, and is in their balances.
#[derive(Default)]
struct Held {
    gone: Vec<GonePartition>,
    keys: Vec<BalanceKey>,
}

impl Held {
    /// Looks for them after a comparison's snapshot, which a partition may just have left.
    async fn look(session: &mut PgConnection, model: &Model, orgs: Option<&[OrgId]>) -> Result<Self, Error> {
        if !checkpoint::is_possible(model) {
            return Ok(Self::default());
        }
        let closing = Closing::newest(session, model).await?.filter(|closing| closing.is_same_mapping);
        let Some(closing) = closing else { return Ok(Self::default()) };
        let gone = closing.gone(session, model).await?;
        if gone.is_empty() {
            return Ok(Self::default());
        }
        let changed = closing.changed(session, model, Keys::All(orgs), None).await?;
        Ok(match changed.as_slice() {
            [] => Self::default(),
            changed => Self { gone, keys: changed.iter().map(Changed::key).collect() },
        })
    }

    /// Takes the repair of these keys back.
    async fn leave_alone(
        &self,
        session: &mut PgConnection,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let part = |part: fn(&BalanceKey) -> Option<String>| self.keys.iter().map(part).collect::<Vec<_>>();
        sqlx::query(include_str!("leave_alone.sql"))
            .persistent(false)
            .bind(part(|key| Some(key.org_id.to_string())))
            .bind(part(|key| Some(key.item_id.clone())))
            .bind(part(|key| Some(key.location_id.clone())))
            .bind(part(|key| key.lot_id.clone()))
            .execute(&mut *session)
            .await
            .context("leave alone what went with closed partitions")?;
        Ok(differences.count(session).await?)
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

/// The first of the keys that the server refused, as the comparison that the session still has numbers them.
async fn refused_keys(
    session: &mut PgConnection,
    mut refused: Vec<(i64, String)>,
) -> Result<Vec<RefusedKey>, DbError> {
    refused.truncate(usize::try_from(LACKING_KEYS_MAX).unwrap_or(usize::MAX));
    let numbers: Vec<i64> = refused.iter().map(|(n, _)| *n).collect();
    let rows: Vec<(OrgId, String, String, Option<String>)> = match numbers.as_slice() {
        [] => return Ok(Vec::new()),
        numbers => sqlx::query_as(
            "SELECT org::text, item::text, location::text, lot::text FROM pg_temp.stockfoil_difference WHERE n = ANY ($1) ORDER BY n",
        )
        .bind(numbers)
        .fetch_all(session)
        .await
        .context("look which balances were refused")?,
    };
    let key = |(org_id, item_id, location_id, lot_id)| BalanceKey { org_id, item_id, location_id, lot_id };
    let keys = rows.into_iter().map(|row| key(row).to_string());
    Ok(keys.zip(refused).map(|(key, (_, error))| RefusedKey { key, error }).collect())
}

fn scope(options: &Options) -> Option<&[OrgId]> {
    (!options.orgs.is_empty()).then_some(options.orgs.as_slice())
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
