//! The mapped databases: other names, other types of keys, keys of two columns, partitions, two postings an entry.

use serde_json::Value;
use testkit::{Binary, Mapped, TestDb};

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
    run("migrate-all").arg("--contract").await.ok();
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
    run("migrate-all").arg("--contract").await.ok();
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

/// The ERP, migrated with what `script` makes beforehand and with `tables` tenant-scoped too.
struct Erp {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Erp {
    async fn with(script: &str, tables: &str) -> Self {
        let db = TestDb::mapped(Mapped::Erp).await;
        db.execute(script).await;
        let folder = Mapped::Erp.config_with(|text| {
            text.replace("    \"stock_quant\",\n", &format!("    \"stock_quant\",\n    {tables}\n"))
        });
        let erp = Self { db, folder };
        erp.run("migrate-all").arg("--contract").await.ok();
        erp.run("org-create").args(["--id", "acme", "--name", "Acme"]).await.ok();
        erp
    }

    fn run(&self, command: &str) -> Binary {
        self.db.run(command).arg("--config").arg(self.folder.path().join("stockfoil.toml"))
    }

    /// Moves two items with what belongs to them.
    fn assign(&self, more: &[&str]) -> Binary {
        let copies = ["stock_location", "stock_picking", "product_template"];
        self.run("data-assign")
            .args(["--org-id", "acme", "--yes", "--items", "default_code in (\"P0001\", \"P0002\")"])
            .args(copies.map(|table| ["--copy-shared", table]).concat())
            .args(more)
    }

    async fn places(&self) -> Vec<Vec<String>> {
        self.db.rows("SELECT id, org_id FROM stock_quant ORDER BY id").await
    }

    /// Refuses to move, and to plan it, for the reason `part`; nothing has moved.
    async fn refuses(&self, more: &[&str], part: &str) {
        let before = self.places().await;
        for dry_run in [&["--dry-run"][..], &[]] {
            self.assign(&[more, dry_run].concat()).await.refuses(3, part);
        }
        assert_eq!(self.places().await, before);
        assert_eq!(self.db.value("SELECT count(*) FROM stockfoil.move").await, "0");
    }
}

/// The balances that go with the two items.
const OF_ITEMS: &str = "(SELECT id FROM product_product WHERE default_code IN ('P0001', 'P0002'))";

#[tokio::test]
async fn what_leads_to_balances_that_go_by_way_of_nobodys_rows_is_not_left_behind() {
    let erp = Erp::with(
        "CREATE TABLE slip (id serial PRIMARY KEY, quant_id integer REFERENCES stock_quant (id));
         CREATE TABLE sheet (id serial PRIMARY KEY, slip_id integer REFERENCES slip (id));
         CREATE TABLE note (id serial PRIMARY KEY, sheet_id integer REFERENCES sheet (id))",
        "\"note\",",
    )
    .await;
    erp.db
        .execute(format!(
            "INSERT INTO slip (quant_id) SELECT id FROM stock_quant WHERE product_id IN {OF_ITEMS} ORDER BY id LIMIT 3;
             INSERT INTO sheet (slip_id) SELECT id FROM slip;
             INSERT INTO note (sheet_id) SELECT id FROM sheet"
        ))
        .await;
    erp.refuses(
        &[],
        "3 rows of note (foreign key note_sheet_id_fkey, by way of sheet, slip) refer to rows of stock_quant",
    )
    .await;
    erp.assign(&["--rows", "note where id <= 3"]).await.ok();
    assert_eq!(erp.db.value("SELECT count(*) FROM note WHERE org_id = 'acme'").await, "3");
}

#[tokio::test]
async fn balances_and_what_they_refer_to_stay_of_one_organization() {
    let erp = Erp::with(
        "CREATE TABLE package (id serial PRIMARY KEY);
         INSERT INTO package SELECT FROM generate_series(1, 2);
         ALTER TABLE stock_quant ADD parent_id integer REFERENCES stock_quant (id), ADD package_id integer REFERENCES package (id)",
        "\"package\",",
    )
    .await;
    let going = format!("(SELECT min(id) FROM stock_quant WHERE product_id IN {OF_ITEMS})");
    let staying = format!("(SELECT max(id) FROM stock_quant WHERE product_id NOT IN {OF_ITEMS})");
    let clear = "UPDATE stock_quant SET parent_id = NULL, package_id = NULL WHERE parent_id IS NOT NULL OR package_id IS NOT NULL";
    for (child, parent) in [(&going, &staying), (&staying, &going)] {
        erp.db
            .execute(format!("{clear}; UPDATE stock_quant SET parent_id = {parent} WHERE id = {child}"))
            .await;
        erp.refuses(&[], "1 by foreign key stock_quant_parent_id_fkey onto stock_quant").await;
    }
    let package = "1 by foreign key stock_quant_package_id_fkey onto package";
    erp.db.execute(format!("{clear}; UPDATE stock_quant SET package_id = 1 WHERE id = {going}")).await;
    erp.refuses(&[], package).await;
    erp.db.execute(format!("UPDATE stock_quant SET package_id = 2 WHERE id = {staying}")).await;
    erp.refuses(&["--rows", "package where id <= 2"], package).await;
    let report = erp.assign(&["--rows", "package where id = 1", "--format", "json"]).await.ok().json();
    let crossing = "SELECT count(*) FROM stock_quant AS q JOIN package AS p ON p.id = q.package_id WHERE q.org_id <> p.org_id";
    assert_eq!(erp.db.value(crossing).await, "0");
    assert_eq!(erp.db.value("SELECT string_agg(org_id, ' ' ORDER BY id) FROM package").await, "acme default");
    // It goes back, and nothing crosses then either.
    erp.db
        .execute("UPDATE stock_quant SET package_id = 1 WHERE id = (SELECT max(id) FROM stock_quant WHERE org_id = 'acme')")
        .await;
    erp.run("data-assign").args(["--yes", "--undo", &report["run_id"].to_string()]).await.ok();
    assert_eq!(erp.db.value(crossing).await, "0");
}

#[tokio::test]
async fn rows_that_a_trigger_of_the_balances_takes_along_keep_them_from_moving() {
    let erp = Erp::with("CREATE TABLE badge (id serial PRIMARY KEY, quant integer)", "\"badge\",").await;
    erp.db
        .execute(
            "INSERT INTO badge (quant) SELECT id FROM stock_quant;
             CREATE FUNCTION badge_follows() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN UPDATE badge SET org_id = NEW.org_id WHERE quant = NEW.id; RETURN NULL; END $$;
             CREATE TRIGGER badge_follows AFTER UPDATE OF org_id ON stock_quant FOR EACH ROW
             WHEN (OLD.org_id <> NEW.org_id) EXECUTE FUNCTION badge_follows()",
        )
        .await;
    let before = erp.places().await;
    erp.assign(&[]).await.refuses(3, "changed whose other rows of badge are");
    assert_eq!(erp.places().await, before);
    assert_eq!(erp.db.value("SELECT count(*) FROM badge WHERE org_id <> 'default'").await, "0");
}
