//! What production was not asked, for want of rights or time, is told: silence is no evidence.

use super::{site::Site, *};

#[tokio::test]
async fn what_production_was_not_asked_is_said() {
    let (db, none) = (drill::sound().await, TestDb::migrated().await);
    db.execute(
        "CREATE TABLE scans (id int, created_at timestamptz DEFAULT now());
        INSERT INTO scans SELECT n FROM generate_series(1, 10) n; ANALYZE",
    )
    .await;
    let role = format!("reader_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public, stockfoil TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA public, stockfoil TO {role};
        REVOKE SELECT ON inventory_ledger, organizations, scans FROM {role}"
    ))
    .await;
    let url = db.cluster().url_as(&role, db.name());
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let run = folder.run("verify-backup").env("DATABASE_URL", &url).arg("--restore").await.ok();
    let stdout = &run.stdout;
    for said in [
        "production was heard in part",
        "it was not asked for its entries: ",
        "it was not asked for its organizations: ",
        "permission denied for table inventory_ledger",
        "production was not asked for its entries: ",
        "production was not asked for the rows of inventory_ledger (",
        "scans (",
        "what a restore would lose now is not known of production: ",
    ] {
        assert!(stdout.contains(said), "no {said:?}: {stdout}");
    }
    assert!(!stdout.contains("does not tell when entries were made"), "{stdout}");

    // What the catalog estimates is said of the ledger, too, where its entries can't be counted.
    let empty = Folder::new("expect_empty = true\n");
    super::dump(&none, &["-Fp"], &empty.path("stock.sql"));
    let look = empty.run("verify-backup").env("DATABASE_URL", &url).args(["--format", "json"]);
    let found = look.await.status(1).json()["backups"][0]["findings"].to_string();
    assert!(found.contains("holds no row of inventory_ledger, and production has about 1000"), "{found}");
    assert!(found.contains("\"critical\""), "{found}");
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// The states of the three witnesses, as both commands tell them of the first backup at this depth, which must be the same.
async fn witnesses(folder: &Folder, depth: &str, production: Option<&str>) -> Vec<serde_json::Value> {
    let mut told = Vec::new();
    for (command, list) in [("monitor-backups", "sources"), ("verify-backup", "backups")] {
        let mut look = folder.run(command).args(["--depth", depth, "--format", "json"]);
        if let Some(url) = production {
            look = look.env("DATABASE_URL", url);
        }
        let report = look.await.json()[list][0].clone();
        let of = |name: &str| report["witnesses"][name].clone();
        told.push(["records", "archive", "production"].map(of).to_vec());
    }
    let states = |told: &Vec<serde_json::Value>| {
        told.iter().map(|witness| witness["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&told[0]), states(&told[1]), "{told:?}");
    told.remove(1)
}

#[tokio::test]
async fn each_witness_of_every_kind_has_a_field_of_its_own() {
    let site = Site::shared().await;
    let url = site.cluster.url("stock");
    let storage = s3::Storage::start();
    storage.put("/stock/nightly/stock.dump", &fs::read(drill::dump().await).unwrap());
    let program = command::folder(&command::listed(&command::backup("")), "");
    let kinds = [
        ("dump", Some(Folder::with("custom.dump").await), "not_asked"),
        ("restic", Some(restic::repository().await), "not_asked"),
        ("s3", Some(storage.source("")), "not_asked"),
        ("command", Some(program), "not_asked"),
        ("base backup", Some(basebackup::copy_of("folder").await), "heard"),
        ("Barman", Some(barman::copy_of_the_server().await), "heard"),
        ("pgBackRest", pgbackrest::copy_of_the_repository().await, "heard"),
        ("WAL-G", Some(walg::whole_storage().await.0), "heard"),
    ];
    for (kind, folder, archive) in kinds {
        let Some(folder) = folder else { continue };
        for depth in ["quick", "full"] {
            let alone = witnesses(&folder, depth, None).await;
            let states: Vec<_> = alone.iter().map(|witness| witness["state"].as_str().unwrap()).collect();
            // Of what nothing reads it is not known whether it is good.
            let is_read = kind != "command" || depth == "quick";
            let (production, why) = match is_read {
                true => ("not_heard", "no database is configured, or it does not answer"),
                false => ("not_asked", "there is no good backup to ask about"),
            };
            assert_eq!(states, ["heard", archive, production], "{kind}, {depth}: {alone:?}");
            assert_eq!(alone[2]["why"], why, "{kind}, {depth}");
            assert_eq!(alone[1]["why"].is_null(), archive == "heard" && depth == "full", "{kind}: {alone:?}");
            if archive == "heard" {
                let heard = witnesses(&folder, depth, Some(&url)).await;
                assert_eq!(heard[2]["state"], "heard", "{kind}, {depth}: {heard:?}");
                assert!(
                    heard[2]["why"].as_str().unwrap().starts_with("what a restore would lose alone"),
                    "{heard:?}"
                );
            }
        }
    }
    let none = Folder::new("");
    let told = witnesses(&none, "quick", Some(&url)).await;
    let states: Vec<_> = told.iter().map(|witness| witness["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["not_heard", "not_asked", "not_asked"], "{told:?}");

    // In a drill production tells what it should hold, and leaves nothing untold.
    let folder = basebackup::copy_of("folder").await;
    let heard = witnesses(&folder, "restore", Some(&url)).await;
    assert_eq!(heard[2], serde_json::json!({ "state": "heard", "why": null }), "{heard:?}");
    assert_eq!(heard[0], serde_json::json!({ "state": "heard", "why": null }), "{heard:?}");
}
