//! The ledger's indexes and statistics over the balance key; they take no part in correctness.

use super::{Kind, Object};
use crate::{
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
    let mut facts = vec![String::new(), parts.len().to_string()];
    facts.push(model.org_column.as_str().to_owned());
    for term in terms.into_iter().flatten() {
        let column = term.column.as_ref().map(|column| column.as_str().to_owned());
        facts.push(column.unwrap_or_else(|| term.sql.to_string()));
    }
    facts.extend(included.map(|column| column.as_str().to_owned()));
    facts.push(ledger.filter.as_ref().map(|filter| as_predicate(filter.as_str())).unwrap_or_default());
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
        index: Some((method, definition)),
        facts,
        name,
    }
}

/// An expression as an index's predicate prints it: without the parentheses that PostgreSQL puts around an index's
/// column unless it is a function's call.
fn as_predicate(expression: &str) -> String {
    let bare = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    bare.unwrap_or(expression).to_owned()
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
