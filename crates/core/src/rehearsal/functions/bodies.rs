//! The statements of functions in PL/pgSQL, each planned by itself: the server plans one when it comes to it, and no call
//! comes to all of them.
//!
//! Each is put, as `EXPLAIN` or as an answer of no rows, in a function of its own with the parameters and declarations of
//! the one that it is from, where the server gives its names their meaning.

use std::collections::BTreeSet;

use crate::sql::{Kind, Lexer, Piece};

/// What a made function ends with where its statement can be planned; no SQLSTATE of PostgreSQL's.
pub(in crate::rehearsal) const PLANNED: &str = "SF001";

/// The function that is made in place of another, in the session's own schema.
pub(super) const NAME: &str = "pg_temp.stockfoil_plan";

/// How statements begin that are planned as they are.
const STATEMENTS: [&str; 6] = ["insert", "update", "delete", "merge", "select", "with"];

/// A statement of a function's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// Its line in the body, from 1, as PL/pgSQL counts.
    pub(super) line: usize,
    /// Itself.
    pub(super) text: String,
    /// What plans it, as a statement of PL/pgSQL.
    pub(super) plan: String,
}

/// A function's body in its parts.
#[derive(Debug)]
pub(super) struct Body<'a> {
    source: &'a str,
    /// Without comments; a word is in small letters.
    tokens: Vec<Token>,
    /// Where the outermost BEGIN is among them.
    begin: usize,
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    at: usize,
    /// Of a word in small letters; of anything else its first character.
    word: String,
}

impl<'a> Body<'a> {
    /// Reads `source`; none where it has no BEGIN.
    pub(super) fn read(source: &'a str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut take = |piece: Piece<'_>| {
            let Ok(at) = usize::try_from(piece.start) else { return };
            let word = match piece.kind {
                Kind::LineComment | Kind::Comment => return,
                Kind::Word => String::from_utf8_lossy(piece.word).to_lowercase(),
                _ => source
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map(String::from)
                    .unwrap_or_default(),
            };
            tokens.push(Token { kind: piece.kind, at, word });
        };
        let mut lexer = Lexer::default();
        lexer.feed(source.as_bytes(), &mut take);
        lexer.finish(&mut take);
        let begin = tokens.iter().position(|token| token.is("begin"))?;
        Some(Self { source, tokens, begin })
    }

    /// The body that does nothing but `plan`, and where that works ends with [`PLANNED`]. `before` declares what the
    /// server declares for the one it is from.
    pub(super) fn with(&self, before: &str, plan: &str) -> String {
        let declarations = &self.source[..self.tokens[self.begin].at];
        let inner = format!("{declarations} BEGIN {plan} RAISE SQLSTATE '{PLANNED}'; END;");
        if before.is_empty() { inner } else { format!("DECLARE {before} BEGIN {inner} END;") }
    }

    /// Its statements and conditions, those in blocks of their own too, that name one of `names`, which are in small letters.
    pub(super) fn statements(&self, names: &BTreeSet<String>) -> Vec<Planned> {
        let mut found = Vec::new();
        let mut at = self.begin;
        while at < self.tokens.len() {
            if self.begins(at) {
                let planned = self.planned(at).filter(|planned| {
                    let text = planned.text.to_lowercase();
                    names.iter().any(|name| text.contains(name.as_str()))
                });
                found.extend(planned);
            }
            at += 1;
        }
        found
    }

    /// Whether a statement begins at a token.
    fn begins(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|before| self.tokens.get(before)) else { return false };
        let is_labelled = before.word == ">" && at > 1 && self.tokens[at - 2].word == ">";
        before.kind == Kind::End
            || is_labelled
            || ["begin", "then", "else", "loop"].iter().any(|word| before.is(word))
    }

    fn planned(&self, at: usize) -> Option<Planned> {
        let token = &self.tokens[at];
        let next = self.tokens.get(at + 1);
        let is_next = |word: &str| next.is_some_and(|next| next.is(word));
        let planned = |text: String| (explain(&text), text);
        let condition = |text: String| (explain(&format!("SELECT ({text})")), text);
        let end = self.end(at);
        let (plan, text) = match token.word.as_str() {
            _ if token.kind != Kind::Word => return None,
            "perform" => planned(format!("SELECT {}", self.text(at + 1, end))),
            "return" if is_next("query") => self.answer(at + 2)?,
            "return" if is_next("next") || next.is_none_or(|next| next.kind == Kind::End) => return None,
            "return" => condition(self.text(at + 1, end)),
            "for" | "open" => planned(self.looped(at)?),
            "if" | "elsif" | "elseif" => condition(self.text(at + 1, self.until(at, "then"))),
            "while" => condition(self.text(at + 1, self.until(at, "loop"))),
            word if STATEMENTS.contains(&word) => planned(self.text(at, end)),
            _ => {
                let assigned = (at..end).find(|&place| self.tokens[place].word == ":")?;
                // Behind both characters of the sign.
                condition(self.text(assigned, end).trim_start_matches([':', '=']).trim().to_owned())
            }
        };
        let line = self.source[..token.at].matches('\n').count() + 1;
        Some(Planned { line, text, plan })
    }

    /// What RETURN QUERY answers; nothing of one that is made when it runs.
    fn answer(&self, at: usize) -> Option<(String, String)> {
        let first = self.tokens.get(at).filter(|first| !first.is("execute"))?;
        let text = self.text(at, self.end(at));
        let is_query = ["select", "with", "values", "table"].iter().any(|word| first.is(word));
        let plan = if is_query && !self.changes(at) {
            format!("RETURN QUERY SELECT * FROM ({text}) AS stockfoil_query LIMIT 0;")
        } else {
            explain(&text)
        };
        Some((plan, text))
    }

    /// Whether the statement at a token changes rows.
    fn changes(&self, at: usize) -> bool {
        self.tokens[at..self.end(at)]
            .iter()
            .any(|token| ["insert", "update", "delete", "merge"].iter().any(|word| token.is(word)))
    }

    /// The statement of a loop or of a cursor.
    fn looped(&self, at: usize) -> Option<String> {
        let inner = (at + 2..self.end(at)).find(|&place| {
            let before = &self.tokens[place - 1];
            (before.is("in") || before.is("for")) && STATEMENTS.iter().any(|word| self.tokens[place].is(word))
        })?;
        Some(self.text(inner, self.until(inner, "loop")))
    }

    /// The semicolon behind the statement at a token.
    fn end(&self, at: usize) -> usize {
        (at..self.tokens.len())
            .find(|&place| self.tokens[place].kind == Kind::End)
            .unwrap_or(self.tokens.len())
    }

    /// The first such word behind a token, or the statement's end.
    fn until(&self, at: usize, word: &str) -> usize {
        let end = self.end(at);
        (at..end).find(|&place| self.tokens[place].is(word)).unwrap_or(end)
    }

    /// What stands from one token to another, without the targets of an INTO.
    fn text(&self, from: usize, to: usize) -> String {
        let position = |place: usize| self.tokens.get(place).map_or(self.source.len(), |token| token.at);
        let into = (from + 1..to).find(|&place| {
            let before = &self.tokens[place - 1];
            self.tokens[place].is("into") && !before.is("insert") && !before.is("merge")
        });
        let slice =
            |from: usize, to: usize| self.source.get(position(from)..position(to)).unwrap_or_default();
        let text = match into {
            Some(into) => format!("{} {}", slice(from, into), slice(self.behind_targets(into, to), to)),
            None => slice(from, to).to_owned(),
        };
        text.trim().to_owned()
    }

    fn behind_targets(&self, into: usize, to: usize) -> usize {
        let is = |place: usize, sign: &str| place < to && self.tokens[place].word == sign;
        let mut at = into + 1;
        if is(at, "strict") {
            at += 1;
        }
        loop {
            at += 1;
            while is(at, ".") || is(at, "[") {
                let closing = (at..to).find(|&place| is(place, "]"));
                at = if is(at, "[") { closing.map_or(to, |closing| closing + 1) } else { at + 2 };
            }
            if !is(at, ",") {
                return at.min(to);
            }
            at += 1;
        }
    }
}

/// A statement of PL/pgSQL that has the server plan another.
fn explain(sql: &str) -> String {
    format!("DECLARE stockfoil_line record; BEGIN FOR stockfoil_line IN EXPLAIN {sql} LOOP END LOOP; END;")
}

impl Token {
    fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.word == word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str, names: &[&str]) -> Vec<(usize, String)> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let body = Body::read(source).unwrap();
        body.statements(&names).into_iter().map(|planned| (planned.line, planned.text)).collect()
    }

    #[test]
    fn statements_are_found_wherever_they_stand() {
        let source = "
DECLARE n int; r record; -- items; BEGIN
BEGIN
    IF EXISTS (SELECT FROM items WHERE id = 'THEN;') THEN INSERT INTO archive SELECT * FROM items;
    ELSE SELECT i.name, 1 INTO STRICT r.name, n[1] FROM items AS i; END IF;
    <<here>> FOR r IN SELECT * FROM items LOOP
        PERFORM f(i) FROM items AS i; RAISE NOTICE 'items %', r;
    END LOOP;
    n := (SELECT count(*) FROM items);
    INSERT INTO items (id) VALUES ('x') RETURNING id INTO n;
    DELETE FROM others;
    EXECUTE 'DELETE FROM items';
    RETURN QUERY SELECT * FROM items;
    RETURN (SELECT 1 FROM items);
END";
        let expected = [
            (4, "EXISTS (SELECT FROM items WHERE id = 'THEN;')"),
            (4, "INSERT INTO archive SELECT * FROM items"),
            (5, "SELECT i.name, 1  FROM items AS i"),
            (6, "SELECT * FROM items"),
            (7, "SELECT f(i) FROM items AS i"),
            (9, "(SELECT count(*) FROM items)"),
            (10, "INSERT INTO items (id) VALUES ('x') RETURNING id"),
            (13, "SELECT * FROM items"),
            (14, "(SELECT 1 FROM items)"),
        ];
        let expected: Vec<(usize, String)> =
            expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
        assert_eq!(texts(source, &["items"]), expected);
        assert!(Body::read("SELECT 1").is_none());
    }

    #[test]
    fn no_text_panics() {
        for source in [
            "BEGIN",
            "BEGIN SELECT x INTO",
            "BEGIN FOR",
            "BEGIN RETURN",
            "BEGIN RETURN QUERY",
            "begin x :=",
            "BEGIN SELECT 1 INTO a.",
            "BEGIN SELECT 1 INTO a[",
            "BEGIN OPEN c FOR",
            "BEGIN $x$",
            "BEGIN 'é",
            "é BEGIN é",
        ] {
            texts(source, &[""]);
        }
    }
}
