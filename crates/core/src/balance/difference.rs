//! The keys that differ, put aside in a temporary table of one session, and the one repair of them.

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    Error,
    db::{Context as _, DbError, gave_way, give_way, pause_after_giving_way, sqlstate},
    model::Model,
    org_id::OrgId,
    progress::Progress,
    sql::{Statement, render},
};

/// How often a comparison starts again because the ledger was truncated or rewritten meanwhile.
pub(super) const ATTEMPTS_MAX: u32 = 3;

/// Up to so many keys are looked up one by one by the key index.
const LOOKED_UP_MAX: i64 = 1000;

/// After so many attempts at one batch somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// The statement that finds the keys that differ: `org, item, location, lot, ledger_qty, balance_qty, drift`.
pub(super) fn statement(model: &Model) -> Statement {
    of(model, &model.render(include_str!("entry_sums.sql")))
}

/// As [`statement`], where `sums` is a query of what the entries add up to: `org, item, location, lot, quantity`, with
/// one row a key or several.
pub(super) fn of(model: &Model, sums: &Statement) -> Statement {
    model.render_with(include_str!("difference.sql"), &[("sums", sums)])
}

/// As [`statement`], of the keys in `pg_temp.stockfoil_suspect`, which are looked up one by one.
pub(super) fn confirm(model: &Model) -> Statement {
    model.render(include_str!("confirm.sql"))
}

/// Whether so many keys are best looked up one by one.
pub(super) fn are_few(model: &Model, keys: i64) -> bool {
    keys == 0 || model.ledger.key_index && keys <= LOOKED_UP_MAX
}

/// The keys that differed in one snapshot, in `pg_temp.stockfoil_difference` of the session.
#[derive(Debug)]
pub(super) struct Differences {
    /// Their number, which is also the last one's.
    pub(super) rows: i64,
    /// How many of them are marked for repair.
    pub(super) to_repair: i64,
    /// Where the ledger was, before the snapshot.
    ledger_file: String,
}

/// How a repair ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    /// Every marked key was given its drift, but for those that the server refused.
    Done {
        /// How many balances were written.
        rows: u64,
        /// The numbers of the keys that were refused, each with the server's words.
        refused: Vec<(i64, String)>,
    },
    /// The ledger was truncated or rewritten, so what was seen of it is no longer true; look again.
    LedgerReplaced,
}

/// Makes `session` one for comparing: memory enough to group by hashing without spilling, unless the server gives more.
///
/// What repairs is the session that holds the run lock: when this process is killed in the middle of a repair, the server
/// gives the lock back with the session, and so after the repair.
pub(super) async fn set_up(session: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query(
        "SELECT CASE
             WHEN pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB') THEN set_config('work_mem', '64MB', false)
         END",
    )
    .execute(session)
    .await
    .context("set up the session")?;
    Ok(())
}

/// Drops the previous comparison, and says in which files the ledger is, before the snapshot of the next.
pub(super) async fn prepare(session: &mut PgConnection, model: &Model) -> Result<String, DbError> {
    session
        .execute("DROP TABLE IF EXISTS pg_temp.stockfoil_difference")
        .await
        .context("drop the previous comparison")?;
    ledger_file(session, model).await
}

async fn ledger_file(session: &mut PgConnection, model: &Model) -> Result<String, DbError> {
    sqlx::query_scalar(include_str!("ledger_file.sql"))
        .bind(model.ledger.table.to_string())
        .fetch_one(session)
        .await
        .context("look where the ledger is")
}

impl Differences {
    /// Compares every key of `orgs`, or of all organizations, and marks those that differ for repair.
    pub(super) async fn collect(
        session: &mut PgConnection,
        model: &Model,
        orgs: Option<&[OrgId]>,
    ) -> Result<Self, DbError> {
        let ledger_file = prepare(session, model).await?;
        let mut differences = Self::put_aside(session, model, &statement(model), orgs, ledger_file).await?;
        differences.index(session).await?;
        Ok(differences)
    }

    /// Puts aside what `difference` finds; [`index`](Self::index) comes next.
    pub(super) async fn put_aside(
        session: &mut PgConnection,
        model: &Model,
        difference: &Statement,
        orgs: Option<&[OrgId]>,
        ledger_file: String,
    ) -> Result<Self, DbError> {
        let collect = model.render_with(include_str!("collect.sql"), &[("difference", difference)]);
        sqlx::query(collect.sql())
            .persistent(false)
            .bind(orgs)
            .execute(&mut *session)
            .await
            .context("compare ledger and balances")?;
        Ok(Self { rows: 0, to_repair: 0, ledger_file })
    }

    /// Indexes and counts what was put aside.
    pub(super) async fn index(&mut self, session: &mut PgConnection) -> Result<(), DbError> {
        session
            .execute("CREATE UNIQUE INDEX ON pg_temp.stockfoil_difference (n)")
            .await
            .context("index the comparison")?;
        self.count(session).await
    }

    /// Whether the ledger is where it was before the snapshot. Where it was truncated or rewritten since, the comparison may
    /// have read balances of one ledger and entries of the other.
    pub(super) async fn are_of_this_ledger(
        &self,
        session: &mut PgConnection,
        model: &Model,
    ) -> Result<bool, DbError> {
        Ok(ledger_file(session, model).await? == self.ledger_file)
    }

    /// Counts again, after marks were changed.
    pub(super) async fn count(&mut self, session: &mut PgConnection) -> Result<(), DbError> {
        (self.rows, self.to_repair) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE repair) FROM pg_temp.stockfoil_difference",
        )
        .fetch_one(session)
        .await
        .context("count the differences")?;
        Ok(())
    }

    /// Adds to each marked key's balance what it lacks, in key order, in transactions of `batch_rows` keys.
    ///
    /// Safe against whatever commits meanwhile, see the [module](super). Two repairs must not overlap: the caller
    /// has held the run lock since before the comparison.
    pub(super) async fn repair(
        &self,
        session: &mut PgConnection,
        model: &Model,
        batch_rows: u32,
        progress: &dyn Progress,
    ) -> Result<Repair, Error> {
        // Losing the last batches in a crash of the server loses no truth: the next comparison finds their drift
        // again. What says that they are done is committed later, synchronously, and so behind them in the log.
        session.execute("SET synchronous_commit = off").await.context("set up the repair")?;
        give_way(session).await?;
        let repaired = self.repair_batches(session, model, batch_rows, progress).await?;
        sqlx::raw_sql("RESET synchronous_commit; RESET lock_timeout")
            .execute(session)
            .await
            .context("end the repair")?;
        Ok(repaired)
    }

    /// Those of the repaired keys whose balance is still not the sum of their entries, as `list.sql` has them, with both
    /// sides as they are now.
    pub(super) async fn left<R>(&self, session: &mut PgConnection, model: &Model) -> Result<Vec<R>, DbError>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        if self.to_repair == 0 {
            return Ok(Vec::new());
        }
        let mut transaction = session.begin().await.context("read what was repaired")?;
        transaction
            .execute(
                "CREATE TEMPORARY TABLE stockfoil_suspect ON COMMIT DROP AS
                 SELECT org, item, location, lot FROM pg_temp.stockfoil_difference WHERE repair",
            )
            .await
            .context("read what was repaired")?;
        // Few keys are looked up one by one, where an index finds them.
        let difference = match are_few(model, self.to_repair) {
            true => confirm(model),
            false => statement(model),
        };
        let left = model.render_with(include_str!("left.sql"), &[("difference", &difference)]);
        let rows = sqlx::query_as(left.sql())
            .persistent(false)
            .bind(None::<Vec<String>>)
            .fetch_all(&mut *transaction)
            .await
            .context("read what was repaired")?;
        transaction.commit().await.context("read what was repaired")?;
        Ok(rows)
    }

    /// Takes back that the keys numbered `left` were repaired.
    pub(super) async fn not_repaired(
        &mut self,
        session: &mut PgConnection,
        left: Vec<i64>,
    ) -> Result<(), DbError> {
        if left.is_empty() {
            return Ok(());
        }
        sqlx::query("UPDATE pg_temp.stockfoil_difference SET repair = false WHERE n = ANY ($1)")
            .bind(left)
            .execute(&mut *session)
            .await
            .context("take note of what was not repaired")?;
        self.count(session).await
    }

    async fn repair_batches(
        &self,
        session: &mut PgConnection,
        model: &Model,
        batch_rows: u32,
        progress: &dyn Progress,
    ) -> Result<Repair, Error> {
        let batch = Batch::of(session, model).await?;
        let (mut repaired, mut first, mut size, mut attempts) = (0, 1, i64::from(batch_rows), 0);
        let mut refused = Vec::new();
        while first <= self.rows {
            let last = self.rows.min(first + size - 1);
            let (is_same, rows) = match batch.repair(session, first..=last, &self.ledger_file).await {
                Err(error) if gave_way(&error) => {
                    // Fewer keys at once hold up fewer writers, and one that is held up holds up fewer keys.
                    size = (size / 2).max(1);
                    attempts += 1;
                    if attempts % TELL_AFTER_ATTEMPTS == 0 {
                        progress.note(&format!(
                            "waiting for a writer that holds balance {first} of {} or one after it",
                            self.rows
                        ));
                    }
                    tokio::time::sleep(pause_after_giving_way()).await;
                    continue;
                }
                // What one key can't be given keeps nothing from the others: they are told apart by halves.
                Err(error) if is_of_a_row(&error) => {
                    if first == last {
                        refused.push((first, words(&error)));
                        first += 1;
                    }
                    size = (size / 2).max(1);
                    continue;
                }
                batch => batch.context("add the drift to the balances")?,
            };
            if !is_same {
                return Ok(Repair::LedgerReplaced);
            }
            let rows = u64::try_from(rows).unwrap_or_default();
            repaired += rows;
            progress.advance(rows);
            first = last + 1;
            size = (size * 2).min(i64::from(batch_rows));
            attempts = 0;
        }
        Ok(Repair::Done { rows: repaired, refused })
    }
}

/// How a few keys are repaired.
struct Batch {
    ledger: String,
    /// What holds an entry of each key without a balance; of an adopted table alone, whose rows may be missing.
    hold: Option<Statement>,
    repair: Statement,
}

impl Batch {
    async fn of(session: &mut PgConnection, model: &Model) -> Result<Self, DbError> {
        let ledger_file = render(include_str!("ledger_file.sql"), &[]);
        let ledger = model.ledger.table.to_string();
        if !model.balances.is_adopted {
            let repair = model.render_with(include_str!("repair.sql"), &[("ledger_file", &ledger_file)]);
            return Ok(Self { ledger, hold: None, repair });
        }
        let may_hold: bool = sqlx::query_scalar("SELECT has_any_column_privilege(to_regclass($1), 'UPDATE')")
            .bind(&ledger)
            .fetch_one(session)
            .await
            .context("look whether entries can be held")?;
        let held = match may_hold {
            true => "(SELECT l.* FROM {ledger} AS l FOR SHARE) AS held",
            false => "{ledger}",
        };
        let held = model.entries(&model.render(held));
        let hold = model.render_with(include_str!("hold.sql"), &[("held_entries", &held)]);
        let repair = model.render_with(include_str!("repair_adopted.sql"), &[("ledger_file", &ledger_file)]);
        Ok(Self { ledger, hold: Some(hold), repair })
    }

    /// Repairs the keys of these numbers in a transaction of its own: whether the ledger is in these files, and how many
    /// balances were written.
    async fn repair(
        &self,
        session: &mut PgConnection,
        numbers: std::ops::RangeInclusive<i64>,
        ledger_file: &str,
    ) -> Result<(bool, i64), sqlx::Error> {
        let (first, last) = numbers.into_inner();
        let repair =
            sqlx::query_as(self.repair.sql()).bind(&self.ledger).bind(first).bind(last).bind(ledger_file);
        let Some(hold) = &self.hold else { return repair.fetch_one(session).await };
        let mut transaction = session.begin().await?;
        let held: Vec<i64> =
            sqlx::query_scalar(hold.sql()).bind(first).bind(last).fetch_all(&mut *transaction).await?;
        let repaired = repair.bind(held).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(repaired)
    }
}

/// What the server said.
pub(super) fn words(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Whether what the server refused is of one row: its type, a constraint, or whatever the application's own trigger raises, which
/// may have any code. What is of the session, of rights and names, of resources or of other sessions is everybody's.
pub(super) fn is_of_a_row(error: &sqlx::Error) -> bool {
    const EVERYBODYS: [&str; 17] = [
        "08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0", "HV", "XX",
    ];
    sqlstate(error).is_some_and(|code| !EVERYBODYS.iter().any(|class| code.starts_with(class)))
}
