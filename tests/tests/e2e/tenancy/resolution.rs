//! How an application finds a request's organization, with the rights that it has.

use sqlx::{Connection as _, PgConnection, postgres::PgDatabaseError};
use stockfoil_core::tenancy::resolution::APPLICATION_FUNCTIONS;
use testkit::{Cluster, Mapped, TestDb};

use super::text;

/// A migrated database with the organizations `acme` and `globex`, and a key of each.
async fn with_keys() -> (TestDb, [String; 2]) {
    let db = TestDb::migrated().await;
    let mut keys = Vec::new();
    for id in ["acme", "globex"] {
        let args = ["--id", id, "--name", id, "--subdomain", id, "--format", "json"];
        let made = db.run("org-create").args(args).await.ok().json();
        keys.push(text(&made, "api_key").to_owned());
    }
    (db, keys.try_into().unwrap())
}

/// What `stockfoil.resolve_org` answers to a header, a subdomain and a key.
async fn resolve(
    session: &mut PgConnection,
    header: Option<&str>,
    subdomain: Option<&str>,
    api_key: Option<&str>,
) -> Option<String> {
    sqlx::query_scalar("SELECT stockfoil.resolve_org($1, $2, $3)")
        .bind(header)
        .bind(subdomain)
        .bind(api_key)
        .fetch_one(session)
        .await
        .unwrap()
}

async fn org_of(session: &mut PgConnection, api_key: &str) -> Option<String> {
    sqlx::query_scalar("SELECT stockfoil.org_by_api_key($1)").bind(api_key).fetch_one(session).await.unwrap()
}

/// The server's sentence and hint.
fn refusal(error: &sqlx::Error) -> String {
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().unwrap(), "22023");
    let hint = error.downcast_ref::<PgDatabaseError>().hint().unwrap();
    format!("{}; {hint}", error.message())
}

#[tokio::test]
async fn what_is_given_first_decides() {
    let (db, [acme, globex]) = with_keys().await;
    let mut session = db.connect().await;
    let (a, g) = (Some(acme.as_str()), Some(globex.as_str()));
    let unknown = Some("sf_live_0aZ9bY8c_0123456789ABCDEFGHIJabcdefghij_1FeICt");
    for (header, subdomain, key, org) in [
        (Some("acme"), None, None, Some("acme")),
        (Some("acme"), Some("globex"), None, Some("acme")),
        (None, Some("globex"), None, Some("globex")),
        (None, Some("GlobeX"), None, Some("globex")),
        (None, None, a, Some("acme")),
        (None, None, None, Some("default")),
        (Some(""), Some(""), Some(""), Some("default")),
        (Some(""), Some("acme"), None, Some("acme")),
        // What is given and leads nowhere is not passed over.
        (Some("nobody"), None, None, None),
        (Some("nobody"), Some("acme"), a, None),
        (Some(" "), None, None, None),
        (Some("ACME"), None, None, None),
        (None, Some("nobody"), None, None),
        (None, Some("nobody"), a, None),
        (None, None, unknown, None),
        // A key is the organization's own, or nobody is let in by it.
        (Some("acme"), Some("acme"), a, Some("acme")),
        (Some("acme"), None, g, None),
        (None, Some("globex"), a, None),
        (Some("acme"), None, unknown, None),
        (Some("acme' OR true --"), None, None, None),
        (None, Some("%"), None, None),
    ] {
        let found = resolve(&mut session, header, subdomain, key).await;
        assert_eq!(found.as_deref(), org, "{header:?} {subdomain:?} {}", key.is_some());
    }
    // By name, for applications that have only one of them.
    let by_name = "SELECT stockfoil.resolve_org(subdomain => 'acme')";
    assert_eq!(db.value(by_name).await, "acme");
}

#[tokio::test]
async fn inactive_organizations_and_ended_keys_lead_nowhere() {
    let (db, [acme, globex]) = with_keys().await;
    let mut session = db.connect().await;
    db.run("org-update").args(["--org-id", "acme", "--deactivate"]).await.ok();
    for (header, subdomain, key) in
        [(Some("acme"), None, None), (None, Some("acme"), None), (None, None, Some(acme.as_str()))]
    {
        assert_eq!(resolve(&mut session, header, subdomain, key).await, None);
    }
    let used = db.value("SELECT last_used_on IS NULL FROM organization_api_keys WHERE org_id = 'acme'").await;
    assert_eq!(used, "t", "what leads nowhere is no use");
    db.run("org-update").args(["--org-id", "acme", "--activate"]).await.ok();
    assert_eq!(org_of(&mut session, &acme).await.as_deref(), Some("acme"));

    for (column, ended) in [("expires_at", "now()"), ("revoked_at", "now()")] {
        db.execute(format!("UPDATE organization_api_keys SET {column} = {ended} WHERE org_id = 'globex'"))
            .await;
        assert_eq!(org_of(&mut session, &globex).await, None, "{column}");
        db.execute(format!("UPDATE organization_api_keys SET {column} = NULL WHERE org_id = 'globex'")).await;
        assert_eq!(org_of(&mut session, &globex).await.as_deref(), Some("globex"), "{column}");
    }
    db.execute("UPDATE organization_api_keys SET expires_at = now() + interval '1 hour'").await;
    assert_eq!(org_of(&mut session, &globex).await.as_deref(), Some("globex"));
}

#[tokio::test]
async fn a_key_is_matched_whole() {
    let (db, [acme, globex]) = with_keys().await;
    let given = "9f86d081884c7d659a2feaa0c55ad015-ops";
    db.run("org-update").args(["--org-id", "acme", "--add-key", "-k", "-"]).stdin(given).await.ok();
    let mut session = db.connect().await;
    assert_eq!(org_of(&mut session, given).await.as_deref(), Some("acme"));
    let id =
        db.value(format!("SELECT key_id FROM organization_api_keys WHERE hash = sha256('{given}')")).await;
    let hash = db.value(format!("SELECT encode(sha256('{given}'), 'hex')")).await;
    // The id of one with the secret of the other; parts; neighbours; what is no key at all.
    let mut wrong = vec![
        format!("{}{}", &acme[..17], &globex[17..]),
        acme[..acme.len() - 1].to_owned(),
        format!("{acme}0"),
        format!("{acme}\n"),
        format!(" {acme}"),
        acme.to_uppercase(),
        given.to_uppercase(),
        id,
        hash,
        String::new(),
        "é".repeat(20),
        "x".repeat(513),
        "x".repeat(1_000_000),
    ];
    for at in [0, 8, 16, 17, 30, 46, 47, 53] {
        let mut bytes = acme.clone().into_bytes();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        wrong.push(String::from_utf8(bytes).unwrap());
    }
    for key in wrong {
        assert_eq!(org_of(&mut session, &key).await, None, "{key:.60}");
    }
}

#[tokio::test]
async fn the_organization_is_set_for_the_transaction_alone() {
    let (db, _) = with_keys().await;
    let mut session = db.connect().await;
    let current = "SELECT coalesce(current_setting('app.org_id', true), '')";
    let mut tx = session.begin().await.unwrap();
    let set: String =
        sqlx::query_scalar("SELECT stockfoil.set_org($1)").bind("acme").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(set, "acme");
    let seen: String = sqlx::query_scalar(current).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(seen, "acme", "it outlives the function that set it");
    // The column's default goes by it.
    let org: String =
        sqlx::query_scalar("INSERT INTO items (item_number, name) VALUES ('1', 'One') RETURNING org_id")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(org, "acme");
    tx.commit().await.unwrap();
    let seen: String = sqlx::query_scalar(current).fetch_one(&mut session).await.unwrap();
    assert_eq!(seen, "", "the next transaction has none");

    // A savepoint that is rolled back takes its organization with it.
    let mut tx = session.begin().await.unwrap();
    sqlx::raw_sql(
        "SELECT stockfoil.set_org('acme'); SAVEPOINT s; SELECT stockfoil.set_org('globex'); ROLLBACK TO s",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    let seen: String = sqlx::query_scalar(current).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(seen, "acme");
    tx.rollback().await.unwrap();

    db.run("org-update").args(["--org-id", "globex", "--deactivate"]).await.ok();
    let key = "sf_live_0aZ9bY8c_0123456789ABCDEFGHIJabcdefghij_1FeICt";
    for org in ["globex", "nobody", "", key, "ACME"] {
        let result = sqlx::query("SELECT stockfoil.set_org($1)").bind(org).execute(&mut session).await;
        let said = refusal(&result.unwrap_err());
        assert!(said.starts_with("there is no active organization with this id; org-list shows"), "{said}");
        assert!(org.is_empty() || !said.contains(org), "it may be a key: {said}");
    }
    let error = sqlx::query("SELECT stockfoil.set_org(NULL)").execute(&mut session).await.unwrap_err();
    assert!(refusal(&error).starts_with("the request is for no organization"));
}

#[tokio::test]
async fn the_applications_role_needs_no_right_but_to_call() {
    let (db, [acme, _]) = with_keys().await;
    let role = format!("app_{}", db.name());
    db.execute(format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA stockfoil TO {role}")).await;
    let mut app = PgConnection::connect(&db.cluster().url_as(&role, db.name())).await.unwrap();
    let calls = [
        ("SELECT stockfoil.org_by_id($1)", "acme"),
        ("SELECT stockfoil.org_by_subdomain($1)", "acme"),
        ("SELECT stockfoil.org_by_api_key($1)", &acme),
        ("SELECT stockfoil.resolve_org('acme', 'acme', $1)", &acme),
        ("SELECT stockfoil.set_org($1)", "acme"),
    ];
    let refused =
        |error: sqlx::Error| assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501");
    for (call, bind) in calls {
        refused(sqlx::query(call).bind(bind).execute(&mut app).await.unwrap_err());
    }
    for function in APPLICATION_FUNCTIONS {
        db.execute(format!("GRANT EXECUTE ON FUNCTION {function} TO {role}")).await;
    }
    for (call, bind) in calls {
        let org: String = sqlx::query_scalar(call).bind(bind).fetch_one(&mut app).await.unwrap();
        assert_eq!(org, "acme", "{call}");
    }
    assert_eq!(db.value("SELECT last_used_on = (now() AT TIME ZONE 'UTC')::date FROM organization_api_keys WHERE org_id = 'acme'").await, "t");
    for read in ["SELECT FROM organizations", "SELECT FROM organization_api_keys"] {
        refused(sqlx::query(read).execute(&mut app).await.unwrap_err());
    }
    // Nobody's schema or temporary table stands in for the real one.
    let mut tx = app.begin().await.unwrap();
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE organizations (id text, subdomain text, is_active boolean);
         INSERT INTO organizations VALUES ('evil', 'evil', true); SET LOCAL search_path = pg_temp, public",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    for call in ["SELECT stockfoil.org_by_id('evil')", "SELECT stockfoil.org_by_subdomain('evil')"] {
        let org: Option<String> = sqlx::query_scalar(call).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(org, None);
    }
    tx.rollback().await.unwrap();
    app.close().await.unwrap();
    // Migrating again leaves the grants.
    db.run("migrate-org").arg("--contract").await.ok();
    db.execute(format!("SET ROLE {role}; SELECT stockfoil.org_by_id('acme')")).await;
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_isolated_application_resolves_and_sees_its_own() {
    let (db, [acme, globex]) = with_keys().await;
    let (app, login) = (format!("app_{}", db.name()), format!("web_{}", db.name()));
    let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let roles = format!("[tenancy.isolation]\napp_role = '{app}'\noperations_role = 'ops_{}'\n", db.name());
    std::fs::write(config.path(), roles).unwrap();
    let run = |name: &str| db.run(name).arg("--config").arg(config.path());
    run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    db.execute(format!(
        "CREATE ROLE {login} LOGIN IN ROLE {app};
         INSERT INTO items (item_number, name, org_id) VALUES ('1', 'Of acme', 'acme'), ('1', 'Of globex', 'globex')"
    ))
    .await;
    let mut session = PgConnection::connect(&db.cluster().url_as(&login, db.name())).await.unwrap();
    for (key, name) in [(&acme, "Of acme"), (&globex, "Of globex")] {
        let mut tx = session.begin().await.unwrap();
        sqlx::query("SELECT stockfoil.set_org(stockfoil.resolve_org(api_key => $1))")
            .bind(key)
            .execute(&mut *tx)
            .await
            .unwrap();
        let items: Vec<String> =
            sqlx::query_scalar("SELECT name FROM items").fetch_all(&mut *tx).await.unwrap();
        assert_eq!(items, [name]);
        tx.commit().await.unwrap();
    }
    let noted = "SELECT count(*) FROM organization_api_keys WHERE last_used_on IS NOT NULL";
    assert_eq!(db.value(noted).await, "2", "the functions may write what the application may not");
    run("org-update").args(["--org-id", "acme", "--rotate-key", "--overlap", "0s"]).await.ok();
    assert_eq!(org_of(&mut session, &acme).await, None);
    session.close().await.unwrap();
    run("migrate-org").arg("--contract").await.ok();
    run("validate-migration").await.ok();
    db.execute(format!("DROP ROLE {login}")).await;
    run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
}

#[tokio::test]
async fn the_guides_statements_and_results_are_real() {
    let (db, _) = with_keys().await;
    let guide = std::fs::read_to_string(testkit::workspace().join("docs/tenancy.md")).unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let open = format!("```{kind}\n");
        guide.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
    };
    let role = format!("app_{}", db.name());
    let mut statements = blocks("sql");
    assert!(statements.len() >= 2);
    // The owner's go first; the application has what those give it.
    let is_owners =
        |statement: &String| ["GRANT", "CREATE TABLE"].iter().any(|word| statement.contains(word));
    statements.sort_by_key(|statement| !is_owners(statement));
    db.execute(format!("CREATE ROLE {role}; GRANT SELECT ON items TO {role}")).await;
    for statement in &statements {
        let bound = statement
            .replace("$1, $2, $3", "'acme', NULL, NULL")
            .replace("($1)", "('a key')")
            .replace(" TO app;", &format!(" TO {role};"));
        let as_role = if is_owners(statement) { String::new() } else { format!("SET ROLE {role};") };
        db.execute(format!("{as_role}{bound}")).await;
    }
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let shown: serde_json::Value = serde_json::from_str(&blocks("json")[0]).unwrap();
    let made = db.run("org-create").args(["--name", "A", "--format", "json"]).await.ok().json();
    let fields = |json: &serde_json::Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&shown), fields(&made));
}

#[tokio::test]
async fn a_use_is_noted_once_a_day_and_never_in_the_way() {
    let (db, [acme, globex]) = with_keys().await;
    let row = |org: &str| {
        db.rows(format!("SELECT xmin, last_used_on - (now() AT TIME ZONE 'UTC')::date FROM organization_api_keys WHERE org_id = '{org}'"))
    };
    let mut session = db.connect().await;
    // Whatever the session's time zone, the day is the one of UTC.
    sqlx::raw_sql("SET timezone = 'Pacific/Kiritimati'").execute(&mut session).await.unwrap();
    org_of(&mut session, &acme).await.unwrap();
    let first = row("acme").await;
    assert_eq!(first[0][1], "0");
    sqlx::raw_sql("SET timezone = 'Pacific/Niue'").execute(&mut session).await.unwrap();
    org_of(&mut session, &acme).await.unwrap();
    assert_eq!(row("acme").await, first, "a day's second use writes nothing");
    db.execute("UPDATE organization_api_keys SET last_used_on = last_used_on - 1 WHERE org_id = 'acme'")
        .await;
    org_of(&mut session, &acme).await.unwrap();
    assert_eq!(row("acme").await[0][1], "0", "the next day it is noted again");

    // Not where nothing may be written.
    let mut tx = session.begin_with("BEGIN READ ONLY").await.unwrap();
    assert_eq!(org_of(&mut tx, &globex).await.as_deref(), Some("globex"));
    tx.commit().await.unwrap();
    assert_eq!(row("globex").await[0][1], "", "a read-only transaction notes nothing");

    // Another request that holds the row is not waited for.
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE organization_api_keys SET created_at = created_at")
        .execute(&mut other)
        .await
        .unwrap();
    assert_eq!(org_of(&mut session, &globex).await.as_deref(), Some("globex"));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(row("globex").await[0][1], "");

    // One that was faster does not fail a transaction whose snapshot is older.
    let mut tx = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    sqlx::query("SELECT FROM items").execute(&mut *tx).await.unwrap();
    org_of(&mut other, &globex).await.unwrap();
    assert_eq!(org_of(&mut tx, &globex).await.as_deref(), Some("globex"));
    let set: String =
        sqlx::query_scalar("SELECT stockfoil.set_org('globex')").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(set, "globex", "the transaction goes on");
    tx.commit().await.unwrap();
    assert_eq!(row("globex").await[0][1], "0");
}

#[tokio::test]
async fn a_standby_resolves_too() {
    let (db, [acme, _]) = with_keys().await;
    let standby = tokio::task::spawn_blocking(|| Cluster::shared().standby()).await.unwrap();
    let mut session = PgConnection::connect(&standby.url(db.name())).await.unwrap();
    assert_eq!(resolve(&mut session, None, None, Some(&acme)).await.as_deref(), Some("acme"));
    let set: String =
        sqlx::query_scalar("SELECT stockfoil.set_org('acme')").fetch_one(&mut session).await.unwrap();
    assert_eq!(set, "acme");
}

/// The answer to a query as docs/tenancy.md has it behind a pooler: a prepared statement with a name would stay with the
/// server process, and not with the client.
async fn asked(session: &mut PgConnection, query: &'static str, bind: Option<&str>) -> String {
    let query = sqlx::query_scalar(query).persistent(false);
    let query = if let Some(bind) = bind { query.bind(bind.to_owned()) } else { query };
    query.fetch_one(session).await.unwrap()
}

#[tokio::test]
async fn behind_a_pooler_each_transaction_has_its_own() {
    let (db, [acme, globex]) = with_keys().await;
    let pooler = tokio::task::spawn_blocking(|| {
        Cluster::shared().pooler("default_pool_size = 1\nignore_startup_parameters = extra_float_digits")
    })
    .await
    .unwrap();
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(PgConnection::connect(&pooler.url(db.name())).await.unwrap());
    }
    let pid = "SELECT pg_backend_pid()::text";
    let current = "SELECT coalesce(current_setting('app.org_id', true), '')";
    let mut pids = Vec::new();
    for (client, key, org) in [(0, &acme, "acme"), (1, &globex, "globex"), (0, &globex, "globex")] {
        let mut tx = clients[client].begin().await.unwrap();
        let left = asked(&mut tx, current, None).await;
        assert_eq!(left, "", "nothing is left of the transaction before, of whatever client");
        let set = "SELECT stockfoil.set_org(stockfoil.resolve_org(api_key => $1))";
        assert_eq!(asked(&mut tx, set, Some(key)).await, org);
        assert_eq!(asked(&mut tx, current, None).await, org);
        pids.push(asked(&mut tx, pid, None).await);
        tx.commit().await.unwrap();
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "one server process served all of them");
}

#[tokio::test]
async fn mapped_databases_have_ids_of_their_own_type() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped_migrated(mapped).await;
        let name = mapped.name();
        let args = ["--name", "Acme", "--subdomain", "acme", "--format", "json"];
        let made = db.run("org-create").args(args).await.ok().json();
        let (id, key) = (text(&made, "id"), text(&made, "api_key"));
        let mut session = db.connect().await;
        for (header, subdomain, key) in [
            (Some(id), None, None),
            (None, Some("acme"), None),
            (None, None, Some(key)),
            (Some(id), None, Some(key)),
        ] {
            let found = resolve(&mut session, header, subdomain, key).await;
            assert_eq!(found.as_deref(), Some(id), "{name}");
        }
        let default = resolve(&mut session, None, None, None).await.unwrap();
        assert_ne!(default, id);
        for other in
            [default.as_str(), "nobody", "99999999999999999999", "9223372036854775808", "-1", "1e3", "{}"]
        {
            let found = resolve(&mut session, Some(other), None, Some(key)).await;
            assert_eq!(found, None, "{name}: {other}");
        }
        let mut tx = session.begin().await.unwrap();
        let set: String =
            sqlx::query_scalar("SELECT stockfoil.set_org($1)").bind(id).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(set, id, "{name}");
        tx.rollback().await.unwrap();
        // The form that the database prints, whatever was given.
        let upper: Option<String> = sqlx::query_scalar("SELECT stockfoil.org_by_id($1)")
            .bind(id.to_uppercase())
            .fetch_one(&mut session)
            .await
            .unwrap();
        let expected = (mapped == Mapped::Prisma || mapped == Mapped::TwoSchemas).then_some(id);
        assert_eq!(upper.as_deref(), expected, "{name}");
        db.run("org-update")
            .args(["--org-id", id, "--rotate-key", "--overlap", "0s", "--name", "New"])
            .await
            .ok();
        assert_eq!(org_of(&mut session, key).await, None, "{name}");
        db.run("validate-migration").await.ok();
    }
}

#[tokio::test]
async fn a_function_that_was_changed_is_found_and_mended() {
    let db = TestDb::migrated().await;
    for (change, function) in [
        ("GRANT EXECUTE ON FUNCTION stockfoil.set_org(text) TO PUBLIC", "stockfoil.set_org(text)"),
        ("ALTER FUNCTION stockfoil.org_by_id(text) SECURITY INVOKER", "stockfoil.org_by_id(text)"),
        ("ALTER FUNCTION stockfoil.org_by_api_key(text) RESET search_path", "stockfoil.org_by_api_key(text)"),
        (
            "CREATE OR REPLACE FUNCTION stockfoil.org_by_subdomain(subdomain text) RETURNS text LANGUAGE plpgsql STABLE
             SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN ''default''; END'",
            "stockfoil.org_by_subdomain(text)",
        ),
        ("REVOKE ALL ON FUNCTION stockfoil.api_key(text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION stockfoil.api_key(text) TO PUBLIC", "stockfoil.api_key(text)"),
        ("ALTER TABLE organization_api_keys DROP COLUMN scopes", "stockfoil.api_key_by_hash(text)"),
        ("DROP FUNCTION stockfoil.resolve_org(text, text, text)", "stockfoil.resolve_org(text, text, text)"),
    ] {
        db.execute(change).await;
        let found = db.run("validate-migration").await.status(1);
        found.says(&format!("resolution {function}: it is not there, was changed, or everybody may execute it"));
        db.run("migrate-org").arg("--contract").await.ok();
        db.run("validate-migration").await.ok();
    }
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    let left = "SELECT count(*) FROM pg_proc WHERE proname IN ('org_by_id', 'org_by_subdomain', 'org_by_api_key', 'org_by_api_key_hash', 'api_key', 'api_key_by_hash', 'resolve_org', 'set_org', 'orgs_of_user')";
    assert_eq!(db.value(left).await, "0");
}
