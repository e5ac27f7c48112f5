//! What keeps a pending file from being run until a person has looked: words by which it would undo what it does, or end
//! the transaction that it runs in. A file that was run long ago is not asked: its text can't be changed any more.

use super::{
    foreign::Fault,
    text::{self, Piece},
};

/// A comment of more words is prose.
const WORDS_MAX: usize = 4;

/// Words that may stand before the one that says the direction.
const FRONT: [&str; 10] =
    ["migration", "migrations", "migrate", "section", "part", "script", "step", "begin", "start", "sql"];

/// Words by which a heading says that what follows goes back.
const BACK: [&str; 14] = [
    "down",
    "downs",
    "downgrade",
    "downgrades",
    "rollback",
    "rollbacks",
    "revert",
    "reverts",
    "undo",
    "undoing",
    "unapply",
    "unmigrate",
    "reverting",
    "teardown",
];

/// Words that say so alone, or before one of [`PARTS`]; before others they are prose ("backwards compatible").
const BACK_ALONE: [&str; 7] = ["drop", "drops", "reverse", "backward", "backwards", "back", "destroy"];

const PARTS: [&str; 16] = [
    "migration",
    "migrations",
    "migrate",
    "script",
    "scripts",
    "section",
    "part",
    "step",
    "steps",
    "change",
    "changes",
    "sql",
    "begin",
    "start",
    "below",
    "direction",
];

/// The last words of a name that goes back.
const BACK_IN_NAMES: [&str; 6] = ["down", "undo", "revert", "rollback", "downgrade", "unapply"];

/// How sqlx is told that a file runs in no transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Why the file `name` with this text is not to be run as it is.
pub(super) fn doubt(name: &str, text: &str) -> Option<Fault> {
    if let Some(word) = way_back_in_name(name) {
        let what = format!(
            "its name says that it goes back ({word}), and it would be run as one that goes forward; name it <version>_<name>.down.sql beside its .up.sql, or give it another name if it does go forward"
        );
        return Some(Fault { line: None, what });
    }
    let pieces = text::pieces(text);
    if let Some((at, heading)) = way_back(&pieces) {
        let what = format!(
            "what follows {heading:?} is to take back what the file does, and both would be run; put it into a .down.sql of its own, or reword the comment if it is none of that"
        );
        return Some(Fault { line: Some(text::line(text, at)), what });
    }
    if text.starts_with(NO_TRANSACTION) {
        return None;
    }
    let (at, word) = transaction_control(&pieces)?;
    let what = format!(
        "{word} would end the transaction that the file runs in, and what stands before it would stay where the rest fails; take the words that begin and end transactions out (a file and its record are one transaction), or let the file begin with {NO_TRANSACTION:?}"
    );
    Some(Fault { line: Some(text::line(text, at)), what })
}

fn way_back_in_name(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    // A pair says its directions itself.
    let stem = lower.strip_suffix(".sql").filter(|stem| !stem.ends_with(".up"))?;
    let last = stem.rsplit(['_', '-', '.']).next()?;
    BACK_IN_NAMES.into_iter().find(|word| last == *word)
}

/// The first heading of a way back with SQL behind it. Headings stand between statements.
fn way_back<'a>(pieces: &[(usize, Piece<'a>)]) -> Option<(usize, &'a str)> {
    let last = pieces.iter().rposition(|(_, piece)| matches!(piece, Piece::Word(_) | Piece::Other))?;
    let mut is_between = true;
    for (at, piece) in &pieces[..last] {
        match piece {
            Piece::End => is_between = true,
            Piece::Word(_) | Piece::Other => is_between = false,
            Piece::Line(_) | Piece::Block(_) => {}
        }
        if let Some(heading) = piece.heading().filter(|heading| is_between && goes_back(heading)) {
            return Some((*at, heading.trim()));
        }
    }
    None
}

fn goes_back(heading: &str) -> bool {
    // A statement that is commented out.
    if heading.trim_end().ends_with(';') {
        return false;
    }
    let lower = heading.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.len() > WORDS_MAX {
        return false;
    }
    let is_front = |word: &&str| FRONT.contains(word) || word.bytes().all(|byte| byte.is_ascii_digit());
    let front = words.iter().take_while(|word| is_front(word)).count();
    match words[front..] {
        ["roll", "back", ..] | ["un", "apply" | "do", ..] | ["tear", "down", ..] => true,
        [word, ref rest @ ..] => {
            BACK.contains(&word) || BACK_ALONE.contains(&word) && rest.iter().all(|word| PARTS.contains(word))
        }
        [] => false,
    }
}

/// The first statement that begins or ends a transaction.
fn transaction_control(pieces: &[(usize, Piece<'_>)]) -> Option<(usize, String)> {
    let code: Vec<&(usize, Piece<'_>)> =
        pieces.iter().filter(|(_, piece)| !matches!(piece, Piece::Line(_) | Piece::Block(_))).collect();
    let word = |index: usize| match code.get(index) {
        Some((_, Piece::Word(word))) => word.to_ascii_lowercase(),
        _ => String::new(),
    };
    let mut is_first = true;
    // How deep in the body of an SQL routine, whose statements end with semicolons too.
    let mut depth = 0_usize;
    for (index, (at, piece)) in code.iter().enumerate() {
        if depth > 0 {
            match &*word(index) {
                "case" => depth += 1,
                "end" => depth -= 1,
                _ => {}
            }
            continue;
        }
        let [first, second, third] = [index, index + 1, index + 2].map(word);
        if is_first && is_transaction_control(&first, &second, &third) {
            return Some((*at, first.to_uppercase()));
        }
        if first == "begin" && second == "atomic" {
            depth = 1;
        }
        is_first = *piece == Piece::End;
    }
    None
}

/// Going back to a savepoint leaves the transaction as it is.
fn is_transaction_control(first: &str, second: &str, third: &str) -> bool {
    match first {
        "begin" | "commit" | "end" | "abort" => true,
        "start" | "prepare" => second == "transaction",
        "rollback" => second != "to" && !(matches!(second, "work" | "transaction") && third == "to"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_go_back_and_prose_does_not() {
        for heading in [
            "Down",
            "@DOWN",
            " === 2. Roll-back === ",
            "- migration:down",
            "Revert begin",
            "drop",
            "reverse script",
        ] {
            assert!(goes_back(heading), "{heading}");
        }
        for prose in [
            "rollback of prices is done elsewhere",
            "run rollback.sql to undo",
            "backwards compatible",
            "drop the old index",
            "ROLLBACK;",
            "no-transaction",
            "migration up",
            "",
        ] {
            assert!(!goes_back(prose), "{prose}");
        }
    }

    #[test]
    fn a_comment_without_sql_behind_it_heads_nothing() {
        assert!(doubt("1_a.sql", "SELECT 1;\n-- rollback:\n-- DROP TABLE a;\n;").is_none());
        assert_eq!(doubt("1_a.sql", "SELECT 1;\n-- rollback:\nSELECT 2").unwrap().line, Some(2));
    }
}
