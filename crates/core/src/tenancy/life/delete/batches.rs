//! Deleting an organization's rows: those that refer to others first, in batches, each a short transaction with what it adds to
//! the certificate.

use std::collections::BTreeMap;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::{
    super::{
        TenancyError,
        moves::{
            as_organization,
            guard::{self, Balances, Sight},
        },
    },
    LifeError,
    archive::{Digest, Kind, TableCount},
    whole::{Table, Whole, any_of},
};
use crate::{
    Error,
    db::{Context as _, give_way, pause_after_giving_way},
    history::{self, RunId},
    model::{KeptBy, Model, joined},
    org_id::OrgId,
    progress::Progress,
    sql::{Definition, Ident, QualifiedName, Statement, render},
};

/// After so many attempts at one batch somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// So often rows are looked for again of a table that has not got fewer.
pub(super) const ROUNDS_MAX: u32 = 3;

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
        for group in self.whole.children_first(self.model) {
            match group.as_slice() {
                [place] => self.table(session, *place).await?,
                group => self.circle(session, group).await?,
            }
        }
        Ok(())
    }

    async fn table(&mut self, session: &mut PgConnection, place: usize) -> Result<(), Error> {
        let table = &self.whole.tables[place];
        let name = table.name.plain();
        let unreferred = self.unreferred(place, &[place]);
        let mut is_last = unreferred.is_none();
        let (mut left, mut rounds) = (i64::MAX, 0);
        self.progress.begin(&format!("delete rows of {name}"), None);
        loop {
            let now = self.count(session, place).await?;
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
            let going = self.number(session, place, &condition).await?;
            if going == 0 {
                // What is left refers to each other, if anything is: it can only go at once.
                is_last = true;
                continue;
            }
            // Who refers to rows of its own table in a circle goes in one statement.
            let rows_max = (!is_last || unreferred.is_none()).then_some(i64::from(self.batch_rows));
            let deleted = self.numbered(session, &[place], going, rows_max).await?;
            if deleted == 0 {
                let chosen = u64::try_from(going).unwrap_or(0);
                return Err(TenancyError::from(LifeError::NotDeleted { table: name, deleted, chosen }).into());
            }
        }
        self.progress.finish();
        Ok(())
    }

    /// How many rows of the table there are.
    pub(super) async fn count(&self, session: &mut PgConnection, place: usize) -> Result<i64, Error> {
        let table = &self.whole.tables[place];
        let statement = table.render(self.model, "SELECT count(*) FROM {table} AS t WHERE {is_own}", &[]);
        let rows =
            sqlx::query_scalar(statement.sql()).persistent(false).bind(self.org).fetch_one(session).await;
        Ok(rows.context(format!("count the rows of {}", table.name.plain()))?)
    }

    /// That no other row of the tables at `among` refers to the row `t` of the table at `place`; none where none can.
    pub(super) fn unreferred(&self, place: usize, among: &[usize]) -> Option<Statement> {
        let is_among = |child: Option<usize>| child.is_some_and(|child| among.contains(&child));
        let edges = self.whole.edges.iter().filter(|edge| edge.parent == place && is_among(edge.child));
        let referring: Vec<Statement> = edges
            .map(|edge| {
                let pairs = edge.columns.iter().map(|(column, parent)| {
                    render("c.{column} = t.{parent}", &[("column", column), ("parent", parent)])
                });
                let refers = crate::sql::all_of(pairs);
                render(
                    "EXISTS (SELECT FROM {child} AS c WHERE {refers} AND (c.tableoid, c.ctid) <> (t.tableoid, t.ctid))",
                    &[("child", &edge.child_table), ("refers", &refers)],
                )
            })
            .collect();
        (!referring.is_empty()).then(|| render("NOT {any}", &[("any", &any_of(&referring))]))
    }

    /// Puts the rows aside that go next, and returns how many there are.
    pub(super) async fn number(
        &self,
        session: &mut PgConnection,
        place: usize,
        condition: &Statement,
    ) -> Result<i64, Error> {
        let table = &self.whole.tables[place];
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

    /// Deletes the rows of the tables at `places` that were put aside, and returns how many were deleted: `rows_max` at a time, or
    /// all at once where they refer to each other, since a part of them would leave references to rows that are gone.
    pub(super) async fn numbered(
        &mut self,
        session: &mut PgConnection,
        places: &[usize],
        last: i64,
        rows_max: Option<i64>,
    ) -> Result<u64, Error> {
        let (rows_min, rows_max) = rows_max.map_or((last, last), |rows_max| (1, rows_max));
        let (mut deleted, mut next, mut rows) = (0, 1, rows_max);
        let (mut sight, mut attempts) = (Sight::Counting, 0_u32);
        while next <= last {
            let end = last.min(next + rows - 1);
            match self.batch(session, places, (next, end), sight).await {
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
                        let tables = self.names(places);
                        self.progress.note(&format!("waiting for a writer that holds rows of {tables}"));
                    }
                    rows = (rows / 2).max(rows_min);
                    tokio::time::sleep(pause_after_giving_way()).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// The names of the tables at `places`.
    pub(super) fn names(&self, places: &[usize]) -> String {
        let names: Vec<String> = places.iter().map(|place| self.whole.tables[*place].name.plain()).collect();
        names.join(", ")
    }

    async fn batch(
        &mut self,
        session: &mut PgConnection,
        places: &[usize],
        (first, last): (i64, i64),
        sight: Sight,
    ) -> Result<u64, Error> {
        let mut transaction = session.begin_with(sight.begin()).await?;
        as_organization(&mut transaction, Some(self.org.as_str())).await?;
        let rows = self.delete(&mut transaction, places, (first, last), sight).await?;
        let before = self.deleted.clone();
        for (place, row) in &rows {
            self.deleted.entry(self.whole.tables[*place].name.plain()).or_default().add(row);
        }
        let noted = history::note(&mut transaction, self.run, &self.note()).await;
        let committed = match noted {
            Ok(()) => transaction.commit().await.context(format!("delete rows of {}", self.names(places))),
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            // Counted is what is committed.
            self.deleted = before;
            return Err(error.into());
        }
        Ok(rows.len() as u64)
    }

    /// The statement that deletes rows that were put aside: of all tables at once, so that their foreign keys are asked when all
    /// of them are gone; it says the place of each row's table, and what it held.
    fn deleting(&self, places: &[usize]) -> Statement {
        let each = places.iter().map(|place| {
            let at = Definition::number(*place);
            let part = Ident::joined(&["gone", &at.to_string()]);
            let delete = self.whole.tables[*place].render(
                self.model,
                "{part} AS (
                     DELETE FROM {table} AS t USING pg_temp.stockfoil_going AS g
                     WHERE g.n BETWEEN $2 AND $3 AND t.ctid = g.place AND t.tableoid = g.relation AND {is_own}
                     RETURNING {values} AS held)",
                &[("part", &part)],
            );
            let select = render("SELECT {at}, held FROM {part}", &[("at", &at), ("part", &part)]);
            (delete, select)
        });
        let (deletes, selects): (Vec<Statement>, Vec<Statement>) = each.unzip();
        let (deletes, selects) = (joined(&deletes, ", "), joined(&selects, " UNION ALL "));
        render("WITH {deletes} {selects}", &[("deletes", &deletes), ("selects", &selects)])
    }

    /// Deletes rows of the tables at `places`, and changes no row of another organization; returns what they held, with the places
    /// of their tables.
    async fn delete(
        &self,
        connection: &mut PgConnection,
        places: &[usize],
        (first, last): (i64, i64),
        sight: Sight,
    ) -> Result<Vec<(usize, String)>, Error> {
        let statement = self.deleting(places);
        let names: Vec<&QualifiedName> = places.iter().map(|place| &self.whole.tables[*place].name).collect();
        let balances = match names.iter().any(|name| **name == self.model.ledger.table) {
            true => Balances::Follow,
            false => Balances::Stay,
        };
        let mut touched = Vec::new();
        let mut others = Vec::new();
        for attempt in [Sight::Counting, Sight::Comparing] {
            let mut tried = connection.begin().await?;
            let before = guard::written(&mut tried, self.model, balances).await?;
            let rows: Vec<(i32, String)> = sqlx::query_as(statement.sql())
                .persistent(false)
                .bind(self.org)
                .bind(first)
                .bind(last)
                .fetch_all(&mut *tried)
                .await
                .context(format!("delete rows of {}", self.names(places)))?;
            let place = |(place, row)| (usize::try_from(place).unwrap_or_default(), row);
            let rows: Vec<(usize, String)> = rows.into_iter().map(place).collect();
            guard::settle(&mut tried).await?;
            if attempt == Sight::Counting {
                let count = |place: &usize| rows.iter().filter(|(of, _)| of == place).count();
                let asked: Vec<(&QualifiedName, usize)> =
                    names.iter().copied().zip(places.iter().map(count)).collect();
                touched = before.beyond(&mut tried, self.model, &asked).await?;
                if touched.is_empty() {
                    tried.commit().await?;
                    return Ok(rows);
                }
                sight.require_comparing(names[0])?;
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
                let (org, table, others) = (self.org.clone(), self.names(places), changed.join(", "));
                return Err(TenancyError::from(LifeError::Carried { org, table, others }).into());
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
                "SELECT count(*)::text || ' ' || coalesce(sum(hashtextextended(ROW(t.*)::text, 0)::numeric), 0)::text FROM {table} AS t
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
