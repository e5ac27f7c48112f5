//! The tenant tables and the foreign keys between them, as the catalog has them, and the SQL of their joins.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::{
    Error, catalog,
    catalog::{Reference, TableColumn, UniqueKey},
    model::Model,
    sql::{Definition, Fixed, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// A tenant table.
#[derive(Debug)]
pub(in crate::tenancy) struct Table {
    pub(in crate::tenancy) name: QualifiedName,
    /// The primary key's columns with their types; empty where it has none.
    pub(in crate::tenancy) key: Vec<(Ident, Definition)>,
    pub(in crate::tenancy) columns: Vec<TableColumn>,
    /// Every unique key but the primary one.
    pub(in crate::tenancy) unique_keys: Vec<UniqueKey>,
    /// Where the rows that a run is about are put aside.
    pub(in crate::tenancy) closure: QualifiedName,
    /// Where the rows that are copied are put aside with their copies.
    pub(in crate::tenancy) copies: QualifiedName,
}

/// A foreign key between two tenant tables.
#[derive(Debug)]
pub(in crate::tenancy) struct Edge {
    pub(in crate::tenancy) name: Ident,
    pub(in crate::tenancy) child: usize,
    pub(in crate::tenancy) parent: usize,
    /// The columns that refer, each with the one that it refers to, but for the organization's.
    pub(in crate::tenancy) columns: Vec<(Ident, Ident)>,
    /// Whether the organization is a part of it, so that no row can refer to another organization's.
    pub(in crate::tenancy) holds_org: bool,
    pub(in crate::tenancy) is_deferrable: bool,
    /// Whether rows are taken along by it when what they refer to gets another organization.
    carries: bool,
    /// Whether it only mentions a person, who made or counted something: people are moved by themselves.
    pub(in crate::tenancy) is_mention: bool,
}

/// The tenant tables but for the balances, which follow the ledger, and the foreign keys between them.
#[derive(Debug)]
pub(in crate::tenancy) struct Graph {
    pub(in crate::tenancy) tables: Vec<Table>,
    pub(in crate::tenancy) edges: Vec<Edge>,
    /// Foreign keys of other tables onto these.
    pub(in crate::tenancy) from_outside: Vec<Reference>,
    /// The table of people, while these are moved by themselves.
    pub(in crate::tenancy) people: Option<usize>,
}

impl Graph {
    pub(in crate::tenancy) async fn read(
        connection: &mut PgConnection,
        model: &Model,
    ) -> Result<Self, Error> {
        let names: Vec<QualifiedName> =
            model.tenant_tables.iter().filter(|table| **table != model.balances.table).cloned().collect();
        let references = catalog::references(connection, &names).await?;
        let mut tables = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let place = place.to_string();
            let temporary = |what| {
                QualifiedName::new(Ident::fixed("pg_temp"), Ident::joined(&["stockfoil", what, &place]))
            };
            tables.push(Table {
                key: catalog::primary_key(connection, name).await?,
                columns: catalog::columns(connection, name).await?,
                unique_keys: catalog::unique_keys(connection, name).await?,
                name: name.clone(),
                closure: temporary("closure"),
                copies: temporary("copies"),
            });
        }
        let users = model.users.as_ref().map(|users| &users.table);
        let (mut edges, mut from_outside): (Vec<Edge>, _) = (Vec::new(), Vec::new());
        for reference in references {
            let Some(child) = reference.child else {
                from_outside.push(reference);
                continue;
            };
            let parent = reference.parent;
            let (org, columns): (Vec<_>, Vec<_>) =
                reference.columns.into_iter().partition(|(column, _)| *column == model.org_column);
            if columns.is_empty() {
                continue;
            }
            let is_mention = [parent, child].iter().any(|place| users == Some(&names[*place]));
            // The same columns may refer twice, by a key with the organization and by one without.
            let twin = edges
                .iter_mut()
                .find(|edge| (edge.child, edge.parent, &edge.columns) == (child, parent, &columns));
            let (holds_org, is_deferrable) = (!org.is_empty(), reference.is_deferrable);
            match twin {
                Some(twin) if holds_org => {
                    (twin.name, twin.holds_org, twin.is_deferrable) = (reference.name, true, is_deferrable);
                    twin.carries = reference.carries;
                }
                Some(_) => {}
                None => edges.push(Edge {
                    name: reference.name,
                    child,
                    parent,
                    columns,
                    holds_org,
                    is_deferrable,
                    carries: reference.carries && holds_org,
                    is_mention,
                }),
            }
        }
        let people = users.and_then(|users| names.iter().position(|name| name == users));
        Ok(Self { tables, edges, from_outside, people })
    }

    /// The same where people move as all other rows do, with those that refer to them.
    pub(in crate::tenancy) fn with_people(mut self) -> Self {
        self.people = None;
        self.edges.iter_mut().for_each(|edge| edge.is_mention = false);
        self
    }

    /// The foreign keys that make a row belong to another.
    pub(in crate::tenancy) fn belongings(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| !edge.is_mention)
    }

    /// The place of `name` among the tables.
    pub(in crate::tenancy) fn place(&self, name: &QualifiedName) -> Option<usize> {
        self.tables.iter().position(|table| table.name == *name)
    }

    /// The tables of `among`, those that others refer to first.
    pub(in crate::tenancy) fn parents_first(&self, among: &BTreeSet<usize>) -> Vec<usize> {
        let mut left: Vec<usize> = among.iter().copied().collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let waits = |place: usize, edge: &Edge| {
                edge.child == place && edge.parent != place && left.contains(&edge.parent)
            };
            let is_first = |place: &usize| !self.edges.iter().any(|edge| waits(*place, edge));
            // Of tables that refer to each other in a circle none is the first; what takes no rows along may be asked last.
            let is_carried =
                |place: &usize| self.edges.iter().any(|edge| edge.carries && waits(*place, edge));
            let next = left.iter().position(is_first);
            let next = next.or_else(|| left.iter().position(|place| !is_carried(place))).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }

    /// `template`, which is about one table: `{table}` `t`, its `{closure}` `c` with `{keys}`, `{t.keys}`, `{t.is_c}`
    /// and `{t.key_text}`.
    pub(in crate::tenancy) fn of_table(
        &self,
        model: &Model,
        table: usize,
        template: &'static str,
        more: &[(&str, &dyn Fragment)],
    ) -> Statement {
        let table = &self.tables[table];
        let (keys, t_keys) = (table.keys(), table.key_of("t"));
        let (is_c, text) = (table.is("t", "c"), table.key_text("t"));
        let mut fragments: Vec<(&str, &dyn Fragment)> = vec![
            ("table", &table.name),
            ("closure", &table.closure),
            ("copies", &table.copies),
            ("closure_keys", &keys),
            ("t.keys", &t_keys),
            ("t.is_c", &is_c),
            ("t.key_text", &text),
        ];
        fragments.extend_from_slice(more);
        model.render_with(template, &fragments)
    }

    /// That `row` of a table is among the rows put aside that move.
    pub(in crate::tenancy) fn moves(&self, model: &Model, place: usize, row: &'static str) -> Statement {
        let table = &self.tables[place];
        match table.key.is_empty() {
            true => render("false", &[]),
            false => {
                let is_c = table.is(row, "c");
                let more: [(&str, &dyn Fragment); 1] = [("row.is_c", &is_c)];
                let template = "EXISTS (SELECT FROM {closure} AS c WHERE {row.is_c} AND NOT c.shared)";
                self.of_table(model, place, template, &more)
            }
        }
    }

    /// `template`, which is about a foreign key: the child's fragments of [`of_table`](Self::of_table), and for the
    /// table `{parent}` `p` its `{parent_closure}` `pc` with `{parent_keys}`, `{p.keys}`, `{p.is_pc}`; `{t.refers_p}`
    /// says that `t` refers to `p`.
    pub(in crate::tenancy) fn of_edge(
        &self,
        model: &Model,
        edge: &Edge,
        template: &'static str,
        more: &[(&str, &dyn Fragment)],
    ) -> Statement {
        let parent = &self.tables[edge.parent];
        let (keys, p_keys, is_pc) = (parent.keys(), parent.key_of("p"), parent.is("p", "pc"));
        let refers = edge.refers();
        let mut fragments: Vec<(&str, &dyn Fragment)> = vec![
            ("parent", &parent.name),
            ("parent_closure", &parent.closure),
            ("parent_keys", &keys),
            ("p.keys", &p_keys),
            ("p.is_pc", &is_pc),
            ("t.refers_p", &refers),
        ];
        fragments.extend_from_slice(more);
        self.of_table(model, edge.child, template, &fragments)
    }
}

impl Edge {
    /// That the row `t` refers to the row `p` by this key.
    fn refers(&self) -> Statement {
        refers("t", &self.columns)
    }
}

/// That `row` refers to the row `p` by `columns`.
pub(in crate::tenancy) fn refers(row: &'static str, columns: &[(Ident, Ident)]) -> Statement {
    let each = columns.iter().map(|(column, parent)| {
        render("{row}.{column} = p.{parent}", &[("row", &Fixed(row)), ("column", column), ("parent", parent)])
    });
    crate::model::joined(&each.collect::<Vec<_>>(), " AND ")
}

impl Table {
    fn numbered(&self) -> impl Iterator<Item = (Ident, &Ident, &Definition, usize)> {
        self.key
            .iter()
            .enumerate()
            .map(|(at, (name, key_type))| (Ident::joined(&[&format!("k{at}")]), name, key_type, at))
    }

    fn each(&self, row: &'static str, template: &'static str) -> Vec<Statement> {
        let row = Fixed(row);
        self.numbered()
            .map(|(number, name, key_type, at)| {
                let at = Definition::number(at);
                render(
                    template,
                    &[("row", &row), ("number", &number), ("name", name), ("type", key_type), ("at", &at)],
                )
            })
            .collect()
    }

    /// The key's columns in the closure.
    pub(in crate::tenancy) fn keys(&self) -> List<Statement> {
        List(self.each("", "{number}"))
    }

    /// The key's columns of `row`, a row of the closure.
    pub(in crate::tenancy) fn closure_keys(&self, row: &'static str) -> List<Statement> {
        List(self.each(row, "{row}.{number}"))
    }

    /// The key of `row`, a row of the table.
    pub(in crate::tenancy) fn key_of(&self, row: &'static str) -> List<Statement> {
        List(self.each(row, "{row}.{name}"))
    }

    /// The key of `row`, a row of the table, under the names that it has in the closure.
    pub(in crate::tenancy) fn named_key_of(&self, row: &'static str) -> List<Statement> {
        List(self.each(row, "{row}.{name} AS {number}"))
    }

    /// That `row` of the table is `closure` of its closure.
    pub(in crate::tenancy) fn is(&self, row: &'static str, closure: &'static str) -> Statement {
        let closure = Fixed(closure);
        let each = self.numbered().map(|(number, name, ..)| {
            render(
                "{row}.{name} = {closure}.{number}",
                &[("row", &Fixed(row)), ("name", name), ("closure", &closure), ("number", &number)],
            )
        });
        crate::model::joined(&each.collect::<Vec<_>>(), " AND ")
    }

    /// That two rows of the closure are one.
    pub(in crate::tenancy) fn same_keys(&self, one: &'static str, other: &'static str) -> Statement {
        let other = Fixed(other);
        let each = self.numbered().map(|(number, ..)| {
            render(
                "{one}.{number} = {other}.{number}",
                &[("one", &Fixed(one)), ("other", &other), ("number", &number)],
            )
        });
        crate::model::joined(&each.collect::<Vec<_>>(), " AND ")
    }

    /// The key of `row` as one text: the value's, or a JSON array of texts where there are several.
    pub(in crate::tenancy) fn key_text(&self, row: &'static str) -> Statement {
        self.text_of(self.each(row, "{row}.{name}::text"))
    }

    /// The same of a row of the closure.
    pub(in crate::tenancy) fn closure_text(&self, closure: &'static str) -> Statement {
        self.text_of(self.each(closure, "{row}.{number}::text"))
    }

    fn text_of(&self, parts: Vec<Statement>) -> Statement {
        match parts.as_slice() {
            [part] => part.clone(),
            _ => render("jsonb_build_array({parts})::text", &[("parts", &List(parts))]),
        }
    }

    /// The key's values out of `text`, SQL of such a text.
    pub(in crate::tenancy) fn key_from(&self, text: &'static str) -> List<Statement> {
        List(match self.key.len() {
            1 => self.each(text, "{row}::{type}"),
            _ => self.each(text, "({row}::jsonb ->> {at})::{type}"),
        })
    }

    /// The first of the unique keys within an organization, as one text: what a person knows `row` by. The primary key
    /// where there is none.
    pub(in crate::tenancy) fn label(&self, model: &Model, row: &'static str) -> Statement {
        let org = Some(model.org_column.as_str());
        let natural = self.unique_keys.iter().filter(|key| key.predicate.is_none()).find_map(|key| {
            let names = key.columns.iter().filter(|column| column.as_deref() != org).cloned();
            let names = names.collect::<Option<Vec<String>>>()?;
            let names: Vec<Ident> = names.into_iter().filter_map(|name| Ident::new(name).ok()).collect();
            (!names.is_empty() && key.columns.len() > names.len()).then_some(names)
        });
        match natural {
            None => self.key_text(row),
            Some(names) => {
                let each = names
                    .iter()
                    .map(|name| render("{row}.{name}::text", &[("row", &Fixed(row)), ("name", name)]));
                let each = List(each.collect());
                render("concat_ws(' / ', {each})", &[("each", &each)])
            }
        }
    }
}
