//! What the server said of a statement that failed.

use sqlx::postgres::PgDatabaseError;

/// The server's own sentence where there is one, else the library's.
pub(super) fn server_words(error: &sqlx::Error) -> String {
    let Some(error) = error.as_database_error() else { return error.to_string() };
    let detail = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    // By the routine that raises it: the words are in the server's language.
    if error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine)
        == Some("check_enable_rls")
    {
        return format!(
            "{}, which hides rows from this role; connect as one that bypasses it (BYPASSRLS), such as the operations role",
            error.message()
        );
    }
    match (error.code().as_deref(), detail) {
        // Which key, or which objects depend. Other details may hold whole rows of a tenant's.
        (Some("23001" | "23503" | "23505" | "2BP01"), Some(detail)) => {
            format!("{} ({detail})", error.message())
        }
        _ => error.message().to_owned(),
    }
}

/// All that the server says of a statement that failed, but for what holds whole rows of a tenant's.
pub(crate) fn all_words(error: &sqlx::Error) -> String {
    let found = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(found) = found else { return error.to_string() };
    let mut text = found.message().to_owned();
    // A row that a constraint refuses is printed whole, and so is a line of COPY.
    let detail = found.detail().filter(|_| !matches!(found.code(), "23502" | "23514"));
    let context = found.r#where().filter(|context| !context.starts_with("COPY "));
    for (name, part) in [("DETAIL", detail), ("HINT", found.hint()), ("CONTEXT", context)] {
        if let Some(part) = part {
            text.push_str(&format!("; {name}: {}", part.replace('\n', " / ")));
        }
    }
    text
}
