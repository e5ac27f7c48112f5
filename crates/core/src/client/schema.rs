//! The schema of a database as plain values, in an order that depends on names alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Connection as _, PgConnection, postgres::types::Oid};

use super::GenerateError;
use crate::{
    Error,
    db::{Context as _, Db},
    mapping::Mapping,
    sql::{Ident, QualifiedName},
};

/// Domains of domains and arrays of domains end here; PostgreSQL allows no cycle, so this is never reached.
const TYPE_DEPTH_MAX: usize = 32;

/// The most digits that a 96-bit decimal holds, whatever they are.
const DECIMAL_DIGITS_MAX: i32 = 28;

/// The tables and enums of some schemas.
#[derive(Debug)]
pub(super) struct Schema {
    /// By schema and name.
    pub(super) tables: Vec<Table>,
    /// By schema and name: those of the schemas, and those of other schemas that a column has.
    pub(super) enums: Vec<Enum>,
    /// The type of an organization's id; none where nothing is tenant-scoped.
    pub(super) org: Option<Resolved>,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: QualifiedName,
    pub(super) comment: Option<String>,
    /// By name.
    pub(super) columns: Vec<Column>,
    /// The primary key first, then by columns.
    pub(super) keys: Vec<Key>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// The column that says whose a row is; none where rows are nobody's.
    pub(super) org_column: Option<Ident>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: Ident,
    /// Its type as PostgreSQL prints it.
    pub(super) declared: String,
    pub(super) resolved: Resolved,
    pub(super) nullable: bool,
    /// Computed by the database from other columns.
    pub(super) generated: bool,
    /// Numbered by the database.
    pub(super) identity: bool,
    pub(super) comment: Option<String>,
    /// Whether it holds an organization's id.
    pub(super) is_org_id: bool,
}

/// A type with its domains seen through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) kind: Type,
    /// What a client must cast it to in order to read it; none where the type is read as it is.
    pub(super) read_as: Option<String>,
    /// What a parameter must be cast to in order to be compared with it; none where it compares as it is.
    pub(super) compare_as: Option<String>,
}

/// A type as a client can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Char,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// A numeric of at most 28 digits.
    Decimal,
    /// Any other numeric.
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Uuid,
    Oid,
    Range(Box<Type>),
    Enum(QualifiedName),
    Array(Box<Type>),
    /// A type that clients have no value for, read as PostgreSQL's text for it.
    AsText,
}

/// A primary key or a unique key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) is_primary: bool,
    /// In the key's order.
    pub(super) columns: Vec<Ident>,
}

/// A foreign key.
#[derive(Debug)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<Ident>,
    pub(super) table: QualifiedName,
    pub(super) foreign_columns: Vec<Ident>,
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: QualifiedName,
    pub(super) comment: Option<String>,
    /// In the enum's own order.
    pub(super) labels: Vec<String>,
}

impl Table {
    /// The column `name`.
    pub(super) fn column(&self, name: &Ident) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == *name)
    }
}

impl Schema {
    /// Reads `schemas` in one snapshot. A schema that isn't there has no tables.
    pub(super) async fn read(db: &Db, mapping: &Mapping, schemas: &[Ident]) -> Result<Self, Error> {
        let mut schema = Self::read_unmapped(db, schemas).await?;
        schema.org = mark_organizations(&mut schema.tables, mapping)?;
        Ok(schema)
    }

    /// The same for a database of which nobody has said yet what its tables are: no column holds an organization's
    /// id.
    pub(super) async fn read_unmapped(db: &Db, schemas: &[Ident]) -> Result<Self, Error> {
        let mut session = db.session().await?;
        let rows = Rows::read(&mut session, schemas).await?;
        session.close().await?;
        rows.into_schema()
    }
}

#[derive(sqlx::FromRow)]
struct ColumnRow {
    schema_name: String,
    table_name: String,
    column_name: String,
    type_oid: Oid,
    type_modifier: i32,
    declared: String,
    not_null: bool,
    generated: bool,
    identity: bool,
    comment: Option<String>,
}

#[derive(sqlx::FromRow)]
struct TypeRow {
    oid: Oid,
    schema_name: String,
    type_name: String,
    kind: String,
    base_oid: Oid,
    base_modifier: i32,
    element_oid: Oid,
    labels: Vec<String>,
    comment: Option<String>,
    wanted: bool,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    schema_name: String,
    table_name: String,
    is_primary: bool,
    columns: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct ForeignKeyRow {
    schema_name: String,
    table_name: String,
    foreign_schema: String,
    foreign_table: String,
    columns: Vec<String>,
    foreign_columns: Vec<String>,
}

/// What the catalog says, row by row.
struct Rows {
    tables: Vec<(String, String, Option<String>)>,
    columns: Vec<ColumnRow>,
    types: Types,
    keys: Vec<KeyRow>,
    foreign_keys: Vec<ForeignKeyRow>,
}

impl Rows {
    async fn read(session: &mut PgConnection, schemas: &[Ident]) -> Result<Self, Error> {
        let schemas: Vec<&str> = schemas.iter().map(Ident::as_str).collect();
        let mut snapshot = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        sqlx::query("SELECT set_config('search_path', '', true)").execute(&mut *snapshot).await?;
        let tables = sqlx::query_as(include_str!("tables.sql"))
            .bind(&schemas)
            .fetch_all(&mut *snapshot)
            .await
            .context("read the tables from the catalog")?;
        let columns = sqlx::query_as(include_str!("columns.sql"))
            .bind(&schemas)
            .fetch_all(&mut *snapshot)
            .await
            .context("read the columns from the catalog")?;
        let types: Vec<TypeRow> = sqlx::query_as(include_str!("types.sql"))
            .bind(&schemas)
            .fetch_all(&mut *snapshot)
            .await
            .context("read the types from the catalog")?;
        let keys = sqlx::query_as(include_str!("keys.sql"))
            .bind(&schemas)
            .fetch_all(&mut *snapshot)
            .await
            .context("read the keys from the catalog")?;
        let foreign_keys = sqlx::query_as(include_str!("foreign_keys.sql"))
            .bind(&schemas)
            .fetch_all(&mut *snapshot)
            .await
            .context("read the foreign keys from the catalog")?;
        snapshot.rollback().await?;
        let types = Types(types.into_iter().map(|row| (row.oid, row)).collect());
        Ok(Self { tables, columns, types, keys, foreign_keys })
    }

    fn into_schema(self) -> Result<Schema, Error> {
        let mut tables = BTreeMap::new();
        for (schema, name, comment) in self.tables {
            let name = qualified(schema, name)?;
            let table = Table {
                name: name.clone(),
                comment,
                columns: Vec::new(),
                keys: Vec::new(),
                foreign_keys: Vec::new(),
                org_column: None,
            };
            tables.insert(name, table);
        }
        let mut used = BTreeSet::new();
        for row in self.columns {
            let Some(table) = tables.get_mut(&qualified(row.schema_name, row.table_name)?) else { continue };
            let resolved = self.types.resolve(row.type_oid, row.type_modifier, 0)?;
            collect_enums(&resolved.kind, &mut used);
            table.columns.push(Column {
                name: Ident::new(row.column_name)?,
                declared: row.declared,
                resolved,
                nullable: !row.not_null,
                generated: row.generated,
                identity: row.identity,
                comment: row.comment,
                is_org_id: false,
            });
        }
        for row in self.keys {
            if let Some(table) = tables.get_mut(&qualified(row.schema_name, row.table_name)?) {
                table.keys.push(Key { is_primary: row.is_primary, columns: idents(row.columns)? });
            }
        }
        for row in self.foreign_keys {
            if let Some(table) = tables.get_mut(&qualified(row.schema_name, row.table_name)?) {
                table.foreign_keys.push(ForeignKey {
                    columns: idents(row.columns)?,
                    table: qualified(row.foreign_schema, row.foreign_table)?,
                    foreign_columns: idents(row.foreign_columns)?,
                });
            }
        }
        // Nothing can be read from a table without columns.
        let tables = tables.into_values().filter(|table| !table.columns.is_empty()).collect();
        Ok(Schema { tables, enums: self.types.enums(&used)?, org: None })
    }
}

/// Finds the columns that hold an organization's id, and the type that they all have.
fn mark_organizations(tables: &mut [Table], mapping: &Mapping) -> Result<Option<Resolved>, GenerateError> {
    let mut first: Option<(String, Resolved)> = None;
    // The organizations say what an id is, where there are any.
    tables.sort_by_key(|table| table.name != mapping.organizations());
    for table in &mut *tables {
        let is_organizations = table.name == mapping.organizations();
        let id = Ident::fixed("id");
        let own = if is_organizations { &id } else { mapping.org_column() };
        let Some(column) = table.column(own) else { continue };
        let place = format!("{}.{}", table.name.plain(), column.name.as_str());
        match &first {
            None if !matches!(
                column.resolved.kind,
                Type::Text | Type::Uuid | Type::Int2 | Type::Int4 | Type::Int8
            ) =>
            {
                return Err(GenerateError::OrgType { column: place, declared: column.declared.clone() });
            }
            None => first = Some((place, column.resolved.clone())),
            Some((of, expected)) if expected.kind != column.resolved.kind => {
                return Err(GenerateError::OrgTypes {
                    column: place,
                    declared: column.declared.clone(),
                    of: of.clone(),
                });
            }
            Some(_) => {}
        }
        if !is_organizations {
            table.org_column = Some(mapping.org_column().clone());
        }
        let references: Vec<Ident> = table
            .foreign_keys
            .iter()
            .filter(|key| key.table == mapping.organizations() && key.foreign_columns == [Ident::fixed("id")])
            .flat_map(|key| key.columns.clone())
            .collect();
        let own = own.clone();
        for column in &mut table.columns {
            let refers = references.contains(&column.name)
                && first.as_ref().is_some_and(|(_, id)| id.kind == column.resolved.kind);
            column.is_org_id = column.name == own || refers;
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(first.map(|(_, resolved)| resolved))
}

fn collect_enums(kind: &Type, used: &mut BTreeSet<QualifiedName>) {
    match kind {
        Type::Enum(name) => {
            used.insert(name.clone());
        }
        Type::Array(element) => collect_enums(element, used),
        _ => {}
    }
}

fn qualified(schema: String, name: String) -> Result<QualifiedName, Error> {
    Ok(QualifiedName::new(Ident::new(schema)?, Ident::new(name)?))
}

fn idents(names: Vec<String>) -> Result<Vec<Ident>, Error> {
    Ok(names.into_iter().map(Ident::new).collect::<Result<_, _>>()?)
}

/// The catalog's types.
struct Types(HashMap<Oid, TypeRow>);

impl Types {
    /// The enums of the wanted schemas and the `used` ones, by name.
    fn enums(&self, used: &BTreeSet<QualifiedName>) -> Result<Vec<Enum>, Error> {
        let mut enums = Vec::new();
        for row in self.0.values().filter(|row| row.kind == "e" && !row.labels.is_empty()) {
            let name = qualified(row.schema_name.clone(), row.type_name.clone())?;
            if row.wanted || used.contains(&name) {
                enums.push(Enum { name, comment: row.comment.clone(), labels: row.labels.clone() });
            }
        }
        enums.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(enums)
    }

    fn resolve(&self, oid: Oid, modifier: i32, depth: usize) -> Result<Resolved, Error> {
        let Some(row) = self.0.get(&oid).filter(|_| depth < TYPE_DEPTH_MAX) else {
            return Ok(Resolved { kind: Type::AsText, read_as: Some("text".into()), compare_as: None });
        };
        let name = qualified(row.schema_name.clone(), row.type_name.clone())?;
        if row.kind == "d" {
            let modifier = if row.base_modifier == -1 { modifier } else { row.base_modifier };
            let base = self.resolve(row.base_oid, modifier, depth + 1)?;
            // A cast to the base type, so that a client never has to ask what the domain is.
            let base_name =
                self.0.get(&row.base_oid).map(|row| (row.schema_name.clone(), row.type_name.clone()));
            let read_as = match (base.read_as, base_name) {
                (None, Some((schema, name))) => Some(qualified(schema, name)?.to_string()),
                (read_as, _) => read_as,
            };
            return Ok(Resolved { kind: base.kind, read_as, compare_as: base.compare_as });
        }
        if row.element_oid.0 != 0 {
            let element = self.resolve(row.element_oid, modifier, depth + 1)?;
            if !matches!(element.kind, Type::Array(_)) {
                let array = |cast: String| cast + "[]";
                return Ok(Resolved {
                    kind: Type::Array(Box::new(element.kind)),
                    read_as: element.read_as.map(array),
                    compare_as: element.compare_as.map(array),
                });
            }
        }
        let builtin = match row.schema_name.as_str() {
            "pg_catalog" => builtin(&row.type_name, modifier),
            _ => None,
        };
        Ok(match builtin {
            // A text parameter would be compared as text, blanks and all.
            Some(kind) if row.type_name == "bpchar" => {
                Resolved { kind, read_as: None, compare_as: Some("bpchar".into()) }
            }
            Some(kind) => Resolved { kind, read_as: None, compare_as: None },
            None => {
                let is_enum = row.kind == "e" && !row.labels.is_empty();
                let compare_as = Some(format!("text::{name}"));
                let kind = if is_enum { Type::Enum(name) } else { Type::AsText };
                Resolved { kind, read_as: Some("text".into()), compare_as }
            }
        })
    }
}

/// The types that are read as they are.
fn builtin(name: &str, modifier: i32) -> Option<Type> {
    let range = |element| Some(Type::Range(Box::new(element)));
    Some(match name {
        "bool" => Type::Bool,
        "char" => Type::Char,
        "int2" => Type::Int2,
        "int4" => Type::Int4,
        "int8" => Type::Int8,
        "float4" => Type::Float4,
        "float8" => Type::Float8,
        "numeric" if fits_decimal(modifier) => Type::Decimal,
        "numeric" => Type::Numeric,
        "text" | "varchar" | "bpchar" | "name" => Type::Text,
        "bytea" => Type::Bytea,
        "date" => Type::Date,
        "time" => Type::Time,
        "timetz" => Type::TimeTz,
        "timestamp" => Type::Timestamp,
        "timestamptz" => Type::TimestampTz,
        "interval" => Type::Interval,
        "json" | "jsonb" => Type::Json,
        "uuid" => Type::Uuid,
        "oid" => Type::Oid,
        "int4range" => return range(Type::Int4),
        "int8range" => return range(Type::Int8),
        "numrange" => return range(Type::Numeric),
        "daterange" => return range(Type::Date),
        "tsrange" => return range(Type::Timestamp),
        "tstzrange" => return range(Type::TimestampTz),
        _ => return None,
    })
}

/// Whether every value of `numeric(precision, scale)` fits a 96-bit decimal; the modifier packs both
/// (`make_numeric_typmod` in PostgreSQL's numeric.c).
fn fits_decimal(modifier: i32) -> bool {
    const HEADER_BYTES: i32 = 4;
    if modifier < HEADER_BYTES {
        return false;
    }
    let packed = modifier - HEADER_BYTES;
    let precision = (packed >> 16) & 0xffff;
    // Eleven bits, signed.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    precision.max(scale) - scale.min(0) <= DECIMAL_DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_a_decimal_while_every_value_fits() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (precision, scale, fits) in [
            (18, 6, true),
            (28, 0, true),
            (28, 28, true),
            (29, 0, false),
            (5, -20, true),
            (9, -20, false),
            (3, 29, false),
            (3, 28, true),
        ] {
            assert_eq!(fits_decimal(modifier(precision, scale)), fits, "numeric({precision},{scale})");
        }
        assert!(!fits_decimal(-1), "numeric");
    }
}
