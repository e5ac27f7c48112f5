//! The tables that a command works on: which are tenant-scoped, where the ledger and its balances are.

use crate::{
    db::Db,
    sql::{Fragment, Ident, QualifiedName, Statement, render},
};

/// Why the database does not fit the model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A table of the model is not there.
    #[error(
        "database {database:?} has no table {table}; run db-migrate to create the default inventory, or connect to the application's database"
    )]
    MissingTable {
        /// The database that was looked at.
        database: String,
        /// The table, with its schema unless that is `public`.
        table: String,
    },
    /// A table of the model lacks a column.
    #[error("table {table} has no column {column}; the ledger mapping needs it")]
    MissingColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// The mapping that every statement is rendered over.
#[derive(Debug, Clone)]
pub struct Model {
    /// The schema of the application's tables.
    pub schema: Ident,
    /// The tenant-scoped tables, referenced ones before those that refer to them.
    pub tenant_tables: Vec<QualifiedName>,
    /// What the application keeps unique, and must stay unique within an organization.
    pub natural_keys: Vec<NaturalKey>,
    /// The column that says whose a row is.
    pub org_column: Ident,
    /// The table of organizations.
    pub organizations: QualifiedName,
    /// The table of API keys' hashes.
    pub api_keys: QualifiedName,
    /// The people.
    pub users: Users,
    /// The table of items.
    pub items: QualifiedName,
    /// The ledger.
    pub ledger: Ledger,
    /// The table of balances.
    pub balances: QualifiedName,
}

/// Columns that tell one row of a table from another, beside its primary key.
#[derive(Debug, Clone)]
pub struct NaturalKey {
    /// The table.
    pub table: QualifiedName,
    /// The columns, in the order of their key.
    pub columns: Vec<Ident>,
}

/// The table of people and its columns.
#[derive(Debug, Clone)]
pub struct Users {
    /// The table.
    pub table: QualifiedName,
    /// A user's primary key.
    pub id: Ident,
    /// The address that a user is known by.
    pub email: Ident,
}

/// The ledger's columns.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The table.
    pub table: QualifiedName,
    /// An entry's primary key.
    pub id: Ident,
    /// The item moved.
    pub item: Ident,
    /// The location moved into or out of.
    pub location: Ident,
    /// The lot, where there is one.
    pub lot: Ident,
    /// The signed quantity: in is positive, out is negative.
    pub quantity: Ident,
    /// When the entry was made.
    pub created_at: Ident,
}

impl Default for Model {
    fn default() -> Self {
        let schema = Ident::fixed("public");
        let table = |name| QualifiedName::new(schema.clone(), Ident::fixed(name));
        let natural_key = |name, columns: &[&'static str]| NaturalKey {
            table: table(name),
            columns: columns.iter().copied().map(Ident::fixed).collect(),
        };
        Self {
            natural_keys: vec![
                natural_key("users", &["email"]),
                natural_key("items", &["item_number"]),
                natural_key("locations", &["site", "name"]),
                natural_key("count_sheets", &["count_number"]),
                natural_key("feature_flags", &["key"]),
            ],
            tenant_tables: [
                "users",
                "items",
                "locations",
                "inventory_ledger",
                "count_sheets",
                "count_lines",
                "audit_logs",
                "feature_flags",
            ]
            .map(table)
            .into(),
            org_column: Ident::fixed("org_id"),
            organizations: table("organizations"),
            api_keys: table("organization_api_keys"),
            users: Users { table: table("users"), id: Ident::fixed("id"), email: Ident::fixed("email") },
            items: table("items"),
            ledger: Ledger {
                table: table("inventory_ledger"),
                id: Ident::fixed("id"),
                item: Ident::fixed("item_id"),
                location: Ident::fixed("location_id"),
                lot: Ident::fixed("lot_id"),
                quantity: Ident::fixed("qty_canonical"),
                created_at: Ident::fixed("created_at"),
            },
            balances: table("inventory_balances"),
            schema,
        }
    }
}

impl Model {
    /// Fills the model's names into `template`: `{schema}`, `{org}`, `{organizations}`, `{api_keys}`,
    /// `{users}`, `{users.id}`, `{users.email}`, `{items}`, `{balances}`, `{ledger}`, `{ledger.id}`, `{ledger.item}`, `{ledger.location}`, `{ledger.lot}`,
    /// `{ledger.quantity}`, `{ledger.created_at}`.
    pub fn render(&self, template: &'static str) -> Statement {
        self.render_with(template, &[])
    }

    /// As [`render`](Self::render), with further fragments.
    pub fn render_with(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Statement {
        let mut fragments: Vec<(&str, &dyn Fragment)> = vec![
            ("schema", &self.schema),
            ("org", &self.org_column),
            ("organizations", &self.organizations),
            ("api_keys", &self.api_keys),
            ("users", &self.users.table),
            ("users.id", &self.users.id),
            ("users.email", &self.users.email),
            ("items", &self.items),
            ("balances", &self.balances),
            ("ledger", &self.ledger.table),
            ("ledger.id", &self.ledger.id),
            ("ledger.item", &self.ledger.item),
            ("ledger.location", &self.ledger.location),
            ("ledger.lot", &self.ledger.lot),
            ("ledger.quantity", &self.ledger.quantity),
            ("ledger.created_at", &self.ledger.created_at),
        ];
        fragments.extend_from_slice(more);
        render(template, &fragments)
    }

    /// Checks that the tenant tables and the ledger's columns are there.
    ///
    /// # Errors
    /// [`ModelError`] for the first that is missing, and database errors.
    pub async fn check(&self, db: &Db) -> Result<(), crate::Error> {
        let mut connection = db.acquire().await?;
        for table in &self.tenant_tables {
            let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(table.to_string())
                .fetch_one(&mut *connection)
                .await?;
            if !there {
                return Err(ModelError::MissingTable {
                    database: db.facts().database.clone(),
                    table: table.plain(),
                }
                .into());
            }
        }
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        )
        .bind(self.ledger.table.to_string())
        .fetch_all(&mut *connection)
        .await?;
        let ledger = &self.ledger;
        for column in
            [&ledger.id, &ledger.item, &ledger.location, &ledger.lot, &ledger.quantity, &ledger.created_at]
        {
            if !columns.iter().any(|name| name == column.as_str()) {
                return Err(ModelError::MissingColumn {
                    table: ledger.table.plain(),
                    column: column.as_str().to_owned(),
                }
                .into());
            }
        }
        Ok(())
    }
}
