//! Indexes and unique keys on a table and, where it is partitioned, on all that it is made of.
//!
//! On an ordinary table an index is built concurrently and then made a constraint. A partitioned table can do neither:
//! there each partition that holds rows gets its own, then the parents get theirs, empty, and take the partitions' in.

mod shape;

use std::collections::BTreeSet;

use sqlx::PgConnection;

pub(super) use self::shape::{Constraint, Printed, Shape};

use super::{
    change,
    step::{Goal, Lock, Step},
};
use crate::{
    catalog::{Part, Timing},
    db::{Context as _, DbError},
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// `template` over the definitions of the indexes of table `$1`.
pub(super) fn over_definitions(template: &'static str) -> Statement {
    let definitions = render(include_str!("index/definitions.sql"), &[]);
    render(template, &[("definitions", &definitions)])
}

/// Where one index of the shape goes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The table or partition.
    pub(super) table: QualifiedName,
    /// The index's name.
    pub(super) index: Ident,
    /// Whether the table holds rows, and not only partitions.
    pub(super) is_leaf: bool,
    /// The place of its parent among the places.
    pub(super) parent: Option<usize>,
    /// The tablespace, unless it is the database's own.
    pub(super) tablespace: Option<Ident>,
}

impl Place {
    /// The index with its schema.
    pub(super) fn index(&self) -> QualifiedName {
        QualifiedName::new(self.table.schema.clone(), self.index.clone())
    }
}

/// The names of indexes that a plan makes, which no other of its steps may give again.
#[derive(Debug, Default)]
pub(super) struct Planned {
    names: BTreeSet<String>,
    /// Those of DEFERRABLE constraints: until it is made one, the index looks like another key's.
    deferrable: BTreeSet<String>,
}

/// The places of a shape on `parts`: existing indexes of the same definition wherever there are some, else new names
/// made of the table's and `words`.
pub(super) async fn places(
    session: &mut PgConnection,
    parts: &[Part],
    shape: &Shape,
    words: &[&str],
    planned: &mut Planned,
) -> Result<Vec<Place>, crate::Error> {
    let mut places = Vec::with_capacity(parts.len());
    let [org, tail] = shape.binds();
    let statement = over_definitions(include_str!("index_place.sql"));
    for part in parts {
        let noted = change::noted_indexes(session, &part.table).await?;
        let in_schema = |name: &str| format!("{}.{name}", part.table.schema);
        let mut free = names(&part.table, words);
        free.retain(|name| !planned.names.contains(&in_schema(name)));
        let schema = in_schema("");
        let taken: Vec<&str> =
            planned.deferrable.iter().filter_map(|name| name.strip_prefix(&schema)).collect();
        let name: Option<String> = sqlx::query_scalar(statement.sql())
            .bind(part.table.to_string())
            .bind(&org)
            .bind(&tail)
            .bind(free)
            .bind(shape.is_unique)
            .bind(shape.method.to_string())
            .bind(noted)
            .bind(shape.timing.as_str())
            .bind(taken)
            .fetch_optional(&mut *session)
            .await
            .context(format!("look for a name of an index on {}", part.table.plain()))?;
        let index = match name {
            Some(name) => Ident::new(name)?,
            None => Ident::joined(&[part.table.name.as_str(), &words.join("_")]),
        };
        planned.names.insert(in_schema(index.as_str()));
        if shape.timing != Timing::Immediate {
            planned.deferrable.insert(in_schema(index.as_str()));
        }
        places.push(Place {
            table: part.table.clone(),
            index,
            is_leaf: part.is_leaf,
            parent: part.parent,
            tablespace: None,
        });
    }
    Ok(places)
}

/// `users_org_id_email_key`, as PostgreSQL would call it, and the same with a number behind it.
fn names(table: &QualifiedName, words: &[&str]) -> Vec<String> {
    let name = |number: u32| {
        let mut parts = vec![table.name.as_str()];
        parts.extend_from_slice(words);
        let numbered = format!("{}{number}", parts.pop().unwrap_or_default());
        let last = if number == 0 { words.last().copied().unwrap_or_default() } else { &numbered };
        parts.push(last);
        Ident::joined(&parts).as_str().to_owned()
    };
    (0..100).map(name).collect()
}

/// The steps that build `shape` at `places`, the root first among them; each notes what `remember` says.
///
/// `exact_names` asks for indexes of just these names; without it any of the same definition will do.
pub(super) fn build(
    shape: &Shape,
    places: &[Place],
    exact_names: bool,
    remember: impl Fn(&Place) -> Option<Statement>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for place in places.iter().filter(|place| place.is_leaf) {
        steps.push(noting(build_leaf(shape, place, exact_names), remember(place)));
        if shape.constraint.is_some() {
            steps.push(own(shape, place, exact_names));
        }
    }
    for place in places.iter().filter(|place| !place.is_leaf) {
        steps.push(noting(build_parent(shape, place, exact_names), remember(place)));
    }
    // The innermost first, so that each is whole when it is taken in.
    for (place, parent) in places.iter().rev().filter_map(|place| Some((place, places.get(place.parent?)?))) {
        steps.push(attach(place, parent));
    }
    if let Some(root) = places.first().filter(|root| !root.is_leaf)
        && let Some(last) = steps.last_mut()
    {
        // Whole only when every partition is taken in, one that came meanwhile included.
        last.goal = goal(shape, root, "valid", exact_names);
    }
    steps
}

fn noting(mut step: Step, note: Option<Statement>) -> Step {
    step.remember.extend(note);
    step
}

/// That `place` has an index of the shape, in this state; of its name, if that is wanted.
fn goal(shape: &Shape, place: &Place, state: &str, exact_name: bool) -> Goal {
    let name = if exact_name { place.index.as_str() } else { "" };
    goal_of(shape, &place.table, name, state)
}

/// That `table` has an index of the shape, in this state; of this name, if one is given.
fn goal_of(shape: &Shape, table: &QualifiedName, name: &str, state: &str) -> Goal {
    let [org, tail] = shape.binds();
    Goal::Query {
        query: over_definitions(include_str!("goals/index.sql")),
        binds: vec![
            table.to_string(),
            org,
            tail,
            name.to_owned(),
            state.to_owned(),
            if shape.is_unique { "unique" } else { "plain" }.to_owned(),
            shape.method.to_string(),
            shape.timing.as_str().to_owned(),
        ],
        table: None,
    }
}

fn create(shape: &Shape, place: &Place, template: &'static str) -> Statement {
    let unique = Fixed(if shape.is_unique { "UNIQUE " } else { "" });
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("unique", &unique),
        ("index", &place.index),
        ("table", &place.table),
        ("method", &shape.method),
        ("definition", &shape.definition),
    ];
    render(template, &fragments)
}

fn build_leaf(shape: &Shape, place: &Place, exact_name: bool) -> Step {
    let what = if shape.is_unique { "unique index" } else { "index" };
    let mut statements = vec![create(
        shape,
        place,
        "CREATE {unique}INDEX CONCURRENTLY {index} ON {table} USING {method} {definition}",
    )];
    if let Some(tablespace) = &place.tablespace {
        // TABLESPACE stands in the middle of the definition, which is PostgreSQL's text; the setting does the same.
        let set = render(
            "SET default_tablespace = {tablespace}",
            &[("tablespace", &Literal::new(tablespace.as_str()))],
        );
        statements.insert(0, set);
        statements.push(render("RESET default_tablespace", &[]));
    }
    let goal = if shape.timing != Timing::Immediate {
        // Until its constraint owns it, nothing but its name tells it from the index of a key that is not DEFERRABLE.
        goal_of(shape, &place.table, place.index.as_str(), "built")
    } else {
        goal(shape, place, "valid", exact_name)
    };
    Step::index(
        format!("build {what} {} on {}", place.index.as_str(), place.table.plain()),
        place.table.clone(),
        place.index(),
        statements,
        goal,
    )
}

fn own(shape: &Shape, place: &Place, exact_name: bool) -> Step {
    let timing = shape.timing.clause();
    let fragments: [(&str, &dyn Fragment); 3] =
        [("table", &place.table), ("index", &place.index), ("timing", &timing)];
    Step::short(
        format!("make {} a constraint of {}", place.index.as_str(), place.table.plain()),
        Lock::AccessExclusive,
        vec![place.table.clone()],
        vec![render(
            "ALTER TABLE {table} ADD CONSTRAINT {index} UNIQUE USING INDEX {index}{timing}",
            &fragments,
        )],
        goal(shape, place, "constraint", exact_name),
    )
}

fn build_parent(shape: &Shape, place: &Place, exact_name: bool) -> Step {
    let (lock, statement) = match &shape.constraint {
        Some(constraint) => {
            let fragments: [(&str, &dyn Fragment); 3] =
                [("table", &place.table), ("index", &place.index), ("definition", &constraint.definition)];
            let template = "ALTER TABLE ONLY {table} ADD CONSTRAINT {index} {definition}";
            (Lock::AccessExclusive, render(template, &fragments))
        }
        None => {
            let template = "CREATE {unique}INDEX {index} ON ONLY {table} USING {method} {definition}";
            (Lock::ShareRowExclusive, create(shape, place, template))
        }
    };
    let state = if shape.constraint.is_some() { "constraint" } else { "there" };
    Step::short(
        format!("create {} on {} alone", place.index.as_str(), place.table.plain()),
        lock,
        vec![place.table.clone()],
        vec![statement],
        goal(shape, place, state, exact_name),
    )
}

fn attach(place: &Place, parent: &Place) -> Step {
    let (index, parent_index) = (place.index(), parent.index());
    Step::short(
        format!("attach {} of {} to {}", place.index.as_str(), place.table.plain(), parent.index.as_str()),
        Lock::AccessExclusive,
        vec![place.table.clone()],
        vec![render(
            "ALTER INDEX {parent} ATTACH PARTITION {index}",
            &[("parent", &parent_index), ("index", &index)],
        )],
        Goal::new(include_str!("goals/attached.sql"), [parent_index.to_string(), index.to_string()]),
    )
}

/// Whether an index of the shape is on `table`, whole and of whatever name.
///
/// # Errors
/// Database errors.
pub(super) async fn has(
    session: &mut PgConnection,
    shape: &Shape,
    table: &QualifiedName,
) -> Result<bool, DbError> {
    goal_of(shape, table, "", "valid").is_met(session).await
}

/// Whether an index of the shape is at `place` already, whole.
///
/// # Errors
/// Database errors.
pub(super) async fn is_there(
    session: &mut PgConnection,
    shape: &Shape,
    place: &Place,
) -> Result<bool, DbError> {
    goal(shape, place, "valid", false).is_met(session).await
}

/// The step that drops the index or constraint `name` of `table`, with those of its partitions.
pub(super) fn drop(title: String, table: &QualifiedName, name: &Ident, is_constraint: bool) -> Step {
    let index = QualifiedName::new(table.schema.clone(), name.clone());
    let statement = if is_constraint {
        render("ALTER TABLE {table} DROP CONSTRAINT {name}", &[("table", table), ("name", name)])
    } else {
        render("DROP INDEX {index}", &[("index", &index)])
    };
    Step::short(
        title,
        Lock::AccessExclusive,
        vec![table.clone()],
        vec![statement],
        Goal::new(include_str!("goals/no_index.sql"), [table.to_string(), name.as_str().into()]),
    )
}

/// Whether the index `name` of `table` is a part of a partitioned table's.
///
/// # Errors
/// Database errors.
pub(super) async fn is_attached(
    session: &mut PgConnection,
    table: &QualifiedName,
    name: &str,
) -> Result<bool, DbError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_index AS i ON i.indexrelid = h.inhrelid JOIN pg_class AS c ON c.oid = i.indexrelid
                        WHERE i.indrelid = to_regclass($1) AND c.relname = $2)",
    )
    .bind(table.to_string())
    .bind(name)
    .fetch_one(session)
    .await
    .context(format!("look for the parent of index {name} of {}", table.plain()))
}

/// Whether a unique constraint owns the index `name` of `table`.
///
/// # Errors
/// Database errors.
pub(super) async fn is_constraint(
    session: &mut PgConnection,
    table: &QualifiedName,
    name: &str,
) -> Result<bool, DbError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2 AND contype = 'u')",
    )
    .bind(table.to_string())
    .bind(name)
    .fetch_one(session)
    .await
    .context(format!("look for the constraint {name} of {}", table.plain()))
}
