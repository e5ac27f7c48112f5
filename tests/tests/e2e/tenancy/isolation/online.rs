//! The way there among writers, and killed between any two steps.
#![allow(clippy::disallowed_methods, reason = "writers send statements that they make up")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;

use super::*;
use crate::migration::{
    indexes::killed_while_building,
    same_schema, schema,
    torture::{close_gate, killed_between_all_steps_of, open_gate},
};

/// A session of an application that says whose each transaction is, and names no organization in its statements.
struct Writer {
    stop: Arc<AtomicBool>,
    session: JoinHandle<(usize, Vec<String>)>,
}

impl Writer {
    /// Writes for `org` in the ledger and beside it, and reads what it wrote.
    fn start(url: String, org: String, item: &'static str, location: &'static str) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let session = tokio::spawn(async move {
            let (mut rounds, mut errors) = (0, Vec::new());
            let mut session = PgConnection::connect(&url).await.unwrap();
            while !stopped.load(Ordering::Relaxed) {
                let sql = format!(
                    "BEGIN; SELECT set_config('app.org_id', '{org}', true);
                     INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, reference) VALUES ('{item}', '{location}', 1, '{org}');
                     INSERT INTO users (email, name) VALUES (gen_random_uuid()::text, 'w');
                     INSERT INTO count_sheets (id, count_number, location_id) VALUES (pg_backend_pid() || '-{rounds}', pg_backend_pid() || '-{rounds}', '{location}');
                     INSERT INTO count_lines (count_sheet_id, item_id, qty_counted) VALUES (pg_backend_pid() || '-{rounds}', '{item}', 1);
                     DELETE FROM count_sheets WHERE id = pg_backend_pid() || '-{rounds}';
                     UPDATE items SET name = 'w' WHERE id = '{item}';
                     COMMIT"
                );
                match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session).await {
                    Ok(_) => rounds += 1,
                    Err(error) => {
                        errors.push(error.to_string());
                        sqlx::raw_sql("ROLLBACK").execute(&mut session).await.unwrap();
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            session.close().await.unwrap();
            (rounds, errors)
        });
        Writer { stop, session }
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (rounds, errors) = self.session.await.unwrap();
        assert_eq!(errors, [""; 0], "after {rounds} rounds");
        rounds
    }
}

/// Two organizations with an item and a place each, and the application's role, which its sessions have already.
async fn tenants() -> Tenants {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    let (b, app, web) = (&tenants.b, &tenants.app, tenants.web());
    tenants
        .db
        .execute(format!(
            "INSERT INTO items (id, item_number, name, org_id) VALUES ('ib', 'I-1', 'I', '{b}');
             INSERT INTO locations (id, site, name, org_id) VALUES ('lb', 'S', 'P1', '{b}');
             CREATE ROLE {app}; CREATE ROLE {web} LOGIN IN ROLE {app};
             GRANT SELECT, INSERT, UPDATE, DELETE ON users, items, locations, inventory_ledger, count_sheets, count_lines TO {app};
             GRANT USAGE ON SCHEMA stockfoil TO {app}"
        ))
        .await;
    tenants
}

/// So many of each organization.
fn writers(tenants: &Tenants, each: usize) -> Vec<Writer> {
    let (a, b) = (tenants.a.clone(), tenants.b.clone());
    (0..each)
        .flat_map(|_| {
            [
                Writer::start(tenants.url(), a.clone(), "i1", "l1"),
                Writer::start(tenants.url(), b.clone(), "ib", "lb"),
            ]
        })
        .collect()
}

/// What the writers were told is written is there, of their organization, and the balances are exact.
async fn all_is_well(tenants: &Tenants, writers: Vec<Writer>) {
    let (mut written, is_quiet) = ([0, 0], writers.is_empty());
    for (at, writer) in writers.into_iter().enumerate() {
        written[at % 2] += writer.end().await;
    }
    assert!(is_quiet || written.iter().all(|rounds| *rounds > 10), "{written:?}");
    for (org, rounds) in [&tenants.a, &tenants.b].into_iter().zip(written) {
        let there =
            format!("SELECT count(*) FROM inventory_ledger WHERE reference = '{org}' AND org_id = '{org}'");
        assert_eq!(tenants.db.value(there).await, rounds.to_string(), "{org}");
    }
    tenants.run("reconcile-balances").arg("--full").await.ok();
    tenants.run("validate-migration").await.ok();
    let _shared = ROLES.read().await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_say_whose_they_are_see_no_error() {
    let tenants = tenants().await;
    let writers = writers(&tenants, 2);
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    all_is_well(&tenants, writers).await;
    // And there they see no other's.
    let mut session = PgConnection::connect(&tenants.url()).await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&mut session).await.unwrap();
    assert_eq!(seen, 0);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_back_gives_writers_no_error() {
    let tenants = Tenants::of(None).await;
    let (db, app, web) = (&tenants.db, &tenants.app, tenants.web());
    db.execute(format!(
        "INSERT INTO items (id, item_number, name) VALUES ('i1', 'I-1', 'I');
         INSERT INTO locations (id, site, name) VALUES ('l1', 'S', 'P1');
         CREATE ROLE {app}; CREATE ROLE {web} LOGIN IN ROLE {app};
         GRANT SELECT, INSERT, UPDATE, DELETE ON users, items, locations, inventory_ledger, count_sheets, count_lines TO {app}"
    ))
    .await;
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    let writers: Vec<Writer> =
        (0..4).map(|_| Writer::start(tenants.url(), "default".into(), "i1", "l1")).collect();
    testkit::wait_for(db, "SELECT count(*) > 0 FROM inventory_ledger").await;
    tenants.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    let mut written = 0;
    for writer in writers {
        written += writer.end().await;
    }
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger").await, written.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_it_goes_on() {
    let tenants = tenants().await;
    let db = &tenants.db;
    let writers = writers(&tenants, 4);
    let isolate = || tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]);
    close_gate(db).await;
    let killed = killed_between_all_steps_of(db, isolate).await;
    assert!(killed > 40, "{killed}");
    open_gate(db).await;
    isolate().await.ok().says("nothing to do");
    all_is_well(&tenants, writers).await;
    // Balances that come now.
    let writers = self::writers(&tenants, 1);
    tenants.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
    close_gate(db).await;
    let killed = killed_between_all_steps_of(db, || tenants.run("migrate-balance")).await;
    assert!(killed > 5, "{killed}");
    open_gate(db).await;
    for writer in writers {
        assert!(writer.end().await > 10);
    }
    tenants.run("backfill-balances").await.ok();
    tenants.run("reconcile-balances").arg("--full").await.ok();
    tenants.run("validate-migration").await.ok();
    let back = || tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]);
    let writers = self::writers(&tenants, 1);
    close_gate(db).await;
    let killed = killed_between_all_steps_of(db, back).await;
    assert!(killed > 30, "{killed}");
    open_gate(db).await;
    for writer in writers {
        assert!(writer.end().await > 10);
    }
    let policies = "SELECT count(*) FROM pg_policies WHERE policyname = 'stockfoil_isolation'";
    assert_eq!(db.value(policies).await, "0");
    tenants.run("validate-migration").await.ok();
}

#[tokio::test]
async fn what_a_later_release_makes_is_the_operations_roles_from_its_first_moment() {
    let tenants = tenants().await;
    let (db, ops) = (&tenants.db, &tenants.ops);
    let isolate = ["--finalize", "--isolate", "--yes"];
    tenants.run("migrate-org").args(isolate).await.ok();
    // What functions that are the role's already call and write: what an earlier release did not have.
    db.execute("DROP FUNCTION stockfoil.balance_refuse, stockfoil.org_by_api_key_hash").await;
    let text = std::fs::read_to_string(tenants.config.path()).unwrap();
    std::fs::write(tenants.config.path(), format!("{text}\n[balances]\nhot = \"queue\"\n")).unwrap();
    db.execute(
        "CREATE FUNCTION public.no_rights() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'no rights today'; END $$;
         CREATE EVENT TRIGGER no_rights ON ddl_command_end WHEN TAG IN ('ALTER FUNCTION', 'GRANT') EXECUTE FUNCTION public.no_rights()",
    )
    .await;
    let others = format!(
        "SELECT string_agg(what, ', ') FROM (
             SELECT proname FROM pg_proc WHERE pronamespace = 'stockfoil'::regnamespace AND proname <> 'default_org'
             AND proowner <> '{ops}'::regrole
             UNION ALL
             SELECT relname FROM pg_class WHERE relnamespace = 'stockfoil'::regnamespace AND relkind = 'r'
             AND NOT has_table_privilege('{ops}', oid, 'INSERT')) AS others (what)"
    );
    for command in ["migrate-org", "migrate-balance"] {
        tenants.run(command).await.status(3).tells("no rights today");
        assert_eq!(db.value(&others).await, "", "{command}");
    }
    db.execute("DROP EVENT TRIGGER no_rights; DROP FUNCTION public.no_rights()").await;
    let mut made = 0;
    for command in ["migrate-org", "migrate-balance"] {
        made += tenants.run(command).args(["--format", "json"]).await.ok().json()["steps"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(db.value(&others).await, "", "{command}");
    }
    assert!(made > 3, "{made}");
    all_is_well(&tenants, Vec::new()).await;
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    assert_eq!(db.value(format!("SELECT count(*) FROM pg_roles WHERE rolname = '{ops}'")).await, "0");
}

#[tokio::test]
async fn a_lookup_whose_build_was_killed_on_the_way_back_is_there_at_its_end() {
    let tenants = tenants().await;
    let before = schema(&tenants.db);
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    let back = || tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]);
    killed_while_building(&tenants.db, back(), "users_email_idx").await;
    // Killed before the build began, there is its record alone.
    tenants.db.execute("DROP INDEX users_email_idx; DROP TABLE another").await;
    back().await.ok();
    same_schema(&tenants.db, &before);
    tenants.run("validate-migration").await.ok();
}
