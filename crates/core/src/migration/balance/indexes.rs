//! The indexes of ledger and balances: which of those that are there are the wanted ones, what is built beside them, and
//! what is left over of another mapping, of a killed build, or of a partition that came with one.
//!
//! They are known by their definitions and by their names, which a number may stand behind. What has such a name and is
//! none of them is the application's: a free name is taken instead.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::super::{
    index::{self, Place, Shape},
    step::{Goal, Lock, Run, Step},
};
use crate::{
    Error,
    balance::{self, FoundIndex, Object, Objects, State},
    catalog::{self, Part},
    db::{Context as _, DbError},
    model::Model,
    sql::{Ident, NameError, QualifiedName, render},
};

/// How many names are tried before the last is taken.
const NAMES_MAX: u32 = 100;

/// The tables that have indexes of the balances, and what is there.
pub(super) struct Indexes<'a> {
    objects: Vec<&'a Object>,
    /// Each with the partitions that it is made of.
    tables: Vec<Vec<Part>>,
    found: Vec<FoundIndex>,
    /// The names of the relations in the schemas of those tables.
    relations: HashSet<(String, String)>,
    /// What the objects' indexes are called, with their tables.
    chosen: HashSet<(String, String)>,
}

impl<'a> Indexes<'a> {
    pub(super) async fn read(session: &mut PgConnection, objects: &'a Objects) -> Result<Self, Error> {
        let objects: Vec<&Object> = objects.unique_key.iter().chain(&objects.key_indexes).collect();
        let mut roots: Vec<&QualifiedName> =
            objects.iter().filter_map(|object| object.table.as_ref()).collect();
        roots.sort_by_key(ToString::to_string);
        roots.dedup();
        let mut tables = Vec::new();
        for root in roots {
            tables.push(catalog::parts(session, root).await?);
        }
        let all: Vec<&QualifiedName> = tables.iter().flatten().map(|part| &part.table).collect();
        let found = balance::indexes(session, &all).await?;
        let relations = relations(session, &all).await?;
        Ok(Self { objects, tables, found, relations, chosen: HashSet::new() })
    }

    /// The steps that build `object` concurrently, on each partition where its table is partitioned.
    pub(super) fn build(&mut self, model: &Model, object: &Object) -> Result<Vec<Step>, NameError> {
        let (Some(table), Some((method, definition))) = (&object.table, &object.index) else {
            return Ok(Vec::new());
        };
        let Some(parts) =
            self.tables.iter().find(|parts| parts.first().is_some_and(|part| part.table == *table))
        else {
            return Ok(Vec::new());
        };
        let mut places: Vec<Place> = Vec::with_capacity(parts.len());
        for part in parts {
            let parent = part.parent.and_then(|parent| places.get(parent)).map(|place| place.index.as_str());
            let wanted = object.part_name(&part.table).unwrap_or_else(|| object.name.clone());
            let index = match self.there(object, &part.table, &wanted, parent) {
                Some(found) => Ident::new(found.name.clone())?,
                None => self.free(&part.table, &wanted),
            };
            self.chosen.insert((part.table.to_string(), index.as_str().to_owned()));
            let Part { table, is_leaf, parent } = part.clone();
            places.push(Place { table, index, is_leaf, parent, tablespace: None });
        }
        let shape = Shape::written(object.is_unique_index(), *method, definition);
        let mut steps = index::build(&shape, &places, true, |_| None);
        if let Some(last) = steps.last_mut() {
            // The whole of it is what validate-migration asks too.
            last.goal = Goal::parts(model, [object], State::Intact);
        }
        Ok(steps)
    }

    /// The index of `table` that is `object`'s part there: what PostgreSQL has made with a partition, or what has its
    /// definition and its name; one that is whole before one that a killed build left.
    fn there(
        &self,
        object: &Object,
        table: &QualifiedName,
        wanted: &Ident,
        parent: Option<&str>,
    ) -> Option<&FoundIndex> {
        let table = table.to_string();
        let here = || self.found.iter().filter(|index| index.table == table);
        let attached = parent.and_then(|parent| here().find(|index| index.parent.as_deref() == Some(parent)));
        attached.or_else(|| {
            here()
                .filter(|index| index.parent.is_none() && object.is_index(index, wanted))
                .max_by_key(|index| (index.is_valid, index.name == wanted.as_str()))
        })
    }

    fn free(&self, table: &QualifiedName, wanted: &Ident) -> Ident {
        let schema = table.schema.as_str();
        let is_free = |name: &Ident| {
            let name = name.as_str().to_owned();
            !self.relations.contains(&(schema.to_owned(), name.clone()))
                && !self.chosen.iter().any(|(_, chosen)| *chosen == name)
        };
        let numbered = (1..NAMES_MAX).map(|n| Ident::joined(&[wanted.as_str(), &n.to_string()]));
        std::iter::once(wanted.clone()).chain(numbered).find(is_free).unwrap_or_else(|| wanted.clone())
    }

    /// The steps that drop what is none of the objects' that were built.
    pub(super) fn leftovers(&self) -> Vec<Step> {
        self.own(|index| !self.chosen.contains(&(index.table.clone(), index.name.clone())))
    }

    /// The steps that drop those own indexes of which `is_dropped`; a partitioned table's goes with those of its
    /// partitions.
    fn own(&self, is_dropped: impl Fn(&FoundIndex) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for parts in &self.tables {
            let Some(root) = parts.first() else { continue };
            let of_table = || self.objects.iter().filter(|object| object.table.as_ref() == Some(&root.table));
            for part in parts {
                let table = part.table.to_string();
                let here = self.found.iter().filter(|index| index.table == table && index.parent.is_none());
                for index in here.filter(|index| is_dropped(index)) {
                    let is_own = of_table().any(|object| {
                        let name = object.part_name(&part.table);
                        name.is_some_and(|name| object.is_own_index(index, &name))
                    });
                    if let (true, Ok(name)) = (is_own, Ident::new(index.name.clone())) {
                        steps.push(drop_step(part, &name));
                    }
                }
            }
        }
        steps
    }
}

/// The steps that drop every index of the balances, those of a mapping that asks for none too.
pub(super) async fn back(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let mut model = model.clone();
    model.ledger.key_index = true;
    let objects = balance::objects(&model);
    let indexes = Indexes::read(session, &objects).await?;
    Ok(indexes.own(|_| true))
}

fn drop_step(part: &Part, name: &Ident) -> Step {
    let table = &part.table;
    let title = format!("drop index {} of {}", name.as_str(), table.plain());
    if !part.is_leaf {
        // The index of a partitioned table can't be dropped concurrently.
        return index::drop(title, table, name, false);
    }
    let index = QualifiedName::new(table.schema.clone(), name.clone());
    Step {
        run: Run::Concurrent,
        lock: Lock::ShareUpdateExclusive,
        statements: vec![render("DROP INDEX CONCURRENTLY IF EXISTS {index}", &[("index", &index)])],
        ..index::drop(title, table, name, false)
    }
}

async fn relations(
    session: &mut PgConnection,
    tables: &[&QualifiedName],
) -> Result<HashSet<(String, String)>, DbError> {
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY ($1)",
    )
    .bind(schemas)
    .fetch_all(session)
    .await
    .context("look for free names of indexes")?;
    Ok(rows.into_iter().collect())
}
