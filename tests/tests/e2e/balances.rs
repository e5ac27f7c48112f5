//! Balances: the triggers, backfill-balances and reconcile-balances.

mod fixture;
mod triggers;
