//! The tables that a command works on, as the catalog shows them: which are tenant-scoped, where the ledger and its
//! balances are, and the SQL over them that every statement is made of.

use crate::{
    db::Db,
    mapping::{KeptBy, Roles},
    sql::{Fixed, Fragment, Ident, List, Literal, QualifiedName, Statement, render},
};

/// The ledger's column that holds the number of the transaction that made the entry; NULL for those before it.
pub(crate) const TX: &str = "stockfoil_tx";

/// Why the database does not fit the mapping.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A table of the default model is not there.
    #[error(
        "database {database:?} has no table {table}; run db-migrate to create the default inventory, connect to the application's database, or map its tables in stockfoil.toml (db-generate --propose-config writes a proposal)"
    )]
    MissingTable {
        /// The database that was looked at.
        database: String,
        /// The table, with its schema unless that is `public`.
        table: String,
    },
    /// A column of the default model is not there.
    #[error(
        "table {table} has no column {column}, which the default of {key} needs; name the column that there is in stockfoil.toml"
    )]
    MissingColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The key whose default it is.
        key: String,
    },
    /// Something that the mapping says does not hold.
    #[error("{place}: {reason}")]
    Mapping {
        /// File, line and key.
        place: String,
        /// What was found, and what is there instead.
        reason: String,
    },
}

/// The types that the parts of a balance's key have. What has another type in the ledger is kept as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `text`.
    Text,
    /// `uuid`.
    Uuid,
    /// `smallint`.
    Smallint,
    /// `integer`.
    Integer,
    /// `bigint`.
    Bigint,
}

impl KeyType {
    /// The type's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Text => "text",
            KeyType::Uuid => "uuid",
            KeyType::Smallint => "smallint",
            KeyType::Integer => "integer",
            KeyType::Bigint => "bigint",
        }
    }

    /// The type that `format_type` calls `name`.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Text, Self::Uuid, Self::Smallint, Self::Integer, Self::Bigint]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// What puts values of this type into the one order in which everybody locks balances.
    fn collation(self) -> &'static str {
        if self == KeyType::Text { " COLLATE \"C\"" } else { "" }
    }
}

/// What every statement is rendered over; made by [`Mapping::resolve`](crate::mapping::Mapping::resolve).
#[derive(Debug, Clone)]
pub struct Model {
    /// The schema of Stockfoil's own tables among the application's.
    pub schema: Ident,
    /// The tenant-scoped tables, in the order of the mapping.
    pub tenant_tables: Vec<QualifiedName>,
    /// What the application keeps unique, and must stay unique within an organization; known of the default model.
    pub natural_keys: Vec<NaturalKey>,
    /// The column that says whose a row is.
    pub org_column: Ident,
    /// Its type, and that of an organization's id.
    pub org_type: KeyType,
    /// The table of organizations.
    pub organizations: QualifiedName,
    /// The table of API keys' hashes.
    pub api_keys: QualifiedName,
    /// The roles under isolation.
    pub roles: Roles,
    /// The people, where the database has any.
    pub users: Option<Users>,
    /// The table of items, where the database has one.
    pub items: Option<QualifiedName>,
    /// The ledger.
    pub ledger: Ledger,
    /// The balances.
    pub balances: Balances,
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
    /// The key's text.
    pub id_text: Statement,
    /// The address that a user is known by.
    pub email: Statement,
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The table.
    pub table: QualifiedName,
    /// Whether it is partitioned.
    pub is_partitioned: bool,
    /// The partitions, at every level.
    pub partitions: Vec<QualifiedName>,
    /// An entry's primary key.
    pub id: EntryId,
    /// When an entry was made, where that is known.
    pub created_at: Option<Statement>,
    /// Which rows are entries; all of them where this is none.
    pub filter: Option<Statement>,
    /// How an entry moves stock, each with the same parts.
    pub postings: Vec<Posting>,
    /// The types that the parts of a key have in the balances.
    pub key: BalanceKeyTypes,
    /// Whether `migrate-balance` builds the covering index over the balance key.
    pub key_index: bool,
    /// Whether entries carry the transaction that made them (`stockfoil_tx`), so that a comparison need not read old ones.
    pub is_incremental: bool,
    /// Whether logical replication writes the ledger, which fires no statement triggers.
    pub is_replicated: bool,
}

impl Ledger {
    /// The ledger and its partitions: wherever a statement may write.
    pub fn tables(&self) -> impl Iterator<Item = &QualifiedName> {
        std::iter::once(&self.table).chain(&self.partitions)
    }
}

/// An entry's primary key.
#[derive(Debug, Clone)]
pub struct EntryId {
    /// Its columns.
    pub columns: Vec<Ident>,
    /// The type of a single column that is kept as it is; none for a composite key or another type.
    pub key_type: Option<KeyType>,
}

/// The types of a balance's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceKeyTypes {
    /// The item.
    pub item: KeyType,
    /// The location; none where there are no locations.
    pub location: Option<KeyType>,
    /// The lot; none where there are no lots.
    pub lot: Option<KeyType>,
}

/// One movement of an entry: of an item, at a location, of a lot.
#[derive(Debug, Clone)]
pub struct Posting {
    /// The item moved.
    pub item: Term,
    /// Where.
    pub location: Option<Term>,
    /// The lot.
    pub lot: Option<Term>,
    /// How much, signed: in is positive, out is negative.
    pub quantity: Term,
}

/// SQL over a row of the ledger: a column, or what PostgreSQL printed of an expression.
#[derive(Debug, Clone)]
pub struct Term {
    /// The SQL; it needs no parentheses around it.
    pub sql: Statement,
    /// The column, where it is one.
    pub column: Option<Ident>,
    /// Its type, as `format_type` prints it.
    pub type_name: String,
    /// Whether it may be NULL.
    pub is_nullable: bool,
}

/// The balances and their columns.
#[derive(Debug, Clone)]
pub struct Balances {
    /// The table.
    pub table: QualifiedName,
    /// Whether it was there before Stockfoil.
    pub is_adopted: bool,
    /// Who keeps it while the application writes.
    pub kept_by: KeptBy,
    /// The item.
    pub item: BalanceColumn,
    /// The location, where there are locations.
    pub location: Option<BalanceColumn>,
    /// The lot, where there are lots.
    pub lot: Option<BalanceColumn>,
    /// The generated key of the lot that takes no lot for a value; an adopted table has none.
    pub lot_key: Option<Ident>,
    /// The quantity.
    pub quantity: Ident,
    /// The newest entry counted.
    pub last_ledger_id: Option<Ident>,
    /// When it changed last.
    pub last_updated: Option<Ident>,
}

/// A column of a balance's key.
#[derive(Debug, Clone)]
pub struct BalanceColumn {
    /// Its name.
    pub name: Ident,
    /// The cast that a value of the key's type needs to be written into it, where it needs one.
    pub cast: Option<Statement>,
}

/// A function or procedure, rendered.
#[derive(Debug, Clone)]
pub struct Routine {
    /// What creates it.
    pub create: Statement,
    /// Its body, as `pg_proc.prosrc` holds it.
    pub body: String,
}

impl Model {
    /// Fills the model's SQL into `template`.
    ///
    /// Names: `{schema}`, `{org}` and its type `{org.type}`, `{organizations}`, `{api_keys}`, the roles
    /// `{app_role}` and `{operations_role}`, `{users}` with
    /// `{users.id}`, `{users.id.text}` and `{users.email}`, `{items}`, `{ledger}`, `{balances}` and its columns
    /// `{balances.quantity}`. The tables of people and items are only for statements that run where there are any.
    ///
    /// Entries: `{entries}`, `{new_entries}` and `{old_entries}` are queries of postings (`org, item, location, lot,
    /// quantity, id, created_at`) of the ledger and of a trigger's transition tables. Under the alias `e` of such a
    /// query, `{e.group}` groups by key as the ledger's own columns have it, and `{e.item}`, `{e.location}`,
    /// `{e.lot}` are the key's parts as balances have them; `{e.id}` is the entry's id as text, and `{e.last_id}` the
    /// aggregate that is the newest one's. `{tx_entries}` and `{new_tx_entries}` have the transaction (`tx`) too, where
    /// the ledger is incremental, and `{e.hash}` is a hash of the entry.
    ///
    /// `{key.weight}` is a number made of a key, of whatever has the columns `org, item, location, lot`; a part that is NULL
    /// is as an empty one.
    ///
    /// Balances: `{balance_rows}` is a query of them (`org, item, location, lot, quantity`). Of `d`, rows with a key,
    /// a `delta` and a `ledger_id`: `{balances.columns}`, `{balances.values}` and `{balances.add}` are the parts of
    /// the one INSERT that adds deltas to balances, `{d.order}` the one order in which it does, and `{b.is_d}` says
    /// that the balance `b` is of `d`'s key. `{balances.drift_columns}`, `{balances.drift_values}` and
    /// `{balances.add_drift}` leave out the newest entry.
    pub fn render(&self, template: &'static str) -> Statement {
        self.render_with(template, &[])
    }

    /// As [`render`](Self::render), with further fragments, which also stand in for the model's own of their name.
    pub fn render_with(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Statement {
        let org_type = Fixed(self.org_type.name());
        let (entry, balance) = (EntrySql::of(self), BalanceSql::of(self));
        let ledger = self.entries(&self.ledger.table);
        let (new, old) = (self.entries(&Fixed("new_rows")), self.entries(&Fixed("old_rows")));
        let (tx_entries, new_tx) = (self.tx_entries(&self.ledger.table), self.tx_entries(&Fixed("new_rows")));
        let own: Vec<(&str, &dyn Fragment)> = vec![
            ("schema", &self.schema),
            ("org", &self.org_column),
            ("org.type", &org_type),
            ("organizations", &self.organizations),
            ("api_keys", &self.api_keys),
            ("app_role", &self.roles.application),
            ("operations_role", &self.roles.operations),
            ("ledger", &self.ledger.table),
            ("entries", &ledger),
            ("new_entries", &new),
            ("old_entries", &old),
            ("tx_entries", &tx_entries),
            ("new_tx_entries", &new_tx),
            ("e.hash", &entry.hash),
            ("e.group", &entry.group),
            ("e.item", &entry.item),
            ("e.location", &entry.location),
            ("e.lot", &entry.lot),
            ("e.id", &entry.id),
            ("e.last_id", &entry.last_id),
            ("key.weight", &Fixed(KEY_WEIGHT)),
            ("balances", &self.balances.table),
            ("balances.quantity", &self.balances.quantity),
            ("balance_rows", &balance.rows),
            ("balances.columns", &balance.columns),
            ("balances.values", &balance.values),
            ("balances.add", &balance.add),
            ("balances.drift_columns", &balance.drift_columns),
            ("balances.drift_values", &balance.drift_values),
            ("balances.add_drift", &balance.add_drift),
            ("d.order", &balance.order),
            ("b.is_d", &balance.is_d),
            ("item.type", &balance.item_type),
            ("location.type", &balance.location_type),
            ("lot.type", &balance.lot_type),
        ];
        // The first of a name is taken.
        let mut fragments = [more, own.as_slice()].concat();
        if let Some(users) = &self.users {
            fragments.extend([
                ("users", &users.table as &dyn Fragment),
                ("users.id", &users.id),
                ("users.id.text", &users.id_text),
                ("users.email", &users.email),
            ]);
        }
        if let Some(items) = &self.items {
            fragments.push(("items", items));
        }
        render(template, &fragments)
    }

    /// The statement that creates a routine, and the routine's body, from a template whose body stands between `$body$`.
    ///
    /// Names and expressions of the mapping may hold any text, that of a dollar quote too: the body is quoted when it is
    /// whole.
    pub fn routine(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Routine {
        let (head, body) = template.split_once("$body$").unwrap_or((template, ""));
        let body = self.render_with(body.split("$body$").next().unwrap_or_default(), more);
        let create = render(
            "{head}{body}",
            &[("head", &self.render_with(head, more)), ("body", &Literal::new(body.as_str()))],
        );
        Routine { create, body: body.as_str().to_owned() }
    }

    /// The query of the postings of `source`: the ledger, or rows of its shape.
    pub fn entries(&self, source: &dyn Fragment) -> Statement {
        self.postings(source, None)
    }

    /// As [`entries`](Self::entries), with the transaction that made each (`tx`); only where the ledger is incremental.
    pub(crate) fn tx_entries(&self, source: &dyn Fragment) -> Statement {
        self.postings(source, Some(&Ident::fixed(TX)))
    }

    fn postings(&self, source: &dyn Fragment, tx: Option<&Ident>) -> Statement {
        let ledger = &self.ledger;
        let columns = List(ledger.id.columns.clone());
        let id = match ledger.id.columns.as_slice() {
            [_] => render("{columns}", &[("columns", &columns)]),
            _ => render("ROW({columns})", &[("columns", &columns)]),
        };
        let created_at = ledger.created_at.clone().unwrap_or_else(|| fixed("NULL::timestamptz"));
        let tx_column = match tx {
            Some(tx) => render(", {tx} AS tx", &[("tx", tx)]),
            None => fixed(""),
        };
        let uniform = |part: fn(&Posting) -> Option<&Term>| Uniform::of(&ledger.postings, part);
        let (items, locations, lots) = (
            uniform(|posting| Some(&posting.item)),
            uniform(|posting| posting.location.as_ref()),
            uniform(|posting| posting.lot.as_ref()),
        );
        let queries = ledger.postings.iter().map(|posting| {
            let item = items.select(Some(&posting.item), "NULL::text");
            let location = locations.select(posting.location.as_ref(), "''::text");
            let lot = lots.select(posting.lot.as_ref(), "NULL::text");
            let quantity = match posting.quantity.type_name.starts_with("numeric") {
                true => posting.quantity.sql.clone(),
                false => render("({quantity})::numeric", &[("quantity", &posting.quantity.sql)]),
            };
            let mut conditions: Vec<Statement> = ledger.filter.iter().cloned().collect();
            let key = [Some(&posting.item), posting.location.as_ref()];
            for term in key.into_iter().flatten().filter(|term| term.is_nullable) {
                conditions.push(render("{term} IS NOT NULL", &[("term", &term.sql)]));
            }
            let counts = match conditions.as_slice() {
                [] => fixed(""),
                conditions => {
                    let all = joined(conditions, " AND ");
                    render(" WHERE {all}", &[("all", &all)])
                }
            };
            render(
                "SELECT {org} AS org, {item} AS item, {location} AS location, {lot} AS lot, {quantity} AS quantity, {id} AS id, {created_at} AS created_at{tx} FROM {source}{counts}",
                &[
                    ("org", &self.org_column),
                    ("item", &item),
                    ("location", &location),
                    ("lot", &lot),
                    ("quantity", &quantity),
                    ("id", &id),
                    ("created_at", &created_at),
                    ("tx", &tx_column),
                    ("source", source),
                    ("counts", &counts),
                ],
            )
        });
        joined(&queries.collect::<Vec<_>>(), "\nUNION ALL\n")
    }
}

/// A part of the key over all postings: one type, or text where they differ.
struct Uniform {
    /// Whether each posting's term is made text where it is selected, since they are of different types.
    is_cast: bool,
    /// Whether the selected value is of a type that balances keep.
    is_kept: bool,
}

impl Uniform {
    fn of(postings: &[Posting], part: fn(&Posting) -> Option<&Term>) -> Self {
        let mut types = postings.iter().filter_map(part).map(|term| term.type_name.as_str());
        let first = types.next();
        let is_cast = types.any(|other| Some(other) != first);
        Self { is_cast, is_kept: is_cast || first.is_none_or(|first| KeyType::of(first).is_some()) }
    }

    fn select(&self, term: Option<&Term>, absent: &'static str) -> Statement {
        match term {
            None => fixed(absent),
            Some(term) if self.is_cast => render("({term})::text", &[("term", &term.sql)]),
            Some(term) => term.sql.clone(),
        }
    }
}

/// SQL over the alias `e` of a query of entries.
struct EntrySql {
    group: Statement,
    item: Statement,
    location: Statement,
    lot: Statement,
    id: Statement,
    last_id: Statement,
    hash: Statement,
}

/// Of 64 bits, and signed; as text, so that both sides agree whatever the types of their columns; and never NULL, though a
/// balance that something else wrote may lack a part of its key.
const KEY_WEIGHT: &str = "hashtextextended(org::text COLLATE \"C\", hashtextextended(coalesce(item::text, '') COLLATE \"C\", \
     hashtextextended(coalesce(location::text, '') COLLATE \"C\", hashtextextended(coalesce(lot::text, '') COLLATE \"C\", 0))))";

impl EntrySql {
    fn of(model: &Model) -> Self {
        let ledger = &model.ledger;
        let value = |name: &'static str, part: fn(&Posting) -> Option<&Term>| {
            let name = fixed(name);
            match Uniform::of(&ledger.postings, part).is_kept {
                true => name,
                false => render("{name}::text", &[("name", &name)]),
            }
        };
        let lot = value("e.lot", |posting| posting.lot.as_ref());
        let mut group = vec![fixed("e.org"), fixed("e.item")];
        group.extend(ledger.key.location.map(|_| fixed("e.location")));
        group.extend(ledger.key.lot.map(|_| fixed("e.lot")));
        Self {
            group: joined(&group, ", "),
            item: value("e.item", |posting| Some(&posting.item)),
            // Without locations or lots there is nothing to group by, and one value for all.
            location: match ledger.key.location {
                Some(_) => value("e.location", |posting| posting.location.as_ref()),
                None => fixed("''::text"),
            },
            lot: match ledger.key.lot {
                Some(KeyType::Text) => render("nullif({lot}, '')", &[("lot", &lot)]),
                Some(_) => lot,
                None => fixed("NULL::text"),
            },
            id: fixed("e.id::text"),
            // The hash of a numeric leaves its sign out.
            hash: fixed(
                "hashtextextended(e.id::text, coalesce(hash_numeric_extended(e.quantity, (e.quantity < 0)::int), 2))",
            ),
            last_id: fixed(match ledger.id.key_type {
                Some(KeyType::Smallint | KeyType::Integer | KeyType::Bigint) => "max(e.id)::text",
                Some(KeyType::Text) => "max(e.id COLLATE \"C\")",
                _ => "max(e.id::text COLLATE \"C\")",
            }),
        }
    }
}

/// SQL that reads and writes balances.
struct BalanceSql {
    rows: Statement,
    columns: Statement,
    values: Statement,
    add: Statement,
    drift_columns: Statement,
    drift_values: Statement,
    add_drift: Statement,
    order: Statement,
    is_d: Statement,
    item_type: Fixed,
    location_type: Fixed,
    lot_type: Fixed,
}

impl BalanceSql {
    fn of(model: &Model) -> Self {
        let (balances, key) = (&model.balances, model.ledger.key);
        let parts = [
            ("item", "d.item", Some(&balances.item), Some(key.item)),
            ("location", "d.location", balances.location.as_ref(), key.location),
            ("lot", "d.lot", balances.lot.as_ref(), key.lot),
        ];
        let parts: Vec<_> = parts
            .into_iter()
            .filter_map(|(name, of_d, column, key_type)| Some((name, of_d, column?, key_type?)))
            .collect();
        let write = |sql: &'static str, column: &BalanceColumn| match &column.cast {
            None => fixed(sql),
            Some(cast) => render("{value}::{cast}", &[("value", &fixed(sql)), ("cast", cast)]),
        };
        let plain = |name: &Ident| render("{name}", &[("name", name)]);
        let org = plain(&model.org_column);
        let key_columns: Vec<Statement> = std::iter::once(org.clone())
            .chain(parts.iter().map(|(_, _, column, _)| plain(&column.name)))
            .collect();
        let key_values: Vec<Statement> = std::iter::once(fixed("d.org"))
            .chain(parts.iter().map(|(_, of_d, column, _)| write(of_d, column)))
            .collect();
        // Column and value, in turn, of what is not the key.
        let quantity = (plain(&balances.quantity), fixed("d.delta"));
        let ledger_id = balances.last_ledger_id.as_ref().map(|name| (plain(name), fixed("d.ledger_id")));
        let updated =
            balances.last_updated.as_ref().map(|name| (plain(name), fixed("statement_timestamp()")));
        let set = |columns: &[&(Statement, Statement)]| {
            let set = columns.iter().map(|(column, _)| {
                let excluded = render("{column} = EXCLUDED.{column}", &[("column", column)]);
                let sum = render("{column} = b.{column} + EXCLUDED.{column}", &[("column", column)]);
                if *column == quantity.0 { sum } else { excluded }
            });
            let set = joined(&set.collect::<Vec<_>>(), ", ");
            let conflict = List(conflict(model));
            render("ON CONFLICT ({conflict}) DO UPDATE SET {set}", &[("conflict", &conflict), ("set", &set)])
        };
        let all: Vec<&(Statement, Statement)> =
            std::iter::once(&quantity).chain(&ledger_id).chain(&updated).collect();
        let drift: Vec<&(Statement, Statement)> = std::iter::once(&quantity).chain(&updated).collect();
        let with = |key: &[Statement], more: &[&(Statement, Statement)], second: bool| {
            let more = more.iter().map(|pair| if second { pair.1.clone() } else { pair.0.clone() });
            joined(&key.iter().cloned().chain(more).collect::<Vec<_>>(), ", ")
        };
        let order = parts.iter().map(|(_, of_d, _, key_type)| {
            render("{d}{collation}", &[("d", &fixed(of_d)), ("collation", &Fixed(key_type.collation()))])
        });
        let org_order = render("d.org{collation}", &[("collation", &Fixed(model.org_type.collation()))]);
        // Only a lot may be none, and it is the last part of the key.
        let nulls = fixed(if key.lot.is_some() { " NULLS FIRST" } else { "" });
        let order = joined(&std::iter::once(org_order).chain(order).collect::<Vec<_>>(), ", ");
        let is_d = std::iter::once(render("b.{org} = d.org", &[("org", &org)])).chain(parts.iter().map(
            |(name, of_d, column, _)| {
                let (value, column_name) = (write(of_d, column), &column.name);
                let fragments: [(&str, &dyn Fragment); 2] = [("column", column_name), ("value", &value)];
                match (*name, &balances.lot_key) {
                    ("lot", Some(lot_key)) => {
                        render("b.{lot_key} = coalesce(d.lot::text, '')", &[("lot_key", lot_key)])
                    }
                    ("lot", None) => render("b.{column} IS NOT DISTINCT FROM {value}", &fragments),
                    _ => render("b.{column} = {value}", &fragments),
                }
            },
        ));
        let read = |part: &str| {
            let found = parts.iter().find(|(name, ..)| *name == part);
            found.map(|(_, _, column, key_type)| {
                let key_type = Fixed(key_type.name());
                let fragments: [(&str, &dyn Fragment); 2] = [("name", &column.name), ("type", &key_type)];
                let value = match column.cast {
                    None => render("{name}", &fragments),
                    Some(_) => render("{name}::{type}", &fragments),
                };
                // An adopted table may write no lot as an empty one.
                let is_text_lot = part == "lot" && key.lot == Some(KeyType::Text) && balances.is_adopted;
                if is_text_lot { render("nullif({value}, '')", &[("value", &value)]) } else { value }
            })
        };
        let (item, location, lot) = (
            read("item").unwrap_or_else(|| fixed("NULL::text")),
            read("location").unwrap_or_else(|| fixed("''::text")),
            read("lot").unwrap_or_else(|| fixed("NULL::text")),
        );
        let type_of = |key_type: Option<KeyType>| Fixed(key_type.unwrap_or(KeyType::Text).name());
        Self {
            rows: render(
                "SELECT {org} AS org, {item} AS item, {location} AS location, {lot} AS lot, {quantity}::numeric AS quantity FROM {balances}",
                &[
                    ("org", &org),
                    ("item", &item),
                    ("location", &location),
                    ("lot", &lot),
                    ("quantity", &balances.quantity),
                    ("balances", &balances.table),
                ],
            ),
            columns: with(&key_columns, &all, false),
            values: with(&key_values, &all, true),
            add: set(&all),
            drift_columns: with(&key_columns, &drift, false),
            drift_values: with(&key_values, &drift, true),
            add_drift: set(&drift),
            order: render("{order}{nulls}", &[("order", &order), ("nulls", &nulls)]),
            is_d: joined(&is_d.collect::<Vec<_>>(), " AND "),
            item_type: type_of(Some(key.item)),
            location_type: type_of(key.location),
            lot_type: type_of(key.lot),
        }
    }
}

/// The columns of the balances' unique key.
pub(crate) fn conflict(model: &Model) -> Vec<Ident> {
    let balances = &model.balances;
    let lot = balances.lot_key.as_ref().or(balances.lot.as_ref().map(|lot| &lot.name));
    [Some(&model.org_column), Some(&balances.item.name), balances.location.as_ref().map(|c| &c.name), lot]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

/// SQL of the source code, as a statement.
fn fixed(sql: &'static str) -> Statement {
    render("{sql}", &[("sql", &Fixed(sql))])
}

/// The statements with `separator` between them.
pub(crate) fn joined(statements: &[Statement], separator: &'static str) -> Statement {
    let mut all: Option<Statement> = None;
    for statement in statements {
        all = Some(match &all {
            None => statement.clone(),
            Some(all) => render(
                "{all}{separator}{next}",
                &[("all", all), ("separator", &Fixed(separator)), ("next", statement)],
            ),
        });
    }
    all.unwrap_or_else(|| fixed(""))
}

impl Db {
    /// The error that says that a table of the default model is missing here.
    pub(crate) fn missing_table(&self, table: String) -> ModelError {
        ModelError::MissingTable { database: self.facts().database.clone(), table }
    }
}
