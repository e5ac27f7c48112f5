//! sqlx's migrator on the operator's folder: its lock, its table, and its way of running a file, but that no file is
//! recorded whose indexes are not what it says.

use std::time::Instant;

use sqlx::{
    Connection as _, PgConnection,
    migrate::{Migrate as _, Migration},
};

use super::{SQLX_TABLE, migrate_error, record, text};
use crate::{
    Error,
    db::{Context as _, Db, DbError, gave_way},
    migration::error::MigrationError,
    progress::Progress,
    sql::{QualifiedName, render},
};

/// Makes the session what it was before a file set anything in it: the next must do the same in whichever run it comes. Not
/// DISCARD ALL, which would give sqlx's lock away.
const FRESH: &str =
    "RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES";

/// sqlx's migrator. It has a session of its own: what a file sets in it is none of ours.
pub(super) struct Sqlx {
    session: PgConnection,
    /// Qualified, so that a file may set the search path; nothing before the first file.
    table: Option<QualifiedName>,
}

impl Sqlx {
    /// Takes the lock that `sqlx migrate run` and applications on sqlx take.
    pub(super) async fn lock(db: &Db, progress: &dyn Progress) -> Result<Self, Error> {
        let locking = "take sqlx's lock";
        let mut session = db.session().await?;
        let patience: String = sqlx::query_scalar("SELECT current_setting('lock_timeout')")
            .fetch_one(&mut session)
            .await
            .context(locking)?;
        set_patience(&mut session, "1s").await.context(locking)?;
        let taken = session.lock().await.map_err(migrate_error);
        set_patience(&mut session, &patience).await.context(locking)?;
        match taken {
            Err(DbError::Statement { cause, .. }) if gave_way(&cause) => {
                progress.note("waiting for another migrator, which holds sqlx's lock");
                session.lock().await.map_err(migrate_error)?;
            }
            taken => taken?,
        }
        Ok(Self { session, table: None })
    }

    /// Runs and records `file`, or only records it.
    ///
    /// # Errors
    /// [`MigrationError::InvalidIndex`]; database errors.
    pub(super) async fn take(&mut self, file: &Migration, is_baseline: bool) -> Result<(), Error> {
        let table = match self.table.take() {
            Some(table) => table,
            None => self.make_table().await?,
        };
        let table = &*self.table.insert(table);
        if is_baseline {
            return Ok(self.session.skip(&table.to_string(), file).await.map_err(migrate_error)?);
        }
        let began = Instant::now();
        if file.no_tx {
            run(&mut self.session, table, file).await?;
        } else {
            let applying = || format!("apply migration {}", file.version);
            let mut transaction = self.session.begin().await.context(applying())?;
            run(&mut transaction, table, file).await?;
            transaction.commit().await.context(applying())?;
        }
        // As sqlx does it: the time is known last, and may be lost.
        sqlx::raw_sql(FRESH).execute(&mut self.session).await.context("make the session a fresh one")?;
        let time = render("UPDATE {table} SET execution_time = $1 WHERE version = $2", &[("table", table)]);
        sqlx::query(time.sql())
            .bind(i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX))
            .bind(file.version)
            .execute(&mut self.session)
            .await
            .context(format!("record the time of migration {}", file.version))?;
        Ok(())
    }

    /// The table in which sqlx records versions, made where it is not there.
    async fn make_table(&mut self) -> Result<QualifiedName, DbError> {
        self.session.ensure_migrations_table(SQLX_TABLE).await.map_err(migrate_error)?;
        let missing = || sqlx::Error::Configuration(format!("{SQLX_TABLE} is not on the search path").into());
        record::visible(&mut self.session).await?.ok_or_else(|| DbError::Query(missing()))
    }

    pub(super) async fn close(mut self) -> Result<(), DbError> {
        self.session.unlock().await.map_err(migrate_error)?;
        Ok(self.session.close().await?)
    }
}

/// Runs `file`, and records it in `table` where what it names is whole.
async fn run(session: &mut PgConnection, table: &QualifiedName, file: &Migration) -> Result<(), Error> {
    sqlx::raw_sql(file.sql.clone())
        .execute(&mut *session)
        .await
        .context(format!("apply migration {}", file.version))?;
    // Whoever the file made the session: the record is written as who runs it.
    sqlx::query("RESET SESSION AUTHORIZATION")
        .execute(&mut *session)
        .await
        .context(format!("record migration {}", file.version))?;
    if let Some(index) = invalid(session, file).await? {
        return Err(MigrationError::InvalidIndex { version: file.version, index }.into());
    }
    session.skip(&table.to_string(), file).await.map_err(migrate_error)?;
    Ok(())
}

/// An index that `file` names and that is invalid after it: one that an earlier attempt left, which IF NOT EXISTS passes
/// over.
async fn invalid(session: &mut PgConnection, file: &Migration) -> Result<Option<String>, DbError> {
    let found: Vec<(String, String)> = sqlx::query_as(include_str!("invalid.sql"))
        .fetch_all(session)
        .await
        .context("look for invalid indexes")?;
    let names = |name: &str| text::names(file.sql.as_str(), name);
    Ok(found.into_iter().find(|(name, _)| names(name)).map(|(_, qualified)| qualified))
}

/// Sets how long the session waits for a lock.
async fn set_patience(session: &mut PgConnection, lock_timeout: &str) -> Result<(), sqlx::Error> {
    let set = sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(lock_timeout);
    set.execute(session).await.map(|_| ())
}
