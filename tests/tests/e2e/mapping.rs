//! Databases that nobody here designed, mapped by a `stockfoil.toml` each.

mod broken;
mod guide;
mod hostile;
mod journey;
mod kept_by;
mod propose;
mod rollback;
mod sample;
