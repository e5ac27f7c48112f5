//! Dynamic SQL, claimed safe in this file alone.
//!
//! A statement is a template from the source code, filled with fragments that can't break out: quoted
//! identifiers, quoted literals, other statements, and definitions that PostgreSQL itself printed. Values
//! are bind parameters; a [`Literal`] is only for DDL, which takes none.

mod lexer;

pub(crate) use lexer::{Kind, Lexer, Piece};

use std::{fmt, sync::Arc};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// PostgreSQL's limit for an identifier, in bytes (NAMEDATALEN - 1).
pub const IDENT_BYTES_MAX: usize = 63;

/// Why a text can't be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// PostgreSQL has no empty identifiers.
    #[error("an empty name can't be an identifier; give the table or column its name")]
    Empty,
    /// PostgreSQL would cut it silently.
    #[error(
        "the name {0:?} is longer than {IDENT_BYTES_MAX} bytes; PostgreSQL would cut it, use a shorter one"
    )]
    TooLong(String),
    /// A zero byte can't be sent.
    #[error("the name {0:?} holds a zero byte; remove it")]
    ZeroByte(String),
    /// Double quotes don't enclose a part from its first character to its last.
    #[error(
        "the quotes of the name {0:?} don't match; write a quoted part as \"part\", and a quote in it twice"
    )]
    Quotes(String),
}

/// One SQL identifier; displays itself quoted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// Checks that `name` is what PostgreSQL would keep unchanged.
    ///
    /// # Errors
    /// When it is empty, holds a zero byte, or is longer than [`IDENT_BYTES_MAX`].
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        if name.is_empty() {
            Err(NameError::Empty)
        } else if name.contains('\0') {
            Err(NameError::ZeroByte(name))
        } else if name.len() > IDENT_BYTES_MAX {
            Err(NameError::TooLong(name))
        } else {
            Ok(Self(name))
        }
    }

    /// An identifier written in the source code.
    pub(crate) fn fixed(name: &'static str) -> Self {
        debug_assert!(!name.is_empty() && name.len() <= IDENT_BYTES_MAX);
        Self(name.to_owned())
    }

    /// Joins `parts` with `_`, as PostgreSQL names keys and indexes. A result over [`IDENT_BYTES_MAX`] is
    /// shortened to a prefix and a hash of the whole, so that two long names stay two.
    pub fn joined(parts: &[&str]) -> Self {
        let whole = parts.join("_").replace('\0', "");
        if whole.len() <= IDENT_BYTES_MAX {
            return Self(whole);
        }
        let suffix = format!("_{:08x}", fnv1a(whole.as_bytes()));
        let mut end = IDENT_BYTES_MAX - suffix.len();
        while !whole.is_char_boundary(end) {
            end -= 1;
        }
        Self(format!("{}{suffix}", &whole[..end]))
    }

    /// The name without quotes: for bind parameters and messages, never for SQL text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A table, function or type with its schema; displays itself quoted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Ident,
    /// The name inside the schema.
    pub name: Ident,
}

impl QualifiedName {
    /// `name` in `schema`.
    pub fn new(schema: Ident, name: Ident) -> Self {
        Self { schema, name }
    }

    /// The parts of a dotted name. A part in double quotes may hold dots, and a quote written twice; a part without
    /// them is taken as it is, with its case.
    ///
    /// # Errors
    /// When a part can't be an identifier.
    pub fn split(text: &str) -> Result<Vec<Ident>, NameError> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_part(quoted).ok_or_else(|| NameError::Quotes(text.to_owned()))?,
                None => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            if after.is_empty() || after.starts_with('.') {
                parts.push(Ident::new(part)?);
            } else {
                return Err(NameError::Quotes(text.to_owned()));
            }
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None => return Ok(parts),
            }
        }
    }

    /// The name for messages, unquoted; the schema is left out where it is `public`.
    pub fn plain(&self) -> String {
        match self.schema.as_str() {
            "public" => self.name.as_str().to_owned(),
            schema => format!("{schema}.{}", self.name.as_str()),
        }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl fmt::Debug for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads up to the closing quote: the part with its quotes undoubled, and what is behind it.
fn quoted_part(quoted: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let quote = rest.find('"')?;
        part.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, rest)),
        }
    }
}

/// A text as a quoted SQL literal, for statements that take no bind parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(String);

impl Literal {
    /// Quotes `text`; zero bytes, which PostgreSQL can't store, are dropped.
    pub fn new(text: &str) -> Self {
        Self(text.replace('\0', ""))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doubled = self.0.replace('\'', "''");
        if doubled.contains('\\') {
            write!(f, "E'{}'", doubled.replace('\\', "\\\\"))
        } else {
            write!(f, "'{doubled}'")
        }
    }
}

/// SQL that PostgreSQL printed from its own catalog (`pg_get_indexdef` and its like).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition(String);

impl Definition {
    /// Takes a text that came out of a `pg_get_*` function, unchanged.
    pub(crate) fn from_catalog(text: String) -> Self {
        Self(text)
    }

    /// A number, such as an array's subscript.
    pub(crate) fn number(number: usize) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An expression that a person wrote and PostgreSQL has not parsed yet.
///
/// It can break out of where it is put: only [the check of expressions](crate::mapping) puts it into statements,
/// which go by the extended protocol (one statement each) into a transaction that is rolled back, and whose result
/// is read back from the catalog as a [`Definition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unparsed<'a>(pub(crate) &'a str);

impl fmt::Display for Unparsed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl sealed::Sealed for Unparsed<'_> {}
impl Fragment for Unparsed<'_> {}

/// A piece of SQL from the source code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(pub &'static str);

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The place of the bind parameter with this number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param(pub usize);

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.0)
    }
}

/// A comma-separated list of fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Fragment> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What may stand in a template's place: only types whose `Display` is safe inside SQL. Sealed.
pub trait Fragment: fmt::Display + Send + Sync + sealed::Sealed {}

macro_rules! fragments {
    ($($type:ty),*) => { $(impl sealed::Sealed for $type {} impl Fragment for $type {})* };
}
fragments!(Ident, QualifiedName, Literal, Definition, Fixed, Param, Statement);
impl<T: Fragment + ?Sized> sealed::Sealed for &T {}
impl<T: Fragment + ?Sized> Fragment for &T {}
impl<T: Fragment> sealed::Sealed for List<T> {}
impl<T: Fragment> Fragment for List<T> {}

/// Rendered SQL, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(Arc<str>);

impl Statement {
    /// The text, as sqlx takes it.
    pub fn sql(&self) -> SqlStr {
        // Only `render` makes a Statement, from templates in the source and fragments that quote themselves.
        #[expect(clippy::disallowed_methods, reason = "the one place that claims dynamic SQL safe")]
        AssertSqlSafe(Arc::clone(&self.0)).into_sql_str()
    }

    /// The text, to show to a person.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts `fragments` into the `{name}` places of `template`.
///
/// A place whose name is not given stays as it is, which PostgreSQL then rejects; braces around anything
/// but a dotted lower-case name (`'{}'::jsonb`) are left alone.
pub fn render(template: &'static str, fragments: &[(&str, &dyn Fragment)]) -> Statement {
    render_by(template, |name| {
        fragments
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, fragment)| Box::new(*fragment) as Box<dyn Fragment>)
    })
}

/// As [`render`], with fragments that are made where the template names them.
pub(crate) fn render_by<'a>(
    template: &'static str,
    fragment: impl Fn(&str) -> Option<Box<dyn Fragment + 'a>>,
) -> Statement {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let place = rest[1..].find('}').map(|close| &rest[1..=close]);
        match place.and_then(|name| Some((name, fragment(name)?))) {
            Some((name, fragment)) => {
                out.push_str(&fragment.to_string());
                rest = &rest[name.len() + 2..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Statement(out.into())
}

/// All of `conditions`; "true" where there are none.
pub(crate) fn all_of(conditions: impl IntoIterator<Item = Statement>) -> Statement {
    conditions
        .into_iter()
        .reduce(|all, one| render("{all} AND {one}", &[("all", &all), ("one", &one)]))
        .unwrap_or_else(|| render("true", &[]))
}

/// 32-bit FNV-1a: enough to keep shortened names apart, and stable across versions.
pub(crate) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_quote_themselves() {
        assert_eq!(Ident::new(r#"a"b"#).unwrap().to_string(), r#""a""b""#);
        assert_eq!(Ident::new("select").unwrap().to_string(), r#""select""#);
        assert_eq!(Ident::new(""), Err(NameError::Empty));
        assert!(matches!(Ident::new("ä".repeat(32)), Err(NameError::TooLong(_))));
        assert!(matches!(Ident::new("a\0b"), Err(NameError::ZeroByte(_))));
    }

    #[test]
    fn long_names_are_shortened_and_stay_different() {
        let long = "é".repeat(40);
        let (a, b) = (Ident::joined(&[&long, "a_key"]), Ident::joined(&[&long, "b_key"]));
        assert!(a.as_str().len() <= IDENT_BYTES_MAX);
        assert_ne!(a, b);
        assert_eq!(Ident::joined(&["users", "org_id", "fkey"]).as_str(), "users_org_id_fkey");
    }

    #[test]
    fn literals_quote_themselves() {
        assert_eq!(Literal::new("it's").to_string(), "'it''s'");
        assert_eq!(Literal::new(r"a\'b").to_string(), r"E'a\\''b'");
    }

    #[test]
    fn templates_take_only_named_places() {
        let table = QualifiedName::new(Ident::fixed("public"), Ident::fixed("users"));
        let statement = render("SELECT '{}'::jsonb, '{x' FROM {table} -- {other}", &[("table", &table)]);
        assert_eq!(statement.as_str(), r#"SELECT '{}'::jsonb, '{x' FROM "public"."users" -- {other}"#);
    }

    #[test]
    fn a_fragment_is_not_a_template() {
        let name = Ident::new("{b}").unwrap();
        let statement = render("{a} {b}", &[("a", &name), ("b", &Fixed("x"))]);
        assert_eq!(statement.as_str(), r#""{b}" x"#);
    }
}
