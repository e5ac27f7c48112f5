use std::{
    collections::HashMap,
    fmt::Display,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgRow};
use tokio::sync::OnceCell;

use crate::{Binary, Cluster, Mapped, workspace};

/// A test's own database.
#[derive(Debug)]
pub struct TestDb {
    cluster: &'static Cluster,
    name: String,
    /// What its binaries are told by `STOCKFOIL_CONFIG`.
    mapped: Option<Mapped>,
}

impl TestDb {
    /// An empty database.
    pub async fn empty() -> TestDb {
        Self::create("template0").await
    }

    /// The single-tenant inventory as it is before Stockfoil: tables, no rows.
    pub async fn inventory() -> TestDb {
        Self::create(
            &template("inventory", async |db| {
                let path = workspace().join("migrations/20260101000000_default_inventory.up.sql");
                db.execute(std::fs::read_to_string(path).unwrap()).await;
            })
            .await,
        )
        .await
    }

    /// The inventory with every migration applied, by the real `migrate-all`: tables, no rows.
    pub async fn migrated() -> TestDb {
        Self::create(
            &template("migrated", async |db| {
                db.run("migrate-all").arg("--contract").await.ok();
            })
            .await,
        )
        .await
    }

    /// The same in a cluster of a test's own, which then runs as long as the tests do.
    pub async fn migrated_in(cluster: Cluster) -> TestDb {
        let db = Self::create_in(Box::leak(Box::new(cluster)), "template0").await;
        db.run("migrate-all").arg("--contract").await.ok();
        db
    }

    /// The database `mapped` as it is before Stockfoil. Its binaries get its `stockfoil.toml` by
    /// `STOCKFOIL_CONFIG`, which a `--config` of the test's own overrides.
    pub async fn mapped(mapped: Mapped) -> TestDb {
        let name = template(mapped.templates().0, async |db| db.execute(mapped.script()).await).await;
        let mut db = Self::create(&name).await;
        db.mapped = Some(mapped);
        db
    }

    /// The database `mapped` with every migration applied, by the real `migrate-all`.
    pub async fn mapped_migrated(mapped: Mapped) -> TestDb {
        let name = template(mapped.templates().1, async |db| {
            db.execute(mapped.script()).await;
            db.run("migrate-all").arg("--contract").env("STOCKFOIL_CONFIG", mapped.config()).await.ok();
        })
        .await;
        let mut db = Self::create(&name).await;
        db.mapped = Some(mapped);
        db
    }

    async fn create(template: &str) -> TestDb {
        Self::create_in(Cluster::shared(), template).await
    }

    async fn create_in(cluster: &'static Cluster, template: &str) -> TestDb {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        admin(cluster, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        TestDb { cluster, name, mapped: None }
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, for the superuser.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// A session of its own.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Runs statements, each committed as the script says.
    pub async fn execute(&self, sql: impl Into<String>) {
        let sql = sql.into();
        let mut connection = self.connect().await;
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await {
            panic!("{error}\nin: {sql}");
        }
        connection.close().await.unwrap();
    }

    /// The first column of the first row, as text; `NULL` is the empty text.
    pub async fn value(&self, sql: impl Into<String>) -> String {
        let rows = self.rows(sql).await;
        rows.into_iter().next().and_then(|row| row.into_iter().next()).expect("a row")
    }

    /// Every row as text; `NULL` is the empty text.
    pub async fn rows(&self, sql: impl Into<String>) -> Vec<Vec<String>> {
        let mut connection = self.connect().await;
        let sql = sql.into();
        let rows: Vec<PgRow> = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
        connection.close().await.unwrap();
        // The simple protocol answers in text, whatever the type.
        let text = |row: &PgRow, index| {
            let value = row.try_get_raw(index).unwrap();
            value.as_str().map(str::to_owned).unwrap_or_default()
        };
        rows.iter().map(|row| (0..row.len()).map(|index| text(row, index)).collect()).collect()
    }

    /// A binary that is told of this database by `DATABASE_URL`, of its mapping where it has one, and of nothing
    /// else.
    pub fn run(&self, name: &str) -> Binary {
        let binary = Binary::new(name).env("DATABASE_URL", self.url());
        match self.mapped {
            Some(mapped) => binary.env("STOCKFOIL_CONFIG", mapped.config()),
            None => binary,
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.cluster.program("dropdb").args(["--force", &self.name]).status();
            return;
        }
        let folder = workspace().join("target/failed-tests");
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let file = folder.join(format!("{test}.dump"));
        let dumped = std::fs::create_dir_all(&folder).is_ok_and(|()| {
            let dump =
                self.cluster.program("pg_dump").args(["-Fc", "-f"]).arg(&file).arg(&self.name).status();
            dump.is_ok_and(|status| status.success())
        });
        if dumped {
            let file = file.display();
            eprintln!(
                "the test's database is kept; look at it with: scripts/with-postgres sh -c 'pg_restore -d postgres {file}; psql'"
            );
        }
    }
}

type Templates = HashMap<&'static str, Arc<OnceCell<()>>>;

/// The name of the template database `kind`, made once by `fill`.
async fn template(kind: &'static str, fill: impl AsyncFnOnce(&TestDb)) -> String {
    static MADE: OnceLock<Mutex<Templates>> = OnceLock::new();
    let made = Arc::clone(MADE.get_or_init(Mutex::default).lock().unwrap().entry(kind).or_default());
    let name = format!("template_{kind}");
    made.get_or_init(|| async {
        let cluster = Cluster::shared();
        admin(cluster, format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let db = TestDb { cluster, name: name.clone(), mapped: None };
        fill(&db).await;
        // A template outlives the value that filled it.
        std::mem::forget(db);
    })
    .await;
    name
}

async fn admin(cluster: &Cluster, sql: impl Display) {
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// That no command has its lock of runs: the server has noticed that a killed one is gone.
pub const LOCK_IS_FREE: &str = "SELECT count(*) = 0 FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Polls until `condition`, a query of one boolean, holds.
///
/// # Panics
/// After a minute, with the condition.
pub async fn wait_for(db: &TestDb, condition: &str) {
    let mut connection = db.connect().await;
    for _ in 0..6000 {
        let held = sqlx::query_scalar(AssertSqlSafe(condition.to_owned())).fetch_one(&mut connection).await;
        if held.unwrap_or_else(|error| panic!("{error}\nin: {condition}")) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {condition}");
}
