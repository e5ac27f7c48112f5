//! What is known of a table before a row is read.

use sqlx::{Postgres, Transaction};

use super::refused;
use crate::{
    Error,
    mapping::Mapping,
    sql::{Definition, Ident, QualifiedName},
};

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// A partitioned table, with all of its partitions.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
}

/// Whose a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The application's.
    Inventory,
    /// Stockfoil's own.
    Stockfoil,
}

/// A table or view.
#[derive(Debug, Clone)]
pub struct Relation {
    oid: i64,
    /// Its name.
    pub name: QualifiedName,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub group: Group,
    /// Its comment.
    pub comment: Option<String>,
    /// Bytes on disk, indexes included; 0 for a view.
    pub bytes: i64,
    /// Bytes of the rows alone.
    pub(super) heap_bytes: i64,
    /// The rows that the last ANALYZE counted; `None` before the first.
    pub(super) rows_estimate: Option<i64>,
    /// Whether this role may read any of it.
    pub is_readable: bool,
    /// Whether row-level security holds this role back.
    pub has_row_security: bool,
    /// The column that says which organization a row is of, and its type.
    pub(super) scope: Option<(Ident, Definition)>,
}

impl Relation {
    /// Whether its rows are organizations' own.
    pub fn is_scoped(&self) -> bool {
        self.scope.is_some()
    }
}

/// The operators of a column's type, qualified.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) less: Definition,
    pub(super) less_equal: Definition,
    pub(super) equal: Definition,
    pub(super) greater_equal: Definition,
    pub(super) greater: Definition,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// Its type, as PostgreSQL writes it.
    pub type_name: String,
    /// Whether its values are numbers.
    pub is_number: bool,
    /// Whether its values are JSON.
    pub is_json: bool,
    /// Whether it can't be NULL.
    pub not_null: bool,
    /// Its default, or "identity" or "generated: ...".
    pub default_value: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Whether this role may read it.
    pub is_readable: bool,
    /// The type below any domains, without length or scale, as a cast takes it.
    pub(super) base_type: Definition,
    pub(super) order: Option<Order>,
}

impl Column {
    /// Whether rows can be sorted by it and compared with greater and less.
    pub fn is_ordered(&self) -> bool {
        self.order.is_some() && self.is_readable
    }

    /// A row's place in the table: names a row, until it is updated, where no key does.
    fn place() -> Self {
        let operator = |text: &str| Definition::from_catalog(format!("OPERATOR(pg_catalog.{text})"));
        Self {
            name: Ident::fixed("ctid"),
            type_name: "tid".into(),
            is_number: false,
            is_json: false,
            not_null: true,
            default_value: None,
            comment: None,
            is_readable: true,
            base_type: Definition::from_catalog("pg_catalog.tid".into()),
            order: Some(Order {
                less: operator("<"),
                less_equal: operator("<="),
                equal: operator("="),
                greater_equal: operator(">="),
                greater: operator(">"),
            }),
        }
    }
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The referring table.
    pub from: QualifiedName,
    /// The referring columns.
    pub from_columns: Vec<Ident>,
    /// The referenced table.
    pub to: QualifiedName,
    /// The referenced columns, in the order of the referring ones.
    pub to_columns: Vec<Ident>,
    /// For each column the operator that takes a referenced value and a referring one.
    pub(super) equal: Vec<Definition>,
    /// The column of the referenced table that tells a person which row is meant.
    pub(super) label: Option<Ident>,
    /// Whether an index of the referring table begins with one of the columns.
    pub(super) is_indexed: bool,
}

/// A relation with its columns and keys.
#[derive(Debug, Clone)]
pub struct Table {
    /// The relation.
    pub relation: Relation,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns that name one row; empty where nothing does.
    pub key: Vec<Column>,
    /// What it refers to; keys of one column first.
    pub references: Vec<ForeignKey>,
    /// What refers to it.
    pub referrers: Vec<ForeignKey>,
}

impl Table {
    /// The column `name`; a table without a key also has the place of a row in it.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().chain(&self.key).find(|column| column.name.as_str() == name)
    }

    /// Whether `column` is part of the key.
    pub fn is_key(&self, column: &Column) -> bool {
        self.key.iter().any(|key| key.name == column.name)
    }

    /// Whether the key is only a row's place in the table.
    pub fn is_keyed_by_place(&self) -> bool {
        self.key.iter().any(|key| !self.columns.iter().any(|column| column.name == key.name))
    }

    /// The foreign key that `column` is followed by: the one with the fewest columns.
    pub fn reference(&self, column: &Column) -> Option<&ForeignKey> {
        self.references.iter().find(|key| key.from_columns.contains(&column.name))
    }
}

/// Every relation of the database, by schema and name.
pub(super) async fn all(
    tx: &mut Transaction<'static, Postgres>,
    mapping: &Mapping,
) -> Result<Vec<Relation>, Error> {
    let found: Vec<RelationRow> = sqlx::query_as(include_str!("relations.sql"))
        .persistent(false)
        .bind(mapping.org_column().as_str())
        .bind(mapping.organizations().schema.as_str())
        .bind(mapping.organizations().name.as_str())
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| refused("list the tables", error))?;
    found.into_iter().map(|row| row.relation(mapping)).collect()
}

/// The columns and keys of `relation`.
pub(super) async fn describe(
    tx: &mut Transaction<'static, Postgres>,
    relation: Relation,
) -> Result<Table, Error> {
    let columns: Vec<ColumnRow> = sqlx::query_as(include_str!("columns.sql"))
        .persistent(false)
        .bind(relation.oid)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| refused("read the columns", error))?;
    let columns: Vec<Column> = columns.into_iter().map(ColumnRow::column).collect::<Result<_, _>>()?;
    let key: Vec<String> = sqlx::query_scalar(include_str!("key.sql"))
        .persistent(false)
        .bind(relation.oid)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| refused("read the primary key", error))?;
    let key: Vec<Column> = key
        .iter()
        .filter_map(|name| columns.iter().find(|column| column.name.as_str() == name))
        .cloned()
        .collect();
    let key = match relation.kind {
        _ if !key.is_empty() && key.iter().all(Column::is_ordered) => key,
        Kind::Table | Kind::MaterializedView => vec![Column::place()],
        _ => Vec::new(),
    };
    let keys: Vec<ForeignKeyRow> = sqlx::query_as(include_str!("foreign_keys.sql"))
        .persistent(false)
        .bind(relation.oid)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| refused("read the foreign keys", error))?;
    let (mut references, mut referrers) = (Vec::new(), Vec::new());
    for row in keys {
        let (outgoing, incoming) = (row.outgoing, row.incoming);
        let key = row.foreign_key()?;
        if incoming {
            referrers.push(key.clone());
        }
        if outgoing {
            references.push(key);
        }
    }
    Ok(Table { relation, columns, key, references, referrers })
}

#[derive(sqlx::FromRow)]
struct RelationRow {
    oid: i64,
    schema: String,
    name: String,
    kind: String,
    comment: Option<String>,
    bytes: i64,
    heap_bytes: i64,
    rows_estimate: Option<i64>,
    readable: bool,
    row_security: bool,
    scope_column: Option<String>,
    scope_type: Option<String>,
}

impl RelationRow {
    fn relation(self, mapping: &Mapping) -> Result<Relation, Error> {
        let name = QualifiedName::new(Ident::new(self.schema)?, Ident::new(self.name)?);
        let own = [mapping.organizations(), mapping.api_keys(), mapping.balances()].contains(&name)
            || name.schema.as_str() == "stockfoil";
        Ok(Relation {
            oid: self.oid,
            kind: match self.kind.as_str() {
                "p" => Kind::Partitioned,
                "v" => Kind::View,
                "m" => Kind::MaterializedView,
                "f" => Kind::Foreign,
                _ => Kind::Table,
            },
            group: if own { Group::Stockfoil } else { Group::Inventory },
            comment: self.comment,
            bytes: self.bytes,
            heap_bytes: self.heap_bytes,
            rows_estimate: self.rows_estimate,
            is_readable: self.readable,
            has_row_security: self.row_security,
            scope: match (self.scope_column, self.scope_type) {
                (Some(column), Some(type_name)) => {
                    Some((Ident::new(column)?, Definition::from_catalog(type_name)))
                }
                _ => None,
            },
            name,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ColumnRow {
    name: String,
    type_name: String,
    base_type: String,
    category: String,
    is_json: bool,
    not_null: bool,
    default_value: Option<String>,
    comment: Option<String>,
    readable: bool,
    less: Option<String>,
    less_equal: Option<String>,
    equal: Option<String>,
    greater_equal: Option<String>,
    greater: Option<String>,
}

impl ColumnRow {
    fn column(self) -> Result<Column, Error> {
        let operators = (self.less, self.less_equal, self.equal, self.greater_equal, self.greater);
        let order = match operators {
            (Some(less), Some(less_equal), Some(equal), Some(greater_equal), Some(greater)) => Some(Order {
                less: Definition::from_catalog(less),
                less_equal: Definition::from_catalog(less_equal),
                equal: Definition::from_catalog(equal),
                greater_equal: Definition::from_catalog(greater_equal),
                greater: Definition::from_catalog(greater),
            }),
            _ => None,
        };
        Ok(Column {
            name: Ident::new(self.name)?,
            type_name: self.type_name,
            is_number: self.category == "N",
            is_json: self.is_json,
            not_null: self.not_null,
            default_value: self.default_value,
            comment: self.comment,
            is_readable: self.readable,
            base_type: Definition::from_catalog(self.base_type),
            order,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ForeignKeyRow {
    name: String,
    from_schema: String,
    from_name: String,
    from_columns: Vec<String>,
    to_schema: String,
    to_name: String,
    to_columns: Vec<String>,
    equal: Vec<String>,
    label: Option<String>,
    indexed: bool,
    outgoing: bool,
    incoming: bool,
}

impl ForeignKeyRow {
    fn foreign_key(self) -> Result<ForeignKey, Error> {
        let idents = |names: Vec<String>| names.into_iter().map(Ident::new).collect::<Result<_, _>>();
        Ok(ForeignKey {
            name: self.name,
            from: QualifiedName::new(Ident::new(self.from_schema)?, Ident::new(self.from_name)?),
            from_columns: idents(self.from_columns)?,
            to: QualifiedName::new(Ident::new(self.to_schema)?, Ident::new(self.to_name)?),
            to_columns: idents(self.to_columns)?,
            equal: self.equal.into_iter().map(Definition::from_catalog).collect(),
            label: self.label.map(Ident::new).transpose()?,
            is_indexed: self.indexed,
        })
    }
}
