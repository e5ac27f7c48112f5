//! The life of an organization behind its beginning: its export, its end, and its way into another database.

mod archive;
pub mod delete;
mod error;
pub mod export;
pub mod import;
mod reading;
mod whole;

pub use archive::{Kind, TableCount};
pub use error::LifeError;
