//! Many organizations of one file.

use serde_json::Value;
use testkit::{Mapped, TestDb};

use super::super::{everything, text};

/// Every row that the command may write.
async fn rows(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = everything(db).await;
    rows.extend(db.rows("SELECT r::text FROM stockfoil.run r ORDER BY id").await);
    rows
}

fn lines(report: &Value, of: &str) -> Vec<u64> {
    report[of].as_array().unwrap().iter().map(|line| line["line"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn two_hundred_organizations_are_made_in_one_run_and_again_none() {
    let db = TestDb::migrated().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgs.csv");
    // As a spreadsheet writes it: a mark of its encoding, its own line ends, its own spelling of names, and empty lines.
    let mut csv = "\u{FEFF}Name,Subdomain,ID,Key Label,Scopes,Key Expires\r\n,,,,,\r\n".to_owned();
    for n in 1..=200 {
        let (id, label) = (if n % 2 == 0 { format!("org{n}") } else { String::new() }, n % 10 == 0);
        let key = if label { format!("ops {n},\"read, write\",90d") } else { ",,".into() };
        csv.push_str(&format!("\"Number {n}, Inc\",Shop-{n},{id},{key}\r\n"));
    }
    std::fs::write(&path, &csv).unwrap();
    let run = |args: &[&str]| db.run("org-create").arg("--file").arg(&path).args(args.iter().copied());

    let before = rows(&db).await;
    let dry = run(&["--dry-run", "--format", "json"]).await.ok().json();
    assert_eq!(text(&dry, "schema"), "stockfoil.org-create-file/1");
    assert_eq!((&dry["applied"], lines(&dry, "made").len()), (&false.into(), 200));
    assert_eq!((&dry["made"][0]["id"], &dry["made"][1]["id"]), (&Value::Null, &"org2".into()));
    assert_eq!(dry["made"][9]["api_key_label"], "ops 10");
    run(&["--dry-run"]).await.ok().says("200 organizations would be made");
    assert_eq!(rows(&db).await, before);

    let made = run(&["--format", "json"]).await.ok();
    let report = made.json();
    assert_eq!((&report["applied"], &report["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(lines(&report, "made"), (3..=202).collect::<Vec<u64>>());
    assert_eq!(
        db.rows("SELECT count(*), count(*) FILTER (WHERE name ~ '^Number [0-9]+, Inc$' AND subdomain ~ '^shop-' AND is_active) FROM organizations")
            .await,
        [["201", "200"]]
    );
    // Keys are made for the lines that say something of one.
    assert_eq!(
        db.rows("SELECT count(*), count(DISTINCT label), min(scopes), bool_and(expires_at > now() + interval '89 days') FROM organization_api_keys")
            .await,
        [["20", "20", "read, write", "t"]]
    );
    let key = text(&report["made"][9], "api_key");
    assert_eq!(
        db.rows(format!("SELECT * FROM stockfoil.api_key('{key}')")).await,
        [["org10", "ops 10", "read, write"]]
    );
    let records = "SELECT count(*), count(DISTINCT summary ->> 'org_id') FROM stockfoil.run WHERE command = 'org-create' AND outcome = 'clean'";
    assert_eq!(db.rows(records).await, [["200", "200"]]);
    let after = rows(&db).await;
    assert!(!format!("{after:?}{}", made.stderr).contains(&key[17..47]), "the key is in the database");

    let again = run(&["--format", "json"]).await.ok().json();
    assert_eq!((lines(&again, "made").len(), lines(&again, "present").len()), (0, 200));
    assert_eq!(again["present"][0]["id"], report["made"][0]["id"]);
    assert_eq!(rows(&db).await, after);

    // One more, with a key, which stands on a line of its own.
    std::fs::write(&path, csv + "\"A name that is long enough to fill the better part of a line of the table\",one-more,,,,\r\n")
        .unwrap();
    let one = run(&["--with-keys"]).await.ok().says("1 organization made, 200 were there already");
    let one = one.says("1 API key, which can't be shown again: store it").says("... and 180 more");
    let keyed: Vec<&str> = one.stdout.lines().filter(|line| line.contains("sf_live_")).collect();
    let [line] = keyed.as_slice() else { panic!("{}", one.stdout) };
    let (id, key) = line.split_once(' ').unwrap();
    assert_eq!(
        (db.value(format!("SELECT stockfoil.org_by_api_key('{key}')")).await.as_str(), key.len()),
        (id, 54)
    );
}

#[tokio::test]
async fn a_file_is_checked_whole_before_the_first_change() {
    let db = TestDb::migrated().await;
    for args in [["acme", "Acme", "acme"], ["Taken", "Taken", "old"]] {
        let [id, name, subdomain] = args;
        db.run("org-create").args(["--id", id, "--name", name, "--subdomain", subdomain]).await.ok();
    }
    db.run("org-create").args(["--name", "Twin"]).await.ok();
    db.run("org-create").args(["--name", "Twin"]).await.ok();
    db.run("org-update").args(["--org-id", "Taken", "--subdomain", "left"]).await.ok();
    let csv = "name,id,subdomain,scopes,key_expires\n\
        Acme,acme,acme,,\n\
        Acme Smelting,acme,acme,,\n\
        ,bad id,www,\"a\nb\",soon\n\
        New,,acme,,\n\
        New,taken,,,\n\
        New,,taken,,\n\
        Twin,,,,\n\
        First,one,,,\n\
        Second,,one,,\n\
        Plain,,,,\n\
        Plain,,,,\n\
        Good,good,good,,\n\
        too,few\n\
        Acme,,,,\n";
    let before = rows(&db).await;
    let run =
        |args: &[&str]| db.run("org-create").args(["--file", "-"]).args(args.iter().copied()).stdin(csv);
    for dry in [&["--dry-run"][..], &[]] {
        let report = run(&[dry, &["--format", "json"]].concat()).await.status(1).json();
        let mistakes: Vec<(u64, &str)> = report["mistakes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mistake| (mistake["line"].as_u64().unwrap(), text(mistake, "what")))
            .collect();
        let expected = [
            (
                3,
                "organization acme is there already, with the name \"Acme\" and the subdomain \"acme\", and not \"Acme Smelting\"",
            ),
            (3, "line 2 has the id \"acme\" already"),
            (4, "can't be an organization's name"),
            (4, "\"bad id\" can't be an organization id"),
            (4, "can't be the scopes of an API key"),
            (4, "\"soon\" is no time"),
            (4, "\"www\" is reserved"),
            (6, "with the name \"Acme\" and the subdomain \"acme\", and not \"New\""),
            (6, "line 2 has the subdomain \"acme\" already"),
            (7, "the id \"taken\" differs from that of organization Taken"),
            (8, "line 7 has the subdomain \"taken\" already"),
            (8, "is the id of organization Taken"),
            (9, "2 organizations have the name \"Twin\""),
            (11, "line 10 has the subdomain \"one\" already"),
            (13, "line 12 has the name \"Plain\" already"),
            (15, "has 2 values, and the first line names 5 columns"),
            (16, "organization acme is there already"),
        ];
        for (line, part) in expected {
            assert!(
                mistakes.iter().any(|(at, what)| *at == line && what.contains(part)),
                "{line} {part}: {mistakes:#?}"
            );
        }
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        assert_eq!((&report["applied"], lines(&report, "present")), (&false.into(), vec![2]));
        assert_eq!(rows(&db).await, before);
    }
    run(&[])
        .await
        .status(1)
        .says("nothing was changed: 17 mistakes in the file")
        .says("      line 16: organization acme");

    // What the database alone knows: a subdomain that is held back, and a trigger of the application's.
    db.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'No' THEN RAISE 'not that one'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER no BEFORE INSERT ON organizations FOR EACH ROW EXECUTE FUNCTION no()",
    )
    .await;
    let before = rows(&db).await;
    let refused = |csv: &str| db.run("org-create").args(["--file", "-", "--with-keys"]).stdin(csv);
    refused("name,subdomain\nYes,yes\nHeld,old\n")
        .await
        .status(1)
        .says("line 3: the subdomain \"old\" was organization Taken's");
    let run = refused("name,subdomain\nYes,yes\nNo,no\nMaybe,maybe\n").await.status(1);
    let run = run.says("nothing was changed: 1 mistake in the file").says("line 3: ").says("not that one");
    assert!(!run.stdout.contains("sf_live_"), "{}", run.stdout);
    assert_eq!(rows(&db).await, before);
}

#[tokio::test]
async fn numbers_are_given_by_the_database_and_flags_are_for_one_or_many() {
    let db = TestDb::mapped_migrated(Mapped::TwoSchemas).await;
    let config = Mapped::TwoSchemas.config();
    let run = |args: &[&str], csv: &str| {
        db.run("org-create").arg("--config").arg(&config).args(args.iter().copied()).stdin(csv)
    };
    let taken = db.value("SELECT max(id) + 2 FROM plant.tenants").await;
    let csv = format!("name,id\nGiven,{taken}\nNext,\nOne more,\n");
    let report = run(&["--file", "-", "--inactive", "--format", "json"], &csv).await.ok().json();
    let ids: Vec<i64> =
        report["made"].as_array().unwrap().iter().map(|made| text(made, "id").parse().unwrap()).collect();
    let taken: i64 = taken.parse().unwrap();
    assert_eq!(ids, [taken, taken - 1, taken + 1]);
    assert_eq!(
        db.rows("SELECT count(*) FILTER (WHERE NOT is_active), (SELECT count(*) FROM plant.organization_api_keys) FROM plant.tenants").await,
        [["3", "0"]]
    );
    run(&["--file", "-"], "name,id\nA,x7\n").await.status(1).says("1 mistake in the file");
    run(&["--file", "-", "--name", "A"], "name\n").await.refuses(2, "--file and --name exclude each other");
    run(&["--name", "A", "--dry-run"], "").await.refuses(2, "--dry-run goes with --file");
    run(&["--file", "-"], "nmae\n").await.refuses(2, "did you mean \"name\"?");
    run(&["--file", "/nowhere.csv"], "").await.refuses(2, "--file: /nowhere.csv can't be read");
    run(&["--file", "-"], "name\n").await.ok().says("0 organizations made");
    db.run("org-create").await.refuses(2, "say what the organization is called by --name");
}
