//! The partition that is archived: where it stands, and what stands in the way.

use sqlx::PgConnection;

use super::Closing;
use crate::{
    Error,
    db::Context as _,
    model::Model,
    sql::{Definition, Ident, QualifiedName},
};

const LOOK: &str = "look at the partition";

/// A partition of the ledger, or one that was one when it was closed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) table: QualifiedName,
    /// What it is made like: itself, or the ledger where it is there no more.
    pub(super) like: QualifiedName,
    /// That table's oid.
    pub(super) like_oid: i64,
    /// As ATTACH PARTITION takes them.
    pub(super) bounds: Definition,
    /// The same as a condition on a row.
    pub(super) condition: Definition,
    pub(super) stand: Stand,
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum Stand {
    /// In the ledger.
    Attached,
    /// It was detached, and is a table of its own.
    Detached,
    /// It was detached and dropped.
    Dropped,
    /// Its entries were brought forward before.
    Archived {
        /// The table that has them.
        archived_as: Option<String>,
    },
}

#[derive(sqlx::FromRow)]
struct Found {
    relation: Option<i64>,
    is_attached: bool,
    is_partition: bool,
    is_no_table: bool,
    bounds: Option<String>,
    condition: Option<String>,
    archived_as: Option<String>,
    is_archived: bool,
    closed_bounds: Option<String>,
    closed_condition: Option<String>,
    newer_gone: Option<String>,
}

impl Place {
    /// The partition that `name` means, or why none can be archived by it.
    pub(super) async fn find(
        session: &mut PgConnection,
        model: &Model,
        closing: &Closing,
        name: &str,
    ) -> Result<Result<Self, String>, Error> {
        let ledger = &model.ledger.table;
        let table = match QualifiedName::split(name)?.as_slice() {
            [name] => QualifiedName::new(ledger.schema.clone(), name.clone()),
            [schema, name] => QualifiedName::new(schema.clone(), name.clone()),
            _ => return Ok(Err("a partition is TABLE or SCHEMA.TABLE".into())),
        };
        let found: Found = sqlx::query_as(include_str!("place.sql"))
            .bind(ledger.to_string())
            .bind(table.schema.as_str())
            .bind(table.name.as_str())
            .bind(closing.id)
            .fetch_one(&mut *session)
            .await
            .context(LOOK)?;
        let ledger_oid: i64 = sqlx::query_scalar("SELECT to_regclass($1)::oid::bigint")
            .bind(ledger.to_string())
            .fetch_one(&mut *session)
            .await
            .context(LOOK)?;
        let place = match Self::of(found, table, (ledger, ledger_oid)) {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        if !matches!(place.stand, Stand::Attached | Stand::Detached) {
            return Ok(Ok(place));
        }
        let obstacles: Vec<String> = sqlx::query_scalar(include_str!("obstacles.sql"))
            .bind(place.like_oid)
            .fetch_all(session)
            .await
            .context(LOOK)?;
        Ok(match obstacles.as_slice() {
            [] => Ok(place),
            obstacles => Err(format!("{}; end that first", obstacles.join("; "))),
        })
    }

    fn of(
        found: Found,
        table: QualifiedName,
        (ledger, ledger_oid): (&QualifiedName, i64),
    ) -> Result<Self, String> {
        let own = || (table.clone(), found.relation.unwrap_or_default());
        let (stand, bounds, condition, (like, like_oid)) = if found.is_no_table {
            return Err("it is no table".into());
        } else if found.is_attached {
            let stand = match found.is_archived {
                true => Stand::Archived { archived_as: found.archived_as.clone() },
                false => Stand::Attached,
            };
            (stand, found.bounds.clone(), found.condition.clone(), own())
        } else if let Some(bounds) = &found.closed_bounds {
            if let Some(newer) = &found.newer_gone {
                return Err(format!(
                    "{newer} is gone too, and has newer entries; what is missing is brought forward with that: reconcile-balances --archive {newer}"
                ));
            }
            let (stand, like) = match found.relation {
                Some(_) if found.is_partition => {
                    return Err("it is a partition of another table now; detach it there".into());
                }
                Some(_) => (Stand::Detached, own()),
                None => (Stand::Dropped, (ledger.clone(), ledger_oid)),
            };
            (stand, Some(bounds.clone()), found.closed_condition.clone(), like)
        } else {
            return Err(match found.relation {
                Some(_) => format!(
                    "it is no partition that the ledger {} is made of directly, and none that was closed as one",
                    ledger.plain()
                ),
                None => format!(
                    "there is no such table, and the ledger {} had no such partition when it was closed",
                    ledger.plain()
                ),
            });
        };
        let bounds = bounds.unwrap_or_default();
        let Some(condition) = condition.filter(|_| bounds != "DEFAULT") else {
            return Err("it is the default partition, which takes whatever has no other; give its entries a partition of their own first".into());
        };
        let (bounds, condition) = (Definition::from_catalog(bounds), Definition::from_catalog(condition));
        Ok(Self { table, like, like_oid, bounds, condition, stand })
    }

    /// Its name for messages.
    pub(super) fn plain(&self) -> String {
        self.table.plain()
    }

    /// A name in its schema, made of its own and `word`, that nothing has.
    pub(super) async fn free_name(
        &self,
        session: &mut PgConnection,
        word: &str,
    ) -> Result<QualifiedName, Error> {
        let mut number = 1;
        loop {
            let name = match number {
                1 => Ident::joined(&[self.table.name.as_str(), word]),
                number => Ident::joined(&[self.table.name.as_str(), word, &number.to_string()]),
            };
            let free = QualifiedName::new(self.table.schema.clone(), name);
            let is_taken: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(free.to_string())
                .fetch_one(&mut *session)
                .await
                .context(LOOK)?;
            if !is_taken {
                return Ok(free);
            }
            number += 1;
        }
    }
}
