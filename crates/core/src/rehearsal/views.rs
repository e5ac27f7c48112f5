//! Views over tenant tables: read, and written through where they can be, by each who may.

use sqlx::PgConnection;

use super::{
    action::{Kind, Trial},
    probe::{DELETED_MAX, Probed, users},
};
use crate::{
    Error,
    catalog::{self, UniqueKey},
    db::Context as _,
    example::{New, Table},
    model::Model,
    sql::{Ident, QualifiedName},
};

/// A view as the catalog has it.
#[derive(sqlx::FromRow)]
struct View {
    schema: String,
    name: String,
    /// The tenant tables that it reads.
    read: Vec<String>,
    inserts: bool,
    updates: bool,
    deletes: bool,
    /// Whether an INSERT into it is the server's own doing.
    is_plain: bool,
}

/// The trials of every view that reads a tenant table, as its owner and as each role that was given the right.
pub(super) async fn trials(
    session: &mut PgConnection,
    model: &Model,
    not_probed: &mut Vec<String>,
) -> Result<Vec<Trial>, Error> {
    let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let views: Vec<View> = sqlx::query_as(include_str!("views/views.sql"))
        .bind(tables)
        .fetch_all(&mut *session)
        .await
        .context("list the views for the rehearsal")?;
    let mut trials = Vec::new();
    for View { schema, name, read, inserts, updates, deletes, is_plain } in views {
        let name = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        let plain = name.plain();
        let mut view = Table::read(session, &name, &model.org_column).await?;
        let mut keys: Vec<UniqueKey> = Vec::new();
        for table in model.tenant_tables.iter().filter(|table| read.contains(&table.to_string())) {
            view.know_keys(&Table::read(session, table, &model.org_column).await?.columns);
            keys.extend(catalog::unique_keys(session, table).await?);
        }
        keys.retain(|key| is_plain && view.has_columns(key));
        // What a view over others, or over what can't be read, shows may be none, or an error.
        let rows = match view.rows(session, None, DELETED_MAX).await {
            Ok(rows) => {
                if rows.is_empty() && (inserts || updates || deletes) {
                    not_probed
                        .push(format!("writes to view {plain}: it has no rows to make another one like"));
                }
                rows
            }
            Err(error) => {
                not_probed.push(format!("writes to view {plain}: {error}"));
                Vec::new()
            }
        };
        let mut new = Vec::new();
        for how in [New::Behind, New::Before].into_iter().filter(|_| inserts && !rows.is_empty()) {
            match view.rows(session, Some(how), 1).await {
                Ok(found) => new.extend(found),
                Err(error) => not_probed.push(format!("INSERT into view {plain}: {error}")),
            }
        }
        for mut user in users(session, &view).await? {
            user.inserts &= inserts;
            user.updates &= updates;
            user.deletes &= deletes;
            let probed = Probed {
                table: &view,
                what: "view ",
                rows: &rows,
                new: &new,
                keys: &keys,
                insert: Kind::Insert,
                copies: !is_plain,
                infers: is_plain,
            };
            trials.extend(probed.trials(&user));
        }
    }
    Ok(trials)
}
