//! Gives existing rows without an organization to the default one: in batches, each a short transaction of its own,
//! in the order of the primary key, with the position stored in the same transaction.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::{
    catalog,
    db::{Context as _, DbError, gave_way},
    sql::{Definition, Fixed, Fragment, Ident, List, Literal, QualifiedName, Statement, render},
};

/// How long a batch should take: a writer waits for the rows of one batch at most.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// What the first batch looks at.
const BATCH_FIRST: i64 = 200;
/// What a batch looks at, at most.
const BATCH_MAX: i64 = 100_000;
/// How long a batch may wait for a row that a writer holds, while it holds others that writers may want.
const ROW_TIMEOUT: &str = "100ms";

/// What to fill.
#[derive(Debug, Clone)]
pub(super) struct Fill {
    /// The tables that hold the rows: a partitioned table's partitions.
    pub(super) tables: Vec<QualifiedName>,
    /// The organization's column.
    pub(super) org: Ident,
    /// The default organization's id.
    pub(super) default: Literal,
}

impl Fill {
    /// The statement of a first batch, to show.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn sample(&self, session: &mut PgConnection) -> Result<Vec<Statement>, crate::Error> {
        let mut statements = Vec::new();
        for table in &self.tables {
            let key = catalog::primary_key(session, table).await?;
            statements.push(self.batch(table, &key, false));
        }
        Ok(statements)
    }

    /// The batches of `table`, from where an earlier run stopped; with `again` from the beginning.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn batches(
        &self,
        session: &mut PgConnection,
        table: &QualifiedName,
        again: bool,
    ) -> Result<Batches, crate::Error> {
        if again {
            forget(session, table).await?;
        }
        let key = catalog::primary_key(session, table).await?;
        let mut position = position(session, table).await?;
        if key.is_empty() && position.is_none() {
            position = Some(vec!["0".to_owned()]);
        }
        Ok(Batches {
            table: table.clone(),
            has_key: !key.is_empty(),
            first: self.batch(table, &key, false),
            next: self.batch(table, &key, true),
            position,
            rows: BATCH_FIRST,
        })
    }

    fn batch(&self, table: &QualifiedName, key: &[(Ident, Definition)], from: bool) -> Statement {
        let mut fragments: Vec<(&str, &dyn Fragment)> =
            vec![("table", table), ("org", &self.org), ("default", &self.default)];
        let relation = Literal::new(&table.to_string());
        if key.is_empty() {
            fragments.push(("relation_text", &relation));
            return render(include_str!("fill_pages.sql"), &fragments);
        }
        let each = |template: &'static str| -> Vec<Statement> {
            let number = |place: usize| Definition::number(place + 1);
            key.iter()
                .enumerate()
                .map(|(place, (name, kind))| {
                    render(template, &[("name", name), ("kind", kind), ("place", &number(place))])
                })
                .collect()
        };
        let names = List(each("{name}"));
        let last = List(each("{name} DESC"));
        let texts = List(each("b.{name}::text"));
        let values = List(each("($1::text[])[{place}]::{kind}"));
        let (ours, theirs) = (List(each("t.{name}")), List(each("b.{name}")));
        let same = render("({ours}) = ({theirs})", &[("ours", &ours), ("theirs", &theirs)]);
        let after = render("({names}) > ({values})", &[("names", &names), ("values", &values)]);
        let everything = Fixed("true");
        fragments.push(("fill_key", &names));
        fragments.push(("fill_last", &last));
        fragments.push(("key_texts", &texts));
        fragments.push(("same_key", &same));
        fragments.push(("after", if from { &after } else { &everything }));
        render(include_str!("fill.sql"), &fragments)
    }
}

/// A table's batches, one after the other.
pub(super) struct Batches {
    table: QualifiedName,
    has_key: bool,
    first: Statement,
    next: Statement,
    position: Option<Vec<String>>,
    /// What the next batch looks at.
    rows: i64,
}

/// What a batch came to.
pub(super) enum Batch {
    /// It saw so many rows, and filled so many of them.
    Seen {
        /// Those that it looked at.
        rows: u64,
        /// Those that have an organization now, and had none.
        filled: u64,
    },
    /// A writer holds one of its rows; the next is smaller.
    GaveWay,
    /// There are no more rows.
    End,
}

impl Batches {
    /// The next one, in a transaction of its own.
    ///
    /// # Errors
    /// Database errors other than a lock that is not free.
    pub(super) async fn next(&mut self, session: &mut PgConnection) -> Result<Batch, sqlx::Error> {
        let started = Instant::now();
        let statement = if self.position.is_some() { &self.next } else { &self.first };
        match batch(session, statement, self.position.as_deref(), self.rows, &self.table).await {
            Ok((Some(moved), seen, filled)) => {
                self.position = Some(moved);
                if !self.has_key && seen == 0 {
                    return Ok(Batch::End);
                }
                self.rows = next_rows(self.rows, started.elapsed());
                Ok(Batch::Seen { rows: seen.unsigned_abs(), filled: filled.unsigned_abs() })
            }
            // A batch that found no row has come to the end.
            Ok((None, _, _)) => Ok(Batch::End),
            Err(error) if gave_way(&error) => {
                self.rows = (self.rows / 2).max(1);
                Ok(Batch::GaveWay)
            }
            Err(error) => Err(error),
        }
    }
}

/// The position behind the batch (none when it found no row), the rows that it saw, and those that it filled.
type Moved = (Option<Vec<String>>, i64, i64);

async fn batch(
    session: &mut PgConnection,
    statement: &Statement,
    position: Option<&[String]>,
    rows: i64,
    table: &QualifiedName,
) -> Result<Moved, sqlx::Error> {
    let mut transaction = session.begin().await?;
    // The rows of a batch are looked up one by one; a hash join would read the whole table for each batch.
    sqlx::query(
        "SELECT set_config('lock_timeout', $1, true), set_config('enable_hashjoin', 'off', true),
                set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)",
    )
    .bind(ROW_TIMEOUT)
        .execute(&mut *transaction)
        .await?;
    let moved = sqlx::query_as(statement.sql())
        .bind(position)
        .bind(rows)
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(moved)
}

/// So many rows that the next batch takes [`BATCH_TIME`], growing at most twofold.
fn next_rows(rows: i64, took: Duration) -> i64 {
    let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX).max(1);
    let aimed_us = i64::try_from(BATCH_TIME.as_micros()).unwrap_or(i64::MAX);
    (rows.saturating_mul(aimed_us) / took_us).clamp(1, rows * 2).min(BATCH_MAX)
}

async fn position(session: &mut PgConnection, table: &QualifiedName) -> Result<Option<Vec<String>>, DbError> {
    sqlx::query_scalar("SELECT position FROM stockfoil.fill WHERE schema_name = $1 AND table_name = $2")
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .fetch_optional(session)
        .await
        .context("read how far the fill came")
}

async fn forget(session: &mut PgConnection, table: &QualifiedName) -> Result<(), DbError> {
    sqlx::query("DELETE FROM stockfoil.fill WHERE schema_name = $1 AND table_name = $2")
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .execute(session)
        .await
        .context("start the fill from the beginning")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_and_shrinks_towards_its_time() {
        assert_eq!(next_rows(1000, Duration::from_millis(10)), 2000);
        assert_eq!(next_rows(1000, Duration::from_millis(80)), 1250);
        assert_eq!(next_rows(1000, Duration::from_millis(400)), 250);
        assert_eq!(next_rows(1, Duration::from_secs(5)), 1);
        assert_eq!(next_rows(BATCH_MAX, Duration::from_millis(1)), BATCH_MAX);
    }
}
