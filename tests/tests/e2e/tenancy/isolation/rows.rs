//! What an organization can reach of another's: nothing, whatever it does, through a pooler that gives each transaction
//! the same session of the server.
#![allow(clippy::disallowed_methods, reason = "an application sends statements that it makes up")]

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::*;

/// How a transaction comes by its organization, as statements before and after BEGIN.
struct Setting {
    name: &'static str,
    /// Runs before, in transactions of its own.
    before: String,
    /// Begins the transaction.
    begin: String,
    /// Whether the transaction is B's, and not nobody's.
    is_b: bool,
}

fn settings(tenants: &Tenants) -> Vec<Setting> {
    let (a, b) = (&tenants.a, &tenants.b);
    let set = |org: &str| format!("SELECT set_config('app.org_id', '{org}', true)");
    let setting = |name, before: String, begin: String, is_b| Setting { name, before, begin, is_b };
    vec![
        setting("B's", String::new(), format!("BEGIN; {}", set(b)), true),
        setting(
            "B's after one of A that was committed",
            format!("BEGIN; {}; COMMIT", set(a)),
            format!("BEGIN; {}", set(b)),
            true,
        ),
        setting(
            "B's after a savepoint of A that was rolled back",
            String::new(),
            format!("BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO SAVEPOINT s", set(b), set(a)),
            true,
        ),
        setting("unset", "DISCARD ALL".into(), "BEGIN".into(), false),
        setting("empty", String::new(), format!("BEGIN; {}", set("")), false),
        setting(
            "left over from one that was committed",
            format!("BEGIN; {}; COMMIT", set(a)),
            "BEGIN".into(),
            false,
        ),
        setting(
            "left over from one that was rolled back",
            format!("BEGIN; {}; ROLLBACK", set(a)),
            "BEGIN".into(),
            false,
        ),
        setting(
            "rolled back by a savepoint",
            String::new(),
            format!("BEGIN; SAVEPOINT s; {}; ROLLBACK TO SAVEPOINT s", set(a)),
            false,
        ),
    ]
}

/// What a statement came to: its rows as texts, or the SQLSTATE that it was refused with.
async fn ask(session: &mut PgConnection, sql: &str) -> Result<Vec<String>, String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *session).await;
    match rows {
        Ok(rows) => {
            let text = |row: &sqlx::postgres::PgRow| {
                row.try_get_raw(0).unwrap().as_str().map(str::to_owned).unwrap_or_default()
            };
            Ok(rows.iter().map(text).collect())
        }
        Err(sqlx::Error::Database(error)) => Err(error.code().unwrap().into_owned()),
        Err(error) => panic!("{error}\nin: {sql}"),
    }
}

/// The same in a savepoint, which is rolled back.
async fn try_it(session: &mut PgConnection, sql: &str) -> Result<Vec<String>, String> {
    session.execute("SAVEPOINT attempt").await.unwrap();
    let result = ask(session, sql).await;
    session.execute("ROLLBACK TO SAVEPOINT attempt").await.unwrap();
    // What a key with RESTRICT is broken by has a code of its own from PostgreSQL 18 on.
    result.map_err(|state| if state == "23001" { "23503".to_owned() } else { state })
}

async fn copied(session: &mut PgConnection, sql: &str) -> usize {
    use futures_util::TryStreamExt as _;
    let data: Vec<_> = session.copy_out_raw(sql).await.unwrap().try_collect().await.unwrap();
    data.iter().map(|chunk| chunk.iter().filter(|byte| **byte == b'\n').count()).sum()
}

async fn generated_cases(mapped: Option<Mapped>) {
    let tenants = Tenants::of(mapped).await;
    if mapped.is_none() {
        tenants.fill().await;
    }
    tenants.isolate().await;
    let rows = tenants.copy_to_b().await;
    let db = &tenants.db;
    let before = tenants.digest_of_a().await;
    assert!(before.iter().all(|digest| !digest.contains(" 0 ")), "A has rows everywhere: {before:?}");

    let pooler = db
        .cluster()
        .pooler_as(&tenants.web(), "default_pool_size = 1\nignore_startup_parameters = extra_float_digits");
    let mut session = PgConnection::connect(&pooler.url(db.name())).await.unwrap();
    let (mut cases, mut pids) = (0, std::collections::BTreeSet::new());
    for setting in settings(&tenants) {
        for table in &tenants.tables {
            if !setting.before.is_empty() {
                session.execute(sqlx::raw_sql(AssertSqlSafe(setting.before.clone()))).await.unwrap();
            }
            session.execute(sqlx::raw_sql(AssertSqlSafe(setting.begin.clone()))).await.unwrap();
            pids.extend(ask(&mut session, "SELECT pg_backend_pid()").await.unwrap());
            cases += one_table(&tenants, &mut session, table, &setting, &rows).await;
            session.execute("ROLLBACK").await.unwrap();
        }
    }
    session.close().await.unwrap();
    assert_eq!(pids.len(), 1, "the pool has one session");
    assert!(cases > tenants.tables.len() * 60, "only {cases} cases");
    assert_eq!(tenants.digest_of_a().await, before, "A's rows are what they were");
}

/// Every way that there is from a session of `setting` to A's rows of `table`; how many were tried.
async fn one_table(
    tenants: &Tenants,
    session: &mut PgConnection,
    table: &str,
    setting: &Setting,
    rows: &HashMap<String, Value>,
) -> usize {
    let (org, a, b, db) = (&tenants.org, &tenants.a, &tenants.b, &tenants.db);
    let mine = match setting.is_b {
        true => db.value(format!("SELECT count(*) FROM {table} WHERE {org} = '{b}'")).await,
        false => "0".to_owned(),
    };
    let count: usize = mine.parse().unwrap();
    let what = format!("{table}, {}", setting.name);
    let mut cases = 0;
    let mut see = |result: Result<Vec<String>, String>, wanted: Result<usize, &str>, sql: &str| {
        cases += 1;
        let result = result.map(|rows| rows.len());
        assert_eq!(result.as_ref().map_err(String::as_str), wanted.as_ref().map_err(|e| *e), "{what}: {sql}");
    };
    // Read.
    assert_eq!(
        ask(session, &format!("SELECT count(*) FROM {table}")).await,
        Ok(vec![mine.clone()]),
        "{what}"
    );
    assert_eq!(
        copied(session, &format!("COPY (SELECT * FROM {table}) TO STDOUT")).await,
        count,
        "{what}: COPY"
    );
    for (sql, wanted) in [
        (format!("SELECT 1 FROM {table} WHERE {org} = '{a}'"), 0),
        (format!("SELECT 1 FROM {table} WHERE {org} <> '{b}'"), 0),
        (format!("SELECT 1 FROM {table} FOR UPDATE"), count),
        (format!("SELECT 1 FROM {table} AS t RIGHT JOIN {table} AS u ON t.ctid = u.ctid"), count),
        (
            format!(
                "SELECT {org} FROM {table} WHERE {org} = '{a}' UNION ALL SELECT {org} FROM {table} WHERE ctid = '(0,1)' AND {org} = '{a}'"
            ),
            0,
        ),
        (format!("WITH all_rows AS (SELECT * FROM {table}) SELECT 1 FROM all_rows"), count),
        // Write.
        (format!("UPDATE {table} SET {org} = {org} RETURNING 1"), count),
        (format!("UPDATE {table} SET {org} = {org} WHERE {org} = '{a}' RETURNING 1"), 0),
        (format!("DELETE FROM {table} WHERE {org} = '{a}' RETURNING 1"), 0),
        (
            format!(
                "MERGE INTO {table} AS t USING (VALUES ('{a}')) AS s (org) ON t.{org}::text = s.org WHEN MATCHED THEN DELETE"
            ),
            0,
        ),
    ] {
        see(try_it(session, &sql).await, Ok(wanted), &sql);
    }
    let delete = format!("DELETE FROM {table} RETURNING 1");
    match try_it(session, &delete).await {
        // Own rows may be held by own references.
        Err(state) => assert!(count > 0 && state == "23503", "{what}: {delete}: {state}"),
        result => see(result, Ok(count), &delete),
    }
    // Give to A, or take from it.
    if setting.is_b {
        let sql = format!("UPDATE {table} SET {org} = '{a}'");
        see(try_it(session, &sql).await, Err("42501"), &sql);
    }
    let mut stranger = tenants.as_of_b(table, rows).await;
    let own = tenants.insert(table, &stranger).await;
    stranger[org.trim_matches('"')] = a.clone().into();
    let sql = tenants.insert(table, &stranger).await;
    see(try_it(session, &sql).await, Err("42501"), &sql);
    let sql = format!("TRUNCATE {table} CASCADE");
    see(try_it(session, &sql).await, Err("42501"), &sql);
    // The server copies nothing into a table whose rows a policy guards.
    let sql = format!("COPY {table} FROM STDIN");
    session.execute("SAVEPOINT attempt").await.unwrap();
    let refused = match session.copy_in_raw(&sql).await {
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error.as_database_error().unwrap().code().unwrap().into_owned()),
    };
    session.execute("ROLLBACK TO SAVEPOINT attempt").await.unwrap();
    see(refused, Err("0A000"), &sql);
    if !setting.is_b {
        see(try_it(session, &own).await, Err("42501"), &own);
        return cases;
    }
    // A's key, which B can't know, is no way to A's row.
    let text = db.value(format!("SELECT to_jsonb(t) FROM {table} AS t WHERE {org} = '{a}' LIMIT 1")).await;
    let theirs: Value = serde_json::from_str(&text).unwrap();
    let mut same_key = theirs.clone();
    same_key[org.trim_matches('"')] = b.clone().into();
    for (columns, referenced, _) in tenants.foreign_keys(table).await {
        for column in columns {
            let parent = rows.get(&referenced).cloned().unwrap_or_default();
            let is_key = parent.is_null();
            if is_key {
                same_key[&column] = Value::Null;
            }
        }
    }
    let same_key = tenants.insert(table, &same_key).await;
    let key = db
        .value(format!(
            "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
             WHERE i.indrelid = '{table}'::regclass AND i.indisprimary"
        ))
        .await;
    let sql = format!("{same_key} ON CONFLICT ({key}) DO NOTHING RETURNING 1");
    match try_it(session, &sql).await {
        Ok(rows) => see(Ok(rows), Ok(0), &sql),
        // Not in anybody's way, it still points at A's rows.
        Err(state) => see(Err(state), Err("23503"), &sql),
    }
    let sql = format!("{same_key} ON CONFLICT ({key}) DO UPDATE SET {org} = EXCLUDED.{org} RETURNING 1");
    see(try_it(session, &sql).await, Err("42501"), &sql);
    // Point at A's rows, with a new row and with one that is there.
    for (columns, referenced, their_columns) in tenants.foreign_keys(table).await {
        let text =
            db.value(format!("SELECT to_jsonb(t) FROM {referenced} AS t WHERE {org} = '{a}' LIMIT 1")).await;
        let parent: Value = serde_json::from_str(&text).unwrap();
        let mut pointing = tenants.as_of_b(table, rows).await;
        let mut set = Vec::new();
        for (column, their_column) in columns.iter().zip(&their_columns) {
            pointing[column] = parent[their_column].clone();
            let value = parent[their_column].to_string().replace('"', "'");
            set.push(format!("\"{}\" = {value}", column.replace('"', "\"\"")));
        }
        let sql = tenants.insert(table, &pointing).await;
        see(try_it(session, &sql).await, Err("23503"), &sql);
        let sql = format!("UPDATE {table} SET {}", set.join(", "));
        see(try_it(session, &sql).await, Err("23503"), &sql);
    }
    cases
}

#[tokio::test]
async fn the_default_model_is_apart() {
    generated_cases(None).await;
}

#[tokio::test]
async fn prisma_is_apart() {
    generated_cases(Some(Mapped::Prisma)).await;
}

#[tokio::test]
async fn erp_is_apart() {
    generated_cases(Some(Mapped::Erp)).await;
}

#[tokio::test]
async fn warehouse_is_apart() {
    generated_cases(Some(Mapped::Warehouse)).await;
}

#[tokio::test]
async fn two_schemas_are_apart() {
    generated_cases(Some(Mapped::TwoSchemas)).await;
}
