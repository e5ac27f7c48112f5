//! The mapped databases: other names, other types of keys, keys of two columns, partitions, two postings an entry.

use serde_json::Value;
use testkit::{Mapped, TestDb};

use super::assign;

async fn migrated(mapped: Mapped, acme: &str) -> TestDb {
    let db = TestDb::mapped_migrated(mapped).await;
    db.run("org-create").args(["--id", acme, "--name", "Acme"]).await.ok();
    db
}

/// Moves by `args`; proves the balances, that no reference but one to people crosses, and that undoing it leaves every row
/// as it was.
async fn moves_and_goes_back(mapped: Mapped, acme: &str, args: &[&str], tables: &[&str], crossing: &str) {
    let db = migrated(mapped, acme).await;
    let what = mapped.name();
    db.run("reconcile-balances").await.ok();
    let everything = async || {
        let mut rows = Vec::new();
        for table in tables {
            rows.extend(db.rows(format!("SELECT t::text FROM {table} AS t ORDER BY 1")).await);
        }
        rows
    };
    let before = everything().await;
    let sums = format!(
        "SELECT org, item, location, lot, trim_scale(quantity) FROM ({}) AS e ORDER BY 1, 2, 3, 4",
        mapped.entries()
    );
    let sums_before = db.rows(&sums).await;
    let args = [&["--org-id", acme][..], args].concat();
    let plan: Value = assign(&db, 0, &[&args[..], &["--dry-run"]].concat()).await;
    assert!(plan["rows"].as_u64().unwrap() > 10, "{what}: {plan}");
    assert_eq!(everything().await, before, "{what}: a dry run changed something");
    let report = assign(&db, 0, &args).await;
    assert_eq!((&report["rows"], &report["tables"]), (&plan["rows"], &plan["tables"]), "{what}");
    assert_eq!(db.rows(mapped.wrong_keys()).await, [[""; 0]; 0], "{what}");
    assert_ne!(db.rows(&sums).await, sums_before, "{what}");
    assert_eq!(db.value(crossing).await, "0", "{what}");
    db.run("reconcile-balances").await.ok();
    db.run("reconcile-balances").arg("--full").await.ok();
    assert_eq!(assign(&db, 0, &args).await["rows"], 0, "{what}");
    assign(&db, 0, &["--undo", &report["run_id"].to_string()]).await;
    assert_eq!(everything().await, before, "{what}");
    assert_eq!(db.rows(&sums).await, sums_before, "{what}");
    assert_eq!(db.rows(mapped.wrong_keys()).await, [[""; 0]; 0], "{what}");
}

#[tokio::test]
async fn uuids_and_lots_that_belong_to_items() {
    let copies = ["Lot", "Location", "StockCount"].map(|table| ["--copy-shared", table]).concat();
    moves_and_goes_back(
        Mapped::Prisma,
        "11111111-1111-4111-8111-111111111111",
        &[&["--locations", "siteCode = \"S1*\"", "--copy-shared-items"][..], &copies].concat(),
        &["\"Item\"", "\"Location\"", "\"Lot\"", "\"StockCount\"", "\"StockCountLine\""],
        r#"SELECT (SELECT count(*) FROM "StockMovement" AS m JOIN "Item" AS i ON i.id = m."itemId" JOIN "Location" AS l ON l.id = m."locationId"
                   LEFT JOIN "Lot" AS t ON t.id = m."lotId"
                   WHERE m."organizationId" <> i."organizationId" OR m."organizationId" <> l."organizationId"
                      OR m."organizationId" <> t."organizationId" OR t."itemId" <> i.id)
                + (SELECT count(*) FROM "Lot" AS t JOIN "Item" AS i ON i.id = t."itemId" WHERE t."organizationId" <> i."organizationId")"#,
    )
    .await;
}

#[tokio::test]
async fn two_ends_of_a_move_and_balances_that_were_there() {
    let copies = ["stock_location", "stock_picking", "product_template"]
        .map(|table| ["--copy-shared", table])
        .concat();
    let items = ["--rows", "product_product where default_code in (\"P0001\", \"P0002\")"];
    moves_and_goes_back(
        Mapped::Erp,
        "acme",
        &[&items[..], &copies].concat(),
        &["product_template", "product_product", "stock_location", "stock_lot", "stock_picking"],
        "SELECT count(*) FROM stock_move AS m JOIN product_product AS p ON p.id = m.product_id JOIN product_template AS t ON t.id = p.product_tmpl_id
         JOIN stock_location AS f ON f.id = m.location_id JOIN stock_location AS d ON d.id = m.location_dest_id
         WHERE (m.org_id, m.org_id, m.org_id, m.org_id) <> (p.org_id, t.org_id, f.org_id, d.org_id)",
    )
    .await;
}

#[tokio::test]
async fn partitions_and_no_lots() {
    moves_and_goes_back(
        Mapped::Warehouse,
        "acme",
        &["--locations", "code = \"LYON\"", "--copy-shared-items", "--copy-shared", "documents"],
        &["articles", "warehouses", "documents", "stock_transactions", "reorder_levels"],
        "SELECT count(*) FROM stock_transactions AS s JOIN articles AS a USING (article_id) JOIN warehouses AS w USING (warehouse_id)
         LEFT JOIN documents AS d USING (document_id) WHERE s.org_id <> a.org_id OR s.org_id <> w.org_id OR s.org_id <> d.org_id",
    )
    .await;
}

#[tokio::test]
async fn two_schemas_and_a_key_that_changes_with_what_it_refers_to() {
    moves_and_goes_back(
        Mapped::TwoSchemas,
        "7",
        &["--items", "code = \"OR7\"", "--copy-shared", "weigh-bill", "--copy-shared", "\"Trade.Hub\".people"],
        &[
            "plant.items",
            "plant.\"weigh-bill\"",
            "plant.\"Stock.Entries\"",
            "\"Trade.Hub\".items",
            "\"Trade.Hub\".people",
            "\"Trade.Hub\".\"select\"",
        ],
        r#"SELECT count(*) FROM plant."Stock.Entries" AS e JOIN plant.items AS i ON i.code = e."item code" JOIN plant."weigh-bill" AS b USING (bill_id)
           WHERE e."tenant id" <> i."tenant id" OR e."tenant id" <> b."tenant id""#,
    )
    .await;
    let db = migrated(Mapped::TwoSchemas, "7").await;
    let run =
        |args: &'static [&'static str]| db.run("data-assign").args(["--org-id", "7", "--yes"]).args(args);
    run(&["--locations", "code = 'x'"]).await.refuses(2, "no table of locations");
    run(&["--items", "code = 'OR7'", "--copy-shared-items"])
        .await
        .refuses(2, "has no default that makes a new one");
    run(&["--rows", "people where name = 'x'"]).await.refuses(2, "several tenant-scoped tables are called");
}

#[tokio::test]
async fn balances_that_the_application_keeps_move_with_their_entries() {
    let db = TestDb::mapped(Mapped::Erp).await;
    let folder = Mapped::Erp
        .config_with(|text| text.replace("adopt = true\n", "adopt = true\nkept_by = \"application\"\n"));
    let path = folder.path().join("stockfoil.toml");
    let run = |command: &str| db.run(command).arg("--config").arg(&path);
    run("migrate-all").await.ok();
    run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
    // A difference of before is no business of a move: it stays what it is.
    db.execute("UPDATE stock_quant SET quantity = quantity + 100 WHERE id = (SELECT min(id) FROM stock_quant WHERE product_id = 5)").await;
    let wrong = db.rows(Mapped::Erp.wrong_keys()).await;
    assert_eq!(wrong.len(), 1);
    let balances = format!(
        "SELECT org, item, location, lot, trim_scale(quantity) FROM ({}) AS b WHERE quantity <> 0 ORDER BY 1, 2, 3, 4",
        Mapped::Erp.balances()
    );
    let before = db.rows(&balances).await;
    let copies = ["stock_location", "stock_picking", "product_template"]
        .map(|table| ["--copy-shared", table])
        .concat();
    let report = run("data-assign")
        .args([
            "--org-id",
            "acme",
            "--yes",
            "--batch-rows",
            "7",
            "--format",
            "json",
            "--items",
            "default_code in (\"P0001\", \"P0002\")",
        ])
        .args(copies)
        .await
        .ok()
        .json();
    assert!(report["rows"].as_u64().unwrap() > 50, "{report}");
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, wrong);
    assert_ne!(db.rows(&balances).await, before);
    run("data-assign").args(["--yes", "--undo", &report["run_id"].to_string()]).await.ok();
    assert_eq!(db.rows(Mapped::Erp.wrong_keys()).await, wrong);
    assert_eq!(db.rows(&balances).await, before);
}

#[tokio::test]
async fn what_refers_to_balances_that_go_is_not_left_behind() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(
        "CREATE TABLE cyc (id serial PRIMARY KEY, quant_id integer NOT NULL REFERENCES stock_quant (id))",
    )
    .await;
    let folder = Mapped::Erp
        .config_with(|text| text.replace("    \"stock_quant\",\n", "    \"stock_quant\",\n    \"cyc\",\n"));
    let path = folder.path().join("stockfoil.toml");
    let run = |command: &str| db.run(command).arg("--config").arg(&path);
    run("migrate-all").await.ok();
    run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
    let copies = ["stock_location", "stock_picking", "product_template"]
        .map(|table| ["--copy-shared", table])
        .concat();
    let items = ["--org-id", "acme", "--yes", "--items", "default_code in (\"P0001\", \"P0002\")"];
    let assign =
        |more: &'static [&'static str]| run("data-assign").args(items).args(copies.clone()).args(more);
    let of_items = "stock_quant WHERE product_id IN (SELECT id FROM product_product WHERE default_code IN ('P0001', 'P0002'))";
    db.execute(format!("INSERT INTO cyc (quant_id) SELECT id FROM {of_items} LIMIT 3")).await;
    // One of a balance that stays is in nobody's way.
    db.execute(format!("INSERT INTO cyc (quant_id) SELECT max(id) FROM stock_quant WHERE id NOT IN (SELECT id FROM {of_items})")).await;
    let places = "SELECT id, org_id FROM stock_quant ORDER BY id";
    let before = db.rows(places).await;
    for more in [&["--dry-run"][..], &[]] {
        assign(more)
            .await
            .refuses(3, "3 rows of cyc (foreign key cyc_quant_id_fkey) refer to rows of stock_quant");
    }
    assert_eq!(db.rows(places).await, before);
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.move").await, "0");

    let report = assign(&["--rows", "cyc where id <= 3", "--format", "json"]).await.ok().json();
    let crossing =
        "SELECT count(*) FROM cyc AS c JOIN stock_quant AS q ON q.id = c.quant_id WHERE c.org_id <> q.org_id";
    assert_eq!(db.value(crossing).await, "0");
    assert_eq!(db.value("SELECT count(*) FROM cyc WHERE org_id = 'acme'").await, "3");
    // Nor are rows that came since when it goes back.
    let undo = || run("data-assign").args(["--yes", "--undo", &report["run_id"].to_string()]);
    db.execute(
        "INSERT INTO cyc (quant_id, org_id) SELECT id, 'acme' FROM stock_quant WHERE org_id = 'acme' LIMIT 1",
    )
    .await;
    undo().await.refuses(3, "1 rows of cyc");
    assert_eq!(db.value(crossing).await, "0");
    db.execute("DELETE FROM cyc WHERE id > 4").await;
    undo().await.ok();
    assert_eq!(db.rows(places).await, before);
    assert_eq!(db.value("SELECT count(*) FROM cyc WHERE org_id = 'acme'").await, "0");
}
