//! Turns what a file says into names, and says where it is wrong.

use std::{path::Path, sync::Arc};

use toml::Spanned;

use super::{
    BalancesMapping, LedgerMapping, MembershipsMapping, PostingMapping, UsersMapping,
    file::{self, OrNone, Term},
    names::{Place, Placed, Source, TableName, parse_column, parse_table, refused},
};
use crate::{
    model::{Hot, KeptBy, Roles},
    org_id::KeyType,
    settings::{ConfigError, nearest},
    sql::Ident,
};

/// The tenant-scoped tables of the default model, referenced ones before those that refer to them.
pub(super) const DEFAULT_TABLES: [&str; 8] = [
    "users",
    "items",
    "locations",
    "inventory_ledger",
    "count_sheets",
    "count_lines",
    "audit_logs",
    "feature_flags",
];

/// Turns what a file says into names, and says where it is wrong.
pub(super) struct Reader<'a> {
    pub(super) source: Option<(Arc<Path>, &'a str)>,
}

impl Reader<'_> {
    pub(super) fn place<T>(&self, given: Option<&Spanned<T>>, key: &'static str) -> Place {
        let file = given.zip(self.source.as_ref()).map(|(given, (path, text))| {
            let before = &text[..given.span().start.min(text.len())];
            (Arc::clone(path), before.matches('\n').count() + 1)
        });
        Place { file, key }
    }

    pub(super) fn placed<T>(&self, value: Result<T, String>, place: Place) -> Result<Placed<T>, ConfigError> {
        match value {
            Ok(value) => Ok(Placed { value, place }),
            Err(reason) => Err(refused(&place, &reason)),
        }
    }

    pub(super) fn table(
        &self,
        given: Option<&Spanned<String>>,
        key: &'static str,
        default: &str,
    ) -> Result<Placed<TableName>, ConfigError> {
        let name = given.map_or(default, |given| given.get_ref());
        self.placed(parse_table(name), self.place(given, key))
    }

    pub(super) fn column(
        &self,
        given: Option<&Spanned<String>>,
        key: &'static str,
        default: &str,
    ) -> Result<Placed<Ident>, ConfigError> {
        let name = given.map_or(default, |given| given.get_ref());
        self.placed(parse_column(name), self.place(given, key))
    }

    pub(super) fn schemas(&self, tenancy: &file::Tenancy) -> Result<Vec<Placed<Ident>>, ConfigError> {
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

    pub(super) fn org_type(&self, tenancy: &file::Tenancy) -> Result<KeyType, ConfigError> {
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

    pub(super) fn tenant_tables(
        &self,
        tenancy: &file::Tenancy,
    ) -> Result<Vec<Placed<TableName>>, ConfigError> {
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

    pub(super) fn roles(&self, given: &file::Isolation) -> Result<Roles, ConfigError> {
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

    pub(super) fn users(&self, users: &file::Users) -> Result<UsersMapping, ConfigError> {
        Ok(UsersMapping {
            table: self.table(users.table.as_ref(), "tenancy.users.table", "users")?,
            id: self.column(users.id.as_ref(), "tenancy.users.id", "id")?,
            email: self.column(users.email.as_ref(), "tenancy.users.email", "email")?,
        })
    }

    pub(super) fn memberships(
        &self,
        given: &Spanned<file::Memberships>,
        tenancy: &file::Tenancy,
    ) -> Result<MembershipsMapping, ConfigError> {
        let memberships = given.get_ref();
        if matches!(tenancy.users, Some(OrNone::None)) {
            let place = self.place(Some(given), "tenancy.memberships");
            return Err(refused(
                &place,
                "there are memberships and no users; name their table in [tenancy.users]",
            ));
        }
        let (org, organization) = (tenancy.org_column.as_ref(), memberships.organization.as_ref());
        Ok(MembershipsMapping {
            table: self.table(memberships.table.as_ref(), "tenancy.memberships.table", "memberships")?,
            user: self.column(memberships.user.as_ref(), "tenancy.memberships.user", "user_id")?,
            organization: self.column(organization.or(org), "tenancy.memberships.organization", "org_id")?,
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

    pub(super) fn ledger(&self, ledger: &file::Ledger) -> Result<LedgerMapping, ConfigError> {
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
            correction: self.correction(ledger)?,
        })
    }

    /// What an entry that corrects the ledger has in further columns; that of the default model says why it was made.
    fn correction(&self, ledger: &file::Ledger) -> Result<Vec<(Placed<Ident>, String)>, ConfigError> {
        const KEY: &str = "ledger.correction";
        let Some(given) = &ledger.correction else {
            let note = (self.column(None, KEY, "note")?, "{reason}".to_owned());
            return Ok(if ledger.table.is_none() { vec![note] } else { Vec::new() });
        };
        let constant = |(name, text): (&String, &Spanned<file::Constant>)| {
            let place = self.place(Some(text), KEY);
            let text = text.get_ref().0.clone();
            let checked = check_places(&text).and_then(|()| parse_column(name));
            Ok((self.placed(checked, place)?, text))
        };
        given.iter().map(constant).collect()
    }

    pub(super) fn balances(
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
            hot: self.hot(balances)?,
            filter: self.counted(balances)?,
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

    /// Which rows of an adopted table are balances.
    fn counted(&self, balances: &file::Balances) -> Result<Option<Placed<Source>>, ConfigError> {
        const KEY: &str = "balances.where";
        let filter = self.term(balances.filter.as_ref(), KEY, None)?;
        match filter {
            Some(filter) if !balances.adopt => Err(refused(
                &filter.place,
                "each row of a table of Stockfoil's own is a balance; leave this out, or say adopt = true",
            )),
            filter => Ok(filter),
        }
    }

    fn kept_by(&self, balances: &file::Balances) -> Result<KeptBy, ConfigError> {
        let known = [("triggers", KeptBy::Triggers), ("application", KeptBy::Application)];
        self.one_of(balances.kept_by.as_ref(), "balances.kept_by", "balances can't be kept by", known)
    }

    fn hot(&self, balances: &file::Balances) -> Result<Hot, ConfigError> {
        const KEY: &str = "balances.hot";
        let known = [("wait", Hot::Wait), ("queue", Hot::Queue)];
        let hot = self.one_of(balances.hot.as_ref(), KEY, "writers of a balance can't", known)?;
        let reason = match (hot, self.kept_by(balances)?) {
            (Hot::Wait, _) => return Ok(hot),
            (Hot::Queue, _) if balances.adopt => {
                "an adopted table is read by the application, which would not see what is queued; leave this out, or don't adopt the table"
            }
            (Hot::Queue, KeptBy::Application) => {
                "the application writes the balances itself (balances.kept_by); leave this out"
            }
            (Hot::Queue, KeptBy::Triggers) => return Ok(hot),
        };
        Err(refused(&self.place(balances.hot.as_ref(), KEY), reason))
    }

    /// What the word given stands for, or the first of `known` where none is.
    fn one_of<T: Copy>(
        &self,
        given: Option<&Spanned<String>>,
        key: &'static str,
        what: &str,
        known: [(&str, T); 2],
    ) -> Result<T, ConfigError> {
        let [(first, default), (second, _)] = known;
        let Some(given) = given else { return Ok(default) };
        let word = given.get_ref().as_str();
        let found = known.into_iter().find(|(name, _)| *name == word).map(|(_, value)| value);
        let reason = || {
            let near = nearest(word, [first, second]);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("{what} {word:?}; say {first} or {second}{hint}")
        };
        Ok(self.placed(found.ok_or_else(reason), self.place(Some(given), key))?.value)
    }
}

/// Whether a schema is PostgreSQL's or Stockfoil's own.
fn is_reserved(schema: &str) -> bool {
    schema == "stockfoil" || schema == "information_schema" || schema.starts_with("pg_")
}

/// What is filled into the texts of `[ledger.correction]`.
const PLACES: [&str; 4] = ["reason", "role", "run", "uuid"];

/// Checks that each `{word}` of a text is one of those that are filled in.
fn check_places(text: &str) -> Result<(), String> {
    let words = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(word, _)| word);
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    match words.filter(is_word).find(|word| !PLACES.contains(word)) {
        None => Ok(()),
        Some(word) => {
            let near =
                nearest(word, PLACES).map_or_else(String::new, |near| format!("; did you mean {{{near}}}?"));
            Err(format!(
                "nothing is filled in for {{{word}}}; there are {{reason}}, {{role}}, {{run}} and {{uuid}}{near}"
            ))
        }
    }
}
