//! Sequences are moved past the numbers that come from elsewhere, before these are there: nobody is given one of them.

use sqlx::{Connection as _, PgConnection};

use super::fit::{Arrival, Way};
use crate::{
    Error,
    db::{Context as _, give_way, pause_after_giving_way},
    model::Model,
    sql::{Definition, Ident, QualifiedName, render},
};

/// So often it is tried when writers take numbers.
const ATTEMPTS_MAX: u32 = 100;

/// Moves the sequences of every table that gets rows; returns what was moved, each as `sequence to number`.
pub(super) async fn advance(
    session: &mut PgConnection,
    model: &Model,
    arrivals: &[Arrival],
) -> Result<Vec<String>, Error> {
    give_way(session).await?;
    let mut moved = Vec::new();
    for arrival in arrivals.iter().filter(|arrival| !matches!(arrival.way, Way::Ignore)) {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(include_str!("sequences.sql"))
            .bind(arrival.table.name.to_string())
            .fetch_all(&mut *session)
            .await
            .context(format!("look for sequences of {}", arrival.table.name.plain()))?;
        for (column, schema, name, cache) in rows {
            let column = Ident::new(column)?;
            if !arrival.table.columns.iter().any(|(known, _)| *known == column) {
                continue;
            }
            let sequence = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
            let statement =
                arrival.render(model, "SELECT max({column})::bigint FROM {staging}", &[("column", &column)]);
            let last: Option<i64> = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .fetch_one(&mut *session)
                .await
                .context("look for the last number")?;
            let Some(last) = last else { continue };
            if past(session, &sequence, cache, last).await? {
                moved.push(format!("{} to {last}", sequence.plain()));
            }
        }
    }
    Ok(moved)
}

/// Moves `sequence` past `last`, if it is not; nobody takes a number of it meanwhile.
async fn past(
    session: &mut PgConnection,
    sequence: &QualifiedName,
    cache: i64,
    last: i64,
) -> Result<bool, Error> {
    let context = || format!("move sequence {} past {last}", sequence.plain());
    let is_before = render("SELECT last_value < $1 FROM {sequence}", &[("sequence", sequence)]);
    let cache = Definition::number(usize::try_from(cache).unwrap_or(1));
    // Set to what it is: that keeps everybody else from it until the end of the transaction.
    let hold =
        render("ALTER SEQUENCE {sequence} CACHE {cache}", &[("sequence", sequence), ("cache", &cache)]);
    let mut attempts = 0;
    loop {
        let before: bool = sqlx::query_scalar(is_before.sql())
            .persistent(false)
            .bind(last)
            .fetch_one(&mut *session)
            .await
            .context(context())?;
        if !before {
            return Ok(false);
        }
        let mut transaction = session.begin().await?;
        let held = sqlx::query(hold.sql()).persistent(false).execute(&mut *transaction).await;
        match held.context(context()).map_err(Error::from) {
            Err(error) if error.gave_way() && attempts < ATTEMPTS_MAX => {
                transaction.rollback().await?;
                attempts += 1;
                tokio::time::sleep(pause_after_giving_way()).await;
            }
            Err(error) => return Err(error),
            Ok(_) => {
                let set = render(
                    "SELECT setval($2::regclass, $1) FROM {sequence} WHERE last_value < $1",
                    &[("sequence", sequence)],
                );
                let moved = sqlx::query(set.sql())
                    .persistent(false)
                    .bind(last)
                    .bind(sequence.to_string())
                    .execute(&mut *transaction)
                    .await
                    .context(context())?;
                transaction.commit().await.context(context())?;
                return Ok(moved.rows_affected() > 0);
            }
        }
    }
}
