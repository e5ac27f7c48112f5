//! Values that PostgreSQL takes and no calendar or decimal type does: each is told, and nothing ends for it.

use serde_json::{Value, json};
use testkit::{Mapped, TestDb};

use super::fixture::{backfilled, inventory};

/// Times at and past the ends of every type.
const TIMES: [&str; 6] = [
    "infinity",
    "-infinity",
    "294276-12-31 23:59:59.999999Z",
    "290000-01-01Z",
    "4713-11-24 00:00:00Z BC",
    "0001-12-31Z BC",
];

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

#[tokio::test]
async fn no_time_of_an_entry_ends_a_run() {
    let db = inventory().await;
    db.run("backfill-balances").await.ok();
    for (n, time) in TIMES.iter().enumerate() {
        db.execute(format!(
            "INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical, created_at) VALUES ('e{n}', 'bolt', 'l1', 'lot{n}', 1, '{time}');
             UPDATE inventory_balances SET qty_canonical = qty_canonical + 5"
        ))
        .await;
    }
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["differences"]["large"], 6);
    let times: Vec<&Value> = report["listed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| &listed["newest_entries"][0]["created_at"])
        .collect();
    assert_eq!(
        times,
        [
            "infinity",
            "-infinity",
            "+294276-12-31T23:59:59Z",
            "+290000-01-01T00:00:00Z",
            "-4712-11-24T00:00:00Z",
            "0000-12-31T00:00:00Z",
        ]
        .map(Value::from)
        .iter()
        .collect::<Vec<_>>()
    );
    assert_eq!(report["alerts"][0]["key"], "balances/default");
    for args in [
        &["--format", "human"][..],
        &["--format", "prometheus"],
        &["--full"],
        &["--dry-run"],
        &["--org", "default"],
    ] {
        db.run("reconcile-balances").args(args).await.status(1);
    }
    for n in 0..TIMES.len() {
        let key = format!("default/bolt/l1/lot{n}");
        for format in ["human", "json"] {
            db.run("reconcile-balances").args(["--explain", &key, "--format", format]).await.status(1);
        }
    }
    db.run("backfill-balances").arg("--dry-run").await.ok();
    db.run("reconcile-balances").arg("--fix-large").await.ok();
    db.run("validate-migration").await.ok();
    db.run("data-assign")
        .args(["--org-id", "acme", "--table", "inventory_ledger", "--where", "id = 'e0'", "--dry-run"])
        .await;
    db.run("db-generate").arg("--propose-config").await.ok();
}

#[tokio::test]
async fn no_time_of_an_organization_or_a_key_ends_a_command() {
    let db = TestDb::migrated().await;
    db.run("org-create").args(["--name", "Acme", "--id", "acme"]).await.ok();
    for time in TIMES {
        db.execute(format!(
            "UPDATE organizations SET created_at = '{time}', updated_at = '{time}';
             UPDATE organization_api_keys SET created_at = '{time}', expires_at = '{time}', revoked_at = '{time}',
                 last_used_on = '{time}'::timestamptz::date"
        ))
        .await;
        for format in ["human", "json"] {
            db.run("org-list").args(["--format", format]).await.ok();
            db.run("org-update").args(["--org-id", "acme", "--list-keys", "--format", format]).await.ok();
            let name = format!("Acme {format}");
            db.run("org-update").args(["--org-id", "acme", "--name", &name, "--format", format]).await.ok();
        }
        db.run("validate-migration").await;
    }
}

#[tokio::test]
async fn a_key_whose_entries_can_not_be_told_keeps_nobody_from_hearing_of_the_others() {
    let db = inventory().await;
    // A day that no time reaches, which the server says of each statement that turns it into one.
    db.execute("ALTER TABLE inventory_ledger ADD COLUMN told date DEFAULT '2026-01-01'").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), "[ledger]\ncreated_at = \"told\"\n").unwrap();
    for command in ["migrate-balance", "backfill-balances"] {
        db.run(command).folder(folder.path()).await.ok();
    }
    db.execute(
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, told)
         VALUES ('acme', 'bolt', 'l1', 1, '5874897-12-31'), ('zeta', 'bolt', 'l1', 1, DEFAULT);
         UPDATE inventory_balances SET qty_canonical = 9",
    )
    .await;
    let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).await.status(1);
    let report = run.json();
    let listed = &report["listed"];
    assert!(listed[0]["entries_error"].as_str().unwrap().contains("out of range"), "{listed}");
    assert_eq!(
        (&listed[1]["entries_error"], &listed[1]["newest_entries"][0]["quantity"]),
        (&Value::Null, &json!("1"))
    );
    let keys: Vec<&Value> = report["alerts"].as_array().unwrap().iter().map(|alert| &alert["key"]).collect();
    assert_eq!(keys, ["balances/acme", "balances/zeta"]);
}

#[tokio::test]
async fn digits_without_end_and_odd_texts_are_told_and_repaired() {
    let db = backfilled().await;
    db.execute(
        "ALTER TABLE inventory_ledger ALTER COLUMN qty_canonical TYPE numeric;
         INSERT INTO items (id, item_number, name) SELECT i, i, i FROM unnest(ARRAY[E'tab\\there', E'line\\nbreak', E'\\u001b[31m', repeat('x', 2000)]) AS i;
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical)
         SELECT i, 'l1', E'\\r\\n', ('9' || repeat('0', 131000))::numeric FROM unnest(ARRAY[E'tab\\there', E'line\\nbreak', E'\\u001b[31m', repeat('x', 2000)]) AS i;
         UPDATE inventory_balances SET qty_canonical = 0 WHERE lot_id = E'\\r\\n'",
    )
    .await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(report["differences"]["large"], 4);
    let human = db.run("reconcile-balances").await.status(1);
    assert!(!human.stdout.contains('\u{1b}'), "{}", human.stdout);
    assert_eq!(reconcile(&db, 0, &["--fix-large"]).await["repaired"], 4);
    assert_eq!(reconcile(&db, 0, &[]).await["unresolved"], 0);
}

/// Adopted balances as their application may have left them.
async fn adopted() -> (TestDb, tempfile::TempDir) {
    let db = TestDb::mapped_migrated(Mapped::Erp).await;
    let folder = Mapped::Erp.config_with(|text| text);
    db.run("reconcile-balances").folder(folder.path()).arg("--fix-large").await;
    db.run("reconcile-balances").folder(folder.path()).await.ok();
    (db, folder)
}

#[tokio::test]
async fn a_balance_of_null_is_repaired_to_what_its_entries_are() {
    let (db, folder) = adopted().await;
    db.execute(
        "ALTER TABLE stock_quant ALTER COLUMN quantity DROP NOT NULL;
         UPDATE stock_quant SET quantity = NULL WHERE id IN (SELECT id FROM stock_quant WHERE quantity <> 0 ORDER BY id LIMIT 3)",
    )
    .await;
    let run = async |status, args: &[&str]| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args);
        run.await.status(status).json()
    };
    assert_eq!(run(1, &[]).await["differences"]["missing"], 3);
    let fixed = run(0, &["--fix-large"]).await;
    assert_eq!((&fixed["repaired"], &fixed["unresolved"]), (&json!(3), &json!(0)));
    assert_eq!(db.value("SELECT count(*) FROM stock_quant WHERE quantity IS NULL").await, "0");
    let after = run(0, &["--full"]).await;
    assert_eq!((&after["repaired"], &after["findings"]["closed"]), (&json!(0), &json!(3)), "{after}");
}

#[tokio::test]
async fn what_the_database_does_not_show_repaired_is_not_said_to_be() {
    let (db, folder) = adopted().await;
    db.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF OLD.id % 2 = 0 THEN NEW.quantity := OLD.quantity; END IF; RETURN NEW; END $$;
         CREATE TABLE chosen AS (SELECT id FROM stock_quant WHERE id % 2 = 0 ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM stock_quant WHERE id % 2 = 1 ORDER BY id LIMIT 2);
         UPDATE stock_quant SET quantity = quantity + 7 WHERE id IN (SELECT id FROM chosen);
         CREATE TRIGGER keep BEFORE UPDATE ON stock_quant FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    .await;
    let run = async |status, args: &[&str]| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args);
        run.await.status(status).json()
    };
    for _ in 0..2 {
        let report = run(1, &["--fix-large"]).await;
        assert_eq!(report["unresolved"], 2, "{report}");
        let left =
            report["listed"].as_array().unwrap().iter().filter(|listed| listed["still_differs"] == true);
        assert_eq!(left.count(), 2, "{report}");
        assert_eq!(
            db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL AND NOT repaired")
                .await,
            "2"
        );
        assert!(report["alerts"][0]["key"].as_str().unwrap().starts_with("balances/"), "{report}");
    }
    db.run("reconcile-balances")
        .folder(folder.path())
        .arg("--fix-large")
        .await
        .status(1)
        .says("still differs");
    db.execute("DROP TRIGGER keep ON stock_quant").await;
    assert_eq!(run(0, &["--fix-large"]).await["repaired"], 2);
}

#[tokio::test]
async fn a_balance_without_a_part_of_its_key_is_told_and_left_alone() {
    let (db, folder) = adopted().await;
    db.execute(
        "ALTER TABLE stock_quant ALTER COLUMN product_id DROP NOT NULL;
         INSERT INTO stock_quant (product_id, location_id, quantity) SELECT NULL, min(id), 7 FROM stock_location",
    )
    .await;
    let run = async |args: &[&str]| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args);
        run.await.status(1).json()
    };
    for args in [&[][..], &["--fix-large"], &["--full"], &["--dry-run"], &[]] {
        let report = run(args).await;
        assert_eq!(
            (&report["differences"]["orphan"], &report["repaired"]),
            (&json!(1), &json!(0)),
            "{report}"
        );
    }
    assert_eq!(db.value("SELECT count(*) FROM stock_quant WHERE product_id IS NULL").await, "1");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL").await, "1");
    // Nobody is sent to what does not help.
    let says = async |args: &[&str], has: &[&str], lacks: &[&str]| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(args).await.status(1);
        let alert = run.stderr.lines().find(|line| line.contains("differ from the ledger")).unwrap();
        for text in [&*run.stdout, alert] {
            assert!(has.iter().all(|part| text.contains(part)), "{text}");
            assert!(!lacks.iter().any(|part| text.contains(part)), "{text}");
        }
    };
    let advice = "1 row of stock_quant without an item or a location: no entry is theirs and --fix-large leaves them alone";
    let correct = "correct the balances from the ledger: reconcile-balances --fix-large";
    says(&[], &[advice], &[correct, "can't be told", "to see the entries"]).await;
    says(&["--fix-large"], &[advice], &[correct]).await;
    db.execute("UPDATE stock_quant SET quantity = quantity + 5 WHERE id IN (SELECT id FROM stock_quant WHERE product_id IS NOT NULL ORDER BY id LIMIT 1)").await;
    says(&[], &[advice, correct], &[]).await;
    // What it says helps.
    db.run("reconcile-balances").folder(folder.path()).arg("--fix-large").await.status(1);
    db.execute("UPDATE stock_quant SET quantity = 0 WHERE product_id IS NULL").await;
    db.run("reconcile-balances").folder(folder.path()).await.ok();
    db.execute("UPDATE stock_quant SET quantity = 7 WHERE product_id IS NULL").await;
    says(&[], &[advice], &[correct]).await;
    db.execute("DELETE FROM stock_quant WHERE product_id IS NULL").await;
    db.run("reconcile-balances").folder(folder.path()).await.ok();
}
