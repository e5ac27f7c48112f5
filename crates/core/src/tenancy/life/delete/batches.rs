//! Deleting an organization's rows: those that refer to others first, in batches, each a short transaction with what it adds to
//! the certificate.

use std::collections::BTreeMap;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    super::{
        super::{
            TenancyError,
            moves::guard::{self, Balances, Sight},
        },
        LifeError,
        archive::{Digest, Kind, TableCount},
        whole::{Table, Whole, any_of},
    },
    as_organization,
};
use crate::{
    Error,
    db::{Context as _, give_way, pause_after_giving_way},
    history::{self, RunId},
    model::{KeptBy, Model},
    org_id::OrgId,
    progress::Progress,
    sql::{QualifiedName, Statement, render},
};

/// After so many attempts at one batch somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// So often rows are looked for again of a table that has not got fewer.
const ROUNDS_MAX: u32 = 3;

/// So often all tables are gone through again, when rows have come meanwhile.
pub(super) const PASSES_MAX: u32 = 5;

/// What of an organization is deleted so far.
pub(super) struct Work<'a> {
    pub(super) model: &'a Model,
    pub(super) whole: &'a Whole,
    pub(super) org: &'a OrgId,
    pub(super) run: RunId,
    pub(super) batch_rows: u32,
    /// By table: how many rows, and their digest.
    pub(super) deleted: BTreeMap<String, Digest>,
    /// What is deleted of Stockfoil's own records already.
    pub(super) records: Vec<TableCount>,
    pub(super) progress: &'a dyn Progress,
}

impl Work<'_> {
    /// What the record of the run says while it is under way.
    pub(super) fn note(&self) -> serde_json::Value {
        let deleted: serde_json::Map<String, serde_json::Value> = self
            .deleted
            .iter()
            .map(|(table, digest)| (table.clone(), serde_json::json!([digest.rows, digest.text()])))
            .collect();
        serde_json::json!({ "org_id": self.org, "deleted": deleted, "records": self.records })
    }

    /// What was deleted of the tables, as the certificate has it.
    pub(super) fn counts(&self) -> Vec<TableCount> {
        let tables = self.whole.tables.iter().filter(|table| table.org.is_some());
        let count = |table: &Table| {
            let name = table.name.plain();
            let digest = self.deleted.get(&name).copied().unwrap_or_default();
            // The entries' triggers took from them what they were before.
            let is_changed = table.kind == Kind::Balances && self.model.balances.kept_by == KeptBy::Triggers;
            TableCount {
                table: name,
                kind: table.kind,
                rows: digest.rows,
                digest: (!is_changed).then(|| digest.text()),
            }
        };
        tables.map(count).chain(self.records.iter().cloned()).collect()
    }

    /// Deletes the rows of every table but the organization's own and its keys.
    pub(super) async fn pass(&mut self, session: &mut PgConnection) -> Result<(), Error> {
        give_way(session).await?;
        session
            .execute(
                "SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_custom_plan;
                 CREATE TEMPORARY TABLE IF NOT EXISTS stockfoil_going (n bigint PRIMARY KEY, relation oid NOT NULL, place tid NOT NULL)",
            )
            .await
            .context("set up the session")?;
        for place in self.whole.children_first(self.model) {
            if matches!(self.whole.tables[place].kind, Kind::Tenant | Kind::Balances) {
                self.table(session, place).await?;
            }
        }
        Ok(())
    }

    async fn table(&mut self, session: &mut PgConnection, place: usize) -> Result<(), Error> {
        let table = &self.whole.tables[place];
        let name = table.name.plain();
        let unreferred = self.unreferred(place);
        let mut is_last = unreferred.is_none();
        let (mut left, mut rounds) = (i64::MAX, 0);
        self.progress.begin(&format!("delete rows of {name}"), None);
        loop {
            let now = self.count(session, table).await?;
            rounds = if now < left { 0 } else { rounds + 1 };
            if now == 0 || rounds >= ROUNDS_MAX {
                // Where rows keep coming, that shows at the end.
                break;
            }
            left = now;
            let condition = match (&unreferred, is_last) {
                (Some(unreferred), false) => unreferred.clone(),
                _ => render("true", &[]),
            };
            let going = self.number(session, table, &condition).await?;
            if going == 0 {
                // What is left refers to each other, if anything is: it can only go at once.
                is_last = true;
                continue;
            }
            // Who refers to rows of its own table in a circle goes in one statement.
            let rows_max = if is_last && unreferred.is_some() { going } else { i64::from(self.batch_rows) };
            let deleted = self.numbered(session, table, going, rows_max).await?;
            if deleted == 0 {
                let chosen = u64::try_from(going).unwrap_or(0);
                return Err(TenancyError::from(LifeError::NotDeleted { table: name, deleted, chosen }).into());
            }
        }
        self.progress.finish();
        Ok(())
    }

    async fn count(&self, session: &mut PgConnection, table: &Table) -> Result<i64, Error> {
        let statement = table.render(self.model, "SELECT count(*) FROM {table} AS t WHERE {is_own}", &[]);
        let rows =
            sqlx::query_scalar(statement.sql()).persistent(false).bind(self.org).fetch_one(session).await;
        Ok(rows.context(format!("count the rows of {}", table.name.plain()))?)
    }

    /// That no other row of its own table refers to `t`; none where none can.
    fn unreferred(&self, place: usize) -> Option<Statement> {
        let table = &self.whole.tables[place];
        let own = self.whole.edges.iter().filter(|edge| edge.parent == place && edge.child == Some(place));
        let referring: Vec<Statement> = own
            .map(|edge| {
                let pairs = edge.columns.iter().map(|(column, parent)| {
                    render("c.{column} = t.{parent}", &[("column", column), ("parent", parent)])
                });
                let refers = crate::sql::all_of(pairs);
                render(
                    "EXISTS (SELECT FROM {table} AS c WHERE {refers} AND (c.tableoid, c.ctid) <> (t.tableoid, t.ctid))",
                    &[("table", &table.name), ("refers", &refers)],
                )
            })
            .collect();
        (!referring.is_empty()).then(|| render("NOT {any}", &[("any", &any_of(&referring))]))
    }

    /// Puts the rows aside that go next, and returns how many there are.
    async fn number(
        &self,
        session: &mut PgConnection,
        table: &Table,
        condition: &Statement,
    ) -> Result<i64, Error> {
        let context = || format!("look for rows of {}", table.name.plain());
        session.execute("TRUNCATE pg_temp.stockfoil_going").await.context(context())?;
        let statement = table.render(
            self.model,
            "INSERT INTO pg_temp.stockfoil_going SELECT row_number() OVER (), t.tableoid, t.ctid FROM {table} AS t
             WHERE {is_own} AND {condition}",
            &[("condition", condition)],
        );
        // A whole table is read: joined row by row that would take for ever.
        session.execute("RESET enable_hashjoin; RESET enable_mergejoin").await.context(context())?;
        let rows = sqlx::query(statement.sql())
            .persistent(false)
            .bind(self.org)
            .execute(&mut *session)
            .await
            .context(context())?
            .rows_affected();
        session
            .execute("SET enable_hashjoin = off; SET enable_mergejoin = off; ANALYZE pg_temp.stockfoil_going")
            .await
            .context(context())?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    /// Deletes the rows that were put aside, and returns how many were deleted.
    async fn numbered(
        &mut self,
        session: &mut PgConnection,
        table: &Table,
        last: i64,
        rows_max: i64,
    ) -> Result<u64, Error> {
        let (mut deleted, mut next, mut rows) = (0, 1, rows_max);
        let (mut sight, mut attempts) = (Sight::Counting, 0_u32);
        while next <= last {
            let end = last.min(next + rows - 1);
            match self.batch(session, table, (next, end), sight).await {
                Ok(count) => {
                    deleted += count;
                    self.progress.advance(count);
                    next = end + 1;
                    rows = (rows * 2).min(rows_max);
                    attempts = 0;
                }
                Err(error) if guard::must_compare(&error) && sight == Sight::Counting => {
                    sight = Sight::Comparing;
                }
                Err(error) if error.gave_way() || guard::was_overtaken(&error) => {
                    attempts += 1;
                    if attempts.is_multiple_of(TELL_AFTER_ATTEMPTS) {
                        let table = table.name.plain();
                        self.progress.note(&format!("waiting for a writer that holds rows of {table}"));
                    }
                    rows = (rows / 2).max(1);
                    tokio::time::sleep(pause_after_giving_way()).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    async fn batch(
        &mut self,
        session: &mut PgConnection,
        table: &Table,
        (first, last): (i64, i64),
        sight: Sight,
    ) -> Result<u64, Error> {
        let context = || format!("delete rows of {}", table.name.plain());
        let mut transaction = session.begin_with(sight.begin()).await?;
        as_organization(&mut transaction, self.org).await?;
        let rows = self.delete(&mut transaction, table, (first, last), sight).await?;
        let name = table.name.plain();
        let before = self.deleted.get(&name).copied();
        let mut digest = before.unwrap_or_default();
        rows.iter().for_each(|row| digest.add(row));
        self.deleted.insert(name.clone(), digest);
        let noted = history::note(&mut transaction, self.run, &self.note()).await;
        let committed = match noted {
            Ok(()) => transaction.commit().await.context(context()),
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            // Counted is what is committed.
            self.deleted.remove(&name);
            self.deleted.extend(before.map(|before| (name, before)));
            return Err(error.into());
        }
        Ok(rows.len() as u64)
    }

    /// Deletes rows of `table`, and changes no row of another organization; returns what they held.
    async fn delete(
        &self,
        connection: &mut PgConnection,
        table: &Table,
        (first, last): (i64, i64),
        sight: Sight,
    ) -> Result<Vec<String>, Error> {
        let context = || format!("delete rows of {}", table.name.plain());
        let statement = table.render(
            self.model,
            "DELETE FROM {table} AS t USING pg_temp.stockfoil_going AS g
             WHERE g.n BETWEEN $2 AND $3 AND t.ctid = g.place AND t.tableoid = g.relation AND {is_own} RETURNING {values}",
            &[],
        );
        let mut touched = Vec::new();
        let mut others = Vec::new();
        for attempt in [Sight::Counting, Sight::Comparing] {
            let mut tried = connection.begin().await?;
            let before =
                guard::written(&mut tried, self.model, Balances::beside(self.model, &table.name)).await?;
            let rows: Vec<String> = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(self.org)
                .bind(first)
                .bind(last)
                .fetch_all(&mut *tried)
                .await
                .context(context())?;
            guard::settle(&mut tried).await?;
            if attempt == Sight::Counting {
                touched = before.beyond(&mut tried, self.model, &[(&table.name, rows.len())]).await?;
                if touched.is_empty() {
                    tried.commit().await?;
                    return Ok(rows);
                }
                sight.require_comparing(&table.name)?;
                tried.rollback().await?;
                others = self.others(connection, &touched).await?;
                continue;
            }
            let after = self.others(&mut tried, &touched).await?;
            let changed: Vec<String> = (touched.iter().zip(others.iter().zip(&after)))
                .filter(|(_, (before, after))| before != after)
                .map(|(table, _)| table.plain())
                .collect();
            if !changed.is_empty() {
                let (org, table) = (self.org.clone(), table.name.plain());
                return Err(TenancyError::from(LifeError::Carried {
                    org,
                    table,
                    others: changed.join(", "),
                })
                .into());
            }
            tried.commit().await?;
            return Ok(rows);
        }
        Ok(Vec::new())
    }

    /// What `tables` hold of other organizations.
    async fn others(
        &self,
        connection: &mut PgConnection,
        tables: &[QualifiedName],
    ) -> Result<Vec<String>, Error> {
        let mut others = Vec::new();
        for table in tables {
            let statement = self.model.render_with(
                "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(ROW(t.*)::text, 0)::numeric), 0) FROM {table} AS t
                 WHERE t.{org} IS DISTINCT FROM $1::text::{org.type}",
                &[("table", table)],
            );
            let digest = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(self.org)
                .fetch_one(&mut *connection)
                .await
                .context(format!("look at the other rows of {}", table.plain()))?;
            others.push(digest);
        }
        Ok(others)
    }
}
