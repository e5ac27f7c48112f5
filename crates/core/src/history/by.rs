//! Who did it: what each record says of the session, the operating system's user, and why.

use std::str::FromStr;

use nix::unistd::{Uid, User, getuid};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

/// Who does it, as the session that writes the record knows: whom it connected as, whatever role it has set since, and what
/// [`signed`] told it.
pub(super) const BY: &str = include_str!("by.sql");

/// What the session is told it by; a name of Stockfoil's own that PostgreSQL keeps without knowing it.
const SETTING: &str = "stockfoil.by";

/// The longest reason, in characters.
const LENGTH_MAX: usize = 500;

/// Why something is done, in an operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = String;

    /// # Errors
    /// When nothing is said, or more than a line of it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > LENGTH_MAX || text.chars().any(char::is_control) {
            return Err(format!("a reason is 1 to {LENGTH_MAX} characters on one line"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `target` with what its sessions record of who asked for them, and why.
pub fn signed(target: PgConnectOptions, reason: Option<&Reason>) -> PgConnectOptions {
    let uid = getuid();
    let by = json!({
        "os_user": name_of(uid),
        "os_login": logged_in().filter(|login| *login != uid).map(name_of),
        "reason": reason.map(|reason| &reason.0),
    });
    // In letters that need no quotes in an option.
    target.options([(SETTING, hex::encode(by.to_string()))])
}

/// Who logged in to the operating system, where it knows that: sudo does not change it.
fn logged_in() -> Option<Uid> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX).map(Uid::from_raw)
}

fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
