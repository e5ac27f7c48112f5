//! Everything in the catalog that the application's login reaches is asked, in every mapped database: whether its answer to A
//! depends on rows of B, and whether what A does there changes a row of B. What does is named by the check, or the test fails.
#![allow(clippy::disallowed_methods, reason = "the statements are made of the catalog")]

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::{holes::failed, *};

/// One thing that is reached: its name, as the check would call it, and what to ask of it.
struct Reached {
    name: String,
    /// What shows or counts; its answer may not depend on B.
    asks: Vec<String>,
    /// What changes; afterwards B's rows are as they were.
    does: Vec<String>,
}

struct Asking<'a> {
    tenants: &'a Tenants,
    session: PgConnection,
    as_a: String,
    /// Statements that take every row of B away, and the one that shows them all.
    gone: String,
    rows_of_b: String,
}

impl<'a> Asking<'a> {
    async fn of(tenants: &'a Tenants) -> Asking<'a> {
        let (org, b) = (&tenants.org, &tenants.b);
        // Every table that says whose its rows are, the balances too, and not the organizations themselves.
        let tables = tenants
            .db
            .rows(format!(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = '{}' AND NOT a.attisdropped
                 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'stockfoil') AND c.relname <> 'organization_api_keys'",
                org.trim_matches('"')
            ))
            .await;
        let tables: Vec<&String> = tables.iter().map(|row| &row[0]).collect();
        let gone = tables
            .iter()
            .map(|table| format!("DELETE FROM {table} WHERE {org} = '{b}'; "))
            .collect::<String>();
        let rows = tables.iter().map(|table| {
            format!("SELECT '{table} ' || tableoid || ctid::text || t::text AS row FROM {table} AS t WHERE {org} = '{b}'")
        });
        let rows = rows.collect::<Vec<_>>().join(" UNION ALL ");
        Asking {
            tenants,
            session: tenants.db.connect().await,
            as_a: format!(
                "SET LOCAL ROLE {}; SELECT set_config('app.org_id', '{}', true)",
                tenants.web(),
                tenants.a
            ),
            gone: format!(
                "SET LOCAL session_replication_role = replica; {gone} SET LOCAL session_replication_role = origin"
            ),
            rows_of_b: format!(
                "SELECT count(*) || md5(string_agg(row, ',' ORDER BY row)) FROM ({rows}) AS t"
            ),
        }
    }

    async fn run(&mut self, sql: &str) -> Result<String, String> {
        match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.session).await {
            Ok(rows) => {
                let value =
                    rows.last().map(|row| row.try_get_raw(0).unwrap().as_str().unwrap_or("").to_owned());
                Ok(value.unwrap_or_default())
            }
            Err(sqlx::Error::Database(error)) => Err(error.code().unwrap().into_owned()),
            Err(error) => panic!("{error}\nin: {sql}"),
        }
    }

    /// Runs `sql` as A's session; that it is refused is an answer.
    async fn as_a(&mut self, sql: &str) -> Result<String, String> {
        let as_a = self.as_a.clone();
        self.run(&format!("SAVEPOINT s; {as_a}")).await.unwrap();
        let answer = self.run(sql).await;
        self.run(if answer.is_ok() { "RESET ROLE" } else { "ROLLBACK TO SAVEPOINT s; RESET ROLE" })
            .await
            .unwrap();
        answer
    }

    /// Whether the answer to A depends on B's rows.
    async fn depends(&mut self, sql: &str) -> bool {
        self.run("BEGIN").await.unwrap();
        let with = self.as_a(sql).await;
        let gone = self.gone.clone();
        self.run(&gone).await.unwrap();
        let without = self.as_a(sql).await;
        self.run("ROLLBACK").await.unwrap();
        with != without
    }

    /// Whether A changes B's rows by it.
    async fn changes(&mut self, sql: &str) -> bool {
        self.run("BEGIN").await.unwrap();
        let rows = self.rows_of_b.clone();
        let before = self.run(&rows).await;
        assert!(
            before.as_ref().is_ok_and(|rows| !rows.is_empty() && !rows.starts_with('0')),
            "B has no rows: {before:?}"
        );
        let _ = self.as_a(sql).await;
        let after = self.run(&rows).await;
        self.run("ROLLBACK").await.unwrap();
        before != after
    }

    async fn relations(&self) -> Vec<Reached> {
        let web = self.tenants.web();
        let rows = self.tenants.db.rows(format!(
            "SELECT format('%I.%I', n.nspname, c.relname), regexp_replace(c.oid::regclass::text, '^public\\.', ''),
                    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege('{web}', c.oid, a.attnum, 'SELECT')),
                    (SELECT string_agg(format('%1$I = %1$I', a.attname), ', ') FROM pg_attribute AS a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
                       AND has_column_privilege('{web}', c.oid, a.attnum, 'UPDATE'))
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
               AND has_schema_privilege('{web}', n.oid, 'USAGE')
               AND (has_any_column_privilege('{web}', c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege('{web}', c.oid, 'DELETE, TRUNCATE'))"
        ));
        let reached = |row: &Vec<String>| {
            let (relation, columns, same) = (&row[0], &row[2], &row[3]);
            let mut asks = vec![format!("SELECT count(*) FROM {relation}")];
            if !columns.is_empty() {
                asks.push(format!("SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (SELECT {columns} FROM {relation}) AS t"));
                asks.extend(columns.split(", ").map(|column| {
                    format!("SELECT string_agg(DISTINCT {column}::text, ',') FROM {relation}")
                }));
            }
            let mut does = vec![format!("DELETE FROM {relation}"), format!("TRUNCATE {relation} CASCADE")];
            if !same.is_empty() {
                does.push(format!("UPDATE {relation} SET {same}"));
            }
            Reached { name: row[1].clone(), asks, does }
        };
        rows.await.iter().map(reached).collect()
    }

    /// Functions, called with nothing, and with what is B's wherever that fits.
    async fn functions(&self) -> Vec<Reached> {
        let (web, b) = (self.tenants.web(), &self.tenants.b);
        let rows = self.tenants.db.rows(format!(
            "SELECT format('%I.%I', n.nspname, p.proname), p.oid::regprocedure,
                    (SELECT coalesce(string_agg(format('NULL::%s', t::regtype), ', '), '') FROM unnest(p.proargtypes::oid[]) AS t),
                    (SELECT coalesce(string_agg(CASE WHEN t IN ('text'::regtype, 'varchar'::regtype) THEN quote_literal('{b}') ELSE format('NULL::%s', t::regtype) END, ', '), '')
                     FROM unnest(p.proargtypes::oid[]) AS t)
             FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
             WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
               AND has_schema_privilege('{web}', n.oid, 'USAGE') AND has_function_privilege('{web}', p.oid, 'EXECUTE')
               -- It says for whom a transaction is; who may run any statement may say so anyway.
               AND p.proname <> 'set_org'"
        ));
        let reached = |row: &Vec<String>| {
            let ask = |args: &String| format!("SELECT string_agg(t::text, ',') FROM {}({args}) AS t", row[0]);
            Reached {
                name: row[1].replace("public.", ""),
                asks: vec![ask(&row[2]), ask(&row[3])],
                does: vec![ask(&row[3])],
            }
        };
        rows.await.iter().map(reached).collect()
    }
}

/// Asks everything of one database; how many questions that were.
async fn asked(mapped: Option<Mapped>) -> usize {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(mapped).await;
    if mapped.is_none() {
        tenants.fill().await;
    }
    tenants.isolate().await;
    tenants.copy_to_b().await;
    // As where every right was given: what is more than the check lets pass is named by it.
    tenants
        .db
        .execute(format!(
            "DO $$ DECLARE s text; BEGIN
               FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'stockfoil')
               LOOP EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO {web}; GRANT USAGE ON SCHEMA %1$I TO {web}', s); END LOOP; END $$",
            web = tenants.web()
        ))
        .await;
    let mut asking = Asking::of(&tenants).await;
    let mut questions = 0;
    let mut leaks = BTreeSet::new();
    let mut reached = asking.relations().await;
    reached.extend(asking.functions().await);
    for Reached { name, asks, does } in reached {
        for ask in asks {
            questions += 1;
            if asking.depends(&ask).await {
                leaks.insert(name.clone());
            }
        }
        for change in does {
            questions += 1;
            if asking.changes(&change).await {
                leaks.insert(name.clone());
            }
        }
    }
    let report = tenants.find().await;
    let found = failed(&report);
    for leak in leaks {
        let is_named = found.iter().any(|(_, object, hole)| {
            object.contains(&*leak) || hole["evidence"].as_str().unwrap().contains(&leak)
        });
        assert!(
            is_named,
            "{mapped:?}: {leak} shows or changes rows of another organization, and is not named: {found:#?}"
        );
    }
    questions
}

#[tokio::test]
async fn everything_that_the_default_models_login_reaches_is_asked() {
    assert!(asked(None).await > 50);
}

#[tokio::test]
async fn everything_that_a_mapped_databases_login_reaches_is_asked() {
    for mapped in [Mapped::Prisma, Mapped::Erp] {
        assert!(asked(Some(mapped)).await > 50);
    }
}

#[tokio::test]
async fn everything_that_a_partitioned_or_spread_databases_login_reaches_is_asked() {
    for mapped in [Mapped::Warehouse, Mapped::TwoSchemas] {
        assert!(asked(Some(mapped)).await > 50);
    }
}
