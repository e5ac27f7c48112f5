//! Balances: the triggers, backfill-balances and reconcile-balances.

mod as_of;
mod backfill;
mod explain;
mod fixture;
mod hostile;
mod incremental;
mod known;
mod negative;
mod partitions;
mod reconcile;
mod replication;
mod strange;
mod torture;
mod triggers;
mod writers;
