//! What shows that a file is another tool's: its name, or a mark in a comment of it.
//!
//! Most tools keep both directions in one file, so that a file of theirs, run whole, undoes what it does; others keep each
//! migration in a folder of its own, which sqlx passes over.

use std::path::Path;

use super::text::{self, Piece};

/// Why a file is not one to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line that shows it, from 1.
    pub(super) line: Option<usize>,
    /// What it is, and what to do instead.
    pub(super) what: String,
}

/// What the name of a file of ours says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) version: i64,
    pub(super) is_down: bool,
}

/// What a file of ours is called.
const FORM: &str = "<version>_<name>.sql, or <version>_<name>.up.sql with a .down.sql";

/// Files by which a tool is known, wherever they lie in its folder.
const MARKERS: [(&str, &str); 8] = [
    ("atlas.sum", "Atlas"),
    ("sqitch.plan", "Sqitch"),
    ("migration_lock.toml", "Prisma"),
    ("_journal.json", "Drizzle"),
    ("migration.sql", "Prisma"),
    ("script.py.mako", "Alembic"),
    ("dbchangelog.xml", "Liquibase"),
    ("changelog.xml", "Liquibase"),
];

/// The kinds of text that may be named like a migration without being one.
const NOTES: [&str; 3] = ["md", "txt", "adoc"];

/// The last part of a name that says a direction, as other tools write it.
const DIRECTIONS: [&str; 12] = [
    "up",
    "down",
    "do",
    "undo",
    "deploy",
    "revert",
    "rollback",
    "verify",
    "apply",
    "back",
    "upgrade",
    "downgrade",
];

impl Fault {
    fn of_tool(line: Option<usize>, tool: &str, mark: &str) -> Fault {
        let what = format!(
            "this is a file of {tool} ({mark}), and it would not be run as it is meant; leave its folder to {tool}, and give Stockfoil one of its own"
        );
        Fault { line, what }
    }

    fn of_name(what: &str) -> Fault {
        Fault { line: None, what: what.to_owned() }
    }

    /// A text in another encoding.
    pub(super) fn not_text() -> Fault {
        Fault::of_name("this is not UTF-8; save it as UTF-8")
    }

    /// A second file of one version.
    pub(super) fn twice(version: i64, other: &Path) -> Fault {
        let what = format!(
            "{} has version {version} too, and only one of them would be run; give one of them another version",
            other.display()
        );
        Fault { line: None, what }
    }

    /// A way back from nowhere.
    pub(super) fn without_up() -> Fault {
        Fault::of_name("there is no .up.sql beside it; add it, or take this file away")
    }
}

/// What `file`, relative to its folder, says by its name; nothing where it is no migration of any kind.
///
/// # Errors
/// The fault of a migration that would be run wrongly, or passed over.
pub(super) fn name(file: &Path) -> Result<Option<Name>, Fault> {
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if let Some((_, tool)) = MARKERS.iter().find(|(marker, _)| name.eq_ignore_ascii_case(marker)) {
        return Err(Fault::of_tool(None, tool, &name));
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
    if !extension.eq_ignore_ascii_case("sql") {
        let is_note = NOTES.iter().any(|note| extension.eq_ignore_ascii_case(note));
        if extension.is_empty() || is_note || !is_numbered(&name) {
            return Ok(None);
        }
        return Err(Fault::of_name(
            "this is named like a migration and is not SQL, so it would be passed over; leave its folder to the tool that it is for, and give Stockfoil one of its own",
        ));
    }
    if is_flyways(stem) {
        return Err(Fault::of_tool(None, "Flyway", FORM_OF_FLYWAY));
    }
    if file.components().count() > 1 {
        return Err(match &*name {
            "up.sql" | "down.sql" => Fault::of_tool(None, "Diesel", "a folder for each migration"),
            _ => Fault::of_name(
                "this lies in a subfolder, which would be passed over; move it up, or leave the folder to the tool that it is for",
            ),
        });
    }
    let unknown = || Fault::of_name(&format!("this would be passed over or misread; name it {FORM}"));
    let (version, rest) = stem.split_once('_').ok_or_else(unknown)?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let version = version.parse().ok().filter(|_| is_number && extension == "sql").ok_or_else(unknown)?;
    let direction = rest.rsplit_once('.').map(|(_, last)| last);
    let direction = direction.filter(|last| DIRECTIONS.iter().any(|word| last.eq_ignore_ascii_case(word)));
    match direction {
        None | Some("up") => Ok(Some(Name { version, is_down: false })),
        Some("down") => Ok(Some(Name { version, is_down: true })),
        Some(_) => Err(unknown()),
    }
}

const FORM_OF_FLYWAY: &str = "two underscores after V, U, B or R";

/// V1__name, V2.1__name, U1__name, B1__name, R__name.
fn is_flyways(stem: &str) -> bool {
    let Some((front, _)) = stem.split_once("__") else { return false };
    let mut front = front.chars();
    matches!(front.next(), Some('V' | 'U' | 'B' | 'R' | 'v' | 'u' | 'b' | 'r'))
        && front.all(|c| c.is_ascii_digit() || c == '.' || c == '_')
}

/// Whether a name begins with a number, or with one letter and a number, as migrations of all tools do.
fn is_numbered(name: &str) -> bool {
    let mut front = name.bytes().take(2);
    let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    let first = front.next();
    is_digit(first) || (matches!(first, Some(b'V' | b'U' | b'R' | b'v' | b'm')) && is_digit(front.next()))
}

/// The first mark of another tool in `text`.
pub(super) fn text(text: &str) -> Option<Fault> {
    text::pieces(text).into_iter().find_map(|(at, piece)| {
        let comment = piece.heading()?;
        let dashes = if matches!(piece, Piece::Line(_)) { "--" } else { "" };
        let mark = format!("{dashes}{}", comment.trim_end());
        tool(comment).map(|tool| Fault::of_tool(Some(text::line(text, at)), tool, &mark))
    })
}

/// Whose mark a comment is. Marks are told whatever their case and their spaces.
fn tool(comment: &str) -> Option<&'static str> {
    let lower = comment.to_lowercase();
    let tight: String = lower.chars().filter(|c| !c.is_whitespace()).collect();
    let undashed = tight.trim_matches('-');
    let words: Vec<&str> = lower.split_whitespace().collect();
    match &*tight {
        _ if tight.starts_with("+goose") => Some("goose"),
        _ if tight.starts_with("+migrate") => Some("sql-migrate"),
        _ if tight.starts_with("+micrate") => Some("Micrate"),
        _ if tight.starts_with("migrate:up") || tight.starts_with("migrate:down") => Some("dbmate"),
        _ if undashed.starts_with("upmigration") || undashed.starts_with("downmigration") => {
            Some("node-pg-migrate")
        }
        _ if undashed == "createabove/dropbelow" => Some("tern"),
        _ if tight.starts_with("liquibaseformattedsql") => Some("Liquibase"),
        "ramblerup" | "ramblerdown" => Some("rambler"),
        _ if tight.starts_with("//@undo") || tight == "@undo" => Some("MyBatis Migrations"),
        _ if tight.starts_with(">statement-breakpoint") => Some("Drizzle"),
        _ if tight.starts_with("atlas:") => Some("Atlas"),
        _ if tight.starts_with("!previous:") => Some("Graphile Migrate"),
        _ if undashed == "!ups" || undashed == "!downs" => Some("Play evolutions"),
        _ if tight.starts_with('=') && matches!(tight.trim_matches('='), "up" | "down") => Some("shmig"),
        _ => match *words {
            ["deploy", change, "to", _, ..]
            | ["revert", change, "from", _, ..]
            | ["verify", change, "on", _, ..]
                if change.contains(':') =>
            {
                Some("Sqitch")
            }
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text_of_file: &str) -> Option<(usize, bool)> {
        text(text_of_file).map(|fault| (fault.line.unwrap(), fault.what.contains("goose")))
    }

    #[test]
    fn a_mark_is_told_whatever_its_case_spaces_line_ends_and_byte_order_mark() {
        for mark in ["-- +goose Up", "--+GOOSE UP", "\t --   + goose\tup  ", "SELECT 1; -- +Goose Up"] {
            for (before, end, line) in
                [("", "\n", 1), ("\u{feff}", "\r\n", 1), ("SELECT 1;\r\n\r\n", "\r\n", 3)]
            {
                assert_eq!(found(&format!("{before}{mark}{end}SELECT 2;")), Some((line, true)), "{mark:?}");
            }
        }
    }

    #[test]
    fn text_in_quotes_and_blocks_is_no_mark() {
        for sql in [
            "INSERT INTO notes VALUES ('\n-- +goose Up\n');",
            "INSERT INTO notes VALUES (E'it\\'s\n-- +goose Up\n');",
            "INSERT INTO notes VALUES ('it''s\n-- +goose Up\n');",
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n-- +goose Up\nSELECT 'x' $$;",
            "DO $body_1$ BEGIN\n-- +goose Up\nPERFORM $$'$$; END $body_1$;",
            "/* one /* two */\n-- +goose Up\n*/ SELECT 1;",
            "SELECT 1 AS \"\n-- +goose Up\n\";",
            "-- Add up migration script here\nSELECT 1;",
            "-- what goose would call +goose Up\nSELECT 1;",
            "-- migrates: upwards\nSELECT 1;",
            "-- rollback\nSELECT 1;",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);",
        ] {
            assert_eq!(text(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_mark_after_quotes_is_one_still() {
        for sql in [
            "SELECT 'it''s', $1, a$b, '\\' FROM \"x\";\n-- +goose Down",
            "SELECT e'\\\\';\n-- +goose Down",
            // What does not end can't be told from what does.
            "SELECT 'not closed;\n-- +goose Down",
            "/* not closed\n-- +goose Down",
            "DO $x$ not closed\n-- +goose Down",
        ] {
            assert_eq!(found(sql), Some((2, true)), "{sql}");
        }
    }

    #[test]
    fn names_of_ours_and_of_nobody() {
        let ours = |file: &str| name(Path::new(file)).unwrap().map(|name| (name.version, name.is_down));
        assert_eq!(ours("20240101120000_wind_down.sql"), Some((20_240_101_120_000, false)));
        assert_eq!(ours("1_v1.2_release.up.sql"), Some((1, false)));
        assert_eq!(ours("000001_x.down.sql"), Some((1, true)));
        for file in ["README.md", "1_notes.md", ".gitkeep", "mod.rs", "LICENSE", "2024"] {
            assert_eq!(ours(file), None, "{file}");
        }
        for file in
            ["99999999999999999999_x.sql", "+1_x.sql", "_x.sql", "1.sql", "1_x.Up.sql", "1_x.rollback.sql"]
        {
            assert!(name(Path::new(file)).is_err(), "{file}");
        }
    }
}
