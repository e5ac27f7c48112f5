//! Balances: the triggers, backfill-balances and reconcile-balances.

mod backfill;
mod explain;
mod fixture;
mod incremental;
mod reconcile;
mod replication;
mod strange;
mod torture;
mod triggers;
mod writers;
