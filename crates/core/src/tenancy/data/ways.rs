//! How rows that say whose they are lead to others: by a foreign key, and by way of rows that are nobody's.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::super::moves::{self, Graph};
use crate::{
    Error, catalog,
    model::Model,
    sql::{Fragment, Ident, QualifiedName, Statement, render},
};

/// How rows of one table refer to others.
pub(super) struct Way {
    /// The table among the graph's whose rows refer.
    pub(super) place: usize,
    /// SQL of the rows `p` that they refer to: the ones that were asked about, or nobody's that lead to them.
    pub(super) reaching: Statement,
    /// That a row `t` refers to a row `p` of these.
    pub(super) refers: Statement,
    key: Ident,
    /// Nobody's tables between, the nearest to the row that refers first.
    between: Vec<QualifiedName>,
}

impl Way {
    /// Whether it leads by way of rows that are nobody's.
    pub(super) fn is_indirect(&self) -> bool {
        !self.between.is_empty()
    }

    /// `rows` rows that refer so, for a person.
    pub(super) fn describe(&self, graph: &Graph, rows: i64) -> String {
        let (table, key) = (graph.tables[self.place].name.plain(), self.key.as_str());
        let between: Vec<String> = self.between.iter().map(QualifiedName::plain).collect();
        match between.as_slice() {
            [] => format!("{rows} rows of {table} (foreign key {key})"),
            each => format!("{rows} rows of {table} (foreign key {key}, by way of {})", each.join(", ")),
        }
    }
}

/// Every way from a table of `graph` to the rows of `table` that the statement `rows` selects. No table stands twice in one.
pub(super) async fn onto(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    table: &QualifiedName,
    rows: Statement,
) -> Result<Vec<Way>, Error> {
    let mut found = Vec::new();
    let mut ahead: Vec<(QualifiedName, Statement, Vec<QualifiedName>)> =
        vec![(table.clone(), rows, Vec::new())];
    while let Some((parent, reaching, between)) = ahead.pop() {
        for reference in catalog::references(session, std::slice::from_ref(&parent)).await? {
            let columns: Vec<(Ident, Ident)> =
                reference.columns.into_iter().filter(|(column, _)| *column != model.org_column).collect();
            let passed: BTreeSet<&QualifiedName> = between.iter().chain([table]).collect();
            if columns.is_empty() || passed.contains(&reference.child_table) {
                continue;
            }
            let refers = moves::refers("t", &columns);
            if let Some(place) = graph.place(&reference.child_table) {
                let (reaching, between) = (reaching.clone(), between.clone());
                found.push(Way { place, reaching, refers, key: reference.name, between });
            } else if reference.child_table != model.balances.table {
                let more: [(&str, &dyn Fragment); 3] =
                    [("child", &reference.child_table), ("reaching", &reaching), ("refers", &refers)];
                let rows = render("SELECT t.* FROM {child} AS t JOIN ({reaching}) AS p ON {refers}", &more);
                let between = [vec![reference.child_table.clone()], between.clone()].concat();
                ahead.push((reference.child_table, rows, between));
            }
        }
    }
    Ok(found)
}
