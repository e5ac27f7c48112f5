//! What each login reaches, by whatever way, and the statements that take just that: they are run as they are printed.

use super::{holes::failed, *};

/// Finds `check` of `object`, runs what mends it, and finds it no longer.
async fn mend(tenants: &Tenants, check: &str, object: &str, says: &str) {
    let report = tenants.find().await;
    let found = failed(&report);
    let hole = found.iter().find(|(name, of, _)| (*name, *of) == (check, object));
    let (.., hole) = hole.unwrap_or_else(|| panic!("no {check} of {object} ({says}): {found:#?}"));
    assert!(hole["evidence"].as_str().unwrap().replace("public.", "").contains(says), "{says}: {hole}");
    let remedy = hole["remedy"].as_str().unwrap().split("; or ").next().unwrap();
    tenants.db.execute(remedy).await;
    let report = tenants.find().await;
    let found = failed(&report);
    assert!(!found.iter().any(|(name, of, _)| (*name, *of) == (check, object)), "{remedy}: {found:#?}");
}

#[tokio::test]
async fn what_a_login_reaches_by_any_way_is_found_and_closed() {
    let _alone = ROLES.write().await;
    let tenants = Tenants::of(None).await;
    let (db, app, name) = (&tenants.db, &tenants.app, tenants.db.name());
    let shop = format!("shop_{name}");
    // As it is where an application had every right before it was isolated.
    db.execute(format!("CREATE ROLE {shop} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {shop}")).await;
    tenants.isolate().await;
    db.execute(format!("GRANT {app} TO {shop}")).await;
    let object = format!("role {shop}");
    mend(&tenants, "login", &object, "on organization_api_keys").await;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says(&format!("login {object}: reaches no more"));

    let group = format!("group_{name}");
    db.execute(format!("CREATE ROLE {group} NOINHERIT; CREATE ROLE between_{name}")).await;
    for (make, says) in [
        (format!("GRANT TRUNCATE ON inventory_ledger TO {shop}"), "TRUNCATE on inventory_ledger".to_owned()),
        (format!("GRANT UPDATE (qty_canonical) ON inventory_balances TO {shop}"), "UPDATE (qty_canonical) on inventory_balances".into()),
        (format!("GRANT INSERT ON stockfoil.run TO {group}; GRANT {group} TO {shop}"), format!("(as {group})")),
        // By two roles, the first of which inherits nothing.
        (format!("GRANT TRIGGER ON items TO between_{name}; GRANT between_{name} TO {group}"), "TRIGGER on items".into()),
        (format!("REVOKE {group} FROM {shop}; GRANT {group} TO {shop} WITH ADMIN OPTION; GRANT DELETE ON organizations TO {group}"), "DELETE on organizations".into()),
        (
            format!("GRANT TRUNCATE ON users TO {group} WITH GRANT OPTION; SET ROLE {group}; GRANT TRUNCATE ON users TO {shop}; RESET ROLE;
                     REVOKE GRANT OPTION FOR TRUNCATE ON users FROM between_{name}"),
            "TRUNCATE on users".into(),
        ),
        (format!("GRANT CREATE ON SCHEMA public TO {shop}"), "CREATE on public".into()),
        (format!("GRANT UPDATE ON SEQUENCE stockfoil.run_id_seq TO {shop}"), "UPDATE on stockfoil.run_id_seq".into()),
        (
            format!("CREATE SEQUENCE numbers OWNED BY items.item_number; GRANT ALL ON SEQUENCE numbers TO {shop}"),
            "UPDATE on numbers".into(),
        ),
        (format!("GRANT pg_write_all_data TO {shop}"), "pg_write_all_data".into()),
    ] {
        db.execute(&make).await;
        mend(&tenants, "login", &object, &says).await;
    }
    // A group that the application's role itself is in.
    db.execute(format!(
        "GRANT REFERENCES ON items TO {group}; GRANT {group} TO {app}; REVOKE {group} FROM {shop}"
    ))
    .await;
    mend(&tenants, "login", &format!("role {}", tenants.web()), "REFERENCES on items").await;
    // Nobody logs in as this one yet.
    db.execute(format!("CREATE ROLE anon_{name}; GRANT INSERT ON organization_api_keys TO anon_{name}"))
        .await;
    mend(&tenants, "login", &format!("role anon_{name}"), "if somebody logged in as it").await;

    for (make, says) in [
        (format!("ALTER ROLE {shop} REPLICATION"), "log of changes".to_owned()),
        (format!("ALTER ROLE {shop} CREATEROLE"), "may create roles".into()),
        (format!("GRANT pg_signal_backend TO {shop}"), "ends the sessions of others".into()),
        (format!("GRANT pg_execute_server_program TO {shop}"), "works as the server itself".into()),
        (format!("GRANT {} TO {shop}", tenants.ops), "bypasses row-level security".into()),
    ] {
        db.execute(&make).await;
        mend(&tenants, "application_login", &object, &says).await;
    }
    let report = tenants.find().await;
    assert_eq!(failed(&report), []);
}

#[tokio::test]
async fn default_privileges_for_tables_to_come_are_found_and_taken() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, superuser) = (&tenants.db, tenants.db.cluster().superuser());
    let web = tenants.web();
    for (make, object) in [
        (format!("IN SCHEMA public GRANT ALL ON TABLES TO {web}"), format!("for {web} in schema public")),
        ("GRANT SELECT ON TABLES TO PUBLIC".into(), "for everybody".into()),
        (format!("GRANT TRUNCATE ON TABLES TO {}", tenants.app), format!("for {}", tenants.app)),
    ] {
        db.execute(format!("ALTER DEFAULT PRIVILEGES {make}")).await;
        let object = format!("default privileges of {superuser} {object}");
        mend(&tenants, "default_privilege", &object, "on every table that is made").await;
    }
    db.execute(format!("ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO {}", tenants.app)).await;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says("isolate them before they have rows");
}

#[tokio::test]
async fn default_privileges_for_sequences_and_schemas_to_come_are_found_and_taken() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, superuser, web) = (&tenants.db, tenants.db.cluster().superuser(), tenants.web());
    for (make, object, says) in [
        (
            format!("IN SCHEMA public GRANT ALL ON SEQUENCES TO {web}"),
            format!("on sequences for {web} in schema public"),
            "give UPDATE on every sequence",
        ),
        (
            "GRANT UPDATE ON SEQUENCES TO PUBLIC".into(),
            "on sequences for everybody".into(),
            "give UPDATE on every sequence",
        ),
        (
            format!("GRANT ALL ON SCHEMAS TO {}", tenants.app),
            format!("on schemas for {}", tenants.app),
            "give CREATE in every schema",
        ),
    ] {
        db.execute(format!("ALTER DEFAULT PRIVILEGES {make}")).await;
        let object = format!("default privileges of {superuser} {object}");
        mend(&tenants, "default_privilege", &object, says).await;
    }
    // What is left of these, and what everybody has of functions and types, is no hole.
    db.execute(format!(
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {web}; ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO {web}"
    ))
    .await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test]
async fn a_shared_parent_that_takes_rows_of_every_organization_along_is_found_and_closed() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, app, web) = (&tenants.db, &tenants.app, tenants.web());
    db.execute(
        "CREATE TABLE groups (id text PRIMARY KEY, code text UNIQUE);
         CREATE TABLE categories (id text PRIMARY KEY, name text, code text UNIQUE REFERENCES groups (code) ON UPDATE CASCADE ON DELETE SET NULL,
                                  group_id text REFERENCES groups ON DELETE CASCADE)",
    )
    .await;
    let item = |action: &str| {
        format!("ALTER TABLE items ADD category text CONSTRAINT shared REFERENCES categories {action}; ")
    };
    let by_code = |action: &str| {
        format!(
            "ALTER TABLE items ADD category text CONSTRAINT shared REFERENCES categories (code) {action}; "
        )
    };
    for (make, says) in [
        (
            item("ON DELETE CASCADE") + &format!("GRANT DELETE ON categories TO {app}"),
            format!("{app} may DELETE categories"),
        ),
        (
            item("ON DELETE SET NULL") + &format!("GRANT DELETE ON categories TO {web}"),
            format!("{web} may DELETE categories"),
        ),
        (
            item("ON DELETE SET DEFAULT") + "GRANT DELETE ON categories TO PUBLIC",
            "everybody may DELETE categories".into(),
        ),
        (
            item("ON DELETE CASCADE") + &format!("GRANT DELETE ON groups TO {app}"),
            format!("{app} may DELETE groups"),
        ),
        (
            item("ON UPDATE CASCADE") + &format!("GRANT UPDATE ON categories TO {app}"),
            format!("{app} may UPDATE categories"),
        ),
        (
            item("ON UPDATE SET NULL") + &format!("GRANT UPDATE (id) ON categories TO {app}"),
            format!("{app} may UPDATE categories"),
        ),
        (
            by_code("ON UPDATE CASCADE") + &format!("GRANT UPDATE ON groups TO {app}"),
            format!("{app} may UPDATE groups"),
        ),
        (
            by_code("ON UPDATE CASCADE") + &format!("GRANT DELETE ON groups TO {app}"),
            format!("{app} may DELETE groups"),
        ),
        (
            item("ON DELETE CASCADE") + &format!("ALTER TABLE groups OWNER TO {web}"),
            format!("{web} may DELETE groups"),
        ),
    ] {
        db.execute(&make).await;
        if make.contains("OWNER TO") {
            let report = tenants.find().await;
            assert!(failed(&report).iter().any(|(name, ..)| *name == "shared_parent"), "{report}");
            db.execute("ALTER TABLE groups OWNER TO CURRENT_USER").await;
        } else {
            mend(&tenants, "shared_parent", "foreign key shared of items", &says).await;
        }
        db.execute("ALTER TABLE items DROP COLUMN category").await;
    }
    // Columns that no key of items holds on to are no way.
    db.execute(
        item("ON UPDATE CASCADE ON DELETE CASCADE") + &format!("GRANT UPDATE (name) ON categories TO {app}"),
    )
    .await;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says("nobody of the application may set it off");

    // What it is about.
    db.execute(format!(
        "GRANT DELETE ON categories TO {app}; INSERT INTO categories (id) VALUES ('c');
         INSERT INTO items (id, item_number, name, org_id, category) VALUES ('ia', 'A', 'A', '{a}', 'c'), ('ib', 'B', 'B', '{b}', 'c')",
        a = tenants.a,
        b = tenants.b
    ))
    .await;
    db.execute(format!("SET ROLE {web}; SET app.org_id = '{}'; DELETE FROM categories", tenants.a)).await;
    assert_eq!(db.value("SELECT count(*) FROM items").await, "0");
}

#[tokio::test]
async fn who_reads_everything_or_owns_what_is_stockfoils_is_found_and_closed() {
    let _alone = ROLES.write().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, app, name) = (&tenants.db, &tenants.app, tenants.db.name());
    let (shop, bare) = (format!("Shop-App {name}"), format!("bare_{name}"));
    db.execute(format!(
        "CREATE ROLE \"{shop}\" LOGIN IN ROLE {app}; CREATE ROLE {bare} LOGIN NOINHERIT; GRANT {app} TO {bare}"
    ))
    .await;
    for (role, check, make, says) in [
        (app, "login", format!("GRANT pg_read_all_data TO {app}"), "pg_read_all_data"),
        (&bare, "login", format!("GRANT pg_read_all_data TO {bare}"), "pg_read_all_data"),
        (&shop, "login", format!("GRANT pg_read_all_data TO \"{shop}\""), "pg_read_all_data"),
        (&shop, "login", format!("GRANT pg_write_all_data TO \"{shop}\""), "pg_write_all_data"),
        (
            &bare,
            "application_login",
            format!("GRANT pg_read_server_files TO {bare}"),
            "works as the server itself",
        ),
        (
            &shop,
            "application_login",
            format!("ALTER SCHEMA stockfoil OWNER TO \"{shop}\""),
            "owns schema stockfoil",
        ),
        (
            &bare,
            "application_login",
            format!("ALTER FUNCTION stockfoil.set_org(text) OWNER TO {bare}"),
            "owns routine stockfoil.set_org",
        ),
        (
            &shop,
            "application_login",
            format!("ALTER TABLE stockfoil.run OWNER TO \"{shop}\""),
            "owns table stockfoil.run",
        ),
        (app, "role", format!("ALTER SCHEMA stockfoil OWNER TO {app}"), "owns schema stockfoil"),
    ] {
        db.execute(&make).await;
        if check == "role" {
            let report = tenants.find().await;
            let found = failed(&report);
            let is_found =
                found.iter().any(|(name, _, hole)| *name == check && hole.to_string().contains(says));
            assert!(is_found, "{make}: {found:#?}");
            db.execute("ALTER SCHEMA stockfoil OWNER TO CURRENT_USER").await;
        } else {
            mend(&tenants, check, &format!("role {role}"), says).await;
        }
        // What is said of a backup's login would open everything to one of the application's.
        let report = tenants.find().await;
        assert_eq!(failed(&report), [], "{make}");
    }
}

#[tokio::test]
async fn who_only_administers_the_applications_role_is_none_of_its_logins() {
    let _alone = ROLES.write().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, name) = (&tenants.db, tenants.db.name());
    // As isolation itself asks of an operator who is no superuser.
    db.execute(format!(
        "CREATE ROLE dbo_{name} LOGIN CREATEROLE BYPASSRLS; GRANT {} TO dbo_{name}",
        tenants.ops
    ))
    .await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
    db.execute(format!("GRANT {} TO dbo_{name}", tenants.app)).await;
    tenants
        .run("validate-migration")
        .arg("--isolation")
        .await
        .status(1)
        .says(&format!("application login role dbo_{name}"));
    db.execute(format!("DROP ROLE dbo_{name}")).await;
}
