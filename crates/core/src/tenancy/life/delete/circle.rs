//! Deleting rows of tables that refer to each other in circles: what nothing refers to first, then what does in a circle, each
//! time with all that refers to it, in one statement. Foreign keys are asked at the end of a statement at the earliest, so they
//! need not be deferrable.

use sqlx::{Executor as _, PgConnection};

use super::{
    super::{super::TenancyError, LifeError},
    batches::{ROUNDS_MAX, Work},
};
use crate::{Error, db::Context as _, sql::render};

/// What is done when rows are put aside.
const LOOK: &str = "look for rows that refer to each other";

impl Work<'_> {
    /// Deletes the organization's rows of the tables at the places of `group`.
    pub(super) async fn circle(&mut self, session: &mut PgConnection, group: &[usize]) -> Result<(), Error> {
        let names = self.names(group);
        let (mut left, mut rounds) = (i64::MAX, 0);
        self.progress.begin(&format!("delete rows of {names}"), None);
        loop {
            let mut now = 0;
            for place in group {
                now += self.count(session, *place).await?;
            }
            rounds = if now < left { 0 } else { rounds + 1 };
            if now == 0 || rounds >= ROUNDS_MAX {
                // Where rows keep coming, that shows at the end.
                break;
            }
            left = now;
            let mut deleted = self.unreferred_rows(session, group).await?;
            if deleted == 0 {
                deleted = self.rows_in_circles(session, group).await?;
            }
            if deleted == 0 {
                let chosen = u64::try_from(now).unwrap_or(0);
                return Err(
                    TenancyError::from(LifeError::NotDeleted { table: names, deleted, chosen }).into()
                );
            }
        }
        self.progress.finish();
        Ok(())
    }

    /// Deletes the rows that no row of these tables refers to.
    async fn unreferred_rows(&mut self, session: &mut PgConnection, group: &[usize]) -> Result<u64, Error> {
        let mut deleted = 0;
        for place in group {
            let condition = self.unreferred(*place, group).unwrap_or_else(|| render("true", &[]));
            let going = self.number(session, *place, &condition).await?;
            if going > 0 {
                deleted += self.numbered(session, &[*place], going, Some(i64::from(self.batch_rows))).await?;
            }
        }
        Ok(deleted)
    }

    /// Deletes the rows of the first of these tables that has any, some at a time, each time with all that refers to them.
    async fn rows_in_circles(&mut self, session: &mut PgConnection, group: &[usize]) -> Result<u64, Error> {
        for place in group {
            let seeds = self.number(session, *place, &render("true", &[])).await?;
            if seeds == 0 {
                continue;
            }
            session
                .execute(
                    "CREATE TEMPORARY TABLE IF NOT EXISTS stockfoil_seed (LIKE pg_temp.stockfoil_going INCLUDING INDEXES);
                     TRUNCATE pg_temp.stockfoil_seed;
                     INSERT INTO pg_temp.stockfoil_seed SELECT * FROM pg_temp.stockfoil_going;
                     ANALYZE pg_temp.stockfoil_seed",
                )
                .await
                .context(LOOK)?;
            let (mut deleted, rows_max) = (0, i64::from(self.batch_rows));
            let mut next = 1;
            while next <= seeds {
                let last = seeds.min(next + rows_max - 1);
                let going = self.with_referring(session, group, *place, (next, last)).await?;
                if going > 0 {
                    deleted += self.numbered(session, group, going, None).await?;
                }
                next = last + 1;
            }
            return Ok(deleted);
        }
        Ok(0)
    }

    /// Puts the rows numbered `first` to `last` aside with all that refers to them, and returns how many those are.
    async fn with_referring(
        &self,
        session: &mut PgConnection,
        group: &[usize],
        place: usize,
        (first, last): (i64, i64),
    ) -> Result<i64, Error> {
        session
            .execute("TRUNCATE pg_temp.stockfoil_going; RESET enable_hashjoin; RESET enable_mergejoin")
            .await
            .context(LOOK)?;
        let seed = self.whole.tables[place].render(
            self.model,
            "INSERT INTO pg_temp.stockfoil_going
             SELECT row_number() OVER (), t.tableoid, t.ctid FROM pg_temp.stockfoil_seed AS s
             JOIN {table} AS t ON t.ctid = s.place AND t.tableoid = s.relation
             WHERE s.n BETWEEN $2 AND $3 AND {is_own}",
            &[],
        );
        let seeded = sqlx::query(seed.sql())
            .persistent(false)
            .bind(self.org)
            .bind(first)
            .bind(last)
            .execute(&mut *session)
            .await
            .context(LOOK)?;
        let going = i64::try_from(seeded.rows_affected()).unwrap_or(i64::MAX);
        let going = self.add_referring(session, group, going).await?;
        session.execute("SET enable_hashjoin = off; SET enable_mergejoin = off").await.context(LOOK)?;
        Ok(going)
    }

    /// Adds to the rows put aside, of which there are `going`, all that refers to them, and returns how many there are then.
    async fn add_referring(
        &self,
        session: &mut PgConnection,
        group: &[usize],
        mut going: i64,
    ) -> Result<i64, Error> {
        loop {
            session.execute("ANALYZE pg_temp.stockfoil_going").await.context(LOOK)?;
            let before = going;
            for edge in self.whole.edges.iter().filter(|edge| group.contains(&edge.parent)) {
                let Some(child) = edge.child.filter(|child| group.contains(child)) else { continue };
                let is_own = self.whole.tables[child].is_own(self.model, "c");
                let more = self.whole.of_edge(
                    self.model,
                    edge,
                    "INSERT INTO pg_temp.stockfoil_going
                     SELECT $2 + row_number() OVER (), r.tableoid, r.ctid
                     FROM (SELECT DISTINCT c.tableoid, c.ctid FROM pg_temp.stockfoil_going AS g
                           JOIN {parent} AS p ON p.ctid = g.place AND p.tableoid = g.relation
                           JOIN {child} AS c ON {c.refers_p}
                           WHERE {is_own} AND NOT EXISTS (
                               SELECT FROM pg_temp.stockfoil_going AS k WHERE k.relation = c.tableoid AND k.place = c.ctid)) AS r",
                    &[("is_own", &is_own)],
                );
                let added = sqlx::query(more.sql())
                    .persistent(false)
                    .bind(self.org)
                    .bind(going)
                    .execute(&mut *session)
                    .await
                    .context(LOOK)?;
                going += i64::try_from(added.rows_affected()).unwrap_or(0);
            }
            if going == before {
                return Ok(going);
            }
        }
    }
}
