//! Balances: the triggers, backfill-balances and reconcile-balances.

mod archive;
mod as_of;
mod backfill;
mod by_entry;
mod closing;
mod defaults;
mod explain;
mod fixture;
mod hostile;
mod hot;
mod incremental;
mod known;
mod negative;
mod one_key;
mod partitions;
mod reconcile;
mod replication;
mod strange;
mod torture;
mod triggers;
mod writers;
