//! The parts of Stockfoil that decide and compute; the binaries only parse flags, call in here, and print.
//!
//! - [`balance`]: the balances, the triggers that keep them, and the repair of what differs.
//! - [`config`]: flags' defaults, environment and `stockfoil.toml` become one checked [`Config`](config::Config).
//! - [`catalog`]: what PostgreSQL's catalog says of tables and keys.
//! - [`db`]: connecting, what the server is, sessions for online work, the run lock.
//! - [`sql`]: the only place that claims dynamic SQL safe.
//! - [`history`]: what ran and what it found.
//! - [`settings`]: secrets, durations and what is wrong with a value.
//! - [`org_id`]: what may be an organization's id and name.
//! - [`ledger`]: exact quantities and what a difference means.
//! - [`migration`]: versioned files and online steps.
//! - [`timestamp`]: every time that a table can hold.
//! - [`mapping`]: which tables and columns of a database those are, as `stockfoil.toml` says.
//! - [`model`]: the tenant-scoped tables and the ledger that every statement is rendered over.
//! - [`tenancy`]: organizations and their people.
//! - [`sequence`]: what migrate-all runs, in order.
//! - [`rehearsal`]: a migration played through on a copy, before anything is touched.
//! - [`alert`]: telling people, through every channel that is configured.
//! - [`validate`]: every claim of the migrations, checked.
//! - [`client`]: a typed client, generated from the schema.
//! - [`browse`]: looking at tables and rows, as one organization or as all of them.
//! - [`backup`]: whether backups are there, young and whole.
//! - [`client`]: a typed client, generated from the schema; [`rows`] is the one of our own tables.
//! - `throwaway`: a private cluster that goes away again, for drills.
//! - `release`: whether the records in a database are this release's.
//! - [`progress`] and [`report`]: how operations talk while they work, and what they return.
//!
//! # Invariants
//! - Nothing here prints, exits, or reads the environment (only [`config`] does the last).
//! - Quantities are exact decimals; no floating point touches them, here or in SQL.
//! - Every command can be killed at any moment and run again.

pub mod alert;
pub mod backup;
pub mod balance;
pub mod browse;
pub mod catalog;
pub mod client;
pub mod config;
pub mod db;
mod error;
mod example;
pub mod history;
pub mod ledger;
pub mod mapping;
pub mod migration;
pub mod model;
pub mod org_id;
mod process;
pub mod progress;
pub mod rehearsal;
mod release;
pub mod report;
pub mod rows;
pub mod sequence;
pub mod settings;
pub mod sql;
pub mod tenancy;
mod throwaway;
pub mod timestamp;
pub mod validate;

pub use error::{Error, Failure};

/// What an operation's entry point returns.
///
/// Boxed at the boundary, so that the state machine is compiled once, here, and not again in each binary
/// that polls it.
pub type Task<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;
