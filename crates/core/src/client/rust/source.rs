//! The text of a Rust file: lines, comments and literals that hold whatever a name or a comment of the database holds.

use crate::{
    client::names::written,
    sql::{Ident, QualifiedName},
};

/// Lines of code and comment are broken before this column where they can be.
pub(super) const WIDTH: usize = 100;

/// The text of the file, line by line.
#[derive(Default)]
pub(super) struct Source {
    pub(super) text: String,
    pub(super) depth: usize,
}

impl Source {
    pub(super) fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&self.indent());
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    pub(super) fn indent(&self) -> String {
        "    ".repeat(self.depth)
    }

    pub(super) fn open(&mut self, line: &str) {
        self.line(line);
        self.depth += 1;
    }

    pub(super) fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    /// An empty line, but not before the first of a block.
    pub(super) fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.line("");
        }
    }

    /// A doc comment; paragraphs are apart by an empty line.
    pub(super) fn doc(&mut self, text: &str) {
        for (index, paragraph) in text.split("\n\n").enumerate() {
            if index > 0 {
                self.line("///");
            }
            let mut line = "///".to_owned();
            for word in paragraph.split(' ') {
                let full = self.depth * 4 + line.chars().count() + 1 + word.chars().count() > WIDTH;
                if full && line != "///" && !opens_block(word) {
                    self.line(&line);
                    line = "///".into();
                }
                line.push(' ');
                line.push_str(word);
            }
            self.line(line.trim_end());
        }
    }

    pub(super) fn function(&mut self, name: &str, parameters: &[String], result: &str) {
        let line = format!("pub async fn {}({}) -> {result} {{", written(name), parameters.join(", "));
        if self.depth * 4 + line.chars().count() <= WIDTH {
            self.open(&line);
            return;
        }
        self.open(&format!("pub async fn {}(", written(name)));
        for parameter in parameters {
            self.line(&format!("{parameter},"));
        }
        self.depth -= 1;
        self.open(&format!(") -> {result} {{"));
    }

    pub(super) fn statement(&mut self, name: &str, clauses: &[String]) {
        let literal = sql_literal(clauses, &format!("\n{}    ", self.indent()));
        self.line(&format!("const {name}: &str = concat!(\"SELECT \", columns!(), {literal});"));
    }

    /// A query, as a block's value or behind a match arm's `arm`.
    pub(super) fn query(&mut self, arm: &str, statement: &str, binds: &[String], fetch: &str) {
        let mut calls: Vec<String> = binds.iter().map(|bind| format!(".bind({bind})")).collect();
        calls.extend([format!(".{fetch}(conn)"), ".await".into()]);
        let query = format!("::sqlx::query_as({statement})");
        let end = if arm.is_empty() { "" } else { "," };
        let line = format!("{arm}{query}{}{end}", calls.concat());
        if self.depth * 4 + line.chars().count() <= WIDTH {
            self.line(&line);
            return;
        }
        self.open(&format!("{arm}{query}"));
        if let Some(last) = calls.last_mut() {
            last.push_str(end);
        }
        for call in &calls {
            self.line(call);
        }
        self.depth -= 1;
    }
}

/// SQL as a literal: raw, its further lines behind `indent`; escaped where a name holds what a raw literal can't,
/// what the compiler refuses to see, or the end of a line.
pub(super) fn sql_literal(lines: &[String], indent: &str) -> String {
    if lines.iter().any(|line| line.chars().any(|c| visible(c) != c.to_string())) {
        return format!("{:?}", lines.join("\n"));
    }
    let text = lines.join(indent);
    let hashes = |rest: &str| rest.chars().take_while(|c| *c == '#').count();
    let longest = text.split('"').skip(1).map(hashes).max().unwrap_or(0);
    let fence = "#".repeat(longest + 1);
    format!("r{fence}\"{text}\"{fence}")
}

/// The name with its schema, as a person writes it.
pub(super) fn full_name(name: &QualifiedName) -> String {
    format!("{}.{}", name.schema.as_str(), name.name.as_str())
}

pub(super) fn list(columns: &[Ident]) -> String {
    let names: Vec<String> = columns.iter().map(|column| code(column.as_str())).collect();
    match names.as_slice() {
        [name] => name.clone(),
        names => format!("({})", names.join(", ")),
    }
}

/// A text as code in Markdown, whatever it holds.
pub(super) fn code(text: &str) -> String {
    let text: String = text.chars().map(visible).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    match longest {
        _ if text.is_empty() => "the empty text".into(),
        0 => format!("`{text}`"),
        _ => format!("{fence} {text} {fence}"),
    }
}

/// A person's text as one paragraph of Markdown in which nothing but backticks is special: no code block that
/// rustdoc would compile, no link, no HTML, no list.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            let begins = out.is_empty() && matches!(c, '-' | '+' | '=' | '`');
            let numbers = matches!(c, '.' | ')') && out.chars().all(|c| c.is_ascii_digit());
            if begins || numbers || matches!(c, '\\' | '[' | ']' | '<' | '>' | '*' | '#' | '|' | '~' | '&') {
                out.push('\\');
            }
            out.push_str(&visible(c));
        }
    }
    out
}

/// The character, or an escape where the compiler or a reader would stumble over it.
pub(super) fn visible(c: char) -> String {
    let escaped: String = c.escape_debug().collect();
    match c {
        '"' | '\'' | '\\' => c.into(),
        _ => escaped,
    }
}

/// Whether a line of Markdown that begins with `word` could be more than text.
pub(super) fn opens_block(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_alphabetic() || c == '(' || c == '`') || word.starts_with("```")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_prose() {
        assert_eq!(prose("# a\n\n    let x = [1];\n* b <i>"), r"\# a let x = \[1\]; \* b \<i\>");
        assert_eq!(prose("a \u{202e}b"), "a \\u{202e}b");
        assert_eq!(prose("- a - b"), r"\- a - b");
        assert_eq!(prose("12. a 3. b"), r"12\. a 3. b");
        assert_eq!(prose("```rust"), r"\```rust");
        let mut out = Source::default();
        out.doc(&format!("{} 1. {} - x", "a".repeat(96), "b".repeat(96)));
        assert!(out.text.lines().all(|line| !opens_block(&line[4..])), "{}", out.text);
    }

    #[test]
    fn code_holds_backticks() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(code("a\nb"), r"`a\nb`");
    }

    #[test]
    fn sql_is_a_literal_whatever_a_name_holds() {
        let literal = |line: &str| sql_literal(&["SELECT".to_owned(), line.to_owned()], "\n  ");
        assert_eq!(literal("\"a\""), "r#\"SELECT\n  \"a\"\"#");
        assert_eq!(literal("\"a\"\"##\""), "r###\"SELECT\n  \"a\"\"##\"\"###");
        assert_eq!(literal("\"a\tb\""), r#""SELECT\n\"a\tb\"""#);
        assert_eq!(literal("\"a\nb\""), r#""SELECT\n\"a\nb\"""#);
    }
}
