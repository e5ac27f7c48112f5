//! The unique keys that were dropped, under the names and with the properties that they had.

use sqlx::PgConnection;

use crate::{
    Error,
    migration::{
        change::{Change, PlaceBefore, UniqueKeyBefore},
        index::{self, Constraint, Place, Printed, Shape},
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
    let places = before.places.iter().map(place).collect::<Result<Vec<_>, Error>>()?;
    let printed = Printed::new(None, Definition::from_catalog(before.tail.clone()));
    let shape = Shape {
        constraint: before.constraint.as_ref().map(|constraint| Constraint {
            timing: index::timing(constraint.deferrable, constraint.deferred),
            definition: {
                let definition = Definition::from_catalog(constraint.definition.clone());
                render("{definition}", &[("definition", &definition)])
            },
        }),
        ..Shape::printed(true, Definition::from_catalog(before.method.clone()), printed)
    };
    let shape = shape.printed_again(session, &change.table).await?;
    let mut steps = index::build(&shape, &places, true, |_| None);
    for (place, before) in places.iter().zip(&before.places) {
        steps.extend(properties(place, before));
        steps.extend(attached(place, before)?);
    }
    log::debug!("{} of {} is built again in {} steps", change.name, change.table.plain(), steps.len());
    Ok(steps)
}

fn place(before: &PlaceBefore) -> Result<Place, Error> {
    Ok(Place {
        table: QualifiedName::new(Ident::new(before.schema.as_str())?, Ident::new(before.table.as_str())?),
        index: Ident::new(before.index.as_str())?,
        is_leaf: before.is_leaf,
        parent: before.parent,
        tablespace: before.tablespace.as_deref().map(Ident::new).transpose()?,
    })
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
