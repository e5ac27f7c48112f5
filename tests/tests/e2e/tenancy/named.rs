//! Organizations named by their id or by their subdomain, wherever a flag names one.

use testkit::{Mapped, Run, TestDb};

use super::{everything, text};

/// Every flag that names an organization, as a run that changes nothing.
async fn everywhere(db: &TestDb, mapped: Option<Mapped>, name: &str) -> Vec<(&'static str, Run)> {
    let items = match mapped {
        None => "items where name = \"none\"",
        Some(Mapped::Prisma) => "Item where sku = \"none\"",
        Some(Mapped::TwoSchemas) => "plant.items where name = \"none\"",
        Some(_) => unreachable!("not among the cases"),
    };
    let move_rows = ["--rows", items, "--dry-run"];
    let mut runs = vec![
        ("org-update --org-id", db.run("org-update").args(["--list-keys", "--org-id", name]).await),
        (
            "reconcile-balances --org",
            db.run("reconcile-balances").args(["--dry-run", "--org", name, "--org", name]).await,
        ),
        ("backfill-balances --org", db.run("backfill-balances").args(["--dry-run", "--org", name]).await),
    ];
    if mapped != Some(Mapped::TwoSchemas) {
        let users = db.run("users-assign").args(["--all", "--dry-run", "--org-id", name]).await;
        let to = db.run("data-assign").args(move_rows).args(["--org-id", name]).await;
        let from = db.run("data-assign").args(move_rows).args(["--org-id", "other", "--from", name]).await;
        runs.extend([
            ("users-assign --org-id", users),
            ("data-assign --org-id", to),
            ("data-assign --from", from),
        ]);
    }
    runs
}

async fn two(db: &TestDb) -> String {
    let args = ["--name", "Acme Mining", "--subdomain", "acme", "--format", "json"];
    let id = text(&db.run("org-create").args(args).await.ok().json(), "id").to_owned();
    db.run("org-create").args(["--name", "Other", "--subdomain", "other"]).await.ok();
    db.run("backfill-balances").await.ok();
    id
}

#[tokio::test]
async fn every_flag_takes_an_id_or_a_subdomain() {
    for mapped in [None, Some(Mapped::Prisma), Some(Mapped::TwoSchemas)] {
        let db = match mapped {
            None => TestDb::migrated().await,
            Some(mapped) => TestDb::mapped_migrated(mapped).await,
        };
        if mapped.is_none() {
            db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
        }
        let id = two(&db).await;
        assert_ne!(id, "acme");
        let ids = if mapped.is_some() { vec![id.clone(), id.to_uppercase()] } else { vec![id.clone()] };
        for name in ids.iter().map(String::as_str).chain(["acme", "ACME"]) {
            for (flag, run) in everywhere(&db, mapped, name).await {
                eprintln!("{mapped:?}: {flag} {name}");
                run.ok();
            }
        }
        for (_, run) in everywhere(&db, mapped, "acmee").await {
            run.refuses(
                2,
                "there is no organization with the id or subdomain \"acmee\"; did you mean \"acme\"?",
            );
        }
        // What is said is the id.
        let listed = db.run("org-update").args(["--list-keys", "--org-id", "acme", "--format", "json"]).await;
        assert_eq!(text(&listed.ok().json(), "id"), id);
    }
}

#[tokio::test]
async fn an_id_that_is_anothers_subdomain_is_refused_with_both() {
    let db = TestDb::migrated().await;
    db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
    db.execute(
        "INSERT INTO organizations (id, name, subdomain) VALUES ('acme', 'By id', 'first'), ('org-2', 'By subdomain', 'acme'),
             ('other', 'Other', NULL)",
    )
    .await;
    for (_, run) in everywhere(&db, None, "acme").await {
        run.refuses(2, "\"acme\" is the id of organization acme (\"By id\"), whose subdomain is \"first\", and the subdomain of organization org-2 (\"By subdomain\"); ");
    }
    for name in ["first", "org-2"] {
        db.run("org-update").args(["--list-keys", "--org-id", name]).await.ok();
    }
    // The way out that it says.
    db.run("org-update").args(["--org-id", "org-2", "--subdomain", "second"]).await.ok();
    db.run("org-update").args(["--org-id", "acme", "--list-keys"]).await.ok();
    // An organization may have the same text for both.
    let unheld = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(unheld.path(), "[tenancy]\nhold_days = 0\n").unwrap();
    let same = ["--org-id", "acme", "--subdomain", "acme"];
    db.run("org-update").args(same).await.refuses(2, "was organization org-2's until");
    db.run("org-update").env("STOCKFOIL_CONFIG", unheld.path()).args(same).await.ok();
    db.run("org-update").args(["--org-id", "acme", "--list-keys"]).await.ok();
}

#[tokio::test]
async fn the_default_organization_is_asked_about_by_its_subdomain_too() {
    let db = TestDb::migrated().await;
    db.run("org-update").args(["--org-id", "default", "--subdomain", "main"]).await.ok();
    for name in ["default", "main", "MAIN"] {
        db.run("org-update")
            .args(["--org-id", name, "--deactivate"])
            .await
            .refuses(2, "a request that names no organization will find none");
    }
    assert_eq!(db.value("SELECT is_active::text FROM organizations WHERE id = 'default'").await, "true");
}

#[tokio::test]
async fn a_key_to_explain_takes_a_subdomain_and_an_id_before_it() {
    let db = TestDb::migrated().await;
    db.run("migrate-all").arg("--contract").arg("--yes").await.ok();
    db.execute(
        "INSERT INTO organizations (id, name, subdomain) VALUES ('org-2', 'Two', 'acme');
         INSERT INTO items (id, item_number, name, org_id) VALUES ('bolt', 'B', 'Bolt', 'org-2');
         INSERT INTO locations (id, site, name, org_id) VALUES ('l1', 'S', 'P', 'org-2')",
    )
    .await;
    db.run("backfill-balances").await.ok();
    db.execute(
        "INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, org_id) VALUES ('bolt', 'l1', 5, 'org-2')",
    )
    .await;
    let explain = async |key: &str| {
        let args = ["--explain", key, "--format", "json"];
        text(&db.run("reconcile-balances").args(args).await.ok().json(), "org_id").to_owned()
    };
    assert_eq!(explain("acme/bolt/l1").await, "org-2");
    assert_eq!(explain("org-2/bolt/l1").await, "org-2");
    // A key as it is printed leads back to what it was printed for.
    db.execute(
        "INSERT INTO organizations (id, name) VALUES ('acme', 'One');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, org_id) VALUES ('bolt', 'l1', 7, 'acme')",
    )
    .await;
    assert_eq!(explain("acme/bolt/l1").await, "acme");
}

#[tokio::test]
async fn a_name_that_would_lead_to_two_organizations_is_refused() {
    let db = TestDb::migrated().await;
    db.run("org-create").args(["-n", "By id", "--id", "Acme"]).await.ok();
    db.run("org-create").args(["-n", "By subdomain", "--id", "org-2", "-s", "globex"]).await.ok();
    let before = everything(&db).await;
    let create = async |args: &[&str]| db.run("org-create").args(["-n", "Other"]).args(args).await;
    let update = async |args: &[&str]| db.run("org-update").args(["--org-id", "org-2"]).args(args).await;
    let of_id = "the subdomain \"acme\" is the id of organization Acme (\"By id\")";
    create(&["-s", "acme"]).await.refuses(2, of_id);
    create(&["-s", "ACME", "--id", "org-3"]).await.refuses(2, of_id);
    update(&["-s", "acme", "--add-key"]).await.refuses(2, of_id);
    let of_subdomain = "the id \"Globex\" is the subdomain of organization org-2 (\"By subdomain\")";
    create(&["--id", "Globex"]).await.refuses(2, of_subdomain);
    create(&["--id", "Globex", "-s", "other"]).await.refuses(2, of_subdomain);
    assert_eq!(everything(&db).await, before);
    // An organization's own id is no other's.
    db.run("org-update").args(["--org-id", "Acme", "-s", "acme"]).await.ok();
    create(&["--id", "org-3", "-s", "org-3"]).await.ok();
    // What an application wrote keeps nobody from changing something else, or from the way out.
    db.execute("UPDATE organizations SET subdomain = 'first' WHERE id = 'Acme'; UPDATE organizations SET subdomain = 'acme' WHERE id = 'org-2'").await;
    update(&["--name", "Renamed"]).await.ok();
    db.run("org-update").args(["--org-id", "first", "-s", "second"]).await.ok();
    update(&["-s", "globex"]).await.ok();
}

#[tokio::test]
async fn a_subdomain_that_can_be_read_as_anothers_id_is_refused() {
    let db = TestDb::mapped_migrated(Mapped::Prisma).await;
    let id = two(&db).await;
    let plain = id.replace('-', "");
    for subdomain in [&id, &id.to_uppercase(), &plain] {
        for run in [
            db.run("org-create").args(["-n", "Third", "-s", subdomain]),
            db.run("org-update").args(["--org-id", "other", "-s", subdomain]),
        ] {
            run.await.refuses(2, &format!("is the id of organization {id} (\"Acme Mining\")"));
        }
    }
    let free = "0193f3b4-5c1a-7000-8000-2f0e5d8c4b6a";
    db.run("org-update").args(["--org-id", "other", "-s", &free.replace('-', "")]).await.ok();
    let run = db.run("org-create").args(["-n", "Third", "--id", free]).await;
    run.refuses(2, &format!("the id {free:?} is the subdomain of organization "));
}

#[tokio::test]
async fn of_an_id_and_a_subdomain_that_are_taken_at_once_one_wins() {
    let db = TestDb::migrated().await;
    for n in 0..5 {
        let name = format!("acme-{n}");
        let by_id = db.run("org-create").args(["-n", "By id", "--id", &name]).into_future();
        let by_subdomain = db.run("org-create").args(["-n", "By subdomain", "-s", &name]).into_future();
        let (by_id, by_subdomain) = tokio::join!(by_id, by_subdomain);
        assert_eq!([by_id.status, by_subdomain.status].iter().sum::<i32>(), 2, "{by_id:?} {by_subdomain:?}");
    }
}
