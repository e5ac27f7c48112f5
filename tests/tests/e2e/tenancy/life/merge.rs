//! One organization becomes a part of another, and comes back.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{Acquire as _, Executor as _, PgConnection};
use testkit::TestDb;

use super::{
    TABLES, assert_exact, three,
    traffic::{LOCK_IS_FREE, wait_for},
};

const ARGS: [&str; 5] = ["acme", "globex", "--yes", "--format", "json"];

async fn merge(db: &TestDb, status: i32, more: &[&str]) -> Value {
    db.run("org-merge").args(ARGS).args(more.iter().copied()).await.status(status).json()
}

/// Every row of every organization, and the balances that are not zero, organizations and keys.
async fn all(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.extend(
            db.rows(format!(
                "SELECT '{table}', to_jsonb(o) - 'stockfoil_tx' FROM {table} AS o ORDER BY o.id"
            ))
            .await,
        );
    }
    rows.extend(db.rows("SELECT org_id, item_id, location_id, lot_key, trim_scale(qty_canonical) FROM inventory_balances WHERE qty_canonical <> 0 ORDER BY 1, 2, 3, 4").await);
    rows.extend(db.rows("SELECT to_jsonb(c) FROM stockfoil.closing_balance AS c ORDER BY org_id, item_id, location_id, lot_id").await);
    rows.extend(db.rows("SELECT to_jsonb(o) - 'updated_at' FROM organizations AS o ORDER BY id").await);
    rows.extend(db.rows("SELECT to_jsonb(k) FROM organization_api_keys AS k ORDER BY key_id").await);
    rows
}

/// How many rows an organization has.
async fn count(db: &TestDb, org: &str) -> u64 {
    let each = TABLES.map(|table| format!("(SELECT count(*) FROM {table} WHERE org_id = '{org}')"));
    db.value(format!("SELECT {}", each.join(" + "))).await.parse().unwrap()
}

async fn isolate(db: &TestDb) {
    db.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
}

/// Rows of the same keys are told, and nothing moves; leaves those of the other organization.
async fn conflicts_come_first(db: &TestDb) {
    db.execute(
        "INSERT INTO feature_flags (id, key, org_id) VALUES ('acme-same', 'same', 'acme'), ('globex-same', 'same', 'globex');
         INSERT INTO users (id, email, name, org_id) VALUES ('acme-same', 'Same@x.example', 'A', 'acme'), ('globex-same', 'Same@x.example', 'G', 'globex')",
    )
    .await;
    let before = all(db).await;
    for more in [&["--dry-run"][..], &[]] {
        let report = merge(db, 1, more).await;
        let conflicts: Vec<[&str; 3]> = (report["conflicts"].as_array().unwrap().iter())
            .map(|row| ["table", "key", "other_key"].map(|field| row[field].as_str().unwrap()))
            .collect();
        let same = [["users", "acme-same", "globex-same"], ["feature_flags", "acme-same", "globex-same"]];
        assert_eq!(conflicts, same, "{report}");
        assert!(report["stopped"].as_str().unwrap().starts_with("2 of them can't move"), "{report}");
        assert_eq!(all(db).await, before, "nothing was changed");
    }
    db.execute("DELETE FROM feature_flags WHERE id = 'acme-same'; DELETE FROM users WHERE id = 'acme-same'")
        .await;
}

async fn becomes_a_part_and_comes_back(isolates: bool) {
    let db = three().await;
    if isolates {
        isolate(&db).await;
    }
    db.run("backfill-balances").await.ok();
    let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"+00:00\"')";
    // Later than every entry.
    db.execute("UPDATE inventory_ledger SET created_at = now() - interval '1 day'").await;
    db.run("reconcile-balances").args(["--close", &db.value(now).await]).await.ok();
    let (its, theirs) = (count(&db, "acme").await, count(&db, "globex").await);
    conflicts_come_first(&db).await;
    let before = all(&db).await;
    let closed = "SELECT count(*) > 0 FROM stockfoil.closing_balance WHERE org_id = 'acme' AND entries > 0";
    assert_eq!(db.value(closed).await, "t");
    let plan = merge(&db, 0, &["--dry-run"]).await;
    assert_eq!((&plan["rows"], &plan["api_keys"], &plan["applied"]), (&json!(its), &json!(1), &json!(false)));
    assert_eq!(all(&db).await, before);
    merge(&db, 1, &["--expect", "7"]).await;

    let report = merge(&db, 0, &["--batch-rows", "40"]).await;
    assert_eq!(
        (&report["rows"], &report["left"], &report["deactivated"]),
        (&json!(its), &json!(0), &json!(true))
    );
    assert_eq!((count(&db, "acme").await, count(&db, "globex").await), (0, its + theirs + 2));
    assert_eq!(db.value("SELECT is_active FROM organizations WHERE id = 'acme'").await, "f");
    assert_eq!(
        db.value(
            "SELECT count(*) FROM organization_api_keys WHERE org_id = 'acme' AND revoked_at IS NOT NULL"
        )
        .await,
        "1"
    );
    assert_exact(&db).await;
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
    db.run("validate-migration").await.ok();
    let run = report["run_id"].to_string();
    db.run("org-merge").args(["--undo", &run, "--yes"]).await.ok();
    assert_eq!(all(&db).await, before);
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
    db.run("org-merge").args(["--undo", &run, "--yes"]).await.refuses(2, "was put back already");

    let report = merge(&db, 0, &["--move-keys"]).await;
    assert_eq!(report["rows"], json!(its));
    assert_eq!(
        db.value("SELECT count(*) FROM organization_api_keys WHERE org_id = 'globex' AND revoked_at IS NULL")
            .await,
        "2"
    );
    let run = report["run_id"].to_string();
    db.run("org-merge").args(["--undo", &run, "--yes"]).await.ok();
    assert_eq!(all(&db).await, before);
    // For good: nothing of it is left when it is deleted.
    merge(&db, 0, &[]).await;
    let again = db.run("org-merge").args(["acme", "globex"]).await;
    again.ok().says("nothing to move from acme to globex");
    assert_eq!(
        db.value(
            "SELECT count(*) FROM stockfoil.run WHERE command = 'org-merge' AND finished_at IS NOT NULL"
        )
        .await,
        "5"
    );
    let deleted = db.run("org-delete").args(["--org-id", "acme", "--now", "--yes"]).await;
    deleted.ok().says("is deleted");
    assert_eq!(count(&db, "globex").await, its + theirs + 2);
    assert_exact(&db).await;
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
}

#[tokio::test]
async fn what_is_taken_back_is_taken_back_once_and_in_its_order() {
    let db = three().await;
    db.run("org-create").args(["--id", "tiny", "--name", "Tiny"]).await.ok();
    let before = all(&db).await;
    let run = async |args: &[&str]| {
        db.run("org-merge").args(["--yes", "--format", "json"]).args(args.iter().copied()).await
    };
    // An organization of keys alone.
    let report = run(&["tiny", "globex"]).await.ok().json();
    assert_eq!((&report["rows"], &report["deactivated"]), (&json!(0), &json!(true)));
    let first = report["run_id"].to_string();
    run(&["--undo", &first]).await.ok();
    assert_eq!(all(&db).await, before);
    // What was revoked since stays so.
    db.execute("UPDATE organization_api_keys SET revoked_at = now() WHERE org_id = 'tiny'").await;
    run(&["--undo", &first]).await.status(2);
    assert_eq!(
        db.value("SELECT count(*) FROM organization_api_keys WHERE org_id = 'tiny' AND revoked_at IS NULL")
            .await,
        "0"
    );
    let before = all(&db).await;

    // Globex gives on what it got: its own undo comes first.
    let first = run(&["acme", "globex"]).await.ok().json()["run_id"].to_string();
    let between = all(&db).await;
    let second = run(&["globex", "tiny"]).await.ok().json()["run_id"].to_string();
    let after = all(&db).await;
    let refused = run(&["--undo", &first]).await.status(1).json();
    assert!(
        refused["stopped"].as_str().unwrap().contains(&format!("run {second} has given on")),
        "{refused}"
    );
    assert_eq!(all(&db).await, after);
    run(&["--undo", &second]).await.ok();
    assert_eq!(all(&db).await, between);
    run(&["--undo", &first]).await.ok();
    assert_eq!(all(&db).await, before);
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
}

#[tokio::test]
async fn who_may_still_write_for_it_keeps_a_merge_from_being_over() {
    let db = three().await;
    let mut writer = db.connect().await;
    let mut transaction = writer.begin().await.unwrap();
    transaction.execute("SELECT id FROM organizations WHERE id = 'acme'").await.unwrap();
    let first = merge(&db, 1, &[]).await;
    let again = merge(&db, 1, &[]).await;
    for report in [&first, &again] {
        assert!(report["stopped"].as_str().unwrap().contains("are still open"), "{report}");
    }
    assert_eq!(first["deactivated"], json!(true));
    transaction
        .execute("INSERT INTO feature_flags (id, key, org_id) VALUES ('late', 'late', 'acme')")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(merge(&db, 0, &[]).await["rows"], json!(1));
    assert_eq!(db.value("SELECT org_id FROM feature_flags WHERE id = 'late'").await, "globex");
}

#[tokio::test]
async fn it_becomes_a_part_of_another_and_comes_back() {
    becomes_a_part_and_comes_back(false).await;
}

#[tokio::test]
async fn so_it_does_in_an_isolated_database() {
    becomes_a_part_and_comes_back(true).await;
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_and_nothing_moves() {
    let db = three().await;
    for (args, status, told) in [
        (&["default", "globex"][..], 2, "default is the default organization"),
        (&["acme", "acme"], 2, "acme can't become a part of itself"),
        (&["acme"], 2, "say which organization becomes a part of which"),
        (&["acme", "nobody"], 2, "there is no organization"),
        (&["acme", "globex"], 2, "nobody to ask"),
        (&["acme", "globex", "--batch-rows", "0"], 2, "a batch of 0 rows"),
    ] {
        db.run("org-merge").args(args.iter().copied()).await.refuses(status, told);
    }
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id) VALUES ('third', 'acme-i1', 'default-l1', 1, 'default');
         CREATE TABLE plans (org text REFERENCES organizations); INSERT INTO plans VALUES ('acme'), ('globex')",
    )
    .await;
    let before = all(&db).await;
    let report = merge(&db, 1, &[]).await;
    assert_eq!(report["shared"][0]["used_by"], "inventory_ledger", "{report}");
    assert!(
        report["stopped"]
            .as_str()
            .unwrap()
            .starts_with("rows of other organizations than acme and globex refer"),
        "{report}"
    );
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("1 rows of plans (foreign key plans_org_fkey) name acme and stay"),
        "{report}"
    );
    assert_eq!(all(&db).await, before);
    db.execute("DELETE FROM inventory_ledger WHERE id = 'third'; ALTER TABLE feature_flags DROP CONSTRAINT feature_flags_pkey").await;
    let before = all(&db).await;
    db.run("org-merge").args(ARGS).await.refuses(3, "table feature_flags has no primary key");
    assert_eq!(all(&db).await, before);
}

/// Makes entries for `acme` as an application does, which asks for its organization in each transaction, and for `globex` once
/// the other one is inactive.
async fn write(mut connection: PgConnection, writer: u32, stop: &AtomicBool, made: &AtomicU64) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        for org in ["acme", "globex"] {
            let mut transaction = connection.begin().await.unwrap();
            if sqlx::query("SELECT stockfoil.set_org($1)").bind(org).execute(&mut *transaction).await.is_err()
            {
                transaction.rollback().await.unwrap();
                continue;
            }
            let made_one = sqlx::query(
                "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id) VALUES ($1, $2, 'acme-l1', 0.5, $3)",
            )
            .bind(format!("new-{writer}-{n}"))
            .bind(format!("acme-i{}", 1 + n % 10))
            .bind(org)
            .execute(&mut *transaction)
            .await;
            match made_one {
                Ok(_) => {
                    transaction.commit().await.unwrap();
                    made.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                // What it refers to has just become the other's.
                Err(error) => {
                    let code = error.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
                    assert!(matches!(code.as_str(), "23503" | "40P01"), "{error}");
                    transaction.rollback().await.unwrap();
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn merges_under_writers(isolates: bool) {
    let db = three().await;
    if isolates {
        isolate(&db).await;
    }
    db.execute(
        "INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id)
         SELECT 'acme-x' || n, 'acme-i' || 1 + n % 10, 'acme-l' || 1 + n % 4, n % 7 - 2.5, 'acme' FROM generate_series(1, 5000) AS n; ANALYZE",
    )
    .await;
    let (its, theirs) = (count(&db, "acme").await, count(&db, "globex").await);
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let (one, two, three) = (db.connect().await, db.connect().await, db.connect().await);
    let work = async {
        wait_for(&db, "SELECT count(*) > 10 FROM inventory_ledger WHERE id LIKE 'new-%'").await;
        let report = merge(&db, 0, &["--batch-rows", "200"]).await;
        assert_eq!((&report["left"], &report["deactivated"]), (&json!(0), &json!(true)), "{report}");
        wait_for(
            &db,
            "SELECT count(*) > 10 FROM inventory_ledger WHERE id LIKE 'new-%' AND org_id = 'globex'",
        )
        .await;
        stop.store(true, Ordering::Relaxed);
        report
    };
    let writers = async {
        tokio::join!(write(one, 1, &stop, &made), write(two, 2, &stop, &made), write(three, 3, &stop, &made))
    };
    let (report, _) = tokio::join!(work, writers);
    let made = made.load(Ordering::Relaxed);
    assert_eq!((count(&db, "acme").await, count(&db, "globex").await), (0, its + theirs + made));
    assert!(report["rows"].as_u64().unwrap() >= its, "{report}");
    assert_exact(&db).await;
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_go_on_for_the_other_organization() {
    merges_under_writers(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_where_foreign_keys_hold_the_organization() {
    merges_under_writers(true).await;
}

/// Kills a run that somebody keeps from its end, and goes on with it.
async fn goes_on_when_killed(isolates: bool) {
    let db = three().await;
    if isolates {
        isolate(&db).await;
    }
    let before = all(&db).await;
    let its = count(&db, "acme").await;
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("SELECT FROM inventory_ledger WHERE id = 'acme-e7' FOR UPDATE").await.unwrap();
    let mut child = db.run("org-merge").args(ARGS).args(["--batch-rows", "10"]).spawn();
    match isolates {
        true => {
            let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%stockfoil_closure%' AND wait_event_type = 'Lock'";
            wait_for(&db, waits).await;
        }
        false => wait_for(&db, "SELECT count(*) < 280 FROM inventory_ledger WHERE org_id = 'acme'").await,
    }
    child.kill().await.unwrap();
    child.wait().await.unwrap();
    wait_for(&db, LOCK_IS_FREE).await;
    assert_exact(&db).await;
    assert_eq!(all(&db).await == before, isolates, "all at once, or in batches");
    transaction.rollback().await.unwrap();
    let report = merge(&db, 0, &["--batch-rows", "10"]).await;
    assert_eq!((&report["resumed"], &report["rows"]), (&json!(true), &json!(its)));
    assert_eq!(count(&db, "acme").await, 0);
    assert_exact(&db).await;
    db.run("org-merge").args(["--undo", &report["run_id"].to_string(), "--yes"]).await.ok();
    assert_eq!(all(&db).await, before);
    db.run("reconcile-balances").await.ok().says("match");
}

#[tokio::test]
async fn a_killed_run_is_gone_on_with_and_goes_back_as_one() {
    goes_on_when_killed(false).await;
    goes_on_when_killed(true).await;
}
