//! What stands in the way back: what would be lost, would not hold again, or depends on what goes.

use sqlx::PgConnection;

use super::Plan;
use crate::{
    Error, balance, catalog,
    db::Context as _,
    migration::{
        change::{self, Change, Kind, MIGRATE_ORG, UniqueKeyBefore},
        finding::Finding,
        index::{Printed, Shape},
        isolation, keys, preflight,
    },
    model::Model,
    org_id::OrgId,
    sql::{Definition, Ident, List, QualifiedName, render},
};

pub(super) async fn look(
    session: &mut PgConnection,
    model: &Model,
    default: &OrgId,
    plan: &Plan<'_>,
) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    // A table that is another's stays; it is no longer kept once nothing of migrate-balance is there.
    let objects = balance::objects(model);
    let states = balance::inspect(session, &objects).await?;
    let has_parts = states
        .iter()
        .any(|(object, state)| object.kind != balance::Kind::Table && *state != balance::State::Missing);
    if has_parts || balance::own_table(session, model, &states).await? == balance::OwnTable::There {
        found.push(Finding {
            check: "balances",
            object: model.balances.table.plain(),
            detail: "is kept by organization".into(),
            remedy: "run migrate-balance --rollback first, or migrate-all --rollback for both".into(),
        });
    }
    for (change, _) in plan.columns.iter().filter(|(_, before)| before.is_none()) {
        let table = &change.table;
        others(session, model, table, default, &mut found).await?;
    }
    for (change, before) in &plan.keys {
        restorable(session, change, before, &mut found).await?;
    }
    let mut trees = Vec::new();
    for table in &model.tenant_tables {
        trees.extend(catalog::parts(session, table).await?.into_iter().map(|part| part.table));
    }
    found.extend(preflight::detaching(session, model, &trees).await?);
    found.extend(leaning(session, &trees).await?);
    found.extend(renamed(session, model, plan).await?);
    for (change, before) in plan.keys.iter().filter(|(change, _)| !plan.losing.contains(&change.table)) {
        duplicates(session, change, before, &mut found).await?;
    }
    found.extend(dependents(session, model, plan).await?);
    Ok(found)
}

/// Tenant tables with the organizations' foreign key of which no change is remembered by the name that they have.
async fn renamed(session: &mut PgConnection, model: &Model, plan: &Plan<'_>) -> Result<Vec<Finding>, Error> {
    let known: Vec<String> = plan.changes.iter().map(|change| change.table.to_string()).collect();
    let tenants: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let tables: Vec<String> = sqlx::query_scalar(include_str!("renamed.sql"))
        .bind(tenants)
        .bind(known)
        .bind(model.organizations.to_string())
        .fetch_all(session)
        .await
        .context("look for tables that were renamed")?;
    let finding = |table| {
        Finding {
        check: "renamed",
        object: table,
        detail: "refers to organizations, and nothing is remembered of a change under this name".into(),
        remedy: "give it back the name and the schema that it was migrated under for the time of the rollback, or drop its organization's column".into(),
    }
    };
    Ok(tables.into_iter().map(finding).collect())
}

/// What calls a function of Stockfoil's, but for the tables that get their default back.
async fn leaning(session: &mut PgConnection, trees: &[QualifiedName]) -> Result<Vec<Finding>, Error> {
    let names: Vec<String> = trees.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("leaning.sql"))
        .bind(names)
        .bind(isolation::POLICY)
        .fetch_all(session)
        .await
        .context("look what calls Stockfoil's functions")?;
    let finding = |(object, detail)| Finding {
        check: "dependents",
        object,
        detail,
        remedy: "drop that column or its default, or what else calls it, first".into(),
    };
    Ok(rows.into_iter().map(finding).collect())
}

/// Whether a key that was dropped can be built again: with the columns and under the name that it had.
async fn restorable(
    session: &mut PgConnection,
    change: &Change,
    before: &UniqueKeyBefore,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    let mut finding = |detail: String, remedy: String| {
        found.push(Finding {
            check: "keys",
            object: format!("{}.{}", change.table.plain(), change.name),
            detail,
            remedy,
        });
    };
    let printed = Printed::new(None, Definition::from_catalog(before.tail.clone()));
    let shape = Shape::printed(true, Definition::from_catalog(before.method.clone()), printed);
    if let Some(words) = shape.misses_a_column(session, &change.table).await? {
        finding(
            format!("can't be built again: {words}"),
            format!(
                "rename the column back for the time of the rollback; where it was dropped on purpose, let the key be forgotten: \
                 DELETE FROM stockfoil.change WHERE kind = 'unique_key' AND name = '{}'",
                change.name.replace('\'', "''")
            ),
        );
    }
    for place in &before.places {
        let table = QualifiedName::new(Ident::new(place.schema.as_str())?, Ident::new(place.table.as_str())?);
        let is_taken: bool = sqlx::query_scalar(include_str!("key_name.sql"))
            .bind(&place.schema)
            .bind(&place.index)
            .bind(table.to_string())
            .fetch_one(&mut *session)
            .await
            .context("look for the names of dropped keys")?;
        if is_taken {
            finding(
                format!("can't be built again, since another relation is called {}", place.index),
                "rename that one first".into(),
            );
        }
    }
    Ok(())
}

/// What refers to that which goes: to the organizations' columns, or to the tables that the migration made.
async fn dependents(
    session: &mut PgConnection,
    model: &Model,
    plan: &Plan<'_>,
) -> Result<Vec<Finding>, Error> {
    let finding = |check: &'static str, (object, detail): (String, String)| Finding {
        check,
        object,
        detail,
        remedy: "change or drop it first".into(),
    };
    let losing: Vec<String> = plan.losing.iter().map(ToString::to_string).collect();
    let mut made_keys = Vec::new();
    for command in [MIGRATE_ORG, isolation::COMMAND] {
        let changes = change::of(session, command).await?.into_iter();
        made_keys.extend(changes.filter(|change| change.kind == Kind::ForeignKey));
    }
    let (key_tables, key_names): (Vec<String>, Vec<String>) =
        made_keys.into_iter().map(|change| (change.table.to_string(), change.name)).unzip();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("dependents.sql"))
        .bind(&losing)
        .bind(model.org_column.as_str())
        .bind(isolation::POLICY)
        .bind(key_tables)
        .bind(key_names)
        .fetch_all(&mut *session)
        .await
        .context("look what depends on the organization's columns")?;
    let mut found: Vec<Finding> = rows.into_iter().map(|row| finding("dependents", row)).collect();
    let made: Vec<String> = [&model.organizations, &model.api_keys]
        .into_iter()
        .filter(|table| plan.made(table))
        .map(ToString::to_string)
        .collect();
    let tenants: Vec<String> = model
        .tenant_tables
        .iter()
        .chain([&model.balances.table])
        .chain(plan.changes.iter().map(|change| &change.table))
        .map(ToString::to_string)
        .collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("referrers.sql"))
        .bind(&made)
        .bind(&tenants)
        .fetch_all(session)
        .await
        .context("look what refers to organizations")?;
    found.extend(rows.into_iter().map(|row| finding("referrers", row)));
    Ok(found)
}

/// Rows of other organizations, which would become everybody's.
async fn others(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    default: &OrgId,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    if catalog::column(session, table, &model.org_column).await?.is_none() {
        return Ok(());
    }
    let query = render(include_str!("others.sql"), &[("org", &model.org_column), ("table", table)]);
    let rows: Vec<(String, i64)> = sqlx::query_as(query.sql())
        .bind(default.as_str())
        .fetch_all(session)
        .await
        .context(format!("look for rows of other organizations in {}", table.plain()))?;
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().take(10).map(|(id, count)| format!("{id} has {count}")).collect();
    let more = if rows.len() > 10 { ", and there are more" } else { "" };
    found.push(Finding {
        check: "other_organizations",
        object: table.plain(),
        detail: format!("has rows of other organizations than {default}: {}{more}", names.join(", ")),
        remedy: "move or delete them first: without the column nothing would tell them apart".into(),
    });
    Ok(())
}

async fn duplicates(
    session: &mut PgConnection,
    change: &Change,
    before: &UniqueKeyBefore,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    let parts: Vec<Definition> = before.parts.iter().cloned().map(Definition::from_catalog).collect();
    let not_null = |part: &Definition| render("AND ({part}) IS NOT NULL ", &[("part", part)]);
    let everything = render("true ", &[]);
    let distinct = match before.nulls_not_distinct {
        true => everything,
        false => parts
            .iter()
            .map(not_null)
            .fold(everything, |all, next| render("{all}{next}", &[("all", &all), ("next", &next)])),
    };
    let predicate = Definition::from_catalog(before.predicate.clone().unwrap_or_else(|| "true".into()));
    let broken = keys::has_duplicates(session, &change.table, &List(parts), &predicate, &distinct).await?;
    if broken {
        found.push(Finding {
            check: "duplicates",
            object: format!("{}.{}", change.table.plain(), change.name),
            detail: "would not hold again: rows of different organizations are equal to it".into(),
            remedy: "make them different first".into(),
        });
    }
    Ok(())
}
