//! Databases that nobody here designed, mapped by a `stockfoil.toml` each.

mod adopted;
mod as_designed;
mod as_found;
mod backups;
mod broken;
mod counted;
mod guide;
mod hostile;
mod journey;
mod keepers;
mod kept_by;
mod keys;
mod missing_rows;
mod propose;
mod rollback;
mod sample;
