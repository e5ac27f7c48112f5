//! Whether something of the application's keeps the balances already, in whatever way.

use sqlx::{Connection as _, PgConnection};

use super::{Migration, Rehearsal};
use crate::{
    Error,
    balance::{self, FoundTrigger},
    db::Context as _,
    example::{New, Table},
    migration::{balance::KEEPERS_REMEDY, finding::Finding, online::Online},
    model::{KeptBy, Model},
    sql::{Statement, render},
};

/// So many entries are tried, since some do not count.
const TRIED_MAX: usize = 20;

/// What is done on the copy.
const WHAT: &str = "try whether an entry changes the balances already";

/// Makes entries like those that are there, before there are triggers of Stockfoil's, and looks whether a balance changes. Nothing
/// of it stays in the copy.
///
/// # Errors
/// Database errors.
pub(super) async fn look(
    session: &mut PgConnection,
    model: &Model,
    migration: &Migration,
    report: &mut Rehearsal,
) -> Result<(), Error> {
    let makes_triggers = match migration {
        Migration::All { is_back, .. } => !is_back,
        Migration::Online(Online::Balances(request)) => !request.rollback,
        Migration::Online(_) => false,
    };
    let (ledger, balances) = (&model.ledger.table, &model.balances.table);
    if !makes_triggers
        || model.balances.kept_by != KeptBy::Triggers
        || !crate::catalog::is_there(session, &balances.to_string()).await?
        || balance::triggers(session, model).await?.iter().any(FoundTrigger::is_of_balances)
    {
        return Ok(());
    }
    let table = Table::read(session, ledger, &model.org_column).await?;
    // What else the application keeps in the same rows, and rows of nothing, are no balance.
    let digest = render(
        "SELECT md5(string_agg(t.{quantity}::text, ' ' ORDER BY t.{quantity})) FROM {balances} AS t WHERE t.{quantity} <> 0",
        &[("quantity", &model.balances.quantity), ("balances", balances)],
    );
    let mut was_tried = false;
    for how in [New::Behind, New::Before] {
        for row in table.rows(session, Some(how), TRIED_MAX).await.context(WHAT)? {
            let Some(changes) = changes(session, &table.insert(&row, &[]), &digest).await? else { continue };
            was_tried = true;
            if changes {
                report.obstacles.push(Finding {
                    check: "keepers",
                    object: ledger.plain(),
                    detail: format!(
                        "an entry that is made in it changes {} already, and Stockfoil's triggers would count it too",
                        balances.plain()
                    ),
                    remedy: KEEPERS_REMEDY.to_owned(),
                });
                return Ok(());
            }
        }
    }
    if !was_tried {
        report.not_rehearsed.push(format!(
            "whether something keeps {} already: no entry like those of {} could be made",
            balances.plain(),
            ledger.plain()
        ));
    }
    Ok(())
}

/// Whether `insert` changes what `digest` answers; none where the server refuses it.
async fn changes(
    session: &mut PgConnection,
    insert: &Statement,
    digest: &Statement,
) -> Result<Option<bool>, Error> {
    let mut transaction = session.begin().await.context(WHAT)?;
    let before: Option<String> =
        sqlx::query_scalar(digest.sql()).fetch_one(&mut *transaction).await.context(WHAT)?;
    // What is deferred counts too.
    for sql in [insert.sql(), render("SET CONSTRAINTS ALL IMMEDIATE", &[]).sql()] {
        if sqlx::raw_sql(sql).execute(&mut *transaction).await.is_err() {
            transaction.rollback().await.context(WHAT)?;
            return Ok(None);
        }
    }
    let after: Option<String> =
        sqlx::query_scalar(digest.sql()).fetch_one(&mut *transaction).await.context(WHAT)?;
    transaction.rollback().await.context(WHAT)?;
    Ok(Some(before != after))
}
