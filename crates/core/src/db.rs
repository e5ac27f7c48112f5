//! The database: connecting, what the server is, sessions for online work, and the run lock.

mod defaults;
mod newer;
mod words;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    ConnectOptions as _, Connection, PgConnection, PgPool, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub(crate) use self::words::all_words;
use self::words::server_words;
use crate::{Failure, Task, progress::Progress};

/// The oldest server that is supported, as `server_version_num` counts.
pub const SERVER_VERSION_MIN: i32 = 150_000;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may take to notice that a session of this very process has ended, and give back its lock.
const OWN_LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often a server process that works or waits looks whether its client is still there.
const CHECK_INTERVAL: &str = "500ms";

/// How often a waiting run looks whether the run lock is free. A blocking wait would hold a snapshot that
/// CREATE INDEX CONCURRENTLY waits for.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection came about.
    #[error("can't connect to database {database:?} at {place} as {user:?}: {reason}; {remedy}")]
    Connect {
        /// The database.
        database: String,
        /// Host and port, or the socket's folder.
        place: String,
        /// The role.
        user: String,
        /// What the server or the operating system says.
        reason: String,
        /// What to do next.
        remedy: &'static str,
    },
    /// The server is older than what is supported.
    #[error("the server runs PostgreSQL {0}; Stockfoil needs 15 or newer, so upgrade it first")]
    TooOld(String),
    /// The server is a standby, or the session is read-only, and the command would write.
    #[error(
        "the server at {0} is read-only: it is a standby, or default_transaction_read_only is on for this database or role; connect to the primary, or ALTER DATABASE or ROLE ... RESET default_transaction_read_only"
    )]
    ReadOnly(String),
    /// The connection goes through a pooler in transaction mode.
    #[error(
        "the connection to {0} goes through a pooler in transaction mode, where neither settings nor locks stay with a session; connect to the server itself"
    )]
    Pooler(String),
    /// Another run holds the lock.
    #[error("another run holds the lock: {holder}; wait for it to end, or end it")]
    Locked {
        /// The holder: its pid, role, application name and start.
        holder: String,
    },
    /// A statement failed.
    #[error("{context}: {}", server_words(cause))]
    Statement {
        /// What was being done.
        context: String,
        /// What the server says. Its own words stand in the message, without the library's around them.
        cause: sqlx::Error,
    },
    /// A statement failed.
    #[error("the database refused: {}", server_words(.0))]
    Query(sqlx::Error),
}

impl DbError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            DbError::Locked { .. } => Failure::Locked,
            _ => Failure::Work,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        DbError::Query(error)
    }
}

/// Says what was being done when a statement failed.
pub trait Context<T> {
    /// Puts `context` (a phrase such as "add column org_id to users") before the server's words.
    ///
    /// # Errors
    /// The same error, with its context.
    fn context(self, context: impl Into<String>) -> Result<T, DbError>;
}

impl<T> Context<T> for Result<T, sqlx::Error> {
    fn context(self, context: impl Into<String>) -> Result<T, DbError> {
        self.map_err(|cause| DbError::Statement { context: context.into(), cause })
    }
}

/// The SQLSTATE of a database error, if it is one.
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// Whether a statement gave way to others: lock timeout, deadlock, or a row that another moved to another partition, or changed
/// under an isolation that is asked for.
pub(crate) fn gave_way(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("55P03" | "40P01" | "40001"))
}

/// How long one who gave way waits: 50 to 150 ms.
pub(crate) fn pause_after_giving_way() -> Duration {
    jittered(50, 100)
}

/// At least `least` ms and less than `spread` ms longer, so that two who wait for each other don't meet again.
pub(crate) fn jittered(least: u64, spread: u64) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    Duration::from_millis(least + u64::from(nanos) / 1_000 % spread.max(1))
}

/// Makes the session's statements give way to writers: the lock timeout is well below the time after which the server
/// looks for deadlocks (1 s unless set otherwise), so that none of them makes a writer the one that must.
///
/// # Errors
/// Database errors.
pub(crate) async fn give_way(session: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query(
        "SELECT set_config('lock_timeout', greatest(1, least(300, setting::int4 / 3)) || 'ms', false)
         FROM pg_settings WHERE name = 'deadlock_timeout'",
    )
    .execute(session)
    .await
    .context("set the lock timeout")?;
    Ok(())
}

/// What is known of the server and of this role in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version_num: i32,
    /// `server_version`, as a person reads it.
    pub version: String,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// Host and port, or the socket's folder.
    pub place: String,
    /// Whether this session can't write: a standby, or a read-only default.
    pub read_only: bool,
}

impl std::fmt::Display for ServerFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { database, place, role, version, .. } = self;
        write!(f, "database {database:?} at {place} as {role:?}, PostgreSQL {version}")
    }
}

/// A database that a command works on.
#[derive(Debug)]
pub struct Db {
    options: PgConnectOptions,
    pool: PgPool,
    facts: ServerFacts,
    /// The connection that looked at the server, for the first who wants a session.
    first: Mutex<Option<PgConnection>>,
}

impl Db {
    /// Connects to `target` and looks at the server. `application` is what the sessions call themselves.
    pub fn connect<'a>(target: PgConnectOptions, application: &'a str) -> Task<'a, Db> {
        Box::pin(async move {
            let options = target.application_name(application).options([
                // A killed client must not leave its statement running or in a lock queue.
                ("client_connection_check_interval", CHECK_INTERVAL),
                ("statement_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"),
                ("lock_timeout", "0"),
                // The session that holds the run lock has nothing else to do.
                ("idle_session_timeout", "0"),
                // Who writes a row that another has written since waits for it, and each transaction that needs one snapshot asks
                // for it.
                ("default_transaction_isolation", "read committed"),
                // What row-level security would hide is an error, and never taken for what is not there.
                ("row_security", "off"),
                ("TimeZone", "UTC"),
                ("DateStyle", "ISO"),
                // Definitions are compared as they are printed.
                ("IntervalStyle", "postgres"),
                ("bytea_output", "hex"),
                // The shortest text that is the same number again.
                ("extra_float_digits", "1"),
                ("quote_all_identifiers", "off"),
                // Many small parts of the catalog joined look costly, and compiling takes a hundred times what running does;
                // on sums it takes longer than it saves.
                ("jit", "off"),
            ]);
            // Index builds take long, and are no news.
            let options = options.log_slow_statements(log::LevelFilter::Debug, Duration::from_secs(1));
            let mut connection = open(&options).await?;
            let facts = facts(&mut connection, &options).await?;
            newer::give(&mut connection, &facts).await?;
            let options = options.options(facts.newer_settings().iter().copied());
            let answers = defaults::answers(&mut connection).await?;
            let options = if answers.is_empty() {
                options
            } else {
                connection.close().await?;
                let options = options.options(answers);
                connection = open(&options).await?;
                options
            };
            if facts.version_num < SERVER_VERSION_MIN {
                return Err(DbError::TooOld(facts.version).into());
            }
            let pool = PgPoolOptions::new()
                .max_connections(8)
                .acquire_timeout(CONNECT_TIMEOUT)
                .connect_lazy_with(options.clone());
            Ok(Db { options, pool, facts, first: Mutex::new(Some(connection)) })
        })
    }

    /// The server, as found when connecting.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// How its sessions connect.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Connections for short statements.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// One connection from the pool.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, DbError> {
        Ok(self.pool.acquire().await?)
    }

    /// A session of its own, for work that keeps state in it (locks, settings, temporary tables). Dropping it
    /// ends it.
    ///
    /// # Errors
    /// When no connection can be made.
    pub async fn session(&self) -> Result<PgConnection, DbError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut session) = first
            && let Ok(Ok(())) = tokio::time::timeout(CONNECT_TIMEOUT, session.ping()).await
        {
            return Ok(session);
        }
        open(&self.options).await
    }

    /// Ends the connections that nobody works with.
    pub async fn close(&self) {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(first) = first {
            // It ends all the same.
            let _ = first.close().await;
        }
        self.pool.close().await;
    }

    /// Refuses a standby and a read-only session.
    ///
    /// # Errors
    /// [`DbError::ReadOnly`].
    pub fn require_writable(&self) -> Result<(), DbError> {
        if self.facts.read_only { Err(DbError::ReadOnly(self.facts.place.clone())) } else { Ok(()) }
    }

    /// Refuses a pooler that gives each transaction another server process: settings, the run lock and CREATE INDEX
    /// CONCURRENTLY can't be relied on there.
    ///
    /// # Errors
    /// [`DbError::Pooler`].
    pub async fn require_direct(&self) -> Result<(), DbError> {
        let mut first = self.session().await?;
        let mut second = self.session().await?;
        // In the simple protocol: a pooler may give the execution of a prepared statement to another process.
        const LOOK: &str = "SELECT pg_backend_pid(), current_setting('client_connection_check_interval')";
        let mut seen = Vec::new();
        seen.push(look(&mut first, LOOK).await?);
        sqlx::raw_sql("BEGIN").execute(&mut second).await.context("look for a pooler")?;
        let other = look(&mut second, LOOK).await?;
        // The second session's transaction holds its process, so a shared one can't be the first session's any more.
        seen.push(look(&mut first, LOOK).await?);
        sqlx::raw_sql("ROLLBACK").execute(&mut second).await.context("look for a pooler")?;
        let is_shared = seen.iter().any(|(pid, _)| *pid == other.0) || seen[0].0 != seen[1].0;
        // A pooler that swallows what a session asks for at its start is one too, however many processes it has.
        let is_deaf = seen.iter().any(|(_, interval)| interval != CHECK_INTERVAL);
        if is_shared || is_deaf { Err(DbError::Pooler(self.facts.place.clone())) } else { Ok(()) }
    }

    /// Takes the run lock that keeps two migrations or two repairs of one database apart. Waits up to `wait`.
    ///
    /// # Errors
    /// [`DbError::Locked`] with the holder when the lock is still taken after `wait`.
    pub async fn run_lock(&self, wait: Duration, progress: &dyn Progress) -> Result<RunLock, DbError> {
        let mut session = self.session().await?;
        let mut waited = Duration::ZERO;
        loop {
            let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(RUN_LOCK_KEY)
                .fetch_one(&mut session)
                .await
                .context("take the run lock")?;
            if taken {
                return Ok(RunLock { session });
            }
            let (holder, is_own) = lock_holder(&mut session).await?;
            let wait = if is_own { wait.max(OWN_LOCK_WAIT) } else { wait };
            if waited >= wait {
                return Err(DbError::Locked { holder });
            }
            if waited.is_zero() && !is_own {
                progress.note(&format!("waiting for the run lock: {holder}"));
            }
            tokio::time::sleep(LOCK_POLL).await;
            waited += LOCK_POLL;
        }
    }

    /// Ends every other session of this process, so that nothing goes on behind an interrupted command, and
    /// waits until they are gone.
    ///
    /// # Errors
    /// When the server can't be reached any more.
    pub async fn end_sessions(&self) -> Result<(), DbError> {
        let mut session = self.session().await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid() AND usename = current_user",
        )
        .execute(&mut session)
        .await
        .context("end the interrupted sessions")?;
        Ok(())
    }
}

/// The run lock; given back when dropped, or when the process dies.
#[derive(Debug)]
pub struct RunLock {
    session: PgConnection,
}

impl RunLock {
    /// The session that holds it. What is done in it is over before the lock is free, even when the process is killed
    /// in the middle of a statement.
    pub fn session(&mut self) -> &mut PgConnection {
        &mut self.session
    }

    /// Gives it back before it returns, so that the next run finds it free. Dropped, it is given back when the server
    /// has cleaned up behind the session.
    pub async fn release(mut self) {
        // A session that can't be told is ending, and its lock with it.
        let _ =
            sqlx::query("SELECT pg_advisory_unlock($1)").bind(RUN_LOCK_KEY).execute(&mut self.session).await;
    }
}

async fn look(session: &mut PgConnection, query: &'static str) -> Result<(i32, String), DbError> {
    let row = sqlx::raw_sql(query).fetch_one(session).await.context("look for a pooler")?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// "stockfoi" in ASCII: one key a database, the same in every version.
const RUN_LOCK_KEY: i64 = 0x7374_6f63_6b66_6f69;

/// Lets a session that asks the catalog the same of one table after another plan each question once: planning costs more
/// than answering. Not for statements over rows, whose plans depend on values.
pub(crate) const PLAN_ONCE: &str = "SET plan_cache_mode = force_generic_plan";

async fn open(options: &PgConnectOptions) -> Result<PgConnection, DbError> {
    let failed = |reason: String, remedy| DbError::Connect {
        database: options.get_database().unwrap_or(options.get_username()).to_owned(),
        place: place(options),
        user: options.get_username().to_owned(),
        reason,
        remedy,
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if is_poolers(&error) => Err(DbError::Pooler(place(options))),
        Ok(Err(error)) => {
            let remedy = match sqlstate(&error).as_deref() {
                Some("28P01" | "28000") => {
                    "check the role's password (DATABASE_URL, PGPASSWORD or .pgpass) and pg_hba.conf"
                }
                Some("3D000") => "create the database, or correct its name in DATABASE_URL",
                Some("42501") if server_words(&error).contains("session_replication_role") => {
                    "as a superuser, ALTER DATABASE or ROLE ... RESET session_replication_role, by which no trigger fires"
                }
                Some("42501") => {
                    "GRANT CONNECT ON DATABASE it to the role, or take out of DATABASE_URL what the role may not set"
                }
                Some("53300") => "wait for a free connection slot, or raise max_connections",
                Some("57P03") => "the server is starting or stopping; try again",
                _ => "check host and port, and that the server runs",
            };
            Err(failed(server_words(&error), remedy))
        }
        Err(_) => Err(failed(
            format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            "check host, port and firewall",
        )),
    }
}

/// Whether a pooler says that it can't pass on what a session asks for at its start; a server can.
fn is_poolers(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None if options.get_host().starts_with('/') => options.get_host().to_owned(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

async fn facts(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<ServerFacts, DbError> {
    // In the simple protocol, which a pooler passes on too: what it is, is found later.
    let row = sqlx::raw_sql(
        "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), current_database()::text,
                current_user::text, pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool",
    )
    .fetch_one(connection)
    .await
    .context("ask the server for its version")?;
    Ok(ServerFacts {
        version_num: row.try_get(0)?,
        version: row.try_get(1)?,
        database: row.try_get(2)?,
        role: row.try_get(3)?,
        place: place(options),
        read_only: row.try_get(4)?,
    })
}

/// Who holds the run lock, and whether that is a session of this process: an earlier part's, which is just ending.
async fn lock_holder(connection: &mut PgConnection) -> Result<(String, bool), DbError> {
    let holder: Option<(String, bool)> = sqlx::query_as(
        "SELECT format('pid %s, role %s, application %s, connected since %s', a.pid, a.usename, a.application_name,
                       to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')),
                a.application_name = current_setting('application_name')
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.classid::int8 << 32 | l.objid::int8) = $1
         LIMIT 1",
    )
    .bind(RUN_LOCK_KEY)
    .fetch_optional(connection)
    .await
    .context("ask who holds the run lock")?;
    Ok(holder.unwrap_or_else(|| ("a run that is just ending".into(), true)))
}
