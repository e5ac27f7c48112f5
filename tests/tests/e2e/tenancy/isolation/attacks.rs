//! The application's login plays each attack through pgbouncer. It works before; the check finds it by name; what the check
//! prints against it is carried out, and then the attack fails and the check finds nothing.
#![allow(clippy::disallowed_methods, reason = "an attacker sends statements that it makes up")]

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::{holes::failed, *};

mod rights;

/// What only an attack comes to know of B, or a SQLSTATE that tells it.
pub(super) const SECRET: &str = "b-secret";

pub(super) struct Attack {
    check: &'static str,
    object: &'static str,
    /// What makes the hole; `{web}` is the application's login, `{app}` its role.
    make: &'static str,
    /// What a transaction of A sends; what comes back last is looked at.
    steal: &'static str,
    /// What comes back when the attack works.
    gains: &'static str,
    /// What takes away what is left.
    undo: &'static str,
}

pub(super) fn attack(
    [check, object]: [&'static str; 2],
    make: &'static str,
    [steal, gains]: [&'static str; 2],
    undo: &'static str,
) -> Attack {
    Attack { check, object, make, steal, gains, undo }
}

const UNIQUE: &str = "23505";
const REFERRED: &str = "23503";

/// Tables that hold what is an organization's, and say nowhere whose.
fn tables() -> Vec<Attack> {
    let found = |table| ["unguarded_table", table];
    let photos = "CREATE TABLE photos (id int PRIMARY KEY, item_id text REFERENCES items); CREATE TABLE photo_tags (photo_id int REFERENCES photos, tag text);
                  INSERT INTO photos VALUES (1, 'ib'); INSERT INTO photo_tags VALUES (1, 'b-secret');";
    let both = "DROP TABLE photo_tags, photos CASCADE";
    vec![
        attack(
            found("table photo_tags"),
            concat_all(&[photos, "GRANT SELECT ON photo_tags TO {web}"]),
            ["SELECT tag FROM photo_tags", SECRET],
            both,
        ),
        attack(
            found("table photo_tags"),
            concat_all(&[photos, "GRANT UPDATE (tag) ON photo_tags TO {app}"]),
            ["UPDATE photo_tags SET tag = 'gone'", "1 row"],
            both,
        ),
        attack(
            found("table photo_tags"),
            concat_all(&[photos, "GRANT DELETE ON photo_tags TO PUBLIC"]),
            ["DELETE FROM photo_tags", "1 row"],
            both,
        ),
        attack(
            found("table photo_tags"),
            concat_all(&[photos, "CREATE VIEW tags AS SELECT tag FROM photo_tags; GRANT SELECT ON tags TO {web}"]),
            ["SELECT tag FROM tags", SECRET],
            both,
        ),
        attack(
            found("table item_changes"),
            "CREATE TABLE item_changes (what text);
             CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.item_changes VALUES (new.name); RETURN new; END';
             CREATE TRIGGER notes BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note_change();
             UPDATE items SET name = name WHERE id = 'ib'; DROP TRIGGER notes ON items;
             CREATE TRIGGER notes AFTER TRUNCATE ON items FOR EACH STATEMENT EXECUTE FUNCTION note_change();
             GRANT SELECT ON item_changes TO {web}",
            ["SELECT what FROM item_changes", SECRET],
            "DROP TRIGGER notes ON items; DROP FUNCTION note_change(); DROP TABLE item_changes",
        ),
        attack(
            found("table preferences"),
            "CREATE TABLE preferences (user_id text, value text); INSERT INTO preferences VALUES ('ub', 'b-secret'); GRANT SELECT ON preferences TO {web}",
            ["SELECT value FROM preferences", SECRET],
            "DROP TABLE preferences",
        ),
        attack(
            found("table session"),
            "CREATE TABLE session (sid text PRIMARY KEY, sess json); INSERT INTO session VALUES ('1', '\"b-secret\"'); GRANT SELECT ON session TO {web}",
            ["SELECT sess::text FROM session", SECRET],
            "DROP TABLE session",
        ),
        attack(
            found("table scratch"),
            "CREATE TABLE scratch (t text); INSERT INTO scratch VALUES ('b-secret'); GRANT SELECT, INSERT ON scratch TO {web}",
            ["SELECT t FROM scratch", SECRET],
            "DROP TABLE scratch",
        ),
    ]
}

/// Keys by which a refusal tells what another organization has, and what keys set off.
fn keys() -> Vec<Attack> {
    let categories =
        "CREATE TABLE categories (id text PRIMARY KEY, name text); INSERT INTO categories VALUES ('c', 'C');";
    let dropped = "ALTER TABLE items DROP COLUMN category; DROP TABLE categories";
    vec![
        attack(
            ["shared_parent", "foreign key shared of items"],
            concat_all(&[
                categories,
                "ALTER TABLE items ADD category text CONSTRAINT shared REFERENCES categories; UPDATE items SET category = 'c' WHERE id = 'ib';
                 GRANT DELETE ON categories TO {web}",
            ]),
            ["DELETE FROM categories", REFERRED],
            dropped,
        ),
        attack(
            ["shared_parent", "foreign key shared of items"],
            concat_all(&[
                categories,
                "ALTER TABLE items ADD category text CONSTRAINT shared REFERENCES categories ON DELETE CASCADE; UPDATE items SET category = 'c' WHERE id = 'ib';
                 GRANT UPDATE (id) ON categories TO {app}",
            ]),
            ["UPDATE categories SET id = 'd'", REFERRED],
            dropped,
        ),
    ]
}

/// Code that runs as somebody else, and what the server keeps.
fn others() -> Vec<Attack> {
    vec![
        attack(
            ["definer_function", "function hidden.all_names()"],
            "CREATE SCHEMA hidden; CREATE FUNCTION hidden.all_names() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$SELECT string_agg(name, ',') FROM public.items$$;
             ALTER TABLE items ADD seen text; ALTER TABLE items ALTER seen SET DEFAULT hidden.all_names()",
            ["INSERT INTO items (item_number, name) VALUES ('n', 'n') RETURNING seen", SECRET],
            "ALTER TABLE items DROP COLUMN seen; DROP SCHEMA hidden CASCADE",
        ),
        attack(
            ["large_object", "large objects of {web}"],
            "SET ROLE {web}; SELECT lo_from_bytea(424242, 'b-secret'); RESET ROLE",
            ["SELECT convert_from(lo_get(424242), 'UTF8')", SECRET],
            "SELECT lo_unlink(424242)",
        ),
        attack(
            ["large_object", "large objects of everybody"],
            "SELECT lo_from_bytea(424243, 'b-secret'); GRANT SELECT ON LARGE OBJECT 424243 TO PUBLIC",
            ["SELECT convert_from(lo_get(424243), 'UTF8')", SECRET],
            "SELECT lo_unlink(424243)",
        ),
        attack(
            ["setting", "setting lo_compat_privileges of role {web}"],
            "SELECT lo_from_bytea(424244, 'b-secret'); ALTER ROLE {web} SET lo_compat_privileges = on",
            ["SELECT convert_from(lo_get(424244), 'UTF8')", SECRET],
            "SELECT lo_unlink(424244)",
        ),
        attack(
            ["unguarded_table", "table every_item"],
            "CREATE EXTENSION postgres_fdw; CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname '{name}');
             CREATE USER MAPPING FOR {web} SERVER loopback OPTIONS (user '{superuser}', password_required 'false');
             CREATE FOREIGN TABLE every_item (name text) SERVER loopback OPTIONS (table_name 'items'); GRANT SELECT ON every_item TO {web}",
            ["SELECT string_agg(name, ',') FROM every_item", SECRET],
            "DROP EXTENSION postgres_fdw CASCADE",
        ),
        attack(
            ["schema", "database {name}"],
            "GRANT CREATE ON DATABASE {name} TO {app}",
            ["CREATE SCHEMA {web} CREATE TABLE items (name text); SELECT 'made'", "made"],
            "DROP SCHEMA IF EXISTS {web} CASCADE",
        ),
        attack(
            ["login", "role {web}"],
            "CREATE SCHEMA apart; GRANT USAGE, CREATE ON SCHEMA apart TO {web}",
            ["CREATE TABLE apart.items (name text); SELECT 'made'", "made"],
            "DROP SCHEMA apart CASCADE",
        ),
    ]
}

fn concat_all(parts: &[&str]) -> &'static str {
    // A test may leak.
    parts.concat().leak()
}

impl Tenants {
    pub(super) fn filled(&self, text: &str) -> String {
        let (cluster, web) = (self.db.cluster(), self.web());
        [
            ("{web}", web.as_str()),
            ("{app}", &self.app),
            ("{ops}", &self.ops),
            ("{a}", &self.a),
            ("{b}", &self.b),
            ("{name}", self.db.name()),
            ("{host}", cluster.host()),
            ("{port}", &cluster.port().to_string()),
            ("{superuser}", cluster.superuser()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Rows of B that an attacker looks for.
    pub(super) async fn with_secrets(&self) {
        self.db
            .execute(format!(
                "SET app.org_id = '{b}'; INSERT INTO users (id, email, name) VALUES ('ub', 'b@example.com', 'b-secret');
                 INSERT INTO items (id, item_number, name) VALUES ('ib', 'B', 'b-secret')",
                b = self.b
            ))
            .await;
    }
}

/// What a transaction of A that sends `steal` gets, which is rolled back: the last answer, the number of rows that it changed,
/// or the SQLSTATE.
async fn play(session: &mut PgConnection, org: &str, steal: &str) -> String {
    let begin = format!("BEGIN; SELECT set_config('app.org_id', '{org}', true)");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *session).await.unwrap();
    let answer = match steal.strip_prefix("UPDATE").or(steal.strip_prefix("DELETE")) {
        Some(_) => sqlx::raw_sql(AssertSqlSafe(steal.to_owned()))
            .execute(&mut *session)
            .await
            .map(|done| format!("{} row", done.rows_affected())),
        None => sqlx::raw_sql(AssertSqlSafe(steal.to_owned())).fetch_all(&mut *session).await.map(|rows| {
            let last = rows.last().map(|row| row.try_get_raw(0).unwrap().as_str().map(str::to_owned));
            last.and_then(Result::ok).unwrap_or_default()
        }),
    };
    let answer = answer.unwrap_or_else(|error| match error {
        sqlx::Error::Database(error) => error.code().unwrap().into_owned(),
        error => panic!("{error}\nin: {steal}"),
    });
    sqlx::raw_sql("ROLLBACK").execute(session).await.unwrap();
    answer
}

/// What of a printed remedy can be carried out: its alternatives, each a command or statements, without words for people.
fn ways_to_close(printed: &str) -> Vec<String> {
    let is_sql = |part: &str| {
        let word = part.split(' ').next().unwrap_or_default();
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase())
    };
    let carried_out = |way: &str| {
        let parts = way.split("; ").filter(|part| is_sql(part) || part.starts_with("migrate-org "));
        parts.collect::<Vec<_>>().join("; ")
    };
    printed.split("; or ").map(carried_out).filter(|way| !way.is_empty()).collect()
}

/// What a client of the application's gets who sends `steal` through a pooler.
pub(super) async fn played(tenants: &Tenants, steal: &str) -> String {
    // A default of a role's is taken when the server's session begins.
    let pooler = tenants
        .db
        .cluster()
        .pooler_as(&tenants.web(), "default_pool_size = 1\nignore_startup_parameters = extra_float_digits");
    let mut session = PgConnection::connect(&pooler.url(tenants.db.name())).await.unwrap();
    play(&mut session, &tenants.a, &tenants.filled(steal)).await
}

async fn each_is_found_and_closed(attacks: Vec<Attack>) {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    tenants.with_secrets().await;
    find_and_close(&tenants, attacks).await;
}

/// Plays each attack, finds what it goes by, and plays it again after each of the remedies that are printed.
pub(super) async fn find_and_close(tenants: &Tenants, attacks: Vec<Attack>) {
    let db = &tenants.db;
    for Attack { check, object, make, steal, gains, undo } in attacks {
        let object = tenants.filled(object);
        let (mut done, mut remedies) = (0, 1);
        while done < remedies {
            db.execute(tenants.filled(make)).await;
            let gained = played(tenants, steal).await;
            assert!(gained.contains(gains), "{make}\n{steal} does not work as an attack: {gained:?}");
            let report = tenants.find().await;
            let found = failed(&report);
            let hole = found.iter().find(|(name, of, _)| (*name, *of) == (check, &*object));
            let (.., hole) =
                hole.unwrap_or_else(|| panic!("{make}\nis not found as {check} {object}: {found:#?}"));
            let ways = ways_to_close(hole["remedy"].as_str().unwrap());
            assert!(!ways.is_empty(), "{hole}");
            remedies = ways.len();
            let way = &ways[done];
            match way.strip_prefix("migrate-org ") {
                Some(flags) => {
                    drop(tenants.run("migrate-org").args(flags.split(' ')).arg("--yes").await.ok())
                }
                None => db.execute(way).await,
            }
            let gained = played(tenants, steal).await;
            assert!(!gained.contains(gains), "{make}\n{way}\nleaves: {gained:?}");
            let report = tenants.find().await;
            // A role is the whole server's, and another test may have just given one of its own too much.
            let is_ours = |object: &str| !object.contains("_test_") || object.contains(db.name());
            let left: Vec<_> = failed(&report).into_iter().filter(|(_, object, _)| is_ours(object)).collect();
            assert_eq!(left, [], "{make}\n{way}");
            db.execute(tenants.filled(undo)).await;
            done += 1;
        }
    }
    tenants.run("validate-migration").arg("--isolation").await.ok();
}

#[tokio::test]
async fn tables_of_nobody_are_found_and_closed() {
    each_is_found_and_closed(tables()).await;
}

#[tokio::test]
async fn what_keys_tell_and_set_off_is_found_and_closed() {
    each_is_found_and_closed(keys()).await;
}

#[tokio::test]
async fn what_policies_and_roles_let_through_is_found_and_closed() {
    each_is_found_and_closed(rights::policies_and_roles()).await;
}

#[tokio::test]
async fn rights_that_no_policy_asks_about_are_found_and_closed() {
    each_is_found_and_closed(rights::rights()).await;
}

#[tokio::test]
async fn what_works_as_its_owner_is_found_and_closed() {
    each_is_found_and_closed(rights::owners()).await;
}

#[tokio::test]
async fn what_the_server_keeps_and_runs_is_found_and_closed() {
    each_is_found_and_closed(others()).await;
}

/// Natural keys are oracles, whatever default stands on one of their columns; what the database makes is none.
#[tokio::test]
async fn a_default_makes_no_natural_key_unguessable() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    tenants.with_secrets().await;
    let db = &tenants.db;
    let name = "key feature_flags_pkey of feature_flags";
    let keyed = |columns: &str, key: &str| {
        format!(
            "ALTER TABLE feature_flags DROP CONSTRAINT feature_flags_pkey; {columns}; ALTER TABLE feature_flags ADD PRIMARY KEY ({key})"
        )
    };
    let back = "ALTER TABLE feature_flags DROP CONSTRAINT feature_flags_pkey; ALTER TABLE feature_flags DROP COLUMN IF EXISTS n, DROP COLUMN IF EXISTS day;
                DELETE FROM feature_flags; ALTER TABLE feature_flags ADD PRIMARY KEY (id)";
    for (columns, key, is_told, insert) in [
        (
            "ALTER TABLE feature_flags ADD n int NOT NULL DEFAULT 1",
            "key, n",
            true,
            "INSERT INTO feature_flags (key) VALUES ('secret-plan')",
        ),
        (
            "ALTER TABLE feature_flags ADD day date NOT NULL DEFAULT current_date",
            "key, day",
            true,
            "INSERT INTO feature_flags (key) VALUES ('secret-plan')",
        ),
        (
            "ALTER TABLE feature_flags ADD n bigserial",
            "key, n",
            true,
            "INSERT INTO feature_flags (key, n) VALUES ('secret-plan', 1)",
        ),
        ("SELECT", "key, created_at", true, ""),
        ("ALTER TABLE feature_flags ADD n bigserial", "n", false, ""),
        ("ALTER TABLE feature_flags ADD n int GENERATED ALWAYS AS IDENTITY", "n", false, ""),
        ("SELECT", "key, id", false, ""),
    ] {
        db.execute(keyed(columns, key)).await;
        let report = tenants.find().await;
        let found: Vec<_> = failed(&report).iter().map(|(_, object, _)| *object).collect();
        assert_eq!(found, if is_told { vec![name] } else { vec![] }, "{columns} {key}");
        if !insert.is_empty() {
            db.execute(format!("SET app.org_id = '{}'; {insert}", tenants.b)).await;
            let mut session = PgConnection::connect(&tenants.url()).await.unwrap();
            assert_eq!(play(&mut session, &tenants.a, insert).await, UNIQUE, "{columns} {key}");
            session.close().await.unwrap();
        }
        db.execute(back).await;
    }
}
