//! Moves that must happen in one transaction.

use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::super::moves::{
    self, DataError, Graph,
    guard::{self, Balances, Sight},
};
use crate::{
    Error,
    db::{Context as _, pause_after_giving_way},
    model::Model,
    sql::QualifiedName,
};

/// Whether what moves must move at once: foreign keys hold the organization, or rows of an adopted table of balances go with
/// the last of their entries.
pub(super) fn is_needed(graph: &Graph, model: &Model) -> Result<bool, DataError> {
    let mut is_needed = model.balances.is_adopted;
    for edge in graph.edges.iter().filter(|edge| edge.holds_org) {
        if !edge.is_deferrable {
            let table = graph.tables[edge.child].name.plain();
            return Err(DataError::NotDeferrable { key: edge.name.as_str().to_owned(), table });
        }
        is_needed = true;
    }
    Ok(is_needed)
}

/// How often all of it is tried when others write what it writes.
const ATTEMPTS_MAX: u32 = 30;

/// How often it is tried when rows refer to what has moved.
const REFERRED_MAX: u32 = 3;

/// How a transaction is tried until it ends as it should.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) sight: Sight,
    made: u32,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { sight: Sight::Counting, made: 1 }
    }

    /// Passes on an error after which another attempt is of no use.
    pub(super) async fn go_on_after(&mut self, error: Error) -> Result<(), Error> {
        if guard::must_compare(&error) && self.sight == Sight::Counting {
            self.sight = Sight::Comparing;
            return Ok(());
        }
        // Somebody has referred to what has moved, and is seen the next time.
        let is_referred = matches!(error.sqlstate().as_deref(), Some("23503" | "23001"));
        let is_late = is_referred && self.made < REFERRED_MAX;
        if !(guard::was_overtaken(&error) || error.gave_way() || is_late) {
            return Err(error);
        }
        if self.made >= ATTEMPTS_MAX {
            return Err(DataError::Overtaken("several tables".into()).into());
        }
        self.made += 1;
        tokio::time::sleep(pause_after_giving_way()).await;
        Ok(())
    }
}

/// Begins the transaction in which rows become organization `org`'s, and foreign keys are looked at last.
pub(super) async fn begin<'a>(
    session: &'a mut PgConnection,
    sight: Sight,
    org: Option<&str>,
) -> Result<Transaction<'a, Postgres>, Error> {
    let mut transaction = session.begin_with(sight.begin()).await?;
    moves::as_organization(&mut transaction, org).await?;
    transaction.execute("SET CONSTRAINTS ALL DEFERRED").await.context("defer the foreign keys")?;
    Ok(transaction)
}

/// Lets what was deferred happen, as organization `org`, before all of it is committed; none of that may change rows.
pub(super) async fn settle(
    transaction: &mut PgConnection,
    model: &Model,
    org: Option<&str>,
) -> Result<(), Error> {
    moves::as_organization(transaction, org).await?;
    let before = guard::written(transaction, model, Balances::Follow).await?;
    guard::settle(transaction).await?;
    let changed = before.beyond(transaction, model, &[]).await?;
    match changed.is_empty() {
        true => Ok(()),
        false => {
            let others: Vec<String> = changed.iter().map(QualifiedName::plain).collect();
            Err(DataError::Carried { table: "several tables".into(), others: others.join(", ") }.into())
        }
    }
}
