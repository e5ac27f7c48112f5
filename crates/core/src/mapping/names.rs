//! Names as a person says them, and where.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    settings::ConfigError,
    sql::{Ident, QualifiedName},
};

/// Where something was said: a key, and its line in the configuration file unless it is a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file and the line.
    pub(super) file: Option<(Arc<Path>, usize)>,
    /// The key, with its section.
    pub(super) key: &'static str,
}

impl Place {
    /// Whether nobody said it, and it is the default model's.
    pub fn is_default(&self) -> bool {
        self.file.is_none()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some((path, line)) => {
                write!(f, "configuration file {}: line {line}: {}", path.display(), self.key)
            }
            None => write!(f, "{} (the default)", self.key),
        }
    }
}

/// A value, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was said.
    pub place: Place,
}

/// A table's name, with its schema if that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema; none means the first of the mapping's schemas that has the table.
    pub schema: Option<Ident>,
    /// The name.
    pub name: Ident,
}

impl TableName {
    /// The name for messages, unquoted.
    pub(super) fn plain(&self) -> String {
        match &self.schema {
            Some(schema) => QualifiedName::new(schema.clone(), self.name.clone()).plain(),
            None => self.name.as_str().to_owned(),
        }
    }

    /// The table in its own schema, else in `schema`.
    pub(super) fn within(&self, schema: &Ident) -> QualifiedName {
        QualifiedName::new(self.schema.as_ref().unwrap_or(schema).clone(), self.name.clone())
    }
}

/// What stands for a part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A column of the ledger.
    Column(Ident),
    /// SQL over a row of the ledger, as a person wrote it: nothing is known of it before PostgreSQL has parsed it.
    Sql(String),
}

pub(super) fn refused(place: &Place, reason: &str) -> ConfigError {
    match &place.file {
        Some((path, line)) => ConfigError::File {
            path: path.to_path_buf(),
            reason: format!("line {line}: {}: {reason}", place.key),
        },
        None => ConfigError::Value { name: place.key.into(), reason: reason.into() },
    }
}

pub(super) fn parse_column(text: &str) -> Result<Ident, String> {
    Ident::new(text).map_err(|error| error.to_string())
}

/// Reads `table` or `schema.table`; a part with a dot or a quote is written as in SQL, in double quotes.
pub(super) fn parse_table(text: &str) -> Result<TableName, String> {
    let parts = QualifiedName::split(text).map_err(|error| error.to_string())?;
    match <[Ident; 2]>::try_from(parts) {
        Ok([schema, name]) => Ok(TableName { schema: Some(schema), name }),
        Err(parts) => match <[Ident; 1]>::try_from(parts) {
            Ok([name]) => Ok(TableName { schema: None, name }),
            Err(_) => Err(format!(
                "{text:?} is not table or schema.table; write a part that has a dot in it in double quotes"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (Option<String>, String) {
        let name = parse_table(text).unwrap();
        (name.schema.map(|schema| schema.as_str().into()), name.name.as_str().into())
    }

    #[test]
    fn tables_are_named_with_or_without_their_schema() {
        assert_eq!(table("User"), (None, "User".into()));
        assert_eq!(table("north.stock"), (Some("north".into()), "stock".into()));
        assert_eq!(table(r#""a.b"."c""d""#), (Some("a.b".into()), "c\"d".into()));
        for text in ["a.b.c", "", ".a", "a.", "\"a", "\"a\"b"] {
            assert!(parse_table(text).is_err(), "{text:?}");
        }
    }
}
