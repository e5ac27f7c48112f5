//! The table that takes the partition's place: made like it, filled, and whole before anybody sees it.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    Work,
    place::Place,
    sums::{Sums, of_table},
};
use crate::{
    Error,
    balance::{TriggerNames, objects_named, writing::Writing},
    db::{Context as _, DbError, gave_way, give_way, pause_after_giving_way},
    history::RunId,
    model::Model,
    progress::Progress,
    sql::{Definition, Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

const BUILD: &str = "make the table that takes the partition's place";

/// After so many attempts at a lock somebody is told.
const TELL_AFTER_ATTEMPTS: u32 = 20;

/// The CHECK of the replacement's bounds, which keeps ATTACH PARTITION from reading it.
pub(super) const BOUNDS: &str = "stockfoil_archive_bounds";

/// The CHECK that keeps it from reading the default partition.
pub(super) const FENCE: &str = "stockfoil_archive_fence";

/// What is ready to take the partition's place.
#[derive(Debug)]
pub(super) struct Replacement {
    /// Its record in `stockfoil.archived_partition`.
    pub(super) record: i64,
    pub(super) table: QualifiedName,
    /// The transaction that filled it.
    pub(super) filled: String,
    /// The ledger's default partition.
    pub(super) default: Option<QualifiedName>,
}

#[derive(sqlx::FromRow)]
struct Leftover {
    id: i64,
    schema_name: Option<String>,
    table_name: Option<String>,
    fence_schema: Option<String>,
    fence_table: Option<String>,
    fence_name: Option<String>,
}

impl Work<'_> {
    /// Throws away what an interrupted archive left, whichever partition it was of.
    pub(super) async fn discard_leftovers(&mut self) -> Result<(), Error> {
        const DISCARD: &str = "throw away what an interrupted archive left";
        let leftovers: Vec<Leftover> = sqlx::query_as(include_str!("leftovers.sql"))
            .fetch_all(&mut *self.session)
            .await
            .context(DISCARD)?;
        for left in leftovers {
            let mut statements = Vec::new();
            if let (Some(schema), Some(table), Some(name)) =
                (left.fence_schema, left.fence_table, left.fence_name)
            {
                let (table, name) =
                    (QualifiedName::new(Ident::new(schema)?, Ident::new(table)?), Ident::new(name)?);
                statements.push(render(
                    "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}",
                    &[("table", &table), ("name", &name)],
                ));
            }
            if let (Some(schema), Some(table)) = (left.schema_name, left.table_name) {
                let table = QualifiedName::new(Ident::new(schema)?, Ident::new(table)?);
                statements.push(render("DROP TABLE {table}", &[("table", &table)]));
            }
            let id = Definition::from_catalog(left.id.to_string());
            statements
                .push(render("DELETE FROM stockfoil.archived_partition WHERE id = {id}", &[("id", &id)]));
            short(self.session, self.progress, &statements, DISCARD).await?;
        }
        Ok(())
    }

    /// Makes it, fills it, and fences the default partition.
    pub(super) async fn build(
        &mut self,
        sums: &Sums,
        run: RunId,
        written: (&Writing, &[String]),
    ) -> Result<Replacement, Error> {
        let table = self.place.free_name(self.session, "brought_forward").await?;
        let triggers = self.triggers(&table);
        let (place, model) = (&self.place, self.model);
        let mut transaction = self
            .session
            .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            .await
            .context(BUILD)?;
        let connection: &mut PgConnection = &mut transaction;
        let create = create(place, &table);
        connection.execute(create.sql()).await.context(BUILD)?;
        let record = record(connection, place, &table, (run, &self.role)).await?;
        let steps: Vec<(i32, String)> = sqlx::query_as(include_str!("like.sql"))
            .persistent(false)
            .bind(place.like_oid)
            .bind(table.to_string())
            .bind(model.ledger.table.to_string())
            .fetch_all(&mut *connection)
            .await
            .context(BUILD)?;
        let of_stages = |stages: std::ops::RangeInclusive<i32>| {
            let steps = steps.iter().filter(|(stage, _)| stages.contains(stage));
            steps.map(|(_, sql)| catalogued(sql)).collect::<Vec<_>>()
        };
        for step in of_stages(1..=1) {
            connection.execute(step.sql()).await.context(BUILD)?;
        }
        if let Some(why) = fill(connection, model, &table, written, sums).await? {
            transaction.rollback().await.context(BUILD)?;
            return Err(self.refused(why));
        }
        for step in of_stages(2..=8).iter().chain(&triggers) {
            connection.execute(step.sql()).await.context(BUILD)?;
        }
        let filled: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
            .fetch_one(&mut *connection)
            .await
            .context(BUILD)?;
        transaction.commit().await.context(BUILD)?;
        for foreign_key in of_stages(9..=9) {
            short(self.session, self.progress, &[foreign_key], BUILD).await?;
        }
        let default = self.fence(record).await?;
        Ok(Replacement { record, table, filled, default })
    }

    /// What makes the statement triggers that keep the balances on `table`, under the names that they are to have on the partition.
    /// What the ledger has for each row comes with its place.
    fn triggers(&self, table: &QualifiedName) -> Vec<Statement> {
        let of = |table: &QualifiedName| {
            let mut model = self.model.clone();
            model.ledger.partitions = vec![table.clone()];
            let triggers = objects_named(&model, &TriggerNames::default()).triggers.into_iter();
            let own = triggers.filter(|object| object.table.as_ref() == Some(table));
            own.filter(|object| !object.create.is_empty()).collect::<Vec<_>>()
        };
        let mut statements = Vec::new();
        for (object, named) in of(table).into_iter().zip(of(&self.place.table)) {
            statements.extend(object.create);
            let fragments: [(&str, &dyn Fragment); 3] =
                [("trigger", &object.name), ("table", table), ("name", &named.name)];
            statements.push(render("ALTER TRIGGER {trigger} ON {table} RENAME TO {name}", &fragments));
        }
        statements
    }

    /// Lets the default partition say that it holds nothing of these bounds, so that nothing reads it under the lock.
    async fn fence(&mut self, record: i64) -> Result<Option<QualifiedName>, Error> {
        const FENCE_IN: &str = "look that the default partition has none of its entries";
        let found: Option<(String, String)> = sqlx::query_as(include_str!("default.sql"))
            .bind(self.model.ledger.table.to_string())
            .fetch_optional(&mut *self.session)
            .await
            .context(FENCE_IN)?;
        let Some((schema, name)) = found else { return Ok(None) };
        let default = QualifiedName::new(Ident::new(schema)?, Ident::new(name)?);
        let id = Definition::from_catalog(record.to_string());
        let text = Literal::new(&default.to_string());
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("default", &default),
            ("default.text", &text),
            ("fence", &Fixed(FENCE)),
            ("condition", &self.place.condition),
            ("id", &id),
        ];
        let add = "ALTER TABLE {default} ADD CONSTRAINT {fence} CHECK (NOT ({condition})) NOT VALID";
        let note = "UPDATE stockfoil.archived_partition
                    SET fence = (SELECT oid::bigint FROM pg_catalog.pg_constraint
                                 WHERE conrelid = to_regclass({default.text}) AND conname = '{fence}')
                    WHERE id = {id}";
        let validate = "ALTER TABLE {default} VALIDATE CONSTRAINT {fence}";
        let steps = [render(add, &fragments), render(note, &fragments)];
        short(self.session, self.progress, &steps, FENCE_IN).await?;
        short(self.session, self.progress, &[render(validate, &fragments)], FENCE_IN).await?;
        Ok(Some(default))
    }
}

/// The statement that makes it, with the columns, defaults, checks and indexes of what it is like.
fn create(place: &Place, table: &QualifiedName) -> Statement {
    render(
        "CREATE TABLE {table} (LIKE {like} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS,
             CONSTRAINT {bounds} CHECK ({condition}))",
        &[
            ("table", table),
            ("like", &place.like),
            ("bounds", &Fixed(BOUNDS)),
            ("condition", &place.condition),
        ],
    )
}

/// Records that it is there, in the transaction that makes it.
async fn record(
    connection: &mut PgConnection,
    place: &Place,
    table: &QualifiedName,
    (run, role): (RunId, &str),
) -> Result<i64, Error> {
    let record = sqlx::query_scalar(
        "INSERT INTO stockfoil.archived_partition (run_id, role, schema_name, table_name, bounds, replacement, newest_at)
         VALUES ($1, $2, $3, $4, $5, to_regclass($6)::oid::bigint, (SELECT max(newest_at) FROM pg_temp.stockfoil_archive))
         RETURNING id",
    )
    .persistent(false)
    .bind(run)
    .bind(role)
    .bind(place.table.schema.as_str())
    .bind(place.table.name.as_str())
    .bind(place.bounds.to_string())
    .bind(table.to_string())
    .fetch_one(connection)
    .await;
    Ok(record.context(BUILD)?)
}

/// Writes one entry a key whose sum is not zero. Why they are not what they should be, if they are not.
async fn fill(
    connection: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    (writing, texts): (&Writing, &[String]),
    sums: &Sums,
) -> Result<Option<String>, Error> {
    let keys = render("SELECT * FROM pg_temp.stockfoil_archive WHERE quantity <> 0", &[]);
    let write = writing.statement(model, table, (&keys, 0), &Fixed("true"));
    let count = render(
        "WITH written AS (\n{write}\n) SELECT count(*), count(*) FILTER (WHERE NOT counts) FROM written",
        &[("write", &write)],
    );
    let mut query = sqlx::query_as(count.sql()).persistent(false);
    for text in texts {
        query = query.bind(text);
    }
    let (written, uncounted): (i64, i64) = query.fetch_one(&mut *connection).await.context(BUILD)?;
    if uncounted > 0 {
        return Ok(Some("[ledger] where would not count the entries; give the columns that it reads values with which it does, in [ledger.correction] of stockfoil.toml".into()));
    }
    let brought = of_table(model, include_str!("brought.sql"), table);
    connection.execute(brought.sql()).await.context(BUILD)?;
    let unequal: Option<String> = sqlx::query_scalar(include_str!("unequal.sql"))
        .persistent(false)
        .fetch_optional(connection)
        .await
        .context(BUILD)?;
    Ok(match unequal {
        Some(unequal) => {
            Some(format!("an entry would not be kept as it is, by its column's type or a trigger: {unequal}"))
        }
        None if written != sums.to_write => {
            Some(format!("{written} entries were written of {}", sums.to_write))
        }
        None => None,
    })
}

/// What the catalog made, as it is.
pub(super) fn catalogued(sql: &str) -> Statement {
    render("{sql}", &[("sql", &Definition::from_catalog(sql.to_owned()))])
}

/// Runs `statements` in one transaction, which gives way to others and begins again.
pub(super) async fn short(
    session: &mut PgConnection,
    progress: &dyn Progress,
    statements: &[Statement],
    what: &'static str,
) -> Result<(), Error> {
    give_way(session).await?;
    let mut attempts = 0;
    loop {
        let mut transaction = session.begin().await.context(what)?;
        let mut result = Ok(());
        for statement in statements {
            result = transaction.execute(statement.sql()).await.map(|_| ());
            if result.is_err() {
                break;
            }
        }
        match result {
            Ok(()) => {
                transaction.commit().await.context(what)?;
                break;
            }
            Err(error) if gave_way(&error) => {
                transaction.rollback().await.context(what)?;
                attempts += 1;
                if attempts % TELL_AFTER_ATTEMPTS == 0 {
                    progress.note(&format!("waiting for other sessions to {what}"));
                }
                tokio::time::sleep(pause_after_giving_way()).await;
            }
            Err(cause) => return Err(DbError::Statement { context: what.to_owned(), cause }.into()),
        }
    }
    sqlx::raw_sql("RESET lock_timeout").execute(session).await.context(what)?;
    Ok(())
}
