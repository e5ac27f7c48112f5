//! Whether the statements of a dump begin like SQL: psql stops at what does not, such as the words of another program that
//! went into the same file. A dump that psql takes must never be called damaged, so whatever is in doubt is let through.

use crate::sql::{Kind, Lexer, Piece};

/// The words that a statement may begin with.
const BEGINNINGS: [&[u8]; 55] = [
    b"abort",
    b"alter",
    b"analyse",
    b"analyze",
    b"begin",
    b"call",
    b"checkpoint",
    b"close",
    b"cluster",
    b"comment",
    b"commit",
    b"copy",
    b"create",
    b"deallocate",
    b"declare",
    b"delete",
    b"discard",
    b"do",
    b"drop",
    b"end",
    b"execute",
    b"explain",
    b"fetch",
    b"grant",
    b"import",
    b"insert",
    b"listen",
    b"load",
    b"lock",
    b"merge",
    b"move",
    b"notify",
    b"prepare",
    b"reassign",
    b"refresh",
    b"reindex",
    b"release",
    b"repack",
    b"reset",
    b"revoke",
    b"rollback",
    b"savepoint",
    b"security",
    b"select",
    b"set",
    b"show",
    b"start",
    b"table",
    b"truncate",
    b"unlisten",
    b"update",
    b"vacuum",
    b"values",
    b"wait",
    b"with",
];

/// The programs that write dumps, whose words go before all others into the same file. No SQL has such a line.
const PROGRAMS: [&str; 3] = ["pg_dump: ", "pg_dumpall: ", "pg_restore: "];

/// Encodings in which a backslash may be a part of a character.
const BACKSLASH_ENCODINGS: [&str; 7] = ["SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"];

/// So much of a line that is no SQL is told.
const TEXT_CHARS_MAX: usize = 60;

/// What is no SQL where a statement should begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Where, counted from 1.
    pub(super) line: u64,
    /// How it begins.
    pub(super) text: String,
}

/// Whether `line` is a program's own.
pub(super) fn is_of_program(line: &[u8]) -> bool {
    PROGRAMS.iter().any(|program| line.starts_with(program.as_bytes()))
}

/// Follows the statements of a dump, line by line.
#[derive(Debug)]
pub(super) struct Statements {
    lexer: Lexer,
    place: Place,
    /// How many lines were read, and where the one that is being read begins for the lexer.
    lines: u64,
    line_start: u64,
    /// Whether it begins outside of all that is quoted.
    is_open: bool,
    /// Whether nothing is said any more: something was found, or can't be told.
    is_over: bool,
    has_ended_copy: bool,
    /// The first that is no SQL.
    pub(super) foreign: Option<Foreign>,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            lexer: Lexer::with_commands(),
            place: Place::default(),
            lines: 0,
            line_start: 0,
            is_open: true,
            is_over: false,
            has_ended_copy: false,
            foreign: None,
        }
    }
}

/// Where in a statement the pieces are.
#[derive(Debug, Default)]
struct Place {
    is_begun: bool,
    /// Whether the statement is a COPY, and whether one ended in this line.
    is_copy: bool,
    has_ended_copy: bool,
    parentheses: usize,
    /// How many BEGIN ATOMIC and CASE of a function's body are open.
    bodies: usize,
    /// The first letters of its first words, where they may be those of CREATE OR REPLACE FUNCTION, and their count.
    letters: [u8; 4],
    words: usize,
    /// Where, for the lexer, a statement begins that is no SQL.
    foreign_at: Option<u64>,
    /// A command of psql stands where only psql knows what follows.
    is_lost: bool,
}

impl Place {
    fn take(&mut self, piece: Piece<'_>) {
        match piece.kind {
            Kind::LineComment | Kind::Comment => return,
            Kind::Command if !self.is_begun => {
                // What others feed to psql may hold anything behind them.
                self.is_lost |=
                    [&b"\\copy"[..], b"\\if", b"\\i"].iter().any(|word| piece.word.starts_with(word));
                return;
            }
            Kind::Command => return self.is_lost = true,
            Kind::End if self.parentheses == 0 && self.bodies == 0 => {
                *self = Self {
                    has_ended_copy: self.has_ended_copy || self.is_copy,
                    foreign_at: self.foreign_at,
                    is_lost: self.is_lost,
                    ..Self::default()
                };
                return;
            }
            _ => {}
        }
        if !std::mem::replace(&mut self.is_begun, true) {
            self.begin(piece);
        }
        match piece.kind {
            Kind::Open => self.parentheses += 1,
            Kind::Close => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Word => self.word(piece.word),
            _ => {}
        }
    }

    fn begin(&mut self, piece: Piece<'_>) {
        self.is_copy = piece.word.eq_ignore_ascii_case(b"copy");
        let is_sql = match piece.kind {
            Kind::Word => BEGINNINGS.iter().any(|word| piece.word.eq_ignore_ascii_case(word)),
            kind => kind == Kind::Open,
        };
        if !is_sql {
            self.foreign_at = self.foreign_at.or(Some(piece.start));
        }
    }

    /// As psql does, to know a semicolon in a function's body from its end.
    fn word(&mut self, word: &[u8]) {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        if let Some(letter) = self.letters.get_mut(self.words) {
            let is_known = ["create", "function", "procedure", "or", "replace"].into_iter().any(is);
            *letter = if is_known { word[0].to_ascii_lowercase() } else { 0 };
            self.words += 1;
        }
        let is_routine = matches!(self.letters, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if !is_routine || self.parentheses > 0 {
            return;
        }
        if is("begin") || (self.bodies > 0 && is("case")) {
            self.bodies += 1;
        } else if is("end") {
            self.bodies = self.bodies.saturating_sub(1);
        }
    }
}

impl Statements {
    /// Reads on in a line; its end is told by [`end_line`](Self::end_line).
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Self { lexer, place, .. } = self;
        lexer.feed(bytes, |piece| place.take(piece));
    }

    /// Goes over a line of rows.
    pub(super) fn pass_line(&mut self) {
        self.lines += 1;
    }

    /// Ends a line, which begins with `line`.
    pub(super) fn end_line(&mut self, line: &[u8]) {
        self.feed(b"\n");
        self.lines += 1;
        let at = match self.place.foreign_at.take() {
            _ if self.is_open && is_of_program(line) => Some(0),
            Some(at) => usize::try_from(at.saturating_sub(self.line_start)).ok(),
            None => None,
        };
        if let Some(at) = at.filter(|_| !self.is_over) {
            // Behind the end of what was kept of it there is nothing to tell.
            self.foreign = line.get(at..).filter(|text| !text.is_empty()).map(|text| self.tell(text));
            self.is_over = self.foreign.is_some();
        }
        self.is_over |= self.place.is_lost;
        self.has_ended_copy = std::mem::take(&mut self.place.has_ended_copy);
        self.is_open = self.lexer.is_between();
        self.line_start = self.lexer.at();
        self.set(line);
    }

    /// A line that is no row though it stands among them.
    pub(super) fn foreign_row(&mut self, row: &[u8]) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.foreign = Some(self.tell(row));
        }
    }

    fn tell(&self, text: &[u8]) -> Foreign {
        let text = String::from_utf8_lossy(text);
        let line = text.lines().next().unwrap_or_default();
        Foreign { line: self.lines, text: line.chars().take(TEXT_CHARS_MAX).collect() }
    }

    /// Whether a COPY ended in the line that was read last.
    pub(super) fn has_ended_copy(&self) -> bool {
        self.has_ended_copy
    }

    /// Says nothing of what follows.
    pub(super) fn stop(&mut self) {
        self.is_over = true;
    }

    /// Minds the settings by which texts are read.
    fn set(&mut self, line: &[u8]) {
        let Some(setting) = line.strip_prefix(b"SET ").and_then(|line| std::str::from_utf8(line).ok()) else {
            return;
        };
        let Some((name, value)) = setting.trim_end().trim_end_matches(';').split_once(" = ") else { return };
        match name {
            "standard_conforming_strings" => self.lexer.escapes = value == "off",
            "client_encoding" => {
                self.is_over |=
                    BACKSLASH_ENCODINGS.contains(&value.trim_matches('\'').to_uppercase().as_str());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(sql: &str) -> Option<(u64, String)> {
        let mut statements = Statements::default();
        for line in sql.lines() {
            statements.feed(line.as_bytes());
            statements.end_line(line.as_bytes());
        }
        statements.foreign.map(|foreign| (foreign.line, foreign.text))
    }

    #[test]
    fn statements_of_every_kind_are_sql() {
        for sql in [
            "-- a;\n/* b; /* c */ d; */ SELECT 1;;\n\n(SELECT 2);",
            "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n x;\nEND;\nSELECT 1;",
            "create or replace procedure begin() as $x$\npg_dump: a; $$ 'b\n$x$ language sql;\nSELECT '\\';\nSELECT 'a;\npg_dump: b';",
            "SET standard_conforming_strings = off;\nSELECT 'a\\'; b';\nSELECT 1;",
            "SELECT E'a\\'; b', \"c; d\"\"; e\", $1, a$b$, b$b$;\r\nSELECT 1;\r",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (x; y);\n\\connect stock\n\\restrict it's\nSELECT 1;",
            "\u{feff}SELECT 1;\n\\if 1\nwhatever;",
            "SET client_encoding = 'SJIS';\nx;",
        ] {
            assert_eq!(foreign(sql), None, "{sql}");
        }
    }

    #[test]
    fn words_of_other_programs_are_told_with_their_line() {
        for (sql, line, text) in [
            ("pg_dump: warning: x\n--\nSELECT 1;\n", 1, "pg_dump: warning: x"),
            ("-- a\n\nSELECT 1;\n  WARNING:  x;\n", 4, "WARNING:  x;"),
            ("SELECT 1;\nPassword: ", 2, "Password: "),
            ("BEGIN;x;", 1, "x;"),
            ("bash:", 1, "bash:"),
            ("CREATE TABLE a (\npg_dump: error: b\n);", 2, "pg_dump: error: b"),
            ("SELECT 1; 2026-01-01 ERROR", 1, "2026-01-01 ERROR"),
        ] {
            assert_eq!(foreign(sql), Some((line, text.to_owned())), "{sql}");
        }
    }
}
