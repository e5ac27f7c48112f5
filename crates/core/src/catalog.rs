//! What PostgreSQL's catalog says of tables and keys, read into plain values.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::{
    db::{Context as _, DbError},
    sql::{Definition, Fixed, Ident, NameError, QualifiedName},
};

/// A column that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its type, as `format_type` prints it.
    pub type_name: String,
    /// Whether it is NOT NULL.
    pub not_null: bool,
    /// Its default, as PostgreSQL prints it.
    pub default: Option<String>,
}

/// A unique key that is not the primary key: an index, with its constraint where it has one.
#[derive(Debug, Clone)]
pub struct UniqueKey {
    /// The table.
    pub table: QualifiedName,
    /// The index's name, which is the constraint's too.
    pub name: Ident,
    /// The key's columns; `None` stands for an expression.
    pub columns: Vec<Option<String>>,
    /// The key's columns and expressions, each as SQL over a row of the table.
    pub parts: Vec<Definition>,
    /// Whether two NULLs are equal to it.
    pub nulls_not_distinct: bool,
    /// Which rows it is about, where it is partial: SQL over a row of the table.
    pub predicate: Option<Definition>,
    /// What stands behind the opening parenthesis of its definition: columns, INCLUDE, NULLS NOT DISTINCT,
    /// storage parameters, predicate.
    pub tail: Definition,
    /// Its access method.
    pub method: Definition,
    /// Its constraint's timing, where it is a constraint.
    pub constraint: Option<Timing>,
    /// What stands behind the opening parenthesis of its constraint, where it is one.
    pub constraint_tail: Option<Definition>,
    /// Whether it is valid, ready and live, so that it really holds.
    pub valid: bool,
    /// Foreign keys that refer to it, as `table.constraint`.
    pub referenced_by: Vec<String>,
    /// Whether it is the table's replica identity.
    pub replica_identity: bool,
}

impl UniqueKey {
    /// Whether the column `name` is a part of the key.
    pub fn has_column(&self, name: &Ident) -> bool {
        self.columns.iter().flatten().any(|column| column == name.as_str())
    }
}

/// When a unique key is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// With each row.
    Immediate,
    /// At the end of each statement, or of the transaction where that asks for it.
    Deferrable,
    /// At the end of the transaction.
    Deferred,
}

impl Timing {
    /// That of a constraint which is DEFERRABLE, and INITIALLY DEFERRED.
    pub(crate) fn of(deferrable: bool, deferred: bool) -> Self {
        match (deferrable, deferred) {
            (true, true) => Self::Deferred,
            (true, false) => Self::Deferrable,
            (false, _) => Self::Immediate,
        }
    }

    /// As SQL, behind the constraint.
    pub(crate) fn clause(self) -> Fixed {
        Fixed(match self {
            Self::Deferred => " DEFERRABLE INITIALLY DEFERRED",
            Self::Deferrable => " DEFERRABLE",
            Self::Immediate => "",
        })
    }

    /// As the queries over indexes name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Deferrable => "deferrable",
            Self::Deferred => "deferred",
        }
    }
}

/// Whether there is a relation of this name, which is with its schema.
///
/// # Errors
/// Database errors.
pub async fn is_there(connection: &mut PgConnection, relation: &str) -> Result<bool, DbError> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(relation)
        .fetch_one(connection)
        .await
        .context(format!("look for {relation}"))
}

/// The column `name` of `table`, if it is there.
///
/// # Errors
/// Database errors.
pub async fn column(
    connection: &mut PgConnection,
    table: &QualifiedName,
    name: &Ident,
) -> Result<Option<Column>, DbError> {
    let row: Option<(String, bool, Option<String>)> = sqlx::query_as(include_str!("catalog/column.sql"))
        .bind(table.to_string())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .context(format!("read column {} of {}", name.as_str(), table.plain()))?;
    Ok(row.map(|(type_name, not_null, default)| Column { type_name, not_null, default }))
}

/// The unique keys of `table` but for its primary key, by name.
///
/// # Errors
/// Database errors.
pub async fn unique_keys(
    connection: &mut PgConnection,
    table: &QualifiedName,
) -> Result<Vec<UniqueKey>, crate::Error> {
    let rows: Vec<UniqueKeyRow> = sqlx::query_as(include_str!("catalog/unique_keys.sql"))
        .bind(table.to_string())
        .fetch_all(connection)
        .await
        .context(format!("read the unique keys of {}", table.plain()))?;
    let key = |row: UniqueKeyRow| -> Result<UniqueKey, NameError> {
        Ok(UniqueKey {
            table: table.clone(),
            name: Ident::new(row.name)?,
            columns: row.columns,
            parts: row.parts.into_iter().map(Definition::from_catalog).collect(),
            nulls_not_distinct: row.nulls_not_distinct,
            predicate: row.predicate.map(Definition::from_catalog),
            tail: Definition::from_catalog(row.tail),
            method: Definition::from_catalog(row.method),
            constraint_tail: row.constraint_tail.map(Definition::from_catalog),
            constraint: row.is_constraint.then(|| Timing::of(row.is_deferrable, row.is_deferred)),
            valid: row.is_valid,
            referenced_by: row.referenced_by,
            replica_identity: row.is_replica_identity,
        })
    };
    Ok(rows.into_iter().map(key).collect::<Result<_, _>>()?)
}

#[derive(sqlx::FromRow)]
struct UniqueKeyRow {
    name: String,
    columns: Vec<Option<String>>,
    parts: Vec<String>,
    nulls_not_distinct: bool,
    predicate: Option<String>,
    tail: String,
    method: String,
    constraint_tail: Option<String>,
    is_constraint: bool,
    is_deferrable: bool,
    is_deferred: bool,
    is_valid: bool,
    referenced_by: Vec<String>,
    is_replica_identity: bool,
}

/// A foreign key of one column onto another table's `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: Ident,
    /// Whether it is known to hold for every row.
    pub valid: bool,
    /// Whether its triggers, on both tables, ask rows that are written.
    pub asked: bool,
}

/// The foreign key on `column` of `table` alone onto `id` of `referenced`, a valid one before others.
///
/// # Errors
/// Database errors.
pub async fn foreign_key(
    connection: &mut PgConnection,
    table: &QualifiedName,
    column: &Ident,
    referenced: &QualifiedName,
) -> Result<Option<ForeignKey>, crate::Error> {
    let row: Option<(String, bool, bool)> = sqlx::query_as(include_str!("catalog/foreign_key.sql"))
        .bind(table.to_string())
        .bind(column.as_str())
        .bind(referenced.to_string())
        .fetch_optional(connection)
        .await
        .context(format!("read the foreign keys of {}", table.plain()))?;
    Ok(row
        .map(|(name, valid, asked)| Ok::<_, NameError>(ForeignKey { name: Ident::new(name)?, valid, asked }))
        .transpose()?)
}

/// A table, or one of those that a partitioned table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub table: QualifiedName,
    /// Whether it holds rows, and not only partitions.
    pub is_leaf: bool,
    /// The place of its parent in the list.
    pub parent: Option<usize>,
}

/// `table` itself and, where it is partitioned, all that it is made of, parents first; none when it is not there.
///
/// # Errors
/// Database errors.
pub async fn parts(connection: &mut PgConnection, table: &QualifiedName) -> Result<Vec<Part>, crate::Error> {
    let rows: Vec<(String, String, bool, Option<i64>)> = sqlx::query_as(include_str!("catalog/parts.sql"))
        .bind(table.to_string())
        .fetch_all(connection)
        .await
        .context(format!("read the partitions of {}", table.plain()))?;
    let part = |(schema, name, is_leaf, parent): (String, String, bool, Option<i64>)| {
        Ok::<_, NameError>(Part {
            table: QualifiedName::new(Ident::new(schema)?, Ident::new(name)?),
            is_leaf,
            parent: parent.and_then(|parent| usize::try_from(parent).ok()),
        })
    };
    Ok(rows.into_iter().map(part).collect::<Result<_, _>>()?)
}

/// Of those of `tables` that are partitions, the partitioned table that each is of in the end; both as
/// [`QualifiedName::plain`] gives them.
///
/// # Errors
/// Database errors.
pub async fn roots(
    connection: &mut PgConnection,
    tables: impl Iterator<Item = &QualifiedName>,
) -> Result<HashMap<String, String>, crate::Error> {
    let tables: HashMap<String, &QualifiedName> = tables.map(|table| (table.to_string(), table)).collect();
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT n.name, s.nspname::text, r.relname::text FROM unnest($1::text[]) AS n (name)
         JOIN pg_class AS r ON r.oid = pg_partition_root(to_regclass(n.name)) AND r.oid <> to_regclass(n.name)
         JOIN pg_namespace AS s ON s.oid = r.relnamespace",
    )
    .bind(tables.keys().cloned().collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .context("read which tables are partitions")?;
    let mut roots = HashMap::new();
    for (table, schema, name) in rows {
        let root = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        roots.extend(tables.get(&table).map(|table| (table.plain(), root.plain())));
    }
    Ok(roots)
}

/// The columns of `table`'s primary key in its order, each with its type; none where it has none.
///
/// # Errors
/// Database errors.
pub async fn primary_key(
    connection: &mut PgConnection,
    table: &QualifiedName,
) -> Result<Vec<(Ident, Definition)>, crate::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("catalog/primary_key.sql"))
        .bind(table.to_string())
        .fetch_all(connection)
        .await
        .context(format!("read the primary key of {}", table.plain()))?;
    let column = |(name, kind): (String, String)| {
        Ok::<_, NameError>((Ident::new(name)?, Definition::from_catalog(kind)))
    };
    Ok(rows.into_iter().map(column).collect::<Result<_, _>>()?)
}

/// The size of a table with its partitions, as the planner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its rows; none before its first ANALYZE.
    pub rows: Option<i64>,
    /// Its bytes on disk, without its indexes.
    pub bytes: i64,
}

/// How large `table` is, with its partitions; none when it is not there.
///
/// # Errors
/// Database errors.
pub async fn size(connection: &mut PgConnection, table: &QualifiedName) -> Result<Option<Size>, DbError> {
    let row: Option<(Option<i64>, i64)> = sqlx::query_as(
        "SELECT sum(reltuples) FILTER (WHERE reltuples >= 0)::bigint, sum(pg_relation_size(oid))::bigint FROM pg_class
         WHERE relkind <> 'p' AND (oid = to_regclass($1) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1))))
         HAVING count(*) > 0",
    )
    .bind(table.to_string())
    .fetch_optional(connection)
    .await
    .context(format!("read the size of {}", table.plain()))?;
    Ok(row.map(|(rows, bytes)| Size { rows, bytes }))
}

/// A foreign key between tables of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: Ident,
    /// The table that refers.
    pub child_table: QualifiedName,
    /// Its place in the list; none where it is not in it.
    pub child: Option<usize>,
    /// The place of the table that is referred to.
    pub parent: usize,
    /// The columns that refer, each with the one that it refers to.
    pub columns: Vec<(Ident, Ident)>,
    /// DEFERRABLE.
    pub is_deferrable: bool,
    /// ON UPDATE with an action, which changes the rows that refer.
    pub carries: bool,
}

/// The foreign keys onto `tables`.
///
/// # Errors
/// Database errors.
pub async fn references(
    connection: &mut PgConnection,
    tables: &[QualifiedName],
) -> Result<Vec<Reference>, crate::Error> {
    let rows: Vec<ReferenceRow> = sqlx::query_as(include_str!("catalog/references.sql"))
        .bind(tables.iter().map(ToString::to_string).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .context("read the foreign keys")?;
    let place = |place: i64| usize::try_from(place).unwrap_or(0);
    let reference = |row: ReferenceRow| {
        let columns = row.columns.into_iter().zip(row.parent_columns);
        Ok::<_, NameError>(Reference {
            name: Ident::new(row.name)?,
            child_table: QualifiedName::new(Ident::new(row.child_schema)?, Ident::new(row.child_table)?),
            child: row.child.map(place),
            parent: place(row.parent),
            columns: columns
                .map(|(child, parent)| Ok((Ident::new(child)?, Ident::new(parent)?)))
                .collect::<Result<_, NameError>>()?,
            is_deferrable: row.is_deferrable,
            carries: row.carries,
        })
    };
    Ok(rows.into_iter().map(reference).collect::<Result<_, _>>()?)
}

#[derive(sqlx::FromRow)]
struct ReferenceRow {
    name: String,
    child: Option<i64>,
    child_schema: String,
    child_table: String,
    parent: i64,
    columns: Vec<String>,
    parent_columns: Vec<String>,
    is_deferrable: bool,
    carries: bool,
}

/// A column among a table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: Ident,
    /// Its type, as `format_type` prints it.
    pub type_name: Definition,
    /// Whether it is NOT NULL.
    pub not_null: bool,
    /// Whether its value is generated from the row's others.
    pub is_generated: bool,
    /// What the database puts there where an insert says nothing.
    pub default: Option<Definition>,
}

/// The columns of `table`, in its order.
///
/// # Errors
/// Database errors.
pub async fn columns(
    connection: &mut PgConnection,
    table: &QualifiedName,
) -> Result<Vec<TableColumn>, crate::Error> {
    type Row = (String, String, bool, bool, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(include_str!("catalog/columns.sql"))
        .bind(table.to_string())
        .fetch_all(connection)
        .await
        .context(format!("read the columns of {}", table.plain()))?;
    let column = |(name, type_name, not_null, is_generated, default): Row| {
        Ok::<_, NameError>(TableColumn {
            name: Ident::new(name)?,
            type_name: Definition::from_catalog(type_name),
            not_null,
            is_generated,
            default: default.map(Definition::from_catalog),
        })
    };
    Ok(rows.into_iter().map(column).collect::<Result<_, _>>()?)
}
