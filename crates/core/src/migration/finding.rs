//! What stands in a migration's way, and what of it can be accepted.

use serde::Serialize;

/// One thing that stands in the way, or that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, such as `foreign_keys`.
    pub check: &'static str,
    /// The object.
    pub object: String,
    /// What is the matter with it.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}; {}", self.object, self.detail, self.remedy)
    }
}

/// What can be accepted by name.
pub const ACCEPTABLE: [&str; 5] =
    ["on-conflict", "parameters", "publications", DEFAULT_ORGANIZATION, ANSWERS];

/// Accepts that a function answers otherwise after the migration.
pub(crate) const ANSWERS: &str = "answers";

/// Accepts that another organization becomes the default one.
pub(super) const DEFAULT_ORGANIZATION: &str = "default-organization";
