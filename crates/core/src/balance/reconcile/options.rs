//! What a reconciliation is asked for.

use super::{ByEntry, Close};
use crate::{
    Error,
    balance::{BATCH_ROWS, BalanceError, Until, check_batch_rows, check_tolerance, settings::Settings},
    ledger::Quantity,
    org_id::OrgId,
};

/// What to reconcile, and what to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only these organizations; all when empty.
    pub orgs: Vec<OrgId>,
    /// Only look.
    pub dry_run: bool,
    /// A difference whose absolute value is below this is small. In the item's canonical unit.
    pub tolerance: Quantity,
    /// Mend large differences, missing balances and orphans as well: a person has looked.
    pub fix_large: bool,
    /// Correct the ledger where it differs, not the balance: a person has looked.
    pub by_entry: Option<ByEntry>,
    /// Tell what was entered into closed periods.
    pub closed_periods: bool,
    /// Close a period, unless something must be looked at first.
    pub close: Option<Close>,
    /// Before which time entries are to be closed, where a run finds that they are not.
    pub closed_before: Option<Until>,
    /// Remove rows of zero whose key has no entry.
    pub prune_orphans: bool,
    /// Read every entry, not only those that are new since the last run.
    pub full: bool,
    /// In how many runs the whole history is read again; 0: never.
    pub history_runs: u32,
    /// How many keys are repaired in one transaction.
    pub batch_rows: u32,
    /// Where a balance below zero is a finding: anywhere but in these locations; none where it is none.
    pub negative_but_in: Option<Vec<String>>,
}

impl Options {
    /// What `[reconcile]` asks for, of all organizations.
    pub fn of(settings: &Settings) -> Self {
        Self {
            orgs: Vec::new(),
            dry_run: false,
            tolerance: settings.tolerance.clone(),
            fix_large: false,
            by_entry: None,
            closed_periods: true,
            close: None,
            closed_before: settings.closed_before.map(|before| before.0),
            prune_orphans: false,
            full: false,
            history_runs: settings.history_runs,
            batch_rows: BATCH_ROWS,
            negative_but_in: settings.negative_but_in(),
        }
    }

    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// When the tolerance is negative or not a number, a batch would have no rows, or a correction has no reason.
    pub fn check(&self) -> Result<(), Error> {
        if self.by_entry.as_ref().is_some_and(|by_entry| by_entry.reason.trim().is_empty()) {
            return Err(BalanceError::NoReason.into());
        }
        check_batch_rows(self.batch_rows)?;
        Ok(check_tolerance("--tolerance", &self.tolerance)?)
    }
}
