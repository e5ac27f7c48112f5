//! Databases that nobody here designed, mapped by a `stockfoil.toml` each.

mod broken;
mod guide;
mod hostile;
mod journey;
mod propose;
mod rollback;
mod sample;
