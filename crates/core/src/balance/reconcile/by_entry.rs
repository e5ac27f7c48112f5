//! Corrections of the ledger: where the balance was right and the ledger lost something, the difference is entered.
//!
//! The triggers give each entry to its balance. So the entry goes together with taking as much from the balance, in one
//! transaction a key, which holds the balance's row and sees the difference under that lock: what others write waits, or was
//! over before. Both sides are read again before it is committed, and the finding is closed in it. A killed run has done a
//! key whole or not at all.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::{Breakage, LISTED_MAX, Work, quantity};
use crate::{
    Error,
    balance::{BalanceError, checkpoint, difference, key, writing::Writing},
    db::{Context as _, Db, gave_way, give_way, pause_after_giving_way, sqlstate},
    history::RunId,
    ledger::{BalanceKey, Discrepancy, Kind, Quantity},
    model::{KeptBy, Model},
    sql::{Fixed, Statement, render},
    tenancy::named,
};

/// After so many attempts at one key somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// The key of one difference, put aside.
const PUT_ASIDE: &str = "CREATE TEMPORARY TABLE stockfoil_suspect ON COMMIT DROP AS
     SELECT org, item, location, lot FROM pg_temp.stockfoil_difference WHERE n = $1";

/// Which differences are entered into the ledger, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByEntry {
    /// Why the ledger lacks them.
    pub reason: String,
    /// Only this key, however small its difference is; every large one, missing balance and orphan where there is none.
    pub key: Option<BalanceKey>,
}

/// What was entered into the ledger, or would be in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Correction {
    /// Why.
    pub reason: String,
    /// The database's role that entered it.
    pub role: String,
    /// What each entry has in further columns.
    pub columns: BTreeMap<String, String>,
    /// How many differences were entered.
    pub entered: u64,
    /// Those; at most [`LISTED_MAX`].
    pub entries: Vec<Entered>,
}

/// A difference that was entered into the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entered {
    /// What it was.
    pub kind: Kind,
    /// Both sides before.
    #[serde(flatten)]
    pub discrepancy: Discrepancy,
    /// The key as `--explain` takes it.
    pub key: String,
    /// The entry's quantity.
    pub quantity: Quantity,
    /// The entry's id; none in a dry run.
    pub entry_id: Option<String>,
}

/// The entries that a run is to make.
pub(super) struct Entering {
    writing: Writing,
    key: Option<BalanceKey>,
    /// Whether a temporary table can be made, so that entries are tried out before any is written.
    can_try: bool,
    pending: Vec<Pending>,
}

struct Pending {
    /// Its number in `pg_temp.stockfoil_difference`.
    n: i64,
    kind: Kind,
    discrepancy: Discrepancy,
}

/// What became of one difference.
enum Outcome {
    Entered {
        quantity: String,
        id: String,
    },
    /// It is there no more.
    Gone,
    /// Why it could not be entered; nothing was written.
    Refused(String),
}

impl Entering {
    /// Whether the difference is to be entered; it waits for it then.
    pub(super) fn takes(
        &mut self,
        n: i64,
        kind: Kind,
        discrepancy: &Discrepancy,
        tolerance: &Quantity,
    ) -> bool {
        let is_asked = match &self.key {
            Some(key) => *key == discrepancy.key && !matches!(kind, Kind::None | Kind::NotANumber),
            None => {
                matches!(kind, Kind::Large | Kind::Missing | Kind::Orphan)
                    && !discrepancy.is_mended_unasked(tolerance)
            }
        };
        let is_taken = is_asked && !discrepancy.drift().is_zero();
        if is_taken {
            self.pending.push(Pending { n, kind, discrepancy: discrepancy.clone() });
        }
        is_taken
    }

    /// Forgets the differences, for a new comparison.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }
}

impl Work<'_> {
    /// Looks whether entries can be written, before anything is compared.
    pub(super) async fn prepare_entering(
        &mut self,
        db: &Db,
        session: &mut PgConnection,
    ) -> Result<(), Error> {
        let Some(by_entry) = &self.options.by_entry else { return Ok(()) };
        let model = self.model;
        if Breakage::of(&self.report.broken_parts) == Some(Breakage::Uncounted) {
            let why = "the balances' triggers are not as they should be, so that it might not be counted; run migrate-balance first";
            return Err(BalanceError::NoEntry { ledger: model.ledger.table.plain(), why: why.into() }.into());
        }
        let writing = Writing::of(model)?;
        let key = match &by_entry.key {
            None => None,
            Some(key) => {
                let key = named::with_id(session, model, key).await?;
                Some(key::own_key(session, model, &key).await?)
            }
        };
        let (reason, role) = (by_entry.reason.clone(), db.facts().role.clone());
        self.report.correction = Some(Correction {
            columns: writing.shown(&reason, &role, None),
            reason,
            role,
            entered: 0,
            entries: Vec::new(),
        });
        self.entering = Some(Entering { writing, key, can_try: !db.facts().read_only, pending: Vec::new() });
        Ok(())
    }

    /// Lists what a run would enter.
    pub(super) async fn look_what_to_enter(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        self.try_entries(session).await?;
        let Some(entering) = self.entering.take() else { return Ok(()) };
        for Pending { kind, discrepancy, .. } in entering.pending {
            let quantity = Quantity::zero().minus(&discrepancy.drift());
            self.note_entered(kind, discrepancy, quantity, None);
        }
        Ok(())
    }

    /// Refuses to enter anything where `[ledger] where` would not count the entries.
    pub(super) async fn try_entries(&self, session: &mut PgConnection) -> Result<(), Error> {
        let (Some(entering), Some(correction)) = (&self.entering, &self.report.correction) else {
            return Ok(());
        };
        if self.model.ledger.filter.is_none() || entering.pending.is_empty() || !entering.can_try {
            return Ok(());
        }
        let texts = entering.writing.texts(&correction.reason, &correction.role, None);
        let mut transaction = session.begin().await.context("try the entries out")?;
        let tried = entering.try_out(&mut transaction, self.model, &texts).await;
        transaction.rollback().await.context("try the entries out")?;
        // What the database says of one entry is told with its key, where it is written.
        let Ok(counts) = tried else { return Ok(()) };
        if counts.iter().all(|counts| *counts) {
            return Ok(());
        }
        let why = "[ledger] where would not count it; give the columns that it reads values with which it does, in [ledger.correction] of stockfoil.toml";
        Err(BalanceError::NoEntry { ledger: self.model.ledger.table.plain(), why: why.into() }.into())
    }

    /// Enters what is to be entered.
    pub(super) async fn enter(&mut self, session: &mut PgConnection, run: RunId) -> Result<(), Error> {
        const ENTER: &str = "enter the differences into the ledger";
        let (Some(mut entering), Some(correction)) = (self.entering.take(), &mut self.report.correction)
        else {
            return Ok(());
        };
        let Correction { reason, role, .. } = &*correction;
        let texts = entering.writing.texts(reason, role, Some(run.0));
        let (columns, reason) = (entering.writing.shown(reason, role, Some(run.0)), reason.clone());
        correction.columns = columns;
        let statements = Statements::of(self.model, &entering.writing);
        self.progress.begin(ENTER, Some(entering.pending.len() as u64));
        give_way(session).await?;
        for Pending { n, kind, discrepancy } in std::mem::take(&mut entering.pending) {
            let mut attempts = 0;
            let outcome = loop {
                let entry = Entry { n, run, reason: &reason, texts: &texts };
                match entry.write(session, self.model, &statements).await {
                    Err(error) if gave_way(&error) => {
                        attempts += 1;
                        if attempts % TELL_AFTER_ATTEMPTS == 0 {
                            self.progress
                                .note(&format!("waiting for a writer that holds {}", discrepancy.key));
                        }
                        tokio::time::sleep(pause_after_giving_way()).await;
                    }
                    Err(error) => break Outcome::Refused(refusal(error).context(ENTER)?),
                    Ok(outcome) => break outcome,
                }
            };
            match outcome {
                Outcome::Gone => {}
                Outcome::Refused(why) => self.report.not_entered(kind, discrepancy, why),
                Outcome::Entered { quantity: text, id } => {
                    let entered = quantity(Some(text))?.unwrap_or_else(Quantity::zero);
                    self.note_entered(kind, discrepancy, entered, Some(id));
                    self.report.findings.closed += 1;
                }
            }
            self.progress.advance(1);
        }
        sqlx::raw_sql("RESET lock_timeout").execute(session).await.context(ENTER)?;
        Ok(())
    }

    fn note_entered(
        &mut self,
        kind: Kind,
        discrepancy: Discrepancy,
        quantity: Quantity,
        entry_id: Option<String>,
    ) {
        let Some(correction) = &mut self.report.correction else { return };
        correction.entered += 1;
        if correction.entries.len() < LISTED_MAX {
            let key = discrepancy.key.to_string();
            correction.entries.push(Entered { kind, discrepancy, key, quantity, entry_id });
        }
    }
}

impl Entering {
    /// Writes the entries into a temporary table like the ledger, and says which count.
    async fn try_out(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        model: &Model,
        texts: &[String],
    ) -> Result<Vec<bool>, sqlx::Error> {
        let table = model.render(
            "CREATE TEMPORARY TABLE stockfoil_entry (LIKE {ledger} INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP",
        );
        transaction.execute(table.sql()).await?;
        // A number that the database would give is not used up for this.
        for column in model.ledger.id.columns.iter().filter(|column| !self.writing.writes(column)) {
            let without = "ALTER TABLE pg_temp.stockfoil_entry ALTER {column} DROP DEFAULT, ALTER {column} DROP NOT NULL";
            transaction.execute(render(without, &[("column", column)]).sql()).await?;
        }
        let keys = model.render(
            "SELECT k.org::{org.type} AS org, k.item::{item.type} AS item, k.location::{location.type} AS location,
                    k.lot::{lot.type} AS lot, k.quantity::numeric AS quantity
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS k (org, item, location, lot, quantity)",
        );
        let statement =
            self.writing.statement(model, &Fixed("pg_temp.stockfoil_entry"), (&keys, 5), &Fixed("true"));
        let key = |part: fn(&BalanceKey) -> Option<String>| {
            self.pending.iter().map(|pending| part(&pending.discrepancy.key)).collect::<Vec<_>>()
        };
        let quantities = self
            .pending
            .iter()
            .map(|pending| Quantity::zero().minus(&pending.discrepancy.drift()).to_string());
        let mut query = sqlx::query_as(statement.sql())
            .persistent(false)
            .bind(key(|key| Some(key.org_id.to_string())))
            .bind(key(|key| Some(key.item_id.clone())))
            .bind(key(|key| Some(key.location_id.clone())))
            .bind(key(|key| key.lot_id.clone()))
            .bind(quantities.collect::<Vec<_>>());
        for text in texts {
            query = query.bind(text);
        }
        let rows: Vec<(Option<String>, Option<bool>, bool)> = query.fetch_all(&mut **transaction).await?;
        Ok(rows.into_iter().map(|(.., counts)| counts).collect())
    }
}

/// The statements of one correction, in their order.
struct Statements {
    /// Keeps TRUNCATE and a rewrite from coming between.
    lock: Statement,
    hold: Statement,
    read: Statement,
    insert: Statement,
    /// None where nothing but the application gives entries to balances.
    take_back: Option<Statement>,
    read_back: Statement,
}

impl Statements {
    fn of(model: &Model, writing: &Writing) -> Self {
        let difference = difference::confirm(model);
        let with = |template| model.render_with(template, &[("difference", &difference)]);
        let keys =
            render("SELECT s.*, $1::text::numeric AS quantity FROM pg_temp.stockfoil_suspect AS s", &[]);
        let take_back = model.render(
            "{balances.add_drift} (
                 SELECT s.org, s.item, s.location, s.lot, -($1::text::numeric) AS delta FROM pg_temp.stockfoil_suspect AS s
             ) AS d{balances.added_drift}",
        );
        Self {
            lock: model.render("LOCK TABLE {ledger} IN ROW EXCLUSIVE MODE"),
            hold: model.render(
                "SELECT FROM {balances} AS b JOIN pg_temp.stockfoil_suspect AS d ON {b.is_d} FOR NO KEY UPDATE OF b",
            ),
            read: with("SELECT (-k.drift)::text FROM (\n{difference}\n) AS k WHERE k.drift <> 0"),
            insert: writing.statement(model, &model.ledger.table, (&keys, 1), &writing.is_exact()),
            take_back: (model.balances.kept_by == KeptBy::Triggers).then_some(take_back),
            read_back: with("SELECT k.ledger_qty::text, k.balance_qty::text FROM (\n{difference}\n) AS k"),
        }
    }
}

/// One correction.
struct Entry<'a> {
    n: i64,
    run: RunId,
    reason: &'a str,
    texts: &'a [String],
}

impl Entry<'_> {
    /// Makes it, or leaves everything as it was.
    async fn write(
        &self,
        session: &mut PgConnection,
        model: &Model,
        statements: &Statements,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        match self.write_in(&mut transaction, model, statements).await {
            Ok(entered @ Outcome::Entered { .. }) => transaction.commit().await.map(|()| entered),
            outcome => {
                transaction.rollback().await?;
                outcome
            }
        }
    }

    async fn write_in(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        model: &Model,
        statements: &Statements,
    ) -> Result<Outcome, sqlx::Error> {
        transaction.execute(statements.lock.sql()).await?;
        sqlx::query(PUT_ASIDE).persistent(false).bind(self.n).execute(&mut **transaction).await?;
        sqlx::query(statements.hold.sql()).persistent(false).execute(&mut **transaction).await?;
        let read = sqlx::query_scalar(statements.read.sql()).persistent(false);
        let Some(quantity): Option<String> = read.fetch_optional(&mut **transaction).await? else {
            return Ok(Outcome::Gone);
        };
        let mut insert = sqlx::query_as(statements.insert.sql()).persistent(false).bind(&quantity);
        for text in self.texts {
            insert = insert.bind(text);
        }
        let written: Option<(String, Option<bool>, bool)> = insert.fetch_optional(&mut **transaction).await?;
        let id = match written {
            Some((id, Some(true), true)) => id,
            Some((_, _, false)) => return Ok(refused("[ledger] where would not count the entry")),
            Some(_) => {
                return Ok(refused(&format!(
                    "an entry of {quantity} would not be kept as it is: the column's type or a trigger makes another quantity of it"
                )));
            }
            None => {
                return Ok(refused("a trigger or a rule of the ledger kept the entry from being written"));
            }
        };
        if let Some(take_back) = &statements.take_back {
            let take_back = sqlx::query(take_back.sql()).persistent(false).bind(&quantity);
            take_back.execute(&mut **transaction).await?;
        }
        let read_back = sqlx::query_as(statements.read_back.sql()).persistent(false);
        let left: Option<(Option<String>, Option<String>)> =
            read_back.fetch_optional(&mut **transaction).await?;
        if let Some((ledger, balance)) = left {
            let side = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
            return Ok(refused(&format!(
                "with an entry of {quantity} both sides differ all the same (ledger {}, balance {}): a trigger or the application counts it in the balance too, or there is no row for it",
                side(ledger),
                side(balance)
            )));
        }
        checkpoint::note_corrected(transaction, model, self.run).await?;
        sqlx::query(include_str!("by_entry/close_entered.sql"))
            .bind(self.run)
            .bind(&id)
            .bind(self.reason)
            .execute(&mut **transaction)
            .await?;
        Ok(Outcome::Entered { quantity, id })
    }
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused(why.to_owned())
}

/// Why the database refused one entry, where it is that; nothing of the others is known by it. A trigger of the ledger may
/// also lack a right, or name what is not there.
fn refusal(error: sqlx::Error) -> Result<String, sqlx::Error> {
    let is_of_trigger =
        sqlstate(&error).is_some_and(|code| ["0A", "42"].iter().any(|class| code.starts_with(class)));
    match is_of_trigger || difference::is_of_a_row(&error) {
        true => Ok(format!("the database refused the entry: {}", difference::words(&error))),
        false => Err(error),
    }
}
