//! Each mapped database through everything that a command does, with an application that goes on writing.

use serde_json::{Value, json};
use testkit::{Mapped, TestDb};

use super::sample::{self, Sample};

async fn json(db: &TestDb, command: &str, status: i32, args: &[&str]) -> Value {
    db.run(command).args(["--format", "json"]).args(args).await.status(status).json()
}

/// From the application's own database to a migrated one, and nothing left to do the second time.
async fn migrates(sample: &Sample) {
    let db = TestDb::mapped(sample.mapped).await;
    let plan = json(&db, "migrate-all", 0, &["--dry-run"]).await;
    assert!(!plan["organizations"]["steps"].as_array().unwrap().is_empty());
    assert_eq!(
        db.value("SELECT to_regnamespace('stockfoil') IS NULL").await,
        "t",
        "a dry run changed something"
    );
    let done = json(&db, "migrate-all", 0, &[]).await;
    assert_eq!(done["checked"]["failed"], 0);
    assert_eq!(done["outcome"], "clean");
    sample.assert_exact(&db, "migrate-all").await;
    let [org, _] = sample.orgs;
    assert!(
        sample.sums(&db).await.iter().all(|row| row[0] == org),
        "every row is the default organization's"
    );
    for command in ["migrate-org", "migrate-balance"] {
        let again = json(&db, command, 0, &[]).await;
        for step in again["steps"].as_array().unwrap() {
            assert_eq!(step["state"], "done", "{command} has work left: {step}");
        }
    }
    let again = json(&db, "backfill-balances", 0, &[]).await;
    assert_eq!(again["outcome"], "clean");
    db.run("validate-migration").await.ok();
    db.run("reconcile-balances").await.ok().says("ledger and balances match");
}

/// Every write of the application, one after the other.
async fn keeps_balances_exact(sample: &Sample) {
    let db = sample.migrated().await;
    let mut before = sample.sums(&db).await;
    for (what, sql) in sample.writes {
        db.execute(*sql).await;
        let after = sample.sums(&db).await;
        assert_ne!(before, after, "{}: {what} changed nothing", sample.mapped.name());
        before = after;
        sample.assert_exact(&db, what).await;
    }
    for org in sample.orgs {
        let (target, rows) = sample.copy;
        let mut session = db.connect().await;
        let mut copy = session.copy_in_raw(&format!("COPY {target} FROM STDIN")).await.unwrap();
        // A key of the copied rows can't be taken twice.
        let number = if org == sample.orgs[0] { "1" } else { "2" };
        let text: String =
            rows.iter().map(|row| row.replace("{org}", org).replace("{n}", number) + "\n").collect();
        copy.send(text.as_bytes()).await.unwrap();
        assert_eq!(copy.finish().await.unwrap(), rows.len() as u64);
        let after = sample.sums(&db).await;
        assert_ne!(before, after, "{}: COPY changed nothing", sample.mapped.name());
        before = after;
        sample.assert_exact(&db, "COPY").await;
    }
    let organizations: std::collections::BTreeSet<&str> = before.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(organizations.len(), 2, "{}: both organizations have entries", sample.mapped.name());
    db.run("validate-migration").await.ok();
    db.run("reconcile-balances").await.ok();
    if !sample.not_a_number.is_empty() {
        let mut session = db.connect().await;
        let error = sqlx::raw_sql(sample.not_a_number).execute(&mut session).await.unwrap_err();
        assert!(error.to_string().contains("NaN"), "{}: {error}", sample.mapped.name());
        assert_eq!(before, sample.sums(&db).await);
    }
}

/// Damage of four kinds is found, told apart, and mended as far as nobody need look.
async fn reconciles(sample: &Sample) {
    let what = sample.mapped.name();
    let db = sample.migrated().await;
    sample.damage(&db).await;
    let wrong = db.rows(sample.mapped.wrong_keys()).await;
    let dry = json(&db, "reconcile-balances", 1, &["--dry-run"]).await;
    let differences = json!({ "small": 1, "large": 1, "orphan": 1, "missing": 1, "not_a_number": 0 });
    for (kind, count) in differences.as_object().unwrap() {
        assert_eq!(dry["differences"][kind], *count, "{what}: {kind} in {}", dry["differences"]);
    }
    assert_eq!(db.rows(sample.mapped.wrong_keys()).await, wrong, "{what}: a dry run changed something");

    let report = json(&db, "reconcile-balances", 1, &[]).await;
    assert_eq!((&report["repaired"], &report["unresolved"]), (&json!(1), &json!(3)), "{what}: {report}");
    for listed in report["listed"].as_array().unwrap() {
        let key =
            ["org_id", "item_id", "location_id", "lot_id"].map(|field| listed[field].as_str().unwrap_or(""));
        let row = wrong.iter().find(|row| row[..4] == key);
        let row = row.unwrap_or_else(|| panic!("{what}: {key:?} is listed and not among {wrong:?}"));
        let entries = listed["newest_entries"].as_array().unwrap();
        let is_explained = ["large", "missing"].contains(&listed["kind"].as_str().unwrap());
        assert_eq!(!entries.is_empty(), is_explained, "{what}: {listed}");
        let ledger = listed["ledger_qty"].as_str().unwrap_or("");
        assert_eq!(ledger, row[4], "{what}: {listed}");
    }
    let kinds =
        "SELECT string_agg(kind || CASE WHEN repaired THEN ' repaired' ELSE '' END, ', ' ORDER BY kind)
                 FROM stockfoil.finding WHERE closed_run IS NULL";
    assert_eq!(db.value(kinds).await, "large, missing, orphan, small repaired", "{what}");
    let recorded = db.rows("SELECT org_id, item_id, location_id, coalesce(lot_id, '') FROM stockfoil.finding ORDER BY 1, 2, 3, 4").await;
    let keys: Vec<Vec<String>> = wrong.iter().map(|row| row[..4].to_vec()).collect();
    let sorted = |mut rows: Vec<Vec<String>>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(recorded), sorted(keys), "{what}");
    assert_eq!(db.rows(sample.mapped.wrong_keys()).await.len(), 3, "{what}");

    // One organization alone, and the other's findings stay.
    json(&db, "reconcile-balances", 0, &["--org", sample.orgs[1]]).await;
    json(&db, "reconcile-balances", 1, &["--org", sample.orgs[0]]).await;
    json(&db, "reconcile-balances", 0, &["--fix-large"]).await;
    sample.assert_exact(&db, "reconcile-balances --fix-large").await;
    // The rows of an adopted table are the application's, which removes them itself.
    let is_adopted = sample.mapped == Mapped::Erp;
    let pruned = json(&db, "reconcile-balances", 0, &["--prune-orphans"]).await["pruned"].clone();
    assert_eq!(pruned, u64::from(!is_adopted), "{what}");
    if is_adopted {
        db.execute("DELETE FROM stock_quant WHERE product_id = 1 AND location_id = 8 AND lot_id = 17").await;
    }
    assert_eq!(
        db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL").await,
        "0",
        "{what}"
    );

    // Backfill mends the same damage, whatever its size, and says so.
    sample.damage(&db).await;
    json(&db, "backfill-balances", 0, &["--dry-run"]).await;
    assert_eq!(db.rows(sample.mapped.wrong_keys()).await.len(), 4, "{what}: a dry run changed something");
    db.run("backfill-balances").args(["--batch-rows", "1"]).await.ok();
    sample.assert_exact(&db, "backfill-balances").await;
    db.run("validate-migration").await.ok();
}

/// Organizations and their people.
async fn has_tenants(sample: &Sample) {
    let what = sample.mapped.name();
    let db = sample.migrated().await;
    let [default, acme] = sample.orgs;
    let (users, at_acme) = sample.users;
    let assign = ["--org-id", acme, "--email-pattern", "@acme.example"];
    let report = json(&db, "users-assign", 0, &[&assign[..], &["--dry-run"]].concat()).await;
    assert_eq!(report["users"].as_array().unwrap().len() as u64, at_acme, "{what}");
    assert_eq!(report["users"][0]["from"], default, "{what}");
    json(&db, "users-assign", 1, &[&assign[..], &["--expect", "3"]].concat()).await;
    let expect = at_acme.to_string();
    let moved = json(&db, "users-assign", 0, &[&assign[..], &["--expect", &expect]].concat()).await;
    assert_eq!(moved["applied"], true, "{what}");
    // By id, back and forth.
    let id = moved["users"][0]["user_id"].as_str().unwrap().to_owned();
    assert_eq!(
        json(&db, "users-assign", 0, &["--org-id", default, "--from", acme, "--user-id", &id]).await["users"]
            [0]["from"],
        acme
    );
    assert_eq!(
        json(&db, "users-assign", 0, &["--org-id", acme, "--user-id", &id]).await["users"][0]["from"],
        default
    );
    db.run("users-assign").args(["--org-id", acme, "--user-id", "nobody; --"]).await.status(2);

    let list = json(&db, "org-list", 0, &[]).await;
    let row = |id: &str| {
        let rows = list["organizations"].as_array().unwrap();
        rows.iter()
            .find(|row| row["id"] == id)
            .unwrap_or_else(|| panic!("{what}: {id} is not in {list}"))
            .clone()
    };
    assert_eq!(row(default)["users"], users - at_acme, "{what}");
    assert_eq!(row(acme)["users"], at_acme, "{what}");
    assert_eq!((&row(default)["items"], &row(acme)["items"]), (&json!(sample.items), &json!(0)), "{what}");

    // An id of the wrong type, and one that is taken.
    let again = ["--id", acme, "--name", "Again"];
    db.run("org-create").args(again).await.status(2);
    if sample.mapped == Mapped::Prisma {
        db.run("org-create").args(["--id", "acme", "--name", "A"]).await.refuses(2, "uuid");
        db.run("users-assign").args(["--org-id", "nobody", "--all"]).await.refuses(2, "no organization");
        db.run("reconcile-balances").args(["--org", "nobody"]).await.refuses(2, "no organization");
    }
    if sample.mapped == Mapped::TwoSchemas {
        db.run("org-create").args(["--id", "acme", "--name", "A"]).await.refuses(2, "bigint");
        db.run("reconcile-balances")
            .args(["--org", "9223372036854775808"])
            .await
            .refuses(2, "no organization");
    }
    // One whose id is made.
    let made = json(&db, "org-create", 0, &["--name", "Made", "--subdomain", "made"]).await;
    let id = made["id"].as_str().unwrap();
    assert!(
        json(&db, "org-list", 0, &[]).await["organizations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == id)
    );
    json(&db, "reconcile-balances", 0, &["--org", id]).await;
    json(&db, "users-assign", 0, &["--org-id", id, "--all", "--dry-run"]).await;
}

/// db-generate: a client whose functions demand an organization of the right type.
async fn generates(sample: &Sample) {
    let db = sample.migrated().await;
    let client = db.run("db-generate").await.ok().stdout;
    let kind = match sample.mapped {
        Mapped::Prisma => "::sqlx::types::Uuid",
        Mapped::Erp | Mapped::Warehouse => "String",
        Mapped::TwoSchemas => "i64",
    };
    assert!(client.contains(&format!("pub struct OrgId(pub(super) {kind})")), "{client}");
    let scoped = client.matches("org: &OrgId").count();
    assert!(scoped > 10, "{}: {scoped} functions demand an organization", sample.mapped.name());
}

macro_rules! journeys {
    ($($name:ident: $mapped:expr;)*) => { $(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn migrates() {
                super::migrates(sample::of($mapped)).await;
            }

            #[tokio::test]
            async fn keeps_balances_exact() {
                super::keeps_balances_exact(sample::of($mapped)).await;
            }

            #[tokio::test]
            async fn reconciles() {
                super::reconciles(sample::of($mapped)).await;
            }

            #[tokio::test]
            async fn has_tenants() {
                super::has_tenants(sample::of($mapped)).await;
            }

            #[tokio::test]
            async fn generates() {
                super::generates(sample::of($mapped)).await;
            }
        }
    )* };
}

journeys! {
    prisma: Mapped::Prisma;
    erp: Mapped::Erp;
    warehouse: Mapped::Warehouse;
    two_schemas: Mapped::TwoSchemas;
}
