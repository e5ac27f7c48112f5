//! The ledger's indexes and statistics over the balance key; they take no part in correctness.

use sqlx::PgConnection;

use super::{Kind, Object};
use crate::{
    db::{Context as _, DbError},
    model::{Model, Posting, joined},
    sql::{Fixed, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// The covering indexes, one a posting.
pub(super) fn key_indexes(model: &Model) -> Vec<Object> {
    model.ledger.postings.iter().enumerate().map(|(at, posting)| key_index(at, posting, model)).collect()
}

/// The covering index that finds one key's entries, and sums all of them in order.
fn key_index(at: usize, posting: &Posting, model: &Model) -> Object {
    let ledger = &model.ledger;
    let suffix = if at == 0 { "balance_key_idx".to_owned() } else { format!("balance_key_idx{at}") };
    let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
    let mut parts = vec![render("{org}", &[("org", &model.org_column)])];
    parts.extend(terms.into_iter().flatten().map(|term| match term.column {
        Some(_) => term.sql.clone(),
        None => render("({term})", &[("term", &term.sql)]),
    }));
    // Only a column can be included.
    let included = posting.quantity.column.as_ref();
    let include = match included {
        Some(quantity) => render(" INCLUDE ({quantity})", &[("quantity", quantity)]),
        None => render("", &[]),
    };
    let only = match &ledger.filter {
        Some(filter) => render(" WHERE {filter}", &[("filter", filter)]),
        None => render("", &[]),
    };
    let definition = render(
        "({parts}){include}{only}",
        &[("parts", &joined(&parts, ", ")), ("include", &include), ("only", &only)],
    );
    let mut facts = vec!["btree".to_owned(), String::new(), parts.len().to_string()];
    facts.push(model.org_column.as_str().to_owned());
    for term in terms.into_iter().flatten() {
        let column = term.column.as_ref().map(|column| column.as_str().to_owned());
        facts.push(column.unwrap_or_else(|| term.printed.clone()));
    }
    facts.extend(included.map(|column| column.as_str().to_owned()));
    facts.push(ledger.filter_printed.clone().unwrap_or_default());
    index(
        Ident::joined(&[ledger.table.name.as_str(), &suffix]),
        &ledger.table,
        Fixed(""),
        (Fixed("btree"), definition),
        facts,
    )
}

/// An index, built concurrently.
pub(super) fn index(
    name: Ident,
    table: &QualifiedName,
    unique: Fixed,
    (method, definition): (Fixed, Statement),
    facts: Vec<String>,
) -> Object {
    let qualified = QualifiedName::new(table.schema.clone(), name.clone());
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("unique", &unique),
        ("index", &name),
        ("table", table),
        ("method", &method),
        ("definition", &definition),
    ];
    Object {
        kind: Kind::Index,
        create: vec![render(
            "CREATE {unique}INDEX CONCURRENTLY {index} ON {table} USING {method} {definition}",
            &fragments,
        )],
        drop: Some(render("DROP INDEX CONCURRENTLY IF EXISTS {index}", &[("index", &qualified)])),
        table: Some(table.clone()),
        function: String::new(),
        index: Some((method, definition)),
        facts,
        name,
    }
}

/// An index of one of the balances' tables, as the catalog has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FoundIndex {
    /// The table, as it was asked for.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether it is whole and used.
    pub is_valid: bool,
    /// The index of the partitioned table that it is a part of.
    pub parent: Option<String>,
    /// What makes its definition.
    facts: Vec<String>,
}

/// The indexes of `tables`.
///
/// # Errors
/// When the catalog can't be read.
pub async fn indexes(
    connection: &mut PgConnection,
    tables: &[&QualifiedName],
) -> Result<Vec<FoundIndex>, DbError> {
    let mut tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
    tables.sort();
    tables.dedup();
    sqlx::query_as(include_str!("../indexes.sql"))
        .bind(tables)
        .fetch_all(connection)
        .await
        .context("look at the balances' indexes")
}

impl Object {
    /// What the index is called on `part`, its table or a partition of that.
    pub fn part_name(&self, part: &QualifiedName) -> Option<Ident> {
        let root = self.table.as_ref()?;
        if root == part {
            return Some(self.name.clone());
        }
        let prefix = format!("{}_", root.name.as_str());
        let suffix = self.name.as_str().strip_prefix(&prefix).unwrap_or(self.name.as_str());
        Some(Ident::joined(&[part.name.as_str(), suffix]))
    }

    /// Whether it is an index that keeps something unique.
    pub fn is_unique_index(&self) -> bool {
        self.facts.get(1).is_some_and(|unique| unique.starts_with("unique"))
    }

    /// Whether `found` is of the index's definition, and has `name` or that with a number behind it.
    pub fn is_index(&self, found: &FoundIndex, name: &Ident) -> bool {
        found.facts == self.facts && is_of_family(&found.name, name)
    }

    /// Whether `found` was made for another mapping, or is left over: it has `name`, maybe with numbers behind it, and
    /// begins with the same column, which is Stockfoil's.
    pub fn is_own_index(&self, found: &FoundIndex, name: &Ident) -> bool {
        let what = |facts: &[String]| {
            let is_unique = facts.get(1).is_some_and(|unique| unique.starts_with("unique"));
            (facts.first().cloned(), is_unique, facts.get(3).cloned())
        };
        is_of_family(&found.name, name) && what(&found.facts) == what(&self.facts)
    }

    /// How `found`, the indexes of its table among others, compare with it.
    pub(super) fn compare_index(&self, found: &[FoundIndex]) -> super::State {
        let table = self.table_sql();
        let mut own = found
            .iter()
            .filter(|index| index.table == table && self.is_own_index(index, &self.name))
            .peekable();
        if own.peek().is_none() {
            return super::State::Missing;
        }
        let same: Vec<&FoundIndex> = own.clone().filter(|index| self.is_index(index, &self.name)).collect();
        if same.iter().any(|index| index.is_valid) {
            return super::State::Intact;
        }
        if !same.is_empty() {
            return super::State::Altered("invalid".into());
        }
        let facts = own.next().map(|index| index.facts.as_slice()).unwrap_or_default();
        self.difference(facts)
    }
}

/// Whether `found` is `name`, the same for a second posting, or either with a number behind it.
fn is_of_family(found: &str, name: &Ident) -> bool {
    let base = name.as_str().trim_end_matches(|c: char| c.is_ascii_digit());
    found
        .strip_prefix(base)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
}

/// The columns of the first posting's key, as far as it is made of columns.
fn key_columns(model: &Model) -> Vec<Ident> {
    let posting = &model.ledger.postings[0];
    let terms = [Some(&posting.item), posting.location.as_ref(), posting.lot.as_ref()];
    let columns = terms.into_iter().flatten().filter_map(|term| term.column.as_ref());
    std::iter::once(&model.org_column).chain(columns).cloned().collect()
}

/// How many keys those columns make together.
pub(super) fn statistics(model: &Model) -> Option<Object> {
    let columns = key_columns(model);
    if columns.len() < 2 {
        return None;
    }
    let table = &model.ledger.table;
    let name = Ident::joined(&[table.name.as_str(), "balance_key_stats"]);
    let qualified = QualifiedName::new(table.schema.clone(), name.clone());
    Some(Object {
        kind: Kind::Statistics,
        create: vec![model.render_with(
            "CREATE STATISTICS {statistics} (ndistinct) ON {columns} FROM {ledger}",
            &[("statistics", &qualified), ("columns", &List(columns.clone()))],
        )],
        drop: Some(render("DROP STATISTICS IF EXISTS {statistics}", &[("statistics", &qualified)])),
        table: Some(table.clone()),
        function: String::new(),
        index: None,
        facts: columns.iter().map(|column| column.as_str().to_owned()).collect(),
        name,
    })
}

/// Fills the statistics of the key and the quantity.
pub(super) fn analyze(model: &Model) -> Statement {
    let mut columns = key_columns(model);
    columns.extend(model.ledger.postings[0].quantity.column.clone());
    model.render_with("ANALYZE {ledger} ({columns})", &[("columns", &List(columns))])
}
