//! The unique keys that reach across organizations: each gets a twin that begins with the organization, then goes, and is
//! remembered.

use sqlx::PgConnection;

use super::{
    change::{self, Kind, MIGRATE_ORG, UniqueKeyBefore},
    index::{self, Constraint, Planned, Printed, Shape},
    runner,
    step::{Effect, Step},
};
use crate::{
    Error,
    catalog::{self, Timing, UniqueKey},
    db::{Context as _, DbError},
    model::Model,
    sql::{Definition, Fixed, Fragment, Ident, QualifiedName, render},
};

/// What `key` is once it begins with the organization.
fn twin(model: &Model, key: &UniqueKey) -> Shape {
    let org = &model.org_column;
    let constraint = key.constraint.and(key.constraint_tail.as_ref()).map(|tail| {
        let nulls = Fixed(if key.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" });
        let fragments: [(&str, &dyn Fragment); 3] = [("nulls", &nulls), ("org", org), ("tail", tail)];
        Constraint { definition: render("UNIQUE{nulls} ({org}, {tail}", &fragments) }
    });
    let printed = Printed::new(Some(org.clone()), key.tail.clone());
    let timing = key.constraint.unwrap_or(Timing::Immediate);
    Shape { constraint, timing, ..Shape::printed(true, key.method.clone(), printed) }
}

/// The steps that give `key` a twin that begins with the organization.
///
/// # Errors
/// Database errors.
pub(super) async fn twin_steps(
    session: &mut PgConnection,
    model: &Model,
    key: &UniqueKey,
    planned: &mut Planned,
) -> Result<Vec<Step>, Error> {
    let mut shape = twin(model, key).printed_again(session, &key.table).await?;
    let mut words = vec![model.org_column.as_str()];
    words.extend(key.columns.iter().map(|column| column.as_deref().unwrap_or("expr")));
    words.push(if key.constraint.is_some() { "key" } else { "idx" });
    let parts = catalog::parts(session, &key.table).await?;
    let places = index::places(session, &parts, &shape, &words, planned).await?;
    if let Some(root) = places.first()
        && index::is_there(session, &shape, root).await?
        && !change::is_noted(session, Kind::Index, &root.table, &root.index).await?
    {
        // An index of the application's own keeps it unique already; it stays what it is.
        shape.constraint = None;
    }
    Ok(index::build(&shape, &places, false, |place| {
        Some(change::note(MIGRATE_ORG, Kind::Index, &place.table, place.index.as_str()))
    }))
}

/// The contraction: the key that reaches across organizations goes, and is remembered.
pub(super) fn drop_step(key: &UniqueKey) -> Step {
    let name = key.name.as_str();
    let title = format!("drop {name} of {}, which reaches across organizations", key.table.plain());
    index::drop(title, &key.table, &key.name, key.constraint.is_some())
        .remembering(change::note(MIGRATE_ORG, Kind::UniqueKey, &key.table, name))
        .meaning(Effect::EndsKey(name.to_owned()))
}

/// What a key that is gone has become: one that begins with the organization.
fn twin_of(before: &UniqueKeyBefore, org: &Ident) -> Shape {
    let printed = Printed::new(Some(org.clone()), Definition::from_catalog(before.tail.clone()));
    Shape {
        timing: before.timing(),
        ..Shape::printed(true, Definition::from_catalog(before.method.clone()), printed)
    }
}

/// Whether one of the definition of `key` that begins with the organization is beside it, and whole.
///
/// # Errors
/// Database errors.
pub(crate) async fn has_twin(
    session: &mut PgConnection,
    model: &Model,
    key: &UniqueKey,
) -> Result<bool, Error> {
    let twin = twin(model, key).printed_again(session, &key.table).await?;
    Ok(index::has(session, &twin, &key.table).await?)
}

/// The unique keys of `table` that `migrate-org` replaced, each with whether one of the same definition that begins
/// with the organization is there and whole.
///
/// # Errors
/// Database errors.
pub(crate) async fn replaced(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
) -> Result<Vec<(String, bool)>, Error> {
    // Definitions were noted as they are printed with this setting.
    runner::prepare(session).await?;
    let mut keys = Vec::new();
    for change in change::of(session, MIGRATE_ORG).await? {
        let before: Option<UniqueKeyBefore> = match change.kind {
            Kind::UniqueKey if change.table == *table => change.before()?,
            _ => None,
        };
        if let Some(before) = before {
            let twin = twin_of(&before, &model.org_column).printed_again(session, table).await?;
            keys.push((change.name, index::has(session, &twin, table).await?));
        }
    }
    Ok(keys)
}

/// Whether two rows of `table`, of those for which `predicate` holds, are equal in `key`, and so would break a unique key over
/// it; `distinct` says of which rows that counts, where NULLs differ. Reads the whole table.
///
/// # Errors
/// Database errors.
pub(super) async fn has_duplicates(
    session: &mut PgConnection,
    table: &QualifiedName,
    key: &dyn Fragment,
    predicate: &dyn Fragment,
    distinct: &dyn Fragment,
) -> Result<bool, DbError> {
    let fragments: [(&str, &dyn Fragment); 4] =
        [("table", table), ("predicate", predicate), ("distinct", distinct), ("unique_key", key)];
    let query = render(include_str!("keys/duplicates.sql"), &fragments);
    let context = format!("look for duplicates in {}", table.plain());
    sqlx::query_scalar(query.sql()).fetch_one(session).await.context(context)
}
