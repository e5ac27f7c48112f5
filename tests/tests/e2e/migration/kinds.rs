//! Databases that nobody here designed: each is migrated as it should be, or refused before the first change.

use super::*;

/// Refuses with all of the words, and changes nothing.
async fn refused(db: &TestDb, args: &[&str], status: i32, words: &[&str]) {
    let before = schema(db);
    let run = db.run("migrate-all").args(args).rehearsing().await.status(status);
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    same_schema(db, &before);
}

#[tokio::test]
async fn an_index_over_whole_rows_that_would_miss_its_rows() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "CREATE FUNCTION row_hash(u users) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT md5(u::text) $$;
         CREATE INDEX users_hash ON users (row_hash(users));
         CREATE FUNCTION label(i items) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT i.item_number || i.name $$;
         CREATE INDEX items_label ON items (label(items))",
    )
    .await;
    refused(
        &db,
        &[],
        1,
        &["index users_hash", "does not find its rows any more", "lacks matching index tuple"],
    )
    .await;
    // Who keeps such a hash elsewhere has another one afterwards.
    db.execute("DROP INDEX users_hash").await;
    refused(&db, &[], 1, &["calling function row_hash(users)", "gives another result"]).await;
    db.execute("DROP FUNCTION row_hash(users)").await;
    let before = schema(&db);
    db.run("migrate-all").rehearsing().await.ok();
    db.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn on_conflict_through_a_view() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "CREATE VIEW people AS SELECT id, email AS mail, name FROM users;
         CREATE FUNCTION greet(m text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO people (id, mail, name) VALUES ('x' || m, m, 'n') ON CONFLICT (mail) DO UPDATE SET name = 'q'; END $$",
    )
    .await;
    refused(&db, &["--contract"], 1, &["calling function greet(text)", "no unique or exclusion constraint"])
        .await;
    db.run("migrate-all").rehearsing().await.ok();
    db.execute("SELECT greet('u1@example.com')").await;
}

#[tokio::test]
async fn on_conflict_in_a_rule() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE inbox (email text, name text);
         CREATE RULE put AS ON INSERT TO inbox DO INSTEAD INSERT INTO users (email, name) VALUES (NEW.email, NEW.name)
             ON CONFLICT (email) DO UPDATE SET name = excluded.name",
    )
    .await;
    refused(&db, &["--contract"], 3, &["users.users_email_key", "ON CONFLICT target of rule put of inbox"])
        .await;
}

#[tokio::test]
async fn a_long_key_that_no_sample_would_hold_by_chance() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO users (id, email, name) SELECT 'u' || g, 'u' || g || '@example.com', 'n' FROM generate_series(1, 3000) g;
         UPDATE users SET email = (SELECT string_agg(chr(33 + (hashint4(g) & 63)), '' ORDER BY hashint4(g * 7)) FROM generate_series(1, 2690) g)
         WHERE id = 'u1500'",
    )
    .await;
    let long: i64 = db.value("SELECT max(pg_column_size(email)) FROM users").await.parse().unwrap();
    assert!(long > 2600, "{long}");
    refused(&db, &["--sample", "100"], 1, &["index row", "users_org_id_email_key"]).await;
}

#[tokio::test]
async fn a_schema_of_the_name_of_stockfoils() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE SCHEMA stockfoil;
         CREATE FUNCTION stockfoil.org_by_id(id text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$",
    )
    .await;
    let named = "the application's own, and has function stockfoil.org_by_id(text)";
    refused(&db, &[], 3, &[named]).await;
    db.run("db-migrate").await.refuses(3, named);
    db.run("migrate-org").await.refuses(3, named);
    // An empty one may be there for the role that migrates.
    db.execute("DROP FUNCTION stockfoil.org_by_id(text)").await;
    db.run("migrate-all").await.ok();
}

#[tokio::test]
async fn organizations_that_are_there_and_can_not_be_told_apart() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE organizations (id text PRIMARY KEY, name text NOT NULL, subdomain text, is_active boolean NOT NULL DEFAULT true,
             created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), country text NOT NULL);
         INSERT INTO organizations (id, name, subdomain, country) VALUES ('a', 'A', 'acme', 'x'), ('b', 'B', 'acme', 'x'), ('C & Co', 'C', NULL, 'x')",
    )
    .await;
    refused(
        &db,
        &[],
        3,
        &[
            "has the organization 'C & Co', an id that no command takes",
            "several organizations of the subdomain acme",
            "has the column country, which needs a value",
            "no unique key of its subdomain alone",
        ],
    )
    .await;
    db.execute("ALTER TABLE organizations ALTER COLUMN country DROP NOT NULL; UPDATE organizations SET id = 'c' WHERE name = 'C'; UPDATE organizations SET subdomain = upper(id);
                ALTER TABLE organizations ADD UNIQUE (subdomain)").await;
    refused(&db, &[], 3, &["has subdomains with capital letters"]).await;
    db.execute("UPDATE organizations SET subdomain = id").await;
    let before = schema(&db);
    db.run("migrate-all").rehearsing().await.ok();
    // What becomes of the table afterwards is seen as well, and the remedy is the one that is printed.
    db.run("validate-migration").await.ok();
    db.execute("ALTER TABLE organizations DROP CONSTRAINT organizations_subdomain_key").await;
    let run = db.run("validate-migration").args(["--format", "json"]).await.status(1);
    let checks = run.json()["checks"].as_array().unwrap().clone();
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] == "failed").collect();
    let evidence = "has no unique key of its subdomain alone: one could lead to two organizations";
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((&failed[0]["object"], &failed[0]["evidence"]), (&"organizations".into(), &evidence.into()));
    let double = "INSERT INTO organizations (id, name, subdomain) VALUES ('d', 'D', 'a')";
    db.execute(double).await;
    db.run("validate-migration").await.status(1).says("has several organizations of the subdomain a");
    db.execute("DELETE FROM organizations WHERE id = 'd'").await;
    db.execute(failed[0]["remedy"].as_str().unwrap()).await;
    db.run("validate-migration").await.ok();
    db.execute("DROP INDEX organizations_subdomain_idx; ALTER TABLE organizations ADD UNIQUE (subdomain)")
        .await;
    db.execute("DELETE FROM organizations WHERE id <> 'default'").await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn what_no_rehearsal_reaches_is_said_beforehand() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE items ADD COLUMN org_id text;
         CREATE TABLE sites (id int PRIMARY KEY, org_id text);
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.is_active := true; RETURN NEW; END $$;
         CREATE TRIGGER touched BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch();
         CREATE TRIGGER named_only BEFORE UPDATE OF name ON items FOR EACH ROW EXECUTE FUNCTION touch();
         CREATE RULE noted AS ON UPDATE TO items DO ALSO INSERT INTO sites VALUES (1);
         CREATE PROCEDURE purge(p text) LANGUAGE plpgsql AS $$ BEGIN
             DELETE FROM sites WHERE EXISTS (SELECT FROM users WHERE org_id = p); END $$;
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.name = 'special' THEN INSERT INTO kept SELECT NEW.*; END IF; RETURN NEW; END $$;
         CREATE TRIGGER kept AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION keep();
         CREATE FUNCTION count_of(p text) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM public.users WHERE name = p $$",
    )
    .await;
    let run = db.run("migrate-org").arg("--dry-run").await.ok();
    let run = run
        .says("items is filled by UPDATE where rows lack org_id, which fires rule noted, touched (ALTER TABLE public.items DISABLE TRIGGER")
        .says("function public.purge(text) names org_id, which from now on is a column of users wherever that is the nearest table")
        .says("function public.keep() takes all columns (*) and names users");
    assert!(!run.stdout.contains("count_of"), "{}", run.stdout);
}

#[tokio::test]
async fn ledgers_whose_entries_would_not_be_counted_or_kept() {
    let db = TestDb::inventory().await;
    let name = db.name().to_owned();
    db.execute("ALTER TABLE inventory_ledger SET UNLOGGED").await;
    refused(&db, &[], 3, &["inventory_ledger is UNLOGGED", "SET LOGGED first"]).await;
    db.execute("ALTER TABLE inventory_ledger SET LOGGED").await;
    db.execute(format!("ALTER DATABASE {name} SET session_replication_role = replica")).await;
    refused(&db, &[], 3, &["session_replication_role = replica by every role in database", "RESET"]).await;
    db.execute(format!("ALTER DATABASE {name} RESET session_replication_role")).await;
    db.run("migrate-all").await.ok();
    db.execute(format!("ALTER DATABASE {name} SET session_replication_role = replica")).await;
    db.run("validate-migration").await.status(1).says("uncounted inventory_ledger: every role in database");
    db.execute(format!("ALTER DATABASE {name} RESET session_replication_role")).await;
    db.execute(format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    db.run("migrate-org").await.refuses(3, "default_transaction_read_only is on for this database or role");
}

#[tokio::test]
async fn a_key_that_is_full_is_named() {
    let db = TestDb::inventory().await;
    let columns = |from, to| (from..=to).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    let all = (1..=32).map(|n| format!("c{n} int")).collect::<Vec<_>>().join(", ");
    db.execute(format!(
        "CREATE TABLE wide (id int PRIMARY KEY, {all}, CONSTRAINT full_key UNIQUE ({}) INCLUDE ({}))",
        columns(1, 16),
        columns(17, 32)
    ))
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        "[tenancy]\ntables = ['users', 'items', 'locations', 'inventory_ledger', 'wide']\n",
    )
    .unwrap();
    db.run("migrate-org")
        .folder(&folder)
        .await
        .refuses(3, "wide.full_key has 32 columns with those of INCLUDE");
}

#[tokio::test]
async fn publications_are_told_with_all_that_a_subscriber_needs() {
    let db = TestDb::inventory().await;
    db.execute("CREATE PUBLICATION narrow FOR TABLE items (id, item_number, name)").await;
    // It publishes no column but these.
    db.run("migrate-org").arg("--dry-run").await.ok();
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES").await;
    refused(
        &db,
        &[],
        3,
        &[
            "inventory_ledger is published by everything",
            "so does one without the tables that are made",
            "to the ledger also stockfoil_tx bigint",
            "organization_api_keys",
        ],
    )
    .await;
}

/// Unique keys over the same columns, each with a twin of its own; the names sort before and after each other.
const KEYS_OVER_THE_SAME: &str = "
    ALTER TABLE items ADD CONSTRAINT items_name_key UNIQUE (name);
    ALTER TABLE items ADD CONSTRAINT a_swap UNIQUE (name) DEFERRABLE;
    ALTER TABLE items ADD CONSTRAINT z_swap UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
    CREATE UNIQUE INDEX items_active_name ON items (name) WHERE is_active;
    CREATE UNIQUE INDEX items_lower_name ON items (lower(name));
    CREATE TABLE moves (id bigint, happened date, code text, UNIQUE (happened, code), CONSTRAINT b_swap UNIQUE (happened, code) DEFERRABLE)
        PARTITION BY RANGE (happened);
    CREATE TABLE moves_2025 PARTITION OF moves FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    INSERT INTO moves VALUES (1, '2025-03-01', 'a'), (2, '2025-03-01', 'b')";

#[tokio::test]
async fn keys_over_the_same_columns_that_differ_in_when_they_are_checked() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(KEYS_OVER_THE_SAME).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("stockfoil.toml"),
        "[tenancy]\ntables = [\"users\", \"items\", \"locations\", \"inventory_ledger\", \"moves\"]\n",
    )
    .unwrap();
    let before = schema(&db);
    db.run("migrate-org").arg("--contract").folder(&folder).rehearsing().await.ok();
    let keys = "SELECT string_agg(pg_get_indexdef(i.indexrelid, 1, true) || CASE WHEN i.indimmediate THEN '' ELSE ' deferrable' END
                                  || coalesce(' ' || pg_get_expr(i.indpred, i.indrelid), ''), ', '
                                  ORDER BY i.indimmediate, i.indpred IS NULL, pg_get_indexdef(i.indexrelid, 2, true))
                FROM pg_index AS i WHERE i.indisunique AND i.indisvalid AND NOT i.indisprimary AND i.indrelid = ";
    let [items, part] = ["items", "moves_2025"].map(|table| format!("{keys} '{table}'::regclass"));
    let items = db.value(items.replace("i.indexrelid, 1, true", "i.indexrelid, 2, true")).await;
    for (key, count) in [("name deferrable", 2), ("name is_active", 1), ("lower(name)", 1)] {
        assert_eq!(items.matches(key).count(), count, "{key} in {items}");
    }
    assert_eq!(db.value(part).await, "org_id deferrable, org_id");
    db.run("migrate-org").arg("--contract").folder(&folder).await.ok().says("nothing to do");
    db.run("migrate-org").args(["--rollback", "--yes"]).folder(&folder).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_deferrable_twin_that_was_killed_before_its_constraint_is_finished() {
    let db = TestDb::inventory().await;
    db.execute(KEYS_OVER_THE_SAME).await;
    let before = schema(&db);
    // What a kill between the build and the constraint leaves.
    db.run("migrate-org").args(["--until", "build unique index items_org_id_name_key on items"]).await.ok();
    assert_eq!(
        db.value("SELECT count(*) FROM pg_constraint WHERE conindid = 'items_org_id_name_key'::regclass")
            .await,
        "0"
    );
    db.run("migrate-org").arg("--contract").await.ok();
    let indexes = "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
                   WHERE i.indrelid = 'items'::regclass AND c.relname LIKE 'items_org_id_name_key%'";
    assert_eq!(
        db.value(indexes).await,
        "items_org_id_name_key items_org_id_name_key1 items_org_id_name_key2"
    );
    db.run("migrate-org").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_lookup_that_loses_its_index_is_named_with_what_it_costs_here() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO items (id, item_number, name, unit) SELECT 'i' || n, 'I' || n, 'item ' || n, 'kg' FROM generate_series(1, 20000) AS n; ANALYZE items",
    )
    .await;
    let run =
        db.run("migrate-org").args(["--finalize", "--rehearse", "--sample", "10", "--format", "json"]).await;
    let report = run.json();
    let lookups = report["lookups"].as_array().expect("lookups");
    let lost =
        lookups.iter().find(|lookup| lookup["before"] == "items_item_number_key").expect("items by number");
    assert_eq!(lost["after"], serde_json::Value::Null);
    let [before, after] = ["before", "after"].map(|when| lost["cost"][when].as_f64().expect("a cost"));
    // Ten rows are on the copy; a whole table of 20,000 is read here.
    assert!(before < 20.0 && after > 300.0, "{before} {after}");
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("lookups of items by (item_number) went by items_item_number_key"),
        "{warnings}"
    );
    assert!(warnings.contains("by this database's statistics that costs"), "{warnings}");
}

/// Whether the server has what came with PostgreSQL 18.
async fn is_18(db: &TestDb) -> bool {
    db.value("SELECT current_setting('server_version_num')::int >= 180000").await == "t"
}

#[tokio::test]
async fn what_came_with_18_goes_there_and_back() {
    let db = TestDb::inventory().await;
    if !is_18(&db).await {
        return;
    }
    seed(&db).await;
    db.execute(
        "ALTER TABLE items ADD room int4range, ADD during tstzrange, ADD extra text, ADD loud text GENERATED ALWAYS AS (upper(name)) VIRTUAL;
         ALTER TABLE items ADD CONSTRAINT no_two UNIQUE (room, during WITHOUT OVERLAPS);
         ALTER TABLE items ADD CONSTRAINT unasked CHECK (name <> '') NOT ENFORCED;
         ALTER TABLE items ADD CONSTRAINT later NOT NULL extra NOT VALID;
         ALTER TABLE count_lines ADD r int4range, ADD d tstzrange;
         ALTER TABLE count_lines ADD CONSTRAINT covered FOREIGN KEY (r, PERIOD d) REFERENCES items (room, PERIOD during);
         ALTER TABLE count_lines ADD CONSTRAINT unasked FOREIGN KEY (item_id) REFERENCES items (id) NOT ENFORCED",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-all")
        .arg("--contract")
        .rehearsing()
        .await
        .ok()
        .tells("items.no_two is a key WITHOUT OVERLAPS");
    db.run("validate-migration").await.ok().says("items.no_two: is a key WITHOUT OVERLAPS");
    db.run("migrate-org")
        .args(["--finalize", "--isolate", "--no-rehearsal", "--yes"])
        .await
        .status(3)
        .tells("foreign key covered of count_lines compares ranges (PERIOD)")
        .tells("foreign key unasked of count_lines is NOT ENFORCED");
    db.run("migrate-all").args(["--rollback", "--yes"]).rehearsing().await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_ledger_with_room_for_one_column_more() {
    let db = TestDb::inventory().await;
    // Dropped columns are in no dump, so no copy has them.
    db.execute(
        "DO $$ DECLARE gone int[]; BEGIN
             SELECT array_agg(n) INTO gone FROM pg_class, generate_series(relnatts + 1, 1599) AS n WHERE oid = 'inventory_ledger'::regclass;
             EXECUTE 'ALTER TABLE inventory_ledger ' || (SELECT string_agg('ADD COLUMN gone_' || n || ' int', ', ') FROM unnest(gone) AS n);
             EXECUTE 'ALTER TABLE inventory_ledger ' || (SELECT string_agg('DROP COLUMN gone_' || n, ', ') FROM unnest(gone) AS n);
             END $$",
    )
    .await;
    refused(&db, &[], 3, &["inventory_ledger", "that it takes no 2 more", "into a new table"]).await;
}

#[tokio::test]
async fn a_lot_that_is_too_long_for_the_balances_key() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical)
         SELECT item_id, location_id, 1 FROM inventory_ledger, generate_series(1, 3000) LIMIT 3000;
         UPDATE inventory_ledger SET lot_id = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 400) AS g)
         WHERE id = (SELECT max(id) FROM inventory_ledger)",
    )
    .await;
    refused(&db, &[], 1, &["build index inventory_ledger_balance_key_idx", "index row"]).await;
}

#[tokio::test]
async fn a_key_in_the_applications_own_notion() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.execute(
        "ALTER TABLE users DROP CONSTRAINT users_email_key; CREATE UNIQUE INDEX users_email_lower ON users (lower(email));
         ALTER TABLE items RENAME COLUMN item_number TO sku",
    )
    .await;
    let before = schema(&db);
    db.run("migrate-all").rehearsing().await.ok();
    db.run("validate-migration").await.ok();
    db.execute("INSERT INTO organizations (id, name) VALUES ('acme', 'Acme')").await;
    db.execute("DELETE FROM organizations WHERE id = 'acme'").await;
    db.run("migrate-all").args(["--rollback", "--yes"]).await.ok();
    same_schema(&db, &before);
}

#[tokio::test]
async fn a_row_without_the_parent_that_its_key_says_it_has() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO locations (id, site, name) VALUES ('l1', 'North', 'Bin 1');
         SET session_replication_role = replica;
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT 'nowhere', min(id), 1 FROM locations;
         RESET session_replication_role",
    )
    .await;
    refused(
        &db,
        &[],
        2,
        &[
            "can't be made over the rows that are there",
            "inventory_ledger_item_id_fkey",
            "mend or delete the row",
        ],
    )
    .await;
}
