//! Databases that nobody here designed, mapped by a `stockfoil.toml` each.

mod guide;
mod journey;
mod propose;
mod sample;
