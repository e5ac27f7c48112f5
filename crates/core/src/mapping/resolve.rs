//! Compares a mapping with the catalog, and makes it a model.

use sqlx::{PgConnection, Row as _};

use super::{
    BalancesMapping, KeptBy, LedgerMapping, Mapping, Place, Placed, PostingMapping, Source, TableName,
    UsersMapping, expression,
};
use crate::{
    Error, Task,
    config::nearest,
    db::{Context as _, Db},
    model::{
        BalanceColumn, BalanceKeyTypes, Balances, EntryId, KeyType, Ledger, Model, ModelError, NaturalKey,
        Posting, Term, Users,
    },
    sql::{Definition, Ident, QualifiedName, Statement, render},
};

/// What a quantity may be made of, below its domains.
const EXACT: [&str; 4] = ["numeric", "bigint", "integer", "smallint"];

impl Mapping {
    /// Compares the mapping with the catalog of `db`, and makes it what statements are rendered over.
    ///
    /// # Errors
    /// [`ModelError`] for the first table, column or expression that does not hold; database errors.
    pub fn resolve<'a>(&'a self, db: &'a Db) -> Task<'a, Model> {
        Box::pin(async move {
            let mut connection = db.acquire().await?;
            Resolver { mapping: self, db, connection: &mut connection }.model().await
        })
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
    has_default: bool,
}

struct Resolver<'a> {
    mapping: &'a Mapping,
    db: &'a Db,
    connection: &'a mut PgConnection,
}

fn refused(place: &Place, reason: impl Into<String>) -> Error {
    ModelError::Mapping { place: place.to_string(), reason: reason.into() }.into()
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

impl Resolver<'_> {
    async fn model(mut self) -> Result<Model, Error> {
        let mapping = self.mapping;
        self.schemas().await?;
        let mut tenant_tables: Vec<QualifiedName> = Vec::new();
        for table in &mapping.tenant_tables {
            let name = self.table(table).await?;
            if tenant_tables.contains(&name) {
                return Err(refused(
                    &table.place,
                    format!("{} is listed twice; name each table once", name.plain()),
                ));
            }
            tenant_tables.push(name);
        }
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
        for (what, table, place) in [
            (
                "the users' table",
                users.as_ref().map(|users| &users.table),
                mapping.users.as_ref().map(|u| &u.table.place),
            ),
            ("the items' table", items.as_ref(), mapping.items.as_ref().map(|items| &items.place)),
        ] {
            if let (Some(table), Some(place)) = (table, place)
                && !tenant_tables.contains(table)
            {
                let reason = format!("{what} {} is not among tenancy.tables; add it there", table.plain());
                return Err(refused(place, reason));
            }
        }
        Ok(Model {
            schema: mapping.schema().clone(),
            natural_keys: if mapping.has_default_tables { natural_keys(&tenant_tables) } else { Vec::new() },
            tenant_tables,
            org_column: mapping.org_column().clone(),
            org_type: mapping.org_type,
            organizations,
            api_keys: mapping.api_keys(),
            roles: mapping.roles().clone(),
            users,
            items,
            ledger,
            balances,
        })
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

    /// Refuses a table that bears the name of one of Stockfoil's own and lacks `columns` of it.
    async fn require_own(
        &mut self,
        table: &QualifiedName,
        columns: &[&str],
        place: &Place,
        remedy: &str,
    ) -> Result<(), Error> {
        let there = self.columns(table).await?;
        let lacks = |name: &&&str| !there.iter().any(|column| column.name == **name);
        match columns.iter().find(lacks) {
            Some(missing) if !there.is_empty() => {
                let reason = format!(
                    "there is another table {} already, which Stockfoil did not make (it has no column {missing}); {remedy}",
                    table.plain()
                );
                Err(refused(place, reason))
            }
            _ => Ok(()),
        }
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
        let columns = sqlx::query_as(include_str!("columns.sql"))
            .bind(table.to_string())
            .fetch_all(&mut *self.connection)
            .await
            .context(format!("read the columns of {}", table.plain()))?;
        Ok(columns)
    }

    async fn users(&mut self, users: &UsersMapping) -> Result<Users, Error> {
        let table = self.table(&users.table).await?;
        let columns = self.columns(&table).await?;
        let id = column(&table, &columns, &users.id.value, &users.id.place)?;
        let email = column(&table, &columns, &users.email.value, &users.email.place)?;
        let text = |name: &Ident, column: &Column| match column.type_name.as_str() {
            "text" => plain(name),
            _ => render("{name}::text", &[("name", name)]),
        };
        Ok(Users {
            id_text: text(&users.id.value, id),
            email: text(&users.email.value, email),
            id: users.id.value.clone(),
            table,
        })
    }

    async fn ledger(&mut self, ledger: &LedgerMapping) -> Result<Ledger, Error> {
        let (table, kind) = self.table_and_kind(&ledger.table).await?;
        let columns = self.columns(&table).await?;
        let partitions: Vec<(String, String, String)> = match kind.as_str() {
            "p" => sqlx::query_as(include_str!("partitions.sql"))
                .bind(table.to_string())
                .fetch_all(&mut *self.connection)
                .await
                .context(format!("read the partitions of {}", table.plain()))?,
            _ => Vec::new(),
        };
        if let Some((schema, name, _)) = partitions.iter().find(|(.., kind)| kind == "f") {
            let reason = format!(
                "partition {schema}.{name} is a foreign table, where no trigger can count entries; detach it or make it a table"
            );
            return Err(refused(&ledger.table.place, reason));
        }
        let id = ledger
            .id
            .value
            .iter()
            .map(|name| column(&table, &columns, name, &ledger.id.place))
            .collect::<Result<Vec<_>, _>>()?;
        let id = EntryId {
            key_type: match id.as_slice() {
                [only] => KeyType::of(&only.type_name).filter(|key_type| *key_type != KeyType::Uuid),
                _ => None,
            },
            columns: ledger.id.value.clone(),
        };
        let created_at = match &ledger.created_at {
            Some(source) => Some(self.created_at(&table, &columns, source).await?),
            None => None,
        };
        let filter = match &ledger.filter {
            Some(source) => self.filter(&table, &columns, source).await?,
            None => None,
        };
        let mut postings = Vec::new();
        for posting in &ledger.postings {
            postings.push(self.posting(&table, &columns, posting).await?);
        }
        let key_type = |part: fn(&Posting) -> Option<&Term>| -> Option<KeyType> {
            let mut types = postings.iter().filter_map(part).map(|term| KeyType::of(&term.type_name));
            let first = types.next()?.unwrap_or(KeyType::Text);
            Some(if types.all(|other| other == Some(first)) { first } else { KeyType::Text })
        };
        let key = BalanceKeyTypes {
            item: key_type(|posting| Some(&posting.item)).unwrap_or(KeyType::Text),
            location: key_type(|posting| posting.location.as_ref()),
            lot: key_type(|posting| posting.lot.as_ref()),
        };
        let partitions = partitions
            .into_iter()
            .map(|(schema, name, _)| Ok(QualifiedName::new(Ident::new(schema)?, Ident::new(name)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Ledger {
            table,
            is_partitioned: kind == "p",
            partitions,
            id,
            created_at,
            filter,
            postings,
            key,
            key_index: ledger.key_index,
            is_incremental: ledger.is_incremental,
            is_replicated: ledger.is_replicated,
        })
    }

    async fn posting(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        posting: &PostingMapping,
    ) -> Result<Posting, Error> {
        let item = self.key_term(table, columns, &posting.item).await?;
        let location = match &posting.location {
            Some(source) => Some(self.key_term(table, columns, source).await?),
            None => None,
        };
        let lot = match &posting.lot {
            Some(source) => Some(self.key_term(table, columns, source).await?),
            None => None,
        };
        let (quantity, base) = self.term(table, columns, &posting.quantity).await?;
        let place = &posting.quantity.place;
        if matches!(base.as_str(), "real" | "double precision") {
            let what = quantity.column.as_ref().map_or("the expression", Ident::as_str);
            let reason = format!(
                "{what} has type {base}, which is not exact; write {{ sql = \"...::numeric\" }} with the rounding that the application means"
            );
            return Err(refused(place, reason));
        }
        if !EXACT.contains(&without_modifier(&base)) {
            let reason = format!(
                "its type is {}, and a quantity is numeric or an integer; convert it with {{ sql = \"...\" }}",
                quantity.type_name
            );
            return Err(refused(place, reason));
        }
        Ok(Posting { item, location, lot, quantity: Term { type_name: base, ..quantity } })
    }

    async fn key_term(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Term, Error> {
        let (term, base) = self.term(table, columns, source).await?;
        if matches!(without_modifier(&base), "real" | "double precision" | "json" | "xml")
            || base.ends_with("[]")
        {
            let reason = format!(
                "its type is {}, which can't be a part of a balance's key; convert it with {{ sql = \"...::text\" }}",
                term.type_name
            );
            return Err(refused(&source.place, reason));
        }
        Ok(term)
    }

    /// The term, and its type below domains.
    async fn term(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<(Term, String), Error> {
        match &source.value {
            Source::Column(name) => {
                let found = column(table, columns, name, &source.place)?;
                let term = Term {
                    sql: plain(name),
                    column: Some(name.clone()),
                    type_name: found.type_name.clone(),
                    is_nullable: !found.is_not_null,
                };
                Ok((term, found.base_type.clone()))
            }
            Source::Sql(sql) => {
                let parsed = self.expression(table, sql, &source.place).await?;
                let term =
                    Term { sql: parsed.sql, column: None, type_name: parsed.type_name, is_nullable: true };
                Ok((term, parsed.base_type))
            }
        }
    }

    /// Which rows count; none where all of them do, since PostgreSQL keeps no predicate that is always true.
    async fn filter(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Option<Statement>, Error> {
        let (term, base) = self.term(table, columns, source).await?;
        if base == "boolean" {
            return Ok(Some(term.sql).filter(|sql| !matches!(sql.as_str(), "true" | "(true)")));
        }
        let reason = format!(
            "its type is {}, and what says whether a row counts is boolean; write a comparison",
            term.type_name
        );
        Err(refused(&source.place, reason))
    }

    async fn created_at(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Statement, Error> {
        let (Term { sql, .. }, base) = self.term(table, columns, source).await?;
        if base.starts_with("timestamp") || base == "date" {
            return Ok(sql);
        }
        let reason = format!(
            "its type is {base}, and when an entry was made is a timestamp or a date; name such a column, or say false"
        );
        Err(refused(&source.place, reason))
    }

    async fn expression(
        &mut self,
        table: &QualifiedName,
        sql: &str,
        place: &Place,
    ) -> Result<expression::Parsed, Error> {
        if self.db.facts().read_only {
            let reason = "SQL in the mapping is checked in a temporary table, which this read-only server refuses; connect to the primary";
            return Err(refused(place, reason));
        }
        let schemas: Vec<Ident> = self.mapping.schemas();
        expression::parse(self.connection, table, &schemas, sql)
            .await?
            .map_err(|reason| refused(place, reason))
    }

    async fn balances(&mut self, balances: &BalancesMapping, ledger: &Ledger) -> Result<Balances, Error> {
        if !balances.is_adopted {
            let own = |name: &Placed<Ident>| BalanceColumn { name: name.value.clone(), cast: None };
            let table = balances.table.value.within(self.mapping.schema());
            let mut columns = vec![self.mapping.org_column().as_str()];
            columns.extend(balances.lot.as_ref().map(|_| "lot_key"));
            let remedy = "give balances.table another name, or say adopt = true";
            self.require_own(&table, &columns, &balances.table.place, remedy).await?;
            return Ok(Balances {
                table,
                is_adopted: false,
                kept_by: balances.kept_by,
                item: own(&balances.item),
                location: balances.location.as_ref().map(own),
                lot: balances.lot.as_ref().map(own),
                lot_key: balances.lot.as_ref().map(|_| Ident::fixed("lot_key")),
                quantity: balances.quantity.value.clone(),
                last_ledger_id: balances.last_ledger_id.as_ref().map(|name| name.value.clone()),
                last_updated: balances.last_updated.as_ref().map(|name| name.value.clone()),
            });
        }
        let table = self.table(&balances.table).await?;
        if table == ledger.table {
            return Err(refused(
                &balances.table.place,
                "this is the ledger; name the table that holds the balances",
            ));
        }
        let columns = self.columns(&table).await?;
        let key_column = |name: &Placed<Ident>, key_type: KeyType| {
            let found = column(&table, &columns, &name.value, &name.place)?;
            let cast = if found.type_name == key_type.name() {
                None
            } else if key_type == KeyType::Text && is_textual(found) {
                // The catalog printed the name.
                Some(render("{type}", &[("type", &Definition::from_catalog(found.type_name.clone()))]))
            } else {
                let reason = format!(
                    "{} has type {}, and the ledger's is {}; a balance's key has the ledger's types",
                    name.value.as_str(),
                    found.type_name,
                    key_type.name()
                );
                return Err(refused(&name.place, reason));
            };
            Ok(BalanceColumn { name: name.value.clone(), cast })
        };
        let optional = |name: &Option<Placed<Ident>>, key_type: Option<KeyType>| {
            name.as_ref().zip(key_type).map(|(name, key_type)| key_column(name, key_type)).transpose()
        };
        let resolved = Balances {
            item: key_column(&balances.item, ledger.key.item)?,
            location: optional(&balances.location, ledger.key.location)?,
            lot: optional(&balances.lot, ledger.key.lot)?,
            lot_key: None,
            quantity: adopted_quantity(&table, &columns, &balances.quantity, ledger)?,
            last_ledger_id: typed(&table, &columns, &balances.last_ledger_id, &["text"])?,
            last_updated: typed(
                &table,
                &columns,
                &balances.last_updated,
                &["timestamp with time zone", "timestamp without time zone"],
            )?,
            is_adopted: true,
            kept_by: balances.kept_by,
            table,
        };
        let written = [
            Some(self.mapping.org_column()),
            Some(&resolved.item.name),
            resolved.location.as_ref().map(|column| &column.name),
            resolved.lot.as_ref().map(|column| &column.name),
            Some(&resolved.quantity),
            resolved.last_ledger_id.as_ref(),
            resolved.last_updated.as_ref(),
        ];
        let unfilled = columns.iter().find(|column| {
            column.is_not_null
                && !column.has_default
                && !written.iter().flatten().any(|name| name.as_str() == column.name)
        });
        if let (Some(column), KeptBy::Triggers) = (unfilled, resolved.kept_by) {
            let reason = format!(
                "column {} of {} is NOT NULL without a default, so no new balance could be written; give it a default",
                column.name,
                resolved.table.plain()
            );
            return Err(refused(&balances.table.place, reason));
        }
        Ok(resolved)
    }
}

/// The adopted column of quantities, which must hold every sum of the ledger's.
fn adopted_quantity(
    table: &QualifiedName,
    columns: &[Column],
    name: &Placed<Ident>,
    ledger: &Ledger,
) -> Result<Ident, Error> {
    let found = column(table, columns, &name.value, &name.place)?;
    let holds = |sums: &str| match (scale(&found.base_type), scale(sums)) {
        (Some(Scale::Any), _) => true,
        (Some(Scale::Digits(has)), Some(Scale::Digits(needs))) => has >= needs,
        _ => false,
    };
    let sums_exactly = ledger.postings.iter().all(|posting| holds(&posting.quantity.type_name));
    if found.is_generated || !sums_exactly {
        let reason = format!(
            "{} has type {}, which can't hold every sum of the ledger's {}; make it numeric (ALTER TABLE {table} ALTER COLUMN {} TYPE numeric)",
            name.value.as_str(),
            found.base_type,
            ledger.postings[0].quantity.type_name,
            name.value
        );
        return Err(refused(&name.place, reason));
    }
    Ok(name.value.clone())
}

/// How many decimals a type holds.
enum Scale {
    Any,
    Digits(i32),
}

fn scale(base_type: &str) -> Option<Scale> {
    match base_type {
        "numeric" => Some(Scale::Any),
        "smallint" | "integer" | "bigint" => Some(Scale::Digits(0)),
        _ => {
            let modifier = base_type.strip_prefix("numeric(")?.strip_suffix(')')?;
            modifier.split_once(',').and_then(|(_, scale)| scale.parse().ok()).map(Scale::Digits)
        }
    }
}

fn typed(
    table: &QualifiedName,
    columns: &[Column],
    name: &Option<Placed<Ident>>,
    types: &[&str],
) -> Result<Option<Ident>, Error> {
    let Some(name) = name else { return Ok(None) };
    let found = column(table, columns, &name.value, &name.place)?;
    if types.contains(&found.base_type.as_str()) {
        return Ok(Some(name.value.clone()));
    }
    let reason = format!(
        "{} has type {}, and it must be {}; or say false",
        name.value.as_str(),
        found.type_name,
        types.join(" or ")
    );
    Err(refused(&name.place, reason))
}

fn is_textual(column: &Column) -> bool {
    let base = without_modifier(&column.base_type);
    // An enum is its own base type, and every other type that isn't built in prints as its name.
    matches!(base, "text" | "character varying" | "character")
        || KeyType::of(base).is_none() && !EXACT.contains(&base)
}

fn without_modifier(type_name: &str) -> &str {
    type_name.split('(').next().unwrap_or(type_name).trim_end()
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
