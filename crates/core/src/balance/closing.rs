//! Closed periods: what the entries before a time added up to when it was closed, and which keys have others now.
//!
//! The newest closing holds. It has each key's sum, and count and hash beside it, as one snapshot saw them; so whatever changes
//! a closed entry afterwards, or adds one, shows in its key, whatever time it claims to have been made at. Which keys may
//! have changed is known as the checkpoint knows it: by marks, and by the transactions of new entries.

mod partitions;
mod until;

pub use partitions::GonePartition;
pub use until::{Before, Until, UntilError};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    history::RunId,
    ledger::BalanceKey,
    model::Model,
    org_id::OrgId,
    sql::{Fragment, Statement, render},
    timestamp::Timestamp,
};

/// Everything that decides what a closing records.
const READ: &str = "{tx_entries}; {e.item}; {e.location}; {e.lot}; {e.hash}";

const LOOK: &str = "look at the closed entries";

/// A closing.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Closing {
    pub(super) id: i64,
    /// Entries before it are closed.
    pub(super) closed_before: DateTime<Utc>,
    pub(super) transactions: String,
    /// Whether it was read as the present mapping reads: else it is of something else.
    pub(super) is_same_mapping: bool,
    /// Whether this cluster counts the transactions that were over then.
    pub(super) is_here: bool,
}

/// The keys to look at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'a> {
    /// Those of these organizations, or of all.
    All(Option<&'a [OrgId]>),
    /// Those that [`put_aside`] put aside, which are all that can have changed.
    PutAside,
}

/// A key whose closed entries are not those that were closed: its parts, and what they add up to now and did then.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Changed {
    org: OrgId,
    item: String,
    location: String,
    lot: String,
    pub(super) ledger_qty: Option<String>,
    pub(super) closed_qty: Option<String>,
}

impl Changed {
    pub(super) fn key(&self) -> BalanceKey {
        let Self { org, item, location, lot, .. } = self;
        BalanceKey {
            org_id: org.clone(),
            item_id: item.clone(),
            location_id: location.clone(),
            lot_id: (!lot.is_empty()).then(|| lot.clone()),
        }
    }
}

/// An entry: its id, its quantity, and its time.
pub(super) type Late = (String, Option<String>, Option<Timestamp>);

/// What was closed.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Closed {
    pub(super) id: i64,
    pub(super) keys: i64,
    pub(super) entries: i64,
}

fn mapping(model: &Model) -> String {
    hex::encode(Sha256::digest(model.unbounded().render(READ).as_str()))
}

impl Closing {
    /// The newest, if anything was closed.
    pub(super) async fn newest(session: &mut PgConnection, model: &Model) -> Result<Option<Self>, DbError> {
        if !catalog::is_there(session, "stockfoil.closing").await? {
            return Ok(None);
        }
        sqlx::query_as(include_str!("closing/newest.sql"))
            .bind(mapping(model))
            .fetch_optional(session)
            .await
            .context("look what was closed")
    }

    /// Puts the keys aside that may have changed since the last run, in the transaction in which it takes their marks;
    /// `watermark` is that of the last run.
    pub(super) async fn put_aside(
        &self,
        session: &mut PgConnection,
        model: &Model,
        watermark: &dyn Fragment,
    ) -> Result<(), Error> {
        let put_aside =
            model.render_with(include_str!("closing/candidates.sql"), &[("watermark", watermark)]);
        sqlx::query(put_aside.sql())
            .persistent(false)
            .bind(self.closed_before)
            .execute(&mut *session)
            .await
            .context(LOOK)?;
        session.execute("ANALYZE pg_temp.stockfoil_closed_key").await.context(LOOK)?;
        Ok(())
    }

    /// The keys among `keys` whose closed entries changed; with a run, that records them.
    pub(super) async fn changed(
        &self,
        session: &mut PgConnection,
        model: &Model,
        keys: Keys<'_>,
        run: Option<RunId>,
    ) -> Result<Vec<Changed>, Error> {
        let statement = changed_statement(model, keys);
        let orgs = match keys {
            Keys::All(orgs) => orgs,
            Keys::PutAside => None,
        };
        let changed: Vec<Changed> = sqlx::query_as(statement.sql())
            .persistent(false)
            .bind(self.id)
            .bind(self.closed_before)
            .bind(orgs)
            .fetch_all(&mut *session)
            .await
            .context(LOOK)?;
        if let Some(run) = run {
            record(session, run, orgs, &changed).await?;
        }
        Ok(changed)
    }

    /// The first `limit` entries of `key` in the closed time that were made after it was closed; none where this cluster does
    /// not count the transactions that were over then.
    pub(super) async fn late_entries(
        &self,
        session: &mut PgConnection,
        model: &Model,
        key: &BalanceKey,
        limit: i64,
    ) -> Result<Vec<Late>, Error> {
        if !self.is_here {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as(model.render(include_str!("closing/late.sql")).sql())
            .bind(&key.org_id)
            .bind(&key.item_id)
            .bind(&key.location_id)
            .bind(&key.lot_id)
            .bind(self.closed_before)
            .bind(&self.transactions)
            .bind(limit)
            .fetch_all(session)
            .await;
        Ok(rows.context(LOOK)?)
    }
}

fn changed_statement(model: &Model, keys: Keys<'_>) -> Statement {
    let (of_entries, of_closed) = match keys {
        Keys::All(_) => (render("", &[]), render("", &[])),
        Keys::PutAside => (
            model.render(
                "JOIN pg_temp.stockfoil_closed_key AS k ON e.org = k.org AND {e.item} = k.item AND {e.location} = k.location
                     AND {e.lot} IS NOT DISTINCT FROM k.lot",
            ),
            render(
                "JOIN pg_temp.stockfoil_closed_key AS k ON (c.org_id, c.item_id, c.location_id, c.lot_id)
                     = (k.org::text, k.item::text, k.location::text, coalesce(k.lot::text, ''))",
                &[],
            ),
        ),
    };
    let fragments: [(&str, &dyn Fragment); 2] = [("of_entries", &of_entries), ("of_closed", &of_closed)];
    model.render_with(include_str!("closing/changed.sql"), &fragments)
}

async fn record(
    session: &mut PgConnection,
    run: RunId,
    orgs: Option<&[OrgId]>,
    changed: &[Changed],
) -> Result<(), Error> {
    let column = |part: fn(&Changed) -> Option<String>| changed.iter().map(part).collect::<Vec<_>>();
    sqlx::query(include_str!("closing/record_backdated.sql"))
        .bind(run)
        .bind(orgs)
        .bind(column(|key| Some(key.org.to_string())))
        .bind(column(|key| Some(key.item.clone())))
        .bind(column(|key| Some(key.location.clone())))
        .bind(column(|key| Some(key.lot.clone())))
        .bind(column(|key| key.ledger_qty.clone()))
        .bind(column(|key| key.closed_qty.clone()))
        .execute(session)
        .await
        .context("record the changes of closed entries")?;
    Ok(())
}

/// Closes the ledger before `until`, in one snapshot. What was entered into closed periods before is closed with it.
pub(super) async fn close(
    session: &mut PgConnection,
    model: &Model,
    run: RunId,
    until: Until,
    role: &str,
) -> Result<Closed, Error> {
    const CLOSE: &str = "close the ledger";
    let mut transaction =
        session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE").await.context(CLOSE)?;
    let closed: Closed = sqlx::query_as(model.render(include_str!("closing/close.sql")).sql())
        .persistent(false)
        .bind(run)
        .bind(until.0)
        .bind(role)
        .bind(mapping(model))
        .fetch_one(&mut *transaction)
        .await
        .context(CLOSE)?;
    sqlx::query(
        "UPDATE stockfoil.finding SET closed_run = $1, closed_at = clock_timestamp() WHERE closed_run IS NULL AND kind = 'backdated'",
    )
    .bind(run)
    .execute(&mut *transaction)
    .await
    .context(CLOSE)?;
    partitions::record(&mut transaction, model, closed.id, until).await?;
    transaction.commit().await.context(CLOSE)?;
    Ok(closed)
}
