//! What is known of one key, and what may be the cause of a difference.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    balance::reconcile::{Breakage, BrokenPart},
    history::RunId,
    ledger::{Discrepancy, Kind, Quantity},
    report::{Outcome, Report},
    timestamp::Timestamp,
};

/// What came before the entries that are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// How many entries.
    pub entries: u64,
    /// What those that are numbers add up to.
    pub balance: Quantity,
}

/// An entry with the running balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningEntry {
    /// Its id.
    pub id: String,
    /// Its quantity; none where it has none. What is no number is not counted.
    pub quantity: Option<Quantity>,
    /// When it was made, where the ledger says.
    pub created_at: Option<Timestamp>,
    /// Whether it is new since ledger and balance last agreed; none where nobody can tell.
    pub is_new: Option<bool>,
    /// What the entries up to this one add up to.
    pub balance: Quantity,
}

/// The comparison that last left nothing to say of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// The run in `stockfoil.run`.
    pub run_id: RunId,
    /// When it ended.
    pub at: Option<DateTime<Utc>>,
    /// Whether it saw a difference and mended it.
    pub has_mended: bool,
}

/// Entries that are new since ledger and balance last agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewEntries {
    /// How many; by the transactions of that comparison, where the ledger says which made an entry, else by their time.
    pub entries: u64,
    /// What those that are numbers add up to.
    pub quantity: Quantity,
}

/// What the checkpoint holds of the key, beside the same entries as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// The run that moved the checkpoint last.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
    /// What the entries below its watermark added up to when they were sealed.
    pub sealed_qty: Quantity,
    /// How many there were.
    pub sealed_entries: u64,
    /// What they add up to now.
    pub ledger_qty: Quantity,
    /// How many there are.
    pub ledger_entries: u64,
    /// Whether they are others, or other quantities, changes that cancel out included.
    pub differs: bool,
    /// How many marks say that entries of the key were updated or deleted since, or that the ledger was emptied.
    pub marks: u64,
}

/// A finding of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastFinding {
    /// Its number in `stockfoil.finding`.
    pub id: i64,
    /// Its kind.
    pub kind: String,
    /// The run that saw it first.
    pub opened_run: RunId,
    /// When.
    pub opened_at: DateTime<Utc>,
    /// The run that saw it last.
    pub last_run: RunId,
    /// The run that no longer saw it; none while it is open.
    pub closed_run: Option<RunId>,
    /// When.
    pub closed_at: Option<DateTime<Utc>>,
    /// The ledger's side.
    pub ledger_qty: Option<Quantity>,
    /// The balance.
    pub balance_qty: Option<Quantity>,
    /// What was sealed, of a finding of changed history.
    pub sealed_qty: Option<Quantity>,
    /// Whether the last run corrected the balance.
    pub repaired: bool,
    /// The entry by which the run that closed it corrected the ledger.
    pub entry_id: Option<String>,
    /// Why it did.
    pub reason: Option<String>,
}

/// Something that may be the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clue {
    /// The organization's balances were never backfilled.
    NotBackfilled,
    /// Triggers, functions or tables of the balances are not as they should be.
    BrokenParts,
    /// The triggers call functions that are not of this release.
    OtherFunctions,
    /// An entry is no number.
    NotANumber,
    /// Sealed entries were changed, and no mark says so.
    ChangedHistory,
    /// The balance lacks exactly what is new, or one new entry.
    NewEntriesNotCounted,
    /// Old entries are as they were sealed, and what is new is not what the balance lacks.
    BalanceWritten,
}

impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotBackfilled => "the organization's balances were never backfilled; run backfill-balances",
            Self::BrokenParts => {
                "parts of the balances are not as they should be, so entries may go uncounted; run migrate-balance, then backfill-balances"
            }
            Self::OtherFunctions => Breakage::OtherFunctions.remedy(),
            Self::NotANumber => "an entry is no number, and no balance counts it; correct it in the ledger",
            Self::ChangedHistory => {
                "old entries were changed without the triggers seeing it: look for sessions that disabled triggers or wrote as a replica"
            }
            Self::NewEntriesNotCounted => {
                "the balance lacks exactly what is new since they last agreed, or one entry of it: the triggers did not see it"
            }
            Self::BalanceWritten => {
                "old entries are as they were sealed, and what is new is not what the balance lacks: look for what else writes the balance"
            }
        })
    }
}

/// What is known of one key.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainReport {
    /// The key, as commands take it.
    pub key: String,
    /// What the difference is; none where they agree.
    pub kind: Kind,
    /// Both sides.
    #[serde(flatten)]
    pub discrepancy: Discrepancy,
    /// The ledger's side minus the balance.
    pub drift: Quantity,
    /// What the entries that are numbers add up to, which is what the balance should be.
    pub counted_qty: Quantity,
    /// What counts as small.
    pub tolerance: Quantity,
    /// How many entries the key has.
    pub entries_total: u64,
    /// Those before the ones that are listed; none where all are.
    pub opening: Option<Opening>,
    /// The newest entries, oldest first.
    pub entries: Vec<RunningEntry>,
    /// When ledger and balance last agreed, as far as the records go back.
    pub last_agreed: Option<Agreement>,
    /// What is new since; none where nobody can tell.
    pub new_entries: Option<NewEntries>,
    /// What the checkpoint holds of the key; none where there is no checkpoint of this cluster.
    pub sealed: Option<Sealed>,
    /// The newest findings of the key, the newest first.
    pub findings: Vec<PastFinding>,
    /// Functions and triggers that are not as they should be.
    pub broken_parts: Vec<BrokenPart>,
    /// What may be the cause of a difference.
    pub clues: Vec<Clue>,
}

impl ExplainReport {
    /// Whether ledger and balance agree; a row of zero for a key without entries is in order.
    pub fn agrees(&self) -> bool {
        self.kind == Kind::None || self.discrepancy.is_empty_row()
    }

    pub(super) fn find_clues(&mut self, is_backfilled: bool, not_a_number: bool) {
        let drift =
            self.counted_qty.minus(self.discrepancy.balance_qty.as_ref().unwrap_or(&Quantity::zero()));
        let is_as_sealed = self.sealed.as_ref().is_some_and(|sealed| !sealed.differs && sealed.marks == 0);
        let has_changed = self.sealed.as_ref().is_some_and(|sealed| sealed.differs && sealed.marks == 0);
        let new = self.new_entries.as_ref();
        let is_drift = |quantity: &Quantity| quantity.minus(&drift).is_zero();
        let mut each = self.entries.iter().filter(|entry| entry.is_new == Some(true));
        let is_uncounted = new.is_some_and(|new| new.entries > 0 && is_drift(&new.quantity))
            || each.any(|entry| entry.quantity.as_ref().is_some_and(is_drift));
        let breakage = Breakage::of(&self.broken_parts);
        let differs = !self.agrees() && !drift.is_zero();
        self.clues = [
            (!is_backfilled, Clue::NotBackfilled),
            (breakage == Some(Breakage::Uncounted), Clue::BrokenParts),
            (breakage == Some(Breakage::OtherFunctions), Clue::OtherFunctions),
            (not_a_number, Clue::NotANumber),
            (has_changed, Clue::ChangedHistory),
            (differs && is_uncounted, Clue::NewEntriesNotCounted),
            (differs && is_as_sealed && new.is_some() && !is_uncounted, Clue::BalanceWritten),
        ]
        .into_iter()
        .filter_map(|(holds, clue)| holds.then_some(clue))
        .collect();
    }
}

impl Report for ExplainReport {
    const SCHEMA: &'static str = "stockfoil.explain/1";

    fn outcome(&self) -> Outcome {
        if self.agrees() && self.clues.is_empty() { Outcome::Clean } else { Outcome::Findings }
    }
}
