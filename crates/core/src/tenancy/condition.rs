//! Which rows are meant: a small language of conditions over the columns of one table.
//!
//! `site = "North" and not (name like "*-old" or created_at < "2025-01-01")`. A column stands on the left, a literal on
//! the right; `*` in a literal stands for any characters and `\*` for a star; every other character stands for itself.
//! A condition never becomes SQL as it was written: its columns are looked up in the catalog, and its literals are
//! bind parameters, cast to the type of their column.

use std::fmt;

use crate::{
    catalog::TableColumn,
    model::joined,
    settings::nearest,
    sql::{Definition, Fixed, Fragment, Statement, render},
};

/// A text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Something else was expected.
    #[error(
        "the condition {text:?} holds {found} where {expected} should stand; write such as: site = \"North\" and name like \"A-*\""
    )]
    Unexpected {
        /// The condition.
        text: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A quote is never closed.
    #[error(
        "the condition {0:?} opens a quote that it does not close; close it, and write a quote inside twice"
    )]
    Quote(String),
    /// Parentheses within parentheses, without end.
    #[error("the condition {0:?} nests more than {DEPTH_MAX} parentheses; write it flatter")]
    TooDeep(String),
    /// The table has no such column.
    #[error("table {table} has no column {column:?}{}", .nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name:?}?")))]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
    /// A wildcard has no place there.
    #[error("{0:?} holds a wildcard, which only =, !=, in and like understand; write \\* for a star")]
    Wildcard(String),
}

/// How deep parentheses and `not` may nest.
const DEPTH_MAX: usize = 64;

/// A condition on the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare { column: String, operator: Operator, value: Literal },
    In { column: String, values: Vec<Literal> },
    IsNull { column: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A literal: its text, or the pattern of LIKE where it holds a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    Text(String),
    Pattern(String),
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0 };
        let node = parser.any()?;
        match parser.peek() {
            None => Ok(Self { text: text.to_owned(), node }),
            Some(_) => Err(parser.unexpected("and, or, or the end")),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Condition {
    /// The condition as SQL over a row `t` of `table`, whose literals are the elements of the text array `$1`, which
    /// are put into `values`.
    pub(super) fn sql(
        &self,
        table: &str,
        columns: &[TableColumn],
        values: &mut Vec<String>,
    ) -> Result<Statement, ConditionError> {
        Renderer { table, columns, values }.node(&self.node)
    }
}

struct Renderer<'a> {
    table: &'a str,
    columns: &'a [TableColumn],
    values: &'a mut Vec<String>,
}

impl Renderer<'_> {
    fn node(&mut self, node: &Node) -> Result<Statement, ConditionError> {
        Ok(match node {
            Node::All(nodes) => self.nodes(nodes, " AND ")?,
            Node::Any(nodes) => self.nodes(nodes, " OR ")?,
            Node::Not(node) => render("NOT {node}", &[("node", &self.node(node)?)]),
            Node::Compare { column, operator, value } => self.compare(column, *operator, value)?,
            Node::In { column, values } => {
                let each = values.iter().map(|value| self.compare(column, Operator::Equal, value));
                let each = each.collect::<Result<Vec<_>, _>>()?;
                render("({each})", &[("each", &joined(&each, " OR "))])
            }
            Node::IsNull { column } => {
                let column = &self.column(column)?.name;
                render("t.{column} IS NULL", &[("column", column)])
            }
        })
    }

    fn nodes(&mut self, nodes: &[Node], separator: &'static str) -> Result<Statement, ConditionError> {
        let each = nodes.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
        Ok(render("({each})", &[("each", &joined(&each, separator))]))
    }

    fn compare(
        &mut self,
        column: &str,
        operator: Operator,
        value: &Literal,
    ) -> Result<Statement, ConditionError> {
        let TableColumn { name, type_name, .. } = self.column(column)?.clone();
        let (text, template) = match (value, operator) {
            (Literal::Text(text), _) => (text, "t.{column} {operator} ($1::text[])[{place}]::{type}"),
            (Literal::Pattern(pattern), Operator::Equal) => {
                (pattern, "t.{column}::text LIKE ($1::text[])[{place}]")
            }
            (Literal::Pattern(pattern), _) => {
                return Err(ConditionError::Wildcard(pattern.replace('%', "*")));
            }
        };
        self.values.push(text.clone());
        let (place, operator) = (Definition::number(self.values.len()), operator.sql());
        let fragments: [(&str, &dyn Fragment); 4] =
            [("column", &name), ("operator", &operator), ("place", &place), ("type", &type_name)];
        Ok(render(template, &fragments))
    }

    fn column(&self, name: &str) -> Result<&TableColumn, ConditionError> {
        self.columns.iter().find(|column| column.name.as_str() == name).ok_or_else(|| {
            let known = self.columns.iter().map(|column| column.name.as_str());
            ConditionError::Column {
                table: self.table.to_owned(),
                column: name.to_owned(),
                nearest: nearest(name, known).map(str::to_owned),
            }
        })
    }
}

impl Operator {
    fn sql(self) -> Fixed {
        Fixed(match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word without quotes: a keyword, a column, a number.
    Word(String),
    /// What stood in single or double quotes.
    Quoted(String),
    /// An operator, a parenthesis, a comma.
    Sign(&'static str),
}

const SIGNS: [&str; 10] = ["<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ","];

fn tokens(text: &str) -> Result<Vec<Token>, ConditionError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '"' || first == '\'' {
            let mut word = String::new();
            rest = &rest[1..];
            loop {
                let end = rest.find(first).ok_or_else(|| ConditionError::Quote(text.to_owned()))?;
                word.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                // A quote inside is written twice.
                match rest.strip_prefix(first) {
                    Some(more) => {
                        word.push(first);
                        rest = more;
                    }
                    None => break,
                }
            }
            tokens.push(Token::Quoted(word));
        } else {
            let ends = |c: char| c.is_whitespace() || "\"'=<>!(),".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            if end == 0 {
                let error = ConditionError::Unexpected {
                    text: text.to_owned(),
                    found: format!("{first:?}"),
                    expected: "a column, an operator or a literal",
                };
                return Err(error);
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is);
        is
    }

    fn unexpected(&self, expected: &'static str) -> ConditionError {
        let found = match self.peek() {
            None => "nothing more".to_owned(),
            Some(Token::Word(word) | Token::Quoted(word)) => format!("{word:?}"),
            Some(Token::Sign(sign)) => format!("{sign:?}"),
        };
        ConditionError::Unexpected { text: self.text.to_owned(), found, expected }
    }

    fn any(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.all()?];
        while self.keyword("or") {
            nodes.push(self.all()?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.term()?];
        while self.keyword("and") {
            nodes.push(self.term()?);
        }
        Ok(Node::All(nodes))
    }

    fn term(&mut self) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ConditionError::TooDeep(self.text.to_owned()));
        }
        let node = if self.keyword("not") {
            Node::Not(Box::new(self.term()?))
        } else if self.sign("(") {
            let node = self.any()?;
            if !self.sign(")") {
                return Err(self.unexpected("a closing parenthesis"));
            }
            node
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, ConditionError> {
        let column = match self.peek() {
            Some(Token::Word(column) | Token::Quoted(column)) => column.clone(),
            _ => return Err(self.unexpected("a column")),
        };
        self.at += 1;
        if self.keyword("is") {
            let is_not = self.keyword("not");
            if !self.keyword("null") {
                return Err(self.unexpected("null"));
            }
            return Ok(not_if(is_not, Node::IsNull { column }));
        }
        let is_not = self.keyword("not");
        if self.keyword("in") {
            return Ok(not_if(is_not, Node::In { column, values: self.list()? }));
        }
        if self.keyword("like") {
            let value = self.literal()?;
            return Ok(not_if(is_not, Node::Compare { column, operator: Operator::Equal, value }));
        }
        let operators = [
            ("=", false, Operator::Equal),
            ("!=", true, Operator::Equal),
            ("<>", true, Operator::Equal),
            ("<=", false, Operator::LessOrEqual),
            (">=", false, Operator::GreaterOrEqual),
            ("<", false, Operator::Less),
            (">", false, Operator::Greater),
        ];
        match operators.into_iter().find(|(sign, ..)| !is_not && self.sign(sign)) {
            Some((_, negates, operator)) => {
                let value = self.literal()?;
                match value {
                    Literal::Pattern(pattern) if operator != Operator::Equal => {
                        Err(ConditionError::Wildcard(pattern.replace('%', "*")))
                    }
                    value => Ok(not_if(negates, Node::Compare { column, operator, value })),
                }
            }
            None if is_not => Err(self.unexpected("in or like")),
            None => Err(self.unexpected("=, !=, <, <=, >, >=, in, like or is")),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, ConditionError> {
        if !self.sign("(") {
            return Err(self.unexpected("a list in parentheses"));
        }
        let mut values = vec![self.literal()?];
        while self.sign(",") {
            values.push(self.literal()?);
        }
        if self.sign(")") { Ok(values) } else { Err(self.unexpected("a comma or a closing parenthesis")) }
    }

    fn literal(&mut self) -> Result<Literal, ConditionError> {
        let literal = match self.peek() {
            Some(Token::Quoted(text)) => literal(text),
            Some(Token::Word(word)) if is_bare_literal(word) => literal(word),
            _ => return Err(self.unexpected("a number, or a text in quotes,")),
        };
        self.at += 1;
        Ok(literal)
    }
}

fn not_if(negates: bool, node: Node) -> Node {
    if negates { Node::Not(Box::new(node)) } else { node }
}

/// Numbers and truth values need no quotes; a word might be meant for a column.
fn is_bare_literal(word: &str) -> bool {
    let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.')
        && word.contains(|c: char| c.is_ascii_digit());
    is_number || word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}

fn literal(text: &str) -> Literal {
    let (mut plain, mut pattern, mut is_pattern) = (String::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'*') => {
                letters.next();
                plain.push('*');
                pattern.push('*');
            }
            '*' => {
                is_pattern = true;
                pattern.push('%');
            }
            letter => {
                plain.push(letter);
                if matches!(letter, '%' | '_' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
        }
    }
    if is_pattern { Literal::Pattern(pattern) } else { Literal::Text(plain) }
}

#[cfg(test)]
mod tests;
