//! What each organization uses: rows, their size, entries by day, the last of them, and its keys: `org-list --usage`.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::require;
use crate::{
    Error, Task,
    db::{Context as _, Db, DbError},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    report::{Metric, Outcome, Report},
    sql::{Fixed, Fragment},
    timestamp::Timestamp,
};

/// The entries of a day.
#[derive(Debug, Serialize)]
pub struct Day {
    /// The day, in UTC.
    pub day: String,
    /// How many entries are of it.
    pub entries: i64,
    /// What they take.
    pub bytes: i64,
}

/// What an organization uses.
#[derive(Debug, Serialize)]
pub struct Usage {
    /// The organization.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub is_active: bool,
    /// Entries of the ledger.
    pub entries: i64,
    /// Rows of every tenant table and of the balances.
    pub rows: i64,
    /// What these rows take, without indexes and what is free between them.
    pub bytes: i64,
    /// The time of its newest entry; none where entries have no time, or there are none.
    pub last_write: Option<Timestamp>,
    /// Keys that lead to it now.
    pub live_keys: i64,
    /// Keys that a request had within the days asked for.
    pub used_keys: i64,
    /// The last day on which a request had a key.
    pub last_key_use: Option<String>,
    /// Its entries by day, the newest first, of the days asked for.
    pub days: Vec<Day>,
}

/// What the organizations use.
#[derive(Debug, Serialize)]
pub struct OrgUsage {
    /// Of how many days entries are told by day.
    pub days: u16,
    /// The organizations, in the order of their ids.
    pub organizations: Vec<Usage>,
}

impl Report for OrgUsage {
    const SCHEMA: &'static str = "stockfoil.org-usage/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (name, help, value) in [
            (
                "stockfoil_organization_entries",
                "Entries of the ledger by organization.",
                Usage::entries as fn(&Usage) -> _,
            ),
            (
                "stockfoil_organization_rows",
                "Rows of tenant tables and balances by organization.",
                Usage::rows,
            ),
            ("stockfoil_organization_bytes", "Size of these rows by organization.", Usage::bytes),
            ("stockfoil_organization_live_keys", "API keys that lead to the organization.", Usage::live_keys),
            (
                "stockfoil_organization_used_keys",
                "API keys that requests had of late, by organization.",
                Usage::used_keys,
            ),
            (
                "stockfoil_organization_last_write_timestamp_seconds",
                "Time of the organization's newest entry.",
                Usage::last_write,
            ),
        ] {
            metrics.extend(self.organizations.iter().filter_map(|usage| {
                let labels = vec![("org", usage.id.to_string())];
                value(usage).map(|value| Metric { name, help, labels, value: value.to_string() })
            }));
        }
        metrics
    }
}

impl Usage {
    fn entries(&self) -> Option<i64> {
        Some(self.entries)
    }

    fn rows(&self) -> Option<i64> {
        Some(self.rows)
    }

    fn bytes(&self) -> Option<i64> {
        Some(self.bytes)
    }

    fn live_keys(&self) -> Option<i64> {
        Some(self.live_keys)
    }

    fn used_keys(&self) -> Option<i64> {
        Some(self.used_keys)
    }

    fn last_write(&self) -> Option<i64> {
        self.last_write.and_then(Timestamp::at).map(|at| at.timestamp())
    }
}

/// Looks what each organization uses, in one snapshot; reads every row of the tenant tables.
///
/// # Errors
/// [`TenancyError::NotMigrated`](super::TenancyError::NotMigrated) before `migrate-org`, and database errors.
pub fn look<'a>(db: &'a Db, mapping: &'a Mapping, active_only: bool, days: u16) -> Task<'a, OrgUsage> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let tables: Vec<_> = model.tenant_tables.iter().collect();
        require(db, model, &tables).await?;
        let mut session = db.acquire().await?;
        let mut tx = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut organizations = organizations(&mut tx, model, active_only, days).await?;
        rows(&mut tx, model, &mut organizations).await?;
        entries(&mut tx, model, days, &mut organizations).await?;
        Ok(OrgUsage { days, organizations: organizations.into_values().collect() })
    })
}

type ById = BTreeMap<String, Usage>;

async fn organizations(
    tx: &mut PgConnection,
    model: &Model,
    active_only: bool,
    days: u16,
) -> Result<ById, DbError> {
    let found: Vec<(OrgId, String, bool, i64, i64, Option<String>)> =
        sqlx::query_as(model.render(include_str!("usage/organizations.sql")).sql())
            .bind(active_only)
            .bind(i32::from(days))
            .fetch_all(tx)
            .await
            .context("list the organizations and their keys")?;
    let usage = |(id, name, is_active, live_keys, used_keys, last_key_use): (OrgId, _, _, _, _, _)| {
        let key = id.to_string();
        let (entries, rows, bytes, last_write, days) = (0, 0, 0, None, Vec::new());
        (
            key,
            Usage {
                id,
                name,
                is_active,
                entries,
                rows,
                bytes,
                last_write,
                live_keys,
                used_keys,
                last_key_use,
                days,
            },
        )
    };
    Ok(found.into_iter().map(usage).collect())
}

/// Counts the rows of every tenant table and of the balances.
async fn rows(tx: &mut PgConnection, model: &Model, organizations: &mut ById) -> Result<(), Error> {
    let balances = &model.balances.table;
    let has_balances = !model.tenant_tables.contains(balances)
        && crate::catalog::is_there(&mut *tx, &balances.to_string()).await?;
    for table in model.tenant_tables.iter().chain(has_balances.then_some(balances)) {
        let fragments: [(&str, &dyn Fragment); 1] = [("table", table)];
        let statement = model.render_with(include_str!("usage/rows.sql"), &fragments);
        let counted: Vec<(String, i64, i64)> = sqlx::query_as(statement.sql())
            .fetch_all(&mut *tx)
            .await
            .context(format!("count the rows of {} by organization", table.plain()))?;
        for (org, rows, bytes) in counted {
            let Some(usage) = organizations.get_mut(&org) else { continue };
            usage.rows = usage.rows.saturating_add(rows);
            usage.bytes = usage.bytes.saturating_add(bytes);
            if *table == model.ledger.table {
                usage.entries = rows;
            }
        }
    }
    Ok(())
}

/// Tells entries by day, and the newest.
async fn entries(
    tx: &mut PgConnection,
    model: &Model,
    days: u16,
    organizations: &mut ById,
) -> Result<(), DbError> {
    let nothing = Fixed("NULL::timestamptz");
    let created_at: &dyn Fragment = match &model.ledger.created_at {
        Some(created_at) => created_at,
        None => &nothing,
    };
    let fragments: [(&str, &dyn Fragment); 1] = [("created_at", created_at)];
    let newest: Vec<(String, Option<Timestamp>)> =
        sqlx::query_as(model.render_with(include_str!("usage/newest.sql"), &fragments).sql())
            .fetch_all(&mut *tx)
            .await
            .context("look for the newest entries")?;
    for (org, at) in newest {
        if let Some(usage) = organizations.get_mut(&org) {
            usage.last_write = at;
        }
    }
    let by_day: Vec<(String, String, i64, i64)> =
        sqlx::query_as(model.render_with(include_str!("usage/days.sql"), &fragments).sql())
            .bind(i32::from(days))
            .fetch_all(tx)
            .await
            .context("count the entries by day")?;
    for (org, day, entries, bytes) in by_day {
        if let Some(usage) = organizations.get_mut(&org) {
            usage.days.push(Day { day, entries, bytes });
        }
    }
    Ok(())
}
