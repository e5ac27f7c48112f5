//! Parts of the balances that are not as they should be, and what that means.

use serde::Serialize;

use crate::balance::{self, State};

/// A table, function or trigger that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenPart {
    /// What it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub state: String,
    /// Whether it is a function that is there with another text.
    #[serde(skip)]
    is_other_function: bool,
}

impl From<(balance::Kind, String, State)> for BrokenPart {
    fn from((kind, name, state): (balance::Kind, String, State)) -> Self {
        let is_other_function = kind == balance::Kind::Function && matches!(state, State::Altered(_));
        Self { kind: kind.as_str(), name, state: state.to_string(), is_other_function }
    }
}

/// What it means that parts of the balances are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// The triggers are there and call functions of another text, as after an upgrade of the binaries alone.
    OtherFunctions,
    /// Entries may go uncounted.
    Uncounted,
}

impl Breakage {
    /// Of these parts; none where there are none.
    pub fn of(parts: &[BrokenPart]) -> Option<Self> {
        match parts {
            [] => None,
            parts if parts.iter().all(|part| part.is_other_function) => Some(Self::OtherFunctions),
            _ => Some(Self::Uncounted),
        }
    }

    /// What a person does about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::OtherFunctions => {
                "the triggers are as they should be, and call functions that are not of this release: another release made them, or somebody changed them; migrate-balance renews them, and the next reconcile-balances reads every entry"
            }
            Self::Uncounted => "run migrate-balance, then backfill-balances",
        }
    }
}
