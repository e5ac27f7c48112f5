//! The tables that a command works on, as the catalog shows them: which are tenant-scoped, where the ledger and its
//! balances are, and the SQL over them that every statement is made of.

mod balances;
mod entries;
mod people;
mod queue;

use std::cell::LazyCell;

use crate::{
    db::Db,
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, List, Literal, QualifiedName, Statement, render, render_by},
};
use balances::BalanceSql;
pub use balances::Counted;
pub(crate) use balances::conflict;
use entries::{EntrySql, KEY_WEIGHT};
pub use people::{Memberships, Users};
pub(crate) use queue::QUEUE;

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

/// Who keeps the balances while the application writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// Stockfoil's triggers on the ledger.
    Triggers,
    /// The application itself; Stockfoil compares and repairs.
    Application,
}

/// What a writer does that finds the balance of its key held by another writer, whose transaction is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hot {
    /// It waits: there is one row a key, which is the balance.
    Wait,
    /// It puts its delta aside, to be folded into the row later: the balance is the row and what is queued for it.
    Queue,
}

/// The database's roles under isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// What the application's logins are members of: it owns nothing and bypasses nothing.
    pub application: Ident,
    /// What backups and Stockfoil's own commands work as: it bypasses row-level security.
    pub operations: Ident,
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
    /// Keys that are known to stay unique across organizations, each as `table.name`.
    pub global_keys: Vec<String>,
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
    /// Which organizations they are in, where they may be in several: then a person's row is no organization's.
    pub memberships: Option<Memberships>,
    /// The table of items, where the database has one.
    pub items: Option<QualifiedName>,
    /// The ledger.
    pub ledger: Ledger,
    /// The balances.
    pub balances: Balances,
    /// Whether a quantity that is too large to be summed counts as none, as NaN does: it is looked for where a sum has
    /// overflowed, since looking costs.
    pub is_bounded: bool,
}

/// Columns that tell one row of a table from another, beside its primary key.
#[derive(Debug, Clone)]
pub struct NaturalKey {
    /// The table.
    pub table: QualifiedName,
    /// The columns, in the order of their key.
    pub columns: Vec<Ident>,
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
    /// The same as PostgreSQL prints an index's predicate that is made of it.
    pub filter_printed: Option<String>,
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
    /// Its columns.
    pub columns: Vec<LedgerColumn>,
    /// What an entry that corrects the ledger has beside its key and its quantity.
    pub correction: Vec<Constant>,
}

impl Ledger {
    /// The ledger and its partitions: wherever a statement may write.
    pub fn tables(&self) -> impl Iterator<Item = &QualifiedName> {
        std::iter::once(&self.table).chain(&self.partitions)
    }

    /// Whether the text of a part of its keys may depend on a session's settings: that of a date does, that of a number
    /// doesn't. An expression may hold anything.
    pub(crate) fn has_key_of_session(&self) -> bool {
        const SAME_TEXT: [&str; 7] = ["text", "uuid", "smallint", "integer", "bigint", "boolean", "name"];
        let is_same = |term: &Term| {
            let name = term.type_name.as_str();
            term.column.is_some() && (SAME_TEXT.contains(&name) || name.starts_with("character"))
        };
        let parts = self.postings.iter().flat_map(|posting| {
            [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()].into_iter().flatten()
        });
        !parts.into_iter().all(is_same)
    }

    /// Whether how much an entry moves, or whether it counts, is more than a column.
    pub(crate) fn has_expression(&self) -> bool {
        self.filter.is_some() || self.postings.iter().any(|posting| posting.quantity.column.is_none())
    }
}

/// A column of the ledger, as one who writes an entry meets it.
#[derive(Debug, Clone)]
pub struct LedgerColumn {
    /// Its name.
    pub name: Ident,
    /// Whether each entry must be given a value: it is NOT NULL and has no default.
    pub is_required: bool,
    /// Whether the database computes it from other columns.
    pub is_generated: bool,
    /// Whether an entry that is given none has a value all the same.
    pub has_default: bool,
    /// Its type below its domains.
    pub base_type: String,
}

/// What a column of the ledger has in each entry that corrects it.
#[derive(Debug, Clone)]
pub struct Constant {
    /// The column.
    pub column: Ident,
    /// Its type.
    pub type_name: Statement,
    /// The value's text, with places for what is filled in.
    pub text: String,
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
    /// What PostgreSQL prints of an index's column that is made of it.
    pub printed: String,
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
    /// Whether a row can be made for a key that has none: not where the application keeps the table and another column of it
    /// needs a value.
    pub makes_rows: bool,
    /// What writers of the same key do, as it is configured.
    pub hot: Hot,
    /// Whether there is a queue of deltas in the database, whatever is configured: what it holds is part of the balances.
    pub has_queue: bool,
    /// Which rows are balances; all of them where this is none.
    pub counted: Option<Counted>,
    /// The item.
    pub item: BalanceColumn,
    /// The location, where there are locations.
    pub location: Option<BalanceColumn>,
    /// The lot, where there are lots.
    pub lot: Option<BalanceColumn>,
    /// The key of the lot that takes no lot for a value; an adopted table has none.
    pub lot_key: Option<Ident>,
    /// Whether the database computes that column, as it may where the application writes the balances itself.
    pub computes_lot_key: bool,
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
    /// Whether it is NOT NULL: then no lot is an empty text there.
    pub is_never_null: bool,
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
    /// `{users.id}`, `{users.id.text}` and `{users.email}`, `{memberships}` with `{memberships.user}` and `{memberships.org}`, `{items}`, `{ledger}`, `{balances}` and its columns
    /// `{balances.quantity}`; `{ledger.text}` is the ledger's name as a literal. The tables of people and items are only for statements that run where there are any.
    ///
    /// Entries: `{entries}`, `{new_entries}` and `{old_entries}` are queries of postings (`org, item, location, lot,
    /// quantity, id, created_at`) of the ledger and of a trigger's transition tables. Under the alias `e` of such a
    /// query, `{e.group}` groups by key as the ledger's own columns have it, and `{e.item}`, `{e.location}`,
    /// `{e.lot}` are the key's parts as balances have them, and `{e.own_lot}` is the lot with an empty one as it is; `{e.id}` is the entry's id as text, and `{e.last_id}` the
    /// aggregate that is the newest one's. `{tx_entries}` and `{new_tx_entries}` have the transaction (`tx`) too, where
    /// the ledger is incremental, and `{e.hash}` is a hash of the entry.
    ///
    /// `{key.weight}` is a number made of a key, of whatever has the columns `org, item, location, lot`; a part that is NULL
    /// is as an empty one.
    ///
    /// Balances: `{balance_rows}` is a query of them (`org, item, location, lot, quantity`), with what is queued for them;
    /// `{q.is_d}` says that `q`, of the queue, is of `d`'s key. Of `d`, rows with a key,
    /// a `delta` and a `ledger_id`: `{balances.add}` and `{balances.added}` stand before and after the query of them in
    /// the one statement that adds deltas to balances, `{d.order}` is the one order in which it does, and `{b.is_d}` says
    /// that the balance `b` is of `d`'s key. `{balances.add_drift}` and `{balances.added_drift}` leave out the newest
    /// entry; `{balances.drift_columns}`, `{balances.drift_values}`, `{balances.set_drift}` and
    /// `{balances.upsert_drift}` are the parts of that. `{balances.set_empty}` are the assignments that leave a row with
    /// nothing, `{balances.conflict}` the columns of the unique key, `{balances.where}` and `{balances.and}` the condition of rows
    /// that are balances, after a word of that kind, where there is one.
    pub fn render(&self, template: &'static str) -> Statement {
        self.render_with(template, &[])
    }

    /// As [`render`](Self::render), with further fragments, which also stand in for the model's own of their name.
    pub fn render_with(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Statement {
        // Most templates name few of them, and some cost much to make.
        let entry = LazyCell::new(|| EntrySql::of(self));
        let balance = LazyCell::new(|| BalanceSql::of(self));
        render_by(template, |name| {
            // The first of a name is taken.
            if let Some((_, fragment)) = more.iter().find(|(known, _)| *known == name) {
                return Some(Box::new(*fragment));
            }
            let is_of_balances = name.starts_with("balance") || name.ends_with(".type");
            self.fragment(name).or_else(|| match name.split('.').next() {
                Some("e") => entry.fragment(name),
                Some("d" | "b") => balance.fragment(name),
                _ if is_of_balances => balance.fragment(name),
                _ => None,
            })
        })
    }

    /// The model's own fragment of this name, but for the parts of statements over entries and balances.
    fn fragment(&self, name: &str) -> Option<Box<dyn Fragment + '_>> {
        fn boxed<'a>(fragment: impl Fragment + 'a) -> Option<Box<dyn Fragment + 'a>> {
            Some(Box::new(fragment))
        }
        let ledger = &self.ledger.table;
        match name {
            "schema" => boxed(&self.schema),
            "org" => boxed(&self.org_column),
            "org.type" => boxed(Fixed(self.org_type.name())),
            "organizations" => boxed(&self.organizations),
            "api_keys" => boxed(&self.api_keys),
            "app_role" => boxed(&self.roles.application),
            "operations_role" => boxed(&self.roles.operations),
            "ledger" => boxed(ledger),
            "ledger.text" => boxed(Literal::new(&ledger.to_string())),
            "entries" => boxed(self.entries(ledger)),
            "new_entries" => boxed(self.entries(&Fixed("new_rows"))),
            "old_entries" => boxed(self.entries(&Fixed("old_rows"))),
            "tx_entries" => boxed(self.tx_entries(ledger)),
            "new_tx_entries" => boxed(self.tx_entries(&Fixed("new_rows"))),
            "key.weight" => boxed(Fixed(KEY_WEIGHT)),
            "balances" => boxed(&self.balances.table),
            "balances.quantity" => boxed(&self.balances.quantity),
            "q.is_d" => boxed(Fixed(queue::IS_D)),
            "balances.conflict" => boxed(List(conflict(self))),
            "users" => boxed(&self.users.as_ref()?.table),
            "users.id" => boxed(&self.users.as_ref()?.id),
            "users.id.text" => boxed(&self.users.as_ref()?.id_text),
            "users.email" => boxed(&self.users.as_ref()?.email),
            "memberships" => boxed(&self.memberships.as_ref()?.table),
            "memberships.user" => boxed(&self.memberships.as_ref()?.user),
            "memberships.org" => boxed(&self.memberships.as_ref()?.organization),
            "items" => boxed(self.items.as_ref()?),
            _ => None,
        }
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

    /// The same, for statements whose sums have overflowed: see [`is_bounded`](Self::is_bounded).
    pub(crate) fn bounded(&self) -> Self {
        Self { is_bounded: true, ..self.clone() }
    }

    /// The same, for what stays as it is whatever a comparison has met.
    pub(crate) fn unbounded(&self) -> Self {
        Self { is_bounded: false, ..self.clone() }
    }

    /// The query of the postings of `source`: the ledger, or rows of its shape.
    pub fn entries(&self, source: &dyn Fragment) -> Statement {
        self.postings(source, None)
    }

    /// The query of the balances (`org, item, location, lot, quantity`) of `source`, rows of their table's shape.
    pub fn balance_rows(&self, source: &dyn Fragment) -> Statement {
        balances::rows_of(self, source)
    }

    /// As [`entries`](Self::entries), with the transaction that made each (`tx`); only where the ledger is incremental.
    pub(crate) fn tx_entries(&self, source: &dyn Fragment) -> Statement {
        self.postings(source, Some(&Ident::fixed(TX)))
    }
}

/// `quantity`, or NaN where sums of its like, each times a hash, might overflow `numeric`, which ends before 1e131072.
pub(crate) fn bounded(quantity: &Statement) -> Statement {
    render(
        "CASE WHEN ({q}) <= '-1e130000'::numeric OR ({q}) >= '1e130000'::numeric THEN 'NaN'::numeric ELSE ({q}) END",
        &[("q", quantity)],
    )
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
