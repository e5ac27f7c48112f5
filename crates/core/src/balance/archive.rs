//! Archived partitions: what a closed partition's entries come to is brought forward, and the partition leaves the ledger.
//!
//! A table like the partition is filled with one entry a key, which holds the sum of that key's old entries and is of the time of
//! the newest of them all, so that every balance at that time and after it is what it was. It has everything a partition needs
//! before it is one: triggers, rights, policies, keys, and a CHECK of its bounds. Then the two change places in one short
//! transaction, in which the newest closing comes to hold the new entries for the old. No balance is written, since no sum is
//! another one.
//!
//! The replacement takes the partition's name: what the application, a schedule or an extension calls by it goes on to find
//! what is attached. The table with the old entries is renamed.
//!
//! What is under way is in `stockfoil.archived_partition` from the statement on that makes the replacement. A killed run has
//! changed places or not; what it left is thrown away by the next.

mod place;
mod replacement;
mod report;
mod sums;
mod swap;

pub use report::ArchiveReport;

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    BalanceError, checkpoint, closing::Closing, difference, not_migrated, open, queue, writing::Writing,
};
use crate::{
    Error, Task,
    db::Db,
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    progress::Progress,
    sql::Fixed,
};
use place::{Place, Stand};
use sums::Sums;
use swap::Swapped;

/// The command, as `stockfoil.run` names it: it compares nothing.
const COMMAND: &str = "reconcile-balances --archive";

/// How often it begins again because the partition's entries changed meanwhile.
const ATTEMPTS_MAX: u32 = 3;

/// Which partition to archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its name, in the ledger's schema unless it names another.
    pub partition: String,
    /// Only look.
    pub dry_run: bool,
}

/// Brings the entries of a closed partition forward, and takes it out of the ledger.
///
/// # Errors
/// When the partition is not wholly closed, or as it was closed; when the mapping can't write an entry; when something refers to
/// the partition; when its entries change all the while, another run holds the lock, or the database refuses.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    options: &'a Options,
    progress: &'a dyn Progress,
) -> Task<'a, ArchiveReport> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let (mut session, broken) = open(db, model, &[]).await?;
        if !broken.is_empty() {
            return Err(not_migrated(db, &broken));
        }
        let refused = |why: String| BalanceError::NoArchive { partition: options.partition.clone(), why };
        let closing = newest_closing(&mut session, model).await?.map_err(&refused)?;
        let place = Place::find(&mut session, model, &closing, &options.partition).await?;
        let place = place.map_err(&refused)?;
        if let Stand::Archived { archived_as } = &place.stand {
            return Ok(ArchiveReport::of_archived(&place, archived_as.clone(), options.dry_run));
        }
        // Sums are put aside in temporary tables.
        db.require_writable()?;
        let mut lock = db.run_lock(Duration::ZERO, progress).await?;
        queue::require_as_read(db, &mut session, model).await?;
        let run = match options.dry_run {
            true => None,
            false => Some(history::start(&mut session, COMMAND).await?),
        };
        let role = db.facts().role.clone();
        let mut work = Work { session: lock.session(), model, closing, place, role, run, progress };
        let result = work.archive(options).await;
        lock.release().await;
        match run {
            Some(run) => history::finish(&mut session, run, result, |report| serde_json::json!(report)).await,
            None => result,
        }
    })
}

/// The newest closing, or why nothing can be archived by it.
async fn newest_closing(session: &mut PgConnection, model: &Model) -> Result<Result<Closing, String>, Error> {
    let Some(closing) = Closing::newest(session, model).await? else {
        return Ok(
            Err("nothing is closed; close its period first: reconcile-balances --close PERIOD".into()),
        );
    };
    Ok(if !closing.is_same_mapping || !checkpoint::is_possible(model) {
        Err("what is closed was closed under another mapping; close it again first".into())
    } else if !model.ledger.is_partitioned {
        Err(format!("the ledger {} has no partitions", model.ledger.table.plain()))
    } else {
        Ok(closing)
    })
}

/// One archive, in the session that holds the run lock.
struct Work<'a> {
    session: &'a mut PgConnection,
    model: &'a Model,
    closing: Closing,
    place: Place,
    role: String,
    run: Option<RunId>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    async fn archive(&mut self, options: &Options) -> Result<ArchiveReport, Error> {
        let writing = self.writing()?;
        let reason = format!("brought forward from {}", self.place.plain());
        difference::set_up(self.session).await?;
        if !options.dry_run {
            self.discard_leftovers().await?;
        }
        let mut attempt = 1;
        loop {
            self.progress.begin("sum the partition's entries", None);
            let sums = self.sum().await?;
            let mut report = ArchiveReport::of_sums(&self.place, &self.closing, &sums);
            report.columns = writing.shown(&reason, &self.role, self.run.map(|run| run.0));
            let Some(run) = self.run else { return Ok(report) };
            self.progress.begin("bring them forward", None);
            let texts = writing.texts(&reason, &self.role, Some(run.0));
            match self.replace(&sums, run, (&writing, &texts)).await {
                Ok(Swapped::Done { archived_as }) => {
                    report.is_done(run, archived_as);
                    self.progress.finish();
                    return Ok(report);
                }
                Ok(Swapped::Changed) => self.discard_leftovers().await?,
                Err(error) => {
                    // What can't be thrown away now is by the next archive.
                    let _ = self.discard_leftovers().await;
                    return Err(error);
                }
            }
            if attempt == ATTEMPTS_MAX {
                return Err(BalanceError::PartitionChanged { partition: self.place.plain(), attempt }.into());
            }
            attempt += 1;
            self.progress.note("the partition's entries were changed meanwhile; beginning again");
        }
    }

    /// Makes the table that takes the partition's place, and lets the two change places.
    async fn replace(
        &mut self,
        sums: &Sums,
        run: RunId,
        written: (&Writing, &[String]),
    ) -> Result<Swapped, Error> {
        let replacement = self.build(sums, run, written).await?;
        self.progress.begin("change places", None);
        self.swap(&replacement, sums).await
    }

    fn refused(&self, why: impl Into<String>) -> Error {
        BalanceError::NoArchive { partition: self.place.plain(), why: why.into() }.into()
    }

    /// How the entries are written that stand for the old ones.
    fn writing(&self) -> Result<Writing, Error> {
        let newest = Fixed("(SELECT max(a.newest_at) FROM pg_temp.stockfoil_archive AS a)");
        Writing::brought_forward(self.model, &newest).map_err(|why| self.refused(why))
    }
}
