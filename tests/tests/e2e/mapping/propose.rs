//! db-generate --config: a proposal that points at the right tables, loads, and writes over nothing.

use std::{fs, path::Path};

use testkit::{Binary, Mapped, TestDb};

/// db-generate as somebody runs it who has no configuration yet.
fn generate(db: &TestDb) -> Binary {
    db.run("db-generate").env("STOCKFOIL_CONFIG", "")
}

/// The proposal for `db`, as it was written and as TOML.
async fn propose(db: &TestDb, folder: &Path) -> (String, toml::Table) {
    let file = folder.join("proposed.toml");
    generate(db).arg("--config").arg("--out").arg(&file).await.ok().says("written");
    let text = fs::read_to_string(&file).unwrap();
    let table = text.parse().unwrap_or_else(|error| panic!("{error}\nin: {text}"));
    (text, table)
}

/// A fixture's own configuration.
fn own(mapped: Mapped) -> toml::Table {
    fs::read_to_string(mapped.config()).unwrap().parse().unwrap()
}

/// The table that a name means, whichever way it is spelled.
fn last_part(name: &toml::Value) -> String {
    let name = name.as_str().unwrap();
    let name = name.strip_prefix("plant.").or(name.strip_prefix("\"Trade.Hub\".")).unwrap_or(name);
    name.trim_matches('"').to_owned()
}

#[tokio::test]
async fn the_right_tables_and_columns_are_found_in_each_database() {
    for mapped in Mapped::ALL {
        let db = TestDb::mapped(mapped).await;
        let folder = tempfile::tempdir().unwrap();
        let (text, found) = propose(&db, folder.path()).await;
        let expected = own(mapped);
        let what = mapped.name();
        for key in ["item", "location", "lot", "created_at"] {
            assert_eq!(found["ledger"].get(key), expected["ledger"].get(key), "{what}: {key}");
        }
        let table = |file: &toml::Table, section: &str| last_part(&file[section]["table"]);
        assert_eq!(table(&found, "ledger"), table(&expected, "ledger"), "{what}");
        let users = |file: &toml::Table| {
            let users = &file["tenancy"]["users"];
            (last_part(&users["table"]), users["id"].clone(), users["email"].clone())
        };
        assert_eq!(users(&found), users(&expected), "{what}");
        assert_eq!(last_part(&found["tenancy"]["items"]), last_part(&expected["tenancy"]["items"]), "{what}");
        // Everything that the fixture's own file lists, and perhaps more for a person to strike out.
        let listed: Vec<&toml::Value> = found["tenancy"]["tables"].as_array().unwrap().iter().collect();
        for table in expected["tenancy"]["tables"].as_array().unwrap() {
            assert!(listed.contains(&table), "{what}: {table} is not in {listed:?}");
        }
        for section in ["[tenancy]", "[tenancy.users]", "[ledger]", "[balances]"] {
            let before = text.split(section).next().unwrap().trim_end().lines().last().unwrap();
            assert!(before.starts_with("# "), "{what}: nothing explains {section}");
        }
        // It only looked.
        assert_eq!(db.value("SELECT to_regnamespace('stockfoil') IS NULL").await, "t", "{what}");
    }
}

#[tokio::test]
async fn what_is_special_in_each_database_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let proposed = async |mapped: Mapped| {
        let folder = folder.path().join(mapped.name());
        fs::create_dir(&folder).unwrap();
        propose(&TestDb::mapped(mapped).await, &folder).await
    };
    let (text, prisma) = proposed(Mapped::Prisma).await;
    assert_eq!(prisma["tenancy"]["org_type"].as_str(), Some("uuid"));
    assert!(text.contains("quantity is signed: -39.997 to 39.996 in 5000 rows looked at"), "{text}");

    let (text, erp) = proposed(Mapped::Erp).await;
    let postings = erp["ledger"]["posting"].as_array().unwrap();
    assert_eq!(postings.len(), 2);
    assert_eq!(postings[0]["location"].as_str(), Some("location_dest_id"));
    assert_eq!(postings[1]["quantity"]["sql"].as_str(), Some("-\"quantity\""));
    assert_eq!(erp["ledger"]["where"]["sql"].as_str(), Some("\"state\" = 'done'"));
    assert_eq!(erp["balances"]["table"].as_str(), Some("stock_quant"));
    assert_eq!(erp["balances"]["adopt"].as_bool(), Some(true));
    assert!(
        text.contains("each product_id, location_id, lot_id stands once in 659 rows looked at"),
        "{text}"
    );
    assert!(text.contains("# \"ir_config_parameter\",  about 2 rows"), "{text}");

    let (_, warehouse) = proposed(Mapped::Warehouse).await;
    assert_eq!(
        warehouse["ledger"]["quantity"]["sql"].as_str(),
        Some("(CASE WHEN \"direction\" = 'OUT' THEN -\"quantity\" ELSE \"quantity\" END)::numeric(14,3)")
    );
    assert_eq!(warehouse["ledger"]["lot"].as_bool(), Some(false));

    let (_, twin) = proposed(Mapped::TwoSchemas).await;
    assert_eq!(twin["tenancy"]["organizations"].as_str(), Some("stockfoil_organizations"));
    assert_eq!(twin["ledger"]["id"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_proposal_is_a_configuration_that_every_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    for mapped in Mapped::ALL {
        let db = TestDb::mapped(mapped).await;
        let path = folder.path().join(mapped.name());
        fs::create_dir(&path).unwrap();
        propose(&db, &path).await;
        db.run("migrate-all")
            .arg("--contract")
            .arg("--config")
            .arg(path.join("proposed.toml"))
            .arg("--dry-run")
            .await
            .ok();
    }
    // The default inventory, empty and full, needs no file; a proposal for it says what the defaults say.
    let db = TestDb::inventory().await;
    propose(&db, folder.path()).await;
    let file = folder.path().join("proposed.toml");
    let plan = async |args: &[&str]| {
        let run = db
            .run("migrate-all")
            .arg("--contract")
            .args(args)
            .args(["--dry-run", "--format", "json"])
            .await
            .ok();
        let mut steps: Vec<String> = ["organizations", "balances"]
            .iter()
            .flat_map(|part| run.json()[part]["steps"].as_array().unwrap().clone())
            .map(|step| step["title"].as_str().unwrap().to_owned())
            .collect();
        steps.sort();
        steps
    };
    assert_eq!(plan(&["--config", file.to_str().unwrap()]).await, plan(&[]).await);
}

#[tokio::test]
async fn a_proposal_can_be_followed_to_its_end() {
    for mapped in [Mapped::Prisma, Mapped::Warehouse] {
        let db = TestDb::mapped(mapped).await;
        let folder = tempfile::tempdir().unwrap();
        propose(&db, folder.path()).await;
        let file = folder.path().join("proposed.toml");
        db.run("migrate-all").arg("--contract").arg("--config").arg(&file).await.ok();
        db.run("reconcile-balances").arg("--config").arg(&file).await.ok();
        // Looked at again, Stockfoil's own tables and columns are taken for what they are.
        let again = folder.path().join("again.toml");
        generate(&db).arg("--config").arg("--out").arg(&again).await.ok();
        let text = fs::read_to_string(&again).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["tenancy"]["org_column"].as_str(), Some("org_id"), "{text}");
        for own in ["organizations", "organization_api_keys", "inventory_balances"] {
            let tables = table["tenancy"]["tables"].as_array().unwrap();
            assert!(!tables.iter().any(|name| name.as_str() == Some(own)), "{own} in {text}");
        }
        db.run("validate-migration").arg("--config").arg(&again).await.ok();
    }
}

#[tokio::test]
async fn no_file_is_written_over() {
    let db = TestDb::mapped(Mapped::Prisma).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stockfoil.toml");
    fs::write(&file, "# mine\n").unwrap();
    let refusal = "is there already, and a proposal overwrites nothing";
    generate(&db).arg("--config").arg("--out").arg(&file).await.refuses(2, refusal);
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
    generate(&db).arg("--propose-config").arg("--out").arg(&link).await.refuses(2, refusal);
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
    assert!(!folder.path().join("nowhere").exists());
    generate(&db).args(["--config", "--check"]).await.refuses(2, "--lang and --check are about a client");
    let missing = folder.path().join("no/such/folder.toml");
    generate(&db).arg("--config").arg("--out").arg(missing).await.refuses(3, "can't be written");
    generate(&db).args(["--config", "--schema", "nowhere"]).await.refuses(2, "no schema \"nowhere\"");
    generate(&TestDb::empty().await).arg("--config").await.refuses(3, "has no tables in");
}

#[tokio::test]
async fn without_a_likely_ledger_the_proposal_says_so() {
    let db = TestDb::empty().await;
    db.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE); CREATE TABLE notes (id bigint PRIMARY KEY, body text)")
        .await;
    let run = db
        .run("db-generate")
        .arg("--config")
        .await
        .status(1)
        .says("No table is likely enough to be the ledger");
    let table: toml::Table = run.stdout.parse().unwrap();
    assert!(!table.contains_key("ledger"));
    let report = generate(&db).args(["--config", "--format", "json"]).await.status(1).json();
    assert_eq!(report["schema"], "stockfoil.propose/1");
    assert_eq!(report["outcome"], "findings");
    assert_eq!(report["users"]["table"], "users");
}

#[tokio::test]
async fn a_floating_point_quantity_is_proposed_as_an_exact_one() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE parts (id uuid PRIMARY KEY);
         CREATE TABLE part_moves (id uuid PRIMARY KEY, part_id uuid REFERENCES parts, qty double precision, deleted_at timestamptz);
         INSERT INTO parts VALUES (md5('1')::uuid);
         INSERT INTO part_moves SELECT md5(n::text)::uuid, md5('1')::uuid, n * 0.1 - 3, NULL FROM generate_series(1, 60) AS n",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (text, table) = propose(&db, folder.path()).await;
    assert_eq!(table["ledger"]["quantity"]["sql"].as_str(), Some("\"qty\"::numeric"), "{text}");
    assert_eq!(table["ledger"]["where"]["sql"].as_str(), Some("\"deleted_at\" IS NULL"), "{text}");
    assert_eq!(table["ledger"]["location"].as_bool(), Some(false), "{text}");
    let file = folder.path().join("proposed.toml");
    db.run("migrate-all").arg("--contract").arg("--config").arg(&file).await.ok();
    db.execute("UPDATE part_moves SET deleted_at = now() WHERE qty < 0").await;
    db.run("reconcile-balances").arg("--config").arg(&file).await.ok();
    assert_eq!(db.value("SELECT trim_scale(qty_canonical) FROM inventory_balances").await, "46.5");
}

#[tokio::test]
async fn names_can_neither_leave_a_comment_nor_a_string() {
    let db = TestDb::empty().await;
    db.execute(
        "CREATE TABLE \"items\n[ledger]\ntable = 'x'\" (id bigint PRIMARY KEY);
         CREATE TABLE \"stock\"\"'\\.moves\" (id bigint PRIMARY KEY, item bigint REFERENCES \"items\n[ledger]\ntable = 'x'\",
             \"qty''\"\"\n\" numeric, state text);
         INSERT INTO \"items\n[ledger]\ntable = 'x'\" VALUES (1);
         INSERT INTO \"stock\"\"'\\.moves\"
         SELECT n, 1, n - 30, CASE WHEN n % 2 = 0 THEN 'done' ELSE 'x' || chr(10) || '[balances]' || chr(10) || '''; DROP TABLE canary; --' END
         FROM generate_series(1, 60) AS n",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (text, table) = propose(&db, folder.path()).await;
    assert_eq!(table["ledger"]["table"].as_str(), Some("\"stock\"\"'\\.moves\""), "{text}");
    assert_eq!(table["ledger"]["quantity"].as_str(), Some("qty''\"\n"), "{text}");
    assert_eq!(table["tenancy"]["items"].as_str(), Some("items\n[ledger]\ntable = 'x'"), "{text}");
    db.run("migrate-all")
        .arg("--contract")
        .arg("--config")
        .arg(folder.path().join("proposed.toml"))
        .await
        .ok();
}
