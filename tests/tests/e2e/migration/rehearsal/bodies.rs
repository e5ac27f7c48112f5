//! What no call comes to, and rows that no small sample holds.

use super::*;

#[tokio::test]
async fn statements_that_no_call_comes_to_are_planned() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE TABLE kept (LIKE items);
         CREATE PROCEDURE archive(days int, OUT moved int) LANGUAGE plpgsql AS $$
         DECLARE since timestamptz := now() - make_interval(days => days);
         BEGIN
             moved := 0;
             IF days > 3000 THEN
                 INSERT INTO kept SELECT * FROM items WHERE created_at < since;
             END IF;
         END $$;
         CREATE FUNCTION some_of(n int) RETURNS TABLE (item items, location text) LANGUAGE plpgsql STRICT AS $$ BEGIN
             IF n > 100 THEN RETURN QUERY SELECT i, l.id FROM items AS i CROSS JOIN locations AS l; END IF;
         END $$",
    )
    .await;
    db.execute(
        "CREATE FUNCTION rows_of(n int) RETURNS TABLE (item_id text, item_number text, item_name text) LANGUAGE plpgsql STRICT AS $$
         #variable_conflict use_column
         BEGIN IF n > 100 THEN RETURN QUERY SELECT * FROM (SELECT i.* FROM items AS i) AS x (a, b, c); END IF; END $$;
         CREATE FUNCTION whose(org_id text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF org_id = 'nobody' THEN
                 RETURN EXISTS (SELECT FROM items WHERE name = org_id);
             END IF;
             RETURN false;
         END $$;
         CREATE FUNCTION keep_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF TG_OP = 'UPDATE' AND NEW.name = 'kept' THEN
                 INSERT INTO kept SELECT i.* FROM items AS i WHERE i.id = OLD.id;
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER keep_one BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION keep_one()",
    )
    .await;
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let broken = "INSERT has more expressions than target columns";
    let obstacles = &report["obstacles"];
    one_has(
        obstacles,
        &["planning line 6 of function archive(", broken, "statement: INSERT INTO kept SELECT *"],
    );
    one_has(obstacles, &["planning line 3 of function keep_one() for items", broken]);
    one_has(obstacles, &["planning line 3 of function whose(", "ambiguous"]);
    let not_probed = texts(&report["probes"]["not_probed"]);
    assert!(!not_probed.iter().any(|text| text.contains("some_of")), "{not_probed:#?}");
    // What was no good before is told as that.
    assert!(
        not_probed.iter().any(|text| text.contains("planning line 3 of function rows_of(")),
        "{not_probed:#?}"
    );
}

#[tokio::test]
async fn a_row_that_a_fill_can_not_write_is_found_wherever_it_is() {
    let refusals = [
        (
            "ALTER TABLE items ADD CONSTRAINT named CHECK (name <> '') NOT VALID",
            "violates check constraint",
        ),
        (
            "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF OLD.name = '' THEN RAISE EXCEPTION 'item % is closed', OLD.item_number; END IF; RETURN NEW; END $$;
             CREATE TRIGGER closed BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION closed()",
            "item J-2500 is closed",
        ),
    ];
    for (refusal, words) in refusals {
        let (db, _) = of_an_application().await;
        db.execute(format!(
            "INSERT INTO items (id, item_number, name)
             SELECT 'j' || n, 'J-' || n, CASE n WHEN 2500 THEN '' ELSE 'J' END FROM generate_series(1, 3000) AS n;
             ALTER TABLE items ADD COLUMN org_id text; {refusal}"
        ))
        .await;
        let before = schema(&db);
        db.run("migrate-all").rehearsing().await.status(1).says(words).says("nothing was changed");
        assert_eq!(schema(&db), before);
    }
}

#[tokio::test]
async fn a_parameter_that_would_become_the_column_is_refused() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION like_this(org_id text) RETURNS bigint LANGUAGE sql STABLE AS
             $$ SELECT count(*) FROM items WHERE name LIKE org_id || '%' $$;
         CREATE FUNCTION qualified(org_id text) RETURNS bigint LANGUAGE sql STABLE AS
             $$ SELECT count(*) FROM items WHERE name LIKE qualified.org_id || '%' $$;
         CREATE FUNCTION parsed(org_id text) RETURNS bigint LANGUAGE sql STABLE
             BEGIN ATOMIC SELECT count(*) FROM items WHERE name LIKE org_id || '%'; END",
    )
    .await;
    db.run("migrate-org").await.refuses(3, "function public.like_this(text) has a parameter org_id");
    db.run("migrate-org").args(["--accept", "parameters"]).await.ok();
    assert_eq!(db.value("SELECT parsed('')::text").await, db.value("SELECT count(*)::text FROM items").await);
}

#[tokio::test]
async fn a_finalization_is_no_obstacle_to_deletes() {
    let (db, _) = of_an_application().await;
    db.execute("INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 1 FROM items AS i, locations AS l")
        .await;
    let run = db.run("migrate-org").args(["--rehearse", "--finalize", "--format", "json"]).await;
    let report = run.json();
    let will_fail = texts(&report["will_fail"]);
    assert!(will_fail.iter().any(|text| text.contains("INSERT into items")), "{will_fail:#?}");
    assert!(!will_fail.iter().any(|text| text.contains("DELETE from items")), "{will_fail:#?}");
    one_has(&report["probes"]["not_probed"], &["DELETE from items", "after the migration"]);
    one_has(&report["warnings"], &["--finalize is refused until migrate-org --contract has done"]);
}

#[tokio::test]
async fn plpgsql_check_judges_functions_where_it_is_installed() {
    let (db, _) = of_an_application().await;
    let is_here = "SELECT count(*) FROM pg_available_extensions WHERE name = 'plpgsql_check'";
    if db.value(is_here).await == "0" {
        println!("skipped: plpgsql_check is not installed here");
        return;
    }
    db.execute(
        "CREATE EXTENSION plpgsql_check; CREATE TABLE kept (LIKE items);
         CREATE FUNCTION archive(days int) RETURNS void LANGUAGE plpgsql AS $$
         BEGIN
             IF days > 3000 THEN
                 INSERT INTO kept SELECT * FROM items;
             END IF;
         END $$;
         CREATE FUNCTION keep_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.name = 'kept' THEN
                 INSERT INTO kept SELECT OLD.*;
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER keep_one BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION keep_one();
         -- The checker can't follow a temporary table: its statements are planned one by one.
         CREATE FUNCTION staged() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             CREATE TEMP TABLE staged_items ON COMMIT DROP AS SELECT * FROM items;
             IF random() > 2 THEN
                 INSERT INTO kept SELECT * FROM items;
             END IF;
             DELETE FROM staged_items;
         END $$",
    )
    .await;
    let before = schema(&db);
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let broken = "INSERT has more expressions than target columns";
    for what in [
        "checking function archive(",
        "planning line 3 of function keep_one() for items",
        "planning line 4 of function staged(",
    ] {
        one_has(&report["obstacles"], &[what, broken]);
    }
    same_schema(&db, &before);
}

#[tokio::test]
async fn calls_with_other_values_find_what_one_value_does_not() {
    let (db, _) = of_an_application().await;
    db.execute(
        "CREATE FUNCTION take(doc json) RETURNS void LANGUAGE sql AS
             'INSERT INTO items SELECT * FROM json_populate_recordset(NULL::items, doc)';
         CREATE FUNCTION take_one(doc jsonb) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN
             IF doc ? 'item_number' THEN
                 INSERT INTO items SELECT * FROM jsonb_populate_record(NULL::items, jsonb_build_object('is_active', true) || doc) RETURNING id INTO r;
             END IF;
             RETURN r;
         END $$;
         CREATE TABLE queue (id serial PRIMARY KEY, doc jsonb);
         CREATE FUNCTION queued() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO items SELECT (jsonb_populate_record(NULL::items, NEW.doc)).*; RETURN NULL;
         END $$;
         CREATE TRIGGER queued BEFORE INSERT ON queue FOR EACH ROW EXECUTE FUNCTION queued();
         CREATE TABLE items_kept AS SELECT * FROM items WHERE false;
         CREATE FUNCTION keep_all(tbl text, cutoff timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
             IF to_regclass(tbl || '_kept') IS NULL THEN RETURN 0; END IF;
             EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE created_at < $1', tbl || '_kept', tbl) USING cutoff;
             RETURN 1;
         END $$;
         ALTER TABLE audit_logs ADD seal text;
         CREATE FUNCTION sealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seal := NULL; NEW.seal := md5(NEW::text); RETURN NEW; END $$;
         CREATE TRIGGER sealed BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION sealed();
         CREATE FUNCTION holds(a audit_logs) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE seal text := a.seal; BEGIN a.seal := NULL; RETURN seal = md5(a::text); END $$;
         CREATE FUNCTION broken_since(since timestamptz) RETURNS bigint LANGUAGE sql STABLE AS
             'SELECT count(*) FROM audit_logs AS a WHERE a.created_at >= since AND NOT holds(a)';
         DELETE FROM audit_logs; INSERT INTO audit_logs (action, entity, user_id) VALUES ('came', 'users', 'u1')",
    )
    .await;
    db.execute(
        "CREATE FUNCTION of_day(d date) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             IF d > '2020-01-01' THEN RETURN; END IF;
             INSERT INTO items_kept SELECT * FROM items;
         END $$",
    )
    .await;
    let before = schema(&db);
    let report = db.run("migrate-org").args(["--rehearse", "--format", "json"]).await.status(1).json();
    let obstacles = &report["obstacles"];
    let more = "INSERT has more expressions than target columns";
    one_has(obstacles, &["calling function take(json)", "null value in column"]);
    one_has(obstacles, &["calling function take_one(jsonb)", "null value in column"]);
    one_has(obstacles, &["INSERT of made-up values into queue", "null value in column"]);
    one_has(obstacles, &["calling function keep_all(text,", more]);
    one_has(obstacles, &["calling function holds(audit_logs)", "gives another result"]);
    one_has(obstacles, &["calling function broken_since(", "gives another result"]);
    one_has(obstacles, &["calling function of_day(date)", more]);
    same_schema(&db, &before);
}
