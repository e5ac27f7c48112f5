//! Stockfoil's own commands under isolation: they see everything, or say that they can't, and never see nothing.

use sqlx::{Connection as _, PgConnection};

use super::*;

#[tokio::test]
async fn commands_work_as_the_operations_role_and_refuse_to_see_less() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let (db, ops, b) = (&tenants.db, &tenants.ops, &tenants.b);
    let person = format!("person_{}", db.name());
    db.execute(format!("CREATE ROLE {person} LOGIN IN ROLE {ops}; UPDATE inventory_balances SET qty_canonical = qty_canonical + 5 WHERE item_id = 'i1' AND location_id = 'l2' AND lot_id IS NULL")).await;
    // BYPASSRLS is nothing that a member has.
    let member = db.cluster().url_as(&person, db.name());
    let commands: [&[&str]; 7] = [
        &["reconcile-balances"],
        &["backfill-balances"],
        &["org-list"],
        &["org-create", "--name", "C"],
        &["users-assign", "--org-id", b, "--all", "--dry-run"],
        &["validate-migration"],
        &["org-list", "--active-only"],
    ];
    for command in commands {
        tenants
            .run(command[0])
            .args(&command[1..])
            .env("DATABASE_URL", &member)
            .await
            .refuses(3, "connect as one that bypasses it (BYPASSRLS), such as the operations role");
    }
    // As the role itself it works: by a setting of the login or of the connection.
    let as_ops = format!("{member}&options=-c%20role%3D{ops}");
    let run = |name: &str| tenants.run(name).env("DATABASE_URL", &as_ops);
    run("reconcile-balances").await.status(1).says("i1");
    run("reconcile-balances").args(["--full", "--fix-large"]).await.ok();
    run("backfill-balances").await.ok();
    run("org-list").await.ok().says("Default Organization");
    run("org-create").args(["--name", "C", "--subdomain", "c"]).await.ok();
    run("validate-migration").await.ok();
    {
        let _shared = ROLES.read().await;
        run("validate-migration").arg("--isolation").await.ok();
    }
    let referred = "60 rows of inventory_ledger (foreign key";
    run("users-assign").args(["--org-id", b, "--all", "--dry-run"]).await.refuses(3, referred);
    db.execute(format!("ALTER ROLE {person} BYPASSRLS")).await;
    tenants.run("reconcile-balances").env("DATABASE_URL", &member).await.ok();
    // A backup of the operations role has every row, and one of a role that is bound fails.
    let dump = |role: &str| {
        db.cluster()
            .program("pg_dump")
            .args(["-U", &person, "--role", role, "-a", "-t", "items", db.name()])
            .output()
            .unwrap()
    };
    let whole = dump(ops);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert!(String::from_utf8(whole.stdout).unwrap().contains("I-5"));
}

#[tokio::test]
async fn an_assigned_user_whose_rows_stay_behind_is_refused() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let before = tenants.digest_of_a().await;
    let moved = tenants.run("users-assign").args(["--org-id", &tenants.b, "--all"]).await;
    assert_ne!(moved.status, 0, "{}", moved.stdout);
    assert_eq!(tenants.digest_of_a().await, before);
    // One whom nothing refers to goes.
    tenants
        .db
        .execute(
            "INSERT INTO users (id, email, name, org_id) VALUES ('u2', 'u2@example.com', 'U', 'default')",
        )
        .await;
    tenants.run("users-assign").args(["--org-id", &tenants.b, "--user-id", "u2"]).await.ok();
    assert_eq!(tenants.db.value("SELECT org_id FROM users WHERE id = 'u2'").await, tenants.b);
}

#[tokio::test]
async fn balances_made_after_isolation_are_isolated() {
    let db = TestDb::inventory().await;
    db.run("db-migrate").await.ok();
    db.run("migrate-org").arg("--contract").await.ok();
    let tenants = Tenants::in_database(db, None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let db = &tenants.db;
    tenants
        .run("migrate-balance")
        .await
        .ok()
        .tells("show of inventory_balances the session's organization's rows alone");
    tenants.run("backfill-balances").await.ok();
    tenants.run("validate-migration").await.ok();
    {
        let _shared = ROLES.read().await;
        tenants.run("validate-migration").arg("--isolation").await.ok();
    }
    let mut session = PgConnection::connect(&tenants.url()).await.unwrap();
    sqlx::raw_sql("SET app.org_id = 'default'; INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('i1', 'l1', 7)")
        .execute(&mut session)
        .await
        .unwrap();
    let balances: i64 =
        sqlx::query_scalar("SELECT count(*) FROM inventory_balances").fetch_one(&mut session).await.unwrap();
    assert!(balances > 0);
    sqlx::raw_sql("SET app.org_id = 'another'").execute(&mut session).await.unwrap();
    let balances: i64 =
        sqlx::query_scalar("SELECT count(*) FROM inventory_balances").fetch_one(&mut session).await.unwrap();
    assert_eq!(balances, 0);
    session.close().await.unwrap();
    tenants.run("reconcile-balances").arg("--full").await.ok();
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE org_id = 'default'").await, "61");
}

#[tokio::test]
async fn views_cascades_and_settings_stay_within() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let (db, a, b, app) = (&tenants.db, &tenants.a, &tenants.b, &tenants.app);
    tenants.copy_to_b().await;
    db.execute(format!(
        "CREATE VIEW stock WITH (security_invoker = true) AS SELECT org_id, item_id, qty_canonical FROM inventory_balances;
         GRANT SELECT ON stock TO {app}"
    ))
    .await;
    let mut session = PgConnection::connect(&tenants.url()).await.unwrap();
    for (org, seen) in [(a.as_str(), a.as_str()), (b, b), ("", ""), ("nobody", "")] {
        sqlx::query("SELECT set_config('app.org_id', $1, false)")
            .bind(org)
            .execute(&mut session)
            .await
            .unwrap();
        let orgs: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT org_id FROM stock").fetch_all(&mut session).await.unwrap();
        assert_eq!(orgs.concat(), seen);
        let names: Vec<String> =
            sqlx::query_scalar("SELECT id FROM organizations").fetch_all(&mut session).await.unwrap();
        assert_eq!(names.concat(), seen, "an organization sees itself alone");
    }
    for denied in [
        "SELECT 1 FROM organization_api_keys",
        "UPDATE inventory_balances SET qty_canonical = 0",
        "UPDATE organizations SET name = 'x'",
        "SELECT 1 FROM stockfoil.run",
    ] {
        let error = sqlx::query(denied).execute(&mut session).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{denied}");
    }
    // A cascade takes B's lines with B's sheet, and no line of A's.
    let before = tenants.digest_of_a().await;
    sqlx::query("SELECT set_config('app.org_id', $1, false)").bind(b).execute(&mut session).await.unwrap();
    let gone = sqlx::query("DELETE FROM count_sheets").execute(&mut session).await.unwrap();
    assert_eq!(gone.rows_affected(), 1);
    assert_eq!(db.value(format!("SELECT count(*) FROM count_lines WHERE org_id = '{b}'")).await, "0");
    assert_eq!(tenants.digest_of_a().await, before);
    session.close().await.unwrap();
}

#[tokio::test]
async fn an_invalid_setting_is_an_error_and_shows_nothing() {
    for (mapped, setting) in [(Mapped::Prisma, "no uuid"), (Mapped::TwoSchemas, "1 or 1=1")] {
        let tenants = Tenants::of(Some(mapped)).await;
        tenants.isolate().await;
        let mut session = PgConnection::connect(&tenants.url()).await.unwrap();
        sqlx::query("SELECT set_config('app.org_id', $1, false)")
            .bind(setting)
            .execute(&mut session)
            .await
            .unwrap();
        let table =
            if mapped == Mapped::Prisma { "SELECT 1 FROM \"User\"" } else { "SELECT 1 FROM plant.people" };
        let error = sqlx::query(table).fetch_all(&mut session).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "22P02");
        session.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_key_with_on_update_carries_nothing_along() {
    let tenants = Tenants::of(Some(Mapped::Prisma)).await;
    tenants.isolate().await;
    let (db, a, b) = (&tenants.db, &tenants.a, &tenants.b);
    let user = db.value(r#"SELECT "userId" FROM "AuditEvent" WHERE "userId" IS NOT NULL LIMIT 1"#).await;
    let events = db.value(format!(r#"SELECT count(*) FROM "AuditEvent" WHERE "userId" = '{user}'"#)).await;
    let whose = r#"SELECT 'e', id, "organizationId" FROM "AuditEvent" UNION ALL SELECT 'u', id, "organizationId" FROM "User" ORDER BY 1, 2"#;
    let before = db.rows(whose).await;
    for more in [&["--dry-run"][..], &[]] {
        let run = tenants.run("users-assign").args(["--org-id", b, "--user-id", &user]).args(more).await;
        run.refuses(3, &format!("{events} rows of AuditEvent (foreign key"));
    }
    assert_eq!(db.rows(whose).await, before);

    // Data: every row that is the other organization's afterwards is counted and recorded, and goes back.
    let tables = ["Item", "Location", "Lot", "StockMovement", "StockCount", "StockCountLine"];
    let whose: Vec<String> = tables
        .iter()
        .map(|table| format!(r#"SELECT '{table}' AS t, id, "organizationId" AS org FROM "{table}""#))
        .collect();
    let whose = whose.join(" UNION ALL ");
    // Its audit trigger inserts rows that name no organization.
    db.execute(
        r#"ALTER TABLE "StockMovement" DISABLE TRIGGER "StockMovement_audit";
           UPDATE "StockMovement" SET "createdById" = NULL; UPDATE "StockCount" SET "countedById" = NULL"#,
    )
    .await;
    let before = db.rows(format!("{whose} ORDER BY 1, 2")).await;
    let args = [
        "--org-id",
        b,
        "--from",
        a,
        "--rows",
        r#"Item where sku = "*""#,
        "--rows",
        r#"Location where siteCode = "*""#,
    ];
    let report = tenants.run("data-assign").args(args).args(["--yes", "--format", "json"]).await.ok().json();
    let moved = db.value(format!("SELECT count(*) FROM ({whose}) AS w WHERE org = '{b}'")).await;
    assert_eq!(report["rows"].to_string(), moved);
    assert_eq!(db.value("SELECT sum(cardinality(keys)) FROM stockfoil.move").await, moved);
    tenants.run("data-assign").args(["--undo", &report["run_id"].to_string(), "--yes"]).await.ok();
    assert_eq!(db.rows(format!("{whose} ORDER BY 1, 2")).await, before);
}

#[tokio::test]
async fn balances_at_a_time_are_those_of_the_sessions_organization() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    tenants.copy_to_b().await;
    let (db, b) = (&tenants.db, &tenants.b);
    // Every organization's, so that a session knows what to ask for.
    let keys = db
        .value("SELECT string_agg(DISTINCT format('(%L, %L, %L)', item_id, location_id, lot_id), ', ') FROM inventory_ledger")
        .await;
    let keys = format!(
        "CREATE TEMPORARY TABLE keys (item_id text, location_id text, lot_id text); INSERT INTO keys VALUES {keys}"
    );
    let told = |org: &str| {
        format!(
            "SELECT coalesce(sum(b.quantity), 0)::text,
                    (SELECT sum(stockfoil.balance_at('{org}', k.item_id, k.location_id, k.lot_id, now()))::text FROM pg_temp.keys AS k)
             FROM stockfoil.balances_at('{org}', now()) AS b"
        )
    };
    let whole = |org: &str| db.rows(format!("{keys}; {}", told(org)));
    let (of_a, of_b) = (whole("default").await, whole(b).await);
    for whole in [&of_a[0], &of_b[0]] {
        assert!(whole[0] == whole[1] && !whole[0].starts_with("0.0"), "{whole:?}");
    }
    let as_web = |set: &str, org: &str| {
        let script = format!("{keys}; {set}; {}", told(org));
        let mut program = db.cluster().program("psql");
        program.args(["-qAtX", "-F", " ", "-v", "ON_ERROR_STOP=1", "-U", &tenants.web(), "-c", &script]);
        let output = program.arg(db.name()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let set_a = "SET app.org_id = 'default'";
    assert_eq!(as_web(set_a, "default"), of_a[0].join(" "));
    for (set, org) in [(set_a, b.as_str()), ("RESET app.org_id", "default"), ("SET app.org_id = ''", b)] {
        assert_eq!(as_web(set, org), "0 0", "{set} {org}");
    }
    let _shared = ROLES.read().await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
    // What is made anew is the application's to call, and nobody's else.
    db.execute("DROP FUNCTION stockfoil.balance_at, stockfoil.balances_at").await;
    tenants.run("migrate-balance").await.ok();
    assert_eq!(as_web(set_a, "default"), of_a[0].join(" "));
    let closed =
        "SELECT count(*) FROM pg_proc WHERE proname IN ('balance_at', 'balances_at') AND NOT prosecdef
                  AND NOT has_function_privilege('public', oid, 'EXECUTE')";
    assert_eq!(db.value(closed).await, "2");
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test]
async fn differences_are_entered_and_periods_closed_as_the_operations_role() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let (db, ops, a) = (&tenants.db, &tenants.ops, &tenants.a);
    let person = format!("clerk_{}", db.name());
    db.execute(format!("CREATE ROLE {person} LOGIN IN ROLE {ops}; UPDATE inventory_balances SET qty_canonical = qty_canonical + 5 WHERE item_id = 'i1' AND location_id = 'l2' AND lot_id IS NULL")).await;
    let url = format!("{}&options=-c%20role%3D{ops}", db.cluster().url_as(&person, db.name()));
    let run = |name: &str| tenants.run(name).env("DATABASE_URL", &url);
    run("reconcile-balances")
        .args(["--fix-by-entry", "count"])
        .await
        .ok()
        .says("1 difference entered into the ledger");
    let entered = format!(
        "SELECT count(*) > 0 AND bool_and(org_id = '{a}') FROM inventory_ledger WHERE note = 'count'"
    );
    assert_eq!(db.value(entered).await, "t");
    run("reconcile-balances")
        .args(["--close", "2020-01"])
        .await
        .ok()
        .says("closed before 2020-02-01T00:00:00Z");
    run("reconcile-balances").await.ok();
}

#[tokio::test]
async fn a_schedule_looks_for_holes_where_organizations_are_isolated() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    let look = || tenants.run("validate-migration").arg("--if-isolated");
    let run = look().args(["--format", "json"]).await.ok();
    assert_eq!((&run.json()["outcome"], &run.json()["skipped"]), (&"clean".into(), &1.into()));
    look().await.ok().says("not isolated, not looked at");
    tenants.run("validate-migration").arg("--isolation").await.status(1);
    tenants.isolate().await;
    look().await.says("shows the rows whose org_id is the session's, forced");
    // What somebody took away behind its back is no place where it never was.
    tenants
        .db
        .execute(
            "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT polrelid::regclass FROM pg_policy WHERE polname = 'stockfoil_isolation' LOOP
             EXECUTE format('DROP POLICY stockfoil_isolation ON %s', t); END LOOP; END $$",
        )
        .await;
    look().await.status(1).says("policy");
    let back = ["--rollback", "--isolate", "--yes", "--quiet"];
    tenants.run("migrate-org").args(back).await.ok();
    look().await.ok().says("not isolated, not looked at");
}
