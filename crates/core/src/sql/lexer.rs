//! SQL as pieces, told apart while it streams by: as much as it takes to tell comments and statements from what is
//! quoted.

/// What a [`Piece`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A comment to the end of its line.
    LineComment,
    /// A comment between marks.
    Comment,
    /// A keyword, or a name without quotes.
    Word,
    /// A command of psql, to the end of its line; only where those are [expected](Lexer::with_commands).
    Command,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// The semicolon behind a statement, or inside of its parentheses or its body.
    End,
    /// Anything else: a literal, a quoted name, a number, a sign.
    Other,
}

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'w> {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it begins, in bytes from the first one that was read.
    pub(crate) start: u64,
    /// Where it ends; of what is quoted, only where its text begins.
    pub(crate) end: u64,
    /// Of a word or a command the first bytes.
    pub(crate) word: &'w [u8],
}

/// So much is kept of a word or of a dollar quote's tag; PostgreSQL takes no longer ones.
const WORD_BYTES_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Normal,
    /// After what may begin a comment.
    Dash,
    Slash,
    LineComment,
    Comment {
        depth: usize,
        before: u8,
    },
    Word,
    Command,
    Quote {
        quote: u8,
        escapes: bool,
    },
    /// After a backslash that takes the next byte along.
    Escaped {
        quote: u8,
    },
    /// After the quote that ends a text, unless it is doubled.
    Quoted {
        quote: u8,
        escapes: bool,
    },
    /// In what may become the tag of a dollar quote.
    Tag,
    /// In a dollar quote, of whose tag so many bytes were just read.
    Dollars {
        matched: usize,
    },
}

/// Reads SQL of any length, in memory of a fixed size.
#[derive(Debug, Default)]
pub(crate) struct Lexer {
    state: State,
    /// How many bytes were read.
    at: u64,
    /// Where the piece begins.
    start: u64,
    /// The word, the command's beginning, or the tag.
    word: Vec<u8>,
    has_commands: bool,
    /// Whether a backslash takes the next byte along in every text, not just in those with an E before them
    /// (`standard_conforming_strings = off`).
    pub(crate) escapes: bool,
}

impl Lexer {
    /// One that knows psql's commands.
    pub(crate) fn with_commands() -> Self {
        Self { has_commands: true, ..Self::default() }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether what was read ends outside of all that is quoted or a comment between marks.
    pub(crate) fn is_between(&self) -> bool {
        !matches!(
            self.state,
            State::Comment { .. } | State::Quote { .. } | State::Escaped { .. } | State::Dollars { .. }
        )
    }

    /// Reads on; `found` gets the pieces, those that are quoted as they begin, the others as they end.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.take(rest, &mut found);
            self.at += taken as u64;
            rest = &rest[taken..];
        }
    }

    /// Ends; returns whether everything that was begun is over.
    pub(crate) fn finish(&mut self, mut found: impl FnMut(Piece<'_>)) -> bool {
        let is_whole = self.is_between();
        if is_whole {
            // Any byte that belongs to no piece ends what ends with the text.
            self.take(b"\n", &mut found);
            self.take(b"\n", &mut found);
        }
        is_whole
    }

    /// Takes as many bytes as are alike, and none where only the state changes.
    fn take(&mut self, bytes: &[u8], found: &mut impl FnMut(Piece<'_>)) -> usize {
        let byte = bytes[0];
        match self.state {
            State::Normal => self.begin(byte, found),
            State::Dash if byte == b'-' => self.go_on(State::LineComment),
            State::Slash if byte == b'*' => self.go_on(State::Comment { depth: 1, before: 0 }),
            State::Dash | State::Slash => self.end(Kind::Other, found),
            State::LineComment => match memchr::memchr2(b'\n', b'\r', bytes) {
                Some(0) => self.end(Kind::LineComment, found),
                end => end.unwrap_or(bytes.len()),
            },
            State::Command => match memchr::memchr(b'\n', bytes) {
                Some(0) => self.end(Kind::Command, found),
                end => self.keep(&bytes[..end.unwrap_or(bytes.len())]),
            },
            State::Comment { depth, before } => self.comment(bytes, depth, before, found),
            State::Word => match bytes.iter().position(|byte| !is_of_word(*byte) && *byte != b'$') {
                Some(0) => self.end_word(byte, found),
                end => self.keep(&bytes[..end.unwrap_or(bytes.len())]),
            },
            State::Quote { quote, escapes } => self.quote(bytes, quote, escapes),
            State::Escaped { quote } => self.go_on(State::Quote { quote, escapes: true }),
            State::Quoted { quote, escapes } if byte == quote => self.go_on(State::Quote { quote, escapes }),
            State::Quoted { .. } => self.become_normal(),
            State::Tag => self.tag(byte, found),
            State::Dollars { matched } => self.dollars(bytes, matched),
        }
    }

    fn begin(&mut self, byte: u8, found: &mut impl FnMut(Piece<'_>)) -> usize {
        self.start = self.at;
        self.word.clear();
        let is_mark = usize::try_from(self.at).ok().and_then(|at| BYTE_ORDER_MARK.get(at)) == Some(&byte);
        match byte {
            _ if is_mark || byte.is_ascii_whitespace() => 1,
            b'-' => self.go_on(State::Dash),
            b'/' => self.go_on(State::Slash),
            b'$' => {
                self.word.push(byte);
                self.go_on(State::Tag)
            }
            b'\\' if self.has_commands => {
                self.word.push(byte);
                self.go_on(State::Command)
            }
            b'\'' => self.open(byte, self.escapes, found),
            b'"' => self.open(byte, false, found),
            byte if is_of_word(byte) => {
                self.state = State::Word;
                0
            }
            byte => {
                let kind = match byte {
                    b'(' => Kind::Open,
                    b')' => Kind::Close,
                    b';' => Kind::End,
                    _ => Kind::Other,
                };
                found(Piece { kind, start: self.at, end: self.at + 1, word: &[] });
                1
            }
        }
    }

    /// Begins a text or a quoted name.
    fn open(&mut self, quote: u8, escapes: bool, found: &mut impl FnMut(Piece<'_>)) -> usize {
        found(Piece { kind: Kind::Other, start: self.start, end: self.at + 1, word: &[] });
        self.go_on(State::Quote { quote, escapes })
    }

    fn go_on(&mut self, state: State) -> usize {
        self.state = state;
        1
    }

    fn become_normal(&mut self) -> usize {
        self.state = State::Normal;
        0
    }

    fn keep(&mut self, bytes: &[u8]) -> usize {
        let room = WORD_BYTES_MAX.saturating_sub(self.word.len()).min(bytes.len());
        self.word.extend_from_slice(&bytes[..room]);
        bytes.len()
    }

    /// Ends the piece before the byte that comes.
    fn end(&mut self, kind: Kind, found: &mut impl FnMut(Piece<'_>)) -> usize {
        found(Piece { kind, start: self.start, end: self.at, word: &self.word });
        self.become_normal()
    }

    fn end_word(&mut self, byte: u8, found: &mut impl FnMut(Piece<'_>)) -> usize {
        // Backslashes escape in it.
        if byte == b'\'' && self.word.eq_ignore_ascii_case(b"e") {
            return self.open(byte, true, found);
        }
        let is_number = self.word.first().is_some_and(u8::is_ascii_digit);
        self.end(if is_number { Kind::Other } else { Kind::Word }, found)
    }

    /// Block comments nest.
    fn comment(
        &mut self,
        bytes: &[u8],
        depth: usize,
        before: u8,
        found: &mut impl FnMut(Piece<'_>),
    ) -> usize {
        let byte = bytes[0];
        let depth = match (before, byte) {
            (b'/', b'*') => depth + 1,
            (b'*', b'/') => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            found(Piece { kind: Kind::Comment, start: self.start, end: self.at + 1, word: &[] });
            return self.go_on(State::Normal);
        }
        let is_mark = matches!((before, byte), (b'/', b'*') | (b'*', b'/'));
        self.state = State::Comment { depth, before: if is_mark { 0 } else { byte } };
        match byte {
            b'/' | b'*' => 1,
            _ => memchr::memchr2(b'/', b'*', bytes).unwrap_or(bytes.len()),
        }
    }

    /// A doubled quote is a part of the text.
    fn quote(&mut self, bytes: &[u8], quote: u8, escapes: bool) -> usize {
        let end = match escapes {
            true => memchr::memchr2(quote, b'\\', bytes),
            false => memchr::memchr(quote, bytes),
        };
        let Some(end) = end else { return bytes.len() };
        self.state = match bytes[end] {
            b'\\' => State::Escaped { quote },
            _ => State::Quoted { quote, escapes },
        };
        end + 1
    }

    fn tag(&mut self, byte: u8, found: &mut impl FnMut(Piece<'_>)) -> usize {
        let is_first = self.word.len() == 1;
        if byte == b'$' && self.word.len() < WORD_BYTES_MAX {
            self.word.push(byte);
            found(Piece { kind: Kind::Other, start: self.start, end: self.at + 1, word: &[] });
            return self.go_on(State::Dollars { matched: 0 });
        }
        if is_of_word(byte) && !(is_first && byte.is_ascii_digit()) {
            return self.keep(&[byte]);
        }
        // A sign, and a word behind it.
        found(Piece { kind: Kind::Other, start: self.start, end: self.start + 1, word: &[] });
        self.word.remove(0);
        self.start += 1;
        self.state = if self.word.is_empty() { State::Normal } else { State::Word };
        0
    }

    fn dollars(&mut self, bytes: &[u8], matched: usize) -> usize {
        if matched == 0 {
            let Some(at) = memchr::memchr(b'$', bytes) else { return bytes.len() };
            self.state = State::Dollars { matched: 1 };
            return at + 1;
        }
        let matched = if self.word.get(matched) == Some(&bytes[0]) {
            matched + 1
        } else {
            usize::from(bytes[0] == b'$')
        };
        self.state = if matched == self.word.len() { State::Normal } else { State::Dollars { matched } };
        1
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `text`, read in parts of `length` bytes.
    fn pieces(text: &str, length: usize) -> (Vec<(Kind, u64)>, bool) {
        let mut lexer = Lexer::with_commands();
        let mut found = Vec::new();
        for part in text.as_bytes().chunks(length) {
            lexer.feed(part, |piece| found.push((piece.kind, piece.start)));
        }
        let is_whole = lexer.finish(|piece| found.push((piece.kind, piece.start)));
        (found, is_whole)
    }

    #[test]
    fn pieces_are_the_same_however_the_text_comes() {
        let text = "\u{feff}SELECT a$b$c /* x /* y; **/ z */;-- é;\r\n$1 $a.$b$ ; $b $b$ E'\\'; ' '\\' - / \"a;\"\"\"\n\\connect it's\n(x);";
        let (whole, is_whole) = pieces(text, text.len());
        assert!(is_whole);
        for length in 1..5 {
            assert_eq!(pieces(text, length), (whole.clone(), true), "in parts of {length}");
        }
        let kinds: Vec<Kind> = whole.iter().map(|(kind, _)| *kind).collect();
        use Kind::*;
        assert_eq!(
            kinds,
            [
                Word,
                Word,
                Comment,
                End,
                LineComment,
                Other,
                Other,
                Other,
                Word,
                Other,
                Other,
                Other,
                Other,
                Other,
                Other,
                Other,
                Command,
                Open,
                Word,
                Close,
                End
            ]
        );
    }

    #[test]
    fn what_does_not_end_is_told() {
        for text in ["'a", "\"a", "$$ a", "$x$ $y$", "/* /* */", "E'a\\'"] {
            assert!(!pieces(text, 2).1, "{text}");
        }
        for text in ["a", "-- a", "'a'", "$", "$x", "-", "\\q", "$x$ $x$"] {
            assert!(pieces(text, 2).1, "{text}");
        }
    }

    #[test]
    fn in_old_texts_every_backslash_takes_the_next_byte_along() {
        let mut lexer = Lexer { escapes: true, ..Lexer::default() };
        let mut kinds = Vec::new();
        lexer.feed(b"'a\\'; b';", |piece| kinds.push(piece.kind));
        assert_eq!(kinds, [Kind::Other, Kind::End]);
    }
}
