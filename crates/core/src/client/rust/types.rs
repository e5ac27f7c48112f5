//! What tables, enums and types are called in Rust.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    client::{
        GenerateError,
        names::{Style, identifiers, written},
        schema::{Schema, Type},
    },
    sql::{Ident, QualifiedName},
};

/// What everything is called.
pub(super) struct Names<'a> {
    schemas: HashMap<&'a str, String>,
    /// Tables' modules and enums' types, which share a namespace.
    pub(super) items: HashMap<&'a QualifiedName, String>,
    /// Enums' types, as seen from a table's module.
    pub(super) paths: HashMap<&'a QualifiedName, String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(schema: &'a Schema) -> Result<Self, GenerateError> {
        let schemas =
            identifiers("schemas", Style::Snake, schema_names(schema).into_iter().map(Ident::as_str))?;
        let mut items = HashMap::new();
        let mut paths = HashMap::new();
        for name in schema_names(schema) {
            let tables: Vec<&QualifiedName> =
                schema.tables.iter().map(|table| &table.name).filter(|table| table.schema == *name).collect();
            let enums: Vec<&QualifiedName> =
                schema.enums.iter().map(|item| &item.name).filter(|item| item.schema == *name).collect();
            let plain = |name: &&'a QualifiedName| name.name.as_str();
            let what = |kind| format!("{kind} of schema {}", name.as_str());
            let modules = identifiers(&what("tables"), Style::Snake, tables.iter().map(plain))?;
            let types = identifiers(&what("enums"), Style::Camel, enums.iter().map(plain))?;
            let module = written(&schemas[name.as_str()]);
            for table in tables {
                items.insert(table, modules[table.name.as_str()].clone());
            }
            let taken: HashSet<&String> = modules.values().collect();
            for item in enums {
                let own = types[item.name.as_str()].clone();
                if taken.contains(&own) {
                    let name = item.name.as_str().to_owned();
                    return Err(GenerateError::SameName { what: what("tables and enums"), name, rust: own });
                }
                paths.insert(item, format!("super::super::{module}::{own}"));
                items.insert(item, own);
            }
        }
        Ok(Self { schemas, items, paths })
    }

    pub(super) fn module(&self, schema: &Ident) -> String {
        written(&self.schemas[schema.as_str()])
    }
}

pub(super) fn schema_names(schema: &Schema) -> BTreeSet<&Ident> {
    let tables = schema.tables.iter().map(|table| &table.name.schema);
    tables.chain(schema.enums.iter().map(|item| &item.name.schema)).collect()
}

pub(super) fn array(element: Type) -> Type {
    Type::Array(Box::new(element))
}

/// The type of a value that a row holds.
pub(super) fn owned(kind: &Type, paths: &HashMap<&QualifiedName, String>) -> String {
    match kind {
        Type::Bool => "bool".into(),
        Type::Char => "i8".into(),
        Type::Int2 => "i16".into(),
        Type::Int4 => "i32".into(),
        Type::Int8 => "i64".into(),
        Type::Float4 => "f32".into(),
        Type::Float8 => "f64".into(),
        Type::Decimal => "::sqlx::types::Decimal".into(),
        Type::Numeric => "::sqlx::types::BigDecimal".into(),
        Type::Text | Type::AsText => "String".into(),
        Type::Bytea => "Vec<u8>".into(),
        Type::Date => "::sqlx::types::chrono::NaiveDate".into(),
        Type::Time => "::sqlx::types::chrono::NaiveTime".into(),
        Type::TimeTz => {
            "::sqlx::postgres::types::PgTimeTz<::sqlx::types::chrono::NaiveTime, ::sqlx::types::chrono::FixedOffset>"
                .into()
        }
        Type::Timestamp => "::sqlx::types::chrono::NaiveDateTime".into(),
        Type::TimestampTz => "::sqlx::types::chrono::DateTime<::sqlx::types::chrono::Utc>".into(),
        Type::Interval => "::sqlx::postgres::types::PgInterval".into(),
        Type::Json => "::sqlx::types::JsonValue".into(),
        Type::Uuid => "::sqlx::types::Uuid".into(),
        Type::Oid => "::sqlx::postgres::types::Oid".into(),
        Type::Range(element) => format!("::sqlx::postgres::types::PgRange<{}>", owned(element, paths)),
        Type::Enum(name) => paths[name].clone(),
        Type::Array(element) => format!("Vec<{}>", owned(element, paths)),
    }
}

/// The type of a parameter.
pub(super) fn borrowed(kind: &Type, paths: &HashMap<&QualifiedName, String>) -> String {
    match kind {
        Type::Text | Type::AsText => "&str".into(),
        Type::Bytea => "&[u8]".into(),
        Type::Array(element) => format!("&[{}]", owned(element, paths)),
        Type::Numeric | Type::Json | Type::Range(_) | Type::Interval | Type::TimeTz => {
            format!("&{}", owned(kind, paths))
        }
        _ => owned(kind, paths),
    }
}

/// The feature of sqlx that a type needs.
pub(super) fn feature(kind: &Type) -> Option<&'static str> {
    match kind {
        Type::Decimal => Some("rust_decimal"),
        Type::Numeric => Some("bigdecimal"),
        Type::Date | Type::Time | Type::TimeTz | Type::Timestamp | Type::TimestampTz => Some("chrono"),
        Type::Json => Some("json"),
        Type::Uuid => Some("uuid"),
        Type::Range(element) | Type::Array(element) => feature(element),
        _ => None,
    }
}
