//! Rights on what Stockfoil makes, whatever default privileges say.

use testkit::{Mapped, TestDb};

/// Who beside their owners may do what with Stockfoil's own objects: object, whose, and right.
async fn held(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT o.name, coalesce(r.rolname, 'PUBLIC'), a.privilege_type
         FROM (SELECT relname::text AS name, relowner AS owner, relacl AS acl FROM pg_class
               WHERE relkind IN ('r', 'S') AND (relnamespace = to_regnamespace('stockfoil') OR relname LIKE 'organization%' OR relname = 'inventory_balances')
               UNION ALL SELECT proname, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = to_regnamespace('stockfoil')
               UNION ALL SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'stockfoil') AS o
         CROSS JOIN LATERAL aclexplode(o.acl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
         WHERE a.grantee <> o.owner ORDER BY 1, 2, 3",
    )
    .await
}

/// A role to which default privileges give everything.
async fn anon(db: &TestDb) -> String {
    let anon = format!("anon_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {anon} LOGIN;
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {anon};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {anon};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {anon};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO {anon};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO {anon}"
    ))
    .await;
    anon
}

#[tokio::test]
async fn default_privileges_give_nobody_stockfoils_own_objects() {
    for mapped in [None, Some(Mapped::Prisma), Some(Mapped::TwoSchemas)] {
        let db = match mapped {
            None => TestDb::empty().await,
            Some(mapped) => TestDb::mapped(mapped).await,
        };
        let anon = anon(&db).await;
        if mapped.is_none() {
            db.run("db-migrate").await.ok();
            assert_eq!(
                db.value(format!("SELECT has_table_privilege('{anon}', 'items', 'DELETE')")).await,
                "t"
            );
        }
        assert_eq!(held(&db).await, Vec::<Vec<String>>::new());
        db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
        let everybody = vec!["default_org".to_owned(), "PUBLIC".to_owned(), "EXECUTE".to_owned()];
        assert_eq!(held(&db).await, [everybody]);
        db.run("validate-migration").await.ok();
    }
}

#[tokio::test]
async fn what_an_operator_grants_stays() {
    let db = TestDb::inventory().await;
    let anon = anon(&db).await;
    db.run("migrate-org").arg("--contract").arg("--yes").await.ok();
    let planned = db.run("migrate-balance").arg("--dry-run").await.ok();
    planned.says("not on Stockfoil's own; for an application that reads balances: GRANT SELECT ON");
    db.run("migrate-balance").arg("--yes").await.ok();
    db.execute(format!(
        "GRANT USAGE ON SCHEMA stockfoil TO {anon}; GRANT SELECT ON inventory_balances, stockfoil.finding TO {anon};
         GRANT EXECUTE ON FUNCTION stockfoil.set_org(text) TO {anon}"
    ))
    .await;
    let granted = held(&db).await;
    db.run("migrate-org").arg("--contract").arg("--yes").await.ok();
    db.run("migrate-balance").arg("--yes").await.ok();
    assert_eq!(held(&db).await, granted);
    assert_eq!(granted.len(), 5, "{granted:?}");
}

#[tokio::test]
async fn what_default_privileges_gave_before_is_taken_by_running_the_migrations_again() {
    let db = TestDb::migrated().await;
    let anon = anon(&db).await;
    // As it was made before it was closed, with rights that were granted by name.
    db.execute(format!(
        "DELETE FROM stockfoil.change WHERE name = 'closed';
         GRANT ALL ON organizations, organization_api_keys, inventory_balances TO {anon};
         GRANT ALL ON ALL TABLES IN SCHEMA stockfoil TO {anon}; GRANT ALL ON ALL SEQUENCES IN SCHEMA stockfoil TO {anon};
         GRANT ALL ON ALL FUNCTIONS IN SCHEMA stockfoil TO {anon}; GRANT ALL ON SCHEMA stockfoil TO {anon};
         CREATE ROLE nightly_{name}; GRANT INSERT, SELECT ON stockfoil.run TO nightly_{name}",
        name = db.name()
    ))
    .await;
    db.run("validate-migration").await.status(1).says("default privileges may have given them away");
    let planned = db.run("migrate-org").arg("--contract").args(["--dry-run", "--verbose"]).await.ok();
    planned.says(&format!("ON table public.organization_api_keys FROM \"{anon}\""));
    db.run("migrate-org").arg("--contract").arg("--yes").await.ok();
    db.run("migrate-balance").arg("--yes").await.ok();
    let held = held(&db).await;
    let of = |role: &str| -> Vec<String> {
        held.iter().filter(|held| held[1] == role).map(|held| format!("{} {}", held[0], held[2])).collect()
    };
    assert_eq!(
        of(&anon),
        [
            "api_key EXECUTE",
            "api_key_by_hash EXECUTE",
            "default_org EXECUTE",
            "inventory_balances SELECT",
            "org_by_api_key EXECUTE",
            "org_by_api_key_hash EXECUTE",
            "org_by_id EXECUTE",
            "org_by_subdomain EXECUTE",
            "organizations SELECT",
            "resolve_org EXECUTE",
            "set_org EXECUTE",
            "stockfoil USAGE"
        ]
    );
    assert_eq!(of(&format!("nightly_{}", db.name())), ["run INSERT", "run SELECT"]);
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn inserts_that_name_no_organization_go_on_where_functions_are_for_nobody() {
    let db = TestDb::inventory().await;
    let shop = format!("shop_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {shop} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {shop};
         ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
    ))
    .await;
    db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
    let insert = format!(
        "SET ROLE {shop}; INSERT INTO items (id, item_number, name) VALUES ('i', 'I', 'I');
         INSERT INTO locations (id, site, name) VALUES ('l', 'S', 'L');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('i', 'l', 5)"
    );
    db.execute(insert).await;
    assert_eq!(db.value("SELECT qty_canonical FROM inventory_balances").await, "5.000000");
    db.run("validate-migration").await.ok();
    db.execute("REVOKE EXECUTE ON FUNCTION stockfoil.default_org(text) FROM PUBLIC").await;
    db.run("validate-migration")
        .await
        .status(1)
        .says(&format!("{shop} may insert, but not execute stockfoil.default_org"));
    db.run("migrate-org").arg("--contract").arg("--yes").await.ok();
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn what_a_restore_makes_again_is_closed_again() {
    let db = TestDb::migrated().await;
    let name = db.name();
    let file = tempfile::tempdir().unwrap();
    let dump = file.path().join("dump");
    let run = |program: &str, args: &[&str]| {
        let output = db.cluster().program(program).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("pg_dump", &["-Fc", "--no-acl", "--no-owner", "-f", dump.to_str().unwrap(), name]);
    let restored = TestDb::empty().await;
    restored
        .execute(format!(
            "CREATE ROLE handed_{name}; CREATE ROLE named_{name};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO handed_{name}, named_{name}"
        ))
        .await;
    run("pg_restore", &["--no-owner", "--no-acl", "-d", restored.name(), dump.to_str().unwrap()]);
    // What somebody grants by name is less than all that default privileges give, and stays.
    restored
        .execute(format!(
            "REVOKE ALL ON organizations, inventory_balances, organization_api_keys FROM named_{name};
             GRANT SELECT, UPDATE ON organizations TO named_{name}"
        ))
        .await;
    restored
        .run("validate-migration")
        .await
        .status(1)
        .says(&format!("handed_{name} has "))
        .says("on public.organization_api_keys");
    restored.run("migrate-org").arg("--contract").await.ok();
    restored.run("migrate-balance").await.ok();
    restored.run("validate-migration").await.ok();
    let may = |role: &str, table: &str, right: &str| {
        format!("SELECT has_table_privilege('{role}_{name}', '{table}', '{right}')")
    };
    assert_eq!(restored.value(&may("handed", "organization_api_keys", "INSERT")).await, "f");
    assert_eq!(restored.value(&may("handed", "inventory_balances", "UPDATE")).await, "f");
    assert_eq!(restored.value(&may("named", "organizations", "UPDATE")).await, "t");
    // And what is granted afterwards stays as well.
    restored.execute(format!("GRANT ALL ON inventory_balances TO handed_{name}")).await;
    restored.run("migrate-balance").await.ok();
    restored.run("validate-migration").await.ok();
    assert_eq!(restored.value(&may("handed", "inventory_balances", "UPDATE")).await, "t");
}
