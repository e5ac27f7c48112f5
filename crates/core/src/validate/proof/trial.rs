//! One entry, made as one role and taken back.

use sqlx::{Connection as _, PgConnection, postgres::PgDatabaseError};

use super::examples::Entry;
use crate::{
    Error,
    db::{Context as _, gave_way, sqlstate},
    example::{Row, Table},
    ledger::BalanceKey,
    model::Model,
    org_id::OrgId,
    sql::{Ident, render},
};

/// What is done.
const WHAT: &str = "try whether an entry is counted";

/// How long it may wait for a writer, and how long a statement of it may take, which holds writers up.
const LIMITS: &str = "SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '5s'";

/// What becomes of an entry.
pub(super) enum Outcome {
    /// It was counted, and its reverse too where there was one.
    Proven { is_reversed: bool },
    /// Nothing is known, and why.
    Unproven(String),
    /// It was not counted, or what counts it refused it.
    Failed(String),
}

/// Both sides of a key.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Sides {
    ledger: String,
    balance: Option<String>,
    apart: String,
}

/// One role that writes the ledger.
pub(super) struct Trial<'a> {
    pub(super) model: &'a Model,
    pub(super) table: &'a Table,
    pub(super) role: Ident,
    /// The columns that it may write.
    pub(super) columns: Vec<String>,
}

impl Trial<'_> {
    /// Why nothing can be done as the role, if nothing can.
    pub(super) async fn is_barred(&self, session: &mut PgConnection) -> Result<Option<String>, Error> {
        let mut transaction = session.begin().await.context(WHAT)?;
        let set = render("SET LOCAL ROLE {role}", &[("role", &self.role)]);
        let refused = sqlx::raw_sql(set.sql()).execute(&mut *transaction).await.err();
        transaction.rollback().await.context(WHAT)?;
        Ok(refused
            .map(|error| format!("this session can't work as {}: {}", self.role.as_str(), words(&error))))
    }

    /// Makes `entry` and its reverse, and takes them back.
    pub(super) async fn attempt(&self, session: &mut PgConnection, entry: &Entry) -> Result<Outcome, Error> {
        let mut transaction = session.begin().await.context(WHAT)?;
        let outcome = self.tried(&mut transaction, entry).await;
        transaction.rollback().await.context(WHAT)?;
        outcome
    }

    async fn tried(&self, session: &mut PgConnection, entry: &Entry) -> Result<Outcome, Error> {
        sqlx::raw_sql(LIMITS).execute(&mut *session).await.context(WHAT)?;
        let was: String = sqlx::query_scalar("SELECT current_setting('role')")
            .fetch_one(&mut *session)
            .await
            .context(WHAT)?;
        let before = match self.sides(session, entry).await {
            Ok(before) => before,
            Err(error) => return self.refused(error, entry, "in"),
        };
        for (row, which) in [(Some(&entry.row), "in"), (entry.reverse.as_ref(), "out")] {
            let Some(row) = row else { continue };
            if let Err(error) = self.write(session, &entry.org, row, &was).await {
                // What refuses the reverse alone, and isn't what counts it, takes nothing from what was seen.
                let outcome = self.refused(error, entry, which)?;
                let is_seen = which == "out" && matches!(outcome, Outcome::Unproven(_));
                return Ok(if is_seen { Outcome::Proven { is_reversed: false } } else { outcome });
            }
            let after = match self.sides(session, entry).await {
                Ok(after) => after,
                Err(error) => return self.refused(error, entry, which),
            };
            if let Some(outcome) = self.compared(entry, which, &before, &after) {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Proven { is_reversed: entry.reverse.is_some() })
    }

    /// What is wrong after an entry was made; none where it was counted.
    fn compared(&self, entry: &Entry, which: &str, before: &[Sides], after: &[Sides]) -> Option<Outcome> {
        for (key, (before, after)) in entry.keys.iter().zip(before.iter().zip(after)) {
            if before.apart != after.apart {
                let none = || "none".to_owned();
                return Some(Outcome::Failed(format!(
                    "{}: the entry took the sum of the ledger from {} to {}, and the balance from {} to {}",
                    self.told(key, which),
                    before.ledger,
                    after.ledger,
                    before.balance.clone().unwrap_or_else(none),
                    after.balance.clone().unwrap_or_else(none)
                )));
            }
        }
        let moved = before.iter().zip(after).any(|(before, after)| before.ledger != after.ledger);
        (which == "in" && !moved).then(|| {
            Outcome::Unproven(format!(
                "{}: what was written counts for another key or for none, by a trigger or rule of the application's",
                self.told(&entry.keys[0], which)
            ))
        })
    }

    /// Makes an entry as the role, as an application would that works for `org`.
    async fn write(
        &self,
        session: &mut PgConnection,
        org: &OrgId,
        row: &Row,
        was: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT set_config('row_security', 'on', true), set_config('app.org_id', $1, true)")
            .bind(org)
            .execute(&mut *session)
            .await?;
        let set = render("SET LOCAL ROLE {role}", &[("role", &self.role)]);
        sqlx::raw_sql(set.sql()).execute(&mut *session).await?;
        let (columns, row) = self
            .table
            .columns
            .iter()
            .zip(row)
            .filter(|(column, _)| self.columns.iter().any(|name| name == column.name.as_str()))
            .map(|(column, value)| (column.clone(), value.clone()))
            .unzip();
        let table = Table { columns, ..self.table.clone() };
        let insert = table.insert(&row, std::slice::from_ref(&self.model.org_column));
        sqlx::raw_sql(insert.sql()).execute(&mut *session).await?;
        // What is deferred counts too.
        sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *session).await?;
        sqlx::query("SELECT set_config('role', $1, true), set_config('row_security', 'off', true)")
            .bind(was)
            .execute(session)
            .await?;
        Ok(())
    }

    async fn sides(&self, session: &mut PgConnection, entry: &Entry) -> Result<Vec<Sides>, sqlx::Error> {
        let statement = self.model.render(include_str!("sides.sql"));
        let mut sides = Vec::new();
        for key in &entry.keys {
            let found = sqlx::query_as(statement.sql())
                .persistent(false)
                .bind(&key.org_id)
                .bind(&key.item_id)
                .bind(&key.location_id)
                .bind(&key.lot_id)
                .fetch_one(&mut *session)
                .await?;
            sides.push(found);
        }
        Ok(sides)
    }

    /// What it means that the server refused: what counts entries must take each that the ledger takes; what else refuses
    /// is the application's own business.
    fn refused(&self, error: sqlx::Error, entry: &Entry, which: &str) -> Result<Outcome, Error> {
        let told = format!("{}: {}", self.told(&entry.keys[0], which), words(&error));
        let code = sqlstate(&error).unwrap_or_default();
        let is_of_time = gave_way(&error) || code == "57014";
        let is_of_server =
            code.is_empty() || ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class));
        if is_of_time {
            Ok(Outcome::Unproven(told))
        } else if is_of_server {
            Ok(Err(error).context(WHAT)?)
        } else if self.is_of_balances(&error) && !(entry.takes && code == "23514") {
            Ok(Outcome::Failed(told))
        } else {
            Ok(Outcome::Unproven(told))
        }
    }

    /// Whether it is the triggers of the balances that failed, or their table that refused.
    fn is_of_balances(&self, error: &sqlx::Error) -> bool {
        let found = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let Some(found) = found else { return false };
        let balances = &self.model.balances.table;
        found.r#where().is_some_and(|context| context.contains("stockfoil.balance_"))
            || found.table() == Some(balances.name.as_str())
                && found.schema() == Some(balances.schema.as_str())
    }

    fn told(&self, key: &BalanceKey, which: &str) -> String {
        format!("as {}, an entry of {key}, {which}", self.role.as_str())
    }
}

/// What the server said, with the functions in which it came to that.
fn words(error: &sqlx::Error) -> String {
    let found = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(found) = found else { return error.to_string() };
    let lines = found.r#where().unwrap_or_default().lines();
    // Between them stand the statements, whole.
    let functions: Vec<&str> = lines.filter(|line| line.contains("() line ")).collect();
    match functions.as_slice() {
        [] => found.message().to_owned(),
        functions => format!("{} ({})", found.message(), functions.join(" / ")),
    }
}
