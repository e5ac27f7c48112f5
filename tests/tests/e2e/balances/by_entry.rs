//! `--fix-by-entry`: where the balance was right, the difference is entered into the ledger.

use serde_json::{Value, json};
use sqlx::Connection as _;
use testkit::{Mapped, TestDb};

use super::{
    fixture::{backfilled, balances, behind_the_triggers, entry, wrong_keys},
    writers::{LOCK_IS_FREE, damage, wait_for, while_writing},
};

const NOTHING: [[&str; 0]; 0] = [[""; 0]; 0];

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

fn config(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    folder
}

/// A large difference, a balance without entries, entries without a balance, and a small difference.
const DAMAGE: &str = "
    UPDATE inventory_balances SET qty_canonical = qty_canonical + 5 WHERE (org_id, item_id, location_id, lot_key) = ('acme', 'bolt', 'l1', 'A');
    INSERT INTO inventory_balances (org_id, item_id, location_id, lot_id, lot_key, qty_canonical) VALUES ('acme', 'nut', 'l1', 'Z', 'Z', 7.5);
    DELETE FROM inventory_balances WHERE (org_id, item_id, location_id, lot_key) = ('zeta', 'ore', 'l2', 'B');
    UPDATE inventory_balances SET qty_canonical = qty_canonical + 0.001 WHERE (org_id, item_id, location_id, lot_key) = ('default', 'nut', 'l2', 'A')";

/// The entries that corrected something: key, quantity, note.
const CORRECTIONS: &str =
    "SELECT concat_ws('/', org_id, item_id, location_id, lot_id), trim_scale(qty_canonical), note
     FROM inventory_ledger WHERE note IS NOT NULL ORDER BY 1";

async fn damaged() -> TestDb {
    let db = backfilled().await;
    // What is sealed is believed from here on.
    db.run("reconcile-balances").await.ok();
    db.execute(DAMAGE).await;
    db
}

#[tokio::test]
async fn what_the_ledger_lost_is_entered_and_the_balances_stay() {
    let db = damaged().await;
    let ledger = "SELECT count(*), sum(qty_canonical) FROM inventory_ledger";
    let (before, entries) = (balances(&db).await, db.rows(ledger).await);
    let lacks = db
        .value("SELECT trim_scale(-sum(qty_canonical)) FROM inventory_ledger WHERE (org_id, item_id, location_id, lot_id) = ('zeta', 'ore', 'l2', 'B')")
        .await;

    let asked = ["--fix-by-entry", "count of '{role}', sheet 7"];
    let run = db.run("reconcile-balances").args(asked).arg("--dry-run").await.ok();
    let run = run.says("3 differences would be entered into the ledger").says("an entry of 7.5");
    run.says("each entry has note = count of '{role}', sheet 7");
    let report = reconcile(&db, 0, &[&asked[..], &["--dry-run"]].concat()).await;
    assert_eq!((&report["correction"]["entered"], &report["unresolved"]), (&json!(3), &json!(0)));
    assert_eq!(report["correction"]["entries"][0]["entry_id"], Value::Null);
    assert_eq!((balances(&db).await, db.rows(ledger).await), (before.clone(), entries));

    let report = reconcile(&db, 0, &asked).await;
    assert_eq!(report["full"], Value::Null);
    assert_eq!(
        (&report["correction"]["entered"], &report["repaired"], &report["unresolved"]),
        (&json!(3), &json!(1), &json!(0))
    );
    assert_eq!(report["correction"]["reason"], asked[1]);
    assert_eq!(wrong_keys(&db).await, NOTHING);
    assert_eq!(
        db.rows(CORRECTIONS).await,
        [
            ["acme/bolt/l1/A", "5", asked[1]],
            ["acme/nut/l1/Z", "7.5", asked[1]],
            ["zeta/ore/l2/B", &lacks, asked[1]],
        ]
    );
    // Every balance is what it was, but for the small difference and the row that was not there.
    let now = balances(&db).await;
    assert_eq!(now.iter().filter(|balance| !before.contains(balance)).count(), 2);
    assert!(now.contains(&"zeta ore l2 B 0".to_owned()), "{now:?}");

    let closed = "SELECT string_agg(kind || ' ' || (l.id IS NOT NULL) || ' ' || (f.closed_run = f.last_run), ', ' ORDER BY kind)
                  FROM stockfoil.finding AS f LEFT JOIN inventory_ledger AS l ON l.id = f.entry_id AND l.note = f.reason
                  WHERE closed_run IS NOT NULL";
    assert_eq!(db.value(closed).await, "large true true, missing true true, orphan true true");
    let who = "SELECT summary -> 'correction' ->> 'role' = current_user AND summary -> 'correction' ->> 'reason' LIKE 'count%'
               FROM stockfoil.run ORDER BY id DESC LIMIT 1";
    assert_eq!(db.value(who).await, "t");
    db.run("reconcile-balances").args(["--explain", "acme/bolt/l1/A"]).await.ok().says("fixed by entry");

    // The next run reads what is new and finds that all of it is right.
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!((&report["full"], &report["changed_history"]), (&Value::Null, &json!(0)));
    assert_eq!(report["findings"], json!({ "opened": 0, "seen_again": 0, "closed": 1 }));
    reconcile(&db, 0, &["--full"]).await;
    let report = reconcile(&db, 0, &asked).await;
    assert_eq!(report["correction"]["entered"], 0);
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn entries_lost_behind_the_triggers_are_entered_and_the_change_is_told() {
    let db = backfilled().await;
    db.run("reconcile-balances").await.ok();
    behind_the_triggers(
        &db,
        "DELETE FROM inventory_ledger WHERE item_id = 'bolt' AND location_id = 'l1' AND lot_id = 'A'",
    )
    .await;
    let before = balances(&db).await;
    let report = reconcile(&db, 1, &["--full"]).await;
    let keys = report["unresolved"].as_u64().unwrap();
    assert_eq!(keys, 3);
    // Of an organization whose turn it is, the change is told already.
    let told = report["changed_history"].as_u64().unwrap();
    let report = reconcile(&db, 1, &["--fix-by-entry", "restored from the backup of June"]).await;
    assert_eq!((&report["unresolved"], &report["correction"]["entered"]), (&json!(0), &json!(keys)));
    assert_eq!((&report["changed_history"], balances(&db).await), (&json!(keys - told), before));
    assert_eq!(wrong_keys(&db).await, NOTHING);
    let report = reconcile(&db, 0, &[]).await;
    assert_eq!((&report["changed_history"], &report["full"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn one_key_is_entered_however_small_and_the_others_are_left() {
    let db = damaged().await;
    let key = "default/nut/l2/A";
    let report = reconcile(&db, 1, &["--fix-by-entry", "scale", "--key", key]).await;
    assert_eq!((&report["unresolved"], &report["repaired"]), (&json!(3), &json!(0)));
    assert_eq!(report["correction"]["entries"][0]["kind"], "small");
    assert_eq!(db.rows(CORRECTIONS).await, [[key, "0.001", "scale"]]);
    assert_eq!(
        db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL AND kind <> 'small'").await,
        "3"
    );
    let run = db.run("reconcile-balances").args(["--fix-by-entry", "scale", "--key", key]).await.status(1);
    run.says("nothing entered into the ledger");
    reconcile(&db, 0, &["--org", "zeta", "--fix-by-entry", "lost"]).await;
    assert_eq!(wrong_keys(&db).await.len(), 2);
}

#[tokio::test]
async fn what_the_database_refuses_is_told_and_the_others_are_entered() {
    let db = damaged().await;
    db.execute(
        "INSERT INTO inventory_balances (org_id, item_id, location_id, qty_canonical) VALUES ('acme', 'no item', 'l1', 3);
         UPDATE inventory_balances SET qty_canonical = qty_canonical + 1.0000001 WHERE (org_id, item_id, location_id, lot_key) = ('acme', 'ore', 'l2', 'A')",
    )
    .await;
    let report = reconcile(&db, 1, &["--fix-by-entry", "count"]).await;
    assert_eq!((&report["unresolved"], &report["correction"]["entered"]), (&json!(2), &json!(3)));
    let why: Vec<_> = report["listed"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|listed| listed["not_entered"].as_str())
        .collect();
    assert!(why[0].contains("violates foreign key"), "{why:?}");
    assert!(why[1].contains("an entry of 1.0000001 would not be kept as it is"), "{why:?}");
    assert_eq!(wrong_keys(&db).await.len(), 2);
    assert_eq!(
        db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL AND NOT repaired").await,
        "2"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_among_writers_are_exact() {
    let db = backfilled().await;
    let mut other = db.connect().await;
    while_writing(&db, async {
        for _ in 0..5 {
            for item in ["bolt", "nut", "ore"] {
                damage(&mut other, item).await;
            }
            // A writer may hold a balance at the moment that it is looked for.
            db.run("reconcile-balances")
                .args(["--tolerance", "0", "--fix-by-entry", "among writers"])
                .await
                .ok();
        }
    })
    .await;
    assert_eq!(wrong_keys(&db).await, NOTHING);
    assert_ne!(db.value("SELECT count(*) FROM stockfoil.finding WHERE entry_id IS NOT NULL").await, "0");
    db.run("reconcile-balances").arg("--full").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_has_entered_a_key_whole_or_not_at_all() {
    const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%stockfoil_suspect%' AND wait_event_type = 'Lock'";
    let db = damaged().await;
    let before = balances(&db).await;
    // Its balance is the last of them, and somebody holds it.
    let mut writer = db.connect().await;
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 2 WHERE (org_id, item_id, location_id, lot_key) = ('zeta', 'Ä-ring', 'l1', 'B')").await;
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("UPDATE inventory_balances SET last_updated = now() WHERE (org_id, item_id, location_id, lot_key) = ('zeta', 'Ä-ring', 'l1', 'B')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let mut run = db.run("reconcile-balances").args(["--fix-by-entry", "count"]).spawn();
    wait_for(&db, WAITS).await;
    run.kill().await.unwrap();
    run.wait().await.unwrap();
    transaction.rollback().await.unwrap();
    wait_for(&db, LOCK_IS_FREE).await;
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding WHERE entry_id IS NOT NULL").await, "3");
    assert_eq!(db.rows(CORRECTIONS).await.len(), 3);
    assert_eq!(wrong_keys(&db).await.len(), 1);
    let report = reconcile(&db, 0, &["--fix-by-entry", "count"]).await;
    assert_eq!(report["correction"]["entered"], 1);
    assert_eq!((wrong_keys(&db).await.len(), db.rows(CORRECTIONS).await.len()), (0, 4));
    assert_eq!(balances(&db).await.len(), before.len() + 1);
    reconcile(&db, 0, &[]).await;
}

#[tokio::test]
async fn a_mapping_that_cant_say_how_an_entry_is_written_is_refused() {
    for (mapped, why) in [
        (Mapped::Erp, "each of its entries moves stock of 2 keys"),
        (Mapped::Warehouse, "[ledger] quantity is an expression"),
        (Mapped::TwoSchemas, "is GENERATED from others"),
    ] {
        let db = TestDb::mapped_migrated(mapped).await;
        for dry_run in [&["--dry-run"][..], &[]] {
            db.run("reconcile-balances")
                .args(["--fix-by-entry", "count"])
                .args(dry_run)
                .await
                .refuses(2, why);
        }
        // A run that asks for no entry is as it was.
        db.run("reconcile-balances").await.ok();
    }
    let db = damaged().await;
    for (args, why) in [
        (&["--fix-by-entry", " "][..], "has an empty reason"),
        (&["--fix-by-entry", "x", "--fix-large"], "--fix-by-entry and --fix-large exclude each other"),
        (&["--key", "acme/bolt/l1/A"], "--key goes with --as-of or --fix-by-entry"),
        (&["--fix-by-entry", "x", "--as-of", "2026-01-01"], "--as-of and --fix-by-entry exclude each other"),
    ] {
        db.run("reconcile-balances").args(args).await.refuses(2, why);
    }
    db.execute("ALTER TABLE inventory_ledger ADD COLUMN shift text, ADD COLUMN clerk text; UPDATE inventory_ledger SET shift = 'a', clerk = 'b'; ALTER TABLE inventory_ledger ALTER shift SET NOT NULL, ALTER clerk SET NOT NULL").await;
    let run = db.run("reconcile-balances").args(["--fix-by-entry", "count"]).await;
    run.refuses(2, "each entry must be given shift, clerk, without a default");
    for (text, why) in [
        ("shift = \"night\"\nclerk = \"{who}\"", "nothing is filled in for {who}"),
        ("shft = \"night\"", "has no column shft; did you mean \"shift\"?"),
        ("item_id = \"bolt\"", "is written by the correction itself"),
    ] {
        let config = config(&format!("[ledger.correction]\n{text}\n"));
        db.run("reconcile-balances").folder(&config).await.refuses(2, why);
    }
    let config = config(
        "[ledger.correction]\nshift = \"night\"\nclerk = \"{role}, run {run}\"\nreference = \"{uuid}\"\n",
    );
    db.run("reconcile-balances").folder(&config).args(["--fix-by-entry", "count"]).await.ok();
    let written = "SELECT count(*) FROM inventory_ledger WHERE shift = 'night' AND note IS NULL AND reference::uuid IS NOT NULL
                   AND clerk = current_user || ', run ' || (SELECT max(id) FROM stockfoil.run)";
    assert_eq!(db.value(written).await, "3");
    db.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_balance_insert").await;
    db.run("reconcile-balances")
        .args(["--fix-by-entry", "count"])
        .folder(&config)
        .await
        .refuses(2, "the balances' triggers are not as they should be");
}

#[tokio::test]
async fn an_entry_that_would_not_count_is_refused() {
    let db = backfilled().await;
    let text = "[ledger]\nwhere = { sql = \"entry_type <> 'adjustment'\" }\n";
    let (without, with) =
        (config(text), config(&format!("{text}[ledger.correction]\nentry_type = \"count\"\n")));
    db.execute("UPDATE inventory_ledger SET entry_type = 'receipt'").await;
    for command in ["migrate-balance", "backfill-balances", "reconcile-balances"] {
        db.run(command).folder(&without).await.ok();
    }
    db.execute(DAMAGE).await;
    let before = db.rows("SELECT * FROM inventory_balances ORDER BY 1, 2, 3, 4").await;
    for dry_run in [&["--dry-run"][..], &[]] {
        let run =
            db.run("reconcile-balances").folder(&without).args(["--fix-by-entry", "count"]).args(dry_run);
        run.await.refuses(2, "[ledger] where would not count it");
    }
    assert_eq!(db.rows("SELECT * FROM inventory_balances ORDER BY 1, 2, 3, 4").await, before);
    db.run("reconcile-balances").folder(&with).args(["--fix-by-entry", "count"]).await.ok();
    db.run("reconcile-balances").folder(&with).await.ok();
    assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE entry_type = 'count'").await, "3");
}

#[tokio::test]
async fn uuid_keys_and_partitions_are_entered_too() {
    let db = TestDb::mapped_migrated(Mapped::Prisma).await;
    db.execute(r#"UPDATE "StockBalance" SET "quantity" = "quantity" + 3 WHERE ctid IN (SELECT ctid FROM "StockBalance" LIMIT 4)"#).await;
    let config = Mapped::Prisma.config_with(|text| {
        text.replace(
            "\n[balances]",
            "\n[ledger.correction]\nreference = \"{reason} {uuid}\"\ntype = \"ADJUSTMENT\"\n\n[balances]",
        )
    });
    db.run("reconcile-balances")
        .env("STOCKFOIL_CONFIG", config.path().join("stockfoil.toml"))
        .args(["--fix-by-entry", "count"])
        .await
        .ok();
    assert_eq!(db.rows(Mapped::Prisma.wrong_keys()).await, NOTHING);
    assert_eq!(
        db.value(r#"SELECT count(*) FROM "StockMovement" WHERE "reference" LIKE 'count %'"#).await,
        "4"
    );
    db.run("reconcile-balances").env("STOCKFOIL_CONFIG", config.path().join("stockfoil.toml")).await.ok();

    // A ledger in partitions, with a signed quantity beside the one that has a direction.
    let db = TestDb::mapped(Mapped::Warehouse).await;
    db.execute(
        "ALTER TABLE stock_transactions ADD COLUMN moved numeric(14, 3);
         UPDATE stock_transactions SET moved = CASE direction WHEN 'IN' THEN quantity ELSE -quantity END",
    )
    .await;
    let config = Mapped::Warehouse.config_with(|text| {
        let line = text.lines().find(|line| line.starts_with("quantity = {")).unwrap().to_owned();
        text.replace(&line, "quantity = \"moved\"").replace(
            "\n[balances]",
            "\n[ledger.correction]\ndirection = \"IN\"\nquantity = 1\nline_no = 0\n\n[balances]",
        )
    });
    db.run("migrate-all")
        .env("STOCKFOIL_CONFIG", config.path().join("stockfoil.toml"))
        .arg("--contract")
        .await
        .ok();
    db.execute("UPDATE stock_on_hand SET quantity = quantity - 3 WHERE article_id IN (1, 2)").await;
    let before = db.rows("SELECT article_id, warehouse_id, quantity FROM stock_on_hand ORDER BY 1, 2").await;
    let run = db
        .run("reconcile-balances")
        .env("STOCKFOIL_CONFIG", config.path().join("stockfoil.toml"))
        .args(["--fix-by-entry", "count", "--format", "json"]);
    let entered = run.await.ok().json()["correction"]["entered"].as_u64().unwrap();
    assert!(entered > 1);
    assert_eq!(
        db.rows("SELECT article_id, warehouse_id, quantity FROM stock_on_hand ORDER BY 1, 2").await,
        before
    );
    let report = db
        .run("reconcile-balances")
        .env("STOCKFOIL_CONFIG", config.path().join("stockfoil.toml"))
        .args(["--format", "json"])
        .await
        .ok()
        .json();
    assert_eq!(report["full"], Value::Null);
    assert_eq!(
        db.value("SELECT count(*) FROM stock_transactions WHERE line_no = 0").await,
        entered.to_string()
    );
}

/// A table of balances that the application made, with a trigger of its own.
const OWN_TABLE: &str = "
    CREATE TABLE on_hand (id serial PRIMARY KEY, item_id text NOT NULL, location_id text NOT NULL, lot_id text,
                          qty numeric NOT NULL DEFAULT 0, org_id text NOT NULL DEFAULT 'default');
    INSERT INTO on_hand (item_id, location_id, lot_id, qty, org_id)
    SELECT item_id, location_id, nullif(lot_id, ''), sum(qty_canonical), org_id FROM inventory_ledger GROUP BY 1, 2, 3, 5;
    CREATE FUNCTION on_hand_too() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE on_hand SET qty = qty + NEW.qty_canonical
        WHERE (org_id, item_id, location_id) = (NEW.org_id, NEW.item_id, NEW.location_id) AND lot_id IS NOT DISTINCT FROM nullif(NEW.lot_id, '');
        RETURN NEW; END $$";

#[tokio::test]
async fn an_adopted_table_is_left_as_it_was_or_the_entry_is_not_made() {
    let text = "[tenancy]\ntables = [\"users\", \"items\", \"locations\", \"inventory_ledger\", \"count_sheets\", \"count_lines\", \"audit_logs\", \"feature_flags\", \"on_hand\"]\n\
                [balances]\ntable = \"on_hand\"\nadopt = true\nquantity = \"qty\"\nlast_ledger_id = false\nlast_updated = false\n";
    for kept_by in ["triggers", "application"] {
        let db = backfilled().await;
        db.run("migrate-balance").args(["--rollback", "--yes"]).await.ok();
        db.execute(OWN_TABLE).await;
        let config = config(&format!("{text}kept_by = \"{kept_by}\"\n"));
        db.run("migrate-all").folder(&config).await.ok();
        let rows = "SELECT item_id, location_id, lot_id, trim_scale(qty), org_id FROM on_hand ORDER BY id";
        db.execute("UPDATE on_hand SET qty = qty + 4 WHERE item_id = 'bolt' AND org_id = 'acme'").await;
        let before = db.rows(rows).await;
        let args = ["--format", "json", "--fix-by-entry", "count"];
        if kept_by == "application" {
            // Its own trigger gives the entry to the balance, which Stockfoil must not take back.
            db.execute("CREATE TRIGGER own AFTER INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION on_hand_too()").await;
            let report = db.run("reconcile-balances").folder(&config).args(args).await.status(1).json();
            assert_eq!(report["correction"]["entered"], 0);
            let why = report["listed"][0]["not_entered"].as_str().unwrap();
            assert!(why.contains("the application counts it in the balance too"), "{why}");
            assert_eq!(db.value("SELECT count(*) FROM inventory_ledger WHERE note = 'count'").await, "0");
            db.execute("DROP TRIGGER own ON inventory_ledger").await;
        }
        let report = db.run("reconcile-balances").folder(&config).args(args).await.ok().json();
        assert_ne!(report["correction"]["entered"], 0);
        assert_eq!(db.rows(rows).await, before, "{kept_by}");
        db.run("reconcile-balances").folder(&config).await.ok();
    }
}

#[tokio::test]
async fn a_ledger_without_times_of_its_own_gets_the_present_one() {
    let db = damaged().await;
    db.execute("ALTER TABLE inventory_ledger ALTER created_at DROP DEFAULT").await;
    reconcile(&db, 0, &["--fix-by-entry", "count"]).await;
    assert_eq!(
        db.value("SELECT count(*) FROM inventory_ledger WHERE note = 'count' AND created_at > now() - interval '1 hour'").await,
        "3"
    );
    // An application that writes on meets a balance like any other.
    db.execute("ALTER TABLE inventory_ledger ALTER created_at SET DEFAULT now()").await;
    db.execute(entry("nut", "'Z'", "2")).await;
    assert_eq!(wrong_keys(&db).await, NOTHING);
}
