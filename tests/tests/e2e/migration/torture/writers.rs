//! An application's writers, who remember what was acknowledged.

use super::*;

/// Eight sessions of an application that knows nothing of organizations.
pub(super) struct Writers {
    pub(super) stop: Arc<AtomicBool>,
    /// While the old unique keys stand, an application may name them.
    pub(super) names_keys: Arc<AtomicBool>,
    pub(super) sessions: Vec<JoinHandle<Written>>,
}

/// What one session wrote.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What was acknowledged: its number of each round.
    pub(super) rounds: Vec<u32>,
    pub(super) errors: Vec<String>,
    pub(super) worst: Duration,
}

impl Writers {
    pub(super) fn start(url: String) -> Writers {
        let (stop, names_keys) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sessions = (0..8)
            .map(|session| {
                let (stop, names_keys, url) = (Arc::clone(&stop), Arc::clone(&names_keys), url.clone());
                tokio::spawn(async move {
                    let mut written = Written::default();
                    let mut connection = PgConnection::connect(&url).await.unwrap();
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        let names_keys = names_keys.load(Ordering::SeqCst);
                        match write(&mut connection, session, round, names_keys).await {
                            Ok(()) => written.rounds.push(round),
                            Err(error) => written.errors.push(error.to_string()),
                        }
                        written.worst = written.worst.max(started.elapsed());
                        round += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    connection.close().await.unwrap();
                    written
                })
            })
            .collect();
        Writers { stop, names_keys, sessions }
    }

    /// Ends them, and checks that none saw an error and that what was acknowledged is there.
    pub(super) async fn end(self, db: &TestDb, test: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut worst, mut writes) = (Duration::ZERO, 0);
        for (session, handle) in self.sessions.into_iter().enumerate() {
            let written = handle.await.unwrap();
            assert_eq!(written.errors, [""; 0], "session {session}");
            worst = worst.max(written.worst);
            writes += written.rounds.len();
            if matches!(session, 0 | 4 | 5) {
                let there = format!("SELECT count(*) FROM users WHERE email LIKE 's{session}-%'");
                assert_eq!(db.value(there).await, written.rounds.len().to_string(), "session {session}");
            }
            if session == 3 {
                let there = db.value("SELECT count(*) FROM feature_flags WHERE key LIKE 's3-%'").await;
                assert_eq!(there, written.rounds.len().to_string());
            }
            if matches!(session, 6 | 7) {
                let there = format!("SELECT count(*) FROM inventory_ledger WHERE reference = 's{session}'");
                assert_eq!(db.value(there).await, written.rounds.len().to_string(), "session {session}");
            }
        }
        println!("{test}: {writes} writes without an error, the worst took {} ms", worst.as_millis());
    }
}

async fn write(
    connection: &mut PgConnection,
    session: usize,
    round: u32,
    names_keys: bool,
) -> Result<(), sqlx::Error> {
    let name = format!("s{session}-{round}");
    match session {
        0 => {
            sqlx::query("INSERT INTO users (email, name) VALUES ($1, 'w')")
                .bind(name)
                .execute(connection)
                .await?;
        }
        1 => {
            sqlx::query("UPDATE users SET name = $1 WHERE id = 'u' || $2::int % 50 + 1")
                .bind(name)
                .bind(i64::from(round))
                .execute(connection)
                .await?;
        }
        2 => {
            sqlx::query("INSERT INTO items (id, item_number, name) VALUES ($1, $1, 'w')")
                .bind(&name)
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM items WHERE id = $1").bind(&name).execute(connection).await?;
        }
        3 => {
            sqlx::query("INSERT INTO feature_flags VALUES ($1, $1, true, now())")
                .bind(name)
                .execute(connection)
                .await?;
        }
        4 => {
            let target = if names_keys { "(email) DO UPDATE SET name = excluded.name" } else { "DO NOTHING" };
            let sql = format!("INSERT INTO users (email, name) VALUES ('{name}', 'w') ON CONFLICT {target}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
        }
        5 => {
            let sql = format!("INSERT INTO users (email, name) VALUES ('{name}', 'w') RETURNING *");
            sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
        }
        6 => {
            sqlx::query("INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, reference) VALUES ('i1', 'l1', 1, 's6') RETURNING id")
                .fetch_one(connection)
                .await?;
        }
        _ => {
            let mut transaction = connection.begin().await?;
            sqlx::query("UPDATE locations SET name = name WHERE id = 'l2'")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, reference) VALUES ('i2', 'l2', -1, 's7')")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("SELECT id, email FROM users WHERE id = 'u3'").fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}
