//! Ways past the policies that no right on a guarded table is needed for, by whomever the application can be: what mends
//! each is run as it is printed, and so is each other statement that would.

use super::*;

/// A way: how it is found, what makes it, and what takes away what is left of it.
struct Way {
    check: &'static str,
    object: String,
    says: String,
    make: String,
    undo: String,
}

fn way(check: &'static str, object: &str, says: &str, make: String, undo: &str) -> Way {
    Way { check, object: object.into(), says: says.into(), make, undo: undo.into() }
}

/// Makes each way, finds it, and finds it no longer after each of the remedies that it is printed with.
async fn find_and_close(tenants: &Tenants, ways: Vec<Way>) {
    let db = &tenants.db;
    for Way { check, object, says, make, undo } in ways {
        let (mut done, mut remedies) = (0, 1);
        while done < remedies {
            db.execute(&make).await;
            let report = tenants.find().await;
            let found = failed(&report);
            let is_it = |(name, of, _): &&(&str, &str, &Value)| (*name, *of) == (check, &*object);
            let Some((.., hole)) = found.iter().find(is_it) else {
                panic!("{make}\nis not found as {check} {object}: {found:#?}")
            };
            assert!(text(hole, "evidence").replace("public.", "").contains(&says), "{says}: {hole}");
            let printed: Vec<&str> = text(hole, "remedy").split("; or ").collect();
            remedies = printed.len();
            let remedy = printed[done];
            db.execute(remedy).await;
            let report = tenants.find().await;
            assert_eq!(failed(&report), [], "{make}\n{remedy}");
            db.execute(&undo).await;
            done += 1;
        }
    }
}

/// Whom the application can be: `web` itself, and a group of a group of it.
async fn groups(tenants: &Tenants) -> (String, String) {
    let (web, name) = (tenants.web(), tenants.db.name());
    let group = format!("group_{name}");
    let make = format!(
        "CREATE ROLE {group}; CREATE ROLE between_{name} NOINHERIT IN ROLE {group}; GRANT between_{name} TO {web}"
    );
    tenants.db.execute(make).await;
    (web, group)
}

#[tokio::test]
async fn what_the_applications_logins_and_groups_were_granted_is_found_and_closed() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (web, group) = groups(&tenants).await;
    let by_group = format!("{web} as {group} may");
    let count = "CREATE FUNCTION count_all() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM items';
                 REVOKE ALL ON FUNCTION count_all() FROM PUBLIC;";
    let view = "CREATE MATERIALIZED VIEW m AS SELECT * FROM items;";
    let photos = "CREATE TABLE photos (id int, item_id text, FOREIGN KEY (item_id) REFERENCES items (id));";
    let (function, gone) = ("function count_all()", "DROP FUNCTION count_all()");
    let (matview, no_view) = ("materialized view m", "DROP MATERIALIZED VIEW m");
    let execute = |whom: &str| format!("{count} GRANT EXECUTE ON FUNCTION count_all() TO {whom}");
    let passed_on = format!(
        "GRANT SELECT ON m TO passer_{name} WITH GRANT OPTION; SET ROLE passer_{name}; GRANT SELECT ON m TO {web}; RESET ROLE",
        name = tenants.db.name()
    );
    let passer = format!("CREATE ROLE passer_{}", tenants.db.name());
    tenants.db.execute(passer).await;
    find_and_close(
        &tenants,
        vec![
            way("definer_function", function, "everybody may execute it", execute("PUBLIC"), gone),
            way("definer_function", function, &format!("{web} may execute it"), execute(&web), gone),
            way("definer_function", function, &format!("{by_group} execute it"), execute(&group), gone),
            way(
                "view",
                matview,
                &format!("{web} may read it"),
                format!("{view} GRANT SELECT ON m TO {web}"),
                no_view,
            ),
            way(
                "view",
                matview,
                &format!("{by_group} read it"),
                format!("{view} GRANT SELECT (id) ON m TO {group}"),
                no_view,
            ),
            way("view", matview, &format!("{web} may read it"), format!("{view} {passed_on}"), no_view),
        ],
    )
    .await;
    for whom in [&web, &group] {
        tenants.db.execute(format!("{photos} GRANT UPDATE (item_id) ON photos TO {whom}")).await;
        let report = tenants.find().await;
        let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
        assert_eq!(found, [("unguarded_table", "table photos")]);
        tenants.db.execute("DROP TABLE photos").await;
    }
    // What a login that is none of the application's may do says nothing of the application.
    let stranger = format!("stranger_{}", tenants.db.name());
    tenants.db.execute(format!("CREATE ROLE {stranger}; {view} GRANT SELECT ON m TO {stranger}")).await;
    tenants.db.execute(execute(&stranger)).await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test]
async fn what_runs_as_its_owner_without_being_executed_is_found_and_closed() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (web, group) = groups(&tenants).await;
    let tables = "CREATE TABLE wishes (id int PRIMARY KEY, n bigint); CREATE TABLE granted_wishes (id int REFERENCES wishes ON DELETE CASCADE);
                  CREATE FUNCTION spy() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; REVOKE ALL ON FUNCTION spy() FROM PUBLIC;";
    let undo = "DROP TABLE wishes, granted_wishes CASCADE; DROP FUNCTION spy()";
    let on = |events: &str, table: &str| {
        format!(
            "{tables} CREATE TRIGGER spies AFTER {events} ON {table} FOR EACH ROW EXECUTE FUNCTION spy();"
        )
    };
    let view = "CREATE VIEW v WITH (security_invoker) AS SELECT 1 AS id;";
    let instead = format!(
        "{tables} {view} GRANT DELETE ON v TO {web}; CREATE TRIGGER spies INSTEAD OF DELETE ON v FOR EACH ROW EXECUTE FUNCTION spy()"
    );
    let over = format!("CREATE VIEW v AS SELECT * FROM wishes; GRANT INSERT ON v TO {web}");
    let (check, object, wishes) = ("definer_function", "function spy()", "a trigger of wishes calls it");
    let sum = "CREATE FUNCTION add(int, text) RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*)::int FROM items';
               REVOKE ALL ON FUNCTION add(int, text) FROM PUBLIC; CREATE AGGREGATE counts(text) (sfunc = add, stype = int)";
    let rule = "CREATE RULE leads AS ON INSERT TO wishes DO ALSO DELETE FROM feature_flags;";
    find_and_close(
        &tenants,
        vec![
            way(check, object, wishes, on("DELETE", "wishes") + &format!("GRANT DELETE ON wishes TO {}", tenants.app), undo),
            way(check, object, wishes, on("INSERT", "wishes") + &format!("GRANT INSERT (n) ON wishes TO {group}"), undo),
            way(check, object, wishes, on("UPDATE", "wishes") + "GRANT UPDATE ON wishes TO PUBLIC", undo),
            way(check, object, wishes, on("INSERT", "wishes") + &over, undo),
            way(
                check,
                object,
                "a trigger of granted_wishes calls it",
                on("DELETE", "granted_wishes") + &format!("GRANT DELETE ON wishes TO {web}"),
                undo,
            ),
            way(check, object, "a trigger of v calls it", instead, &format!("DROP VIEW v; {undo}")),
            way(
                check,
                "function spies()",
                "event trigger e calls it",
                "CREATE FUNCTION spies() RETURNS event_trigger SECURITY DEFINER LANGUAGE plpgsql AS 'BEGIN END'; REVOKE ALL ON FUNCTION spies() FROM PUBLIC;
                 CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE SERVER') EXECUTE FUNCTION spies()"
                    .into(),
                "DROP FUNCTION spies() CASCADE",
            ),
            way(
                check,
                "function add(integer,text)",
                "aggregate counts(text), which everybody may execute",
                sum.into(),
                "DROP FUNCTION add(int, text) CASCADE",
            ),
        ],
    )
    .await;
    tenants.db.execute(format!("{tables} {rule} GRANT INSERT ON wishes TO {web}")).await;
    let report = tenants.find().await;
    let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
    assert_eq!(found, [("rule", "rule leads of wishes")]);
    tenants.db.execute(format!("REVOKE ALL ON wishes FROM {web}")).await;
    // Nobody of the application sets one of these off.
    tenants
        .db
        .execute("CREATE TRIGGER spies AFTER INSERT ON wishes FOR EACH ROW EXECUTE FUNCTION spy()")
        .await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test]
async fn what_the_server_lets_the_application_do_is_found_and_closed() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (web, group) = groups(&tenants).await;
    let (app, name) = (&tenants.app, tenants.db.name());
    let past = "session_replication_role";
    let replica = "asked by no trigger and by no foreign key";
    let parameter = format!("parameter {past}");
    find_and_close(
        &tenants,
        vec![
            way(
                "parameter",
                &parameter,
                &format!("{web} may SET it"),
                format!("GRANT SET ON PARAMETER {past} TO {web}"),
                "",
            ),
            way(
                "parameter",
                &parameter,
                &format!("as {group} may SET it"),
                format!("GRANT SET ON PARAMETER {past} TO {group}"),
                "",
            ),
            way(
                "parameter",
                "parameter work_mem",
                "it is the server's",
                format!("GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO {app}"),
                &format!("REVOKE ALL ON PARAMETER work_mem FROM {app}"),
            ),
            way(
                "setting",
                &format!("setting {past} of role {web}"),
                replica,
                format!("ALTER ROLE {web} SET {past} = replica"),
                "",
            ),
            way(
                "setting",
                &format!("setting {past} of role {web} database {name}"),
                replica,
                format!("ALTER ROLE {web} IN DATABASE {name} SET {past} = replica"),
                "",
            ),
            way(
                "setting",
                &format!("setting {past} of database {name}"),
                replica,
                format!("ALTER DATABASE {name} SET {past} = replica"),
                "",
            ),
            way(
                "foreign_server",
                "server elsewhere",
                &format!("{web} may use it, and whom it is used as is kept here for everybody"),
                format!(
                    "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
                     CREATE USER MAPPING FOR PUBLIC SERVER elsewhere; GRANT USAGE ON FOREIGN SERVER elsewhere TO {web}"
                ),
                "DROP FOREIGN DATA WRAPPER nothing CASCADE",
            ),
            way(
                "server_function",
                "function pg_read_file(text)",
                &format!("as PostgreSQL made it; {web} may execute it"),
                format!("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {web}"),
                "",
            ),
            way(
                "server_function",
                "function lo_export(oid,text)",
                "everybody may execute it",
                "GRANT EXECUTE ON FUNCTION lo_export(oid, text) TO PUBLIC".into(),
                "",
            ),
            way(
                "server_function",
                "function pg_ls_dir(text)",
                &format!("as {group} may execute it"),
                format!("GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO {group}"),
                "",
            ),
        ],
    )
    .await;
    // What takes nothing away, and what is for others.
    tenants
        .db
        .execute(format!(
            "GRANT SET ON PARAMETER log_min_duration_statement TO {web}; ALTER ROLE {web} SET {past} = origin; CREATE ROLE loader_{name};
             GRANT SET ON PARAMETER {past} TO loader_{name}; ALTER ROLE loader_{name} SET {past} = replica; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO loader_{name}"
        ))
        .await;
    tenants.run("validate-migration").arg("--isolation").await.ok();
    tenants.db.execute(format!("REVOKE ALL ON PARAMETER log_min_duration_statement FROM {web}; REVOKE ALL ON PARAMETER {past} FROM loader_{name}")).await;
}

#[tokio::test]
async fn keys_between_organizations_that_are_not_asked_are_found_and_closed() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    let db = &tenants.db;
    tenants.run("validate-migration").await.ok();
    let key = "foreign key count_lines_org_id_item_id_fkey of count_lines";
    let definition = "FOREIGN KEY (org_id, item_id) REFERENCES items (org_id, id) DEFERRABLE";
    let add = format!(
        "ALTER TABLE count_lines DROP CONSTRAINT count_lines_org_id_item_id_fkey, ADD CONSTRAINT count_lines_org_id_item_id_fkey {definition}"
    );
    let one = |table: &str, how: &str, of: &str| {
        format!("DO $$ DECLARE t text; BEGIN
                   FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgconstraint = (SELECT oid FROM pg_constraint WHERE conname = '{of}')
                   LOOP EXECUTE format('ALTER TABLE {table} {how} TRIGGER %I', t); END LOOP; END $$")
    };
    let own = "count_lines_org_id_item_id_fkey";
    let ways = vec![
        way("foreign_key", key, "triggers on count_lines", one("count_lines", "DISABLE", own), ""),
        way("foreign_key", key, "triggers on items", one("items", "ENABLE REPLICA", own), ""),
        way("foreign_key", key, "NOT VALID", format!("{add} NOT VALID"), ""),
        way(
            "foreign_key",
            "foreign key items_org_id_fkey of items",
            "triggers on organizations",
            one("organizations", "DISABLE", "items_org_id_fkey"),
            "",
        ),
    ];
    find_and_close(&tenants, ways).await;

    // The same where nothing but the migration is asked for.
    for (make, says) in [
        (one("count_lines", "DISABLE", own), format!("{key}: is not asked")),
        (format!("{add} NOT VALID"), format!("{key}: is NOT VALID")),
        (
            "ALTER TABLE items DISABLE TRIGGER ALL".into(),
            "foreign key items: items_org_id_fkey is not asked".into(),
        ),
        (
            one("organizations", "DISABLE", "items_org_id_fkey"),
            "foreign key items: items_org_id_fkey is not asked: its triggers are disabled".into(),
        ),
    ] {
        db.execute(&make).await;
        tenants.run("validate-migration").await.status(1).says(&says);
        for table in ["count_lines", "items", "organizations"] {
            db.execute(format!("ALTER TABLE {table} ENABLE TRIGGER ALL")).await;
        }
        db.execute(&add).await;
        tenants.run("validate-migration").await.ok();
    }
}
