//! Balances: the table, the triggers that keep it equal to the ledger, and the repair of what differs.
//!
//! Each statement that changes the ledger adds its change to the balances in its own transaction. So a difference
//! between a key's entries and its balance, seen in one snapshot, stays what it is whatever commits afterwards,
//! and is repaired by adding it: no writer is waited for, and none is lost.
//!
//! A balance is the sum of those entries that are numbers. `NaN` and the infinities, which a ledger may hold from
//! before its triggers, are findings until they are mended; then the triggers count them.

pub mod archive;
pub mod as_of;
pub mod backfill;
mod checkpoint;
mod closing;
mod difference;
pub mod explain;
mod key;
mod queue;
pub mod reconcile;
mod schema;
mod settings;
mod sums_at;
mod time;
mod writing;

pub use checkpoint::FullReason;
pub use closing::{Before, GonePartition, Until, UntilError};
pub(crate) use queue::fold_all;
pub(crate) use schema::write_lot_key;
pub use schema::{
    FoundIndex, FoundTrigger, Kind, Object, Objects, OwnTable, QUERIES, State, TriggerNames, indexes,
    inspect, objects, objects_named, own_indexes, own_table, triggers,
};
pub use settings::{Settings, check_tolerance};

use sqlx::{PgConnection, Postgres, pool::PoolConnection};

use crate::{
    Error, Failure, catalog,
    db::{Context as _, Db, DbError},
    model::Model,
    org_id::OrgId,
    sql::QualifiedName,
    tenancy::TenancyError,
    timestamp::Timestamp,
};

/// How many keys are repaired in one transaction, unless said otherwise.
pub const BATCH_ROWS: u32 = 1000;

/// Why balances could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum BalanceError {
    /// The table or the triggers are missing.
    #[error("the balances of database {database:?} are not set up: {what}; run migrate-balance first")]
    NotMigrated {
        /// The database.
        database: String,
        /// The parts, with what is wrong with each.
        what: String,
    },
    /// What was read can't be kept until it is written.
    #[error(
        "the balances could not be put aside: {0}; make room in the temporary folder, or name another in TMPDIR"
    )]
    Spool(#[source] std::io::Error),
    /// An organization is not there.
    #[error("there is no organization {0}; org-list shows those there are")]
    NoSuchOrganization(String),
    /// A key has other parts, or parts of another type, than this ledger's.
    #[error("{key} can't be a key of this ledger; its keys are {form}, with parts of the ledger's own types")]
    KeyOfOtherForm {
        /// The key.
        key: String,
        /// What a key looks like here.
        form: String,
    },
    /// A key that has no entry at any time.
    #[error("{0} has no ledger entry; write the key as reconcile-balances prints it")]
    KeyWithoutEntries(String),
    /// A time that is not over.
    #[error(
        "--as-of {at} is yet to come: the server's clock says {now}; write a time that is past, or leave --as-of out and read the balances themselves"
    )]
    TimeToCome {
        /// The time.
        at: Timestamp,
        /// That of the server.
        now: Timestamp,
    },
    /// Nobody knows when the entries were made.
    #[error(
        "the ledger {0} does not say when an entry was made, so --as-of has nothing to go by; write [ledger] created_at in stockfoil.toml, the column or the SQL that says it, and run migrate-balance"
    )]
    NoTimes(String),
    /// A key that nothing was ever entered, stored or found of.
    #[error(
        "{0} has no ledger entry, no balance and no finding; write the key as reconcile-balances prints it"
    )]
    UnknownKey(String),
    /// No organization's balances were ever backfilled, so nothing can be told about them.
    #[error(
        "the balances of {0} were never backfilled, so a difference says nothing; run backfill-balances first"
    )]
    NeverBackfilled(String),
    /// The ledger's file changed at every attempt.
    #[error(
        "the ledger was truncated or rewritten while it was compared, {0} times; run again when that is over"
    )]
    LedgerReplaced(u32),
    /// The queue came or went meanwhile.
    #[error("the queue of database {0:?} ([balances] hot) was made or dropped while this began; run again")]
    QueueChanged(String),
    /// The mapping does not say how an entry is written.
    #[error("no entry that corrects the ledger {ledger} can be written: {why}")]
    NoEntry {
        /// The ledger.
        ledger: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The ledger can't be closed before a time.
    #[error("the ledger {ledger} can't be closed before {until}: {why}")]
    NoClosing {
        /// The ledger.
        ledger: String,
        /// The time.
        until: Until,
        /// Why not, and what to do.
        why: String,
    },
    /// A partition can't be archived.
    #[error("partition {partition} can't be archived: {why}")]
    NoArchive {
        /// The partition.
        partition: String,
        /// Why not, and what to do.
        why: String,
    },
    /// A partition's entries changed at every attempt.
    #[error(
        "the entries of partition {partition} were changed while they were brought forward, {attempt} times; end what writes into a closed period, and run again"
    )]
    PartitionChanged {
        /// The partition.
        partition: String,
        /// How often.
        attempt: u32,
    },
    /// A correction without a reason.
    #[error("--fix-by-entry has an empty reason; say why the ledger lacks what is entered")]
    NoReason,
    /// A batch can't have no rows.
    #[error("a batch of 0 rows does nothing; give --batch-rows 1 or more")]
    EmptyBatch,
}

impl BalanceError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            BalanceError::NoSuchOrganization(_)
            | BalanceError::KeyOfOtherForm { .. }
            | BalanceError::UnknownKey(_)
            | BalanceError::KeyWithoutEntries(_)
            | BalanceError::TimeToCome { .. }
            | BalanceError::NoTimes(_)
            | BalanceError::NoEntry { .. }
            | BalanceError::NoReason
            | BalanceError::NoClosing { .. }
            | BalanceError::NoArchive { .. }
            | BalanceError::EmptyBatch => Failure::Usage,
            BalanceError::NotMigrated { .. }
            | BalanceError::Spool(_)
            | BalanceError::NeverBackfilled(_)
            | BalanceError::LedgerReplaced(_)
            | BalanceError::PartitionChanged { .. }
            | BalanceError::QueueChanged(_) => Failure::Work,
        }
    }
}

/// The organizations whose balances can't be judged yet: neither backfilled, nor made after another's backfill, by
/// when the triggers were there.
///
/// # Errors
/// When the records can't be read.
pub async fn not_backfilled(connection: &mut PgConnection, model: &Model) -> Result<Vec<OrgId>, DbError> {
    let statement = model.render(
        "SELECT o.id::text FROM {organizations} AS o
         WHERE NOT EXISTS (SELECT FROM stockfoil.backfill AS b WHERE b.org_id = o.id::text)
           AND (o.created_at > (SELECT min(exact_since) FROM stockfoil.backfill)) IS NOT TRUE
         ORDER BY o.id",
    );
    sqlx::query_scalar(statement.sql())
        .fetch_all(connection)
        .await
        .context("look which organizations were backfilled")
}

/// Whether Stockfoil's records know of balances: of their migration, or of a backfill.
///
/// # Errors
/// When the records can't be read.
pub(crate) async fn is_recorded(session: &mut PgConnection) -> Result<bool, DbError> {
    const LOOK: &str = "look for records of balances";
    for (table, query) in [
        (
            "stockfoil.change",
            "SELECT EXISTS (SELECT FROM stockfoil.change WHERE command = 'migrate-balance')",
        ),
        ("stockfoil.backfill", "SELECT EXISTS (SELECT FROM stockfoil.backfill)"),
    ] {
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(&mut *session)
            .await
            .context(LOOK)?;
        if there && sqlx::query_scalar::<_, bool>(query).fetch_one(&mut *session).await.context(LOOK)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A session, and the parts that are not as they should be; without the table there is nothing to look at.
async fn open(
    db: &Db,
    model: &Model,
    orgs: &[OrgId],
) -> Result<(PoolConnection<Postgres>, Vec<(Kind, String, State)>), Error> {
    let mut session = db.acquire().await?;
    let broken = broken_parts(&mut session, model).await?;
    if broken.iter().any(|(kind, ..)| *kind == Kind::Table) {
        return Err(not_migrated(db, &broken));
    }
    // An adopted table of balances is there before anything else is.
    if !catalog::is_there(&mut session, &model.organizations.to_string()).await? {
        let missing = format!("table {}", model.organizations.plain());
        return Err(TenancyError::NotMigrated { database: db.facts().database.clone(), missing }.into());
    }
    check_organizations(&mut session, model, orgs).await?;
    Ok((session, broken))
}

fn check_batch_rows(rows: u32) -> Result<(), BalanceError> {
    if rows == 0 { Err(BalanceError::EmptyBatch) } else { Ok(()) }
}

/// Checks that every organization of `orgs` is there.
async fn check_organizations(
    connection: &mut PgConnection,
    model: &Model,
    orgs: &[OrgId],
) -> Result<(), Error> {
    let statement = model.render(
        "SELECT string_agg(given, ', ') FROM unnest($1) AS given WHERE given NOT IN (SELECT id::text FROM {organizations})",
    );
    let unknown: Option<String> = sqlx::query_scalar(statement.sql())
        .bind(orgs)
        .fetch_one(connection)
        .await
        .context("look for the organizations")?;
    match unknown {
        Some(unknown) => Err(BalanceError::NoSuchOrganization(unknown).into()),
        None => Ok(()),
    }
}

/// The parts that balances can't be exact without, each with what is wrong with it; none when all is well.
async fn broken_parts(
    connection: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(Kind, String, State)>, DbError> {
    let objects = objects(model);
    let states = inspect(connection, &objects).await?;
    let uncovered = uncovered(model, &states);
    Ok(states
        .iter()
        .filter(|(object, state)| {
            matches!(object.kind, Kind::Table | Kind::Record | Kind::Column | Kind::Function | Kind::Trigger)
                && !matches!(state, State::Intact | State::Unwanted)
                && !object
                    .table
                    .as_ref()
                    .is_some_and(|table| *state == State::Missing && uncovered.contains(table))
        })
        .map(|(object, state)| (object.kind, object.name.as_str().to_owned(), state.clone()))
        .collect())
}

/// The partitions that came after the triggers and have none of their own: what is written through the ledger is counted
/// by the ledger's, and only what is written straight into them is not.
///
/// # Errors
/// When the catalog can't be read.
async fn uncovered_partitions(
    connection: &mut PgConnection,
    model: &Model,
) -> Result<Vec<QualifiedName>, DbError> {
    let objects = objects(model);
    let states = inspect(connection, &objects).await?;
    Ok(uncovered(model, &states))
}

fn uncovered(model: &Model, states: &[(&Object, State)]) -> Vec<QualifiedName> {
    let triggers = |table: &QualifiedName| {
        let of_table = states
            .iter()
            .filter(|(object, _)| object.kind == Kind::Trigger && object.table.as_ref() == Some(table));
        of_table.filter(|(object, _)| !object.create.is_empty()).map(|(_, state)| state).collect::<Vec<_>>()
    };
    if triggers(&model.ledger.table).iter().any(|state| **state != State::Intact) {
        return Vec::new();
    }
    let is_uncovered = |table: &&QualifiedName| {
        let states = triggers(table);
        !states.is_empty() && states.iter().all(|state| **state == State::Missing)
    };
    model.ledger.partitions.iter().filter(is_uncovered).cloned().collect()
}

fn not_migrated(db: &Db, parts: &[(Kind, String, State)]) -> Error {
    let what: Vec<String> =
        parts.iter().map(|(kind, name, state)| format!("{} {name} {state}", kind.as_str())).collect();
    BalanceError::NotMigrated { database: db.facts().database.clone(), what: what.join(", ") }.into()
}
