//! Giving rows to an organization, with everything that belongs to them.

mod at_once;
mod closure;
mod conflicts;
mod copies;
mod report;
mod request;
mod run;
mod selection;
mod stock;
mod transfer;
mod undo;
mod ways;

use std::time::Duration;

pub use super::{
    condition::{Condition, ConditionError},
    moves::DataError,
};
use super::{require, require_moves};
use crate::{
    Error,
    db::{Db, RunLock},
    model::Model,
    progress::Progress,
};
pub use closure::Shared;
pub use conflicts::Conflict;
pub use report::{DataAssigned, TableMoves};
pub use request::{Assignment, Giver, Selector};
pub use run::assign;
pub(super) use run::carry;
pub(super) use undo::put_back;
pub use undo::{Elsewhere, InTheWay, Undo, Undone, undo};

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "data-assign";

/// How many rows move in one transaction, unless said otherwise.
pub const BATCH_ROWS: u32 = 1000;

/// Refuses a database whose rows can't be moved; holds the lock of runs unless this is a dry one.
pub(super) async fn open(
    db: &Db,
    model: &Model,
    is_dry: bool,
    progress: &dyn Progress,
) -> Result<Option<RunLock>, Error> {
    require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
    require_moves(db).await?;
    db.require_direct().await?;
    if is_dry {
        return Ok(None);
    }
    db.require_writable()?;
    Ok(Some(db.run_lock(Duration::ZERO, progress).await?))
}
