//! A fill, batch by batch: a row that a writer holds is waited for, and who holds it is said.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Runner, failed::Failed, long::Watch};
use crate::{
    db::{Context as _, DbError},
    migration::{
        error::MigrationError,
        fill::{Batch, Batches, Fill},
        patience::jittered,
        step::Step,
    },
    sql::QualifiedName,
};

/// A batch that lasts longer may wait for a row; so does it long enough to be asked for whom.
const LOOK_AFTER: Duration = Duration::from_millis(50);

impl Runner<'_> {
    /// Fills every table, from where an earlier run stopped; with `again` from the beginning. How many rows it filled.
    pub(super) async fn fill(&mut self, step: &Step, fill: &Fill, again: bool) -> Result<u64, crate::Error> {
        // How a batch is found best depends on how large it is. And the application's triggers fire, which find what they
        // name where the application does.
        sqlx::raw_sql("RESET plan_cache_mode; RESET search_path").execute(&mut *self.session).await?;
        let filled = self.fill_tables(step, fill, again).await?;
        super::prepare(self.session).await?;
        Ok(filled)
    }

    /// What keeps rows of the tables of `fill` from being filled, though the server refuses nothing.
    pub(super) async fn unfilled(&mut self, fill: &Fill) -> Result<crate::Error, crate::Error> {
        let tables: Vec<String> = fill.tables.iter().map(ToString::to_string).collect();
        let keepers: Vec<String> = sqlx::query_scalar(include_str!("keeps_rows.sql"))
            .bind(tables)
            .fetch_all(&mut *self.session)
            .await
            .context("look what keeps rows as they are")?;
        let tables: Vec<String> = fill.tables.iter().map(QualifiedName::plain).collect();
        Ok(MigrationError::NotFilled { tables: tables.join(", "), keepers }.into())
    }

    async fn fill_tables(&mut self, step: &Step, fill: &Fill, again: bool) -> Result<u64, crate::Error> {
        let mut filled = 0;
        for table in &fill.tables {
            let mut batches = fill.batches(self.session, table, again).await?;
            let mut watcher = None;
            let mut said = Vec::new();
            // A batch may give way before it is asked for whom, and a smaller one may end before the row that is held.
            let mut holders: Vec<String> = Vec::new();
            loop {
                self.wait_for_replicas(step).await?;
                let (batch, seen) = self.batch(step, &mut batches, watcher.as_mut(), &mut said).await?;
                if !seen.is_empty() {
                    holders = seen;
                }
                match batch {
                    Batch::End => break,
                    Batch::Seen { rows, filled: more } => {
                        self.progress.advance(rows);
                        filled += more;
                    }
                    Batch::GaveWay => {
                        if watcher.is_none() {
                            watcher = Some(self.db.session().await?);
                            let note = "a writer holds rows of the batch, trying a smaller one";
                            self.progress.note(&format!("{}: {note}", step.title));
                        }
                        self.wait(step, jittered(), &holders).await?;
                    }
                }
            }
        }
        Ok(filled)
    }

    /// One batch, and through `watcher` who held it up.
    async fn batch(
        &mut self,
        step: &Step,
        batches: &mut Batches,
        watcher: Option<&mut PgConnection>,
        said: &mut Vec<String>,
    ) -> Result<(Batch, Vec<String>), Failed> {
        let work = batches.next(self.session);
        tokio::pin!(work);
        let early = tokio::time::timeout(LOOK_AFTER, &mut work).await;
        let (result, holders) = match (early, watcher) {
            (Ok(result), _) => (result, Vec::new()),
            (Err(_), None) => (work.await, Vec::new()),
            (Err(_), Some(watcher)) => {
                let mut watch = Watch::default();
                let look = watch.look(watcher, self.pid, step, self.progress, said);
                let (result, holders) = tokio::join!(work, look);
                (result, holders?)
            }
        };
        let batch = result.map_err(|cause| DbError::Statement { context: step.title.clone(), cause })?;
        Ok((batch, holders))
    }
}
