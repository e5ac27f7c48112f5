//! The mapping: which of a database's tables and columns are tenant-scoped, people, ledger and balances.
//!
//! A [`Mapping`] is what `stockfoil.toml` says, or the default model's names, and needs no database.
//! [`resolve`](Mapping::resolve) compares it with the catalog and makes it the [`Model`](crate::model::Model) that
//! statements are rendered over.
//!
//! A ledger's row is an entry, and moves stock by one posting or several: a transfer takes from one place by one
//! posting and gives to another by the other.

pub(crate) mod expression;
pub(crate) mod file;
mod resolve;

use std::{fmt, path::Path, sync::Arc};

use toml::Spanned;

use crate::{
    config::{ConfigError, nearest},
    model::KeyType,
    sql::{Ident, QualifiedName},
    tenancy::OrgId,
};
use file::{OrNone, Term};

/// Where something was said: a key, and its line in the configuration file unless it is a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file and the line.
    file: Option<(Arc<Path>, usize)>,
    /// The key, with its section.
    key: &'static str,
}

impl Place {
    /// Whether nobody said it, and it is the default model's.
    pub fn is_default(&self) -> bool {
        self.file.is_none()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some((path, line)) => {
                write!(f, "configuration file {}: line {line}: {}", path.display(), self.key)
            }
            None => write!(f, "{} (the default)", self.key),
        }
    }
}

/// A value, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was said.
    pub place: Place,
}

/// A table's name, with its schema if that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema; none means the first of the mapping's schemas that has the table.
    pub schema: Option<Ident>,
    /// The name.
    pub name: Ident,
}

impl TableName {
    /// The name for messages, unquoted.
    fn plain(&self) -> String {
        match &self.schema {
            Some(schema) => QualifiedName::new(schema.clone(), self.name.clone()).plain(),
            None => self.name.as_str().to_owned(),
        }
    }

    /// The table in its own schema, else in `schema`.
    fn within(&self, schema: &Ident) -> QualifiedName {
        QualifiedName::new(self.schema.as_ref().unwrap_or(schema).clone(), self.name.clone())
    }
}

/// What stands for a part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A column of the ledger.
    Column(Ident),
    /// SQL over a row of the ledger, as a person wrote it: nothing is known of it before PostgreSQL has parsed it.
    Sql(String),
}

/// Who keeps the balances while the application writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// Stockfoil's triggers on the ledger.
    Triggers,
    /// The application itself; Stockfoil compares and repairs.
    Application,
}

/// The names that every command works with.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Where unqualified tables are looked for, in order; Stockfoil's own tables go into the first.
    schemas: Vec<Placed<Ident>>,
    tenant_tables: Vec<Placed<TableName>>,
    /// Whether the tenant tables are those of the default model.
    has_default_tables: bool,
    org_column: Placed<Ident>,
    org_type: KeyType,
    organizations: Placed<TableName>,
    users: Option<UsersMapping>,
    items: Option<Placed<TableName>>,
    roles: Roles,
    accepted_holes: Vec<String>,
    ledger: LedgerMapping,
    balances: BalancesMapping,
}

/// The database's roles under isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// What the application's logins are members of: it owns nothing and bypasses nothing.
    pub application: Ident,
    /// What backups and Stockfoil's own commands work as: it bypasses row-level security.
    pub operations: Ident,
}

#[derive(Debug, Clone)]
struct UsersMapping {
    table: Placed<TableName>,
    id: Placed<Ident>,
    email: Placed<Ident>,
}

#[derive(Debug, Clone)]
struct LedgerMapping {
    table: Placed<TableName>,
    id: Placed<Vec<Ident>>,
    created_at: Option<Placed<Source>>,
    filter: Option<Placed<Source>>,
    postings: Vec<PostingMapping>,
    key_index: bool,
    is_incremental: bool,
    is_replicated: bool,
}

#[derive(Debug, Clone)]
struct PostingMapping {
    item: Placed<Source>,
    location: Option<Placed<Source>>,
    lot: Option<Placed<Source>>,
    quantity: Placed<Source>,
}

#[derive(Debug, Clone)]
struct BalancesMapping {
    table: Placed<TableName>,
    is_adopted: bool,
    kept_by: KeptBy,
    item: Placed<Ident>,
    location: Option<Placed<Ident>>,
    lot: Option<Placed<Ident>>,
    quantity: Placed<Ident>,
    last_ledger_id: Option<Placed<Ident>>,
    last_updated: Option<Placed<Ident>>,
}

/// The tenant-scoped tables of the default model, referenced ones before those that refer to them.
const DEFAULT_TABLES: [&str; 8] = [
    "users",
    "items",
    "locations",
    "inventory_ledger",
    "count_sheets",
    "count_lines",
    "audit_logs",
    "feature_flags",
];

impl Mapping {
    /// Where Stockfoil's own tables go.
    pub fn schema(&self) -> &Ident {
        &self.schemas[0].value
    }

    /// Where the application's tables are.
    pub fn schemas(&self) -> Vec<Ident> {
        self.schemas.iter().map(|schema| schema.value.clone()).collect()
    }

    /// The column that says whose a row is.
    pub fn org_column(&self) -> &Ident {
        &self.org_column.value
    }

    /// The type of an organization's id.
    pub fn org_type(&self) -> KeyType {
        self.org_type
    }

    /// The table of organizations.
    pub fn organizations(&self) -> QualifiedName {
        self.organizations.value.within(self.schema())
    }

    /// The table of API keys' hashes, beside that of organizations.
    pub fn api_keys(&self) -> QualifiedName {
        QualifiedName::new(self.organizations().schema, Ident::fixed("organization_api_keys"))
    }

    /// The table of balances; an adopted one without a schema is taken to be in the first.
    pub fn balances(&self) -> QualifiedName {
        self.balances.table.value.within(self.schema())
    }

    /// The tenant tables; those without a schema are taken to be in the first.
    pub fn tenant_tables(&self) -> Vec<QualifiedName> {
        self.tenant_tables.iter().map(|table| table.value.within(self.schema())).collect()
    }

    /// The roles under isolation.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The holes in isolation that the operator knows of and lives with, by their objects' names.
    pub fn accepted_holes(&self) -> &[String] {
        &self.accepted_holes
    }

    /// Whether the tenant tables are those of the default model, which the first versioned migration makes.
    pub(crate) fn has_default_tables(&self) -> bool {
        self.has_default_tables
    }

    /// Reads the sections of a configuration file; `source` is its path and text.
    pub(crate) fn new(
        tenancy: &file::Tenancy,
        ledger: &file::Ledger,
        balances: &file::Balances,
        source: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigError> {
        let reader = Reader { source: source.map(|(path, text)| (path.into(), text)) };
        let schemas = reader.schemas(tenancy)?;
        let org_type = reader.org_type(tenancy)?;
        let ledger = reader.ledger(ledger)?;
        let balances = reader.balances(balances, &ledger)?;
        let users = match &tenancy.users {
            Some(OrNone::None) => None,
            Some(OrNone::Some(users)) => Some(reader.users(users)?),
            None => Some(reader.users(&file::Users::default())?),
        };
        let items = match &tenancy.items {
            None => Some(reader.table(None, "tenancy.items", "items")?),
            Some(given) => match given.get_ref() {
                OrNone::None => None,
                OrNone::Some(name) => {
                    let place = reader.place(Some(given), "tenancy.items");
                    Some(reader.placed(parse_table(name), place)?)
                }
            },
        };
        Ok(Self {
            tenant_tables: reader.tenant_tables(tenancy)?,
            has_default_tables: tenancy.tables.is_none(),
            org_column: reader.column(tenancy.org_column.as_ref(), "tenancy.org_column", "org_id")?,
            organizations: reader.table(
                tenancy.organizations.as_ref(),
                "tenancy.organizations",
                "organizations",
            )?,
            roles: reader.roles(&tenancy.isolation)?,
            accepted_holes: tenancy.isolation.accepted.clone(),
            schemas,
            org_type,
            users,
            items,
            ledger,
            balances,
        })
    }

    /// The default organization's id: the one given, else the default of the id's type.
    pub(crate) fn default_org_id(
        &self,
        given: Option<&Spanned<String>>,
        source: Option<(&Path, &str)>,
    ) -> Result<String, ConfigError> {
        let Some(given) = given else { return Ok(default_org_id(self.org_type).to_owned()) };
        let reader = Reader { source: source.map(|(path, text)| (path.into(), text)) };
        let place = reader.place(Some(given), "tenancy.default_org_id");
        let checked = OrgId::of(self.org_type, given.get_ref())
            .map(|id| id.as_str().to_owned())
            .map_err(|error| error.to_string());
        Ok(reader.placed(checked, place)?.value)
    }
}

impl Default for Mapping {
    fn default() -> Self {
        let (tenancy, ledger, balances) = Default::default();
        #[expect(clippy::expect_used, reason = "the default names are valid identifiers")]
        // Can't fail: every name is written in this file, and `the_default_mapping_is_the_default_model` reads them all.
        Self::new(&tenancy, &ledger, &balances, None).expect("the default mapping holds")
    }
}

/// The default organization's id where none is given.
fn default_org_id(org_type: KeyType) -> &'static str {
    match org_type {
        KeyType::Uuid => "00000000-0000-0000-0000-000000000001",
        KeyType::Bigint | KeyType::Integer | KeyType::Smallint => "1",
        KeyType::Text => "default",
    }
}

/// Turns what a file says into names, and says where it is wrong.
struct Reader<'a> {
    source: Option<(Arc<Path>, &'a str)>,
}

impl Reader<'_> {
    fn place<T>(&self, given: Option<&Spanned<T>>, key: &'static str) -> Place {
        let file = given.zip(self.source.as_ref()).map(|(given, (path, text))| {
            let before = &text[..given.span().start.min(text.len())];
            (Arc::clone(path), before.matches('\n').count() + 1)
        });
        Place { file, key }
    }

    fn placed<T>(&self, value: Result<T, String>, place: Place) -> Result<Placed<T>, ConfigError> {
        match value {
            Ok(value) => Ok(Placed { value, place }),
            Err(reason) => Err(refused(&place, &reason)),
        }
    }

    fn table(
        &self,
        given: Option<&Spanned<String>>,
        key: &'static str,
        default: &str,
    ) -> Result<Placed<TableName>, ConfigError> {
        let name = given.map_or(default, |given| given.get_ref());
        self.placed(parse_table(name), self.place(given, key))
    }

    fn column(
        &self,
        given: Option<&Spanned<String>>,
        key: &'static str,
        default: &str,
    ) -> Result<Placed<Ident>, ConfigError> {
        let name = given.map_or(default, |given| given.get_ref());
        self.placed(parse_column(name), self.place(given, key))
    }

    fn schemas(&self, tenancy: &file::Tenancy) -> Result<Vec<Placed<Ident>>, ConfigError> {
        const KEY: &str = "tenancy.schemas";
        let Some(given) = &tenancy.schemas else {
            return Ok(vec![self.column(None, KEY, "public")?]);
        };
        let schemas: Vec<_> =
            given.get_ref().iter().map(|name| self.column(Some(name), KEY, "")).collect::<Result<_, _>>()?;
        match schemas.iter().find(|schema| is_reserved(schema.value.as_str())) {
            Some(schema) => {
                let name = schema.value.as_str();
                Err(refused(
                    &schema.place,
                    &format!("{name} is not an application's schema; name those that hold its tables"),
                ))
            }
            None if schemas.is_empty() => {
                Err(refused(&self.place(Some(given), KEY), "the list is empty; name at least one schema"))
            }
            None => Ok(schemas),
        }
    }

    fn org_type(&self, tenancy: &file::Tenancy) -> Result<KeyType, ConfigError> {
        const KNOWN: [KeyType; 3] = [KeyType::Text, KeyType::Uuid, KeyType::Bigint];
        let Some(given) = &tenancy.org_type else { return Ok(KeyType::Text) };
        let word = given.get_ref().as_str();
        let found = KNOWN.into_iter().find(|known| known.name() == word);
        let place = self.place(Some(given), "tenancy.org_type");
        let reason = || {
            let near = nearest(word, KNOWN.map(KeyType::name));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("an organization's id can't be {word:?}; it is text, uuid or bigint{hint}")
        };
        Ok(self.placed(found.ok_or_else(reason), place)?.value)
    }

    fn tenant_tables(&self, tenancy: &file::Tenancy) -> Result<Vec<Placed<TableName>>, ConfigError> {
        const KEY: &str = "tenancy.tables";
        let Some(given) = &tenancy.tables else {
            return DEFAULT_TABLES.into_iter().map(|name| self.table(None, KEY, name)).collect();
        };
        let mut tables: Vec<Placed<TableName>> = Vec::new();
        for name in given.get_ref() {
            let table = self.table(Some(name), KEY, "")?;
            if tables.iter().any(|other| other.value == table.value) {
                let reason = format!("{} is listed twice; name each table once", table.value.plain());
                return Err(refused(&table.place, &reason));
            }
            tables.push(table);
        }
        if tables.is_empty() {
            let place = self.place(Some(given), KEY);
            return Err(refused(
                &place,
                "the list is empty; name the tables whose rows belong to an organization",
            ));
        }
        Ok(tables)
    }

    fn roles(&self, given: &file::Isolation) -> Result<Roles, ConfigError> {
        let role = |given: Option<&Spanned<String>>, key, default| {
            let role = self.column(given, key, default)?;
            let name = role.value.as_str();
            if name.starts_with("pg_") || matches!(name, "public" | "none") {
                let reason = format!("{name:?} can't be the name of a role; PostgreSQL keeps it for itself");
                return Err(refused(&role.place, &reason));
            }
            Ok(role)
        };
        let application = role(given.app_role.as_ref(), "tenancy.isolation.app_role", "stockfoil_app")?;
        let operations =
            role(given.operations_role.as_ref(), "tenancy.isolation.operations_role", "stockfoil_ops")?;
        if application.value == operations.value {
            let reason = "it is the application's role too, which must not bypass row-level security; give each its own";
            return Err(refused(&operations.place, reason));
        }
        Ok(Roles { application: application.value, operations: operations.value })
    }

    fn users(&self, users: &file::Users) -> Result<UsersMapping, ConfigError> {
        Ok(UsersMapping {
            table: self.table(users.table.as_ref(), "tenancy.users.table", "users")?,
            id: self.column(users.id.as_ref(), "tenancy.users.id", "id")?,
            email: self.column(users.email.as_ref(), "tenancy.users.email", "email")?,
        })
    }

    /// A part of an entry; `default` is the column that it is where nothing is said.
    fn term(
        &self,
        given: Option<&Spanned<Term>>,
        key: &'static str,
        default: Option<&Placed<Source>>,
    ) -> Result<Option<Placed<Source>>, ConfigError> {
        let Some(given) = given else { return Ok(default.cloned()) };
        let place = self.place(Some(given), key);
        match given.get_ref() {
            Term::None => Ok(None),
            Term::Column(name) => self.placed(parse_column(name).map(Source::Column), place).map(Some),
            Term::Sql(sql) if sql.trim().is_empty() => {
                Err(refused(&place, "the SQL is empty; write an expression over the ledger's columns"))
            }
            Term::Sql(sql) if sql.contains('\0') => {
                Err(refused(&place, "the SQL holds a zero byte; remove it"))
            }
            Term::Sql(sql) => Ok(Some(Placed { value: Source::Sql(sql.clone()), place })),
        }
    }

    fn required(
        &self,
        given: Option<&Spanned<Term>>,
        key: &'static str,
        default: &Placed<Source>,
    ) -> Result<Placed<Source>, ConfigError> {
        self.term(given, key, Some(default))?.ok_or_else(|| {
            refused(
                &self.place(given, key),
                "an entry can't be without it; name its column or give { sql = \"...\" }",
            )
        })
    }

    fn ledger(&self, ledger: &file::Ledger) -> Result<LedgerMapping, ConfigError> {
        let column = |key: &'static str, name: &str| -> Result<Placed<Source>, ConfigError> {
            self.placed(parse_column(name).map(Source::Column), self.place::<()>(None, key))
        };
        let id = match &ledger.id {
            None => Placed { value: vec![Ident::fixed("id")], place: self.place::<()>(None, "ledger.id") },
            Some(given) => {
                let columns = given.get_ref().0.iter().map(|name| parse_column(name)).collect();
                self.placed(columns, self.place(Some(given), "ledger.id"))?
            }
        };
        let item = column("ledger.item", "item_id")?;
        let location = column("ledger.location", "location_id")?;
        let lot = column("ledger.lot", "lot_id")?;
        let quantity = column("ledger.quantity", "qty_canonical")?;
        // What every posting has unless it says otherwise.
        let whole = PostingMapping {
            item: self.required(ledger.item.as_ref(), "ledger.item", &item)?,
            location: self.term(ledger.location.as_ref(), "ledger.location", Some(&location))?,
            lot: self.term(ledger.lot.as_ref(), "ledger.lot", Some(&lot))?,
            quantity: self.required(ledger.quantity.as_ref(), "ledger.quantity", &quantity)?,
        };
        let posting = |posting: &file::Posting| -> Result<PostingMapping, ConfigError> {
            Ok(PostingMapping {
                item: self.required(posting.item.as_ref(), "ledger.posting.item", &whole.item)?,
                location: self.term(
                    posting.location.as_ref(),
                    "ledger.posting.location",
                    whole.location.as_ref(),
                )?,
                lot: self.term(posting.lot.as_ref(), "ledger.posting.lot", whole.lot.as_ref())?,
                quantity: self.required(
                    posting.quantity.as_ref(),
                    "ledger.posting.quantity",
                    &whole.quantity,
                )?,
            })
        };
        let postings = match ledger.posting.as_slice() {
            [] => vec![whole],
            postings => postings.iter().map(posting).collect::<Result<_, _>>()?,
        };
        if let Some(odd) = postings.iter().find(|p| {
            (p.location.is_none(), p.lot.is_none())
                != (postings[0].location.is_none(), postings[0].lot.is_none())
        }) {
            let reason =
                "one posting has a location or lot and another has none; give all of them one, or none";
            return Err(refused(&odd.quantity.place, reason));
        }
        let created_at = column("ledger.created_at", "created_at")?;
        Ok(LedgerMapping {
            table: self.table(ledger.table.as_ref(), "ledger.table", "inventory_ledger")?,
            id,
            created_at: self.term(ledger.created_at.as_ref(), "ledger.created_at", Some(&created_at))?,
            filter: self.term(ledger.filter.as_ref(), "ledger.where", None)?,
            postings,
            key_index: ledger.key_index.unwrap_or(true),
            is_incremental: ledger.incremental.unwrap_or(true),
            is_replicated: ledger.replicated.unwrap_or(false),
        })
    }

    fn balances(
        &self,
        balances: &file::Balances,
        ledger: &LedgerMapping,
    ) -> Result<BalancesMapping, ConfigError> {
        let name = |given: &Option<Spanned<OrNone<String>>>, key, default: Option<&str>| {
            let place = self.place(given.as_ref(), key);
            match given.as_ref().map(Spanned::get_ref) {
                Some(OrNone::None) => Ok(None),
                Some(OrNone::Some(name)) => self.placed(parse_column(name), place).map(Some),
                None => default.map(|name| self.placed(parse_column(name), place)).transpose(),
            }
        };
        let required = |given: &Option<Spanned<OrNone<String>>>, key, default| {
            name(given, key, Some(default))?.ok_or_else(|| {
                refused(&self.place(given.as_ref(), key), "a balance can't be without it; name its column")
            })
        };
        let part = |given: &Option<Spanned<OrNone<String>>>, key, default, has: bool, what: &str| {
            let column = name(given, key, has.then_some(default))?;
            if column.is_some() == has {
                return Ok(column);
            }
            let reason = if has {
                format!(
                    "the ledger has {what}s, so a balance must have one; name its column, or set ledger.{what} = false"
                )
            } else {
                format!("the ledger has no {what}s (ledger.{what} = false); leave this out")
            };
            Err(refused(&self.place(given.as_ref(), key), &reason))
        };
        let own = |name| (!balances.adopt).then_some(name);
        let first = &ledger.postings[0];
        let mapping = BalancesMapping {
            table: self.table(balances.table.as_ref(), "balances.table", "inventory_balances")?,
            is_adopted: balances.adopt,
            kept_by: self.kept_by(balances)?,
            item: required(&balances.item, "balances.item", "item_id")?,
            location: part(
                &balances.location,
                "balances.location",
                "location_id",
                first.location.is_some(),
                "location",
            )?,
            lot: part(&balances.lot, "balances.lot", "lot_id", first.lot.is_some(), "lot")?,
            quantity: required(&balances.quantity, "balances.quantity", "qty_canonical")?,
            last_ledger_id: name(&balances.last_ledger_id, "balances.last_ledger_id", own("last_ledger_id"))?,
            last_updated: name(&balances.last_updated, "balances.last_updated", own("last_updated"))?,
        };
        let mut seen: Vec<&Ident> = Vec::new();
        let optional = [&mapping.location, &mapping.lot, &mapping.last_ledger_id, &mapping.last_updated];
        for column in [&mapping.item, &mapping.quantity].into_iter().chain(optional.into_iter().flatten()) {
            if seen.contains(&&column.value) {
                let reason =
                    format!("column {} is named twice; each part needs its own", column.value.as_str());
                return Err(refused(&column.place, &reason));
            }
            seen.push(&column.value);
        }
        Ok(mapping)
    }

    fn kept_by(&self, balances: &file::Balances) -> Result<KeptBy, ConfigError> {
        let Some(given) = &balances.kept_by else { return Ok(KeptBy::Triggers) };
        let kept_by = match given.get_ref().as_str() {
            "triggers" => Ok(KeptBy::Triggers),
            "application" => Ok(KeptBy::Application),
            other => {
                let near = nearest(other, ["triggers", "application"]);
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                Err(format!("balances can't be kept by {other:?}; say triggers or application{hint}"))
            }
        };
        Ok(self.placed(kept_by, self.place(Some(given), "balances.kept_by"))?.value)
    }
}

fn refused(place: &Place, reason: &str) -> ConfigError {
    match &place.file {
        Some((path, line)) => ConfigError::File {
            path: path.to_path_buf(),
            reason: format!("line {line}: {}: {reason}", place.key),
        },
        None => ConfigError::Value { name: place.key.into(), reason: reason.into() },
    }
}

/// Whether a schema is PostgreSQL's or Stockfoil's own.
fn is_reserved(schema: &str) -> bool {
    schema == "stockfoil" || schema == "information_schema" || schema.starts_with("pg_")
}

fn parse_column(text: &str) -> Result<Ident, String> {
    Ident::new(text).map_err(|error| error.to_string())
}

/// Reads `table` or `schema.table`; a part with a dot or a quote is written as in SQL, in double quotes.
fn parse_table(text: &str) -> Result<TableName, String> {
    let parts = QualifiedName::split(text).map_err(|error| error.to_string())?;
    match <[Ident; 2]>::try_from(parts) {
        Ok([schema, name]) => Ok(TableName { schema: Some(schema), name }),
        Err(parts) => match <[Ident; 1]>::try_from(parts) {
            Ok([name]) => Ok(TableName { schema: None, name }),
            Err(_) => Err(format!(
                "{text:?} is not table or schema.table; write a part that has a dot in it in double quotes"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (Option<String>, String) {
        let name = parse_table(text).unwrap();
        (name.schema.map(|schema| schema.as_str().into()), name.name.as_str().into())
    }

    #[test]
    fn tables_are_named_with_or_without_their_schema() {
        assert_eq!(table("User"), (None, "User".into()));
        assert_eq!(table("north.stock"), (Some("north".into()), "stock".into()));
        assert_eq!(table(r#""a.b"."c""d""#), (Some("a.b".into()), "c\"d".into()));
        for text in ["a.b.c", "", ".a", "a.", "\"a", "\"a\"b"] {
            assert!(parse_table(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_default_mapping_is_the_default_model() {
        let mapping = Mapping::default();
        assert_eq!(mapping.tenant_tables().len(), DEFAULT_TABLES.len());
        assert_eq!(mapping.balances().to_string(), r#""public"."inventory_balances""#);
    }
}
