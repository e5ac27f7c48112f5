//! What a database shows to somebody who has never seen it: its tables, how they grow, and their first rows.

use std::collections::{HashMap, HashSet};

use crate::{
    Error,
    client::schema::{Column, Enum, ForeignKey, Resolved, Schema, Table, Type},
    db::{Context as _, Db, sqlstate},
    sql::{Fragment, Ident, List, QualifiedName, Statement, render},
};

use super::words;

/// How many of a table's rows are looked at.
pub(super) const SAMPLE_ROWS: i64 = 10_000;

/// A column with more different values says neither direction nor state.
const VALUES_MAX: i64 = 40;

/// What was read.
pub(super) struct Survey<'a> {
    db: &'a Db,
    /// The schemas that were looked at.
    pub(super) schemas: Vec<Ident>,
    /// By schema and name.
    pub(super) tables: Vec<Table>,
    enums: Vec<Enum>,
    statistics: HashMap<QualifiedName, Statistics>,
    /// The foreign keys that are none, by table and column.
    inferred: HashSet<(QualifiedName, Option<Ident>)>,
}

/// How a table grows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Statistics {
    /// What the planner believes; none before the first ANALYZE.
    pub(super) rows: Option<i64>,
    pub(super) inserts: i64,
    pub(super) updates: i64,
    pub(super) deletes: i64,
}

/// What a number's first values are.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Numbers {
    pub(super) rows: i64,
    pub(super) least: Option<String>,
    pub(super) greatest: Option<String>,
    pub(super) any_negative: bool,
}

impl<'a> Survey<'a> {
    /// Reads the tables of `asked`, or of every schema that is an application's.
    pub(super) async fn read(db: &'a Db, asked: Vec<Ident>) -> Result<Survey<'a>, Error> {
        let schemas = if asked.is_empty() {
            let names: Vec<String> = sqlx::query_scalar(include_str!("schemas.sql"))
                .fetch_all(db.pool())
                .await
                .context("read the schemas from the catalog")?;
            names.into_iter().map(Ident::new).collect::<Result<_, _>>()?
        } else {
            asked
        };
        let Schema { tables, enums, .. } = Schema::read_unmapped(db, &schemas).await?;
        let names: Vec<&str> = schemas.iter().map(Ident::as_str).collect();
        let rows: Vec<(String, String, Option<i64>, i64, i64, i64)> =
            sqlx::query_as(include_str!("statistics.sql"))
                .bind(&names)
                .fetch_all(db.pool())
                .await
                .context("read the tables' statistics")?;
        let mut statistics = HashMap::new();
        for (schema, table, rows, inserts, updates, deletes) in rows {
            let name = QualifiedName::new(Ident::new(schema)?, Ident::new(table)?);
            statistics.insert(name, Statistics { rows, inserts, updates, deletes });
        }
        let mut survey = Survey { db, schemas, tables, enums, statistics, inferred: HashSet::new() };
        survey.infer_references().await?;
        Ok(survey)
    }

    /// The table `name`.
    pub(super) fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// How `table` grows.
    pub(super) fn statistics(&self, table: &QualifiedName) -> Statistics {
        self.statistics.get(table).copied().unwrap_or_default()
    }

    /// How many rows `table` has, for a reader.
    pub(super) fn size(&self, table: &QualifiedName) -> String {
        match self.statistics(table).rows {
            Some(1) => "about 1 row".into(),
            Some(rows) => format!("about {rows} rows"),
            None => "never analyzed".into(),
        }
    }

    /// The first values of a number.
    pub(super) async fn numbers(&self, table: &Table, column: &Column) -> Result<Numbers, Error> {
        let sql = render(include_str!("quantities.sql"), &[("table", &table.name), ("column", &column.name)]);
        let context = format!("look at {} of {}", column.name.as_str(), table.name.plain());
        let read = sqlx::query_as(sql.sql()).bind(SAMPLE_ROWS).fetch_one(self.db.pool());
        Ok(read.await.context(context)?)
    }

    /// The different values of a column, where they are few.
    pub(super) async fn values(&self, table: &Table, column: &Column) -> Result<Vec<String>, Error> {
        let sql = render(include_str!("values.sql"), &[("table", &table.name), ("column", &column.name)]);
        let context = format!("look at {} of {}", column.name.as_str(), table.name.plain());
        let read =
            sqlx::query_scalar(sql.sql()).bind(SAMPLE_ROWS).bind(VALUES_MAX + 1).fetch_all(self.db.pool());
        let values: Vec<String> = read.await.context(context)?;
        let few = i64::try_from(values.len()).is_ok_and(|count| count <= VALUES_MAX);
        Ok(if few { values } else { Vec::new() })
    }

    /// The labels of an enum.
    pub(super) fn labels(&self, name: &QualifiedName) -> Vec<String> {
        self.enums
            .iter()
            .find(|found| found.name == *name)
            .map(|found| found.labels.clone())
            .unwrap_or_default()
    }

    /// Whether a column is more than NULL throughout; of a table without rows nobody knows.
    pub(super) async fn is_filled(&self, table: &Table, column: &Column) -> Result<bool, Error> {
        let sql = render(include_str!("filled.sql"), &[("table", &table.name), ("column", &column.name)]);
        let context = format!("look at {} of {}", column.name.as_str(), table.name.plain());
        let read = sqlx::query_scalar(sql.sql()).bind(SAMPLE_ROWS).fetch_one(self.db.pool());
        Ok(read.await.context(context)?)
    }

    /// Takes columns for foreign keys that are none, where their names and types are those of another table's key and
    /// nearly all of their values are there.
    async fn infer_references(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for table in &self.tables {
            for column in table.columns.iter().filter(|column| is_key(&column.resolved)) {
                let is_free = !table.foreign_keys.iter().any(|key| key.columns.contains(&column.name))
                    && primary_key(table) != [column.name.clone()];
                if !is_free {
                    continue;
                }
                for (parent, key) in self.named_by(table, column) {
                    let fragments: [(&str, &dyn Fragment); 4] = [
                        ("table", &table.name),
                        ("column", &column.name),
                        ("parent", &parent.name),
                        ("parent_key", key),
                    ];
                    let sql = render(include_str!("references.sql"), &fragments);
                    let context =
                        format!("look what {} of {} refers to", column.name.as_str(), table.name.plain());
                    let read = sqlx::query_as(sql.sql()).bind(SAMPLE_ROWS).fetch_one(self.db.pool());
                    let (rows, there): (i64, i64) = read.await.context(context)?;
                    if rows > 0 && there * 100 >= rows * 99 {
                        let reference = ForeignKey {
                            columns: vec![column.name.clone()],
                            table: parent.name.clone(),
                            foreign_columns: vec![key.clone()],
                        };
                        found.push((table.name.clone(), reference));
                        break;
                    }
                }
            }
        }
        for (name, reference) in found {
            let at = self.tables.iter().position(|table| table.name == name);
            if let Some(table) = at.and_then(|at| self.tables.get_mut(at)) {
                self.inferred.insert((name, reference.columns.first().cloned()));
                table.foreign_keys.push(reference);
            }
        }
        Ok(())
    }

    /// The tables whose key a column is called after, each with that key.
    fn named_by<'t>(&'t self, table: &'t Table, column: &Column) -> Vec<(&'t Table, &'t Ident)> {
        let mut found = Vec::new();
        for parent in self.tables.iter().filter(|parent| parent.name != table.name) {
            let [key] = primary_key(parent) else { continue };
            let is_same_kind =
                parent.column(key).is_some_and(|key| key.resolved.kind == column.resolved.kind);
            if is_same_kind
                && words::is_reference(column.name.as_str(), parent.name.name.as_str(), key.as_str())
            {
                found.push((parent, key));
            }
        }
        found
    }

    /// Whether a foreign key was made out of names and values.
    pub(super) fn is_inferred(&self, table: &QualifiedName, key: &ForeignKey) -> bool {
        self.inferred.contains(&(table.clone(), key.columns.first().cloned()))
    }

    /// Runs a query that reads a whole table perhaps, for half a minute at most; none where it takes longer.
    pub(super) async fn within<T>(
        &self,
        sql: &Statement,
        limit: i64,
        what: &str,
    ) -> Result<Option<Vec<T>>, Error>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let mut session = self.db.session().await?;
        sqlx::raw_sql("SET statement_timeout = '30s'")
            .execute(&mut session)
            .await
            .context(what.to_owned())?;
        let read = sqlx::query_as(sql.sql()).bind(limit).fetch_all(&mut session).await;
        match read {
            Err(error) if sqlstate(&error).as_deref() == Some("57014") => Ok(None),
            read => Ok(Some(read.context(what.to_owned())?)),
        }
    }

    /// How many rows a sample of `table` has, and how many keys of these columns.
    pub(super) async fn keys(&self, table: &Table, columns: &[&Column]) -> Result<(i64, i64), Error> {
        let list = List(columns.iter().map(|column| column.name.clone()).collect());
        let sql: Statement = render(include_str!("keys.sql"), &[("table", &table.name), ("columns", &list)]);
        let read = sqlx::query_as(sql.sql()).bind(SAMPLE_ROWS).fetch_one(self.db.pool());
        Ok(read.await.context(format!("look at the keys of {}", table.name.plain()))?)
    }
}

/// The table that `column` alone refers to.
pub(super) fn target<'t>(table: &'t Table, column: &Column) -> Option<&'t ForeignKey> {
    table.foreign_keys.iter().find(|key| key.columns == [column.name.clone()])
}

/// The primary key's columns; none where there is no primary key.
pub(super) fn primary_key(table: &Table) -> &[Ident] {
    table.keys.iter().find(|key| key.is_primary).map_or(&[], |key| &key.columns)
}

/// Whether a column holds exact or inexact numbers.
pub(super) fn is_number(resolved: &Resolved) -> bool {
    is_integer(resolved) || is_float(resolved) || matches!(resolved.kind, Type::Decimal | Type::Numeric)
}

/// Whether a column holds whole numbers.
pub(super) fn is_integer(resolved: &Resolved) -> bool {
    matches!(resolved.kind, Type::Int2 | Type::Int4 | Type::Int8)
}

/// Whether a column holds floating-point numbers.
pub(super) fn is_float(resolved: &Resolved) -> bool {
    matches!(resolved.kind, Type::Float4 | Type::Float8)
}

/// Whether a column can name a thing: an item, a place, a lot.
pub(super) fn is_key(resolved: &Resolved) -> bool {
    is_integer(resolved) || matches!(resolved.kind, Type::Text | Type::Uuid | Type::Enum(_))
}

/// Whether a column holds a time.
pub(super) fn is_time(resolved: &Resolved) -> bool {
    matches!(resolved.kind, Type::Date | Type::Timestamp | Type::TimestampTz)
}
