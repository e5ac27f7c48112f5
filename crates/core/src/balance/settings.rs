//! `[reconcile]`: what is a small difference, and how often history is read again.

use serde::Deserialize;

use crate::{
    ledger::Quantity,
    settings::{ConfigError, value},
};

/// `[reconcile]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A difference whose absolute value is below this is small. In the item's canonical unit.
    pub tolerance: Quantity,
    /// In how many runs the whole history is read again; 0: never.
    pub history_runs: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tolerance: Quantity::hundredth(), history_runs: 7 }
    }
}

impl Settings {
    /// Checks them.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the tolerance.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_tolerance("reconcile.tolerance", &self.tolerance)
    }
}

/// Checks a tolerance that came from `name` (a key or a flag): a finite number, zero or more.
///
/// # Errors
/// [`ConfigError::Value`] when it is negative or not a number.
pub fn check_tolerance(name: &str, tolerance: &Quantity) -> Result<(), ConfigError> {
    if tolerance.is_finite() && !tolerance.is_negative() {
        Ok(())
    } else {
        Err(value(
            name,
            &format!("{tolerance} is not a tolerance; give a number of zero or more, such as 0.01"),
        ))
    }
}
