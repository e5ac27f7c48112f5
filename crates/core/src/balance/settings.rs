//! `[reconcile]`: what is a small difference, how often history is read again, and what a balance below zero means.

use serde::Deserialize;

use super::closing::Before;
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
    /// What a balance below zero means.
    pub negative: Negative,
    /// The locations whose balances may be below zero all the same, such as those that stand for suppliers.
    pub negative_locations: Vec<String>,
    /// Before which time entries are to be closed.
    pub closed_before: Option<Before>,
}

/// What a balance below zero means: ledger and balance can agree and still be wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negative {
    /// It is a finding.
    Report,
    /// Nothing: not every stock is kept from being taken before it is entered.
    #[default]
    Allow,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: Quantity::hundredth(),
            history_runs: 7,
            negative: Negative::default(),
            negative_locations: Vec::new(),
            closed_before: None,
        }
    }
}

impl Settings {
    /// Where a balance below zero is a finding: anywhere but in these locations; none where it is none.
    pub fn negative_but_in(&self) -> Option<Vec<String>> {
        (self.negative == Negative::Report).then(|| self.negative_locations.clone())
    }

    /// Checks them.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the tolerance, and for locations that nothing is asked of.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.negative == Negative::Allow && !self.negative_locations.is_empty() {
            return Err(value(
                "reconcile.negative_locations",
                "every location may be below zero; set negative = \"report\" beside it",
            ));
        }
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
