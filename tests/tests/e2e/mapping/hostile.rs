//! Names, values and expressions of somebody who means harm, or only has odd tables: nothing breaks out, and what is
//! refused says why.

use std::fs;

use testkit::{Run, TestDb};

use names::{Names, ident, long_name};

mod names;

/// Two tables and a canary: nothing that a configuration says may touch it.
const PROBE: &str = r#"
    CREATE TABLE canary (n integer NOT NULL);
    INSERT INTO canary VALUES (1);
    CREATE SEQUENCE canary_seq;
    CREATE FUNCTION sing(q numeric) RETURNS numeric LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO canary VALUES (2); RETURN q; END $$;
    CREATE FUNCTION sing_quietly(q numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN INSERT INTO canary VALUES (3); RETURN q; END $$;
    CREATE FUNCTION sing_inlined(q numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT q + 1';
    CREATE FUNCTION is_sung(q numeric) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN INSERT INTO canary VALUES (4); RETURN true; END $$;
    CREATE OPERATOR ### (FUNCTION = sing_quietly, RIGHTARG = numeric);
    CREATE DOMAIN sung AS numeric CHECK (is_sung(VALUE));
    CREATE TYPE pair AS (a numeric, b numeric);
    CREATE FUNCTION to_pair(q numeric) RETURNS pair LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN INSERT INTO canary VALUES (5); RETURN (q, q); END $$;
    CREATE CAST (numeric AS pair) WITH FUNCTION to_pair(numeric);
    CREATE AGGREGATE choir(numeric) (SFUNC = numeric_add, STYPE = numeric);
    CREATE TABLE items (id bigint PRIMARY KEY);
    INSERT INTO items SELECT generate_series(1, 9);
    CREATE TABLE moves (
        id bigint PRIMARY KEY, item_id bigint NOT NULL REFERENCES items, qty numeric NOT NULL, kind text NOT NULL DEFAULT 'in',
        at timestamptz NOT NULL DEFAULT now(), several numeric[] NOT NULL DEFAULT '{1,2}');
    INSERT INTO moves (id, item_id, qty) SELECT n, 1 + n % 9, n FROM generate_series(1, 100) AS n;
"#;

/// A configuration of the probe with these two expressions.
fn probe_config(quantity: &str, counts: &str) -> String {
    format!(
        "[tenancy]\ntables = [\"items\", \"moves\"]\nusers = false\n\
         [ledger]\ntable = \"moves\"\nlocation = false\nlot = false\ncreated_at = \"at\"\n\
         quantity = {{ sql = {} }}\nwhere = {{ sql = {} }}\n\
         [balances]\nlocation = false\nlot = false\n",
        toml::Value::from(quantity),
        toml::Value::from(counts)
    )
}

/// Everything that is in a database, but for the contents of tables, and the canary's own.
async fn objects(db: &TestDb) -> Vec<Vec<String>> {
    db.rows(
        "SELECT 'relation', c.oid::regclass::text, c.relkind::text FROM pg_class c
         WHERE c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
         UNION ALL SELECT 'function', oid::regprocedure::text, '' FROM pg_proc WHERE pronamespace::regnamespace::text <> 'pg_catalog'
         UNION ALL SELECT 'column', attrelid::regclass::text, attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE c.relnamespace = 'public'::regnamespace
         UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname FROM pg_trigger
         UNION ALL SELECT 'role', rolname, rolsuper::text FROM pg_roles
         UNION ALL SELECT 'canary', n::text, '' FROM canary
         UNION ALL SELECT 'sequence', last_value::text, is_called::text FROM canary_seq
         ORDER BY 1, 2, 3",
    )
    .await
}

async fn migrate(db: &TestDb, config: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stockfoil.toml");
    fs::write(&file, config).unwrap();
    db.run("migrate-all").arg("--contract").arg("--config").arg(&file).await
}

/// Expressions that are refused, each with a word of the reason.
const REFUSED: &[(&str, &str)] = &[
    ("(SELECT 1)", "subquer"),
    ("(SELECT max(n) FROM canary)", "canary"),
    ("qty + (SELECT count(*) FROM pg_authid)", "subquer"),
    ("CASE WHEN EXISTS (SELECT FROM canary) THEN qty END", "canary"),
    ("CASE WHEN qty IN (SELECT n FROM canary) THEN 1 ELSE 0 END", "canary"),
    ("(WITH w AS (DELETE FROM canary RETURNING n) SELECT n FROM w)", ""),
    ("(VALUES (1))", "subquer"),
    ("sum(qty)", "aggregate"),
    ("choir(qty)", "choir"),
    ("row_number() OVER ()", "window"),
    ("sum(qty) OVER ()", "window"),
    ("generate_series(1, 2)", "set"),
    ("unnest(several)", "set"),
    ("sing(qty)", "sing"),
    ("sing_quietly(qty)", "sing_quietly"),
    ("public.sing_inlined(qty)", "sing_inlined"),
    ("### qty", "###"),
    ("OPERATOR(public.###) qty", "###"),
    ("qty::sung", "sung"),
    ("(qty::sung)::numeric", "sung"),
    ("(qty::pair).a", "pair"),
    ("nextval('canary_seq')", "canary_seq"),
    ("random()::numeric", "immutable"),
    ("extract(epoch FROM now())", "immutable"),
    ("extract(epoch FROM clock_timestamp())", "immutable"),
    ("extract(epoch FROM current_date)", ""),
    ("length(current_user)", ""),
    ("length(current_setting('search_path'))", "immutable"),
    ("length(set_config('role', 'postgres', false))", "immutable"),
    ("length(pg_read_file('/etc/passwd'))", "immutable"),
    ("pg_terminate_backend(1)::int", "immutable"),
    ("lo_create(0)::bigint", "immutable"),
    ("extract(epoch FROM at)", ""),
    ("canary.n", "canary"),
    ("pg_authid.rolname", "pg_authid"),
    ("nothing_called_so", "nothing_called_so"),
    ("tableoid::bigint", ""),
    ("xmin::text::numeric", ""),
    ("$1", ""),
    ("qty, qty", ""),
    ("*", ""),
    ("", ""),
    ("  ", ""),
    ("qty AS q", ""),
    ("qty FROM canary", ""),
    ("1) FROM pg_authid --", ""),
    ("qty) FROM canary; --", ""),
    ("qty; DROP TABLE canary", ""),
    (";DROP TABLE canary", ""),
    ("qty); DROP TABLE canary; --", ""),
    ("1); DROP TABLE canary; CREATE TEMP VIEW v AS SELECT (1", ""),
    ("qty)) AS x; INSERT INTO canary VALUES (6); SELECT ((1", ""),
    ("(qty", ""),
    ("qty)", ""),
    (")qty(", ""),
    ("qty) + (qty", ""),
    ("qty /*", ""),
    ("qty */ /*", ""),
    ("'", ""),
    ("\"", ""),
    ("$a$", ""),
    ("E'\\'", ""),
    ("qty\n\\! touch canary", ""),
    ("qty'; DROP TABLE canary; --", ""),
    ("nullif(qty, '1; DROP TABLE canary')", ""),
    ("COPY canary FROM PROGRAM 'true'", ""),
    ("qty\u{0}", ""),
];

/// Each refusal says one of these.
const REMEDIES: &[&str] = &[
    "it must be one sql expression",
    "correct the expression",
    "may only compute from the entry's own columns",
    "may use the entry's own columns and built-in functions alone",
    "must always give the same result",
    "write an expression",
    "remove it",
    "check its parentheses",
];

#[tokio::test]
async fn an_expression_reads_its_row_and_nothing_else() {
    let db = TestDb::empty().await;
    db.execute(PROBE).await;
    let before = objects(&db).await;
    let mut wrong = Vec::new();
    for (sql, reason) in REFUSED {
        for (line, config) in
            [("line 9", probe_config(sql, "true")), ("line 10", probe_config("qty", &format!("{sql} > 0")))]
        {
            let run = migrate(&db, &config).await;
            let said = run.stderr.to_lowercase();
            let is_explained = REMEDIES.iter().any(|remedy| said.contains(remedy));
            if run.status != 2 || !said.contains(line) || !said.contains(reason) || !is_explained {
                wrong.push(format!("{sql}: status {}, {line}, {reason:?}: {}", run.status, run.stderr));
            }
            assert_eq!(objects(&db).await, before, "{sql}: {}", run.stderr);
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for (quantity, counts, line, reason) in [
        ("kind", "true", "line 9", "numeric"),
        ("at", "true", "line 9", "numeric"),
        ("qty::float8", "true", "line 9", "numeric"),
        ("several", "true", "line 9", "numeric"),
        ("qty > 0", "true", "line 9", "numeric"),
        ("qty", "qty", "line 10", "boolean"),
        ("qty", "'true'::text", "line 10", "boolean"),
    ] {
        let run = migrate(&db, &probe_config(quantity, counts)).await.status(2);
        assert!(
            run.stderr.contains(line) && run.stderr.contains(reason),
            "{quantity}, {counts}: {}",
            run.stderr
        );
        assert_eq!(objects(&db).await, before, "{quantity}, {counts}");
    }
}

#[tokio::test]
async fn texts_in_an_expression_stay_texts() {
    // Each is harmless and holds what would break out of a careless template: a body's own quotes, a comment,
    // a template's places.
    for (quantity, counts) in [
        ("qty", "kind <> '$body$; DROP TABLE canary; --'"),
        (
            "CASE kind WHEN '''; DROP TABLE canary; --' THEN 0 ELSE qty END",
            "kind <> '{ledger}' OR kind <> '{balances}'",
        ),
        ("CASE kind WHEN $body$ $x$ $body$ THEN 0 WHEN E'\\\\' THEN 1 ELSE qty END", "kind <> '/* --'"),
        ("length(repeat('x', 2)) * qty /* twice */ / 2", "true AND kind = kind -- always"),
        ("(qty)", "U&\"\\006bind\" = 'in'"),
        ("qty + 0 * several[1]", "kind ~ '^(in|out)$'"),
    ] {
        let db = TestDb::empty().await;
        db.execute(PROBE).await;
        let run = migrate(&db, &probe_config(quantity, counts)).await;
        // A comment up to the end of the line swallows what stands behind it, so it may be refused.
        if run.status == 2 {
            assert!(counts.contains("-- always"), "{quantity}, {counts}: {}", run.stderr);
            continue;
        }
        run.ok();
        db.execute("INSERT INTO moves (id, item_id, qty) VALUES (1000, 1, 5); UPDATE moves SET qty = 7 WHERE id = 2; DELETE FROM moves WHERE id = 3")
            .await;
        let wrong = "SELECT * FROM (SELECT item_id, sum(qty) AS q FROM moves GROUP BY 1) AS m
                     FULL JOIN inventory_balances AS b ON b.item_id = m.item_id WHERE m.q IS DISTINCT FROM b.qty_canonical";
        assert!(db.rows(wrong).await.is_empty(), "{quantity}, {counts}");
        assert_eq!(db.value("SELECT string_agg(n::text, ' ') FROM canary").await, "1");
    }
}

#[tokio::test]
async fn a_function_that_hides_a_built_in_is_not_called() {
    let db = TestDb::empty().await;
    db.execute(PROBE).await;
    db.execute(
        "CREATE FUNCTION public.abs(q numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN INSERT INTO canary VALUES (7); RETURN 0; END $$;
         CREATE FUNCTION public.hidden(a numeric, b numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN INSERT INTO canary VALUES (8); RETURN 0; END $$;
         CREATE OPERATOR public.+ (FUNCTION = public.hidden, LEFTARG = numeric, RIGHTARG = numeric);",
    )
    .await;
    db.execute(format!("ALTER DATABASE {} SET search_path = public, pg_catalog", db.name())).await;
    let run = migrate(&db, &probe_config("abs(qty) + 0", "true")).await;
    if run.status == 2 {
        // Refused is as good: the name means the application's function here.
        assert!(run.stderr.contains("abs") || run.stderr.contains("hidden"), "{}", run.stderr);
    } else {
        run.ok();
        db.execute(
            "SET search_path = pg_catalog; INSERT INTO public.moves (id, item_id, qty) VALUES (1000, 1, -5)",
        )
        .await;
        assert_eq!(db.value("SELECT sum(qty_canonical) FROM inventory_balances").await, "5055");
    }
    assert_eq!(db.value("SELECT string_agg(n::text, ' ') FROM canary").await, "1");
}

/// Ids that somebody could call an item, a place or a lot.
const VALUES: &[&str] = &[
    "plain",
    "'; DROP TABLE canary; --",
    "\"quoted\"",
    "line\nbreak\r\n",
    "back\\slash\\'",
    "$body$; DROP TABLE canary; $body$",
    "{ledger} {balances} %s $1",
    "tab\tand\u{1b}[31mred",
    "NULL",
    "ä\u{301}中🦀",
    "-- /* */",
    " leading and trailing ",
];

fn values_sql() -> String {
    let literals: Vec<String> = VALUES
        .iter()
        .map(|value| format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    format!("ARRAY[{}]", literals.join(", "))
}

#[tokio::test]
async fn odd_names_and_values_go_through_everything_unharmed() {
    for names in Names::all() {
        let db = TestDb::empty().await;
        db.execute(names.script()).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stockfoil.toml");
        fs::write(&file, names.config()).unwrap();
        let run = |command: &str| db.run(command).arg("--config").arg(&file);
        run("migrate-all").arg("--contract").arg("--dry-run").await.ok();
        run("migrate-all").arg("--contract").await.ok();
        run("migrate-all").arg("--contract").await.ok();
        run("org-create").args(["--id", "a'b\";--", "--name", "x"]).await.status(2);
        run("org-create")
            .args(["--id", "acme", "--name", "'; DROP TABLE canary; --", "--subdomain", "acme"])
            .await
            .ok();
        run("users-assign")
            .args(["--org-id", "acme", "--email-pattern", "@acme.example", "--expect", "5"])
            .await
            .ok();
        let list = run("org-list").args(["--format", "json"]).await.ok().json();
        let acme = &list["organizations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == "acme")
            .unwrap()
            .clone();
        assert_eq!(acme["users"], 5);

        let (ledger, quantity, item) =
            (names.table(&names.ledger), ident(&names.quantity), ident(&names.item));
        let (location, lot, id) = (ident(&names.location), ident(&names.lot), ident(&names.id));
        let balances = names.table(&names.balances);
        db.execute(format!(
            "INSERT INTO {ledger} ({item}, {location}, {lot}, {quantity}) SELECT {item}, {location}, '', 0.5 FROM {ledger};
             UPDATE {ledger} SET {lot} = {item} WHERE {id} % 3 = 0; DELETE FROM {ledger} WHERE {id} % 5 = 0;"
        ))
        .await;
        let wrong = format!(
            "SELECT * FROM (SELECT {item} AS i, {location} AS p, coalesce({lot}, '') AS l, sum({quantity}) AS q FROM {ledger} GROUP BY 1, 2, 3) AS e
             FULL JOIN (SELECT {item} AS i, {location} AS p, coalesce({lot}, '') AS l, {quantity} AS q FROM {balances}) AS b USING (i, p, l)
             WHERE e.q IS DISTINCT FROM b.q AND NOT (e.q IS NULL AND b.q = 0)"
        );
        assert_eq!(db.rows(&wrong).await, Vec::<Vec<String>>::new());
        db.execute(format!("UPDATE {balances} SET {quantity} = {quantity} + 25")).await;
        let keys: usize = db.value(format!("SELECT count(*) FROM {balances}")).await.parse().unwrap();
        let report = run("reconcile-balances").args(["--format", "json"]).await.status(1).json();
        assert_eq!(report["listed"].as_array().unwrap().len(), keys);
        run("reconcile-balances").await.status(1);
        run("reconcile-balances").arg("--fix-large").await.ok();
        assert_eq!(db.rows(&wrong).await, Vec::<Vec<String>>::new());
        run("validate-migration").await.ok();
        run("backfill-balances").await.ok();
        run("db-generate").await.ok();
        assert_eq!(db.value("SELECT string_agg(n::text, ' ') FROM canary").await, "1");
    }
}

#[tokio::test]
async fn names_that_postgresql_would_cut_or_cannot_hold_are_refused() {
    let db = TestDb::empty().await;
    db.execute(PROBE).await;
    let before = objects(&db).await;
    for (name, reason) in [
        (format!("{}x", long_name('y')), "longer than 63 bytes"),
        (String::new(), "empty"),
        ("a\u{0}b".into(), "zero byte"),
    ] {
        let config = probe_config("qty", "true")
            .replace("[balances]\n", &format!("[balances]\ntable = {}\n", toml::Value::from(name.as_str())));
        let run = migrate(&db, &config).await.status(2);
        assert!(run.stderr.contains(reason), "{name:?}: {}", run.stderr);
        let config = probe_config("qty", "true").replace(
            "users = false\n",
            &format!("users = false\norg_column = {}\n", toml::Value::from(name.as_str())),
        );
        let run = migrate(&db, &config).await.status(2);
        assert!(run.stderr.contains(reason), "{name:?}: {}", run.stderr);
    }
    assert_eq!(objects(&db).await, before);
}
