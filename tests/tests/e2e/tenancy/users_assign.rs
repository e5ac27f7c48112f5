mod conflicts;
mod file;
mod origins;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::{Binary, TestDb};

use super::{everything, two_organizations};

/// Users by address, each with the id `u1`, `u2` and so on, in the default organization.
async fn with_users(emails: &[&str]) -> TestDb {
    let db = two_organizations().await;
    for (n, email) in emails.iter().enumerate() {
        let email = email.replace('\'', "''");
        db.execute(format!(
            "INSERT INTO users (id, email, name, org_id) VALUES ('u{}', '{email}', 'U', 'default')",
            n + 1
        ))
        .await;
    }
    db
}

/// Who is in `org`, by id.
async fn members(db: &TestDb, org: &str) -> Vec<String> {
    let rows =
        db.rows(format!("SELECT id FROM users WHERE org_id = '{org}' ORDER BY id COLLATE \"C\"")).await;
    rows.into_iter().flatten().collect()
}

/// Returns when a session of `db` waits for a lock, or `run` is over.
async fn until_blocked<T>(db: &TestDb, run: &tokio::task::JoinHandle<T>) {
    let blocked = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0";
    while !run.is_finished() && db.value(blocked).await == "0" {}
}

fn moved(report: &Value) -> Vec<&str> {
    report["users"].as_array().unwrap().iter().map(|user| user["user_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn users_move_by_id() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example"]).await;
    let args =
        ["--org-id", "acme", "--user-id", "u3", "--user-id", "u1", "--user-id", "u1", "--format", "json"];
    let report = db.run("users-assign").args(args).await.ok().json();
    let run: i64 = db.value("SELECT max(id) FROM stockfoil.run").await.parse().unwrap();
    assert_eq!(
        report,
        json!({ "schema": "stockfoil.users-assign/1", "outcome": "clean", "org_id": "acme", "dry_run": false,
                "run_id": run, "applied": true, "stopped": null,
                "organizations": [{ "org_id": "acme", "before": 0, "after": 2 }, { "org_id": "default", "before": 3, "after": 1 }],
                "users": [{ "user_id": "u1", "email": "a@x.example", "from": "default" },
                          { "user_id": "u3", "email": "c@x.example", "from": "default" }],
                "already_there": 0, "left": [], "conflicts": [], "warnings": [] })
    );
    assert_eq!(members(&db, "acme").await, ["u1", "u3"]);

    let again = db.run("users-assign").args(args).await.ok().json();
    assert_eq!((&again["applied"], &again["already_there"]), (&json!(false), &json!(2)));
    db.run("users-assign")
        .args(["--org-id", "acme", "--user-id", "u1"])
        .await
        .ok()
        .says("1 user already there");
}

#[tokio::test]
async fn a_run_is_recorded_and_put_back() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example"]).await;
    db.execute("UPDATE users SET org_id = 'globex' WHERE id = 'u2'").await;
    let json = |args: &[&str], status| {
        let run = db.run("users-assign").args(["--format", "json"]).args(args);
        async move { run.await.status(status).json() }
    };
    let all = ["--org-id", "acme", "--email-pattern", "@x.example", "--from", "default", "--from", "globex"];
    let dry = json(&[&all[..], &["--dry-run"]].concat(), 0).await;
    assert_eq!(
        (&dry["run_id"], db.value("SELECT count(*) FROM stockfoil.move").await.as_str()),
        (&Value::Null, "0")
    );
    let report = json(&all, 0).await;
    let counts = json!([{ "org_id": "acme", "before": 0, "after": 3 }, { "org_id": "default", "before": 2, "after": 0 }, { "org_id": "globex", "before": 1, "after": 0 }]);
    assert_eq!((&dry["organizations"], &report["organizations"]), (&counts, &counts));
    let run = report["run_id"].to_string();
    let recorded = db
        .rows("SELECT run_id, table_name, from_org, to_org, keys FROM stockfoil.move ORDER BY from_org")
        .await;
    assert_eq!(
        recorded,
        [[&run, "users", "default", "acme", "{u1,u3}"], [&run, "users", "globex", "acme", "{u2}"]]
    );
    let record = "SELECT concat_ws(' ', command, outcome, summary ->> 'users', finished_at IS NOT NULL) FROM stockfoil.run ORDER BY id DESC LIMIT 1";
    assert_eq!(db.value(record).await, "users-assign clean 3 t");

    // u1's address is taken where it was; u3 has moved on.
    db.execute("INSERT INTO users (id, email, name) VALUES ('new', 'a@x.example', 'A'); UPDATE users SET org_id = 'globex' WHERE id = 'u3'").await;
    let before = everything(&db).await;
    let undo = ["--undo", &run];
    for more in [&["--dry-run"][..], &[]] {
        let stopped = json(&[&undo[..], more].concat(), 1).await;
        assert_eq!(stopped["conflicts"][0]["other_key"], "new", "{stopped}");
        assert_eq!(stopped["elsewhere"], json!([{ "table": "users", "key": "u3", "org_id": "globex" }]));
    }
    assert_eq!(everything(&db).await, before);
    db.execute("UPDATE users SET email = 'new@x.example' WHERE id = 'new'").await;
    json(&[&undo[..], &["--expect", "3"]].concat(), 1).await;
    let undone = json(&[&undo[..], &["--expect", "2"]].concat(), 1).await;
    assert_eq!((&undone["rows"], &undone["elsewhere"][0]["key"]), (&json!(2), &json!("u3")));
    assert_eq!(members(&db, "default").await, ["new", "u1"]);
    assert_eq!(members(&db, "globex").await, ["u2", "u3"]);
    db.run("users-assign").args(undo).await.refuses(2, &format!("run {run} was put back already"));
    db.run("users-assign").args(["--undo", "9999"]).await.refuses(2, "there is no run 9999");
    db.run("users-assign").args(undo).args(["--org-id", "acme"]).await.refuses(2, "exclude each other");
    db.run("data-assign").args(undo).await.refuses(2, "is one of users-assign; undo it by that command");
}

#[tokio::test]
async fn an_unknown_user_is_named_and_nobody_moves() {
    let db = with_users(&["a@x.example"]).await;
    let before = everything(&db).await;
    let args = ["--org-id", "acme", "--user-id", "u1", "--user-id", "nobody", "--user-id", "it's"];
    db.run("users-assign")
        .args(args)
        .await
        .refuses(2, "there is no user \"it's\", \"nobody\"; nothing was changed");
    db.run("users-assign").args(args).arg("--dry-run").await.refuses(2, "there is no user");
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn a_domain_takes_its_people_and_nobody_else() {
    let db = with_users(&[
        "plain@my_corp.com",
        "MixedCase@My_Corp.COM",
        "plus+tag@my_corp.com",
        "x@myXcorp.com",
        "x@notmy_corp.com",
        "x@sub.my_corp.com",
        "x@my_corp.com.evil.example",
        "my_corp.com",
    ])
    .await;
    let run = |more: &'static str| {
        let args = ["--org-id", "acme", "--email-pattern", "@my_corp.com", "--format", "json"];
        db.run("users-assign").args(args).args(Some(more).filter(|more| !more.is_empty()))
    };
    let dry = run("--dry-run").await.ok().json();
    assert_eq!(moved(&dry), ["u1", "u2", "u3"]);
    assert_eq!((&dry["applied"], members(&db, "acme").await.len()), (&json!(false), 0));
    let real = run("").await.ok().json();
    assert_eq!(real["users"], dry["users"]);
    assert_eq!(members(&db, "acme").await, ["u1", "u2", "u3"]);
}

#[tokio::test]
async fn case_and_normal_form_do_not_matter() {
    let decomposed = "Jose\u{301}@Mu\u{308}LLER.example";
    let db = with_users(&["josé@müller.example", decomposed, "jose@muller.example"]).await;
    db.run("users-assign").args(["--org-id", "acme", "--email-pattern", "JOSÉ@Müller.example"]).await.ok();
    assert_eq!(members(&db, "acme").await, ["u1", "u2"]);
    let args = ["--org-id", "globex", "--from", "acme", "--email-pattern", "@mu\u{308}ller.EXAMPLE"];
    db.run("users-assign").args(args).await.ok();
    assert_eq!(members(&db, "globex").await, ["u1", "u2"]);
}

#[tokio::test]
async fn nor_do_they_where_the_server_itself_folds_only_ascii() {
    let admin = TestDb::empty().await;
    let name = format!("{}_c", admin.name());
    admin.execute(format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C'")).await;
    let url = admin.cluster().url(&name);
    for (binary, args) in [("db-migrate", &[][..]), ("migrate-org", &["--yes"])] {
        Binary::new(binary).env("DATABASE_URL", &url).args(args).await.ok();
    }
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let folds: bool =
        sqlx::query_scalar("SELECT lower('É') <> 'É'").fetch_one(&mut connection).await.unwrap();
    assert!(!folds);
    sqlx::raw_sql(
        "INSERT INTO organizations (id, name) VALUES ('acme', 'Acme');
         INSERT INTO users (id, email, name) VALUES ('u1', 'josé@x.example', 'J'), ('u2', 'jose@x.example', 'J')",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let args = ["--org-id", "acme", "--email-pattern", "JOSE\u{301}@X.example", "--format", "json"];
    let report = Binary::new("users-assign").env("DATABASE_URL", &url).args(args).await.ok().json();
    assert_eq!(moved(&report), ["u1"]);
}

#[tokio::test]
async fn only_the_star_is_a_wildcard() {
    let db = with_users(&[
        "a_b%@x.example",
        "aXbYY@x.example",
        "ab@x.example",
        "a.b@x.example",
        "'; --@x.example",
    ])
    .await;
    for (pattern, ids) in [
        ("a_b%@x.example", vec!["u1"]),
        ("a*b*@x.example", vec!["u1", "u2", "u3", "u4"]),
        ("a.b@*", vec!["u4"]),
        ("b@x.example", vec![]),
        ("*", vec!["u1", "u2", "u3", "u4", "u5"]),
        ("@*.example", vec!["u1", "u2", "u3", "u4", "u5"]),
    ] {
        let args = ["--org-id", "acme", "--email-pattern", pattern, "--dry-run", "--format", "json"];
        assert_eq!(moved(&db.run("users-assign").args(args).await.ok().json()), ids, "{pattern}");
    }
    let none = db.run("users-assign").args(["--org-id", "acme", "--email-pattern", "b@x.example"]).await.ok();
    none.says("no user to move to acme");
}

#[tokio::test]
async fn all_takes_those_of_the_default_organization_and_of_none() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example", "d@x.example"]).await;
    db.execute(
        "ALTER TABLE users ALTER org_id DROP NOT NULL; UPDATE users SET org_id = NULL WHERE id = 'u2';
         UPDATE users SET org_id = 'globex' WHERE id = 'u3'",
    )
    .await;
    let run = db.run("users-assign").args(["--org-id", "acme", "--all"]).await.ok();
    run.says("3 users moved to acme: 2 from default, 1 from no organization");
    assert_eq!(members(&db, "acme").await, ["u1", "u2", "u4"]);
    assert_eq!(members(&db, "globex").await, ["u3"]);
}

#[tokio::test]
async fn the_configured_default_organization_is_meant() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    db.execute("UPDATE users SET org_id = 'globex' WHERE id = 'u2'").await;
    db.run("migrate-org")
        .arg("--contract")
        .args(["--accept", "default-organization"])
        .env("DEFAULT_ORG_ID", "globex")
        .await
        .ok();
    db.run("users-assign").args(["--org-id", "acme", "--all"]).env("DEFAULT_ORG_ID", "globex").await.ok();
    assert_eq!(members(&db, "acme").await, ["u2"]);
}

#[tokio::test]
async fn expect_stops_when_the_count_has_drifted() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    let run = |n: &'static str| {
        db.run("users-assign").args(["--org-id", "acme", "--email-pattern", "@x.example", "--expect", n])
    };
    run("2").arg("--dry-run").await.ok().says("2 users would move to acme");
    db.execute("INSERT INTO users (id, email, name) VALUES ('u3', 'c@X.example', 'C')").await;
    let before = everything(&db).await;
    let stopped = run("2").await.status(1).says("3 users would move").says("nothing was changed");
    stopped.says("c@X.example").tells("warning: --expect says 2, but 3 would move");
    let report = run("2").args(["--format", "json"]).await.status(1).json();
    assert_eq!((&report["outcome"], &report["applied"]), (&json!("findings"), &json!(false)));
    assert_eq!(everything(&db).await, before);
    run("3").await.ok().says("3 users moved to acme: 3 from default");
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused() {
    let db = with_users(&["a@x.example"]).await;
    let before = everything(&db).await;
    let exactly_one = "exactly one of --user-id (repeatable), --email-pattern and --all";
    for (args, part) in [
        (&["--org-id", "acme"][..], exactly_one),
        (&["--org-id", "acme", "--all", "--user-id", "u1"], exactly_one),
        (&["--org-id", "acme", "--all", "--email-pattern", "@x.example"], exactly_one),
        (&["--org-id", "acme", "--user-id", "u1", "--email-pattern", "@x.example"], exactly_one),
        (&["--org-id", "acme", "--email-pattern", ""], "the email pattern is empty"),
        (&["--org-id", "acme", "--email-pattern", "@"], "names no domain"),
        (&["--org-id", "acme", "--email-pattern", "@a@b"], "begins with '@' and holds another one"),
        (&["--org-id", "acme", "--all", "--expect", "-1"], "--expect"),
        (&["--org-id", "acme", "--all", "--expect", "many"], "--expect"),
        (&["--org-id", "no such org", "--all"], "can't be an organization's id or subdomain"),
        (
            &["--org-id", "nowhere", "--all"],
            "there is no organization with the id or subdomain \"nowhere\"; org-list shows",
        ),
        (&["--org-id", "nowhere", "--all", "--dry-run"], "there is no organization"),
        (&["--all"], "--org-id"),
    ] {
        db.run("users-assign").args(args).await.refuses(2, part);
    }
    assert_eq!(everything(&db).await, before);
}

#[tokio::test]
async fn an_inactive_organization_is_warned_of() {
    let db = with_users(&["a@x.example"]).await;
    db.execute("UPDATE organizations SET is_active = false WHERE id = 'acme'").await;
    db.run("users-assign")
        .args(["--org-id", "acme", "--all"])
        .await
        .ok()
        .tells("organization acme is inactive");
    assert_eq!(members(&db, "acme").await, ["u1"]);
}

#[tokio::test]
async fn a_person_sees_twenty_and_a_script_all() {
    let db = two_organizations().await;
    db.execute("INSERT INTO users (id, email, name) SELECT 'u' || n, 'u' || n || '@x.example', 'U' FROM generate_series(1, 5000) n").await;
    let run = |format| db.run("users-assign").args(["--org-id", "acme", "--all", "--format", format]);
    let page =
        run("human").arg("--dry-run").await.ok().says("... and 4980 more; --format json lists them all");
    assert_eq!(page.stdout.matches("@x.example").count(), 20, "{}", page.stdout);
    assert_eq!(moved(&run("json").await.ok().json()).len(), 5000);
    assert_eq!(db.value("SELECT count(*) FROM users WHERE org_id = 'acme'").await, "5000");
}

/// Whose each item and user is.
async fn owners(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT 'item', id, org_id FROM items UNION ALL SELECT 'user', id, org_id FROM users ORDER BY 1, 2",
    )
    .await
}

#[tokio::test]
async fn a_move_takes_no_row_along() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id) SELECT 'i' || n, 'I' || n, 'I', 'default' FROM generate_series(1, 3) AS n;
         CREATE TABLE notes (id int PRIMARY KEY, org_id text); INSERT INTO notes VALUES (1, 'default');
         CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE items SET org_id = NEW.org_id WHERE id = 'i1'; RETURN NULL; END $$;
         CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE users SET org_id = NEW.org_id WHERE id = 'u2'; RETURN NULL; END $$;
         CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM notes; RETURN NULL; END $$;
         CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             UPDATE items SET org_id = CASE org_id WHEN 'acme' THEN 'default' ELSE 'acme' END WHERE id IN ('i1', 'i2'); RETURN NULL; END $$;
         UPDATE items SET org_id = 'acme' WHERE id = 'i2'",
    )
    .await;
    let args = ["--org-id", "acme", "--user-id", "u1"];
    for (make, undo, table) in [
        ("CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION along()", "DROP TRIGGER t ON users", "items"),
        ("CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION other()", "DROP TRIGGER t ON users", "users"),
        (
            "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION along()",
            "DROP TRIGGER t ON users",
            "items",
        ),
        ("CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION gone()", "DROP TRIGGER t ON users", "notes"),
        ("CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION swap()", "DROP TRIGGER t ON users", "items"),
        ("CREATE RULE r AS ON UPDATE TO users DO ALSO UPDATE items SET org_id = NEW.org_id WHERE id = 'i1'", "DROP RULE r ON users", "items"),
        (
            "ALTER TABLE users ADD UNIQUE (id, org_id); ALTER TABLE notes ADD COLUMN by text;
             UPDATE notes SET by = 'u1'; ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (by, org_id) REFERENCES users (id, org_id) ON UPDATE CASCADE",
            "ALTER TABLE notes DROP COLUMN by",
            "1 rows of notes (foreign key n)",
        ),
    ] {
        db.execute(make).await;
        let before = owners(&db).await;
        db.run("users-assign").args(args).await.refuses(3, table);
        assert_eq!(owners(&db).await, before, "{make}");
        assert_eq!(db.value("SELECT count(*) || ' ' || min(org_id) FROM notes").await, "1 default", "{make}");
        db.execute(undo).await;
    }
    // What changes rows and leaves them whose they are is in nobody's way.
    db.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE items SET name = 'touched'; RETURN NULL; END $$;
         CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
    )
    .await;
    let report = db.run("users-assign").args(args).args(["--format", "json"]).await.ok().json();
    assert_eq!(members(&db, "acme").await, ["u1"]);
    // Going back is a move as well.
    db.execute("CREATE TRIGGER back AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION along()").await;
    let undo = ["--undo", &report["run_id"].to_string()];
    let before = owners(&db).await;
    db.execute("UPDATE items SET org_id = 'globex' WHERE id = 'i1'").await;
    db.run("users-assign").args(undo).await.refuses(3, "took them along");
    db.execute("UPDATE items SET org_id = 'default' WHERE id = 'i1'; DROP TRIGGER back ON users").await;
    assert_eq!(owners(&db).await, before);
    db.run("users-assign").args(undo).await.ok();
    assert_eq!(members(&db, "acme").await, [""; 0]);
}

#[tokio::test]
async fn a_move_of_people_takes_no_balance_along() {
    let db = with_users(&["a@x.example"]).await;
    db.run("migrate-balance").await.ok();
    db.run("backfill-balances").await.ok();
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id) VALUES ('i', 'I', 'I', 'default');
         INSERT INTO locations (id, site, name, org_id) VALUES ('l', 'S', 'L', 'default');
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id) VALUES ('e', 'i', 'l', 5, 'default');
         CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE inventory_balances SET org_id = NEW.org_id; RETURN NULL; END $$;
         CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION along()",
    )
    .await;
    let args = ["--org-id", "acme", "--user-id", "u1"];
    db.run("users-assign").args(args).await.refuses(3, "inventory_balances");
    assert_eq!(db.value("SELECT string_agg(org_id, ',') FROM inventory_balances").await, "default");
    assert_eq!(members(&db, "acme").await, [""; 0]);
    // Balances that stay whose they are are in nobody's way, whatever else of them is written.
    db.execute(
        "CREATE OR REPLACE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE inventory_balances SET last_updated = now(); RETURN NULL; END $$",
    )
    .await;
    db.run("users-assign").args(args).await.ok();
    assert_eq!(members(&db, "acme").await, ["u1"]);
}

#[tokio::test]
async fn people_are_told_apart_by_their_primary_key() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example", "d@y.example", "e@z.example"]).await;
    db.execute(
        "ALTER TABLE users ADD badge text; UPDATE users SET badge = '7' WHERE id IN ('u1', 'u2'); UPDATE users SET badge = 'B' || id WHERE id IN ('u3', 'u4')",
    )
    .await;
    let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(config.path(), "[tenancy.users]\nid = \"badge\"\n").unwrap();
    let run = |args: &[&str]| {
        db.run("users-assign").env("STOCKFOIL_CONFIG", config.path()).args(["--format", "json"]).args(args)
    };
    run(&["--org-id", "acme", "--user-id", "7"]).await.refuses(2, "several users have the id \"7\"");
    let moved = run(&["--org-id", "acme", "--email-pattern", "a@x.example"]).await.ok().json();
    assert_eq!(
        (&moved["users"][0]["user_id"], members(&db, "acme").await),
        (&json!("7"), vec!["u1".to_owned()])
    );
    // Whoever has no id is named by the key.
    let nameless = run(&["--org-id", "acme", "--email-pattern", "e@z.example"]).await.ok().json();
    assert_eq!(nameless["users"][0]["user_id"], "u5");
    // Badges change hands; the person does not.
    db.execute("UPDATE users SET badge = 'x' WHERE id = 'u1'; UPDATE users SET badge = 'u1', org_id = 'acme' WHERE id = 'u3'").await;
    run(&["--undo", &moved["run_id"].to_string()]).await.ok();
    assert_eq!(members(&db, "acme").await, ["u3", "u5"]);
    assert_eq!(db.value("SELECT keys FROM stockfoil.move ORDER BY id LIMIT 1").await, "{u1}");
    // A run of before recorded badges.
    db.execute(
        "INSERT INTO stockfoil.run (command, finished_at, outcome, summary) VALUES ('users-assign', now(), 'clean', '{}');
         INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys)
         SELECT max(id), 'public', 'users', 'default', 'acme', '{u3}' FROM stockfoil.run",
    )
    .await;
    let old = db.value("SELECT max(id) FROM stockfoil.run").await;
    let before = everything(&db).await;
    run(&["--undo", &old]).await.refuses(3, "recorded people by badge, which is not their primary key");
    assert_eq!(everything(&db).await, before);
    db.execute("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE").await;
    run(&["--org-id", "acme", "--email-pattern", "@y.example"])
        .await
        .refuses(3, "table users has no primary key");
}

#[tokio::test]
async fn no_value_of_a_user_ends_a_command() {
    let emails = [
        "",
        "@x.example",
        "tab\tand\r\nline@x.example",
        "\u{1b}[31mred@x.example",
        "\u{202e}\u{feff}\u{200b}@x.example",
        "'\"\\%_*?@x.example",
        "NULL@x.example",
        &format!("{}@x.example", "x".repeat(2_000)),
    ];
    let db = with_users(&emails).await;
    for (n, id) in ["", " ", "tab\t\r\n", "{a,\"b\"}", "NULL", "\u{1b}]0;title\u{7}"].iter().enumerate() {
        db.execute(format!(
            "INSERT INTO users (id, email, name, org_id, created_at)
             VALUES ('{id}', 'odd{n}@x.example', E'\\u001b[2J', 'default', CASE WHEN {n} % 2 = 0 THEN timestamptz 'infinity' ELSE '290000-01-01Z' END)"
        ))
        .await;
    }
    db.execute(
        "UPDATE organizations SET created_at = '-infinity', name = E'\\u001b[31m' WHERE id = 'default'",
    )
    .await;
    let before = members(&db, "default").await;
    assert_eq!(before.len(), 14);
    for args in
        [&["--all"][..], &["--email-pattern", "@x.example"], &["--user-id", ""], &["--user-id", "tab\t\r\n"]]
    {
        for format in ["human", "json"] {
            let args = [&["--org-id", "acme", "--format", format], args].concat();
            let dry = db.run("users-assign").args(&args).arg("--dry-run").await.ok();
            assert!(!dry.stdout.contains('\u{1b}') && !dry.stderr.contains('\u{1b}'), "{args:?}: {dry:?}");
            let report = db.run("users-assign").args(&args).await.ok();
            assert!(
                !report.stdout.contains('\u{1b}') && !report.stderr.contains('\u{1b}'),
                "{args:?}: {report:?}"
            );
            assert_ne!(members(&db, "acme").await, Vec::<String>::new(), "{args:?}");
            let run = db.value("SELECT max(run_id) FROM stockfoil.move").await;
            db.run("users-assign").args(["--undo", &run, "--format", format]).await.ok();
            assert_eq!(members(&db, "default").await, before, "{args:?}");
        }
    }
}
