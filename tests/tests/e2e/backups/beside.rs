//! What production has and a backup lacks beside the number of rows: organizations, constraints and indexes, values of
//! sequences, large objects, roles, extensions, databases.

use super::{
    good::{base_backup, cluster_of, folder_for, sql},
    matrix::{PRODUCTION, RECORDS, Row},
    *,
};

/// The inventory of three organizations with entries from before any backup, and what an application keeps beside it.
async fn application() -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO organizations (id, name, subdomain, created_at)
        SELECT 'org-' || n, 'Org ' || n, 'org' || n, now() - interval '1 day' FROM generate_series(1, 3) n;
        INSERT INTO items (org_id, item_number, name) SELECT 'org-' || n, 'I-1', 'Item' FROM generate_series(1, 3) n;
        INSERT INTO locations (org_id, site, name) SELECT 'org-' || n, 'Hall', 'A' FROM generate_series(1, 3) n;
        INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
        SELECT i.org_id, i.id, l.id, n, now() - interval '3 hours'
        FROM items i JOIN locations l ON l.org_id = i.org_id,
        generate_series(1, CASE i.org_id WHEN 'org-3' THEN 2 ELSE 200 END) n;
        INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
        SELECT org_id, item_id, location_id, 1, now() - interval '1 hour' FROM inventory_ledger WHERE org_id = 'org-1' LIMIT 1;
        CREATE TABLE orders (id serial PRIMARY KEY, number text);
        CREATE INDEX orders_number ON orders (number);
        INSERT INTO orders (number) SELECT n FROM generate_series(1, 20) n",
    )
    .await;
    db
}

/// A dump that lacks something, and how it is made.
pub(super) struct Made {
    pub(super) row: Row,
    /// What pg_dump is given.
    args: &'static [&'static str],
    /// What happens to the copy that is dumped; nothing, where production itself is.
    copy: &'static str,
    /// What happens in production since.
    since: &'static str,
}

const fn made(row: Row, args: &'static [&'static str], copy: &'static str, since: &'static str) -> Made {
    Made { row, args, copy, since }
}

const fn row(
    of: &'static str,
    damage: &'static str,
    depth: &'static str,
    said: &'static str,
    witness: &'static str,
) -> Row {
    Row { of, damage, depth, said, witness, damages: |_| {} }
}

/// What production has of a dump's database, and the dump lacks.
pub(super) const MATRIX: [Made; 13] = [
    made(
        row("SQL dump of a copy", "entries lost in the midst", "restore", "were not restored", PRODUCTION),
        &["-Fp"],
        "DELETE FROM inventory_ledger WHERE id IN (SELECT id FROM inventory_ledger WHERE org_id = 'org-1' LIMIT 2)",
        "",
    ),
    made(
        row("SQL dump of a copy", "entries of an organization's day lost", "full", "of the organizations org-1 (2 of 201, of ", PRODUCTION),
        &["-Fp"],
        "DELETE FROM inventory_ledger WHERE id IN (SELECT id FROM inventory_ledger WHERE org_id = 'org-1' LIMIT 2);
        INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical)
        SELECT org_id, item_id, location_id, 1 FROM inventory_ledger WHERE org_id = 'org-1' LIMIT 9",
        "",
    ),
    made(
        row("custom dump", "entries of an organization's day lost", "full", "of the organizations org-2 (7 of 207, of ", PRODUCTION),
        &["-Fc"],
        "",
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at, stockfoil_tx)
        SELECT org_id, item_id, location_id, 1, created_at, stockfoil_tx FROM inventory_ledger WHERE org_id = 'org-2' LIMIT 7",
    ),
    made(
        row("SQL dump of a copy", "an organization lost", "full", "lacks organizations that production has", PRODUCTION),
        &["-Fp"],
        "DELETE FROM inventory_ledger WHERE org_id = 'org-3'; DELETE FROM inventory_balances WHERE org_id = 'org-3';
        DELETE FROM items WHERE org_id = 'org-3'; DELETE FROM locations WHERE org_id = 'org-3';
        DELETE FROM organizations WHERE id = 'org-3'",
        "",
    ),
    made(
        row("SQL dump of a copy", "an organization's entries lost", "full", "of organizations of which production has some", PRODUCTION),
        &["-Fp"],
        "DELETE FROM inventory_ledger WHERE org_id = 'org-3'",
        "",
    ),
    made(
        row("SQL dump of a copy", "no entries at all, as expect_empty expects", "full", "holds 0 rows of inventory_ledger", PRODUCTION),
        &["-Fp"],
        "DELETE FROM inventory_ledger",
        "",
    ),
    made(
        row("custom dump", "a table left out", "full", "lacks tables that production has: orders", PRODUCTION),
        &["-Fc", "--exclude-table=orders"],
        "",
        "",
    ),
    made(
        row("custom dump", "fewer rows than production's estimate", "full", "holds 20 rows of orders", PRODUCTION),
        &["-Fc"],
        "",
        "INSERT INTO orders (number) SELECT n FROM generate_series(1, 900) n; ANALYZE orders",
    ),
    made(
        row("custom dump", "an index left out, or made since", "full", "lacks what production has: index orders_both", PRODUCTION),
        &["-Fc"],
        "",
        "CREATE INDEX orders_both ON orders (id, number)",
    ),
    made(
        row("custom dump", "an extension left out, or made since", "full", "lacks what production has: extension pg_trgm", PRODUCTION),
        &["-Fc"],
        "",
        "CREATE EXTENSION pg_trgm",
    ),
    made(
        row("custom dump", "large objects left out", "full", "holds 0 large objects, and production has 120", PRODUCTION),
        &["-Fc", "--no-blobs"],
        "",
        "SELECT lo_from_bytea(0, 'large') FROM generate_series(1, 120)",
    ),
    made(
        row("custom dump", "values of sequences left out", "full", "holds no value of the sequences orders_id_seq", RECORDS),
        &["-Fc", "--exclude-table-data=orders_id_seq"],
        "",
        "",
    ),
    made(
        row("custom dump", "keys and indexes left out (--section)", "full", "holds no key and no index", RECORDS),
        &["-Fc", "--section=pre-data", "--section=data"],
        "",
        "",
    ),
];

/// The same of a whole cluster.
pub(super) const CLUSTER: [Row; 3] = [
    row(
        "cluster dump",
        "a role and a database left out, or made since",
        "full",
        "lacks what production's cluster has: database sales, role keeper",
        PRODUCTION,
    ),
    row(
        "globals beside a dump",
        "a role left out, or made since",
        "full",
        "globals.sql, beside it, lacks what production's cluster has: role keeper",
        PRODUCTION,
    ),
    row(
        "base backup",
        "a view, a role and a database made since",
        "restore",
        "lacks what production's cluster has: database sales, role keeper",
        PRODUCTION,
    ),
];

#[tokio::test]
async fn each_thing_that_a_dump_lacks_is_found() {
    for Made { row, args, copy, since } in &MATRIX {
        let db = application().await;
        let folder = Folder::new("expect_empty = true\n");
        let name = if args[0] == "-Fp" { "stock.sql" } else { "stock.dump" };
        if copy.is_empty() {
            super::dump(&db, args, &folder.path(name));
        } else {
            let lossy = application().await;
            lossy.execute(*copy).await;
            super::dump(&lossy, args, &folder.path(name));
        }
        if !since.is_empty() {
            db.execute(*since).await;
        }
        row.holds(&folder, Some(&db.url())).await;
    }
}

async fn findings_of(folder: &Folder, db: &TestDb, status: i32) -> String {
    let look = folder.run("verify-backup").env("DATABASE_URL", db.url()).args(["--format", "json"]);
    let run = look.await.status(status);
    run.json()["backups"][0]["findings"].to_string()
}

/// Every make of dump that tells whose rows it holds.
const MAKES: [(&str, &[&str]); 4] =
    [("stock.dump", &["-Fc"]), ("stock.sql", &["-Fp"]), ("stock.tar", &["-Ft"]), ("folder", &["-Fd"])];

#[tokio::test]
async fn organizations_that_a_dump_lacks_are_named() {
    let db = application().await;
    let folders = MAKES.map(|(name, args)| {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder
    });
    for folder in &folders {
        findings_of(folder, &db, 0).await;
    }
    // As if the dumps had been made by who does not see the smallest one: half a percent of the entries.
    db.execute(
        "INSERT INTO organizations (id, name, subdomain, created_at) VALUES ('org-4', 'Org 4', 'org4', now() - interval '1 day');
        INSERT INTO items (org_id, item_number, name) VALUES ('org-4', 'I-1', 'Item');
        INSERT INTO locations (org_id, site, name) VALUES ('org-4', 'Hall', 'A');
        INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at, stockfoil_tx)
        SELECT i.org_id, i.id, l.id, n, now() - interval '3 hours', (SELECT min(stockfoil_tx) FROM inventory_ledger)
        FROM items i JOIN locations l ON l.org_id = i.org_id, generate_series(1, 2) n WHERE i.org_id = 'org-4'",
    )
    .await;
    for (folder, (name, _)) in folders.iter().zip(MAKES) {
        let found = findings_of(folder, &db, 1).await;
        assert!(
            found.contains("lacks organizations that production has from before it began: org-4"),
            "{found}"
        );
        assert!(found.contains("of which production has some from before it began: org-4 (2)"), "{found}");
        // An SQL dump does not say of which database it is.
        assert_eq!(found.contains("\"critical\""), !name.ends_with(".sql"), "{found}");
    }
}

#[tokio::test]
pub(super) async fn what_production_got_or_moved_since_is_not_missed() {
    let db = application().await;
    let folders = MAKES.map(|(name, args)| {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder
    });
    let entry = "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
        SELECT org_id, item_id, location_id, 1, now() - interval";
    // What was counted in a cellar without a network, and came with its time.
    db.execute(format!("{entry} '2 hours' FROM inventory_ledger WHERE org_id = 'org-2' LIMIT 3")).await;
    for folder in &folders {
        findings_of(folder, &db, 0).await;
    }
    // While a dump was made that does not say when it began, which took half an hour.
    db.execute(format!("{entry} '30 minutes' FROM inventory_ledger WHERE org_id = 'org-2' LIMIT 3")).await;
    for (folder, (name, _)) in folders.iter().zip(MAKES) {
        findings_of(folder, &db, i32::from(!name.ends_with(".sql"))).await;
    }
    db.execute("DELETE FROM inventory_ledger WHERE created_at > now() - interval '40 minutes'").await;
    db.execute(
        "INSERT INTO organizations (id, name, subdomain, created_at) VALUES ('org-9', 'Org 9', 'org9', now());
        INSERT INTO items (org_id, item_number, name) VALUES ('org-9', 'I-1', 'Item');
        INSERT INTO locations (org_id, site, name) VALUES ('org-9', 'Hall', 'A');
        UPDATE inventory_ledger SET org_id = 'org-9', item_id = (SELECT id FROM items WHERE org_id = 'org-9'),
            location_id = (SELECT id FROM locations WHERE org_id = 'org-9') WHERE org_id = 'org-3'",
    )
    .await;
    for folder in &folders {
        let run = folder.run("verify-backup").env("DATABASE_URL", db.url()).await.ok();
        run.says("are another organization's in it than in production by now").says("org-9 (2 of 2, of ");
    }
}

#[tokio::test]
async fn what_belongs_to_tables_and_is_not_in_a_dump_is_named() {
    let db = application().await;
    let folders = MAKES.map(|(name, args)| {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        folder
    });
    for folder in &folders {
        findings_of(folder, &db, 0).await;
    }
    db.execute(
        "CREATE INDEX orders_id_number ON orders (id, number); CREATE VIEW of_today AS SELECT 1 AS n;
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted();
        ALTER TABLE orders ADD CONSTRAINT numbered UNIQUE (number); CREATE SEQUENCE counter",
    )
    .await;
    for folder in &folders {
        let found = findings_of(folder, &db, 1).await;
        for object in [
            "constraint orders numbered",
            "index orders_id_number",
            "sequence counter",
            "trigger orders noted",
            "view of_today",
        ] {
            assert!(found.contains(object), "no {object}: {found}");
        }
        assert!(found.contains("\"warning\"") && !found.contains("\"critical\""), "{found}");
    }
    // The sequence of a table that is left out goes with it.
    let without = Folder::new("left_out = ['orders', 'counter', 'of_today']\n");
    super::dump(&db, &["-Fc", "--exclude-table=orders"], &without.path("stock.dump"));
    findings_of(&without, &db, 0).await;
    let config = folders[0].top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + "left_out = ['orders', 'counter', 'of_today']\n").unwrap();
    findings_of(&folders[0], &db, 0).await;
}

#[tokio::test]
async fn a_dump_without_the_values_of_its_sequences_gives_out_keys_again() {
    let db = application().await;
    for (name, args) in MAKES {
        let folder = Folder::new("");
        super::dump(&db, &[args, &["--exclude-table-data=orders_id_seq"]].concat(), &folder.path(name));
        let run = folder.run("verify-backup").await.status(1);
        run.says("holds no value of the sequences orders_id_seq");
    }
    let folder = Folder::new("left_out = ['orders_id_seq']\n");
    super::dump(&db, &["-Fc", "--exclude-table-data=orders_id_seq"], &folder.path("stock.dump"));
    folder.run("verify-backup").await.ok();
}

#[tokio::test]
async fn large_objects_that_a_dump_lacks_are_missed() {
    let db = application().await;
    db.execute("SELECT lo_from_bytea(0, 'large') FROM generate_series(1, 120)").await;
    for (name, args) in MAKES {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        findings_of(&folder, &db, 0).await;
        let folder = Folder::new("");
        super::dump(&db, &[args, &["--no-blobs"]].concat(), &folder.path(name));
        let found = findings_of(&folder, &db, 1).await;
        assert!(found.contains("holds 0 large objects, and production has 120"), "{found}");
        let is_named = !name.ends_with(".sql");
        assert_eq!(found.contains("\"critical\""), is_named, "{found}");
    }
    let folder = Folder::new("left_out = ['pg_catalog.pg_largeobject']\n");
    super::dump(&db, &["-Fc", "--no-blobs"], &folder.path("stock.dump"));
    findings_of(&folder, &db, 0).await;
}

#[tokio::test]
async fn roles_and_databases_that_a_backup_of_the_cluster_lacks_are_named() {
    let cluster = cluster_of(&[("stock", "1 hour")]).await;
    let all = Folder::new("");
    let mut dumpall = cluster.program("pg_dumpall");
    dumpall.arg("-f").arg(all.path("all.sql"));
    site::output(dumpall);
    let beside = Folder::new("");
    let mut dump = cluster.program("pg_dump");
    dump.args(["-Fc", "stock", "-f"]).arg(beside.path("stock.dump"));
    site::output(dump);
    let mut globals = cluster.program("pg_dumpall");
    globals.arg("--globals-only").arg("-f").arg(beside.path("globals.sql"));
    site::output(globals);
    let base = folder_for(&cluster, "");
    base_backup(&cluster, &base.path("base"), &["-Fp"]);
    let url = cluster.url("stock");
    for (folder, args) in [(&all, &[][..]), (&beside, &[][..]), (&base, &["--restore"][..])] {
        folder.run("verify-backup").env("DATABASE_URL", &url).args(args).await.ok();
    }

    sql(&cluster, "postgres", "CREATE ROLE keeper");
    sql(&cluster, "postgres", "CREATE DATABASE sales");
    sql(&cluster, "stock", "CREATE VIEW of_today AS SELECT 1 AS n");
    let look =
        |folder: &Folder, args: &[&str]| folder.run("verify-backup").env("DATABASE_URL", &url).args(args);
    let run = look(&all, &[]).await.status(1);
    run.says("lacks what production's cluster has: database sales, role keeper");
    let run = look(&beside, &[]).await.status(1);
    run.says("globals.sql, beside it, lacks what production's cluster has: role keeper");
    let run = look(&base, &["--restore"]).await.status(1);
    run.says("lacks what production has: view of_today")
        .says("database sales, role keeper")
        .says("worth a look");
}

#[tokio::test]
async fn an_empty_dump_beside_a_full_production_is_critical_at_depth_full_too() {
    let (full, none) = (application().await, TestDb::migrated().await);
    let folder = Folder::new("expect_empty = true\n");
    super::dump(&none, &["-Fp"], &folder.path("stock.sql"));
    folder.run("verify-backup").await.ok();
    let found = findings_of(&folder, &full, 1).await;
    assert!(found.contains("\"critical\"") && found.contains("holds 0 rows of inventory_ledger"), "{found}");
}
