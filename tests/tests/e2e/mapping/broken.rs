//! Configurations that do not hold: each is refused before anything is done, with its line, what was found there and
//! what to write instead.

use std::fs;

use testkit::{Mapped, TestDb};

/// What is changed in a mapped database's own file, and what must be said of it.
struct Case {
    what: &'static str,
    mapped: Mapped,
    /// A text of the file, and what stands there instead, where it stands first. The line that is wrong ends with `#!`; where that is none
    /// of them, the refusal names no line.
    edits: &'static [(&'static str, &'static str)],
    words: &'static [&'static str],
}

const fn case(
    what: &'static str,
    mapped: Mapped,
    edits: &'static [(&'static str, &'static str)],
    words: &'static [&'static str],
) -> Case {
    Case { what, mapped, edits, words }
}

use Mapped::{Erp, Prisma, TwoSchemas, Warehouse};

const CASES: &[Case] = &[
    // What no database is needed for.
    case(
        "a section misspelled",
        Warehouse,
        &[("[ledger]", "[ledgr] #!")],
        &["`ledgr`", "did you mean `ledger`?"],
    ),
    case(
        "a key of tenancy misspelled",
        Warehouse,
        &[("tables = [", "tabels = [ #!")],
        &["`tabels`", "did you mean `tables`?"],
    ),
    case(
        "a key of the ledger misspelled",
        Warehouse,
        &[("item = \"article_id\"", "itme = \"article_id\" #!")],
        &["`itme`", "did you mean `item`?"],
    ),
    case(
        "a key of the balances misspelled",
        Warehouse,
        &[("table = \"stock_on_hand\"", "tabel = \"stock_on_hand\" #!")],
        &["`tabel`", "did you mean `table`?"],
    ),
    case(
        "a key of a posting misspelled",
        Erp,
        &[("location = \"location_dest_id\"", "locaton = \"location_dest_id\" #!")],
        &["`locaton`", "did you mean `location`?"],
    ),
    case(
        "a key of the users misspelled",
        Warehouse,
        &[("email = \"mail\"", "emial = \"mail\" #!")],
        &["`emial`", "did you mean `email`?"],
    ),
    case(
        "a key of an expression misspelled",
        Warehouse,
        &[("lot = false", "lot = { sq = \"x\" } #!")],
        &["sql"],
    ),
    case(
        "a type that organizations can't have",
        Prisma,
        &[("org_type = \"uuid\"", "org_type = \"serial\" #!")],
        &["text", "uuid", "bigint"],
    ),
    case("a text without quotes", Prisma, &[("org_type = \"uuid\"", "org_type = uuid #!")], &["string"]),
    case("a number for a column", Warehouse, &[("item = \"article_id\"", "item = 5 #!")], &["column"]),
    case("true for a column", Warehouse, &[("lot = false", "lot = true #!")], &["false"]),
    case(
        "false for what must be there",
        Warehouse,
        &[("item = \"article_id\"", "item = false #!")],
        &["item"],
    ),
    case(
        "no tables at all",
        Prisma,
        &[("tables = [", "tables = [] #!\nreserved_subdomains = [")],
        &["tables"],
    ),
    case(
        "a default organization that is no uuid",
        Prisma,
        &[("items = \"Item\"", "items = \"Item\"\ndefault_org_id = \"default\" #!")],
        &["uuid", "default"],
    ),
    case(
        "a default organization that is no number",
        TwoSchemas,
        &[("default_org_id = \"1\"", "default_org_id = \"one\" #!")],
        &["bigint", "one"],
    ),
    case(
        "a keeper that there is none of",
        Erp,
        &[("adopt = true", "adopt = true\nkept_by = \"trigger\" #!")],
        &["triggers", "application"],
    ),
    case(
        "a name of three parts",
        TwoSchemas,
        &[("items = \"items\"", "items = \"db.plant.items\" #!")],
        &["db.plant.items", "schema.table"],
    ),
    case(
        "a quote that is not closed",
        TwoSchemas,
        &[("items = \"items\"", "items = '\"items' #!")],
        &["quote"],
    ),
    case("an empty name", Warehouse, &[("items = \"articles\"", "items = \"\" #!")], &["empty"]),
    case(
        "a name that would be cut",
        Warehouse,
        &[(
            "items = \"articles\"",
            "items = \"articles_articles_articles_articles_articles_articles_articles_articles\" #!",
        )],
        &["63 bytes"],
    ),
    case(
        "a key given twice",
        Warehouse,
        &[("lot = false", "lot = false\nlot = false #!")],
        &["duplicate key"],
    ),
    case(
        "a table listed twice",
        Warehouse,
        &[("    \"articles\",", "    \"articles\",\n    \"articles\", #!")],
        &["articles", "twice"],
    ),
    case(
        "no columns for the entry's key",
        Warehouse,
        &[("id = \"transaction_id\"", "id = [] #!")],
        &["an empty list names no column"],
    ),
    case(
        "lots in the ledger and none in the balances",
        Prisma,
        &[(
            "lot = \"lotId\"\nquantity = \"quantity\"\nlast",
            "lot = false #!\nquantity = \"quantity\"\nlast",
        )],
        &["lot", "ledger"],
    ),
    case(
        "a balances column that is named twice",
        Warehouse,
        &[("quantity = \"quantity\"\nlast", "quantity = \"article_id\" #!\nlast")],
        &["article_id", "twice"],
    ),
    // What the catalog shows.
    case(
        "a table that is not there",
        Warehouse,
        &[("    \"articles\",", "    \"artciles\", #!")],
        &["artciles", "did you mean \"articles\"?"],
    ),
    case(
        "a table in the wrong case",
        Prisma,
        &[("    \"Item\",", "    \"item\", #!")],
        &["item", "did you mean \"Item\"?"],
    ),
    case(
        "a schema that is not there",
        TwoSchemas,
        &[("schemas = [\"plant\", \"Trade.Hub\"]", "schemas = [\"plnat\", \"Trade.Hub\"] #!")],
        &["plnat", "did you mean \"plant\"?"],
    ),
    case(
        "a table in a schema that is not there",
        TwoSchemas,
        &[("    \"plant.items\",", "    \"plants.items\", #!")],
        &["plants"],
    ),
    case(
        "a view",
        Warehouse,
        &[("    \"articles\",", "    \"articles\",\n    \"stock_by_warehouse\", #!")],
        &["stock_by_warehouse", "view"],
    ),
    case(
        "a partition",
        Warehouse,
        &[("    \"articles\",", "    \"articles\",\n    \"stock_transactions_2025_01\", #!")],
        &["stock_transactions_2025_01", "partition"],
    ),
    case(
        "a ledger that is no tenant table",
        Warehouse,
        &[
            ("    \"stock_transactions\",\n", ""),
            ("table = \"stock_transactions\"", "table = \"stock_transactions\" #!"),
        ],
        &["stock_transactions", "tables"],
    ),
    case(
        "users that are no tenant table",
        Warehouse,
        &[("    \"employees\",\n", ""), ("table = \"employees\"", "table = \"employees\" #!")],
        &["employees", "tables"],
    ),
    case(
        "items that are no tenant table",
        Warehouse,
        &[("items = \"articles\"", "items = \"calendar_days\" #!")],
        &["calendar_days", "tables"],
    ),
    case(
        "a column of the ledger that is not there",
        Warehouse,
        &[(
            "item = \"article_id\"\nlocation = \"warehouse_id\"\nlot = false\nquantity = {",
            "item = \"artikel_id\" #!\nlocation = \"warehouse_id\"\nlot = false\nquantity = {",
        )],
        &["artikel_id", "did you mean \"article_id\"?"],
    ),
    case(
        "a column of the key that is not there",
        TwoSchemas,
        &[("id = [\"bill_id\", \"line no\"]", "id = [\"bill_id\", \"lineno\"] #!")],
        &["lineno", "did you mean \"line no\"?"],
    ),
    case(
        "an address that is not there",
        Warehouse,
        &[("email = \"mail\"", "email = \"email\" #!")],
        &["email", "mail"],
    ),
    case(
        "a quantity that is a text",
        Warehouse,
        &[(
            "quantity = { sql = \"CASE direction WHEN 'IN' THEN quantity ELSE -quantity END\" }",
            "quantity = \"direction\" #!",
        )],
        &["ledger.quantity", "text", "numeric"],
    ),
    case(
        "a quantity in floating point",
        Warehouse,
        &[(
            "quantity = { sql = \"CASE direction WHEN 'IN' THEN quantity ELSE -quantity END\" }",
            "quantity = { sql = \"quantity::float8\" } #!",
        )],
        &["double precision", "::numeric"],
    ),
    case(
        "a time that is a number",
        Warehouse,
        &[("created_at = \"booked_at\"", "created_at = \"line_no\" #!")],
        &["ledger.created_at", "integer", "timestamp"],
    ),
    case(
        "an expression that does not parse",
        Warehouse,
        &[(
            "quantity = { sql = \"CASE direction WHEN 'IN' THEN quantity ELSE -quantity END\" }",
            "quantity = { sql = \"CASE direction WHEN 'IN' THEN quantity\" } #!",
        )],
        &["syntax error"],
    ),
    case(
        "an expression over a column that is not there",
        Warehouse,
        &[(
            "quantity = { sql = \"CASE direction WHEN 'IN' THEN quantity ELSE -quantity END\" }",
            "quantity = { sql = \"qty\" } #!",
        )],
        &["qty"],
    ),
    case(
        "a condition that is none",
        Erp,
        &[("where = { sql = \"state = 'done'\" }", "where = { sql = \"state\" } #!")],
        &["boolean"],
    ),
    case(
        "balances that are there and not adopted",
        Erp,
        &[("table = \"stock_quant\"\nadopt = true", "table = \"stock_quant\" #!")],
        &["stock_quant", "adopt"],
    ),
    case(
        "balances that are not there to adopt",
        Erp,
        &[("table = \"stock_quant\"\nadopt = true", "table = \"stock_quants\" #!\nadopt = true")],
        &["stock_quants", "stock_quant"],
    ),
    case(
        "an adopted column that is not there",
        Erp,
        &[("quantity = \"quantity\"\nlast", "quantity = \"qty\" #!\nlast")],
        &["qty", "quantity"],
    ),
    case(
        "organizations whose name is taken",
        TwoSchemas,
        &[("organizations = \"tenants\"", "organizations = \"organizations\" #!")],
        &["organizations", "another"],
    ),
    case(
        "an organization column of another type",
        Warehouse,
        &[("items = \"articles\"", "items = \"articles\"\norg_column = \"warehouse_id\" #!")],
        &["warehouse_id", "smallint", "text"],
    ),
];

#[tokio::test]
async fn each_is_refused_with_its_line_and_the_remedy() {
    assert!(CASES.len() >= 25);
    let databases = Mapped::ALL.map(|mapped| async move { (mapped, TestDb::mapped(mapped).await) });
    let mut dbs = Vec::new();
    for database in databases {
        dbs.push(database.await);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stockfoil.toml");
    let mut wrong = Vec::new();
    for Case { what, mapped, edits, words } in CASES {
        let mut text = fs::read_to_string(mapped.config()).unwrap();
        for (from, to) in *edits {
            assert!(text.contains(from), "{what}: {from}");
            text = text.replacen(from, to, 1);
        }
        let line = text.lines().position(|line| line.ends_with("#!")).unwrap() + 1;
        fs::write(&file, &text).unwrap();
        let (_, db) = dbs.iter().find(|(name, _)| name == mapped).unwrap();
        let run = db.run("migrate-all").arg("--contract").arg("--config").arg(&file).await;
        let place = format!("{}: line {line}: ", file.display());
        let mut missing: Vec<&str> =
            words.iter().filter(|word| !run.stderr.contains(*word)).copied().collect();
        if !run.stderr.contains(&place) {
            missing.push(&place);
        }
        let errors = run.stderr.lines().filter(|line| line.contains("error: ")).count();
        if run.status != 2 || errors != 1 || !run.stdout.is_empty() || !missing.is_empty() {
            wrong.push(format!("{what}: status {}, without {missing:?}: {}", run.status, run.stderr));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    for (mapped, db) in dbs {
        let made = db.value("SELECT to_regnamespace('stockfoil') IS NULL").await;
        assert_eq!(made, "t", "{}: a refused configuration changed something", mapped.name());
    }
}
