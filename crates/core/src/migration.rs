//! Taking a live single-tenant database to many tenants: versioned SQL files, and online steps that the catalog
//! knows to be done or not.

pub mod balance;
mod change;
mod columns;
mod default_org;
mod error;
mod fill;
pub mod finding;
mod index;
pub(crate) mod isolation;
pub(crate) mod keys;
pub(crate) mod lookup;
pub mod online;
mod operations;
pub mod org;
pub mod patience;
mod planned;
mod preflight;
pub(crate) mod privileges;
mod records;
pub mod report;
pub mod request;
pub(crate) mod resolution;
mod rollback;
pub(crate) mod runner;
pub mod step;
pub mod versioned;

pub use error::MigrationError;
pub(crate) use preflight::unsound_organizations;
