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
mod names;
mod reader;
mod resolve;

use std::path::Path;

use toml::Spanned;

use crate::{
    model::{Hot, KeptBy, Roles},
    org_id::{KeyType, OrgId},
    settings::ConfigError,
    sql::{Ident, QualifiedName},
};
use file::OrNone;
use names::parse_table;
pub use names::{Place, Placed, Source, TableName};
use reader::Reader;
pub(crate) use resolve::balances::made_balances;

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
    memberships: Option<MembershipsMapping>,
    items: Option<Placed<TableName>>,
    roles: Roles,
    accepted_holes: Vec<String>,
    global_keys: Vec<String>,
    ledger: LedgerMapping,
    balances: BalancesMapping,
}

#[derive(Debug, Clone)]
struct UsersMapping {
    table: Placed<TableName>,
    id: Placed<Ident>,
    email: Placed<Ident>,
}

#[derive(Debug, Clone)]
struct MembershipsMapping {
    table: Placed<TableName>,
    user: Placed<Ident>,
    organization: Placed<Ident>,
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
    /// What an entry that corrects the ledger has in further columns.
    correction: Vec<(Placed<Ident>, String)>,
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
    hot: Hot,
    /// Which rows are balances, where not all are.
    filter: Option<Placed<Source>>,
    item: Placed<Ident>,
    location: Option<Placed<Ident>>,
    lot: Option<Placed<Ident>>,
    quantity: Placed<Ident>,
    last_ledger_id: Option<Placed<Ident>>,
    last_updated: Option<Placed<Ident>>,
}

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

    /// The ledger; one without a schema is taken to be in the first.
    pub fn ledger(&self) -> QualifiedName {
        self.ledger.table.value.within(self.schema())
    }

    /// The column of the ledger that says when an entry was made; none where nothing does, or it is reckoned.
    pub(crate) fn ledger_time(&self) -> Option<&Ident> {
        match &self.ledger.created_at.as_ref()?.value {
            Source::Column(column) => Some(column),
            Source::Sql(_) => None,
        }
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

    /// Reads `text`, a configuration of these sections alone that is in no file.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Sections {
            tenancy: file::Tenancy,
            ledger: file::Ledger,
            balances: file::Balances,
        }
        let path = Path::new("stockfoil.toml");
        let Sections { tenancy, ledger, balances } = toml::from_str(text)
            .map_err(|error| ConfigError::File { path: path.into(), reason: error.message().to_owned() })?;
        Self::new(&tenancy, &ledger, &balances, Some((path, text)))
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
        let memberships = match &tenancy.memberships {
            Some(memberships) => Some(reader.memberships(memberships, tenancy)?),
            None => None,
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
            global_keys: tenancy.global_keys.clone(),
            schemas,
            org_type,
            users,
            memberships,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mapping_is_the_default_model() {
        let mapping = Mapping::default();
        assert_eq!(mapping.tenant_tables().len(), reader::DEFAULT_TABLES.len());
        assert_eq!(mapping.balances().to_string(), r#""public"."inventory_balances""#);
    }
}
