//! Views over tenant tables: read, and written through where they can be.

use sqlx::PgConnection;

use super::action::{Action, Kind, Trial};
use crate::{
    Error,
    db::Context as _,
    example::{New, Table},
    model::Model,
    sql::{Ident, QualifiedName, render},
};

/// The trials of every view that reads a tenant table, as its owner.
pub(super) async fn trials(
    session: &mut PgConnection,
    model: &Model,
    not_probed: &mut Vec<String>,
) -> Result<Vec<Trial>, Error> {
    let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let views: Vec<(String, String, String, bool, bool)> = sqlx::query_as(include_str!("views/views.sql"))
        .bind(tables)
        .fetch_all(&mut *session)
        .await
        .context("list the views for the rehearsal")?;
    let mut keys = Vec::new();
    for table in &model.tenant_tables {
        keys.extend(
            Table::read(session, table, &model.org_column)
                .await?
                .columns
                .into_iter()
                .filter(|column| column.is_unique),
        );
    }
    let mut trials = Vec::new();
    for (schema, name, owner, updates, inserts) in views {
        let name = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        let (plain, owner) = (name.plain(), Ident::new(owner)?);
        let trial = |what: &str, kind, ways: Vec<Vec<Action>>| Trial {
            what: format!("{what} view {plain}"),
            kind,
            role: Some(owner.clone()),
            ways,
        };
        let read = render("SELECT * FROM {view} LIMIT 10", &[("view", &name)]);
        trials.push(trial("SELECT from", Kind::Other, vec![vec![Action::Run(read)]]));
        let mut view = Table::read(session, &name, &model.org_column).await?;
        view.know_keys(&keys);
        if updates {
            let sets = [true, false].into_iter().filter_map(|is_changed| view.updated(is_changed));
            let ways = sets.map(|set| {
                let update = render("UPDATE {view} SET {set}", &[("view", &name), ("set", &set)]);
                vec![Action::Run(update)]
            });
            trials.push(trial("UPDATE of", Kind::Other, ways.collect()));
        }
        if inserts {
            match view.rows(session, Some(New::Behind), 1).await {
                Ok(rows) if !rows.is_empty() => {
                    let ways = rows.iter().map(|row| vec![Action::Run(view.insert(row, &[]))]);
                    trials.push(trial("INSERT into", Kind::Insert, ways.collect()));
                }
                Ok(_) => {
                    not_probed
                        .push(format!("INSERT into view {plain}: it has no rows to make another one like"));
                }
                Err(error) => not_probed.push(format!("INSERT into view {plain}: {error}")),
            }
        }
    }
    Ok(trials)
}
