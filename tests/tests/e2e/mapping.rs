//! Databases that nobody here designed, mapped by a `stockfoil.toml` each.

mod propose;
