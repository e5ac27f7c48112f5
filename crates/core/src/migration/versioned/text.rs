//! The SQL of a file of migrations as a row of pieces.

use crate::sql::{self, Kind, Lexer};

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A comment to the end of its line, without its dashes.
    Line(&'a str),
    /// A block comment, without its marks.
    Block(&'a str),
    /// A keyword, or a name without quotes.
    Word(&'a str),
    /// The semicolon behind a statement.
    End,
    /// Anything else: a literal, a quoted name, a number, a sign.
    Other,
}

impl<'a> Piece<'a> {
    /// A comment that may be a heading: one that has a single line.
    pub(super) fn heading(&self) -> Option<&'a str> {
        match self {
            Piece::Line(comment) => Some(comment),
            Piece::Block(comment) => {
                let lines =
                    comment.lines().map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == '*'));
                let mut lines = lines.filter(|line| !line.is_empty());
                lines.next().filter(|_| lines.next().is_none())
            }
            _ => None,
        }
    }
}

/// The pieces of `text`, each with where it begins. Where a literal, a quoted name, a dollar quote or a block comment does
/// not end, every line that begins with dashes is a comment, and every other line a statement.
pub(super) fn pieces(text: &str) -> Vec<(usize, Piece<'_>)> {
    let mut found = Vec::new();
    let mut take = |piece: sql::Piece<'_>| {
        let (Ok(start), Ok(end)) = (usize::try_from(piece.start), usize::try_from(piece.end)) else { return };
        let inside = |front: usize, back: usize| text.get(start + front..end - back).unwrap_or_default();
        let piece = match piece.kind {
            Kind::LineComment => Piece::Line(inside(2, 0)),
            Kind::Comment => Piece::Block(inside(2, 2)),
            Kind::Word => Piece::Word(inside(0, 0)),
            Kind::End => Piece::End,
            Kind::Command | Kind::Open | Kind::Close | Kind::Other => Piece::Other,
        };
        found.push((start, piece));
    };
    let mut lexer = Lexer::default();
    lexer.feed(text.as_bytes(), &mut take);
    if lexer.finish(&mut take) { found } else { lines(text) }
}

/// Whether the SQL `text` names an object `name`, outside its comments.
pub(super) fn names(text: &str, name: &str) -> bool {
    let pieces = pieces(text);
    let ends = pieces.iter().skip(1).map(|(at, _)| *at).chain([text.len()]);
    pieces.iter().zip(ends).any(|((at, piece), end)| match piece {
        Piece::Word(word) => word.to_lowercase() == name,
        Piece::Other => {
            let quoted = text.get(*at..end).unwrap_or_default().trim_end();
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            inside.is_some_and(|inside| inside.replace("\"\"", "\"") == name)
        }
        _ => false,
    })
}

/// The line of `at` in `text`, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

const BYTE_ORDER_MARK: char = '\u{feff}';

fn lines(text: &str) -> Vec<(usize, Piece<'_>)> {
    let mut at = 0;
    let mut found = Vec::new();
    for line in text.split_inclusive('\n') {
        let front = line.trim_start_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
        match front.strip_prefix("--") {
            Some(comment) => found.push((at, Piece::Line(comment))),
            None if front.is_empty() => {}
            None => found.extend([(at, Piece::Other), (at, Piece::End)]),
        }
        at += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_one_piece() {
        for text in [
            "'it''s; -- x'",
            r"e'it\'s; -- x'",
            "\"a; \"\" -- b\"",
            "$$ ; -- $x$ $$",
            "$é1$ ; $$ -- $é1$",
            "12.5",
        ] {
            let found: Vec<Piece<'_>> = pieces(text).into_iter().map(|(_, piece)| piece).collect();
            assert!(found.iter().all(|piece| *piece == Piece::Other), "{text}: {found:?}");
        }
        let found = pieces("\u{feff}SELECT a$b$c /* x /* y */ z */;-- é\r\n$1");
        let found: Vec<Piece<'_>> = found.into_iter().map(|(_, piece)| piece).collect();
        let expected = [
            Piece::Word("SELECT"),
            Piece::Word("a$b$c"),
            Piece::Block(" x /* y */ z "),
            Piece::End,
            Piece::Line(" é"),
            Piece::Other,
            Piece::Other,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comment_of_one_line_may_be_a_heading() {
        assert_eq!(Piece::Block("*\n * Down\n ").heading(), Some("Down"));
        assert_eq!(Piece::Block(" one\n two").heading(), None);
        assert_eq!(Piece::Block("").heading(), None);
    }
}
