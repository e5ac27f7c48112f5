//! Balances: the triggers, backfill-balances and reconcile-balances.

mod backfill;
mod fixture;
mod reconcile;
mod triggers;
mod writers;
