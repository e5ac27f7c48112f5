//! The balances at a time, as a report.

use serde::Serialize;

use super::{AsOf, Balances};
use crate::{
    ledger::{BalanceKey, Quantity},
    report::{Outcome, Report},
    timestamp::Timestamp,
};

/// One balance as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceAt {
    /// The key, as commands take it.
    pub key: String,
    /// Its parts.
    #[serde(flatten)]
    pub parts: BalanceKey,
    /// What its entries up to then add up to, those that are numbers.
    pub quantity: Quantity,
    /// How many of them are no number, and in no balance.
    pub not_a_number_entries: u64,
    /// How many of the entries say no time, and so were counted at every time.
    pub undated_entries: u64,
}

impl BalanceAt {
    pub(super) fn new(
        parts: BalanceKey,
        quantity: Quantity,
        not_a_number_entries: u64,
        undated_entries: u64,
    ) -> Self {
        Self { key: parts.to_string(), parts, quantity, not_a_number_entries, undated_entries }
    }

    /// That of a key that had no entry yet.
    pub(super) fn none(parts: BalanceKey) -> Self {
        Self::new(parts, Quantity::zero(), 0, 0)
    }
}

/// The balances at a time.
#[derive(Debug, Serialize)]
pub struct AsOfReport {
    /// When: entries at this time and before it were counted.
    pub as_of: AsOf,
    /// When the ledger was read, by the server's clock: what it said then is what is told.
    pub read_at: Timestamp,
    /// Those of all keys that had entries, in the order of their keys; of the one key that was asked for in any case.
    pub balances: Balances,
    /// How many entries say no time, and so were counted at every time.
    pub undated_entries: u64,
    /// How many entries are no number, and in no balance.
    pub not_a_number_entries: u64,
}

impl AsOfReport {
    pub(super) fn new(as_of: AsOf, read_at: Timestamp, balances: Balances) -> Self {
        Self {
            as_of,
            read_at,
            undated_entries: balances.undated_entries,
            not_a_number_entries: balances.not_a_number_entries,
            balances,
        }
    }
}

impl Report for AsOfReport {
    const SCHEMA: &'static str = "stockfoil.as-of/1";

    /// It judges nothing.
    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }
}
