//! Looking at a database: its tables, their rows by pages, one row with what refers to it and what it refers to.
//!
//! Everything is read through a [`Snapshot`]: one read-only transaction, of one organization or of all. Under an
//! organization only its own rows exist: each statement has the organization in its conditions, and `app.org_id`
//! is set, so that row-level security says the same where it is enabled. A relation that has no organization
//! column is not an organization's, and is not shown under one.

mod relation;
mod rows;

use std::sync::Arc;

use sqlx::{Postgres, Transaction};

use crate::{
    Error, Task,
    db::{Context as _, Db, DbError, sqlstate},
    mapping::Mapping,
    sql::{Definition, Fixed, Ident, Param, QualifiedName, Statement, render},
};

pub use relation::{Column, ForeignKey, Group, Kind, Relation, Table};
pub use rows::{
    Cell, Count, Edge, Filter, Line, Operator, PAGE_ROWS, Page, Position, Referrer, Row, Sort, Start, View,
};

/// So many organizations are listed at most; an installation with more is asked for the id.
pub const ORGANIZATIONS_LISTED_MAX: usize = 200;

/// Why something could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// No such table, or this role or organization does not see it.
    #[error("there is no table {0:?} to see here; go back to the list of tables")]
    NoTable(String),
    /// The table is there, but not an organization's.
    #[error(
        "{table} has no organization column, so it is not {org:?}'s; switch to all organizations to see it"
    )]
    NotTheirs {
        /// The table.
        table: String,
        /// The organization that was asked for.
        org: String,
    },
    /// No such column.
    #[error("{table} has no column {column:?}; choose one of those shown")]
    NoColumn {
        /// The table.
        table: String,
        /// What was asked for.
        column: String,
    },
    /// The column's type has no order.
    #[error("{column} is of type {type_name}, which has no order; choose another column or comparison")]
    NoOrder {
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
    },
    /// A filter's value is not one of the column's type.
    #[error("{value:?} does not fit {column} ({type_name}): {reason}")]
    Value {
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// What was given.
        value: String,
        /// What the server says.
        reason: String,
    },
    /// No such row, or this organization does not see it.
    #[error("{0} has no such row here; it may have been deleted, or be another organization's")]
    NoRow(String),
    /// No such organization.
    #[error("there is no organization {0:?}; choose one from the list")]
    NoOrganization(String),
    /// The role may not read it.
    #[error("this role may not read it ({0}); connect as a role that may")]
    Denied(String),
    /// The statement timeout struck.
    #[error(
        "the server did not answer within {TIMEOUT_SECONDS} s; narrow the filter, or sort by an indexed column"
    )]
    TooSlow,
    /// Another session holds a lock.
    #[error("another session has the table locked; try again in a moment")]
    Busy,
    /// Something tried to write.
    #[error("a read-only look must not write, and something in the database tried to ({0})")]
    Writes(String),
    /// The schema changed since the page was made.
    #[error("the schema changed meanwhile ({0}); go back to the list of tables")]
    Changed(String),
}

/// A statement that takes longer is ended.
const TIMEOUT_SECONDS: u32 = 10;

/// An organization, as the switch shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id, as text whatever its type.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// One read-only look at the database; its rows don't change while it is open.
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
    organization: Option<Organization>,
    organizations: Option<Vec<Organization>>,
    relations: Vec<Relation>,
    outside: Vec<Relation>,
}

impl Snapshot {
    /// Opens a look at `db` as the organization `org` sees it, or with no organization at all of it.
    ///
    /// # Errors
    /// [`BrowseError::NoOrganization`] when there is none of that id, and database errors.
    pub fn open<'a>(db: &'a Db, mapping: &'a Mapping, org: Option<&'a str>) -> Task<'a, Snapshot> {
        Box::pin(async move {
            let mut tx = db
                .pool()
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .context("open a read-only transaction")?;
            settings(&mut tx, org).await?;
            let mut relations = relation::all(&mut tx, mapping).await?;
            let organizations = match relations
                .iter()
                .any(|relation| relation.name == mapping.organizations() && relation.is_readable)
            {
                true => Some(organizations(&mut tx, mapping).await?),
                false => None,
            };
            let (organization, outside) = match org {
                None => (None, Vec::new()),
                Some(id) => {
                    if organizations.is_none() {
                        return Err(BrowseError::NoOrganization(id.to_owned()).into());
                    }
                    let organization = organization(&mut tx, mapping, id).await?;
                    let outside = relations.extract_if(.., |relation| relation.scope.is_none()).collect();
                    (Some(organization), outside)
                }
            };
            Ok(Snapshot { tx, organization, organizations, relations, outside })
        })
    }

    /// The organization whose view this is; `None` is all of them.
    pub fn organization(&self) -> Option<&Organization> {
        self.organization.as_ref()
    }

    /// The organizations to choose from, at most [`ORGANIZATIONS_LISTED_MAX`] and one more to show that there are
    /// more; `None` where the database has no table of them.
    pub fn organizations(&self) -> Option<&[Organization]> {
        self.organizations.as_deref()
    }

    /// The tables and views that are seen here, by schema and name.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The tables and views that are not seen here, since they are no organization's.
    pub fn outside(&self) -> &[Relation] {
        &self.outside
    }

    /// What is known of the table `name`.
    ///
    /// # Errors
    /// When it is not there, or not seen here, and database errors.
    pub fn table<'a>(&'a mut self, schema: &'a str, name: &'a str) -> Task<'a, Table> {
        Box::pin(async move {
            let named = |relation: &&Relation| {
                relation.name.schema.as_str() == schema && relation.name.name.as_str() == name
            };
            let Some(relation) = self.relations.iter().find(named).cloned() else {
                return Err(match (self.outside.iter().find(named), &self.organization) {
                    (Some(relation), Some(organization)) => BrowseError::NotTheirs {
                        table: relation.name.plain(),
                        org: organization.name.clone(),
                    },
                    _ => BrowseError::NoTable(name.to_owned()),
                }
                .into());
            };
            if !relation.is_readable {
                return Err(BrowseError::Denied(relation.name.plain()).into());
            }
            relation::describe(&mut self.tx, relation).await
        })
    }

    /// One page of `table`.
    ///
    /// # Errors
    /// When the view names what is not there or a filter's value does not fit, and database errors.
    pub fn page<'a>(&'a mut self, table: &'a Table, view: &'a View) -> Task<'a, Page> {
        Box::pin(rows::page(self, table, view))
    }

    /// How many rows of `table` pass the filters.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn count<'a>(&'a mut self, table: &'a Table, filters: &'a [Filter]) -> Task<'a, Count> {
        Box::pin(rows::count(self, table, filters))
    }

    /// How many rows each of [`relations`](Self::relations) has, in their order; `None` for one that can't be read.
    ///
    /// # Errors
    /// Database errors.
    pub fn counts(&mut self) -> Task<'_, Vec<Option<Count>>> {
        Box::pin(rows::counts(self))
    }

    /// The row of `table` whose columns have these values.
    ///
    /// # Errors
    /// [`BrowseError::NoRow`] when there is none, and as [`page`](Self::page).
    pub fn row<'a>(&'a mut self, table: &'a Table, values: &'a [(String, String)]) -> Task<'a, Row> {
        Box::pin(rows::row(self, table, values))
    }

    fn relation(&self, name: &QualifiedName) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == *name && relation.is_readable)
    }
}

/// A statement under construction: conditions and the values that are bound to it.
#[derive(Debug, Clone, Default)]
struct Binds(Vec<Arc<str>>);

impl Binds {
    /// `value` as a parameter of type `type_name`, sent as text and read by the type's own input function.
    fn value(&mut self, value: &str, type_name: &Definition) -> Statement {
        self.0.push(value.into());
        render("CAST({param}::text AS {type})", &[("param", &Param(self.0.len())), ("type", type_name)])
    }

    fn text(&mut self, value: &str) -> Statement {
        self.0.push(value.into());
        render("{param}::text", &[("param", &Param(self.0.len()))])
    }

    /// Never kept by the server: the statements are many, and the schema may change between two of them.
    fn query<'q>(
        self,
        statement: &Statement,
    ) -> sqlx::query::Query<'q, Postgres, <Postgres as sqlx::Database>::Arguments> {
        let mut query = sqlx::query(statement.sql()).persistent(false);
        for value in self.0 {
            query = query.bind(value.to_string());
        }
        query
    }
}

/// The condition that a row of `relation`, known as `alias`, is the organization's.
fn scoped(
    relation: &Relation,
    organization: Option<&Organization>,
    alias: &'static str,
    binds: &mut Binds,
) -> Option<Statement> {
    let (organization, (column, type_name)) = (organization?, relation.scope.as_ref()?);
    let value = binds.value(&organization.id, type_name);
    Some(render(
        "{alias}.{column} OPERATOR(pg_catalog.=) {value}",
        &[("alias", &Fixed(alias)), ("column", column), ("value", &value)],
    ))
}

/// A failed statement, in the words of somebody who only wanted to look.
fn refused(context: &str, error: sqlx::Error) -> Error {
    let said = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
    match sqlstate(&error).as_deref() {
        Some("57014") => BrowseError::TooSlow.into(),
        Some("55P03") => BrowseError::Busy.into(),
        Some("42501") => BrowseError::Denied(said).into(),
        Some("25006") => BrowseError::Writes(said).into(),
        Some("42P01" | "42703" | "3F000" | "XX000") => BrowseError::Changed(said).into(),
        _ => DbError::Statement { context: context.to_owned(), cause: error }.into(),
    }
}

async fn settings(tx: &mut Transaction<'static, Postgres>, org: Option<&str>) -> Result<(), Error> {
    let org = org.unwrap_or_default();
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '3s', true),
                set_config('idle_in_transaction_session_timeout', '60s', true), set_config('app.org_id', $2, true),
                -- What it hides is said on the page.
                set_config('row_security', 'on', true)",
    )
    .persistent(false)
    .bind(format!("{TIMEOUT_SECONDS}s"))
    .bind(org)
    .execute(&mut **tx)
    .await
    .map_err(|error| match sqlstate(&error).as_deref() {
        // Only the organization's id comes from outside.
        Some("22021") => BrowseError::NoOrganization(org.to_owned()).into(),
        _ => refused("set the transaction's limits", error),
    })?;
    Ok(())
}

async fn organizations(
    tx: &mut Transaction<'static, Postgres>,
    mapping: &Mapping,
) -> Result<Vec<Organization>, Error> {
    let statement = render(
        "SELECT o.id::text, coalesce(to_jsonb(o) ->> 'name', o.id::text) FROM {organizations} AS o ORDER BY 2, 1 LIMIT $1",
        &[("organizations", &mapping.organizations())],
    );
    let rows: Vec<(String, String)> = sqlx::query_as(statement.sql())
        .persistent(false)
        .bind(ORGANIZATIONS_LISTED_MAX as i64 + 1)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| refused("list the organizations", error))?;
    Ok(rows.into_iter().map(|(id, name)| Organization { id, name }).collect())
}

async fn organization(
    tx: &mut Transaction<'static, Postgres>,
    mapping: &Mapping,
    id: &str,
) -> Result<Organization, Error> {
    let statement = render(
        "SELECT o.id::text, coalesce(to_jsonb(o) ->> 'name', o.id::text) FROM {organizations} AS o WHERE o.id::text = $1",
        &[("organizations", &mapping.organizations())],
    );
    let found: Option<(String, String)> = sqlx::query_as(statement.sql())
        .persistent(false)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| refused("find the organization", error))?;
    let (id, name) = found.ok_or_else(|| BrowseError::NoOrganization(id.to_owned()))?;
    Ok(Organization { id, name })
}

/// A column, seen through `alias`.
fn seen(alias: &'static str, column: &Ident) -> Statement {
    render("{alias}.{column}", &[("alias", &Fixed(alias)), ("column", column)])
}
