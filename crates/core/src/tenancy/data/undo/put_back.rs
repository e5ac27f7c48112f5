//! Rows go back, each record of the run at once.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{
    super::{
        super::moves::guard::Sight,
        at_once::{self, Attempts},
        report::by_table,
        stock::Stock,
        transfer::{self, Transfer},
    },
    Moved, Undone, Work,
};
use crate::{Error, db::Context as _, history::RunId};

impl Work<'_> {
    /// Puts back all of it, in a transaction in which what is deferred is looked at last, or nothing.
    pub(super) async fn put_back_at_once(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        records: &[Moved],
        report: Undone,
    ) -> Result<Undone, Error> {
        let mut attempts = Attempts::new();
        loop {
            match self.attempt(session, run, records, report.clone(), attempts.sight).await {
                Err(error) => attempts.go_on_after(error).await?,
                ended => return ended,
            }
        }
    }

    async fn attempt(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        records: &[Moved],
        report: Undone,
        sight: Sight,
    ) -> Result<Undone, Error> {
        self.at_once = Some(sight);
        let org = records.first().and_then(|record| record.from.as_deref());
        let mut transaction = at_once::begin(session, sight, org).await?;
        let report = self.put_back(&mut transaction, run, records, report).await?;
        at_once::settle(&mut transaction, self.model, org).await?;
        transaction.commit().await.context("put back what was moved")?;
        Ok(report)
    }

    pub(super) async fn put_back(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        records: &[Moved],
        mut report: Undone,
    ) -> Result<Undone, Error> {
        let Self { model, graph, progress, request, .. } = *self;
        self.done.fill((0, 0));
        let copied = self.originals(session).await?;
        // A run has one organization that gives and one that gets.
        let ends = records.first().and_then(|record| Some((record.to.as_str(), record.from.as_deref()?)));
        let stock = match ends {
            Some(ends) => Stock::of(session, model, graph, ends, &copied).await?,
            None => None,
        };
        if let Some(stock) = &stock {
            stock.hold(session).await?;
        }
        transfer::prepare(session, model, graph).await?;
        progress.begin("put rows back", Some(report.rows));
        self.transfer(session, run, records, &copied).await?;
        progress.finish();
        if let Some(stock) = &stock {
            report.balance_rows =
                stock.settle(session, None, self.at_once.unwrap_or(Sight::Counting)).await?.moved;
            stock.mark_undone(session, request.run, run).await?;
        }
        report.copies_kept = self.drop_copies(session, run, &copied).await?;
        transfer::unprepare(session).await?;
        report.applied = true;
        report.rows = self.done.iter().map(|(rows, _)| rows).sum();
        report.tables = by_table(graph, &self.done);
        Ok(report)
    }

    async fn transfer(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        records: &[Moved],
        copied: &BTreeSet<usize>,
    ) -> Result<(), Error> {
        let Self { model, graph, progress, .. } = *self;
        // As rows move: who refers goes first where a foreign key holds the organization.
        let places = graph.parents_first(&records.iter().map(|record| record.place).collect());
        let mut records: Vec<&Moved> = records.iter().collect();
        if self.at_once.is_some() {
            records.sort_by_key(|record| {
                std::cmp::Reverse(places.iter().position(|place| *place == record.place))
            });
        }
        for record in records {
            let to = record.from.as_deref();
            let transfer =
                Transfer::new(model, graph, record.place, Some(&record.to), to, copied).within(self.at_once);
            let (first, last) = record.rows.unwrap_or((1, 0));
            self.done[record.place].0 +=
                transfer.put_back(session, (first, last), record.id, run, progress).await?;
        }
        Ok(())
    }
}
