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
