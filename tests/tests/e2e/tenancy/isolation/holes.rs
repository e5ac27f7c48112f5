//! Each hole, built on purpose, is found by its name with what closes it; without any the check passes. Those by which the
//! application's login gains something are in `attacks`.

mod ways;

use sqlx::{Connection as _, PgConnection};

use super::*;

/// A hole: what makes it, what undoes it, and how it is found.
struct Hole {
    check: &'static str,
    object: String,
    remedy: String,
    make: String,
    undo: String,
}

impl Tenants {
    pub(super) async fn find(&self) -> Value {
        let run = self.run("validate-migration").args(["--isolation", "--format", "json"]).await;
        assert!(run.status == 0 || run.status == 1, "{}", run.stderr);
        let report = run.json();
        assert_eq!(run.status, i32::from(report["failed"] != 0), "{report}");
        report
    }
}

/// The failed checks: name, object, and the whole.
pub(super) fn failed(report: &Value) -> Vec<(&str, &str, &Value)> {
    let checks = report["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["verdict"] == "failed");
    failed.map(|check| (text(check, "name"), text(check, "object"), check)).collect()
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap()
}

fn holes(tenants: &Tenants) -> Vec<Hole> {
    let (app, ops, web, name) = (&tenants.app, &tenants.ops, tenants.web(), tenants.db.name());
    let superuser = tenants.db.cluster().superuser();
    let hole = |check, object: &str, remedy: &str, make: String, undo: String| Hole {
        check,
        object: object.into(),
        remedy: remedy.into(),
        make,
        undo,
    };
    let isolate = "migrate-org --finalize --isolate";
    vec![
        // The policies.
        hole(
            "policy",
            "inventory_balances",
            isolate,
            "ALTER TABLE inventory_balances NO FORCE ROW LEVEL SECURITY".into(),
            "ALTER TABLE inventory_balances FORCE ROW LEVEL SECURITY".into(),
        ),
        hole(
            "policy",
            "organization_api_keys",
            isolate,
            format!("ALTER POLICY stockfoil_isolation ON organization_api_keys TO {app}"),
            "ALTER POLICY stockfoil_isolation ON organization_api_keys TO PUBLIC".into(),
        ),
        // The roles.
        hole(
            "role",
            &format!("role {app}"),
            &format!("ALTER TABLE public.feature_flags OWNER TO {superuser}"),
            format!("ALTER TABLE feature_flags OWNER TO {app}"),
            format!("ALTER TABLE feature_flags OWNER TO {superuser}"),
        ),
        hole(
            "role",
            &format!("role {ops}"),
            "BYPASSRLS",
            format!("ALTER ROLE {ops} NOBYPASSRLS"),
            format!("ALTER ROLE {ops} BYPASSRLS"),
        ),
        hole(
            "backup_role",
            &format!("role dumper_{name}"),
            "pg_dump --role",
            format!("CREATE ROLE dumper_{name} LOGIN IN ROLE pg_read_all_data"),
            format!("DROP ROLE dumper_{name}"),
        ),
        // Rights.
        hole(
            "grant",
            "rights on items",
            "FROM PUBLIC",
            "GRANT SELECT ON items TO PUBLIC".into(),
            "REVOKE SELECT ON items FROM PUBLIC".into(),
        ),
        hole(
            "grant",
            "rights on users",
            "FROM PUBLIC",
            "GRANT SELECT (name) ON users TO PUBLIC".into(),
            "REVOKE SELECT (name) ON users FROM PUBLIC".into(),
        ),
        hole(
            "grant",
            "rights on inventory_balances",
            "REVOKE UPDATE ON",
            format!("GRANT UPDATE ON inventory_balances TO {app}"),
            format!("REVOKE UPDATE ON inventory_balances FROM {app}"),
        ),
        // Ways around.
        hole(
            "view",
            "view outer_v",
            "security_invoker = true",
            "CREATE VIEW inner_v WITH (security_invoker = on) AS SELECT * FROM items; CREATE VIEW outer_v AS SELECT * FROM inner_v".into(),
            "DROP VIEW outer_v, inner_v".into(),
        ),
        hole(
            "definer_function",
            "function stockfoil.leak()",
            "SECURITY INVOKER",
            "CREATE FUNCTION stockfoil.leak() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM items'".into(),
            "DROP FUNCTION stockfoil.leak()".into(),
        ),
        hole(
            "definer_function",
            "function stockfoil.balance_on_insert()",
            isolate,
            format!("ALTER FUNCTION stockfoil.balance_on_insert() OWNER TO {web}"),
            format!("ALTER FUNCTION stockfoil.balance_on_insert() OWNER TO {ops}"),
        ),
        // Keys.
        hole(
            "foreign_key",
            "foreign key count_lines_old of count_lines",
            isolate,
            "ALTER TABLE count_lines ADD CONSTRAINT count_lines_old FOREIGN KEY (item_id) REFERENCES items (id)".into(),
            "ALTER TABLE count_lines DROP CONSTRAINT count_lines_old".into(),
        ),
        hole(
            "unique_key",
            "key items_number of items",
            "migrate-org",
            "CREATE UNIQUE INDEX items_number ON items (item_number)".into(),
            "DROP INDEX items_number".into(),
        ),
        hole(
            "unique_key",
            "key feature_flags_pkey of feature_flags",
            "let the database make its values",
            "ALTER TABLE feature_flags ALTER COLUMN id DROP DEFAULT".into(),
            "ALTER TABLE feature_flags ALTER COLUMN id SET DEFAULT gen_random_uuid()::text".into(),
        ),
        hole(
            "unique_key",
            "key one_name of items",
            "WITH =",
            "ALTER TABLE items ADD CONSTRAINT one_name EXCLUDE USING hash (id WITH =)".into(),
            "ALTER TABLE items DROP CONSTRAINT one_name".into(),
        ),
        // Tables that nothing guards.
        hole(
            "unguarded_table",
            "table invoices",
            "[tenancy] tables",
            "CREATE TABLE invoices (org_id text, total numeric)".into(),
            "DROP TABLE invoices".into(),
        ),
        hole(
            "unguarded_table",
            "table old_items",
            "NO INHERIT",
            "CREATE TABLE old_items () INHERITS (items)".into(),
            "DROP TABLE old_items".into(),
        ),
        hole(
            "unguarded_table",
            "table photos",
            "[tenancy] tables",
            format!("CREATE TABLE photos (item_id text REFERENCES items (id)); GRANT INSERT ON photos TO {app}"),
            "DROP TABLE photos".into(),
        ),
        hole(
            "unguarded_table",
            "table elsewhere",
            "[tenancy] tables",
            "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
             CREATE FOREIGN TABLE elsewhere (org_id text) SERVER nowhere"
                .into(),
            "DROP FOREIGN DATA WRAPPER nothing CASCADE".into(),
        ),
    ]
}

#[tokio::test]
async fn every_hole_is_found_by_name() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let db = &tenants.db;
    {
        let _shared = ROLES.read().await;
        tenants.run("validate-migration").arg("--isolation").await.ok().says("0 failed");
    }
    for Hole { check, object, remedy, make, undo } in holes(&tenants) {
        let (_alone, _shared) = match check {
            // A role that reads everything is every database's.
            "backup_role" => (Some(ROLES.write().await), None),
            _ => (None, Some(ROLES.read().await)),
        };
        db.execute(&make).await;
        let report = tenants.find().await;
        let found = failed(&report);
        let hole = found.iter().find(|(name, of, _)| *name == check && *of == object);
        let (.., hole) =
            hole.unwrap_or_else(|| panic!("{make}\nis not found as {check} {object}: {found:#?}"));
        assert!(text(hole, "remedy").contains(&remedy), "{hole}");
        assert!(!text(hole, "evidence").is_empty(), "{hole}");
        db.execute(&undo).await;
    }
    let _shared = ROLES.read().await;
    let report = tenants.find().await;
    assert_eq!(failed(&report), []);
}

#[tokio::test]
async fn sessions_past_row_level_security_are_evidence() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, superuser) = (&tenants.db, tenants.db.cluster().superuser());
    let url = format!("{}&application_name=web%20shop", db.url());
    let session = PgConnection::connect(&url).await.unwrap();
    let named = tenants.run("validate-migration").arg("--isolation").await.status(1);
    named.says(&format!(
        "session sessions of {superuser}: 1 session now, of web shop; the role is a superuser"
    ));
    session.close().await.unwrap();
    let session = PgConnection::connect(&tenants.url()).await.unwrap();
    tenants.run("validate-migration").arg("--isolation").await.ok();
    session.close().await.unwrap();
}

#[tokio::test]
async fn a_publication_is_named_and_is_no_hole() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    tenants.db.execute("CREATE PUBLICATION stock FOR TABLE items").await;
    let report = tenants.find().await;
    assert_eq!(failed(&report), []);
    let checks = report["checks"].as_array().unwrap();
    let named = checks.iter().find(|check| check["object"] == "publication stock");
    let named = named.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(text(named, "name"), "publication");
    assert!(text(named, "evidence").contains("every organization of public.items"), "{named}");
}

#[tokio::test]
async fn a_database_that_is_not_isolated_is_no_surprise() {
    let db = TestDb::migrated().await;
    db.run("validate-migration")
        .arg("--isolation")
        .await
        .status(1)
        .says("policy items: row-level security is not enabled")
        .says("foreign key foreign key count_lines_item_id_fkey of count_lines: may point at a row of another organization in items")
        .says("migrate-org --finalize --isolate");
}

#[tokio::test]
async fn a_partition_that_came_later_is_found_and_guarded() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(Some(Mapped::Warehouse)).await;
    tenants.isolate().await;
    let db = &tenants.db;
    db.execute("ALTER VIEW stock_by_warehouse SET (security_invoker = true)").await;
    db.execute("CREATE TABLE stock_transactions_2024_12 PARTITION OF stock_transactions FOR VALUES FROM ('2024-12-01Z') TO ('2025-01-01Z')")
        .await;
    let report = tenants.find().await;
    let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
    assert!(found.contains(&("policy", "stock_transactions_2024_12")), "{found:?}");
    tenants.run("migrate-balance").args(["--yes"]).await.ok();
    tenants.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    let report = tenants.find().await;
    // Its number is the application's own, and smallint.
    let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
    let of_warehouses = ["key reorder_levels_pkey of reorder_levels", "key warehouses_pkey of warehouses"];
    assert_eq!(found, of_warehouses.map(|key| ("unique_key", key)));
}

#[tokio::test]
async fn roles_that_can_be_none_are_refused() {
    let db = TestDb::migrated().await;
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    for (text, said) in [
        ("app_role = \"pg_app\"", "can't be the name of a role"),
        ("app_role = \"stockfoil_ops\"", "it is the application's role too"),
        ("app_rolle = \"x\"", "did you mean"),
    ] {
        std::fs::write(file.path(), format!("[tenancy.isolation]\n{text}\n")).unwrap();
        db.run("validate-migration").env("STOCKFOIL_CONFIG", file.path()).await.refuses(2, said);
    }
}
