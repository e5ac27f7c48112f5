//! Compares a mapping with the catalog, and makes it a model.

pub(super) mod balances;
mod counted;
mod ledger;
mod people;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::{
    Mapping, UsersMapping, expression,
    names::{Place, Placed, TableName},
};
use crate::{
    Error, Task,
    db::{Context as _, Db, PLAN_ONCE},
    model::{Model, ModelError, NaturalKey},
    release,
    settings::nearest,
    sql::{Ident, QualifiedName, Statement, render},
};

/// What a quantity may be made of, below its domains.
const EXACT: [&str; 4] = ["numeric", "bigint", "integer", "smallint"];

impl Mapping {
    /// Compares the mapping with the catalog of `db`, and makes it what statements are rendered over.
    ///
    /// # Errors
    /// [`ModelError`] for the first table, column or expression that does not hold; database errors.
    pub fn resolve<'a>(&'a self, db: &'a Db) -> Task<'a, Model> {
        Box::pin(self.resolve_as(db, false))
    }

    /// [`Self::resolve`] for what only takes Stockfoil's own objects away: another table may have the name of the balances.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(crate) fn resolve_to_take_back<'a>(&'a self, db: &'a Db) -> Task<'a, Model> {
        Box::pin(self.resolve_as(db, true))
    }

    async fn resolve_as(&self, db: &Db, takes_back: bool) -> Result<Model, Error> {
        let mut connection = db.acquire().await?;
        release::refuse_newer(&mut connection).await?;
        sqlx::query(PLAN_ONCE).execute(&mut *connection).await?;
        let model = Resolver { mapping: self, db, connection: &mut connection, takes_back }.model().await;
        let reset = sqlx::query("RESET plan_cache_mode").execute(&mut *connection).await;
        let model = model?;
        reset?;
        Ok(model)
    }

    /// The tenant tables, each with whether it is there: where it is, or would be.
    ///
    /// # Errors
    /// Database errors.
    pub(crate) async fn look_for_tenant_tables(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(QualifiedName, bool)>, Error> {
        let mut tables = Vec::new();
        for table in &self.tenant_tables {
            let found = self.find(connection, &table.value).await?;
            tables.push(match found {
                Some((name, _)) => (name, true),
                None => (table.value.within(self.schema()), false),
            });
        }
        Ok(tables)
    }

    /// The table that `name` means, and its kind: `partition`, or as `pg_class.relkind` has it.
    async fn find(
        &self,
        connection: &mut PgConnection,
        name: &TableName,
    ) -> Result<Option<(QualifiedName, String)>, Error> {
        let schemas: Vec<&str> = match &name.schema {
            Some(schema) => vec![schema.as_str()],
            None => self.schemas.iter().map(|schema| schema.value.as_str()).collect(),
        };
        let names = vec![name.name.as_str(); schemas.len()];
        let found = sqlx::query(include_str!("relations.sql"))
            .bind(&schemas)
            .bind(&names)
            .fetch_all(connection)
            .await
            .context("look for the mapped tables")?;
        let schema_of = |row: &sqlx::postgres::PgRow| row.try_get::<String, _>("schema");
        for schema in schemas {
            for row in &found {
                if schema_of(row)? == schema {
                    let table = QualifiedName::new(Ident::new(schema)?, name.name.clone());
                    return Ok(Some((table, row.try_get("kind")?)));
                }
            }
        }
        Ok(None)
    }
}

/// A column as the catalog has it.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Column {
    name: String,
    type_name: String,
    base_type: String,
    is_not_null: bool,
    is_generated: bool,
    /// The expression of a virtual generated column, which has no value before it is read.
    virtual_as: Option<String>,
    has_default: bool,
    has_one_text: bool,
}

struct Resolver<'a> {
    mapping: &'a Mapping,
    db: &'a Db,
    connection: &'a mut PgConnection,
    /// Whether the model is for a rollback.
    takes_back: bool,
}

fn refused(place: &Place, reason: impl Into<String>) -> Error {
    ModelError::Mapping { place: place.to_string(), reason: reason.into() }.into()
}

/// Why a table of the application's can't be taken for Stockfoil's own.
fn another(table: &QualifiedName, missing: &str, remedy: &str) -> String {
    format!(
        "there is another table {} already, which Stockfoil did not make (it has no column {missing}); {remedy}",
        table.plain()
    )
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

impl Resolver<'_> {
    async fn model(mut self) -> Result<Model, Error> {
        let mapping = self.mapping;
        self.schemas().await?;
        let mut tenant_tables = self.tenant_tables().await?;
        let ledger = self.ledger(&mapping.ledger).await?;
        if !tenant_tables.contains(&ledger.table) {
            let reason = format!(
                "the ledger {} is not among tenancy.tables; add it, since each entry belongs to an organization",
                ledger.table.plain()
            );
            return Err(refused(&mapping.ledger.table.place, reason));
        }
        self.org_column(&tenant_tables).await?;
        let organizations = mapping.organizations();
        let remedy = "give tenancy.organizations another name";
        let columns = ["id", "name", "subdomain", "is_active"];
        self.require_own(&organizations, &columns, &mapping.organizations.place, remedy).await?;
        let balances = self.balances(&mapping.balances, &ledger).await?;
        if balances.is_adopted && !tenant_tables.contains(&balances.table) {
            tenant_tables.push(balances.table.clone());
        }
        let users = match &mapping.users {
            Some(users) => Some(self.users(users).await?),
            None => None,
        };
        let items = match &mapping.items {
            Some(items) => Some(self.table(items).await?),
            None => None,
        };
        let memberships = match (&users, &mapping.memberships) {
            (Some(users), Some(memberships)) => {
                Some(self.memberships(memberships, users, &tenant_tables).await?)
            }
            _ => None,
        };
        if let (Some(users), Some(UsersMapping { table, .. }), None) = (&users, &mapping.users, &memberships)
        {
            require_tenant("the users' table", &users.table, table, &tenant_tables)?;
        }
        if let (Some(items), Some(name)) = (&items, &mapping.items) {
            require_tenant("the items' table", items, name, &tenant_tables)?;
        }
        Ok(Model {
            is_bounded: false,
            schema: mapping.schema().clone(),
            natural_keys: if mapping.has_default_tables { natural_keys(&tenant_tables) } else { Vec::new() },
            tenant_tables,
            global_keys: mapping.global_keys.clone(),
            org_column: mapping.org_column().clone(),
            org_type: mapping.org_type,
            organizations,
            api_keys: mapping.api_keys(),
            roles: mapping.roles().clone(),
            users,
            memberships,
            items,
            ledger,
            balances,
        })
    }

    /// The tenant tables that were named, each once.
    async fn tenant_tables(&mut self) -> Result<Vec<QualifiedName>, Error> {
        let mut tenant_tables: Vec<QualifiedName> = Vec::new();
        for table in &self.mapping.tenant_tables {
            let name = self.table(table).await?;
            if tenant_tables.contains(&name) {
                return Err(refused(
                    &table.place,
                    format!("{} is listed twice; name each table once", name.plain()),
                ));
            }
            tenant_tables.push(name);
        }
        Ok(tenant_tables)
    }

    /// Looks for each schema that was named.
    async fn schemas(&mut self) -> Result<(), Error> {
        let there: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
            .fetch_all(&mut *self.connection)
            .await
            .context("look for the mapped schemas")?;
        for Placed { value, place } in self.mapping.schemas.iter().filter(|schema| !schema.place.is_default())
        {
            if !there.iter().any(|name| name == value.as_str()) {
                let near = hint(nearest(value.as_str(), there.iter().map(String::as_str)));
                let database = &self.db.facts().database;
                let reason = format!("database {database:?} has no schema {}{near}", value.as_str());
                return Err(refused(place, reason));
            }
        }
        Ok(())
    }

    /// Refuses a table that bears the name of one of Stockfoil's own and lacks one of `columns`.
    async fn require_own(
        &mut self,
        table: &QualifiedName,
        columns: &[&str],
        place: &Place,
        remedy: &str,
    ) -> Result<(), Error> {
        let Some(missing) = self.missing_column(table, columns).await? else { return Ok(()) };
        let reason = another(table, missing, remedy);
        Err(refused(place, reason))
    }

    /// The first of `columns` that `table` lacks; none where there is no such table.
    async fn missing_column<'n>(
        &mut self,
        table: &QualifiedName,
        columns: &[&'n str],
    ) -> Result<Option<&'n str>, Error> {
        let there = self.columns(table).await?;
        let lacks = |name: &&&str| !there.iter().any(|column| column.name == **name);
        Ok(columns.iter().find(lacks).filter(|_| !there.is_empty()).copied())
    }

    /// Refuses a column that was named for the organization and is there with another type.
    async fn org_column(&mut self, tables: &[QualifiedName]) -> Result<(), Error> {
        let Placed { value: name, place } = &self.mapping.org_column;
        let wanted = self.mapping.org_type.name();
        for table in tables.iter().filter(|_| !place.is_default()) {
            let columns = self.columns(table).await?;
            let found = columns.iter().find(|column| column.name == name.as_str());
            if let Some(found) = found.filter(|column| column.type_name != wanted) {
                let reason = format!(
                    "{}.{} is there with type {}, and tenancy.org_type is {wanted}; name a column that is free, or correct the type",
                    table.plain(),
                    name.as_str(),
                    found.type_name
                );
                return Err(refused(place, reason));
            }
        }
        Ok(())
    }

    /// The table that `name` means: an ordinary or a partitioned one.
    async fn table(&mut self, name: &Placed<TableName>) -> Result<QualifiedName, Error> {
        Ok(self.table_and_kind(name).await?.0)
    }

    async fn table_and_kind(&mut self, name: &Placed<TableName>) -> Result<(QualifiedName, String), Error> {
        let found = self.mapping.find(self.connection, &name.value).await?;
        match found {
            Some((table, kind)) if kind == "r" || kind == "p" => Ok((table, kind)),
            Some((table, kind)) => {
                let what = match kind.as_str() {
                    "v" => "a view",
                    "m" => "a materialized view",
                    "partition" => "a partition, which goes with the table that it is of",
                    _ => "a foreign table",
                };
                Err(refused(&name.place, format!("{} is {what}; name the table itself", table.plain())))
            }
            None if name.place.is_default() && self.mapping.has_default_tables => {
                Err(self.db.missing_table(name.value.within(self.mapping.schema()).plain()).into())
            }
            None => {
                let schemas: Vec<String> = match &name.value.schema {
                    Some(schema) => vec![schema.as_str().to_owned()],
                    None => self.mapping.schemas.iter().map(|s| s.value.as_str().to_owned()).collect(),
                };
                let there: Vec<(String, String)> = sqlx::query_as(include_str!("names.sql"))
                    .bind(&schemas)
                    .fetch_all(&mut *self.connection)
                    .await
                    .context("look for tables of a similar name")?;
                let near = nearest(name.value.name.as_str(), there.iter().map(|(_, name)| name.as_str()));
                let near = near.map_or_else(
                    || match there.as_slice() {
                        [] => format!("; there is no table at all in {}", schemas.join(", ")),
                        there => {
                            const SHOWN: usize = 8;
                            let names: Vec<&str> =
                                there.iter().take(SHOWN).map(|(_, name)| name.as_str()).collect();
                            let more = if there.len() > SHOWN { ", ..." } else { "" };
                            format!("; there are {}{more}", names.join(", "))
                        }
                    },
                    |near| hint(Some(near)),
                );
                let reason = format!(
                    "database {:?} has no table {}{near}",
                    self.db.facts().database,
                    name.value.plain()
                );
                Err(refused(&name.place, reason))
            }
        }
    }

    async fn columns(&mut self, table: &QualifiedName) -> Result<Vec<Column>, Error> {
        let context = || format!("read the columns of {}", table.plain());
        // The functions that types are written into see built-in names alone.
        let mut transaction = self.connection.begin().await.context(context())?;
        sqlx::query("SELECT set_config('search_path', 'pg_catalog', true)")
            .execute(&mut *transaction)
            .await
            .context(context())?;
        let columns = sqlx::query_as(expression::of_types(include_str!("columns.sql")).sql())
            .bind(table.to_string())
            .fetch_all(&mut *transaction)
            .await
            .context(context())?;
        transaction.commit().await.context(context())?;
        Ok(columns)
    }
}

/// Refuses a table whose rows belong to organizations, and which is not among those that do.
fn require_tenant(
    what: &str,
    table: &QualifiedName,
    name: &Placed<TableName>,
    tenant_tables: &[QualifiedName],
) -> Result<(), Error> {
    if tenant_tables.contains(table) {
        return Ok(());
    }
    let reason = format!("{what} {} is not among tenancy.tables; add it there", table.plain());
    Err(refused(&name.place, reason))
}

/// The type without its modifier, which may stand in its midst: `timestamp(6) without time zone`.
fn without_modifier(type_name: &str) -> String {
    match type_name.split_once('(') {
        Some((name, rest)) => [name, rest.split_once(')').map_or("", |(_, rest)| rest)].concat(),
        None => type_name.to_owned(),
    }
}

fn plain(name: &Ident) -> Statement {
    render("{name}", &[("name", name)])
}

/// The column `name` of `columns`, or the error that says which there are.
fn column<'a>(
    table: &QualifiedName,
    columns: &'a [Column],
    name: &Ident,
    place: &Place,
) -> Result<&'a Column, Error> {
    let found = columns.iter().find(|column| column.name == name.as_str());
    found.ok_or_else(|| {
        let (table, column) = (table.plain(), name.as_str().to_owned());
        if place.is_default() {
            return ModelError::MissingColumn { table, column, key: place.key.to_owned() }.into();
        }
        let near = nearest(&column, columns.iter().map(|column| column.name.as_str()));
        let there = match near {
            Some(near) => hint(Some(near)),
            None => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                format!("; it has {}", names.join(", "))
            }
        };
        refused(place, format!("table {table} has no column {column}{there}"))
    })
}

/// What the default model keeps unique.
fn natural_keys(tables: &[QualifiedName]) -> Vec<NaturalKey> {
    const KEYS: [(&str, &[&str]); 5] = [
        ("users", &["email"]),
        ("items", &["item_number"]),
        ("locations", &["site", "name"]),
        ("count_sheets", &["count_number"]),
        ("feature_flags", &["key"]),
    ];
    let key = |(name, columns): (&str, &[&'static str])| {
        let table = tables.iter().find(|table| table.name.as_str() == name)?.clone();
        Some(NaturalKey { table, columns: columns.iter().copied().map(Ident::fixed).collect() })
    };
    KEYS.into_iter().filter_map(key).collect()
}
