//! Whether entries go into their balances and out again: real ones, through the real triggers, as each role that writes the
//! ledger, in transactions that are rolled back.

mod examples;
mod trial;

use std::time::Duration;

use sqlx::PgConnection;

use super::{Checks, Validation};
use crate::{
    Error, Task, catalog,
    db::{Context as _, Db},
    example::Table,
    mapping::Mapping,
    model::{KeptBy, Model, TX},
    progress::Progress,
    sql::Ident,
};
use examples::Entry;
use trial::{Outcome, Trial};

/// As so many roles it is tried.
const ROLES_MAX: i64 = 100;

/// So many entries are made as each of them, and so many are tried for that.
const PROVEN_MAX: usize = 4;
const TRIED_MAX: usize = 20;

const AGAIN: &str = "validate-migration --prove, once that is otherwise";

/// What was seen as one role.
#[derive(Default)]
struct Seen {
    entered: usize,
    reversed: usize,
    is_new: bool,
    failed: Option<String>,
    /// Why the last one that proved nothing did not.
    not_proven: Option<String>,
}

/// Makes entries like those that are there as each role that may, looks whether they are counted, and takes them back. For as long as one
/// takes, the rows of its balances are locked.
///
/// # Errors
/// When another run holds the lock; database errors. That an entry is not counted is no error but a failed check.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, progress: &'a dyn Progress) -> Task<'a, Validation> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        db.require_writable()?;
        // A repair that comes between would look like an entry that is counted wrongly.
        let mut lock = db.run_lock(Duration::ZERO, progress).await?;
        let mut checks = Checks::default();
        let proven = checks.proof(lock.session(), model, progress).await;
        lock.release().await;
        proven?;
        Ok(checks.validation(0))
    })
}

impl Checks {
    async fn proof(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let (ledger, balances) = (&model.ledger.table, &model.balances.table);
        let why = if model.balances.kept_by == KeptBy::Application {
            Some("not proven: [balances] kept_by is \"application\", so no trigger counts an entry")
        } else if !catalog::is_there(session, &balances.to_string()).await? {
            Some("not proven: it is not there yet")
        } else {
            None
        };
        if let Some(why) = why {
            self.warn("proof", balances.plain(), why.into(), "migrate-balance, where it is to keep them");
            return Ok(());
        }
        let mut table = Table::read(session, ledger, &model.org_column).await?;
        // The server says which transaction made an entry.
        table.columns.retain(|column| column.name.as_str() != TX);
        let entries = examples::entries(session, model, &table).await?;
        if entries.is_empty() {
            let why = "not proven: it has no entries to make others like".to_owned();
            self.warn("proof", ledger.plain(), why, "validate-migration --prove, once it has");
            return Ok(());
        }
        let mut roles: Vec<(String, Vec<String>)> = sqlx::query_as(include_str!("proof/writers.sql"))
            .bind(ledger.to_string())
            .bind(ROLES_MAX)
            .fetch_all(&mut *session)
            .await
            .context(format!("read who writes {}", ledger.plain()))?;
        if roles.len() > usize::try_from(ROLES_MAX).unwrap_or(usize::MAX) {
            roles.pop();
            let why = format!("not proven: as others than the first {ROLES_MAX} roles that may write it");
            self.warn("proof", ledger.plain(), why, "connect as one of them and write an entry");
        }
        progress.begin("roles that write the ledger", Some(roles.len() as u64));
        for (role, columns) in roles {
            let trial = Trial { model, table: &table, role: Ident::new(&*role)?, columns };
            let seen = seen(session, &trial, &entries).await?;
            self.proven(&role, seen);
            progress.advance(1);
        }
        progress.finish();
        Ok(())
    }

    /// Says what was seen as `role`.
    fn proven(&mut self, role: &str, seen: Seen) {
        let Seen { entered, reversed, is_new, failed, not_proven } = seen;
        if let Some(failed) = failed {
            let remedy = "mend what it names, then validate-migration --prove again";
            self.add("proof", role, false, failed, remedy);
        } else if entered > 0 {
            let new = if is_new { ", one of a key that had no balance" } else { "" };
            let evidence = format!(
                "{entered} entries like those that are there went into their balances, {reversed} of them out again{new}; rolled back"
            );
            self.add("proof", role, true, evidence, "");
        } else {
            let why = not_proven.unwrap_or_else(|| "no entry could be made".to_owned());
            self.warn("proof", role.to_owned(), format!("not proven: {why}"), AGAIN);
        }
    }
}

/// Tries `entries` as one role.
async fn seen(session: &mut PgConnection, trial: &Trial<'_>, entries: &[Entry]) -> Result<Seen, Error> {
    let mut seen = Seen { not_proven: trial.is_barred(session).await?, ..Seen::default() };
    if seen.not_proven.is_some() {
        return Ok(seen);
    }
    for entry in entries.iter().take(TRIED_MAX) {
        if seen.entered == PROVEN_MAX {
            break;
        }
        match trial.attempt(session, entry).await? {
            Outcome::Proven { is_reversed } => {
                seen.entered += 1;
                seen.reversed += usize::from(is_reversed);
                seen.is_new |= entry.is_new;
            }
            Outcome::Unproven(why) => seen.not_proven = Some(why),
            Outcome::Failed(what) => {
                seen.failed = Some(what);
                break;
            }
        }
    }
    Ok(seen)
}
