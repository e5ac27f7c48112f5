//! The balances at a time: what the entries up to then add up to, as the ledger says now.

mod report;
mod spool;

use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, Postgres, Transaction};

pub use super::time::{AsOf, AsOfError};
use super::{
    BalanceError, difference, key, open,
    reconcile::quantity,
    sums_at::{key_as_text, of_key, sums},
};
use crate::{
    Error, Task,
    db::{Context as _, Db},
    ledger::{BalanceKey, Quantity},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    sql::{Fixed, Fragment, Statement},
    tenancy::named,
    timestamp::Timestamp,
};
pub use report::{AsOfReport, BalanceAt};
pub use spool::Balances;
use spool::Spool;

/// Which balances, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When.
    pub at: AsOf,
    /// Only these organizations; all of them where this is empty.
    pub orgs: Vec<OrgId>,
    /// Only this key.
    pub key: Option<BalanceKey>,
}

/// Reads the balances as they were, in one snapshot. Changes nothing, and works on a standby.
///
/// # Errors
/// When the time is to come, the ledger doesn't say when entries were made, an organization is not there, the key can't be
/// one of this ledger or never had an entry, the tables are missing, or the database refuses.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, options: &'a Options) -> Task<'a, AsOfReport> {
    Box::pin(async move {
        let model = mapping.resolve(db).await?;
        if model.ledger.created_at.is_none() {
            return Err(BalanceError::NoTimes(model.ledger.table.plain()).into());
        }
        match told(db, &model, options).await {
            Err(error) if error.overflowed() => told(db, &model.bounded(), options).await,
            told => told,
        }
    })
}

fn told<'a>(db: &'a Db, model: &'a Model, options: &'a Options) -> Task<'a, AsOfReport> {
    Box::pin(async move {
        let (mut session, _) = open(db, model, &options.orgs).await?;
        let key = match &options.key {
            None => None,
            Some(key) => {
                let key = named::with_id(&mut session, model, key).await?;
                Some(key::own_key(&mut session, model, &key).await?)
            }
        };
        difference::set_up(&mut session).await?;
        let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let (is_over, read_at): (bool, Timestamp) =
            sqlx::query_as("SELECT $1 <= clock_timestamp(), clock_timestamp()")
                .bind(options.at.at)
                .fetch_one(&mut *transaction)
                .await
                .context("ask the server for its time")?;
        if !is_over {
            let at = Timestamp::from(options.at.at);
            return Err(BalanceError::TimeToCome { at, now: read_at }.into());
        }
        let balances = match &key {
            None => of_organizations(&mut transaction, model, options).await?,
            Some(key) => vec![of_one_key(&mut transaction, model, key, options.at).await?].into(),
        };
        Ok(AsOfReport::new(options.at, read_at, balances))
    })
}

/// A balance as it is read: the key's parts, the quantity, and how many entries are no number and have no time.
type Row = (OrgId, String, String, Option<String>, String, i64, i64);

const READ: &str = "read the balances at that time";

async fn of_organizations(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    options: &Options,
) -> Result<Balances, Error> {
    let only = model.render("($2::text[] IS NULL OR e.org = ANY ($2::text[]::{org.type}[]))");
    let statement = statement(model, &only, &Fixed("$1"));
    let orgs = (!options.orgs.is_empty()).then_some(options.orgs.as_slice());
    let query = sqlx::query_as(statement.sql()).persistent(false).bind(options.at.at).bind(orgs);
    // Row by row: there may be many.
    let mut rows = query.fetch(&mut **transaction);
    let mut spool = Spool::default();
    while let Some(row) = rows.try_next().await.context(READ)? {
        spool.push(row)?;
    }
    spool.end()
}

async fn of_one_key(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    key: &BalanceKey,
    at: AsOf,
) -> Result<BalanceAt, Error> {
    let [org, item, location, lot] = key_as_text(model);
    let only = of_key(model, [&org, &item, &location, &lot], key.lot_id.is_some());
    // Whatever time an entry has is at or before the last.
    for (until, is_ever) in [(Fixed("$5"), false), (Fixed("'infinity'"), true)] {
        let statement = statement(model, &only, &until);
        let mut query = sqlx::query_as(statement.sql())
            .persistent(false)
            .bind(&key.org_id)
            .bind(&key.item_id)
            .bind(&key.location_id)
            .bind(&key.lot_id);
        if !is_ever {
            query = query.bind(at.at);
        }
        if let Some(row) = query.fetch_optional(&mut **transaction).await.context(READ)? {
            return if is_ever { Ok(BalanceAt::none(key.clone())) } else { read(row) };
        }
    }
    Err(key::unknown(model, key, BalanceError::KeyWithoutEntries(key.to_string())).into())
}

/// The statement that reads the balances of those entries of which `only` holds.
fn statement(model: &Model, only: &dyn Fragment, at: &dyn Fragment) -> Statement {
    model.render_with(include_str!("as_of/balances.sql"), &[("sums_at", &sums(model, only, at))])
}

fn read(
    (org_id, item_id, location_id, lot_id, text, not_a_number, undated): Row,
) -> Result<BalanceAt, Error> {
    let key = BalanceKey { org_id, item_id, location_id, lot_id };
    let quantity = quantity(Some(text))?.unwrap_or_else(Quantity::zero);
    Ok(BalanceAt::new(key, quantity, not_a_number.unsigned_abs(), undated.unsigned_abs()))
}
