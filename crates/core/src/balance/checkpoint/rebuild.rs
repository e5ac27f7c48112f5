//! Everything is read and sealed anew, whatever the checkpoint was made of; what it had sealed is compared with it first.

use sqlx::{Executor as _, Postgres, Transaction};

use super::{
    Compared, FORGET_MARKS, FullReason,
    again::{Dirty, HistoryRow, record_history},
    new_entries,
    origin::Checkpoint,
    put_aside, replace,
};
use crate::{
    Error,
    balance::difference::{self, Differences},
    db::Context as _,
    history::RunId,
    model::Model,
    sql::{Fixed, Fragment, Literal},
};

/// Why everything is read, and what with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anew {
    pub(super) reason: FullReason,
    pub(super) run: RunId,
    /// Whether the ledger is the same tables as it was.
    pub(super) is_same: bool,
}

/// Reads every entry, and seals all of them.
pub(super) async fn rebuild(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    checkpoint: &Checkpoint,
    anew: Anew,
    ledger_file: String,
) -> Result<Compared, Error> {
    if anew.reason != FullReason::ManyMarks {
        Dirty::put_aside(transaction, model).await?;
    }
    let number = |number: i64| Literal::new(&number.to_string());
    let (watermark, next) = (number(checkpoint.watermark.unwrap_or(0)), number(checkpoint.next));
    let more: [(&str, &dyn Fragment); 2] = [("watermark", &watermark), ("next", &next)];
    let seal = model.render_with(include_str!("seal_all.sql"), &more);
    transaction.execute(seal.sql()).await.context("sum the ledger up to the watermark")?;
    new_entries::put_aside(transaction, model, &[("next", &next)]).await?;
    let difference = difference::of(model, &model.render(include_str!("sealed_sums.sql")));
    let differences = Differences::put_aside(transaction, model, &difference, None, ledger_file).await?;
    let changed_history = changed_history(transaction, model, anew).await?;
    replace(transaction, model).await?;
    transaction.execute(FORGET_MARKS).await.context("take the marks that were seen away")?;
    Ok(Compared {
        differences,
        full: Some(anew.reason),
        marked_keys: 0,
        verified_organizations: 0,
        changed_history: changed_history.into_iter().map(HistoryRow::read).collect::<Result<_, _>>()?,
        balances: None,
        backdated: None,
    })
}

/// The keys whose sealed entries are others than those that were sealed, which is recorded with the new seal: no later run could find
/// them. None where they can't be compared: of another cluster transactions are others, of another mapping keys are, an emptied ledger
/// has no history, and of a partition that came or went the differences tell.
async fn changed_history(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    anew: Anew,
) -> Result<Vec<HistoryRow>, Error> {
    let is_comparable = match anew.reason {
        FullReason::ManyMarks | FullReason::TriggersChanged | FullReason::Asked => true,
        FullReason::OtherTables => anew.is_same,
        _ => false,
    };
    if !is_comparable {
        return Ok(Vec::new());
    }
    let every_turn: [(&str, &dyn Fragment); 2] = [("round", &Fixed("0")), ("rounds", &Fixed("1"))];
    put_aside(transaction, &model.render_with(include_str!("turn.sql"), &every_turn)).await?;
    let rows: Vec<HistoryRow> = sqlx::query_as(model.render(include_str!("resealed.sql")).sql())
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await
        .context("compare what was sealed with the ledger")?;
    record_history(transaction, anew.run, &rows).await?;
    Ok(rows)
}
