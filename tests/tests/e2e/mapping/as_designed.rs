//! db-generate --config on databases that other people designed: other tongues, names without gaps, no foreign keys, kinds
//! of entries whose sign only the balances tell.

use testkit::{Binary, TestDb};

fn generate(db: &TestDb) -> Binary {
    db.run("db-generate").env("STOCKFOIL_CONFIG", "").arg("--config")
}

/// The proposal that `db-generate` with `args` ends `status` with, as text and as TOML.
async fn propose(db: &TestDb, args: &[&str], status: i32) -> (String, toml::Table) {
    let run = generate(db).args(args).await.status(status);
    let table = run.stdout.parse().unwrap_or_else(|error| panic!("{error}\nin: {}", run.stdout));
    (run.stdout.clone(), table)
}

fn names(table: &toml::Table) -> Vec<String> {
    let tables = table["tenancy"]["tables"].as_array().unwrap();
    tables.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Follows a proposal to its end: the sums are what the application's own are.
async fn follow(db: &TestDb, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stockfoil.toml");
    std::fs::write(&file, text).unwrap();
    let run = |command: &str| db.run(command).arg("--config").arg(&file);
    run("migrate-all").await.ok();
    run("reconcile-balances").await.ok();
    run("validate-migration").await.ok();
}

/// No foreign keys, lower-case names without gaps, a kind that takes away and whose name does not say so.
const JOINED: &str = "
    CREATE TABLE products (productid int PRIMARY KEY, productname text, unitprice numeric);
    CREATE TABLE warehouses (warehouseid int PRIMARY KEY, whname text);
    CREATE TABLE appusers (userid int PRIMARY KEY, email text UNIQUE);
    CREATE TABLE stockmoves (moveid serial PRIMARY KEY, productid int NOT NULL, warehouseid int NOT NULL, movetype text NOT NULL,
        qty numeric(12,2) NOT NULL, batchno text, userid int, movedate timestamptz NOT NULL DEFAULT now());
    CREATE TABLE stocklevels (productid int, warehouseid int, reorderlevel numeric, qtyonhand numeric(12,2) NOT NULL,
        PRIMARY KEY (productid, warehouseid));
    CREATE TABLE schema_migrations (version text PRIMARY KEY);
    INSERT INTO products SELECT n, 'P' || n, n FROM generate_series(1, 20) AS n;
    INSERT INTO warehouses SELECT n, 'W' || n FROM generate_series(1, 3) AS n;
    INSERT INTO appusers SELECT n, 'u' || n || '@example.com' FROM generate_series(1, 5) AS n;
    INSERT INTO stockmoves (productid, warehouseid, movetype, qty, userid)
        SELECT 1 + n % 20, 1 + n % 3, (ARRAY['RECEIPT', 'ISSUE', 'PROMO', 'RECEIPT'])[1 + n / 7 % 4], 1 + n % 11, 1 + n % 5
        FROM generate_series(1, 2000) AS n;
    INSERT INTO stocklevels SELECT productid, warehouseid, 5, sum(CASE movetype WHEN 'RECEIPT' THEN qty ELSE -qty END)
        FROM stockmoves GROUP BY 1, 2;
    ANALYZE";

#[tokio::test]
async fn the_balances_tell_the_sign_that_no_name_tells() {
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    let (text, found) = propose(&db, &[], 0).await;
    let ledger = &found["ledger"];
    assert_eq!(ledger["table"].as_str(), Some("stockmoves"), "{text}");
    assert_eq!(ledger["item"].as_str(), Some("productid"), "{text}");
    assert_eq!(ledger["location"].as_str(), Some("warehouseid"), "{text}");
    // NULL throughout, it is no part of a key.
    assert_eq!(ledger["lot"].as_bool(), Some(false), "{text}");
    let quantity = ledger["quantity"]["sql"].as_str().unwrap();
    assert_eq!(
        quantity,
        "(CASE WHEN \"movetype\" = 'ISSUE' OR \"movetype\" = 'PROMO' THEN -\"qty\" ELSE \"qty\" END)::numeric(12,2)",
        "{text}"
    );
    assert!(
        text.contains("60 of 60 keys have in stocklevels.qtyonhand what these entries add up to"),
        "{text}"
    );
    assert_eq!(found["tenancy"]["items"].as_str(), Some("products"), "{text}");
    assert_eq!(found["tenancy"]["users"]["table"].as_str(), Some("appusers"), "{text}");
    assert_eq!(found["balances"]["table"].as_str(), Some("stocklevels"), "{text}");
    assert_eq!(found["balances"]["quantity"].as_str(), Some("qtyonhand"), "{text}");
    for table in ["products", "warehouses", "appusers", "stockmoves"] {
        assert!(names(&found).contains(&table.to_owned()), "{table} in {text}");
    }
    assert!(
        text.contains("# \"schema_migrations\",") && text.contains("a framework keeps it for itself"),
        "{text}"
    );
    follow(&db, &text).await;
}

#[tokio::test]
async fn a_sign_that_nothing_tells_is_no_success() {
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    db.execute("DROP TABLE stocklevels").await;
    let (text, found) = propose(&db, &[], 1).await;
    assert!(
        text.contains("# THE SIGN IS A GUESS: which way qty goes is not known where movetype is PROMO."),
        "{text}"
    );
    assert_eq!(found["ledger"]["table"].as_str(), Some("stockmoves"));
    let report = generate(&db).args(["--format", "json"]).await.status(1).json();
    let keys = report["guess"]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3, "{report}");
    assert_eq!(report["guess"]["readings"], serde_json::json!(["they add", "they take away"]));
    for key in keys {
        let (item, place) = key[0].as_str().unwrap().split_once(", ").unwrap();
        let by = |promo: &str| {
            format!(
                "SELECT trim_scale(sum(CASE movetype WHEN 'RECEIPT' THEN qty WHEN 'ISSUE' THEN -qty ELSE {promo}qty END))
                 FROM stockmoves WHERE productid = {item} AND warehouseid = {place}"
            )
        };
        assert_eq!(key[1].as_str().unwrap(), db.value(by("")).await);
        assert_eq!(key[2].as_str().unwrap(), db.value(by("-")).await);
    }
    // Balances of too few keys tell nothing of it.
    db.execute(
        "CREATE TABLE stocklevels (productid int, warehouseid int, qtyonhand numeric NOT NULL, PRIMARY KEY (productid, warehouseid));
         INSERT INTO stocklevels SELECT productid, warehouseid, sum(CASE movetype WHEN 'RECEIPT' THEN qty ELSE -qty END)
         FROM stockmoves GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 4",
    )
    .await;
    let (text, _) = propose(&db, &[], 1).await;
    assert!(text.contains("# THE SIGN IS A GUESS"), "{text}");
    // Nothing at all that says which way.
    db.execute("ALTER TABLE stockmoves DROP COLUMN movetype").await;
    let (text, _) = propose(&db, &[], 1).await;
    assert!(text.contains("nothing says which way"), "{text}");
    assert!(text.contains("an entry says how much there is from then on"), "{text}");
}

#[tokio::test]
async fn other_tongues_are_read() {
    let ledgers = [
        // (table of items, of places, the ledger, its columns, its kinds in and out)
        (
            "artikel",
            "lagerplatz",
            "lagerbewegung",
            "artikel_id",
            "lagerplatz_id",
            "bewegungsart",
            "menge",
            "erstellt",
            "ZUGANG",
            "ABGANG",
        ),
        (
            "articles",
            "entrepôts",
            "mouvements",
            "article_id",
            "entrepôt_id",
            "sens",
            "quantité",
            "date",
            "ENTREE",
            "SORTIE",
        ),
        (
            "productos",
            "almacenes",
            "movimientos",
            "producto_id",
            "almacen_id",
            "tipo",
            "cantidad",
            "fecha",
            "entrada",
            "salida",
        ),
        (
            "produtos",
            "armazens",
            "movimentacoes",
            "produto_id",
            "armazem_id",
            "tipo",
            "qtd",
            "criado_em",
            "entrada",
            "saída",
        ),
    ];
    for (items, places, ledger, item, place, kind, quantity, made, comes, goes) in ledgers {
        let db = TestDb::empty().await;
        db.execute(format!(
            "CREATE TABLE {items} (id int PRIMARY KEY); CREATE TABLE \"{places}\" (id int PRIMARY KEY);
             CREATE TABLE {ledger} (id serial PRIMARY KEY, \"{item}\" int REFERENCES {items}, \"{place}\" int REFERENCES \"{places}\",
                 {kind} text, \"{quantity}\" numeric, {made} timestamptz);
             INSERT INTO {items} SELECT generate_series(1, 5); INSERT INTO \"{places}\" SELECT generate_series(1, 2);
             INSERT INTO {ledger} (\"{item}\", \"{place}\", {kind}, \"{quantity}\", {made})
             SELECT 1 + n % 5, 1 + n % 2, CASE WHEN n % 3 = 0 THEN '{goes}' ELSE '{comes}' END, n, now() FROM generate_series(1, 200) AS n"
        ))
        .await;
        let (text, found) = propose(&db, &[], 0).await;
        let of = |key: &str| found["ledger"][key].as_str();
        assert_eq!(of("table"), Some(ledger), "{text}");
        assert_eq!(
            (of("item"), of("location"), of("created_at")),
            (Some(item), Some(place), Some(made)),
            "{text}"
        );
        let expected =
            format!("CASE WHEN \"{kind}\" = '{goes}' THEN -\"{quantity}\" ELSE \"{quantity}\" END");
        assert_eq!(found["ledger"]["quantity"]["sql"].as_str(), Some(&*expected), "{text}");
    }
}

#[tokio::test]
async fn what_is_only_promised_does_not_count() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TYPE movement AS ENUM ('ADJUSTMENT', 'ALLOCATION', 'RELEASE', 'SALE', 'CANCELLATION');
         CREATE TABLE product_variant (id serial PRIMARY KEY, sku text);
         CREATE TABLE stock_location (id serial PRIMARY KEY, name text);
         CREATE TABLE stock_movement (id serial PRIMARY KEY, \"createdAt\" timestamp NOT NULL DEFAULT now(), type movement NOT NULL,
             quantity integer NOT NULL, \"productVariantId\" int REFERENCES product_variant, \"stockLocationId\" int NOT NULL REFERENCES stock_location);
         CREATE TABLE stock_level (id serial PRIMARY KEY, \"stockOnHand\" integer NOT NULL, \"stockAllocated\" integer NOT NULL,
             \"productVariantId\" int NOT NULL REFERENCES product_variant, \"stockLocationId\" int NOT NULL REFERENCES stock_location,
             UNIQUE (\"productVariantId\", \"stockLocationId\"));
         INSERT INTO product_variant (sku) SELECT 'S' || n FROM generate_series(1, 30) AS n;
         INSERT INTO stock_location (name) VALUES ('a'), ('b');
         INSERT INTO stock_movement (type, quantity, \"productVariantId\", \"stockLocationId\")
         SELECT m.type, CASE WHEN m.type = 'SALE' THEN -1 ELSE 1 END * (1 + n % 7), 1 + n % 30, 1 + n % 2
         FROM generate_series(1, 1500) AS n, LATERAL (SELECT (enum_range(NULL::movement))[1 + n / 3 % 5] AS type) AS m;
         INSERT INTO stock_level (\"productVariantId\", \"stockLocationId\", \"stockOnHand\", \"stockAllocated\")
         SELECT \"productVariantId\", \"stockLocationId\", coalesce(sum(quantity) FILTER (WHERE type NOT IN ('ALLOCATION', 'RELEASE')), 0),
                coalesce(sum(CASE type WHEN 'ALLOCATION' THEN quantity WHEN 'RELEASE' THEN -quantity END), 0)
         FROM stock_movement GROUP BY 1, 2; ANALYZE",
    )
    .await;
    let (text, found) = propose(&db, &[], 0).await;
    assert_eq!(found["ledger"]["quantity"].as_str(), Some("quantity"), "{text}");
    assert_eq!(
        found["ledger"]["where"]["sql"].as_str(),
        Some("NOT (\"type\" = 'ALLOCATION' OR \"type\" = 'RELEASE')"),
        "{text}"
    );
    assert_eq!(found["balances"]["quantity"].as_str(), Some("stockOnHand"), "{text}");
    assert!(text.contains("30 of 30 keys have in stock_level.stockOnHand"), "{text}");
    follow(&db, &text).await;
    // Where nobody keeps balances, it is a guess.
    let guess = TestDb::empty().await;
    guess
        .execute(
            "CREATE TABLE parts (id int PRIMARY KEY); INSERT INTO parts SELECT generate_series(1, 5);
             CREATE TABLE part_moves (id serial PRIMARY KEY, part_id int REFERENCES parts, kind text, qty int);
             INSERT INTO part_moves (part_id, kind, qty) SELECT 1 + n % 5, CASE n % 3 WHEN 0 THEN 'RESERVE' ELSE 'MOVE' END, n - 20
             FROM generate_series(1, 60) AS n",
        )
        .await;
    let (text, _) = propose(&guess, &[], 1).await;
    assert!(text.contains("GUESS: whether entries change what lies there is not known of RESERVE"), "{text}");
    assert!(text.contains("they change nothing; else they add:"), "{text}");
}

#[tokio::test]
async fn a_column_each_for_what_comes_and_goes() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE items (id int PRIMARY KEY);
         CREATE TABLE stock_card (id serial PRIMARY KEY, item_id int REFERENCES items, qty_in numeric, qty_out numeric, posted_at timestamptz DEFAULT now());
         INSERT INTO items SELECT generate_series(1, 4);
         INSERT INTO stock_card (item_id, qty_in, qty_out)
         SELECT 1 + n % 4, CASE WHEN n % 3 > 0 THEN n END, CASE WHEN n % 3 = 0 THEN n END FROM generate_series(1, 90) AS n",
    )
    .await;
    let (text, found) = propose(&db, &[], 0).await;
    assert_eq!(found["ledger"]["table"].as_str(), Some("stock_card"), "{text}");
    let quantity = found["ledger"]["quantity"]["sql"].as_str();
    assert_eq!(quantity, Some("(coalesce(\"qty_in\", 0) - coalesce(\"qty_out\", 0))"), "{text}");
    follow(&db, &text).await;
}

#[tokio::test]
async fn what_the_operator_knows_is_taken() {
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    db.execute("CREATE TABLE diary (diaryid serial PRIMARY KEY, productid int, change int, note text);
                INSERT INTO diary (productid, change) SELECT 1 + n % 20, n % 9 - 4 FROM generate_series(1, 300) AS n;
                CREATE TABLE settings (id int PRIMARY KEY, value text)")
        .await;
    let (text, found) =
        propose(&db, &["--ledger", "diary", "--tenant", "settings", "--global", "products"], 0).await;
    assert_eq!(found["ledger"]["table"].as_str(), Some("diary"), "{text}");
    assert!(names(&found).contains(&"settings".to_owned()), "{text}");
    assert!(!names(&found).contains(&"products".to_owned()), "{text}");
    assert!(text.contains("you said that it is everybody's"), "{text}");
    generate(&db).args(["--ledger", "dairy"]).await.refuses(2, "there is no table \"dairy\" in public");
    db.run("db-generate").args(["--ledger", "diary"]).await.refuses(2, "add --propose-config");
}

#[tokio::test]
async fn what_every_command_would_refuse_is_not_proposed() {
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    // A key of another type than the ledger's.
    db.execute("ALTER TABLE stocklevels ALTER COLUMN warehouseid TYPE text").await;
    let (text, found) = propose(&db, &[], 0).await;
    assert_eq!(found["balances"].get("adopt"), None, "{text}");
    assert!(
        text.contains("# Not the balances: stocklevels: ")
            && text.contains("a balance's key has the ledger's types"),
        "{text}"
    );
    follow(&db, &text).await;
    // What is refused whatever is left out is told as that.
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    db.execute(
        "ALTER TABLE stockmoves ADD COLUMN old text; DROP TABLE stocklevels;
         UPDATE stockmoves SET movetype = 'RECEIPT' WHERE movetype = 'PROMO';
         CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         ALTER TABLE stockmoves ALTER COLUMN productid TYPE text COLLATE folded;
         ALTER TABLE products ALTER COLUMN productid TYPE text COLLATE folded",
    )
    .await;
    let (text, _) = propose(&db, &[], 1).await;
    assert!(text.starts_with("# EVERY COMMAND WOULD REFUSE THIS: "), "{text}");
    assert!(text.contains("takes values for equal whose texts differ"), "{text}");
}

#[tokio::test]
async fn organizations_that_are_there_are_told() {
    let db = TestDb::empty().await;
    db.execute(JOINED).await;
    db.execute(
        "CREATE TABLE companies (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, slug text UNIQUE);
         INSERT INTO companies (name, slug) VALUES ('Acme', 'acme');
         ALTER TABLE stockmoves ADD COLUMN companyid uuid REFERENCES companies;
         ALTER TABLE products ADD COLUMN companyid uuid REFERENCES companies",
    )
    .await;
    let (text, _) = propose(&db, &[], 1).await;
    assert!(
        text.contains("# THERE ARE ORGANIZATIONS ALREADY, it seems: companies; products.companyid, stockmoves.companyid refer to it."),
        "{text}"
    );
    let report = generate(&db).args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["organizations"]["table"], "companies");
}
