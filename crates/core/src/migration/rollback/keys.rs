//! The unique keys that were dropped, under the names and with the properties that they had.

use sqlx::PgConnection;

use crate::{
    Error, catalog,
    migration::{
        change::{Change, PlaceBefore, UniqueKeyBefore},
        index::{self, Constraint, Place, Planned, Printed, Shape},
        lookup,
        step::{Goal, Lock, Step},
    },
    sql::{Definition, Ident, Literal, QualifiedName, Statement, render},
};

/// Builds a dropped key again, with its partitions' indexes, under the names and with the properties that it had.
pub(super) async fn unique_key(
    session: &mut PgConnection,
    change: &Change,
    before: &UniqueKeyBefore,
) -> Result<Vec<Step>, Error> {
    let printed = Printed::new(None, Definition::from_catalog(before.tail.clone()));
    let shape = Shape {
        constraint: before.constraint.as_ref().map(|constraint| Constraint {
            definition: {
                let definition = Definition::from_catalog(constraint.definition.clone());
                render("{definition}", &[("definition", &definition)])
            },
        }),
        timing: before.timing(),
        ..Shape::printed(true, Definition::from_catalog(before.method.clone()), printed)
    };
    let shape = shape.printed_again(session, &change.table).await?;
    let mut steps = Vec::new();
    for places in places(session, change, before, &shape).await? {
        steps.extend(index::build(&shape, &places, true, |_| None));
        for place in &places {
            let Some(before) = before.places.iter().find(|before| is_of(before, &place.table)) else {
                continue;
            };
            steps.extend(properties(place, before));
            steps.extend(attached(place, before)?);
        }
    }
    log::debug!("{} of {} is built again in {} steps", change.name, change.table.plain(), steps.len());
    Ok(steps)
}

/// Where the key goes: on the table with the partitions that it has now, and, by itself, on each that it had and that is a
/// table of its own now.
async fn places(
    session: &mut PgConnection,
    change: &Change,
    before: &UniqueKeyBefore,
    shape: &Shape,
) -> Result<Vec<Vec<Place>>, Error> {
    let parts = catalog::parts(session, &change.table).await?;
    let mut words: Vec<String> = before.parts.iter().map(|part| word(part)).collect();
    words.push(if before.constraint.is_some() { "key" } else { "idx" }.to_owned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // A partition that came since then has a name for its index that is free.
    let mut whole = index::places(session, &parts, shape, &words, &mut Planned::default()).await?;
    for place in &mut whole {
        if let Some(before) = before.places.iter().find(|before| is_of(before, &place.table)) {
            place.index = Ident::new(before.index.as_str())?;
            place.tablespace = before.tablespace.as_deref().map(Ident::new).transpose()?;
        }
    }
    let mut all = vec![whole];
    for before in before.places.iter().filter(|before| before.is_leaf) {
        let table =
            QualifiedName::new(Ident::new(before.schema.as_str())?, Ident::new(before.table.as_str())?);
        let is_there = catalog::is_there(session, &table.to_string()).await?;
        if is_there && !parts.iter().any(|part| part.table == table) {
            all.push(vec![Place {
                table,
                index: Ident::new(before.index.as_str())?,
                is_leaf: true,
                parent: None,
                tablespace: before.tablespace.as_deref().map(Ident::new).transpose()?,
            }]);
        }
    }
    Ok(all)
}

/// What PostgreSQL calls a column or an expression in the name of an index that a new partition gets.
fn word(part: &str) -> String {
    match part.split_once('(') {
        // A call of a function is called as the function is.
        Some((name, rest)) if rest.ends_with(')') && !name.is_empty() => {
            lookup::word(name.rsplit('.').next().unwrap_or(name))
        }
        _ => lookup::word(part),
    }
}

fn is_of(before: &PlaceBefore, table: &QualifiedName) -> bool {
    before.schema == table.schema.as_str() && before.table == table.name.as_str()
}

/// What an index had beside its definition: comments, and that CLUSTER goes by it.
fn properties(place: &Place, before: &PlaceBefore) -> Vec<Step> {
    let (table, name) = (&place.table, place.index.as_str());
    let short = |title: String, statement: Statement, goal: Goal| {
        Step::short(title, Lock::ShareUpdateExclusive, vec![table.clone()], vec![statement], goal)
    };
    let qualified = place.index();
    let mut steps = Vec::new();
    if let Some(comment) = &before.index_comment {
        steps.push(short(
            format!("comment on index {name}"),
            render(
                "COMMENT ON INDEX {index} IS {comment}",
                &[("index", &qualified), ("comment", &Literal::new(comment))],
            ),
            Goal::new(
                "SELECT obj_description(to_regclass($1), 'pg_class') IS NOT DISTINCT FROM $2",
                [qualified.to_string(), comment.clone()],
            ),
        ));
    }
    if let Some(comment) = &before.constraint_comment {
        steps.push(short(
            format!("comment on constraint {name} of {}", table.plain()),
            render(
                "COMMENT ON CONSTRAINT {name} ON {table} IS {comment}",
                &[("name", &place.index), ("table", table), ("comment", &Literal::new(comment))],
            ),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = to_regclass($1) AND obj_description(k.oid, 'pg_constraint') = $2)",
                [qualified.to_string(), comment.clone()],
            ),
        ));
    }
    if before.clustered {
        steps.push(short(
            format!("let CLUSTER of {} go by {name}", table.plain()),
            render("ALTER TABLE {table} CLUSTER ON {name}", &[("table", table), ("name", &place.index)]),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indisclustered)",
                [qualified.to_string()],
            ),
        ));
    }
    steps
}

/// What was set of an index's columns, and the extensions that it goes with.
fn attached(place: &Place, before: &PlaceBefore) -> Result<Vec<Step>, Error> {
    let (index, name) = (place.index(), place.index.as_str());
    let short = |title: String, lock, statement: Statement, goal: Goal| {
        Step::short(title, lock, vec![place.table.clone()], vec![statement], goal)
    };
    let mut steps = Vec::new();
    for (column, target) in before.statistics.iter().flatten() {
        let [number, value] =
            [usize::from(*column), usize::try_from(*target).unwrap_or(0)].map(Definition::number);
        steps.push(short(
            format!("set the statistics of column {column} of index {name}"),
            Lock::ShareUpdateExclusive,
            render(
                "ALTER INDEX {index} ALTER COLUMN {number} SET STATISTICS {value}",
                &[("index", &index), ("number", &number), ("value", &value)],
            ),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum = $2::int2 AND attstattarget = $3::int4)",
                [index.to_string(), column.to_string(), target.to_string()],
            ),
        ));
    }
    for extension in before.extensions.iter().flatten() {
        steps.push(short(
            format!("let index {name} go with the extension {extension}"),
            Lock::AccessExclusive,
            render(
                "ALTER INDEX {index} DEPENDS ON EXTENSION {extension}",
                &[("index", &index), ("extension", &Ident::new(extension.as_str())?)],
            ),
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                                WHERE d.classid = 'pg_class'::regclass AND d.objid = to_regclass($1) AND d.deptype = 'x' AND e.extname = $2)",
                [index.to_string(), extension.clone()],
            ),
        ));
    }
    Ok(steps)
}
