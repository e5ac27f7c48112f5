//! What an index is: unique or not, its access method, its definition, and how PostgreSQL prints it.

use sqlx::{Connection as _, PgConnection};

use crate::{
    catalog::Timing,
    db::{DbError, all_words, sqlstate},
    sql::{Definition, Fixed, Fragment, Ident, QualifiedName, Statement, render},
};

/// What an index is, wherever it is built.
#[derive(Debug, Clone)]
pub(in crate::migration) struct Shape {
    /// UNIQUE.
    pub(in crate::migration) is_unique: bool,
    /// Its access method.
    pub(in crate::migration) method: Definition,
    /// What stands behind the access method: columns, INCLUDE, NULLS NOT DISTINCT, storage parameters, predicate.
    pub(in crate::migration) definition: Statement,
    /// The same as PostgreSQL prints it, so that the catalog can be asked for it; none where only the name is known.
    pub(in crate::migration) printed: Option<Printed>,
    /// The constraint that owns it.
    pub(in crate::migration) constraint: Option<Constraint>,
    /// When it is checked. ON CONFLICT and foreign keys can't go by a DEFERRABLE one: no other index of the definition stands
    /// for it, nor it for another.
    pub(in crate::migration) timing: Timing,
}

/// The unique constraint that owns an index.
#[derive(Debug, Clone)]
pub(in crate::migration) struct Constraint {
    /// The whole constraint, for a partitioned table, which can't use an index.
    pub(in crate::migration) definition: Statement,
}

/// A definition as PostgreSQL prints it.
#[derive(Debug, Clone)]
pub(in crate::migration) struct Printed {
    /// The organization's column, where the index begins with it.
    pub(in crate::migration) org: Option<Ident>,
    /// What stands behind that column, or behind the opening parenthesis where there is none.
    pub(in crate::migration) tail: Definition,
    /// What PostgreSQL prints there of an index that was made of that, where it is something else: it understands
    /// `(ARRAY['a'::character varying])::text[]` and then prints `ARRAY[('a'::character varying)::text]`.
    pub(in crate::migration) again: Vec<String>,
}

impl Printed {
    pub(in crate::migration) fn new(org: Option<Ident>, tail: Definition) -> Self {
        Self { org, tail, again: Vec::new() }
    }

    /// The column, and a list of tails in JSON.
    fn binds(&self) -> [String; 2] {
        let org = self.org.as_ref().map_or("", Ident::as_str);
        let tails: Vec<String> =
            std::iter::once(self.tail.to_string()).chain(self.again.iter().cloned()).collect();
        [org.to_owned(), serde_json::Value::from(tails).to_string()]
    }
}

impl Shape {
    /// An index on what PostgreSQL printed of another one, behind the organization's column where that is given.
    pub(in crate::migration) fn printed(is_unique: bool, method: Definition, printed: Printed) -> Self {
        let tail = &printed.tail;
        let definition = match &printed.org {
            Some(org) => render("({org}, {tail}", &[("org", org), ("tail", tail)]),
            None => render("({tail}", &[("tail", tail)]),
        };
        Self {
            is_unique,
            method,
            definition,
            printed: Some(printed),
            constraint: None,
            timing: Timing::Immediate,
        }
    }

    /// An index on `definition`, which nobody printed.
    pub(in crate::migration) fn written(is_unique: bool, method: Fixed, definition: &Statement) -> Self {
        Self {
            is_unique,
            method: Definition::from_catalog(method.to_string()),
            definition: definition.clone(),
            printed: None,
            constraint: None,
            timing: Timing::Immediate,
        }
    }

    /// The shape, with what PostgreSQL prints of an index of it on `table`: asked of the server, which makes one on an empty
    /// table of the same columns. Where it may not, the shape knows its text alone.
    ///
    /// # Errors
    /// Database errors.
    pub(in crate::migration) async fn printed_again(
        mut self,
        session: &mut PgConnection,
        table: &QualifiedName,
    ) -> Result<Self, DbError> {
        let Some(printed) = &mut self.printed else { return Ok(self) };
        // Names alone are printed as they were.
        if !printed.tail.to_string().contains("(") {
            return Ok(self);
        }
        let mut transaction = session.begin().await?;
        let org = printed.org.as_ref();
        let again =
            print_again(&mut transaction, self.is_unique, &self.method, &self.definition, org, table).await;
        transaction.rollback().await?;
        let tail = match again {
            Ok(tail) => Some(tail),
            // No right to a temporary table, a server that is only read, or an index that only a table of this name can
            // have, since it takes its rows as a whole.
            Err(error)
                if matches!(sqlstate(&error).as_deref(), Some("42501" | "25006" | "42P01" | "42883")) =>
            {
                None
            }
            Err(error) => {
                return Err(DbError::Statement {
                    context: "ask how an index is printed".into(),
                    cause: error,
                });
            }
        };
        printed.again = tail.into_iter().filter(|tail| *tail != printed.tail.to_string()).collect();
        Ok(self)
    }

    /// What PostgreSQL may print of it behind the opening parenthesis, as a list in JSON.
    pub(in crate::migration) fn tails(&self) -> String {
        let [_, tails] = self.binds();
        tails
    }

    pub(super) fn binds(&self) -> [String; 2] {
        self.printed.as_ref().map_or_else(|| [String::new(), "[]".to_owned()], Printed::binds)
    }
}

/// What PostgreSQL prints of an index of `definition` on a table of the columns of `table`, behind the opening parenthesis
/// and the organization's column.
impl Shape {
    /// What the server says where `table` has no longer a column that the index needs.
    ///
    /// # Errors
    /// Database errors.
    pub(in crate::migration) async fn misses_a_column(
        &self,
        session: &mut PgConnection,
        table: &QualifiedName,
    ) -> Result<Option<String>, DbError> {
        let mut transaction = session.begin().await?;
        let made =
            print_again(&mut transaction, self.is_unique, &self.method, &self.definition, None, table).await;
        transaction.rollback().await?;
        Ok(match made {
            Err(error) if sqlstate(&error).as_deref() == Some("42703") => Some(all_words(&error)),
            _ => None,
        })
    }
}

async fn print_again(
    connection: &mut PgConnection,
    is_unique: bool,
    method: &Definition,
    definition: &Statement,
    org: Option<&Ident>,
    table: &QualifiedName,
) -> Result<String, sqlx::Error> {
    let unique = Fixed(if is_unique { "UNIQUE " } else { "" });
    let fragments: [(&str, &dyn Fragment); 4] =
        [("unique", &unique), ("method", method), ("definition", definition), ("table", table)];
    let mut statements = vec![render("CREATE TEMPORARY TABLE stockfoil_shape (LIKE {table})", &fragments)];
    // The table itself may get it only by the plan that this is for.
    let add = "ALTER TABLE pg_temp.stockfoil_shape ADD COLUMN IF NOT EXISTS {org} text";
    statements.extend(org.map(|org| render(add, &[("org", org)])));
    let create =
        "CREATE {unique}INDEX stockfoil_shape_idx ON pg_temp.stockfoil_shape USING {method} {definition}";
    statements.push(render(create, &fragments));
    for statement in statements {
        sqlx::raw_sql(statement.sql()).execute(&mut *connection).await?;
    }
    // Before the first parenthesis stand names of ours and of the session's temporary schema.
    sqlx::query_scalar(
        "SELECT substr(d.text, strpos(d.text, ' (') + 2 + CASE WHEN $1 = '' THEN 0 ELSE length(quote_ident($1)) + 2 END)
         FROM pg_get_indexdef(to_regclass('pg_temp.stockfoil_shape_idx')) AS d (text)",
    )
    .persistent(false)
    .bind(org.map_or("", Ident::as_str))
    .fetch_one(connection)
    .await
}
