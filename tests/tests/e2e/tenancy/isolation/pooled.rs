//! What a server's session keeps when a pooler gives it to the next client, and the pooler's setting that ends it.
#![allow(clippy::disallowed_methods, reason = "an application sends statements that it makes up")]

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::*;

const ONE: &str = "default_pool_size = 1\nignore_startup_parameters = extra_float_digits";
/// As docs/isolation.md has it.
const ENDING: &str = "server_reset_query = DISCARD ALL\nserver_reset_query_always = 1";

/// What B gets by `asked` after A has sent `left`, each in a transaction of its own through the same pooler; or that it fails.
async fn next_client(tenants: &Tenants, ends: bool, left: &str, asked: &str) -> Option<String> {
    let setting = if ends { format!("{ONE}\n{ENDING}") } else { ONE.to_owned() };
    let pooler = tenants.db.cluster().pooler_as(&tenants.web(), &setting);
    let url = pooler.url(tenants.db.name());
    let [mut first, mut next] =
        [PgConnection::connect(&url).await.unwrap(), PgConnection::connect(&url).await.unwrap()];
    let run = |org: &str, sql: &str| {
        AssertSqlSafe(format!("BEGIN; SELECT set_config('app.org_id', '{org}', true); {sql}"))
    };
    first.execute(sqlx::raw_sql(run(&tenants.b, left))).await.unwrap();
    first.execute("COMMIT").await.unwrap();
    next.execute(sqlx::raw_sql(run(&tenants.a, "SELECT"))).await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(asked.to_owned())).fetch_all(&mut next).await.ok()?;
    next.execute("ROLLBACK").await.unwrap();
    rows.last().map(|row| row.try_get_raw(0).unwrap().as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_one_client_leaves_in_a_pooled_session_is_said_and_ended_by_the_poolers_setting() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    tenants.with_secrets().await;
    let db = &tenants.db;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says(&format!("temporary table database {}", db.name()))
        .says("server_reset_query_always = 1");
    for (left, asked) in [
        ("CREATE TEMPORARY TABLE basket AS SELECT name FROM items", "SELECT name FROM basket"),
        // Found before the table of that name.
        ("CREATE TEMPORARY TABLE items AS SELECT name FROM items", "SELECT name FROM items"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT name FROM items", "FETCH ALL FROM c"),
        ("SELECT set_config('shop.basket', name, false) FROM items", "SELECT current_setting('shop.basket')"),
    ] {
        assert_eq!(next_client(&tenants, false, left, asked).await.as_deref(), Some("b-secret"), "{left}");
        let gained = next_client(&tenants, true, left, asked).await.unwrap_or_default();
        assert!(!gained.contains("secret"), "{left}: {gained}");
    }
    db.execute(format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", db.name())).await;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says("no login of the application may make temporary tables");
    let refused = tenants.db.cluster().pooler_as(&tenants.web(), ONE);
    let mut session = PgConnection::connect(&refused.url(db.name())).await.unwrap();
    let made = session.execute("CREATE TEMPORARY TABLE basket (name text)").await;
    assert!(made.unwrap_err().to_string().contains("permission denied"), "temporary tables are refused");
}
