//! Everything that is an organization's: which tables hold it, in the order of their foreign keys, and the SQL over its rows.

mod groups;

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{
    super::moves::refers,
    archive::{ColumnHeader, Kind, TableHeader},
};
use crate::{
    Error,
    catalog::{self, TableColumn},
    db::Context as _,
    model::{Model, TX, joined},
    sql::{Definition, Fixed, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// A table with rows of the organization, or with rows that those refer to.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: QualifiedName,
    pub(super) kind: Kind,
    /// The column that says whose a row is; a shared table has none.
    pub(super) org: Option<Ident>,
    /// The columns that hold what is the row's own, with their types: none that the database computes.
    pub(super) columns: Vec<(Ident, Definition)>,
    /// Those of them that every row must be given a value of.
    pub(super) required: BTreeSet<String>,
    /// The primary key's columns.
    pub(super) key: Vec<Ident>,
}

/// A foreign key that leads to or from one of the tables.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) name: String,
    pub(super) child_table: QualifiedName,
    /// The place of the table that refers; none where it is not among the tables.
    pub(super) child: Option<usize>,
    pub(super) parent: usize,
    /// The columns that refer, each with the one that it refers to.
    pub(super) columns: Vec<(Ident, Ident)>,
    pub(super) is_deferrable: bool,
}

/// The tables, those that others refer to first, and the foreign keys onto them.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) tables: Vec<Table>,
    pub(super) edges: Vec<Edge>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    name: String,
    child_schema: String,
    child_table: String,
    parent_schema: String,
    parent_table: String,
    columns: Vec<String>,
    parent_columns: Vec<String>,
    is_deferrable: bool,
}

/// A foreign key between two tables of the database.
struct Key {
    name: String,
    child: QualifiedName,
    parent: QualifiedName,
    columns: Vec<(Ident, Ident)>,
    is_deferrable: bool,
}

impl Whole {
    /// Reads the tables and their foreign keys from the catalog.
    pub(super) async fn read(session: &mut PgConnection, model: &Model) -> Result<Self, Error> {
        let keys = foreign_keys(session).await?;
        let mut names = own(model);
        if !catalog::is_there(session, &model.balances.table.to_string()).await? {
            names.retain(|(name, ..)| *name != model.balances.table);
        }
        // What own rows refer to, and what that refers to.
        let mut place = 0;
        while let Some((name, ..)) = names.get(place).cloned() {
            for key in keys.iter().filter(|key| key.child == name) {
                if !names.iter().any(|(known, ..)| *known == key.parent) {
                    names.push((key.parent.clone(), Kind::Shared, None));
                }
            }
            place += 1;
        }
        let names = in_order(names, &keys, model);
        let mut tables = Vec::new();
        for (name, kind, org) in names {
            let columns = catalog::columns(session, &name).await?.into_iter();
            let is_ledger = name == model.ledger.table;
            // The number of the transaction that made an entry is of this cluster.
            let columns =
                columns.filter(|column| !(column.is_generated || is_ledger && column.name.as_str() == TX));
            let columns: Vec<TableColumn> = columns.collect();
            let required = columns.iter().filter(|column| column.not_null && column.default.is_none());
            let required = required.map(|column| column.name.as_str().to_owned()).collect();
            let columns = columns.into_iter().map(|column| (column.name, column.type_name)).collect();
            let key = catalog::primary_key(session, &name).await?;
            let key = key.into_iter().map(|(column, _)| column).collect();
            tables.push(Table { name, kind, org, columns, required, key });
        }
        let place = |name: &QualifiedName| tables.iter().position(|table| table.name == *name);
        let edge = |key: Key| {
            Some(Edge {
                child: place(&key.child),
                parent: place(&key.parent)?,
                name: key.name,
                child_table: key.child,
                columns: key.columns,
                is_deferrable: key.is_deferrable,
            })
        };
        let edges: Vec<Edge> = keys.into_iter().filter_map(edge).collect();
        Ok(Self { tables, edges })
    }

    /// The places of the tables of these kinds.
    pub(super) fn places(&self, kinds: &[Kind]) -> Vec<usize> {
        (0..self.tables.len()).filter(|place| kinds.contains(&self.tables[*place].kind)).collect()
    }

    /// Foreign keys of tables that are not among these, onto own rows.
    pub(super) fn referring_from_outside(&self) -> impl Iterator<Item = &Edge> {
        self.edges
            .iter()
            .filter(|edge| self.tables[edge.parent].org.is_some())
            .filter(|edge| edge.child.is_none_or(|child| self.tables[child].org.is_none()))
    }

    /// `template` about a foreign key: its table `{child}` `c`, the table `{parent}` `p` that it refers to, `{c.refers_p}`, and
    /// `{p.org}`, the parent's column of organizations.
    pub(super) fn of_edge(
        &self,
        model: &Model,
        edge: &Edge,
        template: &'static str,
        more: &[(&str, &dyn Fragment)],
    ) -> Statement {
        let parent = &self.tables[edge.parent];
        let refers = refers("c", &edge.columns);
        let mut fragments: Vec<(&str, &dyn Fragment)> =
            vec![("child", &edge.child_table), ("parent", &parent.name), ("c.refers_p", &refers)];
        if let Some(org) = &parent.org {
            fragments.push(("p.org", org));
        }
        fragments.extend_from_slice(more);
        model.render_with(template, &fragments)
    }
}

impl Table {
    /// `template` about the table `{table}` `t` with its `{values}`, the JSON array of a row's texts as one text, and `{is_own}`,
    /// that a row is organization `$1`'s.
    pub(super) fn render(
        &self,
        model: &Model,
        template: &'static str,
        more: &[(&str, &dyn Fragment)],
    ) -> Statement {
        let (values, is_own) = (self.values(), self.is_own(model, "t"));
        let order = match self.key.is_empty() {
            true => render("", &[]),
            false => {
                let key = self.key.iter().map(|column| render("t.{column}", &[("column", column)]));
                render(" ORDER BY {key}", &[("key", &List(key.collect()))])
            }
        };
        let mut fragments: Vec<(&str, &dyn Fragment)> =
            vec![("table", &self.name), ("values", &values), ("is_own", &is_own), ("in_order", &order)];
        fragments.extend_from_slice(more);
        model.render_with(template, &fragments)
    }

    /// The JSON array of the texts of row `t`, as text.
    fn values(&self) -> Statement {
        let texts = self.columns.iter().map(|(column, _)| render("t.{column}::text", &[("column", column)]));
        render("to_json(ARRAY[{texts}]::text[])::text", &[("texts", &List(texts.collect()))])
    }

    /// That `row` is organization `$1`'s.
    pub(super) fn is_own(&self, model: &Model, row: &'static str) -> Statement {
        match &self.org {
            None => render("true", &[]),
            Some(org) => model.render_with(
                "{row}.{column} = $1::text::{org.type}",
                &[("row", &Fixed(row)), ("column", org)],
            ),
        }
    }

    /// What a file says of it.
    pub(super) fn header(&self) -> TableHeader {
        let column = |(name, type_name): &(Ident, Definition)| ColumnHeader {
            name: name.as_str().to_owned(),
            type_name: type_name.to_string(),
        };
        TableHeader {
            schema: self.name.schema.as_str().to_owned(),
            table: self.name.name.as_str().to_owned(),
            kind: self.kind,
            columns: self.columns.iter().map(column).collect(),
            key: self.key.iter().map(|column| column.as_str().to_owned()).collect(),
        }
    }
}

type Named = (QualifiedName, Kind, Option<Ident>);

/// The tables whose rows say that they are the organization's.
fn own(model: &Model) -> Vec<Named> {
    let mut names = vec![(model.organizations.clone(), Kind::Organization, Some(Ident::fixed("id")))];
    let org = Some(model.org_column.clone());
    let tenants = model.tenant_tables.iter().filter(|table| **table != model.balances.table);
    names.extend(tenants.map(|table| (table.clone(), Kind::Tenant, org.clone())));
    names.push((model.balances.table.clone(), Kind::Balances, org));
    names.push((model.api_keys.clone(), Kind::ApiKeys, Some(Ident::fixed("org_id"))));
    names
}

/// The tables, those that others refer to first, as far as they stand in no circle.
fn in_order(names: Vec<Named>, keys: &[Key], model: &Model) -> Vec<Named> {
    let mut arrows: BTreeSet<(QualifiedName, QualifiedName)> = keys
        .iter()
        .map(|key| (key.child.clone(), key.parent.clone()))
        .filter(|(child, parent)| child != parent)
        .collect();
    // Balances follow from the ledger.
    arrows.insert((model.balances.table.clone(), model.ledger.table.clone()));
    let (mut left, mut order) = (names, Vec::<Named>::new());
    while !left.is_empty() {
        let waits_for = |child: &QualifiedName| {
            let arrow = arrows
                .iter()
                .find(|(one, parent)| one == child && left.iter().any(|(name, ..)| name == parent));
            arrow.map(|(_, parent)| parent.clone())
        };
        if let Some(next) = left.iter().position(|(name, ..)| waits_for(name).is_none()) {
            order.push(left.remove(next));
            continue;
        }
        // Each waits for another: whoever follows them comes to a table a second time, which is in a circle.
        let mut way = vec![left[0].0.clone()];
        while let Some(parent) = way.last().and_then(&waits_for) {
            if way.contains(&parent) {
                let arrow = (way.pop().unwrap_or_else(|| parent.clone()), parent);
                arrows.remove(&arrow);
                break;
            }
            way.push(parent);
        }
    }
    order
}

async fn foreign_keys(session: &mut PgConnection) -> Result<Vec<Key>, Error> {
    let rows: Vec<KeyRow> = sqlx::query_as(include_str!("whole/foreign_keys.sql"))
        .fetch_all(session)
        .await
        .context("read the foreign keys")?;
    let mut keys = Vec::new();
    for row in rows {
        let name =
            |schema, table| Ok::<_, Error>(QualifiedName::new(Ident::new(schema)?, Ident::new(table)?));
        let mut columns = Vec::new();
        for (column, parent) in row.columns.into_iter().zip(row.parent_columns) {
            columns.push((Ident::new(column)?, Ident::new(parent)?));
        }
        keys.push(Key {
            name: row.name,
            child: name(row.child_schema, row.child_table)?,
            parent: name(row.parent_schema, row.parent_table)?,
            columns,
            is_deferrable: row.is_deferrable,
        });
    }
    Ok(keys)
}

/// `conditions`, one of which holds.
pub(super) fn any_of(conditions: &[Statement]) -> Statement {
    render("({conditions})", &[("conditions", &joined(conditions, " OR "))])
}

/// Settings that a value's text depends on, in one session, as every session that reads or writes such texts has them.
pub(super) const EXACT: &str = "SET extra_float_digits = 1; SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC';
    SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = 'content'";
