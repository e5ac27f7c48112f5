//! What the migration means to break, and what an application has to do about it.

use super::{Migration, action::Kind};
use crate::migration::{online::Online, org::Direction};

/// What an application has to do where the migration means that to fail with this state of the server's; none where it
/// does not.
pub(super) fn meant(kind: Kind, sqlstate: &str, migration: &Migration) -> Option<&'static str> {
    const ONE_ROW: &str =
        "let it change the row of that key where there is one: from then on there is one for each";
    let makes_balances = matches!(migration, Migration::Online(Online::Balances(_)) | Migration::All { .. });
    let (finalizes, isolates) = match migration {
        Migration::Online(Online::Organizations(request)) => {
            (request.direction == Direction::Finalize, request.isolates)
        }
        Migration::Online(Online::Balances(_)) | Migration::All { .. } => (false, false),
    };
    match (kind, sqlstate) {
        // A line has too few columns, or nothing for the organization.
        (Kind::CopyByPosition, "22P04" | "23502") => {
            Some("let it name the columns: COPY table (columns) FROM")
        }
        // No unique key is the one that is named.
        (Kind::OnConflict, "42P10") => {
            Some("let it name the organization too, and leave --contract out until it does")
        }
        (Kind::Balance, "23505") if makes_balances => Some(ONE_ROW),
        // It sees no row, may not, or has no organization.
        (_, "" | "42501" | "23502") if finalizes && isolates => {
            Some("let it work as a member of the application's role, in a session that says whose it is")
        }
        (Kind::CopyByPosition, "0A000") if finalizes && isolates => {
            Some("let it INSERT: COPY FROM does not work under row-level security")
        }
        (Kind::Insert | Kind::Balance | Kind::OnConflict | Kind::Further, "23502") if finalizes => {
            Some("let it name the organization")
        }
        _ => None,
    }
}

/// The same on the way back, which takes names away, and what hid rows where that was there.
pub(super) fn meant_back(sqlstate: &str, is_hidden: bool) -> Option<&'static str> {
    match sqlstate {
        // A column, table, function, schema or role that went, or a key that went with its column.
        "42703" | "42P01" | "42883" | "3F000" | "42704" | "22023" | "42P10" => Some(BACK),
        // A row has a column less than what writes or returns it.
        "42601" | "42804" | "22P04" => Some(BACK),
        "" if is_hidden => Some(BACK),
        _ => None,
    }
}

/// What helps who relies on what the migration made.
pub(super) const BACK: &str = "stop what relies on it first";
