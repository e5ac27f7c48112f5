//! There, and back to the same bytes.

use super::*;
use crate::migration::{same_schema, schema};

async fn there_and_back(mapped: Option<Mapped>) {
    let db = match mapped {
        None => TestDb::inventory().await,
        Some(mapped) => TestDb::mapped(mapped).await,
    };
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    let tenants = Tenants::in_database(db, mapped).await;
    let db = &tenants.db;
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    let finalized = schema(db);
    let isolate = ["--finalize", "--isolate", "--yes"];
    tenants
        .run("migrate-org")
        .args(["--finalize", "--isolate", "--dry-run", "--verbose"])
        .await
        .ok()
        .says("CREATE POLICY");
    same_schema(db, &finalized);
    tenants
        .run("migrate-org")
        .args(isolate)
        .arg("--verbose")
        .await
        .ok()
        .says("alone (lock: ACCESS EXCLUSIVE");
    let isolated = schema(db);
    tenants.run("migrate-org").args(isolate).await.ok().says("nothing to do");
    tenants.run("validate-migration").await.ok();
    // Only isolation, and again.
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    same_schema(db, &finalized);
    let roles =
        format!("SELECT count(*) FROM pg_roles WHERE rolname IN ('{}', '{}')", tenants.app, tenants.ops);
    assert_eq!(db.value(&roles).await, "0");
    tenants.run("migrate-org").args(isolate).await.ok();
    same_schema(db, &isolated);
    // Everything.
    tenants.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(db, &before);
    assert_eq!(db.value(&roles).await, "0");
}

#[tokio::test]
async fn the_default_model_comes_back() {
    there_and_back(None).await;
}

#[tokio::test]
async fn prisma_comes_back() {
    there_and_back(Some(Mapped::Prisma)).await;
}

#[tokio::test]
async fn erp_comes_back() {
    there_and_back(Some(Mapped::Erp)).await;
}

#[tokio::test]
async fn warehouse_comes_back() {
    there_and_back(Some(Mapped::Warehouse)).await;
}

#[tokio::test]
async fn two_schemas_comes_back() {
    there_and_back(Some(Mapped::TwoSchemas)).await;
}

/// Isolation straight from a migrated database, and only it taken back: the database is what it was, and an insert that
/// names no organization does what it did.
async fn isolation_alone_comes_back(mapped: Option<Mapped>) {
    let db = match mapped {
        None => TestDb::inventory().await,
        Some(mapped) => TestDb::mapped(mapped).await,
    };
    let before = schema(&db);
    db.run("migrate-all").arg("--contract").await.ok();
    let tenants = Tenants::in_database(db, mapped).await;
    let db = &tenants.db;
    let migrated = schema(db);
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok().says("nothing to do");
    tenants.run("validate-migration").await.ok();
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    same_schema(db, &migrated);
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok().says("nothing to do");
    tenants.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    tenants.run("validate-migration").await.ok();
    // A second time, and the whole way, from isolated and from not.
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    tenants.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(db, &before);
    tenants.run("migrate-all").arg("--contract").await.ok();
    same_schema(db, &migrated);
    tenants.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    tenants.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(db, &before);
}

#[tokio::test]
async fn isolation_alone_comes_back_on_the_default_model() {
    isolation_alone_comes_back(None).await;
}

#[tokio::test]
async fn isolation_alone_comes_back_on_prisma() {
    isolation_alone_comes_back(Some(Mapped::Prisma)).await;
}

#[tokio::test]
async fn isolation_alone_comes_back_on_erp() {
    isolation_alone_comes_back(Some(Mapped::Erp)).await;
}

#[tokio::test]
async fn isolation_alone_comes_back_on_warehouse() {
    isolation_alone_comes_back(Some(Mapped::Warehouse)).await;
}

#[tokio::test]
async fn isolation_alone_comes_back_on_two_schemas() {
    isolation_alone_comes_back(Some(Mapped::TwoSchemas)).await;
}

#[tokio::test]
async fn an_insert_that_names_no_organization_works_after_isolation_as_before() {
    let tenants = Tenants::of(None).await;
    let (db, web) = (&tenants.db, format!("old_app_{}", tenants.db.name()));
    db.execute(format!("CREATE ROLE {web} LOGIN; GRANT SELECT, INSERT ON feature_flags TO {web}")).await;
    let insert = async |set: &str, key: &str| {
        for (role, name) in [("", "owner"), (web.as_str(), "app")] {
            let role = if role.is_empty() { String::new() } else { format!("SET LOCAL ROLE {role};") };
            db.execute(format!(
                "BEGIN; {role} {set} INSERT INTO feature_flags (key) VALUES ('{key} {name}'); COMMIT"
            ))
            .await;
        }
        db.value(format!(
            "SELECT string_agg(org_id, ',' ORDER BY key) FROM feature_flags WHERE key LIKE '{key} %'"
        ))
        .await
    };
    let named = format!("SET LOCAL app.org_id = '{}';", tenants.b);
    let both = |org: &str| format!("{org},{org}");
    assert_eq!(insert("", "1").await, both("default"));
    assert_eq!(insert(&named, "2").await, both(&tenants.b));
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    assert_eq!(insert(&named, "3").await, both(&tenants.b));
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    assert_eq!(insert("", "4").await, both("default"));
    assert_eq!(insert(&named, "5").await, both(&tenants.b));
    // What was counted before is counted on.
    tenants
        .run("migrate-org")
        .args(["--finalize", "--dry-run"])
        .await
        .ok()
        .says("feature_flags: 4 inserts named no organization since");
    db.execute(format!("DROP OWNED BY {web}; DROP ROLE {web}")).await;
}

#[tokio::test]
async fn what_was_there_stays() {
    let tenants = Tenants::of(None).await;
    let (db, app, ops) = (&tenants.db, &tenants.app, &tenants.ops);
    db.execute(format!(
        "CREATE ROLE {app} LOGIN; CREATE ROLE {ops} BYPASSRLS; GRANT SELECT, TRUNCATE ON items TO {app}; GRANT USAGE ON SCHEMA public TO {app};
         ALTER TABLE users ENABLE ROW LEVEL SECURITY;
         CREATE POLICY adults ON users AS RESTRICTIVE USING (name <> 'child');
         COMMENT ON CONSTRAINT count_lines_item_id_fkey ON count_lines IS 'what was counted'"
    ))
    .await;
    db.run("migrate-org").args(["--finalize", "--yes"]).await.ok();
    let before = schema(db);
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    same_schema(db, &before);
    assert_eq!(
        db.value(format!("SELECT count(*) FROM pg_roles WHERE rolname IN ('{app}', '{ops}')")).await,
        "2"
    );
}

#[tokio::test]
async fn what_would_not_hold_is_refused_and_nothing_changed() {
    let tenants = Tenants::of(None).await;
    let (db, b) = (&tenants.db, tenants.b.clone());
    tenants.fill().await;
    let (app, ops) = (&tenants.app, &tenants.ops);
    for (what, undo, said) in [
        (
            format!("INSERT INTO count_lines (id, count_sheet_id, item_id, qty_counted, org_id) VALUES ('x', 'c1', 'i1', 1, '{b}')"),
            "DELETE FROM count_lines WHERE id = 'x'".to_owned(),
            format!("1 row points at a row of another organization in items ({b} at default)"),
        ),
        (
            "CREATE POLICY everybody ON items USING (true)".to_owned(),
            "DROP POLICY everybody ON items".to_owned(),
            "policy everybody of items is permissive".to_owned(),
        ),
        (
            format!("CREATE ROLE {app} BYPASSRLS"),
            format!("DROP ROLE {app}"),
            format!("role {app} bypasses row-level security"),
        ),
        (
            format!("CREATE ROLE {app}; GRANT postgres TO {app}"),
            format!("DROP ROLE {app}"),
            format!("role {app} is a member of postgres, a superuser"),
        ),
        (
            format!("CREATE ROLE {ops}"),
            format!("DROP ROLE {ops}"),
            format!("role {ops} is there, and does not bypass row-level security"),
        ),
        (
            "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_user_id_fkey, ADD CONSTRAINT audit_logs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON UPDATE SET NULL".to_owned(),
            "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_user_id_fkey, ADD CONSTRAINT audit_logs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users".to_owned(),
            "says ON UPDATE SET NULL".to_owned(),
        ),
    ] {
        db.execute(what.replace("postgres", db.cluster().superuser())).await;
        let before = schema(db);
        let said = said.replace("postgres", db.cluster().superuser());
        tenants.run("migrate-org").args(["--finalize", "--isolate", "--dry-run"]).await.status(1).says(&said);
        tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.refuses(3, &said);
        same_schema(db, &before);
        db.execute(undo).await;
    }
    tenants.run("migrate-org").args(["--isolate"]).await.refuses(2, "--isolate goes with --finalize");
}

#[tokio::test]
async fn a_role_without_the_right_to_make_roles_is_told_what_to_run() {
    let tenants = Tenants::of(None).await;
    let db = &tenants.db;
    let owner = format!("owner_{}", db.name());
    own(db, &owner).await;
    let url = db.cluster().url_as(&owner, db.name());
    let isolate =
        || tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).env("DATABASE_URL", &url);
    let (app, ops) = (&tenants.app, &tenants.ops);
    isolate()
        .await
        .refuses(3, &format!("let a superuser run: CREATE ROLE {app} NOLOGIN"))
        .tells(&format!("let a superuser run: CREATE ROLE {ops} NOLOGIN BYPASSRLS; GRANT {ops} TO {owner}"))
        .tells(&format!("let a superuser run: ALTER ROLE {owner} BYPASSRLS"));
    db.execute(format!(
        "CREATE ROLE {app} NOLOGIN; CREATE ROLE {ops} NOLOGIN BYPASSRLS; GRANT {ops} TO {owner}; ALTER ROLE {owner} BYPASSRLS"
    ))
    .await;
    isolate().await.ok();
    isolate().await.ok().says("nothing to do");
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id) VALUES ('i', 'I', 'I', 'default'); INSERT INTO locations (id, site, name, org_id) VALUES ('l', 'S', 'P', 'default');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, org_id) VALUES ('i', 'l', 5, 'default')"
    )
    .await;
    assert_eq!(db.value("SELECT trim_scale(qty_canonical) FROM inventory_balances").await, "5");
    for command in ["migrate-balance", "reconcile-balances", "validate-migration"] {
        tenants.run(command).env("DATABASE_URL", &url).await.ok();
    }
    tenants
        .run("migrate-org")
        .args(["--rollback", "--isolate", "--yes"])
        .env("DATABASE_URL", &url)
        .await
        .ok();
}

/// Makes everything in the database the role's, which is made for it.
async fn own(db: &TestDb, role: &str) {
    db.execute(format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {name} TO {role};
         ALTER SCHEMA stockfoil OWNER TO {role};
         DO $$ DECLARE r record; BEGIN
             FOR r IN SELECT c.oid::regclass AS name FROM pg_class AS c WHERE c.relnamespace IN ('public'::regnamespace, 'stockfoil'::regnamespace) AND c.relkind IN ('r', 'p') LOOP
                 EXECUTE format('ALTER TABLE %s OWNER TO {role}', r.name);
             END LOOP;
             FOR r IN SELECT c.oid::regclass AS name FROM pg_class AS c WHERE c.relnamespace = 'stockfoil'::regnamespace AND c.relkind = 'S'
                      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'a') LOOP
                 EXECUTE format('ALTER SEQUENCE %s OWNER TO {role}', r.name);
             END LOOP;
             FOR r IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p WHERE p.pronamespace = 'stockfoil'::regnamespace LOOP
                 EXECUTE format('ALTER ROUTINE %s OWNER TO {role}', r.name);
             END LOOP;
         END $$",
        name = db.name()
    ))
    .await;
}
