//! The selection, looked up in the catalog and put aside.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{
    super::moves::{DataError, Edge, Graph},
    copies,
    request::{Assignment, Selector},
};
use crate::{
    Error,
    db::{Context as _, sqlstate},
    model::Model,
    org_id::OrgId,
    settings::nearest,
    sql::{Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// The rows of one table to begin with.
#[derive(Debug)]
pub(super) struct Root {
    place: usize,
    rows: RootRows,
    from: OrgId,
    to: OrgId,
}

#[derive(Debug)]
enum RootRows {
    Condition(Statement, Vec<String>),
    Ids(Vec<String>),
}

impl Root {
    /// Puts the rows of `orgs` aside.
    pub(super) async fn select(
        &self,
        session: &mut PgConnection,
        model: &Model,
        graph: &Graph,
        orgs: &[&str],
    ) -> Result<(), Error> {
        let table = &graph.tables[self.place];
        let (statement, values) = match &self.rows {
            RootRows::Condition(condition, values) => {
                let more: [(&str, &dyn Fragment); 1] = [("condition", condition)];
                (graph.of_table(model, self.place, include_str!("roots.sql"), &more), values)
            }
            RootRows::Ids(ids) => {
                let keys = table.key_from("i.id");
                let more: [(&str, &dyn Fragment); 1] = [("keys_from_id", &keys)];
                (graph.of_table(model, self.place, include_str!("root_ids.sql"), &more), ids)
            }
        };
        let selected = sqlx::query(statement.sql())
            .persistent(false)
            .bind(values)
            .bind(orgs)
            .execute(&mut *session)
            .await;
        match selected {
            // Class 22: a literal that is no value of its column's type.
            Err(error) if sqlstate(&error).is_some_and(|state| state.starts_with("22")) => {
                let words =
                    error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
                return Err(DataError::Literal(words).into());
            }
            selected => selected.context(format!("select rows of {}", table.name.plain()))?,
        };
        if let RootRows::Ids(ids) = &self.rows {
            let text = table.closure_text("c");
            let statement = graph.of_table(
                model,
                self.place,
                "SELECT i.id FROM unnest($1::text[]) AS i (id) WHERE NOT EXISTS (SELECT FROM {closure} AS c WHERE c.follows AND {text} = i.id)",
                &[("text", &text)],
            );
            // Not as it was written but as the database writes it.
            let canonical = render(
                "SELECT {text} FROM (SELECT {keys_from_id} FROM unnest($1::text[]) AS i (id)) AS c ({keys})",
                &[("text", &text), ("keys_from_id", &table.key_from("i.id")), ("keys", &table.keys())],
            );
            let ids: Vec<String> = sqlx::query_scalar(canonical.sql())
                .persistent(false)
                .bind(ids)
                .fetch_all(&mut *session)
                .await
                .context("read the ids")?;
            let unknown: Vec<String> = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(ids)
                .fetch_all(session)
                .await
                .context("look for the ids")?;
            if !unknown.is_empty() {
                let (from, to) = (self.from.clone(), self.to.clone());
                return Err(
                    DataError::UnknownRows { table: table.name.plain(), from, to, ids: unknown }.into()
                );
            }
        }
        Ok(())
    }
}

/// The selection and the tables whose shared rows are copied, looked up in the catalog.
pub(super) fn resolve(
    model: &Model,
    graph: &Graph,
    assignment: &Assignment,
) -> Result<(Vec<Root>, BTreeSet<usize>), DataError> {
    let mut roots = Vec::new();
    for selector in &assignment.selectors {
        let place = match selector {
            Selector::Locations(_) => locations(model, graph)?,
            Selector::Items(_) => items(model, graph, "--items")?,
            Selector::Rows { table, .. } | Selector::Ids { table, .. } => find_table(graph, table)?,
            Selector::People(_) => people(model, graph)?,
            Selector::Everything => {
                roots.extend(everything(model, graph, assignment));
                continue;
            }
        };
        let table = &graph.tables[place];
        if graph.people == Some(place) {
            return Err(DataError::People(table.name.plain()));
        }
        if table.key.is_empty() {
            return Err(DataError::NoKey(table.name.plain()));
        }
        let rows = match selector {
            Selector::Locations(condition)
            | Selector::Items(condition)
            | Selector::Rows { condition, .. } => {
                let mut values = Vec::new();
                let sql = condition.sql(&table.name.plain(), &table.columns, &mut values)?;
                RootRows::Condition(sql, values)
            }
            Selector::Ids { ids, .. } => {
                RootRows::Ids(ids.iter().map(|id| id_text(id, table.key.len())).collect())
            }
            Selector::People(keys) => RootRows::Ids(keys.iter().cloned().collect()),
            Selector::Everything => continue,
        };
        roots.push(Root { place, rows, from: assignment.from.org.clone(), to: assignment.org.clone() });
    }
    let mut copied = BTreeSet::new();
    if assignment.copies_shared_items {
        copied.insert(items(model, graph, "--copy-shared-items")?);
    }
    for table in &assignment.copies_shared {
        copied.insert(find_table(graph, table)?);
    }
    for place in &copied {
        copies::check(model, graph, *place)?;
    }
    Ok((roots, copied))
}

/// The table of people.
fn people(model: &Model, graph: &Graph) -> Result<usize, DataError> {
    let users = model.users.as_ref().and_then(|users| graph.place(&users.table));
    users.ok_or(DataError::NoPeople)
}

/// All rows of the organization that gives, of every table.
fn everything(model: &Model, graph: &Graph, assignment: &Assignment) -> Vec<Root> {
    let (from, to) = (&assignment.from.org, &assignment.org);
    let given = Literal::new(from.as_str());
    let root = |(place, _)| {
        let condition = model.render_with("t.{org} = {given}::text::{org.type}", &[("given", &given)]);
        let rows = RootRows::Condition(condition, Vec::new());
        Root { place, rows, from: from.clone(), to: to.clone() }
    };
    graph.tables.iter().enumerate().filter(|(_, table)| !table.key.is_empty()).map(root).collect()
}

/// A line of an id file as the records write keys.
fn id_text(line: &str, columns: usize) -> String {
    match columns {
        1 => line.to_owned(),
        _ => serde_json::json!(line.split('\t').collect::<Vec<_>>()).to_string(),
    }
}

fn find_table(graph: &Graph, name: &str) -> Result<usize, DataError> {
    let unknown = || {
        let known: Vec<String> = graph.tables.iter().map(|table| table.name.plain()).collect();
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        DataError::UnknownTable { table: name.to_owned(), nearest }
    };
    let parts = QualifiedName::split(name).map_err(|_| unknown())?;
    let is = |table: &QualifiedName| match parts.as_slice() {
        [one] => table.name == *one,
        [schema, one] => table.schema == *schema && table.name == *one,
        _ => false,
    };
    let found: Vec<usize> = graph
        .tables
        .iter()
        .enumerate()
        .filter(|(_, table)| is(&table.name))
        .map(|(place, _)| place)
        .collect();
    match found.as_slice() {
        [] => Err(unknown()),
        [place] => Ok(*place),
        _ => Err(DataError::AmbiguousTable(name.to_owned())),
    }
}

/// The one table that the ledger's `columns` refer to.
fn ledger_parent(model: &Model, graph: &Graph, columns: &[&Ident]) -> Option<usize> {
    let ledger = graph.place(&model.ledger.table)?;
    let refers = |edge: &&Edge| {
        edge.child == ledger && edge.columns.iter().any(|(column, _)| columns.contains(&column))
    };
    let parents: BTreeSet<usize> = graph.belongings().filter(refers).map(|edge| edge.parent).collect();
    match parents.into_iter().collect::<Vec<_>>().as_slice() {
        [place] => Some(*place),
        _ => None,
    }
}

fn locations(model: &Model, graph: &Graph) -> Result<usize, DataError> {
    let columns: Vec<&Ident> = model
        .ledger
        .postings
        .iter()
        .filter_map(|posting| posting.location.as_ref()?.column.as_ref())
        .collect();
    ledger_parent(model, graph, &columns)
        .ok_or(DataError::NoSuchParent { what: "locations", flag: "--locations" })
}

fn items(model: &Model, graph: &Graph, flag: &'static str) -> Result<usize, DataError> {
    let columns: Vec<&Ident> =
        model.ledger.postings.iter().filter_map(|posting| posting.item.column.as_ref()).collect();
    ledger_parent(model, graph, &columns)
        .or_else(|| model.items.as_ref().and_then(|items| graph.place(items)))
        .ok_or(DataError::NoSuchParent { what: "items", flag })
}
