//! A table as one who tries writes to it sees it: its columns, and rows like those that are there.

use sqlx::PgConnection;

use crate::{
    Error,
    catalog::UniqueKey,
    db::Context as _,
    sql::{Definition, Fragment, Ident, List, Literal, NameError, QualifiedName, Statement, all_of, render},
};

/// A column that can be written.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: Ident,
    type_name: String,
    /// The category of its type, as `pg_type.typcategory` has it.
    category: String,
    /// Whether an INSERT may leave it out.
    pub(crate) has_default: bool,
    /// Whether only the server gives it a value (GENERATED ALWAYS AS IDENTITY).
    pub(crate) is_always: bool,
    /// Whether it is part of a unique key, so that a new row needs another value.
    pub(crate) is_unique: bool,
    /// Whether it is part of the primary key.
    pub(crate) is_primary: bool,
    /// Whether it refers to another table, so that it can't be any value.
    is_reference: bool,
    /// Whether it says whose a row is.
    pub(crate) is_org: bool,
    /// Its place in the row, from 0; generated columns count too.
    pub(crate) place: usize,
}

/// A column as the catalog has it.
#[derive(sqlx::FromRow)]
struct ColumnRow {
    name: String,
    type_name: String,
    category: String,
    is_generated: bool,
    has_default: bool,
    is_always: bool,
    is_unique: bool,
    is_primary: bool,
    is_reference: bool,
    place: i64,
}

/// A row, column by column, as texts.
pub(crate) type Row = Vec<Option<String>>;

/// A table or view, and how its rows are written.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: QualifiedName,
    pub(crate) columns: Vec<Column>,
    /// How many columns it has, the generated ones included.
    pub(crate) width: usize,
}

/// How a new row's values differ from those of one that is there, where they must be unique.
#[derive(Debug, Clone, Copy)]
pub(crate) enum New {
    /// Texts get digits at their end.
    Behind,
    /// Texts get letters at their begin, and numbers are the next but one.
    Before,
}

impl Table {
    /// Reads it; `org` is the organization's column, where it has that already.
    pub(crate) async fn read(
        session: &mut PgConnection,
        name: &QualifiedName,
        org: &Ident,
    ) -> Result<Self, Error> {
        let rows: Vec<ColumnRow> = sqlx::query_as(include_str!("example/columns.sql"))
            .bind(name.to_string())
            .fetch_all(session)
            .await
            .context(format!("read the columns of {}", name.plain()))?;
        let width = rows.len();
        let columns = rows.into_iter().filter(|row| !row.is_generated).map(|row| {
            let name = Ident::new(row.name)?;
            Ok(Column {
                is_org: name == *org,
                name,
                type_name: row.type_name,
                category: row.category,
                has_default: row.has_default,
                is_always: row.is_always,
                is_unique: row.is_unique,
                is_primary: row.is_primary,
                is_reference: row.is_reference,
                place: usize::try_from(row.place).unwrap_or(0),
            })
        });
        let columns = columns.collect::<Result<_, NameError>>()?;
        Ok(Self { name: name.clone(), columns, width })
    }

    /// Takes the columns of a view for keys that are called like those among `keys`, the columns of a table that it reads: a
    /// view does not say whose its columns are.
    pub(crate) fn know_keys(&mut self, keys: &[Column]) {
        for column in &mut self.columns {
            if let Some(key) = keys.iter().find(|key| key.is_unique && key.name == column.name) {
                column.is_unique = true;
                column.is_primary |= key.is_primary;
                column.has_default |= key.has_default;
            }
        }
    }

    /// Whether each part of `key` is a column of it.
    pub(crate) fn has_columns(&self, key: &UniqueKey) -> bool {
        key.columns.iter().all(|name| {
            name.as_ref().is_some_and(|name| self.columns.iter().any(|column| column.name.as_str() == name))
        })
    }

    /// Up to `limit` of its rows, each as it is and as a new one would be.
    pub(crate) async fn rows(
        &self,
        session: &mut PgConnection,
        new: Option<New>,
        limit: usize,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let limit = Definition::number(limit);
        let query = render(
            "SELECT ARRAY[{values}]::text[] FROM {table} AS t LIMIT {limit}",
            &[("values", &self.values(new)), ("table", &self.name), ("limit", &limit)],
        );
        sqlx::query_scalar(query.sql()).fetch_all(session).await
    }

    /// Rows of made-up values, for one that has none: one with each of `objects` where it has a column of JSON.
    pub(crate) fn made_up(&self, objects: &[String]) -> Vec<Row> {
        let row = |object: &str| self.columns.iter().map(|column| column.made_up(object)).collect();
        match self.columns.iter().any(|column| matches!(column.type_name.as_str(), "json" | "jsonb")) {
            true => objects.iter().map(|object| row(object)).collect(),
            false => vec![row("{}")],
        }
    }

    /// One of `row` as a JSON object, without its organization.
    pub(crate) fn object(&self, row: &Row) -> String {
        let columns = self.columns.iter().zip(row).filter(|(column, _)| !column.is_always && !column.is_org);
        let object: serde_json::Map<_, _> = columns
            .map(|(column, value)| {
                let value = value.clone().map_or(serde_json::Value::Null, serde_json::Value::String);
                (column.name.as_str().to_owned(), value)
            })
            .collect();
        serde_json::Value::Object(object).to_string()
    }

    /// The values of `t`, a row of it, each as it is and as a new one would be.
    pub(crate) fn values(&self, new: Option<New>) -> List<Statement> {
        List(self.columns.iter().map(|column| column.value(&self.name, new)).collect())
    }

    /// INSERT of `row`, without its organization and what has a default in a key, but for what is `wanted` of these.
    pub(crate) fn insert(&self, row: &Row, wanted: &[Ident]) -> Statement {
        let is_left_out = |column: &Column| column.is_org || (column.is_unique && column.has_default);
        let pairs = self.columns.iter().zip(row).filter(|(column, _)| {
            !column.is_always && (!is_left_out(column) || wanted.contains(&column.name))
        });
        let (columns, values): (Vec<_>, Vec<_>) =
            pairs.map(|(column, value)| (column.name.clone(), literal(value.as_deref()))).unzip();
        if columns.is_empty() {
            return render("INSERT INTO {table} DEFAULT VALUES", &[("table", &self.name)]);
        }
        render(
            "INSERT INTO {table} ({columns}) VALUES ({values})",
            &[("table", &self.name), ("columns", &List(columns)), ("values", &List(values))],
        )
    }

    /// The values of `row` in the places of the table, as an INSERT without a list of columns wants them.
    pub(crate) fn by_position(&self, row: &Row) -> Vec<Statement> {
        let mut values = vec![render("DEFAULT", &[]); self.width];
        for (column, value) in self.columns.iter().zip(row) {
            let is_nobodys = column.is_org && value.is_none();
            if !column.is_always && !is_nobodys && (!column.has_default || !column.is_unique) {
                values[column.place] = literal(value.as_deref());
            }
        }
        values
    }

    /// The values of `row` as COPY without a list of columns wants them; none where the table has generated columns.
    pub(crate) fn all_values(&self, row: &Row) -> Option<Vec<Statement>> {
        let values = row.iter().map(|value| literal(value.as_deref()));
        (self.columns.len() == self.width).then(|| values.collect())
    }

    /// `new`, but with the values of `row` in the columns `key`.
    pub(crate) fn like(&self, new: &Row, row: &Row, key: &[Ident]) -> Row {
        let values = self.columns.iter().zip(new.iter().zip(row));
        values
            .map(|(column, (new, old))| if key.contains(&column.name) { old } else { new }.clone())
            .collect()
    }

    /// What finds exactly the row that has the values of `row` in its primary key; none without such a key.
    pub(crate) fn identity(&self, row: &Row) -> Option<Statement> {
        let key = self.columns.iter().zip(row).filter(|(column, _)| column.is_primary);
        let mut parts = key
            .map(|(column, value)| {
                let value = literal(value.as_deref());
                render("{column} = {value}", &[("column", &column.name), ("value", &value)])
            })
            .peekable();
        parts.peek().is_some().then(|| all_of(parts))
    }

    /// `SET` of every column that may be any value to another one, or to itself where that is the only one that is sure to
    /// be allowed; none where there is none.
    pub(crate) fn updated(&self, is_changed: bool) -> Option<List<Statement>> {
        let plain = self.columns.iter().filter(|column| column.may_be_set());
        let set: Vec<_> = plain.map(|column| column.updated(is_changed)).collect();
        (!set.is_empty()).then_some(List(set))
    }
}

impl Column {
    /// A value of its type; none where none is known.
    fn made_up(&self, object: &str) -> Option<String> {
        let value = match (self.category.as_str(), self.type_name.as_str()) {
            ("N", _) => "1",
            ("S", _) => "x",
            ("B", _) => "true",
            ("D", _) => "2026-01-01",
            ("T", _) => "1 day",
            ("A", _) => "{}",
            (_, "uuid") => "5f0c2a9d-1b7e-4c3d-8e2f-0a1b2c3d4e5f",
            (_, "json" | "jsonb") => object,
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Whether an UPDATE may give it a value that no key knows.
    pub(crate) fn may_be_set(&self) -> bool {
        !self.is_unique && !self.is_always && !self.is_org
    }

    /// `SET` of it to another value, or to the same.
    pub(crate) fn updated(&self, is_changed: bool) -> Statement {
        let may_be_any = !self.is_unique && !self.is_reference && !self.is_org;
        let template = match (is_changed && may_be_any, self.category.as_str()) {
            (true, "S") => "{column} = coalesce({column}, '') || '7'",
            (true, "N") => "{column} = coalesce({column}, 0) + 1",
            (true, "B") => "{column} = NOT coalesce({column}, false)",
            (true, "D") => "{column} = coalesce({column}, now()) + interval '1 day'",
            _ => "{column} = {column}",
        };
        render(template, &[("column", &self.name)])
    }

    /// Its value as a text in a row of `table`; where it must be unique, another one.
    fn value(&self, table: &QualifiedName, new: Option<New>) -> Statement {
        let fragments: [(&str, &dyn Fragment); 2] = [("column", &self.name), ("table", table)];
        // What refers to another row can't be any value; the key has other columns, or no new row can be made.
        let new = new.filter(|_| self.is_unique && !self.is_org && !self.is_reference);
        let template = match (new, self.category.as_str()) {
            (Some(New::Behind), "S") => "t.{column}::text || '7390146'",
            (Some(New::Before), "S") => "'qzx' || t.{column}::text",
            (Some(New::Behind), "N") => "(SELECT coalesce(max(o.{column}), 0) + 1 FROM {table} AS o)::text",
            (Some(New::Before), "N") => "(SELECT coalesce(max(o.{column}), 0) + 2 FROM {table} AS o)::text",
            (Some(New::Behind), "D") => "(t.{column} + interval '731 days')::text",
            (Some(New::Before), "D") => "(t.{column} + interval '732 days')::text",
            // A uuid is of no category of its own.
            (Some(_), "U") => {
                "CASE WHEN pg_typeof(t.{column}) = 'uuid'::regtype THEN gen_random_uuid()::text ELSE t.{column}::text END"
            }
            _ => "t.{column}::text",
        };
        render(template, &fragments)
    }
}

/// A value for any type: an untyped literal is read by the type that it is put into.
fn literal(value: Option<&str>) -> Statement {
    match value {
        Some(value) => render("{value}", &[("value", &Literal::new(value))]),
        None => render("NULL", &[]),
    }
}
